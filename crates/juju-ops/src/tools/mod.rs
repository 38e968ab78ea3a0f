//! Hook tools: the commands through which a charm speaks to its agent.
//!
//! [`HookTools`] runs one. There are two ways to do that, and callers see no difference:
//!
//! - [`Processes`] starts the executables that the agent puts on `PATH`. That is the documented interface; a call costs
//!   the start of a process, some milliseconds of CPU time.
//! - [`Socket`] speaks the [protocol](crate::jujuc) of those executables itself, over one connection for the whole hook. A call
//!   costs a write and a read.
//!
//! [`run`](crate::run()) uses [`Auto`], which prefers the socket and leaves it for the processes at the first sign of
//! trouble; see there for what it never does twice.

mod auto;
mod process;
mod socket;
pub(crate) mod span;

use std::{fmt, future::Future, pin::Pin};

pub use auto::Auto;
pub use process::Processes;
pub use socket::{AgentSocket, Socket};

/// A future that can be kept in a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One call of a hook tool.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Name, for example `relation-get`.
    pub tool: &'static str,
    /// Arguments after the name.
    pub args: Vec<String>,
    /// Standard input, for tools that read it.
    pub stdin: Option<Vec<u8>>,
}

impl ToolCall {
    /// A call without standard input.
    pub fn new(tool: &'static str, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { tool, args: args.into_iter().map(Into::into).collect(), stdin: None }
    }

    /// The same call with standard input.
    #[must_use]
    pub fn with_stdin(mut self, stdin: Vec<u8>) -> Self {
        self.stdin = Some(stdin);
        self
    }
}

/// Shows the tool and its flags only: values may be secret.
impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.args.iter().take_while(|a| *a != "--").filter(|a| a.starts_with('-'));
        write!(f, "{} {:?}", self.tool, flags.collect::<Vec<_>>())
    }
}

/// What a tool printed and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolOutput {
    /// 0 done, 1 refused, 2 bad command line.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// A tool could not be run to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// This agent has no such tool: its Juju is too old, or too new, for it.
    #[error("is not a tool of this agent")]
    Missing,
    /// It cannot be started, or the agent cannot be reached.
    #[error("cannot be started: {0}")]
    Start(String),
    /// It ended without an exit code.
    #[error("was killed")]
    Killed,
    /// Its pipes or the agent's connection broke: whether it did its work is not known, unless the text says so.
    #[error("{0}")]
    Io(String),
}

/// Someone who runs hook tools.
pub trait HookTools: Send + Sync {
    /// Runs one tool to its end.
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>>;
}

/// A hook tool did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The tool could not be run.
    #[error("{tool} {source}")]
    Transport {
        /// Tool name.
        tool: &'static str,
        /// Why.
        source: TransportError,
    },
    /// The tool refused.
    #[error("{tool}: {message}")]
    Refused {
        /// Tool name.
        tool: &'static str,
        /// 1 refused, 2 bad command line.
        code: i32,
        /// The agent's text, without its `ERROR` prefix.
        message: String,
    },
    /// The tool's output is not what its documentation says.
    #[error("{tool}: output not understood: {reason}")]
    Output {
        /// Tool name.
        tool: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The request was not sent, because the agent would refuse it, perhaps only after the hook.
    #[error("{tool}: {reason}")]
    Invalid {
        /// Tool name.
        tool: &'static str,
        /// What is wrong with the request.
        reason: String,
    },
}

impl ToolError {
    /// The relation, secret or databag does not exist (any more).
    pub fn is_not_found(&self) -> bool {
        self.message_has(&["not found"])
    }

    /// Juju's rules forbid it: not granted, not the leader, not ours to write.
    pub fn is_denied(&self) -> bool {
        self.message_has(&[
            "permission denied",
            "access denied",
            "not the leader",
            "cannot write relation settings",
        ])
    }

    /// What is written to is gone, or about to be. Of a relation that has just vanished, the controller says that it
    /// is not ours to touch; what Juju's rules forbid to this unit is said in other words.
    pub(crate) fn is_gone(&self) -> bool {
        self.message_has(&["not found", "permission denied"])
    }

    fn message_has(&self, texts: &[&str]) -> bool {
        let Self::Refused { message, .. } = self else { return false };
        let message = message.to_lowercase();
        texts.iter().any(|text| message.contains(text))
    }
}

/// Runs a call and turns everything but success into an error.
pub(crate) async fn checked(tools: &dyn HookTools, call: ToolCall) -> Result<Vec<u8>, ToolError> {
    let tool = call.tool;
    let output = tools.call(call).await.map_err(|source| ToolError::Transport { tool, source })?;
    if output.code == 0 {
        return Ok(output.stdout);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let message = text.trim().strip_prefix("ERROR ").unwrap_or(text.trim()).to_owned();
    Err(ToolError::Refused { tool, code: output.code, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_values() {
        let call = ToolCall::new("secret-add", ["--label", "l", "--", "password=hunter22"])
            .with_stdin(b"s3cret".to_vec());
        let shown = format!("{call:?}");
        assert!(
            shown.contains("--label") && !shown.contains("hunter22") && !shown.contains("s3cret"),
            "{shown}"
        );
    }

    #[test]
    fn errors_are_told_apart_by_text() {
        let refused =
            |message: &str| ToolError::Refused { tool: "relation-get", code: 2, message: message.into() };
        assert!(refused("invalid value \"9\" for option -r: relation not found").is_not_found());
        assert!(refused("permission denied").is_denied());
        assert!(!refused("yaml: line 3").is_denied());
    }
}
