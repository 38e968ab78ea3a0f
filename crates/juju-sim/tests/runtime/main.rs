//! Whole models, in real namespaces with a real Pebble, and charms of a few lines of shell.
//!
//! Where pods or Pebble are not to be had, the tests that need them fail and say how to get them.

mod certificates;
mod doubles;
mod events;
mod faults;
mod hosts;
mod kubernetes;
mod telemetry;
mod verbs;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use juju_sim::client::{Client, UnitDetails};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Two units of one application, related to one of another.
const PAIR: &str = "
applications:
  a: {charm: $CHARMS/probe, scale: 2}
  b: {charm: $CHARMS/probe}
relations:
  - [a:give, b:take]
";

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_juju-sim"))
}

/// A running model, ended with the value.
struct Running {
    client: Client,
    home: TempDir,
}

/// Ends a test on a machine that cannot do all that a model may need: it would prove nothing there.
#[track_caller]
fn need_everything() {
    let output = Command::new(program()).args(["doctor", "--format", "json"]).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["namespaces", "pebble"] {
        assert!(found[name]["ok"] == true, "run `cargo xtask tools` first; {name}: {}", found[name]);
    }
}

fn charm(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charms").join(name)
}

/// Starts a model from what follows its name; `$CHARMS` stands for the charms' folder.
#[track_caller]
fn up(text: &str) -> Running {
    need_everything();
    let running = begin(text);
    running.settle();
    running
}

/// Starts a model, and does not wait for anything in it.
fn begin(text: &str) -> Running {
    let home = TempDir::with_prefix("jsim").unwrap();
    let file = home.path().join("model.yaml");
    let charms = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charms");
    std::fs::write(&file, format!("name: m\n{}", text.replace("$CHARMS", &charms.to_string_lossy())))
        .unwrap();
    let client = Client::up(program(), home.path(), &file).unwrap();
    Running { client, home }
}

impl Running {
    /// Waits until nothing is left to do; what was said is the best explanation if there is no end to it.
    fn settle(&self) {
        if let Err(error) = self.client.settle(PATIENCE) {
            panic!(
                "{error}\n{}",
                String::from_utf8_lossy(&self.cli(&["debug-log", "--level", "debug"]).stdout)
            );
        }
    }

    fn unit(&self, name: &str) -> UnitDetails {
        self.client.show_unit(name).unwrap()
    }

    /// The hooks that a unit ran well, in their order.
    fn hooks(&self, unit: &str) -> Vec<String> {
        self.unit(unit).hooks
    }

    /// The program's own command line against this model.
    fn cli(&self, words: &[&str]) -> Output {
        Command::new(program()).args(words).env("JUJU_SIM_HOME", self.home.path()).output().unwrap()
    }

    /// Waits for something that no verb waits for.
    fn until(&self, what: &str, mut check: impl FnMut(&Client) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !check(&self.client) {
            assert!(Instant::now() < deadline, "{what}: {:#?}", self.client.status());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// What the probe charm said of its hooks, one line each.
    fn said(&self, unit: &str) -> Vec<String> {
        let lines = self.client.log(Some(unit)).unwrap();
        lines.into_iter().filter_map(|line| Some(line.message.split_once("saw ")?.1.to_owned())).collect()
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
