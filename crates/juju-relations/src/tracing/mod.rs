//! `tracing`: who receives traces, in which protocols and where.
//!
//! Requirers ask for protocols, the provider answers with the URLs of its receivers. Everything is in the
//! **application** databags, written by the leaders; unit databags stay empty. Values are JSON.
//!
//! | databag | key | value |
//! |---|---|---|
//! | requirer's application | `receivers` | array of protocol names |
//! | provider's application | `receivers` | array of `{"protocol": {"name": …, "type": "http"\|"grpc"}, "url": …}` |
//!
//! - A requirer that wants nothing (`[]`) is ready; one that has written nothing is not.
//! - The provider lists *all* its receivers to everybody, so a requirer can get more than it asked for.
//! - URLs of `http` receivers have a scheme and no path; those of `grpc` receivers are `host:port`.
//! - Names of protocols are free text when read. A request counts for the names that are known, and the unknown ones
//!   are reported ([`Requested`]).
//!
//! This is version 2 of the interface. Providers of version 0 (`host`, `ingesters`) and 1 (`host`, receivers with
//! ports), and requirers of version 1 (`protocols`), are read as [`Remote::Invalid`] with a reason that says so.
//!
//! # A requirer
//!
//! ```no_run
//! use juju_relations::{EndpointMeta, tracing::{self, Protocol, TracingRequirer}};
//!
//! const TRACING: EndpointMeta = EndpointMeta::requires("tracing", tracing::INTERFACE).limited(1);
//!
//! # fn main() -> std::process::ExitCode {
//! juju_ops::run(|hook| async move {
//!     let tracing = TracingRequirer::new(&hook, TRACING)?;
//!     tracing.request([Protocol::OtlpGrpc]).await?;
//!     match tracing.endpoint(Protocol::OtlpGrpc).await? {
//!         Some(url) => hook.active(format!("sending traces to {url}")).await?,
//!         None => hook.waiting("for an OTLP endpoint").await?,
//!     }
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # A provider
//!
//! ```no_run
//! use juju_relations::{EndpointMeta, tracing::{self, TracingProvider}};
//!
//! const TRACING: EndpointMeta = EndpointMeta::provides("tracing", tracing::INTERFACE);
//!
//! # fn main() -> std::process::ExitCode {
//! juju_ops::run(|hook| async move {
//!     let tracing = TracingProvider::new(&hook, TRACING)?;
//!     if hook.is_leader().await? {
//!         let wanted = tracing.requested_protocols().await?;
//!         let url = |protocol| format!("traces.example.net:{}", if protocol == tracing::Protocol::OtlpGrpc { 4317 } else { 9411 });
//!         tracing.publish_receivers(wanted.into_iter().map(|protocol| (protocol, url(protocol)))).await?;
//!     }
//!     Ok(())
//! })
//! # }
//! ```

mod events;
mod provider;
mod requirer;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use juju_ops::{Databag, DatabagError, RelationId, Remote, ToolError};
use serde::{Deserialize, Serialize};

pub use events::{ProviderEvent, RequirerEvent, provider_event, requirer_event};
pub use provider::TracingProvider;
pub use requirer::{CharmTracing, TracingRequirer, charm_tracing_config};

use crate::Wire;
use crate::wire::{list_shown, shown};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "tracing";

/// The endpoint name that most charms use on either side.
pub const DEFAULT_ENDPOINT: &str = "tracing";

/// A protocol that can be asked for. Ordered by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Jaeger over gRPC, `jaeger_grpc`.
    JaegerGrpc,
    /// Jaeger's Thrift over HTTP, `jaeger_thrift_http`.
    JaegerThriftHttp,
    /// OpenTelemetry over gRPC, `otlp_grpc`.
    OtlpGrpc,
    /// OpenTelemetry over HTTP, `otlp_http`.
    OtlpHttp,
    /// Zipkin over HTTP, `zipkin`.
    Zipkin,
}

/// What carries a protocol; decides the form of the receiver's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportProtocol {
    /// URLs are `scheme://host:port`; the client adds the path.
    Http,
    /// URLs are `host:port`.
    Grpc,
}

/// A name that is none of the protocols that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownProtocol {
    /// The name, cut to a length fit for a message.
    pub name: String,
    /// The protocol that was probably meant.
    pub meant: Option<Protocol>,
}

/// Where a receiver is. Keeps the text as it was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReceiverUrl(String);

/// One receiver of a provider.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Receiver {
    /// What it receives.
    pub protocol: ProtocolType,
    /// Where it is.
    pub url: ReceiverUrl,
}

