//! The charm and the Kubernetes API: what it changes there, and what it makes of an API in trouble.

use std::time::{Duration, Instant};

use juju_sim::kubernetes::{Account, Api, Cluster, Fault, On, Recorded, Rollout};
use juju_sim::{Event, Outcome, Relation, State};
use serde_json::{Value, json};
use tempo_coordinator::kubernetes::Access;
use tempo_coordinator::secret::Secret;

use crate::scene::{WORKERS, charm_with, complete, context, without, worker};

/// Number of the relation to the mesh.
const MESH: u32 = 30;
const TOKEN: &str = "a-token";

/// What Juju makes for the charm, and the charm trusted.
fn cluster() -> Cluster {
    let account = Account { namespace: "obs".into(), name: "tempo".into(), trusted: true };
    Cluster::new()
        .with_statefulset("tempo", "obs", &["nginx", "nginx-prometheus-exporter"])
        .with_account(TOKEN, account)
}

fn start(cluster: Cluster) -> Api {
    Api::start(cluster).expect("a free port")
}

fn access(url: String) -> Access {
    Access { url, token: Secret::new(TOKEN), ca: String::new(), namespace: "obs".into() }
}

#[track_caller]
fn run(state: &State, event: Event, url: String) -> Outcome {
    let outcome = context().run(state, event, async move |hook: juju_ops::Hook| {
        let fqdn = format!("{}.tempo-endpoints.obs.svc.cluster.local", hook.env().unit.dashed());
        charm_with(hook, &fqdn, Some(access(url))).await
    });
    outcome.assert_ok();
    outcome
}

/// The state after the hook, which has to succeed.
#[track_caller]
fn after(state: &State, event: Event, api: &Api) -> State {
    run(state, event, api.url()).state
}

/// A complete cluster that is as large as it should be and writes its metrics somewhere, so that nothing else is in its
/// status.
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

fn object(api: &Api, plural: &str, name: &str) -> Option<Value> {
    api.cluster().get(plural, "obs", name).cloned()
}

fn stateful_set(api: &Api) -> Value {
    object(api, "statefulsets", "tempo").expect("Juju has made it")
}

fn pod_labels(api: &Api) -> Value {
    stateful_set(api)["spec"]["template"]["metadata"]["labels"].clone()
}

fn service_labels(api: &Api) -> Value {
    object(api, "services", "tempo").expect("Juju has made it")["metadata"]["labels"].clone()
}

/// What nginx is given: processor time and memory, each requested and at most.
fn resources(api: &Api) -> Value {
    let set = stateful_set(api);
    let containers = set["spec"]["template"]["spec"]["containers"].as_array().expect("containers").clone();
    let nginx = containers.into_iter().find(|container| container["name"] == "nginx");
    nginx.expect("there is nginx")["resources"].clone()
}

/// The labels that are remembered in a `ConfigMap`, if it exists.
fn remembered(api: &Api, name: &str) -> Option<Value> {
    let map = object(api, "configmaps", name)?;
    Some(serde_json::from_str(map["data"]["labels"].as_str().expect("labels")).expect("JSON"))
}

/// Who may send, and to what, by the policies that are there.
fn policies(api: &Api) -> Vec<String> {
    let cluster = api.cluster();
    let line = |policy: &Value| {
        let spec = &policy["spec"];
        let from = spec["rules"][0]["from"][0]["source"]["principals"][0].as_str().expect("a principal");
        let to = if spec["selector"].is_object() { "pods" } else { "service" };
        format!("{} → {to}", from.rsplit('/').next().expect("a name"))
    };
    let mut lines: Vec<String> = cluster.list("authorizationpolicies").map(line).collect();
    lines.sort();
    lines
}

