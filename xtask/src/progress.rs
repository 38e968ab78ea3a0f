//! What is being done now, and for how long: a moving line on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// One step that takes a while. Ends with [`Step::done`]; dropped without it, the step is shown as failed.
pub(crate) struct Step {
    what: String,
    since: Instant,
    bar: Option<ProgressBar>,
    ended: bool,
}

impl Step {
    /// Announces a step, such as `nginx 1.28.3: compiling`.
    pub(crate) fn begin(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.set_message(what.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("{what} ...");
        }
        Self { what, since: Instant::now(), bar, ended: false }
    }

    /// Shows the step as done, with the time it took.
    pub(crate) fn done(mut self) {
        self.end("done");
    }

    fn end(&mut self, how: &str) {
        self.ended = true;
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{}: {how} in {}", self.what, seconds(self.since.elapsed()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            self.end("failed");
        }
    }
}

/// A duration as people read it: `3.2 s`, `2 min 05 s`.
pub(crate) fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    if whole < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(3_240)), "3.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
