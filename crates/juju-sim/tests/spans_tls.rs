//! Span traffic over TLS: who is trusted, what happens to plain text, and certificates that change under traffic.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use juju_sim::spans::{
    FetchConfig, Fetched, PROBE_SERVICE, Protocol, SendConfig, SendError, Sink, SinkConfig, SinkError,
    Steady, SteadyConfig, TlsFiles, Transport, fetch, send, steady,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// An authority and the files of a server for `localhost`.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.crt"), certificate.pem()).unwrap();
        let authority = Self { folder, issuer: Issuer::new(params, key) };
        authority.sign("localhost", &authority.files());
        authority
    }

    /// A new key and a certificate of this authority for a name.
    fn sign(&self, name: &str, files: &TlsFiles) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(&files.cert_file, certificate.pem()).unwrap();
        fs::write(&files.key_file, key.serialize_pem()).unwrap();
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    fn files(&self) -> TlsFiles {
        let file = |name: &str| self.folder.path().join(name);
        TlsFiles { cert_file: file("server.cert"), key_file: file("private.key") }
    }

    /// What a sink with these files and every receiver is started with.
    fn config(&self) -> SinkConfig {
        SinkConfig {
            bind: Ipv4Addr::LOCALHOST.into(),
            receivers: Protocol::ALL.map(|protocol| (protocol, 0)).into(),
            tls: Protocol::ALL.map(|protocol| (protocol, self.files())).into(),
            ..SinkConfig::default()
        }
    }
}

/// The URL of a receiver with TLS in the form that the `tracing` relation gives it.
fn published(sink: &Sink, protocol: Protocol) -> String {
    let port = sink.address(protocol).unwrap().port();
    match protocol.transport() {
        Transport::Http => format!("https://localhost:{port}"),
        Transport::Grpc => format!("localhost:{port}"),
    }
}

fn to(sink: &Sink, protocol: Protocol, ca_file: &Path) -> SendConfig {
    SendConfig {
        tls: true,
        ca_file: Some(ca_file.to_owned()),
        timeout: Duration::from_secs(5),
        ..SendConfig::new(protocol, published(sink, protocol))
    }
}

#[tokio::test]
async fn every_protocol_crosses_tls() {
    let authority = Authority::new();
    let sink = Sink::start(authority.config()).await.unwrap();
    for protocol in Protocol::ALL {
        let config = SendConfig { spans: 23, batch: 10, ..to(&sink, protocol, &authority.ca_file()) };
        let sent = send(config).await.unwrap();
        assert_eq!((sent.accepted, sent.failed, sent.connections), (23, 0, 1), "{sent:?}");
    }
    assert!(sink.shutdown().await.values().all(|counts| counts.spans == 23 && counts.invalid == 0));
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_costs_the_spans_and_is_named() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let sink = Sink::start(authority.config()).await.unwrap();
    for protocol in Protocol::ALL {
        let sent = send(to(&sink, protocol, &stranger.ca_file())).await.unwrap();
        assert_eq!((sent.accepted, sent.failed), (0, 10), "{sent:?}");
        assert!(sent.errors[0].contains("not trusted") && sent.errors[0].contains("localhost"), "{sent:?}");
    }
    // Signed by the right authority, for somebody else.
    authority.sign("elsewhere.example", &authority.files());
    sink.reload_certificates().unwrap();
    for protocol in Protocol::ALL {
        let sent = send(to(&sink, protocol, &authority.ca_file())).await.unwrap();
        assert_eq!((sent.accepted, sent.failed), (0, 10), "{sent:?}");
        assert!(sent.errors[0].contains("not trusted"), "{sent:?}");
    }
    assert!(sink.shutdown().await.values().all(|counts| counts.requests == 0));
}

#[tokio::test]
async fn tls_is_not_begun_with_nothing_to_trust() {
    let config = SendConfig::new(Protocol::OtlpHttp, "https://localhost:1");
    assert!(matches!(send(config).await, Err(SendError::NoAuthority { .. })));
    let config = SendConfig { tls: true, ..SendConfig::new(Protocol::OtlpGrpc, "localhost:1") };
    assert!(matches!(send(config).await, Err(SendError::NoAuthority { .. })));
    let empty = tempfile::NamedTempFile::new().unwrap();
    for file in [Path::new("/nowhere"), empty.path()] {
        let config = SendConfig {
            ca_file: Some(file.to_owned()),
            ..SendConfig::new(Protocol::Zipkin, "https://localhost:1")
        };
        let error = send(config).await.unwrap_err();
        assert!(matches!(&error, SendError::Authority(error) if error.path == file), "{error}");
    }
}

