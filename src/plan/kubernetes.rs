//! What Kubernetes should hold of this application. The leader alone decides: units see new options at different times,
//! and two that write what each of them knows would restart the pods in turn.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::kubernetes::names::{PART_OF, digest8, policy_labels, start};
use crate::kubernetes::quantity::Quantity;
use crate::snapshot::Resources;

/// What nginx is given in any case: processor time in thousandths of a processor, and memory in bytes, both also as they are
/// written.
const CPU_REQUEST: (Quantity, &str) = (Quantity::from_milli(50), "50m");
const MEMORY_REQUEST: (Quantity, &str) = (Quantity::from_whole(100 << 20), "100Mi");

/// The longest name of an object.
const LONGEST_NAME: usize = 253;
/// How much of each part is kept in a name that would be longer.
const PART_OF_NAME: usize = 30;

/// Objects, as far as they are ours. A part that is `None` is left as it is; on a follower, all are.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Objects {
    /// What the container `nginx` is given.
    pub resources: Option<Resources>,
    /// Labels of the pods and of the service in front of them, for ourselves.
    pub own_labels: Option<BTreeMap<String, String>>,
    /// What is there for the mesh.
    pub mesh: Option<Mesh>,
}

/// What is there for the mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Mesh {
    /// Whether there is a mesh. If not, everything that was there for one is deleted.
    pub present: bool,
    /// Labels of the pods and of the service in front of them, that make them part of the mesh.
    pub labels: BTreeMap<String, String>,
    /// What the parts of this cluster may send each other: `AuthorizationPolicy` objects, by name.
    pub policies: BTreeMap<String, Value>,
}

/// Decides them; in any state of the cluster.
pub(super) fn objects(d: &Deployment) -> Objects {
    let Some(namespace) = d.kubernetes.namespace.as_ref().filter(|_| d.identity.leader) else {
        return Objects::default();
    };
    Objects {
        resources: resources(d),
        own_labels: Some([(PART_OF.to_owned(), d.identity.app().to_owned())].into()),
        mesh: (!d.mesh.unreadable).then(|| mesh(d, namespace)),
    }
}

/// Requests, and limits that are never below them.
fn resources(d: &Deployment) -> Option<Resources> {
    let limits = d.kubernetes.limits.as_ref().ok()?;
    let parts = [("cpu", CPU_REQUEST, limits.cpu), ("memory", MEMORY_REQUEST, limits.memory)];
    let limit = |(key, request, limit): (&str, (Quantity, &str), Option<Quantity>)| {
        Some((key.to_owned(), limit?.max(request.0).to_string()))
    };
    Some(Resources {
        requests: parts.iter().map(|(key, request, _)| ((*key).to_owned(), request.1.to_owned())).collect(),
        limits: parts.into_iter().filter_map(limit).collect(),
    })
}

fn mesh(d: &Deployment, namespace: &str) -> Mesh {
    if d.mesh.kind.is_none() {
        return Mesh::default();
    }
    let app = d.identity.app();
    // What stands in the pods' service accounts is the name that the workers know themselves.
    let units = d.workers.iter().flat_map(|worker| &worker.units);
    let workers: BTreeSet<&str> =
        units.map(|unit| unit.application.as_str()).filter(|name| is_application(name)).collect();
    let to_pods = std::iter::once(app).chain(workers.iter().copied()).map(|source| (source, Target::Pods));
    let to_service = workers.iter().map(|source| (*source, Target::Service));
    let policies = to_pods.chain(to_service).map(|(source, target)| {
        let policy = Policy { source, target, app, namespace };
        (policy.name(&d.identity.model), policy.object(&policy_labels(&d.identity), &d.identity.model))
    });
    Mesh { present: true, labels: d.mesh.labels.clone(), policies: policies.collect() }
}

/// Whether this can be the name of an application, and so of a service account.
fn is_application(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(known) && !name.starts_with('-') && !name.ends_with('-')
}

/// What a policy lets an application send to.
#[derive(Clone, Copy)]
enum Target {
    /// The pods of the coordinator and of all workers, directly.
    Pods,
    /// The service in front of the coordinator.
    Service,
}

/// One application may send anything to one target.
struct Policy<'a> {
    source: &'a str,
    target: Target,
    /// The coordinator.
    app: &'a str,
    namespace: &'a str,
}

impl Policy<'_> {
    fn object(&self, labels: &[(&'static str, String); 2], model: &str) -> Value {
        let principal = format!("cluster.local/ns/{}/sa/{}", self.namespace, self.source);
        let mut spec = json!({
            "rules": [{"from": [{"source": {"principals": [principal]}}], "to": []}],
        });
        match self.target {
            Target::Pods => spec["selector"] = json!({"matchLabels": {PART_OF: self.app}}),
            Target::Service => {
                spec["targetRefs"] = json!([{"kind": "Service", "group": "", "name": self.app}]);
            }
        }
        let labels: BTreeMap<&str, &String> = labels.iter().map(|(key, value)| (*key, value)).collect();
        json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": self.name(model), "namespace": self.namespace, "labels": labels},
            "spec": spec,
        })
    }

    /// A name that says what the policy is about, and that is another one for another policy.
    fn name(&self, model: &str) -> String {
        let target = match self.target {
            Target::Pods => "custom-selector",
            Target::Service => self.app,
        };
        let (app, hash) = (self.app, digest8(&self.identification()));
        let name = |source: &str, namespace: &str, target: &str| {
            format!("{app}-{model}-policy-{source}-{namespace}-{target}-{hash}")
        };
        let full = name(self.source, self.namespace, target);
        if full.len() <= LONGEST_NAME {
            return full;
        }
        let cut = |part| start(part, PART_OF_NAME);
        name(cut(self.source), cut(self.namespace), cut(target))
    }

    /// The text that the digits in the name are made from: the form in which the charm's first implementation printed the
    /// policy, so that both give it the same name.
    fn identification(&self) -> String {
        let Self { source, app, namespace, .. } = self;
        let (target, selector, kind) = match self.target {
            Target::Pods => {
                ("None".to_owned(), format!("{{'{PART_OF}': '{app}'}}"), "<PolicyTargetType.unit: 'unit'>")
            }
            Target::Service => (format!("'{app}'"), "None".to_owned(), "<PolicyTargetType.app: 'app'>"),
        };
        format!(
            "source_namespace='{namespace}' source_app_name='{source}' target_namespace='{namespace}' \
             target_app_name={target} target_selector_labels={selector} target_service=None target_type={kind} \
             endpoints=[]"
        )
    }
}

