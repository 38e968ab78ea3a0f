//! What other providers are asked for. Only the leader asks, and it does so whatever state the cluster is in: the
//! answers are among what makes it complete.

use juju_ops::{RelationId, Scope};
use juju_relations::{s3, tracing};

use crate::deployment::Deployment;
use crate::names::Endpoint;
use crate::tempo::Protocol;

use super::DatabagWrite;

/// A bucket, and a receiver for our own traces.
pub(super) fn writes(d: &Deployment) -> Vec<DatabagWrite> {
    if !d.identity.leader {
        return Vec::new();
    }
    let buckets = d.links.of(Endpoint::S3).iter().map(|id| {
        let data = s3::RequirerAppData::unnamed(&RelationId::new(Endpoint::S3.as_str(), *id));
        DatabagWrite::new(Endpoint::S3, *id, Scope::App, &data)
    });
    let own_traces = [Endpoint::SelfCharmTracing, Endpoint::SelfWorkloadTracing];
    let receivers = own_traces.into_iter().flat_map(|endpoint| {
        let data = tracing::RequirerAppData::new([Protocol::OtlpHttp]);
        d.links.of(endpoint).iter().map(move |id| DatabagWrite::new(endpoint, *id, Scope::App, &data))
    });
    buckets.chain(receivers).collect()
}