#[tokio::test]
async fn a_sink_does_not_start_with_a_key_that_is_not_the_certificates() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    fs::copy(stranger.files().key_file, authority.files().key_file).unwrap();
    let error = Sink::start(authority.config()).await.unwrap_err();
    assert!(matches!(&error, SinkError::Tls(error) if error.path == authority.files().key_file), "{error}");
}

#[tokio::test]
async fn plain_text_is_refused_where_tls_is_spoken() {
    let authority = Authority::new();
    let sink = Sink::start(authority.config()).await.unwrap();
    for protocol in Protocol::ALL {
        let url = published(&sink, protocol).replace("https:", "http:");
        let sent =
            send(SendConfig { timeout: Duration::from_millis(300), ..SendConfig::new(protocol, url) }).await;
        assert_eq!(sent.unwrap().accepted, 0, "{protocol}");
    }
    assert!(sink.shutdown().await.values().all(|counts| counts.requests == 0));
}

/// All receivers at once, until `change` has done what it does.
async fn under_traffic<T>(config: SteadyConfig, change: impl Future<Output = T>) -> (Steady, T) {
    let (done, stop) = tokio::sync::oneshot::channel::<()>();
    let sending = tokio::spawn(steady(config, async { drop(stop.await) }));
    let changed = change.await;
    drop(done);
    (sending.await.unwrap().unwrap(), changed)
}

fn steadily(sink: &Sink, authority: &Authority) -> SteadyConfig {
    let receivers = Protocol::ALL.map(|protocol| (protocol, published(sink, protocol)));
    SteadyConfig {
        rate: 100,
        tls: true,
        ca_file: Some(authority.ca_file()),
        probe_plain: true,
        ..SteadyConfig::new(receivers.into())
    }
}

