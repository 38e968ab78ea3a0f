//! The client: one container's daemon, and how long to wait for it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    AddLayer, BoxFuture, CheckAction, CheckInfo, CheckLevel, CheckRefresh, Error, Exec, ExecOutput, FileInfo,
    FileWrite, Identity, IdentityAction, Layer, LogEntry, MakeDir, Notice, NoticeFilter, Notify, Owner,
    Pebble, ServiceAction, ServiceInfo, SystemInfo,
    transport::{Answer, Request, Transport},
    wire::envelope::{self, Reply},
};

/// How long calls may take, and how much they may return.
///
/// No call waits forever: each ends in [`Error::Timeout`] at the latest after the time given here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One request and its answer, 5 seconds by default. Waiting for a change is done in several
    /// requests, each shorter than this.
    pub call: Duration,
    /// Reading or writing files, 30 seconds by default.
    pub files: Duration,
    /// Waiting for the end of a change of services, 30 seconds by default.
    pub change: Duration,
    /// A command that has no timeout of its own, 5 minutes by default.
    pub exec: Duration,
    /// Bytes of one answer, of the files read by one call, or of one output of a command; 64 MiB by
    /// default.
    pub size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(5),
            files: Duration::from_secs(30),
            change: Duration::from_secs(30),
            exec: Duration::from_mins(5),
            size: 64 << 20,
        }
    }
}

/// A client of the Pebble that listens on one unix socket.
///
/// Making one does no I/O and cannot fail; whether somebody listens shows at the first call. It is cheap to clone, reads no
/// environment variable, and must be used inside a tokio runtime with I/O and time enabled.
///
/// The verbs that every kind of Pebble has, doubles included, are those of the trait [`Pebble`];
/// the others are methods of this type.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) transport: Transport,
    pub(crate) limits: Limits,
}

impl Client {
    /// A client with default [`Limits`].
    ///
    /// In a charm container, the socket is `/charm/containers/<name>/pebble.socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { transport: Transport::new(socket.into()), limits: Limits::default() }
    }

    /// The same client with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The socket it speaks to.
    pub fn socket(&self) -> &Path {
        self.transport.path()
    }

    /// The limits it keeps.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, target: String) -> Result<T, Error> {
        self.reply(self.request(Method::GET, target)).await?.sync()
    }

    pub(crate) async fn post(&self, target: &str, body: &impl Serialize) -> Result<Reply, Error> {
        self.reply(self.posting(target, body)?).await
    }

    /// A request without a body, in the time of one call.
    pub(crate) fn request(&self, method: Method, target: String) -> Request {
        let Limits { call: timeout, size: limit, .. } = self.limits;
        Request { method, target, body: None, accept: None, timeout, limit }
    }

    /// A request with a JSON body, in the time of one call.
    pub(crate) fn posting(&self, target: &str, body: &impl Serialize) -> Result<Request, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Protocol(error.to_string()))?;
        let request = self.request(Method::POST, target.to_owned());
        Ok(Request { body: Some(("application/json".into(), body)), ..request })
    }

    pub(crate) async fn reply(&self, request: Request) -> Result<Reply, Error> {
        let Answer { status, body, .. } = self.transport.send(request).await?;
        envelope::decode(status, &body)
    }

    /// Sends a request whose result says nothing more.
    pub(crate) async fn order(&self, target: &str, body: &impl Serialize) -> Result<(), Error> {
        self.post(target, body).await?.sync::<Value>().map(drop)
    }
}

impl Pebble for Client {
    fn system_info(&self) -> BoxFuture<'_, Result<SystemInfo, Error>> {
        Box::pin(self.get("/v1/system-info".into()))
    }

    fn plan(&self) -> BoxFuture<'_, Result<Layer, Error>> {
        Box::pin(self.read_plan())
    }

    fn add_layer<'a>(&'a self, label: &'a str, layer: &'a Layer) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.add_layer_with(label, layer, AddLayer { combine: true, inner: false }))
    }

    fn services<'a>(&'a self, names: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<ServiceInfo>, Error>> {
        Box::pin(self.list_services(names))
    }

    fn change_services<'a>(
        &'a self,
        action: ServiceAction,
        names: &'a [&'a str],
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let change = self.begin_change(action, names).await?;
            self.wait_change(&change, self.limits.change).await.map(drop)
        })
    }

    fn signal<'a>(&'a self, signal: &'a str, names: &'a [&'a str]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.send_signal(signal, names))
    }

    fn read_file<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Error>> {
        Box::pin(async move { Ok(self.pull_files(&[path]).await?.pop().flatten()) })
    }

    fn read_files<'a>(&'a self, paths: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Vec<u8>>>, Error>> {
        Box::pin(self.pull_files(paths))
    }

    fn write_file<'a>(&'a self, file: &'a FileWrite) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.push_files(std::slice::from_ref(file), &Owner::default()).await })
    }

    fn remove_file<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            match self.remove(path, false).await {
                Ok(()) => Ok(true),
                Err(error) if error.is_not_found() => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    fn write_files<'a>(
        &'a self,
        files: &'a [FileWrite],
        owner: &'a Owner,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.push_files(files, owner))
    }

    fn list_files<'a>(
        &'a self,
        path: &'a str,
        pattern: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<FileInfo>, Error>> {
        Box::pin(self.listing(path, pattern))
    }

    fn file_info<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<FileInfo>, Error>> {
        Box::pin(self.info(path))
    }

    fn make_dir<'a>(&'a self, path: &'a str, how: &'a MakeDir) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.make_directory(path, how))
    }

    fn remove_path<'a>(&'a self, path: &'a str, recursive: bool) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.remove(path, recursive))
    }

    fn health<'a>(
        &'a self,
        level: Option<CheckLevel>,
        names: &'a [&'a str],
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(self.read_health(level, names))
    }

    fn checks<'a>(&'a self, names: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<CheckInfo>, Error>> {
        Box::pin(self.read_checks(names))
    }

    fn change_checks<'a>(
        &'a self,
        action: CheckAction,
        names: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(self.switch_checks(action, names))
    }

    fn refresh_check<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<CheckRefresh, Error>> {
        Box::pin(self.perform_check(name))
    }

    fn notices<'a>(&'a self, filter: &'a NoticeFilter) -> BoxFuture<'a, Result<Vec<Notice>, Error>> {
        Box::pin(self.read_notices(filter))
    }

    fn notify<'a>(&'a self, notice: &'a Notify) -> BoxFuture<'a, Result<String, Error>> {
        Box::pin(self.add_notice(notice))
    }

    fn identities(&self) -> BoxFuture<'_, Result<BTreeMap<String, Identity>, Error>> {
        Box::pin(self.read_identities())
    }

    fn change_identities<'a>(
        &'a self,
        action: IdentityAction,
        identities: &'a BTreeMap<String, Identity>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.write_identities(action, identities))
    }

    fn logs<'a>(&'a self, names: &'a [&'a str], count: u32) -> BoxFuture<'a, Result<Vec<LogEntry>, Error>> {
        Box::pin(self.read_logs(names, count))
    }

    fn exec<'a>(&'a self, exec: &'a Exec) -> BoxFuture<'a, Result<ExecOutput, Error>> {
        Box::pin(self.run(exec))
    }
}
