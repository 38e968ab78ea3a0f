//! What workers are told, and what their roles mean for the cluster.

use juju_sim::{Event, Relation, State};
use serde_json::{Value, json};

use crate::scene::{
    LOKI, WORKERS, after, alone, charm_at, complete, context, published, requirer, run, s3, settled, worker,
};

const SEND_REMOTE_WRITE: u32 = 50;

/// The document that the workers of a relation were given.
fn config(state: &State, id: u32) -> Value {
    let told = &state.relation("tempo-cluster", id).expect("the relation is there").local_app_data;
    let text: String = serde_json::from_str(&told["worker_config"]).expect("a text");
    serde_yaml::from_str(&text).expect("a document")
}

fn prometheus(url: &str) -> Relation {
    Relation::new("send-remote-write", SEND_REMOTE_WRITE, "prometheus_remote_write", "prometheus")
        .with_remote_unit(0, [("remote_write", format!(r#"{{"url": "{url}"}}"#))])
}

fn with_roles(roles: &[&str]) -> State {
    roles.iter().zip(WORKERS..).fold(alone().with_relation(s3()), |state, (role, id)| {
        state.with_relation(worker(id, &format!("w{id}"), role, 1))
    })
}

#[test]
fn every_required_role_makes_a_cluster_and_less_does_not() {
    let minimal = ["compactor", "distributor", "ingester", "querier", "query-frontend"];
    for roles in [&["querier"] as &[&str], &["distributor"], &["distributor", "ingester"], &minimal[..4]] {
        let out = run(&with_roles(roles), Event::ConfigChanged);
        assert_eq!(out.state.unit_status.status, "blocked", "{roles:?}");
        assert!(out.state.unit_status.message.contains("roles missing"), "{}", out.state.unit_status.message);
    }
    assert!(after(&with_roles(&minimal), Event::ConfigChanged).unit_status.is_active());

    // As many of each as are recommended.
    let mut recommended = with_roles(&minimal).with_relation(worker(30, "mg", "metrics-generator", 1));
    recommended = recommended.with_relation(worker(31, "more-ingesters", "ingester", 2));
    recommended = recommended.with_relation(prometheus("http://prom-0.prom:9090/api/v1/write"));
    let state = after(&recommended, Event::ConfigChanged);
    assert!(state.unit_status.is_active() && state.unit_status.message.is_empty());
    assert_eq!(config(&state, 31)["ingester"]["lifecycler"]["ring"]["replication_factor"], 3);
}

#[test]
fn workers_join_each_other_in_the_order_of_their_addresses() {
    let mut cluster = worker(WORKERS, "worker", "all", 0);
    for (number, address) in
        [(0, "worker-2.test.svc:3200"), (1, "worker-0.test.svc"), (2, "worker-1.test.svc")]
    {
        let topology =
            format!(r#"{{"application": "worker", "unit": "worker/{number}", "charm_name": "w"}}"#);
        let address = format!("\"{address}\"");
        cluster = cluster.with_remote_unit(number, [("juju_topology", topology), ("address", address)]);
    }
    let state = after(&alone().with_relation(s3()).with_relation(cluster), Event::ConfigChanged);
    assert_eq!(
        config(&state, WORKERS)["memberlist"]["join_members"],
        json!(["worker-0.test.svc:7946", "worker-1.test.svc:7946", "worker-2.test.svc:7946"])
    );
}

#[test]
fn metrics_are_generated_only_if_somebody_takes_them() {
    let state = settled();
    assert_eq!(config(&state, WORKERS).get("metrics_generator"), None);
    assert_eq!(config(&state, WORKERS).get("overrides"), None);
    assert!(
        state.unit_status.message.starts_with("metrics-generator disabled"),
        "{}",
        state.unit_status.message
    );

    let related = state.with_relation(prometheus("http://localhost/api/v1/write"));
    let on_localhost =
        context().run(&related, Event::ConfigChanged, async |hook| charm_at(hook, "localhost").await);
    on_localhost.assert_ok();
    let document = config(&on_localhost.state, WORKERS);
    assert_eq!(
        document["metrics_generator"]["storage"]["remote_write"],
        json!([{"url": "http://localhost:3300/proxy/remote-write/localhost/write"}])
    );
    assert_eq!(
        document["overrides"],
        json!({"defaults": {"metrics_generator": {"processors": ["span-metrics", "service-graphs"]}}})
    );
    assert!(on_localhost.state.unit_status.is_active());
    let small = "degraded, fewer workers than recommended: ingester 1 of 3";
    assert_eq!(on_localhost.state.unit_status.message, small);
}

#[test]
fn a_new_request_changes_nothing_of_what_tempo_runs_with() {
    let before = settled();
    let asking = before.clone().with_relation(requirer(60, "more", r#"["jaeger_thrift_http"]"#));
    let state = after(&asking, Event::relation_changed("tracing", 60));
    assert_eq!(config(&state, WORKERS), config(&before, WORKERS));
    let ports =
        &state.relation("tempo-cluster", WORKERS).expect("it is there").local_app_data["worker_ports"];
    assert!(ports.contains("14268"), "{ports}");
}

#[test]
fn the_name_of_the_application_follows_from_the_name_of_the_pod() {
    for (pod, application) in [
        ("tempo-0.tempo-endpoints.obs.svc.cluster.local", "tempo.obs.svc.cluster.local"),
        ("tempo-0.tempo-endpoints.obs.svc.custom.domain", "tempo.obs.svc.custom.domain"),
        ("tempo-0.tempo-endpoints.obs.svc.custom.svc.domain", "tempo.obs.svc.custom.svc.domain"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("my.custom.domain", "my.custom.domain"),
    ] {
        let out = context().run(complete(), Event::Start, async |hook| charm_at(hook, pod).await);
        out.assert_ok();
        assert!(
            published(&out.state, LOKI).contains(&format!("otlp_http http://{application}:4318")),
            "{pod}"
        );
        // Not by a follower, which starts all the same.
        let follower = complete().with_leader(false);
        context().run(follower, Event::Start, async |hook| charm_at(hook, pod).await).assert_ok();
    }
}
