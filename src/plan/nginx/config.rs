//! The part of nginx's configuration language that this charm speaks, as types, and their text.
//!
//! The types say what may vary; what never does is written once, in [`Config`]'s `Display`, with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::net::IpAddr;

use crate::deployment::address::{Host, Scheme};

/// Where copies of requests go that are made for the sake of reading them whole.
pub(super) const WHOLE_PATH: &str = "/.whole";

/// A whole configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    /// Who is asked for the addresses of upstream names.
    pub(super) nameserver: Option<IpAddr>,
    /// What requests are passed on to, by name.
    pub(super) upstreams: BTreeMap<String, Upstream>,
    /// What is listened on, in the order written.
    pub(super) servers: Vec<Server>,
    /// TLS, for every server that is reached from outside of the pod and for the workers behind them.
    pub(super) tls: Option<Tls>,
}

/// TLS in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    /// The file with the certificates that are presented, and with the key of the first of them.
    pub(super) pair: &'static str,
    /// The name that workers are asked for. It is in their certificate.
    pub(super) name: Host,
}

/// Several equal servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upstream {
    /// Where they are. Never empty.
    pub(super) hosts: BTreeSet<Host>,
    /// Their port.
    pub(super) port: u16,
    /// How many idle connections each process keeps to them; `None` for a connection of its own for each request.
    pub(super) keepalive: Option<u32>,
}

/// Something that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Addresses and ports.
    pub(super) listen: Vec<String>,
    /// Names that it answers to; decides nothing, since no two servers share a port.
    pub(super) name: Host,
    /// What is spoken.
    pub(super) kind: Kind,
    /// What is done with requests.
    pub(super) locations: BTreeMap<Path, Action>,
}

/// What a server speaks, and so which limits and headers apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// HTTP/1.1, for one tenant.
    Http,
    /// HTTP/2, for one tenant.
    Grpc,
    /// HTTP/1.1, passed on to services that have tenants of their own, or none.
    Telemetry,
    /// Pages of nginx itself, for the pod only and so without TLS.
    Own,
}

/// Which requests an action is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Path {
    /// This path and no other.
    Exact(String),
    /// Everything below this path.
    Below(String),
    /// No path: only what another location hands over under this name.
    Named(String),
}

/// What is done with a gRPC request that nobody has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It has failed.
    Never,
    /// It goes to the location of this name.
    At(String),
    /// It comes from there, and has failed now.
    Last,
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Passed on, as it is, over HTTP/2.
    Grpc {
        /// To where.
        upstream: String,
        /// Whether and how a request is sent again where a connection breaks, for which it is read to its end first. Only
        /// for services that answer one message with one message.
        again: Again,
    },
    /// An empty answer, for requests that nginx makes itself.
    Nothing,
    /// Passed on, as it is, over HTTP/1.1.
    Http {
        /// To where.
        upstream: String,
    },
    /// Passed on with another path, to something that may be a whole web server with many names.
    Rewrite {
        /// To where.
        upstream: String,
        /// Whether with TLS.
        scheme: Scheme,
        /// What replaces the path of the location. Begins with `/`.
        path: String,
        /// The name that the other side knows itself by, for `Host` and TLS; as in a URL.
        authority: String,
        /// The host in it.
        host: Host,
    },
    /// Counters of connections and requests.
    StubStatus,
    /// A file, as text that Prometheus reads.
    Metrics {
        /// Its absolute path.
        file: &'static str,
    },
}

/// How a request that went wrong is logged: the well-known form, then where it came in and who was asked. A dashboard reads
/// status and port out of it.
const FAILED: &str = concat!(
    r#"'$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
    " port=$server_port upstream=$upstream_addr'"
);

impl Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Block::new(f);
        out.line("worker_processes", &["5"])?;
        // Pebble collects standard error, and forwards it to Loki.
        out.line("error_log", &["/dev/stderr", "error"])?;
        // nginx may run without rights to /run and /var/cache: whatever it writes is below /tmp.
        out.line("pid", &["/tmp/nginx.pid"])?;
        // Two per connection.
        out.line("worker_rlimit_nofile", &["8192"])?;
        out.block("events", &[], |out| out.line("worker_connections", &["4096"]))?;
        out.block("http", &[], |out| {
            self.http(out)?;
            for (name, upstream) in &self.upstreams {
                upstream.write(name, out)?;
            }
            self.servers.iter().try_for_each(|server| server.write(self.tls.is_some(), out))
        })
    }
}

