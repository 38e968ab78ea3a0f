//! Actions answer and change nothing.

use juju_sim::{Event, Outcome, Relation};

use crate::scene::{GRAFANA, alone, complete, requirer, run, settled, without, worker};

fn action(name: &str) -> Event {
    Event::action(name, [])
}

fn results(out: &Outcome) -> String {
    serde_json::to_string(&out.action.as_ref().expect("an action ran").results).unwrap()
}

fn result<'a>(out: &'a Outcome, key: &str) -> &'a str {
    out.action.as_ref().expect("an action ran").results[key].as_str().expect("results are texts")
}

#[test]
fn receivers_are_listed_on_any_unit() {
    for leader in [true, false] {
        let out = run(&complete().with_leader(leader), action("list-receivers"));
        out.assert_ok();
        assert_eq!(
            results(&out),
            r#"{"otlp-grpc":"tempo.obs.svc.cluster.local:4317","otlp-http":"http://tempo.obs.svc.cluster.local:4318","zipkin":"http://tempo.obs.svc.cluster.local:9411"}"#
        );
    }
}

#[test]
fn without_a_cluster_there_is_a_reason_instead_of_an_empty_list() {
    let out = run(&alone(), action("list-receivers"));
    out.assert_ok();
    let failure = out.action.unwrap().failure.expect("the action fails");
    assert!(failure.contains("no worker application related"), "{failure}");
}

#[test]
fn the_plan_shows_what_would_change_and_no_secret() {
    let out = run(&complete(), action("plan"));
    out.assert_ok();
    let shown = results(&out);
    for part in
        ["nginx: write /etc/nginx/nginx.conf", "tracing:10: set receivers", "open 4317/tcp", "[redacted]"]
    {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(!shown.contains("hunter22"));
    assert_eq!(out.state.relations, complete().relations);
    assert!(out.pebble.values().all(Vec::is_empty));

    let quiet = run(&settled(), action("plan"));
    assert_eq!(quiet.action.as_ref().unwrap().results["differences"], "none");
    let one_left = run(&without(&settled(), GRAFANA), action("plan"));
    assert!(results(&one_left).contains("close 9411/tcp"));
}

#[test]
fn the_plan_of_a_large_cluster_says_what_it_leaves_out() {
    let roles = ["compactor", "distributor", "ingester", "metrics-generator", "query-frontend", "querier"];
    let state = (200..)
        .zip(roles)
        .fold(complete(), |state, (id, role)| state.with_relation(worker(id, &format!("w-{role}"), role, 3)));
    let state = state
        .with_relation(Relation::new("metrics-endpoint", 300, "prometheus_scrape", "prometheus"))
        .with_relation(Relation::new("grafana-dashboard", 301, "grafana_dashboard", "grafana"));
    let out = run(&state, action("plan"));
    out.assert_ok();
    let shown = result(&out, "plan");
    assert!(shown.contains("bytes, left out here)"));
    for part in ["http2 on", "endpoint: tracing", "scrape_jobs"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }

    let crowd = (1000..2000).fold(state, |state, id| {
        state.with_relation(requirer(id, &format!("app-{id}"), r#"["otlp_http", "jaeger_grpc"]"#))
    });
    let out = run(&crowd, action("plan"));
    out.assert_ok();
    assert!(result(&out, "plan").contains("bytes, shown above)"));
    assert!(result(&out, "differences").contains("tracing:1999: set receivers"));
}
