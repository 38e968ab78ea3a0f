//! The exporter that turns nginx's status page into Prometheus metrics.

use std::collections::BTreeMap;

use juju_pebble::{Layer, Override, Service, Startup};

use crate::names::Container;
use crate::snapshot::FileDigest;

use super::nginx::{STATUS_ADDRESS, STATUS_PATH};
use super::{PlannedFile, Text, Workload};

/// The exporter's own web configuration (TLS, if any).
pub const WEB_CONFIG_PATH: &str = "/etc/exporter/web-config.yaml";
/// Name of the service, and label of its layer.
pub const SERVICE: &str = "nginx-prometheus-exporter";
/// Where the metrics are.
pub const PORT: u16 = 9113;

/// Nothing in it: metrics are served without TLS.
const WEB_CONFIG: &str = "{}\n";

/// What runs in the container.
pub(super) fn workload() -> Workload {
    // The exporter reads its files at its start only. Their digests in the environment change the service whenever
    // they change, and Pebble restarts a service that has changed.
    let reload = format!("{},{}", FileDigest::of(""), FileDigest::of(WEB_CONFIG));
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
    let content = Text::Plain(WEB_CONFIG.to_owned());
    Workload {
        container: Container::NginxPrometheusExporter,
        files: BTreeMap::from([(WEB_CONFIG_PATH.to_owned(), PlannedFile { content, mode: 0o644 })]),
        label: SERVICE.to_owned(),
        layer: Layer {
            summary: "nginx prometheus exporter layer".into(),
            description: "metrics of nginx".into(),
            services: BTreeMap::from([(SERVICE.to_owned(), service)]),
            ..Layer::default()
        },
    }
}
