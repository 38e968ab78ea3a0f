//! `tempo_cluster`: workers announce themselves and their roles, the coordinator configures them.
//!
//! Values are JSON, plain texts too (so with quotes).
//!
//! | databag | key | value |
//! |---|---|---|
//! | worker's unit | `juju_topology` | `{"application": …, "unit": …, "charm_name": …}` |
//! | | `address` | fully qualified host name of the unit, without scheme and port |
//! | worker's application | `role` | roles of the application, joined by commas |
//! | coordinator's application | `worker_config` | the configuration file (YAML) as one text; required |
//! | | `loki_endpoints` | object, unit to URL |
//! | | `charm_tracing_receivers`, `workload_tracing_receivers` | objects, protocol to URL |
//! | | `remote_write_endpoints` | array of `{"url": …}` |
//! | | `worker_ports` | array of port numbers |
//! | | `ca_cert`, `server_cert` | PEM texts, with TLS only |
//! | | `privkey_secret_id` | URI of the secret with the private key, with TLS only |
//! | | `s3_tls_ca_chain` | PEM texts, joined by an empty line |
//! | | `worker_labels` | object, label to value |
//!
//! An application of workers is configured as soon as it has at least one unit, and its application and *all* its
//! units have written data that can be read ([`Workers::problem`]). Until then its databag stays as it is; other
//! applications do not wait for it.
//!
//! ```
//! use juju_relations::{Databag, Wire, tempo_cluster::{Role, WorkerAppData}};
//!
//! let bag = Databag::from([("role", r#""querier,imposter""#)]);
//! let roles = WorkerAppData::read(Some(&bag)).ok().expect("a role").roles();
//! assert!(roles.known.contains(&Role::Querier));
//! assert_eq!(roles.unknown, ["imposter"]);
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use futures_util::future::try_join_all;
use juju_ops::{Event, Hook, Relation, RelationId, Remote, SecretId, ToolError, UnitName};
use serde::{Deserialize, Deserializer, Serialize};

use crate::wire::list_shown;
use crate::{EndpointError, EndpointMeta, EndpointRole, Sensitive, Wire};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "tempo_cluster";

/// Between the PEM texts of [`CoordinatorAppData::s3_tls_ca_chain`].
pub const CHAIN_SEPARATOR: &str = "\n\n";

/// What a worker does in the cluster. Ordered by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Every other role.
    All,
    /// `compactor`.
    Compactor,
    /// `distributor`.
    Distributor,
    /// `ingester`.
    Ingester,
    /// `metrics-generator`.
    MetricsGenerator,
    /// `querier`.
    Querier,
    /// `query-frontend`.
    QueryFrontend,
}

/// A text that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a role of a Tempo worker")]
pub struct UnknownRole;

/// Roles of an application of workers, as far as they can be understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// The roles that are known, as written: `all` is not replaced by what it stands for.
    pub known: BTreeSet<Role>,
    /// The others, sorted.
    pub unknown: Vec<String>,
}

/// Which unit of which charm a worker is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Topology {
    /// Name of the application.
    pub application: String,
    /// Name of the unit.
    pub unit: String,
    /// Name of the charm.
    pub charm_name: String,
}

/// A worker's unit databag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkerUnitData {
    /// Who the worker is.
    pub juju_topology: Topology,
    /// Its host name, as the worker gave it.
    pub address: String,
}

/// A worker's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerAppData {
    /// Roles joined by commas; normally one.
    pub role: String,
}

/// One place that metrics are sent to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RemoteWriteEndpoint {
    /// Where.
    pub url: String,
}

/// The coordinator's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorAppData {
    /// The configuration file of the workers. It holds the credentials of the storage.
    pub worker_config: Sensitive,
    /// Where to send logs: unit of the receiving charm to URL.
    #[serde(default, deserialize_with = "null_is_default")]
    pub loki_endpoints: BTreeMap<String, String>,
    /// Where the workers' charms send traces: protocol to URL.
    #[serde(default, deserialize_with = "null_is_default")]
    pub charm_tracing_receivers: BTreeMap<String, String>,
    /// Where the workload sends traces: protocol to URL.
    #[serde(default, deserialize_with = "null_is_default")]
    pub workload_tracing_receivers: BTreeMap<String, String>,
    /// Where to send generated metrics.
    #[serde(default, deserialize_with = "null_is_default")]
    pub remote_write_endpoints: Vec<RemoteWriteEndpoint>,
    /// Ports that the workers open; without any the workers decide.
    pub worker_ports: Option<BTreeSet<u16>>,
    /// Certificate of the authority, PEM.
    pub ca_cert: Option<String>,
    /// Certificate of the servers, PEM.
    pub server_cert: Option<String>,
    /// URI of the secret that holds the private key under `private-key`.
    pub privkey_secret_id: Option<String>,
    /// Certificates to trust the storage by, PEM, joined by [`CHAIN_SEPARATOR`].
    pub s3_tls_ca_chain: Option<String>,
    /// Labels for the workers' pods.
    #[serde(default, deserialize_with = "null_is_default")]
    pub worker_labels: BTreeMap<String, String>,
}

