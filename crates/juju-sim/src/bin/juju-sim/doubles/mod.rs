//! Stand-ins for the other side: charms built into the simulator, and the processes they run.
//!
//! A double is a charm like any other, written with the same libraries; only that it runs in the daemon, and so needs no packing.
//! Its hooks follow the same order and its writes the same transactions.

mod blackbox_exporter;
mod catalogue;
mod certificates;
mod grafana;
pub(crate) mod http;
mod istio_ingress;
pub(crate) mod loki;
mod mesh;
mod mesh_guest;
pub(crate) mod pebble;
pub(crate) mod program;
pub(crate) mod prometheus;
mod s3;
mod tempo_api_client;
pub(crate) mod traefik;
pub(crate) mod worker;

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, PoisonError},
};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use juju_ops::{
    Event, Hook, HookEnv, UnitName,
    tools::{BoxFuture, HookTools, ToolCall, ToolOutput, TransportError},
};
use juju_relations::{
    EndpointMeta, JsonText,
    grafana_datasource::SourceData,
    grafana_datasource_exchange::{self, Datasource, DatasourceExchangeProvider},
};
use juju_sim::{CharmMeta, session::AgentPaths, spans};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    agent::{Shared, perform},
    daemon::Model,
};

/// A charm that is built in.
struct Double {
    name: &'static str,
    /// Another name that is accepted; empty if there is none.
    also: &'static str,
    /// What it declares.
    meta: &'static str,
    /// One of its hooks.
    run: for<'a> fn(&'a Arc<Model>, &'a Hook) -> BoxFuture<'a, Result<()>>,
}

/// Every double, sorted by name.
const DOUBLES: &[Double] = &[
    Double {
        name: "blackbox-exporter",
        also: "",
        meta: blackbox_exporter::META,
        run: |_, hook| Box::pin(blackbox_exporter::run(hook)),
    },
    Double {
        name: "catalogue",
        also: "",
        meta: catalogue::META,
        run: |_, hook| Box::pin(catalogue::run(hook)),
    },
    Double {
        name: "certificates",
        also: "self-signed-certificates",
        meta: certificates::META,
        run: |_, hook| Box::pin(certificates::run(hook)),
    },
    Double { name: "grafana", also: "", meta: grafana::META, run: |_, hook| Box::pin(grafana::run(hook)) },
    Double {
        name: "istio-ingress",
        also: "",
        meta: istio_ingress::META,
        run: |_, hook| Box::pin(istio_ingress::run(hook)),
    },
    Double { name: "loki", also: "", meta: loki::META, run: |model, hook| Box::pin(loki::run(model, hook)) },
    Double { name: "mesh", also: "istio-beacon", meta: mesh::META, run: |_, hook| Box::pin(mesh::run(hook)) },
    Double {
        name: "mesh-guest",
        also: "",
        meta: mesh_guest::META,
        run: |_, hook| Box::pin(mesh_guest::run(hook)),
    },
    Double {
        name: "prometheus",
        also: "",
        meta: prometheus::META,
        run: |model, hook| Box::pin(prometheus::run(model, hook)),
    },
    Double { name: "s3", also: "", meta: s3::META, run: |model, hook| Box::pin(s3::run(model, hook)) },
    Double {
        name: "tempo-api-client",
        also: "",
        meta: tempo_api_client::META,
        run: |_, hook| Box::pin(tempo_api_client::run(hook)),
    },
    Double {
        name: "tempo-worker",
        also: "worker",
        meta: worker::META,
        run: |model, hook| Box::pin(worker::run(model, hook)),
    },
    Double {
        name: "traefik",
        also: "",
        meta: traefik::META,
        run: |model, hook| Box::pin(traefik::run(model, hook)),
    },
];

/// A double by either of its names.
fn find(name: &str) -> Result<&'static Double> {
    let named = |double: &&Double| !name.is_empty() && (double.name == name || double.also == name);
    DOUBLES.iter().find(named).with_context(|| {
        let known: Vec<_> = DOUBLES.iter().map(|double| format!("double:{}", double.name)).collect();
        format!("there is no double:{name}; there are: {}", known.join(", "))
    })
}

/// What a double declares.
pub(crate) fn meta(name: &str) -> Result<CharmMeta> {
    CharmMeta::from_texts("", Some(find(name)?.meta), None, None).context("a double's declarations")
}

/// Every double with what it declares, sorted by name.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, CharmMeta)> {
    DOUBLES.iter().filter_map(|double| Some((double.name, meta(double.name).ok()?)))
}

