//! Ways in from outside of the Kubernetes cluster.
//!
//! What the ingresses say counts as it stands in their databags at this moment, on every unit: an address that was taken
//! back is not used any more.

use std::collections::BTreeMap;

use juju_ops::Remote;
use juju_relations::Wire;
use juju_relations::{istio_ingress_route, traefik_route};

use crate::names::Endpoint;
use crate::snapshot::{RelationSnapshot, Snapshot};

use super::address::{Authority, Host, Scheme};
use super::{Base, Findings, key_and_reason, sorted};

/// The ingresses that are related.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// Scheme and host of each ingress that is ready, by the relation with it.
    pub ready: BTreeMap<(Endpoint, u32), Base>,
    /// Each related Traefik, with the scheme that it speaks to the outside if it has told one.
    pub traefik: BTreeMap<u32, Option<Scheme>>,
}

/// The keys under which the two kinds of ingress tell their host and whether they speak TLS.
const HOST: &str = "external_host";
const SCHEME: &str = "scheme";

impl Ingress {
    /// Scheme and host under which the one ingress that is ready publishes the cluster. If several are, none is: which
    /// of them clients can reach is for the operator to decide.
    pub fn external(&self) -> Option<Base> {
        let mut ready = self.ready.values();
        ready.next().filter(|_| ready.next().is_none()).cloned()
    }

    /// The relations with ingresses of which all but one have to go; none if there is nothing to decide.
    pub fn rivals(&self) -> Vec<(Endpoint, u32)> {
        if self.ready.len() > 1 { self.ready.keys().copied().collect() } else { Vec::new() }
    }
}

/// What the ingresses have published.
pub(super) fn ingress(snapshot: &Snapshot, findings: &mut Findings) -> Ingress {
    let mut ingress = Ingress::default();
    for relation in sorted(snapshot.relations(Endpoint::Ingress)) {
        let told = traefik_route::ProviderAppData::read(relation.remote_app_data.as_ref());
        let Some(told) = usable(told, Endpoint::Ingress, relation, findings) else {
            ingress.traefik.insert(relation.id, None);
            continue;
        };
        let scheme = match told.scheme.as_str() {
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            _ => {
                findings.app(Endpoint::Ingress, relation.id, SCHEME, "is neither http nor https");
                None
            }
        };
        ingress.traefik.insert(relation.id, scheme);
        let host = host(&told.external_host, Endpoint::Ingress, relation, findings);
        if let (Some(scheme), Some(host)) = (scheme, host) {
            ingress.ready.insert((Endpoint::Ingress, relation.id), Base { scheme, host });
        }
    }
    for relation in sorted(snapshot.relations(Endpoint::IstioIngress)) {
        let told = istio_ingress_route::ProviderAppData::read(relation.remote_app_data.as_ref());
        let Some(told) = usable(told, Endpoint::IstioIngress, relation, findings) else { continue };
        let scheme = if told.tls_enabled { Scheme::Https } else { Scheme::Http };
        if let Some(host) = host(&told.external_host, Endpoint::IstioIngress, relation, findings) {
            ingress.ready.insert((Endpoint::IstioIngress, relation.id), Base { scheme, host });
        }
    }
    ingress
}

fn usable<T>(
    told: Remote<T>,
    endpoint: Endpoint,
    relation: &RelationSnapshot,
    findings: &mut Findings,
) -> Option<T> {
    if let Some(reason) = told.reason() {
        let (key, reason) = key_and_reason(reason);
        findings.app(endpoint, relation.id, key, reason);
    }
    told.ok()
}

/// The host alone. Each of our services has a port of its own behind it, which is asked of the ingress; a port or a path
/// of another ingress further out cannot be part of that.
fn host(
    text: &str,
    endpoint: Endpoint,
    relation: &RelationSnapshot,
    findings: &mut Findings,
) -> Option<Host> {
    let authority = match Authority::parse(text) {
        Ok(authority) => authority,
        Err(error) => {
            findings.app(endpoint, relation.id, HOST, &error.to_string());
            return None;
        }
    };
    let text = text.trim();
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let has_path = after_scheme.split_once('/').is_some_and(|(_, path)| !path.is_empty());
    let cut: Vec<&str> =
        [(authority.scheme.is_some(), "scheme"), (authority.port.is_some(), "port"), (has_path, "path")]
            .into_iter()
            .filter_map(|(is_there, what)| is_there.then_some(what))
            .collect();
    if !cut.is_empty() {
        let reason = format!("only the host is used, not its {}", cut.join(" and "));
        findings.app(endpoint, relation.id, HOST, &reason);
    }
    Some(authority.host)
}

#[cfg(test)]
mod tests {
    use juju_ops::Databag;

