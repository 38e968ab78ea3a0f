//! What Kubernetes holds of this application.

use crate::kubernetes::Access;
use crate::snapshot::KubernetesSnapshot;

/// Whatever the API answers, or fails to answer, is a fact.
#[allow(clippy::unused_async)]
pub(super) async fn see(_access: Option<&Access>) -> KubernetesSnapshot {
    KubernetesSnapshot::default()
}
