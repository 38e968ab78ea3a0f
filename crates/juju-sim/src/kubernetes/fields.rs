//! Server-side apply: who owns which fields, and what that means for the next one who applies.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    merge::{Place, as_map, atomic, below, item_key, list_keys},
    status::Conflict,
};

/// A set of fields, in the shape of `fieldsV1`: steps are `f:NAME` or `k:{KEYS}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    member: bool,
    below: BTreeMap<String, Fields>,
}

type Steps = Vec<String>;

impl Fields {
    fn leaf() -> Self {
        Self { member: true, below: BTreeMap::new() }
    }

    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }

    /// Everything that a value sets.
    fn declared(value: &Value, place: Place<'_>, custom: bool) -> Self {
        match value {
            Value::Object(map) if !map.is_empty() && !atomic(place, custom) => {
                let step = |(key, value): (&String, &Value)| {
                    (format!("f:{key}"), Self::declared(value, &below(place, key), custom))
                };
                Self { member: false, below: map.iter().map(step).collect() }
            }
            Value::Array(items) if !items.is_empty() => match keyed(items, place, custom) {
                Some(keyed) => {
                    let step = |(step, item): (String, &Value)| {
                        (step, Self { member: true, ..Self::declared(item, place, custom) })
                    };
                    Self { member: false, below: keyed.into_iter().map(step).collect() }
                }
                None => Self::leaf(),
            },
            _ => Self::leaf(),
        }
    }

    /// What is new or another value in `new`.
    fn changed(old: &Value, new: &Value, place: Place<'_>, custom: bool) -> Self {
        if old == new {
            return Self::default();
        }
        match (old, new) {
            (_, Value::Null) => Self::default(),
            (Value::Object(before), Value::Object(now)) if !atomic(place, custom) => {
                let fields = now.iter().map(|(key, value)| {
                    let old = before.get(key).unwrap_or(&Value::Null);
                    (format!("f:{key}"), Self::changed(old, value, &below(place, key), custom))
                });
                Self { member: false, below: fields.filter(|(_, fields)| !fields.is_empty()).collect() }
            }
            (Value::Array(before), Value::Array(now)) => {
                match (keyed(before, place, custom), keyed(now, place, custom)) {
                    (Some(before), Some(now)) => {
                        let fields = now.into_iter().map(|(step, item)| {
                            let fields = match before.get(&step) {
                                Some(old) => Self::changed(old, item, place, custom),
                                None => Self { member: true, ..Self::declared(item, place, custom) },
                            };
                            (step, fields)
                        });
                        Self {
                            member: false,
                            below: fields.filter(|(_, fields)| !fields.is_empty()).collect(),
                        }
                    }
                    _ => Self::leaf(),
                }
            }
            (_, new) => Self::declared(new, place, custom),
        }
    }

    fn add(&mut self, other: &Self) {
        self.member |= other.member;
        for (step, fields) in &other.below {
            self.below.entry(step.clone()).or_default().add(fields);
        }
    }

    fn take(&mut self, other: &Self) {
        if other.member {
            self.member = false;
        }
        for (step, fields) in &other.below {
            if let Some(mine) = self.below.get_mut(step) {
                mine.take(fields);
            }
        }
        self.below.retain(|_, fields| !fields.is_empty());
    }

    /// Keeps what still exists.
    fn keep_existing(&mut self, object: &Value, place: Place<'_>, custom: bool) {
        self.below.retain(|step, fields| {
            let (next, place) = match step.strip_prefix("f:") {
                Some(key) => (object.get(key), below(place, key)),
                None => (item(object, step, place, custom), place.to_vec()),
            };
            let Some(next) = next else { return false };
            fields.keep_existing(next, &place, custom);
            !fields.is_empty()
        });
    }

    fn paths(&self, before: &[String], found: &mut Vec<Steps>) {
        if self.member {
            found.push(before.to_vec());
        }
        for (step, fields) in &self.below {
            fields.paths(&[before, std::slice::from_ref(step)].concat(), found);
        }
    }

    fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |fields, step| fields.below.get(step))
    }

    fn has(&self, path: &[String]) -> bool {
        self.at(path).is_some_and(|fields| fields.member)
    }

    fn forget(&mut self, path: &[String]) {
        let Some((step, rest)) = path.split_first() else {
            self.member = false;
            return;
        };
        if let Some(fields) = self.below.get_mut(step) {
            fields.forget(rest);
        }
        self.below.retain(|_, fields| !fields.is_empty());
    }

    fn to_json(&self) -> Value {
        let mut map: Map<String, Value> =
            self.below.iter().map(|(step, fields)| (step.clone(), fields.to_json())).collect();
        if self.member && !map.is_empty() {
            map.insert(".".to_owned(), json!({}));
        }
        Value::Object(map)
    }

    fn from_json(value: &Value) -> Self {
        let Some(map) = value.as_object() else { return Self::default() };
        let steps = map.iter().filter(|(step, _)| *step != ".");
        Self {
            member: map.is_empty() || map.contains_key("."),
            below: steps.map(|(step, value)| (step.clone(), Self::from_json(value))).collect(),
        }
    }
}

