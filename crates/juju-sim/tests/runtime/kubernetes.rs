//! The cluster's API in a model: who reaches it, and what it shows.

use std::process::Command;

use serde_json::{Value, json};

use crate::{PATIENCE, Running, program, text, up};

const READER: &str = "applications: {a: {charm: $CHARMS/reader}, s3: {charm: double:s3}}";

fn message(model: &Running) -> String {
    model.unit("a/0").workload.message
}

fn objects(model: &Running) -> Vec<Value> {
    serde_json::from_str(&text(&model.cli(&["objects", "--format", "json"]))).unwrap()
}

#[test]
fn a_charm_reads_its_stateful_set_over_tls_once_it_is_trusted() {
    let model = up(READER);
    assert_eq!(message(&model), "403");
    text(&model.cli(&["trust", "a"]));
    model.settle();
    assert_eq!(message(&model), "200");
    text(&model.cli(&["trust", "a", "--remove"]));
    model.settle();
    assert_eq!(message(&model), "403");
    let unknown = model.cli(&["trust", "b"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are: a, s3"), "{unknown:?}");
}

#[test]
fn every_container_of_a_charm_has_its_service_account_and_others_have_none() {
    let model = up(READER);
    let ask = "cd /var/run/secrets/kubernetes.io/serviceaccount && cat namespace && curl --silent --noproxy '*' \
               --cacert ca.crt --header \"Authorization: Bearer $(cat token)\" --output /dev/null \
               --write-out '/%{http_code}' https://kubernetes.default.svc/api/v1/namespaces/m/pods";
    for container in [None, Some("web")] {
        let outcome = model.client.exec("a/0", container, &["sh", "-c", ask]).unwrap();
        assert_eq!(outcome.stdout, "m/200", "{outcome:?}");
    }
    let host = model.client.exec("a/0", Some("web"), &["sh", "-c", "echo $KUBERNETES_SERVICE_PORT"]).unwrap();
    assert_eq!(host.stdout, "443\n");
    let bare = "test -e /var/run/secrets || test -n \"${KUBERNETES_SERVICE_HOST-}\" || echo none";
    assert_eq!(model.client.exec("s3/0", None, &["sh", "-c", bare]).unwrap().stdout, "none\n");
}

#[test]
fn objects_come_and_go_with_applications_and_follow_their_scale() {
    let model = up(READER);
    let set = |model: &Running| objects(model).into_iter().find(|object| object["kind"] == "StatefulSet");
    let found = set(&model).unwrap();
    let containers = found["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.iter().map(|one| &one["name"]).collect::<Vec<_>>(), ["charm", "web"]);
    assert_eq!(found["status"]["readyReplicas"], 1);
    text(&model.cli(&["add-unit", "a", "-n", "2"]));
    model.settle();
    let found = set(&model).unwrap();
    assert_eq!((&found["spec"]["replicas"], &found["status"]["readyReplicas"]), (&json!(3), &json!(3)));
    assert_eq!(found["status"]["observedGeneration"], found["metadata"]["generation"]);

    let table = text(&model.cli(&["objects"]));
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let labels = "app.kubernetes.io/managed-by=juju,app.kubernetes.io/name=a";
    for (kind, name) in [("StatefulSet", "a"), ("Service", "a"), ("Service", "a-endpoints")] {
        assert!(rows.contains(&vec![kind, "m", name, labels]), "{table}");
    }

    text(&model.cli(&["remove-application", "a"]));
    model.until("a is gone", |client| client.status().unwrap().applications.len() == 1);
    assert_eq!(objects(&model).iter().map(|one| &one["kind"]).collect::<Vec<_>>(), ["Namespace"]);
}

#[test]
fn without_pods_charms_are_led_to_the_api_by_their_environment() {
    let home = tempfile::TempDir::with_prefix("jsim").unwrap();
    let file = home.path().join("model.yaml");
    let charm = crate::charm("reader");
    let model = format!("name: m\napplications: {{a: {{charm: {}, trust: true}}}}\n", charm.display());
    std::fs::write(&file, model).unwrap();
    let cli = |words: &[&str]| {
        let mut command = Command::new(program());
        text(&command.args(words).env("JUJU_SIM_HOME", home.path()).output().unwrap())
    };
    cli(&["up", "--in-process", &file.to_string_lossy()]);
    cli(&["wait", "--active", "--timeout", &PATIENCE.as_secs().to_string()]);
    let status: Value = serde_json::from_str(&cli(&["status", "--format", "json"])).unwrap();
    cli(&["down"]);
    assert_eq!(status["applications"]["a"]["units"]["a/0"]["workload-status"]["message"], "200");
}

#[test]
fn a_changed_template_restarts_the_pods_one_by_one_where_the_model_says_so() {
    let model = up("
rollouts: true
applications: {a: {charm: $CHARMS/reader, scale: 2, trust: true}}
");
    let before = [model.unit("a/0").address, model.unit("a/1").address];
    let patch = "cd /var/run/secrets/kubernetes.io/serviceaccount && curl --silent --noproxy '*' --cacert ca.crt --fail \
                 --header \"Authorization: Bearer $(cat token)\" --request PATCH \
                 --header 'Content-Type: application/strategic-merge-patch+json' --data \"$0\" \
                 https://kubernetes.default.svc/apis/apps/v1/namespaces/m/statefulsets/a";
    let send = |data: &str| model.client.exec("a/0", None, &["sh", "-c", patch, data]).unwrap();
    let labelled = r#"{"spec": {"template": {"metadata": {"labels": {"part": "a"}}}}}"#;
    let answer: Value = serde_json::from_str(&send(labelled).stdout).unwrap();
    let generation = answer["metadata"]["generation"].as_u64().unwrap();
    assert_eq!(answer["status"]["observedGeneration"], generation - 1, "a rollout begins after the answer");
    model.settle();
    let after = [model.unit("a/0").address, model.unit("a/1").address];
    assert!(before[0] != after[0] && before[1] != after[1], "{before:?} {after:?}");
    assert!(after[1] < after[0], "the highest number is the first to go: {after:?}");
    let hooks = model.hooks("a/1");
    assert_eq!(hooks.iter().filter(|hook| *hook == "start").count(), 2, "{hooks:?}");
    let set = objects(&model).into_iter().find(|object| object["kind"] == "StatefulSet").unwrap();
    assert_eq!(set["status"]["currentRevision"], set["status"]["updateRevision"]);
    assert_eq!(
        (&set["status"]["updatedReplicas"], &set["status"]["observedGeneration"]),
        (&json!(2), &json!(generation))
    );

    // The same again, and a label of the object, leave the pods alone.
    send(labelled);
    send(r#"{"metadata": {"labels": {"part": "a"}}}"#);
    model.settle();
    assert_eq!(after, [model.unit("a/0").address, model.unit("a/1").address]);
}
