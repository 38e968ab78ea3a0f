//! The scenarios: each brings up a model of its own, changes it, and says what holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::dashboards;
use crate::process::{repository, target_directory};

use super::faults;
use super::metrics::{Seen, expressions, wanted};
use super::stage::{
    DISTRIBUTED, Layout, MONOLITHIC, PROTOCOLS, RATE, SENDER, Stage, THREE_INGESTERS, host_of,
};

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What it is about, for people.
    pub(crate) about: &'static str,
    /// Tools that take minutes to make and that it needs beside Tempo and its storage.
    pub(crate) tools: &'static [&'static str],
    /// Whether it is among those that show most in little time.
    pub(crate) short: bool,
    pub(crate) play: fn(&mut Stage) -> Result<()>,
}

/// Every scenario, in the order in which they are played.
pub(crate) const SCENARIOS: [Scenario; 17] = [
    Scenario { about: "one worker with every role", ..scenario("monolithic", monolithic) },
    Scenario { about: "an application of workers for each role", ..scenario("distributed", distributed) },
    Scenario {
        about: "the same with an authority: everything encrypted",
        short: true,
        ..scenario("distributed-tls", distributed_tls)
    },
    Scenario {
        about: "an ingester more and one less, of three, while spans are sent",
        ..scenario("scaling", scaling)
    },
    Scenario {
        about: "the only one that wanted a protocol leaves",
        ..scenario("requirer-leaves", requirer_leaves)
    },
    Scenario { about: "another retention reaches the Tempo that runs", ..scenario("retention", retention) },
    Scenario { about: "the coordinator leaves, and the workers stop", ..scenario("removal", removal) },
    Scenario {
        about: "spans and queries through a real Traefik",
        tools: &["traefik"],
        ..scenario("ingress", ingress)
    },
    Scenario {
        about: "traces that the cluster makes of itself are found by their labels",
        ..scenario("self-tracing", self_tracing)
    },
    Scenario {
        about: "metrics from spans are written to a real Prometheus",
        tools: &["prometheus"],
        ..scenario("metrics-generator", metrics_generator)
    },
    Scenario {
        about: "every metric that rules and dashboards ask for is on a real page",
        ..scenario("metric-names", metric_names)
    },
    Scenario {
        about: "what panels show of a whole cluster, kept for `cargo xtask dashboards --answers`",
        tools: &["prometheus"],
        ..scenario("dashboards", show_dashboards)
    },
    Scenario { about: "five minutes in which nothing happens", ..scenario("steady", faults::steady) },
    Scenario {
        about: "parts of an encrypted cluster die one after the other while spans are sent",
        short: true,
        ..scenario("faults", faults::faults)
    },
    Scenario {
        about: "hook tools, Pebble, the Kubernetes API and the disk fail while there is work to do",
        short: true,
        ..scenario("obstacles", faults::obstacles)
    },
    Scenario { about: "a hundred requirers come within a minute", ..scenario("crowd", faults::crowd) },
    Scenario {
        about: "hooks of four stories are cut at every call",
        short: true,
        ..scenario("sweep", faults::sweep)
    },
];

/// A scenario that is like most.
const fn scenario(name: &'static str, play: fn(&mut Stage) -> Result<()>) -> Scenario {
    Scenario { name, about: "", tools: &[], short: false, play }
}

fn monolithic(stage: &mut Stage) -> Result<()> {
    stage.up(&MONOLITHIC)?;
    let published: Vec<String> = stage.receivers().keys().cloned().collect();
    stage.claim(published == PROTOCOLS, "a URL is published for each of the five protocols");
    let listed = stage.sim.run(&["run", "tempo/1", "list-receivers"])?;
    let all = stage.receivers().values().all(|url| listed.contains(url.as_str()));
    stage.claim(all, "the action list-receivers lists them on a unit that does not lead");
    stage.deliver("")
}

fn distributed(stage: &mut Stage) -> Result<()> {
    stage.up(&DISTRIBUTED)?;
    stage.deliver("")
}

fn distributed_tls(stage: &mut Stage) -> Result<()> {
    stage.up(&Layout { tls: true, ..DISTRIBUTED })?;
    let encrypted = stage.receivers().iter().filter(|(_, url)| url.starts_with("https://")).count();
    stage.claim(encrypted == 3, "the URLs of the three HTTP protocols are https");
    let api = stage.api()?;
    stage.claim(api.starts_with("https://"), format!("Tempo's API is published as {api}"));
    stage.deliver("")?;
    let plain = stage.ask(&format!("{}/ready", api.replacen("https://", "http://", 1)))?;
    let refused = !(200..300).contains(&plain.status);
    stage.claim(refused, format!("the API does not answer without TLS (status {})", plain.status));
    Ok(())
}

