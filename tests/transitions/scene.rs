//! Scenes to start from, and the charm to run in them.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use juju_ops::Hook;
use juju_sim::{Backend, CharmMeta, Container, Context, Event, ExecHandler, Outcome, Relation, State};
use tempo_coordinator::Surroundings;
use tempo_coordinator::kubernetes::Access;
use tempo_coordinator::snapshot::Host;

/// Numbers of the relations in [`complete`]; the peer relation has 1.
pub(crate) const S3: u32 = 2;
pub(crate) const WORKERS: u32 = 3;
pub(crate) const GRAFANA: u32 = 10;
pub(crate) const LOKI: u32 = 11;

/// When the hooks run: a moment in 2026.
pub(crate) const NOW: i64 = 1_790_000_000;

static META: LazyLock<Arc<CharmMeta>> = LazyLock::new(|| {
    let meta = CharmMeta::from_dir(env!("CARGO_MANIFEST_DIR")).expect("the charm's own files can be read");
    Arc::new(meta)
});

pub(crate) fn context() -> Context {
    Context::new(META.clone())
}

/// The charm, in a pod whose files say what a Kubernetes pod's would.
pub(crate) async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
    let unit = hook.env().unit.clone();
    let fqdn = format!("{}.{}-endpoints.obs.svc.cluster.local", unit.dashed(), unit.app());
    charm_at(hook, &fqdn).await
}

/// The charm, in a pod of this name.
pub(crate) async fn charm_at(hook: Hook, fqdn: &str) -> Result<(), juju_ops::Error> {
    charm_with(hook, fqdn, None).await
}

/// The charm, in a pod of this name with or without a way to the Kubernetes API.
pub(crate) async fn charm_with(
    hook: Hook,
    fqdn: &str,
    kubernetes: Option<Access>,
) -> Result<(), juju_ops::Error> {
    let host = Host {
        fqdn: fqdn.to_owned(),
        nameserver: Some("10.152.183.10".parse().expect("an address")),
        ipv6: false,
    };
    let around = Surroundings { host, now: NOW, began: Instant::now(), kubernetes, network: false };
    tempo_coordinator::dispatch(hook, around).await
}

/// How many odd cases to try where so many are wanted. What they look for is in the charm, which does not know the backend;
/// so where each call costs more, there are fewer.
pub(crate) fn cases(wanted: u32) -> u32 {
    match Backend::from_env() {
        Backend::InProcess => wanted,
        Backend::Socket => wanted / 20,
        Backend::Processes => wanted.div_ceil(1_000),
    }
}

/// Steps at which to try a fault: all of them, or a tenth where each call is a process.
pub(crate) fn sweep(steps: usize) -> impl Iterator<Item = usize> {
    (0..steps).step_by(if Backend::from_env() == Backend::Processes { 10 } else { 1 })
}

#[track_caller]
pub(crate) fn run(state: &State, event: Event) -> Outcome {
    context().run(state, event, charm)
}

/// The state after the hook, which has to succeed.
#[track_caller]
pub(crate) fn after(state: &State, event: Event) -> State {
    let outcome = run(state, event);
    outcome.assert_ok();
    outcome.state
}

/// The leader, alone: nothing related, both containers up, nginx accepting every configuration.
pub(crate) fn alone() -> State {
    let mut state = State::new(&META).with_leader(true).with_containers_ready();
    state.unit = "tempo/0".into();
    state.model.name = "obs".into();
    for relation in &mut state.relations {
        relation.remote_app = "tempo".into();
    }
    with_nginx(state, ExecHandler::new(["nginx", "-t"]))
}

/// Lets nginx answer `nginx -t` in this way.
pub(crate) fn with_nginx(mut state: State, handler: ExecHandler) -> State {
    let nginx = state.containers.remove("nginx").unwrap_or_else(Container::ready);
    state.with_container("nginx", Container { execs: vec![handler], ..nginx })
}

/// [`alone`] with a bucket, a worker that plays every role, and two requirers: grafana asks for Zipkin, loki for OTLP over
/// gRPC.
pub(crate) fn complete() -> State {
    alone()
        .with_relation(s3())
        .with_relation(worker(WORKERS, "worker", "all", 1))
        .with_relation(requirer(GRAFANA, "grafana", r#"["zipkin"]"#))
        .with_relation(requirer(LOKI, "loki", r#"["otlp_grpc"]"#))
}

/// [`complete`], after the charm has done its work in it.
pub(crate) fn settled() -> State {
    let state = after(&complete(), Event::ConfigChanged);
    assert_eq!((state.unit_status.status.as_str(), state.app_status.status.as_str()), ("active", "active"));
    state
}

pub(crate) fn s3() -> Relation {
    Relation::new("s3", S3, "s3", "s3").with_remote_app_data([
        ("access-key", "AKEXAMPLE"),
        ("secret-key", "sekret-hunter22"),
        ("bucket", "traces"),
        ("endpoint", "http://10.20.0.5:9000"),
    ])
}

pub(crate) fn worker(id: u32, app: &str, role: &str, units: u32) -> Relation {
    let relation = Relation::new("tempo-cluster", id, "tempo_cluster", app)
        .with_remote_app_data([("role", format!("\"{role}\""))]);
    (0..units).fold(relation, |relation, n| {
        let topology =
            format!(r#"{{"application": "{app}", "unit": "{app}/{n}", "charm_name": "tempo-worker-k8s"}}"#);
        let address = format!("\"{app}-{n}.{app}-endpoints.obs.svc.cluster.local\"");
        relation.with_remote_unit(n, [("juju_topology", topology), ("address", address)])
    })
}

pub(crate) fn requirer(id: u32, app: &str, receivers: &str) -> Relation {
    Relation::new("tracing", id, "tracing", app)
        .with_remote_app_data([("receivers", receivers)])
        .with_remote_unit(0, [] as [(&str, &str); 0])
}

/// The other application's last unit has left; relation-broken is next.
pub(crate) fn deserted(mut state: State, id: u32) -> State {
    let relation =
        state.relations.iter_mut().find(|relation| relation.id == id).expect("the relation is there");
    relation.departed_units.append(&mut relation.remote_units);
    state
}

/// Removes a relation from the state, as Juju has when the relation-broken hook is over.
pub(crate) fn without(state: &State, id: u32) -> State {
    let mut state = state.clone();
    state.relations.retain(|relation| relation.id != id);
    state
}

/// `protocol url` of each receiver published to a requirer.
pub(crate) fn published(state: &State, id: u32) -> Vec<String> {
    let relation = state.relation("tracing", id).expect("the relation is there");
    let Some(text) = relation.local_app_data.get("receivers") else { return Vec::new() };
    let receivers: Vec<serde_json::Value> = serde_json::from_str(text).expect("receivers are JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    receivers.iter().map(|r| format!("{} {}", text(&r["protocol"]["name"]), text(&r["url"]))).collect()
}

/// The configuration that nginx was given.
pub(crate) fn nginx_conf(state: &State) -> String {
    state.containers["nginx"].file_text("/etc/nginx/nginx.conf").expect("there is a configuration")
}
