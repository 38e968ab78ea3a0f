//! Reads everything that decisions are made from, once, concurrently, into a [`Snapshot`].
//!
//! *Architecture invariant:* nothing else in the charm reads from Juju, Pebble or the pod.

mod containers;
mod host;
mod relations;

use std::collections::BTreeMap;

use futures_util::future::{join_all, try_join_all, try_join5};
use juju_ops::{ConfigError, Hook, ToolError};

pub use host::host;

use crate::names::{Container, Endpoint};
use crate::snapshot::{Host, Identity, Snapshot};

/// Sees the unit as it is now.
///
/// An option of the wrong kind, an unreachable container and data that a neighbour withholds are facts in the
/// snapshot. It fails only if the agent does.
pub async fn snapshot(hook: &Hook, host: Host) -> Result<Snapshot, ToolError> {
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
    let (leader, config, relations, containers, opened_ports) =
        try_join5(leader, config, relations, containers, hook.opened_ports()).await?;

    let env = hook.env();
    let identity = Identity {
        unit: env.unit.clone(),
        model: env.model_name.clone(),
        model_uuid: env.model_uuid.clone(),
        leader,
    };
    let relations: BTreeMap<Endpoint, _> = relations.into_iter().collect();
    Ok(Snapshot {
        identity,
        host,
        config,
        relations,
        containers: containers.into_iter().collect(),
        opened_ports,
    })
}
