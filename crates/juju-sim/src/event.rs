//! What happens to a unit: one value per kind of hook and for actions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Secret;

/// Where a relation hook comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationEvent {
    /// Local endpoint.
    pub endpoint: String,
    /// Relation number.
    pub id: u32,
    /// Remote unit; `None` for created and broken, and for a changed application databag.
    pub unit: Option<String>,
    /// Departed only: the unit that really leaves, which may be this one.
    pub departing: Option<String>,
}

/// A container's notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Pebble's number for it.
    pub id: String,
    /// `custom`.
    pub kind: String,
    /// For example `example.com/done`.
    pub key: String,
}

/// Which secret a hook is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretEvent {
    /// URI, `secret:<id>`.
    pub uri: String,
    /// The label this unit knows it by, or empty.
    pub label: String,
    /// Expired and remove only.
    pub revision: Option<u32>,
}

/// One dispatch of a charm. [`Event::hook_name`] gives the name Juju uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// First hook of a unit.
    Install,
    /// After the first `config-changed`.
    Start,
    /// Before the unit goes, or when its pod is replaced.
    Stop,
    /// Last hook of a unit.
    Remove,
    /// An option, the trust flag or an address changed.
    ConfigChanged,
    /// Every few minutes when nothing else happens.
    UpdateStatus,
    /// After a new revision of the charm was put in place.
    UpgradeCharm,
    /// This unit became leader.
    LeaderElected,
    /// The leader changed (Juju 3 and earlier).
    LeaderSettingsChanged,
    /// The machine is about to get the given base, for example `ubuntu@24.04` (machines, Juju 3 and earlier).
    PreSeriesUpgrade(String),
    /// The machine has got another base (machines, Juju 3 and earlier).
    PostSeriesUpgrade,
    /// A relation exists.
    RelationCreated(RelationEvent),
    /// A remote unit joined.
    RelationJoined(RelationEvent),
    /// A remote databag changed.
    RelationChanged(RelationEvent),
    /// A remote unit, or this one, leaves.
    RelationDeparted(RelationEvent),
    /// A relation is gone.
    RelationBroken(RelationEvent),
    /// A container's Pebble answers, for the first time or after a restart.
    PebbleReady(String),
    /// A container recorded a custom notice.
    PebbleCustomNotice(String, Notice),
    /// A check of a container (container, check) reached its threshold of failures.
    PebbleCheckFailed(String, String),
    /// A failed check of a container (container, check) is well again.
    PebbleCheckRecovered(String, String),
    /// A secret this unit reads has a new revision.
    SecretChanged(SecretEvent),
    /// A secret this unit owns is due for new content.
    SecretRotate(SecretEvent),
    /// A revision of a secret this unit owns expired.
    SecretExpired(SecretEvent),
    /// Nobody reads a revision any more.
    SecretRemove(SecretEvent),
    /// A storage (`data/0`) is there.
    StorageAttached(String),
    /// A storage (`data/0`) is about to go.
    StorageDetaching(String),
    /// A user runs an action.
    Action {
        /// Name of the action.
        name: String,
        /// Number of the task.
        id: String,
        /// Parameters as given; defaults of the charm are filled in by the session.
        params: BTreeMap<String, Value>,
    },
    /// A hook this library has no word for, by its name.
    Other(String),
}

impl Event {
    fn relation(endpoint: &str, id: u32, unit: Option<&str>) -> RelationEvent {
        RelationEvent { endpoint: endpoint.to_owned(), id, unit: unit.map(str::to_owned), departing: None }
    }

    /// `<endpoint>-relation-created`.
    #[must_use]
    pub fn relation_created(endpoint: &str, id: u32) -> Self {
        Self::RelationCreated(Self::relation(endpoint, id, None))
    }

    /// `<endpoint>-relation-joined` for a remote unit.
    #[must_use]
    pub fn relation_joined(endpoint: &str, id: u32, unit: &str) -> Self {
        Self::RelationJoined(Self::relation(endpoint, id, Some(unit)))
    }