/// `verb resource/name` of each request.
fn lines(requests: &[Recorded]) -> Vec<String> {
    let line = |request: &Recorded| {
        let path: Vec<&str> = request.path.split('/').collect();
        let plural = path.iter().position(|part| *part == "obs").map_or(0, |at| at + 1);
        format!("{} {}", request.verb, path[plural..].join("/"))
    };
    requests.iter().map(line).collect()
}

#[test]
fn the_first_hook_sets_resources_and_labels_and_the_second_changes_nothing() {
    let api = start(cluster());
    let settled = after(&state(), Event::ConfigChanged, &api);
    assert_eq!(unit_status(&settled), ("active", ""));
    assert_eq!(resources(&api), json!({"requests": {"cpu": "50m", "memory": "100Mi"}}));
    let labels = json!({"app.kubernetes.io/name": "tempo", "app.kubernetes.io/part-of": "tempo"});
    assert_eq!(pod_labels(&api), labels);
    assert_eq!(service_labels(&api)["app.kubernetes.io/part-of"], "tempo");
    assert_eq!(remembered(&api, "tempo-pod-labels"), Some(json!({"app.kubernetes.io/part-of": "tempo"})));
    assert_eq!(
        lines(&api.writes()),
        ["create configmaps", "patch services/tempo", "patch statefulsets/tempo", "patch statefulsets/tempo"]
    );

    api.clear_requests();
    let outcome = run(&settled, Event::UpdateStatus, api.url());
    outcome.assert_nothing_written();
    assert_eq!(lines(&api.writes()), [""; 0]);
    let mut reads = lines(&api.requests());
    reads.sort();
    let expected = [
        "get configmaps/juju-service-mesh-tempo-labels",
        "get configmaps/tempo-pod-labels",
        "get services/tempo",
        "get statefulsets/tempo",
    ];
    assert_eq!(reads, expected);
}

#[test]
fn limits_follow_the_options() {
    let api = start(cluster());
    let limited = state().with_config("cpu_limit", "500m").with_config("memory_limit", "0.8Gi");
    let settled = after(&limited, Event::ConfigChanged, &api);
    let limits = json!({"cpu": "500m", "memory": "858993460"});
    assert_eq!(resources(&api)["limits"], limits);
    let patch = api.writes().into_iter().find(|request| {
        request.query.get("fieldManager").is_some_and(|manager| manager == "ResourcePatcher")
    });
    let patch = patch.expect("resources are applied under the name that they have always been applied under");
    assert_eq!(patch.content_type, "application/apply-patch+yaml");
    assert!(!patch.query.contains_key("force"), "{:?}", patch.query);
    let expected = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": "tempo"}},
            "serviceName": "tempo-endpoints",
            "template": {"spec": {"containers": [{
                "name": "nginx",
                "resources": {
                    "limits": {"cpu": "0.5", "memory": "858993460"},
                    "requests": {"cpu": "50m", "memory": "100Mi"},
                },
            }]}},
        },
    });
    assert_eq!(patch.body, expected);

    api.clear_requests();
    run(&settled, Event::ConfigChanged, api.url()).assert_nothing_written();
    assert_eq!(lines(&api.writes()), [""; 0]);

    // A limit that is not wanted any more is taken away, since it was ours.
    let mut unlimited = settled;
    unlimited.config.remove("memory_limit");
    after(&unlimited, Event::ConfigChanged, &api);
    assert_eq!(resources(&api)["limits"], json!({"cpu": "500m"}));
}

#[test]
fn options_that_are_no_amounts_block_and_leave_the_limits() {
    let api = start(cluster());
    let settled = after(&state().with_config("cpu_limit", "2"), Event::ConfigChanged, &api);
    let wrong = after(&settled.with_config("cpu_limit", "two"), Event::ConfigChanged, &api);
    let text = r#"[config] cpu_limit: "two" is not an amount such as 500m, 2 or 1Gi"#;
    assert_eq!(unit_status(&wrong), ("blocked", text));
    assert_eq!(resources(&api)["limits"], json!({"cpu": "2"}));
}

