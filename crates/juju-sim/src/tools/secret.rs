//! `secret-*`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use super::{
    Answer, Args, Call, FORMAT, Format, OUTPUT, Out, RELATION, Refusal, base64_decode, base64_encode, flags,
    misused, no_more, open_error, quote, refused, unit_parts, yaml,
};
use crate::{
    Secret, Session,
    session::{SecretCreate, SecretUpdate},
    state::Access,
};

/// Content with base64 values.
type Content = BTreeMap<String, String>;

/// The bare id in `<id>`, `secret:<id>`, `secret://<model>/<id>` or `secret:<model>/<id>`.
fn id_of(word: &str) -> Result<String, Refusal> {
    let rest = word.strip_prefix("secret:").unwrap_or(word);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let id = rest.rsplit('/').next().unwrap_or(rest);
    let fits = id.len() == 20 && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let plain = word.contains(':') || !word.contains('/');
    if fits && plain {
        Ok(id.to_owned())
    } else {
        Err(misused(format!("secret URI {} not valid", quote(word))))
    }
}

fn is_key(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.chars().filter(|c| *c != '-').count() >= 3
        && !key.ends_with('-')
        && !key.contains("--")
        && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Files are opened by the agent, which does not run in the charm's folder: only absolute names lead anywhere.
fn agent_file(session: &Session, path: &str) -> Result<Vec<u8>, String> {
    if !Path::new(path).is_absolute() {
        return Err(format!("open {path}: no such file or directory"));
    }
    fs::read(session.file(Path::new(path))).map_err(|error| open_error(path, &error))
}

fn put(session: &Session, content: &mut Content, key: &str, value: &str) -> Result<(), Refusal> {
    let (name, form) = key.split_once('#').unwrap_or((key, ""));
    if !is_key(name) {
        return Err(misused(format!("key {} not valid", quote(name))));
    }
    let value = match form {
        // Passed on unchecked: bad base64 breaks whoever reads it later.
        "base64" => value.to_owned(),
        "file" => base64_encode(agent_file(session, value).map_err(|reason| {
            misused(format!("reading content for secret key {}: {reason}", quote(name)))
        })?),
        _ => base64_encode(value),
    };
    content.insert(name.to_owned(), value);
    Ok(())
}

/// `key=value` arguments over the entries of `--file`.
fn content(session: &Session, args: &Args, words: &[String]) -> Result<Content, Refusal> {
    let mut content = Content::new();
    if let Some(file) = args.get("file").filter(|file| !file.is_empty()) {
        let text = agent_file(session, file).map_err(misused)?;
        for (key, value) in yaml::read_map(&text).map_err(misused)? {
            put(session, &mut content, &key, &value)?;
        }
    }
    for word in words {
        let (key, value) = word
            .split_once('=')
            .filter(|(key, value)| !key.is_empty() && !value.is_empty())
            .ok_or_else(|| misused(format!("key value {} not valid", quote(word))))?;
        put(session, &mut content, key, value)?;
    }
    Ok(content)
}

/// Go durations longer than nothing: `1h30m`, `500ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())
}

/// `2026-01-02T03:04:05`, with or without a zone, in UTC form.
fn time(text: &str) -> Option<String> {
    let (date, clock) = text.split_once('T')?;
    let (clock, zone) = match clock.find(['Z', '+', '-']) {
        Some(at) => clock.split_at(at),
        None => (clock, "Z"),
    };
    let numbers = |text: &str, separator, lengths: [usize; 3]| {
        let parts: Vec<_> = text.split(separator).collect();
        parts.len() == 3
            && parts
                .iter()
                .zip(lengths)
                .all(|(part, length)| part.len() == length && part.chars().all(|c| c.is_ascii_digit()))
    };
    let whole = clock.split('.').next().unwrap_or(clock);
    let fits = numbers(date, '-', [4, 2, 2]) && numbers(whole, ':', [2, 2, 2]);
    fits.then(|| format!("{date}T{clock}{zone}"))
}

