//! The client against the real daemon.

mod support;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    time::Duration,
};

use futures_util::future::join_all;
use juju_pebble::{
    Access, AddLayer, ChangeFilter, ChangeId, CheckAction, CheckLevel, CheckStatus, Client, Error, Exec,
    FileKind, FileWrite, Identity, IdentityAction, Layer, Limits, MakeDir, NoticeFilter, Notify, Owner,
    Pebble as _, PebbleExt as _, Service, ServiceAction, ServiceStatus, Startup,
};
use support::{Daemon, layer, path_failure, refused};
use tokio::time::Instant;

// --- system ---------------------------------------------------------------------------------------

#[tokio::test]
async fn a_client_outlives_its_daemon() {
    let mut daemon = Daemon::start().await;
    let before = daemon.client.system_info().await.unwrap();
    assert!(before.version.starts_with('v'), "{before:?}");
    assert!(!before.boot_id.is_empty());

    daemon.kill();
    assert!(
        daemon.client.system_info().await.unwrap_err().is_connection(),
        "the socket is there, but nobody"
    );

    daemon.start_again().await;
    assert_eq!(daemon.client.system_info().await.unwrap().version, before.version);
}

#[tokio::test]
async fn every_verb_says_that_nobody_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path().join("none.socket"));
    let file = FileWrite { path: "/x".into(), content: vec![], mode: 0o600 };
    let exec = Exec { command: vec!["true".into()], ..Exec::default() };
    let failures = [
        client.system_info().await.unwrap_err(),
        client.plan().await.unwrap_err(),
        client.add_layer("l", &layer("{}")).await.unwrap_err(),
        client.services(&[]).await.unwrap_err(),
        client.replan().await.unwrap_err(),
        client.signal("SIGHUP", &["x"]).await.unwrap_err(),
        client.read_file("/x").await.unwrap_err(),
        client.write_file(&file).await.unwrap_err(),
        client.remove_file("/x").await.unwrap_err(),
        client.exec(&exec).await.unwrap_err(),
        client.health(None, &[]).await.unwrap_err(),
        client.checks(&[]).await.unwrap_err(),
        client.logs(&[], 1).await.unwrap_err(),
    ];
    for failure in failures {
        assert!(failure.is_connection(), "{failure:?}");
        assert!(failure.to_string().contains("none.socket"), "{failure}");
    }
}

#[tokio::test]
async fn calls_run_side_by_side() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let path = daemon.path("file");
    let now = Instant::now();
    let commands: Vec<Exec> = (0..8).map(|number| shell(&format!("sleep 1; echo {number}"))).collect();
    let outputs = join_all(commands.iter().map(|exec| client.exec(exec)));
    let files: Vec<FileWrite> =
        (0..20).map(|number| file(&format!("{path}{number}"), [number], 0o600)).collect();
    let writes = join_all(files.iter().map(|file| client.write_file(file)));
    let (outputs, writes) = tokio::join!(outputs, writes);
    assert!(now.elapsed() < Duration::from_secs(8), "one after the other: {:?}", now.elapsed());
    for (number, output) in outputs.into_iter().enumerate() {
        assert_eq!(output.unwrap().stdout, format!("{number}\n").as_bytes());
    }
    assert!(writes.iter().all(Result::is_ok));
    let contents = join_all(files.iter().map(|file| client.read_file(&file.path))).await;
    for (file, content) in files.iter().zip(contents) {
        assert_eq!(content.unwrap().as_ref(), Some(&file.content));
    }
}

/// A charm's process has neither `HOME` nor anything else, or proxy settings meant for others.
#[tokio::test]
async fn the_environment_does_not_matter() {
    const SOCKET: &str = "JUJU_PEBBLE_TEST_SOCKET";
    if let Ok(socket) = std::env::var(SOCKET) {
        let client = Client::new(socket);
        client.system_info().await.unwrap();
        let exec = Exec { command: vec!["true".into()], ..Exec::default() };
        assert_eq!(client.exec(&exec).await.unwrap().exit_code, 0);
        return;
    }
    let daemon = Daemon::start().await;
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_environment_does_not_matter", "--test-threads=1"])
        .env_clear()
        .env(SOCKET, daemon.client.socket())
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("http_proxy", "http://127.0.0.1:9")
        .env("ALL_PROXY", "http://127.0.0.1:9")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

// --- layers and plan ------------------------------------------------------------------------------

#[tokio::test]
async fn layers_combine() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    assert_eq!(client.plan().await.unwrap(), layer("{}"));

    let first = layer("services: {a: {override: replace, command: sleep 1, startup: enabled}}");
    client.add_layer_with("base", &first, AddLayer::default()).await.unwrap();
    let again = client.add_layer_with("base", &first, AddLayer::default()).await;
    assert_eq!(refused(again), (400, "layer \"base\" already exists".into()));

    let second = layer(
        "services: {a: {override: merge, environment: {A: b}}, b: {override: replace, command: sleep 2}}",
    );
    client.add_layer("base", &second).await.unwrap();
    let plan = client.plan().await.unwrap();
    assert_eq!(plan.services["a"].command, "sleep 1");
    assert_eq!(plan.services["a"].startup, Some(Startup::Enabled));
    assert_eq!(plan.services["a"].environment["A"], "b");
    assert_eq!(plan.services["b"].command, "sleep 2");

    // A label with a folder goes to the end of its folder, if it may.
    let inner = AddLayer { combine: false, inner: true };
    client.add_layer_with("dir/one", &layer("{}"), AddLayer::default()).await.unwrap();
    client.add_layer_with("top", &layer("{}"), AddLayer::default()).await.unwrap();
    client.add_layer_with("dir/two", &layer("{}"), inner).await.unwrap();
    let (status, message) =
        refused(client.add_layer_with("dir/three", &layer("{}"), AddLayer::default()).await);
    assert_eq!(status, 500, "{message}");
    assert!(message.contains("without 'inner'"), "{message}");
}

