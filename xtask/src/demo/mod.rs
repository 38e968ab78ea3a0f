//! The whole of it on one machine: two packed charms in a local Juju, real spans through real nginx, and every claim
//! that is made on the way checked.
//!
//! The model is `examples/demo/model.yaml`. It is always taken down again, also on failure and on Ctrl-C.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{cargo, repository, show, target_directory};
use crate::progress::{Step, seconds};
use crate::sim::Sim;
use crate::{pack, tools};

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fail where pods or real programs are not to be had, instead of showing the databags only
    #[arg(long)]
    full: bool,
    /// Compile the charms without optimisation: sooner ready the first time
    #[arg(long)]
    debug: bool,
}

const MODEL: &str = include_str!("../../../examples/demo/model.yaml");

/// The coordinator's units.
const COORDINATOR_UNITS: [&str; 2] = ["tempo/0", "tempo/1"];
/// The requirers of the model, and what each asks for.
const REQUIRERS: [(&str, &[&str]); 3] = [
    ("orders", &["otlp_grpc", "otlp_http"]),
    ("payments", &["zipkin"]),
    ("shipping", &["jaeger_thrift_http"]),
];
/// The requirer that leaves, and the port of the protocol that only it wanted.
const LEAVER: &str = "payments";
const LEAVER_PORT: &str = "9411/tcp";
/// Spans sent in each protocol.
const SPANS: u64 = 100;
/// How long a model may take to settle.
const PATIENCE: Duration = Duration::from_mins(3);

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let begun = Instant::now();
    let tools = tools::ensure()?;
    if options.full && !tools.missing.is_empty() {
        bail!("{}", tools.missing.join("\n"));
    }
    for sentence in &tools.missing {
        println!("{sentence}");
    }

    let target = target_directory()?;
    let folder = target.join("demo");
    fs::create_dir_all(&folder)?;
    show(cargo().args(["build", "--quiet", "--locked", "--package", "juju-sim", "--bins"]))?;
    let step = Step::begin("packing the charms");
    let pack = |charm: &Path, name: &str| pack::pack(charm, Some(&folder.join(name)), options.debug);
    let coordinator = pack(&repository(), "tempo-coordinator-k8s.charm")?;
    let requirer = pack(&repository().join("examples/requirer"), "tracing-requirer.charm")?;
    step.done();
    coordinator.print();
    requirer.print();
    let model = folder.join("model.yaml");
    fs::write(&model, MODEL)?;

    let ready = Instant::now();
    let sim = Sim::new(target.join("debug/juju-sim"), &tools.folder, "demo")?;
    let mut claims = Claims::default();
    let played = play(&sim, &model, &tools, options.full, &mut claims);
    let failed = played.is_err() || !claims.broken.is_empty();
    if failed && !sim.interrupted() {
        sim.explain();
    }
    let down = sim.down();
    if !failed || sim.interrupted() {
        sim.clean();
    }
    played?;
    down.context("taking the model down")?;
    claims.report()?;
    println!("built in {}, shown in {}", seconds(ready - begun), seconds(ready.elapsed()));
    Ok(())
}

