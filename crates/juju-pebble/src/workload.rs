//! A container brought to where it should be, in one call.

use crate::{Error, FileWrite, Layer, Pebble, ServiceAction, ServiceStatus, Startup};

/// What a container should hold and run: files, and a layer whose services read them.
///
/// This is what most charms need. A charm with more to say, such as one that reloads instead of restarting, uses the
/// verbs of [`Pebble`] itself.
///
/// ```no_run
/// use juju_pebble::{FileWrite, Layer, Pebble, Workload};
///
/// # async fn example(pebble: &dyn Pebble) -> Result<(), juju_pebble::Error> {
/// let workload = Workload {
///     label: "web".into(),
///     layer: Layer::from_yaml("services: {web: {override: replace, command: web, startup: enabled}}")?,
///     files: vec![FileWrite::new("/etc/web.conf", "port = 8080\n")],
/// };
/// if workload.ensure(pebble).await? {
///     println!("something was not as it should be");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Label of the layer.
    pub label: String,
    /// The layer. Its services with `startup: enabled` are to run.
    pub layer: Layer,
    /// Files that are there before the services start. When the content of one changes, the services are restarted; a mode is
    /// set when the file is written.
    pub files: Vec<FileWrite>,
}

impl Workload {
    /// Writes files that differ, adds the layer if the plan is without it, restarts the services if they run with anything
    /// else, and starts those that do not run. Whether anything was to do.
    ///
    /// Pebble tells what should run, and not with what it was started. So a file in the container notes that: if the
    /// charm ends between a change and the restart, the next call finds the note missing and restarts.
    ///
    /// # Errors
    /// [`Error::Connection`] if the container is not up, [`Error::Change`] if a service does not start. What was done before
    /// that stays done, and the next call does the rest.
    pub async fn ensure(&self, pebble: &dyn Pebble) -> Result<bool, Error> {
        let mut changed = false;
        for file in &self.files {
            if pebble.read_file(&file.path).await?.as_ref() != Some(&file.content) {
                pebble.write_file(file).await?;
                changed = true;
            }
        }
        if !pebble.plan().await?.has(&self.layer) {
            pebble.add_layer(&self.label, &self.layer).await?;
            changed = true;
        }
        let services = self.layer.services.iter();
        let enabled = services.filter(|(_, service)| service.startup == Some(Startup::Enabled));
        let names: Vec<&str> = enabled.map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            return Ok(changed);
        }
        let note = FileWrite::new(format!("/var/lib/juju-pebble/{}.started", self.label), self.digest());
        if pebble.read_file(&note.path).await?.as_ref() != Some(&note.content) {
            pebble.change_services(ServiceAction::Restart, &names).await?;
            pebble.write_file(&note).await?;
            return Ok(true);
        }
        // Pebble itself starts those again that failed a moment ago.
        let idle = |status: &ServiceStatus| !matches!(status, ServiceStatus::Active | ServiceStatus::Backoff);
        let seen = pebble.services(&names).await?;
        let idle: Vec<&str> = seen
            .iter()
            .filter(|service| idle(&service.current))
            .map(|service| service.name.as_str())
            .collect();
        if !idle.is_empty() {
            pebble.change_services(ServiceAction::Start, &idle).await?;
            changed = true;
        }
        Ok(changed)
    }

    /// Tells one content from another, not from a forged one: FNV-1a with 64 bits over layer and files.
    fn digest(&self) -> String {
        let layer = serde_json::to_vec(&self.layer).unwrap_or_default();
        let files = self.files.iter().flat_map(|file| [file.path.as_bytes(), file.content.as_slice()]);
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for part in std::iter::once(layer.as_slice()).chain(files) {
            // The length keeps parts apart.
            for byte in part.len().to_le_bytes().iter().chain(part) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        format!("{hash:016x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_files_apart_that_read_alike_in_a_row() {
        let with = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(path, content)| FileWrite::new(*path, *content)).collect();
            Workload { files, ..Workload::default() }.digest()
        };
        assert_eq!(with(&[("/a", "b")]), with(&[("/a", "b")]));
        let all = [with(&[]), with(&[("/a", "b")]), with(&[("/ab", "")]), with(&[("/a", "b"), ("/c", "")])];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[..n].contains(one), "{n}");
        }
    }
}
