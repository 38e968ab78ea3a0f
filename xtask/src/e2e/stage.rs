//! A model with the real stack in it, and what scenarios do with one: bring it up, change it, send spans and look for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::progress::Step;
use crate::sim::{Fetched, LogLine, Sim};

use super::report::{Claim, Report, Row};
use super::traces::{Found, searched};

/// The coordinator, its requirer that sends, and the one that learns where traces can be read.
pub(crate) const COORDINATOR: &str = "tempo";
pub(crate) const SENDER: &str = "orders/0";
const READER: &str = "reader/0";
/// All protocols that Tempo receives.
pub(crate) const PROTOCOLS: [&str; 5] =
    ["jaeger_grpc", "jaeger_thrift_http", "otlp_grpc", "otlp_http", "zipkin"];
/// Spans sent in each protocol at a time: twenty traces.
const SPANS: u64 = 100;
/// How long the senders try.
const SENDING: Duration = Duration::from_secs(30);
/// How long spans that were sent may take until they are found.
const FINDING: Duration = Duration::from_secs(45);
/// Spans in a second of those that are sent all the time, and how long each is tried.
pub(crate) const RATE: u32 = 5;
const STEADY_PATIENCE: Duration = Duration::from_mins(1);
/// Where the number of the process that sends them is, and the certificates that it trusts.
const PID: &str = "/tmp/steady.pid";
const CA: &str = "/tmp/authority.pem";
/// How long spans are sent before something is done and after it, and how long a model may take to see that.
const CALM: Duration = Duration::from_secs(3);
const NOTICE: Duration = Duration::from_secs(2);
/// How many traces are asked for at once.
const AT_ONCE: usize = 25;
/// How long a model may take to settle: two changes of the document, each with a minute of a compactor's.
const PATIENCE: Duration = Duration::from_secs(170);

/// What a model is made of, beside a coordinator, a bucket, a sender and a reader.
pub(crate) struct Layout<'a> {
    /// Applications of workers: name, role, units.
    pub(crate) workers: &'a [(&'a str, &'a str, u32)],
    /// Units of the coordinator.
    pub(crate) coordinators: u32,
    /// Whether there is an authority, so that everything is encrypted.
    pub(crate) tls: bool,
    /// What the sender asks for.
    pub(crate) protocols: &'a [&'a str],
    /// Further applications, and relations.
    pub(crate) more: &'a [(&'a str, Value)],
    pub(crate) relations: &'a [[&'a str; 2]],
}

/// One worker with every role.
pub(crate) const MONOLITHIC: Layout<'static> = Layout {
    workers: &[("worker", "all", 1)],
    coordinators: 2,
    tls: false,
    protocols: &PROTOCOLS,
    more: &[],
    relations: &[],
};

/// One application for each role that a cluster needs.
pub(crate) const DISTRIBUTED: Layout<'static> = Layout {
    workers: &[
        ("compactor", "compactor", 1),
        ("distributor", "distributor", 1),
        ("ingester", "ingester", 1),
        ("querier", "querier", 1),
        ("query-frontend", "query-frontend", 1),
    ],
    coordinators: 1,
    ..MONOLITHIC
};

/// The workers of [`DISTRIBUTED`], but with so many ingesters that each span is in more than one of them.
pub(crate) const THREE_INGESTERS: [(&str, &str, u32); 5] = [
    ("compactor", "compactor", 1),
    ("distributor", "distributor", 1),
    ("ingester", "ingester", 3),
    ("querier", "querier", 1),
    ("query-frontend", "query-frontend", 1),
];

