//! `tempo_cluster`, with the cluster library of the framework that coordinators and workers in Python share.

use juju_ops::Hook;
use juju_relations::EndpointMeta;
use juju_relations::tempo_cluster::{
    ClusterRequirer, CoordinatorAppData, INTERFACE, RequirerEvent, Role, Topology, WorkerUnitData,
};
use juju_sim::{CharmMeta, Context, Event, Relation, State};
use serde_json::{Value, json};

use crate::bags::{said, written};
use crate::peer::Peer;
use crate::scene::{GRAFANA, LOKI, WORKERS, after, alone, requirer, s3, settled};

/// The model that states are in.
const MODEL: &str = "00000000-0000-4000-8000-000000000001";
const ADDRESS: &str = "worker-0.worker-endpoints.obs.svc.cluster.local";

/// Everything a cluster needs but workers: those of `worker` have not said anything yet.
fn without_words_from_workers(units: u32) -> State {
    let silent = Relation::new("tempo-cluster", WORKERS, INTERFACE, "worker");
    let silent =
        (0..units).fold(silent, |relation, unit| relation.with_remote_unit(unit, [] as [(&str, &str); 0]));
    alone()
        .with_relation(s3())
        .with_relation(requirer(GRAFANA, "grafana", r#"["zipkin"]"#))
        .with_relation(requirer(LOKI, "loki", r#"["otlp_grpc"]"#))
        .with_relation(silent)
}

fn worker(roles: &[&str]) -> Peer {
    Peer::opposite("tempo_cluster.Worker", json!({"roles": roles, "address": ADDRESS}))
}

fn told(state: &State) -> CoordinatorAppData {
    said(&state.relation("tempo-cluster", WORKERS).unwrap().local_app_data).expect("something")
}

#[test]
fn a_python_worker_joins_the_cluster_and_gets_its_configuration() {
    let mut state = without_words_from_workers(1);
    let mut worker = worker(&["all"]);
    worker.hook("created", &mut state, WORKERS);
    let mut state = after(&state, Event::relation_changed("tempo-cluster", WORKERS));
    assert!(state.unit_status.is_active(), "{:?}", state.unit_status);

    let heard = worker.hook("changed", &mut state, WORKERS);
    assert_eq!(heard.emitted, ["ConfigReceivedEvent"]);
    let said = &heard.said;
    assert_eq!(said["published"], true);
    assert_eq!(said["config"]["storage"]["trace"]["s3"]["secret_key"], "sekret-hunter22");
    assert_eq!(said["config"]["memberlist"]["join_members"], json!([format!("{ADDRESS}:7946")]));
    assert_eq!(said["ports"], json!([3200, 4317, 4318, 7946, 9096, 9411]));
    let receivers = json!({
        "otlp_grpc": "tempo.obs.svc.cluster.local:4317",
        "otlp_http": "http://tempo.obs.svc.cluster.local:4318",
        "zipkin": "http://tempo.obs.svc.cluster.local:9411",
    });
    assert_eq!(said["charm_tracing"], receivers);
    assert_eq!(said["workload_tracing"], receivers);
    assert_eq!(said["labels"], json!({"app.kubernetes.io/part-of": "tempo"}));
    assert_eq!(said["tls"], Value::Null);
}

#[test]
fn the_configuration_means_to_a_python_worker_what_it_means_to_us() {
    let mut state = settled();
    let ours: Value = serde_yaml::from_str(told(&state).worker_config.expose()).unwrap();
    let heard = worker(&["all"]).hook("changed", &mut state, WORKERS);
    assert_eq!(heard.said["config"], ours);
}

#[test]
fn several_python_workers_are_one_cluster() {
    let mut state = without_words_from_workers(2);
    worker(&["ingester", "distributor", "querier", "query-frontend", "compactor"])
        .hook("created", &mut state, WORKERS);
    let address = "worker-1.worker-endpoints.obs.svc.cluster.local";
    let mut follower =
        Peer::opposite("tempo_cluster.Worker", json!({"roles": [], "address": address})).follower(1);
    follower.hook("created", &mut state, WORKERS);
    let mut state = after(&state, Event::relation_changed("tempo-cluster", WORKERS));
    assert!(state.unit_status.is_active(), "{:?}", state.unit_status);
    let heard = follower.hook("changed", &mut state, WORKERS);
    assert_eq!(
        heard.said["config"]["memberlist"]["join_members"],
        json!([format!("{ADDRESS}:7946"), format!("{address}:7946")])
    );
}

#[test]
fn a_python_worker_understands_everything_a_coordinator_can_say() {
    let mut state = settled();
    let data = everything();
    let relation = state.relation_mut("tempo-cluster", WORKERS).unwrap();
    relation.local_app_data = written(&data);
    let key = juju_sim::Secret::new("9m4e2mr0ui3e8a215n4g", "unit-tempo-0", [("private-key", "the key")]);
    let mut state = state.with_secret(
        key.granted_to("application-worker", "relation-worker.tempo-cluster#tempo.tempo-cluster"),
    );
    let heard = worker(&["all"]).hook("changed", &mut state, WORKERS);
    assert_eq!(
        heard.said,
        json!({
            "published": true,
            "config": {"server": {"http_listen_port": 3200}},
            "ports": [3200, 7946],
            "loki": {"loki/0": "http://l/push"},
            "charm_tracing": {"otlp_http": "http://c:4318"},
            "workload_tracing": {"otlp_grpc": "w:4317"},
            "remote_write": [{"url": "http://p/write"}],
            "labels": {"app.kubernetes.io/part-of": "tempo"},
            "tls": {"ca": "the authority", "certificate": "the certificate", "key": "the key", "s3_ca": "a\n\nb"},
        })
    );
}

/// One of each.
fn everything() -> CoordinatorAppData {
    let map = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    CoordinatorAppData {
        loki_endpoints: map("loki/0", "http://l/push"),
        charm_tracing_receivers: map("otlp_http", "http://c:4318"),
        workload_tracing_receivers: map("otlp_grpc", "w:4317"),
        remote_write_endpoints: vec![juju_relations::tempo_cluster::RemoteWriteEndpoint {
            url: "http://p/write".into(),
        }],
        worker_ports: Some([3200, 7946].into()),
        ca_cert: Some("the authority".into()),
        server_cert: Some("the certificate".into()),
        privkey_secret_id: Some(format!("secret://{MODEL}/9m4e2mr0ui3e8a215n4g")),
        s3_tls_ca_chain: Some("a\n\nb".into()),
        worker_labels: map("app.kubernetes.io/part-of", "tempo"),
        ..CoordinatorAppData::new("server:\n  http_listen_port: 3200\n")
    }
}

/// What the Python coordinator has to be told in order to publish this.
fn arguments(data: &CoordinatorAppData) -> Value {
    json!({
        "publish": {
            "worker_config": data.worker_config.expose(),
            "loki_endpoints": data.loki_endpoints,
            "charm_tracing_receivers": data.charm_tracing_receivers,
            "workload_tracing_receivers": data.workload_tracing_receivers,
            "remote_write_endpoints": data.remote_write_endpoints,
            "ca_cert": data.ca_cert,
            "server_cert": data.server_cert,
            "privkey_secret_id": data.privkey_secret_id,
            "s3_tls_ca_chain": data.s3_tls_ca_chain,
            "worker_labels": data.worker_labels,
        },
        "ports": data.worker_ports,
    })
}

#[test]
fn the_python_coordinator_in_our_place_writes_the_same_bytes() {
    let settled = settled();
    let mut full = settled.clone();
    full.relation_mut("tempo-cluster", WORKERS).unwrap().local_app_data = written(&everything());
    for before in [settled, full] {
        let mut state = before.clone();
        let mut reference = Peer::in_our_place("tempo_cluster.Coordinator", arguments(&told(&state)));
        reference.hook("changed", &mut state, WORKERS);
        let written = |state: &State| state.relation("tempo-cluster", WORKERS).cloned();
        assert_eq!(written(&state), written(&before));
    }
}

const WORKER_META: &str =
    "{name: tempo-worker-k8s, requires: {tempo-cluster: {interface: tempo_cluster, limit: 1}}}";

/// A worker made of our own type, the leader of `worker`, after its hook for this event.
fn rust_worker(state: &State, event: Event) -> (State, Option<RequirerEvent>) {
    let meta = CharmMeta::from_texts(WORKER_META, None, None, None).expect("metadata");
    let (tell, told) = std::sync::mpsc::channel();
    let charm = async move |hook: Hook| {
        let endpoint = EndpointMeta::requires("tempo-cluster", INTERFACE).limited(1);
        let cluster = ClusterRequirer::new(&hook, endpoint).expect("the endpoint fits");
        let topology = Topology {
            application: "worker".into(),
            unit: "worker/0".into(),
            charm_name: "tempo-worker-k8s".into(),
        };
        let unit = WorkerUnitData { juju_topology: topology, address: ADDRESS.into() };
        cluster.announce(&unit, [Role::Querier, Role::QueryFrontend]).await?;
        // The test waits for it.
        let _ = tell.send(cluster.event().await?);
        Ok::<_, juju_ops::Error>(())
    };
    let outcome = Context::new(meta).run(state, event, charm);
    outcome.assert_ok();
    (outcome.state, told.recv().expect("the charm ran"))
}

fn rust_worker_state() -> State {
    let meta = CharmMeta::from_texts(WORKER_META, None, None, None).expect("metadata");
    let relation = Relation::new("tempo-cluster", WORKERS, INTERFACE, "tempo");
    State::for_unit(&meta, "worker/0")
        .with_leader(true)
        .with_relation(relation.with_remote_unit(0, [] as [(&str, &str); 0]))
}

#[test]
fn a_python_coordinator_knows_our_worker() {
    let (mut state, _) = rust_worker(&rust_worker_state(), Event::relation_created("tempo-cluster", WORKERS));
    let mut coordinator = Peer::opposite("tempo_cluster.Coordinator", json!({"publish": null, "ports": []}));
    let heard = coordinator.hook("joined", &mut state, WORKERS);
    assert_eq!(heard.emitted, ["ClusterChangedEvent"]);
    assert_eq!(
        heard.said,
        json!({
            "roles": {"querier": 1, "query-frontend": 1},
            "addresses": [ADDRESS],
            "addresses_by_role": {"querier": [ADDRESS], "query-frontend": [ADDRESS]},
            "topology": [{
                "address": ADDRESS,
                "application": "worker",
                "unit": "worker/0",
                "charm_name": "tempo-worker-k8s",
            }],
        })
    );
}

#[test]
fn our_worker_understands_everything_a_python_coordinator_can_say() {
    let (mut state, _) = rust_worker(&rust_worker_state(), Event::relation_created("tempo-cluster", WORKERS));
    let data = everything();
    Peer::opposite("tempo_cluster.Coordinator", arguments(&data)).hook("changed", &mut state, WORKERS);
    let (_, event) = rust_worker(&state, Event::relation_changed("tempo-cluster", WORKERS));
    let Some(RequirerEvent::ConfigReceived { data: received, .. }) = event else { panic!("{event:?}") };
    assert_eq!(*received, data);
}
