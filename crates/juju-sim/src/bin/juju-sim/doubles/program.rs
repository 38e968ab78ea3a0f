//! Real programs in the pods of doubles, kept running as Pebble keeps a service: what ends is started again, after a pause
//! that grows; what is to end is asked first.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use juju_sim::Event;
use tokio::{
    process::Child,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::worker::{self, Files};
use crate::{
    daemon::Model,
    enter::INSIDE,
    pod::{CHARM, Pod},
};

/// How often a program that is not ready is asked whether it is.
const ASK: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Pebble's figures: the first and the longest pause before a new start, and the time between SIGTERM and SIGKILL.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(5);

/// What to run, and with what.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Spec {
    /// Name of the program among those for workloads.
    pub(super) name: &'static str,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    /// What it has in its environment beside what a shell has. May hold secrets and is never shown.
    pub(super) environment: BTreeMap<String, String>,
    /// Its files. They may hold secrets and are never shown.
    pub(super) files: Files,
    /// Folders that are to be there.
    pub(super) folders: Vec<String>,
    /// What answers with 200 as soon as it is ready.
    pub(super) ready: String,
    /// The file in its pod with the authorities to trust that answer by, where it comes over TLS.
    pub(super) trust: Option<&'static str>,
    /// After how long it should have been ready.
    pub(super) patience: Duration,
}

/// How far a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It may become ready.
    Starting,
    /// It answers.
    Ready,
    /// It should have been ready, and why it is not. It is tried on.
    Late(String),
}

