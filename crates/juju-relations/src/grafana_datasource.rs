//! `grafana_datasource`: an application offers itself to Grafana as a data source, and learns who that Grafana is.
//!
//! | databag | key | encoding | value |
//! |---|---|---|---|
//! | source's (provider's) application | `grafana_source_data` | JSON | [`SourceData`], every member present |
//! | | `grafana_source_app_host` | plain | URL of the application |
//! | source's unit | `grafana_source_host` | plain | URL of the unit, for sources of which each unit is one |
//! | Grafana's application | `grafana_uid` | plain | which Grafana it is |
//! | | `grafana_base_url` | plain | its URL |
//! | | `datasource_uids` | JSON | object, unit of the source to UID |
//! | | `app_datasource_uid` | plain | UID of the application as a source |
//!
//! Up to version 0 of the library every unit was a source of its own, with a URL in its own databag and none of the
//! application; since version 1 an application can be one source. Both are written and read.
//!
//! ```
//! use juju_relations::{Databag, Wire, grafana_datasource::{GrafanaAppData, SourceData}};
//!
//! let source = SourceData::new("obs", "7f9d1c52-4d55-4b8a-9b0e-1b2c3d4e5f60", "tempo", "tempo");
//! assert_eq!(source.uid(), "juju_obs_7f9d1c52-4d55-4b8a-9b0e-1b2c3d4e5f60_tempo");
//!
//! let bag = Databag::from([("grafana_uid", "g-1"), ("datasource_uids", r#"{"tempo/0": "x"}"#), ("app_datasource_uid", "y")]);
//! let grafana = GrafanaAppData::read(Some(&bag)).ok().expect("it says who it is");
//! assert_eq!(grafana.uids().into_iter().collect::<Vec<_>>(), ["x", "y"]);
//! ```

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use juju_ops::databag::json_text;
use juju_ops::{Databag, DatabagError, Hook, Relation, RelationId, Remote, ToolError, UnitName};
use serde::{Deserialize, Serialize};

use crate::wire::{remote_apps, remote_units};
use crate::{EndpointError, EndpointMeta, EndpointRole, JsonText, Wire, lenient};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "grafana_datasource";

/// What Grafana needs to know of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceData {
    /// Name of its model.
    pub model: String,
    /// UUID of its model.
    pub model_uuid: String,
    /// Its name.
    pub application: String,
    /// Grafana's name for this kind of source, such as `tempo`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The source's options in Grafana (`jsonData`).
    #[serde(default)]
    pub extra_fields: Option<JsonText>,
    /// Options that Grafana keeps to itself (`secureJsonData`).
    #[serde(default)]
    pub secure_extra_fields: Option<JsonText>,
}

/// The source's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceAppData {
    /// What Grafana needs to know.
    #[serde(rename = "grafana_source_data")]
    pub data: SourceData,
    /// URL of the application; `None` if only its units are sources.
    #[serde(rename = "grafana_source_app_host")]
    pub app_url: Option<String>,
}

/// The source's unit databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceUnitData {
    /// URL of the unit; `None` if only the application is a source.
    #[serde(rename = "grafana_source_host")]
    pub url: Option<String>,
}

/// Grafana's application databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrafanaAppData {
    /// Which Grafana it is.
    pub grafana_uid: String,
    /// Its URL.
    pub grafana_base_url: Option<String>,
    /// UIDs of those units that are sources of their own.
    pub datasource_uids: BTreeMap<String, String>,
    /// UID of the application, if that is a source.
    pub app_datasource_uid: Option<String>,
    /// What else was written and cannot be read, in words fit for a status message.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// A URL as Grafana takes it: with a scheme, which is HTTP unless the URL says otherwise.
pub fn with_scheme(url: &str) -> String {
    let has_scheme = url.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_alphanumeric() || c == '_')
    });
    if has_scheme { url.to_owned() } else { format!("http://{url}") }
}

impl SourceData {
    /// A source without options.
    pub fn new(
        model: impl Into<String>,
        model_uuid: impl Into<String>,
        application: impl Into<String>,
        kind: impl Into<String>,
    ) -> Self {
        Self {
            model: model.into(),
            model_uuid: model_uuid.into(),
            application: application.into(),
            kind: kind.into(),
            extra_fields: None,
            secure_extra_fields: None,
        }
    }

