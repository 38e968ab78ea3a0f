//! How much of what others write is looked at.

use std::borrow::Cow;

use juju_ops::{Databag, UnitName, one_line};

use crate::snapshot::{RelationSnapshot, Snapshot};

use super::Findings;

/// The longest value of a key that is looked at, in bytes: the certificates of hundreds of units are shorter. What is
/// longer would be copied into files and the databags of others, and make each hook slow.
pub(super) const LONGEST: usize = 1 << 20;

/// What was seen, without values that are too long. They are named.
pub(super) fn bounded<'a>(snapshot: &'a Snapshot, findings: &mut Findings) -> Cow<'a, Snapshot> {
    let all =
        snapshot.relations.iter().flat_map(|(endpoint, related)| related.iter().map(|one| (*endpoint, one)));
    let mut is_bounded = true;
    for (endpoint, relation) in all {
        for (unit, key) in too_long(relation) {
            is_bounded = false;
            let key = one_line(key, 40);
            let reason = format!("longer than {} KiB", LONGEST >> 10);
            match unit {
                Some(unit) => findings.unit(endpoint, relation.id, unit, &key, &reason),
                None => findings.app(endpoint, relation.id, &key, &reason),
            }
        }
    }
    if is_bounded {
        return Cow::Borrowed(snapshot);
    }
    let mut snapshot = snapshot.clone();
    for relation in snapshot.relations.values_mut().flatten() {
        let bags = relation.remote_units.values_mut().chain([&mut relation.remote_app_data]);
        for bag in bags.flatten() {
            *bag = std::mem::take(bag).into_iter().filter(|(_, value)| value.len() <= LONGEST).collect();
        }
    }
    Cow::Owned(snapshot)
}

/// The keys of another application, and of its units, with such a value.
fn too_long(relation: &RelationSnapshot) -> impl Iterator<Item = (Option<&UnitName>, &str)> {
    let units = relation.remote_units.iter().map(|(unit, bag)| (Some(unit), bag.as_ref()));
    let bags = units.chain([(None, relation.remote_app_data.as_ref())]);
    bags.filter_map(|(unit, bag): (_, Option<&Databag>)| Some((unit, bag?))).flat_map(|(unit, bag)| {
        let long = bag.iter().filter(|(_, value)| value.len() > LONGEST);
        long.map(move |(key, _)| (unit, key.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::complete;
    use crate::names::Endpoint;

    #[test]
    fn what_is_too_long_is_named_and_as_good_as_absent() {
        let with = |length: usize| {
            let mut cluster = complete().remote_write(&["http://prom-0.prom/write"]);
            let relation = &mut cluster.relations.get_mut(&Endpoint::SendRemoteWrite).unwrap()[0];
            let bag = relation.remote_units.values_mut().next().unwrap().as_mut().unwrap();
            bag.insert("odd\nkey", "x".repeat(length));
            cluster.deployment()
        };
        assert_eq!(with(LONGEST).findings, []);
        let d = with(LONGEST + 1);
        assert_eq!(
            d.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["send-remote-write:20 prom/0 odd key: longer than 1024 KiB"]
        );
        assert_eq!(d.telemetry.remote_write.len(), 1, "the rest counts");
        assert_eq!(d.unmet(), []);
    }
}
