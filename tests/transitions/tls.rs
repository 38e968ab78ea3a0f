//! Certificates: asked for, used, renewed, refused, taken back, and gone again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Instant;

use juju_relations::Wire;
use juju_relations::tls_certificates::{
    Authority, ErrorDetail, KeyScope, ParsedCertificate, ParsedRequest, PrivateKey, ProviderAppData,
    RequestAttributes, RequirerData, SigningRequest, certificate_label, private_key_label, request,
};
use juju_sim::event::SecretEvent;
use juju_sim::state::{GoalState, GoalStatus};
use juju_sim::{Context, Event, ExecHandler, Fault, Outcome, Relation, Secret, State};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempo_coordinator::Surroundings;
use tempo_coordinator::snapshot::Host;
use tracing::Level;

use crate::scene::{
    GRAFANA, LOKI, NOW, S3, WORKERS, cases, complete, context, nginx_conf, published, run, sweep, without,
    worker,
};

/// Number of the relation to the authority.
pub(crate) const CA: u32 = 40;
const DAY: i64 = 24 * 3600;
/// What authorities usually sign for.
const LIFE: i64 = 90 * DAY;

const PAIR: &str = "/etc/nginx/certs/server.key";
const CONFIG: &str = "/etc/nginx/nginx.conf";
const KEY_LABEL: &str = "afd8c2bccf834997afce12c2706d2ede-private-key-0-certificates";

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let root = Authority::new("root.example", NOW - 1000 * DAY, NOW + 1000 * DAY).expect("a root");
    root.with_intermediate("between.example", NOW - 900 * DAY, NOW + 900 * DAY).expect("an authority")
});

/// Making keys takes time, so that most tests share one.
pub(crate) static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate().expect("a key"));

#[track_caller]
fn run_at(state: &State, event: Event, now: i64) -> Outcome {
    run_in(&context(), state, event, now)
}

#[track_caller]
fn run_in(context: &Context, state: &State, event: Event, now: i64) -> Outcome {
    context.run(state, event, async |hook| {
        let unit = hook.env().unit.clone();
        let host = Host {
            fqdn: format!("{}.{}-endpoints.obs.svc.cluster.local", unit.dashed(), unit.app()),
            nameserver: Some("10.152.183.10".parse().expect("an address")),
            ipv6: false,
        };
        let began = Instant::now();
        let around = Surroundings { host, now, began, kubernetes: None, network: false };
        tempo_coordinator::dispatch(hook, around).await
    })
}

#[track_caller]
fn after_at(state: &State, event: Event, now: i64) -> State {
    let out = run_at(state, event, now);
    out.assert_ok();
    out.state
}

/// An authority that has said nothing yet.
pub(crate) fn related(state: State) -> State {
    let mut state = state.with_relation(Relation::new("certificates", CA, "tls-certificates", "ca"));
    let nginx = state.containers.get_mut("nginx").expect("there is one");
    nginx.execs.push(ExecHandler::new(["update-ca-certificates"]));
    state
}

/// The unit's key, as it was kept before.
fn with_key(state: State, unit: u32) -> State {
    let label = private_key_label(&KeyScope::Unit(juju_ops::UnitName::new("tempo", unit)), "certificates");
    let secret = Secret::new("csecretwiththekey000", &state.unit_tag(), [("private-key", KEY.to_pem())]);
    state.with_secret(secret.with_label(&label))
}

pub(crate) fn answered() -> Event {
    Event::relation_changed("certificates", CA)
}

fn requests(state: &State) -> Vec<String> {
    let Some(relation) = state.relation("certificates", CA) else { return Vec::new() };
    let bag = relation.local_unit_data.clone().into_iter().collect();
    let data = RequirerData::read(Some(&bag)).ok().unwrap_or_default();
    data.certificate_signing_requests.into_iter().map(|entry| entry.certificate_signing_request).collect()
}

/// Changes what the authority says.
fn say(state: &State, change: impl FnOnce(&mut ProviderAppData)) -> State {
    let mut state = state.clone();
    let relation = state.relation_mut("certificates", CA).expect("there is an authority");
    let bag = relation.remote_app_data.clone().into_iter().collect();
    let mut data = ProviderAppData::read(Some(&bag)).ok().unwrap_or_default();
    change(&mut data);
    relation.remote_app_data = data.write().into_iter().collect();
    state
}

/// Has the authority sign everything that it has not answered.
fn sign(state: &State, from: i64, until: i64) -> State {
    let open = requests(state);
    say(state, |data| {
        for csr in open {
            if !data.answers(&csr) {
                data.answer(AUTHORITY.sign(&csr, from, until).expect("a certificate"));
            }
        }
    })
}

/// The state with every request answered.
pub(crate) fn signed(state: &State) -> State {
    sign(state, NOW, NOW + LIFE)
}

