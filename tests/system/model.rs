//! Models to start from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use juju_sim::client::{Client, ExecOutcome, RelationInfo, Request, UnitDetails};
use juju_sim::spans::{Sent, Steady};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A model that ends with the value.
pub(crate) struct Model {
    pub(crate) client: Client,
    home: TempDir,
}

/// Folders with the coordinator and with the charms of the examples, and the simulator's program.
struct Built {
    charms: TempDir,
    simulator: PathBuf,
}

/// The simulator and the examples are other packages: cargo builds their programs only when asked.
static BUILT: LazyLock<Built> = LazyLock::new(|| {
    let coordinator = Path::new(env!("CARGO_BIN_EXE_tempo-coordinator-k8s"));
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "juju-sim", "-p", "tracing-requirer", "-p", "file-share", "--bins"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.expect("cargo can be started").success(), "the simulator and the examples have to build");
    let charms = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, program, from) in [
        ("tempo", coordinator.to_owned(), root.to_owned()),
        ("requirer", coordinator.with_file_name("tracing-requirer"), root.join("examples/requirer")),
        ("file-share", coordinator.with_file_name("file-share"), root.join("examples/file-share")),
    ] {
        let folder = charms.path().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::copy(program, folder.join("dispatch")).expect("the program is built");
        for file in ["metadata.yaml", "charmcraft.yaml"] {
            std::fs::copy(from.join(file), folder.join(file)).expect("a file of the charm");
        }
    }
    Built { charms, simulator: coordinator.with_file_name("juju-sim") }
});

/// The simulator's program.
pub(crate) fn simulator() -> &'static Path {
    &BUILT.simulator
}

/// A coordinator of two units, a worker with every role, a bucket, `orders`, which wants OTLP in both forms, and
/// `payments`, which wants Zipkin. `more` are options of the coordinator.
pub(crate) fn up(more: &str) -> Model {
    up_with(more, &[], &[])
}

/// [`up`] with further applications, `name: {charm: …}`, and relations, `'tempo:x', 'name:y'`.
pub(crate) fn up_with(more: &str, applications: &[&str], relations: &[&str]) -> Model {
    up_in("", more, applications, relations)
}

/// [`up_with`] in a model with further keys, such as `rollouts: true`.
pub(crate) fn up_in(keys: &str, more: &str, applications: &[&str], relations: &[&str]) -> Model {
    let charms = BUILT.charms.path().display();
    let applications = applications.iter().fold(String::new(), |text, line| text + "  " + line + "\n");
    let relations = relations.iter().fold(String::new(), |text, pair| text + "  - [" + pair + "]\n");
    start(&format!(
        "{keys}
applications:
  tempo: {{charm: {charms}/tempo, scale: 2, trust: true, options: {{{more}}}}}
  worker: {{charm: 'double:tempo-worker', options: {{role: all}}}}
  s3: {{charm: 'double:s3'}}
  orders: {{charm: {charms}/requirer, options: {{protocols: 'otlp_grpc,otlp_http'}}}}
  payments: {{charm: {charms}/requirer, options: {{protocols: zipkin}}}}
{applications}relations:
  - ['tempo:s3', 's3:s3-credentials']
  - ['tempo:tempo-cluster', 'worker:tempo-cluster']
  - ['tempo:tracing', 'orders:tracing']
  - ['tempo:tracing', 'payments:tracing']
{relations}"
    ))
}

/// A file share of two units, and nothing else.
pub(crate) fn file_share() -> Model {
    let charm = example("file-share");
    start(&format!("applications: {{files: {{charm: {}, scale: 2}}}}\n", charm.display()))
}

/// The folder of a charm of the examples.
pub(crate) fn example(name: &str) -> PathBuf {
    BUILT.charms.path().join(name)
}

