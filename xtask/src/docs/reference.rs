//! Pages of the reference, made of metadata, alert rules, dashboards and command lines.
//!
//! Those that need the charm's own code (statuses, metrics, ports) are made by a test of the charm, which this starts.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::CommandFactory;
use serde_json::{Map, Value};

use crate::process::{capture, cargo, last_lines, repository, show};

/// The first line of each page.
const MARK: &str = "<!-- Made by `cargo xtask docs`. Changes by hand get lost. -->\n\n";

/// The folder of the pages.
pub(super) const FOLDER: &str = "docs/reference";

/// All pages that need no program: name and text.
pub(super) fn pages() -> Result<Vec<(&'static str, String)>> {
    let metadata = yaml("metadata.yaml")?;
    let charmcraft = yaml("charmcraft.yaml")?;
    Ok(vec![
        ("options.md", options(&charmcraft)),
        ("relations.md", relations(&metadata)),
        ("actions.md", actions(&charmcraft)),
        ("containers.md", containers(&metadata, &charmcraft)),
        ("alerts.md", alerts()?),
        ("dashboards.md", dashboards()?),
        ("chores.md", chores(&mut crate::Cli::command())),
    ])
}

/// Writes all pages.
pub(super) fn write(simulator: &Path) -> Result<()> {
    let folder = repository().join(FOLDER);
    fs::create_dir_all(&folder)?;
    let mut pages = pages()?;
    pages.push(("simulator.md", simulator_page(simulator)?));
    for (name, text) in pages {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    // Of the workspace and not of the package: crates have the same features then as in all other tests.
    let mut test = cargo();
    test.args(["test", "--quiet", "--locked", "--workspace", "--lib", "--", "reference::"]);
    let output = test.env("UPDATE_REFERENCE", "1").output().context("starting cargo")?;
    if !output.status.success() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("the charm's part of the reference: {}", last_lines(&format!("{out}\n{err}"), 30));
    }
    Ok(())
}

/// Builds the simulator and says nothing of it.
pub(super) fn build_simulator() -> Result<()> {
    show(cargo().args(["build", "--quiet", "--locked", "--package", "juju-sim", "--bins"]))
}

fn yaml(name: &str) -> Result<Value> {
    read_yaml(&repository().join(name))
}

