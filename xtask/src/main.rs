//! The project's chores, as `cargo xtask <chore>`: nothing to install but cargo.
//!
//! Each chore is a module with one `run` function; what they share is in [`process`] and [`progress`].

#[cfg(test)]
mod architecture;
mod bench;
mod charmcraft;
mod contract;
mod dashboards;
mod demo;
mod docs;
mod e2e;
mod fuzz;
mod integration;
mod kubernetes;
mod pack;
mod process;
mod progress;
mod python;
mod sbom;
mod sim;
#[cfg(test)]
mod terraform;
mod test;
mod tools;
mod traefik;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of this project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Make Pebble, nginx, the nginx exporter and Prometheus once per machine, into the cache folder
    Tools(tools::Options),
    /// Build a charm and pack it, reproducibly, into a .charm file; list the crates in it in a file beside it
    Pack(pack::Options),
    /// Pack the charm with charmcraft too, let it look at the result, and compare that with what `pack` makes
    Charmcraft(charmcraft::Options),
    /// Run every check: format, lints, tests, documentation tests
    Test(test::Options),
    /// Measure hooks of the packed charm, requests through the generated nginx configuration, and transition tests
    Bench(bench::Options),
    /// Check licences and sources of all dependencies with cargo-deny, installed on demand
    Deny,
    /// Let the Python libraries of other charms read what we write, and the reverse
    Contract(contract::Options),
    /// Write the pages of the reference, make the book, or run the commands that the pages show
    Docs(docs::Options),
    /// Write the dashboards as files to import into a Grafana, and draw them
    Dashboards(dashboards::Options),
    /// Run the charm's Kubernetes side, and the list that the simulated API is checked with, against a real API server
    Kubernetes(kubernetes::Options),
    /// Send spans through a real Traefik that runs the charm's routes
    Traefik(traefik::Options),
    /// Play whole models with the real Tempo and a real storage, and read every span back that was sent
    E2e(e2e::Options),
    /// Play the scenarios of tests/integration on a real cluster, or check that they hold together without one
    Integration(integration::Options),
    /// Look for bytes that break a decoder of what others send
    Fuzz(fuzz::Options),
    /// Deploy a whole tracing cluster on this machine, send spans through it, take a part away
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        Chore::Tools(options) => tools::run(&options),
        Chore::Pack(options) => pack::run(&options),
        Chore::Charmcraft(options) => charmcraft::run(&options),
        Chore::Test(options) => test::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Deny => test::deny(),
        Chore::Contract(options) => contract::run(&options),
        Chore::Docs(options) => docs::run(&options),
        Chore::Dashboards(options) => dashboards::run(&options),
        Chore::Kubernetes(options) => kubernetes::run(&options),
        Chore::Traefik(options) => traefik::run(&options),
        Chore::E2e(options) => e2e::run(&options),
        Chore::Integration(options) => integration::run(&options),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::Demo(options) => demo::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
