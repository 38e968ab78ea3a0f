//! What came of the scenarios: one table for people, one JSON document for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// Spans of one protocol, sent and looked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Row {
    /// When in the scenario they were sent; empty where there is one time only.
    pub(crate) when: String,
    pub(crate) protocol: String,
    /// Spans that were to be delivered.
    pub(crate) sent: u64,
    /// Spans that a receiver said it took.
    pub(crate) accepted: u64,
    /// Spans that Tempo gave back by the identifiers of their traces.
    pub(crate) read_back: u64,
    /// Further copies of these that it gave back.
    pub(crate) duplicated: u64,
    /// What the sender ran into, also where a retry helped.
    pub(crate) trouble: String,
    /// Whether receivers restarted meanwhile, so that they may refuse what a sender then has to keep.
    pub(crate) restarts: bool,
    /// What was done meanwhile: seconds until all was active again.
    pub(crate) converged_seconds: Option<f64>,
}

impl Row {
    /// Spans that were taken and not given back.
    pub(crate) fn lost(&self) -> u64 {
        self.accepted.saturating_sub(self.read_back)
    }

    /// Spans that no receiver took, which their sender knows.
    pub(crate) fn refused(&self) -> u64 {
        self.sent.saturating_sub(self.accepted)
    }
}

/// Something that a scenario says of the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Claim {
    pub(crate) text: String,
    pub(crate) held: bool,
}

/// What came of one scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) claims: Vec<Claim>,
    /// Hooks of all units that ended well.
    pub(crate) hooks: usize,
    /// And those that did not.
    pub(crate) failed_hooks: usize,
    /// Whether hooks were made to fail.
    pub(crate) ordered_failures: bool,
    /// From the first unit to the moment in which all were active.
    pub(crate) converged_seconds: f64,
    /// All of it.
    pub(crate) seconds: f64,
    /// Why it could not be played to its end.
    pub(crate) error: Option<String>,
}

impl Report {
    /// Whether everything was as it should be. A span that is given back twice is no loss: Tempo promises no more.
    pub(crate) fn is_good(&self) -> bool {
        self.problems().is_empty()
    }

    /// What was not as it should be.
    pub(crate) fn problems(&self) -> Vec<String> {
        let error = self.error.iter().cloned();
        let broken = self.claims.iter().filter(|claim| !claim.held).map(|claim| claim.text.clone());
        let lost = self.rows.iter().filter(|row| row.lost() > 0).map(|row| {
            let Row { protocol, accepted, .. } = row;
            format!("{protocol}{}: {} of {accepted} spans that were taken are lost", when(row), row.lost())
        });
        let refused = self.rows.iter().filter(|row| row.refused() > 0 && !row.restarts).map(|row| {
            let Row { protocol, sent, trouble, .. } = row;
            format!("{protocol}{}: {} of {sent} spans were refused: {trouble}", when(row), row.refused())
        });
        let failed = (self.failed_hooks > 0 && !self.ordered_failures)
            .then(|| format!("{} hooks failed", self.failed_hooks));
        error.chain(broken).chain(lost).chain(refused).chain(failed).collect()
    }
}

fn when(row: &Row) -> String {
    if row.when.is_empty() { String::new() } else { format!(", {}", row.when) }
}

const TITLES: [&str; 10] = [
    "SCENARIO",
    "PROTOCOL",
    "SENT",
    "REFUSED",
    "READ BACK",
    "LOST",
    "DUPLICATED",
    "HOOKS",
    "FAILED",
    "CONVERGED",
];

