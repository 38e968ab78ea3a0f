//! Our data source in Grafana, and the links from it to others' and back.

use std::collections::BTreeSet;

use juju_sim::{Event, Relation, State};
use serde_json::{Value, json};

use crate::scene::{WORKERS, after, alone, complete, run, s3, settled, without, worker};

const SOURCE: u32 = 30;
const EXCHANGE: u32 = 31;
const REMOTE_WRITE: u32 = 32;

/// A Grafana with this UID, that knows the application's data source under this one.
fn grafana(id: u32, uid: &str, datasource: &str) -> Relation {
    Relation::new("grafana-source", id, "grafana_datasource", &format!("graf-{id}")).with_remote_app_data([
        ("grafana_uid", uid),
        ("grafana_base_url", "http://grafana.obs.svc.cluster.local:3000"),
        ("datasource_uids", "{}"),
        ("app_datasource_uid", datasource),
    ])
}

/// An owner of data sources, each with its kind, its UID and that of its Grafana.
fn owner(id: u32, app: &str, datasources: &[(&str, &str, &str)]) -> Relation {
    let list: Vec<Value> = datasources
        .iter()
        .map(|(kind, uid, grafana)| json!({"type": kind, "uid": uid, "grafana_uid": grafana}))
        .collect();
    Relation::new("receive-datasource", id, "grafana_datasource_exchange", app)
        .with_remote_app_data([("datasources", json!(list).to_string())])
}

fn prometheus(app: &str) -> Relation {
    let url = r#"{"url": "http://prom-0.prom-endpoints.obs.svc.cluster.local:9090/api/v1/write"}"#;
    Relation::new("send-remote-write", REMOTE_WRITE, "prometheus_remote_write", app)
        .with_remote_unit(0, [("remote_write", url)])
}

fn with(relations: impl IntoIterator<Item = Relation>) -> State {
    relations.into_iter().fold(complete(), State::with_relation)
}

/// What Grafana is told of our data source.
fn told(state: &State, id: u32) -> Value {
    let relation = state.relation("grafana-source", id).expect("the relation is there");
    serde_json::from_str(&relation.local_app_data["grafana_source_data"]).expect("it is JSON")
}

/// The links of our data source, once the charm has seen these relations.
fn links(relations: impl IntoIterator<Item = Relation>) -> Value {
    let state = with(relations).with_relation(grafana(SOURCE, "g1", "ours"));
    told(&after(&state, Event::ConfigChanged), SOURCE)["extra_fields"].clone()
}

/// What an owner of data sources is told.
fn exchanged(state: &State, id: u32) -> &str {
    &state.relation("receive-datasource", id).expect("the relation is there").local_app_data["datasources"]
}

#[test]
fn grafana_is_told_of_one_data_source_and_none_for_each_unit() {
    let old = Relation::new("grafana-source", SOURCE, "grafana_datasource", "grafana")
        .with_local_unit_data([("grafana_source_host", "http://tempo.obs.svc.cluster.local:3200")]);
    for leader in [true, false] {
        let out = run(&with([old.clone()]).with_leader(leader), Event::ConfigChanged);
        out.assert_ok();
        let relation = out.relation("grafana-source", SOURCE);
        // As older revisions had it.
        assert!(!relation.local_unit_data.contains_key("grafana_source_host"));
        let keys: Vec<&str> = relation.local_app_data.keys().map(String::as_str).collect();
        if leader {
            assert_eq!(keys, ["grafana_source_app_host", "grafana_source_data"]);
            let host = &relation.local_app_data["grafana_source_app_host"];
            assert_eq!(host, "http://tempo.obs.svc.cluster.local:3200");
            let uuid = &out.state.model.uuid;
            assert_eq!(
                relation.local_app_data["grafana_source_data"],
                format!(
                    "{{\"model\": \"obs\", \"model_uuid\": \"{uuid}\", \"application\": \"tempo\", \"type\": \"tempo\", \
                     \"extra_fields\": null, \"secure_extra_fields\": null}}"
                )
            );
        } else {
            assert_eq!(keys, [] as [&str; 0]);
        }
    }
}

