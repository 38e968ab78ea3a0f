//! What the simulated API and a real server have in common: requests, and what has to be in their answers.
//!
//! [`core()`], [`unknown`], [`custom`], [`denied`] and [`strange`] are tables of requests. [`run`] sends one of them to any
//! server and says where the answers differ. The same tables hold for the double (`tests/kubernetes.rs`) and for a real
//! `kube-apiserver`; a real one needs [`install`] between `unknown` and `custom`.
//!
//! Placeholders are `{ns}`, the namespace, and what earlier steps have kept. In an expected answer, maps name what has to be
//! there (`null`: must not be there), lists are compared item by item, a text with `*` around it must occur, and one with `!` in
//! front must not be the value.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// The server to ask.
#[derive(Clone, Default)]
pub struct Server {
    /// Base URL with host address and port, `http` or `https`.
    pub url: String,
    /// Bearer token; empty for none.
    pub token: String,
    /// Certificate (PEM) of the authority that signed the server's; needed for `https`.
    pub ca: String,
    /// Namespace to work in. It is made by the first step of [`core()`], which fails if it exists.
    pub namespace: String,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.url)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// One request, and what has to come of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it shows.
    pub about: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Content type of the body.
    pub content_type: &'static str,
    /// Body; `Null` for none.
    pub body: Value,
    /// HTTP status of the answer.
    pub status: u16,
    /// What has to be in the answer.
    pub has: Value,
    /// Names for later steps, and where in the answer (a JSON pointer) their values are.
    pub keeps: Vec<(&'static str, &'static str)>,
}

impl Step {
    fn new(about: &'static str, method: &'static str, path: &str, status: u16) -> Self {
        Self {
            about,
            method,
            path: path.to_owned(),
            content_type: "application/json",
            body: Value::Null,
            status,
            has: Value::Null,
            keeps: Vec::new(),
        }
    }

    fn body(mut self, body: Value) -> Self {
        self.body = body;
        self
    }

    fn patch(mut self, content_type: &'static str, body: Value) -> Self {
        self.content_type = content_type;
        self.body(body)
    }

    fn has(mut self, has: Value) -> Self {
        self.has = has;
        self
    }

    fn keeps(mut self, name: &'static str, pointer: &'static str) -> Self {
        self.keeps.push((name, pointer));
        self
    }

    fn keeps_version(self) -> Self {
        self.keeps("version", "/metadata/resourceVersion").keeps("generation", "/metadata/generation")
    }
}

/// That nothing happened since the version was kept.
fn unchanged() -> Value {
    json!({"metadata": {"resourceVersion": "{version}"}})
}

fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    })
}

/// The built-in resources: config maps, services, stateful sets.
pub fn core() -> Vec<Step> {
    let mut steps = vec![
        Step::new("a namespace is created", "POST", "/api/v1/namespaces", 201)
            .body(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "{ns}"}}))
            .has(json!({"kind": "Namespace", "metadata": {"name": "{ns}", "labels": {"kubernetes.io/metadata.name": "{ns}"}},
                        "status": {"phase": "Active"}})),
        Step::new("a name is taken once", "POST", "/api/v1/namespaces", 409)
            .body(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "{ns}"}}))
            .has(failure(409, "AlreadyExists", "namespaces \"{ns}\" already exists")),
    ];
    steps.extend(config_maps());
    steps.extend(stateful_sets());
    steps.extend(applied());
    steps.extend(services());
    steps
}

