//! Dashboards: who is given them and when, and that there is nothing wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Write as _;

use juju_ops::Databag;
use juju_relations::Wire;
use juju_relations::grafana_dashboard::{Dashboards, ProviderAppData};
use juju_sim::{Event, Outcome, Relation, State};
use promql_parser::label::MatchOp;
use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

use crate::scene::{after, alone, complete, run};

/// Two Grafanas.
const ONE: u32 = 90;
const OTHER: u32 = 91;

const ENDPOINT: &str = "grafana-dashboard";

fn grafana(id: u32) -> Relation {
    Relation::new(ENDPOINT, id, "grafana_dashboard", &format!("grafana-{id}"))
        .with_remote_unit(0, [] as [(&str, &str); 0])
}

fn with_both(state: State) -> State {
    state.with_relation(grafana(ONE)).with_relation(grafana(OTHER))
}

fn told(state: &State, id: u32) -> &BTreeMap<String, String> {
    &state.relation(ENDPOINT, id).expect("the relation is there").local_app_data
}

fn published(state: &State, id: u32) -> Dashboards {
    let bag: Databag = told(state, id).clone().into_iter().collect();
    let data = ProviderAppData::read(Some(&bag)).ok().expect("Grafana can read it");
    assert_eq!(data.problems, [] as [&str; 0]);
    data.dashboards
}

/// The relations of [`ENDPOINT`] that a hook has written to.
fn written_to(out: &Outcome) -> BTreeSet<&str> {
    let sets = out.calls.iter().filter(|call| call.tool == "relation-set");
    sets.flat_map(|call| &call.args).filter(|arg| arg.starts_with(ENDPOINT)).map(String::as_str).collect()
}

/// Every dashboard as Grafana gets it, by id.
fn dashboards() -> BTreeMap<String, Value> {
    let state = after(&alone().with_relation(grafana(ONE)), Event::ConfigChanged);
    let dashboards = published(&state, ONE);
    let texts = dashboards.texts().map(|text| text.expect("it can be decoded"));
    texts.map(|(id, text)| (id.to_owned(), text.parse().expect("it is JSON"))).collect()
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().expect("a list").iter()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Every query with the panel that it is of.
fn queries(dashboards: &BTreeMap<String, Value>) -> Vec<(String, &Value, &str)> {
    let mut queries = Vec::new();
    for (id, dashboard) in dashboards {
        for panel in panels(dashboard) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let name = format!("{id} / {} / {}", text(&panel["title"]), text(&target["refId"]));
                queries.push((name, panel, text(&target["expr"])));
            }
        }
    }
    queries
}

fn is_of_loki(panel: &Value) -> bool {
    panel["datasource"]["type"] == "loki"
}

#[test]
fn every_grafana_is_given_six_dashboards_in_any_state_of_the_cluster() {
    for scene in [alone(), complete()] {
        for event in [
            Event::relation_created(ENDPOINT, ONE),
            Event::relation_joined(ENDPOINT, ONE, "grafana-90/0"),
            Event::LeaderElected,
            Event::UpgradeCharm,
            Event::UpdateStatus,
        ] {
            let out = run(&with_both(scene.clone()), event);
            out.assert_ok();
            assert_eq!(written_to(&out), BTreeSet::from(["grafana-dashboard:90", "grafana-dashboard:91"]));
            assert_eq!(told(&out.state, ONE), told(&out.state, OTHER));
            let dashboards = published(&out.state, ONE);
            let ids: Vec<&str> = dashboards.templates.keys().map(String::as_str).collect();
            assert_eq!(
                ids,
                [
                    "file:tempo",
                    "file:tempo-coordinator",
                    "file:tempo-operational",
                    "file:tempo-reads",
                    "file:tempo-tenants",
                    "file:tempo-writes"
                ]
            );
        }
    }
}

