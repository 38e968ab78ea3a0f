//! What requirers and workers are told.

use juju_sim::Event;

use crate::scene::{
    GRAFANA, LOKI, WORKERS, after, alone, complete, deserted, nginx_conf, published, requirer, run, s3,
    settled, without, worker,
};

const GRPC: &str = "otlp_grpc tempo.obs.svc.cluster.local:4317";
const HTTP: &str = "otlp_http http://tempo.obs.svc.cluster.local:4318";
const ZIPKIN: &str = "zipkin http://tempo.obs.svc.cluster.local:9411";

#[test]
fn everybody_is_told_what_anybody_asked_for() {
    let state = settled();
    for requirer in [GRAFANA, LOKI] {
        assert_eq!(published(&state, requirer), [GRPC, HTTP, ZIPKIN]);
    }
}

#[test]
fn what_only_one_wanted_leaves_with_it() {
    let before = deserted(settled(), GRAFANA);
    assert!(before.opened_ports.contains("9411/tcp") && nginx_conf(&before).contains("listen 9411"));

    let out = run(&before, Event::relation_broken("tracing", GRAFANA));
    out.assert_ok();
    assert_eq!(published(&out.state, LOKI), [GRPC, HTTP]);
    assert!(!out.state.opened_ports.contains("9411/tcp"));
    assert!(!nginx_conf(&out.state).contains("9411"));
    assert!(!out.relation("tempo-cluster", WORKERS).local_app_data["worker_ports"].contains("9411"));
    // The leaving relation is not written to, and nothing else is either.
    out.assert_written_to(&[&format!("tracing:{LOKI}"), &format!("tempo-cluster:{WORKERS}")]);
    // nginx learns it without losing a connection.
    assert_eq!(out.pushed("nginx").first(), Some(&"/etc/nginx/nginx.conf.candidate"));
    assert!(format!("{:?}", out.history("nginx")).contains("SIGHUP"));
}

#[test]
fn without_requirers_otlp_over_http_stays_on_for_our_own_traces() {
    let mut state = without(&without(&complete(), GRAFANA), LOKI);
    state = after(&state, Event::ConfigChanged);
    assert!(nginx_conf(&state).contains("listen 4318"));
    assert_eq!(state.opened_ports.iter().filter(|port| *port == "4318/tcp").count(), 1);
}

#[test]
fn an_option_turns_a_protocol_on() {
    let state = after(&complete().with_config("always_enable_jaeger_grpc", true), Event::ConfigChanged);
    assert_eq!(published(&state, LOKI)[0], "jaeger_grpc tempo.obs.svc.cluster.local:14250");
}

