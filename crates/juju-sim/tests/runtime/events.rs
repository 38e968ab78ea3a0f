//! The order of hooks and what they carry.

use crate::{PAIR, PATIENCE, up};

#[test]
fn a_unit_boots_in_jujus_order() {
    let model = up("applications: {a: {charm: $CHARMS/probe}}");
    let expected = [
        "install",
        "peers-relation-created",
        "leader-elected",
        "config-changed",
        "start",
        "web-pebble-ready",
    ];
    assert_eq!(model.hooks("a/0"), expected);
    let unit = model.unit("a/0");
    assert_eq!((unit.workload.current.as_str(), unit.workload.message.as_str()), ("active", "hello"));
    assert!(unit.leader);
}

#[test]
fn a_relation_lives_from_created_to_broken() {
    let model = up(PAIR);
    let hooks = model.hooks("b/0");
    let of_take: Vec<_> = hooks.iter().filter(|hook| hook.starts_with("take-")).map(String::as_str).collect();
    assert_eq!(of_take[0], "take-relation-created");
    // Each unit's joined is followed by its changed at once; the application's data come when they come.
    for (index, _) in of_take.iter().enumerate().filter(|(_, hook)| **hook == "take-relation-joined") {
        assert_eq!(of_take[index + 1], "take-relation-changed", "{of_take:?}");
    }
    assert_eq!(of_take.iter().filter(|hook| **hook == "take-relation-joined").count(), 2);

    let seen =
        &model.unit("b/0").relation_info.into_iter().find(|relation| relation.endpoint == "take").unwrap();
    assert_eq!(seen.application_data["leader"], "a/0");
    assert_eq!(seen.related_units["a/1"]["text"], "hello");
    assert_eq!(seen.related_units["a/1"]["ingress-address"], model.unit("a/1").address);

    model.client.remove_relation("a", "b").unwrap();
    model.settle();
    let said: Vec<_> = model.said("b/0").into_iter().rev().take(3).collect();
    assert_eq!(said[0], "take-relation-broken remote=a/ departing=");
    assert!(said[1..].iter().all(|line| line.starts_with("take-relation-departed remote=a/a/")), "{said:?}");
    assert!(model.client.status().unwrap().relations.iter().all(|relation| relation.kind == "peer"));

    // A new relation is another one, with data of its own.
    model.client.integrate("a:give", "b:take").unwrap();
    model.settle();
    let status = model.client.status().unwrap();
    assert_eq!(status.relations.last().map(|relation| relation.id), Some(3));
}

#[test]
fn only_what_changed_reaches_the_other_side_and_only_once() {
    let model = up(PAIR);
    let before = (model.hooks("a/0").len(), model.hooks("b/0").len());
    model.client.configure("b", "text", "bye").unwrap();
    model.settle();
    let hooks = (model.hooks("a/0"), model.hooks("b/0"));
    assert_eq!(hooks.1[before.1..], ["config-changed"]);
    assert_eq!(hooks.0[before.0..], ["give-relation-changed"]);
    assert_eq!(model.said("a/0").last().unwrap(), "give-relation-changed remote=b/b/0 departing=");

    // The same value again is no change.
    model.client.configure("b", "text", "bye").unwrap();
    model.settle();
    assert_eq!((model.hooks("a/0"), model.hooks("b/0")), hooks);
}

#[test]
fn a_removed_unit_says_goodbye_and_the_others_hear_of_it() {
    let model = up(PAIR);
    model.cli(&["remove-unit", "a/1"]);
    model.until("a/1 is gone", |client| client.show_unit("a/1").is_err());
    model.settle();
    let said = model.said("a/1");
    let last: Vec<_> = said[said.len() - 5..].iter().map(String::as_str).collect();
    assert_eq!(
        last,
        [
            "peers-relation-departed remote=a/a/0 departing=a/1",
            "give-relation-departed remote=b/b/0 departing=a/1",
            "give-relation-broken remote=b/ departing=",
            "stop remote=/ departing=",
            "remove remote=/ departing=",
        ]
    );
    assert_eq!(model.said("b/0").last().unwrap(), "take-relation-departed remote=a/a/1 departing=a/1");
}

