//! Typed Juju relation interfaces, both sides of each.
//!
//! Every module is one interface and has the same shape:
//!
//! - `INTERFACE`, its name in a charm's metadata;
//! - one type per databag that a side writes, such as [`tracing::ProviderAppData`]: [`Wire::read`] and
//!   [`Wire::write`] translate it from and to a [`Databag`] without asking anybody anything;
//! - one type per side, such as [`tracing::TracingProvider`], that does the same for the relations of a
//!   [`Hook`](juju_ops::Hook);
//! - one function per side that turns a hook's event into what it means for this interface.
//!
//! [`alert_rules`] is what several interfaces share: the rules that a charm sends to Prometheus and Loki.
//!
//! What another charm wrote is never an error and never a panic: it is a [`Remote`], and where it cannot be used the
//! reason names the key. Nothing here asks for more than the other charms give: members and keys that are not
//! known are ignored.
//!
//! ```
//! use juju_ops::{Databag, Remote};
//! use juju_relations::{Wire, tracing::{Protocol, RequirerAppData}};
//!
//! let bag = RequirerAppData::new([Protocol::OtlpHttp, Protocol::JaegerGrpc]).write();
//! assert_eq!(bag["receivers"], r#"["jaeger_grpc", "otlp_http"]"#);
//!
//! let rubbish = Databag::from([("receivers", "otlp_http")]);
//! assert_eq!(
//!     RequirerAppData::read(Some(&rubbish)),
//!     Remote::Invalid("receivers: not valid JSON".into()),
//! );
//! ```

pub mod blackbox_exporter_probes;
pub mod catalogue;
pub mod cross_model_mesh;
mod endpoint;
mod exchange;
pub mod grafana_dashboard;
pub mod grafana_datasource;
pub mod grafana_datasource_exchange;
pub mod istio_ingress_route;
mod json;
mod lenient;
pub mod loki_push_api;
pub mod prometheus_remote_write;
pub mod prometheus_scrape;
mod py_bool;
pub mod s3;
mod sensitive;
pub mod service_mesh;
pub mod tempo_api;
pub mod tempo_cluster;
pub mod tempo_peers;
pub mod tls_certificates;
pub mod tracing;
pub mod traefik_route;
mod wire;

pub use endpoint::{EndpointError, EndpointMeta, EndpointRole};
pub use exchange::{Change, Exchange, Nothing, Party};
pub use json::JsonText;
pub use juju_ops::{Databag, DatabagError, Encoding, Remote};
pub use juju_rules as alert_rules;
pub use juju_rules::Topology;
pub use sensitive::Sensitive;
pub use wire::Wire;
