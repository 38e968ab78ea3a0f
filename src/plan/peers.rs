//! What the units tell each other.

use juju_ops::Scope;
use juju_relations::tempo_peers::UnitData;

use crate::deployment::Deployment;
use crate::names::Endpoint;

use super::DatabagWrite;

/// The unit's host name, always: ingress and scraping need all units, also those that joined before the cluster was
/// complete, or whose pod came back under another name.
pub(super) fn writes(d: &Deployment) -> Vec<DatabagWrite> {
    let data = UnitData::new(d.unit_host.to_string());
    d.links
        .of(Endpoint::Peers)
        .iter()
        .map(|id| DatabagWrite::new(Endpoint::Peers, *id, Scope::Unit, &data))
        .collect()
}
