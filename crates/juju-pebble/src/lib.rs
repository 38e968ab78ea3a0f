//! Asynchronous client for [Pebble](https://github.com/canonical/pebble).
mod api;
mod error;
mod layer;
mod types;

pub use api::{BoxFuture, Pebble};
pub use error::Error;
pub use layer::*;
pub use types::*;
