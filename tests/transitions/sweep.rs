//! Whole stories, cut wherever they can be: a charm that dies at any call of any hook ends, with the hooks that follow, where it
//! would have ended undisturbed.
//!
//! Each cut plays the rest of its story, so that there are tens of thousands of hooks. By default a part of the cuts is
//! made, spread over all hooks; `SWEEP=all` makes all of them, as `cargo xtask e2e sweep` does, which reads the line that each story
//! prints.

use std::collections::BTreeMap;
use std::env;

use juju_sim::{Backend, Event, Failure, Fault, State};

use crate::scene::{
    GRAFANA, LOKI, S3, WORKERS, charm, complete, context, deserted, published, run, settled, without,
};
use crate::{tls, upgrade};

/// By default, one of so many cuts is made. It has no divisor in common with the numbers of calls that hooks make over and over.
const SOME: usize = 37;

/// Hooks that follow one another, in a world that answers.
struct Story {
    name: &'static str,
    /// What there was before.
    state: State,
    hooks: Vec<Event>,
    /// What the world makes of a hook that has succeeded.
    world: fn(State, &Event) -> State,
}

impl Story {
    /// Goes on with these hooks, undisturbed.
    #[track_caller]
    fn play(&self, mut state: State, hooks: &[Event]) -> State {
        for event in hooks {
            let out = run(&state, event.clone());
            out.assert_ok();
            state = (self.world)(out.state, event);
        }
        state
    }

    /// Makes the cuts, and compares what is there in the end with what was to be.
    fn sweep(&self) {
        let wanted = End::of(&self.play(self.state.clone(), &self.hooks));
        let step_by = match (env::var("SWEEP").as_deref(), Backend::from_env()) {
            (Ok("all"), Backend::InProcess) => 1,
            (_, Backend::Processes) => SOME * 4,
            _ => SOME,
        };
        let (mut calls, mut cuts) = (0, 0);
        let mut state = self.state.clone();
        for (number, event) in self.hooks.iter().enumerate() {
            let undisturbed = run(&state, event.clone());
            undisturbed.assert_ok();
            for step in 0..undisturbed.steps {
                calls += 1;
                if calls % step_by != 0 {
                    continue;
                }
                cuts += 1;
                let place = format!("{}: cut at call {step} of {}", self.name, event.hook_name());
                let cut = context().with_fault(step, Fault::Die).run(&state, event.clone(), charm);
                assert!(matches!(cut.result, Err(Failure::Died)), "{place}: {:?}", cut.result);
                let end = self.play(cut.state, &self.hooks[number..]);
                assert_eq!(End::of(&end), wanted, "{place}");
            }
            state = (self.world)(undisturbed.state, event);
        }
        assert!(cuts > 0, "{}: nothing was cut", self.name);
        println!(
            "sweep: {}: {} hooks, {calls} calls, {cuts} cuts, all converged",
            self.name,
            self.hooks.len()
        );
    }
}

/// What others can see of a deployment. Keys, certificates and their revisions differ from one run to the next; what they are for does
/// not.
#[derive(Debug, PartialEq)]
struct End {
    statuses: [(String, String); 2],
    published: Vec<Vec<String>>,
    /// Keys that the charm wrote, by relation and side.
    keys: BTreeMap<(String, u32), Vec<String>>,
    /// What runs, and the files that are in the containers.
    containers: BTreeMap<String, (Vec<String>, Vec<String>)>,
    nginx: String,
    ports: Vec<String>,
    secrets: Vec<String>,
    presents_its_certificate: bool,
}

