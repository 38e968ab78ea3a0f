//! Who wants to send traces, and how.

use std::collections::{BTreeMap, BTreeSet};

use juju_ops::Remote;
use juju_relations::tracing::Requested;

use crate::names::Endpoint;
use crate::snapshot::RelationSnapshot;
use crate::tempo::Protocol;

use super::{Findings, key_and_reason};

/// The protocols that each requirer asked for. One name that is not known does not void the others.
pub(super) fn requests(
    relations: &[&RelationSnapshot],
    findings: &mut Findings,
) -> BTreeMap<u32, BTreeSet<Protocol>> {
    let mut requests = BTreeMap::new();
    for relation in relations {
        let requested = match Requested::read(relation.remote_app_data.as_ref()) {
            Remote::Ready(requested) => {
                if let Some(problem) = requested.problem() {
                    findings.app(Endpoint::Tracing, relation.id, "receivers", &problem);
                }
                requested.known
            }
            Remote::Invalid(reason) => {
                let (key, reason) = key_and_reason(&reason);
                findings.app(Endpoint::Tracing, relation.id, key, reason);
                BTreeSet::new()
            }
            Remote::Absent | Remote::Denied => BTreeSet::new(),
        };
        requests.insert(relation.id, requested);
    }
    requests
}
