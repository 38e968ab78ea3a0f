//! What workers are told.

use std::collections::{BTreeMap, BTreeSet};

use juju_ops::Scope;
use juju_ops::databag::json_text;
use juju_relations::tempo_cluster::{CHAIN_SEPARATOR, CoordinatorAppData, RemoteWriteEndpoint};

use crate::deployment::address::Url;
use crate::deployment::tls::CertifiedKey;
use crate::deployment::{Deployment, S3, S3Bucket};
use crate::names::Endpoint;
use crate::secret::Secret;
use crate::tempo::{self, Protocol, Role};

use super::nginx::{self, About};
use super::{DatabagWrite, Receiver, Text, receivers, tempo_config};

/// The label by which everything of one cluster is found.
const PART_OF: &str = "app.kubernetes.io/part-of";

/// One databag for each application with a role and with a unit that can be reached; `None` if there is no valid
/// configuration to tell.
///
/// A unit that has said nothing yet does not hold up its application: the others need the configuration now, and the
/// new one joins with the next.
pub(super) fn writes(d: &Deployment, receivers: &[Receiver]) -> Option<Vec<DatabagWrite>> {
    let S3::Ready(s3) = &d.s3 else { return None };
    let retention_hours = *d.settings.as_ref().ok()?.retention_hours.as_ref().ok()?;
    let config = tempo_config::document(d, s3, retention_hours);
    let ready = d.workers.iter().filter(|app| !app.units.is_empty());
    let ready = ready.filter_map(|app| Some((app.relation, app.roles.as_ref()?)));
    Some(ready.map(|(relation, roles)| write(d, s3, &config, receivers, relation, roles)).collect())
}

fn write(
    d: &Deployment,
    s3: &S3Bucket,
    config: &Secret,
    receivers: &[Receiver],
    relation: u32,
    roles: &BTreeSet<Role>,
) -> DatabagWrite {
    let data = CoordinatorAppData {
        loki_endpoints: nginx::loki_urls(d).into_iter().map(|(unit, url)| (unit.to_string(), url)).collect(),
        charm_tracing_receivers: tracing(d, About::Charm, d.telemetry.charm_tracing.as_ref(), receivers),
        workload_tracing_receivers: tracing(
            d,
            About::Workload,
            d.telemetry.workload_tracing.as_ref(),
            receivers,
        ),
        remote_write_endpoints: nginx::remote_write_urls(d)
            .into_iter()
            .map(|url| RemoteWriteEndpoint { url })
            .collect(),
        worker_ports: Some(ports(d, roles)),
        ca_cert: d.tls.in_use().map(|certified| certified.ca.clone()),
        server_cert: d.tls.in_use().map(CertifiedKey::served),
        privkey_secret_id: d.tls.in_use().map(|certified| key_uri(d, certified)),
        s3_tls_ca_chain: s3.ca_chain.as_ref().map(|chain| chain.join(CHAIN_SEPARATOR)),
        worker_labels: labels(d),
        ..CoordinatorAppData::new(config.expose())
    };
    let mut write = DatabagWrite::new(Endpoint::TempoCluster, relation, Scope::App, &data);
    if let Some(Some(text)) = write.data.get_mut("worker_config") {
        // As in the databag, but for the credentials.
        let shown = json_text(config.shown()).unwrap_or_default();
        *text = Text::Secret(Secret::with_shown(text.expose(), shown));
    }
    write
}

/// What makes the workers' pods part of this cluster, and of the mesh if there is one.
fn labels(d: &Deployment) -> BTreeMap<String, String> {
    let mut labels = d.mesh.labels.clone();
    labels.insert(PART_OF.to_owned(), d.identity.app().to_owned());
    labels
}

/// The secret with the key in the form that names its model: workers may be in another one.
fn key_uri(d: &Deployment, certified: &CertifiedKey) -> String {
    format!("secret://{}/{}", d.identity.model_uuid, certified.key_secret.bare())
}

/// Another cluster's receivers if it offers any, through nginx; else our own.
fn tracing(
    d: &Deployment,
    about: About,
    others: Option<&BTreeMap<Protocol, Url>>,
    own: &[Receiver],
) -> BTreeMap<String, String> {
    match others {
        Some(others) => nginx::tracing_urls(d, about, others)
            .into_iter()
            .map(|(protocol, url)| (protocol.name().to_owned(), url))
            .collect(),
        None => receivers::by_name(own),
    }
}

/// What workers with these roles listen on.
fn ports(d: &Deployment, roles: &BTreeSet<Role>) -> BTreeSet<u16> {
    let mut ports = BTreeSet::from([tempo::MEMBERLIST_PORT, tempo::HTTP_PORT]);
    if roles.contains(&Role::Distributor) {
        ports.extend(d.active_protocols().into_iter().map(tempo::receiver_port));
    }
    if roles.contains(&Role::QueryFrontend) {
        ports.insert(tempo::GRPC_PORT);
    }
    ports
}
