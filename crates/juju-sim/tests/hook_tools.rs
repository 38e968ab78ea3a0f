//! Plays back recordings of the real hook tools (Juju 3.6.26) against the session's own.
//!
//! `recorded/hook-tools.jsonl` has one call per line, in sessions that share a hook; `hook-tools-state.json` has the
//! states they ran against. An answer matches when exit code, standard output and standard error are the same, however the
//! call reached the session: directly, over the socket, or through the program that stands behind the names of the tools.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    future::ready,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, Mutex},
};

use juju_ops::{
    HookTools as _, ToolCall, ToolOutput, TransportError,
    tools::{AgentSocket, Processes, Socket},
};
use juju_sim::{
    CharmMeta, Event, Finished, Session, State,
    charm::{ConfigOption, Endpoint, OptionType, Role},
    event::{RelationEvent, SecretEvent},
    jujuc::{Invocation, serve},
    session::{AgentPaths, SecretUpdate},
    state::{Access, Databag, GoalState, GoalStatus, Model, Network, Relation, Secret, Status, Storage},
    tools::TOOLS,
};
use serde_json::{Map, Value, json};
use tokio::net::UnixListener;

/// Calls that do not match, by session and number, and why.
const DEVIATIONS: &[(&str, u64, &str)] = &[];

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded");

struct Call {
    number: u64,
    line: Value,
}

struct Recording {
    name: String,
    calls: Vec<Call>,
    end: Value,
}

