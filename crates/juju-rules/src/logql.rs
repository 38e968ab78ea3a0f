//! Matchers in LogQL.

use super::scan::{self, Kind, Piece, with_insertions};
use super::{QueryError, quoted};

/// Operators of matchers.
const OPERATORS: [&str; 4] = ["=", "!=", "=~", "!~"];

/// Adds equality matchers to every stream selector of a LogQL query, at its end. One for whose label a selector has a
/// matcher already is left out: who wrote it meant it.
///
/// Braces mean a stream selector wherever they are no part of a text or a comment: what pipelines hold, such as the
/// templates of `line_format`, are texts. So the query is read only as far as to know these apart.
///
/// # Errors
/// If a text, a brace or a bracket has no end, or if braces hold something else than matchers.
pub fn inject(query: &str, matchers: &[(&str, &str)]) -> Result<String, QueryError> {
    let pieces = scan::pieces(query)?;
    check_brackets(&pieces)?;
    let mut insertions = Vec::new();
    let mut index = 0;
    while index < pieces.len() {
        if !pieces[index].is("{") {
            index += 1;
            continue;
        }
        let braces = scan::braces(&pieces, index)?;
        let labels = labels(braces.inner)?;
        let mut separated = braces.separated;
        let mut text = String::new();
        for (label, value) in matchers.iter().filter(|(label, _)| !labels.contains(label)) {
            if !separated {
                text.push_str(", ");
            }
            separated = false;
            text.extend([*label, "=", &quoted(value)]);
        }
        insertions.push((braces.end, text));
        index = braces.next;
    }
    Ok(with_insertions(query, &insertions))
}

/// The labels that the inside of a stream selector has matchers for.
fn labels<'a>(inner: &[Piece<'a>]) -> Result<Vec<&'a str>, QueryError> {
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    // Texts are pieces of their own, so that a comma is always one between matchers.
    let matchers = inner.split(|piece| piece.is(","));
    matchers
        .map(|matcher| match matcher {
            [label, operator @ .., value] if label.kind == Kind::Word && value.kind == Kind::Quoted => {
                let operator: String = operator.iter().map(|piece| piece.text).collect();
                let known = OPERATORS.contains(&operator.as_str());
                known
                    .then_some(label.text)
                    .ok_or_else(|| QueryError::new(format!("no operator {operator:?}")))
            }
            _ => Err(QueryError::new("braces hold something else than matchers")),
        })
        .collect()
}

/// Whether each bracket has its partner.
fn check_brackets(pieces: &[Piece<'_>]) -> Result<(), QueryError> {
    let mut open = Vec::new();
    for piece in pieces.iter().filter(|piece| piece.kind == Kind::Symbol) {
        match piece.text {
            "(" => open.push(")"),
            "[" => open.push("]"),
            "{" => open.push("}"),
            ")" | "]" | "}" if open.pop() != Some(piece.text) => {
                return Err(QueryError::new(format!("{} closes nothing", piece.text)));
            }
            _ => {}
        }
    }
    match open.pop() {
        Some(missing) => Err(QueryError::new(format!("{missing} is missing"))),
        None => Ok(()),
    }
}
