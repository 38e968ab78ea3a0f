//! `istio_ingress_route`, with `charmlibs.interfaces.istio_ingress_route`.

use juju_relations::istio_ingress_route::{
    Backend, Config, GrpcFilter, GrpcMatch, GrpcMethod, GrpcRoute, HttpFilter, HttpMatch, HttpRoute,
    INTERFACE, Listener, Method, PathMatch, PathMatchType, PathModifier, ProtocolType, ProviderAppData,
    RequestRedirect, RequirerAppData, UrlRewrite,
};
use juju_sim::{Event, Relation, State};
use serde_json::{Value, json};

use crate::bags::{said, written};
use crate::peer::Peer;
use crate::scene::{LOKI, after, alone, complete, published};

const ID: u32 = 40;

fn unwritten() -> State {
    alone().with_relation(Relation::new("istio-ingress", ID, INTERFACE, "other"))
}

fn ours(state: &mut State) -> &mut Relation {
    state.relation_mut("istio-ingress", ID).expect("the relation is there")
}

fn gateway(tls: bool) -> Peer {
    Peer::opposite("istio_ingress_route.Gateway", json!({"host": "mesh.example.net", "tls": tls}))
}

fn listener(port: u16, protocol: ProtocolType) -> Listener {
    Listener { port, protocol }
}

fn backends() -> Vec<Backend> {
    vec![Backend { service: "tempo".into(), port: 3200, weight: Some(100) }]
}

/// One of each thing that can be asked for.
fn everything() -> Config {
    let redirect = RequestRedirect {
        scheme: Some("https".into()),
        hostname: Some("other.example.net".into()),
        path: Some(PathModifier::ReplaceFullPath { value: "/moved".into() }),
        port: Some(8443),
        status_code: 302,
    };
    let rewrite = UrlRewrite {
        hostname: Some("backend.example.net".into()),
        path: Some(PathModifier::ReplacePrefixMatch { value: "/".into() }),
    };
    let headers = Some([("x-tenant".to_owned(), "a".to_owned())].into());
    let path = |kind, value: &str| Some(PathMatch { kind, value: value.into() });
    let http = listener(3200, ProtocolType::Http);
    let grpc = listener(9096, ProtocolType::Grpc);
    Config {
        model: "obs".into(),
        listeners: vec![http, grpc],
        http_routes: vec![
            HttpRoute {
                name: "plain".into(),
                listener: http,
                backends: backends(),
                hostnames: None,
                matches: None,
                filters: None,
            },
            HttpRoute {
                name: "full".into(),
                listener: http,
                backends: vec![Backend { service: "tempo".into(), port: 1, weight: None }],
                hostnames: Some(vec!["traces.example.net".into()]),
                matches: Some(vec![
                    HttpMatch {
                        headers: headers.clone(),
                        path: path(PathMatchType::PathPrefix, "/api"),
                        method: Some(Method::Get),
                    },
                    HttpMatch { path: path(PathMatchType::Exact, "/ready"), ..HttpMatch::default() },
                    HttpMatch {
                        path: path(PathMatchType::RegularExpression, "/v[12]"),
                        ..HttpMatch::default()
                    },
                ]),
                filters: Some(vec![
                    HttpFilter::UrlRewrite(rewrite),
                    HttpFilter::RequestRedirect(redirect.clone()),
                    HttpFilter::RequestRedirect(RequestRedirect::to_scheme("https")),
                ]),
            },
        ],
        grpc_routes: vec![GrpcRoute {
            name: "grpc".into(),
            listener: grpc,
            backends: backends(),
            hostnames: None,
            matches: Some(vec![GrpcMatch {
                headers,
                method: Some(GrpcMethod { service: "tempopb.Querier".into(), method: Some("Search".into()) }),
            }]),
            filters: Some(vec![GrpcFilter::RequestRedirect(redirect)]),
        }],
    }
}

