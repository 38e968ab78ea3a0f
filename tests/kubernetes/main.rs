//! The charm and the list that the simulated Kubernetes API is checked with, against a real API server. `cargo xtask kubernetes`
//! starts one and runs this.
//!
//! There is nothing else of a cluster: no controller acts on what is stored, so pods neither start nor stop.

#[path = "../transitions/scene.rs"]
#[allow(dead_code)] // most of it is for the other tests
mod scene;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use juju_sim::kubernetes::{Cluster, contract};
use juju_sim::{Event, Outcome, Relation, State};
use serde_json::{Value, json};
use tempo_coordinator::kubernetes::{Access, Client, Kind};
use tempo_coordinator::secret::Secret;

use scene::{WORKERS, charm_with, complete, context, without, worker};

const MESH: u32 = 30;
/// Longer than any call takes.
const TIME: Duration = Duration::from_mins(1);
/// How long the server may take to start.
const START: Duration = Duration::from_secs(90);

/// The server.
struct Server {
    url: String,
    /// Certificate of the authority that signed the server's.
    ca: String,
    secret: String,
    /// What was not as it has to be before the mesh's resource was defined.
    before: Vec<String>,
}

/// The server, ready, with the mesh's resource defined.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = std::env::var_os("KUBERNETES_TEST").map(PathBuf::from);
        let folder = folder.expect("`cargo xtask kubernetes` runs this test and says where the server is");
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default().trim().to_owned();
        let deadline = Instant::now() + START;
        loop {
            // The server's own certificate comes first, and then the one that has signed it.
            let chain = read("apiserver.crt");
            let ca = chain.rfind("-----BEGIN").map(|start| chain[start..].to_owned()).unwrap_or_default();
            let mut server = Server { url: read("url"), ca, secret: read("secret"), before: Vec::new() };
            let ready =
                contract::run(&server.as_admin("default"), &[step("GET", "/readyz", 200, Value::Null)]);
            if ready.is_empty() {
                server.before = contract::run(&server.as_admin("contract"), &contract::unknown());
                contract::install(&server.as_admin("contract")).expect("the definition is taken");
                return server;
            }
            assert!(Instant::now() < deadline, "the server does not get ready: {ready:?}");
            // There is nothing to wait on but the server itself.
            std::thread::sleep(Duration::from_millis(200));
        }
    })
}

impl Server {
    fn with_token(&self, who: &str, namespace: &str) -> contract::Server {
        contract::Server {
            url: self.url.clone(),
            token: format!("{}-{who}", self.secret),
            ca: self.ca.clone(),
            namespace: namespace.to_owned(),
        }
    }

    fn as_admin(&self, namespace: &str) -> contract::Server {
        self.with_token("admin", namespace)
    }
}

fn step(method: &'static str, path: &str, status: u16, body: Value) -> contract::Step {
    contract::Step {
        about: "preparation",
        method,
        path: path.to_owned(),
        content_type: "application/json",
        body,
        status,
        has: Value::Null,
        keeps: Vec::new(),
    }
}

/// An application as Juju makes it, in a namespace of its own.
struct Application {
    number: u32,
    namespace: String,
}

