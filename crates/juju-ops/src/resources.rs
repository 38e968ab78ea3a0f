//! Resources: files that come with a charm, or that its operator attaches.
//!
//! ```
//! # async fn charm(hook: juju_ops::Hook) -> Result<(), juju_ops::Error> {
//! // `resources: {dictionary: {type: file, filename: words.txt}}` in metadata.yaml
//! let words = std::fs::read_to_string(hook.resource("dictionary").await?)?;
//! # drop(words);
//! # Ok(())
//! # }
//! ```

use std::path::PathBuf;

use crate::{
    Hook,
    tools::{ToolCall, ToolError, checked},
};

impl Hook {
    /// The path of a resource's file in the charm's container. The agent downloads it first where it has to, which may
    /// take long; until then it answers nothing else.
    ///
    /// # Errors
    /// [`ToolError::Refused`] when there is no such resource, or it cannot be downloaded.
    pub async fn resource(&self, name: &str) -> Result<PathBuf, ToolError> {
        use std::os::unix::ffi::OsStringExt as _;
        let tool = "resource-get";
        let mut path = checked(self.tools(), ToolCall::new(tool, ["--", name])).await?;
        // This tool ends its output without a line feed; another version, or a wrapper, may not.
        if path.ends_with(b"\n") {
            path.pop();
        }
        if path.is_empty() {
            return Err(ToolError::Output { tool, reason: format!("no path for resource {name:?}") });
        }
        Ok(std::ffi::OsString::from_vec(path).into())
    }
}
