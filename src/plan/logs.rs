//! What a Loki gets: who we are, alert rules, and the lines that nginx and the exporter write.
//!
//! Pebble itself sends the lines, to the log targets of its plan. A target cannot be taken out of a plan, only turned
//! off; and Pebble goes on sending to the first address that it has known a target by. So each target has one address for
//! ever: it is called like the unit of Loki that it sends to, and a unit that has moved gets another one, with a digest of
//! the new address in its name. Targets that are turned off keep their address, so that it stays known.

use std::collections::BTreeMap;

use juju_ops::{Scope, UnitName};
use juju_pebble::{Layer, LogTarget, Override};
use juju_relations::JsonText;
use juju_relations::loki_push_api::RequirerAppData;
use serde::Serialize;

use crate::deployment::Deployment;
use crate::deployment::address::Url;
use crate::names::{CHARM_NAME, Container, Endpoint};
use crate::snapshot::FileDigest;

use super::{DatabagWrite, rules, scraping};

/// The log targets of one container.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forwarding {
    /// The container.
    pub container: Container,
    /// Label of the layer.
    pub label: String,
    /// The targets that are ours, and nothing else.
    pub layer: Layer,
}

/// What the services of a target name to get every line, or none.
const ALL: &str = "all";
const NONE: &str = "-all";

/// In any state of the cluster, from the leader.
pub(super) fn writes(d: &Deployment) -> Vec<DatabagWrite> {
    if !d.identity.leader {
        return Vec::new();
    }
    let data = RequirerAppData {
        metadata: JsonText::of(&scraping::topology(d)).ok(),
        alert_rules: Some(rules::loki(d)),
    };
    let related = d.links.of(Endpoint::Logging).iter();
    related.map(|id| DatabagWrite::new(Endpoint::Logging, *id, Scope::App, &data)).collect()
}

/// The targets of each container that can be reached and has any, or should have. Those that are not ours are left alone.
pub(super) fn forwarding(d: &Deployment) -> Vec<Forwarding> {
    let of = |(container, known): (&Container, &BTreeMap<String, LogTarget>)| {
        let log_targets = targets(d, known);
        (!log_targets.is_empty()).then(|| Forwarding {
            container: *container,
            label: format!("{container}-log-forwarding"),
            layer: Layer { log_targets, ..Layer::default() },
        })
    };
    d.log_targets.iter().filter_map(of).collect()
}

/// One target for each unit of Loki that takes lines, and those of ours that nobody listens to any more.
fn targets(d: &Deployment, known: &BTreeMap<String, LogTarget>) -> BTreeMap<String, LogTarget> {
    let labels = labels(d);
    let is_ours = |target: &LogTarget| {
        target.type_ == LOKI
            && ["product", "charm", "juju_unit"].iter().all(|key| target.labels.get(*key) == labels.get(*key))
    };
    let ours = known.iter().filter(|(_, target)| is_ours(target));
    let off = |target: &LogTarget| LogTarget {
        override_: Override::Replace,
        services: vec![NONE.to_owned()],
        ..target.clone()
    };
    let mut targets: BTreeMap<String, LogTarget> =
        ours.map(|(name, target)| (name.clone(), off(target))).collect();
    for (unit, url) in &d.telemetry.loki {
        let location = url.to_string();
        let can_be = |name: &String| {
            known.get(name).is_none_or(|target| is_ours(target) && target.location == location)
        };
        let Some(name) = names(unit, url).find(can_be) else { continue };
        let target = LogTarget {
            override_: Override::Replace,
            type_: LOKI.to_owned(),
            location,
            services: vec![ALL.to_owned()],
            labels: labels.clone(),
        };
        targets.insert(name, target);
    }
    targets
}

/// What Pebble calls the protocol.
const LOKI: &str = "loki";

/// What a target may be called, the best first.
fn names(unit: &UnitName, url: &Url) -> impl Iterator<Item = String> {
    let digest = FileDigest::of(url.to_string()).to_string();
    let with_digest = format!("{unit}-");
    // Eight digits do, unless somebody has taken the name.
    let longer = (8..=digest.len()).map(move |length| format!("{with_digest}{}", &digest[..length]));
    [unit.to_string()].into_iter().chain(longer)
}

