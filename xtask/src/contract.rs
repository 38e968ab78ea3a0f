//! The tests that let the other side's own libraries, which are in Python, read what we write and the reverse.
//!
//! The libraries live in a virtual environment in the target folder, in exactly the versions and files that
//! `tests/contract_python/requirements.txt` names.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::process::{cargo, repository, show, target_directory};
use crate::python::{self, Interpreter, Version};
use crate::tools;

/// Options of `cargo xtask contract`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Make the virtual environment, and run nothing
    #[arg(long)]
    only_install: bool,
    /// The Python interpreter to make it with; without, the first on PATH that is new enough
    #[arg(long)]
    python: Option<PathBuf>,
    /// Passed on to the tests, such as a test's name
    #[arg(last = true)]
    words: Vec<String>,
}

/// The oldest Python that the libraries run with.
const OLDEST: Version = (3, 10);

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let python = install(options)?;
    if options.only_install {
        println!("{}", python.display());
        return Ok(());
    }
    // Some of the libraries run in charms, in whole models.
    let tools = tools::ensure()?;
    if !tools.missing.is_empty() {
        bail!("{}", tools.missing.join(" "));
    }
    let mut tests = cargo();
    tests
        .args(["test", "--locked", "--workspace", "--test", "contract_python", "--"])
        .args(&options.words)
        .env("CONTRACT_PYTHON", python)
        .env("JUJU_SIM_TOOLS", &tools.folder);
    show(&mut tests)
}

/// The interpreter of an environment that has the libraries.
fn install(options: &Options) -> Result<PathBuf> {
    let base = Interpreter::of(options.python.as_deref(), OLDEST)?;
    let list = repository().join("tests/contract_python/requirements.txt");
    let folder = target_directory()?.join("contract-python");
    python::environment(&base, &folder, &list, "the Python libraries")
}
