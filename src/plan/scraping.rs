//! What a Prometheus scrapes: every worker, through nginx, and of each coordinator unit the exporter of its nginx and the
//! page of its own metrics.

use std::collections::BTreeMap;

use juju_ops::{Scope, UnitName};
use juju_relations::Topology;
use juju_relations::prometheus_scrape::{ProviderAppData, RelabelConfig, ScrapeJob, UnitData};

use crate::deployment::address::{Host, Scheme};
use crate::deployment::{Deployment, WorkerUnit};
use crate::names::{CHARM_NAME, Endpoint};

use super::{DatabagWrite, exporter, nginx, rules};

/// In any state of the cluster: where this unit is, and from the leader who we are, the jobs and the rules.
pub(super) fn writes(d: &Deployment, ready: bool) -> Vec<DatabagWrite> {
    let address = d.exposure.published().host.to_string();
    let unit = UnitData::new(d.identity.unit.to_string(), address);
    let mut writes = Vec::new();
    for id in d.links.of(Endpoint::MetricsEndpoint) {
        writes.push(DatabagWrite::new(Endpoint::MetricsEndpoint, *id, Scope::Unit, &unit));
        if d.identity.leader {
            let data = ProviderAppData {
                scrape_metadata: Some(topology(d)),
                scrape_jobs: if ready { jobs(d) } else { still_there(d, *id) },
                alert_rules: Some(rules::prometheus(d)),
                problems: Vec::new(),
            };
            writes.push(DatabagWrite::new(Endpoint::MetricsEndpoint, *id, Scope::App, &data));
        }
    }
    writes
}

/// Who we are to those that collect metrics and logs. No reader needs the name of a unit, and that of the leader would
/// change the databag with each change of leader.
pub(super) fn topology(d: &Deployment) -> Topology {
    Topology {
        model: d.identity.model.clone(),
        model_uuid: d.identity.model_uuid.clone(),
        application: d.identity.app().to_owned(),
        unit: None,
        charm_name: CHARM_NAME.to_owned(),
    }
}

/// One job for each worker, by name; then one for the exporter of each coordinator unit, by name; then one for the own
/// metrics of each.
fn jobs(d: &Deployment) -> Vec<ScrapeJob> {
    let workers: BTreeMap<&UnitName, &WorkerUnit> =
        d.workers.iter().flat_map(|app| &app.units).map(|worker| (&worker.unit, worker)).collect();
    let coordinators: BTreeMap<&UnitName, &Host> =
        d.peers.iter().chain([(&d.identity.unit, &d.unit_host)]).collect();
    let workers = workers.into_values().map(|unit| worker(d, unit));
    let exporters = coordinators.iter().map(|(unit, host)| coordinator(d, unit, host, EXPORTER));
    let own = coordinators.iter().map(|(unit, host)| coordinator(d, unit, host, OWN));
    workers.chain(exporters).chain(own).collect()
}

/// While the cluster is incomplete, nginx goes on with what it has: what could be scraped before still can be. Those
/// that have left since cannot, and for those that have come since nginx has no location yet.
fn still_there(d: &Deployment, relation: u32) -> Vec<ScrapeJob> {
    let place = |job: &ScrapeJob| {
        let targets = job.static_configs.iter().map(|config| config.targets.clone());
        (job.metrics_path.clone(), targets.collect::<Vec<_>>())
    };
    let known: Vec<_> = jobs(d).iter().map(place).collect();
    let told = d.scraped.get(&relation).into_iter().flatten();
    told.filter(|job| known.contains(&place(job))).cloned().collect()
}

