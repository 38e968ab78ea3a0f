//! Things that die, and what is left of them.

use juju_sim::client::Request;

use crate::model::{Model, up};

/// What a second hook must not touch: inode and time of the files, and since when nginx runs with which processes.
fn trace(model: &Model, unit: &str) -> String {
    let line = "stat -c '%n %i %y' /etc/nginx/nginx.conf* && cat /tmp/nginx.pid && \
                for p in /proc/[0-9]*; do grep -l nginx $p/comm 2>/dev/null; done | sort";
    let seen = model.in_nginx(unit, line);
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    seen.stdout
}

#[test]
fn another_hook_touches_nothing() {
    let model = up("");
    let units = ["tempo/0", "tempo/1"];
    let before = units.map(|unit| trace(&model, unit));
    let hooks = ["orders/0", "payments/0", "worker/0"].map(|unit| model.unit(unit).hooks.len());
    for _ in 0..2 {
        for unit in units {
            model.dispatch(unit, "update-status");
        }
        model.settle();
    }
    assert_eq!(units.map(|unit| trace(&model, unit)), before);
    assert_eq!(["orders/0", "payments/0", "worker/0"].map(|unit| model.unit(unit).hooks.len()), hooks);
}

#[test]
fn a_hook_tool_that_fails_in_the_middle_leaves_what_was_and_says_so() {
    let model = up("");
    let before = model.receivers("orders");
    // Refused for so long that the failed hook can be seen before its retry succeeds.
    for nth in 1..=3 {
        let fault = Request::FailHookTool { unit: "tempo/0".into(), tool: "relation-set".into(), nth };
        model.client.request(&fault).unwrap();
    }
    model.client.configure("tempo", "always_enable_jaeger_grpc", "true").unwrap();
    let failed = |model: &Model| model.unit("tempo/0").agent.current == "error";
    // Read between two looks at a unit in error, so of a hook that has failed and not of one still to run.
    let mut meanwhile = Vec::new();
    model.until("the failed hook shows", |model| {
        failed(model) && {
            meanwhile = model.receivers("orders");
            failed(model)
        }
    });
    assert_eq!(meanwhile, before);
    let log = model.client.log(Some("tempo/0")).unwrap();
    let error = log.iter().find(|line| line.level == "ERROR" && line.module.ends_with("juju-log"));
    assert!(error.is_some_and(|line| line.message.contains("relation-set")), "{log:?}");

    model.settle();
    let after = model.receivers("orders");
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(model.send("orders/0", &after[0], 10).accepted, 10);
}

#[test]
fn a_killed_nginx_comes_back_and_serves_the_same() {
    let model = up("");
    let before = model.receivers("orders");
    let conf = model.in_nginx("tempo/0", "cat /etc/nginx/nginx.conf").stdout;
    for unit in ["tempo/0", "tempo/1"] {
        assert_eq!(model.in_nginx(unit, "kill -9 $(cat /tmp/nginx.pid)").code, 0);
        model.dispatch(unit, "update-status");
    }
    model.settle();
    assert_eq!(model.in_nginx("tempo/0", "cat /etc/nginx/nginx.conf").stdout, conf);
    assert_eq!(model.receivers("orders"), before);
    for receiver in &before {
        let sent = model.send("orders/0", receiver, 20);
        assert_eq!((sent.accepted, sent.failed), (20, 0), "{receiver:?}: {:?}", sent.errors);
    }
}

#[test]
fn an_nginx_that_cannot_start_shows_in_the_status_until_it_can() {
    let model = up("");
    // nginx finds its configuration gone wrong behind the charm's back, and dies.
    let broken = "echo nonsense > /etc/nginx/nginx.conf; kill -9 $(cat /tmp/nginx.pid)";
    assert_eq!(model.in_nginx("tempo/0", broken).code, 0);
    model.dispatch("tempo/0", "update-status");
    model.settle();
    let log = model.client.log(Some("tempo/0")).unwrap();
    assert!(log.iter().any(|line| line.message.contains("writing /etc/nginx/nginx.conf")), "{log:?}");
    assert_eq!(model.in_nginx("tempo/0", "nginx -t -q").code, 0);
}

#[test]
fn a_restarted_container_gets_everything_again() {
    let model = up("");
    let unit = "tempo/1";
    let boot = model.unit(unit).containers["nginx"].clone();
    let conf = model.in_nginx(unit, "cat /etc/nginx/nginx.conf").stdout;
    model.client.request(&Request::KillContainer { unit: unit.into(), container: "nginx".into() }).unwrap();
    model.until("the container is another one", |model| {
        let now = &model.unit(unit).containers["nginx"];
        !now.is_empty() && *now != boot
    });
    model.until("nginx runs again", |model| model.in_nginx(unit, "kill -0 $(cat /tmp/nginx.pid)").code == 0);
    model.settle();
    assert_eq!(model.in_nginx(unit, "cat /etc/nginx/nginx.conf").stdout, conf);
}

#[test]
fn another_leader_goes_on_where_the_first_one_was() {
    let model = up("");
    let before = model.receivers("orders");
    model.client.request(&Request::KillLeader { app: "tempo".into() }).unwrap();
    model.settle();
    assert_eq!(model.receivers("orders"), before);
    // The new leader, too, withdraws what nobody wants any more.
    model.client.remove_relation("tempo:tracing", "payments:tracing").unwrap();
    model.settle_but("payments");
    assert!(model.receivers("orders").iter().all(|(protocol, _)| protocol != "zipkin"));
}
