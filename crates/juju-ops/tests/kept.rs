//! What is remembered from one hook to the next: values at the controller, and names of applications in a file.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use juju_ops::{
    Event, Hook, HookEnv, HookTools, StateError, ToolCall, ToolOutput, TransportError, tools::BoxFuture,
};

/// Keeps what `state-set` gives it, as the agent would, and answers for two relations.
#[derive(Default)]
struct Agent {
    kept: Mutex<BTreeMap<String, String>>,
    calls: Mutex<Vec<String>>,
}

impl Agent {
    fn calls(&self, tool: &str) -> Vec<String> {
        self.calls.lock().unwrap().iter().filter(|call| call.starts_with(tool)).cloned().collect()
    }
}

impl HookTools for Agent {
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>> {
        let line = format!("{} {}", call.tool, call.args.join(" "));
        let mut kept = self.kept.lock().unwrap();
        let stdout = match line.as_str() {
            "state-get --format=json" if kept.is_empty() => "null".to_owned(),
            "state-get --format=json" => serde_json::to_string(&*kept).unwrap(),
            "state-set --file -" => {
                let new: BTreeMap<String, String> = serde_json::from_slice(&call.stdin.unwrap()).unwrap();
                kept.extend(new);
                String::new()
            }
            "relation-ids --format=json -- tracing" => r#"["tracing:7","tracing:12"]"#.to_owned(),
            "relation-ids --format=json -- empty" => "[]".to_owned(),
            "relation-list --format=json -r tracing:7 --app" => r#""grafana""#.to_owned(),
            "relation-list --format=json -r tracing:12 --app" => r#""loki""#.to_owned(),
            line => {
                let key = line.strip_prefix("state-delete -- ").expect("a call that is known");
                kept.remove(key);
                String::new()
            }
        };
        self.calls.lock().unwrap().push(line);
        Box::pin(async move { Ok(ToolOutput { code: 0, stdout: stdout.into_bytes(), stderr: vec![] }) })
    }
}

fn hook_in(folder: &Path, model: &str, unit: &str, agent: &Arc<Agent>) -> Hook {
    let env = HookEnv::from_vars(|name| {
        Some(match name {
            "JUJU_UNIT_NAME" => unit.to_owned(),
            "JUJU_MODEL_UUID" => model.to_owned(),
            "JUJU_CHARM_DIR" => folder.to_str().unwrap().to_owned(),
            _ => "x".to_owned(),
        })
    })
    .unwrap();
    Hook::new(env, Event::UpdateStatus, agent.clone(), Arc::new(|_| unreachable!("no containers here")))
}

fn hook(agent: &Arc<Agent>) -> Hook {
    hook_in(Path::new("/there/is/no/such/folder"), "m", "tempo/0", agent)
}

#[tokio::test]
async fn what_is_kept_is_there_in_the_next_hook() {
    let agent = Arc::new(Agent::default());
    let first = hook(&agent);
    let state = first.state();
    assert_eq!(state.get::<u32>("count").await.unwrap(), None);
    state.set("count", &3).unwrap();
    state.set("odd \"key\": \u{7f}", &"text\u{85}").unwrap();
    state.set("nothing", &()).unwrap();
    // Seen before it is sent.
    assert_eq!(state.get("count").await.unwrap(), Some(3));
    assert_eq!(state.keys().await.unwrap(), ["count", "nothing", "odd \"key\": \u{7f}"]);
    assert!(agent.calls("state-set").is_empty());
    first.commit().await.unwrap();
    first.commit().await.unwrap();
    assert_eq!(agent.calls("state-").len(), 2, "one question, and one call for all values");

    let second = hook(&agent);
    let state = second.state();
    assert_eq!(state.get("count").await.unwrap(), Some(3));
    assert_eq!(state.get("odd \"key\": \u{7f}").await.unwrap(), Some("text\u{85}".to_owned()));
    assert_eq!(state.get("nothing").await.unwrap(), Some(()));
    state.set("count", &3).unwrap();
    state.delete("nothing").unwrap();
    state.delete("never there").unwrap();
    assert_eq!(state.get::<()>("nothing").await.unwrap(), None);
    second.commit().await.unwrap();
    assert_eq!(agent.calls("state-set").len(), 1, "the same value is not sent again");
    assert_eq!(agent.calls("state-delete"), ["state-delete -- nothing"]);
    assert_eq!(second.state().get::<()>("nothing").await.unwrap(), None);
    assert_eq!(agent.calls("state-get").len(), 2, "one question for each hook");
}