#[test]
fn a_python_gateway_understands_every_route_that_we_can_ask_for() {
    let mut state = unwritten();
    ours(&mut state).local_app_data = written(&RequirerAppData { config: everything() });
    let heard = gateway(true).hook("changed", &mut state, ID);
    assert_eq!(heard.said["config"], serde_json::to_value(everything()).unwrap());
    let names: Value = everything()
        .listeners
        .iter()
        .map(|listener| (listener.name(), Value::from(listener.gateway_protocol(true))))
        .collect();
    assert_eq!(heard.said["listeners"], names);
}

#[test]
fn we_understand_every_route_that_a_python_requirer_can_ask_for() {
    let config = json!({"config": everything()});
    let mut state = unwritten();
    Peer::opposite("istio_ingress_route.Requirer", config).hook("created", &mut state, ID);
    let bag = &ours(&mut state).remote_app_data;
    let read: RequirerAppData = said(bag).expect("a request");
    assert_eq!(read.config, everything());
    assert_eq!(written(&read), *bag, "not the same bytes");
}

#[test]
fn the_host_of_a_python_gateway_is_understood() {
    for tls in [false, true] {
        let mut state = unwritten();
        ours(&mut state).local_app_data = written(&RequirerAppData { config: everything() });
        let heard = gateway(tls).hook("changed", &mut state, ID);
        assert_eq!(heard.emitted.len(), 1, "{heard:?}");
        let answer: Option<ProviderAppData> = said(&ours(&mut state).remote_app_data);
        assert_eq!(
            answer,
            Some(ProviderAppData { external_host: "mesh.example.net".into(), tls_enabled: tls })
        );
    }
}

#[test]
fn a_python_gateway_takes_its_host_back_where_routes_clash() {
    let mut state = unwritten();
    ours(&mut state).local_app_data = written(&RequirerAppData { config: everything() });
    let mut gateway = gateway(true);
    gateway.hook("changed", &mut state, ID);
    gateway.wants(json!({"host": "mesh.example.net", "tls": true, "wipe": true}));
    gateway.hook("changed", &mut state, ID);
    assert_eq!(said::<ProviderAppData>(&ours(&mut state).remote_app_data), None);
}

#[test]
fn a_python_requirer_understands_our_host() {
    for tls in [false, true] {
        let mut state = unwritten();
        let host = ProviderAppData { external_host: "mesh.example.net".into(), tls_enabled: tls };
        ours(&mut state).local_app_data = written(&host);
        let mut requirer = Peer::opposite("istio_ingress_route.Requirer", json!({"config": null}));
        let heard = requirer.hook("changed", &mut state, ID);
        assert_eq!(heard.said, json!({"host": "mesh.example.net", "tls": tls}));
    }
}

#[test]
fn a_python_gateway_publishes_the_whole_charm() {
    let relation = Relation::new("istio-ingress", ID, INTERFACE, "istio");
    let mut state = after(&complete().with_relation(relation), Event::relation_created("istio-ingress", ID));
    let heard = gateway(true).hook("changed", &mut state, ID);
    let listeners = heard.said["listeners"].as_object().expect("listeners");
    assert_eq!(
        listeners.keys().collect::<Vec<_>>(),
        ["grpc-14250", "grpc-4317", "grpc-9096", "http-14268", "http-3200", "http-4318", "http-9411"]
    );
    let state = after(&state, Event::relation_changed("istio-ingress", ID));
    assert_eq!(
        published(&state, LOKI),
        [
            "otlp_grpc mesh.example.net:4317",
            "otlp_http https://mesh.example.net:4318",
            "zipkin https://mesh.example.net:9411",
        ]
    );
}

#[test]
fn the_python_library_in_our_place_writes_the_same_bytes() {
    let relation = Relation::new("istio-ingress", ID, INTERFACE, "istio");
    let mut state = after(&complete().with_relation(relation), Event::relation_created("istio-ingress", ID));
    let before = ours(&mut state).clone();
    let config: RequirerAppData = said(&before.local_app_data).expect("a request");
    let mut reference = Peer::in_our_place("istio_ingress_route.Requirer", json!({"config": config.config}));
    reference.hook("created", &mut state, ID);
    assert_eq!(*ours(&mut state), before);
}
