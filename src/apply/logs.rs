//! Where Pebble sends what services write.

use juju_pebble::Pebble;

use crate::plan::logs::Forwarding;
use crate::snapshot::{ContainerSnapshot, Snapshot};

/// Whether the targets are other ones than Pebble has.
fn differs(snapshot: &Snapshot, planned: &Forwarding) -> bool {
    match snapshot.container(planned.container) {
        ContainerSnapshot::Reachable(state) => !state.plan.has(&planned.layer),
        ContainerSnapshot::Unreachable => false,
    }
}

/// What would be done, as a line for people.
pub(super) fn preview(snapshot: &Snapshot, planned: &Forwarding) -> Option<String> {
    differs(snapshot, planned).then(|| format!("{}: replace layer {}", planned.container, planned.label))
}

/// Tells Pebble of the targets. It follows them at once, and restarts nothing. Returns why it does not, if so.
pub(super) async fn apply(pebble: &dyn Pebble, snapshot: &Snapshot, planned: &Forwarding) -> Option<String> {
    if !differs(snapshot, planned) {
        return None;
    }
    tracing::info!("{}: changing where logs go", planned.container);
    match pebble.add_layer(&planned.label, &planned.layer).await {
        Ok(()) => None,
        Err(error) => {
            tracing::warn!("container {}: log targets: {error}", planned.container);
            Some(error.to_string())
        }
    }
}
