//! Makes what is so what should be so, and only where the two differ.
//!
//! The order, with its reasons:
//! 0. *Certificates*: everything else may need them.
//! 1. *Containers*: files, then layers, then services, then where logs go. nginx must listen before anyone is told where
//!    to send. The two containers do not depend on each other.
//! 2. *Databags*: the agent passes them on when the hook succeeds, all at once, so they come after everything that
//!    can still go wrong in a container.
//! 3. *Ports*: also passed on when the hook succeeds.
//! 4. *Kubernetes*: last, because a change to the pods may end this very pod.
//!
//! A container that is down or refuses does not stop the rest; it shows in [`Applied`]. An agent that refuses stops
//! everything: then the hook has to fail, so that Juju drops half of a set of writes and retries.

mod certificates;
pub(crate) mod kubernetes;
mod logs;
mod workload;

use juju_ops::{Hook, RelationId, Scope, ToolError};
use juju_pebble::FileWrite;
use tracing::{Instrument as _, info_span};

use crate::Surroundings;
use crate::deployment::Deployment;
use crate::metrics::{self, Took};
use crate::names::{Container, Endpoint};
use crate::observe::LOOK_KEY;
use crate::plan::{Plan, Workload};
use crate::snapshot::{ContainerSnapshot, Snapshot};
use crate::status::{Applied, WorkloadOutcome};

/// Carries out a plan against what `snapshot` saw.
pub async fn apply(
    hook: &Hook,
    around: &Surroundings,
    snapshot: &Snapshot,
    plan: &Plan,
) -> Result<Applied, ToolError> {
    certificates::apply(hook, snapshot, plan).instrument(info_span!("certificates")).await?;
    let ((nginx, nginx_logs), (exporter, exporter_logs)) = futures_util::future::join(
        container(hook, snapshot, plan, Container::Nginx, plan.nginx.as_ref()),
        container(hook, snapshot, plan, Container::NginxPrometheusExporter, plan.exporter.as_ref()),
    )
    .await;
    plan_databags(hook, plan);
    async {
        remember(hook, snapshot).await?;
        hook.commit().await
    }
    .instrument(info_span!("databags"))
    .await?;
    if let Some(ports) = &plan.ports {
        hook.set_ports(ports.iter().copied()).instrument(info_span!("ports")).await?;
    }
    let kubernetes = kubernetes::apply(around.kubernetes.as_ref(), snapshot, &plan.kubernetes)
        .instrument(info_span!("kubernetes"))
        .await;
    let logs = nginx_logs.into_iter().chain(exporter_logs).collect();
    Ok(Applied { nginx, exporter, logs, kubernetes })
}

/// Keeps what a look has found, and tells Juju the version of Tempo, where that is news.
async fn remember(hook: &Hook, snapshot: &Snapshot) -> Result<(), ToolError> {
    let Some(look) = snapshot.look.as_ref().filter(|look| **look != snapshot.remembered) else {
        return Ok(());
    };
    if let Err(error) = hook.state().set(LOOK_KEY, look) {
        // It is a few words, and Juju takes them.
        tracing::warn!("{error}");
    }
    match &look.tempo_version {
        Some(version) if look.tempo_version != snapshot.remembered.tempo_version => {
            hook.set_workload_version(version).await
        }
        _ => Ok(()),
    }
}

/// Hands the page of the coordinator's own metrics to nginx, while somebody reads it. It is about this very hook, so it
/// comes last, and is the one thing that a hook writes in which nothing has changed.
pub async fn metrics(
    hook: &Hook,
    around: &Surroundings,
    snapshot: &Snapshot,
    d: &Deployment,
    applied: &Applied,
) {
    let ContainerSnapshot::Reachable(seen) = snapshot.container(Container::Nginx) else { return };
    let is_read = !d.links.of(Endpoint::MetricsEndpoint).is_empty();
    // A cluster that has lost a role leaves nginx as it is. Its page has to say what is missing all the same.
    let is_served =
        if d.unmet().is_empty() { applied.nginx == WorkloadOutcome::Running } else { seen.metrics.is_some() };
    if !is_read || !is_served {
        return;
    }
    let took = Took {
        event: hook.event().name(),
        seconds: around.began.elapsed().as_secs_f64(),
        tool_calls: hook.tool_calls(),
    };
    let page = metrics::page(seen.metrics.as_deref(), d, &took);
    let file = FileWrite { path: metrics::PAGE_PATH.to_owned(), content: page.into_bytes(), mode: 0o644 };
    if let Err(error) = hook.container(Container::Nginx.as_str()).write_file(&file).await {
        tracing::debug!("the page of metrics was not written: {error}");
    }
}

/// The differences that [`apply`] would make up for, one line each, without any value.
pub async fn preview(hook: &Hook, snapshot: &Snapshot, plan: &Plan) -> Result<Vec<String>, ToolError> {
    let mut lines = certificates::preview(snapshot, plan);
    for planned in plan.nginx.iter().chain(&plan.exporter) {
        lines.extend(workload::preview(snapshot.container(planned.container), planned));
    }
    lines.extend(plan.logs.iter().filter_map(|planned| logs::preview(snapshot, planned)));
    plan_databags(hook, plan);
    let changes = hook.differences().await;
    hook.discard();
    for change in changes? {
        let scope = match change.scope {
            Scope::App => "application",
            Scope::Unit => "unit",
        };
        lines.extend(change.keys.iter().map(|(key, value)| {
            let verb = if value.as_deref().unwrap_or_default().is_empty() { "delete" } else { "set" };
            format!("{}: {verb} {key} of the {scope}", change.relation)
        }));
    }
    if let Some(wanted) = &plan.ports {
        lines.extend(wanted.difference(&snapshot.opened_ports).map(|port| format!("open {port}")));
        lines.extend(snapshot.opened_ports.difference(wanted).map(|port| format!("close {port}")));
    }
    lines.extend(kubernetes::preview(snapshot, &plan.kubernetes));
    Ok(lines)
}

async fn container(
    hook: &Hook,
    snapshot: &Snapshot,
    plan: &Plan,
    container: Container,
    planned: Option<&Workload>,
) -> (WorkloadOutcome, Option<(Container, String)>) {
    let pebble = hook.container(container.as_str());
    let outcome = match planned {
        Some(planned) => {
            workload::apply(&*pebble, snapshot.container(container), planned)
                .instrument(info_span!("container", otel.name = container.as_str()))
                .await
        }
        None => workload::as_seen(snapshot.container(container)),
    };
    // Last, since nothing depends on it.
    let planned = plan.logs.iter().find(|planned| planned.container == container);
    let refused = match planned {
        Some(planned) => logs::apply(&*pebble, snapshot, planned).await,
        None => None,
    };
    (outcome, refused.map(|reason| (container, reason)))
}

/// Hands the planned databag contents to the hook, which keeps them until they are sent.
fn plan_databags(hook: &Hook, plan: &Plan) {
    for write in plan.databag_writes() {
        let relation = hook.relation(RelationId::new(write.endpoint.as_str(), write.relation));
        let data = write
            .data
            .iter()
            .map(|(key, text)| (key.clone(), text.as_ref().map(|text| text.expose().to_owned())));
        match write.scope {
            Scope::App => relation.set_app(data),
            Scope::Unit => relation.set_unit(data),
        }
    }
}
