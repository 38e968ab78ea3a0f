//! The real Traefik in the pod of a `double:traefik`, where the simulator has the program.
//!
//! It gets what the traefik-k8s charm gives it: the entry points that the related applications ask for, and their routes
//! in a file that it watches, each with a twin for TLS. Other entry points, and another authority behind them, restart it.

use std::{
    fmt::Write as _,
    fs,
    net::IpAddr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use juju_ops::Hook;
use juju_relations::{
    tls_certificates::{PrivateKey, RequestAttributes, request},
    traefik_route::RequirerAppData,
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Child,
    time::{Instant, sleep, timeout},
};

use crate::{
    daemon::Model,
    doubles::{certificates, worker},
    pod::{CHARM, Pod},
    verbs,
};

/// The program, where pods have it.
const PROGRAM: &str = "/charm/bin/traefik";
/// Its files.
const STATIC: &str = "/etc/traefik/traefik.yaml";
const DYNAMIC: &str = "/etc/traefik/routes.yaml";
const CERTIFICATE: &str = "/etc/traefik/server.crt";
const PRIVATE_KEY: &str = "/etc/traefik/server.key";
/// The authority that signed the certificate: for whoever is to trust it.
const AUTHORITY: &str = "/etc/traefik/ca.crt";
/// One JSON object for each request.
const ACCESS_LOG: &str = "/var/log/traefik-access.log";
const PID: &str = "/run/traefik.pid";
/// Where it says what it makes of its routes.
const API_PORT: u16 = 8082;
/// How long it may take to start, or to take new routes; it waits two seconds after the last ones.
const TAKE: Duration = Duration::from_secs(20);
/// How long it may take to end: a little longer than it waits for requests that have begun.
const END: Duration = Duration::from_secs(12);

/// A Traefik that runs in a pod.
pub(crate) struct Running {
    process: Child,
    static_text: String,
    dynamic_text: String,
    certificate: Option<Certificate>,
}

/// What it shows to clients. It holds a private key and is never shown.
#[derive(Clone)]
struct Certificate {
    host: String,
    authority: String,
    chain: String,
    key: String,
}

/// Lets the Traefik of this unit serve these routes, and waits until it does: what it refuses, in words fit for a status
/// message. `None` where there is no such program, or no pod that it could run in.
pub(super) async fn serve(
    model: &Arc<Model>,
    hook: &Hook,
    (scheme, host): (&str, &str),
    routes: &[RequirerAppData],
) -> Result<Option<Vec<String>>> {
    let unit = hook.env().unit.to_string();
    let (Some(pod), Some(machine)) = (model.pod(&unit), &model.host) else { return Ok(None) };
    if !machine.run.join("bin/traefik").is_file() {
        return Ok(None);
    }
    let log = machine.logs.join(format!("{}-traefik.log", unit.replace('/', "-")));
    let mut running = model.proxies.lock().unwrap_or_else(PoisonError::into_inner).remove(&unit);
    let alive = running.as_mut().is_some_and(|running| matches!(running.process.try_wait(), Ok(None)));
    let certificate = match (scheme, host) {
        ("https", host) if !host.is_empty() => {
            let last = running.as_ref().and_then(|running| running.certificate.clone());
            certificate(hook, host, last).await?
        }
        _ => None,
    };
    let behind = verbs::authorities(&model.controller());
    let static_text = serde_yaml::to_string(&static_config(routes, behind.as_deref()))?;
    let mut dynamic = dynamic_config(routes, host, certificate.is_some());
    // A name that is there as soon as these very routes are.
    let certificate_text = certificate.as_ref().map(|certificate| certificate.chain.as_str());
    let mark = mark(&[&static_text, &dynamic.to_string(), certificate_text.unwrap_or_default()]);
    dynamic["http"]["services"][&mark] =
        json!({"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}});
    let dynamic_text = serde_yaml::to_string(&dynamic)?;

    let said = fs::metadata(&log).map_or(0, |meta| meta.len());
    let text =
        |of: fn(&Certificate) -> &String| certificate.as_ref().map(|certificate| of(certificate).clone());
    // The routes come last: they name the other files.
    let files = [
        (CERTIFICATE, text(|certificate| &certificate.chain)),
        (PRIVATE_KEY, text(|certificate| &certificate.key)),
        (AUTHORITY, text(|certificate| &certificate.authority)),
        (STATIC, Some(static_text.clone())),
    ]
    .map(|(path, text)| (PathBuf::from(path), text));
    let routes_file = [(PathBuf::from(DYNAMIC), Some(dynamic_text.clone()))];
    let mut process = match running {
        Some(running) if running.static_text == static_text && alive => {
            if running.dynamic_text != dynamic_text {
                worker::put(model, &unit, &files.into()).await?;
                worker::put(model, &unit, &routes_file.into()).await?;
            }
            running.process
        }
        other => {
            if let Some(running) = other {
                end(&pod, running.process).await;
            }
            worker::put(model, &unit, &files.into_iter().chain(routes_file).collect()).await?;
            start(&pod, &log)?
        }
    };

    let refused = taken(&pod, &mut process, &mark).await.unwrap_or_else(|problem| {
        let log = fs::read(&log).unwrap_or_default();
        let log = log.get(usize::try_from(said).unwrap_or(usize::MAX)..).unwrap_or_default();
        vec![last_error(&String::from_utf8_lossy(log)).map_or(problem, str::to_owned)]
    });
    let running = Running { process, static_text, dynamic_text, certificate };
    model.proxies.lock().unwrap_or_else(PoisonError::into_inner).insert(unit, running);
    Ok(Some(refused))
}

fn start(pod: &Pod, log: &PathBuf) -> Result<Child> {
    let log = fs::File::options().create(true).append(true).open(log)?;
    let line = format!("echo $$ > {PID}; exec {PROGRAM} --configFile={STATIC}");
    pod.command(CHARM, Pod::shell_env(CHARM), Some("/".into()), &["sh", "-c", &line].map(str::to_owned))?
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting Traefik")
}

/// Ends it, after the requests that have begun, so that the next one finds its ports free.
async fn end(pod: &Pod, mut process: Child) {
    let line = format!("kill -TERM $(cat {PID})");
    let words = ["sh", "-c", &line].map(str::to_owned);
    if let Ok(mut kill) = pod.command(CHARM, Pod::shell_env(CHARM), Some("/".into()), &words) {
        let _ = kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    }
    // One that does not end by itself ends with the handle.
    let _ = timeout(END, process.wait()).await;
}

/// A certificate for the host; the last one if it is for the same host and by the same authority. Followers have none: only
/// the leader has an authority, and it is the leader's host that is handed out.
async fn certificate(hook: &Hook, host: &str, last: Option<Certificate>) -> Result<Option<Certificate>> {
    if !hook.is_leader().await? {
        return Ok(None);
    }
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_secs())?;
    let authority = certificates::authority(hook, now, false).await?.without_intermediate();
    if let Some(last) = last.filter(|last| last.host == host && last.authority == authority.root()) {
        return Ok(Some(last));
    }
    let key = PrivateKey::generate()?;
    let mut wanted =
        RequestAttributes { common_name: Some("traefik".to_owned()), ..RequestAttributes::default() };
    match host.parse::<IpAddr>() {
        Ok(ip) => drop(wanted.sans_ip.insert(ip)),
        Err(_) => drop(wanted.sans_dns.insert(host.to_owned())),
    }
    let csr = request(&key, &wanted, &format!("{host} {now}"))?;
    let issued = authority.sign(&csr, now, now + i64::try_from(certificates::LIFE.as_secs())?)?;
    Ok(Some(Certificate {
        host: host.to_owned(),
        authority: authority.root().to_owned(),
        chain: issued.certificate,
        key: key.to_pem().to_owned(),
    }))
}

/// What it is started with. `behind` are authorities that servers' certificates may be signed by.
fn static_config(routes: &[RequirerAppData], behind: Option<&str>) -> Value {
    let mut config = json!({});
    for asked in routes {
        merge(&mut config, parsed(asked.static_config.as_deref().unwrap_or_default()));
    }
    merge(
        &mut config,
        json!({
            "global": {"checkNewVersion": false, "sendAnonymousUsage": false},
            "log": {"level": "INFO", "noColor": true},
            "accessLog": {"filePath": ACCESS_LOG, "format": "json"},
            "api": {"insecure": true, "dashboard": false},
            "entryPoints": {
                "web": {"address": ":80"},
                "websecure": {"address": ":443"},
                "traefik": {"address": format!(":{API_PORT}")},
            },
            "providers": {"file": {"filename": DYNAMIC, "watch": true}},
        }),
    );
    if let Some(authorities) = behind {
        config["serversTransport"] = json!({"rootCAs": [authorities]});
    }
    config
}

/// All routes with their twins; with a certificate, clients are shown that.
fn dynamic_config(routes: &[RequirerAppData], host: &str, with_certificate: bool) -> Value {
    let mut config = json!({});
    for asked in routes {
        let mut own = parsed(&asked.config);
        if !asked.raw {
            add_twins(&mut own, host);
        }
        merge(&mut config, own);
    }
    if with_certificate {
        let certificate = json!({"certFile": CERTIFICATE, "keyFile": PRIVATE_KEY});
        merge(&mut config, json!({"tls": {"stores": {"default": {"defaultCertificate": certificate}}}}));
    }
    merge(&mut config, json!({"http": {"services": {}}}));
    config
}

/// Adds a router with TLS beside each one, as the traefik-k8s charm does.
fn add_twins(config: &mut Value, host: &str) {
    let tls = if host.is_empty() || host.parse::<IpAddr>().is_ok() {
        json!({})
    } else {
        json!({"domains": [{"main": host, "sans": [format!("*.{host}")]}]})
    };
    for part in ["/http/routers", "/tcp/routers"] {
        // What is not there is not to be made: Traefik refuses empty parts.
        let Some(routers) = config.pointer_mut(part).and_then(Value::as_object_mut) else { continue };
        let twins: Map<String, Value> = routers
            .iter()
            .filter(|(_, router)| router["rule"].is_string() && router["service"].is_string())
            .map(|(name, router)| {
                let entry_point = router["entryPoints"][0].as_str().filter(|name| *name != "web");
                let twin = json!({
                    "rule": router["rule"],
                    "service": router["service"],
                    "entryPoints": [entry_point.unwrap_or("websecure")],
                    "tls": tls,
                });
                (format!("{name}-tls"), twin)
            })
            .collect();
        routers.extend(twins);
    }
}

/// A configuration that somebody wrote; the relation's own check has named what is no YAML.
fn parsed(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap_or_default()
}

/// Adds what is in one object to another, also within objects that both have. Of values that both have, the new one stays.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (into, more) => *into = more,
    }
}

