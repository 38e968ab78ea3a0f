//! Many requests over connections that stay open, while workers and nginx do what makes connections end.
//!
//! A request that a worker had in hand when it was killed is lost with it. Any other error of nginx is one too many: the
//! connection was idle, or about to be closed, and nginx could have known or could have tried another one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::backend::{Ending, Ledger, Manner, Workers};
use crate::load::{Connection, Protocol};
use crate::proxy::Proxy;
use crate::{config, names};

/// Connections of requirers to nginx, for each protocol.
const CONNECTIONS: usize = 48;
/// Bytes in a request.
const SIZE: usize = 2_000;
/// How often a requirer tries again after its connection was closed under a request, as exporters do.
const TRIES: usize = 5;

/// What goes on meanwhile.
#[derive(Clone, Copy, Debug)]
struct Phase {
    name: &'static str,
    workers: u8,
    idle: Option<Duration>,
    restarts: Option<Ending>,
    reloads: bool,
}

const PHASES: [Phase; 6] = [
    Phase { name: "workers stop", workers: 3, idle: None, restarts: Some(Ending::Graceful), reloads: false },
    Phase {
        name: "workers are killed",
        workers: 3,
        idle: None,
        restarts: Some(Ending::Abrupt),
        reloads: false,
    },
    Phase { name: "idle ends, 1 worker", workers: 1, idle: IDLE, restarts: None, reloads: false },
    Phase { name: "idle ends, 3 workers", workers: 3, idle: IDLE, restarts: None, reloads: false },
    Phase { name: "nginx reloads", workers: 3, idle: None, restarts: None, reloads: true },
    Phase { name: "all of it", workers: 3, idle: IDLE, restarts: Some(Ending::Abrupt), reloads: true },
];

/// After how long workers close idle connections: far below what nginx keeps them for, so that it happens often.
const IDLE: Option<Duration> = Some(Duration::from_millis(40));

/// What became of the requests of one phase.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) phase: &'static str,
    pub(crate) protocol: String,
    /// Requests.
    pub(crate) requests: u64,
    /// Those that were answered with success.
    pub(crate) ok: u64,
    /// Answers by status, other than success.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Answers of 5xx to requests that a killed worker had in hand.
    pub(crate) in_hand: u64,
    /// Answers of 5xx to others: what must not be.
    pub(crate) avoidable: u64,
    /// Requests that nginx closed the connection on; their sender tried again.
    pub(crate) reconnected: u64,
    /// Requests that workers took more than once.
    pub(crate) duplicates: usize,
    /// Seconds.
    pub(crate) seconds: f64,
}

/// Sends about so many requests, and says what became of them. `given` replaces the generated configuration.
pub(crate) fn run(
    nginx: &Path,
    requests: u64,
    given: Option<&str>,
    progress: impl Fn(&str),
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for phase in PHASES {
        progress(&format!("soak: {}", phase.name));
        let each = requests.div_ceil(PHASES.len() as u64 * 2);
        for protocol in [Protocol::Http, Protocol::Grpc] {
            rows.push(one(nginx, phase, protocol, each, given)?);
        }
    }
    Ok(rows)
}

fn one(nginx: &Path, phase: Phase, protocol: Protocol, requests: u64, given: Option<&str>) -> Result<Row> {
    let ledger = Arc::new(Ledger::new(usize::try_from(requests)?));
    let manner = Manner { idle: phase.idle, ledger: Some(ledger.clone()) };
    let workers = Workers::start(phase.workers, None, manner)?;
    let resolver = names::serve(crate::worker_names())?;
    let text = match given {
        Some(text) => text.to_owned(),
        None => config::generated(usize::from(phase.workers))?,
    };
    let proxy = Proxy::start(nginx, &text, resolver, &workers.ports)?;
    let address = proxy.address(protocol)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let from = Instant::now();
    let mut row = Row { phase: phase.name, protocol: protocol.to_string(), requests, ..Row::default() };
    runtime.block_on(async {
        let next = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for seed in 1..=CONNECTIONS as u64 {
            clients.spawn(client(protocol, address, next.clone(), requests, seed));
        }
        let mut tick = tokio::time::interval(Duration::from_millis(400));
        // Two workers are never away at the same time, however late this is.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn = 0;
        loop {
            tokio::select! {
                ended = clients.join_next() => {
                    let Some(ended) = ended else { return Ok(()) };
                    let (ok, reconnected, failures) = ended??;
                    row.ok += ok;
                    row.reconnected += reconnected;
                    for (number, what) in failures {
                        if what.starts_with('5') {
                            let excused = phase.restarts == Some(Ending::Abrupt) && ledger.was_in_hand(number);
                            *if excused { &mut row.in_hand } else { &mut row.avoidable } += 1;
                        }
                        *row.refused.entry(what).or_default() += 1;
                    }
                }
                _ = tick.tick() => {
                    turn += 1;
                    if let Some(ending) = phase.restarts {
                        // The next one ends when this one is back.
                        workers.restart(turn % usize::from(phase.workers), ending, Duration::from_millis(100))?;
                    }
                    if phase.reloads && turn % 2 == 0 {
                        proxy.reload()?;
                    }
                }
            }
        }
    })
    .map_err(|error: anyhow::Error| error.context(format!("{}: {}", phase.name, proxy.errors())))?;
    row.seconds = from.elapsed().as_secs_f64();
    row.duplicates = ledger.duplicates();
    if row.avoidable > 0 {
        eprintln!("{} over {protocol}: nginx says\n{}", phase.name, proxy.errors());
    }
    Ok(row)
}

/// How many succeeded, how many were sent again on another connection, and what became of the others.
type Ended = (u64, u64, Vec<(u64, String)>);

async fn client(
    protocol: Protocol,
    address: SocketAddr,
    next: Arc<AtomicU64>,
    requests: u64,
    seed: u64,
) -> Result<Ended> {
    let body = protocol.body(SIZE);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (mut ok, mut reconnected, mut failures) = (0, 0, Vec::new());
    let mut connection = Some(Connection::open(protocol, address).await?);
    'requests: loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= requests {
            return Ok((ok, reconnected, failures));
        }
        // Now and then nobody needs a connection for about as long as workers keep idle ones.
        if random.below(8) == 0 {
            tokio::time::sleep(Duration::from_millis(random.below(90))).await;
        }
        for _ in 0..TRIES {
            let mut open = match connection.take() {
                Some(open) => open,
                None => Connection::open(protocol, address).await?,
            };
            if !open.ready().await {
                continue;
            }
            let Ok(answer) = open.send(address, body.clone(), Some(number)).await else {
                reconnected += 1;
                continue;
            };
            connection = Some(open);
            if answer.ok {
                ok += 1;
            } else {
                failures.push((number, answer.status.as_u16().to_string()));
            }
            continue 'requests;
        }
        bail!("nginx closed {TRIES} connections one after the other");
    }
}

/// Numbers that look random and are the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
