//! Whatever another charm puts into its databags, reading them gives an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use juju_ops::{RelationId, UnitName};
use juju_relations::tempo_cluster::{
    CoordinatorAppData, RemoteWriteEndpoint, Role, Topology, WorkerAppData, WorkerUnitData,
};
use juju_relations::tracing::{Protocol, ProviderAppData, ReceiverUrl, Requested, RequirerAppData};
use juju_relations::{
    Databag, Remote, Wire, blackbox_exporter_probes, catalogue, cross_model_mesh, grafana_dashboard,
    grafana_datasource, grafana_datasource_exchange, istio_ingress_route, loki_push_api,
    prometheus_remote_write, prometheus_scrape, s3, service_mesh, tempo_api, tempo_peers, tls_certificates,
    traefik_route,
};
use proptest::prelude::*;

/// Texts that are nothing, almost right, or right in another place.
fn texts() -> impl Strategy<Value = String> {
    let seeds = [
        "null",
        "[]",
        "{}",
        "\"\"",
        "[[]]",
        "0",
        "true",
        "tempo",
        "\"tempo\"",
        "\"all,querier,imposter\"",
        "[\"otlp_http\", \"zipkin\"]",
        "[\"otlp_http\", \"jaeger_http_thrift\"]",
        "[\"otlp_http\", null]",
        "[{\"protocol\": {\"name\": \"zipkin\", \"type\": \"http\"}, \"url\": \"http://t:9411\"}]",
        "[{\"protocol\": {\"name\": \"zipkin\", \"type\": \"udp\"}, \"url\": \"http://t:9411\"}]",
        "[{\"protocol\": \"zipkin\", \"port\": 9411}]",
        "{\"application\": \"w\", \"unit\": \"w/0\", \"charm_name\": \"c\"}",
        "{\"application\": \"w\"}",
        "[1, 65535]",
        "[65536]",
        "[-1]",
        "[{\"url\": \"http://m\"}]",
        "{\"a\": \"b\"}",
        "{\"a\": 1}",
        "[{\"certificate_signing_request\": \"x\", \"ca\": null}, 7]",
        "[{\"certificate_signing_request\": \"x\", \"ca\": \"y\", \"certificate\": \"z\", \"chain\": [null]}]",
        "[{\"certificate_signing_request\": \"x\", \"ca\": \"y\", \"certificate\": \"z\", \"revoked\": true}]",
        "[{\"certificate_signing_request\": \"x\", \"csr\": \"y\", \"error\": {\"code\": 102}}]",
        "[{\"csr\": null, \"error\": {\"code\": 1e9}}]",
        "{\"supports_ip_sans\": true, \"allowed_domains\": [\"a\"]}",
        "\"istio\"",
        "[{\"type\": \"loki\", \"uid\": \"u\", \"grafana_uid\": \"g\"}, {\"type\": \"loki\"}, null]",
        "[{\"source_namespace\": \"a\", \"source_app_name\": \"b\\n\", \"target_namespace\": \"c\"}, 1]",
        "{\"app_name\": \"a\", \"juju_model_name\": \"m\"}",
        "{\"templates\": {\"file:a\": {\"content\": \"/Td6WFoA\", \"juju_topology\": {\"model\": \"m\"}}, \"b\n\": []}, \"uuid\": 1}",
        "{\"errors\": [{\"dashboard_id\": \"file:a\", \"error\": \"x\"}, null], \"valid\": false}",
        "{\"model\": \"m\", \"model_uuid\": \"u\", \"application\": \"a\", \"type\": \"t\"}",
        "[{\"static_configs\": [{\"targets\": [\"*:80\", \"*\", \":\", \"a:1\"]}]}, {\"job_name\": 1}, {}]",
        "[{\"static_configs\": [{\"targets\": [null]}]}, {\"tls_config\": [], \"sample_limit\": -1}]",
        "\"\\ud800\"",
        "1e999",
        "[1,]",
    ];
    prop_oneof![
        4 => prop::sample::select(seeds.to_vec()).prop_map(str::to_owned),
        2 => any::<String>(),
        2 => "[\\[\\]{}\",:\\\\a-z0-9 ]{0,40}",
        1 => (0usize..4000).prop_map(|depth| "[".repeat(depth)),
        1 => (0usize..4000).prop_map(|depth| "{\"a\":".repeat(depth)),
        1 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ]
}

