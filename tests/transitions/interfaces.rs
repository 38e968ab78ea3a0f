//! What the interfaces' own test suites ask of a charm on this side, in our words: given this in the other databag, this
//! has to be in ours after the event.

use juju_sim::{Event, Outcome, Relation, State};
use serde_json::Value;

use crate::scene::{WORKERS, alone, complete, requirer, run, s3, worker};

const OURS: u32 = 40;

/// The three events with which a relation begins.
fn beginnings(endpoint: &str, unit: &str) -> [Event; 3] {
    [
        Event::relation_created(endpoint, OURS),
        Event::relation_joined(endpoint, OURS, unit),
        Event::relation_changed(endpoint, OURS),
    ]
}

#[track_caller]
fn after_each(state: &State, endpoint: &str, unit: &str, check: impl Fn(&Outcome)) {
    for event in beginnings(endpoint, unit) {
        let out = run(state, event);
        out.assert_ok();
        check(&out);
    }
}

fn parsed(relation: &Relation, key: &str) -> Value {
    serde_json::from_str(&relation.local_app_data[key]).expect("the value is JSON")
}

/// A list of `{"protocol": {"name", "type"}, "url"}`.
fn assert_receivers(relation: &Relation, names: &[&str]) {
    let receivers = parsed(relation, "receivers");
    let receivers = receivers.as_array().expect("a list");
    let found: Vec<&str> =
        receivers.iter().map(|r| r["protocol"]["name"].as_str().expect("a name")).collect();
    assert_eq!(found, names);
    for receiver in receivers {
        assert!(["http", "grpc"].contains(&receiver["protocol"]["type"].as_str().expect("a type")));
        assert!(receiver["url"].as_str().expect("a URL").contains(':'));
    }
}

/// A cluster that is complete, with one requirer that is up to the test.
fn cluster_and(receivers: &str) -> State {
    let mut requirer = requirer(OURS, "other", receivers);
    requirer.remote_app_data.retain(|_, text| !text.is_empty());
    alone().with_relation(s3()).with_relation(worker(WORKERS, "worker", "all", 1)).with_relation(requirer)
}

#[test]
fn tracing_providers_publish_from_the_first_event_on() {
    for (request, names) in [
        // A requirer has asked for nothing yet.
        ("", &["otlp_http"] as &[&str]),
        (r#"["otlp_grpc"]"#, &["otlp_grpc", "otlp_http"]),
        // What only a provider would write: there is an answer nevertheless.
        (
            r#"[{"protocol": {"name": "otlp_grpc", "type": "grpc"}, "url": "http://x.y:4317"}]"#,
            &["otlp_http"],
        ),
    ] {
        after_each(&cluster_and(request), "tracing", "other/0", |out| {
            assert_receivers(out.relation("tracing", OURS), names);
        });
    }
}

#[test]
fn tracing_requirers_ask_from_the_first_event_on() {
    for endpoint in ["self-charm-tracing", "self-workload-tracing"] {
        let relation =
            Relation::new(endpoint, OURS, "tracing", "other").with_remote_unit(0, [] as [(&str, &str); 0]);
        after_each(&alone().with_relation(relation), endpoint, "other/0", |out| {
            assert_eq!(parsed(out.relation(endpoint, OURS), "receivers"), serde_json::json!(["otlp_http"]));
        });
    }
}

#[test]
fn cluster_providers_tell_nothing_to_who_has_no_role_or_none_that_exists() {
    let roleless = {
        let mut relation = worker(OURS, "other", "all", 1);
        relation.remote_app_data.clear();
        relation
    };
    for relation in [roleless, worker(OURS, "other", "imposter", 1)] {
        for base in [alone().with_relation(s3()), complete()] {
            after_each(&base.with_relation(relation.clone()), "tempo-cluster", "other/0", |out| {
                assert!(out.relation("tempo-cluster", OURS).local_app_data.is_empty());
            });
        }
    }
}

#[test]
fn cluster_providers_tell_workers_all_that_the_interface_has() {
    let state = alone().with_relation(s3()).with_relation(worker(OURS, "other", "all", 1));
    after_each(&state, "tempo-cluster", "other/0", |out| {
        let relation = out.relation("tempo-cluster", OURS);
        assert!(parsed(relation, "worker_config").is_string());
        for key in
            ["loki_endpoints", "charm_tracing_receivers", "workload_tracing_receivers", "worker_labels"]
        {
            assert!(parsed(relation, key).is_object(), "{key}");
        }
        for key in ["remote_write_endpoints", "worker_ports"] {
            assert!(parsed(relation, key).is_array(), "{key}");
        }
    });
}

#[test]
fn a_bucket_is_asked_for_in_any_hook_of_the_leader() {
    let unanswered = alone().with_relation(Relation::new("s3", 7, "s3", "minio"));
    for event in [Event::relation_created("s3", 7), Event::UpdateStatus, Event::LeaderElected] {
        let out = run(&unanswered, event);
        assert_eq!(out.relation("s3", 7).local_app_data["bucket"], "relation-7");
    }
    run(&unanswered.with_leader(false), Event::relation_created("s3", 7))
        .assert_ok()
        .assert_written_to(&["peers:1"]);
}
