//! The typed bindings against what the real hook tools of Juju 3.6.26 answered.
//!
//! Each test plays one recorded session: a call of the bindings gets the answer that was recorded for the same tool,
//! flags and words, whatever their order. A call that was never recorded fails the test.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    sync::{Arc, Mutex},
};

use juju_ops::{
    ActionEvent, Encoding, Event, Grantee, Hook, HookEnv, HookTools, NewSecret, Port, PortRange,
    RelationEvent, RelationId, Remote, Rotation, SecretContent, SecretEvent, SecretId, SecretOwner,
    SecretRef, Status, StorageId, StorageKind, ToolCall, ToolError, ToolOutput, TransportError, UnitName,
    tools::BoxFuture,
};
use serde::Deserialize;
use serde_json::Value;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded/hook-tools.jsonl");

/// Flags that are followed by a value, by tool; the empty tool stands for all.
const VALUES: [(&str, &str); 15] = [
    ("", "--format"),
    ("", "-r"),
    ("", "--relation"),
    ("", "--label"),
    ("", "--file"),
    ("", "--revision"),
    ("", "--unit"),
    ("", "-s"),
    ("secret-revoke", "--app"),
    ("secret-add", "--owner"),
    ("secret-add", "--rotate"),
    ("secret-add", "--expire"),
    ("secret-add", "--description"),
    ("secret-set", "--description"),
    ("juju-log", "-l"),
];

/// What a command line means: flags without order, then the words.
fn meaning(tool: &str, args: &[String]) -> (BTreeSet<(String, String)>, Vec<String>) {
    let takes_value = |flag: &str| {
        VALUES.iter().any(|(of, name)| (of.is_empty() || *of == tool) && *name == flag)
            || (flag == "--endpoints" && tool != "opened-ports")
    };
    let (mut flags, mut words) = (BTreeSet::new(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            words.extend(args.by_ref().cloned());
        } else if arg == "-" || !arg.starts_with('-') {
            words.push(arg.clone());
        } else {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None if takes_value(arg) => (arg.as_str(), args.next().cloned().unwrap_or_default()),
                None => (arg.as_str(), String::new()),
            };
            let name = name.replace("--relation", "-r");
            // Only the number of a relation counts.
            let value =
                if name == "-r" { value.rsplit(':').next().unwrap_or_default().to_owned() } else { value };
            flags.insert((name, value));
        }
    }
    if tool.starts_with("secret-") {
        for word in &mut words {
            // How the content gets to the agent is our own business, and so is how the secret is named.
            *word = match word.split_once('=') {
                Some((key, _)) => key.split('#').next().unwrap_or_default().to_owned(),
                None => SecretId::new(word.as_str()).bare().to_owned(),
            };
        }
        // That is what the tool does without being told.
        flags.retain(|flag| *flag != ("--owner".into(), "application".into()));
    }
    (flags, words)
}

struct Recorded {
    number: u64,
    argv: Vec<String>,
    output: ToolOutput,
}

/// Answers from a session, from a call on.
struct Agent {
    session: String,
    calls: Vec<Recorded>,
    from: Mutex<u64>,
    asked: Mutex<Vec<String>>,
}

