//! `double:catalogue`: lists what is deployed, in its status.

use anyhow::Result;
use juju_ops::Hook;
use juju_relations::{
    EndpointMeta,
    catalogue::{CatalogueProvider, INTERFACE},
};

/// What it declares.
pub(crate) const META: &str = "
name: catalogue
summary: Lists what is deployed.
provides:
  catalogue: {interface: catalogue}
";

/// One hook.
pub(crate) async fn run(hook: &Hook) -> Result<()> {
    let catalogue = CatalogueProvider::new(hook, EndpointMeta::provides("catalogue", INTERFACE))?;
    let mut items = Vec::new();
    for (relation, item) in catalogue.published().await? {
        if let Some(reason) = item.reason() {
            hook.blocked(format!("{}: {reason}", relation.id())).await?;
            return Ok(());
        }
        let Some(item) = item.ok() else { continue };
        let places: Vec<&str> = Some(item.url.as_str())
            .filter(|url| !url.is_empty())
            .into_iter()
            .chain(item.api_endpoints.iter().map(|(_, url)| url))
            .collect();
        items.push(format!("{}: {}", item.name, places.join(" ")));
    }
    hook.active(items.join("; ")).await?;
    Ok(())
}
