//! Databags of every interface, both sides.

use std::fmt::Debug;

use juju_ops::{Databag, RelationId, Remote, UnitName};
use juju_relations::prometheus_scrape::{Source, scrape_configs};
use juju_relations::{
    Wire, blackbox_exporter_probes, catalogue, cross_model_mesh, grafana_dashboard, grafana_datasource,
    grafana_datasource_exchange, istio_ingress_route, loki_push_api, prometheus_remote_write,
    prometheus_scrape, s3, service_mesh, tempo_api, tempo_cluster, tempo_peers, tls_certificates, tracing,
    traefik_route,
};

use crate::{assert_showable, texts};

/// Every reader of a databag.
const READERS: [fn(&Databag); 37] = [
    check::<blackbox_exporter_probes::ProviderAppData>,
    check::<catalogue::Item>,
    check::<cross_model_mesh::RequirerAppData>,
    check::<grafana_dashboard::ProviderAppData>,
    check::<grafana_dashboard::RequirerAppData>,
    check::<grafana_datasource::GrafanaAppData>,
    check::<grafana_datasource::SourceAppData>,
    check::<grafana_datasource::SourceUnitData>,
    check::<grafana_datasource_exchange::AppData>,
    check::<istio_ingress_route::ProviderAppData>,
    check::<istio_ingress_route::RequirerAppData>,
    check::<loki_push_api::ProviderAppData>,
    check::<loki_push_api::RequirerAppData>,
    check::<loki_push_api::UnitData>,
    check::<prometheus_remote_write::ProviderAppData>,
    check::<prometheus_remote_write::RequirerAppData>,
    check::<prometheus_remote_write::UnitData>,
    check::<prometheus_scrape::ProviderAppData>,
    check::<prometheus_scrape::RequirerAppData>,
    check::<prometheus_scrape::UnitData>,
    check::<s3::ProviderAppData>,
    check::<s3::RequirerAppData>,
    check::<service_mesh::ProviderAppData>,
    check::<service_mesh::RequirerAppData>,
    check::<tempo_api::ProviderAppData>,
    check::<tempo_cluster::CoordinatorAppData>,
    check::<tempo_cluster::WorkerAppData>,
    check::<tempo_cluster::WorkerUnitData>,
    check::<tempo_peers::AppData>,
    check::<tempo_peers::UnitData>,
    check::<tls_certificates::ProviderAppData>,
    check::<tls_certificates::RequirerData>,
    check::<tracing::ProviderAppData>,
    check::<tracing::RequirerAppData>,
    check::<traefik_route::ProviderAppData>,
    check::<traefik_route::RequirerAppData>,
    further,
];

/// Each interface reads a databag the same way twice, names the key that it cannot use in a short line, and can read again
/// what it writes. The texts of an input are key, value, key, value.
pub fn databags(data: &[u8]) {
    let texts = texts(data);
    let pairs = texts.chunks(2).map(|pair| (pair[0].as_str(), pair.get(1).map_or("", String::as_str)));
    let bag: Databag = pairs.filter(|(_, value)| !value.is_empty()).collect();
    for read in READERS {
        read(&bag);
    }
}

fn check<T: Wire + PartialEq + Debug>(bag: &Databag) {
    let read = T::read(Some(bag));
    assert_eq!(read, T::read(Some(bag)));
    match read {
        Remote::Ready(data) => {
            let written = data.write();
            let owned = data.changes();
            assert!(written.keys().all(|key| owned.iter().any(|(owned, _)| owned == key)), "{written:?}");
            assert!(!matches!(T::read(Some(&written)), Remote::Invalid(_)), "{data:?}");
        }
        Remote::Invalid(reason) => {
            assert_showable(&reason);
            assert!(T::KEYS.iter().any(|key| reason.contains(key)), "no key named: {reason:?}");
        }
        Remote::Absent | Remote::Denied => {}
    }
}

/// What is made of some databags after they have been read.
fn further(bag: &Databag) {
    let bag = Some(bag);
    if let Remote::Ready(data) = grafana_dashboard::ProviderAppData::read(bag) {
        data.dashboards.texts().filter_map(Result::err).for_each(|error| assert_showable(&error.to_string()));
    }
    if let Remote::Ready(data) = grafana_dashboard::RequirerAppData::read(bag) {
        data.verdict.complaints().for_each(|complaint| assert_showable(&complaint));
    }
    if let Remote::Ready(data) = tempo_cluster::WorkerAppData::read(bag) {
        data.roles().problem().iter().for_each(|problem| assert_showable(problem));
    }
    if let Remote::Ready(data) = tracing::Requested::read(bag) {
        data.problem().iter().for_each(|problem| assert_showable(problem));
    }
    if let Remote::Ready(data) = traefik_route::RequirerAppData::read(bag) {
        data.problem().iter().for_each(|problem| assert_showable(problem));
        if let Ok(routes) = data.dynamic() {
            let again = traefik_route::RequirerAppData { config: routes.to_yaml(), ..data };
            assert_eq!(again.dynamic(), Ok(routes));
        }
    }
    let source = Source {
        relation: RelationId::new("e", 1),
        data: prometheus_scrape::ProviderAppData::read(bag),
        units: [(UnitName::new("a", 0), prometheus_scrape::UnitData::read(bag))].into(),
    };
    let jobs = scrape_configs(source.scraped());
    let mut names: Vec<_> = jobs.iter().map(|job| &job.job_name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), jobs.len(), "every job has a name of its own");
}
