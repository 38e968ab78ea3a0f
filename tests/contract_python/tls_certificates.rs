//! `tls-certificates`, with `charmlibs.interfaces.tls_certificates`: real keys, requests and certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use juju_ops::{SecretContent, UnitName};
use juju_relations::tls_certificates::{
    Authority, Capabilities, Decision, ErrorDetail, INTERFACE, KeyScope, PRIVATE_KEY, ParsedCertificate,
    ParsedRequest, PrivateKey, ProviderAppData, RequestAttributes, RequirerData, SigningRequest, Situation,
    StoredCertificate, certificate_label, decide, private_key_label, request,
};
use juju_sim::{Event, Relation, State};
use serde_json::{Value, json};

use crate::bags::{read, written};
use crate::peer::{Peer, plain};
use crate::scene::{GRAFANA, LOKI, WORKERS, after, alone, complete, run};

const ID: u32 = 30;
const DAY: i64 = 24 * 60 * 60;
const NAMES: [&str; 2] = ["tempo-0.tempo-endpoints.obs.svc.cluster.local", "tempo.obs.svc.cluster.local"];

/// Our unit in a relation in which nobody has written yet. Who signs and who asks depends on the test.
fn unwritten() -> State {
    alone().with_relation(Relation::new("certificates", ID, INTERFACE, "other"))
}

fn ours(state: &mut State) -> &mut Relation {
    state.relation_mut("certificates", ID).expect("the relation is there")
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
    i64::try_from(since.as_secs()).expect("some time before the end of time")
}

fn wanted() -> RequestAttributes {
    RequestAttributes::server("tempo", NAMES)
}

/// The same for the library.
fn wanted_in_python() -> Value {
    json!({"common_name": "tempo", "sans_dns": NAMES})
}

/// One of our units that needs a certificate.
struct OurRequirer {
    key: PrivateKey,
    wanted: RequestAttributes,
    asked: Vec<SigningRequest>,
    state: State,
}

impl OurRequirer {
    /// It has asked once.
    fn new(wanted: RequestAttributes) -> Self {
        let key = PrivateKey::generate().expect("a key");
        let mut requirer = Self { key, wanted, asked: Vec::new(), state: unwritten() };
        requirer.ask("0c2a3f5e-5a0e-4f6e-8f0a-3c8f1f6f2b11");
        requirer
    }

    fn ask(&mut self, unique_id: &str) {
        let csr = request(&self.key, &self.wanted, unique_id).expect("a request");
        self.asked.push(SigningRequest::new(csr, self.wanted.ca));
        self.publish();
    }

    fn publish(&mut self) {
        let data = RequirerData::new(self.asked.clone());
        ours(&mut self.state).local_unit_data = written(&data);
    }

    fn provider(&self) -> ProviderAppData {
        let bag = &self.state.relation("certificates", ID).expect("the relation is there").remote_app_data;
        read(bag)
    }

    fn decide(&self) -> Decision {
        let provider = self.provider();
        decide(Situation {
            wanted: &self.wanted,
            key: Some(&self.key),
            requested: &self.asked,
            provider: &provider,
            stored: &[],
            now: now(),
        })
    }
}

fn authority(options: Value) -> Peer {
    Peer::opposite("tls_certificates.Authority", options)
}

#[test]
fn a_python_authority_reads_in_our_request_what_we_want() {
    let mut requirer = OurRequirer::new(wanted());
    let heard = authority(json!({"wanted": wanted_in_python()})).hook("changed", &mut requirer.state, ID);
    let csr = &requirer.asked[0].certificate_signing_request;
    assert_eq!(heard.said["open"], 1);
    let label = certificate_label(&KeyScope::App, "certificates", csr);
    assert_eq!(
        heard.said["requests"],
        json!([{
            "pem": csr,
            "common_name": "tempo",
            "sans_dns": NAMES,
            "sans_ip": [],
            "organization": null,
            "organizational_unit": null,
            "email_address": null,
            "country_name": null,
            "state_or_province_name": null,
            "locality_name": null,
            "unique": true,
            "ca": false,
            "signature": true,
            "sha256": label.rsplit_once('-').unwrap().1,
            "wanted": true,
        }])
    );
}

