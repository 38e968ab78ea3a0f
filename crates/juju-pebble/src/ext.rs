//! What can be made of the verbs.

use std::{
    fs,
    future::Future,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{Error, FileInfo, FileKind, FileWrite, Layer, MakeDir, Owner, Pebble, ServiceAction};

/// Shorthands for every [`Pebble`], trait objects and test doubles included.
///
/// ```
/// use juju_pebble::{Error, Layer, Pebble, PebbleExt as _};
///
/// async fn configure(web: &dyn Pebble, layer: &Layer) -> Result<bool, Error> {
///     if !web.can_connect().await? {
///         return Ok(false);
///     }
///     web.push_path("assets".as_ref(), "/srv/assets").await?;
///     if web.ensure_layer("web", layer).await? {
///         web.replan().await?;
///     }
///     Ok(true)
/// }
/// ```
pub trait PebbleExt: Pebble {
    /// Whether somebody answers now. The next call may find that nobody does any more.
    ///
    /// # Errors
    /// If somebody answers who is no Pebble, or too late.
    fn can_connect(&self) -> impl Future<Output = Result<bool, Error>> + Send {
        async {
            match self.system_info().await {
                Ok(_) => Ok(true),
                Err(error) if error.is_connection() => Ok(false),
                Err(error) => Err(error),
            }
        }
    }

    /// Adds a layer, or merges it into the one of the same label, unless the plan is what the layer says. Returns whether
    /// it was added: then `replan` makes services follow.
    ///
    /// # Errors
    /// As [`Pebble::add_layer`].
    fn ensure_layer(&self, label: &str, layer: &Layer) -> impl Future<Output = Result<bool, Error>> + Send {
        async move {
            if self.plan().await?.has(layer) {
                return Ok(false);
            }
            self.add_layer(label, layer).await.map(|()| true)
        }
    }

    /// Starts services and what they require, and waits for it.
    ///
    /// # Errors
    /// [`Error::Change`] when one exits within its first second; Pebble goes on restarting it.
    fn start(&self, names: &[&str]) -> impl Future<Output = Result<(), Error>> + Send {
        async move { self.change_services(ServiceAction::Start, names).await }
    }

    /// Stops services and what requires them, and waits for it.
    ///
    /// # Errors
    /// What the daemon refuses.
    fn stop(&self, names: &[&str]) -> impl Future<Output = Result<(), Error>> + Send {
        async move { self.change_services(ServiceAction::Stop, names).await }
    }

    /// Stops those that run, starts all named, and waits for it.
    ///
    /// # Errors
    /// As [`PebbleExt::start`].
    fn restart(&self, names: &[&str]) -> impl Future<Output = Result<(), Error>> + Send {
        async move { self.change_services(ServiceAction::Restart, names).await }
    }

    /// Restarts what changed in the plan, starts what is enabled, and waits for it.
    ///
    /// # Errors
    /// As [`PebbleExt::start`].
    fn replan(&self) -> impl Future<Output = Result<(), Error>> + Send {
        async move { self.change_services(ServiceAction::Replan, &[]).await }
    }

    /// Starts what is enabled, and waits for it.
    ///
    /// # Errors
    /// As [`PebbleExt::start`]; and [`Error::Api`] with kind `no-default-services` when nothing is enabled.
    fn autostart(&self) -> impl Future<Output = Result<(), Error>> + Send {
        async move { self.change_services(ServiceAction::Autostart, &[]).await }
    }

    /// Whether something is at a path.
    ///
    /// # Errors
    /// What the daemon refuses.
    fn exists(&self, path: &str) -> impl Future<Output = Result<bool, Error>> + Send {
        async move { Ok(self.file_info(path).await?.is_some()) }
    }

    /// Whether a directory is at a path.
    ///
    /// # Errors
    /// What the daemon refuses.
    fn is_dir(&self, path: &str) -> impl Future<Output = Result<bool, Error>> + Send {
        async move { Ok(self.file_info(path).await?.is_some_and(|info| info.kind == FileKind::Directory)) }
    }

    /// Makes `remote` a copy of a local file or directory, with everything below it. What else is in `remote` stays.
    ///
    /// Permission bits are taken over, owners are not. Links to files are followed, links to directories are not taken.
    ///
    /// # Errors
    /// [`Error::Path`] for the first path, local or remote, that cannot be read or written.
    fn push_path(&self, local: &Path, remote: &str) -> impl Future<Output = Result<(), Error>> + Send {
        async move {
            let mut rest = vec![(local.to_owned(), remote.trim_end_matches('/').to_owned())];
            while let Some((local, remote)) = rest.pop() {
                let failed = |error: io::Error| local_error(&local, &error);
                let meta = fs::metadata(&local).map_err(failed)?;
                let mode = meta.permissions().mode() & 0o777;
                if meta.is_file() {
                    let content = fs::read(&local).map_err(failed)?;
                    let file = FileWrite { path: remote, content, mode };
                    self.write_files(std::slice::from_ref(&file), &Owner::default()).await?;
                    continue;
                }
                let how = MakeDir { parents: true, mode: Some(mode), ..MakeDir::default() };
                self.make_dir(&remote, &how).await?;
                let entries = fs::read_dir(&local).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                for entry in entries.map_err(failed)? {
                    let name = entry.file_name();
                    let name =
                        name.to_str().ok_or_else(|| refused(&entry.path(), "its name is not UTF-8"))?;
                    let kind = entry.file_type().map_err(failed)?;
                    let to_dir = kind.is_symlink() && entry.path().is_dir();
                    if kind.is_dir() || entry.path().is_file() && !to_dir {
                        rest.push((entry.path(), format!("{remote}/{name}")));
                    }
                }
            }
            Ok(())
        }
    }

    /// Makes `local` a copy of a file or directory of the container, with everything below it. What else is in `local`
    /// stays.
    ///
    /// Permission bits of files are taken over, owners are not. Links, sockets and devices are left out.
    ///
    /// # Errors
    /// [`Error::Path`] for the first path, local or remote, that cannot be read or written.
    fn pull_path(&self, remote: &str, local: &Path) -> impl Future<Output = Result<(), Error>> + Send {
        async move {
            let Some(top) = self.file_info(remote).await? else {
                let message = "no such file or directory".to_owned();
                return Err(Error::Path { path: remote.to_owned(), kind: "not-found".into(), message });
            };
            let mut rest = vec![(top, local.to_owned())];
            while let Some((FileInfo { path, kind, mode, .. }, local)) = rest.pop() {
                match kind {
                    FileKind::File => {
                        // It may have gone since it was listed.
                        let Some(content) = self.read_file(&path).await? else { continue };
                        write_local(&local, &content, mode).map_err(|error| local_error(&local, &error))?;
                    }
                    FileKind::Directory => {
                        fs::create_dir_all(&local).map_err(|error| local_error(&local, &error))?;
                        for entry in self.list_files(&path, None).await? {
                            let place = inside(&local, &entry.name)?;
                            rest.push((entry, place));
                        }
                    }
                    _ => {}
                }
            }
            Ok(())
        }
    }
}

impl<P: Pebble + ?Sized> PebbleExt for P {}

/// The place of an entry below a local directory. The name comes from the workload.
fn inside(local: &Path, name: &str) -> Result<PathBuf, Error> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(refused(local, &format!("an entry named {name:?}")));
    }
    Ok(local.join(name))
}

fn write_local(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn local_error(path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => "not-found",
        io::ErrorKind::PermissionDenied => "permission-denied",
        _ => "generic-file-error",
    };
    Error::Path { path: path.display().to_string(), kind: kind.into(), message: error.to_string() }
}

fn refused(path: &Path, message: &str) -> Error {
    let (kind, message) = ("generic-file-error".into(), message.to_owned());
    Error::Path { path: path.display().to_string(), kind, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_the_workload_stays_inside() {
        assert_eq!(inside("/tmp/x".as_ref(), "a.conf").unwrap(), Path::new("/tmp/x/a.conf"));
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\0"] {
            assert!(inside("/tmp/x".as_ref(), name).is_err(), "{name:?}");
        }
    }
}
