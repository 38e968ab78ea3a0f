//! Where requirers send their traces.

use std::collections::BTreeMap;

use juju_ops::Scope;
use juju_relations::tracing::ProviderAppData;

use crate::deployment::Deployment;
use crate::names::Endpoint;
use crate::tempo;

use super::{DatabagWrite, Receiver};

/// A receiver for every protocol that is on.
pub(super) fn receivers(d: &Deployment) -> Vec<Receiver> {
    let url = |protocol: tempo::Protocol| {
        d.exposure.published().url(protocol.transport(), tempo::receiver_port(protocol))
    };
    d.active_protocols().into_iter().map(|protocol| Receiver { protocol, url: url(protocol) }).collect()
}

/// The same list for everybody, also for those that asked for something else or nothing that can be understood.
pub(super) fn writes(d: &Deployment, receivers: &[Receiver]) -> Vec<DatabagWrite> {
    let data = ProviderAppData::new(receivers.iter().map(|r| (r.protocol, r.url.as_str())));
    d.requests.keys().map(|id| DatabagWrite::new(Endpoint::Tracing, *id, Scope::App, &data)).collect()
}

/// URL by name of the protocol.
pub(super) fn by_name(receivers: &[Receiver]) -> BTreeMap<String, String> {
    receivers.iter().map(|r| (r.protocol.name().to_owned(), r.url.clone())).collect()
}
