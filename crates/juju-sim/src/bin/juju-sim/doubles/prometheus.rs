//! `double:prometheus`: says where metrics can be written to, and is a data source of a Grafana. Nobody listens there.

use anyhow::Result;
use juju_ops::Hook;
use juju_relations::{
    EndpointMeta,
    prometheus_remote_write::{INTERFACE, RemoteWriteProvider, UnitData},
};
use serde::Deserialize;

use super::{cluster_host, datasource, groups};

/// What it declares.
pub(crate) const META: &str = "
name: prometheus-k8s
summary: Says where metrics can be written to.
provides:
  receive-remote-write: {interface: prometheus_remote_write}
  send-datasource: {interface: grafana_datasource_exchange}
config:
  options:
    url: {type: string, default: '', description: Where metrics can be written to; empty for the unit itself.}
    grafana_uid: {type: string, default: simulated-grafana, description: The Grafana that has it as a data source; empty for none.}
";

#[derive(Deserialize)]
struct Options {
    url: String,
    grafana_uid: String,
}

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let endpoint = EndpointMeta::provides("receive-remote-write", INTERFACE);
    let prometheus = RemoteWriteProvider::new(hook, endpoint)?;
    let url = if options.url.is_empty() {
        format!("http://{}:9090/api/v1/write", cluster_host(hook.env(), Some(&hook.env().unit)))
    } else {
        options.url.clone()
    };
    prometheus.publish(&UnitData::new(url)).await?;
    datasource(hook, "prometheus", &options.grafana_uid).await?;
    let rules = prometheus.rules().await?;
    let rules = rules.iter().filter_map(|(_, data)| data.as_ref().ok()?.alert_rules.as_ref());
    hook.active(groups(rules)).await?;
    Ok(())
}
