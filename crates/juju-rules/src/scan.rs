//! The pieces that queries are made of. PromQL and LogQL have the same ones: words, numbers, texts, comments, brackets.

use super::QueryError;

/// One piece of a query, with the bytes that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// Where it ends.
    pub(super) end: usize,
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Word,
    /// A number or a duration.
    Number,
    /// A text in quotes of any of the three sorts, with them.
    Quoted,
    /// Anything else, one character each.
    Symbol,
}

impl Piece<'_> {
    pub(super) fn is(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// Whether it is one of these keywords, which are the same in capital letters.
    #[cfg(feature = "promql")]
    pub(super) fn is_keyword(&self, words: &[&str]) -> bool {
        self.kind == Kind::Word && words.iter().any(|word| self.text.eq_ignore_ascii_case(word))
    }
}

/// The pieces of a query, without spaces and comments.
///
/// # Errors
/// If a text has no end.
pub(super) fn pieces(query: &str) -> Result<Vec<Piece<'_>>, QueryError> {
    let mut pieces = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = match first {
            _ if first.is_whitespace() => {
                rest = rest.trim_start();
                continue;
            }
            '#' => {
                rest = rest.find('\n').map_or("", |end| &rest[end..]);
                continue;
            }
            '"' | '\'' | '`' => (Kind::Quoted, quoted_length(rest, first)?),
            _ if first.is_ascii_digit() || (first == '.' && digit_at(rest, 1)) => {
                (Kind::Number, number_length(rest))
            }
            _ if first.is_ascii_alphabetic() || matches!(first, '_' | ':') => {
                let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
                (Kind::Word, rest.find(|c| !inner(c)).unwrap_or(rest.len()))
            }
            _ => (Kind::Symbol, first.len_utf8()),
        };
        let (text, after) = rest.split_at(length);
        pieces.push(Piece { kind, text, end: query.len() - after.len() });
        rest = after;
    }
    Ok(pieces)
}

fn digit_at(text: &str, index: usize) -> bool {
    text.as_bytes().get(index).is_some_and(u8::is_ascii_digit)
}

/// The bytes of a text in quotes. Between backticks nothing is escaped.
fn quoted_length(text: &str, quote: char) -> Result<usize, QueryError> {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            return Ok(index + 1);
        }
    }
    Err(QueryError::new(format!("a text in {quote} has no end")))
}

/// The bytes of a number: `5m30s`, `1.5e-3`, `0x1F`.
fn number_length(text: &str) -> usize {
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    let bytes = text.as_bytes();
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        let sign = matches!(byte, b'+' | b'-')
            && !hexadecimal
            && matches!(bytes[length - 1], b'e' | b'E')
            && digit_at(text, length + 1);
        if !(sign || byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')) {
            break;
        }
        length += 1;
    }
    length
}

/// Where matchers go into the braces that open at `open`, and what the braces hold.
///
/// # Errors
/// If the braces are not closed, or are opened again within.
pub(super) fn braces<'p, 'a>(pieces: &'p [Piece<'a>], open: usize) -> Result<Braces<'p, 'a>, QueryError> {
    let inner = &pieces[open + 1..];
    let length = inner.iter().position(|piece| piece.is("}") || piece.is("{"));
    match length {
        Some(length) if inner[length].is("}") => {
            let inner = &inner[..length];
            let last = inner.last().unwrap_or(&pieces[open]);
            let separated = inner.is_empty() || last.is(",");
            Ok(Braces { inner, end: last.end, separated, next: open + length + 2 })
        }
        _ => Err(QueryError::new("a brace is not closed")),
    }
}

/// The inside of a pair of braces.
pub(super) struct Braces<'p, 'a> {
    pub(super) inner: &'p [Piece<'a>],
    /// The byte after the last piece within, where something can be added.
    pub(super) end: usize,
    /// Whether what is added needs no comma before it.
    pub(super) separated: bool,
    /// The piece after the closing brace.
    pub(super) next: usize,
}

/// A query with texts put in, each at a byte; these in ascending order.
pub(super) fn with_insertions(query: &str, insertions: &[(usize, String)]) -> String {
    let added: usize = insertions.iter().map(|(_, text)| text.len()).sum();
    let mut result = String::with_capacity(query.len() + added);
    let mut done = 0;
    for (position, text) in insertions {
        result.push_str(&query[done..*position]);
        result.push_str(text);
        done = *position;
    }
    result.push_str(&query[done..]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(query: &str) -> Vec<&str> {
        pieces(query).unwrap().iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn pieces_are_told_apart() {
        assert_eq!(
            texts("a:b{c=~\"}\\\"\", d='{'} # {x}\n+ `\\`[5m30s:1m] offset -1e-3"),
            [
                "a:b",
                "{",
                "c",
                "=",
                "~",
                "\"}\\\"\"",
                ",",
                "d",
                "=",
                "'{'",
                "}",
                "+",
                "`\\`",
                "[",
                "5m30s",
                ":1m",
                "]",
                "offset",
                "-",
                "1e-3"
            ]
        );
        assert_eq!(texts("0x1e+2 .5 1e+x"), ["0x1e", "+", "2", ".5", "1e", "+", "x"]);
        assert_eq!(texts("é # end"), ["é"]);
    }

    #[test]
    fn what_has_no_end_is_an_error() {
        for query in ["\"a", "'", "`a\\", "a{b=\"\\\"}"] {
            assert!(pieces(query).is_err(), "{query}");
        }
        for query in ["{", "{a={}}", "{a=\"b\""] {
            assert!(braces(&pieces(query).unwrap(), 0).is_err(), "{query}");
        }
    }
}
