//! A charm's process and whoever takes its traces.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{ExitCode, Output},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use juju_ops::{Hook, RelationId, traces::Destination};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use rustls::{ServerConfig, crypto::aws_lc_rs::default_provider};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument as _, info_span};

/// Set for the process that plays the charm, to what it is to do.
const CHARM: &str = "JUJU_OPS_TEST_CHARM";
/// Where the charm sends its traces; empty for nowhere.
const URL: &str = "JUJU_OPS_TEST_URL";
/// A file with whom it trusts.
const CA: &str = "JUJU_OPS_TEST_CA";

const SECRET: &str = "hunter22";

/// Not a test of its own: the charm, when this program is started as one.
#[test]
fn charm() {
    let Ok(part) = std::env::var(CHARM) else { return };
    let code = match std::env::var_os("JUJU_OPS_TEST_FOLDER") {
        Some(folder) => juju_ops::traces::run_with_folder(folder, |hook| play(hook, part)),
        None => juju_ops::run(|hook| play(hook, part)),
    };
    if format!("{code:?}") != format!("{:?}", ExitCode::SUCCESS) {
        std::process::exit(1);
    }
}

async fn play(hook: Hook, part: String) -> Result<(), juju_ops::Error> {
    async {
        hook.is_leader().await?;
        hook.relations("db").await?;
        tracing::info!(number = 7, "looked at everything");
        tracing::debug!("not for everybody");
        Ok::<_, juju_ops::Error>(())
    }
    .instrument(info_span!("observe"))
    .await?;
    match std::env::var(URL).as_deref() {
        Ok("") => hook.traces().off(),
        Ok(url) => {
            let ca = std::env::var_os(CA).map(std::fs::read_to_string).transpose()?;
            hook.traces().send_to(Destination { url: url.to_owned(), ca });
        }
        Err(_) => {}
    }
    let db = hook.relation(RelationId::new("db", 3));
    db.set_app([("password".to_owned(), Some(SECRET.to_owned()))]);
    hook.state().set("kept", &SECRET)?;
    hook.commit().instrument(info_span!("databags")).await?;
    if part == "fail" {
        return Err("out of order".into());
    }
    hook.active("").instrument(info_span!("status")).await?;
    Ok(())
}

/// A unit, with what it keeps from one hook to the next.
struct Unit {
    home: TempDir,
}

impl Unit {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (tools, charm) = (home.path().join("tools"), home.path().join("charm"));
        std::fs::create_dir(&tools).unwrap();
        std::fs::create_dir(&charm).unwrap();
        std::fs::write(charm.join("metadata.yaml"), "# a charm\nname: \"a-charm\" # its name\n").unwrap();
        let script = "#!/bin/sh\ncase ${0##*/} in
            is-leader) echo true ;;
            relation-ids) echo '[\"db:3\"]' ;;
            relation-get) if test -e ../refuse; then echo 'ERROR permission denied' >&2; exit 1; fi; echo '{}' ;;
            state-get) echo '{}' ;;
            status-get) echo '{\"status\": \"unknown\", \"message\": \"\"}' ;;
            juju-log) echo \"$@\" >> ../log ;;
            relation-set | state-set) cat > /dev/null ;;
        esac\n";
        for tool in [
            "is-leader",
            "relation-ids",
            "relation-get",
            "relation-set",
            "state-get",
            "state-set",
            "status-get",
            "status-set",
            "juju-log",
        ] {
            std::fs::write(tools.join(tool), script).unwrap();
            let all = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(tools.join(tool), all).unwrap();
        }
        Self { home }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("charm/.juju-ops-traces")
    }

    /// What is in the folder, by name.
    fn kept(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        files.sort();
        files
    }

    async fn run(&self, part: &str, vars: &[(&str, &str)]) -> Output {
        let charm = self.home.path().join("charm");
        tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "charm", "--nocapture"])
            .current_dir(&charm)
            .env_clear()
            .envs([(CHARM, part), ("JUJU_UNIT_NAME", "tempo/1"), ("JUJU_HOOK_NAME", "config-changed")])
            .envs([("JUJU_MODEL_NAME", "m"), ("JUJU_MODEL_UUID", "u-u-i-d")])
            .envs([("JUJU_DISPATCH_PATH", "hooks/config-changed"), ("JUJU_OPS_LOG", "debug")])
            .env("JUJU_CHARM_DIR", &charm)
            .env("PATH", format!("{}:/usr/bin:/bin", self.home.path().join("tools").display()))
            .envs(vars.iter().copied())
            .output()
            .await
            .unwrap()
    }

    /// Runs a hook that has to succeed.
    async fn hook(&self, url: &str) {
        let out = self.run("ordinary", &[(URL, url)]).await;
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

/// Someone who takes traces, and what was taken.
#[derive(Clone)]
struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    connections: usize,
    /// The answers, one after the other; 200 when there are no more. 0 is none at all.
    answers: Vec<u16>,
    /// What was sent, whatever was answered.
    requests: Vec<(String, Vec<u8>)>,
}

