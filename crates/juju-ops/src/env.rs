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
    /// Folder with `<container>/pebble.socket`; `JUJU_OPS_CONTAINERS` moves it for simulators.
    pub containers: PathBuf,
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
            containers: get("JUJU_OPS_CONTAINERS").unwrap_or_else(|| CONTAINERS.to_owned()).into(),
        })
    }

    /// Name of this application.
    pub fn app(&self) -> &str {
        self.unit.app()
    }
}
