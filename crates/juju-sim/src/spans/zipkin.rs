//! Zipkin's second format: a JSON list of spans, each naming its own service.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Batch, DecodeError, Span};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSpan<'a> {
    #[serde(borrow)]
    trace_id: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    parent_id: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    /// Microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    /// Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    local_endpoint: Option<Endpoint<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    tags: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    service_name: Option<Cow<'a, str>>,
}

/// The media type of the bodies.
pub const MEDIA_TYPE: &str = "application/json";

/// The spans as a JSON list.
///
/// The format has no place for attributes of the service, so they become tags of every span.
pub fn encode(batch: &Batch) -> Vec<u8> {
    let spans: Vec<WireSpan<'_>> = batch
        .spans
        .iter()
        .map(|span| WireSpan {
            trace_id: format!("{:032x}", span.trace_id).into(),
            id: format!("{:016x}", span.span_id).into(),
            parent_id: span.parent_id.map(|id| format!("{id:016x}").into()),
            name: Some(span.name.as_str().into()),
            timestamp: Some(span.start / 1000),
            duration: Some(span.duration / 1000),
            local_endpoint: Some(Endpoint { service_name: Some(batch.service.as_str().into()) }),
            tags: Some(
                batch
                    .resource
                    .iter()
                    .chain(&span.attributes)
                    .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
                    .collect(),
            ),
        })
        .collect();
    serde_json::to_vec(&spans).unwrap_or_default()
}

/// The spans of a JSON list, one batch for each run of spans with one service.
///
/// # Errors
/// The bytes are no such list, or an identifier is no hexadecimal number of at most 32 (trace) or 16 (span)
/// digits, or zero.
pub fn decode(bytes: &[u8]) -> Result<Vec<Batch>, DecodeError> {
    let wire: Vec<WireSpan<'_>> = serde_json::from_slice(bytes).map_err(DecodeError::new)?;
    let mut batches: Vec<Batch> = Vec::new();
    for span in wire {
        let service =
            span.local_endpoint.as_ref().and_then(|local| local.service_name.as_deref()).unwrap_or("");
        if batches.last().is_none_or(|last| last.service != service) {
            batches.push(Batch { service: service.to_owned(), ..Batch::default() });
        }
        let span = Span {
            trace_id: hex("traceId", &span.trace_id, 32)?,
            span_id: span_id("id", &span.id)?,
            parent_id: span.parent_id.as_deref().map(|id| span_id("parentId", id)).transpose()?,
            name: span.name.unwrap_or_default().into_owned(),
            start: span.timestamp.unwrap_or_default().saturating_mul(1000),
            duration: span.duration.unwrap_or_default().saturating_mul(1000),
            attributes: span
                .tags
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
        };
        if let Some(last) = batches.last_mut() {
            last.spans.push(span);
        }
    }
    Ok(batches)
}

fn span_id(field: &str, text: &str) -> Result<u64, DecodeError> {
    hex(field, text, 16).map(|id| u64::try_from(id).unwrap_or_default())
}

fn hex(field: &str, text: &str, digits: usize) -> Result<u128, DecodeError> {
    let plain = !text.is_empty() && text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = if plain { u128::from_str_radix(text, 16).unwrap_or_default() } else { 0 };
    if value == 0 {
        let shown: String = text.chars().take(40).collect();
        return Err(DecodeError(format!(
            "{field} must be 1 to {digits} hexadecimal digits and not zero, got {shown:?}"
        )));
    }
    Ok(value)
}
