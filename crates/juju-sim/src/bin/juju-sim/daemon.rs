//! The running model: everything the daemon shares between units, its control socket and its end.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use juju_sim::{
    client::{ActionOutcome, Reply, Request},
    model::{Image, ModelFile},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Notify, Semaphore, watch},
};

use crate::{
    agent, charm,
    controller::{Controller, Unit, split},
    doubles,
    host::{BRIDGE, Host},
    kubernetes::{self, Kubernetes},
    log::Log,
    pod::{Pod, pod_dir},
    verbs,
};

/// What the daemon is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// The model's folder.
    pub(crate) dir: PathBuf,
    /// What to deploy, paths absolute.
    pub(crate) model: ModelFile,
    /// Programs for workloads.
    pub(crate) tools: PathBuf,
    /// Whether the daemon has namespaces of its own, so that it can make pods.
    pub(crate) pods: bool,
    /// What the model has to do without, and why.
    pub(crate) reasons: Vec<String>,
    /// Whether its log goes to standard output.
    pub(crate) foreground: bool,
    /// Whether the end of standard input ends it.
    pub(crate) until_eof: bool,
}

/// One hook-tool call that shall fail.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) unit: String,
    pub(crate) tool: String,
    /// Calls still to come, this one included.
    pub(crate) left: u32,
}

/// Hook-tool calls of one unit that shall fail at random.
#[derive(Clone, Debug)]
pub(crate) struct Unreliable {
    pub(crate) percent: f64,
    /// Where the sequence of random numbers is.
    pub(crate) state: u64,
}

