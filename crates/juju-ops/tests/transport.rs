//! Hook tools over a socket, and what happens when it fails: against agents that misbehave in every way.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use futures_util::future::join_all;
use juju_ops::{
    HookTools, ToolCall, ToolOutput, TransportError,
    jujuc::{Call, NO_STDIN, Reply, Server},
    tools::{AgentSocket, Auto, Processes, Socket},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

const CONTEXT: &str = "db/0-config-changed-1";

/// What an agent does about a call.
enum Answer {
    Reply(Reply),
    /// Closes the connection.
    HangUp,
    /// Says something that is not of the protocol.
    Noise,
}

fn printed(stdout: impl Into<Vec<u8>>) -> Answer {
    Answer::Reply(Reply::Done(ToolOutput { stdout: stdout.into(), ..ToolOutput::default() }))
}

fn refused(reason: &str) -> Answer {
    Answer::Reply(Reply::Error(reason.to_owned()))
}

/// An agent on a socket, with a folder of tools beside it that write down how they were called.
struct Agent {
    dir: TempDir,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    /// Answers with `answer`.
    fn new(mut answer: impl FnMut(&Call) -> Answer + Send + 'static) -> Self {
        let agent = Self::absent();
        let listener = UnixListener::bind(agent.dir.path().join("socket")).unwrap();
        let calls = Arc::clone(&agent.calls);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = serve(stream, |call| {
                    calls.lock().unwrap().push(format!("{} {}", call.command, call.args.join(" ")));
                    answer(&call)
                })
                .await;
            }
        });
        agent
    }

    /// One that does not listen.
    fn absent() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for tool in ["is-leader", "relation-get", "status-set", "juju-log"] {
            let path = dir.path().join(tool);
            fs::write(&path, "#!/bin/sh\necho \"${0##*/} $@\" >> processes\necho process\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { dir, calls: Arc::default() }
    }

    fn socket(&self) -> AgentSocket {
        AgentSocket::new(self.dir.path().join("socket").to_str().unwrap(), CONTEXT)
    }

    fn auto(&self) -> Auto {
        let processes = Processes::new(self.dir.path(), BTreeMap::new(), self.dir.path());
        Auto::with(self.socket(), processes)
    }

    /// What was called over the socket, and what as a process.
    fn calls(&self) -> (Vec<String>, Vec<String>) {
        let processes = fs::read_to_string(self.dir.path().join("processes")).unwrap_or_default();
        (self.calls.lock().unwrap().clone(), processes.lines().map(str::to_owned).collect())
    }
}

async fn serve(mut stream: UnixStream, mut answer: impl FnMut(Call) -> Answer) -> std::io::Result<()> {
    let mut server = Server::new();
    let mut bytes = vec![0; 4096];
    loop {
        let count = stream.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        server.push(&bytes[..count]);
        while let Some((seq, call)) = server.receive().expect("the protocol") {
            match answer(call) {
                Answer::HangUp => return Ok(()),
                Answer::Noise => stream.write_all(&b"HTTP/1.1 400 Bad Request\r\n".repeat(9)).await?,
                Answer::Reply(reply) => {
                    server.reply(seq, &reply).unwrap();
                    stream.write_all(&server.take_output()).await?;
                }
            }
        }
    }
}

fn read(key: &str) -> ToolCall {
    ToolCall::new("relation-get", [key])
}

fn write(text: &str) -> ToolCall {
    ToolCall::new("status-set", ["--", "active", text])
}

async fn stdout(tools: &dyn HookTools, call: ToolCall) -> String {
    let output = tools.call(call).await.unwrap();
    assert_eq!((output.code, output.stderr), (0, vec![]));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_call_carries_context_directory_and_input() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let agent = Agent::new({
        let seen = Arc::clone(&seen);
        move |call| {
            seen.lock().unwrap().push(call.clone());
            printed("")
        }
    });
    let tools = Socket::connect(agent.socket()).unwrap();
    stdout(&tools, ToolCall::new("state-set", ["--file", "-"]).with_stdin(b"a: b".to_vec())).await;
    let there = Socket::connect(agent.socket().with_dir("/charm")).unwrap();
    tools.close().await;
    stdout(&there, read("k")).await;
    let expected = Call {
        context_id: CONTEXT.into(),
        dir: std::env::current_dir().unwrap().to_str().unwrap().into(),
        command: "state-set".into(),
        args: vec!["--file".into(), "-".into()],
        stdin: Some(b"a: b".to_vec()),
        token: String::new(),
    };
    let seen = seen.lock().unwrap();
    assert!(seen[0] == expected, "{:?}", seen[0]);
    assert_eq!((seen[1].dir.as_str(), &seen[1].stdin), ("/charm", &None));
}

