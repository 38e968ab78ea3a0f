//! A charm made of somebody else's library, at one end of a relation.

use std::collections::BTreeMap;
use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use juju_sim::state::Databag;
use juju_sim::{Relation, Secret, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Names the Python interpreter that has the libraries.
const INTERPRETER: &str = "CONTRACT_PYTHON";

/// Where the charm sits.
#[derive(Clone, Copy, PartialEq)]
enum Seat {
    /// At the other end: it reads what we wrote.
    Opposite,
    /// In our place, as the charm that was there before us or comes back after us.
    Ours,
}

/// A unit of a charm in Python. At the other end it remembers its secrets from hook to hook; in our place they are those
/// of our state.
pub(crate) struct Peer {
    charm: &'static str,
    options: Value,
    seat: Seat,
    unit: u32,
    leader: bool,
    secrets: Vec<OwnSecret>,
}

/// What the charm's library made of its hook.
#[derive(Debug)]
pub(crate) struct Heard {
    /// What it understood.
    pub(crate) said: Value,
    /// Its own events, by the names of their classes.
    pub(crate) emitted: Vec<String>,
}

/// A secret as the scripts read and write it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct OwnSecret {
    about: About,
    content: Databag,
    expire: Option<String>,
}

/// What identifies a secret. Without an owner, it is one that this unit may only read.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct About {
    id: String,
    owner: Option<String>,
    label: Option<String>,
}

#[derive(Serialize)]
struct Scene<'a> {
    charm: &'a str,
    options: &'a Value,
    event: &'a str,
    unit: &'a str,
    leader: bool,
    model: Value,
    relation: Sight,
    others: BTreeMap<&'a str, Vec<Sight>>,
    secrets: Vec<OwnSecret>,
}

/// A relation as one unit sees it, in the words of ops-scenario.
#[derive(Serialize)]
struct Sight {
    id: u32,
    remote_app_name: String,
    remote_app_data: Databag,
    remote_units_data: BTreeMap<u32, Databag>,
    local_app_data: Databag,
    local_unit_data: Databag,
}

#[derive(Deserialize)]
struct Answer {
    said: Value,
    emitted: Vec<String>,
    local_app_data: Databag,
    local_unit_data: Databag,
    secrets: Vec<OwnSecret>,
}

impl Peer {
    /// The leader, unit 0, at the other end of a relation; `charm` is `module.Class`.
    pub(crate) fn opposite(charm: &'static str, options: Value) -> Self {
        Self { charm, options, seat: Seat::Opposite, unit: 0, leader: true, secrets: Vec::new() }
    }

    /// The same charm in our own place.
    pub(crate) fn in_our_place(charm: &'static str, options: Value) -> Self {
        Self { seat: Seat::Ours, ..Self::opposite(charm, options) }
    }

    /// Another unit of it, which is not the leader.
    pub(crate) fn follower(self, unit: u32) -> Self {
        Self { unit, leader: false, ..self }
    }

    /// What it does next time.
    pub(crate) fn wants(&mut self, options: Value) {
        self.options = options;
    }

    /// Whether it owns a secret.
    pub(crate) fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// Runs its `relation-<event>` hook in the relation of our unit with this number. What we wrote is there before, what
    /// it wrote is in our state afterwards.
    #[track_caller]
    pub(crate) fn hook(&mut self, event: &str, state: &mut State, id: u32) -> Heard {
        let relation = state.relation_by_id(id).expect("the relation is there").clone();
        let unit = match self.seat {
            Seat::Opposite => format!("{}/{}", relation.remote_app, self.unit),
            Seat::Ours => state.unit.clone(),
        };
        let secrets = match self.seat {
            Seat::Opposite => self.secrets.iter().cloned().chain(granted(state, &relation)).collect(),
            Seat::Ours => owned(state),
        };
        let mut others: BTreeMap<&str, Vec<Sight>> = BTreeMap::new();
        if self.seat == Seat::Ours {
            for relation in state.relations.iter().filter(|relation| relation.id != id && !relation.peer) {
                others.entry(&relation.endpoint).or_default().push(here(relation));
            }
        }
        let answer = run(&Scene {
            charm: self.charm,
            options: &self.options,
            event,
            unit: &unit,
            leader: self.leader,
            model: json!({"name": state.model.name, "uuid": state.model.uuid}),
            relation: match self.seat {
                Seat::Opposite => across(state, &relation, &unit),
                Seat::Ours => here(&relation),
            },
            others,
            secrets,
        });
        let relation = state.relations.iter_mut().find(|relation| relation.id == id);
        let relation = relation.expect("the relation is there");
        match self.seat {
            Seat::Opposite => {
                relation.remote_app_data = answer.local_app_data;
                relation.remote_units.insert(unit, answer.local_unit_data);
            }
            Seat::Ours => {
                relation.local_app_data = answer.local_app_data;
                relation.local_unit_data = answer.local_unit_data;
            }
        }
        match self.seat {
            Seat::Opposite => self.secrets = answer.secrets,
            Seat::Ours => keep(state, answer.secrets),
        }
        Heard { said: answer.said, emitted: answer.emitted }
    }
}

