//! What holds for every plan, whatever other charms write.

use std::collections::{BTreeMap, BTreeSet};

use juju_ops::{Databag, UnitName};
use juju_pebble::LogTarget;
use juju_relations::{
    grafana_dashboard, grafana_datasource, grafana_datasource_exchange, istio_ingress_route,
    prometheus_scrape, service_mesh, traefik_route,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::fixtures::{Cluster, complete};
use crate::plan::nginx::CONFIG_PATH;
use crate::snapshot::{ContainerSnapshot, ContainerState, RelationSnapshot, Snapshot};
use crate::status::{Applied, statuses};

/// Whatever may stand behind a key: what belongs there, nearly that, something else, and attempts to break out.
fn text() -> impl Strategy<Value = String> {
    let known = vec![
        "",
        "null",
        "{}",
        "[]",
        "1",
        r#""all""#,
        r#""all,querier""#,
        r#""imposter, , ingester""#,
        r#""distributor""#,
        r#""query-frontend""#,
        r#"["otlp_grpc", "zipkin"]"#,
        r#"["jaeger_http_thrift", "otlp_http", "otlp_http"]"#,
        r#"["otlp_grpc", 1]"#,
        r#""w-0.w-endpoints.obs.svc.cluster.local""#,
        r#""http://example.com""#,
        r#""10.0.0.1:3200""#,
        r#""fd00::1""#,
        r#""a; } server { listen 1""#,
        r#""a\nb: c""#,
        r#"{"url": "http://prom-0.prom:9090/api/v1/write"}"#,
        r#"{"url": "http://PROM-0.other/write"}"#,
        r#"{"url": "https://10.1.2.3/push"}"#,
        r#"{"url": "http://x/$request_uri"}"#,
        r#"{"url": "http://x/;}server{"}"#,
        r#"{"url": "http://x/\u0000"}"#,
        r#"{"url": 1}"#,
        r#"[{"protocol": {"name": "otlp_http", "type": "http"}, "url": "http://t.example:4318/x/"}]"#,
        r#"[{"protocol": {"name": "otlp_http", "type": "http"}, "url": "t.example:4318"}]"#,
        r#"{"application": "w", "unit": "w/0", "charm_name": "tempo-worker-k8s"}"#,
        r#"[{"type": "prometheus", "uid": "p", "grafana_uid": "g"}, {"type": "loki", "uid": "l", "grafana_uid": "g"}]"#,
        r#"[{"type": "loki", "uid": 1}, null, {"type": "loki", "uid": "", "grafana_uid": "g"}]"#,
        r#"{"tempo/0": "u0", "tempo/1": 1}"#,
        r#"{"istio.io/dataplane-mode": "ambient", "a b": "c", "app.kubernetes.io/part-of": "x"}"#,
        r#"{"errors": [{"dashboard_id": "file:tempo\n", "error": "x"}, {}, 1], "valid": false}"#,
        r#""istio""#,
        r#"{"app_name": "a", "juju_model_name": "elsewhere"}"#,
        "g",
        "edge.example.net",
        "Edge.example.net:8443/obs",
        "[fd00::1]:80",
        "https",
        "True",
        "AKEXAMPLE",
        "0123",
        "1:30",
        "yes",
        "bucket",
        "http://10.20.0.5:9000",
        "https://s3.example.org:443/path",
        "'; rm",
        "a\nb: c",
        "- x",
        r#"["-----BEGIN CERTIFICATE-----\n…"]"#,
    ];
    prop_oneof![
        6 => select(known).prop_map(str::to_owned),
        1 => letters("\0\u{7}\n\r\t é🦀\u{85}\u{2028}\u{feff}aZ09{}[]\"'\\"),
        1 => letters("\"'\\[]{}:,.az09/$; \n-#@?=%"),
    ]
}

/// Short texts of these letters. (A regular expression says the same, but is compiled anew for each text.)
fn letters(letters: &str) -> impl Strategy<Value = String> + use<> {
    prop::collection::vec(select(letters.chars().collect::<Vec<_>>()), 0..20).prop_map(String::from_iter)
}

fn bag(keys: &'static [&'static str]) -> impl Strategy<Value = Option<Databag>> {
    // Where nothing is read there may be anything.
    let known = if keys.is_empty() { &["key"] } else { keys };
    let pair = (prop_oneof![12 => select(known).prop_map(str::to_owned), 1 => letters("-_aé\n")], text());
    prop::option::weighted(0.95, prop::collection::vec(pair, 0..8).prop_map(Databag::from_iter))
}