/// A protocol as providers publish it: newer ones may know names that this library does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProtocolType {
    /// Name of the protocol.
    pub name: String,
    /// What carries it.
    #[serde(rename = "type")]
    pub transport: TransportProtocol,
}

/// The provider's application databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAppData {
    /// All active receivers, whoever asked for them.
    pub receivers: Vec<Receiver>,
}

/// The requirer's application databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirerAppData {
    /// Names of the wanted protocols.
    pub receivers: Vec<String>,
}

/// What a requirer wants, as far as it can be understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    /// The protocols that are known.
    pub known: BTreeSet<Protocol>,
    /// The names that are not, sorted.
    pub unknown: Vec<String>,
}

/// Why a request could not be made or answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TracingError {
    /// The other side has not written its data yet.
    #[error("{relation}: the other side has not written its data yet")]
    NotReady {
        /// The relation.
        relation: RelationId,
    },
    /// The charm looks for a receiver that it never asked for.
    #[error("{endpoint}: protocol {protocol} is looked for, but was not requested")]
    ProtocolNotRequested {
        /// The local endpoint.
        endpoint: String,
        /// The protocol.
        protocol: Protocol,
    },
    /// The other side's data cannot be understood.
    #[error("{relation}: {reason}")]
    DataValidation {
        /// The relation.
        relation: RelationId,
        /// What is wrong with which key.
        reason: String,
    },
    /// Only the leader can write application databags.
    #[error("{endpoint}: only the leader can write the application's data")]
    DataAccessPermission {
        /// The local endpoint.
        endpoint: String,
    },
    /// "The" relation of an endpoint that may have several.
    #[error("{endpoint} may have more than one relation: say which with `on(&relation)`")]
    AmbiguousRelationUsage {
        /// The local endpoint.
        endpoint: String,
    },
    /// A request without protocols: it would look like one that was never made.
    #[error("{endpoint}: a request needs at least one protocol")]
    NothingRequested {
        /// The local endpoint.
        endpoint: String,
    },
    /// Juju did not answer.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

impl Protocol {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::JaegerGrpc, Self::JaegerThriftHttp, Self::OtlpGrpc, Self::OtlpHttp, Self::Zipkin];

    /// The name in databags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JaegerGrpc => "jaeger_grpc",
            Self::JaegerThriftHttp => "jaeger_thrift_http",
            Self::OtlpGrpc => "otlp_grpc",
            Self::OtlpHttp => "otlp_http",
            Self::Zipkin => "zipkin",
        }
    }

    /// What carries the protocol.
    pub const fn transport(self) -> TransportProtocol {
        match self {
            Self::JaegerGrpc | Self::OtlpGrpc => TransportProtocol::Grpc,
            Self::JaegerThriftHttp | Self::OtlpHttp | Self::Zipkin => TransportProtocol::Http,
        }
    }

    /// The protocol that a well-known wrong name stands for. It is not an alias: a requirer that uses the wrong name
    /// would not find the receiver under the right one.
    fn meant_by(name: &str) -> Option<Self> {
        (name == "jaeger_http_thrift").then_some(Self::JaegerThriftHttp)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, UnknownProtocol> {
        let unknown = || UnknownProtocol { name: shown(name), meant: Self::meant_by(name) };
        Self::ALL.into_iter().find(|protocol| protocol.name() == name).ok_or_else(unknown)
    }
}

impl fmt::Display for UnknownProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown protocol {}", self.name)?;
        self.meant.map_or(Ok(()), |meant| write!(f, " ({meant} is probably meant)"))
    }
}

impl ReceiverUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is before `://`; receivers for gRPC have nothing there.
    pub fn scheme(&self) -> Option<&str> {
        self.0.split_once("://").map(|(scheme, _)| scheme)
    }

    /// What is after the scheme and before any path: `host:port`.
    pub fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    }

    /// Whether the scheme says that the receiver speaks TLS.
    pub fn is_https(&self) -> bool {
        self.scheme().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }

    /// The URL of something below this one: `join("v1/traces")` is where OTLP over HTTP is posted to.
    #[must_use]
    pub fn join(&self, path: &str) -> Self {
        Self(format!("{}/{}", self.0.trim_end_matches('/'), path.trim_start_matches('/')))
    }
}

impl<T: Into<String>> From<T> for ReceiverUrl {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for ReceiverUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Receiver {
    /// A receiver of a known protocol.
    pub fn new(protocol: Protocol, url: impl Into<ReceiverUrl>) -> Self {
        let protocol = ProtocolType { name: protocol.name().to_owned(), transport: protocol.transport() };
        Self { protocol, url: url.into() }
    }
}

impl ProviderAppData {
    /// The list with these receivers, one per protocol, in the order of the protocols.
    pub fn new<U: Into<ReceiverUrl>>(receivers: impl IntoIterator<Item = (Protocol, U)>) -> Self {
        let sorted: BTreeMap<Protocol, U> = receivers.into_iter().collect();
        Self { receivers: sorted.into_iter().map(|(protocol, url)| Receiver::new(protocol, url)).collect() }
    }

