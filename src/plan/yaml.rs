//! Documents for readers that are not ours: Go's and Python's, both of YAML 1.1.

use serde::Serialize;

/// A document with every text in quotes, so that no reader takes one for a number, a truth value or a time.
///
/// # Panics
/// If the value has no YAML form, which types made of texts, numbers, truth values, lists and structs always have.
#[allow(clippy::expect_used)]
pub(super) fn yaml<T: Serialize>(value: &T) -> String {
    let options = serde_yaml::ser_options! { quote_all: true };
    serde_yaml::to_string_with_options(value, options).expect("plain data has a YAML form")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Document {
        list: Vec<String>,
        text: String,
    }

    /// A reader of YAML 1.1 guesses the types of plain scalars only: without any, nothing can be guessed wrong.
    fn assert_no_plain_text(text: &str) {
        for line in text.lines() {
            let scalar = line.trim_start().trim_start_matches("- ");
            let value = scalar.strip_prefix("text: ").unwrap_or(scalar);
            assert!(
                value.starts_with(['\'', '"']) || ["list:", "list: []"].contains(&value),
                "{line:?} in {text:?}"
            );
        }
    }

    #[test]
    fn texts_that_yaml_1_1_takes_for_something_else() {
        for text in [
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "n",
            "true",
            "null",
            "~",
            "",
            "1:30",
            "190:20:30",
            "0123",
            "0o17",
            "0b1",
            "1e3",
            "1_000",
            ".5",
            ".inf",
            "-.INF",
            ".nan",
            "+1",
            "2001-01-01",
            "<<",
            "=",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#",
            "&a",
            "*a",
            "!a",
            "|",
            ">",
            "%a",
            "@",
            "`",
            "[a]",
            "{a}",
            "'",
            "\"",
            "\\",
            "a\nb",
            "a\tb",
            " a ",
            "---",
            "...",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "é",
            "🦀",
        ] {
            let document = Document { list: vec![text.to_owned()], text: text.to_owned() };
            let out = yaml(&document);
            assert_no_plain_text(&out);
            assert_eq!(serde_yaml::from_str::<Document>(&out).unwrap(), document, "{out:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_survives(text in any::<String>(), list in prop::collection::vec("[ -~]{0,20}", 0..3)) {
            let document = Document { list, text };
            let out = yaml(&document);
            assert_no_plain_text(&out);
            prop_assert_eq!(serde_yaml::from_str::<Document>(&out).unwrap(), document);
        }
    }
}
