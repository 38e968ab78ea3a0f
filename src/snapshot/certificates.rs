//! What is kept about certificates outside of relations.

/// Secrets of this unit that belong to TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificatesSnapshot {}