fn relation(
    app_keys: &'static [&'static str],
    unit_keys: &'static [&'static str],
) -> impl Strategy<Value = RelationSnapshot> {
    let unit = (select(vec!["w", "v-1", "remote-0123"]), 0..3_u32).prop_map(|(app, n)| UnitName::new(app, n));
    let app = prop::option::weighted(0.9, select(vec!["w".to_owned(), "v-1".to_owned()]));
    (0..30_u32, app, bag(app_keys), prop::collection::btree_map(unit, bag(unit_keys), 0..3)).prop_map(
        |(id, remote_app, remote_app_data, remote_units)| RelationSnapshot {
            id,
            remote_app,
            remote_app_data,
            remote_units,
            ..RelationSnapshot::default()
        },
    )
}

const WORKER_APP: &[&str] = &["role"];
const WORKER_UNIT: &[&str] = &["address", "juju_topology"];
const RECEIVERS: &[&str] = &["receivers", "host", "ingesters", "protocols"];
const S3: &[&str] = &[
    "access-key",
    "secret-key",
    "bucket",
    "endpoint",
    "region",
    "tls-ca-chain",
    "access_key",
    "data",
    "lib-version",
];

/// The keys that are read, by endpoint: of the other application and of its units.
const KEYS: &[(Endpoint, &[&str], &[&str])] = &[
    (Endpoint::Catalogue, &[], &[]),
    (Endpoint::GrafanaDashboard, &["event"], &[]),
    (
        Endpoint::GrafanaSource,
        &["grafana_uid", "grafana_base_url", "datasource_uids", "app_datasource_uid"],
        &[],
    ),
    (Endpoint::Ingress, &["external_host", "scheme"], &[]),
    (Endpoint::IstioIngress, &["external_host", "tls_enabled"], &[]),
    (Endpoint::Logging, &["event"], &["endpoint", "public_address"]),
    (Endpoint::MetricsEndpoint, &[], &[]),
    (Endpoint::Peers, &["fqdn"], &["fqdn", "hostname"]),
    (Endpoint::Probes, &[], &[]),
    (Endpoint::ProvideCmrMesh, &["cmr_data"], &[]),
    (Endpoint::ReceiveDatasource, &["datasources"], &[]),
    (Endpoint::RequireCmrMesh, &[], &[]),
    (Endpoint::S3, S3, S3),
    (Endpoint::SelfCharmTracing, RECEIVERS, RECEIVERS),
    (Endpoint::SelfWorkloadTracing, RECEIVERS, RECEIVERS),
    (Endpoint::SendRemoteWrite, &["event"], &["remote_write"]),
    (Endpoint::ServiceMesh, &["labels", "mesh_type"], &[]),
    (Endpoint::TempoApi, &[], &[]),
    (Endpoint::TempoCluster, WORKER_APP, WORKER_UNIT),
    (Endpoint::Tracing, RECEIVERS, RECEIVERS),
];

/// One or two relations of every endpoint.
fn relations() -> impl Strategy<Value = BTreeMap<Endpoint, Vec<RelationSnapshot>>> {
    let some = |(_, app, unit): &(_, &'static [&'static str], &'static [&'static str])| {
        prop::collection::vec(relation(app, unit), 1..3)
    };
    KEYS.iter()
        .map(some)
        .collect::<Vec<_>>()
        .prop_map(|relations| KEYS.iter().map(|(endpoint, ..)| *endpoint).zip(relations).collect())
}

