//! The protocol of the agent's socket, without the socket.
//!
//! What a hook tool does is small: it sends its command line to the agent over the unix socket that
//! `JUJU_AGENT_SOCKET_ADDRESS` names, and prints what comes back. The conversation is Go's `net/rpc` with the `gob` encoding:
//! per call a header and a request, per answer a header and a reply, matched by a number that counts from 0 on each
//! connection. This module turns calls into those bytes and back, for both sides. It does no input or output, and knows
//! no time; [`tools::Socket`](crate::tools::Socket) puts it on a real connection.
//!
//! ```
//! use juju_ops::{ToolOutput, jujuc::{Call, Client, Reply, Server}};
//!
//! let call = Call {
//!     context_id: "db/0-start-6f1c".into(),
//!     dir: "/var/lib/juju/agents/unit-db-0/charm".into(),
//!     command: "is-leader".into(),
//!     args: vec!["--format=json".into()],
//!     ..Call::default()
//! };
//! let (mut client, mut server) = (Client::new(), Server::new());
//! let seq = client.send(&call)?;
//! server.push(&client.take_output());
//! let (asked, received) = server.receive()?.expect("a whole call was sent");
//! assert_eq!(received.args, call.args);
//!
//! server.reply(asked, &Reply::Done(ToolOutput { stdout: b"true\n".to_vec(), ..ToolOutput::default() }))?;
//! client.push(&server.take_output());
//! let Some((answered, Reply::Done(output))) = client.receive()? else { panic!("no answer") };
//! assert_eq!((answered, output.stdout), (seq, b"true\n".to_vec()));
//! # Ok::<(), juju_ops::jujuc::ProtocolError>(())
//! ```
//!
//! What is sent is, byte for byte, what Go's own packages send. What is received is read by the definitions that came
//! with it: fields by name, in any order, unknown ones passed over, so that agents of other versions are understood. The
//! field names are those of Juju 2.7 to 4.0.
//!
//! # Standard input
//!
//! Whether a command reads its input only the agent knows. A tool therefore asks without, and asks again with its input
//! when the answer is the error [`NO_STDIN`]; nothing was done the first time. Whoever knows that input is needed sends
//! it at once.

mod gob;

use std::{collections::BTreeSet, fmt};

pub use gob::LIMIT;
use gob::{Incoming, Kind, Outgoing, Shape};

use crate::ToolOutput;

/// The one method that agents have.
const METHOD: &str = "Jujuc.Main";

/// The error with which the agent asks for standard input.
pub const NO_STDIN: &str = "hook tool requires stdin, none supplied";

/// How the error begins that says that the agent has no such command.
pub(crate) const UNKNOWN_COMMAND: &str = "bad request: unknown command: ";

static REQUEST_HEADER: Shape =
    Shape { name: "Request", fields: &[("ServiceMethod", Kind::Text), ("Seq", Kind::Uint)] };

static REQUEST: Shape = Shape {
    name: "Request",
    fields: &[
        ("ContextId", Kind::Text),
        ("Dir", Kind::Text),
        ("CommandName", Kind::Text),
        ("Args", Kind::Texts),
        ("StdinSet", Kind::Flag),
        ("Stdin", Kind::Bytes),
        ("Token", Kind::Text),
    ],
};

static RESPONSE_HEADER: Shape = Shape {
    name: "Response",
    fields: &[("ServiceMethod", Kind::Text), ("Seq", Kind::Uint), ("Error", Kind::Text)],
};

static RESPONSE: Shape = Shape {
    name: "ExecResponse",
    fields: &[("Code", Kind::Int), ("Stdout", Kind::Bytes), ("Stderr", Kind::Bytes)],
};

/// What stands in the place of a reply where there is none.
static NOTHING: Shape = Shape { name: "", fields: &[] };

/// One call of a hook tool, as it goes over the socket.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// `JUJU_CONTEXT_ID`: the hook on whose behalf the call is made.
    pub context_id: String,
    /// The caller's working directory, absolute; file names in `args` are relative to it.
    pub dir: String,
    /// Name of the tool.
    pub command: String,
    /// Arguments after the name.
    pub args: Vec<String>,
    /// Standard input; `None` where it was not read. Empty input is not the same as none.
    pub stdin: Option<Vec<u8>>,
    /// `JUJU_AGENT_TOKEN`; empty in all pods of today.
    pub token: String,
}

