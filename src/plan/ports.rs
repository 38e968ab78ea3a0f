//! The ports that Kubernetes opens for this application.

use std::collections::BTreeSet;

use juju_ops::Port;

use crate::deployment::Deployment;
use crate::tempo;

use super::nginx::TELEMETRY_PORT;

/// Both APIs, the way for telemetry, and the receivers that are on. Gossip is among them because it always was:
/// nothing listens there on this side.
pub(super) fn ports(d: &Deployment) -> BTreeSet<Port> {
    let fixed = [tempo::MEMBERLIST_PORT, tempo::HTTP_PORT, tempo::GRPC_PORT, TELEMETRY_PORT];
    let receivers = d.active_protocols().into_iter().map(tempo::receiver_port);
    fixed.into_iter().chain(receivers).map(Port::tcp).collect()
}
