//! `--file` of `relation-set` and `state-set`: a flat YAML 1.1 mapping, read as go-yaml 2 reads it.
//!
//! The events come from a YAML 1.2 parser. What an older reader refuses or reads otherwise (control characters,
//! surrogate escapes, `\/`, NEL as a line end, long implicit keys) is looked for in the source text itself, because
//! charms fail on exactly these points and a lenient simulator would hide it.

use std::{collections::BTreeMap, rc::Rc};

use serde_yaml::granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StructureStyle};

/// Prefix of YAML's own tags, which `!!` stands for.
const YAML_TAGS: &str = "tag:yaml.org,2002:";

/// Merged mappings at most; aliases in aliases could make it any number.
const MOST_MERGES: usize = 10_000;

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
    let mut reader = Reader { source, map: BTreeMap::new(), errors: Vec::new(), merges: 0 };
    match &root.kind {
        Kind::Map(entries) => reader.fill(entries),
        Kind::Scalar(scalar) if scalar.is_null() => {}
        _ => reader.mismatch(&root, "map[string]string"),
    }
    if reader.merges > MOST_MERGES {
        return Err("yaml: document contains excessive aliasing".to_owned());
    }
    let Reader { map, errors, .. } = reader;
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

#[derive(Debug)]
struct Scalar {
    value: String,
    plain: bool,
    binary: bool,
}

impl Scalar {
    fn is_null(&self) -> bool {
        self.plain && matches!(self.value.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

#[derive(Debug)]
enum Kind {
    Scalar(Scalar),
    Seq(Vec<Rc<Node>>),
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    /// Where it begins in the source.
    at: usize,
}

struct Reader<'a> {
    source: &'a str,
    map: BTreeMap<String, String>,
    errors: Vec<String>,
    merges: usize,
}

impl Reader<'_> {
    fn mismatch(&mut self, node: &Node, wanted: &str) {
        let line = line_at(self.source, node.at);
        self.errors.push(match &node.kind {
            Kind::Seq(_) => format!("  line {line}: cannot unmarshal !!seq into {wanted}"),
            Kind::Map(_) => format!("  line {line}: cannot unmarshal !!map into {wanted}"),
            Kind::Scalar(Scalar { value, .. }) => {
                let shown = if value.len() > 10 {
                    format!("{}...", value.chars().take(7).collect::<String>())
                } else {
                    value.clone()
                };
                format!("  line {line}: cannot unmarshal !!str `{shown}` into {wanted}")
            }
        });
    }

    fn fill(&mut self, entries: &[(Rc<Node>, Rc<Node>)]) {
        for (key, value) in entries {
            if matches!(&key.kind, Kind::Scalar(scalar) if scalar.plain && scalar.value == "<<") {
                self.merge(value);
                continue;
            }
            let Some(key) = self.text(key) else { continue };
            if let Some(value) = self.text(value) {
                self.map.insert(key, value);
            }
        }
    }

    fn merge(&mut self, node: &Node) {
        self.merges += 1;
        if self.merges > MOST_MERGES {
            return;
        }
        match &node.kind {
            Kind::Map(entries) => self.fill(entries),
            // The first mapping of a list wins, so it is written last.
            Kind::Seq(items) => items.iter().rev().for_each(|item| self.merge(item)),
            Kind::Scalar(_) => {
                let line = line_at(self.source, node.at);
                self.errors
                    .push(format!("  line {line}: map merge requires map or sequence of maps as the value"));
            }
        }
    }

    fn text(&mut self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.is_null() => Some(String::new()),
            Kind::Scalar(scalar) if scalar.binary => {
                let bytes = super::base64_decode(&scalar.value);
                let decoded = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                if decoded.is_none() {
                    self.errors.push("  !!binary value contains invalid base64 data".to_owned());
                }
                decoded
            }
            Kind::Scalar(scalar) => Some(scalar.value.clone()),
            _ => {
                self.mismatch(node, "string");
                None
            }
        }
    }
}

/// A collection whose end has not come yet.
struct Open {
    node: Node,
    anchor: usize,
    flow: bool,
    /// A map's key without its value.
    key: Option<Rc<Node>>,
}

