//! Wire types of the Pebble API.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{CheckLevel, Startup};

/// Answer of `GET /v1/system-info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SystemInfo {
    /// Drawn anew at each start where Pebble is process 1, as in a container: then a new one means that
    /// the container restarted. Elsewhere it is that of the machine.
    pub boot_id: String,
    /// For example `v1.32.1`.
    pub version: String,
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

/// A file to write. Its `Debug` shows the size of the content, which may be a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct FileWrite {
    /// Absolute path in the container.
    pub path: String,
    /// Content.
    pub content: Vec<u8>,
    /// Permission bits, for example `0o600`.
    pub mode: u32,
}

impl FileWrite {
    /// A file that everybody in the container may read: mode 0644.
    pub fn new(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), content: content.into(), mode: 0o644 }
    }

    /// A file for its owner alone: mode 0600.
    pub fn private(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { mode: 0o600, ..Self::new(path, content) }
    }
}

impl fmt::Debug for FileWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWrite")
            .field("path", &self.path)
            .field("content", &Bytes(&self.content))
            .field("mode", &format_args!("{:#o}", self.mode))
            .finish()
    }
}

/// How many there are, for `Debug`.
struct Bytes<'a>(&'a [u8]);

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

/// A command to run in the container. Its `Debug` shows of the environment only the names, and of the
/// input only the size.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Exec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Added to the daemon's environment.
    pub environment: BTreeMap<String, String>,
    /// Working directory; the daemon's own choice is `$HOME`, else `/`.
    pub working_dir: Option<String>,
    /// Killed after this time; without it, after the client's default.
    pub timeout: Option<Duration>,
    /// Standard input.
    pub stdin: Vec<u8>,
    /// Service whose environment, user and working directory are the defaults.
    pub service_context: Option<String>,
    /// Who runs it; the daemon's own user by default.
    pub owner: Owner,
    /// Sends standard error into [`ExecOutput::stdout`], in the order written.
    pub combine_stderr: bool,
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec")
            .field("command", &self.command)
            .field("environment", &self.environment.keys().collect::<Vec<_>>())
            .field("working_dir", &self.working_dir)
            .field("timeout", &self.timeout)
            .field("stdin", &Bytes(&self.stdin))
            .field("service_context", &self.service_context)
            .field("owner", &self.owner)
            .field("combine_stderr", &self.combine_stderr)
            .finish()
    }
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

/// A user and group of the container, by name or number; empty for the daemon's default.
///
/// A user without a group means that user's primary group; a group alone is refused by the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Owner {
    /// User name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// User number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<u32>,
    /// Group name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Group number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<u32>,
}

impl Owner {
    /// The user of this name, and its primary group.
    pub fn user(name: impl Into<String>) -> Self {
        Self { user: Some(name.into()), ..Self::default() }
    }
}

/// How to add a layer whose label exists already, or has a `dir/name` form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddLayer {
    /// Merge into the layer of the same label, which keeps its place in the order. Without it, an
    /// existing label is an error.
    pub combine: bool,
    /// Let a new `dir/name` label be inserted into its group rather than at the end of all layers.
    pub inner: bool,
}

/// How a directory is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MakeDir {
    /// Make missing parents too, and accept a directory that exists.
    pub parents: bool,
    /// Permission bits; `0o755` by default.
    pub mode: Option<u32>,
    /// Owner of what is made.
    pub owner: Owner,
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link; entries of a listing are not followed.
    Symlink,
    /// Unix socket.
    Socket,
    /// FIFO.
    NamedPipe,
    /// Character or block device.
    Device,
    /// Anything else.
    #[serde(other)]
    Unknown,
}

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileInfo {
    /// Absolute path.
    pub path: String,
    /// Last component of the path.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: FileKind,
    /// Bytes; only files have a size.
    #[serde(default)]
    pub size: Option<u64>,
    /// Permission bits, for example `0o644`. Pebble writes them as octal text.
    #[serde(rename = "permissions", with = "octal")]
    pub mode: u32,
    /// RFC 3339, to the second.
    #[serde(default)]
    pub last_modified: String,
    /// Owning user and group, names left out when the container does not know them.
    #[serde(flatten)]
    pub owner: Owner,
}

/// Permission bits as Pebble writes them: octal digits in text.
pub(crate) mod octal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    // The signature is serde's.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(crate) fn serialize<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{mode:03o}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 8).map_err(D::Error::custom)
    }
}

/// Number of a change, as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeId(pub String);

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Work that the daemon does in the background.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// Its number.
    pub id: ChangeId,
    /// For example `start`, `exec`, `perform-check`.
    #[serde(default)]
    pub kind: String,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// For example `Do`, `Doing`, `Done`, `Hold`, `Error`.
    #[serde(default)]
    pub status: String,
    /// Its steps.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tasks: Vec<Task>,
    /// Whether it ended, well or not.
    #[serde(default)]
    pub ready: bool,
    /// Why it failed.
    #[serde(default)]
    pub err: Option<String>,
    /// RFC 3339 time of its start.
    #[serde(default)]
    pub spawn_time: Option<String>,
    /// RFC 3339 time of its end.
    #[serde(default)]
    pub ready_time: Option<String>,
    /// What the kind of change adds.
    #[serde(default, deserialize_with = "null_is_default")]
    pub data: BTreeMap<String, serde_json::Value>,
}

/// One step of a [`Change`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Task {
    /// Its number, as text.
    pub id: String,
    /// For example `start`, `exec`.
    #[serde(default)]
    pub kind: String,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// As of a change.
    #[serde(default)]
    pub status: String,
    /// Lines with time and level; a service that exits at once leaves its last output here.
    #[serde(default, deserialize_with = "null_is_default")]
    pub log: Vec<String>,
    /// What the kind of task adds; `exit-code` for `exec`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub data: BTreeMap<String, serde_json::Value>,
}

