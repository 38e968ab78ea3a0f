//! The Kubernetes API, as far as the charm uses it.
//!
//! Nothing that the API does fails a hook: an answer that is late, a refusal, or no answer at all is a [`Failure`], which
//! ends up in the status.

mod client;
mod connection;
pub mod names;
pub mod objects;
pub mod quantity;
mod read;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use client::{Client, Kind};
pub(crate) use connection::tls;
pub use read::Reading;

use crate::secret::Secret;

/// How long everything that is read in one hook may take.
pub const READING: Duration = Duration::from_secs(4);
/// How long everything that is changed in one hook may take.
pub const CHANGING: Duration = Duration::from_secs(6);
/// How long the last unit may take to clean up.
pub const LEAVING: Duration = Duration::from_secs(5);

/// The environment variable that names another folder than the one Kubernetes mounts, for simulators.
pub const FOLDER_VARIABLE: &str = "JUJU_OPS_SERVICE_ACCOUNT";
/// The folder that Kubernetes mounts into every pod.
const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where the API is and who we are to it; what every pod finds mounted. Nothing is connected until something is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Base URL, `https://host:port`; plain `http` only in tests.
    pub url: String,
    /// Bearer token of the pod's service account.
    pub token: Secret,
    /// Certificate (PEM) of the authority behind the API; without one, the API cannot be reached over TLS.
    pub ca: String,
    /// The namespace that the pod is in.
    pub namespace: String,
}

impl Access {
    /// What Kubernetes gives every pod: two environment variables, and a folder with a token, a certificate and the name of
    /// the namespace. `None` if any of it is not there.
    pub fn of_pod(var: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let (host, port) = (set("KUBERNETES_SERVICE_HOST")?, set("KUBERNETES_SERVICE_PORT")?);
        let folder = set(FOLDER_VARIABLE).map_or_else(|| FOLDER.into(), PathBuf::from);
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        let token = read(&folder, "token")?;
        let namespace = read(&folder, "namespace")?;
        if token.is_empty() || namespace.is_empty() {
            return None;
        }
        Some(Self {
            url: format!("https://{host}:{port}"),
            token: Secret::new(token),
            ca: read(&folder, "ca.crt").unwrap_or_default(),
            namespace,
        })
    }
}

/// A file of the service account without the white space around it.
fn read(folder: &Path, name: &str) -> Option<String> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("cannot read {}: {error}", path.display());
            }
            None
        }
    }
}

/// Why the API did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The application's service account may not do it (403): it is not trusted.
    #[error("not allowed: {0}")]
    Denied(String),
    /// Somebody else has changed or claims what was to be changed (409).
    #[error("conflict: {0}")]
    Conflict(String),
    /// What was to be changed, or its kind, does not exist (404).
    #[error("not found: {0}")]
    NotFound(String),
    /// It refused for another reason.
    #[error("refused with {code}: {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// The API's own words.
        message: String,
    },
    /// It cannot be reached.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("no answer in time")]
    Late,
    /// It answered with something else than what was asked for.
    #[error("answer not understood: {0}")]
    Nonsense(String),
}

impl Failure {
    /// Whether the next call would very likely end the same way, and cost the time of this one again.
    pub fn is_of_connection(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_pod(host: &str, files: &[(&str, &str)]) -> Option<Access> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let folder = folder.path().to_str().unwrap().to_owned();
        Access::of_pod(|name| match name {
            "KUBERNETES_SERVICE_HOST" => Some(host.to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
            FOLDER_VARIABLE => Some(folder.clone()),
            _ => None,
        })
    }

    #[test]
    fn a_pod_finds_the_api_by_two_variables_and_three_files() {
        let files = [("token", "secret\n"), ("namespace", "obs"), ("ca.crt", "PEM\n")];
        let access = of_pod("10.1.0.1", &files).unwrap();
        assert_eq!((access.url.as_str(), access.namespace.as_str()), ("https://10.1.0.1:443", "obs"));
        assert_eq!((access.token.expose(), access.ca.as_str()), ("secret", "PEM"));
        assert_eq!(of_pod("fd00::1", &files).unwrap().url, "https://[fd00::1]:443");
    }

    #[test]
    fn without_one_of_them_there_is_no_way_to_the_api() {
        assert_eq!(of_pod("", &[("token", "t"), ("namespace", "n")]), None);
        assert_eq!(of_pod("10.1.0.1", &[("token", "t")]), None);
        assert_eq!(of_pod("10.1.0.1", &[("token", " "), ("namespace", "n")]), None);
        assert_eq!(Access::of_pod(|_| None), None);
    }

    #[test]
    fn the_token_shows_nowhere() {
        let access = of_pod("10.1.0.1", &[("token", "hunter22"), ("namespace", "n")]).unwrap();
        assert!(!format!("{access:?}").contains("hunter22"));
    }
}
