//! Kubernetes: from what the API has to what it should have.
//!
//! The leader alone changes anything, and only what differs. The order, with its reasons:
//! 1. *Records* of labels that are going to be set: a label that nobody remembers would stay for ever.
//! 2. *Policies* of the mesh, before pods join it; and before pods leave it, nothing passes that should not.
//! 3. *The service*, then *the pods' template*: a change of the template may end this very pod.
//! 4. *Records* of labels that are gone.
//!
//! Whatever goes wrong is in the outcome, and the rest is done nevertheless, unless the API has gone silent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::kubernetes::names::{mesh_record, own_record, policy_manager};
use crate::kubernetes::objects::{self, RESOURCE_MANAGER};
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::{Access, CHANGING, Client, Failure, Kind, LEAVING, Reading};
use crate::names::{Container, Endpoint};
use crate::plan::kubernetes::{Mesh, Objects};
use crate::snapshot::{
    Answer, Answers, Identity, KubernetesSnapshot, LeaderAnswers, Policy, Record, Resources, Rollout,
    Snapshot, StatefulSet,
};
use crate::status::{KubernetesOutcome, KubernetesTask, Trouble};

/// Labels to set, and with `None` to remove.
type Changes = BTreeMap<String, Option<String>>;
type Labels = BTreeMap<String, String>;

/// What has to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
enum Step<'p> {
    /// Remember these labels.
    Remember(Whose, Labels),
    /// Say what the mesh lets pass.
    Allow(&'p str, &'p Value),
    /// Take back a policy.
    Forbid(&'p str),
    /// Change the labels of the service.
    LabelService(Changes),
    /// Bound what nginx gets.
    Resources(&'p Resources),
    /// Change the labels of the pods.
    LabelPods(Changes),
    /// Remember fewer labels, if all that had to be done with labels has been done.
    Forget(Whose, Labels),
    /// Nothing of the mesh is left, if all that had to be done has been done.
    Leave,
}

/// For whom labels are managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Own,
    Mesh,
}

impl Whose {
    fn record(self, app: &str) -> String {
        match self {
            Self::Own => own_record(app),
            Self::Mesh => mesh_record(app),
        }
    }
}

/// Carries out what is planned against what `snapshot` saw. Nothing that the API answers fails a hook.
pub(super) async fn apply(
    access: Option<&Access>,
    snapshot: &Snapshot,
    objects: &Objects,
) -> KubernetesOutcome {
    let (Some(access), KubernetesSnapshot::Asked(answers)) = (access, &snapshot.kubernetes) else {
        return KubernetesOutcome::default();
    };
    let identity = &snapshot.identity;
    if steps(answers, objects).is_empty() {
        return outcome(identity, answers, objects, Vec::new(), None);
    }
    let client = match Client::new(access, CHANGING) {
        Ok(client) => client,
        Err(failure) => {
            return outcome(identity, answers, objects, vec![(KubernetesTask::Read, failure)], None);
        }
    };
    let first = Performance::run(&client, identity, answers, objects).await;
    if !first.conflicts() {
        return outcome(identity, answers, objects, first.troubles, first.rollout.as_ref());
    }
    // Somebody was faster. What is left to do after them, if anything?
    let mesh = !snapshot.relations(Endpoint::ServiceMesh).is_empty();
    let answers = Reading { identity, mesh }.read(&client).await;
    let second = Performance::run(&client, identity, &answers, objects).await;
    outcome(identity, &answers, objects, second.troubles, second.rollout.or(first.rollout).as_ref())
}

