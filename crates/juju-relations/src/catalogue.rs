//! `catalogue`: an entry in a page that lists what is deployed.
//!
//! Only the sender's **application** databag is used, written by its leader. The sender is the *requirer*.
//!
//! | databag | key | value |
//! |---|---|---|
//! | sender's application | `name`, `description` | plain text |
//! | | `url` | where its user interface is, plain text; none if it has none |
//! | | `icon` | name of a Material Design icon, plain text |
//! | | `api_docs` | where its API is documented, plain text |
//! | | `api_endpoints` | JSON object, label to URL, in the order in which they are shown |
//!
//! Nothing is required: what is not there is shown as empty.
//!
//! ```
//! use juju_relations::{Wire, catalogue::Item};
//!
//! let item = Item { name: "Tempo (t)".into(), api_endpoints: [("Status", "http://t/status")].into(), ..Item::default() };
//! assert_eq!(item.write()["api_endpoints"], r#"{"Status": "http://t/status"}"#);
//! assert_eq!(item.write().get("url"), None);
//! ```

use std::collections::{BTreeMap, btree_map::Entry};
use std::fmt;

use juju_ops::{Databag, Encoding, Remote};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{EndpointRole, Exchange, Nothing, Party, Wire};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "catalogue";

/// The sender's application databag: one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Where its user interface is; empty if it has none.
    pub url: String,
    /// Name of a Material Design icon.
    pub icon: String,
    /// Where its API is documented.
    pub api_docs: String,
    /// What its API can be asked for.
    pub api_endpoints: ApiEndpoints,
}

/// URLs by label, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiEndpoints(Vec<(String, String)>);

impl ApiEndpoints {
    /// Labels and URLs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(label, url)| (label.as_str(), url.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for ApiEndpoints {
    /// Of several URLs with one label the last counts, in the place of the first.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut list: Vec<(String, String)> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (label, url) in pairs {
            let (label, url) = (label.into(), url.into());
            match places.entry(label.clone()) {
                Entry::Occupied(place) => list[*place.get()].1 = url,
                Entry::Vacant(place) => {
                    place.insert(list.len());
                    list.push((label, url));
                }
            }
        }
        Self(list)
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for ApiEndpoints {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl Serialize for ApiEndpoints {
    /// Without any, `null`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_empty() { serializer.serialize_none() } else { serializer.collect_map(self.iter()) }
    }
}

impl<'de> Deserialize<'de> for ApiEndpoints {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = ApiEndpoints;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs: Vec<(String, String)> = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs.into_iter().collect())
            }
        }

        reader.deserialize_map(Pairs)
    }
}

impl Wire for Item {
    const KEYS: &'static [&'static str] =
        &["name", "description", "url", "icon", "api_docs", "api_endpoints"];
    const ENCODING: Encoding = Encoding::Raw;

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| !bag.is_unwritten()) else { return Remote::Absent };
        let mut bag = bag.clone();
        // A sender without any says so.
        if bag.get("api_endpoints").is_some_and(|text| text.trim() == "null") {
            bag.remove("api_endpoints");
        }
        bag.decode(Self::ENCODING).into()
    }
}

/// The side that has something to list.
#[derive(Clone, Copy, Debug)]
pub enum Requirer {}

impl Party for Requirer {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Requires;
    type Own = Item;
    type Other = Nothing;
}

/// The side that is the catalogue.
#[derive(Clone, Copy, Debug)]
pub enum Provider {}

impl Party for Provider {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Provides;
    type Own = Nothing;
    type Other = Item;
}

/// The side that has something to list, in one hook.
pub type CatalogueRequirer = Exchange<Requirer>;

/// The side that is the catalogue, in one hook.
pub type CatalogueProvider = Exchange<Provider>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_both_ways() {
        let item = Item {
            name: "Tempo (tempo)".into(),
            description: "Traces.".into(),
            url: String::new(),
            icon: "transit-connection-variant".into(),
            api_docs: "https://docs.example/tempo/".into(),
            api_endpoints: [
                ("Search traces", "https://obs.example.net:3200/api/search?<params>"),
                ("Query traces (by ID)", "https://obs.example.net:3200/api/traces/<traceID>"),
                ("Status", "https://obs.example.net:3200/status"),
            ]
            .into(),
        };
        let bag = Databag::from([
            ("name", "Tempo (tempo)"),
            ("description", "Traces."),
            ("icon", "transit-connection-variant"),
            ("api_docs", "https://docs.example/tempo/"),
            (
                "api_endpoints",
                r#"{"Search traces": "https://obs.example.net:3200/api/search?<params>", "Query traces (by ID)": "https://obs.example.net:3200/api/traces/<traceID>", "Status": "https://obs.example.net:3200/status"}"#,
            ),
        ]);
        assert_eq!(*item.write(), *bag);
        assert_eq!(Item::read(Some(&bag)), Remote::Ready(item));
        assert!(Item::default().write().is_empty());
    }

    #[test]
    fn what_is_not_there_is_empty() {
        let read = |pairs: &[(&str, &str)]| Item::read(Some(&pairs.iter().copied().collect()));
        assert_eq!(read(&[]), Remote::Absent);
        let named = Remote::Ready(Item { name: "a".into(), ..Item::default() });
        assert_eq!(read(&[("name", "a")]), named);
        assert_eq!(read(&[("name", "a"), ("api_endpoints", "null")]), named);
        assert_eq!(read(&[("name", "a"), ("api_endpoints", "{}")]), named);
        assert_eq!(read(&[("api_endpoints", "x")]).reason(), Some("api_endpoints: not valid JSON"));
        assert_eq!(
            read(&[("api_endpoints", r#"{"a": 1}"#)]).reason(),
            Some("api_endpoints: expected a string, found integer")
        );
    }

    #[test]
    fn labels_stay_in_order_and_are_there_once() {
        let endpoints = ApiEndpoints::from([("b", "1"), ("a", "2"), ("b", "3")]);
        assert_eq!(endpoints.iter().collect::<Vec<_>>(), [("b", "3"), ("a", "2")]);
    }
}