/// Flags that `secret-add` and `secret-set` share.
fn properties(call: &Call<'_>, args: &Args, words: &[String]) -> Result<(SecretUpdate, bool), Refusal> {
    const POLICIES: [&str; 7] = ["never", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly"];
    let text = |name: &str| args.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let expire = match args.get("expire").filter(|expire| !expire.is_empty()) {
        None => None,
        Some(given) => {
            let from_now = || duration(given).map(|duration| call.session.time_after(duration));
            let at = time(given).or_else(from_now);
            Some(at.ok_or_else(|| misused(format!("expire time or duration {} not valid", quote(given))))?)
        }
    };
    let rotate = text("rotate");
    if let Some(policy) = rotate.as_deref().filter(|policy| !POLICIES.contains(policy)) {
        return Err(misused(format!("rotate policy {} not valid", quote(policy))));
    }
    let unit_owned = match args.get("owner").unwrap_or("application") {
        "application" => false,
        "unit" => true,
        other => return Err(misused(format!("secret owner {} not valid", quote(other)))),
    };
    let content = content(call.session, args, words)?;
    let update = SecretUpdate {
        label: text("label"),
        description: text("description"),
        rotate,
        expire,
        content: Some(content).filter(|content| !content.is_empty()),
    };
    Ok((update, unit_owned))
}

const UPSERT: &[flags::Flag] = &[
    flags::value(&["label"]),
    flags::value(&["description"]),
    flags::value(&["expire"]),
    flags::value(&["rotate"]),
    flags::value(&["owner"]),
    flags::value(&["file"]),
];

pub(super) fn add(call: &mut Call<'_>) -> Answer {
    let args = call.parse(UPSERT)?;
    if args.positional.is_empty() && args.get("file").is_none_or(str::is_empty) {
        return Err(misused("missing secret value or filename"));
    }
    let (with, unit_owned) = properties(call, &args, &args.positional)?;
    let session = &mut *call.session;
    if !unit_owned && !session.leads() {
        return Err(refused("this unit is not the leader"));
    }
    let owner = if unit_owned { session.state().unit_tag() } else { session.state().app_tag() };
    let id = session.next_secret_id();
    let label = with.label.as_deref();
    let creates = &mut session.pending.secret_creates;
    if let Some(label) =
        label.filter(|label| creates.values().any(|create| create.with.label.as_deref() == Some(label)))
    {
        return Err(refused(format!("secret with label {} already exists", quote(label))));
    }
    creates.insert(id.clone(), SecretCreate { owner, with });
    Ok(format!("secret:{id}\n"))
}

/// A secret that the hook can name by a label, with this hook's own changes of labels.
fn by_label(call: &Call<'_>, label: &str, owned_only: bool) -> Option<String> {
    let session = &*call.session;
    let state = session.state();
    let pending = &session.pending;
    let created =
        pending.secret_creates.iter().find(|(_, create)| create.with.label.as_deref() == Some(label));
    if let Some((id, _)) = created {
        return Some(id.clone());
    }
    let owner_label = |secret: &Secret| {
        let renamed = pending.secret_updates.get(&secret.id).and_then(|update| update.label.clone());
        renamed.unwrap_or_else(|| secret.label.clone())
    };
    let fits = |secret: &&Secret| {
        let owned = state.owns(secret);
        (owned && owner_label(secret) == label)
            || (!owned && !owned_only && secret.consumer_label.as_deref() == Some(label))
    };
    state.secrets.iter().find(fits).map(|secret| secret.id.clone())
}

fn not_found(id: &str) -> Refusal {
    refused(format!("secret {} not found", quote(&format!("secret:{id}"))))
}

pub(super) fn get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[
        FORMAT,
        OUTPUT,
        flags::value(&["label"]),
        flags::switch(&["peek"]),
        flags::switch(&["refresh"]),
    ])?;
    let label = args.get("label").filter(|label| !label.is_empty());
    let mut words = args.positional.as_slice();
    let mut id = None;
    if let Some((word, rest)) = words.split_first() {
        match id_of(word) {
            Ok(found) => (id, words) = (Some(found), rest),
            // With a label the first word may be the key.
            Err(error) if label.is_none() => return Err(error),
            Err(_) => {}
        }
    }
    if id.is_none() && label.is_none() {
        return Err(misused("require either a secret URI or label"));
    }
    if args.has("peek") && args.has("refresh") {
        return Err(misused("specify one of --peek or --refresh but not both"));
    }
    let mut words = words.iter();
    let key = words.next();
    no_more(words.as_slice())?;
    let id = match (id, label) {
        (Some(id), label) => {
            if let Some(label) = label {
                relabel(call, &id, label);
            }
            id
        }
        (None, label) => {
            let label = label.unwrap_or_default();
            by_label(call, label, false)
                .ok_or_else(|| refused(format!("consumer label {} not found", quote(label))))?
        }
    };
    let content = read(call, &id, args.has("peek"), args.has("refresh"))?;
    let decoded = |value: &String| {
        let bytes = base64_decode(value).ok_or_else(|| refused("illegal base64 data at input byte 0"))?;
        Ok::<_, Refusal>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let value = match key {
        None => {
            let mut fields = Vec::new();
            for (key, value) in &content {
                fields.push((key.clone(), Out::Text(decoded(value)?)));
            }
            return call.print(&args, Format::Yaml, &Out::Map(fields));
        }
        Some(key) => {
            let (name, form) = key.split_once('#').unwrap_or((key, ""));
            let value = content
                .get(name)
                .ok_or_else(|| refused(format!("secret key value {} not found", quote(name))))?;
            if form == "base64" { value.clone() } else { decoded(value)? }
        }
    };
    // One value is printed bare unless a format is asked for.
    call.print(&args, Format::Smart, &Out::Text(value))
}

