//! The whole of it on one machine.

use anyhow::{Result, bail};

use crate::tools;

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fail where pods or real programs are not to be had, instead of showing the databags only
    #[arg(long)]
    full: bool,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tools = tools::ensure()?;
    if options.full && !tools.missing.is_empty() {
        bail!("{}", tools.missing.join("\n"));
    }
    bail!("the simulator cannot deploy a model yet")
}
