//! States and events that Juju could never bring about.
//!
//! A test that sets an impossible scene proves nothing, so it is refused before anything runs.

use std::{collections::BTreeSet, fmt};

use crate::{CharmMeta, Event, Role, State};

/// Everything that is impossible about a state and an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Inconsistent(
    /// One sentence each.
    pub Vec<String>,
);

impl fmt::Display for Inconsistent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this cannot happen in Juju: {}", self.0.join("; "))
    }
}

/// Checks a state and the event about to happen in it against what the charm declares.
pub fn check(meta: &CharmMeta, state: &State, event: &Event) -> Result<(), Inconsistent> {
    let mut found = Vec::new();
    unit(state, &mut found);
    relations(meta, state, &mut found);
    declared(meta, state, &mut found);
    secrets(state, &mut found);
    containers(state, &mut found);
    happening(meta, state, event, &mut found);
    if found.is_empty() { Ok(()) } else { Err(Inconsistent(found)) }
}

fn unit(state: &State, found: &mut Vec<String>) {
    let number = state.unit.split_once('/').map(|(_, number)| number.parse::<u32>());
    if state.app().is_empty() || !matches!(number, Some(Ok(_))) {
        found.push(format!("\"{}\" is no unit name", state.unit));
    }
    for (whose, status) in [("unit", &state.unit_status), ("application", &state.app_status)] {
        const KNOWN: [&str; 7] =
            ["active", "waiting", "blocked", "maintenance", "error", "unknown", "terminated"];
        if !KNOWN.contains(&status.status.as_str()) {
            found.push(format!("\"{}\" is no {whose} status", status.status));
        }
    }
    for port in state.opened_ports.iter().chain(state.endpoint_ports.values().flatten()) {
        let fits = port.split_once('/').is_some_and(|(number, protocol)| {
            number.parse::<u16>().is_ok() && (protocol == "tcp" || protocol == "udp")
        });
        if !fits {
            found.push(format!("\"{port}\" is no port that Kubernetes opens"));
        }
    }
}

fn relations(meta: &CharmMeta, state: &State, found: &mut Vec<String>) {
    let mut ids = BTreeSet::new();
    for relation in &state.relations {
        let name = relation.full_id();
        if !ids.insert(relation.id) {
            found.push(format!("two relations have the number {}", relation.id));
        }
        let Some(role) = meta.role(&relation.endpoint) else {
            found.push(format!("relation {name}: the charm has no endpoint \"{}\"", relation.endpoint));
            continue;
        };
        if relation.peer != (role == Role::Peer) {
            let is = if relation.peer { "a peer relation" } else { "not a peer relation" };
            found.push(format!("relation {name} is {is}, but its endpoint is declared otherwise"));
        }
        let interface =
            meta.endpoints.get(&relation.endpoint).map_or("juju-info", |endpoint| &endpoint.interface);
        if relation.interface != interface {
            found.push(format!(
                "relation {name} has interface \"{}\", its endpoint \"{interface}\"",
                relation.interface
            ));
        }
        if relation.peer && relation.remote_app != state.app() {
            found.push(format!("peer relation {name} is with \"{}\"", relation.remote_app));
        }
        if relation.remote_app.is_empty() {
            found.push(format!("relation {name} has no remote application"));
        }
        if relation.peer && !relation.remote_app_data.is_empty() {
            found.push(format!("peer relation {name} has remote application data; a peer's is the own"));
        }
        for unit in relation.remote_units.keys().chain(relation.departed_units.keys()) {
            if unit.split('/').next() != Some(relation.remote_app.as_str()) || !unit.contains('/') {
                found.push(format!("relation {name}: \"{unit}\" is no unit of \"{}\"", relation.remote_app));
            }
            if *unit == state.unit {
                found.push(format!("relation {name}: the unit is its own peer"));
            }
        }
        let bags = [&relation.remote_app_data, &relation.local_app_data, &relation.local_unit_data];
        let bags = bags.into_iter().chain(relation.remote_units.values());
        for key in bags.flatten().filter(|(_, value)| value.is_empty()).map(|(key, _)| key) {
            found.push(format!("relation {name}: \"{key}\" is empty, which is the same as absent"));
        }
    }
}

fn declared(meta: &CharmMeta, state: &State, found: &mut Vec<String>) {
    for (name, value) in &state.config {
        match meta.config.get(name) {
            None => found.push(format!("the charm has no option \"{name}\"")),
            Some(option) if !option.kind.accepts(value) => {
                found.push(format!("option \"{name}\" is of type {:?}, not {value}", option.kind));
            }
            Some(_) => {}
        }
    }
    for name in state.containers.keys().filter(|name| !meta.containers.contains_key(*name)) {
        found.push(format!("the charm has no container \"{name}\""));
    }
    for name in state.resources.keys().filter(|name| !meta.resources.contains_key(*name)) {
        found.push(format!("the charm has no resource \"{name}\""));
    }
    for id in state.storages.keys() {
        let (name, number) = id.split_once('/').unwrap_or((id, ""));
        if !meta.storage.contains_key(name) || number.parse::<u32>().is_err() {
            found.push(format!("the charm has no storage for \"{id}\""));
        }
    }
    for name in
        state.networks.keys().chain(state.endpoint_ports.keys()).filter(|name| !meta.has_binding(name))
    {
        found.push(format!("the charm has no binding \"{name}\""));
    }
    for name in meta.extra_bindings.iter().filter(|name| meta.endpoints.contains_key(*name)) {
        found.push(format!("\"{name}\" is both an endpoint and an extra binding"));
    }
}

