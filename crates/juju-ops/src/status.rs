//! Unit and application status.

use serde::Deserialize;

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
