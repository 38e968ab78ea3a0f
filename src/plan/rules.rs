//! Alert rules.

use juju_relations::JsonText;

use crate::deployment::Deployment;

/// The rules for a Prometheus.
pub(super) fn prometheus(_d: &Deployment) -> JsonText {
    JsonText::empty()
}

/// The rules for a Loki.
pub(super) fn loki(_d: &Deployment) -> JsonText {
    JsonText::empty()
}
