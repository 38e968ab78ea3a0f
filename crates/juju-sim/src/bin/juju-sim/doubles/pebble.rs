//! Stand-ins for Pebble, where there is no real one.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};
use juju_sim::{
    Container, ExecHandler,
    pebble::{Double, Server, serve as serve_double},
};

/// What answers for the containers of one unit, until it is dropped.
pub(crate) type StandIns = BTreeMap<String, (Double, Server)>;

/// Answers for the Pebbles of a unit's containers, on the sockets where the charm expects them. Services are recorded as running, and
/// every command succeeds and says nothing.
pub(crate) fn serve<'a>(folder: &Path, containers: impl Iterator<Item = &'a String>) -> Result<StandIns> {
    let stand_in = |name: &String| {
        let double = Double::new(fresh());
        let socket = folder.join(name).join("pebble.socket");
        let server = serve_double(double.clone(), socket)
            .with_context(|| format!("standing in for Pebble in {name}"))?;
        Ok((name.clone(), (double, server)))
    };
    containers.map(stand_in).collect()
}

/// What a container is that was just started.
pub(crate) fn fresh() -> Container {
    let mut container = Container::ready().with_exec(ExecHandler::new::<String>([]));
    container.boot_id = crate::agent::nonce();
    container
}
