//! Real trace traffic: senders and receivers for the five protocols of the `tracing` relation.
//!
//! A simulated model proves little if no span ever crosses it. This module has both ends:
//!
//! * [`Sink`] stands where Tempo's receivers stand. It listens on their ports, decodes every payload,
//!   answers as they answer, and counts what arrived.
//! * [`send()`] stands where an instrumented workload stands. It takes a URL exactly as a coordinator publishes
//!   it, and exports spans to it with the retries of an OpenTelemetry exporter.
//! * [`steady()`] does so at an even rate in several protocols at once, until it is told to stop, and can try at the
//!   same time whether the same ports take plain text.
//! * [`fetch()`] stands where somebody looks at what a real Tempo made of the spans: it asks an HTTP API.
//!
//! Both ends speak TLS. A sender trusts the certificates of one file and nothing else.
//!
//! | [`Protocol`] | request | body | success |
//! |---|---|---|---|
//! | `otlp_http` | `POST /v1/traces` | OTLP as protobuf or JSON | 200 |
//! | `otlp_grpc` | `opentelemetry.proto.collector.trace.v1.TraceService/Export` | OTLP | status 0 |
//! | `zipkin` | `POST /api/v2/spans` | JSON list | 202 |
//! | `jaeger_thrift_http` | `POST /api/traces` | binary Thrift `Batch` | 202 |
//! | `jaeger_grpc` | `jaeger.api_v2.CollectorService/PostSpans` | protobuf | status 0 |
//!
//! The codecs meet in one model, [`Batch`] and [`Span`]. They read what strangers send: they return errors,
//! never panic, and need memory in proportion to the payload, whose size is limited before they see it.

mod body;
#[cfg(test)]
mod codec_tests;
mod config;
mod counts;
mod fetch;
mod grpc;
mod model;
mod protocol;
mod send;
mod sink;
mod steady;
mod thrift;
mod tls;

pub mod cli;
pub mod jaeger;
pub mod otlp;
pub mod zipkin;

pub use config::SinkConfig;
pub use counts::{Counts, ProtocolCounts, SeenTrace};
pub use fetch::{FetchConfig, Fetched, fetch};
pub use model::{Batch, Generator, Span};
pub use protocol::{Protocol, Transport, UnknownProtocol, default_port, export_path};
pub use send::{SendConfig, SendError, Sent, send};
pub use sink::{MAX_GRPC_MESSAGE, MAX_HTTP_BODY, Sink, SinkError};
pub use steady::{PROBE_SERVICE, PlainText, Steady, SteadyConfig, SteadyCounts, Trouble, steady};
pub use tls::{TlsError, TlsFiles};

/// A payload that its protocol does not allow. The text says what was wrong, not where it came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub(crate) String);

impl DecodeError {
    pub(crate) fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }
}
