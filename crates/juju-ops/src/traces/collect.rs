//! Spans and events of this process, within bounds.

use std::{
    fmt::{self, Write as _},
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{
        Span, Status,
        span::{Event, SpanKind},
        status::StatusCode,
    },
};
use tracing::{
    Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{layer::Context, registry::LookupSpan};

use crate::{TraceParent, hook::lock, security};

/// Spans of one trace.
pub(crate) const SPANS: usize = 1000;
/// Of these, calls of hook tools and Pebbles: a charm with many relations makes thousands in one step, and the steps after it should show
/// too.
pub(crate) const CALLS: usize = SPANS / 4 * 3;
/// Bytes of one trace, about.
pub(crate) const BYTES: usize = 256 << 10;
/// Bytes of one text in it.
const TEXT: usize = 1 << 10;
/// What a span or event takes beside its texts, about.
const OVERHEAD: usize = 64;

/// What is collected in one process, once it is turned on.
pub(crate) struct Collector {
    on: AtomicBool,
    begun: (SystemTime, Instant),
    parent: Option<Parent>,
    ids: OnceLock<Ids>,
    collected: Mutex<Collected>,
}

/// The agent's span that this trace is below.
struct Parent {
    trace: [u8; 16],
    span: [u8; 8],
}

#[derive(Clone, Copy)]
struct Ids {
    trace: [u8; 16],
    seed: u64,
}

#[derive(Default)]
struct Collected {
    /// The root, then those that have begun since.
    spans: Vec<Span>,
    calls: usize,
    bytes: usize,
    dropped_spans: u32,
    dropped_events: u32,
}

/// A trace that is over, its root first.
pub(super) struct Trace {
    pub(super) spans: Vec<Span>,
    pub(super) dropped_spans: u32,
    pub(super) dropped_events: u32,
}

/// Where a span is among those collected.
#[derive(Clone, Copy)]
struct At(usize);

impl Collector {
    /// One that is off. The trace begins now.
    pub(crate) fn new(parent: Option<&TraceParent>) -> Self {
        let parent = parent.and_then(|parent| {
            Some(Parent { trace: bytes(&parent.trace_id)?, span: bytes(&parent.span_id)? })
        });
        Self {
            on: AtomicBool::new(false),
            begun: (SystemTime::now(), Instant::now()),
            parent,
            ids: OnceLock::new(),
            collected: Mutex::default(),
        }
    }

    /// Collects from here on.
    pub(crate) fn turn_on(&self) {
        let ids = *self.ids.get_or_init(|| Ids::random(self.parent.as_ref()));
        {
            let mut collected = lock(&self.collected);
            if !collected.spans.is_empty() {
                return;
            }
            collected.spans.push(Span {
                trace_id: ids.trace.into(),
                span_id: ids.span(0),
                parent_span_id: self.parent.as_ref().map(|parent| parent.span.into()).unwrap_or_default(),
                kind: SpanKind::Internal.into(),
                start_time_unix_nano: self.nanos(self.begun.1),
                ..Span::default()
            });
        }
        self.on.store(true, Ordering::Relaxed);
        // Whoever was told that nobody listens is to ask again.
        tracing::callsite::rebuild_interest_cache();
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Ends the trace; `None` if there is none.
    pub(super) fn finish(&self) -> Option<Trace> {
        if !self.on.swap(false, Ordering::Relaxed) {
            return None;
        }
        let now = self.nanos(Instant::now());
        let Collected { mut spans, dropped_spans, dropped_events, .. } =
            std::mem::take(&mut *lock(&self.collected));
        for span in &mut spans {
            // What still runs ends with the process.
            if span.end_time_unix_nano == 0 {
                span.end_time_unix_nano = now;
            }
        }
        Some(Trace { spans, dropped_spans, dropped_events })
    }

    /// Whether a place in the code should make its spans or events.
    pub(crate) fn wants(&self, metadata: &Metadata<'_>) -> bool {
        self.is_on() && *metadata.level() <= Level::INFO && metadata.target() != security::TARGET
    }

    /// A moment of this process, by one clock, so that no span ends before it begins.
    fn nanos(&self, moment: Instant) -> u64 {
        let (begun, instant) = self.begun;
        let time = begun + moment.saturating_duration_since(instant);
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// A span begins.
    pub(crate) fn begin<S>(&self, attributes: &Attributes<'_>, id: &Id, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let (true, Some(ids), Some(place)) = (self.is_on(), self.ids.get(), context.span(id)) else { return };
        let metadata = attributes.metadata();
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = place.scope().skip(1).find_map(|span| span.extensions().get::<At>().copied());
        let is_call = ["juju_ops", "juju_pebble"]
            .iter()
            .any(|ours| metadata.target().strip_prefix(ours).is_some_and(|rest| rest.starts_with("::")));
        let collected = &mut *lock(&self.collected);
        let full = collected.spans.len() >= SPANS || (is_call && collected.calls >= CALLS);
        if full || !collected.affords(metadata.name().len() + OVERHEAD) {
            collected.dropped_spans += 1;
            return;
        }
        collected.calls += usize::from(is_call);
        let at = collected.spans.len();
        collected.spans.push(Span {
            trace_id: ids.trace.into(),
            span_id: ids.span(at),
            parent_span_id: ids.span(parent.map_or(0, |At(parent)| parent)),
            name: metadata.name().to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: self.nanos(Instant::now()),
            ..Span::default()
        });
        collected.learn(at, fields);
        place.extensions_mut().insert(At(at));
    }

    /// A span learns more about itself.
    pub(crate) fn record<S>(&self, id: &Id, values: &Record<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Some(place) = context.span(id).filter(|_| self.is_on()) else { return };
        if let Some(At(at)) = place.extensions().get::<At>().copied() {
            let mut fields = Fields::default();
            values.record(&mut fields);
            lock(&self.collected).learn(at, fields);
        }
    }

    /// Something happens in a span.
    pub(crate) fn event<S>(&self, event: &tracing::Event<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let scope = context.event_scope(event);
        let at = scope.into_iter().flatten().find_map(|span| span.extensions().get::<At>().copied());
        let at = at.map_or(0, |At(at)| at);
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.take("message");
        let Fields(mut attributes) = fields;
        let level = *event.metadata().level();
        let now = self.nanos(Instant::now());
        let collected = &mut *lock(&self.collected);
        let size = attributes.iter().map(size).sum::<usize>() + message.len() + OVERHEAD;
        let affords = collected.affords(size);
        // None between the end of a trace and that of the process.
        let Some(span) = collected.spans.get_mut(at) else { return };
        if level == Level::ERROR {
            span.status = Some(Status { code: StatusCode::Error.into(), message: message.clone() });
        }
        if affords {
            attributes.push(attribute("level", Value::StringValue(level.as_str().into())));
            span.events.push(Event {
                time_unix_nano: now,
                name: message,
                attributes,
                dropped_attributes_count: 0,
            });
        } else {
            span.dropped_events_count += 1;
            collected.dropped_events += 1;
        }
    }

    /// A span is over.
    pub(crate) fn end<S>(&self, id: &Id, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Some(place) = context.span(id).filter(|_| self.is_on()) else { return };
        if let Some(At(at)) = place.extensions().get::<At>().copied()
            && let Some(span) = lock(&self.collected).spans.get_mut(at)
        {
            span.end_time_unix_nano = self.nanos(Instant::now());
        }
    }
}

impl Collected {
    /// Takes so many bytes of those that are left.
    fn affords(&mut self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= BYTES;
        self.bytes += if fits { bytes } else { 0 };
        fits
    }

    /// What a span says about itself.
    fn learn(&mut self, at: usize, Fields(fields): Fields) {
        for field in fields {
            let affords = self.affords(size(&field));
            let Some(span) = self.spans.get_mut(at) else { return };
            match field.key.as_str() {
                _ if !affords => span.dropped_attributes_count += 1,
                "otel.name" => span.name = text(field).unwrap_or_default(),
                "otel.kind" => span.kind = kind(&text(field).unwrap_or_default()).into(),
                "otel.status_code" => {
                    let is_error = text(field).is_some_and(|code| code.eq_ignore_ascii_case("error"));
                    let code = if is_error { StatusCode::Error } else { StatusCode::Ok };
                    span.status.get_or_insert_default().code = code.into();
                }
                "otel.status_description" => {
                    span.status.get_or_insert_default().message = text(field).unwrap_or_default();
                }
                _ => span.attributes.push(field),
            }
        }
    }
}

impl Ids {
    /// The standard library's hash maps have keys from the system's source of randomness.
    fn random(parent: Option<&Parent>) -> Self {
        let random = |number: u64| RandomState::new().hash_one(number);
        let new = || (u128::from(random(0)) << 64 | u128::from(random(1))).max(1).to_be_bytes();
        Self { trace: parent.map_or_else(new, |parent| parent.trace), seed: random(2) }
    }

    /// Different for each span, since it steps by an odd number.
    fn span(&self, at: usize) -> Vec<u8> {
        let id = self.seed.wrapping_add((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Of all, zero means none.
        if id == 0 { u64::MAX } else { id }.to_be_bytes().into()
    }
}

/// Hexadecimal digits as bytes; `None` if they are not so many, or all zero.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(0..) {
        *byte = u8::from_str_radix(digits.get(2 * pair..2 * pair + 2)?, 16).ok()?;
    }
    (bytes != [0; N]).then_some(bytes)
}

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn size(attribute: &KeyValue) -> usize {
    let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
    attribute.key.len() + if let Some(Value::StringValue(text)) = value { text.len() } else { 8 } + 8
}

/// A text that stops growing.
#[derive(Default)]
struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.floor_char_boundary(TEXT - self.0.len());
        self.0.push_str(&text[..end]);
        // An error ends the formatting.
        if end == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

fn short(value: &dyn fmt::Debug) -> String {
    let mut text = Short::default();
    let _ = write!(text, "{value:?}");
    text.0
}

/// Fields as attributes, the long ones cut. They are read before anything is locked: to show a value, its own code is run.
#[derive(Default)]
struct Fields(Vec<KeyValue>);

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        self.0.push(attribute(field.name(), value));
    }

    /// Takes out the text of a field; empty if there is none.
    fn take(&mut self, name: &str) -> String {
        let Some(at) = self.0.iter().position(|field| field.key == name) else { return String::new() };
        text(self.0.remove(at)).unwrap_or_default()
    }
}

fn text(attribute: KeyValue) -> Option<String> {
    match attribute.value?.value? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, Value::StringValue(short(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::StringValue(value[..value.floor_char_boundary(TEXT)].to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::BoolValue(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::IntValue(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, Value::DoubleValue(value));
    }
}

fn kind(word: &str) -> SpanKind {
    let kinds = [
        ("client", SpanKind::Client),
        ("server", SpanKind::Server),
        ("producer", SpanKind::Producer),
        ("consumer", SpanKind::Consumer),
    ];
    let found = kinds.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
    found.map_or(SpanKind::Internal, |(_, kind)| kind)
}
