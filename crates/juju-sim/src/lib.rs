//! A local Juju: run and test charms on one machine, without a controller.
//!
//! # Transition tests
//!
//! A hook is a function from a [`State`] and an [`Event`] to another [`State`]. [`Context::run`] is that function for
//! a charm in the same process: hook tools and Pebble answer as the real ones do, nothing is started, nothing waits.
//!
//! ```
//! use juju_ops::Hook;
//! use juju_sim::{CharmMeta, Context, Event, Relation, State};
//!
//! /// The charm under test: the leader tells every database client where the database is.
//! async fn charm(hook: Hook) -> Result<(), juju_ops::Error> {
//!     if hook.is_leader().await? {
//!         for relation in hook.relations("clients").await? {
//!             relation.set_app([("host".to_owned(), Some("10.0.0.1".to_owned()))]);
//!         }
//!     }
//!     Ok(())
//! }
//!
//! let meta = CharmMeta::from_texts("{name: db, provides: {clients: {interface: pg}}}", None, None, None)?;
//! let state = State::new(&meta).with_leader(true).with_relation(Relation::new("clients", 3, "pg", "shop"));
//!
//! let ctx = Context::new(meta);
//! let out = ctx.run(&state, Event::relation_created("clients", 3), charm);
//! out.assert_ok().assert_written_to(&["clients:3"]);
//! assert_eq!(out.relation("clients", 3).local_app_data["host"], "10.0.0.1");
//!
//! // The same again changes nothing.
//! ctx.run(&out.state, Event::UpdateStatus, charm).assert_nothing_written();
//! # Ok::<(), juju_sim::MetaError>(())
//! ```
//!
//! Scenes that Juju could never bring about are refused ([`fn@check`]). [`Context::with_fault`] lets the charm die, or a
//! call be refused, at any step; sweeping over [`Outcome::steps`] shows that the next hook repairs what a crash left.

mod backend;
pub mod charm;
pub mod check;
#[cfg(feature = "program")]
pub mod client;
pub mod context;
pub mod event;
pub mod jujuc;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(feature = "processes")]
pub mod launch;
#[cfg(feature = "program")]
pub mod model;
mod outcome;
#[cfg(feature = "processes")]
pub mod package;
pub mod pebble;
#[cfg(feature = "processes")]
pub mod program;
pub mod session;
#[cfg(feature = "spans")]
pub mod spans;
pub mod state;
pub mod tools;
#[cfg(feature = "processes")]
mod wire;
mod world;

pub use backend::Backend;
pub use charm::{CharmMeta, MetaError, Role};
pub use check::{Inconsistent, check};
pub use context::{Context, Fault};
pub use event::Event;
pub use outcome::{Cpu, Exited, Failure, Outcome};
#[cfg(feature = "processes")]
pub use program::{Program, ProgramError};
pub use session::{Commit, Finished, Session};
pub use state::{Container, ExecHandler, Relation, Secret, State, Status};
#[cfg(feature = "processes")]
pub use wire::{NoJujuc, find_jujuc};
