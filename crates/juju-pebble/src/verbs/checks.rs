//! Health checks.

use serde::{Deserialize, Serialize};

use crate::{CheckAction, CheckInfo, CheckLevel, CheckRefresh, Client, Error, verbs::services::named, wire};

#[derive(Serialize)]
struct Body<'a> {
    action: CheckAction,
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
    pub(crate) async fn read_health(&self, level: Option<CheckLevel>, names: &[&str]) -> Result<bool, Error> {
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
    pub(crate) async fn read_checks(&self, names: &[&str]) -> Result<Vec<CheckInfo>, Error> {
        let checks: Option<_> = self.get(named("/v1/checks", names)).await?;
        Ok(checks.unwrap_or_default())
    }

    /// Starts or stops checks; returns those for which that was a change.
    ///
    /// # Errors
    /// [`Error::Api`] with status 400 when one is not in the plan.
    pub(crate) async fn switch_checks(
        &self,
        action: CheckAction,
        names: &[&str],
    ) -> Result<Vec<String>, Error> {
        let reply = self.post("/v1/checks", &Body { action, checks: names }).await?;
        let changed = reply.sync::<Option<Changed>>()?.map(|answer| answer.changed).unwrap_or_default();
        if action == CheckAction::Stop && !changed.is_empty() {
            // An event for auditors, who want to know when nobody watches any more. `juju-ops` passes it on.
            let names = changed.join(",");
            tracing::trace!(
                target: "security",
                severity = "WARN",
                event = format!("sys_monitor_disabled:{names}"),
                description = format!("health checks of {} were stopped: {names}", self.socket().display())
            );
        }
        Ok(changed)
    }

    /// # Errors
    /// [`Error::Api`] with status 404 when it is not in the plan.
    pub(crate) async fn perform_check(&self, name: &str) -> Result<CheckRefresh, Error> {
        #[derive(Serialize)]
        struct Name<'a> {
            name: &'a str,
        }
        self.post("/v1/checks/refresh", &Name { name }).await?.sync()
    }
}
