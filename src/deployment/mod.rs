//! What the snapshot means: facts that can be trusted.
//!
//! [`Deployment::validate`] turns the loose text of a [`Snapshot`] into types that cannot be wrong. It is total: data
//! of other charms that make no sense become a [`Finding`], and the rest of them still counts.
//!
//! *Architecture invariant:* no I/O, no clock, no environment; equal input gives an equal deployment, in whatever order
//! the input came.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use juju_ops::UnitName;
use juju_pebble::LogTarget;
use juju_relations::prometheus_scrape::ScrapeJob;
use serde::Serialize;

use crate::names::{Container, Endpoint};
use crate::secret::Secret;
use crate::snapshot::{Identity, Look, RelationSnapshot, Snapshot};
use crate::tempo::{Generation, Protocol, Role, TEMPO_2, TransportProtocol};

pub mod address;
mod cluster;
pub mod grafana;
pub mod ingress;
pub mod kubernetes;
pub mod mesh;
mod peers;
mod s3;
mod settings;
mod size;
mod telemetry;
pub mod tls;
mod tracing;

use address::{Host, Scheme, Url};

/// The cluster as this unit understands it.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Who this unit is.
    pub identity: Identity,
    /// What the deployed version of Tempo can do.
    pub tempo: Generation,
    /// This unit's own host name.
    pub unit_host: Host,
    /// The name under which all units are reached.
    pub app_host: Host,
    /// Under which URLs the cluster is reached.
    pub exposure: Exposure,
    /// The name server for nginx.
    pub nameserver: Option<IpAddr>,
    /// Whether nginx listens on IPv6 too.
    pub ipv6: bool,
    /// The options, or why none of them can be used.
    pub settings: Result<Settings, String>,
    /// The worker applications, by relation.
    pub workers: Vec<WorkerApp>,
    /// The bucket.
    pub s3: S3,
    /// Who asked for which protocols, by relation; one that asked for nothing (yet) has an empty set.
    pub requests: BTreeMap<u32, BTreeSet<Protocol>>,
    /// Other charms' services that workers reach through nginx.
    pub telemetry: Telemetry,
    /// TLS.
    pub tls: tls::Tls,
    /// Ways in from outside.
    pub ingress: ingress::Ingress,
    /// Where the other units of this application are, of those that have said so.
    pub peers: BTreeMap<UnitName, Host>,
    /// Grafanas and their data sources.
    pub grafana: grafana::Grafana,
    /// The service mesh.
    pub mesh: mesh::Mesh,
    /// What Kubernetes holds.
    pub kubernetes: kubernetes::Kubernetes,
    /// What the last look at the running cluster has found.
    pub look: Look,
    /// The time at which the hook began: seconds since 1970, UTC.
    pub now: i64,
    /// What each Prometheus was last told to scrape, by relation; on the leader only.
    pub scraped: BTreeMap<u32, Vec<ScrapeJob>>,
    /// The log targets of each container that can be reached, whoever made them, by name.
    pub log_targets: BTreeMap<Container, BTreeMap<String, LogTarget>>,
    /// Relations of endpoints to which something is always written.
    pub links: Links,
    /// What other charms, or the pod, got wrong.
    pub findings: Vec<Finding>,
}

/// Under which URLs the cluster is reached. The one source of scheme and host for everything published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// From within the Kubernetes cluster.
    pub internal: Base,
    /// Through an ingress, if one is ready.
    pub external: Option<Base>,
}

/// Scheme and host; each service adds its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Whether TLS is spoken.
    pub scheme: Scheme,
    /// The host.
    pub host: Host,
}

/// The options, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long traces are kept, in hours, or why the option cannot be used.
    pub retention_hours: Result<u32, String>,
    /// The protocols that are on without anybody asking.
    pub always_enabled: BTreeSet<Protocol>,
}

/// One related application of workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerApp {
    /// Number of the relation.
    pub relation: u32,
    /// Name of the application.
    pub app: String,
    /// The roles that it plays; `None` while it has not said so in a usable way.
    pub roles: Option<BTreeSet<Role>>,
    /// Those of its units that have said where they are.
    pub units: Vec<WorkerUnit>,
    /// Those that have not, or not in a usable way.
    pub silent: BTreeSet<UnitName>,
}

/// A worker that can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerUnit {
    /// Its name in the relation.
    pub unit: UnitName,
    /// Its name as the worker itself tells it, which is another one if the worker is in another model.
    pub name: String,
    /// Name of the application as the worker itself tells it.
    pub application: String,
    /// Name of its charm.
    pub charm: String,
    /// Where it is.
    pub host: Host,
}