/// Random relations beside a cluster that works without them; or, so that nothing hides behind the guard, in place
/// of its bucket too.
fn snapshot(relations: BTreeMap<Endpoint, Vec<RelationSnapshot>>, keep_s3: bool) -> Snapshot {
    let mut cluster: Cluster = complete();
    for (endpoint, random) in relations {
        if endpoint == Endpoint::S3 && keep_s3 {
            continue;
        }
        let known = cluster.relations.entry(endpoint).or_default();
        if endpoint == Endpoint::S3 {
            known.clear();
        }
        // Numbers are unique in a model.
        for (n, relation) in (0..).zip(random) {
            known.push(RelationSnapshot { id: 1000 + relation.id * 10 + n, ..relation });
        }
    }
    cluster.snapshot()
}

/// The text of nginx's configuration keeps the form that only this charm gives it.
fn assert_sound_nginx(text: &str) {
    assert!(text.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)), "{text:?}");
    let mut depth = 0_i32;
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let inner = line.trim_start();
        assert_eq!(
            line.len() - inner.len(),
            usize::try_from(depth - i32::from(inner == "}")).unwrap() * 4,
            "{text}"
        );
        match inner {
            "}" => depth -= 1,
            _ if inner.ends_with(" {") => {
                depth += 1;
                if inner.starts_with("upstream ") || inner.starts_with("location ") && inner != "location / {"
                {
                    assert!(names.insert(inner.to_owned()), "twice: {inner}");
                }
            }
            _ => assert!(inner.ends_with(';'), "{inner:?}"),
        }
        // What is in quotes ends nothing.
        let bare: String = inner.split('\'').step_by(2).collect();
        let ends = bare.matches([';', '{', '}']).count();
        assert_eq!(ends, 1, "{inner:?}");
        for variable in inner.split('$').skip(1) {
            let known = [
                "status",
                "loggable",
                "http_x_scope_orgid",
                "ensured_x_scope_orgid",
                // How a request that failed is logged.
                "remote_addr - ",
                "remote_user [",
                "time_local]",
                "request\" ",
                "body_bytes_sent \"",
                "http_referer\" ",
                "http_user_agent\" ",
                "server_port upstream",
                "upstream_addr'",
            ];
            assert!(known.iter().any(|known| variable.starts_with(known)), "{inner:?}");
        }
    }
    assert_eq!(depth, 0);
}

/// No scalar of the workers' document is left for a reader to guess at.
fn assert_sound_yaml(text: &str) {
    let plain = |value: &str| {
        value.is_empty()
            || value.starts_with(['\'', '"'])
            || ["true", "false", "[]", "{}"].contains(&value)
            || value.bytes().all(|b| b.is_ascii_digit()) && !(value.len() > 1 && value.starts_with('0'))
    };
    for line in text.lines() {
        let inner = line.trim_start().trim_start_matches("- ");
        let (key, value) = match inner.split_once(':') {
            Some((key, value)) if key.bytes().all(|b| b.is_ascii_lowercase() || b"_3".contains(&b)) => {
                (key, value.trim())
            }
            _ => ("", inner),
        };
        assert!(plain(value), "{key}: {value:?}");
    }
    let read: serde_json::Value = serde_yaml::from_str(text).unwrap();
    assert!(read.pointer("/storage/trace/s3/secret_key").unwrap().is_string());
}

/// Many cases in little time.
fn config(cases: u32) -> ProptestConfig {
    let rng_algorithm = proptest::test_runner::RngAlgorithm::XorShift;
    ProptestConfig { cases, rng_algorithm, failure_persistence: None, ..ProptestConfig::default() }
}

