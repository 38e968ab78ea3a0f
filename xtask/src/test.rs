//! Every check of the project, in the order in which they are cheap.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::{cache, cargo, is_executable, repository, show, which};
use crate::progress::{Step, seconds};
use crate::tools;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the tests: no format, no lints, no dependency check
    #[arg(long)]
    only_tests: bool,
    /// Only the transition tests, with every hook tool a process
    #[arg(long, conflicts_with = "only_tests")]
    processes: bool,
    /// Passed on to `cargo test`, such as `--package juju-pebble` or a test's name
    #[arg(last = true)]
    words: Vec<String>,
}

/// Name and version of the program that checks dependencies.
const DENY: (&str, &str) = ("cargo-deny", "0.20.2");

/// Runs the chore: all checks, also after one has failed, and a summary.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tools = tools::ensure()?;
    for sentence in &tools.missing {
        println!("{sentence}");
    }
    let mut checks = Checks::default();
    if options.processes {
        checks
            .run("hook-tool client", cargo().args(["build", "--locked", "-p", "juju-sim", "--bin", "jujuc"]));
        transitions(&mut checks, "transitions with processes", "process");
        return checks.report();
    }
    if !options.only_tests {
        checks.run("format", cargo().args(["fmt", "--all", "--", "--check"]));
        let lints = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        checks.run("lints", cargo().args(lints));
        // Targets that run on demand only are left out of "all".
        let on_demand = [
            "clippy",
            "--locked",
            "--workspace",
            "--test",
            "contract_python",
            "--test",
            "kubernetes",
            "--test",
            "traefik",
            "--",
            "-D",
            "warnings",
        ];
        checks.run("lints of tests on demand", cargo().args(on_demand));
        let pages = ["doc", "--workspace", "--no-deps", "--locked", "--quiet"];
        checks.run("documentation", cargo().args(pages).env("RUSTDOCFLAGS", "-D warnings"));
        match installed_deny() {
            Some(program) => checks.run("dependencies", &mut deny_command(&program, OFFLINE)),
            None => checks.skip("dependencies", "cargo-deny is not installed; `cargo xtask deny` brings it"),
        }
    }
    // Last, so that its own summary is near the end of the output. Documentation tests are part of it.
    let mut test = cargo();
    test.args(["test", "--workspace", "--locked", "--no-fail-fast"]).args(&options.words);
    checks.run("tests", test.env("JUJU_SIM_TOOLS", &tools.folder));
    if options.words.is_empty() {
        transitions(&mut checks, "transitions over the socket", "socket");
    }
    checks.report()
}

/// The transition tests once more, with another way from the charm to the agent.
fn transitions(checks: &mut Checks, name: &'static str, backend: &str) {
    let mut test = cargo();
    // Of the workspace and not of the package: crates have the same features then, and are not compiled anew.
    test.args(["test", "--locked", "--quiet", "--workspace", "--test", "transitions"]);
    checks.run(name, test.env("JUJU_SIM_BACKEND", backend));
}

/// What ran, how it ended and how long it took.
#[derive(Default)]
struct Checks(Vec<(&'static str, Outcome, Duration)>);

enum Outcome {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

impl Checks {
    fn run(&mut self, name: &'static str, command: &mut Command) {
        println!("--- {name}");
        let since = Instant::now();
        let outcome = match show(command) {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        self.0.push((name, outcome, since.elapsed()));
    }

    fn skip(&mut self, name: &'static str, why: &'static str) {
        self.0.push((name, Outcome::Skipped(why), Duration::ZERO));
    }

    fn report(self) -> Result<()> {
        println!("--- summary");
        let mut failed = Vec::new();
        for (name, outcome, time) in &self.0 {
            let time = seconds(*time);
            match outcome {
                Outcome::Passed => println!("{name:<14} passed in {time}"),
                Outcome::Failed(why) => {
                    println!("{name:<14} FAILED after {time}: {why}");
                    failed.push(*name);
                }
                Outcome::Skipped(why) => println!("{name:<14} not run: {why}"),
            }
        }
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }
}

/// The checks of cargo-deny that need nothing but the lock file and the fetched crates.
const OFFLINE: &[&str] = &["bans", "licenses", "sources"];

/// Checks all dependencies, after bringing the program that does it.
pub(crate) fn deny() -> Result<()> {
    let program = match installed_deny() {
        Some(program) => program,
        None => install_deny()?,
    };
    show(&mut deny_command(&program, OFFLINE))?;
    // The list of known vulnerabilities lives on a host that not every machine reaches.
    let step = Step::begin("asking for the advisory database");
    if deny_fetch(&program) {
        step.done();
        show(&mut deny_command(&program, &["advisories"]))
    } else {
        drop(step);
        println!("advisories were not checked: their database cannot be reached from here");
        Ok(())
    }
}

fn deny_command(program: &PathBuf, checks: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(repository())
        .args(["--workspace", "--locked", "check", "--hide-inclusion-graph"])
        .args(checks);
    command
}

fn deny_fetch(program: &PathBuf) -> bool {
    let mut command = Command::new(program);
    command.current_dir(repository()).args(["fetch", "db"]);
    // A host that swallows packets would otherwise hold everything up.
    command.env("CARGO_HTTP_TIMEOUT", "20");
    command.output().is_ok_and(|output| output.status.success())
}

fn deny_folder() -> Result<PathBuf> {
    Ok(cache()?.join(format!("{}-{}", DENY.0, DENY.1)))
}

fn installed_deny() -> Option<PathBuf> {
    let cached = deny_folder().ok()?.join("bin").join(DENY.0);
    which(DENY.0).or_else(|| is_executable(&cached).then_some(cached))
}

fn install_deny() -> Result<PathBuf> {
    let folder = deny_folder()?;
    let step = Step::begin(format!("installing {} {}", DENY.0, DENY.1));
    // It runs for seconds and would compile for minutes more with optimisation.
    let mut install = cargo();
    install
        .args(["install", DENY.0, "--version", DENY.1, "--locked", "--debug", "--quiet", "--root"])
        .arg(&folder);
    show(&mut install)?;
    step.done();
    Ok(folder.join("bin").join(DENY.0))
}
