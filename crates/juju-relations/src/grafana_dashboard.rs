//! `grafana_dashboard`: dashboards for a Grafana, and what it thinks of them.
//!
//! Only the **application** databags are used, written by the leaders. Whoever has dashboards is the *provider*.
//!
//! | databag | key | encoding | value |
//! |---|---|---|---|
//! | provider's application | `dashboards` | JSON | `{"templates": {id: `[`Template`]`}, "uuid": …}` |
//! | Grafana's (requirer's) application | `event` | JSON | [`Verdict`]; none if Grafana has nothing to complain about |
//!
//! An id is `file:<name>` for a dashboard that comes with a charm, and `prog:<anything>` for one that a program made. A
//! dashboard itself is JSON text, compressed with xz and encoded in base64. The feature `dashboards` adds both ways
//! between text and that form: [`Template::new`] and [`Dashboards::texts`]. What a provider says takes no more memory to read than a bound
//! allows, whatever it claims to be.
//!
//! ```
//! use juju_relations::{Databag, Wire, grafana_dashboard::{ProviderAppData, RequirerAppData}};
//!
//! let bag = Databag::from([(
//!     "dashboards",
//!     r#"{"templates": {"file:tempo": {"charm": "tempo", "content": "/Td6WFoA"}, "file:odd": {}}, "uuid": "x"}"#,
//! )]);
//! let data = ProviderAppData::read(Some(&bag)).ok().unwrap();
//! assert_eq!(data.dashboards.templates["file:tempo"].content, "/Td6WFoA");
//! assert_eq!(data.problems, ["dashboards: file:odd: missing field `content`"]);
//!
//! let bag = Databag::from([("event", r#"{"errors": [{"dashboard_id": "file:tempo", "error": "corrupt"}]}"#)]);
//! let verdict = RequirerAppData::read(Some(&bag)).ok().unwrap().verdict;
//! assert_eq!(verdict.complaints().collect::<Vec<_>>(), ["file:tempo: corrupt"]);
//! ```

use std::collections::BTreeMap;

use juju_ops::{Databag, Remote};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wire::shown;
use crate::{EndpointRole, Exchange, Party, Topology, Wire, lenient};

#[cfg(feature = "dashboards")]
mod content;

#[cfg(feature = "dashboards")]
pub use content::{ContentError, LONGEST_TEXT, LONGEST_TEXTS, MOST_MEMORY, Problem, Texts};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "grafana_dashboard";

/// One dashboard and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Name of the charm that it comes with.
    #[serde(default)]
    pub charm: String,
    /// The dashboard: JSON text in xz in base64.
    pub content: String,
    /// What it is about. Where there is something, Grafana narrows every query down to the topology that is picked.
    #[serde(default, with = "loose")]
    pub juju_topology: Option<Topology>,
    /// Whether Grafana is to add the pickers of model, application and unit.
    #[serde(default = "yes")]
    pub inject_dropdowns: bool,
    /// The dashboard's `uid`, if it has none itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard_alt_uid: Option<String>,
}

/// Everything under the key `dashboards`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dashboards {
    /// The dashboards, by id.
    pub templates: BTreeMap<String, Template>,
    /// Anything that changes when they do. Nobody reads it.
    #[serde(default)]
    pub uuid: String,
}

/// The provider's application databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAppData {
    /// The dashboards.
    pub dashboards: Dashboards,
    /// Dashboards that cannot be read, in words fit for a status message. All that is wrong is in one text.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// A dashboard that a Grafana cannot show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its id.
    #[serde(default)]
    pub dashboard_id: String,
    /// Why.
    #[serde(default)]
    pub error: String,
}

/// What a Grafana thinks of the dashboards of a relation. If it cannot read one of them, it shows none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Those that it cannot show.
    pub errors: Vec<Refusal>,
    /// Whether it shows them.
    pub valid: bool,
}

/// Grafana's application databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirerAppData {
    /// What it thinks.
    #[serde(rename = "event")]
    pub verdict: Verdict,
    /// Complaints that cannot be read, in words fit for a status message. All that is wrong is in one text.
    #[serde(skip)]
    pub problems: Vec<String>,
}

impl Dashboards {
    /// These dashboards. The `uuid` is only to change when they do.
    pub fn new(templates: impl IntoIterator<Item = (String, Template)>, uuid: impl Into<String>) -> Self {
        Self { templates: templates.into_iter().collect(), uuid: uuid.into() }
    }
}

impl Default for Verdict {
    /// Nothing to complain about.
    fn default() -> Self {
        Self { errors: Vec::new(), valid: true }
    }
}

