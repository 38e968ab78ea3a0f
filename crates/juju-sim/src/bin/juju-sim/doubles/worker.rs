//! `double:tempo-worker`: takes a role in a Tempo cluster and receives spans in Tempo's place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv4Addr,
    process::Stdio,
    sync::{Arc, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use juju_ops::{Hook, Port};
use juju_relations::{
    EndpointMeta, Remote,
    tempo_cluster::{ClusterRequirer, INTERFACE, Roles, Topology, WorkerUnitData},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Child,
};

use crate::{
    daemon::Model,
    dns::CLUSTER,
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
    role: {type: string, default: all, description: 'Roles, separated by commas.'}
";

/// Port of Tempo's HTTP interface, where the sink tells its counts.
const API: u16 = 3200;
/// Ports that a worker opens until the coordinator names some.
const PORTS: [u16; 8] = [3200, 4317, 4318, 7946, 9096, 9411, 14250, 14268];

#[derive(Deserialize)]
struct Options {
    role: String,
}

/// A sink that runs in a pod.
pub(crate) struct Running {
    process: Child,
    /// What it was started with: configuration and roles.
    with: (String, String),
    /// What its predecessors in the same unit counted.
    before: BTreeMap<String, u64>,
}

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
            charm_name: "tempo-worker-k8s".to_owned(),
        },
        address: format!("{app}-{number}.{app}-endpoints.{}.{CLUSTER}", hook.env().model_name),
    };
    cluster.announce(&me, roles.known.iter().copied()).await?;
    let unit = unit.to_string();
    match cluster.published().await? {
        Remote::Ready(data) => {
            let ports = data.worker_ports.clone().unwrap_or_else(|| PORTS.into());
            hook.set_ports(&ports.into_iter().map(Port::tcp).collect::<BTreeSet<_>>()).await?;
            serve(model, &unit, data.worker_config.expose(), &options.role).await?;
            let which = if options.role == "all" { "(all roles)".to_owned() } else { options.role };
            hook.active(format!("{which} ready.")).await?;
        }
        Remote::Invalid(reason) => {
            stop(model, &unit).await;
            hook.waiting(format!("[tempo-cluster] {reason}")).await?;
        }
        Remote::Absent | Remote::Denied => {
            stop(model, &unit).await;
            if hook.relations("tempo-cluster").await?.is_empty() {
                hook.blocked("[tempo-cluster] missing integration").await?;
            } else {
                hook.waiting("[tempo-cluster] no configuration yet").await?;
            }
        }
    }
    Ok(())
}

/// Runs the sink with this configuration, unless it does already.
async fn serve(model: &Arc<Model>, unit: &str, config: &str, roles: &str) -> Result<()> {
    let Some(pod) = model.pod(unit) else { return Ok(()) };
    let with = (config.to_owned(), roles.to_owned());
    {
        let mut workloads = model.workloads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = workloads.get_mut(unit)
            && running.with == with
            && matches!(running.process.try_wait(), Ok(None))
        {
            return Ok(());
        }
    }
    let before = stop(model, unit).await;
    let (app, number) = crate::controller::split(unit).context("not a unit's name")?;
    let folder = agent_dir(app, number).join("worker");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("config.yaml"), config)?;
    let inside = format!("/var/lib/juju/agents/{}/worker/config.yaml", pod.unit_tag());
    let command =
        [INSIDE, "workload", "sink", "--tempo-config", &inside, "--role", roles, "--format", "json"]
            .map(str::to_owned);
    let log_file = model
        .host
        .as_ref()
        .map(|host| host.logs.join(format!("{app}-{number}-sink.log")))
        .context("no pods")?;
    let log = fs::File::options().create(true).append(true).open(&log_file)?;
    let mut process = pod
        .command(CHARM, Pod::shell_env(CHARM), Some("/".into()), &command)?
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting the sink")?;
    // Ready is what answers; whoever hears that this worker is ready may send at once.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while get(pod.address, "/ready").await.is_err() {
        if let Some(status) = process.try_wait()? {
            let said = fs::read_to_string(&log_file).unwrap_or_default();
            bail!(
                "the sink ended with {status}: {}",
                said.trim_end().lines().next_back().unwrap_or_default()
            );
        }
        if tokio::time::Instant::now() > deadline {
            bail!("the sink does not answer on port {API}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let running = Running { process, with, before };
    model.workloads.lock().unwrap_or_else(PoisonError::into_inner).insert(unit.to_owned(), running);
    Ok(())
}

/// Ends a unit's sink: what it had counted in its life and before.
async fn stop(model: &Arc<Model>, unit: &str) -> BTreeMap<String, u64> {
    let counted = counts(model, unit).await.ok().flatten().unwrap_or_default();
    let running = model.workloads.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
    if let Some(mut running) = running {
        let _ = running.process.kill().await;
    }
    counted
}

/// What a unit's sinks have counted since the unit's start; `None` for a unit without one.
pub(crate) async fn counts(model: &Arc<Model>, unit: &str) -> Result<Option<BTreeMap<String, u64>>> {
    let Some(pod) = model.pod(unit) else { return Ok(None) };
    let before = model
        .workloads
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(unit)
        .map(|running| running.before.clone());
    let Some(mut counts) = before else { return Ok(None) };
    let now: BTreeMap<String, Value> = serde_json::from_str(&get(pod.address, "/counts").await?)?;
    for (protocol, value) in now {
        *counts.entry(protocol).or_default() += value["spans"].as_u64().unwrap_or(0);
    }
    Ok(Some(counts))
}

/// One HTTP request to a sink: the body of a good answer.
async fn get(address: Ipv4Addr, path: &str) -> Result<String> {
    let talk = async {
        let mut stream = TcpStream::connect((address, API)).await?;
        stream
            .write_all(
                format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer =
        tokio::time::timeout(Duration::from_secs(5), talk).await.context("the sink does not answer")??;
    let (head, body) = answer.split_once("\r\n\r\n").context("the sink's answer has no body")?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("{path}: {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}
