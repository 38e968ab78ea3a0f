//! Driving a charm as a process of its own, whatever language it is written in.

use std::{
    borrow::Borrow,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use base64::Engine as _;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Command,
    sync::Mutex,
};

use crate::{
    CharmMeta, Context, Event, Exited, Failure, Inconsistent, Outcome, State,
    context::{block_on, outcome},
    jujuc::Invocation,
    launch::{Report, VERB},
    package::{self, PackageError},
    pebble,
    tools::ToolOutput,
    wire::{Agent, NoJujuc, find_jujuc},
    world::{Step, World, refusal},
};

/// Why a charm's process could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// State and event cannot happen in Juju.
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),
    /// There is no hook-tool client.
    #[error(transparent)]
    NoJujuc(#[from] NoJujuc),
    /// What the process needs around it cannot be made.
    #[error("making a charm's surroundings: {0}")]
    Surroundings(#[from] io::Error),
    /// The process cannot be started.
    #[error("starting the charm: {0}")]
    Start(String),
}

/// A charm that runs as a process: a packed charm, a charm's folder, or any executable.
///
/// The process finds what Juju gives to a hook, and nothing else: the variables of the environment, the charm's folder as
/// working directory, the agent's socket, the hook tools on `PATH`, and each container's Pebble on a unix socket. Where this
/// machine lets a process have mounts of its own, the sockets are at `/charm/containers/<name>/pebble.socket`, as every
/// framework expects them. Where it does not, the variable `JUJU_OPS_CONTAINERS` names the folder they are in instead,
/// which charms made with `juju-ops` understand.
///
/// Needs the hook-tool client `jujuc` of this crate ([`find_jujuc`]).
///
/// ```no_run
/// use juju_sim::{Context, Event, Program, State};
///
/// let program = Program::charm("tempo-coordinator-k8s_amd64.charm")?;
/// let ctx = Context::new(program.meta()?);
/// let state = State::new(ctx.meta()).with_leader(true).with_containers_ready();
/// let out = ctx.run_program(&state, Event::ConfigChanged, &program);
/// out.assert_ok();
/// let took = out.process.unwrap_or_default();
/// println!("{:?} of processor time, {} bytes", took.cpu.total(), took.peak_memory);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Program {
    /// The charm's folder is in it. Charms may keep files there between hooks, so all clones share it.
    home: Arc<TempDir>,
    variables: Vec<(String, String)>,
    timeout: Duration,
    tool_delay: Duration,
    pod: bool,
}

impl Program {
    /// A packed charm (`.charm`), or a charm's folder with `dispatch` or `hooks/`. It is copied once, so that files which the
    /// charm leaves in its folder are there in its next hook, and nothing is left behind in the original.
    pub fn charm(path: impl AsRef<Path>) -> Result<Self, PackageError> {
        let program = Self::empty()?;
        package::unpack(path.as_ref(), &program.charm_dir())?;
        Ok(program)
    }

    /// An executable that is run for every hook and action, as `dispatch` of a folder with nothing else in it.
    pub fn executable(path: impl AsRef<Path>) -> Result<Self, PackageError> {
        let path = path.as_ref();
        let wrong = |source| PackageError::File { path: path.to_owned(), source };
        let target = fs::canonicalize(path).map_err(wrong)?;
        let program = Self::empty()?;
        let folder = program.charm_dir();
        fs::create_dir(&folder).and_then(|()| symlink(target, folder.join("dispatch"))).map_err(wrong)?;
        Ok(program)
    }

    fn empty() -> Result<Self, PackageError> {
        let home = tempfile::Builder::new().prefix("juju-sim-charm-").tempdir();
        let home = home.map_err(|source| PackageError::File { path: std::env::temp_dir(), source })?;
        Ok(Self {
            home: Arc::new(home),
            variables: Vec::new(),
            timeout: Duration::from_mins(1),
            tool_delay: Duration::ZERO,
            pod: true,
        })
    }

    /// Sets how long a hook may take before it is killed and counts as failed; a minute by default.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the agent wait so long before it answers each hook tool, one call at a time: a model of a slower agent.
    #[must_use]
    pub fn with_tool_delay(mut self, delay: Duration) -> Self {
        self.tool_delay = delay;
        self
    }

