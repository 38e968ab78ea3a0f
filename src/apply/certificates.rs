//! Keys, requests and certificates: from what is kept to what should be.

use juju_ops::{Hook, ToolError};

use crate::plan::Plan;
use crate::snapshot::Snapshot;

/// Asks and stores what differs.
#[allow(clippy::unused_async)]
pub(super) async fn apply(_hook: &Hook, _snapshot: &Snapshot, _plan: &Plan) -> Result<(), ToolError> {
    Ok(())
}
