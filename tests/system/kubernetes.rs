//! What the charm does in the cluster around it, and what the cluster does to its pods because of that.

use juju_sim::client::Request;
use serde_json::{Value, json};

use crate::model::{Model, up, up_in};

fn object(model: &Model, kind: &str, name: &str) -> Option<Value> {
    let objects: Vec<Value> = model.client.ask(&Request::Objects).unwrap();
    objects.into_iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
}

fn trust(model: &Model, remove: bool) {
    model.client.request(&Request::Trust { app: "tempo".into(), remove }).unwrap();
}

#[test]
fn the_pods_restart_once_for_their_label_and_resources_and_serve_again() {
    let model = up_in("rollouts: true", "cpu_limit: 500m", &[], &[]);
    let set = object(&model, "StatefulSet", "tempo").unwrap();
    let template = &set["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["app.kubernetes.io/part-of"], "tempo");
    let containers = template["spec"]["containers"].as_array().unwrap();
    let nginx = containers.iter().find(|container| container["name"] == "nginx").unwrap();
    assert_eq!(
        nginx["resources"],
        json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "50m", "memory": "100Mi"}})
    );
    assert_eq!(set["status"]["currentRevision"], set["status"]["updateRevision"]);
    let service = object(&model, "Service", "tempo").unwrap();
    assert_eq!(service["metadata"]["labels"]["app.kubernetes.io/part-of"], "tempo");

    // No pod was made more than twice, and nothing is done again.
    let starts = |unit: &str| model.unit(unit).hooks.iter().filter(|hook| *hook == "start").count();
    assert!(starts("tempo/0") <= 2 && starts("tempo/1") <= 2, "{} {}", starts("tempo/0"), starts("tempo/1"));
    let before = (object(&model, "StatefulSet", "tempo"), object(&model, "ConfigMap", "tempo-pod-labels"));
    for unit in ["tempo/0", "tempo/1"] {
        model.dispatch(unit, "update-status");
    }
    model.settle();
    assert!(before.1.is_some());
    assert_eq!(
        before,
        (object(&model, "StatefulSet", "tempo"), object(&model, "ConfigMap", "tempo-pod-labels"))
    );
    for receiver in model.receivers("orders") {
        assert_eq!(model.send("orders/0", &receiver, 10).accepted, 10);
    }
}

#[test]
fn without_trust_the_charm_says_what_to_do_and_serves_all_the_same() {
    let model = up("");
    trust(&model, true);
    model.settle_but("tempo");
    for unit in ["tempo/0", "tempo/1"] {
        let status = model.unit(unit).workload;
        assert!(status.current == "blocked" && status.message.contains("juju trust tempo"), "{status:?}");
    }
    for receiver in model.receivers("orders") {
        assert_eq!(model.send("orders/0", &receiver, 10).accepted, 10);
    }
    trust(&model, false);
    model.settle();
}
