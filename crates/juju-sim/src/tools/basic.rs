//! Configuration, leadership, status, logging, and tools with little behind them.

use serde_json::Value;

use super::{
    Answer, Call, FORMAT, Format, OUTPUT, Out, flags, misused, no_more, quote, refused, relation::log_prefix,
};
use crate::{
    session::Session,
    state::{CloudSpec, GoalState, GoalStatus, ModelKind, Status},
};

/// The options as the charm sees them: what the user set over what the charm declares.
fn options(session: &Session) -> Vec<(String, Value)> {
    let set = &session.state().config;
    let declared = session.meta().config.iter();
    declared
        .map(|(name, option)| {
            let value = set.get(name).filter(|value| !value.is_null());
            (name.clone(), value.or(option.default.as_ref()).cloned().unwrap_or(Value::Null))
        })
        .collect()
}

pub(super) fn config_get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT, flags::switch(&["a", "all"])])?;
    let mut words = args.positional.iter();
    let key = words.next();
    if let Some(key) = key.filter(|_| args.has("a")) {
        return Err(misused(format!("cannot use argument --all together with key {}", quote(key))));
    }
    no_more(words.as_slice())?;
    let options = options(call.session);
    let value = if let Some(key) = key {
        options.iter().find(|(name, _)| name == key).map_or(Out::Null, |(_, value)| value.into())
    } else {
        let shown = options.iter().filter(|(_, value)| args.has("a") || !value.is_null());
        Out::Map(shown.map(|(name, value)| (name.clone(), value.into())).collect())
    };
    call.print(&args, Format::Smart, &value)
}

pub(super) fn is_leader(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT])?;
    no_more(&args.positional)?;
    let leads = call.session.leads();
    call.print(&args, Format::Smart, &Out::Bool(leads))
}

fn status_out(status: &Status, with_data: bool) -> Vec<(String, Out)> {
    let mut fields = vec![("status".to_owned(), Out::text(&status.status))];
    if with_data {
        let data = status.data.iter().map(|(key, value)| (key.clone(), value.into())).collect();
        fields.push(("message".to_owned(), Out::text(&status.message)));
        fields.push(("status-data".to_owned(), Out::Map(data)));
    }
    fields
}

pub(super) fn status_get(call: &mut Call<'_>) -> Answer {
    let args =
        call.parse(&[FORMAT, OUTPUT, flags::switch(&["include-data"]), flags::switch(&["application"])])?;
    no_more(&args.positional)?;
    let data = args.has("include-data");
    let format = args.get("format").and_then(Format::parse).unwrap_or(Format::Smart);
    if args.has("application") {
        if !call.session.leads() {
            return Err(refused("finding application status: this unit is not the leader"));
        }
        let state = call.session.state();
        if !data && format == Format::Smart {
            return call.print(&args, Format::Smart, &Out::text(&state.app_status.status));
        }
        let own = std::iter::once((&state.unit, &state.unit_status));
        let units = own.chain(&state.peer_statuses);
        let units = units.map(|(unit, status)| (unit.clone(), Out::Map(status_out(status, data)))).collect();
        let mut fields = status_out(&state.app_status, data);
        fields.push(("units".to_owned(), Out::Map(units)));
        return call.print(&args, Format::Smart, &Out::fields([("application-status", Out::Map(fields))]));
    }
    // The agent asks the controller once per hook and never again.
    let current = call.session.state().unit_status.clone();
    let status = call.session.status_cache.get_or_insert(current).clone();
    let value = if !data && format == Format::Smart {
        Out::text(&status.status)
    } else {
        Out::Map(status_out(&status, data))
    };
    call.print(&args, Format::Smart, &value)
}

pub(super) fn status_set(call: &mut Call<'_>) -> Answer {
    const ALLOWED: [&str; 4] = ["maintenance", "blocked", "waiting", "active"];
    let args = call.parse(&[flags::switch(&["application"])])?;
    let mut words = args.positional.iter();
    let status = words.next().ok_or_else(|| misused("invalid args, require <status> [message]"))?;
    if !ALLOWED.contains(&status.as_str()) {
        let allowed = ALLOWED.join(" ");
        return Err(misused(format!("invalid status {}, expected one of [{allowed}]", quote(status))));
    }
    let message = words.next().map_or("", String::as_str);
    no_more(words.as_slice())?;
    let status = Status::new(status, message);
    let application = args.has("application");
    if application && !call.session.leads() {
        return Err(refused("this unit is not the leader"));
    }
    call.session.set_status(application, status);
    Ok(String::new())
}

pub(super) fn application_version_set(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[])?;
    let (version, rest) = args.positional.split_first().ok_or_else(|| misused("no version specified"))?;
    no_more(rest)?;
    call.session.set_workload_version(version);
    Ok(String::new())
}

pub(super) fn juju_log(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, flags::switch(&["debug"]), flags::value(&["l", "log-level"])])?;
    if args.positional.is_empty() {
        return Err(misused("no message specified"));
    }
    call.warn_format(&args);
    let prefix = log_prefix(call.session.event());
    let module = format!("unit.{}.juju-log", call.session.state().unit);
    let given = args.get("l").unwrap_or("INFO");
    let level = match given.to_ascii_uppercase().as_str() {
        _ if args.has("debug") => "DEBUG",
        "TRACE" => "TRACE",
        "DEBUG" => "DEBUG",
        "INFO" => "INFO",
        "WARN" | "WARNING" => "WARNING",
        "ERROR" => "ERROR",
        "CRITICAL" => "CRITICAL",
        _ => {
            let text = format!("Specified log level of {} is not valid", quote(given));
            call.session.log("WARNING", &module, &text);
            "INFO"
        }
    };
    let message = format!("{prefix}{}", args.positional.join(" "));
    call.session.log(level, &module, &message);
    Ok(String::new())
}

