//! Reading what other charms wrote entry by entry, so that one bad entry does not spoil the others.

use std::collections::BTreeMap;

use juju_ops::{Databag, DatabagError, Encoding};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The JSON document under `key`; `None` if there is no such key, or `null` behind it.
pub(crate) fn document<T: DeserializeOwned>(bag: &Databag, key: &str) -> Result<Option<T>, DatabagError> {
    bag.get(key).map_or(Ok(None), |text| decode(key, text))
}

/// The array under `key`, without the entries that are not what they should be. Those are named in `problems`, all
/// in one text. No such key is an empty array.
///
/// # Errors
/// If it is no array.
pub(crate) fn array<T: DeserializeOwned>(
    bag: &Databag,
    key: &str,
    problems: &mut Vec<String>,
) -> Result<Vec<T>, DatabagError> {
    let entries: Vec<Value> = document(bag, key)?.unwrap_or_default();
    let named = entries.into_iter().enumerate().map(|(n, value)| (format!("entry {}", n + 1), value));
    Ok(usable(key, named, problems).map(|(_, entry)| entry).collect())
}

/// The object under `key`, in the same way.
///
/// # Errors
/// If it is no object.
pub(crate) fn object<T: DeserializeOwned>(
    bag: &Databag,
    key: &str,
    problems: &mut Vec<String>,
) -> Result<BTreeMap<String, T>, DatabagError> {
    let members: BTreeMap<String, Value> = document(bag, key)?.unwrap_or_default();
    Ok(usable(key, members, problems).collect())
}

/// Those of several entries, each with a name, that are what they should be. The others are named in `problems`, all in
/// one text that begins with `key`.
pub(crate) fn usable<T: DeserializeOwned>(
    key: &str,
    entries: impl IntoIterator<Item = (String, Value)>,
    problems: &mut Vec<String>,
) -> std::vec::IntoIter<(String, T)> {
    let mut good = Vec::new();
    let mut bad = LeftOut::default();
    for (name, value) in entries {
        match decode(key, &value.to_string()) {
            Ok(Some(entry)) => good.push((name, entry)),
            Ok(None) => bad.add(name, || "null".to_owned()),
            Err(error) => bad.add(name, || error.reason),
        }
    }
    problems.extend(bad.problem(key));
    good.into_iter()
}

/// Entries that were left out: the first of them, and their number. Of hundreds of thousands, nobody reads more.
#[derive(Default)]
pub(crate) struct LeftOut {
    first: Option<(String, String)>,
    count: usize,
}

impl LeftOut {
    /// One more, by its name and what is wrong with it.
    pub(crate) fn add(&mut self, name: String, reason: impl FnOnce() -> String) {
        self.first.get_or_insert_with(|| (name, reason()));
        self.count += 1;
    }

    /// All of them as one problem with `key`, if there are any.
    pub(crate) fn problem(self, key: &str) -> Option<String> {
        let (name, reason) = self.first?;
        let problem = DatabagError::new(key, format!("{}: {reason}", crate::wire::shown(&name)));
        Some(match self.count - 1 {
            0 => problem.to_string(),
            more => format!("{problem} (and {more} more)"),
        })
    }
}

/// One JSON text. Errors name the key and do not repeat the data.
fn decode<T: DeserializeOwned>(key: &str, text: &str) -> Result<Option<T>, DatabagError> {
    // The databag's own reader knows how to say what is wrong, and a map is the type that takes any key.
    let bag = Databag::from([(key, text)]);
    let mut map: BTreeMap<String, Option<T>> = bag.decode(Encoding::Json)?;
    Ok(map.remove(key).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_entries_are_left_out_and_named_once() {
        let bag = Databag::from([
            ("list", r#"[1, "x", null, 2, {}]"#),
            ("map", r#"{"a": 1, "b\n": "hunter22"}"#),
            ("text", r#""x""#),
            ("none", "null"),
        ]);
        let mut problems = Vec::new();
        assert_eq!(array::<u8>(&bag, "list", &mut problems), Ok(vec![1, 2]));
        assert_eq!(object::<u8>(&bag, "map", &mut problems), Ok(BTreeMap::from([("a".to_owned(), 1)])));
        assert_eq!(
            problems,
            ["list: entry 2: expected u8, found string (and 2 more)", "map: b : expected u8, found string"]
        );
        let no_problems = &mut Vec::new();
        assert_eq!(array::<u8>(&bag, "none", no_problems), Ok(vec![]));
        assert_eq!(array::<u8>(&bag, "missing", no_problems), Ok(vec![]));
        assert!(no_problems.is_empty());
        let error = array::<u8>(&bag, "text", no_problems).unwrap_err();
        assert_eq!(error.to_string(), "text: expected a sequence, found string");
    }
}
