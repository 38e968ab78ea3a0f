//! Unit and application status.

use serde::Deserialize;

use crate::{
    Hook,
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

/// Answer of `status-get --include-data --format=json` for a unit.
#[derive(Deserialize)]
pub(crate) struct UnitStatus {
    pub status: String,
    #[serde(default)]
    pub message: String,
}

/// Answer of `status-get --application --include-data --format=json`.
#[derive(Deserialize)]
pub(crate) struct AppStatus {
    #[serde(rename = "application-status")]
    pub application: UnitStatus,
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

    /// The present status; `None` where it is one that a charm cannot set.
    async fn status(&self, scope: Scope) -> Result<Option<Status>, ToolError> {
        // The agent's own answer does not follow a status that this hook has set.
        if let Some(status) = self.statuses().get(&scope) {
            return Ok(Some(status.clone()));
        }
        let mut args = vec!["--format=json".to_owned(), "--include-data".into()];
        let now = match scope {
            Scope::Unit => self.read::<UnitStatus>("status-get", args).await?,
            Scope::App => {
                args.push("--application".into());
                self.read::<AppStatus>("status-get", args).await?.application
            }
        };
        Ok(match now.status.as_str() {
            "active" => Some(Status::Active(now.message)),
            "waiting" => Some(Status::Waiting(now.message)),
            "blocked" => Some(Status::Blocked(now.message)),
            "maintenance" => Some(Status::Maintenance(now.message)),
            _ => None,
        })
    }
}
