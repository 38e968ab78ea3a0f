//! What Kubernetes gives the application, as far as it depends on the options.

use crate::kubernetes::quantity::{Quantity, QuantityError};
use crate::names::Config;
use crate::snapshot::{KubernetesSnapshot, Snapshot};

/// The application's place in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// The namespace of the application; `None` if the pod has no way to the Kubernetes API.
    pub namespace: Option<String>,
    /// Upper bounds for the container `nginx`, or which option is none and why.
    pub limits: Result<Limits, String>,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self { namespace: None, limits: Ok(Limits::default()) }
    }
}

/// Upper bounds; `None` where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of processor time, in processors.
    pub cpu: Option<Quantity>,
    /// Of memory, in whole bytes.
    pub memory: Option<Quantity>,
}

impl Limits {
    /// Whether there is no bound at all.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn of(config: &Config) -> Result<Self, String> {
        Ok(Self {
            cpu: limit("cpu_limit", config.cpu_limit.as_deref())?,
            memory: limit("memory_limit", config.memory_limit.as_deref())?.map(Quantity::rounded_up),
        })
    }
}

/// What is usable of the options and the API's answers.
pub(super) fn kubernetes(snapshot: &Snapshot) -> Kubernetes {
    Kubernetes {
        namespace: match &snapshot.kubernetes {
            KubernetesSnapshot::NoAccess => None,
            KubernetesSnapshot::Asked(answers) => Some(answers.namespace.clone()),
        },
        // Options that cannot be read at all are a finding of their own; no limit is decided from them.
        limits: snapshot.config.as_ref().map_or_else(|reason| Err(reason.clone()), Limits::of),
    }
}

/// An option that is unset, empty, or an amount.
fn limit(option: &str, text: Option<&str>) -> Result<Option<Quantity>, String> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: QuantityError| format!("{option}: {text:?} is {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(cpu: Option<&str>, memory: Option<&str>) -> Result<Limits, String> {
        let text = |option: Option<&str>| option.map(str::to_owned);
        Limits::of(&Config { cpu_limit: text(cpu), memory_limit: text(memory), ..Config::default() })
    }

    #[test]
    fn an_option_that_is_unset_or_empty_is_no_limit() {
        assert!(limits(None, None).unwrap().is_none());
        assert!(limits(Some(""), Some(" ")).unwrap().is_none());
    }

    #[test]
    fn bytes_are_not_divided() {
        let limits = limits(Some("0.5"), Some("0.8Gi")).unwrap();
        assert_eq!(limits.cpu, Some(Quantity::from_milli(500)));
        assert_eq!(limits.memory, Some(Quantity::from_whole(858_993_460)));
    }

    #[test]
    fn what_is_no_amount_is_named_with_its_option() {
        assert_eq!(
            limits(Some("1 core"), None).unwrap_err(),
            r#"cpu_limit: "1 core" is not an amount such as 500m, 2 or 1Gi"#
        );
        assert_eq!(limits(None, Some("-1Gi")).unwrap_err(), r#"memory_limit: "-1Gi" is negative"#);
    }
}
