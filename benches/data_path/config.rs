//! The two configurations that are compared, moved to where they can run without anything leaving this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};
use juju_ops::{Databag, UnitName};
use tempo_coordinator::deployment::Deployment;
use tempo_coordinator::names::{Config, Endpoint};
use tempo_coordinator::plan::{self, nginx::CONFIG_PATH};
use tempo_coordinator::snapshot::{
    CertificatesSnapshot, Host, Identity, KubernetesSnapshot, Look, RelationSnapshot, Snapshot,
};

/// The configuration that the Python charm would generate.
const REFERENCE: &str = include_str!("reference.conf");
/// The model of this deployment, as it stands in the names of its pods.
const DOMAIN: &str = "endpoints.obs.svc.cluster.local";

/// The name of a worker's pod.
pub(crate) fn worker_name(number: usize) -> String {
    format!("tw-{number}.tw-{DOMAIN}")
}

/// The configuration that this charm generates for so many workers that play every role, with receivers for OTLP.
pub(crate) fn generated(workers: usize) -> Result<String> {
    let bucket =
        [("access-key", "a"), ("secret-key", "s"), ("bucket", "b"), ("endpoint", "http://127.0.0.1:9")];
    let unit = |number| {
        let topology =
            format!(r#"{{"application": "tw", "unit": "tw/{number}", "charm_name": "tempo-worker-k8s"}}"#);
        let data = [("juju_topology", topology), ("address", format!("\"{}\"", worker_name(number)))];
        Ok((UnitName::new("tw", u32::try_from(number)?), Some(Databag::from(data))))
    };
    let related = |id, app: &str, data: Databag| RelationSnapshot {
        id,
        remote_app: Some(app.to_owned()),
        remote_app_data: Some(data),
        ..RelationSnapshot::default()
    };
    let requested = Databag::from([("receivers", r#"["otlp_grpc", "otlp_http"]"#)]);
    let cluster = RelationSnapshot {
        remote_units: (0..workers).map(unit).collect::<Result<_>>()?,
        ..related(2, "tw", Databag::from([("role", "\"all\"")]))
    };
    let snapshot = Snapshot {
        identity: Identity {
            unit: UnitName::new("tempo", 0),
            model: "obs".into(),
            model_uuid: "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55".into(),
            leader: true,
        },
        host: Host {
            fqdn: format!("tempo-0.tempo-{DOMAIN}"),
            nameserver: Some(Ipv4Addr::LOCALHOST.into()),
            ipv6: false,
        },
        config: Ok(Config::default()),
        relations: BTreeMap::from([
            (Endpoint::S3, vec![related(1, "s3", bucket.into_iter().collect())]),
            (Endpoint::TempoCluster, vec![cluster]),
            (Endpoint::Tracing, vec![related(3, "shop", requested)]),
        ]),
        containers: BTreeMap::new(),
        opened_ports: BTreeSet::new(),
        certificates: CertificatesSnapshot::default(),
        kubernetes: KubernetesSnapshot::default(),
        remembered: Look::default(),
        look: None,
        now: 1_790_000_000,
    };
    let plan = plan::plan(&Deployment::validate(&snapshot));
    let nginx = plan.nginx.with_context(|| format!("the charm plans no nginx: {:?}", plan.unmet))?;
    Ok(nginx.files[CONFIG_PATH].content.expose().to_owned())
}

/// The configuration that the Python charm would generate for the same deployment.
pub(crate) fn reference(workers: usize) -> String {
    let servers = |port: u16| {
        let line = |number| format!("server {}:{port} resolve;", worker_name(number));
        (0..workers).map(line).collect::<Vec<_>>().join("\n        ")
    };
    REFERENCE.replace("@servers:4317@", &servers(4317)).replace("@servers:4318@", &servers(4318))
}

/// A configuration that can run here.
pub(crate) struct Local {
    /// Its text.
    pub(crate) text: String,
    /// Where it listens, by the port that it would listen on in a pod.
    pub(crate) listens: BTreeMap<u16, SocketAddr>,
}

/// Moves a configuration: every `listen` to a free port of the loopback interface, every path from `/tmp` to this
/// folder, the resolver to `resolver`, and the receivers behind it to the ports of `workers` (by the port that they would
/// have). Names of workers stay, since resolving them is a part of what is measured.
pub(crate) fn localise(
    text: &str,
    folder: &Path,
    resolver: SocketAddr,
    workers: &BTreeMap<u16, u16>,
) -> Result<Local> {
    let mut listens = BTreeMap::new();
    // Held until all are found, so that none is found twice.
    let mut taken = Vec::new();
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.trim().trim_end_matches(';').split_whitespace().collect();
        match words[..] {
            ["listen", place, ref options @ ..] => {
                let port = place.rsplit(':').next().unwrap_or(place).parse()?;
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let address = free.local_addr()?;
                taken.push(free);
                listens.insert(port, address);
                writeln!(out, "listen {address} {};", options.join(" "))?;
            }
            ["resolver", _, ref options @ ..] => {
                writeln!(out, "resolver {resolver} ipv6=off {};", options.join(" "))?;
            }
            ["server", place, ref options @ ..] if place != "{" => {
                let (host, port) = place.rsplit_once(':').with_context(|| format!("no port: {line}"))?;
                let port: u16 = port.parse()?;
                let port = workers.get(&port).copied().unwrap_or(port);
                writeln!(out, "server {host}:{port} {};", options.join(" "))?;
            }
            _ => {
                out += &line.replace("/tmp/", &format!("{}/", folder.display()));
                out.push('\n');
            }
        }
    }
    Ok(Local { text: out, listens })
}
