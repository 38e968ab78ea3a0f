//! `loki_push_api`: where logs can be sent, and the alert rules about them.
//!
//! | databag | key | encoding | value |
//! |---|---|---|---|
//! | Loki's (provider's) unit | `endpoint` | JSON | `{"url": …}` |
//! | | `public_address` | plain | its host name |
//! | Loki's application | `promtail_binary_zip_url` | JSON | object, architecture to where an agent for it is |
//! | | `event` | JSON | what became of the rules: `{"errors": …}` or `{}` |
//! | sender's (requirer's) application | `metadata` | JSON | which charm sends |
//! | | `alert_rules` | JSON | `{"groups": […]}`, or `{}` for none |
//!
//! Everything but the URL is passed on as it is.
//!
//! ```
//! use juju_relations::{Databag, Wire, loki_push_api::UnitData};
//!
//! let bag = Databag::from([("endpoint", r#"{"url": "http://loki-0.loki:3100/loki/api/v1/push"}"#)]);
//! let unit = UnitData::read(Some(&bag)).ok().unwrap();
//! assert_eq!(unit.endpoint.url, "http://loki-0.loki:3100/loki/api/v1/push");
//! ```

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use juju_ops::{Databag, Encoding, Hook, Relation, RelationId, Remote, ToolError, UnitName};
use serde::{Deserialize, Serialize};

use crate::wire::{remote_apps, remote_units, tell_as_leader, tell_as_unit};
use crate::{EndpointError, EndpointMeta, EndpointRole, JsonText, Wire, lenient};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "loki_push_api";

/// One place that logs can be sent to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PushEndpoint {
    /// Where.
    pub url: String,
}

/// A Loki unit's databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitData {
    /// Where this unit takes logs.
    pub endpoint: PushEndpoint,
    /// Its host name.
    pub public_address: Option<String>,
}

/// Loki's application databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAppData {
    /// Where agents are that can send logs, by architecture.
    pub promtail_binary_zip_url: Option<JsonText>,
    /// What became of the rules.
    pub event: Option<JsonText>,
}

/// The sender's application databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirerAppData {
    /// Which charm sends.
    pub metadata: Option<JsonText>,
    /// Alert rules.
    pub alert_rules: Option<JsonText>,
}

impl UnitData {
    /// The databag of a unit that takes logs under this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { endpoint: PushEndpoint { url: url.into() }, public_address: None }
    }
}

impl Wire for UnitData {
    const KEYS: &'static [&'static str] = &["endpoint", "public_address"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        // A unit gives its host name before it has anything to offer.
        let Some(bag) = bag.filter(|bag| bag.contains_key("endpoint")) else { return Remote::Absent };
        match lenient::document(bag, "endpoint") {
            Ok(Some(endpoint)) => {
                let public_address = bag.get("public_address").filter(|text| !text.is_empty()).cloned();
                Remote::Ready(Self { endpoint, public_address })
            }
            Ok(None) => Remote::Absent,
            Err(error) => Remote::Invalid(error.to_string()),
        }
    }

    fn write(&self) -> Databag {
        let mut bag = Databag::encode(self, Encoding::Json).unwrap_or_default();
        if let Some(address) = self.public_address.as_ref().filter(|text| !text.is_empty()) {
            bag.insert("public_address", address);
        } else {
            bag.remove("public_address");
        }
        bag
    }
}

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &["promtail_binary_zip_url", "event"];
}

impl Wire for RequirerAppData {
    const KEYS: &'static [&'static str] = &["metadata", "alert_rules"];
}

/// One Loki.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loki {
    /// The relation with it.
    pub relation: RelationId,
    /// Its units with their databags.
    pub units: BTreeMap<UnitName, Remote<UnitData>>,
}

/// The side that sends logs, in one hook.
#[derive(Clone)]
pub struct LokiPushRequirer {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl LokiPushRequirer {
    /// The requirer behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Requires)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// Plans to hand over alert rules, on the leader; other units do nothing.
    pub async fn publish(&self, data: &RequirerAppData) -> Result<(), ToolError> {
        tell_as_leader(&self.hook, &self.endpoint, data).await
    }

    /// The Lokis.
    pub async fn lokis(&self) -> Result<Vec<Loki>, ToolError> {
        let read = |relation: Relation| async move {
            Ok(Loki { relation: relation.id().clone(), units: remote_units(&relation).await? })
        };
        try_join_all(self.hook.relations(&self.endpoint.name).await?.into_iter().map(read)).await
    }
}

/// Loki, in one hook.
#[derive(Clone)]
pub struct LokiPushProvider {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl LokiPushProvider {
    /// The provider behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Provides)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// Plans to say where this unit takes logs.
    pub async fn publish(&self, data: &UnitData) -> Result<(), ToolError> {
        tell_as_unit(&self.hook, &self.endpoint, data).await
    }

    /// Each relation with the rules of its sender.
    pub async fn rules(&self) -> Result<Vec<(Relation, Remote<RequirerAppData>)>, ToolError> {
        remote_apps(&self.hook, &self.endpoint).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_loki() {
        let mut data =
            UnitData::new("http://loki-0.loki-endpoints.obs.svc.cluster.local:3100/loki/api/v1/push");
        data.public_address = Some("loki-0.loki-endpoints.obs.svc.cluster.local".into());
        let bag = Databag::from([
            (
                "endpoint",
                r#"{"url": "http://loki-0.loki-endpoints.obs.svc.cluster.local:3100/loki/api/v1/push"}"#,
            ),
            ("public_address", "loki-0.loki-endpoints.obs.svc.cluster.local"),
        ]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(UnitData::read(Some(&bag)), Remote::Ready(data));
        let answer = ProviderAppData { event: Some(JsonText::empty()), ..ProviderAppData::default() };
        assert_eq!(*answer.write(), *Databag::from([("event", "{}")]));
    }

    #[test]
    fn bytes_of_a_sender() {
        let bag = Databag::from([
            ("metadata", r#"{"model": "obs", "application": "tempo"}"#),
            ("alert_rules", r#"{"groups": [{"name": "g", "rules": []}]}"#),
        ]);
        let data = RequirerAppData::read(Some(&bag)).ok().unwrap();
        assert_eq!(*data.write(), *bag);
    }

    #[test]
    fn a_unit_without_url_is_not_there_yet() {
        let read = |pairs: &[(&str, &str)]| UnitData::read(Some(&pairs.iter().copied().collect::<Databag>()));
        assert_eq!(read(&[("public_address", "loki-0")]), Remote::Absent);
        assert_eq!(read(&[("endpoint", "null")]), Remote::Absent);
        assert_eq!(read(&[("endpoint", "{}")]).reason(), Some("endpoint: missing field `url`"));
        assert_eq!(read(&[("endpoint", "http://x")]).reason(), Some("endpoint: not valid JSON"));
    }
}