fn recordings() -> Vec<Recording> {
    let text = fs::read_to_string(format!("{RECORDED}/hook-tools.jsonl")).unwrap();
    let mut all: Vec<Recording> = Vec::new();
    // Split on line feeds only: texts hold other line ends.
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_str(line).unwrap();
        let name = line["session"].as_str().unwrap();
        if all.last().is_none_or(|last| last.name != name) {
            all.push(Recording { name: name.to_owned(), calls: Vec::new(), end: Value::Null });
        }
        let recording = all.last_mut().unwrap();
        if line.get("end-of-hook").is_some() {
            recording.end = line;
        } else {
            recording.calls.push(Call { number: line["seq"].as_u64().unwrap(), line });
        }
    }
    all
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn bag(value: &Value) -> Databag {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn status(value: &Value) -> Status {
    Status {
        status: text(&value["status"]),
        message: text(&value["info"]),
        data: value["data"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
    }
}

/// The recorded state, in the library's terms.
fn scene(call: &Value, base: &str) -> (CharmMeta, State) {
    let file: Value =
        serde_json::from_str(&fs::read_to_string(format!("{RECORDED}/hook-tools-state.json")).unwrap())
            .unwrap();
    let named = &file["states"][call["state"].as_str().unwrap()];
    let mut raw = match named["same-as"].as_str() {
        Some(other) => file["states"][other].clone(),
        None => named.clone(),
    };
    for patch in [&named["replace"], &call["state-patch"]] {
        for (key, value) in patch.as_object().into_iter().flatten() {
            raw[key] = value.clone();
        }
    }
    let unit = text(&raw["unit"]);
    let app = unit.split('/').next().unwrap().to_owned();
    let mut meta = CharmMeta { name: app.clone(), ..CharmMeta::default() };
    for (name, value) in raw["config"].as_object().unwrap() {
        let kind = match value {
            Value::Bool(_) => OptionType::Boolean,
            Value::Number(number) if number.is_f64() => OptionType::Float,
            Value::Number(_) => OptionType::Int,
            _ => OptionType::String,
        };
        meta.config.insert(name.clone(), ConfigOption { kind, default: None, description: String::new() });
    }
    let mut relations = Vec::new();
    for raw in raw["relations"].as_array().unwrap() {
        let endpoint = text(&raw["endpoint"]);
        let role = match raw["role"].as_str().unwrap() {
            "peer" => Role::Peer,
            "provider" => Role::Provider,
            _ => Role::Requirer,
        };
        let interface = text(&raw["interface"]);
        let declared = Endpoint { role, interface: interface.clone(), limit: None, optional: false };
        meta.endpoints.insert(endpoint.clone(), declared);
        let remote_app = text(&raw["remote-app"]);
        let id = u32::try_from(raw["id"].as_u64().unwrap()).unwrap();
        let mut relation = Relation::new(&endpoint, id, &interface, &remote_app);
        relation.peer = role == Role::Peer;
        relation.remote_endpoint = text(&raw["remote-endpoint"]);
        relation.remote_model_uuid = raw["remote-model-uuid"].as_str().map(str::to_owned);
        relation.dying = raw["life"] == "dying";
        let members: BTreeSet<_> = raw["members"].as_array().unwrap().iter().map(text).collect();
        for (who, data) in raw["data"].as_object().unwrap() {
            let data = bag(data);
            let own_app = who.split('/').next() == Some(app.as_str());
            if *who == app {
                relation.local_app_data = data;
            } else if *who == unit {
                relation.local_unit_data = data;
            } else if *who == remote_app {
                relation.remote_app_data = data;
            } else if members.contains(who) {
                relation.remote_units.insert(who.clone(), data);
            } else if own_app {
                relation.sibling_units.insert(who.clone(), data);
            } else {
                relation.departed_units.insert(who.clone(), data);
            }
        }
        relations.push(relation);
    }
    for endpoint in raw["endpoints"].as_array().unwrap() {
        let declared =
            Endpoint { role: Role::Requirer, interface: String::new(), limit: None, optional: false };
        meta.endpoints.entry(text(endpoint)).or_insert(declared);
    }
    let secrets = raw["secrets"].as_array().unwrap().iter().map(|raw| {
        let owner = text(&raw["owner"]);
        let consumer = &raw["consumers"][format!("unit-{}", unit.replace('/', "-"))];
        let access = raw["access"].as_array().unwrap().iter().map(|access| Access {
            target: text(&access["target"]),
            scope: text(&access["scope"]),
            role: text(&access["role"]),
        });
        Secret {
            id: text(&raw["id"]),
            owner,
            label: text(&raw["label"]),
            description: text(&raw["description"]),
            rotate: text(&raw["rotate"]),
            expire: None,
            revisions: (1..).zip(raw["revisions"].as_array().unwrap().iter().map(bag)).collect(),
            access: access.collect(),
            tracked: consumer["current-revision"].as_u64().map(|n| u32::try_from(n).unwrap()),
            consumer_label: consumer["label"].as_str().filter(|label| !label.is_empty()).map(str::to_owned),
        }
    });
    let goal = |value: &Value| GoalStatus {
        status: text(&value["status"]),
        since: text(&value["since"]).replace('T', " "),
    };
    let goals = |value: &Value| {
        value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), goal(value)))
            .collect::<BTreeMap<_, _>>()
    };
    let list = |value: &Value| value.as_array().unwrap().iter().map(text).collect::<Vec<_>>();
    let mut statuses = raw["unit-statuses"].as_object().unwrap().clone();
    let own_status = statuses.remove(&unit).unwrap();
    let state = State {
        model: Model {
            name: text(&raw["model"]["name"]),
            uuid: text(&raw["model"]["uuid"]),
            ..Model::default()
        },
        leader: raw["leader"].as_bool().unwrap(),
        trusted: raw["trust"].as_bool().unwrap(),
        config: raw["config"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        relations,
        secrets: secrets.collect(),
        opened_ports: list(&raw["opened-ports"][""]).into_iter().collect(),
        unit_status: status(&own_status),
        app_status: status(&raw["application-status"]),
        peer_statuses: statuses.iter().map(|(unit, value)| (unit.clone(), status(value))).collect(),
        unit_state: bag(&raw["charm-state"]),
        leader_settings: bag(&raw["leader-settings"]),
        resources: raw["resources"]
            .as_object()
            .unwrap()
            .keys()
            .map(|name| (name.clone(), format!("{base}/resources/{name}.txt")))
            .collect(),
        storages: raw["storage"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| (text(&s["id"]), Storage { kind: text(&s["kind"]), location: text(&s["location"]) }))
            .collect(),
        network: Network {
            bind: list(&raw["addresses"]["local"]),
            ingress: list(&raw["addresses"]["ingress"]),
            egress: list(&raw["addresses"]["egress"]),
        },
        public_address: raw["public-address"].as_str().map(str::to_owned),
        goal: Some(GoalState {
            units: goals(&raw["goal-units"]),
            relations: raw["goal-relations"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(endpoint, value)| (endpoint.clone(), goals(value)))
                .collect(),
        }),
        api_addresses: list(&raw["api-addresses"]),
        unit,
        ..State::default()
    };
    (meta, state)
}

