//! The load balancer in front of the workers: its configuration and its service.
//!
//! One server per receiver that is on, one for each of Tempo's two APIs, one for what workers send and are asked
//! through the coordinator (`telemetry`), and nginx's own status page.
//!
//! With TLS, every server but the last speaks it, and so do the workers behind them. The certificates and their key are
//! in one file ([`PAIR_PATH`]), which both of nginx's directives name: a file is replaced as a whole, so there is no
//! moment at which an nginx that starts or reloads could read a certificate with the key of another one. Its path never
//! changes, so that a renewed certificate needs no new configuration, and reaches nginx also while the cluster is
//! incomplete and its configuration is left as it is (`renewal`).

mod config;
mod telemetry;

use std::collections::{BTreeMap, BTreeSet};

use juju_pebble::{Layer, Override, Service, Startup};

use crate::deployment::Deployment;
use crate::deployment::address::Host;
use crate::deployment::tls::CertifiedKey;
use crate::metrics;
use crate::names::{Container, Endpoint};
use crate::tempo::{self, Role, TransportProtocol};

use config::{Action, Again, Config, Kind, Path, Server, Tls, Upstream, WHOLE_PATH};

pub use telemetry::{
    About, COORDINATOR_METRICS_PATH, loki_urls, metrics_path, remote_write_urls, tracing_urls,
};

use super::{PlannedFile, Workload};

/// The configuration of the running nginx. Only what `nginx -t` has accepted goes here.
pub const CONFIG_PATH: &str = "/etc/nginx/nginx.conf";
/// Where a new configuration waits for `nginx -t`.
pub const CANDIDATE_PATH: &str = "/etc/nginx/nginx.conf.candidate";
/// Digests of the configuration and, with TLS, of the certificates and key that nginx was last started or reloaded with,
/// written after that succeeded. They differ from those of [`CONFIG_PATH`] and [`PAIR_PATH`] if a hook ended before,
/// and then the reload has to be made up for.
pub const LOADED_PATH: &str = "/etc/nginx/nginx.conf.loaded";
/// The certificates that are presented, followed by the key of the first.
pub const PAIR_PATH: &str = "/etc/nginx/certs/server.key";
/// Where a new pair waits for `nginx -t`.
pub const CANDIDATE_PAIR_PATH: &str = "/etc/nginx/certs/server.key.candidate";
/// The same certificates without the key, for people and programs that want to know what is presented.
pub const CERTIFICATE_PATH: &str = "/etc/nginx/certs/server.cert";
/// The certificate of the authority, where `update-ca-certificates` looks for those to trust.
pub const CA_PATH: &str = "/usr/local/share/ca-certificates/ca.crt";
/// Digest of the authority's certificate that the container's trust store was built with.
pub const TRUSTED_PATH: &str = "/etc/nginx/certs/ca.trusted";
/// Name of the service, and label of its layer.
pub const SERVICE: &str = "nginx";
/// Where workers reach the telemetry services of other charms, and metrics scrapers the workers.
pub const TELEMETRY_PORT: u16 = 3300;
/// Where the exporter finds nginx's counters. Only within the pod.
pub const STATUS_ADDRESS: &str = "127.0.0.1:8080";
/// The page with the counters.
pub const STATUS_PATH: &str = "/status";

/// Idle connections that each process keeps to the servers of a receiver or API.
const KEEPALIVE: u32 = 64;

/// What runs in the container.
pub(super) fn workload(d: &Deployment) -> Workload {
    let config = PlannedFile::plain(config(d).to_string());
    let mut files = BTreeMap::from([(CONFIG_PATH.to_owned(), config)]);
    let mut absent = BTreeSet::new();
    match d.tls.in_use() {
        Some(certified) => files.append(&mut tls_files(certified)),
        None => absent.extend([PAIR_PATH, CERTIFICATE_PATH, CA_PATH].map(str::to_owned)),
    }
    if d.links.of(Endpoint::MetricsEndpoint).is_empty() {
        absent.insert(metrics::PAGE_PATH.to_owned());
    }
    Workload {
        container: Container::Nginx,
        files,
        absent,
        only_over: BTreeSet::new(),
        label: SERVICE.to_owned(),
        layer: layer(),
    }
}

/// What of it may change while the cluster is incomplete: the certificates of an nginx that runs with a configuration
/// of ours in which there is TLS.
pub(super) fn renewal(d: &Deployment) -> Option<Workload> {
    Some(Workload {
        container: Container::Nginx,
        files: tls_files(d.tls.in_use()?),
        absent: BTreeSet::new(),
        only_over: [CONFIG_PATH, LOADED_PATH, PAIR_PATH].map(str::to_owned).into(),
        label: SERVICE.to_owned(),
        layer: layer(),
    })
}