/// The labels of every line.
fn labels(d: &Deployment) -> BTreeMap<String, String> {
    let topology = scraping::topology(d);
    let labels = [
        ("product", "Juju".to_owned()),
        ("charm", CHARM_NAME.to_owned()),
        ("juju_model", topology.model.clone()),
        ("juju_model_uuid", topology.model_uuid.clone()),
        ("juju_application", topology.application.clone()),
        ("juju_unit", d.identity.unit.to_string()),
        ("job", format!("juju_{}", topology.identifier())),
    ];
    labels.into_iter().map(|(label, value)| (label.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Cluster, complete};

    const A: &str = "http://loki-0.loki:3100/loki/api/v1/push";
    const B: &str = "https://in.example/obs-loki-0/loki/api/v1/push";
    /// A target for B is called this where the plain name is taken.
    const MOVED: &str = "loki/0-89a702d7";

    /// The container's targets after the charm has seen the ones before, with Lokis at these URLs.
    fn after(urls: &[&str], before: &BTreeMap<String, LogTarget>) -> BTreeMap<String, LogTarget> {
        let cluster = complete().loki(urls).container(Container::Nginx, before.clone());
        let planned = forwarding(&cluster.deployment());
        let mut plan = Layer { log_targets: before.clone(), ..Layer::default() };
        for forwarding in planned {
            assert_eq!(
                (forwarding.container, forwarding.label.as_str()),
                (Container::Nginx, "nginx-log-forwarding")
            );
            plan.combine(&forwarding.layer);
        }
        plan.log_targets
    }

    /// `name` of each target that is on, in brackets where it is off.
    fn shown(targets: &BTreeMap<String, LogTarget>) -> Vec<String> {
        let each = |(name, target): (&String, &LogTarget)| match target.services.join(",").as_str() {
            "all" => name.clone(),
            "-all" => format!("[{name}]"),
            other => format!("{name}: {other}"),
        };
        targets.iter().map(each).collect()
    }

    #[test]
    fn lines_carry_who_writes_them() {
        let targets = after(&[A], &BTreeMap::new());
        let target = &targets["loki/0"];
        assert_eq!((target.type_.as_str(), target.location.as_str()), ("loki", A));
        assert_eq!(target.override_, Override::Replace);
        let labels: Vec<String> = target.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            labels,
            [
                "charm=tempo-coordinator-k8s",
                "job=juju_obs_3f1d3c0e_tempo",
                "juju_application=tempo",
                "juju_model=obs",
                "juju_model_uuid=3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55",
                "juju_unit=tempo/0",
                "product=Juju",
            ]
        );
    }

    #[test]
    fn units_that_are_ready_get_lines_and_those_that_left_do_not_any_more() {
        let two = after(&[A, "", "http://loki-2.loki/push"], &BTreeMap::new());
        assert_eq!(shown(&two), ["loki/0", "loki/2"]);
        let one = after(&[A], &two);
        assert_eq!(shown(&one), ["loki/0", "[loki/2]"]);
        let none = after(&[], &one);
        assert_eq!(shown(&none), ["[loki/0]", "[loki/2]"]);
        assert_eq!(after(&[], &none), none);
        let again = after(&[A], &none);
        assert_eq!(shown(&again), ["loki/0", "[loki/2]"]);
    }

    #[test]
    fn a_loki_that_moves_gets_another_target_and_the_first_one_when_it_comes_back() {
        let first = after(&[A], &BTreeMap::new());
        let moved = after(&[B], &first);
        assert_eq!(shown(&moved), ["[loki/0]", MOVED]);
        assert_eq!((moved["loki/0"].location.as_str(), moved[MOVED].location.as_str()), (A, B));
        assert_eq!(after(&[B], &moved), moved);
        let back = after(&[A], &moved);
        assert_eq!(shown(&back), ["loki/0", format!("[{MOVED}]").as_str()]);
    }

    #[test]
    fn targets_of_others_are_left_alone() {
        let foreign = LogTarget {
            type_: "loki".into(),
            location: A.into(),
            services: vec!["all".into()],
            ..LogTarget::default()
        };
        let mut of_a_peer = after(&[A], &BTreeMap::new()).remove("loki/0").unwrap();
        of_a_peer.labels.insert("juju_unit".into(), "tempo/1".into());
        for theirs in [foreign, of_a_peer, LogTarget { type_: "syslog".into(), ..LogTarget::default() }] {
            let before = BTreeMap::from([("loki/0".to_owned(), theirs.clone()), ("own".to_owned(), theirs)]);
            assert_eq!(after(&[], &before), before);
            let with_ours = after(&[B], &before);
            assert_eq!(shown(&with_ours).len(), 3);
            assert_eq!(with_ours["loki/0"], before["loki/0"]);
            assert_eq!(
                (with_ours["own"].clone(), with_ours[MOVED].location.as_str()),
                (before["own"].clone(), B)
            );
        }
    }

    /// It disabled targets without a word on where they had sent to.
    #[test]
    fn a_name_whose_first_address_is_not_known_is_not_used_again() {
        let disabled = LogTarget {
            type_: "loki".into(),
            location: "(removed)".into(),
            services: vec!["-all".into()],
            ..LogTarget::default()
        };
        let before = BTreeMap::from([("loki/0".to_owned(), disabled)]);
        assert_eq!(shown(&after(&[B], &before)), ["[loki/0]", MOVED]);
    }

    #[test]
    fn a_container_that_cannot_be_reached_is_left_out_and_so_is_one_with_nothing_to_do() {
        assert_eq!(forwarding(&complete().loki(&[A]).deployment()), []);
        let idle = complete().container(Container::NginxPrometheusExporter, BTreeMap::new());
        assert_eq!(forwarding(&idle.deployment()), []);
    }

    #[test]
    fn the_leader_alone_says_who_we_are_in_any_state_of_the_cluster() {
        let mut cluster = Cluster::default().loki(&[]);
        let [write] = &writes(&cluster.deployment())[..] else { panic!("one relation") };
        assert_eq!(
            write.data["metadata"].as_ref().unwrap().expose(),
            r#"{"model": "obs", "model_uuid": "3f1d3c0e-6a57-4a0b-9f3b-0d8a2f7c1e55", "application": "tempo", "charm_name": "tempo-coordinator-k8s"}"#
        );
        assert!(write.data["alert_rules"].is_some());
        cluster.leader = false;
        assert_eq!(writes(&cluster.deployment()), []);
    }
}
