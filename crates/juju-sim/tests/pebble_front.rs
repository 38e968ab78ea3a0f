//! The double behind its HTTP front, driven by the real client.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use juju_ops::{CheckEvent, Hook, HookEnv, HookTools, NoticeEvent, ToolCall, ToolOutput, TransportError};
use juju_pebble::{
    CheckAction, Client, Error, Exec, FileKind, FileWrite, Layer, MakeDir, NoticeFilter, Notify, Owner,
    Pebble as _, ServiceAction, ServiceStatus,
};
use juju_sim::{
    Container, ExecHandler,
    pebble::{Double, PebbleEvent, Server, serve},
};

use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;

struct Scene {
    double: Double,
    client: Client,
    server: Server,
    _dir: tempfile::TempDir,
}

fn scene(container: Container) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let double = Double::new(container);
    let server = serve(double.clone(), dir.path().join("pebble.socket")).unwrap();
    let client = Client::new(server.socket());
    Scene { double, client, server, _dir: dir }
}

fn layer() -> Layer {
    Layer::from_yaml(
        "
services:
  nginx: {override: replace, command: nginx, startup: enabled}
  exporter: {override: replace, command: exporter, requires: [nginx]}
checks:
  up: {override: replace, level: ready, http: {url: 'http://localhost/'}}
",
    )
    .unwrap()
}

fn command(words: &[&str]) -> Exec {
    Exec { command: words.iter().map(|word| (*word).to_owned()).collect(), ..Exec::default() }
}

#[tokio::test]
async fn plan_and_services() {
    let Scene { double, client, .. } = &scene(Container::ready());
    assert_eq!(client.system_info().await.unwrap().boot_id, "boot-1");
    assert_eq!(client.plan().await.unwrap(), Layer::default());
    client.add_layer("web", &layer()).await.unwrap();
    assert!(client.plan().await.unwrap().same_as(&double.container().plan()));
    client.change_services(ServiceAction::Replan, &[]).await.unwrap();
    let services = client.services(&[]).await.unwrap();
    let active = |name: &str| services.iter().any(|s| s.name == name && s.current == ServiceStatus::Active);
    assert!(active("nginx") && !active("exporter"));
    client.change_services(ServiceAction::Start, &["exporter"]).await.unwrap();
    client.signal("SIGHUP", &["nginx"]).await.unwrap();
    assert!(
        double
            .history()
            .contains(&PebbleEvent::Signal { signal: "SIGHUP".into(), names: vec!["nginx".into()] })
    );
    // What requires a service stops with it.
    client.change_services(ServiceAction::Stop, &["nginx"]).await.unwrap();
    assert!(!double.container().is_running("exporter"));
    let error = client.signal("SIGHUP", &["nginx"]).await.unwrap_err();
    assert!(
        matches!(error, Error::Api { status: 500, message, .. } if message.contains("service is not running"))
    );
    let error = client.change_services(ServiceAction::Start, &["nope"]).await.unwrap_err();
    assert!(
        matches!(error, Error::Api { status: 400, message, .. } if message.contains("\"nope\" does not exist"))
    );
}

#[tokio::test]
async fn replan_restarts_only_what_changed() {
    let Scene { double, client, .. } = &scene(Container::ready());
    client.add_layer("web", &layer()).await.unwrap();
    client.change_services(ServiceAction::Replan, &[]).await.unwrap();
    client.change_services(ServiceAction::Replan, &[]).await.unwrap();
    let with_hash =
        Layer::from_yaml("services: {nginx: {override: merge, environment: {HASH: '1'}}}").unwrap();
    client.add_layer("web", &with_hash).await.unwrap();
    client.change_services(ServiceAction::Replan, &[]).await.unwrap();
    let history = double.history();
    let services = history.iter().filter_map(|event| match event {
        PebbleEvent::Services { started, stopped, .. } => Some((started.len(), stopped.len())),
        _ => None,
    });
    assert_eq!(services.collect::<Vec<_>>(), [(1, 0), (0, 0), (1, 1)]);
}

#[tokio::test]
async fn a_service_that_exits_at_once_fails_its_change() {
    let container = Container { broken_services: ["nginx".to_owned()].into(), ..Container::ready() };
    let Scene { client, .. } = &scene(container);
    client.add_layer("web", &layer()).await.unwrap();
    let error = client.change_services(ServiceAction::Replan, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Change { message } if message.contains("exited quickly")));
    let services = client.services(&["nginx"]).await.unwrap();
    assert_eq!(services[0].current, ServiceStatus::Backoff);
}

