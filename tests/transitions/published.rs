//! Where the cluster says that it is, to those that query, list or watch it.

use juju_sim::{Event, Relation, State};
use serde_json::{Value, json};

use crate::scene::{S3, after, alone, complete, deserted, run, settled};
use crate::tls::{CA, encrypted};

const API: u32 = 50;
const CATALOGUE: u32 = 51;
const PROBES: u32 = 52;
const INGRESS: u32 = 30;

fn api() -> Relation {
    Relation::new("tempo-api", API, "tempo_api", "querier").with_remote_unit(0, [] as [(&str, &str); 0])
}

fn catalogue() -> Relation {
    Relation::new("catalogue", CATALOGUE, "catalogue", "catalogue")
}

fn probes() -> Relation {
    Relation::new("probes", PROBES, "blackbox_exporter_probes", "blackbox")
        .with_remote_unit(0, [] as [(&str, &str); 0])
}

fn traefik(scheme: &str) -> Relation {
    Relation::new("ingress", INGRESS, "traefik_route", "traefik")
        .with_remote_app_data([("external_host", "obs.example.net"), ("scheme", scheme)])
}

fn everything() -> State {
    settled().with_relation(api()).with_relation(catalogue()).with_relation(probes())
}

fn told<'a>(state: &'a State, endpoint: &str, id: u32, key: &str) -> Option<&'a str> {
    state.relation(endpoint, id).unwrap().local_app_data.get(key).map(String::as_str)
}

fn json_of(state: &State, endpoint: &str, id: u32, key: &str) -> Value {
    serde_json::from_str(told(state, endpoint, id, key).unwrap()).unwrap()
}

fn target(state: &State) -> String {
    let jobs = json_of(state, "probes", PROBES, "scrape_probes");
    jobs[0]["static_configs"][0]["targets"][0].as_str().unwrap().to_owned()
}

