//! Jaeger: one data model in two encodings, protobuf for gRPC and binary Thrift for HTTP.

use prost::Message;

use super::thrift::{Kind, Reader, Writer};
use super::{Batch, DecodeError, Span};

/// The media types under which collectors take binary Thrift; the first is what clients send.
pub const THRIFT_MEDIA_TYPES: [&str; 2] = ["application/x-thrift", "application/vnd.apache.thrift.binary"];

/// The messages of `jaeger.api_v2`, without the fields that nothing here looks at.
#[expect(clippy::struct_field_names, reason = "the names are the protocol's")]
mod wire {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct PostSpansRequest {
        #[prost(message, optional, tag = "1")]
        pub(super) batch: Option<Batch>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Batch {
        #[prost(message, repeated, tag = "1")]
        pub(super) spans: Vec<Span>,
        #[prost(message, optional, tag = "2")]
        pub(super) process: Option<Process>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Process {
        #[prost(string, tag = "1")]
        pub(super) service_name: String,
        #[prost(message, repeated, tag = "2")]
        pub(super) tags: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) span_id: Vec<u8>,
        #[prost(string, tag = "3")]
        pub(super) operation_name: String,
        #[prost(message, repeated, tag = "4")]
        pub(super) references: Vec<SpanRef>,
        #[prost(message, optional, tag = "6")]
        pub(super) start_time: Option<Moment>,
        #[prost(message, optional, tag = "7")]
        pub(super) duration: Option<Moment>,
        #[prost(message, repeated, tag = "8")]
        pub(super) tags: Vec<KeyValue>,
        #[prost(message, optional, tag = "10")]
        pub(super) process: Option<Process>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct SpanRef {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) span_id: Vec<u8>,
        /// 0 is "child of", 1 is "follows from".
        #[prost(int32, tag = "3")]
        pub(super) ref_type: i32,
    }

    /// `google.protobuf.Timestamp` and `Duration`, which look alike.
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Moment {
        #[prost(int64, tag = "1")]
        pub(super) seconds: i64,
        #[prost(int32, tag = "2")]
        pub(super) nanos: i32,
    }

    /// A tag; `v_type` says which of the values counts: string, bool, integer, float, bytes.
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct KeyValue {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(int32, tag = "2")]
        pub(super) v_type: i32,
        #[prost(string, tag = "3")]
        pub(super) v_str: String,
        #[prost(bool, tag = "4")]
        pub(super) v_bool: bool,
        #[prost(int64, tag = "5")]
        pub(super) v_int64: i64,
        #[prost(double, tag = "6")]
        pub(super) v_float64: f64,
        #[prost(bytes = "vec", tag = "7")]
        pub(super) v_binary: Vec<u8>,
    }
}

/// A `PostSpansRequest` with one batch.
pub fn encode_request(batch: &Batch) -> Vec<u8> {
    let process = wire::Process { service_name: batch.service.clone(), tags: tags(&batch.resource) };
    let spans = batch
        .spans
        .iter()
        .map(|span| wire::Span {
            trace_id: span.trace_id.to_be_bytes().to_vec(),
            span_id: span.span_id.to_be_bytes().to_vec(),
            operation_name: span.name.clone(),
            references: span
                .parent_id
                .map(|parent| wire::SpanRef {
                    trace_id: span.trace_id.to_be_bytes().to_vec(),
                    span_id: parent.to_be_bytes().to_vec(),
                    ref_type: 0,
                })
                .into_iter()
                .collect(),
            start_time: Some(moment(span.start)),
            duration: Some(moment(span.duration)),
            tags: tags(&span.attributes),
            process: None,
        })
        .collect();
    wire::PostSpansRequest { batch: Some(wire::Batch { spans, process: Some(process) }) }.encode_to_vec()
}

/// The batches of a `PostSpansRequest`: spans that name a process of their own come apart from the others.
///
/// # Errors
/// The bytes are no such message, or an identifier in it has the wrong length or is zero.
pub fn decode_request(bytes: &[u8]) -> Result<Vec<Batch>, DecodeError> {
    let request = wire::PostSpansRequest::decode(bytes).map_err(DecodeError::new)?;
    let wire = request.batch.unwrap_or_default();
    let mut batches = vec![batch(wire.process.unwrap_or_default())];
    for mut span in wire.spans {
        let own = span.process.take().map(batch);
        let span = read_span(span)?;
        match own {
            None => batches[0].spans.push(span),
            Some(mut own) => match batches.last_mut() {
                Some(last) if last.service == own.service && last.resource == own.resource => {
                    last.spans.push(span);
                }
                _ => {
                    own.spans.push(span);
                    batches.push(own);
                }
            },
        }
    }
    if batches.len() > 1 && batches[0].spans.is_empty() {
        batches.remove(0);
    }
    Ok(batches)
}

