//! Queries of alert rules.

use juju_rules::{logql as log_queries, promql as metric_queries};

use crate::texts;

/// The labels that selectors have to match.
const LABELS: [&str; 3] = ["juju_application", "juju_model", "juju_model_uuid"];

/// A query with the matchers in it is a query in which every selector has all of them, and to which none is added again.
/// The texts of an input are the query and the values of the matchers.
pub fn promql(data: &[u8]) {
    let texts = texts(data);
    let (query, matchers) = parts(&texts);
    let Ok(before) = metric_queries::matchers(query) else { return };
    let result = match metric_queries::inject(query, &matchers) {
        Ok(result) => result,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let after = metric_queries::matchers(&result).expect("it is a query again");
    assert_eq!(before.len(), after.len(), "{result}");
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(&after[..before.len()], &before[..], "{result}");
        for (label, value) in &matchers {
            let theirs = before.iter().any(|(theirs, ..)| theirs == label);
            let ours = |(l, o, v): &(String, String, String)| l == label && o == "=" && v == value;
            assert!(theirs || after.iter().any(ours), "{label} is missing in {result}");
        }
    }
    assert_eq!(metric_queries::inject(&result, &matchers).as_ref(), Ok(&result));
}

/// The same for queries of logs.
pub fn logql(data: &[u8]) {
    let texts = texts(data);
    let (query, matchers) = parts(&texts);
    let result = match log_queries::inject(query, &matchers) {
        Ok(result) => result,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let (before, after) = (selectors(query), selectors(&result));
    assert_eq!(before.len(), after.len(), "{result}");
    for (before, after) in before.iter().zip(after) {
        // Something was put in at one place, and nothing else has changed.
        let same =
            |one: &mut dyn Iterator<Item = (u8, u8)>| one.take_while(|(one, other)| one == other).count();
        let begin = same(&mut before.bytes().zip(after.bytes()));
        let end = same(&mut before.bytes().rev().zip(after.bytes().rev()));
        assert!(begin + end >= before.len(), "{result}");
        for label in LABELS {
            assert!(after.contains(label), "{label} is missing in {result}");
        }
    }
    assert_eq!(log_queries::inject(&result, &matchers), Ok(result));
}

/// The query, and a matcher for each label.
fn parts(texts: &[String]) -> (&str, Vec<(&'static str, &str)>) {
    let value = |index| texts.get(index).map_or("tempo", String::as_str);
    (&texts[0], (1..).zip(LABELS).map(|(index, label)| (label, value(index))).collect())
}

/// What is between braces that are part of no text and no comment.
fn selectors(query: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open = None;
    let mut quote = None;
    let mut characters = query.char_indices();
    while let Some((index, c)) = characters.next() {
        match (quote, c) {
            (Some('#'), '\n') => quote = None,
            (Some('"' | '\''), '\\') => drop(characters.next()),
            (Some(mark), _) if mark == c && c != '#' => quote = None,
            (None, '"' | '\'' | '`' | '#') => quote = Some(c),
            (None, '{') => open = Some(index + 1),
            (None, '}') => found.extend(open.take().map(|open: usize| &query[open..index])),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_texts_and_comments_are_no_selectors() {
        assert_eq!(selectors("{a=\"}\"} |= `{` # {x}\n + { b='\\'}' }"), ["a=\"}\"", " b='\\'}' "]);
    }
}
