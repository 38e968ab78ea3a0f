//! `grafana_datasource_exchange`: owners of data sources tell each other how Grafanas know theirs, so that one source
//! can link to another.
//!
//! Both sides write the same, into their **application** databags, by their leaders.
//!
//! | databag | key | value |
//! |---|---|---|
//! | application | `datasources` | JSON without spaces: array of `{"type": …, "uid": …, "grafana_uid": …}`, sorted by `uid` |
//!
//! An entry that cannot be read is left out and named in [`AppData::problems`].
//!
//! ```
//! use juju_relations::{Wire, grafana_datasource_exchange::{AppData, Datasource}};
//!
//! let data = AppData::new([Datasource::new("tempo", "uid-1", "grafana-1")]);
//! assert_eq!(data.write()["datasources"], r#"[{"type":"tempo","uid":"uid-1","grafana_uid":"grafana-1"}]"#);
//! ```

use juju_ops::{Databag, Remote};
use serde::{Deserialize, Serialize};

use crate::{EndpointRole, Exchange, Party, Wire, lenient};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "grafana_datasource_exchange";

/// One data source of one Grafana.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Datasource {
    /// Grafana's name for this kind of source, such as `prometheus`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The source's UID.
    pub uid: String,
    /// The UID of the Grafana in which it has that UID.
    pub grafana_uid: String,
}

/// The application databag of either side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppData {
    /// The data sources, in the order in which they are written.
    pub datasources: Vec<Datasource>,
    /// Entries that cannot be read, in words fit for a status message.
    #[serde(skip)]
    pub problems: Vec<String>,
}

impl Datasource {
    /// A data source.
    pub fn new(kind: impl Into<String>, uid: impl Into<String>, grafana_uid: impl Into<String>) -> Self {
        Self { kind: kind.into(), uid: uid.into(), grafana_uid: grafana_uid.into() }
    }
}

impl AppData {
    /// The databag that lists these, sorted by UID.
    pub fn new(datasources: impl IntoIterator<Item = Datasource>) -> Self {
        let mut datasources: Vec<Datasource> = datasources.into_iter().collect();
        datasources.sort_by(|one, other| one.uid.cmp(&other.uid));
        Self { datasources, problems: Vec::new() }
    }
}

impl Wire for AppData {
    const KEYS: &'static [&'static str] = &["datasources"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| bag.contains_key("datasources")) else { return Remote::Absent };
        let mut problems = Vec::new();
        match lenient::array(bag, "datasources", &mut problems) {
            Ok(datasources) => Remote::Ready(Self { datasources, problems }),
            Err(error) => Remote::Invalid(error.to_string()),
        }
    }

    fn write(&self) -> Databag {
        Databag::from([("datasources", serde_json::to_string(&self.datasources).unwrap_or_default())])
    }
}

/// The side whose endpoint is under `provides`.
#[derive(Clone, Copy, Debug)]
pub enum Provider {}

impl Party for Provider {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Provides;
    type Own = AppData;
    type Other = AppData;
}

/// The side whose endpoint is under `requires`.
#[derive(Clone, Copy, Debug)]
pub enum Requirer {}

impl Party for Requirer {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Requires;
    type Own = AppData;
    type Other = AppData;
}

/// The side whose endpoint is under `provides`, in one hook.
pub type DatasourceExchangeProvider = Exchange<Provider>;

/// The side whose endpoint is under `requires`, in one hook.
pub type DatasourceExchangeRequirer = Exchange<Requirer>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_both_ways() {
        let data = AppData::new([Datasource::new("tempo", "b", "g1"), Datasource::new("tempo", "a", "g2")]);
        let bag = Databag::from([(
            "datasources",
            concat!(
                r#"[{"type":"tempo","uid":"a","grafana_uid":"g2"},"#,
                r#"{"type":"tempo","uid":"b","grafana_uid":"g1"}]"#
            ),
        )]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(AppData::read(Some(&bag)), Remote::Ready(data));
        assert_eq!(AppData::default().write()["datasources"], "[]");
    }

    #[test]
    fn an_incomplete_entry_does_not_spoil_the_others() {
        let text =
            r#"[{"type": "loki", "uid": "a"}, {"type": "loki", "uid": "b", "grafana_uid": "g", "more": 1}]"#;
        let data = AppData::read(Some(&Databag::from([("datasources", text)]))).ok().unwrap();
        assert_eq!(data.datasources, [Datasource::new("loki", "b", "g")]);
        assert_eq!(data.problems, ["datasources: entry 1: missing field `grafana_uid`"]);
        let read = |text: &str| AppData::read(Some(&Databag::from([("datasources", text)])));
        assert_eq!(read("x").reason(), Some("datasources: not valid JSON"));
        assert_eq!(read("{}").reason(), Some("datasources: expected a sequence, found map"));
        assert_eq!(AppData::read(Some(&Databag::from([("other", "x")]))), Remote::Absent);
    }
}
