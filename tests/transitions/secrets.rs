//! Secrets stay where they belong, also where something goes wrong.

use std::sync::Arc;

use juju_ops::Hook;
use juju_sim::kubernetes::{Account, Api, Cluster, Fault as ApiFault, On};
use juju_sim::{Context, Event, ExecHandler, Fault, Outcome, Relation, State};
use tempo_coordinator::kubernetes::Access;
use tempo_coordinator::metrics::PAGE_PATH;
use tempo_coordinator::secret::Secret;
use tracing::Level;

use crate::scene::{charm_with, context, sweep};
use crate::tls::{KEY, answered, just_answered};

/// What lets the charm change objects of Kubernetes.
const TOKEN: &str = "token-hunter22";
/// A password that somebody has put into each URL of theirs.
const PASSWORD: &str = "password-hunter22";

/// A cluster in which the next hook has to do with every secret that there is, watched by Prometheus.
fn full_of_secrets() -> State {
    let url = format!("http://admin:{PASSWORD}@there.example:9090/x");
    let json = format!(r#"{{"url": "{url}"}}"#);
    let receivers = format!(r#"[{{"protocol": {{"name": "otlp_http", "type": "http"}}, "url": "{url}"}}]"#);
    just_answered()
        .with_relation(
            Relation::new("metrics-endpoint", 70, "prometheus_scrape", "prometheus")
                .with_remote_unit(0, [] as [(&str, &str); 0]),
        )
        .with_relation(
            Relation::new("send-remote-write", 71, "prometheus_remote_write", "prometheus")
                .with_remote_unit(0, [("remote_write", json.as_str())]),
        )
        .with_relation(
            Relation::new("logging", 72, "loki_push_api", "logs").with_remote_unit(0, [("endpoint", json)]),
        )
        .with_relation(
            Relation::new("self-charm-tracing", 73, "tracing", "other")
                .with_remote_app_data([("receivers", receivers)]),
        )
        .with_relation(
            Relation::new("ingress", 74, "traefik_route", "traefik")
                .with_remote_app_data([("external_host", url.as_str()), ("scheme", "http")]),
        )
}

fn kubernetes() -> Api {
    let account = Account { namespace: "obs".into(), name: "tempo".into(), trusted: true };
    let cluster = Cluster::new()
        .with_statefulset("tempo", "obs", &["nginx", "nginx-prometheus-exporter"])
        .with_account(TOKEN, account);
    Api::start(cluster).expect("a free port")
}

/// The hook, with everything logged that can be.
fn run(context: &Context, state: &State, event: Event, api: &Api) -> Outcome {
    let url: Arc<str> = api.url().into();
    context.clone().with_log_level(Level::TRACE).run(state, event, async move |hook: Hook| {
        let fqdn = format!("{}.tempo-endpoints.obs.svc.cluster.local", hook.env().unit.dashed());
        let token = Secret::new(TOKEN);
        let access = Access { url: url.to_string(), token, ca: String::new(), namespace: "obs".into() };
        charm_with(hook, &fqdn, Some(access)).await
    })
}

/// No secret is in what operators, other processes of the machine, and whoever scrapes metrics can see.
#[track_caller]
fn assert_nothing_shows(out: &Outcome, when: &str) {
    let words = out.calls.iter().map(|call| format!("{} {}", call.tool, call.args.join(" ")));
    let commands = ["nginx", "nginx-prometheus-exporter"].into_iter().flat_map(|container| {
        out.execs(container).into_iter().map(|words| words.join(" ")).collect::<Vec<_>>()
    });
    let page = out.state.containers["nginx"].file_text(PAGE_PATH);
    let shown = [
        ("the log", out.log_text()),
        ("a status", format!("{:?} {:?}", out.unit_statuses, out.app_statuses)),
        ("an error", out.result.as_ref().err().map(ToString::to_string).unwrap_or_default()),
        ("what an action says", format!("{:?}", out.action)),
        ("words of a hook tool", words.collect::<Vec<_>>().join("\n")),
        ("a command in a container", commands.collect::<Vec<_>>().join("\n")),
        ("the page of metrics", page.unwrap_or_default()),
        ("a plan of Pebble", format!("{:?}", out.state.containers["nginx"].plan())),
    ];
    // The first lines are the modulus, which is in certificates, too.
    let line = KEY.to_pem().lines().nth(12).expect("a key has many lines").to_owned();
    for secret in ["AKEXAMPLE", "sekret-hunter22", TOKEN, PASSWORD, "PRIVATE KEY", &line] {
        for (what, text) in &shown {
            assert!(!text.contains(secret), "{when}: {secret} is in {what}: {text}");
        }
    }
}

#[test]
fn no_secret_is_in_a_log_a_status_a_command_or_the_metrics() {
    let api = kubernetes();
    let state = full_of_secrets();
    let out = run(&context(), &state, answered(), &api);
    out.assert_ok();
    assert_nothing_shows(&out, "a hook");
    assert!(
        out.state.containers["nginx"].file_text(PAGE_PATH).is_some_and(|page| page.contains("hooks_total"))
    );
    // What could not be used is named all the same.
    for place in ["send-remote-write:71", "logging:72", "self-charm-tracing:73", "ingress:74"] {
        assert!(out.log_text().contains(place), "{place}");
    }
    for action in ["plan", "list-receivers"] {
        for state in [&state, &out.state] {
            assert_nothing_shows(&run(&context(), state, Event::action(action, []), &api), action);
        }
    }
}

#[test]
fn no_secret_is_in_what_is_said_of_a_call_that_failed() {
    let api = kubernetes();
    let state = full_of_secrets();
    let steps = run(&context(), &state, answered(), &api).steps;
    for step in sweep(steps) {
        let refused = context().with_fault(step, Fault::Refuse("the controller is tired".to_owned()));
        assert_nothing_shows(&run(&refused, &state, answered(), &api), &format!("step {step} is refused"));
    }
    for verb in ["get", "list", "patch", "create"] {
        api.fail(On::verb(verb), ApiFault::Status(403));
        assert_nothing_shows(&run(&context(), &state, answered(), &api), &format!("{verb} is forbidden"));
    }
}

/// nginx may quote what it reads.
#[test]
fn what_a_workload_says_of_its_files_shows_without_what_is_in_them() {
    let api = kubernetes();
    let mut state = full_of_secrets();
    let key = KEY.to_pem();
    let quoted =
        format!("nginx: [emerg] unknown directive \"server\" in /etc/nginx/nginx.conf.candidate:7\n{key}\n");
    let nginx = state.containers.get_mut("nginx").expect("there is one");
    nginx.execs.retain(|handler| handler.prefix != ["nginx", "-t"]);
    nginx.execs.push(ExecHandler::new(["nginx", "-t"]).failing(1, &quoted));
    let out = run(&context(), &state, answered(), &api);
    assert_nothing_shows(&out, "nginx refuses");
    assert!(out.state.unit_status.message.contains("unknown directive"), "{:?}", out.state.unit_status);
}
