//! Configuration options and action parameters as types of the charm's own.
//!
//! Juju checks values against the kinds that `charmcraft.yaml` declares (string, integer, number, boolean, secret); a
//! charm usually wants more: a duration, one of three words, a port. So both are read into a struct with serde, whose
//! fields have the options' names:
//!
//! ```
//! use juju_ops::{Hook, OrBlocked as _, SecretId};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! #[serde(rename_all = "kebab-case")] // `log-level` is `log_level` here
//! struct Config {
//!     /// Declared with a default, so it is always there.
//!     log_level: LogLevel,
//!     /// Without a default: `None` until somebody sets it.
//!     external_hostname: Option<String>,
//!     /// An option of type `secret`.
//!     api_token: Option<SecretId>,
//! }
//!
//! #[derive(Deserialize)]
//! #[serde(rename_all = "lowercase")]
//! enum LogLevel { Debug, Info }
//!
//! async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
//!     // With `log-level: loud` this sets the unit to "blocked: configuration option log-level: unknown variant
//!     // `loud`, expected `debug` or `info`" and ends the charm's function here. What was planned before is committed.
//!     let config: Config = hook.config().await.or_blocked(&hook).await?;
//!     # let _ = (config.log_level, config.external_hostname, config.api_token);
//!     Ok(())
//! }
//! ```
//!
//! Options that the struct does not name are ignored, so that an older revision of the charm can run after a newer
//! one. Juju leaves out options that have neither a value nor a default.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Hook, databag::without_data, tools::ToolError};

/// Configuration that does not fit the type the charm reads it into.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `config-get` failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// An option has no value, or one of the wrong kind.
    #[error("configuration option {option}: {reason}")]
    Option {
        /// Name of the option.
        option: String,
        /// What is wrong with its value, and what is expected.
        reason: String,
    },
}

impl Hook {
    /// Configuration as a struct with one field per option. Options without value are absent.
    ///
    /// # Errors
    /// [`ConfigError::Option`] names the option whose value does not fit; see [`OrBlocked`](crate::OrBlocked) for what
    /// to do then.
    pub async fn config<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let value: Value = self.read("config-get", ["--format=json".to_owned()]).await?;
        typed(value).map_err(|Mismatch { name, reason }| ConfigError::Option { option: name, reason })
    }
}

/// Why a document does not fit a type.
pub(crate) struct Mismatch {
    /// Path of the field at fault.
    pub(crate) name: String,
    /// What is expected of it.
    pub(crate) reason: String,
}

/// Reads a JSON object into a struct. The reason never repeats a value's text, unless it is no word of an enum.
pub(crate) fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Mismatch> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        // Serde finds out that something is missing when it is done with what surrounds it.
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        match missing {
            Some(field) if path == "." => Mismatch { name: field.to_owned(), reason: "has no value".into() },
            Some(field) => Mismatch { name: format!("{path}.{field}"), reason: "has no value".into() },
            None => Mismatch { name: path, reason: without_data(&message) },
        }
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    #[allow(dead_code)]
    struct Sample {
        max_size: u16,
        mode: Mode,
        hostname: Option<String>,
        limits: Option<Limits>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
        Safe,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Limits {
        cpu: f64,
    }

    #[test]
    fn an_error_names_the_option_and_what_is_expected() {
        for (value, name, reason) in [
            (json!({"max-size": "hunter22", "mode": "fast"}), "max-size", "expected u16, found string"),
            (json!({"max-size": -1, "mode": "fast"}), "max-size", "expected u16, found integer"),
            (json!({"max-size": 70000, "mode": "fast"}), "max-size", "expected u16, found integer"),
            (json!({"max-size": 1.5, "mode": "fast"}), "max-size", "expected u16, found floating point"),
            (
                json!({"max-size": 1, "mode": "odd"}),
                "mode",
                "unknown variant `odd`, expected `fast` or `safe`",
            ),
            (json!({"mode": "fast"}), "max-size", "has no value"),
            (json!({"max-size": 1, "mode": "safe", "limits": {}}), "limits.cpu", "has no value"),
            (
                json!({"max-size": 1, "mode": "safe", "limits": {"cpu": "x"}}),
                "limits.cpu",
                "expected f64, found string",
            ),
        ] {
            let Err(error) = typed::<Sample>(value.clone()) else { panic!("{value} was taken") };
            assert_eq!((error.name.as_str(), error.reason.as_str()), (name, reason), "{value}");
        }
    }

    #[test]
    fn options_of_another_revision_are_ignored() {
        let sample: Sample = typed(json!({"max-size": 1, "mode": "fast", "of-tomorrow": [1]})).ok().unwrap();
        assert_eq!(sample.hostname, None);
    }
}