/// How many there are, in words for a status message.
fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The name of a unit in the cluster, or of the service in front of all units of its application.
fn cluster_host(env: &HookEnv, unit: Option<&UnitName>) -> String {
    let (app, model) = (env.app(), &env.model_name);
    match unit {
        Some(unit) => format!("{app}-{}.{app}-endpoints.{model}.{}", unit.number(), crate::dns::CLUSTER),
        None => format!("{app}.{model}.{}", crate::dns::CLUSTER),
    }
}

/// Lists the application as a data source of a Grafana, where there is one, to those who ask on `send-datasource`.
async fn datasource(hook: &Hook, kind: &str, grafana_uid: &str) -> Result<()> {
    let env = hook.env();
    let source = SourceData::new(&env.model_name, &env.model_uuid, env.app(), kind);
    let sources = Some(Datasource::new(kind, source.uid(), grafana_uid)).filter(|_| !grafana_uid.is_empty());
    let endpoint = EndpointMeta::provides("send-datasource", grafana_datasource_exchange::INTERFACE);
    let exchange = DatasourceExchangeProvider::new(hook, endpoint)?;
    exchange.publish(&grafana_datasource_exchange::AppData::new(sources)).await?;
    Ok(())
}

/// How many groups of alert rules there are in several documents, in words for a status message.
fn groups<'a>(rules: impl Iterator<Item = &'a JsonText>) -> String {
    #[derive(Deserialize)]
    struct Rules {
        #[serde(default)]
        groups: Vec<IgnoredAny>,
    }
    let groups = rules.filter_map(JsonText::parse::<Rules>).map(|rules| rules.groups.len()).sum();
    counted(groups, "group")
}

/// Hook tools answered in this process.
struct InProcess {
    model: Arc<Model>,
    unit: String,
    session: Shared,
    charm_dir: PathBuf,
}

impl HookTools for InProcess {
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>> {
        let argv: Vec<String> = std::iter::once(call.tool.to_owned()).chain(call.args).collect();
        let output =
            perform(&self.model, &self.unit, &self.session, &argv, call.stdin.as_deref(), &self.charm_dir);
        Box::pin(std::future::ready(Ok(output)))
    }
}

/// Runs one hook of a double.
pub(crate) async fn dispatch(
    model: &Arc<Model>,
    unit: &str,
    name: &str,
    session: &Shared,
    paths: &AgentPaths,
) -> Result<()> {
    let env = session.lock().unwrap_or_else(PoisonError::into_inner).environment(paths);
    let var = |name: &str| env.get(name).cloned();
    let tools = InProcess {
        model: Arc::clone(model),
        unit: unit.to_owned(),
        session: Arc::clone(session),
        charm_dir: paths.charm_dir.clone(),
    };
    let folder = PathBuf::from("no-containers");
    let containers: juju_ops::Containers =
        Arc::new(move |name| Arc::new(juju_pebble::Client::new(folder.join(name))));
    let hook = Hook::new(HookEnv::from_vars(var)?, Event::from_vars(var), Arc::new(tools), containers);
    (find(name)?.run)(model, &hook).await?;
    hook.commit().await?;
    Ok(())
}

/// Processes that run in pods.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Workload {
    /// Receive spans and count them, in the place of Tempo.
    Sink(spans::cli::SinkArgs),
    /// Send spans as an instrumented program would.
    Send(spans::cli::SendArgs),
    /// Send spans at an even rate until told to stop.
    Steady(spans::cli::SteadyArgs),
    /// Take lines of logs and count them, in the place of Loki.
    Lines(loki::ReceiverArgs),
    /// Ask an HTTP API.
    Fetch(spans::cli::FetchArgs),
    /// Write files: a JSON object on standard input, path to text, or to null where no file is to be.
    Put,
}

/// Runs such a process.
pub(crate) fn workload(workload: &Workload) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(match workload.clone() {
        Workload::Put => {
            put(&serde_json::from_reader(std::io::stdin())?)?;
            ExitCode::SUCCESS
        }
        Workload::Lines(lines) => runtime.block_on(lines.run())?,
        Workload::Sink(sink) => runtime.block_on(sink.run())?,
        Workload::Send(send) => runtime.block_on(send.run())?,
        Workload::Fetch(fetch) => runtime.block_on(fetch.run())?,
        Workload::Steady(steady) => runtime.block_on(steady.run())?,
    })
}

/// Writes files that only their owner reads, each in one step, and removes others.
fn put(files: &BTreeMap<PathBuf, Option<String>>) -> Result<()> {
    for (path, text) in files {
        let failed = || path.display().to_string();
        let Some(text) = text else {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(failed),
                _ => continue,
            }
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(failed)?;
        }
        let mut next = path.clone().into_os_string();
        next.push(".next");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)
            .with_context(failed)?;
        file.write_all(text.as_bytes()).with_context(failed)?;
        fs::rename(&next, path).with_context(failed)?;
    }
    Ok(())
}
