//! Clusters to try things on.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use juju_ops::{Databag, SecretId, SecretInfo, UnitName};
use juju_pebble::{Layer, LogTarget};
use juju_relations::Wire;
use juju_relations::tls_certificates::{
    Authority, PRIVATE_KEY, PrivateKey, ProviderAppData, RequirerData, SigningRequest, request,
};

use crate::deployment::Deployment;
use crate::names::{Config, Container, Endpoint};
use crate::snapshot::{
    CertificatesSnapshot, ContainerSnapshot, ContainerState, Host, Identity, KubernetesSnapshot, Look,
    OwnSecret, RelationSnapshot, Snapshot,
};

/// Relations of what is unlikely to be looked at by number.
const TRACING: u32 = 100;
const WORKERS: u32 = 10;
const CERTIFICATES: u32 = 60;

/// When the hooks of these clusters run: a moment in 2026.
const NOW: i64 = 1_790_000_000;
/// A year, in seconds.
const YEAR: i64 = 365 * 24 * 3600;

/// The key of every unit that has one. Making one takes time.
pub(crate) static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate().unwrap());
/// Who signs: a root, and somebody in between.
pub(crate) static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let root = Authority::new("root.example", NOW - YEAR, NOW + 9 * YEAR).unwrap();
    root.with_intermediate("between.example", NOW - YEAR, NOW + 5 * YEAR).unwrap()
});

/// A cluster in the making. Its coordinator is `tempo/0` of model `obs`.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) leader: bool,
    pub(crate) config: Result<Config, String>,
    pub(crate) host: Host,
    pub(crate) relations: BTreeMap<Endpoint, Vec<RelationSnapshot>>,
    pub(crate) certificates: CertificatesSnapshot,
    pub(crate) containers: BTreeMap<Container, ContainerSnapshot>,
}

/// One application of two workers with every role, and a bucket.
pub(crate) fn complete() -> Cluster {
    Cluster::default().with_s3().worker("tw", "all", 2)
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            leader: true,
            config: Ok(Config::default()),
            host: Host {
                fqdn: "tempo-0.tempo-endpoints.obs.svc.cluster.local".into(),
                nameserver: Some([10, 152, 183, 10].into()),
                ipv6: false,
            },
            relations: BTreeMap::new(),
            certificates: CertificatesSnapshot::default(),
            containers: BTreeMap::new(),
        }
    }
}

