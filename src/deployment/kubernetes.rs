//! What Kubernetes holds of this application, judged.

use crate::snapshot::Snapshot;

/// The application's objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kubernetes {}

/// What is usable of the API's answers.
pub(super) fn kubernetes(_snapshot: &Snapshot) -> Kubernetes {
    Kubernetes::default()
}