fn scaling(stage: &mut Stage) -> Result<()> {
    stage.up(&Layout { workers: &THREE_INGESTERS, ..DISTRIBUTED })?;
    // Those that spans pass; a compactor watches its ring for a minute each time.
    let apps = ["tempo", "distributor", "ingester", "querier", "query-frontend"];
    stage.while_sending("while scaling", RATE, |stage| {
        stage.pause(Duration::from_secs(3))?;
        stage.change("adding an ingester", &[&["add-unit", "ingester"]], &apps)?;
        stage.pause(Duration::from_secs(3))?;
        stage.change("removing an ingester", &[&["remove-unit", "ingester/3"]], &apps)?;
        stage.pause(Duration::from_secs(3))
    })?;
    stage.deliver("afterwards")
}

fn requirer_leaves(stage: &mut Stage) -> Result<()> {
    let payments = json!({"charm": "./tracing-requirer.charm", "options": {"protocols": "zipkin"}});
    let layout = Layout {
        protocols: &["otlp_grpc", "otlp_http", "jaeger_grpc", "jaeger_thrift_http"],
        more: &[("payments", payments)],
        relations: &[["tempo:tracing", "payments:tracing"]],
        ..MONOLITHIC
    };
    stage.up(&layout)?;
    stage.deliver("before")?;
    let zipkin = stage.receivers().get("zipkin").cloned().context("zipkin is not published")?;
    stage.change(
        "removing payments, the only one that wants zipkin",
        &[&["remove-application", "payments"]],
        &[],
    )?;
    let left: BTreeSet<String> = stage.receivers().keys().cloned().collect();
    stage.claim(
        !left.contains("zipkin") && left.len() == 4,
        "zipkin is published no longer, and the others are",
    );
    // nginx is told to reload in a hook, and lets go of a port when it gets to it.
    let gone =
        stage.ask_until(&zipkin, Duration::from_secs(10), |answer| answer.error.contains("refused"))?;
    stage.claim(gone.error.contains("refused"), "nobody listens where zipkin was published");
    stage.deliver("afterwards")
}

fn retention(stage: &mut Stage) -> Result<()> {
    stage.up(&MONOLITHIC)?;
    let url = stage.url_of("worker/0", 3200, "/status/config");
    let before = stage.ask(&url)?;
    let default = before.body.contains("block_retention: 720h0m0s");
    stage.claim(default, "Tempo runs with the default retention of 720 hours");
    stage.deliver("before")?;
    stage.change(
        "setting retention-period to 48",
        &[&["config", "tempo", "retention-period=48"]],
        &["tempo"],
    )?;
    let after = stage
        .ask_until(&url, Duration::from_mins(1), |answer| answer.body.contains("block_retention: 48h0m0s"))?;
    stage.claim(after.body.contains("block_retention: 48h0m0s"), "Tempo runs with a retention of 48 hours");
    // It takes more as soon as its ingester is in the ring, long before its compactor is ready, and keeps what it had.
    let ring = stage.url_of("worker/0", 3200, "/ingester/ring");
    let ring = stage.ask_until(&ring, Duration::from_mins(1), |answer| answer.body.contains("ACTIVE"))?;
    stage.claim(ring.body.contains("ACTIVE"), "its ingester is in the ring again");
    stage.deliver("afterwards")?;
    stage.find_again("before")
}

fn removal(stage: &mut Stage) -> Result<()> {
    stage.up(&MONOLITHIC)?;
    stage.deliver("")?;
    stage.change("removing the coordinator", &[&["remove-application", "tempo"]], &["s3"])?;
    let status = stage.sim.status()?;
    stage.claim(status["applications"]["tempo"].is_null(), "the coordinator is gone from the model");
    let worker = &status["applications"]["worker"]["units"]["worker/0"]["workload-status"];
    stage.claim(worker["current"] == "blocked", format!("the worker is blocked: {}", worker["message"]));
    let gone =
        stage.ask_until(&stage.url_of("worker/0", 3200, "/ready"), Duration::from_secs(10), |answer| {
            answer.error.contains("refused")
        })?;
    stage.claim(gone.error.contains("refused"), "its Tempo does not run any more");
    Ok(())
}

