//! JSON that is passed on without being understood.

use std::fmt;

use juju_ops::DatabagError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON document as text, so that its members keep their order.
///
/// Two are equal if their texts are. `Debug` does not show the text: nobody knows what is in it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(Box<RawValue>);

impl JsonText {
    /// The JSON of a value, spaced as in most databags.
    ///
    /// # Errors
    /// If the value has no JSON form, such as a map whose keys are lists.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Self, DatabagError> {
        let text = juju_ops::databag::json_text(value)?;
        RawValue::from_string(text).map(Self).map_err(|_| DatabagError::new("", "not valid JSON"))
    }

    /// The empty object.
    pub fn empty() -> Self {
        Self(RawValue::from_string("{}".to_owned()).unwrap_or_default())
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Reads the document as a type; `None` if it is something else.
    pub fn parse<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.get()).ok()
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for JsonText {}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JSON of {} bytes", self.get().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_nothing_is_shown() {
        let text: JsonText = serde_json::from_str(r#"{"z": 1, "a": "hunter22"}"#).unwrap();
        assert_eq!(text.get(), r#"{"z": 1, "a": "hunter22"}"#);
        assert_eq!(serde_json::to_string(&[&text]).unwrap(), r#"[{"z": 1, "a": "hunter22"}]"#);
        assert!(!format!("{text:?}").contains("hunter22"));
        assert_eq!(text.parse::<Vec<u8>>(), None);
        assert_eq!(JsonText::of(&[1, 2]).unwrap().get(), "[1, 2]");
        assert_eq!(JsonText::empty().get(), "{}");
    }
}
