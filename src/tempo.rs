//! What Tempo itself fixes: its protocols, roles and ports, and what differs between its major versions.

pub use juju_relations::tempo_cluster::Role;
pub use juju_relations::tracing::{Protocol, TransportProtocol};

/// Tempo's HTTP API, status and metrics.
pub const HTTP_PORT: u16 = 3200;
/// Tempo's gRPC API. Not Tempo's own default (9095), which promtail uses as well.
pub const GRPC_PORT: u16 = 9096;
/// Gossip between workers.
pub const MEMBERLIST_PORT: u16 = 7946;

/// The port that receives a protocol, the same on workers and in front of them.
pub const fn receiver_port(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::JaegerGrpc => 14250,
        Protocol::JaegerThriftHttp => 14268,
        Protocol::OtlpGrpc => 4317,
        Protocol::OtlpHttp => 4318,
        Protocol::Zipkin => 9411,
    }
}

/// The name of a protocol with `-` for `_`: in action results, and in the names of upstreams and ingress objects.
pub fn dashed(protocol: Protocol) -> String {
    protocol.name().replace('_', "-")
}

/// What depends on Tempo's major version, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Tempo's major version.
    pub major: u32,
    /// The roles that a worker can have; together they are what [`Role::All`] stands for.
    pub roles: &'static [Role],
    /// The roles without which a cluster does not work.
    pub required: &'static [Role],
    /// How many workers of each role a cluster should have, so that one that is away takes nothing with it.
    pub recommended: &'static [(Role, usize)],
    /// The format of new blocks.
    pub block_version: &'static str,
}

/// Tempo 2.
///
/// Of its block formats, `vParquet4` is the one that every version from 2.6 on writes: `vParquet3` is deprecated
/// in 2.10 and gone in 3.0, and `vParquet5` is unknown to the versions before it. Blocks written in `vParquet3`
/// so far stay readable.
pub const TEMPO_2: Generation = Generation {
    major: 2,
    roles: &[
        Role::Compactor,
        Role::Distributor,
        Role::Ingester,
        Role::MetricsGenerator,
        Role::Querier,
        Role::QueryFrontend,
    ],
    required: &[Role::Compactor, Role::Distributor, Role::Ingester, Role::Querier, Role::QueryFrontend],
    // Each span is written to three ingesters where there are three.
    recommended: &[
        (Role::Compactor, 1),
        (Role::Distributor, 1),
        (Role::Ingester, 3),
        (Role::MetricsGenerator, 1),
        (Role::Querier, 1),
        (Role::QueryFrontend, 1),
    ],
    block_version: "vParquet4",
};

impl Generation {
    /// The plain roles that a role stands for; none if this version does not have it.
    pub fn expand(&self, role: Role) -> impl Iterator<Item = Role> {
        self.roles.iter().copied().filter(move |known| role == Role::All || role == *known)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_receiver_has_a_port_of_its_own() {
        let ports: BTreeSet<u16> = Protocol::ALL.map(receiver_port).into();
        assert_eq!(ports, BTreeSet::from([4317, 4318, 9411, 14250, 14268]));
        assert_eq!(dashed(Protocol::JaegerThriftHttp), "jaeger-thrift-http");
    }

    #[test]
    fn all_means_every_role() {
        assert_eq!(TEMPO_2.expand(Role::All).collect::<Vec<_>>(), TEMPO_2.roles);
        assert_eq!(TEMPO_2.expand(Role::Querier).collect::<Vec<_>>(), [Role::Querier]);
        let required: BTreeSet<Role> = TEMPO_2.required.iter().copied().collect();
        assert!(required.is_subset(&TEMPO_2.roles.iter().copied().collect()));
    }
}
