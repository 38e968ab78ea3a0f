//! The simulated Kubernetes API: the requests that a real server answers alike, and what tests can do with it.

use std::time::{Duration, Instant};

use juju_sim::kubernetes::{Account, Api, Authority, Cluster, Fault, On, Rollout, contract};
use serde_json::{Value, json};

fn server(api: &Api) -> contract::Server {
    contract::Server { url: api.url(), namespace: "contract".to_owned(), ..contract::Server::default() }
}

#[test]
fn built_in_resources_answer_as_those_of_a_real_server() {
    let api = Api::start(Cluster::new().with_rollout(Rollout::Manual)).unwrap();
    assert_eq!(contract::run(&server(&api), &contract::core()), [""; 0]);
}

#[test]
fn the_meshs_resource_answers_as_that_of_a_real_server_with_and_without_its_definition() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "contract"}});
    let cluster = Cluster::new().with_object(&namespace);
    let api = Api::start(cluster.clone().without_authorization_policies()).unwrap();
    assert_eq!(contract::run(&server(&api), &contract::unknown()), [""; 0]);
    let authority = Authority::generate().unwrap();
    let api = Api::start_tls(cluster, &authority).unwrap();
    let server = contract::Server { ca: authority.pem().to_owned(), ..server(&api) };
    assert_eq!(contract::run(&server, &contract::custom()), [""; 0]);
}

#[test]
fn who_may_not_is_told_as_by_a_real_server() {
    let account = Account { namespace: "other".to_owned(), name: "app".to_owned(), trusted: false };
    let api =
        Api::start(Cluster::new().with_account("secret", account).without_authorization_policies()).unwrap();
    let known = contract::Server { token: "secret".to_owned(), ..server(&api) };
    assert_eq!(contract::run(&known, &contract::denied()), [""; 0]);
    let stranger = contract::Server { token: "guess".to_owned(), ..server(&api) };
    assert_eq!(contract::run(&stranger, &contract::strange()), [""; 0]);
}

/// One request with a client that knows nothing of Kubernetes; the answer's status, or 0 without one.
fn ask(api: &Api, token: &str, method: &'static str, path: &str, kind: &'static str, body: Value) -> u16 {
    let step = contract::Step {
        about: "",
        method,
        path: path.to_owned(),
        content_type: kind,
        body,
        status: 0,
        has: Value::Null,
        keeps: Vec::new(),
    };
    let server = contract::Server { token: token.to_owned(), ..server(api) };
    let problem = contract::run(&server, &[step]).pop().unwrap_or_default();
    let status = problem.split_once("status ").and_then(|(_, rest)| rest.get(..3)?.parse().ok());
    status.unwrap_or(0)
}

const STATEFUL_SET: &str = "/apis/apps/v1/namespaces/obs/statefulsets/tempo";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

fn patch(api: &Api, labels: &Value) -> u16 {
    let body = json!({"spec": {"template": {"metadata": {"labels": labels}}}});
    ask(api, "", "PATCH", STATEFUL_SET, STRATEGIC, body)
}

fn tempo() -> Cluster {
    Cluster::new().with_statefulset("tempo", "obs", &["nginx", "exporter"])
}

