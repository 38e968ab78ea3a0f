//! `cross_model_mesh`: an application tells one in another model who it is in the mesh.
//!
//! Across models a relation shows the other application under the name of its offer. Policies of the mesh need the
//! name of its service account and its namespace, which are those of application and model over there.
//!
//! | databag | key | value |
//! |---|---|---|
//! | requirer's application, by the leader | `cmr_data` | JSON: `{"app_name": …, "juju_model_name": …}` |
//!
//! The requirer is the application that wants access. The provider writes nothing.
//!
//! ```
//! use juju_relations::{Wire, cross_model_mesh::{Identity, RequirerAppData}};
//!
//! let me = RequirerAppData::new("otelcol", "apps");
//! assert_eq!(me.write()["cmr_data"], r#"{"app_name": "otelcol", "juju_model_name": "apps"}"#);
//! ```

use std::collections::BTreeMap;

use juju_ops::{Databag, DatabagError, Encoding, Remote, ToolError};
use serde::{Deserialize, Serialize};

use crate::{EndpointRole, Exchange, Nothing, Party, Wire};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "cross_model_mesh";

/// Who an application is in its own model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Its name.
    pub app_name: String,
    /// Name of its model, which is its Kubernetes namespace.
    pub juju_model_name: String,
}

/// The requirer's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirerAppData {
    /// Who it is.
    pub cmr_data: Identity,
}

impl RequirerAppData {
    /// The databag of this application of this model.
    pub fn new(app: impl Into<String>, model: impl Into<String>) -> Self {
        Self { cmr_data: Identity { app_name: app.into(), juju_model_name: model.into() } }
    }
}

impl Wire for RequirerAppData {
    const KEYS: &'static [&'static str] = &["cmr_data"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        // An application that has not written the key is one that needs no introduction.
        let Some(bag) = bag.filter(|bag| bag.contains_key("cmr_data")) else { return Remote::Absent };
        Remote::from(bag.decode::<Self>(Encoding::Json)).and_then(|data| {
            if data.cmr_data.app_name.is_empty() || data.cmr_data.juju_model_name.is_empty() {
                let error = DatabagError::new("cmr_data", "app_name or juju_model_name is empty");
                return Remote::Invalid(error.to_string());
            }
            Remote::Ready(data)
        })
    }
}

/// The application that wants access.
#[derive(Clone, Copy, Debug)]
pub enum Requirer {}

impl Party for Requirer {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Requires;
    type Own = RequirerAppData;
    type Other = Nothing;
}

/// The application that is talked to.
#[derive(Clone, Copy, Debug)]
pub enum Provider {}

impl Party for Provider {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Provides;
    type Own = Nothing;
    type Other = RequirerAppData;
}

/// The application that wants access, in one hook.
pub type CrossModelMeshRequirer = Exchange<Requirer>;

/// The application that is talked to, in one hook.
pub type CrossModelMeshProvider = Exchange<Provider>;

impl CrossModelMeshProvider {
    /// Who the related applications are, by the names that they have here.
    ///
    /// # Errors
    /// If the agent refuses to tell.
    pub async fn identities(&self) -> Result<BTreeMap<String, Remote<Identity>>, ToolError> {
        let mut identities = BTreeMap::new();
        for (relation, data) in self.published().await? {
            if let Some(app) = relation.app().await? {
                identities.insert(app, data.map(|data| data.cmr_data));
            }
        }
        Ok(identities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes() {
        let bag = Databag::from([("cmr_data", r#"{"app_name": "otelcol", "juju_model_name": "apps"}"#)]);
        let data = RequirerAppData::new("otelcol", "apps");
        assert_eq!(*data.write(), *bag);
        assert_eq!(RequirerAppData::read(Some(&bag)), Remote::Ready(data));
    }

    #[test]
    fn nothing_written_is_no_mistake_and_nonsense_is() {
        let read = |text: &str| RequirerAppData::read(Some(&Databag::from([("cmr_data", text)])));
        let reason = |text: &str| read(text).reason().unwrap_or_default().to_owned();
        assert_eq!(RequirerAppData::read(Some(&Databag::from([("other", "x")]))), Remote::Absent);
        assert_eq!(RequirerAppData::read(None), Remote::Absent);
        assert_eq!(reason("x"), "cmr_data: not valid JSON");
        assert_eq!(reason(r#"{"app_name": "a"}"#), "cmr_data: missing field `juju_model_name`");
        assert_eq!(
            reason(r#"{"app_name": "", "juju_model_name": "m"}"#),
            "cmr_data: app_name or juju_model_name is empty"
        );
    }
}
