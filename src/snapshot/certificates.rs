//! What is kept about certificates outside of relations.

use std::collections::BTreeMap;

use juju_ops::{SecretContent, SecretId, SecretInfo};

/// The secrets that this unit manages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificatesSnapshot {
    /// Those with a label, by that.
    pub secrets: BTreeMap<String, OwnSecret>,
}

/// A secret that this unit manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSecret {
    /// Its id.
    pub id: SecretId,
    /// What Juju tells of it.
    pub info: SecretInfo,
    /// What its latest revision holds; `None` if it is of no interest now, or cannot be read. `Debug` shows the keys
    /// only.
    pub content: Option<SecretContent>,
}