    /// The UID that Grafana gives the application.
    pub fn uid(&self) -> String {
        format!("juju_{}_{}_{}", self.model, self.model_uuid, self.application)
    }

    /// The UID that Grafana gives one of its units.
    pub fn unit_uid(&self, unit: &UnitName) -> String {
        format!("{}_{}", self.uid(), unit.number())
    }
}

fn insert_text(bag: &mut Databag, key: &str, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        bag.insert(key, text);
    }
}

fn text_of(bag: &Databag, key: &str) -> Option<String> {
    bag.get(key).filter(|text| !text.is_empty()).cloned()
}

impl Wire for SourceAppData {
    const KEYS: &'static [&'static str] = &["grafana_source_app_host", "grafana_source_data"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| Self::KEYS.iter().any(|key| bag.contains_key(*key))) else {
            return Remote::Absent;
        };
        match lenient::document(bag, "grafana_source_data") {
            Ok(Some(data)) => Remote::Ready(Self { data, app_url: text_of(bag, "grafana_source_app_host") }),
            // The application's URL is sometimes written by itself first.
            Ok(None) => Remote::Absent,
            Err(error) => Remote::Invalid(error.to_string()),
        }
    }

    fn write(&self) -> Databag {
        let mut bag = Databag::new();
        insert_text(&mut bag, "grafana_source_app_host", self.app_url.as_deref());
        bag.insert("grafana_source_data", json_text(&self.data).unwrap_or_default());
        bag
    }
}

impl Wire for SourceUnitData {
    const KEYS: &'static [&'static str] = &["grafana_source_host"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        match bag.and_then(|bag| text_of(bag, "grafana_source_host")) {
            Some(url) => Remote::Ready(Self { url: Some(url) }),
            None => Remote::Absent,
        }
    }

    fn write(&self) -> Databag {
        let mut bag = Databag::new();
        insert_text(&mut bag, "grafana_source_host", self.url.as_deref());
        bag
    }
}

impl GrafanaAppData {
    /// All UIDs under which this Grafana knows the source, sorted and each once.
    pub fn uids(&self) -> BTreeSet<&str> {
        let units = self.datasource_uids.values().chain(&self.app_datasource_uid);
        units.map(String::as_str).filter(|uid| !uid.is_empty()).collect()
    }
}

impl Wire for GrafanaAppData {
    const KEYS: &'static [&'static str] =
        &["grafana_uid", "grafana_base_url", "datasource_uids", "app_datasource_uid"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| Self::KEYS.iter().any(|key| bag.contains_key(*key))) else {
            return Remote::Absent;
        };
        let Some(grafana_uid) = text_of(bag, "grafana_uid") else {
            let error =
                DatabagError::new("grafana_uid", "missing (the Grafana is too old to say which it is)");
            return Remote::Invalid(error.to_string());
        };
        let mut problems = Vec::new();
        let datasource_uids =
            lenient::object(bag, "datasource_uids", &mut problems).unwrap_or_else(|error| {
                problems.push(error.to_string());
                BTreeMap::new()
            });
        Remote::Ready(Self {
            grafana_uid,
            grafana_base_url: text_of(bag, "grafana_base_url"),
            datasource_uids,
            app_datasource_uid: text_of(bag, "app_datasource_uid"),
            problems,
        })
    }

    fn write(&self) -> Databag {
        let mut bag = Databag::new();
        insert_text(&mut bag, "grafana_uid", Some(&self.grafana_uid));
        insert_text(&mut bag, "grafana_base_url", self.grafana_base_url.as_deref());
        bag.insert("datasource_uids", json_text(&self.datasource_uids).unwrap_or_default());
        insert_text(&mut bag, "app_datasource_uid", self.app_datasource_uid.as_deref());
        bag
    }
}

/// A source as Grafana sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The relation with it.
    pub relation: RelationId,
    /// Its databag.
    pub data: Remote<SourceAppData>,
    /// Its units with their databags.
    pub units: BTreeMap<UnitName, Remote<SourceUnitData>>,
}

