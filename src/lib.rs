//! Placeholder.

pub mod names;