fn read_yaml(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_yaml::from_str(&text).with_context(|| path.display().to_string())
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text on one line, as a cell of a table has to be.
fn line(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn page(title: &str, about: &str) -> String {
    format!("{MARK}# {title}\n\n{about}\n")
}

fn options(charmcraft: &Value) -> String {
    let mut text = page(
        "Options",
        "Of `charmcraft.yaml`. `juju config tempo OPTION=VALUE` sets one. A value that cannot be used blocks the charm with the \
         option's name; what was in use before stays in use.",
    );
    for (name, option) in entries(&charmcraft["config"]["options"]) {
        let default = match &option["default"] {
            Value::Null => "unset".to_owned(),
            value => format!("`{value}`"),
        };
        let _ = write!(
            text,
            "\n## `{name}`\n\nType {}, default {default}.\n\n{}\n",
            line(&option["type"]),
            option["description"].as_str().unwrap_or_default().trim_end()
        );
    }
    text
}

fn relations(metadata: &Value) -> String {
    let mut text = page(
        "Relations",
        "Of `metadata.yaml`. *Limit* is how many relations an endpoint may have; what is not optional is needed before the cluster \
         can work. [Parity](../parity.md#relations) says what goes over each of them, and which test shows it.",
    );
    for (kind, title) in
        [("requires", "Required from others"), ("provides", "Provided to others"), ("peers", "Between units")]
    {
        let _ = write!(
            text,
            "\n## {title}\n\n| endpoint | interface | limit | optional | what for |\n|---|---|---|---|---|\n"
        );
        for (name, endpoint) in entries(&metadata[kind]) {
            let limit = if endpoint["limit"].is_null() { "–".to_owned() } else { line(&endpoint["limit"]) };
            let optional = match endpoint["optional"].as_bool() {
                _ if kind == "peers" => "–",
                Some(false) => "**no**",
                _ => "yes",
            };
            let _ = writeln!(
                text,
                "| `{name}` | `{}` | {limit} | {optional} | {} |",
                line(&endpoint["interface"]),
                line(&endpoint["description"])
            );
        }
    }
    text
}

fn actions(charmcraft: &Value) -> String {
    let mut text = page(
        "Actions",
        "Of `charmcraft.yaml`. `juju run tempo/leader ACTION` runs one. No action changes anything.",
    );
    for (name, action) in entries(&charmcraft["actions"]) {
        let _ = write!(
            text,
            "\n## `{name}`\n\n{}\n",
            action["description"].as_str().unwrap_or_default().trim_end()
        );
        let mut params = entries(&action["params"]).peekable();
        if params.peek().is_none() {
            text.push_str("\nIt takes no parameters.\n");
            continue;
        }
        text.push_str("\n| parameter | type | default | what for |\n|---|---|---|---|\n");
        for (name, param) in params {
            let _ = writeln!(
                text,
                "| `{name}` | {} | {} | {} |",
                line(&param["type"]),
                line(&param["default"]),
                line(&param["description"])
            );
        }
    }
    text
}

fn containers(metadata: &Value, charmcraft: &Value) -> String {
    let mut text = page(
        "Containers and resources",
        "Of `metadata.yaml` and `charmcraft.yaml`. A charm that is deployed from a file needs an image for each resource; \
         `--resource NAME=IMAGE` gives it.",
    );
    text.push_str("\n## Containers\n\n| container | resource |\n|---|---|\n");
    for (name, container) in entries(&metadata["containers"]) {
        let _ = writeln!(text, "| `{name}` | `{}` |", line(&container["resource"]));
    }
    text.push_str("\n## Resources\n\n| resource | type | image | what for |\n|---|---|---|---|\n");
    for (name, resource) in entries(&metadata["resources"]) {
        let _ = writeln!(
            text,
            "| `{name}` | {} | `{}` | {} |",
            line(&resource["type"]),
            line(&resource["upstream-source"]),
            line(&resource["description"])
        );
    }
    text.push_str("\n## Where it runs\n\n| | |\n|---|---|\n");
    let list = |values: Vec<String>| values.join(", ");
    let assumes = list(items(&metadata["assumes"]).map(|item| format!("`{}`", line(item))).collect());
    let platforms = list(entries(&charmcraft["platforms"]).map(|(name, _)| format!("`{name}`")).collect());
    let _ = write!(text, "| assumes | {assumes} |\n| platforms | {platforms} |\n");
    text
}

fn alerts() -> Result<String> {
    let mut text = page(
        "Alerts",
        "The rules under `src/assets/alert_rules/`. Each is sent with the labels of the application that it is about, and every selector \
         in it is about that application alone. `common.yaml` is sent for the coordinator and for each application of workers. Each alert of \
         Prometheus is fired by a test, and not fired by another one.",
    );
    for (folder, title) in [("prometheus", "For Prometheus"), ("loki", "For Loki")] {
        let _ = write!(text, "\n## {title}\n");
        let folder = repository().join("src/assets/alert_rules").join(folder);
        let mut files: Vec<_> =
            fs::read_dir(&folder)?.map(|entry| anyhow::Ok(entry?.path())).collect::<Result<_>>()?;
        files.sort();
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            for group in items(&read_yaml(&path)?["groups"]) {
                let _ = write!(text, "\n### {} (`{name}`)\n", line(&group["name"]));
                for rule in items(&group["rules"]) {
                    let annotations = &rule["annotations"];
                    let after = if rule["for"].is_null() { "at once".to_owned() } else { line(&rule["for"]) };
                    let expression = rule["expr"].as_str().unwrap_or_default().trim_end();
                    let _ = write!(
                        text,
                        "\n#### {}\n\n{} – severity {}, fires after: {after}.\n\n{}\n\n```text\n{expression}\n```\n",
                        line(&rule["alert"]),
                        line(&annotations["summary"]).replace("\\|", "|"),
                        line(&rule["labels"]["severity"]),
                        line(&annotations["description"]).replace("\\|", "|"),
                    );
                }
            }
        }
    }
    Ok(text)
}

fn dashboards() -> Result<String> {
    let mut text = page(
        "Dashboards",
        "The descriptions under `src/assets/dashboards/`. They are sent over `grafana-dashboard`; `cargo xtask dashboards` writes them as \
         files to import. Each page shows the panels as they were drawn from a real cluster under load.",
    );
    text.push_str("\n| dashboard | uid | what it is good for |\n|---|---|---|\n");
    let folder = repository().join("src/assets/dashboards");
    let mut files: Vec<_> =
        fs::read_dir(folder)?.map(|entry| anyhow::Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    for path in files {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let dashboard = read_yaml(&path)?;
        let _ = writeln!(
            text,
            "| [{}](../dashboards/{stem}.md) | `{}` | {} |",
            line(&dashboard["title"]),
            line(&dashboard["uid"]),
            line(&dashboard["description"])
        );
    }
    Ok(text)
}

fn chores(program: &mut clap::Command) -> String {
    let mut text = page(
        "Chores",
        "What `cargo xtask --help`, and `--help` of each chore, say. Everything that a chore needs beside cargo is made on demand.",
    );
    program.build();
    let _ = write!(text, "\n```text\n{}\n```\n", trimmed(&program.render_long_help().to_string()));
    for chore in program.get_subcommands_mut().filter(|chore| chore.get_name() != "help") {
        let name = chore.get_name().to_owned();
        let help = trimmed(&chore.render_long_help().to_string());
        let _ = write!(text, "\n## `{name}`\n\n```text\n{help}\n```\n");
    }
    text
}

/// Without blanks at the ends of lines.
fn trimmed(text: &str) -> String {
    text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn simulator_page(simulator: &Path) -> Result<String> {
    // Neither the width of a terminal nor what is set in it shows in the pages.
    let help = |words: &[&str]| {
        let mut command = Command::new(simulator);
        command.args(words).arg("--help").env_remove("JUJU_SIM_MODEL").env_remove("JUJU_SIM_TOOLS");
        capture(command.env("COLUMNS", "120")).map(|text| trimmed(&text))
    };
    let all = help(&[])?;
    let mut text = page(
        "juju-sim",
        "What `juju-sim --help`, and `--help` of each verb, say. Verbs that Juju has, too, are named as they are there. \
         [Its own page](../../crates/juju-sim/README.md) says what is real in a model and what is played.",
    );
    let _ = write!(text, "\n```text\n{all}\n```\n");
    // Under one heading or another, between how the program is called and what its options are.
    let listed = all.split("Options:\n").next().unwrap_or_default();
    let verbs = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let verbs: Vec<&str> = verbs.filter(|verb| *verb != "help").collect();
    if verbs.len() < 10 {
        bail!("juju-sim lists {} verbs", verbs.len());
    }
    for verb in verbs {
        let _ = write!(text, "\n## `{verb}`\n\n```text\n{}\n```\n", help(&[verb])?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_what_metadata_rules_and_command_lines_say() {
        for (name, text) in pages().unwrap() {
            let path = repository().join(FOLDER).join(name);
            let there = fs::read_to_string(&path).unwrap_or_default();
            assert!(there == text, "{FOLDER}/{name} is out of date: run `cargo xtask docs`");
        }
    }

    #[test]
    fn every_option_relation_and_alert_is_there() {
        let pages: std::collections::BTreeMap<_, _> = pages().unwrap().into_iter().collect();
        for (page, words) in [
            ("options.md", &["## `retention-period`", "Type int, default `720`.", "default unset"][..]),
            ("relations.md", &["| `s3` | `s3` | 1 | **no** |", "| `peers` | `tempo_peers` | – | – |"]),
            ("actions.md", &["## `plan`", "no parameters"]),
            ("containers.md", &["| `nginx` | `nginx-image` |", "`juju >= 3.6.0`"]),
            ("alerts.md", &["#### HostDown", "severity critical, fires after: 5m", "#### HighLogVolume"]),
            ("dashboards.md", &["[Tempo Overview](../dashboards/tempo.md)"]),
            ("chores.md", &["## `docs`", "## `pack`", "--twice"]),
        ] {
            for word in words {
                assert!(pages[page].contains(word), "{page} has no {word:?}");
            }
        }
    }
}
