//! What we write is read by the other side's own code, and the reverse.
//!
//! The other side is a charm in Python, made of nothing but the library that its authors publish for the interface, and
//! run by ops-scenario; the scripts are in `peers/`. Our side is this charm, or one made of a type of `juju-relations`
//! where the charm has no such endpoint. In `charms/` are whole charms in Python, which run in models beside ours, as they do
//! under Juju. `cargo xtask contract` installs the libraries and runs this target, which no
//! other test run includes.

mod bags;
mod charms;
mod grafana_datasource_exchange;
mod istio_ingress_route;
mod kubernetes;
#[allow(dead_code, reason = "most of it is for the system tests")]
#[path = "../system/model.rs"]
mod model;
mod peer;
mod s3;
#[allow(
    dead_code,
    reason = "the scenes are those of the transition tests, and not all of them are needed here"
)]
#[path = "../transitions/scene.rs"]
mod scene;
mod service_mesh;
mod telemetry;
mod tempo_cluster;
mod tls_certificates;
mod tracing;