    /// Sets a variable beside, or instead of, those that Juju sets.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves `/charm/containers` as it is on this machine, and names the folder of the sockets in `JUJU_OPS_CONTAINERS`, also
    /// where mounts could be made. The process then starts a few milliseconds sooner.
    #[must_use]
    pub fn without_mounts(mut self) -> Self {
        self.pod = false;
        self
    }

    /// What the charm declares in its folder; an executable declares nothing.
    pub fn meta(&self) -> Result<CharmMeta, PackageError> {
        package::read_meta(&self.charm_dir())
    }

    /// The charm's folder, which is its working directory.
    #[must_use]
    pub fn charm_dir(&self) -> PathBuf {
        self.home.path().join("charm")
    }
}

impl Context {
    /// Runs one transition of a charm that is a process of its own. The state given is not changed.
    ///
    /// What the process prints is in the log, as the agent logs it: standard output at `DEBUG`, standard error at `WARNING`; of
    /// an action, both are results. It ends well with exit code 0; any other counts as a failed hook or action.
    /// [`Outcome::process`] says what it took.
    ///
    /// Faults are injected at hook tool calls only, `juju-log` excepted, counted from 0 as the agent gets them;
    /// [`Outcome::steps`] counts the same. [`Fault::Die`](crate::Fault::Die) kills the process.
    ///
    /// # Panics
    /// When state and event cannot happen in Juju, the process cannot be run ([`ProgramError`]), and inside an asynchronous
    /// test: use [`Context::run_program_async`] there.
    #[track_caller]
    pub fn run_program(&self, state: impl Borrow<State>, event: Event, program: &Program) -> Outcome {
        match block_on(self.run_program_async(state, event, program)) {
            Ok(outcome) => outcome,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`Context::run_program`], for asynchronous tests, and with errors instead of panics.
    pub async fn run_program_async(
        &self,
        state: impl Borrow<State>,
        event: Event,
        program: &Program,
    ) -> Result<Outcome, ProgramError> {
        let world = self.world(state.borrow(), &event)?;
        let jujuc = find_jujuc()?;
        let agent = Agent::new()?;
        agent.link_tools(&jujuc, &state.borrow().juju_version)?;
        let charm_dir = program.charm_dir();
        let mut env = world.environment(&agent.paths(&charm_dir));
        let dispatch = env.get("JUJU_DISPATCH_PATH").cloned().unwrap_or_default();
        let Some(executable) = package::program(&charm_dir, &dispatch) else {
            return Ok(missing(&world, event));
        };
        let containers = agent.file("containers");
        let mut pebbles = Vec::new();
        for (name, double) in world.doubles() {
            let folder = containers.join(name);
            fs::create_dir_all(&folder)?;
            pebbles.push(pebble::serve(double.clone(), folder.join("pebble.socket"))?);
        }
        fs::create_dir_all(&containers)?;
        let context_id = env.get("JUJU_CONTEXT_ID").cloned().unwrap_or_default();
        let mut serving = agent.serve(context_id, answers(&world, program.tool_delay))?;
        let inside = program.pod && mounts(&jujuc).await;
        if !inside {
            env.insert("JUJU_OPS_CONTAINERS".to_owned(), containers.display().to_string());
        }
        env.extend(program.variables.iter().cloned());

        let (root, report) = (agent.file("root"), agent.file("report.json"));
        fs::create_dir(&root)?;
        let mut command = Command::new(&jujuc);
        command.arg(VERB).arg(&report);
        if inside {
            command.arg(&root).arg(&containers);
        } else {
            command.args(["-", "-"]);
        }
        command.arg(charm_dir.join(executable));
        command.env_clear().envs(&env).current_dir(&charm_dir).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let begin = Instant::now();
        let mut child = command.spawn().map_err(|error| ProgramError::Start(error.to_string()))?;
        let group = Group(child.id().and_then(|id| i32::try_from(id).ok()));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let module = world
            .with_session(|session| format!("unit.{}.{}", session.state().unit, event.hook_name()))
            .unwrap_or_default();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let running = async {
            let log = |level: &'static str| {
                let (world, module) = (&world, &module);
                move |line: &str| {
                    world.with_session(|session| session.log(level, module, line));
                }
            };
            let (status, (), ()) = tokio::join!(
                child.wait(),
                record(stdout, &mut out, log("DEBUG")),
                record(stderr, &mut err, log("WARNING")),
            );
            // A connection that a child of the charm still has open holds the hook up.
            serving.closed().await;
            status
        };
        let ended = tokio::select! {
            biased;
            () = world.death() => Err(Failure::Died),
            ended = tokio::time::timeout(program.timeout, running) => match ended {
                Ok(status) => Ok(status?),
                Err(_) => Err(Failure::TimedOut(program.timeout)),
            }
        };
        // Whatever the charm has left running ends with the hook.
        drop(group);
        drop((serving, pebbles));
        let report = fs::read(&report).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let report = report.unwrap_or_else(|| Report { wall: begin.elapsed(), ..Report::default() });
        if matches!(&ended, Ok(status) if !status.success()) {
            return Err(ProgramError::Start(String::from_utf8_lossy(&err).trim().to_owned()));
        }
        let Report { code, signal, wall, cpu, peak_memory } = report;
        let exited = Exited { code, signal, wall, cpu, peak_memory, stdout: out, stderr: err };
        let result = match ended {
            Ok(_) if exited.code == Some(0) => Ok(()),
            Ok(_) => Err(Failure::Exit(exited.clone())),
            Err(failure) => Err(failure),
        };
        let mut outcome = outcome(&world, event, result);
        if let Some(action) = &mut outcome.action {
            action.results.insert("return-code".to_owned(), exited.code.unwrap_or(-1).into());
            for (key, bytes) in [("stdout", &exited.stdout), ("stderr", &exited.stderr)] {
                if bytes.is_empty() {
                    continue;
                }
                let text = String::from_utf8(bytes.clone()).unwrap_or_else(|_| {
                    action.results.insert(format!("{key}-encoding"), "base64".into());
                    base64::engine::general_purpose::STANDARD.encode(bytes)
                });
                action.results.insert(key.to_owned(), text.into());
            }
            if let Err(Failure::Exit(exited)) = &outcome.result {
                action.failure = Some(exited.to_string());
            }
        }
        outcome.process = Some(exited);
        Ok(outcome)
    }
}

