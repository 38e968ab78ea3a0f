//! One run of the charm: what it may ask and what it may change.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::try_join_all;
use juju_pebble::Pebble;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    action::Action,
    env::HookEnv,
    event::Event,
    names::RelationId,
    ports::Port,
    relation::{Relation, Scope, relation_set},
    secrets::Secrets,
    status::{AppStatus, Status, UnitStatus},
    tools::{HookTools, ToolCall, ToolError, checked},
};

/// Makes the Pebble client of a container from the container's name.
pub type Containers = Arc<dyn Fn(&str) -> Arc<dyn Pebble> + Send + Sync>;

type Changes = BTreeMap<String, Option<String>>;

/// One hook or action. Cheap to clone; every clone shares caches and planned writes.
///
/// Reads are sent to the agent once and remembered, because the agent itself keeps one snapshot for the whole hook.
/// Databag writes are planned and sent together by [`Hook::commit`].
#[derive(Clone)]
pub struct Hook {
    inner: Arc<Inner>,
}

struct Inner {
    env: HookEnv,
    event: Event,
    tools: Arc<dyn HookTools>,
    containers: Containers,
    reads: Mutex<HashMap<String, Arc<OnceCell<Value>>>>,
    writes: Mutex<BTreeMap<(RelationId, Scope), Changes>>,
    statuses: Mutex<BTreeMap<Scope, Status>>,
}

/// Changes of one databag. `Debug` shows the keys only: values may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabagChange {
    /// The relation.
    pub relation: RelationId,
    /// Whose databag on this side.
    pub scope: Scope,
    /// Keys with their new value; `None` or the empty text deletes.
    pub keys: BTreeMap<String, Option<String>>,
}

impl fmt::Debug for DatabagChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.relation, self.scope, self.keys.keys().collect::<Vec<_>>())
    }
}

/// How much [`Hook::commit`] had to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Databags with at least one change.
    pub databags: usize,
    /// Keys set or deleted.
    pub keys: usize,
}

/// Configuration that does not fit the type the charm reads it into.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `config-get` failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// An option has a value of the wrong kind.
    #[error("configuration option {option}: {reason}")]
    Option {
        /// Name of the option.
        option: String,
        /// What is wrong with its value.
        reason: String,
    },
}

