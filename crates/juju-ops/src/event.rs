//! Why the agent runs the charm.

use std::path::PathBuf;

use juju_pebble::{CheckInfo, CheckStatus, Error as PebbleError, Notice, NoticeFilter};

use crate::{
    Hook,
    names::{RelationId, UnitName},
    secrets::SecretId,
    storage::{StorageId, StorageKind},
};

/// A hook or action, with what it is about.
///
/// Most charms do the same whatever the event: look, compare, change. What an event carries is for the cases where that is
/// not enough:
///
/// ```
/// use juju_ops::{Event, Hook};
///
/// async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
///     match hook.event() {
///         Event::PebbleCustomNotice(event) if event.key == "example.com/backup-done" => {
///             if let Some(notice) = event.notice(&hook).await? {
///                 println!("{} times, last to {:?}", notice.occurrences, notice.last_data.get("target"));
///             }
///         }
///         Event::PebbleCheckFailed(event) => {
///             // The check may be well again by now.
///             if event.is_down(&hook).await? {
///                 hook.blocked(format!("{} does not answer", event.container)).await?;
///             }
///         }
///         Event::RelationDeparted(event) if event.departing_unit.as_ref() == Some(&hook.env().unit) => {
///             println!("it is this unit that leaves");
///         }
///         Event::StorageDetaching(storage) => println!("save what is in {}", storage.location.display()),
///         _ => {}
///     }
///     Ok(())
/// }
/// ```
///
/// Source: Juju's hook names and the variables that go with each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// First hook of a unit.
    Install,
    /// After the first `config-changed`.
    Start,
    /// Options, trust or addresses changed.
    ConfigChanged,
    /// Every few minutes.
    UpdateStatus,
    /// New revision of the charm.
    UpgradeCharm,
    /// The unit, or only its pod, goes down.
    Stop,
    /// Last hook of a unit.
    Remove,
    /// This unit became leader.
    LeaderElected,
    /// Juju 3 and older.
    LeaderSettingsChanged,
    /// Machines, Juju 3 and older.
    PreSeriesUpgrade,
    /// Machines, Juju 3 and older.
    PostSeriesUpgrade,
    /// Juju 3 and older; most hook tools are refused in it.
    CollectMetrics,
    /// Juju 3 and older; most hook tools are refused in it.
    MeterStatusChanged,
    /// The relation exists.
    RelationCreated(RelationEvent),
    /// A remote unit appeared.
    RelationJoined(RelationEvent),
    /// A remote databag changed; without a remote unit it is the application's.
    RelationChanged(RelationEvent),
    /// A remote unit left, or this unit is leaving.
    RelationDeparted(RelationEvent),
    /// The relation is gone: it is in no list any more.
    RelationBroken(RelationEvent),
    /// A storage instance was attached.
    StorageAttached(StorageEvent),
    /// A storage instance is about to go.
    StorageDetaching(StorageEvent),
    /// A workload container's Pebble started.
    PebbleReady(String),
    /// Somebody called `pebble notify` in the container.
    PebbleCustomNotice(NoticeEvent),
    /// A health check reached its threshold.
    PebbleCheckFailed(CheckEvent),
    /// A failed health check is well again.
    PebbleCheckRecovered(CheckEvent),
    /// A secret of another application has a new revision.
    SecretChanged(SecretEvent),
    /// An own secret is due for rotation.
    SecretRotate(SecretEvent),
    /// An own secret's revision expired.
    SecretExpired(SecretEvent),
    /// Nobody tracks a revision of an own secret any more.
    SecretRemove(SecretEvent),
    /// Somebody ran an action.
    Action(ActionEvent),
    /// A hook this library does not know, by name. Ignoring it keeps rollbacks possible.
    Unknown(String),
}

/// What a relation event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationEvent {
    /// The relation.
    pub id: RelationId,
    /// The other application, where Juju names it.
    pub remote_app: Option<String>,
    /// The other unit; none for application data, created and broken.
    pub remote_unit: Option<UnitName>,
    /// In a departed event the unit that really leaves; may be this one.
    pub departing_unit: Option<UnitName>,
}

/// What a storage event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageEvent {
    /// The instance.
    pub id: StorageId,
    /// What it is.
    pub kind: StorageKind,
    /// Mount point in the charm container; empty where Juju does not tell.
    pub location: PathBuf,
}

