//! The simulator's program as chores call it: one method per verb, answers as data.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::process::{last_lines, text_of};

/// A model in the local Juju. It lives as long as this value, and never longer than this program.
pub(crate) struct Sim {
    program: PathBuf,
    tools: PathBuf,
    /// Folder of the model's socket and logs. The path is short, because those of sockets have to be.
    home: PathBuf,
    daemon: Mutex<Option<Child>>,
    /// Set by Ctrl-C and by a polite request to end.
    interrupted: Arc<AtomicBool>,
}

/// What became of some spans.
pub(crate) struct Delivery {
    /// Spans that a receiver took.
    pub(crate) accepted: u64,
    /// Identifiers of their traces.
    pub(crate) traces: Vec<String>,
    /// Why not all of them were.
    pub(crate) error: Option<String>,
}

/// An answer of an HTTP API, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Fetched {
    /// What was asked.
    pub(crate) url: String,
    /// Status of the answer; 0 if there was none.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: String,
    /// Why there was no answer.
    pub(crate) error: String,
}

/// A line of a model's log, as far as it is of interest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct LogLine {
    /// For example `unit-tempo-0`.
    pub(crate) entity: String,
    pub(crate) level: String,
    pub(crate) module: String,
    pub(crate) message: String,
}

impl Sim {
    /// A model to be, under a name that is no other's on this machine together with the number of this process.
    pub(crate) fn new(program: PathBuf, tools: &Path, name: &str) -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
        }
        let home = env::temp_dir().join(format!("juju-{name}-{}", process::id()));
        Ok(Self { program, tools: tools.to_path_buf(), home, daemon: Mutex::default(), interrupted })
    }

    /// Starts a model and waits until it answers.
    pub(crate) fn up(&self, model: &Path, patience: Duration) -> Result<()> {
        fs::create_dir_all(&self.home)?;
        let log = self.home.join("up.log");
        let mut command = self.command(&["up", "--foreground", "--until-eof"]);
        // The end of this program closes the pipe, however it comes, and that ends the model.
        command.arg(model).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let daemon = command.spawn().with_context(|| format!("cannot start {}", text_of(&command)))?;
        *self.daemon() = Some(daemon);
        let deadline = Instant::now() + patience;
        while let Err(error) = self.run(&["status"]) {
            let ended = self.daemon().as_mut().map(Child::try_wait);
            if matches!(ended, Some(Ok(Some(_)))) {
                bail!("the model did not come up: {}", last_lines(&fs::read_to_string(&log)?, 20));
            }
            if self.interrupted() || Instant::now() > deadline {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whether a model was started and not taken down.
    pub(crate) fn is_up(&self) -> bool {
        self.daemon().is_some()
    }

    /// Waits until nothing is left to do.
    pub(crate) fn wait(&self, patience: Duration) -> Result<()> {
        self.run(&["wait", "--timeout", &patience.as_secs().to_string()]).map(drop)
    }

    /// Waits until nothing is left to do and these applications are active; all of them when none is named.
    pub(crate) fn wait_active(&self, apps: &[&str], patience: Duration) -> Result<()> {
        let timeout = patience.as_secs().to_string();
        self.run(&[&["wait", "--active", "--timeout", &timeout], apps].concat()).map(drop)
    }

    /// The model's status.
    pub(crate) fn status(&self) -> Result<Value> {
        self.json(&["status"])
    }

    /// The model's status as a table for people.
    pub(crate) fn status_table(&self) -> Result<String> {
        self.run(&["status"])
    }

    /// The receivers that a requirer's unit finds in its relation, URL by protocol.
    pub(crate) fn received(&self, unit: &str) -> Result<BTreeMap<String, String>> {
        let shown = self.json(&["show-unit", unit])?;
        let relations = shown[unit]["relation-info"].as_array().cloned().unwrap_or_default();
        let mut urls = BTreeMap::new();
        for relation in relations.iter().filter(|relation| relation["endpoint"] == "tracing") {
            let Some(text) = relation["application-data"]["receivers"].as_str() else { continue };
            let receivers: Vec<Value> = serde_json::from_str(text)
                .with_context(|| format!("{unit} was given receivers that are not JSON"))?;
            for receiver in receivers {
                let (Some(protocol), Some(url)) =
                    (receiver["protocol"]["name"].as_str(), receiver["url"].as_str())
                else {
                    bail!("{unit} was given a receiver without protocol or URL: {receiver}");
                };
                urls.insert(protocol.to_owned(), url.to_owned());
            }
        }
        Ok(urls)
    }

    /// Sends spans from a unit's pod, with `tls` also where the URL does not say so. That a receiver does not take them is no
    /// error here.
    pub(crate) fn send(
        &self,
        unit: &str,
        protocol: &str,
        url: &str,
        spans: u64,
        patience: Duration,
        tls: bool,
    ) -> Result<Delivery> {
        let (count, timeout) = (spans.to_string(), patience.as_secs().to_string());
        let mut words = vec!["send-spans", unit, "--protocol", protocol, "--url", url, "--spans", &count];
        words.extend(["--timeout", &timeout, "--format", "json"]);
        words.extend(tls.then_some("--tls"));
        let ended = self.output(&words)?;
        let answer: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        let errors: Vec<&str> =
            answer["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let error = match (ended.code, errors.as_slice()) {
            (Some(0), _) => None,
            (_, []) => Some(last_lines(&ended.stderr, 1)),
            (_, errors) => Some(errors.join("; ")),
        };
        let traces = answer["trace_ids"].as_array().into_iter().flatten();
        let traces = traces.filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Delivery { accepted: answer["accepted"].as_u64().unwrap_or(0), traces, error })
    }

    /// Asks HTTP APIs from a unit's pod; the answers in the order of the URLs, whatever they are.
    pub(crate) fn fetch(&self, unit: &str, urls: &[String], patience: Duration) -> Result<Vec<Fetched>> {
        let timeout = patience.as_secs().to_string();
        let options = ["fetch", unit, "--timeout", &timeout, "--format", "json"];
        let words: Vec<&str> = options.into_iter().chain(urls.iter().map(String::as_str)).collect();
        let ended = self.output(&words)?;
        serde_json::from_str(&ended.stdout)
            .with_context(|| format!("juju-sim fetch {unit}: {}", last_lines(&ended.stderr, 1)))
    }

    /// What a shell line prints in a unit's pod, however it ends.
    pub(crate) fn exec(&self, unit: &str, line: &str) -> Result<String> {
        let ended = self.output(&["exec", unit, "--timeout", "600", "--", "sh", "-c", line])?;
        if ended.stdout.is_empty() && ended.code != Some(0) {
            bail!("{unit}: {}", last_lines(&ended.stderr, 3));
        }
        Ok(ended.stdout)
    }

    /// The model's log from the lowest level on.
    pub(crate) fn log(&self) -> Result<Vec<LogLine>> {
        let value = self.json(&["debug-log", "--level", "DEBUG"])?;
        serde_json::from_value(value).context("reading the log")
    }

    /// One of the databags of a unit's only relation at an endpoint: that of the other application.
    pub(crate) fn databag(&self, unit: &str, endpoint: &str) -> Result<BTreeMap<String, String>> {
        let shown = self.json(&["show-unit", unit])?;
        let relations = shown[unit]["relation-info"].as_array().cloned().unwrap_or_default();
        let found = relations.into_iter().find(|relation| relation["endpoint"] == endpoint);
        let mut found = found.with_context(|| format!("{unit} has no relation {endpoint}"))?;
        Ok(serde_json::from_value(found["application-data"].take())?)
    }

    /// Spans that arrived at all workers together, by protocol.
    pub(crate) fn counts(&self) -> Result<BTreeMap<String, u64>> {
        let answer = self.json(&["counts", "--service", "juju-sim"])?;
        let mut sums = BTreeMap::new();
        for counts in answer.as_object().into_iter().flatten().filter_map(|(_, unit)| unit.as_object()) {
            for (protocol, spans) in counts {
                *sums.entry(protocol.clone()).or_default() += spans.as_u64().unwrap_or(0);
            }
        }
        Ok(sums)
    }

    /// Takes the model down and waits until it is gone; no error when there is none.
    pub(crate) fn down(&self) -> Result<()> {
        let Some(mut daemon) = self.daemon().take() else { return Ok(()) };
        drop(daemon.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(20);
        while daemon.try_wait()?.is_none() {
            if Instant::now() > deadline {
                daemon.kill()?;
                daemon.wait()?;
                bail!("the model did not end by itself and was killed");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether somebody asked this program to end.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Shows what a person would look at first when a model does not do what it should. The folder stays.
    pub(crate) fn explain(&self) {
        for words in [&["status"][..], &["debug-log", "--lines", "60"]] {
            if let Ok(ended) = self.spawn(words).and_then(|running| running.wait(None)) {
                eprintln!("--- juju-sim {}\n{}", words.join(" "), last_lines(&ended.stdout, 60));
            }
        }
        eprintln!("--- logs are in {}", self.home.display());
    }

    /// The model's folder.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Removes the model's folder.
    pub(crate) fn clean(&self) {
        // It holds logs; what cannot be removed only takes space.
        let _ = fs::remove_dir_all(&self.home);
    }

    /// Runs a verb and gives back what it wrote; an error if it failed.
    pub(crate) fn run(&self, words: &[&str]) -> Result<String> {
        self.output(words)?.success(&format!("juju-sim {}", words.join(" ")))
    }

    fn json(&self, words: &[&str]) -> Result<Value> {
        let text = self.run(&[words, &["--format", "json"]].concat())?;
        serde_json::from_str(&text)
            .with_context(|| format!("juju-sim {} did not answer in JSON", words.join(" ")))
    }

    fn output(&self, words: &[&str]) -> Result<Ended> {
        self.spawn(words)?.wait(Some(&self.interrupted))
    }

    fn spawn(&self, words: &[&str]) -> Result<Running> {
        let mut command = self.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", text_of(&command)))?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        Ok(Running { child, stdout, stderr })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("JUJU_SIM_TOOLS", &self.tools).env("JUJU_SIM_HOME", &self.home);
        // It would give models another name.
        command.env_remove("JUJU_SIM_MODEL");
        // Ctrl-C on the terminal is for this program, which then ends the model in order.
        command.process_group(0);
        command
    }

    fn daemon(&self) -> MutexGuard<'_, Option<Child>> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // For every way out that is not the ordinary one; twice does no harm.
        let _ = self.down();
    }
}

/// A verb under way.
struct Running {
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

/// A verb that has ended.
struct Ended {
    /// Its exit code; none if a signal ended it.
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Running {
    /// Waits for the end; cuts it short when the flag is set.
    fn wait(mut self, interrupted: Option<&AtomicBool>) -> Result<Ended> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if interrupted.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
                self.child.kill()?;
                self.child.wait()?;
                bail!("interrupted");
            }
            thread::sleep(Duration::from_millis(20));
        };
        let text = |thread: JoinHandle<String>| thread.join().unwrap_or_default();
        Ok(Ended { code: status.code(), stdout: text(self.stdout), stderr: text(self.stderr) })
    }
}

impl Ended {
    fn success(self, what: &str) -> Result<String> {
        match self.code {
            Some(0) => Ok(self.stdout),
            code => {
                let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
                bail!("`{what}` ended with {code}: {}", last_lines(&self.stderr, 20))
            }
        }
    }
}

/// Reads a pipe to its end beside everything else, so that it never fills up.
fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth having.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::write_program;

    /// A simulator that is a shell script.
    fn scripted(script: &str) -> (tempfile::TempDir, Sim) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("juju-sim");
        write_program(&program, &format!("#!/bin/sh\n{script}\n"));
        let mut sim = Sim::new(program, folder.path(), "test").unwrap();
        sim.home = folder.path().join("home");
        (folder, sim)
    }

    #[test]
    fn a_failing_verb_is_an_error_with_its_words() {
        let (_folder, sim) = scripted("echo no such model >&2; exit 1");
        let error = sim.run(&["status"]).unwrap_err().to_string();
        assert!(error.contains("juju-sim status") && error.contains("no such model"), "{error}");
    }

    #[test]
    fn an_interruption_ends_the_verb_but_not_the_clean_up() {
        let (folder, sim) = scripted("case $1 in wait) exec sleep 60;; up) cat; echo gone >&2;; esac");
        sim.up(folder.path(), Duration::from_mins(1)).unwrap();
        sim.interrupted.store(true, Ordering::Relaxed);
        assert_eq!(sim.wait(Duration::from_mins(1)).unwrap_err().to_string(), "interrupted");
        sim.down().unwrap();
        assert_eq!(fs::read_to_string(sim.home.join("up.log")).unwrap(), "gone\n");
        sim.clean();
    }

    #[test]
    fn a_model_that_does_not_come_up_says_why() {
        let (folder, sim) = scripted("echo not a model file >&2; exit 1");
        let error = sim.up(folder.path(), Duration::from_mins(1)).unwrap_err().to_string();
        assert!(error.contains("not a model file"), "{error}");
        sim.clean();
    }

    #[test]
    fn spans_that_nobody_takes_are_an_answer() {
        let (_folder, sim) =
            scripted(r#"echo '{"accepted":0,"failed":1,"errors":["connection refused"]}'; exit 1"#);
        let delivery = sim.send("a/0", "zipkin", "http://x:9411", 1, Duration::from_secs(1), false).unwrap();
        assert_eq!((delivery.accepted, delivery.error.as_deref()), (0, Some("connection refused")));
    }
}
