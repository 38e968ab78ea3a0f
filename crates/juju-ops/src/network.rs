//! Addresses of this unit, for an endpoint or a relation.
//!
//! ```
//! # async fn charm(hook: juju_ops::Hook) -> Result<(), juju_ops::Error> {
//! if let Some(network) = hook.network("database").await? {
//!     // What the workload listens on, and what others connect to.
//!     println!("{:?} {:?}", network.bind_address(), network.ingress_address());
//! }
//! # Ok(())
//! # }
//! ```

use std::net::IpAddr;

use serde::{Deserialize, Deserializer};

use crate::{Hook, Relation, RelationId, tools::ToolError};

/// What addresses are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// An endpoint or an extra binding of `metadata.yaml`. `juju-info` is always there.
    Endpoint(String),
    /// A relation: addresses as its other side sees them, which matters across models.
    Relation(RelationId),
}

impl From<&str> for Binding {
    fn from(endpoint: &str) -> Self {
        Self::Endpoint(endpoint.to_owned())
    }
}

impl From<&RelationId> for Binding {
    fn from(id: &RelationId) -> Self {
        Self::Relation(id.clone())
    }
}

impl From<&Relation> for Binding {
    fn from(relation: &Relation) -> Self {
        Self::Relation(relation.id().clone())
    }
}

/// Addresses of one binding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Network {
    /// Interfaces with their addresses. On Kubernetes one, with the pod's address.
    #[serde(rename = "bind-addresses", deserialize_with = "or_default")]
    pub interfaces: Vec<Interface>,
    /// What others connect to: on Kubernetes the service's address, or its name.
    #[serde(deserialize_with = "or_default")]
    pub ingress_addresses: Vec<String>,
    /// Where this unit's connections come from, as subnets (`10.1.2.3/32`).
    #[serde(deserialize_with = "or_default")]
    pub egress_subnets: Vec<String>,
}

/// A network interface. On Kubernetes name and MAC address are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Interface {
    /// For example `eth0`.
    #[serde(rename = "interface-name", deserialize_with = "or_default")]
    pub name: String,
    /// For example `52:54:00:12:34:56`.
    #[serde(deserialize_with = "or_default")]
    pub mac_address: String,
    /// Its addresses.
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<Address>,
}

/// One address of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Address {
    /// An IP address; seldom a name.
    #[serde(alias = "address", deserialize_with = "or_default")]
    pub value: String,
    /// The name that the value was looked up by, if one was.
    #[serde(deserialize_with = "or_default")]
    pub hostname: String,
    /// Its subnet; empty on Kubernetes.
    #[serde(deserialize_with = "or_default")]
    pub cidr: String,
}

impl Address {
    /// The address, unless it is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.value.parse().ok()
    }
}

impl Network {
    /// The first address that this unit can listen on.
    pub fn bind_address(&self) -> Option<IpAddr> {
        self.interfaces.iter().flat_map(|interface| &interface.addresses).find_map(Address::ip)
    }

    /// The first address, or name, that others connect to.
    pub fn ingress_address(&self) -> Option<&str> {
        self.ingress_addresses.first().map(String::as_str)
    }
}

impl Hook {
    /// Addresses for an endpoint or a relation; `None` where Juju knows none (yet), or no such relation.
    ///
    /// # Errors
    /// What else the agent refuses.
    pub async fn network(&self, binding: impl Into<Binding>) -> Result<Option<Network>, ToolError> {
        let mut args = vec!["--format=json".to_owned()];
        let endpoint = match binding.into() {
            Binding::Endpoint(endpoint) => endpoint,
            Binding::Relation(id) => {
                args.extend(["-r".to_owned(), id.to_string()]);
                id.endpoint().to_owned()
            }
        };
        args.extend(["--".to_owned(), endpoint]);
        match self.read::<Option<Network>>("network-get", args).await {
            Ok(network) => Ok(network),
            Err(error) if error.is_not_found() || says_no_config(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Of an endpoint that has no addresses, and of one that does not exist, the agent says the same.
fn says_no_config(error: &ToolError) -> bool {
    matches!(error, ToolError::Refused { message, .. } if message.starts_with("no network config found"))
}

/// Go writes a list that was never filled, and what stands for nothing, as `null`.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_may_be_absent_or_null() {
        for text in [
            "{}",
            r#"{"bind-addresses":null,"egress-subnets":null,"ingress-addresses":null}"#,
            r#"{"bind-addresses":[{"mac-address":"","interface-name":"","addresses":null}]}"#,
        ] {
            let network: Network = serde_json::from_str(text).unwrap();
            assert_eq!((network.bind_address(), network.ingress_address()), (None, None), "{text}");
        }
    }

    #[test]
    fn a_name_is_nothing_to_listen_on() {
        let text = r#"{"bind-addresses":[{"interface-name":"eth0","addresses":[
            {"value":"tempo-0.example","hostname":"tempo-0.example","cidr":""},{"value":"fd00::7"}]}],
            "ingress-addresses":["tempo.example"]}"#;
        let network: Network = serde_json::from_str(text).unwrap();
        assert_eq!(network.bind_address(), Some("fd00::7".parse().unwrap()));
        assert_eq!(network.ingress_address(), Some("tempo.example"));
        assert_eq!(network.interfaces[0].name, "eth0");
    }
}