/// A worker is found behind nginx of any coordinator unit. Its labels are set by changes of labels, since those come
/// after the labels that Prometheus gives to what it takes for a unit of ours.
fn worker(d: &Deployment, worker: &WorkerUnit) -> ScrapeJob {
    let target = format!("{}:{}", d.app_host, nginx::TELEMETRY_PORT);
    ScrapeJob {
        relabel_configs: vec![
            RelabelConfig::set("juju_charm", &worker.charm),
            RelabelConfig::set("juju_unit", &worker.name),
            RelabelConfig::set("juju_application", &worker.application),
            RelabelConfig::set("juju_model", &d.identity.model),
            RelabelConfig::set("juju_model_uuid", &d.identity.model_uuid),
        ],
        scheme: scheme(d),
        ..ScrapeJob::new(nginx::metrics_path(&worker.unit), [target])
    }
}

/// Where the metrics of a unit's nginx are, and those of the coordinator itself.
const EXPORTER: (u16, &str) = (exporter::PORT, "/metrics");
const OWN: (u16, &str) = (nginx::TELEMETRY_PORT, nginx::COORDINATOR_METRICS_PATH);

/// A page of one coordinator unit.
fn coordinator(d: &Deployment, unit: &UnitName, host: &Host, (port, path): (u16, &str)) -> ScrapeJob {
    let mut job = ScrapeJob::new(path, [format!("{host}:{port}")]);
    for config in &mut job.static_configs {
        config.labels.insert("juju_unit".to_owned(), unit.to_string());
    }
    ScrapeJob { scheme: scheme(d), ..job }
}