/// What the S3 provider has given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3 {
    /// No relation.
    Unrelated,
    /// A relation, and nothing in it yet.
    Pending,
    /// A relation with something that cannot be used.
    Invalid(Finding),
    /// A bucket.
    Ready(Box<S3Bucket>),
}

/// A bucket and the way into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Bucket {
    /// Name of the bucket.
    pub bucket: String,
    /// Host and, where it is not the scheme's own, port.
    pub endpoint: String,
    /// Whether TLS is not spoken.
    pub insecure: bool,
    /// Region, if the provider names one.
    pub region: Option<String>,
    /// Who we are.
    pub access_key: Secret,
    /// How we prove it.
    pub secret_key: Secret,
    /// Certificates (PEM) of the authorities to trust, if they are not public ones.
    pub ca_chain: Option<Vec<String>>,
}

/// Other charms' services that workers use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// The Loki units that take logs, and where.
    pub loki: BTreeMap<UnitName, Url>,
    /// Where metrics are written to, by the text of the URL.
    pub remote_write: BTreeMap<String, Url>,
    /// Receivers for the traces of charms, if another cluster takes them.
    pub charm_tracing: Option<BTreeMap<Protocol, Url>>,
    /// Receivers for the traces of workloads, if another cluster takes them.
    pub workload_tracing: Option<BTreeMap<Protocol, Url>>,
}

/// The numbers of the relations of each endpoint, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(BTreeMap<Endpoint, Vec<u32>>);

impl Links {
    /// The relations of an endpoint.
    pub fn of(&self, endpoint: Endpoint) -> &[u32] {
        self.0.get(&endpoint).map_or(&[], Vec::as_slice)
    }
}

/// Where a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Data that came over a relation.
    Relation {
        /// Our side of it.
        endpoint: Endpoint,
        /// Its number.
        id: u32,
        /// The unit whose data it is; `None` for the application's.
        unit: Option<UnitName>,
    },
    /// The pod that the charm runs in.
    Pod,
}

/// Something that cannot be used, and so was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Where it is.
    pub place: Place,
    /// The key at fault; empty if there is no single one.
    pub key: String,
    /// What is wrong, in a few words, without the data.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Relation { endpoint, id, unit: None } => write!(f, "{endpoint}:{id}")?,
            Place::Relation { endpoint, id, unit: Some(unit) } => write!(f, "{endpoint}:{id} {unit}")?,
            Place::Pod => f.write_str("pod")?,
        }
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Why the cluster cannot be run (any further).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unmet {
    /// The options cannot be read.
    Config(String),
    /// No application of workers is related.
    NoWorkers,
    /// Roles that no related application has units for.
    MissingRoles {
        /// The roles.
        roles: BTreeSet<Role>,
        /// Those of them for which units exist that have not said where they are.
        coming: BTreeSet<Role>,
    },
    /// No S3 provider is related.
    NoS3,
    /// The S3 provider has not given credentials; or some that cannot be used, and why.
    S3(Option<Finding>),
    /// Workers have host names, and the pod knows no name server that nginx could ask for their addresses.
    NoNameserver,
    /// The cluster speaks TLS, and this unit has no certificate yet. In plain text it would answer nobody, and as the
    /// leader it would take TLS from everybody.
    NoCertificate,
}