#[test]
fn dashboards_say_whose_they_are_and_not_who_leads() {
    let state = after(&with_both(complete()), Event::ConfigChanged);
    let dashboards = published(&state, ONE);
    for template in dashboards.templates.values() {
        assert_eq!((template.charm.as_str(), template.inject_dropdowns), ("tempo-coordinator-k8s", true));
        let topology = template.juju_topology.as_ref().expect("one is needed for the pickers to count");
        assert_eq!((topology.model.as_str(), topology.application.as_str()), ("obs", "tempo"));
        assert_eq!((&topology.model_uuid, topology.unit.as_deref()), (&state.model.uuid, Some("")));
    }
    let uuid = dashboards.uuid;
    let hyphens: Vec<usize> = uuid.match_indices('-').map(|(at, _)| at).collect();
    assert_eq!((uuid.len(), hyphens.as_slice(), &uuid[14..15]), (36, &[8, 13, 18, 23][..], "4"));

    // The next leader finds what it would have written.
    let mut next = state.clone();
    next.unit = "tempo/1".into();
    let out = run(&next, Event::LeaderElected);
    out.assert_ok();
    assert_eq!((told(&out.state, ONE), written_to(&out).len()), (told(&state, ONE), 0));
}

#[test]
fn dashboards_are_written_once_and_by_the_leader() {
    let leader = after(&with_both(complete()), Event::ConfigChanged);
    for event in [
        Event::UpdateStatus,
        Event::ConfigChanged,
        Event::LeaderElected,
        Event::relation_changed(ENDPOINT, ONE),
        Event::relation_joined(ENDPOINT, OTHER, "grafana-91/0"),
    ] {
        run(&leader, event).assert_ok().assert_nothing_written();
    }
    let out = run(&with_both(complete()).with_leader(false), Event::ConfigChanged);
    out.assert_ok();
    assert_eq!((told(&out.state, ONE).len(), written_to(&out).len()), (0, 0));
}

#[test]
fn what_was_there_before_is_replaced_whole() {
    for old in ["x", r#"{"templates": {"file:gone": {"content": ""}}, "uuid": "y"}"#] {
        let related = grafana(ONE).with_local_app_data([("dashboards", old)]);
        let state = after(&complete().with_relation(related), Event::UpgradeCharm);
        assert_eq!(published(&state, ONE).templates.len(), 6);
    }
}

