//! The page of the documentation that says what the simulator's program says of itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::model::simulator;

/// What the program says of itself or of a verb, as the page has it.
fn help(words: &[&str]) -> String {
    let mut command = Command::new(simulator());
    command.args(words).arg("--help").env_remove("JUJU_SIM_MODEL").env_remove("JUJU_SIM_TOOLS");
    let output = command.output().expect("the simulator can be started");
    assert!(output.status.success(), "{words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_verb_of_the_simulator_is_in_the_reference() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/simulator.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let all = help(&[]);
    let listed = all.split("Options:\n").next().unwrap_or_default();
    let verbs = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let verbs: Vec<&str> = verbs.filter(|verb| *verb != "help").collect();
    assert!(verbs.len() > 10, "{all}");
    let mut texts = vec![format!("```text\n{all}\n```\n")];
    texts.extend(verbs.iter().map(|verb| format!("\n## `{verb}`\n\n```text\n{}\n```\n", help(&[verb]))));
    for text in &texts {
        assert!(
            page.contains(text),
            "docs/reference/simulator.md is out of date: run `cargo xtask docs`\n{text}"
        );
    }
    assert_eq!(page.matches("```text\n").count(), texts.len(), "and it has nothing else");
}