/// What workers need to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls<'a> {
    /// Certificate of the authority, PEM.
    pub ca_cert: &'a str,
    /// Certificate of the servers, PEM.
    pub server_cert: &'a str,
    /// The secret with the private key.
    pub privkey: SecretId,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    reader: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

impl Role {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::All,
        Self::Compactor,
        Self::Distributor,
        Self::Ingester,
        Self::MetricsGenerator,
        Self::Querier,
        Self::QueryFrontend,
    ];

    /// The name in databags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Compactor => "compactor",
            Self::Distributor => "distributor",
            Self::Ingester => "ingester",
            Self::MetricsGenerator => "metrics-generator",
            Self::Querier => "querier",
            Self::QueryFrontend => "query-frontend",
        }
    }

    /// What the role stands for: itself, and for `all` every other one.
    pub fn expanded(self) -> impl Iterator<Item = Self> {
        let matches = move |role: &Self| match self {
            Self::All => *role != Self::All,
            plain => *role == plain,
        };
        Self::ALL.into_iter().filter(matches)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or(UnknownRole)
    }
}

impl Roles {
    /// Reads roles joined by commas. Spaces around them do not count.
    pub fn parse(text: &str) -> Self {
        let mut known = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name.parse() {
                Ok(role) => known.insert(role),
                Err(UnknownRole) => unknown.insert(name.to_owned()),
            };
        }
        Self { known, unknown: unknown.into_iter().collect() }
    }

    /// The known roles, with `all` replaced by what it stands for.
    pub fn expanded(&self) -> BTreeSet<Role> {
        self.known.iter().flat_map(|role| role.expanded()).collect()
    }

    /// What is not understood, in words fit for a status message.
    pub fn problem(&self) -> Option<String> {
        if self.unknown.is_empty() {
            return None;
        }
        Some(format!("unknown role {}", list_shown(self.unknown.iter().map(String::as_str))))
    }
}

impl WorkerAppData {
    /// The databag of an application with these roles.
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Self {
        let sorted: BTreeSet<Role> = roles.into_iter().collect();
        Self { role: sorted.into_iter().map(Role::name).collect::<Vec<_>>().join(",") }
    }

    /// The roles.
    pub fn roles(&self) -> Roles {
        Roles::parse(&self.role)
    }
}

impl CoordinatorAppData {
    /// A databag with a configuration and nothing else.
    pub fn new(worker_config: impl Into<Sensitive>) -> Self {
        Self {
            worker_config: worker_config.into(),
            loki_endpoints: BTreeMap::new(),
            charm_tracing_receivers: BTreeMap::new(),
            workload_tracing_receivers: BTreeMap::new(),
            remote_write_endpoints: Vec::new(),
            worker_ports: None,
            ca_cert: None,
            server_cert: None,
            privkey_secret_id: None,
            s3_tls_ca_chain: None,
            worker_labels: BTreeMap::new(),
        }
    }

    /// The parts that TLS needs; `None` unless all are there. What is there is in the fields in any case.
    pub fn tls(&self) -> Option<Tls<'_>> {
        Some(Tls {
            ca_cert: self.ca_cert.as_deref()?,
            server_cert: self.server_cert.as_deref()?,
            privkey: SecretId::new(self.privkey_secret_id.as_deref()?),
        })
    }
}

impl Wire for WorkerUnitData {
    const KEYS: &'static [&'static str] = &["juju_topology", "address"];
}

impl Wire for WorkerAppData {
    const KEYS: &'static [&'static str] = &["role"];
}

impl Wire for CoordinatorAppData {
    const KEYS: &'static [&'static str] = &[
        "worker_config",
        "loki_endpoints",
        "charm_tracing_receivers",
        "workload_tracing_receivers",
        "remote_write_endpoints",
        "worker_ports",
        "ca_cert",
        "server_cert",
        "privkey_secret_id",
        "s3_tls_ca_chain",
        "worker_labels",
    ];
}

