//! The decoders and the sink against requests that other implementations made
//! (`recorded/spans/README.md` says how).

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use juju_sim::spans::otlp::Encoding;
use juju_sim::spans::{Batch, Protocol, Sink, SinkConfig, Span, export_path, jaeger, otlp, zipkin};

/// A recorded request: its body and what was said about it.
fn recorded(name: &str) -> (Vec<u8>, BTreeMap<String, String>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/spans");
    let about = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
    (std::fs::read(folder.join(format!("{name}.bin"))).unwrap(), serde_json::from_slice(&about).unwrap())
}

/// The spans that every recording holds, in the order in which they ended. The attributes are those that all
/// protocols carry alike; each adds some of its own.
fn check(name: &str, batches: &[Batch]) {
    let [Batch { service, spans, resource }] = batches else { panic!("{name}: {batches:?}") };
    assert_eq!(service, "shop", "{name}");
    // Zipkin has no attributes of services, and the Jaeger exporters make no use of theirs.
    for (key, value) in [("juju_model", "demo"), ("replicas", "3")] {
        let pair = (key.to_owned(), value.to_owned());
        let on_spans = spans.iter().all(|span| span.attributes.contains(&pair));
        assert!(
            if name.starts_with("otlp") { resource.contains(&pair) } else { on_spans },
            "{name}: {batches:?}"
        );
    }
    let start = 1_700_000_000_123_456_000;
    let first = 0xa000_0000_0000_0000_0000_0000_0000_0001;
    let root = 0x1000_0000_0000_0001;
    let expected = [
        ("query", first, root + 1, Some(root), start + 1_000_000, 2_000_000),
        ("GET /café", first, root, None, start, 5_000_000),
        ("tick", first + 1, root + 2, None, start + 7_000_000, 250_000),
    ];
    assert_eq!(spans.len(), expected.len(), "{name}");
    for (span, (title, trace_id, span_id, parent_id, start, duration)) in spans.iter().zip(expected) {
        let expected = Span {
            trace_id,
            span_id,
            parent_id,
            name: title.to_owned(),
            start: rounded(name, start),
            duration: rounded(name, duration),
            attributes: span.attributes.clone(),
        };
        let span =
            Span { start: rounded(name, span.start), duration: rounded(name, span.duration), ..span.clone() };
        assert_eq!(span, expected, "{name}");
    }
    for (key, value) in
        [("http.method", "GET"), ("http.status_code", "200"), ("cached", "true"), ("ratio", "0.5")]
    {
        let attributes = &spans[1].attributes;
        assert!(attributes.contains(&(key.to_owned(), value.to_owned())), "{name}: {attributes:?}");
    }
    let tables = spans[0].attributes.iter().find(|(key, _)| key == "tables");
    assert!(tables.is_some_and(|(_, value)| value.contains("carts")), "{name}: {tables:?}");
}

/// The Jaeger exporter for gRPC computes times with floating numbers, so its nanoseconds are off a little.
fn rounded(name: &str, nanos: u64) -> u64 {
    if name == "jaeger_grpc" { (nanos + 500) / 1000 * 1000 } else { nanos }
}

#[test]
fn what_others_encode_is_read_as_they_meant_it() {
    let (body, _) = recorded("otlp_http");
    check("otlp_http", &otlp::decode(&body, Encoding::Protobuf).unwrap());
    let (body, _) = recorded("otlp_http_gzip");
    let mut expanded = Vec::new();
    flate2::read::GzDecoder::new(&*body).read_to_end(&mut expanded).unwrap();
    check("otlp_http_gzip", &otlp::decode(&expanded, Encoding::Protobuf).unwrap());
    let (body, _) = recorded("otlp_http_json");
    check("otlp_http_json", &otlp::decode(&body, Encoding::Json).unwrap());
    let (body, about) = recorded("otlp_grpc");
    check("otlp_grpc", &otlp::decode(&body, Encoding::Protobuf).unwrap());
    assert_eq!(about["path"], export_path(Protocol::OtlpGrpc));
    let (body, _) = recorded("zipkin");
    check("zipkin", &zipkin::decode(&body).unwrap());
    let (body, _) = recorded("jaeger_thrift_http");
    check("jaeger_thrift_http", &[jaeger::decode_thrift(&body).unwrap()]);
    let (body, about) = recorded("jaeger_grpc");
    check("jaeger_grpc", &jaeger::decode_request(&body).unwrap());
    assert_eq!(about["path"], export_path(Protocol::JaegerGrpc));
}

#[test]
fn a_recording_cut_short_is_refused_and_never_a_panic() {
    for name in ["otlp_http_json", "zipkin", "jaeger_thrift_http"] {
        let (body, _) = recorded(name);
        for end in 0..body.len() {
            let cut = &body[..end];
            let refused = match name {
                "zipkin" => zipkin::decode(cut).is_err(),
                "jaeger_thrift_http" => jaeger::decode_thrift(cut).is_err(),
                _ => otlp::decode(cut, Encoding::Json).is_err(),
            };
            assert!(refused, "{name} cut at {end}");
        }
    }
    // Protobuf may end between two fields of its outermost message, so here only the peace counts.
    for name in ["otlp_grpc", "jaeger_grpc"] {
        let (body, _) = recorded(name);
        for end in 0..body.len() {
            let _ = otlp::decode(&body[..end], Encoding::Protobuf);
            let _ = jaeger::decode_request(&body[..end]);
        }
    }
}

#[tokio::test]
async fn recorded_http_requests_are_accepted_as_they_are() {
    let recordings = [
        ("otlp_http", Protocol::OtlpHttp, StatusCode::OK),
        ("otlp_http_gzip", Protocol::OtlpHttp, StatusCode::OK),
        ("otlp_http_json", Protocol::OtlpHttp, StatusCode::OK),
        ("zipkin", Protocol::Zipkin, StatusCode::ACCEPTED),
        ("jaeger_thrift_http", Protocol::JaegerThriftHttp, StatusCode::ACCEPTED),
    ];
    let config = SinkConfig {
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        receivers: recordings.iter().map(|(_, protocol, _)| (*protocol, 0)).collect(),
        ..SinkConfig::default()
    };
    let sink = Sink::start(config).await.unwrap();
    for (name, protocol, status) in recordings {
        let (body, about) = recorded(name);
        let stream = tokio::net::TcpStream::connect(sink.address(protocol).unwrap()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::post(&about["path"]).header("host", "sink");
        for (header, value) in about.iter().filter(|(key, _)| *key != "path") {
            request = request.header(header, value);
        }
        let response =
            sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{name}");
        response.into_body().collect().await.unwrap();
    }
    let counts = sink.shutdown().await;
    assert_eq!(counts[&Protocol::OtlpHttp].spans, 9);
    assert_eq!(counts[&Protocol::Zipkin].spans, 3);
    assert_eq!(counts[&Protocol::JaegerThriftHttp].services, BTreeMap::from([("shop".to_owned(), 3)]));
}
