//! `double:grafana`: takes data sources and says how it knows them, as the grafana-k8s charm does. Nothing is shown.

use anyhow::Result;
use juju_ops::Hook;
use juju_relations::{
    EndpointMeta,
    grafana_datasource::{GrafanaAppData, GrafanaSourceRequirer, INTERFACE, Source},
};
use serde::Deserialize;

use super::{cluster_host, counted};

/// What it declares.
pub(crate) const META: &str = "
name: grafana-k8s
summary: Takes data sources and says how it knows them.
requires:
  grafana-source: {interface: grafana_datasource}
config:
  options:
    grafana_uid: {type: string, default: simulated-grafana, description: Which Grafana it is; empty to be one of those that did not say.}
    base_url: {type: string, default: '', description: Its URL; empty for that of its service.}
    per_unit: {type: boolean, default: false, description: Know each unit of a source and not the application, as Grafanas did of old.}
";

#[derive(Deserialize)]
struct Options {
    grafana_uid: String,
    base_url: String,
    per_unit: bool,
}

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let grafana = GrafanaSourceRequirer::new(hook, EndpointMeta::requires("grafana-source", INTERFACE))?;
    let base_url = if options.base_url.is_empty() {
        format!("http://{}:3000", cluster_host(hook.env(), None))
    } else {
        options.base_url.clone()
    };
    let (mut known, mut problem) = (0, None);
    for (relation, source) in grafana.sources().await? {
        match source.answer(&options.grafana_uid, Some(&base_url)) {
            Some(answer) => {
                let answer = if options.per_unit { of_old(&source, answer) } else { answer };
                known += answer.uids().len();
                grafana.publish(&relation, &answer).await?;
            }
            None => {
                problem =
                    problem.or(source.data.reason().map(|reason| format!("{}: {reason}", relation.id())));
            }
        }
    }
    match problem {
        Some(problem) => hook.blocked(problem).await?,
        None => hook.active(counted(known, "data source")).await?,
    }
    Ok(())
}

/// The same source, but known by its units.
fn of_old(source: &Source, answer: GrafanaAppData) -> GrafanaAppData {
    let Some(data) = source.data.as_ref().ok() else { return answer };
    let units = source.units.keys().map(|unit| (unit.to_string(), data.data.unit_uid(unit)));
    GrafanaAppData { datasource_uids: units.collect(), app_datasource_uid: None, ..answer }
}
