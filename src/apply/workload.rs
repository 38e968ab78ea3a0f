//! One container: from what it holds to what it should hold.

use std::time::Duration;

use juju_pebble::{Error, Exec, FileWrite, Pebble, ServiceAction, ServiceStatus};

use crate::names::Container;
use crate::plan::exporter::STARTED_PATH;
use crate::plan::nginx::{
    CA_PATH, CANDIDATE_PAIR_PATH, CANDIDATE_PATH, CONFIG_PATH, LOADED_PATH, PAIR_PATH, TRUSTED_PATH,
};
use crate::plan::{PlannedFile, Text, Workload};
use crate::snapshot::{ContainerSnapshot, ContainerState, FileDigest};
use crate::status::WorkloadOutcome;

/// How long a command in a container may take. `nginx -t` resolves no names, so it takes milliseconds; building a trust
/// store takes a second or two.
const COMMAND_TIME: Duration = Duration::from_secs(30);

/// One thing to do, in the order in which they are listed by [`steps`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step<'p> {
    /// Have nginx read this configuration and these certificates, or those in use where there is nothing new. If it
    /// refuses, no file is written or removed, and what it has loaded stays in use.
    Check { config: Option<&'p PlannedFile>, pair: Option<&'p PlannedFile> },
    /// Write a file.
    Write(&'p str, &'p PlannedFile),
    /// Replace our layer.
    Layer,
    /// Have Pebble restart what its plan changed, and start what is not running.
    Replan,
    /// Have nginx read its configuration again, without losing a connection.
    Reload,
    /// Note in a file what a service runs with, so that a hook that ended too early is made up for.
    Record(&'static str, String),
    /// Remove a file.
    Remove(&'p str),
    /// Build the container's trust store anew, and note which authority is in it; none, if it left.
    Trust(Option<String>),
}

/// What has to be done to a container; nothing if it is as planned.
fn steps<'p>(state: &ContainerState, planned: &'p Workload) -> Vec<Step<'p>> {
    if !planned.only_over.iter().all(|path| state.files.contains_key(path)) {
        return Vec::new();
    }
    let is_there = |path: &str| state.files.contains_key(path);
    let differs = |path: &str, file: &PlannedFile| {
        state.files.get(path) != Some(&FileDigest::of(file.content.expose()))
    };
    let changed = |path: &str| planned.files.get(path).filter(|file| differs(path, file));

    let mut steps = Vec::new();
    let (config, pair) = (changed(CONFIG_PATH), changed(PAIR_PATH));
    if config.is_some() || pair.is_some() {
        steps.push(Step::Check { config, pair });
    }
    // The configuration refers to the others, so it comes last.
    let mut writes: Vec<_> = planned.files.iter().filter(|(path, file)| differs(path, file)).collect();
    writes.sort_by_key(|(path, _)| *path == CONFIG_PATH);
    steps.extend(writes.into_iter().map(|(path, file)| Step::Write(path, file)));

    let new_layer = !state.plan.has(&planned.layer);
    if new_layer {
        steps.push(Step::Layer);
    }
    let runs = planned
        .layer
        .services
        .keys()
        .all(|service| state.services.get(service) == Some(&ServiceStatus::Active));
    let started =
        to_start(planned).filter(|(path, wanted)| state.files.get(*path) != Some(&FileDigest::of(wanted)));
    if new_layer || !runs || started.is_some() {
        // Restarts only what its plan changed since it was started.
        steps.push(Step::Replan);
    }
    if let Some((path, wanted)) = started {
        steps.push(Step::Record(path, wanted));
    }
    if let Some(wanted) = to_load(state, planned)
        && state.files.get(LOADED_PATH) != Some(&FileDigest::of(&wanted))
    {
        // Also after a replan: Pebble may have started nginx with what was there before, between our look at it and
        // our write.
        steps.push(Step::Reload);
        steps.push(Step::Record(LOADED_PATH, wanted));
    }
    // Nothing refers to these any more.
    steps.extend(planned.absent.iter().filter(|path| is_there(path)).map(|path| Step::Remove(path)));
    match planned.files.get(CA_PATH) {
        Some(ca) => {
            let wanted = FileDigest::of(ca.content.expose()).to_string();
            if state.files.get(TRUSTED_PATH) != Some(&FileDigest::of(&wanted)) {
                steps.push(Step::Trust(Some(wanted)));
            }
        }
        // A charm before this one left no note of what it had built.
        None if planned.absent.contains(CA_PATH) && (is_there(CA_PATH) || is_there(TRUSTED_PATH)) => {
            steps.push(Step::Trust(None));
        }
        None => {}
    }
    steps
}

/// With which layer the exporter has to have been started, and where that is recorded. From Pebble one learns what should
/// run, not with what it was started: of a hook that ended between the two, nothing else tells. `None` for nginx, whose
/// layer is always the same.
fn to_start(planned: &Workload) -> Option<(&'static str, String)> {
    (planned.container == Container::NginxPrometheusExporter).then(|| {
        let layer = serde_json::to_string(&planned.layer).unwrap_or_default();
        (STARTED_PATH, FileDigest::of(layer).to_string())
    })
}