/// Whether nginx has a pair of which the authority signed the certificate.
pub(crate) fn presents_what_it_was_given(state: &State) -> bool {
    let Some(pair) = state.containers["nginx"].file_text(PAIR) else { return false };
    let Some(relation) = state.relation("certificates", CA) else { return false };
    let bag = relation.remote_app_data.clone().into_iter().collect();
    let data = ProviderAppData::read(Some(&bag)).ok().unwrap_or_default();
    data.certificates.iter().any(|issued| pair.contains(issued.certificate.trim()))
}

/// A complete cluster whose requests have just been answered, before the charm knows.
pub(crate) fn just_answered() -> State {
    let state = after_at(&with_key(related(complete()), 0), Event::ConfigChanged, NOW);
    signed(&state)
}

/// A complete cluster with TLS.
pub(crate) fn encrypted() -> State {
    after_at(&just_answered(), answered(), NOW)
}

/// The certificates and the key that nginx presents.
fn pair(state: &State) -> String {
    state.containers["nginx"].file_text(PAIR).expect("there is a pair")
}

pub(crate) fn presented(state: &State) -> ParsedCertificate {
    ParsedCertificate::parse(&pair(state)).expect("a certificate")
}

fn speaks_tls(state: &State) -> bool {
    nginx_conf(state).contains("listen 4317 ssl;")
}

fn told_workers(state: &State) -> &BTreeMap<String, String> {
    &state.relation("tempo-cluster", WORKERS).expect("there are workers").local_app_data
}

fn reloads(out: &Outcome) -> usize {
    format!("{:?}", out.history("nginx")).matches("SIGHUP").count()
}

fn labels(state: &State) -> BTreeSet<&str> {
    state.secrets.iter().map(|secret| secret.label.as_str()).collect()
}

#[track_caller]
fn says(state: &State, part: &str) {
    let status = &state.unit_status;
    assert!(status.is_active() && status.message.contains(part), "{status:?}");
}

#[track_caller]
fn says_nothing_of_tls(state: &State) {
    let status = &state.unit_status;
    assert!(status.is_active() && !status.message.contains("certificates"), "{status:?}");
}

#[test]
fn from_the_request_to_the_workers() {
    let out = run_at(&related(complete()), Event::relation_created("certificates", CA), NOW);
    out.assert_ok();
    let waiting = out.state;
    let key = waiting.secret_by_label(KEY_LABEL).expect("the unit has a key");
    let pem = String::from_utf8(key.content(1).unwrap()["private-key"].clone()).unwrap();
    assert!(pem.starts_with("-----BEGIN RSA PRIVATE KEY-----") && pem.ends_with("-----"), "PKCS#1, stripped");
    assert_eq!(key.owner, "unit-tempo-0");
    let [csr] = &requests(&waiting)[..] else { panic!("one request") };
    let asked = ParsedRequest::parse(csr).unwrap();
    assert_eq!(asked.public_key, *PrivateKey::from_pem(&pem).unwrap().public_key());
    let names = [
        "tempo-0.tempo-endpoints.obs.svc.cluster.local",
        "tempo.obs.svc.cluster.local",
        "worker-0.worker-endpoints.obs.svc.cluster.local",
    ];
    assert_eq!(asked.attributes, RequestAttributes::server("tempo", names));
    // A cluster that ran in plain text goes on so until there is a certificate.
    assert!(!speaks_tls(&waiting) && nginx_conf(&waiting).contains("listen 4317;"));
    assert!(published(&waiting, LOKI).contains(&"otlp_http http://tempo.obs.svc.cluster.local:4318".into()));
    says(&waiting, "[certificates] no TLS yet, waiting for a certificate");
    run_at(&waiting, Event::UpdateStatus, NOW).assert_ok().assert_nothing_written();

    let signed = sign(&waiting, NOW, NOW + LIFE);
    let out = run_at(&signed, answered(), NOW);
    out.assert_ok();
    assert_eq!(reloads(&out), 1);
    let state = &out.state;
    let leaf = AUTHORITY.sign(csr, NOW, NOW + LIFE).unwrap().certificate;
    let bundle = format!("{leaf}\n{}\n", AUTHORITY.issuer());
    let nginx = &state.containers["nginx"];
    assert_eq!(pair(state), format!("{bundle}{pem}\n"));
    assert_eq!(nginx.files[PAIR].mode, 0o600);
    assert_eq!(nginx.file_text("/etc/nginx/certs/server.cert").unwrap(), bundle);
    let ca = nginx.file_text("/usr/local/share/ca-certificates/ca.crt").unwrap();
    assert_eq!(ca.trim_end(), AUTHORITY.issuer());
    assert_eq!(out.execs("nginx").iter().filter(|words| words[0] == "update-ca-certificates").count(), 1);
    for port in [4317, 4318, 3200, 9096, 3300] {
        assert!(nginx_conf(state).contains(&format!("listen {port} ssl;")), "{port}");
    }
    assert!(nginx_conf(state).contains("listen 127.0.0.1:8080;"));

    let exporter = &state.containers["nginx-prometheus-exporter"];
    assert_eq!(exporter.file_text("/etc/exporter/certs/server.crt").unwrap(), bundle);
    assert_eq!(exporter.file_text("/etc/exporter/certs/server.key").unwrap(), format!("{pem}\n"));
    assert!(
        exporter
            .files
            .values()
            .filter(|file| file.text().contains("PRIVATE KEY"))
            .all(|file| file.mode == 0o600)
    );
    assert!(exporter.is_running("nginx-prometheus-exporter"));

    let told = told_workers(state);
    let text = |key: &str| serde_json::from_str::<String>(&told[key]).unwrap();
    assert_eq!(text("ca_cert"), AUTHORITY.issuer());
    assert_eq!(text("server_cert"), format!("{leaf}\n{}", AUTHORITY.issuer()));
    let key = state.secret_by_label(KEY_LABEL).unwrap();
    assert_eq!(text("privkey_secret_id"), format!("secret://{}/{}", state.model.uuid, key.id));
    assert!(key.access.iter().any(|access| access.target == "application-worker"));
    let config: serde_json::Value = serde_yaml::from_str(&text("worker_config")).unwrap();
    assert_eq!(config["memberlist"]["tls_server_name"], "worker-0.worker-endpoints.obs.svc.cluster.local");

    assert!(published(state, LOKI).contains(&"otlp_http https://tempo.obs.svc.cluster.local:4318".into()));
    says_nothing_of_tls(state);
    let scope = KeyScope::Unit(juju_ops::UnitName::new("tempo", 0));
    let stored = state.secret_by_label(&certificate_label(&scope, "certificates", csr)).expect("it is kept");
    assert!(stored.expire.is_some());
    assert_eq!(stored.content(1).unwrap()["certificate"], leaf.as_bytes());
    run_at(state, Event::UpdateStatus, NOW).assert_ok().assert_nothing_written();
}