impl Deployment {
    /// Judges everything that was seen.
    pub fn validate(snapshot: &Snapshot) -> Self {
        let mut findings = Findings::default();
        let snapshot = &*size::bounded(snapshot, &mut findings);
        let identity = snapshot.identity.clone();
        let unit_host = Host::parse(&snapshot.host.fqdn).unwrap_or_else(|error| {
            findings.pod("host name", &error.to_string());
            Host::Name("localhost".into())
        });
        let app_host = app_host(&unit_host, &identity);
        let related = |endpoint| sorted(snapshot.relations(endpoint));
        let ids = |endpoint| related(endpoint).iter().map(|relation| relation.id).collect::<Vec<_>>();
        let workers = cluster::workers(&TEMPO_2, &related(Endpoint::TempoCluster), &mut findings);
        let hosts = worker_hosts(&TEMPO_2, &workers);
        let hosts = hosts.iter().chain([&unit_host, &app_host]).filter(|host| host.is_name());
        let spoken = peers::speak_tls(&related(Endpoint::Peers));
        let tls = tls::tls(snapshot, hosts.map(ToString::to_string).collect(), spoken, &mut findings);
        let ingress = ingress::ingress(snapshot, &mut findings);
        grafana::dashboards(snapshot, &mut findings);
        Self {
            tempo: TEMPO_2,
            exposure: Exposure {
                internal: Base {
                    scheme: if tls.is_on() || tls.is_awaited() { Scheme::Https } else { Scheme::Http },
                    host: app_host.clone(),
                },
                external: ingress.external(),
            },
            app_host,
            unit_host,
            nameserver: snapshot.host.nameserver,
            ipv6: snapshot.host.ipv6,
            settings: snapshot.config.as_ref().map(Settings::of).map_err(Clone::clone),
            workers,
            s3: s3::bucket(&related(Endpoint::S3)),
            requests: tracing::requests(&related(Endpoint::Tracing), &mut findings),
            telemetry: telemetry::telemetry(snapshot, &mut findings),
            grafana: grafana::grafana(snapshot, &mut findings),
            mesh: mesh::mesh(snapshot, &mut findings),
            peers: peers::peers(&related(Endpoint::Peers), &mut findings),
            kubernetes: kubernetes::kubernetes(snapshot),
            look: snapshot.look.as_ref().unwrap_or(&snapshot.remembered).clone(),
            now: snapshot.now,
            scraped: telemetry::scraped(&related(Endpoint::MetricsEndpoint)),
            log_targets: telemetry::log_targets(snapshot),
            tls,
            ingress,
            links: Links(Endpoint::ALL.iter().map(|endpoint| (*endpoint, ids(*endpoint))).collect()),
            findings: findings.sorted(),
            identity,
        }
    }

    /// What is missing for the cluster to run; nothing if it can.
    ///
    /// While anything is missing, what workers and requirers have is left as it is.
    pub fn unmet(&self) -> Vec<Unmet> {
        let mut unmet = Vec::new();
        if let Err(reason) = &self.settings {
            unmet.push(Unmet::Config(reason.clone()));
        }
        if self.workers.is_empty() {
            unmet.push(Unmet::NoWorkers);
        } else {
            let missing: BTreeSet<Role> =
                self.tempo.required.iter().copied().filter(|role| self.hosts(*role).is_empty()).collect();
            if !missing.is_empty() {
                let coming = missing.iter().copied().filter(|role| self.is_coming(*role)).collect();
                unmet.push(Unmet::MissingRoles { roles: missing, coming });
            }
        }
        match &self.s3 {
            S3::Ready(_) => {}
            S3::Unrelated => unmet.push(Unmet::NoS3),
            S3::Pending => unmet.push(Unmet::S3(None)),
            S3::Invalid(finding) => unmet.push(Unmet::S3(Some(finding.clone()))),
        }
        let needs_names = self.worker_hosts().iter().any(Host::is_name)
            || self.telemetry.urls().any(|url| url.host.is_name());
        if self.nameserver.is_none() && needs_names {
            unmet.push(Unmet::NoNameserver);
        }
        if self.tls.is_awaited() {
            unmet.push(Unmet::NoCertificate);
        }
        unmet
    }

    /// The protocols that are on: those that somebody asked for, those that the options turn on, and always OTLP over
    /// HTTP, in which the charms of the cluster send their own traces.
    pub fn active_protocols(&self) -> BTreeSet<Protocol> {
        let requested = self.requests.values().flatten();
        let enabled = self.settings.iter().flat_map(|settings| &settings.always_enabled);
        requested.chain(enabled).chain(&[Protocol::OtlpHttp]).copied().collect()
    }

    /// Where the workers with a role are.
    pub fn hosts(&self, role: Role) -> BTreeSet<Host> {
        hosts(&self.workers, role).cloned().collect()
    }

    /// Where the workers with any role are.
    pub fn worker_hosts(&self) -> BTreeSet<Host> {
        worker_hosts(&self.tempo, &self.workers)
    }

    /// The roles with fewer workers than are recommended, with how many there are and should be. Those that the
    /// cluster cannot do without and that nobody plays are told of elsewhere.
    pub fn below_recommended(&self) -> Vec<(Role, usize, usize)> {
        let counted =
            self.tempo.recommended.iter().map(|(role, wanted)| (*role, self.hosts(*role).len(), *wanted));
        counted.filter(|(_, there, wanted)| there < wanted).collect()
    }

