//! The model file: what to deploy, in the manner of a Juju bundle.
//!
//! ```yaml
//! name: demo
//! applications:
//!   tempo:
//!     charm: ./tempo-coordinator-k8s.charm   # a packed charm or a charm's folder, relative to this file
//!     scale: 2
//!     options: { retention-period: 24 }
//!   s3:
//!     charm: double:s3                       # a stand-in built into the simulator
//! relations:
//!   - [tempo:s3, s3:s3-credentials]
//! ```

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// A whole model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Name of the model: a DNS label.
    pub name: String,
    /// Applications by name.
    #[serde(default)]
    pub applications: BTreeMap<String, ApplicationSpec>,
    /// Pairs of `application:endpoint`; the endpoint may be left out where only one pair fits.
    #[serde(default)]
    pub relations: Vec<[String; 2]>,
    /// What images hold, by the name of the OCI resource, or `charm-base` for the charms' own containers; added to what the
    /// simulator knows by itself.
    #[serde(default)]
    pub images: BTreeMap<String, Image>,
    /// Whether a changed pod template restarts an application's pods one by one, as in a real cluster, instead of counting as
    /// rolled out at once.
    #[serde(default)]
    pub rollouts: bool,
}

/// One application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationSpec {
    /// A `.charm` file, a charm's folder, or `double:NAME`.
    pub charm: String,
    /// Number of units.
    #[serde(default = "one", alias = "num_units")]
    pub scale: u32,
    /// Configuration that differs from the charm's defaults.
    #[serde(default)]
    pub options: BTreeMap<String, serde_json::Value>,
    /// What its containers' images hold, by the name of the OCI resource, or `charm-base` for the charm's own container.
    #[serde(default)]
    pub images: BTreeMap<String, Image>,
    /// Files for the charm's other resources, by name.
    #[serde(default)]
    pub resources: BTreeMap<String, PathBuf>,
    /// Whether the application may do everything in the cluster, as after `juju trust`.
    #[serde(default)]
    pub trust: bool,
}

impl Default for ApplicationSpec {
    fn default() -> Self {
        Self {
            charm: String::new(),
            scale: 1,
            options: BTreeMap::new(),
            images: BTreeMap::new(),
            resources: BTreeMap::new(),
            trust: false,
        }
    }
}

fn one() -> u32 {
    1
}

/// What an image holds beyond the host's programs and the simulator's tools.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Path inside to a file or folder of the tools folder (relative) or of this machine (absolute).
    #[serde(default)]
    pub files: BTreeMap<PathBuf, PathBuf>,
    /// Folders to make.
    #[serde(default)]
    pub dirs: Vec<PathBuf>,
    /// Environment of the container.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// Why a model file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file could not be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is not a model file.
    #[error("{} is not a model file: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// A name cannot be used.
    #[error("{0:?} is not a usable name: small letters, digits and hyphens, beginning with a letter")]
    Name(String),
    /// A relation's side is not `application:endpoint` of this model.
    #[error("relation {0:?} names no application of this model")]
    Relation(String),
}

impl ModelFile {
    /// Reads and checks a file; paths in it become absolute, seen from the file's folder.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let read = |cause| ModelError::Read { path: path.to_owned(), cause };
        let text = fs::read_to_string(path).map_err(read)?;
        let folder = fs::canonicalize(path).map_err(read)?.parent().map(Path::to_owned).unwrap_or_default();
        let mut model = Self::parse(&text).map_err(|error| match error {
            ModelError::Syntax { reason, .. } => ModelError::Syntax { path: path.to_owned(), reason },
            other => other,
        })?;
        for app in model.applications.values_mut() {
            if !app.charm.starts_with("double:") {
                app.charm = folder.join(&app.charm).to_string_lossy().into_owned();
            }
            for file in app.resources.values_mut() {
                *file = folder.join(&file);
            }
        }
        Ok(model)
    }

    /// Gives the model another name than its file does.
    pub fn rename(&mut self, name: &str) -> Result<(), ModelError> {
        if !usable(name) {
            return Err(ModelError::Name(name.to_owned()));
        }
        name.clone_into(&mut self.name);
        Ok(())
    }

    /// Parses and checks the text of a file.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let model: Self = serde_yaml::from_str(text)
            .map_err(|error| ModelError::Syntax { path: "model".into(), reason: error.to_string() })?;
        for name in model.applications.keys().chain([&model.name]) {
            if !usable(name) {
                return Err(ModelError::Name(name.clone()));
            }
        }
        for side in model.relations.iter().flatten() {
            if !model.applications.contains_key(side.split(':').next().unwrap_or_default()) {
                return Err(ModelError::Relation(side.clone()));
            }
        }
        Ok(model)
    }
}

/// Whether Juju, and the DNS, would take this as a name of a model or an application.
fn usable(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_like_file_is_read() {
        let model = ModelFile::parse("name: m\napplications:\n  a: {charm: double:s3}\n  b: {charm: ./b.charm, scale: 2, options: {x: 1, y: true}}\nrelations:\n  - [a:s3, b]\n").unwrap();
        assert_eq!(model.applications["a"].scale, 1);
        assert_eq!(model.applications["b"].options["y"], serde_json::json!(true));
        assert_eq!(model.relations, [["a:s3".to_owned(), "b".to_owned()]]);
    }

    #[test]
    fn what_cannot_be_deployed_is_refused_with_its_name() {
        for (text, named) in [
            ("name: Model\n", "Model"),
            ("name: m\nrelations: [[a:x, b:y]]\n", "a:x"),
            ("name: m\napplications: {a: {charm: c, scaled: 2}}\n", "scaled"),
            ("name: m\napplications: {a-: {charm: c}}\n", "a-"),
        ] {
            let error = ModelFile::parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
