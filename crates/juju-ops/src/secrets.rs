//! Juju secrets.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    Hook, Remote,
    names::RelationId,
    tools::{ToolCall, ToolError, checked},
};

/// Content of a secret: keys of at least three characters, lower case, digits and inner dashes.
///
/// Its `Debug` shows the keys only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretContent(BTreeMap<String, String>);

impl SecretContent {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for SecretContent {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl fmt::Debug for SecretContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// URI of a secret. `secret:<id>` and `secret://<model>/<id>` name the same secret; they compare equal.
#[derive(Clone, Debug)]
pub struct SecretId(String);

impl SecretId {
    /// Takes any of the forms that Juju gives.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The form in which it was given; `secret-add` gives the one to send over relations.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 20 characters that identify the secret.
    pub fn bare(&self) -> &str {
        self.0.rsplit(['/', ':']).next().unwrap_or_default()
    }
}

impl PartialEq for SecretId {
    fn eq(&self, other: &Self) -> bool {
        self.bare() == other.bare()
    }
}

impl Eq for SecretId {}

/// Who owns a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretOwner {
    /// The application: only its leader manages it.
    App,
    /// This unit.
    Unit,
}

/// What an owner sees of a secret, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SecretInfo {
    /// Latest revision.
    pub revision: u64,
    /// The owner's label.
    #[serde(default)]
    pub label: String,
    /// When the revision expires, RFC 3339.
    #[serde(default)]
    pub expiry: Option<String>,
    /// Who else may read it. Grants of this hook do not show yet.
    #[serde(default)]
    pub access: Vec<SecretAccess>,
}

/// Somebody who may read a secret that is not theirs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SecretAccess {
    /// Juju's tag of who it is: `application-<name>` or `unit-<application>-<number>`.
    pub target: String,
    /// Juju's tag of the relation with whose end the right ends.
    #[serde(default)]
    pub scope: String,
}

impl SecretAccess {
    /// The application whose units all may read the secret; `None` if it is one unit.
    pub fn application(&self) -> Option<&str> {
        self.target.strip_prefix("application-")
    }
}

impl SecretInfo {
    /// Whether every unit of this application may read it, over whatever relation. Juju keeps one grant per
    /// application, and refuses one over a second relation when the hook ends.
    pub fn is_granted_to(&self, app: &str) -> bool {
        self.access.iter().any(|access| access.application() == Some(app))
    }
}

/// How a secret is named when reading it.
#[derive(Clone, Copy, Debug)]
pub enum SecretRef<'a> {
    /// By URI or bare id.
    Id(&'a SecretId),
    /// By this unit's label.
    Label(&'a str),
}

/// Seconds that Go's durations can hold, roughly: 290 years.
const LONGEST_EXPIRY: u64 = 290 * 365 * 24 * 3600;

/// Secret tools of one hook.
#[derive(Clone, Copy)]
pub struct Secrets<'h> {
    hook: &'h Hook,
}

impl<'h> Secrets<'h> {
    pub(crate) fn new(hook: &'h Hook) -> Self {
        Self { hook }
    }

    /// The tracked revision's content. `refresh` starts to track the latest one.
    pub async fn get(
        &self,
        secret: SecretRef<'_>,
        refresh: bool,
    ) -> Result<Remote<SecretContent>, ToolError> {
        if refresh {
            self.hook.forget("secret-get");
        }
        self.read(secret, refresh.then_some("--refresh")).await
    }

    /// The latest revision's content. Which revision is tracked stays as it is, so this is the way to look at an own
    /// secret.
    pub async fn peek(&self, secret: SecretRef<'_>) -> Result<Remote<SecretContent>, ToolError> {
        self.read(secret, Some("--peek")).await
    }

    async fn read(
        &self,
        secret: SecretRef<'_>,
        revision: Option<&str>,
    ) -> Result<Remote<SecretContent>, ToolError> {
        let mut args = vec!["--format=json".to_owned()];
        args.extend(revision.map(str::to_owned));
        args.extend(named(secret));
        match self.hook.read::<BTreeMap<String, String>>("secret-get", args).await {
            Ok(content) => Ok(Remote::Ready(SecretContent(content))),
            Err(e) if e.is_denied() => Ok(Remote::Denied),
            Err(e) if e.is_not_found() => Ok(Remote::Absent),
            Err(e) => Err(e),
        }
    }