#[cfg(test)]
mod tests {
    use juju_relations::service_mesh::MeshType;

    use super::*;
    use crate::deployment::kubernetes::Limits;
    use crate::fixtures::{Cluster, complete};

    fn deployment(cluster: &Cluster) -> Deployment {
        let mut deployment = cluster.deployment();
        deployment.kubernetes.namespace = Some("obs".into());
        deployment
    }

    fn in_mesh(cluster: &Cluster) -> Deployment {
        let mut deployment = deployment(cluster);
        deployment.mesh.related = true;
        deployment.mesh.kind = Some(MeshType::Istio);
        deployment.mesh.labels = [("istio.io/dataplane-mode".to_owned(), "ambient".to_owned())].into();
        deployment
    }

    #[test]
    fn limits_are_at_least_what_is_requested() {
        let limits = |cpu: &str, memory: &str| {
            let mut deployment = deployment(&complete());
            let of = |text: &str| (!text.is_empty()).then(|| text.parse::<Quantity>().unwrap().rounded_up());
            let cpu = (!cpu.is_empty()).then(|| cpu.parse().unwrap());
            deployment.kubernetes.limits = Ok(Limits { cpu, memory: of(memory) });
            let planned = objects(&deployment).resources.unwrap();
            let text = |table: &BTreeMap<String, String>| serde_json::to_string(table).unwrap();
            assert_eq!(text(&planned.requests), r#"{"cpu":"50m","memory":"100Mi"}"#);
            text(&planned.limits)
        };
        assert_eq!(limits("", ""), "{}");
        assert_eq!(limits("500m", "1Gi"), r#"{"cpu":"0.5","memory":"1073741824"}"#);
        assert_eq!(limits("10m", "50Mi"), r#"{"cpu":"0.05","memory":"104857600"}"#);
        assert_eq!(limits("1", "0.8Gi"), r#"{"cpu":"1","memory":"858993460"}"#);
    }

    #[test]
    fn a_follower_and_a_pod_without_access_plan_nothing() {
        assert_eq!(objects(&complete().deployment()), Objects::default());
        let mut cluster = complete();
        cluster.leader = false;
        assert_eq!(objects(&in_mesh(&cluster)), Objects::default());
    }

    #[test]
    fn options_that_are_no_amounts_leave_the_resources_as_they_are() {
        let mut cluster = complete();
        cluster.config.as_mut().unwrap().cpu_limit = Some("much".into());
        let planned = objects(&deployment(&cluster));
        assert_eq!(planned.resources, None);
        assert!(planned.own_labels.is_some());
    }

    #[test]
    fn policies_carry_the_names_that_they_have_always_had() {
        let policy = Policy { source: "tempo", target: Target::Pods, app: "tempo", namespace: "mymodel" };
        assert_eq!(policy.name("mymodel"), "tempo-mymodel-policy-tempo-mymodel-custom-selector-fabb7f14");
        let long = "a".repeat(230);
        let policy = Policy { source: &long, target: Target::Service, app: "tempo", namespace: "mymodel" };
        let name = policy.name("mymodel");
        assert!(
            name.starts_with(&format!("tempo-mymodel-policy-{}-mymodel-tempo-", "a".repeat(30))),
            "{name}"
        );
    }

    #[test]
    fn in_a_mesh_coordinator_and_workers_may_reach_each_other() {
        let cluster = Cluster::default().worker("read", "querier", 2).worker("write", "ingester", 1);
        let mesh = objects(&in_mesh(&cluster)).mesh.unwrap();
        assert!(mesh.present);
        let who: Vec<(String, bool)> = mesh
            .policies
            .values()
            .map(|policy| {
                let spec = &policy["spec"];
                let principal = spec["rules"][0]["from"][0]["source"]["principals"][0].as_str().unwrap();
                (principal.to_owned(), spec["selector"].is_object())
            })
            .collect();
        let sa = |app: &str| format!("cluster.local/ns/obs/sa/{app}");
        let mut expected = vec![
            (sa("tempo"), true),
            (sa("read"), true),
            (sa("read"), false),
            (sa("write"), true),
            (sa("write"), false),
        ];
        let mut sorted = who;
        sorted.sort();
        expected.sort();
        assert_eq!(sorted, expected);
        let first = mesh.policies.values().next().unwrap();
        assert_eq!(
            first["metadata"]["labels"],
            json!({
                "app.kubernetes.io/instance": "tempo-obs",
                "kubernetes-resource-handler-scope": "tempo-obs-cluster-internal",
            })
        );
    }

    #[test]
    fn without_a_mesh_there_is_nothing_for_it_and_what_makes_no_sense_changes_nothing() {
        assert_eq!(objects(&deployment(&complete())).mesh, Some(Mesh::default()));
        let mut unclear = deployment(&complete());
        unclear.mesh.unreadable = true;
        assert_eq!(objects(&unclear).mesh, None);
    }
}
