//! Sending, within its time.

use std::{error::Error as StdError, fmt, net::IpAddr, sync::Arc};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs::default_provider};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    Destination, TIME,
    spool::{Spool, forget},
};

/// The authorities that the system trusts.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Bytes of an answer, which nobody reads.
const ANSWER: usize = 64 << 10;

type Trouble = Box<dyn StdError + Send + Sync>;

/// What became of the traces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) sent: usize,
    pub(super) refused: usize,
    /// Why not all of them could be sent; the rest is kept.
    pub(super) kept: Option<String>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent, {} refused", self.sent, self.refused)?;
        self.kept.iter().try_for_each(|why| write!(f, ", the rest is kept: {why}"))
    }
}

/// Sends what is kept, oldest first, and then a new trace, which is kept if its turn does not come.
pub(super) async fn export(destination: &Destination, spool: &Spool, new: Vec<u8>) -> Done {
    let mut done = Done::default();
    let mut new = Some(new);
    // Boxed, since a connection with TLS is large, and this is a part of every hook.
    let sending = Box::pin(send_all(destination, spool, &mut new, &mut done));
    let failure = match timeout_at(Instant::now() + TIME, sending).await {
        Ok(Ok(())) => None,
        Ok(Err(trouble)) => Some(innermost(&*trouble)),
        Err(_) => Some(format!("it takes more than {TIME:?}")),
    };
    done.kept = failure;
    if let Some(new) = new {
        spool.keep(&new);
    }
    done
}

/// Sends one after the other, until something is in the way that may not be there in the next hook.
async fn send_all(
    destination: &Destination,
    spool: &Spool,
    new: &mut Option<Vec<u8>>,
    done: &mut Done,
) -> Result<(), Trouble> {
    let mut receiver = Receiver::of(destination)?;
    for path in spool.files() {
        let Some(trace) = Spool::read(&path) else { continue };
        done.count(receiver.send(trace).await?)?;
        forget(&path);
    }
    if let Some(trace) = new {
        done.count(receiver.send(trace.clone()).await?)?;
        *new = None;
    }
    Ok(())
}

impl Done {
    fn count(&mut self, status: StatusCode) -> Result<(), Trouble> {
        match status {
            _ if status.is_success() => self.sent += 1,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => return Err(later(status)),
            _ if status.is_server_error() => return Err(later(status)),
            // It will not like it better next time.
            _ => self.refused += 1,
        }
        Ok(())
    }
}

fn later(status: StatusCode) -> Trouble {
    format!("the receiver answers {status}").into()
}

/// The way there, and the connection once there is one.
struct Receiver {
    host: String,
    port: u16,
    /// As in requests.
    authority: String,
    target: String,
    /// `None` for plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Receiver {
    fn of(destination: &Destination) -> Result<Self, Trouble> {
        let url: Uri = destination.url.parse()?;
        let authority = url.authority().ok_or("the URL names no host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match url.scheme_str() {
            Some("http") => None,
            Some("https") => {
                Some((connector(destination.ca.as_deref())?, ServerName::try_from(host.clone())?))
            }
            _ => return Err("the URL is neither http nor https".into()),
        };
        Ok(Self {
            port: authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 }),
            host,
            authority: authority.to_string(),
            target: url.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            tls,
            open: None,
        })
    }

    async fn send(&mut self, trace: Vec<u8>) -> Result<StatusCode, Trouble> {
        let mut sender = match self.open.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let request = Request::post(&self.target)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(USER_AGENT, concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(trace)))?;
        sender.ready().await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        // Read to its end, so that the connection can be used again; the status is all that counts.
        if Limited::new(body, ANSWER).collect().await.is_ok() {
            self.open = Some(sender);
        }
        Ok(head.status)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Trouble> {
        let stream = match self.host.parse::<IpAddr>() {
            Ok(address) => TcpStream::connect((address, self.port)).await?,
            Err(_) => TcpStream::connect((self.host.as_str(), self.port)).await?,
        };
        stream.set_nodelay(true)?;
        // What drives a connection ends with it, or with the process.
        Ok(match &self.tls {
            None => {
                let (sender, driver) = handshake(TokioIo::new(stream)).await?;
                tokio::spawn(driver);
                sender
            }
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await?;
                let (sender, driver) = handshake(TokioIo::new(stream)).await?;
                tokio::spawn(driver);
                sender
            }
        })
    }
}

/// TLS that trusts these authorities, or those of the system.
fn connector(ca: Option<&str>) -> Result<TlsConnector, Trouble> {
    let system = || std::fs::read_to_string(SYSTEM_CA).map_err(|error| format!("{SYSTEM_CA}: {error}"));
    let pem = ca.map_or_else(system, |ca| Ok(ca.to_owned()))?;
    let mut roots = RootCertStore::empty();
    // One that cannot be read is trusted by nobody, and no reason not to trust the others.
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The reason is at the end of the chain; what is before it only says that there was a request.
fn innermost(trouble: &(dyn StdError + 'static)) -> String {
    let mut cause = trouble;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
