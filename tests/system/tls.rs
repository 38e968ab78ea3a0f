//! Certificates come, change and go while spans are sent.

use juju_sim::client::{Request, UnitDetails};
use juju_sim::spans::Steady;

use crate::model::{Model, up_with};

const UNITS: [&str; 2] = ["tempo/0", "tempo/1"];
/// So that all five protocols are asked for.
const ALL_PROTOCOLS: &str = "always_enable_jaeger_grpc: true, always_enable_jaeger_thrift_http: true";
const AUTHORITY: &str = "ca: {charm: 'double:certificates'}";
const RELATION: [&str; 2] = ["tempo:certificates", "ca:certificates"];

/// A model with TLS from the beginning.
fn up() -> Model {
    up_with(ALL_PROTOCOLS, &[AUTHORITY], &["'tempo:certificates', 'ca:certificates'"])
}

/// The certificate of the authority.
#[track_caller]
fn authority(model: &Model) -> String {
    issued(&model.unit("tempo/0")).expect("a certificate").0
}

/// The authority's certificate and the unit's own, which answers the unit's newest request.
fn issued(unit: &UnitDetails) -> Option<(String, String)> {
    let relation = unit.relation_info.iter().find(|relation| relation.endpoint == "certificates")?;
    let array = |text: Option<&String>| serde_json::from_str::<Vec<serde_json::Value>>(text?).ok();
    let requests = array(relation.local_unit.get("certificate_signing_requests"))?;
    let wanted = requests.last()?["certificate_signing_request"].as_str()?.trim();
    let answers = array(relation.application_data.get("certificates"))?;
    let answer = answers.iter().find(|answer| {
        answer["certificate_signing_request"].as_str().is_some_and(|csr| csr.trim() == wanted)
    })?;
    Some((answer["ca"].as_str()?.to_owned(), answer["certificate"].as_str()?.to_owned()))
}

/// What a unit has told the workers, of one key.
fn told_workers(unit: &UnitDetails, key: &str) -> Option<String> {
    let relation = unit.relation_info.iter().find(|relation| relation.endpoint == "tempo-cluster")?;
    serde_json::from_str(relation.local_application_data.get(key)?).ok()
}

/// URLs as they are with TLS, or without.
#[track_caller]
fn receivers(model: &Model, scheme: &str) -> Vec<(String, String)> {
    let receivers = model.receivers("orders");
    let names: Vec<&str> = receivers.iter().map(|(protocol, _)| protocol.as_str()).collect();
    assert_eq!(names, ["jaeger_grpc", "jaeger_thrift_http", "otlp_grpc", "otlp_http", "zipkin"]);
    for (protocol, url) in &receivers {
        let host = if protocol.ends_with("grpc") { Some(url.as_str()) } else { url.strip_prefix(scheme) };
        let host = host.unwrap_or_else(|| panic!("{url} is not {scheme}"));
        assert!(host.starts_with("tempo.m.svc.cluster.local:"), "{url}");
    }
    receivers
}

/// Every span was taken, nothing was taken in plain text, and whatever was taken has arrived.
#[track_caller]
fn assert_clean(steady: &Steady) {
    assert_eq!(steady.protocols.len(), 5);
    for (protocol, counts) in &steady.protocols {
        let plain = counts.plain_text.as_ref().expect("plain text was tried");
        assert!(counts.failed == 0 && counts.accepted > 20, "{protocol}: {counts:#?}");
        assert!(plain.accepted == 0 && plain.tries > 20, "{protocol}: {counts:#?}");
    }
}

#[test]
fn tls_comes_with_a_relation_and_goes_with_it() {
    let model = up_with(ALL_PROTOCOLS, &[AUTHORITY], &[]);
    let plain = receivers(&model, "http://");
    model.client.integrate(RELATION[0], RELATION[1]).unwrap();
    model.settle();
    let encrypted = receivers(&model, "https://");
    for receiver in &encrypted {
        let sent = model.send_over_tls("orders/0", receiver, 30);
        assert_eq!((sent.accepted, sent.failed), (30, 0), "{receiver:?}: {:?}", sent.errors);
        assert_eq!(model.arrived(&receiver.0), 30, "{receiver:?}");
    }
    let pair = "test -s /etc/nginx/certs/server.cert && test -s /etc/nginx/certs/server.key";
    assert_eq!(UNITS.map(|unit| model.in_nginx(unit, pair).code), [0, 0]);

    model.client.remove_relation(RELATION[0], RELATION[1]).unwrap();
    model.settle();
    assert_eq!(receivers(&model, "http://"), plain);
    for receiver in &plain {
        let sent = model.send("orders/0", receiver, 10);
        assert_eq!((sent.accepted, sent.failed), (10, 0), "{receiver:?}: {:?}", sent.errors);
        assert_eq!(model.arrived(&receiver.0), 40, "{receiver:?}");
    }
    let left = "find /etc/nginx/certs /usr/local/share/ca-certificates -type f";
    assert_eq!(UNITS.map(|unit| model.in_nginx(unit, left).stdout), ["", ""]);
    let of_worker = model.client.exec("worker/0", None, &["ls", "/etc/worker"]).unwrap().stdout;
    assert_eq!(of_worker.trim(), "config.yaml");
}