impl Agent {
    fn of(session: &str) -> Self {
        let text = std::fs::read_to_string(RECORDED).unwrap();
        let lines = text.split('\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let calls: Vec<Recorded> = lines
            .filter(|line| line["session"] == session && line.get("argv").is_some())
            .map(|line| {
                let text = |value: &Value| value.as_str().unwrap().as_bytes().to_vec();
                Recorded {
                    number: line["seq"].as_u64().unwrap(),
                    argv: serde_json::from_value(line["argv"].clone()).unwrap(),
                    output: ToolOutput {
                        code: i32::try_from(line["exit"].as_i64().unwrap()).unwrap(),
                        stdout: text(&line["stdout"]),
                        stderr: text(&line["stderr"]),
                    },
                }
            })
            .collect();
        assert!(!calls.is_empty(), "no session {session}");
        Self { session: session.to_owned(), calls, from: Mutex::new(0), asked: Mutex::default() }
    }
}

impl HookTools for Agent {
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>> {
        let wanted = meaning(call.tool, &call.args);
        self.asked.lock().unwrap().push(format!("{} {}", call.tool, call.args.join(" ")));
        let from = *self.from.lock().unwrap();
        let found = self.calls.iter().find(|recorded| {
            recorded.number >= from
                && recorded.argv[0] == call.tool
                && meaning(call.tool, &recorded.argv[1..]) == wanted
        });
        let output = found.map(|recorded| recorded.output.clone()).or_else(|| {
            // A refusal is the same with less to show.
            let plain: Vec<String> =
                call.args.iter().filter(|arg| *arg != "--include-data").cloned().collect();
            let refused = self.calls.iter().filter(|recorded| recorded.output.code != 0);
            let wanted = meaning(call.tool, &plain);
            let found = refused
                .filter(|recorded| recorded.argv[0] == call.tool)
                .find(|recorded| meaning(call.tool, &recorded.argv[1..]) == wanted);
            found.map(|recorded| recorded.output.clone())
        });
        let unknown = format!("not recorded in {} from {from}: {} {:?}", self.session, call.tool, call.args);
        Box::pin(ready(output.ok_or(TransportError::Start(unknown))))
    }
}

/// A hook of a recorded session, and the way to move on in it.
fn play(session: &str, event: Event) -> (Hook, Arc<Agent>) {
    let agent = Arc::new(Agent::of(session));
    let env = HookEnv::from_vars(|name| {
        Some(match name {
            "JUJU_UNIT_NAME" => "tempo/0".to_owned(),
            "JUJU_CHARM_DIR" => "/nowhere".to_owned(),
            "JUJU_VERSION" => "3.6.26".to_owned(),
            _ => String::new(),
        })
    })
    .unwrap();
    let hook = Hook::new(env, event, agent.clone(), Arc::new(|_| unreachable!("no containers")));
    (hook, agent)
}

fn content(pairs: &[(&str, &str)]) -> SecretContent {
    pairs.iter().copied().collect()
}

fn refused(error: &ToolError, code: i32, message: &str) {
    let ToolError::Refused { code: got, message: text, .. } = error else { panic!("{error:?}") };
    assert_eq!((*got, text.as_str()), (code, message));
}

#[tokio::test]
async fn storage() {
    let (hook, _) = play("misc", Event::UpdateStatus);
    let data = StorageId::new("data", 0);
    assert_eq!(hook.storages("data").await.unwrap(), std::slice::from_ref(&data));
    assert_eq!(hook.storages("nope").await.unwrap(), []);
    let storage = hook.storage(&data).await.unwrap().unwrap();
    assert_eq!(
        (storage.kind, storage.location.to_str()),
        (StorageKind::Filesystem, Some("/var/lib/juju/storage/data/0"))
    );
    assert_eq!(hook.storage(&StorageId::new("data", 9)).await.unwrap(), None, "permission denied");
    hook.request_storage("data", 2).await.unwrap();
    for (name, count) in [("data", 0), ("", 1), ("data=3", 1), ("data", 5000)] {
        assert!(
            matches!(hook.request_storage(name, count).await, Err(ToolError::Invalid { .. })),
            "{name} {count}"
        );
    }
}

#[tokio::test]
async fn resources_have_a_path_without_an_end_of_line() {
    let (hook, _) = play("misc", Event::UpdateStatus);
    assert_eq!(hook.resource("notes").await.unwrap().to_str(), Some("$BASE/resources/notes.txt"));
    let error = hook.resource("nope").await.unwrap_err();
    assert!(error.to_string().contains("could not download resource"), "{error}");
}

#[tokio::test]
async fn addresses() {
    let (hook, _) = play("network-ports", Event::UpdateStatus);
    let network = hook.network("tracing").await.unwrap().unwrap();
    assert_eq!(network.bind_address(), Some("10.1.0.21".parse().unwrap()));
    assert_eq!(network.ingress_address(), Some("10.152.183.7"));
    assert_eq!(network.egress_subnets, ["10.152.183.7/32"]);
    assert_eq!(
        (network.interfaces[0].name.as_str(), network.interfaces[0].addresses[0].cidr.as_str()),
        ("", "")
    );
    assert_eq!(hook.network(&RelationId::new("tracing", 3)).await.unwrap().unwrap(), network);
    assert_eq!(hook.network("juju-info").await.unwrap().unwrap(), network);
    assert_eq!(hook.network("no-such").await.unwrap(), None);
    assert_eq!(hook.network(&RelationId::new("tracing", 99)).await.unwrap(), None, "relation not found");
}

#[tokio::test]
async fn ports() {
    let (hook, agent) = play("network-ports", Event::UpdateStatus);
    assert_eq!(hook.opened_ports().await.unwrap(), [Port::tcp(3200)].into());
    let opened: Vec<_> = hook.opened_ports_by_endpoint().await.unwrap().into_iter().collect();
    assert_eq!(opened[0].ports.single(), Some(Port::tcp(3200)));
    assert!(opened[0].endpoints.is_empty());
    hook.open_port(Port::tcp(9411), &["tracing"]).await.unwrap();
    hook.open_port(Port::tcp(4318), &[]).await.unwrap();
    *agent.from.lock().unwrap() = 41;
    let all: Vec<_> = hook.opened_ports().await.unwrap().into_iter().map(|port| port.number).collect();
    assert_eq!(all, [0, 3200, 4317, 4318, 9411], "asked anew after a change");
    hook.close_port(Port::tcp(1234), &[]).await.unwrap();
    // The agent takes it, and whoever reads what is open finds it there.
    assert!(matches!(hook.open_port(Port::tcp(0), &[]).await, Err(ToolError::Invalid { .. })));
    assert_eq!("9000-9010/udp".parse::<PortRange>().unwrap().single(), None);
}

#[tokio::test]
async fn the_cloud_and_other_models() {
    let (hook, _) = play("misc", Event::UpdateStatus);
    assert_eq!(hook.cloud_spec().await.unwrap(), Remote::Denied);
    let (hook, _) = play("relation-read", Event::UpdateStatus);
    for (id, model) in [
        ("tracing:3", "00000000-0000-4000-8000-0000000000c0"),
        ("ingress:11", "00000000-0000-4000-8000-0000000000ee"),
    ] {
        assert_eq!(hook.remote_model(&id.parse().unwrap()).await.unwrap().as_deref(), Some(model));
    }
    assert_eq!(hook.remote_model(&RelationId::new("tracing", 99)).await.unwrap(), None);
}

#[tokio::test]
async fn goal_state() {
    let (hook, _) = play("misc", Event::UpdateStatus);
    assert_eq!(hook.planned_units().await.unwrap(), 2);
    assert!(!hook.is_going("tracing", "loki").await.unwrap());
}

#[tokio::test]
async fn statuses_of_the_leader() {
    let (hook, _) = play("leadership-status", Event::UpdateStatus);
    assert!(hook.is_leader().await.unwrap());
    let own = hook.unit_status().await.unwrap();
    assert_eq!((own.kind.as_str(), own.message.as_str()), ("waiting", "first look"));
    assert_eq!((&own.data["code"], &own.data["why"]), (&7.into(), &"starting".into()));
    let all = hook.app_status().await.unwrap();
    assert_eq!((all.app.kind.as_str(), all.app.message.as_str()), ("active", "app fine"));
    let units: BTreeMap<String, &str> =
        all.units.iter().map(|(unit, status)| (unit.to_string(), status.kind.as_str())).collect();
    assert_eq!(units, [("tempo/0".to_owned(), "waiting"), ("tempo/1".to_owned(), "active")].into());

    // The agent's own answer stays what it was; ours does not.
    hook.set_unit_status(&Status::Blocked("Missing s3 relation".into())).await.unwrap();
    assert_eq!(hook.unit_status().await.unwrap().kind, "blocked");
    assert_eq!(
        hook.app_status().await.unwrap().units[&UnitName::new("tempo", 0)].message,
        "Missing s3 relation"
    );
    // A text that begins like a flag is a text.
    hook.active("-starts-with-dash").await.unwrap();
    hook.set_workload_version("2.8.0").await.unwrap();
}

#[tokio::test]
async fn statuses_of_others() {
    let (hook, _) = play("relation-read-non-leader", Event::UpdateStatus);
    assert!(!hook.is_leader().await.unwrap());
    let error = hook.app_status().await.unwrap_err();
    refused(&error, 1, "finding application status: this unit is not the leader");
    assert!(error.is_denied() && !error.is_not_found());
    // Asked for what it is before it is set, so it is not even tried.
    assert!(hook.set_app_status(&Status::Active("x".into())).await.unwrap_err().is_denied());
}

#[derive(Debug, Deserialize)]
struct Config {
    always_enable_otlp_http: bool,
    memory_limit: String,
    #[serde(rename = "retention-period")]
    retention_period: u32,
    ratio: f64,
    #[serde(rename = "unset-option")]
    unset: Option<String>,
}

#[tokio::test]
async fn configuration() {
    #[derive(Debug, Deserialize)]
    struct Strict {
        #[serde(rename = "unset-option")]
        _unset: String,
    }
    #[derive(Debug, Deserialize)]
    struct Other {
        memory_limit: u64,
    }
    let (hook, _) = play("config", Event::ConfigChanged);
    let config: Config = hook.config().await.unwrap();
    assert_eq!((config.retention_period, config.memory_limit.as_str(), config.ratio), (720, "1Gi", 0.5));
    assert!(config.always_enable_otlp_http && config.unset.is_none());
    let error = hook.config::<Strict>().await.unwrap_err().to_string();
    assert_eq!(error, "configuration option unset-option: has no value");
    let error = hook.config::<Other>().await.map(|other| other.memory_limit).unwrap_err().to_string();
    assert_eq!(error, "configuration option memory_limit: expected u64, found string");
}

#[tokio::test]
async fn actions() {
    #[derive(Deserialize)]
    struct Params {
        name: String,
        count: u8,
        flag: bool,
        nested: Nested,
        missing: Option<String>,
    }
    #[derive(Deserialize)]
    struct Nested {
        inner: String,
    }
    #[derive(Debug, Deserialize)]
    struct Wrong {
        nested: NestedNumber,
    }
    #[derive(Debug, Deserialize)]
    struct NestedNumber {
        inner: u8,
    }
    let run = Event::Action(ActionEvent { name: "act".into(), id: "7".into() });
    let (hook, agent) = play("action", run.clone());
    let action = hook.action().unwrap();
    let Params { name, count, flag, nested, missing } = action.params().await.unwrap();
    assert_eq!((name.as_str(), count, flag, nested.inner.as_str(), missing), ("otlp", 3, true, "v", None));
    let error = action.params::<Wrong>().await.map(|wrong| wrong.nested.inner).unwrap_err().to_string();
    assert_eq!(error, "action parameter nested.inner: expected u8, found string");
    action.set(&serde_json::json!({"a": {"b": {"c": "deep"}}})).await.unwrap();
    action.set(&serde_json::json!({"eq": "a=b"})).await.unwrap();
    action.log("progress 1").await.unwrap();
    action.fail("it broke").await.unwrap();
    // What the tool refuses never gets there.
    let asked = agent.asked.lock().unwrap().len();
    for key in ["UPPER", "under_score", "stdout", "stderr", "stdout-encoding", "end.", "-dash"] {
        let results = [(key.to_owned(), "1".to_owned())].into();
        assert!(matches!(action.set_results(&results).await, Err(ToolError::Invalid { .. })), "{key}");
    }
    assert_eq!(agent.asked.lock().unwrap().len(), asked);

    let (hook, _) = play("action-tools-in-hook", run);
    let error = hook.action().unwrap().params::<Value>().await.unwrap_err().to_string();
    assert_eq!(error, "action-get: not running an action");
}

#[tokio::test]
async fn relations_and_their_databags() {
    #[derive(Deserialize)]
    struct Loki {
        number: u8,
        boolean: bool,
        receivers: Vec<String>,
        unicode: Option<String>,
    }
    let (hook, _) = play("relation-read", Event::UpdateStatus);
    let relation = hook.relation(RelationId::new("tracing", 3));
    assert_eq!(relation.app().await.unwrap().as_deref(), Some("loki"));
    assert_eq!(relation.units().await.unwrap(), [UnitName::new("loki", 0), UnitName::new("loki", 1)]);
    let Remote::Ready(loki) = relation.load_remote_app::<Loki>(Encoding::Auto).await.unwrap() else {
        panic!("not read")
    };
    assert_eq!(
        (loki.number, loki.boolean, loki.receivers.as_slice()),
        (42, true, &["otlp_http".to_owned()][..])
    );
    assert_eq!(loki.unicode.as_deref(), Some("é☃"));
    // Text that is no JSON is a fact about the other side, not a failure of this one.
    let Remote::Invalid(reason) = relation.load_remote_app::<Loki>(Encoding::Json).await.unwrap() else {
        panic!("was read")
    };
    assert_eq!(reason, "unicode: not valid JSON");
    assert!(
        relation.remote_unit_data(&UnitName::new("loki", 0)).await.unwrap().unwrap().contains_key("quote")
    );
    assert_eq!(
        relation.remote_unit_data(&UnitName::new("loki", 7)).await.unwrap(),
        None,
        "settings not found"
    );
    assert_eq!(
        relation.remote_unit_data(&UnitName::new("grafana", 0)).await.unwrap(),
        None,
        "permission denied"
    );
    let gone = hook.relation(RelationId::new("tracing", 99));
    assert_eq!(
        gone.units().await.unwrap(),
        [],
        "relation not found, with the exit code of a bad command line"
    );
    let quiet = hook.relation(RelationId::new("tracing", 5));
    assert!(
        matches!(quiet.load_remote_app::<Loki>(Encoding::Auto).await.unwrap(), Remote::Absent),
        "an empty databag"
    );

    let (hook, _) = play("relation-read-non-leader", Event::UpdateStatus);
    let relation = hook.relation(RelationId::new("tracing", 3));
    assert_eq!(relation.local_app_data().await.unwrap(), None, "not for those who do not lead");
    let peers = hook.relation(RelationId::new("peers", 1));
    assert_eq!(peers.local_app_data().await.unwrap().unwrap()["shared"], "peer-app-value");
}

#[tokio::test]
async fn relations_are_in_the_order_of_their_numbers_not_of_the_text() {
    let (hook, _) = play("relation-id-order", Event::UpdateStatus);
    let numbers: Vec<u32> =
        hook.relations("tracing").await.unwrap().iter().map(|relation| relation.id().number()).collect();
    assert_eq!(numbers, [3, 5, 20, 100]);
}

#[tokio::test]
async fn a_relation_that_breaks_is_there_by_its_id_alone() {
    let broken = RelationEvent {
        id: RelationId::new("tempo-cluster", 13),
        remote_app: Some("worker".into()),
        remote_unit: None,
        departing_unit: None,
    };
    let (hook, _) = play("relation-broken", Event::RelationBroken(broken));
    assert!(hook.relations("tempo-cluster").await.unwrap().is_empty());
}

#[tokio::test]
async fn secrets_that_are_read() {
    let (hook, agent) = play("secrets-read", Event::UpdateStatus);
    let secrets = hook.secrets();
    let id = |bare: &str| SecretId::new(format!("secret:{bare}"));
    let (app, remote) = (id("cappsecret0000000010"), id("cremotesecret0000030"));
    let first = content(&[("token", "token-1")]);
    let second = content(&[("token", "token-2"), ("extra", "extra")]);
    assert_eq!(secrets.get(SecretRef::Id(&app), false).await.unwrap(), Remote::Ready(first));
    assert_eq!(secrets.peek(SecretRef::Id(&app)).await.unwrap(), Remote::Ready(second.clone()));
    assert_eq!(secrets.get(SecretRef::Id(&app), true).await.unwrap(), Remote::Ready(second));
    let old = content(&[("access-key", "ak"), ("secret-key", "sk")]);
    assert_eq!(secrets.get(SecretRef::Label("remote-label"), false).await.unwrap(), Remote::Ready(old));
    let new = Remote::Ready(content(&[("access-key", "ak2"), ("secret-key", "sk2")]));
    // By id, with a label for the next time.
    assert_eq!(secrets.get(SecretRef::Labelled(&remote, "new-label"), false).await.unwrap(), new);
    *agent.from.lock().unwrap() = 25;
    assert_eq!(secrets.get(SecretRef::Label("new-label"), false).await.unwrap(), new);
    assert_eq!(secrets.get(SecretRef::Id(&id("cdeniedsecret0000040")), false).await.unwrap(), Remote::Denied);
    assert_eq!(secrets.get(SecretRef::Id(&id("cmissingsecret000050")), false).await.unwrap(), Remote::Absent);
    assert_eq!(secrets.get(SecretRef::Label("no-such-label"), false).await.unwrap(), Remote::Absent);
    refused(
        &secrets.get(SecretRef::Id(&SecretId::new("not-a-secret-uri")), false).await.unwrap_err(),
        2,
        "secret URI \"not-a-secret-uri\" not valid",
    );
    assert!("not-a-secret-uri".parse::<SecretId>().is_err(), "text from elsewhere is looked at first");

    let (_, info) = secrets.info(SecretRef::Id(&app)).await.unwrap().unwrap();
    assert_eq!(
        (info.revision, info.label.as_str(), info.description.as_str()),
        (2, "app-label", "app owned")
    );
    assert_eq!((info.owner, info.rotation), (Some(SecretOwner::App), Some(Rotation::Never)));
    assert!(info.is_granted_to("loki") && !info.is_granted_to("grafana"));
    let (_, info) = secrets.info(SecretRef::Id(&id("cunitsecret000000020"))).await.unwrap().unwrap();
    assert_eq!((info.owner, info.rotation), (Some(SecretOwner::Unit), None));
    assert_eq!(secrets.info(SecretRef::Id(&remote)).await.unwrap(), None, "of another application");
    assert_eq!(secrets.info(SecretRef::Label("zzz")).await.unwrap(), None);

    let (hook, _) = play("no-secrets", Event::UpdateStatus);
    assert_eq!(hook.secrets().ids().await.unwrap(), [], "null");
}

#[tokio::test]
async fn secrets_that_are_written() {
    let (hook, agent) = play("secrets-write", Event::UpdateStatus);
    let secrets = hook.secrets();
    let app = SecretId::new("secret:cappsecret0000000010");
    *agent.from.lock().unwrap() = 7;
    // The label is taken: at the call if it is of the same hook, else only when the hook ends. Both are found out here.
    let how = NewSecret { label: "fresh", description: "made here", ..NewSecret::default() };
    let error = secrets.add_with(&content(&[("token", "abc")]), SecretOwner::App, how).await.unwrap_err();
    assert!(matches!(error, ToolError::Invalid { .. }), "{error:?}");
    let mine = secrets.info(SecretRef::Label("mine")).await.unwrap().unwrap().1;
    assert_eq!(
        (mine.rotation, mine.expiry.as_deref()),
        (Some(Rotation::Monthly), Some("2030-01-02T03:04:05Z"))
    );

    *agent.from.lock().unwrap() = 29;
    secrets.set(&app, &content(&[("token", "token-3")])).await.unwrap();
    let how = NewSecret { label: "renamed", description: "changed", ..NewSecret::default() };
    secrets.set_info(&app, how).await.unwrap();
    secrets.grant(&app, &RelationId::new("tracing", 3)).await.unwrap();
    let unit = SecretId::new("secret:cunitsecret000000020");
    secrets.grant_unit(&unit, &RelationId::new("tracing", 3), &UnitName::new("loki", 0)).await.unwrap();
    secrets.revoke(&app, Grantee::Relation(&RelationId::new("tracing", 3))).await.unwrap();
    secrets.revoke(&app, Grantee::App("loki")).await.unwrap();
    let expired = SecretEvent { id: unit.clone(), label: None, revision: Some(1) };
    secrets.retire(&expired).await.unwrap();
    let error =
        secrets.grant(&SecretId::new("secret:cmissingsecret000050"), &RelationId::new("tracing", 3)).await;
    assert!(error.unwrap_err().is_not_found());
    // No content is in any argument, and files have absolute names.
    let asked = agent.asked.lock().unwrap();
    assert!(asked.iter().any(|line| line.starts_with("secret-set ") && line.contains("token#file=/")));
    assert!(!asked.iter().any(|line| line.contains("token-3")));
}

#[tokio::test]
async fn what_juju_refuses_only_at_the_end_of_the_hook_is_not_sent() {
    // All of these exit with 0 at once, and then fail the whole hook.
    let (hook, agent) = play("relation-read-non-leader", Event::UpdateStatus);
    let secrets = hook.secrets();
    let app = SecretId::new("secret:cappsecret0000000010");
    let change = content(&[("token", "x")]);
    assert!(secrets.set(&app, &change).await.unwrap_err().is_not_found());
    assert!(secrets.set_info(&app, NewSecret::labelled("l")).await.unwrap_err().is_not_found());
    secrets.remove(&app).await.unwrap();
    secrets.remove_revision(&app, 1).await.unwrap();
    secrets.revoke(&app, Grantee::App("loki")).await.unwrap();
    let sent =
        agent.asked.lock().unwrap().iter().filter(|line| !line.starts_with("secret-info-get ")).count();
    assert_eq!(sent, 0);
    // And these at once.
    let error = secrets.add(&content(&[("key", "v")]), "", SecretOwner::App).await.unwrap_err();
    refused(&error, 1, "this unit is not the leader");
    assert!(error.is_denied());
    for (key, value) in [("k", "v"), ("UPPER", "x"), ("ab", "x"), ("a_b", "x"), ("abc", "")] {
        let refused = secrets.add(&content(&[(key, value)]), "", SecretOwner::Unit).await;
        assert!(matches!(refused, Err(ToolError::Invalid { .. })), "{key}={value}");
    }
}
