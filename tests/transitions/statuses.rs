//! What people are told.

use juju_sim::{Container, Event, State};

use crate::scene::{S3, WORKERS, alone, complete, run, s3, settled, without, worker};

#[track_caller]
fn says(state: &State, status: &str, part: &str) {
    let out = run(state, Event::ConfigChanged);
    out.assert_ok();
    let now = &out.state.unit_status;
    assert_eq!(now.status, status, "{}", now.message);
    assert!(now.message.contains(part), "{:?} is not in {:?}", part, now.message);
}

#[test]
fn what_is_missing_is_named() {
    says(&alone(), "blocked", "no worker application related");
    says(&alone().with_relation(worker(WORKERS, "w", "all", 1)), "blocked", "relate an S3 provider");
    says(&alone().with_relation(s3()), "blocked", "no worker application related");
    says(
        &alone().with_relation(s3()).with_relation(worker(WORKERS, "w", "querier", 1)),
        "blocked",
        "roles missing: compactor, distributor, ingester, query-frontend",
    );
    let mut keyless = complete();
    keyless.relation_mut("s3", S3).unwrap().remote_app_data.remove("secret-key");
    says(&keyless, "blocked", "secret-key");
    says(&complete().with_config("retention-period", 0), "blocked", "retention-period");
    says(
        &complete().with_container("nginx", Container::down()),
        "waiting",
        "[nginx] waiting for the container",
    );
}

#[test]
fn a_whole_cluster_is_active() {
    says(&complete(), "active", "");
    // Scaled down to nothing, its roles are missing.
    let mut empty = settled();
    empty.relation_mut("tempo-cluster", WORKERS).unwrap().remote_units.clear();
    says(&empty, "blocked", "roles missing");
    says(&without(&settled(), WORKERS), "blocked", "no worker application related");
}

#[test]
fn no_status_of_a_person_or_of_the_agent_stays() {
    let mut state = settled();
    state.unit_status.message = "looked at by hand".into();
    says(&state, "active", "");
}
