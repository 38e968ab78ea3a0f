//! The objects, and what requests do to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    fields,
    merge::{as_map, merge, strategic},
    resource::{Resource, Target},
    rules::{self, Malformed},
    status::{MODIFIED, Refusal},
};

/// The time of everything that happens: states compare equal whenever they came about.
const NOW: &str = "2026-01-01T00:00:00Z";
/// How many requests are remembered at most; then the older half is forgotten.
const KEPT: usize = 20_000;
/// Who makes what Juju makes.
const JUJU: &str = "juju";

/// What is asked for: an HTTP request without its connection.
#[derive(Clone, Default)]
pub struct Call {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Path, not percent-decoded.
    pub path: String,
    /// Parameters, decoded.
    pub query: BTreeMap<String, String>,
    /// Content type of the body.
    pub content_type: String,
    /// Who asks, as programs name themselves; what they change is noted under it unless they give a field manager.
    pub agent: String,
    /// Bearer token.
    pub token: Option<String>,
    /// Body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("query", &self.query)
            .field("content_type", &self.content_type)
            .field("body", &String::from_utf8_lossy(&self.body))
            .finish_non_exhaustive()
    }
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Content type of the body.
    pub content_type: &'static str,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self { status, content_type: "application/json", body: value.to_string().into_bytes() }
    }
}

/// What comes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How long to wait before the answer.
    pub delay: Duration,
    /// The answer; `None` closes the connection.
    pub answer: Option<Answer>,
}

/// A request that was made, for tests to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// HTTP method.
    pub method: String,
    /// Kubernetes' word for what was asked: `get`, `list`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// Path.
    pub path: String,
    /// Parameters, decoded.
    pub query: BTreeMap<String, String>,
    /// Content type of the body.
    pub content_type: String,
    /// The body, if it is JSON or YAML; otherwise `Null`.
    pub body: Value,
    /// Who asked: `system:serviceaccount:NAMESPACE:NAME`, or `admin` where nobody has to say who he is.
    pub user: String,
    /// Status of the answer; 0 if the connection was closed instead.
    pub status: u16,
}

impl Recorded {
    /// Whether it was to change something: no read, and no dry run.
    pub fn is_write(&self) -> bool {
        !["get", "list"].contains(&self.verb) && !self.query.contains_key("dryRun")
    }
}

/// Who has a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Namespace of the service account; of an application, its model.
    pub namespace: String,
    /// Name of the service account; that of the application.
    pub name: String,
    /// Whether it may do everything. Others may get, list and patch pods and services of their namespace, and get the namespace:
    /// what Juju grants to every application.
    pub trusted: bool,
}

impl Account {
    /// The user's name in the answers.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    fn may(&self, verb: &str, target: &Target) -> bool {
        let own = target.namespace.as_deref() == Some(&self.namespace);
        let itself = target.resource.kind == "Namespace" && target.name.as_deref() == Some(&self.namespace);
        self.trusted
            || (itself && verb == "get")
            || (own
                && !target.status
                && ["Pod", "Service"].contains(&target.resource.kind)
                && ["get", "list", "patch"].contains(&verb))
    }
}

/// Accounts by token, which nobody sees.
#[derive(Clone, Default)]
struct Accounts(BTreeMap<String, Account>);

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.values()).finish()
    }
}

/// What goes wrong instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error of this HTTP status, worded as Kubernetes words it.
    Status(u16),
    /// The right answer, this much later; at most a minute.
    Slow(Duration),
    /// The connection is closed without an answer, and nothing is done.
    Close,
    /// The request is done, and the connection is closed without an answer.
    CloseAfter,
    /// Status 200 and a body that is no JSON; nothing is done.
    Garbage,
}

/// Which requests a fault meets: all unless narrowed down, and until it is cleared unless it is for once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct On {
    verb: Option<String>,
    resource: Option<String>,
    name: Option<String>,
    dry_run: Option<bool>,
    once: bool,
}

impl On {
    /// All requests.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests of one verb: `get`, `list`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub fn verb(verb: &str) -> Self {
        Self { verb: Some(verb.to_owned()), ..Self::default() }
    }

    /// Only those about a resource, for example `statefulsets`.
    #[must_use]
    pub fn resource(mut self, plural: &str) -> Self {
        self.resource = Some(plural.to_owned());
        self
    }

    /// Only those about objects of this name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Only those that try what would happen, or only those that mean it.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = Some(dry_run);
        self
    }

    /// Only the first of them.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    fn meets(&self, verb: &str, target: Option<&Target>, dry_run: bool) -> bool {
        let plural = target.map(|target| target.resource.plural);
        let name = target.and_then(|target| target.name.as_deref());
        self.verb.as_deref().is_none_or(|wanted| wanted == verb)
            && self.resource.as_deref().is_none_or(|wanted| Some(wanted) == plural)
            && self.name.as_deref().is_none_or(|wanted| Some(wanted) == name)
            && self.dry_run.is_none_or(|wanted| wanted == dry_run)
    }
}