fn config_maps() -> Vec<Step> {
    let all = "/api/v1/namespaces/{ns}/configmaps";
    let one = "/api/v1/namespaces/{ns}/configmaps/settings";
    let named = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let mut object = named("settings");
    object["data"] = json!({"labels": "{}"});
    let with = |data: Value, version: &str| {
        let mut object = named("settings");
        object["metadata"]["resourceVersion"] = version.into();
        object["data"] = data;
        object
    };
    vec![
        Step::new("what is not there is named", "GET", one, 404).has(json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound",
            "message": "configmaps \"settings\" not found",
            "details": {"name": "settings", "kind": "configmaps", "group": null},
        })),
        Step::new("what is not there cannot be patched", "PATCH", one, 404)
            .patch(STRATEGIC, json!({"data": {"a": "b"}}))
            .has(failure(404, "NotFound", "configmaps \"settings\" not found")),
        Step::new("an object needs its namespace", "POST", "/api/v1/namespaces/{ns}-missing/configmaps", 404)
            .body(object.clone())
            .has(failure(404, "NotFound", "namespaces \"{ns}-missing\" not found")),
        Step::new("data are text", "POST", all, 400)
            .body(with(json!({"labels": 1}), ""))
            .has(failure(400, "BadRequest", "*ConfigMap in version \"v1\" cannot be handled as a ConfigMap*")),
        Step::new("an object needs a name", "POST", all, 422)
            .body(json!({"apiVersion": "v1", "kind": "ConfigMap"}))
            .has(failure(422, "Invalid", "*name or generateName is required*")),
        Step::new("names have a form", "POST", all, 422)
            .body(named("Not_A_Name"))
            .has(failure(422, "Invalid", "ConfigMap \"Not_A_Name\" is invalid: metadata.name: Invalid value*")),
        Step::new("an object is of the path's kind", "POST", all, 400)
            .body(json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "settings"}}))
            .has(failure(400, "BadRequest", "*")),
        Step::new("a config map is created", "POST", all, 201)
            .body(object.clone())
            .has(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"labels": "{}"}, "status": null,
                        "metadata": {"name": "settings", "namespace": "{ns}", "uid": "*", "resourceVersion": "*",
                                     "creationTimestamp": "*", "generation": null}}))
            .keeps_version()
            .keeps("uid", "/metadata/uid"),
        Step::new("it is not created twice", "POST", all, 409)
            .body(object.clone())
            .has(failure(409, "AlreadyExists", "configmaps \"settings\" already exists")),
        Step::new("a patch of the version that was read is taken", "PATCH", one, 200)
            .patch(STRATEGIC, with(json!({"labels": "{\"a\":\"b\"}"}), "{version}"))
            .has(json!({"data": {"labels": "{\"a\":\"b\"}"}, "metadata": {"resourceVersion": "!{version}"}}))
            .keeps("stale", "/metadata/resourceVersion"),
        Step::new("a patch of an older version is not", "PATCH", one, 409)
            .patch(STRATEGIC, with(json!({"labels": "{}"}), "{version}"))
            .has(failure(409, "Conflict", "Operation cannot be fulfilled on configmaps \"settings\": the object has been \
                                           modified; please apply your changes to the latest version and try again")),
        Step::new("nor is a merge patch", "PATCH", one, 409)
            .patch(MERGE, with(json!({"labels": "{}"}), "{version}")),
        Step::new("without a version it is taken", "PATCH", one, 200)
            .patch(MERGE, json!({"data": {"more": "x"}}))
            .has(json!({"data": {"labels": "{\"a\":\"b\"}", "more": "x"}}))
            .keeps_version(),
        Step::new("what changes nothing makes no version", "PATCH", one, 200)
            .patch(STRATEGIC, json!({"data": {"more": "x"}}))
            .has(unchanged()),
        Step::new("a dry run says what would be", "PATCH", &format!("{one}?dryRun=All"), 200)
            .patch(STRATEGIC, json!({"data": {"more": "y"}}))
            .has(json!({"data": {"more": "y"}})),
        Step::new("and does nothing", "GET", one, 200).has(json!({
            "data": {"more": "x"}, "metadata": {"resourceVersion": "{version}", "uid": "{uid}"},
        })),
        Step::new("a dry run is All or nothing", "PATCH", &format!("{one}?dryRun=Some"), 422)
            .patch(MERGE, json!({}))
            .has(failure(422, "Invalid", "*dryRun*")),
        Step::new("null deletes", "PATCH", one, 200)
            .patch(STRATEGIC, json!({"data": {"more": null, "never": null}}))
            .has(json!({"data": {"more": null, "labels": "*"}})),
        Step::new("a name does not change", "PUT", one, 400)
            .body(named("other"))
            .has(failure(400, "BadRequest", "the name of the object (other*")),
        Step::new("a replacement of an older version is refused", "PUT", one, 409)
            .body(with(json!({}), "{stale}"))
            .has(failure(409, "Conflict", "*the object has been modified*")),
        Step::new("one without a version is taken", "PUT", one, 200)
            .body(named("settings"))
            .has(json!({"data": null, "metadata": {"uid": "{uid}"}})),
        Step::new("an unknown patch is refused", "PATCH", one, 415)
            .patch("application/json", json!({}))
            .has(failure(415, "UnsupportedMediaType", "415: Unsupported Media Type")),
        Step::new("labels have a form", "PATCH", one, 422)
            .patch(STRATEGIC, json!({"metadata": {"labels": {"a": "not a label"}}}))
            .has(failure(422, "Invalid", "*metadata.labels: Invalid value: \"not a label\"*")),
        Step::new("another object of the same name is not meant", "DELETE", one, 409)
            .body(json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}}))
            .has(failure(409, "Conflict", "Operation cannot be fulfilled on ConfigMap \"settings\": the UID in the precondition (other) does not match the UID in record ({uid}).*")),
        Step::new("deleting is confirmed", "DELETE", one, 200).has(json!({
            "kind": "Status", "status": "Success",
            "details": {"name": "settings", "kind": "configmaps", "uid": "{uid}", "group": null},
        })),
        Step::new("what is gone cannot be deleted", "DELETE", one, 404)
            .has(failure(404, "NotFound", "configmaps \"settings\" not found")),
        Step::new("an unknown resource of a known group is not there", "GET", "/api/v1/namespaces/{ns}/wishes", 404)
            .has(failure(404, "NotFound", "the server could not find the requested resource")),
        Step::new("nothing is served under an unknown group", "GET", "/apis/nobody.example/v1/wishes", 404)
            .has("404 page not found\n".into()),
    ]
}

