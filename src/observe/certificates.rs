//! Secrets that belong to TLS.

use futures_util::future::try_join_all;
use juju_ops::{Hook, SecretId, SecretRef, ToolError};

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
    let Some((id, info)) = secrets.info(SecretRef::Id(id)).await? else { return Ok(None) };
    if info.label.is_empty() {
        return Ok(None);
    }
    // Looked at, not tracked: which revision is tracked decides which ones Juju offers for removal.
    let content = if related { secrets.peek(SecretRef::Id(&id)).await?.ok() } else { None };
    Ok(Some(OwnSecret { id, info, content }))
}
