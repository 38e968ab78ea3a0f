//! Unit agents: one task per unit runs its hooks, one after the other, until the unit is gone.

use std::{
    collections::BTreeMap,
    fs,
    future::ready,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use juju_pebble::{ChangeId, NoticeFilter, Pebble as _};
use juju_sim::{
    CharmMeta, Event, Finished, Session, charm::ContainerMeta, client::ActionOutcome, event::Notice,
    jujuc::Invocation, model::Image, session::AgentPaths, state::Storage, tools::ToolOutput,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    net::UnixListener,
    process::Command,
};

use crate::{
    charm,
    controller::{Begun, Source, split},
    daemon::{Model, Unreliable, forget},
    doubles,
    host::PATH,
    kubernetes::FOLDER_VARIABLE,
    pod::{CHARM, CHARM_IMAGE, Pod, PodSpec, StorageMount, agent_dir, pod_dir},
};

/// How often containers are asked whether they restarted.
const POLL: Duration = Duration::from_millis(250);

/// A session shared by the hook's process, which calls, and the agent, which ends it.
pub(crate) type Shared = Arc<Mutex<Session>>;

/// How a hook's process ended.
enum Ended {
    /// With 0.
    Well,
    /// With another code.
    Failed(i32),
    /// By a signal from outside: nobody's fault.
    Killed,
    /// There is no such hook: as good as well.
    Missing,
}

/// What a hook's process printed, kept for actions.
#[derive(Default)]
struct Printed {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Runs one unit from its pod's start to its end.
pub(crate) async fn run(model: Arc<Model>, unit: String) {
    let entity = format!("unit-{}", unit.replace('/', "-"));
    let mut pause = Duration::from_millis(500);
    while let Err(error) = start(&model, &unit).await {
        let trouble = format!("{error:#}");
        model.log.add(&entity, "ERROR", "juju-sim.pod", &trouble);
        let wanted = model.change(|controller| {
            let unit = controller.unit_mut(&unit);
            unit.is_some_and(|unit| {
                unit.trouble = trouble;
                !unit.dying
            })
        });
        if !wanted {
            return forget(&model, &unit);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(20));
    }
    let poller = tokio::spawn(poll(Arc::clone(&model), unit.clone()));
    let mut changes = model.changes();
    loop {
        changes.borrow_and_update();
        let (next, gone, retry) = {
            let controller = model.controller();
            let now = Instant::now();
            let Some(state) = controller.unit(&unit) else { break };
            // A unit that never ran anything has nothing to say goodbye with.
            let unborn =
                state.dying && state.hooks.is_empty() && state.running.is_none() && state.failed.is_none();
            let retry = state.failed.as_ref().map(|failed| failed.due.saturating_duration_since(now));
            (controller.next(&unit, now), state.removed || unborn, retry)
        };
        if gone {
            break;
        }
        let Some(event) = next else {
            let wait = retry.map_or(Duration::from_hours(1), |retry| retry + Duration::from_millis(1));
            let _ = tokio::time::timeout(wait, changes.changed()).await;
            continue;
        };
        if let Err(error) = hook(&model, &unit, &event).await {
            model.log.add(&entity, "ERROR", "juju-sim.agent", &format!("{}: {error:#}", event.hook_name()));
            model.change(|controller| controller.failed(&unit, &event, Instant::now()));
        }
    }
    poller.abort();
    forget(&model, &unit);
}

/// Makes the unit's pod and puts the charm in it.
async fn start(model: &Arc<Model>, unit: &str) -> Result<()> {
    let _turn = model.starts.acquire().await?;
    let (app, number) = split(unit).context("not a unit's name")?;
    let revision = model.kubernetes.revision(app);
    place_charm(model, app, number).await?;
    let (name, own, containers, storages) = {
        let controller = model.controller();
        let application = controller.application(app)?;
        let image = |resource: &str| {
            let maps = [&model.images, &application.images];
            model.host.as_ref().map(|host| host.image(resource, maps)).unwrap_or_default()
        };
        let declared = application.meta.containers.iter();
        let containers: BTreeMap<String, Image> =
            declared.map(|(name, container)| (name.clone(), image(&container.resource))).collect();
        let ids = application.units.get(&number).map(|unit| unit.storages.clone()).unwrap_or_default();
        let storages: Vec<_> = ids.iter().map(|id| storage_mount(model, &application.meta, id)).collect();
        (controller.name.clone(), image(CHARM_IMAGE), containers, storages)
    };
    let images = containers.values().chain([&own]);
    if let Some((inside, file)) = images.flat_map(|image| &image.files).find(|(_, file)| !file.exists()) {
        bail!("image file {} for {} does not exist", file.display(), inside.display());
    }
    fs::create_dir_all(pod_dir(app, number).join("containers"))?;
    for container in containers.keys() {
        fs::create_dir_all(pod_dir(app, number).join("containers").join(container))?;
    }
    if !model.pebble {
        let stand_ins = doubles::pebble::serve(&pod_dir(app, number).join("containers"), containers.keys())?;
        model.stand_ins.lock().unwrap_or_else(PoisonError::into_inner).insert(unit.to_owned(), stand_ins);
    }
    let mut address = None;
    if model.host.is_none() {
        for storage in &storages {
            fs::create_dir_all(&storage.folder)?;
        }
        model.kubernetes.write_account(app, &account_dir(app, number))?;
    }
    if let Some(host) = &model.host {
        let account = model.kubernetes.account(app);
        // Who has no account there is told nothing of the API.
        let environment = if account.is_empty() { BTreeMap::new() } else { model.kubernetes.environment() };
        let spec = PodSpec {
            account,
            environment,
            model: name,
            app: app.to_owned(),
            number,
            workloads: model.pebble,
            charm: own,
            containers,
            storages,
        };
        let pod = Pod::start(host, spec).await?;
        address = Some(pod.address);
        model.pods.lock().unwrap_or_else(PoisonError::into_inner).insert(unit.to_owned(), Arc::new(pod));
    }
    model.kubernetes.made(unit, revision);
    model.change(|controller| controller.pod_ready(unit, address));
    Ok(())
}

/// Replaces a unit's pod by a new one, as after an eviction: another address, empty containers, the charm still installed.
pub(crate) async fn replace_pod(model: &Arc<Model>, unit: &str) -> Result<()> {
    model.change(|controller| controller.pod_replaced(unit));
    model.end_pod(unit);
    start(model, unit).await
}

async fn place_charm(model: &Model, app: &str, number: u32) -> Result<()> {
    let (source, resources) = {
        let controller = model.controller();
        let application = controller.application(app)?;
        (application.source.clone(), application.resources.clone())
    };
    for (name, file) in resources {
        let target = resource_file(&agent_dir(app, number), &name, &file);
        fs::create_dir_all(target.parent().unwrap_or(Path::new(".")))?;
        fs::copy(&file, &target).with_context(|| format!("resource {name}: {}", file.display()))?;
    }
    let folder = agent_dir(app, number).join("charm");
    fs::create_dir_all(&folder)?;
    if let Source::Path(path) = source {
        tokio::task::spawn_blocking(move || charm::unpack(&path, &folder))
            .await?
            .context("unpacking the charm")?;
    }
    Ok(())
}

/// Where a storage instance lies, and where it is shown.
fn storage_mount(model: &Model, meta: &CharmMeta, id: &str) -> StorageMount {
    let name = id.split('/').next().unwrap_or(id);
    let shown = |container: &ContainerMeta| {
        container
            .mounts
            .iter()
            .filter(|mount| mount.storage == name)
            .map(|mount| mount.location.clone())
            .next()
    };
    let containers = meta.containers.iter();
    StorageMount {
        folder: storage_folder(model, id),
        charm: Path::new("/var/lib/juju/storage").join(name).join("0"),
        workloads: containers
            .filter_map(|(name, container)| Some((name.clone(), shown(container)?.into())))
            .collect(),
    }
}

/// Where a storage instance lies.
pub(crate) fn storage_folder(model: &Model, id: &str) -> PathBuf {
    model.run.join("storage").join(id.replace('/', "-"))
}

/// Where a unit without a container finds its service account, relative to the daemon's working directory.
fn account_dir(app: &str, number: u32) -> PathBuf {
    pod_dir(app, number).join("serviceaccount")
}

/// Where a unit has a copy of a resource's file, in its agent's folder as seen from here or from inside.
fn resource_file(agent: &Path, name: &str, file: &Path) -> PathBuf {
    agent.join("resources").join(name).join(file.file_name().unwrap_or_default())
}

/// Asks every container's Pebble again and again for its boot id, and for what it has to tell.
async fn poll(model: Arc<Model>, unit: String) {
    let Some((app, number)) = split(&unit) else { return };
    let folder = pod_dir(app, number).join("containers");
    // By container: its boot id, and when the last notice occurred that was told.
    let mut told: BTreeMap<String, (String, Option<String>)> = BTreeMap::new();
    loop {
        let Some(containers) = model.controller().unit(&unit).map(|unit| unit.containers.clone()) else {
            return;
        };
        for container in containers {
            let client = juju_pebble::Client::new(folder.join(&container).join("pebble.socket"));
            let boot = client.system_info().await.ok().map(|info| info.boot_id);
            if model.controller().container_seen(&unit, &container, boot.clone()) {
                model.change(|_| ());
            }
            let Some(boot) = boot else { continue };
            let (known, after) = told.entry(container.clone()).or_default();
            if *known != boot {
                (*known, *after) = (boot, None);
            }
            for event in notices(&client, &container, after).await.unwrap_or_default() {
                model.change(|controller| {
                    if let Some(unit) = controller.unit_mut(&unit) {
                        unit.noticed.push_back(event);
                    }
                });
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What a container's Pebble has to tell since the last time: custom notices, and checks that failed or are well again.
async fn notices(
    client: &juju_pebble::Client,
    container: &str,
    after: &mut Option<String>,
) -> Result<Vec<Event>, juju_pebble::Error> {
    let types = vec!["custom".to_owned(), "change-update".to_owned()];
    let filter = NoticeFilter { types, after: after.clone(), ..NoticeFilter::default() };
    let mut events = Vec::new();
    for notice in client.notices(&filter).await? {
        *after = Some(notice.last_repeated.clone());
        let container = container.to_owned();
        if notice.kind == "custom" {
            let about = Notice { id: notice.id, kind: notice.kind, key: notice.key };
            events.push(Event::PebbleCustomNotice(container, about));
            continue;
        }
        let kind = notice.last_data.get("kind").map(String::as_str);
        let Some(check) = notice.last_data.get("check-name").filter(|_| kind.is_some()) else { continue };
        let change = client.change(&ChangeId(notice.key.clone())).await?;
        match (kind, change.status.as_str()) {
            (Some("perform-check"), "Error") => {
                events.push(Event::PebbleCheckFailed(container, check.clone()));
            }
            (Some("recover-check"), "Done") => {
                events.push(Event::PebbleCheckRecovered(container, check.clone()));
            }
            _ => {}
        }
    }
    Ok(events)
}

/// Runs one hook and commits what it did, or not.
async fn hook(model: &Arc<Model>, unit: &str, event: &Event) -> Result<()> {
    let (app, number) = split(unit).context("not a unit's name")?;
    let entity = format!("unit-{app}-{number}");
    let name = event.hook_name();
    if *event == Event::UpgradeCharm {
        place_charm(model, app, number).await?;
    }
    let _turn = model.hooks.acquire().await?;
    let (source, meta, resources, storages) = {
        let controller = model.controller();
        let application = controller.application(app)?;
        let storages = application.units.get(&number).map(|unit| unit.storages.clone()).unwrap_or_default();
        (application.source.clone(), Arc::clone(&application.meta), application.resources.clone(), storages)
    };
    let mut begun = model.change(|controller| controller.begin(unit, event))?;
    let nonce = nonce();
    let agent = paths(model, app, number, &nonce).charm_dir.with_file_name("");
    let resource = |(name, file): (&String, &PathBuf)| {
        (name.clone(), resource_file(&agent, name, file).to_string_lossy().into_owned())
    };
    begun.state.resources = resources.iter().map(resource).collect();
    for id in &storages {
        let StorageMount { folder, charm, .. } = storage_mount(model, &meta, id);
        let location = if model.host.is_some() { charm } else { folder };
        let storage =
            Storage { kind: "filesystem".into(), location: location.to_string_lossy().into_owned() };
        begun.state.storages.insert(id.clone(), storage);
    }
    let base = u64::from_str_radix(&nonce[..12], 16).unwrap_or(0);
    let mut session = Session::new(meta, begun.state.clone(), event.clone()).with_secret_base(base);
    // A double runs here, a charm in its container.
    if let (Source::Path(_), Some(root)) = (&source, model.pod(unit).and_then(|pod| pod.root(CHARM))) {
        session = session.with_root(root);
    }
    let session = Arc::new(Mutex::new(session));
    let mut printed = Printed::default();
    let ended = match &source {
        Source::Path(_) => process(model, unit, &session, &nonce, &mut printed).await,
        Source::Double(double) => {
            let paths = paths(model, app, number, &nonce);
            match doubles::dispatch(model, unit, double, &session, &paths).await {
                Ok(()) => Ok(Ended::Well),
                Err(error) => {
                    model.log.add(&entity, "ERROR", &format!("unit.{unit}.juju-log"), &format!("{error:#}"));
                    Ok(Ended::Failed(1))
                }
            }
        }
    }?;
    // A call may still be on its way from a child that outlived the hook: what it says counts no more.
    let session = session.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let finished = session.finish(matches!(ended, Ended::Well | Ended::Missing));
    for line in &finished.logs {
        model.log.add(&entity, &line.level, &line.module, &line.message);
    }
    settle(model, unit, &begun, &finished, &ended, &name);
    if event.is_action() {
        report(model, unit, event, &finished, &ended, &printed);
    }
    Ok(())
}

/// Takes the hook's effects over, and says how it ended.
fn settle(model: &Model, unit: &str, begun: &Begun, finished: &Finished, ended: &Ended, name: &str) {
    let entity = format!("unit-{}", unit.replace('/', "-"));
    let operation = "juju.worker.uniter.operation";
    model.change(|controller| {
        controller.immediate(unit, &begun.state, &finished.state);
        let failure = match ended {
            Ended::Killed => {
                controller.interrupted(unit);
                model.log.add(
                    &entity,
                    "WARNING",
                    operation,
                    &format!("hook {name:?} was killed; it runs again"),
                );
                return;
            }
            Ended::Failed(code) => Some(format!("exit status {code}")),
            Ended::Well | Ended::Missing => finished.error.clone().or_else(|| {
                controller.commit(unit, &begun.state, &finished.state).err().map(|e| format!("{e:#}"))
            }),
        };
        if let Some(reason) = failure {
            let kind = if begun.event.is_action() { "action" } else { "hook" };
            model.log.add(
                &entity,
                "ERROR",
                operation,
                &format!("{kind} {name:?} (via hook dispatching script: dispatch) failed: {reason}"),
            );
            controller.failed(unit, &begun.event, Instant::now());
        } else {
            // In the words of Juju; actions say enough themselves.
            let (level, message) = match (begun.event.is_action(), matches!(ended, Ended::Missing)) {
                (true, _) => ("DEBUG", format!("ran action {name:?}")),
                (false, true) => ("INFO", format!("skipped {name:?} hook (missing)")),
                (false, false) => {
                    ("INFO", format!("ran {name:?} hook (via hook dispatching script: dispatch)"))
                }
            };
            model.log.add(&entity, level, operation, &message);
            controller.succeeded(unit, begun);
        }
    });
}

/// Keeps an action's outcome for whoever asked for it.
fn report(model: &Model, unit: &str, event: &Event, finished: &Finished, ended: &Ended, printed: &Printed) {
    let Event::Action { id, .. } = event else { return };
    let result = finished.action.clone().unwrap_or_default();
    let mut results = result.results;
    let (code, failure) = match ended {
        Ended::Well => (0, finished.error.as_ref().map(|_| "committing requested changes failed".to_owned())),
        Ended::Failed(code) => (*code, Some(format!("exit status {code}"))),
        Ended::Killed => (-1, Some("action terminated".to_owned())),
        Ended::Missing => (0, Some(format!("action not implemented on unit {unit:?}"))),
    };
    results.insert("return-code".into(), code.into());
    for (key, bytes) in [("stdout", &printed.stdout), ("stderr", &printed.stderr)] {
        if !bytes.is_empty() {
            results.insert(key.into(), String::from_utf8_lossy(bytes).into_owned().into());
        }
    }
    let failure = failure.or(result.failure);
    let outcome = ActionOutcome {
        id: id.clone(),
        unit: unit.to_owned(),
        status: if failure.is_some() { "failed" } else { "completed" }.to_owned(),
        message: failure.unwrap_or_default(),
        results: serde_json::to_value(results).unwrap_or_default(),
        log: result.log,
    };
    model.actions.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), outcome);
    // The one who waits looks when something changes.
    model.change(|_| ());
}

/// Where a unit's things are, as the hook sees them.
fn paths(model: &Model, app: &str, number: u32, nonce: &str) -> AgentPaths {
    let tag = format!("unit-{app}-{number}");
    let (agent, tools_dir, path) = if model.host.is_some() {
        (
            PathBuf::from(format!("/var/lib/juju/agents/{tag}")),
            format!("/var/lib/juju/tools/{tag}").into(),
            format!("{PATH}:/charm/bin"),
        )
    } else {
        (
            model.run.join(agent_dir(app, number)),
            model.run.join("tools"),
            std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned()),
        )
    };
    AgentPaths {
        charm_dir: agent.join("charm"),
        socket: agent.join("agent.socket"),
        tools_dir,
        path,
        nonce: nonce.to_owned(),
    }
}

/// Thirty-two hex digits unlike any other.
pub(crate) fn nonce() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    let number = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", number(), number())
}

/// Runs the charm's own program for one hook.
async fn process(
    model: &Arc<Model>,
    unit: &str,
    session: &Shared,
    nonce: &str,
    printed: &mut Printed,
) -> Result<Ended> {
    let (app, number) = split(unit).context("not a unit's name")?;
    let agent = agent_dir(app, number);
    let paths = paths(model, app, number, nonce);
    let (mut env, action, name) = {
        let session = session.lock().unwrap_or_else(PoisonError::into_inner);
        (session.environment(&paths), session.event().is_action(), session.event().hook_name())
    };
    let dispatch = env.get("JUJU_DISPATCH_PATH").cloned().unwrap_or_default();
    let Some(program) = charm::program(&agent.join("charm"), &dispatch) else { return Ok(Ended::Missing) };
    let program = paths.charm_dir.join(program);
    // A fresh socket for each hook, so that nothing from an earlier one can speak for this one.
    let socket = agent.join("agent.socket");
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).context("making the agent's socket")?;
    let context = env.get("JUJU_CONTEXT_ID").cloned().unwrap_or_default();
    let server =
        tokio::spawn(serve(Arc::clone(model), unit.to_owned(), Arc::clone(session), listener, context));
    let argv = [program.to_string_lossy().into_owned()];
    env.extend(model.kubernetes.environment());
    let mut command = match model.pod(unit) {
        Some(pod) => pod.command(CHARM, env, Some(paths.charm_dir.clone()), &argv)?,
        None if model.host.is_some() => bail!("the pod is gone"),
        None => {
            env.insert(
                "JUJU_OPS_CONTAINERS".into(),
                model.run.join(pod_dir(app, number)).join("containers").to_string_lossy().into_owned(),
            );
            let account = model.run.join(account_dir(app, number));
            env.insert(FOLDER_VARIABLE.into(), account.to_string_lossy().into_owned());
            let mut command = Command::new(&program);
            command.env_clear().envs(env).current_dir(&paths.charm_dir).kill_on_drop(true);
            command
        }
    };
    let result = async {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the charm")?;
        let module = format!("unit.{unit}.{name}");
        let entity = format!("unit-{app}-{number}");
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (out, err) = (action.then_some(&mut printed.stdout), action.then_some(&mut printed.stderr));
        let (status, (), ()) = tokio::join!(
            child.wait(),
            record(stdout, out, |line| model.log.add(&entity, "DEBUG", &module, line)),
            record(stderr, err, |line| model.log.add(&entity, "WARNING", &module, line)),
        );
        anyhow::Ok(status?)
    }
    .await;
    server.abort();
    let status = result?;
    Ok(match (status.code(), status.signal()) {
        (Some(0), _) => Ended::Well,
        // What a shell, and our own helper, make of a signal.
        (Some(137 | 143), _) | (None, Some(9 | 15)) => Ended::Killed,
        (Some(code), _) => Ended::Failed(code),
        (None, signal) => Ended::Failed(128 + signal.unwrap_or(0)),
    })
}

/// Logs what a process prints, line by line; keeps the bytes for an action.
async fn record(stream: impl AsyncRead + Unpin, mut keep: Option<&mut Vec<u8>>, log: impl Fn(&str)) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line).await, Ok(count) if count > 0) {
        log(String::from_utf8_lossy(&line).trim_end());
        if let Some(keep) = &mut keep {
            keep.extend(&line);
        }
        line.clear();
    }
}

