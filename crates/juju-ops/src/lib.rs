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
//! # What is where
//!
//! | a charm | |
//! |---|---|
//! | knows why it runs and where | [`Event`], [`HookEnv`] |
//! | reads its options, and its action's parameters | [`config`], [`action`] |
//! | talks to other charms | [`Hook::relations`], [`Relation`], [`typed`], [`databag`], [`remote`] |
//! | says how it is | [`status`] |
//! | ends early without failing | [`stop`] |
//! | keeps secrets, and reads those of others | [`secrets`] |
//! | runs its workload | [`Hook::container`], crate `juju-pebble` |
//! | opens ports, knows its addresses | [`ports`], [`network`] |
//! | has storage and files that came with it | [`storage`], [`resources`] |
//! | remembers something until the next hook | [`UnitState`] |
//! | knows its cloud, and what its Juju can do | [`cloud`], [`version`] |
//! | is watched | [`log`], [`security`], `traces` (a feature) |
//! | is tested | [`Hook::new`] with any [`HookTools`]; crate `juju-sim` |
//!
//! Each of these pages begins with an example.
//!
//! # What is not done to you
//!
//! What Juju says yes to and then refuses when the hook ends, with everything that the hook did, is refused here before it
//! is sent ([`ToolError::Invalid`]). Texts that begin with `-`, characters that the agent's YAML reader stumbles over, and
//! secrets on command lines are taken care of. Relations and units come in the order of their numbers.
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
mod leader;
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
mod text;
mod time;
pub mod tools;
#[cfg(feature = "traces")]
pub mod traces;
pub mod typed;
pub mod version;
mod watch;

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
pub use text::one_line;
pub use tools::{HookTools, ToolCall, ToolError, ToolOutput, TransportError};
pub use typed::SingleError;
pub use version::{Feature, JujuVersion, Unsupported};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
