//! Answers for people: tables like Juju's, and colours where there is a terminal.

use std::io::IsTerminal as _;

use juju_sim::client::{ActionOutcome, ModelStatus, OptionValue, UnitDetails};
use juju_sim::spans::Fetched;
use serde_json::Value;

/// Whether a stream is for eyes that see colours. An empty `NO_COLOR` says nothing.
fn seen_in_colours(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn colours() -> bool {
    seen_in_colours(std::io::stdout().is_terminal())
}

/// What an error begins with, in red where that is seen.
pub(crate) fn error_label() -> &'static str {
    if seen_in_colours(std::io::stderr().is_terminal()) { "\x1b[31mERROR\x1b[0m" } else { "ERROR" }
}

/// A status in the colour that Juju gives it.
fn paint(status: &str) -> String {
    let colour = match status {
        "active" | "idle" | "completed" | "joined" => 32,
        "error" | "blocked" | "failed" => 31,
        "waiting" | "maintenance" | "executing" | "allocating" | "removing" => 33,
        _ => return status.to_owned(),
    };
    if colours() { format!("\x1b[{colour}m{status}\x1b[0m") } else { status.to_owned() }
}

/// Rows of cells under a header, in columns as wide as they need to be, the last one without padding.
struct Table(Vec<Vec<String>>);

fn table(header: &[&str]) -> Table {
    Table(vec![header.iter().map(ToString::to_string).collect()])
}

impl Table {
    fn add_row<T: Into<String>>(&mut self, row: impl IntoIterator<Item = T>) {
        self.0.push(row.into_iter().map(Into::into).collect());
    }
}

/// Columns that a text takes on a terminal: its characters without colour codes.
fn width(text: &str) -> usize {
    let mut coloured = false;
    text.chars()
        .filter(|c| {
            let shown = !coloured && *c != '\x1b';
            coloured = (coloured || *c == '\x1b') && *c != 'm';
            shown
        })
        .count()
}

fn show(table: Table) -> String {
    let Table(rows) = table;
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells =
            row.iter().zip(&widths).map(|(cell, wide)| format!("{cell}{}", " ".repeat(wide - width(cell))));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `juju status --relations`.
pub(crate) fn status(status: &ModelStatus) -> String {
    let mut parts = Vec::new();
    let mut model = table(&["Model", "Controller", "Cloud/Region", "Version", "Notes"]);
    let notes = if status.settled { "settled" } else { "changing" };
    let cloud = if status.simulator.pods { "local/namespaces" } else { "local/in-process" };
    model.add_row([status.model.as_str(), "juju-sim", cloud, &status.version, notes]);
    parts.push(show(model));
    parts.extend(status.simulator.reasons.iter().map(|reason| format!("Note: {reason}")));

    let mut apps = table(&["App", "Version", "Status", "Scale", "Charm", "Rev", "Address", "Message"]);
    let mut units = table(&["Unit", "Workload", "Agent", "Address", "Ports", "Message"]);
    for (name, app) in &status.applications {
        let scale = if app.units.len() == app.scale {
            app.scale.to_string()
        } else {
            format!("{}/{}", app.units.len(), app.scale)
        };
        apps.add_row([
            name.clone(),
            app.version.clone(),
            paint(&app.status.current),
            scale,
            app.charm.clone(),
            app.revision.to_string(),
            app.address.clone(),
            app.status.message.clone(),
        ]);
        let mut all: Vec<_> = app.units.iter().collect();
        all.sort_by_key(|(unit, _)| crate::controller::split(unit).map(|(_, number)| number));
        for (unit, state) in all {
            let message = if state.agent.current == "executing" && !state.agent.message.is_empty() {
                format!("({}) {}", state.agent.message, state.workload.message).trim_end().to_owned()
            } else {
                state.workload.message.clone()
            };
            units.add_row([
                format!("{unit}{}", if state.leader { "*" } else { "" }),
                paint(&state.workload.current),
                paint(&state.agent.current),
                state.address.clone(),
                state.ports.join(" "),
                message,
            ]);
        }
    }
    parts.push(show(apps));
    parts.push(show(units));
    if !status.relations.is_empty() {
        let mut relations = table(&["Integration provider", "Requirer", "Interface", "Type", "Message"]);
        for relation in &status.relations {
            let message = if relation.status == "joined" { "" } else { &relation.status };
            relations.add_row([
                &relation.provider,
                &relation.requirer,
                &relation.interface,
                &relation.kind,
                message,
            ]);
        }
        parts.push(show(relations));
    }
    parts.join("\n\n")
}

/// `juju show-unit`: YAML with the unit's name on top.
pub(crate) fn unit(details: &UnitDetails) -> String {
    yaml(&named(details))
}

/// A unit's details under its name, as Juju gives them.
pub(crate) fn named(details: &UnitDetails) -> Value {
    serde_json::json!({ &details.unit: details })
}

/// Any value as YAML.
pub(crate) fn yaml(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_default().trim_end().to_owned()
}

/// `juju config`.
pub(crate) fn options(options: &std::collections::BTreeMap<String, OptionValue>) -> String {
    let mut table = table(&["Option", "Value", "Source", "Type"]);
    for (name, option) in options {
        let value = match &option.value {
            Value::Null => String::new(),
            Value::String(text) => text.lines().next().unwrap_or_default().to_owned(),
            other => other.to_string(),
        };
        table.add_row([name.as_str(), &value, &option.source, &option.kind]);
    }
    show(table)
}

/// Objects of the cluster: kind, namespace, name and labels.
pub(crate) fn objects(objects: &Value) -> String {
    let mut rows = table(&["Kind", "Namespace", "Name", "Labels"]);
    for object in objects.as_array().into_iter().flatten() {
        let metadata = &object["metadata"];
        let labels = metadata["labels"].as_object().into_iter().flatten();
        let labels: Vec<_> =
            labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        rows.add_row([
            word(&object["kind"]),
            word(&metadata["namespace"]),
            word(&metadata["name"]),
            labels.join(","),
        ]);
    }
    show(rows)
}

/// `juju run`: what was said meanwhile, then the results.
pub(crate) fn action(outcome: &ActionOutcome) -> String {
    let mut lines: Vec<String> = outcome.log.clone();
    if !outcome.message.is_empty() {
        lines.push(format!("{}: {}", paint(&outcome.status), outcome.message));
    }
    if let Value::Object(results) = &outcome.results {
        // The exit code is only worth a line when it says something.
        let shown: serde_json::Map<_, _> = results
            .iter()
            .filter(|(key, value)| *key != "return-code" || **value != 0)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if !shown.is_empty() {
            lines.push(yaml(&Value::Object(shown)));
        }
    }
    lines.join("\n")
}

/// Answers of HTTP APIs: the bodies of good ones, and why others are not.
pub(crate) fn fetched(fetched: &[Fetched]) -> String {
    let line = |one: &Fetched| match one.status {
        0 => format!("{}: {}", one.url, one.error),
        _ if one.is_success() => one.body.trim_end().to_owned(),
        status => format!("{}: {status}: {}", one.url, one.body.trim_end()),
    };
    fetched.iter().map(line).collect::<Vec<_>>().join("\n")
}
