//! Juju secrets.
//!
//! An owner makes a secret, names it by a label of its own, lets others read it over a relation and changes it:
//!
//! ```
//! use juju_ops::{Event, Hook, NewSecret, Rotation, SecretContent, SecretOwner};
//!
//! fn password() -> SecretContent {
//!     # let fresh = || String::from("…");
//!     [("password", fresh())].into_iter().collect()
//! }
//!
//! async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
//!     let secrets = hook.secrets();
//!     let how = NewSecret { label: "admin", rotate: Some(Rotation::Monthly), ..NewSecret::default() };
//!     // The one of that label, or a new one.
//!     let (id, content) = secrets.get_or_add(SecretOwner::Unit, how, password).await?;
//!     for relation in hook.relations("clients").await? {
//!         secrets.grant(&id, relation.id()).await?;
//!         relation.set_unit([("secret".to_owned(), Some(id.to_string()))]);
//!     }
//!     // Once a month Juju asks for the next revision; when nobody reads an old one any more, it says so.
//!     match hook.event() {
//!         Event::SecretRotate(event) => secrets.rotate(event, &password()).await?,
//!         Event::SecretRemove(event) | Event::SecretExpired(event) => secrets.retire(event).await?,
//!         _ => {}
//!     }
//!     # drop(content);
//!     Ok(())
//! }
//! ```
//!
//! A reader gets the secret's id from somebody, mostly through a databag or an option of type `secret`:
//!
//! ```
//! use juju_ops::{Event, Hook, Remote, SecretId, SecretRef};
//!
//! async fn read(hook: &Hook, id: &SecretId) -> Result<(), juju_ops::Error> {
//!     // From now on `database` names it too; after `secret-changed` the newest content is what is wanted.
//!     let changed = matches!(hook.event(), Event::SecretChanged(event) if event.id == *id);
//!     match hook.secrets().get(SecretRef::Labelled(id, "database"), changed).await? {
//!         Remote::Ready(content) => println!("{}", content.get("username").unwrap_or_default()),
//!         // The id may be here before the right to read it.
//!         Remote::Denied | Remote::Absent => hook.waiting("for access to the database's secret").await?,
//!         Remote::Invalid(reason) => hook.blocked(reason).await?,
//!     }
//!     Ok(())
//! }
//! ```
//!
//! What Juju would refuse only at the end of the hook, with all that the hook did, is refused here before it is sent:
//! labels that are taken, secrets of others, bad keys, too much content. Content never appears in an argument of a
//! command: it goes through files that only this user may read.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write as _,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    Feature, Hook, Remote,
    event::SecretEvent,
    names::{NameError, RelationId, UnitName},
    time::rfc3339,
    tools::{ToolCall, ToolError, checked},
};

/// Most content of a secret, as base64 and of all keys together, in bytes.
const MOST_CONTENT: usize = 1_000_000;

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

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SecretId {
    type Err = NameError;

    /// Takes `secret:<id>`, `secret://<model>/<id>` and the bare id of 20 lower-case letters and digits.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let id = Self::new(text);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let form = id.bare() == text || text.starts_with("secret:");
        if form && id.bare().len() == 20 && id.bare().chars().all(plain) {
            return Ok(id);
        }
        Err(NameError { text: text.to_owned(), expected: "secret id (secret:…)" })
    }
}

/// From the text of an option of type `secret`, or of a databag.
impl<'de> Deserialize<'de> for SecretId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for SecretId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
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

impl SecretOwner {
    fn word(self) -> &'static str {
        match self {
            Self::App => "application",
            Self::Unit => "unit",
        }
    }
}

/// How often Juju asks the owner for a new revision, with a `secret-rotate` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// It does not.
    Never,
    /// Every hour.
    Hourly,
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
    /// Every three months.
    Quarterly,
    /// Every year.
    Yearly,
}

impl Rotation {
    fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Quarterly => "quarterly",
            Self::Yearly => "yearly",
        }
    }
}

/// When a revision expires: Juju then tells the owner, once. It can be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// After this time; at least a second.
    After(Duration),
    /// At this point in time, to the second.
    At(SystemTime),
}

/// How a secret is to be; `None` and empty texts leave it as it is, or as Juju makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewSecret<'a> {
    /// The owner's label. One label names one secret of the owner.
    pub label: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// When the revision expires.
    pub expire: Option<Expiry>,
    /// How often it is to be changed.
    pub rotate: Option<Rotation>,
}

impl<'a> NewSecret<'a> {
    /// A secret with this label, and all else as Juju makes it.
    pub fn labelled(label: &'a str) -> Self {
        Self { label, ..Self::default() }
    }

