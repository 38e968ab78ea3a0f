//! What a charm declares about itself: endpoints, containers, options, actions.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a charm's declarations could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// The folder or one of its files cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// File or folder.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not the YAML it should be.
    #[error("{file}: {reason}")]
    Parse {
        /// `metadata.yaml`, `charmcraft.yaml`, `config.yaml` or `actions.yaml`.
        file: &'static str,
        /// The parser's words, with a line number.
        reason: String,
    },
    /// No file says what the charm is called.
    #[error("neither metadata.yaml nor charmcraft.yaml gives the charm a name")]
    NoName,
}

/// Which side of a relation an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Under `provides`.
    Provider,
    /// Under `requires`.
    Requirer,
    /// Under `peers`.
    Peer,
}

/// A relation endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Which side it is.
    pub role: Role,
    /// Interface name; both sides must have the same.
    pub interface: String,
    /// At most so many relations, where declared.
    pub limit: Option<u32>,
    /// Whether the charm works without it.
    pub optional: bool,
}

/// A workload container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerMeta {
    /// Name of the resource that is its image.
    #[serde(default)]
    pub resource: String,
    /// Storage mounted into it.
    #[serde(default)]
    pub mounts: Vec<Mount>,
}

/// A storage mounted into a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Name under `storage`.
    pub storage: String,
    /// Absolute path in the container.
    #[serde(default)]
    pub location: String,
}

/// A storage the charm asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageMeta {
    /// `filesystem` or `block`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Where the charm container sees it, if the charm asks for a place.
    #[serde(default)]
    pub location: Option<String>,
}

/// A resource: an image or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceMeta {
    /// `oci-image` or `file`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// File name, for files.
    #[serde(default)]
    pub filename: String,
    /// The image used when nothing else is attached.
    #[serde(default, rename = "upstream-source")]
    pub upstream_source: Option<String>,
}

/// Type of a configuration option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptionType {
    /// Text.
    String,
    /// Whole number.
    Int,
    /// Number.
    Float,
    /// True or false.
    Boolean,
    /// The URI of a user secret (`secret:…`).
    Secret,
}

impl OptionType {
    /// Whether a value has this type. `null` has every type: it means "not set".
    #[must_use]
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            _ if value.is_null() => true,
            Self::String => value.is_string(),
            Self::Int => value.is_i64() || value.is_u64(),
            Self::Float => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Secret => value.as_str().is_some_and(|text| text.starts_with("secret:")),
        }
    }
}

/// A configuration option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigOption {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: OptionType,
    /// Value when the user set none.
    #[serde(default)]
    pub default: Option<Value>,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// An action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ActionMeta {
    /// For people.
    #[serde(default)]
    pub description: String,
    /// JSON schema of each parameter.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Parameters that must be given.
    #[serde(default)]
    pub required: Vec<String>,
    /// Whether parameters beyond `params` are allowed. Juju 3 allows them unless this is `false`.
    #[serde(default, alias = "additionalProperties")]
    pub additional_properties: Option<bool>,
}

/// Everything a charm declares.
///
/// ```
/// use juju_sim::CharmMeta;
///
/// let meta = CharmMeta::from_texts(
///     "{name: demo, requires: {db: {interface: pg, limit: 1}}}", None, None, None,
/// )?;
/// assert_eq!(meta.endpoints["db"].interface, "pg");
/// # Ok::<(), juju_sim::MetaError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CharmMeta {
    /// Charm name, also the default application name.
    pub name: String,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// Endpoints by name, of all roles. Juju's implicit `juju-info` is not listed.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Workload containers by name.
    pub containers: BTreeMap<String, ContainerMeta>,
    /// Storages by name.
    pub storage: BTreeMap<String, StorageMeta>,
    /// Resources by name.
    pub resources: BTreeMap<String, ResourceMeta>,
    /// Configuration options by name.
    pub config: BTreeMap<String, ConfigOption>,
    /// Actions by name.
    pub actions: BTreeMap<String, ActionMeta>,
    /// Bindings that are no endpoints (`extra-bindings`).
    #[serde(default)]
    pub extra_bindings: Vec<String>,
}

#[derive(Deserialize, Default)]
struct RawEndpoint {
    #[serde(default)]
    interface: String,
    limit: Option<u32>,
    #[serde(default)]
    optional: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct RawMeta {
    name: String,
    summary: String,
    provides: BTreeMap<String, RawEndpoint>,
    requires: BTreeMap<String, RawEndpoint>,
    peers: BTreeMap<String, RawEndpoint>,
    containers: BTreeMap<String, ContainerMeta>,
    storage: BTreeMap<String, StorageMeta>,
    resources: BTreeMap<String, ResourceMeta>,
    config: Option<RawConfig>,
    actions: BTreeMap<String, ActionMeta>,
    extra_bindings: BTreeMap<String, Option<Value>>,
}

#[derive(Deserialize, Default)]
struct RawConfig {
    #[serde(default)]
    options: BTreeMap<String, ConfigOption>,
}

fn parse<T: serde::de::DeserializeOwned + Default>(file: &'static str, text: &str) -> Result<T, MetaError> {
    // A file that holds only comments is an empty document, which is fine for Juju.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(T::default());
    }
    serde_yaml::from_str(text).map_err(|error| MetaError::Parse { file, reason: error.to_string() })
}

