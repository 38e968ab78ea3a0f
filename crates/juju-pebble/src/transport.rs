//! Requests and web sockets over the daemon's unix socket.

use std::{
    error::Error as StdError,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{Method, Response, header};
use tokio::net::UnixStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, protocol::WebSocketConfig},
};
use tracing::{Instrument, debug_span};

use crate::{Error, wire::envelope};

/// Any name will do: the socket says who is meant.
const HOST: &str = "localhost";

/// A WebSocket of an exec task.
pub(crate) type Socket = WebSocketStream<UnixStream>;

/// One daemon's socket.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    path: Arc<Path>,
    /// Made on first use: most hooks touch only some of their containers.
    http: Arc<OnceLock<Result<reqwest::Client, String>>>,
}

/// What is asked of the daemon.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    /// Content type and content.
    pub(crate) body: Option<(String, Vec<u8>)>,
    /// `Accept` header.
    pub(crate) accept: Option<&'static str>,
    /// From connecting to the last byte of the answer.
    pub(crate) timeout: Duration,
    /// Bytes of the answer that are taken.
    pub(crate) limit: usize,
}

/// What the daemon answers.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

impl Transport {
    pub(crate) fn new(path: impl Into<Arc<Path>>) -> Self {
        Self { path: path.into(), http: Arc::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Error> {
        let span = debug_span!("pebble", method = %request.method, target = %request.target);
        self.send_inner(request).instrument(span).await
    }

    async fn send_inner(&self, request: Request) -> Result<Answer, Error> {
        let Request { method, target, body, accept, timeout, limit } = request;
        let what = format!("{method} {}", target.split('?').next().unwrap_or_default());
        let fail = |error: reqwest::Error| self.failure(&what, timeout, &error);
        let mut builder = self.http()?.request(method, format!("http://{HOST}{target}")).timeout(timeout);
        if let Some(accept) = accept {
            builder = builder.header(header::ACCEPT, accept);
        }
        if let Some((content_type, content)) = body {
            builder = builder.header(header::CONTENT_TYPE, content_type).body(content);
        }
        let mut response: Response = builder.send().await.map_err(fail)?;
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fail)? {
            if body.len() + chunk.len() > limit {
                return Err(Error::Protocol(format!("{what} answers with more than {limit} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, content_type, body })
    }

    /// Opens a WebSocket. The caller bounds the time.
    pub(crate) async fn upgrade(&self, target: &str) -> Result<Socket, Error> {
        let stream = UnixStream::connect(&self.path).await.map_err(|error| self.no_connection(&error))?;
        // Default limits on messages; buffers sized for the 32 KiB pieces of the daemon rather than
        // the 128 KiB that the library reserves for each of three sockets.
        let config = WebSocketConfig::default().read_buffer_size(32 << 10).write_buffer_size(16 << 10);
        let url = format!("ws://{HOST}{target}");
        match tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => {
                let status = response.status().as_u16();
                let body = response.into_body().unwrap_or_default();
                match envelope::decode(status, &body) {
                    Err(error) => Err(error),
                    Ok(_) => Err(Error::Protocol(format!("{target} is no WebSocket (status {status})"))),
                }
            }
            Err(error) => Err(self.socket_failure(&error)),
        }
    }

    /// What went wrong on an open WebSocket.
    pub(crate) fn socket_failure(&self, error: &tungstenite::Error) -> Error {
        match error {
            tungstenite::Error::Io(error) => self.no_connection(error),
            tungstenite::Error::ConnectionClosed
            | tungstenite::Error::AlreadyClosed
            | tungstenite::Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake
                | tungstenite::error::ProtocolError::HandshakeIncomplete,
            ) => self.no_connection(error),
            other => Error::Protocol(format!("WebSocket: {other}")),
        }
    }

    fn http(&self) -> Result<&reqwest::Client, Error> {
        self.http
            .get_or_init(|| {
                reqwest::Client::builder()
                    .unix_socket(self.path.to_path_buf())
                    // Whatever the environment says about proxies is not about this socket.
                    .no_proxy()
                    .redirect(reqwest::redirect::Policy::none())
                    .http1_only()
                    // A kept connection saves microseconds here, and after a restart of the
                    // container it would be a dead one.
                    .pool_max_idle_per_host(0)
                    .build()
                    .map_err(|error| root(&error))
            })
            .as_ref()
            .map_err(|error| Error::Protocol(format!("cannot make an HTTP client: {error}")))
    }

    fn failure(&self, what: &str, timeout: Duration, error: &reqwest::Error) -> Error {
        if error.is_timeout() {
            return Error::Timeout(format!("{what} had no answer within {timeout:?}"));
        }
        if error.is_builder() {
            return Error::Protocol(format!("{what}: {}", root(error)));
        }
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(here) = cause {
            // An answer that is not HTTP comes from something else than Pebble; all other failures
            // mean that nobody is there, or no longer.
            if here.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                return Error::Protocol(format!("{what}: {}", root(error)));
            }
            cause = here.source();
        }
        self.no_connection(error)
    }

    fn no_connection(&self, error: &(dyn StdError + 'static)) -> Error {
        Error::Connection(format!("{}: {}", self.path.display(), root(error)))
    }
}

/// The innermost reason: the outer ones repeat that a request failed.
fn root(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