/// What a custom notice is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeEvent {
    /// Container name.
    pub container: String,
    /// Pebble's notice id.
    pub id: String,
    /// Notice type, `custom`.
    pub kind: String,
    /// Notice key, `domain/path`.
    pub key: String,
}

impl NoticeEvent {
    /// The notice as it is now, with its data; `None` if Pebble has forgotten it, as it does when the container restarts.
    ///
    /// # Errors
    /// If Pebble does not answer.
    pub async fn notice(&self, hook: &Hook) -> Result<Option<Notice>, PebbleError> {
        let filter = NoticeFilter {
            types: vec![self.kind.clone()],
            keys: vec![self.key.clone()],
            ..NoticeFilter::default()
        };
        let notices = hook.container(&self.container).notices(&filter).await?;
        Ok(notices.into_iter().find(|notice| notice.id == self.id))
    }
}

impl CheckEvent {
    /// The check as it is now; `None` if it is not in the plan any more.
    ///
    /// # Errors
    /// If Pebble does not answer.
    pub async fn info(&self, hook: &Hook) -> Result<Option<CheckInfo>, PebbleError> {
        Ok(hook.container(&self.container).checks(&[&self.check]).await?.pop())
    }

    /// Whether the check fails now, which the event cannot know: time has passed since.
    ///
    /// # Errors
    /// As [`CheckEvent::info`].
    pub async fn is_down(&self, hook: &Hook) -> Result<bool, PebbleError> {
        Ok(self.info(hook).await?.is_some_and(|info| info.status == CheckStatus::Down))
    }
}

/// What a check event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckEvent {
    /// Container name.
    pub container: String,
    /// Check name.
    pub check: String,
}

/// What a secret event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretEvent {
    /// The secret, in the form that Juju gave it.
    pub id: SecretId,
    /// This unit's label for it.
    pub label: Option<String>,
    /// Only for removed and expired revisions.
    pub revision: Option<u64>,
}

/// Which action was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionEvent {
    /// Action name.
    pub name: String,
    /// Id of this run.
    pub id: String,
}

