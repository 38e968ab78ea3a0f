//! Tests of the shape of this repository: what `docs/architecture.md` says of it is so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{capture, cargo, repository};

/// Modules that are functions from data to data.
const PURE: [&str; 5] = ["src/plan", "src/deployment", "src/tempo.rs", "src/snapshot.rs", "src/work.rs"];

/// What such a module has no use for.
const IMPURE: [&str; 11] = [
    "std::env",
    "std::fs",
    "std::process",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os",
    "std::time",
    "tokio::",
    "reqwest",
    "println!",
    "rand::",
];

/// For each crate of ours, those of ours that it may use outside its tests.
const DIRECTION: &[(&str, &[&str])] = &[
    ("juju-pebble", &[]),
    ("juju-ops", &["juju-pebble"]),
    ("juju-rules", &[]),
    ("juju-relations", &["juju-ops", "juju-rules"]),
    ("juju-sim", &["juju-ops", "juju-pebble", "juju-relations"]),
    // Rules are prepared when the charm is built.
    ("tempo-coordinator-k8s", &["juju-ops", "juju-pebble", "juju-relations", "juju-rules"]),
    ("file-share", &["juju-ops", "juju-pebble"]),
    ("tracing-requirer", &["juju-ops", "juju-relations"]),
    // It looks at all of them, and nothing looks at it.
    ("fuzz", &["juju-ops", "juju-pebble", "juju-relations", "juju-rules", "tempo-coordinator-k8s"]),
];

/// All Rust files below a path, or the path itself.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let wanted =
        |path: &PathBuf| path.is_dir() || path.extension().is_some_and(|extension| extension == "rs");
    entries.filter(wanted).flat_map(|path| sources(&path)).collect()
}

#[test]
fn pure_modules_do_no_input_or_output() {
    let files: Vec<PathBuf> = PURE.iter().flat_map(|path| sources(&repository().join(path))).collect();
    assert!(files.len() > PURE.len(), "the pure modules are where they are said to be");
    // Tests may do what they like; they are at the end of a file, or a file of their own.
    for file in files.into_iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        for (number, line) in lines {
            let found = IMPURE.iter().find(|word| line.contains(**word));
            assert_eq!(found, None, "{}:{}: {line}", file.display(), number + 1);
        }
    }
}

#[test]
fn crates_depend_in_one_direction() {
    let text =
        capture(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--offline"])).unwrap();
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let dependencies = package["dependencies"].as_array().unwrap();
        let ours = dependencies.iter().filter(|other| other["path"].is_string() && other["kind"] != "dev");
        let names = ours.filter_map(|other| other["name"].as_str()).collect();
        graph.insert(package["name"].as_str().unwrap(), names);
    }
    for (name, allowed) in DIRECTION {
        let uses = graph.remove(name).unwrap_or_else(|| panic!("no crate {name}"));
        let more: Vec<_> = uses.iter().filter(|other| !allowed.contains(other)).collect();
        assert!(more.is_empty(), "{name} uses {more:?}");
    }
    assert_eq!(graph.into_keys().collect::<Vec<_>>(), ["xtask"], "every crate has its place in the list");
}

/// Names of tests in the last column of a document's tables that no code has.
fn unknown_tests(tables: &str) -> (usize, Vec<&str>) {
    let code: String = ["src", "tests", "crates", "examples", "fuzz", "xtask"]
        .iter()
        .flat_map(|path| sources(&repository().join(path)))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let rows = tables.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let named: Vec<&str> = rows
        .filter_map(|row| row.rsplit('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|name| !name.contains(' '))
        .collect();
    // A corpus is replayed by tests that a macro makes of their names.
    let has = |name: &str| code.contains(&format!("fn {name}(")) || code.contains(&format!("    {name}: \""));
    let unknown = named.iter().copied().filter(|name| !has(name)).collect();
    (named.len(), unknown)
}

#[test]
fn tests_that_the_architecture_names_exist() {
    let text = fs::read_to_string(repository().join("docs/architecture.md")).unwrap();
    let table = text.split("## Invariants").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let (count, unknown) = unknown_tests(table);
    assert_eq!(unknown, [""; 0]);
    assert!(count > 10, "only {count} tests are named");
}

#[test]
fn every_asset_names_tests_that_exist() {
    let text = fs::read_to_string(repository().join("docs/security.md")).unwrap();
    let table = text.split("## Assets").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let (count, unknown) = unknown_tests(table);
    assert_eq!(unknown, [""; 0]);
    assert!(count > 20, "only {count} tests are named");
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| asset |")) {
        assert!(row.trim_end_matches('|').rsplit('|').next().is_some_and(|cell| cell.contains('`')), "{row}");
    }
    // And those of the text.
    let lines = text.lines().fold(String::new(), |lines, line| lines + "| " + line + " |\n");
    let tests = unknown_tests(&lines).1.into_iter().filter(|name| name.matches('_').count() > 3);
    assert_eq!(tests.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_row_of_the_parity_names_tests_that_exist() {
    /// What other work is to bring.
    const LATER: [&str; 5] =
        ["`logging`", "`metrics-endpoint`", "dashboards", "workload version", "log targets"];
    let text = fs::read_to_string(repository().join("docs/parity.md")).unwrap();
    let (count, unknown) = unknown_tests(&text);
    assert_eq!(unknown, [""; 0]);
    assert!(count > 100, "only {count} tests are named");
    let tables = text.split("## What a refresh changes").collect::<Vec<_>>();
    let [before, after] = tables[..] else { panic!("the section is there once") };
    let after = after.split_once("\n## ").expect("defects come last").1;
    for row in before.lines().chain(after.lines()).filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (first, last) = (cells[0], cells[cells.len() - 1]);
        let is_heading = last.is_empty() || last == "shown by";
        let is_later = last.contains("later") && LATER.iter().any(|topic| row.contains(topic));
        assert!(is_heading || is_later || last.contains('`'), "{first}: nothing shows it");
    }
}
