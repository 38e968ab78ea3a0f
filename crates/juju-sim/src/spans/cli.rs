//! The command line of both ends: arguments for `clap` and what they run.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::otlp::Encoding;
use super::{
    FetchConfig, Protocol, SendConfig, SendError, Sink, SinkConfig, SinkError, SteadyConfig, TlsError, fetch,
    send, steady,
};

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines to read.
    #[default]
    Text,
    /// One JSON document on a line of its own.
    Json,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The Tempo configuration file cannot be read.
    #[error("cannot read {path}: {cause}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The sink did not start.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// New certificates cannot be used.
    #[error("the certificates stay as they are: {0}")]
    Reload(TlsError),
    /// The certificates to trust cannot be read.
    #[error(transparent)]
    Trust(#[from] TlsError),
    /// The spans cannot be sent that way.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The terminal, or whatever stands for it, failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Receive spans and count them, in the place of Tempo.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "help texts are read in terminals")]
pub struct SinkArgs {
    /// Address to listen on [default: as in the Tempo configuration, or all addresses]
    #[arg(long)]
    bind: Option<IpAddr>,
    /// A receiver and its port, for example otlp_http=4318; repeatable
    #[arg(long = "receiver", value_name = "PROTOCOL=PORT", value_parser = receiver)]
    receivers: Vec<(Protocol, u16)>,
    /// Take receivers and API ports from this Tempo configuration
    #[arg(long, value_name = "FILE")]
    tempo_config: Option<PathBuf>,
    /// Tempo role that decides whether the configuration's receivers are opened; repeatable
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', default_value = "all")]
    roles: Vec<String>,
    /// Port of the HTTP API (/ready, /counts, /traces, /metrics)
    #[arg(long, value_name = "PORT")]
    api_port: Option<u16>,
    /// Port of the gRPC API, which answers every call with "unimplemented"
    #[arg(long, value_name = "PORT")]
    grpc_api_port: Option<u16>,
    /// Unix socket to make for whoever runs this: the HTTP API, POST /reload for new certificates, POST /end
    #[arg(long, value_name = "FILE")]
    control: Option<PathBuf>,
    /// How to print the listeners at the start and the counts at the end
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Send spans as an instrumented program would.
///
/// TLS is spoken where the URL says https, and with gRPC where --tls says so.
#[derive(Debug, Clone, Args)]
#[expect(clippy::doc_markdown, reason = "help texts are read in terminals")]
pub struct SendArgs {
    /// otlp_http, otlp_grpc, zipkin, jaeger_thrift_http or jaeger_grpc
    #[arg(long)]
    protocol: Protocol,
    /// Receiver as published over a tracing relation: http[s]://HOST:PORT, or HOST:PORT for gRPC
    #[arg(long)]
    url: String,
    #[command(flatten)]
    trust: Trust,
    /// How many spans to send
    #[arg(long, default_value_t = 10)]
    spans: u64,
    /// The most spans in one request
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Name of the service that the spans come from
    #[arg(long, default_value = "juju-sim")]
    service: String,
    /// A further attribute of the service; repeatable
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// Tenant to name in X-Scope-OrgID
    #[arg(long)]
    tenant: Option<String>,
    /// Seconds for all of it, with retries
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    timeout: f64,
    /// Make identifiers repeatable
    #[arg(long)]
    seed: Option<u64>,
    /// How long ago the spans are said to have been made, in seconds
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    age: f64,
    /// Compress request bodies
    #[arg(long)]
    gzip: bool,
    /// Send OTLP over HTTP as JSON
    #[arg(long)]
    json: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Send spans at an even rate to several receivers until told to stop, and say what failed and when.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("end").required(true))]
#[expect(clippy::doc_markdown, reason = "help texts are read in terminals")]
pub struct SteadyArgs {
    /// A receiver, for example otlp_http=https://HOST:4318 or otlp_grpc=HOST:4317; repeatable
    #[arg(long = "to", value_name = "PROTOCOL=URL", value_parser = destination, required = true)]
    receivers: Vec<(Protocol, String)>,
    #[command(flatten)]
    trust: Trust,
    /// Spans in a second to each receiver
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Seconds after which to stop
    #[arg(long, value_name = "SECONDS", value_parser = seconds, group = "end")]
    duration: Option<f64>,
    /// Stop at SIGTERM or SIGINT
    #[arg(long, group = "end")]
    until_stopped: bool,
    /// Requests that share a connection
    #[arg(long, value_name = "REQUESTS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    per_connection: u32,
    /// Seconds for each span, with retries
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    patience: f64,
    /// Also try each receiver that has TLS without it, at the same rate, and count how often it takes that
    #[arg(long)]
    probe_plain: bool,
    /// Name of the service that the spans come from
    #[arg(long, default_value = "juju-sim")]
    service: String,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Ask an HTTP API, and print the answers.
#[derive(Debug, Clone, Args)]
pub struct FetchArgs {
    /// http[s]://HOST[:PORT]/PATH; repeatable
    #[arg(required = true)]
    urls: Vec<String>,
    /// Certificates to trust, PEM; needed for https
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Seconds for each answer
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    timeout: f64,
    /// How to print the answers
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What to trust.
#[derive(Debug, Clone, Args)]
struct Trust {
    /// Speak TLS also where the URL has no scheme, as with gRPC
    #[arg(long)]
    tls: bool,
    /// Certificates to trust, PEM; needed for TLS
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl SinkArgs {
    /// The configuration that the arguments describe: the Tempo configuration, if one is named, with the other
    /// arguments laid over it.
    ///
    /// # Errors
    /// The Tempo configuration cannot be read or honoured.
    pub fn config(&self) -> Result<SinkConfig, CliError> {
        let mut config = match &self.tempo_config {
            None => SinkConfig::default(),
            Some(path) => {
                let yaml = std::fs::read_to_string(path)
                    .map_err(|cause| CliError::Read { path: path.clone(), cause })?;
                SinkConfig::from_tempo_config(&yaml, &self.roles)?
            }
        };
        config.bind = self.bind.unwrap_or(config.bind);
        config.receivers.extend(self.receivers.iter().copied());
        config.api_port = self.api_port.or(config.api_port);
        config.grpc_api_port = self.grpc_api_port.or(config.grpc_api_port);
        config.control.clone_from(&self.control);
        Ok(config)
    }

    /// Receives until the process is asked to end by SIGTERM, SIGINT or at its control socket. Prints where it
    /// listens, and at the end what arrived. SIGHUP makes it read its certificates anew.
    ///
    /// # Errors
    /// The sink cannot start, or the output cannot be written.
    pub async fn run(self) -> Result<ExitCode, CliError> {
        // Before the first line of output, so that whoever reads that line may end this process in good order.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let sink = Sink::start(self.config()?).await?;
        let listening: BTreeMap<&str, String> =
            sink.addresses().map(|(name, address)| (name, address.to_string())).collect();
        print(self.format, &serde_json::json!({ "listening": listening }), |out| {
            listening.iter().try_for_each(|(name, address)| writeln!(out, "{name:<20} listens on {address}"))
        })?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                () = sink.asked_to_end() => break,
                _ = hangup.recv() => if let Err(error) = sink.reload_certificates() {
                    eprintln!("{}", CliError::Reload(error));
                },
            }
        }
        let counts = sink.shutdown().await;
        print(self.format, &serde_json::json!({ "counts": counts }), |out| {
            counts.iter().try_for_each(|(protocol, counts)| {
                let super::ProtocolCounts { requests, spans, invalid, .. } = counts;
                writeln!(
                    out,
                    "{protocol:<20} {spans} spans in {requests} requests, {invalid} of them invalid"
                )
            })
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl SendArgs {
    /// The configuration that the arguments describe.
    pub fn config(&self) -> SendConfig {
        SendConfig {
            spans: self.spans,
            batch: usize::try_from(self.batch).unwrap_or(usize::MAX),
            service_name: self.service.clone(),
            resource: self.attributes.iter().cloned().collect(),
            tenant: self.tenant.clone(),
            timeout: Duration::from_secs_f64(self.timeout),
            seed: self.seed,
            age: Duration::from_secs_f64(self.age),
            gzip: self.gzip,
            encoding: if self.json { Encoding::Json } else { Encoding::Protobuf },
            tls: self.trust.tls,
            ca_file: self.trust.ca_file.clone(),
            ..SendConfig::new(self.protocol, self.url.as_str())
        }
    }

    /// Sends, and prints what became of it. The exit code is 0 only if every span was accepted.
    ///
    /// # Errors
    /// The URL or the tenant cannot be used, or the output cannot be written.
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let sent = send(self.config()).await?;
        print(self.format, &sent, |out| {
            writeln!(
                out,
                "{} of {} spans accepted at {} by {} ({} requests)",
                sent.accepted,
                sent.accepted + sent.failed,
                sent.url,
                sent.protocol,
                sent.requests
            )?;
            sent.errors.iter().try_for_each(|error| writeln!(out, "  {error}"))
        })?;
        Ok(if sent.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl SteadyArgs {
    /// The configuration that the arguments describe.
    pub fn config(&self) -> SteadyConfig {
        SteadyConfig {
            rate: self.rate,
            tls: self.trust.tls,
            ca_file: self.trust.ca_file.clone(),
            service_name: self.service.clone(),
            requests_per_connection: self.per_connection,
            patience: Duration::from_secs_f64(self.patience),
            probe_plain: self.probe_plain,
            ..SteadyConfig::new(self.receivers.iter().cloned().collect())
        }
    }

    /// Sends until it is time to stop, and prints what became of it. The exit code is 0 only if every span was
    /// accepted, and no plain text.
    ///
    /// # Errors
    /// A URL or the certificates cannot be used, or the output cannot be written.
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let over = async {
            match self.duration {
                Some(seconds) => tokio::time::sleep(Duration::from_secs_f64(seconds)).await,
                None => std::future::pending().await,
            }
        };
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = over => {}
            }
        };
        let sent = steady(self.config(), stop).await?;
        print(self.format, &sent, |out| {
            for (protocol, counts) in &sent.protocols {
                let super::SteadyCounts {
                    accepted, failed, requests, connections, troubles, plain_text, ..
                } = counts;
                writeln!(
                    out,
                    "{protocol:<20} {accepted} accepted, {failed} failed ({requests} requests, {connections} connections)"
                )?;
                if let Some(super::PlainText { tries, accepted, .. }) = plain_text {
                    writeln!(out, "  plain text: {accepted} of {tries} accepted")?;
                }
                for super::Trouble { at, reason } in troubles {
                    writeln!(out, "  {}.{:03} {reason}", at / 1000, at % 1000)?;
                }
            }
            Ok(())
        })?;
        Ok(if sent.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl FetchArgs {
    /// The configuration that the arguments describe.
    pub fn config(&self) -> FetchConfig {
        let (urls, ca_file) = (self.urls.clone(), self.ca_file.clone());
        FetchConfig { urls, ca_file, timeout: Duration::from_secs_f64(self.timeout) }
    }

    /// Asks, and prints the answers. The exit code is 0 only if every answer is a good one.
    ///
    /// # Errors
    /// The certificates cannot be used, or the output cannot be written.
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let fetched = fetch(&self.config()).await?;
        print(self.format, &fetched, |out| {
            fetched.iter().try_for_each(|one| match one.status {
                0 => writeln!(out, "{}: {}", one.url, one.error),
                200..300 => writeln!(out, "{}", one.body.trim_end()),
                status => writeln!(out, "{}: {status}: {}", one.url, one.body.trim_end()),
            })
        })?;
        let good = fetched.iter().all(super::Fetched::is_success);
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(
    format: Format,
    value: &impl Serialize,
    text: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
) -> Result<(), CliError> {
    let mut out = Vec::new();
    match format {
        Format::Text => text(&mut out)?,
        Format::Json => {
            serde_json::to_writer(&mut out, value).map_err(io::Error::from)?;
            out.push(b'\n');
        }
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(&out)?;
    stdout.flush()?;
    Ok(())
}

fn receiver(text: &str) -> Result<(Protocol, u16), String> {
    let (protocol, port) = attribute(text)?;
    let protocol = protocol.parse().map_err(|error: super::UnknownProtocol| error.to_string())?;
    Ok((protocol, port.parse().map_err(|error| format!("port {port:?}: {error}"))?))
}

fn destination(text: &str) -> Result<(Protocol, String), String> {
    let (protocol, url) = attribute(text)?;
    Ok((protocol.parse().map_err(|error: super::UnknownProtocol| error.to_string())?, url))
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected two parts with = between them")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("expected 0 to 86400 seconds".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct SinkCommand {
        #[command(flatten)]
        args: SinkArgs,
    }

    #[derive(Parser)]
    struct SendCommand {
        #[command(flatten)]
        args: SendArgs,
    }

    #[test]
    fn arguments_lie_over_the_tempo_configuration() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "{server: {http_listen_port: 3200, grpc_listen_port: 9096},
              distributor: {receivers: {zipkin: {endpoint: '0.0.0.0:9411'}}}}",
        )
        .unwrap();
        let path = file.path().to_str().unwrap();
        let config = |more: &[&str]| {
            let words = ["sink", "--tempo-config", path].into_iter().chain(more.iter().copied());
            SinkCommand::parse_from(words).args.config().unwrap()
        };
        let plain = config(&[]);
        assert_eq!(plain.receivers, BTreeMap::from([(Protocol::Zipkin, 9411)]));
        assert_eq!((plain.api_port, plain.grpc_api_port), (Some(3200), Some(9096)));
        assert_eq!(config(&["--role", "querier,ingester"]).receivers, BTreeMap::new());
        let more = config(&["--receiver", "otlp_http=1", "--api-port", "2", "--bind", "127.0.0.1"]);
        assert_eq!(more.receivers, BTreeMap::from([(Protocol::OtlpHttp, 1), (Protocol::Zipkin, 9411)]));
        assert_eq!((more.api_port, more.bind.is_loopback()), (Some(2), true));
    }

    #[test]
    fn send_arguments_have_defaults_and_are_checked() {
        let parse = |words: &str| {
            SendCommand::try_parse_from(words.split_whitespace()).map(|command| command.args.config())
        };
        let config =
            parse("send --protocol otlp_http --url http://h:1 --attribute a=b=c --timeout 0.5").unwrap();
        let expected = SendConfig {
            resource: BTreeMap::from([("a".to_owned(), "b=c".to_owned())]),
            timeout: Duration::from_millis(500),
            ..SendConfig::new(Protocol::OtlpHttp, "http://h:1")
        };
        assert_eq!(config, expected);
        for wrong in ["--batch 0", "--timeout -1", "--timeout NaN", "--attribute a"] {
            assert!(parse(&format!("send --protocol zipkin --url x {wrong}")).is_err(), "{wrong}");
        }
        assert!(parse("send --protocol opencensus --url x").is_err());
    }

    #[derive(Parser)]
    struct SteadyCommand {
        #[command(flatten)]
        args: SteadyArgs,
    }

    #[test]
    fn steady_sending_has_receivers_and_an_end() {
        let parse = |words: &str| {
            SteadyCommand::try_parse_from(words.split_whitespace()).map(|command| command.args.config())
        };
        let config = parse(
            "steady --to otlp_grpc=h:1 --to zipkin=https://h:2 --until-stopped --rate 7 --tls --ca-file /ca --probe-plain",
        )
        .unwrap();
        let receivers = [(Protocol::OtlpGrpc, "h:1"), (Protocol::Zipkin, "https://h:2")];
        let expected = SteadyConfig {
            rate: 7,
            tls: true,
            ca_file: Some("/ca".into()),
            probe_plain: true,
            ..SteadyConfig::new(receivers.map(|(protocol, url)| (protocol, url.to_owned())).into())
        };
        assert_eq!(config, expected);
        assert!(parse("steady --to zipkin=http://h:1 --duration 0.5").is_ok());
        for wrong in [
            "--to zipkin=http://h:1",
            "--duration 1",
            "--to zipkin --duration 1",
            "--to smoke=h:1 --duration 1",
            "--to zipkin=h --duration 1 --until-stopped",
        ] {
            assert!(parse(&format!("steady {wrong}")).is_err(), "{wrong}");
        }
    }
}
