//! One transition: a state and an event in, the charm run, the state after it out.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
};

use juju_ops::{Hook, HookEnv};
use juju_pebble::{Exec, ExecOutput, Pebble};
use tracing::{Level, instrument::WithSubscriber as _};

use crate::{
    CharmMeta, Event, Failure, Outcome, State,
    backend::{Backend, Stage},
    check::{Inconsistent, check},
    log::Logging,
    pebble::ExecHook,
    state::Container,
    world::{Steps, Watched, World},
};

/// What goes wrong at a chosen step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The charm's process dies: nothing after this step happens.
    Die,
    /// The step is refused: a hook tool exits with 1 and this text, a Pebble call cannot connect.
    Refuse(String),
}

/// Runs a charm on states. Cheap to make, and can be used for any number of transitions.
#[derive(Clone)]
pub struct Context {
    meta: Arc<CharmMeta>,
    charm_dir: Arc<Path>,
    log_level: Level,
    faults: BTreeMap<usize, Fault>,
    exec_hooks: BTreeMap<String, ExecHook>,
    backend: Backend,
}

impl Context {
    /// For a charm with these declarations.
    #[must_use]
    pub fn new(meta: impl Into<Arc<CharmMeta>>) -> Self {
        Self {
            meta: meta.into(),
            charm_dir: Path::new("/charm-under-test").into(),
            log_level: Level::INFO,
            faults: BTreeMap::new(),
            exec_hooks: BTreeMap::new(),
            backend: Backend::from_env(),
        }
    }

    /// The charm's declarations.
    #[must_use]
    pub fn meta(&self) -> &CharmMeta {
        &self.meta
    }

