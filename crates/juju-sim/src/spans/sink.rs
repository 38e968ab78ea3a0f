//! The receiving end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::body::{BodyError, ResponseBody, collect, gunzip};
use super::counts::Ledger;
use super::grpc::{self, Code, Status};
use super::otlp::Encoding;
use super::tls::Identity;
use super::{
    Batch, Counts, DecodeError, Protocol, SeenTrace, SinkConfig, TlsError, Transport, export_path, jaeger,
    otlp, zipkin,
};

/// The most bytes of an HTTP body, as sent and as expanded: what a collector allows by default.
pub const MAX_HTTP_BODY: usize = 20 << 20;
/// The most bytes of a gRPC message, likewise.
pub const MAX_GRPC_MESSAGE: usize = 4 << 20;
/// The header that names the tenant.
pub(crate) const TENANT_HEADER: &str = "x-scope-orgid";
/// How long a shutdown waits for requests that have begun.
const GRACE: Duration = Duration::from_secs(5);
/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why a sink could not start.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The configuration cannot be read or asks for something that is not supported.
    #[error("invalid Tempo configuration: {0}")]
    Config(String),
    /// A port is taken or may not be used.
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen {
        /// A protocol name, `api` or `grpc_api`.
        what: &'static str,
        /// Where it should listen.
        address: SocketAddr,
        /// Why it cannot.
        source: io::Error,
    },
    /// The control socket cannot be made.
    #[error("cannot make the socket {path}: {source}", path = path.display())]
    Control {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot.
        source: io::Error,
    },
    /// A listener has no usable certificate.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
}

/// Running receivers that count what arrives.
///
/// Dropping a sink ends it at once; [`Sink::shutdown`] lets requests that have begun finish.
#[derive(Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    addresses: Vec<(Door, SocketAddr)>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

/// What all connections of a sink have in common.
#[derive(Debug)]
struct Shared {
    ledger: Ledger,
    /// What the listeners with TLS present.
    identities: Vec<Arc<Identity>>,
    /// Told when somebody at the control socket wants the sink to end.
    end: Notify,
}

impl Shared {
    /// Reads all certificates anew. Either all of them come into use, or none.
    fn reload(&self) -> Result<(), TlsError> {
        let read: Result<Vec<_>, _> = self.identities.iter().map(|identity| identity.read()).collect();
        for (identity, config) in self.identities.iter().zip(read?) {
            identity.replace(config);
        }
        Ok(())
    }
}

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Receiver(Protocol),
    Api,
    GrpcApi,
    Control,
}

impl Door {
    const fn name(self) -> &'static str {
        match self {
            Self::Receiver(protocol) => protocol.name(),
            Self::Api => "api",
            Self::GrpcApi => "grpc_api",
            Self::Control => "control",
        }
    }

    const fn transport(self) -> Transport {
        match self {
            Self::Receiver(protocol) => protocol.transport(),
            Self::Api | Self::Control => Transport::Http,
            Self::GrpcApi => Transport::Grpc,
        }
    }
}

impl Sink {
    /// Opens all listeners and serves them on the current runtime.
    ///
    /// # Errors
    /// [`SinkError::Listen`], [`SinkError::Control`], [`SinkError::Tls`]; then nothing stays open.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn start(mut config: SinkConfig) -> Result<Self, SinkError> {
        let mut doors = Vec::new();
        for (&protocol, &port) in &config.receivers {
            doors.push((Door::Receiver(protocol), port, config.tls.remove(&protocol)));
        }
        doors.extend(config.api_port.map(|port| (Door::Api, port, config.api_tls.take())));
        doors.extend(config.grpc_api_port.map(|port| (Door::GrpcApi, port, config.grpc_api_tls.take())));

