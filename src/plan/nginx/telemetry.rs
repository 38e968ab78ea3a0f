//! One port through which workers and the outside of the cluster meet.
//!
//! Workers push their logs, metrics and traces to the coordinator, which knows the other charms' services; and metrics
//! scrapers, which know only the coordinator, reach each worker through it. The URLs that are published elsewhere
//! come from here too, so that every one of them has a location that answers it.

use std::collections::{BTreeMap, BTreeSet};

use juju_ops::UnitName;

use crate::deployment::Deployment;
use crate::deployment::address::{Host, Url};
use crate::metrics::PAGE_PATH;
use crate::snapshot::FileDigest;
use crate::tempo::{self, Protocol};

use super::config::{Action, Config, Kind, Path, Server, Upstream};
use super::{TELEMETRY_PORT, listen};

/// What traces tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The charms of the cluster.
    Charm,
    /// Tempo itself.
    Workload,
}

impl About {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Charm => "charm",
            Self::Workload => "workload",
        }
    }
}

/// Where the coordinator's own metrics are found, on each of its units.
pub const COORDINATOR_METRICS_PATH: &str = "/coordinator/metrics";

/// Few requests, each of some size: one connection that stays open is enough.
const KEEPALIVE: u32 = 2;

/// Where workers push logs to, by Loki unit.
pub fn loki_urls(d: &Deployment) -> BTreeMap<UnitName, String> {
    d.telemetry.loki.keys().map(|unit| (unit.clone(), published(d, &loki_path(unit)))).collect()
}

/// Where workers write metrics to, in the order of the real URLs.
pub fn remote_write_urls(d: &Deployment) -> Vec<String> {
    remote_write_ids(&d.telemetry.remote_write)
        .values()
        .map(|id| published(d, &remote_write_path(id)))
        .collect()
}

/// Where workers send traces that another cluster takes. The URLs end in `/`: workers append `/v1/traces`, and nginx
/// takes the two slashes for one.
pub fn tracing_urls(
    d: &Deployment,
    about: About,
    receivers: &BTreeMap<Protocol, Url>,
) -> BTreeMap<Protocol, String> {
    receivers.keys().map(|protocol| (*protocol, published(d, &tracing_path(about, *protocol)))).collect()
}

fn published(d: &Deployment, path: &str) -> String {
    let base = &d.exposure.internal;
    format!("{}://{}:{TELEMETRY_PORT}{path}", base.scheme, base.host)
}

fn loki_path(unit: &UnitName) -> String {
    format!("/proxy/loki/{}/push", unit.dashed())
}

fn remote_write_path(id: &str) -> String {
    format!("/proxy/remote-write/{id}/write")
}

fn tracing_path(about: About, protocol: Protocol) -> String {
    format!("/proxy/{}-tracing/{protocol}/", about.as_str())
}

/// The path under which a worker's own metrics are found.
pub fn metrics_path(unit: &UnitName) -> String {
    format!("/proxy/worker/{}/metrics", unit.dashed())
}

/// Adds the server, if there are workers.
pub(super) fn add(d: &Deployment, config: &mut Config) {
    let mut proxy = Proxy { upstreams: &mut config.upstreams, locations: BTreeMap::new() };
    for unit in d.workers.iter().flat_map(|app| &app.units) {
        let url = Url {
            scheme: d.exposure.internal.scheme,
            host: unit.host.clone(),
            port: Some(tempo::HTTP_PORT),
            path: "/metrics".to_owned(),
        };
        proxy.pass(&format!("worker-{}", unit.unit.dashed()), Path::Exact(metrics_path(&unit.unit)), &url);
    }
    if proxy.locations.is_empty() {
        return;
    }
    let own = Path::Exact(COORDINATOR_METRICS_PATH.to_owned());
    proxy.locations.insert(own, Action::Metrics { file: PAGE_PATH });
    for (unit, url) in &d.telemetry.loki {
        proxy.pass(&format!("loki-{}", unit.dashed()), Path::Exact(loki_path(unit)), url);
    }
    for (text, id) in remote_write_ids(&d.telemetry.remote_write) {
        let url = &d.telemetry.remote_write[text];
        proxy.pass(&format!("remote-write-{id}"), Path::Exact(remote_write_path(&id)), url);
    }
    for (about, receivers) in
        [(About::Charm, &d.telemetry.charm_tracing), (About::Workload, &d.telemetry.workload_tracing)]
    {
        for (protocol, url) in receivers.iter().flatten() {
            let name = format!("{}-tracing-{}", about.as_str(), tempo::dashed(*protocol));
            proxy.pass(&name, Path::Below(tracing_path(about, *protocol)), url);
        }
    }
    let locations = proxy.locations;
    let listen = listen(d, TELEMETRY_PORT);
    config.servers.push(Server { listen, name: d.unit_host.clone(), kind: Kind::Telemetry, locations });
}

