//! What there should be: a pure function from facts to data.
//!
//! A [`Plan`] says what databags, files, services and ports should hold, not how they get there: `apply` compares it
//! with what is there. It can be printed, since secrets in it show as a mark.
//!
//! *Architecture invariants:* no I/O, no clock, no environment; every collection is sorted, so equal deployments give
//! equal bytes; a part that is `None` is left as it is, whatever that is.

use std::collections::{BTreeMap, BTreeSet};

use juju_ops::{Port, Scope};
use juju_pebble::Layer;
use juju_relations::Wire;
use serde::{Serialize, Serializer};

use crate::deployment::{Deployment, Unmet};
use crate::metrics;
use crate::names::{Container, Endpoint};
use crate::secret::Secret;
use crate::tempo::Protocol;

mod catalogue;
pub mod certificates;
mod cluster;
mod dashboards;
pub(crate) mod excerpt;
pub mod exporter;
mod grafana;
mod ingress;
pub mod kubernetes;
pub mod logs;
mod mesh;
pub mod nginx;
mod peers;
mod ports;
mod probes;
mod receivers;
mod requests;
pub mod rules;
mod scraping;
mod tempo_api;
mod tempo_config;
pub mod traces;
mod yaml;

/// Everything that this unit wants to be so.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Why the cluster cannot be run. If there is anything, the parts below that are `None` are left as they are.
    pub unmet: Vec<Unmet>,
    /// TLS; in any state of the cluster.
    pub certificates: certificates::Certificates,
    /// The load balancer; while the cluster cannot be run, no more than its certificates.
    pub nginx: Option<Workload>,
    /// The exporter of its metrics; while the cluster cannot be run, no more than its certificates.
    pub exporter: Option<Workload>,
    /// What workers are told; `None` on a follower too.
    pub cluster: Option<Vec<DatabagWrite>>,
    /// The receivers that are on, sorted by protocol.
    pub receivers: Option<Vec<Receiver>>,
    /// What requirers of receivers are told; `None` on a follower too.
    pub tracing: Option<Vec<DatabagWrite>>,
    /// What ingresses are asked for; in any state of the cluster.
    pub ingress: Vec<DatabagWrite>,
    /// Where the cluster is, for those that show, watch or query it; the API only while the cluster is complete, the
    /// rest in any state.
    pub publications: Vec<DatabagWrite>,
    /// What the service mesh should allow; in any state of the cluster.
    pub mesh: Vec<DatabagWrite>,
    /// What other providers are asked for; written in any state of the cluster.
    pub requests: Vec<DatabagWrite>,
    /// What the other units of this application are told; written in any state of the cluster.
    pub peers: Vec<DatabagWrite>,
    /// The ports to open; all others are closed.
    #[serde(serialize_with = "as_texts")]
    pub ports: Option<BTreeSet<Port>>,
    /// Where what the services write is sent; in any state of the cluster.
    pub logs: Vec<logs::Forwarding>,
    /// What Kubernetes should hold of this application; in any state of the cluster.
    pub kubernetes: kubernetes::Objects,
    /// Where the charm's own traces go; `None` if nobody takes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<traces::Traces>,
}

/// Keys of one databag. Keys that are not named are left alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DatabagWrite {
    /// The endpoint of the relation.
    pub endpoint: Endpoint,
    /// The number of the relation.
    pub relation: u32,
    /// Whose databag.
    pub scope: Scope,
    /// The keys; `None` deletes one.
    pub data: BTreeMap<String, Option<Text>>,
}

impl DatabagWrite {
    /// Every key that the writer of this data owns: set, or deleted if there is nothing to say.
    fn new(endpoint: Endpoint, relation: u32, scope: Scope, data: &impl Wire) -> Self {
        let plain = |(key, value): (String, Option<String>)| (key, value.map(Text::Plain));
        Self { endpoint, relation, scope, data: data.changes().into_iter().map(plain).collect() }
    }
}

/// A text that is either plain or secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Text {
    /// For everybody.
    Plain(String),
    /// With secrets in it.
    Secret(Secret),
}