impl Hook {
    /// A hook with the given parts; a charm's `main` uses [`crate::run`] instead, tests and simulators use this.
    pub fn new(env: HookEnv, event: Event, tools: Arc<dyn HookTools>, containers: Containers) -> Self {
        let inner = Inner {
            env,
            event,
            tools,
            containers,
            reads: Mutex::default(),
            writes: Mutex::default(),
            statuses: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Why the charm runs.
    pub fn event(&self) -> &Event {
        &self.inner.event
    }

    /// Who and where this unit is.
    pub fn env(&self) -> &HookEnv {
        &self.inner.env
    }

    /// Whether this unit leads its application. Juju guarantees a yes for 30 seconds.
    pub async fn is_leader(&self) -> Result<bool, ToolError> {
        self.read("is-leader", ["--format=json".to_owned()]).await
    }

    /// Configuration as a struct with one field per option. Options without value are absent.
    pub async fn config<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let value: Value = self.read("config-get", ["--format=json".to_owned()]).await?;
        serde_path_to_error::deserialize(value).map_err(|e| ConfigError::Option {
            option: e.path().to_string(),
            reason: e.into_inner().to_string(),
        })
    }

    /// Relations of an endpoint by ascending number, without one that is breaking.
    pub async fn relations(&self, endpoint: &str) -> Result<Vec<Relation>, ToolError> {
        let args = ["--format=json".to_owned(), "--".into(), endpoint.to_owned()];
        let mut ids: Vec<RelationId> = self.read("relation-ids", args).await?;
        ids.retain(|id| Some(id) != self.event().broken_relation());
        ids.sort();
        Ok(ids.into_iter().map(|id| self.relation(id)).collect())
    }

    /// A relation whose id is known already, without asking for the list again. Whether it (still) exists shows when it is
    /// used: then there is no data, and nothing is written.
    pub fn relation(&self, id: RelationId) -> Relation {
        Relation::new(self.clone(), id)
    }

    /// Pebble of a workload container. Nothing is asked of it before its first call.
    pub fn container(&self, name: &str) -> Arc<dyn Pebble> {
        (self.inner.containers)(name)
    }

    /// Sets the unit's status, unless it is that already.
    pub async fn set_unit_status(&self, status: &Status) -> Result<(), ToolError> {
        self.set_status(Scope::Unit, status).await
    }

    /// Sets the application's status, unless it is that already. Only the leader may.
    pub async fn set_app_status(&self, status: &Status) -> Result<(), ToolError> {
        self.set_status(Scope::App, status).await
    }

    /// Unit status *active*.
    pub async fn active(&self, message: impl Into<String> + Send) -> Result<(), ToolError> {
        self.set_unit_status(&Status::Active(message.into())).await
    }

    /// Unit status *waiting*: something else has to happen first.
    pub async fn waiting(&self, message: impl Into<String> + Send) -> Result<(), ToolError> {
        self.set_unit_status(&Status::Waiting(message.into())).await
    }

    /// Unit status *blocked*: only a person can help.
    pub async fn blocked(&self, message: impl Into<String> + Send) -> Result<(), ToolError> {
        self.set_unit_status(&Status::Blocked(message.into())).await
    }

    /// Shows the workload's version in `juju status`. Sent at once.
    pub async fn set_workload_version(&self, version: &str) -> Result<(), ToolError> {
        self.change(ToolCall::new("application-version-set", ["--", version])).await
    }

    /// Ports this unit has open. Ranges and ICMP, which Kubernetes refuses, are left out.
    pub async fn opened_ports(&self) -> Result<BTreeSet<Port>, ToolError> {
        let ports: Vec<String> = self.read("opened-ports", ["--format=json".to_owned()]).await?;
        Ok(ports.iter().filter_map(|port| port.parse().ok()).collect())
    }

    /// Opens and closes what differs, so that exactly `wanted` is open when the hook ends. Returns how many changed.
    pub async fn set_ports(&self, wanted: &BTreeSet<Port>) -> Result<usize, ToolError> {
        let open = self.opened_ports().await?;
        let calls = wanted
            .difference(&open)
            .map(|port| ("open-port", port))
            .chain(open.difference(wanted).map(|port| ("close-port", port)));
        let mut changed = 0;
        for (tool, port) in calls {
            self.change(ToolCall::new(tool, ["--".to_owned(), port.to_string()])).await?;
            changed += 1;
        }
        Ok(changed)
    }

    /// How many units the application is to have once everything that has been asked for is done: those that are there or
    /// coming, without those that are going.
    pub async fn planned_units(&self) -> Result<usize, ToolError> {
        Ok(self.goal_state().await?.units.values().filter(|unit| !unit.is_going()).count())
    }

    /// Whether an application that is related through an endpoint is on its way out: it has units, and all of them are
    /// going. Of applications in other models Juju does not tell.
    pub async fn is_going(&self, endpoint: &str, app: &str) -> Result<bool, ToolError> {
        let goal = self.goal_state().await?;
        let related = goal.relations.get(endpoint).into_iter().flatten();
        let is_its = |name: &str| name.split_once('/').is_some_and(|(owner, _)| owner == app);
        let mut units = related.filter(|(name, _)| is_its(name)).map(|(_, unit)| unit.is_going()).peekable();
        Ok(units.peek().is_some() && units.all(|going| going))
    }

    async fn goal_state(&self) -> Result<GoalState, ToolError> {
        self.read("goal-state", ["--format=json".to_owned()]).await
    }

    /// Juju secrets that this unit owns or was granted.
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets::new(self)
    }

