//! Write Juju charms in Rust: typed events, hook tools, relations, secrets, status, actions.

pub mod databag;
pub mod remote;

pub use databag::{Databag, DatabagError, Encoding};
pub use remote::Remote;
