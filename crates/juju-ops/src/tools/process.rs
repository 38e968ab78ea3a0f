//! Hook tools as processes.

use std::{collections::BTreeMap, io::ErrorKind, path::PathBuf, process::Stdio, sync::Arc};

use tokio::{io::AsyncWriteExt as _, process::Command, sync::Semaphore};

use super::{BoxFuture, HookTools, ToolCall, ToolOutput, TransportError};

/// Runs the executables that the agent puts on `PATH`, the documented interface.
pub struct Processes {
    /// The agent answers one call at a time; more processes than this only cost memory.
    running: Arc<Semaphore>,
    place: Option<Place>,
}

/// Where the tools are and what they are started with, when that is not this process's own.
struct Place {
    tools: PathBuf,
    environment: BTreeMap<String, String>,
    dir: PathBuf,
}

impl Processes {
    const AT_ONCE: usize = 8;

    /// Runs the executables in the folder `tools`, with `environment` and nothing else, in the working directory `dir`.
    ///
    /// For programs that call tools on behalf of a hook that they are not part of. A charm uses
    /// [`Processes::default`], which takes all of that from its own process.
    pub fn new(
        tools: impl Into<PathBuf>,
        environment: BTreeMap<String, String>,
        dir: impl Into<PathBuf>,
    ) -> Self {
        let place = Place { tools: tools.into(), environment, dir: dir.into() };
        Self { place: Some(place), ..Self::default() }
    }

    fn command(&self, tool: &str) -> Command {
        let Some(place) = &self.place else { return Command::new(tool) };
        let mut command = Command::new(place.tools.join(tool));
        command.env_clear().envs(&place.environment).current_dir(&place.dir);
        command
    }
}

impl Default for Processes {
    fn default() -> Self {
        Self { running: Arc::new(Semaphore::new(Self::AT_ONCE)), place: None }
    }
}

impl HookTools for Processes {
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>> {
        Box::pin(async move {
            let io = |e: std::io::Error| TransportError::Io(e.to_string());
            let _turn = self.running.acquire().await.map_err(|e| TransportError::Io(e.to_string()))?;
            let mut child = self
                .command(call.tool)
                .args(&call.args)
                .stdin(if call.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(|e| match e.kind() {
                    ErrorKind::NotFound => TransportError::Missing,
                    _ => TransportError::Start(e.to_string()),
                })?;
            let pipe = child.stdin.take();
            let feed = async {
                if let (Some(mut pipe), Some(stdin)) = (pipe, call.stdin) {
                    // A tool that refuses its arguments closes the pipe early; its exit code says more.
                    let _ = pipe.write_all(&stdin).await;
                }
            };
            let ((), output) = futures_util::future::join(feed, child.wait_with_output()).await;
            let output = output.map_err(io)?;
            let code = output.status.code().ok_or(TransportError::Killed)?;
            Ok(ToolOutput { code, stdout: output.stdout, stderr: output.stderr })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_gets_stdin_and_gives_its_code() {
        let tools = Processes::default();
        let out = tools.call(ToolCall::new("cat", [] as [&str; 0]).with_stdin(b"x".to_vec())).await.unwrap();
        assert_eq!((out.code, out.stdout), (0, b"x".to_vec()));
        let out = tools.call(ToolCall::new("sh", ["-c", "echo ERROR no >&2; exit 2"])).await.unwrap();
        assert_eq!((out.code, out.stderr), (2, b"ERROR no\n".to_vec()));
        let killed = tools.call(ToolCall::new("sh", ["-c", "kill -9 $$"])).await;
        assert_eq!(killed, Err(TransportError::Killed));
        assert_eq!(tools.call(ToolCall::new("no-such-tool", [""])).await, Err(TransportError::Missing));
    }

    #[tokio::test]
    async fn tools_of_another_hook_get_its_environment_only() {
        let dir = tempfile::tempdir().unwrap();
        let environment = BTreeMap::from([("JUJU_CONTEXT_ID".to_owned(), "db/0-start-1".to_owned())]);
        let tools = Processes::new("/bin", environment, dir.path());
        let script = "echo $JUJU_CONTEXT_ID ${HOME-unset} $(pwd -P)";
        let out = tools.call(ToolCall::new("sh", ["-c", script])).await.unwrap();
        let dir = dir.path().canonicalize().unwrap();
        assert_eq!(String::from_utf8(out.stdout).unwrap(), format!("db/0-start-1 unset {}\n", dir.display()));
    }
}
