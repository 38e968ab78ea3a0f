//! Alert rules as they are published, read and evaluated by Prometheus' own `promtool`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use juju_relations::Topology;
use juju_relations::alert_rules::{Group, Rule, Rules, promql};
use serde::Deserialize;
use serde_json::{Value, json};
use tempo_coordinator::plan::rules::{loki_for, prometheus_for};

/// When an alert fires, and when it does not; see `cases.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    at: String,
    #[serde(default = "minute")]
    interval: String,
    fires: Series,
    quiet: Vec<Series>,
}

/// Values by series.
type Series = BTreeMap<String, String>;

fn minute() -> String {
    "1m".into()
}

fn cases() -> BTreeMap<String, Case> {
    serde_yaml::from_str(include_str!("cases.yaml")).unwrap()
}

fn topology(application: &str, charm: &str) -> Topology {
    Topology {
        model: "obs".into(),
        model_uuid: "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55".into(),
        application: application.into(),
        unit: None,
        charm_name: charm.into(),
    }
}

fn sample() -> (Topology, Vec<Topology>) {
    (topology("tempo", "tempo-coordinator-k8s"), vec![topology("w", "tempo-worker-k8s")])
}

fn published() -> Rules {
    let (coordinator, workers) = sample();
    prometheus_for(&coordinator, &workers).parse().unwrap()
}

fn promtool() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let tools = set("JUJU_SIM_TOOLS").or_else(|| cache().map(|cache| cache.join("juju-sim/tools")));
    let program = tools.expect("HOME or XDG_CACHE_HOME is set").join("bin/promtool");
    assert!(program.is_file(), "{} is missing: run `cargo xtask tools` first", program.display());
    program
}

/// What promtool says to these arguments, which has to be that all is well.
fn agreed(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(promtool()).args(arguments).current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "promtool {}:\n{text}", arguments.join(" "));
    text
}

/// A series with the labels that everything which is scraped of an application carries.
fn labelled(series: &str, topology: &Topology) -> String {
    let (name, labels) =
        series.strip_suffix('}').and_then(|rest| rest.split_once('{')).unwrap_or((series, ""));
    let mut labels: Vec<String> =
        labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
    labels.extend(topology.labels().into_iter().map(|(label, value)| format!("{label}={value:?}")));
    if !series.contains("juju_unit=") {
        labels.push(format!("juju_unit=\"{}/0\"", topology.application));
    }
    format!("{name}{{{}}}", labels.join(","))
}

/// Whose a rule is.
fn owner(rule: &Rule) -> Topology {
    topology(&rule.labels["juju_application"], &rule.labels["juju_charm"])
}

/// A test of promtool: with these series of an application, does the alert of the rule's own application fire?
fn test(rule: &Rule, case: &Case, series: &Series, of: &Topology, fires: bool) -> Value {
    let input = |(name, values): (&String, &String)| json!({"series": labelled(name, of), "values": values});
    let application = &rule.labels["juju_application"];
    let alerts = format!(
        "group by (severity) (ALERTS{{alertname={:?},alertstate=\"firing\",juju_application={application:?}}})",
        rule.name()
    );
    let severity = &rule.labels["severity"];
    let samples = fires.then(|| json!({"labels": format!("{{severity={severity:?}}}"), "value": 1}));
    json!({
        "name": format!("{} of {application}, series of {}, {fires}", rule.name(), of.application),
        "interval": case.interval,
        "input_series": series.iter().map(input).collect::<Vec<_>>(),
        "promql_expr_test": [{
            "expr": alerts, "eval_time": case.at, "exp_samples": Vec::from_iter(samples),
        }],
    })
}