fn event(call: &Value, state: &State) -> Event {
    if let Some(action) = call.get("action") {
        return Event::Action {
            name: text(&action["name"]),
            id: text(&action["id"]),
            params: action["params"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        };
    }
    let hook = &call["hook"];
    let optional = |key: &str| hook[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let relation = || {
        let id = u32::try_from(hook["RelationId"].as_u64().unwrap()).unwrap();
        let endpoint = state.relation_by_id(id).unwrap().endpoint.clone();
        RelationEvent { endpoint, id, unit: optional("RemoteUnit"), departing: optional("DepartingUnit") }
    };
    let secret = || SecretEvent {
        uri: text(&hook["SecretURI"]),
        label: text(&hook["SecretLabel"]),
        revision: hook["SecretRevision"].as_u64().map(|n| u32::try_from(n).unwrap()),
    };
    let container = || text(&hook["WorkloadName"]);
    match hook["Kind"].as_str().unwrap() {
        "config-changed" => Event::ConfigChanged,
        "update-status" => Event::UpdateStatus,
        "relation-created" => Event::RelationCreated(relation()),
        "relation-changed" => Event::RelationChanged(relation()),
        "relation-departed" => Event::RelationDeparted(relation()),
        "relation-broken" => Event::RelationBroken(relation()),
        "secret-changed" => Event::SecretChanged(secret()),
        "secret-remove" => Event::SecretRemove(secret()),
        "storage-attached" => Event::StorageAttached(text(&hook["StorageId"])),
        "pebble-ready" => Event::PebbleReady(container()),
        "pebble-check-failed" => Event::PebbleCheckFailed(container(), text(&hook["CheckName"])),
        other => panic!("recorded hook of unknown kind {other}"),
    }
}

fn stdin(call: &Value) -> Vec<u8> {
    match &call["stdin"] {
        Value::String(text) => text.clone().into_bytes(),
        Value::Object(long) => {
            let times = usize::try_from(long["times"].as_u64().unwrap()).unwrap();
            format!(
                "{}{}{}",
                text(&long["prefix"]),
                text(&long["repeat"]).repeat(times),
                text(&long["suffix"])
            )
            .into_bytes()
        }
        _ => Vec::new(),
    }
}

/// How a call reaches the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is called.
    Direct,
    /// Over a real socket, by the bindings' own client.
    Socket,
    /// By the program behind the names of the tools, over the same socket.
    Process,
}

const WAYS: [Way; 3] = [Way::Direct, Way::Socket, Way::Process];

/// The agent of one session, and ways to it.
struct Agent<'a> {
    way: Way,
    base: &'a str,
    session: Arc<Mutex<Session>>,
    environment: BTreeMap<String, String>,
}

