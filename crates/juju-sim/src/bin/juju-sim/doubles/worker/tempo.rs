//! The real Tempo in the pod of a `double:tempo-worker`, run as the charm of the workers runs it: one role, which is Tempo's
//! target; the coordinator's document with the labels of the unit; a restart for whatever changes.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use juju_ops::Hook;
use juju_relations::tempo_cluster::{CoordinatorAppData, Role, Roles};
use serde_json::{Value, json};

use super::{AUTHORITY, CERTIFICATE, CONFIG, Files, PRIVATE_KEY, missing};
use crate::{
    daemon::Model,
    doubles::program::{self, Spec, State},
};

/// The program, among those for workloads.
const PROGRAM: &str = "tempo";
/// After how long it should be ready: a compactor watches its ring for a minute before.
const PATIENCE: Duration = Duration::from_secs(150);
/// Where it keeps what is not in the bucket yet.
const FOLDERS: [&str; 2] = ["/etc/tempo/tempo_wal", "/etc/tempo/metrics_generator_wal"];
/// What Tempo is called with every role in it.
const EVERYTHING: &str = "scalable-single-binary";
/// The protocol in which Tempo sends its own traces.
const OWN_TRACES: &str = "otlp_http";

/// Runs Tempo with the coordinator's document and these files, and says in the status how far it is.
pub(super) async fn serve(
    model: &Arc<Model>,
    hook: &Hook,
    data: &CoordinatorAppData,
    mut files: Files,
    roles: &Roles,
) -> Result<()> {
    let unit = hook.env().unit.to_string();
    let Some(target) = target(roles) else {
        program::end(model, &unit).await;
        hook.blocked("option role: one role, or all, as Tempo has one target").await?;
        return Ok(());
    };
    if let Err(reason) = program::available(model, &unit, PROGRAM) {
        hook.blocked(format!("option workload: {reason}")).await?;
        return Ok(());
    }
    if target == "metrics-generator" && data.remote_write_endpoints.is_empty() {
        program::end(model, &unit).await;
        hook.blocked("metrics-generator: no remote write endpoint").await?;
        return Ok(());
    }
    let role = if target == EVERYTHING { Role::All.name() } else { &target };
    if let Some(path) = missing(&files, role) {
        program::end(model, &unit).await;
        super::put(model, &unit, &files).await?;
        let path = path.display();
        hook.waiting(format!("[tempo-cluster] the configuration names {path}, which is not there")).await?;
        return Ok(());
    }
    let env = hook.env();
    let labels = BTreeMap::from([
        ("juju_model", env.model_name.clone()),
        ("juju_model_uuid", env.model_uuid.clone()),
        ("juju_application", env.app().to_owned()),
        ("juju_unit", unit.clone()),
    ]);
    if let Some(Some(text)) = files.get_mut(Path::new(CONFIG))
        && [EVERYTHING, "metrics-generator"].contains(&target.as_str())
    {
        *text = with_labels(text, &labels)?;
    }
    let with_tls = [CERTIFICATE, PRIVATE_KEY, AUTHORITY[1]]
        .iter()
        .all(|path| matches!(files.get(Path::new(path)), Some(Some(_))));
    let host = super::super::cluster_host(env, Some(&env.unit));
    let spec = Spec {
        name: PROGRAM,
        // It would tell its makers that it runs, if it found a way out.
        arguments: vec![
            format!("-config.file={CONFIG}"),
            format!("-target={target}"),
            "-reporting.enabled=false".to_owned(),
        ],
        environment: environment(data, &labels, with_tls),
        files,
        folders: FOLDERS.map(str::to_owned).into(),
        ready: format!("http{}://{host}:3200/ready", if with_tls { "s" } else { "" }),
        trust: with_tls.then_some(AUTHORITY[1]),
        patience: PATIENCE,
    };
    match program::run(model, &unit, spec).await? {
        State::Starting => hook.waiting("Tempo starts").await?,
        State::Late(reason) => hook.blocked(format!("Tempo: {reason}")).await?,
        State::Ready if target == EVERYTHING => hook.active("(all roles) ready.").await?,
        State::Ready => hook.active(format!("{target} ready.")).await?,
    }
    Ok(())
}