fn stateful_sets() -> Vec<Step> {
    let all = "/apis/apps/v1/namespaces/{ns}/statefulsets";
    let one = "/apis/apps/v1/namespaces/{ns}/statefulsets/tempo";
    let object = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "tempo", "labels": {"app.kubernetes.io/name": "tempo", "app.kubernetes.io/managed-by": "juju"}},
        "spec": {
            "replicas": 1,
            "podManagementPolicy": "Parallel",
            "serviceName": "tempo-endpoints",
            "selector": {"matchLabels": {"app.kubernetes.io/name": "tempo"}},
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": "tempo"}},
                "spec": {"containers": [
                    {"name": "charm", "image": "charm:1"},
                    {"name": "nginx", "image": "nginx:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                ], "volumes": [{"name": "data", "emptyDir": {}}]},
            },
        },
    });
    let labels = |labels: Value| json!({"spec": {"template": {"metadata": {"labels": labels}}}});
    vec![
        Step::new("kinds in groups are named with them", "GET", one, 404).has(json!({
            "reason": "NotFound", "message": "statefulsets.apps \"tempo\" not found",
            "details": {"name": "tempo", "group": "apps", "kind": "statefulsets"},
        })),
        Step::new("a stateful set selects its pods", "PATCH", &format!("{one}?fieldManager=x"), 422)
            .patch(APPLY, json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "tempo"}}))
            .has(failure(422, "Invalid", "*spec.selector: Required value*")),
        Step::new("a stateful set begins with its first generation", "POST", &format!("{all}?fieldManager=juju"), 201)
            .body(object)
            .has(json!({
                "metadata": {"generation": 1},
                "spec": {"replicas": 1, "template": {"spec": {"containers": [
                    {"name": "charm", "resources": {}}, {"name": "nginx", "resources": {}},
                ]}}},
            }))
            .keeps_version(),
        Step::new("a label of the object is no other generation", "PATCH", one, 200)
            .patch(STRATEGIC, json!({"metadata": {"labels": {"x": "y"}}}))
            .has(json!({"metadata": {"generation": 1, "resourceVersion": "!{version}",
                                     "labels": {"x": "y", "app.kubernetes.io/name": "tempo"}}})),
        Step::new("a label of its pods is one", "PATCH", one, 200)
            .patch(STRATEGIC, labels(json!({"app.kubernetes.io/part-of": "tempo"})))
            .has(json!({"metadata": {"generation": 2}, "spec": {"template": {"metadata": {"labels":
                        {"app.kubernetes.io/part-of": "tempo", "app.kubernetes.io/name": "tempo"}}}}}))
            .keeps_version(),
        Step::new("the same label again is nothing", "PATCH", one, 200)
            .patch(STRATEGIC, labels(json!({"app.kubernetes.io/part-of": "tempo"})))
            .has(json!({"metadata": {"generation": 2, "resourceVersion": "{version}"}})),
        Step::new("a label is taken away by null", "PATCH", one, 200)
            .patch(STRATEGIC, labels(json!({"app.kubernetes.io/part-of": null, "never": null})))
            .has(json!({"metadata": {"generation": 3}, "spec": {"template": {"metadata": {"labels":
                        {"app.kubernetes.io/part-of": null, "app.kubernetes.io/name": "tempo"}}}}})),
        Step::new("a patch finds containers by their names", "PATCH", one, 200)
            .patch(STRATEGIC, json!({"spec": {"template": {"spec": {"containers": [
                {"name": "nginx", "image": "nginx:2"}]}}}}))
            .has(json!({"spec": {"template": {"spec": {"containers": [
                {"name": "charm", "image": "charm:1"},
                {"name": "nginx", "image": "nginx:2", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
            ]}}}}))
            .keeps_version(),
        Step::new("pods stay those that are selected", "PATCH", one, 422)
            .patch(STRATEGIC, labels(json!({"app.kubernetes.io/name": "other"})))
            .has(failure(422, "Invalid", "*`selector` does not match template `labels`*")),
        Step::new("nor does its name change", "PATCH", one, 400)
            .patch(MERGE, json!({"metadata": {"name": "other"}}))
            .has(failure(400, "BadRequest", "the name of the object (other) does not match the name on the URL (tempo)")),
        Step::new("the selector stays", "PATCH", one, 422)
            .patch(STRATEGIC, json!({"spec": {"serviceName": "other"}}))
            .has(failure(422, "Invalid", "StatefulSet.apps \"tempo\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than*")),
        Step::new("a status is set apart from the rest", "PATCH", &format!("{one}/status"), 200)
            .patch(MERGE, json!({"status": {"replicas": 2, "readyReplicas": 1}, "spec": {"replicas": 5}}))
            .has(json!({
                "status": {"replicas": 2, "readyReplicas": 1}, "spec": {"replicas": 1},
                "metadata": {"generation": "{generation}"},
            })),
        Step::new("its status is another matter", "PATCH", one, 200)
            .patch(MERGE, json!({"status": {"readyReplicas": 7}}))
            .has(json!({"status": {"readyReplicas": "!7"}})),
    ]
}

