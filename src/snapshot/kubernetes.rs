//! What Kubernetes holds of this application.

/// What the API answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KubernetesSnapshot {}
