//! The HTTP server in front of a cluster.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{Authority, Call, Cluster, Fault, On, Recorded, TlsError};

/// The longest request body, as the real server has it.
const BODY_LIMIT: usize = 3 << 20;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running API. It has a thread of its own, so it answers whatever the test does; dropping it ends it.
#[derive(Debug)]
pub struct Api {
    shared: Arc<Mutex<Cluster>>,
    address: SocketAddr,
    /// The authority's certificate, if the API speaks TLS.
    authority: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Api {
    /// Serves a cluster over plain HTTP, on a free port of the loopback.
    pub fn start(cluster: Cluster) -> io::Result<Self> {
        Self::serve(cluster, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None)
    }

    /// Serves a cluster over TLS, on a free port of the loopback, with a certificate that the authority signs.
    pub fn start_tls(cluster: Cluster, authority: &Authority) -> io::Result<Self> {
        Self::start_at(cluster, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), authority)
    }

    /// As [`Self::start_tls`], on a given address.
    pub fn start_at(cluster: Cluster, address: SocketAddr, authority: &Authority) -> io::Result<Self> {
        Self::serve(cluster, address, Some(authority))
    }

    fn serve(cluster: Cluster, address: SocketAddr, authority: Option<&Authority>) -> io::Result<Self> {
        let acceptor = authority.map(|authority| authority.server(address.ip()).map(TlsAcceptor::from));
        let acceptor = acceptor.transpose().map_err(|error: TlsError| io::Error::other(error))?;
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(cluster));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let cluster = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("kubernetes-api".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, acceptor, cluster) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        })?;
        let authority = authority.map(|authority| authority.pem().to_owned());
        Ok(Self { shared, address, authority, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is, without a slash at the end: `http://127.0.0.1:40000`, or `https://` with TLS.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.authority.is_some() { "https" } else { "http" }, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The cluster as it is now.
    pub fn cluster(&self) -> Cluster {
        self.lock().clone()
    }

    /// Changes the cluster, as others do while a charm is at work.
    pub fn change<R>(&self, change: impl FnOnce(&mut Cluster) -> R) -> R {
        change(&mut self.lock())
    }

    /// Requests so far, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.lock().requests().to_vec()
    }

    /// Those of the requests that were to change something: no reads and no dry runs.
    pub fn writes(&self) -> Vec<Recorded> {
        self.lock().requests().iter().filter(|request| request.is_write()).cloned().collect()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.lock().clear_requests();
    }

    /// Adds a fault.
    pub fn fail(&self, on: On, fault: Fault) {
        self.lock().fail(on, fault);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.lock().clear_faults();
    }

    /// Writes what a pod finds in `/var/run/secrets/kubernetes.io/serviceaccount` into a folder, which is made: `token`,
    /// `namespace`, and `ca.crt` if the API speaks TLS. Returns the environment that leads a client to it.
    pub fn service_account(
        &self,
        folder: &Path,
        namespace: &str,
        token: &str,
    ) -> io::Result<BTreeMap<String, String>> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("token"), token)?;
        fs::write(folder.join("namespace"), namespace)?;
        if let Some(pem) = &self.authority {
            fs::write(folder.join("ca.crt"), pem)?;
        }
        Ok(BTreeMap::from([
            ("KUBERNETES_SERVICE_HOST".to_owned(), self.address.ip().to_string()),
            ("KUBERNETES_SERVICE_PORT".to_owned(), self.address.port().to_string()),
        ]))
    }

    fn lock(&self) -> MutexGuard<'_, Cluster> {
        lock(&self.shared)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It ends as soon as it is told, and a panic in it has been reported already.
            let _ = thread.join();
        }
    }
}

fn lock(cluster: &Mutex<Cluster>) -> MutexGuard<'_, Cluster> {
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, cluster: Arc<Mutex<Cluster>>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    // Connections live in this set, so they end with the server.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let (acceptor, cluster) = (acceptor.clone(), Arc::clone(&cluster));
                connections.spawn(async move {
                    match acceptor {
                        None => converse(stream, cluster).await,
                        Some(acceptor) => {
                            if let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await {
                                converse(stream, cluster).await;
                            }
                        }
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed on purpose")]
struct Closed;

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    cluster: Arc<Mutex<Cluster>>,
) {
    let service = service_fn(move |request| answer(request, Arc::clone(&cluster)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away early is its own business.
    let _ = connection.await;
}

async fn answer(
    request: Request<Incoming>,
    cluster: Arc<Mutex<Cluster>>,
) -> Result<Response<Full<Bytes>>, Closed> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let query = request.uri().query().unwrap_or_default();
    let mut call = Call {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        content_type: header(CONTENT_TYPE).to_owned(),
        agent: header(USER_AGENT).to_owned(),
        token: header(AUTHORIZATION).strip_prefix("Bearer ").map(str::to_owned),
        body: Vec::new(),
    };
    let body = timeout(PATIENCE, Limited::new(request.into_body(), BODY_LIMIT).collect()).await;
    call.body = body.map_err(|_| Closed)?.map_err(|_| Closed)?.to_bytes().to_vec();
    let outcome = lock(&cluster).handle(&call);
    tokio::time::sleep(outcome.delay).await;
    let answer = outcome.answer.ok_or(Closed)?;
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = answer.content_type.parse() {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    Ok(response)
}