        let mut opened = Vec::new();
        let mut identities = Vec::new();
        for (door, port, files) in doors {
            let identity =
                files.map(|files| Identity::load(files, door.transport())).transpose()?.map(Arc::new);
            identities.extend(identity.clone());
            let address = SocketAddr::new(config.bind, port);
            let failed = |source| SinkError::Listen { what: door.name(), address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            opened.push((door, listener.local_addr().map_err(failed)?, listener, identity));
        }
        let control = config.control.map(|path| {
            // A socket that nobody listens at any more would be in the way.
            let _ = fs::remove_file(&path);
            UnixListener::bind(&path).map_err(|source| SinkError::Control { path, source })
        });
        let control = control.transpose()?;

        let mut sink = Self {
            shared: Arc::new(Shared {
                ledger: Ledger::new(config.receivers.keys().copied(), config.multitenancy),
                identities,
                end: Notify::new(),
            }),
            addresses: Vec::new(),
            stop: watch::Sender::new(false),
            listeners: JoinSet::new(),
        };
        for (door, address, listener, identity) in opened {
            sink.addresses.push((door, address));
            let shared = Arc::clone(&sink.shared);
            sink.listeners.spawn(accept(listener, door, identity, shared, sink.stop.subscribe()));
        }
        if let Some(listener) = control {
            let shared = Arc::clone(&sink.shared);
            sink.listeners.spawn(accept_control(listener, shared, sink.stop.subscribe()));
        }
        Ok(sink)
    }

    /// Reads the certificates and keys of all listeners anew. Connections that exist keep what they have; new ones
    /// get the new ones.
    ///
    /// # Errors
    /// A file cannot be used; then all listeners keep what they had.
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        self.shared.reload()
    }

    /// Returns when somebody asks at the control socket for this sink to end. The sink goes on until
    /// [`Sink::shutdown`].
    pub async fn asked_to_end(&self) {
        self.shared.end.notified().await;
    }

    /// Where the receiver of a protocol listens; `None` if it is not configured.
    pub fn address(&self, protocol: Protocol) -> Option<SocketAddr> {
        self.find(Door::Receiver(protocol))
    }

    /// Where the HTTP API listens.
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.find(Door::Api)
    }

    /// Where the gRPC API listens.
    pub fn grpc_api_address(&self) -> Option<SocketAddr> {
        self.find(Door::GrpcApi)
    }

    /// All listeners by name: the protocols, then `api` and `grpc_api`.
    pub fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.addresses.iter().map(|(door, address)| (door.name(), *address))
    }

    /// What arrived so far.
    pub fn counts(&self) -> Counts {
        self.shared.ledger.counts()
    }

    /// The newest traces, oldest first, at most 1024.
    pub fn traces(&self) -> Vec<SeenTrace> {
        self.shared.ledger.traces()
    }

    /// Stops listening, waits at most five seconds for requests that have begun, and returns the final counts.
    pub async fn shutdown(mut self) -> Counts {
        self.stop.send_replace(true);
        let all_ended = async { while self.listeners.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all_ended).await.is_err() {
            self.listeners.shutdown().await;
        }
        self.shared.ledger.counts()
    }

    fn find(&self, wanted: Door) -> Option<SocketAddr> {
        self.addresses.iter().find(|(door, _)| *door == wanted).map(|(_, address)| *address)
    }
}

async fn accept(
    listener: TcpListener,
    door: Door,
    identity: Option<Arc<Identity>>,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Answers are small and complete: waiting to fill a packet would only delay them.
                    let _ = stream.set_nodelay(true);
                    let (shared, stop) = (Arc::clone(&shared), stop.clone());
                    match &identity {
                        None => connections.spawn(serve(stream, door, shared, stop)),
                        Some(identity) => {
                            let acceptor = TlsAcceptor::from(identity.current());
                            connections.spawn(async move {
                                match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                                    Ok(Ok(stream)) => serve(stream, door, shared, stop).await,
                                    Ok(Err(error)) => {
                                        tracing::debug!(what = door.name(), %error, "no TLS");
                                    }
                                    Err(_) => tracing::debug!(what = door.name(), "no TLS in time"),
                                }
                            })
                        }
                    };
                }
                Err(error) => refused(door, &error).await,
            },
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stop) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// [`accept`] for the control socket.
async fn accept_control(listener: UnixListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Door::Control, Arc::clone(&shared), stop.clone()));
                }
                Err(error) => refused(Door::Control, &error).await,
            },
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stop) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Out of file descriptors or a connection that ended early: neither is final.
async fn refused(door: Door, error: &io::Error) {
    tracing::debug!(what = door.name(), %error, "accept failed");
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Returns when the sink is to stop, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The value that this returns would lock the channel for as long as it lives.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Serves one connection, over whatever carries it.
async fn serve<S>(stream: S, door: Door, shared: Arc<Shared>, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(door, request, &shared).await) }
    });
    let io = TokioIo::new(stream);
    // The two kinds of connection share no trait; only this sequence.
    macro_rules! run {
        ($connection:expr) => {{
            let mut connection = pin!($connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stopped(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(what = door.name(), %error, "connection failed");
            }
        }};
    }
    match door.transport() {
        Transport::Http => run!(http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, service)),
        Transport::Grpc => run!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(1 << 20)
                .initial_connection_window_size(4 << 20)
                .serve_connection(io, service)
        ),
    }
}

