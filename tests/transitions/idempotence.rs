//! Running again changes nothing, and order is of no interest.

use juju_sim::{Event, State};

use crate::scene::{GRAFANA, LOKI, WORKERS, after, alone, complete, requirer, run, s3, settled, worker};
use crate::telemetry::heard;

/// Every event that can come when all is quiet.
fn events() -> Vec<Event> {
    vec![
        Event::Start,
        Event::ConfigChanged,
        Event::UpdateStatus,
        Event::UpgradeCharm,
        Event::LeaderElected,
        Event::pebble_ready("nginx"),
        Event::pebble_ready("nginx-prometheus-exporter"),
        Event::relation_created("tracing", GRAFANA),
        Event::relation_joined("tracing", GRAFANA, "grafana/0"),
        Event::relation_changed("tracing", LOKI),
        Event::relation_changed_unit("tempo-cluster", WORKERS, "worker/0"),
        Event::relation_changed("s3", 2),
        Event::relation_created("peers", 1),
        Event::Install,
        Event::Stop,
        Event::Remove,
    ]
}

#[test]
fn a_second_hook_on_the_same_state_does_nothing() {
    let leader = settled();
    let follower = after(&complete().with_leader(false), Event::ConfigChanged);
    for event in events() {
        run(&leader, event.clone()).assert_ok().assert_nothing_written();
        if event != Event::LeaderElected {
            run(&follower, event).assert_ok().assert_nothing_written();
        }
    }
    let heard = after(&heard(), Event::UpdateStatus);
    run(&heard, Event::ConfigChanged).assert_ok().assert_nothing_written();
    run(&heard, Event::pebble_ready("nginx")).assert_ok().assert_nothing_written();
    // Not even with nothing to coordinate.
    let idle = after(&alone(), Event::ConfigChanged);
    run(&idle, Event::UpdateStatus).assert_ok().assert_nothing_written();
}

#[test]
fn any_event_brings_about_the_same() {
    let wanted = settled();
    for event in events() {
        if matches!(event, Event::Install | Event::Stop | Event::Remove) {
            run(&complete(), event).assert_ok().assert_nothing_written();
        } else {
            let name = event.hook_name();
            assert_eq!(after(&complete(), event), wanted, "{name}");
        }
    }
}

#[test]
fn an_event_of_a_newer_juju_is_ignored() {
    run(&complete(), Event::Other("moon-phase-changed".into())).assert_ok().assert_nothing_written();
}

#[test]
fn the_order_in_which_things_are_listed_does_not_matter() {
    let scene = |reversed: bool| -> State {
        let mut related = vec![
            s3(),
            worker(3, "write", "distributor,ingester,compactor", 3),
            worker(4, "read", "query-frontend,querier", 2),
            requirer(GRAFANA, "grafana", r#"["zipkin","otlp_http"]"#),
            requirer(LOKI, "loki", r#"["otlp_grpc","jaeger_grpc"]"#),
            requirer(
                12,
                "mimir",
                if reversed { r#"["zipkin","otlp_grpc"]"# } else { r#"["otlp_grpc","zipkin"]"# },
            ),
        ];
        if reversed {
            related.reverse();
        }
        let state = related.into_iter().fold(alone(), State::with_relation);
        let mut state = after(&state, Event::ConfigChanged);
        state.relations.sort_by_key(|relation| relation.id);
        for relation in &mut state.relations {
            relation.remote_app_data.clear();
        }
        state
    };
    assert_eq!(scene(false), scene(true));
}