#[test]
fn an_application_has_what_juju_makes_for_it() {
    let cluster = tempo();
    let set = cluster.get("statefulsets", "obs", "tempo").unwrap();
    assert_eq!(set["spec"]["serviceName"], "tempo-endpoints");
    assert_eq!(set["spec"]["selector"]["matchLabels"], json!({"app.kubernetes.io/name": "tempo"}));
    let containers = set["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let names: Vec<_> = containers.iter().map(|container| &container["name"]).collect();
    assert_eq!(names, ["charm", "nginx", "exporter"]);
    assert_eq!(set["status"]["observedGeneration"], set["metadata"]["generation"]);
    assert_eq!(cluster.list("services").count(), 2);
    let mut cluster = cluster;
    cluster.remove_application("tempo", "obs");
    assert_eq!(cluster.objects().map(|object| &object["kind"]).collect::<Vec<_>>(), ["Namespace"]);
}

#[test]
fn a_rollout_takes_no_time_or_as_long_as_the_test_says() {
    for (rollout, observed) in [(Rollout::Immediate, 2), (Rollout::Manual, 1)] {
        let api = Api::start(tempo().with_rollout(rollout)).unwrap();
        assert_eq!(patch(&api, &json!({"a": "b"})), 200);
        let cluster = api.cluster();
        let set = cluster.get("statefulsets", "obs", "tempo").unwrap();
        assert_eq!(set["metadata"]["generation"], 2);
        assert_eq!(set["status"]["observedGeneration"], observed, "{rollout:?}");
    }
    let mut cluster = tempo().with_rollout(Rollout::Manual);
    cluster.scale("obs", "tempo", 3, 1);
    let set = cluster.get("statefulsets", "obs", "tempo").unwrap();
    assert_eq!((&set["spec"]["replicas"], &set["status"]["readyReplicas"]), (&json!(3), &json!(1)));
    cluster.settle("obs", "tempo");
    assert_eq!(cluster.get("statefulsets", "obs", "tempo").unwrap()["status"]["readyReplicas"], 3);
}

#[test]
fn requests_are_recorded_and_reads_are_no_writes() {
    let api = Api::start(tempo()).unwrap();
    ask(&api, "", "GET", STATEFUL_SET, "", Value::Null);
    let dry = format!("{STATEFUL_SET}?dryRun=All&fieldManager=x");
    let wish = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"replicas": 1}});
    assert_eq!(ask(&api, "", "PATCH", &dry, "application/apply-patch+yaml", wish.clone()), 200);
    assert_eq!(api.writes(), []);
    patch(&api, &json!({"a": null}));
    let requests = api.requests();
    let verbs: Vec<_> = requests.iter().map(|request| (request.verb, request.status)).collect();
    assert_eq!(verbs, [("get", 200), ("patch", 200), ("patch", 200)]);
    assert_eq!((&requests[1].body, requests[1].query["fieldManager"].as_str()), (&wish, "x"));
    assert_eq!(api.writes().len(), 1);
    api.clear_requests();
    assert_eq!(api.requests(), []);
}

#[test]
fn faults_meet_what_they_are_for() {
    let api = Api::start(tempo()).unwrap();
    let labels = || json!({"a": "b"});
    for code in [403, 404, 409, 500, 503] {
        api.fail(On::verb("patch").resource("statefulsets").name("tempo").once(), Fault::Status(code));
        assert_eq!(ask(&api, "", "GET", STATEFUL_SET, "", Value::Null), 200);
        assert_eq!(patch(&api, &labels()), code);
    }
    assert_eq!(api.cluster().get("statefulsets", "obs", "tempo").unwrap()["metadata"]["generation"], 1);
    api.fail(On::any().dry_run(false), Fault::Close);
    assert_eq!([patch(&api, &labels()), patch(&api, &labels())], [0, 0]);
    api.clear_faults();
    api.fail(On::any().once(), Fault::CloseAfter);
    assert_eq!(patch(&api, &labels()), 0);
    assert_eq!(api.cluster().get("statefulsets", "obs", "tempo").unwrap()["metadata"]["generation"], 2);
    api.fail(On::verb("get").once(), Fault::Garbage);
    assert_eq!(ask(&api, "", "GET", STATEFUL_SET, "", Value::Null), 200);
    let begun = Instant::now();
    api.fail(On::verb("get").once(), Fault::Slow(Duration::from_millis(300)));
    assert_eq!(ask(&api, "", "GET", STATEFUL_SET, "", Value::Null), 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[test]
fn trust_is_what_separates_reading_ones_pods_from_everything() {
    let account = |trusted| Account { namespace: "obs".to_owned(), name: "tempo".to_owned(), trusted };
    let api = Api::start(tempo().with_account("secret", account(false))).unwrap();
    let get = |path: &str| ask(&api, "secret", "GET", path, "", Value::Null);
    assert_eq!(get("/api/v1/namespaces/obs/services/tempo"), 200);
    assert_eq!(get("/api/v1/namespaces/obs/pods"), 200);
    assert_eq!(get("/api/v1/namespaces/obs"), 200);
    assert_eq!(get("/api/v1/namespaces/other/pods"), 403);
    assert_eq!(get(STATEFUL_SET), 403);
    api.change(|cluster| cluster.set_trusted("obs", "tempo", true));
    assert_eq!(get(STATEFUL_SET), 200);
    assert_eq!(ask(&api, "other", "GET", STATEFUL_SET, "", Value::Null), 401);
    assert_eq!(api.requests()[0].user, "system:serviceaccount:obs:tempo");
    assert!(!format!("{api:?}{:?}", api.cluster()).contains("secret"));
}

#[test]
fn a_dropped_api_is_not_there_any_more() {
    let api = Api::start(tempo()).unwrap();
    let address = api.address();
    assert!(std::net::TcpStream::connect(address).is_ok());
    drop(api);
    assert!(std::net::TcpStream::connect(address).is_err());
}
