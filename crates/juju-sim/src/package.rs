//! Charms as files: packed ones, folders, and what is in them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use crate::{CharmMeta, MetaError};

/// Why a charm's files could not be read or put in place.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// There is neither a folder nor a file.
    #[error("charm {} does not exist", .0.display())]
    Missing(PathBuf),
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// File or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A packed charm is not the archive it should be.
    #[error("{}: {reason}", path.display())]
    Archive {
        /// The packed charm.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What the charm says about itself cannot be understood.
    #[error("{}: {source}", path.display())]
    Meta {
        /// The charm.
        path: PathBuf,
        /// Why.
        source: MetaError,
    },
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, PackageError> {
    result.map_err(|source| PackageError::File { path: path.to_owned(), source })
}

fn open(path: &Path) -> Result<zip::ZipArchive<File>, PackageError> {
    let file = at(path, File::open(path))?;
    zip::ZipArchive::new(file).map_err(|error| broken(path, &error))
}

fn broken(path: &Path, reason: &dyn std::fmt::Display) -> PackageError {
    PackageError::Archive { path: path.to_owned(), reason: reason.to_string() }
}

/// What a charm declares: of a packed one (`.charm`), or of a charm's folder.
pub fn read_meta(source: &Path) -> Result<CharmMeta, PackageError> {
    let wrong = |error| PackageError::Meta { path: source.to_owned(), source: error };
    if source.is_dir() {
        return CharmMeta::from_dir(source).map_err(wrong);
    }
    if !source.exists() {
        return Err(PackageError::Missing(source.to_owned()));
    }
    let mut archive = open(source)?;
    let mut texts = BTreeMap::new();
    for name in ["metadata.yaml", "charmcraft.yaml", "config.yaml", "actions.yaml"] {
        if let Ok(mut file) = archive.by_name(name) {
            let mut text = String::new();
            at(source, file.read_to_string(&mut text))?;
            texts.insert(name, text);
        }
    }
    let text = |name| texts.get(name).map(String::as_str);
    let metadata = text("metadata.yaml").unwrap_or_default();
    CharmMeta::from_texts(metadata, text("charmcraft.yaml"), text("config.yaml"), text("actions.yaml"))
        .map_err(wrong)
}

/// Puts a charm's files into a folder, replacing what was there. Of a charm's folder, what belongs to its development only
/// (`.git`, `target`, `node_modules`, `.venv`) is left out.
pub fn unpack(source: &Path, target: &Path) -> Result<(), PackageError> {
    match fs::remove_dir_all(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => at(target, Err(error))?,
        _ => {}
    }
    at(target, fs::create_dir_all(target))?;
    if source.is_dir() {
        for entry in at(source, fs::read_dir(source))?.flatten() {
            let name = entry.file_name();
            if [".git", "target", "node_modules", ".venv"].iter().all(|skipped| name != *skipped) {
                copy(&entry.path(), &target.join(name));
            }
        }
        return Ok(());
    }
    if !source.exists() {
        return Err(PackageError::Missing(source.to_owned()));
    }
    let mut archive = open(source)?;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(|error| broken(source, &error))?;
        let Some(name) = file.enclosed_name() else {
            return Err(broken(source, &format!("a file has the name {:?}", file.name())));
        };
        let path = target.join(name);
        if file.is_dir() {
            at(&path, fs::create_dir_all(&path))?;
            continue;
        }
        if let Some(parent) = path.parent() {
            at(parent, fs::create_dir_all(parent))?;
        }
        let mode = file.unix_mode().unwrap_or(0o644);
        if mode & 0o170_000 == 0o120_000 {
            let mut link = String::new();
            at(source, file.read_to_string(&mut link))?;
            at(&path, symlink(link, &path))?;
            continue;
        }
        let mut out = at(&path, File::create(&path))?;
        at(&path, io::copy(&mut file, &mut out))?;
        at(&path, out.set_permissions(fs::Permissions::from_mode(mode & 0o777)))?;
    }
    Ok(())
}

/// Copies a file, link or folder; what may not be read is left out.
pub fn copy(from: &Path, to: &Path) {
    let Ok(meta) = fs::symlink_metadata(from) else { return };
    if meta.is_symlink() {
        if let Ok(link) = fs::read_link(from) {
            let _ = symlink(link, to);
        }
    } else if meta.is_dir() {
        let Ok(entries) = fs::read_dir(from) else { return };
        let _ = fs::create_dir_all(to);
        for entry in entries.flatten() {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else if meta.is_file() {
        let _ = fs::copy(from, to);
    }
}

/// The program for a hook or action, relative to the charm's folder: `dispatch`, or else the one named like the hook
/// (`hooks/install`, `actions/show`). `None` where the charm has neither, which counts as success for a hook.
#[must_use]
pub fn program(folder: &Path, dispatch_path: &str) -> Option<PathBuf> {
    [Path::new("dispatch"), Path::new(dispatch_path)]
        .into_iter()
        .find(|path| folder.join(path).exists())
        .map(Path::to_owned)
}
