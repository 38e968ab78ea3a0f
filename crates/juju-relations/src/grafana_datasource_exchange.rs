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

use futures_util::future::try_join_all;
use juju_ops::{Databag, Hook, Relation, Remote, ToolError};
use serde::{Deserialize, Serialize};

use crate::{EndpointError, EndpointMeta, EndpointRole, Wire, lenient};

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

/// Either side, in one hook.
#[derive(Clone)]
pub struct DatasourceExchange {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl DatasourceExchange {
    /// The exchange behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is a peer endpoint.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        // Both sides are alike, so both are right.
        let side = match endpoint.role {
            EndpointRole::Requires => EndpointRole::Requires,
            EndpointRole::Provides | EndpointRole::Peer => EndpointRole::Provides,
        };
        endpoint.check(INTERFACE, side)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// Plans to list these on every relation, on the leader; other units do nothing.
    pub async fn publish(&self, data: &AppData) -> Result<(), ToolError> {
        if self.hook.is_leader().await? {
            for relation in self.hook.relations(&self.endpoint.name).await? {
                relation.set_app(data.changes());
            }
        }
        Ok(())
    }

    /// Each relation with what the other side lists.
    pub async fn received(&self) -> Result<Vec<(Relation, Remote<AppData>)>, ToolError> {
        let read = |relation: Relation| async move {
            let data = AppData::read(relation.remote_app_data().await?.as_ref());
            Ok((relation, data))
        };
        try_join_all(self.hook.relations(&self.endpoint.name).await?.into_iter().map(read)).await
    }
}

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