impl Config {
    fn http(&self, out: &mut Block<'_, '_>) -> fmt::Result {
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            out.line(&format!("{kind}_temp_path"), &[&format!("/tmp/{kind}_temp")])?;
        }
        out.line("default_type", &["application/octet-stream"])?;
        // A line per stored span batch would drown everything else: only what went wrong is logged.
        out.block("map", &["$status", "$loggable"], |out| {
            out.line("~^[23]", &["0"])?;
            out.line("default", &["1"])
        })?;
        out.line("log_format", &["failed", FAILED])?;
        out.line("access_log", &["/dev/stderr", "failed", "if=$loggable"])?;
        // Tempo has tenants; a request that names none belongs to this one.
        out.block("map", &["$http_x_scope_orgid", "$ensured_x_scope_orgid"], |out| {
            out.line("default", &["$http_x_scope_orgid"])?;
            out.line("''", &["anonymous"])
        })?;
        out.line("sendfile", &["on"])?;
        out.line("tcp_nopush", &["on"])?;
        out.line("server_tokens", &["off"])?;
        if let Some(nameserver) = self.nameserver {
            // Kubernetes lets records live for half a minute, a pod that moved should be found sooner; and a name
            // that could not be looked up is tried again after that other time, not after its default of 30 s.
            out.line("resolver", &[&Host::Ip(nameserver).to_string(), "valid=5s"])?;
            out.line("resolver_timeout", &["2s"])?;
        }
        // Tempo has its own limits, and answers in its own words.
        out.line("client_max_body_size", &["0"])?;
        // Batches of spans stay in memory; a body of known length takes no more than its length.
        out.line("client_body_buffer_size", &["512k"])?;
        // A batch of usual size is read together with the headers before it. Connections that wait for a request hold no
        // such buffer.
        out.line("client_header_buffer_size", &["32k"])?;
        out.line("keepalive_requests", &["10000"])?;
        // With an empty Connection header the connection to the upstream stays open for the next request.
        out.line("proxy_http_version", &["1.1"])?;
        out.line("proxy_set_header", &["Connection", "''"])?;
        for module in ["proxy", "grpc"] {
            out.line(&format!("{module}_connect_timeout"), &["5s"])?;
            out.line(&format!("{module}_send_timeout"), &["300s"])?;
            out.line(&format!("{module}_read_timeout"), &["300s"])?;
            out.line(&format!("{module}_set_header"), &["X-Scope-OrgID", "$ensured_x_scope_orgid"])?;
            // A batch sent twice is stored once; one that is lost with its worker is lost. An answer that makes no sense
            // is, over HTTP/2, also how a worker refuses what came after it said that it would close the connection.
            out.line(
                &format!("{module}_next_upstream"),
                &["error", "timeout", "invalid_header", "non_idempotent"],
            )?;
            // Room for a worker that has just gone and for kept connections to others that went before it.
            out.line(&format!("{module}_next_upstream_tries"), &["5"])?;
            out.line(&format!("{module}_next_upstream_timeout"), &["30s"])?;
        }
        self.tls.as_ref().map_or(Ok(()), |tls| tls.write(out))
    }
}

impl Tls {
    fn write(&self, out: &mut Block<'_, '_>) -> fmt::Result {
        // One file for both: whenever nginx reads it, the key is that of the certificate.
        out.line("ssl_certificate", &[self.pair])?;
        out.line("ssl_certificate_key", &[self.pair])?;
        out.line("ssl_protocols", &["TLSv1.2", "TLSv1.3"])?;
        // Of TLS 1.2 only what keeps past traffic secret when the key is lost; of TLS 1.3 all is.
        out.line("ssl_ciphers", &["ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"])?;
        // Senders that connect anew for each batch are spared most of the handshake. nginx changes the keys of its
        // tickets by itself where the cache is shared.
        out.line("ssl_session_cache", &["shared:tls:10m"])?;
        out.line("ssl_session_timeout", &["1h"])?;
        out.line("ssl_session_tickets", &["on"])?;
        for module in ["proxy", "grpc"] {
            // Traffic to workers is encrypted, but who answers is not verified: nginx can only compare one name for
            // all workers, and they all present the same certificate, this unit's or another's of the application.
            out.line(&format!("{module}_ssl_verify"), &["off"])?;
            out.line(&format!("{module}_ssl_server_name"), &["on"])?;
            out.line(&format!("{module}_ssl_name"), &[&self.name.to_string()])?;
        }
        Ok(())
    }
}

impl Upstream {
    fn write(&self, name: &str, out: &mut Block<'_, '_>) -> fmt::Result {
        out.block("upstream", &[name], |out| {
            // Shared memory, which `resolve` needs; a server takes well under 1 KiB of it.
            let size = self.hosts.len().div_ceil(16) * 64;
            out.line("zone", &[&format!("{name}_zone"), &format!("{size}k")])?;
            self.servers(out)?;
            let Some(keepalive) = self.keepalive else { return Ok(()) };
            out.line("keepalive", &[&keepalive.to_string()])?;
            out.line("keepalive_requests", &["10000"])?;
            // Shorter than what the other side allows, so that it never closes a connection that is about to be used.
            out.line("keepalive_timeout", &["30s"])
        })
    }

