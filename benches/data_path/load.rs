//! Requirers: connections that stay open, each with one request after the other.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HOST, TE};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::machine;

/// How spans arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
pub(crate) enum Protocol {
    /// OTLP over HTTP/1.1.
    #[serde(rename = "otlp_http")]
    Http,
    /// OTLP over gRPC, which is HTTP/2.
    #[serde(rename = "otlp_grpc")]
    Grpc,
}

impl Protocol {
    /// The port of the receiver.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Http => 4318,
            Self::Grpc => 4317,
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Http => "/v1/traces",
            Self::Grpc => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Http => "application/x-protobuf",
            Self::Grpc => "application/grpc",
        }
    }

    /// A body of this size. What is in it matters to nobody on the way.
    pub(crate) fn body(self, size: usize) -> Bytes {
        let message = vec![0x5a; size];
        match self {
            Self::Http => message.into(),
            // Not compressed, and how long.
            Self::Grpc => {
                let length = u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes();
                [&[0], &length[..], &message].concat().into()
            }
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "OTLP/HTTP",
            Self::Grpc => "OTLP/gRPC",
        })
    }
}

/// The header that numbers requests where it matters which of them arrived.
pub(crate) const NUMBER: &str = "x-request-number";

/// One connection.
pub(crate) enum Connection {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// Whether it is a success: of gRPC in the trailers too.
    pub(crate) ok: bool,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(protocol: Protocol, address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        // How a connection ends shows in the requests on it.
        Ok(match protocol {
            Protocol::Http => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(async { drop(connection.await) });
                Self::Http(sender)
            }
            Protocol::Grpc => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(async { drop(connection.await) });
                Self::Grpc(sender)
            }
        })
    }

    /// Whether another request can be sent on it, which waits for what is in the way.
    pub(crate) async fn ready(&mut self) -> bool {
        match self {
            Self::Http(sender) => sender.ready().await.is_ok(),
            Self::Grpc(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Sends one request and waits for the whole answer.
    pub(crate) async fn send(
        &mut self,
        address: SocketAddr,
        body: Bytes,
        number: Option<u64>,
    ) -> Result<Answer, hyper::Error> {
        let protocol = if matches!(self, Self::Http(_)) { Protocol::Http } else { Protocol::Grpc };
        let mut request = Request::post(match self {
            Self::Http(_) => protocol.path().to_owned(),
            Self::Grpc(_) => format!("http://{address}{}", protocol.path()),
        });
        request = request.header(CONTENT_TYPE, protocol.media_type());
        request = match self {
            Self::Http(_) => request.header(HOST, "tempo:4318"),
            Self::Grpc(_) => request.header(TE, "trailers"),
        };
        if let Some(number) = number {
            request = request.header(NUMBER, number);
        }
        let request = request.body(Full::new(body)).expect("path and headers are well formed");
        let answer = match self {
            Self::Http(sender) => sender.send_request(request).await?,
            Self::Grpc(sender) => sender.send_request(request).await?,
        };
        let status = answer.status();
        let in_headers = answer.headers().get("grpc-status").cloned();
        let body = answer.into_body().collect().await?;
        let ok = match protocol {
            Protocol::Http => status.is_success(),
            Protocol::Grpc => {
                let code = body.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned();
                status.is_success() && code.or(in_headers).is_some_and(|code| code == "0")
            }
        };
        Ok(Answer { status, ok })
    }
}

/// Whether a request on a connection of its own succeeds.
pub(crate) async fn try_once(protocol: Protocol, address: SocketAddr) -> Result<bool> {
    let mut connection = Connection::open(protocol, address).await?;
    Ok(connection.send(address, protocol.body(1), None).await?.ok)
}

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) protocol: Protocol,
    pub(crate) size: usize,
    /// Requests that are under way at any moment.
    pub(crate) at_once: usize,
    /// How many of them share a connection, where the protocol can.
    pub(crate) streams: usize,
    /// For how long requests are sent before they count.
    pub(crate) before: Duration,
    /// For how long requests count.
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// How long each request took, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// Requests that did not succeed.
    pub(crate) failed: usize,
    /// For how long requests were counted.
    pub(crate) time: Duration,
    /// What the processor did meanwhile, by the clocks that were given.
    pub(crate) busy: Vec<Duration>,
}

/// Sends from the calling thread. `clocks` are read when counting begins and when it ends; they get the time that this
/// thread ran too.
pub(crate) fn run(load: Load, address: SocketAddr, clocks: impl Fn() -> Vec<Duration>) -> Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let own = machine::own_clock();
    let read = || clocks().into_iter().chain([machine::ran(&own)]).collect::<Vec<_>>();
    runtime.block_on(async {
        let counted = Instant::now() + load.before;
        let end = counted + load.time;
        let mut clients = JoinSet::new();
        let streams = if load.protocol == Protocol::Grpc { load.streams.max(1) } else { 1 };
        for _ in 0..load.at_once.div_ceil(streams) {
            clients.spawn(client(load, streams, address, counted, end));
        }
        tokio::time::sleep_until(counted.into()).await;
        let (from, before) = (Instant::now(), read());
        tokio::time::sleep_until(end.into()).await;
        let (to, after) = (Instant::now(), read());
        let mut measured = Measured { time: to - from, ..Measured::default() };
        while let Some(client) = clients.join_next().await {
            let (mut latencies, failed) = client??;
            measured.latencies.append(&mut latencies);
            measured.failed += failed;
        }
        if measured.latencies.is_empty() {
            bail!("no request of {} bytes over {} succeeded", load.size, load.protocol);
        }
        measured.latencies.sort_unstable();
        measured.busy =
            after.iter().zip(before).map(|(after, before)| after.saturating_sub(before)).collect();
        Ok(measured)
    })
}

/// One connection after the other, with so many requests at once.
async fn client(
    load: Load,
    streams: usize,
    address: SocketAddr,
    counted: Instant,
    end: Instant,
) -> Result<(Vec<Duration>, usize)> {
    let mut latencies = Vec::new();
    let mut failed = 0;
    while Instant::now() < end {
        let connection = Connection::open(load.protocol, address).await.context("connecting")?;
        let mut others = JoinSet::new();
        if let Connection::Grpc(shared) = &connection {
            for _ in 1..streams {
                others.spawn(stream(load, Connection::Grpc(shared.clone()), address, counted, end));
            }
        }
        let mut one = stream(load, connection, address, counted, end).await;
        loop {
            latencies.append(&mut one.0);
            failed += one.1;
            one = match others.join_next().await {
                Some(other) => other?,
                None => break,
            };
        }
    }
    Ok((latencies, failed))
}

/// One request after the other until the connection ends, which nginx brings about in good order after some thousand.
async fn stream(
    load: Load,
    mut connection: Connection,
    address: SocketAddr,
    counted: Instant,
    end: Instant,
) -> (Vec<Duration>, usize) {
    let body = load.protocol.body(load.size);
    let mut latencies = Vec::new();
    let mut failed = 0;
    while connection.ready().await {
        let sent = Instant::now();
        if sent >= end {
            break;
        }
        // A request that came too late for its connection is sent again on another one, by whoever sends it.
        let Ok(answer) = connection.send(address, body.clone(), None).await else { break };
        let received = Instant::now();
        if received >= counted && received <= end {
            if answer.ok {
                latencies.push(received - sent);
            } else {
                failed += 1;
            }
        }
    }
    (latencies, failed)
}
