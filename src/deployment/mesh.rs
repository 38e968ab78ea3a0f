//! The service mesh.

use std::collections::BTreeMap;

use juju_relations::service_mesh::MeshType;

use crate::snapshot::Snapshot;

use super::Findings;

/// The mesh that the application is part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mesh {
    /// Whether a mesh is related, whatever it has said.
    pub related: bool,
    /// What kind of mesh it is; `None` while none has said so.
    pub kind: Option<MeshType>,
    /// What makes pods part of it: labels that Kubernetes takes, never one that this charm has a use for itself.
    pub labels: BTreeMap<String, String>,
    /// Whether the mesh has written something that makes no sense. What was done for it before should then be left
    /// as it is.
    pub unreadable: bool,
}

/// What the mesh has told.
pub(super) fn mesh(_snapshot: &Snapshot, _findings: &mut Findings) -> Mesh {
    Mesh::default()
}
