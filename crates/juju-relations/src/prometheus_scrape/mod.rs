//! `prometheus_scrape`: what a Prometheus should scrape, and the alert rules about it.
//!
//! The side that is scraped is the *provider*.
//!
//! | databag | key | encoding | value |
//! |---|---|---|---|
//! | provider's application | `scrape_metadata` | JSON | the [`Topology`] of whom the metrics are about |
//! | | `scrape_jobs` | JSON | array of [`ScrapeJob`] |
//! | | `alert_rules` | JSON | `{"groups": […]}`, or `{}` for none |
//! | provider's unit | `prometheus_scrape_unit_address` | plain | what stands for `*` in targets |
//! | | `prometheus_scrape_unit_name` | plain | the unit's name |
//! | | `prometheus_scrape_unit_path` | plain | what paths of metrics begin with at that address; none is the rule |
//! | | `prometheus_scrape_unit_fqdn` | plain | another name of the same host, if there is one |
//! | | `prometheus_scrape_host` | plain | what older units write in place of the address; only read |
//! | Prometheus's (requirer's) application | `event` | JSON | what became of jobs and rules: a [`Verdict`] |
//!
//! How Prometheus makes its configuration of all that is in [`scrape_configs`].
//!
//! ```
//! use juju_relations::{Databag, Wire, prometheus_scrape::{ProviderAppData, UnitData}};
//!
//! let bag = Databag::from([("scrape_jobs", r#"[{"static_configs": [{"targets": ["*:9113"]}]}]"#)]);
//! let data = ProviderAppData::read(Some(&bag)).ok().unwrap();
//! assert_eq!(data.scrape_jobs[0].static_configs[0].targets, ["*:9113"]);
//! let unit = UnitData::new("tempo/0", "tempo.obs.svc.cluster.local");
//! assert_eq!(unit.write()["prometheus_scrape_unit_address"], "tempo.obs.svc.cluster.local");
//! ```

mod expand;

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use juju_ops::databag::json_text;
use juju_ops::{Databag, Encoding, Hook, Relation, RelationId, Remote, ToolError, UnitName};
use serde::{Deserialize, Serialize};

use crate::wire::{remote_apps, remote_units, tell_as_leader};
use crate::{EndpointError, EndpointMeta, EndpointRole, JsonText, Topology, Wire, lenient};

pub use expand::{Scraped, scrape_configs};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "prometheus_scrape";

/// The provider's application databag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProviderAppData {
    /// Whom the metrics are about; without it Prometheus adds no labels.
    pub scrape_metadata: Option<Topology>,
    /// What to scrape. An empty list is written too: it says that there is nothing, while without a list some
    /// libraries assume a job.
    pub scrape_jobs: Vec<ScrapeJob>,
    /// Alert rules.
    pub alert_rules: Option<JsonText>,
    /// What else was written and cannot be read, in words fit for a status message.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// The provider's unit databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitData {
    /// The host, without a port, under which Prometheus reaches the unit.
    #[serde(rename = "prometheus_scrape_unit_address")]
    pub address: String,
    /// The unit's name as it gives it.
    #[serde(rename = "prometheus_scrape_unit_name")]
    pub name: Option<String>,
    /// What paths begin with at that address.
    #[serde(rename = "prometheus_scrape_unit_path")]
    pub path: Option<String>,
    /// Another name of the host.
    #[serde(rename = "prometheus_scrape_unit_fqdn")]
    pub fqdn: Option<String>,
}

/// Prometheus's application databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirerAppData {
    /// What became of jobs and rules.
    pub event: Option<Verdict>,
}

/// What Prometheus says of jobs and rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the rules are in use.
    #[serde(default = "yes")]
    pub valid: bool,
    /// What is wrong with the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<String>,
    /// What is wrong with the jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_job_errors: Option<String>,
}

