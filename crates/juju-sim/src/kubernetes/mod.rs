//! A Kubernetes API without a cluster: objects in memory, and an HTTP server in front of them.
//!
//! ```
//! use juju_sim::kubernetes::{Api, Cluster, Fault, On};
//!
//! // What Juju makes for a sidecar charm with two workload containers.
//! let cluster = Cluster::new().with_statefulset("tempo", "obs", &["nginx", "exporter"]);
//! let api = Api::start(cluster)?;
//! assert!(api.url().starts_with("http://127.0.0.1:"));
//!
//! // The next patch of a StatefulSet is refused, and only that one.
//! api.fail(On::verb("patch").resource("statefulsets").once(), Fault::Status(403));
//! // … a charm does its work against `api.url()` …
//! assert_eq!(api.writes(), []);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It knows the few resources in [`RESOURCES`] and treats their objects as JSON. It has the verbs get, list, create,
//! update, patch, delete and deletecollection, and three kinds of patches: merge, strategic merge, and server-side apply with
//! owners of fields and conflicts between them. Errors are `Status` objects with the real server's reasons and texts.
//!
//! Not there: watches, JSON patches, pages of lists, most defaults that a real server fills in, and most of its validation. There
//! are no controllers either; only a StatefulSet's status follows its spec, at once or when a test says so ([`Rollout`]).
//!
//! What it answers is compared with a real server by the list of requests in [`contract`].

mod cluster;
pub mod contract;
mod fields;
mod merge;
mod quantity;
mod resource;
mod rules;
mod server;
mod status;
mod tls;

pub use cluster::{Account, Answer, Call, Cluster, Fault, On, Outcome, Recorded, Rollout};
pub use resource::{RESOURCES, Resource};
pub use server::Api;
pub use tls::{Authority, TlsError};
