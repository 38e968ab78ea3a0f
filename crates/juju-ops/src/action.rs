//! Actions: parameters in, results out.
//!
//! ```
//! use juju_ops::{Hook, OrFail as _};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! #[serde(rename_all = "kebab-case")]
//! struct Backup {
//!     target_bucket: String,
//! }
//!
//! #[derive(Serialize)]
//! #[serde(rename_all = "kebab-case")]
//! struct Done {
//!     files: u32,
//!     stored: Stored,
//! }
//!
//! #[derive(Serialize)]
//! struct Stored {
//!     url: String,
//! }
//!
//! async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
//!     if let Some(action) = hook.action().filter(|action| action.name() == "backup") {
//!         let backup: Backup = action.params().await.or_fail(&action).await?;
//!         action.log("collecting files").await?;
//!         // `juju run` shows `files: "3"` and `stored: {url: …}`.
//!         let url = format!("s3://{}/1.tar", backup.target_bucket);
//!         action.set(&Done { files: 3, stored: Stored { url } }).await?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Standard output of the charm's process is part of an action's results, so the charm must not write its log there.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Hook,
    config::{Mismatch, typed},
    event::ActionEvent,
    tools::{ToolCall, ToolError},
};

/// The running action.
#[derive(Clone, Copy)]
pub struct Action<'h> {
    hook: &'h Hook,
    event: &'h ActionEvent,
}

/// Parameters that do not fit the type the charm reads them into.
#[derive(Debug, thiserror::Error)]
pub enum ParamsError {
    /// `action-get` failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A parameter has a value of the wrong kind.
    #[error("action parameter {parameter}: {reason}")]
    Parameter {
        /// Path of the parameter.
        parameter: String,
        /// What is wrong with its value.
        reason: String,
    },
}

/// Longest single argument the kernel passes on, less room for its end.
const LONGEST_ARGUMENT: usize = 128 * 1024 - 1;
/// Most text in one call's arguments, well below the kernel's limit for all of them.
const LONGEST_CALL: usize = 1024 * 1024;
/// Names that Juju keeps for the process's own output.
const RESERVED: [&str; 4] = ["stdout", "stderr", "stdout-encoding", "stderr-encoding"];

impl<'h> Action<'h> {
    pub(crate) fn new(hook: &'h Hook, event: &'h ActionEvent) -> Self {
        Self { hook, event }
    }

    /// Name of the action.
    pub fn name(&self) -> &str {
        &self.event.name
    }

    /// Parameters as a struct with one field per parameter, defaults filled in by Juju.
    pub async fn params<T: DeserializeOwned>(&self) -> Result<T, ParamsError> {
        let value: Value = self.hook.read("action-get", ["--format=json".to_owned()]).await?;
        typed(value).map_err(|Mismatch { name, reason }| ParamsError::Parameter { parameter: name, reason })
    }

    /// Adds results from a struct or map, nested as deep as it is. Whatever is not text becomes its JSON text; `None` is
    /// left out.
    ///
    /// # Errors
    /// [`ToolError::Invalid`] for a key that Juju refuses: field names need `#[serde(rename_all = "kebab-case")]` once
    /// they have two words. And as [`Action::set_results`].
    pub async fn set<T: Serialize + ?Sized + Sync>(&self, results: &T) -> Result<(), ToolError> {
        let value = serde_json::to_value(results).map_err(|error| invalid(error.to_string()))?;
        let Value::Object(fields) = value else {
            return Err(invalid("results have to be a struct or a map".into()));
        };
        let mut flat = BTreeMap::new();
        flatten("", fields, &mut flat)?;
        self.set_results(&flat).await
    }

    /// Most bytes that a result of this name can have. A hook tool takes a name and its result as one argument, and the
    /// kernel passes on none of more than 128 KiB.
    pub fn room_for(key: &str) -> usize {
        LONGEST_ARGUMENT.saturating_sub(key.len() + "=".len())
    }