/// Prometheus speaks plain text where nothing is said.
fn scheme(d: &Deployment) -> Option<String> {
    (d.exposure.internal.scheme == Scheme::Https).then(|| Scheme::Https.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{Cluster, complete};
    use crate::plan::plan;

    /// The keys that are written into one databag of the relation with Prometheus; nothing if none are.
    fn told(cluster: &Cluster, scope: Scope) -> Option<Value> {
        let plan = plan(&cluster.deployment());
        let write = plan
            .publications
            .iter()
            .find(|write| write.endpoint == Endpoint::MetricsEndpoint && write.scope == scope)?;
        let parsed = |text: &str| match scope {
            Scope::App => serde_json::from_str(text).unwrap(),
            Scope::Unit => Value::from(text),
        };
        let keys = write.data.iter();
        Some(keys.map(|(key, text)| (key.clone(), text.as_ref().map(|text| parsed(text.expose())))).collect())
    }

    fn jobs_of(cluster: &Cluster) -> Value {
        told(cluster, Scope::App).unwrap()["scrape_jobs"].take()
    }

    fn of_worker(unit: &str, app: &str) -> Value {
        let set = |label: &str, text: &str| json!({"target_label": label, "replacement": text});
        json!({
            "metrics_path": format!("/proxy/worker/{}/metrics", unit.replace('/', "-")),
            "static_configs": [{"targets": ["tempo.obs.svc.cluster.local:3300"]}],
            "relabel_configs": [
                set("juju_charm", "tempo-worker-k8s"),
                set("juju_unit", unit),
                set("juju_application", app),
                set("juju_model", "obs"),
                set("juju_model_uuid", "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55"),
            ],
        })
    }

    fn of_exporter(number: u32) -> Value {
        of_unit(number, 9113, "/metrics")
    }

    fn of_coordinator(number: u32) -> Value {
        of_unit(number, 3300, "/coordinator/metrics")
    }

    fn of_unit(number: u32, port: u16, path: &str) -> Value {
        json!({
            "metrics_path": path,
            "static_configs": [{
                "targets": [format!("tempo-{number}.tempo-endpoints.obs.svc.cluster.local:{port}")],
                "labels": {"juju_unit": format!("tempo/{number}")},
            }],
        })
    }

    #[test]
    fn workers_come_by_name_and_then_coordinators_by_name() {
        let cluster =
            complete().worker("also", "querier", 11).silent_unit("also").peers([10, 2]).scraped(None);
        let also = (0..11).map(|n| of_worker(&format!("also/{n}"), "also"));
        let rest = [of_worker("tw/0", "tw"), of_worker("tw/1", "tw")];
        let units = [0, 2, 10].map(of_exporter).into_iter().chain([0, 2, 10].map(of_coordinator));
        assert_eq!(jobs_of(&cluster), also.chain(rest).chain(units).collect::<Value>());
    }

    #[test]
    fn every_worker_that_is_scraped_has_a_location() {
        let cluster = complete().worker("also", "imposter", 2).scraped(None);
        let plan = plan(&cluster.deployment());
        let config = plan.nginx.unwrap().files[nginx::CONFIG_PATH].content.expose().to_owned();
        for job in jobs_of(&cluster).as_array().unwrap() {
            let path = job["metrics_path"].as_str().unwrap();
            assert!(path == "/metrics" || config.contains(&format!("location = {path} {{")), "{path}");
        }
    }

    #[test]
    fn with_tls_all_of_it_is_scraped_with_tls() {
        let jobs = jobs_of(&complete().with_tls().peers([1]).scraped(None));
        let jobs = jobs.as_array().unwrap();
        assert_eq!(jobs.len(), 6);
        assert!(jobs.iter().all(|job| job["scheme"] == "https"), "{jobs:#?}");
    }

    #[test]
    fn who_we_are_does_not_depend_on_who_leads() {
        let told = told(&complete().scraped(None), Scope::App).unwrap();
        assert_eq!(
            told["scrape_metadata"],
            json!({
                "model": "obs", "model_uuid": "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55", "application": "tempo",
                "charm_name": "tempo-coordinator-k8s",
            })
        );
        assert!(told["alert_rules"].is_object());
    }

    #[test]
    fn each_unit_says_where_it_is_and_the_leader_alone_says_more() {
        let mut cluster = Cluster::default().scraped(None);
        cluster.leader = false;
        assert_eq!(told(&cluster, Scope::App), None);
        let unit = told(&cluster, Scope::Unit).unwrap();
        assert_eq!(unit["prometheus_scrape_unit_address"], "tempo.obs.svc.cluster.local");
        assert_eq!(unit["prometheus_scrape_unit_name"], "tempo/0");
        assert_eq!(unit["prometheus_scrape_unit_path"], Value::Null);
    }

    #[test]
    fn where_nothing_can_be_scraped_there_is_an_empty_list() {
        for cluster in [Cluster::default(), complete().without_s3()] {
            for before in [None, Some(r#"[{"static_configs": [{"targets": ["*:80"]}]}]"#), Some("nonsense")] {
                assert_eq!(jobs_of(&cluster.clone().scraped(before)), json!([]), "{before:?}");
            }
        }
    }

    #[test]
    fn an_incomplete_cluster_is_scraped_for_what_is_left_of_it() {
        let before = jobs_of(&complete().worker("gone", "querier", 1).with_tls().peers([1, 2]).scraped(None));
        let text = before.to_string();
        let left = complete().without_s3().worker("new", "querier", 1).peers([2, 3]).scraped(Some(&text));
        let jobs = jobs_of(&left);
        // As nginx goes on with TLS, so does who scrapes.
        let secured = |mut job: Value| {
            job["scheme"] = "https".into();
            job
        };
        let expect = [
            of_worker("tw/0", "tw"),
            of_worker("tw/1", "tw"),
            of_exporter(0),
            of_exporter(2),
            of_coordinator(0),
            of_coordinator(2),
        ];
        assert_eq!(jobs, expect.map(secured).into_iter().collect::<Value>());
    }

    #[test]
    fn a_worker_of_another_model_is_called_what_it_calls_itself() {
        let mut cluster = complete().scraped(None);
        let workers = &mut cluster.relations.get_mut(&Endpoint::TempoCluster).unwrap()[0].remote_units;
        let bag = workers.remove(&UnitName::new("tw", 0)).unwrap();
        workers.insert(UnitName::new("remote-0123", 0), bag);
        let job = &jobs_of(&cluster)[0];
        assert_eq!(job["metrics_path"], "/proxy/worker/remote-0123-0/metrics");
        assert_eq!(job["relabel_configs"][1]["replacement"], "tw/0");
    }
}
