//! The sending end at an even rate, for as long as somebody changes what stands between the ends.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use super::send::Exporter;
use super::tls::Trust;
use super::{Protocol, SendConfig, SendError};

/// The service from which the spans of the plain-text probe come. A sink that counts any has taken plain text.
pub const PROBE_SERVICE: &str = "plain-text-probe";

/// What to send all the time, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct SteadyConfig {
    /// The receivers by protocol, as for [`SendConfig::url`].
    pub receivers: BTreeMap<Protocol, String>,
    /// Spans in a second to each receiver, one in each request.
    pub rate: u32,
    /// Whether URLs without a scheme mean TLS.
    pub tls: bool,
    /// The certificates to trust, PEM.
    pub ca_file: Option<PathBuf>,
    /// The name of the service that the spans come from.
    pub service_name: String,
    /// Requests that share a connection; 1 is a connection for each. Only a new connection sees a new certificate.
    pub requests_per_connection: u32,
    /// How long a span may take, with retries, until it has failed.
    pub patience: Duration,
    /// Whether each receiver with TLS is also tried without, at the same rate. Each try is a connection and has no
    /// second attempt.
    pub probe_plain: bool,
}

impl SteadyConfig {
    /// Twenty spans a second, five in a connection, each with five seconds; no probe.
    pub fn new(receivers: BTreeMap<Protocol, String>) -> Self {
        Self {
            receivers,
            rate: 20,
            tls: false,
            ca_file: None,
            service_name: "juju-sim".to_owned(),
            requests_per_connection: 5,
            patience: Duration::from_secs(5),
            probe_plain: false,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steady {
    /// By protocol.
    pub protocols: BTreeMap<Protocol, SteadyCounts>,
}

/// What became of the spans for one receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SteadyCounts {
    /// Spans that it took.
    pub accepted: u64,
    /// Spans that it refused, or that it could not be given in time.
    pub failed: u64,
    /// Attempts, with the retries.
    pub requests: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Attempts that failed, the first 16, also those that a retry mended.
    pub troubles: Vec<Trouble>,
    /// Identifiers of the accepted traces, the first 1000, as 32 hexadecimal digits.
    #[serde(default)]
    pub trace_ids: Vec<String>,
    /// The tries without TLS; absent where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_text: Option<PlainText>,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// What went wrong.
    pub reason: String,
}

/// Tries to give a receiver with TLS plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainText {
    /// How many.
    pub tries: u64,
    /// How many of them the receiver took.
    pub accepted: u64,
    /// When it took the first ones, at most 16, in milliseconds since 1970.
    pub at: Vec<u64>,
}

impl Steady {
    /// Whether every span was accepted, and no plain text.
    pub fn is_clean(&self) -> bool {
        self.protocols.values().all(|counts| {
            counts.failed == 0 && counts.plain_text.as_ref().is_none_or(|plain| plain.accepted == 0)
        })
    }
}

/// Sends to all receivers at once until `stop` returns, and says what became of the spans.
///
/// Each receiver has a sender of its own, with one request at a time: while one takes long, further ones are not made
/// up for. A span that has begun is sent to its end.
///
/// # Errors
/// The configuration cannot be used. Whatever happens on the network is in [`Steady`].
pub async fn steady(config: SteadyConfig, stop: impl Future<Output = ()>) -> Result<Steady, SendError> {
    let trust = config.ca_file.as_deref().map(Trust::load).transpose()?;
    let mut exporters = Vec::new();
    for (&protocol, url) in &config.receivers {
        let exporter = |service_name: &str| {
            let config = SendConfig {
                tls: config.tls,
                service_name: service_name.to_owned(),
                ..SendConfig::new(protocol, url.as_str())
            };
            Exporter::new(config, trust.as_ref())
        };
        let encrypted = exporter(&config.service_name)?;
        let probe = if config.probe_plain && encrypted.is_encrypted() {
            Some(exporter(PROBE_SERVICE)?.plain()?)
        } else {
            None
        };
        exporters.push((protocol, encrypted, probe));
    }
    let stopping = watch::Sender::new(false);
    let mut senders = JoinSet::new();
    for (protocol, exporter, probe) in exporters {
        let (config, stopping) = (config.clone(), stopping.subscribe());
        senders.spawn(async move {
            let probing = async {
                match probe {
                    Some(probe) => Some(try_plain(probe, &config, stopping.clone()).await),
                    None => None,
                }
            };
            let (mut counts, plain_text) =
                tokio::join!(send_steadily(exporter, &config, stopping.clone()), probing);
            counts.plain_text = plain_text;
            (protocol, counts)
        });
    }
    stop.await;
    stopping.send_replace(true);
    Ok(Steady { protocols: senders.join_all().await.into_iter().collect() })
}

async fn send_steadily(
    mut exporter: Exporter,
    config: &SteadyConfig,
    mut stopping: watch::Receiver<bool>,
) -> SteadyCounts {
    let mut generator = exporter.generator();
    let mut beat = beat(config.rate);
    let mut on_this_connection = 0;
    while next(&mut beat, &mut stopping).await {
        if on_this_connection >= config.requests_per_connection {
            exporter.disconnect();
            on_this_connection = 0;
        }
        on_this_connection += 1;
        exporter.within(config.patience);
        exporter.export(&generator.batch(1)).await;
    }
    let sent = exporter.sent();
    let trouble = |(at, reason): &(SystemTime, String)| Trouble { at: millis(*at), reason: reason.clone() };
    SteadyCounts {
        accepted: sent.accepted,
        failed: sent.failed,
        requests: sent.requests,
        connections: sent.connections,
        troubles: exporter.troubles().iter().map(trouble).collect(),
        trace_ids: sent.trace_ids.clone(),
        plain_text: None,
    }
}

async fn try_plain(
    mut probe: Exporter,
    config: &SteadyConfig,
    mut stopping: watch::Receiver<bool>,
) -> PlainText {
    const MAX_TIMES: usize = 16;
    let mut generator = probe.generator();
    let mut beat = beat(config.rate);
    let mut plain = PlainText::default();
    while next(&mut beat, &mut stopping).await {
        probe.disconnect();
        probe.within(config.patience);
        plain.tries += 1;
        if probe.probe(&generator.batch(1)).await {
            plain.accepted += 1;
            if plain.at.len() < MAX_TIMES {
                plain.at.push(millis(SystemTime::now()));
            }
        }
    }
    plain
}

/// Ticks `rate` times a second.
fn beat(rate: u32) -> Interval {
    let mut beat = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    beat
}

/// Waits for the next tick; `false` when there is to be none.
async fn next(beat: &mut Interval, stopping: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        // A sender that is gone wants nothing more either.
        _ = stopping.wait_for(|stop| *stop) => false,
        _ = beat.tick() => true,
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
