//! TODO

pub mod spans;
