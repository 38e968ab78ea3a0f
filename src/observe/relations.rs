//! Relations, as far as the charm makes decisions from them.

use futures_util::future::{try_join_all, try_join4};
use juju_ops::{Hook, Relation, ToolError};

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
    /// What this side has written.
    own: Own,
}

/// A databag of this side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    /// None: what is to be in it does not depend on what is.
    Nothing,
    /// That of this unit.
    Unit,
    /// That of this application in a peer relation, which every unit may read.
    Shared,
    /// That of this application in another relation, which the leader alone may read. It costs no call where the
    /// leader writes into it: what is there has to be read for that anyway.
    Leader,
}

/// Only that it exists.
const EXISTENCE: Parts = Parts { app: false, app_data: false, units: false, own: Own::Nothing };
const NAME: Parts = Parts { app: true, ..EXISTENCE };
const APP: Parts = Parts { app_data: true, ..NAME };
const UNITS: Parts = Parts { units: true, ..EXISTENCE };

/// The endpoints that decisions are made from.
pub(super) const READ: &[(Endpoint, Parts)] = &[
    (Endpoint::Catalogue, EXISTENCE),
    (Endpoint::Certificates, Parts { own: Own::Unit, ..APP }),
    (Endpoint::GrafanaDashboard, APP),
    (Endpoint::GrafanaSource, APP),
    (Endpoint::Ingress, APP),
    (Endpoint::IstioIngress, APP),
    (Endpoint::Logging, UNITS),
    (Endpoint::MetricsEndpoint, Parts { own: Own::Leader, ..NAME }),
    (Endpoint::Peers, Parts { own: Own::Shared, ..UNITS }),
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
    let own = match parts.own {
        Own::Leader if relations.is_empty() || !hook.is_leader().await? => Own::Nothing,
        own => own,
    };
    try_join_all(relations.iter().map(|relation| see(relation, Parts { own, ..parts }))).await
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
    let own_unit =
        async { if parts.own == Own::Unit { Ok(Some(relation.local_unit_data().await?)) } else { Ok(None) } };
    let own_app = async {
        match parts.own {
            Own::Shared | Own::Leader => relation.local_app_data().await,
            Own::Nothing | Own::Unit => Ok(None),
        }
    };
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
