//! Everything outside the charm during one transition: the agent's session, the containers, and what goes wrong.

use std::{
    collections::BTreeMap,
    future::ready,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use juju_ops::tools::{HookTools, ToolCall, ToolOutput, TransportError};
use juju_pebble::{
    CheckAction, CheckInfo, CheckLevel, CheckRefresh, Error as PebbleError, Exec, ExecOutput, FileInfo,
    FileWrite, Identity, IdentityAction, Layer, LogEntry, MakeDir, Notice, NoticeFilter,
    Notify as Notification, Owner, Pebble, ServiceAction, ServiceInfo, SystemInfo,
};
use tokio::{
    sync::{Notify, oneshot},
    task::JoinSet,
};

use crate::{
    CharmMeta, Event, Fault, Finished, Session, State,
    pebble::{Double, ExecHook},
    session::AgentPaths,
};

/// What a charm, in this process or another one, finds outside itself.
pub(crate) struct World {
    running: Mutex<Running>,
    doubles: BTreeMap<String, Double>,
    faults: BTreeMap<usize, Fault>,
    /// Told when the charm dies at a fault.
    death: Notify,
}

struct Running {
    session: Option<Session>,
    steps: usize,
    dead: bool,
}

/// What becomes of a step.
pub(crate) enum Step {
    Go,
    Die,
    Refuse(String),
}

impl World {
    pub(crate) fn new(
        meta: Arc<CharmMeta>,
        mut state: State,
        event: Event,
        faults: BTreeMap<usize, Fault>,
        exec_hooks: &BTreeMap<String, ExecHook>,
    ) -> Self {
        // The doubles have the containers until the end.
        let doubles = std::mem::take(&mut state.containers).into_iter().map(|(name, container)| {
            let double = Double::new(container);
            if let Some(hook) = exec_hooks.get(&name) {
                double.set_exec_hook(hook.clone());
            }
            (name, double)
        });
        let doubles = doubles.collect();
        let session = Session::new(meta, state, event);
        let running = Running { session: Some(session), steps: 0, dead: false };
        Self { running: Mutex::new(running), doubles, faults, death: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The environment of the hook's process.
    pub(crate) fn environment(&self, paths: &AgentPaths) -> BTreeMap<String, String> {
        self.with_session(|session| session.environment(paths)).unwrap_or_default()
    }

    /// Looks at or changes the session; `None` once the hook is over.
    pub(crate) fn with_session<R>(&self, work: impl FnOnce(&mut Session) -> R) -> Option<R> {
        self.lock().session.as_mut().map(work)
    }

    /// The containers' Pebbles by name.
    pub(crate) fn doubles(&self) -> &BTreeMap<String, Double> {
        &self.doubles
    }

    /// Counts a step, and says what becomes of it.
    pub(crate) fn step(&self) -> Step {
        let mut running = self.lock();
        if running.dead {
            return Step::Die;
        }
        let fault = self.faults.get(&running.steps);
        running.steps += 1;
        match fault {
            Some(Fault::Die) => {
                running.dead = true;
                self.death.notify_one();
                Step::Die
            }
            Some(Fault::Refuse(reason)) => Step::Refuse(reason.clone()),
            None => Step::Go,
        }
    }

    /// Returns when the charm has died at a fault.
    pub(crate) async fn death(&self) {
        self.death.notified().await;
    }

    /// The agent's answer to a call; `None` once the hook is over.
    pub(crate) fn answer(&self, argv: &[String], stdin: Option<&[u8]>, cwd: &Path) -> Option<ToolOutput> {
        self.with_session(|session| session.call(argv, stdin, cwd))
    }

    /// Ends the hook: what the session left, each container's Pebble, and how many steps there were. `None` the second
    /// time.
    pub(crate) fn finish(&self, exit_ok: bool) -> Option<(Finished, usize)> {
        let (session, steps) = {
            let mut running = self.lock();
            (running.session.take()?, running.steps)
        };
        Some((session.finish(exit_ok), steps))
    }
}

/// What a refused call prints.
pub(crate) fn refusal(reason: &str) -> ToolOutput {
    ToolOutput { code: 1, stdout: Vec::new(), stderr: format!("ERROR {reason}\n").into_bytes() }
}

/// Answers hook tools of a charm in this process at once, without any transport.
pub(crate) struct Direct {
    pub(crate) world: Arc<World>,
    pub(crate) cwd: Arc<Path>,
}

impl HookTools for Direct {
    fn call(&self, call: ToolCall) -> juju_ops::tools::BoxFuture<'_, Result<ToolOutput, TransportError>> {
        let mut argv = call.args;
        argv.insert(0, call.tool.to_owned());
        let answer = self.world.answer(&argv, call.stdin.as_deref(), &self.cwd);
        Box::pin(ready(answer.ok_or_else(|| TransportError::Io("the hook is over".to_owned()))))
    }
}

/// The hook tools that a charm in this process gets: every call but those for the log is a step.
pub(crate) struct Steps {
    pub(crate) world: Arc<World>,
    pub(crate) way: Way,
}

/// How a call gets to the agent.
pub(crate) enum Way {
    /// Answered where it is made.
    Direct(Direct),
    #[cfg_attr(not(feature = "processes"), allow(dead_code, reason = "there is nothing to send to"))]
    /// Sent as soon as it is made, whether or not somebody waits for it: so steps take effect in their order, and none
    /// after a death.
    Sent(Arc<dyn HookTools>, Mutex<JoinSet<()>>),
}

impl Steps {
    /// Returns when everything that was sent has been answered.
    pub(crate) async fn settled(&self) {
        let Way::Sent(_, sent) = &self.way else { return };
        let mut sent = std::mem::take(&mut *sent.lock().unwrap_or_else(PoisonError::into_inner));
        while sent.join_next().await.is_some() {}
    }
}

impl HookTools for Steps {
    fn call(&self, call: ToolCall) -> juju_ops::tools::BoxFuture<'_, Result<ToolOutput, TransportError>> {
        // The step is counted when the call is made, not when somebody waits for it.
        match self.world.step() {
            Step::Go => {}
            Step::Die => return Box::pin(std::future::pending()),
            Step::Refuse(reason) => return Box::pin(ready(Ok(refusal(&reason)))),
        }
        match &self.way {
            Way::Direct(direct) => direct.call(call),
            Way::Sent(tools, sent) => {
                let (told, answer) = oneshot::channel();
                let tools = Arc::clone(tools);
                sent.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
                    // A charm that died does not listen any more.
                    let _ = told.send(tools.call(call).await);
                });
                Box::pin(async {
                    answer.await.unwrap_or_else(|_| Err(TransportError::Io("the hook is over".to_owned())))
                })
            }
        }
    }
}

