//! `tracing` events to `juju-log`.

use std::{fmt::Write as _, sync::Arc, time::SystemTime};

use tokio::sync::{mpsc, oneshot};
use tracing::{
    Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use crate::{
    HookEnv, security,
    tools::{HookTools, ToolCall},
};

/// Longest text of one `juju-log` call; the kernel allows an argument of 128 KiB.
const LONGEST: usize = 120_000;

enum Line {
    Text(Level, String),
    Flush(oneshot::Sender<()>),
}

/// A layer that hands events to [`LogWriter`]. Events below the wanted level are dropped here, those of
/// [`security`] excepted.
pub struct JujuLog {
    lines: mpsc::UnboundedSender<Line>,
    level: Level,
    appid: Option<String>,
}

impl JujuLog {
    /// The same for this unit: only then [`security`] events are logged, since each names the unit.
    #[must_use]
    pub fn for_unit(mut self, env: &HookEnv) -> Self {
        self.appid = Some(security::appid(env));
        self
    }
}

/// Sends lines to the agent, in order.
pub struct LogWriter {
    lines: mpsc::UnboundedReceiver<Line>,
}

/// Waits until everything logged so far has reached the agent.
#[derive(Clone)]
pub struct LogFlush {
    lines: mpsc::UnboundedSender<Line>,
}

/// A layer, the writer behind it and a way to flush it. Events up to `level` are kept.
pub fn juju_log(level: Level) -> (JujuLog, LogWriter, LogFlush) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (
        JujuLog { lines: sender.clone(), level, appid: None },
        LogWriter { lines: receiver },
        LogFlush { lines: sender },
    )
}

impl LogWriter {
    /// Runs until every sender is gone.
    pub async fn run(mut self, tools: Arc<dyn HookTools>) {
        while let Some(line) = self.lines.recv().await {
            match line {
                Line::Text(level, text) => {
                    for part in parts(&text) {
                        let call = ToolCall::new("juju-log", ["-l", word(level), "--", part]);
                        let logged = tools.call(call).await;
                        if !logged.is_ok_and(|output| output.code == 0) {
                            // The agent keeps standard error as well.
                            eprintln!("{level} {part}");
                        }
                    }
                }
                Line::Flush(done) => {
                    let _ = done.send(());
                }
            }
        }
    }
}

impl LogFlush {
    /// Returns when all earlier lines were sent.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.lines.send(Line::Flush(done)).is_ok() {
            let _ = wait.await;
        }
    }
}

impl<S: Subscriber> Layer<S> for JujuLog {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        if metadata.target() == security::TARGET {
            return self.appid.is_some();
        }
        *metadata.level() <= self.level
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if let (security::TARGET, Some(appid)) = (event.metadata().target(), &self.appid) {
            let line = security::line(appid, SystemTime::now(), event);
            let _ = self.lines.send(Line::Text(Level::TRACE, line));
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let _ = self.lines.send(Line::Text(*event.metadata().level(), text.line()));
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn line(self) -> String {
        if self.message.is_empty() {
            self.fields.trim_start().to_owned()
        } else {
            self.message + &self.fields
        }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}

/// Juju's word for a level. It takes `WARN` too, but shows and filters by this one.
fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

/// Cuts a text into pieces that fit one call; never inside a character.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.floor_char_boundary(LONGEST);
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = "é".repeat(LONGEST);
        let cut: Vec<&str> = parts(&text).collect();
        assert_eq!(cut.concat(), text);
        assert!(cut.iter().all(|part| part.len() <= LONGEST));
        assert_eq!(parts("").count(), 0);
    }
}
