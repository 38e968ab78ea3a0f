//! Asynchronous client for [Pebble](https://documentation.ubuntu.com/pebble/), the service manager that
//! runs the workload containers of a Juju charm on Kubernetes.
//!
//! A charm's process finds one unix socket per workload container, at
//! `/charm/containers/<name>/pebble.socket`. [`Client`] speaks HTTP, and for commands WebSocket, over it:
//!
//! ```no_run
//! use juju_pebble::{Client, Exec, FileWrite, Layer, Pebble as _, PebbleExt as _};
//!
//! # async fn configure() -> Result<(), juju_pebble::Error> {
//! let nginx = Client::new("/charm/containers/nginx/pebble.socket");
//! if !nginx.can_connect().await? {
//!     // The container is not up yet: `pebble-ready` will run the charm again.
//!     return Ok(());
//! }
//!
//! let config = FileWrite { path: "/etc/nginx/nginx.conf".into(), content: b"events {}\n".into(), mode: 0o644 };
//! if nginx.read_file(&config.path).await?.as_ref() != Some(&config.content) {
//!     nginx.write_file(&config).await?;
//! }
//!
//! let test = Exec { command: ["nginx", "-t"].map(String::from).into(), ..Exec::default() };
//! let output = nginx.exec(&test).await?;
//! if output.exit_code != 0 {
//!     println!("{}", String::from_utf8_lossy(&output.stderr));
//!     return Ok(());
//! }
//!
//! let layer = Layer::from_yaml(
//!     "
//! services:
//!   nginx: {override: replace, command: nginx -g 'daemon off;', startup: enabled}
//! checks:
//!   up: {override: replace, level: ready, http: {url: 'http://localhost/'}}
//! ",
//! )?;
//! if nginx.ensure_layer("nginx", &layer).await? {
//!     nginx.replan().await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Three layers of interface
//!
//! The trait [`Pebble`] has the verbs that a charm needs, and can be a trait object: tests and simulators implement it
//! too. [`PebbleExt`] makes shorthands of them. What else the daemon can do are methods of [`Client`]: changes that are
//! begun now and waited for later, several files in one call.
//!
//! # Health checks, notices, identities
//!
//! ```
//! use juju_pebble::{Access, CheckAction, Error, Identity, IdentityAction, Notify, Pebble};
//!
//! async fn maintain(web: &dyn Pebble) -> Result<(), Error> {
//!     // No restart by Kubernetes while this goes on.
//!     web.change_checks(CheckAction::Stop, &["alive"]).await?;
//!     web.change_checks(CheckAction::Start, &["alive"]).await?;
//!     if web.refresh_check("alive").await?.error.is_some() {
//!         // Juju runs the charm's `web-pebble-custom-notice` hook with this key.
//!         web.notify(&Notify { key: "example.com/sick".into(), ..Notify::default() }).await?;
//!     }
//!     // Lets the user with number 1000 read Pebble's metrics.
//!     let scraper = Identity::local(Access::Metrics, 1000);
//!     web.change_identities(IdentityAction::Replace, &[("scraper".to_owned(), scraper)].into()).await
//! }
//! ```
//!
//! Log targets are part of a layer ([`LogTarget`]), and take effect as soon as it is added.
//!
//! # What calls promise
//!
//! - Every call ends: [`Limits`] says when, and [`Error::Timeout`] is the end.
//! - A socket that is missing or that nobody listens on, and a connection that is lost, are all
//!   [`Error::Connection`]: the container is not there, now. That can happen at any call, also right after
//!   one that worked.
//! - [`Error::Api`] is what the daemon refuses, with its words. [`Error::Path`] is a file that could not be
//!   read, written, listed or removed. [`Error::Change`] is work that was begun and failed, such as a service
//!   that exits within its first second; Pebble goes on restarting that one.
//! - Nothing that a daemon sends makes a call panic, and no answer grows beyond [`Limits::size`].
//! - What changes something is sent once, over a connection of its own. Questions share connections, and are asked again
//!   where one turns out to be dead.
//! - No environment variable is read, `HOME` and proxies included.
//!
//! # Plans
//!
//! The plan that the daemon returns is not the text of the layers that were added. [`Layer::has`] and
//! [`Layer::same_as`] compare what they mean, so that a charm which changed nothing writes nothing.
//!
//! # Tracing
//!
//! Each request is a `tracing` span `pebble` of level DEBUG with its method and target. Contents, inputs
//! and outputs are in no span.

mod api;
mod client;
mod combine;
mod error;
mod ext;
mod layer;
mod transport;
mod types;
mod verbs;
mod wire;
mod workload;

pub use api::{BoxFuture, Pebble};
pub use client::{Client, Limits};
pub use error::Error;
pub use ext::PebbleExt;
pub use layer::*;
pub use types::*;
pub use workload::Workload;
