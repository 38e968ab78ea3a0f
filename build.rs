//! Turns `metadata.yaml` and `charmcraft.yaml` into Rust names, and the descriptions of dashboards and the alert rules into what is
//! published.
//!
//! Every endpoint, container, resource, action and configuration option gets one identifier, and the code uses
//! nothing else. So a name that is changed in the files, but not in the code, does not compile.

#[path = "build/dashboards.rs"]
mod dashboards;
#[path = "build/published.rs"]
mod published;
#[path = "build/rules.rs"]
mod rules;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::{env, fs};

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    name: String,
    containers: BTreeMap<String, Container>,
    resources: BTreeMap<String, Described>,
    provides: BTreeMap<String, Endpoint>,
    requires: BTreeMap<String, Endpoint>,
    peers: BTreeMap<String, Endpoint>,
}

#[derive(Deserialize)]
struct Container {
    resource: String,
}

#[derive(Deserialize)]
struct Described {
    description: String,
}

#[derive(Deserialize)]
struct Endpoint {
    interface: String,
    limit: Option<u32>,
    description: String,
}

#[derive(Deserialize)]
struct Charmcraft {
    config: ConfigSection,
    actions: BTreeMap<String, Described>,
}

#[derive(Deserialize)]
struct ConfigSection {
    options: BTreeMap<String, ConfigOption>,
}

