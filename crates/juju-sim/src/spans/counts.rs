//! What arrived at a sink.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Batch, Protocol};

/// Distinct tenants or services that are told apart; more are counted together as [`OTHERS`].
/// A sink must not grow with what strangers put into their headers.
const MAX_NAMES: usize = 256;
/// Traces that are remembered; older ones are forgotten.
const MAX_TRACES: usize = 1024;
/// Characters that are kept of a name.
const MAX_NAME_LENGTH: usize = 200;
/// Where names beyond [`MAX_NAMES`] are counted.
const OTHERS: &str = "(others)";

/// What arrived, by protocol. Every protocol with a receiver is present, also if nothing came.
pub type Counts = BTreeMap<Protocol, ProtocolCounts>;

/// What arrived by one protocol since the sink started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolCounts {
    /// Export requests that reached the receiver, valid or not.
    pub requests: u64,
    /// Spans in the valid requests.
    pub spans: u64,
    /// Requests that were answered with an error.
    pub invalid: u64,
    /// Valid requests by the value of their `X-Scope-OrgID` header; empty text where it was missing.
    pub tenants: BTreeMap<String, u64>,
    /// Spans by the name of their service; empty text where it was missing.
    pub services: BTreeMap<String, u64>,
}

/// A trace of which at least one span arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenTrace {
    /// Its identifier, 32 hexadecimal digits.
    pub trace_id: String,
    /// The service that first reported it.
    pub service: String,
    /// How it came.
    pub protocol: Protocol,
}

/// The counters of a running sink, shared by its connections.
#[derive(Debug)]
pub(crate) struct Ledger {
    multitenant: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    counts: Counts,
    spans_by_tenant: BTreeMap<String, u64>,
    traces: VecDeque<(u128, String, Protocol)>,
    known: HashSet<u128>,
}

impl Ledger {
    pub(crate) fn new(protocols: impl IntoIterator<Item = Protocol>, multitenant: bool) -> Self {
        let counts = protocols.into_iter().map(|protocol| (protocol, ProtocolCounts::default())).collect();
        Self { multitenant, inner: Mutex::new(Inner { counts, ..Inner::default() }) }
    }

    pub(crate) fn accepted(&self, protocol: Protocol, tenant: &str, batches: &[Batch]) {
        let mut inner = self.lock();
        let Inner { counts, spans_by_tenant, traces, known } = &mut *inner;
        let counts = counts.entry(protocol).or_default();
        counts.requests += 1;
        add(&mut counts.tenants, tenant, 1);
        for batch in batches {
            let spans = batch.spans.len() as u64;
            if spans == 0 {
                continue;
            }
            counts.spans += spans;
            add(&mut counts.services, &batch.service, spans);
            add(spans_by_tenant, if self.multitenant { tenant } else { "single-tenant" }, spans);
            for span in &batch.spans {
                if known.insert(span.trace_id) {
                    if traces.len() == MAX_TRACES
                        && let Some((oldest, ..)) = traces.pop_front()
                    {
                        known.remove(&oldest);
                    }
                    traces.push_back((span.trace_id, clip(&batch.service).to_owned(), protocol));
                }
            }
        }
    }