    /// The protocols that are on and that no worker took a connection for at the last look.
    pub fn silent_receivers(&self) -> BTreeSet<Protocol> {
        let is_silent = |protocol: &Protocol| self.look.receivers.get(protocol) == Some(&false);
        self.active_protocols().into_iter().filter(is_silent).collect()
    }

    /// Whether units exist that will play this role as soon as they have said where they are.
    fn is_coming(&self, role: Role) -> bool {
        self.workers.iter().any(|app| app.plays(role) && !app.silent.is_empty())
    }
}

/// Where the workers with a role are.
fn hosts(workers: &[WorkerApp], role: Role) -> impl Iterator<Item = &Host> {
    let playing = workers.iter().filter(move |app| app.plays(role));
    playing.flat_map(|app| app.units.iter().map(|unit| &unit.host))
}

/// Where the workers with any role are.
fn worker_hosts(tempo: &Generation, workers: &[WorkerApp]) -> BTreeSet<Host> {
    tempo.roles.iter().flat_map(|role| hosts(workers, *role)).cloned().collect()
}

impl WorkerApp {
    /// Whether its units play this role.
    pub fn plays(&self, role: Role) -> bool {
        self.roles.as_ref().is_some_and(|roles| roles.contains(&role))
    }
}

impl Exposure {
    /// Where everything published says that the cluster is: the ingress if there is one.
    pub fn published(&self) -> &Base {
        self.external.as_ref().unwrap_or(&self.internal)
    }
}

impl Base {
    /// The URL of a port: with the scheme for HTTP, without one for gRPC.
    pub fn url(&self, transport: TransportProtocol, port: u16) -> String {
        match transport {
            TransportProtocol::Http => format!("{}://{}:{port}", self.scheme, self.host),
            TransportProtocol::Grpc => format!("{}:{port}", self.host),
        }
    }
}

impl Telemetry {
    /// The URLs of all the services.
    fn urls(&self) -> impl Iterator<Item = &Url> {
        let tracing =
            [&self.charm_tracing, &self.workload_tracing].into_iter().flatten().flat_map(BTreeMap::values);
        self.loki.values().chain(self.remote_write.values()).chain(tracing)
    }
}

/// The name of the service in front of all units: the unit's own name with the application and the model in place of
/// what is before the label `svc`. A name without that label stands for itself.
fn app_host(unit_host: &Host, identity: &Identity) -> Host {
    let Host::Name(name) = unit_host else { return unit_host.clone() };
    let labels: Vec<&str> = name.split('.').collect();
    let Some(svc) = labels.iter().position(|label| *label == "svc") else { return unit_host.clone() };
    let name = format!("{}.{}.{}", identity.app(), identity.model, labels[svc..].join("."));
    Host::parse(&name).unwrap_or_else(|_| unit_host.clone())
}

/// By number, each once, whatever order they were seen in.
fn sorted(relations: &[RelationSnapshot]) -> Vec<&RelationSnapshot> {
    let by_id: BTreeMap<u32, &RelationSnapshot> =
        relations.iter().rev().map(|relation| (relation.id, relation)).collect();
    by_id.into_values().collect()
}

/// Collects findings while the parts of a snapshot are judged.
#[derive(Default)]
struct Findings(BTreeSet<Finding>);

impl Findings {
    /// Something about this pod.
    fn pod(&mut self, key: &str, reason: &str) {
        self.0.insert(Finding { place: Place::Pod, key: key.into(), reason: reason.to_owned() });
    }

    /// Something about the data of another application.
    fn app(&mut self, endpoint: Endpoint, id: u32, key: &str, reason: &str) {
        let place = Place::Relation { endpoint, id, unit: None };
        self.0.insert(Finding { place, key: key.into(), reason: reason.to_owned() });
    }

    /// Something about the data of another unit.
    fn unit(&mut self, endpoint: Endpoint, id: u32, unit: &UnitName, key: &str, reason: &str) {
        let place = Place::Relation { endpoint, id, unit: Some(unit.clone()) };
        self.0.insert(Finding { place, key: key.into(), reason: reason.to_owned() });
    }

    fn sorted(self) -> Vec<Finding> {
        self.0.into_iter().collect()
    }
}

/// Takes `key: reason` apart, the form in which unreadable databags are reported.
fn key_and_reason(text: &str) -> (&str, &str) {
    let is_key = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_, ".contains(&b))
    };
    text.split_once(": ").filter(|(key, _)| is_key(key)).unwrap_or(("", text))
}
