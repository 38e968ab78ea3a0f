//! What a trace tells of a hook tool: names, and never a value.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use tracing::{Span, field::Empty};

use super::{ToolCall, ToolOutput, TransportError};

/// The span of a call.
pub(crate) fn of(call: &ToolCall) -> Span {
    let span = tracing::info_span!(
        "hook-tool",
        otel.name = call.tool,
        otel.kind = "client",
        otel.status_code = Empty,
        juju.relation = Empty,
        juju.scope = Empty,
        juju.endpoint = Empty,
        juju.of = Empty,
        juju.keys = Empty,
        juju.exit = Empty,
    );
    if !span.is_disabled() {
        describe(&span, call);
    }
    span
}

/// Only what is known to be a name is told.
fn describe(span: &Span, call: &ToolCall) {
    let mut words = call.args.split(|word| word == "--");
    let flags = words.next().unwrap_or_default();
    let positional = words.next().unwrap_or_default();
    let is_relation = matches!(call.tool, "relation-get" | "relation-set" | "relation-list");
    if is_relation && let Some(relation) = flags.iter().skip_while(|word| *word != "-r").nth(1) {
        span.record("juju.relation", relation.as_str());
    }
    if matches!(call.tool, "relation-get" | "relation-set") {
        span.record("juju.scope", if flags.iter().any(|word| word == "--app") { "app" } else { "unit" });
    }
    match (call.tool, positional) {
        ("relation-ids" | "network-get", [endpoint, ..]) => {
            span.record("juju.endpoint", endpoint.as_str());
        }
        ("relation-get", [_, of, ..]) => {
            span.record("juju.of", of.as_str());
        }
        ("state-delete", [key, ..]) => {
            span.record("juju.keys", key.as_str());
        }
        ("relation-set" | "state-set", _) => {
            let written = call.stdin.as_deref().and_then(|stdin| serde_json::from_slice::<Keys>(stdin).ok());
            span.record("juju.keys", written.map(|Keys(keys)| keys.join(",")));
        }
        _ => {}
    }
}

/// The keys of an object.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some((key, IgnoredAny)) = map.next_entry()? {
            self.0.push(key);
        }
        Ok(self)
    }
}

/// How the call ended.
pub(crate) fn ends(span: &Span, result: &Result<ToolOutput, TransportError>) {
    let exit = match result {
        Ok(ToolOutput { code: 0, .. }) => "done",
        Ok(ToolOutput { code: 2, .. }) => "bad command line",
        Ok(_) => "refused",
        Err(TransportError::Missing) => "no such tool",
        Err(TransportError::Start(_)) => "not started",
        Err(TransportError::Killed) => "killed",
        Err(TransportError::Io(_)) => "lost",
    };
    span.record("juju.exit", exit);
    if exit != "done" {
        span.record("otel.status_code", "ERROR");
    }
}
