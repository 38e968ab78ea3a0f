//! `double:mesh`: makes applications part of a service mesh, as the istio-beacon-k8s charm does. Nothing is enforced.

use anyhow::Result;
use juju_ops::{Hook, Remote};
use juju_relations::{
    EndpointMeta,
    service_mesh::{INTERFACE, MeshType, ProviderAppData, ServiceMeshProvider},
};
use serde::Deserialize;

/// What it declares.
pub(crate) const META: &str = r#"
name: istio-beacon-k8s
summary: Makes applications part of a service mesh.
provides:
  service-mesh: {interface: service_mesh}
config:
  options:
    labels: {type: string, default: '{"istio.io/dataplane-mode": "ambient"}', description: 'Labels of pods in the mesh, a JSON object; empty withdraws everything.'}
"#;

#[derive(Deserialize)]
struct Options {
    labels: String,
}

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let mesh = ServiceMeshProvider::new(hook, EndpointMeta::provides("service-mesh", INTERFACE))?;
    let labels = match serde_json::from_str(&options.labels) {
        Ok(labels) => Some(labels),
        Err(_) if options.labels.is_empty() => None,
        Err(error) => {
            hook.blocked(format!("option labels: {error}")).await?;
            return Ok(());
        }
    };
    let data =
        labels.map(|labels| ProviderAppData { labels, mesh_type: MeshType::Istio, problems: Vec::new() });
    let (mut policies, mut problem) = (0, None);
    for (relation, wanted) in mesh.published().await? {
        match &data {
            Some(data) => mesh.publish_to(&relation, data).await?,
            None => mesh.withdraw_from(&relation).await?,
        }
        let reason = match wanted {
            Remote::Ready(wanted) => {
                policies += wanted.policies.len();
                wanted.problems.into_iter().next()
            }
            other => other.reason().map(str::to_owned),
        };
        problem = problem.or(reason.map(|reason| format!("{}: {reason}", relation.id())));
    }
    match problem {
        Some(problem) => hook.blocked(problem).await?,
        None if policies == 1 => hook.active("1 policy").await?,
        None => hook.active(format!("{policies} policies")).await?,
    }
    Ok(())
}