fn read_span(wire: wire::Span) -> Result<Span, DecodeError> {
    let trace_id = trace_id(&wire.trace_id)?;
    let parent_id = wire
        .references
        .iter()
        .find(|reference| reference.ref_type == 0 && reference.trace_id == wire.trace_id)
        .map(|parent| span_id(&parent.span_id))
        .transpose()?;
    Ok(Span {
        trace_id,
        span_id: span_id(&wire.span_id)?,
        parent_id,
        name: wire.operation_name,
        start: nanos(wire.start_time),
        duration: nanos(wire.duration),
        attributes: wire.tags.into_iter().map(tag).collect(),
    })
}

fn trace_id(bytes: &[u8]) -> Result<u128, DecodeError> {
    <[u8; 16]>::try_from(bytes).map(u128::from_be_bytes).ok().filter(|&id| id != 0).ok_or_else(|| {
        DecodeError(format!("trace ids must be 16 bytes and not zero, got {} bytes", bytes.len()))
    })
}

fn span_id(bytes: &[u8]) -> Result<u64, DecodeError> {
    <[u8; 8]>::try_from(bytes).map(u64::from_be_bytes).ok().filter(|&id| id != 0).ok_or_else(|| {
        DecodeError(format!("span ids must be 8 bytes and not zero, got {} bytes", bytes.len()))
    })
}

fn batch(process: wire::Process) -> Batch {
    Batch {
        service: process.service_name,
        resource: process.tags.into_iter().map(tag).collect(),
        spans: Vec::new(),
    }
}

fn tags(attributes: &[(String, String)]) -> Vec<wire::KeyValue> {
    attributes
        .iter()
        .map(|(key, value)| wire::KeyValue {
            key: key.clone(),
            v_str: value.clone(),
            ..wire::KeyValue::default()
        })
        .collect()
}

fn tag(wire: wire::KeyValue) -> (String, String) {
    let value = match wire.v_type {
        1 => wire.v_bool.to_string(),
        2 => wire.v_int64.to_string(),
        3 => wire.v_float64.to_string(),
        4 => hex(&wire.v_binary),
        _ => wire.v_str,
    };
    (wire.key, value)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

fn moment(nanos: u64) -> wire::Moment {
    wire::Moment {
        seconds: i64::try_from(nanos / NANOS_PER_SECOND).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos % NANOS_PER_SECOND).unwrap_or_default(),
    }
}

fn nanos(moment: Option<wire::Moment>) -> u64 {
    let moment = moment.unwrap_or_default();
    let seconds = u64::try_from(moment.seconds).unwrap_or_default();
    seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(u64::try_from(moment.nanos).unwrap_or_default())
}

/// A `Batch` in binary Thrift.
pub fn encode_thrift(batch: &Batch) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.nested(1, |process| {
        process.string(1, &batch.service);
        process.structs(2, &batch.resource, write_tag);
    });
    writer.structs(2, &batch.spans, |writer, span| {
        let [high, low] = halves(span.trace_id);
        writer.i64(1, low);
        writer.i64(2, high);
        writer.i64(3, span.span_id.cast_signed());
        writer.i64(4, span.parent_id.unwrap_or_default().cast_signed());
        writer.string(5, &span.name);
        writer.i32(7, SAMPLED);
        writer.i64(8, micros(span.start));
        writer.i64(9, micros(span.duration));
        writer.structs(10, &span.attributes, write_tag);
    });
    writer.finish()
}

/// The batch in binary Thrift.
///
/// # Errors
/// The bytes are no such struct, a required field is missing, or an identifier is zero.
pub fn decode_thrift(bytes: &[u8]) -> Result<Batch, DecodeError> {
    let mut reader = Reader::new(bytes);
    let (mut process, mut spans) = (None, None);
    while let Some(field) = reader.field()? {
        match field {
            (Kind::Struct, 1) => process = Some(read_process(&mut reader)?),
            (Kind::List, 2) => spans = Some(reader.structs(read_thrift_span)?),
            (kind, _) => reader.skip(kind)?,
        }
    }
    reader.end()?;
    let (service, resource) = required("Batch.process", process)?;
    Ok(Batch { service, resource, spans: required("Batch.spans", spans)? })
}