#[test]
fn the_charm_before_leaves_its_key_request_and_certificate() {
    let names = [
        "tempo-0.tempo-endpoints.obs.svc.cluster.local",
        "tempo.obs.svc.cluster.local",
        "worker-0.worker-endpoints.obs.svc.cluster.local",
    ];
    let csr = request(&KEY, &RequestAttributes::server("tempo", names), "any").unwrap();
    let mut before = with_key(related(complete()), 0);
    let data = RequirerData::new([SigningRequest::new(&csr, false)]).write();
    before.relation_mut("certificates", CA).unwrap().local_unit_data.extend(data);
    let before = sign(&before, NOW - DAY, NOW + LIFE);
    let out = run_at(&before, Event::UpgradeCharm, NOW);
    out.assert_ok();
    assert!(speaks_tls(&out.state));
    assert_eq!(requests(&out.state), [csr]);
    assert!(
        out.writes()
            .all(|call| call.tool != "relation-set"
                || !call.args.iter().any(|arg| arg.contains("certificates")))
    );
    assert_eq!(out.state.secrets.iter().filter(|secret| secret.label == KEY_LABEL).count(), 1);
}

#[test]
fn workers_that_come_and_go_do_not_interrupt_tls() {
    let before = encrypted();
    let old = presented(&before);
    let mut grown = without(&before, WORKERS);
    let told = before.relation("tempo-cluster", WORKERS).unwrap().local_app_data.clone();
    grown.relations.push(worker(WORKERS, "worker", "all", 2).with_local_app_data(told));
    let waiting = after_at(&grown, Event::relation_joined("tempo-cluster", WORKERS, "worker/1"), NOW + DAY);
    // The old request stays beside the new one, and its certificate in use.
    assert_eq!(requests(&waiting).len(), 2);
    assert_eq!(requests(&waiting)[0], requests(&before)[0]);
    assert!(speaks_tls(&waiting) && told_workers(&waiting).contains_key("ca_cert"));
    assert_eq!(presented(&waiting), old);
    says(&waiting, "[certificates] waiting for a new certificate");
    let config: String = serde_json::from_str(&told_workers(&waiting)["worker_config"]).unwrap();
    assert!(config.contains("worker-1.worker-endpoints") && !config.contains("tls_server_name: 'worker-1"));
    run_at(&waiting, Event::UpdateStatus, NOW + DAY).assert_ok().assert_nothing_written();

    let out = run_at(&sign(&waiting, NOW + DAY, NOW + DAY + LIFE), answered(), NOW + DAY);
    out.assert_ok();
    assert_eq!(requests(&out.state), requests(&waiting)[1..]);
    assert!(presented(&out.state).sans_dns.contains("worker-1.worker-endpoints.obs.svc.cluster.local"));
    says_nothing_of_tls(&out.state);
    assert_eq!(out.state.secrets.len(), 2, "a key and one certificate");
}

