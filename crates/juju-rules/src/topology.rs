//! Juju topology: which unit of which charm in which model something is about.
//!
//! Metrics, logs, rules and dashboards carry it, so that whoever looks at them finds what belongs together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The labels that selectors have to match. Units of any charm of the application count, and so the charm is not among them.
pub(crate) const MATCHED: [&str; 3] = ["juju_application", "juju_model", "juju_model_uuid"];

/// Who is observed, in the order in which it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Topology {
    /// Name of the model.
    pub model: String,
    /// UUID of the model.
    pub model_uuid: String,
    /// Name of the application.
    pub application: String,
    /// Name of the unit; `None` if it is about the whole application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Name of the charm; empty if it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub charm_name: String,
}

impl Topology {
    /// What groups of rules, jobs and streams of logs of this application are named after:
    /// `<model>_<first eight characters of the UUID>_<application>`.
    pub fn identifier(&self) -> String {
        let uuid: String = self.model_uuid.chars().take(8).collect();
        format!("{}_{uuid}_{}", self.model, self.application).replace('/', "_")
    }

    /// The labels that its rules and series carry, without those that would be empty. The unit is not among them.
    pub fn labels(&self) -> BTreeMap<&'static str, &str> {
        let labels = [
            ("juju_model", self.model.as_str()),
            ("juju_model_uuid", self.model_uuid.as_str()),
            ("juju_application", self.application.as_str()),
            ("juju_charm", self.charm_name.as_str()),
        ];
        labels.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// What selectors that look at series of this application alone have to match, without what would be empty.
    pub fn matchers(&self) -> Vec<(&'static str, &str)> {
        self.labels().into_iter().filter(|(label, _)| MATCHED.contains(label)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tempo() -> Topology {
        Topology {
            model: "obs".into(),
            model_uuid: "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55".into(),
            application: "tempo".into(),
            unit: Some("tempo/0".into()),
            charm_name: "tempo-coordinator-k8s".into(),
        }
    }

    #[test]
    fn fields_are_written_in_their_order() {
        assert_eq!(
            serde_json::to_string(&tempo()).unwrap(),
            r#"{"model":"obs","model_uuid":"3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55","application":"tempo","unit":"tempo/0","charm_name":"tempo-coordinator-k8s"}"#
        );
    }

    #[test]
    fn names_and_labels_are_of_the_application() {
        assert_eq!(tempo().identifier(), "obs_3f1d3c0e_tempo");
        assert_eq!(
            tempo().labels().into_keys().collect::<Vec<_>>(),
            ["juju_application", "juju_charm", "juju_model", "juju_model_uuid"]
        );
        assert_eq!(
            tempo().matchers(),
            [
                ("juju_application", "tempo"),
                ("juju_model", "obs"),
                ("juju_model_uuid", "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55")
            ]
        );
        let nobody = Topology { charm_name: String::new(), ..tempo() };
        assert!(!nobody.labels().contains_key("juju_charm"));
    }
}
