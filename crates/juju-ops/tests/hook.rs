//! What a hook asks of its agent, and what it does not ask twice.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use juju_ops::{
    Event, Hook, HookEnv, HookTools, Port, RelationEvent, RelationId, Remote, SecretContent, SecretOwner,
    SecretRef, Status, ToolCall, ToolError, ToolOutput, TransportError, Written, tools::BoxFuture,
};

type Answer = fn(&str) -> Option<Result<&'static str, (i32, &'static str)>>;

/// Answers command lines from a table and keeps them.
struct Agent {
    answer: Answer,
    calls: Mutex<Vec<String>>,
}

impl HookTools for Agent {
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>> {
        let stdin = call.stdin.map(|s| format!(" < {}", String::from_utf8(s).unwrap())).unwrap_or_default();
        let line = format!("{} {}{stdin}", call.tool, call.args.join(" "));
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

fn hook(event: Event, answer: Answer) -> (Hook, Arc<Agent>) {
    let env = HookEnv::from_vars(|name| {
        Some(match name {
            "JUJU_UNIT_NAME" => "tempo/0".into(),
            "JUJU_CHARM_DIR" => "/charm".into(),
            _ => name.to_lowercase(),
        })
    })
    .unwrap();
    let agent = Arc::new(Agent { answer, calls: Mutex::default() });
    (Hook::new(env, event, agent.clone(), Arc::new(|_| unreachable!("no containers here"))), agent)
}

fn ordinary(line: &str) -> Option<Result<&'static str, (i32, &'static str)>> {
    Some(Ok(match line {
        "relation-ids --format=json -- tracing" => r#"["tracing:10","tracing:9"]"#,
        "relation-get --format=json -r tracing:9 --app -- - tempo" => r#"{"same":"1","old":"x","gone":"y"}"#,
        "relation-get --format=json -r tracing:10 --app -- - tempo" => r#"{"same":"1"}"#,
        "relation-get --format=json -r tracing:9 --app -- - grafana" => r#"{"receivers":"[]"}"#,
        "relation-list --format=json -r tracing:9 --app" => r#""grafana""#,
        "relation-list --format=json -r tracing:10 --app" => {
            return Some(Err((2, "invalid value: relation not found")));
        }
        "status-get --format=json --include-data" => r#"{"message":"","status":"active","status-data":{}}"#,
        "opened-ports --format=json" => r#"["80/tcp","icmp","9000-9010/tcp","443/tcp"]"#,
        "config-get --format=json" => r#"{"retention-period":"soon"}"#,
        "goal-state --format=json" => {
            r#"{"units":{"tempo/0":{"status":"dying","since":"x"},"tempo/1":{"status":"active"},"tempo/2":{"status":"waiting"}},
                "relations":{"tracing":{
                    "old":{"status":"joined"},"old/0":{"status":"dying"},"old/1":{"status":"dying"},
                    "older":{"status":"joined"},"older/0":{"status":"active"},"older/1":{"status":"dying"},
                    "empty":{"status":"joined"}}}}"#
        }
        line if line.starts_with("relation-set ") || line.starts_with("status-set ") => "",
        line if line.starts_with("open-port ") || line.starts_with("close-port ") => "",
        _ => return None,
    }))
}

