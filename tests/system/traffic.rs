//! Spans go where requirers are told to send them.

use crate::model::up;

#[test]
fn spans_of_every_protocol_arrive_and_a_withdrawn_one_is_refused() {
    let model = up("always_enable_jaeger_grpc: true, always_enable_jaeger_thrift_http: true");
    let receivers = model.receivers("orders");
    let names: Vec<&str> = receivers.iter().map(|(protocol, _)| protocol.as_str()).collect();
    assert_eq!(names, ["jaeger_grpc", "jaeger_thrift_http", "otlp_grpc", "otlp_http", "zipkin"]);
    assert_eq!(model.receivers("payments"), receivers);
    for receiver in &receivers {
        let sent = model.send("orders/0", receiver, 50);
        assert_eq!((sent.accepted, sent.failed), (50, 0), "{receiver:?}: {:?}", sent.errors);
        assert_eq!(model.arrived(&receiver.0), 50, "{receiver:?}");
    }

    model.client.remove_relation("tempo:tracing", "payments:tracing").unwrap();
    model.settle_but("payments");
    let left = model.receivers("orders");
    assert!(left.iter().all(|(protocol, _)| protocol != "zipkin") && left.len() == 4, "{left:?}");
    for unit in ["tempo/0", "tempo/1"] {
        assert!(!model.unit(unit).opened_ports.contains(&"9411/tcp".to_owned()));
        // The reload is asked for in the hook, and done by nginx when it gets to it.
        let listens = |port| model.in_nginx(unit, &format!("bash -c '</dev/tcp/127.0.0.1/{port}'")).code == 0;
        model.until("nginx lets go of the port", |_| listens(4318) && !listens(9411));
    }
}

#[test]
fn joining_and_leaving_requirers_cost_nobody_a_span() {
    let model = up("");
    let otlp = model.receivers("orders").into_iter().find(|(protocol, _)| protocol == "otlp_http").unwrap();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| model.send("orders/0", &otlp, 20_000));
        for _ in 0..2 {
            model.client.remove_relation("tempo:tracing", "payments:tracing").unwrap();
            model.settle_but("payments");
            model.client.integrate("tempo:tracing", "payments:tracing").unwrap();
            model.settle();
        }
        let sent = sender.join().unwrap();
        assert_eq!((sent.accepted, sent.failed), (20_000, 0), "{:?}", sent.errors);
    });
    assert_eq!(model.arrived("otlp_http"), 20_000);
}