#[test]
fn a_dashboard_that_grafana_refuses_is_named() {
    let errors = r#"{"errors": [{"dashboard_id": "file:tempo", "error": "Corrupt input data"}, {"error": "x"}], "valid": false}"#;
    for leader in [true, false] {
        let related = grafana(ONE).with_remote_app_data([("event", errors)]);
        let state = after(&complete().with_relation(related).with_leader(leader), Event::ConfigChanged);
        let message = &state.unit_status.message;
        let complaint = "grafana-dashboard:90 event: file:tempo: Corrupt input data (and 1 more)";
        assert!(state.unit_status.is_active() && message.contains(complaint), "{message}");
        // Once it has nothing to complain about any more, nothing is said.
        let mut state = state;
        state.relation_mut(ENDPOINT, ONE).expect("it is there").remote_app_data =
            [("event".to_owned(), r#"{"valid": true, "errors": []}"#.to_owned())].into();
        let state = after(&state, Event::relation_changed(ENDPOINT, ONE));
        assert!(!state.unit_status.message.contains(ENDPOINT), "{}", state.unit_status.message);
    }
}

#[test]
fn dashboards_keep_the_uids_that_bookmarks_have() {
    let state = after(&alone().with_relation(grafana(ONE)), Event::ConfigChanged);
    let templates = published(&state, ONE).templates;
    let dashboards = dashboards();
    for (id, uid, alternative) in [
        ("file:tempo", "e90096d1534b03f9af3481059f5322d4637eeb9b", "bfec99fc305f355c"),
        ("file:tempo-coordinator", "f94bce1b8f434b2bc8388f87deef81e443c0c28a", "d9225a9836d444ba"),
        ("file:tempo-operational", "1dfcd8bab77d45fccd10aed13a4c4154337c88e5", "b7063d882a2a6673"),
        ("file:tempo-reads", "73b458325fba9f093e4e4654065b01aee2ecce2d", "5597079e72c92122"),
        ("file:tempo-tenants", "4cc97f05e90892d61b8e508f5e4fe258ea4c2adf", "89fa13e032b69429"),
        ("file:tempo-writes", "1d0efc4956e816e03f9a4266b587d832fd73a9eb", "bf0232d9b3b590cc"),
    ] {
        assert_eq!(dashboards[id]["uid"], uid);
        assert_eq!(templates[id].dashboard_alt_uid.as_deref(), Some(alternative));
        // Of several with one uid Grafana keeps the highest, and the charm before had 1.
        assert!(dashboards[id]["version"].as_u64().expect("a whole number") > 1);
    }
}

#[test]
fn dashboards_find_each_other_and_leave_the_pickers_to_grafana() {
    for (id, dashboard) in dashboards() {
        assert_eq!(dashboard["tags"], serde_json::json!(["tempo", "charm: tempo-coordinator-k8s"]), "{id}");
        assert_eq!(dashboard["links"][0]["tags"][0], "tempo", "{id}");
        assert!(text(&dashboard["title"]).starts_with("Tempo"), "{id}");
        // The Grafana charm adds these, and compares whole variables: with ours there would be two of each.
        let own = dashboard["templating"]["list"].as_array().into_iter().flatten();
        let own: Vec<&str> = own.map(|variable| text(&variable["name"])).collect();
        assert_eq!(own, if id == "file:tempo-tenants" { vec!["tenant"] } else { vec![] }, "{id}");
    }
}

#[test]
fn panels_have_numbers_of_their_own_and_do_not_overlap() {
    for (id, dashboard) in dashboards() {
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = text(&panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{id}: {title}");
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|of| panel["gridPos"][of].as_u64().expect("a number"));
            assert!(w > 0 && h > 0 && x + w <= 24, "{id}: {title}");
            for column in x..x + w {
                for line in y..y + h {
                    assert!(taken.insert((column, line)), "{id}: {title}");
                }
            }
        }
    }
}

#[test]
fn every_panel_says_what_is_good_and_where_its_data_come_from() {
    for (id, dashboard) in dashboards() {
        for panel in panels(&dashboard).filter(|panel| panel["type"] != "row") {
            let title = text(&panel["title"]);
            let description = text(&panel["description"]);
            assert!(description.len() > 30 && description.ends_with('.'), "{id}: {title}: {description}");
            let variable = if is_of_loki(panel) { "${lokids}" } else { "${prometheusds}" };
            assert_eq!(panel["datasource"]["uid"], variable, "{id}: {title}");
            let targets = panel["targets"].as_array().expect("a list");
            assert!(!targets.is_empty(), "{id}: {title}");
            for target in targets {
                assert_eq!(target["datasource"], panel["datasource"], "{id}: {title}");
            }
        }
    }
}

const PICKERS: [&str; 4] = ["juju_model", "juju_model_uuid", "juju_application", "juju_unit"];

/// Collects the selectors of a query.
#[derive(Default)]
struct Selectors(Vec<VectorSelector>);

impl ExprVisitor for Selectors {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        match expr {
            Expr::VectorSelector(selector) => self.0.push(selector.clone()),
            Expr::MatrixSelector(range) => self.0.push(range.vs.clone()),
            _ => {}
        }
        Ok(true)
    }
}

/// The selectors of a query as Prometheus sees it, once Grafana has put its own variables into it.
fn selectors(name: &str, query: &str) -> Vec<VectorSelector> {
    let query = query.replace("$__rate_interval", "5m").replace("$__range", "1h");
    let expr = parser::parse(&query).unwrap_or_else(|error| panic!("{name}: {error}: {query}"));
    let mut selectors = Selectors::default();
    let Ok(_) = walk_expr(&mut selectors, &expr);
    assert!(!selectors.0.is_empty(), "{name}: {query}");
    selectors.0
}

fn assert_picked(name: &str, selector: &VectorSelector) {
    assert!(selector.matchers.or_matchers.is_empty(), "{name}");
    for label in PICKERS {
        let picks = selector.matchers.matchers.iter().any(|matcher| {
            matcher.name == label
                && matcher.value == format!("${label}")
                && matches!(matcher.op, MatchOp::Re(_))
        });
        assert!(picks, "{name}: {selector} lacks {label}");
    }
}

