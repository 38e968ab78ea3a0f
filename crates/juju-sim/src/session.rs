//! One hook of one unit: the hook tools' view of the world, and what the hook leaves behind.
//!
//! ```text
//!            calls                       exit 0: flush
//! State ──▶ Session ──▶ answers, logs ──▶ Finished { state, commit, … }
//!              │                         exit ≠ 0, or a refused flush: only what took effect at once
//!              └─ pending writes
//! ```
//!
//! Most writes wait in the session until the hook ends well, and then all of them count or none does. Statuses, the
//! workload version, leader settings, logs and which revision of a secret is tracked take effect at once. The hook
//! sees its own pending writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    CharmMeta, Event, Relation, Role, Secret, State,
    state::{Access, Databag, ModelKind, Status},
    tools::{self, CallKind, ToolOutput},
};

/// Where an agent keeps things, for the environment of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPaths {
    /// The charm's folder, also the working directory of hooks.
    pub charm_dir: PathBuf,
    /// The agent's socket for hook tools.
    pub socket: PathBuf,
    /// The hook tools' folder, put in front of `path`.
    pub tools_dir: PathBuf,
    /// The agent's own `PATH`.
    pub path: String,
    /// The 32 hex digits that make this hook's context id unlike any other.
    pub nonce: String,
}

/// One line of the unit's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `TRACE`, `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.
    pub level: String,
    /// Logger, for example `unit.tempo/0.juju-log`.
    pub module: String,
    /// Text.
    pub message: String,
}

/// One hook tool call that the session answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Whether it could change anything.
    pub kind: CallKind,
    /// Exit code.
    pub code: i32,
}

impl CallRecord {
    /// Number of the relation that `-r` or `--relation` names.
    #[must_use]
    pub fn relation(&self) -> Option<u32> {
        let mut words = self.args.iter().take_while(|word| *word != "--");
        while let Some(word) = words.next() {
            let value = if word == "-r" || word == "--relation" {
                words.next()?
            } else if let Some(value) = word.strip_prefix("--relation=").or_else(|| word.strip_prefix("-r="))
            {
                value
            } else {
                continue;
            };
            return value.rsplit(':').next()?.parse().ok();
        }
        None
    }

    /// Whether the tool is about one relation: the named one or else that of the running hook.
    #[must_use]
    pub fn takes_relation(&self) -> bool {
        matches!(self.tool.as_str(), "relation-get" | "relation-list" | "relation-model-get" | "relation-set")
            || self.relation().is_some()
    }
}

/// What an action brought.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActionResult {
    /// Nested results by key.
    pub results: BTreeMap<String, Value>,
    /// `Some` when the action failed, with its message.
    pub failure: Option<String>,
    /// Progress messages.
    pub log: Vec<String>,
}

/// New contents of own databags of one relation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationWrite {
    /// Local endpoint.
    pub endpoint: String,
    /// Relation number.
    pub id: u32,
    /// The whole unit databag, deleted keys as empty text; `None` when the hook neither read nor wrote it.
    pub unit: Option<Databag>,
    /// The whole application databag, deleted keys as empty text; `None` when the hook did not write it.
    pub app: Option<Databag>,
    /// Keys set in the unit databag (`None`: deleted).
    pub unit_changes: BTreeMap<String, Option<String>>,
    /// Keys set in the application databag (`None`: deleted).
    pub app_changes: BTreeMap<String, Option<String>>,
}

/// A port opened or closed; an empty endpoint means all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortChange {
    /// Endpoint, or empty.
    pub endpoint: String,
    /// `80/tcp` or `icmp`.
    pub port: String,
}

/// Changed properties of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretUpdate {
    /// New label.
    pub label: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New rotation policy.
    pub rotate: Option<String>,
    /// New expiry.
    pub expire: Option<String>,
    /// New content (base64 values), replacing all keys.
    pub content: Option<BTreeMap<String, String>>,
}

/// A secret made in this hook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretCreate {
    /// `application-<name>` or `unit-<name>-<n>`.
    pub owner: String,
    /// Everything else; `content` is always there.
    pub with: SecretUpdate,
}

/// What the agent sends to the controller when the hook ends well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Databags, by relation.
    pub relations: Vec<RelationWrite>,
    /// Ports to open.
    pub open_ports: BTreeSet<PortChange>,
    /// Ports to close.
    pub close_ports: BTreeSet<PortChange>,
    /// The whole of what `state-set` keeps, when changed.
    pub unit_state: Option<BTreeMap<String, String>>,
    /// New secrets by id.
    pub secret_creates: BTreeMap<String, SecretCreate>,
    /// Changed secrets by id.
    pub secret_updates: BTreeMap<String, SecretUpdate>,
    /// Secrets whose new revision this unit tracks at once.
    pub secret_track_latest: BTreeSet<String>,
    /// Grants by secret id.
    pub secret_grants: BTreeMap<String, BTreeSet<Access>>,
    /// Revoked targets by secret id.
    pub secret_revokes: BTreeMap<String, BTreeSet<String>>,
    /// Removed revisions by secret id; `None` stands for all of them.
    pub secret_deletes: BTreeMap<String, Option<BTreeSet<u32>>>,
    /// Storage asked for: name and count of each request.
    pub add_storage: Vec<(String, u32)>,
    /// Whether the agent also refreshes the unit's addresses (`config-changed`).
    pub update_network_info: bool,
}

