//! The stand-ins of the other side.

use crate::{PATIENCE, up};

const CLUSTER: &str = "
applications:
  tempo: {charm: $CHARMS/coordinator}
  w: {charm: double:tempo-worker, scale: 2, options: {role: 'distributor,ingester'}}
  s3: {charm: double:s3, options: {bucket: '', endpoint: 'http://store:9000'}}
  a: {charm: $CHARMS/probe}
relations:
  - [tempo, w]
  - [tempo, s3]
";

#[test]
fn the_store_hands_out_a_bucket_and_remembers_who_asked() {
    let model = up(CLUSTER);
    let unit = model.unit("tempo/0");
    let s3 = unit.relation_info.iter().find(|relation| relation.endpoint == "s3").unwrap();
    assert_eq!(s3.application_data["bucket"], "wanted");
    assert_eq!(s3.application_data["endpoint"], "http://store:9000");
    assert_eq!(s3.application_data["data"], r#"{"bucket": "wanted"}"#);
    model.client.configure("s3", "access-key", "").unwrap();
    model.settle();
    let unit = model.unit("tempo/0");
    let s3 = unit.relation_info.iter().find(|relation| relation.endpoint == "s3").unwrap();
    assert!(!s3.application_data.contains_key("access-key"));
    assert_eq!(model.unit("s3/0").workload.current, "blocked");
}

#[test]
fn workers_announce_themselves_and_count_the_spans_they_get() {
    let model = up(CLUSTER);
    model.client.wait_active(PATIENCE).unwrap();
    let cluster = |unit: &str| {
        model.unit(unit).relation_info.into_iter().find(|r| r.endpoint == "tempo-cluster").unwrap()
    };
    let seen = cluster("tempo/0");
    assert_eq!(seen.application_data["role"], r#""distributor,ingester""#);
    assert_eq!(seen.related_units["w/1"]["address"], r#""w-1.w-endpoints.m.svc.cluster.local""#);
    assert_eq!(model.unit("w/0").opened_ports, ["3200/tcp", "4318/tcp"]);

    for (unit, protocol, url, spans) in [
        ("a/0", "otlp_http", "http://w-0.w-endpoints.m.svc.cluster.local:4318", 7),
        ("a/0", "otlp_grpc", "w-1.w-endpoints.m.svc.cluster.local:4317", 5),
    ] {
        let sent = model.client.send_spans(unit, protocol, url, spans).unwrap();
        assert_eq!(sent["accepted"], spans, "{sent}");
    }
    let counts = model.client.counts("w").unwrap();
    assert_eq!((counts["otlp_http"], counts["otlp_grpc"]), (7, 5));

    // Another configuration: the old port closes, and what was counted is not forgotten.
    model.client.configure("tempo", "receivers", "{zipkin: {endpoint: '0.0.0.0:9411'}}").unwrap();
    model.settle();
    let sent = model
        .client
        .send_spans("a/0", "otlp_http", "http://w-0.w-endpoints.m.svc.cluster.local:4318", 1)
        .unwrap();
    assert_eq!(sent["accepted"], 0, "{sent}");
    let sent = model.client.send_spans("a/0", "zipkin", "http://w.m.svc.cluster.local:9411", 3).unwrap();
    assert_eq!(sent["accepted"], 3, "{sent}");
    let counts = model.client.counts("w").unwrap();
    assert_eq!((counts["otlp_http"], counts["otlp_grpc"], counts["zipkin"]), (7, 5, 3));
}
