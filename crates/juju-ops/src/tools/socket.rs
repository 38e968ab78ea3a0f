//! Hook tools over the agent's socket: one connection for the whole hook.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixStream as StdUnixStream},
    },
    path::PathBuf,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::UnixStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{BoxFuture, HookTools, ToolCall, ToolOutput, TransportError};
use crate::jujuc::{Call, Client, NO_STDIN, Reply, UNKNOWN_COMMAND};

/// Where the agent listens during a hook, and how it knows the hook.
#[derive(Clone, PartialEq, Eq)]
pub struct AgentSocket {
    address: String,
    context_id: String,
    token: String,
    dir: Option<PathBuf>,
}

/// Leaves the token out.
impl std::fmt::Debug for AgentSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentSocket")
            .field("address", &self.address)
            .field("context_id", &self.context_id)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl AgentSocket {
    /// A unix socket's path, or `@` and the name of an abstract one; and the hook's `JUJU_CONTEXT_ID`.
    pub fn new(address: impl Into<String>, context_id: impl Into<String>) -> Self {
        Self { address: address.into(), context_id: context_id.into(), token: String::new(), dir: None }
    }

    /// What the hook's environment says, read through `var`, which returns a variable's value if it is set.
    ///
    /// # Errors
    /// [`TransportError::Start`] when a variable is missing or the network is not `unix`: agents of pods without sidecars
    /// had the network `tcp`, whose TLS is left to the tools.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, TransportError> {
        let need = |name: &str| {
            var(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| TransportError::Start(format!("{name} not set")))
        };
        let context_id = need("JUJU_CONTEXT_ID")?;
        let address = need("JUJU_AGENT_SOCKET_ADDRESS")?;
        let network = need("JUJU_AGENT_SOCKET_NETWORK")?;
        if network != "unix" {
            return Err(TransportError::Start(format!("the agent's socket is of network {network:?}")));
        }
        let token = var("JUJU_AGENT_TOKEN").unwrap_or_default();
        // Asked for once, and not for each call.
        let dir = std::env::current_dir().ok();
        Ok(Self { token, dir, ..Self::new(address, context_id) })
    }

    /// The same, for calls made in the working directory `dir`, absolute, instead of this process's own.
    #[must_use]
    pub fn with_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Opened with close-on-exec, as everything that the standard library opens: the agent does not end the hook before all
    /// connections are closed, so none may leak into a child.
    fn dial(&self) -> io::Result<UnixStream> {
        let address = match self.address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&self.address),
        }?;
        // A unix socket takes a connection at once or not at all, short of a full queue.
        let stream = StdUnixStream::connect_addr(&address)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }

    fn message(&self, call: &ToolCall, stdin: Option<Vec<u8>>) -> Result<Call, Failure> {
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => std::env::current_dir().map_err(|error| Failure::Lost {
                sent: false,
                reason: format!("no working directory: {error}"),
            })?,
        };
        Ok(Call {
            context_id: self.context_id.clone(),
            dir: dir.to_string_lossy().into_owned(),
            command: call.tool.to_owned(),
            args: call.args.clone(),
            stdin,
            token: self.token.clone(),
        })
    }
}

/// Why there is no output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The agent did not run the tool, and says why.
    Refused(String),
    /// The connection broke. If `sent`, the agent may have run the tool.
    Lost { sent: bool, reason: String },
}

impl Failure {
    /// What running the tool's process would have given.
    pub(super) fn into_result(self) -> Result<ToolOutput, TransportError> {
        match self {
            Self::Refused(reason) if reason.starts_with(UNKNOWN_COMMAND) => Err(TransportError::Missing),
            Self::Refused(reason) => Ok(ToolOutput {
                code: 1,
                stdout: Vec::new(),
                stderr: format!("ERROR {reason}\n").into_bytes(),
            }),
            Self::Lost { sent: true, reason } => {
                Err(TransportError::Io(format!("may have run or not, since its answer was lost: {reason}")))
            }
            Self::Lost { sent: false, reason } => Err(TransportError::Io(format!("was not sent: {reason}"))),
        }
    }
}

/// Calls hook tools over one connection to the agent's socket. No process is started.
///
/// Calls may be made together: all are sent at once, and answers find their calls by number. The agent runs them one after the
/// other, in an order of its own: who needs an order waits for each. Standard input is sent with the first attempt. Exit codes and texts are those that the processes
/// would give, so that callers cannot tell the two apart.
///
/// When the connection breaks, all open calls fail, and so does every later one: it is not opened again.
pub struct Socket {
    agent: AgentSocket,
    line: Mutex<Option<Line>>,
}

/// The task that owns the connection, and the way to it.
struct Line {
    requests: mpsc::UnboundedSender<Request>,
    task: JoinHandle<()>,
}

impl Socket {
    /// Connects. To be called where a tokio runtime runs.
    ///
    /// # Errors
    /// [`TransportError::Start`] when nobody listens there, or may not be spoken to.
    pub fn connect(agent: AgentSocket) -> Result<Self, TransportError> {
        let stream = agent.dial().map_err(|error| {
            TransportError::Start(format!("the agent's socket {}: {error}", agent.address))
        })?;
        let (requests, receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(Connection::new(stream, receiver).run());
        Ok(Self { agent, line: Mutex::new(Some(Line { requests, task })) })
    }

    /// Closes the connection and returns when it is closed. Calls fail from then on, open ones too.
    pub async fn close(&self) {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Line { requests, task }) = line {
            drop(requests);
            let _ = task.await;
        }
    }

