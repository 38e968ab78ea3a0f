//! What requirers are told while ingresses come, change and go.

use crate::model::{Model, up_with};

/// One kind of ingress: its stand-in, the relation with it, and how it is made to hand out another host.
struct Kind {
    application: &'static str,
    relation: [&'static str; 2],
    endpoint: &'static str,
    host: &'static str,
    encrypt: (&'static str, &'static str),
}

const TRAEFIK: Kind = Kind {
    application: "way-in: {charm: 'double:traefik', options: {external_host: edge.example.net}}",
    relation: ["tempo:ingress", "way-in:traefik-route"],
    endpoint: "ingress",
    host: "edge.example.net",
    encrypt: ("scheme", "https"),
};
const ISTIO: Kind = Kind {
    application: "way-in: {charm: 'double:istio-ingress', options: {external_host: mesh.example.net}}",
    relation: ["tempo:istio-ingress", "way-in:istio-ingress-route"],
    endpoint: "istio-ingress",
    host: "mesh.example.net",
    encrypt: ("tls", "true"),
};

/// What has been published to `orders`.
fn published(scheme: &str, host: &str) -> Vec<(String, String)> {
    let urls = [("otlp_grpc", format!("{host}:4317")), ("otlp_http", format!("{scheme}://{host}:4318"))];
    let zipkin = ("zipkin", format!("{scheme}://{host}:9411"));
    urls.into_iter().chain([zipkin]).map(|(protocol, url)| (protocol.to_owned(), url)).collect()
}

/// The hooks that the leader ran between the moment when something was there to be seen and the one when `orders` was
/// told.
#[track_caller]
fn hooks_between(model: &Model, seen: impl Fn(&Model) -> bool, told: &[(String, String)]) -> usize {
    let hooks = || model.unit("tempo/0").hooks.len();
    model.until("it is there to be seen", seen);
    let before = hooks();
    model.until("it is published", |model| model.receivers("orders") == told);
    hooks() - before
}

fn comes_changes_and_goes(kind: &Kind) {
    let model = up_with("", &[kind.application], &[]);
    let internal = published("http", "tempo.m.svc.cluster.local");
    assert_eq!(model.receivers("orders"), internal);

    model.client.integrate(kind.relation[0], kind.relation[1]).unwrap();
    let handed_out = |model: &Model, key: &str| {
        let relation = model.unit("tempo/0").relation_info.into_iter().find(|r| r.endpoint == kind.endpoint);
        relation.and_then(|relation| relation.application_data.get(key).cloned())
    };
    // The hook that is at work when the host appears may not have seen it; the next one does.
    let external = published("http", kind.host);
    let hooks = hooks_between(&model, |model| handed_out(model, "external_host").is_some(), &external);
    assert!(hooks <= 2, "{hooks} hooks");
    model.settle();
    assert_eq!(model.receivers("payments"), external);

    let before = format!("{:?}", model.relation("tempo/0", kind.endpoint).application_data);
    model.client.configure("way-in", kind.encrypt.0, kind.encrypt.1).unwrap();
    let encrypted = published("https", kind.host);
    let changed =
        |model: &Model| format!("{:?}", model.relation("tempo/0", kind.endpoint).application_data) != before;
    let hooks = hooks_between(&model, changed, &encrypted);
    assert!(hooks <= 2, "{hooks} hooks");
    model.settle();
    // It is the ingress that speaks TLS: the units go on without.
    for receiver in &internal {
        assert_eq!(model.send("orders/0", receiver, 5).accepted, 5, "{receiver:?}");
    }

    let hooks = model.unit("tempo/0").hooks.len();
    model.client.remove_relation(kind.relation[0], kind.relation[1]).unwrap();
    model.until("the relation's last hook has run", |model| {
        let broken = format!("{}-relation-broken", kind.endpoint);
        model.unit("tempo/0").hooks[hooks..].contains(&broken)
    });
    assert_eq!(model.receivers("orders"), internal);
    model.settle();
    assert_eq!(model.receivers("orders"), internal);
}

#[test]
fn urls_follow_traefik_and_come_back() {
    comes_changes_and_goes(&TRAEFIK);
}

#[test]
fn urls_follow_istio_and_come_back() {
    comes_changes_and_goes(&ISTIO);
}

#[test]
fn of_two_ingresses_none_is_published_until_one_is_left() {
    let second = ISTIO.application.replacen("way-in", "gateway", 1);
    let model = up_with("", &[TRAEFIK.application, &second], &["'tempo:ingress', 'way-in:traefik-route'"]);
    assert_eq!(model.receivers("orders"), published("http", TRAEFIK.host));
    model.client.integrate("tempo:istio-ingress", "gateway:istio-ingress-route").unwrap();
    model.until("no ingress is published", |model| {
        model.receivers("orders") == published("http", "tempo.m.svc.cluster.local")
    });
    model.client.settle(crate::model::PATIENCE).unwrap();
    model.client.remove_relation("tempo:ingress", "way-in:traefik-route").unwrap();
    model.settle();
    assert_eq!(model.receivers("orders"), published("http", ISTIO.host));
}
