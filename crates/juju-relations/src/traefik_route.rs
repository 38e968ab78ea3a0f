//! `traefik_route`: a charm writes its own routes for a Traefik.
//!
//! Everything is in the **application** databags, written by the leaders. Values are plain text.
//!
//! | databag | key | value |
//! |---|---|---|
//! | requirer's application | `config` | Traefik's *dynamic* configuration as YAML, required |
//! | | `static` | the part of Traefik's *static* configuration that the routes need, as YAML |
//! | | `raw` | `True` or `False`: whether Traefik's charm leaves the routes as they are |
//! | provider's application | `external_host` | host under which Traefik is reached, without scheme and port |
//! | | `scheme` | `http` or `https` |
//!
//! With `raw` not exactly `True`, the Traefik charm adds a twin with TLS beside every router of `http` and `tcp` that has
//! a rule and a service. A configuration for it has no `tls` sections of its own.
//!
//! Configurations are text in the databag, because a requirer may use any part of Traefik. [`DynamicConfig`] and
//! [`StaticConfig`] are typed views of the parts that most need: routers, services with servers, and redirections.
//!
//! ```
//! use juju_relations::traefik_route::{EntryPoint, RequirerAppData, StaticConfig};
//!
//! let entry_points = [("web-api".to_owned(), EntryPoint::at(8080))].into();
//! let text = StaticConfig { entry_points }.to_yaml();
//! assert_eq!(text, "entryPoints:\n  web-api:\n    address: \":8080\"\n");
//! ```

use std::collections::BTreeMap;

use juju_ops::{Databag, DatabagError, Encoding, Remote};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::wire::shown;
use crate::{EndpointRole, Exchange, Party, Wire, py_bool};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "traefik_route";

/// The requirer's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirerAppData {
    /// Dynamic configuration, YAML.
    pub config: String,
    /// Static configuration, YAML.
    #[serde(rename = "static")]
    pub static_config: Option<String>,
    /// Whether Traefik's charm leaves the routes as they are.
    #[serde(default, with = "py_bool")]
    pub raw: bool,
}

/// The provider's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAppData {
    /// The host, as the provider gave it. Behind another ingress it may have a path.
    pub external_host: String,
    /// `http` or `https`, as the provider gave it.
    pub scheme: String,
}

impl RequirerAppData {
    /// The databag for these routes, with TLS left to Traefik's charm.
    pub fn new(dynamic: &DynamicConfig, static_config: &StaticConfig) -> Self {
        let static_config = Some(static_config).filter(|part| !part.entry_points.is_empty());
        Self {
            config: dynamic.to_yaml(),
            static_config: static_config.map(StaticConfig::to_yaml),
            raw: false,
        }
    }

    /// The typed view of `config`.
    ///
    /// # Errors
    /// Names the key and the line at fault.
    pub fn dynamic(&self) -> Result<DynamicConfig, DatabagError> {
        parse("config", &self.config)
    }

    /// The typed view of `static`.
    ///
    /// # Errors
    /// Names the key and the line at fault.
    pub fn entry_points(&self) -> Result<StaticConfig, DatabagError> {
        self.static_config
            .as_deref()
            .map_or_else(|| Ok(StaticConfig::default()), |text| parse("static", text))
    }

    /// Why Traefik would not serve these routes, in words fit for a status message; `None` if it would, as far as
    /// that can be told without asking it.
    pub fn problem(&self) -> Option<String> {
        let (dynamic, entry_points) = match (self.dynamic(), self.entry_points()) {
            (Ok(dynamic), Ok(entry_points)) => (dynamic, entry_points),
            (Err(error), _) | (_, Err(error)) => return Some(error.to_string()),
        };
        // Traefik refuses a whole file for one of these.
        let document: serde_json::Value = serde_yaml::from_str(&self.config).unwrap_or_default();
        let is_empty = |part: &&str| {
            let part = &document["http"][*part];
            part.as_object().is_some_and(serde_json::Map::is_empty)
        };
        if let Some(part) = ["middlewares", "routers", "services"].into_iter().find(is_empty) {
            return Some(format!("config: http.{part} is empty, which Traefik refuses"));
        }
        dynamic.problem(&entry_points).map(|problem| format!("config: {problem}"))
    }
}

