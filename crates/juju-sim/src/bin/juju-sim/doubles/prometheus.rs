//! `double:prometheus`: says where metrics can be written to, scrapes, and is a data source of a Grafana.
//!
//! Where the simulator has the program `prometheus`, it runs in each unit's pod, with the jobs and rules of all related
//! applications, as the prometheus-k8s charm would configure it; what can be asked of it tells
//! `juju-sim fetch prom/0 http://localhost:9090/api/v1/targets`. Elsewhere nobody listens.

mod process;

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use juju_ops::Hook;
use juju_relations::{
    EndpointMeta, JsonText, prometheus_remote_write,
    prometheus_remote_write::{RemoteWriteProvider, UnitData},
    prometheus_scrape::{self, RequirerAppData, ScrapeRequirer, Source, Verdict, scrape_configs},
};
use serde::Deserialize;
use serde_json::Value;

use super::{cluster_host, counted, datasource, groups};
use crate::daemon::Model;

pub(crate) use process::Running;

/// What it declares.
pub(crate) const META: &str = "
name: prometheus-k8s
summary: Says where metrics can be written to, and scrapes.
provides:
  receive-remote-write: {interface: prometheus_remote_write}
  send-datasource: {interface: grafana_datasource_exchange}
requires:
  metrics-endpoint: {interface: prometheus_scrape}
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
pub(crate) async fn run(model: &Arc<Model>, hook: &Hook) -> Result<()> {
    let options: Options = hook.config().await?;
    let endpoint = EndpointMeta::provides("receive-remote-write", prometheus_remote_write::INTERFACE);
    let written = RemoteWriteProvider::new(hook, endpoint)?;
    let unit = &hook.env().unit;
    let url = if options.url.is_empty() {
        format!("http://{}:{}/api/v1/write", cluster_host(hook.env(), Some(unit)), process::PORT)
    } else {
        options.url.clone()
    };
    written.publish(&UnitData::new(url)).await?;
    datasource(hook, "prometheus", &options.grafana_uid).await?;

    let endpoint = EndpointMeta::requires("metrics-endpoint", prometheus_scrape::INTERFACE);
    let scraped = ScrapeRequirer::new(hook, endpoint)?;
    let sources = scraped.sources().await?;
    let jobs = scrape_configs(sources.iter().filter_map(Source::scraped));
    let mut rules: BTreeMap<String, JsonText> = BTreeMap::new();
    for source in &sources {
        if let Some(text) = source.data.as_ref().ok().and_then(|data| data.alert_rules.clone()) {
            rules.insert(source.relation.to_string(), text);
        }
    }
    for (relation, data) in written.rules().await? {
        if let Some(text) = data.ok().and_then(|data| data.alert_rules) {
            rules.insert(relation.id().to_string(), text);
        }
    }
    let refused = process::serve(model, &unit.to_string(), &jobs, &files(&rules)).await?;
    let verdict = Verdict { valid: refused.is_none(), errors: refused.clone(), scrape_job_errors: None };
    scraped.publish(&RequirerAppData { event: Some(verdict) }).await?;
    match refused {
        Some(reason) => hook.blocked(format!("Prometheus: {reason}")).await?,
        None if sources.is_empty() => hook.active(groups(rules.values())).await?,
        None => {
            hook.active(format!("{}, {}", counted(jobs.len(), "job"), groups(rules.values()))).await?;
        }
    }
    Ok(())
}

/// A file for each document with a rule in it.
fn files(rules: &BTreeMap<String, JsonText>) -> BTreeMap<String, Value> {
    let some = rules.iter().filter_map(|(relation, text)| {
        let rules: Value = text.parse()?;
        let is_empty = rules["groups"].as_array().is_none_or(Vec::is_empty);
        (!is_empty).then(|| (format!("{}.yaml", relation.replace(':', "-")), rules))
    });
    some.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_without_rules_are_no_files() {
        let text = |text: &str| serde_json::from_str::<JsonText>(text).unwrap();
        let rules = BTreeMap::from([
            ("a:1".to_owned(), text("{}")),
            ("a:2".to_owned(), text(r#"{"groups": []}"#)),
            ("a:3".to_owned(), text(r#"{"groups": [{"name": "g", "rules": []}]}"#)),
        ]);
        assert_eq!(files(&rules).into_keys().collect::<Vec<_>>(), ["a-3.yaml"]);
    }
}