fn ingress(stage: &mut Stage) -> Result<()> {
    let way_in = json!({"charm": "double:traefik", "options": {"external_host": "pod"}});
    let layout = Layout {
        more: &[("way-in", way_in)],
        relations: &[["tempo:ingress", "way-in:traefik-route"]],
        ..MONOLITHIC
    };
    stage.up(&layout)?;
    let host = "way-in-0.way-in-endpoints.";
    let all = stage.receivers().values().all(|url| url.contains(host));
    stage.claim(all && stage.receivers().len() == 5, "all five receivers are published with Traefik's host");
    let api = stage.api()?;
    stage.claim(api.contains(host), format!("Tempo's API is published as {api}"));
    stage.deliver("")
}

/// Applications whose own traces are to be found: Tempo's of the workers, and the charm's of its hooks.
const TRACED: [&str; 2] = ["worker", "tempo"];

fn self_tracing(stage: &mut Stage) -> Result<()> {
    stage.up(&MONOLITHIC)?;
    stage.deliver("")?;
    // The charm had nobody to send its traces to until Tempo was there; it does with the next hook.
    let hook: &[&str] = &["dispatch", "tempo/leader", "update-status"];
    stage.change("two hooks of the coordinator", &[hook, hook], &[])?;
    for app in TRACED {
        let found = stage.find_by_tag("juju_application", app, Duration::from_mins(1))?;
        stage.claim(!found.is_empty(), format!("{} traces of {app} are found by its label", found.len()));
    }
    Ok(())
}

fn metrics_generator(stage: &mut Stage) -> Result<()> {
    let metrics = json!({"charm": "double:prometheus"});
    let layout = Layout {
        more: &[("metrics", metrics)],
        relations: &[["tempo:send-remote-write", "metrics:receive-remote-write"]],
        ..MONOLITHIC
    };
    stage.up(&layout)?;
    stage.deliver("")?;
    for metric in ["traces_spanmetrics_calls_total", "traces_spanmetrics_latency_bucket"] {
        let url = prometheus(&format!("query?query=count%20by%20(juju_unit)%20({metric})"));
        let answer =
            stage.ask_until(&url, Duration::from_mins(1), |answer| answer.body.contains("worker/0"))?;
        stage.claim(answer.body.contains("worker/0"), format!("Prometheus has {metric} of worker/0"));
    }
    Ok(())
}

/// What a Prometheus is asked.
fn prometheus(what: &str) -> String {
    format!("http://{}:9090/api/v1/{what}", host_of("metrics/0"))
}

/// Metrics whose series begin with the first error of a kind, or with a compaction that has something to write, neither of which this
/// scenario brings about. Each is one of Tempo's, by its sources.
const RARE: [&str; 3] = [
    "tempodb_blocklist_poll_errors_total",
    "tempodb_blocklist_tenant_index_errors_total",
    "tempodb_compaction_bytes_written_total",
];

/// Workers of every role, generators among them.
const EVERY_ROLE: [(&str, &str, u32); 6] = [
    ("compactor", "compactor", 1),
    ("distributor", "distributor", 1),
    ("ingester", "ingester", 1),
    ("metrics-generator", "metrics-generator", 1),
    ("querier", "querier", 1),
    ("query-frontend", "query-frontend", 1),
];

/// Brings up a whole cluster with TLS and a Prometheus that scrapes it, so that coordinators have pages of their own, too.
fn up_and_watched(stage: &mut Stage, coordinators: u32) -> Result<()> {
    stage.up(&Layout {
        workers: &EVERY_ROLE,
        coordinators,
        tls: true,
        more: &[("metrics", json!({"charm": "double:prometheus"}))],
        relations: &[
            ["tempo:send-remote-write", "metrics:receive-remote-write"],
            ["tempo:metrics-endpoint", "metrics:metrics-endpoint"],
        ],
        ..DISTRIBUTED
    })
}

