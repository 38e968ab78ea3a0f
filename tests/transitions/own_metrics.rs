//! The page of the coordinator's own metrics.

use juju_sim::{Event, Relation, State};
use tempo_coordinator::metrics::PAGE_PATH;

use crate::scene::{alone, complete, nginx_conf, run, settled, without};

const PROMETHEUS: u32 = 30;

fn watched(state: State) -> State {
    let prometheus = Relation::new("metrics-endpoint", PROMETHEUS, "prometheus_scrape", "prometheus")
        .with_remote_unit(0, [] as [(&str, &str); 0]);
    state.with_relation(prometheus)
}

fn page(state: &State) -> Option<String> {
    state.containers["nginx"].file_text(PAGE_PATH)
}

#[track_caller]
fn has(page: &str, line: &str) {
    assert!(page.lines().any(|known| known == line), "{line:?} is not in\n{page}");
}

#[test]
fn every_hook_counts_while_somebody_reads() {
    let first = run(&watched(complete()), Event::relation_created("metrics-endpoint", PROMETHEUS));
    first.assert_ok();
    let second = run(&first.state, Event::UpdateStatus);
    second.assert_ok().assert_only_pushed("nginx", PAGE_PATH);
    let page = page(&second.state).expect("there is a page");
    has(&page, r#"tempo_coordinator_hooks_total{event="metrics-endpoint-relation-created"} 1"#);
    has(&page, r#"tempo_coordinator_hooks_total{event="update-status"} 1"#);
    has(&page, "tempo_coordinator_hook_duration_seconds_count 2");
    has(&page, r#"tempo_coordinator_workers{role="ingester"} 1"#);
    let calls = (first.calls.len() + second.calls.len()) as u64;
    let counted: u64 = page
        .lines()
        .find_map(|line| line.strip_prefix("tempo_coordinator_hook_tool_calls_total "))
        .and_then(|value| value.parse().ok())
        .expect("calls are counted");
    // Those for the log come later, or from another place.
    assert!(counted > 20 && counted <= calls, "{counted} of {calls}");
    assert!(nginx_conf(&second.state).contains(PAGE_PATH));
}

#[test]
fn a_role_that_is_lost_shows_on_the_page() {
    let watched = run(&watched(complete()), Event::ConfigChanged).state;
    let workers = watched.relations.iter().find(|relation| relation.endpoint == "tempo-cluster").unwrap().id;
    let out = run(&without(&watched, workers), Event::ConfigChanged);
    out.assert_ok();
    has(&page(&out.state).expect("nginx still serves it"), r#"tempo_coordinator_workers{role="ingester"} 0"#);
}

#[test]
fn a_follower_has_a_page_of_its_own() {
    let out = run(&watched(complete()).with_leader(false), Event::ConfigChanged);
    out.assert_ok();
    assert!(page(&out.state).is_some());
}

#[test]
fn nobody_reads_and_nothing_is_written() {
    assert_eq!(page(&settled()), None);
    let incomplete = run(&watched(alone()), Event::ConfigChanged);
    incomplete.assert_ok();
    assert_eq!(page(&incomplete.state), None);

    let state = run(&watched(complete()), Event::ConfigChanged).state;
    let left = run(&without(&state, PROMETHEUS), Event::ConfigChanged);
    left.assert_ok();
    assert_eq!(page(&left.state), None);
    run(&left.state, Event::ConfigChanged).assert_ok().assert_nothing_written();
}
