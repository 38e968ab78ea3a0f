//! What the coordinator says of itself to Prometheus: one page for each unit, which the unit's nginx hands out.
//!
//! A hook's process ends with the hook, so counters live on in the page itself: the next page begins with what the one
//! before says. A container that was made anew has none, and its counters begin at zero, which Prometheus takes as it takes
//! any restart.
//!
//! *Architecture invariant:* no I/O. `observe` reads the page before, and `apply` writes the new one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::deployment::Deployment;

/// The page, in the container of nginx.
pub const PAGE_PATH: &str = "/etc/nginx/coordinator.prom";

/// What all names begin with.
const PREFIX: &str = "tempo_coordinator_";
const HOOKS: &str = "hooks_total";
const DURATION: &str = "hook_duration_seconds";
const CALLS: &str = "hook_tool_calls_total";

/// Upper bounds of how long hooks take, in seconds, as they are written.
const BOUNDS: [(f64, &str); 10] = [
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.5, "2.5"),
    (10.0, "10"),
    (f64::INFINITY, "+Inf"),
];

/// How many series of the page before are believed; there are never that many.
const MOST: usize = 300;

/// What one hook took.
#[derive(Clone, Debug, PartialEq)]
pub struct Took {
    /// Name of its event.
    pub event: String,
    /// How long it took so far, in seconds.
    pub seconds: f64,
    /// How many hook tools it has called.
    pub tool_calls: u64,
}

/// The page after a hook, from the one before it.
pub fn page(before: Option<&str>, d: &Deployment, took: &Took) -> String {
    let mut counters = before.map(counters).unwrap_or_default();
    let mut add = |series: String, value: f64| *counters.entry(series).or_default() += value;
    add(format!("{HOOKS}{{event=\"{}\"}}", plain(&took.event)), 1.0);
    for (bound, text) in BOUNDS {
        let below = took.seconds <= bound;
        add(format!("{DURATION}_bucket{{le=\"{text}\"}}"), if below { 1.0 } else { 0.0 });
    }
    add(format!("{DURATION}_sum"), took.seconds);
    add(format!("{DURATION}_count"), 1.0);
    #[allow(clippy::cast_precision_loss)] // some hundreds
    add(CALLS.to_owned(), took.tool_calls as f64);

    let mut page = Page::default();
    let of = |name: &str| {
        let begins = |series: &&String| series.strip_prefix(name).is_some_and(|rest| !rest.starts_with('_'));
        counters.iter().filter(|(series, _)| begins(series)).map(|(s, v)| (s.clone(), *v)).collect()
    };
    let constant = |name: &str, labels: &str, value: f64| vec![(format!("{name}{labels}"), value)];
    let version = concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
    page.family("build_info", "gauge", "The charm that coordinates.", constant("build_info", version, 1.0));
    page.family(HOOKS, "counter", "Hooks that were carried out, by the event that caused them.", of(HOOKS));
    let durations = [
        // In the order of the bounds, which is not that of their texts.
        BOUNDS.iter().map(|(_, text)| format!("{DURATION}_bucket{{le=\"{text}\"}}")).collect::<Vec<_>>(),
        vec![format!("{DURATION}_sum"), format!("{DURATION}_count")],
    ];
    let durations = durations.concat().into_iter().map(|series| {
        let value = counters.get(&series).copied().unwrap_or_default();
        (series, value)
    });
    page.family(
        DURATION,
        "histogram",
        "How long hooks took, up to when this was written.",
        durations.collect(),
    );
    page.family(CALLS, "counter", "Calls of hook tools.", of(CALLS));
    #[allow(clippy::cast_precision_loss)] // exact for some hundred million years
    let time = |seconds: i64| seconds as f64;
    let last = "last_reconcile_timestamp_seconds";
    page.family(
        last,
        "gauge",
        "When everything was last brought to where it should be.",
        constant(last, "", time(d.now)),
    );
    if let Some(certified) = d.tls.in_use() {
        let name = "certificate_expiry_timestamp_seconds";
        let value = constant(name, "", time(certified.not_after));
        page.family(name, "gauge", "When the certificate in use ends.", value);
    }
    let on = d.active_protocols();
    let seen = d.look.receivers.iter().filter(|(protocol, _)| on.contains(protocol));
    let up = seen.map(|(protocol, up)| {
        (format!("receiver_up{{protocol=\"{}\"}}", protocol.name()), if *up { 1.0 } else { 0.0 })
    });
    page.family("receiver_up", "gauge", "Whether any worker takes connections for a protocol.", up.collect());
    #[allow(clippy::cast_precision_loss)] // some dozens
    let number = |count: usize| count as f64;
    let workers = d
        .tempo
        .roles
        .iter()
        .map(|role| (format!("workers{{role=\"{}\"}}", role.name()), number(d.hosts(*role).len())));
    page.family("workers", "gauge", "Workers that have said where they are, by role.", workers.collect());
    let findings = constant("findings", "", number(d.findings.len()));
    page.family("findings", "gauge", "Data of other charms that cannot be used.", findings);
    page.0
}

