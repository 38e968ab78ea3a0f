//! What becomes of `tracing` spans and events in a charm's process.

#[cfg(feature = "traces")]
use std::sync::Arc;

#[cfg(feature = "traces")]
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use crate::log::JujuLog;
#[cfg(feature = "traces")]
use crate::traces::Collector;

/// Events go to the log, and both to the trace of this hook, each as far as it is wanted there. One layer and not two, since what any layer
/// does not want would be disabled for all; and spans that nobody wants are disabled where they are made.
pub(crate) struct Watch {
    pub(crate) log: JujuLog,
    #[cfg(feature = "traces")]
    pub(crate) traces: Arc<Collector>,
}

impl Watch {
    #[cfg(feature = "traces")]
    fn is_traced(&self, metadata: &Metadata<'_>) -> bool {
        self.traces.wants(metadata)
    }

    #[cfg(not(feature = "traces"))]
    #[allow(clippy::unused_self)] // the same call with the feature and without
    fn is_traced(&self, _: &Metadata<'_>) -> bool {
        false
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Watch {
    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        (metadata.is_event() && self.log.enabled(metadata, context)) || self.is_traced(metadata)
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        #[cfg(feature = "traces")]
        if self.is_traced(event.metadata()) {
            self.traces.event(event, &context);
        }
        if self.log.enabled(event.metadata(), context.clone()) {
            self.log.on_event(event, context);
        }
    }

    #[cfg(feature = "traces")]
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.traces.begin(attributes, id, &context);
    }

    #[cfg(feature = "traces")]
    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.traces.record(id, values, &context);
    }

    #[cfg(feature = "traces")]
    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.traces.end(&id, &context);
    }
}
