//! Names that Juju gives to units and relations.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A name that does not have the form Juju uses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {expected}")]
pub struct NameError {
    /// What was given.
    pub text: String,
    /// What it should have been, for example `unit name (application/number)`.
    pub expected: &'static str,
}

/// A unit's name, `application/number`. Ordered by application, then by number: `tempo/9` before `tempo/10`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName {
    app: String,
    number: u32,
}

impl UnitName {
    /// The unit `number` of `app`.
    pub fn new(app: impl Into<String>, number: u32) -> Self {
        Self { app: app.into(), number }
    }

    /// Application name, the part before the slash.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// Unit number, the part after the slash.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The name with `-` in place of `/`, as in pod names and URL paths.
    pub fn dashed(&self) -> String {
        format!("{}-{}", self.app, self.number)
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.number)
    }
}

impl FromStr for UnitName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError { text: text.to_owned(), expected: "unit name (application/number)" };
        let (app, number) = text.split_once('/').ok_or_else(error)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        // A sign or leading zeros would parse as a number, yet never come from Juju.
        let canonical = number == "0" || !number.starts_with(['0', '+']);
        if app.is_empty() || !app.chars().all(plain) || !canonical {
            return Err(error());
        }
        Ok(Self { app: app.to_owned(), number: number.parse().map_err(|_| error())? })
    }
}

impl TryFrom<String> for UnitName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.to_string()
    }
}

impl Ord for UnitName {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.app, self.number).cmp(&(&other.app, other.number))
    }
}

impl PartialOrd for UnitName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A relation's id, `endpoint:number`. Only the number identifies it; it orders first by that.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelationId {
    endpoint: String,
    number: u32,
}

impl RelationId {
    /// The relation `number` on the local `endpoint`.
    pub fn new(endpoint: impl Into<String>, number: u32) -> Self {
        Self { endpoint: endpoint.into(), number }
    }

    /// Local endpoint name.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Number, unique in the model.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl fmt::Display for RelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.endpoint, self.number)
    }
}

impl FromStr for RelationId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError { text: text.to_owned(), expected: "relation id (endpoint:number)" };
        let (endpoint, number) = text.rsplit_once(':').ok_or_else(error)?;
        Ok(Self { endpoint: endpoint.to_owned(), number: number.parse().map_err(|_| error())? })
    }
}

impl TryFrom<String> for RelationId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<RelationId> for String {
    fn from(id: RelationId) -> Self {
        id.to_string()
    }
}

impl Ord for RelationId {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.number, &self.endpoint).cmp(&(other.number, &other.endpoint))
    }
}

impl PartialOrd for RelationId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_order_by_number_not_by_text() {
        let mut units: Vec<UnitName> = ["a/10", "a/9", "a-b/1"].map(|u| u.parse().unwrap()).into();
        units.sort();
        assert_eq!(units.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a/9", "a/10", "a-b/1"]);
    }

    #[test]
    fn malformed_names_are_refused() {
        for text in ["", "a", "a/", "/1", "a/+1", "a/01", "a/1/2", "A/1", "a b/1", "a/4294967296"] {
            assert!(text.parse::<UnitName>().is_err(), "{text:?}");
        }
        for text in ["", "tracing", "tracing:", "tracing:x"] {
            assert!(text.parse::<RelationId>().is_err(), "{text:?}");
        }
    }
}
