//! What a hook of the packed charm costs, as a process, at any number of relations: time, processor, memory, hook tools.
//!
//! `cargo xtask bench dispatch` runs it. Every program that is measured meets the same things: a bucket, a worker that
//! plays every role, and so many `tracing` requirers. It brings about its settled state itself, since what it writes
//! depends on the name of this machine; and if it is there to stay, a hook in which nothing has changed finds it so.
//!
//! The agent is the simulator's: it answers calls one at a time from memory, so that what is measured is the charm. Real
//! agents take longer, which `--tool-delay-ms` models. Without `--bench`, as `cargo test` does, nothing is measured.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use juju_sim::tools::CallKind;
use juju_sim::{CharmMeta, Container, Context, Event, ExecHandler, Outcome, Program, Relation, State};
use serde::Serialize;

/// What a hook of a packed charm costs
#[derive(Parser)]
#[command(name = "dispatch")]
struct Options {
    /// The packed charm, or its folder
    #[arg(long, value_name = "FILE")]
    charm: Option<PathBuf>,
    /// Another charm to measure on the same relations: packed, a folder, or its executable; as often as there are any
    #[arg(long, value_name = "CMD")]
    against: Vec<PathBuf>,
    /// Numbers of `tracing` relations
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 500, 1000])]
    relations: Vec<u32>,
    /// The hooks [default: all]
    #[arg(long, value_delimiter = ',')]
    hooks: Vec<HookKind>,
    /// Ways to the agent [default: both]
    #[arg(long, value_delimiter = ',')]
    transports: Vec<Transport>,
    /// How long the agent waits before it answers a hook tool, in milliseconds
    #[arg(long, default_value_t = 0.0)]
    tool_delay_ms: f64,
    /// How often each hook is run; the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// After how many seconds a hook is given up
    #[arg(long, default_value_t = 120)]
    timeout: u64,
    /// As little as shows that it works
    #[arg(long)]
    quick: bool,
    /// How results are printed
    #[arg(long, default_value = "table")]
    format: Format,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum HookKind {
    /// update-status, and nothing has changed
    NoChange,
    /// relation-changed: one requirer asks for a protocol that was not on
    OneChanged,
    /// config-changed: everything is related, and nothing is done yet
    FirstDeployment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Transport {
    /// The agent's socket
    Socket,
    /// A process for each hook tool
    Process,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

impl HookKind {
    const ALL: [Self; 3] = [Self::NoChange, Self::OneChanged, Self::FirstDeployment];

    const fn name(self) -> &'static str {
        match self {
            Self::NoChange => "no change",
            Self::OneChanged => "one changed",
            Self::FirstDeployment => "first deployment",
        }
    }
}

impl Transport {
    const ALL: [Self; 2] = [Self::Socket, Self::Process];

    const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Process => "process",
        }
    }
}

fn main() -> ExitCode {
    let options = if env::args().any(|word| word == "--bench") {
        Options::parse()
    } else {
        // cargo test passes names of tests, which are none of ours; and there is no packed charm yet.
        Options::parse_from(["dispatch", "--quick", "--charm", env!("CARGO_BIN_EXE_tempo-coordinator-k8s")])
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
        (options.runs, options.relations) = (1, vec![2]);
    }
    if options.hooks.is_empty() {
        options.hooks = HookKind::ALL.to_vec();
    }
    if options.transports.is_empty() {
        options.transports = Transport::ALL.to_vec();
    }
    let Some(charm) = &options.charm else {
        bail!(
            "--charm is missing: `cargo xtask pack` makes the charm, and `cargo xtask bench dispatch` finds it"
        );
    };
    let packages: Vec<Package> =
        [charm].into_iter().chain(&options.against).map(|path| Package::of(path)).collect();
    let meta = Arc::new(CharmMeta::from_dir(env!("CARGO_MANIFEST_DIR"))?);
    let mut rows = Vec::new();
    for (number, path) in [charm].into_iter().chain(&options.against).enumerate() {
        // What another charm speaks with its agent is its own affair.
        let transports: Vec<_> =
            if number == 0 { options.transports.iter().copied().map(Some).collect() } else { vec![None] };
        for transport in transports {
            let subject = Subject { path, transport, options: &options, meta: &meta };
            for relations in &options.relations {
                subject.measure(*relations, &packages[number].name, &mut rows);
            }
        }
    }
    match options.format {
        Format::Table => print(&options, &packages, &rows),
        Format::Json => {
            let all = serde_json::json!({
                "packages": packages, "tool_delay_ms": options.tool_delay_ms, "runs": options.runs, "dispatch": rows,
            });
            println!("{all:#}");
        }
    }
    let own_failed = rows.iter().any(|row| row.charm == packages[0].name && row.failure.is_some());
    if own_failed {
        bail!("a hook of {} failed", packages[0].name);
    }
    Ok(())
}

/// What is measured, as a file.
#[derive(Debug, Serialize)]
struct Package {
    name: String,
    path: PathBuf,
    /// Size in bytes, of a folder that of everything in it; `None` where it cannot be read.
    bytes: Option<u64>,
}

