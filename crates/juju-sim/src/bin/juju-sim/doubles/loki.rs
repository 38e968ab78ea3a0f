//! `double:loki`: says where logs can be sent, and is a data source of a Grafana.
//!
//! In a pod it takes lines and counts them: `juju-sim fetch loki/0 http://localhost:3100/streams`
//! tells which have come.

mod receiver;

use std::{
    fs,
    process::Stdio,
    sync::{Arc, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use juju_ops::Hook;
use juju_relations::{
    EndpointMeta,
    loki_push_api::{INTERFACE, LokiPushProvider, UnitData},
};
use serde::Deserialize;
use tokio::{
    process::Child,
    time::{Instant, sleep},
};

use super::{cluster_host, datasource, groups, http};
use crate::{
    daemon::Model,
    enter::INSIDE,
    pod::{CHARM, Pod},
};

pub(crate) use receiver::ReceiverArgs;

/// What it declares.
pub(crate) const META: &str = "
name: loki-k8s
summary: Says where logs can be sent.
provides:
  logging: {interface: loki_push_api}
  send-datasource: {interface: grafana_datasource_exchange}
config:
  options:
    url: {type: string, default: '', description: Where logs can be sent; empty for the unit itself.}
    silent: {type: boolean, default: false, description: Do not say where.}
    grafana_uid: {type: string, default: simulated-grafana, description: The Grafana that has it as a data source; empty for none.}
";

#[derive(Deserialize)]
struct Options {
    url: String,
    silent: bool,
    grafana_uid: String,
}

/// Where lines are taken.
const PORT: u16 = 3100;
/// How long the receiver may take to start.
const START: Duration = Duration::from_secs(10);

/// A receiver that runs in a pod.
pub(crate) struct Running(Child);

/// One hook.
pub(crate) async fn run(model: &Arc<Model>, hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    serve(model, &hook.env().unit.to_string()).await?;
    let loki = LokiPushProvider::new(hook, EndpointMeta::provides("logging", INTERFACE))?;
    let host = cluster_host(hook.env(), Some(&hook.env().unit));
    if options.silent {
        for (relation, _) in loki.rules().await? {
            relation.set_unit([("endpoint".to_owned(), None)]);
        }
    } else {
        let url = if options.url.is_empty() {
            format!("http://{host}:{PORT}{}", receiver::PUSH)
        } else {
            options.url.clone()
        };
        loki.publish(&UnitData { public_address: Some(host), ..UnitData::new(url) }).await?;
    }
    datasource(hook, "loki", &options.grafana_uid).await?;
    let rules = loki.rules().await?;
    let rules = rules.iter().filter_map(|(_, data)| data.as_ref().ok()?.alert_rules.as_ref());
    hook.active(groups(rules)).await?;
    Ok(())
}

/// Runs the receiver in the unit's pod, if there is one, unless it runs already.
async fn serve(model: &Arc<Model>, unit: &str) -> Result<()> {
    let (Some(pod), Some(machine)) = (model.pod(unit), &model.host) else { return Ok(()) };
    if let Some(Running(process)) =
        model.receivers.lock().unwrap_or_else(PoisonError::into_inner).get_mut(unit)
        && matches!(process.try_wait(), Ok(None))
    {
        return Ok(());
    }
    let log = machine.logs.join(format!("{}-receiver.log", unit.replace('/', "-")));
    let log = fs::File::options().create(true).append(true).open(log)?;
    let listen = format!("0.0.0.0:{PORT}");
    let command = [INSIDE, "workload", "lines", "--listen", &listen].map(str::to_owned);
    let mut process = pod
        .command(CHARM, Pod::shell_env(CHARM), Some("/".into()), &command)?
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting the receiver")?;
    let deadline = Instant::now() + START;
    while http::ask((pod.address, PORT), "GET /ready").await.is_err() {
        if let Some(status) = process.try_wait()? {
            bail!("the receiver ended with {status}");
        }
        if Instant::now() > deadline {
            bail!("the receiver does not answer");
        }
        sleep(Duration::from_millis(20)).await;
    }
    model.receivers.lock().unwrap_or_else(PoisonError::into_inner).insert(unit.to_owned(), Running(process));
    Ok(())
}
