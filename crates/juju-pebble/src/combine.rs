//! How layers make a plan, and when two plans mean the same.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{Check, ExecCheck, HttpCheck, Layer, LogTarget, Override, Service, TcpCheck, wire::duration};

/// Failures in a row that make a check `down`.
const DEFAULT_THRESHOLD: u32 = 3;

impl Layer {
    /// Puts `layer` on top of this one, entry by entry as its `override` says, as the daemon does.
    pub fn combine(&mut self, layer: &Layer) {
        self.summary.clone_from(&layer.summary);
        self.description.clone_from(&layer.description);
        combine(&mut self.services, &layer.services, |entry| entry.override_, Service::merge);
        combine(&mut self.checks, &layer.checks, |entry| entry.override_, Check::merge);
        combine(&mut self.log_targets, &layer.log_targets, |entry| entry.override_, LogTarget::merge);
        for check in self.checks.values_mut() {
            // The one default that the daemon writes into what it combines, where it then counts as set.
            check.threshold.get_or_insert(DEFAULT_THRESHOLD);
        }
    }

    /// Whether this plan is what it would be with `layer` on top: then adding the layer is needless.
    ///
    /// It can be needed nevertheless when a later layer has other entries of the same names: then no
    /// layer below brings about what this one says.
    pub fn has(&self, layer: &Layer) -> bool {
        let mut with = self.clone();
        with.combine(layer);
        self.same_as(&with)
    }

    /// Whether both make the daemon do the same.
    ///
    /// Defaults left out equal defaults written down, `60s` equals `1m0s`, the order of dependencies is
    /// of no interest, and neither is `override`, or the summary and description of the layer itself.
    pub fn same_as(&self, other: &Layer) -> bool {
        fn same<T>(left: &BTreeMap<String, T>, right: &BTreeMap<String, T>, normal: fn(&T) -> Value) -> bool {
            left.len() == right.len()
                && left.iter().zip(right).all(|((left_name, left), (right_name, right))| {
                    left_name == right_name && normal(left) == normal(right)
                })
        }
        same(&self.services, &other.services, normal_service)
            && same(&self.checks, &other.checks, normal_check)
            && same(&self.log_targets, &other.log_targets, normal_log_target)
    }
}

fn combine<T: Clone>(
    into: &mut BTreeMap<String, T>,
    from: &BTreeMap<String, T>,
    how: fn(&T) -> Override,
    merge: fn(&mut T, &T),
) {
    for (name, entry) in from {
        match into.get_mut(name) {
            Some(old) if how(entry) == Override::Merge => merge(old, entry),
            _ => {
                into.insert(name.clone(), entry.clone());
            }
        }
    }
}

impl Service {
    fn merge(&mut self, from: &Self) {
        text(&mut self.command, &from.command);
        text(&mut self.summary, &from.summary);
        text(&mut self.description, &from.description);
        option(&mut self.startup, from.startup.as_ref());
        self.after.extend_from_slice(&from.after);
        self.before.extend_from_slice(&from.before);
        self.requires.extend_from_slice(&from.requires);
        keys(&mut self.environment, &from.environment);
        text(&mut self.user, &from.user);
        option(&mut self.user_id, from.user_id.as_ref());
        text(&mut self.group, &from.group);
        option(&mut self.group_id, from.group_id.as_ref());
        text(&mut self.working_dir, &from.working_dir);
        text(&mut self.on_success, &from.on_success);
        text(&mut self.on_failure, &from.on_failure);
        keys(&mut self.on_check_failure, &from.on_check_failure);
        text(&mut self.kill_delay, &from.kill_delay);
        keys(&mut self.other, &from.other);
    }
}