fn secrets(state: &State, found: &mut Vec<String>) {
    let (mut ids, mut labels) = (BTreeSet::new(), BTreeSet::new());
    for secret in &state.secrets {
        let id = &secret.id;
        if id.len() != 20 || !id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
            found.push(format!("\"{id}\" is no secret id: those have 20 lower case letters and digits"));
        }
        if !ids.insert(id) {
            found.push(format!("two secrets have the id \"{id}\""));
        }
        if !secret.label.is_empty() && !labels.insert((&secret.owner, &secret.label)) {
            found.push(format!("two secrets of {} have the label \"{}\"", secret.owner, secret.label));
        }
        if secret.revisions.is_empty() {
            found.push(format!("secret \"{id}\" has no revision"));
        }
        if secret.tracked.is_some_and(|tracked| tracked > secret.latest()) {
            found.push(format!("secret \"{id}\" is tracked at a revision that does not exist yet"));
        }
        if !secret.owner.starts_with("application-") && !secret.owner.starts_with("unit-") {
            found.push(format!("secret \"{id}\": \"{}\" is no owner", secret.owner));
        }
    }
}

fn containers(state: &State, found: &mut Vec<String>) {
    for (name, container) in &state.containers {
        let mut prefixes = BTreeSet::new();
        for handler in &container.execs {
            if !prefixes.insert(&handler.prefix) {
                found.push(format!("container \"{name}\" answers {:?} twice", handler.prefix));
            }
        }
        let mut labels = BTreeSet::new();
        for layer in &container.layers {
            if !labels.insert(&layer.label) {
                found.push(format!("container \"{name}\" has two layers \"{}\"", layer.label));
            }
        }
        let plan = container.plan();
        for service in container.services.keys().filter(|service| !plan.services.contains_key(*service)) {
            found.push(format!("container \"{name}\" runs \"{service}\", which is not in its plan"));
        }
        for check in container.down_checks.iter().filter(|check| !plan.checks.contains_key(*check)) {
            found.push(format!("container \"{name}\" fails check \"{check}\", which is not in its plan"));
        }
        for path in container.files.keys().filter(|path| !path.starts_with('/')) {
            found.push(format!("container \"{name}\" has a file at \"{path}\", which is no absolute path"));
        }
    }
}

fn happening(meta: &CharmMeta, state: &State, event: &Event, found: &mut Vec<String>) {
    let hook = event.hook_name();
    if let Some(about) = event.as_relation() {
        match state.relation(&about.endpoint, about.id) {
            None => found.push(format!("{hook}: there is no relation {}:{}", about.endpoint, about.id)),
            Some(relation) => {
                let needs_unit = matches!(event, Event::RelationJoined(_) | Event::RelationDeparted(_));
                if needs_unit && about.unit.is_none() {
                    found.push(format!("{hook} is about a unit"));
                }
                if let Some(unit) = &about.unit {
                    let known = relation.remote_units.contains_key(unit);
                    let gone = matches!(event, Event::RelationDeparted(_))
                        && relation.departed_units.contains_key(unit);
                    if !known && !gone {
                        found.push(format!("{hook}: \"{unit}\" is not in the relation"));
                    }
                }
                if matches!(event, Event::RelationBroken(_)) {
                    if relation.peer {
                        found.push(format!("{hook}: peer relations never break"));
                    }
                    if !relation.remote_units.is_empty() {
                        found.push(format!("{hook}: it never runs while remote units remain"));
                    }
                }
            }
        }
    }
    if let Some(name) = event.as_container() {
        match state.containers.get(name) {
            None => found.push(format!("{hook}: there is no container \"{name}\"")),
            Some(container) => {
                if let Event::PebbleCheckFailed(_, check) | Event::PebbleCheckRecovered(_, check) = event
                    && !container.plan().checks.contains_key(check)
                {
                    found.push(format!("{hook}: container \"{name}\" has no check \"{check}\""));
                }
                if matches!(event, Event::PebbleCheckRecovered(_, check) if container.down_checks.contains(check))
                {
                    found.push(format!("{hook}: the check is down"));
                }
            }
        }
    }
    if let Some(about) = event.as_secret() {
        let id = about.uri.rsplit([':', '/']).next().unwrap_or_default();
        let changed = matches!(event, Event::SecretChanged(_));
        match state.secret(id) {
            None => found.push(format!("{hook}: there is no secret \"{}\"", about.uri)),
            Some(secret) if state.owns(secret) == changed => {
                let owner = if changed { "its readers" } else { "its owner" };
                found.push(format!("{hook} is told to {owner} only"));
            }
            Some(_) => {}
        }
        let with_revision = matches!(event, Event::SecretExpired(_) | Event::SecretRemove(_));
        if with_revision != about.revision.is_some() {
            found.push(format!("{hook}: a revision comes with expired and remove, and only with them"));
        }
    }
    if let Some(id) = event.as_storage()
        && !state.storages.contains_key(id)
    {
        found.push(format!("{hook}: there is no storage \"{id}\""));
    }
    if matches!(event, Event::LeaderElected) && !state.leader {
        found.push("leader-elected: the unit is not the leader".to_owned());
    }
    if let Event::Action { name, params, .. } = event {
        let Some(action) = meta.actions.get(name) else {
            found.push(format!("the charm has no action \"{name}\""));
            return;
        };
        for (param, value) in params {
            match action.params.get(param) {
                None if action.additional_properties == Some(false) => {
                    found.push(format!("action \"{name}\" has no parameter \"{param}\""));
                }
                Some(schema) if !fits(schema, value) => {
                    found.push(format!("action \"{name}\": parameter \"{param}\" cannot be {value}"));
                }
                _ => {}
            }
        }
        for param in action.required.iter().filter(|param| !params.contains_key(*param)) {
            found.push(format!("action \"{name}\" needs the parameter \"{param}\""));
        }
    }
}

