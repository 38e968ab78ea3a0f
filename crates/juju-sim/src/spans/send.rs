//! The sending end: exports spans as an instrumented program does.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::body::{collect, gzip};
use super::sink::TENANT_HEADER;
use super::tls::Trust;
use super::{Batch, Generator, Protocol, TlsError, Transport, export_path, grpc, jaeger, otlp, zipkin};

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 1 << 20;
/// The first pause before a retry; each further one is twice as long, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// The longest that one attempt may take, however much time is left.
const MAX_ATTEMPT: Duration = Duration::from_secs(10);
/// The longest time that one can ask for: a day.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);
/// How many error texts and trace identifiers are kept.
const MAX_ERRORS: usize = 16;
const MAX_TRACE_IDS: usize = 1000;

/// What to send, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendConfig {
    /// How to send it.
    pub protocol: Protocol,
    /// The receiver, as the `tracing` relation publishes it: `http://host:port` or `https://host:port` for HTTP
    /// protocols, `host:port` for gRPC ones. A path is kept and the protocol's own path put behind it.
    pub url: String,
    /// Whether a URL without a scheme, which is all that gRPC has, means TLS.
    pub tls: bool,
    /// The certificates to trust, PEM; whatever they did not sign is not sent to. TLS needs it.
    pub ca_file: Option<PathBuf>,
    /// How many spans to send.
    pub spans: u64,
    /// The most spans in one request; at least 1.
    pub batch: usize,
    /// The name of the service that the spans come from.
    pub service_name: String,
    /// Further attributes of the service.
    pub resource: BTreeMap<String, String>,
    /// Value of the `X-Scope-OrgID` header, if any.
    pub tenant: Option<String>,
    /// The time for all of it, with retries, at most a day. What was not accepted by then has failed.
    pub timeout: Duration,
    /// Makes identifiers repeatable. Without it they are random.
    pub seed: Option<u64>,
    /// How long ago the spans are said to have been made.
    pub age: Duration,
    /// Whether bodies are compressed with gzip.
    pub gzip: bool,
    /// The encoding of OTLP over HTTP; other protocols have only one.
    pub encoding: otlp::Encoding,
}

impl SendConfig {
    /// Ten spans of a service `juju-sim`, in requests of five, within ten seconds.
    pub fn new(protocol: Protocol, url: impl Into<String>) -> Self {
        Self {
            protocol,
            url: url.into(),
            tls: false,
            ca_file: None,
            spans: 10,
            batch: 5,
            service_name: "juju-sim".to_owned(),
            resource: BTreeMap::new(),
            tenant: None,
            timeout: Duration::from_secs(10),
            seed: None,
            age: Duration::ZERO,
            gzip: false,
            encoding: otlp::Encoding::Protobuf,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// How it was sent.
    pub protocol: Protocol,
    /// Where it was sent to.
    pub url: String,
    /// Spans that the receiver took.
    pub accepted: u64,
    /// Spans that it refused, or that it could not be given in time.
    pub failed: u64,
    /// Attempts, with the retries.
    pub requests: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Identifiers of the accepted traces, the first 1000, as 32 hexadecimal digits.
    pub trace_ids: Vec<String>,
    /// What went wrong, each text once, the first 16. Not empty also when a retry helped.
    pub errors: Vec<String>,
}

impl Sent {
    /// Whether every span was accepted.
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }
}

/// Why nothing could be sent at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The URL has not the form that the protocol wants.
    #[error("invalid {protocol} URL {url:?}: {reason}")]
    Url {
        /// The protocol.
        protocol: Protocol,
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tenant cannot stand in a header.
    #[error("invalid tenant {0:?}")]
    Tenant(String),
    /// The receiver wants TLS, and nothing is trusted.
    #[error("{url:?} needs TLS, and so a file with the certificates to trust")]
    NoAuthority {
        /// The URL as given.
        url: String,
    },
    /// The certificates to trust cannot be read.
    #[error(transparent)]
    Authority(#[from] TlsError),
}

/// Sends generated spans and says what became of them.
///
/// Requests go one after the other over one connection, which is opened anew when it breaks. An attempt that
/// failed for a passing reason (no connection, 429, 502, 503, 504, or such a gRPC status) is repeated after a
/// growing pause or the pause that the receiver asks for. Other failures are final for their request only.
///
/// # Errors
/// The configuration cannot be used. Whatever happens on the network is in [`Sent`].
pub async fn send(config: SendConfig) -> Result<Sent, SendError> {
    let timeout = config.timeout;
    let mut exporter = Exporter::new(config, None)?;
    exporter.within(timeout);
    let mut generator = exporter.generator();
    let mut left = exporter.config.spans;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(exporter.config.batch.max(1));
        let batch = generator.batch(count);
        left -= count as u64;
        if !exporter.export(&batch).await {
            exporter.sent.failed += left;
            break;
        }
    }
    Ok(exporter.sent)
}

/// A receiver, taken apart.
#[derive(Debug, Clone)]
struct Target {
    host: String,
    port: u16,
    tls: Option<Tls>,
    /// Scheme and authority for gRPC, which wants a whole URI; only the path for HTTP/1.1.
    uri: Uri,
    authority: String,
}

/// What it takes to speak TLS with a receiver.
#[derive(Debug, Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    /// What the receiver's certificate has to say.
    name: ServerName<'static>,
}