fn metric_names(stage: &mut Stage) -> Result<()> {
    up_and_watched(stage, 1)?;
    let mut asked = BTreeSet::new();
    for (file, expression) in expressions(&repository())? {
        match wanted(&expression) {
            Ok(all) => asked.extend(all.into_iter().filter(|one| !RARE.contains(&one.metric.as_str()))),
            Err(error) => stage.claim(false, format!("{}: {expression}: {error}", file.display())),
        }
    }
    let pages = EVERY_ROLE.iter().map(|(app, _, _)| (format!("{app}/0"), 3200, "/metrics"));
    let coordinators =
        [("tempo/0".to_owned(), 9113, "/metrics"), ("tempo/0".to_owned(), 3300, "/coordinator/metrics")];
    let pages: Vec<String> =
        pages.chain(coordinators).map(|(unit, port, path)| stage.url_of(&unit, port, path)).collect();
    // What only shows when something is done: blocks that are flushed and, as there are two, compacted; searches.
    for when in ["first", "second"] {
        stage.deliver(when)?;
        stage.ask(&stage.url_of("ingester/0", 3200, "/flush"))?;
        stage.find_by_tag("service.name", "juju-sim", Duration::from_secs(30))?;
    }
    // Spans of yesterday, of which no metrics are made.
    let url = stage.receivers().get("otlp_http").cloned().context("otlp_http is not published")?;
    stage.sim.run(&["send-spans", SENDER, "--protocol", "otlp_http", "--url", &url, "--age", "80000"])?;
    // The coordinator looks at its receivers with Juju's heartbeat.
    let heartbeat: &[&str] = &["dispatch", "tempo/0", "update-status"];
    stage.change("a heartbeat of the coordinator", &[heartbeat], &["tempo"])?;
    let mut seen = Seen::default();
    let silent = look(stage, &pages, &mut seen)?;
    stage.claim(silent.is_empty(), format!("all pages of metrics answer{}", silent.join(", ")));
    // Tempo looks for blocks in its bucket when it starts, and then every five minutes.
    let apps = ["tempo", "querier", "query-frontend"];
    stage.change(
        "another retention, so that all start anew",
        &[&["config", "tempo", "retention-period=48"]],
        &apps,
    )?;
    // A compactor begins a minute after its start, and then looks every half a minute.
    let deadline = Instant::now() + Duration::from_mins(4);
    let missing = loop {
        look(stage, &pages, &mut seen)?;
        let missing: Vec<String> = asked
            .iter()
            .filter_map(|wanted| Some(format!("{}: {}", wanted.metric, seen.lacks(wanted)?)))
            .collect();
        if missing.is_empty() || Instant::now() > deadline {
            break missing;
        }
        stage.pause(Duration::from_secs(3))?;
    };
    for text in &missing {
        stage.claim(false, text);
    }
    let text = format!("{} metrics are on the pages, and {} are asked for", seen.len(), asked.len());
    stage.claim(!asked.is_empty() && missing.is_empty(), text);
    Ok(())
}

/// Where the answers of the scenario `dashboards` are, below the target folder.
const ANSWERS: &str = "e2e/answers.json";
/// How long the stack is watched before it is asked, and how often it was asked then, in seconds.
const WATCHED: Duration = Duration::from_secs(150);
const STEP: u64 = 15;

fn show_dashboards(stage: &mut Stage) -> Result<()> {
    up_and_watched(stage, 2)?;
    let begun = Instant::now();
    let heartbeat: &[&str] = &["dispatch", "tempo/0", "update-status"];
    let mut round = 0;
    while begun.elapsed() < WATCHED {
        round += 1;
        stage.deliver(&format!("round {round}"))?;
        stage.ask(&stage.url_of("ingester/0", 3200, "/flush"))?;
        stage.find_by_tag("service.name", "juju-sim", Duration::from_secs(30))?;
        stage.change("a heartbeat of the coordinator", &[heartbeat], &["tempo"])?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let from = now - begun.elapsed().as_secs();
    let mut answers = BTreeMap::new();
    for question in dashboards::questions()? {
        let query: String = form_urlencoded::byte_serialize(question.as_bytes()).collect();
        let url = prometheus(&format!("query_range?query={query}&start={from}&end={now}&step={STEP}"));
        let answer = stage.ask(&url)?;
        let answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if answer["status"] != "success" {
            stage.claim(false, format!("{question}: {}", answer["error"]));
        }
        answers.insert(question, answer["data"]["result"].clone());
    }
    let file = target_directory()?.join(ANSWERS);
    fs::write(&file, json!(answers).to_string())?;
    let shown =
        answers.values().filter(|answer| answer.as_array().is_some_and(|list| !list.is_empty())).count();
    let text =
        format!("{shown} of {} questions of the panels have an answer, kept in {ANSWERS}", answers.len());
    stage.claim(shown * 10 > answers.len() * 8, text);
    Ok(())
}

/// Adds what pages show, and what was written to Prometheus; the pages that do not answer.
fn look(stage: &Stage, pages: &[String], seen: &mut Seen) -> Result<Vec<String>> {
    let mut silent = Vec::new();
    for url in pages {
        let page = stage.ask(url)?;
        if page.status == 200 {
            seen.add(&page.body);
        } else {
            silent.push(format!("; {url}: {} {}", page.status, page.error));
        }
    }
    let written = stage.ask(&prometheus("series?match[]={__name__=~%22traces_.*%22}"))?;
    seen.add_series(&written.body);
    Ok(silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_have_names_of_their_own() {
        let names: BTreeSet<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
