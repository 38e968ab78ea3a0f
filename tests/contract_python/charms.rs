//! `tracing` between our charms and charms in Python, all of them run by the simulator as Juju runs them: `dispatch` starts the
//! interpreter, and what the library asks of Juju, it asks with processes.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use juju_sim::client::Request;
use juju_sim::package::copy;
use tempfile::TempDir;

use crate::model::{Model, example, start, up_with};
use crate::peer::interpreter;

/// Requirer and provider in Python, each a folder as charmcraft would pack it.
struct Charms {
    folder: TempDir,
    /// Where the libraries are, and where the interpreter is.
    needs: Vec<PathBuf>,
}

static CHARMS: LazyLock<Charms> = LazyLock::new(|| {
    let asked = "import sys; print(sys.prefix); print(sys.base_prefix)";
    let output = Command::new(interpreter()).args(["-c", asked]).output().expect("the interpreter starts");
    let prefixes = String::from_utf8(output.stdout).expect("paths are text");
    let needs: Vec<PathBuf> = prefixes.lines().map(PathBuf::from).collect();
    let [libraries, _] = needs.as_slice() else { panic!("no prefixes: {prefixes}") };

    let folder = tempfile::tempdir().expect("a folder");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract_python/charms");
    for name in ["requirer", "provider"] {
        let charm = folder.path().join(name);
        copy(&sources.join(name), &charm);
        symlink(libraries, charm.join("venv")).expect("a link");
    }
    // What is in /usr, a container has anyway.
    let needs = needs.into_iter().filter(|path| !path.starts_with("/usr")).collect();
    Charms { folder, needs }
});

/// A line of a model file: an application whose charm is in Python.
fn application(name: &str, charm: &str, more: &str) -> String {
    let Charms { folder, needs } = &*CHARMS;
    let files: Vec<String> = needs.iter().map(|path| format!("'{0}': '{0}'", path.display())).collect();
    let image = format!("{{charm-base: {{files: {{{}}}}}}}", files.join(", "));
    format!("{name}: {{charm: {}, images: {image}, {more}}}", folder.path().join(charm).display())
}

/// What a unit shows in its status.
#[track_caller]
fn says(model: &Model, unit: &str) -> (String, String) {
    let status = model.unit(unit).workload;
    (status.current, status.message)
}

/// What the library told a unit's charm, in its order.
#[track_caller]
fn heard(model: &Model, unit: &str) -> Vec<String> {
    let log = model.client.log(Some(unit)).expect("a log");
    let lines = log.iter().filter_map(|line| line.message.split_once("the library says "));
    lines.map(|(_, said)| said.to_owned()).collect()
}

/// Protocols that an application was told of.
#[track_caller]
fn told(model: &Model, app: &str) -> Vec<String> {
    model.receivers(app).into_iter().map(|(protocol, _)| protocol).collect()
}

fn pair(protocol: &str, url: &str) -> (String, String) {
    (protocol.to_owned(), url.to_owned())
}

const SHOPS: [&str; 2] = ["shop/0", "shop/1"];

#[test]
fn a_charm_in_python_gets_what_it_asks_for_until_its_relation_goes() {
    let shop = application("shop", "requirer", "scale: 2, options: {protocols: 'otlp_http,jaeger_grpc'}");
    let model = up_with("", &[&shop], &["'tempo:tracing', 'shop:traces'"]);
    let host = "tempo.m.svc.cluster.local";
    let http = pair("otlp_http", &format!("http://{host}:4318"));
    let jaeger = pair("jaeger_grpc", &format!("{host}:14250"));
    let shown = |receivers: &[&(String, String)]| {
        let texts: Vec<_> = receivers.iter().map(|(protocol, url)| format!("{protocol}={url}")).collect();
        ("active".to_owned(), texts.join(" "))
    };
    for unit in SHOPS {
        assert_eq!(says(&model, unit), shown(&[&http, &jaeger]), "{unit}");
        let heard = heard(&model, unit);
        let all = "changed: jaeger_grpc otlp_grpc otlp_http zipkin";
        assert_eq!(heard.last().map(String::as_str), Some(all), "{unit}: {heard:?}");
    }
    for receiver in [&http, &jaeger] {
        assert_eq!(model.send("shop/0", receiver, 10).accepted, 10, "{receiver:?}");
    }
    assert_eq!(model.unit("tempo/0").workload.current, "active");
    assert!(told(&model, "orders").contains(&"jaeger_grpc".to_owned()));

    // It wants other protocols, and nobody else wants the one that it gives up.
    model.client.configure("shop", "protocols", "jaeger_thrift_http,otlp_http").unwrap();
    model.settle();
    let thrift = pair("jaeger_thrift_http", &format!("http://{host}:14268"));
    for unit in SHOPS {
        assert_eq!(says(&model, unit), shown(&[&thrift, &http]), "{unit}");
    }
    assert_eq!(told(&model, "orders"), ["jaeger_thrift_http", "otlp_grpc", "otlp_http", "zipkin"]);
    assert_eq!(model.send("shop/1", &thrift, 10).accepted, 10);

    // Nothing is done again in a hook that has nothing new, though the library writes its request anew in each.
    let hooks = |model: &Model| ["tempo/0", "tempo/1"].map(|unit| model.unit(unit).hooks.len());
    let before = hooks(&model);
    model.dispatch("shop/0", "update-status");
    model.settle();
    assert_eq!(hooks(&model), before);

    let before = SHOPS.map(|unit| heard(&model, unit));
    model.client.remove_relation("tempo:tracing", "shop:traces").unwrap();
    model.settle_but("shop");
    for (unit, before) in SHOPS.iter().zip(before) {
        let heard = heard(&model, unit);
        assert_eq!(heard[before.len()..], ["removed"], "{unit}: {heard:?}");
        assert_eq!(says(&model, unit), ("blocked".into(), "not related".into()), "{unit}");
    }
    assert_eq!(told(&model, "orders"), ["otlp_grpc", "otlp_http", "zipkin"]);
}

