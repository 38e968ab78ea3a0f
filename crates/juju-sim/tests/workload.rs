//! `juju_pebble::Workload` against the Pebble that is played.

use juju_pebble::{FileWrite, Layer, Pebble as _, ServiceStatus, Workload};
use juju_sim::{Container, pebble::Double};

fn workload(port: &str) -> Workload {
    let layer = "services: {web: {override: replace, command: web, startup: enabled}, tool: {override: replace, command: t}}";
    Workload {
        label: "web".into(),
        layer: Layer::from_yaml(layer).unwrap(),
        files: vec![FileWrite::new("/etc/web.conf", port)],
    }
}

/// What was done since the last look, without looks.
fn done(double: &Double, from: usize) -> usize {
    double.history().len() - from
}

#[tokio::test]
async fn what_is_as_it_should_be_is_left_alone() {
    let double = Double::new(Container::ready());
    assert!(workload("80").ensure(&double).await.unwrap());
    assert!(double.container().is_running("web"));
    assert!(!double.container().is_running("tool"), "nobody wants it to start by itself");
    assert_eq!(double.container().file_text("/etc/web.conf").unwrap(), "80");

    let before = double.history().len();
    assert!(!workload("80").ensure(&double).await.unwrap());
    assert_eq!(done(&double, before), 0);
}

#[tokio::test]
async fn services_run_with_the_files_that_are_there() {
    let double = Double::new(Container::ready());
    workload("80").ensure(&double).await.unwrap();

    assert!(workload("81").ensure(&double).await.unwrap());
    assert_eq!(double.container().file_text("/etc/web.conf").unwrap(), "81");

    // The charm ended between the file and the restart: the file is right, the service has not read it.
    double.write_file(&FileWrite::new("/etc/web.conf", "82")).await.unwrap();
    let before = double.history().len();
    assert!(workload("82").ensure(&double).await.unwrap());
    assert_ne!(done(&double, before), 0);
    assert!(!workload("82").ensure(&double).await.unwrap());
}

#[tokio::test]
async fn a_service_that_was_stopped_is_started_and_one_that_pebble_restarts_is_left_to_it() {
    let double = Double::new(Container::ready());
    workload("80").ensure(&double).await.unwrap();
    double.change(|container| container.services.insert("web".into(), ServiceStatus::Inactive));
    assert!(workload("80").ensure(&double).await.unwrap());
    assert!(double.container().is_running("web"));

    double.change(|container| container.services.insert("web".into(), ServiceStatus::Backoff));
    assert!(!workload("80").ensure(&double).await.unwrap());

    double.change(Container::restart);
    assert!(workload("80").ensure(&double).await.unwrap());
    assert!(double.container().is_running("web"));
}

#[tokio::test]
async fn a_container_that_is_down_is_said_to_be() {
    let double = Double::new(Container::down());
    assert!(workload("80").ensure(&double).await.unwrap_err().is_connection());
}
