//! Directories and listings.

use std::collections::BTreeSet;

use juju_pebble::{Error, FileInfo, FileKind, Owner};

use super::{Inner, PebbleEvent, absolute, parents, path_error};
use crate::state::Container;

impl Inner {
    pub(super) fn make_dir(&mut self, path: &str, make_parents: bool) -> Result<(), Error> {
        let path = absolute(path)?;
        let generic = |message: String| Err(path_error(&path, "generic-file-error", message));
        if self.container.files.contains_key(&path) || (self.container.is_dir(&path) && !make_parents) {
            return generic(format!("mkdir {path}: file exists"));
        }
        let parent = parents(&path).last().unwrap_or("/");
        if !make_parents && !self.container.is_dir(parent) {
            return Err(path_error(&path, "not-found", format!("mkdir {path}: no such file or directory")));
        }
        if self.container.directories.insert(path.clone()) {
            self.history.push(PebbleEvent::MakeDir { path });
        }
        Ok(())
    }

    pub(super) fn list(
        &self,
        path: &str,
        pattern: Option<&str>,
        itself: bool,
    ) -> Result<Vec<FileInfo>, Error> {
        let container = &self.container;
        let path = absolute(path)?;
        if !container.files.contains_key(&path) && !container.is_dir(&path) {
            return Err(path_error(&path, "not-found", format!("stat {path}: no such file or directory")));
        }
        let entries: Vec<String> = if itself || container.files.contains_key(&path) {
            vec![path]
        } else {
            let prefix = if path == "/" { path } else { format!("{path}/") };
            let below = container.files.keys().chain(&container.directories);
            let names = below.filter_map(|other| other.strip_prefix(&prefix)?.split('/').next());
            let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
            let wanted = names.into_iter().filter(|name| pattern.is_none_or(|pattern| glob(pattern, name)));
            wanted.map(|name| format!("{prefix}{name}")).collect()
        };
        Ok(entries.iter().map(|path| info(container, path)).collect())
    }
}

fn info(container: &Container, path: &str) -> FileInfo {
    let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("/");
    let file = container.files.get(path);
    let root = || Some("root".to_owned());
    FileInfo {
        path: path.to_owned(),
        name: name.to_owned(),
        kind: if file.is_some() { FileKind::File } else { FileKind::Directory },
        size: file.map(|file| file.content.len() as u64),
        mode: file.map_or(0o755, |file| file.mode),
        last_modified: "2026-01-01T00:00:00Z".to_owned(),
        owner: Owner { user: root(), user_id: Some(0), group: root(), group_id: Some(0) },
    }
}

/// `*` for any run of characters, `?` for one.
fn glob(pattern: &str, name: &str) -> bool {
    match pattern.chars().next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| glob(rest, &name[at..]))
        }
        Some(c) => {
            let mut chars = name.chars();
            chars.next().is_some_and(|first| c == '?' || c == first)
                && glob(&pattern[c.len_utf8()..], chars.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn patterns() {
        assert!(glob("*.conf", "nginx.conf") && glob("n?inx*", "nginx") && glob("*", ""));
        assert!(!glob("*.conf", "nginx.confx") && !glob("", "a"));
    }
}