impl Receiver {
    async fn new(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let own = receiver.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                own.state.lock().unwrap().connections += 1;
                let (own, tls) = (own.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => own.serve(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                own.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        receiver
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request: Request<Incoming>| async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            assert_eq!(head.headers["content-type"], "application/x-protobuf");
            let status = {
                let mut state = self.state.lock().unwrap();
                state.requests.push((format!("{} {}", head.method, head.uri), body));
                if state.answers.is_empty() { 200 } else { state.answers.remove(0) }
            };
            if status == 0 {
                std::future::pending::<()>().await;
            }
            let answer = Response::builder().status(status).body(Full::new(Bytes::new()));
            Ok::<_, hyper::Error>(answer.unwrap())
        });
        // A client that has ended is no failure.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    fn url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    fn answer(&self, answers: &[u16]) {
        self.state.lock().unwrap().answers = answers.to_vec();
    }

    fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// What was sent since the last look.
    fn traces(&self) -> Vec<Trace> {
        let requests = std::mem::take(&mut self.state.lock().unwrap().requests);
        requests
            .iter()
            .map(|(target, body)| {
                assert_eq!(target, "POST /v1/traces");
                Trace::decode(body)
            })
            .collect()
    }
}

/// One trace as it was sent.
struct Trace {
    bytes: Vec<u8>,
    resource: BTreeMap<String, String>,
    spans: Vec<Span>,
}

impl Trace {
    fn decode(bytes: &[u8]) -> Self {
        let request = ExportTraceServiceRequest::decode(bytes).expect("an export request");
        let [resource] = &request.resource_spans[..] else { panic!("one resource") };
        let [scope] = &resource.scope_spans[..] else { panic!("one scope") };
        assert_eq!(scope.scope.as_ref().unwrap().name, "juju-ops");
        let resource = texts(&resource.resource.as_ref().unwrap().attributes);
        Self { bytes: bytes.to_vec(), resource, spans: scope.spans.clone() }
    }

    #[track_caller]
    fn span(&self, name: &str) -> &Span {
        let found = self.spans.iter().find(|span| span.name == name);
        let names: Vec<_> = self.spans.iter().map(|span| &span.name).collect();
        found.unwrap_or_else(|| panic!("no {name} among {names:?}"))
    }

    fn root(&self) -> &Span {
        &self.spans[0]
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some((attribute.key.clone(), text.clone())),
        Value::IntValue(number) => Some((attribute.key.clone(), number.to_string())),
        _ => None,
    };
    attributes.iter().filter_map(text).collect()
}

fn attributes<'a>(pairs: &[(&'a str, &'a str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/v1/traces", listener.local_addr().unwrap())
}

