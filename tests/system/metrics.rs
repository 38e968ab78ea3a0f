//! A real Prometheus scrapes what the charm tells it to.

use std::collections::{BTreeMap, BTreeSet};

use juju_sim::client::Request;
use serde_json::Value;

use crate::model::{Model, up_with};

const PROMETHEUS: &str = "prom: {charm: 'double:prometheus'}";
const SCRAPED: &str = "'tempo:metrics-endpoint', 'prom:metrics-endpoint'";
const AUTHORITY: &str = "ca: {charm: 'double:certificates'}";
const RELATION: [&str; 2] = ["tempo:certificates", "ca:certificates"];

/// What its Prometheus answers at a path of its API; nothing while it does not answer well.
fn ask(model: &Model, path: &str) -> Value {
    let url = format!("http://localhost:9090/api/v1/{path}");
    let told =
        model.client.exec("prom/0", None, &["juju-sim", "workload", "fetch", &url]).expect("it is asked");
    let answer: Value = serde_json::from_str(&told.stdout).unwrap_or_default();
    answer["data"].clone()
}

/// `scheme unit path` of each target with what is wrong with it, if anything is.
fn targets(model: &Model) -> BTreeMap<String, String> {
    let answer = ask(model, "targets?state=active");
    let targets = answer["activeTargets"].as_array().cloned().unwrap_or_default();
    let shown = |target: Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let url = text(&target["scrapeUrl"]);
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let path = rest.find('/').map_or("", |at| &rest[at..]);
        let problem = if target["health"] == "up" {
            String::new()
        } else {
            format!("{}: {}", text(&target["health"]), text(&target["lastError"]))
        };
        (format!("{scheme} {} {path}", text(&target["labels"]["juju_unit"])), problem)
    };
    targets.into_iter().map(shown).collect()
}

/// Waits until exactly these workers are scraped, and both pages of each coordinator unit, and nothing is wrong with any.
#[track_caller]
fn scrapes(model: &Model, scheme: &str, workers: &[&str]) {
    let worker = |unit: &&str| format!("{scheme} {unit} /proxy/worker/{}/metrics", unit.replace('/', "-"));
    let pages = ["tempo/0", "tempo/1"]
        .into_iter()
        .flat_map(|unit| ["/coordinator/metrics", "/metrics"].map(|path| format!("{scheme} {unit} {path}")));
    let wanted: BTreeSet<String> = workers.iter().map(worker).chain(pages).collect();
    model.until("Prometheus scrapes every target", |model| {
        let targets = targets(model);
        targets.keys().eq(&wanted) && targets.values().all(String::is_empty)
    });
}

/// Value and labels of the series that a query finds.
fn query(model: &Model, query: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let answer = ask(model, &format!("query?query={query}"));
    let series = answer["result"].as_array().cloned().unwrap_or_default();
    let one = |series: Value| {
        let labels = serde_json::from_value(series["metric"].clone()).unwrap_or_default();
        (series["value"][1].as_str().unwrap_or_default().to_owned(), labels)
    };
    series.into_iter().map(one).collect()
}

#[test]
fn every_target_is_scraped_and_says_whose_it_is() {
    let model = up_with("", &[PROMETHEUS], &[SCRAPED]);
    scrapes(&model, "http", &["worker/0"]);

    model.until("nginx is up", |model| query(model, "nginx_up").len() == 2);
    let up = query(&model, "nginx_up");
    assert!(up.iter().all(|(value, _)| value == "1"), "{up:?}");
    let uuid = model.client.status().unwrap().uuid;
    let labels = |charm: &str, unit: &str| {
        let app = unit.split('/').next().unwrap_or_default();
        [
            ("juju_application", app),
            ("juju_charm", charm),
            ("juju_model", "m"),
            ("juju_model_uuid", &uuid),
            ("juju_unit", unit),
        ]
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .into_iter()
        .collect::<BTreeMap<_, _>>()
    };
    let juju = |(_, labels): &(String, BTreeMap<String, String>)| {
        labels.clone().into_iter().filter(|(label, _)| label.starts_with("juju_")).collect::<BTreeMap<_, _>>()
    };
    let found: BTreeSet<_> = query(&model, "up").iter().map(juju).collect();
    let wanted = BTreeSet::from([
        labels("tempo-coordinator-k8s", "tempo/0"),
        labels("tempo-coordinator-k8s", "tempo/1"),
        labels("tempo-worker-k8s", "worker/0"),
    ]);
    assert_eq!(found, wanted);
    for (value, labels) in query(&model, "tempo_coordinator_build_info") {
        assert_eq!((value.as_str(), labels["juju_application"].as_str()), ("1", "tempo"), "{labels:?}");
    }
    // A worker's instance is its own, though it is found at the coordinator's address.
    let instances: BTreeSet<_> =
        query(&model, "up").iter().map(|(_, labels)| labels["instance"].clone()).collect();
    assert!(instances.contains(&format!("m_{uuid}_worker_worker/0")), "{instances:?}");
}

#[test]
fn targets_come_and_go_with_units() {
    let model = up_with("", &[PROMETHEUS], &[SCRAPED]);
    scrapes(&model, "http", &["worker/0"]);
    let add = Request::AddUnit { app: "worker".into(), count: 1 };
    model.client.request(&add).unwrap();
    model.settle();
    scrapes(&model, "http", &["worker/0", "worker/1"]);
    let remove = Request::RemoveUnit { target: "worker".into(), count: 1, force: false };
    model.client.request(&remove).unwrap();
    model.settle();
    scrapes(&model, "http", &["worker/0"]);
}

#[test]
fn everything_is_scraped_with_tls_while_there_is_an_authority() {
    let model = up_with("", &[PROMETHEUS, AUTHORITY], &[SCRAPED]);
    model.client.integrate(RELATION[0], RELATION[1]).unwrap();
    model.settle();
    scrapes(&model, "https", &["worker/0"]);
    let up = query(&model, "nginx_up");
    assert!(!up.is_empty() && up.iter().all(|(value, _)| value == "1"), "{up:?}");
    model.client.remove_relation(RELATION[0], RELATION[1]).unwrap();
    model.settle_but("ca");
    scrapes(&model, "http", &["worker/0"]);
}

#[test]
fn every_rule_can_be_evaluated() {
    let model = up_with("", &[PROMETHEUS], &[SCRAPED]);
    let told = &model.relation("tempo/0", "metrics-endpoint").local_application_data["alert_rules"];
    let told: Value = serde_json::from_str(told).expect("rules are JSON");
    let groups = told["groups"].as_array().map_or(0, Vec::len);
    let rules = |model: &Model| -> (usize, Vec<Value>) {
        let answer = ask(model, "rules");
        let groups = answer["groups"].as_array().cloned().unwrap_or_default();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
        (groups.len(), rules.collect())
    };
    model.until("all rules are evaluated", |model| {
        let (known, rules) = rules(model);
        known == groups && rules.iter().all(|rule| rule["health"] != "unknown")
    });
    for rule in rules(&model).1 {
        assert_eq!(rule["health"], "ok", "{}: {}", rule["name"], rule["lastError"]);
    }
}