/// What is to be told: troubles of looking and of changing, and whether the pods are being replaced.
fn outcome(
    identity: &Identity,
    answers: &Answers,
    objects: &Objects,
    changing: Vec<Trouble>,
    changed: Option<&Rollout>,
) -> KubernetesOutcome {
    let mut troubles = Vec::new();
    let mut reading = |failure: Failure| troubles.push((KubernetesTask::Read, failure));
    let rollout = match &answers.stateful_set {
        Ok(Some(seen)) => changed.or(Some(&seen.rollout)),
        Ok(None) => {
            reading(Failure::NotFound(format!("StatefulSet {}", identity.app())));
            None
        }
        Err(failure) => {
            reading(failure.clone());
            None
        }
    };
    if let Some(leader) = &answers.leader {
        let LeaderAnswers { service, own_labels, mesh_labels, policies } = leader;
        let policies = policies.as_ref().and_then(|policies| policies.as_ref().err());
        let failures =
            [service.as_ref().err(), own_labels.as_ref().err(), mesh_labels.as_ref().err(), policies];
        failures.into_iter().flatten().cloned().for_each(&mut reading);
    }
    if knows_no_policies(answers) && objects.mesh.as_ref().is_some_and(|mesh| !mesh.policies.is_empty()) {
        let what = format!("{} in this cluster", Kind::AuthorizationPolicy.name());
        troubles.push((KubernetesTask::Policies, Failure::NotFound(what)));
    }
    let mut told: Vec<Trouble> = Vec::new();
    for trouble in troubles {
        // Objects that cannot be read are often so for one reason.
        if !told.contains(&trouble) {
            tracing::warn!("Kubernetes, {}: {}", trouble.0, trouble.1);
            told.push(trouble);
        }
    }
    told.extend(changing);
    KubernetesOutcome { troubles: told, rolling_out: rollout.is_some_and(is_under_way) }
}

/// Whether the cluster has no mesh of the kind whose policies were asked for.
fn knows_no_policies(answers: &Answers) -> bool {
    answers.leader.as_ref().is_some_and(|leader| leader.policies == Some(Ok(None)))
}

/// Whether pods are still to be replaced because their template has changed. Pods that are not ready for another reason,
/// or not ready yet, do not count.
fn is_under_way(rollout: &Rollout) -> bool {
    let Rollout { generation, observed, replicas, updated, partition, revised } = rollout;
    observed.is_some_and(|observed| observed < *generation)
        || (*revised && *updated < replicas.saturating_sub(*partition))
}

/// What [`apply`] would do, one line each.
pub(super) fn preview(snapshot: &Snapshot, objects: &Objects) -> Vec<String> {
    let KubernetesSnapshot::Asked(answers) = &snapshot.kubernetes else { return Vec::new() };
    let app = snapshot.identity.app();
    let keys = |labels: &Changes| labels.keys().cloned().collect::<Vec<_>>().join(", ");
    let line = |step: &Step<'_>| match step {
        Step::Remember(whose, _) => format!("write ConfigMap {}", whose.record(app)),
        Step::Allow(name, _) => format!("apply AuthorizationPolicy {name}"),
        Step::Forbid(name) => format!("delete AuthorizationPolicy {name}"),
        Step::LabelService(labels) => format!("change labels of Service {app}: {}", keys(labels)),
        Step::Resources(_) => format!("set resources of {} in StatefulSet {app}", Container::Nginx),
        Step::LabelPods(labels) => format!("change pod labels of StatefulSet {app}: {}", keys(labels)),
        Step::Forget(whose, _) => format!("shorten ConfigMap {}", whose.record(app)),
        Step::Leave => format!("delete ConfigMap {}", Whose::Mesh.record(app)),
    };
    steps(answers, objects).iter().map(|step| format!("kubernetes: {}", line(step))).collect()
}

/// Deletes what would stay behind when the application is gone. Best effort: nobody is left to see a status.
pub(crate) async fn leave(access: &Access, identity: &Identity) {
    // Whoever was removed with the whole cluster need not be the leader.
    let identity = Identity { leader: true, ..identity.clone() };
    let client = match Client::new(access, LEAVING) {
        Ok(client) => client,
        Err(failure) => return tracing::warn!("cannot clean up in Kubernetes: {failure}"),
    };
    let app = identity.app();
    let answers = Reading { identity: &identity, mesh: false }.read(&client).await;
    let seen = answers.leader.as_ref();
    let policies =
        seen.and_then(|seen| seen.policies.as_ref()?.as_ref().ok()?.as_ref()).into_iter().flatten();
    let policies = policies.map(|policy| (Kind::AuthorizationPolicy, policy.name.clone()));
    let there = |record: fn(&LeaderAnswers) -> &Answer<Record>| {
        seen.is_some_and(|seen| !matches!(record(seen), Ok(None)))
    };
    let records =
        [(Whose::Mesh, there(|seen| &seen.mesh_labels)), (Whose::Own, there(|seen| &seen.own_labels))];
    let records = records
        .into_iter()
        .filter(|(_, there)| *there)
        .map(|(whose, _)| (Kind::ConfigMap, whose.record(app)));
    for (kind, name) in policies.chain(records) {
        match client.delete(kind, &name).await {
            Ok(()) => tracing::info!("deleted {} {name}: the application is being removed", kind.name()),
            Err(failure) => {
                tracing::warn!("{} {name} stays behind: {failure}", kind.name());
                if failure.is_of_connection() {
                    return;
                }
            }
        }
    }
}

