//! A line on the terminal that says what a verb waits for, gone when it is done. Nothing where standard error is no terminal.

use std::{
    io::IsTerminal as _,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use indicatif::ProgressBar;
use juju_sim::client::{Client, ModelStatus};

/// How often the line turns, and how often a model is asked.
const TURN: Duration = Duration::from_millis(120);
const ASK: Duration = Duration::from_millis(500);

/// The line, as long as the value lives.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Ends who asks the model, by being dropped.
    watcher: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Says one thing.
    pub(crate) fn begin(text: &str) -> Self {
        // Draws on standard error, and not at all where that is no terminal.
        let bar = ProgressBar::new_spinner();
        bar.set_message(text.to_owned());
        bar.enable_steady_tick(TURN);
        Self { bar, watcher: None }
    }

    /// Says what a model still does.
    pub(crate) fn watch(model: &str) -> Self {
        let mut progress = Self::begin(&format!("waiting for model {model}"));
        if std::io::stderr().is_terminal() {
            let (sender, receiver) = channel();
            let (bar, client) = (progress.bar.clone(), Client::new(model));
            let ask = move || {
                while receiver.recv_timeout(ASK) == Err(RecvTimeoutError::Timeout) {
                    if let Ok(status) = client.status() {
                        bar.set_message(summary(&status));
                    }
                }
            };
            progress.watcher = Some((sender, thread::spawn(ask)));
        }
        progress
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((sender, watcher)) = self.watcher.take() {
            drop(sender);
            let _ = watcher.join();
        }
        self.bar.finish_and_clear();
    }
}

/// A model in one line: how many units are active, and what the first of the others does.
fn summary(status: &ModelStatus) -> String {
    let units: Vec<_> = status.applications.values().flat_map(|app| &app.units).collect();
    let active = units.iter().filter(|(_, unit)| unit.workload.current == "active").count();
    let busy = units.iter().find_map(|(name, unit)| {
        let (what, message) = if unit.agent.current == "idle" {
            (&unit.workload.current, &unit.workload.message)
        } else {
            (&unit.agent.current, &unit.agent.message)
        };
        let idle = unit.agent.current == "idle" && unit.workload.current == "active";
        (!idle).then(|| format!("; {name}: {what} {message}").trim_end().to_owned())
    });
    format!("{active} of {} units active{}", units.len(), busy.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use juju_sim::client::{ApplicationStatus, StatusText, UnitStatus};

    use super::*;

    #[test]
    fn a_model_is_told_by_what_it_waits_for() {
        let status =
            |current: &str, message: &str| StatusText { current: current.into(), message: message.into() };
        let unit = |workload, agent| UnitStatus { workload, agent, ..UnitStatus::default() };
        let units = [
            ("a/0".to_owned(), unit(status("active", ""), status("idle", ""))),
            ("a/1".to_owned(), unit(status("active", ""), status("executing", "config-changed"))),
            ("a/2".to_owned(), unit(status("blocked", "no bucket"), status("idle", ""))),
        ];
        let model = |units: &[(String, UnitStatus)]| {
            let app = ApplicationStatus { units: units.iter().cloned().collect(), ..Default::default() };
            summary(&ModelStatus { applications: [("a".to_owned(), app)].into(), ..Default::default() })
        };
        assert_eq!(model(&units), "2 of 3 units active; a/1: executing config-changed");
        assert_eq!(model(&units[2..]), "0 of 1 units active; a/2: blocked no bucket");
        assert_eq!(model(&units[..1]), "1 of 1 units active");
    }
}