impl Verdict {
    /// The verdict that complains about these.
    pub fn new(errors: impl IntoIterator<Item = Refusal>) -> Self {
        let errors: Vec<Refusal> = errors.into_iter().collect();
        Self { valid: errors.is_empty(), errors }
    }

    /// Each complaint as one short line that names the dashboard.
    pub fn complaints(&self) -> impl Iterator<Item = String> {
        let unnamed = Some("not shown".to_owned()).filter(|_| !self.valid && self.errors.is_empty());
        let named = self.errors.iter().map(|refusal| {
            let id = if refusal.dashboard_id.is_empty() { "a dashboard" } else { &refusal.dashboard_id };
            let error = if refusal.error.is_empty() { "refused" } else { &refusal.error };
            format!("{}: {}", shown(id), shown(error))
        });
        named.chain(unnamed)
    }
}

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &["dashboards"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        #[derive(Deserialize)]
        struct Document {
            templates: BTreeMap<String, Value>,
            #[serde(default)]
            uuid: Value,
        }
        let Some(bag) = bag else { return Remote::Absent };
        match lenient::document::<Document>(bag, "dashboards") {
            Ok(None) => Remote::Absent,
            Ok(Some(Document { templates, uuid })) => {
                let mut problems = Vec::new();
                let templates = lenient::usable("dashboards", templates, &mut problems);
                let uuid = uuid.as_str().unwrap_or_default();
                Remote::Ready(Self { dashboards: Dashboards::new(templates, uuid), problems })
            }
            Err(error) => Remote::Invalid(error.to_string()),
        }
    }
}

impl Wire for RequirerAppData {
    const KEYS: &'static [&'static str] = &["event"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            errors: Vec<Value>,
            #[serde(default = "yes")]
            valid: bool,
        }
        let Some(bag) = bag else { return Remote::Absent };
        match lenient::document::<Document>(bag, "event") {
            Ok(None) => Remote::Absent,
            Ok(Some(Document { errors, valid })) => {
                let mut problems = Vec::new();
                let named =
                    errors.into_iter().enumerate().map(|(n, error)| (format!("error {}", n + 1), error));
                let errors = lenient::usable("event", named, &mut problems).map(|(_, error)| error).collect();
                Remote::Ready(Self { verdict: Verdict { errors, valid }, problems })
            }
            Err(error) => Remote::Invalid(error.to_string()),
        }
    }
}

fn yes() -> bool {
    true
}

/// A topology of which only those members are asked for that are there; none at all is `{}`.
mod loose {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::Topology;

