//! What one hook sees, read once and never changed.
//!
//! A [`Snapshot`] holds text as it was found: nothing in it has been judged. [`Deployment::validate`] does that.
//!
//! *Architecture invariant:* nothing here reads anything. `observe` fills it, and is the only one to do so.
//!
//! [`Deployment::validate`]: crate::deployment::Deployment::validate

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use juju_ops::{Databag, HookEnv, Port, UnitName};
use juju_pebble::{Layer, ServiceStatus};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::names::{Config, Container, Endpoint};
use crate::tempo::Protocol;

mod certificates;
mod kubernetes;

pub use certificates::{CertificatesSnapshot, OwnSecret};
pub use kubernetes::{
    Answer, Answers, KubernetesSnapshot, LeaderAnswers, Policy, Record, Resources, Rollout, StatefulSet,
};

/// Everything that decisions are made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Who this unit is.
    pub identity: Identity,
    /// What its pod looks like.
    pub host: Host,
    /// The configuration options, or why they could not be read as what they are declared to be.
    pub config: Result<Config, String>,
    /// The relations of each endpoint, without one that is breaking. Endpoints without relations may be left out.
    ///
    /// Which parts of them are filled is in the one table of `observe::relations`.
    pub relations: BTreeMap<Endpoint, Vec<RelationSnapshot>>,
    /// The workload containers. One that is left out counts as unreachable.
    pub containers: BTreeMap<Container, ContainerSnapshot>,
    /// The ports that are open for this unit now.
    pub opened_ports: BTreeSet<Port>,
    /// What is kept about certificates outside of relations.
    pub certificates: CertificatesSnapshot,
    /// What Kubernetes holds of this application.
    pub kubernetes: KubernetesSnapshot,
    /// What this unit remembers of the last look at the running cluster.
    pub remembered: Look,
    /// What a look in this hook has found; `None` if there was none.
    pub look: Option<Look>,
    /// The time at which the hook began: seconds since 1970, UTC.
    pub now: i64,
}

/// What shows only in the running cluster. Somebody looks now and then, and the unit remembers it until the next time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The version that Tempo says it has.
    pub tempo_version: Option<String>,
    /// Whether any worker takes connections for a protocol, of those that were on.
    pub receivers: BTreeMap<Protocol, bool>,
}

/// Names of this unit, from the environment of the hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// This unit.
    pub unit: UnitName,
    /// Name of its model.
    pub model: String,
    /// UUID of its model.
    pub model_uuid: String,
    /// Whether it is the leader at this moment.
    pub leader: bool,
}

impl Identity {
    /// The unit whose hook runs.
    pub fn of(env: &HookEnv, leader: bool) -> Self {
        Self {
            unit: env.unit.clone(),
            model: env.model_name.clone(),
            model_uuid: env.model_uuid.clone(),
            leader,
        }
    }

    /// Name of the application.
    pub fn app(&self) -> &str {
        self.unit.app()
    }
}

/// What the charm container knows about its pod. All containers of the pod share its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The fully qualified host name, as `getfqdn` of the C library would give it: normally
    /// `<app>-<n>.<app>-endpoints.<model>.svc.cluster.local`.
    pub fqdn: String,
    /// Second word of the first `nameserver` line of `/etc/resolv.conf`; `None` if there is none that is an address.
    pub nameserver: Option<IpAddr>,
    /// Whether `/proc/net/if_inet6` lists any address.
    pub ipv6: bool,
}

/// One relation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelationSnapshot {
    /// Number of the relation, unique in the model.
    pub id: u32,
    /// The application on the other side; of a peer relation this application. `None` where Juju does not know it.
    pub remote_app: Option<String>,
    /// Its data; `None` where there is none to read or Juju does not let us.
    pub remote_app_data: Option<Databag>,
    /// Its units (of a peer relation the other units) with their data.
    pub remote_units: BTreeMap<UnitName, Option<Databag>>,
    /// What this application has published; `None` on a follower, which may not read it unless it is a peer relation.
    pub local_app_data: Option<Databag>,
    /// What this unit has published.
    pub local_unit_data: Option<Databag>,
}

/// One workload container.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ContainerSnapshot {
    /// Its Pebble does not answer (yet).
    #[default]
    Unreachable,
    /// Its Pebble answers.
    Reachable(ContainerState),
}

/// What a reachable container holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerState {
    /// The combined plan of all layers.
    pub plan: Layer,
    /// What each service of the plan does now.
    pub services: BTreeMap<String, ServiceStatus>,
    /// Those of [`plan::observed_files`](crate::plan::observed_files) that exist.
    pub files: BTreeMap<String, FileDigest>,
    /// The page of the coordinator's own metrics, if the container has one.
    pub metrics: Option<String>,
}

/// SHA-256 of a file. Files may hold secrets, so a snapshot keeps no content of theirs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileDigest([u8; 32]);

impl FileDigest {
    /// The digest of this content.
    pub fn of(content: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(content.as_ref()).into())
    }
}

impl fmt::Display for FileDigest {
    /// Lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Snapshot {
    /// The relations of an endpoint, in the order of their numbers if `observe` kept to it.
    pub fn relations(&self, endpoint: Endpoint) -> &[RelationSnapshot] {
        self.relations.get(&endpoint).map_or(&[], Vec::as_slice)
    }

    /// One container, where unknown means unreachable.
    pub fn container(&self, container: Container) -> &ContainerSnapshot {
        self.containers.get(&container).unwrap_or(&ContainerSnapshot::Unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_sha_256_in_hex() {
        // The well-known digest of the empty input.
        assert_eq!(
            FileDigest::of("").to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
