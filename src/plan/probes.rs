//! What probes should watch.

use std::collections::BTreeMap;

use juju_ops::Scope;
use juju_relations::blackbox_exporter_probes::{Metadata, Probe, ProviderAppData};

use crate::deployment::Deployment;
use crate::names::{CHARM_NAME, Endpoint};
use crate::tempo::{HTTP_PORT, TransportProtocol};

use super::DatabagWrite;

/// A module that every blackbox exporter has: any answer with a status from 200 to 299 is a good one.
const MODULE: &str = "http_2xx";

/// One probe of the page on which Tempo says that it is ready. In any state of the cluster, from the leader: that
/// nothing is ready yet is worth knowing.
pub(super) fn writes(d: &Deployment) -> Vec<DatabagWrite> {
    if !d.identity.leader {
        return Vec::new();
    }
    let scrape_metadata = Metadata {
        model: d.identity.model.clone(),
        model_uuid: d.identity.model_uuid.clone(),
        application: d.identity.app().to_owned(),
        unit: d.identity.unit.to_string(),
        charm_name: Some(CHARM_NAME.to_owned()),
    };
    let target = format!("{}/ready", d.exposure.published().url(TransportProtocol::Http, HTTP_PORT));
    let data = ProviderAppData {
        scrape_probes: vec![Probe::new(scrape_metadata.prefix(), MODULE, [target])],
        scrape_metadata,
        scrape_modules: BTreeMap::new(),
    };
    let related = d.links.of(Endpoint::Probes).iter();
    related.map(|id| DatabagWrite::new(Endpoint::Probes, *id, Scope::App, &data)).collect()
}
