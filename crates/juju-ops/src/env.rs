//! What the agent tells a hook through environment variables.

use std::path::PathBuf;

use crate::names::UnitName;

/// Where Juju mounts one folder with a Pebble socket for each workload container.
const CONTAINERS: &str = "/charm/containers";

/// Identity of the unit and of the hook, from the environment.
///
/// The agent replaces the whole environment, so nothing else may be expected there: no `HOME`, no `USER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookEnv {
    /// This unit (`JUJU_UNIT_NAME`).
    pub unit: UnitName,
    /// Model name (`JUJU_MODEL_NAME`); empty in the restricted hooks for metrics, where Juju does not tell.
    pub model_name: String,
    /// Model UUID (`JUJU_MODEL_UUID`); empty where the name is.
    pub model_uuid: String,
    /// Where the charm is unpacked (`JUJU_CHARM_DIR`).
    pub charm_dir: PathBuf,
    /// Version of the agent (`JUJU_VERSION`), `0.0.0` where the agent does not tell.
    pub juju_version: String,
    /// The machine that the unit is on (`JUJU_MACHINE_ID`); `None` on Kubernetes.
    pub machine: Option<String>,
    /// The agent's own trace, of which this hook is a part (Juju 4, where tracing is on).
    pub trace: Option<TraceParent>,
    /// Folder with `<container>/pebble.socket`; `JUJU_OPS_CONTAINERS` moves it for simulators.
    pub containers: PathBuf,
}

/// Where this hook stands in a trace of the agent's, in the notation of W3C trace contexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// 32 hexadecimal digits (`JUJU_TRACE_ID`).
    pub trace_id: String,
    /// 16 hexadecimal digits (`JUJU_SPAN_ID`).
    pub span_id: String,
    /// Bit 0: the trace is recorded (`JUJU_TRACE_FLAGS`).
    pub flags: u8,
}

/// The environment is not one that a Juju agent makes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// A variable that every hook has is missing or empty.
    #[error("environment variable {0} is not set: this program is a charm, to be run by a Juju agent")]
    Missing(&'static str),
    /// A variable has a value Juju would not give.
    #[error("environment variable {variable}: {reason}")]
    Invalid {
        /// Name of the variable.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl HookEnv {
    /// Reads the environment through `var`, which returns a variable's value if it is set.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, EnvError> {
        // Juju sets some variables to the empty string; that means the same as absent.
        let get = |name: &'static str| var(name).filter(|value| !value.is_empty());
        let need = |name| get(name).ok_or(EnvError::Missing(name));
        let unit = need("JUJU_UNIT_NAME")?;
        Ok(Self {
            unit: unit.parse().map_err(|e: crate::NameError| EnvError::Invalid {
                variable: "JUJU_UNIT_NAME",
                reason: e.to_string(),
            })?,
            model_name: get("JUJU_MODEL_NAME").unwrap_or_default(),
            model_uuid: get("JUJU_MODEL_UUID").unwrap_or_default(),
            charm_dir: need("JUJU_CHARM_DIR")?.into(),
            juju_version: get("JUJU_VERSION").unwrap_or_else(|| "0.0.0".to_owned()),
            machine: get("JUJU_MACHINE_ID"),
            trace: trace(get("JUJU_TRACE_ID"), get("JUJU_SPAN_ID"), get("JUJU_TRACE_FLAGS")),
            containers: get("JUJU_OPS_CONTAINERS").unwrap_or_else(|| CONTAINERS.to_owned()).into(),
        })
    }

    /// Name of this application.
    pub fn app(&self) -> &str {
        self.unit.app()
    }
}

/// What does not look like a trace is none: it is of no use to anybody.
fn trace(trace_id: Option<String>, span_id: Option<String>, flags: Option<String>) -> Option<TraceParent> {
    let hex = |text: String, length| {
        let plain = text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then_some(text)
    };
    let flags = flags.and_then(|flags| flags.parse().ok()).unwrap_or(0);
    Some(TraceParent { trace_id: hex(trace_id?, 32)?, span_id: hex(span_id?, 16)?, flags })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(more: &[(&str, &str)]) -> Result<HookEnv, EnvError> {
        let base = [("JUJU_UNIT_NAME", "tempo/0"), ("JUJU_CHARM_DIR", "/charm"), ("JUJU_MACHINE_ID", "")];
        let vars: std::collections::BTreeMap<_, _> = base.iter().chain(more).copied().collect();
        HookEnv::from_vars(|name| vars.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn empty_is_as_good_as_unset() {
        let hook = env(&[]).unwrap();
        assert_eq!((hook.machine, hook.juju_version.as_str(), hook.trace), (None, "0.0.0", None));
        assert_eq!(env(&[("JUJU_MACHINE_ID", "3/lxd/0")]).unwrap().machine.as_deref(), Some("3/lxd/0"));
        assert_eq!(env(&[("JUJU_UNIT_NAME", "")]), Err(EnvError::Missing("JUJU_UNIT_NAME")));
    }

    #[test]
    fn a_trace_is_taken_over_if_it_is_one() {
        let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let of =
            |span| env(&[("JUJU_TRACE_ID", trace_id), ("JUJU_SPAN_ID", span), ("JUJU_TRACE_FLAGS", "1")]);
        let trace = of("00f067aa0ba902b7").unwrap().trace.unwrap();
        assert_eq!((trace.trace_id.as_str(), trace.flags), (trace_id, 1));
        assert_eq!(of("odd").unwrap().trace, None);
    }
}
