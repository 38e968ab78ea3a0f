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
//! # Setting a scene
//!
//! [`State`] is everything that one unit can see: relations with all their databags, containers with plan, services, files,
//! checks and notices, secrets with revisions and grants, options, storage, resources, addresses, ports, statuses, what the
//! unit keeps at the controller, the model, the cloud and the version of Juju. It is plain data: set what matters, compare
//! what came out.
//!
//! ```
//! use juju_ops::Hook;
//! use juju_sim::{CharmMeta, Container, Context, Event, ExecHandler, Relation, Secret, State, Status};
//!
//! let meta = CharmMeta::from_texts(
//!     "{name: web, requires: {db: {interface: pg}}, containers: {nginx: {}}, storage: {data: {type: filesystem}}}",
//!     None,
//!     Some("options: {port: {type: int, default: 80}}"),
//!     None,
//! )?;
//! let db = Relation::new("db", 4, "pg", "postgres")
//!     .with_remote_app_data([("dbname", "shop")])
//!     .with_remote_unit(0, [("host", "10.0.0.9")]);
//! let login = Secret::new("d0neu000000000000010", "application-postgres", [("password", "old")])
//!     .with_revision([("password", "new")])
//!     .tracked_at(1)
//!     .granted_to("application-web", "relation-web.db#postgres.pg");
//! let nginx = Container::ready()
//!     .with_exec(ExecHandler::new(["nginx", "-t"]))
//!     .with_notice("1", "example.com/backup-done", [("size", "3")]);
//! let state = State::new(&meta)
//!     .with_leader(true)
//!     .with_config("port", 8080)
//!     .with_relation(db)
//!     .with_secret(login.clone())
//!     .with_container("nginx", nginx.clone())
//!     .with_storage("data/0", "/var/lib/juju/storage/data/0")
//!     .with_juju_version("4.0.0");
//!
//! let ctx = Context::new(meta);
//! let busy = async |hook: Hook| -> Result<(), juju_ops::Error> {
//!     hook.waiting("for a moment").await?;
//!     hook.active("").await?;
//!     Ok(())
//! };
//! for event in [
//!     Event::relation_changed_unit("db", 4, "postgres/0"),
//!     Event::secret_changed(&login),
//!     Event::pebble_custom_notice("nginx", &nginx.notices[0]),
//!     Event::storage_attached("data/0"),
//! ] {
//!     let out = ctx.run(&state, event, busy);
//!     assert_eq!(out.unit_statuses, [Status::new("waiting", "for a moment"), Status::new("active", "")]);
//!     assert_eq!(out.calls_of("status-set").count(), 2);
//!     assert_eq!(out.reads_of(4).count(), 0, "nothing is asked about the database");
//!     out.assert_nothing_to_commit();
//! }
//! # Ok::<(), juju_sim::MetaError>(())
//! ```
//!
//! Scenes that Juju could never bring about are refused ([`fn@check`]): an event about what is not there, a database with
//! itself, a secret without an owner, an event that this version of Juju does not know.
//!
//! # What came out
//!
//! | of an [`Outcome`] | |
//! |---|---|
//! | [`state`](Outcome::state) | the state after: everything if the hook ended well, else only what takes effect at once |
//! | [`commit`](Outcome::commit) | what the agent sends to the controller, databags that were merely read included |
//! | [`calls`](Outcome::calls), [`reads_of`](Outcome::reads_of) | every hook tool call, by tool or by relation |
//! | [`pebble`](Outcome::pebble), [`pushed`](Outcome::pushed), [`execs`](Outcome::execs) | what was asked of each container |
//! | [`unit_statuses`](Outcome::unit_statuses) and the like | what took effect on the way |
//! | [`action`](Outcome::action), [`logs`](Outcome::logs) | results, messages, the log |
//! | [`assert_nothing_written`](Outcome::assert_nothing_written), [`assert_nothing_to_commit`](Outcome::assert_nothing_to_commit) | a second hook changes nothing; and costs the controller nothing |
//!
//! # Crashes
//!
//! [`Context::with_fault`] lets the charm die, or a call be refused, at any step; sweeping over [`Outcome::steps`] shows that
//! the next hook repairs what a crash left.
//!
//! # Other ways to run
//!
//! The same tests run with hook tools over a real socket, or with real processes as hook tools: [`Backend`]. A charm that is a
//! process, packed or not and in whatever language, is driven by [`Context::run_program`].

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
#[doc(hidden)]
pub mod launch;
mod log;
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
