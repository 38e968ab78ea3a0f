//! Who may talk to the application in a service mesh.

use crate::deployment::Deployment;

use super::DatabagWrite;

/// Nothing yet.
pub(super) fn writes(_d: &Deployment) -> Vec<DatabagWrite> {
    Vec::new()
}