/// One application of workers, as its coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// The relation with it.
    pub relation: RelationId,
    /// Its name.
    pub app: String,
    /// Its databag.
    pub data: Remote<WorkerAppData>,
    /// Its units with their databags.
    pub units: BTreeMap<UnitName, Remote<WorkerUnitData>>,
}

impl Workers {
    /// Why the application cannot be configured yet, in words fit for a status message; `None` if it can.
    pub fn problem(&self) -> Option<String> {
        let of = |reason: &str| Some(format!("{}: {reason}", self.app));
        match &self.data {
            Remote::Ready(_) => {}
            Remote::Invalid(reason) => return of(reason),
            Remote::Absent | Remote::Denied => return of("no role published yet"),
        }
        if self.units.is_empty() {
            return of("no units yet");
        }
        self.units.iter().find_map(|(unit, data)| match data {
            Remote::Ready(_) => None,
            Remote::Invalid(reason) => Some(format!("{unit}: {reason}")),
            Remote::Absent | Remote::Denied => Some(format!("{unit}: no address published yet")),
        })
    }

    /// The units whose databag can be read.
    pub fn ready_units(&self) -> impl Iterator<Item = &WorkerUnitData> {
        self.units.values().filter_map(|data| data.as_ref().ok())
    }

    /// The roles of the application; none while its databag cannot be read.
    pub fn roles(&self) -> Roles {
        self.data.as_ref().map(WorkerAppData::roles).ok().unwrap_or_default()
    }
}

/// How many units each role has, whether or not those have published anything. A role whose applications have no
/// units is there with 0.
pub fn gather_roles(workers: &[Workers]) -> BTreeMap<Role, usize> {
    let mut counts = BTreeMap::new();
    for app in workers {
        for role in app.roles().expanded() {
            *counts.entry(role).or_default() += app.units.len();
        }
    }
    counts
}

/// The addresses behind each role, of the units that have published one.
pub fn gather_addresses_by_role(workers: &[Workers]) -> BTreeMap<Role, BTreeSet<String>> {
    let mut addresses: BTreeMap<Role, BTreeSet<String>> = BTreeMap::new();
    for app in workers {
        for role in app.roles().expanded() {
            let of_role = addresses.entry(role).or_default();
            of_role.extend(app.ready_units().map(|unit| unit.address.clone()));
        }
    }
    addresses.retain(|_, of_role| !of_role.is_empty());
    addresses
}

/// All addresses that have been published by applications with a known role.
pub fn gather_addresses(workers: &[Workers]) -> BTreeSet<String> {
    gather_addresses_by_role(workers).into_values().flatten().collect()
}

/// What an event means for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequirerEvent {
    /// There is a coordinator.
    Created {
        /// The relation.
        relation: RelationId,
    },
    /// The coordinator has published a configuration. Also sent again when nothing has changed.
    ConfigReceived {
        /// The relation.
        relation: RelationId,
        /// All that was published.
        data: Box<CoordinatorAppData>,
    },
    /// There is no configuration (any more): stop.
    Removed {
        /// The relation.
        relation: RelationId,
        /// Why, if the coordinator's data cannot be understood.
        reason: Option<String>,
    },
}

/// The meaning of `event` for the worker behind `endpoint`, given what the coordinator has written, and whether this
/// worker has announced itself.
pub fn requirer_event(
    event: &Event,
    endpoint: &str,
    published: &Remote<CoordinatorAppData>,
    announced: bool,
) -> Option<RequirerEvent> {
    match event {
        Event::RelationCreated(of) if of.id.endpoint() == endpoint => {
            Some(RequirerEvent::Created { relation: of.id.clone() })
        }
        Event::RelationChanged(of) if of.id.endpoint() == endpoint => match published {
            Remote::Ready(data) if !data.worker_config.expose().trim().is_empty() => {
                Some(RequirerEvent::ConfigReceived { relation: of.id.clone(), data: Box::new(data.clone()) })
            }
            // Before that nobody can have configured this worker, so nothing is lost.
            other => announced.then(|| RequirerEvent::Removed {
                relation: of.id.clone(),
                reason: other.reason().map(str::to_owned),
            }),
        },
        Event::RelationBroken(of) if of.id.endpoint() == endpoint => {
            Some(RequirerEvent::Removed { relation: of.id.clone(), reason: None })
        }
        _ => None,
    }
}

