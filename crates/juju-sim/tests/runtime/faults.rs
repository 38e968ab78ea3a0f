//! What happens when something goes wrong.

use std::time::Duration;

use juju_sim::client::Request;

use crate::{PAIR, PATIENCE, up};

const ONE: &str = "applications: {a: {charm: $CHARMS/probe}}";

#[test]
fn a_failed_hook_leaves_nothing_and_is_tried_again() {
    let model = up(PAIR);
    model.client.configure("b", "fail-on", "update-status").unwrap();
    model.client.settle(PATIENCE).unwrap();
    model.client.configure("b", "text", "hello").unwrap();
    let quiet = model.hooks("a/0").len();
    model.client.request(&Request::Dispatch { unit: "b/0".into(), event: "update-status".into() }).unwrap();
    model.until("b/0 is in error", |client| client.show_unit("b/0").unwrap().agent.current == "error");
    let unit = model.unit("b/0");
    assert_eq!(
        (unit.workload.current.as_str(), unit.workload.message.as_str()),
        ("error", "hook failed: \"update-status\"")
    );
    let refused = model.client.settle(Duration::from_secs(1)).unwrap_err().to_string();
    assert!(refused.contains("b/0") && refused.contains("update-status"), "{refused}");

    // While it is in error no other hook runs, and what it wrote before it failed is not there.
    model.client.configure("b", "text", "changed").unwrap();
    assert!(!model.hooks("b/0").contains(&"update-status".to_owned()));
    assert_eq!(model.hooks("a/0").len(), quiet);
    assert_eq!(model.unit("a/0").relation_info[1].related_units["b/0"]["text"], "hello");

    // Cured, it passes by itself, and the rest follows.
    model.client.configure("b", "fail-on", "").unwrap();
    model.settle();
    let hooks = model.hooks("b/0");
    assert_eq!(hooks[hooks.len() - 2..], ["update-status", "config-changed"]);
    assert_eq!(model.unit("a/0").relation_info[1].related_units["b/0"]["text"], "changed");
}

#[test]
fn a_failed_hook_can_be_resolved_without_running_it() {
    let model = up(ONE);
    model.client.configure("a", "fail-on", "update-status").unwrap();
    model.settle();
    model.client.request(&Request::Dispatch { unit: "a/0".into(), event: "update-status".into() }).unwrap();
    model.until("a/0 is in error", |client| client.show_unit("a/0").unwrap().agent.current == "error");
    model.client.request(&Request::Resolved { unit: "a/0".into(), retry: false }).unwrap();
    model.settle();
    assert!(!model.hooks("a/0").contains(&"update-status".to_owned()));
    let error =
        model.client.request(&Request::Resolved { unit: "a/0".into(), retry: true }).unwrap_err().to_string();
    assert!(error.contains("not in error"), "{error}");
}

#[test]
fn a_hook_tool_that_fails_fails_the_hook_once() {
    let model = up(PAIR);
    // The first relation-set passes, the second one does not: neither may count.
    let fault = |nth| Request::FailHookTool { unit: "b/0".into(), tool: "relation-set".into(), nth };
    model.client.request(&fault(2)).unwrap();
    let before = model.hooks("a/0").len();
    model.client.configure("b", "text", "later").unwrap();
    model.settle();
    let log = model.client.log(Some("b/0")).unwrap();
    assert!(
        log.iter().any(|line| line.level == "WARNING" && line.message.contains("failure ordered")),
        "{log:?}"
    );
    assert!(
        log.iter().any(|line| line.level == "ERROR" && line.message.contains("config-changed")),
        "{log:?}"
    );
    assert_eq!(model.hooks("a/0")[before..], ["give-relation-changed"]);
    assert_eq!(model.unit("a/0").relation_info[1].related_units["b/0"]["text"], "later");
    assert!(
        model
            .client
            .request(&Request::FailHookTool { unit: "b/0".into(), tool: "relation-gut".into(), nth: 1 })
            .is_err()
    );
}