#[tokio::test]
async fn an_invalid_layer_leaves_the_plan_as_it_was() {
    let daemon = Daemon::start().await;
    daemon.layer("services: {a: {override: replace, command: sleep 1}}").await;
    let before = daemon.client.plan().await.unwrap();
    for (text, reason) in [
        ("services: {b: {override: merge}}", "plan must define \"command\" for service \"b\""),
        (
            "services: {b: {override: replace, command: x, requires: [nope]}}",
            "service \"nope\" does not exist",
        ),
        ("services: {b: {override: replace, command: x, commmand: y}}", "field commmand not found"),
        ("checks: {c: {override: replace}}", "plan must specify one of"),
    ] {
        let (status, message) = refused(daemon.client.add_layer("bad", &layer(text)).await);
        assert_eq!(status, 400);
        assert!(message.contains(reason), "{message}");
    }
    assert_eq!(daemon.client.plan().await.unwrap(), before);
}

#[tokio::test]
async fn a_plan_comes_back_with_all_its_keys_and_awkward_texts() {
    let daemon = Daemon::start().await;
    let mut whole = layer(
        "
services:
  first:
    override: replace
    command: sleep '1 000'  [ --flag ]
    summary: yes
    description: a longer text
    startup: enabled
    after: [second]
    before: [third]
    requires: [second]
    user: root
    user-id: 0
    group: root
    group-id: 0
    working-dir: /
    on-success: ignore
    on-failure: restart
    on-check-failure: {tcp: restart, http: ignore}
    backoff-delay: 1500ms
    backoff-factor: 1.5
    backoff-limit: 1m
    kill-delay: 90s
  second: {override: merge, command: sleep 1}
  third: {override: replace, command: sleep 1, startup: disabled}
checks:
  http: {override: replace, level: ready, startup: disabled, period: 60s, timeout: 2500us, threshold: 7, http: {url: 'http://127.0.0.1:1/', headers: {a: b}}}
  tcp: {override: replace, level: alive, startup: disabled, tcp: {port: 1, host: 127.0.0.1}}
  exec: {override: replace, startup: disabled, exec: {command: 'true', service-context: first, environment: {C: d}, working-dir: /}}
log-targets:
  loki: {override: replace, type: loki, location: 'http://127.0.0.1:1/', services: [all, -third], labels: {key: $VALUE}}
",
    );
    let awkward = [
        "",
        " ",
        "yes",
        "NO",
        "on",
        "~",
        "null",
        "true",
        "0644",
        "0o17",
        "0x1F",
        "1_000",
        "1e3",
        ".5",
        "12:30:45",
        "2001-01-01",
        ".inf",
        "NaN",
        "=",
        "<<",
        "- a",
        "a: b",
        "a #b",
        "#",
        "&a",
        "*a",
        "!a",
        "%",
        "@",
        "`",
        "'",
        "\"",
        "\\",
        "|",
        ">",
        "{",
        "[",
        ",",
        "line\nbreak",
        "carriage\rreturn",
        "tab\t",
        "trailing ",
        "é",
        "日本",
        "😀",
        "\u{7f}",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{feff}",
        "\u{1}",
        "\u{fffd}",
    ];
    let first = whole.services.get_mut("first").unwrap();
    for (number, value) in awkward.iter().enumerate() {
        first.environment.insert(format!("V{number}"), (*value).into());
    }
    daemon.client.add_layer("whole", &whole).await.unwrap();

    let plan = daemon.client.plan().await.unwrap();
    assert_eq!(plan.services["first"].environment, whole.services["first"].environment);
    assert_eq!(plan.services["first"].command, whole.services["first"].command);
    assert_eq!(plan.services["first"].other["backoff-factor"], 1.5);
    assert!(plan.services["third"].other.is_empty());
    assert_eq!(plan.checks["http"].http, whole.checks["http"].http);
    assert_eq!(plan.log_targets, whole.log_targets);
    assert!(plan.same_as(&whole), "{plan:#?}\n{whole:#?}");
    assert!(plan.has(&whole));

    // The same with every default written down.
    assert_ne!(
        plan.services["second"],
        Service { on_failure: "restart".into(), ..plan.services["second"].clone() }
    );
    assert!(plan.has(&layer(
        "services: {second: {override: replace, command: sleep 1, on-failure: restart, kill-delay: 5000ms}}"
    )));
    assert!(!plan.has(&layer("services: {second: {override: replace, command: sleep 2}}")));
}

