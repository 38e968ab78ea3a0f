//! One container: from what it holds to what it should hold.

use std::time::Duration;

use juju_pebble::{Error, Exec, FileWrite, Pebble, ServiceAction, ServiceStatus};

use crate::plan::nginx::{CANDIDATE_PATH, CONFIG_PATH, LOADED_PATH};
use crate::plan::{PlannedFile, Text, Workload};
use crate::snapshot::{ContainerSnapshot, ContainerState, FileDigest};
use crate::status::WorkloadOutcome;

/// How long `nginx -t` may take. It resolves no names, so it takes milliseconds.
const VALIDATION_TIME: Duration = Duration::from_secs(10);

/// One thing to do, in the order in which they are listed by [`steps`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step<'p> {
    /// Write a file.
    Write(&'p str, &'p PlannedFile),
    /// Have nginx check a configuration, then write it. If nginx refuses, the configuration before it stays in use.
    WriteChecked(&'p str, &'p PlannedFile),
    /// Replace our layer.
    Layer,
    /// Have Pebble restart what its plan changed, and start what is not running.
    Replan,
    /// Have nginx read its configuration again, without losing a connection.
    Reload,
    /// Note which configuration nginx runs with, so that a hook that ended too early is made up for.
    Record(String),
}

/// What has to be done to a container; nothing if it is as planned.
fn steps<'p>(state: &ContainerState, planned: &'p Workload) -> Vec<Step<'p>> {
    let mut steps = Vec::new();
    for (path, file) in &planned.files {
        if state.files.get(path) != Some(&FileDigest::of(file.content.expose())) {
            steps.push(if path == CONFIG_PATH {
                Step::WriteChecked(path, file)
            } else {
                Step::Write(path, file)
            });
        }
    }
    let new_layer = !state.plan.has(&planned.layer);
    if new_layer {
        steps.push(Step::Layer);
    }
    let runs = planned
        .layer
        .services
        .keys()
        .all(|service| state.services.get(service) == Some(&ServiceStatus::Active));
    if new_layer || !runs {
        steps.push(Step::Replan);
    }
    if let Some(config) = planned.files.get(CONFIG_PATH) {
        let wanted = FileDigest::of(config.content.expose()).to_string();
        if state.files.get(LOADED_PATH) != Some(&FileDigest::of(&wanted)) {
            // Also after a replan: Pebble may have started nginx with the configuration before, between our look at
            // it and our write.
            steps.push(Step::Reload);
            steps.push(Step::Record(wanted));
        }
    }
    steps
}

/// The steps as lines for people.
pub(super) fn preview(seen: &ContainerSnapshot, planned: &Workload) -> Vec<String> {
    let container = planned.container.as_str();
    let ContainerSnapshot::Reachable(state) = seen else {
        return vec![format!("{container}: nothing while its Pebble does not answer")];
    };
    let steps = steps(state, planned);
    let lines = steps.iter().map(|step| match step {
        Step::Write(path, _) => format!("{container}: write {path}"),
        Step::WriteChecked(path, _) => format!("{container}: write {path}, if nginx accepts it"),
        Step::Layer => format!("{container}: replace layer {}", planned.label),
        Step::Replan => format!("{container}: replan services"),
        Step::Reload => format!("{container}: reload nginx"),
        Step::Record(_) => format!("{container}: write {LOADED_PATH}"),
    });
    lines.collect()
}

/// Brings a container to where it should be.
pub(super) async fn apply(
    pebble: &dyn Pebble,
    seen: &ContainerSnapshot,
    planned: &Workload,
) -> WorkloadOutcome {
    let ContainerSnapshot::Reachable(state) = seen else { return WorkloadOutcome::Unreachable };
    let steps = steps(state, planned);
    if steps.is_empty() {
        return WorkloadOutcome::Running;
    }
    match perform(pebble, state, &steps, planned).await {
        Ok(outcome) => outcome,
        Err(Error::Connection(reason)) => {
            tracing::warn!("container {} went away: {reason}", planned.container.as_str());
            WorkloadOutcome::Unreachable
        }
        Err(error) => {
            tracing::warn!("container {}: {error}", planned.container.as_str());
            WorkloadOutcome::Failed(error.to_string())
        }
    }
}

