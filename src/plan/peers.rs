//! What the units tell each other.

use juju_ops::Scope;
use juju_relations::tempo_peers::{AppData, UnitData};

use crate::deployment::Deployment;
use crate::names::Endpoint;

use super::DatabagWrite;

/// The unit's host name, always: ingress and scraping need all units, also those that joined before the cluster was
/// complete, or whose pod came back under another name. And from the leader, whether the cluster speaks TLS.
pub(super) fn writes(d: &Deployment) -> Vec<DatabagWrite> {
    let data = UnitData::new(d.unit_host.to_string());
    let ids = d.links.of(Endpoint::Peers);
    let own = ids.iter().map(|id| DatabagWrite::new(Endpoint::Peers, *id, Scope::Unit, &data));
    // While this unit waits for its certificate, the cluster goes on as the leader before has noted.
    let note =
        (d.identity.leader && !d.tls.is_awaited()).then(|| AppData { tls: d.tls.is_on().then_some(true) });
    let noted = ids.iter().filter_map(|id| Some(DatabagWrite::new(Endpoint::Peers, *id, Scope::App, &note?)));
    own.chain(noted).collect()
}
