//! Models to start from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use juju_sim::client::{Client, ExecOutcome, Request, UnitDetails};
use juju_sim::spans::Sent;
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A model that ends with the value.
pub(crate) struct Model {
    pub(crate) client: Client,
    _home: TempDir,
}

/// Folders with the coordinator and with the requirer of the examples, and the simulator's program.
struct Built {
    charms: TempDir,
    simulator: PathBuf,
}

/// The simulator and the example are other packages: cargo builds their programs only when asked.
static BUILT: LazyLock<Built> = LazyLock::new(|| {
    let coordinator = Path::new(env!("CARGO_BIN_EXE_tempo-coordinator-k8s"));
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "juju-sim", "-p", "tracing-requirer", "--bins"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.expect("cargo can be started").success(), "the simulator and the example have to build");
    let charms = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, program, from) in [
        ("tempo", coordinator.to_owned(), root.to_owned()),
        ("requirer", coordinator.with_file_name("tracing-requirer"), root.join("examples/requirer")),
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

/// A coordinator of two units, a worker with every role, a bucket, and `orders`, which wants OTLP in both forms.
pub(crate) fn up(more: &str) -> Model {
    let home = tempfile::Builder::new().prefix("jsim").tempdir().expect("a folder");
    let charms = BUILT.charms.path().display();
    let text = format!(
        "name: m
applications:
  tempo: {{charm: {charms}/tempo, scale: 2, trust: true, options: {{{more}}}}}
  worker: {{charm: 'double:tempo-worker', options: {{role: all}}}}
  s3: {{charm: 'double:s3'}}
  orders: {{charm: {charms}/requirer, options: {{protocols: 'otlp_grpc,otlp_http'}}}}
  payments: {{charm: {charms}/requirer, options: {{protocols: zipkin}}}}
relations:
  - ['tempo:s3', 's3:s3-credentials']
  - ['tempo:tempo-cluster', 'worker:tempo-cluster']
  - ['tempo:tracing', 'orders:tracing']
  - ['tempo:tracing', 'payments:tracing']
"
    );
    let file = home.path().join("model.yaml");
    std::fs::write(&file, text).expect("a file");
    let client = Client::up(&BUILT.simulator, home.path(), &file).expect("the model comes up");
    let model = Model { client, _home: home };
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

    /// Sends spans from a pod to a published URL.
    #[track_caller]
    pub(crate) fn send(&self, from: &str, (protocol, url): &(String, String), spans: u64) -> Sent {
        let request = Request::SendSpans {
            unit: from.to_owned(),
            protocol: protocol.clone(),
            url: url.clone(),
            spans,
            timeout: 60.0,
        };
        self.client.ask(&request).expect("the sender runs")
    }

    /// Spans of a protocol that all workers together have received.
    pub(crate) fn arrived(&self, protocol: &str) -> u64 {
        let counts = self.client.request(&Request::Counts { app: None }).expect("counts");
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