impl<'a> Agent<'a> {
    /// Listens where the session's calls need it. To be called where a runtime runs.
    fn new(way: Way, base: &'a str, session: Session) -> Self {
        const CONTEXT: &str = "tempo/0-hook-0123456789abcdef";
        let session = Arc::new(Mutex::new(session));
        let mut environment = BTreeMap::new();
        if way != Way::Direct {
            let socket = format!("{base}/agent.socket");
            let _ = fs::remove_file(&socket);
            let listener = UnixListener::bind(&socket).unwrap();
            environment.insert("JUJU_CONTEXT_ID".to_owned(), CONTEXT.to_owned());
            environment.insert("JUJU_AGENT_SOCKET_ADDRESS".to_owned(), socket);
            environment.insert("JUJU_AGENT_SOCKET_NETWORK".to_owned(), "unix".to_owned());
            let session = Arc::clone(&session);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let session = Arc::clone(&session);
                    tokio::spawn(async move {
                        let answer = |call: Invocation| {
                            let stdin = call.stdin.as_deref();
                            ready(session.lock().unwrap().call(&call.argv, stdin, &call.cwd))
                        };
                        serve(stream, CONTEXT, answer).await
                    });
                }
            });
        }
        Self { way, base, session, environment }
    }

    /// One recorded call; `None` where this way leaves it to the program.
    async fn call(&self, line: &Value) -> Option<ToolOutput> {
        let argv: Vec<String> = line["argv"].as_array().unwrap().iter().map(text).collect();
        let dir = format!("{}/charm", self.base);
        if self.way == Way::Direct {
            if answered_by_client(line) {
                return None;
            }
            let mut session = self.session.lock().unwrap();
            return Some(session.call(&argv, Some(&stdin(line)), Path::new(&dir)));
        }
        let mut environment = self.environment.clone();
        environment.extend(line["env"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), text(v))));
        for name in line["env-unset"].as_array().into_iter().flatten() {
            environment.remove(&text(name));
        }
        let (tool, _) = TOOLS.iter().find(|(tool, _)| *tool == argv[0]).unwrap();
        let mut call = ToolCall::new(tool, &argv[1..]);
        if !line["stdin"].is_null() {
            call = call.with_stdin(stdin(line));
        }
        if self.way == Way::Process {
            let tools = Processes::new(format!("{}/tools", self.base), environment, dir);
            return Some(tools.call(call).await.unwrap());
        }
        let found = AgentSocket::from_vars(|name| environment.get(name).cloned());
        match found.and_then(|agent| Socket::connect(agent.with_dir(dir))) {
            Ok(tools) => Some(tools.call(call).await.unwrap()),
            Err(TransportError::Start(reason)) if reason.ends_with(" not set") => {
                Some(ToolOutput { code: 1, stdout: vec![], stderr: format!("ERROR {reason}\n").into_bytes() })
            }
            Err(_) => None,
        }
    }
}

/// What did not match (number, tool and difference), how many calls were played, and how the hook ended.
type Played = (Vec<(u64, String, String)>, usize, Finished);

/// One session, played back.
fn play(recording: &Recording, base: &Path, way: Way) -> Played {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(play_back(recording, base, way))
}

async fn play_back(recording: &Recording, base: &Path, way: Way) -> Played {
    let base = base.display().to_string();
    let charm_dir = format!("{base}/charm");
    let first = &recording.calls[0].line;
    let (meta, state) = scene(first, &base);
    let event = event(first, &state);
    let agent = Agent::new(way, &base, Session::new(Arc::new(meta), state, event));
    let (mut wrong, mut played) = (Vec::new(), 0);
    for Call { number, line } in &recording.calls {
        let argv: Vec<String> = line["argv"].as_array().unwrap().iter().map(text).collect();
        let Some(output) = agent.call(line).await else { continue };
        played += 1;
        let here = |bytes: Vec<u8>| {
            String::from_utf8(bytes).unwrap().replace(&charm_dir, "$CHARM_DIR").replace(&base, "$BASE")
        };
        let (stdout, stderr) = (here(output.stdout), here(output.stderr));
        // Go prints the ids of secrets in no order.
        let sorted = |stdout: &str| {
            let mut words: Vec<_> =
                stdout.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned).collect();
            words.sort();
            words
        };
        let same_stdout = stdout == text(&line["stdout"])
            || (argv[0] == "secret-ids" && sorted(&stdout) == sorted(&text(&line["stdout"])));
        let same = same_stdout && stderr == text(&line["stderr"]) && line["exit"] == output.code;
        if !same {
            let mut report = String::new();
            let _ = write!(
                report,
                "{argv:?}\n  recorded {} {:?} {:?}\n  here     {} {stdout:?} {stderr:?}",
                line["exit"],
                text(&line["stdout"]),
                text(&line["stderr"]),
                output.code
            );
            wrong.push((*number, argv[0].clone(), report));
        }
    }
    let session = agent.session.lock().unwrap().clone();
    (wrong, played, session.finish(recording.end["end-of-hook"] == "success"))
}

