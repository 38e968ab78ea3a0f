//! `blackbox_exporter_probes`: what a blackbox exporter should watch.
//!
//! Only the **application** databag of the side that wants to be watched is used, written by its leader. That side is
//! the *provider*. Values are JSON, nulls included.
//!
//! | databag | key | value |
//! |---|---|---|
//! | provider's application | `scrape_metadata` | `{"model", "model_uuid", "application", "unit", "charm_name"}`, the last optional |
//! | | `scrape_probes` | array of [`Probe`] |
//! | | `scrape_modules` | object, name to [`Module`]; has to be there even if it is empty |
//!
//! Names that the provider chooses are made unique by [`Metadata::prefix`].
//!
//! ```
//! use juju_relations::blackbox_exporter_probes::Metadata;
//!
//! let metadata = Metadata {
//!     model: "obs".into(),
//!     model_uuid: "7f9d1c52-4d55-4b8a-9b0e-1b2c3d4e5f60".into(),
//!     application: "tempo".into(),
//!     unit: "tempo/0".into(),
//!     charm_name: None,
//! };
//! assert_eq!(metadata.prefix(), "juju_obs_7f9d1c52_tempo");
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{EndpointRole, Exchange, Nothing, Party, Wire};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "blackbox_exporter_probes";

/// The databag of the application that wants to be watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProviderAppData {
    /// Who it is.
    pub scrape_metadata: Metadata,
    /// What to ask, and where.
    pub scrape_probes: Vec<Probe>,
    /// Ways of asking that the exporter does not have of itself, by name.
    #[serde(deserialize_with = "null_is_default")]
    pub scrape_modules: BTreeMap<String, Module>,
}

/// Who wants to be watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Name of the model.
    pub model: String,
    /// UUID of the model.
    pub model_uuid: String,
    /// Name of the application.
    pub application: String,
    /// The unit that wrote this.
    pub unit: String,
    /// Name of the charm.
    pub charm_name: Option<String>,
}

/// What to ask, and where. The form is that of a scrape job of Prometheus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Name of the job.
    pub job_name: Option<String>,
    /// Where the exporter answers.
    pub metrics_path: Option<String>,
    /// What the exporter is told; `module` says how to ask.
    pub params: BTreeMap<String, Vec<String>>,
    /// Where to ask.
    pub static_configs: Vec<StaticConfig>,
    /// Other settings of the job.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Where to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticConfig {
    /// URLs or addresses, as the module takes them.
    pub targets: Vec<String>,
    /// Labels of what is found there.
    pub labels: Option<BTreeMap<String, String>>,
}

/// A way of asking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Module {
    /// `http`, `tcp`, `icmp`, `dns` or `grpc`.
    pub prober: String,
    /// Its settings.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl Metadata {
    /// What the names of all jobs and modules of this application begin with.
    pub fn prefix(&self) -> String {
        let uuid: String = self.model_uuid.chars().take(8).collect();
        format!("juju_{}_{uuid}_{}", self.model, self.application).replace('/', "_")
    }
}

impl Probe {
    /// A job that asks for these targets with one module.
    pub fn new<T: Into<String>>(
        job_name: impl Into<String>,
        module: impl Into<String>,
        targets: impl IntoIterator<Item = T>,
    ) -> Self {
        let targets = targets.into_iter().map(Into::into).collect();
        Self {
            job_name: Some(job_name.into()),
            metrics_path: None,
            params: [("module".to_owned(), vec![module.into()])].into(),
            static_configs: vec![StaticConfig { targets, labels: None }],
            other: BTreeMap::new(),
        }
    }
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    reader: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &["scrape_metadata", "scrape_probes", "scrape_modules"];
}

/// The side that wants to be watched.
#[derive(Clone, Copy, Debug)]
pub enum Provider {}

impl Party for Provider {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Provides;
    type Own = ProviderAppData;
    type Other = Nothing;
}

/// The side that watches.
#[derive(Clone, Copy, Debug)]
pub enum Requirer {}