#[test]
fn a_certificate_is_renewed_before_it_ends_and_loaded_with_one_reload() {
    let before = encrypted();
    let due = NOW + LIFE * 9 / 10;
    run_at(&before, Event::UpdateStatus, due - 1).assert_ok().assert_nothing_written();
    let stored = before.secrets.iter().find(|secret| secret.label.contains("-certificate-")).unwrap().clone();
    let expired = Event::SecretExpired(SecretEvent {
        uri: stored.uri(),
        label: stored.label.clone(),
        revision: Some(1),
    });
    let asking = after_at(&before, expired, due);
    assert_eq!(requests(&asking).len(), 2);
    assert_eq!(pair(&asking), pair(&before));
    // Asked again, it is the same request.
    assert_eq!(requests(&after_at(&before, Event::UpdateStatus, due + 5)), requests(&asking));

    let out = run_at(&sign(&asking, due, due + LIFE), answered(), due);
    out.assert_ok();
    assert_eq!(presented(&out.state).not_after, due + LIFE);
    assert_eq!(reloads(&out), 1);
    assert!(!out.pushed("nginx").contains(&CONFIG), "{:?}", out.pushed("nginx"));
    assert_eq!(requests(&out.state).len(), 1);
    assert_eq!(labels(&out.state).len(), 2);
    assert!(!labels(&out.state).contains(stored.label.as_str()));
    // The authority did not change, so nobody has to trust another one.
    assert!(out.execs("nginx").iter().all(|words| words[0] == "nginx"));
    run_at(&out.state, Event::UpdateStatus, due).assert_ok().assert_nothing_written();
}

#[test]
fn a_renewed_certificate_reaches_nginx_while_the_cluster_is_incomplete() {
    let before = without(&encrypted(), S3);
    let due = NOW + LIFE * 9 / 10;
    let asking = after_at(&before, Event::UpdateStatus, due);
    assert_eq!(asking.unit_status.status, "blocked");
    let out = run_at(&sign(&asking, due, due + LIFE), answered(), due);
    out.assert_ok();
    assert_eq!(presented(&out.state).not_after, due + LIFE);
    assert_eq!((reloads(&out), nginx_conf(&out.state)), (1, nginx_conf(&before)));
    let exporter = &out.state.containers["nginx-prometheus-exporter"];
    assert!(pair(&out.state).starts_with(&exporter.file_text("/etc/exporter/certs/server.crt").unwrap()));
    // Workers keep what they have.
    assert_eq!(told_workers(&out.state), told_workers(&before));
    run_at(&out.state, Event::UpdateStatus, due).assert_ok().assert_nothing_written();

    // Where nothing runs with TLS, certificates are not put into containers.
    let never = after_at(&without(&just_answered(), S3), answered(), NOW);
    assert!(!speaks_tls(&never) && never.containers["nginx"].file_text(PAIR).is_none());
}

#[test]
fn an_expired_certificate_does_not_bring_plain_text_back() {
    let late = NOW + LIFE + DAY;
    let out = run_at(&encrypted(), Event::UpdateStatus, late);
    out.assert_ok();
    assert!(speaks_tls(&out.state));
    says(&out.state, "[certificates] the certificate in use has expired");
    assert_eq!(requests(&out.state).len(), 1);
    let waiting = after_at(&out.state, Event::UpdateStatus, late);
    assert!(speaks_tls(&waiting) && pair(&waiting) == pair(&out.state));
    run_at(&waiting, Event::UpdateStatus, late).assert_ok().assert_nothing_written();
    let state = after_at(&sign(&waiting, late, late + LIFE), answered(), late);
    assert_eq!(presented(&state).not_after, late + LIFE);
    says_nothing_of_tls(&state);
    assert_eq!(state.secrets.len(), 2);
}

#[test]
fn a_certificate_that_is_withdrawn_stays_in_use_and_one_that_is_revoked_does_not() {
    let before = encrypted();
    let withdrawn = say(&before, |data| data.certificates.clear());
    run_at(&withdrawn, answered(), NOW).assert_ok().assert_nothing_written();

    let revoked = after_at(&say(&before, ProviderAppData::revoke_all), answered(), NOW);
    assert!(!speaks_tls(&revoked) && revoked.containers["nginx"].file_text(PAIR).is_none());
    assert_eq!(requests(&revoked).len(), 1);
    assert_ne!(requests(&revoked), requests(&before));
    assert_eq!(labels(&revoked), BTreeSet::from([KEY_LABEL]));
    let again = after_at(&sign(&revoked, NOW, NOW + LIFE), answered(), NOW);
    assert!(speaks_tls(&again));
}