#[derive(Deserialize)]
struct ConfigOption {
    r#type: OptionType,
    default: Option<Default>,
    description: String,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum OptionType {
    Int,
    Boolean,
    Float,
    String,
    Secret,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Default {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

fn main() -> Result<(), Box<dyn Error>> {
    for file in ["build.rs", "build", "metadata.yaml", "charmcraft.yaml", published::DESCRIPTIONS] {
        println!("cargo:rerun-if-changed={file}");
    }
    let metadata: Metadata = serde_yaml::from_str(&fs::read_to_string("metadata.yaml")?)?;
    let charmcraft: Charmcraft = serde_yaml::from_str(&fs::read_to_string("charmcraft.yaml")?)?;

    let mut out = String::new();
    writeln!(out, "/// Name of the charm.\npub const CHARM_NAME: &str = {:?};", metadata.name)?;
    endpoints(&mut out, &metadata)?;
    containers(&mut out, &metadata)?;
    actions(&mut out, &charmcraft)?;
    config(&mut out, &charmcraft)?;
    let folder = env::var("OUT_DIR")?;
    fs::write(format!("{folder}/names.rs"), out)?;
    fs::write(format!("{folder}/dashboards.rs"), published::dashboards(&metadata.name)?)?;
    fs::write(format!("{folder}/rules.rs"), rules::alert_rules()?)?;
    Ok(())
}

fn endpoints(out: &mut String, metadata: &Metadata) -> Result<(), Box<dyn Error>> {
    let all: BTreeMap<&String, (&Endpoint, &str)> = metadata
        .provides
        .iter()
        .map(|(name, e)| (name, (e, "Provides")))
        .chain(metadata.requires.iter().map(|(name, e)| (name, (e, "Requires"))))
        .chain(metadata.peers.iter().map(|(name, e)| (name, (e, "Peer"))))
        .collect();
    let declared = metadata.provides.len() + metadata.requires.len() + metadata.peers.len();
    if all.len() != declared {
        return Err("metadata.yaml: an endpoint name is used twice".into());
    }
    names(
        out,
        "Endpoint",
        "An endpoint of the charm.",
        all.iter().map(|(n, (e, _))| (n.as_str(), &*e.description)),
    )?;
    writeln!(out, "impl Endpoint {{")?;
    table(
        out,
        "Name of the interface that both sides speak.",
        "interface",
        "&'static str",
        &all,
        |(e, _)| format!("{:?}", e.interface),
    )?;
    table(out, "Which side of the interface the charm is.", "role", "EndpointRole", &all, |(_, role)| {
        format!("EndpointRole::{role}")
    })?;
    table(
        out,
        "How many relations the endpoint may have; `None` is any number.",
        "limit",
        "Option<u32>",
        &all,
        |(e, _)| format!("{:?}", e.limit),
    )?;
    writeln!(out, "}}")?;
    Ok(())
}

fn containers(out: &mut String, metadata: &Metadata) -> Result<(), Box<dyn Error>> {
    names(
        out,
        "Container",
        "A workload container of the charm.",
        metadata
            .containers
            .iter()
            .map(|(n, c)| (n.as_str(), metadata.resources.get(&c.resource).map_or("", |r| &*r.description))),
    )?;
    names(
        out,
        "Resource",
        "A resource that the charm is deployed with.",
        metadata.resources.iter().map(|(n, r)| (n.as_str(), &*r.description)),
    )?;
    for container in metadata.containers.values() {
        if !metadata.resources.contains_key(&container.resource) {
            return Err(format!("metadata.yaml: no resource {:?}", container.resource).into());
        }
    }
    writeln!(out, "impl Container {{")?;
    table(out, "The image that the container runs.", "resource", "Resource", &metadata.containers, |c| {
        format!("Resource::{}", pascal(&c.resource))
    })?;
    writeln!(out, "}}")?;
    Ok(())
}

fn actions(out: &mut String, charmcraft: &Charmcraft) -> Result<(), Box<dyn Error>> {
    names(
        out,
        "ActionName",
        "An action of the charm.",
        charmcraft.actions.iter().map(|(n, a)| (n.as_str(), &*a.description)),
    )
}

/// The options as one struct, with the defaults that Juju would fill in.
fn config(out: &mut String, charmcraft: &Charmcraft) -> Result<(), Box<dyn Error>> {
    let mut fields = String::new();
    let mut defaults = String::new();
    for (name, option) in &charmcraft.config.options {
        let field = name.replace('-', "_");
        let (kind, value) = match (option.r#type, &option.default) {
            (OptionType::Int, Some(Default::Int(value))) => ("i64", value.to_string()),
            (OptionType::Int, None) => ("Option<i64>", "None".into()),
            (OptionType::Boolean, Some(Default::Bool(value))) => ("bool", value.to_string()),
            (OptionType::Boolean, None) => ("Option<bool>", "None".into()),
            (OptionType::Float, Some(Default::Float(value))) => ("f64", format!("{value:?}")),
            (OptionType::Float, None) => ("Option<f64>", "None".into()),
            (OptionType::String, Some(Default::Text(value))) => ("String", format!("{value:?}.into()")),
            (OptionType::String | OptionType::Secret, None) => ("Option<String>", "None".into()),
            _ => {
                return Err(
                    format!("charmcraft.yaml: option {name:?}: the default is not of its type").into()
                );
            }
        };
        doc(&mut fields, "    ", &option.description)?;
        // Bindings differ in whether they keep the dashes of option names.
        if field == *name {
            writeln!(fields, "    pub {field}: {kind},")?;
        } else {
            writeln!(fields, "    #[serde(rename = {name:?}, alias = {field:?})]\n    pub {field}: {kind},")?;
        }
        writeln!(defaults, "            {field}: {value},")?;
    }
    writeln!(
        out,
        "/// The configuration options. An option that is left out has its default; unknown ones are ignored.\n\
         #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]\n\
         #[serde(default)]\n\
         #[allow(clippy::struct_excessive_bools)]\n\
         pub struct Config {{\n{fields}}}\n\
         impl Default for Config {{\n    fn default() -> Self {{\n        Self {{\n{defaults}        }}\n    }}\n}}"
    )?;
    Ok(())
}

/// An enum with one variant per name, its list, and the way to text and back.
fn names<'a>(
    out: &mut String,
    kind: &str,
    about: &str,
    entries: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Result<(), Box<dyn Error>> {
    writeln!(
        out,
        "/// {about}\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]\n\
         pub enum {kind} {{"
    )?;
    for (name, description) in entries.clone() {
        doc(out, "    ", description)?;
        writeln!(out, "    #[serde(rename = {name:?})]\n    {},", pascal(name))?;
    }
    writeln!(
        out,
        "}}\nimpl {kind} {{\n    /// All of them, sorted by name.\n    pub const ALL: &[{kind}] = &["
    )?;
    for (name, _) in entries.clone() {
        writeln!(out, "        {kind}::{},", pascal(name))?;
    }
    writeln!(
        out,
        "    ];\n    /// The name as declared.\n    pub const fn as_str(self) -> &'static str {{\n        match self {{"
    )?;
    for (name, _) in entries {
        writeln!(out, "            {kind}::{} => {name:?},", pascal(name))?;
    }
    writeln!(
        out,
        "        }}\n    }}\n\
         \x20   /// The one of this name; `None` if there is none.\n\
         \x20   pub fn from_name(name: &str) -> Option<Self> {{\n\
         \x20       Self::ALL.iter().copied().find(|known| known.as_str() == name)\n    }}\n}}\n\
         impl std::fmt::Display for {kind} {{\n\
         \x20   fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{\n\
         \x20       f.write_str(self.as_str())\n    }}\n}}"
    )?;
    Ok(())
}

/// A method that answers one fact per variant.
fn table<K: AsRef<str>, V>(
    out: &mut String,
    about: &str,
    method: &str,
    kind: &str,
    entries: &BTreeMap<K, V>,
    value: impl Fn(&V) -> String,
) -> Result<(), Box<dyn Error>> {
    writeln!(
        out,
        "    /// {about}\n    #[allow(clippy::match_same_arms)]\n    pub const fn {method}(self) -> {kind} {{\n        match self {{"
    )?;
    for (name, entry) in entries {
        writeln!(out, "            Self::{} => {},", pascal(name.as_ref()), value(entry))?;
    }
    writeln!(out, "        }}\n    }}")?;
    Ok(())
}

fn doc(out: &mut String, indent: &str, text: &str) -> Result<(), Box<dyn Error>> {
    for line in text.trim().lines() {
        writeln!(out, "{indent}/// {line}")?;
    }
    Ok(())
}

fn pascal(name: &str) -> String {
    name.split(['-', '_'])
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        })
        .collect()
}