/// A container's Pebble whose calls count as steps.
pub(crate) struct Watched {
    pub(crate) world: Arc<World>,
    pub(crate) double: Double,
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

    fn write_files<'a>(
        &'a self,
        files: &'a [FileWrite],
        owner: &'a Owner,
    ) -> juju_pebble::BoxFuture<'a, Result<(), PebbleError>> {
        self.step(|| self.double.write_files(files, owner))
    }

    fn list_files<'a>(
        &'a self,
        path: &'a str,
        pattern: Option<&'a str>,
    ) -> juju_pebble::BoxFuture<'a, Result<Vec<FileInfo>, PebbleError>> {
        self.step(|| self.double.list_files(path, pattern))
    }

    fn file_info<'a>(
        &'a self,
        path: &'a str,
    ) -> juju_pebble::BoxFuture<'a, Result<Option<FileInfo>, PebbleError>> {
        self.step(|| self.double.file_info(path))
    }

    fn make_dir<'a>(
        &'a self,
        path: &'a str,
        how: &'a MakeDir,
    ) -> juju_pebble::BoxFuture<'a, Result<(), PebbleError>> {
        self.step(|| self.double.make_dir(path, how))
    }

    fn remove_path<'a>(
        &'a self,
        path: &'a str,
        recursive: bool,
    ) -> juju_pebble::BoxFuture<'a, Result<(), PebbleError>> {
        self.step(|| self.double.remove_path(path, recursive))
    }

    fn health<'a>(
        &'a self,
        level: Option<CheckLevel>,
        names: &'a [&'a str],
    ) -> juju_pebble::BoxFuture<'a, Result<bool, PebbleError>> {
        self.step(|| self.double.health(level, names))
    }

    fn checks<'a>(
        &'a self,
        names: &'a [&'a str],
    ) -> juju_pebble::BoxFuture<'a, Result<Vec<CheckInfo>, PebbleError>> {
        self.step(|| self.double.checks(names))
    }

    fn change_checks<'a>(
        &'a self,
        action: CheckAction,
        names: &'a [&'a str],
    ) -> juju_pebble::BoxFuture<'a, Result<Vec<String>, PebbleError>> {
        self.step(|| self.double.change_checks(action, names))
    }

    fn refresh_check<'a>(
        &'a self,
        name: &'a str,
    ) -> juju_pebble::BoxFuture<'a, Result<CheckRefresh, PebbleError>> {
        self.step(|| self.double.refresh_check(name))
    }

    fn notices<'a>(
        &'a self,
        filter: &'a NoticeFilter,
    ) -> juju_pebble::BoxFuture<'a, Result<Vec<Notice>, PebbleError>> {
        self.step(|| self.double.notices(filter))
    }

    fn notify<'a>(
        &'a self,
        notice: &'a Notification,
    ) -> juju_pebble::BoxFuture<'a, Result<String, PebbleError>> {
        self.step(|| self.double.notify(notice))
    }

    fn identities(&self) -> juju_pebble::BoxFuture<'_, Result<BTreeMap<String, Identity>, PebbleError>> {
        self.step(|| self.double.identities())
    }

    fn change_identities<'a>(
        &'a self,
        action: IdentityAction,
        identities: &'a BTreeMap<String, Identity>,
    ) -> juju_pebble::BoxFuture<'a, Result<(), PebbleError>> {
        self.step(|| self.double.change_identities(action, identities))
    }

    fn logs<'a>(
        &'a self,
        names: &'a [&'a str],
        count: u32,
    ) -> juju_pebble::BoxFuture<'a, Result<Vec<LogEntry>, PebbleError>> {
        self.step(|| self.double.logs(names, count))
    }

    fn exec<'a>(&'a self, exec: &'a Exec) -> juju_pebble::BoxFuture<'a, Result<ExecOutput, PebbleError>> {
        self.step(|| self.double.exec(exec))
    }
}