/// Our own way to put layers together gives the daemon's plan, for many layers with few names.
#[tokio::test]
async fn combining_here_is_combining_there() {
    let daemon = Daemon::start().await;
    let mut number = 12345_u32;
    let mut draw = move |below: u32| {
        // A small generator with a fixed start: the same layers in every run.
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (number >> 16) % below
    };
    let mut layers: Vec<(String, Layer)> = Vec::new();
    for round in 0..60 {
        let how = ["merge", "replace"][draw(2) as usize];
        let service = format!("s{}", draw(3));
        let check = format!("c{}", draw(2));
        let keys = [
            "startup: enabled".to_owned(),
            "startup: disabled".to_owned(),
            format!("after: [s{}]", draw(3)),
            format!("environment: {{K{}: v{round}}}", draw(3)),
            format!("kill-delay: {}ms", 500 + draw(5000)),
            format!("backoff-factor: {}.{}", 1 + draw(3), draw(10)),
            format!("on-check-failure: {{{check}: restart}}"),
            format!("user-id: {}", draw(3)),
        ];
        let (one, two) = (draw(8) as usize, draw(8) as usize);
        let second = if keys[two][..3] == keys[one][..3] { "summary: s" } else { &keys[two] };
        let check_keys =
            ["level: alive", "threshold: 2", "period: 90s", "timeout: 700ms", "startup: disabled"];
        let text = format!(
            "
services: {{{service}: {{override: {how}, command: sleep {round}, {}, {second}}}}}
checks: {{{check}: {{override: {how}, {}, tcp: {{port: {}}}}}}}
log-targets: {{t: {{override: {how}, type: loki, location: 'http://127.0.0.1:1/{round}', services: [-all], labels: {{l{}: v}}}}}}
",
            keys[one],
            check_keys[draw(5) as usize],
            1 + draw(3),
            draw(3),
        );
        let label = format!("l{}", draw(3));
        let addition = layer(&text);
        if daemon.client.add_layer(&label, &addition).await.is_err() {
            // A cycle of `after`: refused as a whole.
            continue;
        }
        match layers.iter_mut().find(|(existing, _)| *existing == label) {
            Some((_, existing)) => existing.combine(&addition),
            None => layers.push((label, addition)),
        }
        let mut expected = Layer::default();
        for (_, layer) in &layers {
            expected.combine(layer);
        }
        let plan = daemon.client.plan().await.unwrap();
        assert!(plan.same_as(&expected), "round {round}: {plan:#?}\n{expected:#?}");
    }
    assert_eq!(layers.len(), 3);
}

// --- services -------------------------------------------------------------------------------------

#[tokio::test]
async fn services_start_and_stop() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    daemon
        .layer("services: {a: {override: replace, command: sleep 1000, startup: enabled}, b: {override: replace, command: sleep 1000}}")
        .await;
    assert_eq!(daemon.status("a").await, Some(ServiceStatus::Inactive));
    assert_eq!(daemon.status("unknown").await, None);

    client.autostart().await.unwrap();
    let services = client.services(&[]).await.unwrap();
    let states: Vec<_> = services.iter().map(|s| (s.name.as_str(), s.startup, s.current)).collect();
    assert_eq!(
        states,
        [("a", Startup::Enabled, ServiceStatus::Active), ("b", Startup::Disabled, ServiceStatus::Inactive)]
    );

    client.start(&["b"]).await.unwrap();
    // Once more has no effect.
    client.start(&["a", "b"]).await.unwrap();
    client.stop(&["a", "b"]).await.unwrap();
    assert_eq!(daemon.status("a").await, Some(ServiceStatus::Inactive));
    client.restart(&["a"]).await.unwrap();
    assert_eq!(daemon.status("a").await, Some(ServiceStatus::Active));
    assert_eq!(daemon.status("b").await, Some(ServiceStatus::Inactive));
}

#[tokio::test]
async fn what_cannot_be_started_is_refused() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let unknown = refused(client.start(&["x"]).await);
    assert_eq!(unknown, (400, "cannot start services: service \"x\" does not exist".into()));
    let none = refused(client.start(&[]).await);
    assert_eq!(none, (400, "must specify services for start action".into()));
    let Err(Error::Api { kind, .. }) = client.autostart().await else { panic!("nothing to start") };
    assert_eq!(kind, "no-default-services");
}

#[tokio::test]
async fn replan_restarts_what_changed_and_only_that() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let service = |name: &str, command: &str| {
        format!("services: {{{name}: {{override: replace, startup: enabled, command: {command}}}}}")
    };
    let start = |name: &str| format!("sh -c 'echo start >> {}; exec sleep 1000'", daemon.path(name));
    let starts = |name: &str| fs::read_to_string(daemon.path(name)).unwrap_or_default().lines().count();
    daemon.layer(&service("a", &format!("{:?}", start("a")))).await;
    daemon.layer(&service("b", &format!("{:?}", start("b")))).await;
    client.replan().await.unwrap();
    assert_eq!((starts("a"), starts("b")), (1, 1));

    // With nothing to do it does nothing.
    client.replan().await.unwrap();
    client.start(&["a", "b"]).await.unwrap();
    assert_eq!((starts("a"), starts("b")), (1, 1));

    daemon.layer("services: {a: {override: merge, environment: {NEW: value}}}").await;
    client.replan().await.unwrap();
    assert_eq!((starts("a"), starts("b")), (2, 1));
}

