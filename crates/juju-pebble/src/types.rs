//! Wire types of the Pebble API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/system-info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SystemInfo {
    /// Changes each time the daemon starts, so also when its container restarts.
    pub boot_id: String,
    /// For example `v1.32.1`.
    pub version: String,
}

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

/// One configuration layer, or the combined plan.
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

/// A service of a layer.
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
    /// Whether `autostart` and `replan` start it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Startup>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Every other key, as Pebble knows it.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// A health check of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// Required by Pebble in every layer.
    #[serde(default, rename = "override")]
    pub override_: Override,
    /// Every other key, as Pebble knows it.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
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

/// State of a service now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceStatus {
    /// Running.
    Active,
    /// Not running, not meant to.
    Inactive,
    /// Exited; Pebble waits before it starts it again.
    Backoff,
    /// Exited; Pebble gave up.
    Error,
}

/// One entry of `GET /v1/services`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServiceInfo {
    /// Name in the plan.
    pub name: String,
    /// Whether it starts by itself.
    pub startup: Startup,
    /// What it does now.
    pub current: ServiceStatus,
}

/// What to do with services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceAction {
    /// Start the named ones.
    Start,
    /// Stop the named ones.
    Stop,
    /// Stop those that run, start all named.
    Restart,
    /// Restart what changed in the plan, start what is enabled. No names.
    Replan,
    /// Start what is enabled. No names.
    Autostart,
}

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWrite {
    /// Absolute path in the container.
    pub path: String,
    /// Content.
    pub content: Vec<u8>,
    /// Permission bits, for example `0o600`.
    pub mode: u32,
}

/// A command to run in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Added to the daemon's environment.
    pub environment: BTreeMap<String, String>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// Killed after this time.
    pub timeout: Option<std::time::Duration>,
    /// Standard input.
    pub stdin: Vec<u8>,
}

/// What a command did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Exit code; 128 + n for death by signal n.
    pub exit_code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}
