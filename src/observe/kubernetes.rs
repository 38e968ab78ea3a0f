//! What Kubernetes holds of this application.

use juju_ops::{Hook, ToolError};

use crate::kubernetes::{Access, Client, READING, Reading};
use crate::names::Endpoint;
use crate::snapshot::{Identity, KubernetesSnapshot};

/// Whatever the API answers, or fails to answer, is a fact.
pub(super) async fn see(access: Option<&Access>, hook: &Hook) -> Result<KubernetesSnapshot, ToolError> {
    let Some(access) = access else { return Ok(KubernetesSnapshot::NoAccess) };
    let leader = hook.is_leader().await?;
    let mesh = !hook.relations(Endpoint::ServiceMesh.as_str()).await?.is_empty();
    let identity = Identity::of(hook.env(), leader);
    let reading = Reading { identity: &identity, mesh };
    let answers = match Client::new(access, READING) {
        Ok(client) => reading.read(&client).await,
        Err(failure) => reading.unanswered(access, &failure),
    };
    Ok(KubernetesSnapshot::Asked(Box::new(answers)))
}
