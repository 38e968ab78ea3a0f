//! A trace as an export request of OTLP.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Status, status::StatusCode},
};
use prost::Message as _;

use crate::HookEnv;

use super::collect::{Trace, attribute};

/// What the hook was.
pub(super) struct About<'a> {
    pub(super) env: &'a HookEnv,
    /// Name of the event.
    pub(super) event: &'a str,
    /// What the agent ran (`JUJU_DISPATCH_PATH`); may be empty.
    pub(super) path: &'a str,
    /// Why it failed, if it did.
    pub(super) failed: Option<&'a str>,
}

/// The request with this one trace.
pub(super) fn encode(trace: Trace, about: &About<'_>) -> Vec<u8> {
    let Trace { mut spans, dropped_spans, dropped_events } = trace;
    if let Some(root) = spans.first_mut() {
        about.event.clone_into(&mut root.name);
        root.attributes.push(text("juju.event", about.event));
        if !about.path.is_empty() {
            root.attributes.push(text("juju.dispatch_path", about.path));
        }
        for (key, count) in [("juju.dropped_spans", dropped_spans), ("juju.dropped_events", dropped_events)] {
            if count > 0 {
                root.attributes.push(attribute(key, Value::IntValue(count.into())));
            }
        }
        if let Some(reason) = about.failed {
            root.status = Some(Status { code: StatusCode::Error.into(), message: reason.to_owned() });
        }
    }
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let resource = Resource { attributes: resource(about.env), ..Resource::default() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource), scope_spans, schema_url: String::new() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

/// Who sends it.
fn resource(env: &HookEnv) -> Vec<KeyValue> {
    let (unit, number) = (env.unit.to_string(), env.unit.number().to_string());
    let metadata = std::fs::read_to_string(env.charm_dir.join("metadata.yaml")).unwrap_or_default();
    let attributes = [
        ("service.name", env.app()),
        ("service.namespace", &env.model_uuid),
        ("service.instance.id", &number),
        ("juju_model", &env.model_name),
        ("juju_model_uuid", &env.model_uuid),
        ("juju_application", env.app()),
        ("juju_unit", &unit),
        ("juju_charm", charm(&metadata)),
    ];
    let known = attributes.into_iter().filter(|(_, value)| !value.is_empty());
    known.map(|(key, value)| text(key, value)).collect()
}

/// The name in a charm's `metadata.yaml`, which packed charms have: a plain word on a line of its own. The environment of a hook does not
/// tell it.
fn charm(metadata: &str) -> &str {
    let mut names = metadata.lines().filter_map(|line| line.strip_prefix("name:"));
    let name = names.next().unwrap_or_default();
    let name = name.split(" #").next().unwrap_or_default();
    name.trim().trim_matches(['"', '\''])
}
