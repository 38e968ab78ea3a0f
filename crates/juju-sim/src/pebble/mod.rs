//! A Pebble without processes: the daemon's verbs over a [`Container`] that is plain data.
//!
//! [`Double`] implements [`juju_pebble::Pebble`], so a charm in the same process cannot tell the difference;
//! [`serve`] puts the daemon's HTTP API in front of it, for charms in processes of their own.
//!
//! Layers merge and are refused as the daemon does it. A service "runs" when its state says so; commands answer what
//! their [`ExecHandler`] says. Nothing here waits: a start takes no second.

mod checks;
mod directories;
#[cfg(feature = "processes")]
mod front;
mod identities;
mod notices;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use juju_pebble::{
    BoxFuture, CheckAction, CheckInfo, CheckLevel, CheckRefresh, Error, Exec, ExecOutput, FileInfo,
    FileWrite, Identity, IdentityAction, Layer, LogEntry, MakeDir, Notice, NoticeFilter, Notify, Owner,
    Pebble, ServiceAction, ServiceInfo, ServiceStatus, Startup, SystemInfo,
};

#[cfg(feature = "processes")]
pub use front::{Server, serve};

use crate::state::{Container, ExecHandler, File, LabelledLayer};

/// The version the double claims to be.
const VERSION: &str = "v1.32.1";

/// Something that was asked of a container and that could change it. Reads are not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PebbleEvent {
    /// A layer was added or merged into the one of its label.
    Layer {
        /// Label.
        label: String,
        /// What was sent.
        layer: Layer,
        /// Whether the plan is another one now.
        changed: bool,
    },
    /// Services were started, stopped, restarted or replanned.
    Services {
        /// What was asked.
        action: ServiceAction,
        /// Which services were named.
        names: Vec<String>,
        /// Services that were started by it, also those that ran before.
        started: Vec<String>,
        /// Services that ran and were stopped.
        stopped: Vec<String>,
    },
    /// A signal was sent.
    Signal {
        /// For example `SIGHUP`.
        signal: String,
        /// To these services.
        names: Vec<String>,
    },
    /// A file was written.
    Push {
        /// Absolute path.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Whether content or mode differ from what was there.
        changed: bool,
    },
    /// A file or directory was removed.
    Remove {
        /// Absolute path.
        path: String,
    },
    /// A directory was made.
    MakeDir {
        /// Absolute path.
        path: String,
    },
    /// Health checks were started or stopped.
    Checks {
        /// What was asked.
        action: CheckAction,
        /// Which checks were named.
        names: Vec<String>,
        /// For which of them it was a change.
        changed: Vec<String>,
    },
    /// A custom notice was recorded.
    Notice {
        /// Its key.
        key: String,
    },
    /// Identities were changed.
    Identities {
        /// What was asked.
        action: IdentityAction,
        /// Which identities were named.
        names: Vec<String>,
    },
    /// A command ran.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
        /// How it ended.
        exit_code: i32,
    },
}

/// Answers a command before the container's handlers are asked; `None` leaves it to them.
pub type ExecHook = Arc<dyn Fn(&Exec, &Container) -> Option<ExecOutput> + Send + Sync>;

/// A container's Pebble. Clones share the container.
#[derive(Clone, Default)]
pub struct Double {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    container: Container,
    history: Vec<PebbleEvent>,
    exec_hook: Option<ExecHook>,
}

