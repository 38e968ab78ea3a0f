//! The stand-ins of the other side.

use juju_sim::{client::Request, spans::Fetched};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::{PATIENCE, Running, up};

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

#[test]
fn a_worker_runs_what_its_option_says_and_a_real_one_has_one_role() {
    let model = up(CLUSTER);
    model.client.wait_active(PATIENCE).unwrap();
    let ready = || {
        let urls = vec!["http://w-0.w-endpoints.m.svc.cluster.local:3200/ready".to_owned()];
        let request = Request::Fetch { unit: "a/0".to_owned(), urls, timeout: 5.0, ca: None };
        model.client.ask::<Vec<Fetched>>(&request).unwrap().remove(0)
    };
    assert!(ready().is_success(), "{:?}", ready());
    model.client.configure("w", "workload", "tempo").unwrap();
    model.settle();
    let status = model.unit("w/0").workload;
    assert_eq!(status.current, "blocked");
    assert!(status.message.contains("one role"), "{}", status.message);
    assert!(ready().error.contains("refused"), "the sink has to be gone: {:?}", ready());
    model.client.configure("w", "workload", "sink").unwrap();
    model.client.wait_active(PATIENCE).unwrap();
    assert!(ready().is_success(), "{:?}", ready());
}

/// An authority's certificate and one that it signed for the first worker, PEM.
fn signed(key: &KeyPair) -> (String, String) {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&authority).unwrap().pem();
    let names = ["w-0.w-endpoints.m.svc.cluster.local".to_owned()];
    let certificate = CertificateParams::new(names).unwrap();
    (ca, certificate.signed_by(key, &Issuer::new(params, authority)).unwrap().pem())
}

impl Running {
    /// How many of three spans the first worker takes over OTLP, in HTTP and in gRPC.
    #[track_caller]
    fn taken_with_tls(&self, ca: &str) -> [u64; 2] {
        let host = "w-0.w-endpoints.m.svc.cluster.local";
        let urls = [("otlp_http", format!("https://{host}:4318")), ("otlp_grpc", format!("{host}:4317"))];
        urls.map(|(protocol, url)| {
            let request = Request::SendSpans {
                unit: "a/0".to_owned(),
                protocol: protocol.to_owned(),
                url,
                spans: 3,
                timeout: 2.0,
                age: 0.0,
                tls: true,
                ca: Some(ca.to_owned()),
            };
            self.client.request(&request).unwrap()["accepted"].as_u64().unwrap()
        })
    }

    /// What a shell line says in the first worker's pod.
    #[track_caller]
    fn in_worker(&self, line: &str) -> String {
        self.client.exec("w/0", None, &["sh", "-c", line]).unwrap().stdout
    }
}

#[test]
fn a_worker_speaks_tls_while_it_is_given_a_certificate_and_a_key() {
    let model = up(CLUSTER);
    let set = |option: &str, value: &str| {
        model.client.configure("tempo", option, value).unwrap();
        model.settle();
    };
    let key = KeyPair::generate().unwrap();
    let (ca, certificate) = signed(&key);
    let json = |pem: &str| serde_json::to_string(pem).unwrap();
    let files = "{cert_file: /etc/worker/server.cert, key_file: /etc/worker/private.key}";
    let tls = format!(
        "{{otlp: {{protocols: {{http: {{endpoint: '0.0.0.0:4318', tls: {files}}}, grpc: {{endpoint: '0.0.0.0:4317', tls: {files}}}}}}}}}"
    );

    // Told to speak TLS, and with what only later: it does not speak plain text meanwhile.
    set("receivers", &tls);
    let status = model.unit("w/0").workload;
    assert_eq!(status.current, "waiting");
    assert!(status.message.contains("/etc/worker/server.cert"), "{}", status.message);
    let plain = || {
        let url = "http://w-0.w-endpoints.m.svc.cluster.local:4318";
        model.client.send_spans("a/0", "otlp_http", url, 1).unwrap()["accepted"].clone()
    };
    assert_eq!(plain(), 0);
    set("private_key", &key.serialize_pem());
    set("ca_cert", &json(&ca));
    set("server_cert", &json(&certificate));
    model.client.wait_active(PATIENCE).unwrap();
    assert_eq!(model.taken_with_tls(&ca), [3, 3]);
    assert_eq!(plain(), 0);
    assert_eq!(
        model.in_worker("cat /etc/worker/ca.cert /usr/local/share/ca-certificates/ca.crt"),
        ca.repeat(2)
    );
    assert_eq!(model.in_worker("stat -c %a /etc/worker/private.key").trim(), "600");

    // Another authority and certificate: the same process, which has them at once.
    let sinks = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | grep -q '^/charm/bin/juju-sim workload sink' && echo $p; done";
    let before = model.in_worker(sinks);
    assert_eq!(before.lines().count(), 1, "{before}");
    let (next_ca, certificate) = signed(&key);
    set("ca_cert", &json(&next_ca));
    set("server_cert", &json(&certificate));
    assert_eq!((model.taken_with_tls(&ca), model.taken_with_tls(&next_ca)), ([0, 0], [3, 3]));
    assert_eq!(model.in_worker(sinks), before);

    // Another key: the secret's new revision.
    let key = KeyPair::generate().unwrap();
    let (ca, certificate) = signed(&key);
    for (option, value) in
        [("ca_cert", json(&ca)), ("private_key", key.serialize_pem()), ("server_cert", json(&certificate))]
    {
        model.client.configure("tempo", option, &value).unwrap();
    }
    model.client.wait_active(PATIENCE).unwrap();
    assert_eq!(model.taken_with_tls(&ca), [3, 3]);

    set("receivers", "{otlp: {protocols: {http: {endpoint: '0.0.0.0:4318'}}}}");
    for option in ["ca_cert", "server_cert", "private_key"] {
        set(option, "");
    }
    assert_eq!(plain(), 1);
    assert_eq!(model.in_worker("ls /etc/worker /usr/local/share/ca-certificates").matches('\n').count(), 4);
    let counts = model.client.counts("w").unwrap();
    assert_eq!((counts["otlp_http"], counts["otlp_grpc"]), (10, 9));
}