impl Layout<'_> {
    /// The model file. JSON is YAML, too.
    fn model(&self) -> Value {
        let mut applications = json!({
            COORDINATOR: {"charm": "./tempo-coordinator-k8s.charm", "scale": self.coordinators, "trust": true},
            "s3": {"charm": "double:s3", "options": {"workload": "versitygw"}},
            "orders": {"charm": "./tracing-requirer.charm", "options": {"protocols": self.protocols.join(",")}},
            "reader": {"charm": "double:tempo-api-client"},
        });
        let mut relations = vec![
            json!(["tempo:s3", "s3:s3-credentials"]),
            json!(["tempo:tracing", "orders:tracing"]),
            json!(["tempo:tempo-api", "reader:tempo-api"]),
        ];
        for (app, role, scale) in self.workers {
            let options = json!({"role": role, "workload": "tempo"});
            applications[*app] = json!({"charm": "double:tempo-worker", "scale": scale, "options": options});
            relations.push(json!(["tempo:tempo-cluster", format!("{app}:tempo-cluster")]));
        }
        if self.tls {
            applications["ca"] = json!({"charm": "double:certificates"});
            relations.push(json!(["tempo:certificates", "ca:certificates"]));
        }
        for (app, spec) in self.more {
            applications[*app] = spec.clone();
        }
        relations.extend(self.relations.iter().map(|pair| json!(pair)));
        json!({"name": "e2e", "applications": applications, "relations": relations})
    }
}

/// One scenario under way.
pub(crate) struct Stage {
    pub(crate) sim: Arc<Sim>,
    /// With the packed charms; the model file comes beside them.
    folder: PathBuf,
    pub(crate) report: Report,
    /// URLs of receivers as they were published last.
    receivers: BTreeMap<String, String>,
    /// What was sent, with the identifiers of its traces.
    kept: Vec<(Row, Vec<String>)>,
}

impl Stage {
    pub(crate) fn new(sim: Arc<Sim>, folder: PathBuf, scenario: &str) -> Self {
        let report = Report { scenario: scenario.to_owned(), ..Report::default() };
        Self { sim, folder, report, receivers: BTreeMap::new(), kept: Vec::new() }
    }

    /// Deploys a model and waits until all of it is active.
    pub(crate) fn up(&mut self, layout: &Layout<'_>) -> Result<()> {
        self.up_while(layout, |_| Ok(()))
    }

    /// The same, with something done to the model at the very beginning.
    pub(crate) fn up_while(
        &mut self,
        layout: &Layout<'_>,
        act: impl FnOnce(&Sim) -> Result<()>,
    ) -> Result<()> {
        self.bring_up(layout, act, &[])
    }

    /// Deploys a model and waits until these applications are active.
    pub(crate) fn up_of(&mut self, layout: &Layout<'_>, apps: &[&str]) -> Result<()> {
        self.bring_up(layout, |_| Ok(()), apps)
    }

    fn bring_up(
        &mut self,
        layout: &Layout<'_>,
        act: impl FnOnce(&Sim) -> Result<()>,
        apps: &[&str],
    ) -> Result<()> {
        let file = self.folder.join(format!("{}.yaml", self.report.scenario));
        fs::write(&file, serde_json::to_string_pretty(&layout.model())?)?;
        let step = self.step("deploying, until all is active");
        let begun = Instant::now();
        self.sim.up(&file, PATIENCE)?;
        act(&self.sim)?;
        let status = self.sim.status()?;
        let simulator = &status["simulator"];
        if !(simulator["pods"] == true && simulator["pebble"] == true) {
            bail!("nothing runs here: {}", simulator["reasons"]);
        }
        self.sim.wait_active(apps, PATIENCE)?;
        self.report.converged_seconds = begun.elapsed().as_secs_f64();
        step.done();
        self.look_up()
    }

    /// Changes the model by some verbs and waits until these applications are active, or all of them.
    pub(crate) fn change(&mut self, what: &str, verbs: &[&[&str]], apps: &[&str]) -> Result<()> {
        let step = self.step(what);
        for words in verbs {
            self.sim.run(words)?;
        }
        self.sim.wait_active(apps, PATIENCE)?;
        step.done();
        self.look_up()
    }

    /// Reads what is published now.
    pub(crate) fn look_up(&mut self) -> Result<()> {
        self.receivers = self.sim.received(SENDER)?;
        Ok(())
    }

    /// The published URLs, by protocol.
    pub(crate) fn receivers(&self) -> &BTreeMap<String, String> {
        &self.receivers
    }

    /// Says whether something holds, at once.
    pub(crate) fn claim(&mut self, held: bool, text: impl Into<String>) {
        let text = text.into();
        eprintln!("{}: {}  {text}", self.report.scenario, if held { "ok    " } else { "FAILED" });
        self.report.claims.push(Claim { text, held });
    }