/// What nginx has to have loaded, as it is recorded: the digest of its configuration and, if that one has TLS, of its
/// certificates with their key. `None` for other workloads.
fn to_load(state: &ContainerState, planned: &Workload) -> Option<String> {
    let digest = |path: &str| planned.files.get(path).map(|file| FileDigest::of(file.content.expose()));
    // Where no configuration is planned, the one that is there stays.
    let stays = planned.only_over.contains(CONFIG_PATH).then(|| state.files.get(CONFIG_PATH).copied());
    let config = digest(CONFIG_PATH).or(stays.flatten())?;
    Some(match digest(PAIR_PATH) {
        Some(pair) => format!("{config} {pair}"),
        None => config.to_string(),
    })
}

/// The steps as lines for people.
pub(super) fn preview(seen: &ContainerSnapshot, planned: &Workload) -> Vec<String> {
    let container = planned.container.as_str();
    let ContainerSnapshot::Reachable(state) = seen else {
        return vec![format!("{container}: nothing while its Pebble does not answer")];
    };
    let steps = steps(state, planned);
    let lines = steps.iter().map(|step| match step {
        Step::Check { .. } => {
            format!("{container}: have nginx check what follows, and go on only if it accepts it")
        }
        Step::Write(path, _) | Step::Record(path, _) => format!("{container}: write {path}"),
        Step::Layer => format!("{container}: replace layer {}", planned.label),
        Step::Replan => format!("{container}: replan services"),
        Step::Reload => format!("{container}: reload nginx"),
        Step::Remove(path) => format!("{container}: remove {path}"),
        Step::Trust(_) => format!("{container}: build the trust store anew"),
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
            Step::Check { config, pair } => {
                refused = check(pebble, *config, *pair).await?;
                if refused.is_some() && !state.files.contains_key(LOADED_PATH) {
                    // There is no configuration of ours yet that could serve in its place.
                    break;
                }
            }
            Step::Write(..) | Step::Reload | Step::Record(..) | Step::Remove(_) | Step::Trust(_)
                if refused.is_some() => {}
            Step::Write(path, file) => {
                tracing::info!("{container}: writing {path}");
                pebble.write_file(&write(path, file)).await?;
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
            Step::Record(path, digest) => {
                let file = PlannedFile { content: Text::Plain(digest.clone()), mode: 0o644 };
                pebble.write_file(&write(path, &file)).await?;
            }
            Step::Remove(path) => {
                tracing::info!("{container}: removing {path}");
                pebble.remove_file(path).await?;
            }
            Step::Trust(authority) => trust(pebble, authority.as_deref()).await?,
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

/// Has nginx read a configuration and certificates beside those in use. Returns why it refuses them, if it does.
async fn check(
    pebble: &dyn Pebble,
    config: Option<&PlannedFile>,
    pair: Option<&PlannedFile>,
) -> Result<Option<String>, Error> {
    let mut candidate = match config {
        Some(config) => config.content.expose().to_owned(),
        // The configuration in use stays; its text is needed here only, to be read with other certificates.
        None => {
            String::from_utf8_lossy(&pebble.read_file(CONFIG_PATH).await?.unwrap_or_default()).into_owned()
        }
    };
    if let Some(pair) = pair {
        candidate = candidate.replace(PAIR_PATH, CANDIDATE_PAIR_PATH);
        pebble.write_file(&write(CANDIDATE_PAIR_PATH, pair)).await?;
    }
    let candidate = PlannedFile { content: Text::Plain(candidate), mode: 0o644 };
    pebble.write_file(&write(CANDIDATE_PATH, &candidate)).await?;
    let output = pebble.exec(&command(&["nginx", "-t", "-q", "-c", CANDIDATE_PATH])).await?;
    if pair.is_some() {
        pebble.remove_file(CANDIDATE_PAIR_PATH).await?;
    }
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

/// Builds the trust store anew. Nothing of ours reads it, so that an image that cannot do it is worth a line in the log
/// and another attempt with the next hook, and no more.
async fn trust(pebble: &dyn Pebble, authority: Option<&str>) -> Result<(), Error> {
    match pebble.exec(&command(&["update-ca-certificates", "--fresh"])).await {
        Ok(output) if output.exit_code == 0 => {}
        Ok(output) => {
            tracing::warn!("update-ca-certificates exited with {}", output.exit_code);
            return Ok(());
        }
        Err(error @ Error::Connection(_)) => return Err(error),
        Err(error) => {
            tracing::warn!("update-ca-certificates: {error}");
            return Ok(());
        }
    }
    match authority {
        Some(digest) => {
            let file = PlannedFile { content: Text::Plain(digest.to_owned()), mode: 0o644 };
            pebble.write_file(&write(TRUSTED_PATH, &file)).await
        }
        None => pebble.remove_file(TRUSTED_PATH).await.map(drop),
    }
}

fn command(words: &[&str]) -> Exec {
    Exec {
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        timeout: Some(COMMAND_TIME),
        ..Exec::default()
    }
}

fn write(path: &str, file: &PlannedFile) -> FileWrite {
    FileWrite { path: path.to_owned(), content: file.content.expose().as_bytes().to_vec(), mode: file.mode }
}