#[test]
fn every_attribute_of_a_request_means_the_same_on_both_sides() {
    let wanted = RequestAttributes {
        organization: Some("Überall AG".into()),
        organizational_unit: Some("Betrieb".into()),
        email_address: Some("ops@example.com".into()),
        country_name: Some("CH".into()),
        state_or_province_name: Some("Zürich".into()),
        locality_name: Some("Zürich".into()),
        sans_ip: ["10.1.2.3".parse().unwrap(), "fd00::1".parse().unwrap()].into(),
        ca: true,
        ..RequestAttributes::server("tempo", NAMES)
    };
    let in_python = json!({
        "common_name": "tempo",
        "sans_dns": NAMES,
        "sans_ip": ["10.1.2.3", "fd00::1"],
        "organization": "Überall AG",
        "organizational_unit": "Betrieb",
        "email_address": "ops@example.com",
        "country_name": "CH",
        "state_or_province_name": "Zürich",
        "locality_name": "Zürich",
        "is_ca": true,
    });
    let mut requirer = OurRequirer::new(wanted.clone());
    let heard = authority(json!({"wanted": in_python})).hook("changed", &mut requirer.state, ID);
    assert_eq!(heard.said["requests"][0]["wanted"], true, "{}", heard.said);

    let mut state = unwritten();
    Peer::opposite("tls_certificates.Requirer", json!({"wanted": in_python})).hook("created", &mut state, ID);
    let asked: RequirerData = read(&ours(&mut state).remote_units["other/0"]);
    let [request] = &asked.certificate_signing_requests[..] else { panic!("{asked:?}") };
    let parsed = ParsedRequest::parse(&request.certificate_signing_request).unwrap();
    assert!(request.is_ca() && parsed.asks_for(&wanted), "{parsed:?}");
}

#[test]
fn a_certificate_of_a_python_authority_is_taken() {
    let mut requirer = OurRequirer::new(wanted());
    let heard = authority(json!({"answer": "sign"})).hook("changed", &mut requirer.state, ID);
    assert_eq!((&heard.said["open"], &heard.said["warnings"]), (&json!(0), &json!([])));

    let decision = requirer.decide();
    assert_eq!((decision.ask, decision.pending, &decision.problems), (false, false, &Vec::new()));
    assert_eq!(decision.keep, [requirer.asked[0].certificate_signing_request.as_str()]);
    let assigned = decision.in_use.expect("a certificate");
    assert_eq!(assigned.certificate, heard.said["issued"][0]["certificate"]);
    assert_eq!(assigned.chain, [assigned.certificate.as_str()], "the root is not served");
    assert!(assigned.is_wanted);
    let certificate = ParsedCertificate::parse(&assigned.certificate).unwrap();
    assert_eq!(certificate.sans_dns, wanted().sans_dns);
    assert_eq!(certificate.not_after - certificate.not_before, 30 * DAY);
    assert!(certificate.names_issuer(&ParsedCertificate::parse(&assigned.ca).unwrap()));
}

#[test]
fn the_authority_between_is_served_with_the_certificate() {
    let mut requirer = OurRequirer::new(wanted());
    let heard =
        authority(json!({"answer": "sign", "between": true})).hook("changed", &mut requirer.state, ID);
    assert_eq!(heard.said["issued"][0]["ordered"], true);
    let assigned = requirer.decide().in_use.expect("a certificate");
    assert_eq!(assigned.chain.len(), 2);
    assert_eq!(assigned.chain[1], assigned.ca);
}

#[test]
fn a_python_authority_may_sign_with_elliptic_curves() {
    let mut requirer = OurRequirer::new(wanted());
    authority(json!({"answer": "sign", "algorithm": "ecdsa"})).hook("changed", &mut requirer.state, ID);
    let decision = requirer.decide();
    assert!(decision.in_use.is_some(), "{decision:?}");
}

