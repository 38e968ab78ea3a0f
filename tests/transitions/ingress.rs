//! Ways in from outside.

use juju_sim::{Event, Relation, State};
use serde_json::{Value, json};

use crate::scene::{GRAFANA, LOKI, after, alone, complete, deserted, published, run, settled, without};
use crate::tls::{CA, encrypted};

const INGRESS: u32 = 30;
const ISTIO: u32 = 31;

const INTERNAL: &str = "otlp_http http://tempo.obs.svc.cluster.local:4318";

fn ingress(id: u32, pairs: &[(&str, &str)]) -> Relation {
    Relation::new("ingress", id, "traefik_route", "traefik").with_remote_app_data(pairs.iter().copied())
}

fn istio(pairs: &[(&str, &str)]) -> Relation {
    Relation::new("istio-ingress", ISTIO, "istio_ingress_route", "istio")
        .with_remote_app_data(pairs.iter().copied())
}

fn traefik(scheme: &str) -> Relation {
    ingress(INGRESS, &[("external_host", "1.2.3.4"), ("scheme", scheme)])
}

fn gateway(tls: &str) -> Relation {
    istio(&[("external_host", "mesh.example.net"), ("tls_enabled", tls)])
}

fn otlp_http(state: &State) -> String {
    published(state, LOKI).into_iter().find(|receiver| receiver.starts_with("otlp_http ")).unwrap()
}

fn asked(state: &State, endpoint: &str, id: u32, key: &str) -> Option<String> {
    state.relation(endpoint, id).unwrap().local_app_data.get(key).cloned()
}

/// The routes that Traefik was asked for.
fn routes(state: &State, id: u32) -> Value {
    serde_yaml::from_str(&asked(state, "ingress", id, "config").unwrap()).unwrap()
}

/// The URLs behind one of Traefik's services.
fn servers(state: &State, service: &str) -> Vec<String> {
    let routes = routes(state, INGRESS);
    let servers =
        &routes["http"]["services"][format!("juju-obs-tempo-service-{service}")]["loadBalancer"]["servers"];
    servers.as_array().unwrap().iter().map(|server| server["url"].as_str().unwrap().to_owned()).collect()
}

/// Another unit of the coordinator, with what it has written.
fn with_peer(mut state: State, number: u32, pairs: &[(&str, &str)]) -> State {
    let peers = state.relation_mut("peers", 1).unwrap().clone();
    *state.relation_mut("peers", 1).unwrap() = peers.with_remote_unit(number, pairs.iter().copied());
    state
}

#[test]
fn whatever_the_ingress_its_scheme_and_host_are_published() {
    for (relation, base) in [
        (traefik("http"), "http://1.2.3.4"),
        (traefik("https"), "https://1.2.3.4"),
        (gateway("False"), "http://mesh.example.net"),
        (gateway("True"), "https://mesh.example.net"),
        (gateway("true"), "http://mesh.example.net"),
    ] {
        let event = Event::relation_changed(&relation.endpoint, relation.id);
        let state = after(&settled().with_relation(relation), event);
        let host = base.split_once("//").unwrap().1;
        for requirer in [GRAFANA, LOKI] {
            assert_eq!(
                published(&state, requirer),
                [
                    format!("otlp_grpc {host}:4317"),
                    format!("otlp_http {base}:4318"),
                    format!("zipkin {base}:9411"),
                ]
            );
        }
        assert!(state.unit_status.is_active(), "{}", state.unit_status.message);
        // The cluster's own traces go the same way.
        let told = &state.relation("tempo-cluster", crate::scene::WORKERS).unwrap().local_app_data;
        assert!(told["charm_tracing_receivers"].contains(&format!("{base}:4318")));
    }
}

#[test]
fn an_ingress_that_has_nothing_to_offer_yet_is_asked_and_changes_nothing() {
    for data in
        [&[] as &[(&str, &str)], &[("scheme", "https")], &[("external_host", ""), ("scheme", "https")]]
    {
        let data: Vec<_> = data.iter().copied().filter(|(_, value)| !value.is_empty()).collect();
        let out = run(
            &settled().with_relation(ingress(INGRESS, &data)),
            Event::relation_created("ingress", INGRESS),
        );
        out.assert_ok().assert_written_to(&[&format!("ingress:{INGRESS}")]);
        assert_eq!(otlp_http(&out.state), INTERNAL);
        assert_eq!(asked(&out.state, "ingress", INGRESS, "raw").as_deref(), Some("False"));
        assert!(out.state.unit_status.is_active());
    }
    let out = run(&settled().with_relation(istio(&[])), Event::relation_created("istio-ingress", ISTIO));
    out.assert_ok().assert_written_to(&[&format!("istio-ingress:{ISTIO}")]);
}

