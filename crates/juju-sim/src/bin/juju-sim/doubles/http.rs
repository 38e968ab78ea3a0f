//! Small questions to programs that run in pods.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, ToSocketAddrs},
    time::timeout,
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// Sends one request (`GET /path`) without a body: the status and the body of the answer.
pub(crate) async fn ask(to: impl ToSocketAddrs, request: &str) -> Result<(u16, String)> {
    let talk = async {
        let mut stream = TcpStream::connect(to).await?;
        // In this version the answer ends with the connection.
        stream.write_all(format!("{request} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = timeout(ANSWER, talk).await.context("no answer in time")??;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}
