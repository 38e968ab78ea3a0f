//! The choice between the agent's socket and processes.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use super::{
    AgentSocket, BoxFuture, HookTools, Processes, Socket, ToolCall, ToolOutput, TransportError,
    socket::Failure,
};

/// Tools that may be called twice without harm: they only ask, or write a line to the log.
const REPEATABLE: [&str; 22] = [
    "action-get",
    "config-get",
    "credential-get",
    "goal-state",
    "is-leader",
    "juju-log",
    "leader-get",
    "network-get",
    "opened-ports",
    "relation-get",
    "relation-ids",
    "relation-list",
    "relation-model-get",
    "resource-get",
    "secret-get",
    "secret-ids",
    "secret-info-get",
    "state-get",
    "status-get",
    "storage-get",
    "storage-list",
    "unit-get",
];

/// Whether a call may be made again when its answer was lost.
fn is_repeatable(call: &ToolCall) -> bool {
    let flags = || call.args.iter().take_while(|word| *word != "--");
    // A secret that is refreshed may have moved on in between.
    REPEATABLE.binary_search(&call.tool).is_ok() && !flags().any(|word| word.starts_with("--refresh"))
}

/// The agent's socket where it can be used, else processes.
///
/// The socket is used when the environment names one of network `unix` and the first call that it carries is answered by a
/// tool. That first call is one that does no harm when made twice; where a hook begins by changing something,
/// `is-leader` is asked before. From the first trouble on (nobody listens, the agent refuses to run the tool, an answer
/// cannot be understood, the connection breaks), the rest of the hook goes through processes, which is said once at
/// debug level. There is no time limit: a process would wait at the same socket.
///
/// A call that was lost on the way is made again through a process if it only asks, or was not sent. **A call that may have
/// changed something is never made twice**: it fails, and so does the hook ([`is_in_doubt`](Self::is_in_doubt)), so that the agent
/// drops what was done and runs it again.
///
/// `JUJU_OPS_TRANSPORT=process` or `=socket` in the charm's environment forces one; with `socket`, what would be a reason to fall back
/// is an error.
pub struct Auto {
    way: Mutex<Way>,
    /// Where calls go that the socket does not take; none when the socket is forced.
    processes: Option<Processes>,
    in_doubt: AtomicBool,
    /// Held while a first call is made for its own sake.
    trial: tokio::sync::Mutex<()>,
}

enum Way {
    Untried(AgentSocket),
    /// The flag says whether the socket has carried a call.
    Socket(Arc<Socket>, bool),
    Processes(String),
}

impl Auto {
    /// Decides by the hook's environment, read through `var`, which returns a variable's value if it is set.
    ///
    /// Nothing is opened before the first call.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let forced = var("JUJU_OPS_TRANSPORT");
        let way = match forced.as_deref() {
            Some("process") => Way::Processes("processes are asked for".to_owned()),
            _ => match AgentSocket::from_vars(&var) {
                Ok(agent) => Way::Untried(agent),
                Err(error) => Way::Processes(error.to_string()),
            },
        };
        let processes = (forced.as_deref() != Some("socket")).then(Processes::default);
        Self::new(way, processes)
    }

    /// The socket of `agent` while it works, then `processes`.
    pub fn with(agent: AgentSocket, processes: Processes) -> Self {
        Self::new(Way::Untried(agent), Some(processes))
    }

    fn new(way: Way, processes: Option<Processes>) -> Self {
        let (in_doubt, trial) = (AtomicBool::new(false), tokio::sync::Mutex::default());
        Self { way: Mutex::new(way), processes, in_doubt, trial }
    }

    /// Whether a call that may have changed something was lost. The hook must then end as failed, whatever became of the
    /// call's error.
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }

    /// Closes the connection, if there is one, and returns when it is closed: the agent does not end the hook before.
    pub async fn close(&self) {
        let way = std::mem::replace(&mut *self.way(), Way::Processes("the hook has ended".to_owned()));
        if let Way::Socket(socket, _) = way {
            socket.close().await;
        }
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket, opened where it was not, and whether it has carried a call; or why there is none.
    fn socket(&self) -> Result<(Arc<Socket>, bool), String> {
        let error = {
            let mut way = self.way();
            match &*way {
                Way::Socket(socket, proven) => return Ok((Arc::clone(socket), *proven)),
                Way::Processes(reason) => return Err(reason.clone()),
                Way::Untried(agent) => match Socket::connect(agent.clone()) {
                    Ok(socket) => {
                        let socket = Arc::new(socket);
                        *way = Way::Socket(Arc::clone(&socket), false);
                        return Ok((socket, false));
                    }
                    Err(error) => error.to_string(),
                },
            }
        };
        self.leave(&error);
        Err(error)
    }

    /// The socket has carried a call.
    fn prove(&self) {
        if let Way::Socket(_, proven) = &mut *self.way() {
            *proven = true;
        }
    }

    /// Gives the socket up.
    fn leave(&self, reason: &str) {
        if self.processes.is_none() {
            return;
        }
        let before = std::mem::replace(&mut *self.way(), Way::Processes(reason.to_owned()));
        // Said once, and not under the lock: the line is a call as well.
        if !matches!(before, Way::Processes(_)) {
            tracing::debug!("hook tools are run as processes from here on: {reason}");
        }
    }

    async fn run(&self, call: ToolCall) -> Result<ToolOutput, TransportError> {
        let harmless = is_repeatable(&call);
        loop {
            let (socket, proven) = match (self.socket(), &self.processes) {
                (Ok(found), _) => found,
                (Err(_), Some(processes)) => return processes.call(call).await,
                (Err(reason), None) => return Err(TransportError::Start(reason)),
            };
            if !proven && !harmless && self.processes.is_some() {
                self.try_out(&socket).await;
                continue;
            }
            let failure = match socket.exchange(&call).await {
                Ok(output) => {
                    if !proven {
                        self.prove();
                    }
                    return Ok(output);
                }
                Err(failure) => failure,
            };
            match (&failure, &self.processes) {
                (Failure::Refused(_), Some(_)) if !proven => self.leave_for(&failure),
                (Failure::Refused(_), _) => return failure.into_result(),
                (Failure::Lost { sent, .. }, processes) => {
                    self.leave_for(&failure);
                    if *sent && !harmless {
                        self.in_doubt.store(true, Ordering::Relaxed);
                    }
                    if processes.is_none() || (*sent && !harmless) {
                        return failure.into_result();
                    }
                }
            }
        }
    }

    fn leave_for(&self, failure: &Failure) {
        let (Failure::Refused(reason) | Failure::Lost { reason, .. }) = failure;
        self.leave(reason);
    }

    /// Makes a call that does no harm, before one that might.
    async fn try_out(&self, socket: &Socket) {
        let _one = self.trial.lock().await;
        if !matches!(&*self.way(), Way::Socket(_, false)) {
            return;
        }
        match socket.exchange(&ToolCall::new("is-leader", ["--format=json"])).await {
            Ok(_) => self.prove(),
            Err(failure) => self.leave_for(&failure),
        }
    }
}

impl HookTools for Auto {
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>> {
        Box::pin(self.run(call))
    }
}