const PUBLISHER: &str = "
applications:
  shop: {charm: $CHARMS/publisher}
  traefik: {charm: double:traefik}
  istio: {charm: double:istio-ingress, options: {tls: true}}
  catalogue: {charm: double:catalogue}
  blackbox: {charm: double:blackbox-exporter}
  reader: {charm: double:tempo-api-client}
relations:
  - [shop:ingress, traefik]
  - [shop:istio-ingress, istio]
  - [shop:catalogue, catalogue]
  - [shop:probes, blackbox]
  - [shop:tempo-api, reader]
";

impl Running {
    /// Kind and message of a double's status.
    #[track_caller]
    fn says(&self, unit: &str) -> (String, String) {
        let status = self.unit(unit).workload;
        (status.current, status.message)
    }

    /// What the publisher has been told over an endpoint.
    #[track_caller]
    fn handed_out(&self, endpoint: &str) -> Vec<(String, String)> {
        let relations = self.unit("shop/0").relation_info;
        let relation = relations.into_iter().find(|relation| relation.endpoint == endpoint).unwrap();
        relation.application_data.into_iter().collect()
    }
}

#[test]
fn doubles_say_what_they_were_told_and_ingresses_hand_out_their_host() {
    let model = up(PUBLISHER);
    let active = |text: &str| ("active".to_owned(), text.to_owned());
    assert_eq!(model.says("traefik/0"), active("1 router, 2 servers"));
    assert_eq!(model.says("istio/0"), active("1 listener, 0 routes"));
    assert_eq!(model.says("catalogue/0"), active("Shop: http://shop/status"));
    assert_eq!(model.says("blackbox/0"), active("http://shop/ready"));
    assert_eq!(model.says("reader/0"), active("http://t:3200/, gRPC https://edge:9096/"));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let traefik = [pair("external_host", "traefik.example.com"), pair("scheme", "http")];
    assert_eq!(model.handed_out("ingress"), traefik);
    let istio = [pair("external_host", "istio.example.com"), pair("tls_enabled", "True")];
    assert_eq!(model.handed_out("istio-ingress"), istio);

    // What makes no sense is named; a host is for those who have a route to it.
    let broken = "config: '{http: {routers: {r: {rule: x, service: gone}}}}'";
    model.client.configure("shop", "ingress", broken).unwrap();
    model.client.configure("shop", "istio-ingress", "config: '{}'").unwrap();
    model.client.configure("shop", "tempo-api", "http: '{}'").unwrap();
    model.settle();
    let (kind, message) = model.says("traefik/0");
    assert!(kind == "blocked" && message.ends_with("config: router r has no service"), "{kind}: {message}");
    let (kind, message) = model.says("istio/0");
    assert!(kind == "blocked" && message.ends_with("config: missing field `model`"), "{kind}: {message}");
    assert_eq!(model.says("reader/0").0, "blocked");
    assert_eq!(model.handed_out("istio-ingress"), []);

    model.client.configure("traefik", "external_host", "").unwrap();
    model.settle();
    assert_eq!(model.handed_out("ingress"), []);
}