impl Package {
    fn of(path: &Path) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, path: path.to_owned(), bytes: size(path).ok() }
    }
}

fn size(path: &Path) -> Result<u64> {
    let meta = fs::metadata(path)?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_symlink() {
            bytes += size(&entry.path())?;
        }
    }
    Ok(bytes)
}

/// One line of the table: medians.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    charm: String,
    transport: Option<Transport>,
    relations: u32,
    hook: &'static str,
    /// From start to end in milliseconds: median, least, most.
    wall_ms: [f64; 3],
    /// Processor time in milliseconds, with that of hook tools: median, least, most.
    cpu_ms: [f64; 3],
    /// The most memory that was resident, in MB, in any of the runs.
    peak_mb: f64,
    /// Calls of hook tools that ask.
    reads: usize,
    /// Calls of hook tools that change something, or may.
    writes: usize,
    /// Calls of `juju-log`.
    logs: usize,
    /// Whether the agent had nothing to send to the controller afterwards.
    nothing_to_commit: bool,
    /// Why there is nothing to show.
    failure: Option<String>,
}

/// A program, and how it is run.
struct Subject<'a> {
    path: &'a Path,
    transport: Option<Transport>,
    options: &'a Options,
    meta: &'a Arc<CharmMeta>,
}

impl Subject<'_> {
    fn measure(&self, relations: u32, charm: &str, rows: &mut Vec<Row>) {
        let by = self.transport.map_or("its own way", Transport::name);
        eprintln!("{charm}, {relations} relations, {by}: settling");
        let settled = self.settle(relations);
        for hook in &self.options.hooks {
            eprintln!("{charm}, {relations} relations, {by}: {}", hook.name());
            let row = match &settled {
                Ok((program, state)) => self.hook(*hook, relations, program, state),
                Err(error) => Err(anyhow::anyhow!("it does not settle: {error:#}")),
            };
            let row =
                row.unwrap_or_else(|error| Row { failure: Some(format!("{error:#}")), ..Row::default() });
            let transport = self.transport;
            rows.push(Row { charm: charm.to_owned(), transport, relations, hook: hook.name(), ..row });
        }
    }

    /// A program with an empty memory of its own.
    fn program(&self) -> Result<Program> {
        let named = self.path.extension().is_some_and(|extension| extension == "charm");
        let program = if named || self.path.is_dir() {
            Program::charm(self.path)
        } else {
            Program::executable(self.path)
        };
        let program = program
            .with_context(|| format!("{} cannot be run", self.path.display()))?
            .with_timeout(Duration::from_secs(self.options.timeout))
            .with_tool_delay(Duration::from_secs_f64(self.options.tool_delay_ms / 1000.0));
        Ok(match self.transport {
            Some(transport) => program.with_variable("JUJU_OPS_TRANSPORT", transport.name()),
            None => program,
        })
    }

    fn run(&self, state: &State, event: Event, program: &Program) -> Result<Outcome> {
        let context = Context::new(self.meta.clone());
        let run = context.run_program_async(state, event, program);
        let outcome = RUNTIME.with_borrow(|runtime| runtime.block_on(run))?;
        if let Err(failure) = &outcome.result {
            let last: Vec<&str> =
                outcome.logs.iter().rev().take(3).map(|line| line.message.as_str()).collect();
            bail!("{failure}: {}", last.join(" | "));
        }
        Ok(outcome)
    }

    /// The state after the program has done what it has to do, and the program, with whatever it remembers.
    fn settle(&self, relations: u32) -> Result<(Program, State)> {
        let program = self.program()?;
        let mut state = self.run(&related(self.meta, relations), Event::ConfigChanged, &program)?.state;
        // What was written in one hook may be read in the next; a charm that always writes is measured as it is.
        for _ in 0..3 {
            let outcome = self.run(&state, Event::UpdateStatus, &program)?;
            let quiet = outcome.commit.is_empty();
            state = outcome.state;
            if quiet {
                break;
            }
        }
        Ok((program, state))
    }

    fn hook(&self, hook: HookKind, relations: u32, program: &Program, settled: &State) -> Result<Row> {
        let mut outcomes = Vec::new();
        for _ in 0..self.options.runs.max(1) {
            outcomes.push(match hook {
                HookKind::NoChange => self.run(settled, Event::UpdateStatus, program)?,
                HookKind::OneChanged => {
                    let mut state = settled.clone();
                    let relation = state.relation_mut("tracing", FIRST).context("there is a requirer")?;
                    let receivers = r#"["otlp_grpc", "zipkin"]"#.to_owned();
                    relation.remote_app_data.insert("receivers".to_owned(), receivers);
                    self.run(&state, Event::relation_changed("tracing", FIRST), program)?
                }
                // Nothing is remembered yet either.
                HookKind::FirstDeployment => {
                    self.run(&related(self.meta, relations), Event::ConfigChanged, &self.program()?)?
                }
            });
        }
        Ok(Row::of(&outcomes))
    }
}

