//! One connection to the API, opened when it is first needed.
//!
//! Requests take turns on it: a second connection would cost another handshake, which is more than an answer takes. A
//! connection that has failed, or on which an answer is late, is not used again.

use std::error::Error as StdError;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::{Access, Failure};

/// Bytes of one answer. No object is larger than 1.5 MiB, and of policies there are a few.
const LONGEST: usize = 16 << 20;

/// What was answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// The way there, and the connection once there is one.
pub(super) struct Connection {
    host: String,
    port: u16,
    /// `None` for plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    authority: HeaderValue,
    token: HeaderValue,
    open: Mutex<Open>,
}

#[derive(Default)]
enum Open {
    #[default]
    NotYet,
    Yes(SendRequest<Full<Bytes>>),
    /// Nobody was there. To try that again for every request would take the time of the hook.
    Never(Failure),
}

impl Connection {
    /// Reads the access. Nothing is connected yet.
    pub(super) fn new(access: &Access) -> Result<Self, String> {
        let odd = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        let url: Uri = access.url.parse().map_err(|error| odd("the URL", &error))?;
        let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err("the URL: it names no host".into());
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match scheme {
            "https" => {
                let name = ServerName::try_from(host.clone()).map_err(|error| odd("the URL", &error))?;
                Some((tls(&access.ca)?, name))
            }
            _ => None,
        };
        let mut token = HeaderValue::try_from(format!("Bearer {}", access.token.expose()))
            .map_err(|_| "the token has characters that no token has".to_owned())?;
        token.set_sensitive(true);
        Ok(Self {
            port: authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 }),
            authority: HeaderValue::try_from(authority.as_str()).map_err(|error| odd("the URL", &error))?,
            host,
            tls,
            token,
            open: Mutex::default(),
        })
    }

    /// Sends a request and receives its answer, connecting before if need be, in this time from its turn on.
    pub(super) async fn send(&self, request: Request<Vec<u8>>, time: Duration) -> Result<Answer, Failure> {
        let mut open = self.open.lock().await;
        let end = Instant::now() + time;
        let mut sender = match std::mem::take(&mut *open) {
            Open::Yes(sender) if !sender.is_closed() => sender,
            Open::Never(failure) => {
                *open = Open::Never(failure.clone());
                return Err(failure);
            }
            _ => match within(end, self.connect()).await {
                Ok(sender) => sender,
                Err(failure) => {
                    *open = Open::Never(failure.clone());
                    return Err(failure);
                }
            },
        };
        let answer = within(end, exchange(&mut sender, self.complete(request))).await?;
        *open = Open::Yes(sender);
        Ok(answer)
    }

    fn complete(&self, request: Request<Vec<u8>>) -> Request<Full<Bytes>> {
        let mut request = request.map(|body| Full::new(Bytes::from(body)));
        let headers = request.headers_mut();
        headers.insert(HOST, self.authority.clone());
        headers.insert(AUTHORIZATION, self.token.clone());
        request
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Box<dyn StdError + Send + Sync>> {
        let address = match self.host.parse::<IpAddr>() {
            Ok(address) => TcpStream::connect((address, self.port)).await?,
            Err(_) => TcpStream::connect((self.host.as_str(), self.port)).await?,
        };
        address.set_nodelay(true)?;
        // What drives a connection ends with it, or with the hook.
        Ok(match &self.tls {
            None => {
                let (sender, driver) = handshake(TokioIo::new(address)).await?;
                tokio::spawn(driver);
                sender
            }
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), address).await?;
                let (sender, driver) = handshake(TokioIo::new(stream)).await?;
                tokio::spawn(driver);
                sender
            }
        })
    }
}

/// TLS that trusts one authority, or those of one text.
///
/// # Errors
/// If there is no certificate in it.
pub(crate) fn tls(ca: &str) -> Result<TlsConnector, String> {
    let odd = |error: &dyn std::fmt::Display| format!("ca.crt: {error}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.map_err(|error| odd(&error))?).map_err(|error| odd(&error))?;
    }
    if roots.is_empty() {
        return Err(odd(&"there is no certificate in it"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn StdError + Send + Sync>> {
    sender.ready().await?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, LONGEST).collect().await?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), body })
}

/// What fails is a connection that fails, and what takes too long is late.
async fn within<T>(
    end: Instant,
    work: impl Future<Output = Result<T, Box<dyn StdError + Send + Sync>>>,
) -> Result<T, Failure> {
    match timeout_at(end, Box::pin(work)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            // The reason is at the end of the chain; what is before it only says that there was a request.
            let mut cause: &dyn StdError = &*error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            Err(Failure::Unreachable(cause.to_string()))
        }
        Err(_) => Err(Failure::Late),
    }
}
