//! `double:grafana`: takes data sources and says how it knows them, takes dashboards and says what it thinks of them, as the
//! grafana-k8s charm does. Nothing is shown but the titles.

use anyhow::Result;
use juju_ops::Hook;
use juju_relations::{
    EndpointMeta, Remote,
    grafana_dashboard::{self, DashboardRequirer, Dashboards, Refusal, RequirerAppData, Verdict},
    grafana_datasource::{GrafanaAppData, GrafanaSourceRequirer, INTERFACE, Source},
};
use serde::Deserialize;

use super::{cluster_host, counted};

/// What it declares.
pub(crate) const META: &str = "
name: grafana-k8s
summary: Takes data sources and dashboards.
requires:
  grafana-dashboard: {interface: grafana_dashboard}
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
    let mut titles = Vec::new();
    let endpoint = EndpointMeta::requires("grafana-dashboard", grafana_dashboard::INTERFACE);
    let dashboards = DashboardRequirer::new(hook, endpoint)?;
    for (relation, data) in dashboards.published().await? {
        let refused = match data {
            Remote::Ready(data) => {
                let (readable, mut refused) = read(&data.dashboards);
                titles.extend(readable);
                refused.extend(data.problems);
                refused
            }
            Remote::Invalid(reason) => vec![reason],
            Remote::Absent | Remote::Denied => continue,
        };
        problem = problem.or(refused.first().map(|reason| format!("{}: {reason}", relation.id())));
        let errors = refused.iter().map(|reason| {
            let (id, error) = reason.rsplit_once(": ").unwrap_or(("", reason));
            Refusal { dashboard_id: id.to_owned(), error: error.to_owned() }
        });
        let data = RequirerAppData { verdict: Verdict::new(errors), problems: Vec::new() };
        dashboards.publish_to(&relation, &data).await?;
    }
    titles.sort();
    match problem {
        Some(problem) => hook.blocked(problem).await?,
        None if titles.is_empty() => hook.active(counted(known, "data source")).await?,
        None => {
            let shown = counted(titles.len(), "dashboard");
            hook.active(format!("{}, {shown}: {}", counted(known, "data source"), titles.join(", "))).await?;
        }
    }
    Ok(())
}

/// The titles of dashboards that can be shown, and what is wrong with the others, each after its id.
fn read(dashboards: &Dashboards) -> (Vec<String>, Vec<String>) {
    #[derive(Deserialize)]
    struct Dashboard {
        title: String,
    }
    let (mut titles, mut refused) = (Vec::new(), Vec::new());
    for text in dashboards.texts() {
        match text {
            Ok((id, text)) => match text.parse::<Dashboard>() {
                Some(dashboard) => titles.push(dashboard.title),
                None => refused.push(format!("{id}: has no title")),
            },
            Err(error) => refused.push(error.to_string()),
        }
    }
    (titles, refused)
}

/// The same source, but known by its units.
fn of_old(source: &Source, answer: GrafanaAppData) -> GrafanaAppData {
    let Some(data) = source.data.as_ref().ok() else { return answer };
    let units = source.units.keys().map(|unit| (unit.to_string(), data.data.unit_uid(unit)));
    GrafanaAppData { datasource_uids: units.collect(), app_datasource_uid: None, ..answer }
}