/// Builds the tree of the first document.
fn first_document(source: &str) -> Result<Option<Rc<Node>>, String> {
    let mut anchors: BTreeMap<usize, Rc<Node>> = BTreeMap::new();
    let mut open: Vec<Open> = Vec::new();
    for next in Parser::new_from_str(source) {
        let (event, span) = next.map_err(|error| syntax_error(&error, source))?;
        let at = span.start.byte_offset().unwrap_or_default();
        let mut begin = |kind, anchor, style| {
            let flow = style == StructureStyle::Flow;
            open.push(Open { node: Node { kind, at }, anchor, flow, key: None });
        };
        let (node, anchor) = match event {
            Event::Scalar(value, style, anchor, tag) => {
                let raw = span.slice(source).unwrap_or_default();
                let key =
                    open.last().filter(|open| open.key.is_none() && matches!(open.node.kind, Kind::Map(_)));
                if let Some(map) = key
                    && !is_explicit(source, at)
                {
                    implicit_key(source, at, raw, map.flow)?;
                }
                let value = match style {
                    ScalarStyle::DoubleQuoted => decode_quoted(raw, '"')
                        .map_err(|(inside, reason)| scanner_error(line_at(source, at + inside), reason))?,
                    // Nothing in single quotes can be wrong.
                    ScalarStyle::SingleQuoted => decode_quoted(raw, '\'').unwrap_or_default(),
                    ScalarStyle::Literal | ScalarStyle::Folded => value.replace('\u{85}', "\n"),
                    ScalarStyle::Plain => value.replace('\u{85}', " "),
                };
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let binary = tag.is_some_and(|tag| tag.handle() == YAML_TAGS && tag.suffix() == "binary");
                (Rc::new(Node { kind: Kind::Scalar(Scalar { value, plain, binary }), at }), anchor)
            }
            Event::Alias(id) => {
                let node = anchors.get(&id).cloned().ok_or("yaml: anchor value contains itself")?;
                (node, 0)
            }
            Event::SequenceStart(style, anchor, _) => {
                begin(Kind::Seq(Vec::new()), anchor, style);
                continue;
            }
            Event::MappingStart(style, anchor, _) => {
                begin(Kind::Map(Vec::new()), anchor, style);
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { node, anchor, .. }) = open.pop() else { continue };
                (Rc::new(node), anchor)
            }
            // Only the first document counts.
            Event::DocumentEnd => return Ok(None),
            _ => continue,
        };
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        let Some(parent) = open.last_mut() else { return Ok(Some(node)) };
        match &mut parent.node.kind {
            Kind::Seq(items) => items.push(node),
            Kind::Map(entries) => match parent.key.take() {
                None => parent.key = Some(node),
                Some(key) => entries.push((key, node)),
            },
            Kind::Scalar(_) => {}
        }
    }
    Ok(None)
}

/// A key without `?` has one line, not too long a one, and in a block at least one character.
fn implicit_key(source: &str, at: usize, raw: &str, flow: bool) -> Result<(), String> {
    let line = || line_at(source, at + raw.len()) - 1;
    if raw.len() > 1024 || raw.contains(is_break) {
        return Err(if flow {
            parser_error(line(), "did not find expected ',' or '}'")
        } else {
            parser_error(line(), "could not find expected ':'")
        });
    }
    if raw.is_empty() && !flow {
        return Err(parser_error(line(), "did not find expected key"));
    }
    Ok(())
}

/// The line of a place in the source, counted from 1 by the older rules.
fn line_at(source: &str, at: usize) -> usize {
    let before = source.get(..at).unwrap_or(source);
    1 + before.matches(is_break).count() - before.matches("\r\n").count()
}

/// Whether a `?` stands before the scalar that begins at `start`.
fn is_explicit(source: &str, start: usize) -> bool {
    source.get(..start).is_some_and(|before| before.trim_end().ends_with('?'))
}

/// What ends a line in YAML 1.1.
fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// An error of the older scanner at a line counted from 1; the first line goes without saying.
fn scanner_error(line: usize, reason: &str) -> String {
    if line > 1 { format!("yaml: line {line}: {reason}") } else { format!("yaml: {reason}") }
}