/// The agent's directories, with the files that recorded calls read.
fn agent_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("charm")).unwrap();
    fs::write(dir.path().join("charm/settings.yaml"), "from-file: yes-it-is\n").unwrap();
    fs::create_dir(dir.path().join("tools")).unwrap();
    for (tool, _) in TOOLS {
        symlink(env!("CARGO_BIN_EXE_jujuc"), dir.path().join("tools").join(tool)).unwrap();
    }
    dir
}

/// Whether the client program, not the agent, gave the recorded answer: its environment was tampered with.
fn answered_by_client(line: &Value) -> bool {
    line.get("env").is_some() || line.get("env-unset").is_some()
}

/// Plays all recorded calls; `left` is how many of them are left to the program.
fn every_recorded_call_matches(way: Way, left: usize) {
    let dir = agent_dir();
    // Matching and played calls.
    let (mut right, mut count) = (0, 0);
    let mut unexpected = String::new();
    let mut stale: BTreeSet<_> =
        DEVIATIONS.iter().map(|(session, number, _)| (session.to_string(), *number)).collect();
    let mut tools = BTreeSet::new();
    for recording in recordings() {
        let (wrong, played, _) = play(&recording, dir.path(), way);
        tools.extend(recording.calls.iter().map(|call| text(&call.line["argv"][0])));
        count += played;
        right += played - wrong.len();
        for (number, _, report) in wrong {
            if !stale.remove(&(recording.name.clone(), number)) {
                let _ = writeln!(unexpected, "{} {number}: {report}", recording.name);
            }
        }
    }
    println!("{right} of {count}");
    assert!(unexpected.is_empty(), "{unexpected}");
    assert!(stale.is_empty(), "these match now, so take them off the list: {stale:?}");
    // Not one recording is lost on the way, and every tool is in them.
    assert_eq!(count + left, 685);
    assert_eq!(tools, TOOLS.iter().map(|(tool, _)| tool.to_string()).collect());
}

#[test]
fn every_recorded_call_is_answered_as_juju_did() {
    // What has to do with the client's own environment.
    every_recorded_call_matches(Way::Direct, 8);
}

#[test]
fn every_recorded_call_is_answered_over_the_socket() {
    // A socket that is not there, and one of another network: the bindings then run the program.
    every_recorded_call_matches(Way::Socket, 2);
}

#[test]
fn every_recorded_call_is_answered_to_the_program() {
    every_recorded_call_matches(Way::Process, 0);
}

