//! `/v1/exec` and its websockets.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use juju_pebble::{Exec, Owner};
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol},
};

use super::{
    Arc, BTreeMap, Body, Deserialize, Error, Front, Value, api, begun, change_document, json, read_json,
};
use crate::pebble::Inner;

/// How long a command waits for its streams.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The end of a stream, in either direction.
const END: &str = r#"{"command":"end"}"#;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A command that waits for its streams.
pub(super) struct Waiting {
    streams: mpsc::UnboundedSender<(String, Socket)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Start {
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    working_dir: Option<String>,
    service_context: Option<String>,
    #[serde(default)]
    split_stderr: bool,
}

impl Inner {
    /// Whether a command can be started; what it would do is not asked yet.
    fn can_exec(&self, exec: &Exec) -> Result<(), Error> {
        let program = exec.command.first().ok_or_else(|| api(400, "must specify command"))?;
        let known = self.exec_hook.is_some()
            || self.container.execs.iter().any(|handler| exec.command.starts_with(&handler.prefix));
        if !known {
            return Err(api(400, format!("cannot find executable \"{program}\"")));
        }
        match &exec.service_context {
            Some(service) if !self.container.plan().services.contains_key(service) => {
                Err(api(400, format!("context service \"{service}\" not found")))
            }
            _ => Ok(()),
        }
    }
}

impl Front {
    pub(super) fn exec(self: &Arc<Self>, body: &[u8]) -> Result<Response<Body>, Error> {
        let start: Start = read_json(body)?;
        let exec = Exec {
            command: start.command,
            environment: start.environment,
            working_dir: start.working_dir,
            timeout: None,
            stdin: Vec::new(),
            service_context: start.service_context.filter(|service| !service.is_empty()),
            owner: Owner::default(),
            combine_stderr: !start.split_stderr,
        };
        self.with(|inner| inner.can_exec(&exec))?;
        let id = self.number();
        let task = (id * 1000).to_string();
        let summary = format!("Execute command \"{}\"", exec.command[0]);
        let (streams, arriving) = mpsc::unbounded_channel();
        {
            let mut daemon = self.daemon();
            daemon.changes.insert(id, change_document(id, "exec", &summary));
            daemon.execs.insert(task.clone(), Waiting { streams });
        }
        let environment = exec.environment.clone();
        let working_dir = exec.working_dir.clone().unwrap_or_else(|| "/".to_owned());
        tokio::spawn(self.clone().attend(id, task.clone(), exec, arriving));
        Ok(begun(id, &json!({"task-id": task, "environment": environment, "working-dir": working_dir})))
    }

    /// Takes over a connection as one stream of a command.
    pub(super) fn upgrade(
        &self,
        mut request: Request<Incoming>,
        task: &str,
        stream: &str,
    ) -> Result<Response<Body>, Error> {
        let waiting = self.daemon().execs.get(task).map(|waiting| waiting.streams.clone());
        let streams = waiting.ok_or_else(|| api(404, format!("cannot find task \"{task}\"")))?;
        if !["control", "stdio", "stderr"].contains(&stream) {
            return Err(api(404, format!("cannot find websocket with id \"{stream}\"")));
        }
        let key = request.headers().get(SEC_WEBSOCKET_KEY);
        let accept = key.map(|key| derive_accept_key(key.as_bytes()));
        let accept = accept
            .and_then(|accept| accept.parse().ok())
            .ok_or_else(|| api(400, "not a websocket handshake"))?;
        let stream = stream.to_owned();
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            if let Ok(upgraded) = upgraded.await {
                let io = TokioIo::new(upgraded);
                let socket = WebSocketStream::from_raw_socket(io, protocol::Role::Server, None).await;
                // Nobody waits any more: the command gave up.
                let _ = streams.send((stream, socket));
            }
        });
        let mut response = Response::new(Body::new(Bytes::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, hyper::header::HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        Ok(response)
    }

    /// One command from its streams to its end.
    async fn attend(
        self: Arc<Self>,
        id: u64,
        task: String,
        mut exec: Exec,
        mut arriving: mpsc::UnboundedReceiver<(String, Socket)>,
    ) {
        let mut open: BTreeMap<String, Socket> = BTreeMap::new();
        let wanted: &[&str] = if exec.combine_stderr { &["stdio"] } else { &["stdio", "stderr"] };
        let connected = tokio::time::timeout(CONNECT_LIMIT, async {
            while !wanted.iter().all(|name| open.contains_key(*name)) {
                let Some((name, socket)) = arriving.recv().await else { return };
                open.insert(name, socket);
            }
        })
        .await;
        let summary = format!("Execute command \"{}\"", exec.command.first().map_or("", String::as_str));
        let end = |err: Option<&str>, code: i32| {
            self.daemon().execs.remove(&task);
            self.end_change(id, "exec", &summary, err, &json!({"exit-code": code}));
        };
        let Some(mut stdio) = open.remove("stdio").filter(|_| connected.is_ok()) else {
            let err = format!(
                "cannot perform the following tasks:\n- {summary} (exec {task}: timeout waiting for websocket \
                 connections: context deadline exceeded)"
            );
            end(Some(&err), -1);
            return;
        };
        while let Some(Ok(message)) = stdio.next().await {
            match message {
                Message::Binary(piece) => exec.stdin.extend_from_slice(&piece),
                Message::Text(text) if is_end(&text) => break,
                Message::Close(_) => break,
                _ => {}
            }
        }
        match self.with(|inner| inner.exec(&exec)) {
            Ok(output) => {
                write(&mut stdio, output.stdout).await;
                if let Some(mut stderr) = open.remove("stderr") {
                    write(&mut stderr, output.stderr).await;
                    let _ = stderr.close(None).await;
                }
                end(None, output.exit_code);
            }
            Err(error) => {
                write(&mut stdio, Vec::new()).await;
                if let Some(mut stderr) = open.remove("stderr") {
                    write(&mut stderr, Vec::new()).await;
                }
                end(Some(&format!("cannot perform the following tasks:\n- {summary} ({error})")), -1);
            }
        }
        let _ = stdio.close(None).await;
        if let Some(mut control) = open.remove("control") {
            let _ = control.close(None).await;
        }
    }
}

fn is_end(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|command| command["command"] == "end")
}

/// Sends a stream's content and its end. A reader that went away loses it, as with a pipe.
async fn write(socket: &mut Socket, content: Vec<u8>) {
    if !content.is_empty() && socket.send(Message::binary(content)).await.is_err() {
        return;
    }
    let _ = socket.send(Message::text(END)).await;
}