#[test]
fn every_selector_of_every_query_is_narrowed_down_by_all_pickers() {
    let dashboards = dashboards();
    for (name, panel, query) in queries(&dashboards) {
        if !is_of_loki(panel) {
            for selector in selectors(&name, query) {
                assert!(selector.name.is_some(), "{name}: {selector}");
                assert_picked(&name, &selector);
            }
        }
    }
    let of = text(&dashboards["file:tempo-tenants"]["templating"]["list"][0]["definition"]);
    let of = of.trim_start_matches("label_values(").rsplit_once(", ").expect("a label after it").0;
    for selector in selectors("tenant", of) {
        assert_picked("tenant", &selector);
    }
}

/// The query without what is in quotes, and whether all quotes are closed.
fn unquoted(query: &str) -> (String, bool) {
    let (mut out, mut quote) = (String::new(), None);
    let mut rest = query.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some('"'), '\\') => drop(rest.next()),
            (Some(end), _) if end == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`') => quote = Some(c),
            (None, _) => out.push(c),
        }
    }
    (out, quote.is_none())
}

#[test]
fn every_query_for_loki_is_narrowed_down_and_closes_what_it_opens() {
    let dashboards = dashboards();
    let mut seen = 0;
    for (name, panel, query) in queries(&dashboards) {
        if !is_of_loki(panel) {
            continue;
        }
        seen += 1;
        let (bare, closed) = unquoted(query);
        let mut open = Vec::new();
        for c in bare.chars() {
            match c {
                '(' => open.push(')'),
                '[' => open.push(']'),
                '{' => open.push('}'),
                ')' | ']' | '}' => assert_eq!(open.pop(), Some(c), "{name}: {query}"),
                _ => {}
            }
        }
        assert!(closed && open.is_empty(), "{name}: {query}");
        assert_eq!(bare.matches('{').count(), 1, "{name}: {query}");
        let stream = query.split_once('{').and_then(|(_, rest)| rest.split_once('}')).expect("a selector").0;
        for label in PICKERS {
            assert!(stream.contains(&format!("{label}=~\"${label}\"")), "{name}: {stream}");
        }
        // Loki refuses a selector that might match everything, as it would with all pickers at "all".
        assert!(stream.contains("charm=\"tempo-coordinator-k8s\""), "{name}: {stream}");
    }
    assert_eq!(seen, 3);
}

#[test]
fn brackets_are_around_time_ranges_and_nothing_else() {
    // The Grafana charm takes whatever is in brackets for one, even within quotes.
    let dashboards = dashboards();
    for (name, _, query) in queries(&dashboards) {
        for range in query.split('[').skip(1) {
            let range = range.split_once(']').expect("closed").0;
            let fixed = range.trim_end_matches(['m', 'h']);
            let known = ["$__rate_interval", "$__range", "$__interval"].contains(&range);
            assert!(
                known || fixed.len() + 1 == range.len() && fixed.parse::<u32>().is_ok(),
                "{name}: {query}"
            );
        }
    }
}

#[test]
fn six_dashboards_are_small_enough_to_be_sent_to_everybody() {
    let state = after(&alone().with_relation(grafana(ONE)), Event::ConfigChanged);
    let size = told(&state, ONE)["dashboards"].len();
    assert!(size < 32 * 1024, "{size}");
}

#[test]
fn what_is_shown() {
    let mut shown = String::new();
    for (id, dashboard) in dashboards() {
        let (title, version) = (text(&dashboard["title"]), &dashboard["version"]);
        let _ = writeln!(shown, "{id}: {title}, version {version}");
        for panel in panels(&dashboard) {
            if panel["type"] == "row" {
                let _ = writeln!(shown, "  {}", text(&panel["title"]));
                continue;
            }
            let place = &panel["gridPos"];
            let (width, height) = (&place["w"], &place["h"]);
            let unit = &panel["fieldConfig"]["defaults"]["unit"];
            let _ = writeln!(
                shown,
                "    {}: {} {width}x{height}, {}",
                text(&panel["title"]),
                text(&panel["type"]),
                text(unit)
            );
            for target in panel["targets"].as_array().into_iter().flatten() {
                // Every selector has the pickers, as other tests see to.
                let pickers = PICKERS.map(|label| format!("{label}=~\"${label}\"")).join(",");
                let query = text(&target["expr"]).replace(&format!("{pickers},"), "").replace(&pickers, "");
                let _ = writeln!(shown, "      {} → {query}", text(&target["legendFormat"]));
            }
        }
    }
    insta::assert_snapshot!(shown);
}
