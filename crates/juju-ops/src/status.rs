//! Unit and application status.
//!
//! ```
//! use juju_ops::{Hook, Status, StatusBoard};
//!
//! async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
//!     // Every part says how it is doing; the unit shows what needs attention most.
//!     let mut board = StatusBoard::default();
//!     if hook.relations("database").await?.is_empty() {
//!         board.add(Status::Blocked("needs a relation to a database".into()));
//!     }
//!     if hook.container("web").system_info().await.is_err() {
//!         board.add(Status::Waiting("for the container".into()));
//!     }
//!     board.add(Status::Active(String::new()));
//!     hook.show(&board).await?;
//!
//!     // The leader sees how all units are doing.
//!     if hook.is_leader().await? {
//!         let all = hook.app_status().await?;
//!         let waiting = all.units.values().filter(|unit| unit.kind == "waiting").count();
//!         hook.set_app_status(&Status::Active(format!("{waiting} of {} wait", all.units.len()))).await?;
//!     }
//!     Ok(())
//! }
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::{
    Hook, UnitName,
    relation::Scope,
    tools::{ToolCall, ToolError},
};

/// How a unit or application is doing, with a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Only a person can help; the text says how.
    Blocked(String),
    /// The charm is working on it.
    Maintenance(String),
    /// Something else has to happen first; the text says what.
    Waiting(String),
    /// In service.
    Active(String),
}

impl Status {
    /// Juju's word for the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Blocked(_) => "blocked",
            Self::Maintenance(_) => "maintenance",
            Self::Waiting(_) => "waiting",
            Self::Active(_) => "active",
        }
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        match self {
            Self::Blocked(m) | Self::Maintenance(m) | Self::Waiting(m) | Self::Active(m) => m,
        }
    }

    /// How loudly it asks for attention: blocked, maintenance, waiting, active, as `ops` ranks them.
    pub fn severity(&self) -> u8 {
        match self {
            Self::Blocked(_) => 4,
            Self::Maintenance(_) => 3,
            Self::Waiting(_) => 2,
            Self::Active(_) => 1,
        }
    }
}

/// Statuses of which the most pressing one counts; of equally pressing ones, the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusBoard {
    all: Vec<Status>,
}

impl StatusBoard {
    /// Adds one.
    pub fn add(&mut self, status: Status) {
        self.all.push(status);
    }

    /// The one that counts; `None` of none.
    pub fn worst(&self) -> Option<&Status> {
        // The last of several maxima, in reverse, is the first.
        self.all.iter().rev().max_by_key(|status| status.severity())
    }

    /// All of them, in the order they were added.
    pub fn all(&self) -> &[Status] {
        &self.all
    }
}

impl FromIterator<Status> for StatusBoard {
    fn from_iter<I: IntoIterator<Item = Status>>(statuses: I) -> Self {
        Self { all: statuses.into_iter().collect() }
    }
}

impl Extend<Status> for StatusBoard {
    fn extend<I: IntoIterator<Item = Status>>(&mut self, statuses: I) {
        self.all.extend(statuses);
    }
}

/// A status as Juju has it, of a unit or an application.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CurrentStatus {
    /// One of the kinds of [`Status`], or one that only Juju sets: `unknown`, `error`, `terminated`.
    #[serde(rename = "status")]
    pub kind: String,
    /// The text for people.
    #[serde(default)]
    pub message: String,
    /// What the agent added, for example the hook that failed.
    #[serde(default, rename = "status-data", deserialize_with = "or_default")]
    pub data: BTreeMap<String, Value>,
}

impl CurrentStatus {
    /// The same as a status that a charm can set; `None` for the kinds that it cannot.
    pub fn settable(&self) -> Option<Status> {
        let message = self.message.clone();
        Some(match self.kind.as_str() {
            "active" => Status::Active(message),
            "waiting" => Status::Waiting(message),
            "blocked" => Status::Blocked(message),
            "maintenance" => Status::Maintenance(message),
            _ => return None,
        })
    }
}

impl From<Status> for CurrentStatus {
    fn from(status: Status) -> Self {
        Self { kind: status.kind().to_owned(), message: status.message().to_owned(), data: BTreeMap::new() }
    }
}

/// Status of the application and of all its units.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AppStatus {
    /// The application's own. Where the charm never set one, Juju shows that of the unit which needs attention most.
    #[serde(flatten)]
    pub app: CurrentStatus,
    /// Every unit's.
    #[serde(default, deserialize_with = "or_default")]
    pub units: BTreeMap<UnitName, CurrentStatus>,
}

