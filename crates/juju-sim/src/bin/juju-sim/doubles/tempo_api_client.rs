//! `double:tempo-api-client`: would query a Tempo, and says in its status where.

use anyhow::Result;
use juju_ops::{Hook, Remote};
use juju_relations::{
    EndpointMeta,
    tempo_api::{INTERFACE, TempoApiRequirer},
};

/// What it declares.
pub(crate) const META: &str = "
name: tempo-api-client
summary: Learns where the API of a Tempo is.
requires:
  tempo-api: {interface: tempo_api, limit: 1}
";

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let requirer = TempoApiRequirer::new(hook, EndpointMeta::requires("tempo-api", INTERFACE).limited(1))?;
    match requirer.published().await?.pop() {
        None => hook.blocked("[tempo-api] missing integration").await?,
        Some((_, Remote::Ready(data))) => {
            let [http, grpc] = [data.http, data.grpc].map(|api| api.ingress_url.unwrap_or(api.direct_url));
            hook.active(format!("{http}, gRPC {grpc}")).await?;
        }
        Some((_, Remote::Invalid(reason))) => hook.blocked(format!("[tempo-api] {reason}")).await?,
        Some((_, Remote::Absent | Remote::Denied)) => hook.waiting("[tempo-api] no URL yet").await?,
    }
    Ok(())
}