    fn args(&self) -> Vec<String> {
        let mut args = Vec::new();
        let mut flag = |name: &str, value: String| args.extend([name.to_owned(), value]);
        if !self.label.is_empty() {
            flag("--label", self.label.to_owned());
        }
        if !self.description.is_empty() {
            flag("--description", self.description.to_owned());
        }
        match self.expire {
            // Juju takes none that is over.
            Some(Expiry::After(after)) => {
                flag("--expire", format!("{}s", after.as_secs().clamp(1, LONGEST_EXPIRY)));
            }
            Some(Expiry::At(time)) => flag("--expire", rfc3339(time)),
            None => {}
        }
        if let Some(rotation) = self.rotate {
            flag("--rotate", rotation.word().to_owned());
        }
        args
    }
}

/// From whom a right to read is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grantee<'a> {
    /// From whoever has it over this relation.
    Relation(&'a RelationId),
    /// From an application.
    App(&'a str),
    /// From one unit.
    Unit(&'a UnitName),
}

/// What an owner sees of a secret, without its content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SecretInfo {
    /// Latest revision.
    pub revision: u64,
    /// The owner's label.
    #[serde(default)]
    pub label: String,
    /// Whose it is; `None` if Juju says something that this library does not know.
    #[serde(default, deserialize_with = "known_owner")]
    pub owner: Option<SecretOwner>,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// How often it is to be changed; `None` if that was never said.
    #[serde(default, deserialize_with = "known_rotation")]
    pub rotation: Option<Rotation>,
    /// When the next change is due, RFC 3339.
    #[serde(default)]
    pub rotates: Option<String>,
    /// When the revision expires, RFC 3339.
    #[serde(default)]
    pub expiry: Option<String>,
    /// Who else may read it. Grants of this hook do not show yet.
    #[serde(default)]
    pub access: Vec<SecretAccess>,
}

fn known_owner<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretOwner>, D::Error> {
    Ok(match Option::<String>::deserialize(from)?.as_deref() {
        Some("application") => Some(SecretOwner::App),
        Some("unit") => Some(SecretOwner::Unit),
        _ => None,
    })
}

fn known_rotation<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Rotation>, D::Error> {
    let word = Option::<String>::deserialize(from)?.unwrap_or_default();
    Ok(Rotation::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(&word)).ok())
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
    /// By id, and from now on by this label too. Only for reading: a secret of this unit's own keeps the label that it was
    /// made with.
    Labelled(&'a SecretId, &'a str),
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

    /// The tracked revision's content: the one that was read first, until `refresh` makes the latest one the tracked one.
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
        self.hook.require_for("secret-get", Feature::Secrets)?;
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
        // The tool takes either the id or the label.
        let secret = match secret {
            SecretRef::Labelled(id, _) => SecretRef::Id(id),
            other => other,
        };
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

    /// Makes a secret. Its id is valid at once, its content is stored when the hook succeeds.
    ///
    /// # Errors
    /// As [`Secrets::add_with`].
    pub async fn add(
        &self,
        content: &SecretContent,
        label: &str,
        owner: SecretOwner,
    ) -> Result<SecretId, ToolError> {
        self.add_with(content, owner, NewSecret::labelled(label)).await
    }

    /// The same, with an end.
    pub async fn add_expiring(
        &self,
        content: &SecretContent,
        label: &str,
        owner: SecretOwner,
        after: Duration,
    ) -> Result<SecretId, ToolError> {
        let how = NewSecret { label, expire: Some(Expiry::After(after)), ..NewSecret::default() };
        self.add_with(content, owner, how).await
    }

    /// The same, with everything that can be said of a secret.
    ///
    /// # Errors
    /// [`ToolError::Invalid`] for content that Juju would refuse, and for a label that the owner uses already: that would
    /// fail the hook at its end. [`ToolError::is_denied`] for a secret of the application and a unit that does not lead.
    pub async fn add_with(
        &self,
        content: &SecretContent,
        owner: SecretOwner,
        how: NewSecret<'_>,
    ) -> Result<SecretId, ToolError> {
        let tool = "secret-add";
        self.hook.require_for(tool, Feature::Secrets)?;
        let files = Files::write(tool, content)?;
        if content.0.is_empty() {
            return Err(ToolError::Invalid { tool, reason: "a secret without content".into() });
        }
        if !how.label.is_empty()
            && let Some((id, info)) = self.info(SecretRef::Label(how.label)).await?
            && info.owner.is_none_or(|of| of == owner)
        {
            let reason = format!("label {:?} is that of {id} already", how.label);
            return Err(ToolError::Invalid { tool, reason });
        }
        let mut args = how.args();
        args.extend(["--owner", owner.word(), "--"].map(str::to_owned));
        args.extend(files.args());
        let stdout = checked(self.hook.tools(), ToolCall::new(tool, args)).await?;
        self.forget();
        Ok(SecretId::new(String::from_utf8_lossy(&stdout).trim()))
    }

    /// The secret of a label with its latest content; a new one if this unit manages none of that label yet.
    ///
    /// A unit that does not lead manages no secret of the application: it reads one by its label, see [`Secrets::get`].
    ///
    /// # Errors
    /// As [`Secrets::add_with`]; and [`ToolError::Invalid`] without a label.
    pub async fn get_or_add(
        &self,
        owner: SecretOwner,
        how: NewSecret<'_>,
        make: impl FnOnce() -> SecretContent + Send,
    ) -> Result<(SecretId, SecretContent), ToolError> {
        if how.label.is_empty() {
            let reason = "a secret is found again by its label".into();
            return Err(ToolError::Invalid { tool: "secret-add", reason });
        }
        let by_label = SecretRef::Label(how.label);
        if let Some((id, info)) = self.info(by_label).await?
            && info.owner.is_none_or(|of| of == owner)
            && let Remote::Ready(content) = self.peek(SecretRef::Id(&id)).await?
        {
            return Ok((id, content));
        }
        let content = make();
        Ok((self.add_with(&content, owner, how).await?, content))
    }

    /// Replaces the whole content of an own secret; equal content makes no new revision.
    ///
    /// # Errors
    /// [`ToolError::is_not_found`] for a secret that this unit does not manage: that would fail the hook at its end.
    /// [`ToolError::Invalid`] for content that Juju would refuse.
    pub async fn set(&self, id: &SecretId, content: &SecretContent) -> Result<(), ToolError> {
        self.set_with(id, Some(content), NewSecret::default()).await
    }

    /// The same, and the new revision expires after this time.
    pub async fn set_expiring(
        &self,
        id: &SecretId,
        content: &SecretContent,
        after: Duration,
    ) -> Result<(), ToolError> {
        let how = NewSecret { expire: Some(Expiry::After(after)), ..NewSecret::default() };
        self.set_with(id, Some(content), how).await
    }

    /// Changes what is known of an own secret, and leaves its content.
    ///
    /// # Errors
    /// As [`Secrets::set`].
    pub async fn set_info(&self, id: &SecretId, how: NewSecret<'_>) -> Result<(), ToolError> {
        self.set_with(id, None, how).await
    }

    /// Changes what is known of an own secret and, if given, replaces its whole content, in one call: Juju before 3.6
    /// keeps only the last one of several.
    ///
    /// # Errors
    /// As [`Secrets::set`].
    pub async fn set_with(
        &self,
        id: &SecretId,
        content: Option<&SecretContent>,
        how: NewSecret<'_>,
    ) -> Result<(), ToolError> {
        let tool = "secret-set";
        let files = content.map(|content| Files::write(tool, content)).transpose()?;
        self.managed(tool, id).await?;
        let mut args = how.args();
        args.extend(["--".to_owned(), id.as_str().to_owned()]);
        args.extend(files.iter().flat_map(Files::args));
        self.hook.change(ToolCall::new(tool, args)).await?;
        self.forget();
        Ok(())
    }

    /// Answers a `secret-rotate` event: this is the secret's next content.
    ///
    /// # Errors
    /// As [`Secrets::set`].
    pub async fn rotate(&self, event: &SecretEvent, content: &SecretContent) -> Result<(), ToolError> {
        self.set(&event.id, content).await
    }

    /// Answers a `secret-remove` or `secret-expired` event: the revision that it is about is removed.
    ///
    /// # Errors
    /// What the agent refuses.
    pub async fn retire(&self, event: &SecretEvent) -> Result<(), ToolError> {
        match event.revision {
            Some(revision) => self.remove_revision(&event.id, revision).await,
            None => Ok(()),
        }
    }

    /// Removes an own secret with all its revisions when the hook succeeds. One that is gone already, or that this unit
    /// does not manage, is left alone.
    pub async fn remove(&self, id: &SecretId) -> Result<(), ToolError> {
        self.drop(id, ["--".to_owned(), id.as_str().to_owned()].to_vec()).await
    }

    /// Removes one revision of an own secret when the hook succeeds. With its last revision a secret is gone.
    pub async fn remove_revision(&self, id: &SecretId, revision: u64) -> Result<(), ToolError> {
        let args = ["--revision".to_owned(), revision.to_string(), "--".into(), id.as_str().to_owned()];
        self.drop(id, args.to_vec()).await
    }

    async fn drop(&self, id: &SecretId, args: Vec<String>) -> Result<(), ToolError> {
        if self.info(SecretRef::Id(id)).await?.is_none() {
            return Ok(());
        }
        self.hook.change(ToolCall::new("secret-remove", args)).await?;
        self.forget();
        Ok(())
    }

    /// Lets the other application of a relation read an own secret, for as long as the relation lives.
    pub async fn grant(&self, id: &SecretId, relation: &RelationId) -> Result<(), ToolError> {
        let args = ["-r".to_owned(), relation.to_string(), "--".into(), id.as_str().to_owned()];
        self.hook.change(ToolCall::new("secret-grant", args)).await
    }

    /// Lets one unit of the other application read an own secret, for as long as the relation lives. Of no effect while
    /// the application as a whole may.
    pub async fn grant_unit(
        &self,
        id: &SecretId,
        relation: &RelationId,
        unit: &UnitName,
    ) -> Result<(), ToolError> {
        let args = ["-r".to_owned(), relation.to_string(), "--unit".into(), unit.to_string(), "--".into()];
        let args = args.into_iter().chain([id.as_str().to_owned()]);
        self.hook.change(ToolCall::new("secret-grant", args)).await
    }

    /// Takes the right to read an own secret away when the hook succeeds. A secret that is gone, or that this unit does
    /// not manage, is left alone.
    pub async fn revoke(&self, id: &SecretId, from: Grantee<'_>) -> Result<(), ToolError> {
        // Of a secret that is not ours, the agent would say so only at the end of the hook.
        if self.info(SecretRef::Id(id)).await?.is_none() {
            return Ok(());
        }
        let (flag, who) = match from {
            Grantee::Relation(relation) => ("-r", relation.to_string()),
            Grantee::App(app) => ("--app", app.to_owned()),
            Grantee::Unit(unit) => ("--unit", unit.to_string()),
        };
        let args = [flag.to_owned(), who, "--".into(), id.as_str().to_owned()];
        match self.hook.change(ToolCall::new("secret-revoke", args)).await {
            // With the relation, the right has gone.
            Err(error) if error.is_not_found() => Ok(()),
            done => done,
        }
    }

    /// Checks that the end of the hook will not find the secret to be another's.
    async fn managed(&self, tool: &'static str, id: &SecretId) -> Result<(), ToolError> {
        match self.info(SecretRef::Id(id)).await? {
            Some(_) => Ok(()),
            None => {
                Err(ToolError::Refused { tool, code: 1, message: format!("own secret \"{id}\" not found") })
            }
        }
    }

    fn forget(self) {
        self.hook.forget("secret-get");
        self.hook.forget("secret-info-get");
        self.hook.forget("secret-ids");
    }
}

