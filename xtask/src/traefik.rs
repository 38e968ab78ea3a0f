//! The tests in which spans pass a real Traefik on their way into the model.

use anyhow::{Result, bail};

use crate::process::{cargo, show};
use crate::tools;

/// Options of `cargo xtask traefik`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Make the program, and run nothing
    #[arg(long)]
    only_tools: bool,
    /// Passed on to the tests, such as a test's name
    #[arg(last = true)]
    words: Vec<String>,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let program = tools::one("traefik")?;
    if options.only_tools {
        println!("{}", program.display());
        return Ok(());
    }
    // Pebble and nginx run behind it, in pods.
    let tools = tools::ensure()?;
    if !tools.missing.is_empty() {
        bail!("{}", tools.missing.join(" "));
    }
    let words = ["test", "--locked", "--package", "tempo-coordinator-k8s", "--test", "traefik", "--"];
    show(cargo().args(words).args(&options.words).env("JUJU_SIM_TOOLS", &tools.folder))
}
