//! One transition in process: a state and an event in, the charm's function run, the state after it out.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    future::{Future, poll_fn, ready},
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use juju_ops::{
    Hook, HookEnv,
    tools::{HookTools, ToolCall, ToolOutput, TransportError},
};
use juju_pebble::{
    Error as PebbleError, Exec, ExecOutput, FileWrite, Layer, Pebble, ServiceAction, ServiceInfo, SystemInfo,
};
use tracing::{Level, instrument::WithSubscriber as _};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{
    CharmMeta, Event, State,
    check::{Inconsistent, check},
    pebble::{Double, ExecHook, PebbleEvent},
    session::{ActionResult, AgentPaths, CallRecord, Commit, LogLine, Session},
    state::{Container, Relation},
    tools::CallKind,
};

/// What goes wrong at a chosen step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The charm's process dies: nothing after this step happens.
    Die,
    /// The step is refused: a hook tool exits with 1 and this text, a Pebble call cannot connect.
    Refuse(String),
}

/// How the charm's function ended, if not well.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It returned an error; Juju would retry the hook.
    #[error("the charm failed: {0}")]
    Charm(juju_ops::Error),
    /// It died at an injected fault.
    #[error("the charm died")]
    Died,
    /// It ended well, but the controller refused what it had written.
    #[error("refused when the hook ended: {0}")]
    Flush(String),
}

/// Runs a charm's function on states. Cheap to make, and can be used for any number of transitions.
#[derive(Clone)]
pub struct Context {
    meta: Arc<CharmMeta>,
    charm_dir: PathBuf,
    log_level: Level,
    faults: BTreeMap<usize, Fault>,
    exec_hooks: BTreeMap<String, ExecHook>,
}

impl Context {
    /// For a charm with these declarations.
    #[must_use]
    pub fn new(meta: impl Into<Arc<CharmMeta>>) -> Self {
        Self {
            meta: meta.into(),
            charm_dir: PathBuf::from("/charm-under-test"),
            log_level: Level::INFO,
            faults: BTreeMap::new(),
            exec_hooks: BTreeMap::new(),
        }
    }

    /// The charm's declarations.
    #[must_use]
    pub fn meta(&self) -> &CharmMeta {
        &self.meta
    }