#[test]
fn a_refusal_is_named_in_either_spelling() {
    let waiting = after_at(&with_key(related(complete()), 0), Event::ConfigChanged, NOW);
    let csr = requests(&waiting).remove(0);
    let error = ErrorDetail::new(ErrorDetail::DOMAIN_NOT_ALLOWED, "only\nexample.com");
    for key in ["csr", "certificate_signing_request"] {
        let mut refused = waiting.clone();
        let errors = serde_json::json!([{ key: csr, "error": error }]).to_string();
        refused
            .relation_mut("certificates", CA)
            .unwrap()
            .remote_app_data
            .insert("request_errors".to_owned(), errors);
        let state = after_at(&refused, answered(), NOW);
        says(&state, "no TLS, the request is refused: domain_not_allowed (102): only example.com");
        assert_eq!(requests(&state), [csr.as_str()], "the same would be refused again");
    }
}

#[test]
fn without_an_authority_everything_goes_back_to_plain_text_at_once() {
    let before = encrypted();
    let out = run_at(&before, Event::relation_broken("certificates", CA), NOW);
    out.assert_ok();
    let state = without(&out.state, CA);
    assert!(!speaks_tls(&state));
    assert_eq!(reloads(&out), 1);
    let files: Vec<&String> =
        state.containers.values().flat_map(|container| container.files.keys()).collect();
    assert!(
        files.iter().all(|path| !path.contains("/certs/") && !path.contains("ca-certificates")),
        "{files:?}"
    );
    assert!(state.containers["nginx-prometheus-exporter"].is_running("nginx-prometheus-exporter"));
    assert!(state.secrets.is_empty());
    assert!(
        told_workers(&state)
            .keys()
            .all(|key| !["ca_cert", "server_cert", "privkey_secret_id"].contains(&key.as_str()))
    );
    assert!(published(&state, LOKI).contains(&"otlp_http http://tempo.obs.svc.cluster.local:4318".into()));
    assert_eq!(out.execs("nginx").iter().filter(|words| words[0] == "update-ca-certificates").count(), 1);
    run_at(&state, Event::UpdateStatus, NOW).assert_ok().assert_nothing_written();
}

#[test]
fn a_follower_has_a_certificate_of_its_own_and_as_leader_gives_it_to_the_workers() {
    let mut state = with_key(related(complete()), 0).with_leader(false);
    state = after_at(&state, Event::ConfigChanged, NOW);
    let out = run_at(&sign(&state, NOW, NOW + LIFE), answered(), NOW);
    out.assert_ok();
    assert!(speaks_tls(&out.state));
    assert!(told_workers(&out.state).is_empty());
    assert!(out.writes().all(|call| call.tool != "secret-grant"));

    let elected = run_at(&out.state.with_leader(true), Event::LeaderElected, NOW);
    elected.assert_ok();
    assert_eq!(elected.writes().filter(|call| call.tool == "secret-grant").count(), 1);
    assert!(told_workers(&elected.state).contains_key("privkey_secret_id"));
    assert!(elected.pebble.values().all(Vec::is_empty), "nothing changes for nginx");
}

/// [`encrypted`], in the eyes of a unit that has just come up: no certificate, nothing in its containers.
fn of_a_new_unit(leader: bool) -> State {
    let mut state = encrypted().with_leader(leader);
    state.unit = "tempo/1".into();
    state.secrets.clear();
    let fresh = complete();
    state.containers = fresh.containers.clone();
    let nginx = state.containers.get_mut("nginx").expect("there is one");
    nginx.execs.push(ExecHandler::new(["update-ca-certificates"]));
    state.opened_ports.clear();
    for relation in &mut state.relations {
        relation.local_unit_data.clear();
    }
    state
}

#[test]
fn a_new_leader_without_a_certificate_takes_tls_from_nobody() {
    let before = of_a_new_unit(true);
    let out = run_at(&before, Event::LeaderElected, NOW);
    out.assert_ok();
    assert_eq!(told_workers(&out.state), told_workers(&before));
    for requirer in [GRAFANA, LOKI] {
        assert_eq!(published(&out.state, requirer), published(&before, requirer));
    }
    let status = &out.state.unit_status;
    assert_eq!(status.status, "waiting");
    assert!(status.message.contains("this unit waits for its certificate"), "{}", status.message);

    // Its certificate comes: the workers get its key, and all goes on.
    let state = after_at(&sign(&out.state, NOW, NOW + LIFE), answered(), NOW);
    assert!(speaks_tls(&state) && state.unit_status.is_active(), "{}", state.unit_status.message);
    assert_ne!(told_workers(&state)["privkey_secret_id"], told_workers(&before)["privkey_secret_id"]);
    assert_eq!(published(&state, LOKI), published(&before, LOKI));
    run_at(&state, Event::UpdateStatus, NOW).assert_ok().assert_nothing_written();
}

#[test]
fn a_new_unit_of_a_cluster_with_tls_waits_for_its_certificate() {
    let out = run_at(&of_a_new_unit(false), Event::Start, NOW);
    out.assert_ok();
    assert_eq!(out.state.containers["nginx"].file_text(CONFIG), None, "nothing is served in plain text");
    assert_eq!(out.state.unit_status.status, "waiting");
    let state = after_at(&sign(&out.state, NOW, NOW + LIFE), answered(), NOW);
    assert!(speaks_tls(&state) && state.unit_status.is_active(), "{}", state.unit_status.message);

    // Without the authority there is nothing to wait for.
    let state = after_at(&of_a_new_unit(false), Event::relation_broken("certificates", CA), NOW);
    assert!(nginx_conf(&state).contains("listen 4317;"));
}