#[test]
fn limits_of_somebody_else_are_left_and_a_conflict_is_named() {
    let api = start(cluster());
    let settled = after(&state(), Event::ConfigChanged, &api);
    let mut theirs = stateful_set(&api);
    let containers = theirs["spec"]["template"]["spec"]["containers"].as_array_mut().expect("containers");
    let nginx = containers.iter_mut().find(|container| container["name"] == "nginx").expect("nginx");
    nginx["resources"]["limits"] = json!({"cpu": "3"});
    api.change(|cluster| {
        *cluster = cluster.clone().with_object(&theirs);
        cluster.settle("obs", "tempo");
    });
    api.clear_requests();
    run(&settled, Event::UpdateStatus, api.url()).assert_nothing_written();
    assert_eq!(lines(&api.writes()), [""; 0]);

    let blocked = after(&settled.with_config("cpu_limit", "1"), Event::ConfigChanged, &api);
    let (kind, message) = unit_status(&blocked);
    assert_eq!(kind, "blocked");
    assert!(
        message.starts_with("[kubernetes] setting the resources of nginx: conflict: ")
            && message.contains("limits.cpu"),
        "{message}"
    );
    assert_eq!(resources(&api)["limits"], json!({"cpu": "3"}));
}

#[test]
fn labels_that_are_not_wanted_any_more_go_and_those_of_others_stay() {
    let recorded = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tempo-pod-labels", "namespace": "obs"},
        "data": {"labels": r#"{"app.kubernetes.io/part-of": "tempo", "old": "1", "gone": "2"}"#},
    });
    let mut cluster = cluster().with_object(&recorded);
    let mut set = cluster.get("statefulsets", "obs", "tempo").expect("there").clone();
    set["spec"]["template"]["metadata"]["labels"]["old"] = "1".into();
    set["spec"]["template"]["metadata"]["labels"]["theirs"] = "3".into();
    cluster = cluster.with_object(&set);
    let api = start(cluster);
    after(&state(), Event::UpdateStatus, &api);
    assert_eq!(
        pod_labels(&api),
        json!({"app.kubernetes.io/name": "tempo", "app.kubernetes.io/part-of": "tempo", "theirs": "3"})
    );
    assert_eq!(remembered(&api, "tempo-pod-labels"), Some(json!({"app.kubernetes.io/part-of": "tempo"})));
}

