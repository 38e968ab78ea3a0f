//! What the server makes of an object before it keeps it: the form it is kept in, and whether it may be kept at all.

use serde_json::{Map, Value, json};

use super::{merge::as_map, quantity::Quantity, resource::Resource, status::Refusal};

/// A value that its field's type does not allow. What the client is told depends on how the value came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed(String);

impl Malformed {
    /// In a whole object.
    pub(super) fn in_object(&self, resource: &Resource) -> Refusal {
        let (kind, version) = (resource.kind, resource.version);
        Refusal::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: {}",
            self.0
        ))
    }

    /// In a patch.
    pub(super) fn in_patch(&self, patch: &str) -> Refusal {
        let message = format!("Invalid value: {patch:?}: {}", self.0);
        let mut refusal = Refusal::new(422, "Invalid", format!(" \"\" is invalid: patch: {message}"));
        let cause = json!([{"reason": "FieldValueInvalid", "message": message, "field": "patch"}]);
        refusal.details.insert("causes".to_owned(), cause);
        refusal
    }

    /// In an applied configuration.
    pub(super) fn in_configuration(&self, resource: &Resource, name: &str) -> Refusal {
        let what = format!("{}, Kind={}", resource.api_version(), resource.kind);
        let message = format!(
            "failed to convert new object (/{name}; {what}) to proper version: unable to convert unstructured object \
             to {what}: {}",
            self.0
        );
        Refusal::new(500, "", message)
    }
}

/// Brings a new or changed object into the form in which it is kept.
pub(super) fn normalise(object: &mut Value, resource: &Resource) -> Result<(), Malformed> {
    if resource.custom {
        return Ok(());
    }
    // Empty maps of these types are not written at all.
    for field in ["labels", "annotations"] {
        drop_empty(&mut object["metadata"], field);
    }
    if resource.kind == "ConfigMap" {
        drop_empty(object, "data");
        if let Some((key, value)) =
            object["data"].as_object().and_then(|data| data.iter().find(|(_, v)| !v.is_string()))
        {
            return Err(Malformed(format!(
                "json: cannot unmarshal {} into Go struct field ConfigMap.data.{key} of type string",
                json_type(value),
            )));
        }
        if object["data"].is_null() {
            as_map(object).remove("data");
        }
    }
    let spec = match resource.kind {
        "StatefulSet" => {
            let spec = as_map(as_map(object).entry("spec").or_insert_with(|| json!({})));
            spec.entry("replicas").or_insert_with(|| 1.into());
            if let Some(metadata) = spec.get_mut("template").and_then(|template| template.get_mut("metadata"))
            {
                drop_empty(metadata, "labels");
                drop_empty(metadata, "annotations");
            }
            object.pointer_mut("/spec/template/spec")
        }
        "Pod" => object.pointer_mut("/spec"),
        _ => None,
    };
    let Some(spec) = spec else { return Ok(()) };
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let resources = as_map(container).entry("resources").or_insert_with(|| json!({}));
            for field in ["limits", "requests"] {
                for amount in resources
                    .get_mut(field)
                    .and_then(Value::as_object_mut)
                    .into_iter()
                    .flat_map(Map::values_mut)
                {
                    let text = match &*amount {
                        Value::String(text) => text.clone(),
                        Value::Number(number) => number.to_string(),
                        _ => String::new(),
                    };
                    let Some(quantity) = Quantity::parse(&text) else {
                        return Err(Malformed(
                            "quantities must match the regular expression \
                             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                                .to_owned(),
                        ));
                    };
                    *amount = quantity.canonical().into();
                }
                drop_empty(resources, field);
            }
        }
    }
    Ok(())
}

