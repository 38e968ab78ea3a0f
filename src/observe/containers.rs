//! Workload containers.

use juju_ops::Hook;
use juju_pebble::Error;

use crate::metrics;
use crate::names::Container;
use crate::plan::observed_files;
use crate::snapshot::{ContainerSnapshot, ContainerState, FileDigest};

/// A container whose Pebble cannot answer everything is as good as unreachable: nothing is decided from half of it.
pub(super) async fn see(hook: &Hook, container: Container) -> ContainerSnapshot {
    match state(hook, container).await {
        Ok(state) => ContainerSnapshot::Reachable(state),
        Err(Error::Connection(reason)) => {
            tracing::debug!("container {} is not up: {reason}", container.as_str());
            ContainerSnapshot::Unreachable
        }
        Err(error) => {
            tracing::warn!("container {}: {error}", container.as_str());
            ContainerSnapshot::Unreachable
        }
    }
}

async fn state(hook: &Hook, container: Container) -> Result<ContainerState, Error> {
    let pebble = hook.container(container.as_str());
    let paths = observed_files(container);
    // One after another, over one connection.
    let plan = pebble.plan().await?;
    let services = pebble.services(&[]).await?;
    let files = pebble.read_files(paths).await?;
    let metrics = paths.iter().zip(&files).find(|(path, _)| **path == metrics::PAGE_PATH);
    let metrics = metrics.and_then(|(_, content)| String::from_utf8(content.clone()?).ok());
    let digest =
        |(path, content): (&&str, Option<Vec<u8>>)| Some(((*path).to_owned(), FileDigest::of(content?)));
    Ok(ContainerState {
        plan,
        services: services.into_iter().map(|service| (service.name, service.current)).collect(),
        files: paths.iter().zip(files).filter_map(digest).collect(),
        metrics,
    })
}
