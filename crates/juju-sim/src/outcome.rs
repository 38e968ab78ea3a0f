//! What a transition brought, and the questions that tests ask of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use crate::{
    Event, Relation, State, Status,
    pebble::PebbleEvent,
    session::{ActionResult, CallRecord, Commit, LogLine},
    tools::CallKind,
};

/// How a charm's process ended, and what it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exited {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Number of the signal that ended it.
    pub signal: Option<i32>,
    /// From its start to its end.
    pub wall: Duration,
    /// Processor time of the process and of the processes that it waited for, hook tools among them.
    pub cpu: Cpu,
    /// Largest resident memory, in bytes, of the process or of a process that it waited for, whichever had more. Shared
    /// libraries and the mapped parts of its own file count.
    pub peak_memory: u64,
    /// What it printed on standard output.
    pub stdout: Vec<u8>,
    /// What it printed on standard error.
    pub stderr: Vec<u8>,
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cpu {
    /// In the program.
    pub user: Duration,
    /// In the kernel, for it.
    pub system: Duration,
}

impl Cpu {
    /// Both together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.user + self.system
    }
}

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("no exit status"),
        }
    }
}

/// How a charm ended, if not well.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Its function returned an error; Juju would retry the hook.
    #[error("the charm failed: {0}")]
    Charm(juju_ops::Error),
    /// Its process ended with another code than 0, or by a signal; Juju would retry the hook.
    #[error("the charm's process ended with {0}")]
    Exit(Exited),
    /// Its process was still there after [`Program::with_timeout`](crate::Program::with_timeout), and was killed.
    #[error("the charm's process was killed after {0:?}")]
    TimedOut(Duration),
    /// It died at an injected fault.
    #[error("the charm died")]
    Died,
    /// It ended well, but the controller refused what it had written.
    #[error("refused when the hook ended: {0}")]
    Flush(String),
}

/// What a transition brought.
#[derive(Debug)]
pub struct Outcome {
    /// What happened.
    pub event: Event,
    /// The state after: with all writes if the hook ended well, else only with what took effect at once.
    pub state: State,
    /// How the charm ended.
    pub result: Result<(), Failure>,
    /// What the agent sent to the controller; empty when the hook failed.
    pub commit: Commit,
    /// The unit's log.
    pub logs: Vec<LogLine>,
    /// What the action brought, if the event was one.
    pub action: Option<ActionResult>,
    /// Every hook tool call.
    pub calls: Vec<CallRecord>,
    /// What was asked of each container's Pebble, reads left out.
    pub pebble: BTreeMap<String, Vec<PebbleEvent>>,
    /// Steps the charm took, for [`Context::with_fault`](crate::Context::with_fault).
    pub steps: usize,
    /// Each status that the unit was given, in order.
    pub unit_statuses: Vec<Status>,
    /// Each status that the application was given, in order.
    pub app_statuses: Vec<Status>,
    /// Each version that the workload was said to have, in order.
    pub workload_versions: Vec<String>,
    /// How the charm's process ended and what it took, if it was one.
    pub process: Option<Exited>,
}

impl Outcome {
    /// Panics unless the hook ended well.
    ///
    /// # Panics
    /// When the charm failed, died, or its writes were refused.
    #[track_caller]
    pub fn assert_ok(&self) -> &Self {
        if let Err(failure) = &self.result {
            panic!("{failure}\n{}", self.log_text());
        }
        self
    }

    /// Panics if the hook changed anything: a databag, a port, a secret, a stored value, a status, the workload
    /// version, or a container. Asking is allowed.
    ///
    /// # Panics
    /// When something was written, with a list of it.
    #[track_caller]
    pub fn assert_nothing_written(&self) -> &Self {
        let written = self.written(|_, _| false);
        assert!(written.is_empty(), "the hook wrote:\n{}", written.join("\n"));
        self
    }

    /// Panics unless the hook wrote this one file, once, and changed nothing else.
    ///
    /// # Panics
    /// When it did not, with a list of what else was written.
    #[track_caller]
    pub fn assert_only_pushed(&self, container: &str, path: &str) -> &Self {
        let is_it = |at: &str, event: &PebbleEvent| {
            at == container && matches!(event, PebbleEvent::Push { path: pushed, .. } if pushed == path)
        };
        let written = self.written(is_it);
        assert!(written.is_empty(), "the hook wrote:\n{}", written.join("\n"));
        let events = self.pebble.iter().flat_map(|(at, events)| events.iter().map(move |event| (at, event)));
        let times = events.filter(|(at, event)| is_it(at, event)).count();
        assert_eq!(times, 1, "how often {path} was written into {container}");
        self
    }

    /// Everything that was changed, a line each, but for what is expected in containers.
    fn written(&self, expected: impl Fn(&str, &PebbleEvent) -> bool) -> Vec<String> {
        let mut written: Vec<String> =
            self.writes().map(|call| format!("{} {:?}", call.tool, call.args)).collect();
        for (container, events) in &self.pebble {
            let unexpected = events.iter().filter(|event| !expected(container, event));
            written.extend(unexpected.map(|event| format!("{container}: {event:?}")));
        }
        written
    }

