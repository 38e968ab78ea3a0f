//! Reads everything that decisions are made from, once, concurrently, into a [`Snapshot`].
//!
//! *Architecture invariant:* nothing else in the charm reads from Juju, Pebble or the pod.

mod certificates;
mod containers;
mod host;
mod kubernetes;
mod look;
mod relations;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::{join_all, try_join, try_join_all, try_join3, try_join5};
use juju_ops::{ConfigError, Hook, HookEnv, ToolError};

pub use host::host;
pub use look::{KEY as LOOK_KEY, look};

use crate::Surroundings;
use crate::kubernetes::Access;
use crate::names::{Container, Endpoint};
use crate::snapshot::{Identity, Snapshot};

/// What is around the hook: the pod whose files are below `root`, normally `/`, and the time.
pub fn surroundings(root: &Path, env: &HookEnv) -> Surroundings {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Surroundings {
        host: host(root, env),
        now: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
        began: Instant::now(),
        kubernetes: Access::of_pod(|name| std::env::var(name).ok()),
        network: true,
    }
}

/// Sees the unit as it is now.
///
/// An option of the wrong kind, an unreachable container and data that a neighbour withholds are facts in the
/// snapshot. It fails only if the agent does.
pub async fn snapshot(hook: &Hook, around: &Surroundings) -> Result<Snapshot, ToolError> {
    let leader = hook.is_leader();
    let config = async {
        match hook.config().await {
            Ok(config) => Ok(Ok(config)),
            Err(ConfigError::Tool(error)) => Err(error),
            Err(error @ ConfigError::Option { .. }) => Ok(Err(error.to_string())),
        }
    };
    let relations = try_join_all(
        relations::READ
            .iter()
            .map(async |(endpoint, parts)| Ok((*endpoint, relations::of(hook, *endpoint, *parts).await?))),
    );
    let containers = async {
        let seen = Container::ALL
            .iter()
            .map(async |container| (*container, containers::see(hook, *container).await));
        Ok(join_all(seen).await)
    };
    let kubernetes = kubernetes::see(around.kubernetes.as_ref(), hook);
    let more = try_join3(certificates::see(hook), kubernetes, look::remembered(hook));
    let juju = try_join5(leader, config, relations, containers, hook.opened_ports());
    let ((leader, config, relations, containers, opened_ports), (certificates, kubernetes, remembered)) =
        try_join(juju, more).await?;

    let identity = Identity::of(hook.env(), leader);
    let relations: BTreeMap<Endpoint, _> = relations.into_iter().collect();
    Ok(Snapshot {
        identity,
        host: around.host.clone(),
        config,
        relations,
        containers: containers.into_iter().collect(),
        opened_ports,
        certificates,
        kubernetes,
        remembered,
        look: None,
        now: around.now,
    })
}