/// A name that other texts do not have.
fn mark(texts: &[&str]) -> String {
    let hash =
        texts.iter().fold(Sha256::new(), |hash, text| hash.chain_update(text).chain_update([0])).finalize();
    hash.iter().take(8).fold("juju-sim-".to_owned(), |mut name, byte| {
        // Writing to a String does not fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// Waits until the routes with this mark are in use: what is refused of them. An error where they do not get into use.
async fn taken(pod: &Pod, process: &mut Child, mark: &str) -> Result<Vec<String>, String> {
    let deadline = Instant::now() + TAKE;
    loop {
        if let Ok(Some(status)) = process.try_wait() {
            return Err(format!("Traefik ended with {status}"));
        }
        if let Ok(seen) = overview(pod).await
            && seen["services"].get(format!("{mark}@file")).is_some()
        {
            return Ok(refused(&seen));
        }
        if Instant::now() > deadline {
            return Err("Traefik does not take the routes".to_owned());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// All that Traefik has been told, and what it makes of it.
async fn overview(pod: &Pod) -> Result<Value> {
    let talk = async {
        let mut stream = TcpStream::connect((pod.address, API_PORT)).await?;
        // In this version the answer ends with the connection.
        stream.write_all(b"GET /api/rawdata HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(Duration::from_secs(5), talk).await.context("Traefik does not answer")??;
    let (_, body) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
    Ok(serde_json::from_str(body)?)
}

/// What Traefik does not serve, or not as it was told, each with the reason.
fn refused(overview: &Value) -> Vec<String> {
    let kinds = overview.as_object().into_iter().flatten();
    kinds
        .flat_map(|(kind, all)| {
            all.as_object().into_iter().flatten().map(move |(name, one)| (kind, name, one))
        })
        .filter(|(_, _, one)| one["status"].as_str().is_some_and(|status| status != "enabled"))
        .map(|(kind, name, one)| {
            let reasons = match &one["error"] {
                Value::Array(reasons) => {
                    reasons.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
                }
                reason => reason.as_str().unwrap_or("no reason given").to_owned(),
            };
            format!("{kind} {name}: {reasons}")
        })
        .collect()
}

/// The last line of Traefik's log that is about an error.
fn last_error(log: &str) -> Option<&str> {
    log.lines().rev().find(|line| line.contains(" ERR ") || line.contains("error")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
http:
  middlewares: {m: {redirectScheme: {permanent: true, port: 4317, scheme: https}}}
  routers:
    r: {entryPoints: [otlp, other], middlewares: [m], rule: ClientIP(`0.0.0.0/0`), service: s}
    plain: {entryPoints: [web], rule: Path(`/`), service: s}
    without-rule: {service: s}
  services: {s: {loadBalancer: {servers: [{url: 'h2c://a:4317'}]}}}
";

    fn asked(config: &str, static_config: &str) -> RequirerAppData {
        RequirerAppData { config: config.into(), static_config: Some(static_config.into()), raw: false }
    }

    #[test]
    fn every_router_has_a_twin_for_tls_and_raw_routes_stay_as_they_are() {
        let one = asked(CONFIG, "");
        let config = dynamic_config(std::slice::from_ref(&one), "a.example", true);
        let routers = config["http"]["routers"].as_object().unwrap();
        let names: Vec<_> = routers.keys().collect();
        assert_eq!(names, ["plain", "plain-tls", "r", "r-tls", "without-rule"]);
        let twin = json!({
            "entryPoints": ["otlp"],
            "rule": "ClientIP(`0.0.0.0/0`)",
            "service": "s",
            "tls": {"domains": [{"main": "a.example", "sans": ["*.a.example"]}]},
        });
        assert_eq!(routers["r-tls"], twin);
        assert!(config.get("tcp").is_none());
        assert_eq!(routers["plain-tls"]["entryPoints"], json!(["websecure"]));
        assert_eq!(config["tls"]["stores"]["default"]["defaultCertificate"]["keyFile"], PRIVATE_KEY);
        let at_address = dynamic_config(std::slice::from_ref(&one), "10.0.0.1", false);
        assert_eq!(at_address["http"]["routers"]["r-tls"]["tls"], json!({}));
        assert!(at_address.get("tls").is_none());

        let raw = dynamic_config(&[RequirerAppData { raw: true, ..one }], "a.example", false);
        assert_eq!(raw["http"]["routers"].as_object().unwrap().len(), 3);
    }

    #[test]
    fn applications_share_one_traefik() {
        let other = "http: {routers: {q: {rule: Path(`/q`), service: t}}, services: {t: {}}}";
        let routes = [
            asked(CONFIG, "entryPoints: {otlp: {address: ':4317'}}"),
            asked(other, "entryPoints: {q: {address: ':1'}, traefik: {address: ':2'}}"),
            asked("", ""),
        ];
        let config = dynamic_config(&routes, "", false);
        assert_eq!(config["http"]["services"].as_object().unwrap().len(), 2);
        let config = static_config(&routes, Some("PEM"));
        let points: Vec<_> = config["entryPoints"].as_object().unwrap().keys().collect();
        assert_eq!(points, ["otlp", "q", "traefik", "web", "websecure"]);
        assert_eq!(config["entryPoints"]["traefik"]["address"], ":8082");
        assert_eq!(config["serversTransport"]["rootCAs"], json!(["PEM"]));
    }

    #[test]
    fn what_traefik_does_not_serve_is_named_with_its_reason() {
        let overview = json!({
            "routers": {
                "a@file": {"status": "enabled"},
                "b@file": {"status": "disabled", "error": ["no such rule", "and more"]},
            },
            "services": {"c@file": {"status": "enabled"}, "d@internal": {}},
        });
        assert_eq!(refused(&overview), ["routers b@file: no such rule; and more"]);
        assert_eq!(refused(&json!({})), [""; 0]);
        assert_eq!(last_error("x ERR one\ny INF two\n"), Some("x ERR one"));
        assert_ne!(mark(&["ab", "c"]), mark(&["a", "bc"]));
    }
}