#[tokio::test]
async fn a_service_that_exits_at_once_fails_the_change_and_says_why() {
    let daemon = Daemon::start().await;
    daemon
        .layer("services: {bad: {override: replace, startup: enabled, command: \"sh -c 'echo no such option >&2; exit 3'\"}}")
        .await;
    for result in [daemon.client.start(&["bad"]).await, daemon.client.restart(&["bad"]).await] {
        let Err(Error::Change { message }) = result else { panic!("not a failed change: {result:?}") };
        assert!(message.contains("exited quickly with code 3"), "{message}");
        assert!(message.contains("no such option"), "{message}");
        daemon.client.stop(&["bad"]).await.unwrap();
    }
    let failed = daemon.client.changes(ChangeFilter::All, Some("bad")).await.unwrap();
    let words: Vec<_> = failed.iter().map(|change| (change.kind.as_str(), change.status.as_str())).collect();
    assert!(words.contains(&("start", "Error")) && words.contains(&("stop", "Done")), "{words:?}");
}

#[tokio::test]
async fn waiting_for_a_change_has_an_end() {
    let daemon = Daemon::start().await;
    // It ignores the polite signal, so stopping it takes all of its kill delay.
    daemon
        .layer("services: {slow: {override: replace, kill-delay: 4s, command: \"sh -c 'trap : TERM; while true; do sleep 0.1; done'\"}}")
        .await;
    daemon.client.start(&["slow"]).await.unwrap();
    let impatient = daemon.impatient(Duration::from_millis(300));
    let now = Instant::now();
    let result = impatient.stop(&["slow"]).await;
    assert!(matches!(result, Err(Error::Timeout(_))), "{result:?}");
    assert!(now.elapsed() < Duration::from_secs(4), "{:?}", now.elapsed());

    // The change goes on, and a call with slices much shorter than the change sees its end.
    let change = daemon.client.changes(ChangeFilter::InProgress, None).await.unwrap().remove(0);
    assert!(!change.ready);
    let sliced =
        daemon.client.clone().with_limits(Limits { call: Duration::from_millis(250), ..Limits::default() });
    let ended = sliced.wait_change(&change.id, Duration::from_secs(30)).await.unwrap();
    assert!(ended.ready && ended.status == "Done", "{ended:?}");
    assert_eq!(daemon.client.change(&change.id).await.unwrap(), ended);

    let (status, message) = refused(daemon.client.abort_change(&change.id).await);
    assert_eq!(status, 400, "{message}");
}

#[tokio::test]
async fn a_change_that_does_not_exist() {
    let daemon = Daemon::start().await;
    let id = ChangeId("999".into());
    for result in
        [daemon.client.change(&id).await, daemon.client.wait_change(&id, Duration::from_secs(5)).await]
    {
        assert!(result.as_ref().is_err_and(Error::is_not_found), "{result:?}");
    }
    // Nor does a number that is none lead elsewhere.
    refused(daemon.client.change(&ChangeId("../plan?format=yaml".into())).await);
}

#[tokio::test]
async fn a_change_can_be_begun_and_waited_for_later() {
    let daemon = Daemon::start().await;
    daemon.layer("services: {a: {override: replace, command: sleep 1000}}").await;
    let change = daemon.client.begin_change(ServiceAction::Start, &["a"]).await.unwrap();
    let ended = daemon.client.wait_change(&change, Duration::from_secs(30)).await.unwrap();
    assert_eq!((ended.kind.as_str(), ended.tasks.len()), ("start", 1));
}

#[tokio::test]
async fn signals_reach_running_services() {
    let daemon = Daemon::start().await;
    let (ready, got) = (daemon.path("ready"), daemon.path("got"));
    let script = daemon.path("script");
    // Not SIGHUP: where these tests were started by nohup, no shell can trap it.
    fs::write(
        &script,
        format!("trap 'echo it > {got}' USR1\n: > {ready}\nwhile true; do sleep 0.05; done\n"),
    )
    .unwrap();
    daemon.layer(&format!("services: {{a: {{override: replace, command: sh {script}}}}}")).await;

    let (status, message) = refused(daemon.client.signal("SIGHUP", &["a"]).await);
    assert_eq!(status, 500);
    assert!(message.contains("not running"), "{message}");

    daemon.client.start(&["a"]).await.unwrap();
    daemon.until("trap", async || fs::exists(&ready).unwrap()).await;
    daemon.client.signal("SIGUSR1", &["a"]).await.unwrap();
    daemon.until("signal", async || fs::exists(&got).unwrap()).await;

    let (status, message) = refused(daemon.client.signal("SIGNONSENSE", &["a"]).await);
    assert!(status >= 400 && message.contains("SIGNONSENSE"), "{status} {message}");
}

#[tokio::test]
async fn logs_keep_what_services_wrote() {
    let daemon = Daemon::start().await;
    daemon
        .layer("services: {a: {override: replace, command: \"sh -c 'echo one; echo two; echo thrée; exec sleep 1000'\"}, b: {override: replace, command: sleep 1000}}")
        .await;
    daemon.client.start(&["a", "b"]).await.unwrap();
    let client = &daemon.client;
    daemon.until("output", async || client.logs(&["a"], 10).await.unwrap().len() == 3).await;
    let last: Vec<_> = client
        .logs(&["a"], 2)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| (entry.service, entry.message))
        .collect();
    assert_eq!(last, [("a".to_owned(), "two".to_owned()), ("a".into(), "thrée".into())]);
    assert_eq!(client.logs(&["b"], 10).await.unwrap(), []);
    assert_eq!(client.logs(&[], 10).await.unwrap().len(), 3);
}

