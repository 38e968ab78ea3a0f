//! Secrets that belong to TLS.

use juju_ops::{Hook, ToolError};

use crate::snapshot::CertificatesSnapshot;

#[allow(clippy::unused_async)]
pub(super) async fn see(_hook: &Hook) -> Result<CertificatesSnapshot, ToolError> {
    Ok(CertificatesSnapshot::default())
}
