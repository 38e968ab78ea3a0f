//! Each dispatch as a trace, sent over OTLP/HTTP (feature `traces`).
//!
//! ```no_run
//! use juju_ops::traces::Destination;
//!
//! async fn charm(hook: juju_ops::Hook) -> Result<(), juju_ops::Error> {
//!     match tracing_url(&hook).await? {
//!         Some(url) => hook.traces().send_to(Destination { url: format!("{url}/v1/traces"), ca: None }),
//!         None => hook.traces().off(),
//!     }
//!     Ok(())
//! }
//! # async fn tracing_url(_: &juju_ops::Hook) -> Result<Option<String>, juju_ops::Error> { Ok(None) }
//! ```
//!
//! # What is in a trace
//!
//! The root span has the name of the event, and lasts from the start of the process to the end of the charm's function with
//! everything committed. Below it is a span for each span of `tracing` of level `INFO` and above, with its fields as attributes: those of the
//! charm, and those of this crate and of `juju-pebble`, one for each hook tool and each request to a Pebble. They tell names (of
//! tools, relations, keys, containers, paths) and never a value. Events of level `INFO` and above, which are what `juju debug-log` shows
//! too, become events of the span that they happen in; one of level `ERROR` marks that span as failed. Where the agent has a trace of
//! its own ([`TraceParent`](crate::TraceParent)), this one is a part of it.
//!
//! A field `otel.name` replaces the name of a span, `otel.kind` says its kind (`client`, `server`, …), and `otel.status_code`
//! (`OK` or `ERROR`) and `otel.status_description` its status.
//!
//! The resource has `service.name` (the application), `service.namespace` (the model's UUID), `service.instance.id` (the unit's number),
//! and `juju_model`, `juju_model_uuid`, `juju_application`, `juju_unit` and `juju_charm`.
//!
//! # When and for how long
//!
//! A hook's trace is sent after everything else is done and said. All that is sent in one hook takes at most one second ([`TIME`]). What could
//! not be sent, because nobody answered, or with status 408, 429 or 5xx, is kept in a folder and sent by a later hook, oldest
//! first; what the receiver refuses in any other way is dropped. The folder holds no more than 100 traces and 2 MiB; the oldest leave first. A trace
//! has no more than 1000 spans and 256 KiB, and says on its root span how many were left out.
//!
//! Nothing about traces fails a hook, or is logged above level `DEBUG`. A hook that panics or is killed leaves no trace.
//!
//! # What it costs to be off
//!
//! One look whether the folder is there. It is made by the first hook that names a destination, whose trace therefore begins at that point,
//! and removed by one that says [`Traces::off`]; while it is not there, spans are disabled where they are made. A hook that says
//! neither, such as one that fails early, keeps its trace if there is a folder.

mod collect;
mod export;
mod otlp;
mod spool;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use crate::{Error, Hook, HookEnv, hook::lock};

pub(crate) use collect::Collector;
use spool::Spool;

/// How long sending may take in one hook, all together.
pub const TIME: Duration = Duration::from_secs(1);

/// Below the charm's folder, unless the charm names another one.
const FOLDER: &str = ".juju-ops-traces";

/// Who takes traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The whole URL, `http` or `https`, with the path `/v1/traces` that OTLP/HTTP receivers have. No proxy is used.
    pub url: String,
    /// Certificates (PEM) of the authorities to trust over `https`, and of no others; `None` trusts those that the
    /// system has in `/etc/ssl/certs/ca-certificates.crt`.
    pub ca: Option<String>,
}

/// Where this hook's trace goes, and those that are still kept. The last word in a hook counts.
#[derive(Clone, Copy)]
pub struct Traces<'h> {
    hook: &'h Hook,
}

impl<'h> Traces<'h> {
    pub(crate) fn new(hook: &'h Hook) -> Self {
        Self { hook }
    }

    /// Sends traces there. Nothing is connected before the hook's end, and a destination that cannot be reached, or is none, fails
    /// nothing.
    pub fn send_to(&self, destination: Destination) {
        self.hook.wanted().say(Said::To(destination));
    }

    /// Sends no traces, forgets those that are kept, and collects none from the next hook on.
    pub fn off(&self) {
        self.hook.wanted().say(Said::Off);
    }

    /// Where traces go, as far as this hook has said so.
    pub fn destination(&self) -> Option<Destination> {
        match &*lock(&self.hook.wanted().said) {
            Said::To(destination) => Some(destination.clone()),
            Said::Nothing | Said::Off => None,
        }
    }
}

/// The last word.
#[derive(Clone, Default)]
enum Said {
    #[default]
    Nothing,
    Off,
    To(Destination),
}

/// What a hook has said about traces.
#[derive(Default)]
pub(crate) struct Wanted {
    said: Mutex<Said>,
    /// Who collects; nobody where the hook is not run by [`run`](crate::run()).
    collector: OnceLock<Arc<Collector>>,
}

impl Wanted {
    fn say(&self, said: Said) {
        if let (Said::To(_), Some(collector)) = (&said, self.collector.get()) {
            collector.turn_on();
        }
        *lock(&self.said) = said;
    }
}

/// The traces of one process.
pub(crate) struct Tracer {
    collector: Arc<Collector>,
    spool: Spool,
}

impl Tracer {
    /// Looks whether anybody wanted traces before. `folder` is where those are kept that could not be sent.
    pub(crate) fn begin(env: &HookEnv, folder: Option<PathBuf>) -> Self {
        let spool = Spool::at(folder.unwrap_or_else(|| env.charm_dir.join(FOLDER)));
        let collector = Arc::new(Collector::new(env.trace.as_ref()));
        if spool.exists() {
            collector.turn_on();
        }
        Self { collector, spool }
    }

    pub(crate) fn collector(&self) -> Arc<Collector> {
        self.collector.clone()
    }

    /// Lets the hook say where its trace goes.
    pub(crate) fn attach(&self, hook: &Hook) {
        let _ = hook.wanted().collector.set(self.collector.clone());
    }

    /// Sends what there is, or keeps it, or forgets it. `failed` is why the hook failed, if it did.
    pub(crate) async fn end(self, hook: &Hook, path: &str, failed: Option<&str>) {
        let said = lock(&hook.wanted().said).clone();
        let about = otlp::About { env: hook.env(), event: &hook.event().name(), path, failed };
        match said {
            Said::Off => {
                self.collector.finish();
                self.spool.remove();
            }
            Said::Nothing => {
                if let Some(trace) = self.collector.finish() {
                    self.spool.keep(&otlp::encode(trace, &about));
                }
            }
            Said::To(destination) => {
                let Some(trace) = self.collector.finish() else { return };
                self.spool.make();
                let done = export::export(&destination, &self.spool, otlp::encode(trace, &about)).await;
                tracing::debug!("traces: {done}");
            }
        }
    }
}

/// [`run`](crate::run()), with another folder for traces that could not be sent than `.juju-ops-traces` in the charm's. It is made and removed
/// as need be, its parent has to exist, and it should last from one hook to the next.
pub fn run_with_folder<F, R>(folder: impl Into<PathBuf>, charm: F) -> ExitCode
where
    F: FnOnce(Hook) -> R,
    R: Future<Output = Result<(), Error>>,
{
    crate::run::start(charm, Some(folder.into()))
}
