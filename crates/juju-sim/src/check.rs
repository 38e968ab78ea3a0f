//! States and events that Juju could never bring about.
//!
//! A test that sets an impossible scene proves nothing, so it is refused before anything runs.

use std::{collections::BTreeSet, fmt};

use juju_ops::{Feature, JujuVersion};

use crate::{CharmMeta, Event, Role, State, state::ModelKind};

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
    match state.juju_version.parse() {
        Ok(version) => times(&version, state, event, &mut found),
        Err(_) => found.push(format!("\"{}\" is no version of Juju", state.juju_version)),
    }
    model(state, event, &mut found);
    unit(state, &mut found);
    relations(meta, state, &mut found);
    limits(meta, state, &mut found);
    declared(meta, state, &mut found);
    secrets(state, &mut found);
    containers(state, &mut found);
    happening(meta, state, event, &mut found);
    if found.is_empty() { Ok(()) } else { Err(Inconsistent(found)) }
}

/// What a version of Juju does not have yet, or no longer.
fn times(version: &JujuVersion, state: &State, event: &Event, found: &mut Vec<String>) {
    let hook = event.hook_name();
    let since = match event {
        Event::SecretChanged(_)
        | Event::SecretRotate(_)
        | Event::SecretExpired(_)
        | Event::SecretRemove(_) => JujuVersion::new(3, 0, 0),
        Event::PebbleCustomNotice(..) => JujuVersion::new(3, 4, 0),
        Event::PebbleCheckFailed(..) | Event::PebbleCheckRecovered(..) => JujuVersion::new(3, 6, 0),
        _ => JujuVersion::new(0, 0, 0),
    };
    // A development version of a release line has what the line brings.
    if (version.major, version.minor) < (since.major, since.minor) {
        found.push(format!("{hook}: Juju {version} does not know it yet"));
    }
    let gone = match event {
        Event::LeaderSettingsChanged | Event::PreSeriesUpgrade(_) | Event::PostSeriesUpgrade => true,
        Event::Other(name) => name == "collect-metrics" || name == "meter-status-changed",
        _ => false,
    };
    if gone && version.major >= 4 {
        found.push(format!("{hook}: Juju 4 knows it no more"));
    }
    if version.major < 3 && !state.secrets.is_empty() {
        found.push(format!("Juju {version} has no secrets"));
    }
    if version.major >= 4 && !state.leader_settings.is_empty() {
        found.push("Juju 4 has no leader settings".to_owned());
    }
    if version.major < 4 && state.trace.is_some() {
        found.push(format!("Juju {version} passes no trace on"));
    }
    let pods = state.model.kind == ModelKind::Kubernetes;
    if pods && state.cloud.is_some() && !version.has(Feature::KubernetesCredential) {
        found.push(format!("Juju {version} tells nothing of a Kubernetes cloud"));
    }
}