#[test]
fn a_certificate_for_an_authority_is_not_taken_for_ours() {
    let mut requirer = OurRequirer::new(wanted());
    authority(json!({"answer": "sign", "as_authority": true})).hook("changed", &mut requirer.state, ID);
    let decision = requirer.decide();
    assert_eq!((decision.in_use, decision.pending), (None, true));
    assert_eq!(decision.problems, ["certificate: for an authority"]);
}

#[test]
fn every_refusal_of_a_python_authority_is_understood() {
    for (name, code) in [
        ("IP_NOT_ALLOWED", ErrorDetail::IP_NOT_ALLOWED),
        ("DOMAIN_NOT_ALLOWED", ErrorDetail::DOMAIN_NOT_ALLOWED),
        ("WILDCARD_NOT_ALLOWED", ErrorDetail::WILDCARD_NOT_ALLOWED),
        ("SERVER_NOT_AVAILABLE", ErrorDetail::SERVER_NOT_AVAILABLE),
        ("OTHER", ErrorDetail::OTHER),
    ] {
        let mut requirer = OurRequirer::new(wanted());
        let heard =
            authority(json!({"answer": "deny", "code": name})).hook("changed", &mut requirer.state, ID);
        assert_eq!(heard.said["errors"][0]["code"], code);
        let decision = requirer.decide();
        let expected =
            ErrorDetail { provider: Some("authority".into()), ..ErrorDetail::new(code, "not here") };
        assert_eq!((decision.denied, decision.ask, decision.pending), (Some(expected), false, false));
    }
}

#[test]
fn what_a_python_authority_refuses_first_and_signs_later_is_taken() {
    let mut requirer = OurRequirer::new(wanted());
    let mut authority = authority(json!({"answer": "deny", "code": "SERVER_NOT_AVAILABLE"}));
    authority.hook("changed", &mut requirer.state, ID);
    authority.wants(json!({"answer": "sign"}));
    let heard = authority.hook("changed", &mut requirer.state, ID);
    assert_eq!(heard.said["errors"], json!([]));
    let decision = requirer.decide();
    assert!(decision.in_use.is_some() && decision.denied.is_none());
}

#[test]
fn a_certificate_that_a_python_authority_revokes_is_asked_for_anew() {
    let mut requirer = OurRequirer::new(wanted());
    let mut authority = authority(json!({"answer": "sign"}));
    authority.hook("changed", &mut requirer.state, ID);
    let first = requirer.decide().in_use.expect("a certificate");

    authority.wants(json!({"revoke": true}));
    authority.hook("changed", &mut requirer.state, ID);
    let decision = requirer.decide();
    assert_eq!((decision.in_use, decision.ask, decision.keep), (None, true, Vec::<String>::new()));

    requirer.asked.clear();
    requirer.ask("f6b2a0e6-0c4e-4a25-a6f6-b1c5e4b6a1d2");
    authority.wants(json!({"answer": "sign"}));
    let heard = authority.hook("changed", &mut requirer.state, ID);
    assert_eq!(heard.said["open"], 0);
    let second = requirer.decide().in_use.expect("a certificate");
    assert_ne!(first.certificate, second.certificate);
}