#[test]
fn grafana_is_told_in_any_state_of_the_cluster() {
    let source = Relation::new("grafana-source", SOURCE, "grafana_datasource", "grafana");
    for event in [
        Event::relation_created("grafana-source", SOURCE),
        Event::relation_joined("grafana-source", SOURCE, "grafana/0"),
        Event::relation_changed("grafana-source", SOURCE),
    ] {
        let state =
            alone().with_relation(source.clone().with_remote_unit(0, [("ingress-address", "10.1.2.3")]));
        let state = after(&state, event);
        let source = told(&state, SOURCE);
        for text in ["model", "model_uuid", "application", "type"] {
            assert!(source[text].is_string(), "{source}");
        }
        for object in ["extra_fields", "secure_extra_fields"] {
            assert!(source[object].is_null(), "{source}");
        }
        assert!(state.unit_status.message.contains("no worker"), "{:?}", state.unit_status);
    }
}

#[test]
fn the_url_of_our_data_source_is_that_of_the_ingress() {
    let source = || Relation::new("grafana-source", SOURCE, "grafana_datasource", "grafana");
    let traefik = Relation::new("ingress", 33, "traefik_route", "traefik")
        .with_remote_app_data([("external_host", "edge.example.net"), ("scheme", "https")]);
    let host = |state: &State| {
        let relation = state.relation("grafana-source", SOURCE).expect("the relation is there");
        relation.local_app_data["grafana_source_app_host"].clone()
    };
    // Whichever event brings the host to light, Grafana hears of it in the same hook.
    let state = with([source(), traefik]);
    for event in [Event::relation_changed("ingress", 33), Event::UpdateStatus] {
        assert_eq!(host(&after(&state, event)), "https://edge.example.net:3200");
    }
    let state = after(&state, Event::ConfigChanged);
    let out = run(&state, Event::relation_broken("ingress", 33));
    out.assert_ok();
    assert_eq!(host(&out.state), "http://tempo.obs.svc.cluster.local:3200");
}

#[test]
fn a_second_hook_tells_nobody_anything() {
    let state = with([
        grafana(SOURCE, "g1", "ours"),
        owner(EXCHANGE, "prom", &[("prometheus", "p1", "g1"), ("loki", "l1", "g1")]),
        prometheus("prom"),
    ]);
    for leader in [true, false] {
        let settled = after(&state.clone().with_leader(leader), Event::ConfigChanged);
        for event in [
            Event::UpdateStatus,
            Event::relation_changed("grafana-source", SOURCE),
            Event::relation_changed("receive-datasource", EXCHANGE),
            Event::relation_changed("send-remote-write", REMOTE_WRITE),
        ] {
            run(&settled, event).assert_ok().assert_nothing_written();
        }
    }
}

#[test]
fn a_service_map_needs_the_prometheus_that_we_write_to_and_a_grafana_in_common() {
    for n in 0..8_u8 {
        let [exchange, write, source] = [1, 2, 4].map(|bit| n & bit != 0);
        let mut state = complete();
        if exchange {
            state = state.with_relation(owner(EXCHANGE, "prom", &[("prometheus", "p1", "g1")]));
        }
        if write {
            state = state.with_relation(prometheus("prom"));
        }
        // There has to be some Grafana to ask; it is another one where the one in common is to be missing.
        let uid = if source { "g1" } else { "elsewhere" };
        let state = after(&state.with_relation(grafana(SOURCE, uid, "ours")), Event::ConfigChanged);
        let options = &told(&state, SOURCE)["extra_fields"];
        let expected = if exchange && write && source { json!({"datasourceUid": "p1"}) } else { Value::Null };
        assert_eq!(options["serviceMap"], expected, "{exchange} {write} {source}");
        // The metrics about a span can be in any Prometheus.
        assert_eq!(options["tracesToMetrics"].is_object(), exchange && source);
    }
}

#[test]
fn a_service_map_is_of_the_application_that_we_write_to() {
    let exchange = || owner(EXCHANGE, "other", &[("prometheus", "p1", "g1")]);
    assert_eq!(links([exchange(), prometheus("prom")])["serviceMap"], Value::Null);
    assert_eq!(links([exchange(), prometheus("other")])["serviceMap"]["datasourceUid"], "p1");
}