#[test]
fn a_record_that_makes_no_sense_is_written_anew() {
    let recorded = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tempo-pod-labels", "namespace": "obs"},
        "data": {"labels": "{", "more": "kept"},
    });
    let api = start(cluster().with_object(&recorded));
    after(&state(), Event::UpdateStatus, &api);
    let map = object(&api, "configmaps", "tempo-pod-labels").expect("there");
    assert_eq!(map["data"], json!({"labels": r#"{"app.kubernetes.io/part-of":"tempo"}"#, "more": "kept"}));
}

#[test]
fn an_application_that_is_not_trusted_says_what_to_do() {
    let api = start(cluster());
    api.change(|cluster| cluster.set_trusted("obs", "tempo", false));
    for leader in [true, false] {
        let outcome = after(&state().with_leader(leader), Event::ConfigChanged, &api);
        let (kind, message) = unit_status(&outcome);
        assert_eq!(kind, "blocked");
        assert!(message.starts_with("[kubernetes] run `juju trust tempo --scope=cluster`: "), "{message}");
        // The rest of the charm does its work.
        assert!(!outcome.opened_ports.is_empty());
    }
    assert_eq!(lines(&api.writes()), [""; 0]);
    api.change(|cluster| cluster.set_trusted("obs", "tempo", true));
    let trusted = after(&state(), Event::UpdateStatus, &api);
    assert_eq!(unit_status(&trusted), ("active", ""));
}

#[test]
fn an_application_that_may_look_and_not_touch_says_what_to_do() {
    let api = start(cluster());
    api.fail(On::verb("patch").resource("statefulsets"), Fault::Status(403));
    let outcome = after(&state(), Event::ConfigChanged, &api);
    let (kind, message) = unit_status(&outcome);
    assert_eq!(kind, "blocked");
    assert!(message.contains("juju trust tempo --scope=cluster"), "{message}");
}

#[test]
fn a_follower_looks_at_its_pods_and_changes_nothing() {
    let api = start(cluster());
    let follower = in_mesh(state()).with_leader(false).with_config("cpu_limit", "1");
    let settled = after(&follower, Event::ConfigChanged, &api);
    assert_eq!(unit_status(&settled), ("active", ""));
    assert_eq!(lines(&api.requests()), ["get statefulsets/tempo"]);
}

#[test]
fn an_api_in_trouble_delays_no_hook_and_fails_none() {
    let faults = [
        (Fault::Status(500), "refused with 500"),
        (Fault::Status(429), "refused with 429"),
        (Fault::Status(401), "refused with 401"),
        (Fault::Garbage, "answer not understood"),
        (Fault::Close, "not reached"),
    ];
    for (fault, reason) in faults {
        let api = start(cluster().with_fault(On::any(), fault));
        let outcome = after(&state(), Event::ConfigChanged, &api);
        let (kind, message) = unit_status(&outcome);
        let expected = format!("[kubernetes] reading the application's objects: {reason}");
        // The API may well hold all that it should, and the cluster serves.
        assert!(kind == "active" && message.starts_with(&expected), "{kind} {message}");
        assert_eq!(lines(&api.writes()), [""; 0], "nothing is changed where nothing is known");
        // And as soon as it is well again, all is made up for.
        api.clear_faults();
        let repaired = after(&outcome, Event::UpdateStatus, &api);
        assert_eq!(unit_status(&repaired), ("active", ""), "{fault:?}");
        assert_eq!(pod_labels(&api)["app.kubernetes.io/part-of"], "tempo");
    }
}

#[test]
fn nobody_at_the_address_is_no_failure_either() {
    let url = start(cluster()).url();
    let outcome = run(&state(), Event::ConfigChanged, url);
    let (kind, message) = unit_status(&outcome.state);
    assert!(kind == "active" && message.contains("not reached: "), "{kind} {message}");
}

#[test]
fn an_api_that_is_slow_is_given_seconds_and_no_more() {
    let api = start(cluster().with_fault(On::any(), Fault::Slow(Duration::from_secs(30))));
    let since = Instant::now();
    let outcome = after(&state(), Event::ConfigChanged, &api);
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    let (kind, message) = unit_status(&outcome);
    assert_eq!(kind, "active");
    assert!(message.ends_with("no answer in time"), "{message}");
}

#[test]
fn changes_that_fail_are_made_up_for_by_the_next_hook() {
    for (on, fault) in [
        (On::verb("create").resource("configmaps"), Fault::Status(500)),
        (On::verb("patch").resource("services"), Fault::Status(503)),
        (On::verb("patch").resource("statefulsets"), Fault::Garbage),
        (On::verb("patch").resource("statefulsets").once(), Fault::CloseAfter),
    ] {
        let api = start(cluster().with_fault(on.clone(), fault));
        let outcome = after(&in_mesh(state()), Event::ConfigChanged, &api);
        assert_eq!(unit_status(&outcome).0, "waiting", "{on:?}");
        api.clear_faults();
        let repaired = after(&outcome, Event::UpdateStatus, &api);
        assert_eq!(unit_status(&repaired), ("active", ""), "{on:?}");
        assert_eq!(service_labels(&api)["istio.io/dataplane-mode"], "ambient");
        assert_eq!(pod_labels(&api)["istio.io/dataplane-mode"], "ambient");
        api.clear_requests();
        after(&repaired, Event::UpdateStatus, &api);
        assert_eq!(lines(&api.writes()), [""; 0]);
    }
}

#[test]
fn what_nobody_could_remember_is_not_set() {
    let api = start(cluster().with_fault(On::verb("create").resource("configmaps"), Fault::Status(500)));
    after(&in_mesh(state()), Event::ConfigChanged, &api);
    assert_eq!(pod_labels(&api), json!({"app.kubernetes.io/name": "tempo"}));
    assert_eq!(policies(&api), [""; 0]);
    // What needs no memory is done.
    assert_eq!(resources(&api)["requests"], json!({"cpu": "50m", "memory": "100Mi"}));
}

#[test]
fn whoever_was_faster_is_looked_at_again() {
    let api =
        start(cluster().with_fault(On::verb("create").resource("configmaps").once(), Fault::Status(409)));
    let outcome = after(&state(), Event::ConfigChanged, &api);
    assert_eq!(unit_status(&outcome), ("active", ""));
    assert_eq!(remembered(&api, "tempo-pod-labels"), Some(json!({"app.kubernetes.io/part-of": "tempo"})));
    assert_eq!(pod_labels(&api)["app.kubernetes.io/part-of"], "tempo");
}

#[test]
fn a_rollout_is_waited_for_and_a_pod_that_is_not_ready_is_not() {
    let api = start(cluster().with_rollout(Rollout::Manual));
    let waiting = after(&state(), Event::ConfigChanged, &api);
    let text = "[kubernetes] waiting for the pods to be replaced, because their template has changed";
    assert_eq!(unit_status(&waiting), ("waiting", text));
    assert_eq!(waiting.app_status.message, text);
    // Nothing else waits for it.
    assert!(!waiting.opened_ports.is_empty());
    api.change(|cluster| cluster.settle("obs", "tempo"));
    let done = after(&waiting, Event::UpdateStatus, &api);
    assert_eq!(unit_status(&done), ("active", ""));
    api.change(|cluster| {
        cluster.set_status("obs", "tempo", &json!({"readyReplicas": null, "availableReplicas": 0}));
    });
    let unready = after(&done, Event::UpdateStatus, &api);
    assert_eq!(unit_status(&unready), ("active", ""));
}

#[test]
fn a_mesh_gets_labels_and_policies_and_all_of_it_goes_with_the_mesh() {
    let api = start(cluster());
    let meshed = in_mesh(state());
    let settled = after(&meshed, Event::relation_changed("service-mesh", MESH), &api);
    assert_eq!(unit_status(&settled), ("active", ""));
    assert_eq!(policies(&api), ["tempo → pods", "worker → pods", "worker → service"]);
    assert_eq!(pod_labels(&api)["istio.io/dataplane-mode"], "ambient");
    assert_eq!(service_labels(&api)["istio.io/dataplane-mode"], "ambient");
    let record = "juju-service-mesh-tempo-labels";
    assert_eq!(remembered(&api, record), Some(json!({"istio.io/dataplane-mode": "ambient"})));
    api.clear_requests();
    run(&settled, Event::UpdateStatus, api.url()).assert_nothing_written();
    assert_eq!(lines(&api.writes()), [""; 0]);

    // A second application of workers, and the first one gone.
    let grown = settled.with_relation(worker(40, "ingester", "all", 1));
    let grown = after(&grown, Event::relation_changed_unit("tempo-cluster", 40, "ingester/0"), &api);
    assert_eq!(
        policies(&api),
        ["ingester → pods", "ingester → service", "tempo → pods", "worker → pods", "worker → service"]
    );
    let shrunk = without(&grown, crate::scene::WORKERS);
    let shrunk = after(&shrunk, Event::UpdateStatus, &api);
    assert_eq!(policies(&api), ["ingester → pods", "ingester → service", "tempo → pods"]);

    let left = without(&shrunk, MESH);
    let left = after(&left, Event::UpdateStatus, &api);
    assert_eq!(policies(&api), [""; 0]);
    assert_eq!(
        pod_labels(&api),
        json!({"app.kubernetes.io/name": "tempo", "app.kubernetes.io/part-of": "tempo"})
    );
    assert_eq!(service_labels(&api).get("istio.io/dataplane-mode"), None);
    assert_eq!(remembered(&api, record), None);
    api.clear_requests();
    after(&left, Event::UpdateStatus, &api);
    assert_eq!(lines(&api.writes()), [""; 0]);
    assert!(!lines(&api.requests()).iter().any(|line| line.contains("authorizationpolicies")));
}

#[test]
fn a_policy_that_somebody_has_changed_is_put_right_and_those_of_others_stay() {
    let foreign = json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": "theirs", "namespace": "obs"},
        "spec": {"rules": [{"from": [{"source": {"principals": ["cluster.local/ns/x/sa/y"]}}]}], "selector": {}},
    });
    let api = start(cluster().with_object(&foreign));
    let settled = after(&in_mesh(state()), Event::ConfigChanged, &api);
    let ours = api
        .cluster()
        .list("authorizationpolicies")
        .find(|policy| policy["metadata"]["name"] != "theirs")
        .cloned();
    let mut changed = ours.expect("there is one");
    let wanted = changed["spec"].clone();
    changed["spec"]["rules"] = json!([]);
    api.change(|cluster| *cluster = cluster.clone().with_object(&changed));
    after(&settled, Event::UpdateStatus, &api);
    let name = changed["metadata"]["name"].as_str().expect("a name");
    assert_eq!(object(&api, "authorizationpolicies", name).expect("there")["spec"], wanted);
    let gone = without(&settled, MESH);
    after(&gone, Event::UpdateStatus, &api);
    assert_eq!(policies(&api), ["y → pods"]);
}