/// A consumer names a secret for itself; the owner's label stays what it is.
fn relabel(call: &mut Call<'_>, id: &str, label: &str) {
    let state = call.session.state();
    if state.secret(id).is_some_and(|secret| !state.owns(secret) && state.may_read(secret)) {
        for secret in call.session.state_mut().secrets.iter_mut().filter(|secret| secret.id == id) {
            secret.consumer_label = Some(label.to_owned());
        }
    }
}

fn read(call: &mut Call<'_>, id: &str, peek: bool, refresh: bool) -> Result<Content, Refusal> {
    let session = &mut *call.session;
    if let Some(create) = session.pending.secret_creates.get(id) {
        return Ok(create.with.content.clone().unwrap_or_default());
    }
    let state = session.state();
    let secret = state.secret(id).ok_or_else(|| not_found(id))?;
    if !state.may_read(secret) {
        return Err(refused("permission denied"));
    }
    let pending = session.pending.secret_updates.get(id).and_then(|update| update.content.clone());
    if let Some(content) = pending.filter(|_| (peek || refresh) && state.owns(secret)) {
        if refresh {
            session.pending.secret_track_latest.insert(id.to_owned());
        }
        return Ok(content);
    }
    let latest = secret.latest();
    let tracked = secret.tracked.filter(|number| secret.revisions.contains_key(number) && !refresh);
    let number = if peek { latest } else { tracked.unwrap_or(latest) };
    let content = secret.revisions.get(&number).cloned().ok_or_else(|| not_found(id))?;
    if !peek {
        for secret in session.state_mut().secrets.iter_mut().filter(|secret| secret.id == id) {
            secret.tracked = Some(number);
        }
    }
    Ok(content)
}

/// Owned by the application while leading, or by this unit.
fn manages(call: &Call<'_>, secret: &Secret) -> bool {
    let state = call.session.state();
    secret.owner == state.unit_tag() || (secret.owner == state.app_tag() && state.leader)
}

pub(super) fn ids(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT])?;
    no_more(&args.positional)?;
    let session = &*call.session;
    let stored = session.state().secrets.iter().filter(|secret| manages(call, secret));
    let stored = stored.map(|secret| secret.id.clone());
    let ids: BTreeSet<String> = session.pending.secret_creates.keys().cloned().chain(stored).collect();
    // A list that was never made prints as null.
    let value = match args.get("format") {
        Some("json") if ids.is_empty() => Out::Null,
        _ => Out::Lines(ids.into_iter().collect()),
    };
    call.print(&args, Format::Smart, &value)
}