impl Event {
    /// Reads the event through `var`, which returns a variable's value if it is set.
    ///
    /// What cannot be understood becomes [`Event::Unknown`]; a newer Juju may send events this library has not met.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| var(name).filter(|value| !value.is_empty());
        let path = get("JUJU_DISPATCH_PATH").unwrap_or_default();
        // `juju exec` runs as an action of its own, in which people dispatch hooks by hand: the path decides.
        if !path.starts_with("hooks/")
            && let Some(name) = get("JUJU_ACTION_NAME")
        {
            return Self::Action(ActionEvent { name, id: get("JUJU_ACTION_UUID").unwrap_or_default() });
        }
        let name =
            get("JUJU_HOOK_NAME").unwrap_or_else(|| path.rsplit('/').next().unwrap_or_default().to_owned());
        Self::hook(&name, &get).unwrap_or(Self::Unknown(name))
    }

    fn hook(name: &str, get: &impl Fn(&str) -> Option<String>) -> Option<Self> {
        Some(match name {
            "install" => Self::Install,
            "start" => Self::Start,
            "config-changed" => Self::ConfigChanged,
            "update-status" => Self::UpdateStatus,
            "upgrade-charm" => Self::UpgradeCharm,
            "stop" => Self::Stop,
            "remove" => Self::Remove,
            "leader-elected" => Self::LeaderElected,
            "leader-settings-changed" => Self::LeaderSettingsChanged,
            "pre-series-upgrade" => Self::PreSeriesUpgrade,
            "post-series-upgrade" => Self::PostSeriesUpgrade,
            "collect-metrics" => Self::CollectMetrics,
            "meter-status-changed" => Self::MeterStatusChanged,
            "secret-changed" => Self::SecretChanged(secret(get)?),
            "secret-rotate" => Self::SecretRotate(secret(get)?),
            "secret-expired" => Self::SecretExpired(secret(get)?),
            "secret-remove" => Self::SecretRemove(secret(get)?),
            _ => return Self::about_object(name, get),
        })
    }

    /// Events whose hook name starts with an endpoint, storage or container. Names may hold dashes, so the kind is
    /// taken from the end and the object from its own variable.
    fn about_object(name: &str, get: &impl Fn(&str) -> Option<String>) -> Option<Self> {
        type OfRelation = fn(RelationEvent) -> Event;
        let of_relation: [(&str, OfRelation); 5] = [
            ("-relation-created", Self::RelationCreated),
            ("-relation-joined", Self::RelationJoined),
            ("-relation-changed", Self::RelationChanged),
            ("-relation-departed", Self::RelationDeparted),
            ("-relation-broken", Self::RelationBroken),
        ];
        for (suffix, kind) in of_relation {
            if name.ends_with(suffix) {
                return Some(kind(relation(get)?));
            }
        }
        let container = || get("JUJU_WORKLOAD_NAME");
        let check = || Some(CheckEvent { container: container()?, check: get("JUJU_PEBBLE_CHECK_NAME")? });
        let storage = || {
            Some(StorageEvent {
                id: get("JUJU_STORAGE_ID")?.parse().ok()?,
                kind: match get("JUJU_STORAGE_KIND").as_deref() {
                    Some("filesystem") | None => StorageKind::Filesystem,
                    Some("block") => StorageKind::Block,
                    Some(_) => StorageKind::Unknown,
                },
                location: get("JUJU_STORAGE_LOCATION").unwrap_or_default().into(),
            })
        };
        if name.ends_with("-pebble-ready") {
            Some(Self::PebbleReady(container()?))
        } else if name.ends_with("-pebble-custom-notice") {
            Some(Self::PebbleCustomNotice(NoticeEvent {
                container: container()?,
                id: get("JUJU_NOTICE_ID")?,
                kind: get("JUJU_NOTICE_TYPE").unwrap_or_default(),
                key: get("JUJU_NOTICE_KEY").unwrap_or_default(),
            }))
        } else if name.ends_with("-pebble-check-failed") {
            Some(Self::PebbleCheckFailed(check()?))
        } else if name.ends_with("-pebble-check-recovered") {
            Some(Self::PebbleCheckRecovered(check()?))
        } else if name.ends_with("-storage-attached") {
            Some(Self::StorageAttached(storage()?))
        } else if name.ends_with("-storage-detaching") {
            Some(Self::StorageDetaching(storage()?))
        } else {
            None
        }
    }

    /// The hook's name, for example `tracing-relation-changed`, or the action's.
    pub fn name(&self) -> String {
        let of = |event: &RelationEvent, kind: &str| format!("{}-relation-{kind}", event.id.endpoint());
        let storage = |event: &StorageEvent| event.id.name().to_owned();
        match self {
            Self::Install => "install".into(),
            Self::Start => "start".into(),
            Self::ConfigChanged => "config-changed".into(),
            Self::UpdateStatus => "update-status".into(),
            Self::UpgradeCharm => "upgrade-charm".into(),
            Self::Stop => "stop".into(),
            Self::Remove => "remove".into(),
            Self::LeaderElected => "leader-elected".into(),
            Self::LeaderSettingsChanged => "leader-settings-changed".into(),
            Self::PreSeriesUpgrade => "pre-series-upgrade".into(),
            Self::PostSeriesUpgrade => "post-series-upgrade".into(),
            Self::CollectMetrics => "collect-metrics".into(),
            Self::MeterStatusChanged => "meter-status-changed".into(),
            Self::RelationCreated(e) => of(e, "created"),
            Self::RelationJoined(e) => of(e, "joined"),
            Self::RelationChanged(e) => of(e, "changed"),
            Self::RelationDeparted(e) => of(e, "departed"),
            Self::RelationBroken(e) => of(e, "broken"),
            Self::StorageAttached(e) => format!("{}-storage-attached", storage(e)),
            Self::StorageDetaching(e) => format!("{}-storage-detaching", storage(e)),
            Self::PebbleReady(container) => format!("{container}-pebble-ready"),
            Self::PebbleCustomNotice(e) => format!("{}-pebble-custom-notice", e.container),
            Self::PebbleCheckFailed(e) => format!("{}-pebble-check-failed", e.container),
            Self::PebbleCheckRecovered(e) => format!("{}-pebble-check-recovered", e.container),
            Self::SecretChanged(_) => "secret-changed".into(),
            Self::SecretRotate(_) => "secret-rotate".into(),
            Self::SecretExpired(_) => "secret-expired".into(),
            Self::SecretRemove(_) => "secret-remove".into(),
            Self::Action(e) => e.name.clone(),
            Self::Unknown(name) => name.clone(),
        }
    }

    /// The relation that is gone with this event, if it is a relation-broken one.
    pub fn broken_relation(&self) -> Option<&RelationId> {
        match self {
            Self::RelationBroken(event) => Some(&event.id),
            _ => None,
        }
    }
}