#[tokio::test]
async fn an_agent_that_asks_for_input_gets_an_empty_one() {
    let agent = Agent::new(|call| match &call.stdin {
        None => refused(NO_STDIN),
        Some(stdin) => printed(format!("{} bytes", stdin.len())),
    });
    let tools = Socket::connect(agent.socket()).unwrap();
    assert_eq!(stdout(&tools, read("k")).await, "0 bytes");
    assert_eq!(stdout(&tools, read("k").with_stdin(vec![0; 3])).await, "3 bytes");
    assert_eq!(agent.calls().0.len(), 3, "input that is there is sent at once");
}

#[tokio::test]
async fn calls_made_together_share_a_connection_and_find_their_answers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    // Answers only when all are there, the last one first.
    let agent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut server, mut asked) = (Server::new(), Vec::new());
        let mut bytes = vec![0; 512];
        while asked.len() < 100 {
            let count = stream.read(&mut bytes).await.unwrap();
            server.push(&bytes[..count]);
            while let Some((seq, call)) = server.receive().unwrap() {
                asked.push((seq, call.args[0].clone()));
            }
        }
        for (seq, word) in asked.into_iter().rev() {
            let output = ToolOutput { stdout: word.into_bytes(), ..ToolOutput::default() };
            server.reply(seq, &Reply::Done(output)).unwrap();
        }
        stream.write_all(&server.take_output()).await.unwrap();
        // The other side closes it.
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 0);
    });
    let tools = Socket::connect(AgentSocket::new(path.to_str().unwrap(), CONTEXT)).unwrap();
    let words: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let answers = join_all(words.iter().map(|word| stdout(&tools, read(word)))).await;
    assert_eq!(answers, words);
    tools.close().await;
    agent.await.unwrap();
    let closed = tools.call(read("k")).await.unwrap_err();
    assert_eq!(closed.to_string(), "was not sent: the connection is closed");
}

#[tokio::test]
async fn large_values_pass_in_both_directions_at_once() {
    let agent = Agent::new(|call| printed(call.stdin.clone().unwrap()));
    let tools = Socket::connect(agent.socket()).unwrap();
    let big = |n: u8| vec![b'a' + n; 3_000_000];
    let calls = (0..4).map(|n| tools.call(write("x").with_stdin(big(n))));
    for (n, output) in (0..).zip(join_all(calls).await) {
        assert!(output.unwrap().stdout == big(n));
    }
}

#[tokio::test]
async fn who_stops_waiting_disturbs_nobody() {
    let agent = Agent::new(|call| printed(call.args[0].clone()));
    let tools = Socket::connect(agent.socket()).unwrap();
    {
        let mut given_up = tools.call(read("a"));
        assert!(futures_util::poll!(&mut given_up).is_pending());
    }
    assert_eq!(stdout(&tools, read("b")).await, "b");
}

#[tokio::test]
async fn an_address_may_be_no_file() {
    let name = format!("juju-ops-test-{}", std::process::id());
    let listener = UnixListener::bind(format!("\0{name}")).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, |_| printed("here")).await.unwrap();
    });
    let tools = Socket::connect(AgentSocket::new(format!("@{name}"), CONTEXT)).unwrap();
    assert_eq!(stdout(&tools, read("k")).await, "here");
}

