//! Talking to a running model: the requests its control socket takes, and a handle for tests.
//!
//! One request is one line of JSON, and so is the answer: `{"ok": …}` or `{"error": "…"}`.
//!
//! ```no_run
//! use std::{path::Path, time::Duration};
//! use juju_sim::client::Client;
//!
//! // Ends with the value, or with this process.
//! let model = Client::up(Path::new("target/debug/juju-sim"), Path::new("/tmp/test-1"), Path::new("model.yaml"))?;
//! model.wait_active(Duration::from_secs(60))?;
//! let unit = model.show_unit("tempo/0")?;
//! assert!(unit.relation_info.iter().any(|relation| relation.endpoint == "tracing"));
//! # Ok::<(), juju_sim::client::ClientError>(())
//! ```

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::state::Databag;

/// What can be asked of a running model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Request {
    /// Everything at a glance: [`ModelStatus`].
    Status,
    /// One unit with its relations' data: [`UnitDetails`].
    ShowUnit {
        /// For example `tempo/0`.
        unit: String,
    },
    /// Reads an application's options, after changing some: option to [`OptionValue`].
    Config {
        /// Application.
        app: String,
        /// New values, as typed by a user.
        set: BTreeMap<String, String>,
        /// Options to put back to their defaults.
        reset: Vec<String>,
    },
    /// Relates two endpoints: number of the relation.
    Integrate {
        /// `application[:endpoint]`.
        left: String,
        /// `application[:endpoint]`.
        right: String,
    },
    /// Removes the relation between two endpoints.
    RemoveRelation {
        /// `application[:endpoint]`.
        left: String,
        /// `application[:endpoint]`.
        right: String,
    },
    /// Adds units: their names.
    AddUnit {
        /// Application.
        app: String,
        /// How many.
        count: u32,
    },
    /// Removes units: their names. Like a Kubernetes model, it takes the highest numbers first when an application is given.
    RemoveUnit {
        /// Unit or application.
        target: String,
        /// How many, of an application.
        count: u32,
        /// Without their last hooks.
        #[serde(default)]
        force: bool,
    },
    /// Removes an application with its units and relations.
    RemoveApplication {
        /// Application.
        app: String,
    },
    /// Runs an action and waits for it: [`ActionOutcome`].
    Run {
        /// Unit, or `app/leader`.
        unit: String,
        /// Action.
        action: String,
        /// Parameters.
        params: BTreeMap<String, Value>,
        /// Seconds to wait.
        timeout: u64,
    },
    /// Lines of the model's log: a list of [`LogEntry`].
    DebugLog {
        /// Only lines after this number.
        after: u64,
        /// Only this unit or application.
        include: Option<String>,
        /// Least level.
        level: String,
        /// At most so many, the last ones; 0 is all.
        limit: usize,
    },
    /// Runs a command in a unit's pod: [`ExecOutcome`].
    Exec {
        /// Unit, or `app/leader`.
        unit: String,
        /// Container; the charm's own when not given.
        container: Option<String>,
        /// Command with its arguments.
        command: Vec<String>,
        /// Text for its standard input.
        stdin: Option<String>,
        /// Seconds after which it is killed.
        timeout: u64,
    },
    /// Waits until nothing is left to do; fails naming what is missing.
    Wait {
        /// Also wait for these applications (all of them when empty and `active`) to have the status `active`.
        apps: Vec<String>,
        /// Whether statuses matter at all.
        active: bool,
        /// Seconds.
        timeout: u64,
    },
    /// Retries a failed hook at once, or marks it as done.
    Resolved {
        /// Unit.
        unit: String,
        /// Whether to run the hook again.
        retry: bool,
    },
    /// Has a unit run one hook by name, for example `update-status`, or `secret-rotate:LABEL`.
    Dispatch {
        /// Unit, or `app/leader`.
        unit: String,
        /// Hook.
        event: String,
    },
    /// Puts another revision of a charm in place.
    Refresh {
        /// Application.
        app: String,
        /// Packed charm or folder; the one deployed before when not given.
        charm: Option<String>,
    },
    /// Fault: ends a workload container.
    KillContainer {
        /// Unit.
        unit: String,
        /// Container.
        container: String,
    },
    /// Fault: lets a coming call of a hook tool fail.
    FailHookTool {
        /// Unit.
        unit: String,
        /// Tool, for example `relation-set`.
        tool: String,
        /// Which call from now on, beginning at 1.
        nth: u32,
    },
    /// Fault: lets hook tools fail at random from now on.
    FailHookTools {
        /// Unit.
        unit: String,
        /// How many of a hundred calls fail; 0 ends it.
        percent: f64,
        /// The same number makes the same calls fail.
        #[serde(default)]
        seed: u64,
    },
    /// Fault: ends a unit's pod; a fresh one takes its place.
    KillPod {
        /// Unit.
        unit: String,
    },
    /// Fault: stops a workload container's Pebble where it is, so that it answers nobody. What it runs goes on.
    FreezePebble {
        /// Unit.
        unit: String,
        /// Container.
        container: String,
        /// Lets it go on.
        thaw: bool,
    },
    /// Fault: the API of Kubernetes answers every request with an error of this HTTP status.
    FailKubernetes {
        /// For example 500; none ends it.
        status: Option<u16>,
    },
    /// Fault: ends the leader's pod and hands leadership to another unit: that unit's name.
    KillLeader {
        /// Application.
        app: String,
    },
    /// Fault: pulls a unit's network cable.
    Partition {
        /// Unit.
        unit: String,
        /// Puts the cable back.
        heal: bool,
    },
    /// Sends spans from a unit's pod: what became of them, as [`spans::Sent`](crate::spans::Sent) says it.
    SendSpans {
        /// Unit.
        unit: String,
        /// For example `otlp_http`.
        protocol: String,
        /// Where to.
        url: String,
        /// How many.
        spans: u64,
        /// Seconds for all of it.
        timeout: f64,
        /// How long ago they are said to have been made, in seconds.
        #[serde(default)]
        age: f64,
        /// Whether a URL without a scheme, which is all that gRPC has, means TLS.
        #[serde(default)]
        tls: bool,
        /// Certificates to trust with TLS, PEM; those of the authorities in the model (interface `tls-certificates`)
        /// when not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<String>,
    },
    /// Asks HTTP APIs from a unit's pod: a list of [`spans::Fetched`](crate::spans::Fetched).
    Fetch {
        /// Unit.
        unit: String,
        /// For example `http://tempo.m.svc.cluster.local:3200/api/traces/1f`.
        urls: Vec<String>,
        /// Seconds for each answer.
        timeout: f64,
        /// Certificates to trust with `https`, PEM; those of the authorities in the model (interface
        /// `tls-certificates`) when not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<String>,
    },
    /// Spans received by sinks: number by protocol by unit.
    Counts {
        /// Application; all with sinks when not given.
        app: Option<String>,
        /// Only spans of the service of this name; those of all when not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
    /// Lets an application do everything in the cluster, or no more.
    Trust {
        /// Application.
        app: String,
        /// Takes the trust back.
        remove: bool,
    },
    /// Objects in the cluster, as its API shows them but for who owns which field: a list.
    Objects,
    /// Ends the model and everything in it.
    Down,
}

