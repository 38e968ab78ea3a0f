//! Storage: places that outlive a container, attached to a unit.
//!
//! ```
//! use juju_ops::{Event, Hook};
//!
//! async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
//!     // `storage: {archive: {type: filesystem, multiple: {range: 0-}}}` in metadata.yaml
//!     for id in hook.storages("archive").await? {
//!         if let Some(storage) = hook.storage(&id).await? {
//!             println!("{id} is at {}", storage.location.display());
//!         }
//!     }
//!     if hook.storages("archive").await?.is_empty() {
//!         // Attached some time after this hook; then `archive-storage-attached` runs.
//!         hook.request_storage("archive", 1).await?;
//!     }
//!     if let Event::StorageAttached(attached) = hook.event() {
//!         println!("new: {}", attached.location.display());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! On Kubernetes a filesystem is mounted twice: into the charm's container, which is what [`Storage::location`] says,
//! and into the workload's at the place that `metadata.yaml` names.

use std::{cmp::Ordering, fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Hook, NameError,
    tools::{ToolCall, ToolError},
};

/// Most instances that one request asks for. Juju counts in 64 bits; nobody means that.
const MOST_AT_ONCE: u32 = 1000;

/// One instance of a storage, `name/number`. Ordered by name, then by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorageId {
    name: String,
    number: u32,
}

impl StorageId {
    /// The instance `number` of the storage `name`.
    pub fn new(name: impl Into<String>, number: u32) -> Self {
        Self { name: name.into(), number }
    }

    /// Name of the storage in `metadata.yaml`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of the instance, unique in the model.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl fmt::Display for StorageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.number)
    }
}

impl FromStr for StorageId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError { text: text.to_owned(), expected: "storage id (name/number)" };
        let (name, number) = text.rsplit_once('/').ok_or_else(error)?;
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        if name.is_empty() || name.contains('/') || !digits {
            return Err(error());
        }
        Ok(Self { name: name.to_owned(), number: number.parse().map_err(|_| error())? })
    }
}

impl TryFrom<String> for StorageId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<StorageId> for String {
    fn from(id: StorageId) -> Self {
        id.to_string()
    }
}

impl Ord for StorageId {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.name, self.number).cmp(&(&other.name, other.number))
    }
}

impl PartialOrd for StorageId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What a storage is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// A folder.
    #[default]
    Filesystem,
    /// A device; not on Kubernetes.
    Block,
    /// Something that this library does not know.
    #[serde(other)]
    Unknown,
}

/// An attached instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// What it is.
    pub kind: StorageKind,
    /// Where it is in the charm's container.
    pub location: PathBuf,
}

impl Hook {
    /// Instances of a storage that are attached to this unit, by ascending number.
    pub async fn storages(&self, name: &str) -> Result<Vec<StorageId>, ToolError> {
        let args = ["--format=json".to_owned(), "--".into(), name.to_owned()];
        let ids: Option<Vec<StorageId>> = self.read("storage-list", args).await?;
        let mut ids = ids.unwrap_or_default();
        ids.sort();
        Ok(ids)
    }

    /// What an instance is and where; `None` if it is not attached to this unit.
    pub async fn storage(&self, id: &StorageId) -> Result<Option<Storage>, ToolError> {
        let args = ["--format=json".to_owned(), "-s".into(), id.to_string()];
        match self.read("storage-get", args).await {
            Ok(storage) => Ok(storage),
            // What is not this unit's, or not ready, Juju withholds.
            Err(error) if error.is_denied() || error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for more instances of a storage. They are made after the hook, if it succeeds; each is then told of by its
    /// own `storage-attached` event. Juju may find at the end of the hook that the charm declares fewer, and fail it.
    ///
    /// # Errors
    /// [`ToolError::Invalid`] for none or more than 1000.
    pub async fn request_storage(&self, name: &str, count: u32) -> Result<(), ToolError> {
        let tool = "storage-add";
        if name.is_empty() || name.contains('=') || !(1..=MOST_AT_ONCE).contains(&count) {
            let reason = format!("cannot ask for {count} instances of storage {name:?}");
            return Err(ToolError::Invalid { tool, reason });
        }
        self.change(ToolCall::new(tool, ["--".to_owned(), format!("{name}={count}")])).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_order_by_number_not_by_text() {
        let mut ids: Vec<StorageId> = ["data/10", "data/9", "a/11"].map(|id| id.parse().unwrap()).into();
        ids.sort();
        assert_eq!(ids.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a/11", "data/9", "data/10"]);
        for text in ["", "data", "data/", "/1", "a/b/1", "data/-1", "data/+1", "data/x"] {
            assert!(text.parse::<StorageId>().is_err(), "{text:?}");
        }
    }
}