/// The commit as the agent sends it, in the terms of the recordings.
fn wire(finished: &Finished, meta: &CharmMeta, before: &State) -> Value {
    let (commit, unit) = (&finished.commit, before.unit_tag());
    let mut out = Map::new();
    out.insert("tag".into(), json!(unit));
    let mut put = |key: &str, value: Value| {
        if value.as_array().is_none_or(|list| !list.is_empty()) && value != Value::Null && value != false {
            out.insert(key.to_owned(), value);
        }
    };
    put("update-network-info", commit.update_network_info.into());
    let relations = commit.relations.iter().map(|write| {
        let relation = before.relation_by_id(write.id).unwrap();
        let tag = relation.tag(before.app(), meta.role(&write.endpoint));
        json!({"relation": tag, "unit": unit, "settings": write.unit, "application-settings": write.app})
    });
    put("relation-unit-settings", relations.collect());
    let ports = |changes: &BTreeSet<juju_sim::session::PortChange>| -> Value {
        let mut list: Vec<(i64, Value)> = changes
            .iter()
            .map(|change| {
                let (number, protocol) = change.port.split_once('/').unwrap_or(("-1", &change.port));
                let number: i64 = number.parse().unwrap();
                let port = json!({
                    "tag": unit, "protocol": protocol, "from-port": number, "to-port": number,
                    "endpoint": change.endpoint,
                });
                (number, port)
            })
            .collect();
        list.sort_by_key(|(number, _)| *number);
        list.into_iter().map(|(_, port)| port).collect()
    };
    put("open-ports", ports(&commit.open_ports));
    put("close-ports", ports(&commit.close_ports));
    if let Some(state) = &commit.unit_state {
        put("unit-state", json!({"tag": unit, "charm-state": state}));
    }
    let storage = commit
        .add_storage
        .iter()
        .map(|(name, count)| json!({"unit": unit, "name": name, "storage": {"count": count}}));
    put("add-storage", storage.collect());
    let uri = |id: &String| format!("secret:{id}");
    let properties = |update: &SecretUpdate, mut value: Value| {
        for (key, text) in [
            ("label", &update.label),
            ("description", &update.description),
            ("rotate-policy", &update.rotate),
            ("expire-time", &update.expire),
        ] {
            if let Some(text) = text {
                value[key] = json!(text);
            }
        }
        if let Some(content) = &update.content {
            value["content"] = json!({"data": content});
        }
        value
    };
    let creates = commit.secret_creates.iter();
    put(
        "secret-creates",
        creates.map(|(id, c)| properties(&c.with, json!({"uri": uri(id), "owner-tag": c.owner}))).collect(),
    );
    put("secret-track-latest", commit.secret_track_latest.iter().map(|id| json!(id)).collect());
    let updates = commit.secret_updates.iter();
    put("secret-updates", updates.map(|(id, update)| properties(update, json!({"uri": uri(id)}))).collect());
    let grants = commit.secret_grants.iter().flat_map(|(id, all)| all.iter().map(move |access| (id, access)));
    put(
        "secret-grants",
        grants
            .map(|(id, a)| json!({"uri": uri(id), "scope-tag": a.scope, "subject-tags": [a.target], "role": a.role}))
            .collect(),
    );
    let revokes = commit.secret_revokes.iter();
    put(
        "secret-revokes",
        revokes.map(|(id, targets)| json!({"uri": uri(id), "subject-tags": targets})).collect(),
    );
    let deletes = commit.secret_deletes.iter().map(|(id, revisions)| {
        let mut value = json!({"uri": uri(id), "label": ""});
        if let Some(revisions) = revisions {
            value["revisions"] = json!(revisions);
        }
        value
    });
    put("secret-deletes", deletes.collect());
    Value::Object(out)
}

/// A recorded commit without what a session does not know: checksums, and scopes of revocations.
fn comparable(commit: &Value) -> Value {
    let mut commit = commit.clone();
    for key in ["secret-creates", "secret-updates", "secret-revokes", "secret-deletes"] {
        let Some(list) = commit.get_mut(key).and_then(Value::as_array_mut) else { continue };
        for entry in list.iter_mut() {
            if let Some(content) = entry.get_mut("content").and_then(Value::as_object_mut) {
                content.remove("checksum");
            }
            if key == "secret-revokes" {
                let revoke = entry.as_object_mut().unwrap();
                revoke.remove("scope-tag");
                revoke.remove("role");
            }
            if entry["expire-time"].as_str().is_some_and(|time| time.starts_with("<now")) {
                // One hour after the session's own clock.
                entry["expire-time"] = json!("2026-01-02T04:04:05Z");
            }
        }
        // Go's order is not stable.
        list.sort_by_key(|entry| entry["uri"].to_string());
    }
    commit
}

/// Relations by tag: Go's order is not stable.
fn sorted(mut commit: Value) -> Value {
    if let Some(list) = commit.get_mut("relation-unit-settings").and_then(Value::as_array_mut) {
        list.sort_by_key(|write| write["relation"].to_string());
    }
    commit
}

/// Long texts are shortened in recordings.
fn shortened(value: &Value) -> Value {
    let short = |text: &str| {
        let count = text.chars().count();
        if count > 255 { format!("<{count} characters>") } else { text.to_owned() }
    };
    match value {
        Value::String(text) => short(text).into(),
        Value::Array(items) => items.iter().map(shortened).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (short(key), shortened(value))).collect(),
        other => other.clone(),
    }
}

