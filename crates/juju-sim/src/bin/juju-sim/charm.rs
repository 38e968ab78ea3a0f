//! Where a model's charms come from.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, bail};
pub(crate) use juju_sim::package::{program, unpack};
use juju_sim::{CharmMeta, package::read_meta};

use crate::{controller::Source, doubles};

/// Reads where a charm comes from, as written in a model file, and what it declares.
pub(crate) fn load(charm: &str) -> Result<(Source, Arc<CharmMeta>)> {
    if let Some(name) = charm.strip_prefix("double:") {
        let meta = doubles::meta(name)?;
        return Ok((Source::Double(name.to_owned()), Arc::new(meta)));
    }
    let path = PathBuf::from(charm);
    if !path.exists() {
        bail!("charm {charm} does not exist; pack it first, or name a charm's folder")
    }
    let meta = read_meta(&path).context("reading a charm")?;
    Ok((Source::Path(path), Arc::new(meta)))
}