/// What has to be done. Of what could not be read, nothing is changed.
fn steps<'p>(answers: &'p Answers, objects: &'p Objects) -> Vec<Step<'p>> {
    let Some(leader) = &answers.leader else { return Vec::new() };
    let stateful_set = answers.stateful_set.as_ref().ok().and_then(Option::as_ref);
    let labels = LabelSteps::of(leader, stateful_set, objects);
    let mut steps = labels.before;
    let mut mesh_settled = false;
    if let Some(mesh) = &objects.mesh {
        let seen = match &leader.policies {
            None => Some(&[][..]),
            // Nobody in this cluster would know what a policy is.
            Some(Ok(None)) if mesh.present => None,
            Some(Ok(policies)) => Some(policies.as_deref().unwrap_or_default()),
            Some(Err(_)) => None,
        };
        if let Some(seen) = seen {
            steps.extend(policy_steps(seen, mesh));
            mesh_settled = true;
        }
    }
    steps.extend(Some(labels.service).filter(|labels| !labels.is_empty()).map(Step::LabelService));
    if let (Some(planned), Some(stateful_set)) = (&objects.resources, stateful_set)
        && differ(stateful_set, planned)
    {
        steps.push(Step::Resources(planned));
    }
    steps.extend(Some(labels.pods).filter(|labels| !labels.is_empty()).map(Step::LabelPods));
    steps.extend(labels.after);
    let gone = objects.mesh.as_ref().is_some_and(|mesh| !mesh.present);
    if gone && mesh_settled && labels.known && matches!(leader.mesh_labels, Ok(Some(_))) {
        steps.push(Step::Leave);
    }
    steps
}

/// What has to be done about labels.
#[derive(Default)]
struct LabelSteps<'p> {
    before: Vec<Step<'p>>,
    service: Changes,
    pods: Changes,
    after: Vec<Step<'p>>,
    /// Whether it is known which labels are managed; if not, there is nothing to do.
    known: bool,
}

impl LabelSteps<'_> {
    fn of(leader: &LeaderAnswers, stateful_set: Option<&StatefulSet>, objects: &Objects) -> Self {
        let mut steps = Self::default();
        let (Ok(own), Ok(mesh)) = (&leader.own_labels, &leader.mesh_labels) else { return steps };
        steps.known = true;
        let (own, mesh) = (own.as_ref(), mesh.as_ref());
        let recorded =
            |record: Option<&Record>| record.map(|record| record.labels.clone()).unwrap_or_default();
        let (own_recorded, mesh_recorded) = (recorded(own), recorded(mesh));
        // What is not planned is kept as it is.
        let own_wanted = objects.own_labels.clone().unwrap_or_else(|| own_recorded.clone());
        let planned_mesh = objects.mesh.as_ref();
        let mesh_wanted = planned_mesh.map_or_else(|| mesh_recorded.clone(), |mesh| mesh.labels.clone());
        let mut wanted = mesh_wanted.clone();
        wanted.extend(own_wanted.clone());
        let managed: BTreeSet<&String> = own_recorded.keys().chain(mesh_recorded.keys()).collect();
        let changes = |there: &Labels| -> Changes {
            let set = wanted.iter().filter(|(key, value)| there.get(*key) != Some(value));
            let unset = managed.iter().filter(|key| !wanted.contains_key(**key) && there.contains_key(**key));
            set.map(|(key, value)| (key.clone(), Some(value.clone())))
                .chain(unset.map(|key| ((*key).clone(), None)))
                .collect()
        };
        steps.pods = stateful_set.map(|seen| changes(&seen.pod_labels)).unwrap_or_default();
        steps.service = match &leader.service {
            Ok(Some(labels)) => changes(labels),
            _ => Changes::new(),
        };
        // A record is wanted where there is something to remember, and for as long as there is a mesh.
        let keep_mesh = planned_mesh.is_some_and(|mesh| mesh.present);
        let records = [
            (Whose::Own, own, own_wanted, objects.own_labels.is_some()),
            (Whose::Mesh, mesh, mesh_wanted, keep_mesh),
        ];
        for (whose, record, wanted, keep) in records {
            if record.is_none() && !keep {
                continue;
            }
            let mut known = recorded(record);
            if record.is_none() || wanted.keys().any(|key| !known.contains_key(key)) {
                known.extend(wanted.clone());
                steps.before.push(Step::Remember(whose, known.clone()));
            }
            if known != wanted {
                steps.after.push(Step::Forget(whose, wanted));
            }
        }
        steps
    }
}

