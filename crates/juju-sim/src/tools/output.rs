//! The three output formats of the hook tools: `smart`, `yaml` and `json`, as Go programs print them.

use std::{cmp::Ordering, fmt::Write as _};

use serde_json::Value;

/// A value to print.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Out {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// Any JSON number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
    /// A list of texts; `smart` prints one a line.
    Lines(Vec<String>),
    /// A list of anything.
    List(Vec<Out>),
    /// Sorted by key when printed.
    Map(Vec<(String, Out)>),
    /// Keys in this order when printed.
    Struct(Vec<(String, Out)>),
}

impl From<&Value> for Out {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(on) => Self::Bool(*on),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(map) => {
                Self::Map(map.iter().map(|(key, value)| (key.clone(), value.into())).collect())
            }
        }
    }
}

impl Out {
    /// Text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A map of texts.
    pub(crate) fn texts<'a>(map: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        Self::Map(map.into_iter().map(|(key, value)| (key.clone(), Self::text(value))).collect())
    }

    /// Keys in the order given.
    pub(crate) fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Struct(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Smart,
    Yaml,
    Json,
}

impl Format {
    /// By its name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "smart" => Some(Self::Smart),
            "yaml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The bytes a tool prints for a value.
    pub(crate) fn print(self, value: &Out) -> String {
        match self {
            Self::Json => {
                let mut text = String::new();
                json(value, &mut text);
                text.push('\n');
                text
            }
            Self::Yaml => document(value),
            Self::Smart => {
                let text = match value {
                    Out::Null => String::new(),
                    Out::Text(text) => text.clone(),
                    Out::Lines(lines) => lines.join("\n"),
                    Out::Bool(true) => "True".to_owned(),
                    Out::Bool(false) => "False".to_owned(),
                    other => return document(other),
                };
                if text.is_empty() { text } else { text + "\n" }
            }
        }
    }
}

/// Keys as a JSON encoder sorts them.
fn by_bytes(map: &[(String, Out)]) -> Vec<&(String, Out)> {
    let mut sorted: Vec<_> = map.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted
}

fn json(value: &Out, text: &mut String) {
    match value {
        Out::Null => text.push_str("null"),
        Out::Bool(on) => text.push_str(if *on { "true" } else { "false" }),
        Out::Number(number) => text.push_str(&go_number(number)),
        Out::Text(string) => json_string(string, text),
        Out::Lines(lines) => {
            text.push('[');
            for (index, line) in lines.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                json_string(line, text);
            }
            text.push(']');
        }
        Out::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                json(item, text);
            }
            text.push(']');
        }
        Out::Map(map) => json_object(&by_bytes(map), text),
        Out::Struct(map) => json_object(&map.iter().collect::<Vec<_>>(), text),
    }
}

fn json_object(entries: &[&(String, Out)], text: &mut String) {
    text.push('{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        json_string(key, text);
        text.push(':');
        json(value, text);
    }
    text.push('}');
}

