//! The line between a hook tool and the agent: the server that answers, and the small client behind every tool's name.
//!
//! Both speak the protocol of real agents ([`juju_ops::jujuc`]), so a charm may call the tools or the socket, and a tool of a
//! real Juju would be answered as well.

use std::{
    env,
    future::Future,
    io::{self, Read as _, Write as _},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixStream},
    },
    path::{Path, PathBuf},
    process::ExitCode,
};

use juju_ops::jujuc::{Call, Client, NO_STDIN, Reply, Server};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::tools::{TOOLS, ToolOutput, wants_stdin};

/// One call of a hook tool that the agent has let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Name of the tool and its arguments.
    pub argv: Vec<String>,
    /// Standard input, where the tool reads it or the caller sent it unasked.
    pub stdin: Option<Vec<u8>>,
    /// The caller's working directory, to which file names are relative; absolute.
    pub cwd: PathBuf,
}

/// Shows the tool only: values may be secret.
impl std::fmt::Debug for Invocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invocation").field("tool", &self.argv.first()).finish_non_exhaustive()
    }
}

/// Answers the calls on one connection to an agent's socket, one after the other, until the other side closes it.
///
/// `answer` runs a tool. It is not asked about what a real agent refuses by itself: another hook's `context_id`, a token,
/// a relative directory, an unknown tool, or a tool that needs its standard input when none was sent.
///
/// ```
/// use juju_ops::tools::{AgentSocket, HookTools as _, Socket, ToolCall};
/// use juju_sim::{CharmMeta, Event, Session, State, jujuc::serve};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let meta = CharmMeta::from_texts("{name: db}", None, None, None)?;
/// let state = State::new(&meta).with_leader(true);
/// let mut session = Session::new(meta.into(), state, Event::Start);
///
/// let folder = tempfile::tempdir()?;
/// let address = folder.path().join("agent.socket");
/// let listener = tokio::net::UnixListener::bind(&address)?;
/// tokio::spawn(async move {
///     let (stream, _) = listener.accept().await?;
///     serve(stream, "db/0-start-1", |call| {
///         std::future::ready(session.call(&call.argv, call.stdin.as_deref(), &call.cwd))
///     })
///     .await
/// });
///
/// let tools = Socket::connect(AgentSocket::new(address.display().to_string(), "db/0-start-1"))?;
/// let output = tools.call(ToolCall::new("is-leader", ["--format=json"])).await?;
/// assert_eq!(output.stdout, b"true\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the connection breaks, or the other side does not speak the protocol.
pub async fn serve<S, A, F>(mut stream: S, context_id: &str, mut answer: A) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: FnMut(Invocation) -> F,
    F: Future<Output = ToolOutput>,
{
    let mut server = Server::new();
    let mut bytes = vec![0; 16 << 10];
    loop {
        let count = stream.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        server.push(&bytes[..count]);
        while let Some((seq, call)) = server.receive().map_err(invalid)? {
            let reply = match admit(call, context_id) {
                Ok(invocation) => Reply::Done(answer(invocation).await),
                Err(reason) => Reply::Error(reason),
            };
            server.reply(seq, &reply).map_err(invalid)?;
            stream.write_all(&server.take_output()).await?;
        }
        // Answers to calls that no agent knows.
        stream.write_all(&server.take_output()).await?;
    }
}