    /// Adds results. Keys are dotted paths whose parts are lower-case letters, digits and inner dashes.
    pub async fn set_results(&self, results: &BTreeMap<String, String>) -> Result<(), ToolError> {
        let mut pairs = Vec::new();
        let mut length = 0;
        for (key, value) in results {
            check_key(key)?;
            let pair = format!("{key}={value}");
            if value.len() > Self::room_for(key) {
                return Err(invalid(format!("result {key:?} has {} bytes, more than 128 KiB", value.len())));
            }
            if length + pair.len() > LONGEST_CALL {
                self.send(std::mem::take(&mut pairs)).await?;
                length = 0;
            }
            length += pair.len();
            pairs.push(pair);
        }
        self.send(pairs).await
    }

    /// Marks the action failed. It does not stop the charm.
    pub async fn fail(&self, message: &str) -> Result<(), ToolError> {
        self.hook.change(ToolCall::new("action-fail", ["--", message])).await
    }

    /// Shows a line to whoever runs the action, at once.
    pub async fn log(&self, message: &str) -> Result<(), ToolError> {
        self.hook.change(ToolCall::new("action-log", ["--", message])).await
    }

    async fn send(&self, pairs: Vec<String>) -> Result<(), ToolError> {
        if pairs.is_empty() {
            return Ok(());
        }
        let args = std::iter::once("--".to_owned()).chain(pairs);
        self.hook.change(ToolCall::new("action-set", args)).await
    }
}

/// Dotted paths for what is nested.
fn flatten(
    prefix: &str,
    fields: serde_json::Map<String, Value>,
    into: &mut BTreeMap<String, String>,
) -> Result<(), ToolError> {
    for (name, value) in fields {
        if name.contains('.') {
            return Err(invalid(format!("result key {name:?}: a dot would nest it")));
        }
        let key = format!("{prefix}{name}");
        match value {
            Value::Null => {}
            Value::Object(fields) => flatten(&format!("{key}."), fields, into)?,
            Value::String(text) => drop(into.insert(key, text)),
            other => drop(into.insert(key, other.to_string())),
        }
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), ToolError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    for part in key.split('.') {
        let inner = part.chars().all(|c| plain(c) || c == '-');
        if !inner || !part.starts_with(plain) || !part.ends_with(plain) {
            return Err(invalid(format!(
                "result key {key:?}: each part needs lower-case letters, digits, inner dashes"
            )));
        }
        if RESERVED.contains(&part) {
            return Err(invalid(format!("result key {key:?}: {part} is reserved")));
        }
    }
    Ok(())
}

fn invalid(reason: String) -> ToolError {
    ToolError::Invalid { tool: "action-set", reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_gets_dotted_keys() {
        let results = serde_json::json!({
            "files": 3, "whole": true, "none": null, "list": ["a", 1], "text": "a \"b\"\n",
            "stored": {"url": "s3://b/1", "by": {"unit": "tempo/0"}, "empty": {}},
        });
        let Value::Object(fields) = results else { unreachable!() };
        let mut flat = BTreeMap::new();
        flatten("", fields, &mut flat).unwrap();
        let told: Vec<_> = flat.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            told,
            [
                "files=3",
                "list=[\"a\",1]",
                "stored.by.unit=tempo/0",
                "stored.url=s3://b/1",
                "text=a \"b\"\n",
                "whole=true",
            ]
        );
        let Value::Object(dotted) = serde_json::json!({"a.b": 1}) else { unreachable!() };
        assert!(flatten("", dotted, &mut flat).is_err());
    }

    #[test]
    fn keys_that_juju_refuses_are_refused_before_the_call() {
        for key in ["otlp-http", "a.b-c.d9", "9"] {
            assert!(check_key(key).is_ok(), "{key}");
        }
        for key in ["", "a.", ".a", "a..b", "A", "a_b", "-a", "a-", "stdout", "a.stderr", "é"] {
            assert!(check_key(key).is_err(), "{key}");
        }
    }
}