/// How a StatefulSet's status follows its spec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rollout {
    /// At once, as if pods started in no time.
    #[default]
    Immediate,
    /// Not by itself: a test sets it, or calls [`Cluster::settle`].
    Manual,
}

/// Namespace (empty for none) and name, after the resource.
type Key = (&'static str, String, String);

/// A cluster's objects, who may see them, and what went on.
#[derive(Clone, Debug)]
pub struct Cluster {
    objects: BTreeMap<Key, Value>,
    revision: u64,
    made: u64,
    accounts: Accounts,
    missing: BTreeSet<&'static str>,
    faults: Vec<(On, Fault)>,
    requests: Vec<Recorded>,
    rollout: Rollout,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    /// An empty cluster with all of [`RESOURCES`](super::RESOURCES), where everybody may do everything.
    pub fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            revision: 1000,
            made: 0,
            accounts: Accounts::default(),
            missing: BTreeSet::new(),
            faults: Vec::new(),
            requests: Vec::new(),
            rollout: Rollout::default(),
        }
    }

    /// Takes the service mesh's resource away: its definition is not installed, and its paths answer 404.
    #[must_use]
    pub fn without_authorization_policies(mut self) -> Self {
        self.set_authorization_policies(false);
        self
    }

    /// How the status of a `StatefulSet` follows.
    #[must_use]
    pub fn with_rollout(mut self, rollout: Rollout) -> Self {
        self.rollout = rollout;
        self
    }

    /// Adds what Juju makes for a sidecar charm of one unit: namespace, StatefulSet and two Services. `containers` are the
    /// workloads; the charm's own container comes in addition.
    #[must_use]
    pub fn with_statefulset(mut self, app: &str, namespace: &str, containers: &[&str]) -> Self {
        self.add_application(app, namespace, containers, 1);
        self
    }

    /// Adds an object as an administrator would, in a namespace that is made where it is missing. It needs `apiVersion`, `kind`
    /// and `metadata.name`, and a namespace unless its kind has none.
    ///
    /// # Panics
    /// On objects that the API would not take: a mistake in the test.
    #[must_use]
    pub fn with_object(mut self, object: &Value) -> Self {
        self.put(object, "admin");
        self
    }

    /// Adds who may come with a token. From the first one on, all others are refused.
    #[must_use]
    pub fn with_account(mut self, token: &str, account: Account) -> Self {
        self.set_account(token, account);
        self
    }

    /// Adds a fault.
    #[must_use]
    pub fn with_fault(mut self, on: On, fault: Fault) -> Self {
        self.fail(on, fault);
        self
    }

    /// As [`Self::with_account`], on a cluster in use; replaces what the token stood for.
    pub fn set_account(&mut self, token: &str, account: Account) {
        self.accounts.0.insert(token.to_owned(), account);
    }

    /// Takes all tokens of an application away.
    pub fn remove_accounts(&mut self, namespace: &str, app: &str) {
        self.accounts.0.retain(|_, account| account.namespace != namespace || account.name != app);
    }

    /// Whether the service mesh's resource is defined; it is at first.
    pub fn set_authorization_policies(&mut self, defined: bool) {
        if defined {
            self.missing.remove("authorizationpolicies");
        } else {
            self.missing.insert("authorizationpolicies");
        }
    }

    /// Grants or takes back an application's trust, for all its tokens.
    pub fn set_trusted(&mut self, namespace: &str, app: &str, trusted: bool) {
        let all = self.accounts.0.values_mut();
        for account in all.filter(|account| account.namespace == namespace && account.name == app) {
            account.trusted = trusted;
        }
    }

    /// As [`Self::with_fault`], on a cluster in use. Of several faults that fit, the one that was added last is met.
    pub fn fail(&mut self, on: On, fault: Fault) {
        self.faults.push((on, fault));
    }

    /// Takes all faults away.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// As [`Self::with_statefulset`], on a cluster in use and with a number of units.
    pub fn add_application(&mut self, app: &str, namespace: &str, containers: &[&str], units: u32) {
        let name = json!({"app.kubernetes.io/name": app});
        let labels = json!({"app.kubernetes.io/managed-by": "juju", "app.kubernetes.io/name": app});
        let mount =
            json!([{"name": "charm-data", "mountPath": "/charm/container", "subPath": "charm/containers/x"}]);
        let workloads = containers.iter().map(|container| {
            let mut mount = mount.clone();
            mount[0]["subPath"] = format!("charm/containers/{container}").into();
            json!({"name": container, "image": format!("registry.invalid/{container}:1"), "volumeMounts": mount,
                   "command": ["/charm/bin/pebble"], "args": ["run", "--create-dirs", "--hold", "--verbose"]})
        });
        let charm = json!({"name": "charm", "image": "registry.invalid/charm-base:ubuntu-24.04",
                           "command": ["/charm/bin/pebble"], "args": ["run", "--http", ":38812", "--verbose"],
                           "env": [{"name": "JUJU_CONTAINER_NAMES", "value": containers.join(",")}]});
        let containers: Vec<Value> = std::iter::once(charm).chain(workloads).collect();
        self.put(
            &json!({
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": app, "namespace": namespace, "labels": labels},
                "spec": {
                    "replicas": units,
                    "podManagementPolicy": "Parallel",
                    "selector": {"matchLabels": name},
                    "serviceName": format!("{app}-endpoints"),
                    "template": {
                        "metadata": {"labels": name},
                        "spec": {
                            "serviceAccountName": app,
                            "initContainers": [{"name": "charm-init", "image": "registry.invalid/jujud-operator:3.6"}],
                            "containers": containers,
                            "volumes": [{"name": "charm-data", "emptyDir": {}}],
                        },
                    },
                },
            }),
            JUJU,
        );
        for (service, spec) in [
            (
                app.to_owned(),
                json!({"type": "ClusterIP", "selector": name, "ports": [{"name": "placeholder", "port": 65535, "protocol": "TCP"}]}),
            ),
            (
                format!("{app}-endpoints"),
                json!({"type": "ClusterIP", "clusterIP": "None", "selector": name, "publishNotReadyAddresses": true}),
            ),
        ] {
            self.put(
                &json!({
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": service, "namespace": namespace, "labels": labels},
                    "spec": spec,
                }),
                JUJU,
            );
        }
        self.settle(namespace, app);
    }

    /// Sets how many units an application has, and how many of them are ready.
    pub fn scale(&mut self, namespace: &str, app: &str, units: u32, ready: u32) {
        let Some(old) = self.get("statefulsets", namespace, app).cloned() else { return };
        let mut new = old.clone();
        new["spec"]["replicas"] = units.into();
        if old != new {
            new["metadata"]["generation"] = (old["metadata"]["generation"].as_u64().unwrap_or(0) + 1).into();
            self.keep("statefulsets", namespace, app, new);
        }
        self.settle(namespace, app);
        self.set_status(
            namespace,
            app,
            &json!({"replicas": units, "readyReplicas": ready, "availableReplicas": ready}),
        );
    }

    /// Takes away what Juju made for an application. What its charm made stays.
    pub fn remove_application(&mut self, app: &str, namespace: &str) {
        let endpoints = format!("{app}-endpoints");
        for (plural, name) in [("statefulsets", app), ("services", app), ("services", &endpoints)] {
            self.remove(plural, namespace, name);
        }
    }

    /// Merges into a StatefulSet's status; null deletes.
    pub fn set_status(&mut self, namespace: &str, name: &str, status: &Value) {
        let Some(mut object) = self.get("statefulsets", namespace, name).cloned() else { return };
        merge(&mut object["status"], status);
        if self.get("statefulsets", namespace, name) != Some(&object) {
            self.keep("statefulsets", namespace, name, object);
        }
    }

    /// The revision that a `StatefulSet`'s pods have or are to get: another one for each other template.
    pub fn template_revision(&self, namespace: &str, name: &str) -> Option<String> {
        let object = self.get("statefulsets", namespace, name)?;
        Some(format!("{name}-{}", digest(&object["spec"]["template"])))
    }

    /// Finishes a StatefulSet's rollout: all pods run what its spec says.
    pub fn settle(&mut self, namespace: &str, name: &str) {
        let Some(object) = self.get("statefulsets", namespace, name) else { return };
        let replicas = object["spec"]["replicas"].clone();
        let revision = self.template_revision(namespace, name);
        let status = json!({
            "observedGeneration": object["metadata"]["generation"],
            "replicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
            "currentReplicas": replicas,
            "updatedReplicas": replicas,
            "currentRevision": revision,
            "updateRevision": revision,
            "collisionCount": 0,
        });
        self.set_status(namespace, name, &status);
    }

    /// An object, by the resource's name in paths.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<&Value> {
        let resource = Resource::of_plural(plural)?;
        self.objects.get(&(resource.plural, namespace.to_owned(), name.to_owned()))
    }

    /// All objects of a resource, by namespace and name.
    pub fn list(&self, plural: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |((of, ..), _)| *of == plural).map(|(_, object)| object)
    }

    /// All objects there are.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.objects.values()
    }

    /// Takes an object away, as somebody else would.
    pub fn remove(&mut self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let resource = Resource::of_plural(plural)?;
        self.revision += 1;
        self.objects.remove(&(resource.plural, namespace.to_owned(), name.to_owned()))
    }

    /// Requests so far, oldest first; of very many only the last ones.
    pub fn requests(&self) -> &[Recorded] {
        &self.requests
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&mut self) {
        self.requests.clear();
    }

    fn put(&mut self, object: &Value, manager: &str) {
        let resource = Resource::of_object(object).expect("an object of a kind that the API has");
        let name = object["metadata"]["name"].as_str().expect("an object with a name").to_owned();
        let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
        assert_eq!(
            namespace.is_some(),
            resource.namespaced,
            "{}: a namespace where there is one",
            resource.kind
        );
        if let Some(namespace) = &namespace
            && self.get("namespaces", "", namespace).is_none()
        {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            self.put(&object, manager);
        }
        let target = Target { resource, namespace, name: Some(name), status: false };
        let old = self.find(&target).cloned().unwrap_or(Value::Null);
        let new = finish(&old, object.clone(), &target, manager, |error| error.in_object(resource));
        let new = new.unwrap_or_else(|refusal| panic!("{}: {}", resource.kind, refusal.message));
        self.commit(&target, &old, new);
        if let Some(status) = object.get("status") {
            self.keep_status(&target, status);
        }
    }

    fn keep_status(&mut self, target: &Target, status: &Value) {
        if let Some(object) = self.objects.get_mut(&key(target)) {
            object["status"] = status.clone();
        }
    }

    /// Stores an object under a new revision.
    fn keep(&mut self, plural: &'static str, namespace: &str, name: &str, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        self.objects.insert((plural, namespace.to_owned(), name.to_owned()), object.clone());
        object
    }

    fn find(&self, target: &Target) -> Option<&Value> {
        self.objects.get(&key(target))
    }

    /// Does a request: looks who asks and for faults, changes what is to be changed, and takes note of it.
    pub fn handle(&mut self, call: &Call) -> Outcome {
        let parsed = Target::parse(&call.path);
        let target = parsed.as_ref().ok();
        let named = target.is_some_and(|target| target.name.is_some());
        let verb = match (call.method.as_str(), named) {
            ("GET", true) => "get",
            ("GET", false) if target.is_none() => "get",
            ("GET", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => "",
        };
        let account = call.token.as_ref().and_then(|token| self.accounts.0.get(token)).cloned();
        let open = self.accounts.0.is_empty();
        let user = account.as_ref().map_or_else(
            || if open { "admin".to_owned() } else { "system:anonymous".to_owned() },
            Account::user,
        );
        let fault = self.met_fault(verb, target, call.query.contains_key("dryRun"));
        let mut delay = Duration::ZERO;
        let answer = match fault {
            Some(Fault::Close) => None,
            Some(Fault::Garbage) => Some(Answer {
                status: 200,
                content_type: "application/json",
                body: b"<html>upstream is unhappy".to_vec(),
            }),
            Some(Fault::Status(code)) => {
                let resource = target.map(|target| target.resource);
                let name = target.and_then(|target| target.name.as_deref()).unwrap_or_default();
                Some(Refusal::of_code(code, resource, name, &user, verb).answer())
            }
            Some(Fault::Slow(_) | Fault::CloseAfter) | None => {
                if let Some(Fault::Slow(pause)) = fault {
                    delay = pause.min(Duration::from_mins(1));
                }
                let answer = if !open && account.is_none() {
                    Err(Refusal::unauthorized())
                } else {
                    parsed.clone().or_else(|refusal| general(call).map_or(Err(refusal), Err)).and_then(
                        |target| {
                            authorise(account.as_ref(), verb, &target)?;
                            self.serve(call, &target, verb)
                        },
                    )
                };
                let answer = answer.unwrap_or_else(|refusal| refusal.answer());
                (fault != Some(Fault::CloseAfter)).then_some(answer)
            }
        };
        if self.requests.len() >= KEPT {
            self.requests.drain(..KEPT / 2);
        }
        self.requests.push(Recorded {
            method: call.method.clone(),
            verb,
            path: call.path.clone(),
            query: call.query.clone(),
            content_type: call.content_type.clone(),
            body: document(&call.body).unwrap_or(Value::Null),
            user,
            status: answer.as_ref().map_or(0, |answer| answer.status),
        });
        Outcome { delay, answer }
    }

    fn met_fault(&mut self, verb: &str, target: Option<&Target>, dry_run: bool) -> Option<Fault> {
        let position = self.faults.iter().rposition(|(on, _)| on.meets(verb, target, dry_run))?;
        let (on, fault) = self.faults[position].clone();
        if on.once {
            self.faults.remove(position);
        }
        Some(fault)
    }

    fn serve(&mut self, call: &Call, target: &Target, verb: &str) -> Result<Answer, Refusal> {
        let resource = target.resource;
        if self.missing.contains(resource.plural) {
            return Err(Refusal::no_such_path());
        }
        let dry_run = match call.query.get("dryRun").map(String::as_str) {
            None => false,
            Some("All") => true,
            Some(other) => {
                return Err(options(
                    call,
                    &format!("dryRun: Unsupported value: {other:?}: supported values: \"All\""),
                ));
            }
        };
        if call.query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
            return Err(Refusal::bad_request("the simulated API has no watches"));
        }
        match verb {
            "get" => self.existing(target).map(|object| Answer::json(200, object)),
            "list" => {
                let items = self.selected(call, target)?;
                Ok(Answer::json(200, &self.as_list(resource, items)))
            }
            "create" => self.create(call, target, dry_run),
            "update" => self.update(call, target, dry_run),
            "patch" => self.patch(call, target, dry_run),
            "delete" => self.delete(call, target, dry_run),
            "deletecollection" => {
                let items = self.selected(call, target)?;
                let answer = Answer::json(200, &self.as_list(resource, items.clone()));
                for item in items.iter().filter(|_| !dry_run) {
                    let place = |field: &str| item["metadata"][field].as_str().unwrap_or_default().to_owned();
                    self.remove(resource.plural, &place("namespace"), &place("name"));
                }
                Ok(answer)
            }
            _ => Err(Refusal::method()),
        }
    }

    fn existing(&self, target: &Target) -> Result<&Value, Refusal> {
        let name = target.name.as_deref().unwrap_or_default();
        self.find(target).ok_or_else(|| Refusal::not_found(target.resource, name))
    }

    fn selected(&self, call: &Call, target: &Target) -> Result<Vec<Value>, Refusal> {
        let selector = call.query.get("labelSelector").map(String::as_str).unwrap_or_default();
        let fields = call.query.get("fieldSelector").map(String::as_str).unwrap_or_default();
        let mut items = Vec::new();
        for ((plural, namespace, _), object) in &self.objects {
            let here = *plural == target.resource.plural
                && target.namespace.as_ref().is_none_or(|wanted| wanted == namespace);
            let metadata = &object["metadata"];
            let seen =
                json!({"metadata.name": metadata["name"], "metadata.namespace": metadata["namespace"]});
            if here && rules::selects(selector, &metadata["labels"])? && rules::selects(fields, &seen)? {
                items.push(object.clone());
            }
        }
        Ok(items)
    }

    fn as_list(&self, resource: &Resource, mut items: Vec<Value>) -> Value {
        // In lists of built-in kinds the items do not say again what they are.
        for item in items.iter_mut().filter(|_| !resource.custom) {
            let item = as_map(item);
            item.remove("apiVersion");
            item.remove("kind");
        }
        json!({
            "kind": format!("{}List", resource.kind),
            "apiVersion": resource.api_version(),
            "metadata": {"resourceVersion": self.revision.to_string()},
            "items": items,
        })
    }

    fn place(&self, target: &Target) -> Result<(), Refusal> {
        match &target.namespace {
            Some(namespace) if self.get("namespaces", "", namespace).is_none() => Err(Refusal::not_found(
                Resource::of_plural("namespaces").unwrap_or(target.resource),
                namespace,
            )),
            _ => Ok(()),
        }
    }

    fn create(&mut self, call: &Call, target: &Target, dry_run: bool) -> Result<Answer, Refusal> {
        if target.name.is_some() || (target.resource.namespaced && target.namespace.is_none()) {
            return Err(Refusal::method());
        }
        let object = read(call, target)?;
        self.place(target)?;
        let metadata = &object["metadata"];
        let name = match (metadata["name"].as_str().unwrap_or_default(), metadata["generateName"].as_str()) {
            ("", Some(prefix)) => format!("{prefix}{:05x}", self.made + 0x1000),
            ("", None) => {
                let problem = "metadata.name: Required value: name or generateName is required".to_owned();
                return Err(Refusal::invalid(target.resource, "", &[problem]));
            }
            (name, _) => name.to_owned(),
        };
        let target = Target { name: Some(name.clone()), ..target.clone() };
        if self.find(&target).is_some() {
            return Err(Refusal::exists(target.resource, &name));
        }
        let new =
            finish(&Value::Null, object, &target, &manager(call), |error| error.in_object(target.resource))?;
        Ok(Answer::json(201, &self.store(&target, &Value::Null, new, dry_run)))
    }

    fn update(&mut self, call: &Call, target: &Target, dry_run: bool) -> Result<Answer, Refusal> {
        let Some(name) = &target.name else { return Err(Refusal::method()) };
        let object = read(call, target)?;
        if object["metadata"]["name"] != name.as_str() {
            return Err(misnamed(&object, name));
        }
        let old = self.existing(target)?.clone();
        if target.resource.custom
            && object["metadata"]["resourceVersion"].as_str().unwrap_or_default().is_empty()
        {
            let problem =
                "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update".to_owned();
            return Err(Refusal::invalid(target.resource, name, &[problem]));
        }
        same_version(&old, &object, target)?;
        let new = finish(&old, object, target, &manager(call), |error| error.in_object(target.resource))?;
        Ok(Answer::json(200, &self.store(target, &old, new, dry_run)))
    }

    fn patch(&mut self, call: &Call, target: &Target, dry_run: bool) -> Result<Answer, Refusal> {
        let Some(name) = &target.name else { return Err(Refusal::method()) };
        let kind = call.content_type.split(';').next().unwrap_or_default().trim();
        let forced = call.query.get("force").is_some_and(|force| force == "true" || force == "1");
        if kind == "application/apply-patch+yaml" {
            return self.apply(call, target, name, forced, dry_run);
        }
        if call.query.contains_key("force") {
            return Err(options(call, "force: Forbidden: may not be specified for non-apply patch"));
        }
        let merged = kind == "application/merge-patch+json";
        if !merged && kind != "application/strategic-merge-patch+json" {
            return Err(Refusal::new(415, "UnsupportedMediaType", "415: Unsupported Media Type"));
        }
        if !merged && target.resource.custom {
            let message = "the body of the request was in an unknown format - accepted media types include: \
                           application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            return Err(Refusal::new(415, "UnsupportedMediaType", message));
        }
        let old = self.existing(target)?.clone();
        let patch = serde_json::from_slice::<Value>(&call.body)
            .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
        if !patch.is_object() {
            return Err(Refusal::bad_request(
                "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}",
            ));
        }
        same_version(&old, &patch, target)?;
        let mut new = old.clone();
        if merged {
            merge(&mut new, &patch);
        } else {
            strategic(&mut new, &patch, &[])?;
        }
        if new["metadata"]["name"] != old["metadata"]["name"] {
            return Err(misnamed(&new, name));
        }
        let text = String::from_utf8_lossy(&call.body);
        let new = finish(&old, new, target, &manager(call), |error| error.in_patch(&text))?;
        Ok(Answer::json(200, &self.store(target, &old, new, dry_run)))
    }

    fn apply(
        &mut self,
        call: &Call,
        target: &Target,
        name: &str,
        force: bool,
        dry_run: bool,
    ) -> Result<Answer, Refusal> {
        let Some(manager) = call.query.get("fieldManager").filter(|manager| !manager.is_empty()) else {
            return Err(options(call, "fieldManager: Required value: is required for apply patch"));
        };
        let mut config = read(call, target)?;
        if config["metadata"]["name"].as_str().is_some_and(|found| found != name) {
            return Err(misnamed(&config, name));
        }
        if config["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        let old = self.find(target).cloned().unwrap_or(Value::Null);
        if old.is_null() {
            self.place(target)?;
        }
        same_version(&old, &config, target)?;
        // The configuration is judged in the form in which it would be kept: values are compared with those that are there.
        let malformed = |error: &Malformed| error.in_configuration(target.resource, name);
        amounts(&mut config, target.resource).map_err(|error| malformed(&error))?;
        let custom = target.resource.custom;
        let merged = fields::apply(&old, &config, manager, force, NOW, custom);
        let merged = merged
            .map_err(|conflicts| Refusal::apply_conflict(&target.resource.api_version(), &conflicts))?;
        let owners = merged["metadata"]["managedFields"].clone();
        let mut new = finish(&old, merged, target, manager, malformed)?;
        new["metadata"]["managedFields"] = owners;
        let status = if old.is_null() { 201 } else { 200 };
        Ok(Answer::json(status, &self.store(target, &old, new, dry_run)))
    }

    fn delete(&mut self, call: &Call, target: &Target, dry_run: bool) -> Result<Answer, Refusal> {
        let old = self.existing(target)?.clone();
        let name = target.name.as_deref().unwrap_or_default();
        let wish = document(&call.body).unwrap_or(Value::Null);
        for (field, word) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
            let wanted = &wish["preconditions"][field];
            let has = &old["metadata"][field];
            if !wanted.is_null() && wanted != has {
                let (wanted, has) = (wanted.as_str().unwrap_or_default(), has.as_str().unwrap_or_default());
                return Err(Refusal::precondition(target.resource, name, word, wanted, has));
            }
        }
        if !dry_run {
            self.remove(target.resource.plural, target.namespace.as_deref().unwrap_or_default(), name);
            if target.resource.kind == "Namespace" {
                self.objects.retain(|(_, namespace, _), _| namespace != name);
            }
        }
        // Some kinds come back as they were last, the others as a word of success.
        if ["Namespace", "Pod", "Service"].contains(&target.resource.kind) {
            return Ok(Answer::json(200, &old));
        }
        let mut details =
            json!({"name": name, "kind": target.resource.plural, "uid": old["metadata"]["uid"]});
        if !target.resource.group.is_empty() {
            details["group"] = target.resource.group.into();
        }
        Ok(Answer::json(
            200,
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
        ))
    }

    /// Stores what came of a request unless it only tried, and returns what to answer.
    fn store(&mut self, target: &Target, old: &Value, new: Value, dry_run: bool) -> Value {
        if dry_run {
            let mut new = new;
            if old.is_null() {
                new["metadata"]["uid"] = uid(self.made + 1).into();
            }
            return new;
        }
        let stored = self.commit(target, old, new);
        if target.resource.kind == "StatefulSet" && !target.status && self.rollout == Rollout::Immediate {
            let name = target.name.clone().unwrap_or_default();
            let namespace = target.namespace.as_deref().unwrap_or_default();
            // Pods that are not ready, because somebody said so, do not become it by a change.
            let status = &stored["status"];
            let short = status["readyReplicas"].as_u64() < status["replicas"].as_u64()
                && !status["readyReplicas"].is_null();
            self.settle(namespace, &name);
            if short {
                let ready = json!({"readyReplicas": status["readyReplicas"], "availableReplicas": status["availableReplicas"]});
                self.set_status(namespace, &name, &ready);
            }
        }
        stored
    }

    fn commit(&mut self, target: &Target, old: &Value, mut new: Value) -> Value {
        if *old == new {
            return new;
        }
        if old.is_null() {
            self.made += 1;
            new["metadata"]["uid"] = uid(self.made).into();
        }
        let (plural, namespace, name) = key(target);
        self.keep(plural, &namespace, &name, new)
    }
}

