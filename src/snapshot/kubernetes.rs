//! What Kubernetes holds of this application.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::kubernetes::Failure;

/// What the API answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum KubernetesSnapshot {
    /// The pod has no way to it, so nothing was asked.
    #[default]
    NoAccess,
    /// It was asked.
    Asked(Box<Answers>),
}

/// What there is, that it is not there (`None`), or why nobody knows.
pub type Answer<T> = Result<Option<T>, Failure>;

/// The objects of this application.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// The namespace that all of them are in.
    pub namespace: String,
    /// The pods' template.
    pub stateful_set: Answer<StatefulSet>,
    /// What only the leader asks for.
    pub leader: Option<LeaderAnswers>,
}

/// Objects that only the leader changes.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderAnswers {
    /// The labels of the service in front of all units.
    pub service: Answer<BTreeMap<String, String>>,
    /// Which labels the charm manages for itself.
    pub own_labels: Answer<Record>,
    /// Which labels it manages for the mesh. It exists for as long as anything of the mesh may.
    pub mesh_labels: Answer<Record>,
    /// What the mesh lets pass, as far as the charm has said so; `None` if no mesh is related and none was.
    pub policies: Option<Answer<Vec<Policy>>>,
}

/// A `StatefulSet`, as far as it is of interest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatefulSet {
    /// Which pods are its own; a patch has to repeat it.
    pub selector: Value,
    /// The service that names its pods; a patch has to repeat it.
    pub service_name: String,
    /// The labels that its pods get.
    pub pod_labels: BTreeMap<String, String>,
    /// Requests and limits of the container `nginx`; `None` if there is no such container.
    pub resources: Option<Resources>,
    /// The limits of that container that the resource patch has set, by what they limit.
    pub limits_of_ours: BTreeSet<String>,
    /// How far a change of the template has got.
    pub rollout: Rollout,
}

/// What a container is given, as texts, by what it is given of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// At least.
    pub requests: BTreeMap<String, String>,
    /// At most.
    pub limits: BTreeMap<String, String>,
}

/// The numbers that tell whether all pods are as the template says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Counts changes of the specification.
    pub generation: i64,
    /// The last one that the controller has seen; `None` if it has said nothing yet.
    pub observed: Option<i64>,
    /// How many pods there should be.
    pub replicas: i64,
    /// How many are as the newest template says.
    pub updated: i64,
    /// How many, counted from the first, are to stay as they are.
    pub partition: i64,
    /// Whether the newest template is another one than that of the pods before.
    pub revised: bool,
}

/// A `ConfigMap` with labels in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The labels; none if they cannot be read.
    pub labels: BTreeMap<String, String>,
    /// The version of the object that was read, so that nobody else's change is overwritten.
    pub version: Option<String>,
}

/// An `AuthorizationPolicy`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// What it says.
    pub spec: Value,
}
