//! A charm's process and the agent's socket: what is sent, and that the connection ends with the hook.

use std::{
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    process::Command,
    thread,
};

use juju_ops::{
    ToolOutput,
    jujuc::{Reply, Server},
};

/// Set for the process that plays the charm, to what it is to do.
const CHARM: &str = "JUJU_OPS_TEST_CHARM";

/// Not a test of its own: the charm, when this program is started as one.
#[test]
fn charm() {
    let Ok(part) = std::env::var(CHARM) else { return };
    let code = juju_ops::run(async |hook| {
        let leader = hook.is_leader().await?;
        match part.as_str() {
            "panic" => panic!("no leader today"),
            // A charm that does not care.
            "careless" => drop(hook.active("x").await),
            _ => {
                hook.active("x").await?;
                tracing::info!(leader, "done");
            }
        }
        Ok(())
    });
    if format!("{code:?}") != format!("{:?}", std::process::ExitCode::SUCCESS) {
        std::process::exit(1);
    }
}

/// How the charm ended, what it called over the socket, and what as a process.
struct Ended {
    code: Option<i32>,
    stderr: String,
    socket: Vec<String>,
    processes: String,
}

/// Runs the charm with an agent that hangs up when `last` is called. Returns only when the connection is closed.
fn run(part: &str, last: &'static str) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let tools = dir.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    for tool in ["juju-log", "status-get", "status-set"] {
        let path = tools.join(tool);
        let script = format!("#!/bin/sh\necho \"${{0##*/}} $@\" >> {}\n", dir.path().join("log").display());
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
    let agent = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut server, mut bytes, mut calls) = (Server::new(), vec![0; 4096], Vec::new());
        loop {
            let count = stream.read(&mut bytes).unwrap_or_default();
            if count == 0 {
                return calls;
            }
            server.push(&bytes[..count]);
            while let Some((seq, call)) = server.receive().unwrap() {
                calls.push(format!("{} {}", call.command, call.args.join(" ")));
                if call.command == last {
                    return calls;
                }
                let stdout = match call.command.as_str() {
                    "is-leader" => "true\n",
                    "status-get" => r#"{"status":"unknown","message":""}"#,
                    _ => "",
                };
                let output = ToolOutput { stdout: stdout.into(), ..ToolOutput::default() };
                server.reply(seq, &Reply::Done(output)).unwrap();
            }
            stream.write_all(&server.take_output()).unwrap();
        }
    });
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "charm", "--nocapture"])
        .env_clear()
        .envs([(CHARM, part), ("JUJU_UNIT_NAME", "tempo/0"), ("JUJU_HOOK_NAME", "config-changed")])
        .envs([("JUJU_MODEL_NAME", "m"), ("JUJU_MODEL_UUID", "u"), ("JUJU_CHARM_DIR", "/")])
        .envs([("JUJU_CONTEXT_ID", "tempo/0-config-changed-1"), ("JUJU_AGENT_SOCKET_NETWORK", "unix")])
        .env("JUJU_AGENT_SOCKET_ADDRESS", dir.path().join("socket"))
        .env("PATH", format!("{}:/usr/bin:/bin", tools.display()))
        .output()
        .unwrap();
    Ended {
        code: ended.status.code(),
        stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
        socket: agent.join().unwrap(),
        processes: std::fs::read_to_string(dir.path().join("log")).unwrap_or_default(),
    }
}

#[test]
fn a_hook_needs_no_process_and_logs_over_the_socket_too() {
    let Ended { code, stderr, socket, processes } = run("ordinary", "");
    assert_eq!((code, processes.as_str()), (Some(0), ""), "{stderr}");
    assert_eq!(socket[0], "is-leader --format=json");
    assert!(socket.contains(&"status-set -- active x".to_owned()), "{socket:?}");
    assert!(socket.iter().any(|call| call.starts_with("juju-log -l INFO -- done")), "{socket:?}");
}

#[test]
fn a_panic_is_logged_without_the_connection_and_closes_it() {
    let Ended { code, stderr, socket, processes } = run("panic", "");
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(socket, ["is-leader --format=json"]);
    assert!(processes.starts_with("juju-log -l ERROR -- ") && processes.contains("no leader today"));
}

#[test]
fn a_change_that_was_lost_fails_the_hook_even_if_the_charm_does_not_care() {
    let Ended { code, stderr, socket, processes } = run("careless", "status-set");
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(socket.iter().filter(|call| call.starts_with("status-set")).count(), 1);
    assert!(!processes.contains("status-set"), "{processes}");
    assert!(processes.contains("has to be done again"), "{processes}");
}
