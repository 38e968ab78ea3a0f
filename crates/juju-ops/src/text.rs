//! Text of others, fit to be shown.

/// One line of at most `limit` characters, and a mark if there were more.
///
/// Spaces stand in place of what would begin a new line, move the cursor, or change the direction of what follows: whoever
/// reads a log or a status sees what is there, and who said it.
///
/// ```
/// use juju_ops::one_line;
///
/// assert_eq!(one_line("a\nb\u{1b}[2J\u{202e}c", 40), "a b [2J c");
/// assert_eq!(one_line("too long", 3), "too…");
/// ```
pub fn one_line(text: &str, limit: usize) -> String {
    let mut line: String = text.chars().map(|c| if is_misleading(c) { ' ' } else { c }).take(limit).collect();
    if text.chars().nth(limit).is_some() {
        line.push('…');
    }
    line
}

/// Controls, line and paragraph separators, marks of direction, and characters that take no room.
fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_misleads_is_shown() {
        for c in [
            '\0', '\n', '\r', '\t', '\u{7f}', '\u{85}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202e}',
            '\u{2067}', '\u{feff}',
        ] {
            assert_eq!(one_line(&format!("a{c}b"), 9), "a b", "{c:?}");
        }
        assert_eq!(one_line("é🦀 – ‘x’", 99), "é🦀 – ‘x’");
        assert_eq!(one_line("é🦀", 1), "é…");
        assert_eq!(one_line("é🦀", 2), "é🦀");
    }
}