#[tokio::test]
async fn impossible_layers_leave_the_plan_alone() {
    let Scene { client, .. } = &scene(Container::ready());
    client.add_layer("web", &layer()).await.unwrap();
    for (text, because) in [
        ("services: {x: {override: merge, startup: enabled}}", "must define \"command\""),
        ("services: {x: {override: replace, command: x, requires: [nope]}}", "\"nope\" does not exist"),
        ("services: {x: {override: replace, command: x, bogus: 1}}", "bogus"),
        ("checks: {x: {override: replace}}", "must specify one of"),
    ] {
        let error = client.add_layer("bad", &Layer::from_yaml(text).unwrap()).await.unwrap_err();
        assert!(
            matches!(&error, Error::Api { status: 400, message, .. } if message.contains(because)),
            "{error}"
        );
    }
    assert!(client.plan().await.unwrap().same_as(&layer()));
}

#[tokio::test]
async fn files_come_back_as_they_were_written() {
    let Scene { double, client, .. } = &scene(Container::ready());
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let file = FileWrite { path: "/etc/nginx/a \"b\".conf".into(), content: bytes, mode: 0o600 };
    client.write_file(&file).await.unwrap();
    assert_eq!(client.read_file(&file.path).await.unwrap().as_ref(), Some(&file.content));
    assert_eq!(double.container().files[&file.path].mode, 0o600);
    assert_eq!(client.read_file("/nope").await.unwrap(), None);
    let several = ["/etc/nginx/one", "/etc/nginx/two"];
    let writes = several.map(|path| FileWrite { path: path.into(), content: path.into(), mode: 0o644 });
    client.write_files(&writes, &Owner::default()).await.unwrap();
    let read = client.read_files(&["/etc/nginx/two", "/nope", "/etc/nginx/one"]).await.unwrap();
    assert_eq!(read, [Some(several[1].into()), None, Some(several[0].into())]);
    let listed = client.list_files("/etc/nginx", Some("t*")).await.unwrap();
    assert_eq!(listed.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["two"]);
    let folder = client.file_info("/etc/nginx").await.unwrap().unwrap();
    assert_eq!(folder.kind, FileKind::Directory);
    assert!(client.read_file("/etc/nginx").await.is_err());
    client.make_dir("/srv/x", &MakeDir { parents: true, ..MakeDir::default() }).await.unwrap();
    assert!(client.make_dir("/srv/x", &MakeDir::default()).await.is_err());
    assert!(client.remove_file(several[0]).await.unwrap());
    assert!(!client.remove_file(several[0]).await.unwrap());
    assert!(client.remove_path("/etc", false).await.is_err());
    client.remove_path("/etc", true).await.unwrap();
    assert!(double.container().files.is_empty());
    assert!(
        client
            .write_file(&FileWrite { path: "relative".into(), content: vec![], mode: 0o644 })
            .await
            .is_err()
    );
}

#[tokio::test]
async fn commands_answer_what_their_handler_says() {
    let container = Container::ready()
        .with_exec(ExecHandler::new(["nginx"]).printing("any\n"))
        .with_exec(ExecHandler::new(["nginx", "-t"]).failing(1, "bad\n"));
    let Scene { double, client, .. } = &scene(container);
    let output = client.exec(&command(&["nginx", "-v"])).await.unwrap();
    assert_eq!((output.exit_code, &output.stdout[..], &output.stderr[..]), (0, &b"any\n"[..], &b""[..]));
    let output = client.exec(&command(&["nginx", "-t", "-q"])).await.unwrap();
    assert_eq!((output.exit_code, &output.stderr[..]), (1, &b"bad\n"[..]));
    let error = client.exec(&command(&["promtool"])).await.unwrap_err();
    assert!(
        matches!(error, Error::Api { status: 400, message, .. } if message == "cannot find executable \"promtool\"")
    );
    assert_eq!(double.history().len(), 2);
}

#[tokio::test]
async fn a_hook_sees_standard_input() {
    let Scene { double, client, .. } = &scene(Container::ready());
    double.set_exec_hook(std::sync::Arc::new(|exec, _| {
        let mut stdout = exec.stdin.clone();
        stdout.reverse();
        Some(juju_pebble::ExecOutput { exit_code: 3, stdout, stderr: b"!".to_vec() })
    }));
    let exec = Exec { stdin: b"abc".to_vec(), combine_stderr: true, ..command(&["rev"]) };
    let output = client.exec(&exec).await.unwrap();
    assert_eq!((output.exit_code, &output.stdout[..]), (3, &b"cba!"[..]));
}

#[tokio::test]
async fn checks_and_health() {
    let Scene { double, client, .. } = &scene(Container::ready());
    client.add_layer("web", &layer()).await.unwrap();
    assert!(client.health(None, &[]).await.unwrap());
    double.change(|container| container.down_checks.insert("up".to_owned()));
    assert!(!client.health(None, &[]).await.unwrap());
    assert_eq!(client.checks(&[]).await.unwrap()[0].failures, 3);
    assert_eq!(client.change_checks(CheckAction::Stop, &["up"]).await.unwrap(), ["up"]);
    assert!(client.health(None, &[]).await.unwrap());
    assert!(client.change_checks(CheckAction::Start, &["nope"]).await.is_err());
}