async fn answer(door: Door, request: Request<Incoming>, shared: &Shared) -> Response<ResponseBody> {
    let ledger = &shared.ledger;
    let protocol = match door {
        Door::Receiver(protocol) => protocol,
        Door::Api => return api(&request, ledger),
        Door::Control => return control(&request, shared),
        Door::GrpcApi => {
            return unknown_method(request.uri().path()).into_response();
        }
    };
    let tenant = header(request.headers(), TENANT_HEADER).unwrap_or_default().to_owned();
    let received = match protocol {
        Protocol::OtlpHttp => receive_otlp(request).await,
        Protocol::Zipkin => receive_zipkin(request).await,
        Protocol::JaegerThriftHttp => receive_thrift(request).await,
        Protocol::OtlpGrpc => receive_grpc(request, protocol, |message| {
            Ok((otlp::decode(message, Encoding::Protobuf)?, otlp::success(Encoding::Protobuf)))
        })
        .await
        .map_err(Status::into_response),
        Protocol::JaegerGrpc => {
            receive_grpc(request, protocol, |message| Ok((jaeger::decode_request(message)?, Vec::new())))
                .await
                .map_err(Status::into_response)
        }
    };
    match received {
        Ok((batches, response)) => {
            ledger.accepted(protocol, &tenant, &batches);
            response
        }
        Err(response) => {
            ledger.refused(protocol);
            response
        }
    }
}

/// What was in a valid request and what to answer; or the answer to an invalid one.
type Received = Result<(Vec<Batch>, Response<ResponseBody>), Response<ResponseBody>>;

async fn receive_otlp(request: Request<Incoming>) -> Received {
    if let Some(answer) = misrouted(&request, Protocol::OtlpHttp) {
        return Err(answer);
    }
    let encoding = match media_type(request.headers()) {
        "application/x-protobuf" => Encoding::Protobuf,
        "application/json" => Encoding::Json,
        _ => {
            let text = "415 unsupported media type, supported: [application/json, application/x-protobuf]";
            return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
    };
    let with = |status, body| respond(status, encoding.media_type(), body);
    let invalid = |reason: &dyn std::fmt::Display| {
        // 3 is "invalid argument" in the status that the specification wants here.
        with(StatusCode::BAD_REQUEST, otlp::error_status(3, &reason.to_string(), encoding))
    };
    let body = http_body(request).await.map_err(|error| invalid(&error))?;
    let batches = otlp::decode(&body, encoding).map_err(|error| invalid(&error))?;
    Ok((batches, with(StatusCode::OK, otlp::success(encoding))))
}

/// Stricter than Tempo's receiver, which takes spans at any path and by any method: a request that a proxy
/// sent to the wrong port should not count.
async fn receive_zipkin(request: Request<Incoming>) -> Received {
    if let Some(answer) = misrouted(&request, Protocol::Zipkin) {
        return Err(answer);
    }
    if media_type(request.headers()) != zipkin::MEDIA_TYPE {
        return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "415 unsupported media type"));
    }
    let body = http_body(request).await.map_err(|error| bad_request(&error))?;
    let batches = zipkin::decode(&body).map_err(|error| bad_request(&error))?;
    Ok((batches, plain(StatusCode::ACCEPTED, "")))
}

async fn receive_thrift(request: Request<Incoming>) -> Received {
    if let Some(answer) = misrouted(&request, Protocol::JaegerThriftHttp) {
        return Err(answer);
    }
    let media_type = media_type(request.headers());
    if !jaeger::THRIFT_MEDIA_TYPES.contains(&media_type) {
        return Err(bad_request(&format_args!("Unsupported content type: {media_type}")));
    }
    let body = http_body(request).await.map_err(|error| bad_request(&error))?;
    let batch = jaeger::decode_thrift(&body).map_err(|error| bad_request(&error))?;
    Ok((vec![batch], plain(StatusCode::ACCEPTED, "")))
}