impl End {
    fn of(state: &State) -> Self {
        let ids = [GRAFANA, LOKI].into_iter().filter(|id| state.relation("tracing", *id).is_some());
        let keys = state.relations.iter().map(|relation| {
            let bags = [&relation.local_app_data, &relation.local_unit_data];
            let names = bags.into_iter().flat_map(|bag| bag.keys().cloned()).collect();
            ((relation.endpoint.clone(), relation.id), names)
        });
        let containers = state.containers.iter().map(|(name, container)| {
            let services = container.services.iter().map(|(name, status)| format!("{name} {status:?}"));
            let files = container.files.keys().cloned();
            (name.clone(), (services.collect(), files.collect()))
        });
        // Labels of certificates end with the digest of the request.
        let label = |label: &str| match label.rsplit_once('-') {
            Some((label, digest)) if digest.len() == 64 => label.to_owned(),
            _ => label.to_owned(),
        };
        let mut secrets: Vec<String> = state
            .secrets
            .iter()
            .map(|secret| format!("{} {:?}", label(&secret.label), secret.owner))
            .collect();
        secrets.sort();
        let of = |status: &juju_sim::state::Status| (status.status.clone(), status.message.clone());
        Self {
            statuses: [of(&state.unit_status), of(&state.app_status)],
            published: ids.map(|id| published(state, id)).collect(),
            keys: keys.collect(),
            containers: containers.collect(),
            nginx: crate::scene::nginx_conf(state),
            ports: state.opened_ports.iter().cloned().collect(),
            secrets,
            presents_its_certificate: tls::presents_what_it_was_given(state),
        }
    }
}

fn same(state: State, _: &Event) -> State {
    state
}

/// The other application has a unit, which says nothing by itself.
fn with_unit(mut state: State, endpoint: &str, id: u32) -> State {
    let relation = state.relation_mut(endpoint, id).expect("the relation is there");
    *relation = relation.clone().with_remote_unit(0, [] as [(&str, &str); 0]);
    state
}

/// All that Juju tells about a relation when it comes about.
fn comes(endpoint: &str, id: u32, app: &str) -> [Event; 4] {
    let unit = format!("{app}/0");
    [
        Event::relation_created(endpoint, id),
        Event::relation_joined(endpoint, id, &unit),
        Event::relation_changed_unit(endpoint, id, &unit),
        Event::relation_changed(endpoint, id),
    ]
}

#[test]
fn a_first_deployment_that_is_cut_anywhere_ends_the_same() {
    let first = [Event::Install, Event::LeaderElected, Event::ConfigChanged, Event::Start];
    let ready = ["nginx", "nginx-prometheus-exporter"].map(Event::pebble_ready);
    let relations = [
        comes("s3", S3, "s3"),
        comes("tempo-cluster", WORKERS, "worker"),
        comes("tracing", GRAFANA, "grafana"),
        comes("tracing", LOKI, "loki"),
    ];
    let hooks = first.into_iter().chain(ready).chain(relations.into_iter().flatten());
    Story {
        name: "first deployment",
        state: with_unit(complete(), "s3", S3),
        hooks: hooks.chain([Event::UpdateStatus]).collect(),
        world: same,
    }
    .sweep();
}

#[test]
fn tls_that_is_cut_anywhere_while_it_comes_ends_the_same() {
    let mut hooks: Vec<Event> = comes("certificates", tls::CA, "ca").into();
    hooks.extend([Event::UpdateStatus, Event::UpdateStatus]);
    Story {
        name: "TLS on",
        state: with_unit(tls::related(settled()), "certificates", tls::CA),
        hooks,
        world: |state, _| tls::signed(&state),
    }
    .sweep();
}

#[test]
fn a_requirer_that_leaves_while_hooks_are_cut_is_gone_in_the_end() {
    Story {
        name: "requirer leaving",
        state: deserted(settled(), GRAFANA),
        hooks: vec![
            Event::relation_departed("tracing", GRAFANA, "grafana/0"),
            Event::relation_broken("tracing", GRAFANA),
            Event::UpdateStatus,
        ],
        world: |state, event| match event {
            Event::RelationBroken(broken) => without(&state, broken.id),
            _ => state,
        },
    }
    .sweep();
}

#[test]
fn an_upgrade_from_the_python_charm_that_is_cut_anywhere_ends_the_same() {
    Story {
        name: "upgrade",
        state: upgrade::left_behind(),
        hooks: vec![Event::UpgradeCharm, Event::ConfigChanged, Event::Start, Event::UpdateStatus],
        world: same,
    }
    .sweep();
}
