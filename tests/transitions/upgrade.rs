//! Taking the place of the Python charm: from the state that it leaves behind, by `juju refresh`.

use std::collections::{BTreeMap, BTreeSet};

use juju_ops::UnitName;
use juju_relations::tls_certificates::{
    Authority, Issued, KeyScope, PrivateKey, RequestAttributes, certificate_label, request,
};
use juju_sim::{Container, Event, Relation, Secret, State};
use tempo_coordinator::metrics::PAGE_PATH;

use crate::scene::{GRAFANA, LOKI, NOW, S3, WORKERS, alone, requirer, run, s3, worker};

/// Relations of the scene below, apart from those that [`crate::scene`] numbers.
const CATALOGUE: u32 = 22;
const PROBES: u32 = 23;
const GRAFANA_SOURCE: u32 = 24;
const TEMPO_API: u32 = 25;
const RECEIVE_DATASOURCE: u32 = 26;
const SEND_REMOTE_WRITE: u32 = 27;
const LOGGING: u32 = 30;
const METRICS_ENDPOINT: u32 = 31;
const DASHBOARDS: u32 = 32;
const CERTIFICATES: u32 = 33;
const INGRESS: u32 = 34;
const SERVICE_MESH: u32 = 35;
const REQUIRE_CMR_MESH: u32 = 36;

const UUID: &str = "00000000-0000-4000-8000-000000000001";
const FQDN: &str = "tempo-0.tempo-endpoints.obs.svc.cluster.local";

/// The document that the Python charm gives to workers.
const WORKER_CONFIG: &str = "auth_enabled: false
compactor:
  compaction:
    block_retention: 720h
    compacted_block_retention: 1h
    compaction_window: 1h
    max_compaction_objects: 1000000
  ring:
    kvstore:
      store: memberlist
distributor:
  receivers:
    jaeger:
      protocols:
        grpc:
          endpoint: 0.0.0.0:14250
        thrift_http:
          endpoint: 0.0.0.0:14268
    otlp:
      protocols:
        grpc:
          endpoint: 0.0.0.0:4317
        http:
          endpoint: 0.0.0.0:4318
    zipkin:
      endpoint: 0.0.0.0:9411
  ring:
    kvstore:
      store: memberlist
ingester:
  lifecycler:
    ring:
      kvstore:
        store: memberlist
      replication_factor: 1
  max_block_bytes: 100
  max_block_duration: 30m
  trace_idle_period: 10s
memberlist:
  abort_if_cluster_join_fails: false
  bind_port: 7946
  join_members:
  - worker-0.worker-endpoints.obs.svc.cluster.local:7946
  tls_enabled: false
metrics_generator:
  processor:
    service_graphs: {}
    span_metrics: {}
  ring:
    kvstore:
      store: memberlist
  storage:
    path: /etc/tempo/metrics_generator_wal
    remote_write:
    - url: http://tempo.obs.svc.cluster.local:3300/proxy/remote-write/prom-0/write
overrides:
  defaults:
    metrics_generator:
      processors:
      - span-metrics
      - service-graphs
querier:
  frontend_worker:
    frontend_address: localhost:9096
server:
  grpc_listen_port: 9096
  http_listen_port: 3200
storage:
  trace:
    backend: s3
    block:
      version: vParquet3
    pool:
      max_workers: 400
      queue_depth: 20000
    s3:
      access_key: AKEXAMPLE
      bucket: traces
      endpoint: 10.20.0.5:9000
      insecure: true
      secret_key: sekret-hunter22
    wal:
      path: /etc/tempo/tempo_wal
";

