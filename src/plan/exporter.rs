//! The exporter that turns nginx's status page into Prometheus metrics.

use std::collections::{BTreeMap, BTreeSet};

use juju_pebble::{Layer, Override, Service, Startup};

use serde::Serialize;

use crate::deployment::Deployment;
use crate::names::Container;
use crate::snapshot::FileDigest;

use super::nginx::{STATUS_ADDRESS, STATUS_PATH};
use super::yaml::yaml;
use super::{PlannedFile, Workload};

/// The exporter's own web configuration (TLS, if any).
pub const WEB_CONFIG_PATH: &str = "/etc/exporter/web-config.yaml";
/// Name of the service, and label of its layer.
pub const SERVICE: &str = "nginx-prometheus-exporter";
/// Where the metrics are.
pub const PORT: u16 = 9113;

/// Digest of the layer that the exporter was last started with, written after that succeeded.
pub const STARTED_PATH: &str = "/etc/exporter/started";
/// The certificates that the exporter presents.
pub const CERTIFICATE_PATH: &str = "/etc/exporter/certs/server.crt";
/// The key of the first of them.
pub const KEY_PATH: &str = "/etc/exporter/certs/server.key";

/// Nothing in it: metrics are served without TLS.
const PLAIN: &str = "{}\n";

/// The exporter's configuration file with TLS.
#[derive(Serialize)]
struct WebConfig {
    tls_server_config: TlsServer,
}

#[derive(Serialize)]
struct TlsServer {
    cert_file: &'static str,
    key_file: &'static str,
}

/// What runs in the container.
pub(super) fn workload(d: &Deployment) -> Workload {
    let mut files = BTreeMap::new();
    let mut absent = BTreeSet::new();
    let (web_config, certified) = if let Some(certified) = d.tls.in_use() {
        let (bundle, key) = (certified.bundle(), certified.key_file());
        let digest = FileDigest::of(format!("{}{bundle}", key.expose()));
        // Both are for the exporter alone.
        files.insert(CERTIFICATE_PATH.to_owned(), PlannedFile { mode: 0o600, ..PlannedFile::plain(bundle) });
        files.insert(KEY_PATH.to_owned(), PlannedFile::secret(key.expose()));
        let tls_server_config = TlsServer { cert_file: CERTIFICATE_PATH, key_file: KEY_PATH };
        (yaml(&WebConfig { tls_server_config }), digest)
    } else {
        absent.extend([CERTIFICATE_PATH, KEY_PATH].map(str::to_owned));
        (PLAIN.to_owned(), FileDigest::of(""))
    };
    // The exporter reads its files at its start only. Their digests in the environment change the service whenever
    // they change, and Pebble restarts a service that has changed.
    let reload = format!("{certified},{}", FileDigest::of(&web_config));
    files.insert(WEB_CONFIG_PATH.to_owned(), PlannedFile::plain(web_config));
    let service = Service {
        override_: Override::Replace,
        summary: "nginx prometheus exporter".into(),
        // The status page is within the pod and never behind TLS, whatever nginx's other servers speak.
        command: format!(
            "nginx-prometheus-exporter --web.listen-address=:{PORT} \
             --nginx.scrape-uri=http://{STATUS_ADDRESS}{STATUS_PATH} --web.config.file={WEB_CONFIG_PATH}"
        ),
        startup: Some(Startup::Enabled),
        environment: BTreeMap::from([("_reload".to_owned(), reload)]),
        ..Service::default()
    };
    Workload {
        container: Container::NginxPrometheusExporter,
        files,
        absent,
        only_over: BTreeSet::new(),
        label: SERVICE.to_owned(),
        layer: Layer {
            summary: "nginx prometheus exporter layer".into(),
            description: "metrics of nginx".into(),
            services: BTreeMap::from([(SERVICE.to_owned(), service)]),
            ..Layer::default()
        },
    }
}

/// What may change while the cluster is incomplete: the certificates of an exporter that has some of ours.
pub(super) fn renewal(d: &Deployment) -> Option<Workload> {
    d.tls.in_use()?;
    let only_over = [WEB_CONFIG_PATH, CERTIFICATE_PATH, KEY_PATH].map(str::to_owned).into();
    Some(Workload { only_over, ..workload(d) })
}
