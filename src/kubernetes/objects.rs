//! Objects as the API gives them, read as far as they are of interest. What is missing or odd in them counts as not
//! there: another version of Kubernetes may write them another way.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::names::Container;
use crate::snapshot::{Policy, Record, Resources, Rollout, StatefulSet};

/// Who the resource patch is made by, in the object's record of who has set what.
pub const RESOURCE_MANAGER: &str = "ResourcePatcher";

/// Reads a `StatefulSet`.
pub fn stateful_set(object: &Value) -> StatefulSet {
    let spec = &object["spec"];
    let number = |value: &Value| value.as_i64();
    let containers = spec.pointer("/template/spec/containers").and_then(Value::as_array);
    let nginx =
        containers.into_iter().flatten().find(|container| container["name"] == Container::Nginx.as_str());
    let status = &object["status"];
    let revision = |key: &str| status[key].as_str().unwrap_or_default();
    StatefulSet {
        selector: spec["selector"].clone(),
        service_name: text(&spec["serviceName"]),
        pod_labels: texts(spec.pointer("/template/metadata/labels")),
        resources: nginx.map(|container| Resources {
            requests: texts(container.pointer("/resources/requests")),
            limits: texts(container.pointer("/resources/limits")),
        }),
        limits_of_ours: limits_of_ours(object),
        rollout: Rollout {
            generation: number(&object["metadata"]["generation"]).unwrap_or_default(),
            observed: number(&status["observedGeneration"]),
            // What Kubernetes itself takes if nothing is said.
            replicas: number(&spec["replicas"]).unwrap_or(1),
            updated: number(&status["updatedReplicas"]).unwrap_or_default(),
            partition: spec
                .pointer("/updateStrategy/rollingUpdate/partition")
                .and_then(number)
                .unwrap_or_default(),
            revised: revision("updateRevision") != revision("currentRevision"),
        },
    }
}

/// Reads the labels of any object.
pub fn labels(object: &Value) -> BTreeMap<String, String> {
    texts(object.pointer("/metadata/labels"))
}

/// Reads a `ConfigMap` with labels in it.
pub fn record(object: &Value) -> Record {
    let written = object.pointer("/data/labels").and_then(Value::as_str).unwrap_or_default();
    let labels = serde_json::from_str::<Value>(written).ok();
    Record {
        labels: texts(labels.as_ref()),
        version: object.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(str::to_owned),
    }
}

/// Reads an `AuthorizationPolicy`.
pub fn policy(object: &Value) -> Policy {
    Policy { name: text(&object["metadata"]["name"]), spec: object["spec"].clone() }
}

/// The limits of container `nginx` that the object's record of who has set what ascribes to the resource patch.
fn limits_of_ours(object: &Value) -> BTreeSet<String> {
    let managers = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let ours = managers.into_iter().flatten().filter(|entry| entry["manager"] == RESOURCE_MANAGER);
    let nginx = format!("k:{{\"name\":\"{}\"}}", Container::Nginx);
    ours.flat_map(|entry| {
        let containers = entry.pointer("/fieldsV1/f:spec/f:template/f:spec/f:containers");
        let limits = containers.and_then(|containers| containers[&nginx].pointer("/f:resources/f:limits"));
        limits.and_then(Value::as_object).into_iter().flat_map(|limits| limits.keys())
    })
    .filter_map(|key| key.strip_prefix("f:").map(str::to_owned))
    .collect()
}

/// The texts of a table. Kubernetes writes some amounts as numbers.
fn texts(table: Option<&Value>) -> BTreeMap<String, String> {
    let entries = table.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter(|(_, value)| value.is_string() || value.is_number())
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_stateful_set_the_container_nginx_and_the_rollout_are_read() {
        let seen = stateful_set(&json!({
            "metadata": {
                "generation": 7,
                "managedFields": [
                    {"manager": "juju", "operation": "Update", "fieldsV1": {"f:spec": {}}},
                    {"manager": "ResourcePatcher", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {"f:spec": {
                        "f:containers": {"k:{\"name\":\"nginx\"}": {".": {}, "f:name": {}, "f:resources": {
                            "f:limits": {"f:cpu": {}}, "f:requests": {"f:cpu": {}, "f:memory": {}}}}}}}}}},
                ],
            },
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app.kubernetes.io/name": "tempo"}},
                "serviceName": "tempo-endpoints",
                "template": {
                    "metadata": {"labels": {"app.kubernetes.io/name": "tempo"}},
                    "spec": {"containers": [
                        {"name": "charm", "resources": {"limits": {"cpu": "9"}}},
                        {"name": "nginx", "resources": {"limits": {"cpu": "500m"}, "requests": {"cpu": "50m", "memory": 7}}},
                    ]},
                },
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
            },
            "status": {"observedGeneration": 6, "updatedReplicas": 2, "currentRevision": "a", "updateRevision": "b"},
        }));
        let table = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
            entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let expected = StatefulSet {
            selector: json!({"matchLabels": {"app.kubernetes.io/name": "tempo"}}),
            service_name: "tempo-endpoints".into(),
            pod_labels: table(&[("app.kubernetes.io/name", "tempo")]),
            resources: Some(Resources {
                requests: table(&[("cpu", "50m"), ("memory", "7")]),
                limits: table(&[("cpu", "500m")]),
            }),
            limits_of_ours: ["cpu".to_owned()].into(),
            rollout: Rollout {
                generation: 7,
                observed: Some(6),
                replicas: 3,
                updated: 2,
                partition: 1,
                revised: true,
            },
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_odd_counts_as_not_there() {
        let nothing = stateful_set(&json!({}));
        assert_eq!((nothing.resources, nothing.rollout.replicas, nothing.rollout.revised), (None, 1, false));
        let odd = json!({"metadata": {"labels": {"a": "b", "c": [1]}, "managedFields": {}}, "spec": 5, "status": []});
        assert_eq!(stateful_set(&odd).limits_of_ours, BTreeSet::new());
        assert_eq!(labels(&odd), [("a".to_owned(), "b".to_owned())].into());
        for data in [
            json!({"data": {"labels": "{"}}),
            json!({"data": {"labels": "[1]"}}),
            json!({"data": 1}),
            json!(null),
        ] {
            assert_eq!(record(&data), Record::default());
        }
        assert_eq!(policy(&json!([])), Policy::default());
    }
}