fn key(target: &Target) -> Key {
    (
        target.resource.plural,
        target.namespace.clone().unwrap_or_default(),
        target.name.clone().unwrap_or_default(),
    )
}

fn uid(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

fn digest(value: &Value) -> String {
    Sha256::digest(value.to_string())
        .iter()
        .take(5)
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// The name under which changes are noted.
fn manager(call: &Call) -> String {
    let given = call.query.get("fieldManager").filter(|manager| !manager.is_empty());
    let agent = || call.agent.split('/').next().filter(|agent| !agent.is_empty()).unwrap_or("unknown");
    given.cloned().unwrap_or_else(|| agent().to_owned())
}

/// Paths that are about no object.
fn general(call: &Call) -> Option<Refusal> {
    let text = match call.path.trim_end_matches('/') {
        "/healthz" | "/livez" | "/readyz" => "ok",
        _ => return None,
    };
    Some(Refusal::plain(200, text))
}

fn authorise(account: Option<&Account>, verb: &str, target: &Target) -> Result<(), Refusal> {
    let Some(account) = account.filter(|account| !account.may(verb, target)) else { return Ok(()) };
    let place = match &target.namespace {
        Some(namespace) => format!("in the namespace \"{namespace}\""),
        None if target.resource.kind == "Namespace" && target.name.is_some() => {
            format!("in the namespace \"{}\"", target.name.as_deref().unwrap_or_default())
        }
        None => "at the cluster scope".to_owned(),
    };
    let name = target.name.as_deref().unwrap_or_default();
    Err(Refusal::forbidden(target.resource, name, &account.user(), verb, &place))
}

/// A request's options are wrong.
fn options(call: &Call, problem: &str) -> Refusal {
    let kind = match call.method.as_str() {
        "POST" => "CreateOptions",
        "PUT" => "UpdateOptions",
        "DELETE" => "DeleteOptions",
        _ => "PatchOptions",
    };
    let mut refusal = Refusal::new(422, "Invalid", format!("{kind}.meta.k8s.io \"\" is invalid: {problem}"));
    refusal.details.insert("group".to_owned(), "meta.k8s.io".into());
    refusal.details.insert("kind".to_owned(), kind.into());
    refusal
}

fn document(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok().filter(|text| !text.trim().is_empty())?;
    serde_json::from_str(text).ok().or_else(|| serde_yaml::from_str(text).ok())
}

fn misnamed(object: &Value, name: &str) -> Refusal {
    let found = object["metadata"]["name"].as_str().unwrap_or_default();
    Refusal::bad_request(format!(
        "the name of the object ({found}) does not match the name on the URL ({name})"
    ))
}

/// The object in a request's body; it has to be of the path's kind.
fn read(call: &Call, target: &Target) -> Result<Value, Refusal> {
    let object = document(&call.body).filter(Value::is_object);
    let Some(object) = object else {
        return Err(Refusal::bad_request("the body of the request is not an object"));
    };
    let (kind, version) = (object["kind"].as_str(), object["apiVersion"].as_str());
    let (Some(kind), Some(version)) = (kind, version) else {
        let missing = if kind.is_none() { "Kind" } else { "apiVersion" };
        return Err(Refusal::bad_request(format!("Object '{missing}' is missing in the body")));
    };
    let expected = target.resource.api_version();
    if version != expected {
        return Err(Refusal::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({expected})"
        )));
    }
    if kind != target.resource.kind {
        return Err(Refusal::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {}",
            target.resource.kind
        )));
    }
    let namespace = object["metadata"]["namespace"].as_str().filter(|namespace| !namespace.is_empty());
    if let (Some(found), Some(expected)) = (namespace, &target.namespace)
        && found != expected
    {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(object)
}