impl Application {
    /// The namespace, the `StatefulSet` and the services; not trusted.
    fn new(number: u32) -> Self {
        let namespace = format!("obs-{number}");
        let objects = Cluster::new().with_statefulset("tempo", &namespace, &["nginx", "exporter"]);
        let mut steps = vec![step(
            "POST",
            "/api/v1/namespaces",
            201,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        )];
        for (group, plural) in [("apis/apps/v1", "statefulsets"), ("api/v1", "services")] {
            for object in objects.list(plural) {
                let mut new = json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "spec": object["spec"]});
                new["metadata"] =
                    json!({"name": object["metadata"]["name"], "labels": object["metadata"]["labels"]});
                steps.push(step("POST", &format!("/{group}/namespaces/{namespace}/{plural}"), 201, new));
            }
        }
        assert_eq!(contract::run(&server().as_admin(&namespace), &steps), [""; 0]);
        Self { number, namespace }
    }

    /// As `juju trust --scope=cluster` does.
    fn trusted(self) -> Self {
        let user = format!("system:serviceaccount:{}:tempo", self.namespace);
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": self.namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        assert_eq!(contract::run(&server().as_admin(""), &[step("POST", path, 201, binding)]), [""; 0]);
        // What the server has been told takes a moment to count.
        let deadline = Instant::now() + START;
        let looking = step(
            "GET",
            &format!("/apis/apps/v1/namespaces/{}/statefulsets/tempo", self.namespace),
            200,
            Value::Null,
        );
        let own = server().with_token(&self.number.to_string(), &self.namespace);
        while let Some(problem) = contract::run(&own, std::slice::from_ref(&looking)).pop() {
            assert!(Instant::now() < deadline, "{problem}");
            std::thread::sleep(Duration::from_millis(50));
        }
        self
    }

    fn access(&self, who: &str) -> Access {
        Access {
            url: server().url.clone(),
            token: Secret::new(format!("{}-{who}", server().secret)),
            ca: server().ca.clone(),
            namespace: self.namespace.clone(),
        }
    }

    /// The charm's hook.
    #[track_caller]
    fn run(&self, state: &State, event: Event) -> Outcome {
        let access = self.access(&self.number.to_string());
        let outcome = context().run(state, event, async move |hook: juju_ops::Hook| {
            charm_with(hook, "tempo-0.tempo-endpoints.obs.svc.cluster.local", Some(access)).await
        });
        outcome.assert_ok();
        outcome
    }

    #[track_caller]
    fn after(&self, state: &State, event: Event) -> State {
        self.run(state, event).state
    }

    /// Something that the administrator asks.
    fn ask<T>(&self, question: impl AsyncFnOnce(Client) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client = Client::new(&self.access("admin"), TIME).expect("a client");
            question(client).await
        })
    }

    fn get(&self, kind: Kind, name: &str) -> Option<Value> {
        self.ask(async |client| client.get(kind, name).await).expect("an answer")
    }

    fn stateful_set(&self) -> Value {
        self.get(Kind::StatefulSet, "tempo").expect("it was made")
    }

    fn resources(&self) -> Value {
        let set = self.stateful_set();
        let containers = set["spec"]["template"]["spec"]["containers"].as_array().expect("containers");
        containers.iter().find(|container| container["name"] == "nginx").expect("nginx")["resources"].clone()
    }

    fn remembered(&self, name: &str) -> Option<Value> {
        let map = self.get(Kind::ConfigMap, name)?;
        Some(serde_json::from_str(map["data"]["labels"].as_str().expect("labels")).expect("JSON"))
    }

    fn policies(&self) -> Vec<Value> {
        self.ask(async |client| client.list(Kind::AuthorizationPolicy, "").await)
            .expect("an answer")
            .expect("known")
    }

    /// The versions of all objects: they change with anything that is written.
    fn versions(&self) -> Vec<Value> {
        let mut objects = vec![self.get(Kind::StatefulSet, "tempo"), self.get(Kind::Service, "tempo")];
        objects.extend(
            ["tempo-pod-labels", "juju-service-mesh-tempo-labels"]
                .map(|name| self.get(Kind::ConfigMap, name)),
        );
        objects.extend(self.policies().into_iter().map(Some));
        objects.into_iter().flatten().map(|object| object["metadata"]["resourceVersion"].clone()).collect()
    }
}