/// Shows the command and how much comes with it: arguments and input may be secret.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("context_id", &self.context_id)
            .field("command", &self.command)
            .field("args", &self.args.len())
            .field("stdin", &self.stdin.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}

/// The answer to a call.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// The command ran; it may have refused.
    Done(ToolOutput),
    /// The command did not run: the agent's reason, such as a wrong context id or [`NO_STDIN`].
    Error(String),
}

/// Shows how much was printed: it may be secret.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(output) => f
                .debug_struct("Done")
                .field("code", &output.code)
                .field("stdout", &output.stdout.len())
                .field("stderr", &output.stderr.len())
                .finish(),
            Self::Error(text) => f.debug_tuple("Error").field(text).finish(),
        }
    }
}

/// The other side does not speak the protocol. Nothing more can be understood on its connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A message is not what the encoding allows.
    #[error("a message cannot be understood: {0}")]
    Malformed(&'static str),
    /// There is more of something than anyone needs.
    #[error("too many {0}")]
    Limit(&'static str),
    /// A value of a type that was not defined, or whose definition does not fit.
    #[error("a value of type {0}, which is not what is expected here")]
    UnknownType(i64),
    /// A field holds something else than it should.
    #[error("a field does not hold {0}")]
    Kind(&'static str),
    /// An answer to a call that was not made, or has been answered.
    #[error("an answer to call {0}, which is not open")]
    NotOpen(u64),
}

/// The charm's side of one connection.
#[derive(Default)]
pub struct Client {
    incoming: Incoming,
    outgoing: Outgoing,
    next: u64,
    open: BTreeSet<u64>,
    /// Number and error of the answer whose second half is still to come.
    header: Option<(u64, String)>,
}

impl Client {
    /// The beginning of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a call to the output and returns its number.
    ///
    /// # Errors
    /// [`ProtocolError::Limit`] when it is longer than [`LIMIT`]; nothing is added then.
    pub fn send(&mut self, call: &Call) -> Result<u64, ProtocolError> {
        let seq = self.next;
        self.outgoing.together(|outgoing| {
            outgoing.put(&REQUEST_HEADER, |header| header.text(METHOD).uint(seq))?;
            outgoing.put(&REQUEST, |request| {
                request
                    .text(&call.context_id)
                    .text(&call.dir)
                    .text(&call.command)
                    .texts(&call.args)
                    .flag(call.stdin.is_some())
                    .bytes(call.stdin.as_deref().unwrap_or_default())
                    .text(&call.token)
            })
        })?;
        self.next += 1;
        self.open.insert(seq);
        Ok(seq)
    }

    /// What has to be written to the connection.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        self.outgoing.take()
    }

    /// Adds bytes that were read from the connection, in any portions. Call [`receive`](Self::receive) until it has nothing more
    /// before adding others.
    pub fn push(&mut self, bytes: &[u8]) {
        self.incoming.push(bytes);
    }

    /// The next whole answer with the number of its call; `None` when more bytes have to come.
    ///
    /// Answers come in the order in which the agent finished. After an error every further call gives the same error.
    pub fn receive(&mut self) -> Result<Option<(u64, Reply)>, ProtocolError> {
        if self.header.is_none() {
            self.header = self.incoming.next(|types, id, reader| {
                let (mut seq, mut error) = (0, String::new());
                types.visit(id, reader, |field, value| match field {
                    "Seq" => value.uint(&mut seq),
                    "Error" => value.text(&mut error),
                    _ => Ok(false),
                })?;
                if self.open.contains(&seq) { Ok((seq, error)) } else { Err(ProtocolError::NotOpen(seq)) }
            })?;
        }
        let Some((seq, error)) = self.header.take() else { return Ok(None) };
        let reply = self.incoming.next(|types, id, reader| {
            if !error.is_empty() {
                reader.discard();
                return Ok(Reply::Error(error.clone()));
            }
            let (mut code, mut output) = (0, ToolOutput::default());
            types.visit(id, reader, |field, value| match field {
                "Code" => value.int(&mut code),
                "Stdout" => value.bytes(&mut output.stdout),
                "Stderr" => value.bytes(&mut output.stderr),
                _ => Ok(false),
            })?;
            output.code = i32::try_from(code).map_err(|_| ProtocolError::Kind("an exit code"))?;
            Ok(Reply::Done(output))
        })?;
        let Some(reply) = reply else {
            self.header = Some((seq, error));
            return Ok(None);
        };
        self.open.remove(&seq);
        Ok(Some((seq, reply)))
    }
}

/// The agent's side of one connection.
#[derive(Default)]
pub struct Server {
    incoming: Incoming,
    outgoing: Outgoing,
    /// Number and method of the call whose second half is still to come.
    header: Option<(u64, String)>,
}

impl Server {
    /// The beginning of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that were read from the connection, in any portions. Call [`receive`](Self::receive) until it has nothing more
    /// before adding others.
    pub fn push(&mut self, bytes: &[u8]) {
        self.incoming.push(bytes);
    }

    /// The next whole call with its number; `None` when more bytes have to come.
    ///
    /// A call of a method that agents do not have is answered here, with the error that Go gives. After an error every further
    /// call gives the same error.
    pub fn receive(&mut self) -> Result<Option<(u64, Call)>, ProtocolError> {
        loop {
            if self.header.is_none() {
                self.header = self.incoming.next(|types, id, reader| {
                    let (mut seq, mut method) = (0, String::new());
                    types.visit(id, reader, |field, value| match field {
                        "Seq" => value.uint(&mut seq),
                        "ServiceMethod" => value.text(&mut method),
                        _ => Ok(false),
                    })?;
                    Ok((seq, method))
                })?;
            }
            let Some((seq, method)) = self.header.take() else { return Ok(None) };
            let ours = method == METHOD;
            let call = self.incoming.next(|types, id, reader| {
                if !ours {
                    reader.discard();
                    return Ok(None);
                }
                let (mut call, mut has_stdin, mut stdin) = (Call::default(), false, Vec::new());
                types.visit(id, reader, |field, value| match field {
                    "ContextId" => value.text(&mut call.context_id),
                    "Dir" => value.text(&mut call.dir),
                    "CommandName" => value.text(&mut call.command),
                    "Args" => value.texts(&mut call.args),
                    "StdinSet" => value.flag(&mut has_stdin),
                    "Stdin" => value.bytes(&mut stdin),
                    "Token" => value.text(&mut call.token),
                    _ => Ok(false),
                })?;
                call.stdin = has_stdin.then_some(stdin);
                Ok(Some(call))
            })?;
            match call {
                Some(Some(call)) => return Ok(Some((seq, call))),
                Some(None) => self.respond(seq, &method, Err(&unknown_method(&method)))?,
                None => {
                    self.header = Some((seq, method));
                    return Ok(None);
                }
            }
        }
    }

    /// Adds the answer to a call to the output. Answers may be given in any order.
    ///
    /// # Errors
    /// [`ProtocolError::Limit`] when it is longer than [`LIMIT`]; nothing is added then.
    pub fn reply(&mut self, seq: u64, reply: &Reply) -> Result<(), ProtocolError> {
        match reply {
            Reply::Done(output) => self.respond(seq, METHOD, Ok(output)),
            Reply::Error(text) => self.respond(seq, METHOD, Err(text)),
        }
    }

    fn respond(
        &mut self,
        seq: u64,
        method: &str,
        answer: Result<&ToolOutput, &str>,
    ) -> Result<(), ProtocolError> {
        let error = answer.err().unwrap_or_default();
        self.outgoing.together(|outgoing| {
            outgoing.put(&RESPONSE_HEADER, |header| header.text(method).uint(seq).text(error))?;
            match answer {
                Ok(output) => outgoing.put(&RESPONSE, |response| {
                    response.int(output.code.into()).bytes(&output.stdout).bytes(&output.stderr)
                }),
                Err(_) => outgoing.put(&NOTHING, |nothing| nothing),
            }
        })
    }

    /// What has to be written to the connection.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        self.outgoing.take()
    }
}

/// Go's words for it.
fn unknown_method(method: &str) -> String {
    match method.rsplit_once('.') {
        None => format!("rpc: service/method request ill-formed: {method}"),
        Some(("Jujuc", _)) => format!("rpc: can't find method {method}"),
        Some(_) => format!("rpc: can't find service {method}"),
    }
}