    /// Sets the charm's folder (`JUJU_CHARM_DIR`), for charms that read files of their own.
    #[must_use]
    pub fn with_charm_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.charm_dir = dir.into();
        self
    }

    /// Sets which of the charm's `tracing` events reach the log; `INFO` and above by default.
    #[must_use]
    pub fn with_log_level(mut self, level: Level) -> Self {
        self.log_level = level;
        self
    }

    /// Injects a fault at a step. Steps are the charm's hook tool calls (logging excepted) and Pebble calls, counted
    /// together from 0 in the order they are made; [`Outcome::steps`] says how many there are without faults.
    #[must_use]
    pub fn with_fault(mut self, step: usize, fault: Fault) -> Self {
        self.faults.insert(step, fault);
        self
    }

    /// Lets a function answer the commands of a container, for answers that depend on the container's files. What it
    /// leaves open is answered by the container's own handlers.
    #[must_use]
    pub fn with_exec_hook(
        mut self,
        container: &str,
        hook: impl Fn(&Exec, &Container) -> Option<ExecOutput> + Send + Sync + 'static,
    ) -> Self {
        self.exec_hooks.insert(container.to_owned(), Arc::new(hook));
        self
    }

    /// Runs one transition. The state given is not changed.
    ///
    /// # Panics
    /// When state and event cannot happen in Juju ([`check`]), and inside an asynchronous test: use
    /// [`Context::run_async`] there.
    #[track_caller]
    pub fn run<E, C>(&self, state: impl Borrow<State>, event: Event, charm: C) -> Outcome
    where
        C: AsyncFnOnce(Hook) -> Result<(), E>,
        E: Into<juju_ops::Error>,
    {
        match self.try_run(state, event, charm) {
            Ok(outcome) => outcome,
            Err(inconsistent) => panic!("{inconsistent}"),
        }
    }

    /// As [`Context::run`], but returns why a scene is impossible.
    ///
    /// # Panics
    /// Inside an asynchronous test: use [`Context::run_async`] there.
    pub fn try_run<E, C>(
        &self,
        state: impl Borrow<State>,
        event: Event,
        charm: C,
    ) -> Result<Outcome, Inconsistent>
    where
        C: AsyncFnOnce(Hook) -> Result<(), E>,
        E: Into<juju_ops::Error>,
    {
        thread_local! {
            // Making one costs more than a transition.
            static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime on one thread needs a few file descriptors");
        }
        RUNTIME.with(|runtime| runtime.block_on(self.run_async(state, event, charm)))
    }

    /// As [`Context::try_run`], for asynchronous tests.
    pub async fn run_async<E, C>(
        &self,
        state: impl Borrow<State>,
        event: Event,
        charm: C,
    ) -> Result<Outcome, Inconsistent>
    where
        C: AsyncFnOnce(Hook) -> Result<(), E>,
        E: Into<juju_ops::Error>,
    {
        let before = state.borrow().clone();
        check(&self.meta, &before, &event)?;
        let world = Arc::new(World::new(self, before.clone(), event));
        let env = world.environment(&self.charm_dir);
        let var = |name: &str| env.get(name).cloned();
        let hook_env = HookEnv::from_vars(var).map_err(|error| Inconsistent(vec![error.to_string()]))?;
        let containers = {
            let world = world.clone();
            Arc::new(move |name: &str| {
                let double = world.doubles.get(name).cloned().unwrap_or_default();
                Arc::new(Watched { world: world.clone(), double }) as Arc<dyn Pebble>
            })
        };
        let tools: Arc<dyn HookTools> = Arc::new(Tools(world.clone()));
        let hook = Hook::new(hook_env, juju_ops::Event::from_vars(var), tools.clone(), containers);
        let (layer, writer, flush) = juju_ops::log::juju_log(self.log_level);
        let subscriber = tracing_subscriber::registry().with(layer);
        let result = {
            let running = async {
                // A charm built on `juju_ops::run` never hears of events that the library does not know.
                if matches!(hook.event(), juju_ops::Event::Unknown(_)) {
                    return Ok(());
                }
                charm(hook.clone()).await.map_err(Into::into)?;
                hook.commit().await.map(drop).map_err(juju_ops::Error::from)
            };
            let mut running = pin!(running.with_subscriber(subscriber));
            // A dead charm's future never ends; it is dropped where it stands.
            poll_fn(|context| match running.as_mut().poll(context) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(Failure::Charm(error))),
                Poll::Pending if world.lock().dead => Poll::Ready(Err(Failure::Died)),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        // With the last sender gone the writer ends when everything was written.
        drop(flush);
        writer.run(Arc::new(Log(world.clone()))).await;
        drop((hook, tools));
        Ok(world.finish(before, result))
    }
}

/// Everything outside the charm during one transition.
struct World {
    running: Mutex<Running>,
    doubles: BTreeMap<String, Double>,
    faults: BTreeMap<usize, Fault>,
    charm_dir: PathBuf,
}

struct Running {
    session: Option<Session>,
    steps: usize,
    dead: bool,
}

/// What becomes of a step.
enum Step {
    Go,
    Die,
    Refuse(String),
}

