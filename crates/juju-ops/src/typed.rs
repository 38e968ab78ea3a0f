//! Databags of a relation, read into and written from types of the charm's own.
//!
//! ```
//! use juju_ops::{Encoding, Hook, Remote};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize)]
//! struct Request {
//!     database: String,
//!     /// `None` deletes what an earlier hook wrote.
//!     role: Option<String>,
//! }
//!
//! #[derive(Deserialize)]
//! struct Offer {
//!     endpoints: Vec<String>,
//! }
//!
//! async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
//!     for relation in hook.relations("database").await? {
//!         if hook.is_leader().await? {
//!             relation.save_app(&Request { database: "orders".into(), role: None }, Encoding::Raw)?;
//!         }
//!         match relation.load_remote_app::<Offer>(Encoding::Json).await? {
//!             Remote::Ready(offer) => println!("{}", offer.endpoints.join(",")),
//!             Remote::Absent | Remote::Denied => hook.waiting("for the database").await?,
//!             Remote::Invalid(reason) => hook.blocked(format!("[{}] {reason}", relation.endpoint())).await?,
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Reading never fails for what another charm wrote. Writing touches the declared fields only, and sends a key only if
//! its text differs from what is there.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Databag, DatabagError, Encoding, Hook, Relation, Remote, UnitName, UserError, tools::ToolError};

/// Why there is no one relation of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SingleError {
    /// `relation-ids` failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// More than one application is related, and the charm can use one only.
    #[error("[{endpoint}] {count} relations, only one is possible")]
    TooMany {
        /// The endpoint.
        endpoint: String,
        /// How many relations there are.
        count: usize,
    },
}

impl UserError for SingleError {
    fn for_user(&self) -> Option<String> {
        match self {
            Self::Tool(_) => None,
            Self::TooMany { .. } => Some(self.to_string()),
        }
    }
}

impl Hook {
    /// The only relation of an endpoint that makes sense with one only; `None` if there is none yet.
    ///
    /// `limit: 1` in `metadata.yaml` makes Juju refuse a second one; a charm without that has to say so itself:
    ///
    /// ```
    /// # use juju_ops::{Hook, OrBlocked as _};
    /// # async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
    /// let database = hook.single_relation("database").await.or_blocked(&hook).await?;
    /// # drop(database);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SingleError::TooMany`] if there are several.
    pub async fn single_relation(&self, endpoint: &str) -> Result<Option<Relation>, SingleError> {
        let mut relations = self.relations(endpoint).await?;
        match relations.len() {
            0 | 1 => Ok(relations.pop()),
            count => Err(SingleError::TooMany { endpoint: endpoint.to_owned(), count }),
        }
    }
}

impl Relation {
    /// What the other application wrote.
    ///
    /// # Errors
    /// Only what the agent refuses; bad data is [`Remote::Invalid`].
    pub async fn load_remote_app<T: DeserializeOwned>(
        &self,
        encoding: Encoding,
    ) -> Result<Remote<T>, ToolError> {
        Ok(Remote::decode(self.remote_app_data().await?.as_ref(), encoding))
    }

    /// What a remote (or peer) unit wrote.
    ///
    /// # Errors
    /// As [`Relation::load_remote_app`].
    pub async fn load_remote_unit<T: DeserializeOwned>(
        &self,
        unit: &UnitName,
        encoding: Encoding,
    ) -> Result<Remote<T>, ToolError> {
        Ok(Remote::decode(self.remote_unit_data(unit).await?.as_ref(), encoding))
    }

    /// What this application wrote, with what this hook has planned. Only the leader may look, except at the data of
    /// peers.
    ///
    /// # Errors
    /// As [`Relation::load_remote_app`].
    pub async fn load_app<T: DeserializeOwned>(&self, encoding: Encoding) -> Result<Remote<T>, ToolError> {
        Ok(Remote::decode(self.local_app_data().await?.as_ref(), encoding))
    }

    /// Plans that the application's databag holds this, as [`Relation::set_app`] does; fields without a value delete
    /// their keys.
    ///
    /// # Errors
    /// For a value that has no text form.
    pub fn save_app<T: Serialize + ?Sized>(&self, value: &T, encoding: Encoding) -> Result<(), DatabagError> {
        self.set_app(Databag::changes(value, encoding)?);
        Ok(())
    }

    /// Plans that this unit's databag holds this, as [`Relation::save_app`] does for the application's.
    ///
    /// # Errors
    /// As [`Relation::save_app`].
    pub fn save_unit<T: Serialize + ?Sized>(
        &self,
        value: &T,
        encoding: Encoding,
    ) -> Result<(), DatabagError> {
        self.set_unit(Databag::changes(value, encoding)?);
        Ok(())
    }
}
