//! Health checks.

use serde::{Deserialize, Serialize};

use crate::{CheckInfo, CheckLevel, Client, Error, verbs::services::named, wire};

#[derive(Serialize)]
struct Body<'a> {
    action: &'static str,
    checks: &'a [&'a str],
}

#[derive(Deserialize)]
struct Changed {
    #[serde(default, deserialize_with = "crate::types::null_is_default")]
    changed: Vec<String>,
}

impl Client {
    /// Whether all checks of this level and these names are up; all checks when neither is given.
    ///
    /// Level `ready` includes the checks of level `alive`.
    pub async fn health(&self, level: Option<CheckLevel>, names: &[&str]) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Health {
            healthy: bool,
        }
        let joined = names.join(",");
        let mut query = Vec::new();
        query.extend(level.map(|level| ("level", level.word())));
        query.extend((!names.is_empty()).then_some(("names", joined.as_str())));
        Ok(self.get::<Health>(wire::target("/v1/health", &query)).await?.healthy)
    }

    /// Checks by name; all when `names` is empty; unknown names are left out.
    pub async fn checks(&self, names: &[&str]) -> Result<Vec<CheckInfo>, Error> {
        let checks: Option<_> = self.get(named("/v1/checks", names)).await?;
        Ok(checks.unwrap_or_default())
    }

    /// Starts checks; returns those that did not run before.
    ///
    /// # Errors
    /// [`Error::Api`] with status 400 when one is not in the plan.
    pub async fn start_checks(&self, names: &[&str]) -> Result<Vec<String>, Error> {
        self.switch_checks("start", names).await
    }

    /// Stops checks; returns those that ran before.
    ///
    /// # Errors
    /// As [`Client::start_checks`].
    pub async fn stop_checks(&self, names: &[&str]) -> Result<Vec<String>, Error> {
        self.switch_checks("stop", names).await
    }

    async fn switch_checks(&self, action: &'static str, names: &[&str]) -> Result<Vec<String>, Error> {
        let reply = self.post("/v1/checks", &Body { action, checks: names }).await?;
        Ok(reply.sync::<Option<Changed>>()?.map(|answer| answer.changed).unwrap_or_default())
    }
}
