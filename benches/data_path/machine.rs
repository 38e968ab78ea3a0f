//! Processors: who runs where, and how long.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, gettid};

/// The processors that this program may use.
pub(crate) fn cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect())
}

/// Keeps this thread, and whatever it starts, on one processor.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("staying on processor {core}"))
}

/// The file that counts how long this thread ran.
pub(crate) fn own_clock() -> String {
    format!("/proc/self/task/{}/schedstat", gettid())
}

/// How long a thread ran so far, by its file; nothing if it has ended.
pub(crate) fn ran(clock: &str) -> Duration {
    let text = fs::read_to_string(clock).unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// What the measurements were taken on, in one line.
pub(crate) fn describe() -> String {
    let file = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu = file("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let kernel = file("/proc/sys/kernel/osrelease");
    let load = file("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("?");
    let count = cpu.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} × {model}, Linux {}, load average {load}", kernel.trim())
}