/// Starts the model of a text, which has everything but a name, and waits until all is active.
pub(crate) fn start(text: &str) -> Model {
    let home = tempfile::Builder::new().prefix("jsim").tempdir().expect("a folder");
    let text = format!("name: m\n{text}");
    let file = home.path().join("model.yaml");
    std::fs::write(&file, text).expect("a file");
    let client = Client::up(&BUILT.simulator, home.path(), &file).expect("the model comes up");
    let model = Model { client, home };
    let status = model.client.status().expect("a status");
    let what = &status.simulator;
    assert!(what.pods && what.pebble, "run `cargo xtask tools` first; missing: {}", what.reasons.join("; "));
    model.settle();
    model
}

impl Model {
    /// Waits until nothing is left to do and everything is active.
    #[track_caller]
    pub(crate) fn settle(&self) {
        if let Err(error) = self.client.wait_active(PATIENCE) {
            let log = self.client.log(None).unwrap_or_default();
            let lines: Vec<_> =
                log.iter().map(|l| format!("{} {} {}", l.entity, l.level, l.message)).collect();
            panic!("{error}\n{}", lines.join("\n"));
        }
    }

    /// Waits until nothing is left to do; one application may then wait for something.
    #[track_caller]
    pub(crate) fn settle_but(&self, app: &str) {
        self.client.settle(PATIENCE).expect("the model settles");
        let status = self.client.status().expect("a status");
        for (name, other) in status.applications.iter().filter(|(name, _)| *name != app) {
            assert_eq!(other.status.current, "active", "{name}: {}", other.status.message);
        }
    }

    #[track_caller]
    pub(crate) fn unit(&self, name: &str) -> UnitDetails {
        self.client.show_unit(name).expect("the unit is there")
    }

    #[track_caller]
    pub(crate) fn dispatch(&self, unit: &str, event: &str) {
        let request = Request::Dispatch { unit: unit.to_owned(), event: event.to_owned() };
        self.client.request(&request).expect("the hook is queued");
    }

    /// Runs a shell line in the nginx container of a unit.
    #[track_caller]
    pub(crate) fn in_nginx(&self, unit: &str, line: &str) -> ExecOutcome {
        let request = Request::Exec {
            unit: unit.to_owned(),
            container: Some("nginx".to_owned()),
            command: ["sh", "-c", line].map(str::to_owned).into(),
            stdin: None,
            timeout: 30,
        };
        self.client.ask(&request).expect("the command runs")
    }

    /// Protocol and URL of each receiver that a requirer was told.
    pub(crate) fn receivers(&self, app: &str) -> Vec<(String, String)> {
        let unit = self.unit(&format!("{app}/0"));
        let relation = unit.relation_info.iter().find(|r| r.endpoint == "tracing").expect("a relation");
        let Some(text) = relation.application_data.get("receivers") else { return Vec::new() };
        let receivers: Vec<serde_json::Value> = serde_json::from_str(text).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        receivers.iter().map(|r| (text(&r["protocol"]["name"]), text(&r["url"]))).collect()
    }

    /// Sends spans from a pod to a published URL, without TLS.
    #[track_caller]
    pub(crate) fn send(&self, from: &str, receiver: &(String, String), spans: u64) -> Sent {
        self.send_spans(from, receiver, spans, false, None)
    }

    /// Sends spans from a pod to a published URL over TLS, trusting the authorities of the model.
    #[track_caller]
    pub(crate) fn send_over_tls(&self, from: &str, receiver: &(String, String), spans: u64) -> Sent {
        self.send_spans(from, receiver, spans, true, None)
    }

    /// [`Model::send_over_tls`], trusting this authority and nobody else.
    #[track_caller]
    pub(crate) fn send_trusting(&self, ca: &str, from: &str, to: &(String, String), spans: u64) -> Sent {
        self.send_spans(from, to, spans, true, Some(ca.to_owned()))
    }

    #[track_caller]
    fn send_spans(
        &self,
        from: &str,
        (protocol, url): &(String, String),
        spans: u64,
        tls: bool,
        ca: Option<String>,
    ) -> Sent {
        let request = Request::SendSpans {
            unit: from.to_owned(),
            protocol: protocol.clone(),
            url: url.clone(),
            spans,
            timeout: 60.0,
            age: 0.0,
            tls,
            ca,
        };
        self.client.ask(&request).expect("the sender runs")
    }

