//! Alert and recording rules that charms send to Prometheus and Loki.
//!
//! A charm writes rules about itself without knowing under which name and in which model it is deployed. Before they
//! are sent, [`Rules::with_topology`] gives groups a name of their own and rules the labels of the application, and
//! [`Rules::inject`] has every selector of every expression look at series of this application alone.
//!
//! ```
//! use juju_rules::{Language, Rules, Topology};
//!
//! let mut rules = Rules::from_yaml("errors", "
//!   alert: ManyErrors
//!   expr: sum(rate({job=~\".+\"} |= \"level=error\" [5m])) > 10
//!   labels: {severity: warning}
//! ")?;
//! let topology = Topology { model: "obs".into(), application: "db".into(), ..Topology::default() };
//! rules.with_topology(&topology, "", Language::LogQl);
//! rules.inject(Language::LogQl)?;
//! let rule = &rules.groups[0].rules[0];
//! assert_eq!(rule.labels["juju_application"], "db");
//! assert_eq!(
//!     rule.expr,
//!     "sum(rate({job=~\".+\", juju_application=\"db\", juju_model=\"obs\"} |= \"level=error\" [5m])) > 10",
//! );
//! # Ok::<(), juju_rules::RulesError>(())
//! ```
//!
//! PromQL is read with a parser, which the feature `promql` brings; all else is there without it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub mod logql;
#[cfg(feature = "promql")]
pub mod promql;
mod scan;
mod topology;

pub use topology::Topology;

/// What stands for matchers in expressions of many charms; see [`Rules::with_topology`].
const PLACEHOLDER: &str = "%%juju_topology%%";

/// A document of rules. Written as JSON it is the value of a relation's key `alert_rules`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The groups, in order; the member is left out if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Members that are not known here.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Rules that are evaluated together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The name, one of its kind in its document.
    pub name: String,
    /// The rules, in order.
    pub rules: Vec<Rule>,
    /// Members that are not known here, such as `interval`.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// One rule: it has either the name of an alert or that of a series which it records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Name of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// Name of the recorded series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// What is asked: PromQL or LogQL.
    pub expr: String,
    /// How long the expression has to be true before the alert fires, such as `5m`; at once if there is none.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Labels that the alert or the series gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Texts for people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Members that are not known here, such as `keep_firing_for`.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl Rule {
    /// The name of the alert or of the recorded series.
    pub fn name(&self) -> &str {
        self.alert.as_deref().or(self.record.as_deref()).unwrap_or_default()
    }
}

/// The language of a document's expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// That of Prometheus.
    PromQl,
    /// That of Loki.
    LogQl,
}

/// Why a query cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct QueryError {
    reason: String,
}

impl QueryError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The document is no YAML, or holds something else than rules.
    #[error("{name}: {reason}")]
    Document {
        /// The name that was given to it.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The expression of a rule is wrong.
    #[error("group {group:?}, rule {rule:?}: {reason}")]
    Query {
        /// Name of its group.
        group: String,
        /// Name of its alert or series.
        rule: String,
        /// What is wrong with it.
        reason: QueryError,
    },
}

impl Rules {
    /// Reads a file of rules: either a document with `groups`, or a single rule, which becomes a group called `name`.
    ///
    /// # Errors
    /// If the text is no YAML or something else than rules.
    pub fn from_yaml(name: &str, text: &str) -> Result<Self, RulesError> {
        let wrong = |reason: String| RulesError::Document { name: name.to_owned(), reason };
        let document: Value = serde_yaml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let rules = if document.get("groups").is_some() {
            serde_json::from_value(document)
        } else {
            serde_json::from_value(document).map(|rule: Rule| {
                let group = Group { name: name.to_owned(), rules: vec![rule], other: BTreeMap::new() };
                Self { groups: vec![group], other: BTreeMap::new() }
            })
        };
        let rules = rules.map_err(|error| wrong(error.to_string()))?;
        if let Some((group, _)) = rules.iter().find(|(_, rule)| rule.alert.is_some() == rule.record.is_some())
        {
            return Err(wrong(format!("group {:?}: a rule has either `alert` or `record`", group.name)));
        }
        Ok(rules)
    }

    /// Every rule, with its group.
    pub fn iter(&self) -> impl Iterator<Item = (&Group, &Rule)> {
        self.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
    }

