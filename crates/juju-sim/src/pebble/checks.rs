//! Health checks of a container that nobody performs: their state says how they are.

use std::collections::BTreeSet;

use juju_pebble::{
    Check, CheckAction, CheckInfo, CheckLevel, CheckRefresh, CheckStatus, Error, Layer, Startup,
};

use super::{Inner, PebbleEvent, api};

impl Inner {
    /// Checks of this level and these names; all where nothing is given.
    pub(super) fn checks(&self, level: Option<CheckLevel>, names: &[&str]) -> Vec<CheckInfo> {
        let plan = self.container.plan();
        let wanted = plan.checks.iter().filter(|(name, check)| {
            (names.is_empty() || names.contains(&name.as_str()))
                && level.is_none_or(|level| check.level == Some(level))
        });
        wanted.map(|(name, check)| self.check_info(name, check)).collect()
    }

    fn check_info(&self, name: &str, check: &Check) -> CheckInfo {
        let threshold = u64::from(check.threshold.unwrap_or(3));
        let down = self.container.down_checks.contains(name);
        let idle = !self.runs(name, check);
        CheckInfo {
            name: name.to_owned(),
            level: check.level,
            startup: Some(check.startup.unwrap_or(Startup::Enabled)),
            status: match (idle, down) {
                (true, _) => CheckStatus::Inactive,
                (_, true) => CheckStatus::Down,
                _ => CheckStatus::Up,
            },
            successes: Some(u64::from(!down && !idle)),
            failures: if down && !idle { threshold } else { 0 },
            threshold,
            change_id: None,
        }
    }

    fn runs(&self, name: &str, check: &Check) -> bool {
        if check.startup == Some(Startup::Disabled) {
            self.container.started_checks.contains(name)
        } else {
            !self.container.stopped_checks.contains(name)
        }
    }

    pub(super) fn health(&self, level: Option<CheckLevel>, names: &[&str]) -> bool {
        self.checks(None, names).iter().all(|check| {
            // Who is not alive is not ready either.
            let counts = match level {
                Some(CheckLevel::Alive) => check.level == Some(CheckLevel::Alive),
                Some(CheckLevel::Ready) => check.level.is_some(),
                None => true,
            };
            !counts || check.status != CheckStatus::Down
        })
    }

    pub(super) fn change_checks(
        &mut self,
        action: CheckAction,
        names: &[&str],
    ) -> Result<Vec<String>, Error> {
        let plan: Layer = self.container.plan();
        let word = match action {
            CheckAction::Start => "start",
            CheckAction::Stop => "stop",
        };
        let unknown: Vec<_> =
            names.iter().filter(|name| !plan.checks.contains_key(**name)).copied().collect();
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            return Err(api(400, format!("cannot {word} checks: cannot find checks in plan: {unknown}")));
        }
        let start = action == CheckAction::Start;
        let mut changed: BTreeSet<String> = BTreeSet::new();
        for name in names {
            if self.runs(name, &plan.checks[*name]) != start {
                changed.insert((*name).to_owned());
                let (one, other) = (&mut self.container.started_checks, &mut self.container.stopped_checks);
                let (into, out) = if start { (one, other) } else { (other, one) };
                out.remove(*name);
                into.insert((*name).to_owned());
            }
        }
        let changed: Vec<String> = changed.into_iter().collect();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.history.push(PebbleEvent::Checks { action, names, changed: changed.clone() });
        Ok(changed)
    }

    pub(super) fn refresh_check(&self, name: &str) -> Result<CheckRefresh, Error> {
        let info = self.checks(None, &[name]).pop();
        let info = info.ok_or_else(|| api(404, format!("cannot find check with name \"{name}\"")))?;
        let error = self.container.down_checks.contains(name).then(|| "the simulated check fails".to_owned());
        Ok(CheckRefresh { info, error })
    }
}