pub(super) fn info_get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT, flags::value(&["label"])])?;
    let label = args.get("label").filter(|label| !label.is_empty());
    let (id, rest) = match args.positional.split_first() {
        Some((word, rest)) => (Some(id_of(word)?), rest),
        None => (None, &[][..]),
    };
    if id.is_some() && label.is_some() {
        return Err(misused("specify either a secret URI or label but not both"));
    }
    no_more(rest)?;
    let asked = id.clone().or_else(|| label.map(str::to_owned));
    let asked = asked.ok_or_else(|| misused("require either a secret URI or label"))?;
    let missing = || refused(format!("secret {} not found", quote(&asked)));
    let id = match id {
        Some(id) => id,
        None => by_label(call, &asked, true).ok_or_else(missing)?,
    };
    let session = &*call.session;
    let secret = if let Some(create) = session.pending.secret_creates.get(&id) {
        // Shown as if stored; rotation appears only if it was asked for.
        let with = create.with.clone();
        Secret {
            id: id.clone(),
            owner: create.owner.clone(),
            label: with.label.unwrap_or_default(),
            description: with.description.unwrap_or_default(),
            rotate: with.rotate.unwrap_or_default(),
            expire: with.expire,
            revisions: BTreeMap::from([(1, Content::new())]),
            ..Secret::default()
        }
    } else {
        let secret =
            session.state().secret(&id).filter(|secret| manages(call, secret)).ok_or_else(missing)?;
        let mut secret = secret.clone();
        if let Some(update) = session.pending.secret_updates.get(&id).cloned() {
            secret.label = update.label.unwrap_or(secret.label);
            secret.description = update.description.unwrap_or(secret.description);
            secret.rotate = update.rotate.unwrap_or(secret.rotate);
            secret.expire = update.expire.or(secret.expire);
        }
        secret
    };
    let owner = if secret.owner == session.state().unit_tag() { "unit" } else { "application" };
    let mut fields = vec![("revision".to_owned(), Out::Number(secret.latest().into()))];
    let mut text = |key: &str, value: &str| {
        if !value.is_empty() {
            fields.push((key.to_owned(), Out::text(value)));
        }
    };
    text("label", &secret.label);
    text("owner", owner);
    text("description", &secret.description);
    text("rotation", &secret.rotate);
    text("expiry", secret.expire.as_deref().unwrap_or_default());
    if !secret.access.is_empty() {
        let access = secret.access.iter().map(|access| {
            Out::fields([
                ("target", Out::text(&access.target)),
                ("scope", Out::text(&access.scope)),
                ("role", Out::text(&access.role)),
            ])
        });
        fields.push(("access".to_owned(), Out::List(access.collect())));
    }
    call.print(&args, Format::Yaml, &Out::Struct(vec![(id, Out::Struct(fields))]))
}

/// The secret an argument names, and the arguments after it.
fn named(args: &Args) -> Result<(String, &[String]), Refusal> {
    let (word, rest) = args.positional.split_first().ok_or_else(|| misused("missing secret URI"))?;
    Ok((id_of(word)?, rest))
}

pub(super) fn set(call: &mut Call<'_>) -> Answer {
    let args = call.parse(UPSERT)?;
    let (id, rest) = named(&args)?;
    let (update, _) = properties(call, &args, rest)?;
    let session = &mut *call.session;
    if let Some(create) = session.pending.secret_creates.get_mut(&id) {
        merge(&mut create.with, update);
        return Ok(String::new());
    }
    let mut all = session.pending.secret_updates.get(&id).cloned().unwrap_or_default();
    merge(&mut all, update);
    // Content equal to the latest revision is no change.
    let latest = session.state().secret(&id).and_then(|secret| secret.revisions.get(&secret.latest()));
    if all.content.is_some() && all.content.as_ref() == latest {
        all.content = None;
    }
    if all == SecretUpdate::default() {
        session.pending.secret_updates.remove(&id);
    } else {
        session.pending.secret_updates.insert(id, all);
    }
    Ok(String::new())
}

fn merge(all: &mut SecretUpdate, update: SecretUpdate) {
    let SecretUpdate { label, description, rotate, expire, content } = update;
    all.label = label.or(all.label.take());
    all.description = description.or(all.description.take());
    all.rotate = rotate.or(all.rotate.take());
    all.expire = expire.or(all.expire.take());
    all.content = content.or(all.content.take());
}

fn unit_tag(unit: &str) -> String {
    format!("unit-{}", unit.replace('/', "-"))
}