/// The items of a list by their keys; `None` if the list has no keys, or not all items have them.
fn keyed<'a>(items: &'a [Value], place: Place<'_>, custom: bool) -> Option<BTreeMap<String, &'a Value>> {
    let keys = list_keys(place, custom);
    if keys.is_empty() {
        return None;
    }
    items.iter().map(|item| Some((step_of(item, keys)?, item))).collect()
}

fn step_of(item: &Value, keys: &[&str]) -> Option<String> {
    Some(format!("k:{}", Value::Object(item_key(item, keys)?)))
}

fn item<'a>(list: &'a Value, step: &str, place: Place<'_>, custom: bool) -> Option<&'a Value> {
    let keys = list_keys(place, custom);
    list.as_array()?.iter().find(|item| step_of(item, keys).as_deref() == Some(step))
}

/// The place that steps lead to.
fn place_of(path: &[String]) -> Vec<String> {
    path.iter().filter_map(|step| step.strip_prefix("f:")).map(str::to_owned).collect()
}

fn find<'a>(object: &'a Value, path: &[String], custom: bool) -> Option<&'a Value> {
    path.iter().enumerate().try_fold(object, |value, (position, step)| match step.strip_prefix("f:") {
        Some(key) => value.get(key),
        None => item(value, step, &place_of(&path[..position]), custom),
    })
}

fn remove(object: &mut Value, path: &[String], custom: bool) {
    let Some((last, before)) = path.split_last() else { return };
    let place = place_of(before);
    let mut parent = object;
    for (position, step) in before.iter().enumerate() {
        let next = if let Some(key) = step.strip_prefix("f:") {
            parent.get_mut(key)
        } else {
            let keys = list_keys(&place_of(&before[..position]), custom);
            let items = parent.as_array_mut();
            items.and_then(|items| items.iter_mut().find(|item| step_of(item, keys).as_deref() == Some(step)))
        };
        let Some(next) = next else { return };
        parent = next;
    }
    match (last.strip_prefix("f:"), parent) {
        (Some(key), Value::Object(map)) => {
            map.remove(key);
        }
        (None, Value::Array(items)) => {
            let keys = list_keys(&place, custom);
            items.retain(|item| step_of(item, keys).as_deref() != Some(last));
        }
        _ => {}
    }
}

/// A path in words: `.spec.template.spec.containers[name="nginx"].image`.
fn shown(path: &[String]) -> String {
    let part = |step: &String| {
        if let Some(key) = step.strip_prefix("f:") {
            format!(".{key}")
        } else {
            let keys: Map<String, Value> =
                serde_json::from_str(step.trim_start_matches("k:")).unwrap_or_default();
            let keys: Vec<_> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
    };
    path.iter().map(part).collect()
}

/// The part of an object that can be owned.
fn ownable(object: &Value) -> Value {
    let mut object = object.clone();
    let map = as_map(&mut object);
    for key in ["apiVersion", "kind", "status"] {
        map.remove(key);
    }
    let metadata: Map<String, Value> = map
        .remove("metadata")
        .and_then(|metadata| match metadata {
            Value::Object(metadata) => Some(metadata),
            _ => None,
        })
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| ["labels", "annotations", "finalizers", "ownerReferences"].contains(&key.as_str()))
        .collect();
    if !metadata.is_empty() {
        map.insert("metadata".to_owned(), Value::Object(metadata));
    }
    object
}

/// One who owns fields, by name and by whether through applying.
#[derive(Clone, Debug)]
struct Owner {
    manager: String,
    applies: bool,
    fields: Fields,
    /// The entry as it is stored, whose time stays while its fields do.
    stored: Value,
}

fn owners(object: &Value) -> Vec<Owner> {
    let entries = object["metadata"]["managedFields"].as_array();
    let owner = |entry: &Value| Owner {
        manager: entry["manager"].as_str().unwrap_or_default().to_owned(),
        applies: entry["operation"] == "Apply",
        fields: Fields::from_json(&entry["fieldsV1"]),
        stored: entry.clone(),
    };
    entries.map(|entries| entries.iter().map(owner).collect()).unwrap_or_default()
}