impl Wire for RequirerAppData {
    const KEYS: &'static [&'static str] = &["config", "static", "raw"];
    const ENCODING: Encoding = Encoding::Raw;
}

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &["external_host", "scheme"];
    const ENCODING: Encoding = Encoding::Raw;

    /// Without a host there is nothing yet: Traefik's charm tells its scheme before it knows its address.
    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| bag.contains_key("external_host")) else { return Remote::Absent };
        bag.decode(Self::ENCODING).into()
    }
}

/// Dynamic configuration: what to do with requests. Of a configuration that is read, other parts are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynamicConfig {
    /// Routes for HTTP and gRPC.
    #[serde(default)]
    pub http: Http,
}

/// The part of it about HTTP, by names that are unique in the whole Traefik.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// What is done to requests on their way.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub middlewares: BTreeMap<String, Middleware>,
    /// Which requests go where.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub routers: BTreeMap<String, Router>,
    /// Where requests can go.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub services: BTreeMap<String, Service>,
}

/// Something that is done to requests. One of a kind that is not known here has nothing in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Middleware {
    /// Send clients to another scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_scheme: Option<RedirectScheme>,
}

/// Answers with a redirection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectScheme {
    /// Whether clients may remember it.
    #[serde(default)]
    pub permanent: bool,
    /// The port to go to; without one, that of the scheme.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "port")]
    pub port: Option<u16>,
    /// The scheme to go to.
    pub scheme: String,
}

/// Which requests go where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Router {
    /// The entry points whose requests it takes; all of them if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entry_points: Vec<String>,
    /// What is done to the requests, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub middlewares: Vec<String>,
    /// Which requests it takes, in Traefik's language of rules.
    #[serde(default)]
    pub rule: String,
    /// Where it sends them.
    #[serde(default)]
    pub service: String,
}

/// Where requests can go. One of a kind that is not known here has nothing in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// One of several servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
}

/// One of several servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// The servers.
    #[serde(default)]
    pub servers: Vec<Server>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Where it is; `h2c` is HTTP/2 without TLS, as gRPC needs it.
    pub url: String,
}

/// Static configuration: where Traefik listens. Of a configuration that is read, other parts are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StaticConfig {
    /// Entry points by name.
    #[serde(default)]
    pub entry_points: BTreeMap<String, EntryPoint>,
}

/// Where Traefik listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryPoint {
    /// `host:port`, where no host means all of its addresses.
    pub address: String,
}

impl EntryPoint {
    /// A port on all addresses.
    pub fn at(port: u16) -> Self {
        Self { address: format!(":{port}") }
    }
}

impl StaticConfig {
    /// The configuration as YAML in block style.
    pub fn to_yaml(&self) -> String {
        yaml(self)
    }
}

impl DynamicConfig {
    /// The configuration as YAML in block style.
    pub fn to_yaml(&self) -> String {
        yaml(self)
    }

    /// How many servers there are, counting one that is in several services once for each.
    pub fn servers(&self) -> usize {
        let balancers = self.http.services.values().filter_map(|service| service.load_balancer.as_ref());
        balancers.map(|balancer| balancer.servers.len()).sum()
    }

    /// What does not fit together, in words fit for a status message.
    pub fn problem(&self, static_config: &StaticConfig) -> Option<String> {
        // These are there in every Traefik that the charm runs.
        const COMMON: [&str; 2] = ["web", "websecure"];
        for (name, router) in &self.http.routers {
            let of = |text: &str| Some(format!("router {} {text}", shown(name)));
            if router.rule.is_empty() {
                return of("has no rule");
            }
            if !self.http.services.contains_key(&router.service) {
                return of("has no service");
            }
            if !router.middlewares.iter().all(|name| self.http.middlewares.contains_key(name)) {
                return of("names a middleware that is not there");
            }
            let known = |name: &String| {
                COMMON.contains(&name.as_str()) || static_config.entry_points.contains_key(name)
            };
            if !router.entry_points.iter().all(known) {
                return of("names an entry point that is not there");
            }
        }
        let is_url = |server: &Server| {
            ["http://", "https://", "h2c://"].iter().any(|scheme| server.url.starts_with(scheme))
        };
        for (name, service) in &self.http.services {
            let of = |text: &str| Some(format!("service {} {text}", shown(name)));
            match &service.load_balancer {
                Some(balancer) if balancer.servers.is_empty() => return of("has no servers"),
                Some(balancer) if !balancer.servers.iter().all(is_url) => {
                    return of("has a server without a scheme that Traefik knows");
                }
                _ => {}
            }
        }
        None
    }
}

