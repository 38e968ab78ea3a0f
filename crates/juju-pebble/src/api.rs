//! The verbs of Pebble that a charm uses, whoever answers them.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use crate::{
    CheckAction, CheckInfo, CheckLevel, CheckRefresh, Error, Exec, ExecOutput, FileInfo, FileWrite, Identity,
    IdentityAction, Layer, LogEntry, MakeDir, Notice, NoticeFilter, Notify, Owner, ServiceAction,
    ServiceInfo, SystemInfo,
};

/// A future that can be kept in a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The verbs of one container's Pebble.
///
/// `Client` speaks to a real daemon; test doubles implement the same trait. What is made of these verbs (`can_connect`,
/// `exists`, `start`, `push_path` and so on) is in [`PebbleExt`](crate::PebbleExt).
pub trait Pebble: Send + Sync {
    /// Says who answers; the cheapest call, and so the test for "can connect".
    fn system_info(&self) -> BoxFuture<'_, Result<SystemInfo, Error>>;
    /// The combined plan.
    fn plan(&self) -> BoxFuture<'_, Result<Layer, Error>>;
    /// Adds a layer, or merges it into the one of the same label (`combine`).
    fn add_layer<'a>(&'a self, label: &'a str, layer: &'a Layer) -> BoxFuture<'a, Result<(), Error>>;
    /// Services by name; all when `names` is empty; unknown names are left out.
    fn services<'a>(&'a self, names: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<ServiceInfo>, Error>>;
    /// Starts, stops, restarts, replans or autostarts, and waits for the change.
    fn change_services<'a>(
        &'a self,
        action: ServiceAction,
        names: &'a [&'a str],
    ) -> BoxFuture<'a, Result<(), Error>>;
    /// Sends a signal, for example `SIGHUP`, to running services.
    fn signal<'a>(&'a self, signal: &'a str, names: &'a [&'a str]) -> BoxFuture<'a, Result<(), Error>>;
    /// Reads a file; `None` when it is not there.
    fn read_file<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Error>>;
    /// Reads several files in one call, in the order asked for; `None` for those that are not there.
    fn read_files<'a>(&'a self, paths: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Vec<u8>>>, Error>> {
        Box::pin(async move {
            let mut files = Vec::with_capacity(paths.len());
            for path in paths {
                files.push(self.read_file(path).await?);
            }
            Ok(files)
        })
    }
    /// Writes a file atomically, making its parent directories.
    fn write_file<'a>(&'a self, file: &'a FileWrite) -> BoxFuture<'a, Result<(), Error>>;
    /// Removes a file; `false` when it was not there.
    fn remove_file<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<bool, Error>>;
    /// Writes files, each atomically, making their parent directories; all belong to `owner`.
    fn write_files<'a>(
        &'a self,
        files: &'a [FileWrite],
        owner: &'a Owner,
    ) -> BoxFuture<'a, Result<(), Error>>;
    /// Lists a directory, or a file as its only entry. `pattern` is a glob on names (`*.yaml`).
    fn list_files<'a>(
        &'a self,
        path: &'a str,
        pattern: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<FileInfo>, Error>>;
    /// What a path is, links followed; `None` when it is not there.
    fn file_info<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<FileInfo>, Error>>;
    /// Makes a directory.
    fn make_dir<'a>(&'a self, path: &'a str, how: &'a MakeDir) -> BoxFuture<'a, Result<(), Error>>;
    /// Removes a file or an empty directory, or with `recursive` everything below it, should it be there.
    fn remove_path<'a>(&'a self, path: &'a str, recursive: bool) -> BoxFuture<'a, Result<(), Error>>;
    /// Whether all checks of this level and these names are up; all checks when neither is given.
    fn health<'a>(
        &'a self,
        level: Option<CheckLevel>,
        names: &'a [&'a str],
    ) -> BoxFuture<'a, Result<bool, Error>>;
    /// Health checks by name; all when `names` is empty; unknown names are left out.
    fn checks<'a>(&'a self, names: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<CheckInfo>, Error>>;
    /// Starts or stops health checks; returns those for which that was a change.
    fn change_checks<'a>(
        &'a self,
        action: CheckAction,
        names: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<String>, Error>>;
    /// Performs a health check now.
    fn refresh_check<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<CheckRefresh, Error>>;
    /// Notices that the caller may see, the one repeated last at the end.
    fn notices<'a>(&'a self, filter: &'a NoticeFilter) -> BoxFuture<'a, Result<Vec<Notice>, Error>>;
    /// Records an occurrence of a custom notice; returns the notice's number.
    fn notify<'a>(&'a self, notice: &'a Notify) -> BoxFuture<'a, Result<String, Error>>;
    /// Who may use Pebble beside those whom it lets in by itself. What is secret is masked.
    fn identities(&self) -> BoxFuture<'_, Result<BTreeMap<String, Identity>, Error>>;
    /// Adds, changes or removes identities: all of them, or none.
    fn change_identities<'a>(
        &'a self,
        action: IdentityAction,
        identities: &'a BTreeMap<String, Identity>,
    ) -> BoxFuture<'a, Result<(), Error>>;
    /// The last `count` lines that the named services wrote, or all services when none is named.
    fn logs<'a>(&'a self, names: &'a [&'a str], count: u32) -> BoxFuture<'a, Result<Vec<LogEntry>, Error>>;
    /// Runs a command to its end.
    fn exec<'a>(&'a self, exec: &'a Exec) -> BoxFuture<'a, Result<ExecOutput, Error>>;
}