// --- checks and health ----------------------------------------------------------------------------

#[tokio::test]
async fn checks_and_health() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    assert!(client.health(None, &[]).await.unwrap(), "without checks");
    assert_eq!(client.checks(&[]).await.unwrap(), []);

    let flag = daemon.path("flag");
    fs::write(&flag, "").unwrap();
    daemon
        .layer(&format!(
            "checks:
  alive: {{override: replace, level: alive, period: 100ms, timeout: 90ms, threshold: 2, exec: {{command: test -e {flag}}}}}
  ready: {{override: replace, level: ready, startup: disabled, tcp: {{port: 1}}}}"
        ))
        .await;
    let checks = client.checks(&[]).await.unwrap();
    let seen: Vec<_> =
        checks.iter().map(|c| (c.name.as_str(), c.level, c.startup, c.status, c.threshold)).collect();
    assert_eq!(
        seen,
        [
            ("alive", Some(CheckLevel::Alive), Some(Startup::Enabled), CheckStatus::Up, 2),
            ("ready", Some(CheckLevel::Ready), Some(Startup::Disabled), CheckStatus::Inactive, 3),
        ]
    );

    fs::remove_file(&flag).unwrap();
    daemon
        .until("failure", async || client.checks(&["alive"]).await.unwrap()[0].status == CheckStatus::Down)
        .await;
    assert!(!client.health(None, &[]).await.unwrap());
    assert!(!client.health(Some(CheckLevel::Alive), &[]).await.unwrap());
    assert!(!client.health(Some(CheckLevel::Ready), &[]).await.unwrap(), "ready includes alive");
    assert!(client.health(None, &["ready"]).await.unwrap(), "what does not run does not fail");
    assert!(client.checks(&["alive"]).await.unwrap()[0].failures >= 2);

    fs::write(&flag, "").unwrap();
    daemon.until("recovery", async || client.health(None, &[]).await.unwrap()).await;

    assert_eq!(client.change_checks(CheckAction::Stop, &["alive", "ready"]).await.unwrap(), ["alive"]);
    assert_eq!(client.checks(&["alive"]).await.unwrap()[0].status, CheckStatus::Inactive);
    assert_eq!(client.change_checks(CheckAction::Start, &["alive"]).await.unwrap(), ["alive"]);
    assert_eq!(client.change_checks(CheckAction::Start, &["alive"]).await.unwrap(), [""; 0]);
    let (status, message) = refused(client.change_checks(CheckAction::Stop, &["nope"]).await);
    assert_eq!((status, message.as_str()), (400, "cannot stop checks: cannot find checks in plan: nope"));
}

// --- files ----------------------------------------------------------------------------------------

fn file(path: &str, content: impl Into<Vec<u8>>, mode: u32) -> FileWrite {
    FileWrite { path: path.into(), content: content.into(), mode }
}

#[tokio::test]
async fn files_are_written_with_their_mode_and_read_back() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let every_byte: Vec<u8> = (0..=255).collect();
    let boundary_like = b"\r\n--juju-pebble-boundary-00000000000000000000--\r\n--\r\n".to_vec();
    let large = every_byte.repeat(20_000);
    for (name, content, mode) in [
        ("new/folder/secret", b"key".to_vec(), 0o600),
        ("plain", every_byte, 0o644),
        ("run", b"#!/bin/sh\n".to_vec(), 0o755),
        ("empty", vec![], 0o640),
        ("tricky", boundary_like, 0o644),
        ("large", large, 0o644),
        ("a name; with=\"quotes\" \\ and é + % &", b"odd".to_vec(), 0o644),
    ] {
        let path = daemon.path(name);
        client.write_file(&file(&path, content.clone(), mode)).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode, "{name}");
        assert_eq!(fs::read(&path).unwrap(), content, "{name}");
        assert_eq!(client.read_file(&path).await.unwrap().as_deref(), Some(&content[..]), "{name}");
    }
    assert_eq!(fs::metadata(daemon.path("new/folder")).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[tokio::test]
async fn a_file_is_replaced_as_a_whole() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let path = daemon.path("file");
    client.write_file(&file(&path, "old", 0o600)).await.unwrap();
    let before = fs::metadata(&path).unwrap();
    let mut open = fs::File::open(&path).unwrap();

    client.write_file(&file(&path, "new content", 0o640)).await.unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_ne!(before.ino(), after.ino(), "another file under the same name");
    assert_eq!(after.permissions().mode() & 0o777, 0o640);
    // Whoever has the old one open still reads all of it.
    let mut old = String::new();
    std::io::Read::read_to_string(&mut open, &mut old).unwrap();
    assert_eq!(old, "old");
    // Nothing else is left behind.
    let names: Vec<_> = client.list_files(&daemon.path(""), Some("file*")).await.unwrap();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn what_is_not_there() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let path = daemon.path("none");
    assert_eq!(client.read_file(&path).await.unwrap(), None);
    assert!(!client.remove_file(&path).await.unwrap());
    assert_eq!(client.file_info(&path).await.unwrap(), None);
    assert_eq!(path_failure(client.list_files(&path, None).await), "not-found");
    assert_eq!(path_failure(client.remove_path(&path, false).await), "not-found");
    client.remove_path(&path, true).await.unwrap();
}