/// An answer's line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// Done; what is in it depends on the request.
    Ok(Value),
    /// Not done, and why.
    Error(String),
}

/// A status with its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusText {
    /// For example `active`.
    pub current: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// A whole model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelStatus {
    /// Name.
    pub model: String,
    /// UUID.
    pub uuid: String,
    /// Version of Juju that is played.
    pub version: String,
    /// What the model runs on.
    pub simulator: SimulatorStatus,
    /// Whether nothing is left to do.
    pub settled: bool,
    /// Applications by name.
    pub applications: BTreeMap<String, ApplicationStatus>,
    /// Relations, by number.
    pub relations: Vec<RelationStatus>,
}

/// What a model runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SimulatorStatus {
    /// Whether each unit has a pod.
    pub pods: bool,
    /// Whether workload containers run a real Pebble.
    pub pebble: bool,
    /// Why not; empty when the model has it all.
    pub reasons: Vec<String>,
}

/// One application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ApplicationStatus {
    /// Name of the charm.
    pub charm: String,
    /// Counted up by each refresh.
    #[serde(rename = "charm-rev")]
    pub revision: u32,
    /// Version of the workload.
    pub version: String,
    /// Number of units wanted.
    pub scale: usize,
    /// Its status; that of its units where the charm set none.
    #[serde(rename = "application-status")]
    pub status: StatusText,
    /// Address of the service.
    pub address: String,
    /// Units by name.
    pub units: BTreeMap<String, UnitStatus>,
}

