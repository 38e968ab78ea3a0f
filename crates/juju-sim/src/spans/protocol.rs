//! The protocols by which spans travel.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A span protocol, spelled as the `tracing` relation spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Jaeger's collector over gRPC.
    JaegerGrpc,
    /// Jaeger's collector over HTTP with binary Thrift bodies.
    JaegerThriftHttp,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP.
    OtlpHttp,
    /// Zipkin's second JSON format.
    Zipkin,
}

/// How a protocol is carried. It decides the form of a published URL: `http` types are
/// `scheme://host:port`, `grpc` types are `host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// HTTP/1.1 requests.
    Http,
    /// gRPC, which is HTTP/2; without TLS by prior knowledge.
    Grpc,
}

impl Protocol {
    /// All protocols, in the order of their names.
    pub const ALL: [Self; 5] =
        [Self::JaegerGrpc, Self::JaegerThriftHttp, Self::OtlpGrpc, Self::OtlpHttp, Self::Zipkin];

    /// The name, for example `otlp_http`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JaegerGrpc => "jaeger_grpc",
            Self::JaegerThriftHttp => "jaeger_thrift_http",
            Self::OtlpGrpc => "otlp_grpc",
            Self::OtlpHttp => "otlp_http",
            Self::Zipkin => "zipkin",
        }
    }

    /// What carries it.
    pub const fn transport(self) -> Transport {
        match self {
            Self::JaegerGrpc | Self::OtlpGrpc => Transport::Grpc,
            Self::JaegerThriftHttp | Self::OtlpHttp | Self::Zipkin => Transport::Http,
        }
    }

    /// The TCP port at which Tempo's receiver for it listens by convention.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::JaegerGrpc => 14250,
            Self::JaegerThriftHttp => 14268,
            Self::OtlpGrpc => 4317,
            Self::OtlpHttp => 4318,
            Self::Zipkin => 9411,
        }
    }

    /// The path of the export request, with a leading slash. For gRPC it is `/service/method`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::JaegerGrpc => "/jaeger.api_v2.CollectorService/PostSpans",
            Self::JaegerThriftHttp => "/api/traces",
            Self::OtlpGrpc => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::OtlpHttp => "/v1/traces",
            Self::Zipkin => "/api/v2/spans",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A protocol name that is none of [`Protocol::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol {0:?}, expected one of: {names}", names = Protocol::ALL.map(Protocol::name).join(", "))]
pub struct UnknownProtocol(String);

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.name() == text)
            .ok_or_else(|| UnknownProtocol(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_in_every_notation() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.name().parse(), Ok(protocol));
            assert_eq!(serde_json::to_value(protocol).unwrap(), protocol.name());
        }
        assert!(
            "opencensus".parse::<Protocol>().unwrap_err().to_string().contains("jaeger_grpc, jaeger_thrift")
        );
    }

    #[test]
    fn all_is_sorted_by_name() {
        assert!(Protocol::ALL.is_sorted_by_key(|protocol| protocol.name()));
        assert!(Protocol::ALL.is_sorted());
    }
}