/// Answer of `status-get --application`.
#[derive(Deserialize)]
struct AppAnswer {
    #[serde(rename = "application-status")]
    application: AppStatus,
}

/// Go writes a map that was never filled as `null`.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

impl Hook {
    /// Sets the unit's status, unless it is that already.
    pub async fn set_unit_status(&self, status: &Status) -> Result<(), ToolError> {
        self.set_status(Scope::Unit, status).await
    }

    /// Sets the application's status, unless it is that already. Only the leader may.
    pub async fn set_app_status(&self, status: &Status) -> Result<(), ToolError> {
        self.set_status(Scope::App, status).await
    }

    /// Unit status *active*.
    pub async fn active(&self, message: impl Into<String> + Send) -> Result<(), ToolError> {
        self.set_unit_status(&Status::Active(message.into())).await
    }

    /// Unit status *waiting*: something else has to happen first.
    pub async fn waiting(&self, message: impl Into<String> + Send) -> Result<(), ToolError> {
        self.set_unit_status(&Status::Waiting(message.into())).await
    }

    /// Unit status *blocked*: only a person can help.
    pub async fn blocked(&self, message: impl Into<String> + Send) -> Result<(), ToolError> {
        self.set_unit_status(&Status::Blocked(message.into())).await
    }

    async fn set_status(&self, scope: Scope, status: &Status) -> Result<(), ToolError> {
        if self.status(scope).await?.as_ref() == Some(status) {
            return Ok(());
        }
        let mut args: Vec<&str> = Vec::from(if scope == Scope::App { &["--application"][..] } else { &[] });
        args.extend(["--", status.kind()]);
        if !status.message().is_empty() {
            args.push(status.message());
        }
        self.change(ToolCall::new("status-set", args)).await?;
        self.statuses().insert(scope, status.clone());
        Ok(())
    }

    /// Shows the status that counts; an empty board changes nothing.
    pub async fn show(&self, board: &StatusBoard) -> Result<(), ToolError> {
        match board.worst() {
            Some(status) => self.set_unit_status(status).await,
            None => Ok(()),
        }
    }

    /// This unit's status, with what this hook has set.
    pub async fn unit_status(&self) -> Result<CurrentStatus, ToolError> {
        // The agent's own answer does not follow a status that this hook has set.
        if let Some(status) = self.statuses().get(&Scope::Unit) {
            return Ok(status.clone().into());
        }
        self.read("status-get", ["--format=json".to_owned(), "--include-data".into()]).await
    }

    /// The application's status with all units', and with what this hook has set.
    ///
    /// # Errors
    /// [`ToolError::is_denied`] for all but the leader.
    pub async fn app_status(&self) -> Result<AppStatus, ToolError> {
        let args = ["--format=json", "--include-data", "--application"].map(str::to_owned);
        let mut status = self.read::<AppAnswer>("status-get", args).await?.application;
        let set = self.statuses();
        if let Some(own) = set.get(&Scope::App) {
            status.app = own.clone().into();
        }
        if let Some(own) = set.get(&Scope::Unit) {
            status.units.insert(self.env().unit.clone(), own.clone().into());
        }
        Ok(status)
    }

    /// The present status; `None` where it is one that a charm cannot set.
    async fn status(&self, scope: Scope) -> Result<Option<Status>, ToolError> {
        if let Some(status) = self.statuses().get(&scope) {
            return Ok(Some(status.clone()));
        }
        let now = match scope {
            Scope::Unit => self.unit_status().await?,
            Scope::App => self.app_status().await?.app,
        };
        Ok(now.settable())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_pressing_status_counts_and_the_first_of_equals() {
        let board: StatusBoard = [
            Status::Active("fine".into()),
            Status::Waiting("for a".into()),
            Status::Blocked("on b".into()),
            Status::Maintenance("c".into()),
            Status::Blocked("on d".into()),
        ]
        .into_iter()
        .collect();
        assert_eq!(board.worst(), Some(&Status::Blocked("on b".into())));
        assert_eq!(StatusBoard::default().worst(), None);
        let quiet: StatusBoard =
            [Status::Active("x".into()), Status::Active("y".into())].into_iter().collect();
        assert_eq!(quiet.worst().map(Status::message), Some("x"));
    }
}
