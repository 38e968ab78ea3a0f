//! A hook that is cut anywhere leaves something that works, and the next one makes up for it.

use juju_sim::{Event, ExecHandler, Failure, Fault, State};

use crate::scene::{
    GRAFANA, LOKI, charm, complete, context, deserted, nginx_conf, published, run, settled, sweep, with_nginx,
};
use crate::{telemetry, tls};

/// Scenes in which the next hook has a lot to do, with that hook.
fn busy() -> Vec<(&'static str, State, Event)> {
    let mut restarted = settled();
    restarted.containers.get_mut("nginx").unwrap().restart();
    vec![
        ("first deployment", complete(), Event::ConfigChanged),
        ("requirer leaves", deserted(settled(), GRAFANA), Event::relation_broken("tracing", GRAFANA)),
        ("container restarted", restarted, Event::pebble_ready("nginx")),
        ("certificate arrives", tls::just_answered(), Event::relation_changed("certificates", tls::CA)),
        ("Loki comes", telemetry::heard(), Event::UpdateStatus),
        ("authority leaves", tls::encrypted(), Event::relation_broken("certificates", tls::CA)),
    ]
}

/// What Juju has when a relation-broken hook has succeeded at last.
fn settle(event: &Event, mut state: State) -> State {
    if let Event::RelationBroken(broken) = event {
        state.relations.retain(|relation| relation.id != broken.id);
    }
    state
}

#[test]
fn wherever_the_charm_dies_the_retry_ends_where_an_undisturbed_hook_does() {
    for (name, state, event) in busy() {
        let undisturbed = run(&state, event.clone());
        undisturbed.assert_ok();
        let wanted = settle(&event, undisturbed.state.clone());
        assert!(undisturbed.steps > 20, "{name}: {} steps", undisturbed.steps);
        for step in sweep(undisturbed.steps) {
            let cut = context().with_fault(step, Fault::Die).run(&state, event.clone(), charm);
            assert!(matches!(cut.result, Err(Failure::Died)), "{name}, step {step}");
            // Nothing of a cut hook reaches anybody.
            for id in [GRAFANA, LOKI] {
                assert_eq!(published(&cut.state, id), published(&state, id), "{name}, step {step}");
            }
            let retried = run(&cut.state, event.clone());
            retried.assert_ok();
            assert_eq!(settle(&event, retried.state), wanted, "{name}, step {step}");
        }
    }
}

#[test]
fn whatever_is_refused_shows_in_the_status_and_is_made_up_for() {
    for (name, state, event) in busy() {
        let undisturbed = run(&state, event.clone());
        let wanted = settle(&event, undisturbed.state.clone());
        for step in sweep(undisturbed.steps) {
            let refusal = Fault::Refuse("the controller is tired".to_owned());
            let refused = context().with_fault(step, refusal).run(&state, event.clone(), charm);
            let status = &refused.state.unit_status;
            if refused.result.is_err() {
                // A hook tool. Unless it was the status that could not be set, that is where people are told.
                let told =
                    status.message.contains("the controller is tired") && status.status == "maintenance";
                let about_status =
                    refused.calls.iter().any(|call| call.tool.starts_with("status") && call.code != 0);
                assert!(
                    told || about_status || refused.log_text().contains("status"),
                    "{name}, step {step}: {status:?}"
                );
            } else if refused.state != undisturbed.state {
                // A container.
                assert_ne!(*status, undisturbed.state.unit_status, "{name}, step {step}");
            }
            let retried = run(&refused.state, event.clone());
            retried.assert_ok();
            assert_eq!(settle(&event, retried.state), wanted, "{name}, step {step}");
        }
    }
}

#[test]
fn a_configuration_that_nginx_refuses_leaves_the_one_before_in_use() {
    let before = deserted(settled(), GRAFANA);
    let emerg = "nginx: [emerg] host not found in upstream \"x\" in /etc/nginx/nginx.conf.candidate:7\n";
    let picky = with_nginx(before.clone(), ExecHandler::new(["nginx", "-t"]).failing(1, emerg));
    let out = run(&picky, Event::relation_broken("tracing", GRAFANA));
    out.assert_ok();
    assert_eq!(nginx_conf(&out.state), nginx_conf(&before));
    assert!(out.state.containers["nginx"].is_running("nginx"));
    assert!(!format!("{:?}", out.history("nginx")).contains("SIGHUP"));
    let status = &out.state.unit_status;
    assert_eq!(status.status, "blocked");
    assert!(status.message.contains("host not found in upstream"), "{status:?}");

    // nginx comes to its senses.
    let well = with_nginx(out.state, ExecHandler::new(["nginx", "-t"]));
    let out = run(&well, Event::relation_broken("tracing", GRAFANA));
    out.assert_ok();
    assert!(out.state.unit_status.is_active());
    assert!(!nginx_conf(&out.state).contains("9411"));
}

/// Pebble starts nginx again between our look at it and our write: then it runs with the configuration before.
#[test]
fn a_new_configuration_is_loaded_whatever_nginx_did_meanwhile() {
    let mut state = deserted(settled(), GRAFANA);
    state
        .containers
        .get_mut("nginx")
        .unwrap()
        .services
        .insert("nginx".into(), juju_pebble::ServiceStatus::Backoff);
    let out = run(&state, Event::relation_broken("tracing", GRAFANA));
    out.assert_ok();
    let history = format!("{:?}", out.history("nginx"));
    assert!(history.find("Services").unwrap() < history.find("SIGHUP").expect("a reload"), "{history}");
    assert!(out.state.unit_status.is_active());
}

#[test]
fn a_first_configuration_that_nginx_refuses_is_not_started() {
    let picky = with_nginx(complete(), ExecHandler::new(["nginx", "-t"]).failing(1, "no such directive"));
    let out = run(&picky, Event::ConfigChanged);
    out.assert_ok();
    assert_eq!(out.state.containers["nginx"].file_text("/etc/nginx/nginx.conf"), None);
    assert!(!out.state.containers["nginx"].is_running("nginx"));
    assert!(out.state.unit_status.message.contains("no such directive"));
}

#[test]
fn a_killed_nginx_is_started_again() {
    let mut state = settled();
    let nginx = state.containers.get_mut("nginx").unwrap();
    nginx.services.insert("nginx".into(), juju_pebble::ServiceStatus::Error);
    nginx.broken_services.insert("nginx".into());
    let out = run(&state, Event::UpdateStatus);
    out.assert_ok();
    assert_eq!(out.state.unit_status.status, "waiting");
    assert!(out.state.unit_status.message.contains("[nginx] the service is not running"));
    assert_eq!(published(&out.state, LOKI), published(&state, LOKI));

    let mut state = out.state;
    state.containers.get_mut("nginx").unwrap().broken_services.clear();
    let out = run(&state, Event::UpdateStatus);
    out.assert_ok();
    assert_eq!(out.state.unit_status.status, "active", "{:?}", out.history("nginx"));
    assert!(out.state.containers["nginx"].is_running("nginx"));
}