/// Which changes to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangeFilter {
    /// Those that have not ended.
    #[default]
    InProgress,
    /// Those that have.
    Ready,
    /// All that the daemon remembers: at most 500, at most 7 days old.
    All,
}

impl ChangeFilter {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::InProgress => "in-progress",
            Self::Ready => "ready",
            Self::All => "all",
        }
    }
}

/// State of a health check now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// Fewer failures in a row than the threshold.
    Up,
    /// The threshold is reached.
    Down,
    /// Stopped.
    Inactive,
}

/// One entry of `GET /v1/checks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CheckInfo {
    /// Name in the plan.
    pub name: String,
    /// `alive` or `ready`, if it has a level.
    #[serde(default)]
    pub level: Option<CheckLevel>,
    /// Whether it starts by itself; older daemons do not say.
    #[serde(default)]
    pub startup: Option<Startup>,
    /// What it found.
    pub status: CheckStatus,
    /// Successes since it started; older daemons do not say.
    #[serde(default)]
    pub successes: Option<u64>,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u64,
    /// Failures in a row that make it [`CheckStatus::Down`].
    #[serde(default)]
    pub threshold: u64,
    /// The change that performs it now.
    #[serde(default)]
    pub change_id: Option<ChangeId>,
}

/// What to do with health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckAction {
    /// Perform them from time to time.
    Start,
    /// Do not.
    Stop,
}

/// What a health check found that was performed on demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRefresh {
    /// The check. Pebble 1.32 counts this run only after it answered, so `error` is what says how it went.
    pub info: CheckInfo,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Somebody who may use Pebble, and how Pebble knows them: at least one of `local`, `basic` and `cert`.
///
/// `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// What they may do.
    pub access: Access,
    /// By the number of their user, over the unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalIdentity>,
    /// By a password, over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicIdentity>,
    /// By a client's certificate, over HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<CertIdentity>,
}

impl Identity {
    /// A local user by number.
    pub fn local(access: Access, user_id: u32) -> Self {
        Self { access, local: Some(LocalIdentity { user_id }), basic: None, cert: None }
    }

    /// A user with a password, hashed as by `openssl passwd -6`. The daemon has no use for other hashes, and none for
    /// the password itself.
    pub fn basic(access: Access, hash: impl Into<String>) -> Self {
        Self { access, local: None, basic: Some(BasicIdentity { password: hash.into() }), cert: None }
    }
}

/// What an identity may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everything.
    Admin,
    /// Look, and record notices.
    Read,
    /// Read Pebble's metrics.
    Metrics,
    /// What everybody may.
    Untrusted,
}

/// A local user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LocalIdentity {
    /// Number of the user.
    pub user_id: u32,
}

/// A user with a password. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasicIdentity {
    /// The password's SHA-512 crypt hash (`$6$…`); from the daemon only stars.
    pub password: String,
}

impl fmt::Debug for BasicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BasicIdentity")
    }
}

/// A client with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertIdentity {
    /// The certificate, PEM; from the daemon only stars.
    pub pem: String,
}

/// What to do with identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityAction {
    /// Add them; one that is there already is an error.
    Add,
    /// Change them; one that is not there is an error.
    Update,
    /// Add or change them.
    Replace,
    /// Remove them by name; one that is not there is an error.
    Remove,
}

/// A notice to record, which Juju turns into a `pebble-custom-notice` event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// `example.com/path`, lower case, at most 256 bytes.
    pub key: String,
    /// What the reader gets with it, at most 4 KiB.
    pub data: BTreeMap<String, String>,
    /// Do not report the same key again before this time has passed.
    pub repeat_after: Option<Duration>,
}

/// Which notices to list; all that the caller may see by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeFilter {
    /// For example `custom`, `change-update`.
    pub types: Vec<String>,
    /// Exact keys.
    pub keys: Vec<String>,
    /// Only those repeated after this RFC 3339 time.
    pub after: Option<String>,
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Notice {
    /// Its number, as text.
    pub id: String,
    /// Whose it is; `None` for everyone's.
    #[serde(default)]
    pub user_id: Option<u32>,
    /// For example `custom`, `change-update`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    pub key: String,
    /// RFC 3339.
    #[serde(default)]
    pub first_occurred: String,
    /// RFC 3339.
    #[serde(default)]
    pub last_occurred: String,
    /// RFC 3339; the daemon sorts by it.
    #[serde(default)]
    pub last_repeated: String,
    /// How often it occurred.
    #[serde(default)]
    pub occurrences: u64,
    /// Data of the last occurrence.
    #[serde(default, deserialize_with = "null_is_default")]
    pub last_data: BTreeMap<String, String>,
}

/// A line that a service wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// RFC 3339.
    #[serde(default)]
    pub time: String,
    /// Who wrote it.
    #[serde(default)]
    pub service: String,
    /// What it wrote, without the end of the line.
    #[serde(default)]
    pub message: String,
}

/// Go marshals an empty map or slice as `null`.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Exec, FileWrite};

    #[test]
    fn contents_and_environments_do_not_show() {
        let file = FileWrite { path: "/key".into(), content: b"hunter2".to_vec(), mode: 0o600 };
        assert_eq!(format!("{file:?}"), r#"FileWrite { path: "/key", content: (7 bytes), mode: 0o600 }"#);
        let exec = Exec {
            environment: [("PASSWORD".into(), "hunter2".into())].into(),
            stdin: b"hunter2".to_vec(),
            ..Exec::default()
        };
        let text = format!("{exec:?}");
        assert!(text.contains("PASSWORD") && !text.contains("hunter2") && !text.contains("104"), "{text}");
    }
}