/// The counters of a page, by their series without the prefix. What is none of ours is left out.
fn counters(page: &str) -> BTreeMap<String, f64> {
    let ours = |line: &str| {
        let (series, value) = line.strip_prefix(PREFIX)?.rsplit_once(' ')?;
        let name = series.split('{').next().unwrap_or_default();
        let is_counter = [HOOKS, CALLS].contains(&name) || name.strip_prefix(DURATION)?.starts_with('_');
        let is_plain = series.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let value: f64 = value.parse().ok()?;
        let is_sound = value.is_finite() && value >= 0.0;
        (is_counter && is_plain && is_sound && series.len() < 200).then(|| (series.to_owned(), value))
    };
    page.lines().filter_map(ours).take(MOST).collect()
}

/// Names of events have nothing else in them.
fn plain(event: &str) -> String {
    event.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
}

/// The text format of Prometheus.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: Vec<(String, f64)>) {
        if samples.is_empty() {
            return;
        }
        // Writing to a text does not fail.
        let _ = writeln!(self.0, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
        for (series, value) in samples {
            let _ = writeln!(self.0, "{PREFIX}{series} {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::complete;
    use crate::snapshot::Look;
    use crate::tempo::Protocol;

    fn took(event: &str, seconds: f64) -> Took {
        Took { event: event.into(), seconds, tool_calls: 40 }
    }

    #[test]
    fn a_page_says_how_the_coordinator_is() {
        let mut snapshot = complete().snapshot();
        snapshot.look = Some(Look {
            receivers: [(Protocol::OtlpHttp, true), (Protocol::Zipkin, true)].into(),
            ..Look::default()
        });
        let first = page(None, &Deployment::validate(&snapshot), &took("config-changed", 0.0625));
        insta::assert_snapshot!(first);
    }

    #[test]
    fn counters_go_on_where_the_page_before_ended() {
        let d = complete().deployment();
        let first = page(None, &d, &took("config-changed", 0.0625));
        let second = page(Some(&first), &d, &took("update-status", 0.5));
        for line in [
            "tempo_coordinator_hooks_total{event=\"config-changed\"} 1",
            "tempo_coordinator_hooks_total{event=\"update-status\"} 1",
            "tempo_coordinator_hook_duration_seconds_bucket{le=\"0.1\"} 1",
            "tempo_coordinator_hook_duration_seconds_bucket{le=\"0.5\"} 2",
            "tempo_coordinator_hook_duration_seconds_bucket{le=\"+Inf\"} 2",
            "tempo_coordinator_hook_duration_seconds_sum 0.5625",
            "tempo_coordinator_hook_duration_seconds_count 2",
            "tempo_coordinator_hook_tool_calls_total 80",
        ] {
            assert!(second.lines().any(|known| known == line), "{line} is not in\n{second}");
        }
    }

    #[test]
    fn a_page_that_somebody_else_has_written_is_not_believed() {
        let d = complete().deployment();
        let odd = "tempo_coordinator_hooks_total{event=\"start\"} NaN\n\
                   tempo_coordinator_hook_tool_calls_total -7\n\
                   tempo_coordinator_findings 9\n\
                   evil_total 1\nnonsense\n\u{0}\n";
        assert_eq!(page(Some(odd), &d, &took("start", 0.1)), page(None, &d, &took("start", 0.1)));
    }
}
