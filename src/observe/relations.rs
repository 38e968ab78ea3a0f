//! Relations, as far as the charm makes decisions from them.

use futures_util::future::{try_join, try_join_all};
use juju_ops::{Hook, Relation, ToolError};

use crate::names::Endpoint;
use crate::snapshot::RelationSnapshot;

/// What is read of each relation of an endpoint. Every part costs a call per relation or unit, so only what some
/// decision needs is read; what this side has published is compared when it is written.
#[derive(Clone, Copy)]
pub(super) enum Parts {
    /// The other application and its databag.
    App,
    /// Its units with their databags.
    Units,
    /// All of that.
    AppAndUnits,
    /// Only that it exists.
    Existence,
}

/// The endpoints that decisions are made from.
pub(super) const READ: &[(Endpoint, Parts)] = &[
    (Endpoint::Certificates, Parts::Existence),
    (Endpoint::Ingress, Parts::Existence),
    (Endpoint::IstioIngress, Parts::Existence),
    (Endpoint::Logging, Parts::Units),
    (Endpoint::Peers, Parts::Existence),
    (Endpoint::S3, Parts::App),
    (Endpoint::SelfCharmTracing, Parts::App),
    (Endpoint::SelfWorkloadTracing, Parts::App),
    (Endpoint::SendRemoteWrite, Parts::Units),
    (Endpoint::TempoCluster, Parts::AppAndUnits),
    (Endpoint::Tracing, Parts::App),
];

pub(super) async fn of(
    hook: &Hook,
    endpoint: Endpoint,
    parts: Parts,
) -> Result<Vec<RelationSnapshot>, ToolError> {
    let relations = hook.relations(endpoint.as_str()).await?;
    try_join_all(relations.iter().map(|relation| see(relation, parts))).await
}

async fn see(relation: &Relation, parts: Parts) -> Result<RelationSnapshot, ToolError> {
    let app = async {
        match parts {
            Parts::App | Parts::AppAndUnits => try_join(relation.app(), relation.remote_app_data()).await,
            Parts::Units | Parts::Existence => Ok((None, None)),
        }
    };
    let units = async {
        match parts {
            Parts::AppAndUnits | Parts::Units => {
                let units = relation.units().await?;
                try_join_all(units.into_iter().map(async |unit| {
                    let data = relation.remote_unit_data(&unit).await?;
                    Ok((unit, data))
                }))
                .await
            }
            Parts::App | Parts::Existence => Ok(Vec::new()),
        }
    };
    let ((remote_app, remote_app_data), units) = try_join(app, units).await?;
    Ok(RelationSnapshot {
        id: relation.id().number(),
        remote_app,
        remote_app_data,
        remote_units: units.into_iter().collect(),
        ..RelationSnapshot::default()
    })
}