impl Check {
    fn merge(&mut self, from: &Self) {
        option(&mut self.level, from.level.as_ref());
        option(&mut self.startup, from.startup.as_ref());
        text(&mut self.period, &from.period);
        text(&mut self.timeout, &from.timeout);
        option(&mut self.threshold, from.threshold.as_ref());
        if let Some(HttpCheck { url, headers }) = &from.http {
            let http = self.http.get_or_insert_default();
            text(&mut http.url, url);
            keys(&mut http.headers, headers);
        }
        if let Some(TcpCheck { port, host }) = &from.tcp {
            let tcp = self.tcp.get_or_insert_default();
            if *port != 0 {
                tcp.port = *port;
            }
            text(&mut tcp.host, host);
        }
        if let Some(ExecCheck { command, service_context, environment, other }) = &from.exec {
            let exec = self.exec.get_or_insert_default();
            text(&mut exec.command, command);
            text(&mut exec.service_context, service_context);
            keys(&mut exec.environment, environment);
            keys(&mut exec.other, other);
        }
        keys(&mut self.other, &from.other);
    }
}

impl LogTarget {
    fn merge(&mut self, from: &Self) {
        text(&mut self.type_, &from.type_);
        text(&mut self.location, &from.location);
        self.services.extend_from_slice(&from.services);
        keys(&mut self.labels, &from.labels);
    }
}

fn text(into: &mut String, from: &str) {
    if !from.is_empty() {
        from.clone_into(into);
    }
}

fn option<T: Clone>(into: &mut Option<T>, from: Option<&T>) {
    if let Some(value) = from {
        *into = Some(value.clone());
    }
}

fn keys<V: Clone>(into: &mut BTreeMap<String, V>, from: &BTreeMap<String, V>) {
    into.extend(from.iter().map(|(key, value)| (key.clone(), value.clone())));
}

fn normal_service(service: &Service) -> Value {
    let mut entry = bare(service);
    defaults(
        &mut entry,
        &[
            ("startup", json!("disabled")),
            ("on-success", json!("restart")),
            ("on-failure", json!("restart")),
            ("backoff-delay", json!("500ms")),
            ("backoff-factor", json!(2.0)),
            ("backoff-limit", json!("30s")),
            ("kill-delay", json!("5s")),
        ],
    );
    nanoseconds(&mut entry, &["backoff-delay", "backoff-limit", "kill-delay"]);
    for key in ["after", "before", "requires"] {
        if let Some(Value::Array(names)) = entry.get_mut(key) {
            names.sort_by(|left, right| left.as_str().cmp(&right.as_str()));
            names.dedup();
        }
    }
    Value::Object(entry)
}

fn normal_check(check: &Check) -> Value {
    let mut entry = bare(check);
    defaults(
        &mut entry,
        &[
            ("startup", json!("enabled")),
            ("period", json!("10s")),
            ("threshold", json!(f64::from(DEFAULT_THRESHOLD))),
        ],
    );
    nanoseconds(&mut entry, &["period", "timeout"]);
    // The default is 3 s, but never more than the period.
    let period = entry.get("period").and_then(Value::as_f64).unwrap_or(3e9);
    defaults(&mut entry, &[("timeout", json!(period.min(3e9)))]);
    if let Some(Value::Object(tcp)) = entry.get_mut("tcp") {
        defaults(tcp, &[("host", json!("localhost"))]);
    }
    Value::Object(entry)
}

fn normal_log_target(target: &LogTarget) -> Value {
    let mut entry = bare(target);
    if let Some(Value::Array(services)) = entry.get_mut("services") {
        // The last word on a service counts, so an entry said again later is needless.
        let mut kept = Vec::new();
        for service in services.drain(..).rev() {
            if !kept.contains(&service) {
                kept.push(service);
            }
        }
        *services = kept;
    }
    Value::Object(entry)
}

/// The keys that are set, but for `override`; numbers all of one kind.
fn bare(entry: &impl Serialize) -> Map<String, Value> {
    let Ok(Value::Object(mut entry)) = serde_json::to_value(entry) else { return Map::new() };
    entry.remove("override");
    for value in entry.values_mut() {
        one_kind_of_number(value);
    }
    entry.retain(|_, value| !is_empty(value));
    entry
}

fn one_kind_of_number(value: &mut Value) {
    match value {
        Value::Number(number) => *value = json!(number.as_f64()),
        Value::Array(values) => values.iter_mut().for_each(one_kind_of_number),
        Value::Object(entry) => entry.values_mut().for_each(one_kind_of_number),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(entry) => entry.is_empty(),
        _ => false,
    }
}

fn defaults(entry: &mut Map<String, Value>, defaults: &[(&str, Value)]) {
    for (key, value) in defaults {
        if !entry.contains_key(*key) {
            entry.insert((*key).to_owned(), value.clone());
        }
    }
}

