//! Clusters to try things on.

use std::collections::BTreeMap;

use juju_ops::{Databag, UnitName};

use crate::deployment::Deployment;
use crate::names::{Config, Endpoint};
use crate::snapshot::{CertificatesSnapshot, Host, Identity, KubernetesSnapshot, RelationSnapshot, Snapshot};

/// Relations of what is unlikely to be looked at by number.
const TRACING: u32 = 100;
const WORKERS: u32 = 10;

/// A cluster in the making. Its coordinator is `tempo/0` of model `obs`.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) leader: bool,
    pub(crate) config: Result<Config, String>,
    pub(crate) host: Host,
    pub(crate) relations: BTreeMap<Endpoint, Vec<RelationSnapshot>>,
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
            containers: BTreeMap::new(),
            opened_ports: [].into(),
            certificates: CertificatesSnapshot::default(),
            kubernetes: KubernetesSnapshot::default(),
            now: 1_790_000_000,
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
