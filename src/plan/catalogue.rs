//! The entry in the catalogue of user interfaces.

use juju_ops::Scope;
use juju_relations::catalogue::Item;

use crate::deployment::Deployment;
use crate::names::Endpoint;
use crate::tempo::{HTTP_PORT, TransportProtocol};

use super::DatabagWrite;

/// Tempo has no user interface of its own, so what is listed is what its API can be asked for. In any state of the
/// cluster, from the leader.
pub(super) fn writes(d: &Deployment) -> Vec<DatabagWrite> {
    if !d.identity.leader {
        return Vec::new();
    }
    let base = d.exposure.published().url(TransportProtocol::Http, HTTP_PORT);
    let endpoint = |label: &str, path: &str| (label.to_owned(), format!("{base}{path}"));
    let item = Item {
        name: format!("Tempo ({})", d.identity.app()),
        description:
            "Stores distributed traces, sent in the protocols of OpenTelemetry, Jaeger or Zipkin, and finds \
                      them again."
                .into(),
        url: String::new(),
        icon: "transit-connection-variant".into(),
        api_docs: "https://grafana.com/docs/tempo/latest/api_docs/".into(),
        // What is between angle brackets is for the reader to fill in.
        api_endpoints: [
            endpoint("Search traces", "/api/search?<params>"),
            endpoint("Query traces (by ID)", "/api/traces/<traceID>"),
            endpoint("Status", "/status"),
        ]
        .into(),
    };
    let related = d.links.of(Endpoint::Catalogue).iter();
    related.map(|id| DatabagWrite::new(Endpoint::Catalogue, *id, Scope::App, &item)).collect()
}
