//! What Tempo itself fixes: its protocols, roles and ports, and what differs between its major versions.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Tempo's HTTP API, status and metrics.
pub const HTTP_PORT: u16 = 3200;
/// Tempo's gRPC API. Not Tempo's own default (9095), which promtail uses as well.
pub const GRPC_PORT: u16 = 9096;
/// Gossip between workers.
pub const MEMBERLIST_PORT: u16 = 7946;

/// How requests of a protocol travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// HTTP/1.1 requests; the receiver has a URL.
    Http,
    /// gRPC, so HTTP/2; the receiver has a `host:port`.
    Grpc,
}

/// A way to send traces to Tempo. Ordered by name, which is the order of everything published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Jaeger over gRPC.
    JaegerGrpc,
    /// Jaeger, Thrift in HTTP posts.
    JaegerThriftHttp,
    /// OpenTelemetry over gRPC.
    OtlpGrpc,
    /// OpenTelemetry in HTTP posts.
    OtlpHttp,
    /// Zipkin, JSON in HTTP posts.
    Zipkin,
}

impl Protocol {
    /// All of them, sorted by name.
    pub const ALL: [Self; 5] =
        [Self::JaegerGrpc, Self::JaegerThriftHttp, Self::OtlpGrpc, Self::OtlpHttp, Self::Zipkin];

    /// The name in databags and options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JaegerGrpc => "jaeger_grpc",
            Self::JaegerThriftHttp => "jaeger_thrift_http",
            Self::OtlpGrpc => "otlp_grpc",
            Self::OtlpHttp => "otlp_http",
            Self::Zipkin => "zipkin",
        }
    }

    /// The protocol of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// The name with `-` for `_`: in action results, upstream names and ingress objects.
    pub fn dashed(self) -> String {
        self.as_str().replace('_', "-")
    }

    /// The port that receives it, the same on workers and in front of them.
    pub const fn port(self) -> u16 {
        match self {
            Self::JaegerGrpc => 14250,
            Self::JaegerThriftHttp => 14268,
            Self::OtlpGrpc => 4317,
            Self::OtlpHttp => 4318,
            Self::Zipkin => 9411,
        }
    }

    /// How its requests travel.
    pub const fn transport(self) -> Transport {
        match self {
            Self::JaegerGrpc | Self::OtlpGrpc => Transport::Grpc,
            Self::JaegerThriftHttp | Self::OtlpHttp | Self::Zipkin => Transport::Http,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part that a worker plays. Ordered by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Merges and expires blocks.
    Compactor,
    /// Receives spans.
    Distributor,
    /// Gathers spans into blocks.
    Ingester,
    /// Derives metrics from spans.
    MetricsGenerator,
    /// Searches blocks and ingesters.
    Querier,
    /// Takes queries.
    QueryFrontend,
}

impl Role {
    /// All of them, sorted by name.
    pub const ALL: [Self; 6] = [
        Self::Compactor,
        Self::Distributor,
        Self::Ingester,
        Self::MetricsGenerator,
        Self::Querier,
        Self::QueryFrontend,
    ];

    /// The name that workers publish.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compactor => "compactor",
            Self::Distributor => "distributor",
            Self::Ingester => "ingester",
            Self::MetricsGenerator => "metrics-generator",
            Self::Querier => "querier",
            Self::QueryFrontend => "query-frontend",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What depends on Tempo's major version, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Tempo's major version.
    pub major: u32,
    /// The roles that a worker can have.
    pub roles: &'static [Role],
    /// The roles without which a cluster does not work.
    pub required: &'static [Role],
    /// The name that stands for every role at once.
    pub everything: &'static str,
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
    roles: &Role::ALL,
    required: &[Role::Compactor, Role::Distributor, Role::Ingester, Role::Querier, Role::QueryFrontend],
    everything: "all",
    block_version: "vParquet4",
};

impl Generation {
    /// The roles that one name stands for; `None` if the name is not known.
    pub fn expand(&self, name: &str) -> Option<BTreeSet<Role>> {
        if name == self.everything {
            return Some(self.roles.iter().copied().collect());
        }
        self.roles.iter().copied().find(|role| role.as_str() == name).map(|role| BTreeSet::from([role]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_agree_with_serde() {
        assert!(Protocol::ALL.is_sorted_by_key(|p| p.as_str()) && Protocol::ALL.is_sorted());
        assert!(Role::ALL.is_sorted_by_key(|r| r.as_str()) && Role::ALL.is_sorted());
        for protocol in Protocol::ALL {
            assert_eq!(serde_json::to_value(protocol).unwrap(), protocol.as_str());
            assert_eq!(Protocol::from_name(protocol.as_str()), Some(protocol));
        }
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }

    #[test]
    fn all_means_every_role_and_unknown_names_none() {
        assert_eq!(TEMPO_2.expand("all").unwrap().len(), 6);
        assert_eq!(TEMPO_2.expand("querier"), Some(BTreeSet::from([Role::Querier])));
        assert_eq!(TEMPO_2.expand("imposter"), None);
        assert_eq!(TEMPO_2.expand(" all"), None);
    }
}
