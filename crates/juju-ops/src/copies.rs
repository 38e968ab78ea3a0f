//! Copies of this unit's own databags, which can be read for nothing.
//!
//! When a hook has read a databag of its own unit, the agent sends it back to the controller when the hook ends, whether
//! anything in it differs or not. So what this unit has written is kept a second time in the unit's state
//! ([`UnitState`](crate::UnitState)), under `unit-data.<number of the relation>`, and compared with that.
//!
//! A copy and its databag change in one transaction, so no hook that fails, and no flush that the controller refuses, can
//! part them. Whoever else writes the databag can: another revision of the charm that knows no copies, or a person with
//! `juju exec`. So the databag itself is read, and the copy put right, in `config-changed`, which comes after every change of
//! charm or address and sends something to the controller anyway, and in `upgrade-charm` and `start`, one of which is the first
//! hook of a changed charm. Where there is no copy, the databag is read, and then there is one.
//!
//! What Juju itself keeps in the databag is in no copy: it changes without us.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use crate::{
    Databag, Event, Hook, RelationId, Scope, ToolError,
    databag::is_juju_key,
    hook::lock,
    state::{LONGEST_VALUE, OWN_PREFIX},
};

/// Most bytes of all copies together: a quarter of what the controller normally takes of a unit.
const MOST: usize = 512 * 1024;

/// The databags themselves, as far as they were read in this hook.
#[derive(Default)]
pub(crate) struct Copies {
    read: Mutex<BTreeMap<RelationId, Option<Databag>>>,
}

impl Copies {
    /// This unit's databag without Juju's part; `None` where it cannot be read.
    pub(crate) async fn own(&self, hook: &Hook, id: &RelationId) -> Result<Option<Databag>, ToolError> {
        if !reads_itself(hook.event())
            && !lock(&self.read).contains_key(id)
            && let Some(copy) = copy(hook, id).await?
        {
            return Ok(Some(copy));
        }
        let unit = hook.env().unit.to_string();
        let bag = hook.relation(id.clone()).databag(&unit, Scope::Unit).await?.map(without_jujus);
        lock(&self.read).insert(id.clone(), bag.clone());
        Ok(bag)
    }

    /// Plans to keep what the databags are after `changes`, each with whether it still took them.
    pub(crate) async fn follow(
        &self,
        hook: &Hook,
        changes: BTreeMap<RelationId, Option<BTreeMap<String, Option<String>>>>,
    ) -> Result<(), ToolError> {
        let mut now = lock(&self.read).clone();
        for (id, keys) in changes {
            let mut bag = match (now.remove(&id), keys.is_some()) {
                (Some(read), true) => read,
                (None, true) => copy(hook, &id).await?,
                // The relation is gone.
                (_, false) => None,
            };
            if let Some(bag) = &mut bag {
                change(bag, keys.unwrap_or_default());
            }
            now.insert(id, bag);
        }
        // Nobody will ask for it again. Its databag can be written up to the end of this hook, and if the hook fails, the
        // next attempt still has the copy.
        if let Some(id) = hook.event().broken_relation() {
            now.insert(id.clone(), None);
        }
        if now.is_empty() {
            return Ok(());
        }
        let stored = hook.unit_state().stored(hook).await?;
        // A charm that looks at everything has looked at each databag that still exists.
        let looked_at: BTreeSet<String> = now.keys().map(key).collect();
        let is_copy = |key: &&String| key.starts_with(OWN_PREFIX);
        let others = || stored.iter().filter(|(key, _)| is_copy(key) && !looked_at.contains(*key));
        let mut size: usize = 0;
        for (other, text) in others() {
            if matches!(hook.event(), Event::UpgradeCharm) {
                hook.unit_state().plan(other, None);
            } else {
                size += text.len();
            }
        }
        for (id, bag) in now {
            let text = bag.and_then(|bag| serde_json::to_string(&*bag).ok());
            let text = text.filter(|text| text.len() <= LONGEST_VALUE && size + text.len() <= MOST);
            size += text.as_ref().map_or(0, String::len);
            hook.unit_state().plan(&key(&id), text);
        }
        lock(&self.read).clear();
        Ok(())
    }
}

/// Whether databags themselves are read in this hook.
fn reads_itself(event: &Event) -> bool {
    matches!(event, Event::ConfigChanged | Event::UpgradeCharm | Event::Start)
}

fn key(id: &RelationId) -> String {
    format!("{OWN_PREFIX}{}", id.number())
}

async fn copy(hook: &Hook, id: &RelationId) -> Result<Option<Databag>, ToolError> {
    let stored = hook.unit_state().stored(hook).await?;
    let text = stored.get(&key(id));
    // What is no copy of ours is none.
    let bag: Option<BTreeMap<String, String>> = text.and_then(|text| serde_json::from_str(text).ok());
    Ok(bag.map(|bag| bag.into_iter().collect()))
}

fn without_jujus(mut bag: Databag) -> Databag {
    let jujus: Vec<String> = bag.keys().filter(|key| is_juju_key(key)).cloned().collect();
    for key in jujus {
        bag.remove(&key);
    }
    bag
}

/// Carries out what was sent. The empty text deletes.
fn change(bag: &mut Databag, keys: BTreeMap<String, Option<String>>) {
    for (key, value) in keys.into_iter().filter(|(key, _)| !is_juju_key(key)) {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => bag.insert(key, value),
            None => bag.remove(&key),
        };
    }
}