    pub(crate) fn refused(&self, protocol: Protocol) {
        let mut inner = self.lock();
        let counts = inner.counts.entry(protocol).or_default();
        counts.requests += 1;
        counts.invalid += 1;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    pub(crate) fn traces(&self) -> Vec<SeenTrace> {
        self.lock()
            .traces
            .iter()
            .map(|(id, service, protocol)| SeenTrace {
                trace_id: format!("{id:032x}"),
                service: service.clone(),
                protocol: *protocol,
            })
            .collect()
    }

    /// The counters in the text format of Prometheus, under the names that Tempo gives to its own.
    pub(crate) fn metrics(&self) -> String {
        let inner = self.lock();
        let mut text = String::from(
            "# HELP tempo_build_info What answers here.\n\
             # TYPE tempo_build_info gauge\n\
             tempo_build_info{revision=\"juju-sim\",version=\"2.10.0\"} 1\n\
             # HELP tempo_distributor_spans_received_total Spans received, by tenant.\n\
             # TYPE tempo_distributor_spans_received_total counter\n",
        );
        for (tenant, spans) in &inner.spans_by_tenant {
            let tenant = tenant.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = writeln!(text, "tempo_distributor_spans_received_total{{tenant=\"{tenant}\"}} {spans}");
        }
        text.push_str("# HELP tempo_receiver_accepted_spans Spans accepted, by receiver.\n");
        text.push_str("# TYPE tempo_receiver_accepted_spans counter\n");
        for (protocol, counts) in &inner.counts {
            let (receiver, transport) = labels(*protocol);
            let _ = writeln!(
                text,
                "tempo_receiver_accepted_spans{{receiver=\"{receiver}\",transport=\"{transport}\"}} {}",
                counts.spans
            );
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Counters are whole after every statement, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds to the count of a name, within the limits on names.
fn add(counts: &mut BTreeMap<String, u64>, name: &str, more: u64) {
    let name = clip(name);
    if let Some(count) = counts.get_mut(name) {
        *count += more;
    } else if counts.len() < MAX_NAMES {
        counts.insert(name.to_owned(), more);
    } else {
        *counts.entry(OTHERS.to_owned()).or_default() += more;
    }
}

fn clip(name: &str) -> &str {
    name.char_indices().nth(MAX_NAME_LENGTH).map_or(name, |(end, _)| &name[..end])
}

/// How Tempo labels a receiver and the way into it.
fn labels(protocol: Protocol) -> (&'static str, &'static str) {
    match protocol {
        Protocol::JaegerGrpc => ("jaeger/jaeger_receiver", "grpc"),
        Protocol::JaegerThriftHttp => ("jaeger/jaeger_receiver", "collector_http"),
        Protocol::OtlpGrpc => ("otlp/otlp_receiver", "grpc"),
        Protocol::OtlpHttp => ("otlp/otlp_receiver", "http"),
        Protocol::Zipkin => ("zipkin/zipkin_receiver", "http_v2_json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spans::Span;

    fn batch(service: &str, traces: std::ops::Range<u128>) -> Batch {
        let spans = traces.map(|trace_id| Span { trace_id, span_id: 1, ..Span::default() }).collect();
        Batch { service: service.to_owned(), resource: Vec::new(), spans }
    }

    #[test]
    fn what_strangers_name_cannot_grow_without_end() {
        let ledger = Ledger::new([Protocol::Zipkin], true);
        for n in 0..5_000_u128 {
            let name = format!("{n}-{}", "é".repeat(500));
            ledger.accepted(Protocol::Zipkin, &name, &[batch(&name, n + 1..n + 2)]);
        }
        let counts = &ledger.counts()[&Protocol::Zipkin];
        assert_eq!((counts.requests, counts.spans), (5_000, 5_000));
        assert_eq!((counts.tenants.len(), counts.services.len()), (MAX_NAMES + 1, MAX_NAMES + 1));
        assert_eq!(counts.services[OTHERS], 5_000 - MAX_NAMES as u64);
        assert!(counts.services.keys().all(|name| name.chars().count() <= MAX_NAME_LENGTH));
        let traces = ledger.traces();
        assert_eq!(traces.len(), MAX_TRACES);
        assert_eq!(traces.last().unwrap().trace_id, format!("{:032x}", 5_000));
    }

    #[test]
    fn metrics_carry_tempos_names() {
        let ledger = Ledger::new([Protocol::OtlpHttp, Protocol::Zipkin], true);
        ledger.accepted(Protocol::OtlpHttp, "a \"b\"", &[batch("shop", 1..4)]);
        let text = ledger.metrics();
        assert!(
            text.contains("\ntempo_distributor_spans_received_total{tenant=\"a \\\"b\\\"\"} 3\n"),
            "{text}"
        );
        let accepted =
            "tempo_receiver_accepted_spans{receiver=\"otlp/otlp_receiver\",transport=\"http\"} 3\n";
        assert!(text.contains(accepted), "{text}");
    }
}