#[test]
fn the_first_unit_leads_until_it_goes() {
    let model = up(PAIR);
    assert!(model.unit("a/0").leader);
    assert!(!model.hooks("a/1").contains(&"leader-elected".to_owned()));
    model.cli(&["remove-unit", "a/0"]);
    model.until("a/0 is gone", |client| client.show_unit("a/0").is_err());
    model.settle();
    let unit = model.unit("a/1");
    assert!(unit.leader);
    assert!(unit.hooks.contains(&"leader-elected".to_owned()));

    // The pods of a stateful set are numbered without gaps: what comes next is number 0 again.
    model.cli(&["add-unit", "a"]);
    model.until("a/0 is back", |client| client.show_unit("a/0").is_ok());
    model.settle();
    assert!(!model.unit("a/0").leader);
}

#[test]
fn a_refreshed_charm_upgrades_and_then_looks_at_its_configuration() {
    let model = up("applications: {a: {charm: $CHARMS/probe}}");
    let before = model.hooks("a/0").len();
    model.cli(&["refresh", "a"]);
    model.settle();
    assert_eq!(model.hooks("a/0")[before..], ["upgrade-charm", "config-changed"]);
    assert_eq!(model.client.status().unwrap().applications["a"].revision, 1);
}

#[test]
fn a_removed_application_leaves_nothing_behind() {
    let model = up(PAIR);
    model.cli(&["remove-application", "a"]);
    model.until("a is gone", |client| !client.status().unwrap().applications.contains_key("a"));
    model.client.settle(PATIENCE).unwrap();
    let status = model.client.status().unwrap();
    assert_eq!(status.relations.len(), 1, "{:?}", status.relations);
    assert_eq!(model.said("b/0").last().unwrap(), "take-relation-broken remote=a/ departing=");
}

#[test]
fn a_shared_secret_is_read_renewed_and_its_old_revision_removed() {
    let model = up(PAIR);
    let token = |value: &str| [("token".to_owned(), value.into())];
    assert_eq!(model.client.run("a/leader", "keep", token("one")).unwrap().status, "completed");
    model.settle();
    let log = |unit: &str| -> Vec<String> {
        model.client.log(Some(unit)).unwrap().into_iter().map(|line| line.message).collect()
    };
    assert!(log("b/0").iter().any(|line| line.ends_with("read one")), "{:?}", log("b/0"));
    assert_eq!(model.client.run("a/leader", "renew", token("two")).unwrap().status, "completed");
    model.settle();
    assert!(log("b/0").iter().any(|line| line.ends_with("read two label=given")), "{:?}", log("b/0"));
    // Nobody reads the first revision any more, so its owner may remove it.
    assert_eq!(model.said("a/0").last().unwrap(), "secret-remove remote=/ departing=");
    assert!(log("a/0").iter().any(|line| line.ends_with("revision 1 of key")), "{:?}", log("a/0"));
    assert!(
        !model.hooks("a/1").iter().any(|hook| hook.starts_with("secret-")),
        "only the leader looks after it"
    );

    let rotate = |label: &str| juju_sim::client::Request::Dispatch {
        unit: "a/leader".into(),
        event: format!("secret-rotate:{label}"),
    };
    model.client.request(&rotate("key")).unwrap();
    model.settle();
    assert_eq!(model.hooks("a/0").last().unwrap(), "secret-rotate");
    assert!(model.client.request(&rotate("lock")).unwrap_err().to_string().contains("\"lock\""));
}

#[test]
fn notices_and_checks_of_a_container_become_hooks() {
    let model = up("applications: {a: {charm: $CHARMS/probe}}");
    let pebble = |script: &str| {
        let outcome = model.client.exec("a/0", Some("web"), &["sh", "-ec", script]).unwrap();
        assert_eq!(outcome.code, 0, "{outcome:?}");
    };
    let hook = |name: &str| {
        model.until(name, |client| client.show_unit("a/0").unwrap().hooks.iter().any(|hook| hook == name));
    };
    pebble("pebble notify example.com/hello");
    hook("web-pebble-custom-notice");
    pebble(
        "cat > /tmp/layer.yaml <<END
checks:
  up: {override: replace, period: 50ms, timeout: 20ms, threshold: 2, exec: {command: test -e /tmp/up}}
END
pebble add mine /tmp/layer.yaml
pebble replan",
    );
    hook("web-pebble-check-failed");
    pebble("touch /tmp/up");
    hook("web-pebble-check-recovered");
}