impl Commit {
    /// Whether the agent has nothing to tell the controller on the charm's behalf. The own unit's databag counts even if
    /// the hook merely read it, because the agent then sends all of it back; the addresses that `config-changed` always
    /// refreshes do not count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            relations,
            open_ports,
            close_ports,
            unit_state,
            secret_creates,
            secret_updates,
            secret_track_latest,
            secret_grants,
            secret_revokes,
            secret_deletes,
            add_storage,
            update_network_info: _,
        } = self;
        relations.is_empty()
            && open_ports.is_empty()
            && close_ports.is_empty()
            && unit_state.is_none()
            && secret_creates.is_empty()
            && secret_updates.is_empty()
            && secret_track_latest.is_empty()
            && secret_grants.is_empty()
            && secret_revokes.is_empty()
            && secret_deletes.is_empty()
            && add_storage.is_empty()
    }

    /// What is in it, one line each, without values; empty if and only if [`Commit::is_empty`].
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let keys = |changes: &BTreeMap<String, Option<String>>| {
            changes.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        let mut lines = Vec::new();
        for write in &self.relations {
            let name = format!("{}:{}", write.endpoint, write.id);
            match &write.unit {
                Some(_) if write.unit_changes.is_empty() => {
                    lines.push(format!("{name}: the unit's databag, because it was read"));
                }
                Some(_) => lines.push(format!("{name}: the unit's databag ({})", keys(&write.unit_changes))),
                None => {}
            }
            if write.app.is_some() {
                lines.push(format!("{name}: the application's databag ({})", keys(&write.app_changes)));
            }
        }
        lines.extend(self.open_ports.iter().map(|change| format!("port {} opened", change.port)));
        lines.extend(self.close_ports.iter().map(|change| format!("port {} closed", change.port)));
        lines.extend(self.unit_state.iter().map(|state| {
            format!("stored state ({})", state.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
        }));
        lines.extend(self.secret_creates.keys().map(|id| format!("secret {id} made")));
        lines.extend(self.secret_updates.keys().map(|id| format!("secret {id} changed")));
        lines.extend(self.secret_track_latest.iter().map(|id| format!("secret {id} tracked at its latest")));
        lines.extend(self.secret_grants.keys().map(|id| format!("secret {id} granted")));
        lines.extend(self.secret_revokes.keys().map(|id| format!("secret {id} revoked")));
        lines.extend(self.secret_deletes.keys().map(|id| format!("secret {id} removed")));
        lines.extend(self.add_storage.iter().map(|(name, count)| format!("storage {name}, {count} more")));
        lines
    }
}

/// What a hook left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The state afterwards.
    pub state: State,
    /// What was sent, or would have been if the flush had not been refused.
    pub commit: Commit,
    /// Why the hook counts as failed although the charm exited with 0.
    pub error: Option<String>,
    /// The log.
    pub logs: Vec<LogLine>,
    /// Set for actions.
    pub action: Option<ActionResult>,
    /// Every call, in order.
    pub calls: Vec<CallRecord>,
    /// Each status that the unit was given, in order.
    pub unit_statuses: Vec<Status>,
    /// Each status that the application was given, in order.
    pub app_statuses: Vec<Status>,
    /// Each version that the workload was said to have, in order.
    pub workload_versions: Vec<String>,
}

/// Own databags of one relation, before the flush.
#[derive(Clone, Debug, Default)]
pub(crate) struct PendingBags {
    pub(crate) unit: Databag,
    pub(crate) app: Databag,
    pub(crate) unit_read: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    pub(crate) relations: BTreeMap<u32, PendingBags>,
    pub(crate) open_ports: BTreeSet<PortChange>,
    pub(crate) close_ports: BTreeSet<PortChange>,
    pub(crate) unit_state: Option<BTreeMap<String, String>>,
    pub(crate) secret_creates: BTreeMap<String, SecretCreate>,
    pub(crate) secret_updates: BTreeMap<String, SecretUpdate>,
    pub(crate) secret_track_latest: BTreeSet<String>,
    pub(crate) secret_grants: BTreeMap<String, BTreeSet<Access>>,
    pub(crate) secret_revokes: BTreeMap<String, BTreeSet<String>>,
    pub(crate) secret_deletes: BTreeMap<String, Option<BTreeSet<u32>>>,
    pub(crate) add_storage: Vec<(String, u32)>,
    pub(crate) reboot: bool,
}

/// One hook of one unit.
///
/// ```
/// use std::{path::Path, sync::Arc};
/// use juju_sim::{CharmMeta, Event, Relation, Session, State};
///
/// let meta = CharmMeta::from_texts("{name: demo, requires: {db: {interface: pg}}}", None, None, None)?;
/// let state = State::new(&meta).with_relation(Relation::new("db", 4, "pg", "postgres"));
/// let mut session = Session::new(Arc::new(meta), state, Event::Install);
/// let words = ["relation-ids", "db", "--format=json"].map(str::to_owned);
/// assert_eq!(session.call(&words, None, Path::new("/")).stdout, b"[\"db:4\"]\n");
/// # Ok::<(), juju_sim::MetaError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    meta: Arc<CharmMeta>,
    state: State,
    event: Event,
    pub(crate) pending: Pending,
    pub(crate) status_cache: Option<Status>,
    pub(crate) action: ActionResult,
    unit_statuses: Vec<Status>,
    app_statuses: Vec<Status>,
    workload_versions: Vec<String>,
    denied: bool,
    secret_numbers: u64,
    clock: u64,
    root: PathBuf,
    logs: Vec<LogLine>,
    calls: Vec<CallRecord>,
}

