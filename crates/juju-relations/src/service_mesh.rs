//! `service_mesh`: an application joins a mesh and says who may talk to whom.
//!
//! Everything is in the **application** databags, written by the leaders. Values are JSON, plain texts too.
//!
//! | databag | key | value |
//! |---|---|---|
//! | mesh's (provider's) application | `labels` | object, label to value: what makes a pod part of the mesh |
//! | | `mesh_type` | `"istio"` |
//! | requirer's application | `policies` | array of [`MeshPolicy`], every member present |
//!
//! Both keys of the mesh belong together. Only they are read: whatever else is in the databag does not matter. A policy
//! that breaks the rules of [`MeshPolicy::check`], or cannot be read, is left out and named in
//! [`RequirerAppData::problems`].
//!
//! ```
//! use juju_relations::{Databag, Wire, service_mesh::{MeshType, ProviderAppData}};
//!
//! let bag = Databag::from([("labels", r#"{"istio.io/dataplane-mode": "ambient"}"#), ("mesh_type", r#""istio""#)]);
//! let mesh = ProviderAppData::read(Some(&bag)).ok().expect("complete");
//! assert_eq!(mesh.mesh_type, MeshType::Istio);
//! assert_eq!(mesh.labels["istio.io/dataplane-mode"], "ambient");
//! ```

use std::collections::BTreeMap;

use juju_ops::{Databag, DatabagError, Remote};
use serde::{Deserialize, Serialize};

use crate::{EndpointRole, Exchange, Party, Wire, lenient};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "service_mesh";

/// A kind of mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MeshType {
    /// Istio.
    Istio,
}

/// The mesh's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAppData {
    /// Labels that make a pod part of the mesh.
    pub labels: BTreeMap<String, String>,
    /// What kind of mesh it is.
    pub mesh_type: MeshType,
    /// Labels that cannot be read, in words fit for a status message.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// The requirer's application databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirerAppData {
    /// What the mesh should allow.
    pub policies: Vec<MeshPolicy>,
    /// Policies that cannot be used, in words fit for a status message.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// Permission for one application to talk to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MeshPolicy {
    /// Namespace of those who talk.
    pub source_namespace: String,
    /// Application of those who talk: the name of its service account.
    pub source_app_name: String,
    /// Namespace of those who are talked to.
    pub target_namespace: String,
    /// Application that is talked to.
    pub target_app_name: Option<String>,
    /// Labels of the pods that are talked to.
    pub target_selector_labels: Option<BTreeMap<String, String>>,
    /// Kubernetes service that is talked to, where it does not have the application's name.
    pub target_service: Option<String>,
    /// Whether the service in front of the application is meant, or its pods.
    #[serde(default)]
    pub target_type: TargetType,
    /// What may be done; nothing listed is everything.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

/// What a [`MeshPolicy`] opens the way to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetType {
    /// The service in front of an application.
    #[default]
    App,
    /// Single pods.
    Unit,
}

/// Requests that a [`MeshPolicy`] allows. What is `None` is not restricted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// Names of hosts.
    pub hosts: Option<Vec<String>>,
    /// Ports.
    pub ports: Option<Vec<u16>>,
    /// HTTP methods.
    pub methods: Option<Vec<Method>>,
    /// Paths, in the notation of the mesh.
    pub paths: Option<Vec<String>>,
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)] // they are called what they are
pub enum Method {
    Connect,
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Trace,
}

/// A [`MeshPolicy`] whose members contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Nobody is talked to.
    #[error("a policy for an application needs target_app_name or target_service")]
    NoTarget,
    /// Labels select pods, not services.
    #[error("a policy for an application cannot have target_selector_labels")]
    LabelsOfApp,
    /// A service is not a pod.
    #[error("a policy for units cannot have target_service")]
    ServiceOfUnits,
    /// Two ways to say which pods.
    #[error("a policy for units cannot have both target_app_name and target_selector_labels")]
    TwoSelections,
}

impl MeshPolicy {
    /// Permission to talk to the service of an application.
    ///
    /// Both sides are namespace and application.
    pub fn to_app(source: (&str, &str), target: (&str, &str), endpoints: Vec<Endpoint>) -> Self {
        Self {
            source_namespace: source.0.to_owned(),
            source_app_name: source.1.to_owned(),
            target_namespace: target.0.to_owned(),
            target_app_name: Some(target.1.to_owned()),
            target_selector_labels: None,
            target_service: None,
            target_type: TargetType::App,
            endpoints,
        }
    }

