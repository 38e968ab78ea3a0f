//! A running nginx.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::config::localise;
use crate::load::Protocol;
use crate::machine;

/// An nginx with its folder. It ends with the value.
pub(crate) struct Proxy {
    process: Child,
    listens: BTreeMap<u16, SocketAddr>,
    log: Arc<Mutex<BTreeMap<String, usize>>>,
    /// The clock of the thread that reads what it writes.
    reader: String,
    _folder: TempDir,
}

impl Proxy {
    /// Starts nginx where the calling thread runs.
    pub(crate) fn start(
        nginx: &Path,
        text: &str,
        resolver: SocketAddr,
        workers: &BTreeMap<u16, u16>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let local = localise(text, folder.path(), resolver, workers)?;
        let file = folder.path().join("nginx.conf");
        fs::write(&file, local.text)?;
        let mut process = Command::new(nginx)
            .args(["-e", "stderr", "-g", "daemon off;", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", nginx.display()))?;
        let log = Arc::<Mutex<_>>::default();
        let (clock, reader) = mpsc::channel();
        if let Some(stderr) = process.stderr.take() {
            let log = log.clone();
            thread::spawn(move || {
                let _ = clock.send(machine::own_clock());
                listen(stderr, &log);
            });
        }
        let reader = reader.recv().unwrap_or_default();
        let proxy = Self { process, listens: local.listens, log, reader, _folder: folder };
        proxy.await_workers()?;
        Ok(proxy)
    }

    /// nginx looks names up once it runs, so it listens before it can pass anything on.
    fn await_workers(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        for protocol in [Protocol::Http, Protocol::Grpc] {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let address = self.address(protocol)?;
            // Each of its processes looks names up for itself, and which one answers is left to chance.
            let mut good = 0;
            while good < 20 {
                match runtime.block_on(crate::load::try_once(protocol, address)) {
                    Ok(true) => good += 1,
                    _ if Instant::now() > deadline => {
                        bail!("nginx does not pass requests on: {}", self.errors())
                    }
                    _ => {
                        good = 0;
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            }
        }
        Ok(())
    }

    /// Where it listens for a protocol.
    pub(crate) fn address(&self, protocol: Protocol) -> Result<SocketAddr> {
        self.listens.get(&protocol.port()).copied().with_context(|| format!("nothing listens for {protocol}"))
    }

    /// How long its processes ran so far, and whoever reads its log.
    pub(crate) fn ran(&self) -> Duration {
        let clock = |pid: &str| machine::ran(&format!("/proc/{pid}/schedstat"));
        self.processes().iter().map(|pid| clock(pid)).sum::<Duration>() + machine::ran(&self.reader)
    }

    fn processes(&self) -> Vec<String> {
        let master = self.process.id().to_string();
        let children =
            fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).chain([master.clone()]).collect()
    }

    /// Lets it read its configuration again: new processes take over, the old ones end what they are at.
    pub(crate) fn reload(&self) -> Result<()> {
        Ok(kill(self.pid()?, Signal::SIGHUP)?)
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.process.id())?))
    }

    /// What it complained about, and how often.
    pub(crate) fn errors(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().map(|(complaint, count)| format!("{count} × {complaint}")).collect::<Vec<_>>().join("\n")
    }
}

/// Reads what nginx writes, as Pebble does in a pod, and counts complaints by what they say.
fn listen(stderr: ChildStderr, log: &Mutex<BTreeMap<String, usize>>) {
    let mut lines = BufReader::new(stderr);
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
        // A level in brackets, numbers of process and connection, what happened, and details after the first comma.
        if let Some((_, complaint)) = line.split_once("] ") {
            let complaint = complaint.split_once(": ").map_or(complaint, |(_, text)| text);
            let complaint =
                complaint.trim_start_matches(|c: char| c == '*' || c == ' ' || c.is_ascii_digit());
            let complaint = complaint.split(", client").next().unwrap_or(complaint).trim();
            // Access logs have dates in brackets.
            if !complaint.starts_with('"') && !complaint.contains(" HTTP/") {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                *log.entry(complaint.to_owned()).or_default() += 1;
            }
        }
        line.clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Asked, so that its children end too.
        if let Ok(pid) = self.pid() {
            let _ = kill(pid, Signal::SIGTERM);
        }
        let _ = self.process.wait();
    }
}
