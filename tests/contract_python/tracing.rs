//! `tracing`, with `charmlibs.interfaces.tracing` and with the requirer inside `ops.tracing`.

use juju_sim::{Event, Relation, State};
use serde_json::{Value, json};

use crate::peer::Peer;
use crate::scene::{GRAFANA, LOKI, WORKERS, after, complete, published, settled, without};

const CHARM_TRACING: u32 = 20;

/// The settled cluster, with a requirer that has not said anything yet.
fn with_a_silent_requirer() -> State {
    let state =
        without(&complete(), GRAFANA).with_relation(Relation::new("tracing", GRAFANA, "tracing", "grafana"));
    after(&state, Event::ConfigChanged)
}

/// What a requirer asks for, and what we publish then.
fn ask(requirer: &mut Peer) -> State {
    let mut state = with_a_silent_requirer();
    requirer.hook("created", &mut state, GRAFANA);
    after(&state, Event::relation_changed("tracing", GRAFANA))
}

/// The settled cluster, with a provider for traces of our own charm.
fn with_a_collector() -> State {
    let relation = Relation::new("self-charm-tracing", CHARM_TRACING, "tracing", "collector")
        .with_remote_unit(0, [] as [(&str, &str); 0]);
    after(&complete().with_relation(relation), Event::relation_created("self-charm-tracing", CHARM_TRACING))
}

fn collector(receivers: &Value) -> Peer {
    Peer::opposite("tracing.Provider", json!({"receivers": receivers}))
}

#[test]
fn a_python_requirer_is_given_what_it_asks_for() {
    let mut requirer = Peer::opposite("tracing.Requirer", json!({"protocols": ["zipkin", "otlp_http"]}));
    let mut state = ask(&mut requirer);
    assert_eq!(
        state.relation("tracing", GRAFANA).unwrap().remote_app_data["receivers"],
        r#"["zipkin", "otlp_http"]"#
    );

    let heard = requirer.hook("changed", &mut state, GRAFANA);
    assert_eq!(heard.emitted, ["EndpointChangedEvent"]);
    assert_eq!(
        heard.said,
        json!({
            "ready": true,
            "all": [
                ["otlp_grpc", "grpc", "tempo.obs.svc.cluster.local:4317"],
                ["otlp_http", "http", "http://tempo.obs.svc.cluster.local:4318"],
                ["zipkin", "http", "http://tempo.obs.svc.cluster.local:9411"],
            ],
            "endpoints": {
                "otlp_grpc": "tempo.obs.svc.cluster.local:4317",
                "otlp_http": "http://tempo.obs.svc.cluster.local:4318",
                "zipkin": "http://tempo.obs.svc.cluster.local:9411",
                "jaeger_grpc": "not requested",
            },
            "charm_tracing": ["http://tempo.obs.svc.cluster.local:4318", null],
        })
    );
}

#[test]
fn a_python_requirer_knows_that_it_has_to_wait() {
    let mut state = with_a_silent_requirer();
    state.relation_mut("tracing", GRAFANA).unwrap().local_app_data.clear();
    let mut requirer = Peer::opposite("tracing.Requirer", json!({"protocols": ["zipkin", "otlp_http"]}));
    let heard = requirer.hook("changed", &mut state, GRAFANA);
    assert_eq!(heard.said["ready"], false);
    assert_eq!(heard.emitted, ["EndpointRemovedEvent"]);
}

#[test]
fn a_follower_in_python_finds_its_endpoint_without_a_request_of_its_own() {
    let mut leader = Peer::opposite("tracing.Requirer", json!({"protocols": ["otlp_http"]}));
    let mut state = ask(&mut leader);
    let mut follower = Peer::opposite("tracing.Follower", json!({})).follower(1);
    let heard = follower.hook("changed", &mut state, GRAFANA);
    assert_eq!(heard.said, "http://tempo.obs.svc.cluster.local:4318");
}

#[test]
fn a_charm_that_traces_itself_with_ops_finds_us() {
    let mut traced = Peer::opposite("tracing.Traced", json!({}));
    let mut state = ask(&mut traced);
    let heard = traced.hook("changed", &mut state, GRAFANA);
    assert_eq!(heard.said, "http://tempo.obs.svc.cluster.local:4318/v1/traces");
}

#[test]
fn a_python_requirer_may_ask_for_every_protocol_there_is() {
    let every = json!(["zipkin", "otlp_grpc", "otlp_http", "jaeger_grpc", "jaeger_thrift_http"]);
    let mut state = ask(&mut Peer::opposite("tracing.Requirer", json!({"protocols": every})));
    let heard =
        Peer::opposite("tracing.Requirer", json!({"protocols": every})).hook("changed", &mut state, GRAFANA);
    let names: Vec<&str> =
        heard.said["all"].as_array().unwrap().iter().map(|receiver| receiver[0].as_str().unwrap()).collect();
    assert_eq!(names, ["jaeger_grpc", "jaeger_thrift_http", "otlp_grpc", "otlp_http", "zipkin"]);
    assert!(state.unit_status.is_active(), "{:?}", state.unit_status);
}

#[test]
fn our_charms_traces_go_where_a_python_provider_says() {
    let mut state = with_a_collector();
    let mut provider =
        collector(&json!([["otlp_http", "http://collector.example:4318"], ["zipkin", "http://c:9411"]]));
    let heard = provider.hook("changed", &mut state, CHARM_TRACING);
    assert_eq!(heard.emitted, ["RequestEvent"]);
    assert_eq!(heard.said, json!(["otlp_http"]));

    // Workers are told to send theirs the same way, through us.
    let state = after(&state, Event::relation_changed("self-charm-tracing", CHARM_TRACING));
    let told = &state.relation("tempo-cluster", WORKERS).unwrap().local_app_data;
    let receivers: Value = serde_json::from_str(&told["charm_tracing_receivers"]).unwrap();
    let protocols: Vec<&String> = receivers.as_object().unwrap().keys().collect();
    assert_eq!(protocols, ["otlp_http", "zipkin"]);
    assert!(
        receivers["otlp_http"].as_str().unwrap().ends_with("/proxy/charm-tracing/otlp_http/"),
        "{receivers}"
    );
}

#[test]
fn the_python_provider_in_our_place_writes_the_same_bytes() {
    let mut state = settled();
    let before = state.clone();
    let receivers: Vec<Value> = published(&state, LOKI)
        .iter()
        .map(|line| line.split_once(' ').map(|(protocol, url)| json!([protocol, url])).unwrap())
        .collect();
    let mut reference = Peer::in_our_place("tracing.Provider", json!({"receivers": receivers}));
    let heard = reference.hook("changed", &mut state, LOKI);
    assert_eq!(heard.said, json!(["otlp_grpc", "zipkin"]));
    assert_eq!(state.relation("tracing", LOKI), before.relation("tracing", LOKI));
}

#[test]
fn the_python_requirer_in_our_place_writes_the_same_bytes() {
    let mut state = with_a_collector();
    let before = state.clone();
    let mut reference = Peer::in_our_place("tracing.Requirer", json!({"protocols": ["otlp_http"]}));
    reference.hook("changed", &mut state, CHARM_TRACING);
    let written = |state: &State| state.relation_by_id(CHARM_TRACING).cloned();
    assert_eq!(written(&state), written(&before));
}
