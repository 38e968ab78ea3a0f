//! Secrets that belong to TLS.

use futures_util::future::try_join_all;
use juju_ops::{Hook, Remote, SecretId, SecretRef, ToolError};
use juju_relations::tls_certificates::LABEL_ID;

use crate::names::Endpoint;
use crate::snapshot::{CertificatesSnapshot, OwnSecret};

/// All secrets that this unit manages; with what they hold only where somebody could need it: while an authority is
/// related. Without one it is enough to know what has to be removed.
pub(super) async fn see(hook: &Hook) -> Result<CertificatesSnapshot, ToolError> {
    let related = !hook.relations(Endpoint::Certificates.as_str()).await?.is_empty();
    let ids = hook.secrets().ids().await?;
    let seen = try_join_all(ids.iter().map(|id| see_one(hook, id, related))).await?;
    Ok(CertificatesSnapshot {
        secrets: seen.into_iter().flatten().map(|secret| (secret.info.label.clone(), secret)).collect(),
    })
}

async fn see_one(hook: &Hook, id: &SecretId, related: bool) -> Result<Option<OwnSecret>, ToolError> {
    let secrets = hook.secrets();
    // What is listed and cannot be looked at is no less ours. Without the key, the charm would make another one, and go
    // back to plain text until that one is certified; so the hook fails, and is retried.
    let denied = |tool: &'static str| {
        let message = format!("permission denied: own secret {}", id.bare());
        ToolError::Refused { tool, code: 1, message }
    };
    let Some((id, info)) = secrets.info(SecretRef::Id(id)).await? else {
        return Err(denied("secret-info-get"));
    };
    if info.label.is_empty() {
        return Ok(None);
    }
    // Each one that is read may cost a call of the agent to where secrets are kept.
    if !related || !info.label.starts_with(LABEL_ID) {
        return Ok(Some(OwnSecret { id, info, content: None }));
    }
    // Looked at, not tracked: which revision is tracked decides which ones Juju offers for removal.
    let content = match secrets.peek(SecretRef::Id(&id)).await? {
        Remote::Ready(content) => Some(content),
        Remote::Denied => return Err(denied("secret-get")),
        Remote::Absent | Remote::Invalid(_) => None,
    };
    Ok(Some(OwnSecret { id, info, content }))
}