fn policy_steps<'p>(seen: &'p [Policy], mesh: &'p Mesh) -> impl Iterator<Item = Step<'p>> {
    let is_so = |name: &str, object: &Value| {
        seen.iter().any(|policy| policy.name == name && covers(&policy.spec, &object["spec"]))
    };
    let allow = mesh.policies.iter().filter(move |(name, object)| !is_so(name, object));
    let forbid = seen.iter().filter(|policy| !mesh.policies.contains_key(&policy.name));
    allow
        .map(|(name, object)| Step::Allow(name, object))
        .chain(forbid.map(|policy| Step::Forbid(&policy.name)))
}

/// Whether everything that is planned is there; an API may add defaults, and drop what is empty.
fn covers(there: &Value, planned: &Value) -> bool {
    match (there, planned) {
        (Value::Object(there), Value::Object(planned)) => {
            planned.iter().all(|(key, planned)| covers(there.get(key).unwrap_or(&Value::Null), planned))
        }
        (Value::Array(there), Value::Array(planned)) => {
            there.len() == planned.len()
                && there.iter().zip(planned).all(|(there, planned)| covers(there, planned))
        }
        (Value::Null, Value::Array(planned)) => planned.is_empty(),
        (Value::Null, Value::String(planned)) => planned.is_empty(),
        _ => there == planned,
    }
}

/// Whether nginx is given something else than planned, or is still bound by a limit of ours that is not planned any more.
fn differ(seen: &StatefulSet, planned: &Resources) -> bool {
    // Without the container there is nothing to bound, and a patch would ask for another container.
    let Some(there) = &seen.resources else { return false };
    let same = |there: Option<&String>, planned: &str| {
        let there = there.and_then(|text| text.parse::<Quantity>().ok());
        there.is_some() && there == planned.parse().ok()
    };
    let all =
        |there: &Labels, planned: &Labels| planned.iter().all(|(key, value)| same(there.get(key), value));
    let left_over = seen
        .limits_of_ours
        .iter()
        .any(|key| there.limits.contains_key(key) && !planned.limits.contains_key(key));
    left_over || !all(&there.requests, &planned.requests) || !all(&there.limits, &planned.limits)
}

/// What came of performing steps.
struct Performance<'a> {
    client: &'a Client,
    app: &'a str,
    manager: String,
    /// The records that exist, with the version that each was seen in.
    records: BTreeMap<Whose, Option<String>>,
    troubles: Vec<Trouble>,
    rollout: Option<Rollout>,
}

impl<'a> Performance<'a> {
    async fn run(client: &'a Client, identity: &'a Identity, answers: &Answers, objects: &Objects) -> Self {
        let mut performance = Self {
            client,
            app: identity.app(),
            manager: policy_manager(identity),
            records: records(answers),
            troubles: Vec::new(),
            rollout: None,
        };
        let mut unremembered = false;
        for step in steps(answers, objects) {
            let task = task(&step);
            let skip = match &step {
                // Nobody would know whom these labels belong to.
                Step::LabelService(_) | Step::LabelPods(_) | Step::Allow(..) => unremembered,
                Step::Forget(..) => performance.failed(KubernetesTask::Labels),
                Step::Leave => {
                    performance.failed(KubernetesTask::Labels) || performance.failed(KubernetesTask::Policies)
                }
                Step::Remember(..) | Step::Forbid(_) | Step::Resources(_) => false,
            };
            if skip {
                continue;
            }
            if let Err(failure) = performance.perform(&step, answers).await {
                tracing::warn!("Kubernetes, {task}: {failure}");
                unremembered |= matches!(step, Step::Remember(..));
                let silent = failure.is_of_connection();
                performance.troubles.push((task, failure));
                if silent {
                    break;
                }
            }
        }
        if performance.rollout.is_some()
            && let Ok(Some(now)) = client.get(Kind::StatefulSet, performance.app).await
        {
            // The answer to a patch is from before anybody has acted on it.
            performance.rollout = Some(objects::stateful_set(&now).rollout);
        }
        performance
    }

    fn failed(&self, task: KubernetesTask) -> bool {
        self.troubles.iter().any(|(failed, _)| *failed == task)
    }