#[test]
fn each_application_of_workers_is_granted_the_key_once() {
    let before = encrypted();
    let grown = before.clone().with_relation(worker(WORKERS + 1, "more", "querier", 1));
    let out = run_at(&grown, Event::relation_joined("tempo-cluster", WORKERS + 1, "more/0"), NOW);
    out.assert_ok();
    let grants: Vec<_> = out.writes().filter(|call| call.tool == "secret-grant").collect();
    assert_eq!(grants.len(), 1);
    assert!(grants[0].args.contains(&format!("tempo-cluster:{}", WORKERS + 1)));
    let key = out.state.secret_by_label(KEY_LABEL).unwrap();
    let readers: Vec<&str> = key.access.iter().map(|access| access.target.as_str()).collect();
    assert_eq!(readers, ["application-more", "application-worker"]);
}

/// Juju refuses what is granted to them when the hook ends, and whoever is refused cannot let them go.
#[test]
fn workers_that_are_being_removed_are_granted_nothing() {
    let follower = after_at(&with_key(related(complete()), 0).with_leader(false), Event::ConfigChanged, NOW);
    let certified = after_at(&sign(&follower, NOW, NOW + LIFE), answered(), NOW);
    let mut elected = certified.with_leader(true);
    elected.relation_mut("tempo-cluster", WORKERS).unwrap().dying = true;
    let is =
        |status: &str| GoalStatus { status: status.to_owned(), since: "2026-01-01 00:00:00Z".to_owned() };
    let goal = |own: &str, worker: &str| GoalState {
        units: [("tempo/0".to_owned(), is(own))].into(),
        relations: [("tempo-cluster".to_owned(), [("worker/0".to_owned(), is(worker))].into())].into(),
    };
    for (own, worker) in [("active", "dying"), ("dying", "active")] {
        let state = State { goal: Some(goal(own, worker)), ..elected.clone() };
        let out = run_at(&state, Event::LeaderElected, NOW);
        out.assert_ok();
        assert!(out.writes().all(|call| call.tool != "secret-grant"), "{own} {worker}");
    }
    // What Juju does to whoever tries.
    let state = State { goal: Some(goal("active", "active")), ..elected };
    let refused = run_at(&state, Event::LeaderElected, NOW).result.unwrap_err().to_string();
    assert!(refused.contains("which is not alive"), "{refused}");
}

/// Where secrets are kept may refuse to be read for a while.
#[test]
fn whatever_is_denied_neither_key_nor_tls_is_lost() {
    let before = encrypted();
    let undisturbed = run_at(&before, Event::UpdateStatus, NOW);
    for step in sweep(undisturbed.steps) {
        let context = context().with_fault(step, Fault::Refuse("permission denied".to_owned()));
        let out = run_in(&context, &before, Event::UpdateStatus, NOW);
        let state = &out.state;
        assert!(nginx_conf(state).contains("listen 4318 ssl;"), "step {step}");
        assert_eq!(pair(state), pair(&before), "step {step}");
        // Who does not know a worker's name may ask for a certificate without it, and keeps the one with it.
        assert_eq!(requests(state)[..1], requests(&before), "step {step}");
        assert_eq!(state.secrets, before.secrets, "step {step}");
    }
}

#[test]
fn a_certificate_whose_request_was_lost_stays_in_use_and_is_not_called_expired() {
    let mut state = encrypted();
    let old = pair(&state);
    let relation = state.relation_mut("certificates", CA).unwrap();
    relation.local_unit_data.remove("certificate_signing_requests");
    relation.remote_app_data.clear();
    // Others than this charm write our databag in a change of charm only, which this hook follows.
    let state = after_at(&state, Event::ConfigChanged, NOW);
    assert!(speaks_tls(&state) && pair(&state) == old);
    assert_eq!(requests(&state).len(), 1);
    says(&state, "[certificates] waiting for a new certificate");
    assert!(!state.unit_status.message.contains("expired"), "{:?}", state.unit_status);
}

