//! TLS as far as this unit has it.

use crate::snapshot::Snapshot;

use super::Findings;

/// TLS, or that there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {}

impl Tls {
    /// Whether this unit speaks TLS.
    pub fn is_on(&self) -> bool {
        false
    }
}

/// What is in use and what is to be asked for.
pub(super) fn tls(_snapshot: &Snapshot, _findings: &mut Findings) -> Tls {
    Tls::default()
}