/// Go writes JSON that is safe inside HTML.
fn json_string(string: &str, text: &mut String) {
    let escaped =
        |c: char| matches!(c, '"' | '\\' | '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
    // Databags are long, and little in them is escaped: what lies between is copied in one go.
    text.reserve(string.len() + 2);
    text.push('"');
    let mut rest = string;
    while let Some(at) = rest.find(escaped) {
        let (plain, after) = rest.split_at(at);
        text.push_str(plain);
        let mut chars = after.chars();
        match chars.next() {
            Some('"') => text.push_str("\\\""),
            Some('\\') => text.push_str("\\\\"),
            Some('\n') => text.push_str("\\n"),
            Some('\r') => text.push_str("\\r"),
            Some('\t') => text.push_str("\\t"),
            Some('\u{8}') => text.push_str("\\b"),
            Some('\u{c}') => text.push_str("\\f"),
            Some(c) => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    text.push_str(rest);
    text.push('"');
}

/// Go prints whole floats without a fraction.
fn go_number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e21 => format!("{float:.0}"),
        _ => number.to_string(),
    }
}

/// A YAML document; nothing at all for "no value".
fn document(value: &Out) -> String {
    if *value == Out::Null {
        return String::new();
    }
    let mut text = String::new();
    node(value, 0, Place::Root, &mut text);
    while text.len() > 1 && text.ends_with('\n') {
        text.pop();
    }
    text.push('\n');
    text
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    /// After `key:`.
    MapValue,
    /// After `-`.
    Item,
}

fn node(value: &Out, indent: usize, place: Place, text: &mut String) {
    let lead = if place == Place::MapValue { " " } else { "" };
    match value {
        Out::Lines(lines) if !lines.is_empty() => {
            sequence(&lines.iter().map(Out::text).collect::<Vec<_>>(), indent, place, text);
        }
        Out::List(items) if !items.is_empty() => sequence(items, indent, place, text),
        Out::Lines(_) | Out::List(_) => {
            let _ = writeln!(text, "{lead}[]");
        }
        Out::Map(map) if !map.is_empty() => {
            let mut sorted: Vec<_> = map.iter().collect();
            sorted.sort_by(|a, b| natural(&a.0, &b.0));
            mapping(&sorted, indent, place, text);
        }
        Out::Struct(map) if !map.is_empty() => mapping(&map.iter().collect::<Vec<_>>(), indent, place, text),
        Out::Map(_) | Out::Struct(_) => {
            let _ = writeln!(text, "{lead}{{}}");
        }
        Out::Null => {
            let _ = writeln!(text, "{lead}null");
        }
        Out::Bool(on) => {
            let _ = writeln!(text, "{lead}{on}");
        }
        Out::Number(number) => {
            let _ = writeln!(text, "{lead}{}", go_number(number));
        }
        Out::Text(string) => {
            text.push_str(lead);
            // A block's lines stand two columns in from the line they belong to; an item's are that already.
            scalar(string, if place == Place::Item { indent } else { indent + 2 }, text);
        }
    }
}

fn sequence(items: &[Out], indent: usize, place: Place, text: &mut String) {
    if place == Place::MapValue {
        text.push('\n');
    }
    for (index, item) in items.iter().enumerate() {
        // Inside another list the first dash stands on the parent's line.
        if index > 0 || place != Place::Item {
            text.push_str(&" ".repeat(indent));
        }
        text.push_str("- ");
        node(item, indent + 2, Place::Item, text);
    }
}

fn mapping(entries: &[&(String, Out)], indent: usize, place: Place, text: &mut String) {
    if place == Place::MapValue {
        text.push('\n');
    }
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 || place != Place::Item {
            text.push_str(&" ".repeat(indent));
        }
        key_text(key, text);
        text.push(':');
        // Lists under a key stand at the key's own column, maps two further in.
        let inner = match value {
            Out::Map(_) | Out::Struct(_) => indent + 2,
            _ => indent,
        };
        node(value, inner, Place::MapValue, text);
    }
}

fn key_text(key: &str, text: &mut String) {
    let look = Look::at(key);
    if key.contains('\n') || !is_plain_text(key) {
        double_quoted(key, text);
    } else if !key.is_empty() && look.plain {
        text.push_str(key);
    } else if look.single {
        single_quoted(key, text);
    } else {
        double_quoted(key, text);
    }
}

fn scalar(string: &str, block_indent: usize, text: &mut String) {
    let look = Look::at(string);
    if string.contains('\n') && look.block {
        text.push('|');
        if string.starts_with([' ', '\n']) {
            text.push('2');
        }
        if !string.ends_with('\n') {
            text.push('-');
        } else if string.len() == 1 || string[..string.len() - 1].ends_with('\n') {
            text.push('+');
        }
        text.push('\n');
        for line in string.split_terminator('\n') {
            if !line.is_empty() {
                text.push_str(&" ".repeat(block_indent));
                text.push_str(line);
            }
            text.push('\n');
        }
        return;
    }
    if string.contains('\n') || !is_plain_text(string) {
        double_quoted(string, text);
    } else if look.plain {
        text.push_str(string);
    } else if look.single {
        single_quoted(string, text);
    } else {
        double_quoted(string, text);
    }
    text.push('\n');
}

fn single_quoted(string: &str, text: &mut String) {
    text.push('\'');
    text.push_str(&string.replace('\'', "''"));
    text.push('\'');
}

