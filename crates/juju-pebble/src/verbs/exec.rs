//! Commands in the container.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use futures_util::{
    SinkExt as _, StreamExt as _,
    future::{self, Either},
};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::{
    Change, ChangeId, Client, Error, Exec, ExecOutput, Owner,
    transport::Socket,
    wire::{self, duration},
};

/// What the client waits beyond the command's own time: the daemon reports a timeout better.
const GRACE: Duration = Duration::from_secs(1);

/// Bytes of standard input per message.
const PIECE: usize = 32 << 10;

/// The end of a stream, in either direction.
const END: &str = r#"{"command":"end"}"#;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Start<'a> {
    command: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_context: Option<&'a str>,
    timeout: String,
    split_stderr: bool,
    #[serde(flatten)]
    owner: &'a Owner,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Started {
    task_id: String,
}

impl Client {
    pub(crate) async fn run(&self, exec: &Exec) -> Result<ExecOutput, Error> {
        let limit = exec.timeout.unwrap_or(self.limits.exec);
        let start = Start {
            command: &exec.command,
            environment: &exec.environment,
            working_dir: exec.working_dir.as_deref(),
            service_context: exec.service_context.as_deref(),
            timeout: duration::to_go(limit),
            split_stderr: !exec.combine_stderr,
            owner: &exec.owner,
        };
        let (change, Started { task_id }) = self.post("/v1/exec", &start).await?.change()?;
        // Dropping the connections on a timeout makes the daemon kill the command.
        match tokio::time::timeout(limit + GRACE, self.attend(exec, &change, &task_id, limit)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout(format!("command (change {change}) did not end within {limit:?}"))),
        }
    }

    /// Connects to a command that waits for its streams, and stays with it to its end.
    async fn attend(
        &self,
        exec: &Exec,
        change: &ChangeId,
        task: &str,
        limit: Duration,
    ) -> Result<ExecOutput, Error> {
        let sockets = async {
            let control = self.connect(task, "control").await?;
            let stdio = self.connect(task, "stdio").await?;
            let stderr = if exec.combine_stderr { None } else { Some(self.connect(task, "stderr").await?) };
            Ok((control, stdio, stderr))
        };
        let (mut control, stdio, mut stderr) = match sockets.await {
            Ok(sockets) => sockets,
            // The task may be over already; its own reason says more than a failed upgrade.
            Err(Error::Api { status, kind, message }) => {
                let reason = self.change(change).await.ok().and_then(|change| change.err);
                return Err(match reason.filter(|reason| !reason.is_empty()) {
                    Some(message) => Error::Change { message },
                    None => Error::Api { status, kind, message },
                });
            }
            Err(error) => return Err(error),
        };

        let (mut input, mut output) = stdio.split();
        let outputs = async {
            // Reading goes on while waiting for the end: a full pipe would stop the command.
            future::join3(
                self.collect(&mut output),
                async {
                    match &mut stderr {
                        Some(stderr) => self.collect(stderr).await,
                        None => Ok(Vec::new()),
                    }
                },
                self.wait_end(change, limit + GRACE),
            )
            .await
        };
        let feed = async {
            for piece in exec.stdin.chunks(PIECE) {
                input.send(Message::binary(piece.to_vec())).await?;
            }
            input.send(Message::text(END)).await
        };
        // Input that nobody reads is no failure, and must not outlive the command.
        let (stdout, stderr, change) = match future::select(pin!(outputs), pin!(feed)).await {
            Either::Left((done, _)) => done,
            Either::Right((_, outputs)) => outputs.await,
        };
        let exit_code = exit_code(&change?)?;
        // The command is over, so a failing farewell changes nothing.
        let _ = control.close(None).await;
        Ok(ExecOutput { exit_code, stdout: stdout?, stderr: stderr? })
    }

    async fn connect(&self, task: &str, stream: &str) -> Result<Socket, Error> {
        let target = format!("/v1/tasks/{}/websocket/{stream}", wire::percent_encoded(task));
        tokio::time::timeout(self.limits.call, self.transport.upgrade(&target))
            .await
            .unwrap_or_else(|_| Err(Error::Timeout(format!("connecting to {stream} of a command"))))
    }

    /// Reads a stream up to its end mark.
    async fn collect<S>(&self, stream: &mut S) -> Result<Vec<u8>, Error>
    where
        S: futures_util::Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
    {
        let mut collected = Vec::new();
        let mut too_much = false;
        loop {
            match stream.next().await {
                // What is too much is still read, so that the command can end.
                Some(Ok(Message::Binary(piece))) if collected.len() + piece.len() > self.limits.size => {
                    too_much = true;
                }
                Some(Ok(Message::Binary(piece))) => collected.extend_from_slice(&piece),
                Some(Ok(Message::Text(text))) if is_end(&text) => break,
                Some(Ok(Message::Close(_))) | None => {
                    return Err(Error::Connection("the output of a command was cut off".into()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(self.transport.socket_failure(&error)),
            }
        }
        if too_much {
            return Err(Error::Protocol(format!("a command wrote more than {} bytes", self.limits.size)));
        }
        Ok(collected)
    }
}

fn is_end(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Command {
        command: String,
    }
    serde_json::from_str::<Command>(text).is_ok_and(|command| command.command == "end")
}

/// The exit code of a command whose change ended.
fn exit_code(change: &Change) -> Result<i32, Error> {
    if let Some(reason) = change.err.as_deref().filter(|reason| !reason.is_empty()) {
        return Err(if reason.contains("timed out after") {
            Error::Timeout(reason.to_owned())
        } else {
            Error::Change { message: reason.to_owned() }
        });
    }
    change
        .tasks
        .first()
        .and_then(|task| task.data.get("exit-code"))
        .and_then(serde_json::Value::as_i64)
        .and_then(|code| i32::try_from(code).ok())
        .ok_or_else(|| Error::Protocol(format!("change {} has no exit code", change.id)))
}