/// Answers the hook tools of one hook.
async fn serve(model: Arc<Model>, unit: String, session: Shared, listener: UnixListener, context: String) {
    // Dropped with this task, so that no call is answered after the hook.
    let mut calls = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (model, unit) = (Arc::clone(&model), unit.clone());
        let (session, context) = (Arc::clone(&session), context.clone());
        calls.spawn(async move {
            let answer = |call: Invocation| {
                ready(perform(&model, &unit, &session, &call.argv, call.stdin.as_deref(), &call.cwd))
            };
            // What is wrong with the connection is for the other side to notice.
            let _ = juju_sim::jujuc::serve(stream, &context, answer).await;
        });
        while calls.try_join_next().is_some() {}
    }
}

/// One call of a hook tool: a fault if one was ordered, else the session's answer.
pub(crate) fn perform(
    model: &Model,
    unit: &str,
    session: &Shared,
    argv: &[String],
    stdin: Option<&[u8]>,
    cwd: &Path,
) -> ToolOutput {
    let tool = argv.first().map_or("", String::as_str);
    {
        let mut faults = model.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = false;
        for fault in faults.iter_mut().filter(|fault| fault.unit == unit && fault.tool == tool) {
            fault.left = fault.left.saturating_sub(1);
            now |= fault.left == 0;
        }
        faults.retain(|fault| fault.left > 0);
        drop(faults);
        let mut unreliable = model.unreliable.lock().unwrap_or_else(PoisonError::into_inner);
        now |= unreliable.get_mut(unit).is_some_and(Unreliable::fails);
        drop(unreliable);
        if now {
            return ToolOutput {
                code: 1,
                stdout: Vec::new(),
                stderr: format!("ERROR {tool}: failure ordered by juju-sim\n").into_bytes(),
            };
        }
    }
    let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
    // Statuses are seen at once, also while the hook goes on.
    let before = matches!(tool, "status-set" | "application-version-set").then(|| session.state().clone());
    let output = session.call(argv, stdin, cwd);
    if let Some(before) = before.filter(|_| output.code == 0) {
        let after = session.state().clone();
        drop(session);
        model.change(|controller| controller.immediate(unit, &before, &after));
    }
    output
}
