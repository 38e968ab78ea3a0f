//! Databags of the tests' states, read and written by the types of `juju-relations`.

use juju_relations::{Databag, Remote, Wire};
use juju_sim::state;

/// What a databag says; one without anything of the writer's says what the default does.
#[track_caller]
pub(crate) fn read<T: Wire + Default>(bag: &state::Databag) -> T {
    said(bag).unwrap_or_default()
}

/// What a databag says, if anything.
#[track_caller]
pub(crate) fn said<T: Wire>(bag: &state::Databag) -> Option<T> {
    let bag: Databag = bag.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    match T::read(Some(&bag)) {
        Remote::Ready(data) => Some(data),
        Remote::Absent => None,
        Remote::Denied => panic!("nobody was asked"),
        Remote::Invalid(reason) => panic!("{reason}: {bag:?}"),
    }
}

/// The databag that says this.
pub(crate) fn written(data: &impl Wire) -> state::Databag {
    data.write().into_iter().collect()
}
