//! The configuration that all workers of the cluster run with, whatever their role.
//!
//! The fields of the structs are in alphabetical order, and so are the keys of the document. What is not here is left
//! to Tempo: among it the size of blocks, for which Tempo's own limit is right.

use serde::Serialize;

use crate::deployment::address::Host;
use crate::deployment::{Deployment, S3Bucket};
use crate::secret::{REDACTED, Secret};
use crate::tempo::{self, Protocol, Role};

use super::nginx;
use super::yaml::yaml;

/// Where workers keep what is not in a block yet.
const WAL_PATH: &str = "/etc/tempo/tempo_wal";
/// Where the metrics generator keeps what it has not sent yet.
const METRICS_WAL_PATH: &str = "/etc/tempo/metrics_generator_wal";
/// Where workers put the certificate that they all present.
const CERTIFICATE_PATH: &str = "/etc/worker/server.cert";
/// Where workers put its key.
const KEY_PATH: &str = "/etc/worker/private.key";
/// Where workers put the certificate of the authority that signed it.
const CA_PATH: &str = "/usr/local/share/ca-certificates/ca.crt";
/// Where workers put the certificates to trust the storage by.
const S3_CA_PATH: &str = "/etc/worker/s3_ca.crt";
/// How many copies of each span are kept, in a cluster that has as many ingesters.
const REPLICATION: usize = 3;

#[derive(Serialize)]
struct TempoConfig {
    auth_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    compactor: Option<Compactor>,
    distributor: Distributor,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingester: Option<Ingester>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingester_client: Option<GrpcClient>,
    memberlist: Memberlist,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_generator: Option<MetricsGenerator>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_generator_client: Option<GrpcClient>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overrides: Option<Overrides>,
    querier: Querier,
    server: Server,
    storage: Storage,
}