/// One unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnitStatus {
    /// Whether it leads.
    pub leader: bool,
    /// What the charm says.
    #[serde(rename = "workload-status")]
    pub workload: StatusText,
    /// What the agent does.
    #[serde(rename = "juju-status")]
    pub agent: StatusText,
    /// Address of the pod.
    pub address: String,
    /// Open ports, `80/tcp`.
    #[serde(rename = "open-ports")]
    pub ports: Vec<String>,
}

/// One relation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RelationStatus {
    /// Number.
    pub id: u32,
    /// `application:endpoint`.
    pub provider: String,
    /// `application:endpoint`; equal to the provider for a peer relation.
    pub requirer: String,
    /// Interface.
    pub interface: String,
    /// `regular` or `peer`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `joined`, or `removing`.
    pub status: String,
}

/// One unit in depth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnitDetails {
    /// Name.
    pub unit: String,
    /// Whether it leads.
    pub leader: bool,
    /// Address of the pod.
    pub address: String,
    /// Its name in the cluster's DNS.
    pub fqdn: String,
    /// What the charm says.
    #[serde(rename = "workload-status")]
    pub workload: StatusText,
    /// What the agent does.
    #[serde(rename = "juju-status")]
    pub agent: StatusText,
    /// Version of the workload.
    pub workload_version: String,
    /// Open ports.
    pub opened_ports: Vec<String>,
    /// Containers with the boot id of their Pebble; empty where it does not answer.
    pub containers: BTreeMap<String, String>,
    /// Hooks that ended well, in their order.
    pub hooks: Vec<String>,
    /// Relations.
    pub relation_info: Vec<RelationInfo>,
}

/// One relation as a unit sees it, and what its own side wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RelationInfo {
    /// Number.
    pub relation_id: u32,
    /// Own endpoint.
    pub endpoint: String,
    /// Remote application.
    pub related_application: String,
    /// Remote endpoint.
    pub related_endpoint: String,
    /// Remote application's databag.
    pub application_data: Databag,
    /// Own application's databag.
    pub local_application_data: Databag,
    /// Own unit's databag.
    pub local_unit: Databag,
    /// Remote units' databags.
    pub related_units: BTreeMap<String, Databag>,
}

/// One option of an application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OptionValue {
    /// Value in force.
    pub value: Value,
    /// The charm's default.
    #[serde(default)]
    pub default: Value,
    /// `user`, `default` or `unset`.
    pub source: String,
    /// `string`, `int`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// How an action ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ActionOutcome {
    /// Number of the task.
    pub id: String,
    /// Unit.
    pub unit: String,
    /// `completed` or `failed`.
    pub status: String,
    /// Why it failed.
    #[serde(default)]
    pub message: String,
    /// What it gave back.
    #[serde(default)]
    pub results: Value,
    /// What it said meanwhile.
    #[serde(default)]
    pub log: Vec<String>,
}

/// One line of the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Number, growing.
    pub number: u64,
    /// Seconds since the model started.
    pub seconds: f64,
    /// For example `unit-tempo-0`.
    pub entity: String,
    /// `DEBUG`, `INFO`, …
    pub level: String,
    /// Who said it: `juju-log`, or a hook's output.
    pub module: String,
    /// The text.
    pub message: String,
}

