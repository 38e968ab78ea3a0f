//! What the charm keeps in Kubernetes for a mesh, with the mesh's own libraries and their client of Kubernetes.

use juju_sim::kubernetes::{Account, Api, Cluster};
use juju_sim::{Event, Relation, State};
use serde_json::{Value, json};
use tempo_coordinator::kubernetes::Access;
use tempo_coordinator::secret::Secret;

use crate::peer::Peer;
use crate::scene::{charm_with, complete, context};

const MESH: u32 = 60;
const TOKEN: &str = "a-token";

/// The API of a cluster in which Juju has made what the charm needs.
fn api() -> Api {
    let account = Account { namespace: "obs".into(), name: "tempo".into(), trusted: true };
    let cluster = Cluster::new()
        .with_statefulset("tempo", "obs", &["nginx", "nginx-prometheus-exporter"])
        .with_account(TOKEN, account);
    Api::start(cluster).expect("a free port")
}

/// The complete cluster in a mesh.
fn meshed() -> State {
    let mesh = Relation::new("service-mesh", MESH, "service_mesh", "istio-beacon").with_remote_app_data([
        ("labels", r#"{"istio.io/dataplane-mode": "ambient"}"#),
        ("mesh_type", r#""istio""#),
    ]);
    complete().with_relation(mesh.with_remote_unit(0, [] as [(&str, &str); 0]))
}

/// The state after our charm's hook.
#[track_caller]
fn ours(state: &State, api: &Api) -> State {
    let access =
        Access { url: api.url(), token: Secret::new(TOKEN), ca: String::new(), namespace: "obs".into() };
    let outcome = context().run(state, Event::ConfigChanged, async move |hook: juju_ops::Hook| {
        Box::pin(charm_with(hook, "tempo-0.tempo-endpoints.obs.svc.cluster.local", Some(access))).await
    });
    outcome.assert_ok();
    outcome.state
}

/// The hook of the charm in our place.
#[track_caller]
fn theirs(state: &mut State, api: &Api) {
    let options = json!({"api": api.url(), "token": TOKEN, "workers": ["worker"]});
    Peer::in_our_place("kubernetes.Coordinator", options).hook("changed", state, MESH);
}

/// All that is there for a mesh: policies, what remembers labels, and the labels.
fn objects(api: &Api) -> Vec<Value> {
    let cluster = api.cluster();
    let plain = |object: &Value| {
        let metadata = &object["metadata"];
        json!({
            "name": metadata["name"],
            "labels": metadata["labels"],
            "remembered": remembered(object),
            "policy": (object["kind"] == "AuthorizationPolicy").then(|| object["spec"].clone()),
            "pods": object["spec"]["template"]["metadata"]["labels"],
        })
    };
    ["authorizationpolicies", "configmaps", "services", "statefulsets"]
        .into_iter()
        .flat_map(|plural| cluster.list(plural).map(plain).collect::<Vec<_>>())
        .collect()
}

/// The labels that a `ConfigMap` remembers: its text is JSON.
fn remembered(object: &Value) -> Option<Value> {
    object["data"]["labels"].as_str().map(|text| serde_json::from_str(text).expect("JSON"))
}

#[test]
fn a_predecessor_in_python_has_made_what_we_would_make() {
    let api = api();
    let mut state = meshed();
    theirs(&mut state, &api);
    let before = objects(&api);
    let policies = before.iter().filter(|object| !object["policy"].is_null());
    assert_eq!(policies.count(), 3, "{before:?}");
    ours(&state, &api);
    assert_eq!(objects(&api), before);
}

#[test]
fn a_successor_in_python_finds_what_it_would_make() {
    let api = api();
    let mut state = ours(&meshed(), &api);
    let before = objects(&api);
    theirs(&mut state, &api);
    assert_eq!(objects(&api), before);
}
