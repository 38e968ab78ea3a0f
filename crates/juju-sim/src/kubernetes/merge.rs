//! The patches that say how an object should look, and the schema they need for it.

use serde_json::{Map, Value};

use super::status::Refusal;

/// A place in an object: the names of the fields that lead to it. Items of lists add nothing.
pub(super) type Place<'a> = &'a [String];

/// Which fields tell the items of a list apart; none if the list is one value as a whole.
///
/// Custom resources have no such lists here.
pub(super) fn list_keys(place: Place<'_>, custom: bool) -> &'static [&'static str] {
    let Some(field) = place.last() else { return &[] };
    match field.as_str() {
        _ if custom => &[],
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "claims" => &["name"],
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "ports" if place.iter().any(|field| field.to_lowercase().ends_with("containers")) => {
            &["containerPort", "protocol"]
        }
        "ports" => &["port", "protocol"],
        "ownerReferences" => &["uid"],
        "conditions" => &["type"],
        _ => &[],
    }
}

/// Whether a map is one value as a whole.
pub(super) fn atomic(place: Place<'_>, custom: bool) -> bool {
    !custom
        && place.last().is_some_and(|field| {
            ["selector", "nodeSelector", "fieldRef", "configMapKeyRef", "secretKeyRef"]
                .contains(&field.as_str())
        })
}

/// What tells an item of a list apart from the others, with defaults filled in.
pub(super) fn item_key(item: &Value, keys: &[&str]) -> Option<Map<String, Value>> {
    let part = |key: &&str| {
        let value = match item.get(*key) {
            Some(value) => value.clone(),
            None if *key == "protocol" => "TCP".into(),
            None => return None,
        };
        Some(((*key).to_owned(), value))
    };
    keys.iter().map(part).collect()
}

/// A place one field further down.
pub(super) fn below(place: Place<'_>, field: &str) -> Vec<String> {
    place.iter().cloned().chain([field.to_owned()]).collect()
}

/// A merge patch (RFC 7396).
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    let target = as_map(target);
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// The value as a map, which it becomes if it is something else.
pub(super) fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was just made a map"),
    }
}

/// A strategic merge patch: as [`merge`], but lists with keys are merged item by item.
pub(super) fn strategic(target: &mut Value, patch: &Value, place: Place<'_>) -> Result<(), Refusal> {
    match patch {
        Value::Object(patch) => {
            match patch.get("$patch").map(|directive| directive.as_str().unwrap_or_default()) {
                None | Some("merge") => {}
                Some("replace") => *target = Value::Null,
                Some("delete") => {
                    *target = Value::Object(Map::new());
                    return Ok(());
                }
                Some(other) => {
                    return Err(Refusal::bad_request(format!("unknown patch type: {other}")));
                }
            }
            let target = as_map(target);
            for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
                if value.is_null() {
                    target.remove(key);
                } else {
                    strategic(target.entry(key).or_insert(Value::Null), value, &below(place, key))?;
                }
            }
            Ok(())
        }
        Value::Array(items) => {
            // Here a single field tells items apart, also where applying looks at two.
            let Some(key) = list_keys(place, false).first().copied() else {
                *target = patch.clone();
                return Ok(());
            };
            let mut list = target.as_array().cloned().unwrap_or_default();
            if items.iter().any(|item| item["$patch"] == "replace") {
                list.clear();
            }
            for item in items.iter().filter(|item| item["$patch"] != "replace") {
                let Some(name) = item.get(key) else {
                    let message = format!("map: {item} does not contain declared merge key: {key}");
                    return Err(Refusal::new(500, "InternalError", message));
                };
                let position = list.iter().position(|other| other.get(key) == Some(name));
                match (position, item["$patch"] == "delete") {
                    (Some(position), true) => {
                        list.remove(position);
                    }
                    (None, true) => {}
                    (Some(position), false) => strategic(&mut list[position], item, place)?,
                    (None, false) => {
                        let mut new = Value::Null;
                        strategic(&mut new, item, place)?;
                        list.push(new);
                    }
                }
            }
            *target = Value::Array(list);
            Ok(())
        }
        other => {
            *target = other.clone();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_replaces_lists_and_deletes_by_null() {
        let mut object = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        merge(&mut object, &json!({"a": {"b": null, "c": [3]}, "e": {"f": null, "g": 1}}));
        assert_eq!(object, json!({"a": {"c": [3]}, "d": 1, "e": {"g": 1}}));
    }

    #[test]
    fn a_strategic_patch_merges_containers_by_name() {
        let mut object = json!({"containers": [{"name": "a", "image": "x"}, {"name": "b"}], "args": [1, 2]});
        let patch = json!({
            "containers": [{"name": "b", "image": "y"}, {"name": "c"}, {"name": "a", "$patch": "delete"}],
            "args": [3],
        });
        strategic(&mut object, &patch, &[]).unwrap();
        assert_eq!(object, json!({"containers": [{"name": "b", "image": "y"}, {"name": "c"}], "args": [3]}));
        let unnamed = strategic(&mut object, &json!({"containers": [{"image": "z"}]}), &[]).unwrap_err();
        assert_eq!(unnamed.code, 500);
    }
}
