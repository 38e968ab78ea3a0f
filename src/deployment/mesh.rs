//! The service mesh.

use std::collections::BTreeMap;

use juju_ops::Remote;
use juju_relations::Wire;
use juju_relations::cross_model_mesh::{self, Identity};
use juju_relations::service_mesh::{MeshType, ProviderAppData};

use crate::names::Endpoint;
use crate::snapshot::Snapshot;

use super::{Findings, key_and_reason, sorted};

/// The mesh that the application is part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mesh {
    /// Whether a mesh is related, whatever it has said.
    pub related: bool,
    /// What kind of mesh it is; `None` while none has said so.
    pub kind: Option<MeshType>,
    /// What makes pods part of it: labels that Kubernetes takes, never one that this charm or Juju has a use for.
    pub labels: BTreeMap<String, String>,
    /// Whether the mesh has written something that makes no sense. What was done for it before should then be left
    /// as it is.
    pub unreadable: bool,
    /// Those who talk to the application, for each endpoint through which that is allowed: one for each relation, in
    /// the order of their numbers.
    pub guests: BTreeMap<Endpoint, Vec<Identity>>,
}

/// The endpoints whose related applications talk to this one.
pub const GUESTS: [Endpoint; 5] = [
    Endpoint::MetricsEndpoint,
    Endpoint::TempoApi,
    Endpoint::Tracing,
    Endpoint::GrafanaSource,
    Endpoint::Probes,
];

/// Labels below this name say what a pod belongs to: Juju finds pods by them, and so do our own policies.
const RESERVED: &str = "app.kubernetes.io/";

/// What the mesh has told, and who is to be let in.
pub(super) fn mesh(snapshot: &Snapshot, findings: &mut Findings) -> Mesh {
    let identities = identities(snapshot, findings);
    let guest = |app: &String| {
        identities.get(app).cloned().unwrap_or_else(|| Identity {
            app_name: app.clone(),
            juju_model_name: snapshot.identity.model.clone(),
        })
    };
    let guests = GUESTS.into_iter().map(|endpoint| {
        let related = sorted(snapshot.relations(endpoint));
        let apps = related.iter().filter_map(|relation| relation.remote_app.as_ref());
        (endpoint, apps.map(guest).collect())
    });
    Mesh { guests: guests.collect(), ..told(snapshot, findings) }
}

/// What makes pods part of the mesh.
fn told(snapshot: &Snapshot, findings: &mut Findings) -> Mesh {
    let relations = sorted(snapshot.relations(Endpoint::ServiceMesh));
    let Some(relation) = relations.first() else { return Mesh::default() };
    let mut wrong = |problem: &str| {
        let (key, reason) = key_and_reason(problem);
        findings.app(Endpoint::ServiceMesh, relation.id, key, reason);
    };
    let mut mesh = Mesh { related: true, ..Mesh::default() };
    match ProviderAppData::read(relation.remote_app_data.as_ref()) {
        Remote::Absent | Remote::Denied => {}
        Remote::Invalid(reason) => {
            wrong(&reason);
            mesh.unreadable = true;
        }
        Remote::Ready(data) => {
            data.problems.iter().for_each(|problem| wrong(problem));
            mesh.kind = Some(data.mesh_type);
            for (label, value) in data.labels {
                match check_label(&label, &value) {
                    Ok(()) => drop(mesh.labels.insert(label, value)),
                    Err(reason) => wrong(&format!("labels: {reason}")),
                }
            }
        }
    }
    mesh
}

/// Who applications of other models are, by the names that they have in this one.
fn identities(snapshot: &Snapshot, findings: &mut Findings) -> BTreeMap<String, Identity> {
    let mut identities = BTreeMap::new();
    for relation in sorted(snapshot.relations(Endpoint::ProvideCmrMesh)) {
        let Some(app) = &relation.remote_app else { continue };
        match cross_model_mesh::RequirerAppData::read(relation.remote_app_data.as_ref()) {
            Remote::Absent | Remote::Denied => {}
            Remote::Invalid(reason) => {
                let (key, reason) = key_and_reason(&reason);
                findings.app(Endpoint::ProvideCmrMesh, relation.id, key, reason);
            }
            Remote::Ready(data) => drop(identities.insert(app.clone(), data.cmr_data)),
        }
    }
    identities
}

/// Whether Kubernetes takes a label. One that it does not would make it refuse all of them.
fn check_label(label: &str, value: &str) -> Result<(), &'static str> {
    let is_name = |text: &str| {
        let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        text.len() <= 63
            && edge(text.bytes().next())
            && edge(text.bytes().last())
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
    };
    let is_domain = |text: &str| {
        let is_part = |part: &str| {
            is_name(part) && part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        };
        text.len() <= 253 && text.split('.').all(is_part)
    };
    let (domain, name) = label.split_once('/').map_or((None, label), |(domain, name)| (Some(domain), name));
    if !domain.is_none_or(is_domain) || !is_name(name) {
        return Err("a name that Kubernetes does not take");
    }
    if !value.is_empty() && !is_name(value) {
        return Err("a value that Kubernetes does not take");
    }
    if label.starts_with(RESERVED) {
        return Err("a name below app.kubernetes.io, which is not for meshes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use juju_ops::Databag;

    use super::*;
    use crate::fixtures::complete;
    use crate::snapshot::RelationSnapshot;

    #[test]
    fn labels_are_those_that_kubernetes_takes() {
        for (label, value) in [
            ("istio.io/dataplane-mode", "ambient"),
            ("istio.io/use-waypoint", ""),
            ("a", "x"),
            ("A_b.c", "0"),
            ("apps.kubernetes.io/x", "y"),
            ("a", &"x".repeat(63)),
        ] {
            assert_eq!(check_label(label, value), Ok(()), "{label} {value}");
        }
        for (label, value) in [
            ("", ""),
            ("/x", ""),
            ("a/", ""),
            ("a/b/c", ""),
            ("A.b/x", ""),
            ("a_b/x", ""),
            ("a b", ""),
            ("é", ""),
            ("a", "-b"),
            ("a", "b c"),
            ("a", &"x".repeat(64)),
            ("app.kubernetes.io/part-of", "x"),
        ] {
            assert!(check_label(label, value).is_err(), "{label} {value}");
        }
    }

    /// The mesh, after it has written this.
    fn told(pairs: &[(&str, &str)]) -> Mesh {
        let relation = RelationSnapshot {
            id: 60,
            remote_app: Some("beacon".into()),
            remote_app_data: Some(pairs.iter().copied().collect::<Databag>()),
            ..RelationSnapshot::default()
        };
        complete().relate(Endpoint::ServiceMesh, relation).deployment().mesh
    }

    #[test]
    fn a_mesh_that_makes_no_sense_is_told_from_one_that_has_said_nothing() {
        let none = complete().deployment().mesh;
        assert_eq!((none.related, none.kind, none.unreadable), (false, None, false));
        let silent = told(&[]);
        assert_eq!((silent.related, silent.kind, silent.unreadable), (true, None, false));
        let odd = told(&[("labels", "{}"), ("mesh_type", "istio")]);
        assert_eq!((odd.related, odd.kind, odd.unreadable), (true, None, true));
        let mesh = told(&[("labels", r#"{"a": "b", "c d": "e"}"#), ("mesh_type", r#""istio""#)]);
        assert_eq!((mesh.related, mesh.kind, mesh.unreadable), (true, Some(MeshType::Istio), false));
        assert_eq!(mesh.labels, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    }
}