    /// Has groups and rules say whose they are: groups in their names (see [`group_name`]), rules in their labels, of which
    /// those that a rule has already are kept.
    ///
    /// `%%juju_topology%%` in an expression is removed, in LogQL replaced by `job=~".+"`, since a selector must not be
    /// empty there. `subdirectory` is where the file was found, below the folder of rules; usually nothing.
    pub fn with_topology(&mut self, topology: &Topology, subdirectory: &str, language: Language) {
        for group in &mut self.groups {
            group.name = group_name(topology, subdirectory, &group.name);
            for rule in &mut group.rules {
                for (label, value) in topology.labels() {
                    rule.labels.entry(label.to_owned()).or_insert_with(|| value.to_owned());
                }
                if rule.expr.contains(PLACEHOLDER) {
                    rule.expr = without_placeholder(&rule.expr, language);
                }
            }
        }
    }

    /// Has every selector of every expression match the model and the application that the labels of its rule name; see
    /// [`logql::inject`] and `promql::inject`.
    ///
    /// # Errors
    /// If an expression cannot be read; no rule is changed then. PromQL cannot be without the feature `promql`.
    pub fn inject(&mut self, language: Language) -> Result<(), RulesError> {
        let mut expressions = Vec::new();
        for (group, rule) in self.iter() {
            let matcher = |label: &'static str| Some((label, rule.labels.get(label)?.as_str()));
            let matchers: Vec<_> = topology::MATCHED.into_iter().filter_map(matcher).collect();
            let result = match language {
                Language::LogQl => logql::inject(&rule.expr, &matchers),
                #[cfg(feature = "promql")]
                Language::PromQl => promql::inject(&rule.expr, &matchers),
                #[cfg(not(feature = "promql"))]
                Language::PromQl => Err(QueryError::new("PromQL needs the feature promql")),
            };
            expressions.push(result.map_err(|reason| RulesError::Query {
                group: group.name.clone(),
                rule: rule.name().to_owned(),
                reason,
            })?);
        }
        let rules = self.groups.iter_mut().flat_map(|group| &mut group.rules);
        for (rule, expression) in rules.zip(expressions) {
            rule.expr = expression;
        }
        Ok(())
    }
}

/// The name under which a group of an application's rules is published:
/// `<identifier of the topology>[_<subdirectory>]_<name>_rules`, with nothing in it but letters, digits, `_` and `:`.
///
/// A name that says already whose it is gets no other one.
pub fn group_name(topology: &Topology, subdirectory: &str, name: &str) -> String {
    let full = if is_published_name(name) {
        name.to_owned()
    } else {
        let identifier = topology.identifier();
        let parts = [identifier.as_str(), subdirectory, name];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let joined = parts.join("_");
        if joined.ends_with("_rules") { joined } else { joined + "_rules" }
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    full.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

/// Whether a name holds eight hexadecimal digits between underlines and, after them, ends with `rules`.
fn is_published_name(name: &str) -> bool {
    let is_uuid = |part: &[u8]| {
        matches!(part, [b'_', digits @ .., b'_']
            if digits.iter().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(digit)))
    };
    name.strip_suffix("rules").is_some_and(|start| start.as_bytes().windows(10).any(is_uuid))
}

/// An expression without placeholders. A comma after one goes with it unless it still stands between matchers.
fn without_placeholder(expression: &str, language: Language) -> String {
    let mut parts = expression.split(PLACEHOLDER);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let after = part.trim_start().strip_prefix(',');
        match (language, after) {
            (Language::PromQl, Some(after)) => result.push_str(after.trim_start()),
            (Language::PromQl, None) => result.push_str(part),
            (Language::LogQl, Some(after)) if after.trim_start().starts_with('}') => {
                result.push_str("job=~\".+\"");
                result.push_str(after);
            }
            (Language::LogQl, _) => {
                result.push_str("job=~\".+\"");
                result.push_str(part);
            }
        }
    }
    result
}

/// A text as a string of PromQL or LogQL, in double quotes.
pub fn quoted(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + 2);
    result.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => result.extend(['\\', c]),
            '\n' => result.push_str("\\n"),
            // Both read two hexadecimal digits as a byte.
            _ if c.is_ascii_control() => result.extend(["\\x", &format!("{:02x}", u32::from(c))]),
            _ => result.push(c),
        }
    }
    result.push('"');
    result
}

#[cfg(test)]
mod tests;