#[tokio::test]
async fn several_files_in_one_call() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let (one, two, none) = (daemon.path("one"), daemon.path("two"), daemon.path("none"));
    client.write_files(&[file(&one, "1", 0o600), file(&two, "2", 0o644)], &Owner::default()).await.unwrap();
    assert_eq!(
        client.read_files(&[&two, &none, &one, &two]).await.unwrap(),
        [Some(b"2".to_vec()), None, Some(b"1".to_vec()), Some(b"2".to_vec())]
    );
    assert_eq!(client.read_files(&[]).await.unwrap(), []);
    client.write_files(&[], &Owner::default()).await.unwrap();
}

#[tokio::test]
async fn failures_name_the_path() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let folder = daemon.path("folder");
    client.make_dir(&folder, &MakeDir::default()).await.unwrap();

    let failure = client.read_file(&folder).await.unwrap_err();
    assert!(matches!(&failure, Error::Path { path, .. } if *path == folder), "{failure:?}");
    assert_eq!(path_failure(client.write_file(&file(&folder, "x", 0o644)).await), "generic-file-error");
    assert_eq!(path_failure(client.write_file(&file("relative", "x", 0o644)).await), "generic-file-error");
    assert_eq!(path_failure(client.read_file("relative").await), "generic-file-error");
    // Refused on this side, as the daemon cannot be asked for it.
    assert_eq!(path_failure(client.write_file(&file("/a\r\nb", "x", 0o644)).await), "generic-file-error");
    assert_eq!(
        path_failure(client.write_file(&file(&daemon.path("x"), "x", 0o4755)).await),
        "generic-file-error"
    );
    let nobody =
        client.write_files(&[file(&daemon.path("x"), "x", 0o644)], &Owner::user("no such user")).await;
    assert_eq!(path_failure(nobody), "generic-file-error");
    assert_eq!(refused(client.list_files("relative", None).await).0, 400);
}

#[tokio::test]
async fn directories_are_listed_made_and_removed() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let top = daemon.path("top");
    let deep = format!("{top}/a/b");
    assert_eq!(path_failure(client.make_dir(&deep, &MakeDir::default()).await), "not-found");
    let all = MakeDir { parents: true, mode: Some(0o700), ..MakeDir::default() };
    client.make_dir(&deep, &all).await.unwrap();
    client.make_dir(&deep, &all).await.unwrap();
    assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(path_failure(client.make_dir(&deep, &MakeDir::default()).await), "generic-file-error");

    client.write_file(&file(&format!("{top}/x.yaml"), "12345", 0o640)).await.unwrap();
    std::os::unix::fs::symlink("/nowhere", format!("{top}/link")).unwrap();
    let entries = client.list_files(&top, None).await.unwrap();
    let seen: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.kind, e.size)).collect();
    assert_eq!(
        seen,
        [
            ("a", FileKind::Directory, None),
            ("link", FileKind::Symlink, None),
            ("x.yaml", FileKind::File, Some(5))
        ]
    );
    let only = client.list_files(&top, Some("*.yaml")).await.unwrap();
    assert_eq!((only.len(), only[0].mode), (1, 0o640));
    assert_eq!(only[0].path, format!("{top}/x.yaml"));
    assert_eq!(only[0].owner.user_id, Some(fs::metadata(&top).unwrap().uid()));
    assert!(!only[0].last_modified.is_empty());

    let itself = client.file_info(&top).await.unwrap().unwrap();
    assert_eq!((itself.kind, itself.path), (FileKind::Directory, top.clone()));

    assert_eq!(path_failure(client.remove_path(&top, false).await), "generic-file-error");
    assert!(client.remove_file(&format!("{top}/x.yaml")).await.unwrap());
    client.remove_path(&top, true).await.unwrap();
    assert_eq!(client.file_info(&top).await.unwrap(), None);
}

#[tokio::test]
async fn too_large_a_file_is_refused_not_swallowed() {
    let daemon = Daemon::start().await;
    let path = daemon.path("large");
    fs::write(&path, vec![0; 100_000]).unwrap();
    let small = daemon.client.clone().with_limits(Limits { size: 50_000, ..Limits::default() });
    let result = small.read_file(&path).await;
    assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
}

// --- exec -----------------------------------------------------------------------------------------

fn shell(script: &str) -> Exec {
    Exec { command: ["sh", "-c", script].map(Into::into).to_vec(), ..Exec::default() }
}

#[tokio::test]
async fn a_command_gets_input_and_gives_output_and_exit_code() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let exec = Exec {
        stdin: b"in".to_vec(),
        environment: [("GIVEN".into(), "gi ven".into())].into(),
        working_dir: Some("/usr".into()),
        ..shell("cat; echo $GIVEN $FROM_DAEMON; pwd; echo err >&2; exit 7")
    };
    let output = client.exec(&exec).await.unwrap();
    assert_eq!(output.exit_code, 7);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ingi ven yes\n/usr\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n");

    // Without input there is an end of input.
    let output = client.exec(&shell("cat")).await.unwrap();
    assert_eq!((output.exit_code, output.stdout, output.stderr), (0, vec![], vec![]));

    let output =
        client.exec(&Exec { combine_stderr: true, ..shell("echo a; echo b >&2; echo c") }).await.unwrap();
    assert_eq!((output.stdout, output.stderr), (b"a\nb\nc\n".to_vec(), vec![]));

    let output = client.exec(&shell("kill -TERM $$")).await.unwrap();
    assert_eq!(output.exit_code, 128 + 15);
}