/// The flag of a span that is to be kept.
const SAMPLED: i32 = 1;

fn read_process(reader: &mut Reader<'_>) -> Result<(String, Vec<(String, String)>), DecodeError> {
    let (mut service, mut tags) = (None, Vec::new());
    while let Some(field) = reader.field()? {
        match field {
            (Kind::Bytes, 1) => service = Some(reader.string()?),
            (Kind::List, 2) => tags = reader.structs(read_tag)?,
            (kind, _) => reader.skip(kind)?,
        }
    }
    Ok((required("Process.serviceName", service)?, tags))
}

fn read_thrift_span(reader: &mut Reader<'_>) -> Result<Span, DecodeError> {
    let (mut low, mut high, mut id, mut parent) = (None, None, None, None);
    let (mut name, mut flags, mut start, mut duration) = (None, None, None, None);
    let mut attributes = Vec::new();
    while let Some(field) = reader.field()? {
        match field {
            (Kind::I64, 1) => low = Some(reader.i64()?),
            (Kind::I64, 2) => high = Some(reader.i64()?),
            (Kind::I64, 3) => id = Some(reader.i64()?),
            (Kind::I64, 4) => parent = Some(reader.i64()?),
            (Kind::Bytes, 5) => name = Some(reader.string()?),
            (Kind::I32, 7) => flags = Some(reader.i32()?),
            (Kind::I64, 8) => start = Some(reader.i64()?),
            (Kind::I64, 9) => duration = Some(reader.i64()?),
            (Kind::List, 10) => attributes = reader.structs(read_tag)?,
            (kind, _) => reader.skip(kind)?,
        }
    }
    required("Span.flags", flags)?;
    let trace_id = whole(required("Span.traceIdHigh", high)?, required("Span.traceIdLow", low)?);
    let span_id = required("Span.spanId", id)?.cast_unsigned();
    if trace_id == 0 || span_id == 0 {
        return Err(DecodeError("trace ids and span ids must not be zero".to_owned()));
    }
    Ok(Span {
        trace_id,
        span_id,
        parent_id: Some(required("Span.parentSpanId", parent)?.cast_unsigned()).filter(|&id| id != 0),
        name: required("Span.operationName", name)?,
        start: from_micros(required("Span.startTime", start)?),
        duration: from_micros(required("Span.duration", duration)?),
        attributes,
    })
}

fn read_tag(reader: &mut Reader<'_>) -> Result<(String, String), DecodeError> {
    let (mut key, mut kind_given, mut value) = (None, false, String::new());
    while let Some(field) = reader.field()? {
        match field {
            (Kind::Bytes, 1) => key = Some(reader.string()?),
            (Kind::I32, 2) => {
                reader.i32()?;
                kind_given = true;
            }
            (Kind::Bytes, 3) => value = reader.string()?,
            (Kind::Double, 4) => value = reader.double()?.to_string(),
            (Kind::Bool, 5) => value = reader.bool()?.to_string(),
            (Kind::I64, 6) => value = reader.i64()?.to_string(),
            (Kind::Bytes, 7) => value = hex(reader.bytes()?),
            (kind, _) => reader.skip(kind)?,
        }
    }
    required("Tag.vType", kind_given.then_some(()))?;
    Ok((required("Tag.key", key)?, value))
}

fn write_tag(writer: &mut Writer, (key, value): &(String, String)) {
    writer.string(1, key);
    // 0 says that the value is the text that follows.
    writer.i32(2, 0);
    writer.string(3, value);
}

fn required<T>(field: &str, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or_else(|| DecodeError(format!("required field {field} is missing")))
}

#[expect(clippy::cast_possible_truncation, reason = "each half is meant to be cut off")]
const fn halves(id: u128) -> [i64; 2] {
    [((id >> 64) as u64).cast_signed(), (id as u64).cast_signed()]
}

fn whole(high: i64, low: i64) -> u128 {
    u128::from(high.cast_unsigned()) << 64 | u128::from(low.cast_unsigned())
}

fn micros(nanos: u64) -> i64 {
    i64::try_from(nanos / 1000).unwrap_or(i64::MAX)
}

fn from_micros(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or_default().saturating_mul(1000)
}