    fn servers(&self, out: &mut Block<'_, '_>) -> fmt::Result {
        // A server that failed some times is left alone for ten seconds, so that a dead node costs few requests their
        // time. But a connection that was closed while it was idle is a failure too, and workers that restart together
        // would all be left alone: then the same ones are asked all the same. Of a single server nginx counts nothing.
        let ways: &[&[&str]] =
            if self.hosts.len() == 1 { &[&[]] } else { &[&["max_fails=3"], &["max_fails=0", "backup"]] };
        for way in ways {
            for host in &self.hosts {
                let server = format!("{host}:{}", self.port);
                // Pods change their addresses: names are looked up again and again, without a reload.
                let resolve: &[&str] = if host.is_name() { &["resolve"] } else { &[] };
                out.line("server", &[&[server.as_str()], *way, resolve].concat())?;
            }
        }
        Ok(())
    }
}

impl Server {
    fn write(&self, tls: bool, out: &mut Block<'_, '_>) -> fmt::Result {
        out.block("server", &[], |out| {
            for listen in &self.listen {
                if tls && self.kind != Kind::Own {
                    out.line("listen", &[listen, "ssl"])?;
                } else {
                    out.line("listen", &[listen])?;
                }
            }
            match self.kind {
                Kind::Grpc => {
                    out.line("http2", &["on"])?;
                    // A stream may be silent for as long as the other direction may.
                    out.line("client_body_timeout", &["300s"])?;
                }
                Kind::Own => out.line("access_log", &["off"])?,
                Kind::Http | Kind::Telemetry => {}
            }
            out.line("server_name", &[&self.name.to_string()])?;
            self.locations.iter().try_for_each(|(path, action)| action.write(path, tls, out))
        })
    }
}

impl Action {
    fn write(&self, path: &Path, tls: bool, out: &mut Block<'_, '_>) -> fmt::Result {
        let s = if tls { "s" } else { "" };
        let matching: &[&str] = match path {
            Path::Exact(path) => &["=", path],
            Path::Below(path) => &[path],
            Path::Named(name) => &[&format!("@{name}")],
        };
        out.block("location", matching, |out| match self {
            Self::Grpc { upstream, again } => {
                if let Again::At(name) = again {
                    // nginx never reads requests ahead for gRPC, but the copy that it makes for somebody else does. Without it,
                    // whatever has been sent on a connection that turns out to be closed is answered with 502.
                    out.line("mirror", &[WHOLE_PATH])?;
                    // nginx 1.28 sends a request again with the number that its stream had on the connection that broke,
                    // which the next worker refuses. Elsewhere it is written anew, with the right number.
                    out.line("error_page", &["502", "504", "=", &format!("@{name}")])?;
                }
                out.line("grpc_pass", &[&format!("grpc{s}://{upstream}")])
            }
            Self::Nothing => {
                out.line("internal", &[])?;
                out.line("return", &["204"])
            }
            Self::Http { upstream } => out.line("proxy_pass", &[&format!("http{s}://{upstream}")]),
            Self::Rewrite { upstream, scheme, path, authority, host } => {
                // Headers that are set here replace those set above, the tenant among them: what the sender says of
                // tenants is passed on, and nothing is added.
                out.line("proxy_set_header", &["Connection", "''"])?;
                out.line("proxy_set_header", &["Host", authority])?;
                if *scheme == Scheme::Https {
                    out.line("proxy_ssl_server_name", &["on"])?;
                    out.line("proxy_ssl_name", &[&host.to_string()])?;
                }
                out.line("proxy_pass", &[&format!("{scheme}://{upstream}{path}")])
            }
            Self::StubStatus => out.line("stub_status", &[]),
            Self::Metrics { file } => {
                out.block("types", &[], |_| Ok(()))?;
                out.line("default_type", &["'text/plain; version=0.0.4; charset=utf-8'"])?;
                out.line("alias", &[file])
            }
        })
    }
}

/// Writes directives with the indentation of where they are.
struct Block<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    depth: usize,
}

impl<'a, 'f> Block<'a, 'f> {
    fn new(out: &'a mut fmt::Formatter<'f>) -> Self {
        Self { out, depth: 0 }
    }

    fn line(&mut self, name: &str, args: &[&str]) -> fmt::Result {
        self.head(name, args)?;
        self.out.write_str(";\n")
    }

    fn block(
        &mut self,
        name: &str,
        args: &[&str],
        content: impl FnOnce(&mut Block<'_, '_>) -> fmt::Result,
    ) -> fmt::Result {
        self.head(name, args)?;
        self.out.write_str(" {\n")?;
        content(&mut Block { out: self.out, depth: self.depth + 1 })?;
        writeln!(self.out, "{:indent$}}}", "", indent = self.depth * 4)
    }

    /// Everything that comes from other charms is a [`Host`] or a URL by now, whose characters mean nothing to nginx.
    fn head(&mut self, name: &str, args: &[&str]) -> fmt::Result {
        write!(self.out, "{:indent$}{name}", "", indent = self.depth * 4)?;
        args.iter().try_for_each(|arg| write!(self.out, " {arg}"))
    }
}