/// Waits until every receiver has taken so many more spans.
async fn more(sink: &Sink, spans: u64) {
    let before = sink.counts();
    while !sink.counts().iter().all(|(protocol, counts)| counts.spans >= before[protocol].spans + spans) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn another_certificate_costs_neither_a_span_nor_a_connection() {
    let authority = Authority::new();
    let sink = Sink::start(authority.config()).await.unwrap();
    let config = SteadyConfig { requests_per_connection: u32::MAX, ..steadily(&sink, &authority) };
    let another = Authority::new();
    let (sent, ()) = under_traffic(config, async {
        more(&sink, 3).await;
        // One that cannot be used changes nothing.
        fs::write(authority.files().cert_file, "nothing").unwrap();
        assert_eq!(sink.reload_certificates().unwrap_err().path, authority.files().cert_file);
        another.sign("localhost", &authority.files());
        sink.reload_certificates().unwrap();
        for protocol in Protocol::ALL {
            let sent = Box::pin(send(to(&sink, protocol, &another.ca_file()))).await.unwrap();
            assert_eq!(sent.accepted, 10, "{sent:?}");
        }
        more(&sink, 3).await;
    })
    .await;
    assert!(sent.is_clean(), "{sent:?}");
    for (protocol, counts) in &sent.protocols {
        assert_eq!((counts.connections, counts.troubles.len()), (1, 0), "{protocol}: {counts:?}");
        assert_eq!(sink.counts()[protocol].spans, counts.accepted + 10, "{protocol}");
        assert!(counts.plain_text.as_ref().unwrap().tries > 3, "{counts:?}");
        assert!(!sink.counts()[protocol].services.contains_key(PROBE_SERVICE));
    }
}

#[tokio::test]
async fn new_connections_meet_the_new_certificate() {
    let authority = Authority::new();
    let sink = Sink::start(authority.config()).await.unwrap();
    let config = SteadyConfig {
        requests_per_connection: 1,
        patience: Duration::from_millis(200),
        ..steadily(&sink, &authority)
    };
    let (sent, refused) = under_traffic(config, async {
        more(&sink, 3).await;
        Authority::new().sign("localhost", &authority.files());
        sink.reload_certificates().unwrap();
        let refused = std::time::SystemTime::now();
        tokio::time::sleep(Duration::from_millis(300)).await;
        refused
    })
    .await;
    for counts in sent.protocols.values() {
        let first = &counts.troubles[0];
        let refused = refused.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        assert!(counts.failed > 0 && first.reason.contains("not trusted"), "{counts:?}");
        assert!(u128::from(first.at) + 50 >= refused, "{first:?} before {refused}");
    }
}

#[tokio::test]
async fn the_certificates_to_trust_are_read_once() {
    let authority = Authority::new();
    let sink = Sink::start(authority.config()).await.unwrap();
    // A pipe, as standard input is one: nobody can read it twice.
    let pipe = authority.folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (text, to) = (fs::read_to_string(authority.ca_file()).unwrap(), pipe.clone());
    let writer = std::thread::spawn(move || fs::write(to, text));
    let config = SteadyConfig { ca_file: Some(pipe), ..steadily(&sink, &authority) };
    let (sent, ()) = under_traffic(config, more(&sink, 1)).await;
    writer.join().unwrap().unwrap();
    assert!(sent.is_clean(), "{sent:?}");
}

#[tokio::test]
async fn the_probe_sees_a_moment_of_plain_text() {
    let authority = Authority::new();
    let sink = Sink::start(authority.config()).await.unwrap();
    let ports: BTreeMap<_, _> = Protocol::ALL.map(|p| (p, sink.address(p).unwrap().port())).into();
    let config = SteadyConfig { patience: Duration::from_millis(500), ..steadily(&sink, &authority) };
    let (sent, plain) = under_traffic(config, async {
        more(&sink, 3).await;
        sink.shutdown().await;
        let config = SinkConfig { receivers: ports, tls: BTreeMap::new(), ..authority.config() };
        let plain = Sink::start(config).await.unwrap();
        more(&plain, 3).await;
        plain
    })
    .await;
    assert!(!sent.is_clean());
    for (protocol, counts) in &sent.protocols {
        let probed = counts.plain_text.as_ref().unwrap();
        assert!(probed.accepted >= 3 && !probed.at.is_empty(), "{protocol}: {counts:?}");
        assert_eq!(plain.counts()[protocol].services[PROBE_SERVICE], probed.accepted, "{protocol}");
        let told = counts.troubles.iter().any(|trouble| trouble.reason.contains("does not speak TLS"));
        assert!(told, "{protocol}: {counts:?}");
    }
}

/// One request at a control socket: the answer as it comes.
async fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_control_socket_tells_counts_takes_certificates_and_ends_the_sink() {
    let authority = Authority::new();
    let socket = authority.folder.path().join("control");
    // Left by one that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let config = SinkConfig { control: Some(socket.clone()), ..authority.config() };
    let sink = Sink::start(config).await.unwrap();
    send(to(&sink, Protocol::Zipkin, &authority.ca_file())).await.unwrap();
    assert!(ask(&socket, "GET /counts").await.contains(r#""zipkin":{"requests":2,"spans":10"#));
    assert!(ask(&socket, "POST /reload").await.starts_with("HTTP/1.1 200"));
    fs::remove_file(authority.files().key_file).unwrap();
    let refused = ask(&socket, "POST /reload").await;
    assert!(refused.starts_with("HTTP/1.1 500") && refused.contains("private.key"), "{refused}");
    assert!(ask(&socket, "POST /nothing").await.starts_with("HTTP/1.1 404"));
    assert!(ask(&socket, "POST /end").await.starts_with("HTTP/1.1 202"));
    tokio::time::timeout(Duration::from_secs(5), sink.asked_to_end()).await.unwrap();
}

/// What a sink's API answers to `/ready` at these URLs.
async fn fetched(urls: &[String], ca_file: Option<PathBuf>) -> Vec<Fetched> {
    let config = FetchConfig { urls: urls.to_vec(), ca_file, timeout: Duration::from_secs(5) };
    fetch(&config).await.unwrap()
}

#[tokio::test]
async fn an_api_is_asked_over_tls_by_whoever_trusts_its_authority() {
    let authority = Authority::new();
    let config = SinkConfig { api_port: Some(0), api_tls: Some(authority.files()), ..authority.config() };
    let sink = Sink::start(config).await.unwrap();
    let port = sink.addresses().find(|(name, _)| *name == "api").unwrap().1.port();
    let url = |scheme: &str, path: &str| format!("{scheme}://localhost:{port}{path}");
    let urls = [url("https", "/ready"), url("https", "/nothing"), url("http", "/ready")];
    let answers = fetched(&urls, Some(authority.ca_file())).await;
    assert!(answers[0].is_success() && !answers[0].body.is_empty(), "{answers:?}");
    assert_eq!((answers[1].status, answers[1].is_success()), (404, false));
    assert!(!answers[2].is_success(), "{answers:?}");

    let stranger = Authority::new();
    let [answer] = &fetched(&urls[..1], Some(stranger.ca_file())).await[..] else { panic!("one answer") };
    assert!(answer.status == 0 && answer.error.contains("no TLS"), "{answer:?}");
    let [answer] = &fetched(&urls[..1], None).await[..] else { panic!("one answer") };
    assert!(answer.error.contains("certificates to trust"), "{answer:?}");
    sink.shutdown().await;
    let [answer] = &fetched(&urls[..1], Some(authority.ca_file())).await[..] else { panic!("one answer") };
    assert!(answer.error.contains("refused"), "{answer:?}");
}
