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
use serde::Serialize;

use crate::names::Endpoint;
use crate::secret::Secret;
use crate::snapshot::{Identity, Snapshot};
use crate::tempo::{Generation, Protocol, Role, TEMPO_2};

pub mod address;

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
    /// Its name.
    pub unit: UnitName,
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
    /// A relation with something that cannot be used, and why.
    Invalid(String),
    /// A bucket.
    Ready(S3Bucket),
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
    /// Where metrics are written to, sorted and without doubles.
    pub remote_write: BTreeSet<Url>,
    /// Receivers for the traces of charms, if another cluster takes them.
    pub charm_tracing: Option<BTreeMap<Protocol, Url>>,
    /// Receivers for the traces of workloads, if another cluster takes them.
    pub workload_tracing: Option<BTreeMap<Protocol, Url>>,
}

/// Relations to which something is written whatever state the cluster is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// To the S3 provider.
    pub s3: Vec<u32>,
    /// Between the units.
    pub peers: Vec<u32>,
    /// To clusters that take our own traces.
    pub self_tracing: Vec<(Endpoint, u32)>,
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
    /// The S3 provider has not given (usable) credentials; the reason if there is something wrong with them.
    S3(Option<String>),
}

impl Deployment {
    /// Judges everything that was seen.
    pub fn validate(snapshot: &Snapshot) -> Self {
        let unit_host = Host::parse(&snapshot.host.fqdn).unwrap_or(Host::Name("localhost".into()));
        Self {
            identity: snapshot.identity.clone(),
            tempo: TEMPO_2,
            app_host: unit_host.clone(),
            exposure: Exposure {
                internal: Base { scheme: Scheme::Http, host: unit_host.clone() },
                external: None,
            },
            unit_host,
            nameserver: snapshot.host.nameserver,
            ipv6: snapshot.host.ipv6,
            settings: Err("not read yet".into()),
            workers: Vec::new(),
            s3: S3::Unrelated,
            requests: BTreeMap::new(),
            telemetry: Telemetry::default(),
            links: Links::default(),
            findings: Vec::new(),
        }
    }

    /// What is missing for the cluster to run; nothing if it can.
    ///
    /// While anything is missing, what workers and requirers have is left as it is.
    pub fn unmet(&self) -> Vec<Unmet> {
        Vec::new()
    }
}