thread_local! {
    static RUNTIME: RefCell<tokio::runtime::Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made"),
    );
}

impl Row {
    fn of(outcomes: &[Outcome]) -> Self {
        let took: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.process.as_ref()).collect();
        let of = |mut figures: Vec<f64>| {
            figures.sort_by(f64::total_cmp);
            [figures[figures.len() / 2], figures[0], figures[figures.len() - 1]]
        };
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let last = &outcomes[outcomes.len() - 1];
        let calls = |kind| last.calls.iter().filter(|call| call.kind == kind).count();
        #[allow(clippy::cast_precision_loss)]
        let peak_mb = took.iter().map(|took| took.peak_memory as f64 / 1e6).fold(0.0, f64::max);
        Self {
            wall_ms: of(took.iter().map(|took| ms(took.wall)).collect()),
            cpu_ms: of(took.iter().map(|took| ms(took.cpu.total())).collect()),
            peak_mb,
            reads: calls(CallKind::Read),
            writes: calls(CallKind::Write),
            logs: calls(CallKind::Log),
            nothing_to_commit: last.commit.is_empty(),
            ..Self::default()
        }
    }
}

/// Number of the first `tracing` relation.
const FIRST: u32 = 100;

/// A leader to whom everything is related that a cluster needs, with so many requirers; nothing is done yet.
fn related(meta: &CharmMeta, requirers: u32) -> State {
    let mut state = State::new(meta).with_leader(true).with_containers_ready();
    state.unit = "tempo/0".into();
    state.model.name = "obs".into();
    for relation in &mut state.relations {
        relation.remote_app = "tempo".into();
    }
    // Whatever is run in the containers succeeds.
    for container in ["nginx", "nginx-prometheus-exporter"] {
        let execs = vec![ExecHandler::new([] as [&str; 0])];
        state = state.with_container(container, Container { execs, ..Container::ready() });
    }
    let bucket = [("access-key", "AKEXAMPLE"), ("secret-key", "sekret"), ("bucket", "traces")];
    let bucket = bucket.into_iter().chain([("endpoint", "http://10.20.0.5:9000")]);
    let topology = r#"{"application": "worker", "unit": "worker/0", "charm_name": "tempo-worker-k8s"}"#;
    let worker =
        [("juju_topology", topology), ("address", r#""worker-0.worker-endpoints.obs.svc.cluster.local""#)];
    state =
        state.with_relation(Relation::new("s3", 2, "s3", "s3").with_remote_app_data(bucket)).with_relation(
            Relation::new("tempo-cluster", 3, "tempo_cluster", "worker")
                .with_remote_app_data([("role", r#""all""#)])
                .with_remote_unit(0, worker),
        );
    for number in 0..requirers {
        let requirer = Relation::new("tracing", FIRST + number, "tracing", &format!("requirer-{number}"))
            .with_remote_app_data([("receivers", r#"["otlp_grpc"]"#)])
            .with_remote_unit(0, [] as [(&str, &str); 0]);
        state = state.with_relation(requirer);
    }
    state
}

fn print(options: &Options, packages: &[Package], rows: &[Row]) {
    for package in packages {
        #[allow(clippy::cast_precision_loss)]
        let size =
            package.bytes.map_or("size unknown".into(), |bytes| format!("{:.2} MB", bytes as f64 / 1e6));
        println!("{}: {size}", package.path.display());
    }
    println!(
        "medians of {} runs; hook tools answer after {} ms; a hook changes nothing, or one requirer asks for a protocol \
         that was not on, or everything is new\n",
        options.runs, options.tool_delay_ms
    );
    println!(
        "{:<9} {:<18} {:<8} {:>10} {:>15} {:>10} {:>15} {:>8} {:>7} {:>7} {:>7} {:>5}  charm",
        "relations",
        "hook",
        "by",
        "wall ms",
        "least–most",
        "CPU ms",
        "least–most",
        "peak MB",
        "calls",
        "reads",
        "writes",
        "sent"
    );
    for row in rows {
        let by = row.transport.map_or("–", Transport::name);
        print!("{:<9} {:<18} {by:<8} ", row.relations, row.hook);
        if let Some(failure) = &row.failure {
            let failure: String = failure.chars().take(200).collect();
            println!("failed: {}  {}", failure.replace('\n', " "), row.charm);
            continue;
        }
        let [wall, wall_least, wall_most] = row.wall_ms;
        let [cpu, cpu_least, cpu_most] = row.cpu_ms;
        println!(
            "{wall:>10.1} {:>15} {cpu:>10.1} {:>15} {:>8.1} {:>7} {:>7} {:>7} {:>5}  {}",
            format!("{wall_least:.1}–{wall_most:.1}"),
            format!("{cpu_least:.1}–{cpu_most:.1}"),
            row.peak_mb,
            row.reads + row.writes + row.logs,
            row.reads,
            row.writes,
            if row.nothing_to_commit { "no" } else { "yes" },
            row.charm,
        );
    }
    println!(
        "\ncalls: of hook tools, with juju-log; sent: whether the agent has to tell the controller anything"
    );
}
