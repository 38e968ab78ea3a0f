//! `prometheus_remote_write`: where metrics can be written to, and the alert rules about them.
//!
//! Values are JSON.
//!
//! | databag | key | value |
//! |---|---|---|
//! | receiver's (provider's) unit | `remote_write` | `{"url": …}` |
//! | receiver's application | `event` | what became of the rules: `{"errors": …}` or `{"valid": …}` |
//! | sender's (requirer's) application | `alert_rules` | `{"groups": […]}`, or `{}` for none |
//!
//! Rules and events are passed on as they are.
//!
//! ```
//! use juju_relations::{Databag, Wire, prometheus_remote_write::{RequirerAppData, UnitData}};
//!
//! let bag = Databag::from([("remote_write", r#"{"url": "http://prom-0.prom:9090/api/v1/write"}"#)]);
//! assert_eq!(UnitData::read(Some(&bag)).ok().unwrap().remote_write.url, "http://prom-0.prom:9090/api/v1/write");
//! assert_eq!(RequirerAppData::no_rules().write()["alert_rules"], "{}");
//! ```

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use juju_ops::{Databag, Encoding, Hook, Relation, RelationId, Remote, ToolError, UnitName};
use serde::{Deserialize, Serialize};

use crate::wire::{remote_apps, remote_units, tell_as_leader, tell_as_unit};
use crate::{EndpointError, EndpointMeta, EndpointRole, JsonText, Wire};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "prometheus_remote_write";

/// One place that metrics can be written to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RemoteWrite {
    /// Where.
    pub url: String,
}

/// A receiver's unit databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitData {
    /// Where this unit takes metrics.
    pub remote_write: RemoteWrite,
}

/// The receiver's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAppData {
    /// What became of the rules.
    pub event: Option<JsonText>,
}

/// The sender's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirerAppData {
    /// Alert rules; nothing at all is less than no rules.
    pub alert_rules: Option<JsonText>,
}

impl UnitData {
    /// The databag of a unit that takes metrics under this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { remote_write: RemoteWrite { url: url.into() } }
    }
}

impl RequirerAppData {
    /// The databag of a sender that has no rules to give.
    pub fn no_rules() -> Self {
        Self { alert_rules: Some(JsonText::empty()) }
    }
}

impl Wire for UnitData {
    const KEYS: &'static [&'static str] = &["remote_write"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        // What else is written before the URL does not make a unit a bad one.
        let Some(bag) = bag.filter(|bag| bag.contains_key("remote_write")) else { return Remote::Absent };
        bag.decode(Encoding::Json).into()
    }
}

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &["event"];
}

impl Wire for RequirerAppData {
    const KEYS: &'static [&'static str] = &["alert_rules"];
}

/// One application that takes metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The relation with it.
    pub relation: RelationId,
    /// Its units with their databags.
    pub units: BTreeMap<UnitName, Remote<UnitData>>,
}

/// The side that writes metrics, in one hook.
#[derive(Clone)]
pub struct RemoteWriteRequirer {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl RemoteWriteRequirer {
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

    /// The applications that take metrics.
    pub async fn receivers(&self) -> Result<Vec<Receiver>, ToolError> {
        let read = |relation: Relation| async move {
            Ok(Receiver { relation: relation.id().clone(), units: remote_units(&relation).await? })
        };
        try_join_all(self.hook.relations(&self.endpoint.name).await?.into_iter().map(read)).await
    }
}

/// The side that takes metrics, in one hook.
#[derive(Clone)]
pub struct RemoteWriteProvider {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl RemoteWriteProvider {
    /// The provider behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Provides)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// Plans to say where this unit takes metrics.
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
    fn bytes_of_a_receiver() {
        let data = UnitData::new("http://prom-0.prom-endpoints.obs.svc.cluster.local:9090/api/v1/write");
        let bag = Databag::from([(
            "remote_write",
            r#"{"url": "http://prom-0.prom-endpoints.obs.svc.cluster.local:9090/api/v1/write"}"#,
        )]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(UnitData::read(Some(&bag)), Remote::Ready(data));
    }

    #[test]
    fn bytes_of_rules() {
        let rules = r#"{"groups": [{"name": "g", "rules": [{"alert": "a", "expr": "up < 1"}]}]}"#;
        let bag = Databag::from([("alert_rules", rules)]);
        let data = RequirerAppData::read(Some(&bag)).ok().unwrap();
        assert_eq!(data.alert_rules.as_ref().map(JsonText::get), Some(rules));
        assert_eq!(*data.write(), *bag);
        assert_eq!(*RequirerAppData::no_rules().write(), *Databag::from([("alert_rules", "{}")]));
        let answer =
            ProviderAppData { event: Some(JsonText::of(&BTreeMap::from([("valid", true)])).unwrap()) };
        assert_eq!(*answer.write(), *Databag::from([("event", r#"{"valid": true}"#)]));
    }

    #[test]
    fn a_unit_without_url_is_not_there_yet() {
        let read = |pairs: &[(&str, &str)]| UnitData::read(Some(&pairs.iter().copied().collect::<Databag>()));
        assert_eq!(read(&[("ingress-address", "10.1.2.3"), ("other", "x")]), Remote::Absent);
        assert_eq!(read(&[("remote_write", "{}")]).reason(), Some("remote_write: missing field `url`"));
        assert_eq!(read(&[("remote_write", "http://x")]).reason(), Some("remote_write: not valid JSON"));
    }
}