fn relation(get: &impl Fn(&str) -> Option<String>) -> Option<RelationEvent> {
    let endpoint = get("JUJU_RELATION")?;
    let id: RelationId = get("JUJU_RELATION_ID")?.parse().ok()?;
    let remote_unit: Option<UnitName> = get("JUJU_REMOTE_UNIT").and_then(|u| u.parse().ok());
    Some(RelationEvent {
        id: RelationId::new(endpoint, id.number()),
        remote_app: get("JUJU_REMOTE_APP").or_else(|| remote_unit.as_ref().map(|u| u.app().to_owned())),
        remote_unit,
        departing_unit: get("JUJU_DEPARTING_UNIT").and_then(|u| u.parse().ok()),
    })
}

fn secret(get: &impl Fn(&str) -> Option<String>) -> Option<SecretEvent> {
    Some(SecretEvent {
        id: SecretId::new(get("JUJU_SECRET_ID")?),
        label: get("JUJU_SECRET_LABEL"),
        revision: get("JUJU_SECRET_REVISION").and_then(|r| r.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(vars: &[(&str, &str)]) -> Event {
        Event::from_vars(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn every_plain_hook_keeps_its_name() {
        for name in [
            "install",
            "start",
            "config-changed",
            "update-status",
            "upgrade-charm",
            "stop",
            "remove",
            "leader-elected",
            "leader-settings-changed",
            "pre-series-upgrade",
            "post-series-upgrade",
            "collect-metrics",
            "meter-status-changed",
        ] {
            let event = event(&[("JUJU_HOOK_NAME", name)]);
            assert!(!matches!(event, Event::Unknown(_)), "{name}");
            assert_eq!(event.name(), name);
        }
    }

    #[test]
    fn object_comes_from_its_variable_not_from_the_hook_name() {
        let vars = [
            ("JUJU_DISPATCH_PATH", "hooks/a-relation-changed-relation-changed"),
            ("JUJU_HOOK_NAME", "a-relation-changed-relation-changed"),
            ("JUJU_RELATION", "a-relation-changed"),
            ("JUJU_RELATION_ID", "a-relation-changed:7"),
            ("JUJU_REMOTE_APP", ""),
            ("JUJU_REMOTE_UNIT", "pg/0"),
        ];
        let Event::RelationChanged(changed) = event(&vars) else { panic!("not a relation-changed") };
        assert_eq!(changed.id.to_string(), "a-relation-changed:7");
        assert_eq!(changed.remote_app.as_deref(), Some("pg"));
        assert_eq!(event(&vars).name(), "a-relation-changed-relation-changed");
    }

    #[test]
    fn what_is_not_known_is_unknown_not_an_error() {
        assert_eq!(
            event(&[("JUJU_HOOK_NAME", "moon-phase-changed")]),
            Event::Unknown("moon-phase-changed".into())
        );
        assert_eq!(event(&[]), Event::Unknown(String::new()));
        // A relation hook without its relation cannot be acted on.
        assert!(matches!(event(&[("JUJU_HOOK_NAME", "db-relation-changed")]), Event::Unknown(_)));
    }

    #[test]
    fn a_hook_dispatched_by_hand_is_a_hook() {
        let got = event(&[
            ("JUJU_DISPATCH_PATH", "hooks/update-status"),
            ("JUJU_ACTION_NAME", "juju-exec"),
            ("JUJU_ACTION_UUID", "7"),
        ]);
        assert_eq!(got, Event::UpdateStatus);
    }

    #[test]
    fn an_action_has_no_hook_name() {
        let got = event(&[
            ("JUJU_DISPATCH_PATH", "actions/list-receivers"),
            ("JUJU_HOOK_NAME", ""),
            ("JUJU_ACTION_NAME", "list-receivers"),
            ("JUJU_ACTION_UUID", "12"),
        ]);
        assert_eq!(got, Event::Action(ActionEvent { name: "list-receivers".into(), id: "12".into() }));
    }
}
