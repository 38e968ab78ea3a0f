//! A charm that knows nothing of this repository but the crates' public interfaces.

use juju_sim::client::ExecOutcome;

use crate::model::{Model, file_share};

/// Asks nginx in another unit's pod for a file.
fn get(model: &Model, login: &str, file: &str) -> ExecOutcome {
    let url = format!("http://files-0.files-endpoints.m.svc.cluster.local:8080/{file}");
    let command = ["curl", "-sS", "--max-time", "10", "-w", "%{http_code}", "-u", login, &url];
    model.client.exec("files/1", None, &command).unwrap()
}

fn password(model: &Model, unit: &str, renew: bool) -> String {
    let outcome = model.client.run(unit, "password", [("renew".to_owned(), renew.into())]).unwrap();
    assert_eq!(outcome.status, "completed", "{}", outcome.message);
    assert_eq!(outcome.results["user"], "reader");
    outcome.results["password"].as_str().unwrap().to_owned()
}

#[test]
fn a_workload_with_a_storage_a_secret_and_an_action() {
    let model = file_share();
    let write = "echo trees > /var/lib/juju/storage/files/0/list.txt";
    let written = model.client.exec("files/0", None, &["sh", "-c", write]).unwrap();
    assert_eq!(written.code, 0, "{}", written.stderr);

    let first = password(&model, "files/1", false);
    assert_eq!(get(&model, &format!("reader:{first}"), "list.txt").stdout, "trees\n200");
    assert!(get(&model, "reader:guessed", "list.txt").stdout.ends_with("401"));

    // Whoever leads makes a new one, and the others take it over in their next hook.
    let renewed = password(&model, "files/0", true);
    assert_ne!(renewed, first);
    model.dispatch("files/1", "update-status");
    model.settle();
    assert_eq!(password(&model, "files/1", false), renewed);
    assert_eq!(get(&model, &format!("reader:{renewed}"), "list.txt").stdout, "trees\n200");
    assert!(get(&model, &format!("reader:{first}"), "list.txt").stdout.ends_with("401"));
    assert_eq!(model.unit("files/0").opened_ports, ["8080/tcp"]);
}
