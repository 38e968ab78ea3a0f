//! `istio_ingress_route`: a charm asks for listeners and routes of an Istio gateway.
//!
//! Everything is in the **application** databags, written by the leaders.
//!
//! | databag | key | value |
//! |---|---|---|
//! | requirer's application | `config` | [`Config`] as JSON without spaces, nulls included; required |
//! | provider's application | `external_host` | host under which the gateway is reached, plain text |
//! | | `tls_enabled` | `True` or `False`, plain text |
//!
//! The provider takes both keys back when routes of different applications clash.
//!
//! ```
//! use juju_relations::istio_ingress_route::{Listener, ProtocolType};
//!
//! let listener = Listener { port: 8080, protocol: ProtocolType::Http };
//! assert_eq!(listener.name(), "http-8080");
//! assert_eq!(listener.gateway_protocol(true), "HTTPS");
//! ```

use std::collections::BTreeMap;

use juju_ops::{Databag, Encoding, Remote};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{EndpointRole, Exchange, Party, Wire, py_bool};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "istio_ingress_route";

/// The requirer's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirerAppData {
    /// What it asks for.
    pub config: Config,
}

/// The provider's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAppData {
    /// The host, as the provider gave it.
    pub external_host: String,
    /// Whether the gateway speaks TLS.
    #[serde(default, with = "py_bool")]
    pub tls_enabled: bool,
}

/// What a requirer asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The model, which is the namespace of the backends.
    pub model: String,
    /// Where the gateway should listen.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// Routes for HTTP.
    #[serde(default)]
    pub http_routes: Vec<HttpRoute>,
    /// Routes for gRPC.
    #[serde(default)]
    pub grpc_routes: Vec<GrpcRoute>,
}

/// Where the gateway listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// From 1 to 65535.
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// What is spoken there.
    pub protocol: ProtocolType,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProtocolType {
    /// HTTP.
    Http,
    /// gRPC.
    Grpc,
}

/// A route for HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRoute {
    /// Unique among the routes of the application.
    pub name: String,
    /// The listener whose requests it takes.
    pub listener: Listener,
    /// Where it sends them.
    pub backends: Vec<Backend>,
    /// Only requests for these hosts.
    pub hostnames: Option<Vec<String>>,
    /// Only requests that one of these fits.
    pub matches: Option<Vec<HttpMatch>>,
    /// What is done to them.
    pub filters: Option<Vec<HttpFilter>>,
}

/// A route for gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcRoute {
    /// Unique among the routes of the application.
    pub name: String,
    /// The listener whose requests it takes.
    pub listener: Listener,
    /// Where it sends them.
    pub backends: Vec<Backend>,
    /// Only requests for these hosts.
    pub hostnames: Option<Vec<String>>,
    /// Only requests that one of these fits.
    pub matches: Option<Vec<GrpcMatch>>,
    /// What is done to them.
    pub filters: Option<Vec<GrpcFilter>>,
}

/// A Kubernetes service in the namespace of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Its name.
    pub service: String,
    /// From 1 to 65535.
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// Its share of the requests, from 1 to 100.
    #[serde(default, deserialize_with = "weight")]
    pub weight: Option<u8>,
}

/// What a request over HTTP has to look like. What is `None` fits any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpMatch {
    /// Headers by name.
    pub headers: Option<BTreeMap<String, String>>,
    /// Its path.
    pub path: Option<PathMatch>,
    /// Its method.
    pub method: Option<Method>,
}

/// What the path of a request has to look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathMatch {
    /// How it is compared.
    #[serde(rename = "type", default)]
    pub kind: PathMatchType,
    /// With what.
    pub value: String,
}

/// How paths are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathMatchType {
    /// By whole segments from its beginning.
    #[default]
    PathPrefix,
    /// As a whole.
    Exact,
    /// With a regular expression.
    RegularExpression,
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)] // the names say it
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
    Patch,
    Head,
    Options,
    Connect,
    Trace,
}

/// What a gRPC request has to look like. What is `None` fits any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcMatch {
    /// Headers by name.
    pub headers: Option<BTreeMap<String, String>>,
    /// What it calls.
    pub method: Option<GrpcMethod>,
}

/// What a gRPC request calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcMethod {
    /// `package.Service`.
    pub service: String,
    /// One of its methods; `None` is all of them.
    pub method: Option<String>,
}

/// What is done to a request over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Filter", into = "Filter")]
pub enum HttpFilter {
    /// Another URL for the backend.
    UrlRewrite(UrlRewrite),
    /// An answer that sends the client elsewhere.
    RequestRedirect(RequestRedirect),
}