impl Party for Requirer {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Requires;
    type Own = Nothing;
    type Other = ProviderAppData;
}

/// The side that wants to be watched, in one hook.
pub type ProbesProvider = Exchange<Provider>;

/// The side that watches, in one hook.
pub type ProbesRequirer = Exchange<Requirer>;

#[cfg(test)]
mod tests {
    use juju_ops::{Databag, Remote};

    use super::*;

    fn example() -> Databag {
        Databag::from([
            (
                "scrape_metadata",
                r#"{"model": "obs", "model_uuid": "7f9d1c52-4d55-4b8a-9b0e-1b2c3d4e5f60", "application": "tempo", "unit": "tempo/0", "charm_name": "tempo-coordinator-k8s"}"#,
            ),
            (
                "scrape_probes",
                r#"[{"job_name": "juju_obs_7f9d1c52_tempo", "metrics_path": null, "params": {"module": ["http_2xx"]}, "static_configs": [{"targets": ["http://tempo.obs.svc.cluster.local:3200/ready"], "labels": null}]}]"#,
            ),
            ("scrape_modules", "{}"),
        ])
    }

    #[test]
    fn bytes_both_ways() {
        let metadata = Metadata {
            model: "obs".into(),
            model_uuid: "7f9d1c52-4d55-4b8a-9b0e-1b2c3d4e5f60".into(),
            application: "tempo".into(),
            unit: "tempo/0".into(),
            charm_name: Some("tempo-coordinator-k8s".into()),
        };
        let probe =
            Probe::new(metadata.prefix(), "http_2xx", ["http://tempo.obs.svc.cluster.local:3200/ready"]);
        let data = ProviderAppData {
            scrape_metadata: metadata,
            scrape_probes: vec![probe],
            scrape_modules: BTreeMap::new(),
        };
        assert_eq!(*data.write(), *example());
        assert_eq!(ProviderAppData::read(Some(&example())), Remote::Ready(data));
    }

    fn with(key: &str, value: Option<&str>) -> Remote<ProviderAppData> {
        let mut bag = example();
        match value {
            Some(value) => bag.insert(key, value),
            None => bag.remove(key),
        };
        ProviderAppData::read(Some(&bag))
    }

    #[test]
    fn settings_that_are_not_known_are_kept() {
        let data = with(
            "scrape_probes",
            Some(r#"[{"params": {}, "static_configs": [], "scrape_interval": "10s"}]"#),
        );
        let probe = data.ok().unwrap().scrape_probes.remove(0);
        assert_eq!(probe.job_name, None);
        assert_eq!(probe.other["scrape_interval"], "10s");
        let data = with("scrape_modules", Some(r#"{"m": {"prober": "http", "http": {"method": "HEAD"}}}"#));
        let data = data.ok().unwrap();
        assert_eq!(data.scrape_modules["m"].other["http"]["method"], "HEAD");
        assert_eq!(
            data.write()["scrape_modules"],
            r#"{"m": {"prober": "http", "http": {"method": "HEAD"}}}"#
        );
        assert!(
            with(
                "scrape_metadata",
                Some(r#"{"model": "m", "model_uuid": "u", "application": "a", "unit": "a/0", "x": 1}"#)
            )
            .is_ready()
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(with("scrape_modules", None).reason(), Some("scrape_modules: missing"));
        assert!(with("scrape_modules", Some("null")).ok().unwrap().scrape_modules.is_empty());
        assert_eq!(
            with("scrape_probes", Some("[{}]")).reason(),
            Some("scrape_probes: missing field `params`")
        );
        assert_eq!(
            with("scrape_metadata", Some("{}")).reason(),
            Some("scrape_metadata: missing field `model`")
        );
    }

    #[test]
    fn names_begin_with_where_they_come_from() {
        let metadata = Metadata {
            model: "a/b".into(),
            model_uuid: "ü".into(),
            application: "c".into(),
            unit: "c/0".into(),
            charm_name: None,
        };
        assert_eq!(metadata.prefix(), "juju_a_b_ü_c");
    }
}