impl Target {
    fn new(config: &SendConfig, trust: Option<&Trust>) -> Result<Self, SendError> {
        let (protocol, url) = (config.protocol, config.url.as_str());
        let invalid =
            |reason: &str| SendError::Url { protocol, url: url.to_owned(), reason: reason.to_owned() };
        let uri: Uri =
            url.parse().map_err(|error: hyper::http::uri::InvalidUri| invalid(&error.to_string()))?;
        let encrypted = match (uri.scheme().map(Scheme::as_str), protocol.transport()) {
            (Some("http"), _) => false,
            (Some("https"), _) => true,
            (None, Transport::Grpc) => config.tls,
            (None, Transport::Http) => return Err(invalid("expected http://host:port or https://host:port")),
            (Some(_), Transport::Http) => return Err(invalid("expected the scheme http or https")),
            (Some(_), Transport::Grpc) => return Err(invalid("expected host:port")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("it names no host"))?;
        let port = match (authority.port_u16(), protocol.transport()) {
            (Some(port), _) => port,
            (None, Transport::Http) => {
                if encrypted {
                    443
                } else {
                    80
                }
            }
            (None, Transport::Grpc) => return Err(invalid("it names no port")),
        };
        if authority.as_str().contains('@') {
            return Err(invalid("it must not carry credentials"));
        }
        let path = format!("{}{}", uri.path().trim_end_matches('/'), export_path(protocol));
        let path = if protocol == Protocol::JaegerThriftHttp { path + "?format=jaeger.thrift" } else { path };
        let request_uri =
            build_uri(protocol.transport(), encrypted, authority, &path).map_err(|error| invalid(&error))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if encrypted {
            let file = config.ca_file.as_deref();
            let config = match (trust, file) {
                (Some(trust), _) => trust.client(protocol.transport())?,
                (None, Some(file)) => Trust::load(file)?.client(protocol.transport())?,
                (None, None) => return Err(SendError::NoAuthority { url: url.to_owned() }),
            };
            let name = ServerName::try_from(host.clone()).map_err(|error| invalid(&error.to_string()))?;
            Some(Tls { config, name })
        } else {
            None
        };
        Ok(Self { host, port, tls, uri: request_uri, authority: authority.to_string() })
    }
}

fn build_uri(
    transport: Transport,
    encrypted: bool,
    authority: &Authority,
    path: &str,
) -> Result<Uri, String> {
    let path: PathAndQuery = path.parse().map_err(|error| format!("{error}"))?;
    match transport {
        Transport::Http => Ok(path.into()),
        Transport::Grpc => Uri::builder()
            .scheme(if encrypted { Scheme::HTTPS } else { Scheme::HTTP })
            .authority(authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|error| error.to_string()),
    }
}

/// An open connection, of either kind.
enum Connection {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Waits until another request can go out; `false` if none ever can.
    async fn is_usable(&mut self) -> bool {
        match self {
            Self::Http(sender) => sender.ready().await.is_ok(),
            Self::Grpc(sender) => sender.ready().await.is_ok(),
        }
    }
}

/// Why an attempt failed.
struct Failure {
    reason: String,
    retry: Retry,
}

/// What may follow a failure.
#[derive(Clone, Copy)]
enum Retry {
    /// Trying again cannot help.
    Never,
    /// Try again after the usual pause.
    Usual,
    /// Try again after the pause that the receiver asks for.
    After(Duration),
}

impl Failure {
    fn transient(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string(), retry: Retry::Usual }
    }