impl Double {
    /// Pebble of a container.
    #[must_use]
    pub fn new(container: Container) -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { container, ..Inner::default() })) }
    }

    /// Lets a function answer commands before the container's handlers.
    pub fn set_exec_hook(&self, hook: ExecHook) {
        self.lock().exec_hook = Some(hook);
    }

    /// The container as it is now.
    #[must_use]
    pub fn container(&self) -> Container {
        self.lock().container.clone()
    }

    /// Changes the container from outside: kills a service, restarts it all, takes Pebble away.
    pub fn change<R>(&self, change: impl FnOnce(&mut Container) -> R) -> R {
        change(&mut self.lock().container)
    }

    /// What was asked so far.
    #[must_use]
    pub fn history(&self) -> Vec<PebbleEvent> {
        self.lock().history.clone()
    }

    /// The container and what was asked, at the end: the double is empty then, and Pebble no longer answers.
    pub(crate) fn take(&self) -> (Container, Vec<PebbleEvent>) {
        let inner = std::mem::take(&mut *self.lock());
        (inner.container, inner.history)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves plain data behind, nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something if Pebble answers.
    fn with<R>(&self, work: impl FnOnce(&mut Inner) -> Result<R, Error>) -> Result<R, Error> {
        let mut inner = self.lock();
        if !inner.container.can_connect {
            return Err(Error::Connection("the simulated container is not up".to_owned()));
        }
        work(&mut inner)
    }
}

fn api(status: u16, message: impl Into<String>) -> Error {
    Error::Api { status, kind: String::new(), message: message.into() }
}

fn path_error(path: &str, kind: &str, message: impl Into<String>) -> Error {
    Error::Path { path: path.to_owned(), kind: kind.to_owned(), message: message.into() }
}