    /// Sends spans in each published protocol, one after the other, and looks for them.
    pub(crate) fn deliver(&mut self, when: &str) -> Result<()> {
        let step = self.step(&format!("sending spans in {} protocols{}", self.receivers.len(), spaced(when)));
        let tls = self.is_encrypted();
        let mut sent = Vec::new();
        for (protocol, url) in &self.receivers {
            let delivery = self.sim.send(SENDER, protocol, url, SPANS, SENDING, tls)?;
            let row = Row {
                when: when.to_owned(),
                protocol: protocol.clone(),
                sent: SPANS,
                accepted: delivery.accepted,
                trouble: delivery.error.unwrap_or_default(),
                ..Row::default()
            };
            sent.push((row, delivery.traces));
        }
        step.done();
        self.find(sent)
    }

    /// Looks for spans, and adds them to the report.
    fn find(&mut self, sent: Vec<(Row, Vec<String>)>) -> Result<()> {
        let step = self.step("reading traces back");
        let api = self.api()?;
        let deadline = Instant::now() + FINDING;
        for (mut row, traces) in sent {
            let found = self.read_back(&api, &traces, row.accepted, deadline)?;
            (row.read_back, row.duplicated) = (found.spans(), found.copies());
            self.report.rows.push(row.clone());
            self.kept.push((row, traces));
        }
        step.done();
        Ok(())
    }

    /// Asks for traces until all of their spans have been found, or time is over.
    fn read_back(&self, api: &str, traces: &[String], spans: u64, deadline: Instant) -> Result<Found> {
        let mut found = Found::default();
        loop {
            // The last trace of a sender may be shorter than the others: what is there is asked for again as
            // long as something is missing.
            let most = traces.iter().map(|id| found.of(id)).max().unwrap_or(0);
            let wanted: Vec<&String> =
                traces.iter().filter(|id| found.of(id) == 0 || found.of(id) < most).collect();
            let wanted = if wanted.is_empty() { traces.iter().collect() } else { wanted };
            for some in wanted.chunks(AT_ONCE) {
                let urls: Vec<String> = some.iter().map(|id| format!("{api}/api/traces/{id}")).collect();
                let answers = self.sim.fetch(SENDER, &urls, Duration::from_secs(10))?;
                for (id, answer) in some.iter().zip(answers) {
                    if answer.status == 200 {
                        found.take(id, &answer.body);
                    }
                }
            }
            if found.spans() >= spans || Instant::now() > deadline {
                return Ok(found);
            }
            self.pause(Duration::from_millis(500))?;
        }
    }

    /// Looks once more for the spans that were found at another time: none may have gone.
    pub(crate) fn find_again(&mut self, when: &str) -> Result<()> {
        let step = self.step(&format!("reading traces back once more, of {when}"));
        let api = self.api()?;
        for (row, traces) in self.kept.clone().into_iter().filter(|(row, _)| row.when == when) {
            let found = self.read_back(&api, &traces, row.accepted, Instant::now() + FINDING)?;
            let (protocol, again) = (&row.protocol, found.spans());
            let text = format!("{again} of {} spans in {protocol} are still found", row.accepted);
            self.claim(again == row.accepted, text);
        }
        step.done();
        Ok(())
    }

    /// Does something to the model while spans are sent, and goes on sending until all is active again. What is published is then
    /// the same as before.
    pub(crate) fn fault(&mut self, what: &str, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let published = self.receivers.clone();
        let known = self.report.rows.len();
        let mut took = Duration::ZERO;
        self.while_sending(what, RATE, |stage| {
            stage.pause(CALM)?;
            let step = stage.step(what);
            let begun = Instant::now();
            act(stage)?;
            // Long enough for the model to take notice.
            stage.pause(NOTICE)?;
            stage.sim.wait_active(&[], PATIENCE)?;
            took = begun.elapsed();
            step.done();
            stage.pause(CALM)
        })?;
        if let Some(row) = self.report.rows.get_mut(known) {
            row.converged_seconds = Some(took.as_secs_f64());
        }
        self.look_up()?;
        self.claim(self.receivers == published, format!("{what}: the same is published as before"));
        Ok(())
    }