    /// Permission to talk to the pods of an application.
    pub fn to_units(source: (&str, &str), target: (&str, &str), endpoints: Vec<Endpoint>) -> Self {
        Self { target_type: TargetType::Unit, ..Self::to_app(source, target, endpoints) }
    }

    /// Whether the members fit together.
    ///
    /// # Errors
    /// Says which do not.
    pub fn check(&self) -> Result<(), PolicyError> {
        let set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let labels = self.target_selector_labels.as_ref().is_some_and(|labels| !labels.is_empty());
        match self.target_type {
            TargetType::App if !set(&self.target_app_name) && !set(&self.target_service) => {
                Err(PolicyError::NoTarget)
            }
            TargetType::App if labels => Err(PolicyError::LabelsOfApp),
            TargetType::Unit if set(&self.target_service) => Err(PolicyError::ServiceOfUnits),
            TargetType::Unit if set(&self.target_app_name) && labels => Err(PolicyError::TwoSelections),
            TargetType::App | TargetType::Unit => Ok(()),
        }
    }
}

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &["labels", "mesh_type"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| Self::KEYS.iter().any(|key| bag.contains_key(*key))) else {
            return Remote::Absent;
        };
        let mut problems = Vec::new();
        let read = |problems: &mut Vec<String>| {
            let missing = |key: &str| DatabagError::new(key, "missing");
            let mesh_type = lenient::document(bag, "mesh_type")?.ok_or_else(|| missing("mesh_type"))?;
            if !bag.contains_key("labels") {
                return Err(missing("labels"));
            }
            Ok((lenient::object(bag, "labels", problems)?, mesh_type))
        };
        match read(&mut problems) {
            Ok((labels, mesh_type)) => Remote::Ready(Self { labels, mesh_type, problems }),
            Err(error) => Remote::Invalid(error.to_string()),
        }
    }
}

impl RequirerAppData {
    /// The databag with these policies, in this order.
    pub fn new(policies: impl IntoIterator<Item = MeshPolicy>) -> Self {
        Self { policies: policies.into_iter().collect(), problems: Vec::new() }
    }
}

impl Wire for RequirerAppData {
    const KEYS: &'static [&'static str] = &["policies"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| bag.contains_key("policies")) else { return Remote::Absent };
        let mut problems = Vec::new();
        let policies = match lenient::array::<MeshPolicy>(bag, "policies", &mut problems) {
            Ok(policies) => policies,
            Err(error) => return Remote::Invalid(error.to_string()),
        };
        let mut good = Vec::new();
        let mut bad = lenient::LeftOut::default();
        for policy in policies {
            match policy.check() {
                Ok(()) => good.push(policy),
                Err(error) => bad.add(policy.source_app_name, || error.to_string()),
            }
        }
        problems.extend(bad.problem("policies"));
        Remote::Ready(Self { policies: good, problems })
    }
}

/// The side that is to be part of a mesh.
#[derive(Clone, Copy, Debug)]
pub enum Requirer {}

impl Party for Requirer {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Requires;
    type Own = RequirerAppData;
    type Other = ProviderAppData;
}

/// The mesh.
#[derive(Clone, Copy, Debug)]
pub enum Provider {}

impl Party for Provider {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Provides;
    type Own = ProviderAppData;
    type Other = RequirerAppData;
}

/// The side that is to be part of a mesh, in one hook.
pub type ServiceMeshRequirer = Exchange<Requirer>;