/// Whether a value has the `type` that a parameter's schema names.
fn fits(schema: &serde_json::Value, value: &serde_json::Value) -> bool {
    match schema.get("type").and_then(serde_json::Value::as_str) {
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Container, Relation, Secret};

    fn meta() -> CharmMeta {
        let text = "
name: demo
requires: {db: {interface: pg}}
peers: {peers: {interface: p}}
containers: {web: {}}
config: {options: {size: {type: int}}}
actions: {show: {params: {what: {type: string}}, required: [what], additionalProperties: false}}
";
        CharmMeta::from_texts("", Some(text), None, None).unwrap()
    }

    #[track_caller]
    fn refused(state: &State, event: &Event, because: &str) {
        let found = check(&meta(), state, event).unwrap_err().0;
        assert!(found.iter().any(|text| text.contains(because)), "{found:?}");
    }

    #[test]
    fn a_fresh_unit_is_possible() {
        assert_eq!(check(&meta(), &State::new(&meta()), &Event::Install), Ok(()));
        assert_eq!(check(&meta(), &State::for_unit(&meta(), "other/3"), &Event::Install), Ok(()));
    }

    #[test]
    fn relations_are_what_the_charm_declares() {
        let state = State::new(&meta());
        let with = |relation| state.clone().with_relation(relation);
        refused(&with(Relation::new("dc", 5, "pg", "x")), &Event::Start, "no endpoint \"dc\"");
        refused(&with(Relation::new("db", 5, "mysql", "x")), &Event::Start, "has interface \"mysql\"");
        refused(&with(Relation::peer("db", 5, "pg", "demo")), &Event::Start, "declared otherwise");
        refused(&with(Relation::new("db", 1, "pg", "x")), &Event::Start, "the number 1");
        let strange = Relation::new("db", 5, "pg", "x").with_remote_app_data([("k", "")]);
        refused(&with(strange), &Event::Start, "same as absent");
    }

    #[test]
    fn events_are_about_what_is_there() {
        let related = State::new(&meta())
            .with_relation(Relation::new("db", 5, "pg", "x").with_remote_unit(0, [("k", "v")]));
        refused(&related, &Event::relation_broken("db", 6), "no relation db:6");
        refused(&related, &Event::relation_broken("db", 5), "while remote units remain");
        refused(&related, &Event::relation_joined("db", 5, "x/9"), "\"x/9\" is not in the relation");
        refused(&related, &Event::relation_broken("peers", 1), "peer relations never break");
        refused(&related, &Event::pebble_ready("db"), "no container \"db\"");
        refused(&related, &Event::LeaderElected, "not the leader");
        refused(&related, &Event::action("hide", []), "no action \"hide\"");
        refused(&related, &Event::action("show", []), "needs the parameter");
        let wrong = Event::action("show", [("what".to_owned(), 3.into())]);
        refused(&related, &wrong, "cannot be 3");
        let unknown = Event::action("show", [("which".to_owned(), 3.into())]);
        refused(&related, &unknown, "no parameter \"which\"");
    }

    #[test]
    fn values_have_their_types() {
        let state = State::new(&meta());
        refused(&state.clone().with_config("size", "three"), &Event::Start, "of type Int");
        refused(&state.clone().with_config("sise", 3), &Event::Start, "no option \"sise\"");
        let running = Container {
            services: [("x".to_owned(), juju_pebble::ServiceStatus::Active)].into(),
            ..Container::ready()
        };
        refused(&state.clone().with_container("web", running), &Event::Start, "not in its plan");
        refused(
            &state.with_secret(Secret::new("short", "application-demo", [("key", "v")])),
            &Event::Start,
            "no secret id",
        );
    }
}
