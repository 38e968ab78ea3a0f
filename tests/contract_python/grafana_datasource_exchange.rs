//! `grafana_datasource_exchange`, with `cosl.interfaces.datasource_exchange`.

use juju_relations::grafana_datasource_exchange::{AppData, Datasource, INTERFACE};
use juju_sim::{Event, Relation, State};
use serde_json::json;

use crate::bags::{read, said, written};
use crate::peer::Peer;
use crate::scene::{after, alone, complete};

const ID: u32 = 50;
const GRAFANA: u32 = 51;
const OURS: &str = "juju_obs_7f9d1c52-4d55-4b8a-9b0e-1b2c3d4e5f60_tempo";

fn unwritten() -> State {
    alone().with_relation(relation())
}

fn relation() -> Relation {
    Relation::new("receive-datasource", ID, INTERFACE, "loki").with_remote_unit(0, [] as [(&str, &str); 0])
}

fn ours(state: &mut State) -> &mut Relation {
    state.relation_mut("receive-datasource", ID).expect("the relation is there")
}

fn some() -> AppData {
    AppData::new([
        Datasource::new("tempo", "b", "grafana-1"),
        Datasource::new("tempo", "a", "grafana-2"),
        Datasource::new("loki", "ü", "grafana-1"),
    ])
}

#[test]
fn python_charms_on_either_side_understand_our_data_sources() {
    for side in ["grafana_datasource_exchange.Provider", "grafana_datasource_exchange.Requirer"] {
        let mut state = unwritten();
        ours(&mut state).local_app_data = written(&some());
        let heard = Peer::opposite(side, json!({"datasources": []})).hook("changed", &mut state, ID);
        assert_eq!(heard.said, serde_json::to_value(&some().datasources).unwrap());
        // It has none itself, and says so.
        assert_eq!(said::<AppData>(&ours(&mut state).remote_app_data), Some(AppData::default()));
    }
}

#[test]
fn we_understand_the_data_sources_of_a_python_charm() {
    let mut state = unwritten();
    let options = json!({"datasources": some().datasources});
    Peer::opposite("grafana_datasource_exchange.Provider", options).hook("changed", &mut state, ID);
    let bag = &ours(&mut state).remote_app_data;
    let data: AppData = read(bag);
    assert_eq!(data, some());
    assert_eq!(written(&data), *bag, "not the same bytes");
}

#[test]
fn a_python_loki_learns_how_grafana_knows_us_and_we_link_to_it() {
    let source = Relation::new("grafana-source", GRAFANA, "grafana_datasource", "grafana")
        .with_remote_unit(0, [] as [(&str, &str); 0])
        .with_remote_app_data([
            ("grafana_uid", "grafana-1"),
            ("datasource_uids", "{}"),
            ("app_datasource_uid", OURS),
        ]);
    let mut state = after(&complete().with_relation(source).with_relation(relation()), Event::ConfigChanged);
    let loki = json!({"datasources": [{"type": "loki", "uid": "L", "grafana_uid": "grafana-1"}]});
    let heard = Peer::opposite("grafana_datasource_exchange.Provider", loki).hook("changed", &mut state, ID);
    assert_eq!(heard.said, json!([{"type": "tempo", "uid": OURS, "grafana_uid": "grafana-1"}]));

    let state = after(&state, Event::relation_changed("receive-datasource", ID));
    let source = &state.relation("grafana-source", GRAFANA).unwrap().local_app_data["grafana_source_data"];
    let source: serde_json::Value = serde_json::from_str(source).unwrap();
    assert_eq!(source["extra_fields"]["tracesToLogsV2"]["datasourceUid"], "L");
}

#[test]
fn the_python_library_in_our_place_writes_the_same_bytes() {
    let mut state = unwritten();
    ours(&mut state).local_app_data = written(&some());
    let before = ours(&mut state).clone();
    let options = json!({"datasources": some().datasources});
    Peer::in_our_place("grafana_datasource_exchange.Requirer", options).hook("changed", &mut state, ID);
    assert_eq!(*ours(&mut state), before);
}
