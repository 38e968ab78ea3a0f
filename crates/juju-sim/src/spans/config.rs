//! Where a sink listens, and how that is read from a Tempo configuration.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Protocol, SinkError, default_port};

/// Where a [`Sink`](super::Sink) listens. Port 0 means any free port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkConfig {
    /// The address of all listeners.
    pub bind: IpAddr,
    /// The receivers and their ports.
    pub receivers: BTreeMap<Protocol, u16>,
    /// Port of the HTTP API: `/ready`, `/counts`, `/traces`, `/metrics`, `/api/echo`.
    pub api_port: Option<u16>,
    /// Port of the gRPC API. It answers every call with "unimplemented".
    pub grpc_api_port: Option<u16>,
    /// Whether `/metrics` tells tenants apart. Without it, all spans belong to `single-tenant`, as in Tempo.
    pub multitenancy: bool,
}

impl Default for SinkConfig {
    /// Nothing to receive, on all addresses.
    fn default() -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            receivers: BTreeMap::new(),
            api_port: None,
            grpc_api_port: None,
            multitenancy: false,
        }
    }
}

/// The roles under which Tempo runs the distributor, which has the receivers.
const RECEIVING_ROLES: [&str; 2] = ["all", "distributor"];
/// Where a receiver listens when its configuration does not say.
const DEFAULT_HOST: &str = "localhost";
/// Tempo's own API ports when its configuration does not say.
const DEFAULT_HTTP_PORT: u16 = 3200;
const DEFAULT_GRPC_PORT: u16 = 9095;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Document {
    server: Server,
    distributor: Distributor,
    multitenancy_enabled: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Server {
    http_listen_port: Option<u16>,
    grpc_listen_port: Option<u16>,
    http_tls_config: Option<IgnoredAny>,
    grpc_tls_config: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Distributor {
    receivers: BTreeMap<String, Option<Receiver>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Receiver {
    protocols: BTreeMap<String, Option<Endpoint>>,
    #[serde(flatten)]
    own: Endpoint,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct Endpoint {
    endpoint: Option<String>,
    tls: Option<IgnoredAny>,
}

impl SinkConfig {
    /// The listeners that Tempo would open under `roles` (for example `distributor` or `all`) with this
    /// configuration document: receivers only if a role runs the distributor, the API ports always.
    ///
    /// Receivers that this sink does not know (Kafka, other transports of Jaeger) are left out.
    ///
    /// # Errors
    /// [`SinkError::Config`]: the document is no YAML of that shape, an endpoint is no `host:port`, the receivers
    /// are to listen on different addresses, or something asks for TLS.
    pub fn from_tempo_config(yaml: &str, roles: &[impl AsRef<str>]) -> Result<Self, SinkError> {
        let document: Document =
            serde_yaml::from_str(yaml).map_err(|error| SinkError::Config(error.to_string()))?;
        let server = document.server;
        if server.http_tls_config.is_some() || server.grpc_tls_config.is_some() {
            return Err(SinkError::Config("server: TLS is not supported".to_owned()));
        }
        let mut config = Self {
            api_port: Some(server.http_listen_port.unwrap_or(DEFAULT_HTTP_PORT)),
            grpc_api_port: Some(server.grpc_listen_port.unwrap_or(DEFAULT_GRPC_PORT)),
            multitenancy: document.multitenancy_enabled,
            ..Self::default()
        };
        if !roles.iter().any(|role| RECEIVING_ROLES.contains(&role.as_ref())) {
            return Ok(config);
        }
        let mut bind = None;
        for (name, receiver) in document.distributor.receivers {
            let receiver = receiver.unwrap_or_default();
            let found: Vec<(Protocol, Endpoint)> = if name == "zipkin" {
                vec![(Protocol::Zipkin, receiver.own)]
            } else {
                receiver
                    .protocols
                    .into_iter()
                    .filter_map(|(way, endpoint)| {
                        let protocol = match (name.as_str(), way.as_str()) {
                            ("otlp", "http") => Protocol::OtlpHttp,
                            ("otlp", "grpc") => Protocol::OtlpGrpc,
                            ("jaeger", "thrift_http") => Protocol::JaegerThriftHttp,
                            ("jaeger", "grpc") => Protocol::JaegerGrpc,
                            _ => return None,
                        };
                        Some((protocol, endpoint.unwrap_or_default()))
                    })
                    .collect()
            };
            for (protocol, endpoint) in found {
                let (address, port) = listen(protocol, &endpoint)
                    .map_err(|reason| SinkError::Config(format!("receiver {protocol}: {reason}")))?;
                if *bind.get_or_insert(address) != address {
                    let reason = format!("receiver {protocol}: all receivers must listen on one address");
                    return Err(SinkError::Config(reason));
                }
                config.receivers.insert(protocol, port);
            }
        }
        config.bind = bind.unwrap_or(config.bind);
        Ok(config)
    }
}

fn listen(protocol: Protocol, endpoint: &Endpoint) -> Result<(IpAddr, u16), String> {
    if endpoint.tls.is_some() {
        return Err("TLS is not supported".to_owned());
    }
    let Some(text) = &endpoint.endpoint else {
        return Ok((address(DEFAULT_HOST)?, default_port(protocol)));
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("endpoint {text:?} is no host:port"))?;
    let port = port.parse().map_err(|_| format!("endpoint {text:?} has no valid port"))?;
    Ok((address(host)?, port))
}

fn address(host: &str) -> Result<IpAddr, String> {
    match host {
        "" => Ok(Ipv4Addr::UNSPECIFIED.into()),
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        _ => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .map_err(|_| format!("{host:?} is no address to listen on")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "
auth_enabled: false
distributor:
  receivers:
    jaeger:
      protocols:
        grpc: {endpoint: '0.0.0.0:14250'}
        thrift_http: {endpoint: '0.0.0.0:14268'}
    otlp:
      protocols:
        grpc: {endpoint: '0.0.0.0:4317'}
        http: {endpoint: '0.0.0.0:4318'}
    zipkin: {endpoint: '0.0.0.0:9411'}
  ring: {kvstore: {store: memberlist}}
server: {grpc_listen_port: 9096, http_listen_port: 3200}
";

    #[test]
    fn a_distributor_listens_at_every_receiver() {
        for role in ["all", "distributor"] {
            let config = SinkConfig::from_tempo_config(ALL, &["querier", role]).unwrap();
            let ports = Protocol::ALL.map(|protocol| (protocol, default_port(protocol)));
            assert_eq!(config.receivers, BTreeMap::from(ports));
            assert_eq!(config.bind, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            assert_eq!((config.api_port, config.grpc_api_port), (Some(3200), Some(9096)));
        }
    }

    #[test]
    fn other_roles_have_only_the_api() {
        let config = SinkConfig::from_tempo_config(ALL, &["ingester"]).unwrap();
        assert_eq!(config.receivers, BTreeMap::new());
        assert_eq!(config.api_port, Some(3200));
    }

    #[test]
    fn a_receiver_without_an_endpoint_is_reachable_from_its_own_pod_only() {
        let yaml = "distributor: {receivers: {otlp: {protocols: {http: }}, zipkin: , kafka: {brokers: [a]}}}";
        let config = SinkConfig::from_tempo_config(yaml, &["all"]).unwrap();
        assert_eq!(config.bind, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(config.receivers, BTreeMap::from([(Protocol::OtlpHttp, 4318), (Protocol::Zipkin, 9411)]));
        assert_eq!(config.grpc_api_port, Some(9095));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        let refused = |yaml: &str| SinkConfig::from_tempo_config(yaml, &["all"]).unwrap_err().to_string();
        let tls =
            refused("distributor: {receivers: {zipkin: {endpoint: '0.0.0.0:1', tls: {cert_file: /c}}}}");
        assert!(tls.contains("zipkin") && tls.contains("TLS"), "{tls}");
        assert!(refused("server: {http_tls_config: {cert_file: /c}}").contains("TLS"));
        assert!(refused("distributor: {receivers: {zipkin: {endpoint: nowhere}}}").contains("nowhere"));
        assert!(refused("distributor: {receivers: {zipkin: {endpoint: 'a:99999'}}}").contains("99999"));
        let mixed = "{otlp: {protocols: {http: {endpoint: '127.0.0.1:1'}, grpc: {endpoint: '0.0.0.0:2'}}}}";
        assert!(refused(&format!("distributor: {{receivers: {mixed}}}")).contains("one address"));
        assert!(!refused("distributor: [").is_empty());
    }
}