/// Pieces of routes for Traefik, that now and then fit together.
const ROUTES: [&str; 16] = [
    "http:\n",
    "  routers:\n",
    "    r: {rule: x, service: s}\n",
    "    r: {rule: x, service: s, entryPoints: [web, y], middlewares: [m]}\n",
    "  services:\n",
    "    s: {loadBalancer: {servers: [{url: 'http://a:1'}]}}\n",
    "    s: {loadBalancer: {servers: []}}\n",
    "  middlewares:\n",
    "    m: {redirectScheme: {scheme: https, port: '443'}}\n",
    "    m: {redirectScheme: {scheme: https, port: x}}\n",
    "    ~: &a [*a]\n",
    "  middlewares: {}\n",
    "tcp: {}\n",
    "---\n",
    "\t",
    "\u{feff}",
];

/// A databag with any of the given keys, and some of nobody's.
fn databags(keys: &'static [&'static str]) -> impl Strategy<Value = Databag> {
    let known = prop::collection::btree_map(prop::sample::select(keys.to_vec()), texts(), 0..=keys.len());
    let foreign = prop::collection::btree_map(any::<String>(), any::<String>(), 0..2);
    (known, foreign).prop_map(|(known, foreign)| {
        let known = known.into_iter().map(|(key, text)| (key.to_owned(), text));
        known.chain(foreign).collect()
    })
}

/// Reading gives an answer fit for a status message, the same each time; what was understood survives being written.
fn check<T: Wire + PartialEq + Debug>(bag: &Databag) -> Result<(), TestCaseError> {
    let read = T::read(Some(bag));
    prop_assert_eq!(&read, &T::read(Some(bag)));
    match &read {
        Remote::Ready(data) => {
            let keys: BTreeSet<String> = data.changes().into_iter().map(|(key, _)| key).collect();
            prop_assert!(data.write().keys().all(|key| keys.contains(key)), "a key that is not owned");
        }
        Remote::Invalid(reason) => {
            prop_assert!(!reason.is_empty() && !reason.chars().any(char::is_control), "{reason:?}");
            prop_assert!(reason.chars().count() < 400, "{reason:?}");
            prop_assert!(T::KEYS.iter().any(|key| reason.contains(key)), "no key named: {reason:?}");
        }
        Remote::Absent | Remote::Denied => {}
    }
    Ok(())
}

/// What was left out of something that could be read is named as well, with its key and on one short line.
fn named<T: Wire>(problems: &[String]) -> Result<(), TestCaseError> {
    for problem in problems {
        prop_assert!(T::KEYS.iter().any(|key| problem.starts_with(key)), "no key named: {problem:?}");
        prop_assert!(!problem.chars().any(char::is_control) && problem.chars().count() < 400, "{problem:?}");
    }
    Ok(())
}

/// The same for what is read entry by entry: each key has one problem at most, and what is left survives.
fn check_but_for_problems<T: Wire + PartialEq + Debug>(
    bag: &Databag,
    problems: impl Fn(&mut T) -> Vec<String>,
) -> Result<(), TestCaseError> {
    check::<T>(bag)?;
    if let Remote::Ready(mut data) = T::read(Some(bag)) {
        let problems = problems(&mut data);
        prop_assert!(problems.len() <= T::KEYS.len(), "{problems:?}");
        prop_assert!(
            problems.iter().all(|problem| T::KEYS.iter().any(|key| problem.starts_with(key))),
            "{problems:?}"
        );
        prop_assert!(problems.iter().all(|problem| problem.chars().count() < 400), "{problems:?}");
        if data.write() != Databag::new() {
            survives(data)?;
        }
    }
    Ok(())
}