#[derive(Serialize)]
struct Compactor {
    compaction: Compaction,
    ring: Ring,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // they are the names of Tempo's keys
struct Compaction {
    block_retention: String,
    compacted_block_retention: &'static str,
    compaction_window: &'static str,
    max_compaction_objects: u32,
}

#[derive(Serialize)]
struct Ring {
    kvstore: KvStore,
}

#[derive(Serialize)]
struct KvStore {
    store: &'static str,
}

#[derive(Serialize)]
struct Distributor {
    receivers: Receivers,
    ring: Ring,
}

#[derive(Serialize)]
struct Receivers {
    jaeger: Protocols<Jaeger>,
    otlp: Protocols<Otlp>,
    zipkin: Endpoint,
}

#[derive(Serialize)]
struct Protocols<P> {
    protocols: P,
}

#[derive(Serialize)]
struct Jaeger {
    grpc: Endpoint,
    thrift_http: Endpoint,
}

#[derive(Serialize)]
struct Otlp {
    grpc: Endpoint,
    http: Endpoint,
}

#[derive(Serialize)]
struct Endpoint {
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<ReceiverTls>,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // they are the names of Tempo's keys
struct ReceiverTls {
    ca_file: &'static str,
    cert_file: &'static str,
    key_file: &'static str,
}

#[derive(Serialize)]
struct Ingester {
    /// Tempo cuts what it holds when it is told to end, and goes on taking spans for about a second. Without this, these are in
    /// no file; and all ingesters restart at once when the document changes, so that no replica has them either.
    flush_all_on_shutdown: bool,
    lifecycler: Lifecycler,
    max_block_duration: &'static str,
    trace_idle_period: &'static str,
}

#[derive(Serialize)]
struct Lifecycler {
    ring: ReplicatedRing,
}

#[derive(Serialize)]
struct ReplicatedRing {
    kvstore: KvStore,
    replication_factor: usize,
}

#[derive(Serialize)]
struct Memberlist {
    abort_if_cluster_join_fails: bool,
    bind_port: u16,
    join_members: Vec<String>,
    #[serde(flatten)]
    tls: MemberlistTls,
}

#[derive(Serialize)]
#[serde(untagged)]
enum MemberlistTls {
    On(ClientTls),
    Off { tls_enabled: bool },
}

#[derive(Serialize)]
struct GrpcClient {
    grpc_client_config: ClientTls,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // they are the names of Tempo's keys
struct ClientTls {
    tls_ca_path: &'static str,
    tls_cert_path: &'static str,
    tls_enabled: bool,
    tls_key_path: &'static str,
    tls_server_name: String,
}

#[derive(Serialize)]
struct MetricsGenerator {
    processor: Processor,
    ring: Ring,
    storage: MetricsStorage,
}

#[derive(Serialize)]
struct Processor {
    service_graphs: Empty,
    span_metrics: Empty,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct MetricsStorage {
    path: &'static str,
    remote_write: Vec<RemoteWrite>,
}

#[derive(Serialize)]
struct RemoteWrite {
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_config: Option<RemoteWriteTls>,
    url: String,
}

#[derive(Serialize)]
struct RemoteWriteTls {
    ca_file: &'static str,
    insecure_skip_verify: bool,
}

#[derive(Serialize)]
struct Overrides {
    defaults: OverrideDefaults,
}

#[derive(Serialize)]
struct OverrideDefaults {
    metrics_generator: Processors,
}

#[derive(Serialize)]
struct Processors {
    processors: [&'static str; 2],
}

#[derive(Serialize)]
struct Querier {
    frontend_worker: FrontendWorker,
}

#[derive(Serialize)]
struct FrontendWorker {
    frontend_address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_client_config: Option<ClientTls>,
}

#[derive(Serialize)]
struct Server {
    grpc_listen_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_tls_config: Option<ServerTls>,
    http_listen_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_tls_config: Option<ServerTls>,
}

#[derive(Serialize)]
struct ServerTls {
    cert_file: &'static str,
    client_auth_type: &'static str,
    client_ca_file: &'static str,
    key_file: &'static str,
}

#[derive(Serialize)]
struct Storage {
    trace: TraceStorage,
}

#[derive(Serialize)]
struct TraceStorage {
    backend: &'static str,
    block: Block,
    pool: Pool,
    s3: S3,
    wal: Wal,
}

#[derive(Serialize)]
struct Block {
    version: &'static str,
}

#[derive(Serialize)]
struct Pool {
    max_workers: u32,
    queue_depth: u32,
}

#[derive(Serialize)]
struct S3 {
    access_key: String,
    bucket: String,
    endpoint: String,
    insecure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    secret_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_ca_path: Option<&'static str>,
}

#[derive(Serialize)]
struct Wal {
    path: &'static str,
}

/// The document, with the credentials of the storage in it.
pub(super) fn document(d: &Deployment, s3: &S3Bucket, retention_hours: u32) -> Secret {
    let with = |reveal: fn(&Secret) -> &str| yaml(&config(d, s3, retention_hours, reveal));
    Secret::with_shown(with(Secret::expose), with(|_| REDACTED))
}

fn config(d: &Deployment, s3: &S3Bucket, retention_hours: u32, reveal: fn(&Secret) -> &str) -> TempoConfig {
    let has = |role| d.tempo.roles.contains(&role);
    let tls = d.tls.is_on();
    let remote_write = |url| RemoteWrite {
        tls_config: tls.then_some(RemoteWriteTls { ca_file: CA_PATH, insecure_skip_verify: false }),
        url,
    };
    let remote_write: Vec<RemoteWrite> = nginx::remote_write_urls(d).into_iter().map(remote_write).collect();
    let generates = !remote_write.is_empty();
    TempoConfig {
        auth_enabled: false,
        compactor: has(Role::Compactor).then(|| Compactor {
            compaction: Compaction {
                block_retention: format!("{retention_hours}h"),
                compacted_block_retention: "1h",
                compaction_window: "1h",
                max_compaction_objects: 1_000_000,
            },
            ring: ring(),
        }),
        distributor: Distributor { receivers: receivers(tls), ring: ring() },
        ingester: has(Role::Ingester).then(|| Ingester {
            flush_all_on_shutdown: true,
            lifecycler: Lifecycler {
                ring: ReplicatedRing { kvstore: kvstore(), replication_factor: replication_factor(d) },
            },
            max_block_duration: "30m",
            trace_idle_period: "10s",
        }),
        ingester_client: grpc_client(d).filter(|_| has(Role::Ingester)),
        memberlist: Memberlist {
            abort_if_cluster_join_fails: false,
            bind_port: tempo::MEMBERLIST_PORT,
            join_members: join_members(d),
            tls: client_tls(d).map_or(MemberlistTls::Off { tls_enabled: false }, MemberlistTls::On),
        },
        metrics_generator: generates.then(|| MetricsGenerator {
            processor: Processor { service_graphs: Empty {}, span_metrics: Empty {} },
            ring: ring(),
            storage: MetricsStorage { path: METRICS_WAL_PATH, remote_write },
        }),
        metrics_generator_client: grpc_client(d),
        overrides: generates.then_some(Overrides {
            defaults: OverrideDefaults {
                metrics_generator: Processors { processors: ["span-metrics", "service-graphs"] },
            },
        }),
        querier: Querier {
            frontend_worker: FrontendWorker {
                frontend_address: frontend_address(d),
                grpc_client_config: client_tls(d),
            },
        },
        server: Server {
            grpc_listen_port: tempo::GRPC_PORT,
            grpc_tls_config: tls.then(server_tls),
            http_listen_port: tempo::HTTP_PORT,
            http_tls_config: tls.then(server_tls),
        },
        storage: Storage {
            trace: TraceStorage {
                backend: "s3",
                block: Block { version: d.tempo.block_version },
                pool: Pool { max_workers: 400, queue_depth: 20_000 },
                s3: S3 {
                    access_key: reveal(&s3.access_key).to_owned(),
                    bucket: s3.bucket.clone(),
                    endpoint: s3.endpoint.clone(),
                    insecure: s3.insecure,
                    region: s3.region.clone(),
                    secret_key: reveal(&s3.secret_key).to_owned(),
                    tls_ca_path: s3.ca_chain.is_some().then_some(S3_CA_PATH),
                },
                wal: Wal { path: WAL_PATH },
            },
        },
    }
}

fn ring() -> Ring {
    Ring { kvstore: kvstore() }
}

fn kvstore() -> KvStore {
    KvStore { store: "memberlist" }
}

/// All of them, whatever is on in front: turning one on must not restart the workers.
fn receivers(tls: bool) -> Receivers {
    let on = |protocol| Endpoint {
        endpoint: format!("0.0.0.0:{}", tempo::receiver_port(protocol)),
        tls: tls.then_some(ReceiverTls { ca_file: CA_PATH, cert_file: CERTIFICATE_PATH, key_file: KEY_PATH }),
    };
    Receivers {
        jaeger: Protocols {
            protocols: Jaeger { grpc: on(Protocol::JaegerGrpc), thrift_http: on(Protocol::JaegerThriftHttp) },
        },
        otlp: Protocols { protocols: Otlp { grpc: on(Protocol::OtlpGrpc), http: on(Protocol::OtlpHttp) } },
        zipkin: on(Protocol::Zipkin),
    }
}

/// Clients may present a certificate, and one that they present must be right. nginx presents none.
fn server_tls() -> ServerTls {
    ServerTls {
        cert_file: CERTIFICATE_PATH,
        client_auth_type: "VerifyClientCertIfGiven",
        client_ca_file: CA_PATH,
        key_file: KEY_PATH,
    }
}

fn grpc_client(d: &Deployment) -> Option<GrpcClient> {
    Some(GrpcClient { grpc_client_config: client_tls(d)? })
}

/// How workers speak to each other, if they do it over TLS.
///
/// They dial addresses that the ring gives them, which no certificate names. Since all of them present the same
/// certificate, one of the names in it does for all: not any name that workers have, because one that has just
/// come is not in the certificate yet.
fn client_tls(d: &Deployment) -> Option<ClientTls> {
    let certified = d.tls.in_use()?;
    let workers = d.worker_hosts().into_iter().filter(Host::is_name).map(|host| host.to_string());
    let named = workers.filter(|name| certified.names.contains(name)).min();
    Some(ClientTls {
        tls_ca_path: CA_PATH,
        tls_cert_path: CERTIFICATE_PATH,
        tls_enabled: true,
        tls_key_path: KEY_PATH,
        tls_server_name: named.unwrap_or_else(|| d.app_host.to_string()),
    })
}

fn replication_factor(d: &Deployment) -> usize {
    if d.hosts(Role::Ingester).len() >= REPLICATION { REPLICATION } else { 1 }
}

/// Sorted as texts, which is how they have always been published.
fn join_members(d: &Deployment) -> Vec<String> {
    let mut members: Vec<String> =
        d.worker_hosts().iter().map(|host| format!("{host}:{}", tempo::MEMBERLIST_PORT)).collect();
    members.sort();
    members
}

/// Where queriers fetch their work: next door if every one of them has a frontend there, else at the service in front
/// of an application of frontends, whose name is that of its units without the first label.
fn frontend_address(d: &Deployment) -> String {
    let frontends = d.hosts(Role::QueryFrontend);
    let queriers = d.hosts(Role::Querier);
    let first = frontends.iter().min_by_key(ToString::to_string).map(Host::parent);
    let host = match first {
        Some(service) if queriers.is_empty() || !queriers.is_subset(&frontends) => service.to_string(),
        _ => "localhost".to_owned(),
    };
    format!("{host}:{}", tempo::GRPC_PORT)
}
