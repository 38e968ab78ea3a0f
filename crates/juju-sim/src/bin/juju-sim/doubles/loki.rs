//! `double:loki`: says where logs can be sent, and is a data source of a Grafana. Nobody listens there.

use anyhow::Result;
use juju_ops::Hook;
use juju_relations::{
    EndpointMeta,
    loki_push_api::{INTERFACE, LokiPushProvider, UnitData},
};
use serde::Deserialize;

use super::{cluster_host, datasource, groups};

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

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let loki = LokiPushProvider::new(hook, EndpointMeta::provides("logging", INTERFACE))?;
    let host = cluster_host(hook.env(), Some(&hook.env().unit));
    if options.silent {
        for (relation, _) in loki.rules().await? {
            relation.set_unit([("endpoint".to_owned(), None)]);
        }
    } else {
        let url = if options.url.is_empty() {
            format!("http://{host}:3100/loki/api/v1/push")
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
