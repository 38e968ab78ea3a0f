//! The Kubernetes API, as far as the charm uses it.

use crate::secret::Secret;

/// Where the API is and who we are to it; what every pod finds mounted. Nothing is connected until something is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Base URL, `https://host:port`; plain `http` only in tests.
    pub url: String,
    /// Bearer token of the pod's service account.
    pub token: Secret,
    /// Certificate (PEM) of the authority behind the API; empty for a public one.
    pub ca: String,
    /// The namespace that the pod is in.
    pub namespace: String,
}