fn nanoseconds(entry: &mut Map<String, Value>, keys: &[&str]) {
    for key in keys {
        if let Some(value) = entry.get_mut(*key)
            && let Some(nanos) = value.as_str().and_then(duration::from_go)
        {
            *value = json!(nanos).as_f64().into();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Layer;

    fn layer(text: &str) -> Layer {
        Layer::from_yaml(text).unwrap()
    }

    #[track_caller]
    fn check_same(left: &str, right: &str, expected: bool) {
        assert_eq!(layer(left).same_as(&layer(right)), expected, "{left}\n{right}");
        assert_eq!(layer(right).same_as(&layer(left)), expected, "{left}\n{right}");
    }

    #[test]
    fn defaults_need_not_be_written() {
        check_same(
            "services: {a: {override: replace, command: x}}",
            "{summary: s, services: {a: {override: merge, command: x, startup: disabled, kill-delay: 5s, backoff-factor: 2}}}",
            true,
        );
        check_same(
            "checks: {a: {override: replace, period: 1s, tcp: {port: 1}}}",
            "checks: {a: {override: replace, timeout: 1000ms, startup: enabled, threshold: 3, period: 1s, tcp: {port: 1, host: localhost}}}",
            true,
        );
        check_same(
            "checks: {a: {override: replace, tcp: {port: 1}}}",
            "checks: {a: {override: replace, timeout: 3s, period: 10s, tcp: {port: 1}}}",
            true,
        );
    }

    #[test]
    fn spelling_does_not_count() {
        check_same(
            "services: {a: {command: x, after: [b, c], kill-delay: 60s}}",
            "services: {a: {command: x, after: [c, b, c], kill-delay: 1m0s}}",
            true,
        );
        check_same(
            "log-targets: {l: {type: loki, location: x, services: [all, -a, all]}}",
            "log-targets: {l: {type: loki, location: x, services: [-a, all]}}",
            true,
        );
    }

    #[test]
    fn meaning_counts() {
        let base = "services: {a: {command: x}}";
        for other in [
            "services: {a: {command: y}}",
            "services: {b: {command: x}}",
            "services: {a: {command: x, startup: enabled}}",
            "services: {a: {command: x, environment: {A: b}}}",
            "services: {a: {command: x, kill-delay: 6s}}",
            "services: {a: {command: x, backoff-factor: 2.5}}",
            "services: {a: {command: x, new-key-of-a-later-pebble: 1}}",
            "services: {a: {command: x}, b: {command: x}}",
            "{services: {a: {command: x}}, checks: {c: {tcp: {port: 1}}}}",
            "{}",
        ] {
            check_same(base, other, false);
        }
        check_same(
            "log-targets: {l: {type: loki, location: x, services: [all, -a]}}",
            "log-targets: {l: {type: loki, location: x, services: [-a, all]}}",
            false,
        );
    }

    #[test]
    fn a_plan_has_what_would_change_nothing() {
        let mut plan = layer(
            "services: {a: {command: x, startup: enabled, environment: {A: b, C: d}, after: [b]}, b: {command: y}}",
        );
        for (text, expected) in [
            ("services: {b: {override: replace, command: y}}", true),
            ("services: {a: {override: merge, environment: {A: b}, after: [b]}}", true),
            ("services: {a: {override: merge, environment: {A: c}}}", false),
            ("services: {a: {override: replace, command: x, startup: enabled}}", false),
            ("services: {c: {override: replace, command: y}}", false),
            ("checks: {c: {override: replace, tcp: {port: 1}}}", false),
            ("{}", true),
        ] {
            assert_eq!(plan.has(&layer(text)), expected, "{text}");
        }
        let more = layer("checks: {c: {override: merge, http: {url: u, headers: {a: b}}}}");
        plan.combine(&more);
        assert!(plan.has(&more));
        plan.combine(&layer("checks: {c: {override: merge, level: alive, http: {headers: {c: d}}}}"));
        assert!(plan.has(&layer(
            "checks: {c: {override: replace, level: alive, http: {url: u, headers: {a: b, c: d}}}}"
        )));
    }
}