struct Proxy<'a> {
    upstreams: &'a mut BTreeMap<String, Upstream>,
    locations: BTreeMap<Path, Action>,
}

impl Proxy<'_> {
    /// Passes what comes for `path` on to `url`.
    fn pass(&mut self, name: &str, path: Path, url: &Url) {
        // The prefix keeps these apart from the receivers, the purpose in the name from each other.
        let upstream = format!("worker-telemetry-proxy-{name}");
        let action = Action::Rewrite {
            upstream: upstream.clone(),
            scheme: url.scheme,
            path: match path {
                Path::Exact(_) if url.path.is_empty() => "/".to_owned(),
                Path::Exact(_) => url.path.clone(),
                Path::Below(_) | Path::Named(_) => format!("{}/", url.path.trim_end_matches('/')),
            },
            authority: url.authority(),
            host: url.host.clone(),
        };
        let hosts = BTreeSet::from([url.host.clone()]);
        self.upstreams
            .insert(upstream, Upstream { hosts, port: url.effective_port(), keepalive: Some(KEEPALIVE) });
        self.locations.insert(path, action);
    }
}

/// A short name for each remote-write URL (by its text): the first label of its host, which is what the Python charm
/// used and what workers may still know, with a digest added where that alone would be ambiguous.
fn remote_write_ids(urls: &BTreeMap<String, Url>) -> BTreeMap<&str, String> {
    let mut by_label: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (text, url) in urls {
        by_label.entry(label(&url.host)).or_default().push(text);
    }
    let mut taken: BTreeSet<String> =
        by_label.iter().filter(|(_, texts)| texts.len() == 1).map(|(label, _)| label.clone()).collect();
    let mut ids = BTreeMap::new();
    for (label, texts) in by_label {
        if let [text] = texts[..]
            && !label.is_empty()
        {
            ids.insert(text, label);
            continue;
        }
        for text in texts {
            let digest = FileDigest::of(text).to_string();
            // Eight digits do, unless somebody names a host so that they do not.
            let named =
                |length: usize| format!("{label}-{}", &digest[..length]).trim_start_matches('-').to_owned();
            let id = (8..=digest.len()).map(named).find(|id| !taken.contains(id)).unwrap_or(digest.clone());
            taken.insert(id.clone());
            ids.insert(text, id);
        }
    }
    ids
}

fn label(host: &Host) -> String {
    match host {
        Host::Ip(ip) => ip.to_string().replace(['.', ':'], "-"),
        Host::Name(name) => {
            let first = name.split('.').next().unwrap_or_default();
            let plain: String = first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            plain.trim_matches('-').to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(urls: &[&str]) -> Vec<(String, String)> {
        let urls = urls.iter().map(|text| ((*text).to_owned(), Url::parse(text).unwrap())).collect();
        remote_write_ids(&urls).into_iter().map(|(text, id)| (text.to_owned(), id)).collect()
    }

    fn check(urls: &[&str], expect: &[(&str, &str)]) {
        let expect: Vec<_> = expect.iter().map(|(url, id)| ((*url).to_owned(), (*id).to_owned())).collect();
        assert_eq!(ids(urls), expect);
    }

    #[test]
    fn hosts_that_differ_in_their_first_label_keep_it() {
        check(
            &["http://prom-1.b:9090/w", "http://prom-0.b:9090/w", "http://10.1.2.3/w", "http://[fd00::1]/w"],
            &[
                ("http://10.1.2.3/w", "10-1-2-3"),
                ("http://[fd00::1]/w", "fd00--1"),
                ("http://prom-0.b:9090/w", "prom-0"),
                ("http://prom-1.b:9090/w", "prom-1"),
            ],
        );
    }

    #[test]
    fn one_ingress_in_front_of_several_gets_several_names() {
        let ids =
            ids(&["http://in.example/m-prom-0/w", "http://in.example/m-prom-1/w", "http://_.example/w"]);
        let names: BTreeSet<&str> = ids.iter().map(|(_, id)| id.as_str()).collect();
        assert_eq!(names.len(), 3);
        for (url, id) in &ids {
            assert!(
                id.starts_with("in-") == url.contains("in.example") && !id.starts_with('-'),
                "{url} {id}"
            );
        }
    }
}