impl Unreliable {
    /// Whether the next call fails. The sequence is that of `SplitMix64`.
    pub(crate) fn fails(&mut self) -> bool {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.state;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // 32 bits, which a floating-point number holds.
        let number = u32::try_from((number ^ (number >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(number) / f64::from(u32::MAX) * 100.0 < self.percent
    }
}

/// The running model.
pub(crate) struct Model {
    controller: Mutex<Controller>,
    changes: watch::Sender<u64>,
    /// The machine; `None` where pods cannot be made.
    pub(crate) host: Option<Arc<Host>>,
    /// Whether workload containers run a real Pebble.
    pub(crate) pebble: bool,
    pub(crate) pods: Mutex<BTreeMap<String, Arc<Pod>>>,
    /// What the model has to do without, and why.
    pub(crate) reasons: Vec<String>,
    /// The cluster's API.
    pub(crate) kubernetes: Kubernetes,
    /// Running processes that belong to doubles.
    pub(crate) workloads: Mutex<BTreeMap<String, doubles::worker::Running>>,
    /// Likewise: the other real programs, by unit.
    pub(crate) programs: Mutex<BTreeMap<String, doubles::program::Program>>,
    /// Likewise: each Traefik, by unit.
    pub(crate) proxies: Mutex<BTreeMap<String, doubles::traefik::Running>>,
    /// Likewise: each Prometheus, by unit.
    pub(crate) scrapers: Mutex<BTreeMap<String, doubles::prometheus::Running>>,
    /// Likewise: what takes lines for each Loki, by unit.
    pub(crate) receivers: Mutex<BTreeMap<String, doubles::loki::Running>>,
    /// What answers for Pebble where there is no real one, by unit.
    pub(crate) stand_ins: Mutex<BTreeMap<String, doubles::pebble::StandIns>>,
    pub(crate) images: BTreeMap<String, Image>,
    pub(crate) log: Log,
    /// How many hooks may run at once.
    pub(crate) hooks: Semaphore,
    /// How many pods may be made at once.
    pub(crate) starts: Semaphore,
    pub(crate) faults: Mutex<Vec<Fault>>,
    /// Units whose hook tools fail at random.
    pub(crate) unreliable: Mutex<BTreeMap<String, Unreliable>>,
    pub(crate) actions: Mutex<BTreeMap<String, ActionOutcome>>,
    next_action: AtomicU32,
    /// Where units' folders are.
    pub(crate) run: PathBuf,
    pub(crate) stop: Notify,
}

impl Model {
    /// The controller, for as long as the guard lives; never held over an await.
    pub(crate) fn controller(&self) -> MutexGuard<'_, Controller> {
        self.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and wakes all who wait for changes. Names follow at once: who sees a unit gone finds no name of it.
    pub(crate) fn change<T>(&self, with: impl FnOnce(&mut Controller) -> T) -> T {
        let mut controller = self.controller();
        let result = with(&mut controller);
        self.publish_names(&controller);
        self.kubernetes.follow(&controller);
        drop(controller);
        self.changes.send_modify(|count| *count += 1);
        result
    }

    /// Wakes when something changed after the last look.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What keeps the model from being settled; empty when nothing does.
    pub(crate) fn unsettled(&self, controller: &Controller) -> Vec<String> {
        let mut reasons = controller.unsettled(Instant::now());
        let outdated = self.kubernetes.outdated(controller);
        reasons.extend(outdated.iter().map(|unit| format!("{unit}: its pod is to be replaced")));
        reasons
    }

    pub(crate) fn pod(&self, unit: &str) -> Option<Arc<Pod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).get(unit).cloned()
    }

    /// Ends a unit's pod with all that runs in it, and removes its folder.
    pub(crate) fn end_pod(&self, unit: &str) {
        self.workloads.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
        self.scrapers.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
        self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
        if let Some(pod) = self.pods.lock().unwrap_or_else(PoisonError::into_inner).remove(unit) {
            pod.end();
        }
        if let Some((app, number)) = split(unit) {
            let _ = fs::remove_dir_all(pod_dir(app, number));
        }
    }

    /// A number for an action's task.
    pub(crate) fn action_id(&self) -> String {
        self.next_action.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// Tells the name server which pods there are.
    fn publish_names(&self, controller: &Controller) {
        let Some(host) = &self.host else { return };
        let pods = controller.applications.iter().flat_map(|(app, application)| {
            let units = application.units.iter();
            units.filter_map(|(number, unit): (&u32, &Unit)| Some((app.clone(), *number, unit.address?)))
        });
        host.zone.set(&controller.name, pods);
    }

    /// Adds a unit and starts its agent.
    pub(crate) fn add_unit(self: &Arc<Self>, app: &str) -> Result<String> {
        let name = self.change(|controller| controller.add_unit(app))?;
        tokio::spawn(agent::run(Arc::clone(self), name.clone()));
        Ok(name)
    }

    /// Deploys a whole model file.
    fn deploy(self: &Arc<Self>, file: &ModelFile) -> Result<()> {
        for (name, spec) in &file.applications {
            let (source, meta) = charm::load(&spec.charm).with_context(|| format!("application {name}"))?;
            self.change(|controller| controller.deploy(name, source, meta, spec))?;
        }
        for [left, right] in &file.relations {
            self.change(|controller| controller.integrate(left, right))
                .with_context(|| format!("relation [{left}, {right}]"))?;
        }
        for (name, spec) in &file.applications {
            for _ in 0..spec.scale {
                self.add_unit(name)?;
            }
        }
        Ok(())
    }
}

/// A model's UUID: made from its name and folder, so that the same model has the same one each time.
fn uuid(name: &str, dir: &Path) -> String {
    let hash = Sha256::digest(format!("{name}\n{}", dir.display()));
    let hex = hash.iter().take(16).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

/// Runs the model until it is told to end. Deploying starts before the control socket answers, so that what is wrong with the model
/// file ends the daemon with the reason.
pub(crate) async fn run(start: Start) -> Result<()> {
    fs::create_dir_all(&start.dir)?;
    // A model that was just told to end may still be clearing this folder.
    let lock = fs::File::create(start.dir.join("lock"))?;
    lock.lock().context("waiting for the model that ran here before")?;
    let socket = start.dir.join("control.sock");
    let pebble = start.pods && start.tools.join("bin/pebble").is_file();
    let host = if start.pods { Some(Arc::new(Host::prepare(&start.dir, &start.tools).await?)) } else { None };
    if host.is_none() {
        let run = start.dir.join("run");
        let _ = fs::remove_dir_all(&run);
        fs::create_dir_all(&run)?;
        std::env::set_current_dir(&run)?;
        crate::host::link_tools(Path::new("tools"), &crate::host::client()?)?;
    }
    let (ip, port) = if host.is_some() { (BRIDGE, kubernetes::PORT) } else { (Ipv4Addr::LOCALHOST, 0) };
    let kubernetes = Kubernetes::start(&start.model.name, SocketAddr::from((ip, port)), start.model.rollouts)
        .context("starting the cluster's API")?;
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let model = Arc::new(Model {
        controller: Mutex::new(Controller::new(&start.model.name, &uuid(&start.model.name, &start.dir))),
        changes: watch::Sender::new(0),
        host,
        pebble,
        kubernetes,
        reasons: start.reasons,
        pods: Mutex::default(),
        workloads: Mutex::default(),
        programs: Mutex::default(),
        proxies: Mutex::default(),
        scrapers: Mutex::default(),
        receivers: Mutex::default(),
        stand_ins: Mutex::default(),
        images: start.model.images.clone(),
        log: Log::new(&start.dir.join("debug.log"), start.foreground),
        hooks: Semaphore::new(2 * workers),
        starts: Semaphore::new(workers.max(2)),
        faults: Mutex::default(),
        unreliable: Mutex::default(),
        actions: Mutex::default(),
        next_action: AtomicU32::new(1),
        run: start.dir.join("run"),
        stop: Notify::new(),
    });
    if start.model.rollouts {
        tokio::spawn(kubernetes::roll_out(Arc::clone(&model)));
    }
    model.deploy(&start.model)?;
    let _ = fs::remove_file(&socket);
    let listener =
        UnixListener::bind(&socket).with_context(|| format!("listening on {}", socket.display()))?;
    let serving = serve(Arc::clone(&model), listener);
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        () = serving => {}
        () = model.stop.notified() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = end_of_input(), if start.until_eof => {}
    }
    // Processes go with the first process of the namespace, or with their handles where there is none.
    model.workloads.lock().unwrap_or_else(PoisonError::into_inner).clear();
    model.programs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    model.proxies.lock().unwrap_or_else(PoisonError::into_inner).clear();
    model.scrapers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    model.receivers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    if model.host.is_none() {
        let _ = fs::remove_dir_all(&model.run);
    }
    let _ = fs::remove_file(&socket);
    drop(lock);
    Ok(())
}

async fn end_of_input() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // A thread of its own: a read that waits for ever must not hold up the runtime's end.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = sender.send(());
    });
    let _ = receiver.await;
}