#[test]
fn an_address_that_is_taken_back_is_not_used_any_more() {
    for (relation, endpoint) in [(traefik("https"), "ingress"), (gateway("True"), "istio-ingress")] {
        let id = relation.id;
        let mut state = after(&settled().with_relation(relation), Event::relation_changed(endpoint, id));
        assert!(otlp_http(&state).starts_with("otlp_http https://"));
        state.relation_mut(endpoint, id).unwrap().remote_app_data.clear();
        let state = after(&state, Event::relation_changed(endpoint, id));
        assert_eq!(otlp_http(&state), INTERNAL);
    }
}

#[test]
fn an_ingress_that_leaves_takes_its_urls_with_it_in_the_same_hook() {
    for (relation, endpoint) in [(traefik("https"), "ingress"), (gateway("True"), "istio-ingress")] {
        let id = relation.id;
        let before = after(&settled().with_relation(relation), Event::relation_changed(endpoint, id));
        let out = run(&deserted(before, id), Event::relation_broken(endpoint, id));
        out.assert_ok();
        assert_eq!(otlp_http(&out.state), INTERNAL);
        // The leaving relation is not written to.
        out.assert_written_to(&[
            &format!("tracing:{GRAFANA}"),
            &format!("tracing:{LOKI}"),
            &format!("tempo-cluster:{}", crate::scene::WORKERS),
        ]);
        // All is as it was before the ingress came.
        let gone = without(&out.state, id);
        assert_eq!(gone.relations, settled().relations);
    }
}

#[test]
fn a_follower_knows_the_url_of_every_ingress_and_asks_for_nothing() {
    for (relation, endpoint, url) in [
        (traefik("https"), "ingress", "https://1.2.3.4:4318"),
        (gateway("True"), "istio-ingress", "https://mesh.example.net:4318"),
    ] {
        let id = relation.id;
        let state = complete().with_leader(false).with_relation(relation);
        let out = run(&state, Event::relation_changed(endpoint, id));
        out.assert_ok().assert_written_to(&["peers:1"]);
        let out = run(&out.state, Event::action("list-receivers", []));
        out.assert_ok();
        let results = format!("{:?}", out.action);
        assert!(results.contains(url), "{results}");
    }
}

#[test]
fn only_the_host_is_used_and_what_is_cut_off_is_named() {
    for (given, host, cut) in [
        ("edge.example.net:8443", "edge.example.net", "port"),
        ("edge.example.net/obs-tempo", "edge.example.net", "path"),
        ("[fd00::1]:80", "[fd00::1]", "port"),
        ("fd00::1", "[fd00::1]", ""),
    ] {
        let relation = ingress(INGRESS, &[("external_host", given), ("scheme", "https")]);
        let state = after(&settled().with_relation(relation), Event::relation_changed("ingress", INGRESS));
        assert_eq!(otlp_http(&state), format!("otlp_http https://{host}:4318"));
        let message = &state.unit_status.message;
        assert!(state.unit_status.is_active());
        assert_eq!(!cut.is_empty(), message.contains("ingress:30 external_host"), "{message}");
        assert!(message.contains(cut), "{message}");
    }
}

#[test]
fn a_host_that_is_none_is_named_and_internal_urls_stay() {
    for (endpoint, relation) in [
        ("ingress", ingress(INGRESS, &[("external_host", "a;b"), ("scheme", "https")])),
        ("ingress", ingress(INGRESS, &[("external_host", "a.example"), ("scheme", "gopher")])),
        ("istio-ingress", istio(&[("external_host", "user@mesh.example.net"), ("tls_enabled", "True")])),
    ] {
        let id = relation.id;
        let state = after(&settled().with_relation(relation), Event::relation_changed(endpoint, id));
        assert_eq!(otlp_http(&state), INTERNAL);
        assert!(state.unit_status.is_active());
        let message = &state.unit_status.message;
        assert!(message.contains(&format!("{endpoint}:{id}")), "{message}");
    }
}

#[test]
fn of_two_ingresses_one_has_to_go() {
    let state = settled().with_relation(traefik("https")).with_relation(gateway("True"));
    let out = run(&state, Event::relation_changed("istio-ingress", ISTIO));
    out.assert_ok();
    assert_eq!(otlp_http(&out.state), INTERNAL);
    let status = &out.state.unit_status;
    assert_eq!(
        (status.status.as_str(), status.message.as_str()),
        ("blocked", "both `ingress` and `istio-ingress` are active; remove one")
    );
    // Both stay asked, so that either can take over at once.
    assert!(asked(&out.state, "ingress", INGRESS, "config").is_some());
    assert!(asked(&out.state, "istio-ingress", ISTIO, "config").is_some());
    let one = after(&deserted(out.state, ISTIO), Event::relation_broken("istio-ingress", ISTIO));
    assert_eq!(otlp_http(&one), "otlp_http https://1.2.3.4:4318");
    assert!(one.unit_status.is_active());
    // A follower sees it as well.
    let out = run(&state.with_leader(false), Event::UpdateStatus);
    assert_eq!(out.state.unit_status.status, "blocked");
}