    /// What is known of an own secret; `None` if there is none of that name.
    pub async fn info(&self, secret: SecretRef<'_>) -> Result<Option<(SecretId, SecretInfo)>, ToolError> {
        let args = std::iter::once("--format=json".to_owned()).chain(named(secret));
        match self.hook.read::<BTreeMap<String, SecretInfo>>("secret-info-get", args).await {
            Ok(infos) => {
                Ok(infos.into_iter().next().map(|(id, info)| (SecretId::new(format!("secret:{id}")), info)))
            }
            Err(e) if e.is_not_found() || e.is_denied() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The secrets that this unit manages: its own, and while it leads those of the application.
    pub async fn ids(&self) -> Result<Vec<SecretId>, ToolError> {
        // Juju prints null for none.
        let ids: Option<Vec<String>> = self.hook.read("secret-ids", ["--format=json".to_owned()]).await?;
        Ok(ids.into_iter().flatten().map(|id| SecretId::new(format!("secret:{id}"))).collect())
    }

    /// Makes a secret. Its id is valid at once, its content is stored when the hook succeeds. A label that the owner
    /// uses already makes the hook fail then.
    pub async fn add(
        &self,
        content: &SecretContent,
        label: &str,
        owner: SecretOwner,
    ) -> Result<SecretId, ToolError> {
        self.make(content, label, owner, None).await
    }

    /// The same, and after this time Juju tells the owner once that the secret expired. It can be read on.
    pub async fn add_expiring(
        &self,
        content: &SecretContent,
        label: &str,
        owner: SecretOwner,
        after: Duration,
    ) -> Result<SecretId, ToolError> {
        self.make(content, label, owner, Some(after)).await
    }

    async fn make(
        &self,
        content: &SecretContent,
        label: &str,
        owner: SecretOwner,
        expires: Option<Duration>,
    ) -> Result<SecretId, ToolError> {
        let owner = match owner {
            SecretOwner::App => "application",
            SecretOwner::Unit => "unit",
        };
        let files = Files::write("secret-add", content)?;
        let mut args = ["--label", label, "--owner", owner].map(str::to_owned).to_vec();
        args.extend(expires.into_iter().flat_map(expire));
        args.push("--".into());
        args.extend(files.args());
        let stdout = checked(&**self.hook.tools(), ToolCall::new("secret-add", args)).await?;
        self.forget();
        Ok(SecretId::new(String::from_utf8_lossy(&stdout).trim()))
    }

    /// Replaces the whole content of an own secret; equal content makes no new revision.
    pub async fn set(&self, id: &SecretId, content: &SecretContent) -> Result<(), ToolError> {
        self.replace(id, content, None).await
    }

    /// The same, and the new revision expires after this time.
    pub async fn set_expiring(
        &self,
        id: &SecretId,
        content: &SecretContent,
        after: Duration,
    ) -> Result<(), ToolError> {
        self.replace(id, content, Some(after)).await
    }

    async fn replace(
        &self,
        id: &SecretId,
        content: &SecretContent,
        expires: Option<Duration>,
    ) -> Result<(), ToolError> {
        let files = Files::write("secret-set", content)?;
        let mut args: Vec<String> = expires.into_iter().flat_map(expire).collect();
        args.extend(["--".to_owned(), id.as_str().to_owned()]);
        args.extend(files.args());
        self.hook.change(ToolCall::new("secret-set", args)).await?;
        self.forget();
        Ok(())
    }

    /// Removes an own secret with all its revisions when the hook succeeds. One that is gone already is no error.
    pub async fn remove(&self, id: &SecretId) -> Result<(), ToolError> {
        let args = ["--".to_owned(), id.as_str().to_owned()];
        self.hook.change(ToolCall::new("secret-remove", args)).await?;
        self.forget();
        Ok(())
    }

    /// Removes one revision of an own secret when the hook succeeds. With its last revision a secret is gone.
    pub async fn remove_revision(&self, id: &SecretId, revision: u64) -> Result<(), ToolError> {
        let args = ["--revision".to_owned(), revision.to_string(), "--".into(), id.as_str().to_owned()];
        self.hook.change(ToolCall::new("secret-remove", args)).await?;
        self.forget();
        Ok(())
    }

    /// Lets the other application of a relation read an own secret, for as long as the relation lives.
    pub async fn grant(&self, id: &SecretId, relation: &RelationId) -> Result<(), ToolError> {
        let args = ["-r".to_owned(), relation.to_string(), "--".into(), id.as_str().to_owned()];
        self.hook.change(ToolCall::new("secret-grant", args)).await
    }

    fn forget(self) {
        self.hook.forget("secret-get");
        self.hook.forget("secret-info-get");
        self.hook.forget("secret-ids");
    }
}

/// As a time from now, since a point in time would have to be written as a date. Juju takes none that is over.
fn expire(after: Duration) -> [String; 2] {
    ["--expire".to_owned(), format!("{}s", after.as_secs().clamp(1, LONGEST_EXPIRY))]
}

fn named(secret: SecretRef<'_>) -> Vec<String> {
    match secret {
        SecretRef::Id(id) => vec!["--".into(), id.as_str().into()],
        SecretRef::Label(label) => vec!["--label".into(), label.into()],
    }
}

/// Secret values on their way to the agent: command lines are visible to every process, so the values go through
/// files that only this user may read and that are gone when this is dropped.
struct Files {
    dir: tempfile::TempDir,
    keys: Vec<String>,
}

impl Files {
    fn write(tool: &'static str, content: &SecretContent) -> Result<Self, ToolError> {
        let failed = |what: &Path, e: &std::io::Error| ToolError::Invalid {
            tool,
            reason: format!("cannot pass the content through {}: {e}", what.display()),
        };
        let dir = tempfile::Builder::new()
            .prefix("juju-secret-")
            .tempdir()
            .map_err(|e| failed(&std::env::temp_dir(), &e))?;
        let mut keys = Vec::new();
        for (key, value) in &content.0 {
            if !valid_key(key) || value.is_empty() {
                let reason = format!("secret key {key:?}: bad name, or empty value");
                return Err(ToolError::Invalid { tool, reason });
            }
            let path = dir.path().join(key);
            private_file(&path)
                .and_then(|mut file| file.write_all(value.as_bytes()))
                .map_err(|e| failed(&path, &e))?;
            keys.push(key.clone());
        }
        Ok(Self { dir, keys })
    }

    fn args(&self) -> Vec<String> {
        let path = |key: &String| -> PathBuf { self.dir.path().join(key) };
        self.keys.iter().map(|key| format!("{key}#file={}", path(key).display())).collect()
    }
}

fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn valid_key(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    key.len() >= 3
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.ends_with(plain)
        && key.chars().all(|c| plain(c) || c == '-')
        && !key.contains("--")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn ids_compare_by_what_identifies_them() {
        let forms =
            ["d0neu000000000000000", "secret:d0neu000000000000000", "secret://u-u-i-d/d0neu000000000000000"];
        assert!(forms.iter().all(|form| SecretId::new(*form) == SecretId::new(forms[0])));
        assert_ne!(SecretId::new("secret:a"), SecretId::new("secret:b"));
    }

    #[test]
    fn content_is_never_shown_and_its_files_are_private_and_short_lived() {
        let content: SecretContent = [("private-key", "hunter22")].into_iter().collect();
        assert_eq!(format!("{content:?}"), "{\"private-key\"}");
        let files = Files::write("secret-add", &content).unwrap();
        let args = files.args();
        let path = args[0].strip_prefix("private-key#file=").unwrap().to_owned();
        assert!(Path::new(&path).is_absolute());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(files);
        assert!(!Path::new(&path).exists());
    }

    #[test]
    fn keys_follow_juju() {
        for key in ["abc", "private-key", "a1-2b"] {
            assert!(valid_key(key), "{key}");
        }
        for key in ["", "k", "ab", "UPPER", "a_b", "1ab", "ab-", "a--b"] {
            assert!(!valid_key(key), "{key}");
        }
    }
}