impl Source {
    /// What Grafana answers: a UID for the application if that is a source, and one for each unit that is.
    ///
    /// Nothing while the source has not said what it is.
    pub fn answer(&self, grafana_uid: &str, grafana_base_url: Option<&str>) -> Option<GrafanaAppData> {
        let source = self.data.as_ref().ok()?;
        let is_source = |data: &Remote<SourceUnitData>| {
            data.as_ref().ok().is_some_and(|data| data.url.as_deref().is_some_and(|url| !url.is_empty()))
        };
        let units = self.units.iter().filter(|(_, data)| is_source(data));
        let has_url = source.app_url.as_deref().is_some_and(|url| !url.is_empty());
        Some(GrafanaAppData {
            grafana_uid: grafana_uid.to_owned(),
            grafana_base_url: grafana_base_url.map(str::to_owned),
            datasource_uids: units.map(|(unit, _)| (unit.to_string(), source.data.unit_uid(unit))).collect(),
            app_datasource_uid: has_url.then(|| source.data.uid()),
            problems: Vec::new(),
        })
    }
}

/// The side that is a source, in one hook.
#[derive(Clone)]
pub struct GrafanaSourceProvider {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl GrafanaSourceProvider {
    /// The provider behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Provides)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// Plans to offer the source to every Grafana: each unit its own part, the leader that of the application too.
    pub async fn publish(&self, app: &SourceAppData, unit: &SourceUnitData) -> Result<(), ToolError> {
        let leader = self.hook.is_leader().await?;
        for relation in self.hook.relations(&self.endpoint.name).await? {
            relation.set_unit(unit.changes());
            if leader {
                relation.set_app(app.changes());
            }
        }
        Ok(())
    }

    /// Each relation with what its Grafana has answered.
    pub async fn grafanas(&self) -> Result<Vec<(Relation, Remote<GrafanaAppData>)>, ToolError> {
        remote_apps(&self.hook, &self.endpoint).await
    }
}

/// Grafana, in one hook.
#[derive(Clone)]
pub struct GrafanaSourceRequirer {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl GrafanaSourceRequirer {
    /// The requirer behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Requires)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// The sources, each with its relation.
    pub async fn sources(&self) -> Result<Vec<(Relation, Source)>, ToolError> {
        let read = |relation: Relation| async move {
            let source = Source {
                relation: relation.id().clone(),
                data: SourceAppData::read(relation.remote_app_data().await?.as_ref()),
                units: remote_units(&relation).await?,
            };
            Ok((relation, source))
        };
        try_join_all(self.hook.relations(&self.endpoint.name).await?.into_iter().map(read)).await
    }