/// The coordinator, in one hook.
#[derive(Clone)]
pub struct ClusterProvider {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl ClusterProvider {
    /// The coordinator behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Provides)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// The applications of workers, each with its relation.
    pub async fn workers(&self) -> Result<Vec<(Relation, Workers)>, ToolError> {
        let read = |relation: Relation| async move {
            let Some(app) = relation.app().await? else { return Ok(None) };
            let unit_data = |unit: UnitName| {
                let relation = relation.clone();
                async move {
                    let data = WorkerUnitData::read(relation.remote_unit_data(&unit).await?.as_ref());
                    Ok::<_, ToolError>((unit, data))
                }
            };
            let units = try_join_all(relation.units().await?.into_iter().map(unit_data)).await?;
            let workers = Workers {
                relation: relation.id().clone(),
                app,
                data: WorkerAppData::read(relation.remote_app_data().await?.as_ref()),
                units: units.into_iter().collect(),
            };
            Ok(Some((relation, workers)))
        };
        let found =
            try_join_all(self.hook.relations(&self.endpoint.name).await?.into_iter().map(read)).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Plans to configure every application of workers that is ready for it, on the leader; other units do nothing.
    /// Returns why the others are not ready.
    pub async fn publish(&self, data: &CoordinatorAppData) -> Result<Vec<String>, ToolError> {
        let mut problems = Vec::new();
        if self.hook.is_leader().await? {
            for (relation, workers) in self.workers().await? {
                match workers.problem() {
                    None => relation.set_app(data.changes()),
                    Some(problem) => problems.push(problem),
                }
            }
        }
        Ok(problems)
    }
}

/// A worker, in one hook.
#[derive(Clone)]
pub struct ClusterRequirer {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl ClusterRequirer {
    /// The worker behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Requires)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// Plans to announce this unit, and on the leader the roles of the application. Without roles those that were
    /// announced before stay.
    pub async fn announce(
        &self,
        unit: &WorkerUnitData,
        roles: impl IntoIterator<Item = Role>,
    ) -> Result<(), ToolError> {
        let app = WorkerAppData::new(roles);
        let leader = self.hook.is_leader().await?;
        for relation in self.hook.relations(&self.endpoint.name).await? {
            relation.set_unit(unit.changes());
            if leader && !app.role.is_empty() {
                relation.set_app(app.changes());
            }
        }
        Ok(())
    }

    /// What the coordinator has published.
    pub async fn published(&self) -> Result<Remote<CoordinatorAppData>, ToolError> {
        match self.hook.relations(&self.endpoint.name).await?.first() {
            Some(relation) => Ok(CoordinatorAppData::read(relation.remote_app_data().await?.as_ref())),
            None => Ok(Remote::Absent),
        }
    }

    /// What the hook's event means for this endpoint; `None` if nothing.
    pub async fn event(&self) -> Result<Option<RequirerEvent>, ToolError> {
        let relation = crate::wire::relation_of_event(&self.hook, &self.endpoint).await?;
        let mut published = Remote::Absent;
        let mut announced = false;
        if let Some(relation) = relation {
            published = CoordinatorAppData::read(relation.remote_app_data().await?.as_ref());
            announced = WorkerUnitData::read(Some(&relation.local_unit_data().await?)).is_ready();
            if announced && self.hook.is_leader().await? {
                announced = WorkerAppData::read(relation.local_app_data().await?.as_ref()).is_ready();
            }
        }
        Ok(requirer_event(self.hook.event(), &self.endpoint.name, &published, announced))
    }
}

#[cfg(test)]
mod tests {
    use juju_ops::{Databag, RelationEvent};

    use super::*;

    fn unit_data(number: u32) -> WorkerUnitData {
        WorkerUnitData {
            juju_topology: Topology {
                application: "tempo-w".into(),
                unit: format!("tempo-w/{number}"),
                charm_name: "tempo-worker-k8s".into(),
            },
            address: format!("tempo-w-{number}.tempo-w-endpoints.obs.svc.cluster.local"),
        }
    }

    fn workers(role: &str, units: u32) -> Workers {
        Workers {
            relation: RelationId::new("tempo-cluster", 4),
            app: "tempo-w".into(),
            data: Remote::Ready(WorkerAppData { role: role.into() }),
            units: (0..units).map(|n| (UnitName::new("tempo-w", n), Remote::Ready(unit_data(n)))).collect(),
        }
    }

