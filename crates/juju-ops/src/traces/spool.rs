//! Traces that could not be sent yet, one file each, and no more than fit.

use std::{
    fs::{self, DirBuilder},
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Files in the folder.
pub(super) const FILES: usize = 100;
/// Bytes of all of them.
pub(super) const BYTES: u64 = 2 << 20;
/// How the names of traces end. They begin with the time.
const SUFFIX: &str = ".otlp";
/// How the names of files begin that are being written.
const UNFINISHED: &str = ".unfinished-";

/// The folder. That it exists means that traces are wanted.
pub(super) struct Spool {
    folder: PathBuf,
}

impl Spool {
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Whether a hook before this one wanted traces.
    pub(super) fn exists(&self) -> bool {
        fs::symlink_metadata(&self.folder).is_ok_and(|about| about.is_dir())
    }

    /// Makes the folder, for this user alone.
    pub(super) fn make(&self) {
        if !self.exists()
            && let Err(error) = DirBuilder::new().mode(0o700).create(&self.folder)
        {
            tracing::debug!("traces: {}: {error}", self.folder.display());
        }
    }

    /// Removes the folder with the traces in it, and nothing else.
    pub(super) fn remove(&self) {
        if self.exists() {
            for path in self.files() {
                let _ = fs::remove_file(path);
            }
            let _ = fs::remove_dir(&self.folder);
        }
    }

    /// The traces, oldest first. What a hook that was killed has left unfinished is removed.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut files = Vec::new();
        for entry in entries {
            let name = entry.file_name();
            match name.to_str() {
                Some(name) if name.starts_with(UNFINISHED) => drop(fs::remove_file(entry.path())),
                Some(name) if name.ends_with(SUFFIX) => files.push(entry.path()),
                _ => {}
            }
        }
        files.sort();
        files
    }

    /// A trace that is kept; `None` if the file is no (whole) trace, and then it is removed.
    pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
        let about = fs::symlink_metadata(path).ok()?;
        let whole = (about.is_file() && about.len() <= BYTES).then(|| fs::read(path).ok()).flatten();
        let whole = whole.filter(|bytes| is_whole(bytes));
        if whole.is_none() {
            tracing::debug!("traces: {} is damaged", path.display());
            forget(path);
        }
        whole
    }

    /// Keeps a trace, if there is a folder. The oldest ones make room for it.
    pub(super) fn keep(&self, trace: &[u8]) {
        if let Err(error) = self.write(trace) {
            tracing::debug!("traces: cannot be kept: {error}");
        }
    }

    fn write(&self, trace: &[u8]) -> std::io::Result<()> {
        let files = self.files();
        let size = |path: &Path| fs::symlink_metadata(path).map_or(0, |about| about.len());
        let mut kept = files.len();
        let mut bytes: u64 = files.iter().map(|path| size(path)).sum();
        for path in &files {
            if kept < FILES && bytes + trace.len() as u64 <= BYTES {
                break;
            }
            bytes -= size(path);
            kept -= 1;
            fs::remove_file(path)?;
        }
        // Only its owner may read it.
        let mut new = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder)?;
        new.write_all(trace)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("{:020}-{}{SUFFIX}", now.as_nanos(), std::process::id());
        new.persist(self.folder.join(name))?;
        Ok(())
    }
}

/// Removes a trace that is done with.
pub(super) fn forget(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Whether bytes can be an export request with one resource, from beginning to end: that is one field, number 1, of a length that
/// is told.
fn is_whole(bytes: &[u8]) -> bool {
    let Some((0x0a, rest)) = bytes.split_first() else { return false };
    let mut length = 0_u64;
    for (at, byte) in rest.iter().enumerate().take(5) {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return length == (rest.len() - at - 1) as u64;
        }
    }
    false
}
