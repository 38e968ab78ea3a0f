//! The reading end: asks an HTTP API, such as the one from which Tempo gives traces back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::body::collect;
use super::send::describe;
use super::tls::Trust;
use super::{TlsError, Transport};

/// The most bytes of an answer that are read; one page of metrics may have a few of them.
const MAX_ANSWER: usize = 64 << 20;

/// What to ask, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchConfig {
    /// URLs with the scheme `http` or `https`, asked one after the other.
    pub urls: Vec<String>,
    /// The certificates to trust, PEM. `https` needs it.
    pub ca_file: Option<PathBuf>,
    /// The longest that one answer may take, from connecting to the last byte.
    pub timeout: Duration,
}

/// What became of one question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// What was asked.
    pub url: String,
    /// Status of the answer; 0 if there was none.
    pub status: u16,
    /// Its body as text, with U+FFFD in the place of what is none; empty if there was no answer.
    pub body: String,
    /// Why there was no answer; empty if there was one.
    pub error: String,
}

impl Fetched {
    /// Whether the answer is a good one.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Asks for each URL once, with `GET`. Redirections are answers like others.
///
/// # Errors
/// The certificates to trust cannot be read. Whatever happens on the network is in the answer.
pub async fn fetch(config: &FetchConfig) -> Result<Vec<Fetched>, TlsError> {
    let trust = config.ca_file.as_deref().map(Trust::load).transpose()?;
    let mut all = Vec::new();
    for url in &config.urls {
        let asked = tokio::time::timeout(config.timeout, ask(url, trust.as_ref()));
        let fetched = match asked.await {
            Ok(Ok((status, body))) => Fetched { url: url.clone(), status, body, error: String::new() },
            Ok(Err(error)) => Fetched { url: url.clone(), error, ..Fetched::default() },
            Err(_) => {
                let error = format!("no answer within {:.1} s", config.timeout.as_secs_f32());
                Fetched { url: url.clone(), error, ..Fetched::default() }
            }
        };
        all.push(fetched);
    }
    Ok(all)
}

async fn ask(url: &str, trust: Option<&Trust>) -> Result<(u16, String), String> {
    let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
    let encrypted = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(format!("{url:?}: expected http:// or https://")),
    };
    let authority = uri.authority().ok_or_else(|| format!("{url:?} names no host"))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json, text/plain, */*")
        .header(USER_AGENT, concat!("juju-sim/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| format!("cannot connect to {host}:{port}: {error}"))?;
    if !encrypted {
        return exchange(stream, request).await;
    }
    let trust = trust.ok_or("https needs certificates to trust")?;
    let config = trust.client(Transport::Http).map_err(|error| error.to_string())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::clone(&config));
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| format!("no TLS with {host}:{port}: {error}"))?;
    exchange(stream, request).await
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<(u16, String), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| describe(&error))?;
    // Its errors also reach the sender, and it ends with it.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| describe(&error))?;
    let status = response.status().as_u16();
    let (body, _) = collect(response.into_body(), MAX_ANSWER).await.map_err(|error| error.to_string())?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