fn named(secret: SecretRef<'_>) -> Vec<String> {
    match secret {
        SecretRef::Id(id) => vec!["--".into(), id.as_str().into()],
        SecretRef::Label(label) => vec!["--label".into(), label.into()],
        SecretRef::Labelled(id, label) => {
            vec!["--label".into(), label.into(), "--".into(), id.as_str().into()]
        }
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
        let size: usize = content.0.values().map(|value| value.len().div_ceil(3) * 4).sum();
        if size > MOST_CONTENT {
            let reason = format!("content of {size} bytes as base64, more than {MOST_CONTENT}");
            return Err(ToolError::Invalid { tool, reason });
        }
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
    key.chars().filter(|c| plain(*c)).count() >= 3
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
    fn what_is_no_secret_id_is_refused() {
        let id = "d0neu000000000000000";
        for text in [id.to_owned(), format!("secret:{id}"), format!("secret://a-b/{id}")] {
            assert_eq!(text.parse::<SecretId>().unwrap().as_str(), text);
        }
        for text in ["", "secret:", "d0neu", "secret:d0neu00000000000000X", &format!("http://x/{id}")] {
            assert!(text.parse::<SecretId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn more_than_juju_takes_is_not_sent() {
        // 750 000 bytes are exactly a million as base64.
        let fits: SecretContent = [("big-key", "x".repeat(750_000))].into_iter().collect();
        assert!(Files::write("secret-add", &fits).is_ok());
        let over: SecretContent =
            [("big-key", "x".repeat(750_000)), ("small-key", "y".into())].into_iter().collect();
        assert!(matches!(Files::write("secret-add", &over), Err(ToolError::Invalid { .. })));
    }

    #[test]
    fn keys_follow_juju() {
        for key in ["abc", "private-key", "a1-2b"] {
            assert!(valid_key(key), "{key}");
        }
        for key in ["", "k", "ab", "a-b", "UPPER", "a_b", "1ab", "ab-", "a--b"] {
            assert!(!valid_key(key), "{key}");
        }
    }
}
