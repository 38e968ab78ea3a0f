//! Both ends of the span traffic against each other, over loopback connections.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use juju_sim::spans::{
    MAX_HTTP_BODY, Protocol, ProtocolCounts, SendConfig, SendError, Sent, Sink, SinkConfig, SinkError,
    Transport, otlp, send,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn sink() -> Sink {
    let config = SinkConfig {
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        receivers: Protocol::ALL.map(|protocol| (protocol, 0)).into(),
        api_port: Some(0),
        grpc_api_port: Some(0),
        ..SinkConfig::default()
    };
    Sink::start(config).await.unwrap()
}

/// The URL of a receiver in the form that the `tracing` relation gives it.
fn published(protocol: Protocol, address: impl std::fmt::Display) -> String {
    match protocol.transport() {
        Transport::Http => format!("http://{address}"),
        Transport::Grpc => address.to_string(),
    }
}

fn to(sink: &Sink, protocol: Protocol) -> SendConfig {
    SendConfig::new(protocol, published(protocol, sink.address(protocol).unwrap()))
}

/// One request over a connection of its own: its status and body.
async fn http(
    address: impl tokio::net::ToSocketAddrs,
    request: hyper::http::request::Builder,
    body: impl Into<Bytes>,
) -> (StatusCode, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = request.header("host", "sink").body(Full::new(body.into())).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn get(address: impl tokio::net::ToSocketAddrs, path: &str) -> (StatusCode, String) {
    http(address, Request::get(path), "").await
}

#[tokio::test]
async fn every_protocol_carries_spans_and_the_sink_counts_them() {
    let sink = sink().await;
    for protocol in Protocol::ALL {
        for gzip in [false, true] {
            let sent = send(SendConfig {
                spans: 23,
                batch: 10,
                service_name: format!("from-{protocol}"),
                resource: BTreeMap::from([("juju_model".to_owned(), "demo".to_owned())]),
                tenant: gzip.then(|| "acme".to_owned()),
                seed: Some(u64::from(gzip)),
                gzip,
                ..to(&sink, protocol)
            })
            .await
            .unwrap();
            assert_eq!(
                (sent.accepted, sent.failed, sent.requests, sent.connections),
                (23, 0, 3, 1),
                "{sent:?}"
            );
            assert_eq!((sent.errors.len(), sent.trace_ids.len()), (0, 5), "{sent:?}");
            let seen: Vec<String> = sink.traces().into_iter().map(|trace| trace.trace_id).collect();
            assert!(sent.trace_ids.iter().all(|id| seen.contains(id)), "{protocol}");
        }
    }
    let counts = sink.shutdown().await;
    for protocol in Protocol::ALL {
        let expected = ProtocolCounts {
            requests: 6,
            spans: 46,
            invalid: 0,
            tenants: BTreeMap::from([(String::new(), 3), ("acme".to_owned(), 3)]),
            services: BTreeMap::from([(format!("from-{protocol}"), 46)]),
        };
        assert_eq!(counts[&protocol], expected, "{protocol}");
    }
}

#[tokio::test]
async fn otlp_travels_as_json_too() {
    let sink = sink().await;
    let config = SendConfig { encoding: otlp::Encoding::Json, ..to(&sink, Protocol::OtlpHttp) };
    assert_eq!(send(config).await.unwrap().accepted, 10);
    assert_eq!(sink.counts()[&Protocol::OtlpHttp].spans, 10);
}

#[tokio::test]
async fn a_seed_gives_the_same_traces_again() {
    let sink = sink().await;
    let config = SendConfig { seed: Some(3), ..to(&sink, Protocol::Zipkin) };
    let [first, second] = [send(config.clone()).await.unwrap(), send(config.clone()).await.unwrap()];
    assert_eq!(first.trace_ids, second.trace_ids);
    let random = SendConfig { seed: None, ..config };
    assert_ne!(send(random).await.unwrap().trace_ids, first.trace_ids);
}

#[tokio::test]
async fn the_api_answers_as_tempos_and_tells_the_counts() {
    let sink = sink().await;
    let api = sink.api_address().unwrap();
    send(SendConfig { service_name: "shop".to_owned(), ..to(&sink, Protocol::OtlpGrpc) }).await.unwrap();
    assert_eq!(get(api, "/ready").await, (StatusCode::OK, "ready".to_owned()));
    assert_eq!(get(api, "/api/echo").await, (StatusCode::OK, "echo".to_owned()));
    assert_eq!(get(api, "/nothing").await.0, StatusCode::NOT_FOUND);
    assert_eq!(http(api, Request::post("/ready"), "").await.0, StatusCode::METHOD_NOT_ALLOWED);
    let (_, metrics) = get(api, "/metrics").await;
    for line in [
        r#"tempo_distributor_spans_received_total{tenant="single-tenant"} 10"#,
        r#"tempo_receiver_accepted_spans{receiver="otlp/otlp_receiver",transport="grpc"} 10"#,
        r#"tempo_receiver_accepted_spans{receiver="zipkin/zipkin_receiver",transport="http_v2_json"} 0"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in:\n{metrics}");
    }
    let counts: serde_json::Value = serde_json::from_str(&get(api, "/counts").await.1).unwrap();
    let expected = serde_json::json!(
        {"requests": 2, "spans": 10, "invalid": 0, "tenants": {"": 2}, "services": {"shop": 10}}
    );
    assert_eq!(counts["otlp_grpc"], expected);
    assert_eq!(counts.as_object().unwrap().len(), 5);
    let traces: serde_json::Value = serde_json::from_str(&get(api, "/traces").await.1).unwrap();
    assert_eq!((traces.as_array().unwrap().len(), &traces[0]["service"]), (2, &"shop".into()));
}

#[tokio::test]
async fn receivers_refuse_what_tempo_refuses() {
    let sink = sink().await;
    let check =
        async |protocol: Protocol, request: hyper::http::request::Builder, body: Vec<u8>, status: u16| {
            let (got, text) = http(sink.address(protocol).unwrap(), request, body).await;
            assert_eq!(got.as_u16(), status, "{protocol}: {text}");
            text
        };
    let typed = |path: &str, kind: &str| Request::post(path).header("content-type", kind);
    let protobuf = "application/x-protobuf";

    let otlp = Protocol::OtlpHttp;
    check(otlp, typed("/v1/traces", "text/plain"), vec![], 415).await;
    check(otlp, Request::post("/v1/traces"), vec![], 415).await;
    check(otlp, typed("/v1/metrics", protobuf), vec![], 404).await;
    check(otlp, Request::get("/v1/traces"), vec![], 405).await;
    let reason = check(otlp, typed("/v1/traces", protobuf), vec![0xff; 9], 400).await;
    assert!(reason.contains("Protobuf"), "{reason}");
    let reason =
        check(otlp, typed("/v1/traces", "application/json; charset=utf-8"), b"[1".to_vec(), 400).await;
    assert!(reason.starts_with(r#"{"code":3,"message":"#), "{reason}");
    check(otlp, typed("/v1/traces", protobuf).header("content-encoding", "gzip"), b"no".to_vec(), 400).await;
    check(otlp, typed("/v1/traces", protobuf).header("content-encoding", "br"), vec![], 400).await;
    let reason = check(otlp, typed("/v1/traces", protobuf), vec![0; MAX_HTTP_BODY + 1], 400).await;
    assert!(reason.contains("larger than"), "{reason}");
    assert_eq!(check(otlp, typed("/v1/traces", protobuf), vec![], 200).await, "\n\0");

    let zipkin = Protocol::Zipkin;
    check(zipkin, typed("/api/v2/spans", "application/json"), b"[]".to_vec(), 202).await;
    check(zipkin, typed("/api/v2/spans", "application/json"), b"{}".to_vec(), 400).await;
    check(zipkin, typed("/api/v1/spans", "application/json"), b"[]".to_vec(), 404).await;
    check(zipkin, Request::get("/api/v2/spans"), vec![], 405).await;

    let jaeger = Protocol::JaegerThriftHttp;
    check(jaeger, typed("/api/traces?format=jaeger.thrift", "application/json"), b"{}".to_vec(), 400).await;
    check(jaeger, typed("/api/traces", "application/x-thrift"), b"\0".to_vec(), 400).await;
    check(jaeger, typed("/v1/traces", "application/x-thrift"), vec![], 404).await;

    let counts = sink.shutdown().await;
    assert_eq!((counts[&otlp].requests, counts[&otlp].invalid), (10, 9));
    assert_eq!((counts[&zipkin].requests, counts[&zipkin].invalid), (4, 3));
    assert_eq!((counts[&jaeger].requests, counts[&jaeger].invalid), (3, 3));
}

/// What a sender says when it is pointed at a receiver of another protocol.
async fn mistaken(sink: &Sink, protocol: Protocol, at: Protocol) -> Sent {
    let url = published(protocol, sink.address(at).unwrap());
    let sent =
        send(SendConfig { timeout: Duration::from_millis(300), ..SendConfig::new(protocol, url) }).await;
    let sent = sent.unwrap();
    assert_eq!((sent.accepted, sent.failed), (0, 10), "{sent:?}");
    sent
}

#[tokio::test]
async fn errors_name_the_status() {
    let sink = sink().await;
    let sent = mistaken(&sink, Protocol::OtlpHttp, Protocol::Zipkin).await;
    assert_eq!(sent.errors, ["HTTP status 404 Not Found: 404 page not found"]);
    let sent = mistaken(&sink, Protocol::OtlpGrpc, Protocol::JaegerGrpc).await;
    let error = &sent.errors[0];
    assert!(error.contains("12 (UNIMPLEMENTED)") && error.contains("TraceService/Export"), "{error}");
    // Final failures end a request, not the whole: each of the two requests was tried, once.
    assert_eq!((sent.requests, sent.connections), (2, 1));
    let url = sink.grpc_api_address().unwrap().to_string();
    let sent = send(SendConfig::new(Protocol::JaegerGrpc, url)).await.unwrap();
    assert!(sent.errors[0].contains("UNIMPLEMENTED"), "{sent:?}");
    mistaken(&sink, Protocol::OtlpGrpc, Protocol::OtlpHttp).await;
    mistaken(&sink, Protocol::Zipkin, Protocol::OtlpGrpc).await;
}

#[tokio::test]
async fn urls_have_the_form_of_their_transport() {
    let reason = async |protocol, url: &str| match send(SendConfig::new(protocol, url)).await {
        Err(SendError::Url { reason, .. }) => reason,
        other => panic!("{url}: {other:?}"),
    };
    assert_eq!(
        reason(Protocol::OtlpHttp, "host:4318").await,
        "expected http://host:port or https://host:port"
    );
    assert_eq!(reason(Protocol::OtlpHttp, "ftp://host:4318").await, "expected the scheme http or https");
    assert_eq!(reason(Protocol::OtlpGrpc, "grpc://host:4317").await, "expected host:port");
    assert_eq!(reason(Protocol::OtlpGrpc, "host").await, "it names no port");
    assert_eq!(reason(Protocol::Zipkin, "http://a:b@host").await, "it must not carry credentials");
    assert!(!reason(Protocol::Zipkin, "").await.is_empty());
    let tenant = SendConfig { tenant: Some("a\nb".to_owned()), ..SendConfig::new(Protocol::OtlpGrpc, "h:1") };
    assert_eq!(send(tenant).await, Err(SendError::Tenant("a\nb".to_owned())));
}

#[tokio::test]
async fn a_receiver_that_comes_late_still_gets_everything() {
    for protocol in Protocol::ALL {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let sending = tokio::spawn(send(SendConfig::new(protocol, published(protocol, address))));
        // The first attempt is cut off; the next ones find nobody, until the sink is there.
        drop(listener.accept().await.unwrap());
        drop(listener);
        let config = SinkConfig {
            bind: address.ip(),
            receivers: BTreeMap::from([(protocol, address.port())]),
            ..SinkConfig::default()
        };
        let sink = Sink::start(config).await.unwrap();
        let sent = sending.await.unwrap().unwrap();
        assert_eq!((sent.accepted, sent.failed), (10, 0), "{sent:?}");
        assert!(!sent.errors.is_empty() && sent.requests > 2, "{sent:?}");
        assert_eq!(sink.counts()[&protocol].spans, 10);
    }
}

#[tokio::test]
async fn a_receiver_that_never_comes_costs_no_more_than_the_time_allowed() {
    let reserved = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", reserved.local_addr().unwrap());
    let config =
        SendConfig { timeout: Duration::from_millis(300), ..SendConfig::new(Protocol::OtlpHttp, url) };
    // Connections are accepted by the system but never answered.
    let sent = send(config.clone()).await.unwrap();
    assert_eq!((sent.accepted, sent.failed, sent.requests), (0, 10, 1));
    assert!(sent.errors[0].starts_with("no answer within 0."), "{sent:?}");
    drop(reserved);
    let sent = send(config).await.unwrap();
    assert_eq!((sent.accepted, sent.failed), (0, 10));
    assert!(sent.requests > 1 && sent.errors[0].contains("refused"), "{sent:?}");
}

/// Answers one request after the other with the given texts, closing the connection after each.
async fn scripted(answers: Vec<String>) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // The span list ends the request.
            while !request.ends_with(b"]") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, task)
}

#[tokio::test]
async fn passing_failures_are_retried_and_final_ones_not() {
    let answer =
        |status: &str| format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    let passing = ["503 Busy", "502 Bad Gateway", "504 Late", "429 Slow\r\nretry-after: 0"];
    let answers = passing.into_iter().map(answer).chain([String::new(), answer("202 Accepted")]).collect();
    let (url, server) = scripted(answers).await;
    let config = SendConfig { spans: 3, ..SendConfig::new(Protocol::Zipkin, url) };
    let sent = send(config.clone()).await.unwrap();
    server.await.unwrap();
    assert_eq!((sent.accepted, sent.failed, sent.requests, sent.connections), (3, 0, 6, 6), "{sent:?}");
    assert!(sent.errors.iter().any(|error| error.contains("502")), "{sent:?}");

    // A pause that no clock can hold is longer than any time allowed.
    let (url, server) = scripted(vec![answer("503 Busy\r\nretry-after: 18446744073709551615")]).await;
    let sent = send(SendConfig { url, timeout: Duration::MAX, ..config.clone() }).await.unwrap();
    server.await.unwrap();
    assert_eq!((sent.accepted, sent.failed, sent.requests), (0, 3, 1), "{sent:?}");

    let (url, server) = scripted(vec![answer("413 Too Large")]).await;
    let sent = send(SendConfig { url, ..config }).await.unwrap();
    server.await.unwrap();
    assert_eq!((sent.accepted, sent.failed, sent.requests), (0, 3, 1), "{sent:?}");
    assert_eq!(sent.errors, ["HTTP status 413 Payload Too Large"]);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let holder = TcpListener::bind(taken).await.unwrap();
    let config = SinkConfig {
        bind: taken.ip(),
        receivers: BTreeMap::from([(Protocol::Zipkin, taken.port())]),
        ..SinkConfig::default()
    };
    let error = Sink::start(config.clone()).await.unwrap_err();
    assert!(
        matches!(error, SinkError::Listen { what: "zipkin", address, .. } if address == taken),
        "{error}"
    );
    drop(holder);
    Sink::start(config).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_finishes_requests_that_have_begun() {
    let sink = sink().await;
    let address = sink.address(Protocol::Zipkin).unwrap();
    let mut begun = TcpStream::connect(address).await.unwrap();
    begun
        .write_all(b"POST /api/v2/spans HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        .await
        .unwrap();
    // The go-ahead proves that the request was read up to its body.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        begun.read_buf(&mut answer).await.unwrap();
    }
    let mut idle = TcpStream::connect(sink.address(Protocol::OtlpGrpc).unwrap()).await.unwrap();
    let stopping = tokio::spawn(sink.shutdown());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    begun.write_all(b"[]").await.unwrap();
    answer.clear();
    begun.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer));
    drop(idle.shutdown().await);
    let counts = stopping.await.unwrap();
    assert_eq!((counts[&Protocol::Zipkin].requests, counts[&Protocol::Zipkin].invalid), (1, 0));
}