/// What is written is read back as it was.
fn survives<T: Wire + PartialEq + Debug>(data: T) -> Result<(), TestCaseError> {
    prop_assert_eq!(T::read(Some(&data.write())), Remote::Ready(data));
    Ok(())
}

fn protocols() -> impl Strategy<Value = BTreeSet<Protocol>> {
    prop::collection::btree_set(prop::sample::select(Protocol::ALL.to_vec()), 0..=5)
}

fn maps() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(any::<String>(), any::<String>(), 0..3)
}

/// Text that can lie in a databag as it is: Juju has no empty values.
fn plain() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("empty", |text| !text.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn tracing_provider(bag in databags(&["receivers", "host", "ingesters"])) {
        check::<ProviderAppData>(&bag)?;
    }

    #[test]
    fn tracing_requirer(bag in databags(&["receivers", "protocols"])) {
        check::<RequirerAppData>(&bag)?;
        if let Remote::Ready(requested) = Requested::read(Some(&bag)) {
            prop_assert!(requested.problem().is_some() != requested.unknown.is_empty());
            prop_assert!(requested.problem().unwrap_or_default().chars().count() < 400);
            prop_assert!(requested.unknown.is_sorted());
        }
    }

    #[test]
    fn tempo_cluster_worker_unit(bag in databags(&["juju_topology", "address", "ingress-address"])) {
        check::<WorkerUnitData>(&bag)?;
    }

    #[test]
    fn tempo_cluster_worker_app(bag in databags(&["role"])) {
        check::<WorkerAppData>(&bag)?;
        if let Remote::Ready(data) = WorkerAppData::read(Some(&bag)) {
            let roles = data.roles();
            prop_assert!(!roles.expanded().contains(&Role::All));
            prop_assert!(roles.problem().unwrap_or_default().chars().count() < 400);
        }
    }

    #[test]
    fn tempo_cluster_coordinator(bag in databags(CoordinatorAppData::KEYS)) {
        check::<CoordinatorAppData>(&bag)?;
    }

    #[test]
    fn s3_provider(
        bag in databags(s3::ProviderAppData::KEYS),
        spelled in databags(&["access_key", "secret_key", "tls_ca_chain", "bucket", "data", "lib-version", "secret-extra"]),
    ) {
        check::<s3::ProviderAppData>(&bag)?;
        check::<s3::ProviderAppData>(&spelled)?;
    }

    #[test]
    fn s3_requirer(bag in databags(&["bucket", "tls-ca-chain"])) {
        check::<s3::RequirerAppData>(&bag)?;
    }

    #[test]
    fn traefik_requirer(
        bag in databags(traefik_route::RequirerAppData::KEYS),
        parts in prop::collection::vec(prop::sample::select(ROUTES.to_vec()), 0..12),
    ) {
        check::<traefik_route::RequirerAppData>(&bag)?;
        let mut routes = Databag::from([("config", parts.concat())]);
        routes.insert("static", bag.get("static").cloned().unwrap_or_default());
        for bag in [bag, routes] {
            let Remote::Ready(data) = traefik_route::RequirerAppData::read(Some(&bag)) else { continue };
            let problem = data.problem().unwrap_or_default();
            prop_assert!(problem.chars().count() < 400 && !problem.chars().any(char::is_control), "{problem:?}");
            if let Ok(dynamic) = data.dynamic() {
                let again = traefik_route::RequirerAppData { config: dynamic.to_yaml(), ..data };
                prop_assert_eq!(again.dynamic(), Ok(dynamic));
            }
        }
    }

    #[test]
    fn traefik_provider(bag in databags(&["external_host", "scheme"])) {
        check::<traefik_route::ProviderAppData>(&bag)?;
    }

    #[test]
    fn istio_requirer(bag in databags(&["config"])) {
        check::<istio_ingress_route::RequirerAppData>(&bag)?;
    }

    #[test]
    fn istio_provider(bag in databags(&["external_host", "tls_enabled"])) {
        check::<istio_ingress_route::ProviderAppData>(&bag)?;
    }

    #[test]
    fn tempo_api_provider(bag in databags(&["http", "grpc"])) {
        check::<tempo_api::ProviderAppData>(&bag)?;
    }

    #[test]
    fn catalogue_item(bag in databags(catalogue::Item::KEYS)) {
        check::<catalogue::Item>(&bag)?;
    }

    #[test]
    fn probes_provider(bag in databags(blackbox_exporter_probes::ProviderAppData::KEYS)) {
        check::<blackbox_exporter_probes::ProviderAppData>(&bag)?;
    }

    #[test]
    fn grafana_dashboard_both_sides(bag in databags(&["dashboards", "event"])) {
        use grafana_dashboard::{ProviderAppData, RequirerAppData};
        check::<ProviderAppData>(&bag)?;
        check::<RequirerAppData>(&bag)?;
        if let Remote::Ready(data) = ProviderAppData::read(Some(&bag)) {
            named::<ProviderAppData>(&data.problems)?;
            #[cfg(feature = "dashboards")]
            for error in data.dashboards.texts().filter_map(Result::err) {
                let error = error.to_string();
                prop_assert!(!error.chars().any(char::is_control) && error.chars().count() < 200, "{error:?}");
            }
        }
        if let Remote::Ready(data) = RequirerAppData::read(Some(&bag)) {
            named::<RequirerAppData>(&data.problems)?;
            for complaint in data.verdict.complaints() {
                prop_assert!(!complaint.chars().any(char::is_control) && complaint.chars().count() < 200, "{complaint:?}");
            }
        }
    }

    #[test]
    fn grafana_datasource_source(bag in databags(grafana_datasource::SourceAppData::KEYS)) {
        check::<grafana_datasource::SourceAppData>(&bag)?;
        check::<grafana_datasource::SourceUnitData>(&bag)?;
    }

    #[test]
    fn grafana_datasource_grafana(bag in databags(grafana_datasource::GrafanaAppData::KEYS)) {
        use grafana_datasource::GrafanaAppData;
        check::<GrafanaAppData>(&bag)?;
        if let Remote::Ready(data) = GrafanaAppData::read(Some(&bag)) {
            prop_assert!(!data.grafana_uid.is_empty() && data.uids().iter().all(|uid| !uid.is_empty()));
            named::<GrafanaAppData>(&data.problems)?;
        }
    }

    #[test]
    fn grafana_datasource_exchange_either_side(bag in databags(&["datasources"])) {
        use grafana_datasource_exchange::AppData;
        check::<AppData>(&bag)?;
        if let Remote::Ready(data) = AppData::read(Some(&bag)) {
            named::<AppData>(&data.problems)?;
        }
    }

    #[test]
    fn remote_write(bag in databags(&["remote_write", "alert_rules", "event"])) {
        check::<prometheus_remote_write::UnitData>(&bag)?;
        check::<prometheus_remote_write::ProviderAppData>(&bag)?;
        check::<prometheus_remote_write::RequirerAppData>(&bag)?;
    }

    #[test]
    fn scraped(bag in databags(prometheus_scrape::ProviderAppData::KEYS)) {
        use prometheus_scrape::ProviderAppData;
        check::<ProviderAppData>(&bag)?;
        if let Remote::Ready(data) = ProviderAppData::read(Some(&bag)) {
            named::<ProviderAppData>(&data.problems)?;
        }
    }

    #[test]
    fn scraped_units_and_prometheus(
        bag in databags(&["prometheus_scrape_unit_address", "prometheus_scrape_unit_name", "prometheus_scrape_unit_path", "event"]),
        older in databags(&["prometheus_scrape_host", "prometheus_scrape_unit_fqdn"]),
    ) {
        check::<prometheus_scrape::UnitData>(&bag)?;
        check::<prometheus_scrape::UnitData>(&older)?;
        check::<prometheus_scrape::RequirerAppData>(&bag)?;
    }

    #[test]
    fn whatever_is_scraped_has_a_name_of_its_own(
        bag in databags(prometheus_scrape::ProviderAppData::KEYS),
        other in databags(&["scrape_jobs"]),
        units in prop::collection::vec(databags(prometheus_scrape::UnitData::KEYS), 0..3),
    ) {
        use prometheus_scrape::{ProviderAppData, Source, UnitData, scrape_configs};
        let units: BTreeMap<UnitName, Remote<UnitData>> = (0..)
            .zip(&units)
            .map(|(n, bag)| (UnitName::new("a", n), UnitData::read(Some(bag))))
            .collect();
        let source = |n, bag: &Databag| Source {
            relation: RelationId::new("e", n),
            data: ProviderAppData::read(Some(bag)),
            units: units.clone(),
        };
        let sources = [source(1, &bag), source(2, &other)];
        let jobs = scrape_configs(sources.iter().filter_map(Source::scraped));
        let names: BTreeSet<_> = jobs.iter().filter_map(|job| job.job_name.clone()).collect();
        prop_assert_eq!(names.len(), jobs.len());
        prop_assert_eq!(jobs, scrape_configs(sources.iter().rev().filter_map(Source::scraped)));
    }

    #[test]
    fn loki(bag in databags(&["endpoint", "public_address", "metadata", "alert_rules", "event", "promtail_binary_zip_url"])) {
        check::<loki_push_api::UnitData>(&bag)?;
        check::<loki_push_api::ProviderAppData>(&bag)?;
        check::<loki_push_api::RequirerAppData>(&bag)?;
    }

    #[test]
    fn service_mesh_both_sides(bag in databags(&["labels", "mesh_type", "policies"])) {
        use service_mesh::{ProviderAppData, RequirerAppData};
        check::<ProviderAppData>(&bag)?;
        check::<RequirerAppData>(&bag)?;
        if let Remote::Ready(data) = ProviderAppData::read(Some(&bag)) {
            named::<ProviderAppData>(&data.problems)?;
        }
        if let Remote::Ready(data) = RequirerAppData::read(Some(&bag)) {
            prop_assert!(data.policies.iter().all(|policy| policy.check().is_ok()));
            named::<RequirerAppData>(&data.problems)?;
        }
    }

    #[test]
    fn cross_model_mesh_requirer(bag in databags(&["cmr_data"])) {
        check::<cross_model_mesh::RequirerAppData>(&bag)?;
    }

    #[test]
    fn tls_certificates_requirer(bag in databags(tls_certificates::RequirerData::KEYS)) {
        check_but_for_problems(&bag, |data: &mut tls_certificates::RequirerData| std::mem::take(&mut data.problems))?;
    }

    #[test]
    fn tls_certificates_provider(bag in databags(tls_certificates::ProviderAppData::KEYS)) {
        check_but_for_problems(&bag, |data: &mut tls_certificates::ProviderAppData| std::mem::take(&mut data.problems))?;
    }

    #[test]
    fn tempo_peers_unit(bag in databags(&["fqdn", "hostname", "private-address"])) {
        check::<tempo_peers::UnitData>(&bag)?;
    }
}

