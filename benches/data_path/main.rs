//! What the generated nginx configuration costs: requests per second and their latency through it, beside no proxy
//! and beside the configuration that the Python charm generates, in the same run.
//!
//! `cargo xtask bench data-path` runs it. Without `--bench`, as `cargo test` does, it only shows that everything works.
//!
//! Requirers, workers and nginx share one processor unless told otherwise, and the variants take turns, a second each:
//! whatever else this machine does hits all of them. On one processor requests per second say what a request costs in
//! all, which is what a busy node feels; the time that nginx itself ran for a request is shown beside it. With
//! `--arrangement two-cores`, nginx has a processor of its own, which it may not be able to fill.

mod backend;
mod config;
mod load;
mod machine;
mod names;
mod proxy;
mod soak;

use std::collections::BTreeMap;
use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use serde::Serialize;

use backend::{Manner, Workers};
use load::{Load, Measured, Protocol};
use proxy::Proxy;

/// Requests per second and latency through the generated nginx configuration
#[derive(Parser)]
#[command(name = "data_path")]
struct Options {
    /// How often each variant has its turn; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a turn is, in milliseconds
    #[arg(long, default_value_t = 1000)]
    turn_ms: u64,
    /// Requests that are under way at any moment
    #[arg(long, default_value_t = 32)]
    at_once: usize,
    /// How many of them share a connection, over gRPC
    #[arg(long, default_value_t = 4)]
    streams: usize,
    /// Sizes of the bodies in bytes
    #[arg(long, value_delimiter = ',', default_values_t = [2_000, 20_000])]
    sizes: Vec<usize>,
    /// The protocols [default: both]
    #[arg(long, value_delimiter = ',')]
    protocols: Vec<Protocol>,
    /// Who runs on which processor
    #[arg(long, default_value = "one-core")]
    arrangement: Arrangement,
    /// Then send so many requests while workers restart, close idle connections and nginx reloads; 0 is none
    #[arg(long, default_value_t = 60_000)]
    soak: u64,
    /// Send those requests only; through the configuration that is given, if there is one
    #[arg(long)]
    only_soak: bool,
    /// As little as shows that it works
    #[arg(long)]
    quick: bool,
    /// How results are printed
    #[arg(long, default_value = "table")]
    format: Format,
    /// Another nginx.conf to measure beside the others, with the names and ports of a pod; as often as there are any
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// The nginx to use [default: the one of `cargo xtask tools`]
    #[arg(long, value_name = "FILE")]
    nginx: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Arrangement {
    /// Everything on one processor
    OneCore,
    /// nginx on one processor, requirers and workers on another
    TwoCores,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

fn main() -> ExitCode {
    // cargo test passes what it was given: names of tests, which are none of ours.
    let options = if env::args().any(|word| word == "--bench") {
        Options::parse()
    } else {
        Options::parse_from(["data_path", "--quick"])
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut options: Options) -> Result<()> {
    if options.quick {
        (options.rounds, options.turn_ms, options.at_once, options.soak) = (1, 50, 4, 1_200);
    }
    if options.protocols.is_empty() {
        options.protocols = vec![Protocol::Http, Protocol::Grpc];
    }
    let nginx = match &options.nginx {
        Some(nginx) => nginx.clone(),
        None => default_nginx()?,
    };
    let machine = machine::describe();
    let cells = if options.only_soak { Vec::new() } else { measure(&options, &nginx)? };
    let soak = match options.soak {
        0 => Vec::new(),
        requests => {
            let given = options.config.first().filter(|_| options.only_soak).map(std::fs::read_to_string);
            soak::run(&nginx, requests, given.transpose()?.as_deref(), |what| eprintln!("{what}"))?
        }
    };
    match options.format {
        Format::Table => print(&options, &machine, &cells, &soak),
        Format::Json => {
            let all = serde_json::json!({
                "machine": machine,
                "arrangement": options.arrangement,
                "at_once": options.at_once,
                "streams": options.streams,
                "rounds": options.rounds,
                "turn_ms": options.turn_ms,
                "data_path": cells,
                "soak": soak,
            });
            println!("{all:#}");
        }
    }
    let avoidable: u64 = soak.iter().map(|row| row.avoidable).sum();
    // A machine that is busy with other tests may stall for longer than a worker is away.
    if avoidable > 0 && !options.quick {
        bail!("{avoidable} requests failed because of a connection that was idle or closing");
    }
    Ok(())
}

/// The nginx that the project builds once per machine.
fn default_nginx() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache =
        || Some(set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?.join("juju-sim/tools"));
    let folder = set("JUJU_SIM_TOOLS").or_else(cache).context("neither XDG_CACHE_HOME nor HOME is set")?;
    let nginx = folder.join("bin/nginx");
    if !nginx.is_file() {
        bail!("{} is missing: `cargo xtask tools` makes it", nginx.display());
    }
    Ok(nginx)
}

/// The names of all workers that any configuration has.
fn worker_names() -> BTreeMap<String, Ipv4Addr> {
    (0..3).map(|number| (config::worker_name(usize::from(number)), backend::address(number))).collect()
}

/// Requirers send to a worker.
const NO_PROXY: &str = "no proxy";
/// The configuration that the Python charm generates.
const REFERENCE: &str = "reference";

/// What stands between requirers and workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Variant {
    between: String,
    workers: u8,
}

/// Medians for one variant.
#[derive(Clone, Debug, Serialize)]
struct Cell {
    protocol: Protocol,
    bytes: usize,
    #[serde(flatten)]
    variant: Variant,
    /// Requests in a second: the median of all turns, the least and the most.
    per_second: [f64; 3],
    /// Half of the requests took no longer, in milliseconds.
    p50_ms: f64,
    /// All but one in a hundred took no longer, in milliseconds.
    p99_ms: f64,
    /// How long nginx ran for a request, in microseconds.
    nginx_us: f64,
    /// How long requirer, nginx and worker ran for a request together, in microseconds.
    all_us: f64,
    /// Requests that did not succeed, in all turns.
    failed: usize,
}

fn measure(options: &Options, nginx: &Path) -> Result<Vec<Cell>> {
    let cores = machine::cores()?;
    let (ends, between) = match (options.arrangement, &cores[..]) {
        (Arrangement::OneCore, [.., last]) => (*last, *last),
        (Arrangement::TwoCores, [.., first, second]) => (*first, *second),
        _ => bail!("two processors are needed, and this process may use {}", cores.len()),
    };
    let workers = Workers::start(3, Some(ends), Manner::default())?;
    let resolver = names::serve(worker_names())?;
    // In a thread, so that nginx starts where it is to stay.
    let start = |text: String| -> Result<Proxy> {
        let started = thread::scope(|scope| {
            scope
                .spawn(|| {
                    machine::pin(between)?;
                    Proxy::start(nginx, &text, resolver, &workers.ports)
                })
                .join()
        });
        started.map_err(|_| anyhow::anyhow!("starting nginx panicked"))?
    };
    let mut variants = vec![(Variant { between: NO_PROXY.to_owned(), workers: 1 }, None)];
    for workers in [1, 3] {
        let variant = |between: &str| Variant { between: between.to_owned(), workers };
        let count = usize::from(workers);
        variants.push((variant(REFERENCE), Some(start(config::reference(count))?)));
        variants.push((variant("this charm"), Some(start(config::generated(count)?)?)));
    }
    for file in &options.config {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let between = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        variants.push((Variant { between, workers: 1 }, Some(start(text)?)));
    }

    let mut cells = Vec::new();
    let count = options.protocols.len() * options.sizes.len();
    for (done, (protocol, size)) in
        options.protocols.iter().flat_map(|p| options.sizes.iter().map(move |s| (*p, *s))).enumerate()
    {
        let mut measured = vec![Vec::new(); variants.len()];
        for round in 1..=options.rounds {
            eprintln!("{}/{count}: {protocol}, {size} bytes, round {round} of {}", done + 1, options.rounds);
            for ((_, proxy), turns) in variants.iter().zip(&mut measured) {
                let address = match proxy {
                    Some(proxy) => proxy.address(protocol)?,
                    None => workers.first(protocol)?,
                };
                turns.push(turn(options, ends, (protocol, size), address, proxy.as_ref(), &workers)?);
            }
        }
        for ((variant, _), turns) in variants.iter().zip(measured) {
            cells.push(cell((protocol, size), variant.clone(), &turns));
        }
    }
    Ok(cells)
}

/// One variant's turn, on the processor of the requirers.
fn turn(
    options: &Options,
    core: usize,
    (protocol, size): (Protocol, usize),
    address: SocketAddr,
    proxy: Option<&Proxy>,
    workers: &Workers,
) -> Result<Measured> {
    let time = Duration::from_millis(options.turn_ms);
    let load =
        Load { protocol, size, at_once: options.at_once, streams: options.streams, before: time / 5, time };
    let clocks = || vec![proxy.map_or(Duration::ZERO, Proxy::ran), machine::ran(&workers.clock)];
    let run = || {
        machine::pin(core)?;
        load::run(load, address, clocks)
    };
    let ran = thread::scope(|scope| scope.spawn(run).join());
    ran.map_err(|_| anyhow::anyhow!("sending panicked"))?
}

fn cell((protocol, bytes): (Protocol, usize), variant: Variant, turns: &[Measured]) -> Cell {
    let of = |figure: fn(&Measured) -> f64| {
        let mut all: Vec<f64> = turns.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        [all[all.len() / 2], all[0], all[all.len() - 1]]
    };
    Cell {
        protocol,
        bytes,
        variant,
        per_second: of(|turn| requests(turn) / turn.time.as_secs_f64()),
        p50_ms: of(|turn| percentile(turn, 50))[0],
        p99_ms: of(|turn| percentile(turn, 99))[0],
        nginx_us: of(|turn| turn.busy[0].as_secs_f64() * 1e6 / requests(turn))[0],
        all_us: of(|turn| turn.busy.iter().sum::<Duration>().as_secs_f64() * 1e6 / requests(turn))[0],
        failed: turns.iter().map(|turn| turn.failed).sum(),
    }
}

#[allow(clippy::cast_precision_loss)]
fn requests(turn: &Measured) -> f64 {
    turn.latencies.len() as f64
}

/// In milliseconds.
fn percentile(turn: &Measured, hundredth: usize) -> f64 {
    turn.latencies[turn.latencies.len() * hundredth / 100].as_secs_f64() * 1e3
}

fn print(options: &Options, machine: &str, cells: &[Cell], soak: &[soak::Row]) {
    println!("Data path: {machine}");
    if !cells.is_empty() {
        let arrangement = match options.arrangement {
            Arrangement::OneCore => "requirers, nginx and workers on one processor",
            Arrangement::TwoCores => "nginx on one processor, requirers and workers on another",
        };
        println!(
            "{arrangement}; {} requests at once, over gRPC {} in a connection; medians of {} turns of {} ms",
            options.at_once, options.streams, options.rounds, options.turn_ms
        );
        println!(
            "\n{:<10} {:>6}  {:<12} {:>7} {:>10} {:>17} {:>8} {:>8} {:>9} {:>8} {:>13} {:>13}",
            "protocol",
            "bytes",
            "between",
            "workers",
            "req/s",
            "least–most",
            "p50 ms",
            "p99 ms",
            "nginx µs",
            "all µs",
            "× reference",
            "× no proxy"
        );
    }
    for cell in cells {
        let of = |between: &str, workers| {
            let of = |other: &&Cell| (other.protocol, other.bytes) == (cell.protocol, cell.bytes);
            let mut cells = cells.iter().filter(of);
            cells.find(|other| other.variant.between == between && other.variant.workers == workers)
        };
        // By requests in a second, and by the time that the processor was at one: they differ only where somebody else
        // had the processor too.
        let ratios = |other: Option<&Cell>| {
            other.filter(|other| other.variant != cell.variant).map_or_else(String::new, |other| {
                let (rate, time) = (cell.per_second[0] / other.per_second[0], other.all_us / cell.all_us);
                format!("{rate:.2} ({time:.2})")
            })
        };
        let beside = ratios(of(REFERENCE, cell.variant.workers));
        let none = ratios(of(NO_PROXY, 1));
        let [median, least, most] = cell.per_second;
        println!(
            "{:<10} {:>6}  {:<12} {:>7} {median:>10.0} {:>17} {:>8.2} {:>8.2} {:>9.1} {:>8.1} {beside:>13} {none:>13}",
            cell.protocol.to_string(),
            cell.bytes,
            cell.variant.between,
            cell.variant.workers,
            format!("{least:.0}–{most:.0}"),
            cell.p50_ms,
            cell.p99_ms,
            cell.nginx_us,
            cell.all_us,
        );
        if cell.failed > 0 {
            println!("{:>18}{} requests failed", "", cell.failed);
        }
    }
    if !soak.is_empty() {
        println!(
            "\n{:<22} {:<10} {:>9} {:>9} {:>8} {:>8} {:>10} {:>8} {:>8}  statuses",
            "while", "protocol", "requests", "ok", "lost", "5xx", "sent again", "twice", "req/s"
        );
        for row in soak {
            #[allow(clippy::cast_precision_loss)]
            let rate = row.requests as f64 / row.seconds;
            println!(
                "{:<22} {:<10} {:>9} {:>9} {:>8} {:>8} {:>10} {:>8} {rate:>8.0}  {:?}",
                row.phase,
                row.protocol,
                row.requests,
                row.ok,
                row.in_hand,
                row.avoidable,
                row.reconnected,
                row.duplicates,
                row.refused
            );
        }
        println!(
            "lost: 5xx for what a killed worker had in hand; 5xx: all others, caused by an idle or closing connection; \
             sent again: nginx closed the requirer's connection; twice: taken by two workers"
        );
    }
}
