//! `state-*`, `leader-*`, `storage-*`.

use super::{Answer, Call, FORMAT, Format, OUTPUT, Out, flags, key_values, misused, no_more, quote, refused};

const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 65536;

fn unit_state(call: &Call<'_>) -> std::collections::BTreeMap<String, String> {
    let session = &*call.session;
    session.pending.unit_state.as_ref().unwrap_or(&session.state().unit_state).clone()
}

pub(super) fn state_get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT, flags::switch(&["strict"])])?;
    let mut words = args.positional.iter();
    let key = words.next().filter(|key| *key != "-");
    no_more(words.as_slice())?;
    let state = unit_state(call);
    let value = match key {
        Some(key) => match state.get(key) {
            Some(value) => Out::text(value),
            None if args.has("strict") => return Err(refused(format!("{} not found", quote(key)))),
            None => Out::text(""),
        },
        // An empty store is an empty mapping in YAML, yet no value at all in JSON.
        None if state.is_empty() && args.get("format") == Some("json") => Out::Null,
        None => Out::texts(&state),
    };
    call.print(&args, Format::Smart, &value)
}

pub(super) fn state_set(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[flags::value(&["file"])])?;
    let given = key_values(&args.positional)?;
    let mut settings = call.settings_file(&args)?;
    settings.extend(given);
    if settings.is_empty() {
        return Ok(String::new());
    }
    for (key, value) in &settings {
        if key.chars().count() > MAX_KEY {
            return Err(refused(format!("max allowed key length ({MAX_KEY}) exceeded")));
        }
        if value.chars().count() > MAX_VALUE {
            return Err(refused(format!("max allowed value length ({MAX_VALUE}) exceeded")));
        }
    }
    let mut state = unit_state(call);
    state.extend(settings);
    call.session.pending.unit_state = Some(state);
    Ok(String::new())
}

pub(super) fn state_delete(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[])?;
    let mut words = args.positional.iter();
    let key = words.next();
    no_more(words.as_slice())?;
    let mut state = unit_state(call);
    if key.is_some_and(|key| state.remove(key).is_some()) {
        call.session.pending.unit_state = Some(state);
    }
    Ok(String::new())
}

pub(super) fn leader_get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT])?;
    let mut words = args.positional.iter();
    let key = words.next().filter(|key| *key != "-");
    no_more(words.as_slice())?;
    let settings = &call.session.state().leader_settings;
    let value = match key {
        Some(key) => settings.get(key).map_or(Out::Null, Out::text),
        None => Out::texts(settings),
    };
    call.print(&args, Format::Smart, &value)
}

pub(super) fn leader_set(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[])?;
    let given = key_values(&args.positional)?;
    if !call.session.leads() {
        return Err(refused("cannot write leadership settings: cannot write settings: not the leader"));
    }
    let settings = &mut call.session.state_mut().leader_settings;
    for (key, value) in given {
        if value.is_empty() {
            settings.remove(&key);
        } else {
            settings.insert(key, value);
        }
    }
    Ok(String::new())
}

pub(super) fn storage_list(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT])?;
    let mut words = args.positional.iter();
    let name = words.next();
    no_more(words.as_slice())?;
    let instances = call.session.state().storages.keys();
    let wanted = instances.filter(|id| name.is_none_or(|name| id.split('/').next() == Some(name)));
    call.print(&args, Format::Smart, &Out::Lines(wanted.cloned().collect()))
}

pub(super) fn storage_get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT, flags::value(&["s"])])?;
    let instance = args.get("s").or_else(|| call.session.event().as_storage());
    let instance = instance.ok_or_else(|| misused("no storage instance specified"))?;
    let mut words = args.positional.iter();
    let key = words.next();
    no_more(words.as_slice())?;
    let storage = call.session.state().storages.get(instance).ok_or_else(|| refused("permission denied"))?;
    let value = match key.map(String::as_str) {
        None => Out::fields([("kind", Out::text(&storage.kind)), ("location", Out::text(&storage.location))]),
        Some("kind") => Out::text(&storage.kind),
        Some("location") => Out::text(&storage.location),
        Some(other) => return Err(refused(format!("invalid storage attribute {}", quote(other)))),
    };
    call.print(&args, Format::Smart, &value)
}

pub(super) fn storage_add(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[])?;
    if args.positional.is_empty() {
        return Err(misused("storage add requires a storage directive"));
    }
    let mut asked = Vec::new();
    for word in &args.positional {
        let (name, count) = word.split_once('=').unwrap_or((word, "1"));
        let count = count
            .parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| misused(format!("storage directive {} not valid", quote(word))))?;
        asked.push((name.to_owned(), count));
    }
    call.session.pending.add_storage.extend(asked);
    Ok(String::new())
}