fn applied() -> Vec<Step> {
    let one = "/apis/apps/v1/namespaces/{ns}/statefulsets/tempo";
    let patcher = format!("{one}?fieldManager=ResourcePatcher");
    let wish = |resources: Value| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "tempo"},
            "spec": {
                "selector": {"matchLabels": {"app.kubernetes.io/name": "tempo"}},
                "serviceName": "tempo-endpoints",
                "template": {"spec": {"containers": [{"name": "nginx", "resources": resources}]}},
            },
        })
    };
    let first = || {
        wish(
            json!({"limits": {"cpu": "0.5", "memory": "1073741824"}, "requests": {"cpu": "50m", "memory": "100Mi"}}),
        )
    };
    let containers =
        |nginx: Value| json!({"spec": {"template": {"spec": {"containers": [{"name": "charm"}, nginx]}}}});
    let mut nameless = first();
    nameless.as_object_mut().map(|object| object.remove("metadata"));
    vec![
        Step::new("applying needs a manager", "PATCH", one, 422)
            .patch(APPLY, first())
            .has(failure(422, "Invalid", "*fieldManager: Required value: is required for apply patch*")),
        Step::new("a manager is in charge of its own wish only", "GET", one, 200).keeps_version(),
        Step::new("applying can be tried", "PATCH", &format!("{patcher}&dryRun=All"), 200)
            .patch(APPLY, first())
            .has(containers(json!({"name": "nginx", "resources": {"limits": {"cpu": "500m"}}}))),
        Step::new("and then has changed nothing", "GET", one, 200).has(unchanged()),
        Step::new("applying needs no name in the body", "PATCH", &format!("{patcher}&dryRun=All"), 200)
            .patch(APPLY, nameless),
        Step::new("applying merges, and amounts are written the shortest way", "PATCH", &patcher, 200)
            .patch(APPLY, first())
            .has(containers(json!({
                "name": "nginx", "image": "nginx:2",
                "resources": {"limits": {"cpu": "500m", "memory": "1073741824"}, "requests": {"cpu": "50m", "memory": "100Mi"}},
            })))
            .keeps_version(),
        Step::new("applied again, it changes nothing", "PATCH", &patcher, 200)
            .patch(APPLY, first())
            .has(json!({"metadata": {"resourceVersion": "{version}", "generation": "{generation}"}})),
        Step::new("another manager may wish the same", "PATCH", &format!("{one}?fieldManager=other&dryRun=All"), 200)
            .patch(APPLY, wish(json!({"limits": {"cpu": "500m"}}))),
        Step::new("but nothing else", "PATCH", &format!("{one}?fieldManager=other"), 409)
            .patch(APPLY, wish(json!({"limits": {"cpu": "2"}})))
            .has(json!({
                "kind": "Status", "code": 409, "reason": "Conflict",
                "message": "Apply failed with 1 conflict: conflict with \"ResourcePatcher\": \
                            .spec.template.spec.containers[name=\"nginx\"].resources.limits.cpu",
                "details": {"causes": [{
                    "reason": "FieldManagerConflict",
                    "message": "conflict with \"ResourcePatcher\"",
                    "field": ".spec.template.spec.containers[name=\"nginx\"].resources.limits.cpu",
                }]},
            })),
        Step::new("what others set by an update is theirs too", "PATCH", &format!("{one}?fieldManager=other"), 409)
            .patch(APPLY, json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "tempo"},
                                 "spec": {"replicas": 3}}))
            .has(json!({"message": "Apply failed with 1 conflict: conflict with \"juju\" using apps/v1: .spec.replicas"})),
        Step::new("unless it insists", "PATCH", &format!("{one}?fieldManager=other&force=true"), 200)
            .patch(APPLY, wish(json!({"limits": {"cpu": "2"}})))
            .has(containers(json!({"name": "nginx", "resources": {"limits": {"cpu": "2", "memory": "1073741824"}}}))),
        Step::new("then the first one is refused", "PATCH", &patcher, 409)
            .patch(APPLY, first())
            .has(json!({"message": "*conflict with \"other\": *"})),
        Step::new("what a manager wishes no more goes", "PATCH", &patcher, 200)
            .patch(APPLY, wish(json!({"limits": {}, "requests": {"cpu": "50m"}})))
            .has(containers(json!({
                "name": "nginx", "image": "nginx:2", "resources": {"limits": {"cpu": "2", "memory": null}, "requests": {"cpu": "50m", "memory": null}},
            })))
            .keeps_version(),
        Step::new("no limits, applied again, change nothing", "PATCH", &patcher, 200)
            .patch(APPLY, wish(json!({"limits": {}, "requests": {"cpu": "50m"}})))
            .has(unchanged()),
        Step::new("what pods would make of it is not asked", "PATCH", &format!("{patcher}&dryRun=All"), 200)
            .patch(APPLY, wish(json!({"requests": {"cpu": "3"}})))
            .has(containers(json!({"name": "nginx", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "3"}}}))),
        Step::new("an amount that is none is found late", "PATCH", &patcher, 500)
            .patch(APPLY, wish(json!({"requests": {"cpu": "much"}})))
            .has(json!({"kind": "Status", "code": 500, "reason": null, "message": "*quantities must match the regular expression*"})),
        Step::new("only applying can insist", "PATCH", &format!("{one}?force=true"), 422)
            .patch(STRATEGIC, json!({}))
            .has(failure(422, "Invalid", "*force: Forbidden: may not be specified for non-apply patch*")),
        Step::new("in a patch it is a value of the patch", "PATCH", &format!("{one}?fieldManager=someone"), 422)
            .patch(STRATEGIC, json!({"spec": {"template": {"spec": {"containers": [
                {"name": "nginx", "resources": {"limits": {"cpu": "much"}}}]}}}}))
            .has(failure(422, "Invalid", "*quantities must match the regular expression*")),
        Step::new("nothing of it happened", "GET", one, 200).has(unchanged()),
        Step::new("objects are found by their labels", "GET",
                  "/apis/apps/v1/namespaces/{ns}/statefulsets?labelSelector=app.kubernetes.io%2Fname%3Dtempo", 200)
            .has(json!({"kind": "StatefulSetList", "apiVersion": "apps/v1",
                        "items": [{"metadata": {"name": "tempo"}, "kind": null, "apiVersion": null}]})),
        Step::new("and not by others", "GET",
                  "/apis/apps/v1/namespaces/{ns}/statefulsets?labelSelector=app.kubernetes.io%2Fname%3Dtempo%2Cx%3Dz", 200)
            .has(json!({"items": []})),
        Step::new("a selector cannot be read", "GET", "/apis/apps/v1/statefulsets?labelSelector=a%20b", 400)
            .has(failure(400, "BadRequest", "*unable to parse requirement*")),
        Step::new("collections are not replaced", "PUT", "/apis/apps/v1/namespaces/{ns}/statefulsets", 405)
            .has(failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")),
        Step::new("a version that was read is deleted, or none", "DELETE", one, 409)
            .body(json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"resourceVersion": "1"}}))
            .has(failure(409, "Conflict", "Operation cannot be fulfilled on StatefulSet.apps \"tempo\": the ResourceVersion in the precondition (1) does not match*")),
        Step::new("deleting it is confirmed", "DELETE", one, 200)
            .has(json!({"kind": "Status", "status": "Success", "details": {"name": "tempo", "group": "apps", "kind": "statefulsets"}})),
    ]
}