    #[test]
    fn bytes_of_a_worker() {
        assert_eq!(
            *unit_data(0).write(),
            *Databag::from([
                (
                    "juju_topology",
                    r#"{"application": "tempo-w", "unit": "tempo-w/0", "charm_name": "tempo-worker-k8s"}"#
                ),
                ("address", r#""tempo-w-0.tempo-w-endpoints.obs.svc.cluster.local""#),
            ])
        );
        assert_eq!(WorkerUnitData::read(Some(&unit_data(0).write())), Remote::Ready(unit_data(0)));
        let roles = WorkerAppData::new([Role::Querier, Role::Compactor]);
        assert_eq!(*roles.write(), *Databag::from([("role", r#""compactor,querier""#)]));
    }

    #[test]
    fn bytes_of_the_coordinator() {
        let url = "http://tempo.obs.svc.cluster.local:4318";
        let mut data = CoordinatorAppData::new("auth_enabled: false\nserver:\n  http_listen_port: 3200\n");
        data.loki_endpoints =
            [("loki/0".into(), "http://tempo.obs.svc.cluster.local:3300/proxy/loki/loki-0/push".into())]
                .into();
        data.charm_tracing_receivers = [("otlp_http".into(), url.into())].into();
        data.workload_tracing_receivers = [("otlp_http".into(), url.into())].into();
        data.remote_write_endpoints =
            vec![RemoteWriteEndpoint { url: "http://tempo:3300/proxy/remote-write/prom-0/write".into() }];
        data.worker_ports = Some([9096, 7946, 3200, 4318].into());
        data.privkey_secret_id = Some("secret://m/d4kq2ov2v8s5b3a1c7a0".into());
        data.worker_labels = [("app.kubernetes.io/part-of".into(), "tempo".into())].into();
        let bag = Databag::from([
            ("worker_config", r#""auth_enabled: false\nserver:\n  http_listen_port: 3200\n""#),
            (
                "loki_endpoints",
                r#"{"loki/0": "http://tempo.obs.svc.cluster.local:3300/proxy/loki/loki-0/push"}"#,
            ),
            ("charm_tracing_receivers", r#"{"otlp_http": "http://tempo.obs.svc.cluster.local:4318"}"#),
            ("workload_tracing_receivers", r#"{"otlp_http": "http://tempo.obs.svc.cluster.local:4318"}"#),
            ("remote_write_endpoints", r#"[{"url": "http://tempo:3300/proxy/remote-write/prom-0/write"}]"#),
            ("worker_ports", "[3200, 4318, 7946, 9096]"),
            ("privkey_secret_id", r#""secret://m/d4kq2ov2v8s5b3a1c7a0""#),
            ("worker_labels", r#"{"app.kubernetes.io/part-of": "tempo"}"#),
        ]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(CoordinatorAppData::read(Some(&bag)), Remote::Ready(data));
    }

    #[test]
    fn empty_lists_are_written_and_absent_texts_are_deleted() {
        let changes: BTreeMap<_, _> = CoordinatorAppData::new("x: 1").changes().into_iter().collect();
        assert_eq!(changes.len(), 11);
        assert_eq!(changes["loki_endpoints"].as_deref(), Some("{}"));
        assert_eq!(changes["remote_write_endpoints"].as_deref(), Some("[]"));
        assert_eq!(changes["ca_cert"], None);
    }

    #[test]
    fn only_the_configuration_is_required() {
        let read = |pairs: &[(&str, &str)]| {
            CoordinatorAppData::read(Some(&pairs.iter().copied().collect::<Databag>()))
        };
        assert_eq!(read(&[("worker_config", r#""a: 1""#)]), Remote::Ready(CoordinatorAppData::new("a: 1")));
        assert_eq!(
            read(&[("worker_config", r#""a: 1""#), ("loki_endpoints", "null"), ("worker_ports", "null")]),
            Remote::Ready(CoordinatorAppData::new("a: 1"))
        );
        assert_eq!(read(&[("worker_ports", "[1]")]).reason(), Some("worker_config: missing"));
        assert_eq!(
            read(&[("worker_config", "a: 1"), ("worker_ports", "[1]")]).reason(),
            Some("worker_config: not valid JSON")
        );
    }

    #[test]
    fn the_configuration_is_never_shown() {
        let data = CoordinatorAppData::new("secret_key: hunter22");
        assert!(!format!("{data:?}").contains("hunter22"));
        let wrong = Databag::from([("worker_config", "\"secret_key: hunter22\" x")]);
        assert!(!format!("{:?}", CoordinatorAppData::read(Some(&wrong))).contains("hunter22"));
    }

    #[test]
    fn tls_takes_all_three_parts() {
        let mut data = CoordinatorAppData::new("a: 1");
        data.ca_cert = Some("ca".into());
        data.server_cert = Some("cert".into());
        assert_eq!(data.tls(), None);
        data.privkey_secret_id = Some("secret:d4kq2ov2v8s5b3a1c7a0".into());
        let tls = data.tls().unwrap();
        assert_eq!(
            (tls.ca_cert, tls.server_cert, tls.privkey.bare()),
            ("ca", "cert", "d4kq2ov2v8s5b3a1c7a0")
        );
    }

    #[test]
    fn roles_keep_what_is_unknown() {
        let roles = Roles::parse("all, querier,imposter,,imposter");
        assert_eq!(roles.known, BTreeSet::from([Role::All, Role::Querier]));
        assert_eq!(roles.unknown, ["imposter"]);
        assert_eq!(roles.expanded().len(), 6);
        assert!(!roles.expanded().contains(&Role::All));
        assert_eq!(roles.problem().as_deref(), Some("unknown role imposter"));
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
        assert!(Role::ALL.is_sorted());
    }

    #[test]
    fn one_silent_unit_holds_up_its_application() {
        assert_eq!(workers("all", 2).problem(), None);
        assert_eq!(workers("all", 0).problem().as_deref(), Some("tempo-w: no units yet"));
        let mut app = workers("all", 2);
        app.units.insert(UnitName::new("tempo-w", 1), Remote::Absent);
        assert_eq!(app.problem().as_deref(), Some("tempo-w/1: no address published yet"));
        app.units.insert(UnitName::new("tempo-w", 1), Remote::Invalid("address: missing".into()));
        assert_eq!(app.problem().as_deref(), Some("tempo-w/1: address: missing"));
        app.data = Remote::Absent;
        assert_eq!(app.problem().as_deref(), Some("tempo-w: no role published yet"));
    }

    #[test]
    fn gathering_counts_units_and_lists_addresses() {
        let mut silent = workers("querier", 2);
        silent.units.insert(UnitName::new("tempo-w", 1), Remote::Absent);
        let mut broken = workers("all", 1);
        broken.data = Remote::Invalid("role: not valid JSON".into());
        let apps = [silent, workers("ingester,imposter", 1), workers("compactor", 0), broken];
        assert_eq!(
            gather_roles(&apps),
            BTreeMap::from([(Role::Querier, 2), (Role::Ingester, 1), (Role::Compactor, 0)])
        );
        let address = unit_data(0).address;
        assert_eq!(
            gather_addresses_by_role(&apps),
            BTreeMap::from([
                (Role::Querier, BTreeSet::from([address.clone()])),
                (Role::Ingester, BTreeSet::from([address.clone()])),
            ])
        );
        assert_eq!(gather_addresses(&apps), BTreeSet::from([address]));
    }

    #[test]
    fn events_of_a_worker() {
        let id = RelationId::new("tempo-cluster", 4);
        let of = RelationEvent { id: id.clone(), remote_app: None, remote_unit: None, departing_unit: None };
        let changed = Event::RelationChanged(of.clone());
        let on = |event: &Event, data: &Remote<CoordinatorAppData>, announced| {
            requirer_event(event, "tempo-cluster", data, announced)
        };
        let ready = Remote::Ready(CoordinatorAppData::new("a: 1"));
        assert!(matches!(on(&changed, &ready, false), Some(RequirerEvent::ConfigReceived { .. })));
        assert_eq!(on(&changed, &Remote::Absent, false), None);
        let removed = |reason: Option<&str>| {
            Some(RequirerEvent::Removed { relation: id.clone(), reason: reason.map(str::to_owned) })
        };
        assert_eq!(on(&changed, &Remote::Absent, true), removed(None));
        assert_eq!(on(&changed, &Remote::Invalid("bad".into()), true), removed(Some("bad")));
        assert_eq!(on(&changed, &Remote::Ready(CoordinatorAppData::new(" ")), true), removed(None));
        assert_eq!(on(&Event::RelationBroken(of.clone()), &ready, false), removed(None));
        assert_eq!(
            on(&Event::RelationCreated(of), &ready, false),
            Some(RequirerEvent::Created { relation: id.clone() })
        );
        assert_eq!(on(&Event::Start, &ready, true), None);
    }
}
