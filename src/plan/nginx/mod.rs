//! The load balancer in front of the workers: its configuration and its service.
//!
//! One server per receiver that is on, one for each of Tempo's two APIs, one for what workers send and are asked
//! through the coordinator (`telemetry`), and nginx's own status page.

mod config;
mod telemetry;

use std::collections::{BTreeMap, BTreeSet};

use juju_pebble::{Layer, Override, Service, Startup};

use crate::deployment::Deployment;
use crate::deployment::address::Host;
use crate::names::Container;
use crate::tempo::{self, Role, TransportProtocol};

use config::{Action, Config, Kind, Path, Server, Upstream};

pub use telemetry::{About, loki_urls, metrics_path, remote_write_urls, tracing_urls};

use super::{PlannedFile, Text, Workload};

/// The configuration of the running nginx. Only what `nginx -t` has accepted goes here.
pub const CONFIG_PATH: &str = "/etc/nginx/nginx.conf";
/// Where a new configuration waits for `nginx -t`.
pub const CANDIDATE_PATH: &str = "/etc/nginx/nginx.conf.candidate";
/// Digest of the configuration that nginx was last started or reloaded with, written after that succeeded. It differs
/// from that of [`CONFIG_PATH`] if a hook ended between the two, and then the reload has to be made up for.
pub const LOADED_PATH: &str = "/etc/nginx/nginx.conf.loaded";
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
    let content = Text::Plain(config(d).to_string());
    Workload {
        container: Container::Nginx,
        files: BTreeMap::from([(CONFIG_PATH.to_owned(), PlannedFile { content, mode: 0o644 })]),
        label: SERVICE.to_owned(),
        layer: layer(),
    }
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
    let mut config = Config { nameserver: d.nameserver, upstreams: BTreeMap::new(), servers: Vec::new() };
    for protocol in d.active_protocols() {
        let port = tempo::receiver_port(protocol);
        let hosts = d.hosts(Role::Distributor);
        balance(d, &mut config, &tempo::dashed(protocol), protocol.transport(), port, hosts);
    }
    for (name, transport, port) in [
        ("tempo-http", TransportProtocol::Http, tempo::HTTP_PORT),
        ("tempo-grpc", TransportProtocol::Grpc, tempo::GRPC_PORT),
    ] {
        balance(d, &mut config, name, transport, port, d.hosts(Role::QueryFrontend));
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

/// A port whose requests are spread over workers that listen on the same port. Without workers, nobody listens.
fn balance(
    d: &Deployment,
    config: &mut Config,
    name: &str,
    transport: TransportProtocol,
    port: u16,
    hosts: BTreeSet<Host>,
) {
    if hosts.is_empty() {
        return;
    }
    let upstream = name.to_owned();
    let (kind, action) = match transport {
        TransportProtocol::Http => (Kind::Http, Action::Http { upstream }),
        TransportProtocol::Grpc => (Kind::Grpc, Action::Grpc { upstream }),
    };
    config.upstreams.insert(name.to_owned(), Upstream { hosts, port, keepalive: KEEPALIVE });
    config.servers.push(Server {
        listen: listen(d, port),
        name: d.unit_host.clone(),
        kind,
        locations: BTreeMap::from([(Path::Below("/".to_owned()), action)]),
    });
}

/// All addresses of the pod.
fn listen(d: &Deployment, port: u16) -> Vec<String> {
    let mut listen = vec![port.to_string()];
    if d.ipv6 {
        listen.push(format!("[::]:{port}"));
    }
    listen
}