fn invalid(error: juju_ops::jujuc::ProtocolError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What an agent looks at before it runs a tool, in its order and words.
fn admit(call: Call, context_id: &str) -> Result<Invocation, String> {
    let refused = |reason: String| Err(format!("bad request: {reason}"));
    if call.command.is_empty() {
        return refused("command not specified".to_owned());
    }
    if !Path::new(&call.dir).is_absolute() {
        return refused("Dir is not absolute".to_owned());
    }
    if !call.token.is_empty() {
        return refused("token does not match".to_owned());
    }
    if call.context_id != context_id {
        return refused(format!("wrong context ID; got {:?}", call.context_id));
    }
    if TOOLS.binary_search_by_key(&call.command.as_str(), |(tool, _)| tool).is_err() {
        return refused(format!("unknown command: {}", call.command));
    }
    let mut argv = call.args;
    argv.insert(0, call.command);
    if call.stdin.is_none() && wants_stdin(&argv) {
        return Err(NO_STDIN.to_owned());
    }
    Ok(Invocation { argv, stdin: call.stdin, cwd: call.dir.into() })
}

/// The hook-tool client's `main`: the tool's name is the name it was started under.
pub fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(reason) => {
            eprintln!("ERROR {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let mut argv = env::args_os().map(|word| word.to_string_lossy().into_owned());
    let name = argv.next().unwrap_or_default();
    let need = |name: &str| {
        env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| format!("{name} not set"))
    };
    let mut call = Call {
        context_id: need("JUJU_CONTEXT_ID")?,
        dir: env::current_dir().map_err(|error| error.to_string())?.to_string_lossy().into_owned(),
        command: name.rsplit('/').next().unwrap_or_default().to_owned(),
        args: argv.collect(),
        stdin: None,
        token: env::var("JUJU_AGENT_TOKEN").unwrap_or_default(),
    };
    let address = need("JUJU_AGENT_SOCKET_ADDRESS")?;
    if need("JUJU_AGENT_SOCKET_NETWORK")? == "tcp" {
        need("JUJU_AGENT_CA_CERT")?;
        return Err("agents of this Juju listen on unix sockets only".to_owned());
    }
    let mut stream = dial(&address)?;
    let mut client = Client::new();
    let mut reply = ask(&mut stream, &mut client, &call)?;
    if matches!(&reply, Reply::Error(reason) if reason == NO_STDIN) {
        let mut input = Vec::new();
        io::stdin().read_to_end(&mut input).map_err(|error| error.to_string())?;
        call.stdin = Some(input);
        reply = ask(&mut stream, &mut client, &call)?;
    }
    let output = match reply {
        Reply::Done(output) => output,
        Reply::Error(reason) => return Err(reason),
    };
    // Who does not listen does not hear it.
    let _ = io::stdout().write_all(&output.stdout);
    let _ = io::stderr().write_all(&output.stderr);
    Ok(ExitCode::from(u8::try_from(output.code).unwrap_or(1)))
}

/// Opens the agent's socket; an address that begins with `@` is no file.
fn dial(address: &str) -> Result<UnixStream, String> {
    let found = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(address),
    };
    found.and_then(|found| UnixStream::connect_addr(&found)).map_err(|error| {
        // Go's words.
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        format!("dial unix {address}: connect: {reason}")
    })
}

fn ask(stream: &mut UnixStream, client: &mut Client, call: &Call) -> Result<Reply, String> {
    client.send(call).map_err(|error| error.to_string())?;
    stream.write_all(&client.take_output()).map_err(|error| error.to_string())?;
    let mut bytes = vec![0; 16 << 10];
    loop {
        if let Some((_, reply)) = client.receive().map_err(|error| error.to_string())? {
            return Ok(reply);
        }
        match stream.read(&mut bytes).map_err(|error| error.to_string())? {
            0 => return Err("unexpected EOF".to_owned()),
            count => client.push(&bytes[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            context_id: "db/0-start-1".into(),
            dir: "/charm".into(),
            command: "is-leader".into(),
            ..Call::default()
        }
    }

    #[test]
    fn only_the_hooks_own_calls_are_let_in() {
        let admit = |call| admit(call, "db/0-start-1");
        let invocation = admit(Call { args: vec!["--format=json".into()], ..call() }).unwrap();
        assert_eq!(invocation.argv, ["is-leader", "--format=json"]);
        assert_eq!((invocation.stdin, invocation.cwd), (None, "/charm".into()));
        for (call, reason) in [
            (Call { command: String::new(), ..call() }, "command not specified"),
            (Call { dir: "charm".into(), ..call() }, "Dir is not absolute"),
            (Call { token: "surplus".into(), ..call() }, "token does not match"),
            (Call { context_id: "db/0-start-2".into(), ..call() }, "wrong context ID; got \"db/0-start-2\""),
            (Call { context_id: String::new(), ..call() }, "wrong context ID; got \"\""),
            (Call { command: "rm".into(), ..call() }, "unknown command: rm"),
        ] {
            assert_eq!(admit(call).unwrap_err(), format!("bad request: {reason}"));
        }
    }

    #[test]
    fn input_is_asked_for_where_it_is_read() {
        let from_input = Call { command: "state-set".into(), args: vec!["--file=-".into()], ..call() };
        assert_eq!(admit(from_input.clone(), "db/0-start-1").unwrap_err(), NO_STDIN);
        let with_input = Call { stdin: Some(Vec::new()), ..from_input };
        assert_eq!(admit(with_input, "db/0-start-1").unwrap().stdin, Some(Vec::new()));
    }

    #[tokio::test]
    async fn a_connection_that_talks_nonsense_is_closed() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(&[0xf8; 9]).await.unwrap();
        let error = serve(ours, "db/0-start-1", |_| async { ToolOutput::default() }).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
    }
}
