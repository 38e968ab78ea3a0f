//! `double:istio-ingress`: hands out a host and takes routes, as the istio-ingress-k8s charm does. Nothing is routed.

use anyhow::Result;
use juju_ops::{Hook, Remote};
use juju_relations::{
    EndpointMeta,
    istio_ingress_route::{INTERFACE, IstioIngressRouteProvider, ProviderAppData},
};
use serde::Deserialize;

use super::counted;

/// What it declares.
pub(crate) const META: &str = "
name: istio-ingress
summary: Hands out a host to applications that bring their own routes.
provides:
  istio-ingress-route: {interface: istio_ingress_route}
config:
  options:
    external_host: {type: string, default: istio.example.com, description: Host that is handed out; empty withdraws it.}
    tls: {type: boolean, default: false, description: Whether the gateway is said to speak TLS.}
";

#[derive(Deserialize)]
struct Options {
    external_host: String,
    tls: bool,
}

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let provider =
        IstioIngressRouteProvider::new(hook, EndpointMeta::provides("istio-ingress-route", INTERFACE))?;
    let (mut listeners, mut routes, mut problem) = (0, 0, None);
    for (relation, asked) in provider.published().await? {
        let config = match asked {
            Remote::Ready(asked) => asked.config,
            other => {
                let reason = other.reason().map(|reason| format!("{}: {reason}", relation.id()));
                problem = problem.or(reason);
                provider.withdraw_from(&relation).await?;
                continue;
            }
        };
        listeners += config.listeners.len();
        routes += config.http_routes.len() + config.grpc_routes.len();
        if options.external_host.is_empty() {
            provider.withdraw_from(&relation).await?;
        } else {
            let data =
                ProviderAppData { external_host: options.external_host.clone(), tls_enabled: options.tls };
            provider.publish_to(&relation, &data).await?;
        }
    }
    match problem {
        Some(problem) => hook.blocked(problem).await?,
        None if listeners == 0 => hook.active("").await?,
        None => {
            hook.active(format!("{}, {}", counted(listeners, "listener"), counted(routes, "route"))).await?;
        }
    }
    Ok(())
}