/// One table of all scenarios: what is the same for all protocols is in the first line of each.
pub(crate) fn table(reports: &[Report]) -> String {
    let mut lines = vec![TITLES.map(str::to_owned)];
    for report in reports {
        let about = [
            report.hooks.to_string(),
            report.failed_hooks.to_string(),
            format!("{:.0} s", report.converged_seconds),
        ];
        let none = Row::default();
        let rows = if report.rows.is_empty() { std::slice::from_ref(&none) } else { &report.rows };
        for (number, row) in rows.iter().enumerate() {
            let scenario = if number == 0 { report.scenario.clone() } else { String::new() };
            let counts = [row.sent, row.refused(), row.read_back, row.lost(), row.duplicated];
            let counts =
                counts.map(|count| if report.rows.is_empty() { "-".into() } else { count.to_string() });
            let [sent, refused, read_back, lost, duplicated] = counts;
            let [hooks, failed, converged] = if number == 0 {
                about.clone()
            } else {
                let converged = row.converged_seconds.map(|seconds| format!("{seconds:.0} s"));
                [String::new(), String::new(), converged.unwrap_or_default()]
            };
            let protocol = format!("{}{}", row.protocol, when(row));
            lines.push([
                scenario, protocol, sent, refused, read_back, lost, duplicated, hooks, failed, converged,
            ]);
        }
    }
    let widths: [usize; 10] =
        std::array::from_fn(|n| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for line in lines {
        let mut shown = String::new();
        for (number, (cell, width)) in line.iter().zip(widths).enumerate() {
            // Words to the left, numbers to the right. Writing to a String does not fail.
            let _ = if number < 2 {
                write!(shown, "{cell:<width$}  ")
            } else {
                write!(shown, "{cell:>width$}  ")
            };
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text + &explained(reports)
}

/// Why spans were refused, and which hooks were to fail: what a table alone would leave open.
fn explained(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        let name = &report.scenario;
        if report.ordered_failures {
            let _ = writeln!(text, "{name}: hooks fail because their tools are made to fail");
        }
        for row in report.rows.iter().filter(|row| row.refused() > 0) {
            let (protocol, refused, sent) = (&row.protocol, row.refused(), row.sent);
            let when = when(row);
            let trouble = &row.trouble;
            let _ = writeln!(text, "{name}, {protocol}{when}: {refused} of {sent} spans refused: {trouble}");
        }
    }
    text
}

/// All of it as one JSON document.
pub(crate) fn json(reports: &[Report]) -> serde_json::Value {
    let one = |report: &Report| {
        let mut value = serde_json::to_value(report).unwrap_or_default();
        value["good"] = report.is_good().into();
        for (shown, row) in value["rows"].as_array_mut().into_iter().flatten().zip(&report.rows) {
            shown["lost"] = row.lost().into();
            shown["refused"] = row.refused().into();
        }
        value
    };
    serde_json::json!({
        "good": reports.iter().all(Report::is_good),
        "scenarios": reports.iter().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(protocol: &str, sent: u64, read_back: u64) -> Row {
        Row { protocol: protocol.into(), sent, accepted: sent, read_back, ..Row::default() }
    }

    fn report() -> Report {
        Report {
            scenario: "monolithic".into(),
            rows: vec![row("otlp_grpc", 100, 100), Row { duplicated: 2, ..row("zipkin", 100, 99) }],
            hooks: 31,
            converged_seconds: 81.4,
            ..Report::default()
        }
    }

    #[test]
    fn what_was_taken_and_is_not_given_back_is_lost() {
        let report = report();
        assert_eq!(report.problems(), ["zipkin: 1 of 100 spans that were taken are lost"]);
        assert!(!report.is_good());
        assert_eq!(json(&[report])["scenarios"][0]["rows"][1]["lost"], 1);
    }

    #[test]
    fn refusals_are_a_problem_unless_receivers_restart() {
        let refused = Row { accepted: 8, trouble: "empty ring".into(), ..row("zipkin", 10, 8) };
        let mut report = Report { rows: vec![refused], ..Report::default() };
        assert_eq!(report.problems(), ["zipkin: 2 of 10 spans were refused: empty ring"]);
        report.rows[0].restarts = true;
        assert!(report.is_good());
        assert_eq!(json(&[report])["scenarios"][0]["rows"][0]["refused"], 2);
    }

    #[test]
    fn copies_are_shown_and_are_no_problem_while_failed_hooks_and_broken_claims_are() {
        let mut report = Report { rows: vec![Row { duplicated: 3, ..row("zipkin", 10, 10) }], ..report() };
        assert!(report.is_good());
        report.failed_hooks = 1;
        report.claims.push(Claim { text: "it holds".into(), held: true });
        report.claims.push(Claim { text: "the port is closed".into(), held: false });
        assert_eq!(report.problems(), ["the port is closed", "1 hooks failed"]);
        assert_eq!(json(&[report])["good"], false);
    }

    #[test]
    fn the_table_lines_up_and_says_once_what_holds_for_a_scenario() {
        let empty = Report { scenario: "removal".into(), hooks: 4, ..Report::default() };
        let text = table(&[report(), empty]);
        let expected = "\
SCENARIO    PROTOCOL   SENT  REFUSED  READ BACK  LOST  DUPLICATED  HOOKS  FAILED  CONVERGED
monolithic  otlp_grpc   100        0        100     0           0     31       0       81 s
            zipkin      100        0         99     1           2
removal                   -        -          -     -           -      4       0        0 s
";
        assert_eq!(text, expected);
    }
}