#[test]
fn every_recorded_hook_ends_as_it_did_in_juju() {
    for way in WAYS {
        every_recorded_hook_ends_as_it_did(way);
    }
}

fn every_recorded_hook_ends_as_it_did(way: Way) {
    let dir = agent_dir();
    let mut compared = 0;
    for recording in recordings() {
        let name = &format!("{} ({way:?})", recording.name);
        let (_, _, finished) = play(&recording, dir.path(), way);
        let end = &recording.end;
        let (meta, before) = scene(&recording.calls[0].line, &dir.path().display().to_string());
        // A controller that was told to refuse is not the session's doing.
        if end.get("fail-commit").is_none() && end["end-of-hook"] == "success" {
            assert_eq!(finished.error.as_deref().unwrap_or_default(), text(&end["error"]), "{name}: error");
        }
        if recording.calls[0].line.get("action").is_none() {
            let sent = wire(&finished, &meta, &before);
            let sent = if sent.as_object().unwrap().len() > 1 {
                json!([sorted(shortened(&sent))])
            } else {
                json!([])
            };
            let recorded: Value = end["committed"]
                .as_array()
                .unwrap()
                .iter()
                .map(|commit| sorted(comparable(commit)))
                .collect();
            assert_eq!(sent, recorded, "{name}: commit");
        }
        if let Some(log) = end.get("log") {
            let lines = finished.logs.iter().filter(|line| line.level != "TRACE");
            let lines: Value =
                lines.map(|l| json!({"module": l.module, "level": l.level, "message": l.message})).collect();
            assert_eq!(&lines, log, "{name}: log");
        }
        if let Some(after) = end.get("status-after") {
            for (key, status) in
                [("unit", &finished.state.unit_status), ("application", &finished.state.app_status)]
            {
                assert_eq!(
                    (text(&after[key]["status"]), text(&after[key]["info"])),
                    (status.status.clone(), status.message.clone()),
                    "{name}"
                );
            }
            assert_eq!(text(&after["workload-version"]), finished.state.workload_version, "{name}");
        }
        if let Some(done) = end.get("action-finished") {
            let action = finished.action.as_ref().unwrap();
            let results = done["results"].as_object().cloned().unwrap_or_default();
            assert_eq!(action.results.clone().into_iter().collect::<Map<_, _>>(), results, "{name}: results");
            assert_eq!(done["message"].as_str(), action.failure.as_deref(), "{name}: message");
            assert_eq!(done["status"] == "failed", action.failure.is_some(), "{name}");
        }
        if let Some(messages) = end.get("action-messages") {
            assert_eq!(&json!(finished.action.as_ref().unwrap().log), messages, "{name}: messages");
        }
        compared += 1;
    }
    assert_eq!(compared, 53);
}

#[test]
fn hooks_get_the_environment_that_juju_gives() {
    let base = "$BASE";
    let mut compared = 0;
    for recording in recordings() {
        let Some(recorded) = recording.end.get("hook-env").and_then(Value::as_object) else { continue };
        let first = &recording.calls[0].line;
        let (meta, state) = scene(first, base);
        let event = event(first, &state);
        let session = Session::new(Arc::new(meta), state, event);
        let paths = AgentPaths {
            charm_dir: "$CHARM_DIR".into(),
            socket: "$BASE/agent.socket".into(),
            tools_dir: "/tools".into(),
            path: "/bin".to_owned(),
            nonce: "<32 hex digits>".to_owned(),
        };
        let mut env = session.environment(&paths);
        // The recordings leave out what has nothing to do with Juju.
        for key in ["APT_LISTCHANGES_FRONTEND", "DEBIAN_FRONTEND", "LANG", "PATH", "TERM"] {
            assert!(env.remove(key).is_some(), "{key}");
        }
        let recorded: BTreeMap<String, String> = recorded.iter().map(|(k, v)| (k.clone(), text(v))).collect();
        assert_eq!(env, recorded, "{}", recording.name);
        compared += 1;
    }
    assert_eq!(compared, 12);
}