/// A complete cluster that writes its metrics somewhere, so that nothing else is in its status.
fn state() -> State {
    let remote_write = Relation::new("send-remote-write", 20, "prometheus_remote_write", "prometheus")
        .with_remote_unit(0, [("remote_write", r#"{"url": "http://prometheus-0.x:9090/api/v1/write"}"#)]);
    without(&complete(), WORKERS)
        .with_relation(worker(WORKERS, "worker", "all", 3))
        .with_relation(remote_write)
}

fn in_mesh(state: State) -> State {
    let mesh = Relation::new("service-mesh", MESH, "service_mesh", "istio-beacon").with_remote_app_data([
        ("labels", r#"{"istio.io/dataplane-mode": "ambient"}"#),
        ("mesh_type", r#""istio""#),
    ]);
    state.with_relation(mesh)
}

fn unit_status(state: &State) -> (&str, &str) {
    (state.unit_status.status.as_str(), state.unit_status.message.as_str())
}

#[test]
fn the_simulated_api_answers_as_the_real_one_does() {
    assert_eq!(server().before, [""; 0]);
    let admin = server().as_admin("contract");
    assert_eq!(contract::run(&admin, &contract::core()), [""; 0]);
    assert_eq!(contract::run(&admin, &contract::custom()), [""; 0]);
    let nobody = server().with_token("nobody", "contract");
    assert_eq!(contract::run(&nobody, &contract::denied()), [""; 0]);
    let stranger = server().with_token("guessed", "contract");
    assert_eq!(contract::run(&stranger, &contract::strange()), [""; 0]);
}

#[test]
fn without_trust_the_status_says_what_to_do_and_with_it_the_work_is_done() {
    let application = Application::new(1);
    for leader in [true, false] {
        let refused = application.after(&state().with_leader(leader), Event::ConfigChanged);
        let (kind, message) = unit_status(&refused);
        assert_eq!(kind, "blocked");
        assert!(
            message.starts_with("[kubernetes] run `juju trust tempo --scope=cluster`: ")
                && message.contains(r#"statefulsets.apps "tempo" is forbidden"#),
            "{message}"
        );
    }
    let application = application.trusted();
    let settled = application.after(&state(), Event::ConfigChanged);
    let settled = application.after(&settled, Event::UpdateStatus);
    assert_eq!(unit_status(&settled), ("active", ""));
    assert_eq!(application.resources(), json!({"requests": {"cpu": "50m", "memory": "100Mi"}}));
    let labels = json!({"app.kubernetes.io/name": "tempo", "app.kubernetes.io/part-of": "tempo"});
    assert_eq!(application.stateful_set()["spec"]["template"]["metadata"]["labels"], labels);
    let service = application.get(Kind::Service, "tempo").expect("it was made");
    assert_eq!(service["metadata"]["labels"]["app.kubernetes.io/part-of"], "tempo");
    assert_eq!(
        application.remembered("tempo-pod-labels"),
        Some(json!({"app.kubernetes.io/part-of": "tempo"}))
    );

    let versions = application.versions();
    application.run(&settled, Event::ConfigChanged).assert_nothing_written();
    assert_eq!(application.versions(), versions, "a second hook writes nothing");
}

#[test]
fn limits_come_and_go_with_the_options() {
    let application = Application::new(2).trusted();
    let limited = state().with_config("cpu_limit", "0.5").with_config("memory_limit", "0.8Gi");
    let limited = application.after(&limited, Event::ConfigChanged);
    assert_eq!(application.resources()["limits"], json!({"cpu": "500m", "memory": "858993460"}));
    let versions = application.versions();
    let mut limited = application.after(&limited, Event::UpdateStatus);
    assert_eq!(application.versions(), versions, "amounts are compared, not texts");
    limited.config.clear();
    application.after(&limited, Event::ConfigChanged);
    assert_eq!(application.resources().get("limits"), None);
    // The containers beside it are as they were.
    let containers = application.stateful_set()["spec"]["template"]["spec"]["containers"].clone();
    assert_eq!(containers.as_array().map(Vec::len), Some(3));
}

#[test]
fn who_claims_a_limit_is_named() {
    let application = Application::new(3).trusted();
    let patch = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "spec": {"template": {"spec": {"containers": [{"name": "nginx", "resources": {"limits": {"cpu": "3"}}}]}}},
    });
    let applied = application
        .ask(async |client| client.apply(Kind::StatefulSet, "tempo", "somebody", false, &patch).await);
    applied.expect("somebody may");
    let settled = application.after(&state(), Event::ConfigChanged);
    assert_eq!(application.resources()["limits"], json!({"cpu": "3"}), "what is not ours stays");
    let refused = application.after(&settled.with_config("cpu_limit", "1"), Event::ConfigChanged);
    let (kind, message) = unit_status(&refused);
    assert_eq!(kind, "blocked");
    assert!(
        message.starts_with("[kubernetes] setting the resources of nginx: conflict: ")
            && message.contains("somebody"),
        "{message}"
    );
    assert_eq!(application.resources()["limits"], json!({"cpu": "3"}));
}

#[test]
fn a_change_of_the_template_is_waited_for_until_the_controller_has_seen_it() {
    let application = Application::new(4).trusted();
    let seen = |generation: &Value| {
        let status = json!({"status": {"replicas": 1, "observedGeneration": generation}});
        let path = format!("/apis/apps/v1/namespaces/{}/statefulsets/tempo/status", application.namespace);
        let told = contract::Step {
            content_type: "application/merge-patch+json",
            ..step("PATCH", &path, 200, status)
        };
        assert_eq!(contract::run(&server().as_admin(""), &[told]), [""; 0]);
    };
    seen(&application.stateful_set()["metadata"]["generation"]);
    let waiting = application.after(&state(), Event::ConfigChanged);
    let text = "[kubernetes] waiting for the pods to be replaced, because their template has changed";
    assert_eq!(unit_status(&waiting), ("waiting", text));
    seen(&application.stateful_set()["metadata"]["generation"]);
    assert_eq!(unit_status(&application.after(&waiting, Event::UpdateStatus)), ("active", ""));
}

#[test]
fn a_mesh_comes_and_goes_and_the_last_unit_takes_all_of_it_away() {
    let application = Application::new(5).trusted();
    let meshed = application.after(&in_mesh(state()), Event::relation_changed("service-mesh", MESH));
    let policies = application.policies();
    assert_eq!(policies.len(), 3);
    for policy in &policies {
        assert_eq!(policy["metadata"]["labels"]["app.kubernetes.io/instance"], "tempo-obs");
        assert_eq!(policy["spec"]["rules"][0]["to"], json!([]), "{policy}");
    }
    let pods = application.stateful_set()["spec"]["template"]["metadata"]["labels"].clone();
    assert_eq!(pods["istio.io/dataplane-mode"], "ambient");
    let record = "juju-service-mesh-tempo-labels";
    assert_eq!(application.remembered(record), Some(json!({"istio.io/dataplane-mode": "ambient"})));
    let versions = application.versions();
    let meshed = application.after(&meshed, Event::UpdateStatus);
    assert_eq!(application.versions(), versions);

    let left = application.after(&without(&meshed, MESH), Event::UpdateStatus);
    assert_eq!(application.policies(), [Value::Null; 0]);
    assert_eq!(application.remembered(record), None);
    let pods = application.stateful_set()["spec"]["template"]["metadata"]["labels"].clone();
    assert_eq!(pods, json!({"app.kubernetes.io/name": "tempo", "app.kubernetes.io/part-of": "tempo"}));

    let mut last = application.after(&in_mesh(left), Event::UpdateStatus);
    assert_eq!(application.policies().len(), 3);
    last.planned_units = 0;
    application.run(&last, Event::Remove).assert_nothing_written();
    assert_eq!(application.policies(), [Value::Null; 0]);
    assert_eq!((application.remembered(record), application.remembered("tempo-pod-labels")), (None, None));
}

#[test]
fn what_somebody_else_notes_at_the_same_time_is_not_lost() {
    let application = Application::new(6).trusted();
    application.after(&state(), Event::ConfigChanged);
    let map = application.get(Kind::ConfigMap, "tempo-pod-labels").expect("it was made");
    let version = map["metadata"]["resourceVersion"].as_str().expect("a version");
    let write = |labels: &str, version: &str| {
        let patch = json!({"metadata": {"resourceVersion": version}, "data": {"labels": labels}});
        application
            .ask(async |client| client.merge(Kind::ConfigMap, "tempo-pod-labels", "tempo", &patch).await)
    };
    write(r#"{"app.kubernetes.io/part-of": "tempo", "theirs": "1"}"#, version).expect("the first one may");
    let late = write("{}", version).expect_err("the second one has seen too little");
    assert!(matches!(late, tempo_coordinator::kubernetes::Failure::Conflict(_)), "{late}");
}
