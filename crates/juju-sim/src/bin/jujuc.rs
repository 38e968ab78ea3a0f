//! The hook-tool client: every hook tool is a link to this program, which hands the call to the agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Tests start charms through it as well.
    juju_sim::launch::launcher().unwrap_or_else(juju_sim::jujuc::main)
}