/// The demonstration itself, from an empty machine to the last claim.
fn play(sim: &Sim, model: &Path, tools: &tools::Tools, full: bool, claims: &mut Claims) -> Result<()> {
    headline("Deploying the model");
    let step = Step::begin("deploying and settling");
    sim.up(model, PATIENCE)?;
    sim.wait(PATIENCE)?;
    step.done();
    let status = sim.status()?;
    let traffic = carries_traffic(&status, tools);
    match (&traffic, full) {
        (Err(reason), true) => bail!("no traffic can be sent: {reason}"),
        (Err(reason), false) => println!("{reason}: databags are shown, traffic is not sent."),
        (Ok(()), _) => {}
    }
    println!("{}", sim.status_table()?.trim_end());
    everyone_is_active(&status, claims);

    headline("What each requirer received");
    let wanted: BTreeSet<&str> =
        REQUIRERS.iter().flat_map(|(_, protocols)| protocols.iter().copied()).collect();
    let mut urls = BTreeMap::new();
    for (app, asked) in REQUIRERS {
        let received = sim.received(&format!("{app}/0"))?;
        println!("{app} asked for {}", asked.join(", "));
        for (protocol, url) in &received {
            println!("    {protocol:<20} {url}");
        }
        claims.hold(
            received.keys().map(String::as_str).collect::<BTreeSet<_>>() == wanted,
            format!("{app} got a URL for each protocol that anybody asked for, and no other"),
        );
        urls.insert(app, received);
    }
    claims.hold(urls.values().collect::<BTreeSet<_>>().len() == 1, "all requirers got the same URLs");

    if traffic.is_ok() {
        headline("Sending spans from the requirers' pods to those URLs");
        let sent: Vec<(&str, &str)> = REQUIRERS
            .iter()
            .flat_map(|(app, asked)| asked.iter().map(|protocol| (*app, *protocol)))
            .collect();
        send(sim, &sent, &urls, claims)?;
    }

    headline(&format!("Removing {LEAVER}, the only one that wanted zipkin"));
    let gone = urls[LEAVER].get("zipkin").cloned();
    sim.run(&["remove-application", LEAVER])?;
    sim.wait(PATIENCE)?;
    let rest: Vec<_> = REQUIRERS.into_iter().filter(|(app, _)| *app != LEAVER).collect();
    let mut urls = BTreeMap::new();
    for (app, _) in &rest {
        let received = sim.received(&format!("{app}/0"))?;
        claims.hold(
            !received.is_empty() && !received.contains_key("zipkin"),
            format!("{app} is no longer told of zipkin, and still of the rest"),
        );
        urls.insert(*app, received);
    }
    let status = sim.status()?;
    claims.hold(status["applications"][LEAVER].is_null(), format!("{LEAVER} is gone from the model"));
    let open = units(&status).filter(|(name, _)| ports(&status, name).contains(LEAVER_PORT)).count();
    claims.hold(open == 0, format!("no unit, worker or coordinator, has port {LEAVER_PORT} open any more"));
    for unit in COORDINATOR_UNITS {
        let ports = ports(&status, unit);
        claims.hold(
            !ports.is_empty() && !ports.contains(LEAVER_PORT),
            format!("{unit} closed port {LEAVER_PORT} and keeps the others open"),
        );
    }
    if traffic.is_ok() {
        for unit in COORDINATOR_UNITS {
            let url = format!("http://{}:9411", address(&status, unit)?);
            claims.hold(refused(sim, &url)?, format!("nginx of {unit} refuses connections to {url}"));
        }
        if let Some(url) = gone {
            claims.hold(
                refused(sim, &url)?,
                format!("{url}, which {LEAVER} was once told, takes no spans any more"),
            );
        }
        let sent: Vec<(&str, &str)> =
            rest.iter().flat_map(|(app, asked)| asked.iter().map(|protocol| (*app, *protocol))).collect();
        send(sim, &sent, &urls, claims)?;
    }
    everyone_is_active(&status, claims);
    Ok(())
}

/// Sends spans and compares with what the workers have counted.
fn send(
    sim: &Sim,
    what: &[(&str, &str)],
    urls: &BTreeMap<&str, BTreeMap<String, String>>,
    claims: &mut Claims,
) -> Result<()> {
    let before = sim.counts()?;
    for (app, protocol) in what {
        let url =
            urls[app].get(*protocol).with_context(|| format!("{app} was told no URL for {protocol}"))?;
        let outcome = sim.send(&format!("{app}/0"), protocol, url, SPANS, Duration::from_secs(15), false)?;
        if let Some(error) = outcome.error {
            claims.hold(false, format!("{app} sends {protocol} to {url}: {error}"));
        }
    }
    let arrived = |protocol: &str, now: &BTreeMap<String, u64>| {
        let of = |counts: &BTreeMap<String, u64>| counts.get(protocol).copied().unwrap_or(0);
        of(now) - of(&before).min(of(now))
    };
    let after = sim.counts()?;
    println!("{:<20} {:<10} {:>6} {:>8}", "PROTOCOL", "FROM", "SENT", "ARRIVED");
    for (app, protocol) in what {
        let count = arrived(protocol, &after);
        println!("{protocol:<20} {app:<10} {SPANS:>6} {count:>8}");
        claims.hold(
            count == SPANS,
            format!("all {SPANS} spans that {app} sent as {protocol} arrived at workers"),
        );
    }
    Ok(())
}