/// A client that names a version or an identity means that one.
fn same_version(old: &Value, given: &Value, target: &Target) -> Result<(), Refusal> {
    let name = target.name.as_deref().unwrap_or_default();
    let wanted = |field: &str| given["metadata"][field].as_str().filter(|text| !text.is_empty());
    let has = |field: &str| old["metadata"][field].as_str().unwrap_or_default();
    if let Some(uid) = wanted("uid").filter(|uid| *uid != has("uid")) {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", has("uid"));
        return Err(Refusal::conflict(target.resource, name, &why));
    }
    match wanted("resourceVersion") {
        Some(version) if version != has("resourceVersion") => {
            Err(Refusal::conflict(target.resource, name, MODIFIED))
        }
        _ => Ok(()),
    }
}

/// Brings the amounts in an applied configuration into the form in which they are kept, and nothing else of it.
fn amounts(config: &mut Value, resource: &Resource) -> Result<(), Malformed> {
    let mut kept = config.clone();
    rules::normalise(&mut kept, resource)?;
    let containers = |object: &Value| object.pointer("/spec/template/spec/containers").cloned();
    if let (Some(Value::Array(kept)), Some(Value::Array(mine))) =
        (containers(&kept), config.pointer_mut("/spec/template/spec/containers"))
    {
        for (kept, mine) in kept.iter().zip(mine) {
            for field in ["limits", "requests"] {
                let amounts = mine.get_mut("resources").and_then(|resources| resources.get_mut(field));
                for (name, amount) in amounts.and_then(Value::as_object_mut).into_iter().flatten() {
                    *amount = kept["resources"][field][name].clone();
                }
            }
        }
    }
    Ok(())
}