    /// `<endpoint>-relation-changed`: the remote application's databag changed.
    #[must_use]
    pub fn relation_changed(endpoint: &str, id: u32) -> Self {
        Self::RelationChanged(Self::relation(endpoint, id, None))
    }

    /// `<endpoint>-relation-changed`: a remote unit's databag changed.
    #[must_use]
    pub fn relation_changed_unit(endpoint: &str, id: u32, unit: &str) -> Self {
        Self::RelationChanged(Self::relation(endpoint, id, Some(unit)))
    }

    /// `<endpoint>-relation-departed`: a remote unit leaves.
    #[must_use]
    pub fn relation_departed(endpoint: &str, id: u32, unit: &str) -> Self {
        let mut event = Self::relation(endpoint, id, Some(unit));
        event.departing = Some(unit.to_owned());
        Self::RelationDeparted(event)
    }

    /// `<endpoint>-relation-departed` with the unit that really leaves: this one, when it is removed itself.
    #[must_use]
    pub fn relation_departed_with(endpoint: &str, id: u32, unit: &str, departing: &str) -> Self {
        let mut event = Self::relation(endpoint, id, Some(unit));
        event.departing = Some(departing.to_owned());
        Self::RelationDeparted(event)
    }

    /// `<endpoint>-relation-broken`.
    #[must_use]
    pub fn relation_broken(endpoint: &str, id: u32) -> Self {
        Self::RelationBroken(Self::relation(endpoint, id, None))
    }

    /// `<container>-pebble-ready`.
    #[must_use]
    pub fn pebble_ready(container: &str) -> Self {
        Self::PebbleReady(container.to_owned())
    }

    /// `<container>-pebble-custom-notice` for a notice that the container has.
    #[must_use]
    pub fn pebble_custom_notice(container: &str, notice: &juju_pebble::Notice) -> Self {
        let (id, kind, key) = (notice.id.clone(), notice.kind.clone(), notice.key.clone());
        Self::PebbleCustomNotice(container.to_owned(), Notice { id, kind, key })
    }

    /// `<container>-pebble-check-failed`.
    #[must_use]
    pub fn pebble_check_failed(container: &str, check: &str) -> Self {
        Self::PebbleCheckFailed(container.to_owned(), check.to_owned())
    }

    /// `<container>-pebble-check-recovered`.
    #[must_use]
    pub fn pebble_check_recovered(container: &str, check: &str) -> Self {
        Self::PebbleCheckRecovered(container.to_owned(), check.to_owned())
    }

    fn secret(secret: &Secret, label: &str, revision: Option<u32>) -> SecretEvent {
        SecretEvent { uri: secret.uri(), label: label.to_owned(), revision }
    }

    /// `secret-changed`, for a secret that this unit reads.
    #[must_use]
    pub fn secret_changed(secret: &Secret) -> Self {
        Self::SecretChanged(Self::secret(secret, secret.consumer_label.as_deref().unwrap_or_default(), None))
    }

    /// `secret-rotate`, for a secret of this unit or its application.
    #[must_use]
    pub fn secret_rotate(secret: &Secret) -> Self {
        Self::SecretRotate(Self::secret(secret, &secret.label, None))
    }

    /// `secret-expired`, for a revision of a secret of this unit or its application.
    #[must_use]
    pub fn secret_expired(secret: &Secret, revision: u32) -> Self {
        Self::SecretExpired(Self::secret(secret, &secret.label, Some(revision)))
    }

    /// `secret-remove`, for a revision that nobody reads any more of a secret of this unit or its application.
    #[must_use]
    pub fn secret_remove(secret: &Secret, revision: u32) -> Self {
        Self::SecretRemove(Self::secret(secret, &secret.label, Some(revision)))
    }

    /// `<storage>-storage-attached` for an instance (`data/0`).
    #[must_use]
    pub fn storage_attached(id: &str) -> Self {
        Self::StorageAttached(id.to_owned())
    }