/// Whether nobody takes Zipkin spans at a URL, seen from the pod of a requirer that is still there.
///
/// nginx is told to reload in a hook, and lets go of a port when it gets to it: it has a few seconds.
fn refused(sim: &Sim, url: &str) -> Result<bool> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let delivery = sim.send("orders/0", "zipkin", url, 1, Duration::from_secs(2), false)?;
        let refused = delivery.error.is_some_and(|error| error.to_lowercase().contains("refused"));
        if (delivery.accepted == 0 && refused) || Instant::now() > deadline {
            return Ok(delivery.accepted == 0 && refused);
        }
    }
}

/// Whether the model's units have pods of their own, with real programs in them; the reasons if not.
fn carries_traffic(status: &Value, tools: &tools::Tools) -> Result<(), String> {
    let simulator = &status["simulator"];
    let reasons = simulator["reasons"].as_array().into_iter().flatten();
    let mut reasons: Vec<&str> = reasons.filter_map(Value::as_str).collect();
    if reasons.is_empty() && !(simulator["pods"] == true && simulator["pebble"] == true) {
        reasons.push("the simulator runs no pods");
    }
    if !tools.has("nginx") {
        reasons.push("there is no nginx");
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ")) }
}

/// All units of a status: name and what is known of it.
fn units(status: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let applications = status["applications"].as_object().into_iter().flatten();
    applications.flat_map(|(_, app)| app["units"].as_object().into_iter().flatten())
}

fn unit<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    units(status).find(|(unit, _)| *unit == name).map(|(_, unit)| unit)
}

/// Claims that all units are active.
fn everyone_is_active(status: &Value, claims: &mut Claims) {
    let units: Vec<_> = units(status).collect();
    for (name, unit) in &units {
        let status = &unit["workload-status"];
        if status["current"] != "active" {
            let (current, message) = (&status["current"], &status["message"]);
            claims.hold(false, format!("{name} is active, not {current} ({message})"));
        }
    }
    let active = units.iter().filter(|(_, unit)| unit["workload-status"]["current"] == "active").count();
    claims.hold(active > 0 && active == units.len(), format!("{active} of {} units are active", units.len()));
}

fn ports(status: &Value, name: &str) -> BTreeSet<String> {
    let ports = unit(status, name).and_then(|unit| unit["open-ports"].as_array());
    ports.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn address<'a>(status: &'a Value, name: &str) -> Result<&'a str> {
    unit(status, name)
        .and_then(|unit| unit["address"].as_str())
        .with_context(|| format!("{name} has no address"))
}

fn headline(text: &str) {
    println!("\n=== {text}");
}

/// What was claimed, and what did not hold.
#[derive(Default)]
struct Claims {
    held: usize,
    broken: Vec<String>,
}

impl Claims {
    fn hold(&mut self, held: bool, claim: impl Into<String>) {
        let claim = claim.into();
        if held {
            println!("  ok      {claim}");
            self.held += 1;
        } else {
            println!("  FAILED  {claim}");
            self.broken.push(claim);
        }
    }

    fn report(self) -> Result<()> {
        println!();
        if self.broken.is_empty() {
            println!("All {} claims held.", self.held);
            return Ok(());
        }
        bail!(
            "{} of {} claims did not hold:\n  {}",
            self.broken.len(),
            self.held + self.broken.len(),
            self.broken.join("\n  ")
        )
    }
}