impl World {
    fn new(context: &Context, state: State, event: Event) -> Self {
        let doubles = state.containers.iter().map(|(name, container)| {
            let double = Double::new(container.clone());
            if let Some(hook) = context.exec_hooks.get(name) {
                double.set_exec_hook(hook.clone());
            }
            (name.clone(), double)
        });
        let doubles = doubles.collect();
        let session = Session::new(context.meta.clone(), state, event);
        Self {
            running: Mutex::new(Running { session: Some(session), steps: 0, dead: false }),
            doubles,
            faults: context.faults.clone(),
            charm_dir: context.charm_dir.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn environment(&self, charm_dir: &Path) -> BTreeMap<String, String> {
        let paths = AgentPaths {
            charm_dir: charm_dir.to_owned(),
            socket: "/agent.socket".into(),
            tools_dir: "/tools".into(),
            path: "/usr/bin:/bin".to_owned(),
            nonce: "0".repeat(32),
        };
        self.lock().session.as_ref().map(|session| session.environment(&paths)).unwrap_or_default()
    }

    fn step(&self) -> Step {
        let mut running = self.lock();
        let fault = self.faults.get(&running.steps);
        running.steps += 1;
        match fault {
            _ if running.dead => Step::Die,
            Some(Fault::Die) => {
                running.dead = true;
                Step::Die
            }
            Some(Fault::Refuse(reason)) => Step::Refuse(reason.clone()),
            None => Step::Go,
        }
    }

    fn answer(&self, call: &ToolCall) -> Result<ToolOutput, TransportError> {
        let argv: Vec<String> =
            std::iter::once(call.tool.to_owned()).chain(call.args.iter().cloned()).collect();
        match &mut self.lock().session {
            Some(session) => Ok(session.call(&argv, call.stdin.as_deref(), &self.charm_dir)),
            None => Err(TransportError::Io("the hook is over".to_owned())),
        }
    }

    fn finish(&self, before: State, result: Result<(), Failure>) -> Outcome {
        let (session, steps) = {
            let mut running = self.lock();
            (running.session.take(), running.steps)
        };
        let Some(session) = session else {
            unreachable!("a transition ends once");
        };
        let finished = session.finish(result.is_ok());
        let result = match (result, finished.error) {
            (Ok(()), Some(error)) => Err(Failure::Flush(error)),
            (result, _) => result,
        };
        let mut state = finished.state;
        let mut pebble = BTreeMap::new();
        for (name, double) in &self.doubles {
            state.containers.insert(name.clone(), double.container());
            pebble.insert(name.clone(), double.history());
        }
        Outcome {
            before,
            state,
            result,
            commit: finished.commit,
            logs: finished.logs,
            action: finished.action,
            calls: finished.calls,
            pebble,
            steps,
        }
    }
}

struct Tools(Arc<World>);

impl HookTools for Tools {
    fn call(&self, call: ToolCall) -> juju_ops::tools::BoxFuture<'_, Result<ToolOutput, TransportError>> {
        // The step is counted when the call is made, not when somebody waits for it.
        match self.0.step() {
            Step::Go => Box::pin(ready(self.0.answer(&call))),
            Step::Die => Box::pin(std::future::pending()),
            Step::Refuse(reason) => {
                let stderr = format!("ERROR {reason}\n").into_bytes();
                Box::pin(ready(Ok(ToolOutput { code: 1, stdout: Vec::new(), stderr })))
            }
        }
    }
}

/// The log's way to the session: no step, and open after a death, for what was said before it.
struct Log(Arc<World>);

impl HookTools for Log {
    fn call(&self, call: ToolCall) -> juju_ops::tools::BoxFuture<'_, Result<ToolOutput, TransportError>> {
        Box::pin(ready(self.0.answer(&call)))
    }
}

/// A container's Pebble whose calls count as steps.
struct Watched {
    world: Arc<World>,
    double: Double,
}

impl Watched {
    fn step<'a, R: Send + 'a>(
        &self,
        call: impl FnOnce() -> juju_pebble::BoxFuture<'a, Result<R, PebbleError>>,
    ) -> juju_pebble::BoxFuture<'a, Result<R, PebbleError>> {
        match self.world.step() {
            Step::Go => call(),
            Step::Die => Box::pin(std::future::pending()),
            Step::Refuse(reason) => Box::pin(ready(Err(PebbleError::Connection(reason)))),
        }
    }
}

impl Pebble for Watched {
    fn system_info(&self) -> juju_pebble::BoxFuture<'_, Result<SystemInfo, PebbleError>> {
        self.step(|| self.double.system_info())
    }

    fn plan(&self) -> juju_pebble::BoxFuture<'_, Result<Layer, PebbleError>> {
        self.step(|| self.double.plan())
    }

    fn add_layer<'a>(
        &'a self,
        label: &'a str,
        layer: &'a Layer,
    ) -> juju_pebble::BoxFuture<'a, Result<(), PebbleError>> {
        self.step(|| self.double.add_layer(label, layer))
    }

    fn services<'a>(
        &'a self,
        names: &'a [&'a str],
    ) -> juju_pebble::BoxFuture<'a, Result<Vec<ServiceInfo>, PebbleError>> {
        self.step(|| self.double.services(names))
    }

    fn change_services<'a>(
        &'a self,
        action: ServiceAction,
        names: &'a [&'a str],
    ) -> juju_pebble::BoxFuture<'a, Result<(), PebbleError>> {
        self.step(|| self.double.change_services(action, names))
    }

    fn signal<'a>(
        &'a self,
        signal: &'a str,
        names: &'a [&'a str],
    ) -> juju_pebble::BoxFuture<'a, Result<(), PebbleError>> {
        self.step(|| self.double.signal(signal, names))
    }

    fn read_file<'a>(
        &'a self,
        path: &'a str,
    ) -> juju_pebble::BoxFuture<'a, Result<Option<Vec<u8>>, PebbleError>> {
        self.step(|| self.double.read_file(path))
    }

    fn write_file<'a>(&'a self, file: &'a FileWrite) -> juju_pebble::BoxFuture<'a, Result<(), PebbleError>> {
        self.step(|| self.double.write_file(file))
    }

    fn remove_file<'a>(&'a self, path: &'a str) -> juju_pebble::BoxFuture<'a, Result<bool, PebbleError>> {
        self.step(|| self.double.remove_file(path))
    }

    fn exec<'a>(&'a self, exec: &'a Exec) -> juju_pebble::BoxFuture<'a, Result<ExecOutput, PebbleError>> {
        self.step(|| self.double.exec(exec))
    }
}

