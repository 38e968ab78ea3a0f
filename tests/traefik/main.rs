//! The charm's routes in a real Traefik, with spans that pass it. `cargo xtask traefik` makes the program and runs this.

#[path = "../system/model.rs"]
#[allow(dead_code)] // most of it is for the other tests
mod model;

use std::collections::{BTreeMap, BTreeSet};

use juju_sim::client::Request;
use serde_json::Value;

use model::{Model, up_with};

/// So that all five protocols are asked for.
const ALL_PROTOCOLS: &str = "always_enable_jaeger_grpc: true, always_enable_jaeger_thrift_http: true";
const RELATION: [&str; 2] = ["tempo:ingress", "way-in:traefik-route"];
const WAY_IN: &str = "way-in/0";
/// Where clients reach Traefik.
const HOST: &str = "way-in-0.way-in-endpoints.m.svc.cluster.local";
/// Where they reach the coordinator without it.
const INTERNAL: &str = "tempo.m.svc.cluster.local";
/// What everything in Traefik has a port of its own for.
const PORTS: [(&str, u16); 7] = [
    ("jaeger-grpc", 14250),
    ("jaeger-thrift-http", 14268),
    ("otlp-grpc", 4317),
    ("otlp-http", 4318),
    ("tempo-grpc", 9096),
    ("tempo-http", 3200),
    ("zipkin", 9411),
];

/// Levels of Traefik's log that something is amiss at.
const COMPLAINTS: [&str; 3] = [" WRN ", " ERR ", " FTL "];

/// What Traefik says of every route that takes all hosts, and of its own end.
fn is_known(line: &str) -> bool {
    let of_twin = line.contains("No domain found in rule ClientIP(") && line.ends_with("-tls@file");
    of_twin || line.contains("use of closed network connection")
}

/// A model with a Traefik in front that hands out its own name and this scheme.
fn up(scheme: &str, more: &[&str], relations: &[&str]) -> Model {
    let traefik =
        format!("way-in: {{charm: 'double:traefik', options: {{external_host: pod, scheme: {scheme}}}}}");
    let ingress = format!("'{}', '{}'", RELATION[0], RELATION[1]);
    let applications: Vec<&str> = more.iter().copied().chain([traefik.as_str()]).collect();
    let relations: Vec<&str> = relations.iter().copied().chain([ingress.as_str()]).collect();
    let model = up_with(ALL_PROTOCOLS, &applications, &relations);
    let there = model.client.exec(WAY_IN, None, &["test", "-x", "/charm/bin/traefik"]).unwrap();
    assert_eq!(there.code, 0, "`cargo xtask traefik` makes the program and runs this test");
    model
}

/// The URLs of all five protocols, which lead to this host.
#[track_caller]
fn receivers(model: &Model, scheme: &str, host: &str) -> Vec<(String, String)> {
    let receivers = model.receivers("orders");
    let of = |name: &str, prefix: &str, port: u16| (name.to_owned(), format!("{prefix}{host}:{port}"));
    let scheme = format!("{scheme}://");
    let expected = [
        of("jaeger_grpc", "", 14250),
        of("jaeger_thrift_http", &scheme, 14268),
        of("otlp_grpc", "", 4317),
        of("otlp_http", &scheme, 4318),
        of("zipkin", &scheme, 9411),
    ];
    assert_eq!(receivers, expected);
    receivers
}

/// The text of a file in Traefik's pod.
#[track_caller]
fn file(model: &Model, path: &str) -> String {
    let read = model.client.exec(WAY_IN, None, &["cat", path]).unwrap();
    assert_eq!(read.code, 0, "{}", read.stderr);
    read.stdout
}

/// What Traefik has passed on since it started: by entry point, the server and how it was asked, with the number of good
/// answers.
#[track_caller]
fn passed(model: &Model) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut passed = BTreeMap::<String, BTreeMap<String, usize>>::new();
    for line in file(model, "/var/log/traefik-access.log").lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        if request["OriginStatus"].as_u64().is_some_and(|status| (200..300).contains(&status)) {
            let servers = passed.entry(text("entryPointName")).or_default();
            *servers.entry(text("ServiceURL")).or_default() += 1;
        }
    }
    passed
}

/// The servers behind each receiver's entry point, as Traefik has used them.
fn servers(schemes: [&str; 2], units: &[u32]) -> BTreeMap<String, BTreeSet<String>> {
    let receivers = PORTS.into_iter().filter(|(name, _)| !name.starts_with("tempo"));
    receivers
        .map(|(name, port)| {
            let scheme = schemes[usize::from(!name.ends_with("grpc"))];
            let url = |unit| format!("{scheme}://tempo-{unit}.tempo-endpoints.m.svc.cluster.local:{port}");
            (name.to_owned(), units.iter().map(url).collect())
        })
        .collect()
}

fn names(passed: BTreeMap<String, BTreeMap<String, usize>>) -> BTreeMap<String, BTreeSet<String>> {
    passed.into_iter().map(|(entry_point, servers)| (entry_point, servers.into_keys().collect())).collect()
}