    /// Where a protocol is received; the first place if there are several.
    pub fn url(&self, protocol: Protocol) -> Option<&ReceiverUrl> {
        let mut urls = self.receivers.iter().filter(|r| r.protocol.name == protocol.name()).map(|r| &r.url);
        let first = urls.next();
        if urls.next().is_some() {
            ::tracing::warn!("more than one {protocol} receiver is published: using the first");
        }
        first
    }
}

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &["receivers"];

    fn explain(bag: &Databag, error: &DatabagError) -> String {
        match (bag.contains_key("ingesters"), bag.contains_key("host")) {
            (true, _) => format!("{error} (the provider speaks version 0 of the interface: it is too old)"),
            (_, true) => format!("{error} (the provider speaks version 1 of the interface: it is too old)"),
            _ => error.to_string(),
        }
    }
}

impl RequirerAppData {
    /// The request for these protocols, in their order and each once.
    pub fn new(protocols: impl IntoIterator<Item = Protocol>) -> Self {
        let sorted: BTreeSet<Protocol> = protocols.into_iter().collect();
        Self { receivers: sorted.into_iter().map(|protocol| protocol.name().to_owned()).collect() }
    }

    /// What of it can be understood.
    pub fn requested(&self) -> Requested {
        let mut known = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        for name in &self.receivers {
            match name.parse() {
                Ok(protocol) => known.insert(protocol),
                Err(UnknownProtocol { .. }) => unknown.insert(name.clone()),
            };
        }
        Requested { known, unknown: unknown.into_iter().collect() }
    }
}

impl Wire for RequirerAppData {
    const KEYS: &'static [&'static str] = &["receivers"];

    fn explain(bag: &Databag, error: &DatabagError) -> String {
        if bag.contains_key("protocols") && !bag.contains_key("receivers") {
            format!("{error} (the requirer speaks version 1 of the interface: it is too old)")
        } else {
            error.to_string()
        }
    }
}

impl Requested {
    /// Reads a requirer's application databag.
    pub fn read(bag: Option<&Databag>) -> Remote<Self> {
        RequirerAppData::read(bag).map(|data| data.requested())
    }

    /// Whether there is something to act on: a known protocol, or nothing wanted at all.
    pub fn is_ready(&self) -> bool {
        !self.known.is_empty() || self.unknown.is_empty()
    }

