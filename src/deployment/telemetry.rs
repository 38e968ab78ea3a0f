//! Other charms' services that the workers use through nginx: logs, metrics, traces about the cluster itself.

use std::collections::BTreeMap;

use juju_ops::{Remote, UnitName};
use juju_pebble::LogTarget;
use juju_relations::prometheus_scrape::{self, ScrapeJob};
use juju_relations::tracing::{ProviderAppData, TransportProtocol};
use juju_relations::{Wire, loki_push_api, prometheus_remote_write};

use crate::names::{Container, Endpoint};
use crate::snapshot::{ContainerSnapshot, RelationSnapshot, Snapshot};
use crate::tempo::Protocol;

use super::address::Url;
use super::{Findings, Telemetry, key_and_reason, sorted};

/// Everything that is usable.
pub(super) fn telemetry(snapshot: &Snapshot, findings: &mut Findings) -> Telemetry {
    let mut telemetry = Telemetry {
        charm_tracing: receivers(snapshot, Endpoint::SelfCharmTracing, findings),
        workload_tracing: receivers(snapshot, Endpoint::SelfWorkloadTracing, findings),
        ..Telemetry::default()
    };
    // A unit that has not published its URL yet is left out: nobody is told to push to where nobody listens.
    let loki = |data: loki_push_api::UnitData| data.endpoint.url;
    for (unit, url) in unit_urls(snapshot, Endpoint::Logging, loki, findings) {
        telemetry.loki.insert(unit, url);
    }
    let remote_write = |data: prometheus_remote_write::UnitData| data.remote_write.url;
    for (_, url) in unit_urls(snapshot, Endpoint::SendRemoteWrite, remote_write, findings) {
        telemetry.remote_write.insert(url.to_string(), url);
    }
    telemetry
}

/// What each Prometheus was told before. What cannot be read was not told by this charm, and is as good as nothing.
pub(super) fn scraped(relations: &[&RelationSnapshot]) -> BTreeMap<u32, Vec<ScrapeJob>> {
    let told = relations.iter().filter_map(|relation| {
        let data = prometheus_scrape::ProviderAppData::read(relation.local_app_data.as_ref()).ok()?;
        Some((relation.id, data.scrape_jobs))
    });
    told.collect()
}

/// The log targets that Pebble has.
pub(super) fn log_targets(snapshot: &Snapshot) -> BTreeMap<Container, BTreeMap<String, LogTarget>> {
    let reachable = snapshot.containers.iter().filter_map(|(container, seen)| match seen {
        ContainerSnapshot::Reachable(state) => Some((*container, state.plan.log_targets.clone())),
        ContainerSnapshot::Unreachable => None,
    });
    reachable.collect()
}

/// The URL that each unit of an endpoint has published under the first of its keys.
fn unit_urls<T: Wire>(
    snapshot: &Snapshot,
    endpoint: Endpoint,
    url: impl Fn(T) -> String,
    findings: &mut Findings,
) -> Vec<(UnitName, Url)> {
    let mut urls = Vec::new();
    for relation in sorted(snapshot.relations(endpoint)) {
        for (unit, bag) in &relation.remote_units {
            match T::read(bag.as_ref()) {
                Remote::Absent | Remote::Denied => {}
                Remote::Ready(data) => match Url::parse(&url(data)) {
                    Ok(url) => urls.push((unit.clone(), url)),
                    Err(error) => {
                        let key = T::KEYS.first().copied().unwrap_or_default();
                        findings.unit(endpoint, relation.id, unit, key, &error.to_string());
                    }
                },
                Remote::Invalid(reason) => {
                    let (key, reason) = key_and_reason(&reason);
                    findings.unit(endpoint, relation.id, unit, key, reason);
                }
            }
        }
    }
    urls
}

/// What another cluster offers for our own traces; `None` while none does.
///
/// Only receivers over HTTP: a gRPC request cannot be passed on from below a path.
fn receivers(
    snapshot: &Snapshot,
    endpoint: Endpoint,
    findings: &mut Findings,
) -> Option<BTreeMap<Protocol, Url>> {
    let relations = sorted(snapshot.relations(endpoint));
    let relation = relations.iter().find(|relation| relation.remote_app.is_some())?;
    match ProviderAppData::read(relation.remote_app_data.as_ref()) {
        Remote::Absent | Remote::Denied => None,
        Remote::Invalid(reason) => {
            let (key, reason) = key_and_reason(&reason);
            findings.app(endpoint, relation.id, key, reason);
            None
        }
        Remote::Ready(data) => {
            let mut urls = BTreeMap::new();
            for protocol in Protocol::ALL {
                let named = data.receivers.iter().find(|receiver| receiver.protocol.name == protocol.name());
                let Some(receiver) = named.filter(|_| protocol.transport() == TransportProtocol::Http) else {
                    continue;
                };
                match Url::parse(receiver.url.as_str()) {
                    Ok(url) => drop(urls.insert(protocol, url)),
                    Err(error) => {
                        findings.app(endpoint, relation.id, "receivers", &format!("{protocol} URL {error}"));
                    }
                }
            }
            Some(urls)
        }
    }
}
