//! What the charm sees: a leader whose cluster is complete, and what its neighbours have written.

use std::collections::BTreeMap;

use juju_ops::{Databag, UnitName};
use tempo_coordinator::names::{Config, Endpoint};
use tempo_coordinator::snapshot::{
    CertificatesSnapshot, Host, Identity, KubernetesSnapshot, Look, RelationSnapshot, Snapshot,
};

/// The relations of each endpoint.
pub(crate) type Relations = BTreeMap<Endpoint, Vec<RelationSnapshot>>;

/// Numbers of relations below this are those of [`cluster`].
pub(crate) const FIRST_OTHER: u32 = 100;

/// A bucket, and a worker with every role.
pub(crate) fn cluster() -> Relations {
    let bucket = app(
        1,
        "minio",
        [
            ("access-key", "AKEXAMPLE"),
            ("secret-key", "sekret"),
            ("bucket", "traces"),
            ("endpoint", "http://10.20.0.5:9000"),
        ],
    );
    let mut worker = app(2, "tw", [("role", r#""all""#)]);
    let told = [
        ("juju_topology", r#"{"application": "tw", "unit": "tw/0", "charm_name": "tempo-worker-k8s"}"#),
        ("address", r#""tw-0.tw-endpoints.obs.svc.cluster.local""#),
    ];
    worker.remote_units.insert(UnitName::new("tw", 0), Some(told.into()));
    [(Endpoint::S3, vec![bucket]), (Endpoint::TempoCluster, vec![worker])].into()
}

/// A relation to an application with this data.
pub(crate) fn app<const N: usize>(id: u32, name: &str, data: [(&str, &str); N]) -> RelationSnapshot {
    RelationSnapshot {
        id,
        remote_app: Some(name.to_owned()),
        remote_app_data: Some(Databag::from(data)),
        ..RelationSnapshot::default()
    }
}

/// What the leader sees.
pub(crate) fn snapshot(relations: Relations) -> Snapshot {
    Snapshot {
        identity: Identity {
            unit: UnitName::new("tempo", 0),
            model: "obs".into(),
            model_uuid: "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55".into(),
            leader: true,
        },
        host: Host {
            fqdn: "tempo-0.tempo-endpoints.obs.svc.cluster.local".into(),
            nameserver: Some([10, 152, 183, 10].into()),
            ipv6: false,
        },
        config: Ok(Config::default()),
        relations,
        containers: BTreeMap::new(),
        opened_ports: [].into(),
        certificates: CertificatesSnapshot::default(),
        kubernetes: KubernetesSnapshot::default(),
        remembered: Look::default(),
        look: None,
        now: 1_790_000_000,
    }
}