#[tokio::test]
async fn notices_are_kept() {
    let Scene { client, .. } = &scene(Container::ready());
    let notice = Notify { key: "example.com/done".into(), ..Notify::default() };
    let id = client.notify(&notice).await.unwrap();
    assert_eq!(client.notify(&notice).await.unwrap(), id);
    let notices = client.notices(&NoticeFilter::default()).await.unwrap();
    assert_eq!((notices.len(), notices[0].occurrences), (1, 2));
    assert!(client.notify(&Notify { key: "no-domain".into(), ..Notify::default() }).await.is_err());
}

#[tokio::test]
async fn a_container_can_go_away_and_come_back() {
    let Scene { double, client, server, _dir } = scene(Container::ready());
    client.add_layer("web", &layer()).await.unwrap();
    double.change(|container| container.can_connect = false);
    let begin = Instant::now();
    assert!(client.plan().await.unwrap_err().is_connection());
    assert!(begin.elapsed() < Duration::from_secs(4), "it must not hang");
    double.change(Container::restart);
    assert_eq!(client.system_info().await.unwrap().boot_id, "boot-2");
    assert_eq!(client.plan().await.unwrap(), Layer::default());
    let socket = server.socket().to_owned();
    drop(server);
    assert!(!socket.exists());
    assert!(client.system_info().await.unwrap_err().is_connection());
}

/// Keeps what is logged.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl HookTools for Log {
    fn call(&self, call: ToolCall) -> juju_ops::tools::BoxFuture<'_, Result<ToolOutput, TransportError>> {
        self.0.lock().unwrap().push(call.args.join(" "));
        Box::pin(async { Ok(ToolOutput::default()) })
    }
}

#[tokio::test]
async fn auditors_learn_that_nobody_watches_any_more() {
    let Scene { client, .. } = &scene(Container::ready());
    client.add_layer("web", &layer()).await.unwrap();
    let vars = [("JUJU_UNIT_NAME", "web/0"), ("JUJU_MODEL_UUID", "u"), ("JUJU_CHARM_DIR", "/")];
    let var =
        |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let (layer, writer, flush) = juju_ops::log::juju_log(tracing::Level::ERROR);
    let layer = layer.for_unit(&HookEnv::from_vars(var).unwrap());
    async {
        client.change_checks(CheckAction::Stop, &["up"]).await.unwrap();
        // It is stopped already, so nothing is lost.
        client.change_checks(CheckAction::Stop, &["up"]).await.unwrap();
        client.change_checks(CheckAction::Start, &["up"]).await.unwrap();
    }
    .with_subscriber(tracing_subscriber::registry().with(layer))
    .await;
    drop(flush);
    let log = Arc::new(Log::default());
    writer.run(log.clone()).await;
    let lines = log.0.lock().unwrap();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let event: serde_json::Value = serde_json::from_str(line.strip_prefix("-l TRACE -- ").unwrap()).unwrap();
    assert_eq!((&event["event"], &event["appid"]), (&"sys_monitor_disabled:up".into(), &"u-web/0".into()));
}

#[tokio::test]
async fn an_event_leads_to_its_notice_and_its_check() {
    let Scene { double, client, .. } = &scene(Container::ready());
    client.add_layer("web", &layer()).await.unwrap();
    let notify =
        Notify { key: "example.com/x".into(), data: [("a".into(), "b".into())].into(), ..Notify::default() };
    let id = client.notify(&notify).await.unwrap();
    let vars = [("JUJU_UNIT_NAME", "web/0"), ("JUJU_MODEL_UUID", "u"), ("JUJU_CHARM_DIR", "/")];
    let var =
        |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let pebble = client.clone();
    let containers = Arc::new(move |_: &str| Arc::new(pebble.clone()) as Arc<dyn juju_pebble::Pebble>);
    let hook = Hook::new(
        HookEnv::from_vars(var).unwrap(),
        juju_ops::Event::Start,
        Arc::new(Log::default()),
        containers,
    );

    let event =
        NoticeEvent { container: "web".into(), id, kind: "custom".into(), key: "example.com/x".into() };
    assert_eq!(event.notice(&hook).await.unwrap().unwrap().last_data["a"], "b");
    let other = NoticeEvent { id: "999".into(), ..event };
    assert_eq!(other.notice(&hook).await.unwrap(), None);

    let event = CheckEvent { container: "web".into(), check: "up".into() };
    assert!(!event.is_down(&hook).await.unwrap());
    double.change(|container| container.down_checks.insert("up".into()));
    assert!(event.is_down(&hook).await.unwrap());
    let other = CheckEvent { check: "gone".into(), ..event };
    assert_eq!(other.info(&hook).await.unwrap(), None);
}