#[test]
fn of_two_traefiks_one_has_to_go() {
    let second = |data: &[(&str, &str)]| ingress(INGRESS + 10, data);
    let ready = [("external_host", "edge.example.net"), ("scheme", "http")];
    let state = settled().with_relation(traefik("https")).with_relation(second(&ready));
    let state = after(&state, Event::relation_changed("ingress", INGRESS + 10));
    assert_eq!(otlp_http(&state), INTERNAL);
    assert_eq!(state.unit_status.status, "blocked");
    assert_eq!(
        state.unit_status.message,
        "several relations of `ingress` are active (ingress:30, ingress:40); remove all but one"
    );
    // Each is asked in its own scheme.
    assert!(routes(&state, INGRESS)["http"]["middlewares"].is_object());
    assert!(routes(&state, INGRESS + 10)["http"]["middlewares"].is_null());
    // One that is not ready is no rival.
    let state = settled().with_relation(traefik("https")).with_relation(second(&[]));
    let state = after(&state, Event::relation_changed("ingress", INGRESS));
    assert_eq!(otlp_http(&state), "otlp_http https://1.2.3.4:4318");
}

#[test]
fn our_own_tls_changes_what_is_inside_and_not_what_an_ingress_speaks() {
    let kinds = [
        (None, "https://tempo.obs.svc.cluster.local", "http://tempo.obs.svc.cluster.local"),
        (Some(traefik("http")), "http://1.2.3.4", "http://1.2.3.4"),
        (Some(traefik("https")), "https://1.2.3.4", "https://1.2.3.4"),
        (Some(gateway("False")), "http://mesh.example.net", "http://mesh.example.net"),
        (Some(gateway("True")), "https://mesh.example.net", "https://mesh.example.net"),
    ];
    for (relation, with_tls, without_tls) in kinds {
        let mut state = encrypted();
        state.relations.extend(relation.clone());
        let state = after(&state, Event::UpdateStatus);
        assert_eq!(otlp_http(&state), format!("otlp_http {with_tls}:4318"));
        let behind = |state: &State| [servers(state, "tempo-http"), servers(state, "otlp-grpc")].concat();
        let is_traefik = relation.is_some_and(|relation| relation.endpoint == "ingress");
        let host = "tempo-0.tempo-endpoints.obs.svc.cluster.local";
        if is_traefik {
            assert_eq!(behind(&state), [format!("https://{host}:3200"), format!("https://{host}:4317")]);
        }
        let state = after(&deserted(state, CA), Event::relation_broken("certificates", CA));
        assert_eq!(otlp_http(&state), format!("otlp_http {without_tls}:4318"));
        if is_traefik {
            assert_eq!(behind(&state), [format!("http://{host}:3200"), format!("h2c://{host}:4317")]);
        }
    }
}

#[test]
fn behind_traefik_are_this_unit_and_then_the_others_by_number() {
    let mut state = settled().with_relation(traefik("http"));
    // The tenth comes after the second, and one without a name is left out.
    let name = |n: u32| format!("\"tempo-{n}.tempo-endpoints.obs.svc.cluster.local\"");
    state = with_peer(state, 10, &[("fqdn", &name(10))]);
    state = with_peer(state, 3, &[]);
    state = with_peer(state, 2, &[("hostname", "tempo-2.tempo-endpoints.obs.svc.cluster.local")]);
    state = with_peer(state, 1, &[("fqdn", &name(1)), ("hostname", "not-this-one")]);
    let state = after(&state, Event::relation_changed_unit("peers", 1, "tempo/1"));
    let expect = |scheme: &str, port: u16| {
        [0, 1, 2, 10].map(|n| format!("{scheme}://tempo-{n}.tempo-endpoints.obs.svc.cluster.local:{port}"))
    };
    assert_eq!(servers(&state, "tempo-http"), expect("http", 3200));
    assert_eq!(servers(&state, "otlp-grpc"), expect("h2c", 4317));
    assert!(state.unit_status.is_active() && !state.unit_status.message.contains("peers"));
}

