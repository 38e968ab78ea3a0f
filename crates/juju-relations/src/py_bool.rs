//! Truth values as Python prints them: `True` and `False`.

use serde::{Deserialize, Deserializer, Serializer};

/// As text.
#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
pub(crate) fn serialize<S: Serializer>(value: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *value { "True" } else { "False" })
}

/// Only exactly `True` is true.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(reader)? == "True")
}
