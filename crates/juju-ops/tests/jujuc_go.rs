//! The protocol of the agent's socket with a program made of Go's own `net/rpc` and `encoding/gob`, in both directions.
//!
//! Needs the program that `cargo xtask tools` builds.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use futures_util::future::join;
use juju_ops::{
    HookTools as _, ToolCall, ToolOutput, TransportError,
    jujuc::{Call, NO_STDIN, Reply, Server},
    tools::{AgentSocket, Socket},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
};

fn program() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let tools = set("JUJU_SIM_TOOLS").or_else(|| cache().map(|cache| cache.join("juju-sim/tools")));
    let program = tools.expect("HOME or XDG_CACHE_HOME is set").join("bin/jujuc-peer");
    assert!(program.is_file(), "{} is missing: run `cargo xtask tools` first", program.display());
    program
}

/// A Go program that answers, until this is dropped.
struct Agent {
    child: Child,
    /// Its end is the program's.
    stdin: Option<ChildStdin>,
    dir: tempfile::TempDir,
}

impl Agent {
    fn start(verb: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(program())
            .args([verb.as_ref(), dir.path().join("socket").as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { stdin: child.stdin.take(), child, dir }
    }

    fn connect(&self) -> Socket {
        let address = self.dir.path().join("socket");
        Socket::connect(AgentSocket::new(address.to_str().unwrap(), "peer").with_dir("/there")).unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

fn call(tool: &'static str, args: &[&str]) -> ToolCall {
    ToolCall::new(tool, args.iter().copied())
}

#[expect(clippy::unnecessary_wraps, reason = "what it is compared with is a result")]
fn printed(stdout: impl Into<Vec<u8>>) -> Result<ToolOutput, TransportError> {
    Ok(ToolOutput { stdout: stdout.into(), ..ToolOutput::default() })
}

#[tokio::test]
async fn gos_server_understands_our_calls_and_we_its_answers() {
    let agent = Agent::start("serve");
    let tools = agent.connect();
    // An error first: the type of answers is then defined later.
    assert_eq!(tools.call(call("no-such-tool", &[])).await, Err(TransportError::Missing));
    let echo =
        tools.call(call("echo", &["--format=json", "", "é"]).with_stdin(b"in".to_vec())).await.unwrap();
    let understood: Value = serde_json::from_slice(&echo.stdout).unwrap();
    let expected = json!({
        "ContextId": "peer", "Dir": "/there", "CommandName": "echo", "Args": ["--format=json", "", "é"],
        "StdinSet": true, "Stdin": "aW4=", "Token": "",
    });
    assert_eq!(understood, expected);
    let refusal = ToolOutput { code: 2, stdout: vec![], stderr: b"ERROR no\n".to_vec() };
    assert_eq!(tools.call(call("refuse", &[])).await, Ok(refusal));
    assert_eq!(tools.call(call("odd-code", &[])).await.map(|output| output.code), Ok(-1));
    assert_eq!(tools.call(call("quiet", &[])).await, printed(""));
    assert_eq!(tools.call(call("cat", &[])).await, printed(""), "it asks for input and gets none");
    let long = b"a line\n".repeat(200_000);
    assert!(tools.call(call("cat", &[]).with_stdin(long.clone())).await == printed(long));
    // Around the lengths at which numbers take one byte more.
    for size in [0, 1, 119, 120, 121, 127, 128, 255, 256, 257, 65_535, 65_536, 5_000_000] {
        let output = tools.call(call("big", &[&size.to_string()])).await.unwrap();
        assert!(output.stdout.len() == size && output.stdout.iter().all(|byte| *byte == b'x'));
    }
    tools.close().await;
}

#[tokio::test]
async fn gos_answers_may_overtake_each_other() {
    let agent = Agent::start("serve");
    let tools = agent.connect();
    // The first is answered only after the second was run.
    let (waited, released) = join(tools.call(call("wait", &[])), tools.call(call("release", &[]))).await;
    assert_eq!((waited, released), (printed("released"), printed("")));
}

#[tokio::test]
async fn gos_answers_of_another_shape_are_understood() {
    let agent = Agent::start("odd");
    let tools = agent.connect();
    for args in [&[][..], &["a", "b"], &[]] {
        let output = tools.call(call("echo", args)).await.unwrap();
        let expected = (i32::try_from(args.len()).unwrap(), args.join(" ").into_bytes(), b"echo".to_vec());
        assert_eq!((output.code, output.stdout, output.stderr), expected);
    }
}

/// Serves one connection of a Go program and returns what the program printed, line by line.
async fn serve(verb: &str, mut answer: impl FnMut(&mut Server, u64, Call)) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let output =
        tokio::process::Command::new(program()).args([Path::new(verb), &path]).kill_on_drop(true).output();
    let agent = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut server = Server::new();
        let mut bytes = vec![0; 1000];
        loop {
            let count = stream.read(&mut bytes).await.unwrap();
            if count == 0 {
                break;
            }
            server.push(&bytes[..count]);
            while let Some((seq, call)) = server.receive().unwrap() {
                answer(&mut server, seq, call);
            }
            stream.write_all(&server.take_output()).await.unwrap();
        }
    };
    let ((), output) = join(agent, output).await;
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn answer_for(call: &Call) -> Reply {
    let done = |code, stdout: Vec<u8>, stderr: &[u8]| {
        Reply::Done(ToolOutput { code, stdout, stderr: stderr.to_vec() })
    };
    match call.command.as_str() {
        "echo" | "together" => done(0, call.args.join(" ").into_bytes(), b""),
        "cat" => {
            call.stdin.clone().map_or_else(|| Reply::Error(NO_STDIN.to_owned()), |stdin| done(0, stdin, b""))
        }
        "refuse" => done(2, vec![], b"ERROR no\n"),
        "quiet" => done(0, vec![], b""),
        other => Reply::Error(format!("bad request: unknown command: {other}")),
    }
}

#[tokio::test]
async fn gos_client_understands_our_answers_and_we_its_calls() {
    let mut together = Vec::new();
    let lines = serve("call", |server, seq, call| {
        assert_eq!((call.context_id.as_str(), call.dir.as_str()), ("peer", "/"));
        if call.command != "together" {
            return server.reply(seq, &answer_for(&call)).unwrap();
        }
        together.push((seq, answer_for(&call)));
        if together.len() == 5 {
            for (seq, reply) in together.drain(..).rev() {
                server.reply(seq, &reply).unwrap();
            }
        }
    })
    .await;
    let big = "y".repeat(1 << 20);
    let line = |code: i32, stdout: &str, stderr: &str, error: &str| json!({"Code": code, "Stdout": stdout, "Stderr": stderr, "Error": error});
    let mut expected = vec![
        line(0, "", "", "bad request: unknown command: no-such-tool"),
        line(0, "--format=json  é", "", ""),
        line(0, "", "", NO_STDIN),
        line(0, "", "", ""),
        line(0, "input", "", ""),
        line(0, &big, "", ""),
        line(2, "", "ERROR no\n", ""),
        line(0, &big, "", ""),
        line(0, "", "", ""),
        line(0, "", "", "bad request: unknown command: wrong-context"),
    ];
    expected.extend((0..5).map(|n| line(0, &n.to_string(), "", "")));
    expected.push(line(0, "", "", "rpc: can't find method Jujuc.Other"));
    assert_eq!(lines.len(), expected.len());
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line == expected, "{:.300} instead of {:.300}", line.to_string(), expected.to_string());
    }
}

#[tokio::test]
async fn gos_calls_of_another_shape_are_understood() {
    let mut calls = Vec::new();
    let lines = serve("calls", |server, seq, call| {
        server.reply(seq, &answer_for(&call)).unwrap();
        calls.push(call);
    })
    .await;
    let call = |args: &[&str]| Call {
        context_id: "peer".into(),
        dir: "/".into(),
        command: "echo".into(),
        args: args.iter().map(ToString::to_string).collect(),
        ..Call::default()
    };
    assert_eq!(calls, [call(&[]), call(&["a", "b"])]);
    assert_eq!(lines[1]["Stdout"], "a b");
}