/// Makes of what a request asked for what may be kept: what is not the client's to say is as before, the rest is checked and noted.
fn finish(
    old: &Value,
    mut new: Value,
    target: &Target,
    manager: &str,
    malformed: impl Fn(&Malformed) -> Refusal,
) -> Result<Value, Refusal> {
    let resource = target.resource;
    if target.status {
        let mut object = old.clone();
        object["status"] = new["status"].clone();
        return Ok(object);
    }
    let map = as_map(&mut new);
    map.insert("apiVersion".to_owned(), resource.api_version().into());
    map.insert("kind".to_owned(), resource.kind.into());
    match old.get("status") {
        Some(status) => map.insert("status".to_owned(), status.clone()),
        None if resource.kind == "StatefulSet" => {
            map.insert("status".to_owned(), json!({"replicas": 0, "availableReplicas": 0}))
        }
        None => map.remove("status"),
    };
    let metadata = as_map(map.entry("metadata").or_insert_with(|| json!({})));
    metadata.insert("name".to_owned(), target.name.clone().unwrap_or_default().into());
    if let Some(namespace) = &target.namespace {
        metadata.insert("namespace".to_owned(), namespace.clone().into());
    }
    for field in ["uid", "resourceVersion", "generation", "managedFields"] {
        match old["metadata"].get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    metadata.insert("creationTimestamp".to_owned(), NOW.into());
    if resource.kind == "Namespace" {
        let name = metadata["name"].clone();
        as_map(metadata.entry("labels").or_insert_with(|| json!({})))
            .insert("kubernetes.io/metadata.name".to_owned(), name);
        map.insert("status".to_owned(), json!({"phase": "Active"}));
    }
    rules::normalise(&mut new, resource).map_err(|error| malformed(&error))?;
    rules::check(old, &new, resource)?;
    let content = |object: &Value| -> Map<String, Value> {
        let fields = object.as_object().into_iter().flatten();
        let fields = fields.filter(|(key, _)| !["metadata", "status"].contains(&key.as_str()));
        fields.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    if resource.counted {
        let before = old["metadata"]["generation"].as_u64().unwrap_or(0);
        let changed = old.is_null() || content(old) != content(&new);
        new["metadata"]["generation"] = (before + u64::from(changed)).into();
    }
    fields::updated(old, &mut new, manager, NOW, resource.custom);
    Ok(new)
}
