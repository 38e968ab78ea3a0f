//! Requests and web sockets over the daemon's unix socket.

use std::{
    error::Error as StdError,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, protocol::WebSocketConfig},
};
use tracing::{Instrument as _, Span, field::Empty, info_span};

use crate::{Error, wire::envelope};

/// Any name will do: the socket says who is meant.
const HOST: &str = "localhost";

/// How many connections are kept for the next questions.
const KEPT: usize = 4;

/// A WebSocket of an exec task.
pub(crate) type Socket = WebSocketStream<UnixStream>;

/// One daemon's socket.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    path: Arc<Path>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

type Connection = SendRequest<Full<Bytes>>;

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
        Self { path: path.into(), idle: Arc::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Error> {
        let span = self.span(&request.method, &request.target);
        let answer = self.send_inner(request).instrument(span.clone()).await;
        match &answer {
            Ok(Answer { status, .. }) => {
                span.record("http.response.status_code", *status);
                if *status >= 400 {
                    span.record("otel.status_code", "ERROR");
                }
            }
            Err(error) => {
                span.record("otel.status_code", "ERROR");
                span.record("otel.status_description", error.word());
            }
        }
        answer
    }

    /// What a trace tells of a request. What follows the path may be anybody's text, and is left out.
    fn span(&self, method: &Method, target: &str) -> Span {
        let path = || target.split('?').next().unwrap_or_default();
        info_span!(
            "pebble",
            otel.name = %format_args!("{method} {}", path()),
            otel.kind = "client",
            otel.status_code = Empty,
            otel.status_description = Empty,
            pebble.container = self.container(),
            http.request.method = method.as_str(),
            url.path = path(),
            http.response.status_code = Empty,
        )
    }

    /// The container, by the folder that Juju has put the socket in.
    fn container(&self) -> &str {
        let folder = self.path.parent().and_then(Path::file_name);
        folder.and_then(|name| name.to_str()).unwrap_or_default()
    }

    async fn send_inner(&self, request: Request) -> Result<Answer, Error> {
        let what = format!("{} {}", request.method, request.target.split('?').next().unwrap_or_default());
        let timeout = request.timeout;
        match tokio::time::timeout(timeout, self.exchange(&request, &what)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout(format!("{what} had no answer within {timeout:?}"))),
        }
    }

    /// Questions may take a connection that served before, and are asked again where it turns out to be dead. What changes
    /// something gets a new connection, so that it is sent once.
    async fn exchange(&self, request: &Request, what: &str) -> Result<Answer, Error> {
        let kept = if request.method == Method::GET { self.kept() } else { None };
        if let Some(mut connection) = kept {
            match self.ask(&mut connection, request, what).await {
                Err(Error::Connection(_)) => {}
                answer => {
                    self.keep(connection);
                    return answer;
                }
            }
        }
        let mut connection = self.connect().await?;
        let answer = self.ask(&mut connection, request, what).await;
        self.keep(connection);
        answer
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let stream = UnixStream::connect(&self.path).await.map_err(|error| self.no_connection(&error))?;
        let (connection, driver) =
            handshake(TokioIo::new(stream)).await.map_err(|error| self.no_connection(&error))?;
        // Ends with the connection: when the client is dropped, or the daemon goes.
        tokio::spawn(driver);
        Ok(connection)
    }

    async fn ask(&self, connection: &mut Connection, request: &Request, what: &str) -> Result<Answer, Error> {
        let fail = |error: hyper::Error| self.failure(what, &error);
        let body = request.body.as_ref().map_or_else(Bytes::new, |(_, body)| Bytes::copy_from_slice(body));
        let mut message = hyper::Request::builder()
            .method(request.method.clone())
            .uri(request.target.as_str())
            .header(header::HOST, HOST);
        if let Some(accept) = request.accept {
            message = message.header(header::ACCEPT, accept);
        }
        if let Some((content_type, _)) = &request.body {
            message = message.header(header::CONTENT_TYPE, content_type);
        }
        let message = message
            .body(Full::new(body))
            .map_err(|error| Error::Protocol(format!("{what}: {}", root(&error))))?;
        connection.ready().await.map_err(fail)?;
        let mut response = connection.send_request(message).await.map_err(fail)?;
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let mut body = Vec::new();
        while let Some(frame) = response.frame().await {
            let Ok(chunk) = frame.map_err(fail)?.into_data() else {
                continue;
            };
            if body.len() + chunk.len() > request.limit {
                return Err(Error::Protocol(format!(
                    "{what} answers with more than {} bytes",
                    request.limit
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, content_type, body })
    }

    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    /// One that was left in the middle of an answer closes itself.
    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !connection.is_closed() && idle.len() < KEPT {
            idle.push(connection);
        }
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

    fn failure(&self, what: &str, error: &hyper::Error) -> Error {
        // An answer that is not HTTP comes from something else than Pebble; all other failures mean that nobody is there,
        // or no longer.
        if error.is_parse() || error.is_user() {
            return Error::Protocol(format!("{what}: {}", root(error)));
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
