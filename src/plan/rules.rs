//! The alert rules that Prometheus and Loki get.
//!
//! The files below `src/assets/alert_rules` are prepared when the charm is built: expressions are parsed and given their
//! matchers then, with gaps for what is not known yet. A hook only joins texts.

use std::collections::BTreeMap;

use juju_relations::alert_rules::{group_name, quoted};
use juju_relations::{JsonText, Topology};

use crate::deployment::Deployment;
use crate::names::CHARM_NAME;

/// A piece of a list of groups in JSON.
enum Piece {
    /// What is the same for all.
    Text(&'static str),
    /// The beginning of a group's name.
    Group,
    /// A value within a string.
    Label(Field),
    /// A value as a string of a query that is itself within a string.
    Matcher(Field),
    /// The whole label with the charm's name, and the comma after it.
    CharmLabel,
}

/// Of whose topology a value is.
#[derive(Clone, Copy)]
enum Field {
    Application,
    Model,
    ModelUuid,
}

include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// The rules for `metrics-endpoint`: for every application of workers, then for the coordinator.
pub fn prometheus(d: &Deployment) -> JsonText {
    prometheus_for(&coordinator(d), &workers(d))
}

/// The rules for `logging`: for every application of workers, then for the coordinator.
pub fn loki(d: &Deployment) -> JsonText {
    loki_for(&coordinator(d), &workers(d))
}

/// [`prometheus`] for these applications.
pub fn prometheus_for(coordinator: &Topology, workers: &[Topology]) -> JsonText {
    document(coordinator, PROMETHEUS_COORDINATOR, workers, PROMETHEUS_WORKERS)
}

/// [`loki`] for these applications.
pub fn loki_for(coordinator: &Topology, workers: &[Topology]) -> JsonText {
    document(coordinator, LOKI_COORDINATOR, workers, LOKI_WORKERS)
}

/// The coordinator as a whole. The unit is left out: what is published would change with the leader.
fn coordinator(d: &Deployment) -> Topology {
    Topology {
        model: d.identity.model.clone(),
        model_uuid: d.identity.model_uuid.clone(),
        application: d.identity.unit.app().to_owned(),
        unit: None,
        charm_name: CHARM_NAME.to_owned(),
    }
}

/// The applications whose units have said who they are, by name, each with the charm of its first unit.
fn workers(d: &Deployment) -> Vec<Topology> {
    let mut charms: BTreeMap<&str, &str> = BTreeMap::new();
    for unit in d.workers.iter().flat_map(|app| &app.units) {
        charms.entry(&unit.application).or_insert(&unit.charm);
    }
    let named = charms.into_iter().filter(|(application, _)| !application.is_empty());
    named
        .map(|(application, charm)| Topology {
            application: application.to_owned(),
            charm_name: charm.to_owned(),
            ..coordinator(d)
        })
        .collect()
}

fn document(
    coordinator: &Topology,
    coordinator_rules: &[Piece],
    workers: &[Topology],
    worker_rules: &[Piece],
) -> JsonText {
    let mut text = String::from("{\"groups\":[");
    for worker in workers {
        fill(&mut text, worker_rules, worker);
        text.push(',');
    }
    fill(&mut text, coordinator_rules, coordinator);
    text.push_str("]}");
    // The pieces are JSON, and so is what fills their gaps.
    serde_json::from_str(&text).unwrap_or_else(|_| JsonText::empty())
}

fn fill(text: &mut String, pieces: &[Piece], topology: &Topology) {
    let name = group_name(topology, "", "x");
    let group = name.strip_suffix("_x_rules").unwrap_or_default();
    let value = |field| match field {
        Field::Application => &topology.application,
        Field::Model => &topology.model,
        Field::ModelUuid => &topology.model_uuid,
    };
    for piece in pieces {
        match piece {
            Piece::Text(same) => text.push_str(same),
            Piece::Group => text.push_str(group),
            Piece::Label(field) => text.push_str(&in_json(value(*field))),
            Piece::Matcher(field) => text.push_str(&in_json(&quoted(value(*field)))),
            Piece::CharmLabel if topology.charm_name.is_empty() => {}
            Piece::CharmLabel => {
                text.extend(["\"juju_charm\":\"", &in_json(&topology.charm_name), "\","]);
            }
        }
    }
}

/// A text as it stands between the quotes of a JSON string.
fn in_json(text: &str) -> String {
    let mut quoted = serde_json::Value::from(text).to_string();
    quoted.pop();
    quoted.split_off(1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use juju_relations::alert_rules::{Language, Rules, logql, promql};
    use proptest::prelude::*;

    use super::*;
    use crate::fixtures::{Cluster, complete};

    /// What the rules of some files are when they are prepared for one application as a whole.
    fn prepared(files: &[&str], language: Language, topology: &Topology) -> Rules {
        let mut rules = Rules::default();
        for file in files {
            let path = format!("{}/src/assets/alert_rules/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
            rules.groups.extend(Rules::from_yaml(file, &fs::read_to_string(path).unwrap()).unwrap().groups);
        }
        rules.with_topology(topology, "", language);
        rules.inject(language).unwrap();
        rules
    }

    fn topologies() -> impl Strategy<Value = Topology> {
        let name = r#"[a-z0-9"\\/{}é\n\x01 ,-]{1,12}"#;
        (name, name, name, prop_oneof![Just(String::new()), name.prop_map(String::from)]).prop_map(
            |(model, model_uuid, application, charm_name)| Topology {
                model,
                model_uuid,
                application,
                unit: None,
                charm_name,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn filled_gaps_are_as_good_as_rules_prepared_for_one_application(
            coordinator in topologies(),
            worker in topologies(),
        ) {
            let workers = [worker];
            let expect = |documents: [Rules; 2]| {
                let groups: Vec<_> = documents.into_iter().flat_map(|rules| rules.groups).collect();
                Rules { groups, ..Rules::default() }
            };
            let prometheus = expect([
                prepared(&["prometheus/workers", "prometheus/common"], Language::PromQl, &workers[0]),
                prepared(&["prometheus/coordinator", "prometheus/common"], Language::PromQl, &coordinator),
            ]);
            prop_assert_eq!(prometheus_for(&coordinator, &workers).parse::<Rules>(), Some(prometheus));
            let loki = expect([
                prepared(&["loki/common"], Language::LogQl, &workers[0]),
                prepared(&["loki/common", "loki/coordinator"], Language::LogQl, &coordinator),
            ]);
            prop_assert_eq!(loki_for(&coordinator, &workers).parse::<Rules>(), Some(loki));
        }
    }

    fn distributed() -> Deployment {
        Cluster::default().with_s3().worker("w-b", "ingester", 2).worker("w-a", "querier", 1).deployment()
    }

    /// Names of groups, and of rules with their expressions.
    fn shown(document: &JsonText) -> Vec<(String, Vec<String>)> {
        let rules: Rules = document.parse().unwrap();
        let shown = rules.groups.into_iter().map(|group| {
            let line = |rule: &juju_relations::alert_rules::Rule| format!("{}: {}", rule.name(), rule.expr);
            (group.name.clone(), group.rules.iter().map(line).collect())
        });
        shown.collect()
    }

    #[test]
    fn every_application_has_groups_of_its_own() {
        let names = |document: JsonText| -> Vec<String> {
            shown(&document).into_iter().map(|(name, _)| name).collect()
        };
        insta::assert_yaml_snapshot!(names(prometheus(&distributed())));
        insta::assert_yaml_snapshot!(names(loki(&distributed())));
    }

    #[test]
    fn the_rules_of_one_application_of_workers() {
        insta::assert_yaml_snapshot!(shown(&prometheus(&complete().deployment())));
        insta::assert_yaml_snapshot!(shown(&loki(&complete().deployment())));
    }

    #[test]
    fn rules_do_not_change_with_the_leader() {
        let mut other = complete().snapshot();
        other.identity.unit = juju_ops::UnitName::new("tempo", 1);
        other.identity.leader = false;
        let other = Deployment::validate(&other);
        assert_eq!(prometheus(&other), prometheus(&complete().deployment()));
        assert_eq!(loki(&other), loki(&complete().deployment()));
    }

    #[test]
    fn every_selector_of_every_expression_is_of_one_application() {
        let d = distributed();
        let rules: Rules = prometheus(&d).parse().unwrap();
        for (_, rule) in rules.iter() {
            let selectors = promql::matchers(&rule.expr).unwrap();
            assert!(!selectors.is_empty(), "{}", rule.name());
            for selector in selectors {
                for label in ["juju_application", "juju_model", "juju_model_uuid"] {
                    let expected = (label.to_owned(), "=".to_owned(), rule.labels[label].clone());
                    assert!(selector.contains(&expected), "{}: {selector:?}", rule.name());
                }
            }
        }
        let rules: Rules = loki(&d).parse().unwrap();
        for (_, rule) in rules.iter() {
            let list = ["juju_application", "juju_model", "juju_model_uuid"]
                .map(|label| format!("{label}={}", quoted(&rule.labels[label])));
            let again = logql::inject(
                &rule.expr,
                &[("juju_application", ""), ("juju_model", ""), ("juju_model_uuid", "")],
            );
            assert_eq!(again.as_deref(), Ok(rule.expr.as_str()), "nothing is missing");
            assert!(rule.expr.contains(&list.join(", ")), "{}", rule.expr);
        }
    }

    #[test]
    fn every_alert_says_what_it_is_and_what_to_do() {
        for document in [prometheus(&distributed()), loki(&distributed())] {
            let rules: Rules = document.parse().unwrap();
            let mut names = std::collections::BTreeSet::new();
            for (group, rule) in rules.iter() {
                assert!(names.insert((&group.name, rule.name())), "{} is there twice", rule.name());
                assert!(["warning", "high", "critical"].contains(&rule.labels["severity"].as_str()));
                assert!(rule.annotations["summary"].ends_with('.'), "{}", rule.name());
                assert!(rule.annotations["description"].len() > 40, "{}", rule.name());
            }
        }
    }
}