/// The answer to a request whose path or method is not the one of the protocol.
fn misrouted(request: &Request<Incoming>, protocol: Protocol) -> Option<Response<ResponseBody>> {
    if request.uri().path() != export_path(protocol) {
        return Some(plain(StatusCode::NOT_FOUND, "404 page not found"));
    }
    (request.method() != Method::POST).then(|| {
        let text = "405 method not allowed, supported: [POST]";
        plain(StatusCode::METHOD_NOT_ALLOWED, text)
    })
}

async fn http_body(request: Request<Incoming>) -> Result<Bytes, BodyError> {
    let coding =
        header(request.headers(), CONTENT_ENCODING.as_str()).unwrap_or_default().to_ascii_lowercase();
    let (body, _) = collect(request.into_body(), MAX_HTTP_BODY).await?;
    match coding.as_str() {
        "" | "identity" => Ok(body),
        "gzip" => gunzip(&body, MAX_HTTP_BODY).map(Bytes::from),
        _ => Err(BodyError::Broken(format!("unsupported Content-Encoding: {coding}"))),
    }
}

async fn receive_grpc(
    request: Request<Incoming>,
    protocol: Protocol,
    decode: impl FnOnce(&[u8]) -> Result<(Vec<Batch>, Vec<u8>), DecodeError>,
) -> Result<(Vec<Batch>, Response<ResponseBody>), Status> {
    if request.uri().path() != export_path(protocol) {
        return Err(unknown_method(request.uri().path()));
    }
    let media_type = media_type(request.headers());
    if request.method() != Method::POST || !media_type.starts_with(grpc::MEDIA_TYPE) {
        return Err(Status::new(Code::Internal, format_args!("not a gRPC request: {media_type:?}")));
    }
    let encoding = header(request.headers(), "grpc-encoding").map(str::to_owned);
    let (body, _) = collect(request.into_body(), MAX_GRPC_MESSAGE + grpc::FRAME_HEADER).await.map_err(
        |error| match error {
            BodyError::TooLarge(_) => Status::new(Code::ResourceExhausted, error),
            other => Status::new(Code::Unknown, other),
        },
    )?;
    let message = grpc::unframe(&body, encoding.as_deref(), MAX_GRPC_MESSAGE)?;
    let (batches, response) = decode(&message).map_err(|error| Status::new(Code::InvalidArgument, error))?;
    Ok((batches, grpc::success(&response)))
}

fn unknown_method(path: &str) -> Status {
    Status::new(Code::Unimplemented, format_args!("unknown method {path}"))
}

fn control(request: &Request<Incoming>, shared: &Shared) -> Response<ResponseBody> {
    if request.method() != Method::POST {
        return api(request, &shared.ledger);
    }
    match request.uri().path() {
        "/reload" => match shared.reload() {
            Ok(()) => plain(StatusCode::OK, "reloaded"),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        "/end" => {
            shared.end.notify_one();
            plain(StatusCode::ACCEPTED, "ending")
        }
        _ => plain(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

fn api(request: &Request<Incoming>, ledger: &Ledger) -> Response<ResponseBody> {
    if request.method() != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed");
    }
    let json = |value: Result<Vec<u8>, serde_json::Error>| {
        respond(StatusCode::OK, "application/json", value.unwrap_or_default())
    };
    match request.uri().path() {
        "/ready" => plain(StatusCode::OK, "ready"),
        "/api/echo" => plain(StatusCode::OK, "echo"),
        "/counts" => json(serde_json::to_vec(&ledger.counts())),
        "/traces" => json(serde_json::to_vec(&ledger.traces())),
        "/metrics" => {
            respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", ledger.metrics().into())
        }
        _ => plain(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The media type without its parameters.
fn media_type(headers: &HeaderMap) -> &str {
    let value = header(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn bad_request(reason: &dyn std::fmt::Display) -> Response<ResponseBody> {
    plain(StatusCode::BAD_REQUEST, &reason.to_string())
}

fn plain(status: StatusCode, text: &str) -> Response<ResponseBody> {
    respond(status, "text/plain; charset=utf-8", text.as_bytes().to_vec())
}

fn respond(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Response<ResponseBody> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, media_type)
        .body(Full::new(Bytes::from(body)).boxed())
        .unwrap_or_default()
}
