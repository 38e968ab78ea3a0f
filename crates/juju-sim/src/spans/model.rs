//! What all protocols have in common: spans of a service.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// Spans that one service reports together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Name of the service; empty where the payload names none.
    pub service: String,
    /// Attributes of the service itself, without its name, in the order of the payload.
    pub resource: Vec<(String, String)>,
    /// The spans, in the order of the payload.
    pub spans: Vec<Span>,
}

/// One operation of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    /// Identifier of the trace. Never zero in a valid span.
    pub trace_id: u128,
    /// Identifier within the trace. Never zero in a valid span.
    pub span_id: u64,
    /// Identifier of the span that caused this one, in the same trace.
    pub parent_id: Option<u64>,
    /// Name of the operation.
    pub name: String,
    /// When it began, in nanoseconds since 1970. Zipkin and Jaeger carry whole microseconds.
    pub start: u64,
    /// How long it took, in nanoseconds, with the same loss.
    pub duration: u64,
    /// Attributes as text, in the order of the payload. Values of other types are written as JSON would.
    pub attributes: Vec<(String, String)>,
}

/// Number of spans in each generated trace, but for the last, which may be shorter.
const SPANS_PER_TRACE: u64 = 5;

/// Makes spans for one service: traces of a root and its children, with distinct identifiers.
///
/// Two generators with one seed and one clock reading make the same spans.
#[derive(Debug, Clone)]
pub struct Generator {
    service: String,
    resource: Vec<(String, String)>,
    state: u64,
    now: u64,
    made: u64,
    trace_id: u128,
    root_id: u64,
}

impl Generator {
    /// A generator for `service`. Without a `seed` the identifiers differ in every run.
    pub fn new(service: &str, resource: Vec<(String, String)>, seed: Option<u64>, now: SystemTime) -> Self {
        // The standard library seeds its hasher from the system: that is randomness enough for identifiers.
        let state = seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
        let micros = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let now = u64::try_from(micros).unwrap_or(u64::MAX / 1000).saturating_mul(1000);
        Self { service: service.to_owned(), resource, state, now, made: 0, trace_id: 0, root_id: 0 }
    }

    /// The next `count` spans. A trace may go on in the next batch.
    pub fn batch(&mut self, count: usize) -> Batch {
        let spans = (0..count).map(|_| self.span()).collect();
        Batch { service: self.service.clone(), resource: self.resource.clone(), spans }
    }

    fn span(&mut self) -> Span {
        let place = self.made % SPANS_PER_TRACE;
        let span_id = self.id();
        if place == 0 {
            self.trace_id = u128::from(self.id()) << 64 | u128::from(self.id());
            self.root_id = span_id;
        }
        let number = self.made;
        self.made += 1;
        let (name, parent_id, after, duration) = match place {
            0 => ("GET /checkout".to_owned(), None, 0, 50_000_000),
            n => (format!("step {n}"), Some(self.root_id), n * 8_000_000, 5_000_000),
        };
        Span {
            trace_id: self.trace_id,
            span_id,
            parent_id,
            name,
            start: self.now.saturating_add(after),
            duration,
            attributes: vec![("generator.number".to_owned(), number.to_string())],
        }
    }

    /// The `SplitMix64` generator: small, and well enough spread for identifiers. Zero means "no identifier", so it is skipped.
    fn id(&mut self) -> u64 {
        loop {
            self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^= mixed >> 31;
            if mixed != 0 {
                return mixed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_makes_the_same_spans_again() {
        let make = |seed| Generator::new("shop", Vec::new(), seed, UNIX_EPOCH).batch(20);
        assert_eq!(make(Some(7)), make(Some(7)));
        assert_ne!(make(Some(7)), make(Some(8)));
        assert_ne!(make(None), make(None));
    }

    #[test]
    fn traces_are_a_root_with_children_and_go_on_across_batches() {
        let mut generator = Generator::new("shop", Vec::new(), Some(1), UNIX_EPOCH);
        let spans: Vec<Span> = [3, 4, 3].into_iter().flat_map(|n| generator.batch(n).spans).collect();
        let traces: BTreeSet<u128> = spans.iter().map(|span| span.trace_id).collect();
        let ids: BTreeSet<u64> = spans.iter().map(|span| span.span_id).collect();
        assert_eq!((traces.len(), ids.len()), (2, 10));
        for trace in spans.chunks(5) {
            assert!(trace.iter().all(|span| span.trace_id == trace[0].trace_id));
            assert_eq!(trace[0].parent_id, None);
            assert!(trace[1..].iter().all(|span| span.parent_id == Some(trace[0].span_id)));
        }
    }
}