fn services() -> Vec<Step> {
    let all = "/api/v1/namespaces/{ns}/services";
    let one = "/api/v1/namespaces/{ns}/services/tempo";
    vec![
        Step::new("a service is created", "POST", all, 201).body(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "tempo"},
                         "spec": {"clusterIP": "None", "selector": {"app.kubernetes.io/name": "tempo"},
                                  "ports": [{"name": "placeholder", "port": 65535}]}}),
        ),
        Step::new("it takes labels", "PATCH", one, 200)
            .patch(STRATEGIC, json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "tempo"}}}))
            .has(json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "tempo"}}}))
            .keeps_version(),
        Step::new("and the same again without a change", "PATCH", one, 200)
            .patch(
                STRATEGIC,
                json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "tempo", "never": null}}}),
            )
            .has(unchanged()),
        Step::new("its last label leaves none", "PATCH", one, 200)
            .patch(STRATEGIC, json!({"metadata": {"labels": {"app.kubernetes.io/part-of": null}}}))
            .has(json!({"metadata": {"labels": null}})),
        Step::new("a deleted service is shown", "DELETE", one, 200)
            .has(json!({"kind": "Service", "metadata": {"name": "tempo"}})),
    ]
}

const POLICIES: &str = "/apis/security.istio.io/v1/authorizationpolicies";

