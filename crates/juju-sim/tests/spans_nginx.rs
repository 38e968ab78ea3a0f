//! Span traffic through a real nginx, which is what stands between requirers and workers.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use juju_sim::spans::{Protocol, SendConfig, Sink, SinkConfig, Transport, send};
use tokio::net::{TcpListener, TcpStream};

/// The nginx that the project builds once per machine.
fn nginx() -> PathBuf {
    let named = env::var_os("JUJU_SIM_TOOLS").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let cache = || {
        let cache = env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let cache = cache.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
        cache.unwrap_or_default().join("juju-sim/tools")
    };
    let nginx = named.unwrap_or_else(cache).join("bin/nginx");
    assert!(nginx.is_file(), "{} is missing: run `cargo xtask tools` first", nginx.display());
    nginx
}

/// A running nginx that passes each protocol on to a worker. It ends with the value.
struct Proxy {
    process: Child,
    addresses: BTreeMap<Protocol, SocketAddr>,
    _folder: tempfile::TempDir,
}

impl Proxy {
    async fn start(workers: &BTreeMap<Protocol, SocketAddr>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut addresses = BTreeMap::new();
        let mut http = String::from("access_log off; client_max_body_size 0; client_body_buffer_size 1m;\n");
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = writeln!(http, "{kind}_temp_path {}/{kind};", folder.path().display());
        }
        for (protocol, worker) in workers {
            // Free a moment ago, which is all that a program that wants a number can be given.
            let address =
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.and_then(|free| free.local_addr()).unwrap();
            addresses.insert(*protocol, address);
            let (listen, pass) = match protocol.transport() {
                Transport::Http => (
                    "",
                    "proxy_http_version 1.1; proxy_set_header Connection ''; \
                     proxy_set_header X-Scope-OrgID $tenant; proxy_pass http:",
                ),
                Transport::Grpc => ("http2 on;", "grpc_set_header X-Scope-OrgID $tenant; grpc_pass grpc:"),
            };
            let _ = writeln!(
                http,
                "upstream {protocol} {{ server {worker} max_fails=0; keepalive 8; }}\n\
                 server {{ listen {address}; {listen} location / {{ {pass}//{protocol}; }} }}"
            );
        }
        let config = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log stderr crit;\n\
             events {{ worker_connections 256; }}\n\
             http {{ map $http_x_scope_orgid $tenant {{ default $http_x_scope_orgid; '' anonymous; }}\n{http} }}\n",
            folder = folder.path().display()
        );
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let process = Command::new(nginx())
            .args(["-e", "stderr", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut proxy = Self { process, addresses, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(10);
        for address in proxy.addresses.values() {
            while TcpStream::connect(address).await.is_err() {
                let ended = proxy.process.try_wait().unwrap();
                assert!(ended.is_none() && Instant::now() < deadline, "nginx does not listen: {ended:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        proxy
    }

    fn to(&self, protocol: Protocol) -> SendConfig {
        let address = self.addresses[&protocol];
        match protocol.transport() {
            Transport::Http => SendConfig::new(protocol, format!("http://{address}")),
            Transport::Grpc => SendConfig::new(protocol, address.to_string()),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn every_protocol_crosses_a_proxy_with_its_tenant() {
    let config = SinkConfig {
        bind: Ipv4Addr::LOCALHOST.into(),
        receivers: Protocol::ALL.map(|protocol| (protocol, 0)).into(),
        ..SinkConfig::default()
    };
    let sink = Sink::start(config).await.unwrap();
    let workers = Protocol::ALL.map(|protocol| (protocol, sink.address(protocol).unwrap())).into();
    let proxy = Proxy::start(&workers).await;
    for protocol in Protocol::ALL {
        for tenant in [None, Some("acme".to_owned())] {
            // Big enough that a request is no longer one packet.
            let resource = BTreeMap::from([("padding".to_owned(), "x".repeat(50_000))]);
            let config = SendConfig { spans: 50, batch: 25, tenant, resource, ..proxy.to(protocol) };
            let sent = send(config).await.unwrap();
            assert_eq!((sent.accepted, sent.failed, sent.connections), (50, 0, 1), "{sent:?}");
        }
    }
    for (protocol, counts) in sink.shutdown().await {
        let tenants = BTreeMap::from([("acme".to_owned(), 2), ("anonymous".to_owned(), 2)]);
        assert_eq!((counts.spans, counts.invalid, counts.tenants), (100, 0, tenants), "{protocol}");
    }
}

#[tokio::test]
async fn a_worker_that_is_away_shows_as_a_gateway_error_until_it_is_back() {
    for protocol in [Protocol::OtlpHttp, Protocol::OtlpGrpc] {
        let away = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let worker = away.local_addr().unwrap();
        let proxy = Proxy::start(&BTreeMap::from([(protocol, worker)])).await;
        let config = SendConfig { timeout: Duration::from_secs(20), ..proxy.to(protocol) };
        let sending = tokio::spawn(send(config));
        // The worker takes the first request and goes away without an answer.
        drop(away.accept().await.unwrap());
        drop(away);
        let config = SinkConfig {
            bind: worker.ip(),
            receivers: BTreeMap::from([(protocol, worker.port())]),
            ..SinkConfig::default()
        };
        let sink = Sink::start(config).await.unwrap();
        let sent = sending.await.unwrap().unwrap();
        assert_eq!((sent.accepted, sent.failed), (10, 0), "{sent:?}");
        assert!(sent.errors.iter().all(|error| error.contains("502")) && !sent.errors.is_empty(), "{sent:?}");
        assert_eq!(sink.counts()[&protocol].spans, 10);
    }
}