fn store(object: &mut Value, mut owners: Vec<Owner>, now: &str, custom: bool) {
    let owned = ownable(object);
    for owner in &mut owners {
        owner.fields.keep_existing(&owned, &[], custom);
    }
    owners.retain(|owner| !owner.fields.is_empty());
    let api_version = object["apiVersion"].clone();
    let entry = |owner: &Owner| {
        let fields = owner.fields.to_json();
        if owner.stored["fieldsV1"] == fields {
            return owner.stored.clone();
        }
        json!({
            "manager": owner.manager,
            "operation": if owner.applies { "Apply" } else { "Update" },
            "apiVersion": api_version,
            "time": now,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        })
    };
    let entries: Vec<Value> = owners.iter().map(entry).collect();
    as_map(as_map(object).entry("metadata").or_insert_with(|| json!({})))
        .insert("managedFields".to_owned(), entries.into());
}

/// Finds or makes the entry of an owner.
fn entry<'a>(owners: &'a mut Vec<Owner>, manager: &str, applies: bool) -> &'a mut Owner {
    let position = owners.iter().position(|owner| owner.manager == manager && owner.applies == applies);
    let position = position.unwrap_or_else(|| {
        let stored = Value::Null;
        owners.push(Owner { manager: manager.to_owned(), applies, fields: Fields::default(), stored });
        owners.len() - 1
    });
    &mut owners[position]
}

/// Notes in `new` what someone changed from `old` by any other way than applying.
pub(super) fn updated(old: &Value, new: &mut Value, manager: &str, now: &str, custom: bool) {
    let changed = Fields::changed(&ownable(old), &ownable(new), &[], custom);
    let mut owners = owners(old);
    for owner in &mut owners {
        owner.fields.take(&changed);
    }
    entry(&mut owners, manager, false).fields.add(&changed);
    store(new, owners, now, custom);
}