    /// The certificates of the model's authority, PEM, as the coordinator was given them.
    fn authority(&self) -> Result<String> {
        let databag = self.sim.databag(&format!("{COORDINATOR}/0"), "certificates")?;
        let text = databag.get("certificates").context("the authority has signed nothing")?;
        let issued: Value = serde_json::from_str(text)?;
        Ok(issued[0]["ca"].as_str().context("the authority has signed nothing")?.to_owned())
    }

    /// Sends spans in each published protocol all the time while `change` goes on, so many a second, and looks for them afterwards.
    pub(crate) fn while_sending(
        &mut self,
        when: &str,
        rate: u32,
        change: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let sim = Arc::clone(&self.sim);
        let mut trust = String::new();
        if self.is_encrypted() {
            trust = format!(" --tls --ca-file {CA}");
            sim.exec(SENDER, &format!("cat > {CA} <<'END'\n{}\nEND\n", self.authority()?))?;
        }
        let to = self
            .receivers
            .iter()
            .fold(String::new(), |text, (protocol, url)| text + " --to " + protocol + "=" + url);
        let patience = STEADY_PATIENCE.as_secs();
        let line = format!(
            "echo $$ > {PID}; exec juju-sim workload steady{to}{trust} --rate {rate} --patience {patience} --until-stopped \
             --format json"
        );
        let said = thread::scope(|scope| {
            let sender = scope.spawn(|| sim.exec(SENDER, &line));
            let changed = change(self);
            // The sender may not have begun, if the change failed at once.
            let stop = format!("for n in 1 2 3 4 5 6 7 8 9; do kill $(cat {PID}) && exit; sleep 0.2; done");
            let stopped = self.sim.exec(SENDER, &stop);
            let said = sender.join().unwrap_or_else(|_| bail!("the sender panicked"));
            changed.and(stopped).and(said)
        })?;
        let said: Value = serde_json::from_str(&said).with_context(|| format!("the sender said {said:?}"))?;
        let protocols = said["protocols"].as_object().cloned().unwrap_or_default();
        let sent = protocols.iter().map(|(protocol, counts)| steady_row(when, protocol, counts)).collect();
        self.find(sent)
    }

    /// Identifiers of traces with this attribute, on a span or its resource. Asks until there are some or time is over.
    pub(crate) fn find_by_tag(&self, tag: &str, value: &str, patience: Duration) -> Result<Vec<String>> {
        let url = format!("{}/api/search?tags={tag}%3D{value}&limit=50", self.api()?);
        let deadline = Instant::now() + patience;
        loop {
            let found = searched(&self.ask(&url)?.body);
            if !found.is_empty() || Instant::now() > deadline {
                return Ok(found);
            }
            self.pause(Duration::from_secs(1))?;
        }
    }

    /// Asks one URL from the sender's pod.
    pub(crate) fn ask(&self, url: &str) -> Result<Fetched> {
        let answers = self.sim.fetch(SENDER, &[url.to_owned()], Duration::from_secs(10))?;
        answers.into_iter().next().context("no answer")
    }

    /// Asks one URL until its answer is as wanted; the last one when time is over.
    pub(crate) fn ask_until(
        &self,
        url: &str,
        patience: Duration,
        wanted: impl Fn(&Fetched) -> bool,
    ) -> Result<Fetched> {
        let deadline = Instant::now() + patience;
        loop {
            let answer = self.ask(url)?;
            if wanted(&answer) || Instant::now() > deadline {
                return Ok(answer);
            }
            self.pause(Duration::from_millis(500))?;
        }
    }

    /// The URL of Tempo's API, as the coordinator publishes it.
    pub(crate) fn api(&self) -> Result<String> {
        let databag = self.sim.databag(READER, "tempo-api")?;
        let http = databag.get("http").context("no URL of Tempo's API is published")?;
        let http: Value = serde_json::from_str(http)?;
        let url = http["ingress_url"].as_str().or_else(|| http["direct_url"].as_str());
        Ok(url.context("no URL of Tempo's API is published")?.trim_end_matches('/').to_owned())
    }