/// An error of the older parser at a line counted from 0.
fn parser_error(line: usize, reason: &str) -> String {
    if line > 0 { format!("yaml: line {line}: {reason}") } else { format!("yaml: {reason}") }
}

/// Reads a quoted scalar, quotes included, by the rules of YAML 1.1. A refusal comes with its place in `raw`.
fn decode_quoted(raw: &str, quote: char) -> Result<String, (usize, &'static str)> {
    const BAD_ESCAPE: &str = "found unknown escape character";
    let inner = raw.strip_prefix(quote).and_then(|raw| raw.strip_suffix(quote)).unwrap_or(raw);
    let mut text = String::with_capacity(inner.len());
    // What came from an escape is content, even if it looks like a blank before a line's end.
    let mut content = 0;
    let mut chars = inner.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\'' && quote == '\'' {
            // Doubled inside.
            chars.next();
            text.push('\'');
        } else if c == '\\' && quote == '"' {
            let (_, escape) = chars.next().ok_or((at, BAD_ESCAPE))?;
            let digits = match escape {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            if digits > 0 {
                let hex: String = chars.by_ref().take(digits).map(|(_, digit)| digit).collect();
                let code = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits);
                let code = code.ok_or((at, "did not find expected hexdecimal number"))?;
                text.push(char::from_u32(code).ok_or((at, "found invalid Unicode character escape code"))?);
            } else if is_break(escape) {
                // An escaped line end joins the lines; leading blanks of the next one go.
                if escape == '\r' {
                    chars.next_if(|(_, c)| *c == '\n');
                }
                while chars.next_if(|(_, c)| matches!(c, ' ' | '\t')).is_some() {}
            } else {
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
                    _ => return Err((at, BAD_ESCAPE)),
                });
            }
            content = text.len();
        } else if is_break(c) {
            // One line end folds to a space, more keep all but the first; U+2028 and U+2029 stay themselves.
            let kept_blanks = text[content..].trim_end_matches([' ', '\t']).len();
            text.truncate(content + kept_blanks);
            if c == '\r' {
                chars.next_if(|(_, c)| *c == '\n');
            }
            let mut more = String::new();
            while let Some((_, next)) = chars.next_if(|(_, c)| matches!(c, ' ' | '\t') || is_break(*c)) {
                match next {
                    ' ' | '\t' => {}
                    '\r' => {
                        chars.next_if(|(_, c)| *c == '\n');
                        more.push('\n');
                    }
                    '\u{2028}' | '\u{2029}' => more.push(next),
                    _ => more.push('\n'),
                }
            }
            match c {
                '\u{2028}' | '\u{2029}' => text.push(c),
                _ if more.is_empty() => text.push(' '),
                _ => {}
            }
            text.push_str(&more);
            content = text.len();
        } else {
            text.push(c);
        }
    }
    Ok(text)
}

/// The older parser's words for a syntax error, as far as charms meet them; the text differs for exotic ones.
fn syntax_error(error: &ScanError, source: &str) -> String {
    let line = error.marker().line();
    // The older scanner's end of the text, counted from 0: it ends a last line that has no end.
    let breaks = source.matches('\n').count();
    let last = breaks + usize::from(!source.ends_with('\n'));
    let at_end = |kind: &str| parser_error(last, kind);
    let text = match error.kind() {
        ErrorKind::UnexpectedEofFlowMapping | ErrorKind::UnclosedFlowCollection { open: '{' } => {
            return at_end("did not find expected ',' or '}'");
        }
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::UnclosedFlowCollection { .. } => {
            return at_end("did not find expected ',' or ']'");
        }
        ErrorKind::ExpectedFlowMappingSeparator => return at_end("did not find expected ',' or '}'"),
        ErrorKind::ExpectedFlowSequenceSeparator => return at_end("did not find expected ',' or ']'"),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            return scanner_error(breaks + 1, "found unexpected end of stream");
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
            return scanner_error(line, "could not find expected ':'");
        }
        ErrorKind::ExpectedBlockMappingKey => return parser_error(line - 1, "did not find expected key"),
        ErrorKind::ExpectedDocumentStart => {
            return parser_error(line - 1, "did not find expected <document start>");
        }
        other => return scanner_error(line, &other.to_string()),
    };
    scanner_error(line, text)
}