    /// Whether it may be worth to look again.
    fn conflicts(&self) -> bool {
        self.troubles.iter().any(|(_, failure)| matches!(failure, Failure::Conflict(_)))
    }

    async fn perform(&mut self, step: &Step<'_>, answers: &Answers) -> Result<(), Failure> {
        let (client, app) = (self.client, self.app);
        match step {
            Step::Remember(whose, labels) | Step::Forget(whose, labels) => {
                self.remember(*whose, labels).await
            }
            Step::Allow(name, object) => {
                tracing::info!("applying AuthorizationPolicy {name}");
                client.apply(Kind::AuthorizationPolicy, name, &self.manager, true, object).await.map(drop)
            }
            Step::Forbid(name) => {
                tracing::info!("deleting AuthorizationPolicy {name}");
                client.delete(Kind::AuthorizationPolicy, name).await
            }
            Step::LabelService(labels) => {
                tracing::info!("changing labels of Service {app}");
                let patch = json!({"metadata": {"labels": labels}});
                client.merge(Kind::Service, app, app, &patch).await.map(drop)
            }
            Step::Resources(resources) => {
                tracing::info!("setting resources of {} in StatefulSet {app}", Container::Nginx);
                let Ok(Some(seen)) = &answers.stateful_set else { return Ok(()) };
                let patch = resource_patch(seen, resources);
                let object = client.apply(Kind::StatefulSet, app, RESOURCE_MANAGER, false, &patch).await?;
                self.rollout = Some(objects::stateful_set(&object).rollout);
                Ok(())
            }
            Step::LabelPods(labels) => {
                tracing::info!("changing pod labels of StatefulSet {app}");
                let patch = json!({"spec": {"template": {"metadata": {"labels": labels}}}});
                let object = client.merge(Kind::StatefulSet, app, app, &patch).await?;
                self.rollout = Some(objects::stateful_set(&object).rollout);
                Ok(())
            }
            Step::Leave => client.delete(Kind::ConfigMap, &Whose::Mesh.record(app)).await,
        }
    }

    async fn remember(&mut self, whose: Whose, labels: &Labels) -> Result<(), Failure> {
        let name = whose.record(self.app);
        let text = serde_json::to_string(labels).map_err(|error| Failure::Nonsense(error.to_string()))?;
        tracing::info!("writing ConfigMap {name}");
        let written = if let Some(version) = self.records.get(&whose) {
            // With the version that was seen, so that what somebody else has noted in the meantime is not lost.
            let mut patch = json!({"data": {"labels": text}});
            if let Some(version) = version {
                patch["metadata"] = json!({"resourceVersion": version});
            }
            self.client.merge(Kind::ConfigMap, &name, self.app, &patch).await?
        } else {
            let mut object = Kind::ConfigMap.head();
            object["metadata"] = json!({"name": name, "namespace": self.client.namespace()});
            object["data"] = json!({"labels": text});
            self.client.create(Kind::ConfigMap, &object).await?
        };
        self.records.insert(whose, objects::record(&written).version);
        Ok(())
    }
}

fn records(answers: &Answers) -> BTreeMap<Whose, Option<String>> {
    let leader = answers.leader.as_ref();
    let records = leader.map(|leader| [(Whose::Own, &leader.own_labels), (Whose::Mesh, &leader.mesh_labels)]);
    let there = |(whose, answer): (Whose, &Answer<Record>)| {
        Some((whose, answer.as_ref().ok()?.as_ref()?.version.clone()))
    };
    records.into_iter().flatten().filter_map(there).collect()
}

fn task(step: &Step<'_>) -> KubernetesTask {
    match step {
        Step::Resources(_) => KubernetesTask::Resources,
        Step::Allow(..) | Step::Forbid(_) => KubernetesTask::Policies,
        Step::Remember(..) | Step::LabelService(_) | Step::LabelPods(_) | Step::Forget(..) | Step::Leave => {
            KubernetesTask::Labels
        }
    }
}

