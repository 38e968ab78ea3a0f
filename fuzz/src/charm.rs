//! The charm from what its neighbours have written to what it would do.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use juju_ops::{Databag, UnitName};
use serde_json::Value;
use tempo_coordinator::deployment::address::{Host, Url};
use tempo_coordinator::deployment::{Deployment, S3};
use tempo_coordinator::names::Endpoint;
use tempo_coordinator::plan::{self, DatabagWrite, Plan, nginx};
use tempo_coordinator::secret::Secret;
use tempo_coordinator::snapshot::{RelationSnapshot, Snapshot};
use tempo_coordinator::status::{Applied, Statuses, statuses};

use crate::scene::{FIRST_OTHER, Relations, cluster, snapshot};
use crate::{assert_showable, texts};

/// The charm decides something, whatever its neighbours have written, and no text of theirs adds anything to what it
/// writes: no directive, no route, no key that would not be there if they had all written harmless texts.
///
/// The texts of an input are relations: `@` and the name of an endpoint begin one, a single `/` a unit of it, a single `.`
/// our own data of before; what follows each is key, value, key, value.
pub fn charm(data: &[u8]) {
    check(&snapshot(relations(&texts(data))));
}

/// Checks what is decided.
pub(crate) fn check(seen: &Snapshot) -> Decided {
    let deployment = Deployment::validate(seen);
    let decided = plan::plan(&deployment);
    let statuses = statuses(&deployment, &Applied::default());
    for finding in &deployment.findings {
        assert_showable(&finding.to_string());
    }
    for status in [Some(&statuses.unit), statuses.app.as_ref()].into_iter().flatten() {
        assert_eq!(juju_ops::one_line(status.message(), usize::MAX), status.message());
    }
    if let Some(text) = nginx_text(&decided) {
        assert!(text.bytes().all(|c| c == b'\n' || (b' '..=b'~').contains(&c)), "{text:?}");
    }

    let harmless = plan::plan(&Harmless::of(&deployment));
    assert_eq!(
        nginx_text(&decided).map(directives),
        nginx_text(&harmless).map(directives),
        "{:?}",
        nginx_text(&decided)
    );
    assert_eq!(shapes(&decided), shapes(&harmless));

    Decided { deployment, plan: decided, statuses }
}

/// All that is decided.
pub(crate) struct Decided {
    deployment: Deployment,
    plan: Plan,
    statuses: Statuses,
}

impl Decided {
    /// What of it shows: to operators, and to whoever prints it.
    pub(crate) fn shown(&self) -> String {
        let plan = serde_json::to_string(&self.plan).expect("a plan can be printed");
        format!("{plan} {:?} {:?}", self.statuses, self.deployment)
    }
}

/// How many relations an input can have.
const MANY: usize = 32;

fn relations(texts: &[String]) -> Relations {
    let mut relations = cluster();
    let mut texts = texts.iter().peekable();
    let mut number = FIRST_OTHER;
    while let Some(text) = texts.next() {
        let Some(endpoint) = text.strip_prefix('@').and_then(Endpoint::from_name) else { continue };
        let mut relation = RelationSnapshot {
            id: number,
            remote_app: Some(format!("app-{number}")),
            ..RelationSnapshot::default()
        };
        if endpoint == Endpoint::Peers {
            relation.remote_app = Some("tempo".to_owned());
        }
        let mut bag = relation.remote_app_data.insert(Databag::new());
        while let Some(text) = texts.next_if(|text| !text.starts_with('@')) {
            match text.as_str() {
                "/" => {
                    let unit = u32::try_from(relation.remote_units.len()).unwrap_or_default() + 1;
                    let unit = UnitName::new(relation.remote_app.as_deref().unwrap_or_default(), unit);
                    let unit = relation.remote_units.entry(unit);
                    bag = unit.or_default().insert(Databag::new());
                }
                "." => bag = relation.local_app_data.insert(Databag::new()),
                key => {
                    let value = texts.next_if(|text| !text.starts_with('@')).map_or("", String::as_str);
                    if !value.is_empty() {
                        bag.insert(key, value);
                    }
                }
            }
        }
        let related = relations.entry(endpoint).or_default();
        // The endpoint takes one relation only.
        if endpoint == Endpoint::S3 {
            related.clear();
        }
        related.push(relation);
        number += 1;
        if (number - FIRST_OTHER) as usize == MANY {
            break;
        }
    }
    relations
}