/// A program that runs in a pod. It ends with the value.
pub(crate) struct Program {
    spec: Spec,
    state: Arc<Mutex<State>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Program {
    fn drop(&mut self) {
        // The process ends with its handle, which the task has.
        self.task.abort();
    }
}

/// Whether there is such a program, and a pod that it could run in; the reason if not, fit for a status message.
pub(super) fn available(model: &Model, unit: &str, name: &str) -> Result<(), String> {
    let Some(machine) = &model.host else { return Err(format!("no pod to run {name} in")) };
    if !machine.run.join("bin").join(name).is_file() {
        return Err(format!("there is no bin/{name} among the programs for workloads"));
    }
    if model.pod(unit).is_none() { Err("its pod is not there".to_owned()) } else { Ok(()) }
}

/// Keeps a unit's program running with this specification, and says how far it is. When that changes, the unit runs
/// `update-status`.
pub(super) async fn run(model: &Arc<Model>, unit: &str, spec: Spec) -> Result<State> {
    if let Some(program) = programs(model).get(unit)
        && program.spec == spec
    {
        return Ok(program.state.lock().unwrap_or_else(PoisonError::into_inner).clone());
    }
    end(model, unit).await;
    worker::put(model, unit, &spec.files).await?;
    let pod = model.pod(unit).context("its pod is not there")?;
    let machine = model.host.as_ref().context("no pods")?;
    let log = machine.logs.join(format!("{}-{}.log", unit.replace('/', "-"), spec.name));
    let state = Arc::new(Mutex::new(State::Starting));
    let (stop, stopped) = watch::channel(false);
    let task = Supervisor {
        model: Arc::clone(model),
        unit: unit.to_owned(),
        pod,
        log,
        spec: spec.clone(),
        state: Arc::clone(&state),
        stopped,
    };
    let program = Program { spec, state, stop, task: tokio::spawn(task.run()) };
    programs(model).insert(unit.to_owned(), program);
    Ok(State::Starting)
}

/// Ends a unit's program, if it has one: the program is asked, and has a few seconds.
pub(super) async fn end(model: &Arc<Model>, unit: &str) {
    let Some(mut program) = programs(model).remove(unit) else { return };
    program.stop.send_replace(true);
    // A task that was aborted has ended, too.
    let _ = timeout(END + ANSWER, &mut program.task).await;
}

fn programs(model: &Model) -> MutexGuard<'_, BTreeMap<String, Program>> {
    model.programs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What keeps one program running.
struct Supervisor {
    model: Arc<Model>,
    unit: String,
    pod: Arc<Pod>,
    log: PathBuf,
    spec: Spec,
    state: Arc<Mutex<State>>,
    stopped: watch::Receiver<bool>,
}

impl Supervisor {
    async fn run(self) {
        let mut stopped = self.stopped.clone();
        let mut pause = FIRST_PAUSE;
        let mut late = Instant::now() + self.spec.patience;
        loop {
            let said = fs::metadata(&self.log).map_or(0, |meta| meta.len());
            let reason = match self.start() {
                Err(error) => format!("{error:#}"),
                Ok(mut child) => {
                    let ended = tokio::select! {
                        _ = stopped.wait_for(|stop| *stop) => None,
                        status = child.wait() => Some(status),
                        never = self.watch(late) => match never {},
                    };
                    match ended {
                        None => return self.ask_to_end(child).await,
                        Some(Ok(status)) => {
                            let line = last_line(&self.log, said);
                            format!("{} ended with {status}: {line}", self.spec.name)
                        }
                        Some(Err(error)) => error.to_string(),
                    }
                }
            };
            if *self.state.lock().unwrap_or_else(PoisonError::into_inner) == State::Ready {
                // Whatever ended it, it has its time once more.
                pause = FIRST_PAUSE;
                late = Instant::now() + self.spec.patience;
            }
            if Instant::now() > late {
                self.set(State::Late(reason));
            } else {
                self.set(State::Starting);
            }
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Looks whether the program that runs becomes ready, and in time.
    async fn watch(&self, late: Instant) -> Infallible {
        loop {
            sleep(ASK).await;
            match self.ask().await {
                Ok(()) => {
                    self.set(State::Ready);
                    return std::future::pending().await;
                }
                Err(reason) if Instant::now() > late => {
                    let seconds = self.spec.patience.as_secs();
                    self.set(State::Late(format!("not ready after {seconds} s: {reason}")));
                }
                Err(_) => {}
            }
        }
    }

    fn start(&self) -> Result<Child> {
        let log = fs::File::options().create(true).append(true).open(&self.log)?;
        let Spec { name, arguments, environment, folders, .. } = &self.spec;
        let folders = folders.join(" ");
        let line = format!("mkdir -p /run {folders} && echo $$ > /run/{name}.pid && exec \"$@\"");
        let program = format!("/charm/bin/{name}");
        let words = ["sh", "-c", &line, "sh", &program].map(str::to_owned);
        let words: Vec<String> = words.into_iter().chain(arguments.iter().cloned()).collect();
        let mut env = Pod::shell_env(CHARM);
        env.extend(environment.clone());
        self.pod
            .command(CHARM, env, Some("/".into()), &words)?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {name}"))
    }

    async fn ask_to_end(&self, mut child: Child) {
        let line = format!("kill -TERM $(cat /run/{}.pid)", self.spec.name);
        let words = ["sh", "-c", &line].map(str::to_owned);
        if let Ok(mut kill) = self.pod.command(CHARM, Pod::shell_env(CHARM), Some("/".into()), &words) {
            let _ = kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        }
        // One that does not end by itself ends with the handle.
        let _ = timeout(END, child.wait()).await;
    }

    /// Whether the program is ready; what it answers if not.
    async fn ask(&self) -> Result<(), String> {
        let seconds = ANSWER.as_secs().to_string();
        let trust = self.spec.trust.map(|file| ["--ca-file", file]);
        let words = [INSIDE, "workload", "fetch", &self.spec.ready, "--timeout", &seconds];
        let words: Vec<String> =
            words.into_iter().chain(trust.into_iter().flatten()).map(str::to_owned).collect();
        let mut command = self
            .pod
            .command(CHARM, Pod::shell_env(CHARM), Some("/".into()), &words)
            .map_err(|error| format!("{error:#}"))?;
        let output = command.stdin(Stdio::null()).output().await.map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Err(said.join("; "))
    }

    /// Remembers how far the program is; the unit hears of it when it is something else than before.
    fn set(&self, state: State) {
        let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == state {
            return;
        }
        *known = state;
        drop(known);
        self.model.change(|controller| {
            if let Some(unit) = controller.unit_mut(&self.unit) {
                unit.queue.push_back(Event::UpdateStatus);
            }
        });
    }
}

/// The last line of a log about an error, or the very last one, of what came after its first `said` bytes.
fn last_line(log: &Path, said: u64) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = text.get(usize::try_from(said).unwrap_or(usize::MAX)..).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let about_errors = lines.iter().rev().find(|line| line.to_lowercase().contains("err"));
    about_errors.or(lines.last()).map_or_else(String::new, |line| line.chars().take(300).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_an_end_is_the_last_error_that_was_said_since_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(&log, "level=error of before\nlevel=info one\nlevel=error two\nlevel=info three\n\n")
            .unwrap();
        assert_eq!(last_line(&log, 22), "level=error two");
        assert_eq!(last_line(&log, 53), "level=info three");
        assert_eq!(last_line(&log, 10_000), "");
        assert_eq!(last_line(&folder.path().join("none"), 0), "");
    }
}
