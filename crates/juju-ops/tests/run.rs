//! How a charm's process ends.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// Set for the process that plays the charm.
const CHARM: &str = "JUJU_OPS_TEST_CHARM";

/// Not a test of its own: the charm, when this program is started as one.
#[test]
fn charm() {
    if std::env::var_os(CHARM).is_some() {
        juju_ops::run(async |hook| panic!("no {} today", hook.event().name()));
    }
}

#[test]
fn a_panic_fails_the_hook_and_is_logged() {
    let tools = tempfile::tempdir().unwrap();
    let log = tools.path().join("log");
    let juju_log = tools.path().join("juju-log");
    std::fs::write(&juju_log, format!("#!/bin/sh\necho \"$@\" >> {}\n", log.display())).unwrap();
    std::fs::set_permissions(&juju_log, std::fs::Permissions::from_mode(0o700)).unwrap();

    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "charm", "--nocapture"])
        .env_clear()
        .envs([(CHARM, "1"), ("JUJU_UNIT_NAME", "tempo/0"), ("JUJU_HOOK_NAME", "config-changed")])
        .envs([("JUJU_MODEL_NAME", "m"), ("JUJU_MODEL_UUID", "u"), ("JUJU_CHARM_DIR", "/")])
        .env("PATH", format!("{}:/usr/bin:/bin", tools.path().display()))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("no config-changed today"), "{stderr}");
    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(logged.starts_with("-l ERROR -- ") && logged.contains("no config-changed today"), "{logged}");
}
