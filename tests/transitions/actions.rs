//! Actions answer and change nothing.

use juju_sim::{Event, Outcome};

use crate::scene::{GRAFANA, alone, complete, run, settled, without};

fn action(name: &str) -> Event {
    Event::action(name, [])
}

fn results(out: &Outcome) -> String {
    serde_json::to_string(&out.action.as_ref().expect("an action ran").results).unwrap()
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