#[test]
fn a_request_beside_the_one_in_use_is_answered_without_touching_it() {
    let mut requirer = OurRequirer::new(wanted());
    let mut authority = authority(json!({"answer": "sign"}));
    authority.hook("changed", &mut requirer.state, ID);
    requirer.wanted.sans_dns.insert("another.example".into());
    let decision = requirer.decide();
    assert!(decision.ask && decision.in_use.is_some_and(|assigned| !assigned.is_wanted));

    requirer.ask("f6b2a0e6-0c4e-4a25-a6f6-b1c5e4b6a1d2");
    let heard = authority.hook("changed", &mut requirer.state, ID);
    assert_eq!(heard.said["issued"].as_array().map(Vec::len), Some(2));
    let decision = requirer.decide();
    assert_eq!(decision.keep, [requirer.asked[1].certificate_signing_request.as_str()]);
    assert!(decision.in_use.is_some_and(|assigned| assigned.is_wanted));

    // What is not asked for any more, it forgets.
    requirer.asked.remove(0);
    requirer.publish();
    let heard = authority.hook("changed", &mut requirer.state, ID);
    assert_eq!(heard.said["issued"].as_array().map(Vec::len), Some(1));
    assert!(requirer.decide().in_use.is_some_and(|assigned| assigned.is_wanted));
}

/// A requirer in Python, whose relation our authority signs in.
fn python_requirer(options: &Value) -> (Peer, State, RequirerData) {
    let mut requirer = Peer::opposite("tls_certificates.Requirer", options.clone());
    let mut state = unwritten();
    let heard = requirer.hook("created", &mut state, ID);
    let asked: RequirerData = read(&ours(&mut state).remote_units["other/0"]);
    assert_eq!(asked.problems, Vec::<String>::new());
    assert_eq!(
        heard.said["asked"],
        json!([asked.certificate_signing_requests[0].certificate_signing_request])
    );
    (requirer, state, asked)
}

fn our_authority() -> Authority {
    Authority::new("a root in Rust", now() - DAY, now() + 365 * DAY).expect("an authority")
}

fn publish(state: &mut State, answers: &ProviderAppData) {
    ours(state).local_app_data = written(answers);
}

#[test]
fn a_python_requirer_takes_the_certificate_that_we_sign() {
    let (mut requirer, mut state, asked) = python_requirer(&json!({"wanted": wanted_in_python()}));
    let csr = &asked.certificate_signing_requests[0].certificate_signing_request;
    assert!(ParsedRequest::parse(csr).unwrap().asks_for(&wanted()));

    let authority = our_authority().with_intermediate("between", now() - DAY, now() + 90 * DAY).unwrap();
    let issued = authority.sign(csr, now() - 60, now() + 30 * DAY).expect("a certificate");
    let mut answers = ProviderAppData::default();
    answers.answer(issued.clone());
    publish(&mut state, &answers);
    let heard = requirer.hook("changed", &mut state, ID);
    assert_eq!(heard.emitted, ["CertificateAvailableEvent"]);
    assert_eq!(
        heard.said["assigned"],
        json!({
            "certificate": issued.certificate,
            "ca": authority.issuer(),
            "chain": [issued.certificate, authority.issuer(), authority.root()],
            "ordered": true,
            "of_the_key": true,
            "of_the_request": true,
            "common_name": "tempo",
            "sans_dns": NAMES,
            "sans_ip": [],
            "is_ca": false,
        })
    );
    assert_eq!(heard.said["warnings"], json!([]));
}

#[test]
fn a_python_requirer_is_told_why_we_refuse() {
    let (mut requirer, mut state, asked) = python_requirer(&json!({"wanted": wanted_in_python()}));
    let mut answers = ProviderAppData::default();
    let error = ErrorDetail::new(ErrorDetail::DOMAIN_NOT_ALLOWED, "only example.com");
    answers.refuse(asked.certificate_signing_requests[0].certificate_signing_request.as_str(), error);
    publish(&mut state, &answers);
    let heard = requirer.hook("changed", &mut state, ID);
    assert_eq!(heard.emitted, ["CertificateDeniedEvent"]);
    let denied = &heard.said["denied"];
    assert_eq!(
        (&denied["code"], &denied["name"], &denied["message"]),
        (&json!(102), &json!("domain_not_allowed"), &json!("only example.com"))
    );
}