impl CharmMeta {
    /// Reads the texts of `metadata.yaml` (may be empty), `charmcraft.yaml`, `config.yaml` and `actions.yaml`.
    ///
    /// Any split works: what several files declare is merged, and for the same name the specialised file wins
    /// over `metadata.yaml`, which wins over `charmcraft.yaml`.
    pub fn from_texts(
        metadata: &str,
        charmcraft: Option<&str>,
        config: Option<&str>,
        actions: Option<&str>,
    ) -> Result<Self, MetaError> {
        let mut meta = Self::default();
        if let Some(text) = charmcraft {
            meta.absorb(parse("charmcraft.yaml", text)?);
        }
        meta.absorb(parse("metadata.yaml", metadata)?);
        if let Some(text) = config {
            meta.config.extend(parse::<RawConfig>("config.yaml", text)?.options);
        }
        if let Some(text) = actions {
            meta.actions.extend(parse::<BTreeMap<String, ActionMeta>>("actions.yaml", text)?);
        }
        if meta.name.is_empty() { Err(MetaError::NoName) } else { Ok(meta) }
    }

    /// Reads whichever of the four files are in a charm's folder.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self, MetaError> {
        let read = |name: &str| {
            let path = dir.as_ref().join(name);
            match fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(MetaError::Read { path: path.display().to_string(), source }),
            }
        };
        Self::from_texts(
            read("metadata.yaml")?.as_deref().unwrap_or_default(),
            read("charmcraft.yaml")?.as_deref(),
            read("config.yaml")?.as_deref(),
            read("actions.yaml")?.as_deref(),
        )
    }

    fn absorb(&mut self, raw: RawMeta) {
        if !raw.name.is_empty() {
            self.name = raw.name;
        }
        if !raw.summary.is_empty() {
            self.summary = raw.summary;
        }
        let sides = [(Role::Provider, raw.provides), (Role::Requirer, raw.requires), (Role::Peer, raw.peers)];
        for (role, endpoints) in sides {
            self.endpoints.extend(endpoints.into_iter().map(|(name, raw)| {
                let RawEndpoint { interface, limit, optional } = raw;
                (name, Endpoint { role, interface, limit, optional })
            }));
        }
        self.containers.extend(raw.containers);
        self.storage.extend(raw.storage);
        self.resources.extend(raw.resources);
        self.config.extend(raw.config.unwrap_or_default().options);
        self.actions.extend(raw.actions);
        self.extra_bindings.extend(raw.extra_bindings.into_keys());
    }

    /// The role of an endpoint, Juju's implicit `juju-info` included.
    #[must_use]
    pub fn role(&self, endpoint: &str) -> Option<Role> {
        match self.endpoints.get(endpoint) {
            Some(found) => Some(found.role),
            None if endpoint == "juju-info" => Some(Role::Provider),
            None => None,
        }
    }

    /// Whether `network-get` knows the name: an endpoint or an extra binding.
    #[must_use]
    pub fn has_binding(&self, name: &str) -> bool {
        self.role(name).is_some() || self.extra_bindings.iter().any(|binding| binding == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_in_one_file_or_split_gives_the_same() {
        let whole = "
name: demo
summary: s
peers: {peers: {interface: p}}
containers: {web: {resource: image, mounts: [{storage: data, location: /data}]}}
storage: {data: {type: filesystem}}
config: {options: {size: {type: int, default: 3}}}
actions: {show: {params: {what: {type: string}}, required: [what]}}
";
        let one = CharmMeta::from_texts("", Some(whole), None, None).unwrap();
        let split = CharmMeta::from_texts(
            "{name: demo, summary: s, peers: {peers: {interface: p}}, storage: {data: {type: filesystem}}}",
            Some("{name: demo, containers: {web: {resource: image, mounts: [{storage: data, location: /data}]}}}"),
            Some("options: {size: {type: int, default: 3}}"),
            Some("show: {params: {what: {type: string}}, required: [what]}"),
        )
        .unwrap();
        assert_eq!(one, split);
        assert_eq!(one.role("peers"), Some(Role::Peer));
        assert_eq!(one.role("juju-info"), Some(Role::Provider));
    }

    #[test]
    fn a_charm_has_a_name() {
        assert!(matches!(CharmMeta::from_texts("# nothing\n", None, None, None), Err(MetaError::NoName)));
        assert!(matches!(CharmMeta::from_texts("name: [", None, None, None), Err(MetaError::Parse { .. })));
    }
}