    fn permanent(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string(), retry: Retry::Never }
    }
}

/// Sends batches over one connection at a time, and keeps count.
pub(crate) struct Exporter {
    config: SendConfig,
    target: Target,
    deadline: Instant,
    connection: Option<Connection>,
    sent: Sent,
    /// Failed attempts, the first ones, with their times.
    troubles: Vec<(SystemTime, String)>,
}

impl Exporter {
    /// `trust` is what the configuration's file holds; it is read here where it is needed and not given.
    pub(crate) fn new(config: SendConfig, trust: Option<&Trust>) -> Result<Self, SendError> {
        let target = Target::new(&config, trust)?;
        if let Some(tenant) = &config.tenant {
            hyper::header::HeaderValue::from_str(tenant).map_err(|_| SendError::Tenant(tenant.clone()))?;
        }
        let sent = Sent {
            protocol: config.protocol,
            url: config.url.clone(),
            accepted: 0,
            failed: 0,
            requests: 0,
            connections: 0,
            trace_ids: Vec::new(),
            errors: Vec::new(),
        };
        Ok(Self { config, target, deadline: Instant::now(), connection: None, sent, troubles: Vec::new() })
    }

    /// Makes the spans that the configuration describes.
    pub(crate) fn generator(&self) -> Generator {
        let resource = self.config.resource.clone().into_iter().collect();
        let made = SystemTime::now().checked_sub(self.config.age).unwrap_or(SystemTime::UNIX_EPOCH);
        Generator::new(&self.config.service_name, resource, self.config.seed, made)
    }

    /// Whatever is exported from now on has this much time, with retries.
    pub(crate) fn within(&mut self, timeout: Duration) {
        self.deadline = Instant::now() + timeout.min(MAX_TIMEOUT);
    }

