//! Actions that people run.

use std::collections::BTreeMap;

use juju_ops::{Action, Error, Hook};

use crate::apply;
use crate::deployment::Deployment;
use crate::names::ActionName;
use crate::plan::{Plan, excerpt};
use crate::snapshot::Snapshot;
use crate::status::{self, Applied};
use crate::tempo;

/// Answers an action. It changes nothing.
pub async fn run(
    hook: &Hook,
    name: ActionName,
    snapshot: &Snapshot,
    deployment: &Deployment,
    plan: &Plan,
) -> Result<(), Error> {
    let Some(action) = hook.action() else { return Ok(()) };
    match name {
        ActionName::ListReceivers => {
            if let Some(receivers) = &plan.receivers {
                let urls = receivers.iter().map(|r| (tempo::dashed(r.protocol), r.url.clone())).collect();
                action.set_results(&urls).await?;
            } else {
                let why = status::statuses(deployment, &Applied::default()).unit;
                action.fail(&format!("no receivers yet: {}", why.message())).await?;
            }
        }
        ActionName::Plan => {
            let differences = apply::preview(hook, snapshot, plan).await?;
            let findings: Vec<String> = deployment.findings.iter().map(ToString::to_string).collect();
            let results = BTreeMap::from([
                listed("differences", &differences),
                listed("findings", &findings),
                ("plan".to_owned(), plan.excerpt(Action::room_for("plan"))?),
            ]);
            action.set_results(&results).await?;
        }
    }
    Ok(())
}

fn listed(key: &str, lines: &[String]) -> (String, String) {
    let text = if lines.is_empty() { "none".to_owned() } else { lines.join("\n") };
    (key.to_owned(), excerpt::cut(&text, Action::room_for(key)))
}
