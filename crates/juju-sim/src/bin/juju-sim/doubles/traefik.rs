//! `double:traefik`: hands out a host and takes routes, as the traefik-k8s charm does.
//!
//! Where the simulator has the program `traefik` and the host is the pod's own, it runs in the unit's pod with these routes. Elsewhere nothing is routed.

mod proxy;

use std::sync::{Arc, PoisonError};

use anyhow::Result;
use juju_ops::{Event, Hook, Remote};
use juju_relations::{
    EndpointMeta,
    traefik_route::{INTERFACE, ProviderAppData, TraefikRouteProvider},
};
use serde::Deserialize;

use super::{cluster_host, counted};
use crate::daemon::Model;

pub(crate) use proxy::Running;

/// What it declares.
pub(crate) const META: &str = "
name: traefik
summary: Hands out a host to applications that bring their own routes.
provides:
  traefik-route: {interface: traefik_route}
config:
  options:
    external_host: {type: string, default: traefik.example.com, description: 'Host that is handed out; empty withdraws it, pod is the name of the own pod.'}
    scheme: {type: string, default: http, description: 'Scheme that is handed out: http or https.'}
";

#[derive(Deserialize)]
struct Options {
    external_host: String,
    scheme: String,
}

/// Instead of a host: the name of the unit's pod.
const POD: &str = "pod";

/// One hook.
pub(crate) async fn run(model: &Arc<Model>, hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let provider = TraefikRouteProvider::new(hook, EndpointMeta::provides("traefik-route", INTERFACE))?;
    let is_pod = options.external_host == POD;
    let external_host =
        if is_pod { cluster_host(hook.env(), Some(&hook.env().unit)) } else { options.external_host };
    let data = ProviderAppData { external_host, scheme: options.scheme };
    let (mut routers, mut servers, mut problem) = (0, 0, None);
    let mut asking = Vec::new();
    for (relation, asked) in provider.published().await? {
        if matches!(hook.event(), Event::RelationBroken(of) if of.id == *relation.id()) {
            continue;
        }
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
        asking.push((relation, asked));
    }
    let (told, asked): (Vec<_>, Vec<_>) = asking.into_iter().unzip();
    // Under another host's name nobody would reach it.
    let refused = if is_pod {
        proxy::serve(model, hook, (&data.scheme, &data.external_host), &asked).await?
    } else {
        let unit = hook.env().unit.to_string();
        drop(model.proxies.lock().unwrap_or_else(PoisonError::into_inner).remove(&unit));
        None
    };
    let refused = refused.into_iter().flatten().next().map(|reason| format!("Traefik: {reason}"));
    problem = problem.or(refused);
    for relation in told {
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
