//! Looking for bytes that break a decoder of what others send.
//!
//! The targets are in `fuzz/`, with the properties that have to hold and a corpus for each. They are built with the project's
//! own toolchain: what the fuzzer has to see of a program, LLVM puts into any. New inputs that are merely interesting stay in
//! the target folder, and are where the next run goes on from.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{capture, cargo, last_lines, repository, show, target_directory};
use crate::progress::{Step, seconds};

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to look at; without, everything
    targets: Vec<String>,
    /// How long to look at each
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many to look at at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Only say what there is to look at
    #[arg(long)]
    list: bool,
}

/// Has the compiler count which parts of a program run, and note what is compared with what.
const INSTRUMENTED: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let known = targets()?;
    if options.list {
        for name in known {
            println!("{name}");
        }
        return Ok(());
    }
    let wanted = if options.targets.is_empty() { known.clone() } else { options.targets.clone() };
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        bail!("there is no target {unknown}, but {}", known.join(", "));
    }
    let folder = target_directory()?.join("fuzz");
    let programs = build(&folder, &wanted)?;

    let jobs = usize::from(options.jobs).min(wanted.len());
    let time = Duration::from_secs(options.seconds * wanted.len().div_ceil(jobs) as u64);
    let step = Step::begin(format!(
        "fuzzing {}, {} s each, about {} in all",
        wanted.join(", "),
        options.seconds,
        seconds(time)
    ));
    let waiting = Mutex::new(wanted.iter().map(String::as_str).collect::<VecDeque<_>>());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.pop_front());
    let mut runs = thread::scope(|scope| -> Result<Vec<Run>> {
        let job = || -> Result<Vec<Run>> {
            let mut runs = Vec::new();
            while let Some(name) = next() {
                runs.push(fuzz(&folder, &programs, name, options.seconds)?);
            }
            Ok(runs)
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(job)).collect();
        let mut runs = Vec::new();
        for worker in workers {
            runs.extend(worker.join().map_err(|_| anyhow::anyhow!("a run has panicked"))??);
        }
        Ok(runs)
    })?;
    step.done();
    runs.sort_by(|one, other| one.name.cmp(&other.name));
    print!("{}", table(&runs));
    let broken: Vec<_> = runs.iter().filter_map(Run::trouble).collect();
    if !broken.is_empty() {
        bail!("something was found\n{}", broken.join("\n"));
    }
    Ok(())
}

