//! Names of metrics: those that pages show, and those that rules and dashboards ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use promql_parser::parser::{Expr, LabelModifier, parse};
use serde_json::Value;

use crate::dashboards;

/// Labels that Prometheus adds to what it scrapes, beside those of Juju.
const ADDED_LABELS: [&str; 2] = ["instance", "job"];
/// Names that Prometheus makes itself.
const ADDED_NAMES: [&str; 4] = ["ALERTS", "up", "scrape_duration_seconds", "scrape_samples_scraped"];
/// What Grafana puts in the place of a variable is of no matter here, as long as it can be parsed.
const VARIABLES: [(&str, &str); 4] =
    [("$__rate_interval", "5m"), ("$__interval", "1m"), ("$__range", "1h"), ("$__range_s", "3600")];

/// A metric that somebody asks for, with labels that its series are to have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) metric: String,
    pub(crate) labels: BTreeSet<String>,
}

/// Every metric of some pages, with the label names that its series have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(BTreeMap<String, BTreeSet<BTreeSet<String>>>);

impl Seen {
    /// Adds a page in Prometheus' text format. Lines that are not understood are left out.
    pub(crate) fn add(&mut self, page: &str) {
        for line in page.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let end = line.find(['{', ' ']).unwrap_or(line.len());
            let (name, rest) = line.split_at(end);
            let labels = rest.strip_prefix('{').map(labels).unwrap_or_default();
            self.0.entry(name.to_owned()).or_default().insert(labels);
        }
    }

    /// Adds series as Prometheus lists them in its API.
    pub(crate) fn add_series(&mut self, answer: &str) {
        let answer: Value = serde_json::from_str(answer).unwrap_or_default();
        for series in answer["data"].as_array().into_iter().flatten().filter_map(Value::as_object) {
            let Some(name) = series.get("__name__").and_then(Value::as_str) else { continue };
            let labels = series.keys().filter(|label| *label != "__name__").cloned().collect();
            self.0.entry(name.to_owned()).or_default().insert(labels);
        }
    }

    /// How many metrics there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What is not there of a metric that somebody wants; `None` if nothing is missing.
    pub(crate) fn lacks(&self, wanted: &Wanted) -> Option<String> {
        let Some(series) = self.0.get(&wanted.metric) else { return Some("no such metric".to_owned()) };
        if series.iter().any(|labels| wanted.labels.is_subset(labels)) {
            return None;
        }
        let known: BTreeSet<&String> = series.iter().flatten().collect();
        let missing: Vec<&str> =
            wanted.labels.iter().filter(|label| !known.contains(label)).map(String::as_str).collect();
        Some(if missing.is_empty() {
            format!("no series has all of {}", joined(&wanted.labels))
        } else {
            format!("no label {}", missing.join(", "))
        })
    }
}

