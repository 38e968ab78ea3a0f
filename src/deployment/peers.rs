//! The other units of this application.

use std::collections::BTreeMap;

use juju_ops::{Remote, UnitName};
use juju_relations::Wire;
use juju_relations::tempo_peers::{AppData, UnitData};

use crate::names::Endpoint;
use crate::snapshot::RelationSnapshot;

use super::address::Host;
use super::{Findings, key_and_reason};

/// Whether the application speaks TLS, as a leader with a certificate has noted.
pub(super) fn speak_tls(relations: &[&RelationSnapshot]) -> bool {
    let noted = |relation: &&RelationSnapshot| AppData::read(relation.local_app_data.as_ref()).ok();
    relations.iter().filter_map(noted).any(|data| data.tls == Some(true))
}

/// Where those are that have said so, in the order of their numbers. One that has not is left out: it is new, and says
/// so in one of its first hooks.
pub(super) fn peers(relations: &[&RelationSnapshot], findings: &mut Findings) -> BTreeMap<UnitName, Host> {
    let mut peers = BTreeMap::new();
    for relation in relations {
        for (unit, bag) in &relation.remote_units {
            let mut wrong =
                |key: &str, reason: &str| findings.unit(Endpoint::Peers, relation.id, unit, key, reason);
            match UnitData::read(bag.as_ref()) {
                Remote::Absent | Remote::Denied => {}
                Remote::Invalid(reason) => {
                    let (key, reason) = key_and_reason(&reason);
                    wrong(key, reason);
                }
                Remote::Ready(data) => match Host::parse(&data.fqdn) {
                    Ok(host) => drop(peers.insert(unit.clone(), host)),
                    Err(error) => wrong("fqdn", &error.to_string()),
                },
            }
        }
    }
    peers
}