fn double_quoted(string: &str, text: &mut String) {
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\0' => text.push_str("\\0"),
            '\u{7}' => text.push_str("\\a"),
            '\u{8}' => text.push_str("\\b"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\u{b}' => text.push_str("\\v"),
            '\u{c}' => text.push_str("\\f"),
            '\r' => text.push_str("\\r"),
            '\u{1b}' => text.push_str("\\e"),
            '\u{85}' => text.push_str("\\N"),
            '\u{2028}' => text.push_str("\\L"),
            '\u{2029}' => text.push_str("\\P"),
            '\u{feff}' => text.push_str("\\uFEFF"),
            c if printable(c) => text.push(c),
            c if u32::from(c) < 0x100 => {
                let _ = write!(text, "\\x{:02X}", u32::from(c));
            }
            c if u32::from(c) < 0x10000 => {
                let _ = write!(text, "\\u{:04X}", u32::from(c));
            }
            c => {
                let _ = write!(text, "\\U{:08X}", u32::from(c));
            }
        }
    }
    text.push('"');
}

/// The emitter knows no characters beyond the first 65536.
fn printable(c: char) -> bool {
    matches!(c, '\n' | '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && c != '\u{feff}'
}

/// Which styles a text can be written in.
struct Look {
    plain: bool,
    single: bool,
    block: bool,
}

impl Look {
    fn at(string: &str) -> Self {
        if string.is_empty() {
            return Self { plain: false, single: true, block: false };
        }
        let is_break = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let blank = |c: Option<char>| c.is_none_or(|c| c == ' ' || c == '\t' || is_break(c));
        let chars: Vec<char> = string.chars().collect();
        let mut indicator = string.starts_with("---") || string.starts_with("...");
        let (mut special, mut breaks, mut space_then_break, mut break_then_space) =
            (false, false, false, false);
        for (index, &c) in chars.iter().enumerate() {
            let before = index.checked_sub(1).map(|i| chars[i]);
            let after = chars.get(index + 1).copied();
            indicator |= match c {
                ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
                    index == 0
                }
                '?' | '-' => index == 0 && blank(after),
                ':' => blank(after),
                '#' => blank(before),
                _ => false,
            };
            special |= !printable(c);
            breaks |= is_break(c);
            space_then_break |= is_break(c) && before == Some(' ');
            break_then_space |= c == ' ' && before.is_some_and(is_break);
        }
        let edge = |c: char| c == ' ' || is_break(c);
        let edges = edge(chars[0]) || edge(chars[chars.len() - 1]);
        let bad = space_then_break || special;
        Self {
            plain: !(indicator || edges || breaks || bad),
            single: !(break_then_space || bad),
            block: !(bad || chars[chars.len() - 1] == ' '),
        }
    }
}

/// Whether a bare scalar would be read back as a string by a YAML 1.1 reader (go-yaml 2).
fn is_plain_text(string: &str) -> bool {
    const WORDS: &[&str] = &[
        "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On",
        "ON", "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN",
        ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
    ];
    !(WORDS.contains(&string) || is_number(string) || is_sexagesimal(string) || is_time(string))
}

fn is_number(string: &str) -> bool {
    if !string.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return false;
    }
    let plain = string.replace('_', "");
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    let radix = |prefix: &str, radix| {
        let lower = unsigned.to_ascii_lowercase();
        lower.strip_prefix(prefix).is_some_and(|rest| digits(rest, radix))
    };
    digits(unsigned, 10) || radix("0x", 16) || radix("0b", 2) || radix("0o", 8) || is_float(unsigned)
}

fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_fits
}

