//! An agent that answers hook tools from a few maps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use juju_ops::tools::BoxFuture;
use juju_ops::{
    Event, Hook, HookEnv, HookTools, RelationEvent, RelationId, ToolCall, ToolOutput, TransportError,
    UnitName,
};
use juju_relations::{Databag, Wire};
use serde_json::json;

type Bags = BTreeMap<String, Databag>;

/// One relation. Databags are found by the name of their owner, `app` or `app/0`.
#[derive(Clone, Default)]
pub(crate) struct Relation {
    pub(crate) endpoint: &'static str,
    pub(crate) number: u32,
    pub(crate) app: Option<&'static str>,
    pub(crate) bags: Bags,
    /// Juju has forgotten it between listing it and looking at it.
    pub(crate) gone: bool,
}

impl Relation {
    pub(crate) fn new(endpoint: &'static str, number: u32, app: &'static str) -> Self {
        Self { endpoint, number, app: Some(app), ..Self::default() }
    }

    pub(crate) fn with(mut self, owner: &str, data: &impl Wire) -> Self {
        self.bags.insert(owner.to_owned(), data.write());
        self
    }

    pub(crate) fn with_text<const N: usize>(mut self, owner: &str, pairs: [(&str, &str); N]) -> Self {
        self.bags.insert(owner.to_owned(), pairs.into());
        self
    }

    fn id(&self) -> String {
        format!("{}:{}", self.endpoint, self.number)
    }
}

/// The agent of unit `me/0`.
#[derive(Default)]
pub(crate) struct Agent {
    pub(crate) leader: bool,
    pub(crate) relations: Mutex<Vec<Relation>>,
    /// Every `relation-set`: relation, owner of the databag.
    pub(crate) writes: Mutex<Vec<(String, String)>>,
    /// What `state-set` keeps.
    state: Mutex<BTreeMap<String, String>>,
}

impl Agent {
    pub(crate) fn new(leader: bool, relations: impl IntoIterator<Item = Relation>) -> Arc<Self> {
        let relations = Mutex::new(relations.into_iter().collect());
        Arc::new(Self { leader, relations, ..Self::default() })
    }

    /// The hook that this agent would run for an event.
    pub(crate) fn hook(self: &Arc<Self>, event: Event) -> Hook {
        let vars = |name: &str| {
            let value = match name {
                "JUJU_UNIT_NAME" => "me/0",
                "JUJU_MODEL_NAME" => "obs",
                "JUJU_MODEL_UUID" => "7f9d1c52-4d55-4b8a-9b0e-1b2c3d4e5f60",
                "JUJU_CHARM_DIR" => "/charm",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let env = HookEnv::from_vars(vars).expect("complete");
        Hook::new(env, event, self.clone(), Arc::new(|name: &str| panic!("no container {name} here")))
    }

    /// What an owner has in its databag of a relation.
    pub(crate) fn bag(&self, number: u32, owner: &str) -> Databag {
        let relations = self.relations.lock().unwrap();
        let relation = relations.iter().find(|relation| relation.number == number).expect("a relation");
        relation.bags.get(owner).cloned().unwrap_or_default()
    }

    /// The writes since the last time somebody asked.
    pub(crate) fn take_writes(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.writes.lock().unwrap())
    }

    fn answer(&self, call: &ToolCall) -> Result<serde_json::Value, &'static str> {
        let last = call.args.last().map(String::as_str).unwrap_or_default();
        let mut relations = self.relations.lock().unwrap();
        if call.tool == "is-leader" {
            return Ok(json!(self.leader));
        }
        if call.tool == "relation-ids" {
            let of_endpoint = relations.iter().filter(|relation| relation.endpoint == last);
            return Ok(of_endpoint.map(Relation::id).collect());
        }
        let input = || -> BTreeMap<String, String> {
            let text = call.stdin.as_deref().expect("values come on standard input");
            serde_json::from_slice(text).expect("JSON")
        };
        match call.tool {
            "state-get" => return Ok(json!(*self.state.lock().unwrap())),
            "state-set" => {
                self.state.lock().unwrap().extend(input());
                return Ok(json!(null));
            }
            "state-delete" => {
                self.state.lock().unwrap().remove(last);
                return Ok(json!(null));
            }
            _ => {}
        }
        let id = call.args.iter().skip_while(|arg| *arg != "-r").nth(1).expect("a relation is named");
        let found = relations.iter_mut().find(|relation| relation.id() == *id && !relation.gone);
        let relation = found.ok_or("ERROR relation not found")?;
        let of_app = call.args.iter().any(|arg| arg == "--app");
        let me = if of_app { "me" } else { "me/0" };
        match call.tool {
            "relation-list" if of_app => Ok(json!(relation.app)),
            "relation-list" => {
                let units = relation.bags.keys().filter(|owner| owner.contains('/') && *owner != "me/0");
                Ok(units.cloned().collect())
            }
            "relation-get" if last == "me" && !self.leader => Err("ERROR permission denied"),
            "relation-get" => Ok(json!(relation.bags.get(last).cloned().unwrap_or_default())),
            "relation-set" if of_app && !self.leader => Err("ERROR cannot write relation settings"),
            "relation-set" => {
                let bag = relation.bags.entry(me.to_owned()).or_default();
                for (key, value) in input() {
                    if value.is_empty() {
                        bag.remove(&key)
                    } else {
                        bag.insert(key, value)
                    };
                }
                self.writes.lock().unwrap().push((id.clone(), me.to_owned()));
                Ok(json!(null))
            }
            other => panic!("{other} is not known here"),
        }
    }
}

impl HookTools for Agent {
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>> {
        let output = match self.answer(&call) {
            Ok(value) => ToolOutput { stdout: value.to_string().into_bytes(), ..ToolOutput::default() },
            Err(error) => ToolOutput { code: 1, stderr: error.into(), ..ToolOutput::default() },
        };
        Box::pin(async { Ok(output) })
    }
}

/// What a relation event is about.
pub(crate) fn about(endpoint: &str, number: u32, app: &str) -> RelationEvent {
    RelationEvent {
        id: RelationId::new(endpoint, number),
        remote_app: Some(app.to_owned()),
        remote_unit: Some(UnitName::new(app, 0)),
        departing_unit: None,
    }
}