    /// Sets the charm's folder (`JUJU_CHARM_DIR`), for charms that read files of their own.
    #[must_use]
    pub fn with_charm_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.charm_dir = dir.into().into();
        self
    }

    /// Sets which of the charm's `tracing` events reach the log; `INFO` and above by default.
    #[must_use]
    pub fn with_log_level(mut self, level: Level) -> Self {
        self.log_level = level;
        self
    }

    /// Sets how hook tools are answered, whatever `JUJU_SIM_BACKEND` says.
    #[must_use]
    pub fn with_backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Injects a fault at a step. Steps are the charm's hook tool calls (logging excepted) and Pebble calls, counted
    /// together from 0 in the order they are made; [`Outcome::steps`] says how many there are without faults.
    #[must_use]
    pub fn with_fault(mut self, step: usize, fault: Fault) -> Self {
        self.faults.insert(step, fault);
        self
    }

    /// Lets a function answer the commands of a container, for answers that depend on the container's files. What it
    /// leaves open is answered by the container's own handlers.
    #[must_use]
    pub fn with_exec_hook(
        mut self,
        container: &str,
        hook: impl Fn(&Exec, &Container) -> Option<ExecOutput> + Send + Sync + 'static,
    ) -> Self {
        self.exec_hooks.insert(container.to_owned(), Arc::new(hook));
        self
    }

    /// Runs one transition. The state given is not changed.
    ///
    /// # Panics
    /// When state and event cannot happen in Juju ([`fn@check`]), when the [`Backend`] lacks what it needs, and inside an
    /// asynchronous test: use [`Context::run_async`] there.
    #[track_caller]
    pub fn run<E, C>(&self, state: impl Borrow<State>, event: Event, charm: C) -> Outcome
    where
        C: AsyncFnOnce(Hook) -> Result<(), E>,
        E: Into<juju_ops::Error>,
    {
        match self.try_run(state, event, charm) {
            Ok(outcome) => outcome,
            Err(inconsistent) => panic!("{inconsistent}"),
        }
    }

    /// As [`Context::run`], but returns why a scene is impossible.
    ///
    /// # Panics
    /// When the [`Backend`] lacks what it needs, and inside an asynchronous test: use [`Context::run_async`] there.
    pub fn try_run<E, C>(
        &self,
        state: impl Borrow<State>,
        event: Event,
        charm: C,
    ) -> Result<Outcome, Inconsistent>
    where
        C: AsyncFnOnce(Hook) -> Result<(), E>,
        E: Into<juju_ops::Error>,
    {
        block_on(self.run_async(state, event, charm))
    }

    /// As [`Context::try_run`], for asynchronous tests.
    ///
    /// # Panics
    /// When the [`Backend`] lacks what it needs.
    pub async fn run_async<E, C>(
        &self,
        state: impl Borrow<State>,
        event: Event,
        charm: C,
    ) -> Result<Outcome, Inconsistent>
    where
        C: AsyncFnOnce(Hook) -> Result<(), E>,
        E: Into<juju_ops::Error>,
    {
        let world = self.world(state.borrow(), &event)?;
        let agent = Stage::open(self.backend, &self.charm_dir, &world)
            .unwrap_or_else(|error| panic!("hooks cannot be answered ({:?}): {error}", self.backend));
        let tools = Arc::new(Steps { world: world.clone(), way: agent.calls });
        let var = |name: &str| agent.env.get(name).cloned();
        let hook_env = HookEnv::from_vars(var).map_err(|error| Inconsistent(vec![error.to_string()]))?;
        let containers = {
            let world = world.clone();
            Arc::new(move |name: &str| {
                let double = world.doubles().get(name).cloned().unwrap_or_default();
                Arc::new(Watched { world: world.clone(), double }) as Arc<dyn Pebble>
            })
        };
        let hook = Hook::new(hook_env, juju_ops::Event::from_vars(var), tools.clone(), containers);
        let logging = Logging::begin(self.log_level, hook.env());
        let result = {
            let running = async {
                // A charm built on `juju_ops::run` never hears of events that the library does not know.
                if matches!(hook.event(), juju_ops::Event::Unknown(_)) {
                    return Ok(());
                }
                let result = charm(hook.clone()).await.map_err(Into::into);
                juju_ops::stop::finish(&hook, result).await
            };
            let running = pin!(running.with_subscriber(logging.dispatch()));
            tokio::select! {
                biased;
                result = running => result.map_err(Failure::Charm),
                // A dead charm's future never ends; it is dropped where it stands.
                () = world.death() => Err(Failure::Died),
            }
        };
        tools.settled().await;
        logging.end(agent.log).await;
        Ok(outcome(&world, event, result))
    }

    /// The world around the charm, if there can be such a one.
    pub(crate) fn world(&self, state: &State, event: &Event) -> Result<Arc<World>, Inconsistent> {
        check(&self.meta, state, event)?;
        let (meta, faults) = (self.meta.clone(), self.faults.clone());
        Ok(Arc::new(World::new(meta, state.clone(), event.clone(), faults, &self.exec_hooks)))
    }
}

/// Runs a transition on this thread, where nothing else runs.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        // Making one costs more than a transition.
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime on one thread needs a few file descriptors");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Ends the hook in a world and gathers what it brought.
pub(crate) fn outcome(world: &World, event: Event, result: Result<(), Failure>) -> Outcome {
    let Some((finished, steps)) = world.finish(result.is_ok()) else {
        unreachable!("a transition ends once");
    };
    let result = match (result, finished.error) {
        (Ok(()), Some(error)) => Err(Failure::Flush(error)),
        (result, _) => result,
    };
    let mut state = finished.state;
    let mut pebble = BTreeMap::new();
    for (name, double) in world.doubles() {
        let (container, history) = double.take();
        state.containers.insert(name.clone(), container);
        pebble.insert(name.clone(), history);
    }
    Outcome {
        event,
        state,
        result,
        commit: finished.commit,
        logs: finished.logs,
        action: finished.action,
        calls: finished.calls,
        pebble,
        steps,
        unit_statuses: finished.unit_statuses,
        app_statuses: finished.app_statuses,
        workload_versions: finished.workload_versions,
        process: None,
    }
}