#[test]
fn an_unknown_protocol_does_not_void_the_rest_of_a_request() {
    let mut state = without(&complete(), GRAFANA);
    state.relations.push(requirer(GRAFANA, "grafana", r#"["zipkin", "jaeger_http_thrift"]"#));
    let state = after(&state, Event::relation_changed("tracing", GRAFANA));
    assert_eq!(published(&state, LOKI), [GRPC, HTTP, ZIPKIN]);
    assert!(state.unit_status.is_active());
    let message = &state.unit_status.message;
    assert!(message.contains("tracing:10 receivers") && message.contains("jaeger_http_thrift"), "{message}");
}

#[test]
fn a_requirer_whose_request_makes_no_sense_is_answered_too() {
    let mut state = without(&complete(), GRAFANA);
    // What a provider would write: the interface's own tests send it.
    state.relations.push(requirer(
        GRAFANA,
        "grafana",
        r#"[{"protocol": {"name": "otlp_grpc", "type": "grpc"}, "url": "x:4317"}]"#,
    ));
    let state = after(&state, Event::relation_changed("tracing", GRAFANA));
    assert_eq!(published(&state, GRAFANA), [GRPC, HTTP]);
}

#[test]
fn a_follower_runs_nginx_and_leaves_the_application_databags_alone() {
    let out = run(&complete().with_leader(false), Event::ConfigChanged);
    out.assert_ok();
    assert!(nginx_conf(&out.state).contains("listen 4317"));
    assert!(published(&out.state, LOKI).is_empty());
    out.assert_written_to(&["peers:1"]);
    assert!(
        out.calls
            .iter()
            .all(|call| call.tool != "status-set" || !call.args.contains(&"--application".into()))
    );
}

#[test]
fn peers_are_told_the_name_in_both_encodings() {
    let state = settled();
    let peers = &state.relation("peers", 1).unwrap().local_unit_data;
    assert_eq!(peers["fqdn"], "\"tempo-0.tempo-endpoints.obs.svc.cluster.local\"");
    assert_eq!(peers["hostname"], "tempo-0.tempo-endpoints.obs.svc.cluster.local");
}

#[test]
fn workers_are_told_everything_they_need() {
    let state = settled();
    let told = &state.relation("tempo-cluster", WORKERS).unwrap().local_app_data;
    let keys: Vec<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "charm_tracing_receivers",
            "loki_endpoints",
            "remote_write_endpoints",
            "worker_config",
            "worker_labels",
            "worker_ports",
            "workload_tracing_receivers",
        ]
    );
    assert_eq!(told["worker_ports"], "[3200, 4317, 4318, 7946, 9096, 9411]");
    let config: String = serde_json::from_str(&told["worker_config"]).unwrap();
    let config: serde_json::Value = serde_yaml::from_str(&config).unwrap();
    assert_eq!(config["storage"]["trace"]["s3"]["secret_key"], "sekret-hunter22");
    assert_eq!(config["ingester"].get("max_block_bytes"), None);
    assert_eq!(
        config["memberlist"]["join_members"],
        serde_json::json!(["worker-0.worker-endpoints.obs.svc.cluster.local:7946"])
    );
}

#[test]
fn a_slow_worker_unit_does_not_hold_back_the_others() {
    let mut state = without(&settled(), WORKERS);
    let silent: [(&str, &str); 0] = [];
    state.relations.push(worker(WORKERS, "worker", "all", 2).with_remote_unit(2, silent));
    let state = after(&state, Event::relation_joined("tempo-cluster", WORKERS, "worker/2"));
    let told = &state.relation("tempo-cluster", WORKERS).unwrap().local_app_data;
    assert!(told["worker_config"].contains("worker-1.worker-endpoints"));
}

#[test]
fn several_roles_at_once_and_unknown_ones_are_taken_for_what_they_are() {
    let state = alone()
        .with_relation(s3())
        .with_relation(worker(WORKERS, "write", "distributor,ingester,compactor,imposter", 1))
        .with_relation(worker(WORKERS + 1, "read", "querier,query-frontend", 1))
        .with_relation(requirer(LOKI, "loki", r#"["otlp_grpc"]"#));
    let state = after(&state, Event::ConfigChanged);
    assert_eq!(published(&state, LOKI), [GRPC, HTTP]);
    assert!(state.unit_status.message.contains("imposter"), "{}", state.unit_status.message);
    let ports = |id| state.relation("tempo-cluster", id).unwrap().local_app_data["worker_ports"].clone();
    assert_eq!(
        (ports(WORKERS), ports(WORKERS + 1)),
        ("[3200, 4317, 4318, 7946]".into(), "[3200, 7946, 9096]".into())
    );
}

#[test]
fn losing_the_bucket_leaves_what_was_published() {
    let before = settled();
    let out = run(&before, Event::relation_broken("s3", 2));
    out.assert_ok().assert_written_to(&[]);
    assert_eq!(published(&out.state, LOKI), published(&before, LOKI));
    assert_eq!(nginx_conf(&out.state), nginx_conf(&before));
    assert_eq!(out.state.unit_status.status, "blocked");
    assert!(out.state.unit_status.message.contains("[s3]"));
}
