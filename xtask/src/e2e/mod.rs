//! The whole stack on one machine: the packed charm, real Tempo, real storage, spans in five protocols; and every span
//! that was sent read back from Tempo by the identifier of its trace.
//!
//! Each scenario has a model of its own. It is always taken down again, also on failure and on Ctrl-C.

mod faults;
mod metrics;
mod report;
mod scenarios;
mod stage;
mod traces;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
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
#[expect(clippy::struct_excessive_bools, reason = "options of a command line")]
pub(crate) struct Options {
    /// Scenarios to play [default: all but those that need a Traefik, unless there is one]
    #[arg(value_name = "SCENARIO", value_parser = names())]
    scenarios: Vec<String>,
    /// Only those that show most in a quarter of an hour
    #[arg(long, conflicts_with = "scenarios")]
    short: bool,
    /// Name the scenarios, and play none
    #[arg(long)]
    list: bool,
    /// How many scenarios to play at a time; most of each is waiting
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=8))]
    jobs: u8,
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
    let begun = Instant::now();
    let ensured = tools::ensure()?;
    let chosen: Vec<&Scenario> =
        SCENARIOS.iter().filter(|scenario| options.chooses(scenario, &ensured)).collect();
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
    let stages = chosen.into_iter().map(|scenario| {
        let name = format!("e2e-{}", scenario.name);
        let sim = Arc::new(Sim::new(target.join("debug/juju-sim"), &ensured.folder, &name)?);
        Ok((scenario, Stage::new(sim, folder.clone(), scenario.name)))
    });
    let stages = stages.collect::<Result<Vec<_>>>()?;
    let reports = play_all(stages, options.jobs.into(), options.keep);
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

impl Options {
    /// Whether a scenario is to be played.
    fn chooses(&self, scenario: &Scenario, tools: &tools::Tools) -> bool {
        let Scenario { name, tools: needed, short, .. } = scenario;
        if !self.scenarios.is_empty() {
            return self.scenarios.iter().any(|one| one == name);
        }
        let there = !needed.contains(&"traefik") || tools.has("traefik");
        if !there {
            eprintln!("{name}: left out, as there is no Traefik; to make one: cargo xtask tools traefik");
        }
        there && (*short || !self.short)
    }
}

/// Plays scenarios, so many at a time; the reports are in the order of the scenarios.
fn play_all(stages: Vec<(&Scenario, Stage)>, jobs: usize, keep: bool) -> Vec<Report> {
    let queue = Mutex::new(stages.into_iter().enumerate());
    let reports = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((number, (scenario, stage))) = next else { break };
                    if stage.sim.interrupted() {
                        break;
                    }
                    let report = play(scenario, stage, keep);
                    reports.lock().unwrap_or_else(PoisonError::into_inner).insert(number, report);
                }
            });
        }
    });
    reports.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// Plays one scenario, takes its model down and says what came of it.
fn play(scenario: &Scenario, mut stage: Stage, keep: bool) -> Report {
    eprintln!("\n=== {}: {}", scenario.name, scenario.about);
    let begun = Instant::now();
    let sim = Arc::clone(&stage.sim);
    let played = (scenario.play)(&mut stage);
    // A scenario without a model has none, and neither one whose coordinator has left.
    let kept =
        if played.is_ok() && !stage.receivers().is_empty() { stage.look_for_secrets() } else { Ok(()) };
    let counted = if sim.is_up() { stage.count_hooks() } else { Ok(()) };
    let mut report = stage.report;
    report.seconds = begun.elapsed().as_secs_f64();
    report.error = played.and(kept).and(counted).err().map(|error| format!("{error:#}"));
    let good = report.is_good();
    for problem in report.problems() {
        eprintln!("{}: FAILED  {problem}", scenario.name);
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