fn nginx_text(plan: &Plan) -> Option<&str> {
    Some(plan.nginx.as_ref()?.files.get(nginx::CONFIG_PATH)?.content.expose())
}

/// Puts harmless texts in place of those of others: another one for each, so that what was equal still is and nothing
/// else. What it cannot replace are addresses, which are made of digits anyhow, and names that Juju has checked.
#[derive(Default)]
struct Harmless {
    names: BTreeMap<String, String>,
}

impl Harmless {
    fn of(d: &Deployment) -> Deployment {
        let mut names = Self::default();
        let mut d = d.clone();
        for own in [&d.unit_host, &d.app_host] {
            names.names.insert(own.to_string(), own.to_string());
        }
        for unit in d.workers.iter_mut().flat_map(|app| &mut app.units) {
            names.host(&mut unit.host);
            for text in [&mut unit.name, &mut unit.application, &mut unit.charm] {
                names.text(text);
            }
        }
        if let S3::Ready(bucket) = &mut d.s3 {
            names.text(&mut bucket.bucket);
            bucket.region.iter_mut().for_each(|region| names.text(region));
            names.text(&mut bucket.endpoint);
            bucket.access_key = Secret::new("a");
            bucket.secret_key = Secret::new("s");
            bucket.ca_chain.iter_mut().flatten().for_each(|certificate| names.text(certificate));
        }
        d.telemetry.loki.values_mut().for_each(|url| names.url(url));
        let written_to = std::mem::take(&mut d.telemetry.remote_write);
        d.telemetry.remote_write = written_to
            .into_values()
            .map(|mut url| {
                names.url(&mut url);
                (url.to_string(), url)
            })
            .collect();
        for receivers in [&mut d.telemetry.charm_tracing, &mut d.telemetry.workload_tracing] {
            receivers.iter_mut().flat_map(BTreeMap::values_mut).for_each(|url| names.url(url));
        }
        let published = d.exposure.external.iter_mut().chain(d.ingress.ready.values_mut());
        published.for_each(|base| names.host(&mut base.host));
        d.peers.values_mut().for_each(|host| names.host(host));
        for grafana in &mut d.grafana.grafanas {
            names.text(&mut grafana.uid);
            grafana.datasources = grafana
                .datasources
                .iter()
                .cloned()
                .map(|mut uid| {
                    names.text(&mut uid);
                    uid
                })
                .collect();
        }
        let linked = &mut d.grafana.correlations;
        for uid in [&mut linked.service_map, &mut linked.logs, &mut linked.metrics].into_iter().flatten() {
            names.text(uid);
        }
        for guest in d.mesh.guests.values_mut().flatten() {
            names.text(&mut guest.app_name);
            names.text(&mut guest.juju_model_name);
        }
        d
    }

    fn text(&mut self, text: &mut String) {
        if !text.is_empty() {
            let number = self.names.len();
            text.clone_from(self.names.entry(text.clone()).or_insert_with(|| format!("h{number}")));
        }
    }

    fn host(&mut self, host: &mut Host) {
        if let Host::Name(name) = host {
            self.text(name);
        }
    }

    fn url(&mut self, url: &mut Url) {
        self.host(&mut url.host);
        if let Some(path) = url.path.strip_prefix('/') {
            let mut path = path.to_owned();
            self.text(&mut path);
            url.path = format!("/{path}");
        }
    }
}

/// Every directive of nginx's configuration: the blocks that it is in, its name and the number of its words, and how often
/// there is one like that.
fn directives(text: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut blocks: Vec<String> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    for word in words_of(text) {
        match word.as_str() {
            ";" | "{" => {
                let name = words.first().cloned().unwrap_or_default();
                let entry = format!("{} {name} {} {word}", blocks.join(" "), words.len());
                *found.entry(entry).or_default() += 1;
                words.clear();
                if word == "{" {
                    blocks.push(name);
                }
            }
            "}" => {
                assert!(words.is_empty(), "{words:?} before the end of a block: {text}");
                blocks.pop().unwrap_or_else(|| panic!("a block ends that has not begun: {text}"));
            }
            _ => words.push(word),
        }
    }
    assert!(blocks.is_empty() && words.is_empty(), "{blocks:?} {words:?} have no end: {text}");
    found
}

