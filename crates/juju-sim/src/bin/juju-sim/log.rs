//! The model's log: in memory for `debug-log`, in a file for afterwards, on the terminal for a model in the foreground.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use juju_sim::client::LogEntry;

/// Lines kept in memory.
const KEPT: usize = 200_000;

/// Levels from the least.
pub(crate) const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

/// Whether a line of this level is at least as grave as `least`.
pub(crate) fn at_least(level: &str, least: &str) -> bool {
    let rank = |level: &str| LEVELS.iter().position(|known| known.eq_ignore_ascii_case(level)).unwrap_or(2);
    rank(level) >= rank(least)
}

/// The log.
pub(crate) struct Log {
    began: Instant,
    terminal: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    next: u64,
    entries: VecDeque<LogEntry>,
    file: Option<File>,
}

impl Log {
    /// A log that is also written to a file, and to standard output if there is somebody to read it.
    pub(crate) fn new(file: &Path, terminal: bool) -> Self {
        let inner = Inner { next: 1, entries: VecDeque::new(), file: File::create(file).ok() };
        Self { began: Instant::now(), terminal, inner: Mutex::new(inner) }
    }

    /// Adds one line.
    pub(crate) fn add(&self, entity: &str, level: &str, module: &str, message: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = LogEntry {
            number: inner.next,
            seconds: self.began.elapsed().as_secs_f64(),
            entity: entity.to_owned(),
            level: level.to_owned(),
            module: module.to_owned(),
            message: message.to_owned(),
        };
        inner.next += 1;
        let line = format(&entry);
        if let Some(file) = &mut inner.file {
            let _ = writeln!(file, "{line}");
        }
        if self.terminal && at_least(level, "INFO") {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        if inner.entries.len() == KEPT {
            inner.entries.pop_front();
        }
        inner.entries.push_back(entry);
    }

    /// Lines after a number, of one unit or application, from a level on; the last `limit` of them (0: all).
    pub(crate) fn select(
        &self,
        after: u64,
        include: Option<&str>,
        level: &str,
        limit: usize,
    ) -> Vec<LogEntry> {
        let include = include.map(|name| name.replace('/', "-"));
        let meant = |entity: &str| {
            include.as_deref().is_none_or(|name| {
                let rest = entity.strip_prefix("unit-").and_then(|entity| entity.strip_prefix(name));
                entity == name
                    || rest.is_some_and(|rest| {
                        rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok())
                    })
            })
        };
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            |entry: &&LogEntry| entry.number > after && at_least(&entry.level, level) && meant(&entry.entity);
        let found: Vec<_> = inner.entries.iter().filter(fits).cloned().collect();
        let skip = if limit == 0 { 0 } else { found.len().saturating_sub(limit) };
        found.into_iter().skip(skip).collect()
    }
}

/// One line as `juju debug-log` prints it, with the model's age instead of the time of day.
pub(crate) fn format(entry: &LogEntry) -> String {
    format!("{}: {:>8.3} {} {} {}", entry.entity, entry.seconds, entry.level, entry.module, entry.message)
}
