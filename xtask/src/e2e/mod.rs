//! The whole stack on one machine: the packed charm, real Tempo, real storage, spans in five protocols; and every span
//! that was sent read back from Tempo by the identifier of its trace.
//!
//! Each scenario has a model of its own. It is always taken down again, also on failure and on Ctrl-C.

mod metrics;
mod report;
mod scenarios;
mod stage;
mod traces;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;
use clap::builder::PossibleValuesParser;

use crate::process::{cargo, repository, show, target_directory};
use crate::progress::{Step, seconds};
use crate::sim::Sim;
use crate::{pack, tools};
use report::Report;
use scenarios::{SCENARIOS, Scenario};
use stage::Stage;

/// Options of `cargo xtask e2e`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Scenarios to play [default: all]
    #[arg(value_name = "SCENARIO", value_parser = names())]
    scenarios: Vec<String>,
    /// Name the scenarios, and play none
    #[arg(long)]
    list: bool,
    /// Keep the logs of all models, not only of those in which something went wrong
    #[arg(long)]
    keep: bool,
    /// Compile the charms without optimisation: sooner ready the first time
    #[arg(long)]
    debug: bool,
    /// How to print the results
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How results are printed.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One table.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

fn names() -> PossibleValuesParser {
    SCENARIOS.map(|scenario| scenario.name).into()
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        for Scenario { name, about, .. } in &SCENARIOS {
            println!("{name:<18} {about}");
        }
        return Ok(());
    }
    let wanted = |name: &str| options.scenarios.is_empty() || options.scenarios.iter().any(|one| one == name);
    let chosen: Vec<&Scenario> = SCENARIOS.iter().filter(|scenario| wanted(scenario.name)).collect();
    let begun = Instant::now();
    let ensured = tools::ensure()?;
    let needed: BTreeSet<&str> = chosen.iter().flat_map(|scenario| scenario.tools.iter().copied()).collect();
    for name in needed.into_iter().chain(["tempo", "versitygw"]) {
        tools::one(name)?;
    }
    let target = target_directory()?;
    let folder = target.join("e2e");
    fs::create_dir_all(&folder)?;
    show(cargo().args(["build", "--quiet", "--locked", "--package", "juju-sim", "--bins"]))?;
    let step = Step::begin("packing the charms");
    let pack = |charm: &Path, name: &str| pack::pack(charm, Some(&folder.join(name)), options.debug);
    pack(&repository(), "tempo-coordinator-k8s.charm")?;
    pack(&repository().join("examples/requirer"), "tracing-requirer.charm")?;
    step.done();

    let ready = Instant::now();
    let mut reports = Vec::new();
    for scenario in chosen {
        let sim =
            Sim::new(target.join("debug/juju-sim"), &ensured.folder, &format!("e2e-{}", scenario.name))?;
        let sim = Arc::new(sim);
        let report =
            play(scenario, Stage::new(Arc::clone(&sim), folder.clone(), scenario.name), options.keep);
        reports.push(report);
        if sim.interrupted() {
            break;
        }
    }
    match options.format {
        Format::Text => print!("\n{}", report::table(&reports)),
        Format::Json => println!("{:#}", report::json(&reports)),
    }
    eprintln!("built in {}, played in {}", seconds(ready - begun), seconds(ready.elapsed()));
    let problems: Vec<String> = reports
        .iter()
        .flat_map(|report| report.problems().into_iter().map(|text| format!("{}: {text}", report.scenario)))
        .collect();
    if !problems.is_empty() {
        bail!("not everything was as it should be:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

/// Plays one scenario, takes its model down and says what came of it.
fn play(scenario: &Scenario, mut stage: Stage, keep: bool) -> Report {
    eprintln!("\n=== {}: {}", scenario.name, scenario.about);
    let begun = Instant::now();
    let sim = Arc::clone(&stage.sim);
    let played = (scenario.play)(&mut stage);
    let counted = stage.count_hooks();
    let mut report = stage.report;
    report.seconds = begun.elapsed().as_secs_f64();
    report.error = played.and(counted).err().map(|error| format!("{error:#}"));
    let good = report.is_good();
    for problem in report.problems() {
        eprintln!("  FAILED  {problem}");
    }
    if !good && !sim.interrupted() {
        sim.explain();
    }
    if let Err(error) = sim.down() {
        report.error.get_or_insert(format!("taking the model down: {error:#}"));
    }
    if sim.interrupted() || (good && !keep) {
        sim.clean();
    } else if good {
        eprintln!("--- logs are in {}", sim.home().display());
    }
    let how = if good { "good" } else { "NOT GOOD" };
    eprintln!("=== {}: {how}, in {}", scenario.name, seconds(begun.elapsed()));
    report
}
