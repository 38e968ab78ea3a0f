//! The service mesh: who is let in, and who we are to others.

use juju_sim::{Event, Relation, State};
use serde_json::{Value, json};

use crate::scene::{GRAFANA, LOKI, WORKERS, after, alone, complete, deserted, run, settled, without};

const MESH: u32 = 60;
const ABROAD: u32 = 61;
const CMR: u32 = 62;

fn beacon() -> Relation {
    Relation::new("service-mesh", MESH, "service_mesh", "beacon").with_remote_app_data([
        ("labels", r#"{"istio.io/dataplane-mode": "ambient"}"#),
        ("mesh_type", r#""istio""#),
    ])
}

fn related(endpoint: &str, id: u32, interface: &str, app: &str) -> Relation {
    Relation::new(endpoint, id, interface, app)
}

/// An application of another model, as it introduces itself.
fn introduced(app: &str, data: &str) -> Relation {
    Relation::new("provide-cmr-mesh", CMR, "cross_model_mesh", app).with_remote_app_data([("cmr_data", data)])
}

fn policies(state: &State) -> Vec<Value> {
    let relation = state.relation("service-mesh", MESH).expect("the relation is there");
    serde_json::from_str(&relation.local_app_data["policies"]).expect("policies are JSON")
}

/// `namespace/app → kind endpoints` of each policy.
fn summary(state: &State) -> Vec<String> {
    let line = |policy: &Value| {
        let text = |key: &str| policy[key].as_str().unwrap_or_default().to_owned();
        let endpoint = &policy["endpoints"][0];
        let rest = [&endpoint["methods"], &endpoint["paths"]].map(|part| match part {
            Value::Null => String::new(),
            some => format!(" {some}"),
        });
        assert_eq!((text("target_namespace"), text("target_app_name")), ("obs".into(), "tempo".into()));
        assert!(policy["target_service"].is_null() && policy["target_selector_labels"].is_null());
        assert!(
            endpoint["hosts"].is_null() && policy["endpoints"].as_array().is_some_and(|all| all.len() == 1)
        );
        let source = (text("source_namespace"), text("source_app_name"));
        let to = (text("target_type"), &endpoint["ports"], rest.concat());
        format!("{}/{} → {} {}{}", source.0, source.1, to.0, to.1, to.2)
    };
    policies(state).iter().map(line).collect()
}

#[test]
fn each_endpoint_lets_its_applications_in() {
    // Not in the order of the policies.
    let state = complete()
        .with_relation(beacon())
        .with_relation(related("probes", 70, "blackbox_exporter_probes", "blackbox"))
        .with_relation(related("grafana-source", 71, "grafana_datasource", "grafana"))
        .with_relation(related("tempo-api", 72, "tempo_api", "kiali"))
        .with_relation(related("metrics-endpoint", 74, "prometheus_scrape", "prom"))
        .with_relation(related("metrics-endpoint", 73, "prometheus_scrape", "otelcol"));
    assert_eq!(
        summary(&after(&state, Event::ConfigChanged)),
        [
            "obs/otelcol → unit [3300,9113]",
            "obs/prom → unit [3300,9113]",
            r#"obs/otelcol → app [3300] ["GET"] ["/proxy/worker/{*}/metrics"]"#,
            r#"obs/prom → app [3300] ["GET"] ["/proxy/worker/{*}/metrics"]"#,
            "obs/kiali → app [3200,9096]",
            "obs/grafana → app [4317,4318,9411]",
            "obs/loki → app [4317,4318,9411]",
            "obs/grafana → app [3200]",
            r#"obs/blackbox → app [3200] ["GET"] ["/ready"]"#,
        ]
    );
}

#[test]
fn policies_are_written_with_every_member() {
    let mut state = complete().with_relation(beacon());
    state.relations.retain(|relation| relation.endpoint != "tracing");
    let state = state.with_relation(related("tempo-api", 72, "tempo_api", "kiali"));
    let state = after(&state, Event::relation_created("service-mesh", MESH));
    assert_eq!(
        state.relation("service-mesh", MESH).unwrap().local_app_data["policies"],
        concat!(
            r#"[{"source_namespace": "obs", "source_app_name": "kiali", "target_namespace": "obs", "#,
            r#""target_app_name": "tempo", "target_selector_labels": null, "target_service": null, "#,
            r#""target_type": "app", "endpoints": [{"hosts": null, "ports": [3200, 9096], "methods": null, "#,
            r#""paths": null}]}]"#,
        )
    );
}

#[test]
fn an_application_of_another_model_is_let_in_under_its_own_name() {
    let state = complete()
        .with_relation(beacon())
        .with_relation(introduced("grafana", r#"{"app_name": "dashboards", "juju_model_name": "apps"}"#));
    let expected = ["apps/dashboards → app [4317,4318,9411]", "obs/loki → app [4317,4318,9411]"];
    let state = after(&state, Event::relation_changed("provide-cmr-mesh", CMR));
    assert_eq!(summary(&state), expected);
    // Without its introduction it is taken for one of ours.
    let gone = run(&state, Event::relation_broken("provide-cmr-mesh", CMR));
    gone.assert_ok();
    assert_eq!(summary(&gone.state)[0], "obs/grafana → app [4317,4318,9411]");
}

#[test]
fn an_introduction_that_makes_no_sense_is_named() {
    for (data, reason) in [("x", "not valid JSON"), (r#"{"app_name": "a"}"#, "missing field")] {
        let state = complete().with_relation(beacon()).with_relation(introduced("grafana", data));
        let state = after(&state, Event::relation_changed("provide-cmr-mesh", CMR));
        assert_eq!(summary(&state)[0], "obs/grafana → app [4317,4318,9411]");
        let message = &state.unit_status.message;
        assert!(
            state.unit_status.is_active() && message.contains("provide-cmr-mesh:62 cmr_data"),
            "{message}"
        );
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn policies_follow_what_is_related() {
    let state = after(&settled().with_relation(beacon()), Event::relation_created("service-mesh", MESH));
    assert_eq!(summary(&state).len(), 2);
    let out = run(&deserted(state, GRAFANA), Event::relation_broken("tracing", GRAFANA));
    out.assert_ok();
    // Zipkin was asked for by the one that leaves.
    assert_eq!(summary(&out.state), ["obs/loki → app [4317,4318]"]);
    let out = run(&deserted(without(&out.state, GRAFANA), LOKI), Event::relation_broken("tracing", LOKI));
    out.assert_ok();
    assert_eq!(policies(&out.state), [] as [Value; 0]);
}

#[test]
fn policies_are_there_before_the_cluster_is_complete() {
    let state = alone().with_relation(beacon()).with_relation(related("tempo-api", 72, "tempo_api", "kiali"));
    let state = after(&state, Event::relation_created("service-mesh", MESH));
    assert_eq!(summary(&state), ["obs/kiali → app [3200,9096]"]);
}

#[test]
fn a_follower_with_a_mesh_writes_nothing_and_does_not_fail() {
    let state = complete()
        .with_relation(beacon())
        .with_relation(introduced("grafana", r#"{"app_name": "dashboards", "juju_model_name": "apps"}"#))
        .with_relation(related("require-cmr-mesh", ABROAD, "cross_model_mesh", "far"))
        .with_leader(false);
    for event in [
        Event::ConfigChanged,
        Event::UpdateStatus,
        Event::relation_created("service-mesh", MESH),
        Event::relation_changed("service-mesh", MESH),
        Event::relation_changed("provide-cmr-mesh", CMR),
        Event::relation_created("require-cmr-mesh", ABROAD),
    ] {
        let out = run(&state, event);
        out.assert_ok();
        out.assert_written_to(&["peers:1"]);
    }
}

#[test]
fn we_introduce_ourselves_whatever_the_event() {
    let abroad = || related("require-cmr-mesh", ABROAD, "cross_model_mesh", "far");
    for event in
        [Event::relation_created("require-cmr-mesh", ABROAD), Event::LeaderElected, Event::UpdateStatus]
    {
        for state in [alone(), complete()] {
            let state = after(&state.with_relation(abroad()), event.clone());
            assert_eq!(
                state.relation("require-cmr-mesh", ABROAD).unwrap().local_app_data["cmr_data"],
                r#"{"app_name": "tempo", "juju_model_name": "obs"}"#
            );
        }
    }
}

#[test]
fn workers_carry_the_labels_of_the_mesh() {
    let labels = |state: &State| -> Value {
        let relation = state.relation("tempo-cluster", WORKERS).unwrap();
        serde_json::from_str(&relation.local_app_data["worker_labels"]).unwrap()
    };
    let state = after(&settled().with_relation(beacon()), Event::relation_changed("service-mesh", MESH));
    assert_eq!(
        labels(&state),
        json!({"app.kubernetes.io/part-of": "tempo", "istio.io/dataplane-mode": "ambient"})
    );
    let out = run(&state, Event::relation_broken("service-mesh", MESH));
    out.assert_ok();
    assert_eq!(labels(&out.state), json!({"app.kubernetes.io/part-of": "tempo"}));
}

#[test]
fn labels_that_kubernetes_would_refuse_are_named_and_left_out() {
    let odd = Relation::new("service-mesh", MESH, "service_mesh", "beacon").with_remote_app_data([
        ("labels", r#"{"a b": "c", "good": "yes", "app.kubernetes.io/part-of": "other", "n": 1}"#),
        ("mesh_type", r#""istio""#),
    ]);
    let state = after(&complete().with_relation(odd), Event::relation_changed("service-mesh", MESH));
    let told = &state.relation("tempo-cluster", WORKERS).unwrap().local_app_data["worker_labels"];
    assert_eq!(told, r#"{"app.kubernetes.io/part-of": "tempo", "good": "yes"}"#);
    let message = &state.unit_status.message;
    assert!(state.unit_status.is_active() && message.contains("service-mesh:60 labels"), "{message}");
}

#[test]
fn a_mesh_that_has_said_nothing_yet_gets_policies() {
    let silent = related("service-mesh", MESH, "service_mesh", "beacon");
    let state = after(&complete().with_relation(silent), Event::relation_created("service-mesh", MESH));
    assert_eq!(summary(&state).len(), 2);
    assert!(state.unit_status.is_active());
    let unknown = beacon().with_remote_app_data([("mesh_type", r#""linkerd""#)]);
    let state = after(&complete().with_relation(unknown), Event::relation_changed("service-mesh", MESH));
    assert_eq!(summary(&state).len(), 2);
    assert!(state.unit_status.message.contains("service-mesh:60 mesh_type"), "{:?}", state.unit_status);
}

#[test]
fn a_second_hook_in_a_mesh_writes_nothing() {
    let state = complete()
        .with_relation(beacon())
        .with_relation(introduced("grafana", r#"{"app_name": "dashboards", "juju_model_name": "apps"}"#))
        .with_relation(related("require-cmr-mesh", ABROAD, "cross_model_mesh", "far"));
    let settled = after(&state, Event::ConfigChanged);
    for event in [
        Event::UpdateStatus,
        Event::relation_changed("service-mesh", MESH),
        Event::relation_changed("provide-cmr-mesh", CMR),
        Event::relation_created("require-cmr-mesh", ABROAD),
    ] {
        run(&settled, event).assert_ok().assert_nothing_written();
    }
}