#[test]
fn a_cluster_without_the_mesh_s_resources_is_a_note() {
    let api = start(cluster().without_authorization_policies());
    let settled = after(&in_mesh(state()), Event::ConfigChanged, &api);
    let text = "[kubernetes] letting the mesh pass traffic: not found: AuthorizationPolicy in this cluster";
    assert_eq!(unit_status(&settled), ("active", text));
    let left = after(&without(&settled, MESH), Event::UpdateStatus, &api);
    assert_eq!(unit_status(&left), ("active", ""));
    assert_eq!(remembered(&api, "juju-service-mesh-tempo-labels"), None);
}

/// The unit goes, and so many others stay.
fn going(state: State, others: u32) -> State {
    State { planned_units: others, ..state }
}

#[test]
fn the_last_unit_takes_away_what_juju_does_not_know_of() {
    let api = start(cluster());
    let settled = after(&in_mesh(state()), Event::ConfigChanged, &api);
    api.clear_requests();
    let stays = run(&going(settled.clone(), 1), Event::Remove, api.url());
    stays.assert_nothing_written();
    assert_eq!(lines(&api.requests()), [""; 0], "other units need it");

    // Not even the leader has to be the last.
    let last = going(settled.with_leader(false), 0);
    run(&last, Event::Remove, api.url()).assert_nothing_written();
    assert_eq!(policies(&api), [""; 0]);
    assert_eq!(api.cluster().list("configmaps").count(), 0);
}

#[test]
fn nothing_keeps_the_last_unit_from_going() {
    let api = start(cluster());
    let settled = after(&in_mesh(state()), Event::ConfigChanged, &api);
    for fault in [Fault::Status(403), Fault::Status(500), Fault::Close, Fault::Garbage] {
        api.fail(On::any(), fault);
        run(&going(settled.clone(), 0), Event::Remove, api.url());
        api.clear_faults();
    }
    assert_eq!(policies(&api).len(), 3);
    run(&going(settled, 0), Event::Remove, api.url());
    assert_eq!(policies(&api), [""; 0]);
}