/// What a command printed and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOutcome {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Why a request was not fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the model's socket.
    #[error("model {model:?} does not run here ({}: {cause}); start it with: juju-sim up MODEL.yaml", socket.display())]
    NotRunning {
        /// Model.
        model: String,
        /// Its socket.
        socket: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The model went away in the middle, or answered with nonsense.
    #[error("the model ended before it answered: {0}")]
    Broken(String),
    /// The model refused.
    #[error("{0}")]
    Refused(String),
    /// The simulator could not be started.
    #[error("cannot start {}: {cause}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The model's daemon ended while it came up.
    #[error("the model did not come up: {0}")]
    Up(String),
}

/// The folder of all models of this user: `JUJU_SIM_HOME`, or in `XDG_RUNTIME_DIR`, or in `/tmp`.
pub fn home() -> PathBuf {
    if let Some(home) = env::var_os("JUJU_SIM_HOME") {
        return home.into();
    }
    match env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) if Path::new(&dir).is_dir() => Path::new(&dir).join("juju-sim"),
        _ => env::temp_dir().join(format!("juju-sim-{}", nix::unistd::getuid())),
    }
}

/// Models that have a socket, running or not.
pub fn models() -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(home())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("control.sock").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// A handle on one running model.
#[derive(Debug)]
pub struct Client {
    model: String,
    socket: PathBuf,
    /// The daemon, when this handle started it. It ends with the handle.
    daemon: Option<Child>,
}

impl Client {
    /// A handle on a model that runs already. Does not connect yet.
    pub fn new(model: &str) -> Self {
        Self::at(model, home().join(model).join("control.sock"))
    }

    /// A handle on the model that listens on this socket.
    pub fn at(model: &str, socket: impl Into<PathBuf>) -> Self {
        Self { model: model.to_owned(), socket: socket.into(), daemon: None }
    }

    /// Starts a model with the program `juju-sim` and waits until it answers. The model ends when the handle is dropped, or with
    /// this process.
    ///
    /// The model's files lie in `home`; keep its path short and give each test its own.
    pub fn up(program: &Path, home: &Path, model_file: &Path) -> Result<Self, ClientError> {
        let name = crate::model::ModelFile::read(model_file)
            .map_err(|error| ClientError::Up(error.to_string()))?
            .name;
        let mut daemon = Command::new(program)
            .args(["up", "--foreground", "--until-eof"])
            .arg(model_file)
            .env("JUJU_SIM_HOME", home)
            // It would give the model another name.
            .env_remove("JUJU_SIM_MODEL")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|cause| ClientError::Start { program: program.to_owned(), cause })?;
        let socket = home.join(&name).join("control.sock");
        let mut client = Self { model: name, socket, daemon: None };
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            match client.status() {
                Ok(_) => {
                    client.daemon = Some(daemon);
                    return Ok(client);
                }
                Err(error) if Instant::now() > deadline => {
                    let _ = daemon.kill();
                    return Err(ClientError::Up(error.to_string()));
                }
                Err(_) => {}
            }
            if let Ok(Some(status)) = daemon.try_wait() {
                return Err(ClientError::Up(format!("{status}; it said why on standard error")));
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Sends one request and waits for its answer.
    pub fn request(&self, request: &Request) -> Result<Value, ClientError> {
        let gone =
            |cause| ClientError::NotRunning { model: self.model.clone(), socket: self.socket.clone(), cause };
        let broken = |error: std::io::Error| ClientError::Broken(error.to_string());
        let mut stream = UnixStream::connect(&self.socket).map_err(gone)?;
        let mut line =
            serde_json::to_string(request).map_err(|error| ClientError::Broken(error.to_string()))?;
        line.push('\n');
        stream.write_all(line.as_bytes()).map_err(broken)?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).map_err(broken)?;
        match serde_json::from_str(&answer).map_err(|error| ClientError::Broken(error.to_string()))? {
            Reply::Ok(value) => Ok(value),
            Reply::Error(reason) => Err(ClientError::Refused(reason)),
        }
    }

