//! One run of the charm: what it may ask and what it may change.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::try_join_all;
use juju_pebble::Pebble;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::{
    action::Action,
    apps::Apps,
    copies::Copies,
    databag::is_juju_key,
    env::HookEnv,
    event::Event,
    leader::Lease,
    names::RelationId,
    relation::{Relation, Scope, relation_set},
    secrets::Secrets,
    security::Watched,
    state::{Kept, UnitState},
    status::Status,
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
    tools: Arc<Watched>,
    containers: Containers,
    reads: Mutex<HashMap<String, Arc<OnceCell<Vec<u8>>>>>,
    writes: Mutex<BTreeMap<(RelationId, Scope), Changes>>,
    statuses: Mutex<BTreeMap<Scope, Status>>,
    lease: Lease,
    kept: Kept,
    copies: Copies,
    apps: Apps,
    #[cfg(feature = "traces")]
    traces: crate::traces::Wanted,
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

impl Hook {
    /// A hook with the given parts; a charm's `main` uses [`crate::run`] instead, tests and simulators use this.
    pub fn new(env: HookEnv, event: Event, tools: Arc<dyn HookTools>, containers: Containers) -> Self {
        let apps = Apps::of(&env);
        let inner = Inner {
            env,
            event,
            tools: Arc::new(Watched::new(tools)),
            containers,
            reads: Mutex::default(),
            writes: Mutex::default(),
            statuses: Mutex::default(),
            lease: Lease::default(),
            kept: Kept::default(),
            copies: Copies::default(),
            apps,
            #[cfg(feature = "traces")]
            traces: crate::traces::Wanted::default(),
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

    /// How many hook tools were called so far in this hook, those for the log left out. What is remembered costs no call.
    pub fn tool_calls(&self) -> u64 {
        self.inner.tools.calls()
    }

    /// Relations of an endpoint by ascending number, without one that is breaking.
    pub async fn relations(&self, endpoint: &str) -> Result<Vec<Relation>, ToolError> {
        let args = ["--format=json".to_owned(), "--".into(), endpoint.to_owned()];
        let mut ids: Vec<RelationId> = self.read("relation-ids", args).await?;
        ids.retain(|id| Some(id) != self.event().broken_relation());
        ids.sort();
        self.inner.apps.listed(endpoint, &ids);
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

    /// Shows the workload's version in `juju status`. Sent at once.
    pub async fn set_workload_version(&self, version: &str) -> Result<(), ToolError> {
        self.change(ToolCall::new("application-version-set", ["--", version])).await
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

    /// What this unit keeps at the controller from one hook to the next.
    pub fn state(&self) -> UnitState<'_> {
        UnitState::new(self)
    }

    /// Where the trace of this hook goes.
    #[cfg(feature = "traces")]
    pub fn traces(&self) -> crate::traces::Traces<'_> {
        crate::traces::Traces::new(self)
    }

    /// What was said about that.
    #[cfg(feature = "traces")]
    pub(crate) fn wanted(&self) -> &crate::traces::Wanted {
        &self.inner.traces
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
            // Juju's own keys change without us, so that only the databag itself tells what they are.
            let whole = keys.keys().any(|key| is_juju_key(key));
            if let Some(stored) = self.relation(relation.clone()).stored(scope, whole).await? {
                keys.retain(|key, value| stored.get(key).map(String::as_str) != text(value.as_ref()));
            }
            Ok(DatabagChange { relation, scope, keys })
        });
        let mut changes = try_join_all(changes).await?;
        changes.retain(|change| !change.keys.is_empty());
        Ok(changes)
    }

    /// Sends the planned writes: one call per databag, only with keys whose value differs, and one for what the unit
    /// [keeps](Hook::state).
    ///
    /// The agent itself passes them on when the hook exits with success. A relation that has gone in the meantime is
    /// left out.
    pub async fn commit(&self) -> Result<Written, ToolError> {
        let mut written = Written::default();
        let mut own = BTreeMap::new();
        for change in self.differences().await? {
            let taken = match self.change(relation_set(&change.relation, change.scope, &change.keys)?).await {
                Ok(()) => {
                    written.databags += 1;
                    written.keys += change.keys.len();
                    true
                }
                Err(error) if error.is_gone() => {
                    tracing::warn!("{} is gone, nothing is written to it: {error}", change.relation);
                    false
                }
                Err(error) => return Err(error),
            };
            if change.scope == Scope::Unit {
                own.insert(change.relation, taken.then_some(change.keys));
            }
        }
        self.inner.copies.follow(self, own).await?;
        self.inner.kept.send(self).await?;
        lock(&self.inner.writes).clear();
        self.forget("relation-get");
        self.inner.apps.save();
        Ok(written)
    }

    /// Drops planned writes, for a hook that is going to fail.
    pub fn discard(&self) {
        lock(&self.inner.writes).clear();
        self.inner.kept.discard();
    }

    /// Whoever runs the hook tools.
    pub(crate) fn tools(&self) -> &dyn HookTools {
        &*self.inner.tools
    }

    /// What the unit keeps, as texts.
    pub(crate) fn unit_state(&self) -> &Kept {
        &self.inner.kept
    }

    /// Copies of own unit databags.
    pub(crate) fn copies(&self) -> &Copies {
        &self.inner.copies
    }

    /// Names of other applications.
    pub(crate) fn apps(&self) -> &Apps {
        &self.inner.apps
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
        let answer = cell.get_or_try_init(|| checked(self.tools(), ToolCall::new(tool, args))).await?;
        decoded(tool, answer)
    }

    /// Runs a tool and decodes its JSON.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        tool: &'static str,
        args: impl IntoIterator<Item = String>,
    ) -> Result<T, ToolError> {
        decoded(tool, &checked(self.tools(), ToolCall::new(tool, args)).await?)
    }

    /// Runs a tool that changes something.
    pub(crate) async fn change(&self, call: ToolCall) -> Result<(), ToolError> {
        checked(self.tools(), call).await.map(drop)
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

    /// How long the last answer about leadership is good.
    pub(crate) fn lease(&self) -> &Lease {
        &self.inner.lease
    }

    /// The statuses that this hook has set.
    pub(crate) fn statuses(&self) -> MutexGuard<'_, BTreeMap<Scope, Status>> {
        lock(&self.inner.statuses)
    }

    pub(crate) fn planned_writes(&self, id: &RelationId, scope: Scope) -> Changes {
        let writes = lock(&self.inner.writes);
        let changes = writes.get(&(id.clone(), scope)).cloned().unwrap_or_default();
        // To Juju the empty text and no key are one.
        changes.into_iter().map(|(key, value)| (key, value.filter(|v| !v.is_empty()))).collect()
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

fn decoded<T: DeserializeOwned>(tool: &'static str, answer: &[u8]) -> Result<T, ToolError> {
    serde_json::from_slice(answer).map_err(|e| ToolError::Output { tool, reason: e.to_string() })
}

/// A lock whose holder panicked still guards good data: nothing here is left half-written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
