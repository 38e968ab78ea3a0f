//! Layers and plans: the documents that say what Pebble runs.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;

/// What to do when the key exists in an earlier layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Override {
    /// Merge field by field.
    Merge,
    /// Replace the whole entry.
    #[default]
    Replace,
}

/// Whether a service or check starts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Startup {
    /// Started by `autostart` and `replan`.
    Enabled,
    /// Started only by name.
    Disabled,
}

/// Which health question a check answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckLevel {
    /// The container works at all; Kubernetes restarts it otherwise.
    Alive,
    /// The container can take requests. An `alive` failure makes it unready too.
    Ready,
}

impl CheckLevel {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Ready => "ready",
        }
    }
}

/// One configuration layer, or the combined plan.
///
/// A plan that the daemon returns is the same document as the layers that made it, but not the same
/// text, and with the daemon's own spelling of durations: compare with [`Layer::same_as`] and
/// [`Layer::has`], not with `==`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Layer {
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Longer text for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Services by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, Service>,
    /// Health checks by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, Check>,
    /// Log targets by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub log_targets: BTreeMap<String, LogTarget>,
}

impl Layer {
    /// Reads a layer or plan.
    ///
    /// # Errors
    /// [`Error::Protocol`] when it is no YAML, or no layer.
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        // A message with lines of the document could show a password of some environment.
        let options = serde_yaml::options! { with_snippet: false };
        serde_yaml::from_str_with_options(text, options)
            .map_err(|error| Error::Protocol(format!("plan: {error}")))
    }

    /// Writes the layer in the notation that YAML shares with JSON: nothing in it can be taken for a
    /// number, a truth value or a time that was meant as text.
    ///
    /// # Errors
    /// [`Error::Protocol`] when `other` holds what JSON cannot write.
    pub fn to_yaml(&self) -> Result<String, Error> {
        let json = serde_json::to_string(self).map_err(|error| Error::Protocol(error.to_string()))?;
        // JSON allows these inside strings as they are, YAML does not.
        let mut text = String::with_capacity(json.len());
        for character in json.chars() {
            match character {
                '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "\\u{:04x}", u32::from(character));
                }
                other => text.push(other),
            }
        }
        Ok(text)
    }
}

/// A service of a layer.
///
/// Fields left empty are left out of the document. Times are Go durations (`500ms`, `1m30s`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Service {
    /// Required by Pebble in every layer.
    #[serde(default, rename = "override")]
    pub override_: Override,
    /// Command line, split as a shell would, but not run by one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Longer text for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether `autostart` and `replan` start it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Startup>,
    /// Services started before it, whether or not it needs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Services started after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// Services that are started and stopped with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// User that runs it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The same by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<u32>,
    /// Group that runs it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The same by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<u32>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// What to do when it exits with 0: `restart`, `shutdown`, `ignore`, `failure-shutdown`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub on_success: String,
    /// What to do when it exits otherwise: `restart`, `shutdown`, `ignore`, `success-shutdown`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub on_failure: String,
    /// The same, by name of a check that goes down.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub on_check_failure: BTreeMap<String, String>,
    /// Time between SIGTERM and SIGKILL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kill_delay: String,
    /// Every other key, as Pebble knows it.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// A health check of a layer: one of `http`, `tcp` and `exec`.
///
/// Times are Go durations (`500ms`, `1m30s`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// Required by Pebble in every layer.
    #[serde(default, rename = "override")]
    pub override_: Override,
    /// Which health question it answers, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<CheckLevel>,
    /// Whether it runs without being started; it does by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Startup>,
    /// Time between two runs, `10s` by default.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub period: String,
    /// Time for one run, `3s` by default, less than the period.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub timeout: String,
    /// Failures in a row that count, 3 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
    /// Succeeds on an answer with a 2xx status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// Succeeds when the port takes a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// Succeeds when the command exits with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecCheck>,
    /// Every other key, as Pebble knows it.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// The `http` part of a [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// What to GET.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Request headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// The `tcp` part of a [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpCheck {
    /// Port to connect to.
    #[serde(default)]
    pub port: u16,
    /// `localhost` when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
}

/// The `exec` part of a [`Check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExecCheck {
    /// Command line, split as a shell would, but not run by one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// Service whose environment, user and working directory are the defaults.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_context: String,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Every other key, as Pebble knows it: `user`, `group`, their numbers, `working-dir`.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// A log target of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LogTarget {
    /// Required by Pebble in every layer.
    #[serde(default, rename = "override")]
    pub override_: Override,
    /// `loki`, `opentelemetry` or `syslog`.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    pub type_: String,
    /// Where the logs go.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub location: String,
    /// Service names, `all`, `-name` or `-all`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Labels added to each line.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Layer, Service};

    #[test]
    fn keys_of_a_later_pebble_are_kept() {
        let text = "services: {a: {override: replace, command: x, new-key: [1, {b: c}]}}";
        let layer = Layer::from_yaml(text).unwrap();
        assert_eq!(layer.services["a"].other["new-key"], serde_json::json!([1, {"b": "c"}]));
        assert_eq!(Layer::from_yaml(&layer.to_yaml().unwrap()).unwrap(), layer);
    }

    #[test]
    fn only_what_is_set_is_written() {
        let layer =
            Layer::from_yaml("{services: {a: {command: x}}, checks: {c: {override: merge}}}").unwrap();
        assert_eq!(
            layer.to_yaml().unwrap(),
            r#"{"services":{"a":{"override":"replace","command":"x"}},"checks":{"c":{"override":"merge"}}}"#
        );
    }

    #[test]
    fn a_message_shows_nothing_of_the_document() {
        let text = "services:\n  a:\n    environment: {PASSWORD: hunter2}\n    user-id: {}\n";
        let message = Layer::from_yaml(text).unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in any::<String>()) {
            let _ = Layer::from_yaml(&text);
        }

        /// Random text is hardly ever close to a plan, so build it out of what plans are made of.
        #[test]
        fn almost_a_plan_is_read_without_panic(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "services", "checks", ":", ": ", "\n", "\n  ", "\n    ", "a", "- ", "{", "}", "[", "]", ",", "\"", "'", "&x ",
                    "*x", "<<: ", "!!int ", "override: merge", "user-id: ", "-1", "1e99", "0x", "null", "~", "|", ">", "#", "---", "\t",
                ]),
                0..30,
            ),
        ) {
            let _ = Layer::from_yaml(&pieces.concat());
        }

        #[test]
        fn what_is_written_is_read(
            command in any::<String>(),
            environment in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..5),
            after in proptest::collection::vec(any::<String>(), 0..3),
            user_id in proptest::option::of(any::<u32>()),
        ) {
            let service = Service { command, after, environment, user_id, ..Service::default() };
            let layer = Layer { services: BTreeMap::from([("s".into(), service)]), ..Layer::default() };
            prop_assert_eq!(Layer::from_yaml(&layer.to_yaml().unwrap()).unwrap(), layer);
        }
    }
}
