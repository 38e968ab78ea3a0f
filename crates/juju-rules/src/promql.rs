//! Matchers in PromQL.
//!
//! They are put into the text as it was written, and a parser watches: the result has to mean what the query meant, with the
//! matchers added. Printing what the parser made of the query would be shorter, but rests on two translations
//! that lose things: comments and line breaks, groupings such as `by ()`, and the quotes of names that need them.
//! So a mistake of either, the scanner or the parser, is an error and never another query.

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, Expr, VectorSelector};

use super::scan::{self, Kind, Piece, with_insertions};
use super::{QueryError, quoted};

/// Adds equality matchers to every vector selector of a PromQL query, at its end. One for whose label a selector has a
/// matcher already is left out: who wrote it meant it.
///
/// # Errors
/// If the query is not PromQL, or is written in a way that is not understood well enough to add to it.
pub fn inject(query: &str, matchers: &[(&str, &str)]) -> Result<String, QueryError> {
    let mut meant = parse(query)?;
    // For each selector, in the order of the text, what it lacks.
    let mut missing = Vec::new();
    for selector in selectors(&mut meant) {
        if !selector.matchers.or_matchers.is_empty() {
            return Err(QueryError::new("a selector with alternatives is not PromQL"));
        }
        let has = |label: &str| selector.matchers.matchers.iter().any(|matcher| matcher.name == label);
        let lacking: Vec<_> = matchers.iter().copied().filter(|(label, _)| !has(label)).collect();
        let added = lacking.iter().map(|(label, value)| Matcher::new(MatchOp::Equal, label, value));
        selector.matchers.matchers.extend(added);
        missing.push(lacking);
    }

    let pieces = scan::pieces(query)?;
    let places = places(&pieces)?;
    if places.len() != missing.len() {
        return Err(QueryError::new("not every selector is found in the text"));
    }
    let insertions: Vec<_> =
        places.iter().zip(missing).map(|(place, lacking)| (place.at, place.text(&lacking))).collect();
    let result = with_insertions(query, &insertions);
    if parse(&result)? == meant {
        Ok(result)
    } else {
        Err(QueryError::new("with the matchers it would mean something else"))
    }
}

/// A matcher as label, operator and value.
pub type Matched = (String, String, String);

/// The matchers of every vector selector of a PromQL query, in the order of its text. A metric's name before the braces is
/// not among them.
///
/// # Errors
/// If the query is not PromQL.
pub fn matchers(query: &str) -> Result<Vec<Vec<Matched>>, QueryError> {
    let mut expression = parse(query)?;
    let shown = |matcher: &Matcher| (matcher.name.clone(), matcher.op.to_string(), matcher.value.clone());
    let all = selectors(&mut expression);
    Ok(all.iter().map(|selector| selector.matchers.matchers.iter().map(shown).collect()).collect())
}

fn parse(query: &str) -> Result<Expr, QueryError> {
    parser::parse(&with_plain_texts(query)?).map_err(QueryError::new)
}

/// The query with double quotes around texts that had backticks: in those the parser takes backslashes for escapes.
fn with_plain_texts(query: &str) -> Result<String, QueryError> {
    let mut result = String::with_capacity(query.len());
    let mut done = 0;
    for piece in scan::pieces(query)? {
        if let Some(inner) = piece.text.strip_prefix('`') {
            result.push_str(&query[done..piece.end - piece.text.len()]);
            result.push_str(&quoted(inner.strip_suffix('`').unwrap_or(inner)));
            done = piece.end;
        }
    }
    result.push_str(&query[done..]);
    Ok(result)
}

/// Every selector of an expression, in the order in which they are written.
fn selectors(expression: &mut Expr) -> Vec<&mut VectorSelector> {
    // The parser's own walk leaves out parameters of aggregations, which may hold selectors too.
    fn walk<'e>(expression: &'e mut Expr, found: &mut Vec<&'e mut VectorSelector>) {
        match expression {
            Expr::VectorSelector(selector) => found.push(selector),
            Expr::MatrixSelector(matrix) => found.push(&mut matrix.vs),
            Expr::Aggregate(aggregate) => {
                if let Some(parameter) = &mut aggregate.param {
                    walk(parameter, found);
                }
                walk(&mut aggregate.expr, found);
            }
            Expr::Unary(unary) => walk(&mut unary.expr, found),
            Expr::Binary(binary) => {
                walk(&mut binary.lhs, found);
                walk(&mut binary.rhs, found);
            }
            Expr::Paren(paren) => walk(&mut paren.expr, found),
            Expr::Subquery(subquery) => walk(&mut subquery.expr, found),
            Expr::Call(call) => call.args.args.iter_mut().for_each(|argument| walk(argument, found)),
            // The parser makes no extensions.
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
        }
    }
    let mut found = Vec::new();
    walk(expression, &mut found);
    found
}

