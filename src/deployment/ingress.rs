//! Ways in from outside of the Kubernetes cluster.

use crate::snapshot::Snapshot;

use super::{Base, Findings};

/// The ingresses that are related.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {}

impl Ingress {
    /// Scheme and host under which the one ingress that is ready publishes the cluster.
    pub fn external(&self) -> Option<Base> {
        None
    }
}

/// What the ingresses have published.
pub(super) fn ingress(_snapshot: &Snapshot, _findings: &mut Findings) -> Ingress {
    Ingress::default()
}
