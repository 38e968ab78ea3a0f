//! Asynchronous client for [Pebble](https://github.com/canonical/pebble).
mod api;
mod client;
mod combine;
mod error;
mod layer;
mod transport;
mod types;
mod verbs;
mod wire;

pub use api::{BoxFuture, Pebble};
pub use client::{Client, Limits};
pub use error::Error;
pub use layer::*;
pub use types::*;