/// A job, in the form that Prometheus's own configuration has. Settings that are not listed here are not passed on by
/// the interface, so they are left out when a job is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScrapeJob {
    /// Name; Prometheus makes it unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// Path of the page with the metrics; `/metrics` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_path: Option<String>,
    /// Where to scrape.
    pub static_configs: Vec<StaticConfig>,
    /// Changes of the labels of a target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relabel_configs: Vec<RelabelConfig>,
    /// Changes of the labels of what is found there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metric_relabel_configs: Vec<RelabelConfig>,
    /// `http` or `https`; `http` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Time from one scrape to the next, in Prometheus's notation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<String>,
    /// Time that a scrape may take, in Prometheus's notation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<String>,
    /// URL of a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<String>,
    /// Parameters of the request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Vec<String>>,
    /// How TLS is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<JsonText>,
    /// Name and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<JsonText>,
    /// Another kind of credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<JsonText>,
    /// Most samples of a scrape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_limit: Option<u64>,
    /// Most labels of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_limit: Option<u64>,
    /// Longest name of a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_name_length_limit: Option<u64>,
    /// Longest value of a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_value_length_limit: Option<u64>,
}

/// Where to scrape.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct StaticConfig {
    /// `host:port`; with `*` for the host of each unit.
    pub targets: Vec<String>,
    /// Labels of what is found there. They come before those that Prometheus would add.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// One change of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct RelabelConfig {
    /// The labels whose values are looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    /// What is between those values; `;` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// The label that is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_label: Option<String>,
    /// What the values have to match; anything without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Number of shards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modulus: Option<u64>,
    /// What is set, with `$1` for the first group of the match, and `$$` for a dollar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// What is done; `replace` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

const fn yes() -> bool {
    true
}

impl ScrapeJob {
    /// A job without a name of its own for these targets.
    pub fn new<T: Into<String>>(
        metrics_path: impl Into<String>,
        targets: impl IntoIterator<Item = T>,
    ) -> Self {
        let targets = targets.into_iter().map(Into::into).collect();
        Self {
            metrics_path: Some(metrics_path.into()),
            static_configs: vec![StaticConfig { targets, labels: BTreeMap::new() }],
            ..Self::default()
        }
    }
}

impl RelabelConfig {
    /// Sets a label to this text, whatever it was, and removes it if the text is empty.
    pub fn set(label: impl Into<String>, text: &str) -> Self {
        Self {
            target_label: Some(label.into()),
            replacement: Some(text.replace('$', "$$")),
            ..Self::default()
        }
    }
}

impl UnitData {
    /// The databag of a unit at this address.
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Self {
        Self { address: address.into(), name: Some(name.into()), path: None, fqdn: None }
    }
}

/// What older units write in place of their address.
const LEGACY_HOST: &str = "prometheus_scrape_host";

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &["scrape_metadata", "scrape_jobs", "alert_rules"];

    /// Jobs are read one by one, and what cannot be used is left out and named. Databags in which nothing at all can
    /// be used are invalid.
    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| Self::KEYS.iter().any(|key| bag.contains_key(*key))) else {
            return Remote::Absent;
        };
        let mut problems = Vec::new();
        // Who is scraped decides about all names and labels: without it, jobs would get into each other's way.
        let scrape_metadata = match lenient::document(bag, "scrape_metadata") {
            Ok(topology) => topology,
            Err(error) => return Remote::Invalid(error.to_string()),
        };
        let scrape_jobs = match lenient::array(bag, "scrape_jobs", &mut problems) {
            Ok(jobs) => jobs,
            Err(error) => return Remote::Invalid(error.to_string()),
        };
        let alert_rules = lenient::document(bag, "alert_rules").unwrap_or_else(|error| {
            problems.push(error.to_string());
            None
        });
        Remote::Ready(Self { scrape_metadata, scrape_jobs, alert_rules, problems })
    }

    fn write(&self) -> Databag {
        let mut bag = Databag::encode(self, Encoding::Json).unwrap_or_default();
        bag.insert("scrape_jobs", json_text(&self.scrape_jobs).unwrap_or_default());
        bag
    }
}

impl Wire for UnitData {
    const KEYS: &'static [&'static str] = &[
        "prometheus_scrape_unit_address",
        "prometheus_scrape_unit_name",
        "prometheus_scrape_unit_path",
        "prometheus_scrape_unit_fqdn",
    ];
    const ENCODING: Encoding = Encoding::Raw;

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let text = |key: &str| bag.and_then(|bag| bag.get(key)).filter(|text| !text.is_empty()).cloned();
        let Some(address) = text("prometheus_scrape_unit_address").or_else(|| text(LEGACY_HOST)) else {
            return Remote::Absent;
        };
        Remote::Ready(Self {
            address,
            name: text("prometheus_scrape_unit_name"),
            path: text("prometheus_scrape_unit_path"),
            fqdn: text("prometheus_scrape_unit_fqdn"),
        })
    }
}

