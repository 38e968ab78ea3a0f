//! Which hook comes next, without any pod.

use juju_sim::{client::StatusText, state::Secret};

use super::*;

const CHARM: &str = "
name: probe
provides: {give: {interface: probe}}
requires: {take: {interface: probe, limit: 1}}
peers: {peers: {interface: probe_peers}}
containers: {web: {}}
actions: {show: {}}
config: {options: {text: {type: string}, size: {type: int, default: 3}}}
";

/// A model without time: hooks run one after the other, and do what the test says.
struct Play {
    model: Controller,
    now: Instant,
}

impl Play {
    /// Applications with so many units, related if told so.
    fn new(apps: &[(&str, u32)], relations: &[(&str, &str)]) -> Self {
        let mut model = Controller::new("m", "uuid");
        let meta = Arc::new(CharmMeta::from_texts(CHARM, None, None, None).unwrap());
        for (app, _) in apps {
            let spec = ApplicationSpec::default();
            model.deploy(app, Source::Double("none".into()), Arc::clone(&meta), &spec).unwrap();
        }
        for (left, right) in relations {
            model.integrate(left, right).unwrap();
        }
        let mut play = Self { model, now: Instant::now() };
        for (app, count) in apps {
            (0..*count).for_each(|_| play.add(app));
        }
        play
    }

    fn add(&mut self, app: &str) {
        let name = self.model.add_unit(app).unwrap();
        self.model.pod_ready(&name, Some(Ipv4Addr::new(198, 18, 0, 10)));
    }

    /// The next hook of a unit, by name.
    fn next(&self, unit: &str) -> Option<String> {
        self.model.next(unit, self.now).map(|event| event.hook_name())
    }

    /// Runs a unit's next hook; the charm changes what it sees through `charm`.
    fn run(&mut self, unit: &str, charm: impl FnOnce(&mut State)) -> Option<Event> {
        let event = self.model.next(unit, self.now)?;
        let begun = self.model.begin(unit, &event).unwrap();
        let mut after = begun.state.clone();
        charm(&mut after);
        self.model.immediate(unit, &begun.state, &after);
        self.model.commit(unit, &begun.state, &after).unwrap();
        self.model.succeeded(unit, &begun);
        Some(event)
    }

    /// Runs all that is due, everywhere, and gives the names of what a unit ran.
    fn settle(&mut self, watched: &str) -> Vec<String> {
        let mut ran = Vec::new();
        loop {
            let names: Vec<_> = self.model.unit_names().collect();
            let mut idle = true;
            for name in names {
                if let Some(event) = self.run(&name, |_| ()) {
                    idle = false;
                    if name == watched {
                        ran.push(event.hook_name());
                    }
                }
            }
            if idle {
                return ran;
            }
        }
    }

    fn boot(&mut self, unit: &str, id: &str) {
        self.model.container_seen(unit, "web", Some(id.into()));
    }
}

fn pair() -> Play {
    let mut play = Play::new(&[("a", 1), ("b", 1)], &[("a:give", "b:take")]);
    play.settle("");
    play
}

fn wrote(state: &mut State, endpoint: &str, key: &str, value: &str) {
    let relation = state.relations.iter_mut().find(|relation| relation.endpoint == endpoint).unwrap();
    relation.local_unit_data.insert(key.into(), value.into());
}

#[test]
fn the_first_relation_hook_sees_all_relations_and_install_only_peers() {
    let mut play = Play::new(&[("a", 1), ("b", 1), ("c", 1)], &[("a:give", "b:take"), ("a:give", "c:take")]);
    let mut seen = |hook: &str| {
        let mut count = 0;
        let event = play.run("a/0", |state| count = state.relations.len()).unwrap();
        assert_eq!(event.hook_name(), hook);
        count
    };
    assert_eq!(seen("install"), 1);
    assert_eq!(seen("peers-relation-created"), 3);
    assert_eq!(seen("give-relation-created"), 3);
}

#[test]
fn several_changes_before_a_hook_are_one_hook() {
    let mut play = pair();
    for value in ["1", "2", "3"] {
        play.model.configure("a", &BTreeMap::from([("text".into(), value.into())]), &[]).unwrap();
        play.run("a/0", |state| wrote(state, "give", "text", value));
    }
    assert_eq!(play.settle("b/0"), ["take-relation-changed"]);
}

