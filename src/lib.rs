//! A Juju charm that coordinates a Grafana Tempo cluster on Kubernetes.
//!
//! Every hook goes the same way, whatever event caused it:
//!
//! ```text
//! observe ─▶ Snapshot ─▶ validate ─▶ Deployment ─▶ plan ─▶ Plan ─▶ apply ─▶ Applied ─▶ status
//!  (I/O)    (as seen)    (pure)      (trusted)    (pure)  (data)   (I/O)
//! ```
//!
//! [`dispatch`] is that way; each step is a module. `docs/architecture.md` has the map and the reasons.

pub mod actions;
pub mod apply;
pub mod deployment;
#[cfg(test)]
mod fixtures;
pub mod kubernetes;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod plan;
#[cfg(test)]
mod reference;
pub mod secret;
pub mod snapshot;
pub mod status;
pub mod tempo;
pub mod work;

use std::time::Instant;

use juju_ops::traces::Destination;
use juju_ops::{Error, Event, Hook, Status, ToolError};
use tracing::{Instrument as _, info_span};

use deployment::Deployment;
use plan::Plan;
use snapshot::{Host, Identity, Snapshot};
use work::Work;

/// What a hook finds around it besides Juju and Pebble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The pod.
    pub host: Host,
    /// Seconds since 1970, UTC.
    pub now: i64,
    /// When the hook began.
    pub began: Instant,
    /// The way to the Kubernetes API; `None` if the pod has none.
    pub kubernetes: Option<kubernetes::Access>,
    /// Whether workers can be connected to. Where only Juju is simulated they cannot.
    pub network: bool,
}

/// Runs one hook or action.
///
/// It fails only if the agent refuses something; Juju then drops what the hook wrote and retries it.
pub async fn dispatch(hook: Hook, around: Surroundings) -> Result<(), Error> {
    let done = match Work::of(hook.event()) {
        Work::Nothing => Ok(()),
        Work::Action(name) => {
            let (snapshot, deployment, plan) = decide(&hook, &around).await?;
            return actions::run(&hook, name, &snapshot, &deployment, &plan).await;
        }
        Work::Reconcile => reconcile(&hook, &around).await,
        Work::Leave => {
            leave(&hook, &around).await;
            Ok(())
        }
    };
    if let Err(error) = &done {
        // Best effort: the agent that has just refused one call may refuse this one too.
        let told =
            hook.set_unit_status(&Status::Maintenance(format!("{error}; Juju retries this hook"))).await;
        if let Err(second) = told {
            tracing::warn!("cannot set a status either: {second}");
        }
    }
    Ok(done?)
}

/// From what is there to what should be; nothing is changed.
async fn decide(hook: &Hook, around: &Surroundings) -> Result<(Snapshot, Deployment, Plan), ToolError> {
    // On the heap: it waits for everything at once, and would make every future above as large.
    let mut snapshot = Box::pin(observe::snapshot(hook, around)).instrument(info_span!("observe")).await?;
    let mut deployment = info_span!("validate").in_scope(|| Deployment::validate(&snapshot));
    // Juju's heartbeat: often enough for what seldom changes, and seldom enough for what costs connections.
    if *hook.event() == Event::UpdateStatus && around.network && deployment.unmet().is_empty() {
        let look = Box::pin(observe::look(&deployment)).instrument(info_span!("look"));
        snapshot.look = Some(look.await);
        deployment = info_span!("validate").in_scope(|| Deployment::validate(&snapshot));
    }
    let plan = info_span!("plan").in_scope(|| plan::plan(&deployment));
    match &plan.traces {
        Some(plan::traces::Traces { url, ca }) => {
            hook.traces().send_to(Destination { url: url.clone(), ca: ca.clone() });
        }
        None => hook.traces().off(),
    }
    Ok((snapshot, deployment, plan))
}

async fn reconcile(hook: &Hook, around: &Surroundings) -> Result<(), ToolError> {
    let (snapshot, deployment, plan) = decide(hook, around).await?;
    for finding in &deployment.findings {
        tracing::warn!("{finding}");
    }
    let applied = apply::apply(hook, around, &snapshot, &plan).instrument(info_span!("apply")).await?;
    let statuses = status::statuses(&deployment, &applied);
    async {
        hook.set_unit_status(&statuses.unit).await?;
        if let Some(status) = &statuses.app {
            hook.set_app_status(status).await?;
        }
        Ok::<_, ToolError>(())
    }
    .instrument(info_span!("status"))
    .await?;
    let metrics = apply::metrics(hook, around, &snapshot, &deployment, &applied);
    metrics.instrument(info_span!("metrics")).await;
    Ok(())
}

/// The last unit takes with it what Juju does not know of. Nothing that goes wrong here keeps the unit from going.
async fn leave(hook: &Hook, around: &Surroundings) {
    let Some(access) = &around.kubernetes else { return };
    match hook.planned_units().await {
        Ok(0) => apply::kubernetes::leave(access, &Identity::of(hook.env(), false)).await,
        Ok(others) => tracing::debug!("{others} units stay"),
        Err(error) => tracing::warn!("cannot tell whether other units stay: {error}"),
    }
}