/// The words of nginx's language; of those in quotes, one letter in place of what they hold.
fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\'' | '"' if word.is_empty() => {
                while let Some(inner) = characters.next() {
                    match inner {
                        '\\' => drop(characters.next()),
                        _ if inner == c => break,
                        _ => {}
                    }
                }
                words.push("q".to_owned());
            }
            '#' if word.is_empty() => drop(characters.by_ref().find(|c| *c == '\n')),
            ';' | '{' | '}' => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                words.push(c.to_string());
            }
            _ if c.is_ascii_whitespace() => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            }
            '\\' => {
                word.push(c);
                word.extend(characters.next());
            }
            _ => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// What is written to databags, as far as texts do not matter.
fn shapes(plan: &Plan) -> Vec<String> {
    // Dashboards are large, and nobody else's text is in them.
    let writes = plan.databag_writes().filter(|write| write.endpoint != Endpoint::GrafanaDashboard);
    let mut shapes: Vec<_> = writes.map(shape_of).collect();
    shapes.sort();
    shapes
}

fn shape_of(write: &DatabagWrite) -> String {
    let DatabagWrite { endpoint, relation, scope, data } = write;
    let mut shape = format!("{endpoint:?} {relation} {scope:?}:");
    for (key, text) in data {
        let text = text.as_ref().map(|text| {
            let text = text.expose();
            match serde_json::from_str::<Value>(text) {
                // A whole document, as one text.
                Ok(Value::String(document)) if key == "worker_config" => yaml(&document),
                Ok(value) => value_shape(&value),
                Err(_) if matches!(key.as_str(), "config" | "static") => yaml(text),
                Err(_) => "text".to_owned(),
            }
        });
        // Writing to a String does not fail.
        let _ = write!(shape, "\n{key}: {}", text.as_deref().unwrap_or("deleted"));
    }
    shape
}

fn yaml(text: &str) -> String {
    value_shape(&serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn value_shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => {
            let mut shapes: Vec<_> = items.iter().map(value_shape).collect();
            shapes.sort();
            format!("[{}]", shapes.join(", "))
        }
        Value::Object(members) => {
            let shapes: Vec<_> =
                members.iter().map(|(key, value)| format!("{key}: {}", value_shape(value))).collect();
            format!("{{{}}}", shapes.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_leaves_its_place_is_one_directive_more() {
        let config = |text: &str| directives(&format!("http {{\n  server {{ server_name {text}; }}\n}}\n"));
        let harmless = config("h1");
        assert_eq!(harmless.len(), 3);
        for same in ["other.example", "'a; b } c'", "\"{\"", "a\\;b"] {
            assert_eq!(config(same), harmless, "{same}");
        }
        for more in ["a; include x", "a b", "a; } server { listen 1", "a 'b'"] {
            assert_ne!(config(more), harmless, "{more}");
        }
    }

    #[test]
    fn shapes_are_those_of_keys_and_not_of_texts() {
        let shape = |text| value_shape(&serde_json::from_str(text).unwrap());
        assert_eq!(shape(r#"{"a": ["x", 1], "b": null}"#), shape(r#"{"b": null, "a": [2, "y: {}"]}"#));
        assert_ne!(shape(r#"{"a": "x"}"#), shape(r#"{"a": "x", "b": "y"}"#));
        assert_eq!(yaml("a: 'b: c'"), "{a: text}");
    }

    #[test]
    fn an_input_is_read_as_relations() {
        let input = ["@logging", "k", "v", "/", "endpoint", "x", "@nobody", "@s3", "bucket", "b", "@", "."];
        let read = relations(&input.map(str::to_owned));
        assert_eq!(read[&Endpoint::Logging][0].remote_app_data.as_ref().unwrap()["k"], "v");
        assert_eq!(read[&Endpoint::Logging][0].remote_units.len(), 1);
        assert_eq!(read[&Endpoint::S3].len(), 1);
        assert_eq!(read[&Endpoint::S3][0].remote_app_data.as_ref().unwrap().get("endpoint"), None);
    }
}