/// What Tempo is started as; `None` for several roles, as there is one target.
fn target(roles: &Roles) -> Option<String> {
    let mut known = roles.known.iter();
    match (known.next(), known.next()) {
        (Some(Role::All), None) => Some(EVERYTHING.to_owned()),
        (Some(role), None) => Some(role.name().to_owned()),
        _ => None,
    }
}

/// The document, with the labels that the series of a metrics generator are to have.
fn with_labels(config: &str, labels: &BTreeMap<&str, String>) -> Result<String> {
    let mut config: Value = serde_yaml::from_str(config).context("the configuration is not YAML")?;
    let Some(generator) = config.get_mut("metrics_generator").filter(|generator| generator.is_object())
    else {
        return Ok(serde_yaml::to_string(&config)?);
    };
    let mut labels = json!(labels);
    labels["juju_charm_name"] = json!(super::CHARM_NAME);
    generator["registry"]["external_labels"] = labels;
    Ok(serde_yaml::to_string(&config)?)
}

/// Where Tempo sends its own traces, if it was told a place; and what it trusts.
fn environment(
    data: &CoordinatorAppData,
    labels: &BTreeMap<&str, String>,
    with_tls: bool,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: String| drop(env.insert(name.to_owned(), value));
    if let Some(url) = data.workload_tracing_receivers.get(OWN_TRACES) {
        let attributes = labels.iter().map(|(name, value)| format!("{name}={value}"));
        let charm = format!("juju_charm={}", super::CHARM_NAME);
        let attributes: Vec<String> = attributes.chain([charm]).collect();
        set("OTEL_TRACES_EXPORTER", "otlp".to_owned());
        set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{url}/v1/traces"));
        set("OTEL_RESOURCE_ATTRIBUTES", attributes.join(","));
    }
    if with_tls {
        // In a real container the authority is among those of the system.
        set("SSL_CERT_FILE", AUTHORITY[1].to_owned());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_one_target() {
        let of = |text: &str| target(&Roles::parse(text));
        assert_eq!(of("all").as_deref(), Some("scalable-single-binary"));
        assert_eq!(of("query-frontend").as_deref(), Some("query-frontend"));
        assert_eq!(of("querier,ingester"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn series_of_a_metrics_generator_have_the_labels_of_its_unit() {
        let labels = BTreeMap::from([("juju_unit", "w/0".to_owned())]);
        let text =
            with_labels("metrics_generator: {ring: {kvstore: {store: memberlist}}}\n", &labels).unwrap();
        let config: Value = serde_yaml::from_str(&text).unwrap();
        let expected = json!({
            "ring": {"kvstore": {"store": "memberlist"}},
            "registry": {"external_labels": {"juju_unit": "w/0", "juju_charm_name": "tempo-worker-k8s"}},
        });
        assert_eq!(config["metrics_generator"], expected);
        let text = with_labels("server: {http_listen_port: 3200}\n", &labels).unwrap();
        assert!(!text.contains("external_labels"), "{text}");
    }

    #[test]
    fn tempo_sends_its_own_traces_where_it_is_told() {
        let mut data = CoordinatorAppData::new("");
        let labels = BTreeMap::from([("juju_unit", "w/0".to_owned())]);
        assert_eq!(environment(&data, &labels, false), BTreeMap::new());
        data.workload_tracing_receivers.insert(OWN_TRACES.to_owned(), "https://t:4318".to_owned());
        let env = environment(&data, &labels, true);
        assert_eq!(env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"], "https://t:4318/v1/traces");
        assert_eq!(env["OTEL_RESOURCE_ATTRIBUTES"], "juju_unit=w/0,juju_charm=tempo-worker-k8s");
        assert_eq!(env["SSL_CERT_FILE"], "/usr/local/share/ca-certificates/ca.crt");
    }
}