/// `1:30`-style numbers, which older readers take for base 60.
fn is_sexagesimal(string: &str) -> bool {
    let unsigned = string.strip_prefix(['+', '-']).unwrap_or(string);
    let mut parts = unsigned.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<_> = parts.collect();
    let Some((last, middle)) = rest.split_last() else { return false };
    let sixty = |text: &str| match text.as_bytes() {
        [a] => a.is_ascii_digit(),
        [a, b] => (b'0'..=b'5').contains(a) && b.is_ascii_digit(),
        _ => false,
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && middle.iter().all(|part| sixty(part))
        && sixty(last)
        && digits(fraction)
}

/// Dates and times that go-yaml takes for a timestamp.
fn is_time(string: &str) -> bool {
    let (date, time) = match string.find(['T', 't', ' ']) {
        Some(at) => (&string[..at], Some((&string[at..=at], &string[at + 1..]))),
        None => (string, None),
    };
    let number = |text: &str, max_len| {
        !text.is_empty() && text.len() <= max_len && text.chars().all(|c| c.is_ascii_digit())
    };
    let parts: Vec<_> = date.split('-').collect();
    let is_date =
        matches!(parts[..], [y, m, d] if y.len() == 4 && number(y, 4) && number(m, 2) && number(d, 2));
    let is_clock = |text: &str| {
        let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
        clock.split(':').count() == 3 && clock.split(':').all(|part| number(part, 2)) && number(fraction, 9)
    };
    is_date
        && match time {
            None => true,
            // With a blank between, a zone is not accepted.
            Some((" ", clock)) => is_clock(clock),
            Some((_, clock)) => match clock.strip_suffix('Z') {
                Some(clock) => is_clock(clock),
                None => match clock.rfind(['+', '-']) {
                    Some(at) => {
                        let zone: Vec<_> = clock[at + 1..].split(':').collect();
                        is_clock(&clock[..at]) && zone.len() == 2 && zone.iter().all(|part| part.len() == 2)
                    }
                    None => false,
                },
            },
        }
}

/// The order of go-yaml's map keys: letters after other signs, runs of digits by value.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = (0..a.len().min(b.len())).find(|&i| a[i] != b[i]) else { return a.len().cmp(&b.len()) };
    match (a[at].is_alphabetic(), b[at].is_alphabetic()) {
        (true, true) => return a[at].cmp(&b[at]),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A differing zero inside a number whose first digits agree does not lead it.
    let inside = (a[at] == '0' || b[at] == '0')
        && a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|&c| c != '0');
    let run = |chars: &[char]| {
        let digits: Vec<_> = chars[at..].iter().take_while(|c| c.is_ascii_digit()).collect();
        let start = i64::from(inside);
        let value = digits
            .iter()
            .fold(start, |n, c| n.saturating_mul(10).saturating_add(i64::from(**c as u8 - b'0')));
        (value, digits.len())
    };
    run(&a).cmp(&run(&b)).then(a[at].cmp(&b[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(value: &Value) -> String {
        Format::Yaml.print(&Out::from(value))
    }

    #[test]
    fn text_that_looks_like_something_else_is_quoted() {
        for text in ["007", "true", "y", "", "1e3", "0x10", "1_000", "2026-01-02", "1:30", "~", ".inf"] {
            assert_eq!(yaml(&text.into()), format!("\"{text}\"\n"), "{text}");
        }
        for text in
            ["1Gi", "2026-01-02 03:04:05Z", "00000000-0000-4000-8000-0000000000c0", "10.1.0.21", "a:b", "-x"]
        {
            assert_eq!(yaml(&text.into()), format!("{text}\n"), "{text}");
        }
        assert_eq!(yaml(&"a: b".into()), "'a: b'\n");
        assert_eq!(yaml(&"it's: b".into()), "'it''s: b'\n");
        assert_eq!(yaml(&" x".into()), "' x'\n");
        assert_eq!(yaml(&"\u{1f600}".into()), "\"\\U0001F600\"\n");
        assert_eq!(yaml(&"a\tb".into()), "\"a\\tb\"\n");
    }

    #[test]
    fn nested_values_indent_as_go_does() {
        let value =
            serde_json::json!({"b": {"list": [{"x": 1, "y": []}, "z"], "none": null}, "a10": 1.0, "a2": {}});
        let text = "a2: {}\na10: 1\nb:\n  list:\n  - x: 1\n    \"y\": []\n  - z\n  none: null\n";
        assert_eq!(yaml(&value), text);
    }

    #[test]
    fn blocks_keep_their_line_ends() {
        let value = serde_json::json!({"clip": "a\nb\n", "strip": "a\nb", "keep": "a\n\n", "space": " a\n"});
        assert_eq!(
            yaml(&value),
            "clip: |\n  a\n  b\nkeep: |+\n  a\n\nspace: |2\n   a\nstrip: |-\n  a\n  b\n"
        );
    }

    #[test]
    fn json_is_safe_inside_html() {
        let value = serde_json::json!({"b": "<&>\u{2028}\u{1}\u{7f}", "a": [1.0, 0.5, 720]});
        assert_eq!(
            Format::Json.print(&Out::from(&value)),
            "{\"a\":[1,0.5,720],\"b\":\"\\u003c\\u0026\\u003e\\u2028\\u0001\u{7f}\"}\n"
        );
    }

    #[test]
    fn smart_prints_nothing_for_nothing() {
        assert_eq!(Format::Smart.print(&Out::Null), "");
        assert_eq!(Format::Smart.print(&Out::text("")), "");
        assert_eq!(Format::Smart.print(&Out::Lines(vec![])), "");
        assert_eq!(Format::Smart.print(&Out::Bool(true)), "True\n");
        assert_eq!(Format::Smart.print(&Out::Map(vec![])), "{}\n");
    }
}
