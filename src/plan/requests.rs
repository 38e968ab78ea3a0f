//! What other providers are asked for. Only the leader asks, and it does so whatever state the cluster is in: the
//! answers are among what makes it complete.

use juju_ops::{RelationId, Scope};
use juju_relations::{prometheus_remote_write, s3, tracing};

use crate::deployment::Deployment;
use crate::names::Endpoint;
use crate::tempo::Protocol;

use super::DatabagWrite;

/// A bucket, a receiver for our own traces, and of those who take metrics that they alert nobody: what is written to
/// them says nothing about whether the cluster is up. Earlier revisions left rules there that fire for ever.
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
    let no_rules = prometheus_remote_write::RequirerAppData::no_rules();
    let metrics = d.links.of(Endpoint::SendRemoteWrite).iter();
    let metrics = metrics.map(|id| DatabagWrite::new(Endpoint::SendRemoteWrite, *id, Scope::App, &no_rules));
    buckets.chain(receivers).chain(metrics).collect()
}