/// Who may do nothing, and who is nobody: for a server asked with the token of a user without rights. The namespace need not exist.
pub fn denied() -> Vec<Step> {
    let one = "/apis/apps/v1/namespaces/{ns}/statefulsets/tempo";
    let message = "statefulsets.apps \"tempo\" is forbidden: User \"*\" cannot";
    vec![
        Step::new("reading is refused", "GET", one, 403).has(json!({
            "kind": "Status", "code": 403, "reason": "Forbidden",
            "message": format!("{message} get resource \"statefulsets\" in API group \"apps\" in the namespace \"{{ns}}\"*"),
            "details": {"name": "tempo", "group": "apps", "kind": "statefulsets"},
        })),
        Step::new("so is patching, tried or meant", "PATCH", &format!("{one}?fieldManager=x&dryRun=All"), 403)
            .patch(APPLY, json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "tempo"}}))
            .has(json!({"message": format!("{message} patch resource*")})),
        Step::new("and config maps, whose group has no name", "GET", "/api/v1/namespaces/{ns}/configmaps", 403).has(json!({
            "message": "configmaps is forbidden: User \"*\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"{ns}\"*",
        })),
        Step::new("what is not there is refused all the same", "GET", POLICIES, 403).has(json!({
            "message": "authorizationpolicies.security.istio.io is forbidden: User \"*\" cannot list resource \
                        \"authorizationpolicies\" in API group \"security.istio.io\" at the cluster scope*",
        })),
    ]
}

/// Who has no token that anybody knows.
pub fn strange() -> Vec<Step> {
    let step = Step::new("a stranger is told so", "GET", "/api/v1/namespaces/{ns}/configmaps", 401);
    vec![step.has(failure(401, "Unauthorized", "Unauthorized"))]
}

/// Before its definition is installed, the mesh's resource is not there at all.
pub fn unknown() -> Vec<Step> {
    let page: Value = "404 page not found\n".into();
    let selector = "?labelSelector=app.kubernetes.io%2Finstance%3Dtempo-obs";
    vec![
        Step::new("without its definition a resource is not there", "GET", &format!("{POLICIES}{selector}"), 404).has(page.clone()),
        Step::new("and cannot be applied", "PATCH",
                  "/apis/security.istio.io/v1/namespaces/{ns}/authorizationpolicies/one?fieldManager=tempo&force=true", 404)
            .patch(APPLY, policy("one", "a"))
            .has(page),
    ]
}

fn policy(name: &str, from: &str) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": "{ns}", "labels": {
            "app.kubernetes.io/instance": "tempo-{ns}", "kubernetes-resource-handler-scope": "tempo-{ns}-cluster-internal"}},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/part-of": "tempo"}},
            "rules": [{"from": [{"source": {"principals": [format!("cluster.local/ns/{{ns}}/sa/{from}")]}}], "to": []}],
        },
    })
}