fn receivers() -> String {
    let receiver = |name: &str, transport: &str, url: &str| {
        format!(r#"{{"protocol": {{"name": "{name}", "type": "{transport}"}}, "url": "{url}"}}"#)
    };
    let list = [
        receiver("otlp_grpc", "grpc", "tempo.obs.svc.cluster.local:4317"),
        receiver("otlp_http", "http", "http://tempo.obs.svc.cluster.local:4318"),
        receiver("zipkin", "http", "http://tempo.obs.svc.cluster.local:9411"),
    ];
    format!("[{}]", list.join(", "))
}

/// A worker and an exporter; `more` is in both.
fn scrape_jobs(more: &str) -> String {
    let set = |label: &str, text: &str| format!(r#"{{"target_label": "{label}", "replacement": "{text}"}}"#);
    let labels = [
        set("juju_charm", "tempo-worker-k8s"),
        set("juju_unit", "worker/0"),
        set("juju_application", "worker"),
        set("juju_model", "obs"),
        set("juju_model_uuid", UUID),
    ];
    let worker = format!(
        r#"{{"metrics_path": "/proxy/worker/worker-0/metrics", "static_configs": [{{"targets": ["tempo.obs.svc.cluster.local:3300"]}}], "relabel_configs": [{}]{more}}}"#,
        labels.join(", ")
    );
    let exporter = format!(
        r#"{{"metrics_path": "/metrics", "static_configs": [{{"targets": ["{FQDN}:9113"], "labels": {{"juju_unit": "tempo/0"}}}}]{more}}}"#
    );
    format!("[{worker}, {exporter}]")
}

/// A cluster without TLS and ingress, as the Python charm has published it to everybody.
pub(crate) fn left_behind() -> State {
    let by_name = r#"{"otlp_grpc": "tempo.obs.svc.cluster.local:4317", "otlp_http": "http://tempo.obs.svc.cluster.local:4318", "zipkin": "http://tempo.obs.svc.cluster.local:9411"}"#;
    let told = [
        ("worker_config", serde_json::to_string(WORKER_CONFIG).expect("a text")),
        (
            "loki_endpoints",
            r#"{"loki/0": "http://tempo.obs.svc.cluster.local:3300/proxy/loki/loki-0/push"}"#.to_owned(),
        ),
        ("charm_tracing_receivers", by_name.to_owned()),
        ("workload_tracing_receivers", by_name.to_owned()),
        (
            "remote_write_endpoints",
            r#"[{"url": "http://tempo.obs.svc.cluster.local:3300/proxy/remote-write/prom-0/write"}]"#
                .to_owned(),
        ),
        ("worker_ports", "[3200, 4317, 4318, 7946, 9096, 9411]".to_owned()),
        ("worker_labels", r#"{"app.kubernetes.io/part-of": "tempo"}"#.to_owned()),
    ];
    let topology = format!(
        r#"{{"model": "obs", "model_uuid": "{UUID}", "application": "tempo", "unit": "tempo/0", "charm_name": "tempo-coordinator-k8s"}}"#
    );
    let silent: [(&str, &str); 0] = [];
    let mut state = alone()
        .with_relation(s3().with_local_app_data([("bucket", format!("relation-{S3}"))]))
        .with_relation(worker(WORKERS, "worker", "all", 1).with_local_app_data(told))
        .with_relation(
            requirer(GRAFANA, "grafana", r#"["zipkin"]"#).with_local_app_data([("receivers", receivers())]),
        )
        .with_relation(
            requirer(LOKI, "loki", r#"["otlp_grpc"]"#).with_local_app_data([("receivers", receivers())]),
        )
        .with_relation(
            Relation::new("catalogue", CATALOGUE, "catalogue", "catalogue")
                .with_remote_unit(0, silent)
                .with_local_app_data([
                    ("name", "Tempo (tempo)"),
                    (
                        "description",
                        "Tempo is a distributed tracing backend by Grafana, supporting Jaeger, Zipkin, and OpenTelemetry protocols.",
                    ),
                    ("icon", "transit-connection-variant"),
                    ("api_docs", "https://grafana.com/docs/tempo/latest/api_docs/"),
                    (
                        "api_endpoints",
                        r#"{"Search traces": "http://tempo.obs.svc.cluster.local:3200/api/search?<params>", "Query traces (by ID)": "http://tempo.obs.svc.cluster.local:3200/api/traces/<traceID>", "Status": "http://tempo.obs.svc.cluster.local:3200/status"}"#,
                    ),
                ]),
        )
        .with_relation(
            Relation::new("probes", PROBES, "blackbox_exporter_probes", "blackbox")
                .with_remote_unit(0, silent)
                .with_local_app_data([
                    ("scrape_metadata", topology.clone()),
                    (
                        "scrape_probes",
                        r#"[{"job_name": "juju_obs_00000000_tempo", "metrics_path": null, "params": {"module": ["http_2xx"]}, "static_configs": [{"targets": ["http://tempo.obs.svc.cluster.local:3200/ready"], "labels": null}]}]"#.to_owned(),
                    ),
                    ("scrape_modules", "{}".to_owned()),
                ]),
        )
        .with_relation(
            Relation::new("grafana-source", GRAFANA_SOURCE, "grafana_datasource", "grafana")
                .with_remote_unit(0, silent)
                .with_remote_app_data([
                    ("grafana_uid", "obs-grafana-7f9d".to_owned()),
                    ("grafana_base_url", "http://grafana.obs.svc.cluster.local:3000".to_owned()),
                    ("datasource_uids", "{}".to_owned()),
                    ("app_datasource_uid", format!("juju_obs_{UUID}_tempo")),
                ])
                .with_local_app_data([
                    ("grafana_source_app_host", "http://tempo.obs.svc.cluster.local:3200".to_owned()),
                    (
                        "grafana_source_data",
                        format!(
                            r#"{{"model": "obs", "model_uuid": "{UUID}", "application": "tempo", "type": "tempo", "extra_fields": null, "secure_extra_fields": null}}"#
                        ),
                    ),
                ]),
        )
        .with_relation(
            Relation::new("tempo-api", TEMPO_API, "tempo_api", "kiali")
                .with_remote_unit(0, silent)
                .with_local_app_data([
                    ("http", r#"{"direct_url": "http://tempo.obs.svc.cluster.local:3200/"}"#),
                    ("grpc", r#"{"direct_url": "http://tempo.obs.svc.cluster.local:9096/"}"#),
                ]),
        )
        .with_relation(
            Relation::new("receive-datasource", RECEIVE_DATASOURCE, "grafana_datasource_exchange", "mimir")
                .with_remote_unit(0, silent)
                .with_local_app_data([("datasources", "[]")]),
        )
        .with_relation(
            Relation::new("send-remote-write", SEND_REMOTE_WRITE, "prometheus_remote_write", "prom")
                .with_remote_unit(
                    0,
                    [("remote_write", r#"{"url": "http://prom-0.prom-endpoints.obs.svc.cluster.local:9090/api/v1/write"}"#)],
                )
                .with_local_app_data([(
                    "alert_rules",
                    r#"{"groups": [{"name": "obs_00000000_tempo_AggregatorHostHealth_rules", "rules": []}]}"#,
                )]),
        )
        .with_relation(
            Relation::new("logging", LOGGING, "loki_push_api", "loki")
                .with_remote_unit(
                    0,
                    [("endpoint", r#"{"url": "http://loki-0.loki-endpoints.obs.svc.cluster.local:3100/loki/api/v1/push"}"#)],
                )
                .with_local_app_data([("metadata", topology.as_str()), ("alert_rules", r#"{"groups": []}"#)]),
        )
        .with_relation(
            Relation::new("metrics-endpoint", METRICS_ENDPOINT, "prometheus_scrape", "prom")
                .with_remote_unit(0, silent)
                .with_local_app_data([
                    ("scrape_metadata", topology.clone()),
                    ("scrape_jobs", scrape_jobs("")),
                    ("alert_rules", r#"{"groups": []}"#.to_owned()),
                ])
                .with_local_unit_data([
                    ("prometheus_scrape_unit_address", "tempo.obs.svc.cluster.local"),
                    ("prometheus_scrape_unit_name", "tempo/0"),
                ]),
        )
        .with_relation(
            Relation::new("grafana-dashboard", DASHBOARDS, "grafana_dashboard", "grafana")
                .with_remote_unit(0, silent)
                .with_local_app_data([("dashboards", r#"{"templates": {}, "uuid": "x"}"#)]),
        );
    state.relation_mut("peers", 1).expect("there is one").local_unit_data = BTreeMap::from([
        ("fqdn".to_owned(), format!("\"{FQDN}\"")),
        ("hostname".to_owned(), FQDN.to_owned()),
    ]);
    state.opened_ports =
        [3200, 3300, 4317, 4318, 7946, 9096, 9411].iter().map(|port| format!("{port}/tcp")).collect();
    // What runs is in the containers still; only the charm's own container is new after a refresh.
    let nginx = state.containers.remove("nginx").unwrap_or_else(Container::ready);
    state.with_container("nginx", nginx.with_file("/etc/nginx/nginx.conf", "# of the charm before\n"))
}

/// `relation key` of everything of ours that differs between two states.
fn differences(before: &State, after: &State) -> BTreeSet<String> {
    let mut differences = BTreeSet::new();
    for old in &before.relations {
        let new = after.relation(&old.endpoint, old.id).expect("no relation is lost");
        for (before, after) in
            [(&old.local_app_data, &new.local_app_data), (&old.local_unit_data, &new.local_unit_data)]
        {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            let changed = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
            differences.extend(changed.map(|key| format!("{} {key}", old.endpoint)));
        }
    }
    differences
}

/// What a refresh changes in databags, each for a reason in `docs/parity.md`.
const CHANGES: [&str; 10] = [
    "catalogue description",
    "grafana-dashboard dashboards",
    "logging alert_rules",
    "logging metadata",
    "metrics-endpoint alert_rules",
    "metrics-endpoint scrape_jobs",
    "metrics-endpoint scrape_metadata",
    "receive-datasource datasources",
    "send-remote-write alert_rules",
    "tempo-cluster worker_config",
];

#[test]
fn a_refresh_from_the_python_charm_changes_no_databag_but_for_its_defects() {
    let before = left_behind();
    let out = run(&before, Event::UpgradeCharm);
    out.assert_ok();
    assert!(out.state.unit_status.is_active(), "{}", out.state.unit_status.message);
    assert_eq!(differences(&before, &out.state), CHANGES.map(str::to_owned).into());
    assert_eq!(out.state.opened_ports, before.opened_ports);
    // And that is all there is to it.
    run(&out.state, Event::ConfigChanged).assert_ok().assert_only_pushed("nginx", PAGE_PATH);
}

const KEY_LABEL: &str = "afd8c2bccf834997afce12c2706d2ede-private-key-0-certificates";

/// The routes as Python's YAML library writes them, for one unit behind a Traefik that speaks TLS.
fn traefik_routes() -> (String, String) {
    const WAYS: [(&str, u16); 7] = [
        ("jaeger-grpc", 14250),
        ("jaeger-thrift-http", 14268),
        ("otlp-grpc", 4317),
        ("otlp-http", 4318),
        ("tempo-grpc", 9096),
        ("tempo-http", 3200),
        ("zipkin", 9411),
    ];
    let each = |text: &dyn Fn(&str, u16) -> String| WAYS.map(|(name, port)| text(name, port)).concat();
    let middlewares = each(&|name, port| {
        format!(
            "    juju-obs-tempo-middleware-{name}:\n      redirectScheme:\n        permanent: true\n        port: {port}\n        \
             scheme: https\n"
        )
    });
    let routers = each(&|name, _| {
        format!(
            "    juju-obs-tempo-{name}:\n      entryPoints:\n      - {name}\n      middlewares:\n      - \
             juju-obs-tempo-middleware-{name}\n      rule: ClientIP(`0.0.0.0/0`)\n      service: \
             juju-obs-tempo-service-{name}\n"
        )
    });
    let services = each(&|name, port| {
        format!(
            "    juju-obs-tempo-service-{name}:\n      loadBalancer:\n        servers:\n        - url: https://{FQDN}:{port}\n"
        )
    });
    let entry_points = each(&|name, port| format!("  {name}:\n    address: :{port}\n"));
    (
        format!("http:\n  middlewares:\n{middlewares}  routers:\n{routers}  services:\n{services}"),
        format!("entryPoints:\n{entry_points}"),
    )
}

/// [`left_behind`] with TLS, a Traefik that speaks TLS, and a service mesh.
fn left_behind_with_tls_ingress_and_mesh() -> State {
    let (day, year) = (24 * 3600, 365 * 24 * 3600);
    let authority = Authority::new("authority", NOW - year, NOW + year).expect("an authority");
    let key = PrivateKey::generate().expect("a key");
    let names = [FQDN, "tempo.obs.svc.cluster.local", "worker-0.worker-endpoints.obs.svc.cluster.local"];
    let csr =
        request(&key, &RequestAttributes::server("tempo", names), "9b2f6f0e-0b57-4d7c-8a39-5f0e6c8d7a11")
            .expect("a request");
    let issued: Issued = authority.sign(&csr, NOW - day, NOW + 89 * day).expect("a certificate");
    let scope = KeyScope::Unit(UnitName::new("tempo", 0));
    let certificate_label = certificate_label(&scope, "certificates", &csr);
    let json = |text: &str| serde_json::to_string(text).expect("a text");

    let mut state = left_behind();
    let key_secret = Secret::new("cq8s3k7mp25c762k5vu0", "unit-tempo-0", [("private-key", key.to_pem())])
        .with_label(KEY_LABEL)
        .granted_to("application-worker", "relation-worker.tempo-cluster#tempo.tempo-cluster");
    let certificate_secret = Secret::new(
        "cq8s3k7mp25c762k5vug",
        "unit-tempo-0",
        [("certificate", issued.certificate.as_str()), ("csr", csr.as_str())],
    )
    .with_label(&certificate_label);

    let told = &mut state.relation_mut("tempo-cluster", WORKERS).expect("it is there").local_app_data;
    told.insert(
        "worker_labels".into(),
        r#"{"app.kubernetes.io/part-of": "tempo", "istio.io/dataplane-mode": "ambient"}"#.into(),
    );
    told.insert("ca_cert".into(), json(&issued.ca));
    told.insert("server_cert".into(), json(&issued.certificate));
    told.insert("privkey_secret_id".into(), json(&format!("secret://{UUID}/{}", key_secret.id)));
    // The rest of what the scene says in plain text, as it would be with TLS and behind the ingress.
    let proxied = |text: &str| {
        text.replace("http://tempo.obs.svc.cluster.local:3300", "https://tempo.obs.svc.cluster.local:3300")
    };
    let outside = |text: &str| {
        text.replace("tempo.obs.svc.cluster.local", "edge.example.net").replace("http://edge", "https://edge")
    };
    for (key, text) in told.iter_mut() {
        *text = if key.ends_with("tracing_receivers") { outside(text) } else { proxied(text) };
    }
    for relation in &mut state.relations {
        let data = &mut relation.local_app_data;
        match relation.endpoint.as_str() {
            "tracing" | "catalogue" | "probes" | "grafana-source" => {
                for text in data.values_mut() {
                    *text = outside(text);
                }
            }
            "metrics-endpoint" => {
                // Targets stay inside.
                data.insert("scrape_jobs".into(), scrape_jobs(r#", "scheme": "https""#));
                for text in relation.local_unit_data.values_mut() {
                    *text = outside(text);
                }
            }
            "tempo-api" => {
                for text in data.values_mut() {
                    let inside = text.replace("http://", "https://");
                    let direct = inside.trim_start_matches('{').trim_end_matches('}');
                    let ingress = outside(direct).replace("direct_url", "ingress_url");
                    *text = format!("{{{direct}, {ingress}}}");
                }
            }
            _ => {}
        }
    }
    let (config, entry_points) = traefik_routes();
    let entry = format!(
        r#"{{"certificate": {}, "certificate_signing_request": {}, "ca": {}, "chain": [{}, {}]}}"#,
        json(&issued.certificate),
        json(&csr),
        json(&issued.ca),
        json(&issued.certificate),
        json(&issued.ca),
    );
    let policy = |source: &str, kind: &str, ports: &str, more: &str| {
        format!(
            r#"{{"source_namespace": "obs", "source_app_name": "{source}", "target_namespace": "obs", "target_app_name": "tempo", "target_selector_labels": null, "target_service": null, "target_type": "{kind}", "endpoints": [{{"hosts": null, "ports": [{ports}], {more}}}]}}"#
        )
    };
    let anything = r#""methods": null, "paths": null"#;
    let policies = [
        policy("prom", "unit", "9113", anything),
        policy("prom", "app", "3300", r#""methods": ["GET"], "paths": ["/proxy/worker/{*}/metrics"]"#),
        policy("kiali", "app", "3200, 9096", anything),
        policy("grafana", "app", "4317, 4318, 9411", anything),
        policy("loki", "app", "4317, 4318, 9411", anything),
        policy("grafana", "app", "3200", anything),
    ];
    let silent: [(&str, &str); 0] = [];
    state
        .with_secret(key_secret)
        .with_secret(certificate_secret)
        .with_relation(
            Relation::new("certificates", CERTIFICATES, "tls-certificates", "ca")
                .with_remote_unit(0, silent)
                .with_remote_app_data([("certificates", format!("[{entry}]"))])
                .with_local_unit_data([(
                    "certificate_signing_requests",
                    format!(r#"[{{"certificate_signing_request": {}, "ca": false}}]"#, json(&csr)),
                )]),
        )
        .with_relation(
            Relation::new("ingress", INGRESS, "traefik_route", "traefik")
                .with_remote_unit(0, silent)
                .with_remote_app_data([("external_host", "edge.example.net"), ("scheme", "https")])
                .with_local_app_data([
                    ("config", config.as_str()),
                    ("static", &entry_points),
                    ("raw", "False"),
                ]),
        )
        .with_relation(
            Relation::new("service-mesh", SERVICE_MESH, "service_mesh", "beacon")
                .with_remote_unit(0, silent)
                .with_remote_app_data([
                    ("labels", r#"{"istio.io/dataplane-mode": "ambient"}"#),
                    ("mesh_type", r#""istio""#),
                ])
                .with_local_app_data([("policies", format!("[{}]", policies.join(", ")))]),
        )
        .with_relation(
            Relation::new("require-cmr-mesh", REQUIRE_CMR_MESH, "cross_model_mesh", "far")
                .with_remote_unit(0, silent)
                .with_local_app_data([("cmr_data", r#"{"app_name": "tempo", "juju_model_name": "obs"}"#)]),
        )
}

#[test]
fn a_refresh_keeps_key_certificate_and_every_url() {
    let before = left_behind_with_tls_ingress_and_mesh();
    let out = run(&before, Event::UpgradeCharm);
    out.assert_ok();
    assert!(out.state.unit_status.is_active(), "{}", out.state.unit_status.message);

    let expected = CHANGES.iter().chain(&["ingress static", "peers tls", "service-mesh policies"]);
    assert_eq!(differences(&before, &out.state), expected.map(|change| (*change).to_owned()).collect());

    // The same to Traefik, in other quotes.
    let entry_points = |state: &State| -> serde_json::Value {
        let data = &state.relation("ingress", INGRESS).expect("it is there").local_app_data;
        serde_yaml::from_str(&data["static"]).expect("YAML")
    };
    assert_eq!(entry_points(&out.state), entry_points(&before));
    // One more may pass, the prober; and Prometheus to one more port.
    let policies = |state: &State| -> Vec<serde_json::Value> {
        let data = &state.relation("service-mesh", SERVICE_MESH).expect("it is there").local_app_data;
        serde_json::from_str(&data["policies"]).expect("a list")
    };
    let (new, old) = (policies(&out.state), policies(&before));
    let added: Vec<_> = new.iter().filter(|policy| !old.contains(policy)).collect();
    assert_eq!((new.len() - old.len(), added.len()), (1, 2));
    assert_eq!(added[0]["endpoints"][0]["ports"], serde_json::json!([3300, 9113]));
    assert_eq!(added[1]["source_app_name"], "blackbox");

    let secret = |state: &State, label: &str| {
        let secret = state.secrets.iter().find(|secret| secret.label == label).expect("the secret is there");
        (secret.id.clone(), secret.latest(), secret.content(secret.latest()))
    };
    assert_eq!(secret(&out.state, KEY_LABEL), secret(&before, KEY_LABEL));
    assert_eq!(out.state.secrets.len(), before.secrets.len());
    run(&out.state, Event::ConfigChanged).assert_ok().assert_only_pushed("nginx", PAGE_PATH);
}
