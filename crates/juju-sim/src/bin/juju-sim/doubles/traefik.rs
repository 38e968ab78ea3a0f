//! `double:traefik`: hands out a host and takes routes, as the traefik-k8s charm does. Nothing is routed.

use anyhow::Result;
use juju_ops::{Hook, Remote};
use juju_relations::{
    EndpointMeta,
    traefik_route::{INTERFACE, ProviderAppData, TraefikRouteProvider},
};
use serde::Deserialize;

use super::counted;

/// What it declares.
pub(crate) const META: &str = "
name: traefik
summary: Hands out a host to applications that bring their own routes.
provides:
  traefik-route: {interface: traefik_route}
config:
  options:
    external_host: {type: string, default: traefik.example.com, description: Host that is handed out; empty withdraws it.}
    scheme: {type: string, default: http, description: 'Scheme that is handed out: http or https.'}
";

#[derive(Deserialize)]
struct Options {
    external_host: String,
    scheme: String,
}

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let provider = TraefikRouteProvider::new(hook, EndpointMeta::provides("traefik-route", INTERFACE))?;
    let (mut routers, mut servers, mut problem) = (0, 0, None);
    for (relation, asked) in provider.published().await? {
        let asked = match asked {
            Remote::Ready(asked) => asked,
            // Nobody is told a host before there is a route to it.
            other => {
                let reason = other.reason().map(|reason| format!("{}: {reason}", relation.id()));
                problem = problem.or(reason);
                provider.withdraw_from(&relation).await?;
                continue;
            }
        };
        if let Some(reason) = asked.problem() {
            problem.get_or_insert(format!("{}: {reason}", relation.id()));
        } else if let Ok(dynamic) = asked.dynamic() {
            routers += dynamic.http.routers.len();
            servers += dynamic.servers();
        }
        let data =
            ProviderAppData { external_host: options.external_host.clone(), scheme: options.scheme.clone() };
        if data.external_host.is_empty() {
            provider.withdraw_from(&relation).await?;
        } else {
            provider.publish_to(&relation, &data).await?;
        }
    }
    match problem {
        Some(problem) => hook.blocked(problem).await?,
        None if routers == 0 => hook.active("").await?,
        None => {
            hook.active(format!("{}, {}", counted(routers, "router"), counted(servers, "server"))).await?;
        }
    }
    Ok(())
}
