//! Whole plans: given this cluster, exactly this.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::fixtures::{Cluster, KEY, complete};
use crate::plan::nginx::CONFIG_PATH;
use crate::snapshot::RelationSnapshot;

fn plan_of(cluster: &Cluster) -> Plan {
    plan(&cluster.deployment())
}

fn nginx_text(cluster: &Cluster) -> String {
    plan_of(cluster).nginx.unwrap().files[CONFIG_PATH].content.expose().to_owned()
}

/// One application for each role.
fn distributed() -> Cluster {
    Cluster::default()
        .with_s3()
        .worker("w-co", "compactor", 1)
        .worker("w-di", "distributor", 1)
        .worker("w-in", "ingester", 3)
        .worker("w-mg", "metrics-generator", 1)
        .worker("w-qf", "query-frontend", 1)
        .worker("w-qr", "querier", 1)
}

/// Everything at once.
fn busy() -> Cluster {
    let others = r#"[{"protocol": {"name": "otlp_http", "type": "http"}, "url": "https://traces.example.net:4318"},
                     {"protocol": {"name": "otlp_grpc", "type": "grpc"}, "url": "traces.example.net:4317"}]"#;
    let mut cluster = distributed()
        .requirer(r#"["jaeger_grpc", "jaeger_thrift_http"]"#)
        .requirer(r#"["otlp_grpc", "zipkin"]"#)
        .remote_write(&[
            "http://in.example/obs-prom-0/api/v1/write",
            "http://in.example/obs-prom-1/api/v1/write",
        ])
        .loki(&["http://loki-0.loki-endpoints.obs.svc.cluster.local:3100/loki/api/v1/push", ""])
        .other_cluster(Endpoint::SelfCharmTracing, others)
        .other_cluster(Endpoint::SelfWorkloadTracing, "[]")
        .scraped(None)
        .container(Container::Nginx, BTreeMap::new())
        .peer();
    cluster.host.ipv6 = true;
    cluster.host.nameserver = Some("fd00::a".parse().unwrap());
    cluster
}

/// The plan as people see it; documents within documents as lists of lines, and nginx's and the rules, which are checked by
/// themselves, left out.
fn shown(cluster: &Cluster) -> Value {
    let mut plan = serde_json::to_value(plan_of(cluster)).unwrap();
    plan["nginx"]["files"][CONFIG_PATH]["content"] = "…".into();
    for write in plan["publications"].as_array_mut().unwrap() {
        if let Some(rules) = write["data"].get_mut("alert_rules") {
            *rules = "…".into();
        }
    }
    for write in plan["cluster"].as_array_mut().unwrap() {
        let config = &mut write["data"]["worker_config"];
        let text: String = serde_json::from_str(config.as_str().unwrap()).unwrap();
        *config = text.lines().collect();
    }
    plan
}

#[test]
fn a_monolithic_cluster() {
    insta::assert_yaml_snapshot!(shown(&complete()));
}

#[test]
fn a_distributed_cluster_with_everything_related() {
    let mut plan = shown(&busy());
    // All workers get the same document and the same services; one of each is enough to see.
    plan["cluster"].as_array_mut().unwrap().truncate(2);
    insta::assert_yaml_snapshot!(plan);
}

#[test]
fn the_load_balancer_of_every_layout() {
    insta::assert_snapshot!("nginx_monolithic", nginx_text(&complete()));
    insta::assert_snapshot!("nginx_distributed", nginx_text(&distributed()));
    insta::assert_snapshot!("nginx_busy", nginx_text(&busy()));
}

/// Keys and certificates are made anew for each run of the tests.
fn without_pem(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("-----BEGIN") => {
            let kinds: Vec<&str> =
                text.split("-----BEGIN ").skip(1).filter_map(|part| part.split('-').next()).collect();
            *text = format!("({})", kinds.join(", "));
        }
        Value::Array(list) => list.iter_mut().for_each(without_pem),
        Value::Object(map) => map.values_mut().for_each(without_pem),
        _ => {}
    }
}

