//! `double:blackbox-exporter`: takes probes and lists their targets in its status. Nothing is asked.

use anyhow::Result;
use juju_ops::Hook;
use juju_relations::{
    EndpointMeta,
    blackbox_exporter_probes::{INTERFACE, ProbesRequirer},
};

/// What it declares.
pub(crate) const META: &str = "
name: blackbox-exporter
summary: Takes probes of other applications.
requires:
  probes: {interface: blackbox_exporter_probes}
";

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let requirer = ProbesRequirer::new(hook, EndpointMeta::requires("probes", INTERFACE))?;
    let mut targets = Vec::new();
    for (relation, data) in requirer.published().await? {
        if let Some(reason) = data.reason() {
            hook.blocked(format!("{}: {reason}", relation.id())).await?;
            return Ok(());
        }
        let probes = data.ok().map(|data| data.scrape_probes).unwrap_or_default();
        let configs = probes.into_iter().flat_map(|probe| probe.static_configs);
        targets.extend(configs.flat_map(|config| config.targets));
    }
    hook.active(targets.join(", ")).await?;
    Ok(())
}