/// The mesh's resource, once it is defined.
pub fn custom() -> Vec<Step> {
    let one = "/apis/security.istio.io/v1/namespaces/{ns}/authorizationpolicies/one";
    let patcher = format!("{one}?fieldManager=tempo-obs&force=true");
    let selector = "labelSelector=app.kubernetes.io%2Finstance%3Dtempo-{ns}%2Ckubernetes-resource-handler-scope%3Dtempo-{ns}-cluster-internal";
    let rules = |from: &str| json!([{"from": [{"source": {"principals": [format!("cluster.local/ns/{{ns}}/sa/{from}")]}}], "to": []}]);
    vec![
        Step::new("there is none at first", "GET", &format!("{POLICIES}?{selector}"), 200)
            .has(json!({"kind": "AuthorizationPolicyList", "items": []})),
        Step::new("applying creates", "PATCH", &patcher, 201)
            .patch(APPLY, policy("one", "a"))
            .has(json!({"metadata": {"generation": 1, "namespace": "{ns}"},
                        "spec": {"rules": rules("a"), "selector": {"matchLabels": {"app.kubernetes.io/part-of": "tempo"}}}}))
            .keeps_version(),
        Step::new("applied again, nothing changes", "PATCH", &patcher, 200).patch(APPLY, policy("one", "a")).has(unchanged()),
        Step::new("a list without keys is one value", "PATCH", &patcher, 200)
            .patch(APPLY, policy("one", "b"))
            .has(json!({"metadata": {"generation": 2}, "spec": {"rules": rules("b")}})),
        Step::new("it is found by both labels in all namespaces", "GET", &format!("{POLICIES}?{selector}"), 200).has(json!({
            "items": [{"kind": "AuthorizationPolicy", "apiVersion": "security.istio.io/v1", "metadata": {"name": "one", "namespace": "{ns}"}}],
        })),
        Step::new("strategic patches are for built-in kinds", "PATCH", one, 415)
            .patch(STRATEGIC, json!({"metadata": {"labels": {"a": "b"}}}))
            .has(failure(415, "UnsupportedMediaType", "*the body of the request was in an unknown format*")),
        Step::new("merge patches are not", "PATCH", one, 200)
            .patch(MERGE, json!({"metadata": {"labels": {"a": "b"}}}))
            .has(json!({"metadata": {"generation": 2, "labels": {"a": "b", "app.kubernetes.io/instance": "tempo-{ns}"}}})),
        Step::new("a replacement has to name a version", "PUT", one, 422)
            .body(policy("one", "c"))
            .has(failure(422, "Invalid", "*metadata.resourceVersion: Invalid value*must be specified for an update*")),
        Step::new("deleting is confirmed", "DELETE", one, 200).has(json!({
            "kind": "Status", "status": "Success",
            "details": {"name": "one", "group": "security.istio.io", "kind": "authorizationpolicies"},
        })),
        Step::new("it is gone", "GET", one, 404)
            .has(failure(404, "NotFound", "authorizationpolicies.security.istio.io \"one\" not found")),
    ]
}