/// Traefik serves seven routers on so many servers each, all of it as it was told, and has complained of nothing.
#[track_caller]
fn accepted(model: &Model, units: usize) {
    let status = model.unit(WAY_IN).workload;
    let expected = format!("7 routers, {} servers", 7 * units);
    assert_eq!((status.current.as_str(), status.message), ("active", expected));
    let line = "exec 3<>/dev/tcp/127.0.0.1/8082; printf 'GET /api/rawdata HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    let answer = model.client.exec(WAY_IN, None, &["bash", "-c", line]).unwrap().stdout;
    let seen: Value = serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).unwrap();
    for (name, port) in PORTS {
        for twin in ["", "-tls"] {
            let router = &seen["routers"][format!("juju-m-tempo-{name}{twin}@file")];
            assert_eq!(router["status"], "enabled", "{router}");
            assert_eq!(router["using"], serde_json::json!([name]), "{router}");
            assert_eq!(router["tls"].is_object(), twin == "-tls", "{router}");
        }
        let service = &seen["services"][format!("juju-m-tempo-service-{name}@file")];
        assert_eq!(service["status"], "enabled", "{service}");
        let seen_up = service["serverStatus"].as_object().expect("a state for each server");
        assert_eq!(seen_up.len(), units, "{service}");
        assert!(
            seen_up.iter().all(|(url, state)| url.ends_with(&format!(":{port}")) && state == "UP"),
            "{service}"
        );
    }
    let log = model.container_log("way-in-0-traefik");
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| COMPLAINTS.iter().any(|level| line.contains(level)) && !is_known(line))
        .collect();
    assert_eq!(complaints, [""; 0]);
}

/// What a request without TLS to one of Traefik's ports is answered with: status line and the place it is sent to.
#[track_caller]
fn answer_in_plain_text(model: &Model, method: &str, port: u16) -> (String, String) {
    let request = format!(
        "{method} /v1/x HTTP/1.1\\r\\nHost: {HOST}:{port}\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n"
    );
    let line = format!("exec 3<>/dev/tcp/{HOST}/{port}; printf '{request}' >&3; cat <&3");
    let answer = model.client.exec("orders/0", None, &["bash", "-c", &line]).unwrap();
    let header = |name: &str| {
        let mut lines = answer.stdout.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let status = answer.stdout.split(' ').nth(1).unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    (status, header("location").unwrap_or_default())
}

#[test]
fn spans_pass_traefik_and_every_nginx_and_go_directly_when_it_leaves() {
    let model = up("http", &[], &[]);
    accepted(&model, 2);
    let through = receivers(&model, "http", HOST);
    for receiver in &through {
        let sent = model.send("orders/0", receiver, 50);
        assert_eq!((sent.accepted, sent.failed), (50, 0), "{receiver:?}: {:?}", sent.errors);
        assert_eq!(model.arrived(&receiver.0), 50, "{receiver:?}");
    }
    assert_eq!(names(passed(&model)), servers(["h2c", "http"], &[0, 1]));

    // Another unit is one more server.
    model.client.request(&Request::AddUnit { app: "tempo".into(), count: 1 }).unwrap();
    model.settle();
    accepted(&model, 3);
    for receiver in &through {
        let sent = model.send("orders/0", receiver, 50);
        assert_eq!((sent.accepted, sent.failed), (50, 0), "{receiver:?}: {:?}", sent.errors);
        assert_eq!(model.arrived(&receiver.0), 100, "{receiver:?}");
    }
    let before = passed(&model);
    assert_eq!(names(before.clone()), servers(["h2c", "http"], &[0, 1, 2]));

    model.client.remove_relation(RELATION[0], RELATION[1]).unwrap();
    model.settle();
    for receiver in receivers(&model, "http", INTERNAL) {
        let sent = model.send("orders/0", &receiver, 50);
        assert_eq!((sent.accepted, sent.failed), (50, 0), "{receiver:?}: {:?}", sent.errors);
        assert_eq!(model.arrived(&receiver.0), 150, "{receiver:?}");
    }
    assert_eq!(passed(&model), before);
    // Its ports are closed with its routes.
    for (_, port) in PORTS {
        let line = format!("</dev/tcp/{HOST}/{port}");
        assert_ne!(model.client.exec("orders/0", None, &["bash", "-c", &line]).unwrap().code, 0, "{port}");
    }
}

/// Spans arrive over TLS, and who comes without it is sent there for good.
#[track_caller]
fn encrypted(model: &Model, behind: [&str; 2]) {
    accepted(model, 2);
    let through = receivers(model, "https", HOST);
    let ca = file(model, "/etc/traefik/ca.crt");
    for receiver in &through {
        let sent = model.send_trusting(&ca, "orders/0", receiver, 50);
        assert_eq!((sent.accepted, sent.failed), (50, 0), "{receiver:?}: {:?}", sent.errors);
        assert_eq!(model.arrived(&receiver.0), 50, "{receiver:?}");
    }
    assert_eq!(names(passed(model)), servers(behind, &[0, 1]));
    for (name, port) in PORTS {
        let place = format!("https://{HOST}:{port}/v1/x");
        for (method, status) in [("GET", "301"), ("POST", "308")] {
            assert_eq!(
                answer_in_plain_text(model, method, port),
                (status.to_owned(), place.clone()),
                "{name}: {method}"
            );
        }
    }
    // Nothing is taken in plain text, gRPC no more than HTTP.
    for (protocol, url) in &through {
        let plain = (protocol.clone(), url.replacen("https://", "http://", 1));
        let sent = model.send("orders/0", &plain, 5);
        assert_eq!(sent.accepted, 0, "{plain:?}");
        assert_eq!(model.arrived(protocol), 50, "{plain:?}");
    }
}

#[test]
fn traefik_ends_tls_in_front_of_a_coordinator_without() {
    encrypted(&up("https", &[], &[]), ["h2c", "http"]);
}

#[test]
fn traefik_and_the_coordinator_both_speak_tls() {
    let authority = ["ca: {charm: 'double:certificates'}"];
    let model = up("https", &authority, &["'tempo:certificates', 'ca:certificates'"]);
    encrypted(&model, ["https", "https"]);
}