#[test]
fn a_change_while_the_hook_runs_is_not_lost() {
    let mut play = pair();
    play.model.configure("a", &BTreeMap::from([("text".into(), "1".into())]), &[]).unwrap();
    play.run("a/0", |state| wrote(state, "give", "text", "1"));
    let event = play.model.next("b/0", play.now).unwrap();
    let begun = play.model.begin("b/0", &event).unwrap();
    assert_eq!(begun.state.relations[1].remote_units["a/0"]["text"], "1");
    play.model.configure("a", &BTreeMap::from([("text".into(), "2".into())]), &[]).unwrap();
    play.run("a/0", |state| wrote(state, "give", "text", "2"));
    play.model.succeeded("b/0", &begun);
    assert_eq!(play.next("b/0").as_deref(), Some("take-relation-changed"));
}

#[test]
fn joined_is_followed_by_changed_even_if_the_unit_left_meanwhile() {
    let mut play = Play::new(&[("a", 1), ("b", 1)], &[("a:give", "b:take")]);
    while play.next("b/0").as_deref() != Some("take-relation-joined") {
        play.run("a/0", |_| ());
        play.run("b/0", |_| ());
    }
    play.run("b/0", |_| ());
    play.model.remove_unit_now("a/0").unwrap();
    play.model.forget_unit("a/0");
    let rest = play.settle("b/0");
    assert_eq!(rest[..2], ["take-relation-changed", "take-relation-departed"], "{rest:?}");
}

#[test]
fn nobody_hears_of_its_own_writes() {
    let mut play = Play::new(&[("a", 2)], &[]);
    play.settle("");
    play.model.configure("a", &BTreeMap::from([("text".into(), "x".into())]), &[]).unwrap();
    play.run("a/0", |state| {
        state.relations[0].local_app_data.insert("key".into(), "value".into());
        state.relations[0].local_unit_data.insert("key".into(), "value".into());
    });
    assert_eq!(play.next("a/0"), None);
    let others = play.settle("a/1");
    assert_eq!(others, ["config-changed", "peers-relation-changed", "peers-relation-changed"]);
}

#[test]
fn a_leader_deposed_during_its_hook_commits_nothing() {
    let mut play = Play::new(&[("a", 2), ("b", 1)], &[("a:give", "b:take")]);
    play.settle("");
    let begun = play.model.begin("a/0", &Event::UpdateStatus).unwrap();
    let mut after = begun.state.clone();
    wrote(&mut after, "give", "text", "unit");
    after.relations[1].local_app_data.insert("text".into(), "app".into());
    play.model.depose("a").unwrap();
    let refusal = play.model.commit("a/0", &begun.state, &after).unwrap_err().to_string();
    assert!(refusal.contains("a/0 is not leader"), "{refusal}");
    play.model.failed("a/0", &Event::UpdateStatus, play.now);
    assert_eq!(play.settle("b/0"), Vec::<String>::new(), "not even the unit's data");

    // The same for secrets of the application; what the unit itself may write still counts.
    let mut after = begun.state.clone();
    after.secrets.push(Secret::new("s", "application-a", [("token", "x")]));
    assert!(play.model.commit("a/0", &begun.state, &after).is_err());
    let mut after = begun.state.clone();
    wrote(&mut after, "give", "text", "unit");
    assert!(play.model.commit("a/0", &begun.state, &after).is_ok());
}

#[test]
fn one_unit_does_not_undo_what_another_did_to_a_secret_meanwhile() {
    let mut play = Play::new(&[("a", 2)], &[]);
    play.settle("");
    let share = |state: &mut State| state.secrets.push(Secret::new("s", "application-a", [("token", "1")]));
    let begun = play.model.begin("a/0", &Event::UpdateStatus).unwrap();
    let mut after = begun.state.clone();
    share(&mut after);
    play.model.commit("a/0", &begun.state, &after).unwrap();
    play.model.succeeded("a/0", &begun);

    let slow = play.model.begin("a/1", &Event::UpdateStatus).unwrap();
    let quick = play.model.begin("a/0", &Event::UpdateStatus).unwrap();
    let mut after = quick.state.clone();
    after.secrets[0].add_revision([("token", "2")]);
    play.model.commit("a/0", &quick.state, &after).unwrap();
    play.model.commit("a/1", &slow.state, &slow.state.clone()).unwrap();
    assert_eq!(play.model.begin("a/0", &Event::UpdateStatus).unwrap().state.secrets[0].latest(), 2);
}

