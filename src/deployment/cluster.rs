//! The workers.

use std::collections::{BTreeMap, BTreeSet};

use juju_ops::{Remote, UnitName};
use juju_relations::Wire;
use juju_relations::tempo_cluster::{WorkerAppData, WorkerUnitData};

use crate::names::Endpoint;
use crate::snapshot::RelationSnapshot;
use crate::tempo::{Generation, Role};

use super::address::Authority;
use super::{Findings, WorkerApp, WorkerUnit, key_and_reason};

/// The related applications. A relation whose application is not known (any more) is none.
pub(super) fn workers(
    tempo: &Generation,
    relations: &[&RelationSnapshot],
    findings: &mut Findings,
) -> Vec<WorkerApp> {
    let related = relations.iter().filter_map(|relation| Some((relation, relation.remote_app.clone()?)));
    related
        .map(|(relation, app)| {
            let roles = roles(tempo, relation, findings);
            let mut units = BTreeMap::new();
            let mut silent = BTreeSet::new();
            for (name, bag) in &relation.remote_units {
                let read = WorkerUnitData::read(bag.as_ref());
                match unit(name, read) {
                    Ok(Some(unit)) => drop(units.insert(name.clone(), unit)),
                    Ok(None) => drop(silent.insert(name.clone())),
                    Err((key, reason)) => {
                        findings.unit(Endpoint::TempoCluster, relation.id, name, &key, &reason);
                        silent.insert(name.clone());
                    }
                }
            }
            WorkerApp { relation: relation.id, app, roles, units: units.into_values().collect(), silent }
        })
        .collect()
}

/// The plain roles of an application; `None` without any that is known. A worker that is misconfigured publishes
/// several roles at once, and one of another version roles that are not known: what is known counts.
fn roles(tempo: &Generation, relation: &RelationSnapshot, findings: &mut Findings) -> Option<BTreeSet<Role>> {
    let data = match WorkerAppData::read(relation.remote_app_data.as_ref()) {
        Remote::Ready(data) => data,
        Remote::Absent | Remote::Denied => return None,
        Remote::Invalid(reason) => {
            let (key, reason) = key_and_reason(&reason);
            findings.app(Endpoint::TempoCluster, relation.id, key, reason);
            return None;
        }
    };
    let named = data.roles();
    // A worker with more than one role may refuse to start; if so, it says that itself.
    let problem = named.problem().or_else(|| named.known.is_empty().then(|| "no role".to_owned()));
    if let Some(problem) = problem {
        findings.app(Endpoint::TempoCluster, relation.id, "role", &problem);
    }
    let roles: BTreeSet<Role> = named.known.iter().flat_map(|role| tempo.expand(*role)).collect();
    (!roles.is_empty()).then_some(roles)
}

/// A unit that has said where it is; `None` if it has said nothing yet.
fn unit(name: &UnitName, data: Remote<WorkerUnitData>) -> Result<Option<WorkerUnit>, (String, String)> {
    match data {
        Remote::Absent | Remote::Denied => Ok(None),
        Remote::Invalid(reason) => {
            let (key, reason) = key_and_reason(&reason);
            Err((key.to_owned(), reason.to_owned()))
        }
        Remote::Ready(data) => match Authority::parse(&data.address) {
            // A worker says where it is with or without scheme and port; only the host counts, since every use has
            // a port of its own.
            Ok(address) => Ok(Some(WorkerUnit {
                unit: name.clone(),
                name: data.juju_topology.unit,
                application: data.juju_topology.application,
                charm: data.juju_topology.charm_name,
                host: address.host,
            })),
            Err(error) => Err(("address".to_owned(), error.to_string())),
        },
    }
}
