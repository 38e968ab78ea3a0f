//! State and event in, state out: the whole charm in process, as Juju would see it.

mod actions;
mod cost;
mod dashboards;
mod faults;
mod grafana;
mod hostile;
mod idempotence;
mod ingress;
mod interfaces;
mod kubernetes;
mod mesh;
mod own_metrics;
mod published;
mod receivers;
mod scene;
mod secrets;
mod statuses;
mod sweep;
mod telemetry;
mod tls;
mod traces;
mod upgrade;
mod values;
mod workers;
mod workloads;