#[test]
fn a_key_that_cannot_be_read_is_replaced_in_its_secret() {
    let broken = Secret::new("csecretwiththekey000", "unit-tempo-0", [("private-key", "not a key")]);
    let state = related(complete()).with_secret(broken.with_label(KEY_LABEL));
    let state = after_at(&state, Event::ConfigChanged, NOW);
    let key = state.secret_by_label(KEY_LABEL).unwrap();
    assert_eq!((state.secrets.len(), key.latest()), (1, 2));
    assert_eq!(requests(&state).len(), 1);
    let state = after_at(&sign(&state, NOW, NOW + LIFE), answered(), NOW);
    assert!(speaks_tls(&state));

    // The old revision is of no use to anybody, says Juju.
    let key = state.secret_by_label(KEY_LABEL).unwrap();
    let remove = |revision| {
        Event::SecretRemove(SecretEvent { uri: key.uri(), label: KEY_LABEL.into(), revision: Some(revision) })
    };
    let pruned = after_at(&state, remove(1), NOW);
    assert_eq!(pruned.secret_by_label(KEY_LABEL).unwrap().revisions.keys().collect::<Vec<_>>(), [&2]);
    run_at(&state, remove(2), NOW).assert_ok().assert_nothing_written();
}

#[test]
fn a_pair_that_nginx_refuses_leaves_the_one_before_in_use() {
    let before = encrypted();
    let due = NOW + LIFE * 9 / 10;
    let asking = after_at(&before, Event::UpdateStatus, due);
    let mut picky = sign(&asking, due, due + LIFE);
    let emerg = "nginx: [emerg] SSL_CTX_use_certificate: ca md too weak\n";
    let nginx = picky.containers.get_mut("nginx").unwrap();
    let handlers = std::mem::take(&mut nginx.execs);
    nginx.execs.push(ExecHandler::new(["nginx", "-t"]).failing(1, emerg));
    let out = run_at(&picky, answered(), due);
    out.assert_ok();
    assert_eq!(pair(&out.state), pair(&before));
    assert_eq!(reloads(&out), 0);
    assert!(out.state.unit_status.message.contains("ca md too weak"));
    let files = &out.state.containers["nginx"].files;
    let keys = files.values().filter(|file| file.text().contains("PRIVATE KEY")).count();
    assert_eq!(keys, 1, "no key lies about: {:?}", files.keys());

    let mut well = out.state;
    well.containers.get_mut("nginx").unwrap().execs = handlers;
    let out = run_at(&well, Event::UpdateStatus, due);
    out.assert_ok();
    assert_eq!(presented(&out.state).not_after, due + LIFE);
    assert!(out.state.unit_status.is_active());
}

/// nginx is asked about the very certificates that it is to present, from another file than the one in use.
#[test]
fn nginx_checks_new_certificates_before_they_replace_the_old_ones() {
    let due = NOW + LIFE * 9 / 10;
    let asking = after_at(&encrypted(), Event::UpdateStatus, due);
    let state = sign(&asking, due, due + LIFE);
    let old = pair(&state);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = seen.clone();
    let context = context().with_exec_hook("nginx", move |_, container| {
        let candidate = container.file_text("/etc/nginx/nginx.conf.candidate").unwrap();
        let path = candidate.lines().find_map(|line| line.trim().strip_prefix("ssl_certificate ")).unwrap();
        let text = container.file_text(path.trim_end_matches(';')).unwrap();
        log.lock().unwrap().push((text, container.file_text(PAIR).unwrap()));
        None
    });
    let out = run_in(&context, &state, answered(), due);
    out.assert_ok();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    let (checked, meanwhile) = &seen[0];
    assert!(*checked == pair(&out.state) && *meanwhile == old && *checked != old);
}

#[test]
fn whatever_the_authority_says_tls_stays_and_nobody_fails() {
    let before = encrypted();
    let good = before.relation("certificates", CA).unwrap().remote_app_data["certificates"].clone();
    let csr = requests(&before).remove(0);
    let entry = |certificate: &str, ca: &str, chain: serde_json::Value| {
        serde_json::json!([{"certificate_signing_request": csr, "certificate": certificate, "ca": ca, "chain": chain}])
            .to_string()
    };
    let other =
        request(&PrivateKey::generate().unwrap(), &RequestAttributes::server("x", ["x"]), "x").unwrap();
    let other = AUTHORITY.sign(&other, NOW, NOW + LIFE).unwrap();
    let hostile = [
        String::new(),
        "null".into(),
        "[]".into(),
        "{}".into(),
        "7".into(),
        "[null, 7, {}, []]".into(),
        "not json".into(),
        "\u{feff}[".into(),
        entry("", "", serde_json::Value::Null),
        entry(
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "x",
            serde_json::json!(["", "y"]),
        ),
        entry(&other.certificate, &other.ca, serde_json::json!(other.chain)),
        entry("a;\n}\nserver {", "ssl_certificate x;", serde_json::json!(["\u{0}"])),
        good.replace("MII", "AAA"),
        good.replace('"', ""),
    ];
    for text in hostile {
        for errors in ["", "[{}]", r#"[{"csr": 1, "error": {}}]"#, "x"] {
            let mut state = before.clone();
            let data = &mut state.relation_mut("certificates", CA).unwrap().remote_app_data;
            data.clear();
            data.extend([
                ("certificates".to_owned(), text.clone()),
                ("request_errors".to_owned(), errors.to_owned()),
            ]);
            data.retain(|_, value| !value.is_empty());
            let out = run_at(&state, answered(), NOW);
            out.assert_ok();
            assert!(speaks_tls(&out.state), "{text}");
            assert_eq!(pair(&out.state), pair(&before), "{text}");
            assert!(out.state.unit_status.is_active() && !out.state.unit_status.message.contains('\n'));
        }
    }
    // Rubbish of our own is dropped and asked for anew.
    let mut state = before.clone();
    let bag = &mut state.relation_mut("certificates", CA).unwrap().local_unit_data;
    bag.insert(
        "certificate_signing_requests".to_owned(),
        "[{\"certificate_signing_request\": \"x\"}]".to_owned(),
    );
    let state = after_at(&state, Event::ConfigChanged, NOW);
    assert_eq!(requests(&state).len(), 1);
    assert!(ParsedRequest::parse(&requests(&state)[0]).is_ok());
}