    /// One call, with what is known of its failure.
    pub(super) async fn exchange(&self, call: &ToolCall) -> Result<ToolOutput, Failure> {
        let reply = match self.ask(self.agent.message(call, call.stdin.clone())?).await? {
            // A process would have offered its standard input, which is empty. Nothing was done so far.
            Reply::Error(reason) if reason == NO_STDIN && call.stdin.is_none() => {
                self.ask(self.agent.message(call, Some(Vec::new()))?).await?
            }
            reply => reply,
        };
        match reply {
            Reply::Done(output) => Ok(output),
            Reply::Error(reason) => Err(Failure::Refused(reason)),
        }
    }

    async fn ask(&self, call: Call) -> Result<Reply, Failure> {
        let closed = || Failure::Lost { sent: false, reason: "the connection is closed".to_owned() };
        let (answer, reply) = oneshot::channel();
        {
            let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            let line = line.as_ref().ok_or_else(closed)?;
            line.requests.send(Request { call, answer }).map_err(|_| closed())?;
        }
        // The task answers every request that it took; the others it never saw.
        reply.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl HookTools for Socket {
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>> {
        Box::pin(async move { self.exchange(&call).await.or_else(Failure::into_result) })
    }
}

struct Request {
    call: Call,
    answer: oneshot::Sender<Result<Reply, Failure>>,
}

/// A call that was taken, and after how many bytes of output its own begin.
struct Open {
    answer: oneshot::Sender<Result<Reply, Failure>>,
    begins: u64,
}

/// The connection: written and read at the same time, since the agent may stop reading until its answer is taken.
struct Connection {
    stream: UnixStream,
    requests: mpsc::UnboundedReceiver<Request>,
    client: Client,
    open: BTreeMap<u64, Open>,
    output: Vec<u8>,
    /// How much of `output` has been written, and how much was written before it.
    at: usize,
    before: u64,
    input: Vec<u8>,
}

impl Connection {
    fn new(stream: UnixStream, requests: mpsc::UnboundedReceiver<Request>) -> Self {
        Self {
            stream,
            requests,
            client: Client::new(),
            open: BTreeMap::new(),
            output: Vec::new(),
            at: 0,
            before: 0,
            input: vec![0; 16 << 10],
        }
    }

    /// Serves requests until nobody is left to make any, or the connection breaks.
    async fn run(mut self) {
        let reason = poll_fn(|context| self.poll(context)).await;
        let written = self.before + self.at as u64;
        for Open { answer, begins } in std::mem::take(&mut self.open).into_values() {
            let _ = answer.send(Err(Failure::Lost { sent: begins < written, reason: reason.clone() }));
        }
        self.requests.close();
        while let Ok(Request { answer, .. }) = self.requests.try_recv() {
            let _ = answer.send(Err(Failure::Lost { sent: false, reason: reason.clone() }));
        }
    }

    /// Ready with the reason for the end.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<String> {
        while let Poll::Ready(request) = self.requests.poll_recv(context) {
            match request {
                Some(request) => self.take(request),
                None => return Poll::Ready("it was closed".to_owned()),
            }
        }
        let written = self.write(context);
        // What came before a failed write is still an answer.
        match self.read(context) {
            Err(reason) => Poll::Ready(reason),
            Ok(()) => written.map_or_else(Poll::Ready, |()| Poll::Pending),
        }
    }

    fn take(&mut self, Request { call, answer }: Request) {
        let begins = self.before + self.output.len() as u64;
        match self.client.send(&call) {
            Ok(seq) => {
                self.output.append(&mut self.client.take_output());
                self.open.insert(seq, Open { answer, begins });
            }
            Err(error) => {
                let _ = answer.send(Err(Failure::Lost { sent: false, reason: error.to_string() }));
            }
        }
    }

    fn write(&mut self, context: &mut Context<'_>) -> Result<(), String> {
        while self.at < self.output.len() {
            match Pin::new(&mut self.stream).poll_write(context, &self.output[self.at..]) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err("nothing can be written".to_owned()),
                Poll::Ready(Ok(count)) => self.at += count,
                Poll::Ready(Err(error)) => return Err(error.to_string()),
            }
        }
        self.before += self.output.len() as u64;
        self.output = Vec::new();
        self.at = 0;
        Ok(())
    }

    fn read(&mut self, context: &mut Context<'_>) -> Result<(), String> {
        loop {
            let mut space = ReadBuf::new(&mut self.input);
            match Pin::new(&mut self.stream).poll_read(context, &mut space) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(error.to_string()),
                Poll::Ready(Ok(())) if space.filled().is_empty() => {
                    return Err("the agent closed the connection".to_owned());
                }
                Poll::Ready(Ok(())) => self.client.push(space.filled()),
            }
            while let Some((seq, reply)) = self.client.receive().map_err(|error| error.to_string())? {
                // Who has stopped waiting misses nothing.
                let _ = self.open.remove(&seq).map(|open| open.answer.send(Ok(reply)));
            }
        }
    }
}