/// What a transition brought.
#[derive(Debug)]
pub struct Outcome {
    /// The state before.
    pub before: State,
    /// The state after: with all writes if the hook ended well, else only with what took effect at once.
    pub state: State,
    /// How the charm's function ended.
    pub result: Result<(), Failure>,
    /// What the agent sent to the controller; empty when the hook failed.
    pub commit: Commit,
    /// The unit's log.
    pub logs: Vec<LogLine>,
    /// What the action brought, if the event was one.
    pub action: Option<ActionResult>,
    /// Every hook tool call.
    pub calls: Vec<CallRecord>,
    /// What was asked of each container's Pebble, reads left out.
    pub pebble: BTreeMap<String, Vec<PebbleEvent>>,
    /// Steps the charm took, for [`Context::with_fault`].
    pub steps: usize,
}

impl Outcome {
    /// Panics unless the hook ended well.
    ///
    /// # Panics
    /// When the charm failed, died, or its writes were refused.
    #[track_caller]
    pub fn assert_ok(&self) -> &Self {
        if let Err(failure) = &self.result {
            panic!("{failure}\n{}", self.log_text());
        }
        self
    }

    /// Panics if the hook changed anything: a databag, a port, a secret, a stored value, a status, the workload
    /// version, or a container. Asking is allowed.
    ///
    /// # Panics
    /// When something was written, with a list of it.
    #[track_caller]
    pub fn assert_nothing_written(&self) -> &Self {
        let mut written: Vec<String> =
            self.writes().map(|call| format!("{} {:?}", call.tool, call.args)).collect();
        for (container, events) in &self.pebble {
            written.extend(events.iter().map(|event| format!("{container}: {event:?}")));
        }
        assert!(written.is_empty(), "the hook wrote:\n{}", written.join("\n"));
        self
    }

    /// Panics unless the databags of exactly these relations (`tracing:3`) were written.
    ///
    /// # Panics
    /// When others were written, or one of them was not.
    #[track_caller]
    pub fn assert_written_to(&self, relations: &[&str]) -> &Self {
        let written: BTreeSet<String> = self.written_relations().collect();
        let wanted: BTreeSet<String> = relations.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(written, wanted, "relations whose databags the hook wrote");
        self
    }

    fn written_relations(&self) -> impl Iterator<Item = String> {
        let relations = self.commit.relations.iter();
        let written =
            relations.filter(|write| !write.unit_changes.is_empty() || !write.app_changes.is_empty());
        written.map(|write| format!("{}:{}", write.endpoint, write.id))
    }

    /// A relation after the hook.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn relation(&self, endpoint: &str, id: u32) -> &Relation {
        match self.state.relation(endpoint, id) {
            Some(relation) => relation,
            None => panic!("there is no relation {endpoint}:{id}"),
        }
    }

    /// Calls that could change something.
    pub fn writes(&self) -> impl Iterator<Item = &CallRecord> {
        self.calls.iter().filter(|call| call.kind == CallKind::Write)
    }

    /// How often each tool was called.
    #[must_use]
    pub fn calls_per_tool(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.calls {
            *counts.entry(call.tool.as_str()).or_default() += 1;
        }
        counts
    }

    /// What was asked of one container's Pebble.
    #[must_use]
    pub fn history(&self, container: &str) -> &[PebbleEvent] {
        self.pebble.get(container).map_or(&[], Vec::as_slice)
    }

    /// Paths of the files written into a container, in order.
    #[must_use]
    pub fn pushed(&self, container: &str) -> Vec<&str> {
        let paths = self.history(container).iter().filter_map(|event| match event {
            PebbleEvent::Push { path, .. } => Some(path.as_str()),
            _ => None,
        });
        paths.collect()
    }

    /// Command lines run in a container, in order.
    #[must_use]
    pub fn execs(&self, container: &str) -> Vec<&[String]> {
        let commands = self.history(container).iter().filter_map(|event| match event {
            PebbleEvent::Exec { command, .. } => Some(command.as_slice()),
            _ => None,
        });
        commands.collect()
    }

    /// The log, one line each: `LEVEL message`.
    #[must_use]
    pub fn log_text(&self) -> String {
        let lines: Vec<_> = self.logs.iter().map(|line| format!("{} {}", line.level, line.message)).collect();
        lines.join("\n")
    }
}
