//! The command line.

use std::{
    collections::BTreeMap,
    env,
    fmt::Display,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use juju_sim::{
    client::{Client, LogEntry, Request, home, models},
    model::ModelFile,
    spans::Fetched,
};
use serde_json::Value;

use crate::{daemon, enter, init, log, manual, print, progress::Progress, verbs};

/// A local Juju: runs whole models of charms on this machine, each unit in a pod of its own.
#[derive(Debug, Parser)]
#[command(name = "juju-sim", version, propagate_version = true, max_term_width = 120, after_help = manual::EXAMPLES)]
struct Cli {
    /// Model to talk to; not needed while only one runs. up and init give it to the model that they make.
    #[arg(short, long, global = true, env = "JUJU_SIM_MODEL")]
    model: Option<String>,
    /// How to print answers.
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
    #[command(subcommand)]
    verb: Verb,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON value.
    Json,
    /// YAML.
    Yaml,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a model file for charms, with stand-ins for what they are related to.
    Init {
        /// Charms' folders or packed charms; this folder when not given.
        #[arg(value_name = "CHARM")]
        charms: Vec<PathBuf>,
        /// Where to write; - is standard output.
        #[arg(short, long, value_name = "FILE", default_value = init::FILE)]
        output: PathBuf,
        /// Replace a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Start a model and deploy what its file says.
    Up(Up),
    /// End a model and everything in it.
    Down,
    /// List models.
    Models,
    /// Say what this machine can do for a model.
    Doctor {
        /// Programs for workloads.
        #[arg(long, env = "JUJU_SIM_TOOLS")]
        tools: Option<PathBuf>,
    },
    /// Show applications, units and relations.
    Status,
    /// Show one unit with its relations' data.
    ShowUnit {
        /// For example tempo/0, or tempo/leader.
        unit: String,
    },
    /// Show or set an application's options.
    Config {
        /// Application.
        app: String,
        /// OPTION=VALUE to set, or one OPTION to show.
        values: Vec<String>,
        /// Options to put back to their defaults.
        #[arg(long, value_delimiter = ',')]
        reset: Vec<String>,
    },
    /// Relate two applications.
    #[command(alias = "relate")]
    Integrate {
        /// APPLICATION[:ENDPOINT]
        left: String,
        /// APPLICATION[:ENDPOINT]
        right: String,
    },
    /// Remove a relation.
    RemoveRelation {
        /// APPLICATION[:ENDPOINT]
        left: String,
        /// APPLICATION[:ENDPOINT]
        right: String,
    },
    /// Add units to an application.
    AddUnit {
        /// Application.
        app: String,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 1)]
        num_units: u32,
    },
    /// Remove a unit, or an application's last ones.
    RemoveUnit {
        /// Unit or application.
        target: String,
        /// How many, of an application.
        #[arg(short = 'n', long, default_value_t = 1)]
        num_units: u32,
        /// Without their last hooks: for units that cannot run them.
        #[arg(long)]
        force: bool,
    },
    /// Remove an application with its units and relations.
    RemoveApplication {
        /// Application.
        app: String,
    },
    /// Run an action and print its results.
    Run {
        /// For example tempo/0, or tempo/leader.
        unit: String,
        /// Action.
        action: String,
        /// PARAMETER=VALUE
        params: Vec<String>,
        /// Seconds to wait.
        #[arg(long, default_value_t = 60)]
        wait: u64,
    },
    /// Print the model's log.
    DebugLog {
        /// Only this unit or application.
        #[arg(short, long)]
        include: Option<String>,
        /// Least level.
        #[arg(short, long, default_value = "INFO", value_parser = log::LEVELS, ignore_case = true)]
        level: String,
        /// How many of the last lines; 0 is all.
        #[arg(short = 'n', long, default_value_t = 0)]
        lines: usize,
        /// Go on printing.
        #[arg(short, long)]
        follow: bool,
    },
    /// Run a command in a unit's pod.
    #[command(alias = "ssh")]
    Exec {
        /// For example tempo/0, or tempo/leader.
        unit: String,
        /// Container; the charm's own when not given.
        #[arg(short, long)]
        container: Option<String>,
        /// Give the command what comes on standard input.
        #[arg(short = 'i', long)]
        stdin: bool,
        /// Seconds after which the command is ended.
        #[arg(long, default_value_t = 300)]
        timeout: u64,
        /// The command.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Let an application do everything in the cluster.
    Trust {
        /// Application.
        app: String,
        /// Take the trust back.
        #[arg(long)]
        remove: bool,
        /// What Juju wants to be told before it trusts: that all of the cluster is meant.
        #[arg(long, value_parser = ["cluster"])]
        scope: Option<String>,
    },
    /// List the objects in the cluster; with --format, show them.
    Objects,
    /// Print what a container's Pebble and services wrote.
    Logs {
        /// Unit.
        unit: String,
        /// Container.
        container: String,
    },
    /// Wait until nothing is left to do; name what is not done after the time-out.
    Wait {
        /// Also wait until these applications are active.
        apps: Vec<String>,
        /// Also wait until all applications are active.
        #[arg(long)]
        active: bool,
        /// Seconds.
        #[arg(long, default_value_t = 120)]
        timeout: u64,
    },
    /// Try a failed hook again at once.
    #[command(alias = "resolve")]
    Resolved {
        /// Unit.
        unit: String,
        /// Count the hook as done instead.
        #[arg(long)]
        no_retry: bool,
    },
    /// Have a unit run a hook, for example update-status, or secret-rotate:LABEL.
    Dispatch {
        /// Unit.
        unit: String,
        /// Hook.
        event: String,
    },
    /// Put another revision of a charm in place.
    Refresh {
        /// Application.
        app: String,
        /// Packed charm or folder; the one deployed before when not given.
        #[arg(long)]
        path: Option<PathBuf>,
    },
    /// Fault: end a workload container; a fresh one follows by itself.
    KillContainer {
        /// Unit.
        unit: String,
        /// Container.
        container: String,
    },
    /// Fault: let a coming call of a hook tool fail.
    FailHookTool {
        /// Unit.
        unit: String,
        /// Tool, for example relation-set.
        tool: String,
        /// Which call from now on.
        #[arg(long, default_value_t = 1)]
        nth: u32,
    },
    /// Fault: let hook tools fail at random from now on.
    FailHookTools {
        /// Unit.
        unit: String,
        /// How many of a hundred calls fail; 0 ends it.
        #[arg(long, value_parser = percentage)]
        percent: f64,
        /// Which calls: the same number makes the same ones fail.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Fault: end a unit's pod; a fresh one takes its place.
    KillPod {
        /// Unit.
        unit: String,
    },
    /// Fault: stop a container's Pebble where it is; what it runs goes on.
    FreezePebble {
        /// Unit.
        unit: String,
        /// Container.
        container: String,
        /// Let it go on.
        #[arg(long)]
        thaw: bool,
    },
    /// Fault: let the API of Kubernetes answer every request with an error.
    FailKubernetes {
        /// HTTP status of the error.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(400..600))]
        status: u16,
        /// Let it answer again.
        #[arg(long, conflicts_with = "status")]
        heal: bool,
    },
    /// Fault: replace the leader's pod and hand leadership to another unit.
    KillLeader {
        /// Application.
        app: String,
    },
    /// Fault: pull a unit's network cable.
    Partition {
        /// Unit.
        unit: String,
        /// Put it back.
        #[arg(long)]
        heal: bool,
    },
    /// Send spans from a unit's pod.
    SendSpans {
        /// Unit.
        unit: String,
        /// Protocol, for example `otlp_http`.
        #[arg(long)]
        protocol: String,
        /// Receiver's URL, as published on the relation.
        #[arg(long)]
        url: String,
        /// How many spans.
        #[arg(long, default_value_t = 10)]
        spans: u64,
        /// Seconds for all of it, with retries.
        #[arg(long, default_value_t = 10.0)]
        timeout: f64,
        /// How long ago the spans are said to have been made, in seconds.
        #[arg(long, default_value_t = 0.0)]
        age: f64,
        /// Speak TLS also where the URL has no scheme, as with gRPC.
        #[arg(long)]
        tls: bool,
        /// Certificates to trust with TLS (PEM); those of the authorities in the model when not given.
        #[arg(long, value_name = "FILE")]
        ca_file: Option<PathBuf>,
    },
    /// Ask HTTP APIs from a unit's pod; with --format json, all of their answers.
    Fetch {
        /// Unit.
        unit: String,
        /// http[s]://HOST[:PORT]/PATH
        #[arg(required = true)]
        urls: Vec<String>,
        /// Seconds for each answer.
        #[arg(long, default_value_t = 10.0)]
        timeout: f64,
        /// Certificates to trust with https (PEM); those of the authorities in the model when not given.
        #[arg(long, value_name = "FILE")]
        ca_file: Option<PathBuf>,
    },
    /// Spans that sinks received, by unit and protocol.
    Counts {
        /// Application; all that receive spans when not given.
        app: Option<String>,
        /// Only spans of the service of this name
        #[arg(long)]
        service: Option<String>,
    },
    /// Print what a shell needs to complete this command line.
    Completions {
        /// Shell.
        shell: Shell,
    },
    /// Print this program's page of the manual, or write those of all verbs.
    Man {
        /// Folder for the page of the program and one for each verb.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// Verbs for this program itself, apart from those for people: their options have nothing in common.
#[derive(Debug, Parser)]
#[command(name = "juju-sim")]
#[expect(clippy::enum_variant_names, reason = "the verbs begin alike so that nobody meets them by chance")]
enum Internal {
    /// Processes that doubles run in their pods.
    Workload {
        #[command(subcommand)]
        workload: crate::doubles::Workload,
    },
    InternalDaemon {
        start: String,
    },
    InternalInit {
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    InternalEnter {
        spec: String,
        #[arg(last = true)]
        command: Vec<String>,
    },
    InternalExec {
        spec: String,
        #[arg(last = true)]
        command: Vec<String>,
    },
    InternalPause {
        #[arg(long)]
        until_eof: bool,
    },
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "options of a command line")]
struct Up {
    /// Model file (YAML).
    file: PathBuf,
    /// Stay in the foreground and print the log; Ctrl-C ends the model.
    #[arg(long, conflicts_with = "detach")]
    foreground: bool,
    /// Go to the background once the model is deployed; the default.
    #[arg(long)]
    detach: bool,
    /// Programs for workloads (bin/pebble, bin/nginx, …).
    #[arg(long, env = "JUJU_SIM_TOOLS")]
    tools: Option<PathBuf>,
    /// Make no pods, even where it could be done: hooks run here, against stand-ins of Pebble.
    #[arg(long)]
    in_process: bool,
    /// End with standard input.
    #[arg(long, hide = true, requires = "foreground")]
    until_eof: bool,
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let internal = env::args().nth(1).is_some_and(|verb| verb == "workload" || verb.starts_with("internal-"));
    match if internal { run_internal(Internal::parse()) } else { run(arguments()) } {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {error:#}", print::error_label());
            ExitCode::FAILURE
        }
    }
}

/// The program's command line, with its help in order.
pub(crate) fn command() -> clap::Command {
    manual::arrange(Cli::command())
}

fn arguments() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn run_internal(verb: Internal) -> Result<ExitCode> {
    match verb {
        Internal::InternalEnter { spec, command } => enter::enter(&spec, &command),
        Internal::InternalExec { spec, command } => enter::exec(&spec, &command),
        Internal::InternalPause { until_eof } => enter::pause(until_eof),
        Internal::InternalInit { arguments } => enter::init(&arguments),
        Internal::InternalDaemon { start } => {
            let start = serde_json::from_str(&start)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(daemon::run(start))?;
            runtime.shutdown_background();
            Ok(ExitCode::SUCCESS)
        }
        Internal::Workload { workload } => crate::doubles::workload(&workload),
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let format = cli.format;
    match cli.verb {
        Verb::Init { charms, output: file, force } => {
            return self::init(&charms, &file, cli.model.as_deref(), force, format);
        }
        Verb::Completions { shell } => return manual::completions(shell),
        Verb::Man { dir } => return manual::pages(dir.as_deref()),
        Verb::Up(up) => return self::up(&up, cli.model.as_deref(), format),
        Verb::Doctor { tools } => return Ok(doctor(tools, format)),
        Verb::Models => {
            let running: BTreeMap<String, bool> = models()
                .into_iter()
                .map(|name| (name.clone(), Client::new(&name).status().is_ok()))
                .collect();
            output(format, &serde_json::to_value(&running)?, || {
                let line = |(name, alive): (&String, &bool)| {
                    format!("{name}{}", if *alive { "" } else { "  (not running)" })
                };
                running.iter().map(line).collect::<Vec<_>>().join("\n")
            });
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    // Ending what does not run is no failure: the wish is fulfilled.
    if matches!(cli.verb, Verb::Down)
        && cli.model.is_none()
        && models().iter().all(|name| Client::new(name).status().is_err())
    {
        eprintln!("juju-sim: no model runs here");
        return Ok(ExitCode::SUCCESS);
    }
    let client = Client::new(&choose(cli.model)?);
    verb(&client, cli.verb, format)
}

/// Prints an answer; nothing at all when there is nothing to say.
fn output(format: Format, value: &Value, text: impl FnOnce() -> String) {
    let text = match format {
        Format::Json => value.to_string(),
        Format::Yaml => print::yaml(value),
        Format::Text => text(),
    };
    if !text.is_empty() {
        // A reader that closed its end wants no more; that is no error.
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

/// The model that a command is for.
fn choose(model: Option<String>) -> Result<String> {
    if let Some(model) = &model
        && Client::new(model).status().is_ok()
    {
        return Ok(model.clone());
    }
    let mut running: Vec<_> =
        models().into_iter().filter(|name| Client::new(name).status().is_ok()).collect();
    match (model, running.len()) {
        (Some(model), 0) => {
            bail!(
                "model {model:?} does not run here, and no other does; start it with: juju-sim up MODEL.yaml"
            )
        }
        (Some(model), _) => bail!("model {model:?} does not run here; there are: {}", running.join(", ")),
        (None, 0) => bail!(
            "no model runs here; start one with: juju-sim up MODEL.yaml (juju-sim init writes such a file for a charm)"
        ),
        (None, 1) => Ok(running.remove(0)),
        (None, _) => bail!("several models run here; choose one with --model: {}", running.join(", ")),
    }
}

fn verb(client: &Client, verb: Verb, format: Format) -> Result<ExitCode> {
    match verb {
        Verb::Status => {
            let status = client.status()?;
            output(format, &serde_json::to_value(&status)?, || print::status(&status));
        }
        Verb::ShowUnit { unit } => {
            let details = client.show_unit(&unit)?;
            output(format, &print::named(&details), || print::unit(&details));
        }
        Verb::Config { app, values, reset } => return config(client, &app, values, reset, format),
        Verb::Integrate { left, right } => {
            tell(client, format, &Request::Integrate { left, right }, |id| format!("relation {id}"))?;
        }
        Verb::RemoveRelation { left, right } => {
            tell(client, format, &Request::RemoveRelation { left, right }, |_| String::new())?;
        }
        Verb::AddUnit { app, num_units } => {
            tell(client, format, &Request::AddUnit { app, count: num_units }, list)?;
        }
        Verb::RemoveUnit { target, num_units, force } => {
            tell(client, format, &Request::RemoveUnit { target, count: num_units, force }, |names| {
                format!("removing {}", list(names))
            })?;
        }
        Verb::RemoveApplication { app } => {
            tell(client, format, &Request::RemoveApplication { app }, |_| String::new())?;
        }
        Verb::Run { unit, action, params, wait } => {
            let params = params.iter().map(|pair| {
                let (name, value) =
                    pair.split_once('=').with_context(|| format!("{pair:?} is not PARAMETER=VALUE"))?;
                Ok((name.to_owned(), verbs::typed(value)))
            });
            let request =
                Request::Run { unit, action, params: params.collect::<Result<_>>()?, timeout: wait };
            let outcome: juju_sim::client::ActionOutcome = client.ask(&request)?;
            output(format, &serde_json::to_value(&outcome)?, || print::action(&outcome));
            return Ok(if outcome.status == "completed" { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Verb::DebugLog { include, level, lines, follow } => {
            debug_log(client, include.as_deref(), &level, lines, follow, format)?;
        }
        Verb::Exec { unit, container, stdin, timeout, command } => {
            let stdin = stdin.then(|| std::io::read_to_string(std::io::stdin()));
            let stdin = stdin.transpose().context("reading standard input")?;
            let outcome: juju_sim::client::ExecOutcome =
                client.ask(&Request::Exec { unit, container, command, stdin, timeout })?;
            if format == Format::Text {
                let _ = std::io::stdout().write_all(outcome.stdout.as_bytes());
                let _ = std::io::stderr().write_all(outcome.stderr.as_bytes());
            } else {
                output(format, &serde_json::to_value(&outcome)?, String::new);
            }
            return Ok(ExitCode::from(u8::try_from(outcome.code).unwrap_or(255)));
        }
        Verb::Logs { unit, container } => {
            let details = client.show_unit(&unit)?;
            let file = home()
                .join(client.model())
                .join("logs")
                .join(format!("{}-{container}.log", details.unit.replace('/', "-")));
            let text = fs::read_to_string(&file).with_context(|| {
                let known: Vec<_> = details.containers.keys().map(String::as_str).collect();
                let unit = &details.unit;
                format!(
                    "{unit} has no log of a container {container:?}; its containers: {}",
                    known.join(", ")
                )
            })?;
            output(format, &Value::String(text.clone()), || text.trim_end().to_owned());
        }
        Verb::Wait { apps, active, timeout } => {
            let active = active || !apps.is_empty();
            let progress = Progress::watch(client.model());
            let waited = client.request(&Request::Wait { apps, active, timeout });
            drop(progress);
            output(format, &waited?, String::new);
        }
        Verb::Resolved { unit, no_retry } => {
            tell(client, format, &Request::Resolved { unit, retry: !no_retry }, |_| String::new())?;
        }
        Verb::Dispatch { unit, event } => {
            tell(client, format, &Request::Dispatch { unit, event }, |_| String::new())?;
        }
        Verb::Refresh { app, path } => {
            let charm = match path {
                Some(path) => Some(
                    fs::canonicalize(&path)
                        .with_context(|| format!("charm {}", path.display()))?
                        .to_string_lossy()
                        .into_owned(),
                ),
                None => None,
            };
            tell(client, format, &Request::Refresh { app, charm }, |revision| {
                format!("revision {revision}")
            })?;
        }
        Verb::KillContainer { unit, container } => {
            tell(client, format, &Request::KillContainer { unit, container }, |_| String::new())?;
        }
        Verb::FailHookTool { unit, tool, nth } => {
            tell(client, format, &Request::FailHookTool { unit, tool, nth }, |_| String::new())?;
        }
        Verb::FailHookTools { unit, percent, seed } => {
            tell(client, format, &Request::FailHookTools { unit, percent, seed }, |_| String::new())?;
        }
        Verb::KillPod { unit } => {
            tell(client, format, &Request::KillPod { unit }, |_| String::new())?;
        }
        Verb::FreezePebble { unit, container, thaw } => {
            tell(client, format, &Request::FreezePebble { unit, container, thaw }, |_| String::new())?;
        }
        Verb::FailKubernetes { status, heal } => {
            let status = (!heal).then_some(status);
            tell(client, format, &Request::FailKubernetes { status }, |_| String::new())?;
        }
        Verb::KillLeader { app } => {
            tell(client, format, &Request::KillLeader { app }, |unit| format!("{} leads now", plain(unit)))?;
        }
        Verb::Partition { unit, heal } => {
            tell(client, format, &Request::Partition { unit, heal }, |_| String::new())?;
        }
        Verb::SendSpans { unit, protocol, url, spans, timeout, age, tls, ca_file } => {
            let ca = certificates(ca_file)?;
            let sent =
                client.request(&Request::SendSpans { unit, protocol, url, spans, timeout, age, tls, ca })?;
            output(format, &sent, || print::yaml(&sent));
            return Ok(if sent["accepted"] == spans { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Verb::Fetch { unit, urls, timeout, ca_file } => {
            let ca = certificates(ca_file)?;
            let fetched: Vec<Fetched> = client.ask(&Request::Fetch { unit, urls, timeout, ca })?;
            output(format, &serde_json::to_value(&fetched)?, || print::fetched(&fetched));
            let good = fetched.iter().all(Fetched::is_success);
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Verb::Trust { app, remove, scope: _ } => {
            tell(client, format, &Request::Trust { app, remove }, |_| String::new())?;
        }
        Verb::Objects => tell(client, format, &Request::Objects, print::objects)?,
        Verb::Counts { app, service } => {
            tell(client, format, &Request::Counts { app, service }, print::yaml)?;
        }
        Verb::Down => {
            client.down()?;
            let deadline = Instant::now() + Duration::from_secs(10);
            let socket = home().join(client.model()).join("control.sock");
            while socket.exists() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        // Those that need no running model were answered before.
        Verb::Init { .. }
        | Verb::Up(_)
        | Verb::Models
        | Verb::Doctor { .. }
        | Verb::Completions { .. }
        | Verb::Man { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// A number of a hundred.
fn percentage(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "not a number from 0 to 100".to_owned())
}

/// The text of a file with certificates, if one is named.
fn certificates(file: Option<PathBuf>) -> Result<Option<String>> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).with_context(|| format!("certificates in {}", path.display()))
    };
    file.map(read).transpose()
}

fn tell(
    client: &Client,
    format: Format,
    request: &Request,
    text: impl FnOnce(&Value) -> String,
) -> Result<()> {
    let value = client.request(request)?;
    output(format, &value, || text(&value));
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>().join(" ")
}

fn config(
    client: &Client,
    app: &str,
    values: Vec<String>,
    reset: Vec<String>,
    format: Format,
) -> Result<ExitCode> {
    let mut set = BTreeMap::new();
    let mut shown = None;
    for value in values {
        match value.split_once('=') {
            // As for Juju: @FILE stands for the file's content.
            Some((name, text)) => {
                let text = match text.strip_prefix('@') {
                    Some(file) => fs::read_to_string(file).with_context(|| format!("reading {file}"))?,
                    None => text.to_owned(),
                };
                set.insert(name.to_owned(), text);
            }
            None if shown.is_none() => shown = Some(value),
            None => bail!("only one option can be shown at a time; to set one, write OPTION=VALUE"),
        }
    }
    let changes = !set.is_empty() || !reset.is_empty();
    let options: BTreeMap<String, juju_sim::client::OptionValue> =
        client.ask(&Request::Config { app: app.to_owned(), set, reset })?;
    if let Some(name) = shown {
        let option = options.get(&name).with_context(|| {
            let known: Vec<_> = options.keys().map(String::as_str).collect();
            format!("{app} has no option {name:?}; it has {}", known.join(", "))
        })?;
        output(format, &option.value, || plain(&option.value));
    } else if !changes {
        output(format, &serde_json::to_value(&options)?, || print::options(&options));
    }
    Ok(ExitCode::SUCCESS)
}

fn debug_log(
    client: &Client,
    include: Option<&str>,
    level: &str,
    limit: usize,
    follow: bool,
    format: Format,
) -> Result<()> {
    let mut after = 0;
    let mut limit = limit;
    loop {
        let include = include.map(str::to_owned);
        let request = Request::DebugLog { after, include, level: level.to_owned(), limit };
        let lines: Vec<LogEntry> = client.ask(&request)?;
        if format == Format::Text {
            let text: Vec<_> = lines.iter().map(log::format).collect();
            output(format, &Value::Null, || text.join("\n"));
        } else {
            output(format, &serde_json::to_value(&lines)?, String::new);
        }
        if !follow {
            return Ok(());
        }
        after = lines.last().map_or(after, |line| line.number);
        limit = 0;
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Folder of programs when nobody names another. Never one in which others may put programs.
fn default_tools() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    cache.unwrap_or_else(|| "/var/cache".into()).join("juju-sim/tools")
}

/// The options with which a model gets namespaces of its own, all of which end with its first process.
const UNSHARE: [&str; 8] =
    ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Tries whether pods can be made here; `Err` says what is missing.
fn try_namespaces() -> Result<()> {
    let script = "set -e; ip link add name juju-sim0 type bridge; ip link add name a type veth peer name b; mount -t tmpfs juju-sim /mnt 2>/dev/null || mount -t tmpfs juju-sim /tmp";
    let output =
        Command::new("unshare").args(UNSHARE).args(["sh", "-c", script]).stdin(Stdio::null()).output();
    match output {
        Err(error) => bail!("unshare (Debian package util-linux) cannot be run: {error}"),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let hint =
                if text.contains("ip: not found") { " (install the Debian package iproute2)" } else { "" };
            bail!("user namespaces are not allowed, or lack something: {}{hint}", text.trim())
        }
    }
}

/// Writes a model file, and says how to go on.
fn init(
    charms: &[PathBuf],
    file: &Path,
    name: Option<&str>,
    force: bool,
    format: Format,
) -> Result<ExitCode> {
    let written = init::init(charms, file, name.unwrap_or("demo"), force)?;
    for note in &written.notes {
        eprintln!("juju-sim: {note}");
    }
    if file == Path::new("-") {
        let _ = std::io::stdout().write_all(written.text.as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    let value = serde_json::json!({
        "file": file, "applications": written.applications, "stand-ins": written.stand_ins, "notes": written.notes,
    });
    output(format, &value, || {
        let stand_ins = match &written.stand_ins[..] {
            [] => String::new(),
            names => format!(", with stand-ins: {}", names.join(", ")),
        };
        let (file, applications) = (file.display(), written.applications.join(", "));
        format!("wrote {file} for {applications}{stand_ins}\nstart it with: juju-sim up {file}")
    });
    Ok(ExitCode::SUCCESS)
}

fn up(up: &Up, name: Option<&str>, format: Format) -> Result<ExitCode> {
    let mut model = ModelFile::read(&up.file)?;
    if let Some(name) = name {
        model.rename(name)?;
    }
    // What can be said about the charms is better said here than in a log.
    for (name, app) in &model.applications {
        crate::charm::load(&app.charm).with_context(|| format!("application {name}"))?;
    }
    let name = model.name.clone();
    let client = Client::new(&name);
    if client.status().is_ok() {
        bail!("model {name:?} runs already; end it with: juju-sim down --model {name}");
    }
    let dir = home().join(&name);
    own_folder(&home())?;
    own_folder(&dir)?;
    if dir.join("control.sock").as_os_str().len() > 107 {
        bail!("{} is too long a path for sockets; set JUJU_SIM_HOME to a shorter folder", dir.display());
    }
    for file in ["control.sock", "daemon.log", "debug.log"] {
        let _ = fs::remove_file(dir.join(file));
    }
    let _ = fs::remove_dir_all(dir.join("logs"));
    let dir = fs::canonicalize(&dir)?;
    let tools = up.tools.clone().unwrap_or_else(default_tools);
    let tools = fs::canonicalize(&tools).unwrap_or(tools);
    let namespaces =
        if up.in_process { Err(anyhow::anyhow!("--in-process was given")) } else { try_namespaces() };
    let mut reasons = Vec::new();
    if let Err(reason) = &namespaces {
        reasons.push(format!("no pods ({reason:#}): hooks run on this machine, against stand-ins of Pebble, and no traffic flows"));
    } else if !tools.join("bin/pebble").is_file() {
        reasons.push(format!(
            "no Pebble in {}: stand-ins answer for it, and no workload runs",
            tools.join("bin").display()
        ));
    }
    for reason in &reasons {
        eprintln!("juju-sim: {reason}");
    }
    let start = serde_json::to_string(&daemon::Start {
        dir: dir.clone(),
        model,
        tools,
        pods: namespaces.is_ok(),
        reasons: reasons.clone(),
        foreground: up.foreground,
        until_eof: up.until_eof,
    })?;
    let program = env::current_exe()?;
    let mut command = if namespaces.is_ok() {
        let mut command = Command::new("unshare");
        command.args(UNSHARE).arg(&program).args(["internal-init", "--", "internal-daemon", &start]);
        command
    } else {
        let mut command = Command::new(&program);
        command.args(["internal-daemon", &start]);
        command
    };
    if up.foreground {
        let status = command.status().context("starting the model")?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let progress = Progress::begin(&format!("starting model {name}"));
    detach(command, &client, &dir)?;
    drop(progress);
    let value = serde_json::json!({ "model": name, "folder": dir, "reasons": reasons });
    output(format, &value, || format!("model {name} is up; its logs are in {}", dir.display()));
    Ok(ExitCode::SUCCESS)
}

/// Makes a folder that only this user can look into: models hold credentials, and their sockets obey whoever can open them.
fn own_folder(path: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("making {}", path.display()))?;
    let owner = fs::symlink_metadata(path)?;
    if !owner.is_dir() || owner.uid() != nix::unistd::getuid().as_raw() {
        bail!("{} belongs to somebody else; set JUJU_SIM_HOME to a folder of your own", path.display());
    }
    Ok(())
}

/// Starts the daemon in the background and waits until it answers.
fn detach(mut command: Command, client: &Client, dir: &Path) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let file = dir.join("daemon.log");
    let log = fs::File::create(&file)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("starting the model")?;
    let deadline = Instant::now() + Duration::from_mins(1);
    while client.status().is_err() {
        if child.try_wait()?.is_some() || Instant::now() > deadline {
            let text = fs::read_to_string(&file).unwrap_or_default();
            bail!("the model did not come up: {}", text.trim().trim_start_matches("ERROR "));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Says what this machine can do; succeeds when it can do everything.
fn doctor(tools: Option<PathBuf>, format: Format) -> ExitCode {
    let tools = tools.unwrap_or_else(default_tools);
    let program = |name: &str| {
        let path = tools.join("bin").join(name);
        if path.is_file() {
            Ok(path.display().to_string())
        } else {
            Err(format!("{} is missing (cargo xtask tools builds it)", path.display()))
        }
    };
    let found = [
        (
            "namespaces",
            try_namespaces()
                .map(|()| "can be made without privileges".to_owned())
                .map_err(|error| format!("{error:#}")),
        ),
        ("pebble", program("pebble")),
        ("nginx", program("nginx")),
        ("nginx-prometheus-exporter", program("nginx-prometheus-exporter")),
    ];
    let without = |what: &str| match what {
        "namespaces" => "no pods and no traffic: hooks run on this machine against stand-ins of Pebble",
        "pebble" => "stand-ins answer for Pebble: services are recorded, not run",
        _ => "its service does not start",
    };
    let line = |(name, result): &(&str, Result<String, String>)| match result {
        Ok(text) => format!("ok       {name}: {text}"),
        Err(text) => format!("missing  {name}: {text}; {}", without(name)),
    };
    let value: serde_json::Map<String, Value> = found
        .iter()
        .map(|(name, result)| {
            let text: &dyn Display = match result {
                Ok(text) | Err(text) => text,
            };
            ((*name).to_owned(), serde_json::json!({ "ok": result.is_ok(), "message": text.to_string() }))
        })
        .collect();
    output(format, &Value::Object(value), || found.iter().map(line).collect::<Vec<_>>().join("\n"));
    if found.iter().all(|(_, result)| result.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
