//! The verbs of Pebble that a charm uses, whoever answers them.

use std::{future::Future, pin::Pin};

use crate::{Error, Exec, ExecOutput, FileWrite, Layer, ServiceAction, ServiceInfo, SystemInfo};

/// A future that can be kept in a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The verbs of one container's Pebble.
///
/// `Client` speaks to a real daemon; test doubles implement the same trait.
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
    /// Writes a file atomically, making its parent directories.
    fn write_file<'a>(&'a self, file: &'a FileWrite) -> BoxFuture<'a, Result<(), Error>>;
    /// Removes a file; `false` when it was not there.
    fn remove_file<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<bool, Error>>;
    /// Runs a command to its end.
    fn exec<'a>(&'a self, exec: &'a Exec) -> BoxFuture<'a, Result<ExecOutput, Error>>;
}