fn nginx_text(plan: &Plan) -> Option<&str> {
    Some(plan.nginx.as_ref()?.files[CONFIG_PATH].content.expose())
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn no_databag_breaks_anything(relations in relations(), keep_s3 in any::<bool>()) {
        let deployment = Deployment::validate(&snapshot(relations, keep_s3));
        let plan = plan(&deployment);
        if keep_s3 {
            prop_assert_eq!(&plan.unmet, &[]);
        }
        if let Some(text) = nginx_text(&plan) {
            assert_sound_nginx(text);
        }
        // All workers get the same document; taking one apart is what costs time here.
        let documents: BTreeSet<&str> =
            plan.cluster.iter().flatten().map(|write| write.data["worker_config"].as_ref().unwrap().expose()).collect();
        for document in documents {
            assert_sound_yaml(&serde_json::from_str::<String>(document).unwrap());
        }
        for finding in &deployment.findings {
            let text = finding.to_string();
            prop_assert!(!text.chars().any(char::is_control) && text.chars().count() < 400, "{:?}", text);
        }
        let statuses = statuses(&deployment, &Applied::default());
        prop_assert!(!statuses.unit.message().chars().any(char::is_control));
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn order_of_what_is_seen_does_not_matter(
        relations in relations(),
        swaps in prop::collection::vec((any::<Index>(), any::<Index>()), 8),
    ) {
        let seen = snapshot(relations, true);
        let mut shuffled = seen.clone();
        for relations in shuffled.relations.values_mut() {
            for (one, other) in &swaps {
                let length = relations.len();
                relations.swap(one.index(length), other.index(length));
            }
        }
        let bytes = |snapshot: &Snapshot| {
            let deployment = Deployment::validate(snapshot);
            let plan = plan(&deployment);
            let writes: Vec<_> = plan
                .databag_writes()
                .flat_map(|write| write.data.values().flatten().map(|text| text.expose().to_owned()))
                .collect();
            (serde_json::to_string(&plan).unwrap(), nginx_text(&plan).map(str::to_owned), writes, deployment.findings)
        };
        prop_assert_eq!(bytes(&seen), bytes(&shuffled));
    }
}

/// Whatever the neighbours say, what ingresses are asked for makes sense to them.
fn assert_sound_routes(plan: &Plan) {
    for write in &plan.ingress {
        let bag: Databag =
            write.data.iter().filter_map(|(key, text)| Some((key, text.as_ref()?.expose()))).collect();
        if write.endpoint == Endpoint::Ingress {
            let routes = traefik_route::RequirerAppData::read(Some(&bag)).ok().unwrap();
            assert_eq!(routes.problem(), None);
            assert_eq!(routes.dynamic().unwrap().http.routers.len(), 7);
        } else {
            let config = istio_ingress_route::RequirerAppData::read(Some(&bag)).ok().unwrap().config;
            assert_eq!(config.http_routes.len() + config.grpc_routes.len(), config.listeners.len());
        }
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn routes_always_lead_somewhere(relations in relations()) {
        assert_sound_routes(&plan(&Deployment::validate(&snapshot(relations, true))));
    }
}

/// The databag that a planned write leaves behind, where there was nothing before.
fn written(write: &DatabagWrite) -> Databag {
    write.data.iter().filter_map(|(key, text)| Some((key, text.as_ref()?.expose()))).collect()
}

/// Whatever the neighbours say, Grafana, Prometheus and the mesh can read what they are told.
fn assert_sound_publications(d: &Deployment, plan: &Plan) {
    for write in plan.publications.iter().filter(|write| write.scope == Scope::App) {
        let bag = written(write);
        if write.endpoint == Endpoint::GrafanaSource {
            let source = grafana_datasource::SourceAppData::read(Some(&bag)).ok().unwrap();
            assert!(source.app_url.unwrap().contains("://"));
            let links = source.data.extra_fields;
            assert_eq!(
                links.is_none(),
                d.grafana.correlations == crate::deployment::grafana::Correlations::default()
            );
        }
        if write.endpoint == Endpoint::GrafanaDashboard {
            let told = grafana_dashboard::ProviderAppData::read(Some(&bag)).ok().unwrap();
            assert!(told.problems.is_empty() && told.dashboards.templates.len() == 6);
        }
        if write.endpoint == Endpoint::ReceiveDatasource {
            let known = grafana_datasource_exchange::AppData::read(Some(&bag)).ok().unwrap();
            assert!(
                known.problems.is_empty() && known.datasources.is_sorted_by_key(|known| known.uid.clone())
            );
            let once: BTreeSet<_> = known.datasources.iter().collect();
            assert_eq!(once.len(), known.datasources.len());
        }
    }
    for write in &plan.publications {
        if write.endpoint == Endpoint::MetricsEndpoint && write.scope == Scope::App {
            let told = prometheus_scrape::ProviderAppData::read(Some(&written(write))).ok().unwrap();
            assert_eq!(told.problems, [] as [&str; 0]);
            let once: BTreeSet<_> = told.scrape_jobs.iter().map(|job| format!("{job:?}")).collect();
            assert_eq!(once.len(), told.scrape_jobs.len());
        }
    }
    for write in plan.mesh.iter().filter(|write| write.endpoint == Endpoint::ServiceMesh) {
        let told = service_mesh::RequirerAppData::read(Some(&written(write))).ok().unwrap();
        assert_eq!(told.problems, [] as [&str; 0]);
        let open = told.policies.iter().flat_map(|policy| &policy.endpoints);
        assert!(
            open.clone().all(|operation| operation.ports.as_ref().is_some_and(|ports| !ports.is_empty()))
        );
        assert!(told.policies.iter().all(|policy| policy.target_app_name.as_deref() == Some("tempo")));
    }
}

/// Log targets as they may be in a container: ours and those of others, on and off, with addresses of now and of before.
fn log_targets() -> impl Strategy<Value = BTreeMap<String, LogTarget>> {
    let name = select(vec!["w/0", "w/1", "v-1/0", "remote-0123/2", "theirs", "w/0-00000000"]);
    let location = select(vec![
        "http://prom-0.prom:9090/api/v1/write",
        "https://10.1.2.3/push",
        "(removed)",
        "http://gone/push",
    ]);
    let services = select(vec![&["all"][..], &["-all"], &["all", "-all"], &["nginx"], &[]]);
    let target = (location, services, any::<bool>()).prop_map(|(location, services, is_ours)| {
        let labels =
            [("product", "Juju"), ("charm", "tempo-coordinator-k8s"), ("juju_unit", "tempo/0"), ("job", "x")];
        let labels = labels.into_iter().filter(|_| is_ours);
        LogTarget {
            type_: "loki".into(),
            location: location.into(),
            services: services.iter().map(|service| (*service).to_owned()).collect(),
            labels: labels.map(|(label, value)| (label.to_owned(), value.to_owned())).collect(),
            ..LogTarget::default()
        }
    });
    prop::collection::btree_map(name.prop_map(str::to_owned), target, 0..5)
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn every_loki_gets_lines_at_its_address_and_nobody_else(relations in relations(), before in log_targets()) {
        let mut seen = snapshot(relations, true);
        let mut state = ContainerState {
            plan: Layer { log_targets: before.clone(), ..Layer::default() },
            ..ContainerState::default()
        };
        let reached = |state: &ContainerState| {
            [(Container::Nginx, ContainerSnapshot::Reachable(state.clone()))].into()
        };
        seen.containers = reached(&state);
        let deployment = Deployment::validate(&seen);
        for forwarding in plan(&deployment).logs {
            state.plan.combine(&forwarding.layer);
        }
        let after = state.plan.log_targets.clone();
        let is_ours = |target: &LogTarget| target.labels.get("juju_unit").is_some_and(|unit| unit == "tempo/0");
        for (name, target) in &before {
            prop_assert_eq!(&target.location, &after[name].location);
            prop_assert!(is_ours(target) || *target == after[name], "{}", name);
        }
        let mut on: Vec<_> = after
            .values()
            .filter(|target| is_ours(target) && target.services == ["all"])
            .map(|target| target.location.clone())
            .collect();
        let mut wanted: Vec<_> = deployment.telemetry.loki.values().map(ToString::to_string).collect();
        on.sort();
        wanted.sort();
        prop_assert_eq!(on, wanted);
        // The next hook has nothing to do.
        seen.containers = reached(&state);
        for forwarding in plan(&Deployment::validate(&seen)).logs {
            prop_assert!(state.plan.has(&forwarding.layer));
        }
    }

    #[test]
    fn who_is_told_something_can_read_it(relations in relations()) {
        let deployment = Deployment::validate(&snapshot(relations, true));
        assert_sound_publications(&deployment, &plan(&deployment));
    }
}
