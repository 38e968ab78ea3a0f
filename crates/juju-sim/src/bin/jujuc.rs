//! The hook-tool client: every hook tool is a link to this program, which hands the call to the agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    juju_sim::jujuc::main()
}