/// The form in which resources have always been patched: what has to be repeated of the object, and nothing else.
fn resource_patch(seen: &StatefulSet, resources: &Resources) -> Value {
    let Resources { requests, limits } = resources;
    let container =
        json!({"name": Container::Nginx.as_str(), "resources": {"limits": limits, "requests": requests}});
    let mut patch = Kind::StatefulSet.head();
    patch["spec"] = json!({
        "selector": seen.selector,
        "serviceName": seen.service_name,
        "template": {"spec": {"containers": [container]}},
    });
    patch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(keys: &[(&str, &str)]) -> Labels {
        keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_a_new_template_is_waited_for() {
        let settled = Rollout {
            generation: 4,
            observed: Some(4),
            replicas: 3,
            updated: 3,
            partition: 0,
            revised: false,
        };
        let with = |change: fn(&mut Rollout)| {
            let mut rollout = settled.clone();
            change(&mut rollout);
            is_under_way(&rollout)
        };
        assert!(!is_under_way(&settled));
        assert!(with(|rollout| rollout.generation = 5), "the controller has not seen it yet");
        assert!(with(|rollout| (rollout.revised, rollout.updated) = (true, 2)));
        assert!(!with(|rollout| rollout.revised = true), "the last new pod is there, if not ready");
        assert!(!with(|rollout| rollout.updated = 2), "the application grows");
        assert!(
            !with(|rollout| (rollout.revised, rollout.updated, rollout.partition) = (true, 1, 2)),
            "some are to stay as they are"
        );
        assert!(!with(|rollout| rollout.observed = None));
    }

    #[test]
    fn amounts_are_compared_and_not_texts() {
        let planned = Resources {
            requests: labels(&[("cpu", "50m"), ("memory", "100Mi")]),
            limits: labels(&[("cpu", "0.5")]),
        };
        let seen = |requests: &[(&str, &str)], limits: &[(&str, &str)], ours: &[&str]| StatefulSet {
            resources: Some(Resources { requests: labels(requests), limits: labels(limits) }),
            limits_of_ours: ours.iter().map(|key| (*key).to_owned()).collect(),
            ..StatefulSet::default()
        };
        let same = [("cpu", "0.05"), ("memory", "104857600")];
        assert!(!differ(&seen(&same, &[("cpu", "500m")], &["cpu"]), &planned));
        assert!(!differ(&seen(&same, &[("cpu", "500m"), ("memory", "1Gi")], &["cpu"]), &planned), "not ours");
        assert!(differ(&seen(&same, &[("cpu", "500m"), ("memory", "1Gi")], &["cpu", "memory"]), &planned));
        assert!(differ(&seen(&same, &[("cpu", "501m")], &[]), &planned));
        assert!(differ(&seen(&same[..1], &[("cpu", "500m")], &[]), &planned));
        assert!(differ(&seen(&same, &[("cpu", "lots")], &[]), &planned));
        assert!(!differ(&StatefulSet::default(), &planned), "there is no nginx to bound");
    }

    #[test]
    fn what_an_api_adds_or_drops_makes_no_difference() {
        let planned = json!({"a": [{"b": "c", "to": []}], "group": ""});
        for there in [
            planned.clone(),
            json!({"a": [{"b": "c"}]}),
            json!({"a": [{"b": "c", "to": [], "more": 1}], "group": "", "action": "ALLOW"}),
        ] {
            assert!(covers(&there, &planned), "{there}");
        }
        for there in [
            json!({"a": []}),
            json!({"a": [{"b": "d"}]}),
            json!({"a": [{"b": "c", "to": [{}]}]}),
            json!({"a": [{"b": "c"}], "group": "x"}),
            json!(null),
        ] {
            assert!(!covers(&there, &planned), "{there}");
        }
    }

    fn some_labels() -> impl Strategy<Value = Labels> {
        proptest::collection::btree_map("[a-e]", "[12]", 0..4)
    }

    fn some_record() -> impl Strategy<Value = Answer<Record>> {
        proptest::option::of(some_labels())
            .prop_map(|labels| Ok(labels.map(|labels| Record { labels, version: None })))
    }

    fn some_policies() -> impl Strategy<Value = BTreeMap<String, Value>> {
        proptest::collection::btree_map("[pqr]", 0..2, 0..3).prop_map(|policies| {
            policies.into_iter().map(|(name, spec)| (name, json!({"spec": {"n": spec}}))).collect()
        })
    }

    fn some_answers() -> impl Strategy<Value = Answers> {
        let labels = (some_labels(), some_labels());
        (labels, some_record(), some_record(), some_policies()).prop_map(
            |((pods, service), own, mesh, policies)| {
                let policies = policies
                    .into_iter()
                    .map(|(name, object)| Policy { name, spec: object["spec"].clone() })
                    .collect();
                let leader = LeaderAnswers {
                    service: Ok(Some(service)),
                    own_labels: own,
                    mesh_labels: mesh,
                    policies: Some(Ok(Some(policies))),
                };
                Answers {
                    namespace: "obs".into(),
                    stateful_set: Ok(Some(StatefulSet { pod_labels: pods, ..StatefulSet::default() })),
                    leader: Some(leader),
                }
            },
        )
    }

    fn some_objects() -> impl Strategy<Value = Objects> {
        let mesh = (any::<bool>(), some_labels(), some_policies()).prop_map(|(present, labels, policies)| {
            if present { Mesh { present, labels, policies } } else { Mesh::default() }
        });
        (proptest::option::of(some_labels()), proptest::option::of(mesh))
            .prop_map(|(own_labels, mesh)| Objects { resources: None, own_labels, mesh })
    }

    fn label(there: &mut Labels, changes: Changes) {
        for (key, value) in changes {
            match value {
                Some(value) => there.insert(key, value),
                None => there.remove(&key),
            };
        }
    }

    /// What is there after a step.
    fn done(answers: &mut Answers, step: Step<'_>) {
        let leader = answers.leader.as_mut().unwrap();
        let Some(Ok(Some(policies))) = &mut leader.policies else { unreachable!() };
        match step {
            Step::Remember(whose, labels) | Step::Forget(whose, labels) => {
                let record = match whose {
                    Whose::Own => &mut leader.own_labels,
                    Whose::Mesh => &mut leader.mesh_labels,
                };
                *record = Ok(Some(Record { labels, version: None }));
            }
            Step::Allow(name, object) => {
                policies.retain(|policy| policy.name != name);
                policies.push(Policy { name: name.to_owned(), spec: object["spec"].clone() });
            }
            Step::Forbid(name) => policies.retain(|policy| policy.name != name),
            Step::LabelService(changes) => label(leader.service.as_mut().unwrap().as_mut().unwrap(), changes),
            Step::LabelPods(changes) => {
                label(&mut answers.stateful_set.as_mut().unwrap().as_mut().unwrap().pod_labels, changes);
            }
            Step::Leave => leader.mesh_labels = Ok(None),
            Step::Resources(_) => unreachable!("none are planned"),
        }
    }

    proptest! {
        /// And wherever it was interrupted, the next hook ends in the same place.
        #[test]
        fn once_done_nothing_is_left_to_do(answers in some_answers(), objects in some_objects(), dies in 0_usize..12) {
            let finish = |mut answers: Answers, count: usize| {
                let before = answers.clone();
                for step in steps(&before, &objects).into_iter().take(count) {
                    done(&mut answers, step);
                }
                answers
            };
            let all = finish(answers.clone(), usize::MAX);
            prop_assert_eq!(steps(&all, &objects), []);
            prop_assert_eq!(finish(finish(answers, dies), usize::MAX), all);
        }

        #[test]
        fn no_label_is_set_that_is_not_remembered(answers in some_answers(), objects in some_objects()) {
            let mut now = answers.clone();
            for step in steps(&answers, &objects) {
                if let Step::LabelPods(changes) | Step::LabelService(changes) = &step {
                    let leader = now.leader.as_ref().unwrap();
                    let records = [&leader.own_labels, &leader.mesh_labels].map(|record| record.as_ref().unwrap().as_ref());
                    for key in changes.keys() {
                        prop_assert!(records.iter().flatten().any(|record| record.labels.contains_key(key)), "{}", key);
                    }
                }
                done(&mut now, step);
            }
        }
    }

    #[test]
    fn of_what_could_not_be_read_nothing_is_changed() {
        let objects = Objects {
            resources: Some(Resources::default()),
            own_labels: Some(labels(&[("a", "1")])),
            mesh: Some(Mesh {
                present: true,
                labels: labels(&[("b", "1")]),
                policies: [("p".to_owned(), json!({}))].into(),
            }),
        };
        let nothing = LeaderAnswers {
            service: Err(Failure::Late),
            own_labels: Err(Failure::Late),
            mesh_labels: Err(Failure::Late),
            policies: Some(Err(Failure::Late)),
        };
        let answers =
            Answers { namespace: "obs".into(), stateful_set: Err(Failure::Late), leader: Some(nothing) };
        assert_eq!(steps(&answers, &objects), []);
        assert_eq!(steps(&Answers { leader: None, ..answers }, &objects), []);
    }
}
