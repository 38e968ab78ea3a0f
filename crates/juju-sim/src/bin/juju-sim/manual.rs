//! What the program says of itself: its help, its completions and its pages of the manual.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::{Man, generate_to};

use crate::cli;

/// Verbs under headings, in the order in which the help has them.
const GROUPS: [(&str, &[&str]); 3] = [
    (
        "Verbs of the simulator's own",
        &[
            "init",
            "up",
            "down",
            "wait",
            "dispatch",
            "logs",
            "objects",
            "send-spans",
            "fetch",
            "counts",
            "doctor",
            "completions",
            "man",
            "help",
        ],
    ),
    (
        "Verbs of Juju",
        &[
            "status",
            "show-unit",
            "config",
            "integrate",
            "remove-relation",
            "add-unit",
            "remove-unit",
            "remove-application",
            "run",
            "exec",
            "debug-log",
            "resolved",
            "refresh",
            "trust",
            "models",
        ],
    ),
    (
        "Faults",
        &[
            "fail-hook-tool",
            "fail-hook-tools",
            "kill-container",
            "kill-pod",
            "kill-leader",
            "freeze-pebble",
            "fail-kubernetes",
            "partition",
        ],
    ),
];

/// Where to start.
pub(crate) const EXAMPLES: &str = "\
Where to start, in the folder of a charm:
  juju-sim doctor                       what this machine can do
  juju-sim init                         a model file for the charm, with the other side of its relations
  juju-sim up model.yaml                the model runs, in the background
  juju-sim wait --active                until no hook runs or is due, and all is active
  juju-sim status                       as in Juju
  juju-sim debug-log --follow           what hooks say
  juju-sim down                         all of it is gone

More:
  juju-sim init orders.charm ../shop    several charms, related with each other
  juju-sim config shop limit=3          an option; hooks follow
  juju-sim kill-leader shop             another unit leads
  juju-sim status --format json         for scripts; every verb has it
  juju-sim VERB --help                  all options of a verb";

/// Examples of verbs, for the ends of their help.
const OF_VERBS: [(&str, &str); 9] = [
    ("init", "juju-sim init\njuju-sim init ./shop.charm ../orders --output shop.yaml --model shop"),
    (
        "up",
        "juju-sim up model.yaml\njuju-sim up model.yaml --model second\njuju-sim up model.yaml --foreground",
    ),
    ("wait", "juju-sim wait\njuju-sim wait --active --timeout 60\njuju-sim wait shop orders"),
    (
        "config",
        "juju-sim config shop\njuju-sim config shop limit=3 banner=@banner.txt\njuju-sim config shop --reset limit",
    ),
    ("integrate", "juju-sim integrate shop orders\njuju-sim integrate shop:database orders:database"),
    ("run", "juju-sim run shop/leader show-password\njuju-sim run shop/0 backup target=nightly"),
    ("exec", "juju-sim exec shop/0 -- env\njuju-sim exec shop/0 --container nginx -- nginx -T"),
    ("dispatch", "juju-sim dispatch shop/0 update-status\njuju-sim dispatch shop/0 secret-rotate:LABEL"),
    (
        "completions",
        "source <(juju-sim completions bash)\njuju-sim completions fish > ~/.config/fish/completions/juju-sim.fish",
    ),
];

/// The same command line with verbs under headings and examples at the ends.
pub(crate) fn arrange(command: Command) -> Command {
    let mut list = String::new();
    let head = *command.get_styles().get_header();
    let literal = *command.get_styles().get_literal();
    let width = GROUPS.iter().flat_map(|(_, verbs)| *verbs).map(|verb| verb.len()).max().unwrap_or_default();
    for (heading, verbs) in GROUPS {
        let _ = writeln!(list, "{head}{heading}:{head:#}");
        for verb in verbs {
            let about = match command.find_subcommand(verb).and_then(Command::get_about) {
                // Under that heading it need not be said again.
                Some(about) => without_fault(&about.to_string()),
                None => "Print this message, or the help of a verb".to_owned(),
            };
            let blanks = " ".repeat(width - verb.len());
            let _ = writeln!(list, "  {literal}{verb}{literal:#}{blanks}  {about}");
        }
        list.push('\n');
    }
    let template = format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{head}Options:{head:#}\n{{options}}{{after-help}}"
    );
    OF_VERBS.iter().fold(command.help_template(template), |command, (verb, examples)| {
        let lines: Vec<_> = examples.lines().map(|line| format!("  {line}")).collect();
        command.mut_subcommand(verb, |verb| verb.after_help(format!("Examples:\n{}", lines.join("\n"))))
    })
}