/// The path as the daemon would clean it; only absolute ones are taken.
fn absolute(path: &str) -> Result<String, Error> {
    if !path.starts_with('/') {
        return Err(path_error(
            path,
            "generic-file-error",
            format!("paths must be absolute, got \"{path}\""),
        ));
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').skip(1).map(|(at, _)| &path[..at])
}

impl Container {
    /// Whether a path is a directory: made on purpose, or because something is in it.
    fn is_dir(&self, path: &str) -> bool {
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        path == "/"
            || self.directories.contains(path)
            || self.files.keys().chain(&self.directories).any(|other| other.starts_with(&prefix))
    }
}

impl Inner {
    fn add_layer(&mut self, label: &str, layer: &Layer, combine: bool) -> Result<(), Error> {
        if label.is_empty() {
            return Err(api(400, "label must be set"));
        }
        if label.starts_with("pebble-") {
            return Err(api(400, format!("cannot use reserved label prefix \"pebble-\" in \"{label}\"")));
        }
        let before = self.container.plan();
        let mut layers = self.container.layers.clone();
        match layers.iter_mut().find(|existing| existing.label == label) {
            Some(_) if !combine => return Err(api(400, format!("layer \"{label}\" already exists"))),
            Some(existing) => existing.layer.combine(layer),
            None => layers.push(LabelledLayer { label: label.to_owned(), layer: layer.clone() }),
        }
        let after = Container { layers: layers.clone(), ..Container::default() }.plan();
        check_plan(&after)?;
        self.container.layers = layers;
        self.history.push(PebbleEvent::Layer {
            label: label.to_owned(),
            layer: layer.clone(),
            changed: !before.same_as(&after),
        });
        Ok(())
    }

    fn services(&self, names: &[&str]) -> Vec<ServiceInfo> {
        let plan = self.container.plan();
        let wanted =
            plan.services.iter().filter(|(name, _)| names.is_empty() || names.contains(&name.as_str()));
        let info = wanted.map(|(name, service)| ServiceInfo {
            name: name.clone(),
            startup: service.startup.unwrap_or(Startup::Disabled),
            current: self.container.services.get(name).copied().unwrap_or(ServiceStatus::Inactive),
        });
        info.collect()
    }

    fn change_services(&mut self, action: ServiceAction, names: &[&str]) -> Result<(), Error> {
        let plan = self.container.plan();
        let enabled = || {
            let enabled =
                plan.services.iter().filter(|(_, service)| service.startup == Some(Startup::Enabled));
            enabled.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let word = match action {
            ServiceAction::Start => "start",
            ServiceAction::Stop => "stop",
            ServiceAction::Restart => "restart",
            ServiceAction::Replan => "replan",
            ServiceAction::Autostart => "autostart",
        };
        let by_name = matches!(action, ServiceAction::Start | ServiceAction::Stop | ServiceAction::Restart);
        if by_name && names.is_empty() {
            return Err(api(400, format!("must specify services for {word} action")));
        }
        if !by_name && !names.is_empty() {
            return Err(api(400, format!("{word} accepts no service names")));
        }
        if let Some(unknown) = names.iter().find(|name| !plan.services.contains_key(**name)) {
            return Err(api(400, format!("cannot {word} services: service \"{unknown}\" does not exist")));
        }
        let runs = |container: &Container, name: &str| {
            matches!(container.services.get(name), Some(ServiceStatus::Active | ServiceStatus::Backoff))
        };
        let asked: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (stop, start) = match action {
            ServiceAction::Start => (Vec::new(), with_required(&plan, &asked)),
            ServiceAction::Stop => (dependants(&plan, &asked), Vec::new()),
            ServiceAction::Restart => (asked.clone(), with_required(&plan, &asked)),
            ServiceAction::Autostart => {
                let enabled = enabled();
                if enabled.is_empty() {
                    let message = "no default services".to_owned();
                    return Err(Error::Api { status: 400, kind: "no-default-services".to_owned(), message });
                }
                (Vec::new(), with_required(&plan, &enabled))
            }
            ServiceAction::Replan => {
                let other = |name: &String| {
                    let now = plan.services.get(name).cloned();
                    match (self.container.started_with.get(name), now) {
                        (Some(then), Some(now)) => {
                            let alone = |service| Layer {
                                services: std::iter::once((name.clone(), service)).collect(),
                                ..Layer::default()
                            };
                            !alone(then.clone()).same_as(&alone(now))
                        }
                        (then, now) => then.is_some() != now.is_some(),
                    }
                };
                let running = self.container.services.keys().filter(|name| runs(&self.container, name));
                let changed: Vec<String> = running.filter(|name| other(name)).cloned().collect();
                let mut start = with_required(&plan, &enabled());
                start.extend(changed.iter().filter(|name| plan.services.contains_key(*name)).cloned());
                (changed, start)
            }
        };
        let stopped: Vec<String> = stop.into_iter().filter(|name| runs(&self.container, name)).collect();
        for name in &stopped {
            self.container.services.insert(name.clone(), ServiceStatus::Inactive);
        }
        let mut started = Vec::new();
        let mut failed = Vec::new();
        for name in start {
            // A service that waits for its next try is started at once, as the daemon does it.
            let is_up = self.container.services.get(&name) == Some(&ServiceStatus::Active);
            if is_up || started.contains(&name) || failed.contains(&name) {
                continue;
            }
            self.container
                .started_with
                .insert(name.clone(), plan.services.get(&name).cloned().unwrap_or_default());
            if self.container.broken_services.contains(&name) {
                self.container.services.insert(name.clone(), ServiceStatus::Backoff);
                failed.push(name);
            } else {
                self.container.services.insert(name.clone(), ServiceStatus::Active);
                started.push(name);
            }
        }
        self.history.push(PebbleEvent::Services { action, names: asked, started, stopped });
        if failed.is_empty() {
            return Ok(());
        }
        let line = |name: &String| {
            format!(
                "- Start service \"{name}\" (service start attempt: exited quickly with code 1, will restart)"
            )
        };
        let lines: Vec<_> = failed.iter().map(line).collect();
        Err(Error::Change { message: format!("cannot perform the following tasks:\n{}", lines.join("\n")) })
    }

    fn signal(&mut self, signal: &str, names: &[&str]) -> Result<(), Error> {
        if names.is_empty() {
            return Err(api(400, "must specify one or more services"));
        }
        if let Some(idle) = names.iter().find(|name| !self.container.is_running(name)) {
            return Err(api(500, format!("cannot send signal to \"{idle}\": service is not running")));
        }
        if !signal.starts_with("SIG") {
            return Err(api(
                500,
                format!("cannot send signal to \"{}\": invalid signal name \"{signal}\"", names[0]),
            ));
        }
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.history.push(PebbleEvent::Signal { signal: signal.to_owned(), names });
        Ok(())
    }

    fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = absolute(path)?;
        match self.container.files.get(&path) {
            Some(file) => Ok(Some(file.content.clone())),
            None if self.container.is_dir(&path) => {
                let message = format!("can only read a regular file: \"{path}\"");
                Err(path_error(&path, "generic-file-error", message))
            }
            None => Ok(None),
        }
    }

    fn write_file(&mut self, path: &str, content: &[u8], mode: u32, make_dirs: bool) -> Result<(), Error> {
        let path = absolute(path)?;
        let generic = |message: String| Err(path_error(&path, "generic-file-error", message));
        if self.container.is_dir(&path) {
            return generic(format!("rename {path}.tmp~ {path}: file exists"));
        }
        if let Some(file) = parents(&path).find(|parent| self.container.files.contains_key(*parent)) {
            return generic(format!("mkdir {file}: not a directory"));
        }
        let parent = parents(&path).last().unwrap_or("/");
        if !make_dirs && !self.container.is_dir(parent) {
            return Err(path_error(&path, "not-found", format!("open {path}: no such file or directory")));
        }
        let file = File { content: content.to_vec(), mode };
        let changed = self.container.files.get(&path) != Some(&file);
        self.history.push(PebbleEvent::Push { path: path.clone(), mode, changed });
        self.container.files.insert(path, file);
        Ok(())
    }

    fn remove(&mut self, path: &str, recursive: bool) -> Result<bool, Error> {
        let path = absolute(path)?;
        let prefix = format!("{path}/");
        let inside = |other: &str| other.starts_with(&prefix);
        let full = self.container.files.keys().chain(&self.container.directories).any(|other| inside(other));
        if full && !recursive {
            let message = format!("remove {path}: directory not empty");
            return Err(path_error(&path, "generic-file-error", message));
        }
        let before = (self.container.files.len(), self.container.directories.len());
        self.container.files.retain(|other, _| *other != path && !inside(other));
        self.container.directories.retain(|other| *other != path && !inside(other));
        let removed = before != (self.container.files.len(), self.container.directories.len());
        if removed {
            self.history.push(PebbleEvent::Remove { path });
        }
        Ok(removed)
    }

    /// The same, where nothing to remove is an error, unless it was a tree.
    fn remove_path(&mut self, path: &str, recursive: bool) -> Result<(), Error> {
        if self.remove(path, recursive)? || recursive {
            return Ok(());
        }
        Err(path_error(path, "not-found", format!("remove {path}: no such file or directory")))
    }

    fn exec(&mut self, exec: &Exec) -> Result<ExecOutput, Error> {
        let Some(program) = exec.command.first() else { return Err(api(400, "must specify command")) };
        if let Some(service) = &exec.service_context
            && !self.container.plan().services.contains_key(service)
        {
            return Err(api(400, format!("context service \"{service}\" not found")));
        }
        let fits = |handler: &&ExecHandler| exec.command.starts_with(&handler.prefix);
        let from_hook = self.exec_hook.as_ref().and_then(|hook| hook(exec, &self.container));
        let output = match from_hook {
            Some(output) => output,
            None => match self.container.execs.iter().filter(fits).max_by_key(|handler| handler.prefix.len())
            {
                Some(handler) => ExecOutput {
                    exit_code: handler.exit_code,
                    stdout: handler.stdout.clone().into_bytes(),
                    stderr: handler.stderr.clone().into_bytes(),
                },
                None => return Err(api(400, format!("cannot find executable \"{program}\""))),
            },
        };
        let exit_code = output.exit_code;
        self.history.push(PebbleEvent::Exec { command: exec.command.clone(), exit_code });
        Ok(if exec.combine_stderr {
            let stdout = [output.stdout, output.stderr].concat();
            ExecOutput { exit_code, stdout, stderr: Vec::new() }
        } else {
            output
        })
    }
}

/// What the daemon refuses in a plan.
fn check_plan(plan: &Layer) -> Result<(), Error> {
    const EXTRA_KEYS: [&str; 3] = ["backoff-delay", "backoff-factor", "backoff-limit"];
    for (name, service) in &plan.services {
        if service.command.is_empty() {
            return Err(api(400, format!("plan must define \"command\" for service \"{name}\"")));
        }
        if let Some(missing) = service.requires.iter().find(|required| !plan.services.contains_key(*required))
        {
            return Err(api(400, format!("service \"{missing}\" does not exist")));
        }
        if let Some(key) = service.other.keys().find(|key| !EXTRA_KEYS.contains(&key.as_str())) {
            return Err(api(400, format!("cannot parse layer: field {key} not found in service \"{name}\"")));
        }
        if let Some(check) = service.on_check_failure.keys().find(|check| !plan.checks.contains_key(*check)) {
            return Err(api(400, format!("plan must define check \"{check}\" used by service \"{name}\"")));
        }
    }
    for (name, check) in &plan.checks {
        let kinds = [check.http.is_some(), check.tcp.is_some(), check.exec.is_some()];
        if kinds.iter().filter(|there| **there).count() != 1 {
            return Err(api(
                400,
                format!("plan must specify one of \"http\", \"tcp\", or \"exec\" for check \"{name}\""),
            ));
        }
        if let Some(key) = check.other.keys().next() {
            return Err(api(400, format!("cannot parse layer: field {key} not found in check \"{name}\"")));
        }
    }
    for (name, target) in &plan.log_targets {
        if !["loki", "opentelemetry", "syslog"].contains(&target.type_.as_str()) {
            let kinds = "\"loki\", \"opentelemetry\", or \"syslog\"";
            return Err(api(400, format!("plan must define \"type\" ({kinds}) for log target \"{name}\"")));
        }
        if target.location.is_empty() {
            return Err(api(400, format!("plan must define \"location\" for log target \"{name}\"")));
        }
    }
    Ok(())
}

/// The named services after everything they require, each once.
fn with_required(plan: &Layer, names: &[String]) -> Vec<String> {
    fn visit(plan: &Layer, name: &String, seen: &mut BTreeSet<String>, order: &mut Vec<String>) {
        if seen.insert(name.clone()) {
            let requires = plan.services.get(name).map_or(&[][..], |service| &service.requires);
            for required in requires {
                visit(plan, required, seen, order);
            }
            order.push(name.clone());
        }
    }
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for name in names {
        visit(plan, name, &mut seen, &mut order);
    }
    order
}

/// The named services and everything that requires them, each once.
fn dependants(plan: &Layer, names: &[String]) -> Vec<String> {
    let mut all = names.to_vec();
    let mut next = 0;
    while let Some(name) = all.get(next).cloned() {
        let requiring = plan.services.iter().filter(|(_, service)| service.requires.contains(&name));
        let new: Vec<_> =
            requiring.map(|(other, _)| other.clone()).filter(|other| !all.contains(other)).collect();
        all.extend(new);
        next += 1;
    }
    all
}

impl Pebble for Double {
    fn system_info(&self) -> BoxFuture<'_, Result<SystemInfo, Error>> {
        Box::pin(ready(self.with(|inner| {
            Ok(SystemInfo { boot_id: inner.container.boot_id.clone(), version: VERSION.to_owned() })
        })))
    }

    fn plan(&self) -> BoxFuture<'_, Result<Layer, Error>> {
        Box::pin(ready(self.with(|inner| Ok(inner.container.plan()))))
    }

    fn add_layer<'a>(&'a self, label: &'a str, layer: &'a Layer) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(ready(self.with(|inner| inner.add_layer(label, layer, true))))
    }

    fn services<'a>(&'a self, names: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<ServiceInfo>, Error>> {
        Box::pin(ready(self.with(|inner| Ok(inner.services(names)))))
    }

    fn change_services<'a>(
        &'a self,
        action: ServiceAction,
        names: &'a [&'a str],
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(ready(self.with(|inner| inner.change_services(action, names))))
    }

    fn signal<'a>(&'a self, signal: &'a str, names: &'a [&'a str]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(ready(self.with(|inner| inner.signal(signal, names))))
    }

    fn read_file<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Error>> {
        Box::pin(ready(self.with(|inner| inner.read_file(path))))
    }

    fn write_file<'a>(&'a self, file: &'a FileWrite) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(ready(self.with(|inner| inner.write_file(&file.path, &file.content, file.mode, true))))
    }

    fn remove_file<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(ready(self.with(|inner| inner.remove(path, false))))
    }

    fn write_files<'a>(
        &'a self,
        files: &'a [FileWrite],
        _owner: &'a Owner,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(ready(self.with(|inner| {
            files.iter().try_for_each(|file| inner.write_file(&file.path, &file.content, file.mode, true))
        })))
    }

    fn list_files<'a>(
        &'a self,
        path: &'a str,
        pattern: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<FileInfo>, Error>> {
        Box::pin(ready(self.with(|inner| inner.list(path, pattern, false))))
    }

    fn file_info<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<FileInfo>, Error>> {
        Box::pin(ready(self.with(|inner| match inner.list(path, None, true) {
            Ok(mut entries) => Ok(entries.pop()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        })))
    }

    fn make_dir<'a>(&'a self, path: &'a str, how: &'a MakeDir) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(ready(self.with(|inner| inner.make_dir(path, how.parents))))
    }

    fn remove_path<'a>(&'a self, path: &'a str, recursive: bool) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(ready(self.with(|inner| inner.remove_path(path, recursive))))
    }

    fn health<'a>(
        &'a self,
        level: Option<CheckLevel>,
        names: &'a [&'a str],
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(ready(self.with(|inner| Ok(inner.health(level, names)))))
    }

    fn checks<'a>(&'a self, names: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<CheckInfo>, Error>> {
        Box::pin(ready(self.with(|inner| Ok(inner.checks(None, names)))))
    }

    fn change_checks<'a>(
        &'a self,
        action: CheckAction,
        names: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(ready(self.with(|inner| inner.change_checks(action, names))))
    }

    fn refresh_check<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<CheckRefresh, Error>> {
        Box::pin(ready(self.with(|inner| inner.refresh_check(name))))
    }

    fn notices<'a>(&'a self, filter: &'a NoticeFilter) -> BoxFuture<'a, Result<Vec<Notice>, Error>> {
        Box::pin(ready(self.with(|inner| Ok(inner.notices(filter)))))
    }

    fn notify<'a>(&'a self, notice: &'a Notify) -> BoxFuture<'a, Result<String, Error>> {
        Box::pin(ready(self.with(|inner| inner.notify(notice))))
    }

    fn identities(&self) -> BoxFuture<'_, Result<BTreeMap<String, Identity>, Error>> {
        Box::pin(ready(self.with(|inner| Ok(inner.identities()))))
    }

    fn change_identities<'a>(
        &'a self,
        action: IdentityAction,
        identities: &'a BTreeMap<String, Identity>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(ready(self.with(|inner| inner.change_identities(action, identities))))
    }

    /// Services that do not run write nothing.
    fn logs<'a>(&'a self, _: &'a [&'a str], _: u32) -> BoxFuture<'a, Result<Vec<LogEntry>, Error>> {
        Box::pin(ready(self.with(|_| Ok(Vec::new()))))
    }

    fn exec<'a>(&'a self, exec: &'a Exec) -> BoxFuture<'a, Result<ExecOutput, Error>> {
        Box::pin(ready(self.with(|inner| inner.exec(exec))))
    }
}
