//! What `cargo xtask demo` prints, as a picture of a terminal. What is left out is said to be left out.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::repository;

/// Where the picture is.
const PATH: &str = "docs/demo.svg";
/// Letters of a line, and pixels of a letter and of a line.
const COLUMNS: usize = 118;
const LETTER: f64 = 7.83;
const LINE: f64 = 18.0;
const MARGIN: f64 = 16.0;
/// Lines of one kind that are shown one after the other.
const MOST: usize = 5;

/// Runs the demonstration and draws what it prints.
pub(super) fn run() -> Result<()> {
    let mut command = Command::new(env::current_exe().context("finding this program")?);
    command.arg("demo").arg("--full").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().context("starting the demonstration")?;
    if !output.status.success() {
        bail!("the demonstration failed: {}", String::from_utf8_lossy(&output.stdout));
    }
    let text = String::from_utf8(output.stdout)?;
    let lines = shortened(&text);
    fs::write(repository().join(PATH), draw("cargo xtask demo", &lines))?;
    println!("{PATH}: {} lines of {}", lines.len(), text.lines().count());
    Ok(())
}

/// Kinds of lines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Headline,
    Claim,
    Text,
    Left,
    Empty,
}

fn kind(line: &str) -> Kind {
    if line.trim().is_empty() {
        Kind::Empty
    } else if line.starts_with("===") {
        Kind::Headline
    } else if line.starts_with("  ok ") {
        Kind::Claim
    } else {
        Kind::Text
    }
}

/// From the first headline on: of many lines of one kind the first, of long lines the beginning, each URL once, and of the
/// status the units.
fn shortened(text: &str) -> Vec<(Kind, String)> {
    let mut lines: Vec<(Kind, String)> = Vec::new();
    let (mut same, mut left, mut hidden) = (0, 0, false);
    let begin = |line: &&str| kind(line) != Kind::Headline;
    // How long it took says more of the machine than of the charm.
    let rest = text.lines().skip_while(begin).filter(|line| !line.starts_with("built in "));
    for line in rest {
        let kind = kind(line);
        hidden =
            kind == Kind::Text && (hidden || line.starts_with("App ") || line.starts_with("Integration "));
        let is_known = line.starts_with("    ") && lines.iter().any(|(_, known)| known == line);
        let is_same = lines.last().is_some_and(|(last, _)| *last == kind);
        same = if is_same { same + 1 } else { 0 };
        if hidden || is_known || same >= MOST {
            left += 1;
            continue;
        }
        lines.extend(more(&mut left));
        let cut = line.char_indices().nth(COLUMNS - 2).map(|(end, _)| format!("{} …", &line[..end]));
        lines.push((kind, cut.unwrap_or_else(|| line.to_owned())));
    }
    lines.extend(more(&mut left));
    while lines.last().is_some_and(|(kind, _)| *kind == Kind::Empty) {
        lines.pop();
    }
    lines
}

/// What says how many lines were left out, if any were.
fn more(left: &mut usize) -> Option<(Kind, String)> {
    let count = std::mem::take(left);
    let plural = if count == 1 { "" } else { "s" };
    (count > 0).then(|| (Kind::Left, format!("          … {count} more line{plural}")))
}

/// Lines as SVG, below the command that printed them.
fn draw(command: &str, lines: &[(Kind, String)]) -> String {
    #[allow(clippy::cast_precision_loss)] // some dozens
    let (width, height) =
        (COLUMNS as f64 * LETTER + 2.0 * MARGIN, (lines.len() + 2) as f64 * LINE + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         role=\"img\" aria-label=\"Output of {command}, shortened\">\n\
         <style>text {{ font: 13px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #d0d7de; white-space: pre }}\
         .command, .headline {{ fill: #ffffff; font-weight: bold }} .ok {{ fill: #56d364 }} .left {{ fill: #8b949e }}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#161b22\"/>\n"
    );
    let mut y = MARGIN + LINE;
    let mut put = |y: f64, class: &str, words: &str| {
        if !words.is_empty() {
            let _ = writeln!(
                svg,
                "<text x=\"{MARGIN:.0}\" y=\"{y:.0}\" class=\"{class}\" xml:space=\"preserve\">{words}</text>"
            );
        }
    };
    put(y, "command", &format!("$ {command}"));
    for (kind, line) in lines {
        y += LINE;
        let line = escaped(line);
        match kind {
            Kind::Headline => put(y, "headline", &line),
            Kind::Claim => {
                let rest = line.trim_start().strip_prefix("ok").unwrap_or_default();
                put(y, "text", &format!("  <tspan class=\"ok\">ok</tspan>{rest}"));
            }
            Kind::Left => put(y, "left", &line),
            Kind::Text => put(y, "text", &line),
            Kind::Empty => {}
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted() {
        let claims: String =
            (0..9).fold(String::new(), |all, number| all + &format!("  ok      claim {number}\n"));
        let long = "x".repeat(200);
        let text = format!(
            "/a/path\n\n=== One\n{claims}\n{long}\n    tcp 1\n    tcp 1\n\nApp  y\nApp  x\nb\n\nbuilt in 3 s, shown in 4 s\n"
        );
        let lines = shortened(&text);
        let words: Vec<&str> = lines.iter().map(|(_, line)| line.trim()).collect();
        assert_eq!(words[0], "=== One");
        assert_eq!(words[5..7], ["ok      claim 4", "… 4 more lines"]);
        assert_eq!(words[8].chars().count(), COLUMNS);
        assert_eq!(words[9..], ["tcp 1", "… 1 more line", "", "… 3 more lines"]);
        let svg = draw("x <y>", &lines);
        assert!(svg.contains("<tspan class=\"ok\">ok</tspan>      claim 0") && !svg.contains("/a/path"));
    }
}