fn without_fault(about: &str) -> String {
    let Some(rest) = about.strip_prefix("Fault: ") else { return about.to_owned() };
    let mut letters = rest.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

/// Prints a shell's completions.
pub(crate) fn completions(shell: Shell) -> Result<ExitCode> {
    let mut text = Vec::new();
    generate(shell, &mut cli::command(), "juju-sim", &mut text);
    print(&text)
}

/// Prints the program's page, or writes all pages into a folder.
pub(crate) fn pages(folder: Option<&Path>) -> Result<ExitCode> {
    let Some(folder) = folder else {
        let mut text = Vec::new();
        Man::new(cli::command().disable_help_subcommand(true)).render(&mut text)?;
        return print(&text);
    };
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    generate_to(cli::command(), folder).with_context(|| format!("writing pages to {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// A reader that closed its end wants no more; that is no error.
fn print(text: &[u8]) -> Result<ExitCode> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    /// All verbs, as they are declared.
    fn verbs() -> Vec<String> {
        let command = cli::command();
        let verbs: Vec<_> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        assert!(verbs.len() > 30, "{verbs:?}");
        verbs
    }

    #[test]
    fn the_command_line_is_sound() {
        cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_one_place_in_the_help() {
        let mut grouped: Vec<_> =
            GROUPS.iter().flat_map(|(_, verbs)| *verbs).map(ToString::to_string).collect();
        grouped.sort_unstable();
        let mut declared = verbs();
        declared.push("help".to_owned());
        declared.sort_unstable();
        assert_eq!(grouped, declared);
        let help = cli::command().render_help().to_string();
        for line in declared.iter().map(|verb| format!("\n  {verb} ")) {
            assert_eq!(help.matches(&line).count(), 1, "{line}\n{help}");
        }
        assert!(help.contains("Where to start"), "{help}");
    }

    #[test]
    fn examples_are_command_lines() {
        for (_, text) in OF_VERBS {
            for line in text.lines().filter(|line| line.starts_with("juju-sim ")) {
                let words = line.split(" > ").next().unwrap_or_default().split(' ');
                cli::command().try_get_matches_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
        for line in EXAMPLES.lines().filter_map(|line| line.trim().split("   ").next()) {
            if line.starts_with("juju-sim ") && !line.contains("VERB") {
                cli::command()
                    .try_get_matches_from(line.split(' '))
                    .unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }

    #[test]
    fn completions_of_all_shells_know_every_verb() {
        for shell in Shell::value_variants() {
            let mut text = Vec::new();
            generate(*shell, &mut cli::command(), "juju-sim", &mut text);
            let text = String::from_utf8(text).unwrap();
            for verb in verbs() {
                assert!(text.contains(&verb), "{shell}: {verb}");
            }
        }
    }

    #[test]
    fn the_manual_has_a_page_for_every_verb() {
        let folder = tempfile::TempDir::new().unwrap();
        pages(Some(folder.path())).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        // Hyphens are written so that they stay hyphens.
        let whole = read("juju-sim.1").replace('\\', "");
        for verb in verbs() {
            assert!(whole.contains(&format!("juju-sim-{verb}(1)")), "{verb}");
            let page = read(&format!("juju-sim-{verb}.1")).replace('\\', "");
            assert!(page.contains(&format!(".TH juju-sim-{verb} 1")) && page.contains("--model"), "{page}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), verbs().len() + 1);
    }
}