    /// Sends spans from a pod to all of these receivers, over TLS and all the time while `change` happens, and tries
    /// the same ports in plain text as often. `ca` is trusted.
    #[track_caller]
    pub(crate) fn under_traffic(
        &self,
        from: &str,
        receivers: &[(String, String)],
        ca: &str,
        change: impl FnOnce(),
    ) -> Steady {
        const PID: &str = "/tmp/steady.pid";
        /// Stops the sender also when a claim does not hold.
        struct Stop<'a>(&'a Model, &'a str);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                let line = format!("while ! kill $(cat {PID}); do sleep 0.05; done");
                let _ = self.0.client.exec(self.1, None, &["sh", "-c", &line]);
            }
        }
        let to = receivers
            .iter()
            .fold(String::new(), |text, (protocol, url)| text + " --to " + protocol + "=" + url);
        let line = format!(
            "echo $$ > {PID}; exec juju-sim workload steady{to} --rate 10 --patience 20 --until-stopped \
             --tls --ca-file /dev/stdin --probe-plain --format json"
        );
        let request = Request::Exec {
            unit: from.to_owned(),
            container: None,
            command: ["sh", "-c", &line].map(str::to_owned).into(),
            stdin: Some(ca.to_owned()),
            timeout: 600,
        };
        let ended: ExecOutcome = std::thread::scope(|scope| {
            let sender = scope.spawn(|| self.client.ask(&request).expect("the sender runs"));
            let stop = Stop(self, from);
            self.more_spans(receivers);
            change();
            self.more_spans(receivers);
            drop(stop);
            sender.join().expect("the sender ends")
        });
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr))
    }

    /// Waits until some more spans have arrived by each of these protocols.
    #[track_caller]
    fn more_spans(&self, receivers: &[(String, String)]) {
        let counts = |model: &Self| receivers.iter().map(|(p, _)| model.arrived(p)).collect::<Vec<_>>();
        let before = counts(self);
        self.until("spans arrive", |model| {
            counts(model).iter().zip(&before).all(|(now, before)| *now >= before + 10)
        });
    }

    /// What a process beside the charms said, by the name of its log.
    #[track_caller]
    pub(crate) fn container_log(&self, name: &str) -> String {
        let file = self.home.path().join("m/logs").join(format!("{name}.log"));
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// How often a unit's nginx was told to reload, as the charm says in its log.
    #[track_caller]
    pub(crate) fn reloads(&self, unit: &str) -> usize {
        let log = self.client.log(Some(unit)).expect("a log");
        log.iter().filter(|line| line.message.contains("reloading nginx")).count()
    }

    /// What a unit and its applications wrote and read on the only relation of an endpoint.
    #[track_caller]
    pub(crate) fn relation(&self, unit: &str, endpoint: &str) -> RelationInfo {
        let found = self.unit(unit).relation_info.into_iter().find(|relation| relation.endpoint == endpoint);
        found.unwrap_or_else(|| panic!("{unit} has no relation {endpoint}"))
    }

    /// Spans of a protocol that were sent by tests and that all workers together have received.
    pub(crate) fn arrived(&self, protocol: &str) -> u64 {
        self.arrived_from("juju-sim", protocol)
    }

    /// Spans of a service and a protocol that all workers together have received.
    pub(crate) fn arrived_from(&self, service: &str, protocol: &str) -> u64 {
        let request = Request::Counts { app: None, service: Some(service.to_owned()) };
        let counts = self.client.request(&request).expect("counts");
        let units = counts.as_object().expect("counts by unit");
        units.values().filter_map(|unit| unit.get(protocol)?.as_u64()).sum()
    }

    /// Waits for something that no verb waits for.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut check: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !check(self) {
            assert!(Instant::now() < deadline, "{what}: {:#?}", self.client.status());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
