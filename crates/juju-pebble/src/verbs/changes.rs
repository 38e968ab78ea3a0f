//! Changes: what the daemon does in the background.

use std::{fmt::Write as _, time::Duration};

use hyper::Method;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    Change, ChangeFilter, ChangeId, Client, Error,
    transport::Request,
    wire::{self, duration},
};

/// Pause between two looks at a change when the daemon does not wait.
const POLL: Duration = Duration::from_millis(100);

impl Client {
    /// A change as it is now.
    ///
    /// # Errors
    /// [`Error::Api`] with status 404 when there is none of this number.
    pub async fn change(&self, id: &ChangeId) -> Result<Change, Error> {
        self.get(target(id)).await
    }

    /// Changes of a kind, of one service if named.
    pub async fn changes(&self, filter: ChangeFilter, service: Option<&str>) -> Result<Vec<Change>, Error> {
        let mut query = vec![("select", filter.word())];
        query.extend(service.map(|service| ("for", service)));
        let changes: Option<_> = self.get(wire::target("/v1/changes", &query)).await?;
        Ok(changes.unwrap_or_default())
    }

    /// Stops a change as soon as it can be stopped.
    ///
    /// # Errors
    /// [`Error::Api`] with status 400 when it ended already.
    pub async fn abort_change(&self, id: &ChangeId) -> Result<Change, Error> {
        #[derive(Serialize)]
        struct Abort {
            action: &'static str,
        }
        self.post(&target(id), &Abort { action: "abort" }).await?.sync()
    }

    /// Waits until a change ended well.
    ///
    /// # Errors
    /// [`Error::Change`] when it ended otherwise, [`Error::Timeout`] when it did not end within `limit`.
    pub async fn wait_change(&self, id: &ChangeId, limit: Duration) -> Result<Change, Error> {
        let change = self.wait_end(id, limit).await?;
        match &change.err {
            Some(reason) if !reason.is_empty() => Err(Error::Change { message: explain(reason, &change) }),
            _ => Ok(change),
        }
    }

    /// Waits until a change ended, well or not.
    pub(crate) async fn wait_end(&self, id: &ChangeId, limit: Duration) -> Result<Change, Error> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Timeout(format!("change {id} did not end within {limit:?}")));
            }
            // The daemon answers before our own patience with the request ends.
            let slice = left.min(self.limits.call.mul_f32(0.8));
            let path = format!("{}/wait", target(id));
            let request =
                self.request(Method::GET, wire::target(&path, &[("timeout", &duration::to_go(slice))]));
            let asked = Instant::now();
            match self.reply(Request { timeout: slice + self.limits.call, ..request }).await {
                Ok(reply) => {
                    let change: Change = reply.sync()?;
                    if change.ready {
                        return Ok(change);
                    }
                }
                Err(Error::Api { status: 504, .. }) => {}
                // No such change, which the next line reports, or a daemon too old to wait.
                Err(Error::Api { status: 404, .. }) => {
                    let change = self.change(id).await?;
                    if change.ready {
                        return Ok(change);
                    }
                }
                Err(error) => return Err(error),
            }
            if asked.elapsed() < slice {
                // It did not wait, so this side has to.
                tokio::time::sleep(POLL.min(left)).await;
            }
        }
    }
}

fn target(id: &ChangeId) -> String {
    format!("/v1/changes/{}", wire::percent_encoded(&id.0))
}

/// The reason, and the last lines of the tasks that failed: there stands what a service said last.
fn explain(reason: &str, change: &Change) -> String {
    const LINES: usize = 20;
    let mut message = reason.trim_end().to_owned();
    let lines: Vec<&str> = change
        .tasks
        .iter()
        .filter(|task| task.status == "Error")
        .flat_map(|task| &task.log)
        .flat_map(|entry| entry.lines())
        .collect();
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        // Writing to a string cannot fail.
        let _ = write!(message, "\n{line}");
    }
    message
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::explain;

    #[test]
    fn a_failure_carries_what_the_service_said() {
        let change = serde_json::from_value(json!({
            "id": "1",
            "tasks": [
                {"id": "2", "status": "Done", "log": ["not this"]},
                {"id": "3", "status": "Error", "log": ["time INFO Most recent output:\n    no such option", "time ERROR exited"]},
                {"id": "4", "status": "Hold", "log": null},
            ],
        }));
        assert_eq!(
            explain("cannot start\n", &change.unwrap()),
            "cannot start\ntime INFO Most recent output:\n    no such option\ntime ERROR exited"
        );
    }
}