#[tokio::test]
async fn large_input_and_output_pass_at_the_same_time() {
    let daemon = Daemon::start().await;
    let stdin: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let output =
        daemon.client.exec(&Exec { stdin: stdin.clone(), ..shell("tee /dev/stderr") }).await.unwrap();
    assert_eq!(output.exit_code, 0);
    assert!(output.stdout == stdin && output.stderr == stdin, "all bytes, in order, on both");
}

#[tokio::test]
async fn a_command_need_not_read_its_input() {
    let daemon = Daemon::start().await;
    let exec = Exec { stdin: vec![b'x'; 5_000_000], ..shell("echo done") };
    let output = daemon.client.exec(&exec).await.unwrap();
    assert_eq!((output.exit_code, output.stdout), (0, b"done\n".to_vec()));
}

#[tokio::test]
async fn too_much_output_fails_the_call_and_not_the_command() {
    let daemon = Daemon::start().await;
    let small = daemon.client.clone().with_limits(Limits { size: 100_000, ..Limits::default() });
    let mark = daemon.path("mark");
    let result = small.exec(&shell(&format!("head -c 1000000 /dev/zero; echo > {mark}"))).await;
    assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
    assert!(fs::exists(mark).unwrap());
}

#[tokio::test]
async fn a_command_is_ended_after_its_time() {
    let daemon = Daemon::start().await;
    let pid = daemon.path("pid");
    let now = Instant::now();
    let exec = Exec {
        timeout: Some(Duration::from_millis(400)),
        ..shell(&format!("echo $$ > {pid}; exec sleep 1000"))
    };
    let result = daemon.client.exec(&exec).await;
    assert!(matches!(result, Err(Error::Timeout(_))), "{result:?}");
    assert!(now.elapsed() < Duration::from_secs(10), "{:?}", now.elapsed());
    assert_ended(&daemon, &pid).await;

    // A child that keeps the output open keeps the daemon from reporting; the client does not wait for it.
    let exec = Exec { timeout: Some(Duration::from_millis(400)), ..shell("sleep 15 & exec sleep 1000") };
    let now = Instant::now();
    let result = daemon.client.exec(&exec).await;
    assert!(matches!(result, Err(Error::Timeout(_))), "{result:?}");
    assert!(now.elapsed() < Duration::from_secs(10), "{:?}", now.elapsed());

    // The client's own limit counts when the command names none.
    let short = Limits { exec: Duration::from_millis(300), ..Limits::default() };
    let result = daemon.client.clone().with_limits(short).exec(&shell("exec sleep 1000")).await;
    assert!(matches!(result, Err(Error::Timeout(_))), "{result:?}");
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_is_killed() {
    let daemon = Daemon::start().await;
    let pid = daemon.path("pid");
    let exec = shell(&format!("echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 1000"));
    {
        let run = daemon.client.exec(&exec);
        let started = daemon.until("start of the command", async || fs::exists(&pid).unwrap());
        tokio::select! {
            result = run => panic!("ended: {result:?}"),
            () = started => {}
        }
    }
    assert_ended(&daemon, &pid).await;
}

async fn assert_ended(daemon: &Daemon, pid: &str) {
    let pid = fs::read_to_string(pid).unwrap();
    let process = format!("/proc/{}/stat", pid.trim());
    // Gone, or dead and not yet buried.
    let ended = async || fs::read_to_string(&process).map_or(true, |stat| stat.contains(") Z "));
    daemon.until("end of the command", ended).await;
}

#[tokio::test]
async fn a_command_that_cannot_start_says_why() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let missing = Exec { command: vec!["/no/such/program".into()], ..Exec::default() };
    let (status, message) = refused(client.exec(&missing).await);
    assert_eq!((status, message.as_str()), (400, "cannot find executable \"/no/such/program\""));
    assert_eq!(refused(client.exec(&Exec::default()).await), (400, "must specify command".into()));
    let (status, message) =
        refused(client.exec(&Exec { working_dir: Some("/none".into()), ..shell("true") }).await);
    assert_eq!(status, 500);
    assert!(message.contains("\"/none\" does not exist"), "{message}");
    let context = Exec { service_context: Some("x".into()), ..shell("true") };
    assert_eq!(refused(client.exec(&context).await), (400, "context service \"x\" not found".into()));
    let (status, _) =
        refused(client.exec(&Exec { owner: Owner::user("no such user"), ..shell("true") }).await);
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_command_may_run_in_the_context_of_a_service() {
    let daemon = Daemon::start().await;
    daemon.layer("services: {a: {override: replace, command: sleep 1, environment: {OF: service}, working-dir: /usr}}").await;
    let exec = Exec { service_context: Some("a".into()), ..shell("echo $OF; pwd") };
    assert_eq!(daemon.client.exec(&exec).await.unwrap().stdout, b"service\n/usr\n");
}

#[tokio::test]
async fn a_daemon_that_dies_takes_its_commands_with_it() {
    let mut daemon = Daemon::start().await;
    let client = daemon.client.clone();
    let mark = daemon.path("mark");
    let exec = shell(&format!(": > {mark}; exec sleep 30"));
    let run = tokio::spawn(async move { client.exec(&exec).await });
    daemon.until("start of the command", async || fs::exists(&mark).unwrap()).await;
    daemon.kill();
    let failure = run.await.unwrap().unwrap_err();
    assert!(failure.is_connection(), "{failure:?}");
}

// --- notices --------------------------------------------------------------------------------------

#[tokio::test]
async fn notices_are_recorded_once_per_key() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let notice = Notify {
        key: "example.com/done".into(),
        data: [("a".into(), "b".into())].into(),
        repeat_after: Some(Duration::from_hours(1)),
    };
    let id = client.notify(&notice).await.unwrap();
    assert_eq!(client.notify(&notice).await.unwrap(), id);
    client.notify(&Notify { key: "example.com/other".into(), ..Notify::default() }).await.unwrap();

    let custom = NoticeFilter { types: vec!["custom".into()], ..NoticeFilter::default() };
    assert_eq!(client.notices(&custom).await.unwrap().len(), 2);
    let one = NoticeFilter { keys: vec!["example.com/done".into()], ..custom.clone() };
    let found = client.notices(&one).await.unwrap().remove(0);
    assert_eq!((found.id, found.occurrences, found.kind.as_str()), (id, 2, "custom"));
    assert_eq!(found.last_data["a"], "b");
    assert_eq!(client.notices(&NoticeFilter { after: Some(found.last_repeated), ..one }).await.unwrap(), []);

    let (status, message) =
        refused(client.notify(&Notify { key: "nonsense".into(), ..Notify::default() }).await);
    assert_eq!(status, 400, "{message}");
}

