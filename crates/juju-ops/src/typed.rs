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

use crate::{Databag, DatabagError, Encoding, Relation, Remote, UnitName, tools::ToolError};

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