impl Cluster {
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            identity: Identity {
                unit: UnitName::new("tempo", 0),
                model: "obs".into(),
                model_uuid: "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55".into(),
                leader: self.leader,
            },
            host: self.host.clone(),
            config: self.config.clone(),
            relations: self.relations.clone(),
            containers: self.containers.clone(),
            opened_ports: [].into(),
            certificates: self.certificates.clone(),
            kubernetes: KubernetesSnapshot::default(),
            remembered: Look::default(),
            look: None,
            now: NOW,
        }
    }

    pub(crate) fn deployment(&self) -> Deployment {
        Deployment::validate(&self.snapshot())
    }

    pub(crate) fn relate(mut self, endpoint: Endpoint, relation: RelationSnapshot) -> Self {
        self.relations.entry(endpoint).or_default().push(relation);
        self
    }

    pub(crate) fn with_s3(self) -> Self {
        self.s3_data(&[
            ("access-key", "AKEXAMPLE"),
            ("secret-key", "sekret"),
            ("bucket", "traces"),
            ("endpoint", "http://10.20.0.5:9000"),
        ])
    }

    pub(crate) fn s3_data(mut self, data: &[(&str, &str)]) -> Self {
        let relation = RelationSnapshot {
            id: 1,
            remote_app: Some("minio".into()),
            remote_app_data: Some(data.iter().copied().collect()),
            ..RelationSnapshot::default()
        };
        self.relations.insert(Endpoint::S3, vec![relation]);
        self
    }

    pub(crate) fn without_s3(mut self) -> Self {
        self.relations.remove(&Endpoint::S3);
        self
    }

    /// An application of workers whose units have all said where they are.
    pub(crate) fn worker(self, app: &str, role: &str, units: u32) -> Self {
        let id =
            WORKERS + u32::try_from(self.relations.get(&Endpoint::TempoCluster).map_or(0, Vec::len)).unwrap();
        let unit = |number: u32| {
            let topology = format!(
                r#"{{"application": "{app}", "unit": "{app}/{number}", "charm_name": "tempo-worker-k8s"}}"#
            );
            let address = format!(r#""{app}-{number}.{app}-endpoints.obs.svc.cluster.local""#);
            let bag = Databag::from([("juju_topology", topology), ("address", address)]);
            (UnitName::new(app, number), Some(bag))
        };
        let relation = RelationSnapshot {
            id,
            remote_app: Some(app.into()),
            remote_app_data: Some(Databag::from([("role", format!(r#""{role}""#))])),
            remote_units: (0..units).map(unit).collect(),
            ..RelationSnapshot::default()
        };
        self.relate(Endpoint::TempoCluster, relation)
    }

    /// Another unit of an application of workers, which has said nothing yet.
    pub(crate) fn silent_unit(mut self, app: &str) -> Self {
        let workers = self.relations.entry(Endpoint::TempoCluster).or_default();
        let relation =
            workers.iter_mut().find(|relation| relation.remote_app.as_deref() == Some(app)).unwrap();
        let number = u32::try_from(relation.remote_units.len()).unwrap();
        relation.remote_units.insert(UnitName::new(app, number), Some(Databag::new()));
        self
    }

    /// A requirer of receivers, with the text that it has written.
    pub(crate) fn requirer(self, receivers: &str) -> Self {
        let id = TRACING + u32::try_from(self.relations.get(&Endpoint::Tracing).map_or(0, Vec::len)).unwrap();
        let relation = RelationSnapshot {
            id,
            remote_app: Some(format!("requirer-{id}")),
            remote_app_data: Some(Databag::from([("receivers", receivers)])),
            ..RelationSnapshot::default()
        };
        self.relate(Endpoint::Tracing, relation)
    }

    /// A Prometheus with one unit per URL.
    pub(crate) fn remote_write(self, urls: &[&str]) -> Self {
        let unit = |(number, url): (usize, &&str)| {
            let bag = Databag::from([("remote_write", format!(r#"{{"url": "{url}"}}"#))]);
            (UnitName::new("prom", u32::try_from(number).unwrap()), Some(bag))
        };
        let relation = RelationSnapshot {
            id: 20,
            remote_app: Some("prom".into()),
            remote_units: urls.iter().enumerate().map(unit).collect(),
            ..RelationSnapshot::default()
        };
        self.relate(Endpoint::SendRemoteWrite, relation)
    }

    /// A Loki with one unit per URL; an empty one has not published any.
    pub(crate) fn loki(self, urls: &[&str]) -> Self {
        let unit = |(number, url): (usize, &&str)| {
            let bag: Databag = Some(("endpoint", format!(r#"{{"url": "{url}"}}"#)))
                .filter(|_| !url.is_empty())
                .into_iter()
                .collect();
            (UnitName::new("loki", u32::try_from(number).unwrap()), Some(bag))
        };
        let relation = RelationSnapshot {
            id: 30,
            remote_app: Some("loki".into()),
            remote_units: urls.iter().enumerate().map(unit).collect(),
            ..RelationSnapshot::default()
        };
        self.relate(Endpoint::Logging, relation)
    }

    /// A container that can be reached, with these log targets in its plan.
    pub(crate) fn container(
        mut self,
        container: Container,
        log_targets: BTreeMap<String, LogTarget>,
    ) -> Self {
        let plan = Layer { log_targets, ..Layer::default() };
        let state = ContainerState { plan, ..ContainerState::default() };
        self.containers.insert(container, ContainerSnapshot::Reachable(state));
        self
    }

    /// A Prometheus that scrapes, and what it was told before.
    pub(crate) fn scraped(self, jobs: Option<&str>) -> Self {
        let relation = RelationSnapshot {
            id: 35,
            remote_app: Some("prom".into()),
            local_app_data: jobs.map(|jobs| Databag::from([("scrape_jobs", jobs)])),
            ..RelationSnapshot::default()
        };
        self.relate(Endpoint::MetricsEndpoint, relation)
    }

    /// Another cluster that takes our own traces.
    pub(crate) fn other_cluster(self, endpoint: Endpoint, receivers: &str) -> Self {
        let relation = RelationSnapshot {
            id: 40 + u32::from(endpoint == Endpoint::SelfWorkloadTracing),
            remote_app: Some("other-tempo".into()),
            remote_app_data: Some(Databag::from([("receivers", receivers)])),
            ..RelationSnapshot::default()
        };
        self.relate(endpoint, relation)
    }

    /// An authority that has not answered yet; the unit has its key.
    pub(crate) fn with_authority(mut self) -> Self {
        let label = "afd8c2bccf834997afce12c2706d2ede-private-key-0-certificates".to_owned();
        let info = SecretInfo { revision: 1, label: label.clone(), ..SecretInfo::default() };
        let content = Some([(PRIVATE_KEY, KEY.to_pem())].into_iter().collect());
        let secret = OwnSecret { id: SecretId::new("secret:csecretwiththekey000"), info, content };
        self.certificates.secrets.insert(label, secret);
        let relation = RelationSnapshot {
            id: CERTIFICATES,
            remote_app: Some("ca".into()),
            local_unit_data: Some(Databag::new()),
            ..RelationSnapshot::default()
        };
        self.relate(Endpoint::Certificates, relation)
    }

    /// An authority that has signed what this cluster asks for.
    pub(crate) fn with_tls(self) -> Self {
        let mut cluster = self.with_authority();
        let asked = cluster.deployment().tls.request.unwrap().ask.unwrap();
        let csr = request(&KEY, &asked, "an id").unwrap();
        let mut answer = ProviderAppData::default();
        answer.answer(AUTHORITY.sign(&csr, NOW - YEAR / 4, NOW + 3 * YEAR / 4).unwrap());
        let relation = &mut cluster.relations.get_mut(&Endpoint::Certificates).unwrap()[0];
        relation.local_unit_data = Some(RequirerData::new([SigningRequest::new(csr, false)]).write());
        relation.remote_app_data = Some(answer.write());
        cluster
    }

    /// Other coordinator units that have said where they are.
    pub(crate) fn peers<const N: usize>(self, numbers: [u32; N]) -> Self {
        let unit = |number: u32| {
            let fqdn = format!(r#""tempo-{number}.tempo-endpoints.obs.svc.cluster.local""#);
            (UnitName::new("tempo", number), Some(Databag::from([("fqdn", fqdn)])))
        };
        let relation = RelationSnapshot {
            id: 50,
            remote_app: Some("tempo".into()),
            remote_units: numbers.into_iter().map(unit).collect(),
            ..RelationSnapshot::default()
        };
        self.relate(Endpoint::Peers, relation)
    }

    /// Another coordinator unit.
    pub(crate) fn peer(self) -> Self {
        let relation = RelationSnapshot {
            id: 50,
            remote_app: Some("tempo".into()),
            remote_units: BTreeMap::from([(UnitName::new("tempo", 1), None)]),
            ..RelationSnapshot::default()
        };
        self.relate(Endpoint::Peers, relation)
    }
}
