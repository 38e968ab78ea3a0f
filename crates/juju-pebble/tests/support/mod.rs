//! A real daemon for one test, with everything it knows in a temporary folder.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use juju_pebble::{Client, Error, Layer, Limits, Pebble as _, ServiceStatus};
use tempfile::TempDir;
use tokio::time::Instant;

/// Longest wait for anything that should happen soon.
const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon that ends with this value.
pub(crate) struct Daemon {
    process: Child,
    folder: TempDir,
    pub(crate) client: Client,
}

impl Daemon {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let client = Client::new(folder.path().join("pebble/.pebble.socket"));
        let process = spawn(folder.path());
        let daemon = Self { process, folder, client };
        daemon.until("an answer", async || daemon.client.system_info().await.is_ok()).await;
        daemon
    }

    /// A path in the daemon's folder, for files of the test.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a UTF-8 path").to_owned()
    }

    /// Adds a layer given as text.
    pub(crate) async fn layer(&self, text: &str) {
        self.client.add_layer("test", &layer(text)).await.expect("the layer is accepted");
    }

    pub(crate) async fn status(&self, service: &str) -> Option<ServiceStatus> {
        let services = self.client.services(&[service]).await.expect("services");
        services.first().map(|service| service.current)
    }

    /// Waits until `holds` says yes, asking often.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}; the daemon's log:\n{}", log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills the daemon without giving it time for anything.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("the daemon can be killed");
        self.process.wait().expect("the daemon ends");
    }

    /// Starts the daemon again in the same folder.
    pub(crate) async fn start_again(&mut self) {
        self.process = spawn(self.folder.path());
        self.until("an answer", async || self.client.system_info().await.is_ok()).await;
    }

    /// A client of the same daemon that waits less long.
    pub(crate) fn impatient(&self, change: Duration) -> Client {
        self.client.clone().with_limits(Limits { change, ..Limits::default() })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Asked politely, the daemon stops its services too.
        let id = self.process.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status();
        if asked.is_ok_and(|status| status.success()) {
            for _ in 0..500 {
                if !matches!(self.process.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &Path) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).expect("a log file");
    Command::new(program())
        .args(["run", "--create-dirs", "--hold"])
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("PEBBLE", folder.join("pebble"))
        .env("FROM_DAEMON", "yes")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the daemon starts")
}

/// The real program, built beforehand.
fn program() -> PathBuf {
    let tools = env::var_os("JUJU_SIM_TOOLS").filter(|tools| !tools.is_empty()).map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| cache().join("juju-sim/tools"));
    let program = tools.join("bin/pebble");
    assert!(program.is_file(), "{} is missing: run `cargo xtask tools` first", program.display());
    program
}

fn cache() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| value.as_os_str() != OsStr::new(""));
    set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .expect("HOME or XDG_CACHE_HOME is set")
}

/// A layer given as text.
pub(crate) fn layer(text: &str) -> Layer {
    Layer::from_yaml(text).expect("a layer")
}

/// The status and message of a refusal.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String) {
    match result {
        Err(Error::Api { status, message, .. }) => (status, message),
        other => panic!("not refused: {other:?}"),
    }
}

/// The kind of a failure with a path.
#[track_caller]
pub(crate) fn path_failure<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Path { kind, .. }) => kind,
        other => panic!("not a failure of a path: {other:?}"),
    }
}
