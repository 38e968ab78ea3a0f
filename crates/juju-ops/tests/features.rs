//! What a charm asks for and gets, tool by tool: the exact command lines, and what becomes of the answers.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use juju_ops::{
    ActionEvent, ConfigError, Encoding, Error, Event, Expiry, Feature, Grantee, Hook, HookEnv, HookTools,
    NewSecret, OrBlocked as _, OrFail as _, Port, RelationId, Remote, Rotation, SecretContent, SecretEvent,
    SecretId, SecretOwner, SecretRef, Status, StatusBoard, Stop, StorageEvent, StorageId, StorageKind,
    ToolCall, ToolError, ToolOutput, TransportError, UnitName, UserError,
    log::juju_log,
    security::{self, Severity},
    stop::finish,
    tools::BoxFuture,
};
use serde::Deserialize;
use serde_json::Value;
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::layer::SubscriberExt as _;

type Answer = fn(&str) -> Option<Result<&'static str, (i32, &'static str)>>;

/// Answers command lines from a table and keeps them. The names of secret files differ from run to run.
struct Agent {
    answer: Answer,
    calls: Mutex<Vec<String>>,
}

impl Agent {
    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn last(&self) -> String {
        self.calls.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

impl HookTools for Agent {
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>> {
        let args = call.args.iter().map(|arg| arg.split("#file=/").next().unwrap_or_default());
        let mut line = std::iter::once(call.tool).chain(args).collect::<Vec<_>>().join(" ");
        if let Some(stdin) = call.stdin {
            line = format!("{line} < {}", String::from_utf8(stdin).unwrap());
        }
        let output = match (self.answer)(&line) {
            Some(Ok(stdout)) => ToolOutput { code: 0, stdout: stdout.into(), stderr: vec![] },
            Some(Err((code, text))) => {
                ToolOutput { code, stdout: vec![], stderr: format!("ERROR {text}\n").into_bytes() }
            }
            None => {
                return Box::pin(async move { Err(TransportError::Start(format!("unexpected: {line}"))) });
            }
        };
        self.calls.lock().unwrap().push(line);
        Box::pin(async move { Ok(output) })
    }
}

fn hook_of(version: &str, event: Event, answer: Answer) -> (Hook, Arc<Agent>) {
    let env = HookEnv::from_vars(|name| {
        Some(match name {
            "JUJU_UNIT_NAME" => "tempo/0".to_owned(),
            "JUJU_CHARM_DIR" => "/nowhere".to_owned(),
            "JUJU_MODEL_UUID" => "0b7d".to_owned(),
            "JUJU_VERSION" => version.to_owned(),
            _ => String::new(),
        })
    })
    .unwrap();
    let agent = Arc::new(Agent { answer, calls: Mutex::default() });
    (Hook::new(env, event, agent.clone(), Arc::new(|_| unreachable!("no containers here"))), agent)
}

fn hook(event: Event, answer: Answer) -> (Hook, Arc<Agent>) {
    hook_of("3.6.26", event, answer)
}

fn invalid<T: std::fmt::Debug>(result: Result<T, ToolError>) -> String {
    match result {
        Err(ToolError::Invalid { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

// --- versions -------------------------------------------------------------------------------------

#[tokio::test]
async fn what_an_older_juju_lacks_is_said_and_not_asked() {
    let (hook, agent) = hook_of("3.0.2", Event::UpdateStatus, |_| None);
    let relation = RelationId::new("db", 1);
    assert_eq!(
        invalid(hook.remote_model(&relation).await),
        "models of remote applications need Juju 3.6.2 or later, this is 3.0.2"
    );
    assert!(invalid(hook.cloud_spec().await).contains("3.6.10"));
    assert!(invalid(hook.open_port(Port::tcp(80), &[]).await).contains("3.0.3"));
    assert!(invalid(hook.secrets().peek(SecretRef::Label("l")).await).contains("secrets need Juju 3.0.3"));
    assert!(hook.require(Feature::LogTargets).is_err());
    assert_eq!(agent.calls(), [""; 0]);

    // Who does not tell is asked.
    let (hook, agent) = hook_of("", Event::UpdateStatus, |_| Some(Ok(r#"{"uuid":"u"}"#)));
    assert_eq!((hook.juju_version(), hook.require(Feature::Identities)), (None, Ok(())));
    assert_eq!(hook.remote_model(&relation).await.unwrap().as_deref(), Some("u"));
    assert_eq!(agent.calls(), ["relation-model-get --format=json -r db:1"]);
}

// --- leadership -----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn leadership_is_asked_for_again_when_its_guarantee_is_over() {
    let (hook, agent) = hook(Event::UpdateStatus, |_| Some(Ok("true")));
    for (seconds, asked) in [(0, 1), (29, 1), (2, 2), (20, 2), (10, 3)] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert!(hook.is_leader().await.unwrap());
        assert_eq!(agent.calls().len(), asked, "{seconds} seconds later");
    }
}

// --- storage, cloud -------------------------------------------------------------------------------

#[tokio::test]
async fn storage_is_listed_in_order_and_the_event_carries_its_own() {
    let vars = [
        ("JUJU_HOOK_NAME", "data-storage-attached"),
        ("JUJU_STORAGE_ID", "data/3"),
        ("JUJU_STORAGE_LOCATION", "/var/lib/juju/storage/data/3"),
        ("JUJU_STORAGE_KIND", "filesystem"),
    ];
    let event = Event::from_vars(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
    let expected = StorageEvent {
        id: StorageId::new("data", 3),
        kind: StorageKind::Filesystem,
        location: "/var/lib/juju/storage/data/3".into(),
    };
    assert_eq!(event, Event::StorageAttached(expected));
    let (hook, agent) = hook(event, |line| {
        Some(match line {
            "storage-list --format=json -- data" => Ok(r#"["data/10","data/9"]"#),
            "storage-list --format=json -- none" => Ok("null"),
            "storage-get --format=json -s data/9" => Err((1, "storage \"data/9\" not found")),
            "storage-add -- data=2" => Ok(""),
            _ => return None,
        })
    });
    assert_eq!(hook.storages("data").await.unwrap(), [StorageId::new("data", 9), StorageId::new("data", 10)]);
    assert_eq!(hook.storages("none").await.unwrap(), []);
    assert_eq!(hook.storage(&StorageId::new("data", 9)).await.unwrap(), None);
    hook.request_storage("data", 2).await.unwrap();
    assert_eq!(agent.last(), "storage-add -- data=2");
}

#[tokio::test]
async fn the_cloud_is_known_to_those_who_are_trusted() {
    let (trusted, _) = hook(Event::UpdateStatus, |_| {
        Some(Ok(
            r#"{"type":"kubernetes","name":"k","region":"","endpoint":"https://10.0.0.1:16443","credential":{"auth-type":"oauth2","attrs":{"Token":"hunter22"},"redacted":["Token"]},"cacertificates":["PEM"],"is-controller-cloud":true}"#,
        ))
    });
    let Remote::Ready(cloud) = trusted.cloud_spec().await.unwrap() else { panic!("no cloud") };
    assert!(cloud.is_controller_cloud && !cloud.skip_tls_verify);
    assert_eq!(cloud.credential.as_ref().unwrap().attributes["Token"], "hunter22");
    assert!(!format!("{cloud:?}").contains("hunter22"));
    let (other, _) = hook(Event::UpdateStatus, |_| {
        Some(Err((1, "cannot access cloud credentials: getting model credentials: permission denied")))
    });
    assert_eq!(other.cloud_spec().await.unwrap(), Remote::Denied);
}

#[tokio::test]
async fn a_resource_may_have_an_end_of_line_and_must_have_a_path() {
    let (hook, _) = hook(Event::UpdateStatus, |line| {
        Some(Ok(match line {
            "resource-get -- one" => "/r/one file.txt",
            "resource-get -- two" => "/r/two.txt\n",
            _ => "",
        }))
    });
    assert_eq!(hook.resource("one").await.unwrap().to_str(), Some("/r/one file.txt"));
    assert_eq!(hook.resource("two").await.unwrap().to_str(), Some("/r/two.txt"));
    assert!(matches!(hook.resource("three").await, Err(ToolError::Output { .. })));
}

#[tokio::test]
async fn addresses_of_a_relation_are_asked_for_by_its_id() {
    let (hook, agent) = hook(Event::UpdateStatus, |line| {
        Some(match line {
            "network-get --format=json -r db:7 -- db" => {
                Ok(r#"{"bind-addresses":null,"ingress-addresses":["db.example"]}"#)
            }
            "network-get --format=json -- -odd" => Err((1, "no network config found for binding \"-odd\"")),
            _ => Err((1, "something else")),
        })
    });
    let network = hook.network(&RelationId::new("db", 7)).await.unwrap().unwrap();
    assert_eq!((network.ingress_address(), network.bind_address()), (Some("db.example"), None));
    assert_eq!(hook.network("-odd").await.unwrap(), None);
    assert!(hook.network("db").await.is_err());
    assert_eq!(agent.calls().len(), 3);
}

// --- early end ------------------------------------------------------------------------------------

#[derive(Debug, Deserialize)]
struct Config {
    #[allow(dead_code)]
    port: u16,
}

fn misconfigured(line: &str) -> Option<Result<&'static str, (i32, &'static str)>> {
    Some(Ok(match line {
        "config-get --format=json" => r#"{"port":"hunter22","other":1}"#,
        "action-get --format=json" => r#"{"count":"many"}"#,
        "relation-ids --format=json -- db" => r#"["db:1"]"#,
        "relation-get --format=json -r db:1 --app -- - tempo" => "{}",
        "status-get --format=json --include-data" => r#"{"message":"","status":"active","status-data":{}}"#,
        line if line.starts_with("status-set ") || line.starts_with("relation-set ") => "",
        line if line.starts_with("action-fail ") || line.starts_with("action-set ") => "",
        _ => return None,
    }))
}

#[tokio::test]
async fn a_mistake_in_the_configuration_blocks_and_what_was_planned_is_sent() {
    async fn charm(hook: &Hook) -> Result<(), Error> {
        hook.relations("db").await?[0].set_app([("host".to_owned(), Some("h".to_owned()))]);
        let config: Config = hook.config().await.or_blocked(hook).await?;
        unreachable!("{config:?}");
    }
    let (hook, agent) = hook(Event::ConfigChanged, misconfigured);
    let result = charm(&hook).await;
    assert!(Stop::is_in(&**result.as_ref().unwrap_err()));
    finish(&hook, result).await.unwrap();
    let calls = agent.calls();
    let written: Vec<_> = calls.iter().filter(|call| call.contains("-set ")).collect();
    assert_eq!(
        written,
        [
            "status-set -- blocked configuration option port: expected u16, found string",
            r#"relation-set -r db:1 --app --file - < {"host":"h"}"#,
        ]
    );
    assert!(!calls.iter().any(|call| call.contains("hunter22")), "nothing repeats a value");
}

#[tokio::test]
async fn a_mistake_in_the_parameters_fails_the_action_only() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Params {
        count: u8,
    }
    let run = Event::Action(ActionEvent { name: "grow".into(), id: "1".into() });
    let (hook, agent) = hook(run, misconfigured);
    let action = hook.action().unwrap();
    let params: Result<Params, Error> = action.params().await.or_fail(&action).await;
    finish(&hook, params.map(drop)).await.unwrap();
    assert_eq!(agent.last(), "action-fail -- action parameter count: expected u8, found string");
}

#[tokio::test]
async fn what_no_user_can_put_right_fails_the_hook() {
    struct Own;
    impl From<Own> for Error {
        fn from(_: Own) -> Self {
            "own".into()
        }
    }
    impl UserError for Own {
        fn for_user(&self) -> Option<String> {
            Some("[own] do better".into())
        }
    }
    let (broken, agent) = hook(Event::ConfigChanged, |_| Some(Err((1, "the agent is gone"))));
    let config: Result<Config, ConfigError> = broken.config().await;
    let error = config.or_blocked(&broken).await.unwrap_err();
    assert!(!Stop::is_in(&*error));
    broken.relation(RelationId::new("db", 1)).set_app([("k".to_owned(), Some("v".to_owned()))]);
    assert!(finish(&broken, Err(error)).await.is_err());
    assert_eq!(agent.calls(), ["config-get --format=json"]);
    assert!(broken.differences().await.unwrap().is_empty(), "what was planned is dropped");

    let (fine, agent) = hook(Event::ConfigChanged, misconfigured);
    let own: Result<(), Own> = Err(Own);
    assert!(Stop::is_in(&*own.or_blocked(&fine).await.unwrap_err()));
    assert_eq!(agent.last(), "status-set -- blocked [own] do better");
}

// --- statuses -------------------------------------------------------------------------------------

#[tokio::test]
async fn a_board_shows_what_presses_most_and_an_empty_one_nothing() {
    let (hook, agent) = hook(Event::UpdateStatus, misconfigured);
    hook.show(&StatusBoard::default()).await.unwrap();
    assert_eq!(agent.calls(), [""; 0]);
    let mut board = StatusBoard::default();
    board.extend([Status::Active("a".into()), Status::Waiting("-b".into()), Status::Waiting("c".into())]);
    hook.show(&board).await.unwrap();
    assert_eq!(agent.last(), "status-set -- waiting -b");
    assert_eq!(board.all().len(), 3);
}

// --- typed databags -------------------------------------------------------------------------------

#[tokio::test]
async fn a_struct_is_saved_by_its_fields_and_what_it_leaves_out_is_deleted() {
    #[derive(serde::Serialize)]
    struct Offer {
        host: &'static str,
        path: Option<&'static str>,
        tags: Vec<&'static str>,
    }
    let (hook, agent) = hook(Event::UpdateStatus, |line| {
        Some(Ok(match line {
            "relation-get --format=json -r db:1 --app -- - tempo" => {
                r#"{"host":"\"h\"","path":"\"/old\"","not-ours":"x"}"#
            }
            line if line.starts_with("relation-set ") => "",
            _ => return None,
        }))
    });
    let relation = hook.relation(RelationId::new("db", 1));
    relation.save_app(&Offer { host: "h", path: None, tags: vec!["a"] }, Encoding::Json).unwrap();
    hook.commit().await.unwrap();
    // `host` is there already, `path` is deleted, what is not declared stays.
    assert_eq!(agent.last(), r#"relation-set -r db:1 --app --file - < {"path":"","tags":"[\"a\"]"}"#);
    let error = relation.save_unit(&["not", "a", "struct"], Encoding::Json).unwrap_err();
    assert!(error.to_string().contains("struct"), "{error}");
}

#[tokio::test]
async fn two_relations_where_one_is_possible_are_the_users_to_choose_from() {
    let (hook, agent) = hook(Event::UpdateStatus, |line| {
        Some(Ok(match line {
            "relation-ids --format=json -- none" => "[]",
            "relation-ids --format=json -- one" => r#"["one:4"]"#,
            "relation-ids --format=json -- db" => r#"["db:1","db:2"]"#,
            line => return misconfigured(line),
        }))
    });
    assert!(hook.single_relation("none").await.unwrap().is_none());
    assert_eq!(hook.single_relation("one").await.unwrap().unwrap().id().number(), 4);
    let error = hook.single_relation("db").await.or_blocked(&hook).await.unwrap_err();
    assert!(Stop::is_in(&*error));
    assert_eq!(agent.last(), "status-set -- blocked [db] 2 relations, only one is possible");
}

// --- secrets --------------------------------------------------------------------------------------

const ID: &str = "secret:d0neu000000000000030";

fn owner(line: &str) -> Option<Result<&'static str, (i32, &'static str)>> {
    Some(match line {
        "secret-info-get --format=json --label there" => {
            Ok(r#"{"d0neu000000000000030":{"revision":2,"label":"there","owner":"unit","rotation":"daily"}}"#)
        }
        "secret-info-get --format=json -- secret:d0neu000000000000030" => {
            Ok(r#"{"d0neu000000000000030":{"revision":2,"label":"there","owner":"unit"}}"#)
        }
        "secret-get --format=json --peek -- secret:d0neu000000000000030" => Ok(r#"{"key":"old"}"#),
        line if line.starts_with("secret-get ") => Ok(r#"{"key":"read"}"#),
        line if line.starts_with("secret-info-get ") => Err((1, "secret \"x\" not found")),
        line if line.starts_with("secret-add ") => Ok("secret:d0neu000000000000030\n"),
        line if line.starts_with("secret-revoke -r gone:9 ") => {
            Err((2, "invalid value \"gone:9\" for option -r: relation not found"))
        }
        line if line.starts_with("secret-") => Ok(""),
        _ => return None,
    })
}

fn key(value: &str) -> SecretContent {
    [("key", value)].into_iter().collect()
}

#[tokio::test]
async fn everything_that_can_be_said_of_a_secret() {
    let (hook, agent) = hook(Event::UpdateStatus, owner);
    let secrets = hook.secrets();
    let how = NewSecret {
        label: "new",
        description: "for tests",
        expire: Some(Expiry::At(UNIX_EPOCH + Duration::from_secs(1_893_553_445))),
        rotate: Some(Rotation::Quarterly),
    };
    let id = secrets.add_with(&key("v"), SecretOwner::App, how).await.unwrap();
    assert_eq!(id.as_str(), ID);
    assert_eq!(
        agent.last(),
        "secret-add --label new --description for tests --expire 2030-01-02T03:04:05Z --rotate quarterly --owner application -- key"
    );
    let how = NewSecret { expire: Some(Expiry::After(Duration::from_millis(1))), ..NewSecret::default() };
    secrets.set_with(&id, Some(&key("w")), how).await.unwrap();
    assert_eq!(agent.last(), format!("secret-set --expire 1s -- {ID} key"));
    secrets.set_info(&id, NewSecret { rotate: Some(Rotation::Never), ..NewSecret::default() }).await.unwrap();
    assert_eq!(agent.last(), format!("secret-set --rotate never -- {ID}"));

    let db = RelationId::new("db", 1);
    let unit = UnitName::new("app", 3);
    secrets.grant_unit(&id, &db, &unit).await.unwrap();
    assert_eq!(agent.last(), format!("secret-grant -r db:1 --unit app/3 -- {ID}"));
    for (from, said) in [
        (Grantee::Relation(&db), "-r db:1"),
        (Grantee::App("app"), "--app app"),
        (Grantee::Unit(&unit), "--unit app/3"),
    ] {
        secrets.revoke(&id, from).await.unwrap();
        assert_eq!(agent.last(), format!("secret-revoke {said} -- {ID}"));
    }
    // With the relation the right has gone already.
    secrets.revoke(&id, Grantee::Relation(&RelationId::new("gone", 9))).await.unwrap();
}

#[tokio::test]
async fn a_secret_is_found_by_its_label_or_made() {
    let (hook, agent) = hook(Event::UpdateStatus, owner);
    let secrets = hook.secrets();
    let how = NewSecret::labelled("there");
    let (id, content) =
        secrets.get_or_add(SecretOwner::Unit, how, || unreachable!("it is there")).await.unwrap();
    assert_eq!((id.as_str(), content.get("key")), (ID, Some("old")));
    let (_, content) =
        secrets.get_or_add(SecretOwner::Unit, NewSecret::labelled("new"), || key("fresh")).await.unwrap();
    assert_eq!(content.get("key"), Some("fresh"));
    assert_eq!(agent.last(), "secret-add --label new --owner unit -- key");
    assert!(invalid(secrets.add(&key("v"), "there", SecretOwner::Unit).await).contains("there"));
    assert!(
        invalid(secrets.get_or_add(SecretOwner::Unit, NewSecret::default(), || key("v")).await)
            .contains("label")
    );
    assert!(
        invalid(secrets.add(&SecretContent::default(), "l", SecretOwner::Unit).await)
            .contains("without content")
    );
}

#[tokio::test]
async fn a_rotation_makes_the_next_revision_and_an_old_one_is_removed() {
    let event = |revision| SecretEvent { id: SecretId::new(ID), label: Some("there".into()), revision };
    let (hook, agent) = hook(Event::SecretRotate(event(None)), owner);
    let Event::SecretRotate(rotate) = hook.event() else { unreachable!() };
    hook.secrets().rotate(rotate, &key("next")).await.unwrap();
    assert_eq!(agent.last(), format!("secret-set -- {ID} key"));
    hook.secrets().retire(&event(Some(3))).await.unwrap();
    assert_eq!(agent.last(), format!("secret-remove --revision 3 -- {ID}"));
}

#[tokio::test]
async fn a_reader_labels_and_refreshes_in_one_call() {
    let (hook, agent) = hook(Event::UpdateStatus, owner);
    let id: SecretId = serde_json::from_value(Value::from(ID)).unwrap();
    let read = hook.secrets().get(SecretRef::Labelled(&id, "theirs"), true).await.unwrap();
    assert_eq!(read.ok().unwrap().get("key"), Some("read"));
    assert_eq!(agent.last(), format!("secret-get --format=json --refresh --label theirs -- {ID}"));
    assert!(serde_json::from_value::<SecretId>(Value::from("hunter22")).is_err());
}

// --- actions --------------------------------------------------------------------------------------

#[tokio::test]
async fn large_results_go_in_several_calls_and_one_too_large_in_none() {
    let run = Event::Action(ActionEvent { name: "dump".into(), id: "1".into() });
    let (hook, agent) = hook(run, |line| line.starts_with("action-").then_some(Ok("")));
    let action = hook.action().unwrap();
    let results = (0..30).map(|n| (format!("part-{n:02}"), "x".repeat(100_000))).collect();
    action.set_results(&results).await.unwrap();
    let calls = agent.calls();
    assert!(calls.len() == 3 && calls.iter().all(|call| call.len() < 1_200_000), "{}", calls.len());
    let whole = [("all".to_owned(), "x".repeat(200_000))].into();
    assert!(invalid(action.set_results(&whole).await).contains("more than 128 KiB"));
    action.set(&serde_json::json!({"ok": true, "at": {"url": "-x"}})).await.unwrap();
    assert_eq!(agent.last(), "action-set -- at.url=-x ok=true");
    action.log("-x").await.unwrap();
    action.fail("-y").await.unwrap();
    assert_eq!(agent.calls()[agent.calls().len() - 2..], ["action-log -- -x", "action-fail -- -y"]);
}

// --- security events ------------------------------------------------------------------------------

#[tokio::test]
async fn auditors_learn_of_refusals_and_crashes() {
    let (hook, _) = hook(Event::UpdateStatus, |_| Some(Err((1, "permission denied"))));
    let (layer, writer, flush) = juju_log(tracing::Level::ERROR);
    let subscriber = tracing_subscriber::registry().with(layer.for_unit(hook.env()));
    async {
        let relation = hook.relation(RelationId::new("db", 1));
        // Asked twice, told of once.
        assert_eq!(relation.local_app_data().await.unwrap(), None);
        assert_eq!(relation.remote_unit_data(&UnitName::new("db", 0)).await.unwrap(), None);
        security::log(Severity::Info, "authn_password_change", "admin", "replaced");
        tracing::warn!("not for auditors, and below the level of the log");
        finish(&hook, Err("no \"good\"".into())).await.unwrap_err();
    }
    .with_subscriber(subscriber)
    .await;
    drop(flush);
    let log = Arc::new(Agent { answer: |_| Some(Ok("")), calls: Mutex::default() });
    writer.run(log.clone()).await;
    let lines = log.calls();
    let events: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line.strip_prefix("juju-log -l TRACE -- ").unwrap()).unwrap())
        .collect();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event["level"].as_str().unwrap(),
                event["event"].as_str().unwrap(),
                event["description"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("CRITICAL", "authz_fail:relation-get", "relation-get ended with 1: ERROR permission denied"),
            ("INFO", "authn_password_change:admin", "replaced"),
            ("WARN", "sys_crash:update-status", "update-status: no \"good\""),
        ]
    );
    for event in &events {
        assert_eq!((&event["type"], &event["appid"]), (&"security".into(), &"0b7d-tempo/0".into()));
        assert_eq!(event["datetime"].as_str().unwrap().len(), "2026-01-02T03:04:05Z".len());
    }
}