    #[derive(Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Loose {
        model: Option<String>,
        model_uuid: Option<String>,
        application: Option<String>,
        unit: Option<String>,
        charm_name: Option<String>,
    }

    #[allow(clippy::ref_option)] // the form that serde asks for
    pub(super) fn serialize<S: Serializer>(topology: &Option<Topology>, to: S) -> Result<S::Ok, S::Error> {
        match topology {
            Some(topology) => topology.serialize(to),
            None => to.collect_map([] as [(&str, &str); 0]),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Topology>, D::Error> {
        let loose = Option::<Loose>::deserialize(from)?.unwrap_or_default();
        if loose == Loose::default() {
            return Ok(None);
        }
        Ok(Some(Topology {
            model: loose.model.unwrap_or_default(),
            model_uuid: loose.model_uuid.unwrap_or_default(),
            application: loose.application.unwrap_or_default(),
            unit: loose.unit,
            charm_name: loose.charm_name.unwrap_or_default(),
        }))
    }
}

/// The side that has dashboards.
#[derive(Clone, Copy, Debug)]
pub enum Provider {}

impl Party for Provider {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Provides;
    type Own = ProviderAppData;
    type Other = RequirerAppData;
}

/// The side that is the Grafana.
#[derive(Clone, Copy, Debug)]
pub enum Requirer {}

impl Party for Requirer {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Requires;
    type Own = RequirerAppData;
    type Other = ProviderAppData;
}

/// The side that has dashboards, in one hook.
pub type DashboardProvider = Exchange<Provider>;

/// The side that is the Grafana, in one hook.
pub type DashboardRequirer = Exchange<Requirer>;

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        Topology {
            model: "obs".into(),
            model_uuid: "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55".into(),
            application: "tempo".into(),
            unit: Some(String::new()),
            charm_name: String::new(),
        }
    }

    fn template(content: &str) -> Template {
        Template {
            charm: "tempo-coordinator-k8s".into(),
            content: content.into(),
            juju_topology: Some(topology()),
            inject_dropdowns: true,
            dashboard_alt_uid: Some("bfec99fc305f355c".into()),
        }
    }

    #[test]
    fn bytes_of_a_provider() {
        let dashboards = Dashboards::new([("file:tempo".to_owned(), template("/Td6WFo="))], "u");
        let data = ProviderAppData { dashboards, problems: Vec::new() };
        let bag = Databag::from([(
            "dashboards",
            concat!(
                r#"{"templates": {"file:tempo": {"charm": "tempo-coordinator-k8s", "content": "/Td6WFo=", "#,
                r#""juju_topology": {"model": "obs", "model_uuid": "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55", "#,
                r#""application": "tempo", "unit": ""}, "inject_dropdowns": true, "#,
                r#""dashboard_alt_uid": "bfec99fc305f355c"}}, "uuid": "u"}"#
            ),
        )]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(ProviderAppData::read(Some(&bag)), Remote::Ready(data));
    }

    #[test]
    fn bytes_of_a_grafana() {
        let refusal = Refusal { dashboard_id: "file:tempo".into(), error: "Corrupt input data".into() };
        let data = RequirerAppData { verdict: Verdict::new([refusal]), problems: Vec::new() };
        let bag = Databag::from([(
            "event",
            r#"{"errors": [{"dashboard_id": "file:tempo", "error": "Corrupt input data"}], "valid": false}"#,
        )]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(RequirerAppData::read(Some(&bag)), Remote::Ready(data));
        let content = RequirerAppData::default();
        assert_eq!(content.write()["event"], r#"{"errors": [], "valid": true}"#);
        assert_eq!(content.verdict.complaints().count(), 0);
    }

    #[test]
    fn only_the_content_of_a_dashboard_is_needed() {
        let read = |text: &str| ProviderAppData::read(Some(&Databag::from([("dashboards", text)])));
        let data = read(
            r#"{"templates": {"a": {"content": "x", "juju_topology": {}}, "b": {"content": "y", "inject_dropdowns": false,
            "juju_topology": {"model": "m", "unit": null, "more": 1}, "more": 2}, "c": 7, "d": {"content": null}}, "uuid": 5}"#,
        );
        let data = data.ok().unwrap();
        let (a, b) = (&data.dashboards.templates["a"], &data.dashboards.templates["b"]);
        assert_eq!((&a.charm, &a.juju_topology, a.inject_dropdowns), (&String::new(), &None, true));
        assert_eq!((b.juju_topology.as_ref().unwrap().model.as_str(), b.inject_dropdowns), ("m", false));
        assert_eq!(data.problems.len(), 1);
        assert!(data.problems[0].starts_with("dashboards: c: "), "{:?}", data.problems);
        assert!(data.problems[0].ends_with("(and 1 more)"), "{:?}", data.problems);
        assert_eq!(data.dashboards.uuid, "");

        assert_eq!(read("x").reason(), Some("dashboards: not valid JSON"));
        assert_eq!(read("{}").reason(), Some("dashboards: missing field `templates`"));
        assert_eq!(read("null"), Remote::Absent);
        assert_eq!(ProviderAppData::read(Some(&Databag::from([("other", "x")]))), Remote::Absent);
    }

    #[test]
    fn what_no_topology_is_known_of_has_an_empty_one() {
        let text = serde_json::to_string(&Template { juju_topology: None, ..template("x") }).unwrap();
        assert!(text.contains(r#""juju_topology":{}"#), "{text}");
        let back: Template = serde_json::from_str(&text).unwrap();
        assert_eq!(back.juju_topology, None);
    }

    #[test]
    fn complaints_are_short_and_name_the_dashboard() {
        let read = |text: &str| RequirerAppData::read(Some(&Databag::from([("event", text)])));
        let complaints = |text: &str| read(text).ok().unwrap().verdict.complaints().collect::<Vec<_>>();
        assert_eq!(complaints("{}"), [] as [&str; 0]);
        assert_eq!(complaints(r#"{"valid": false}"#), ["not shown"]);
        assert_eq!(
            complaints(r#"{"errors": [{"error": "a\nb"}, {}]}"#),
            ["a dashboard: a b", "a dashboard: refused"]
        );
        let odd = read(r#"{"errors": [1, {"dashboard_id": "file:x", "error": "y"}]}"#).ok().unwrap();
        assert_eq!(odd.verdict.complaints().collect::<Vec<_>>(), ["file:x: y"]);
        assert!(odd.problems[0].starts_with("event: error 1: "), "{:?}", odd.problems);
        assert_eq!(read("x").reason(), Some("event: not valid JSON"));
        assert_eq!(read("null"), Remote::Absent);
    }
}