#[test]
fn without_an_ingress_the_api_is_where_the_service_is() {
    let out = run(&settled().with_relation(api()), Event::relation_joined("tempo-api", API, "querier/0"));
    out.assert_ok().assert_written_to(&[&format!("tempo-api:{API}")]);
    assert_eq!(
        told(&out.state, "tempo-api", API, "http"),
        Some(r#"{"direct_url": "http://tempo.obs.svc.cluster.local:3200/"}"#)
    );
    assert_eq!(
        told(&out.state, "tempo-api", API, "grpc"),
        Some(r#"{"direct_url": "http://tempo.obs.svc.cluster.local:9096/"}"#)
    );
}

#[test]
fn with_an_ingress_the_api_has_two_urls_until_it_leaves() {
    let state = settled().with_relation(api()).with_relation(traefik("https"));
    let state = after(&state, Event::relation_changed("ingress", INGRESS));
    assert_eq!(
        told(&state, "tempo-api", API, "http"),
        Some(
            r#"{"direct_url": "http://tempo.obs.svc.cluster.local:3200/", "ingress_url": "https://obs.example.net:3200/"}"#
        )
    );
    assert_eq!(
        json_of(&state, "tempo-api", API, "grpc"),
        json!({
            "direct_url": "http://tempo.obs.svc.cluster.local:9096/", "ingress_url": "https://obs.example.net:9096/",
        })
    );
    let state = after(&deserted(state, INGRESS), Event::relation_broken("ingress", INGRESS));
    assert_eq!(json_of(&state, "tempo-api", API, "http").as_object().unwrap().len(), 1);
}

#[test]
fn a_new_leader_publishes_what_the_one_before_could_not() {
    let follower = after(&everything().with_leader(false), Event::UpdateStatus);
    assert_eq!(told(&follower, "tempo-api", API, "http"), None);
    assert_eq!(told(&follower, "catalogue", CATALOGUE, "name"), None);
    assert_eq!(told(&follower, "probes", PROBES, "scrape_probes"), None);
    let leader = after(&follower.with_leader(true), Event::LeaderElected);
    assert!(told(&leader, "tempo-api", API, "http").is_some());
    assert!(told(&leader, "catalogue", CATALOGUE, "name").is_some());
    assert!(told(&leader, "probes", PROBES, "scrape_probes").is_some());
}

#[test]
fn the_api_of_an_incomplete_cluster_is_not_published_and_not_taken_back() {
    let state = after(&alone().with_relation(api()), Event::relation_created("tempo-api", API));
    assert_eq!(told(&state, "tempo-api", API, "http"), None);
    let before = after(&everything(), Event::UpdateStatus);
    let out = run(&deserted(before, S3), Event::relation_broken("s3", S3));
    out.assert_ok().assert_written_to(&[]);
    assert!(told(&out.state, "tempo-api", API, "http").is_some());
}

#[test]
fn the_entry_of_the_catalogue() {
    let state = after(&everything(), Event::relation_created("catalogue", CATALOGUE));
    let of = |key| told(&state, "catalogue", CATALOGUE, key);
    assert_eq!(of("name"), Some("Tempo (tempo)"));
    assert_eq!(of("icon"), Some("transit-connection-variant"));
    assert_eq!(of("url"), None);
    assert_eq!(of("api_docs"), Some("https://grafana.com/docs/tempo/latest/api_docs/"));
    assert!(of("description").is_some());
    assert_eq!(
        of("api_endpoints"),
        Some(
            r#"{"Search traces": "http://tempo.obs.svc.cluster.local:3200/api/search?<params>", "Query traces (by ID)": "http://tempo.obs.svc.cluster.local:3200/api/traces/<traceID>", "Status": "http://tempo.obs.svc.cluster.local:3200/status"}"#
        )
    );
    let state = after(&state.with_relation(traefik("http")), Event::relation_changed("ingress", INGRESS));
    let endpoints = json_of(&state, "catalogue", CATALOGUE, "api_endpoints");
    assert_eq!(endpoints["Status"], "http://obs.example.net:3200/status");
}

#[test]
fn the_probe() {
    let state = after(&everything(), Event::relation_joined("probes", PROBES, "blackbox/0"));
    let uuid = state.model.uuid.clone();
    let name = format!("juju_obs_{}_tempo", &uuid[..8]);
    assert_eq!(
        told(&state, "probes", PROBES, "scrape_probes"),
        Some(
            format!(
                r#"[{{"job_name": "{name}", "metrics_path": null, "params": {{"module": ["http_2xx"]}}, "static_configs": [{{"targets": ["http://tempo.obs.svc.cluster.local:3200/ready"], "labels": null}}]}}]"#
            )
            .as_str()
        )
    );
    assert_eq!(told(&state, "probes", PROBES, "scrape_modules"), Some("{}"));
    assert_eq!(
        told(&state, "probes", PROBES, "scrape_metadata"),
        Some(
            format!(
                r#"{{"model": "obs", "model_uuid": "{uuid}", "application": "tempo", "unit": "tempo/0", "charm_name": "tempo-coordinator-k8s"}}"#
            )
            .as_str()
        )
    );
}

#[test]
fn the_probe_follows_the_ingress() {
    for scheme in ["http", "https"] {
        let state =
            after(&everything().with_relation(traefik(scheme)), Event::relation_changed("ingress", INGRESS));
        assert_eq!(target(&state), format!("{scheme}://obs.example.net:3200/ready"));
        let state = after(&deserted(state, INGRESS), Event::relation_broken("ingress", INGRESS));
        assert_eq!(target(&state), "http://tempo.obs.svc.cluster.local:3200/ready");
    }
}

#[test]
fn with_tls_everything_inside_is_published_as_https() {
    let mut state = encrypted().with_relation(api()).with_relation(catalogue()).with_relation(probes());
    state = after(&state, Event::UpdateStatus);
    let inside = "https://tempo.obs.svc.cluster.local";
    assert_eq!(target(&state), format!("{inside}:3200/ready"));
    let urls = json!({"direct_url": format!("{inside}:9096/")});
    assert_eq!(json_of(&state, "tempo-api", API, "grpc"), urls);
    let listed = json_of(&state, "catalogue", CATALOGUE, "api_endpoints");
    assert_eq!(listed["Status"], format!("{inside}:3200/status"));

    let state = after(&deserted(state, CA), Event::relation_broken("certificates", CA));
    let inside = "http://tempo.obs.svc.cluster.local";
    assert_eq!(target(&state), format!("{inside}:3200/ready"));
    assert_eq!(json_of(&state, "tempo-api", API, "http"), json!({"direct_url": format!("{inside}:3200/")}));
}

#[test]
fn an_incomplete_cluster_is_listed_and_watched() {
    let state = alone().with_relation(catalogue()).with_relation(probes());
    let state = after(&state, Event::relation_created("probes", PROBES));
    assert!(told(&state, "catalogue", CATALOGUE, "name").is_some());
    assert_eq!(target(&state), "http://tempo.obs.svc.cluster.local:3200/ready");
    assert_eq!(state.unit_status.status, "blocked");
}

#[test]
fn each_of_several_relations_is_told_the_same() {
    let second = Relation::new("tempo-api", API + 10, "tempo_api", "other");
    let state = after(&everything().with_relation(second), Event::relation_created("tempo-api", API + 10));
    let data = |id| state.relation("tempo-api", id).unwrap().local_app_data.clone();
    assert_eq!(data(API), data(API + 10));
}

#[test]
fn what_was_told_is_not_told_again() {
    let state = after(&everything().with_relation(traefik("https")), Event::UpdateStatus);
    run(&state, Event::UpdateStatus).assert_ok().assert_written_to(&[]);
}

#[test]
fn what_they_write_is_not_read_where_only_their_name_counts() {
    let mut state = complete();
    for (id, endpoint, interface) in [
        (70, "tempo-api", "tempo_api"),
        (71, "probes", "blackbox_exporter_probes"),
        (72, "metrics-endpoint", "prometheus_scrape"),
        (73, "send-remote-write", "prometheus_remote_write"),
    ] {
        state = state.with_relation(Relation::new(endpoint, id, interface, "somebody"));
    }
    let out = run(&state, Event::UpdateStatus);
    out.assert_ok();
    let reads: Vec<_> = out.calls.iter().filter(|call| call.tool == "relation-get").collect();
    assert!(!reads.is_empty());
    assert!(reads.iter().all(|call| !call.args.contains(&"somebody".to_owned())), "{reads:#?}");
}