fn tls_files(certified: &CertifiedKey) -> BTreeMap<String, PlannedFile> {
    let pair = format!("{}{}", certified.bundle(), certified.key_file().expose());
    BTreeMap::from([
        (PAIR_PATH.to_owned(), PlannedFile::secret(pair)),
        (CERTIFICATE_PATH.to_owned(), PlannedFile::plain(certified.bundle())),
        (CA_PATH.to_owned(), PlannedFile::plain(certified.ca_file())),
    ])
}

fn layer() -> Layer {
    let service = Service {
        override_: Override::Replace,
        summary: "nginx".into(),
        command: "nginx -g 'daemon off;'".into(),
        startup: Some(Startup::Enabled),
        ..Service::default()
    };
    Layer {
        summary: "nginx layer".into(),
        description: "load balancer in front of the Tempo workers".into(),
        services: BTreeMap::from([(SERVICE.to_owned(), service)]),
        ..Layer::default()
    }
}

fn config(d: &Deployment) -> Config {
    let tls = d.tls.is_on().then(|| Tls { pair: PAIR_PATH, name: d.app_host.clone() });
    let mut config =
        Config { nameserver: d.nameserver, upstreams: BTreeMap::new(), servers: Vec::new(), tls };
    for protocol in d.active_protocols() {
        let port = tempo::receiver_port(protocol);
        let hosts = d.hosts(Role::Distributor);
        balance(d, &mut config, &tempo::dashed(protocol), protocol.transport(), port, hosts, Unary::Yes);
    }
    for (name, transport, port) in [
        ("tempo-http", TransportProtocol::Http, tempo::HTTP_PORT),
        ("tempo-grpc", TransportProtocol::Grpc, tempo::GRPC_PORT),
    ] {
        balance(d, &mut config, name, transport, port, d.hosts(Role::QueryFrontend), Unary::No);
    }
    telemetry::add(d, &mut config);
    config.servers.push(Server {
        listen: vec![STATUS_ADDRESS.to_owned()],
        name: Host::Name("localhost".into()),
        kind: Kind::Own,
        locations: BTreeMap::from([(Path::Exact(STATUS_PATH.to_owned()), Action::StubStatus)]),
    });
    config
}

/// Whether each request over gRPC is one message that is answered by one. Only then can it be read to its end before it is
/// passed on, and so be sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unary {
    Yes,
    No,
}

/// A port whose requests are spread over workers that listen on the same port. Without workers, nobody listens.
fn balance(
    d: &Deployment,
    config: &mut Config,
    name: &str,
    transport: TransportProtocol,
    port: u16,
    hosts: BTreeSet<Host>,
    unary: Unary,
) {
    if hosts.is_empty() {
        return;
    }
    let upstream = name.to_owned();
    let root = Path::Below("/".to_owned());
    let (kind, locations) = match transport {
        TransportProtocol::Http => (Kind::Http, BTreeMap::from([(root, Action::Http { upstream })])),
        TransportProtocol::Grpc => {
            let locations = match unary {
                Unary::No => BTreeMap::from([(root, Action::Grpc { upstream, again: Again::Never })]),
                Unary::Yes => {
                    let fresh = format!("{name}-fresh");
                    let unkept = Upstream { hosts: hosts.clone(), port, keepalive: None };
                    config.upstreams.insert(fresh.clone(), unkept);
                    let last = Action::Grpc { upstream: fresh.clone(), again: Again::Last };
                    BTreeMap::from([
                        (root, Action::Grpc { upstream, again: Again::At(fresh.clone()) }),
                        (Path::Exact(WHOLE_PATH.to_owned()), Action::Nothing),
                        (Path::Named(fresh), last),
                    ])
                }
            };
            (Kind::Grpc, locations)
        }
    };
    config.upstreams.insert(name.to_owned(), Upstream { hosts, port, keepalive: Some(KEEPALIVE) });
    config.servers.push(Server { listen: listen(d, port), name: d.unit_host.clone(), kind, locations });
}

/// All addresses of the pod.
fn listen(d: &Deployment, port: u16) -> Vec<String> {
    let mut listen = vec![port.to_string()];
    if d.ipv6 {
        listen.push(format!("[::]:{port}"));
    }
    listen
}
