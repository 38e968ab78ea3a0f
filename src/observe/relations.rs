//! Relations, as far as the charm makes decisions from them.

use futures_util::future::{try_join_all, try_join4};
use juju_ops::{Hook, Relation, Scope, ToolError};

use crate::names::Endpoint;
use crate::snapshot::RelationSnapshot;

/// What is read of each relation of an endpoint. Every part costs a call per relation or unit, so only what some
/// decision needs is read; what this side has published is compared when it is written.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    /// The name of the other application.
    app: bool,
    /// Its databag.
    app_data: bool,
    /// Its units with their databags.
    units: bool,
    /// The databag of this unit, or of this application, which followers may read of a peer relation only.
    own: Option<Scope>,
}

/// Only that it exists.
const EXISTENCE: Parts = Parts { app: false, app_data: false, units: false, own: None };
const NAME: Parts = Parts { app: true, ..EXISTENCE };
const APP: Parts = Parts { app_data: true, ..NAME };
const UNITS: Parts = Parts { units: true, ..EXISTENCE };

/// The endpoints that decisions are made from.
pub(super) const READ: &[(Endpoint, Parts)] = &[
    (Endpoint::Catalogue, EXISTENCE),
    (Endpoint::Certificates, Parts { own: Some(Scope::Unit), ..APP }),
    (Endpoint::GrafanaSource, APP),
    (Endpoint::Ingress, APP),
    (Endpoint::IstioIngress, APP),
    (Endpoint::Logging, UNITS),
    (Endpoint::MetricsEndpoint, NAME),
    (Endpoint::Peers, Parts { own: Some(Scope::App), ..UNITS }),
    (Endpoint::Probes, NAME),
    (Endpoint::ProvideCmrMesh, APP),
    (Endpoint::ReceiveDatasource, APP),
    (Endpoint::RequireCmrMesh, EXISTENCE),
    (Endpoint::S3, APP),
    (Endpoint::SelfCharmTracing, APP),
    (Endpoint::SelfWorkloadTracing, APP),
    (Endpoint::SendRemoteWrite, Parts { units: true, ..NAME }),
    (Endpoint::ServiceMesh, APP),
    (Endpoint::TempoApi, NAME),
    (Endpoint::TempoCluster, Parts { units: true, ..APP }),
    (Endpoint::Tracing, APP),
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
        let name = if parts.app { relation.app().await? } else { None };
        let data = if parts.app_data { relation.remote_app_data().await? } else { None };
        Ok((name, data))
    };
    let units = async {
        if !parts.units {
            return Ok(Vec::new());
        }
        let units = relation.units().await?;
        try_join_all(units.into_iter().map(async |unit| {
            let data = relation.remote_unit_data(&unit).await?;
            Ok((unit, data))
        }))
        .await
    };
    let own_unit = async {
        if parts.own == Some(Scope::Unit) { Ok(Some(relation.local_unit_data().await?)) } else { Ok(None) }
    };
    let own_app =
        async { if parts.own == Some(Scope::App) { relation.local_app_data().await } else { Ok(None) } };
    let ((remote_app, remote_app_data), units, local_unit_data, local_app_data) =
        try_join4(app, units, own_unit, own_app).await?;
    Ok(RelationSnapshot {
        id: relation.id().number(),
        remote_app,
        remote_app_data,
        remote_units: units.into_iter().collect(),
        local_app_data,
        local_unit_data,
    })
}