// --- identities -----------------------------------------------------------------------------------

#[tokio::test]
async fn identities_are_added_shown_without_their_secrets_and_removed() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    assert_eq!(client.identities().await.unwrap(), [].into());
    let hash = "$6$F9cFSVEKyO4gB1Wh$8S1BSKsNkF.jBAixGc4W7l80OpfCNk65LZBDHBng3NAmbcHuMj4RIm7992rrJ8YA.SJ0hvm.vGk2z483am4Ym1";
    let both = [
        ("ann".to_owned(), Identity::local(Access::Read, 4242)),
        ("bob".to_owned(), Identity::basic(Access::Metrics, hash)),
    ];
    client.change_identities(IdentityAction::Add, &both.clone().into()).await.unwrap();
    let seen = client.identities().await.unwrap();
    assert_eq!(seen["ann"], both[0].1);
    assert_eq!(
        (seen["bob"].access, seen["bob"].basic.as_ref().unwrap().password.as_str()),
        (Access::Metrics, "*****")
    );

    let (status, message) =
        refused(client.change_identities(IdentityAction::Add, &both.clone().into()).await);
    assert_eq!((status, message.contains("ann, bob")), (400, true), "{message}");
    client.change_identities(IdentityAction::Remove, &both.into()).await.unwrap();
    assert_eq!(client.identities().await.unwrap(), [].into());
}

// --- shorthands -----------------------------------------------------------------------------------

#[tokio::test]
async fn a_layer_is_added_when_the_plan_is_another_one() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    assert!(client.can_connect().await.unwrap());
    assert!(!Client::new(daemon.path("no.socket")).can_connect().await.unwrap());
    let sent = layer(
        "log-targets: {loki: {override: replace, type: loki, location: 'http://127.0.0.1:9/', services: [all], labels: {unit: 'a/0'}}}",
    );
    assert!(client.ensure_layer("logs", &sent).await.unwrap());
    assert!(!client.ensure_layer("logs", &sent).await.unwrap());
    assert_eq!(client.plan().await.unwrap().log_targets["loki"].labels["unit"], "a/0");
}

#[tokio::test]
async fn a_check_is_performed_on_demand() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let flag = daemon.path("flag");
    daemon
        .layer(&format!("checks: {{c: {{override: replace, period: 1h, threshold: 1, exec: {{command: test -e {flag}}}}}}}"))
        .await;
    let failed = client.refresh_check("c").await.unwrap();
    assert!(failed.error.is_some(), "{failed:?}");
    daemon.until("down", async || client.checks(&["c"]).await.unwrap()[0].status == CheckStatus::Down).await;
    fs::write(&flag, "").unwrap();
    let fine = client.refresh_check("c").await.unwrap();
    assert_eq!(fine.error, None);
    daemon.until("up", async || client.checks(&["c"]).await.unwrap()[0].status == CheckStatus::Up).await;
    assert!(client.refresh_check("nope").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn metrics_tell_of_services_and_checks() {
    let daemon = Daemon::start().await;
    assert_eq!(daemon.client.metrics().await.unwrap(), "", "nothing to tell of");
    daemon.layer("services: {busy: {override: replace, command: sleep 1000}}").await;
    daemon.client.start(&["busy"]).await.unwrap();
    let metrics = daemon.client.metrics().await.unwrap();
    assert!(metrics.contains("pebble_service_active{service=\"busy\"} 1"), "{metrics}");
}
