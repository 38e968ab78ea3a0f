//! Where the API of Tempo is.

use juju_ops::Scope;
use juju_relations::tempo_api::{Api, HttpUrl, ProviderAppData};

use crate::deployment::{Base, Deployment};
use crate::names::Endpoint;
use crate::tempo::{GRPC_PORT, HTTP_PORT, TransportProtocol};

use super::DatabagWrite;

/// The same for everybody, from the leader.
pub(super) fn writes(d: &Deployment) -> Vec<DatabagWrite> {
    let data = Some(d).filter(|d| d.identity.leader).and_then(data);
    let related = d.links.of(Endpoint::TempoApi).iter();
    data.iter()
        .flat_map(|data| {
            related.clone().map(|id| DatabagWrite::new(Endpoint::TempoApi, *id, Scope::App, data))
        })
        .collect()
}

fn data(d: &Deployment) -> Option<ProviderAppData> {
    // The one for gRPC has a scheme too: readers want a URL.
    let url = |base: &Base, port| HttpUrl::parse(&base.url(TransportProtocol::Http, port)).ok();
    let api = |port| {
        Some(Api {
            direct_url: url(&d.exposure.internal, port)?,
            ingress_url: d.exposure.external.as_ref().and_then(|base| url(base, port)),
        })
    };
    Some(ProviderAppData { http: api(HTTP_PORT)?, grpc: api(GRPC_PORT)? })
}
