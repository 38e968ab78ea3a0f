//! Security events: lines in the unit's log that tools for auditing understand.
//!
//! Each is one line at level `TRACE`, whatever level the charm logs at, with the JSON object of the OWASP logging
//! vocabulary that other charms write too: `datetime`, `level`, `type` (always `security`), `appid` (the model's UUID and
//! the unit), `event` (`<kind>:<what>`) and `description`. They are written by themselves:
//!
//! - `authz_fail`: Juju refused a hook tool for lack of rights; the application's status set by a unit that does not lead
//!   is such a case. Once per tool and hook.
//! - `sys_crash`: the charm's function failed or panicked.
//! - `sys_monitor_disabled`: the charm stopped health checks of a container (from `juju-pebble`).
//!
//! A charm adds its own with [`log`]:
//!
//! ```
//! use juju_ops::security::{self, Severity};
//!
//! security::log(Severity::Warn, "authn_password_change", "admin", "the password of the database was replaced");
//! ```

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use tracing::{
    Instrument as _,
    field::{Field, Visit},
};

use crate::{
    HookEnv,
    time::rfc3339,
    tools::{BoxFuture, HookTools, ToolCall, ToolError, ToolOutput, TransportError, span},
};

/// Target of the `tracing` events that become security events. Their fields are `severity`, `event`, `description`.
pub const TARGET: &str = "security";

/// How grave a security event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
    /// Something is wrong.
    Critical,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Critical => "CRITICAL",
        }
    }
}

/// Logs a security event: its kind in the OWASP vocabulary, what or whom it is about, and a text for people. None of it
/// may be secret.
pub fn log(severity: Severity, kind: &str, about: &str, description: &str) {
    let (severity, event) = (severity.word(), format!("{kind}:{about}"));
    tracing::trace!(target: TARGET, severity, event, description);
}

/// The line of a security event, from the fields of its `tracing` event.
pub(crate) fn line(appid: &str, now: SystemTime, event: &tracing::Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    render(appid, now, &fields)
}

/// The identity that security events carry.
pub(crate) fn appid(env: &HookEnv) -> String {
    format!("{}-{}", env.model_uuid, env.unit)
}

/// The line of a crash, for where nothing else works any more.
pub(crate) fn crash_line(appid: &str, now: SystemTime, description: &str) -> String {
    let event = "sys_crash:panic".to_owned();
    render(appid, now, &Fields { severity: "CRITICAL".into(), event, description: description.to_owned() })
}

#[derive(Default)]
struct Fields {
    severity: String,
    event: String,
    description: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "severity" => value.clone_into(&mut self.severity),
            "event" => value.clone_into(&mut self.event),
            "description" | "message" => value.clone_into(&mut self.description),
            _ => {}
        }
    }
}

fn render(appid: &str, now: SystemTime, Fields { severity, event, description }: &Fields) -> String {
    serde_json::json!({
        "datetime": rfc3339(now),
        "level": severity,
        "type": "security",
        "appid": appid,
        "event": event,
        "description": description,
    })
    .to_string()
}

/// Watches what Juju refuses for lack of rights.
pub(crate) struct Watched {
    tools: Arc<dyn HookTools>,
    told: Mutex<BTreeSet<&'static str>>,
    calls: AtomicU64,
}

impl Watched {
    pub(crate) fn new(tools: Arc<dyn HookTools>) -> Self {
        Self { tools, told: Mutex::default(), calls: AtomicU64::default() }
    }

    /// How many tools were called so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn look(&self, tool: &'static str, output: &ToolOutput) {
        if output.code == 0 {
            return;
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let error = ToolError::Refused { tool, code: output.code, message };
        // A charm that asks again and again is told of once.
        if error.is_denied() && self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(tool) {
            let ToolError::Refused { message, code, .. } = error else { return };
            log(Severity::Critical, "authz_fail", tool, &format!("{tool} ended with {code}: {message}"));
        }
    }
}

impl HookTools for Watched {
    fn call(&self, call: ToolCall) -> BoxFuture<'_, Result<ToolOutput, TransportError>> {
        let tool = call.tool;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let span = span::of(&call);
        // Begun here and not when somebody waits for it: calls keep their order.
        let answer = self.tools.call(call);
        Box::pin(async move {
            let result = answer.instrument(span.clone()).await;
            span::ends(&span, &result);
            if let Ok(output) = &result {
                self.look(tool, output);
            }
            result
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_object_of_the_vocabulary() {
        let line = crash_line("u-u-i-d-tempo/0", SystemTime::UNIX_EPOCH, "a \"bad\"\nday");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            object,
            serde_json::json!({
                "datetime": "1970-01-01T00:00:00Z", "level": "CRITICAL", "type": "security",
                "appid": "u-u-i-d-tempo/0", "event": "sys_crash:panic", "description": "a \"bad\"\nday",
            })
        );
        assert!(!line.contains('\n'));
    }
}
