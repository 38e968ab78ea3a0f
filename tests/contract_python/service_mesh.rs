//! `service_mesh` and `cross_model_mesh`, with `charmlibs.interfaces.service_mesh`.

use juju_relations::service_mesh::{INTERFACE, MeshType, ProviderAppData, RequirerAppData};
use juju_relations::{cross_model_mesh, service_mesh::MeshPolicy};
use juju_sim::{Event, Relation, State};
use serde_json::{Value, json};

use crate::bags::{read, said, written};
use crate::peer::Peer;
use crate::scene::{WORKERS, after, alone, complete, requirer, without};

const MESH: u32 = 60;
const SCRAPER: u32 = 61;
const GUEST: u32 = 62;
const HOST: u32 = 63;

fn silent(endpoint: &str, id: u32, interface: &str, app: &str) -> Relation {
    Relation::new(endpoint, id, interface, app).with_remote_unit(0, [] as [(&str, &str); 0])
}

/// The complete cluster with a mesh, a scraper, and an application of another model on both ends.
fn meshed() -> State {
    let state = complete()
        .with_relation(silent("service-mesh", MESH, INTERFACE, "beacon"))
        .with_relation(silent("metrics-endpoint", SCRAPER, "prometheus_scrape", "prometheus"))
        .with_relation(silent("provide-cmr-mesh", GUEST, cross_model_mesh::INTERFACE, "loki"))
        .with_relation(silent("require-cmr-mesh", HOST, cross_model_mesh::INTERFACE, "mimir"));
    after(&state, Event::ConfigChanged)
}

fn mesh() -> Peer {
    Peer::opposite("service_mesh.Mesh", json!({"labels": {"istio.io/dataplane-mode": "ambient"}}))
}

fn policies(state: &State) -> Vec<MeshPolicy> {
    let data: RequirerAppData = read(&state.relation("service-mesh", MESH).unwrap().local_app_data);
    assert_eq!(data.problems, Vec::<String>::new());
    data.policies
}

#[test]
fn a_python_mesh_understands_our_policies() {
    let mut state = meshed();
    let heard = mesh().hook("changed", &mut state, MESH);
    let ours = policies(&state);
    assert!(ours.len() >= 4, "{ours:?}");
    assert_eq!(heard.said, serde_json::to_value(ours).unwrap());
}

#[test]
fn we_understand_what_makes_a_member_of_a_python_mesh() {
    let mut state = meshed();
    mesh().hook("created", &mut state, MESH);
    let bag = &state.relation("service-mesh", MESH).unwrap().remote_app_data;
    let data: ProviderAppData = said(bag).expect("labels");
    assert_eq!(data.mesh_type, MeshType::Istio);
    assert_eq!(data.labels, [("istio.io/dataplane-mode".to_owned(), "ambient".to_owned())].into());
    assert_eq!(written(&data), *bag, "not the same bytes");

    // Workers become members too.
    let state = after(&state, Event::relation_changed("service-mesh", MESH));
    let told = &state.relation("tempo-cluster", WORKERS).unwrap().local_app_data;
    assert!(told["worker_labels"].contains(r#""istio.io/dataplane-mode": "ambient""#), "{told:?}");
}

#[test]
fn a_python_member_understands_our_mesh() {
    let mut state = alone().with_relation(silent("service-mesh", MESH, INTERFACE, "member"));
    let data = ProviderAppData {
        labels: [("istio.io/dataplane-mode".to_owned(), "ambient".to_owned())].into(),
        mesh_type: MeshType::Istio,
        problems: Vec::new(),
    };
    state.relation_mut("service-mesh", MESH).unwrap().local_app_data = written(&data);
    let heard = Peer::opposite("service_mesh.Member", json!({})).hook("changed", &mut state, MESH);
    assert_eq!(
        heard.said,
        json!({"enabled": true, "labels": {"istio.io/dataplane-mode": "ambient"}, "type": "istio"})
    );
}

/// What the charm lets its guests do.
fn table(receivers: &[u16]) -> Value {
    json!([
        ["unit", "metrics-endpoint", [3300, 9113]],
        ["app", "metrics-endpoint", [3300], ["GET"], ["/proxy/worker/{*}/metrics"]],
        ["app", "tempo-api", [3200, 9096]],
        ["app", "tracing", receivers],
        ["app", "grafana-source", [3200]],
        ["app", "probes", [3200], ["GET"], ["/ready"]],
    ])
}

#[test]
fn the_python_library_in_our_place_writes_the_same_policies() {
    let mut state = meshed();
    Peer::opposite("service_mesh.Guest", json!({})).hook("created", &mut state, GUEST);
    let mut state = after(&state, Event::relation_changed("provide-cmr-mesh", GUEST));
    let before = state.relation("service-mesh", MESH).cloned();
    let options = json!({"policies": table(&[4317, 4318, 9411])});
    Peer::in_our_place("service_mesh.Member", options).hook("created", &mut state, MESH);
    assert_eq!(state.relation("service-mesh", MESH).cloned(), before);
}

#[test]
fn a_python_guest_from_another_model_is_let_in_under_its_own_name() {
    // In its model it is otelcol; here, Juju made up a name for it.
    let mut there =
        alone().with_relation(silent("provide-cmr-mesh", GUEST, cross_model_mesh::INTERFACE, "otelcol"));
    there.model.name = "apps".into();
    Peer::opposite("service_mesh.Guest", json!({})).hook("created", &mut there, GUEST);
    let written_there = there.relation("provide-cmr-mesh", GUEST).unwrap().remote_app_data.clone();
    let guest: cross_model_mesh::RequirerAppData = said(&written_there).expect("an identity");
    assert_eq!(guest, cross_model_mesh::RequirerAppData::new("otelcol", "apps"));
    assert_eq!(written(&guest), written_there, "not the same bytes");

    let name = "remote-0123456789abcdef0123456789abcdef";
    let here = silent("provide-cmr-mesh", GUEST, cross_model_mesh::INTERFACE, name);
    let state = without(&meshed(), GUEST)
        .with_relation(here.with_remote_app_data(written_there))
        .with_relation(requirer(GUEST + 10, name, r#"["otlp_http"]"#));
    let state = after(&state, Event::relation_changed("provide-cmr-mesh", GUEST));
    let sources: Vec<_> = policies(&state)
        .into_iter()
        .map(|policy| (policy.source_namespace, policy.source_app_name))
        .filter(|(_, app)| app == "otelcol" || app == name)
        .collect();
    assert_eq!(sources, [("apps".to_owned(), "otelcol".to_owned())]);
}

#[test]
fn a_python_host_in_another_model_learns_who_we_are() {
    let mut state = meshed();
    let heard = Peer::opposite("service_mesh.Host", json!({})).hook("changed", &mut state, HOST);
    assert_eq!(heard.said, json!({"tempo": {"app_name": "tempo", "juju_model_name": "obs"}}));
}
