//! Neighbours that write anything at all.

use std::collections::BTreeMap;

use juju_sim::{Event, Relation, State};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRunner};

use crate::scene::{GRAFANA, S3, WORKERS, after, cases, charm, complete, context, deserted};

/// Databags through the whole charm, per relation. Readers and decisions alone get ten thousand each beside the code.
const CASES: u32 = 10_000;
/// Of neighbours with a key or two, of which there is less to get wrong.
const FEWER_CASES: u32 = 1_000;

/// Text in which what readers expect is likely: JSON of the right and of the wrong shape, YAML, nginx, control
/// characters.
fn value() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        "null",
        "true",
        "0",
        "-1",
        "1e999",
        "\"\"",
        "\"all\"",
        "\"all,querier,,x\"",
        "[]",
        "{}",
        "[[]]",
        "[null]",
        "[\"otlp_grpc\"]",
        "[\"otlp_grpc\",\"otlp_grpc\",1]",
        "[\"\\u0000\"]",
        "\"\\ud800\"",
        "http://",
        "http://[::1",
        "https://u:p@h:1/a?b#c",
        "h:99999",
        "a;}\nserver{}",
        "\"a b\"",
        "\"a;b\"",
        "\"x\\ninclude /etc/passwd;\"",
        "{\"application\":1}",
        "{\"application\":\"a\",\"unit\":\"a/0\",\"charm_name\":\"c\"}",
        "{\"application\":\"a}\",\"unit\":\"\",\"charm_name\":\"\\n\"}",
        "10.0.0.1",
        "https",
        "True",
        "edge.example.net:8443/obs?x",
        "\"10.0.0.1\"",
        "\"::1\"",
        "g1",
        "\"istio\"",
        "{\"a\":\"b\",\"c d\":1}",
        "{\"app_name\":\"a\",\"juju_model_name\":\"m\"}",
        "{\"errors\":[{\"dashboard_id\":\"\",\"error\":\"a\\nb\"},null]}",
        "{\"valid\":false}",
        "[{\"type\":\"loki\",\"uid\":\"l\",\"grafana_uid\":\"g1\"},{\"type\":1}]",
        "!!binary x",
        "&a *a",
        "---\n- x",
        "\u{feff}",
        "\u{85}\u{2028}",
        "😀",
    ])
    .prop_map(str::to_owned);
    prop_oneof![3 => known, 1 => text(r"\PC{0,40}"), 1 => text(r#"[\[\]{}",:a-z0-9/ ]{0,40}"#)]
}

/// Text of this form. A plain string would do too, but be parsed anew for each case.
fn text(regex: &str) -> impl Strategy<Value = String> {
    prop::string::string_regex(regex).expect("a regular expression")
}

fn databag(keys: &'static [&'static str]) -> impl Strategy<Value = BTreeMap<String, String>> {
    let key =
        prop_oneof![6 => prop::sample::select(keys).prop_map(str::to_owned), 1 => text("[a-z_-]{1,12}")];
    // To Juju the empty text and no key are one.
    let bag = prop::collection::btree_map(key, value(), 0..6);
    bag.prop_map(|bag| bag.into_iter().filter(|(_, value)| !value.is_empty()).collect())
}

fn check(
    relation: fn(BTreeMap<String, String>, BTreeMap<String, String>) -> Relation,
    event: fn() -> Event,
    keys: &'static [&'static str],
) {
    check_cases(CASES, relation, event, keys);
}

