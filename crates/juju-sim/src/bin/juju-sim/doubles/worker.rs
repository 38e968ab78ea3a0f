//! `double:tempo-worker`: takes a role in a Tempo cluster and receives spans in Tempo's place, or runs the real Tempo.
//!
//! Its pod has the files of a real worker: the configuration, and with TLS the certificate, the key and the authorities. The sink
//! listens as the configuration says. Another configuration restarts it, after the requests that have begun; certificates and keys
//! alone are exchanged while it runs, which a real worker does with a restart.
//!
//! What runs is the option `workload`, and never what happens to be installed: with the sink, spans are counted; with Tempo they
//! are stored.

mod tempo;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use juju_ops::{Event, Hook, Port, SecretId, SecretRef};
use juju_relations::{
    EndpointMeta, Remote,
    tempo_cluster::{ClusterRequirer, CoordinatorAppData, INTERFACE, Roles, Topology, WorkerUnitData},
};
use juju_sim::spans::{Counts, SinkConfig};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    process::Child,
};

use crate::{
    daemon::Model,
    dns::CLUSTER,
    doubles::program,
    enter::INSIDE,
    pod::{CHARM, Pod, agent_dir},
};

/// What it declares.
pub(crate) const META: &str = "
name: tempo-worker-k8s
summary: Takes a role in a Tempo cluster and counts the spans that it receives.
requires:
  tempo-cluster: {interface: tempo_cluster, limit: 1}
config:
  options:
    role: {type: string, default: all, description: 'Roles, separated by commas; one of them with Tempo.'}
    workload: {type: string, default: sink, description: 'What receives spans: sink, which counts them, or tempo.'}
";

/// The files of a worker, where the configuration expects them.
const CONFIG: &str = "/etc/worker/config.yaml";
const CERTIFICATE: &str = "/etc/worker/server.cert";
const PRIVATE_KEY: &str = "/etc/worker/private.key";
const AUTHORITY: [&str; 2] = ["/etc/worker/ca.cert", "/usr/local/share/ca-certificates/ca.crt"];
const S3_AUTHORITIES: &str = "/etc/worker/s3_ca.crt";
/// The only key of the coordinator's secret.
const SECRET_KEY: &str = "private-key";
/// How long a sink may take to end: a little longer than it waits for requests that have begun.
const END: Duration = Duration::from_secs(8);
/// Ports that a worker opens until the coordinator names some.
const PORTS: [u16; 8] = [3200, 4317, 4318, 7946, 9096, 9411, 14250, 14268];

#[derive(Deserialize)]
struct Options {
    role: String,
    workload: Workload,
}

/// What receives spans.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Workload {
    Sink,
    Tempo,
}

/// The name that the charm of real workers has.
const CHARM_NAME: &str = "tempo-worker-k8s";

/// Text by path; `None` where no file is to be.
pub(super) type Files = BTreeMap<PathBuf, Option<String>>;

/// A sink that runs in a pod.
pub(crate) struct Running {
    process: Child,
    /// What it was started with.
    roles: String,
    /// The files of its pod, among them its configuration. They hold a private key and are never shown.
    files: Files,
    /// What its predecessors in the same unit counted.
    before: Spans,
}

/// Numbers of spans by protocol and service.
pub(crate) type Spans = BTreeMap<String, BTreeMap<String, u64>>;

/// One hook.
pub(crate) async fn run(model: &Arc<Model>, hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let roles = Roles::parse(&options.role);
    if let Some(problem) = roles.problem() {
        hook.blocked(format!("option role: {problem}")).await?;
        return Ok(());
    }
    let unit = &hook.env().unit;
    let (app, number) = (unit.app(), unit.number());
    let cluster = ClusterRequirer::new(hook, EndpointMeta::requires("tempo-cluster", INTERFACE).limited(1))?;
    let me = WorkerUnitData {
        juju_topology: Topology {
            application: app.to_owned(),
            unit: unit.to_string(),
            charm_name: CHARM_NAME.to_owned(),
        },
        address: format!("{app}-{number}.{app}-endpoints.{}.{CLUSTER}", hook.env().model_name),
    };
    cluster.announce(&me, roles.known.iter().copied()).await?;
    let unit = unit.to_string();
    if matches!(hook.event(), Event::Stop) {
        // A pod's end is no surprise for what runs in it.
        program::end(model, &unit).await;
        return Ok(());
    }
    match cluster.published().await? {
        Remote::Ready(data) => {
            let ports = data.worker_ports.clone().unwrap_or_else(|| PORTS.into());
            hook.set_ports(ports.into_iter().map(Port::tcp)).await?;
            let files = files(&data, private_key(hook, &data).await?);
            if options.workload == Workload::Tempo {
                // It may have been a sink before.
                stop(model, &unit).await;
                return tempo::serve(model, hook, &data, files, &roles).await;
            }
            if let Some(path) = missing(&files, &options.role) {
                // Tempo would not start either.
                stop(model, &unit).await;
                put(model, &unit, &files).await?;
                hook.waiting(format!(
                    "[tempo-cluster] the configuration names {}, which is not there",
                    path.display()
                ))
                .await?;
                return Ok(());
            }
            program::end(model, &unit).await;
            serve(model, &unit, files, &options.role).await?;
            let which = if options.role == "all" { "(all roles)".to_owned() } else { options.role };
            hook.active(format!("{which} ready.")).await?;
        }
        Remote::Invalid(reason) => {
            clear(model, &unit).await?;
            hook.waiting(format!("[tempo-cluster] {reason}")).await?;
        }
        Remote::Absent | Remote::Denied => {
            clear(model, &unit).await?;
            if hook.relations("tempo-cluster").await?.is_empty() {
                hook.blocked("[tempo-cluster] missing integration").await?;
            } else {
                hook.waiting("[tempo-cluster] no configuration yet").await?;
            }
        }
    }
    Ok(())
}