#[test]
fn the_key_shows_nowhere() {
    let state = just_answered();
    // The first lines of a key are the public half, which is in the certificate too.
    let body: Vec<&str> = KEY.to_pem().lines().rev().skip(1).take(10).collect();
    let shows = |text: &str| body.iter().any(|line| text.contains(line)) || text.contains("PRIVATE KEY");
    for event in [answered(), Event::action("plan", [])] {
        let out = context().with_log_level(Level::TRACE).run(&state, event, crate::scene::charm);
        out.assert_ok();
        assert!(!shows(&out.log_text()));
        for call in &out.calls {
            assert!(!shows(&format!("{call:?}")), "{}", call.tool);
        }
        for relation in &out.state.relations {
            assert!(!shows(&format!("{:?} {:?}", relation.local_app_data, relation.local_unit_data)));
        }
        if let Some(action) = &out.action {
            let text = serde_json::to_string(&action.results).unwrap();
            assert!(!shows(&text) && text.contains("[redacted]"));
            assert!(text.contains("nginx: write /etc/nginx/certs/server.key"), "{text}");
            assert!(text.contains("grant to worker"), "{text}");
        }
    }
    let asking = run(&related(complete()), Event::action("plan", []));
    let results = serde_json::to_string(&asking.action.as_ref().unwrap().results).unwrap();
    assert!(
        results.contains("make a private key") && results.contains("certificates:40: ask for a certificate")
    );
    assert_eq!((asking.state.secrets.len(), requests(&asking.state).len()), (0, 0));
}

/// What was related before and what comes later makes no difference.
#[test]
fn a_requirer_that_comes_later_gets_the_encrypted_url() {
    let state = without(&encrypted(), GRAFANA);
    let state = state.with_relation(crate::scene::requirer(GRAFANA, "grafana", r#"["zipkin"]"#));
    let state = after_at(&state, Event::relation_changed("tracing", GRAFANA), NOW);
    assert!(published(&state, GRAFANA).contains(&"zipkin https://tempo.obs.svc.cluster.local:9411".into()));
}

/// An authority that writes anything at all, and one whose good answer is damaged somewhere.
#[test]
fn authorities_may_write_anything() {
    let before = encrypted();
    let good = before.relation("certificates", CA).unwrap().remote_app_data["certificates"].clone();
    let known = prop::sample::select(vec![
        "null",
        "0",
        "[]",
        "{}",
        "[null]",
        "[[]]",
        "[{}]",
        "\"\"",
        "[{\"ca\": 1}]",
        "\u{feff}",
        "a;}\nserver{}",
        "\u{0}",
    ]);
    let damage = (
        any::<prop::sample::Index>(),
        0..40_usize,
        prop::sample::select(vec!["", "A", "\"", "\\n", "}", "é", "\\u0000"]),
    );
    let damaged = damage.prop_map(move |(at, length, instead)| {
        let at = at.index(good.len());
        format!("{}{instead}{}", &good[..at], &good[(at + length).min(good.len())..])
    });
    let value = || prop_oneof![3 => damaged.clone(), 1 => known.clone().prop_map(str::to_owned), 1 => any::<String>()];
    let bag = (value(), value(), value());
    let config = ProptestConfig { cases: cases(500), failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&bag, |(certificates, errors, capabilities)| {
            let mut state = before.clone();
            let data = &mut state.relation_mut("certificates", CA).unwrap().remote_app_data;
            data.clear();
            let texts =
                [("certificates", certificates), ("request_errors", errors), ("capabilities", capabilities)];
            data.extend(
                texts
                    .into_iter()
                    .filter(|(_, text)| !text.is_empty())
                    .map(|(key, text)| (key.to_owned(), text)),
            );
            let out = run_at(&state, answered(), NOW);
            prop_assert!(out.result.is_ok(), "{:?}", out.result);
            prop_assert!(speaks_tls(&out.state));
            prop_assert!(!out.state.unit_status.message.chars().any(char::is_control));
            Ok(())
        })
        .unwrap();
}
