//! Pebble's HTTP API on a unix socket, in front of a [`Double`].

mod exec;
mod files;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use juju_pebble::{
    Access, CheckInfo, CheckLevel, Error, Identity, IdentityAction, Layer, NoticeFilter, ServiceAction,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::UnixListener, sync::Notify, task::JoinHandle, time::timeout};

use super::{Double, Inner, VERSION, api};

/// The longest request body that is read.
const BODY_LIMIT: usize = 256 << 20;

/// A served socket. Dropping it stops serving and removes the socket file.
#[derive(Debug)]
pub struct Server {
    task: JoinHandle<()>,
    socket: PathBuf,
}

impl Server {
    /// Where the socket is.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // Somebody else may have removed it with its folder.
        let _ = fs::remove_file(&self.socket);
    }
}

/// Serves a double on a unix socket, replacing a socket file left behind. To be called inside a tokio runtime.
///
/// While the container's Pebble does not answer, connections are taken and closed at once.
pub fn serve(double: Double, socket: impl Into<PathBuf>) -> io::Result<Server> {
    let socket = socket.into();
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&socket)?;
    let front = Arc::new(Front::new(double));
    let task = tokio::spawn(async move {
        // Connections live in this set, so they end with the server.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    if !front.double.lock().container.can_connect {
                        continue;
                    }
                    let front = front.clone();
                    connections.spawn(async move {
                        let service = service_fn(move |request| {
                            let front = front.clone();
                            async move { front.answer(request).await }
                        });
                        // A client that goes away early is its own business.
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    });
    Ok(Server { task, socket })
}

/// The container's Pebble went away while it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the simulated container is not up")]
struct Gone;

type Body = Full<Bytes>;

struct Front {
    double: Double,
    state: Mutex<Daemon>,
    next_id: AtomicU64,
    /// Told of every change that ends and every notice that occurs.
    news: Notify,
}

/// What a daemon keeps beside its container.
#[derive(Default)]
struct Daemon {
    changes: BTreeMap<u64, Value>,
    execs: BTreeMap<String, exec::Waiting>,
}

/// A request's query, in order.
struct Query(Vec<(String, String)>);

impl Query {
    fn of<B>(request: &Request<B>) -> Self {
        let text = request.uri().query().unwrap_or_default();
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    fn one(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// All values of a key; a value may be a list with commas.
    fn list(&self, key: &str) -> Vec<&str> {
        let values = self.0.iter().filter(|(name, _)| name == key).flat_map(|(_, value)| value.split(','));
        values.filter(|value| !value.is_empty()).collect()
    }

    fn all(&self, key: &str) -> Vec<&str> {
        self.0.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect()
    }

    fn duration(&self, key: &str) -> Result<Option<Duration>, Error> {
        let Some(text) = self.one(key).filter(|text| !text.is_empty()) else { return Ok(None) };
        match crate::tools::go_duration(text) {
            Some(duration) => Ok(Some(duration)),
            None => Err(api(400, format!("invalid {key}: time: invalid duration \"{text}\""))),
        }
    }
}

fn respond(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

fn envelope(status: u16, kind: &str, extra: (&str, Value), result: &Value) -> Response<Body> {
    let reason =
        StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    let mut document = json!({"type": kind, "status-code": status, "status": reason, "result": result});
    if !extra.0.is_empty() {
        document[extra.0] = extra.1;
    }
    respond(status, "application/json", document.to_string())
}

fn sync(result: &Value) -> Response<Body> {
    envelope(200, "sync", ("", Value::Null), result)
}

fn begun(change: u64, result: &Value) -> Response<Body> {
    envelope(202, "async", ("change", change.to_string().into()), result)
}

/// The daemon's form of an error; a container that is gone closes the connection instead.
fn failed(error: Error) -> Result<Response<Body>, Gone> {
    let (status, kind, message) = match error {
        Error::Connection(_) => return Err(Gone),
        Error::Api { status, kind, message } => (status, kind, message),
        Error::Path { kind, message, .. } => {
            let status = match kind.as_str() {
                "not-found" => 404,
                "permission-denied" => 403,
                _ => 400,
            };
            (status, kind, message)
        }
        other => (500, String::new(), other.to_string()),
    };
    let mut result = json!({"message": message});
    if !kind.is_empty() {
        result["kind"] = kind.into();
    }
    Ok(envelope(status, "error", ("", Value::Null), &result))
}

fn read_json<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| api(400, format!("cannot decode request body: {error}")))
}

impl Front {
    fn new(double: Double) -> Self {
        Self { double, state: Mutex::default(), next_id: AtomicU64::new(1), news: Notify::new() }
    }