/// The relation as the other side's unit sees it.
fn across(state: &State, relation: &Relation, unit: &str) -> Sight {
    let ours = (number(&state.unit), relation.local_unit_data.clone());
    let siblings = relation.sibling_units.iter().map(|(unit, data)| (number(unit), data.clone()));
    Sight {
        id: relation.id,
        remote_app_name: state.app().to_owned(),
        remote_app_data: relation.local_app_data.clone(),
        remote_units_data: siblings.chain([ours]).collect(),
        local_app_data: relation.remote_app_data.clone(),
        local_unit_data: relation.remote_units.get(unit).cloned().unwrap_or_default(),
    }
}

/// The relation as our own unit sees it.
fn here(relation: &Relation) -> Sight {
    Sight {
        id: relation.id,
        remote_app_name: relation.remote_app.clone(),
        remote_app_data: relation.remote_app_data.clone(),
        remote_units_data: relation
            .remote_units
            .iter()
            .map(|(unit, data)| (number(unit), data.clone()))
            .collect(),
        local_app_data: relation.local_app_data.clone(),
        local_unit_data: relation.local_unit_data.clone(),
    }
}

/// The secrets of ours that the other application may read.
fn granted(state: &State, relation: &Relation) -> Vec<OwnSecret> {
    let reader = format!("application-{}", relation.remote_app);
    state
        .secrets
        .iter()
        .filter(|secret| secret.access.iter().any(|access| access.target == reader))
        .map(|secret| OwnSecret {
            // Juju takes it for the same as the short form, ops-scenario does not.
            about: About {
                id: format!("secret://{}/{}", state.model.uuid, secret.id),
                owner: None,
                label: None,
            },
            content: plain(secret),
            expire: None,
        })
        .collect()
}

/// The secrets of our unit and, since it is the leader, of our application.
fn owned(state: &State) -> Vec<OwnSecret> {
    let owner = |secret: &Secret| {
        let of_unit = (secret.owner == state.unit_tag()).then_some("unit");
        of_unit.or_else(|| (secret.owner == state.app_tag()).then_some("app"))
    };
    state
        .secrets
        .iter()
        .filter_map(|secret| Some((secret, owner(secret)?)))
        .map(|(secret, owner)| OwnSecret {
            about: About {
                id: secret.uri(),
                owner: Some(owner.to_owned()),
                label: (!secret.label.is_empty()).then(|| secret.label.clone()),
            },
            content: plain(secret),
            expire: secret.expire.clone(),
        })
        .collect()
}

/// Puts the secrets that the charm in our place has left into our state.
fn keep(state: &mut State, secrets: Vec<OwnSecret>) {
    let (unit, app) = (state.unit_tag(), state.app_tag());
    let uris: Vec<String> = secrets.iter().map(|secret| secret.about.id.clone()).collect();
    state
        .secrets
        .retain(|secret| uris.contains(&secret.uri()) || (secret.owner != unit && secret.owner != app));
    for left in secrets {
        if let Some(known) = state.secrets.iter_mut().find(|secret| secret.uri() == left.about.id) {
            if plain(known) != left.content {
                known.add_revision(left.content);
            }
            continue;
        }
        let id = left.about.id.trim_start_matches("secret:");
        let owner = if left.about.owner.as_deref() == Some("unit") { &unit } else { &app };
        let secret = Secret::new(id, owner, left.content);
        let secret = secret.with_label(&left.about.label.unwrap_or_default());
        state.secrets.push(Secret { expire: left.expire, tracked: Some(1), ..secret });
    }
}

/// The newest content of a secret.
pub(crate) fn plain(secret: &Secret) -> Databag {
    let content = secret.content(secret.latest()).expect("a secret has content");
    content
        .into_iter()
        .map(|(key, value)| (key, String::from_utf8(value).expect("secrets of charms are text")))
        .collect()
}

/// The Python interpreter that has the libraries.
#[track_caller]
pub(crate) fn interpreter() -> PathBuf {
    let Some(python) = env::var_os(INTERPRETER) else {
        panic!("{INTERPRETER} names no interpreter with the libraries: `cargo xtask contract` makes one")
    };
    python.into()
}

#[track_caller]
fn run(scene: &Scene<'_>) -> Answer {
    let python = interpreter();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract_python/peers");
    let mut child = Command::new(python)
        // Nothing of the user's own, and no caches beside the scripts.
        .args(["-s", "-B"])
        .arg(scripts)
        .env_remove("PYTHONPATH")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the interpreter starts");
    // All of it fits: the script reads to the end before it writes.
    let name = scene.charm;
    let scene = serde_json::to_vec(scene).expect("a scene is JSON");
    child.stdin.take().expect("a pipe").write_all(&scene).expect("the script reads its scene");
    let output = child.wait_with_output().expect("the script ends");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}\n{log}", name, output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("no answer ({error}): {}\n{log}", String::from_utf8_lossy(&output.stdout))
    })
}

/// The number in a unit's name.
fn number(unit: &str) -> u32 {
    let number = unit.rsplit_once('/').and_then(|(_, number)| number.parse().ok());
    number.expect("a unit's name ends in its number")
}
