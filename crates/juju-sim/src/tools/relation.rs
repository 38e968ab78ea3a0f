//! `relation-ids`, `-list`, `-get`, `-set`, `-model-get`.

use super::{
    Answer, Args, Call, FORMAT, Format, OUTPUT, Out, RELATION, Refusal, flags, is_app_name, key_values,
    misused, no_more, quote, refused, unit_parts,
};
use crate::{Event, Relation, state::Databag};

pub(super) fn ids(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT])?;
    let endpoint = if let Some((endpoint, rest)) = args.positional.split_first() {
        no_more(rest)?;
        endpoint.clone()
    } else {
        let event = call.session.event().as_relation();
        event.ok_or_else(|| misused("no endpoint name specified"))?.endpoint.clone()
    };
    let session = &*call.session;
    let relations = session.state().relations.iter();
    let shown = relations.filter(|relation| relation.endpoint == endpoint && !session.hides(relation));
    let mut ids: Vec<_> = shown.map(Relation::full_id).collect();
    // As text, so 10 comes before 9: Juju does that.
    ids.sort();
    call.print(&args, Format::Smart, &Out::Lines(ids))
}

fn relation<'a>(call: &'a Call<'_>, args: &Args) -> Result<&'a Relation, Refusal> {
    let id = call.relation_id(args)?;
    call.session.state().relation_by_id(id).ok_or_else(|| refused("relation not found"))
}

pub(super) fn list(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[RELATION, FORMAT, OUTPUT, flags::switch(&["app"])])?;
    call.relation_id(&args)?;
    no_more(&args.positional)?;
    let relation = relation(call, &args)?;
    if args.has("app") {
        return call.print(&args, Format::Smart, &Out::text(&relation.remote_app));
    }
    let units = call.session.members(relation).into_iter().map(str::to_owned).collect();
    call.print(&args, Format::Smart, &Out::Lines(units))
}

pub(super) fn model_get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[RELATION, FORMAT, OUTPUT])?;
    call.relation_id(&args)?;
    no_more(&args.positional)?;
    let relation = relation(call, &args)?;
    let uuid = relation.remote_model_uuid.as_ref().unwrap_or(&call.session.state().model.uuid);
    call.print(&args, Format::Smart, &Out::fields([("uuid", Out::text(uuid))]))
}

/// Whose databag `relation-get` reads.
enum Side {
    App(String),
    Unit(String),
}

pub(super) fn get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[RELATION, FORMAT, OUTPUT, flags::switch(&["app"])])?;
    let id = call.relation_id(&args)?;
    let mut words = args.positional.iter();
    let key = words.next().map(String::as_str).filter(|key| *key != "-" && !key.is_empty());
    let side = match words.next() {
        Some(name) => match unit_parts(name) {
            Some((app, _)) if args.has("app") => Side::App(app.to_owned()),
            Some(_) => Side::Unit(name.clone()),
            None if is_app_name(name) && args.has("app") => Side::App(name.clone()),
            None if is_app_name(name) => {
                return Err(misused(format!("expected unit name, got application name {}", quote(name))));
            }
            None => return Err(misused(format!("invalid unit name {}", quote(name)))),
        },
        None => default_side(call, id, args.has("app"))?,
    };
    no_more(words.as_slice())?;
    let data = match side {
        Side::App(app) => app_data(call, id, &app)?,
        Side::Unit(unit) => unit_data(call, id, &unit)?,
    };
    let value = match key {
        None => Out::texts(&data),
        Some(key) => data.get(key).map_or(Out::Null, Out::text),
    };
    call.print(&args, Format::Smart, &value)
}

/// In a relation hook: the remote unit; where the hook has none, or with `--app`, the remote application.
fn default_side(call: &Call<'_>, id: u32, app: bool) -> Result<Side, Refusal> {
    let nobody = || misused("no unit or application specified");
    let event = call.session.event().as_relation().filter(|event| event.id == id).ok_or_else(nobody)?;
    match &event.unit {
        Some(unit) if !app => Ok(Side::Unit(unit.clone())),
        _ => {
            let relation = call.session.state().relation_by_id(id).ok_or_else(nobody)?;
            Ok(Side::App(relation.remote_app.clone()))
        }
    }
}

/// A committed databag with the hook's own writes on top.
fn with_writes(committed: &Databag, writes: Option<&Databag>) -> Databag {
    let mut data = committed.clone();
    for (key, value) in writes.into_iter().flatten() {
        if value.is_empty() {
            data.remove(key);
        } else {
            data.insert(key.clone(), value.clone());
        }
    }
    data
}

fn app_data(call: &Call<'_>, id: u32, app: &str) -> Result<Databag, Refusal> {
    let session = &*call.session;
    let state = session.state();
    let relation = state.relation_by_id(id).ok_or_else(|| refused("relation not found"))?;
    if app == state.app() {
        // Followers see it on peer relations only.
        if !state.leader && !relation.peer {
            return Err(refused("permission denied"));
        }
        let writes = session.pending.relations.get(&id).map(|bags| &bags.app);
        return Ok(with_writes(&relation.local_app_data, writes));
    }
    if app == relation.remote_app {
        Ok(relation.remote_app_data.clone())
    } else {
        Err(refused("permission denied"))
    }
}

fn unit_data(call: &mut Call<'_>, id: u32, unit: &str) -> Result<Databag, Refusal> {
    if unit == call.session.state().unit {
        // Reading it is enough to have it sent back when the hook ends.
        call.session.pending.relations.entry(id).or_default().unit_read = true;
    }
    let session = &*call.session;
    let state = session.state();
    let relation = state.relation_by_id(id).ok_or_else(|| refused("relation not found"))?;
    if unit == state.unit {
        let writes = session.pending.relations.get(&id).map(|bags| &bags.unit);
        return Ok(with_writes(&relation.local_unit_data, writes));
    }
    let bags = [&relation.remote_units, &relation.departed_units, &relation.sibling_units];
    if let Some(data) = bags.iter().find_map(|bags| bags.get(unit)) {
        return Ok(data.clone());
    }
    let app = unit.split('/').next().unwrap_or_default();
    if app != relation.remote_app && app != state.app() {
        return Err(refused("permission denied"));
    }
    let key = quote(&relation.key(state.app(), session.role(relation)));
    let unit = quote(unit);
    Err(refused(format!(
        "cannot read settings for unit {unit} in relation {key}: unit {unit}: settings not found"
    )))
}

pub(super) fn set(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[RELATION, FORMAT, flags::switch(&["app"]), flags::value(&["file"])])?;
    let id = call.relation_id(&args)?;
    let given = key_values(&args.positional)?;
    call.warn_format(&args);
    let mut settings = call.settings_file(&args)?;
    settings.extend(given);
    if args.has("app") && !call.session.leads() {
        return Err(refused("cannot write relation settings"));
    }
    let bags = call.session.pending.relations.entry(id).or_default();
    if args.has("app") {
        bags.app.extend(settings);
    } else {
        bags.unit.extend(settings);
    }
    Ok(String::new())
}

/// `tracing:3: ` in hooks of that relation.
pub(super) fn log_prefix(event: &Event) -> String {
    event.as_relation().map(|event| format!("{}:{}: ", event.endpoint, event.id)).unwrap_or_default()
}