#[test]
fn a_cluster_with_tls() {
    let mut plan = shown(&complete().with_tls());
    without_pem(&mut plan);
    let reload =
        &mut plan["exporter"]["layer"]["services"]["nginx-prometheus-exporter"]["environment"]["_reload"];
    let (certified, web) = reload.as_str().unwrap().split_once(',').unwrap();
    assert_eq!((certified.len(), web.len()), (64, 64));
    *reload = "…".into();
    // The databag itself holds what workers need of it.
    insta::assert_yaml_snapshot!(plan);
    insta::assert_snapshot!("nginx_tls", nginx_text(&busy().with_tls()));
}

#[test]
fn what_tls_adds_to_the_document() {
    let plain =
        distributed().remote_write(&["http://prom-0.prom-endpoints.obs.svc.cluster.local:9090/api/v1/write"]);
    let config = worker_config(&plain.clone().with_tls(), 10);
    let client = json!({
        "tls_ca_path": "/usr/local/share/ca-certificates/ca.crt",
        "tls_cert_path": "/etc/worker/server.cert",
        "tls_enabled": true,
        "tls_key_path": "/etc/worker/private.key",
        "tls_server_name": "w-co-0.w-co-endpoints.obs.svc.cluster.local",
    });
    let server = json!({
        "cert_file": "/etc/worker/server.cert",
        "client_auth_type": "VerifyClientCertIfGiven",
        "client_ca_file": "/usr/local/share/ca-certificates/ca.crt",
        "key_file": "/etc/worker/private.key",
    });
    let receiver = json!({
        "ca_file": "/usr/local/share/ca-certificates/ca.crt",
        "cert_file": "/etc/worker/server.cert",
        "key_file": "/etc/worker/private.key",
    });
    let mut expect = worker_config(&plain, 10);
    for pointer in [
        "jaeger/protocols/grpc",
        "jaeger/protocols/thrift_http",
        "otlp/protocols/grpc",
        "otlp/protocols/http",
        "zipkin",
    ] {
        expect.pointer_mut(&format!("/distributor/receivers/{pointer}")).unwrap()["tls"] = receiver.clone();
    }
    expect["ingester_client"] = json!({"grpc_client_config": client});
    expect["metrics_generator_client"] = json!({"grpc_client_config": client});
    expect["querier"]["frontend_worker"]["grpc_client_config"] = client.clone();
    expect["memberlist"].as_object_mut().unwrap().extend(client.as_object().unwrap().clone());
    expect["server"]["grpc_tls_config"] = server.clone();
    expect["server"]["http_tls_config"] = server;
    expect["metrics_generator"]["storage"]["remote_write"] = json!([{
        "tls_config": {"ca_file": "/usr/local/share/ca-certificates/ca.crt", "insecure_skip_verify": false},
        "url": "https://tempo.obs.svc.cluster.local:3300/proxy/remote-write/prom-0/write",
    }]);
    assert_eq!(config, expect);
}