/// How a container is that nothing is planned for: left as it is.
pub(super) fn as_seen(seen: &ContainerSnapshot) -> WorkloadOutcome {
    match seen {
        ContainerSnapshot::Unreachable => WorkloadOutcome::Unreachable,
        ContainerSnapshot::Reachable(_) => WorkloadOutcome::Untouched,
    }
}

/// Performs the steps, and looks at what the services do then.
async fn perform(
    pebble: &dyn Pebble,
    state: &ContainerState,
    steps: &[Step<'_>],
    planned: &Workload,
) -> Result<WorkloadOutcome, Error> {
    let container = planned.container.as_str();
    let services: Vec<&str> = planned.layer.services.keys().map(String::as_str).collect();
    let mut refused = None;
    for step in steps {
        match step {
            Step::Write(path, file) => {
                tracing::info!("{container}: writing {path}");
                pebble.write_file(&write(path, file)).await?;
            }
            Step::WriteChecked(path, file) => {
                refused = check(pebble, file).await?;
                if refused.is_none() {
                    tracing::info!("{container}: writing {path}");
                    pebble.write_file(&write(path, file)).await?;
                } else if !state.files.contains_key(LOADED_PATH) {
                    // There is no configuration of ours yet that could serve in its place.
                    break;
                }
            }
            Step::Layer => pebble.add_layer(&planned.label, &planned.layer).await?,
            Step::Replan => {
                tracing::info!("{container}: replanning services");
                match pebble.change_services(ServiceAction::Replan, &[]).await {
                    // The service ended within its first second. Pebble goes on trying, and what the service does
                    // now is asked below.
                    Err(Error::Change { message }) => tracing::warn!("{container}: {message}"),
                    other => other?,
                }
            }
            Step::Reload | Step::Record(_) if refused.is_some() => {}
            Step::Reload => {
                tracing::info!("{container}: reloading nginx");
                match pebble.signal("SIGHUP", &services).await {
                    // It does not run, so it has loaded nothing that could be recorded.
                    Err(Error::Api { message, .. }) => {
                        tracing::warn!("{container}: {message}");
                        break;
                    }
                    other => other?,
                }
            }
            Step::Record(digest) => {
                let file = PlannedFile { content: Text::Plain(digest.clone()), mode: 0o644 };
                pebble.write_file(&write(LOADED_PATH, &file)).await?;
            }
        }
    }
    if let Some(reason) = refused {
        return Ok(WorkloadOutcome::ConfigRejected(reason));
    }
    let now = pebble.services(&services).await?;
    Ok(match now.iter().find(|service| service.current != ServiceStatus::Active) {
        None => WorkloadOutcome::Running,
        Some(service) => WorkloadOutcome::NotRunning(service.current),
    })
}

/// Has nginx read a configuration beside the one in use. Returns why it refuses it, if it does.
async fn check(pebble: &dyn Pebble, file: &PlannedFile) -> Result<Option<String>, Error> {
    pebble.write_file(&write(CANDIDATE_PATH, file)).await?;
    let command = Exec {
        command: ["nginx", "-t", "-q", "-c", CANDIDATE_PATH].map(str::to_owned).into(),
        timeout: Some(VALIDATION_TIME),
        ..Exec::default()
    };
    let output = pebble.exec(&command).await?;
    if output.exit_code == 0 {
        pebble.remove_file(CANDIDATE_PATH).await?;
        return Ok(None);
    }
    // The candidate stays, for whoever wants to know why.
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("[emerg]")).or_else(|| text.lines().last());
    let reason =
        line.unwrap_or("no reason given").trim_start_matches("nginx: ").trim_start_matches("[emerg] ");
    tracing::error!("nginx refuses its new configuration, the old one stays: {reason}");
    Ok(Some(reason.to_owned()))
}

fn write(path: &str, file: &PlannedFile) -> FileWrite {
    FileWrite { path: path.to_owned(), content: file.content.expose().as_bytes().to_vec(), mode: file.mode }
}