impl Session {
    /// Begins a hook.
    #[must_use]
    pub fn new(meta: Arc<CharmMeta>, state: State, event: Event) -> Self {
        Self {
            meta,
            state,
            event,
            pending: Pending::default(),
            status_cache: None,
            action: ActionResult::default(),
            unit_statuses: Vec::new(),
            app_statuses: Vec::new(),
            workload_versions: Vec::new(),
            denied: false,
            secret_numbers: 0,
            clock: 1_767_323_045,
            root: "/".into(),
            logs: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Makes the ids of new secrets begin after `base`, so that several sessions of one model never invent the same.
    /// An id that the state already holds is never given out.
    #[must_use]
    pub fn with_secret_base(mut self, base: u64) -> Self {
        self.secret_numbers = base;
        self
    }

    /// Sets the time (seconds since 1970) that relative expiry times of secrets count from. Without it, it is always
    /// the same second of January 2026, so that a hook's outcome depends on its input only.
    #[must_use]
    pub fn with_clock(mut self, unix_seconds: u64) -> Self {
        self.clock = unix_seconds;
        self
    }

    /// Sets the root of the file system that the charm sees: absolute file names in its calls count from there.
    #[must_use]
    pub fn with_root(mut self, root: PathBuf) -> Self {
        self.root = root;
        self
    }

    /// Where a file of the charm lies for this process.
    pub(crate) fn file(&self, name: &Path) -> PathBuf {
        name.strip_prefix("/").map_or_else(|_| name.to_owned(), |inside| self.root.join(inside))
    }

    /// The charm's declarations.
    #[must_use]
    pub fn meta(&self) -> &CharmMeta {
        &self.meta
    }

    /// The state now: as it was, plus what took effect at once. Pending writes are not in it.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// What is running.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Gives or takes leadership in the middle of the hook.
    pub fn set_leader(&mut self, leader: bool) {
        self.state.leader = leader;
    }

    /// The log so far.
    #[must_use]
    pub fn logs(&self) -> &[LogLine] {
        &self.logs
    }

    /// Takes a status that the charm set; it counts at once.
    pub(crate) fn set_status(&mut self, application: bool, status: Status) {
        let (now, history) = if application {
            (&mut self.state.app_status, &mut self.app_statuses)
        } else {
            (&mut self.state.unit_status, &mut self.unit_statuses)
        };
        now.clone_from(&status);
        history.push(status);
    }

    /// Takes the workload's version that the charm set; it counts at once.
    pub(crate) fn set_workload_version(&mut self, version: &str) {
        version.clone_into(&mut self.state.workload_version);
        self.workload_versions.push(version.to_owned());
    }

    /// Whether the unit leads, as this hook is told: a no stays one, a yes is claimed anew each time.
    pub(crate) fn leads(&mut self) -> bool {
        self.denied |= !self.state.leader;
        !self.denied
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> &[CallRecord] {
        &self.calls
    }

    /// Results, messages and failure of the running action so far.
    #[must_use]
    pub fn action_so_far(&self) -> &ActionResult {
        &self.action
    }

    /// Answers one hook tool call. `argv[0]` is the tool; `stdin` is read by `--file -` only
    /// ([`tools::wants_stdin`]); relative file names count from `cwd`.
    pub fn call(&mut self, argv: &[String], stdin: Option<&[u8]>, cwd: &Path) -> ToolOutput {
        let output = tools::run(self, argv, stdin, cwd);
        if let Some((tool, rest)) = argv.split_first() {
            let kind = tools::kind(tool);
            self.calls.push(CallRecord { tool: tool.clone(), args: rest.to_vec(), kind, code: output.code });
        }
        output
    }

    /// Adds a line to the unit's log.
    pub fn log(&mut self, level: &str, module: &str, message: &str) {
        let (level, module, message) = (level.to_owned(), module.to_owned(), message.to_owned());
        self.logs.push(LogLine { level, module, message });
    }

    /// The environment of the hook's process: exactly these variables, nothing inherited.
    #[must_use]
    pub fn environment(&self, paths: &AgentPaths) -> BTreeMap<String, String> {
        let state = &self.state;
        let name = self.event.hook_name();
        let action = self.event.is_action();
        let charm_dir = paths.charm_dir.display().to_string();
        let path = format!("{}:{}", paths.tools_dir.display(), paths.path);
        let context = format!("{}-{name}-{}", state.unit, paths.nonce);
        let dispatch = format!("{}/{name}", if action { "actions" } else { "hooks" });
        let socket = paths.socket.display().to_string();
        let api = state.api_addresses.join(" ");
        let hook = if action { "" } else { &name };
        let mut env: BTreeMap<String, String> = [
            ("APT_LISTCHANGES_FRONTEND", "none"),
            ("CHARM_DIR", &charm_dir),
            ("CLOUD_API_VERSION", "1.32.0"),
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("JUJU_AGENT_SOCKET_ADDRESS", &socket),
            ("JUJU_AGENT_SOCKET_NETWORK", "unix"),
            ("JUJU_API_ADDRESSES", &api),
            ("JUJU_AVAILABILITY_ZONE", &state.availability_zone),
            ("JUJU_CHARM_DIR", &charm_dir),
            ("JUJU_CHARM_FTP_PROXY", ""),
            ("JUJU_CHARM_HTTPS_PROXY", ""),
            ("JUJU_CHARM_HTTP_PROXY", ""),
            ("JUJU_CHARM_NO_PROXY", ""),
            ("JUJU_CONTEXT_ID", &context),
            ("JUJU_DISPATCH_PATH", &dispatch),
            ("JUJU_HOOK_NAME", hook),
            ("JUJU_MACHINE_ID", &state.machine),
            ("JUJU_MODEL_NAME", &state.model.name),
            ("JUJU_MODEL_UUID", &state.model.uuid),
            ("JUJU_PRINCIPAL_UNIT", ""),
            ("JUJU_UNIT_NAME", &state.unit),
            ("JUJU_VERSION", &state.juju_version),
            ("LANG", "C.UTF-8"),
            ("PATH", &path),
            ("TERM", "tmux-256color"),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        if tools::version(&state.juju_version).major < 4 {
            env.insert("JUJU_SLA".to_owned(), "unsupported".to_owned());
        } else if let Some(trace) = &state.trace {
            env.insert("JUJU_TRACE_ID".to_owned(), trace.trace_id.clone());
            env.insert("JUJU_SPAN_ID".to_owned(), trace.span_id.clone());
            env.insert("JUJU_TRACE_FLAGS".to_owned(), trace.flags.to_string());
        }
        self.event_variables(&mut env);
        env
    }

    fn event_variables(&self, env: &mut BTreeMap<String, String>) {
        let mut set = |key: &str, value: &str| env.insert(key.to_owned(), value.to_owned());
        if let Some(event) = self.event.as_relation() {
            set("JUJU_RELATION", &event.endpoint);
            set("JUJU_RELATION_ID", &format!("{}:{}", event.endpoint, event.id));
            let from_unit = event.unit.as_deref().and_then(|unit| unit.split('/').next());
            let from_state = self.state.relation_by_id(event.id).map(|relation| relation.remote_app.as_str());
            set("JUJU_REMOTE_APP", from_state.or(from_unit).unwrap_or_default());
            set("JUJU_REMOTE_UNIT", event.unit.as_deref().unwrap_or_default());
            if let (Event::RelationDeparted(_), Some(departing)) = (&self.event, &event.departing) {
                set("JUJU_DEPARTING_UNIT", departing);
            }
        }
        if let Some(container) = self.event.as_container() {
            set("JUJU_WORKLOAD_NAME", container);
        }
        if let Some(secret) = self.event.as_secret() {
            set("JUJU_SECRET_ID", &secret.uri);
            set("JUJU_SECRET_LABEL", &secret.label);
            if let Some(revision) = secret.revision {
                set("JUJU_SECRET_REVISION", &revision.to_string());
            }
        }
        if let Some(id) = self.event.as_storage() {
            let storage = self.state.storages.get(id);
            set("JUJU_STORAGE_ID", id);
            set("JUJU_STORAGE_KIND", storage.map_or("filesystem", |storage| &storage.kind));
            set("JUJU_STORAGE_LOCATION", storage.map_or("", |storage| &storage.location));
        }
        match &self.event {
            Event::PreSeriesUpgrade(base) => {
                set("JUJU_TARGET_BASE", base);
            }
            Event::PebbleCustomNotice(_, notice) => {
                set("JUJU_NOTICE_ID", &notice.id);
                set("JUJU_NOTICE_TYPE", &notice.kind);
                set("JUJU_NOTICE_KEY", &notice.key);
            }
            Event::PebbleCheckFailed(_, check) | Event::PebbleCheckRecovered(_, check) => {
                set("JUJU_PEBBLE_CHECK_NAME", check);
            }
            Event::Action { name, id, .. } => {
                set("JUJU_ACTION_NAME", name);
                set("JUJU_ACTION_UUID", id);
                set("JUJU_ACTION_TAG", &format!("action-{id}"));
            }
            _ => {}
        }
    }

    /// The relation's role on this side.
    pub(crate) fn role(&self, relation: &Relation) -> Option<Role> {
        if relation.peer { Some(Role::Peer) } else { self.meta.role(&relation.endpoint) }
    }

    /// Units that `relation-list` shows: not the one that leaves now, and none in `broken`.
    pub(crate) fn members<'a>(&self, relation: &'a Relation) -> Vec<&'a str> {
        let leaving = match &self.event {
            Event::RelationBroken(event) if event.id == relation.id => return Vec::new(),
            Event::RelationDeparted(event) if event.id == relation.id => event.unit.as_deref(),
            _ => None,
        };
        relation.remote_units.keys().map(String::as_str).filter(|unit| Some(*unit) != leaving).collect()
    }

    /// Whether `relation-ids` leaves the relation out: broken now, or dying without units.
    pub(crate) fn hides(&self, relation: &Relation) -> bool {
        let broken = matches!(&self.event, Event::RelationBroken(event) if event.id == relation.id);
        broken || (relation.dying && self.members(relation).is_empty())
    }

    pub(crate) fn next_secret_id(&mut self) -> String {
        loop {
            self.secret_numbers += 10;
            let id = format!("d0neu{:015}", self.secret_numbers);
            if self.state.secret(&id).is_none() {
                return id;
            }
        }
    }

    /// The session's clock plus a duration, in RFC 3339.
    pub(crate) fn time_after(&self, duration: Duration) -> String {
        let now = self.clock + duration.as_secs();
        let (days, second) = (now / 86_400, now % 86_400);
        // Days since 1970 to a date, counting years from March so that the leap day comes last.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = year_of_era + era * 400 + carry;
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }

    /// Ends the hook. `exit_ok` says whether the charm's process ended with 0.
    #[must_use]
    pub fn finish(mut self, exit_ok: bool) -> Finished {
        let mut action = self.event.is_action().then(|| std::mem::take(&mut self.action));
        let (commit, error) = if exit_ok {
            let commit = self.commit();
            if let Some(error) = self.refusal() {
                (commit, Some(error))
            } else {
                self.apply(&commit);
                (commit, None)
            }
        } else {
            (Commit::default(), None)
        };
        if let Some(action) = action.as_mut().filter(|_| error.is_some()) {
            action.failure = Some("committing requested changes failed".to_owned());
        }
        let Self { state, logs, calls, unit_statuses, app_statuses, workload_versions, .. } = self;
        Finished { state, commit, error, logs, action, calls, unit_statuses, app_statuses, workload_versions }
    }

    /// What the pending writes amount to.
    #[must_use]
    pub fn commit(&self) -> Commit {
        let pending = &self.pending;
        let whole = |committed: &Databag, writes: &Databag| -> Databag {
            let mut bag = committed.clone();
            bag.extend(writes.clone());
            bag
        };
        let changes = |writes: &Databag| -> BTreeMap<String, Option<String>> {
            let change = |value: &String| Some(value.clone()).filter(|value| !value.is_empty());
            writes.iter().map(|(key, value)| (key.clone(), change(value))).collect()
        };
        let relations = pending.relations.iter().filter_map(|(id, bags)| {
            let relation = self.state.relation_by_id(*id)?;
            let unit = (bags.unit_read || !bags.unit.is_empty())
                .then(|| whole(&relation.local_unit_data, &bags.unit));
            let app = (!bags.app.is_empty()).then(|| whole(&relation.local_app_data, &bags.app));
            Some(RelationWrite {
                endpoint: relation.endpoint.clone(),
                id: *id,
                unit,
                app,
                unit_changes: changes(&bags.unit),
                app_changes: changes(&bags.app),
            })
        });
        Commit {
            relations: relations.filter(|write| write.unit.is_some() || write.app.is_some()).collect(),
            open_ports: pending.open_ports.clone(),
            close_ports: pending.close_ports.clone(),
            unit_state: pending.unit_state.clone(),
            secret_creates: pending.secret_creates.clone(),
            secret_updates: pending.secret_updates.clone(),
            secret_track_latest: pending.secret_track_latest.clone(),
            secret_grants: pending.secret_grants.clone(),
            secret_revokes: pending.secret_revokes.clone(),
            secret_deletes: pending.secret_deletes.clone(),
            add_storage: pending.add_storage.clone(),
            update_network_info: self.event == Event::ConfigChanged,
        }
    }

    /// Why the controller would not take the commit.
    fn refusal(&self) -> Option<String> {
        let pending = &self.pending;
        let app_write = pending.relations.values().any(|bags| !bags.app.is_empty());
        if app_write && !self.state.leader {
            return Some(format!(
                "{} is not leader of {}",
                quoted(&self.state.unit),
                quoted(self.state.app())
            ));
        }
        let pods = self.state.model.kind == ModelKind::Kubernetes;
        if pods && pending.open_ports.iter().any(|change| change.port == "icmp") {
            return Some("protocol icmp on caas models not supported".to_owned());
        }
        if let Some(change) = pending
            .open_ports
            .iter()
            .find(|change| !change.endpoint.is_empty() && !self.meta.has_binding(&change.endpoint))
        {
            return Some(format!("open port range: endpoint {} not found", quoted(&change.endpoint)));
        }
        if pods && pending.reboot {
            return Some(format!("unit {} not assigned", quoted(&self.state.unit)));
        }
        if let Some((name, _)) = pending.add_storage.iter().find(|(name, _)| !self.knows_storage(name)) {
            return Some(format!("adding unit storage: charm storage {} not found", quoted(name)));
        }
        let label_taken = |create: &&SecretCreate| {
            let label = create.with.label.as_deref().unwrap_or_default();
            let taken = |secret: &Secret| secret.owner == create.owner && secret.label == label;
            !label.is_empty() && self.state.secrets.iter().any(taken)
        };
        if let Some(create) = pending.secret_creates.values().find(label_taken) {
            let label = create.with.label.as_deref().unwrap_or_default();
            return Some(format!("creating secrets: secret with label {} already exists", quoted(label)));
        }
        if !self.state.leader
            && pending.secret_creates.values().any(|create| create.owner == self.state.app_tag())
        {
            let (unit, app) = (quoted(&self.state.unit), quoted(self.state.app()));
            return Some(format!("creating secrets: {unit} is not leader of {app}"));
        }
        let updates = pending.secret_updates.keys().map(|id| ("updating secrets", id, false));
        let grants = pending.secret_grants.keys().map(|id| ("granting secrets access", id, false));
        let revokes = pending.secret_revokes.keys().map(|id| ("revoking secrets access", id, false));
        let deletes = pending.secret_deletes.keys().map(|id| ("removing secrets", id, true));
        let managed =
            updates.chain(grants).chain(revokes).chain(deletes).find_map(|(doing, id, missing_is_fine)| {
                Some(format!("{doing}: {}", self.may_not_manage(id, missing_is_fine)?))
            });
        managed.or_else(|| {
            let scopes = pending.secret_grants.values().flatten().map(|access| access.scope.as_str());
            let scope = scopes.into_iter().find(|scope| self.is_dying(scope))?;
            Some(format!(
                "granting secrets access: cannot grant access to secret in scope of {} which is not alive",
                quoted(scope)
            ))
        })
    }

    /// Whether a tag is that of a relation that is being removed.
    fn is_dying(&self, tag: &str) -> bool {
        let dying = self.state.relations.iter().filter(|relation| relation.dying);
        dying.into_iter().any(|relation| relation.tag(self.state.app(), self.role(relation)) == tag)
    }

    fn knows_storage(&self, name: &str) -> bool {
        let instance = |id: &String| id.split('/').next() == Some(name);
        self.meta.storage.contains_key(name) || self.state.storages.keys().any(instance)
    }

    fn may_not_manage(&self, id: &str, missing_is_fine: bool) -> Option<String> {
        if self.pending.secret_creates.contains_key(id) {
            return None;
        }
        match self.state.secret(id) {
            None if missing_is_fine => None,
            None => Some(format!("secret {} not found", quoted(&format!("secret:{id}")))),
            Some(secret) if secret.owner == self.state.unit_tag() => None,
            Some(secret) if secret.owner != self.state.app_tag() => Some("permission denied".to_owned()),
            Some(_) if self.state.leader => None,
            Some(_) => {
                Some(format!("{} is not leader of {}", quoted(&self.state.unit), quoted(self.state.app())))
            }
        }
    }

    fn apply(&mut self, commit: &Commit) {
        let state = &mut self.state;
        for write in &commit.relations {
            let Some(relation) = state.relations.iter_mut().find(|relation| relation.id == write.id) else {
                continue;
            };
            change_bag(&mut relation.local_unit_data, &write.unit_changes);
            change_bag(&mut relation.local_app_data, &write.app_changes);
        }
        for change in &commit.open_ports {
            if change.endpoint.is_empty() {
                state.opened_ports.insert(change.port.clone());
            } else {
                state.endpoint_ports.entry(change.endpoint.clone()).or_default().insert(change.port.clone());
            }
        }
        for change in &commit.close_ports {
            if change.endpoint.is_empty() {
                state.opened_ports.remove(&change.port);
            } else if let Some(ports) = state.endpoint_ports.get_mut(&change.endpoint) {
                ports.remove(&change.port);
            }
        }
        state.endpoint_ports.retain(|_, ports| !ports.is_empty());
        if let Some(unit_state) = &commit.unit_state {
            state.unit_state.clone_from(unit_state);
        }
        for (name, count) in &commit.add_storage {
            *state.requested_storages.entry(name.clone()).or_default() += count;
        }
        commit.apply_secrets(&mut state.secrets);
    }
}

impl Commit {
    /// Carries the secrets' part out on a set of secrets.
    pub fn apply_secrets(&self, secrets: &mut Vec<Secret>) {
        for (id, create) in &self.secret_creates {
            let mut secret = Secret { id: id.clone(), owner: create.owner.clone(), ..Secret::default() };
            create.with.apply(&mut secret);
            secrets.push(secret);
        }
        for secret in secrets.iter_mut() {
            if let Some(update) = self.secret_updates.get(&secret.id) {
                update.apply(secret);
            }
            if self.secret_track_latest.contains(&secret.id) {
                secret.tracked = Some(secret.latest());
            }
            if let Some(grants) = self.secret_grants.get(&secret.id) {
                secret.access.extend(grants.iter().cloned());
            }
            if let Some(targets) = self.secret_revokes.get(&secret.id) {
                secret.access.retain(|access| !targets.contains(&access.target));
            }
            match self.secret_deletes.get(&secret.id) {
                Some(Some(revisions)) => secret.revisions.retain(|number, _| !revisions.contains(number)),
                Some(None) => secret.revisions.clear(),
                None => {}
            }
        }
        secrets.retain(|secret| !secret.revisions.is_empty());
    }
}

impl SecretUpdate {
    fn apply(&self, secret: &mut Secret) {
        if let Some(label) = &self.label {
            secret.label.clone_from(label);
        }
        if let Some(description) = &self.description {
            secret.description.clone_from(description);
        }
        if let Some(rotate) = &self.rotate {
            secret.rotate.clone_from(rotate);
        }
        if self.expire.is_some() {
            secret.expire.clone_from(&self.expire);
        }
        if let Some(content) = &self.content {
            secret.revisions.insert(secret.latest() + 1, content.clone());
        }
    }
}

fn change_bag(bag: &mut Databag, changes: &BTreeMap<String, Option<String>>) {
    for (key, value) in changes {
        match value {
            Some(value) => bag.insert(key.clone(), value.clone()),
            None => bag.remove(key),
        };
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{CloudSpec, Credential, Trace};

    fn meta() -> Arc<CharmMeta> {
        let text = "
name: web
requires: {db: {interface: pg}}
peers: {peers: {interface: p}}
storage: {data: {type: filesystem}}
actions: {show: {params: {size: {type: integer, default: 3}}}}
";
        Arc::new(CharmMeta::from_texts("", Some(text), None, None).unwrap())
    }

    fn state() -> State {
        State::new(&meta()).with_leader(true).with_relation(Relation::new("db", 4, "pg", "postgres"))
    }

    fn session(event: Event) -> Session {
        Session::new(meta(), state(), event)
    }

    /// Words are divided by blanks.
    #[track_caller]
    fn ok(session: &mut Session, line: &str) -> String {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let output = session.call(&argv, None, Path::new("/"));
        assert_eq!(output.code, 0, "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn leadership_lost_before_the_end_fails_the_hook() {
        let mut session = session(Event::Start);
        ok(&mut session, "relation-set -r db:4 --app k=v");
        ok(&mut session, "relation-set -r db:4 k=v");
        ok(&mut session, "status-set active");
        session.set_leader(false);
        let finished = session.finish(true);
        assert_eq!(finished.error.as_deref(), Some("\"web/0\" is not leader of \"web\""));
        let relation = finished.state.relation("db", 4).unwrap();
        assert!(relation.local_app_data.is_empty() && relation.local_unit_data.is_empty(), "all or nothing");
        assert!(finished.state.unit_status.is_active(), "but statuses are not taken back");
    }

    #[test]
    fn a_no_to_is_leader_stays_one() {
        let mut session = session(Event::Start);
        assert_eq!(ok(&mut session, "is-leader"), "True");
        session.set_leader(false);
        assert_eq!(ok(&mut session, "is-leader"), "False");
        session.set_leader(true);
        assert_eq!(ok(&mut session, "is-leader"), "False");
    }

    #[test]
    fn a_secret_lives_from_add_to_remove() {
        let mut first = session(Event::Start);
        let uri = ok(&mut first, "secret-add --label login --expire 1h password=one");
        ok(&mut first, &format!("secret-grant {uri} -r db:4"));
        let state = first.finish(true).state;
        let secret = state.secret_by_label("login").unwrap();
        assert_eq!(secret.uri(), uri);
        assert_eq!(secret.expire.as_deref(), Some("2026-01-02T04:04:05Z"));
        let granted: Vec<_> = secret.access.iter().map(|access| access.target.as_str()).collect();
        assert_eq!(granted, ["application-postgres"]);

        let mut second = Session::new(meta(), state, Event::UpdateStatus);
        assert_eq!(ok(&mut second, &format!("secret-get {uri} password")), "one");
        ok(&mut second, &format!("secret-set {uri} password=two"));
        assert_eq!(ok(&mut second, "secret-get --label login --peek password"), "two");
        ok(&mut second, &format!("secret-revoke {uri} --app postgres"));
        assert_ne!(ok(&mut second, "secret-add another=x"), uri, "ids are not given twice");
        let state = second.finish(true).state;
        let secret = state.secret_by_label("login").unwrap();
        assert_eq!((secret.latest(), secret.tracked), (2, Some(1)));
        assert!(secret.access.is_empty());

        let mut third = Session::new(meta(), state, Event::UpdateStatus);
        assert_eq!(ok(&mut third, "secret-get --label login password"), "one");
        assert_eq!(ok(&mut third, "secret-get --label login --refresh password"), "two");
        ok(&mut third, &format!("secret-remove {uri} --revision 1"));
        let state = third.finish(true).state;
        assert_eq!(
            state.secret_by_label("login").unwrap().revisions.keys().copied().collect::<Vec<_>>(),
            [2]
        );

        let mut fourth = Session::new(meta(), state, Event::UpdateStatus);
        ok(&mut fourth, &format!("secret-remove {uri}"));
        assert!(fourth.finish(true).state.secret_by_label("login").is_none());
    }

    #[test]
    fn ports_and_storage_are_checked_when_the_hook_ends() {
        let mut session = session(Event::Start);
        ok(&mut session, "open-port 80");
        ok(&mut session, "open-port --endpoints db 81");
        ok(&mut session, "storage-add data=2");
        let state = session.clone().finish(true).state;
        assert_eq!(state.opened_ports, ["80/tcp".to_owned()].into());
        assert_eq!(state.endpoint_ports["db"], ["81/tcp".to_owned()].into());
        assert_eq!(state.requested_storages["data"], 2);
        let mut again = Session::new(meta(), state, Event::Start);
        ok(&mut again, "close-port 80");
        ok(&mut again, "close-port --endpoints db 81");
        let state = again.finish(true).state;
        assert!(state.opened_ports.is_empty() && state.endpoint_ports.is_empty());

        let mut wrong_endpoint = session.clone();
        ok(&mut wrong_endpoint, "open-port --endpoints dbs 81");
        assert!(wrong_endpoint.finish(true).error.unwrap().contains("\"dbs\" not found"));
        ok(&mut session, "storage-add date");
        assert!(session.finish(true).error.unwrap().contains("\"date\" not found"));
    }

    #[test]
    fn an_action_whose_writes_are_refused_fails() {
        let mut session = session(Event::action("show", []));
        assert_eq!(ok(&mut session, "action-get size"), "3");
        ok(&mut session, "action-set done=yes");
        ok(&mut session, "open-port icmp");
        let action = session.finish(true).action.unwrap();
        assert_eq!(action.failure.as_deref(), Some("committing requested changes failed"));
        assert_eq!(action.results["done"], "yes");
    }

    fn paths() -> AgentPaths {
        AgentPaths {
            charm_dir: "/charm".into(),
            socket: "/agent.socket".into(),
            tools_dir: "/tools".into(),
            path: "/bin".into(),
            nonce: "0".repeat(32),
        }
    }

    /// Exit code and what was printed, on either stream.
    fn tried(session: &mut Session, line: &str) -> (i32, String) {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let output = session.call(&argv, None, Path::new("/"));
        let text = [output.stdout, output.stderr].concat();
        (output.code, String::from_utf8(text).unwrap().trim_end().to_owned())
    }

    #[test]
    fn hooks_of_juju_4_have_other_variables() {
        let trace = Trace { trace_id: "a".repeat(32), span_id: "b".repeat(16), flags: 1 };
        let environment = |state: State| Session::new(meta(), state, Event::Start).environment(&paths());
        let three = environment(state());
        assert_eq!((three["JUJU_SLA"].as_str(), three["JUJU_VERSION"].as_str()), ("unsupported", "3.6.26"));
        let four = environment(state().with_juju_version("4.0.1"));
        let missing: Vec<_> = three.keys().filter(|name| !four.contains_key(*name)).collect();
        assert_eq!(missing, ["JUJU_SLA"]);
        assert!(four.keys().all(|name| three.contains_key(name)));
        let traced = environment(State { trace: Some(trace), ..state().with_juju_version("4.0.1") });
        let added: Vec<_> = traced.iter().filter(|(name, _)| !four.contains_key(*name)).collect();
        let text = |name: &str| name.to_owned();
        assert_eq!(
            added,
            [
                (&text("JUJU_SPAN_ID"), &"b".repeat(16)),
                (&text("JUJU_TRACE_FLAGS"), &text("1")),
                (&text("JUJU_TRACE_ID"), &"a".repeat(32)),
            ]
        );
    }

    #[test]
    fn leader_settings_went_with_juju_4() {
        let mut three = session(Event::Start);
        assert_eq!(tried(&mut three, "leader-set a=b"), (0, String::new()));
        assert_eq!(tried(&mut three, "leader-get a"), (0, "b".to_owned()));
        let mut four = Session::new(meta(), state().with_juju_version("4.0.0"), Event::Start);
        for tool in ["leader-set a=b", "leader-get a"] {
            let (code, text) = tried(&mut four, tool);
            let name = tool.split(' ').next().unwrap();
            assert_eq!((code, text), (1, format!("ERROR bad request: unknown command: {name}")));
        }
        // Nothing kept is no value, with both.
        assert_eq!(ok(&mut three, "state-get --format=json"), "null");
        assert_eq!(ok(&mut four, "state-get --format=json"), "null");
    }

    #[test]
    fn trusted_applications_are_told_of_the_cloud() {
        let credential = Credential {
            auth_type: "oauth2".into(),
            attrs: [("Token".to_owned(), "hunter22".to_owned())].into(),
            redacted: Vec::new(),
        };
        assert!(!format!("{credential:?}").contains("hunter22"));
        let cloud = CloudSpec {
            kind: "kubernetes".into(),
            name: "here".into(),
            endpoint: Some("https://10.0.0.1:6443".into()),
            credential: Some(credential),
            is_controller_cloud: true,
            ..CloudSpec::default()
        };
        let mut trusted = Session::new(meta(), state().with_cloud(cloud), Event::Start);
        assert_eq!(
            ok(&mut trusted, "credential-get --format=json"),
            r#"{"type":"kubernetes","name":"here","endpoint":"https://10.0.0.1:6443","credential":{"auth-type":"oauth2","attrs":{"Token":"hunter22"}},"is-controller-cloud":true}"#
        );
        let (code, text) = tried(&mut session(Event::Start), "credential-get");
        assert_eq!(code, 1);
        assert!(text.contains("permission denied"), "{text}");
    }

    #[test]
    fn machines_open_ranges_and_have_private_addresses() {
        let mut machine = State { machine: "3".into(), availability_zone: "east".into(), ..state() };
        machine.model.kind = ModelKind::Lxd;
        let mut session = Session::new(meta(), machine, Event::PreSeriesUpgrade("ubuntu@24.04".into()));
        let env = session.environment(&paths());
        assert_eq!((env["JUJU_MACHINE_ID"].as_str(), env["JUJU_AVAILABILITY_ZONE"].as_str()), ("3", "east"));
        assert_eq!(env["JUJU_TARGET_BASE"], "ubuntu@24.04");
        assert_eq!(ok(&mut session, "unit-get private-address"), "192.0.2.1");
        ok(&mut session, "open-port 8000-8010");
        ok(&mut session, "open-port icmp");
        let opened = session.finish(true).state.opened_ports;
        assert_eq!(opened, ["8000-8010/tcp".to_owned(), "icmp".to_owned()].into());
    }

    #[test]
    fn calls_know_their_relation() {
        let of = |line: &str| {
            let mut session = session(Event::Start);
            tried(&mut session, line);
            session.calls()[0].relation()
        };
        assert_eq!(of("relation-get -r db:4 - postgres/0"), Some(4));
        assert_eq!(of("relation-get --relation=4 -"), Some(4));
        assert_eq!(of("network-get db -r 4"), Some(4));
        assert_eq!(of("relation-set -- -r=4"), None);
        assert_eq!(of("relation-ids db"), None);
    }

    #[test]
    fn the_clock_is_that_of_the_session() {
        let at = |seconds| session(Event::Start).with_clock(seconds).time_after(Duration::ZERO);
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(at(4_102_444_799), "2099-12-31T23:59:59Z");
    }
}