    /// What is not understood, in words fit for a status message.
    pub fn problem(&self) -> Option<String> {
        if self.unknown.is_empty() {
            return None;
        }
        let names = list_shown(self.unknown.iter().map(String::as_str));
        let meant = self.unknown.iter().find_map(|name| Protocol::meant_by(name));
        let hint = meant.map(|meant| format!(" ({meant} is probably meant)")).unwrap_or_default();
        Some(format!("unknown protocol {names}{hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The databags of one relation, as text.
    const REQUEST: &str = r#"["jaeger_grpc", "otlp_http"]"#;
    const ANSWER: &str = concat!(
        r#"[{"protocol": {"name": "jaeger_grpc", "type": "grpc"}, "url": "traces.example.net:14250"}, "#,
        r#"{"protocol": {"name": "otlp_http", "type": "http"}, "url": "https://traces.example.net:4318"}]"#
    );

    fn requested(text: &str) -> Remote<Requested> {
        Requested::read(Some(&Databag::from([("receivers", text)])))
    }

    #[test]
    fn bytes_of_a_request() {
        let data = RequirerAppData::new([Protocol::OtlpHttp, Protocol::JaegerGrpc, Protocol::OtlpHttp]);
        assert_eq!(*data.write(), *Databag::from([("receivers", REQUEST)]));
        assert_eq!(RequirerAppData::read(Some(&data.write())), Remote::Ready(data));
        assert_eq!(RequirerAppData::default().write()["receivers"], "[]");
    }

    #[test]
    fn bytes_of_an_answer() {
        let receivers = [
            (Protocol::OtlpHttp, "https://traces.example.net:4318"),
            (Protocol::JaegerGrpc, "traces.example.net:14250"),
        ];
        let data = ProviderAppData::new(receivers);
        assert_eq!(*data.write(), *Databag::from([("receivers", ANSWER)]));
        assert_eq!(ProviderAppData::read(Some(&data.write())), Remote::Ready(data.clone()));
        assert_eq!(
            data.url(Protocol::OtlpHttp).map(ReceiverUrl::as_str),
            Some("https://traces.example.net:4318")
        );
        assert_eq!(data.url(Protocol::Zipkin), None);
    }

    #[test]
    fn names_are_those_of_the_wire() {
        for protocol in Protocol::ALL {
            assert_eq!(serde_json::to_string(&protocol).unwrap(), format!("\"{protocol}\""));
            assert_eq!(protocol.name().parse(), Ok(protocol));
        }
        assert!(Protocol::ALL.is_sorted_by_key(|protocol| protocol.name()));
        assert!(Protocol::ALL.is_sorted());
    }

    #[test]
    fn a_request_counts_for_the_names_that_are_known() {
        let Remote::Ready(mixed) = requested(r#"["otlp_grpc", "tempo", "jaeger_http_thrift", "tempo"]"#)
        else {
            panic!("not ready")
        };
        assert_eq!(mixed.known, BTreeSet::from([Protocol::OtlpGrpc]));
        assert_eq!(mixed.unknown, ["jaeger_http_thrift", "tempo"]);
        assert!(mixed.is_ready());
        assert_eq!(
            mixed.problem().unwrap(),
            "unknown protocol jaeger_http_thrift, tempo (jaeger_thrift_http is probably meant)"
        );
        let only_unknown = requested(r#"["jaeger_http_thrift"]"#).ok().unwrap();
        assert!(!only_unknown.is_ready());
    }

    #[test]
    fn wanting_nothing_is_ready_and_saying_nothing_is_not() {
        assert_eq!(requested("[]"), Remote::Ready(Requested::default()));
        assert!(Requested::default().is_ready());
        assert_eq!(Requested::read(None), Remote::Absent);
        assert_eq!(Requested::read(Some(&Databag::new())), Remote::Absent);
    }

    #[test]
    fn wrong_requests_say_what_is_wrong() {
        let reason = |text: &str| requested(text).reason().map(str::to_owned).unwrap();
        assert_eq!(reason("otlp_http"), "receivers: not valid JSON");
        assert_eq!(reason(r#"["otlp_http", 4]"#), "receivers: expected a string, found integer");
        assert_eq!(reason(ANSWER), "receivers: expected a string, found map");
        let old = Databag::from([("protocols", r#"["otlp_http"]"#)]);
        assert_eq!(
            Requested::read(Some(&old)).reason(),
            Some("receivers: missing (the requirer speaks version 1 of the interface: it is too old)")
        );
    }

    #[test]
    fn older_providers_are_not_ready_and_said_to_be_old() {
        let reason = |pairs: &[(&str, &str)]| {
            let bag: Databag = pairs.iter().copied().collect();
            ProviderAppData::read(Some(&bag)).reason().map(str::to_owned).unwrap()
        };
        assert_eq!(
            reason(&[
                ("host", r#""tempo.example""#),
                ("ingesters", r#"[{"protocol": "otlp_grpc", "port": 4317}]"#)
            ]),
            "receivers: missing (the provider speaks version 0 of the interface: it is too old)"
        );
        let v1 = reason(&[
            ("host", r#""tempo.example""#),
            ("receivers", r#"[{"protocol": "otlp_grpc", "port": 4317}]"#),
        ]);
        assert!(v1.ends_with("(the provider speaks version 1 of the interface: it is too old)"), "{v1}");
    }

    #[test]
    fn providers_may_know_more_than_we_do() {
        let text = r#"[{"protocol": {"name": "carrier_pigeon", "type": "http", "speed": 3}, "url": "coop:1", "x": []}]"#;
        let read =
            |text: &str| ProviderAppData::read(Some(&Databag::from([("receivers", text), ("extra", "{")])));
        assert_eq!(read(text).ok().unwrap().receivers[0].protocol.name, "carrier_pigeon");
        assert_eq!(read("[]"), Remote::Ready(ProviderAppData::default()));
        assert!(!read(&text.replace("http", "udp")).is_ready());
    }

    #[test]
    fn urls_keep_their_text() {
        let url = ReceiverUrl::from("HTTPS://Traces.example.net:4318/");
        assert_eq!(url.to_string(), "HTTPS://Traces.example.net:4318/");
        assert_eq!((url.scheme(), url.authority()), (Some("HTTPS"), "Traces.example.net:4318"));
        assert!(url.is_https());
        assert_eq!(url.join("/v1/traces").as_str(), "HTTPS://Traces.example.net:4318/v1/traces");
        let grpc = ReceiverUrl::from("traces.example.net:4317");
        assert_eq!((grpc.scheme(), grpc.authority()), (None, "traces.example.net:4317"));
        assert!(!grpc.is_https());
    }
}