    /// Sends one request and reads the answer as `T`.
    pub fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ClientError> {
        serde_json::from_value(self.request(request)?).map_err(|error| ClientError::Broken(error.to_string()))
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Everything at a glance.
    pub fn status(&self) -> Result<ModelStatus, ClientError> {
        self.ask(&Request::Status)
    }

    /// One unit in depth.
    pub fn show_unit(&self, unit: &str) -> Result<UnitDetails, ClientError> {
        self.ask(&Request::ShowUnit { unit: unit.to_owned() })
    }

    /// Waits until no hook runs or is due; `Err` names what still moves.
    pub fn settle(&self, timeout: Duration) -> Result<(), ClientError> {
        self.request(&Request::Wait { apps: Vec::new(), active: false, timeout: timeout.as_secs() }).map(drop)
    }

    /// Waits until nothing moves and all applications are active.
    pub fn wait_active(&self, timeout: Duration) -> Result<(), ClientError> {
        self.request(&Request::Wait { apps: Vec::new(), active: true, timeout: timeout.as_secs() }).map(drop)
    }

    /// Sets an option.
    pub fn configure(&self, app: &str, option: &str, value: &str) -> Result<(), ClientError> {
        let set = BTreeMap::from([(option.to_owned(), value.to_owned())]);
        self.request(&Request::Config { app: app.to_owned(), set, reset: Vec::new() }).map(drop)
    }

    /// Relates two endpoints.
    pub fn integrate(&self, left: &str, right: &str) -> Result<(), ClientError> {
        self.request(&Request::Integrate { left: left.to_owned(), right: right.to_owned() }).map(drop)
    }

    /// Removes the relation between two endpoints.
    pub fn remove_relation(&self, left: &str, right: &str) -> Result<(), ClientError> {
        self.request(&Request::RemoveRelation { left: left.to_owned(), right: right.to_owned() }).map(drop)
    }

    /// Runs an action and waits for it, at most two minutes.
    pub fn run(
        &self,
        unit: &str,
        action: &str,
        params: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<ActionOutcome, ClientError> {
        let (unit, action) = (unit.to_owned(), action.to_owned());
        self.ask(&Request::Run { unit, action, params: params.into_iter().collect(), timeout: 120 })
    }

    /// Runs a command in a unit's pod, at most one minute: in the charm's container, or in the one given.
    pub fn exec(
        &self,
        unit: &str,
        container: Option<&str>,
        command: &[&str],
    ) -> Result<ExecOutcome, ClientError> {
        self.ask(&Request::Exec {
            unit: unit.to_owned(),
            container: container.map(str::to_owned),
            command: command.iter().map(ToString::to_string).collect(),
            stdin: None,
            timeout: 60,
        })
    }

    /// All lines of the log from `INFO` on of one unit or application, or of all.
    pub fn log(&self, include: Option<&str>) -> Result<Vec<LogEntry>, ClientError> {
        self.ask(&Request::DebugLog {
            after: 0,
            include: include.map(str::to_owned),
            level: "INFO".to_owned(),
            limit: 0,
        })
    }

    /// Sends spans from a unit's pod, for at most fifteen seconds: what became of them.
    pub fn send_spans(
        &self,
        unit: &str,
        protocol: &str,
        url: &str,
        spans: u64,
    ) -> Result<Value, ClientError> {
        let (unit, protocol, url) = (unit.to_owned(), protocol.to_owned(), url.to_owned());
        let timeout = 15.0;
        let request =
            Request::SendSpans { unit, protocol, url, spans, timeout, age: 0.0, tls: false, ca: None };
        self.request(&request)
    }

    /// Spans that an application's sinks received, by protocol.
    pub fn counts(&self, app: &str) -> Result<BTreeMap<String, u64>, ClientError> {
        let units: BTreeMap<String, BTreeMap<String, u64>> =
            self.ask(&Request::Counts { app: Some(app.to_owned()), service: None })?;
        let mut sums = BTreeMap::new();
        for (protocol, count) in units.into_values().flatten() {
            *sums.entry(protocol).or_default() += count;
        }
        Ok(sums)
    }

    /// Ends the model.
    pub fn down(&self) -> Result<(), ClientError> {
        self.request(&Request::Down).map(drop)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            // The end of its standard input ends the daemon, and the daemon's end everything in the model.
            drop(daemon.stdin.take());
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline {
                if !matches!(daemon.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}
