//! Charms as files: reading what they declare, and putting them into a unit's folder.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use juju_sim::CharmMeta;

use crate::{controller::Source, doubles, enter};

/// Reads where a charm comes from, as written in a model file, and what it declares.
pub(crate) fn load(charm: &str) -> Result<(Source, Arc<CharmMeta>)> {
    if let Some(name) = charm.strip_prefix("double:") {
        let meta = doubles::meta(name)?;
        return Ok((Source::Double(name.to_owned()), Arc::new(meta)));
    }
    let path = PathBuf::from(charm);
    let meta = if path.is_dir() {
        CharmMeta::from_dir(&path).with_context(|| format!("reading the charm in {charm}"))?
    } else if path.is_file() {
        packed_meta(&path).with_context(|| format!("reading the packed charm {charm}"))?
    } else {
        bail!("charm {charm} does not exist; pack it first, or name a charm's folder")
    };
    Ok((Source::Path(path), Arc::new(meta)))
}

fn packed_meta(path: &Path) -> Result<CharmMeta> {
    let mut archive = zip::ZipArchive::new(File::open(path)?)?;
    let mut texts = BTreeMap::new();
    for name in ["metadata.yaml", "charmcraft.yaml", "config.yaml", "actions.yaml"] {
        if let Ok(mut file) = archive.by_name(name) {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            texts.insert(name, text);
        }
    }
    let text = |name| texts.get(name).map(String::as_str);
    Ok(CharmMeta::from_texts(
        text("metadata.yaml").unwrap_or_default(),
        text("charmcraft.yaml"),
        text("config.yaml"),
        text("actions.yaml"),
    )?)
}

/// Puts a charm's files into a folder, replacing what was there.
pub(crate) fn unpack(source: &Path, target: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(target);
    fs::create_dir_all(target)?;
    if source.is_dir() {
        for entry in fs::read_dir(source)?.flatten() {
            // What a charm's folder holds beside the charm.
            let name = entry.file_name();
            if [".git", "target", "node_modules", ".venv"].iter().all(|skipped| name != *skipped) {
                enter::copy(&entry.path(), &target.join(name));
            }
        }
        return Ok(());
    }
    let mut archive = zip::ZipArchive::new(File::open(source)?)?;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index)?;
        let Some(name) = file.enclosed_name() else {
            bail!("{} has a file with the name {:?}", source.display(), file.name())
        };
        let path = target.join(name);
        if file.is_dir() {
            fs::create_dir_all(&path)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mode = file.unix_mode().unwrap_or(0o644);
        if mode & 0o170_000 == 0o120_000 {
            let mut link = String::new();
            file.read_to_string(&mut link)?;
            std::os::unix::fs::symlink(link, &path)?;
            continue;
        }
        let mut out = File::create(&path)?;
        std::io::copy(&mut file, &mut out)?;
        out.set_permissions(fs::Permissions::from_mode(mode & 0o777))?;
    }
    Ok(())
}

/// The program for a hook or action, relative to the charm's folder: `dispatch`, or else the one named like the hook.
pub(crate) fn program(folder: &Path, dispatch_path: &str) -> Option<PathBuf> {
    [Path::new("dispatch"), Path::new(dispatch_path)]
        .into_iter()
        .find(|path| folder.join(path).exists())
        .map(Path::to_owned)
}