pub(super) fn goal_state(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT])?;
    no_more(&args.positional)?;
    let goal = call.session.state().goal.clone().unwrap_or_else(|| derived_goal(call.session));
    let status = |status: &GoalStatus| {
        Out::fields([("status", Out::text(&status.status)), ("since", Out::text(&status.since))])
    };
    let units = Out::Map(goal.units.iter().map(|(unit, goal)| (unit.clone(), status(goal))).collect());
    let relations = goal.relations.iter().map(|(endpoint, goals)| {
        (endpoint.clone(), Out::Map(goals.iter().map(|(name, goal)| (name.clone(), status(goal))).collect()))
    });
    let value = Out::fields([("units", units), ("relations", Out::Map(relations.collect()))]);
    call.print(&args, Format::Yaml, &value)
}

/// What the rest of the state implies: the planned units, and who is related.
fn derived_goal(session: &Session) -> GoalState {
    let state = session.state();
    let goal =
        |status: &str| GoalStatus { status: status.to_owned(), since: "2026-01-01 00:00:00Z".to_owned() };
    let mut units: std::collections::BTreeMap<_, _> =
        (0..state.planned_units).map(|n| (format!("{}/{n}", state.app()), goal("waiting"))).collect();
    // Where none is planned, whoever is still there is on the way out.
    let there = |status: &str| goal(if state.planned_units == 0 { "dying" } else { status });
    units.insert(state.unit.clone(), there(&state.unit_status.status));
    for (unit, status) in &state.peer_statuses {
        units.insert(unit.clone(), there(&status.status));
    }
    let mut relations = std::collections::BTreeMap::<_, std::collections::BTreeMap<_, _>>::new();
    for relation in state.relations.iter().filter(|relation| !relation.peer) {
        let goals = relations.entry(relation.endpoint.clone()).or_default();
        goals.insert(relation.remote_app.clone(), goal(if relation.dying { "dying" } else { "joined" }));
        goals.extend(relation.remote_units.keys().map(|unit| (unit.clone(), goal("active"))));
    }
    GoalState { units, relations }
}

pub(super) fn credential_get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[FORMAT, OUTPUT])?;
    no_more(&args.positional)?;
    let state = call.session.state();
    let reason = if !state.trusted {
        "getting model credentials: permission denied"
    } else if let Some(cloud) = &state.cloud {
        return call.print(&args, Format::Smart, &cloud_out(cloud));
    } else {
        "reading in-cluster config: unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and \
         KUBERNETES_SERVICE_PORT must be defined"
    };
    Err(refused(format!("cannot access cloud credentials: {reason}")))
}

fn cloud_out(cloud: &CloudSpec) -> Out {
    let mut fields = vec![("type", Out::text(&cloud.kind)), ("name", Out::text(&cloud.name))];
    // Go leaves out what is empty.
    let mut optional = |key, value: &Option<String>| {
        fields.extend(value.as_ref().filter(|value| !value.is_empty()).map(|value| (key, Out::text(value))));
    };
    optional("region", &cloud.region);
    optional("endpoint", &cloud.endpoint);
    optional("identity-endpoint", &cloud.identity_endpoint);
    optional("storage-endpoint", &cloud.storage_endpoint);
    if let Some(credential) = &cloud.credential {
        let mut inner = vec![("auth-type", Out::text(&credential.auth_type))];
        if !credential.attrs.is_empty() {
            inner.push(("attrs", Out::texts(&credential.attrs)));
        }
        if !credential.redacted.is_empty() {
            inner.push(("redacted", Out::Lines(credential.redacted.clone())));
        }
        fields.push(("credential", Out::fields(inner)));
    }
    if !cloud.ca_certificates.is_empty() {
        fields.push(("cacertificates", Out::Lines(cloud.ca_certificates.clone())));
    }
    if cloud.skip_tls_verify {
        fields.push(("skip-tls-verify", Out::Bool(true)));
    }
    if cloud.is_controller_cloud {
        fields.push(("is-controller-cloud", Out::Bool(true)));
    }
    Out::fields(fields)
}

pub(super) fn resource_get(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[])?;
    let (name, rest) =
        args.positional.split_first().ok_or_else(|| misused("missing required resource name"))?;
    no_more(rest)?;
    let state = call.session.state();
    // The path comes without a line end.
    state.resources.get(name).cloned().ok_or_else(|| {
        let url = format!("http://controller.invalid/units/{}/resources/{name}", state.unit_tag());
        let resource = quote(&format!("{}/{name}", state.app()));
        refused(format!(
            "could not download resource: HTTP request failed: Get {url}: cannot get resource: resource {resource} not found"
        ))
    })
}

pub(super) fn juju_reboot(call: &mut Call<'_>) -> Answer {
    let args = call.parse(&[flags::switch(&["now"])])?;
    no_more(&args.positional)?;
    if call.session.event().is_action() {
        return Err(refused("juju-reboot is not supported when running an action."));
    }
    if args.has("now") && call.session.state().model.kind == ModelKind::Kubernetes {
        return Err(refused("no process to kill"));
    }
    call.session.pending.reboot = true;
    Ok(String::new())
}