impl Text {
    /// The text, for the place that it is meant for.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// What runs in one container.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workload {
    /// The container.
    pub container: Container,
    /// Its files, by absolute path.
    pub files: BTreeMap<String, PlannedFile>,
    /// Files of ours that must not be there (any more).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub absent: BTreeSet<String>,
    /// Files without all of which nothing is done: what is to be kept up then never ran.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub only_over: BTreeSet<String>,
    /// Label of its layer, under which an older layer of ours is replaced.
    pub label: String,
    /// The layer.
    pub layer: Layer,
}

/// A file in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedFile {
    /// Content.
    pub content: Text,
    /// Permission bits.
    #[serde(serialize_with = "as_octal")]
    pub mode: u32,
}

impl PlannedFile {
    /// A file that everybody in the container may read.
    fn plain(content: impl Into<String>) -> Self {
        Self { content: Text::Plain(content.into()), mode: 0o644 }
    }

    /// A file that only its owner, who runs the workload, may read.
    fn secret(content: impl Into<String>) -> Self {
        Self { content: Text::Secret(Secret::new(content)), mode: 0o600 }
    }
}

/// A receiver that is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Receiver {
    /// What it receives.
    pub protocol: Protocol,
    /// Where: a URL without a path, or for gRPC `host:port`.
    pub url: String,
}

impl Plan {
    /// All databag writes, in the order in which they should be made: first workers, who must be ready when
    /// requirers start to send.
    pub fn databag_writes(&self) -> impl Iterator<Item = &DatabagWrite> {
        let cluster = self.cluster.iter().flatten();
        let always = [&self.ingress, &self.publications, &self.mesh, &self.requests, &self.peers];
        cluster.chain(self.tracing.iter().flatten()).chain(always.into_iter().flatten())
    }
}

/// The files whose content decides whether something has to be written, by container.
///
/// Of `nginx`: its configuration, what belongs to TLS, and the records of which of that the running nginx has loaded
/// and the trust store was built with, and the page of the coordinator's metrics. Of the exporter: its web configuration and what that refers to. A file that
/// does not exist is left out of [`ContainerState::files`](crate::snapshot::ContainerState::files); a container in
/// which one exists, but cannot be read, counts as unreachable.
pub const fn observed_files(container: Container) -> &'static [&'static str] {
    match container {
        Container::Nginx => &[
            nginx::CONFIG_PATH,
            nginx::LOADED_PATH,
            nginx::PAIR_PATH,
            nginx::CERTIFICATE_PATH,
            nginx::CA_PATH,
            nginx::TRUSTED_PATH,
            metrics::PAGE_PATH,
        ],
        Container::NginxPrometheusExporter => &[
            exporter::WEB_CONFIG_PATH,
            exporter::STARTED_PATH,
            exporter::CERTIFICATE_PATH,
            exporter::KEY_PATH,
        ],
    }
}

/// Decides everything.
pub fn plan(d: &Deployment) -> Plan {
    let unmet = d.unmet();
    let ready = unmet.is_empty();
    let leads = ready && d.identity.leader;
    let receivers = receivers::receivers(d);
    let publications = [
        if ready { tempo_api::writes(d) } else { Vec::new() },
        catalogue::writes(d),
        probes::writes(d),
        grafana::writes(d),
        scraping::writes(d, ready),
        logs::writes(d),
        dashboards::writes(d),
    ];
    Plan {
        certificates: certificates::certificates(d),
        ingress: ingress::writes(d),
        publications: publications.concat(),
        mesh: mesh::writes(d),
        logs: logs::forwarding(d),
        kubernetes: kubernetes::objects(d),
        nginx: if ready { Some(nginx::workload(d)) } else { nginx::renewal(d) },
        exporter: if ready { Some(exporter::workload(d)) } else { exporter::renewal(d) },
        cluster: leads.then(|| cluster::writes(d, &receivers)).flatten(),
        tracing: leads.then(|| receivers::writes(d, &receivers)),
        ports: ready.then(|| ports::ports(d)),
        receivers: ready.then_some(receivers),
        requests: requests::writes(d),
        peers: peers::writes(d),
        traces: traces::destination(d, ready),
        unmet,
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
fn as_octal<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}

#[allow(clippy::ref_option)] // the form that serde asks for
fn as_texts<S: Serializer>(ports: &Option<BTreeSet<Port>>, serializer: S) -> Result<S::Ok, S::Error> {
    let texts = ports.as_ref().map(|ports| ports.iter().map(ToString::to_string).collect::<Vec<_>>());
    texts.serialize(serializer)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
