//! Dashboards for Grafana.
//!
//! They are the same in every deployment, and so are made when the charm is built: `build/` turns the descriptions under
//! `src/assets/dashboards/` into what is published. All that is added here is whose they are.

use juju_ops::Scope;
use juju_relations::Topology;
use juju_relations::grafana_dashboard::{Dashboards, ProviderAppData, Template};
use sha2::{Digest, Sha256};

use crate::deployment::Deployment;
use crate::names::{CHARM_NAME, Endpoint};
use crate::snapshot::Identity;

use super::DatabagWrite;

/// A dashboard as it is published.
struct File {
    /// By which a relation knows it.
    id: &'static str,
    /// For Grafanas that find no `uid` in it.
    alternative_uid: &'static str,
    /// JSON in xz in base64.
    content: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/dashboards.rs"));

/// The dashboards, for every Grafana. In any state of the cluster, from the leader: what is not yet there is worth seeing.
pub(super) fn writes(d: &Deployment) -> Vec<DatabagWrite> {
    let related = d.links.of(Endpoint::GrafanaDashboard);
    if !d.identity.leader || related.is_empty() {
        return Vec::new();
    }
    // Tens of kilobytes, put together once for all relations.
    let write = DatabagWrite::new(Endpoint::GrafanaDashboard, 0, Scope::App, &data(&d.identity));
    related.iter().map(|relation| DatabagWrite { relation: *relation, ..write.clone() }).collect()
}

fn data(identity: &Identity) -> ProviderAppData {
    // No unit: they are the application's, and a change of the leader is no change of theirs.
    let topology = Topology {
        model: identity.model.clone(),
        model_uuid: identity.model_uuid.clone(),
        application: identity.app().to_owned(),
        unit: Some(String::new()),
        charm_name: String::new(),
    };
    let template = |file: &File| Template {
        charm: CHARM_NAME.to_owned(),
        content: file.content.to_owned(),
        juju_topology: Some(topology.clone()),
        inject_dropdowns: true,
        dashboard_alt_uid: Some(file.alternative_uid.to_owned()),
    };
    let templates = FILES.iter().map(|file| (file.id.to_owned(), template(file)));
    ProviderAppData { dashboards: Dashboards::new(templates, uuid(identity)), problems: Vec::new() }
}

/// A UUID that changes when the dashboards do, and then only.
fn uuid(identity: &Identity) -> String {
    let mut digest = Sha256::new();
    for part in [&identity.model, &identity.model_uuid, identity.app()] {
        digest.update(part);
        digest.update([0]);
    }
    digest.update(DIGEST);
    let mut bytes: [u8; 16] = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    // As a UUID says that it is one of random bits.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
