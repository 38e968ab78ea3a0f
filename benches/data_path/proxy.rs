//! A running nginx.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
    folder: TempDir,
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
        // In a pod this is a pipe to Pebble, which reads each line and may pass it on: a file is cheaper.
        let log = File::create(folder.path().join("stderr"))?;
        let process = Command::new(nginx)
            .args(["-e", "stderr", "-g", "daemon off;", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", nginx.display()))?;
        let proxy = Self { process, listens: local.listens, folder };
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

    /// How long its processes ran so far.
    pub(crate) fn ran(&self) -> Duration {
        let clock = |pid: &str| machine::ran(&format!("/proc/{pid}/schedstat"));
        self.processes().iter().map(|pid| clock(pid)).sum()
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

    /// What it has written to its log, the end of it.
    pub(crate) fn errors(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// Where it writes its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("stderr")
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