#[test]
fn a_container_that_ends_comes_back_empty_and_the_charm_hears_of_it() {
    let model = up(ONE);
    let write = ["sh", "-c", "echo kept > /etc/mark; pebble mkdir -p /var/mark; echo done"];
    assert_eq!(model.client.exec("a/0", Some("web"), &write).unwrap().stdout, "done\n");
    let boot = model.unit("a/0").containers["web"].clone();
    let before = model.hooks("a/0").len();
    model.client.request(&Request::KillContainer { unit: "a/0".into(), container: "web".into() }).unwrap();
    model.settle();
    assert_eq!(model.hooks("a/0")[before..], ["web-pebble-ready"]);
    assert_ne!(model.unit("a/0").containers["web"], boot);
    assert_eq!(model.client.exec("a/0", Some("web"), &["cat", "/etc/mark"]).unwrap().code, 1);
}

#[test]
fn a_killed_leader_comes_back_as_a_follower_elsewhere() {
    let model = up(PAIR);
    let old = model.unit("a/0").address;
    let new: String = model.client.ask(&Request::KillLeader { app: "a".into() }).unwrap();
    assert_eq!(new, "a/1");
    model.settle();
    let (killed, leader) = (model.unit("a/0"), model.unit("a/1"));
    assert!(leader.leader && !killed.leader);
    assert!(leader.hooks.contains(&"leader-elected".to_owned()));
    assert_ne!(killed.address, old);
    let again = &killed.hooks[killed.hooks.iter().rposition(|hook| hook == "config-changed").unwrap()..];
    assert_eq!(again[..3], ["config-changed", "start", "web-pebble-ready"]);
    // The other side was told the new address.
    let seen =
        model.unit("b/0").relation_info.into_iter().find(|relation| relation.endpoint == "take").unwrap();
    assert_eq!(seen.related_units["a/0"]["ingress-address"], killed.address);
    assert_eq!(seen.application_data["leader"], "a/1");
}

#[test]
fn a_unit_without_its_cable_is_not_reached_until_it_is_back() {
    let model = up(PAIR);
    let address = model.unit("a/0").address;
    let reach = || {
        let script = format!("import socket; socket.create_connection(('{address}', 9), 2)");
        model.client.exec("b/0", None, &["python3", "-c", &script]).unwrap().stderr
    };
    // Nobody listens there; that the pod itself says so shows that it is reached.
    assert!(reach().contains("refused"), "{}", reach());
    model.client.request(&Request::Partition { unit: "a/0".into(), heal: false }).unwrap();
    let cut = reach();
    assert!(!cut.contains("refused"), "{cut}");
    model.client.request(&Request::Partition { unit: "a/0".into(), heal: true }).unwrap();
    model.until("the cable is back", |_| reach().contains("refused"));
}

#[test]
fn a_unit_that_cannot_say_goodbye_can_be_removed_by_force() {
    let model = up(PAIR);
    model.client.configure("a", "fail-on", "stop").unwrap();
    model.settle();
    model.cli(&["remove-unit", "a/1"]);
    model.until("a/1 is in error", |client| client.show_unit("a/1").unwrap().agent.current == "error");
    model.cli(&["remove-unit", "--force", "a/1"]);
    model.until("a/1 is gone", |client| client.show_unit("a/1").is_err());
    model.client.configure("a", "fail-on", "").unwrap();
    model.settle();
    assert_eq!(model.said("b/0").last().unwrap(), "take-relation-departed remote=a/a/1 departing=a/1");
}

#[test]
fn a_killed_hook_runs_again_and_is_no_error() {
    let model = up(ONE);
    model.client.configure("a", "fail-on", "die-in-update-status").unwrap();
    model.settle();
    model.client.request(&Request::Dispatch { unit: "a/0".into(), event: "update-status".into() }).unwrap();
    model.settle();
    assert_eq!(model.said("a/0").iter().filter(|line| line.starts_with("update-status")).count(), 2);
    assert_eq!(model.hooks("a/0").iter().filter(|hook| *hook == "update-status").count(), 1);
    let log = model.client.log(Some("a/0")).unwrap();
    assert!(log.iter().any(|line| line.message.contains("was killed")), "{log:?}");
    assert!(!log.iter().any(|line| line.level == "ERROR"), "{log:?}");
}