#[tokio::test]
async fn one_call_per_databag_with_the_keys_that_differ() {
    let (hook, agent) = hook(Event::ConfigChanged, ordinary);
    let relations = hook.relations("tracing").await.unwrap();
    assert_eq!(relations.iter().map(|r| r.id().number()).collect::<Vec<_>>(), [9, 10]);
    for relation in &relations {
        let text = |v: &str| Some(v.to_owned());
        relation.set_app([
            ("same".into(), text("1")),
            ("never-there".into(), None),
            ("empty".into(), text("")),
        ]);
    }
    relations[0].set_app([("old".into(), Some("new".into())), ("gone".into(), None)]);

    let before = relations[0].local_app_data().await.unwrap().unwrap();
    assert_eq!(before.get("old").map(String::as_str), Some("new"), "reads see what is planned");
    assert!(!before.contains_key("gone"));

    assert_eq!(hook.commit().await.unwrap(), Written { databags: 1, keys: 2 });
    let sets: Vec<String> =
        agent.calls.lock().unwrap().iter().filter(|c| c.starts_with("relation-set")).cloned().collect();
    assert_eq!(sets, [r#"relation-set -r tracing:9 --app --file - < {"gone":"","old":"new"}"#]);
    assert_eq!(hook.commit().await.unwrap(), Written::default(), "nothing is sent twice");
}

#[tokio::test]
async fn a_relation_that_vanishes_does_not_hold_back_the_others() {
    let (hook, agent) = hook(Event::ConfigChanged, |line| match line {
        line if line.starts_with("relation-set -r tracing:9 ") => Some(Err((1, "permission denied"))),
        line if line.starts_with("relation-get") => Some(Err((1, "permission denied"))),
        line => ordinary(line),
    });
    for relation in hook.relations("tracing").await.unwrap() {
        relation.set_app([("k".to_owned(), Some("v".to_owned()))]);
    }
    assert_eq!(hook.commit().await.unwrap(), Written { databags: 1, keys: 1 });
    assert!(agent.calls.lock().unwrap().iter().any(|call| call.starts_with("relation-set -r tracing:10 ")));

    // What Juju's rules forbid to this unit is a mistake of the charm's, and an error.
    let (hook, _) = self::hook(Event::ConfigChanged, |line| match line {
        line if line.starts_with("relation-set") => Some(Err((1, "cannot write relation settings"))),
        line if line.starts_with("relation-get") => Some(Err((1, "permission denied"))),
        line => ordinary(line),
    });
    hook.relations("tracing").await.unwrap()[0].set_app([("k".to_owned(), Some("v".to_owned()))]);
    assert!(hook.commit().await.unwrap_err().is_denied());
}

#[tokio::test]
async fn a_question_is_asked_once() {
    let (hook, agent) = hook(Event::ConfigChanged, ordinary);
    for _ in 0..3 {
        let relation = hook.relations("tracing").await.unwrap().swap_remove(0);
        assert_eq!(relation.app().await.unwrap().as_deref(), Some("grafana"));
        assert!(relation.remote_app_data().await.unwrap().is_some());
    }
    assert_eq!(agent.calls.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_vanished_relation_has_no_data_and_is_no_error() {
    let (hook, _) = hook(Event::ConfigChanged, ordinary);
    let gone = hook.relations("tracing").await.unwrap().swap_remove(1);
    assert_eq!(gone.app().await, Ok(None));
    assert_eq!(gone.remote_app_data().await, Ok(None));
}

#[tokio::test]
async fn a_breaking_relation_is_not_listed() {
    let event = Event::RelationBroken(RelationEvent {
        id: RelationId::new("tracing", 9),
        remote_app: Some("grafana".into()),
        remote_unit: None,
        departing_unit: None,
    });
    let (hook, _) = hook(event, ordinary);
    let ids: Vec<u32> = hook.relations("tracing").await.unwrap().iter().map(|r| r.id().number()).collect();
    assert_eq!(ids, [10]);
}

#[tokio::test]
async fn a_status_is_set_when_it_is_another_one() {
    let (hook, agent) = hook(Event::UpdateStatus, ordinary);
    hook.active("").await.unwrap();
    hook.set_unit_status(&Status::Waiting("-for it".into())).await.unwrap();
    hook.waiting("-for it").await.unwrap();
    let calls = agent.calls.lock().unwrap();
    assert_eq!(calls[1..], ["status-set -- waiting -for it"]);
}

#[tokio::test]
async fn ports_are_opened_and_closed_by_difference() {
    let (hook, agent) = hook(Event::UpdateStatus, ordinary);
    let wanted = BTreeSet::from([Port::tcp(443), Port::udp(53)]);
    assert_eq!(hook.set_ports(wanted).await, Ok(2));
    assert_eq!(agent.calls.lock().unwrap()[1..], ["open-port -- 53/udp", "close-port -- 80/tcp"]);
}

#[tokio::test]
async fn errors_name_the_option_and_the_tool() {
    #[derive(Debug, serde::Deserialize)]
    struct Config {
        #[serde(rename = "retention-period")]
        _retention: i64,
    }
    let (hook, _) = hook(Event::UpdateStatus, ordinary);
    let error = hook.config::<Config>().await.unwrap_err().to_string();
    assert!(error.contains("retention-period"), "{error}");
    let error = hook.is_leader().await.unwrap_err();
    assert!(matches!(error, ToolError::Transport { tool: "is-leader", .. }), "{error:?}");
}

fn keeper(line: &str) -> Option<Result<&'static str, (i32, &'static str)>> {
    Some(match line {
        "secret-ids --format=json" => Ok(r#"["d0neu000000000000010","d0neu000000000000020"]"#),
        "secret-info-get --format=json --label key" => {
            Ok(r#"{"d0neu000000000000010":{"revision":2,"label":"key",
            "owner":"unit","access":[{"target":"application-w","scope":"relation-tempo.a#w.b","role":"view"},
            {"target":"unit-v-0","scope":"relation-tempo.a#v.b","role":"view"}]}}"#)
        }
        "secret-get --format=json --peek --label key" => Ok(r#"{"private-key":"hunter22"}"#),
        "secret-get --format=json --peek --label other" => Err((1, "consumer label \"other\" not found")),
        "secret-info-get --format=json --label l" => Err((1, "secret \"l\" not found")),
        "secret-info-get --format=json -- secret:d0neu000000000000030" => {
            Ok(r#"{"d0neu000000000000030":{"revision":1,"label":"l","owner":"unit"}}"#)
        }
        line if line.starts_with("secret-add ") => Ok("secret:d0neu000000000000030\n"),
        line if line.starts_with("secret-set ") || line.starts_with("secret-remove ") => Ok(""),
        _ => return None,
    })
}

#[tokio::test]
async fn what_is_known_of_own_secrets() {
    let (hook, agent) = hook(Event::UpdateStatus, keeper);
    let secrets = hook.secrets();
    assert_eq!(secrets.ids().await.unwrap().len(), 2);
    let (id, info) = secrets.info(SecretRef::Label("key")).await.unwrap().unwrap();
    assert_eq!((id.bare(), info.revision), ("d0neu000000000000010", 2));
    assert!(info.is_granted_to("w"));
    // One unit is not its application.
    assert!(!info.is_granted_to("v") && !info.is_granted_to("x"));
    let content: SecretContent = [("private-key", "hunter22")].into_iter().collect();
    assert_eq!(secrets.peek(SecretRef::Label("key")).await.unwrap(), Remote::Ready(content));
    assert_eq!(secrets.peek(SecretRef::Label("other")).await.unwrap(), Remote::Absent);
    // Nothing that would make a revision the tracked one.
    assert!(agent.calls.lock().unwrap().iter().all(|call| !call.contains("--refresh")));

    let (hook, _) = self::hook(Event::UpdateStatus, |_| Some(Ok("null")));
    assert_eq!(hook.secrets().ids().await.unwrap(), []);
}

#[tokio::test]
async fn secrets_are_made_replaced_and_removed() {
    let (hook, agent) = hook(Event::UpdateStatus, keeper);
    let secrets = hook.secrets();
    let content: SecretContent = [("certificate", "hunter22")].into_iter().collect();
    let day = Duration::from_hours(24);
    secrets.ids().await.unwrap();
    let id = secrets.add_expiring(&content, "l", SecretOwner::Unit, day).await.unwrap();
    secrets.set(&id, &content).await.unwrap();
    secrets.set_expiring(&id, &content, Duration::ZERO).await.unwrap();
    secrets.remove_revision(&id, 3).await.unwrap();
    secrets.remove(&id).await.unwrap();
    secrets.ids().await.unwrap();
    let calls = agent.calls.lock().unwrap();
    let begins: Vec<&str> =
        calls.iter().map(|call| call.split("certificate#file=/").next().unwrap().trim_end()).collect();
    // Whether it is ours is asked before each change: of another's, the agent would say so only at the end.
    let asks = "secret-info-get --format=json -- secret:d0neu000000000000030";
    assert_eq!(
        begins,
        [
            "secret-ids --format=json",
            "secret-info-get --format=json --label l",
            "secret-add --label l --expire 86400s --owner unit --",
            asks,
            "secret-set -- secret:d0neu000000000000030",
            asks,
            "secret-set --expire 1s -- secret:d0neu000000000000030",
            asks,
            "secret-remove --revision 3 -- secret:d0neu000000000000030",
            asks,
            "secret-remove -- secret:d0neu000000000000030",
            // What was known before is not known any more.
            "secret-ids --format=json",
        ]
    );
    assert!(!calls.iter().any(|call| call.contains("hunter22")));
}

#[tokio::test]
async fn units_that_are_going_are_not_planned() {
    let (leaving, agent) = hook(Event::Remove, ordinary);
    assert_eq!(leaving.planned_units().await.unwrap(), 2);
    for (endpoint, app, going) in [
        ("tracing", "old", true),
        ("tracing", "older", false),
        ("tracing", "empty", false),
        ("tracing", "elsewhere", false),
        ("logging", "old", false),
    ] {
        assert_eq!(leaving.is_going(endpoint, app).await.unwrap(), going, "{endpoint} {app}");
    }
    assert_eq!(agent.calls.lock().unwrap().len(), 1);
}