pub(super) fn grant(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[RELATION, flags::value(&["unit"])])?;
    let (id, rest) = named(&args)?;
    no_more(rest)?;
    let relation_id = call.relation_id(&args)?;
    let session = &*call.session;
    let state = session.state();
    let relation = state.relation_by_id(relation_id).ok_or_else(|| refused("relation not found"))?;
    let target = match args.get("unit").filter(|unit| !unit.is_empty()) {
        None => format!("application-{}", relation.remote_app),
        Some(unit) => {
            let (app, _) =
                unit_parts(unit).ok_or_else(|| misused(format!("unit {} not valid", quote(unit))))?;
            if app != relation.remote_app {
                let (unit, app) = (quote(unit), quote(&relation.remote_app));
                return Err(misused(format!("cannot specify unit {unit} in relation to application {app}")));
            }
            unit_tag(unit)
        }
    };
    let app_target = format!("application-{}", relation.remote_app);
    let scope = relation.tag(state.app(), session.role(relation));
    let stored = state.secret(&id).filter(|secret| manages(call, secret));
    if stored.is_none() && !session.pending.secret_creates.contains_key(&id) {
        return Err(refused(format!("secret {} not found", quote(&id))));
    }
    let pending = session.pending.secret_grants.get(&id).into_iter().flatten();
    let granted: BTreeSet<&str> = stored
        .iter()
        .flat_map(|secret| &secret.access)
        .chain(pending)
        .map(|access| access.target.as_str())
        .collect();
    // What the application may read, its units may read already.
    if !granted.contains(target.as_str()) && !granted.contains(app_target.as_str()) {
        let access = Access { target: target.clone(), scope, role: "view".to_owned() };
        call.session.pending.secret_grants.entry(id.clone()).or_default().insert(access);
    }
    if let Some(revoked) = call.session.pending.secret_revokes.get_mut(&id) {
        revoked.remove(&target);
    }
    call.session.pending.secret_revokes.retain(|_, targets| !targets.is_empty());
    Ok(String::new())
}

pub(super) fn revoke(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[RELATION, flags::value(&["app", "application"]), flags::value(&["unit"])])?;
    let (id, rest) = named(&args)?;
    let given = |name: &str| args.get(name).filter(|value| !value.is_empty());
    if given("r").is_none() && given("app").is_none() && given("unit").is_none() {
        return Err(misused("missing relation or application or unit"));
    }
    if given("app").is_some() && given("unit").is_some() {
        return Err(misused("specify only one of application or unit"));
    }
    no_more(rest)?;
    let target = if let Some(unit) = given("unit") {
        unit_tag(unit)
    } else if let Some(app) = given("app") {
        format!("application-{app}")
    } else {
        let id = call.relation_id(&args)?;
        let relation =
            call.session.state().relation_by_id(id).ok_or_else(|| refused("relation not found"))?;
        format!("application-{}", relation.remote_app)
    };
    let pending = &mut call.session.pending;
    if let Some(grants) = pending.secret_grants.get_mut(&id) {
        grants.retain(|access| access.target != target);
    }
    pending.secret_grants.retain(|_, grants| !grants.is_empty());
    let targets = pending.secret_revokes.entry(id).or_default();
    // Revoking an application's access covers its units.
    let covered = target
        .strip_prefix("unit-")
        .and_then(|unit| unit.rsplit_once('-'))
        .is_some_and(|(app, _)| targets.contains(&format!("application-{app}")));
    if !covered {
        targets.insert(target);
    }
    Ok(String::new())
}

pub(super) fn remove(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[flags::value(&["revision"])])?;
    let (id, rest) = named(&args)?;
    let revision = match args.get("revision") {
        None => None,
        Some(given) => {
            let number: u32 = given.parse().map_err(|_| {
                let given = quote(given);
                misused(format!("invalid value {given} for option --revision: strconv.ParseInt: parsing {given}: invalid syntax"))
            })?;
            Some(number)
        }
    };
    no_more(rest)?;
    let pending = &mut call.session.pending;
    // The deletion stands for everything the hook wanted to do with the secret.
    pending.secret_creates.remove(&id);
    pending.secret_grants.remove(&id);
    if revision.is_none() {
        pending.secret_updates.remove(&id);
    }
    let deletes = pending.secret_deletes.entry(id).or_insert_with(|| Some(BTreeSet::new()));
    match (revision, deletes.as_mut()) {
        (Some(number), Some(numbers)) => {
            numbers.insert(number);
        }
        (None, _) => *deletes = None,
        (Some(_), None) => {}
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations() {
        assert_eq!(time("2030-01-02T03:04:05Z").as_deref(), Some("2030-01-02T03:04:05Z"));
        assert_eq!(time("2030-01-02T03:04:05").as_deref(), Some("2030-01-02T03:04:05Z"));
        assert_eq!(time("yesterday"), None);
        assert_eq!(duration("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration("0s"), None);
        assert_eq!(duration("3 days"), None);
    }

    #[test]
    fn ids_in_all_spellings() {
        let bare = "cappsecret0000000010";
        for spelling in [bare.to_owned(), format!("secret:{bare}"), format!("secret://some-model/{bare}")] {
            assert_eq!(id_of(&spelling).ok().as_deref(), Some(bare));
        }
        assert!(id_of("not-a-secret-uri").is_err() && id_of("").is_err());
    }
}
