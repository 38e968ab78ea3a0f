//! Files and directories of the container.

use std::collections::{BTreeMap, VecDeque};

use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::{
    Client, Error, FileInfo, FileWrite, MakeDir, Owner,
    transport::{Answer, Request},
    wire::{self, envelope, multipart},
};

const FILES: &str = "/v1/files";

/// What became of one path of a request.
#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    path: String,
    error: Option<Failure>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Failure {
    message: String,
    kind: String,
}

impl Outcome {
    fn into_result(self) -> Result<(), Error> {
        match self.error {
            None => Ok(()),
            Some(Failure { message, kind }) => Err(Error::Path { path: self.path, kind, message }),
        }
    }
}

impl Client {
    /// Reads several files in one call; `None` for those that are not there. Order as asked.
    ///
    /// # Errors
    /// [`Error::Path`] for the first file that is there but cannot be read.
    pub(crate) async fn pull_files(&self, paths: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = vec![("action", "read")];
        query.extend(paths.iter().map(|path| ("path", *path)));
        let request = self.request(Method::GET, wire::target(FILES, &query));
        let request = Request { accept: Some("multipart/form-data"), timeout: self.limits.files, ..request };
        let Answer { status, content_type, body } = self.transport.send(request).await?;
        let Some(boundary) = multipart::boundary(&content_type) else {
            // Refused as a whole, for example without the right to read files.
            envelope::decode(status, &body)?;
            return Err(Error::Protocol(format!("files as {content_type:?}")));
        };
        let malformed = |reason: &str| Error::Protocol(format!("files: {reason}"));
        let mut parts = multipart::parse(&body, &boundary).map_err(malformed)?;
        let response = parts.pop().filter(|part| part.name == "response");
        let response = response.ok_or_else(|| malformed("no response after the files"))?;
        let outcomes: Vec<Outcome> = envelope::decode(status, response.body)?.sync()?;

        // Parts come in the order of the outcomes without error, so names need not be compared.
        let mut contents: VecDeque<&[u8]> =
            parts.iter().filter(|part| part.name == "files").map(|part| part.body).collect();
        let mut found: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
        for outcome in outcomes {
            let path = outcome.path.clone();
            let content = match outcome.into_result() {
                Ok(()) => Some(contents.pop_front().ok_or_else(|| malformed("fewer files than results"))?),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            found.insert(path, content.map(<[u8]>::to_vec));
        }
        paths
            .iter()
            .map(|path| found.get(*path).cloned().ok_or_else(|| malformed("a path without result")))
            .collect()
    }

    /// Writes files, each atomically, making their parent directories (with mode 755).
    ///
    /// # Errors
    /// [`Error::Path`] for the first file that could not be written; others may have been.
    pub(crate) async fn push_files(&self, files: &[FileWrite], owner: &Owner) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Write<'a> {
            action: &'static str,
            files: Vec<Item<'a>>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Item<'a> {
            path: &'a str,
            make_dirs: bool,
            permissions: String,
            #[serde(flatten)]
            owner: &'a Owner,
        }
        if files.is_empty() {
            return Ok(());
        }
        let mut items = Vec::with_capacity(files.len());
        for FileWrite { path, mode, .. } in files {
            if !multipart::is_safe_name(path) {
                return Err(refused(path, "a path cannot hold line breaks or NUL"));
            }
            items.push(Item { path, make_dirs: true, permissions: permissions(path, *mode)?, owner });
        }
        let request = serde_json::to_vec(&Write { action: "write", files: items })
            .map_err(|error| Error::Protocol(error.to_string()))?;
        let uploads: Vec<multipart::Upload<'_>> =
            files.iter().map(|file| (file.path.as_str(), file.content.as_slice())).collect();
        let body = Some(multipart::write(&request, &uploads));
        let request = self.request(Method::POST, FILES.to_owned());
        self.outcomes(Request { body, timeout: self.limits.files, ..request }).await
    }

    /// Lists a directory, or a file as its only entry. `pattern` is a glob on names (`*.yaml`).
    ///
    /// # Errors
    /// [`Error::Path`] of kind `not-found` when the path is not there.
    pub(crate) async fn listing(&self, path: &str, pattern: Option<&str>) -> Result<Vec<FileInfo>, Error> {
        let mut query = vec![("action", "list"), ("path", path)];
        query.extend(pattern.map(|pattern| ("pattern", pattern)));
        self.list(path, &query).await
    }

    /// What a path is, links followed; `None` when it is not there.
    pub(crate) async fn info(&self, path: &str) -> Result<Option<FileInfo>, Error> {
        match self.list(path, &[("action", "list"), ("path", path), ("itself", "true")]).await {
            Ok(mut entries) => Ok(entries.pop()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<FileInfo>, Error> {
        match self.get::<Option<_>>(wire::target(FILES, query)).await {
            Ok(entries) => Ok(entries.unwrap_or_default()),
            // The daemon answers for the one path as a whole; callers see it like any path.
            Err(Error::Api { kind, message, .. }) if !kind.is_empty() => {
                Err(Error::Path { path: path.to_owned(), kind, message })
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// [`Error::Path`] when it exists and `how.parents` is not set, or cannot be made.
    pub(crate) async fn make_directory(&self, path: &str, how: &MakeDir) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Make<'a> {
            action: &'static str,
            dirs: [Item<'a>; 1],
        }
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Item<'a> {
            path: &'a str,
            make_parents: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            permissions: Option<String>,
            #[serde(flatten)]
            owner: &'a Owner,
        }
        let permissions = how.mode.map(|mode| permissions(path, mode)).transpose()?;
        let dirs = [Item { path, make_parents: how.parents, permissions, owner: &how.owner }];
        self.outcomes(self.posting(FILES, &Make { action: "make-dirs", dirs })?).await
    }

    /// Removes a file or an empty directory, or with `recursive` everything below it.
    ///
    /// # Errors
    /// [`Error::Path`] of kind `not-found` when it was not there, unless `recursive`.
    pub(crate) async fn remove(&self, path: &str, recursive: bool) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Remove<'a> {
            action: &'static str,
            paths: [Item<'a>; 1],
        }
        #[derive(Serialize)]
        struct Item<'a> {
            path: &'a str,
            recursive: bool,
        }
        let request = self.posting(FILES, &Remove { action: "remove", paths: [Item { path, recursive }] })?;
        self.outcomes(Request { timeout: self.limits.files, ..request }).await
    }

    /// Sends a request whose answer has status 200 even if nothing worked: each path has its own result.
    async fn outcomes(&self, request: Request) -> Result<(), Error> {
        let outcomes: Vec<Outcome> = self.reply(request).await?.sync()?;
        outcomes.into_iter().try_for_each(Outcome::into_result)
    }
}

/// Three octal digits, which is all that the daemon takes.
fn permissions(path: &str, mode: u32) -> Result<String, Error> {
    if mode > 0o777 {
        return Err(refused(path, &format!("mode {mode:o} has more than permission bits")));
    }
    Ok(format!("{mode:03o}"))
}

/// What this side refuses, in the words of the other.
fn refused(path: &str, message: &str) -> Error {
    Error::Path { path: path.to_owned(), kind: "generic-file-error".into(), message: message.to_owned() }
}
