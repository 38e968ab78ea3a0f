//! The protocols by which spans travel, as the `tracing` relation names them, and what they are on the wire.

pub use juju_relations::tracing::{Protocol, TransportProtocol as Transport, UnknownProtocol};

/// The TCP port at which Tempo's receiver for a protocol listens by convention.
pub const fn default_port(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::JaegerGrpc => 14250,
        Protocol::JaegerThriftHttp => 14268,
        Protocol::OtlpGrpc => 4317,
        Protocol::OtlpHttp => 4318,
        Protocol::Zipkin => 9411,
    }
}

/// The path of a protocol's export request, with a leading slash. For gRPC it is `/service/method`.
pub const fn export_path(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::JaegerGrpc => "/jaeger.api_v2.CollectorService/PostSpans",
        Protocol::JaegerThriftHttp => "/api/traces",
        Protocol::OtlpGrpc => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Protocol::OtlpHttp => "/v1/traces",
        Protocol::Zipkin => "/api/v2/spans",
    }
}
