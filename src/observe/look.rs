//! What shows only in the running cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{join, join_all, select_ok};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use juju_ops::{Hook, StateError, ToolError};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::deployment::Deployment;
use crate::deployment::address::Host;
use crate::kubernetes::tls;
use crate::snapshot::Look;
use crate::tempo::{HTTP_PORT, Protocol, Role, receiver_port};

/// Under which key the unit keeps it.
pub const KEY: &str = "look";

/// How long a look may take: whoever does not answer within it does not answer.
const TIME: Duration = Duration::from_secs(1);

/// Bytes of an answer that are read at most.
const LONGEST: usize = 64 << 10;

/// What this unit has kept; nothing if somebody else has put there what makes no sense.
pub(super) async fn remembered(hook: &Hook) -> Result<Look, ToolError> {
    match hook.state().get(KEY).await {
        Ok(look) => Ok(look.unwrap_or_default()),
        Err(StateError::Tool(error)) => Err(error),
        Err(error) => {
            tracing::debug!("{error}");
            Ok(Look::default())
        }
    }
}

/// Looks: whether workers take connections for what is on, and which version they have. Nobody is sent anything but a
/// question for the version.
pub async fn look(d: &Deployment) -> Look {
    let hosts = d.hosts(Role::Distributor);
    let receivers = d.active_protocols().into_iter().map(async |protocol| {
        let port = receiver_port(protocol);
        let any = hosts.iter().map(|host| Box::pin(connect(host, port)));
        let up = !hosts.is_empty() && matches!(timeout(TIME, select_ok(any)).await, Ok(Ok(_)));
        (protocol, up)
    });
    let (version, receivers) = join(timeout(TIME, version(d)), join_all(receivers)).await;
    let tempo_version = version.ok().flatten().or_else(|| d.look.tempo_version.clone());
    Look { tempo_version, receivers: receivers.into_iter().collect::<BTreeMap<Protocol, bool>>() }
}

async fn connect(host: &Host, port: u16) -> std::io::Result<TcpStream> {
    match host {
        Host::Ip(ip) => TcpStream::connect((*ip, port)).await,
        Host::Name(name) => TcpStream::connect((name.as_str(), port)).await,
    }
}

/// What Tempo's API says of its version, asked through this unit's nginx, whose certificate can be verified.
async fn version(d: &Deployment) -> Option<String> {
    #[derive(Deserialize)]
    struct BuildInfo {
        version: String,
    }
    let stream = connect(&d.unit_host, HTTP_PORT).await.ok()?;
    let mut sender = if let Some(certified) = d.tls.in_use() {
        let name = rustls_pki_types::ServerName::try_from(d.unit_host.to_string()).ok()?;
        let tls = tls(&certified.ca).ok()?.connect(name, stream).await.ok()?;
        let (sender, driver) = handshake(TokioIo::new(tls)).await.ok()?;
        tokio::spawn(driver);
        sender
    } else {
        let (sender, driver) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(driver);
        sender
    };
    let request = http::Request::get("/api/status/buildinfo").header("host", d.unit_host.to_string());
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).ok()?).await.ok()?;
    let body = Limited::new(answer.into_body(), LONGEST).collect().await.ok()?.to_bytes();
    let info: BuildInfo = serde_json::from_slice(&body).ok()?;
    plausible(&info.version)
}

/// A version as Juju shows it; `None` for what is none.
fn plausible(version: &str) -> Option<String> {
    let version = version.trim();
    let is_plain = version.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+_~".contains(&b));
    (is_plain && (1..=64).contains(&version.len())).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::fixtures::complete;

    #[test]
    fn a_version_is_a_word() {
        assert_eq!(plausible(" 2.6.1 "), Some("2.6.1".to_owned()));
        assert_eq!(plausible("main-1a2b3c4"), Some("main-1a2b3c4".to_owned()));
        for odd in ["", "2.6\n--fake", "a b", &"9".repeat(65)] {
            assert_eq!(plausible(odd), None, "{odd:?}");
        }
    }

    /// Ports of Tempo on an address of the loopback network that nobody else uses.
    fn cluster(address: [u8; 4]) -> Deployment {
        let mut d = complete().deployment();
        d.unit_host = Host::Ip(address.into());
        for app in &mut d.workers {
            app.units.truncate(1);
            app.units[0].host = Host::Ip(address.into());
        }
        d
    }

    #[tokio::test]
    async fn who_takes_connections_is_up_and_a_version_is_asked_for() {
        let address = [127, 93, 17, 1];
        let d = cluster(address);
        let receiver = TcpListener::bind((std::net::Ipv4Addr::from(address), 4318)).await.unwrap();
        let api = TcpListener::bind((std::net::Ipv4Addr::from(address), HTTP_PORT)).await.unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = api.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /api/status/buildinfo HTTP/1.1\r\n"));
            let body = r#"{"version": "2.6.1", "revision": "x"}"#;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let seen = look(&d).await;
        assert_eq!(seen.tempo_version.as_deref(), Some("2.6.1"));
        assert_eq!(seen.receivers, BTreeMap::from([(Protocol::OtlpHttp, true)]));
        drop(receiver);
    }

    #[tokio::test]
    async fn where_nobody_listens_receivers_are_down_and_the_version_stays() {
        let mut d = cluster([127, 93, 17, 2]);
        d.look.tempo_version = Some("2.5.0".into());
        let seen = look(&d).await;
        assert_eq!(seen.tempo_version.as_deref(), Some("2.5.0"));
        assert_eq!(seen.receivers, BTreeMap::from([(Protocol::OtlpHttp, false)]));
    }
}