/// The private key that the coordinator shares, as it is now. `None` also while the secret may not be read.
async fn private_key(hook: &Hook, data: &CoordinatorAppData) -> Result<Option<String>> {
    let Some(id) = &data.privkey_secret_id else { return Ok(None) };
    let content = hook.secrets().get(SecretRef::Id(&SecretId::new(id.as_str())), true).await?;
    Ok(content.ok().and_then(|content| content.get(SECRET_KEY).map(str::to_owned)))
}

/// The files of a worker's pod. What the coordinator does not send is not to be there.
fn files(data: &CoordinatorAppData, private_key: Option<String>) -> Files {
    let mut files = Files::from([
        (CONFIG.into(), Some(data.worker_config.expose().to_owned())),
        (CERTIFICATE.into(), data.server_cert.clone()),
        (PRIVATE_KEY.into(), private_key),
        (S3_AUTHORITIES.into(), data.s3_tls_ca_chain.clone()),
    ]);
    files.extend(AUTHORITY.map(|path| (path.into(), data.ca_cert.clone())));
    files
}

/// The first file that a listener of the configuration needs and that is not to be there.
fn missing(files: &Files, roles: &str) -> Option<PathBuf> {
    let config = files.get(Path::new(CONFIG))?.as_deref()?;
    let roles: Vec<&str> = roles.split(',').collect();
    // A configuration that cannot be read is for the sink to name.
    let config = SinkConfig::from_tempo_config(config, &roles).ok()?;
    let with_tls = config.tls.into_values().chain(config.api_tls).chain(config.grpc_api_tls);
    let mut needed = with_tls.flat_map(|files| [files.cert_file, files.key_file]);
    needed.find(|path| matches!(files.get(path), Some(None)))
}