#[test]
fn capabilities_mean_the_same_on_both_sides() {
    let capabilities = json!({
        "supports_ip_sans": true,
        "supports_wildcard_dns": false,
        "supports_subdomain": true,
        "supports_ca_certificates": false,
        "allowed_domains": ["example.com"],
        "provider_type": "vault",
    });
    let ours: Capabilities = serde_json::from_value(capabilities.clone()).unwrap();

    let (mut requirer, mut state, _) = python_requirer(&json!({"wanted": wanted_in_python()}));
    publish(&mut state, &ProviderAppData { capabilities: Some(ours.clone()), ..ProviderAppData::default() });
    assert_eq!(requirer.hook("changed", &mut state, ID).said["capabilities"], capabilities);

    let mut requirer = OurRequirer::new(wanted());
    authority(json!({"capabilities": capabilities})).hook("changed", &mut requirer.state, ID);
    assert_eq!(requirer.provider().capabilities, Some(ours));
}

/// The secret of our state with this label.
#[track_caller]
fn content(state: &State, label: &str) -> SecretContent {
    let found = state.secret_by_label(label);
    let secret = found.unwrap_or_else(|| panic!("no {label} among {:?}", state.secrets));
    plain(secret).into_iter().collect()
}

/// Who the unit of our states is.
fn unit() -> KeyScope {
    KeyScope::Unit(UnitName::new("tempo", 0))
}

#[test]
fn we_understand_the_key_and_the_certificate_of_a_predecessor_in_python() {
    // The charm that was here before asked and was answered.
    let mut state = unwritten();
    let mut before = Peer::in_our_place("tls_certificates.Requirer", json!({"wanted": wanted_in_python()}));
    before.hook("created", &mut state, ID);
    authority(json!({"answer": "sign"})).hook("changed", &mut state, ID);
    before.hook("changed", &mut state, ID);

    let asked: RequirerData = read(&ours(&mut state).local_unit_data);
    let csr = &asked.certificate_signing_requests[0].certificate_signing_request;
    let key = content(&state, &private_key_label(&unit(), "certificates"));
    let key = PrivateKey::from_pem(key.get(PRIVATE_KEY).expect("a key")).expect("a key");
    let label = certificate_label(&unit(), "certificates", csr);
    let stored = StoredCertificate::from_content(&label, &content(&state, &label)).expect("a certificate");

    let provider: ProviderAppData = read(&ours(&mut state).remote_app_data);
    let decision = decide(Situation {
        wanted: &wanted(),
        key: Some(&key),
        requested: &asked.certificate_signing_requests,
        provider: &provider,
        stored: &[stored],
        now: now(),
    });
    assert_eq!((decision.ask, decision.keep), (false, vec![csr.clone()]));
    assert!(decision.in_use.is_some_and(|assigned| assigned.is_wanted));
    // Its databag, written by us, is the same text, so that nobody is woken.
    assert_eq!(written(&asked), ours(&mut state).local_unit_data);
}

/// Our charm, which has asked for a certificate.
fn asking() -> State {
    let relation = Relation::new("certificates", ID, INTERFACE, "authority");
    let relation = relation.with_remote_unit(0, [] as [(&str, &str); 0]);
    after(&complete().with_relation(relation), Event::relation_created("certificates", ID))
}

/// Our charm, which has a certificate of this authority.
fn certified(authority: &mut Peer) -> State {
    let mut state = asking();
    let heard = authority.hook("changed", &mut state, ID);
    assert_eq!((&heard.said["open"], &heard.said["warnings"]), (&json!(0), &json!([])));
    after(&state, Event::relation_changed("certificates", ID))
}

/// What the charm asks for, for the library.
fn asked_in_python(state: &mut State) -> Value {
    let asked: RequirerData = read(&ours(state).local_unit_data);
    let [request] = &asked.certificate_signing_requests[..] else { panic!("{asked:?}") };
    let attributes =
        ParsedRequest::parse(&request.certificate_signing_request).expect("a request").attributes;
    json!({"common_name": attributes.common_name, "sans_dns": attributes.sans_dns})
}