/// What pods have and machines have not, and the reverse.
fn model(state: &State, event: &Event, found: &mut Vec<String>) {
    match state.model.kind {
        ModelKind::Kubernetes => {
            if !state.machine.is_empty() || !state.availability_zone.is_empty() {
                found.push("pods have neither a machine nor a zone".to_owned());
            }
            if matches!(event, Event::PreSeriesUpgrade(_) | Event::PostSeriesUpgrade) {
                found.push(format!("{}: machines only", event.hook_name()));
            }
        }
        ModelKind::Lxd => {
            if !state.containers.is_empty() {
                found.push("machines have no containers".to_owned());
            }
        }
    }
    if state.cloud.is_some() && !state.trusted {
        found.push("the cloud is told to trusted applications only".to_owned());
    }
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
    let pods = state.model.kind == ModelKind::Kubernetes;
    for port in state.opened_ports.iter().chain(state.endpoint_ports.values().flatten()).filter(|_| pods) {
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

/// Juju relates no more applications than the charm allows.
fn limits(meta: &CharmMeta, state: &State, found: &mut Vec<String>) {
    for (name, endpoint) in &meta.endpoints {
        let Some(limit) = endpoint.limit else { continue };
        let count = state.relations.iter().filter(|relation| relation.endpoint == *name).count();
        if count > limit as usize {
            found.push(format!("endpoint \"{name}\" has {count} relations and allows {limit}"));
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

/// How often an owner may be asked for new content; the empty text is as good as `never`.
const ROTATIONS: [&str; 8] = ["", "never", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly"];

fn secrets(state: &State, found: &mut Vec<String>) {
    let (mut ids, mut labels, mut consumer_labels) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
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
        if !ROTATIONS.contains(&secret.rotate.as_str()) {
            found.push(format!("secret \"{id}\": \"{}\" is no rotation", secret.rotate));
        }
        if state.owns(secret) && secret.consumer_label.is_some() {
            found.push(format!("secret \"{id}\" has a label of its owner, not of a reader"));
        }
        let label = secret.consumer_label.as_ref().filter(|label| !label.is_empty());
        if label.is_some_and(|label| !consumer_labels.insert(label)) {
            found.push(format!("two secrets that are read have the label \"{}\"", label.map_or("", |l| l)));
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
        // Layers only ever add to the plan, which need not be made for this.
        let planned = |is_in: &dyn Fn(&juju_pebble::Layer) -> bool| {
            container.layers.iter().any(|labelled| is_in(&labelled.layer))
        };
        for service in container.services.keys() {
            if !planned(&|layer| layer.services.contains_key(service)) {
                found.push(format!("container \"{name}\" runs \"{service}\", which is not in its plan"));
            }
        }
        for check in &container.down_checks {
            if !planned(&|layer| layer.checks.contains_key(check)) {
                found.push(format!("container \"{name}\" fails check \"{check}\", which is not in its plan"));
            }
        }
        let mut notices = BTreeSet::new();
        for notice in container.notices.iter().filter(|notice| !notices.insert(&notice.id)) {
            found.push(format!("container \"{name}\" has two notices \"{}\"", notice.id));
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
                if matches!(event, Event::PebbleCheckFailed(_, check) if !container.down_checks.contains(check))
                {
                    found.push(format!("{hook}: the check is up"));
                }
                if let Event::PebbleCustomNotice(_, about) = event {
                    let known = |notice: &&juju_pebble::Notice| notice.id == about.id;
                    match container.notices.iter().find(known) {
                        None => {
                            found
                                .push(format!("{hook}: container \"{name}\" has no notice \"{}\"", about.id));
                        }
                        Some(notice) if (&notice.kind, &notice.key) != (&about.kind, &about.key) => {
                            found.push(format!("{hook}: notice \"{}\" is another one", about.id));
                        }
                        Some(_) => {}
                    }
                    if about.kind != "custom" {
                        found.push(format!("{hook}: of type \"{}\"", about.kind));
                    }
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
            Some(secret) if about.revision.is_some_and(|number| !secret.revisions.contains_key(&number)) => {
                found.push(format!("{hook}: the secret has no such revision"));
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
    if let Event::RelationDeparted(about) = event
        && about
            .departing
            .as_ref()
            .is_some_and(|unit| Some(unit) != about.unit.as_ref() && *unit != state.unit)
    {
        found.push(format!("{hook}: who leaves is the unit that it is about, or this one"));
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
    use juju_pebble::Layer;

    use super::*;
    use crate::{
        Container, ExecHandler, Relation, Secret,
        event::{Notice, SecretEvent},
        state::{CloudSpec, Network, Trace},
    };

    fn meta() -> CharmMeta {
        let text = "
name: demo
requires: {db: {interface: pg}, logs: {interface: loki, limit: 1}}
peers: {peers: {interface: p}}
containers: {web: {}}
storage: {data: {type: filesystem}}
resources: {plan: {type: file, filename: plan}}
config: {options: {size: {type: int}, ratio: {type: float}, on: {type: boolean}, key: {type: secret}}}
actions: {show: {params: {what: {type: string}}, required: [what], additionalProperties: false}}
extra-bindings: {admin: }
";
        CharmMeta::from_texts("", Some(text), None, None).unwrap()
    }

    fn state() -> State {
        State::new(&meta())
    }

    #[track_caller]
    fn refused(state: &State, event: &Event, because: &str) {
        let found = check(&meta(), state, event).unwrap_err().0;
        assert!(found.iter().any(|text| text.contains(because)), "{found:?}");
    }

    #[track_caller]
    fn impossible(state: &State, because: &str) {
        refused(state, &Event::Start, because);
    }

    #[track_caller]
    fn possible(state: &State, event: &Event) {
        assert_eq!(check(&meta(), state, event), Ok(()));
    }

    const ID: &str = "secret00000000000001";

    fn own() -> Secret {
        Secret::new(ID, "application-demo", [("key", "v")])
    }

    fn theirs() -> Secret {
        Secret::new(ID, "application-pg", [("key", "v")]).granted_to("application-demo", "r")
    }

    fn checked() -> Container {
        let layer =
            Layer::from_yaml("checks: {up: {override: replace, level: alive, tcp: {port: 80}}}").unwrap();
        Container::ready().with_layer("web", layer)
    }

    #[test]
    fn a_fresh_unit_is_possible() {
        possible(&state(), &Event::Install);
        possible(&State::for_unit(&meta(), "other/3"), &Event::Install);
        impossible(&State { unit: "demo".into(), ..state() }, "no unit name");
    }

    #[test]
    fn relations_are_what_the_charm_declares() {
        let with = |relation| state().with_relation(relation);
        impossible(&with(Relation::new("dc", 5, "pg", "x")), "no endpoint \"dc\"");
        impossible(&with(Relation::new("db", 5, "mysql", "x")), "has interface \"mysql\"");
        impossible(&with(Relation::peer("db", 5, "pg", "demo")), "declared otherwise");
        impossible(&with(Relation::new("peers", 5, "p", "demo")), "declared otherwise");
        impossible(&with(Relation::new("db", 1, "pg", "x")), "the number 1");
        impossible(
            &with(Relation::new("db", 5, "pg", "x").with_remote_app_data([("k", "")])),
            "same as absent",
        );
        impossible(&with(Relation::new("db", 5, "pg", "")), "no remote application");
    }

    #[test]
    fn a_peer_is_never_the_unit_itself() {
        let mut own = state();
        own.relations[0].remote_units.insert("demo/0".into(), [].into());
        impossible(&own, "its own peer");
        let mut foreign = state();
        foreign.relations[0].remote_units.insert("x/1".into(), [].into());
        impossible(&foreign, "no unit of \"demo\"");
    }

    #[test]
    fn an_endpoint_has_no_more_relations_than_it_allows() {
        let one = state().with_relation(Relation::new("logs", 5, "loki", "x"));
        possible(&one, &Event::Start);
        impossible(&one.with_relation(Relation::new("logs", 6, "loki", "y")), "allows 1");
    }

    #[test]
    fn relation_events_are_about_what_is_there() {
        let related =
            state().with_relation(Relation::new("db", 5, "pg", "x").with_remote_unit(0, [("k", "v")]));
        refused(&related, &Event::relation_broken("db", 6), "no relation db:6");
        refused(&related, &Event::relation_changed("logs", 5), "no relation logs:5");
        refused(&related, &Event::relation_broken("db", 5), "while remote units remain");
        refused(&related, &Event::relation_joined("db", 5, "x/9"), "\"x/9\" is not in the relation");
        refused(&related, &Event::relation_broken("peers", 1), "peer relations never break");
        let mut nobody = Event::relation_joined("db", 5, "x/0");
        if let Event::RelationJoined(about) = &mut nobody {
            about.unit = None;
        }
        refused(&related, &nobody, "is about a unit");
        possible(&related, &Event::relation_departed("db", 5, "x/0"));
        possible(&related, &Event::relation_departed_with("db", 5, "x/0", "demo/0"));
        refused(&related, &Event::relation_departed_with("db", 5, "x/0", "y/0"), "who leaves");
        refused(&state(), &Event::LeaderElected, "not the leader");
    }

    #[test]
    fn container_events_are_about_what_is_there() {
        refused(&state(), &Event::pebble_ready("db"), "no container \"db\"");
        let up = state().with_container("web", checked());
        let down = state().with_container("web", checked().with_failing_check("up"));
        refused(&up, &Event::pebble_check_failed("web", "down"), "no check \"down\"");
        refused(&up, &Event::pebble_check_failed("web", "up"), "the check is up");
        possible(&down, &Event::pebble_check_failed("web", "up"));
        refused(&down, &Event::pebble_check_recovered("web", "up"), "the check is down");
        possible(&up, &Event::pebble_check_recovered("web", "up"));
        impossible(
            &state().with_container("web", Container::ready().with_failing_check("up")),
            "not in its plan",
        );
    }

    #[test]
    fn a_notice_is_one_of_the_containers() {
        let container = Container::ready().with_notice("7", "example.com/done", [("what", "all")]);
        let event = Event::pebble_custom_notice("web", &container.notices[0]);
        let noticed = state().with_container("web", container.clone());
        possible(&noticed, &event);
        refused(&state(), &event, "no notice \"7\"");
        let other = |kind: &str, key: &str| {
            let notice = Notice { id: "7".into(), kind: kind.into(), key: key.into() };
            Event::PebbleCustomNotice("web".into(), notice)
        };
        refused(&noticed, &other("custom", "example.com/other"), "is another one");
        refused(&noticed, &other("warning", "example.com/done"), "of type \"warning\"");
        let twice = container.with_notice("7", "example.com/again", [("what", "all")]);
        impossible(&state().with_container("web", twice), "two notices");
    }

    #[test]
    fn a_containers_parts_go_together() {
        let running = Container {
            services: [("x".to_owned(), juju_pebble::ServiceStatus::Active)].into(),
            ..Container::ready()
        };
        let with = |container| state().with_container("web", container);
        impossible(&with(running), "not in its plan");
        let twice = ExecHandler::new(["nginx", "-t"]);
        impossible(&with(Container::ready().with_exec(twice.clone()).with_exec(twice)), "answers");
        impossible(&with(checked().with_layer("web", Layer::default())), "two layers");
        impossible(&with(Container::ready().with_file("etc/x", "")), "no absolute path");
        impossible(&state().with_container("wed", Container::ready()), "no container \"wed\"");
    }

    #[test]
    fn options_have_their_types() {
        possible(&state().with_config("ratio", 1).with_config("on", true), &Event::Start);
        impossible(&state().with_config("size", "three"), "of type Int");
        impossible(&state().with_config("size", 1.5), "of type Int");
        impossible(&state().with_config("on", "true"), "of type Boolean");
        impossible(&state().with_config("key", "hunter22"), "of type Secret");
        impossible(&state().with_config("sise", 3), "no option \"sise\"");
    }

    #[test]
    fn actions_have_their_parameters() {
        let action = |params: &[(&str, serde_json::Value)]| {
            Event::action("show", params.iter().map(|(key, value)| ((*key).to_owned(), value.clone())))
        };
        possible(&state(), &action(&[("what", "all".into())]));
        refused(&state(), &Event::action("hide", []), "no action \"hide\"");
        refused(&state(), &action(&[]), "needs the parameter");
        refused(&state(), &action(&[("what", 3.into())]), "cannot be 3");
        refused(&state(), &action(&[("which", 3.into())]), "no parameter \"which\"");
    }

    #[test]
    fn storage_resources_and_bindings_are_declared() {
        let stored = state().with_storage("data/0", "/srv");
        possible(&stored, &Event::storage_attached("data/0"));
        refused(&stored, &Event::storage_detaching("data/1"), "no storage \"data/1\"");
        impossible(&state().with_storage("date/0", "/srv"), "no storage for \"date/0\"");
        impossible(&state().with_storage("data", "/srv"), "no storage for \"data\"");
        possible(&state().with_resource("plan", "/plan"), &Event::Start);
        impossible(&state().with_resource("plane", "/plan"), "no resource \"plane\"");
        possible(&state().with_network("admin", Network::default()), &Event::Start);
        impossible(&state().with_network("amin", Network::default()), "no binding \"amin\"");
        let mut twice = meta();
        twice.extra_bindings.push("db".into());
        let found = check(&twice, &state(), &Event::Start).unwrap_err().0;
        assert!(found[0].contains("both an endpoint and an extra binding"), "{found:?}");
    }

    #[test]
    fn secrets_are_what_juju_makes() {
        let with = |secret| state().with_secret(secret);
        impossible(&with(Secret::new("short", "application-demo", [("key", "v")])), "no secret id");
        impossible(&with(Secret::new(ID, "demo", [("key", "v")])), "is no owner");
        impossible(&with(own().with_rotation("often")), "is no rotation");
        impossible(&with(own().tracked_at(2)), "does not exist yet");
        impossible(&with(own().with_consumer_label("mine")), "of its owner");
        impossible(&with(Secret { revisions: [].into(), ..own() }), "no revision");
        impossible(&with(own()).with_secret(own()), "have the id");
        let second = Secret { id: "secret00000000000002".into(), ..own().with_label("l") };
        impossible(&with(own().with_label("l")).with_secret(second), "have the label \"l\"");
        let second = Secret { id: "secret00000000000002".into(), ..theirs().with_consumer_label("l") };
        impossible(&with(theirs().with_consumer_label("l")).with_secret(second), "have the label \"l\"");
    }

    #[test]
    fn secret_events_go_to_owner_or_readers() {
        let (mine, read) = (state().with_secret(own()), state().with_secret(theirs()));
        possible(&read, &Event::secret_changed(&theirs()));
        refused(&mine, &Event::secret_changed(&own()), "to its readers only");
        possible(&mine, &Event::secret_rotate(&own()));
        refused(&read, &Event::secret_rotate(&theirs()), "to its owner only");
        possible(&mine, &Event::secret_expired(&own(), 1));
        refused(&read, &Event::secret_expired(&theirs(), 1), "to its owner only");
        possible(&mine, &Event::secret_remove(&own(), 1));
        refused(&mine, &Event::secret_remove(&own(), 2), "no such revision");
        refused(&state(), &Event::secret_rotate(&own()), "there is no secret");
        let vague = SecretEvent { uri: own().uri(), ..SecretEvent::default() };
        refused(&mine, &Event::SecretRemove(vague), "a revision comes with");
    }

    #[test]
    fn each_juju_has_what_it_has() {
        let on = |version: &str| state().with_juju_version(version);
        impossible(&on("newest"), "no version of Juju");
        impossible(&on("2.9.49").with_secret(own()), "has no secrets");
        refused(&on("4.0.0"), &Event::LeaderSettingsChanged, "knows it no more");
        refused(&on("4.0.0"), &Event::Other("collect-metrics".into()), "knows it no more");
        possible(&on("3.6.26"), &Event::LeaderSettingsChanged);
        let noticed = Container::ready().with_notice("7", "example.com/done", [("what", "all")]);
        let event = Event::pebble_custom_notice("web", &noticed.notices[0]);
        refused(&on("3.3.4").with_container("web", noticed), &event, "does not know it yet");
        let down = checked().with_failing_check("up");
        let failed = Event::pebble_check_failed("web", "up");
        refused(&on("3.5.4").with_container("web", down.clone()), &failed, "does not know it yet");
        possible(&on("3.6-beta1").with_container("web", down), &failed);
        let trace = Trace { trace_id: "1".repeat(32), span_id: "2".repeat(16), flags: 1 };
        possible(&State { trace: Some(trace.clone()), ..on("4.0.0") }, &Event::Start);
        impossible(&State { trace: Some(trace), ..state() }, "no trace");
        let settings = [("a".to_owned(), "b".to_owned())].into();
        impossible(&State { leader_settings: settings, ..on("4.0.0") }, "no leader settings");
    }

    #[test]
    fn the_cloud_is_told_to_whom_and_when_juju_does() {
        possible(&state().with_cloud(CloudSpec::default()), &Event::Start);
        impossible(
            &state().with_cloud(CloudSpec::default()).with_juju_version("3.6.9"),
            "of a Kubernetes cloud",
        );
        impossible(&State { cloud: Some(CloudSpec::default()), ..state() }, "trusted applications only");
    }

    #[test]
    fn machines_are_no_pods() {
        let mut machine = State { machine: "3".into(), ..state() };
        impossible(&machine, "neither a machine nor a zone");
        machine.model.kind = ModelKind::Lxd;
        impossible(&machine, "no containers");
        machine.containers.clear();
        possible(
            &machine.clone().with_port("8000-8010/tcp"),
            &Event::PreSeriesUpgrade("ubuntu@24.04".into()),
        );
        refused(&state(), &Event::PostSeriesUpgrade, "machines only");
        impossible(&state().with_port("8000-8010/tcp"), "no port that Kubernetes opens");
        impossible(&state().with_port("icmp"), "no port that Kubernetes opens");
    }
}
