//! What people are told: one table from facts to status.
//!
//! *Architecture invariant:* no I/O. What happened comes in as [`Applied`].

use juju_ops::Status;
use juju_pebble::ServiceStatus;

use crate::deployment::Deployment;

/// What `apply` has achieved in this hook. Facts only: what they mean for people is decided here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The load balancer.
    pub nginx: WorkloadOutcome,
    /// The exporter of its metrics.
    pub exporter: WorkloadOutcome,
    /// What else could not be done, each as a sentence for people: a hook tool that failed, a write that was refused.
    /// It is tried again in the next hook.
    pub trouble: Vec<String>,
}

/// How a container is after `apply`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WorkloadOutcome {
    /// The plan had nothing for it, or nothing was applied in this hook.
    #[default]
    Untouched,
    /// Its Pebble does not answer.
    Unreachable,
    /// As planned.
    Running,
    /// As planned, but its service is in this state.
    NotRunning(ServiceStatus),
    /// The workload itself refused its new configuration; the one before stays in use.
    ConfigRejected(String),
    /// Something else went wrong; the state before stays as far as it could be kept.
    Failed(String),
}

/// The two statuses to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses {
    /// Of this unit.
    pub unit: Status,
    /// Of the application; `None` on a follower, which may not set it.
    pub app: Option<Status>,
}

/// Decides both statuses.
pub fn statuses(deployment: &Deployment, _applied: &Applied) -> Statuses {
    let status = Status::Active(String::new());
    Statuses { unit: status.clone(), app: deployment.identity.leader.then_some(status) }
}
