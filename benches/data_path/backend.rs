//! Workers: they take what is sent and say that they did.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::load::{NUMBER, Protocol};
use crate::machine;

/// How a worker lets go of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// What is under way is answered first, and the other side is told.
    Graceful,
    /// As a process that is killed: what is under way is lost.
    Abrupt,
}

/// What happened to numbered requests.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// How often each was taken whole.
    taken: Vec<AtomicU8>,
    /// Those that a worker had in hand when it ended abruptly.
    lost: Mutex<BTreeSet<u64>>,
}

impl Ledger {
    /// For requests with numbers below this.
    pub(crate) fn new(requests: usize) -> Self {
        Self { taken: (0..requests).map(|_| AtomicU8::new(0)).collect(), lost: Mutex::default() }
    }

    fn take(&self, number: u64) {
        if let Some(count) = usize::try_from(number).ok().and_then(|number| self.taken.get(number)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a worker had begun with this request, and perhaps finished it, before it ended.
    pub(crate) fn was_in_hand(&self, number: u64) -> bool {
        let taken = usize::try_from(number).ok().and_then(|number| self.taken.get(number));
        taken.is_some_and(|count| count.load(Ordering::Relaxed) > 0)
            || self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains(&number)
    }

    /// How many requests were taken more than once.
    pub(crate) fn duplicates(&self) -> usize {
        self.taken.iter().filter(|count| count.load(Ordering::Relaxed) > 1).count()
    }
}

/// What several workers have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// After how long an idle connection is closed; `None` is never.
    pub(crate) idle: Option<Duration>,
    /// Where numbered requests are noted.
    pub(crate) ledger: Option<Arc<Ledger>>,
}

/// Workers at addresses of their own, with equal ports, in one thread. They end with the value.
pub(crate) struct Workers {
    /// The port for each receiver, by the port that it would have in a pod.
    pub(crate) ports: BTreeMap<u16, u16>,
    /// The file that counts how long their thread ran.
    pub(crate) clock: String,
    restart: mpsc::UnboundedSender<(usize, Ending, Duration)>,
}

/// The address of a worker.
pub(crate) const fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 2, number + 1)
}

impl Workers {
    /// Starts them, on one processor if it is given.
    pub(crate) fn start(count: u8, core: Option<usize>, manner: Manner) -> Result<Self> {
        let (started, starting) = oneshot::channel();
        let (restart, mut restarts) = mpsc::unbounded_channel::<(usize, Ending, Duration)>();
        thread::spawn(move || {
            let ready = || {
                if let Some(core) = core {
                    machine::pin(core)?;
                }
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                Ok::<_, anyhow::Error>((runtime, free_ports(count)?))
            };
            let (runtime, ports) = match ready() {
                Ok(ready) => ready,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return;
                }
            };
            runtime.block_on(async {
                let mut workers: Vec<Worker> = Vec::new();
                for number in 0..count {
                    workers.push(Worker::start(number, &ports, &manner));
                }
                let _ = started.send(Ok((ports.clone(), machine::own_clock())));
                while let Some((number, ending, away)) = restarts.recv().await {
                    let Some(worker) = workers.get_mut(number) else { continue };
                    worker.end(ending).await;
                    tokio::time::sleep(away).await;
                    *worker = Worker::start(u8::try_from(number).unwrap_or(u8::MAX), &ports, &manner);
                }
            });
        });
        let (ports, clock) = starting.blocking_recv().context("the workers' thread ended")??;
        Ok(Self { ports, clock, restart })
    }

    /// Where the first of them listens for a protocol.
    pub(crate) fn first(&self, protocol: Protocol) -> Result<SocketAddr> {
        let port = self.ports.get(&protocol.port()).context("no such receiver")?;
        Ok((address(0), *port).into())
    }

    /// Lets one end and, when it has been away for some time, start again. One after the other.
    pub(crate) fn restart(&self, number: usize, ending: Ending, away: Duration) -> Result<()> {
        self.restart.send((number, ending, away)).ok().context("the workers' thread ended")
    }
}

/// A port for each receiver that is free at all addresses.
fn free_ports(count: u8) -> Result<BTreeMap<u16, u16>> {
    'again: for _ in 0..50 {
        let mut ports = BTreeMap::new();
        for protocol in [Protocol::Http, Protocol::Grpc] {
            let first = std::net::TcpListener::bind((address(0), 0))?;
            let port = first.local_addr()?.port();
            if (1..count).any(|number| std::net::TcpListener::bind((address(number), port)).is_err()) {
                continue 'again;
            }
            ports.insert(protocol.port(), port);
        }
        if ports.values().collect::<BTreeSet<_>>().len() == ports.len() {
            return Ok(ports);
        }
    }
    bail!("no port is free at {count} addresses")
}

/// One worker.
struct Worker {
    end: watch::Sender<Option<Ending>>,
    receivers: JoinSet<()>,
}

impl Worker {
    fn start(number: u8, ports: &BTreeMap<u16, u16>, manner: &Manner) -> Self {
        let (end, ended) = watch::channel(None);
        let mut receivers = JoinSet::new();
        for protocol in [Protocol::Http, Protocol::Grpc] {
            let at = SocketAddr::from((address(number), ports[&protocol.port()]));
            receivers.spawn(receiver(protocol, at, manner.clone(), ended.clone()));
        }
        Self { end, receivers }
    }

