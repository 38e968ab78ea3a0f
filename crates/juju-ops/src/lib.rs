//! Write Juju charms in Rust.
//!
//! A charm is a program that a Juju agent runs once per event. This crate tells it why it was run ([`Event`]), lets it
//! read and change what belongs to it ([`Hook`]), and ends it with the exit code the agent expects ([`run`]).
//!
//! There is no deferral and no event queue, on purpose: look at everything, decide, change what differs. A hook that
//! does that can be run at any time, in any order, any number of times.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     juju_ops::run(|hook| async move {
//!         for relation in hook.relations("database").await? {
//!             relation.set_app([("name".to_owned(), Some("orders".to_owned()))]);
//!         }
//!         hook.active("").await?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! Nothing here needs `HOME` or any other variable that the agent does not set. Remote data never makes a call fail:
//! what is gone, withheld or malformed shows in the returned type ([`Remote`], `Option`).

pub mod action;
mod apps;
pub mod cloud;
pub mod config;
mod copies;
pub mod databag;
mod env;
mod event;
mod hook;
pub mod jujuc;
pub mod log;
mod names;
pub mod network;
pub mod ports;
mod relation;
pub mod remote;
pub mod resources;
mod run;
pub mod secrets;
pub mod security;
mod state;
pub mod status;
pub mod stop;
pub mod storage;
mod time;
pub mod tools;
pub mod typed;
pub mod version;

pub use action::{Action, ParamsError};
pub use cloud::{CloudCredential, CloudSpec};
pub use config::ConfigError;
pub use databag::{Databag, DatabagError, Encoding};
pub use env::{EnvError, HookEnv, TraceParent};
pub use event::{ActionEvent, CheckEvent, Event, NoticeEvent, RelationEvent, SecretEvent, StorageEvent};
pub use hook::{Containers, DatabagChange, Hook, Written};
pub use names::{NameError, RelationId, UnitName};
pub use network::{Address, Binding, Interface, Network};
pub use ports::{OpenedPorts, Port, PortError, PortRange, Transport};
pub use relation::{Relation, Scope};
pub use remote::Remote;
pub use run::{Error, run};
pub use secrets::{
    Expiry, Grantee, NewSecret, Rotation, SecretAccess, SecretContent, SecretId, SecretInfo, SecretOwner,
    SecretRef, Secrets,
};
pub use state::{StateError, UnitState};
pub use status::{AppStatus, CurrentStatus, Status, StatusBoard};
pub use stop::{OrBlocked, OrFail, Stop, UserError};
pub use storage::{Storage, StorageId, StorageKind};
pub use tools::{HookTools, ToolCall, ToolError, ToolOutput, TransportError};
pub use version::{Feature, JujuVersion, Unsupported};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
