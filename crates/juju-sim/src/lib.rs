//! A local Juju: run and test charms on one machine, without a controller.

pub mod charm;
pub mod client;
pub mod event;
pub mod jujuc;
pub mod model;
pub mod session;
pub mod spans;
pub mod state;
pub mod tools;

pub use charm::{CharmMeta, MetaError, Role};
pub use event::Event;
pub use session::{Commit, Finished, Session};
pub use state::{Container, ExecHandler, Relation, Secret, State, Status};