#[test]
fn retries_come_later_each_time_and_nothing_else_runs_meanwhile() {
    let mut play = pair();
    play.model.unit_mut("a/0").unwrap().queue.push_back(Event::UpdateStatus);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let event = play.model.next("a/0", play.now).unwrap();
        assert_eq!(event, Event::UpdateStatus);
        play.model.begin("a/0", &event).unwrap();
        play.model.failed("a/0", &event, play.now);
        play.model
            .configure("a", &BTreeMap::from([("text".into(), format!("{}", pauses.len()))]), &[])
            .unwrap();
        assert_eq!(play.next("a/0"), None, "in error, and not due yet");
        let due = play.model.unit("a/0").unwrap().failed.as_ref().unwrap().due;
        pauses.push(due - play.now);
        play.now = due;
    }
    assert!(pauses.is_sorted() && pauses[0] < pauses[1], "{pauses:?}");
    assert!(pauses[11] <= Duration::from_secs(30));
    let unit = play.model.unit("a/0").unwrap();
    let error = StatusText { current: "error".into(), message: "hook failed: \"update-status\"".into() };
    assert_eq!((workload(unit), agent(unit)), (error.clone(), error));
    play.model.resolved("a/0", false, play.now).unwrap();
    assert_eq!(play.next("a/0").as_deref(), Some("config-changed"));
}

#[test]
fn a_container_counts_as_new_once_per_boot() {
    let mut play = pair();
    play.boot("a/0", "one");
    assert_eq!(play.settle("a/0"), ["web-pebble-ready"]);
    play.boot("a/0", "one");
    assert_eq!(play.next("a/0"), None);

    // It restarts while the charm is told of the one before.
    play.boot("a/0", "two");
    let event = play.model.next("a/0", play.now).unwrap();
    let begun = play.model.begin("a/0", &event).unwrap();
    play.boot("a/0", "three");
    play.model.succeeded("a/0", &begun);
    assert_eq!(play.settle("a/0"), ["web-pebble-ready"]);

    // A late answer of one that was ended is no answer.
    play.model.container_killed("a/0", "web");
    play.boot("a/0", "three");
    assert!(
        play.model.unsettled(play.now).iter().any(|reason| reason.contains("Pebble does not answer in web"))
    );
    play.boot("a/0", "four");
    assert_eq!(play.settle("a/0"), ["web-pebble-ready"]);
}

#[test]
fn a_removed_relation_that_no_hook_ever_saw_just_goes() {
    let mut play = Play::new(&[("a", 1), ("b", 1)], &[("a:give", "b:take")]);
    play.model.remove_relation("a", "b").unwrap();
    assert_eq!(play.model.relations.values().filter(|relation| !relation.peer()).count(), 0);
    assert!(!play.settle("b/0").iter().any(|hook| hook.starts_with("take-")));
}

#[test]
fn a_relation_is_gone_when_the_last_unit_ran_its_broken_hook() {
    let mut play = pair();
    play.model.remove_relation("b:take", "a:give").unwrap();
    assert_eq!(play.run("a/0", |_| ()).unwrap().hook_name(), "give-relation-departed");
    let event = play.model.next("a/0", play.now).unwrap();
    let begun = play.model.begin("a/0", &event).unwrap();
    assert_eq!(event.hook_name(), "give-relation-broken");
    assert!(begun.state.relations.iter().any(|relation| relation.endpoint == "give"), "still readable");
    play.model.succeeded("a/0", &begun);
    assert!(play.model.begin("a/0", &Event::UpdateStatus).unwrap().state.relations.iter().all(|r| r.peer));
    assert_eq!(play.model.relations.len(), 3);
    play.settle("");
    assert_eq!(play.model.relations.len(), 2);
}

#[test]
fn an_endpoint_takes_no_more_relations_than_it_says() {
    let mut play = Play::new(&[("a", 0), ("b", 0), ("c", 0)], &[("a:give", "b:take")]);
    let refusal = play.model.integrate("c:give", "b:take").unwrap_err().to_string();
    assert_eq!(refusal, "b:take takes no more relations: its limit is 1");
}

#[test]
fn options_have_types_and_an_empty_text_is_a_text() {
    let mut play = Play::new(&[("a", 0)], &[]);
    let mut set = |name: &str, value: &str| {
        play.model.configure("a", &BTreeMap::from([(name.to_owned(), value.to_owned())]), &[])?;
        anyhow::Ok(play.model.application("a")?.options.get(name).cloned())
    };
    assert_eq!(set("size", "7").unwrap(), Some(7.into()));
    assert!(set("size", "large").unwrap_err().to_string().contains("\"large\""));
    assert_eq!(set("size", "").unwrap(), None);
    assert_eq!(set("text", "7").unwrap(), Some("7".into()));
    assert_eq!(set("text", "").unwrap(), Some("".into()));
}

#[test]
fn while_a_unit_leaves_another_leads() {
    let mut play = Play::new(&[("a", 2)], &[]);
    play.settle("");
    play.model.remove_unit("a/0").unwrap();
    assert_eq!(play.model.application("a").unwrap().leader, Some(1));
    assert_eq!(play.next("a/1").as_deref(), Some("leader-elected"));
    assert_eq!(play.next("a/0").as_deref(), Some("peers-relation-departed"));
}
