//! The stand-ins of Grafana, Loki, Prometheus and the service mesh.

use std::collections::BTreeMap;

use crate::{Running, up};

const MODEL: &str = "
applications:
  t: {charm: $CHARMS/traced}
  grafana: {charm: double:grafana}
  loki: {charm: double:loki}
  prom: {charm: double:prometheus, scale: 2}
  beacon: {charm: double:mesh}
  guest: {charm: double:mesh-guest, options: {app_name: otelcol}}
relations:
  - [t:grafana-source, grafana]
  - [t:logging, loki]
  - [t:receive-datasource, loki]
  - [t:send-remote-write, prom]
  - [t:receive-datasource, prom]
  - [t, beacon]
  - [t:provide-cmr-mesh, guest]
  - [t:require-cmr-mesh, guest]
  - [t:tracing, guest]
";

impl Running {
    /// What an application has told the charm on one of the charm's endpoints: as application, and its units.
    #[track_caller]
    fn told(
        &self,
        endpoint: &str,
        app: &str,
    ) -> (BTreeMap<String, String>, BTreeMap<String, BTreeMap<String, String>>) {
        let relations = self.unit("t/0").relation_info.into_iter();
        let mut named = relations.filter(|relation| relation.endpoint == endpoint);
        let found = named.find(|relation| relation.related_units.keys().any(|unit| unit.starts_with(app)));
        let relation = found.expect("the relation is there");
        (relation.application_data, relation.related_units)
    }
}

#[test]
fn grafana_and_the_owners_of_data_sources_know_each_other() {
    let model = up(MODEL);
    let (grafana, _) = model.told("grafana-source", "grafana");
    assert_eq!(grafana["grafana_uid"], "simulated-grafana");
    assert_eq!(grafana["grafana_base_url"], "http://grafana.m.svc.cluster.local:3000");
    assert_eq!(
        (grafana["datasource_uids"].as_str(), grafana["app_datasource_uid"].as_str()),
        ("{}", "juju_m_u_traced")
    );
    assert_eq!(model.unit("grafana/0").workload.message, "1 data source");
    for (app, kind) in [("loki", "loki"), ("prom", "prometheus")] {
        let list = &model.told("receive-datasource", app).0["datasources"];
        assert!(list.contains(&format!(r#"{{"type":"{kind}","uid":"juju_m_"#)), "{list}");
        assert!(list.ends_with(&format!(r#"_{app}","grafana_uid":"simulated-grafana"}}]"#)), "{list}");
    }

    // Grafanas of old know units only, and those before them do not even say who they are.
    model.client.configure("grafana", "per_unit", "true").unwrap();
    model.client.configure("grafana", "grafana_uid", "").unwrap();
    model.client.configure("loki", "grafana_uid", "").unwrap();
    model.settle();
    let (grafana, _) = model.told("grafana-source", "grafana");
    assert_eq!(grafana["datasource_uids"], r#"{"t/0": "juju_m_u_traced_0"}"#);
    assert!(!grafana.contains_key("app_datasource_uid") && !grafana.contains_key("grafana_uid"));
    assert_eq!(model.told("receive-datasource", "loki").0["datasources"], "[]");
}

#[test]
fn grafana_names_the_dashboards_that_it_shows_and_those_that_it_refuses() {
    let model = up("
applications:
  t: {charm: $CHARMS/traced}
  broken: {charm: $CHARMS/traced}
  grafana: {charm: double:grafana}
  other: {charm: double:grafana}
relations:
  - [t:grafana-dashboard, grafana]
  - [broken:grafana-dashboard, other]
");
    let (said, _) = model.told("grafana-dashboard", "grafana");
    assert_eq!(said["event"], r#"{"errors": [], "valid": true}"#);
    assert_eq!(model.unit("grafana/0").workload.message, "0 data sources, 1 dashboard: T");

    let relations = model.unit("broken/0").relation_info;
    let said =
        &relations.iter().find(|relation| relation.endpoint == "grafana-dashboard").unwrap().application_data;
    assert_eq!(
        said["event"],
        r#"{"errors": [{"dashboard_id": "file:b", "error": "not in xz, or damaged"}], "valid": false}"#
    );
    let status = model.unit("other/0").workload;
    assert_eq!(status.current, "blocked");
    assert!(status.message.ends_with(": file:b: not in xz, or damaged"), "{status:?}");
}

#[test]
fn logs_and_metrics_have_somewhere_to_go() {
    let model = up(MODEL);
    let (_, loki) = model.told("logging", "loki");
    assert_eq!(
        loki["loki/0"]["endpoint"],
        r#"{"url": "http://loki-0.loki-endpoints.m.svc.cluster.local:3100/loki/api/v1/push"}"#
    );
    let (_, prom) = model.told("send-remote-write", "prom");
    assert_eq!(
        prom["prom/1"]["remote_write"],
        r#"{"url": "http://prom-1.prom-endpoints.m.svc.cluster.local:9090/api/v1/write"}"#
    );
    assert_eq!(model.unit("loki/0").workload.message, "1 group");
    assert_eq!(model.unit("prom/0").workload.message, "2 groups");
    model.client.configure("loki", "silent", "true").unwrap();
    model.client.configure("prom", "url", "https://mimir.example.com/api/v1/push").unwrap();
    model.settle();
    assert!(!model.told("logging", "loki").1["loki/0"].contains_key("endpoint"));
    let (_, prom) = model.told("send-remote-write", "prom");
    assert_eq!(prom["prom/0"]["remote_write"], r#"{"url": "https://mimir.example.com/api/v1/push"}"#);
}

#[test]
fn a_mesh_gives_labels_and_a_guest_introduces_itself() {
    let model = up(MODEL);
    let (mesh, _) = model.told("service-mesh", "beacon");
    assert_eq!(mesh["labels"], r#"{"istio.io/dataplane-mode": "ambient"}"#);
    assert_eq!(mesh["mesh_type"], r#""istio""#);
    assert_eq!(model.unit("beacon/0").workload.message, "1 policy");
    let (guest, _) = model.told("provide-cmr-mesh", "guest");
    assert_eq!(guest["cmr_data"], r#"{"app_name": "otelcol", "juju_model_name": "elsewhere"}"#);
    assert_eq!(model.told("tracing", "guest").0["receivers"], r#"["otlp_http"]"#);
    assert_eq!(model.unit("guest/0").workload.message, "m/traced");
    model.client.configure("beacon", "labels", "").unwrap();
    model.settle();
    assert!(model.told("service-mesh", "beacon").0.is_empty());
}
