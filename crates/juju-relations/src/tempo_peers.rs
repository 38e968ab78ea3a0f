//! `tempo_peers`: units of one coordinator tell each other their host names.
//!
//! Every unit writes its own **unit** databag, and the leader the **application** databag.
//!
//! | databag | key | value |
//! |---|---|---|
//! | application | `tls` | `true` if the application speaks TLS; otherwise not there |
//! | unit | `fqdn` | the unit's fully qualified host name, as JSON (so with quotes) |
//! | unit | `hostname` | the same name as plain text |
//!
//! Two keys say one thing, because older units read only one of them, each in its own encoding. Readers take `fqdn`,
//! and `hostname` where that is missing or broken; units that have written neither are not ready.
//!
//! ```
//! use juju_relations::{Databag, Remote, Wire, tempo_peers::UnitData};
//!
//! let bag = UnitData::new("tempo-0.tempo-endpoints.obs.svc.cluster.local").write();
//! assert_eq!(bag["fqdn"], r#""tempo-0.tempo-endpoints.obs.svc.cluster.local""#);
//! assert_eq!(bag["hostname"], "tempo-0.tempo-endpoints.obs.svc.cluster.local");
//!
//! let older = Databag::from([("hostname", "tempo-1")]);
//! assert_eq!(UnitData::read(Some(&older)), Remote::Ready(UnitData::new("tempo-1")));
//! ```

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use juju_ops::{Databag, Encoding, Hook, Relation, Remote, ToolError, UnitName};
use serde::{Deserialize, Serialize};

use crate::{EndpointError, EndpointMeta, EndpointRole, Wire};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "tempo_peers";

/// A unit's databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitData {
    /// The unit's fully qualified host name, as the unit gave it.
    pub fqdn: String,
}

impl UnitData {
    /// The databag of a unit with this host name.
    pub fn new(fqdn: impl Into<String>) -> Self {
        Self { fqdn: fqdn.into() }
    }
}

impl Wire for UnitData {
    const KEYS: &'static [&'static str] = &["fqdn", "hostname"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag else { return Remote::Absent };
        let fqdn = Remote::from(bag.decode::<Self>(Encoding::Json)).and_then(|data| {
            if data.fqdn.is_empty() { Remote::Invalid("fqdn: empty".into()) } else { Remote::Ready(data) }
        });
        match (fqdn, bag.get("hostname").filter(|name| !name.is_empty())) {
            (Remote::Ready(data), _) => Remote::Ready(data),
            (_, Some(hostname)) => Remote::Ready(Self::new(hostname)),
            (invalid, None) if bag.contains_key("fqdn") => invalid,
            (_, None) => Remote::Absent,
        }
    }

    fn write(&self) -> Databag {
        let mut bag = Databag::encode(self, Encoding::Json).unwrap_or_default();
        bag.insert("hostname", &self.fqdn);
        bag
    }
}

/// The application's databag, which its leader writes and every unit reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppData {
    /// Whether the application speaks TLS. A unit that has no certificate yet then waits for one, rather than serving in
    /// plain text where everybody expects TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
}

impl Wire for AppData {
    const KEYS: &'static [&'static str] = &["tls"];
}

/// This unit among its peers, in one hook.
#[derive(Clone)]
pub struct TempoPeers {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl TempoPeers {
    /// The peers behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is not a peer endpoint.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Peer)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// The peer relation; in the first hooks of a unit there is none yet.
    pub async fn relation(&self) -> Result<Option<Relation>, ToolError> {
        Ok(self.hook.relations(&self.endpoint.name).await?.into_iter().next())
    }

    /// Plans to tell the other units this unit's host name.
    pub async fn publish(&self, fqdn: &str) -> Result<(), ToolError> {
        if let Some(relation) = self.relation().await? {
            relation.set_unit(UnitData::new(fqdn).changes());
        }
        Ok(())
    }

    /// The other units with what they have written.
    pub async fn peers(&self) -> Result<BTreeMap<UnitName, Remote<UnitData>>, ToolError> {
        let Some(relation) = self.relation().await? else { return Ok(BTreeMap::new()) };
        let read = |unit: UnitName| {
            let relation = relation.clone();
            async move {
                let data = UnitData::read(relation.remote_unit_data(&unit).await?.as_ref());
                Ok((unit, data))
            }
        };
        Ok(try_join_all(relation.units().await?.into_iter().map(read)).await?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<const N: usize>(pairs: [(&str, &str); N]) -> Remote<UnitData> {
        UnitData::read(Some(&Databag::from(pairs)))
    }

    #[test]
    fn bytes() {
        let name = "tempo-0.tempo-endpoints.obs.svc.cluster.local";
        let bag = Databag::from([
            ("fqdn", "\"tempo-0.tempo-endpoints.obs.svc.cluster.local\""),
            ("hostname", "tempo-0.tempo-endpoints.obs.svc.cluster.local"),
        ]);
        assert_eq!(*UnitData::new(name).write(), *bag);
        assert_eq!(UnitData::read(Some(&bag)), Remote::Ready(UnitData::new(name)));
    }

    #[test]
    fn the_application_says_that_it_speaks_tls_or_nothing() {
        let spoken = AppData { tls: Some(true) };
        assert_eq!(*spoken.write(), *Databag::from([("tls", "true")]));
        assert_eq!(AppData::read(Some(&spoken.write())), Remote::Ready(spoken));
        assert!(AppData::default().write().is_empty());
        assert_eq!(AppData::default().changes(), [("tls".to_owned(), None)]);
        let rubbish = Databag::from([("tls", "perhaps")]);
        assert!(matches!(AppData::read(Some(&rubbish)), Remote::Invalid(_)));
    }

    #[test]
    fn the_plain_name_stands_in_for_the_other() {
        let plain = Remote::Ready(UnitData::new("plain"));
        assert_eq!(
            read([("fqdn", "\"quoted\""), ("hostname", "plain")]),
            Remote::Ready(UnitData::new("quoted"))
        );
        assert_eq!(read([("hostname", "plain")]), plain);
        assert_eq!(read([("fqdn", "not json"), ("hostname", "plain")]), plain);
        assert_eq!(read([("fqdn", "\"\""), ("hostname", "plain")]), plain);
    }

    #[test]
    fn a_unit_that_wrote_nothing_is_absent_and_one_that_wrote_rubbish_is_not() {
        assert_eq!(UnitData::read(None), Remote::Absent);
        assert_eq!(read([("ingress-address", "10.1.2.3"), ("other", "x")]), Remote::Absent);
        assert_eq!(read([("fqdn", "7")]), Remote::Invalid("fqdn: expected a string, found integer".into()));
        assert_eq!(read([("fqdn", "\"\"")]), Remote::Invalid("fqdn: empty".into()));
    }
}
