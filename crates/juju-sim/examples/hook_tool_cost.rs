//! What one call of a hook tool costs, as a process and over the agent's socket, with the same agent on the other side.
//!
//! ```text
//! cargo build --release -p juju-sim --no-default-features --bin jujuc --example hook_tool_cost
//! target/release/examples/hook_tool_cost
//! ```
//!
//! The agent runs in this process; it answers from memory, as a real one does for most calls.

use std::{
    error::Error,
    future::ready,
    os::unix::fs::symlink,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use juju_ops::tools::{AgentSocket, HookTools, Processes, Socket, ToolCall};
use juju_sim::{CharmMeta, Event, Relation, Session, State, jujuc::serve};
use tokio::net::UnixListener;

const CONTEXT: &str = "db/0-config-changed-1";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("agent.socket");
    let listener = UnixListener::bind(&socket)?;
    let meta = CharmMeta::from_texts("{name: db, provides: {clients: {interface: pg}}}", None, None, None)?;
    let state = State::new(&meta).with_relation(Relation::new("clients", 3, "pg", "shop"));
    let session = Arc::new(Mutex::new(Session::new(meta.into(), state, Event::Start)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let session = Arc::clone(&session);
            tokio::spawn(async move {
                serve(stream, CONTEXT, |call| {
                    let mut session = session.lock().expect("no call panics");
                    ready(session.call(&call.argv, call.stdin.as_deref(), &call.cwd))
                })
                .await
            });
        }
    });

    let jujuc = std::env::current_exe()?.with_file_name("../jujuc");
    let address = socket.display().to_string();
    let environment = [
        ("JUJU_CONTEXT_ID", CONTEXT),
        ("JUJU_AGENT_SOCKET_ADDRESS", &address),
        ("JUJU_AGENT_SOCKET_NETWORK", "unix"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    for tool in ["is-leader", "relation-get"] {
        symlink(&jujuc, folder.path().join(tool))?;
    }
    let processes = Processes::new(folder.path(), environment, folder.path());
    let connection = Socket::connect(AgentSocket::new(address, CONTEXT))?;

    println!("{:<14} {:<8} {:>6} {:>12} {:>12}", "tool", "way", "calls", "minimum", "median");
    let leader = || ToolCall::new("is-leader", ["--format=json"]);
    let get =
        || ToolCall::new("relation-get", ["--format=json", "-r", "clients:3", "--app", "--", "-", "shop"]);
    for call in [leader(), get()] {
        for (way, tools, count) in
            [("process", &processes as &dyn HookTools, 300), ("socket", &connection, 20_000)]
        {
            let mut times = Vec::with_capacity(count);
            for _ in 0..count {
                let begin = Instant::now();
                let output = tools.call(call.clone()).await?;
                times.push(begin.elapsed());
                assert_eq!(output.code, 0, "{output:?}");
            }
            times.sort();
            let show = |time: Duration| format!("{:.3} ms", time.as_secs_f64() * 1000.0);
            let (least, half) = (show(times[0]), show(times[count / 2]));
            println!("{:<14} {way:<8} {count:>6} {least:>12} {half:>12}", call.tool);
        }
    }
    connection.close().await;
    Ok(())
}