/// Where a selector takes more matchers.
struct Place {
    at: usize,
    kind: PlaceKind,
}

#[derive(Clone, Copy)]
enum PlaceKind {
    /// After a name without braces.
    Name,
    /// Within braces, after a matcher.
    Matcher,
    /// Within braces, where no comma is needed.
    Free,
}

impl Place {
    fn text(&self, matchers: &[(&str, &str)]) -> String {
        if matchers.is_empty() {
            return String::new();
        }
        let list: Vec<_> =
            matchers.iter().map(|(label, value)| format!("{label}={}", quoted(value))).collect();
        let list = list.join(",");
        match self.kind {
            PlaceKind::Name => format!("{{{list}}}"),
            PlaceKind::Matcher => format!(",{list}"),
            PlaceKind::Free => list,
        }
    }
}

/// Keywords that a list of labels may follow.
const GROUPING: [&str; 9] =
    ["by", "without", "on", "ignoring", "group_left", "group_right", "fill", "fill_left", "fill_right"];
/// Of these, those that may stand without one.
const BARE_GROUPING: [&str; 2] = ["group_left", "group_right"];
/// Operators that are words.
const OPERATORS: [&str; 4] = ["and", "or", "unless", "atan2"];

/// Finds selectors by what may stand where: after an operator, an opening parenthesis or a comma comes an operand, and
/// a name there is a metric unless a parenthesis or a grouping follows it.
fn places(pieces: &[Piece<'_>]) -> Result<Vec<Place>, QueryError> {
    let mut places = Vec::new();
    let mut index = 0;
    let mut operand_next = true;
    while let Some(piece) = pieces.get(index) {
        let next = pieces.get(index + 1);
        let next_is = |symbol| next.is_some_and(|next| next.is(symbol));
        match piece.kind {
            Kind::Word if piece.is_keyword(&GROUPING) && next_is("(") => {
                index = after(pieces, index + 1, ")")?;
                continue;
            }
            Kind::Word if operand_next => {
                let is_function = next_is("(");
                let is_grouped = next.is_some_and(|next| next.is_keyword(&["by", "without"]));
                let is_modifier = piece.is_keyword(&["bool"]) || piece.is_keyword(&BARE_GROUPING);
                if !(is_function || is_grouped || is_modifier) {
                    operand_next = false;
                    if !piece.is_keyword(&["inf", "nan"]) && !next_is("{") {
                        places.push(Place { at: piece.end, kind: PlaceKind::Name });
                    }
                }
            }
            Kind::Word if piece.is_keyword(&["offset"]) => {
                index = after_number(pieces, index + 1);
                continue;
            }
            Kind::Word => operand_next = piece.is_keyword(&OPERATORS),
            Kind::Number | Kind::Quoted => operand_next = false,
            Kind::Symbol => match piece.text {
                "{" => {
                    let braces = scan::braces(pieces, index)?;
                    let kind = if braces.separated { PlaceKind::Free } else { PlaceKind::Matcher };
                    places.push(Place { at: braces.end, kind });
                    operand_next = false;
                    index = braces.next;
                    continue;
                }
                "[" => {
                    index = after(pieces, index, "]")?;
                    operand_next = false;
                    continue;
                }
                "@" => {
                    let function = next.is_some_and(|next| next.is_keyword(&["start", "end"]));
                    index = if function {
                        after(pieces, index + 1, ")")?
                    } else {
                        after_number(pieces, index + 1)
                    };
                    operand_next = false;
                    continue;
                }
                ")" => operand_next = false,
                _ => operand_next = true,
            },
        }
        index += 1;
    }
    Ok(places)
}

/// The piece after the next closing one of a sort.
fn after(pieces: &[Piece<'_>], from: usize, close: &str) -> Result<usize, QueryError> {
    let length = pieces[from..].iter().position(|piece| piece.is(close));
    length.map(|length| from + length + 1).ok_or_else(|| QueryError::new(format!("{close} is missing")))
}

/// The piece after a number that may have a sign.
fn after_number(pieces: &[Piece<'_>], from: usize) -> usize {
    let signs = pieces.get(from).is_some_and(|piece| piece.is("+") || piece.is("-"));
    from + usize::from(signs) + 1
}

/// Whether a query without certain matchers means what another means.
#[cfg(test)]
pub(super) fn is_same_without(query: &str, matchers: &[(&str, &str)], other: &str) -> bool {
    let mut expression = parse(query).unwrap();
    for selector in selectors(&mut expression) {
        let ours = |matcher: &Matcher| {
            matcher.op == MatchOp::Equal
                && matchers.contains(&(matcher.name.as_str(), matcher.value.as_str()))
        };
        selector.matchers.matchers.retain(|matcher| !ours(matcher));
    }
    expression == parse(other).unwrap()
}
