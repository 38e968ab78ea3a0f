//! Workload containers.

use futures_util::future::{try_join_all, try_join3};
use juju_ops::Hook;
use juju_pebble::Error;

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
    let files = try_join_all(observed_files(container).iter().map(async |path| {
        let content = pebble.read_file(path).await?;
        Ok(content.map(|content| ((*path).to_owned(), FileDigest::of(content))))
    }));
    let (plan, services, files) = try_join3(pebble.plan(), pebble.services(&[]), files).await?;
    Ok(ContainerState {
        plan,
        services: services.into_iter().map(|service| (service.name, service.current)).collect(),
        files: files.into_iter().flatten().collect(),
    })
}