/// Runs the sink with these files, unless it does already.
async fn serve(model: &Arc<Model>, unit: &str, files: Files, roles: &str) -> Result<()> {
    let Some(pod) = model.pod(unit) else { return Ok(()) };
    let (mut same, mut same_listeners) = (false, false);
    if let Some(running) = model.workloads.lock().unwrap_or_else(PoisonError::into_inner).get_mut(unit)
        && running.roles == roles
        && matches!(running.process.try_wait(), Ok(None))
    {
        let config = |files: &Files| files.get(Path::new(CONFIG)).cloned();
        same = running.files == files;
        same_listeners = config(&running.files) == config(&files);
    }
    if same {
        return Ok(());
    }
    if same_listeners {
        put(model, unit, &files).await?;
        control(unit, "POST /reload").await?;
        let mut workloads = model.workloads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = workloads.get_mut(unit) {
            running.files = files;
        }
        return Ok(());
    }
    let before = stop(model, unit).await;
    put(model, unit, &files).await?;
    let socket = socket(unit)?;
    fs::create_dir_all(socket.parent().context("a folder")?)?;
    let inside = format!("/var/lib/juju/agents/{}/worker/control", pod.unit_tag());
    let command =
        [INSIDE, "workload", "sink", "--tempo-config", CONFIG, "--role", roles, "--control", &inside]
            .into_iter()
            .chain(["--format", "json"])
            .map(str::to_owned)
            .collect::<Vec<_>>();
    let log_file = model
        .host
        .as_ref()
        .map(|host| host.logs.join(format!("{}-sink.log", unit.replace('/', "-"))))
        .context("no pods")?;
    let log = fs::File::options().create(true).append(true).open(&log_file)?;
    let mut process = pod
        .command(CHARM, Pod::shell_env(CHARM), Some("/".into()), &command)?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("starting the sink")?;
    // Ready is what answers; whoever hears that this worker is ready may send at once.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while control(unit, "GET /ready").await.is_err() {
        if let Some(status) = process.try_wait()? {
            let said = fs::read_to_string(&log_file).unwrap_or_default();
            bail!(
                "the sink ended with {status}: {}",
                said.trim_end().lines().next_back().unwrap_or_default()
            );
        }
        if tokio::time::Instant::now() > deadline {
            bail!("the sink does not answer");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let running = Running { process, roles: roles.to_owned(), files, before };
    model.workloads.lock().unwrap_or_else(PoisonError::into_inner).insert(unit.to_owned(), running);
    Ok(())
}

/// Writes and removes files in a unit's pod.
pub(super) async fn put(model: &Arc<Model>, unit: &str, files: &Files) -> Result<()> {
    let Some(pod) = model.pod(unit) else { return Ok(()) };
    let command = [INSIDE, "workload", "put"].map(str::to_owned);
    let mut process = pod
        .command(CHARM, Pod::shell_env(CHARM), Some("/".into()), &command)?
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("entering the pod")?;
    if let Some(mut input) = process.stdin.take() {
        input.write_all(&serde_json::to_vec(files)?).await?;
    }
    let output = process.wait_with_output().await?;
    if !output.status.success() {
        bail!("writing files in the pod: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Ends what a unit runs and takes the files away.
async fn clear(model: &Arc<Model>, unit: &str) -> Result<()> {
    let sink = model.workloads.lock().unwrap_or_else(PoisonError::into_inner).contains_key(unit);
    let program = model.programs.lock().unwrap_or_else(PoisonError::into_inner).contains_key(unit);
    if sink || program {
        stop(model, unit).await;
        program::end(model, unit).await;
        let paths = [CONFIG, CERTIFICATE, PRIVATE_KEY, S3_AUTHORITIES].into_iter().chain(AUTHORITY);
        put(model, unit, &paths.map(|path| (path.into(), None)).collect()).await?;
    }
    Ok(())
}

/// Ends a unit's sink, after the requests that have begun: what it and its predecessors counted.
async fn stop(model: &Arc<Model>, unit: &str) -> Spans {
    let running = model.workloads.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
    let Some(Running { process, before: mut counts, .. }) = running else { return Spans::new() };
    // One that does not answer is ended with the handle.
    let asked = control(unit, "POST /end").await;
    let ended = async { tokio::time::timeout(END, process.wait_with_output()).await.ok()?.ok() };
    if asked.is_ok()
        && let Some(output) = ended.await
        && let Some(last) = String::from_utf8_lossy(&output.stdout).lines().next_back()
        && let Ok(End { counts: last }) = serde_json::from_str(last)
    {
        add(&mut counts, last);
    }
    counts
}

/// What a sink says when it ends.
#[derive(Deserialize)]
struct End {
    counts: Counts,
}

fn add(sums: &mut Spans, counts: Counts) {
    for (protocol, counts) in counts {
        let sums = sums.entry(protocol.name().to_owned()).or_default();
        for (service, spans) in counts.services {
            *sums.entry(service).or_default() += spans;
        }
    }
}

/// What a unit's sinks have counted since the unit's start; `None` for a unit without one.
pub(crate) async fn counts(model: &Arc<Model>, unit: &str) -> Result<Option<Spans>> {
    let before = model
        .workloads
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(unit)
        .map(|running| running.before.clone());
    let Some(mut counts) = before else { return Ok(None) };
    add(&mut counts, serde_json::from_str(&control(unit, "GET /counts").await?)?);
    Ok(Some(counts))
}

/// Where a unit's sink can be talked to, relative to the daemon's working directory.
fn socket(unit: &str) -> Result<PathBuf> {
    let (app, number) = crate::controller::split(unit).context("not a unit's name")?;
    Ok(agent_dir(app, number).join("worker/control"))
}

/// One request (method and path) to a unit's sink: the body of a good answer.
async fn control(unit: &str, request: &str) -> Result<String> {
    let talk = async {
        let mut stream = UnixStream::connect(socket(unit)?).await?;
        stream
            .write_all(format!("{request} HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer =
        tokio::time::timeout(Duration::from_secs(5), talk).await.context("the sink does not answer")??;
    let (head, body) = answer.split_once("\r\n\r\n").context("the sink's answer has no body")?;
    if !head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        bail!("{request}: {}: {}", head.lines().next().unwrap_or_default(), body.trim());
    }
    Ok(body.to_owned())
}