    /// The action that is running, if the event is one.
    pub fn action(&self) -> Option<Action<'_>> {
        match self.event() {
            Event::Action(event) => Some(Action::new(self, event)),
            _ => None,
        }
    }

    /// What [`Hook::commit`] would send now: the planned writes whose value differs, by databag.
    pub async fn differences(&self) -> Result<Vec<DatabagChange>, ToolError> {
        let planned = lock(&self.inner.writes).clone();
        let changes = planned.into_iter().map(async |((relation, scope), mut keys)| {
            if let Some(stored) = self.relation(relation.clone()).stored(scope).await? {
                keys.retain(|key, value| stored.get(key).map(String::as_str) != text(value.as_ref()));
            }
            Ok(DatabagChange { relation, scope, keys })
        });
        let mut changes = try_join_all(changes).await?;
        changes.retain(|change| !change.keys.is_empty());
        Ok(changes)
    }

    /// Sends the planned databag writes: one call per databag, only with keys whose value differs.
    ///
    /// The agent itself passes them on when the hook exits with success. A relation that has gone in the meantime is
    /// left out.
    pub async fn commit(&self) -> Result<Written, ToolError> {
        let mut written = Written::default();
        for change in self.differences().await? {
            match self.change(relation_set(&change.relation, change.scope, &change.keys)?).await {
                Ok(()) => {
                    written.databags += 1;
                    written.keys += change.keys.len();
                }
                Err(error) if error.is_gone() => {
                    tracing::warn!("{} is gone, nothing is written to it: {error}", change.relation);
                }
                Err(error) => return Err(error),
            }
        }
        self.discard();
        self.forget("relation-get");
        Ok(written)
    }

    /// Drops planned databag writes, for a hook that is going to fail.
    pub fn discard(&self) {
        lock(&self.inner.writes).clear();
    }

    /// Whoever runs the hook tools.
    pub(crate) fn tools(&self) -> &Arc<dyn HookTools> {
        &self.inner.tools
    }

    /// Runs a tool and decodes its JSON; the answer is remembered for the rest of the hook.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        tool: &'static str,
        args: impl IntoIterator<Item = String>,
    ) -> Result<T, ToolError> {
        let args: Vec<String> = args.into_iter().collect();
        let key = std::iter::once(tool).chain(args.iter().map(String::as_str)).collect::<Vec<_>>().join("\0");
        let cell = lock(&self.inner.reads).entry(key).or_default().clone();
        let value = cell
            .get_or_try_init(async || {
                let stdout = checked(&**self.tools(), ToolCall::new(tool, args)).await?;
                serde_json::from_slice::<Value>(&stdout)
                    .map_err(|e| ToolError::Output { tool, reason: e.to_string() })
            })
            .await?;
        T::deserialize(value).map_err(|e| ToolError::Output { tool, reason: e.to_string() })
    }

    /// Runs a tool that changes something.
    pub(crate) async fn change(&self, call: ToolCall) -> Result<(), ToolError> {
        checked(&**self.tools(), call).await.map(drop)
    }

    /// Forgets what a tool answered, after its answer was changed.
    pub(crate) fn forget(&self, tool: &str) {
        let prefix = format!("{tool}\0");
        lock(&self.inner.reads).retain(|key, _| !key.starts_with(&prefix));
    }

    pub(crate) fn plan_write(
        &self,
        id: &RelationId,
        scope: Scope,
        data: impl IntoIterator<Item = (String, Option<String>)>,
    ) {
        lock(&self.inner.writes).entry((id.clone(), scope)).or_default().extend(data);
    }

    pub(crate) fn planned_writes(&self, id: &RelationId, scope: Scope) -> Changes {
        let writes = lock(&self.inner.writes);
        let changes = writes.get(&(id.clone(), scope)).cloned().unwrap_or_default();
        // To Juju the empty text and no key are one.
        changes.into_iter().map(|(key, value)| (key, value.filter(|v| !v.is_empty()))).collect()
    }

    async fn set_status(&self, scope: Scope, status: &Status) -> Result<(), ToolError> {
        if self.status(scope).await?.as_ref() == Some(status) {
            return Ok(());
        }
        let mut args: Vec<&str> = Vec::from(if scope == Scope::App { &["--application"][..] } else { &[] });
        args.extend(["--", status.kind()]);
        if !status.message().is_empty() {
            args.push(status.message());
        }
        self.change(ToolCall::new("status-set", args)).await?;
        lock(&self.inner.statuses).insert(scope, status.clone());
        Ok(())
    }

    /// The present status; `None` where it is one that a charm cannot set.
    async fn status(&self, scope: Scope) -> Result<Option<Status>, ToolError> {
        // The agent's own answer does not follow a status that this hook has set.
        if let Some(status) = lock(&self.inner.statuses).get(&scope) {
            return Ok(Some(status.clone()));
        }
        let mut args = vec!["--format=json".to_owned(), "--include-data".into()];
        let now = match scope {
            Scope::Unit => self.read::<UnitStatus>("status-get", args).await?,
            Scope::App => {
                args.push("--application".into());
                self.read::<AppStatus>("status-get", args).await?.application
            }
        };
        Ok(match now.status.as_str() {
            "active" => Some(Status::Active(now.message)),
            "waiting" => Some(Status::Waiting(now.message)),
            "blocked" => Some(Status::Blocked(now.message)),
            "maintenance" => Some(Status::Maintenance(now.message)),
            _ => None,
        })
    }
}

/// Who is there and who is to come, as Juju tells it.
#[derive(serde::Deserialize)]
struct GoalState {
    /// Units of the own application.
    #[serde(default)]
    units: BTreeMap<String, Goal>,
    /// Applications and their units, by endpoint.
    #[serde(default)]
    relations: BTreeMap<String, BTreeMap<String, Goal>>,
}

#[derive(serde::Deserialize)]
struct Goal {
    status: String,
}

impl Goal {
    fn is_going(&self) -> bool {
        self.status == "dying"
    }
}

/// What a planned value will be in the databag: the empty text deletes the key.
fn text(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|value| !value.is_empty())
}

/// A lock whose holder panicked still guards good data: nothing here is left half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