proptest! {
    #[test]
    fn tracing_survives(protocols in protocols(), url in any::<String>()) {
        survives(RequirerAppData::new(protocols.clone()))?;
        survives(ProviderAppData::new(protocols.into_iter().map(|protocol| (protocol, ReceiverUrl::from(url.clone())))))?;
    }

    #[test]
    fn order_of_input_does_not_matter(mut order in Just(Protocol::ALL.to_vec()).prop_shuffle()) {
        let sorted = ProviderAppData::new(Protocol::ALL.map(|protocol| (protocol, protocol.name()))).write();
        prop_assert_eq!(&ProviderAppData::new(order.iter().map(|protocol| (*protocol, protocol.name()))).write(), &sorted);
        let request = RequirerAppData::new(order.clone()).write();
        order.push(order[0]);
        prop_assert_eq!(RequirerAppData::new(order).write(), request);
    }

    #[test]
    fn tempo_cluster_survives(
        text in any::<String>(), address in any::<String>(), one in maps(), two in maps(), three in maps(), labels in maps(),
        urls in prop::collection::vec(any::<String>(), 0..3),
        ports in prop::option::of(prop::collection::btree_set(any::<u16>(), 0..5)),
        ca in prop::option::of(any::<String>()), cert in prop::option::of(any::<String>()),
        secret in prop::option::of(any::<String>()), chain in prop::option::of(any::<String>()),
        roles in prop::collection::btree_set(prop::sample::select(Role::ALL.to_vec()), 1..4),
    ) {
        let topology = Topology { application: text.clone(), unit: address.clone(), charm_name: text.clone() };
        survives(WorkerUnitData { juju_topology: topology, address })?;
        let announced = WorkerAppData::new(roles.clone());
        prop_assert_eq!(announced.roles().known, roles);
        survives(announced)?;
        let mut data = CoordinatorAppData::new(text);
        data.loki_endpoints = one;
        data.charm_tracing_receivers = two;
        data.workload_tracing_receivers = three;
        data.remote_write_endpoints = urls.into_iter().map(|url| RemoteWriteEndpoint { url }).collect();
        data.worker_ports = ports;
        data.ca_cert = ca;
        data.server_cert = cert;
        data.privkey_secret_id = secret;
        data.s3_tls_ca_chain = chain;
        data.worker_labels = labels;
        survives(data)?;
    }

    #[test]
    fn s3_survives(
        access in plain(), secret in plain(), bucket in plain(),
        endpoint in prop::option::of(plain()), region in prop::option::of(plain()), path in prop::option::of(plain()),
        chain in prop::option::of(prop::collection::vec(any::<String>(), 0..3)),
    ) {
        survives(s3::RequirerAppData { bucket: bucket.clone() })?;
        survives(s3::ProviderAppData {
            access_key: access.into(),
            secret_key: secret.into(),
            bucket,
            endpoint,
            region,
            path,
            tls_ca_chain: chain,
            ..Default::default()
        })?;
    }

    #[test]
    fn traefik_survives(
        host in plain(), scheme in plain(), config in plain(), entry_points in prop::option::of(plain()), raw in any::<bool>(),
        router in any::<String>(), rule in any::<String>(), url in any::<String>(), port in prop::option::of(any::<u16>()),
    ) {
        use traefik_route::{
            DynamicConfig, EntryPoint, Http, LoadBalancer, Middleware, ProviderAppData, RedirectScheme, RequirerAppData, Router,
            Server, Service, StaticConfig,
        };
        survives(ProviderAppData { external_host: host, scheme: scheme.clone() })?;
        survives(RequirerAppData { config, static_config: entry_points, raw })?;
        let redirect_scheme = Some(RedirectScheme { permanent: raw, port, scheme });
        let load_balancer = Some(LoadBalancer { servers: vec![Server { url }] });
        let dynamic = DynamicConfig {
            http: Http {
                middlewares: [(rule.clone(), Middleware { redirect_scheme })].into(),
                routers: [(router.clone(), Router { rule, service: router.clone(), ..Router::default() })].into(),
                services: [(router.clone(), Service { load_balancer })].into(),
            },
        };
        let entry_points = StaticConfig { entry_points: [(router, EntryPoint::at(1))].into() };
        let data = RequirerAppData::new(&dynamic, &entry_points);
        prop_assert_eq!((data.dynamic(), data.entry_points()), (Ok(dynamic), Ok(entry_points)));
        survives(data)?;
    }

    #[test]
    fn istio_survives(host in plain(), tls_enabled in any::<bool>(), text in any::<String>(), port in 1..=u16::MAX) {
        use istio_ingress_route::{
            Backend, Config, HttpFilter, HttpRoute, Listener, PathModifier, ProtocolType, ProviderAppData, RequirerAppData, UrlRewrite,
        };
        survives(ProviderAppData { external_host: host, tls_enabled })?;
        let listener = Listener { port, protocol: ProtocolType::Grpc };
        let path = Some(PathModifier::ReplaceFullPath { value: text.clone() });
        let route = HttpRoute {
            name: text.clone(),
            listener,
            backends: vec![Backend { service: text.clone(), port, weight: None }],
            hostnames: Some(vec![text.clone()]),
            matches: None,
            filters: Some(vec![HttpFilter::UrlRewrite(UrlRewrite { hostname: None, path })]),
        };
        survives(RequirerAppData {
            config: Config { model: text, listeners: vec![listener], http_routes: vec![route], grpc_routes: vec![] },
        })?;
    }

    #[test]
    fn catalogue_survives(
        name in any::<String>(), url in any::<String>(),
        endpoints in prop::collection::vec((any::<String>(), any::<String>()), 0..4),
    ) {
        prop_assume!(!name.is_empty());
        let api_endpoints = endpoints.into_iter().collect();
        survives(catalogue::Item { name, url, api_endpoints, ..catalogue::Item::default() })?;
    }

    #[test]
    fn probes_survive(text in any::<String>(), targets in prop::collection::vec(any::<String>(), 0..3)) {
        use blackbox_exporter_probes::{Metadata, Module, Probe, ProviderAppData};
        survives(ProviderAppData {
            scrape_metadata: Metadata {
                model: text.clone(),
                model_uuid: text.clone(),
                application: text.clone(),
                unit: text.clone(),
                charm_name: None,
            },
            scrape_probes: vec![Probe::new(text.clone(), text.clone(), targets)],
            scrape_modules: [(text.clone(), Module { prober: text, other: BTreeMap::new() })].into(),
        })?;
    }

    #[test]
    fn tls_certificates_survive(
        csr in any::<String>(), text in any::<String>(), ca in prop::option::of(any::<bool>()), code in any::<i64>(),
        chain in prop::option::of(prop::collection::vec(any::<String>(), 0..3)), more in prop::option::of(any::<String>()),
    ) {
        use tls_certificates::{Capabilities, ErrorDetail, Issued, ProviderAppData, RequestError, RequirerData, SigningRequest};
        survives(RequirerData::new([SigningRequest { certificate_signing_request: csr.clone(), ca }]))?;
        let error = ErrorDetail { reason: more.clone(), provider: more.clone(), endpoint: more.clone(), ..ErrorDetail::new(code, text.clone()) };
        survives(ProviderAppData {
            certificates: vec![Issued {
                ca: text.clone(),
                certificate_signing_request: csr.clone(),
                certificate: text,
                chain: chain.clone(),
                revoked: ca,
            }],
            request_errors: vec![RequestError { csr, error }],
            capabilities: Some(Capabilities {
                supports_ip_sans: ca,
                allowed_domains: chain,
                provider_type: more,
                ..Capabilities::default()
            }),
            problems: Vec::new(),
        })?;
    }

    #[test]
    fn tempo_peers_survives(fqdn in plain()) {
        survives(tempo_peers::UnitData::new(fqdn))?;
    }

    #[test]
    fn grafana_dashboards_survive(
        text in any::<String>(), unit in prop::option::of(any::<String>()), dropdowns in any::<bool>(),
        alt in prop::option::of(any::<String>()), nowhere in any::<bool>(),
    ) {
        use grafana_dashboard::{Dashboards, ProviderAppData, Refusal, RequirerAppData, Template, Verdict};
        let topology = juju_relations::Topology { model: "m".into(), application: text.clone(), unit, ..Default::default() };
        let template = Template {
            charm: text.clone(),
            content: text.clone(),
            juju_topology: Some(topology).filter(|_| !nowhere),
            inject_dropdowns: dropdowns,
            dashboard_alt_uid: alt,
        };
        let dashboards = Dashboards::new([(text.clone(), template)], text.clone());
        survives(ProviderAppData { dashboards, problems: vec![] })?;
        let verdict = Verdict::new([Refusal { dashboard_id: text.clone(), error: text }].into_iter().filter(|_| nowhere));
        survives(RequirerAppData { verdict, problems: vec![] })?;
    }

    #[test]
    fn grafana_datasource_survives(
        text in any::<String>(), url in prop::option::of(plain()), uid in plain(), units in maps(),
    ) {
        use grafana_datasource::{GrafanaAppData, SourceAppData, SourceData, SourceUnitData};
        let data = SourceData::new(text.clone(), text.clone(), text, "tempo");
        survives(SourceAppData { data, app_url: url.clone() })?;
        survives(SourceUnitData { url: Some(uid.clone()) })?;
        survives(GrafanaAppData {
            grafana_uid: uid,
            grafana_base_url: url.clone(),
            datasource_uids: units,
            app_datasource_uid: url,
            problems: vec![],
        })?;
    }

    #[test]
    fn datasources_survive_in_one_order(
        mut uids in prop::collection::btree_set((any::<String>(), any::<String>()), 0..4)
            .prop_map(|uids| uids.into_iter().collect::<Vec<_>>()).prop_shuffle(),
    ) {
        use grafana_datasource_exchange::{AppData, Datasource};
        let data = |uids: &[(String, String)]| {
            AppData::new(uids.iter().map(|(uid, grafana)| Datasource::new("tempo", uid, grafana)))
        };
        survives(data(&uids))?;
        uids.sort();
        prop_assert!(data(&uids).datasources.is_sorted_by_key(|datasource| datasource.uid.clone()));
    }

    #[test]
    fn jobs_survive(text in any::<String>(), texts in prop::collection::vec(any::<String>(), 0..3), labels in maps(), name in plain()) {
        use prometheus_scrape::{ProviderAppData, RelabelConfig, RequirerAppData, ScrapeJob, UnitData, Verdict};
        let mut job = ScrapeJob::new(text.clone(), texts);
        job.static_configs[0].labels = labels;
        job.relabel_configs = vec![RelabelConfig::set(text.clone(), &text)];
        job.sample_limit = Some(u64::MAX);
        survives(ProviderAppData { scrape_jobs: vec![job], ..ProviderAppData::default() })?;
        survives(UnitData { path: Some(name.clone()), fqdn: Some(name.clone()), ..UnitData::new(name.clone(), name) })?;
        let event = Verdict { valid: false, errors: Some(text.clone()), scrape_job_errors: Some(text) };
        survives(RequirerAppData { event: Some(event) })?;
    }

    #[test]
    fn urls_and_rules_survive(url in any::<String>(), host in prop::option::of(plain())) {
        survives(prometheus_remote_write::UnitData::new(url.clone()))?;
        survives(prometheus_remote_write::RequirerAppData::no_rules())?;
        let unit = loki_push_api::UnitData::new(url);
        survives(loki_push_api::UnitData { public_address: host, ..unit })?;
    }

    #[test]
    fn the_mesh_survives(
        labels in maps(), text in plain(), ports in prop::option::of(prop::collection::vec(any::<u16>(), 0..3)),
    ) {
        use service_mesh::{Endpoint, MeshPolicy, MeshType, ProviderAppData, RequirerAppData};
        survives(ProviderAppData { labels, mesh_type: MeshType::Istio, problems: vec![] })?;
        let endpoint = || vec![Endpoint { ports: ports.clone(), ..Endpoint::default() }];
        survives(RequirerAppData::new([
            MeshPolicy::to_app((&text, &text), (&text, &text), endpoint()),
            MeshPolicy::to_units((&text, &text), (&text, &text), endpoint()),
        ]))?;
        survives(cross_model_mesh::RequirerAppData::new(text.clone(), text))?;
    }
}