/// The names of all targets.
fn targets() -> Result<Vec<String>> {
    let folder = repository().join("fuzz/targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.path().file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Builds the programs, and returns the folder that they are in.
fn build(folder: &Path, wanted: &[String]) -> Result<PathBuf> {
    let about = capture(Command::new("rustc").current_dir(repository()).arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say what it compiles for")?;
    let step = Step::begin("building the fuzz targets");
    let mut build = cargo();
    // Named, so that what runs while building is not instrumented.
    build
        .args(["build", "--locked", "--quiet", "--package", "fuzz", "--features", "libfuzzer"])
        .args(["--profile", "fuzz", "--target", host, "--target-dir"])
        .arg(folder)
        .args(wanted.iter().flat_map(|name| ["--bin", name]))
        .env("RUSTFLAGS", INSTRUMENTED)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    show(&mut build).context("the fuzzer needs a C++ compiler")?;
    step.done();
    Ok(folder.join(host).join("fuzz"))
}

/// How a run has ended.
struct Run {
    name: String,
    program: PathBuf,
    report: Report,
    success: bool,
    log: PathBuf,
    end: String,
}

/// Looks at one target.
fn fuzz(folder: &Path, programs: &Path, name: &str, seconds: u64) -> Result<Run> {
    let program = programs.join(name);
    let [found, corpus] = ["found", "corpus"].map(|kind| folder.join(kind).join(name));
    for folder in [&found, &corpus] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let fuzz = repository().join("fuzz");
    let log = folder.join(format!("{name}.log"));
    let output = File::create(&log).with_context(|| format!("making {}", log.display()))?;
    let status = Command::new(&program)
        .args(["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(format!("-dict={}", fuzz.join("dictionary").display()))
        // Only the first folder is written to.
        .arg(&corpus)
        .arg(fuzz.join("corpus").join(name))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let report = Report::of(&text);
    Ok(Run {
        name: name.to_owned(),
        program,
        report,
        success: status.success(),
        log,
        end: last_lines(&text, 5),
    })
}

impl Run {
    /// What was found and how to see it again, or why nothing could be.
    fn trouble(&self) -> Option<String> {
        let Self { name, program, report, log, .. } = self;
        if report.findings.is_empty() && self.success {
            return None;
        }
        let mut text = format!("{name}: see {}", log.display());
        for input in &report.findings {
            let _ = write!(
                text,
                "\n  reproduce: {} {input}\n  once mended: mv {input} fuzz/corpus/{name}/",
                program.display()
            );
        }
        if report.findings.is_empty() {
            let _ = write!(text, "\n{}", self.end);
        }
        Some(text)
    }
}

/// What the fuzzer says of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    runs: u64,
    per_second: u64,
    /// Inputs that each show something which no other does.
    corpus: u64,
    /// Files with inputs that broke something.
    findings: Vec<String>,
}

impl Report {
    /// Reads libFuzzer's output.
    fn of(text: &str) -> Self {
        let mut report = Self::default();
        for line in text.lines() {
            if let Some((_, path)) = line.split_once("Test unit written to ") {
                report.findings.push(path.trim().to_owned());
            } else if let Some(rest) = line.strip_prefix("stat::") {
                let mut words = rest.split_whitespace();
                let (name, value) = (words.next(), words.next().and_then(|value| value.parse().ok()));
                match (name, value) {
                    (Some("number_of_executed_units:"), Some(value)) => report.runs = value,
                    (Some("average_exec_per_sec:"), Some(value)) => report.per_second = value,
                    _ => {}
                }
            } else if line.starts_with('#') {
                // `#1234 REDUCE cov: 12 ft: 34 corp: 56/7Kb …`; there is no corpus before the first.
                let mut words = line.split_whitespace().skip_while(|word| *word != "corp:").skip(1);
                let count = words.next().and_then(|word| word.split('/').next()?.parse().ok());
                report.corpus = count.unwrap_or(report.corpus);
            }
        }
        report
    }
}

fn table(runs: &[Run]) -> String {
    let mut text =
        format!("{:<14}{:>12}{:>10}{:>8}{:>10}\n", "target", "runs", "runs/s", "corpus", "findings");
    for Run { name, report, .. } in runs {
        let Report { runs, per_second, corpus, findings } = report;
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:<14}{runs:>12}{per_second:>10}{corpus:>8}{:>10}", findings.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: &str = "\
INFO: Running with entropic power schedule (0xFF, 100).
INFO: seed corpus: files: 22 min: 1b max: 70091b total: 143210b rss: 44Mb
#23\tINITED cov: 421 ft: 1277 corp: 19/135Kb exec/s: 0 rss: 50Mb
#4096\tpulse  cov: 421 ft: 1277 corp: 19/135Kb lim: 4096 exec/s: 2048 rss: 61Mb
#5122\tREDUCE cov: 430 ft: 1301 corp: 24/136Kb lim: 4096 exec/s: 2561 rss: 63Mb L: 12/4096 MS: 1 EraseBytes-
#61234\tDONE   cov: 431 ft: 1310 corp: 27/137Kb lim: 4096 exec/s: 2041 rss: 88Mb
###### Recommended dictionary. ######
Done 61234 runs in 31 second(s)
stat::number_of_executed_units: 61234
stat::average_exec_per_sec:     1975
stat::new_units_added:          52
stat::slowest_unit_time_sec:    0
stat::peak_rss_mb:              91
";

    const LOUD: &str = "\
#2\tINITED exec/s: 0 rss: 40Mb
thread '<unnamed>' panicked at fuzz/src/urls.rs:1:1:
==4242== ERROR: libFuzzer: deadly signal
artifact_prefix='/t/found/urls/'; Test unit written to /t/found/urls/crash-0123
Base64: AA==
stat::number_of_executed_units: 7
stat::average_exec_per_sec:     0
";

    #[test]
    fn reports_of_the_fuzzer_are_understood() {
        let quiet = Report { runs: 61234, per_second: 1975, corpus: 27, findings: vec![] };
        assert_eq!(Report::of(QUIET), quiet);
        let findings = vec!["/t/found/urls/crash-0123".to_owned()];
        assert_eq!(Report::of(LOUD), Report { runs: 7, findings, ..Report::default() });
        assert_eq!(Report::of("no fuzzer at all"), Report::default());
    }

    fn run(text: &str, success: bool) -> Run {
        Run {
            name: "urls".into(),
            program: "/t/urls".into(),
            report: Report::of(text),
            success,
            log: "/t/urls.log".into(),
            end: last_lines(text, 1),
        }
    }

    #[test]
    fn what_was_found_is_named_with_the_way_to_see_it_again() {
        assert_eq!(run(QUIET, true).trouble(), None);
        let found = run(LOUD, false).trouble().unwrap();
        assert!(found.contains("reproduce: /t/urls /t/found/urls/crash-0123"), "{found}");
        let broken = run("cannot open the dictionary", false).trouble().unwrap();
        assert!(broken.contains("urls.log") && broken.contains("cannot open the dictionary"), "{broken}");
    }

    #[test]
    fn the_table_has_a_line_for_each_target() {
        let text = table(&[run(QUIET, true), run(LOUD, false)]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["urls", "61234", "1975", "27", "0"]);
        assert_eq!(lines[2], ["urls", "7", "0", "0", "1"]);
    }

    #[test]
    fn there_are_targets() {
        assert!(targets().unwrap().contains(&"jujuc".to_owned()));
    }
}