/// Installs the definition of the mesh's resource on a real server, and waits until it is served.
///
/// # Errors
/// What the server said instead.
pub fn install(server: &Server) -> Result<(), String> {
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "authorizationpolicies.security.istio.io"},
        "spec": {
            "group": "security.istio.io",
            "scope": "Namespaced",
            "names": {"kind": "AuthorizationPolicy", "plural": "authorizationpolicies", "singular": "authorizationpolicy"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
            }],
        },
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let create = Step::new("the definition is created", "POST", path, 201).body(definition);
    let problems = run(server, &[create]);
    if let Some(problem) = problems.first() {
        return Err(problem.clone());
    }
    // A list is served a little before objects can be created: the definition says when it is established, discovery when it is known.
    let listed = Step::new("the resource is served", "GET", POLICIES, 200);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        match run(server, std::slice::from_ref(&listed)).pop() {
            None => return Ok(()),
            Some(problem) if std::time::Instant::now() > deadline => return Err(problem),
            Some(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// Sends the requests one after the other and returns what is not as it has to be; nothing if all is well.
pub fn run(server: &Server, steps: &[Step]) -> Vec<String> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![error.to_string()],
    };
    let mut known = BTreeMap::from([("ns", server.namespace.clone())]);
    let mut problems = Vec::new();
    for step in steps {
        let path = fill(&step.path, &known);
        let (status, answer) = match runtime.block_on(ask(server, step, &path, &filled(&step.body, &known))) {
            Ok(answer) => answer,
            Err(error) => {
                problems.push(format!("{}: {error}", step.about));
                continue;
            }
        };
        let mut found = Vec::new();
        if status != step.status {
            found.push(format!("status {status} and not {}: {answer}", step.status));
        }
        compare(&filled(&step.has, &known), Some(&answer), "", &mut found);
        problems.extend(
            found.into_iter().map(|problem| format!("{}: {} {path}: {problem}", step.about, step.method)),
        );
        for (name, pointer) in &step.keeps {
            let value = answer.pointer(pointer).unwrap_or(&Value::Null);
            known.insert(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    problems
}

fn fill(text: &str, known: &BTreeMap<&str, String>) -> String {
    known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

fn filled(value: &Value, known: &BTreeMap<&str, String>) -> Value {
    match value {
        Value::String(text) => fill(text, known).into(),
        Value::Array(items) => items.iter().map(|item| filled(item, known)).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (fill(key, known), filled(value, known))).collect()
        }
        other => other.clone(),
    }
}

fn compare(wanted: &Value, found: Option<&Value>, place: &str, problems: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Some(Value::Object(map))) => {
            for (key, value) in wanted {
                let found = map.get(key).filter(|found| !found.is_null());
                let place = format!("{place}/{key}");
                match (value.is_null(), found) {
                    (true, None) => {}
                    (true, Some(found)) => {
                        problems.push(format!("{place} is {found} and should not be there"));
                    }
                    (false, found) => compare(value, found, &place, problems),
                }
            }
        }
        (Value::Array(wanted), Some(Value::Array(items))) if wanted.len() == items.len() => {
            for (position, (wanted, item)) in wanted.iter().zip(items).enumerate() {
                compare(wanted, Some(item), &format!("{place}/{position}"), problems);
            }
        }
        (Value::Null, _) => {}
        (Value::String(pattern), found) => {
            let text = found.map(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned));
            if !matches(pattern, text.as_deref()) {
                problems.push(format!("{place} is {} and not {pattern:?}", found.unwrap_or(&Value::Null)));
            }
        }
        (wanted, found) if found == Some(wanted) => {}
        (wanted, found) => {
            problems.push(format!("{place} is {} and not {wanted}", found.unwrap_or(&Value::Null)));
        }
    }
}

/// Whether a text is as a pattern says; absent texts are only other than something.
fn matches(pattern: &str, text: Option<&str>) -> bool {
    if let Some(other) = pattern.strip_prefix('!') {
        return text != Some(other);
    }
    let Some(text) = text else { return false };
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(position) = rest.find(part) else { return false };
        rest = &rest[position + part.len()..];
    }
    rest.ends_with(last)
}

/// One request on a connection of its own; a body that is no JSON comes back as text.
async fn ask(server: &Server, step: &Step, path: &str, body: &Value) -> Result<(u16, Value), String> {
    let (scheme, address) = server.url.split_once("://").ok_or("the URL has no scheme")?;
    let address: SocketAddr =
        address.trim_end_matches('/').parse().map_err(|error| format!("{address}: {error}"))?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut request = Request::builder()
        .method(step.method)
        .uri(path)
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, "contract/1")
        .header(header::ACCEPT, "application/json");
    if !server.token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", server.token));
    }
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, step.content_type);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
    let exchange = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        if scheme == "http" {
            return send(stream, request).await;
        }
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(server.ca.as_bytes()) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::IpAddress(address.ip().into());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        send(stream.map_err(|error| error.to_string())?, request).await
    };
    timeout(Duration::from_secs(20), exchange).await.map_err(|_| "no answer in time".to_owned())?
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Value), String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), 16 << 20).collect().await;
    connection.abort();
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_name_what_matters() {
        let compared = |wanted: Value, found: Value| {
            let mut problems = Vec::new();
            compare(&wanted, Some(&found), "", &mut problems);
            problems
        };
        let answer = json!({"a": {"b": "some text", "n": 7}, "list": [1, 2]});
        for wanted in [
            json!({"a": {"b": "*text", "c": null}, "list": [1, 2]}),
            json!({"a": {"b": "some*", "n": "7"}, "x": "!y"}),
            json!({"a": {"b": "*"}}),
        ] {
            assert_eq!(compared(wanted, answer.clone()), [""; 0]);
        }
        for (wanted, problem) in [
            (json!({"a": {"b": null}}), "/a/b is \"some text\" and should not be there"),
            (json!({"a": {"b": "text*"}}), "/a/b is \"some text\" and not \"text*\""),
            (json!({"list": [1]}), "/list is [1,2] and not [1]"),
            (json!({"a": {"n": "!7"}}), "/a/n is 7 and not \"!7\""),
            (json!({"y": {"z": 1}}), "/y is null and not {\"z\":1}"),
        ] {
            assert_eq!(compared(wanted, answer.clone()), [problem]);
        }
    }
}