#[tokio::test]
async fn a_child_does_not_hold_the_connection_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let tools = Socket::connect(AgentSocket::new(path.to_str().unwrap(), CONTEXT)).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    tools.close().await;
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(child.try_wait().unwrap(), None, "the child lives on");
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[tokio::test]
async fn both_ways_say_the_same_of_a_refusal_and_of_an_unknown_tool() {
    let agent = Agent::new(|call| match call.command.as_str() {
        "relation-get" => Answer::Reply(Reply::Done(ToolOutput {
            code: 2,
            stdout: vec![],
            stderr: b"ERROR no such relation\n".to_vec(),
        })),
        "status-set" => refused("bad request: wrong context ID; got \"x\""),
        other => refused(&format!("bad request: unknown command: {other}")),
    });
    let tools = Socket::connect(agent.socket()).unwrap();
    let output = tools.call(read("k")).await.unwrap();
    assert_eq!((output.code, output.stderr), (2, b"ERROR no such relation\n".to_vec()));
    let output = tools.call(write("x")).await.unwrap();
    assert_eq!(
        (output.code, output.stderr),
        (1, b"ERROR bad request: wrong context ID; got \"x\"\n".to_vec())
    );
    let unheard_of = || ToolCall::new("unheard-of", ["x"]);
    let processes = Processes::new(agent.dir.path(), BTreeMap::new(), "/");
    assert_eq!(tools.call(unheard_of()).await, Err(TransportError::Missing));
    tools.close().await;
    assert_eq!(processes.call(unheard_of()).await, Err(TransportError::Missing));
    assert_eq!(agent.auto().call(unheard_of()).await, Err(TransportError::Missing));
}

#[tokio::test]
async fn a_working_socket_is_used_for_the_whole_hook() {
    let agent = Agent::new(|call| printed(call.command.clone()));
    let tools = agent.auto();
    assert_eq!(agent.calls().0.len(), 0, "nothing is opened before it is needed");
    assert_eq!(stdout(&tools, read("k")).await, "relation-get");
    assert_eq!(stdout(&tools, write("x")).await, "status-set");
    tools.close().await;
    assert_eq!(agent.calls(), (vec!["relation-get k".into(), "status-set -- active x".into()], vec![]));
    assert!(!tools.is_in_doubt());
}

#[tokio::test]
async fn a_hook_that_begins_with_a_change_asks_something_first() {
    let agent = Agent::new(|call| printed(call.command.clone()));
    let tools = agent.auto();
    let changes = join_all(["a", "b"].map(|text| stdout(&tools, write(text)))).await;
    assert_eq!(changes, ["status-set"; 2]);
    let (calls, _) = agent.calls();
    assert_eq!(calls, ["is-leader --format=json", "status-set -- active a", "status-set -- active b"]);
}

#[tokio::test]
async fn the_first_trouble_leads_to_processes_for_the_rest_of_the_hook() {
    let silent = Agent::absent();
    let deaf = Agent::new(|_| Answer::HangUp);
    let foreign = Agent::new(|_| Answer::Noise);
    let strict = Agent::new(|_| refused("bad request: token does not match"));
    for agent in [silent, deaf, foreign, strict] {
        for first in [read("k"), write("x")] {
            let tools = agent.auto();
            fs::write(agent.dir.path().join("processes"), "").unwrap();
            agent.calls.lock().unwrap().clear();
            let words = format!("{} {}", first.tool, first.args.join(" "));
            assert_eq!(stdout(&tools, first).await, "process\n");
            assert_eq!(stdout(&tools, write("y")).await, "process\n");
            let (socket, processes) = agent.calls();
            assert_eq!(processes, [words, "status-set -- active y".to_owned()]);
            assert!(socket.iter().all(|call| !call.starts_with("status-set")), "{socket:?}");
            assert!(socket.len() <= 1 && !tools.is_in_doubt());
        }
    }
}

/// Answers the first call and hangs up at the second.
fn short_lived() -> Agent {
    let mut calls = 0;
    Agent::new(move |call| {
        calls += 1;
        if calls == 1 { printed(call.command.clone()) } else { Answer::HangUp }
    })
}

#[tokio::test]
async fn a_question_that_was_lost_is_asked_again() {
    let agent = short_lived();
    let tools = agent.auto();
    assert_eq!(stdout(&tools, read("a")).await, "relation-get");
    assert_eq!(stdout(&tools, read("b")).await, "process\n");
    assert!(!tools.is_in_doubt());
    assert_eq!(agent.calls().1, ["relation-get b"]);
}

#[tokio::test]
async fn a_change_that_was_lost_is_not_made_again() {
    let agent = short_lived();
    let tools = agent.auto();
    assert_eq!(stdout(&tools, read("a")).await, "relation-get");
    let lost = tools.call(write("x")).await.unwrap_err().to_string();
    assert!(lost.starts_with("may have run or not"), "{lost}");
    assert!(tools.is_in_doubt(), "the hook has to fail");
    // What comes after goes its way.
    assert_eq!(stdout(&tools, read("b")).await, "process\n");
    assert_eq!(agent.calls().1, ["relation-get b"]);
    // A secret that is refreshed is as good as changed.
    let agent = short_lived();
    let tools = agent.auto();
    assert_eq!(stdout(&tools, read("a")).await, "relation-get");
    assert!(tools.call(ToolCall::new("secret-get", ["--refresh", "--", "x"])).await.is_err());
    assert!(tools.is_in_doubt());
}