fn joined(labels: &BTreeSet<String>) -> String {
    labels.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Names of labels up to the brace that closes them; values may hold anything, with `\` before what is special.
fn labels(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut chars = text.chars();
    let mut name = String::new();
    while let Some(c) = chars.next() {
        match c {
            '}' => break,
            '"' => {
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    if c == '\\' {
                        chars.next();
                    }
                }
                names.insert(std::mem::take(&mut name));
            }
            ',' | ' ' | '=' => {}
            c => name.push(c),
        }
    }
    names
}

/// What a PromQL expression asks for: names, with the labels that it selects or groups by. Labels of Juju and of Prometheus are
/// no matter of the page that is scraped.
pub(crate) fn wanted(expression: &str) -> Result<BTreeSet<Wanted>, String> {
    let text = VARIABLES.iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value));
    let mut all = BTreeSet::new();
    collect(&parse(&text)?, &BTreeSet::new(), &mut all);
    all.retain(|wanted| !ADDED_NAMES.contains(&wanted.metric.as_str()));
    Ok(all)
}

/// `by` holds labels that something around the expression groups by.
fn collect(expr: &Expr, by: &BTreeSet<String>, all: &mut BTreeSet<Wanted>) {
    match expr {
        Expr::Aggregate(aggregate) => {
            let mut inner = match &aggregate.modifier {
                Some(LabelModifier::Include(labels)) => labels.labels.iter().cloned().collect(),
                // Whatever is not in the result cannot be asked of it: what is around groups by what is left.
                Some(LabelModifier::Exclude(_)) => by.clone(),
                None => BTreeSet::new(),
            };
            // Something that is computed on the way is no label of the page.
            inner.retain(|label| is_of_page(label));
            collect(&aggregate.expr, &inner, all);
        }
        Expr::Unary(unary) => collect(&unary.expr, by, all),
        Expr::Binary(binary) => {
            // Which side a label comes from is not known here; each side is asked for its own.
            collect(&binary.lhs, &BTreeSet::new(), all);
            collect(&binary.rhs, &BTreeSet::new(), all);
        }
        Expr::Paren(paren) => collect(&paren.expr, by, all),
        Expr::Subquery(subquery) => collect(&subquery.expr, by, all),
        Expr::Call(call) => {
            // These make labels, so that what is around may group by one that the page does not have.
            let makes_labels = call.func.name.starts_with("label_") || call.func.name.starts_with("absent");
            let by = if makes_labels { &BTreeSet::new() } else { by };
            for argument in &call.args.args {
                collect(argument, by, all);
            }
        }
        Expr::VectorSelector(selector) => select(selector, by, all),
        Expr::MatrixSelector(matrix) => select(&matrix.vs, by, all),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn select(
    selector: &promql_parser::parser::VectorSelector,
    by: &BTreeSet<String>,
    all: &mut BTreeSet<Wanted>,
) {
    let Some(metric) = selector.name.clone() else { return };
    let matchers = &selector.matchers;
    let matchers = matchers.matchers.iter().chain(matchers.or_matchers.iter().flatten());
    let mut labels: BTreeSet<String> = matchers.map(|matcher| matcher.name.clone()).collect();
    labels.extend(by.iter().cloned());
    labels.retain(|label| is_of_page(label));
    all.insert(Wanted { metric, labels });
}

fn is_of_page(label: &str) -> bool {
    !label.starts_with("juju_") && !label.starts_with("__") && !ADDED_LABELS.contains(&label)
}

/// The PromQL expressions of rules and dashboards in a repository, by where they come from.
pub(crate) fn expressions(repository: &Path) -> Result<Vec<(PathBuf, String)>> {
    // What the panels of the finished dashboards ask: descriptions leave out what all of them have.
    let mut all: Vec<_> = dashboards::questions()?
        .into_iter()
        .map(|expression| (PathBuf::from("dashboards"), expression))
        .collect();
    let folder = repository.join("src/assets/alert_rules/prometheus");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    for file in files {
        let failed = || format!("reading {}", file.display());
        let text = fs::read_to_string(&file).with_context(failed)?;
        let value: Value = serde_yaml::from_str(&text).with_context(failed)?;
        let mut found = Vec::new();
        expressions_in(&value, &mut found);
        all.extend(found.into_iter().map(|expression| (file.clone(), expression)));
    }
    Ok(all)
}

/// Whatever stands under the key by which rules name an expression.
fn expressions_in(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| expressions_in(value, found)),
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str() {
                    Some(text) if key == "expr" => found.push(text.to_owned()),
                    _ => expressions_in(value, found),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(metric: &str, labels: &[&str]) -> Wanted {
        Wanted { metric: metric.into(), labels: labels.iter().map(|label| (*label).to_owned()).collect() }
    }

    #[track_caller]
    fn check(expression: &str, expect: &[Wanted]) {
        assert_eq!(wanted(expression).unwrap(), expect.iter().cloned().collect(), "{expression}");
    }

    #[test]
    fn pages_are_read_with_label_values_of_any_kind() {
        let mut seen = Seen::default();
        seen.add(concat!(
            "# HELP a_total Text with {braces=\"x\"}.\n# TYPE a_total counter\n",
            "a_total{route=\"a}b\",code=\"1, \\\"2\\\"\"} 3\n",
            "a_total{route=\"x\",} 3 1700000000\n",
            "up_now 1\n",
        ));
        assert_eq!(seen.len(), 2);
        assert_eq!(seen.lacks(&want("a_total", &["route", "code"])), None);
        assert_eq!(seen.lacks(&want("up_now", &[])), None);
        assert_eq!(seen.lacks(&want("a_total", &["route", "le"])).unwrap(), "no label le");
        assert_eq!(seen.lacks(&want("b", &[])).unwrap(), "no such metric");
        seen.add("c{x=\"1\"} 1\nc{y=\"1\"} 1\n");
        assert_eq!(seen.lacks(&want("c", &["x", "y"])).unwrap(), "no series has all of x, y");
        seen.add_series(r#"{"data": [{"__name__": "traces_total", "service": "s"}, {"x": "no name"}]}"#);
        assert_eq!(seen.lacks(&want("traces_total", &["service"])), None);
    }

    #[test]
    fn expressions_ask_for_what_they_select_and_group_by() {
        check("nginx_up{juju_model=\"m\"} < 1", &[want("nginx_up", &[])]);
        check(
            "histogram_quantile(0.99, sum by (le, route, juju_unit) (rate(d_bucket{method=\"GET\"}[$__rate_interval])))",
            &[want("d_bucket", &["le", "method", "route"])],
        );
        check(
            "sum(rate(a{code!~\"2..\"}[5m] offset 1h)) / on (x) group_left sum by (y) (b) > 0.5",
            &[want("a", &["code"]), want("b", &["y"])],
        );
        check("max_over_time(sum by (role) (w)[1h:5m] @ end())", &[want("w", &["role"])]);
        check("sum by (made) (label_replace(a, \"made\", \"$1\", \"b\", \"(.*)\"))", &[want("a", &[])]);
        check("absent(up) or 0 * min by (job) (c)", &[want("c", &[])]);
        assert!(wanted("sum by (").is_err());
    }

    #[test]
    fn rules_and_panels_name_expressions() {
        let value = serde_json::json!({"groups": [{"rules": [{"expr": "up < 1", "labels": {"expr": 7}}]}]});
        let mut found = Vec::new();
        expressions_in(&value, &mut found);
        assert_eq!(found, ["up < 1"]);
        let all = expressions(&crate::process::repository()).unwrap();
        let is_asked = |metric: &str| {
            all.iter().any(|(_, text)| wanted(text).unwrap().iter().any(|wanted| wanted.metric == metric))
        };
        // Of a rule, of a panel, and of a panel that only names a histogram.
        for metric in [
            "tempo_ingester_failed_flushes_total",
            "nginx_connections_waiting",
            "tempo_request_duration_seconds_sum",
        ] {
            assert!(is_asked(metric), "{metric}");
        }
    }
}
