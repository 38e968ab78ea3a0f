//! What nginx has to say reaches the Lokis that are related, and those alone.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::{Model, up_with};

const LOKIS: [&str; 2] = ["loki: {charm: 'double:loki'}", "archive: {charm: 'double:loki'}"];
const RELATIONS: [&str; 2] = ["'tempo:logging', 'loki:logging'", "'tempo:logging', 'archive:logging'"];

/// Has a unit's nginx write a line about a path that does not exist.
#[track_caller]
fn ask_for(model: &Model, unit: &str, path: &str) {
    let request = format!("printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3");
    let line = format!("bash -c \"exec 3<>/dev/tcp/127.0.0.1/3300; {request}; cat <&3\"");
    let answer = model.in_nginx(unit, &line);
    assert!(answer.stdout.contains("404"), "{answer:?}");
}

/// The lines about a path that a Loki has got, each with its labels.
fn lines(model: &Model, loki: &str, path: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let url = "http://localhost:3100/streams";
    let told = model.client.exec(loki, None, &["juju-sim", "workload", "fetch", url]).expect("it is asked");
    let streams: Vec<Value> = serde_json::from_str(&told.stdout).unwrap_or_default();
    let of = |stream: &Value| {
        let labels: BTreeMap<String, String> =
            serde_json::from_value(stream["labels"].clone()).unwrap_or_default();
        let lines: Vec<String> = serde_json::from_value(stream["newest"].clone()).unwrap_or_default();
        lines.into_iter().map(move |line| (line, labels.clone())).collect::<Vec<_>>()
    };
    streams.iter().flat_map(of).filter(|(line, _)| line.contains(path)).collect()
}

#[test]
fn lines_arrive_with_the_names_of_who_wrote_them_until_the_relation_ends() {
    let model = up_with("", &LOKIS, &RELATIONS);
    for unit in ["tempo/0", "tempo/1"] {
        let path = format!("/first-{}", &unit[6..]);
        ask_for(&model, unit, &path);
        for loki in ["loki/0", "archive/0"] {
            model.until("the line arrives", |model| !lines(model, loki, &path).is_empty());
            let (_, labels) = &lines(&model, loki, &path)[0];
            let uuid = model.client.status().unwrap().uuid;
            let named = [
                ("charm", "tempo-coordinator-k8s"),
                ("juju_application", "tempo"),
                ("juju_model", "m"),
                ("juju_model_uuid", &uuid),
                ("juju_unit", unit),
                ("product", "Juju"),
            ];
            for (label, value) in named {
                assert_eq!(labels[label], value, "{labels:?}");
            }
            assert_eq!(labels["job"], format!("juju_m_{}_tempo", uuid.chars().take(8).collect::<String>()));
        }
    }

    model.client.remove_relation("tempo:logging", "loki:logging").unwrap();
    model.settle();
    ask_for(&model, "tempo/0", "/second");
    model.until("the line arrives", |model| !lines(model, "archive/0", "/second").is_empty());
    // By the time at which another one has arrived, it would have arrived at the first Loki too.
    ask_for(&model, "tempo/0", "/third");
    model.until("the line arrives", |model| !lines(model, "archive/0", "/third").is_empty());
    assert_eq!(lines(&model, "loki/0", "/second"), []);

    // It comes back, and gets lines again.
    model.client.integrate("tempo:logging", "loki:logging").unwrap();
    model.settle();
    ask_for(&model, "tempo/0", "/fourth");
    model.until("the line arrives", |model| !lines(model, "loki/0", "/fourth").is_empty());
}