    async fn end(&mut self, ending: Ending) {
        self.end.send_replace(Some(ending));
        while self.receivers.join_next().await.is_some() {}
    }
}

async fn receiver(
    protocol: Protocol,
    at: SocketAddr,
    manner: Manner,
    mut ended: watch::Receiver<Option<Ending>>,
) {
    let listener = listen(at).await;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(protocol, stream, manner.clone(), ended.clone()));
                }
            }
            _ = ended.changed() => break,
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    // Somebody may hold a connection open; nobody waits for long.
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(2), all).await;
}

/// The port was free at the start and is this worker's since.
async fn listen(at: SocketAddr) -> TcpListener {
    loop {
        let listener = TcpSocket::new_v4().and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.bind(at)?;
            socket.listen(1024)
        });
        match listener {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// What a connection is at.
#[derive(Default)]
struct Activity {
    in_hand: BTreeSet<u64>,
    requests: usize,
    /// When the last one ended. A connection on which none came yet is not idle.
    last: Option<Instant>,
}

async fn serve(
    protocol: Protocol,
    stream: TcpStream,
    manner: Manner,
    mut ended: watch::Receiver<Option<Ending>>,
) {
    let Ok(port) = stream.set_nodelay(true).and_then(|()| Ok(stream.peer_addr()?.port())) else { return };
    let stream = TokioIo::new(stream);
    let activity = Arc::<Mutex<Activity>>::default();
    let service = service_fn(|request| answer(protocol, request, manner.ledger.clone(), activity.clone()));
    // The two kinds of connections have nothing in common but their methods' names.
    macro_rules! drive {
        ($connection:expr) => {{
            let mut connection = pin!($connection);
            let why = tokio::select! {
                _ = connection.as_mut() => return,
                why = told(&mut ended) => why,
                () = idle(manner.idle, port, &activity) => Ending::Graceful,
            };
            if why == Ending::Graceful {
                connection.as_mut().graceful_shutdown();
                let rest = async { drop(connection.await) };
                let _ = tokio::time::timeout(Duration::from_secs(1), rest).await;
            }
        }};
    }
    match protocol {
        Protocol::Http => drive!(http1::Builder::new().serve_connection(stream, service)),
        Protocol::Grpc => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            drive!(builder.timer(TokioTimer::new()).serve_connection(stream, service));
        }
    }
    if let Some(ledger) = &manner.ledger {
        let mut activity = activity.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.lost.lock().unwrap_or_else(PoisonError::into_inner).append(&mut activity.in_hand);
    }
}

async fn told(ended: &mut watch::Receiver<Option<Ending>>) -> Ending {
    let why = ended.wait_for(Option::is_some).await;
    why.ok().and_then(|why| *why).unwrap_or(Ending::Graceful)
}

/// Ends when the connection has had nothing to do for so long, or for up to eight times as long: not all connections at the
/// same moment.
async fn idle(after: Option<Duration>, port: u16, activity: &Mutex<Activity>) {
    let Some(after) = after else { return std::future::pending().await };
    let after = after * (1 + u32::from(port) % 8);
    loop {
        let since = {
            let activity = activity.lock().unwrap_or_else(PoisonError::into_inner);
            activity.last.filter(|_| activity.requests == 0)
        };
        let until = since.unwrap_or_else(Instant::now) + after;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until.into()).await;
    }
}

async fn answer(
    protocol: Protocol,
    request: Request<Incoming>,
    ledger: Option<Arc<Ledger>>,
    activity: Arc<Mutex<Activity>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let number = request.headers().get(NUMBER).and_then(|number| number.to_str().ok()?.parse().ok());
    {
        let mut activity = activity.lock().unwrap_or_else(PoisonError::into_inner);
        activity.requests += 1;
        activity.in_hand.extend(number);
    }
    let mut body = request.into_body();
    let mut whole = Ok(());
    while let Some(frame) = body.frame().await {
        if let Err(error) = frame {
            whole = Err(error);
            break;
        }
    }
    {
        let mut activity = activity.lock().unwrap_or_else(PoisonError::into_inner);
        activity.requests -= 1;
        activity.last = Some(Instant::now());
        if let Some(number) = number {
            activity.in_hand.remove(&number);
        }
    }
    whole?;
    if let (Some(ledger), Some(number)) = (ledger, number) {
        ledger.take(number);
    }
    Ok(match protocol {
        Protocol::Http => {
            let body = Full::new(Bytes::from_static(b"{}")).boxed();
            with_type(Response::new(body), "application/json")
        }
        Protocol::Grpc => with_type(Response::new(grpc_success()), "application/grpc"),
    })
}

fn with_type<B>(mut response: Response<B>, media_type: &'static str) -> Response<B> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// An empty message, and the status in the trailers.
fn grpc_success() -> BoxBody<Bytes, Infallible> {
    let trailers = HeaderMap::from_iter([(
        "grpc-status".parse().unwrap_or(CONTENT_TYPE),
        HeaderValue::from_static("0"),
    )]);
    let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
    let frames = futures_util::stream::iter(frames.map(Ok::<_, Infallible>));
    BodyExt::boxed(StreamBody::new(frames))
}
