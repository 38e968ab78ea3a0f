//! What a unit keeps at the controller.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Hook,
    hook::lock,
    relation::yaml_safe,
    tools::{ToolCall, ToolError},
};

/// Longest key, in characters.
const LONGEST_KEY: usize = 256;
/// Longest value, in characters of its JSON text.
pub(crate) const LONGEST_VALUE: usize = 65_536;
/// What keys of this crate's own begin with.
pub(crate) const OWN_PREFIX: &str = "unit-data.";

/// Values that this unit keeps at the controller from one hook to the next.
///
/// Each is a JSON value under a key of at most 256 characters, and its text has at most 65 536. The controller bounds all of
/// them together, normally to 2 MiB, and every change sends all of them: this is a place for a few small notes. Keys that
/// begin with `unit-data.` are this crate's own.
///
/// **Look twice before you keep anything here.** What can be observed need not be remembered, and what is remembered can be
/// wrong: after a restored backup, after a revision of the charm that wrote something else, after somebody's repair by hand.
/// Each unit has its own values and sees no others; what an application has to know belongs into the databag of a peer
/// relation. It is no place for secrets either, since Juju has one.
///
/// Reads ask the agent once per hook. Changes are planned, seen by later reads, and sent together by [`Hook::commit`], only
/// where they differ. They are kept if the hook succeeds, in one transaction with databags, ports and secrets, so what is
/// written here about a databag is as true as the databag.
///
/// ```no_run
/// # async fn example(hook: &juju_ops::Hook) -> Result<(), juju_ops::Error> {
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Backup {
///     taken_at: i64,
/// }
///
/// let state = hook.state();
/// if state.get::<Backup>("backup").await?.is_none() {
///     state.set("backup", &Backup { taken_at: 1_790_000_000 })?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct UnitState<'h> {
    hook: &'h Hook,
}

/// A value cannot be kept, or is not what it was thought to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The agent refused.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The value under a key has another shape than the charm expects.
    #[error("unit state {key}: {reason}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with the value, without the value.
        reason: String,
    },
    /// A key that Juju does not take, or one of this crate's own.
    #[error("unit state: key {0:?} is empty, longer than 256 characters, or begins with unit-data.")]
    Key(String),
    /// A value that is longer than Juju takes, or has no JSON form.
    #[error("unit state {key}: cannot be kept: {reason}")]
    Unfit {
        /// The key.
        key: String,
        /// Why not.
        reason: String,
    },
}

impl<'h> UnitState<'h> {
    pub(crate) fn new(hook: &'h Hook) -> Self {
        Self { hook }
    }

    /// The value of a key as it will be after the hook; `None` if there is none.
    ///
    /// # Errors
    /// If the agent refuses, or the value has another shape than `T`.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StateError> {
        let memory = self.hook.unit_state();
        let planned = lock(&memory.planned).get(key).cloned();
        let text = match planned {
            Some(planned) => planned,
            None => memory.stored(self.hook).await?.get(key).cloned(),
        };
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| StateError::Value {
            key: key.to_owned(),
            // serde's own words may repeat the value.
            reason: format!("{:?} error at column {}", error.classify(), error.column()),
        })
    }

    /// The keys that have a value, as they will be after the hook; without this crate's own.
    ///
    /// # Errors
    /// If the agent refuses.
    pub async fn keys(&self) -> Result<Vec<String>, StateError> {
        let memory = self.hook.unit_state();
        let mut all = (*memory.stored(self.hook).await?).clone();
        for (key, value) in &*lock(&memory.planned) {
            match value {
                Some(value) => all.insert(key.clone(), value.clone()),
                None => all.remove(key),
            };
        }
        Ok(all.into_keys().filter(|key| !key.starts_with(OWN_PREFIX)).collect())
    }

    /// Plans to keep a value.
    ///
    /// # Errors
    /// If Juju would not take the key or the value.
    pub fn set(&self, key: &str, value: &impl Serialize) -> Result<(), StateError> {
        checked_key(key)?;
        let unfit = |reason: String| StateError::Unfit { key: key.to_owned(), reason };
        let text = serde_json::to_string(value).map_err(|error| unfit(error.to_string()))?;
        let length = text.chars().count();
        if length > LONGEST_VALUE {
            return Err(unfit(format!("{length} characters of JSON, and Juju takes {LONGEST_VALUE}")));
        }
        self.hook.unit_state().plan(key, Some(text));
        Ok(())
    }

    /// Plans to forget a value; a key without one is no error.
    ///
    /// # Errors
    /// If it is a key that Juju does not take, or one of this crate's own.
    pub fn delete(&self, key: &str) -> Result<(), StateError> {
        checked_key(key)?;
        self.hook.unit_state().plan(key, None);
        Ok(())
    }
}

fn checked_key(key: &str) -> Result<(), StateError> {
    if key.is_empty() || key.chars().count() > LONGEST_KEY || key.starts_with(OWN_PREFIX) {
        return Err(StateError::Key(key.chars().take(40).collect()));
    }
    Ok(())
}

/// All of it, as texts: what the agent has told, and what is to be changed.
#[derive(Default)]
pub(crate) struct Kept {
    stored: tokio::sync::Mutex<Option<Arc<BTreeMap<String, String>>>>,
    planned: Mutex<BTreeMap<String, Option<String>>>,
}

impl Kept {
    /// What the agent has, asked for once.
    pub(crate) async fn stored(&self, hook: &Hook) -> Result<Arc<BTreeMap<String, String>>, ToolError> {
        let mut stored = self.stored.lock().await;
        if let Some(stored) = &*stored {
            return Ok(stored.clone());
        }
        // Juju prints null for nothing at all.
        let all: Option<BTreeMap<String, String>> =
            hook.ask("state-get", ["--format=json".to_owned()]).await?;
        Ok(stored.insert(Arc::new(all.unwrap_or_default())).clone())
    }

    pub(crate) fn plan(&self, key: &str, value: Option<String>) {
        lock(&self.planned).insert(key.to_owned(), value);
    }

    /// Sends what differs.
    pub(crate) async fn send(&self, hook: &Hook) -> Result<(), ToolError> {
        let planned = lock(&self.planned).clone();
        if planned.is_empty() {
            return Ok(());
        }
        let mut now = (*self.stored(hook).await?).clone();
        let mut set = BTreeMap::new();
        for (key, value) in planned {
            match value {
                Some(value) if now.get(&key) != Some(&value) => {
                    set.insert(key, value);
                }
                Some(_) => {}
                None => {
                    if now.remove(&key).is_some() {
                        hook.change(ToolCall::new("state-delete", ["--", key.as_str()])).await?;
                    }
                }
            }
        }
        if !set.is_empty() {
            hook.change(state_set(&set)?).await?;
            now.extend(set);
        }
        *self.stored.lock().await = Some(Arc::new(now));
        self.discard();
        Ok(())
    }

    pub(crate) fn discard(&self) {
        lock(&self.planned).clear();
    }
}

/// Builds the `state-set` call; the agent reads its input as YAML 1.1, as that of `relation-set`.
fn state_set(values: &BTreeMap<String, String>) -> Result<ToolCall, ToolError> {
    let tool = "state-set";
    let json = serde_json::to_string(values)
        .map_err(|error| ToolError::Invalid { tool, reason: error.to_string() })?;
    Ok(ToolCall::new(tool, ["--file", "-"]).with_stdin(yaml_safe(&json).into_bytes()))
}