fn yaml<T: Serialize>(value: &T) -> String {
    // What YAML 1.1 takes for a number or a truth value is quoted; no line is folded.
    let options = serde_yaml::ser_options! { prefer_block_scalars: false };
    // Maps with texts as keys, lists, texts and numbers always have a YAML form, and the types are made of nothing else.
    serde_yaml::to_string_with_options(value, options).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, DatabagError> {
    serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |at| format!(" at line {}", at.line()));
        DatabagError::new(key, format!("not a configuration for Traefik{place}"))
    })
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    reader: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

/// Traefik's own documentation writes ports as texts; numbers are accepted as well.
fn port<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Port {
        Number(u16),
        Text(String),
    }
    match Option::<Port>::deserialize(reader)? {
        None => Ok(None),
        Some(Port::Number(port)) => Ok(Some(port)),
        Some(Port::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// The side that wants to be reached.
#[derive(Clone, Copy, Debug)]
pub enum Requirer {}

impl Party for Requirer {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Requires;
    type Own = RequirerAppData;
    type Other = ProviderAppData;
}

/// The side that is Traefik.
#[derive(Clone, Copy, Debug)]
pub enum Provider {}

impl Party for Provider {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Provides;
    type Own = ProviderAppData;
    type Other = RequirerAppData;
}

/// The side that wants to be reached, in one hook.
pub type TraefikRouteRequirer = Exchange<Requirer>;

/// The side that is Traefik, in one hook.
pub type TraefikRouteProvider = Exchange<Provider>;

#[cfg(test)]
mod tests {
    use super::*;

    /// One service on its port, on two units, behind a Traefik with TLS.
    fn otlp() -> (DynamicConfig, StaticConfig) {
        let name = |part: &str| format!("juju-obs-tempo-{part}otlp-grpc");
        let server = |unit: u32| Server {
            url: format!("h2c://tempo-{unit}.tempo-endpoints.obs.svc.cluster.local:4317"),
        };
        let router = Router {
            entry_points: vec!["otlp-grpc".into()],
            middlewares: vec![name("middleware-")],
            rule: "ClientIP(`0.0.0.0/0`)".into(),
            service: name("service-"),
        };
        let redirect = RedirectScheme { permanent: true, port: Some(4317), scheme: "https".into() };
        let balancer = LoadBalancer { servers: vec![server(0), server(1)] };
        let dynamic = DynamicConfig {
            http: Http {
                middlewares: [(name("middleware-"), Middleware { redirect_scheme: Some(redirect) })].into(),
                routers: [(name(""), router)].into(),
                services: [(name("service-"), Service { load_balancer: Some(balancer) })].into(),
            },
        };
        (dynamic, StaticConfig { entry_points: [("otlp-grpc".into(), EntryPoint::at(4317))].into() })
    }

    #[test]
    fn bytes_both_ways() {
        let (dynamic, entry_points) = otlp();
        let data = RequirerAppData::new(&dynamic, &entry_points);
        let config = "http:
  middlewares:
    juju-obs-tempo-middleware-otlp-grpc:
      redirectScheme:
        permanent: true
        port: 4317
        scheme: https
  routers:
    juju-obs-tempo-otlp-grpc:
      entryPoints:
      - otlp-grpc
      middlewares:
      - juju-obs-tempo-middleware-otlp-grpc
      rule: ClientIP(`0.0.0.0/0`)
      service: juju-obs-tempo-service-otlp-grpc
  services:
    juju-obs-tempo-service-otlp-grpc:
      loadBalancer:
        servers:
        - url: h2c://tempo-0.tempo-endpoints.obs.svc.cluster.local:4317
        - url: h2c://tempo-1.tempo-endpoints.obs.svc.cluster.local:4317
";
        let bag = Databag::from([
            ("config", config),
            ("static", "entryPoints:\n  otlp-grpc:\n    address: \":4317\"\n"),
            ("raw", "False"),
        ]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(RequirerAppData::read(Some(&bag)), Remote::Ready(data.clone()));
        assert_eq!((data.dynamic(), data.entry_points()), (Ok(dynamic.clone()), Ok(entry_points)));
        assert_eq!((data.problem(), dynamic.servers()), (None, 2));

        let bag = Databag::from([("external_host", "edge.example.net"), ("scheme", "https")]);
        let data = ProviderAppData { external_host: "edge.example.net".into(), scheme: "https".into() };
        assert_eq!(*data.write(), *bag);
        assert_eq!(ProviderAppData::read(Some(&bag)), Remote::Ready(data));
    }

    #[test]
    fn what_is_not_used_is_left_out() {
        let data = RequirerAppData::new(&DynamicConfig::default(), &StaticConfig::default());
        assert_eq!(data.static_config, None);
        assert_eq!(data.config.trim(), "http: {}");
    }

    #[test]
    fn the_same_in_another_hand_is_the_same() {
        let text = "{http: {routers: {r: {rule: 'Host(`a`)', service: s, entryPoints: [web], priority: 3}},
                     services: {s: {loadBalancer: {servers: [{url: 'http://a:1'}], sticky: {}}}},
                     middlewares: {m: {redirectScheme: {scheme: https, port: '443'}}, n: {stripPrefix: {}}}},
                     tcp: {routers: {}}}";
        let data = RequirerAppData { config: text.into(), static_config: None, raw: true };
        let config = data.dynamic().unwrap();
        assert_eq!(config.http.middlewares["m"].redirect_scheme.as_ref().unwrap().port, Some(443));
        assert_eq!(config.http.middlewares["n"], Middleware::default());
        assert_eq!((config.servers(), data.problem()), (1, None));
        assert_eq!(data.write()["raw"], "True");
    }

    #[test]
    fn only_exactly_true_is_raw() {
        for (text, raw) in [("True", true), ("true", false), ("1", false), ("False", false)] {
            let bag = Databag::from([("config", "http: {}"), ("raw", text)]);
            assert_eq!(RequirerAppData::read(Some(&bag)).ok().unwrap().raw, raw, "{text}");
        }
        assert_eq!(
            RequirerAppData::read(Some(&Databag::from([("raw", "True")]))).reason(),
            Some("config: missing")
        );
    }

    #[test]
    fn a_scheme_without_a_host_is_nothing_yet() {
        let read = |pairs: &[(&str, &str)]| ProviderAppData::read(Some(&pairs.iter().copied().collect()));
        assert_eq!(read(&[("scheme", "http")]), Remote::Absent);
        assert_eq!(read(&[]), Remote::Absent);
        assert_eq!(read(&[("external_host", "a")]), Remote::Invalid("scheme: missing".into()));
    }

    #[test]
    fn routes_that_lead_nowhere_are_named() {
        let problem = |config: &str| {
            RequirerAppData { config: config.into(), static_config: None, raw: false }.problem().unwrap()
        };
        let service = "services: {s: {loadBalancer: {servers: [{url: 'http://a:1'}]}}}";
        for (config, expect) in [
            ("[".to_owned(), "config: not a configuration for Traefik at line 1"),
            ("http: {routers: 7}".to_owned(), "config: not a configuration for Traefik at line 1"),
            (
                "http: {middlewares: {}}".to_owned(),
                "config: http.middlewares is empty, which Traefik refuses",
            ),
            ("http: {routers: {r: {rule: x}}}".to_owned(), "config: router r has no service"),
            (format!("http: {{routers: {{r: {{service: s}}}}, {service}}}"), "config: router r has no rule"),
            (
                format!("http: {{routers: {{r: {{rule: x, service: s, entryPoints: [y]}}}}, {service}}}"),
                "config: router r names an entry point that is not there",
            ),
            (
                format!("http: {{routers: {{r: {{rule: x, service: s, middlewares: [y]}}}}, {service}}}"),
                "config: router r names a middleware that is not there",
            ),
            ("http: {services: {s: {loadBalancer: {}}}}".to_owned(), "config: service s has no servers"),
            (
                "http: {services: {s: {loadBalancer: {servers: [{url: 'a:1'}]}}}}".to_owned(),
                "config: service s has a server without a scheme that Traefik knows",
            ),
        ] {
            assert_eq!(problem(&config), expect, "{config}");
        }
        let data = RequirerAppData {
            config: "http: {}".into(),
            static_config: Some("entryPoints: [".into()),
            raw: false,
        };
        assert_eq!(data.problem().unwrap(), "static: not a configuration for Traefik at line 1");
    }
}