    fn daemon(&self) -> MutexGuard<'_, Daemon> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn with<R>(&self, work: impl FnOnce(&mut Inner) -> Result<R, Error>) -> Result<R, Error> {
        self.double.with(work)
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Gone> {
        match self.route(request).await {
            Ok(response) => Ok(response),
            Err(error) => failed(error),
        }
    }

    async fn route(self: &Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Error> {
        // Everything needs the container, also what the daemon would answer from memory.
        self.with(|_| Ok(()))?;
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let query = Query::of(&request);
        if let ["v1", "tasks", task, "websocket", stream] = parts[..] {
            return self.upgrade(request, task, stream);
        }
        let method = request.method().clone();
        let header =
            |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (accept, content_type) = (header(ACCEPT).to_owned(), header(CONTENT_TYPE).to_owned());
        let body = Limited::new(request.into_body(), BODY_LIMIT).collect().await;
        let body = body.map_err(|error| api(400, format!("cannot read request body: {error}")))?.to_bytes();
        let get = method == Method::GET;
        if !get && method != Method::POST {
            return Err(api(405, format!("method \"{method}\" not allowed")));
        }
        match (get, &parts[..]) {
            (true, ["v1", "system-info"]) => {
                self.with(|inner| Ok(sync(&json!({"boot-id": inner.container.boot_id, "version": VERSION}))))
            }
            (true, ["v1", "health"]) => self.health(&query),
            (true, ["v1", "plan"]) => self.plan(&query),
            (false, ["v1", "layers"]) => self.add_layer(&body),
            (true, ["v1", "services"]) => {
                let services = self.with(|inner| Ok(inner.services(&query.list("names"))))?;
                Ok(sync(&json!(services)))
            }
            (false, ["v1", "services"]) => self.change_services(&body),
            (true, ["v1", "changes"]) => Ok(sync(&self.changes(&query))),
            (_, ["v1", "changes", id]) => self.change(id, get),
            (true, ["v1", "changes", id, "wait"]) => self.wait(id, query.duration("timeout")?).await,
            (true, ["v1", "checks"]) => Ok(sync(&json!(self.checks(&query)?))),
            (false, ["v1", "checks"]) => self.switch_checks(&body),
            (false, ["v1", "checks", "refresh"]) => self.refresh_check(&body),
            (true, ["v1", "files"]) => self.get_files(&query, &accept),
            (false, ["v1", "files"]) => self.post_files(&content_type, body).await,
            (false, ["v1", "exec"]) => self.exec(&body),
            (false, ["v1", "signals"]) => self.signal(&body),
            (true, ["v1", "logs"]) => Ok(respond(200, "application/x-ndjson", "")),
            (true, ["v1", "notices"]) => self.notices(&query).await,
            (false, ["v1", "notices"]) => self.notify(&body),
            (true, ["v1", "notices", id]) => {
                let found = self.with(|inner| {
                    Ok(inner.container.notices.iter().find(|notice| notice.id == *id).cloned())
                })?;
                found
                    .map(|notice| sync(&json!(notice)))
                    .ok_or_else(|| api(404, format!("cannot find notice with ID \"{id}\"")))
            }
            (true, ["v1", "identities"]) => Ok(sync(&json!(self.with(|inner| Ok(inner.identities()))?))),
            (false, ["v1", "identities"]) => self.change_identities(&body),
            _ => Err(api(404, "invalid API endpoint requested")),
        }
    }

    fn plan(&self, query: &Query) -> Result<Response<Body>, Error> {
        match query.one("format") {
            Some("yaml") => {}
            other => return Err(api(400, format!("invalid format \"{}\"", other.unwrap_or_default()))),
        }
        let plan = self.with(|inner| Ok(inner.container.plan()))?;
        let text = if plan == Layer::default() { "{}\n".to_owned() } else { plan.to_yaml()? };
        Ok(sync(&text.into()))
    }

    fn add_layer(&self, body: &[u8]) -> Result<Response<Body>, Error> {
        #[derive(Deserialize)]
        struct Add {
            action: String,
            #[serde(default)]
            combine: bool,
            #[serde(default)]
            label: String,
            #[serde(default)]
            format: String,
            #[serde(default)]
            layer: String,
        }
        let add: Add = read_json(body)?;
        if add.action != "add" {
            return Err(api(400, format!("invalid action \"{}\"", add.action)));
        }
        if add.format != "yaml" {
            return Err(api(400, format!("invalid format \"{}\"", add.format)));
        }
        let layer = strict_layer(&add.label, &add.layer)?;
        self.with(|inner| inner.add_layer(&add.label, &layer, add.combine))?;
        Ok(sync(&true.into()))
    }

    fn signal(&self, body: &[u8]) -> Result<Response<Body>, Error> {
        #[derive(Deserialize)]
        struct Signal {
            signal: String,
            #[serde(default)]
            services: Vec<String>,
        }
        let Signal { signal, services } = read_json(body)?;
        let names: Vec<&str> = services.iter().map(String::as_str).collect();
        self.with(|inner| inner.signal(&signal, &names))?;
        Ok(sync(&true.into()))
    }

    fn change_services(&self, body: &[u8]) -> Result<Response<Body>, Error> {
        #[derive(Deserialize)]
        struct Order {
            action: String,
            #[serde(default)]
            services: Option<Vec<String>>,
        }
        let Order { action: word, services } = read_json(body)?;
        let Ok(action) = serde_json::from_value::<ServiceAction>(Value::String(word.clone())) else {
            return Err(api(400, format!("action \"{word}\" is unsupported")));
        };
        let services = services.unwrap_or_default();
        let names: Vec<&str> = services.iter().map(String::as_str).collect();
        let err = match self.with(|inner| inner.change_services(action, &names)) {
            Ok(()) => None,
            Err(Error::Change { message }) => Some(message),
            Err(error) => return Err(error),
        };
        let capital: String =
            word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect();
        let summary = match names.split_first() {
            None => format!("{capital} - no services"),
            Some((first, [])) => format!("{capital} service \"{first}\""),
            Some((first, rest)) => format!("{capital} service \"{first}\" and {} more", rest.len()),
        };
        let id = self.number();
        self.end_change(id, &word, &summary, err.as_deref(), &json!({}));
        Ok(begun(id, &Value::Null))
    }

    /// Records a change that ended, with one task.
    fn end_change(&self, id: u64, kind: &str, summary: &str, err: Option<&str>, data: &Value) {
        let mut change = change_document(id, kind, summary);
        let status = if err.is_some() { "Error" } else { "Done" };
        change["status"] = status.into();
        change["ready"] = true.into();
        change["ready-time"] = change["spawn-time"].clone();
        change["tasks"][0]["status"] = status.into();
        change["tasks"][0]["data"] = data.clone();
        if let Some(err) = err {
            change["err"] = err.into();
        }
        self.daemon().changes.insert(id, change);
        self.news.notify_waiters();
    }

    fn changes(&self, query: &Query) -> Value {
        let wanted = query.one("select").unwrap_or("in-progress").to_owned();
        let daemon = self.daemon();
        let fits = |change: &&Value| match wanted.as_str() {
            "all" => true,
            "ready" => change["ready"] == true,
            _ => change["ready"] != true,
        };
        daemon.changes.values().filter(fits).cloned().collect()
    }

    fn find_change(&self, id: &str) -> Result<Value, Error> {
        let found = id.parse().ok().and_then(|id: u64| self.daemon().changes.get(&id).cloned());
        found.ok_or_else(|| api(404, format!("cannot find change with id \"{id}\"")))
    }

    fn change(&self, id: &str, get: bool) -> Result<Response<Body>, Error> {
        let change = self.find_change(id)?;
        if !get && change["ready"] == true {
            return Err(api(400, format!("cannot abort change {id} with nothing pending")));
        }
        Ok(sync(&change))
    }

    async fn wait(&self, id: &str, limit: Option<Duration>) -> Result<Response<Body>, Error> {
        let ended = async {
            loop {
                let news = self.news.notified();
                let change = self.find_change(id)?;
                if change["ready"] == true {
                    return Ok(change);
                }
                news.await;
            }
        };
        let change = match limit {
            None => ended.await?,
            Some(limit) => timeout(limit, ended)
                .await
                .map_err(|_| api(504, format!("timed out waiting for change after {limit:?}")))??,
        };
        Ok(sync(&change))
    }

    fn checks(&self, query: &Query) -> Result<Vec<CheckInfo>, Error> {
        self.with(|inner| Ok(inner.checks(level(query)?, &query.list("names"))))
    }

    fn health(&self, query: &Query) -> Result<Response<Body>, Error> {
        let healthy = self.with(|inner| Ok(inner.health(level(query)?, &query.list("names"))))?;
        let status = if healthy { 200 } else { 502 };
        Ok(envelope(status, "sync", ("", Value::Null), &json!({"healthy": healthy})))
    }

    fn switch_checks(&self, body: &[u8]) -> Result<Response<Body>, Error> {
        #[derive(Deserialize)]
        struct Switch {
            action: String,
            #[serde(default)]
            checks: Vec<String>,
        }
        let Switch { action, checks } = read_json(body)?;
        let names: Vec<&str> = checks.iter().map(String::as_str).collect();
        let changed = self.with(|inner| inner.change_checks(word(&action)?, &names))?;
        Ok(sync(&json!({"changed": changed})))
    }

    fn refresh_check(&self, body: &[u8]) -> Result<Response<Body>, Error> {
        #[derive(Deserialize)]
        struct Refresh {
            name: String,
        }
        let Refresh { name } = read_json(body)?;
        Ok(sync(&json!(self.with(|inner| inner.refresh_check(&name))?)))
    }

    async fn notices(&self, query: &Query) -> Result<Response<Body>, Error> {
        let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        let filter = NoticeFilter {
            types: owned(query.list("types")),
            keys: owned(query.list("keys")),
            after: query.one("after").map(str::to_owned),
        };
        let deadline = query.duration("timeout")?.map(|limit| tokio::time::Instant::now() + limit);
        loop {
            let news = self.news.notified();
            let found = self.with(|inner| Ok(inner.notices(&filter)))?;
            let over = match deadline {
                None => true,
                Some(_) if !found.is_empty() => true,
                Some(deadline) => tokio::time::timeout_at(deadline, news).await.is_err(),
            };
            if over {
                return Ok(sync(&json!(found)));
            }
        }
    }

    fn notify(&self, body: &[u8]) -> Result<Response<Body>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Add {
            action: String,
            #[serde(rename = "type")]
            kind: String,
            key: String,
            #[serde(default)]
            repeat_after: Option<String>,
            #[serde(default)]
            data: BTreeMap<String, String>,
        }
        let Add { action, kind, key, repeat_after, data } = read_json(body)?;
        if action != "add" {
            return Err(api(400, format!("invalid action \"{action}\"")));
        }
        if kind != "custom" {
            return Err(api(400, format!("invalid type \"{kind}\" (can only add \"custom\" notices)")));
        }
        let repeat_after = match repeat_after {
            Some(text) => Some(
                crate::tools::go_duration(&text)
                    .ok_or_else(|| api(400, format!("invalid repeat-after: \"{text}\"")))?,
            ),
            None => None,
        };
        let notice = juju_pebble::Notify { key, data, repeat_after };
        let id = self.with(|inner| inner.notify(&notice))?;
        self.news.notify_waiters();
        Ok(sync(&json!({"id": id})))
    }