impl Wire for RequirerAppData {
    const KEYS: &'static [&'static str] = &["event"];
}

/// The side that is scraped, in one hook.
#[derive(Clone)]
pub struct ScrapeProvider {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl ScrapeProvider {
    /// The provider behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Provides)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// Plans to say what can be scraped: each unit where it is, the leader everything else.
    pub async fn publish(&self, app: &ProviderAppData, unit: &UnitData) -> Result<(), ToolError> {
        let leader = self.hook.is_leader().await?;
        for relation in self.hook.relations(&self.endpoint.name).await? {
            relation.set_unit(unit.changes());
            if leader {
                relation.set_app(app.changes());
            }
        }
        Ok(())
    }

    /// Each relation with what its Prometheus says of our jobs and rules.
    pub async fn verdicts(&self) -> Result<Vec<(Relation, Remote<RequirerAppData>)>, ToolError> {
        remote_apps(&self.hook, &self.endpoint).await
    }
}

/// One application that wants to be scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The relation with it.
    pub relation: RelationId,
    /// Its databag.
    pub data: Remote<ProviderAppData>,
    /// Its units with their databags.
    pub units: BTreeMap<UnitName, Remote<UnitData>>,
}

impl Source {
    /// What of it can be scraped; nothing while it has said nothing that can be used.
    pub fn scraped(&self) -> Option<Scraped<'_>> {
        let units = self.units.iter();
        let ready = units.map(|(name, data)| (name, data.as_ref().ok())).collect();
        Some(Scraped { app: self.data.as_ref().ok()?, units: ready })
    }
}

/// Prometheus, in one hook.
#[derive(Clone)]
pub struct ScrapeRequirer {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl ScrapeRequirer {
    /// The requirer behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Requires)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// The applications that want to be scraped.
    pub async fn sources(&self) -> Result<Vec<Source>, ToolError> {
        let read = |relation: Relation| async move {
            Ok(Source {
                relation: relation.id().clone(),
                data: ProviderAppData::read(relation.remote_app_data().await?.as_ref()),
                units: remote_units(&relation).await?,
            })
        };
        try_join_all(self.hook.relations(&self.endpoint.name).await?.into_iter().map(read)).await
    }

