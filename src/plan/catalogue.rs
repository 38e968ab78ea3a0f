//! The entry in the catalogue of user interfaces.

use crate::deployment::Deployment;

use super::DatabagWrite;

/// Nothing yet.
pub(super) fn writes(_d: &Deployment) -> Vec<DatabagWrite> {
    Vec::new()
}
