//! Measuring: what a hook costs, what stands between requirers and workers, and how fast the testing library is.
//!
//! The benchmarks themselves are in `benches/`. This makes what they need, the packed charm, the hook-tool client and
//! nginx, and starts them one after the other, so that none disturbs another.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::json;

use crate::pack;
use crate::process::{capture, cargo, repository, show, target_directory};
use crate::tools;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
#[command(
    after_help = "Figures are printed on standard output, progress on standard error. The exit code is 1 if something \
    could not be measured, if a hook of this charm failed, or if nginx answered 5xx because of a connection that was idle or \
    closing; whether figures are good is for the reader to say."
)]
pub(crate) struct Options {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// The charm whose hooks are measured, a file or a folder [default: packed from these sources]
    #[arg(long, value_name = "FILE")]
    charm: Option<PathBuf>,
    /// Another charm, measured on the same relations in the same run: a file, a folder or its executable; as often as
    /// there are any
    #[arg(long, value_name = "CMD")]
    against: Vec<PathBuf>,
    /// Numbers of `tracing` relations, such as 10,500 [default: 1,10,100,500,1000]
    #[arg(long, value_name = "LIST")]
    relations: Option<String>,
    /// How long the agent waits before it answers each hook tool
    #[arg(long, value_name = "N")]
    tool_delay_ms: Option<f64>,
    /// How often each hook is run [default: 5]
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// How many requests to send through nginx while connections end in every way; 0 is none [default: 60000]
    #[arg(long, value_name = "N")]
    soak: Option<u64>,
    /// As little as shows that everything works
    #[arg(long)]
    quick: bool,
    /// How figures are printed; with JSON, one document for each benchmark
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Passed on to the one benchmark that was chosen; `-- --help` lists what it takes
    #[arg(last = true)]
    words: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Hooks of the packed charm, as processes
    Dispatch,
    /// Requests through the generated nginx configuration
    DataPath,
    /// Hooks in process, as transition tests run them
    Transitions,
    /// One after the other
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.what == What::All && !options.words.is_empty() {
        bail!("what follows -- is for one benchmark: say which");
    }
    let chosen = |what| options.what == What::All || options.what == what;
    let mut failed = Vec::new();
    let mut keep = |name: &str, result: Result<()>| {
        // The others are still worth knowing.
        if let Err(error) = result {
            eprintln!("{name}: {error:#}");
            failed.push(name.to_owned());
        }
    };
    if chosen(What::Dispatch) {
        keep("dispatch", dispatch(options));
    }
    if chosen(What::Transitions) {
        keep("transitions", transitions(options));
    }
    if chosen(What::DataPath) {
        keep("data-path", data_path(options));
    }
    if !failed.is_empty() {
        bail!("not measured, or not as it should be: {}", failed.join(", "));
    }
    Ok(())
}

fn dispatch(options: &Options) -> Result<()> {
    let mut words = Vec::new();
    let mut word = |name: &str, value: String| words.extend([format!("--{name}"), value]);
    word("charm", charm(options)?.display().to_string());
    for path in &options.against {
        word("against", absolute(path)?.display().to_string());
    }
    if let Some(relations) = &options.relations {
        word("relations", relations.clone());
    }
    if let Some(delay) = options.tool_delay_ms {
        word("tool-delay-ms", delay.to_string());
    }
    if let Some(runs) = options.runs {
        word("runs", runs.to_string());
    }
    // It is looked for beside the benchmark.
    let client = ["build", "--locked", "--profile", "bench", "--package", "juju-sim", "--bin", "jujuc"];
    show(cargo().args(client))?;
    bench("dispatch", options, &words)
}

/// The charm to measure, packed if none is given.
fn charm(options: &Options) -> Result<PathBuf> {
    if let Some(path) = &options.charm {
        return absolute(path);
    }
    let folder = target_directory()?.join("xtask-bench");
    fs::create_dir_all(&folder)?;
    let packed = pack::pack(&repository(), Some(&folder.join("tempo-coordinator-k8s.charm")), false)?;
    Ok(packed.path)
}

/// What cargo starts does not start where the caller is.
fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("no such charm: {}", path.display()))
}

fn data_path(options: &Options) -> Result<()> {
    let tools = tools::ensure()?;
    if !tools.has("nginx") {
        bail!("there is no nginx: {}", tools.missing.join("; "));
    }
    let mut words = vec!["--nginx".to_owned(), tools.folder.join("bin/nginx").display().to_string()];
    if let Some(requests) = options.soak {
        words.extend(["--soak".to_owned(), requests.to_string()]);
    }
    bench("data_path", options, &words)
}

fn transitions(options: &Options) -> Result<()> {
    let mut command = cargo();
    command.args(["bench", "--locked", "--package", "tempo-coordinator-k8s", "--bench", "transitions", "--"]);
    command.args(&options.words);
    if options.quick {
        command.arg("1");
    }
    if options.format == Format::Table {
        return show(&mut command);
    }
    let text = capture(&mut command)?;
    println!("{:#}", json!({"transitions": text.lines().collect::<Vec<_>>()}));
    Ok(())
}

/// Starts a benchmark that knows the options that all have.
fn bench(name: &str, options: &Options, words: &[String]) -> Result<()> {
    let mut command = cargo();
    command
        .args(["bench", "--locked", "--package", "tempo-coordinator-k8s", "--bench", name, "--"])
        .args(words);
    if options.quick {
        command.arg("--quick");
    }
    if options.format == Format::Json {
        command.args(["--format", "json"]);
    }
    show(command.args(&options.words))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &[&str]) -> Options {
        Line::try_parse_from(["bench"].iter().chain(words)).unwrap_or_else(|error| panic!("{error}")).options
    }

    #[test]
    fn words_for_one_benchmark_need_to_know_which() {
        let error = run(&options(&["--", "--rounds", "1"])).unwrap_err().to_string();
        assert!(error.contains("say which"), "{error}");
    }

    #[test]
    fn a_charm_that_is_not_there_is_named() {
        let error =
            charm(&options(&["dispatch", "--charm", "/nowhere/at-all.charm"])).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at-all.charm"), "{error}");
    }

    #[test]
    fn an_nginx_configuration_is_measured_without_hooks() {
        let options = options(&["data-path", "--soak", "0", "--quick", "--format", "json"]);
        assert_eq!(
            (options.what, options.soak, options.quick, options.format),
            (What::DataPath, Some(0), true, Format::Json)
        );
    }
}