/// Applies a configuration to an object, or to nothing (`Null`).
///
/// # Errors
/// What others own and the configuration would change; never with `force`.
pub(super) fn apply(
    live: &Value,
    config: &Value,
    manager: &str,
    force: bool,
    now: &str,
    custom: bool,
) -> Result<Value, Vec<Conflict>> {
    let wanted = ownable(config);
    let fields = Fields::declared(&wanted, &[], custom);
    let mut owners = owners(live);
    let mut paths = Vec::new();
    fields.paths(&[], &mut paths);

    let mut conflicts = Vec::new();
    for owner in owners.iter_mut().filter(|owner| !(owner.applies && owner.manager == manager)) {
        for path in &paths {
            let item = path.last().is_some_and(|step| step.starts_with("k:"));
            if item || !owner.fields.has(path) || find(live, path, custom) == find(&wanted, path, custom) {
                continue;
            }
            if force {
                owner.fields.forget(path);
            } else {
                conflicts.push(Conflict {
                    manager: owner.manager.clone(),
                    applied: owner.applies,
                    path: shown(path),
                });
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }

    let mut merged = live.clone();
    lay_over(&mut merged, config, &[], custom);
    let mine = entry(&mut owners, manager, true);
    let before = std::mem::replace(&mut mine.fields, fields);
    let mut gone = Vec::new();
    before.paths(&[], &mut gone);
    // The deepest first: an item goes only when nothing of it is left to anybody.
    gone.sort_by_key(|path| std::cmp::Reverse(path.len()));
    for path in gone {
        let kept = owners.iter().any(|owner| owner.fields.at(&path).is_some());
        if !kept && !names_its_item(&path) {
            remove(&mut merged, &path, custom);
        }
    }
    store(&mut merged, owners, now, custom);
    Ok(merged)
}

/// Whether a path leads to what tells an item apart, which goes with the item and never alone.
fn names_its_item(path: &[String]) -> bool {
    let [.., item, field] = path else { return false };
    let keys = item.strip_prefix("k:").and_then(|keys| serde_json::from_str::<Map<String, Value>>(keys).ok());
    keys.is_some_and(|keys| field.strip_prefix("f:").is_some_and(|field| keys.contains_key(field)))
}

/// Puts a configuration over an object: maps field by field, lists with keys item by item, all else as a whole.
fn lay_over(target: &mut Value, config: &Value, place: Place<'_>, custom: bool) {
    match config {
        Value::Object(config) if !atomic(place, custom) => {
            let target = as_map(target);
            for (key, value) in config {
                if place.is_empty() && key == "status" {
                    continue;
                }
                lay_over(target.entry(key).or_insert(Value::Null), value, &below(place, key), custom);
            }
        }
        Value::Array(items) => {
            let keys = list_keys(place, custom);
            if keys.is_empty() {
                *target = config.clone();
                return;
            }
            let mut list = target.as_array().cloned().unwrap_or_default();
            for item in items {
                let step = step_of(item, keys);
                let found = list.iter_mut().find(|other| step.is_some() && step_of(other, keys) == step);
                match found {
                    Some(found) => lay_over(found, item, place, custom),
                    None => list.push(item.clone()),
                }
            }
            *target = Value::Array(list);
        }
        other => *target = other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn created(mut object: Value) -> Value {
        updated(&Value::Null, &mut object, "juju", NOW, false);
        object
    }

    fn live() -> Value {
        created(json!({
            "apiVersion": "v1",
            "metadata": {"name": "x", "labels": {"a": "1"}},
            "spec": {"containers": [{"name": "n", "image": "i"}, {"name": "m", "image": "j"}]},
        }))
    }

    fn config(resources: &Value) -> Value {
        json!({"apiVersion": "v1", "spec": {"containers": [{"name": "n", "resources": resources}]}})
    }

    #[test]
    fn applying_merges_containers_by_name_and_a_repeat_changes_nothing() {
        let wish = config(&json!({"limits": {"cpu": "1"}}));
        let once = apply(&live(), &wish, "me", false, NOW, false).unwrap();
        assert_eq!(
            once["spec"]["containers"],
            json!([{"name": "n", "image": "i", "resources": {"limits": {"cpu": "1"}}}, {"name": "m", "image": "j"}])
        );
        assert_eq!(apply(&once, &wish, "me", false, "later", false).unwrap(), once);
        let mine = &once["metadata"]["managedFields"][1];
        assert_eq!(mine["manager"], "me");
        let nginx = &mine["fieldsV1"]["f:spec"]["f:containers"][r#"k:{"name":"n"}"#];
        assert_eq!(nginx, &json!({".": {}, "f:name": {}, "f:resources": {"f:limits": {"f:cpu": {}}}}));
    }

    #[test]
    fn what_is_no_longer_applied_goes_unless_another_owns_it() {
        let wish = config(&json!({"limits": {"cpu": "1", "memory": "2"}}));
        let once = apply(&live(), &wish, "me", false, NOW, false).unwrap();
        let shared = config(&json!({"limits": {"memory": "2"}}));
        let twice = apply(&once, &shared, "other", false, NOW, false).unwrap();
        let none = json!({"apiVersion": "v1", "metadata": {"name": "x"}});
        let after = apply(&twice, &none, "me", false, NOW, false).unwrap();
        assert_eq!(
            after["spec"]["containers"][0],
            json!({"name": "n", "image": "i", "resources": {"limits": {"memory": "2"}}})
        );
    }

    #[test]
    fn who_changes_what_another_owns_is_refused_or_takes_it_over() {
        let wish = json!({"metadata": {"labels": {"a": "2"}}});
        let refused = apply(&live(), &wish, "me", false, NOW, false).unwrap_err();
        assert_eq!((refused[0].manager.as_str(), refused[0].applied), ("juju", false));
        assert_eq!(refused[0].path, ".metadata.labels.a");
        let forced = apply(&live(), &wish, "me", true, NOW, false).unwrap();
        assert_eq!(forced["metadata"]["labels"]["a"], "2");
        let again =
            apply(&forced, &json!({"metadata": {"labels": {"a": "3"}}}), "juju-apply", false, NOW, false);
        let refused = &again.unwrap_err()[0];
        assert_eq!((refused.manager.as_str(), refused.applied), ("me", true));
        // Without the owner's consent: an ordinary update takes a field from its owner.
        let mut updated_by = forced.clone();
        updated_by["metadata"]["labels"]["a"] = "4".into();
        updated(&forced, &mut updated_by, "you", NOW, false);
        let refused = apply(&updated_by, &wish, "me", false, NOW, false).unwrap_err();
        assert_eq!(refused[0].manager, "you");
    }

    #[test]
    fn an_item_that_only_one_applied_goes_with_its_wish() {
        let wish = json!({"spec": {"containers": [{"name": "new", "image": "k"}]}});
        let once = apply(&live(), &wish, "me", false, NOW, false).unwrap();
        assert_eq!(once["spec"]["containers"].as_array().unwrap().len(), 3);
        let after = apply(&once, &json!({}), "me", false, NOW, false).unwrap();
        assert_eq!(after["spec"]["containers"], live()["spec"]["containers"]);
    }

    #[test]
    fn a_selector_is_one_value() {
        let object = created(json!({"spec": {"selector": {"matchLabels": {"a": "1"}}}}));
        let other = json!({"spec": {"selector": {"matchLabels": {"b": "1"}}}});
        assert_eq!(apply(&object, &other, "me", false, NOW, false).unwrap_err()[0].path, ".spec.selector");
        let same = json!({"spec": {"selector": {"matchLabels": {"a": "1"}}}});
        assert!(apply(&object, &same, "me", false, NOW, false).is_ok());
    }
}
