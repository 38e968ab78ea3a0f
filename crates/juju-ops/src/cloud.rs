//! The cloud that the model is on, and the model of a remote application.
//!
//! ```
//! use juju_ops::{Hook, Remote};
//!
//! # async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
//! match hook.cloud_spec().await? {
//!     Remote::Ready(cloud) => println!("{} at {:?}", cloud.kind, cloud.endpoint),
//!     Remote::Denied => hook.blocked("run `juju trust` for this application").await?,
//!     Remote::Absent | Remote::Invalid(_) => {}
//! }
//! # Ok(())
//! # }
//! ```

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer};

use crate::{Feature, Hook, RelationId, Remote, tools::ToolError};

/// A cloud and how to log in to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CloudSpec {
    /// For example `kubernetes`, `lxd`, `openstack`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Juju's name for the cloud.
    pub name: String,
    /// Region, if the cloud has any.
    #[serde(default)]
    pub region: Option<String>,
    /// URL of its API.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// URL of its identity service.
    #[serde(default)]
    pub identity_endpoint: Option<String>,
    /// URL of its storage service.
    #[serde(default)]
    pub storage_endpoint: Option<String>,
    /// How to log in.
    #[serde(default)]
    pub credential: Option<CloudCredential>,
    /// Certificate authorities of the API, PEM.
    #[serde(default, rename = "cacertificates", deserialize_with = "or_default")]
    pub ca_certificates: Vec<String>,
    /// Whether the API's certificate is not to be checked.
    #[serde(default)]
    pub skip_tls_verify: bool,
    /// Whether the controller is on this cloud too.
    #[serde(default)]
    pub is_controller_cloud: bool,
}

/// How to log in to a cloud. `Debug` shows the names of the attributes only.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CloudCredential {
    /// For example `oauth2`, `certificate`, `userpass`.
    pub auth_type: String,
    /// What belongs to it, for example `Token`. Secret.
    #[serde(default, rename = "attrs", deserialize_with = "or_default")]
    pub attributes: BTreeMap<String, String>,
    /// Attributes that Juju withholds.
    #[serde(default, deserialize_with = "or_default")]
    pub redacted: Vec<String>,
}

impl fmt::Debug for CloudCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudCredential")
            .field("auth_type", &self.auth_type)
            .field("attributes", &self.attributes.keys().collect::<Vec<_>>())
            .field("redacted", &self.redacted)
            .finish()
    }
}

impl Hook {
    /// The cloud and its credentials; [`Remote::Denied`] unless the operator trusts the application.
    ///
    /// # Errors
    /// [`ToolError::Invalid`] on Kubernetes with a Juju that cannot tell yet ([`Feature::KubernetesCredential`]).
    pub async fn cloud_spec(&self) -> Result<Remote<CloudSpec>, ToolError> {
        let tool = "credential-get";
        if self.env().machine.is_none() {
            self.require_for(tool, Feature::KubernetesCredential)?;
        }
        match self.read::<Option<CloudSpec>>(tool, ["--format=json".to_owned()]).await {
            Ok(spec) => Ok(spec.into()),
            Err(error) if error.is_denied() => Ok(Remote::Denied),
            Err(error) => Err(error),
        }
    }

    /// UUID of the model that the other side of a relation lives in; `None` if the relation is gone.
    ///
    /// # Errors
    /// [`ToolError::Invalid`] with a Juju that cannot tell yet ([`Feature::RemoteModel`]).
    pub async fn remote_model(&self, relation: &RelationId) -> Result<Option<String>, ToolError> {
        #[derive(Deserialize)]
        struct Model {
            uuid: String,
        }
        let tool = "relation-model-get";
        self.require_for(tool, Feature::RemoteModel)?;
        let args = ["--format=json".to_owned(), "-r".into(), relation.to_string()];
        match self.read::<Option<Model>>(tool, args).await {
            Ok(model) => Ok(model.map(|model| model.uuid)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Go writes a list or map that was never filled as `null`.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_does_not_show() {
        let text = r#"{"type":"kubernetes","name":"microk8s","endpoint":"https://10.0.0.1","credential":{
            "auth-type":"oauth2","attrs":{"Token":"hunter22"},"redacted":null},"cacertificates":null,"new-key":1}"#;
        let cloud: CloudSpec = serde_json::from_str(text).unwrap();
        let shown = format!("{cloud:?}");
        assert!(shown.contains("Token") && !shown.contains("hunter22"), "{shown}");
        assert_eq!(cloud.credential.unwrap().attributes["Token"], "hunter22");
        let least: CloudSpec = serde_json::from_str(r#"{"type":"lxd","name":"localhost"}"#).unwrap();
        assert_eq!(least.credential, None);
    }
}
