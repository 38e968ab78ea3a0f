//! What a hook costs, and that one in which nothing has changed leaves the agent nothing to send.

use std::path::Path;

use juju_sim::event::{Notice, SecretEvent};
use juju_sim::{Event, Outcome, Relation, Role, State};

use crate::scene::{alone, charm, complete, context, requirer, run, settled};
use crate::tls::encrypted;

/// The first of the relations that [`everything`] adds.
const FIRST: u32 = 60;

/// What the other application and its unit have written.
type Written = (&'static [(&'static str, &'static str)], &'static [(&'static str, &'static str)]);

fn written(endpoint: &str) -> Written {
    match endpoint {
        "ingress" => (&[("external_host", "obs.example.net"), ("scheme", "http")], &[]),
        "logging" => (&[], &[("endpoint", r#"{"url": "http://loki-0.x:3100/loki/api/v1/push"}"#)]),
        "send-remote-write" => {
            (&[], &[("remote_write", r#"{"url": "http://prometheus-0.x:9090/api/v1/write"}"#)])
        }
        "grafana-source" => (&[("grafana_uid", "g"), ("datasource_uids", r#"{"tempo/0": "u"}"#)], &[]),
        "grafana-dashboard" => (&[("event", r#"{"valid": true, "errors": []}"#)], &[]),
        "service-mesh" => (&[("labels", "{}"), ("mesh_type", r#""istio""#)], &[]),
        _ => (&[], &[]),
    }
}

/// A complete cluster with TLS, related to an application through every endpoint that there is, before the charm knows.
fn everything() -> State {
    let mut state = encrypted();
    for (number, (name, endpoint)) in (FIRST..).zip(&context().meta().endpoints) {
        let is_there = state.relations.iter().any(|relation| relation.endpoint == *name);
        if is_there || endpoint.role == Role::Peer {
            continue;
        }
        let (app, unit) = written(name);
        let relation = Relation::new(name, number, &endpoint.interface, &format!("the-{name}"))
            .with_remote_app_data(app.iter().copied())
            .with_remote_unit(0, unit.iter().copied());
        state = state.with_relation(relation);
    }
    state
}

/// Every event that can come while nothing changes.
fn events(state: &State) -> Vec<Event> {
    let mut events = vec![
        Event::Install,
        Event::Start,
        Event::Stop,
        Event::Remove,
        Event::ConfigChanged,
        Event::UpdateStatus,
        Event::UpgradeCharm,
        Event::LeaderElected,
        Event::LeaderSettingsChanged,
        Event::Other("moon-phase-changed".into()),
    ];
    for container in ["nginx", "nginx-prometheus-exporter"] {
        let notice = Notice { id: "1".into(), kind: "custom".into(), key: "example.net/a".into() };
        events.push(Event::pebble_ready(container));
        events.push(Event::PebbleCustomNotice(container.into(), notice));
    }
    for relation in &state.relations {
        let (endpoint, id) = (&relation.endpoint, relation.id);
        events.push(Event::relation_created(endpoint, id));
        events.push(Event::relation_changed(endpoint, id));
        for unit in relation.remote_units.keys() {
            events.push(Event::relation_joined(endpoint, id, unit));
            events.push(Event::relation_changed_unit(endpoint, id, unit));
        }
    }
    for secret in &state.secrets {
        let of = |revision| SecretEvent { uri: secret.uri(), label: secret.label.clone(), revision };
        events.push(Event::SecretRotate(of(None)));
        events.push(Event::SecretExpired(of(Some(secret.latest()))));
        events.push(Event::SecretRemove(of(Some(secret.latest()))));
    }
    events
}

/// Whether somebody reads the coordinator's own metrics, and nginx is there to hand them out.
fn is_watched(state: &State) -> bool {
    state.relations.iter().any(|relation| relation.endpoint == "metrics-endpoint")
}

#[track_caller]
fn assert_quiet(state: &State, events: Vec<Event>) {
    let mut state = state.clone();
    for container in state.containers.values_mut() {
        // One of the events is about it.
        *container = std::mem::take(container).with_notice("1", "example.net/a", [] as [(&str, &str); 0]);
    }
    for event in events {
        let name = event.hook_name();
        // In these the databags of this unit are looked at, whatever their copies say.
        let looks = matches!(event, Event::ConfigChanged | Event::Start | Event::UpgradeCharm);
        let out = run(&state, event);
        out.assert_ok();
        let reconciles = !matches!(name.as_str(), "install" | "stop" | "remove" | "moon-phase-changed");
        if reconciles && is_watched(&state) {
            // A page about this very hook.
            out.assert_only_pushed("nginx", tempo_coordinator::metrics::PAGE_PATH);
        } else {
            out.assert_nothing_written();
        }
        if !looks {
            let sent = out.commit.summary();
            assert!(sent.is_empty(), "{name}: {sent:?}");
        }
    }
}

#[test]
fn a_hook_in_which_nothing_has_changed_leaves_the_agent_nothing_to_send() {
    let leader = run(&everything(), Event::ConfigChanged).state;
    assert_eq!(leader.unit_state.len(), 4, "{:?}", leader.unit_state.keys());
    assert_quiet(&leader, events(&leader));

    let follower = run(&everything().with_leader(false), Event::ConfigChanged).state;
    let of_followers = events(&follower).into_iter().filter(|event| *event != Event::LeaderElected);
    assert_quiet(&follower, of_followers.collect());

    // Nothing to coordinate yet.
    let idle = run(&alone(), Event::ConfigChanged).state;
    assert_quiet(&idle, events(&idle));
}

/// The tools that were called about a relation.
fn about<'o>(out: &'o Outcome, relation: &str) -> Vec<&'o str> {
    let about = |args: &[String]| args.iter().any(|arg| arg == relation);
    out.calls.iter().filter(|call| about(&call.args)).map(|call| call.tool.as_str()).collect()
}

/// `complete` with so many requirers more, settled, and a hook more in a charm's folder that is there.
fn with_requirers(more: u32, leader: bool, folder: &Path) -> (Outcome, Outcome) {
    let apps = (0..more).map(|n| requirer(100 + n, &format!("app{n}"), r#"["otlp_grpc"]"#));
    let state = apps.fold(complete(), State::with_relation).with_leader(leader);
    let context = context().with_charm_dir(folder);
    let first = context.run(&state, Event::ConfigChanged, charm);
    let next = context.run(&first.state, Event::UpdateStatus, charm);
    next.assert_ok().assert_nothing_to_commit();
    (first, next)
}

#[test]
fn a_requirer_costs_two_reads_and_on_followers_one() {
    for (leader, first, next) in [
        (true, &["relation-get"; 2][..], &["relation-get"; 2][..]),
        (false, &["relation-get"], &["relation-get"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (beginning, then) = with_requirers(3, leader, folder.path());
        for relation in ["tracing:100", "tracing:101", "tracing:102"] {
            // Whose databag it is, is asked for once.
            let mut called = about(&beginning, relation);
            called.retain(|tool| *tool != "relation-set");
            called.sort_unstable();
            assert_eq!(called, [first, &["relation-list"]].concat());
            assert_eq!(about(&then, relation), next);
        }
        let calls = then.calls.len();
        for more in [4, 40, 80] {
            let folder = tempfile::tempdir().unwrap();
            let (_, then) = with_requirers(more, leader, folder.path());
            assert_eq!(then.calls.len(), calls + next.len() * (more as usize - 3), "{more}");
        }
    }
}

#[test]
fn names_that_were_lost_with_the_pod_are_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_, then) = with_requirers(2, true, folder.path());
    std::fs::remove_dir_all(folder.path()).unwrap();
    // No folder to keep them in either.
    for _ in 0..2 {
        let context = context().with_charm_dir(folder.path());
        let again = context.run(&then.state, Event::UpdateStatus, charm);
        again.assert_ok().assert_nothing_to_commit();
        assert_eq!(about(&again, "tracing:100").len(), 3);
    }
}

#[test]
fn with_little_to_look_at_little_is_asked() {
    let idle = run(&alone(), Event::ConfigChanged).state;
    let out = run(&idle, Event::UpdateStatus);
    let calls: Vec<_> = out.calls_per_tool().into_iter().collect();
    assert_eq!(
        calls,
        [
            ("config-get", 1),
            ("is-leader", 1),
            ("opened-ports", 1),
            // What this application has told its peers.
            ("relation-get", 1),
            // One for each endpoint that decides anything.
            ("relation-ids", 21),
            // Who the peers are.
            ("relation-list", 1),
            ("secret-ids", 1),
            // The copy of what this unit has told them.
            ("state-get", 1),
            ("status-get", 2),
        ]
    );
    // These concern nobody, or not yet.
    for event in [Event::Install, Event::Stop, Event::Remove, Event::Other("moon-phase-changed".into())] {
        assert!(run(&settled(), event).calls.is_empty());
    }
}