    /// Plans to answer one source, on the leader; other units do nothing.
    pub async fn publish(&self, relation: &Relation, data: &GrafanaAppData) -> Result<(), ToolError> {
        if self.hook.is_leader().await? {
            relation.set_app(data.changes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "7f9d1c52-4d55-4b8a-9b0e-1b2c3d4e5f60";

    fn source() -> SourceAppData {
        SourceAppData {
            data: SourceData::new("obs", UUID, "tempo", "tempo"),
            app_url: Some("http://tempo.obs.svc.cluster.local:3200".into()),
        }
    }

    fn source_bag() -> Databag {
        Databag::from([
            ("grafana_source_app_host", "http://tempo.obs.svc.cluster.local:3200"),
            (
                "grafana_source_data",
                concat!(
                    r#"{"model": "obs", "model_uuid": "7f9d1c52-4d55-4b8a-9b0e-1b2c3d4e5f60", "#,
                    r#""application": "tempo", "type": "tempo", "extra_fields": null, "secure_extra_fields": null}"#
                ),
            ),
        ])
    }

    #[test]
    fn bytes_of_a_source() {
        assert_eq!(*source().write(), *source_bag());
        assert_eq!(SourceAppData::read(Some(&source_bag())), Remote::Ready(source()));
        let mut with_options = source();
        with_options.data.extra_fields = serde_json::from_str(r#"{"z": [1, 2], "a": {}}"#).unwrap();
        let bag = with_options.write();
        assert!(
            bag["grafana_source_data"].contains(r#""extra_fields": {"z": [1, 2], "a": {}}, "#),
            "{bag:?}"
        );
        assert_eq!(SourceAppData::read(Some(&bag)), Remote::Ready(with_options));
        // Explicitly no URL of the unit.
        assert_eq!(SourceUnitData::default().changes(), [("grafana_source_host".to_owned(), None)]);
    }

    #[test]
    fn bytes_of_grafana() {
        let data = GrafanaAppData {
            grafana_uid: "obs-grafana-7f9d".into(),
            grafana_base_url: Some("http://grafana.obs.svc.cluster.local:3000".into()),
            datasource_uids: BTreeMap::new(),
            app_datasource_uid: Some(source().data.uid()),
            problems: vec![],
        };
        let bag = Databag::from([
            ("grafana_uid", "obs-grafana-7f9d"),
            ("grafana_base_url", "http://grafana.obs.svc.cluster.local:3000"),
            ("datasource_uids", "{}"),
            ("app_datasource_uid", "juju_obs_7f9d1c52-4d55-4b8a-9b0e-1b2c3d4e5f60_tempo"),
        ]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(GrafanaAppData::read(Some(&bag)), Remote::Ready(data));
    }

    #[test]
    fn sources_of_old_are_one_for_each_unit() {
        let mut old = source_bag();
        old.remove("grafana_source_app_host");
        // Before there were options.
        old.insert(
            "grafana_source_data",
            format!(r#"{{"model": "obs", "model_uuid": "{UUID}", "application": "tempo", "type": "tempo"}}"#),
        );
        let unit = |number, url: &str| {
            let bag = Databag::from([("grafana_source_host", url)]);
            (UnitName::new("tempo", number), SourceUnitData::read(Some(&bag)))
        };
        let source = Source {
            relation: RelationId::new("grafana-source", 1),
            data: SourceAppData::read(Some(&old)),
            units: [unit(0, "http://a:3200"), unit(42, "http://b:3200"), unit(43, "")].into(),
        };
        let answer = source.answer("g", None).unwrap();
        assert_eq!(answer.app_datasource_uid, None);
        assert_eq!(
            answer.write()["datasource_uids"],
            format!(r#"{{"tempo/0": "juju_obs_{UUID}_tempo_0", "tempo/42": "juju_obs_{UUID}_tempo_42"}}"#)
        );
        assert_eq!(answer.uids().len(), 2);
        let silent = Source { data: Remote::Absent, ..source };
        assert_eq!(silent.answer("g", None), None);
    }

    #[test]
    fn uids_of_a_grafana_are_listed_once() {
        let bag = Databag::from([
            ("grafana_uid", "g"),
            (
                "datasource_uids",
                r#"{"tempo/1": "b", "tempo/0": "a", "tempo/2": "a", "tempo/3": 1, "tempo/4": ""}"#,
            ),
            ("app_datasource_uid", "b"),
        ]);
        let data = GrafanaAppData::read(Some(&bag)).ok().unwrap();
        assert_eq!(data.uids().into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(data.problems, ["datasource_uids: tempo/3: expected a string, found integer"]);
    }

    #[test]
    fn what_grafana_got_wrong_does_not_spoil_the_rest() {
        let bag =
            Databag::from([("grafana_uid", "g"), ("datasource_uids", "x"), ("app_datasource_uid", "b")]);
        let data = GrafanaAppData::read(Some(&bag)).ok().unwrap();
        assert_eq!(
            (data.uids().len(), data.problems),
            (1, vec!["datasource_uids: not valid JSON".to_owned()])
        );
        let old = Databag::from([("datasource_uids", "{}")]);
        assert_eq!(
            GrafanaAppData::read(Some(&old)).reason(),
            Some("grafana_uid: missing (the Grafana is too old to say which it is)")
        );
        assert_eq!(GrafanaAppData::read(Some(&Databag::from([("x", "y")]))), Remote::Absent);
    }

    #[test]
    fn urls_get_a_scheme() {
        assert_eq!(with_scheme("tempo.obs:3200"), "http://tempo.obs:3200");
        assert_eq!(with_scheme("https://tempo.obs:3200"), "https://tempo.obs:3200");
        assert_eq!(with_scheme("://x"), "http://://x");
    }
}
