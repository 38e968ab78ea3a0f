//! How a charm's process ends.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, ExitCode};

/// Set for the process that plays the charm, to what it is to do.
const CHARM: &str = "JUJU_OPS_TEST_CHARM";

/// Not a test of its own: the charm, when this program is started as one.
#[test]
fn charm() {
    let Ok(part) = std::env::var(CHARM) else { return };
    let code = juju_ops::run(async |hook| match part.as_str() {
        "panic" => panic!("no {} today", hook.event().name()),
        "stop" => Err(juju_ops::Stop::new("enough").into()),
        _ => Err("out of order".into()),
    });
    // All that can be asked of an exit code.
    if format!("{code:?}") != format!("{:?}", ExitCode::SUCCESS) {
        std::process::exit(1);
    }
}

/// Runs the charm with a `juju-log` that writes to a file: exit code, standard error, log.
fn run(part: &str, vars: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let tools = tempfile::tempdir().unwrap();
    let log = tools.path().join("log");
    let juju_log = tools.path().join("juju-log");
    std::fs::write(&juju_log, format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >> {}\n", log.display())).unwrap();
    std::fs::set_permissions(&juju_log, std::fs::Permissions::from_mode(0o700)).unwrap();

    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "charm", "--nocapture"])
        .env_clear()
        .envs([(CHARM, part), ("JUJU_UNIT_NAME", "tempo/0"), ("JUJU_HOOK_NAME", "config-changed")])
        .envs([("JUJU_MODEL_NAME", "m"), ("JUJU_MODEL_UUID", "u"), ("JUJU_CHARM_DIR", "/")])
        .env("PATH", format!("{}:/usr/bin:/bin", tools.path().display()))
        .envs(vars.iter().copied())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    (ended.status.code(), stderr, std::fs::read_to_string(&log).unwrap_or_default())
}

#[test]
fn a_panic_fails_the_hook_and_is_logged() {
    let (code, stderr, logged) = run("panic", &[]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("no config-changed today"), "{stderr}");
    assert!(logged.starts_with("-l ERROR -- ") && logged.contains("no config-changed today"), "{logged}");
    // Auditors read it too.
    let event = logged.lines().find_map(|line| line.strip_prefix("-l TRACE -- ")).expect(&logged);
    assert!(
        event.contains(r#""event":"sys_crash:panic""#) && event.contains(r#""appid":"u-tempo/0""#),
        "{event}"
    );
}

#[test]
fn an_early_end_is_a_success_and_any_other_error_is_not() {
    let (code, stderr, logged) = run("stop", &[("JUJU_OPS_LOG", "debug")]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(logged.contains("ended early: enough"), "{logged}");
    let (code, _, logged) = run("fail", &[]);
    assert_eq!(code, Some(1));
    assert!(logged.contains("-l ERROR -- config-changed: out of order"), "{logged}");
}

#[test]
fn a_hook_inside_a_hook_does_nothing() {
    let (code, stderr, logged) = run("fail", &[("OPERATOR_DISPATCH", "1")]);
    assert_eq!((code, logged.as_str()), (Some(0), ""), "{stderr}");
}
