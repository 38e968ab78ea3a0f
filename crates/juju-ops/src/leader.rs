//! Leadership.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Hook, tools::ToolError};

/// For how long Juju guarantees a yes, from the moment of asking.
const GUARANTEED: Duration = Duration::from_secs(30);

/// When it was last asked who leads.
#[derive(Default)]
pub(crate) struct Lease {
    asked: Mutex<Option<Instant>>,
}

impl Lease {
    /// Whether an answer that is there is too old. If so, or if there is none, it is about to be asked again.
    fn is_over(&self) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let over = asked.is_some_and(|asked| asked.elapsed() >= GUARANTEED);
        if over || asked.is_none() {
            *asked = Some(Instant::now());
        }
        over
    }
}

impl Hook {
    /// Whether this unit leads its application. Juju guarantees a yes for 30 seconds, so a hook that takes longer asks
    /// again; a no stays a no to the end of the hook.
    pub async fn is_leader(&self) -> Result<bool, ToolError> {
        if self.lease().is_over() {
            self.forget("is-leader");
        }
        self.read("is-leader", ["--format=json".to_owned()]).await
    }
}