#[tokio::test]
async fn each_dispatch_is_one_trace() {
    let (unit, receiver) = (Unit::new(), Receiver::new(None).await);
    unit.hook(&receiver.url()).await;
    unit.hook(&receiver.url()).await;
    assert_eq!(receiver.connections(), 2);
    let traces = receiver.traces();
    let [first, second] = &traces[..] else { panic!("{} traces", traces.len()) };
    assert_ne!(first.root().trace_id, second.root().trace_id);
    assert!(unit.folder().is_dir() && unit.kept().is_empty());

    // The first begins where it became known that somebody wants it.
    assert!(first.spans.iter().all(|span| span.name != "observe"));
    assert_eq!(first.span("databags").parent_span_id, first.root().span_id);

    let trace = second;
    assert_eq!(
        trace.resource,
        attributes(&[
            ("service.name", "tempo"),
            ("service.namespace", "u-u-i-d"),
            ("service.instance.id", "1"),
            ("juju_model", "m"),
            ("juju_model_uuid", "u-u-i-d"),
            ("juju_application", "tempo"),
            ("juju_unit", "tempo/1"),
            ("juju_charm", "a-charm"),
        ])
    );
    let root = trace.root();
    assert_eq!(
        (root.name.as_str(), root.parent_span_id.len(), root.trace_id.len()),
        ("config-changed", 0, 16)
    );
    assert_eq!(
        texts(&root.attributes),
        attributes(&[("juju.event", "config-changed"), ("juju.dispatch_path", "hooks/config-changed")])
    );
    assert_eq!(root.status, None);
    for span in &trace.spans[1..] {
        assert_eq!((span.trace_id == root.trace_id, span.span_id.len()), (true, 8), "{}", span.name);
        assert!(span.start_time_unix_nano >= root.start_time_unix_nano, "{}", span.name);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{}", span.name);
        assert!(span.end_time_unix_nano <= root.end_time_unix_nano, "{}", span.name);
    }
    let observe = trace.span("observe");
    for step in ["observe", "databags", "status"] {
        assert_eq!(trace.span(step).parent_span_id, root.span_id, "{step}");
    }
    for (call, step) in [
        ("is-leader", "observe"),
        ("relation-ids", "observe"),
        ("relation-set", "databags"),
        ("status-set", "status"),
    ] {
        assert_eq!(trace.span(call).parent_span_id, trace.span(step).span_id, "{call}");
        assert_eq!(trace.span(call).kind, 3, "{call} is a call");
    }
    assert_eq!(
        texts(&trace.span("relation-set").attributes),
        attributes(&[
            ("juju.relation", "db:3"),
            ("juju.scope", "app"),
            ("juju.keys", "password"),
            ("juju.exit", "done"),
        ])
    );
    assert_eq!(texts(&trace.span("relation-ids").attributes)["juju.endpoint"], "db");
    assert_eq!(texts(&trace.span("state-set").attributes)["juju.keys"], "kept");

    let events: Vec<_> = observe.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["looked at everything"]);
    assert_eq!(texts(&observe.events[0].attributes), attributes(&[("level", "INFO"), ("number", "7")]));
    for trace in &traces {
        assert!(!String::from_utf8_lossy(&trace.bytes).contains(SECRET));
    }
}

#[tokio::test]
async fn a_failed_hook_is_a_failed_trace_and_refused_calls_are_marked() {
    let (unit, receiver) = (Unit::new(), Receiver::new(None).await);
    std::fs::create_dir(unit.folder()).unwrap();
    std::fs::write(unit.home.path().join("refuse"), "").unwrap();
    let out = unit.run("fail", &[(URL, &receiver.url())]).await;
    assert_eq!(out.status.code(), Some(1));
    let [trace] = &receiver.traces()[..] else { panic!("one trace") };
    let status = trace.root().status.clone().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "config-changed: out of order"));
    assert_eq!(trace.root().events[0].name, "config-changed: out of order");
    let refused = trace.span("relation-get");
    assert_eq!(refused.status.as_ref().unwrap().code, 2);
    assert_eq!(texts(&refused.attributes)["juju.exit"], "refused");
    assert_eq!(texts(&refused.attributes)["juju.of"], "tempo");
}

