//! Placeholder.

pub mod deployment;
pub mod names;
pub mod plan;
pub mod secret;
pub mod snapshot;
pub mod status;
pub mod tempo;
