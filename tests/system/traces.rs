//! The coordinator's own traces.

use crate::model::{Model, up_with};

const UNITS: [&str; 2] = ["tempo/0", "tempo/1"];

/// Each unit runs a hook, whose trace has to be with the workers when the hook is over, and nothing else is left to send.
#[track_caller]
fn assert_arriving(model: &Model) {
    for unit in UNITS {
        let before = model.arrived_from("tempo", "otlp_http");
        model.dispatch(unit, "update-status");
        model.settle();
        let kept =
            format!("ls -A /var/lib/juju/agents/unit-{}/charm/.juju-ops-traces", unit.replace('/', "-"));
        let kept = model.client.exec(unit, None, &["sh", "-c", &kept]).expect("the command runs");
        assert_eq!((kept.code, kept.stdout.as_str()), (0, ""), "{unit}: {}", kept.stderr);
        // At least the root, and the steps below it.
        assert!(model.arrived_from("tempo", "otlp_http") >= before + 6, "{unit}");
    }
}

#[test]
fn own_traces_arrive_through_own_nginx_with_and_without_tls() {
    let model = up_with("", &["ca: {charm: 'double:certificates'}"], &[]);
    assert_arriving(&model);
    model.client.integrate("tempo:certificates", "ca:certificates").unwrap();
    model.settle();
    // Nothing listens in plain text any more.
    assert!(model.receivers("orders").iter().any(|(_, url)| url.starts_with("https://")));
    assert_arriving(&model);
}
