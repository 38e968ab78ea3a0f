//! `action-get`, `-set`, `-fail`, `-log`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Answer, Call, FORMAT, Format, OUTPUT, Out, Refusal, misused, no_more, quote, refused};
use crate::Event;

/// Parameters of the running action, with the charm's defaults filled in.
fn params(call: &Call<'_>) -> Result<BTreeMap<String, Value>, Refusal> {
    let Event::Action { name, params, .. } = call.session.event() else {
        return Err(refused("not running an action"));
    };
    let declared = call.session.meta().actions.get(name).map(|action| &action.params);
    let defaults = declared
        .into_iter()
        .flatten()
        .filter_map(|(key, schema)| Some((key.clone(), schema.get("default")?.clone())));
    let mut all: BTreeMap<_, _> = defaults.collect();
    all.extend(params.clone());
    Ok(all)
}

pub(super) fn get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT])?;
    let mut words = args.positional.iter();
    let key = words.next();
    no_more(words.as_slice())?;
    let params = params(call)?;
    let value = match key {
        None => Out::Map(params.iter().map(|(key, value)| (key.clone(), value.into())).collect()),
        Some(key) => {
            let mut parts = key.split('.');
            let first = parts.next().and_then(|part| params.get(part));
            parts.fold(first, |value, part| value?.get(part)).map_or(Out::Null, Out::from)
        }
    };
    call.print(&args, Format::Smart, &value)
}

/// Lower case letters, digits and hyphens, with no hyphen at either end.
fn is_result_key(part: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(inner) && part.ends_with(inner) && part.chars().all(|c| inner(c) || c == '-')
}

pub(super) fn set(call: &mut Call<'_>) -> Answer {
    const RESERVED: [&str; 4] = ["stdout", "stderr", "stdout-encoding", "stderr-encoding"];
    let args = call.parse(&[])?;
    let mut results = Vec::new();
    for word in &args.positional {
        let (key, value) = word
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| misused(format!("argument {} must be of the form key...=value", quote(word))))?;
        let parts: Vec<String> = key.split('.').map(str::to_owned).collect();
        for part in &parts {
            if RESERVED.contains(&part.as_str()) {
                return Err(misused(format!("cannot set reserved action key {}", quote(part))));
            }
            if !is_result_key(part) {
                return Err(misused(format!(
                    "key {} must start and end with lowercase alphanumeric, and contain only lowercase alphanumeric \
                     and hyphens",
                    quote(part)
                )));
            }
        }
        results.push((parts, value.to_owned()));
    }
    if !call.session.event().is_action() {
        return Err(refused("not running an action"));
    }
    for (parts, value) in results {
        store(&mut call.session.action.results, &parts, value);
    }
    Ok(String::new())
}

/// Puts a value at a path; whatever is in the way is replaced.
fn store(results: &mut BTreeMap<String, Value>, parts: &[String], value: String) {
    let Some((first, rest)) = parts.split_first() else { return };
    let mut place = results.entry(first.clone()).or_insert(Value::Null);
    for part in rest {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(map) = place else { return };
        place = map.entry(part.clone()).or_insert(Value::Null);
    }
    *place = Value::String(value);
}

pub(super) fn fail(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[])?;
    let mut words = args.positional.iter();
    let message =
        words.next().map_or("action failed without reason given, check action for errors", String::as_str);
    no_more(words.as_slice())?;
    if !call.session.event().is_action() {
        return Err(refused("not running an action"));
    }
    call.session.action.failure = Some(message.to_owned());
    Ok(String::new())
}

pub(super) fn log(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[])?;
    if args.positional.is_empty() {
        return Err(misused("no message specified"));
    }
    if !call.session.event().is_action() {
        return Err(refused("not running an action"));
    }
    call.session.action.log.push(args.positional.join(" "));
    Ok(String::new())
}
