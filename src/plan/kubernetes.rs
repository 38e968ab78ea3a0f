//! What Kubernetes should hold of this application.

use serde::Serialize;

use crate::deployment::Deployment;

/// Objects, as far as they are ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Objects {}

/// Decides them; in any state of the cluster.
pub(super) fn objects(_d: &Deployment) -> Objects {
    Objects::default()
}