#[test]
fn with_a_python_authority_the_whole_charm_speaks_tls() {
    let mut state = certified(&mut authority(json!({"answer": "sign", "between": true})));
    assert!(state.unit_status.is_active(), "{:?}", state.unit_status);
    let served = state.containers["nginx"].file_text("/etc/nginx/certs/server.cert").expect("a certificate");
    assert_eq!(served.matches("BEGIN CERTIFICATE").count(), 2, "{served}");

    // A requirer in Python is sent to https, and a worker in Python has all that it takes to be there.
    let mut requirer = Peer::opposite("tracing.Requirer", json!({"protocols": ["zipkin", "otlp_http"]}));
    let heard = requirer.hook("changed", &mut state, GRAFANA);
    assert_eq!(heard.said["endpoints"]["otlp_http"], "https://tempo.obs.svc.cluster.local:4318");
    let heard = Peer::opposite("tracing.Traced", json!({})).hook("changed", &mut state, LOKI);
    assert_eq!(heard.said, "https://tempo.obs.svc.cluster.local:4318/v1/traces");
    let options = json!({"roles": ["all"], "address": "worker-0.worker-endpoints.obs.svc.cluster.local"});
    let heard = Peer::opposite("tempo_cluster.Worker", options).hook("changed", &mut state, WORKERS);
    let tls = &heard.said["tls"];
    let text = |part: &str| tls[part].as_str().unwrap_or_else(|| panic!("no {part} in {}", heard.said));
    let key = PrivateKey::from_pem(text("key")).expect("a key");
    let certificate = ParsedCertificate::parse(text("certificate")).expect("a certificate");
    assert_eq!(certificate.public_key, *key.public_key());
    assert!(certificate.names_issuer(&ParsedCertificate::parse(text("ca")).expect("a certificate")));
}

#[test]
fn the_charm_takes_over_from_a_predecessor_in_python_without_a_word() {
    // The charm that was here before had everything settled, for the names that are wanted now too.
    let mut state = asking();
    let wanted = asked_in_python(&mut state);
    let mut state = asking_nobody();
    let mut before = Peer::in_our_place("tls_certificates.Requirer", json!({"wanted": wanted}));
    before.hook("created", &mut state, ID);
    authority(json!({"answer": "sign"})).hook("changed", &mut state, ID);
    let heard = before.hook("changed", &mut state, ID);
    let label = private_key_label(&unit(), "certificates");
    let key = content(&state, &label);

    let out = run(&state, Event::UpgradeCharm);
    out.assert_ok();
    assert_eq!(out.relation("certificates", ID), state.relation("certificates", ID).unwrap());
    assert_eq!(content(&out.state, &label), key);
    let served =
        out.state.containers["nginx"].file_text("/etc/nginx/certs/server.cert").expect("a certificate");
    assert_eq!(heard.said["assigned"]["certificate"], served.trim());
    run(&out.state, Event::UpdateStatus).assert_ok().assert_nothing_written();
}

/// Everything is there, but our charm has not run yet.
fn asking_nobody() -> State {
    let relation = Relation::new("certificates", ID, INTERFACE, "authority");
    complete().with_relation(relation.with_remote_unit(0, [] as [(&str, &str); 0]))
}

#[test]
fn a_successor_in_python_goes_on_with_our_key_and_our_certificate() {
    let mut state = certified(&mut authority(json!({"answer": "sign"})));
    let before = state.clone();
    let wanted = asked_in_python(&mut state);
    let mut after = Peer::in_our_place("tls_certificates.Requirer", json!({"wanted": wanted}));
    let heard = after.hook("changed", &mut state, ID);
    let served = state.containers["nginx"].file_text("/etc/nginx/certs/server.cert").expect("a certificate");
    assert_eq!(heard.said["assigned"]["certificate"], served.trim());
    assert_eq!(heard.said["assigned"]["of_the_key"], true);
    assert_eq!(state.relation("certificates", ID), before.relation("certificates", ID));
    // No key and no certificate was made or stored anew.
    assert_eq!(state.secrets, before.secrets);
}