    use super::*;
    use crate::fixtures::{Cluster, complete};

    const TRAEFIK: &[(&str, &str)] = &[("external_host", "edge.example.net"), ("scheme", "https")];
    const ISTIO: &[(&str, &str)] = &[("external_host", "mesh.example.net"), ("tls_enabled", "True")];

    fn with(cluster: Cluster, endpoint: Endpoint, id: u32, data: &[(&str, &str)]) -> Cluster {
        let relation = RelationSnapshot {
            id,
            remote_app: Some("way-in".into()),
            remote_app_data: Some(data.iter().copied().collect::<Databag>()),
            ..RelationSnapshot::default()
        };
        cluster.relate(endpoint, relation)
    }

    /// The URL under which everything is published outside, and the findings.
    fn outcome(cluster: &Cluster) -> (Option<String>, Vec<String>) {
        let d = cluster.deployment();
        let external = d.exposure.external.map(|base| format!("{}://{}", base.scheme, base.host));
        (external, d.findings.iter().map(ToString::to_string).collect())
    }

    fn check(endpoint: Endpoint, data: &[(&str, &str)], url: Option<&str>, findings: &[&str]) {
        let (external, found) = outcome(&with(complete(), endpoint, 60, data));
        assert_eq!(external.as_deref(), url, "{data:?}");
        assert_eq!(found, findings, "{data:?}");
    }

    #[test]
    fn traefik_is_ready_with_scheme_and_host() {
        let check = |data: &[(&str, &str)], url, findings| check(Endpoint::Ingress, data, url, findings);
        check(TRAEFIK, Some("https://edge.example.net"), &[]);
        check(&[("external_host", "10.1.2.3"), ("scheme", "http")], Some("http://10.1.2.3"), &[]);
        check(&[], None, &[]);
        check(&[("scheme", "http")], None, &[]);
        check(&[("external_host", "edge.example.net")], None, &["ingress:60 scheme: missing"]);
        check(
            &[("external_host", "edge.example.net"), ("scheme", "HTTPS")],
            None,
            &["ingress:60 scheme: is neither http nor https"],
        );
        check(
            &[("external_host", "a b"), ("scheme", "http")],
            None,
            &["ingress:60 external_host: is not a host name or IP address"],
        );
    }

    #[test]
    fn istio_is_ready_with_a_host_and_has_tls_only_if_it_says_exactly_that() {
        let check = |data: &[(&str, &str)], url| check(Endpoint::IstioIngress, data, url, &[]);
        check(ISTIO, Some("https://mesh.example.net"));
        for no in ["False", "true", "1", "yes"] {
            check(&[("external_host", "m"), ("tls_enabled", no)], Some("http://m"));
        }
        check(&[("external_host", "m")], Some("http://m"));
        check(&[("tls_enabled", "True")], None);
    }

    #[test]
    fn only_the_host_of_what_an_ingress_gives_is_used() {
        for (text, url, cut) in [
            ("edge.example.net:8443", "http://edge.example.net", Some("port")),
            ("edge.example.net/obs-tempo", "http://edge.example.net", Some("path")),
            ("edge.example.net:8443/obs", "http://edge.example.net", Some("port and path")),
            ("https://edge.example.net", "http://edge.example.net", Some("scheme")),
            ("edge.example.net/", "http://edge.example.net", None),
            ("Edge.Example.net.", "http://edge.example.net", None),
            ("fd00::1", "http://[fd00::1]", None),
            ("[fd00::1]", "http://[fd00::1]", None),
            ("[fd00::1]:80", "http://[fd00::1]", Some("port")),
        ] {
            let finding =
                cut.map(|cut| format!("ingress:60 external_host: only the host is used, not its {cut}"));
            let findings: Vec<&str> = finding.iter().map(String::as_str).collect();
            check(Endpoint::Ingress, &[("external_host", text), ("scheme", "http")], Some(url), &findings);
        }
    }

    #[test]
    fn of_several_that_are_ready_none_is_used() {
        let one = with(complete(), Endpoint::Ingress, 60, TRAEFIK);
        assert_eq!(one.deployment().ingress.rivals(), []);
        let two = with(one.clone(), Endpoint::Ingress, 61, TRAEFIK);
        assert_eq!(outcome(&two).0, None);
        assert_eq!(two.deployment().ingress.rivals(), [(Endpoint::Ingress, 60), (Endpoint::Ingress, 61)]);
        let both = with(one.clone(), Endpoint::IstioIngress, 61, ISTIO);
        assert_eq!(outcome(&both).0, None);
        // One that has nothing to offer is no rival.
        let pending = with(one, Endpoint::IstioIngress, 61, &[]);
        assert_eq!(outcome(&pending).0.as_deref(), Some("https://edge.example.net"));
    }
}