#[test]
fn a_peer_with_a_name_that_is_none_is_left_out_and_named() {
    let state = with_peer(settled().with_relation(traefik("http")), 1, &[("fqdn", "\"a b\"")]);
    let state = after(&state, Event::relation_changed_unit("peers", 1, "tempo/1"));
    assert_eq!(servers(&state, "tempo-http").len(), 1);
    assert!(state.unit_status.message.contains("peers:1 tempo/1 fqdn"), "{}", state.unit_status.message);
}

#[test]
fn ingresses_are_asked_before_the_cluster_is_complete() {
    let state = alone().with_relation(traefik("http")).with_relation(istio(&[]));
    let state = after(&state, Event::relation_created("ingress", INGRESS));
    assert_eq!(servers(&state, "zipkin"), ["http://tempo-0.tempo-endpoints.obs.svc.cluster.local:9411"]);
    assert!(asked(&state, "istio-ingress", ISTIO, "config").is_some());
}

#[test]
fn the_routes_of_traefik() {
    let peer = [("fqdn", "\"tempo-1.tempo-endpoints.obs.svc.cluster.local\"")];
    let state = with_peer(settled().with_relation(traefik("https")), 1, &peer);
    let state = after(&state, Event::relation_changed("ingress", INGRESS));
    insta::assert_snapshot!("traefik_https", asked(&state, "ingress", INGRESS, "config").unwrap());
    insta::assert_snapshot!(asked(&state, "ingress", INGRESS, "static").unwrap(), @r#"
    entryPoints:
      jaeger-grpc:
        address: ":14250"
      jaeger-thrift-http:
        address: ":14268"
      otlp-grpc:
        address: ":4317"
      otlp-http:
        address: ":4318"
      tempo-grpc:
        address: ":9096"
      tempo-http:
        address: ":3200"
      zipkin:
        address: ":9411"
    "#);

    // Without TLS in front there is nothing to redirect to.
    let plain = with_peer(settled().with_relation(traefik("http")), 1, &peer);
    let plain = after(&plain, Event::relation_changed("ingress", INGRESS));
    let (mut secure, plain) = (routes(&state, INGRESS), routes(&plain, INGRESS));
    assert_eq!(plain["http"].get("middlewares"), None);
    secure["http"].as_object_mut().unwrap().remove("middlewares");
    for router in secure["http"]["routers"].as_object_mut().unwrap().values_mut() {
        assert_eq!(
            router.as_object_mut().unwrap().remove("middlewares").unwrap().as_array().unwrap().len(),
            1
        );
    }
    assert_eq!(secure, plain);
}

#[test]
fn the_routes_of_istio() {
    let state = after(&settled().with_relation(istio(&[])), Event::relation_created("istio-ingress", ISTIO));
    let text = asked(&state, "istio-ingress", ISTIO, "config").unwrap();
    let listener = |port: u16, protocol: &str| json!({"port": port, "protocol": protocol});
    let route = |name: &str, port: u16, protocol: &str| {
        json!({
            "name": format!("juju-obs-tempo-{name}"),
            "listener": listener(port, protocol),
            "backends": [{"service": "tempo", "port": port, "weight": 100}],
            "hostnames": null, "matches": null, "filters": null,
        })
    };
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({
            "model": "obs",
            "listeners": [
                listener(3200, "HTTP"), listener(9096, "GRPC"), listener(9411, "HTTP"), listener(4317, "GRPC"),
                listener(4318, "HTTP"), listener(14268, "HTTP"), listener(14250, "GRPC"),
            ],
            "http_routes": [
                route("tempo-http", 3200, "HTTP"), route("zipkin", 9411, "HTTP"), route("otlp-http", 4318, "HTTP"),
                route("jaeger-thrift-http", 14268, "HTTP"),
            ],
            "grpc_routes": [
                route("tempo-grpc", 9096, "GRPC"), route("otlp-grpc", 4317, "GRPC"), route("jaeger-grpc", 14250, "GRPC"),
            ],
        })
    );
    let beginning =
        r#"{"model":"obs","listeners":[{"port":3200,"protocol":"HTTP"},{"port":9096,"protocol":"GRPC"},"#;
    assert!(text.starts_with(beginning), "{text}");
}

#[test]
fn a_second_hook_with_everything_related_writes_nothing() {
    let state = with_peer(settled().with_relation(traefik("https")), 1, &[("hostname", "tempo-1.x")]);
    let state = after(&state, Event::UpdateStatus);
    run(&state, Event::UpdateStatus).assert_ok().assert_written_to(&[]);
    let state = after(&settled().with_relation(gateway("True")), Event::UpdateStatus);
    run(&state, Event::UpdateStatus).assert_ok().assert_written_to(&[]);
}
