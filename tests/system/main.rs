//! The compiled charm in a whole model on this machine: real namespaces, real Pebble, real nginx, real spans.

mod dashboards;
mod examples;
mod faults;
mod ingress;
mod kubernetes;
mod logs;
mod metrics;
#[allow(dead_code)] // some of it is for tests/traefik
mod model;
mod reference;
mod tls;
mod traces;
mod traffic;
