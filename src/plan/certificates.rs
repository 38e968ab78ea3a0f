//! What is asked of the certificate authority, and what is kept of its answers.

use serde::Serialize;

use crate::deployment::Deployment;

/// Requests, and secrets to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Certificates {}

/// Decides them; in any state of the cluster.
pub(super) fn certificates(_d: &Deployment) -> Certificates {
    Certificates::default()
}