    /// Panics unless the hook ended well and the agent has nothing to tell the controller afterwards. This is stricter
    /// than [`Outcome::assert_nothing_written`] for databags: the agent sends the own unit's databag back as soon as
    /// the hook has read it ([`Commit::is_empty`]).
    ///
    /// # Panics
    /// When the hook failed, or something was to be sent, with a list of it.
    #[track_caller]
    pub fn assert_nothing_to_commit(&self) -> &Self {
        self.assert_ok();
        let sent = self.commit.summary();
        assert!(sent.is_empty(), "the agent had to send:\n{}", sent.join("\n"));
        self
    }

    /// Panics unless the databags of exactly these relations (`tracing:3`) were written.
    ///
    /// # Panics
    /// When others were written, or one of them was not.
    #[track_caller]
    pub fn assert_written_to(&self, relations: &[&str]) -> &Self {
        let written: BTreeSet<String> = self.written_relations().collect();
        let wanted: BTreeSet<String> = relations.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(written, wanted, "relations whose databags the hook wrote");
        self
    }

    fn written_relations(&self) -> impl Iterator<Item = String> {
        let relations = self.commit.relations.iter();
        let written =
            relations.filter(|write| !write.unit_changes.is_empty() || !write.app_changes.is_empty());
        written.map(|write| format!("{}:{}", write.endpoint, write.id))
    }

    /// A relation after the hook.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn relation(&self, endpoint: &str, id: u32) -> &Relation {
        match self.state.relation(endpoint, id) {
            Some(relation) => relation,
            None => panic!("there is no relation {endpoint}:{id}"),
        }
    }

    /// Calls that could change something.
    pub fn writes(&self) -> impl Iterator<Item = &CallRecord> {
        self.calls.iter().filter(|call| call.kind == CallKind::Write)
    }

    /// Calls of one tool.
    pub fn calls_of(&self, tool: &str) -> impl Iterator<Item = &CallRecord> {
        self.calls.iter().filter(move |call| call.tool == tool)
    }

    /// Calls about one relation that only ask: `relation-get`, `relation-list` and the like, with its id or, in its own
    /// hooks, without any. `relation-ids` is about an endpoint and not counted.
    ///
    /// ```
    /// # use juju_sim::{CharmMeta, Context, Event, Relation, State};
    /// # let meta = CharmMeta::from_texts("{name: db, provides: {clients: {interface: pg}}}", None, None, None)?;
    /// # let state = State::new(&meta).with_relation(Relation::new("clients", 3, "pg", "shop"));
    /// # let charm = async |hook: juju_ops::Hook| -> Result<(), juju_ops::Error> {
    /// #     hook.relations("clients").await.map(drop).map_err(Into::into)
    /// # };
    /// let out = Context::new(meta).run(&state, Event::UpdateStatus, charm);
    /// assert!(out.reads_of(3).count() <= 2, "at most two reads for each client");
    /// # Ok::<(), juju_sim::MetaError>(())
    /// ```
    pub fn reads_of(&self, relation: u32) -> impl Iterator<Item = &CallRecord> {
        let own = self.event.as_relation().map(|event| event.id);
        let reads = self.calls.iter().filter(|call| call.kind == CallKind::Read);
        reads.filter(move |call| call.takes_relation() && call.relation().or(own) == Some(relation))
    }

    /// How often each tool was called.
    #[must_use]
    pub fn calls_per_tool(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.calls {
            *counts.entry(call.tool.as_str()).or_default() += 1;
        }
        counts
    }

    /// Storage that the hook asked for: how many instances by name.
    #[must_use]
    pub fn requested_storages(&self) -> BTreeMap<&str, u32> {
        let mut asked = BTreeMap::new();
        for (name, count) in &self.commit.add_storage {
            *asked.entry(name.as_str()).or_default() += count;
        }
        asked
    }

    /// Revisions that the hook removed of a secret, by its bare id; `None` if it removed all of it.
    #[must_use]
    pub fn removed_revisions(&self, secret: &str) -> Option<BTreeSet<u32>> {
        self.commit.secret_deletes.get(secret).map_or_else(|| Some(BTreeSet::new()), Clone::clone)
    }

    /// What was asked of one container's Pebble.
    #[must_use]
    pub fn history(&self, container: &str) -> &[PebbleEvent] {
        self.pebble.get(container).map_or(&[], Vec::as_slice)
    }

    /// Paths of the files written into a container, in order.
    #[must_use]
    pub fn pushed(&self, container: &str) -> Vec<&str> {
        let paths = self.history(container).iter().filter_map(|event| match event {
            PebbleEvent::Push { path, .. } => Some(path.as_str()),
            _ => None,
        });
        paths.collect()
    }

    /// Command lines run in a container, in order.
    #[must_use]
    pub fn execs(&self, container: &str) -> Vec<&[String]> {
        let commands = self.history(container).iter().filter_map(|event| match event {
            PebbleEvent::Exec { command, .. } => Some(command.as_slice()),
            _ => None,
        });
        commands.collect()
    }

    /// The log, one line each: `LEVEL message`.
    #[must_use]
    pub fn log_text(&self) -> String {
        let lines: Vec<_> = self.logs.iter().map(|line| format!("{} {}", line.level, line.message)).collect();
        lines.join("\n")
    }
}
