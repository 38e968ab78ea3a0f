//! Values that are too long to be meant, or written so that they mislead whoever reads them.

use juju_sim::{Backend, Event, Outcome, Relation, State};

use crate::scene::{S3, WORKERS, after, complete, nginx_conf, run};

/// Where the charm reads something: endpoint, number and interface of a relation, the application, whether its unit
/// writes it, and the key.
const READ: [(&str, u32, &str, &str, bool, &str); 21] = [
    ("s3", S3, "s3", "s3", false, "bucket"),
    ("s3", S3, "s3", "s3", false, "endpoint"),
    ("s3", S3, "s3", "s3", false, "secret-key"),
    ("s3", S3, "s3", "s3", false, "tls-ca-chain"),
    ("tempo-cluster", WORKERS, "tempo_cluster", "worker", false, "role"),
    ("tempo-cluster", WORKERS, "tempo_cluster", "worker", true, "address"),
    ("tempo-cluster", WORKERS, "tempo_cluster", "worker", true, "juju_topology"),
    ("tracing", 60, "tracing", "grafana", false, "receivers"),
    ("logging", 61, "loki_push_api", "logs", true, "endpoint"),
    ("send-remote-write", 62, "prometheus_remote_write", "prom", true, "remote_write"),
    ("self-charm-tracing", 63, "tracing", "other", false, "receivers"),
    ("self-workload-tracing", 64, "tracing", "other", false, "receivers"),
    ("ingress", 65, "traefik_route", "traefik", false, "external_host"),
    ("istio-ingress", 66, "istio_ingress_route", "istio", false, "external_host"),
    ("grafana-source", 67, "grafana_datasource", "grafana", false, "grafana_uid"),
    ("grafana-dashboard", 68, "grafana_dashboard", "grafana", false, "event"),
    ("receive-datasource", 69, "grafana_datasource_exchange", "prom", false, "datasources"),
    ("service-mesh", 70, "service_mesh", "beacon", false, "labels"),
    ("provide-cmr-mesh", 71, "cross_model_mesh", "grafana", false, "cmr_data"),
    ("certificates", 72, "tls-certificates", "ca", false, "certificates"),
    ("peers", 1, "tempo_peers", "tempo", true, "fqdn"),
];

/// The state with this value there, and an event of the relation.
fn written(state: &State, place: usize, value: &str) -> (State, Event) {
    let (endpoint, id, interface, app, of_unit, key) = READ[place];
    let mut state = state.clone();
    if state.relation(endpoint, id).is_none() {
        let relation = Relation::new(endpoint, id, interface, app);
        state = state.with_relation(relation.with_remote_unit(0, [] as [(&str, &str); 0]));
    }
    let unit = format!("{app}/{}", u32::from(endpoint == "peers"));
    let relation = state.relation_mut(endpoint, id).expect("it is there");
    let of_units = relation.remote_units.entry(unit.clone()).or_default();
    let bag = if of_unit { of_units } else { &mut relation.remote_app_data };
    bag.insert(key.to_owned(), value.to_owned());
    (state, Event::relation_changed_unit(endpoint, id, &unit))
}

/// What people read: the log line by line, and both statuses.
fn shown(out: &Outcome) -> Vec<String> {
    let statuses = out.unit_statuses.iter().chain(&out.app_statuses).map(|status| status.message.clone());
    out.logs.iter().map(|line| line.message.clone()).chain(statuses).collect()
}

#[test]
fn a_value_of_16_mib_is_named_and_holds_up_nothing() {
    // Each value goes through a process else.
    if Backend::from_env() != Backend::InProcess {
        return;
    }
    let state = after(&complete(), Event::ConfigChanged);
    let parts = ["a", "[", "\"\","].into_iter().cycle();
    for ((place, (endpoint, id, .., key)), part) in READ.into_iter().enumerate().zip(parts) {
        // Juju has no limit of its own; the largest take a second each.
        let size = if place % 4 == 0 { 16 << 20 } else { 2 << 20 };
        let (state, event) = written(&state, place, &part.repeat(size / part.len()));
        let out = run(&state, event);
        out.assert_ok();
        let is_named = |line: &String| {
            line.starts_with(&format!("{endpoint}:{id}"))
                && line.ends_with(&format!("{key}: longer than 1024 KiB"))
        };
        let shown = shown(&out);
        assert!(shown.iter().any(is_named), "{endpoint} {key}: {}", out.log_text());
        assert!(shown.iter().all(|line| line.len() < 1_000));
        let relations = out.state.relations.iter();
        let sizes = relations.flat_map(|relation| relation.local_app_data.values().map(String::len));
        assert!(sizes.max() < Some(1 << 20), "{endpoint} {key} goes to others");
    }
}

/// What is read as something else where it goes: by hook tools, by YAML, by nginx, or by people.
const TRAPS: [&str; 16] = [
    "\nWARNING forged line",
    "\r\n",
    "\t",
    "\u{7f}",
    "\u{85}",
    "\u{90}",
    "\u{2028}",
    "\u{2029}",
    "\u{202e}",
    "\u{feff}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{1f600}",
    "\\ud83d\\ude00",
    "'; } server { include /etc/passwd; #",
    "\" - &a *a: {b: c} !!binary | >",
];

#[test]
fn no_text_of_others_leaves_its_line_or_its_place() {
    let state = after(&complete(), Event::ConfigChanged);
    for (place, (endpoint, .., key)) in READ.into_iter().enumerate() {
        // At each place some, so that all of them are somewhere.
        let one_of = if Backend::from_env() == Backend::InProcess { 4 } else { TRAPS.len() };
        for trap in TRAPS.into_iter().skip(place % one_of).step_by(one_of) {
            let text = format!("a{trap}b");
            let json = serde_json::Value::from(text.as_str()).to_string();
            let values = [
                text.clone(),
                format!("\"{text}\""),
                json.clone(),
                format!("[{json}]"),
                format!(r#"{{"url": {json}}}"#),
                format!(r#"{{"application": {json}, "unit": {json}, "charm_name": {json}}}"#),
                format!(r#"{{"app_name": {json}, "juju_model_name": {json}}}"#),
                format!(r#"[{{"type": {json}, "uid": {json}, "grafana_uid": {json}}}]"#),
                format!(r#"{{"errors": [{{"dashboard_id": {json}, "error": {json}}}], "valid": false}}"#),
                format!("{{{json}: {json}}}"),
            ];
            for value in values {
                let (state, event) = written(&state, place, &value);
                let out = run(&state, event);
                out.assert_ok();
                for line in shown(&out) {
                    assert_eq!(juju_ops::one_line(&line, usize::MAX), line, "{endpoint} {key} {value:?}");
                }
                let conf = nginx_conf(&out.state);
                assert!(conf.is_ascii() && !conf.contains("passwd"), "{endpoint} {key} {value:?}: {conf}");
            }
        }
    }
}