#[tokio::test]
async fn what_cannot_be_sent_is_kept_and_sent_later_oldest_first() {
    let (unit, receiver) = (Unit::new(), Receiver::new(None).await);
    unit.hook(&nobody().await).await;
    assert_eq!(unit.kept().len(), 1);
    receiver.answer(&[503]);
    unit.hook(&receiver.url()).await;
    receiver.answer(&[200, 429]);
    unit.hook(&receiver.url()).await;
    // The first was sent with the third hook, and the rest is there.
    assert_eq!(unit.kept().len(), 2);
    for file in unit.kept() {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(receiver.traces().len(), 3);
    unit.hook(&receiver.url()).await;
    assert!(unit.kept().is_empty());
    let begun: Vec<_> = receiver.traces().iter().map(|trace| trace.root().start_time_unix_nano).collect();
    assert_eq!(begun.len(), 3);
    assert!(begun.is_sorted(), "{begun:?}");
    // Over one connection for each hook.
    assert_eq!(receiver.connections(), 3);
    // Nobody is bothered with it.
    let log = unit.log();
    let about: Vec<_> = log.lines().filter(|line| line.contains("traces")).collect();
    assert!(about.len() >= 4 && about.iter().all(|line| line.starts_with("-l DEBUG")), "{log}");
}

#[tokio::test]
async fn what_the_receiver_will_never_take_is_dropped() {
    let (unit, receiver) = (Unit::new(), Receiver::new(None).await);
    unit.hook(&nobody().await).await;
    receiver.answer(&[400, 400]);
    unit.hook(&receiver.url()).await;
    assert_eq!((receiver.traces().len(), unit.kept().len()), (2, 0));
}

#[tokio::test]
async fn a_hook_ends_though_the_receiver_does_not_answer() {
    let (unit, receiver) = (Unit::new(), Receiver::new(None).await);
    receiver.answer(&[0, 0, 0]);
    let begun = Instant::now();
    unit.hook(&receiver.url()).await;
    // That it is one second is shown where no time passes; this is that it ends at all, on a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!((receiver.traces().len(), unit.kept().len()), (1, 1));
    // What the charm has said was sent before.
    assert!(unit.log().contains("-l INFO -- looked at everything"));
}

#[tokio::test]
async fn off_is_no_folder_and_no_connection() {
    let (unit, receiver) = (Unit::new(), Receiver::new(None).await);
    // A charm that says nothing about it, and one that says no.
    let said_nothing = unit.run("ordinary", &[]).await;
    assert!(said_nothing.status.success());
    unit.hook("").await;
    assert!(!unit.folder().exists());

    // Kept while nothing is said, and forgotten once it is off.
    unit.hook(&nobody().await).await;
    unit.run("fail", &[]).await;
    assert_eq!(unit.kept().len(), 2);
    unit.hook("").await;
    assert!(!unit.folder().exists());
    unit.hook("").await;
    assert!(!unit.folder().exists());
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn the_charm_may_name_another_folder() {
    let unit = Unit::new();
    let other = unit.home.path().join("elsewhere");
    let folder = other.to_str().unwrap();
    let out = unit.run("ordinary", &[(URL, &nobody().await), ("JUJU_OPS_TEST_FOLDER", folder)]).await;
    assert!(out.status.success());
    assert!(!unit.folder().exists());
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1);
    assert_eq!(std::fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_trace_goes_on_with_the_agents() {
    let (unit, receiver) = (Unit::new(), Receiver::new(None).await);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let vars = [("JUJU_TRACE_ID", trace), ("JUJU_SPAN_ID", "00f067aa0ba902b7"), ("JUJU_TRACE_FLAGS", "1")];
    let url = receiver.url();
    let out = unit.run("ordinary", &[&vars[..], &[(URL, &url)]].concat()).await;
    assert!(out.status.success());
    let [sent] = &receiver.traces()[..] else { panic!("one trace") };
    assert_eq!(sent.root().trace_id, u128::from_str_radix(trace, 16).unwrap().to_be_bytes());
    assert_eq!(sent.root().parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(sent.span("status").trace_id, sent.root().trace_id);
}

/// An authority, and a server that it vouches for under the name `localhost`.
fn authority() -> (String, TlsAcceptor) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut about = rcgen::CertificateParams::new([]).unwrap();
    about.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = about.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(about, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server =
        rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], key)
        .unwrap();
    (ca.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn over_tls_the_authority_given_is_trusted_and_no_other() {
    let (ca, tls) = authority();
    let (unit, receiver) = (Unit::new(), Receiver::new(Some(tls)).await);
    let url = format!("https://localhost:{}/v1/traces", receiver.address.port());
    let file = unit.home.path().join("ca.pem");
    let run = async || {
        let out = unit.run("ordinary", &[(URL, &url), (CA, file.to_str().unwrap())]).await;
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    for stranger in [authority().0.as_str(), "no certificate"] {
        std::fs::write(&file, stranger).unwrap();
        run().await;
    }
    assert_eq!((receiver.traces().len(), unit.kept().len()), (0, 2));
    std::fs::write(&file, ca).unwrap();
    run().await;
    assert_eq!((receiver.traces().len(), unit.kept().len()), (3, 0), "{}", unit.log());
    // By the address there is no name to vouch for.
    let url = format!("https://127.0.0.1:{}/v1/traces", receiver.address.port());
    unit.run("ordinary", &[(URL, &url), (CA, file.to_str().unwrap())]).await;
    assert_eq!((receiver.traces().len(), unit.kept().len()), (0, 1));
}
