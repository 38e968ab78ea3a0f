//! Who may talk to the application in a service mesh.

use juju_ops::Scope;
use juju_relations::cross_model_mesh;
use juju_relations::service_mesh::{Endpoint as Operation, MeshPolicy, Method, RequirerAppData, TargetType};

use crate::deployment::Deployment;
use crate::names::Endpoint;
use crate::tempo;

use super::{DatabagWrite, exporter, nginx};

/// What the mesh should allow, and for applications in other models who this one is. The leader's work.
pub(super) fn writes(d: &Deployment) -> Vec<DatabagWrite> {
    if !d.identity.leader {
        return Vec::new();
    }
    let policies = RequirerAppData::new(policies(d));
    let meshes = d.links.of(Endpoint::ServiceMesh).iter();
    let meshes = meshes.map(|id| DatabagWrite::new(Endpoint::ServiceMesh, *id, Scope::App, &policies));
    let identity = cross_model_mesh::RequirerAppData::new(d.identity.app(), &d.identity.model);
    let hosts = d.links.of(Endpoint::RequireCmrMesh).iter();
    let hosts = hosts.map(|id| DatabagWrite::new(Endpoint::RequireCmrMesh, *id, Scope::App, &identity));
    meshes.chain(hosts).collect()
}

/// For each endpoint, what its applications may do.
///
/// Traffic between coordinator and workers is not among it: that is what the charm's own Kubernetes objects allow.
fn policies(d: &Deployment) -> Vec<MeshPolicy> {
    let ports = |ports: &[u16]| Operation { ports: Some(ports.to_vec()), ..Operation::default() };
    let get = |port: u16, path: &str| Operation {
        methods: Some(vec![Method::Get]),
        paths: Some(vec![path.to_owned()]),
        ..ports(&[port])
    };
    let receivers: Vec<u16> = d.active_protocols().into_iter().map(tempo::receiver_port).collect();
    let table = [
        // Its own metrics each unit hands out itself.
        (Endpoint::MetricsEndpoint, TargetType::Unit, ports(&[nginx::TELEMETRY_PORT, exporter::PORT])),
        (Endpoint::MetricsEndpoint, TargetType::App, get(nginx::TELEMETRY_PORT, "/proxy/worker/{*}/metrics")),
        (Endpoint::TempoApi, TargetType::App, ports(&[tempo::HTTP_PORT, tempo::GRPC_PORT])),
        (Endpoint::Tracing, TargetType::App, ports(&receivers)),
        (Endpoint::GrafanaSource, TargetType::App, ports(&[tempo::HTTP_PORT])),
        // Without it, the cluster looks dead to whoever probes it from within the mesh.
        (Endpoint::Probes, TargetType::App, get(tempo::HTTP_PORT, "/ready")),
    ];
    let target = (d.identity.model.as_str(), d.identity.app());
    let for_all = |(endpoint, kind, operation): (Endpoint, TargetType, Operation)| {
        let guests = d.mesh.guests.get(&endpoint).into_iter().flatten();
        guests.map(move |guest| {
            let source = (guest.juju_model_name.as_str(), guest.app_name.as_str());
            let allowed = vec![operation.clone()];
            match kind {
                TargetType::App => MeshPolicy::to_app(source, target, allowed),
                TargetType::Unit => MeshPolicy::to_units(source, target, allowed),
            }
        })
    };
    table.into_iter().flat_map(for_all).collect()
}
