//! The scenarios for a real cluster, in Python because charms are tested in it: `tests/integration`.
//!
//! Libraries come from PyPI into a virtual environment of the cache folder, in exactly the versions and files that
//! `tests/integration/requirements.txt` names. Without a cluster, `--check` shows what can be shown: types, that every scenario is
//! found, and that what they are made of works, on this machine and in a model of the simulator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::process::{cache, capture, cargo, repository, show, target_directory, which};
use crate::progress::{Step, seconds};
use crate::python::{self, Interpreter, Version};
use crate::{pack, tools};

/// Options of `cargo xtask integration`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Play no scenario: check types, find all tests, and test the helpers with the simulator
    #[arg(long)]
    check: bool,
    /// Compile the charms without optimisation: sooner ready the first time
    #[arg(long)]
    debug: bool,
    /// The Python interpreter to make the environment with; without, the first on PATH that is new enough
    #[arg(long)]
    python: Option<PathBuf>,
    /// Passed on to pytest, such as `-k distributed` or `--keep-models`
    #[arg(last = true)]
    words: Vec<String>,
}

/// The oldest Python that the tests run with.
const OLDEST: Version = (3, 10);

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let begun = Instant::now();
    if !options.check && which("juju").is_none() {
        bail!(
            "the scenarios need Juju and a controller with a Kubernetes cloud (tests/integration/README.md says how to get \
             one); `--check` needs neither"
        );
    }
    let tests = Tests::install(options.python.as_deref())?;
    let target = target_directory()?;
    let folder = target.join("integration");
    let step = Step::begin("packing the charms");
    let pack = |charm: &Path, name: &str| pack::pack(charm, Some(&folder.join(name)), options.debug);
    let coordinator = pack(&repository(), "tempo-coordinator-k8s.charm")?;
    let requirer = pack(&repository().join("examples/requirer"), "tracing-requirer.charm")?;
    step.done();
    let with_charms = |mut command: Command| {
        command.env("CHARM_PATH", &coordinator.path).env("REQUIRER_CHARM_PATH", &requirer.path);
        command
    };
    if !options.check {
        let mut scenarios = with_charms(tests.pytest());
        return show(scenarios.args(["-m", "cluster"]).args(&options.words));
    }

    let tools = tools::ensure()?;
    for sentence in &tools.missing {
        println!("{sentence}");
    }
    show(cargo().args(["build", "--quiet", "--locked", "--package", "juju-sim", "--bins"]))?;
    let step = Step::begin("types");
    capture(&mut tests.types())?;
    step.done();
    let found = capture(tests.pytest().args(["--collect-only", "-q", "-m", "cluster"]))?;
    println!("{} scenarios are found", count(&found).context("pytest did not say what it found")?);
    let mut helpers = with_charms(tests.pytest());
    helpers.arg("unit").args(&options.words);
    helpers.env("JUJU_SIM", target.join("debug/juju-sim")).env("JUJU_SIM_TOOLS", &tools.folder);
    show(&mut helpers)?;
    println!("checked in {}", seconds(begun.elapsed()));
    Ok(())
}

/// The tests, and what runs them.
struct Tests {
    environment: PathBuf,
    python: PathBuf,
    folder: PathBuf,
}

impl Tests {
    fn install(python: Option<&Path>) -> Result<Self> {
        let folder = repository().join("tests/integration");
        let base = Interpreter::of(python, OLDEST)?;
        let environment = cache()?.join("integration");
        let list = folder.join("requirements.txt");
        let python = python::environment(&base, &environment, &list, "libraries of the integration tests")?;
        Ok(Self { environment, python, folder })
    }

    /// A module of Python's, run among the tests. Nothing is left in the sources.
    fn module(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-m", name]).current_dir(&self.folder).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn pytest(&self) -> Command {
        let mut command = self.module("pytest");
        command.args(["-p", "no:cacheprovider"]);
        command
    }

    fn types(&self) -> Command {
        let mut command = self.module("mypy");
        command.arg("--cache-dir").arg(self.environment.join("mypy-cache")).arg(".");
        command
    }
}

/// How many tests pytest says that it has collected: `54 tests collected in 0.23s`, or `54/99 tests collected (45 deselected)`.
fn count(text: &str) -> Option<u32> {
    let line = text.lines().rfind(|line| line.contains(" collected"))?;
    line.split(['/', ' ']).next()?.parse().ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    /// What scenarios are called: `tls` is played by `test_tls.py`.
    fn scenarios() -> BTreeSet<String> {
        let files = fs::read_dir(repository().join("tests/integration")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let found: BTreeSet<String> = names
            .filter_map(|name| Some(name.strip_prefix("test_")?.strip_suffix(".py")?.to_owned()))
            .collect();
        assert!(found.len() > 10);
        found
    }

    #[test]
    fn the_workflow_plays_every_scenario() {
        let workflow = pack::yaml(&repository().join(".github/workflows/integration.yaml")).unwrap();
        let matrix =
            workflow["jobs"]["scenarios"]["strategy"]["matrix"]["scenario"].as_array().unwrap().clone();
        let played: BTreeSet<String> = matrix.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        assert_eq!(played, scenarios());
    }

    #[test]
    fn the_readme_lists_every_scenario() {
        let readme = fs::read_to_string(repository().join("tests/integration/README.md")).unwrap();
        for scenario in scenarios() {
            assert!(readme.contains(&format!("| `test_{scenario}.py` |")), "{scenario}");
        }
    }

    #[test]
    fn the_images_are_those_that_the_charm_names() {
        let resources = pack::yaml(&repository().join("metadata.yaml")).unwrap()["resources"].take();
        let text = fs::read_to_string(repository().join("tests/integration/cluster.py")).unwrap();
        for (name, resource) in resources.as_object().unwrap() {
            let line = format!("\"{name}\": {},\n", resource["upstream-source"]);
            assert!(text.contains(&line), "cluster.py does not deploy {line}");
        }
    }

    #[test]
    fn the_number_of_tests_is_read_from_what_pytest_says() {
        assert_eq!(count("a.py::b\n\n54 tests collected in 0.23s\n"), Some(54));
        assert_eq!(count("a.py::b\n54/99 tests collected (45 deselected) in 0.3s\n"), Some(54));
        assert_eq!(count("no tests collected (99 deselected) in 0.3s\n"), None);
        assert_eq!(count("ERROR: file not found\n"), None);
    }
}