async fn serve(model: Arc<Model>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(Arc::clone(&model), stream));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Answers the requests of one connection.
async fn converse(model: Arc<Model>, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    // A request is a few kilobytes at most; whatever is longer is not one.
    let mut lines = BufReader::new(read.take(16 << 20)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let request = serde_json::from_str::<Request>(&line);
        let down = matches!(request, Ok(Request::Down));
        let reply = match request {
            Err(error) => Reply::Error(format!("this request is not understood: {error}")),
            Ok(request) => match verbs::handle(&model, request).await {
                Ok(value) => Reply::Ok(value),
                Err(error) => Reply::Error(format!("{error:#}")),
            },
        };
        let mut text = serde_json::to_string(&reply).unwrap_or_default();
        text.push('\n');
        if write.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        if down {
            model.stop.notify_one();
        }
    }
}

/// Waits for a condition on the controller; `Err` with the last reason after the time-out.
pub(crate) async fn wait_for<T>(
    model: &Model,
    timeout: Duration,
    mut check: impl FnMut(&Model) -> Result<T, String>,
) -> Result<T, String> {
    let mut changes = model.changes();
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        changes.borrow_and_update();
        let reason = match check(model) {
            Ok(value) => return Ok(value),
            Err(reason) => reason,
        };
        if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
            return Err(reason);
        }
    }
}

/// The unit's agent ended: its pod goes, and the model forgets it.
pub(crate) fn forget(model: &Model, unit: &str) {
    model.end_pod(unit);
    let storages = model.controller().unit(unit).map(|unit| unit.storages.clone()).unwrap_or_default();
    for id in storages {
        let _ = fs::remove_dir_all(agent::storage_folder(model, &id));
    }
    model.change(|controller| controller.forget_unit(unit));
}