/// What is done to a gRPC request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Filter", into = "Filter")]
pub enum GrpcFilter {
    /// An answer that sends the client elsewhere.
    RequestRedirect(RequestRedirect),
}

/// Another URL for the backend. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlRewrite {
    /// The host.
    pub hostname: Option<String>,
    /// The path.
    pub path: Option<PathModifier>,
}

/// Where a client is sent. What is `None` stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRedirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// The host.
    pub hostname: Option<String>,
    /// The path.
    pub path: Option<PathModifier>,
    /// From 1 to 65535.
    #[serde(default, deserialize_with = "optional_port")]
    pub port: Option<u16>,
    /// Status of the answer.
    #[serde(default = "moved_permanently")]
    pub status_code: u16,
}

/// Another path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum PathModifier {
    /// In place of all of it.
    ReplaceFullPath {
        /// The new path.
        #[serde(rename = "replaceFullPath")]
        value: String,
    },
    /// In place of the prefix that was matched.
    ReplacePrefixMatch {
        /// The new prefix.
        #[serde(rename = "replacePrefixMatch")]
        value: String,
    },
}

/// A filter on the wire: the name of one member says which one it is, and so does `type`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(skip_serializing_if = "Option::is_none")]
    url_rewrite: Option<UrlRewrite>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_redirect: Option<RequestRedirect>,
    r#type: Option<String>,
}

impl Filter {
    fn rewrite(rewrite: UrlRewrite) -> Self {
        Self { url_rewrite: Some(rewrite), request_redirect: None, r#type: Some("URLRewrite".into()) }
    }

    fn redirect(redirect: RequestRedirect) -> Self {
        Self { url_rewrite: None, request_redirect: Some(redirect), r#type: Some("RequestRedirect".into()) }
    }
}

impl From<HttpFilter> for Filter {
    fn from(filter: HttpFilter) -> Self {
        match filter {
            HttpFilter::UrlRewrite(rewrite) => Self::rewrite(rewrite),
            HttpFilter::RequestRedirect(redirect) => Self::redirect(redirect),
        }
    }
}

impl From<GrpcFilter> for Filter {
    fn from(filter: GrpcFilter) -> Self {
        let GrpcFilter::RequestRedirect(redirect) = filter;
        Self::redirect(redirect)
    }
}

impl TryFrom<Filter> for HttpFilter {
    type Error = &'static str;

    fn try_from(filter: Filter) -> Result<Self, Self::Error> {
        match (filter.url_rewrite, filter.request_redirect) {
            (Some(rewrite), None) => Ok(Self::UrlRewrite(rewrite)),
            (None, Some(redirect)) => Ok(Self::RequestRedirect(redirect)),
            _ => Err("a filter is either a urlRewrite or a requestRedirect"),
        }
    }
}

impl TryFrom<Filter> for GrpcFilter {
    type Error = &'static str;

    fn try_from(filter: Filter) -> Result<Self, Self::Error> {
        filter.request_redirect.map(Self::RequestRedirect).ok_or("a filter for gRPC is a requestRedirect")
    }
}

impl RequestRedirect {
    /// A permanent redirection to another scheme.
    pub fn to_scheme(scheme: impl Into<String>) -> Self {
        Self {
            scheme: Some(scheme.into()),
            hostname: None,
            path: None,
            port: None,
            status_code: moved_permanently(),
        }
    }
}

const fn moved_permanently() -> u16 {
    301
}

impl ProtocolType {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Grpc => "GRPC",
        }
    }
}

impl Listener {
    /// The name of the gateway's listener.
    pub fn name(&self) -> String {
        format!("{}-{}", self.protocol.as_str().to_ascii_lowercase(), self.port)
    }

    /// What the gateway's listener speaks: for gRPC the same as for HTTP.
    pub const fn gateway_protocol(&self, tls: bool) -> &'static str {
        if tls { "HTTPS" } else { "HTTP" }
    }
}

impl Wire for RequirerAppData {
    const KEYS: &'static [&'static str] = &["config"];

    fn write(&self) -> Databag {
        // Texts, numbers, lists and maps with texts as keys always have a JSON form.
        let text = serde_json::to_string(&self.config).unwrap_or_default();
        Databag::from([("config", text)])
    }
}

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &["external_host", "tls_enabled"];
    const ENCODING: Encoding = Encoding::Raw;

    /// Without a host there is nothing (any more).
    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| bag.contains_key("external_host")) else { return Remote::Absent };
        bag.decode(Self::ENCODING).into()
    }
}