fn check_cases(
    wanted: u32,
    relation: fn(BTreeMap<String, String>, BTreeMap<String, String>) -> Relation,
    event: fn() -> Event,
    keys: &'static [&'static str],
) {
    let base = after(&complete(), Event::ConfigChanged);
    // Making up the data would else cost more than the charm that reads it.
    let rng_algorithm = RngAlgorithm::XorShift;
    let mut runner = TestRunner::new(Config {
        cases: cases(wanted),
        rng_algorithm,
        failure_persistence: None,
        ..Config::default()
    });
    let context = context();
    runner
        .run(&(databag(keys), databag(keys)), |(app, unit)| {
            let mut state: State = base.clone();
            let relation = relation(app, unit);
            match state.relations.iter_mut().find(|other| other.id == relation.id) {
                Some(other) => {
                    other.remote_app_data = relation.remote_app_data;
                    if !relation.remote_units.is_empty() {
                        other.remote_units = relation.remote_units;
                    }
                }
                None => state.relations.push(relation),
            }
            let out = context.run(&state, event(), charm);
            prop_assert!(out.result.is_ok(), "{:?}", out.result);
            let conf = out.state.containers["nginx"].file_text("/etc/nginx/nginx.conf").unwrap_or_default();
            prop_assert!(!conf.contains("passwd") && !conf.contains("server{}"), "{conf}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn tracing_requirers_may_write_anything() {
    check(
        |app, unit| {
            Relation::new("tracing", GRAFANA, "tracing", "grafana")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("tracing", GRAFANA),
        &["receivers"],
    );
}

#[test]
fn workers_may_write_anything() {
    check(
        |app, unit| {
            Relation::new("tempo-cluster", WORKERS, "tempo_cluster", "worker")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("tempo-cluster", WORKERS),
        &["role", "address", "juju_topology"],
    );
}

#[test]
fn s3_providers_may_write_anything() {
    check(
        |app, _| Relation::new("s3", S3, "s3", "s3").with_remote_app_data(app),
        || Event::relation_changed("s3", S3),
        &["access-key", "secret-key", "bucket", "endpoint", "region", "tls-ca-chain", "secret-extra", "data"],
    );
}

#[test]
fn peers_may_write_anything() {
    check(
        |app, unit| {
            Relation::peer("peers", 1, "tempo_peers", "tempo")
                .with_remote_unit(1, app)
                .with_remote_unit(2, unit)
        },
        || Event::relation_changed_unit("peers", 1, "tempo/1"),
        &["fqdn", "hostname"],
    );
}

#[test]
fn loki_may_write_anything() {
    check(
        |app, unit| {
            Relation::new("logging", 20, "loki_push_api", "logs")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("logging", 20),
        &["endpoint", "url"],
    );
}

/// What an earlier revision has left for Prometheus decides what stays while the cluster is incomplete.
#[test]
fn our_own_jobs_of_before_may_be_anything() {
    let (endpoint, id) = ("metrics-endpoint", 29);
    let relation = Relation::new(endpoint, id, "prometheus_scrape", "prom");
    let base = deserted(after(&complete().with_relation(relation), Event::UpdateStatus), S3);
    let rng_algorithm = RngAlgorithm::XorShift;
    let mut runner = TestRunner::new(Config {
        cases: cases(FEWER_CASES),
        rng_algorithm,
        failure_persistence: None,
        ..Config::default()
    });
    let context = context();
    runner
        .run(&databag(&["scrape_jobs", "scrape_metadata", "alert_rules"]), |left| {
            let mut state = base.clone();
            state.relation_mut(endpoint, id).expect("it is there").local_app_data = left;
            let out = context.run(&state, Event::relation_broken("s3", S3), charm);
            prop_assert!(out.result.is_ok(), "{:?}", out.result);
            let jobs = &out.relation(endpoint, id).local_app_data["scrape_jobs"];
            prop_assert_eq!(jobs, "[]");
            Ok(())
        })
        .unwrap();
}

#[test]
fn prometheus_may_write_anything() {
    check(
        |app, unit| {
            Relation::new("send-remote-write", 21, "prometheus_remote_write", "prom")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("send-remote-write", 21),
        &["remote_write"],
    );
}

#[test]
fn another_cluster_may_write_anything() {
    check(
        |app, unit| {
            Relation::new("self-charm-tracing", 22, "tracing", "other")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("self-charm-tracing", 22),
        &["receivers"],
    );
}

#[test]
fn traefik_may_write_anything() {
    check_cases(
        FEWER_CASES,
        |app, unit| {
            Relation::new("ingress", 23, "traefik_route", "traefik")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("ingress", 23),
        &["external_host", "scheme"],
    );
}

#[test]
fn istio_may_write_anything() {
    check_cases(
        FEWER_CASES,
        |app, unit| {
            Relation::new("istio-ingress", 24, "istio_ingress_route", "istio")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("istio-ingress", 24),
        &["external_host", "tls_enabled"],
    );
}

#[test]
fn grafana_may_write_anything() {
    check_cases(
        FEWER_CASES,
        |app, unit| {
            Relation::new("grafana-source", 25, "grafana_datasource", "grafana")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("grafana-source", 25),
        &["grafana_uid", "grafana_base_url", "datasource_uids", "app_datasource_uid"],
    );
}

#[test]
fn grafana_may_say_anything_of_dashboards() {
    check_cases(
        FEWER_CASES,
        |app, unit| {
            Relation::new("grafana-dashboard", 29, "grafana_dashboard", "grafana")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("grafana-dashboard", 29),
        &["event", "dashboards"],
    );
}

#[test]
fn owners_of_data_sources_may_write_anything() {
    check_cases(
        FEWER_CASES,
        |app, unit| {
            Relation::new("receive-datasource", 26, "grafana_datasource_exchange", "prom")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("receive-datasource", 26),
        &["datasources"],
    );
}

#[test]
fn a_mesh_may_write_anything() {
    check_cases(
        FEWER_CASES,
        |app, unit| {
            Relation::new("service-mesh", 27, "service_mesh", "beacon")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("service-mesh", 27),
        &["labels", "mesh_type"],
    );
}

#[test]
fn guests_of_a_mesh_may_write_anything() {
    check_cases(
        FEWER_CASES,
        |app, unit| {
            Relation::new("provide-cmr-mesh", 28, "cross_model_mesh", "grafana")
                .with_remote_app_data(app)
                .with_remote_unit(0, unit)
        },
        || Event::relation_changed("provide-cmr-mesh", 28),
        &["cmr_data"],
    );
}
