//! `prometheus_scrape` and `loki_push_api`, with what `cosl` makes of who we say that we are.

use juju_relations::Topology;
use juju_sim::{Event, Relation};
use serde_json::json;

use crate::peer::Peer;
use crate::scene::{after, complete};

const PROMETHEUS: u32 = 60;
const LOKI: u32 = 61;

#[test]
fn python_collectors_know_who_we_are() {
    let related = |endpoint, id, interface, app| {
        Relation::new(endpoint, id, interface, app).with_remote_unit(0, [] as [(&str, &str); 0])
    };
    let state = complete()
        .with_relation(related("metrics-endpoint", PROMETHEUS, "prometheus_scrape", "prometheus"))
        .with_relation(related("logging", LOKI, "loki_push_api", "loki"));
    let mut state = after(&state, Event::ConfigChanged);
    let ours = Topology {
        model: "obs".into(),
        model_uuid: state.model.uuid.clone(),
        application: "tempo".into(),
        unit: None,
        charm_name: "tempo-coordinator-k8s".into(),
    };
    let expect = json!([{"identifier": ours.identifier(), "labels": ours.labels()}]);
    for (charm, id) in [("telemetry.Prometheus", PROMETHEUS), ("telemetry.Loki", LOKI)] {
        let heard = Peer::opposite(charm, json!({})).hook("changed", &mut state, id);
        assert_eq!(heard.said, expect, "{charm}");
    }
}
