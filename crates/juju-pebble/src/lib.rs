//! Asynchronous client for [Pebble](https://github.com/canonical/pebble).
mod api;
mod error;
mod types;

pub use api::{BoxFuture, Pebble};
pub use error::Error;
pub use types::*;
