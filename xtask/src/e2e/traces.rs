//! What Tempo gives back: a trace as JSON, and what a search finds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Spans that were found, by the identifier of their trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found(BTreeMap<String, Spans>);

/// Spans of one trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Spans {
    distinct: u64,
    /// Further copies of spans that are there already.
    copies: u64,
}

impl Found {
    /// Takes over what Tempo answered for a trace; the last answer counts. `false` if it is no trace.
    pub(crate) fn take(&mut self, id: &str, answer: &str) -> bool {
        let Ok(trace) = serde_json::from_str::<Value>(answer) else { return false };
        let mut seen = BTreeSet::new();
        let mut spans = Spans::default();
        for span in spans_of(&trace) {
            // In this answer identifiers are base64; they need only differ.
            if seen.insert(span["spanId"].as_str().unwrap_or_default()) {
                spans.distinct += 1;
            } else {
                spans.copies += 1;
            }
        }
        let there = spans.distinct > 0;
        if there {
            self.0.insert(id.to_owned(), spans);
        }
        there
    }

    /// Spans of a trace that were found.
    pub(crate) fn of(&self, id: &str) -> u64 {
        self.0.get(id).map_or(0, |spans| spans.distinct)
    }

    /// Spans that were found in all traces.
    pub(crate) fn spans(&self) -> u64 {
        self.0.values().map(|spans| spans.distinct).sum()
    }

    /// Further copies of them.
    pub(crate) fn copies(&self) -> u64 {
        self.0.values().map(|spans| spans.copies).sum()
    }
}

/// All spans of a trace, as OTLP in JSON has them; Tempo calls the outermost list `batches` or `resourceSpans`.
fn spans_of(trace: &Value) -> impl Iterator<Item = &Value> {
    let trace = trace.get("trace").unwrap_or(trace);
    let batches = trace["batches"].as_array().or_else(|| trace["resourceSpans"].as_array());
    let scopes = batches.into_iter().flatten().flat_map(|batch| {
        let scopes = batch["scopeSpans"].as_array();
        scopes.or_else(|| batch["instrumentationLibrarySpans"].as_array()).into_iter().flatten()
    });
    scopes.flat_map(|scope| scope["spans"].as_array().into_iter().flatten())
}

/// The identifiers of the traces that a search answered with.
pub(crate) fn searched(answer: &str) -> Vec<String> {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let traces = answer["traces"].as_array().into_iter().flatten();
    traces.filter_map(|trace| trace["traceID"].as_str()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_counted_once_and_copies_apart() {
        let mut found = Found::default();
        let trace = r#"{"batches":[
            {"scopeSpans":[{"spans":[{"spanId":"YQ=="},{"spanId":"Yg=="}]}]},
            {"scopeSpans":[{"spans":[{"spanId":"YQ=="}]},{"spans":[]}]}]}"#;
        assert!(found.take("1", trace));
        assert!(
            found
                .take("2", r#"{"trace":{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"eA=="}]}]}]}}"#)
        );
        assert_eq!((found.spans(), found.copies(), found.of("1"), found.of("3")), (3, 1, 2, 0));
        // A later answer replaces an earlier one.
        assert!(found.take("2", trace));
        assert_eq!((found.spans(), found.copies()), (4, 2));
    }

    #[test]
    fn an_answer_without_spans_finds_nothing() {
        let mut found = Found::default();
        for answer in ["", "trace not found", "{}", r#"{"batches":[]}"#, r#"{"batches":[{"scopeSpans":7}]}"#]
        {
            assert!(!found.take("1", answer), "{answer}");
        }
        assert_eq!(found, Found::default());
    }

    #[test]
    fn a_search_gives_identifiers() {
        assert_eq!(
            searched(r#"{"traces":[{"traceID":"1f","rootServiceName":"a"},{"traceID":"20"}]}"#),
            ["1f", "20"]
        );
        assert_eq!(searched("nothing"), [""; 0]);
    }
}