/// A hook that the charm does not have is done; an action that it does not have has failed.
fn missing(world: &World, event: Event) -> Outcome {
    let name = event.hook_name();
    let unit = world
        .with_session(|session| {
            session.log("DEBUG", "juju.worker.uniter.operation", &format!("skipped {name:?} hook (missing)"));
            session.state().unit.clone()
        })
        .unwrap_or_default();
    let mut outcome = outcome(world, event, Ok(()));
    if let Some(action) = &mut outcome.action {
        action.failure = Some(format!("action not implemented on unit {unit:?}"));
    }
    outcome
}

/// The agent's way to answer: one call at a time, each a step.
fn answers(
    world: &Arc<World>,
    delay: Duration,
) -> impl Fn(Invocation) -> juju_ops::tools::BoxFuture<'static, ToolOutput> + Clone + Send + use<> {
    let (world, turn) = (world.clone(), Arc::new(Mutex::new(())));
    move |call| {
        let (world, turn) = (world.clone(), turn.clone());
        Box::pin(async move {
            let _turn = turn.lock().await;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if call.argv.first().is_none_or(|tool| tool != "juju-log") {
                match world.step() {
                    Step::Go => {}
                    Step::Die => return std::future::pending().await,
                    Step::Refuse(reason) => return refusal(&reason),
                }
            }
            let answer = world.answer(&call.argv, call.stdin.as_deref(), &call.cwd);
            answer.unwrap_or_else(|| refusal("the hook is over"))
        })
    }
}

/// A group of processes that is killed when this is dropped.
struct Group(Option<i32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            // Usually there is nobody left in it.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// Whether a process may have mounts of its own here.
async fn mounts(jujuc: &Path) -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    if let Some(may) = MAY.get() {
        return *may;
    }
    let tried = async {
        let agent = Agent::new()?;
        let (root, containers) = (agent.file("root"), agent.file("containers"));
        fs::create_dir(&root)?;
        fs::create_dir(&containers)?;
        let mut command = Command::new(jujuc);
        command.arg(VERB).arg(agent.file("report.json")).args([&root, &containers]).arg("/bin/true");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command.status().await
    };
    let may = tried.await.is_ok_and(|status| status.success());
    *MAY.get_or_init(|| may)
}

/// Hands on what a process prints, line by line, and keeps it.
async fn record(stream: Option<impl AsyncRead + Unpin>, keep: &mut Vec<u8>, log: impl Fn(&str)) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line).await, Ok(count) if count > 0) {
        log(String::from_utf8_lossy(&line).trim_end());
        keep.append(&mut line);
    }
}
