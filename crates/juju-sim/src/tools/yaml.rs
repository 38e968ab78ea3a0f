//! `--file` of `relation-set` and `state-set`: a flat YAML 1.1 mapping, read as go-yaml 2 reads it.
//!
//! The events come from a YAML 1.2 parser. What an older reader refuses or reads otherwise (control characters,
//! surrogate escapes, `\/`, NEL as a line end, long implicit keys) is looked for in the source text itself, because
//! charms fail on exactly these points and a lenient simulator would hide it.

use std::collections::BTreeMap;

use serde_yaml::granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError};

/// Prefix of YAML's own tags, which `!!` stands for.
const YAML_TAGS: &str = "tag:yaml.org,2002:";

/// Reads a mapping of text to text. `null` and empty values come as empty text; nothing or `null` as no entries.
pub(super) fn read_map(source: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let source = std::str::from_utf8(source).map_err(|_| "yaml: invalid leading UTF-8 octet".to_owned())?;
    if source.chars().any(|c| !readable(c)) {
        return Err("yaml: control characters are not allowed".to_owned());
    }
    if unknown_directive(source) {
        return Err("yaml: found unknown directive name".to_owned());
    }
    let Some(root) = first_document(source)? else { return Ok(BTreeMap::new()) };
    let mut map = BTreeMap::new();
    let mut errors = Vec::new();
    match root {
        Node::Map(entries, _) => fill(&mut map, entries, &mut errors),
        Node::Scalar(scalar) if scalar.is_null() => {}
        other => errors.push(other.mismatch("map[string]string")),
    }
    if errors.is_empty() { Ok(map) } else { Err(format!("yaml: unmarshal errors:\n{}", errors.join("\n"))) }
}