#[test]
fn workers_check_each_other_by_a_name_that_is_in_the_certificate() {
    let name = |cluster: &Cluster| worker_config(cluster, 10)["memberlist"]["tls_server_name"].clone();
    // A worker that has just come is in no certificate yet, even if it is the first of all.
    let grown = distributed().with_tls().worker("a", "querier", 1);
    assert_eq!(name(&grown), "w-co-0.w-co-endpoints.obs.svc.cluster.local");
    // No certificate is for addresses.
    let mut addresses = complete();
    for relation in addresses.relations.get_mut(&Endpoint::TempoCluster).unwrap() {
        for (number, bag) in relation.remote_units.values_mut().flatten().enumerate() {
            bag.insert("address", format!(r#""10.1.2.{number}""#));
        }
    }
    assert_eq!(name(&addresses.with_tls()), "tempo.obs.svc.cluster.local");
}

#[test]
fn urls_follow_tls() {
    for (cluster, scheme) in
        [(busy(), "http"), (busy().with_authority(), "http"), (busy().with_tls(), "https")]
    {
        let plan = plan_of(&cluster);
        let urls = plan.receivers.as_ref().unwrap().iter().map(|receiver| receiver.url.clone());
        let http: Vec<String> = urls.filter(|url| url.contains("://")).collect();
        assert!(
            !http.is_empty() && http.iter().all(|url| url.starts_with(&format!("{scheme}://"))),
            "{http:?}"
        );
        for key in ["loki_endpoints", "charm_tracing_receivers", "remote_write_endpoints"] {
            let text = worker_data(&plan, 10)[key].as_ref().unwrap().expose();
            assert!(text.contains(&format!("{scheme}://tempo.obs.svc.cluster.local:3300/")), "{text}");
        }
    }
}

#[test]
fn a_follower_has_tls_and_grants_nothing() {
    let mut cluster = complete().with_tls();
    let grants = plan_of(&cluster).certificates.grants;
    assert_eq!(grants.iter().map(|grant| (&*grant.app, grant.relation)).collect::<Vec<_>>(), [("tw", 10)]);
    cluster.leader = false;
    let plan = plan_of(&cluster);
    assert!(plan.certificates.grants.is_empty() && plan.certificates.requests.is_some());
    assert_eq!(plan.nginx, plan_of(&complete().with_tls()).nginx);
}

#[test]
fn nothing_changes_while_something_is_missing() {
    for cluster in [
        Cluster::default(),
        complete().without_s3(),
        Cluster::default().with_s3().worker("w", "querier", 1),
        Cluster::default().with_s3().worker("w", "all", 0),
    ] {
        let plan = plan_of(&cluster.requirer(r#"["zipkin"]"#).peer());
        assert!(!plan.unmet.is_empty());
        assert_eq!((plan.nginx, plan.exporter, plan.cluster, plan.tracing), (None, None, None, None));
        assert_eq!((plan.receivers, plan.ports), (None, None));
        // What helps it to become complete is said in any case.
        assert_eq!(plan.peers.iter().filter(|write| write.scope == Scope::Unit).count(), 1);
    }
}

#[test]
fn a_follower_plans_what_is_its_own() {
    let mut cluster = busy();
    cluster.leader = false;
    let (follower, leader) = (plan_of(&cluster), plan_of(&busy()));
    assert_eq!((follower.cluster, follower.tracing, follower.requests), (None, None, Vec::new()));
    assert_eq!(follower.nginx, leader.nginx);
    assert_eq!(follower.exporter, leader.exporter);
    assert_eq!(follower.receivers, leader.receivers);
    assert_eq!(follower.ports, leader.ports);
    assert!(follower.peers.iter().all(|write| write.scope == Scope::Unit));
    assert!(follower.peers.iter().all(|write| leader.peers.contains(write)));
}

fn protocols(plan: &Plan) -> Vec<&str> {
    plan.receivers.iter().flatten().map(|receiver| receiver.protocol.name()).collect()
}

#[test]
fn protocols_are_those_asked_for_and_those_turned_on() {
    let check = |cluster: &Cluster, expect: &[&str]| assert_eq!(protocols(&plan_of(cluster)), expect);
    check(&complete(), &["otlp_http"]);
    check(&complete().requirer(r#"["otlp_grpc"]"#), &["otlp_grpc", "otlp_http"]);
    check(&complete().requirer(r#"["zipkin", "nonsense"]"#), &["otlp_http", "zipkin"]);
    check(&complete().requirer("nonsense").requirer("[]"), &["otlp_http"]);
    let mut enabled = complete();
    enabled.config.as_mut().unwrap().always_enable_jaeger_grpc = true;
    check(&enabled, &["jaeger_grpc", "otlp_http"]);
}

#[test]
fn a_requirer_that_leaves_takes_its_protocols_from_everybody() {
    let mut cluster = complete().requirer(r#"["zipkin"]"#).requirer(r#"["otlp_grpc"]"#);
    cluster.relations.get_mut(&Endpoint::Tracing).unwrap().remove(0);
    let plan = plan_of(&cluster);
    let [write] = &plan.tracing.as_ref().unwrap()[..] else { panic!("one requirer is left") };
    let published: Value = serde_json::from_str(write.data["receivers"].as_ref().unwrap().expose()).unwrap();
    assert_eq!(
        published,
        json!([
            {"protocol": {"name": "otlp_grpc", "type": "grpc"}, "url": "tempo.obs.svc.cluster.local:4317"},
            {"protocol": {"name": "otlp_http", "type": "http"}, "url": "http://tempo.obs.svc.cluster.local:4318"},
        ])
    );
    assert!(!nginx_text(&cluster).contains("9411"));
    assert!(!plan.ports.as_ref().unwrap().contains(&Port::tcp(9411)));
}

fn worker_data(plan: &Plan, relation: u32) -> &BTreeMap<String, Option<Text>> {
    &plan.cluster.as_ref().unwrap().iter().find(|write| write.relation == relation).unwrap().data
}

fn ports_of(plan: &Plan, relation: u32) -> Vec<u16> {
    serde_json::from_str(worker_data(plan, relation)["worker_ports"].as_ref().unwrap().expose()).unwrap()
}

#[test]
fn worker_ports_follow_from_roles() {
    let plan = plan_of(&distributed().requirer(r#"["zipkin"]"#).worker("odd", "all,imposter,querier", 1));
    assert_eq!(ports_of(&plan, 10), [3200, 7946]);
    assert_eq!(ports_of(&plan, 11), [3200, 4318, 7946, 9411]);
    assert_eq!(ports_of(&plan, 14), [3200, 7946, 9096]);
    assert_eq!(ports_of(&plan, 16), [3200, 4318, 7946, 9096, 9411]);
}

#[test]
fn workers_without_a_known_role_or_without_an_address_are_told_nothing() {
    let cluster = complete().worker("imposter", "imposter", 1).worker("new", "querier", 0).silent_unit("new");
    let plan = plan_of(&cluster);
    let told: Vec<u32> = plan.cluster.unwrap().iter().map(|write| write.relation).collect();
    assert_eq!(told, [10]);
}

#[test]
fn a_silent_unit_does_not_freeze_its_application() {
    assert_eq!(plan_of(&complete().silent_unit("tw")).cluster, plan_of(&complete()).cluster);
}

#[test]
fn without_a_valid_retention_workers_keep_what_they_have_and_requirers_are_served() {
    let mut cluster = complete().requirer(r#"["zipkin"]"#);
    cluster.config.as_mut().unwrap().retention_period = 0;
    let plan = plan_of(&cluster);
    assert_eq!(plan.cluster, None);
    assert_eq!(protocols(&plan), ["otlp_http", "zipkin"]);
    assert!(plan.nginx.is_some());
}

fn worker_config(cluster: &Cluster, relation: u32) -> Value {
    let plan = plan_of(cluster);
    let text: String =
        serde_json::from_str(worker_data(&plan, relation)["worker_config"].as_ref().unwrap().expose())
            .unwrap();
    serde_yaml::from_str(&text).unwrap()
}

/// What Python's charm publishes, but for the size of blocks and their format.
#[test]
fn the_document_of_a_monolithic_cluster() {
    let expect = json!({
        "auth_enabled": false,
        "compactor": {
            "compaction": {
                "block_retention": "720h", "compacted_block_retention": "1h", "compaction_window": "1h",
                "max_compaction_objects": 1_000_000,
            },
            "ring": {"kvstore": {"store": "memberlist"}},
        },
        "distributor": {
            "receivers": {
                "jaeger": {"protocols": {
                    "grpc": {"endpoint": "0.0.0.0:14250"}, "thrift_http": {"endpoint": "0.0.0.0:14268"},
                }},
                "otlp": {"protocols": {"grpc": {"endpoint": "0.0.0.0:4317"}, "http": {"endpoint": "0.0.0.0:4318"}}},
                "zipkin": {"endpoint": "0.0.0.0:9411"},
            },
            "ring": {"kvstore": {"store": "memberlist"}},
        },
        "ingester": {
            "flush_all_on_shutdown": true,
            "lifecycler": {"ring": {"kvstore": {"store": "memberlist"}, "replication_factor": 1}},
            "max_block_duration": "30m", "trace_idle_period": "10s",
        },
        "memberlist": {
            "abort_if_cluster_join_fails": false, "bind_port": 7946,
            "join_members": [
                "tw-0.tw-endpoints.obs.svc.cluster.local:7946", "tw-1.tw-endpoints.obs.svc.cluster.local:7946",
            ],
            "tls_enabled": false,
        },
        "querier": {"frontend_worker": {"frontend_address": "localhost:9096"}},
        "server": {"grpc_listen_port": 9096, "http_listen_port": 3200},
        "storage": {"trace": {
            "backend": "s3",
            "block": {"version": "vParquet4"},
            "pool": {"max_workers": 400, "queue_depth": 20000},
            "s3": {
                "access_key": "AKEXAMPLE", "bucket": "traces", "endpoint": "10.20.0.5:9000", "insecure": true,
                "secret_key": "sekret",
            },
            "wal": {"path": "/etc/tempo/tempo_wal"},
        }},
    });
    assert_eq!(worker_config(&complete(), 10), expect);
}

#[test]
fn what_of_the_document_depends_on_the_cluster() {
    let mut cluster = distributed()
        .remote_write(&["http://prom-0.prom-endpoints.obs.svc.cluster.local:9090/api/v1/write"])
        .s3_data(&[
            ("access-key", "AKEXAMPLE"),
            ("secret-key", "sekret"),
            ("bucket", "traces"),
            ("endpoint", "https://s3.example.org:443"),
            ("region", "eu-west-9"),
            ("tls-ca-chain", r#"["one", "two"]"#),
        ]);
    cluster.config.as_mut().unwrap().retention_period = 168;
    let config = worker_config(&cluster, 10);
    let at = |pointer: &str| config.pointer(pointer).cloned().unwrap_or(Value::Null);
    assert_eq!(at("/compactor/compaction/block_retention"), "168h");
    assert_eq!(at("/ingester/lifecycler/ring/replication_factor"), 3);
    assert_eq!(at("/querier/frontend_worker/frontend_address"), "w-qf-endpoints.obs.svc.cluster.local:9096");
    assert_eq!(
        at("/memberlist/join_members"),
        json!(["w-co-0", "w-di-0", "w-in-0", "w-in-1", "w-in-2", "w-mg-0", "w-qf-0", "w-qr-0"].map(|unit| {
            let app = &unit[..unit.len() - 2];
            format!("{unit}.{app}-endpoints.obs.svc.cluster.local:7946")
        }))
    );
    assert_eq!(
        at("/storage/trace/s3"),
        json!({
            "access_key": "AKEXAMPLE", "bucket": "traces", "endpoint": "s3.example.org", "insecure": false,
            "region": "eu-west-9", "secret_key": "sekret", "tls_ca_path": "/etc/worker/s3_ca.crt",
        })
    );
    assert_eq!(
        at("/metrics_generator"),
        json!({
            "processor": {"service_graphs": {}, "span_metrics": {}},
            "ring": {"kvstore": {"store": "memberlist"}},
            "storage": {
                "path": "/etc/tempo/metrics_generator_wal",
                "remote_write": [{"url": "http://tempo.obs.svc.cluster.local:3300/proxy/remote-write/prom-0/write"}],
            },
        })
    );
    assert_eq!(
        at("/overrides"),
        json!({"defaults": {"metrics_generator": {"processors": ["span-metrics", "service-graphs"]}}})
    );
    let plan = plan_of(&cluster);
    assert_eq!(worker_data(&plan, 10)["s3_tls_ca_chain"].as_ref().unwrap().expose(), r#""one\n\ntwo""#);
}

#[test]
fn queriers_find_their_frontend() {
    let check = |cluster: Cluster, expect: &str| {
        let config = worker_config(&cluster, 10);
        assert_eq!(config.pointer("/querier/frontend_worker/frontend_address").unwrap(), expect);
    };
    let rest = || {
        Cluster::default().with_s3().worker("r", "distributor", 1).worker("i", "ingester", 1).worker(
            "c",
            "compactor",
            1,
        )
    };
    check(complete(), "localhost:9096");
    check(complete().worker("q", "querier", 1), "tw-endpoints.obs.svc.cluster.local:9096");
    check(complete().worker("f", "query-frontend", 1), "localhost:9096");
    check(
        rest().worker("f", "query-frontend", 2).worker("q", "querier", 1),
        "f-endpoints.obs.svc.cluster.local:9096",
    );
    // Addresses have no parent.
    let mut cluster = rest().worker("f", "query-frontend", 1).worker("q", "querier", 1);
    for relation in cluster.relations.get_mut(&Endpoint::TempoCluster).unwrap() {
        for bag in relation.remote_units.values_mut().flatten() {
            bag.insert("address", format!(r#""http://10.1.2.{}:3200""#, relation.id));
        }
    }
    check(cluster, "10.1.2.13:9096");
}

#[test]
fn what_workers_are_told_of_other_charms_has_a_location() {
    let cluster = busy();
    let (plan, text) = (plan_of(&cluster), nginx_text(&cluster));
    let mut urls = Vec::new();
    for key in ["loki_endpoints", "charm_tracing_receivers", "remote_write_endpoints"] {
        let value: Value =
            serde_json::from_str(worker_data(&plan, 10)[key].as_ref().unwrap().expose()).unwrap();
        let found = value
            .to_string()
            .split('"')
            .filter(|part| part.starts_with("http"))
            .map(str::to_owned)
            .collect::<Vec<_>>();
        assert!(!found.is_empty(), "{key}");
        urls.extend(found);
    }
    assert_eq!(urls.len(), 4);
    for url in urls {
        let path = url.strip_prefix("http://tempo.obs.svc.cluster.local:3300").unwrap();
        let (exact, below) = (format!("location = {path} {{"), format!("location {path} {{"));
        assert!(text.contains(&exact) || text.contains(&below), "{path}");
    }
    // Another cluster that offers nothing is still the one that was chosen.
    assert_eq!(worker_data(&plan, 10)["workload_tracing_receivers"].as_ref().unwrap().expose(), "{}");
}

#[test]
fn own_receivers_take_the_traces_of_the_cluster_if_nobody_else_does() {
    let plan = plan_of(&complete().requirer(r#"["otlp_grpc"]"#));
    for key in ["charm_tracing_receivers", "workload_tracing_receivers"] {
        assert_eq!(
            worker_data(&plan, 10)[key].as_ref().unwrap().expose(),
            r#"{"otlp_grpc": "tempo.obs.svc.cluster.local:4317", "otlp_http": "http://tempo.obs.svc.cluster.local:4318"}"#
        );
    }
}

#[test]
fn keys_that_are_owned_and_empty_are_deleted() {
    let plan = plan_of(&complete());
    for key in ["ca_cert", "server_cert", "privkey_secret_id", "s3_tls_ca_chain"] {
        assert_eq!(worker_data(&plan, 10)[key], None, "{key}");
    }
}

/// What grows with the square of their number would not end here.
#[test]
fn thousands_of_units_and_relations_are_planned() {
    const MANY: u32 = 3_000;
    let mut cluster = complete().worker("many", "all", MANY);
    let one = cluster.clone().requirer(r#"["zipkin"]"#).relations[&Endpoint::Tracing][0].clone();
    let requirers = (1000..1000 + MANY).map(|id| RelationSnapshot { id, ..one.clone() });
    cluster.relations.insert(Endpoint::Tracing, requirers.collect());
    let plan = plan_of(&cluster);
    assert_eq!(plan.tracing.as_ref().unwrap().len(), MANY as usize);
    assert!(plan.nginx.unwrap().files[CONFIG_PATH].content.expose().contains("many-2999.many-endpoints"));
}

#[test]
fn no_secret_shows() {
    let cluster = busy().with_tls();
    let plan = plan_of(&cluster);
    for shown in
        [serde_json::to_string(&plan).unwrap(), format!("{plan:?}"), format!("{:?}", cluster.deployment())]
    {
        assert!(!shown.contains("sekret") && !shown.contains("AKEXAMPLE"), "{shown}");
        assert!(!shown.contains("PRIVATE KEY") && !shown.contains(KEY.to_pem().lines().nth(3).unwrap()));
        assert!(shown.contains("[redacted]"));
    }
    assert!(worker_data(&plan, 10)["worker_config"].as_ref().unwrap().expose().contains("sekret"));
}