fn port<'de, D: Deserializer<'de>>(reader: D) -> Result<u16, D::Error> {
    optional_port(reader)?.ok_or_else(|| D::Error::custom("no port"))
}

fn optional_port<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<u16>, D::Error> {
    match Option::<u16>::deserialize(reader)? {
        Some(0) => Err(D::Error::custom("0 is no port")),
        port => Ok(port),
    }
}

fn weight<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<u8>, D::Error> {
    match Option::<u8>::deserialize(reader)? {
        Some(weight) if !(1..=100).contains(&weight) => Err(D::Error::custom("a weight is from 1 to 100")),
        weight => Ok(weight),
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

/// The side that is the gateway.
#[derive(Clone, Copy, Debug)]
pub enum Provider {}

impl Party for Provider {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Provides;
    type Own = ProviderAppData;
    type Other = RequirerAppData;
}

/// The side that wants to be reached, in one hook.
pub type IstioIngressRouteRequirer = Exchange<Requirer>;

/// The side that is the gateway, in one hook.
pub type IstioIngressRouteProvider = Exchange<Provider>;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Remote<RequirerAppData> {
        RequirerAppData::read(Some(&Databag::from([("config", config)])))
    }

    fn backend(port: u16) -> Backend {
        Backend { service: "tempo".into(), port, weight: Some(100) }
    }

    #[test]
    fn bytes_both_ways() {
        let http = Listener { port: 3200, protocol: ProtocolType::Http };
        let grpc = Listener { port: 9096, protocol: ProtocolType::Grpc };
        let data = RequirerAppData {
            config: Config {
                model: "obs".into(),
                listeners: vec![http, grpc],
                http_routes: vec![HttpRoute {
                    name: "juju-obs-tempo-tempo-http".into(),
                    listener: http,
                    backends: vec![backend(3200)],
                    hostnames: None,
                    matches: None,
                    filters: None,
                }],
                grpc_routes: vec![GrpcRoute {
                    name: "juju-obs-tempo-tempo-grpc".into(),
                    listener: grpc,
                    backends: vec![backend(9096)],
                    hostnames: None,
                    matches: None,
                    filters: None,
                }],
            },
        };
        let bag = Databag::from([(
            "config",
            concat!(
                r#"{"model":"obs","#,
                r#""listeners":[{"port":3200,"protocol":"HTTP"},{"port":9096,"protocol":"GRPC"}],"#,
                r#""http_routes":[{"name":"juju-obs-tempo-tempo-http","listener":{"port":3200,"protocol":"HTTP"},"#,
                r#""backends":[{"service":"tempo","port":3200,"weight":100}],"hostnames":null,"matches":null,"filters":null}],"#,
                r#""grpc_routes":[{"name":"juju-obs-tempo-tempo-grpc","listener":{"port":9096,"protocol":"GRPC"},"#,
                r#""backends":[{"service":"tempo","port":9096,"weight":100}],"hostnames":null,"matches":null,"filters":null}]}"#,
            ),
        )]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(RequirerAppData::read(Some(&bag)), Remote::Ready(data));

        let bag = Databag::from([("external_host", "mesh.example.net"), ("tls_enabled", "True")]);
        let data = ProviderAppData { external_host: "mesh.example.net".into(), tls_enabled: true };
        assert_eq!(*data.write(), *bag);
        assert_eq!(ProviderAppData::read(Some(&bag)), Remote::Ready(data));
    }

    #[test]
    fn every_field_survives() {
        let listener = Listener { port: 80, protocol: ProtocolType::Http };
        let headers = Some(BTreeMap::from([("x-scope".to_owned(), "a".to_owned())]));
        let full = PathModifier::ReplaceFullPath { value: "/x".into() };
        let prefix = PathModifier::ReplacePrefixMatch { value: "/".into() };
        let redirect =
            RequestRedirect { path: Some(full), port: Some(443), ..RequestRedirect::to_scheme("https") };
        let data = RequirerAppData {
            config: Config {
                model: "m".into(),
                listeners: vec![listener],
                http_routes: vec![HttpRoute {
                    name: "a".into(),
                    listener,
                    backends: vec![Backend { weight: None, ..backend(1) }],
                    hostnames: Some(vec!["a.example".into()]),
                    matches: Some(vec![HttpMatch {
                        headers: headers.clone(),
                        path: Some(PathMatch { kind: PathMatchType::Exact, value: "/a".into() }),
                        method: Some(Method::Get),
                    }]),
                    filters: Some(vec![
                        HttpFilter::UrlRewrite(UrlRewrite { hostname: None, path: Some(prefix) }),
                        HttpFilter::RequestRedirect(redirect.clone()),
                    ]),
                }],
                grpc_routes: vec![GrpcRoute {
                    name: "b".into(),
                    listener: Listener { protocol: ProtocolType::Grpc, ..listener },
                    backends: vec![],
                    hostnames: None,
                    matches: Some(vec![GrpcMatch {
                        headers,
                        method: Some(GrpcMethod { service: "p.S".into(), method: None }),
                    }]),
                    filters: Some(vec![GrpcFilter::RequestRedirect(redirect)]),
                }],
            },
        };
        let bag = data.write();
        for part in [
            r#"{"headers":{"x-scope":"a"},"path":{"type":"Exact","value":"/a"},"method":"GET"}"#,
            r#"{"urlRewrite":{"hostname":null,"path":{"type":"ReplacePrefixMatch","replacePrefixMatch":"/"}},"type":"URLRewrite"}"#,
            r#"{"requestRedirect":{"scheme":"https","hostname":null,"path":{"type":"ReplaceFullPath","replaceFullPath":"/x"},"port":443,"statusCode":301},"type":"RequestRedirect"}"#,
            r#""method":{"service":"p.S","method":null}"#,
        ] {
            assert!(bag["config"].contains(part), "{part} is not in {}", bag["config"]);
        }
        assert_eq!(RequirerAppData::read(Some(&bag)), Remote::Ready(data));
    }

    #[test]
    fn what_may_be_left_out_has_its_default() {
        let config = read(r#"{"model": "m", "other": 1}"#).ok().unwrap().config;
        assert_eq!(config, Config { model: "m".into(), ..Config::default() });
        let config = read(
            r#"{"model": "m", "http_routes": [{"name": "a", "listener": {"port": 1, "protocol": "HTTP"},
                "backends": [{"service": "s", "port": 2}], "matches": [{"path": {"value": "/"}}],
                "filters": [{"requestRedirect": {}}]}]}"#,
        );
        let route = config.ok().unwrap().config.http_routes.remove(0);
        assert_eq!(route.backends[0].weight, None);
        assert_eq!(
            route.matches.unwrap()[0].path,
            Some(PathMatch { kind: PathMatchType::PathPrefix, value: "/".into() })
        );
        let Some(HttpFilter::RequestRedirect(redirect)) = route.filters.unwrap().pop() else { panic!() };
        assert_eq!(redirect.status_code, 301);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for listener in [
            r#"{"port": 0, "protocol": "HTTP"}"#,
            r#"{"port": 65536, "protocol": "HTTP"}"#,
            r#"{"port": 1, "protocol": "TCP"}"#,
            r#"{"port": 1}"#,
        ] {
            let reason = read(&format!(r#"{{"model": "m", "listeners": [{listener}]}}"#));
            assert!(reason.reason().unwrap().starts_with("config: "), "{listener}");
        }
        let with = |backend: &str, filter: &str| {
            read(&format!(
                r#"{{"model": "m", "grpc_routes": [{{"name": "a", "listener": {{"port": 1, "protocol": "GRPC"}},
                    "backends": [{backend}], "filters": [{filter}]}}]}}"#
            ))
        };
        assert!(with("", r#"{"requestRedirect": {}}"#).is_ready());
        assert!(!with("", r#"{"urlRewrite": {}}"#).is_ready());
        assert!(!with(r#"{"service": "s", "port": 1, "weight": 0}"#, "").is_ready());
        assert!(!with(r#"{"service": "s", "port": 1, "weight": 101}"#, "").is_ready());
        assert_eq!(read("{}").reason(), Some("config: missing field `model`"));
    }

    #[test]
    fn without_a_host_the_gateway_is_not_there() {
        let read = |pairs: &[(&str, &str)]| ProviderAppData::read(Some(&pairs.iter().copied().collect()));
        assert_eq!(read(&[("tls_enabled", "True")]), Remote::Absent);
        for (text, tls) in [("True", true), ("true", false), ("False", false)] {
            let data = read(&[("external_host", "a"), ("tls_enabled", text)]).ok().unwrap();
            assert_eq!(data.tls_enabled, tls, "{text}");
        }
        assert!(!read(&[("external_host", "a")]).ok().unwrap().tls_enabled);
    }

    #[test]
    fn listeners_of_the_gateway() {
        let grpc = Listener { port: 9090, protocol: ProtocolType::Grpc };
        assert_eq!(grpc.name(), "grpc-9090");
        assert_eq!((grpc.gateway_protocol(true), grpc.gateway_protocol(false)), ("HTTPS", "HTTP"));
    }
}
