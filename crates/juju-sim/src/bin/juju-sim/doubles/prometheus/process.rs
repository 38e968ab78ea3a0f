//! The real Prometheus in the pod of a `double:prometheus`, where the simulator has the program.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use juju_relations::prometheus_scrape::ScrapeJob;
use serde_json::{Value, json};
use tokio::{
    process::Child,
    time::{Instant, sleep},
};

use crate::{
    daemon::Model,
    doubles::{
        http,
        worker::{self, Files},
    },
    pod::{CHARM, Pod},
    verbs,
};

/// The program, where pods have it.
const PROGRAM: &str = "/charm/bin/prometheus";
/// Its files.
const CONFIG: &str = "/etc/prometheus/prometheus.yml";
const RULES: &str = "/etc/prometheus/rules";
const AUTHORITIES: &str = "/etc/prometheus/ca.crt";
const DATA: &str = "/var/lib/prometheus";
/// Where it answers.
pub(super) const PORT: u16 = 9090;
/// How often it looks at targets and rules: often, so that nobody who watches has to wait.
const INTERVAL: &str = "2s";
/// How long it may take to start.
const START: Duration = Duration::from_secs(30);

/// A Prometheus that runs in a pod.
pub(crate) struct Running {
    process: Child,
    files: Files,
    /// Why it does not use them, if so.
    refused: Option<String>,
}

/// Lets the Prometheus of this unit scrape these jobs and evaluate these rules (by the names of their files), and waits
/// until it does: why it refuses them, if it does. Nothing happens where there is no such program, or no pod that it could
/// run in.
pub(super) async fn serve(
    model: &Arc<Model>,
    unit: &str,
    jobs: &[ScrapeJob],
    rules: &BTreeMap<String, Value>,
) -> Result<Option<String>> {
    let (Some(pod), Some(machine)) = (model.pod(unit), &model.host) else { return Ok(None) };
    if !machine.run.join("bin/prometheus").is_file() {
        return Ok(None);
    }
    let authorities = verbs::authorities(&model.controller());
    let mut files: Files = rules
        .iter()
        .map(|(name, rules)| Ok((Path::new(RULES).join(name), Some(serde_yaml::to_string(rules)?))))
        .collect::<Result<_>>()?;
    files.insert(CONFIG.into(), Some(serde_yaml::to_string(&config(jobs, authorities.is_some())?)?));
    files.insert(AUTHORITIES.into(), authorities);

    let mut last = model.scrapers.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
    let is_alive = last.as_mut().is_some_and(|running| matches!(running.process.try_wait(), Ok(None)));
    let (process, refused) = if let Some(Running { process, files: old, refused }) = last.filter(|_| is_alive)
    {
        let refused = if files == old { refused } else { exchange(model, unit, &pod, &old, &files).await? };
        (process, refused)
    } else {
        worker::put(model, unit, &files).await?;
        let log = machine.logs.join(format!("{}-prometheus.log", unit.replace('/', "-")));
        let mut process = start(&pod, &log)?;
        let refused = ready(&pod, &mut process, &log).await;
        (process, refused)
    };
    let running = Running { process, files, refused: refused.clone() };
    model.scrapers.lock().unwrap_or_else(PoisonError::into_inner).insert(unit.to_owned(), running);
    Ok(refused)
}

/// Gives a running one these files in place of the old ones: why it refuses them, if it does.
async fn exchange(
    model: &Arc<Model>,
    unit: &str,
    pod: &Pod,
    old: &Files,
    new: &Files,
) -> Result<Option<String>> {
    let gone = old.keys().filter(|path| !new.contains_key(*path));
    let all = gone.map(|path| (path.clone(), None)).chain(new.clone()).collect();
    worker::put(model, unit, &all).await?;
    Ok(match http::ask((pod.address, PORT), "POST /-/reload").await? {
        (200, _) => None,
        (_, reason) => Some(reason.trim().to_owned()),
    })
}

fn start(pod: &Pod, log: &PathBuf) -> Result<Child> {
    let log = fs::File::options().create(true).append(true).open(log)?;
    let command = [
        PROGRAM.to_owned(),
        format!("--config.file={CONFIG}"),
        format!("--storage.tsdb.path={DATA}"),
        format!("--web.listen-address=:{PORT}"),
        "--web.enable-lifecycle".to_owned(),
        "--web.enable-remote-write-receiver".to_owned(),
    ];
    pod.command(CHARM, Pod::shell_env(CHARM), Some("/".into()), &command)?
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting Prometheus")
}

/// Waits until it answers; why it does not, if so.
async fn ready(pod: &Pod, process: &mut Child, log: &PathBuf) -> Option<String> {
    let deadline = Instant::now() + START;
    loop {
        if matches!(http::ask((pod.address, PORT), "GET /-/ready").await, Ok((200, _))) {
            return None;
        }
        if let Ok(Some(status)) = process.try_wait() {
            let said = fs::read_to_string(log).unwrap_or_default();
            let last = said.lines().rev().find(|line| line.contains("err="));
            return Some(last.map_or_else(|| format!("it ended with {status}"), str::to_owned));
        }
        if Instant::now() > deadline {
            return Some("it does not get ready".to_owned());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Its configuration. Nobody tells it which authority to trust for which target, so it trusts those of the model.
fn config(jobs: &[ScrapeJob], with_authorities: bool) -> Result<Value> {
    let mut jobs: Vec<Value> = jobs.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    for job in &mut jobs {
        if with_authorities && job["scheme"] == "https" && job.get("tls_config").is_none() {
            job["tls_config"] = json!({"ca_file": AUTHORITIES});
        }
    }
    Ok(json!({
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": [format!("{RULES}/*")],
        "scrape_configs": jobs,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_with_tls_trust_the_authorities_of_the_model_unless_they_say_otherwise() {
        let jobs: Vec<ScrapeJob> = serde_json::from_str(
            r#"[{"job_name": "a", "static_configs": []}, {"job_name": "b", "static_configs": [], "scheme": "https"},
                {"job_name": "c", "static_configs": [], "scheme": "https", "tls_config": {"ca_file": "/own"}}]"#,
        )
        .unwrap();
        let trusted = |with| {
            let config = config(&jobs, with).unwrap();
            let jobs = config["scrape_configs"].as_array().unwrap().clone();
            jobs.iter().map(|job| job["tls_config"]["ca_file"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(trusted(true), [Value::Null, AUTHORITIES.into(), "/own".into()]);
        assert_eq!(trusted(false), [Value::Null, Value::Null, "/own".into()]);
    }
}