#[tokio::test]
async fn a_hook_that_fails_keeps_nothing_and_one_that_keeps_nothing_asks_nothing() {
    let agent = Arc::new(Agent::default());
    let failing = hook(&agent);
    failing.state().set("count", &1).unwrap();
    failing.discard();
    failing.commit().await.unwrap();
    assert!(agent.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_juju_would_refuse_is_not_planned() {
    let agent = Arc::new(Agent::default());
    let hook = hook(&agent);
    let state = hook.state();
    let long = "k".repeat(257);
    for key in ["", "unit-data.7", &long] {
        assert!(matches!(state.set(key, &1), Err(StateError::Key(_))), "{key}");
        assert!(matches!(state.delete(key), Err(StateError::Key(_))), "{key}");
    }
    state.set(&"é".repeat(256), &1).unwrap();
    // With its quotes.
    state.set("most", &"é".repeat(65_534)).unwrap();
    let error = state.set("more", &"v".repeat(65_535)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unit state more: cannot be kept: 65537 characters of JSON, and Juju takes 65536"
    );
}

#[tokio::test]
async fn a_value_of_another_shape_is_named_and_not_shown() {
    let agent = Arc::new(Agent::default());
    for text in ["hunter22", r#""hunter22""#, ""] {
        agent.kept.lock().unwrap().insert("count".into(), text.into());
        let error = hook(&agent).state().get::<u32>("count").await.unwrap_err();
        assert!(matches!(&error, StateError::Value { key, .. } if key == "count"), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter22"), "{error:?}");
    }
}

async fn apps(hook: &Hook) -> Vec<Option<String>> {
    let mut apps = Vec::new();
    for relation in hook.relations("tracing").await.unwrap() {
        apps.push(relation.app().await.unwrap());
    }
    hook.commit().await.unwrap();
    apps
}

const FILE: &str = ".juju-ops-relations.json";

#[tokio::test]
async fn the_other_application_is_asked_for_once_in_a_relations_life() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let both = [Some("grafana".to_owned()), Some("loki".to_owned())];
    let asked = async |model: &str, unit: &str| {
        let agent = Arc::new(Agent::default());
        assert_eq!(apps(&hook_in(folder.path(), model, unit, &agent)).await, both);
        agent.calls("relation-list").len()
    };
    assert_eq!(asked("m", "tempo/0").await, 2);
    assert_eq!(asked("m", "tempo/0").await, 0);
    let path = folder.path().join(FILE);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // No half-written file beside it.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // Nothing new, nothing written.
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(asked("m", "tempo/0").await, 0);
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);

    // The same number means another relation in another model.
    assert_eq!(asked("other", "tempo/0").await, 2);
    assert_eq!(asked("other", "tempo/1").await, 2);
    for rubbish in ["", "{", "null", r#"{"model":"m","unit":"tempo/0","applications":{"x":"y"}}"#] {
        std::fs::write(&path, rubbish).unwrap();
        assert_eq!(asked("m", "tempo/0").await, 2, "{rubbish}");
    }
    // A folder in its place can be neither read nor replaced.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(asked("m", "tempo/0").await, 2);
    assert_eq!(asked("m", "tempo/0").await, 2);
}

#[tokio::test]
async fn names_are_believed_about_listed_relations_only_and_leave_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let said = r#"{"model":"m","unit":"tempo/0","applications":{"tracing:7":"remembered","tracing:9":"gone","db:3":"pg"}}"#;
    std::fs::write(&path, said).unwrap();
    let agent = Arc::new(Agent::default());
    let hook = hook_in(folder.path(), "m", "tempo/0", &agent);
    assert!(hook.relations("empty").await.unwrap().is_empty());
    let unlisted = hook.relation("tracing:7".parse().unwrap());
    assert_eq!(unlisted.app().await.unwrap().as_deref(), Some("grafana"), "Juju was asked");
    let names = apps(&hook).await;
    assert_eq!(names, [Some("remembered".to_owned()), Some("loki".to_owned())]);
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        written,
        r#"{"model":"m","unit":"tempo/0","applications":{"db:3":"pg","tracing:7":"remembered","tracing:12":"loki"}}"#
    );
}