fn drop_empty(parent: &mut Value, field: &str) {
    if let Value::Object(map) = parent
        && map.get(field).is_some_and(|value| value.is_null() || value.as_object().is_some_and(Map::is_empty))
    {
        map.remove(field);
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether an object may take the place of another (`Null` for a new one).
pub(super) fn check(old: &Value, new: &Value, resource: &Resource) -> Result<(), Refusal> {
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    let mut problems = Vec::new();
    if !is_subdomain(name) {
        problems.push(format!("metadata.name: Invalid value: {name:?}: {SUBDOMAIN}"));
    }
    labels(&new["metadata"]["labels"], "metadata.labels", &mut problems);
    if resource.kind == "StatefulSet" {
        stateful_set(old, new, &mut problems);
    }
    if problems.is_empty() { Ok(()) } else { Err(Refusal::invalid(resource, name, &problems)) }
}

/// The pods of its template are not judged: that comes when they are made.
fn stateful_set(old: &Value, new: &Value, problems: &mut Vec<String>) {
    labels(&new["spec"]["template"]["metadata"]["labels"], "spec.template.metadata.labels", problems);
    let has = &new["spec"]["template"]["metadata"]["labels"];
    let selects = new["spec"]["selector"]["matchLabels"].as_object();
    if selects.is_none_or(serde_json::Map::is_empty) {
        problems.push("spec.selector: Required value".to_owned());
    }
    if selects.is_some_and(|wanted| wanted.iter().any(|(key, value)| has.get(key) != Some(value))) {
        problems.push(format!(
            "spec.template.metadata.labels: Invalid value: {has}: `selector` does not match template `labels`"
        ));
    }
    let changeable = [
        "minReadySeconds",
        "ordinals",
        "persistentVolumeClaimRetentionPolicy",
        "replicas",
        "revisionHistoryLimit",
        "template",
        "updateStrategy",
    ];
    let fixed = |object: &Value| {
        let fields = object["spec"].as_object().into_iter().flatten();
        let fixed = fields.filter(|(key, _)| !changeable.contains(&key.as_str()));
        fixed.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>()
    };
    if !old.is_null() && fixed(old) != fixed(new) {
        problems.push(
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
             'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are \
             forbidden"
                .to_owned(),
        );
    }
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
                         '.', and must start and end with an alphanumeric character";

fn is_subdomain(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(inner)
        })
}

/// Whether a text may be the value of a label, or the part of its key after the slash.
fn is_label_text(text: &str) -> bool {
    let outer = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(outer)
        && text.ends_with(outer)
        && text.chars().all(|c| outer(c) || "-_.".contains(c))
}

fn labels(labels: &Value, place: &str, problems: &mut Vec<String>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        let (prefix, name) =
            key.split_once('/').map_or((None, key.as_str()), |(prefix, name)| (Some(prefix), name));
        if !is_label_text(name) || prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
            problems.push(format!("{place}: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.'"));
        }
        let text = value.as_str().unwrap_or_default();
        if !value.is_string() || !(text.is_empty() || is_label_text(text)) {
            problems.push(format!(
                "{place}: Invalid value: {value}: a valid label must be an empty string or consist of alphanumeric \
                 characters, '-', '_' or '.', and must start and end with an alphanumeric character"
            ));
        }
    }
}

/// Whether labels match a selector, as in `labelSelector`.
///
/// # Errors
/// The selector cannot be read.
pub(super) fn selects(selector: &str, labels: &Value) -> Result<bool, Refusal> {
    for requirement in split(selector) {
        let requirement = requirement.trim();
        let has = |key: &str| labels.get(key.trim()).and_then(Value::as_str);
        let fulfilled = if let Some((key, values)) = requirement.split_once(" notin ") {
            !has(key).is_some_and(|value| listed(values, value))
        } else if let Some((key, values)) = requirement.split_once(" in ") {
            has(key).is_some_and(|value| listed(values, value))
        } else if let Some((key, value)) = requirement.split_once("!=") {
            has(key) != Some(value.trim())
        } else if let Some((key, value)) = requirement.split_once('=') {
            has(key) == Some(value.trim_start_matches('=').trim())
        } else if let Some(key) = requirement.strip_prefix('!') {
            has(key).is_none()
        } else if requirement.is_empty() || requirement.contains(char::is_whitespace) {
            return Err(Refusal::bad_request(format!("unable to parse requirement: {requirement:?}")));
        } else {
            has(requirement).is_some()
        };
        if !fulfilled {
            return Ok(false);
        }
    }
    Ok(true)
}

fn listed(values: &str, value: &str) -> bool {
    values.trim().trim_matches(['(', ')']).split(',').any(|one| one.trim() == value)
}

/// The requirements of a selector: commas inside parentheses do not part them.
fn split(selector: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = selector.split(move |c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth <= 0
    });
    if selector.trim().is_empty() { Vec::new() } else { parts.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_pick_by_value_by_set_and_by_presence() {
        let labels = json!({"app": "a", "tier": "x"});
        for (selector, picked) in [
            ("", true),
            ("app=a", true),
            ("app==a,tier=x", true),
            ("app=a,tier=y", false),
            ("app!=b", true),
            ("other!=b", true),
            ("app in (a, b),tier", true),
            ("app notin (a)", false),
            ("other notin (a)", true),
            ("!app", false),
            ("!other", true),
            ("other", false),
        ] {
            assert_eq!(selects(selector, &labels).unwrap(), picked, "{selector}");
        }
        assert!(selects("app a", &labels).is_err());
        assert!(selects("app=a,", &labels).is_err());
    }

    #[test]
    fn labels_are_judged_as_the_server_judges_them() {
        let mut problems = Vec::new();
        labels(&json!({"app.kubernetes.io/part-of": "tempo", "a": "", "b_c": "1.0"}), "x", &mut problems);
        assert_eq!(problems, [""; 0]);
        for (key, value) in [("a b", "x"), ("a/b/c", "x"), ("a", "-x"), ("a", "x y"), ("/a", "x")] {
            labels(&json!({key: value}), "metadata.labels", &mut problems);
            assert_eq!(problems.len(), 1, "{key}={value}");
            problems.clear();
        }
    }
}
