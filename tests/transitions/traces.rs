//! Where the charm's own traces go, and what is not in them.

use std::cell::RefCell;
use std::path::Path;

use juju_ops::Hook;
use juju_ops::traces::Destination;
use juju_sim::{Event, Program, Relation, State};

use crate::scene::{S3, WORKERS, alone, charm, context, settled, without};
use crate::tls::{KEY, answered, encrypted, just_answered, presented};

/// Number of the relation to another Tempo.
const OTHER: u32 = 50;
const OWN_NAME: &str = "tempo-0.tempo-endpoints.obs.svc.cluster.local";

/// Another Tempo that takes what `receivers` says.
fn other(receivers: &str) -> Relation {
    let receivers = [("receivers", receivers)];
    Relation::new("self-charm-tracing", OTHER, "tracing", "other").with_remote_app_data(receivers)
}

fn otlp_http(url: &str) -> Relation {
    other(&format!(r#"[{{"protocol": {{"name": "otlp_http", "type": "http"}}, "url": "{url}"}}]"#))
}

/// Where traces go in a hook.
#[track_caller]
fn destination_in(state: &State, event: Event) -> Option<Destination> {
    let told = RefCell::new(None);
    let out = context().run(state, event, async |hook: Hook| {
        let done = charm(hook.clone()).await;
        told.replace(hook.traces().destination());
        done
    });
    out.assert_ok();
    told.into_inner()
}

#[track_caller]
fn destination(state: &State) -> Option<Destination> {
    destination_in(state, Event::UpdateStatus)
}

fn plain(url: &str) -> Destination {
    Destination { url: url.to_owned(), ca: None }
}

#[test]
fn own_traces_go_through_own_nginx_by_the_units_own_name() {
    let own = Some(plain(&format!("http://{OWN_NAME}:4318/v1/traces")));
    let state = settled();
    assert_eq!(destination(&state), own);
    assert_eq!(destination(&state.clone().with_leader(false)), own);
    for action in ["list-receivers", "plan"] {
        assert_eq!(destination_in(&state, Event::action(action, [])), own);
    }
}

#[test]
fn with_tls_own_traces_go_to_a_name_that_is_in_the_certificate() {
    let state = encrypted();
    let told = destination(&state).expect("a destination");
    assert_eq!(told.url, format!("https://{OWN_NAME}:4318/v1/traces"));
    assert!(presented(&state).sans_dns.contains(OWN_NAME));
    let ca = &state.relation("tempo-cluster", WORKERS).unwrap().local_app_data["ca_cert"];
    assert_eq!(told.ca, serde_json::from_str(ca).unwrap());
}

#[test]
fn own_traces_go_to_another_tempo_while_it_takes_them() {
    let own = destination(&settled());
    let related = settled().with_relation(otlp_http("http://other.example:4318/"));
    assert_eq!(destination(&related), Some(plain("http://other.example:4318/v1/traces")));
    assert_eq!(destination(&without(&related, OTHER)), own);
    // It does not have to take them in the form that we have.
    for receivers in
        ["[]", "no JSON", r#"[{"protocol": {"name": "zipkin", "type": "http"}, "url": "http://o:9411"}]"#]
    {
        assert_eq!(destination(&settled().with_relation(other(receivers))), own, "{receivers}");
    }
    // With TLS on both sides it is the same authority that vouches.
    let told = destination(&encrypted().with_relation(otlp_http("https://other.example"))).unwrap();
    assert_eq!(told.url, "https://other.example/v1/traces");
    assert_eq!(told.ca, destination(&encrypted()).unwrap().ca);
}

#[test]
fn without_anybody_to_take_them_own_traces_are_off() {
    assert_eq!(destination(&alone()), None);
    let elsewhere = alone().with_relation(otlp_http("http://other.example:4318"));
    assert_eq!(destination(&elsewhere), Some(plain("http://other.example:4318/v1/traces")));
    // Withdrawn with what made it so.
    for relation in [S3, WORKERS] {
        assert_eq!(destination(&without(&settled(), relation)), None);
    }
}

/// The charm as a process, which has to succeed. Returns what it could not send, one trace after the other.
#[track_caller]
fn kept(program: &Program, state: &State, event: Event) -> Vec<Vec<u8>> {
    let context = context();
    context.run_program(state, event, program).assert_ok();
    let folder = program.charm_dir().join(".juju-ops-traces");
    let mut files: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
    files.sort_by_key(std::fs::DirEntry::path);
    files.iter().map(|file| std::fs::read(file.path()).expect("a trace")).collect()
}

#[test]
fn own_traces_hold_no_secret() {
    let program = Program::executable(Path::new(env!("CARGO_BIN_EXE_tempo-coordinator-k8s"))).unwrap();
    // Nobody listens there.
    let state = just_answered().with_relation(otlp_http("http://127.0.0.1:1"));
    assert_eq!(kept(&program, &state, answered()).len(), 1);
    // The first trace lacks its beginning, the second does not.
    let traces = kept(&program, &state, answered());
    assert_eq!(traces.len(), 2);
    let text = String::from_utf8_lossy(&traces[1]);
    for part in [
        "observe",
        "validate",
        "plan",
        "apply",
        "status",
        "relation-set",
        "worker_config",
        "secret-get",
        "/v1/files",
        "nginx: writing ",
    ] {
        assert!(text.contains(part), "{part}");
    }
    let key = KEY.to_pem();
    let secrets = ["AKEXAMPLE", "sekret-hunter22", "PRIVATE KEY", key.lines().nth(3).unwrap()];
    for trace in &traces {
        let text = String::from_utf8_lossy(trace);
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in a trace");
        }
    }
}