#[test]
fn of_several_data_sources_the_first_in_a_grafana_in_common_is_linked() {
    let several = owner(
        EXCHANGE,
        "prom",
        &[
            ("prometheus", "p0", "g0"),
            ("loki", "l1", "g1"),
            ("prometheus", "p1", "g1"),
            ("prometheus", "p2", "g1"),
        ],
    );
    // Relations count in the order of their numbers.
    let later = owner(EXCHANGE + 10, "prom2", &[("prometheus", "a", "g1"), ("loki", "a", "g1")]);
    let options = links([later, several, prometheus("prom")]);
    assert_eq!(options["serviceMap"]["datasourceUid"], "p1");
    assert_eq!(options["tracesToMetrics"]["datasourceUid"], "p1");
    assert_eq!(options["tracesToLogsV2"]["datasourceUid"], "l1");
    assert_eq!(options["httpMethod"], "GET");
}

#[test]
fn logs_and_metrics_about_a_span_are_found_where_they_are() {
    assert_eq!(links([]), Value::Null);
    let metrics = links([owner(EXCHANGE, "prom", &[("prometheus", "p1", "g1")])]);
    assert_eq!(metrics["tracesToMetrics"]["datasourceUid"], "p1");
    assert_eq!((&metrics["tracesToLogsV2"], &metrics["serviceMap"]), (&Value::Null, &Value::Null));
    assert_eq!(metrics["tracesToMetrics"]["tags"][3], json!({"key": "juju_unit", "value": ""}));

    let logs = links([owner(EXCHANGE, "loki", &[("loki", "l1", "g1")]), prometheus("loki")]);
    assert_eq!(logs["tracesToLogsV2"]["datasourceUid"], "l1");
    assert_eq!((&logs["tracesToMetrics"], &logs["serviceMap"]), (&Value::Null, &Value::Null));
    assert_eq!(logs["tracesToLogsV2"]["query"], r#"{ $$__tags } |= "$${__span.traceId}""#);

    assert_eq!(links([owner(EXCHANGE, "loki", &[("loki", "l1", "g2")])]), Value::Null);
}

#[test]
fn links_leave_with_what_they_lead_to() {
    let state = with([
        grafana(SOURCE, "g1", "ours"),
        owner(EXCHANGE, "prom", &[("prometheus", "p1", "g1")]),
        prometheus("prom"),
    ]);
    let state = after(&state, Event::ConfigChanged);
    assert!(told(&state, SOURCE)["extra_fields"]["serviceMap"].is_object());
    let less = after(&without(&state, REMOTE_WRITE), Event::UpdateStatus);
    let options = told(&less, SOURCE)["extra_fields"].clone();
    assert!(options["serviceMap"].is_null() && options["tracesToMetrics"].is_object());
    let broken = run(&state, Event::relation_broken("receive-datasource", EXCHANGE));
    broken.assert_ok();
    assert!(told(&broken.state, SOURCE)["extra_fields"].is_null());
}

#[test]
fn all_owners_of_data_sources_are_told_how_the_grafanas_know_ours() {
    let both = Relation::new("grafana-source", SOURCE + 1, "grafana_datasource", "mixed")
        .with_remote_app_data([
            ("grafana_uid", "g2"),
            ("datasource_uids", r#"{"tempo/0": "a_0", "tempo/1": "a_1", "tempo/2": "ours"}"#),
            ("app_datasource_uid", "ours"),
        ]);
    // Two relations with one Grafana tell the same.
    let twice = grafana(SOURCE + 2, "g1", "ours");
    let state = with([
        both,
        grafana(SOURCE, "g1", "ours"),
        twice,
        owner(EXCHANGE + 5, "loki", &[]),
        owner(EXCHANGE + 6, "prom", &[]),
    ]);
    let state = after(&state, Event::ConfigChanged);
    let expected = concat!(
        r#"[{"type":"tempo","uid":"a_0","grafana_uid":"g2"},{"type":"tempo","uid":"a_1","grafana_uid":"g2"},"#,
        r#"{"type":"tempo","uid":"ours","grafana_uid":"g1"},{"type":"tempo","uid":"ours","grafana_uid":"g2"}]"#
    );
    assert_eq!(exchanged(&state, EXCHANGE + 5), expected);
    assert_eq!(exchanged(&state, EXCHANGE + 6), expected);
}

#[test]
fn grafanas_of_old_that_know_units_are_passed_on_too() {
    let old =
        Relation::new("grafana-source", SOURCE, "grafana_datasource", "grafana").with_remote_app_data([
            ("grafana_uid", "g1"),
            ("datasource_uids", r#"{"tempo/0": "u0", "tempo/42": "u42"}"#),
        ]);
    let state = after(&with([old, owner(EXCHANGE, "loki", &[])]), Event::ConfigChanged);
    assert_eq!(
        exchanged(&state, EXCHANGE),
        r#"[{"type":"tempo","uid":"u0","grafana_uid":"g1"},{"type":"tempo","uid":"u42","grafana_uid":"g1"}]"#
    );
}

#[test]
fn an_exchange_with_nothing_to_tell_is_an_empty_list_from_the_first_event_on() {
    let empty = || Relation::new("receive-datasource", EXCHANGE, "grafana_datasource_exchange", "loki");
    for event in [
        Event::relation_created("receive-datasource", EXCHANGE),
        Event::relation_joined("receive-datasource", EXCHANGE, "loki/0"),
        Event::relation_changed("receive-datasource", EXCHANGE),
    ] {
        let silent: [(&str, &str); 0] = [];
        let loki = empty().with_remote_unit(0, silent);
        let state = alone().with_relation(s3()).with_relation(worker(WORKERS, "worker", "all", 1));
        assert_eq!(exchanged(&after(&state.with_relation(loki.clone()), event.clone()), EXCHANGE), "[]");
        assert_eq!(exchanged(&after(&alone().with_relation(loki), event), EXCHANGE), "[]");
    }
    // Without a UID nobody knows which Grafana is meant.
    let nameless = Relation::new("grafana-source", SOURCE, "grafana_datasource", "grafana")
        .with_remote_app_data([("datasource_uids", r#"{"tempo/0": "u0"}"#)]);
    let state = after(&with([nameless, empty()]), Event::ConfigChanged);
    assert_eq!(exchanged(&state, EXCHANGE), "[]");
    assert!(state.unit_status.is_active());
    let message = &state.unit_status.message;
    assert!(message.contains("grafana-source:30 grafana_uid: missing"), "{message}");
}

#[test]
fn a_data_source_that_makes_no_sense_does_not_hide_the_others() {
    let odd = Relation::new("receive-datasource", EXCHANGE, "grafana_datasource_exchange", "loki")
        .with_remote_app_data([(
            "datasources",
            r#"[{"type": "loki"}, {"type": "loki", "uid": "l1", "grafana_uid": "g1"}]"#,
        )]);
    let rubbish = Relation::new("receive-datasource", EXCHANGE + 1, "grafana_datasource_exchange", "x")
        .with_remote_app_data([("datasources", "x")]);
    let state = after(&with([odd, rubbish, grafana(SOURCE, "g1", "ours")]), Event::ConfigChanged);
    assert_eq!(told(&state, SOURCE)["extra_fields"]["tracesToLogsV2"]["datasourceUid"], "l1");
    assert!(state.unit_status.is_active());
    let message = &state.unit_status.message;
    for part in
        ["receive-datasource:31 datasources: entry 1", "receive-datasource:32 datasources: not valid JSON"]
    {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_follower_tells_owners_of_data_sources_nothing() {
    let state = with([owner(EXCHANGE, "loki", &[]), grafana(SOURCE, "g1", "ours"), prometheus("prom")]);
    let out = run(&state.with_leader(false), Event::ConfigChanged);
    out.assert_ok();
    out.assert_written_to(&["peers:1"]);
}

#[test]
fn a_receiver_of_metrics_gets_no_rules_and_loses_those_of_old() {
    let old = prometheus("prom").with_local_app_data([(
        "alert_rules",
        r#"{"groups": [{"name": "obs_tempo_AggregatorHostHealth_rules", "rules": []}]}"#,
    )]);
    let state = without(&settled(), REMOTE_WRITE).with_relation(old);
    let out = run(&state, Event::UpgradeCharm);
    out.assert_ok();
    let rules: BTreeSet<(String, String)> =
        out.relation("send-remote-write", REMOTE_WRITE).local_app_data.clone().into_iter().collect();
    assert_eq!(rules, [("alert_rules".to_owned(), "{}".to_owned())].into());
    // A cluster that is not complete has no rules either.
    let alone = after(&alone().with_relation(prometheus("prom")), Event::ConfigChanged);
    assert_eq!(
        alone.relation("send-remote-write", REMOTE_WRITE).unwrap().local_app_data["alert_rules"],
        "{}"
    );
}
