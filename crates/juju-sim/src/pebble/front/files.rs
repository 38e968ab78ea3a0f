//! `/v1/files`.

use super::{
    Arc, BTreeMap, Body, Bytes, Deserialize, Error, Front, Query, Response, Value, api, json, read_json,
    respond, sync,
};
use crate::pebble::path_error;

/// What separates the parts of an answer; long enough not to be in any text.
const BOUNDARY: &str = "01234567890123456789012345678901-simulated-pebble";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct WriteItem {
    path: String,
    #[serde(default)]
    make_dirs: bool,
    #[serde(default)]
    permissions: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct DirItem {
    path: String,
    #[serde(default)]
    make_parents: bool,
}

#[derive(Deserialize)]
struct RemoveItem {
    path: String,
    #[serde(default)]
    recursive: bool,
}

#[derive(Deserialize)]
struct Order {
    action: String,
    #[serde(default)]
    files: Vec<WriteItem>,
    #[serde(default)]
    dirs: Vec<DirItem>,
    #[serde(default)]
    paths: Vec<RemoveItem>,
}

/// What became of one path of a request.
fn outcome(path: &str, result: Result<(), Error>) -> Result<Value, Error> {
    match result {
        Ok(()) => Ok(json!({"path": path})),
        Err(Error::Path { kind, message, .. }) => {
            Ok(json!({"path": path, "error": {"kind": kind, "message": message}}))
        }
        Err(other) => Err(other),
    }
}

/// Three octal digits.
fn permissions(text: Option<&str>) -> Result<u32, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(0o644) };
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| text.len() == 3);
    mode.ok_or_else(|| api(400, format!("mode must be a 3-digit octal string, got \"{text}\"")))
}

impl Front {
    pub(super) fn get_files(&self, query: &Query, accept: &str) -> Result<Response<Body>, Error> {
        match query.one("action") {
            Some("list") => {
                let path = query.one("path").unwrap_or_default();
                if !path.starts_with('/') {
                    return Err(api(400, format!("path must be absolute, got \"{path}\"")));
                }
                let itself = query.one("itself") == Some("true");
                let listed = self.with(|inner| inner.list(path, query.one("pattern"), itself));
                // For the one path as a whole, the daemon's answer is an error of the request.
                listed.map(|files| sync(&json!(files)))
            }
            Some("read") => self.read_files(&query.all("path"), accept),
            other => Err(api(400, format!("invalid action \"{}\"", other.unwrap_or_default()))),
        }
    }

    fn read_files(&self, paths: &[&str], accept: &str) -> Result<Response<Body>, Error> {
        if accept != "multipart/form-data" {
            return Err(api(400, "must accept multipart/form-data"));
        }
        let mut body = Vec::new();
        let mut part = |disposition: &str, content: &[u8]| {
            body.extend_from_slice(format!("--{BOUNDARY}\r\n{disposition}\r\n\r\n").as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        };
        let mut outcomes = Vec::new();
        for path in paths {
            let read = self.with(|inner| inner.read_file(path)).and_then(|content| {
                content.ok_or_else(|| {
                    path_error(path, "not-found", format!("stat {path}: no such file or directory"))
                })
            });
            let result = read.map(|content| {
                let name = path.replace('"', "%22");
                part(
                    &format!("Content-Disposition: form-data; name=\"files\"; filename=\"{name}\""),
                    &content,
                );
            });
            outcomes.push(outcome(path, result)?);
        }
        let response =
            json!({"type": "sync", "status-code": 200, "status": "OK", "result": outcomes}).to_string();
        part(
            "Content-Disposition: form-data; name=\"response\"\r\nContent-Type: application/json",
            response.as_bytes(),
        );
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        Ok(respond(200, &format!("multipart/form-data; boundary={BOUNDARY}"), body))
    }

    pub(super) async fn post_files(
        self: &Arc<Self>,
        content_type: &str,
        body: Bytes,
    ) -> Result<Response<Body>, Error> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        match media {
            "multipart/form-data" => {
                let boundary = multer::parse_boundary(content_type)
                    .ok()
                    .filter(|boundary| boundary.len() >= 32)
                    .ok_or_else(|| api(400, format!("invalid boundary in \"{content_type}\"")))?;
                self.write_files(&boundary, body).await
            }
            "application/json" => self.change_paths(&body),
            _ => Err(api(400, format!("invalid media type \"{media}\""))),
        }
    }

    async fn write_files(&self, boundary: &str, body: Bytes) -> Result<Response<Body>, Error> {
        let broken = |error: multer::Error| api(400, format!("cannot read multipart body: {error}"));
        let stream = futures_util::stream::once(async move { Ok::<_, std::io::Error>(body) });
        let mut parts = multer::Multipart::new(stream, boundary);
        let first = parts.next_field().await.map_err(broken)?;
        let first = first.filter(|field| field.name() == Some("request"));
        let first = first.ok_or_else(|| api(400, "metadata field name must be \"request\""))?;
        let order: Order = read_json(&first.bytes().await.map_err(broken)?)?;
        if order.action != "write" {
            return Err(api(400, format!("multipart action must be \"write\", got \"{}\"", order.action)));
        }
        let mut results: BTreeMap<String, Value> = BTreeMap::new();
        while let Some(field) = parts.next_field().await.map_err(broken)? {
            if field.name() != Some("files") {
                return Err(api(400, "field name must be \"files\""));
            }
            let path = field.file_name().unwrap_or_default().to_owned();
            let item = order.files.iter().find(|item| item.path == path);
            let item = item.ok_or_else(|| api(400, format!("no metadata for path \"{path}\"")))?;
            let mode = permissions(item.permissions.as_deref())?;
            let content = field.bytes().await.map_err(broken)?;
            let written = self.with(|inner| inner.write_file(&path, &content, mode, item.make_dirs));
            results.insert(path.clone(), outcome(&path, written)?);
        }
        let results: Result<Vec<Value>, Error> = order
            .files
            .iter()
            .map(|item| {
                let missing = || api(400, format!("no file content for path \"{}\"", item.path));
                results.get(&item.path).cloned().ok_or_else(missing)
            })
            .collect();
        Ok(sync(&results?.into()))
    }

    fn change_paths(&self, body: &[u8]) -> Result<Response<Body>, Error> {
        let order: Order = read_json(body)?;
        let results: Result<Vec<Value>, Error> = match order.action.as_str() {
            "make-dirs" => {
                let make = |item: &DirItem| self.with(|inner| inner.make_dir(&item.path, item.make_parents));
                order.dirs.iter().map(|item| outcome(&item.path, make(item))).collect()
            }
            "remove" => order
                .paths
                .iter()
                .map(|item| {
                    let path = &item.path;
                    let removed = self.with(|inner| inner.remove_path(path, item.recursive));
                    outcome(path, removed)
                })
                .collect(),
            other => return Err(api(400, format!("invalid action \"{other}\""))),
        };
        Ok(sync(&results?.into()))
    }
}