#[test]
fn workers_and_certificates_change_under_traffic() {
    let model = up();
    let receivers = receivers(&model, "https://");
    let ca = authority(&model);
    let certificates = || UNITS.map(|unit| issued(&model.unit(unit)).map(|(_, own)| own));
    let masters = || UNITS.map(|unit| model.in_nginx(unit, "cat /tmp/nginx.pid").stdout);
    let (nginx, first) = (masters(), certificates());

    // Its name has to be in the certificate: nginx learns of the worker, and of the new certificate.
    let before = UNITS.map(|unit| model.reloads(unit));
    let sent = model.under_traffic("orders/0", &receivers, &ca, || {
        model.client.request(&Request::AddUnit { app: "worker".into(), count: 1 }).unwrap();
        model.settle();
    });
    assert_clean(&sent);
    let second = certificates();
    let worker = "DNS:worker-1.worker-endpoints.m.svc.cluster.local";
    for (unit, before) in UNITS.iter().zip(before) {
        let more = model.reloads(unit) - before;
        assert!((1..=2).contains(&more), "{unit} reloaded {more} times");
        let names =
            model.in_nginx(unit, "openssl x509 -noout -ext subjectAltName -in /etc/nginx/certs/server.cert");
        assert!(names.stdout.contains(worker), "{unit}: {names:?}");
    }
    assert!(first.iter().zip(&second).all(|(first, second)| first != second && second.is_some()));

    // The same requests, answered anew by the same authority.
    let before = UNITS.map(|unit| model.reloads(unit));
    let sent = model.under_traffic("orders/0", &receivers, &ca, || {
        model.client.run("ca/leader", "renew", []).unwrap();
        model.settle();
    });
    assert_clean(&sent);
    let third = certificates();
    assert!(second.iter().zip(&third).all(|(second, third)| second != third && third.is_some()));
    for (unit, (before, third)) in UNITS.iter().zip(before.iter().zip(third)) {
        assert_eq!(model.reloads(unit) - before, 1, "{unit}");
        let file = model.in_nginx(unit, "cat /etc/nginx/certs/server.cert").stdout;
        assert!(file.trim().starts_with(third.unwrap().trim()), "{unit}");
    }
    assert_eq!(masters(), nginx, "nginx was restarted");
    // A second hook finds nothing to do.
    let before = UNITS.map(|unit| model.reloads(unit));
    for unit in UNITS {
        model.dispatch(unit, "update-status");
    }
    model.settle();
    assert_eq!(UNITS.map(|unit| model.reloads(unit)), before);
}

#[test]
fn another_leader_hands_out_its_own_key_in_its_first_hook() {
    let model = up();
    let before = receivers(&model, "https://");
    let secret = told_workers(&model.unit("tempo/leader"), "privkey_secret_id");
    let hooks = UNITS.map(|unit| model.unit(unit).hooks.len());
    let elected = model.client.request(&Request::KillLeader { app: "tempo".into() }).unwrap();
    let elected = elected.as_str().unwrap().to_owned();
    let before_election = hooks[UNITS.iter().position(|unit| *unit == elected).unwrap()];
    let mut leader = UnitDetails::default();
    model.until("the other unit has run its first hook as leader", |model| {
        leader = model.unit(&elected);
        leader.hooks[before_election..].iter().any(|hook| hook == "leader-elected")
    });
    let own = issued(&leader).map(|(_, own)| own.trim().to_owned());
    assert!(own.is_some());
    assert_eq!(told_workers(&leader, "server_cert").map(|told| told.trim().to_owned()), own);
    assert_ne!(told_workers(&leader, "privkey_secret_id"), secret);
    model.settle();
    assert_eq!(receivers(&model, "https://"), before);
    for receiver in &before {
        let sent = model.send_over_tls("orders/0", receiver, 10);
        assert_eq!((sent.accepted, sent.failed), (10, 0), "{receiver:?}: {:?}", sent.errors);
    }
}
