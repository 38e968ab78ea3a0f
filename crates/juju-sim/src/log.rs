//! The way of a charm's log from this process to the agent.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use juju_ops::{
    HookEnv,
    log::{LogFlush, juju_log},
    tools::{BoxFuture, HookTools, ToolCall, ToolOutput, TransportError},
};
use tracing::{Dispatch, Level, Metadata, Subscriber};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
};

thread_local! {
    /// Those that no transition of this thread uses now. Making one asks every place in the program that logs whether it
    /// should, which costs more than a transition.
    static IDLE: RefCell<Vec<Logging>> = const { RefCell::new(Vec::new()) };
}

/// The log of one transition at a time.
pub(crate) struct Logging {
    /// What it keeps, and of which unit of which model.
    key: (Level, String, String),
    dispatch: Dispatch,
    flush: LogFlush,
    agent: Arc<Agent>,
    writer: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Whoever takes the lines now.
#[derive(Default)]
struct Agent(Mutex<Option<Arc<dyn HookTools>>>);

impl Agent {
    fn is(&self, tools: Option<Arc<dyn HookTools>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tools;
    }
}

impl HookTools for Agent {
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>> {
        let tools = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            match tools {
                Some(tools) => tools.call(call).await,
                None => Err(TransportError::Io("the hook is over".to_owned())),
            }
        })
    }
}

/// Nobody looks at the spans of a transition, so none are made.
struct EventsOnly;

impl<S: Subscriber> Layer<S> for EventsOnly {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event()
    }
}

impl Logging {
    /// One that keeps events of a unit up to a level.
    pub(crate) fn begin(level: Level, env: &HookEnv) -> Self {
        let key = (level, env.unit.to_string(), env.model_uuid.clone());
        let idle = IDLE.with_borrow_mut(|idle| {
            let at = idle.iter().position(|logging| logging.key == key)?;
            Some(idle.remove(at))
        });
        idle.unwrap_or_else(|| {
            let (layer, writer, flush) = juju_log(level);
            let subscriber = tracing_subscriber::registry().with(layer.for_unit(env)).with(EventsOnly);
            let dispatch = Dispatch::new(subscriber);
            let agent = Arc::<Agent>::default();
            let writer = Box::pin(writer.run(agent.clone()));
            Self { key, dispatch, flush, agent, writer }
        })
    }

    /// Where events go.
    pub(crate) fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }

    /// Sends the lines of a charm that has ended.
    pub(crate) async fn end(mut self, tools: Arc<dyn HookTools>) {
        self.agent.is(Some(tools));
        tokio::select! {
            () = self.flush.flush() => {}
            () = self.writer.as_mut() => {}
        }
        self.agent.is(None);
        IDLE.with_borrow_mut(|idle| {
            // The oldest goes: tests with many units are rare.
            if idle.len() == 8 {
                idle.remove(0);
            }
            idle.push(self);
        });
    }
}