#[test]
fn promtool_finds_nothing_wrong_with_the_published_rules() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, mut workers) = sample();
    workers.push(topology("more", "tempo-worker-k8s"));
    let document = prometheus_for(&coordinator, &workers);
    fs::write(folder.path().join("rules.json"), document.get()).unwrap();
    let said = agreed(folder.path(), &["check", "rules", "rules.json"]);
    let count = document.parse::<Rules>().unwrap().iter().count();
    assert!(said.contains(&format!("{count} rules found")), "{said}");
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    let folder = tempfile::tempdir().unwrap();
    let cases = cases();
    let mut files = Vec::new();
    for (group, rule) in published().iter() {
        let case = cases.get(rule.name()).unwrap_or_else(|| panic!("no case for {}", rule.name()));
        let of = owner(rule);
        let mut tests = vec![test(rule, case, &case.fires, &of, true)];
        tests.extend(case.quiet.iter().map(|series| test(rule, case, series, &of, false)));
        // What happens to another application is that one's. If all is quiet there, it is quiet here too.
        let other = topology("other", "tempo-worker-k8s");
        tests.push(test(rule, case, &case.fires, &other, case.fires.is_empty()));
        // Other rules would only take time.
        let group = Group { rules: vec![rule.clone()], ..group.clone() };
        let rules = Rules { groups: vec![group], ..Rules::default() };
        let name = format!("{}-{}", of.application, rule.name());
        fs::write(folder.path().join(format!("{name}-rules.json")), serde_json::to_string(&rules).unwrap())
            .unwrap();
        let document = json!({
            "rule_files": [format!("{name}-rules.json")],
            "evaluation_interval": case.interval,
            "tests": tests,
        });
        let file = format!("{name}.json");
        fs::write(folder.path().join(&file), document.to_string()).unwrap();
        files.push(file);
    }
    let arguments: Vec<&str> =
        ["test", "rules"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let said = agreed(folder.path(), &arguments);
    assert_eq!(said.matches("SUCCESS").count(), files.len(), "{said}");
}

#[test]
fn every_case_is_of_an_alert_and_looks_at_its_series() {
    let published = published();
    let mut cases = cases();
    let names: BTreeSet<&str> = published.iter().map(|(_, rule)| rule.name()).collect();
    for name in names {
        let case = cases.remove(name).unwrap_or_else(|| panic!("no case for {name}"));
        assert!(!case.quiet.is_empty(), "{name}: nothing that does not fire");
        let expression =
            published.iter().find(|(_, rule)| rule.name() == name).map(|(_, rule)| &rule.expr).unwrap();
        let series = case.quiet.iter().chain([&case.fires]).flat_map(BTreeMap::keys);
        for series in series {
            let metric = series.split('{').next().unwrap_or_default();
            assert!(expression.contains(metric), "{name} does not look at {metric}");
        }
    }
    assert_eq!(cases.into_keys().collect::<Vec<_>>(), [""; 0], "no such alert");
}

#[test]
fn an_alert_of_one_application_is_not_fired_by_another() {
    let published = published();
    let mut selectors = 0;
    for (_, rule) in published.iter() {
        let application = &rule.labels["juju_application"];
        for matchers in promql::matchers(&rule.expr).unwrap() {
            selectors += 1;
            let of = matchers.iter().filter(|(label, _, _)| label == "juju_application").collect::<Vec<_>>();
            assert_eq!(
                of,
                [&("juju_application".into(), "=".into(), application.clone())],
                "{}",
                rule.name()
            );
        }
    }
    assert!(selectors > published.iter().count(), "only {selectors} selectors");
}

#[test]
fn loki_and_prometheus_get_different_rules_of_the_same_applications() {
    let (coordinator, workers) = sample();
    let loki: Rules = loki_for(&coordinator, &workers).parse().unwrap();
    let of = |rules: &Rules| -> BTreeSet<String> {
        rules.iter().map(|(_, rule)| rule.labels["juju_application"].clone()).collect()
    };
    assert_eq!(of(&loki), of(&published()));
    let names = |rules: &Rules| -> BTreeSet<String> {
        rules.iter().map(|(_, rule)| rule.name().to_owned()).collect()
    };
    assert!(names(&loki).is_disjoint(&names(&published())));
}