#[tokio::test]
async fn a_change_that_was_not_sent_goes_through_a_process() {
    let agent = Agent::absent();
    let listener = UnixListener::bind(agent.dir.path().join("socket")).unwrap();
    let closed = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut server = Server::new();
        let mut bytes = vec![0; 4096];
        loop {
            let count = stream.read(&mut bytes).await.unwrap();
            server.push(&bytes[..count]);
            if let Some((seq, _)) = server.receive().unwrap() {
                server.reply(seq, &Reply::Done(ToolOutput::default())).unwrap();
                return stream.write_all(&server.take_output()).await.unwrap();
            }
        }
    });
    let tools = agent.auto();
    assert_eq!(stdout(&tools, read("a")).await, "");
    closed.await.unwrap();
    // To a connection that the other side has closed nothing can be written.
    assert_eq!(stdout(&tools, write("x")).await, "process\n");
    assert!(!tools.is_in_doubt());
}

fn environment(agent: &Agent, more: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    let mut all: BTreeMap<String, String> = [
        ("JUJU_CONTEXT_ID", CONTEXT),
        ("JUJU_AGENT_SOCKET_ADDRESS", agent.dir.path().join("socket").to_str().unwrap()),
        ("JUJU_AGENT_SOCKET_NETWORK", "unix"),
    ]
    .into_iter()
    .chain(more.iter().copied())
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    all.retain(|_, value| !value.is_empty());
    move |name| all.get(name).cloned()
}

#[tokio::test]
async fn the_environment_decides_and_may_force() {
    let agent = Agent::new(|call| printed(call.command.clone()));
    // No tool of this test's own is on PATH, so that processes show in the error.
    let call = || ToolCall::new("relation-get", ["k"]);
    let ends = async |more: &[(&str, &str)]| {
        let tools = Auto::from_vars(environment(&agent, more));
        tools.call(call()).await.map(|output| output.stdout)
    };
    let over_socket = Ok(b"relation-get".to_vec());
    assert_eq!(ends(&[]).await, over_socket);
    assert_eq!(ends(&[("JUJU_OPS_TRANSPORT", "socket")]).await, over_socket);
    for more in [
        [("JUJU_OPS_TRANSPORT", "process")],
        [("JUJU_AGENT_SOCKET_NETWORK", "tcp")],
        [("JUJU_AGENT_SOCKET_NETWORK", "")],
        [("JUJU_CONTEXT_ID", "")],
        [("JUJU_AGENT_SOCKET_ADDRESS", "")],
        [("JUJU_AGENT_SOCKET_ADDRESS", "/no/such/socket")],
    ] {
        assert_eq!(ends(&more).await, Err(TransportError::Missing), "{more:?}");
    }
    // Forced, what would lead to processes is an error.
    for more in [("JUJU_AGENT_SOCKET_NETWORK", "tcp"), ("JUJU_AGENT_SOCKET_ADDRESS", "/no/such/socket")] {
        let forced = ends(&[more, ("JUJU_OPS_TRANSPORT", "socket")]).await;
        assert!(matches!(forced, Err(TransportError::Start(_))), "{forced:?}");
    }
    let strict = Agent::new(|_| refused("bad request: token does not match"));
    let forced = Auto::from_vars(environment(&strict, &[("JUJU_OPS_TRANSPORT", "socket")]));
    let output = forced.call(write("x")).await.unwrap();
    assert_eq!((output.code, output.stderr), (1, b"ERROR bad request: token does not match\n".to_vec()));
    assert_eq!(strict.calls().0, ["status-set -- active x"]);
}

#[test]
fn a_token_does_not_show() {
    let vars = |name: &str| Some(if name.ends_with("NETWORK") { "unix" } else { "hunter22" }.to_owned());
    let shown = format!("{:?}", AgentSocket::from_vars(vars).unwrap());
    assert_eq!(shown.matches("hunter22").count(), 2, "address and context id only: {shown}");
}
