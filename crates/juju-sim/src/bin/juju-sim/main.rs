//! `juju-sim`: a local Juju on one machine. See `juju-sim --help`.

mod agent;
mod charm;
mod cli;
mod controller;
mod daemon;
mod dns;
mod doubles;
mod enter;
mod host;
mod init;
mod kubernetes;
mod log;
mod manual;
mod pod;
mod print;
mod progress;
mod verbs;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Started under a hook tool's name, this program is that tool: the small client may be missing beside it.
    let name = std::env::args().next().unwrap_or_default();
    if juju_sim::tools::TOOLS.iter().any(|(tool, _)| name.rsplit('/').next() == Some(tool)) {
        return juju_sim::jujuc::main();
    }
    cli::main()
}
