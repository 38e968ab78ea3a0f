//! OTLP: one message, in protobuf for both transports, or in JSON over HTTP.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as WireSpan, span::SpanKind};
use prost::Message;

use super::{Batch, DecodeError, Span};

/// The two encodings of OTLP over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Encoding {
    /// The media type that names it.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// The resource attribute that names the service.
const SERVICE_NAME: &str = "service.name";

/// An export request with one batch.
pub fn encode(batch: &Batch, encoding: Encoding) -> Vec<u8> {
    let request = ExportTraceServiceRequest { resource_spans: vec![resource_spans(batch)] };
    match encoding {
        Encoding::Protobuf => request.encode_to_vec(),
        Encoding::Json => json(&request),
    }
}

/// The batches of an export request: one for each resource in it, also if it has no spans.
///
/// # Errors
/// The bytes are no export request, or an identifier in it has the wrong length or is zero, which Tempo's
/// distributor refuses as well.
pub fn decode(bytes: &[u8], encoding: Encoding) -> Result<Vec<Batch>, DecodeError> {
    let request: ExportTraceServiceRequest = match encoding {
        Encoding::Protobuf => Message::decode(bytes).map_err(DecodeError::new)?,
        Encoding::Json => serde_json::from_slice(bytes).map_err(DecodeError::new)?,
    };
    request.resource_spans.into_iter().map(batch).collect()
}

/// What a receiver says when it took all spans.
///
/// Collectors always write the "partial success" part, empty when nothing was refused; so does this.
pub fn success(encoding: Encoding) -> Vec<u8> {
    let response = ExportTraceServiceResponse { partial_success: Some(ExportTracePartialSuccess::default()) };
    match encoding {
        Encoding::Protobuf => response.encode_to_vec(),
        Encoding::Json => br#"{"partialSuccess":{}}"#.to_vec(),
    }
}

/// What the answer to an accepted request says about refused spans: their number and the reason.
///
/// # Errors
/// The bytes are no export response.
pub fn rejected(bytes: &[u8]) -> Result<Option<(u64, String)>, DecodeError> {
    let response = ExportTraceServiceResponse::decode(bytes).map_err(DecodeError::new)?;
    let partial = response.partial_success.unwrap_or_default();
    Ok(u64::try_from(partial.rejected_spans)
        .ok()
        .filter(|&count| count > 0)
        .map(|count| (count, partial.error_message)))
}

/// The body of an HTTP error: a `google.rpc.Status` with its code and message, in the encoding of the request.
pub fn error_status(code: i32, message: &str, encoding: Encoding) -> Vec<u8> {
    #[derive(Clone, PartialEq, Message)]
    struct Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
    }
    match encoding {
        Encoding::Protobuf => Status { code, message: message.to_owned() }.encode_to_vec(),
        Encoding::Json => json(&serde_json::json!({ "code": code, "message": message })),
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn resource_spans(batch: &Batch) -> ResourceSpans {
    let mut attributes = vec![key_value(SERVICE_NAME, &batch.service)];
    attributes.extend(batch.resource.iter().map(|(key, value)| key_value(key, value)));
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "juju-sim".to_owned(),
                ..InstrumentationScope::default()
            }),
            spans: batch.spans.iter().map(wire_span).collect(),
            schema_url: String::new(),
        }],
        schema_url: String::new(),
    }
}

fn wire_span(span: &Span) -> WireSpan {
    WireSpan {
        trace_id: span.trace_id.to_be_bytes().to_vec(),
        span_id: span.span_id.to_be_bytes().to_vec(),
        parent_span_id: span.parent_id.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        name: span.name.clone(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.start.saturating_add(span.duration),
        attributes: span.attributes.iter().map(|(key, value)| key_value(key, value)).collect(),
        ..WireSpan::default()
    }
}

fn key_value(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    }
}

fn batch(wire: ResourceSpans) -> Result<Batch, DecodeError> {
    let mut batch = Batch::default();
    for attribute in wire.resource.unwrap_or_default().attributes {
        let (key, value) = text(attribute);
        if key == SERVICE_NAME { batch.service = value } else { batch.resource.push((key, value)) }
    }
    batch.spans =
        wire.scope_spans.into_iter().flat_map(|scope| scope.spans).map(span).collect::<Result<_, _>>()?;
    Ok(batch)
}

fn span(wire: WireSpan) -> Result<Span, DecodeError> {
    let parent_id = if wire.parent_span_id.is_empty() { None } else { Some(span_id(&wire.parent_span_id)?) };
    Ok(Span {
        trace_id: <[u8; 16]>::try_from(wire.trace_id.as_slice())
            .map(u128::from_be_bytes)
            .ok()
            .filter(|&id| id != 0)
            .ok_or_else(|| {
                DecodeError(format!(
                    "trace ids must be 16 bytes and not zero, got {} bytes",
                    wire.trace_id.len()
                ))
            })?,
        span_id: span_id(&wire.span_id)?,
        parent_id,
        name: wire.name,
        start: wire.start_time_unix_nano,
        duration: wire.end_time_unix_nano.saturating_sub(wire.start_time_unix_nano),
        attributes: wire.attributes.into_iter().map(text).collect(),
    })
}

fn span_id(bytes: &[u8]) -> Result<u64, DecodeError> {
    <[u8; 8]>::try_from(bytes).map(u64::from_be_bytes).ok().filter(|&id| id != 0).ok_or_else(|| {
        DecodeError(format!("span ids must be 8 bytes and not zero, got {} bytes", bytes.len()))
    })
}

fn text(attribute: KeyValue) -> (String, String) {
    let value = match attribute.value.and_then(|value| value.value) {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(other) => serde_json::to_string(&other).unwrap_or_default(),
    };
    (attribute.key, value)
}