    /// Plans to say what became of jobs and rules, to all of them, on the leader; other units do nothing.
    pub async fn publish(&self, data: &RequirerAppData) -> Result<(), ToolError> {
        tell_as_leader(&self.hook, &self.endpoint, data).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOBS: &str = r#"[{"metrics_path": "/proxy/worker/tw-0/metrics", "static_configs": [{"targets": ["tempo.obs.svc.cluster.local:3300"]}], "relabel_configs": [{"target_label": "juju_unit", "replacement": "tw/0"}], "scheme": "https"}, {"metrics_path": "/metrics", "static_configs": [{"targets": ["tempo-0.tempo-endpoints.obs.svc.cluster.local:9113"], "labels": {"juju_unit": "tempo/0"}}]}]"#;

    fn topology() -> Topology {
        Topology {
            model: "obs".into(),
            model_uuid: "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55".into(),
            application: "tempo".into(),
            unit: None,
            charm_name: "tempo-coordinator-k8s".into(),
        }
    }

    #[test]
    fn bytes_of_who_is_scraped() {
        let mut worker = ScrapeJob::new("/proxy/worker/tw-0/metrics", ["tempo.obs.svc.cluster.local:3300"]);
        worker.relabel_configs = vec![RelabelConfig::set("juju_unit", "tw/0")];
        worker.scheme = Some("https".into());
        let mut nginx = ScrapeJob::new("/metrics", ["tempo-0.tempo-endpoints.obs.svc.cluster.local:9113"]);
        nginx.static_configs[0].labels.insert("juju_unit".into(), "tempo/0".into());
        let data = ProviderAppData {
            scrape_metadata: Some(topology()),
            scrape_jobs: vec![worker, nginx],
            alert_rules: Some(JsonText::empty()),
            problems: vec![],
        };
        let bag = Databag::from([
            (
                "scrape_metadata",
                r#"{"model": "obs", "model_uuid": "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55", "application": "tempo", "charm_name": "tempo-coordinator-k8s"}"#,
            ),
            ("scrape_jobs", JOBS),
            ("alert_rules", "{}"),
        ]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(ProviderAppData::read(Some(&bag)), Remote::Ready(data));
        let nothing = ProviderAppData::default();
        assert_eq!(*nothing.write(), *Databag::from([("scrape_jobs", "[]")]));
        assert_eq!(ProviderAppData::read(Some(&nothing.write())), Remote::Ready(nothing));
    }

    #[test]
    fn bytes_of_a_unit() {
        let bag = Databag::from([
            ("prometheus_scrape_unit_address", "tempo.obs.svc.cluster.local"),
            ("prometheus_scrape_unit_name", "tempo/0"),
        ]);
        let data = UnitData::new("tempo/0", "tempo.obs.svc.cluster.local");
        assert_eq!(*data.write(), *bag);
        assert_eq!(UnitData::read(Some(&bag)), Remote::Ready(data.clone()));
        let more = UnitData { path: Some("/obs-tempo-0".into()), fqdn: Some("tempo-0.x".into()), ..data };
        assert_eq!(UnitData::read(Some(&more.write())), Remote::Ready(more));
        let older = Databag::from([("prometheus_scrape_host", "10.1.2.3")]);
        let address = UnitData { address: "10.1.2.3".into(), name: None, path: None, fqdn: None };
        assert_eq!(UnitData::read(Some(&older)), Remote::Ready(address));
    }

    #[test]
    fn bytes_of_prometheus() {
        let read = |text: &str| RequirerAppData::read(Some(&Databag::from([("event", text)])));
        let verdict = |valid, errors: Option<&str>, jobs: Option<&str>| {
            Remote::Ready(RequirerAppData {
                event: Some(Verdict {
                    valid,
                    errors: errors.map(Into::into),
                    scrape_job_errors: jobs.map(Into::into),
                }),
            })
        };
        assert_eq!(read(r#"{"valid": false, "errors": "e"}"#), verdict(false, Some("e"), None));
        assert_eq!(read(r#"{"scrape_job_errors": "j"}"#), verdict(true, None, Some("j")));
        let written = verdict(true, None, None).ok().unwrap().write();
        assert_eq!(*written, *Databag::from([("event", r#"{"valid": true}"#)]));
    }

    #[test]
    fn a_job_that_makes_no_sense_does_not_spoil_the_others() {
        let bag = Databag::from([
            ("scrape_jobs", r#"[{"static_configs": 1}, {"job_name": "good", "honor_labels": true}, null]"#),
            ("alert_rules", "{"),
        ]);
        let data = ProviderAppData::read(Some(&bag)).ok().unwrap();
        let good = ScrapeJob { job_name: Some("good".into()), ..ScrapeJob::default() };
        assert_eq!(data.scrape_jobs, [good]);
        assert_eq!(data.problems.len(), 2, "{:?}", data.problems);
        assert!(data.problems[0].starts_with("scrape_jobs: entry 1: "), "{:?}", data.problems);
        assert_eq!(data.problems[1], "alert_rules: not valid JSON");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let read = |key: &str, text: &str| ProviderAppData::read(Some(&Databag::from([(key, text)])));
        assert_eq!(read("scrape_jobs", "{}").reason(), Some("scrape_jobs: expected a sequence, found map"));
        assert_eq!(read("scrape_metadata", "{}").reason(), Some("scrape_metadata: missing field `model`"));
        assert_eq!(read("other", "{}"), Remote::Absent);
    }

    #[test]
    fn credentials_do_not_show() {
        let bag = Databag::from([(
            "scrape_jobs",
            r#"[{"basic_auth": {"username": "u", "password": "hunter22"}, "authorization": {"credentials": "hunter22"}}]"#,
        )]);
        let data = ProviderAppData::read(Some(&bag)).ok().unwrap();
        assert!(!format!("{data:?}").contains("hunter22"));
        assert!(data.write()["scrape_jobs"].contains("hunter22"));
    }

    #[test]
    fn a_dollar_in_a_text_is_a_dollar() {
        assert_eq!(RelabelConfig::set("l", "a$1").replacement.as_deref(), Some("a$$1"));
    }
}
