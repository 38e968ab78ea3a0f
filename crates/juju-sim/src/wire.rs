//! An agent as a charm's process finds it: a socket, and a folder of hook tools that lead to it.

use std::{
    env, fs,
    future::Future,
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;
use tokio::{
    net::UnixListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    jujuc::{Invocation, serve},
    session::AgentPaths,
    tools::{self, ToolOutput},
};

/// What hooks find after the hook tools in their `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Environment variable that names the hook-tool client.
const JUJUC: &str = "JUJU_SIM_JUJUC";

/// There is no program `jujuc`, of which all hook tools are made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the hook-tool client `jujuc` was not found ({looked}): build it with `cargo build -p juju-sim --bin jujuc` where juju-sim \
     is part of the workspace, else get it with `cargo install juju-sim`; {JUJUC} may name the file"
)]
pub struct NoJujuc {
    /// Where it was looked for.
    looked: String,
}

/// Finds the hook-tool client: named by `JUJU_SIM_JUJUC`, in cargo's folder of the running test, or on `PATH`.
///
/// # Errors
/// When it is at none of these places.
pub fn find_jujuc() -> Result<PathBuf, NoJujuc> {
    if let Some(file) = env::var_os(JUJUC).filter(|file| !file.is_empty()) {
        let file = PathBuf::from(file);
        let looked = format!("{JUJUC} is {}", file.display());
        return fs::canonicalize(file).map_err(|_| NoJujuc { looked });
    }
    // A test lies in target/debug/deps, a benchmark or an example beside it, the client in target/debug.
    let exe = env::current_exe().unwrap_or_default();
    let near = exe.ancestors().skip(1).take(2).map(Path::to_owned);
    let path = env::var_os("PATH").unwrap_or_default();
    let places = near.chain(env::split_paths(&path)).collect::<Vec<_>>();
    let found = places.iter().map(|place| place.join("jujuc")).find(|file| file.is_file());
    found.ok_or_else(|| NoJujuc { looked: format!("near {} and on PATH", exe.display()) })
}

/// A folder with the agent's things, gone when this is dropped.
pub(crate) struct Agent {
    folder: TempDir,
}

impl Agent {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { folder: tempfile::Builder::new().prefix("juju-sim-").tempdir()? })
    }

    /// A path in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the hook's environment says of it.
    pub(crate) fn paths(&self, charm_dir: &Path) -> AgentPaths {
        AgentPaths {
            charm_dir: charm_dir.to_owned(),
            socket: self.file("agent.socket"),
            tools_dir: self.file("tools"),
            path: PATH.to_owned(),
            nonce: "0".repeat(32),
        }
    }

    /// Makes the folder of hook tools, as the agent of a Juju version has it.
    pub(crate) fn link_tools(&self, jujuc: &Path, juju_version: &str) -> io::Result<()> {
        let folder = self.file("tools");
        fs::create_dir(&folder)?;
        for tool in tools::of_version(juju_version) {
            symlink(jujuc, folder.join(tool))?;
        }
        Ok(())
    }

    /// Answers calls of one hook until the result is dropped.
    pub(crate) fn serve<A, F>(&self, context_id: String, answer: A) -> io::Result<Serving>
    where
        A: Fn(Invocation) -> F + Clone + Send + 'static,
        F: Future<Output = ToolOutput> + Send,
    {
        let listener = UnixListener::bind(self.file("agent.socket"))?;
        let (count, open) = watch::channel(0);
        let count = Arc::new(count);
        let task = tokio::spawn(async move {
            // Dropped with this task, so that no call is answered after the hook.
            let mut calls = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        count.send_modify(|count| *count += 1);
                        let (context_id, answer, count) = (context_id.clone(), answer.clone(), count.clone());
                        calls.spawn(async move {
                            // What is wrong with the connection is for the other side to notice.
                            let _ = serve(stream, &context_id, answer).await;
                            count.send_modify(|count| *count -= 1);
                        });
                    }
                    Some(_) = calls.join_next() => {}
                }
            }
        });
        Ok(Serving { task, open })
    }
}

/// An agent's socket that is being answered.
pub(crate) struct Serving {
    task: JoinHandle<()>,
    open: watch::Receiver<usize>,
}

impl Serving {
    /// Returns when no connection is open: a real agent ends a hook no earlier.
    pub(crate) async fn closed(&mut self) {
        // An error means that nothing is served any more.
        let _ = self.open.wait_for(|open| *open == 0).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}
