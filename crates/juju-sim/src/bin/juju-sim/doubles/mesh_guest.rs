//! `double:mesh-guest`: an application that comes from another model. It says who it is over there, and shows who
//! introduced themselves to it.

use anyhow::Result;
use juju_ops::{Hook, Remote};
use juju_relations::{
    EndpointMeta,
    cross_model_mesh::{self, CrossModelMeshProvider, CrossModelMeshRequirer, RequirerAppData},
    tracing::{self, Protocol, TracingRequirer},
};
use serde::Deserialize;

/// What it declares.
pub(crate) const META: &str = "
name: mesh-guest
summary: Says who it is in another model, and sends traces.
provides:
  provide-cmr-mesh: {interface: cross_model_mesh}
requires:
  require-cmr-mesh: {interface: cross_model_mesh}
  tracing: {interface: tracing, limit: 1}
config:
  options:
    app_name: {type: string, default: '', description: Its name over there; empty for the one that it has here.}
    model_name: {type: string, default: elsewhere, description: Its model.}
";

#[derive(Deserialize)]
struct Options {
    app_name: String,
    model_name: String,
}

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let app = Some(options.app_name.as_str()).filter(|name| !name.is_empty()).unwrap_or(hook.env().app());
    let endpoint = EndpointMeta::requires("require-cmr-mesh", cross_model_mesh::INTERFACE);
    let data = RequirerAppData::new(app, &options.model_name);
    CrossModelMeshRequirer::new(hook, endpoint)?.publish(&data).await?;
    let endpoint = EndpointMeta::requires("tracing", tracing::INTERFACE).limited(1);
    let traces = TracingRequirer::new(hook, endpoint)?;
    if !traces.relations().await?.is_empty() {
        traces.request([Protocol::OtlpHttp]).await?;
    }
    let endpoint = EndpointMeta::provides("provide-cmr-mesh", cross_model_mesh::INTERFACE);
    let introduced = CrossModelMeshProvider::new(hook, endpoint)?.identities().await?;
    let names = introduced.into_values().filter_map(Remote::ok);
    let names: Vec<String> =
        names.map(|name| format!("{}/{}", name.juju_model_name, name.app_name)).collect();
    hook.active(names.join(", ")).await?;
    Ok(())
}
