//! The containers.

use juju_pebble::{Layer, Service, Startup};
use juju_sim::{Container, Event};

use crate::scene::{complete, run, settled};

#[test]
fn both_containers_run_their_service() {
    let state = settled();
    assert!(state.containers["nginx"].is_running("nginx"));
    assert!(state.containers["nginx-prometheus-exporter"].is_running("nginx-prometheus-exporter"));
    let exporter =
        &state.containers["nginx-prometheus-exporter"].plan().services["nginx-prometheus-exporter"];
    assert!(exporter.command.contains("http://127.0.0.1:8080/status"), "{}", exporter.command);
    let conf = state.containers["nginx"].file_text("/etc/nginx/nginx.conf").unwrap();
    assert!(conf.contains("listen 127.0.0.1:8080") && conf.contains("stub_status"));
}

#[test]
fn a_restarted_container_gets_everything_again() {
    let mut state = settled();
    for container in state.containers.values_mut() {
        container.restart();
    }
    let out = run(&state, Event::pebble_ready("nginx"));
    out.assert_ok().assert_written_to(&[]);
    assert!(out.state.containers["nginx"].is_running("nginx"));
    assert!(out.state.containers["nginx-prometheus-exporter"].is_running("nginx-prometheus-exporter"));
    assert!(out.state.unit_status.is_active());
}

#[test]
fn a_container_that_is_down_does_not_hold_back_the_rest() {
    let out =
        run(&complete().with_container("nginx-prometheus-exporter", Container::down()), Event::ConfigChanged);
    out.assert_ok();
    assert!(out.state.containers["nginx"].is_running("nginx"));
    assert!(out.state.unit_status.is_active());
    assert!(out.state.unit_status.message.contains("nginx-prometheus-exporter"));
}

/// The Python charm's layer has the same label and service name; its configuration is another one.
#[test]
fn a_running_nginx_of_the_charm_before_is_taken_over_without_a_restart() {
    let service = Service {
        command: "nginx -g 'daemon off;'".into(),
        summary: "nginx".into(),
        startup: Some(Startup::Enabled),
        ..Service::default()
    };
    let layer = Layer { services: [("nginx".to_owned(), service)].into(), ..Layer::default() };
    let mut nginx = complete().containers["nginx"].clone();
    nginx = nginx.with_layer("nginx", layer).with_file("/etc/nginx/nginx.conf", "# another one");
    nginx.services.insert("nginx".into(), juju_pebble::ServiceStatus::Active);
    nginx.started_with.insert("nginx".into(), nginx.plan().services["nginx"].clone());
    let out = run(&complete().with_container("nginx", nginx), Event::UpgradeCharm);
    out.assert_ok();
    let history = format!("{:?}", out.history("nginx"));
    assert!(history.contains("SIGHUP") && !history.contains("Services"), "{history}");
}