    /// Lets the next attempt open a connection of its own.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.target.tls.is_some()
    }

    /// The same receiver, spoken to without TLS.
    pub(crate) fn plain(&self) -> Result<Self, SendError> {
        let mut config = self.config.clone();
        config.tls = false;
        config.url = config.url.replacen("https://", "http://", 1);
        let mut plain = Self::new(config, None)?;
        // A URL that names no port means another one without TLS.
        plain.target.port = self.target.port;
        Ok(plain)
    }

    /// What became of everything so far.
    pub(crate) fn sent(&self) -> &Sent {
        &self.sent
    }

    /// The first failed attempts.
    pub(crate) fn troubles(&self) -> &[(SystemTime, String)] {
        &self.troubles
    }

    /// One attempt, not counted: whether the receiver took the spans.
    pub(crate) async fn probe(&mut self, batch: &Batch) -> bool {
        let payload = self.payload(batch);
        let attempt = tokio::time::timeout_at(self.deadline, self.attempt(payload)).await;
        matches!(attempt, Ok(Ok(rejected)) if rejected < batch.spans.len() as u64)
    }

    /// Sends one batch and counts it. `false` when the time is over.
    pub(crate) async fn export(&mut self, batch: &Batch) -> bool {
        let count = batch.spans.len() as u64;
        let payload = self.payload(batch);
        let mut pause = FIRST_PAUSE;
        loop {
            let now = Instant::now();
            let attempt_end = self.deadline.min(now + MAX_ATTEMPT);
            self.sent.requests += 1;
            let outcome = match tokio::time::timeout_at(attempt_end, self.attempt(payload.clone())).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::transient(format_args!(
                    "no answer within {:.1} s",
                    attempt_end.duration_since(now).as_secs_f32()
                ))),
            };
            let failure = match outcome {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    self.sent.accepted += count - rejected;
                    self.sent.failed += rejected;
                    if rejected < count {
                        self.remember_traces(batch);
                    }
                    return true;
                }
                Err(failure) => failure,
            };
            self.remember_error(failure.reason);
            let wait = match failure.retry {
                Retry::Never => {
                    self.sent.failed += count;
                    return true;
                }
                Retry::Usual => pause,
                Retry::After(asked) => asked,
            };
            if Instant::now() + wait >= self.deadline {
                self.sent.failed += count;
                return false;
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// One request. Returns how many spans the receiver refused although it took the request.
    async fn attempt(&mut self, payload: Bytes) -> Result<u64, Failure> {
        // A receiver may have closed the connection since the last answer; that is no failure of this attempt.
        let mut kept = self.connection.take();
        if let Some(connection) = &mut kept
            && !connection.is_usable().await
        {
            kept = None;
        }
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let request = self.request(payload);
        // The connection is put back only after a complete answer: one that failed or was abandoned half-way is
        // dropped, and the next attempt opens another.
        let answered = match &mut connection {
            Connection::Http(sender) => sender.send_request(request).await,
            Connection::Grpc(sender) => sender.send_request(request).await,
        };
        let response = answered.map_err(|error| Failure::transient(describe(&error)))?;
        let (head, body) = response.into_parts();
        let (body, trailers) = collect(body, MAX_ANSWER).await.map_err(Failure::transient)?;
        self.connection = Some(connection);
        let response = Response::from_parts(head, body);
        match self.config.protocol.transport() {
            Transport::Http => self.http_outcome(&response),
            Transport::Grpc => self.grpc_outcome(&response, trailers.as_ref()),
        }
    }

    async fn connect(&mut self) -> Result<Connection, Failure> {
        let Target { host, port, tls, .. } = &self.target;
        let stream = TcpStream::connect((host.as_str(), *port))
            .await
            .map_err(|error| Failure::transient(format_args!("cannot connect to {host}:{port}: {error}")))?;
        let _ = stream.set_nodelay(true);
        self.sent.connections += 1;
        let transport = self.config.protocol.transport();
        let started = match tls {
            None => handshake(transport, stream).await,
            Some(Tls { config, name }) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector
                    .connect(name.clone(), stream)
                    .await
                    .map_err(|error| untrusted(&error, &format!("{host}:{port}")))?;
                // Clients of gRPC do not go on without it, although the specification of HTTP/2 allows that.
                if transport == Transport::Grpc && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    let reason = format_args!("{host}:{port} does not offer HTTP/2 over TLS");
                    return Err(Failure::permanent(reason));
                }
                handshake(transport, stream).await
            }
        };
        started.map_err(|error| Failure::transient(describe(&error)))
    }

    fn payload(&self, batch: &Batch) -> Bytes {
        let message = match self.config.protocol {
            Protocol::JaegerGrpc => jaeger::encode_request(batch),
            Protocol::JaegerThriftHttp => jaeger::encode_thrift(batch),
            Protocol::OtlpGrpc => otlp::encode(batch, otlp::Encoding::Protobuf),
            Protocol::OtlpHttp => otlp::encode(batch, self.config.encoding),
            Protocol::Zipkin => zipkin::encode(batch),
        };
        let message = if self.config.gzip { gzip(&message) } else { message };
        match self.config.protocol.transport() {
            Transport::Http => message.into(),
            Transport::Grpc => grpc::frame(&message, self.config.gzip),
        }
    }

    fn request(&self, payload: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(payload));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.target.uri.clone();
        let media_type = match self.config.protocol {
            Protocol::JaegerGrpc | Protocol::OtlpGrpc => grpc::MEDIA_TYPE,
            Protocol::JaegerThriftHttp => jaeger::THRIFT_MEDIA_TYPES[0],
            Protocol::OtlpHttp => self.config.encoding.media_type(),
            Protocol::Zipkin => zipkin::MEDIA_TYPE,
        };
        let headers = request.headers_mut();
        let mut set = |name: &'static str, value: &str| {
            // All values are fixed, or were checked before the first request.
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        };
        set(CONTENT_TYPE.as_str(), media_type);
        set(USER_AGENT.as_str(), concat!("juju-sim/", env!("CARGO_PKG_VERSION")));
        if let Some(tenant) = &self.config.tenant {
            set(TENANT_HEADER, tenant);
        }
        match self.config.protocol.transport() {
            Transport::Http => {
                set(HOST.as_str(), &self.target.authority);
                set(ACCEPT_ENCODING.as_str(), "identity");
                if self.config.gzip {
                    set(CONTENT_ENCODING.as_str(), "gzip");
                }
            }
            Transport::Grpc => {
                set("te", "trailers");
                if self.config.gzip {
                    set("grpc-encoding", "gzip");
                }
            }
        }
        request
    }

    fn http_outcome(&mut self, response: &Response<Bytes>) -> Result<u64, Failure> {
        let status = response.status();
        if !status.is_success() {
            let text = String::from_utf8_lossy(response.body());
            let text: String = text.trim().chars().take(200).filter(|c| !c.is_control()).collect();
            let reason = if text.is_empty() {
                format!("HTTP status {status}")
            } else {
                format!("HTTP status {status}: {text}")
            };
            let transient = matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            );
            let asked =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let retry = match asked.map(Duration::from_secs) {
                _ if !transient => Retry::Never,
                None => Retry::Usual,
                // Neither without any pause nor, as far as this program is concerned, never.
                Some(asked) => Retry::After(asked.clamp(FIRST_PAUSE, MAX_TIMEOUT)),
            };
            return Err(Failure { reason, retry });
        }
        // JSON answers carry the same, but only collectors far from here ever refuse a part.
        if self.config.protocol == Protocol::OtlpHttp && self.config.encoding == otlp::Encoding::Protobuf {
            return self.refused_part(response.body());
        }
        Ok(0)
    }

    fn grpc_outcome(
        &mut self,
        response: &Response<Bytes>,
        trailers: Option<&hyper::HeaderMap>,
    ) -> Result<u64, Failure> {
        if let Some(status) = grpc::Status::of(response.status(), response.headers(), trailers) {
            let retry = if status.is_transient() { Retry::Usual } else { Retry::Never };
            return Err(Failure { reason: status.to_string(), retry });
        }
        let encoding = response.headers().get("grpc-encoding").and_then(|value| value.to_str().ok());
        let message = grpc::unframe(response.body(), encoding, MAX_ANSWER).map_err(Failure::permanent)?;
        if self.config.protocol == Protocol::OtlpGrpc { self.refused_part(&message) } else { Ok(0) }
    }

    fn refused_part(&mut self, answer: &[u8]) -> Result<u64, Failure> {
        let Some((count, reason)) = otlp::rejected(answer).map_err(Failure::permanent)? else { return Ok(0) };
        self.remember_error(format!("{count} spans refused: {reason}"));
        Ok(count)
    }

    fn remember_error(&mut self, text: String) {
        tracing::debug!(protocol = %self.config.protocol, url = self.config.url, error = text, "export failed");
        if self.troubles.len() < MAX_ERRORS {
            self.troubles.push((SystemTime::now(), text.clone()));
        }
        if self.sent.errors.len() < MAX_ERRORS && !self.sent.errors.contains(&text) {
            self.sent.errors.push(text);
        }
    }

    fn remember_traces(&mut self, batch: &Batch) {
        for span in &batch.spans {
            let id = format!("{:032x}", span.trace_id);
            if self.sent.trace_ids.len() < MAX_TRACE_IDS && self.sent.trace_ids.last() != Some(&id) {
                self.sent.trace_ids.push(id);
            }
        }
    }
}

/// Why TLS could not be agreed on. A certificate that is not trusted will not be trusted a moment later.
fn untrusted(error: &io::Error, whom: &str) -> Failure {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => {
            Failure::permanent(format_args!("the certificate of {whom} is not trusted: {error}"))
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            Failure::transient(format_args!("{whom} does not speak TLS: {error}"))
        }
        _ => Failure::transient(format_args!("no TLS with {whom}: {error}")),
    }
}

/// Starts HTTP on a stream, whatever carries it.
async fn handshake<S>(transport: Transport, stream: S) -> hyper::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    // The connection's own task ends when its sender is dropped; its errors also reach the sender.
    match transport {
        Transport::Http => {
            let (sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            Ok(Connection::Http(sender))
        }
        Transport::Grpc => {
            let (sender, connection) =
                http2::Builder::new(TokioExecutor::new()).timer(TokioTimer::new()).handshake(io).await?;
            tokio::spawn(connection);
            Ok(Connection::Grpc(sender))
        }
    }
}

/// An error with its causes, which hyper keeps out of its own text.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