    /// Whether URLs are published that need TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.receivers.values().any(|url| url.starts_with("https://"))
    }

    /// A URL of one of a unit's own ports.
    pub(crate) fn url_of(&self, unit: &str, port: u16, path: &str) -> String {
        let scheme = if self.is_encrypted() { "https" } else { "http" };
        format!("{scheme}://{}:{port}{path}", host_of(unit))
    }

    /// What a shell line does in the container with nginx.
    pub(crate) fn in_nginx(&self, unit: &str, line: &str) -> Result<String> {
        self.sim.run(&["exec", unit, "--container", "nginx", "--", "sh", "-c", line])
    }

    /// How many hooks have failed so far.
    pub(crate) fn failed_hooks(&self) -> Result<usize> {
        Ok(hooks(&self.sim.log()?).1.len())
    }

    /// Looks for the secrets of the model in everything that people see of it: logs of all containers, the model's log, statuses, the
    /// plan, and what processes were started with.
    pub(crate) fn look_for_secrets(&mut self) -> Result<()> {
        let unit = format!("{COORDINATOR}/0");
        let Ok(bucket) = self.sim.databag(&unit, "s3") else { return Ok(()) };
        let mut secrets: Vec<String> = bucket.get("secret-key").cloned().into_iter().collect();
        if self.is_encrypted() {
            // A line of the key is as good as all of it, but for the first ones, which are in the certificate as well.
            let key = self.in_nginx(&unit, "sed -n '/PRIVATE KEY/,/END/p' /etc/nginx/certs/server.key")?;
            secrets.extend(key.lines().nth(12).map(str::to_owned));
        }
        let token = "cat /var/run/secrets/kubernetes.io/serviceaccount/token";
        secrets.push(self.sim.exec(&unit, token)?);
        secrets.retain(|secret| secret.len() > 8);
        let mut seen = vec![
            ("the model's log".to_owned(), self.sim.run(&["debug-log", "--level", "TRACE"])?),
            ("the status".to_owned(), self.sim.run(&["status", "--format", "yaml"])?),
            ("the plan".to_owned(), self.sim.run(&["run", &unit, "plan"])?),
        ];
        let started = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
        seen.push(("processes of the charm".to_owned(), self.sim.exec(&unit, started)?));
        seen.push(("processes of nginx".to_owned(), self.in_nginx(&unit, started)?));
        let mut folders = vec![self.sim.home().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.is_file() {
                    let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
                    seen.push((path.display().to_string(), text));
                }
            }
        }
        let shown =
            |(_, text): &&(String, String)| secrets.iter().any(|secret| text.contains(secret.as_str()));
        let found: Vec<&str> = seen.iter().filter(shown).map(|(place, _)| place.as_str()).collect();
        let text = format!("none of {} secrets is in {} places", secrets.len(), seen.len());
        let held = found.is_empty() && !secrets.is_empty();
        self.claim(held, if held { text } else { format!("secrets are shown in: {}", found.join(", ")) });
        Ok(())
    }

    /// Counts what hooks have run.
    pub(crate) fn count_hooks(&mut self) -> Result<()> {
        let (ran, failed) = hooks(&self.sim.log()?);
        (self.report.hooks, self.report.failed_hooks) = (ran, failed.len());
        for line in failed.iter().filter(|_| !self.report.ordered_failures) {
            eprintln!("{}: FAILED  {line}", self.report.scenario);
        }
        Ok(())
    }

    /// Waits a moment, which an interruption ends.
    pub(crate) fn pause(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if self.sim.interrupted() {
                bail!("interrupted");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn step(&self, what: &str) -> Step {
        Step::begin(format!("{}: {what}", self.report.scenario))
    }
}

/// What became of the spans that were sent all the time in one protocol, and their traces.
fn steady_row(when: &str, protocol: &str, counts: &Value) -> (Row, Vec<String>) {
    let count = |name: &str| counts[name].as_u64().unwrap_or(0);
    let texts = |list: &Value, of: fn(&Value) -> &Value| {
        let texts = list.as_array().into_iter().flatten().filter_map(|value| of(value).as_str());
        texts.map(str::to_owned).collect::<Vec<_>>()
    };
    let row = Row {
        when: when.to_owned(),
        protocol: protocol.to_owned(),
        sent: count("accepted") + count("failed"),
        accepted: count("accepted"),
        trouble: distinct(texts(&counts["troubles"], |trouble| &trouble["reason"])),
        restarts: true,
        ..Row::default()
    };
    (row, texts(&counts["trace_ids"], |id| id))
}

/// Texts, each once and none too long.
fn distinct(texts: Vec<String>) -> String {
    let short = |text: String| text.chars().take(120).collect::<String>();
    let texts: BTreeSet<String> = texts.into_iter().map(short).collect();
    texts.into_iter().collect::<Vec<_>>().join("; ")
}

fn spaced(when: &str) -> String {
    if when.is_empty() { String::new() } else { format!(" {when}") }
}

/// The name of a unit's pod.
pub(crate) fn host_of(unit: &str) -> String {
    let (app, number) = unit.split_once('/').unwrap_or((unit, "0"));
    format!("{app}-{number}.{app}-endpoints.e2e.svc.cluster.local")
}

/// How many hooks of a log ended well, and what is said of the others.
fn hooks(log: &[LogLine]) -> (usize, Vec<String>) {
    let of_hooks = |line: &&LogLine| line.module == "juju.worker.uniter.operation";
    let ran = log.iter().filter(of_hooks).filter(|line| line.message.starts_with("ran ")).count();
    let failed = log.iter().filter(of_hooks).filter(|line| line.level == "ERROR");
    (ran, failed.map(|line| format!("{}: {}", line.entity, line.message)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_all_that_a_layout_names_and_runs_the_real_programs() {
        let layout = Layout {
            tls: true,
            more: &[],
            relations: &[["tempo:send-remote-write", "metrics:receive-remote-write"]],
            ..DISTRIBUTED
        };
        let model = layout.model();
        assert_eq!(
            model["applications"]["ingester"]["options"],
            json!({"role": "ingester", "workload": "tempo"})
        );
        assert_eq!(model["applications"]["s3"]["options"]["workload"], "versitygw");
        assert_eq!(model["applications"]["ca"]["charm"], "double:certificates");
        let relations = model["relations"].as_array().unwrap();
        assert_eq!(relations.len(), 3 + 5 + 1 + 1);
        for pair in relations.iter().filter(|pair| pair[1] != "metrics:receive-remote-write") {
            for side in pair.as_array().unwrap() {
                let app = side.as_str().unwrap().split(':').next().unwrap();
                assert!(model["applications"][app].is_object(), "{side}");
            }
        }
    }

    #[test]
    fn spans_that_nobody_took_count_as_sent() {
        let counts = json!({"accepted": 7, "failed": 2, "troubles": [{"at": 1, "reason": "refused"}], "trace_ids": ["a", "b"]});
        let (row, traces) = steady_row("while scaling", "zipkin", &counts);
        assert_eq!((row.sent, row.accepted, row.trouble.as_str()), (9, 7, "refused"));
        assert_eq!(traces, ["a", "b"]);
    }

    #[test]
    fn hooks_are_counted_from_the_log() {
        let line = |level: &str, message: &str| LogLine {
            entity: "unit-tempo-0".into(),
            level: level.into(),
            module: "juju.worker.uniter.operation".into(),
            message: message.into(),
        };
        let other = LogLine { module: "unit.tempo/0.juju-log".into(), ..line("ERROR", "ran away") };
        let failed =
            line("ERROR", "hook \"start\" (via hook dispatching script: dispatch) failed: exit status 1");
        let log = [
            line("INFO", "ran \"install\" hook"),
            other,
            failed,
            line("INFO", "skipped \"stop\" hook (missing)"),
        ];
        let (ran, failed) = hooks(&log);
        assert_eq!((ran, failed.len()), (1, 1));
        assert!(failed[0].starts_with("unit-tempo-0: hook \"start\""), "{failed:?}");
    }

    #[test]
    fn a_unit_is_found_at_the_name_of_its_pod() {
        assert_eq!(
            host_of("query-frontend/2"),
            "query-frontend-2.query-frontend-endpoints.e2e.svc.cluster.local"
        );
    }
}
