//! Who watches us: what Prometheus scrapes, what Loki gets, and what they are told to alert about.

use juju_pebble::{Layer, LogTarget};
use juju_sim::{Container, Event, Fault, Relation, State};
use serde_json::{Value, json};
use tempo_coordinator::metrics::PAGE_PATH;

use crate::scene::{
    S3, WORKERS, after, alone, charm, complete, context, deserted, run, settled, without, worker,
};
use crate::tls::{CA, encrypted};

const PROMETHEUS: u32 = 50;
const LOKI: u32 = 51;
const MORE_WORKERS: u32 = 52;
const INGRESS: u32 = 53;

const URL: &str = "http://loki-0.loki-endpoints.obs.svc.cluster.local:3100/loki/api/v1/push";
const CONTAINERS: [&str; 2] = ["nginx", "nginx-prometheus-exporter"];

fn prometheus() -> Relation {
    Relation::new("metrics-endpoint", PROMETHEUS, "prometheus_scrape", "prom")
        .with_remote_unit(0, [] as [(&str, &str); 0])
}

/// A Loki with these units: each with the URL that it takes lines under, or nothing yet.
fn loki(urls: &[Option<&str>]) -> Relation {
    let relation = Relation::new("logging", LOKI, "loki_push_api", "loki");
    (0..).zip(urls).fold(relation, |relation, (unit, url)| {
        let endpoint = url.map(|url| ("endpoint", format!(r#"{{"url": "{url}"}}"#)));
        relation.with_remote_unit(unit, endpoint)
    })
}

/// A cluster that a Loki has just been related to.
pub(crate) fn heard() -> State {
    settled().with_relation(loki(&[Some(URL)]))
}

fn scraped() -> State {
    after(
        &settled().with_relation(prometheus()),
        Event::relation_joined("metrics-endpoint", PROMETHEUS, "prom/0"),
    )
}

fn told<'a>(state: &'a State, key: &str) -> Option<&'a str> {
    state.relation("metrics-endpoint", PROMETHEUS).unwrap().local_app_data.get(key).map(String::as_str)
}

/// `scheme target path` of each job.
fn jobs(state: &State) -> Vec<String> {
    let jobs: Vec<Value> = serde_json::from_str(told(state, "scrape_jobs").unwrap()).unwrap();
    let shown = |job: &Value| {
        let target = job["static_configs"][0]["targets"][0].as_str().unwrap();
        let scheme = job["scheme"].as_str().unwrap_or("http");
        format!(
            "{scheme} {} {}",
            target.replace(".obs.svc.cluster.local", ""),
            job["metrics_path"].as_str().unwrap()
        )
    };
    jobs.iter().map(shown).collect()
}

/// `container: name` of each log target, in brackets if it is off.
fn log_targets(state: &State) -> Vec<String> {
    let of = |container: &str| {
        let targets = state.containers[container].plan().log_targets;
        let shown = |(name, target): (&String, &LogTarget)| {
            let on = target.services == ["all"];
            assert!(on || target.services == ["-all"], "{target:?}");
            if on { format!("{container}: {name}") } else { format!("{container}: [{name}]") }
        };
        targets.iter().map(shown).collect::<Vec<_>>()
    };
    CONTAINERS.iter().flat_map(|container| of(container)).collect()
}

fn in_both(name: &str) -> [String; 2] {
    CONTAINERS.map(|container| format!("{container}: {name}"))
}

#[test]
fn prometheus_is_told_of_every_worker_and_every_exporter() {
    let mut state = settled().with_relation(prometheus());
    let peers = state.relation_mut("peers", 1).unwrap();
    *peers =
        peers.clone().with_remote_unit(1, [("fqdn", r#""tempo-1.tempo-endpoints.obs.svc.cluster.local""#)]);
    let out = run(&state, Event::relation_joined("metrics-endpoint", PROMETHEUS, "prom/0"));
    out.assert_ok().assert_written_to(&[&format!("metrics-endpoint:{PROMETHEUS}")]);
    assert_eq!(
        jobs(&out.state),
        [
            "http tempo:3300 /proxy/worker/worker-0/metrics",
            "http tempo-0.tempo-endpoints:9113 /metrics",
            "http tempo-1.tempo-endpoints:9113 /metrics",
            "http tempo-0.tempo-endpoints:3300 /coordinator/metrics",
            "http tempo-1.tempo-endpoints:3300 /coordinator/metrics",
        ]
    );
    let metadata: Value = serde_json::from_str(told(&out.state, "scrape_metadata").unwrap()).unwrap();
    assert_eq!(metadata["application"], "tempo");
    assert_eq!(metadata.get("unit"), None);
    assert!(told(&out.state, "alert_rules").unwrap().starts_with('{'));
    let unit = &out.relation("metrics-endpoint", PROMETHEUS).local_unit_data;
    assert_eq!(unit["prometheus_scrape_unit_address"], "tempo.obs.svc.cluster.local");
    assert_eq!(unit["prometheus_scrape_unit_name"], "tempo/0");
    assert_eq!(unit.len(), 2);
    run(&out.state, Event::UpdateStatus).assert_ok().assert_only_pushed("nginx", PAGE_PATH);
}

#[test]
fn jobs_come_and_go_with_workers() {
    let state = scraped().with_relation(worker(MORE_WORKERS, "more", "querier", 2));
    let more = after(&state, Event::relation_changed("tempo-cluster", MORE_WORKERS));
    assert_eq!(
        jobs(&more),
        [
            "http tempo:3300 /proxy/worker/more-0/metrics",
            "http tempo:3300 /proxy/worker/more-1/metrics",
            "http tempo:3300 /proxy/worker/worker-0/metrics",
            "http tempo-0.tempo-endpoints:9113 /metrics",
            "http tempo-0.tempo-endpoints:3300 /coordinator/metrics",
        ]
    );
    let fewer = after(&deserted(more, MORE_WORKERS), Event::relation_broken("tempo-cluster", MORE_WORKERS));
    assert_eq!(jobs(&fewer), jobs(&scraped()));
}

#[test]
fn with_tls_everything_is_scraped_with_tls_and_without_it_no_more() {
    let state = after(
        &encrypted().with_relation(prometheus()),
        Event::relation_created("metrics-endpoint", PROMETHEUS),
    );
    assert_eq!(
        jobs(&state),
        [
            "https tempo:3300 /proxy/worker/worker-0/metrics",
            "https tempo-0.tempo-endpoints:9113 /metrics",
            "https tempo-0.tempo-endpoints:3300 /coordinator/metrics",
        ]
    );
    let plain = after(&deserted(state, CA), Event::relation_broken("certificates", CA));
    assert!(jobs(&plain).iter().all(|job| job.starts_with("http ")), "{:?}", jobs(&plain));
}

#[test]
fn units_are_where_the_ingress_is_and_targets_inside() {
    let traefik = Relation::new("ingress", INGRESS, "traefik_route", "traefik")
        .with_remote_app_data([("external_host", "obs.example.net"), ("scheme", "https")]);
    let state = after(&scraped().with_relation(traefik), Event::relation_changed("ingress", INGRESS));
    let address = |state: &State| {
        let relation = state.relation("metrics-endpoint", PROMETHEUS).unwrap();
        relation.local_unit_data["prometheus_scrape_unit_address"].clone()
    };
    assert_eq!(address(&state), "obs.example.net");
    assert_eq!(jobs(&state), jobs(&scraped()));
    let state = after(&deserted(state, INGRESS), Event::relation_broken("ingress", INGRESS));
    assert_eq!(address(&state), "tempo.obs.svc.cluster.local");
}

#[test]
fn a_follower_says_where_it_is_and_a_new_leader_changes_nothing() {
    let new = settled().with_relation(prometheus()).with_relation(loki(&[])).with_leader(false);
    let follower = after(&new, Event::relation_joined("metrics-endpoint", PROMETHEUS, "prom/0"));
    let relation = follower.relation("metrics-endpoint", PROMETHEUS).unwrap();
    assert!(relation.local_app_data.is_empty() && relation.local_unit_data.len() == 2);
    assert!(follower.relation("logging", LOKI).unwrap().local_app_data.is_empty());

    let lead = after(&follower.with_leader(true), Event::LeaderElected);
    let mut next = lead.clone();
    next.unit = "tempo/1".into();
    for relation in &mut next.relations {
        relation.local_unit_data.clear();
    }
    next.unit_state.clear();
    next.relations.retain(|relation| relation.endpoint != "peers");
    let peer = Relation::peer("peers", 1, "tempo_peers", "tempo")
        .with_remote_unit(0, [("fqdn", r#""tempo-0.tempo-endpoints.obs.svc.cluster.local""#)]);
    let next = after(&next.with_relation(peer), Event::LeaderElected);
    for (endpoint, id) in [("metrics-endpoint", PROMETHEUS), ("logging", LOKI)] {
        let data = |state: &State| {
            let mut data = state.relation(endpoint, id).unwrap().local_app_data.clone();
            data.remove("scrape_jobs");
            data
        };
        assert_eq!(data(&next), data(&lead), "{endpoint}");
    }
    assert_eq!(
        jobs(&next)[1..3],
        ["http tempo-0.tempo-endpoints:9113 /metrics", "http tempo-1.tempo-endpoints:9113 /metrics"]
    );
}

#[test]
fn before_the_cluster_is_complete_there_is_nothing_to_scrape() {
    let state = after(
        &alone().with_relation(prometheus()),
        Event::relation_joined("metrics-endpoint", PROMETHEUS, "prom/0"),
    );
    // Without a list, the library of the other side would scrape port 80.
    assert_eq!(told(&state, "scrape_jobs"), Some("[]"));
    assert!(told(&state, "scrape_metadata").is_some() && told(&state, "alert_rules").is_some());
    run(&state, Event::UpdateStatus).assert_ok().assert_nothing_written();
}

#[test]
fn a_cluster_that_is_not_complete_any_more_is_scraped_for_what_is_left() {
    let state = scraped().with_relation(worker(MORE_WORKERS, "more", "querier", 2));
    let whole = after(&state, Event::relation_changed("tempo-cluster", MORE_WORKERS));

    // Without its bucket nothing changes: all of it runs still.
    let out = run(&deserted(whole.clone(), S3), Event::relation_broken("s3", S3));
    out.assert_ok().assert_written_to(&[]);
    let no_bucket = without(&out.state, S3);

    // Who leaves is not scraped any more, and who comes is not yet.
    let mut changed = no_bucket.clone();
    let more = changed.relation_mut("tempo-cluster", MORE_WORKERS).unwrap();
    *more = worker(MORE_WORKERS, "more", "querier", 1).with_local_app_data(more.local_app_data.clone());
    let changed = changed.with_relation(worker(60, "new", "ingester", 1));
    let left = after(&changed, Event::relation_changed("tempo-cluster", MORE_WORKERS));
    assert_eq!(
        jobs(&left),
        [
            "http tempo:3300 /proxy/worker/more-0/metrics",
            "http tempo:3300 /proxy/worker/worker-0/metrics",
            "http tempo-0.tempo-endpoints:9113 /metrics",
            "http tempo-0.tempo-endpoints:3300 /coordinator/metrics",
        ]
    );
    run(&left, Event::UpdateStatus).assert_ok().assert_only_pushed("nginx", PAGE_PATH);

    let alone = after(&without(&without(&left, MORE_WORKERS), 60), Event::UpdateStatus);
    assert_eq!(jobs(&alone).len(), 3);
    let nobody = after(&deserted(alone, WORKERS), Event::relation_broken("tempo-cluster", WORKERS));
    assert_eq!(
        jobs(&nobody),
        [
            "http tempo-0.tempo-endpoints:9113 /metrics",
            "http tempo-0.tempo-endpoints:3300 /coordinator/metrics",
        ]
    );
}

#[test]
fn what_was_told_before_costs_no_call_and_followers_ask_for_nothing() {
    let state = scraped();
    let reads = |leader: bool| {
        let out = run(&state.clone().with_leader(leader), Event::UpdateStatus);
        out.assert_ok().assert_only_pushed("nginx", PAGE_PATH);
        let about = format!("metrics-endpoint:{PROMETHEUS}");
        out.calls
            .iter()
            .filter(|call| call.args.contains(&about))
            .map(|call| call.tool.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(reads(true).iter().filter(|tool| *tool == "relation-get").count(), 1);
    assert_eq!(reads(false).iter().filter(|tool| *tool == "relation-get").count(), 0);
}

#[test]
fn loki_is_told_who_we_are_and_gets_what_both_containers_write() {
    // In any state of the cluster: most of all, it is worth knowing what happens while there is something wrong.
    for before in [alone(), settled()] {
        let state = before.with_relation(loki(&[Some(URL)]));
        let out = run(&state, Event::relation_changed_unit("logging", LOKI, "loki/0"));
        out.assert_ok();
        let data = &out.relation("logging", LOKI).local_app_data;
        let metadata: Value = serde_json::from_str(&data["metadata"]).unwrap();
        assert_eq!(
            metadata,
            json!({
                "model": "obs", "model_uuid": out.state.model.uuid, "application": "tempo",
                "charm_name": "tempo-coordinator-k8s",
            })
        );
        assert!(data["alert_rules"].starts_with('{'));
        assert_eq!(log_targets(&out.state), in_both("loki/0"));
        let target = &out.state.containers["nginx"].plan().log_targets["loki/0"];
        assert_eq!(target.location, URL);
        assert_eq!(target.labels["juju_unit"], "tempo/0");
        assert_eq!(target.labels["job"], format!("juju_obs_{}_tempo", &out.state.model.uuid[..8]));
        // Pebble follows its plan without a restart of anything.
        for container in CONTAINERS {
            let services =
                out.history(container).iter().filter(|event| format!("{event:?}").starts_with("Services"));
            assert_eq!(services.count(), 0);
        }
        run(&out.state, Event::UpdateStatus).assert_ok().assert_nothing_written();
    }
}

#[test]
fn lines_go_to_the_lokis_that_are_ready_and_to_none_that_has_left() {
    let second = "http://loki-1.loki-endpoints.obs.svc.cluster.local:3100/loki/api/v1/push";
    let state = settled().with_relation(loki(&[Some(URL), None]));
    let one = after(&state, Event::relation_changed_unit("logging", LOKI, "loki/0"));
    assert_eq!(log_targets(&one), in_both("loki/0"));

    let mut both = one.clone();
    both.relation_mut("logging", LOKI).unwrap().remote_units = loki(&[Some(URL), Some(second)]).remote_units;
    let both = after(&both, Event::relation_changed_unit("logging", LOKI, "loki/1"));
    assert_eq!(log_targets(&both).len(), 4);

    let mut fewer = both.clone();
    fewer.relation_mut("logging", LOKI).unwrap().remote_units.remove("loki/1");
    let fewer = after(&fewer, Event::UpdateStatus);
    assert!(log_targets(&fewer).contains(&"nginx: [loki/1]".to_owned()), "{:?}", log_targets(&fewer));

    // The last one too, which the Python charm forgets; also on a follower, and while the cluster is incomplete.
    for state in [both.clone(), both.clone().with_leader(false), without(&both, S3)] {
        let none = after(&deserted(state, LOKI), Event::relation_broken("logging", LOKI));
        assert!(log_targets(&none).iter().all(|target| target.ends_with(']')), "{:?}", log_targets(&none));
        let none = without(&none, LOKI);
        run(&none, Event::UpdateStatus).assert_ok().assert_nothing_written();
        let again = after(&none.with_relation(loki(&[Some(URL)])), Event::relation_changed("logging", LOKI));
        assert!(log_targets(&again).contains(&"nginx: loki/0".to_owned()), "{:?}", log_targets(&again));
    }
}

#[test]
fn a_loki_with_another_address_gets_lines_there_and_only_there() {
    let state = after(&settled().with_relation(loki(&[Some(URL)])), Event::UpdateStatus);
    let mut moved = state.clone();
    let elsewhere = "https://in.example/obs-loki-0/loki/api/v1/push";
    moved.relation_mut("logging", LOKI).unwrap().remote_units = loki(&[Some(elsewhere)]).remote_units;
    let moved = after(&moved, Event::relation_changed_unit("logging", LOKI, "loki/0"));
    let targets = moved.containers["nginx"].plan().log_targets;
    let on: Vec<_> = targets.iter().filter(|(_, target)| target.services == ["all"]).collect();
    assert_eq!(on.len(), 1);
    assert_eq!(on[0].1.location, elsewhere);
    // Pebble remembers a name by its first address.
    assert_ne!(on[0].0, "loki/0");
    assert_eq!(targets["loki/0"].location, URL);
    run(&moved, Event::UpdateStatus).assert_ok().assert_nothing_written();
}

#[test]
fn a_restarted_container_gets_its_log_targets_again() {
    let mut state = after(&settled().with_relation(loki(&[Some(URL)])), Event::UpdateStatus);
    state.containers.get_mut("nginx").unwrap().restart();
    let state = after(&state, Event::pebble_ready("nginx"));
    assert_eq!(log_targets(&state), in_both("loki/0"));
}

/// A layer like that of the Python charm, with this target.
fn of_the_charm_before(state: &State, name: &str, location: &str) -> Layer {
    let labels = [
        ("product", "Juju".to_owned()),
        ("charm", "tempo-coordinator-k8s".to_owned()),
        ("juju_model", "obs".to_owned()),
        ("juju_model_uuid", state.model.uuid.clone()),
        ("juju_application", "tempo".to_owned()),
        ("juju_unit", "tempo/0".to_owned()),
        ("job", format!("juju_obs_{}_tempo", &state.model.uuid[..8])),
    ];
    let target = LogTarget {
        type_: "loki".into(),
        location: location.into(),
        services: vec!["all".into()],
        labels: labels.into_iter().map(|(key, text)| (key.to_owned(), text)).collect(),
        ..LogTarget::default()
    };
    Layer { log_targets: [(name.to_owned(), target)].into(), ..Layer::default() }
}

#[test]
fn log_targets_of_the_charm_before_go_on_and_its_forgotten_ones_end() {
    let mut state = settled().with_relation(loki(&[Some(URL)]));
    for (container, label) in CONTAINERS.map(|name| (name, format!("{name}-log-forwarding"))) {
        let mut layer = of_the_charm_before(&state, "loki/0", URL);
        layer.combine(&of_the_charm_before(&state, "old-loki/3", "http://old-loki-3:3100/loki/api/v1/push"));
        let foreign = LogTarget {
            type_: "loki".into(),
            location: "http://x/".into(),
            services: vec!["all".into()],
            ..LogTarget::default()
        };
        let others = Layer { log_targets: [("theirs".to_owned(), foreign)].into(), ..Layer::default() };
        let seen = std::mem::take(state.containers.get_mut(container).unwrap());
        state = state
            .with_container(container, seen.with_layer(&label, layer).with_layer("of-somebody-else", others));
    }
    let before = state.containers["nginx"].plan().log_targets;
    let state = after(&state, Event::UpgradeCharm);
    assert_eq!(log_targets(&state)[..3], ["nginx: loki/0", "nginx: [old-loki/3]", "nginx: theirs"]);
    let plan = state.containers["nginx"].plan();
    assert_eq!(plan.log_targets["theirs"], before["theirs"]);
    assert_eq!(plan.log_targets["loki/0"], before["loki/0"]);
}

#[test]
fn a_pebble_that_refuses_log_targets_stops_nothing_and_is_named() {
    let state = after(&settled().with_relation(loki(&[])), Event::UpdateStatus);
    let mut ready = state.clone();
    ready.relation_mut("logging", LOKI).unwrap().remote_units = loki(&[Some(URL)]).remote_units;
    let wanted = run(&ready, Event::UpdateStatus);
    let refusals = (0..wanted.steps).filter(|step| {
        let refusal = Fault::Refuse("no such thing as a log target".to_owned());
        let out = context().with_fault(*step, refusal).run(&ready, Event::UpdateStatus, charm);
        let message = &out.state.unit_status.message;
        let named = message.contains("logs are not forwarded: ") && message.contains("no such thing");
        if named {
            assert!(out.state.unit_status.is_active());
            out.assert_ok();
            assert_eq!(after(&out.state, Event::UpdateStatus).containers, wanted.state.containers);
        }
        named
    });
    assert_eq!(refusals.count(), 2);
}

#[test]
fn a_container_that_is_down_does_not_keep_the_other_from_sending_its_lines() {
    let state = complete().with_relation(loki(&[Some(URL)])).with_container(CONTAINERS[1], Container::down());
    let state = after(&state, Event::ConfigChanged);
    assert_eq!(log_targets(&state), ["nginx: loki/0"]);
}