    fn change_identities(&self, body: &[u8]) -> Result<Response<Body>, Error> {
        #[derive(Deserialize)]
        struct Change {
            action: String,
            #[serde(default)]
            identities: BTreeMap<String, Option<Identity>>,
        }
        let Change { action, identities } = read_json(body)?;
        let action = word(&action)?;
        let mut given = BTreeMap::new();
        for (name, identity) in identities {
            let identity = match (identity, action == IdentityAction::Remove) {
                (Some(identity), false) => identity,
                // Only the name is looked at.
                (None, true) => Identity::local(Access::Untrusted, 0),
                (Some(_), true) => {
                    return Err(api(
                        400,
                        format!("identity value for \"{name}\" must be null for remove operation"),
                    ));
                }
                (None, false) => {
                    return Err(api(400, format!("identity value for \"{name}\" must not be null")));
                }
            };
            given.insert(name, identity);
        }
        self.with(|inner| inner.change_identities(action, &given))?;
        Ok(sync(&Value::Null))
    }
}

/// A word of the API for what to do.
fn word<T: for<'de> Deserialize<'de>>(action: &str) -> Result<T, Error> {
    serde_json::from_value(action.into()).map_err(|_| api(400, format!("invalid action \"{action}\"")))
}

fn level(query: &Query) -> Result<Option<CheckLevel>, Error> {
    Ok(match query.one("level").unwrap_or_default() {
        "" => None,
        "alive" => Some(CheckLevel::Alive),
        "ready" => Some(CheckLevel::Ready),
        _ => return Err(api(400, "level must be \"alive\" or \"ready\"")),
    })
}

/// A change with one task, just begun.
fn change_document(id: u64, kind: &str, summary: &str) -> Value {
    const NOW: &str = "2026-01-01T00:00:00Z";
    json!({
        "id": id.to_string(), "kind": kind, "summary": summary, "status": "Doing", "ready": false, "spawn-time": NOW,
        "tasks": [{
            "id": (id * 1000).to_string(), "kind": kind, "summary": summary, "status": "Doing", "spawn-time": NOW,
            "progress": {"label": "", "done": 1, "total": 1},
        }],
    })
}

/// A layer as the daemon reads it: with nothing in it that it does not know.
fn strict_layer(label: &str, text: &str) -> Result<Layer, Error> {
    const SECTIONS: [&str; 5] = ["summary", "description", "services", "checks", "log-targets"];
    let bad = |reason: String| api(400, format!("cannot parse layer \"{label}\": {reason}"));
    let raw: Value = serde_yaml::from_str(text).map_err(|error| bad(error.to_string()))?;
    let raw = match raw {
        Value::Null => json!({}),
        raw => raw,
    };
    let sections = raw.as_object().ok_or_else(|| bad("not a mapping".to_owned()))?;
    if let Some(unknown) = sections.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
        return Err(bad(format!("unknown section \"{unknown}\"")));
    }
    for (section, word) in [("services", "service"), ("checks", "check"), ("log-targets", "log target")] {
        for (name, entry) in sections.get(section).and_then(Value::as_object).into_iter().flatten() {
            if entry.get("override").is_none() {
                return Err(api(
                    400,
                    format!("layer \"{label}\" must define \"override\" for {word} \"{name}\""),
                ));
            }
        }
    }
    Layer::from_yaml(&raw.to_string()).map_err(|error| bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use juju_pebble::{Override, Service};

    use super::*;

    #[test]
    fn layers_are_read_strictly() {
        let refused = |text: &str| match strict_layer("l", text) {
            Err(Error::Api { status: 400, message, .. }) => message,
            other => panic!("{other:?}"),
        };
        assert!(refused("bogus: {}").ends_with("unknown section \"bogus\""));
        assert_eq!(
            refused("services: {a: {command: x}}"),
            "layer \"l\" must define \"override\" for service \"a\""
        );
        assert!(refused("services: {a: {override: fold}}").starts_with("cannot parse layer \"l\""));
        let layer = strict_layer("l", "services: {a: {override: merge, command: x}}").unwrap();
        let service = Service { override_: Override::Merge, command: "x".to_owned(), ..Service::default() };
        assert_eq!(layer.services["a"], service);
    }
}