#[test]
fn our_requirer_follows_a_provider_in_python_until_its_relation_goes() {
    let first = "otlp_grpc=collector.example:4317 otlp_http=http://collector.example:4318";
    let collector = application("collector", "provider", &format!("options: {{endpoints: '{first}'}}"));
    let model = start(&format!(
        "applications:\n  {collector}\n  orders: {{charm: {}, options: {{protocols: otlp_http}}}}\n\
         relations:\n  - ['collector:tracing', 'orders:tracing']\n",
        example("requirer").display()
    ));
    let sends = |text: &str| ("active".to_owned(), format!("sends {text}"));
    assert_eq!(says(&model, "orders/0"), sends("otlp_http to http://collector.example:4318"));
    assert_eq!(model.receivers("orders"), [pair("otlp_http", "http://collector.example:4318")]);
    assert_eq!(heard(&model, "collector/0").last().map(String::as_str), Some("requested: otlp_http"));
    assert_eq!(says(&model, "collector/0"), ("active".into(), "otlp_http".into()));

    // We ask for more.
    model.client.configure("orders", "protocols", "otlp_http,otlp_grpc").unwrap();
    model.settle();
    assert_eq!(
        says(&model, "orders/0"),
        sends("otlp_http to http://collector.example:4318, otlp_grpc to collector.example:4317")
    );
    // The order in which we name them is no matter.
    assert_eq!(says(&model, "collector/0"), ("active".into(), "otlp_grpc otlp_http".into()));

    // It moves, takes one away, and then all.
    let moved = "otlp_grpc=other.example:4317 otlp_http=https://other.example:4318";
    model.client.configure("collector", "endpoints", moved).unwrap();
    model.settle();
    assert_eq!(
        says(&model, "orders/0"),
        sends("otlp_http to https://other.example:4318, otlp_grpc to other.example:4317")
    );
    for (left, missing) in [("otlp_grpc=other.example:4317", "otlp_http"), ("", "otlp_http, otlp_grpc")] {
        model.client.configure("collector", "endpoints", left).unwrap();
        model.settle_but("orders");
        let waits = ("waiting".to_owned(), format!("for the endpoint of {missing}"));
        assert_eq!(says(&model, "orders/0"), waits);
    }
    assert_eq!(model.receivers("orders"), []);

    model.client.configure("collector", "endpoints", first).unwrap();
    model.settle();
    model.client.remove_relation("collector:tracing", "orders:tracing").unwrap();
    model.settle_but("orders");
    assert_eq!(says(&model, "orders/0"), ("blocked".into(), "relate tracing to a provider".into()));
    assert_eq!(heard(&model, "collector/0").last().map(String::as_str), Some("broken"));
    assert_eq!(says(&model, "collector/0"), ("active".into(), String::new()));

    // What was said in the old relation is not remembered in a new one.
    model.client.integrate("collector:tracing", "orders:tracing").unwrap();
    model.settle();
    assert_eq!(
        says(&model, "orders/0"),
        sends("otlp_http to http://collector.example:4318, otlp_grpc to collector.example:4317")
    );
    let faults = model.client.ask::<Vec<juju_sim::client::LogEntry>>(&Request::DebugLog {
        after: 0,
        include: None,
        level: "ERROR".to_owned(),
        limit: 0,
    });
    assert_eq!(faults.unwrap(), []);
}
