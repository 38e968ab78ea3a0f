//! Where a sink listens, and how that is read from a Tempo configuration.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::Deserialize;

use super::{Protocol, SinkError, TlsFiles, default_port};

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
    /// The receivers that speak TLS, and what they present. The others are plain.
    pub tls: BTreeMap<Protocol, TlsFiles>,
    /// What the HTTP API presents; plain without it.
    pub api_tls: Option<TlsFiles>,
    /// What the gRPC API presents; plain without it.
    pub grpc_api_tls: Option<TlsFiles>,
    /// A Unix socket to be made for whoever runs this sink: the HTTP API in plain text, and `POST /reload`, which
    /// reads the certificates anew, and `POST /end`, after which [`Sink::asked_to_end`](super::Sink::asked_to_end)
    /// returns.
    pub control: Option<PathBuf>,
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
            tls: BTreeMap::new(),
            api_tls: None,
            grpc_api_tls: None,
            control: None,
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
    http_tls_config: Option<ServerTls>,
    grpc_tls_config: Option<ServerTls>,
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
    tls: Option<ServerTls>,
}

/// A server's side of TLS, as Tempo's own servers and its receivers write it.
#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct ServerTls {
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    client_ca_file: Option<PathBuf>,
    client_auth_type: Option<String>,
}

impl ServerTls {
    fn files(self) -> Result<TlsFiles, String> {
        // A receiver that names authorities for clients requires their certificates; a server says so itself.
        let required = match self.client_auth_type.as_deref() {
            None => self.client_ca_file.is_some(),
            Some(kind) => kind.starts_with("Require"),
        };
        if required {
            return Err("tls: certificates of clients are not supported".to_owned());
        }
        match (self.cert_file, self.key_file) {
            (Some(cert_file), Some(key_file)) => Ok(TlsFiles { cert_file, key_file }),
            _ => Err("tls: it needs cert_file and key_file".to_owned()),
        }
    }
}

impl SinkConfig {
    /// The listeners that Tempo would open under `roles` (for example `distributor` or `all`) with this
    /// configuration document: receivers only if a role runs the distributor, the API ports always.
    ///
    /// Receivers that this sink does not know (Kafka, other transports of Jaeger) are left out. Clients are never
    /// asked for certificates; where these are optional (`VerifyClientCertIfGiven`), that makes no difference.
    ///
    /// # Errors
    /// [`SinkError::Config`]: the document is no YAML of that shape, an endpoint is no `host:port`, the receivers
    /// are to listen on different addresses, or a server with TLS names no certificate or requires its clients'.
    pub fn from_tempo_config(yaml: &str, roles: &[impl AsRef<str>]) -> Result<Self, SinkError> {
        let document: Document =
            serde_yaml::from_str(yaml).map_err(|error| SinkError::Config(error.to_string()))?;
        let server = document.server;
        let server_tls = |tls: Option<ServerTls>| {
            let files = tls.map(ServerTls::files).transpose();
            files.map_err(|reason| SinkError::Config(format!("server: {reason}")))
        };
        let mut config = Self {
            api_port: Some(server.http_listen_port.unwrap_or(DEFAULT_HTTP_PORT)),
            grpc_api_port: Some(server.grpc_listen_port.unwrap_or(DEFAULT_GRPC_PORT)),
            multitenancy: document.multitenancy_enabled,
            api_tls: server_tls(server.http_tls_config)?,
            grpc_api_tls: server_tls(server.grpc_tls_config)?,
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
                let failed = |reason| SinkError::Config(format!("receiver {protocol}: {reason}"));
                let (address, port) = listen(protocol, &endpoint).map_err(failed)?;
                if let Some(tls) = endpoint.tls {
                    config.tls.insert(protocol, tls.files().map_err(failed)?);
                }
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
    fn tls_blocks_name_what_each_listener_presents() {
        let yaml = "
distributor:
  receivers:
    otlp:
      protocols:
        grpc: {endpoint: '0.0.0.0:4317', tls: {ca_file: /ca, cert_file: /c, key_file: /k}}
        http: {endpoint: '0.0.0.0:4318'}
    zipkin: {endpoint: '0.0.0.0:9411', tls: {cert_file: /c, key_file: /k}}
server:
  http_tls_config: {cert_file: /c, client_auth_type: VerifyClientCertIfGiven, client_ca_file: /ca, key_file: /k}
";
        let config = SinkConfig::from_tempo_config(yaml, &["all"]).unwrap();
        let files = TlsFiles { cert_file: "/c".into(), key_file: "/k".into() };
        let with = [Protocol::OtlpGrpc, Protocol::Zipkin].map(|protocol| (protocol, files.clone()));
        assert_eq!(config.tls, BTreeMap::from(with));
        assert_eq!((config.api_tls, config.grpc_api_tls), (Some(files), None));
        assert_eq!(SinkConfig::from_tempo_config(ALL, &["all"]).unwrap().tls, BTreeMap::new());
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
        let receiver = |tls: &str| {
            refused(&format!("distributor: {{receivers: {{zipkin: {{endpoint: '0.0.0.0:1', tls: {tls}}}}}}}"))
        };
        let keyless = receiver("{cert_file: /c}");
        assert!(keyless.contains("zipkin") && keyless.contains("key_file"), "{keyless}");
        assert!(receiver("{cert_file: /c, key_file: /k, client_ca_file: /a}").contains("clients"));
        assert!(refused("server: {http_tls_config: {cert_file: /c}}").contains("key_file"));
        let required = "{cert_file: /c, key_file: /k, client_auth_type: RequireAndVerifyClientCert}";
        assert!(refused(&format!("server: {{grpc_tls_config: {required}}}")).contains("clients"));
        assert!(refused("distributor: {receivers: {zipkin: {endpoint: nowhere}}}").contains("nowhere"));
        assert!(refused("distributor: {receivers: {zipkin: {endpoint: 'a:99999'}}}").contains("99999"));
        let mixed = "{otlp: {protocols: {http: {endpoint: '127.0.0.1:1'}, grpc: {endpoint: '0.0.0.0:2'}}}}";
        assert!(refused(&format!("distributor: {{receivers: {mixed}}}")).contains("one address"));
        assert!(!refused("distributor: [").is_empty());
    }
}