    /// `<storage>-storage-detaching` for an instance (`data/0`).
    #[must_use]
    pub fn storage_detaching(id: &str) -> Self {
        Self::StorageDetaching(id.to_owned())
    }

    /// An action with parameters, as task `1`.
    #[must_use]
    pub fn action(name: &str, params: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self::Action { name: name.to_owned(), id: "1".to_owned(), params: params.into_iter().collect() }
    }

    /// Juju's name of the hook (`tracing-relation-changed`), or the action's name.
    #[must_use]
    pub fn hook_name(&self) -> String {
        let fixed = match self {
            Self::Install => "install",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::ConfigChanged => "config-changed",
            Self::UpdateStatus => "update-status",
            Self::UpgradeCharm => "upgrade-charm",
            Self::LeaderElected => "leader-elected",
            Self::LeaderSettingsChanged => "leader-settings-changed",
            Self::PreSeriesUpgrade(_) => "pre-series-upgrade",
            Self::PostSeriesUpgrade => "post-series-upgrade",
            Self::SecretChanged(_) => "secret-changed",
            Self::SecretRotate(_) => "secret-rotate",
            Self::SecretExpired(_) => "secret-expired",
            Self::SecretRemove(_) => "secret-remove",
            Self::Other(name) | Self::Action { name, .. } => name,
            Self::RelationCreated(event) => return format!("{}-relation-created", event.endpoint),
            Self::RelationJoined(event) => return format!("{}-relation-joined", event.endpoint),
            Self::RelationChanged(event) => return format!("{}-relation-changed", event.endpoint),
            Self::RelationDeparted(event) => return format!("{}-relation-departed", event.endpoint),
            Self::RelationBroken(event) => return format!("{}-relation-broken", event.endpoint),
            Self::PebbleReady(container) => return format!("{container}-pebble-ready"),
            Self::PebbleCustomNotice(container, _) => return format!("{container}-pebble-custom-notice"),
            Self::PebbleCheckFailed(container, _) => return format!("{container}-pebble-check-failed"),
            Self::PebbleCheckRecovered(container, _) => return format!("{container}-pebble-check-recovered"),
            Self::StorageAttached(storage) => return format!("{}-storage-attached", storage_name(storage)),
            Self::StorageDetaching(storage) => return format!("{}-storage-detaching", storage_name(storage)),
        };
        fixed.to_owned()
    }

    /// Whether it is an action.
    #[must_use]
    pub fn is_action(&self) -> bool {
        matches!(self, Self::Action { .. })
    }

    /// The relation a relation hook is about.
    #[must_use]
    pub fn as_relation(&self) -> Option<&RelationEvent> {
        match self {
            Self::RelationCreated(event)
            | Self::RelationJoined(event)
            | Self::RelationChanged(event)
            | Self::RelationDeparted(event)
            | Self::RelationBroken(event) => Some(event),
            _ => None,
        }
    }

    /// The container a Pebble hook is about.
    #[must_use]
    pub fn as_container(&self) -> Option<&str> {
        match self {
            Self::PebbleReady(name)
            | Self::PebbleCustomNotice(name, _)
            | Self::PebbleCheckFailed(name, _)
            | Self::PebbleCheckRecovered(name, _) => Some(name),
            _ => None,
        }
    }

    /// The secret a secret hook is about.
    #[must_use]
    pub fn as_secret(&self) -> Option<&SecretEvent> {
        match self {
            Self::SecretChanged(event)
            | Self::SecretRotate(event)
            | Self::SecretExpired(event)
            | Self::SecretRemove(event) => Some(event),
            _ => None,
        }
    }

    /// The storage (`data/0`) a storage hook is about.
    #[must_use]
    pub fn as_storage(&self) -> Option<&str> {
        match self {
            Self::StorageAttached(storage) | Self::StorageDetaching(storage) => Some(storage),
            _ => None,
        }
    }
}

fn storage_name(instance: &str) -> &str {
    instance.split('/').next().unwrap_or(instance)
}
