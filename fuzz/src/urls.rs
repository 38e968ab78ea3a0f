//! Hosts and URLs.

use juju_ops::{Databag, UnitName};
use juju_relations::tempo_api::HttpUrl;
use tempo_coordinator::deployment::address::{Authority, Host, Url};
use tempo_coordinator::names::Endpoint;
use tempo_coordinator::snapshot::RelationSnapshot;

use crate::scene::{FIRST_OTHER, Relations, app, cluster, snapshot};

/// A password that no other part of an input is.
const PASSWORD: &str = "hunter22hunter22";

/// What is accepted as a host or URL has no character that means anything in a configuration file, means the same when it
/// is read again, and holds no password; and a password in a URL shows nowhere, wherever it was published.
pub fn urls(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(host) = Host::parse(&text) {
        assert_safe(&host.to_string());
        assert_eq!(Host::parse(&host.to_string()).as_ref(), Ok(&host));
        assert_safe(&host.parent().to_string());
    }
    if let Ok(authority) = Authority::parse(&text) {
        assert_safe(&authority.host.to_string());
        assert_ne!(authority.port, Some(0));
    }
    if let Ok(url) = Url::parse(&text) {
        assert_safe(&url.to_string());
        assert_eq!(Url::parse(&url.to_string()).as_ref(), Ok(&url));
        assert!(!url.authority().contains('@'));
    }
    if let Ok(url) = HttpUrl::parse(&text) {
        assert!(url.as_str().bytes().all(|c| c.is_ascii_graphic() && !b"\"<>".contains(&c)), "{url}");
        assert_eq!(HttpUrl::parse(url.as_str()).as_ref(), Ok(&url));
    }

    // Of two ingresses none counts: one input is for the one, the next for the other.
    let way_in = if text.len().is_multiple_of(2) { Endpoint::Ingress } else { Endpoint::IstioIngress };
    crate::charm::check(&snapshot(published(&text, way_in)));
    let with_password = with_password(&text);
    let shown = crate::charm::check(&snapshot(published(&with_password, way_in))).shown();
    assert!(!shown.contains(PASSWORD), "{with_password:?}: {shown}");
}

/// Characters of which none ends a word in nginx's configuration, begins something in YAML, or is not there to be seen.
#[track_caller]
fn assert_safe(text: &str) {
    let safe = |c: u8| c.is_ascii_graphic() && !b"\"'`\\;{}$#<>|^".contains(&c);
    assert!(!text.is_empty() && text.bytes().all(safe), "{text:?}");
}

/// The URL of somebody who has to say a name and a password.
fn with_password(url: &str) -> String {
    let at = url.find("://").map_or(0, |at| at + 3);
    format!("{}admin:{PASSWORD}@{}", &url[..at], &url[at..])
}

/// A cluster in which everybody who publishes a host or a URL publishes this one.
fn published(url: &str, way_in: Endpoint) -> Relations {
    let json = serde_json::Value::from(url).to_string();
    let object = format!(r#"{{"url": {json}}}"#);
    let receivers = format!(r#"[{{"protocol": {{"name": "otlp_http", "type": "http"}}, "url": {json}}}]"#);
    let topology = r#"{"application": "v", "unit": "v/0", "charm_name": "tempo-worker-k8s"}"#;
    let unit = |mut relation: RelationSnapshot, data: Databag| {
        let name = relation.remote_app.clone().unwrap_or_default();
        relation.remote_units.insert(UnitName::new(&name, 0), Some(data));
        relation
    };

    let mut relations = cluster();
    let bucket = [("access-key", "AK"), ("secret-key", "sekret"), ("bucket", "b"), ("endpoint", url)];
    relations.insert(Endpoint::S3, vec![app(1, "minio", bucket)]);
    let worker = unit(
        app(FIRST_OTHER, "v", [("role", r#""all""#)]),
        [("address", json.as_str()), ("juju_topology", topology)].into(),
    );
    relations.entry(Endpoint::TempoCluster).or_default().push(worker);
    let host = [("external_host", url), ("scheme", "https"), ("tls_enabled", "True")];
    let others = [
        (Endpoint::Logging, unit(app(101, "loki", []), [("endpoint", object.as_str())].into())),
        (Endpoint::SendRemoteWrite, unit(app(102, "prom", []), [("remote_write", object.as_str())].into())),
        (Endpoint::Peers, unit(app(103, "tempo", []), [("fqdn", json.as_str())].into())),
        (Endpoint::SelfCharmTracing, app(104, "other", [("receivers", receivers.as_str())])),
        (Endpoint::SelfWorkloadTracing, app(105, "other", [("receivers", receivers.as_str())])),
        (Endpoint::GrafanaSource, app(106, "grafana", [("grafana_uid", "g"), ("grafana_base_url", url)])),
        (way_in, app(107, "way-in", host)),
    ];
    relations.extend(others.map(|(endpoint, relation)| (endpoint, vec![relation])));
    relations
}