/// What the reader below the older parser lets through.
fn readable(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// A `%…` line before any content that is neither `%YAML` nor `%TAG`.
fn unknown_directive(source: &str) -> bool {
    let first = source.lines().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    first.is_some_and(|line| {
        line.strip_prefix('%')
            .is_some_and(|rest| !matches!(rest.split_whitespace().next(), Some("YAML" | "TAG")))
    })
}

#[derive(Clone, Debug)]
struct Scalar {
    value: String,
    plain: bool,
    binary: bool,
    line: usize,
}

impl Scalar {
    fn is_null(&self) -> bool {
        self.plain && matches!(self.value.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

#[derive(Clone, Debug)]
enum Node {
    Scalar(Scalar),
    Seq(Vec<Node>, usize),
    Map(Vec<(Node, Node)>, usize),
}

impl Node {
    fn mismatch(&self, wanted: &str) -> String {
        match self {
            Self::Seq(_, line) => format!("  line {line}: cannot unmarshal !!seq into {wanted}"),
            Self::Map(_, line) => format!("  line {line}: cannot unmarshal !!map into {wanted}"),
            Self::Scalar(Scalar { value, line, .. }) => {
                let shown = if value.len() > 10 {
                    format!("{}...", value.chars().take(7).collect::<String>())
                } else {
                    value.clone()
                };
                format!("  line {line}: cannot unmarshal !!str `{shown}` into {wanted}")
            }
        }
    }
}

fn fill(map: &mut BTreeMap<String, String>, entries: Vec<(Node, Node)>, errors: &mut Vec<String>) {
    for (key, value) in entries {
        if matches!(&key, Node::Scalar(scalar) if scalar.plain && scalar.value == "<<") {
            merge(map, value, errors);
            continue;
        }
        let Some(key) = text(key, errors) else { continue };
        if let Some(value) = text(value, errors) {
            map.insert(key, value);
        }
    }
}

fn merge(map: &mut BTreeMap<String, String>, value: Node, errors: &mut Vec<String>) {
    match value {
        Node::Map(entries, _) => fill(map, entries, errors),
        // The first mapping of a list wins, so it is written last.
        Node::Seq(items, _) => items.into_iter().rev().for_each(|item| merge(map, item, errors)),
        Node::Scalar(scalar) => errors
            .push(format!("  line {}: map merge requires map or sequence of maps as the value", scalar.line)),
    }
}

fn text(node: Node, errors: &mut Vec<String>) -> Option<String> {
    match node {
        Node::Scalar(scalar) if scalar.is_null() => Some(String::new()),
        Node::Scalar(scalar) if scalar.binary => {
            let decoded = super::base64_decode(&scalar.value).and_then(|bytes| String::from_utf8(bytes).ok());
            if decoded.is_none() {
                errors.push("  !!binary value contains invalid base64 data".to_owned());
            }
            decoded
        }
        Node::Scalar(scalar) => Some(scalar.value),
        other => {
            errors.push(other.mismatch("string"));
            None
        }
    }
}

/// Builds the tree of the first document.
fn first_document(source: &str) -> Result<Option<Node>, String> {
    let mut anchors: BTreeMap<usize, Node> = BTreeMap::new();
    // Open collections: the node so far, its anchor, and a map's pending key.
    let mut open: Vec<(Node, usize, Option<Node>)> = Vec::new();
    let mut in_flow = 0_usize;
    for next in Parser::new_from_str(source) {
        let (event, span) = next.map_err(|error| syntax_error(&error, source))?;
        let line = span.start.line();
        let (node, anchor) = match event {
            Event::Scalar(value, style, anchor, tag) => {
                let raw = span.slice(source).unwrap_or_default();
                let value = if style == ScalarStyle::DoubleQuoted {
                    decode_double_quoted(raw).map_err(str::to_owned)?
                } else {
                    fold_nel(&value, style)
                };
                if raw.len() > 1024 && is_key(source, span.byte_range().map_or(0, |range| range.end)) {
                    let reason = if in_flow > 0 {
                        "did not find expected ',' or '}'"
                    } else {
                        "could not find expected ':'"
                    };
                    return Err(format!("yaml: {reason}"));
                }
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let binary = tag.is_some_and(|tag| tag.handle() == YAML_TAGS && tag.suffix() == "binary");
                (Node::Scalar(Scalar { value, plain, binary, line }), anchor)
            }
            Event::Alias(id) => {
                let node = anchors.get(&id).cloned().ok_or("yaml: anchor value contains itself")?;
                (node, 0)
            }
            Event::SequenceStart(_, anchor, _) => {
                in_flow +=
                    usize::from(source.as_bytes().get(span.start.byte_offset().unwrap_or(0)) == Some(&b'['));
                open.push((Node::Seq(Vec::new(), line), anchor, None));
                continue;
            }
            Event::MappingStart(_, anchor, _) => {
                in_flow +=
                    usize::from(source.as_bytes().get(span.start.byte_offset().unwrap_or(0)) == Some(&b'{'));
                open.push((Node::Map(Vec::new(), line), anchor, None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((node, anchor, _)) = open.pop() else { continue };
                (node, anchor)
            }
            // Only the first document counts.
            Event::DocumentEnd => return Ok(None),
            _ => continue,
        };
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            None => return Ok(Some(node)),
            Some((Node::Seq(items, _), ..)) => items.push(node),
            Some((Node::Map(entries, _), _, key)) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
            Some((Node::Scalar(_), ..)) => {}
        }
    }
    Ok(None)
}

/// Whether a `:` follows the scalar that ends at `end`.
fn is_key(source: &str, end: usize) -> bool {
    source.get(end..).is_some_and(|rest| rest.trim_start_matches(' ').starts_with(':'))
}

/// U+0085 ends a line in YAML 1.1: between words it folds to a space.
fn fold_nel(value: &str, style: ScalarStyle) -> String {
    match style {
        ScalarStyle::Literal | ScalarStyle::Folded => value.replace('\u{85}', "\n"),
        _ => value.replace('\u{85}', " "),
    }
}

/// Reads a double-quoted scalar, quotes included, by the rules of YAML 1.1.
fn decode_double_quoted(raw: &str) -> Result<String, &'static str> {
    const BAD_ESCAPE: &str = "yaml: found unknown escape character";
    let is_break = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw);
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\\' {
            let escape = chars.next().ok_or(BAD_ESCAPE)?;
            let digits = match escape {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            if digits > 0 {
                let hex: String = chars.by_ref().take(digits).collect();
                let code = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits);
                let code = code.ok_or("yaml: did not find expected hexdecimal number")?;
                text.push(char::from_u32(code).ok_or("yaml: found invalid Unicode character escape code")?);
                continue;
            }
            if is_break(escape) {
                // An escaped line end joins the lines; leading blanks of the next one go.
                if escape == '\r' && chars.peek() == Some(&'\n') {
                    chars.next();
                }
                while chars.next_if(|c| *c == ' ' || *c == '\t').is_some() {}
                continue;
            }
            text.push(match escape {
                '0' => '\0',
                'a' => '\u{7}',
                'b' => '\u{8}',
                't' | '\t' => '\t',
                'n' => '\n',
                'v' => '\u{b}',
                'f' => '\u{c}',
                'r' => '\r',
                'e' => '\u{1b}',
                ' ' | '"' | '\'' | '\\' => escape,
                'N' => '\u{85}',
                '_' => '\u{a0}',
                'L' => '\u{2028}',
                'P' => '\u{2029}',
                _ => return Err(BAD_ESCAPE),
            });
        } else if is_break(c) {
            // One line end folds to a space, more keep all but the first; U+2028 and U+2029 stay themselves.
            text.truncate(text.trim_end_matches([' ', '\t']).len());
            let mut kept = String::new();
            let first = c;
            if c == '\r' && chars.peek() == Some(&'\n') {
                chars.next();
            }
            while let Some(next) = chars.next_if(|c| matches!(c, ' ' | '\t') || is_break(*c)) {
                match next {
                    ' ' | '\t' => {}
                    '\r' => {
                        chars.next_if(|c| *c == '\n');
                        kept.push('\n');
                    }
                    '\u{2028}' | '\u{2029}' => kept.push(next),
                    _ => kept.push('\n'),
                }
            }
            match first {
                '\u{2028}' | '\u{2029}' => text.push(first),
                _ if kept.is_empty() => text.push(' '),
                _ => {}
            }
            text.push_str(&kept);
        } else {
            text.push(c);
        }
    }
    Ok(text)
}

/// The older parser's words for a syntax error, as far as charms meet them; the text differs for exotic ones.
fn syntax_error(error: &ScanError, source: &str) -> String {
    let line = error.marker().line();
    let last = source.lines().count();
    let text = match error.kind() {
        ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnclosedFlowCollection { open: '{' } => {
            return format!("yaml: line {last}: did not find expected ',' or '}}'");
        }
        ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnclosedFlowCollection { .. } => {
            return format!("yaml: line {last}: did not find expected ',' or ']'");
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            return format!("yaml: line {}: found unexpected end of stream", last + 1);
        }
        ErrorKind::MappingValueNotAllowed => "mapping values are not allowed in this context",
        ErrorKind::MappingKeyNotAllowed => "mapping keys are not allowed in this context",
        ErrorKind::BlockSequenceEntryNotAllowed => "block sequence entries are not allowed in this context",
        ErrorKind::UnexpectedCharacter { .. }
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation => "found character that cannot start any token",
        ErrorKind::UnknownQuotedScalarEscape => "found unknown escape character",
        ErrorKind::InvalidQuotedScalarHexEscape | ErrorKind::InvalidLowSurrogateHexEscape => {
            "did not find expected hexdecimal number"
        }
        ErrorKind::InvalidLowSurrogate
        | ErrorKind::MissingLowSurrogate
        | ErrorKind::UnpairedLowSurrogate
        | ErrorKind::InvalidUnicodeEscape => "found invalid Unicode character escape code",
        ErrorKind::UnknownAnchor => "unknown anchor referenced",
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            return format!("yaml: line {line}: could not find expected ':'");
        }
        ErrorKind::ExpectedBlockMappingKey => return format!("yaml: line {line}: did not find expected key"),
        ErrorKind::ExpectedDocumentStart => {
            return format!("yaml: line {line}: did not find expected <document start>");
        }
        other => return format!("yaml: line {line}: {other}"),
    };
    format!("yaml: {text}")
}