/// The mesh, in one hook.
pub type ServiceMeshProvider = Exchange<Provider>;

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> MeshPolicy {
        let endpoint = Endpoint { ports: Some(vec![4317, 4318]), ..Endpoint::default() };
        MeshPolicy::to_app(("apps", "otelcol"), ("obs", "tempo"), vec![endpoint])
    }

    #[test]
    fn bytes_of_the_mesh() {
        let data = ProviderAppData {
            labels: [("istio.io/dataplane-mode".into(), "ambient".into())].into(),
            mesh_type: MeshType::Istio,
            problems: vec![],
        };
        let bag = Databag::from([
            ("labels", r#"{"istio.io/dataplane-mode": "ambient"}"#),
            ("mesh_type", r#""istio""#),
        ]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(ProviderAppData::read(Some(&bag)), Remote::Ready(data));
    }

    #[test]
    fn bytes_of_policies() {
        let text = concat!(
            r#"[{"source_namespace": "apps", "source_app_name": "otelcol", "target_namespace": "obs", "#,
            r#""target_app_name": "tempo", "target_selector_labels": null, "target_service": null, "#,
            r#""target_type": "app", "endpoints": [{"hosts": null, "ports": [4317, 4318], "methods": null, "#,
            r#""paths": null}]}]"#,
        );
        let bag = Databag::from([("policies", text)]);
        let data = RequirerAppData::new([policy()]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(RequirerAppData::read(Some(&bag)), Remote::Ready(data));
        let get = Endpoint { methods: Some(vec![Method::Get]), ..Endpoint::default() };
        let units = RequirerAppData::new([MeshPolicy::to_units(("a", "b"), ("c", "d"), vec![get])]).write();
        assert!(units["policies"].contains(r#""target_type": "unit""#), "{units:?}");
        assert!(units["policies"].contains(r#""methods": ["GET"]"#), "{units:?}");
        assert_eq!(RequirerAppData::default().write()["policies"], "[]");
    }

    #[test]
    fn members_of_a_policy_have_to_fit_together() {
        fn set_labels(policy: &mut MeshPolicy) {
            policy.target_selector_labels = Some([("a".to_owned(), "b".to_owned())].into());
        }
        let check = |change: fn(&mut MeshPolicy)| {
            let mut policy = policy();
            change(&mut policy);
            policy.check()
        };
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(check(|p| p.target_app_name = None), Err(PolicyError::NoTarget));
        let service = |p: &mut MeshPolicy| {
            p.target_app_name = None;
            p.target_service = Some("tempo-workers".into());
        };
        assert_eq!(check(service), Ok(()));
        assert_eq!(check(set_labels), Err(PolicyError::LabelsOfApp));
        let units = |p: &mut MeshPolicy| p.target_type = TargetType::Unit;
        assert_eq!(check(units), Ok(()));
        let units_by_label = |p: &mut MeshPolicy| {
            p.target_type = TargetType::Unit;
            p.target_app_name = None;
            set_labels(p);
        };
        assert_eq!(check(units_by_label), Ok(()));
        let both = |p: &mut MeshPolicy| {
            p.target_type = TargetType::Unit;
            set_labels(p);
        };
        assert_eq!(check(both), Err(PolicyError::TwoSelections));
        let service_of_units = |p: &mut MeshPolicy| {
            p.target_type = TargetType::Unit;
            p.target_service = Some("tempo".into());
        };
        assert_eq!(check(service_of_units), Err(PolicyError::ServiceOfUnits));
    }

    #[test]
    fn a_mesh_is_understood_as_a_whole_and_whatever_else_it_wrote_does_not_matter() {
        let read =
            |pairs: &[(&str, &str)]| ProviderAppData::read(Some(&pairs.iter().copied().collect::<Databag>()));
        let (labels, mesh) = (("labels", "{}"), ("mesh_type", r#""istio""#));
        assert!(read(&[labels, mesh, ("version", "not JSON")]).is_ready());
        assert_eq!(read(&[("version", "1")]), Remote::Absent);
        assert_eq!(read(&[labels]).reason(), Some("mesh_type: missing"));
        assert_eq!(read(&[mesh]).reason(), Some("labels: missing"));
        assert_eq!(read(&[("labels", "x"), mesh]).reason(), Some("labels: not valid JSON"));
        assert_eq!(
            read(&[labels, ("mesh_type", r#""linkerd""#)]).reason(),
            Some("mesh_type: unknown variant `linkerd`, expected `istio`")
        );
        let some = read(&[("labels", r#"{"a": 1, "b": "c"}"#), mesh]).ok().unwrap();
        assert_eq!(some.labels, BTreeMap::from([("b".to_owned(), "c".to_owned())]));
        assert_eq!(some.problems, ["labels: a: expected a string, found integer"]);
    }

    #[test]
    fn a_bad_policy_does_not_spoil_the_others() {
        let short = r#"{"source_namespace": "a", "source_app_name": "b", "target_namespace": "c", "target_app_name": "d"}"#;
        let nobody = r#"{"source_namespace": "a", "source_app_name": "b", "target_namespace": "c"}"#;
        let bag = Databag::from([("policies", format!("[{short}, 1, {nobody}]"))]);
        let data = RequirerAppData::read(Some(&bag)).ok().unwrap();
        assert_eq!(data.policies, [MeshPolicy::to_app(("a", "b"), ("c", "d"), vec![])]);
        assert_eq!(
            data.problems,
            [
                "policies: entry 2: expected struct MeshPolicy, found integer",
                "policies: b: a policy for an application needs target_app_name or target_service",
            ]
        );
        assert_eq!(RequirerAppData::read(Some(&Databag::new())), Remote::Absent);
    }
}
