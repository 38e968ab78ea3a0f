//! What the control socket's requests do.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use juju_relations::{Remote, Wire as _, tls_certificates};
use juju_sim::{
    CharmMeta, Event, Role,
    client::{
        ActionOutcome, ApplicationStatus, ExecOutcome, ModelStatus, OptionValue, RelationInfo,
        RelationStatus, Request, SimulatorStatus, UnitDetails, UnitStatus,
    },
    event::SecretEvent,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::{
    agent, charm,
    controller::{
        Controller, Relation, Source, agent as agent_status, by_number, describe, listed, split, workload,
    },
    daemon::{Fault, Model, Unreliable, wait_for},
    dns::CLUSTER,
    doubles,
    enter::INSIDE,
    pod::{CHARM, Pod},
};

/// Fulfils one request.
pub(crate) async fn handle(model: &Arc<Model>, request: Request) -> Result<Value> {
    Ok(match request {
        Request::Status => serde_json::to_value(status(model))?,
        Request::ShowUnit { unit } => serde_json::to_value(show_unit(model, &unit)?)?,
        Request::Config { app, set, reset } => {
            if !(set.is_empty() && reset.is_empty()) {
                model.change(|controller| controller.configure(&app, &set, &reset))?;
            }
            serde_json::to_value(options(&model.controller(), &app)?)?
        }
        Request::Integrate { left, right } => {
            model.change(|controller| controller.integrate(&left, &right))?.into()
        }
        Request::RemoveRelation { left, right } => {
            model.change(|controller| controller.remove_relation(&left, &right))?;
            Value::Null
        }
        Request::AddUnit { app, count } => {
            let names: Result<Vec<_>> = (0..count).map(|_| model.add_unit(&app)).collect();
            names?.into()
        }
        Request::RemoveUnit { target, count, force } => remove_unit(model, &target, count, force)?.into(),
        Request::RemoveApplication { app } => {
            model.change(|controller| controller.remove_application(&app))?;
            Value::Null
        }
        Request::Run { unit, action, params, timeout } => {
            serde_json::to_value(run(model, &unit, &action, params, timeout).await?)?
        }
        Request::DebugLog { after, include, level, limit } => {
            serde_json::to_value(model.log.select(after, include.as_deref(), &level, limit))?
        }
        Request::Exec { unit, container, command, stdin, timeout } => {
            serde_json::to_value(exec(model, &unit, container.as_deref(), &command, stdin, timeout).await?)?
        }
        Request::Wait { apps, active, timeout } => {
            wait(model, &apps, active, Duration::from_secs(timeout)).await?;
            Value::Null
        }
        Request::Resolved { unit, retry } => {
            model.change(|controller| {
                let unit = controller.resolve(&unit)?;
                controller.resolved(&unit, retry, Instant::now())
            })?;
            Value::Null
        }
        Request::Dispatch { unit, event } => {
            model.change(|controller| dispatch(controller, &unit, &event))?;
            Value::Null
        }
        Request::Refresh { app, charm } => refresh(model, &app, charm)?.into(),
        Request::KillContainer { unit, container } => {
            let unit = model.controller().resolve(&unit)?;
            kill_container(model, &unit, &container)?;
            Value::Null
        }
        Request::FailHookTool { unit, tool, nth } => {
            let unit = model.controller().resolve(&unit)?;
            if !juju_sim::tools::TOOLS.iter().any(|(known, _)| *known == tool) {
                let known: Vec<_> = juju_sim::tools::TOOLS.iter().map(|(known, _)| *known).collect();
                bail!("there is no hook tool {tool:?}; there are: {}", known.join(", "));
            }
            let fault = Fault { unit, tool, left: nth.max(1) };
            model.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
            Value::Null
        }
        Request::FailHookTools { unit, percent, seed } => {
            let unit = model.controller().resolve(&unit)?;
            let mut all = model.unreliable.lock().unwrap_or_else(PoisonError::into_inner);
            if percent > 0.0 {
                all.insert(unit, Unreliable { percent, state: seed });
            } else {
                all.remove(&unit);
            }
            Value::Null
        }
        Request::KillPod { unit } => {
            let unit = model.controller().resolve(&unit)?;
            agent::replace_pod(model, &unit).await?;
            Value::Null
        }
        Request::FreezePebble { unit, container, thaw } => {
            let unit = model.controller().resolve(&unit)?;
            if !model.pebble {
                bail!("no Pebble runs in this model (see: juju-sim doctor)");
            }
            let pod = pod(model, &unit)?;
            has_container(&model.controller(), &unit, &container)?;
            pod.freeze(&container, !thaw)?;
            Value::Null
        }
        Request::FailKubernetes { status } => {
            model.kubernetes.fail(status);
            Value::Null
        }
        Request::KillLeader { app } => {
            let (old, new) = model.change(|controller| controller.depose(&app))?;
            agent::replace_pod(model, &old).await?;
            new.into()
        }
        Request::Partition { unit, heal } => {
            let unit = model.controller().resolve(&unit)?;
            pod(model, &unit)?.connect(heal).await?;
            Value::Null
        }
        Request::SendSpans { unit, protocol, url, spans, timeout, age, tls, ca } => {
            let encrypted = tls || url.starts_with("https://");
            let ca =
                ca.filter(|_| encrypted).or_else(|| authorities(&model.controller()).filter(|_| encrypted));
            let (spans, seconds, age) = (spans.to_string(), timeout.to_string(), age.to_string());
            let mut options = vec!["--protocol", &protocol, "--url", &url, "--spans", &spans];
            options.extend(["--timeout", &seconds, "--age", &age, "--format", "json"]);
            options.extend(tls.then_some("--tls"));
            in_pod(model, &unit, "send", &options, ca).await?
        }
        Request::Fetch { unit, urls, timeout, ca } => {
            let encrypted = urls.iter().any(|url| url.starts_with("https://"));
            let ca = ca.or_else(|| authorities(&model.controller())).filter(|_| encrypted);
            let seconds = timeout.to_string();
            let options = ["--timeout", &seconds, "--format", "json"];
            let words: Vec<&str> = options.into_iter().chain(urls.iter().map(String::as_str)).collect();
            in_pod(model, &unit, "fetch", &words, ca).await?
        }
        Request::Counts { app, service } => {
            serde_json::to_value(counts(model, app.as_deref(), service.as_deref()).await?)?
        }
        Request::Trust { app, remove } => {
            model.change(|controller| controller.trust(&app, !remove))?;
            Value::Null
        }
        Request::Objects => model.kubernetes.objects().into(),
        Request::Down => Value::Null,
    })
}

fn pod(model: &Model, unit: &str) -> Result<Arc<Pod>> {
    if model.host.is_none() {
        bail!("this model runs without pods, because namespaces cannot be made here (see: juju-sim doctor)");
    }
    model.pod(unit).with_context(|| format!("the pod of {unit} is not there"))
}

/// The whole model at a glance.
fn status(model: &Model) -> ModelStatus {
    let controller = model.controller();
    let applications = controller.applications.iter().map(|(name, application)| {
        let units = application.units.iter().map(|(number, unit)| {
            let status = UnitStatus {
                leader: application.leader == Some(*number),
                workload: workload(unit),
                agent: agent_status(unit),
                address: unit.address.map(|ip| ip.to_string()).unwrap_or_default(),
                ports: by_number(&unit.ports),
            };
            (format!("{name}/{number}"), status)
        });
        let status = ApplicationStatus {
            charm: application.meta.name.clone(),
            revision: application.revision,
            version: application.version.clone(),
            scale: application.units.values().filter(|unit| !unit.dying).count(),
            status: Controller::app_status(application),
            address: format!("{name}.{}.{CLUSTER}", controller.name),
            units: units.collect(),
        };
        (name.clone(), status)
    });
    let relations = controller.relations.iter().filter_map(|(id, relation)| {
        let provider = relation.ends.first()?;
        let requirer = relation.ends.iter().find(|end| end.role == Role::Requirer).unwrap_or(provider);
        Some(RelationStatus {
            id: *id,
            provider: describe(provider),
            requirer: describe(requirer),
            interface: relation.interface.clone(),
            kind: if relation.peer() { "peer" } else { "regular" }.to_owned(),
            status: if relation.dying { "removing" } else { "joined" }.to_owned(),
        })
    });
    ModelStatus {
        model: controller.name.clone(),
        uuid: controller.uuid.clone(),
        version: juju_sim::State::default().juju_version,
        simulator: SimulatorStatus {
            pods: model.host.is_some(),
            pebble: model.pebble,
            reasons: model.reasons.clone(),
        },
        settled: model.unsettled(&controller).is_empty(),
        applications: applications.collect(),
        relations: relations.collect(),
    }
}

/// One unit in depth.
fn show_unit(model: &Model, name: &str) -> Result<UnitDetails> {
    let controller = model.controller();
    let name = controller.resolve(name)?;
    let (app, number) = split(&name).context("not a unit's name")?;
    let application = controller.application(app)?;
    let unit = application.units.get(&number).context("unit not found")?;
    let relation_info = controller.relations.iter().filter_map(|(id, relation)| {
        let local = relation.local(app)?;
        let remote = relation.remote(app)?;
        Some(RelationInfo {
            relation_id: *id,
            endpoint: local.endpoint.clone(),
            related_application: remote.app.clone(),
            related_endpoint: remote.endpoint.clone(),
            application_data: relation.app_data(&remote.app),
            local_application_data: relation.app_data(app),
            local_unit: relation.unit_data(&name),
            related_units: relation
                .unit_names()
                .filter(|other| *other != name && split(other).is_some_and(|(other, _)| other == remote.app))
                .map(|other| (other.to_owned(), relation.unit_data(other)))
                .collect(),
        })
    });
    Ok(UnitDetails {
        leader: application.leader == Some(number),
        address: unit.address.map(|ip| ip.to_string()).unwrap_or_default(),
        fqdn: format!("{app}-{number}.{app}-endpoints.{}.{CLUSTER}", controller.name),
        workload: workload(unit),
        agent: agent_status(unit),
        workload_version: unit.version.clone(),
        opened_ports: by_number(&unit.ports),
        containers: unit
            .containers
            .iter()
            .map(|name| (name.clone(), unit.boots.get(name).cloned().unwrap_or_default()))
            .collect(),
        hooks: unit.hooks.clone(),
        relation_info: relation_info.collect(),
        unit: name.clone(),
    })
}

fn options(controller: &Controller, app: &str) -> Result<BTreeMap<String, OptionValue>> {
    let application = controller.application(app)?;
    let option = |(name, declared): (&String, &juju_sim::charm::ConfigOption)| {
        let set = application.options.get(name);
        let default = declared.default.clone().unwrap_or_default();
        let source = if set.is_some() {
            "user"
        } else if declared.default.is_some() {
            "default"
        } else {
            "unset"
        };
        let value = OptionValue {
            value: set.cloned().unwrap_or_else(|| default.clone()),
            default,
            source: source.to_owned(),
            kind: format!("{:?}", declared.kind).to_lowercase(),
            description: declared.description.clone(),
        };
        (name.clone(), value)
    };
    Ok(application.meta.config.iter().map(option).collect())
}

fn remove_unit(model: &Model, target: &str, count: u32, force: bool) -> Result<Vec<String>> {
    model.change(|controller| {
        let names = if target.contains('/') {
            vec![controller.resolve(target)?]
        } else {
            let living = controller.application(target)?.units.iter().filter(|(_, unit)| !unit.dying);
            living.rev().take(count as usize).map(|(number, _)| format!("{target}/{number}")).collect()
        };
        for name in &names {
            if force { controller.remove_unit_now(name) } else { controller.remove_unit(name) }?;
        }
        Ok(names)
    })
}

/// Refuses a workload container that a unit has not, with the names of those it has.
fn has_container(controller: &Controller, unit: &str, container: &str) -> Result<()> {
    let known = controller.unit(unit).map(|unit| unit.containers.clone()).unwrap_or_default();
    if known.contains(container) {
        return Ok(());
    }
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    bail!("{unit} has no container {container:?}; it has {known}")
}

/// Ends a workload container, the real one or what stands in for it.
fn kill_container(model: &Model, unit: &str, container: &str) -> Result<()> {
    has_container(&model.controller(), unit, container)?;
    if model.pebble {
        let pod = pod(model, unit)?;
        model.change(|controller| controller.container_killed(unit, container));
        return pod.kill_container(container);
    }
    let stand_ins = model.stand_ins.lock().unwrap_or_else(PoisonError::into_inner);
    let known = stand_ins.get(unit).and_then(|containers| containers.get(container));
    let (double, _) = known.with_context(|| format!("{unit} has no container {container:?}"))?;
    model.change(|controller| controller.container_killed(unit, container));
    double.change(|state| *state = doubles::pebble::fresh());
    Ok(())
}

/// Queues an action and waits for its outcome.
async fn run(
    model: &Arc<Model>,
    unit: &str,
    action: &str,
    params: BTreeMap<String, Value>,
    timeout: u64,
) -> Result<ActionOutcome> {
    let id = model.action_id();
    let unit = model.change(|controller| {
        let unit = controller.resolve(unit)?;
        let (app, _) = split(&unit).context("not a unit's name")?;
        let meta = &controller.application(app)?.meta;
        let Some(declared) = meta.actions.get(action) else {
            bail!("{app} has no action {action:?}; it has {}", listed(meta.actions.keys()));
        };
        if let Some(missing) = declared.required.iter().find(|name| !params.contains_key(*name)) {
            bail!("action {action:?} needs the parameter {missing:?}");
        }
        if declared.additional_properties == Some(false)
            && let Some(unknown) = params.keys().find(|name| !declared.params.contains_key(*name))
        {
            bail!("action {action:?} has no parameter {unknown:?}");
        }
        let event = Event::Action { name: action.to_owned(), id: id.clone(), params };
        controller.unit_mut(&unit).context("unit not found")?.queue.push_back(event);
        anyhow::Ok(unit)
    })?;
    let outcome = wait_for(model, Duration::from_secs(timeout), |model| {
        let done = model.actions.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        done.ok_or_else(|| match model.controller().unit(&unit) {
            None => format!("{unit} was removed before it ran {action}"),
            Some(state) => match agent_status(state).message {
                message if message.is_empty() => format!("{unit} did not run {action} within {timeout} s"),
                message => format!("{unit} did not run {action} within {timeout} s: {message}"),
            },
        })
    });
    outcome.await.map_err(anyhow::Error::msg)
}

/// Runs a command in a pod.
async fn exec(
    model: &Arc<Model>,
    unit: &str,
    container: Option<&str>,
    command: &[String],
    stdin: Option<String>,
    timeout: u64,
) -> Result<ExecOutcome> {
    let unit = model.controller().resolve(unit)?;
    let pod = pod(model, &unit)?;
    let container = container.unwrap_or(CHARM);
    if container != CHARM {
        let controller = model.controller();
        let known = controller.unit(&unit).map(|unit| unit.containers.clone()).unwrap_or_default();
        if !known.contains(container) {
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            bail!("{unit} has no container {container:?}; it has: charm, {}", known.join(", "));
        }
    }
    let mut env = Pod::shell_env(container);
    if !split(&unit).is_none_or(|(app, _)| model.kubernetes.account(app).is_empty()) {
        env.extend(model.kubernetes.environment());
    }
    let mut child = pod
        .command(container, env, Some("/".into()), command)?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("entering the pod")?;
    if let Some(mut input) = child.stdin.take()
        && let Some(text) = stdin
    {
        // A command that does not read its input is no error.
        let _ = input.write_all(text.as_bytes()).await;
    }
    let output = tokio::time::timeout(Duration::from_secs(timeout), child.wait_with_output()).await;
    let output =
        output.map_err(|_| anyhow::anyhow!("{} did not end within {timeout} s", command.join(" ")))??;
    Ok(ExecOutcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Waits until nothing is left to do and, if asked, applications are active.
async fn wait(model: &Arc<Model>, apps: &[String], active: bool, timeout: Duration) -> Result<()> {
    for app in apps {
        model.controller().application(app)?;
    }
    let missing = wait_for(model, timeout, |model| {
        let controller = model.controller();
        let mut reasons = model.unsettled(&controller);
        for (name, application) in &controller.applications {
            if !active || !(apps.is_empty() || apps.contains(name)) {
                continue;
            }
            for (number, unit) in &application.units {
                let status = workload(unit);
                if status.current != "active" && unit.failed.is_none() {
                    reasons.push(
                        format!("{name}/{number}: {} {}", status.current, status.message)
                            .trim_end()
                            .to_owned(),
                    );
                }
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n  ")) }
    });
    missing
        .await
        .map_err(|reasons| anyhow::anyhow!("after {} s there is still:\n  {reasons}", timeout.as_secs()))
}

/// Queues one hook by name.
fn dispatch(controller: &mut Controller, unit: &str, name: &str) -> Result<()> {
    let unit = controller.resolve(unit)?;
    let (app, _) = split(&unit).context("not a unit's name")?;
    let event = match name {
        "install" => Event::Install,
        "start" => Event::Start,
        "config-changed" => Event::ConfigChanged,
        "update-status" => Event::UpdateStatus,
        "upgrade-charm" => Event::UpgradeCharm,
        "leader-elected" => Event::LeaderElected,
        "leader-settings-changed" => Event::LeaderSettingsChanged,
        other if other.starts_with("secret-") && other.contains(':') => {
            let (kind, label) = other.split_once(':').unwrap_or_default();
            let secret = controller.secret_of(&unit, label)?;
            match kind {
                "secret-rotate" => Event::SecretRotate(secret),
                "secret-expired" => Event::SecretExpired(SecretEvent { revision: Some(1), ..secret }),
                _ => bail!(
                    "{kind} comes by itself; by hand there are secret-rotate:LABEL and secret-expired:LABEL"
                ),
            }
        }
        // What follows from the real ones, such as the end of the unit, does not follow from these.
        "stop" | "remove" => Event::Other(name.to_owned()),
        other => of_parts(controller, app, other)?,
    };
    controller.unit_mut(&unit).context("unit not found")?.queue.push_back(event);
    Ok(())
}

/// A hook that is named after a container or an endpoint of the charm.
fn of_parts(controller: &Controller, app: &str, name: &str) -> Result<Event> {
    let meta = &controller.application(app)?.meta;
    if let Some(container) = name.strip_suffix("-pebble-ready")
        && meta.containers.contains_key(container)
    {
        return Ok(Event::pebble_ready(container));
    }
    let created = name.strip_suffix("-relation-created");
    if let Some(endpoint) = created.or_else(|| name.strip_suffix("-relation-changed"))
        && meta.role(endpoint).is_some()
    {
        let here = |relation: &Relation| relation.local(app).is_some_and(|end| end.endpoint == endpoint);
        let (id, _) =
            controller.relations.iter().find(|(_, relation)| here(relation)).with_context(|| {
                format!("{app} has no relation at {endpoint:?}; make one with: juju-sim integrate")
            })?;
        return Ok(match created {
            Some(_) => Event::relation_created(endpoint, *id),
            None => Event::relation_changed(endpoint, *id),
        });
    }
    bail!("{}", no_hook(meta, app, name))
}

/// Why there is no such hook to dispatch, with the names that may have been meant.
fn no_hook(meta: &CharmMeta, app: &str, name: &str) -> String {
    let fixed = [
        "install",
        "start",
        "stop",
        "remove",
        "config-changed",
        "update-status",
        "upgrade-charm",
        "leader-elected",
        "leader-settings-changed",
        "secret-rotate:LABEL",
        "secret-expired:LABEL",
    ];
    let containers = meta.containers.keys().map(|container| format!("{container}-pebble-ready"));
    let endpoints = meta
        .endpoints
        .keys()
        .flat_map(|endpoint| ["created", "changed"].map(|what| format!("{endpoint}-relation-{what}")));
    let known: Vec<_> = fixed.into_iter().map(str::to_owned).chain(containers).chain(endpoints).collect();
    let parts = [
        ("-relation-joined", meta.endpoints.keys().collect::<Vec<_>>()),
        ("-relation-departed", meta.endpoints.keys().collect()),
        ("-relation-broken", meta.endpoints.keys().collect()),
        ("-pebble-custom-notice", meta.containers.keys().collect()),
        ("-pebble-check-failed", meta.containers.keys().collect()),
        ("-pebble-check-recovered", meta.containers.keys().collect()),
        ("-storage-attached", meta.storage.keys().collect()),
        ("-storage-detaching", meta.storage.keys().collect()),
    ];
    let by_itself = |(suffix, parts): (&str, Vec<&String>)| {
        name.strip_suffix(suffix).is_some_and(|part| parts.into_iter().any(|known| known == part))
    };
    if parts.into_iter().any(by_itself) {
        return format!("{name} comes by itself; by hand there are: {}", known.join(", "));
    }
    let mut close: Vec<_> = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known.split(':').next().unwrap_or_default(), name), known))
        .filter(|(distance, _)| *distance <= name.len() / 3)
        .collect();
    close.sort();
    let close: Vec<_> = close.into_iter().take(3).map(|(_, known)| known.as_str()).collect();
    if close.is_empty() {
        format!("{app} has no hook {name:?}; by hand there are: {}", known.join(", "))
    } else {
        format!("{app} has no hook {name:?}; did you mean {}?", close.join(" or "))
    }
}

fn refresh(model: &Model, app: &str, charm: Option<String>) -> Result<u32> {
    let charm = match (charm, &model.controller().application(app)?.source) {
        (Some(charm), _) => charm,
        (None, Source::Path(path)) => path.to_string_lossy().into_owned(),
        (None, Source::Double(name)) => format!("double:{name}"),
    };
    let (source, meta) = charm::load(&charm)?;
    model.change(|controller| {
        controller.refresh(app, source, &meta)?;
        Ok(controller.application(app)?.revision)
    })
}

/// Runs one end of the traffic in a pod: what it says of it. `ca` is trusted.
async fn in_pod(
    model: &Arc<Model>,
    unit: &str,
    workload: &str,
    options: &[&str],
    ca: Option<String>,
) -> Result<Value> {
    // The certificates are its input: nothing has to be put into the pod for it.
    let trust: &[_] = if ca.is_some() { &["--ca-file", "/dev/stdin"] } else { &[] };
    let words = [INSIDE, "workload", workload].into_iter();
    let words = words.chain(trust.iter().copied()).chain(options.iter().copied());
    let command: Vec<_> = words.map(str::to_owned).collect();
    let outcome = exec(model, unit, None, &command, ca, 600).await?;
    if let Ok(said) = serde_json::from_str(&outcome.stdout) {
        return Ok(said);
    }
    let reason = outcome.stderr.trim().trim_start_matches("ERROR ");
    bail!("{unit} could not {workload}: {reason}")
}

/// The certificates of those who hand out certificates in this model; `None` if nobody does.
pub(crate) fn authorities(controller: &Controller) -> Option<String> {
    let relations =
        controller.relations.values().filter(|relation| relation.interface == tls_certificates::INTERFACE);
    let databags = relations.flat_map(|relation| relation.ends.iter().map(|end| relation.app_data(&end.app)));
    let mut found = BTreeSet::new();
    for databag in databags {
        if let Remote::Ready(data) = tls_certificates::ProviderAppData::read(Some(&databag.into())) {
            found.extend(data.certificates.into_iter().map(|issued| issued.ca));
        }
    }
    (!found.is_empty()).then(|| found.into_iter().collect::<Vec<_>>().join("\n"))
}

/// What the sinks of an application's units counted, or of all.
async fn counts(
    model: &Arc<Model>,
    app: Option<&str>,
    service: Option<&str>,
) -> Result<BTreeMap<String, BTreeMap<String, u64>>> {
    let wanted = |name: &str| service.is_none_or(|service| service == name);
    let units: Vec<String> = {
        let controller = model.controller();
        if let Some(app) = app {
            controller.application(app)?;
        }
        controller
            .unit_names()
            .filter(|unit| app.is_none_or(|app| split(unit).is_some_and(|(of, _)| of == app)))
            .collect()
    };
    let mut found = BTreeMap::new();
    for unit in units {
        if let Some(counts) = doubles::worker::counts(model, &unit)
            .await
            .with_context(|| format!("asking the sink of {unit}"))?
        {
            let sum = |services: BTreeMap<String, u64>| {
                services.into_iter().filter(|(name, _)| wanted(name)).map(|(_, spans)| spans).sum()
            };
            found.insert(
                unit,
                counts.into_iter().map(|(protocol, services)| (protocol, sum(services))).collect(),
            );
        }
    }
    if let (Some(app), true) = (app, found.is_empty()) {
        bail!("no unit of {app} receives spans");
    }
    Ok(found)
}

/// A value that a user typed as a parameter of an action: JSON where it is some, text otherwise.
pub(crate) fn typed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}
