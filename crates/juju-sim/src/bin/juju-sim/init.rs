//! A model file for charms that there are: what `juju-sim init` writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use juju_sim::{
    CharmMeta, Role,
    charm::{ConfigOption, Endpoint, OptionType},
    model::ModelFile,
    package::read_meta,
};
use serde_json::{Value, json};

use crate::doubles;

/// The file that is written when no other is named.
pub(crate) const FILE: &str = "model.yaml";

/// One of the charms that the model is for.
struct Charm {
    /// As it stands in the model file.
    path: String,
    meta: CharmMeta,
    /// Whether it has something to run: the sources of a compiled charm have not.
    runs: bool,
}

/// An application that plays the other side.
struct Guest {
    double: &'static str,
    meta: CharmMeta,
    /// Whether a charm does not work without it.
    needed: bool,
}

/// One line about a relation.
enum Line {
    /// A relation, and whether it is one from the beginning.
    Pair { left: String, right: String, interface: String, real: bool },
    /// An endpoint that nothing fits.
    Alone { side: String, interface: String, role: Role, optional: bool },
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// Applications of charms, in their order.
    pub(crate) applications: Vec<String>,
    /// Stand-ins that are there from the beginning.
    pub(crate) stand_ins: Vec<String>,
    /// What the user should know before `up`.
    pub(crate) notes: Vec<String>,
    /// The text of the file.
    pub(crate) text: String,
}

/// Writes a model file for charms, or only makes its text where the file is `-`.
pub(crate) fn init(charms: &[PathBuf], file: &Path, name: &str, force: bool) -> Result<Written> {
    let to_output = file == Path::new("-");
    let folder = match file.parent() {
        Some(parent) if !to_output && !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder =
        fs::canonicalize(folder).with_context(|| format!("the folder {} for the model", folder.display()))?;
    let here = [PathBuf::from(".")];
    let charms = if charms.is_empty() { &here[..] } else { charms };
    let charms = charms.iter().map(|charm| read(charm, &folder)).collect::<Result<Vec<_>>>()?;
    let written = write(name, &charms)?;
    // What cannot be read back should not be written.
    ModelFile::parse(&written.text)?;
    if !to_output {
        let mut options = OpenOptions::new();
        options.write(true);
        if force {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        let mut out = options.open(file).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => anyhow::anyhow!(
                "{} exists already; name another file with --output, or replace it with --force",
                file.display()
            ),
            _ => anyhow::Error::new(error).context(format!("writing {}", file.display())),
        })?;
        out.write_all(written.text.as_bytes()).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(written)
}

/// Reads what a charm declares, and where it is as seen from the model file's folder.
fn read(given: &Path, folder: &Path) -> Result<Charm> {
    let meta = read_meta(given).with_context(|| {
        format!("{}: name a packed charm, or the folder of a charm's metadata.yaml", given.display())
    })?;
    let found = if given.is_dir() && !runs(given) { packed(given, &meta.name) } else { None };
    let source = found.as_deref().unwrap_or(given);
    let whole = fs::canonicalize(source).with_context(|| format!("charm {}", source.display()))?;
    let path = relative(&whole, folder).filter(|_| given.is_relative() || whole.starts_with(folder));
    let path = path.unwrap_or(whole);
    Ok(Charm {
        path: path.to_str().with_context(|| format!("{} is not text", path.display()))?.to_owned(),
        meta,
        runs: !source.is_dir() || runs(source),
    })
}

/// Whether a charm's folder has something that runs on hooks.
fn runs(folder: &Path) -> bool {
    let mut hooks = fs::read_dir(folder.join("hooks")).into_iter().flatten().flatten();
    // Sources may have links and scripts that lead to a program which only the packed charm has.
    folder.join("dispatch").exists()
        || hooks.any(|hook| match fs::read_to_string(hook.path()) {
            Ok(text) => !text.contains("dispatch"),
            Err(error) => error.kind() != ErrorKind::NotFound,
        })
}

/// The newest packed charm of this name beside its sources.
fn packed(folder: &Path, name: &str) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let charms = files.filter(|path| path.extension().is_some_and(|extension| extension == "charm"));
    charms
        .filter(|path| read_meta(path).is_ok_and(|meta| meta.name == name))
        .max_by_key(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

/// A path as seen from a folder; `None` where they have nothing but the root in common. Both are absolute.
fn relative(path: &Path, folder: &Path) -> Option<PathBuf> {
    let (path, folder): (Vec<_>, Vec<_>) = (path.components().collect(), folder.components().collect());
    let common = path.iter().zip(&folder).take_while(|(one, other)| one == other).count();
    if common < 2 && folder.len() > 1 {
        return None;
    }
    let up = folder[common..].iter().map(|_| Component::ParentDir);
    let first = if common == folder.len() { Some(Component::CurDir) } else { None };
    Some(first.into_iter().chain(up).chain(path[common..].iter().copied()).collect())
}

/// Applications and relations, decided before anything is written.
#[derive(Default)]
struct Plan {
    guests: BTreeMap<String, Guest>,
    lines: Vec<Line>,
    /// How many relations an endpoint has.
    used: BTreeMap<(String, String), u32>,
}

impl Plan {
    /// Whether an endpoint takes one relation more.
    fn takes(&self, app: &str, name: &str, endpoint: &Endpoint) -> bool {
        let used = self.used.get(&(app.to_owned(), name.to_owned())).copied().unwrap_or_default();
        endpoint.limit.is_none_or(|limit| used < limit)
    }

    fn relate(&mut self, left: (&str, &str), right: (&str, &str), interface: &str, real: bool) {
        for (app, endpoint) in [left, right] {
            *self.used.entry((app.to_owned(), endpoint.to_owned())).or_default() += 1;
        }
        let side = |(app, endpoint)| format!("{app}:{endpoint}");
        let (left, right, interface) = (side(left), side(right), interface.to_owned());
        self.lines.push(Line::Pair { left, right, interface, real });
    }

    /// A stand-in for the other side of an endpoint, one that is there already if it can be: its application and endpoint.
    fn guest(
        &mut self,
        endpoint: &Endpoint,
        app: &str,
        taken: &BTreeSet<String>,
    ) -> Option<(String, String)> {
        let fits = |meta: &CharmMeta| {
            let mut endpoints = meta.endpoints.clone().into_iter();
            endpoints.find(|(_, other)| {
                other.interface == endpoint.interface && Some(other.role) == opposite(endpoint.role)
            })
        };
        let there = self.guests.iter().find_map(|(name, guest)| {
            let (other, declared) = fits(&guest.meta)?;
            self.takes(name, &other, &declared).then(|| (name.clone(), other))
        });
        if there.is_some() {
            return there;
        }
        let (double, meta, other) = doubles::all().find_map(|(double, meta)| {
            let (other, _) = fits(&meta)?;
            Some((double, meta, other))
        })?;
        let free = |name: &String| !taken.contains(name) && !self.guests.contains_key(name);
        let names = [double.to_owned(), format!("{double}-of-{app}")];
        let name = names.into_iter().chain((2..1000).map(|n| format!("{double}-{n}-of-{app}"))).find(free)?;
        self.guests.insert(name.clone(), Guest { double, meta, needed: false });
        Some((name, other))
    }
}

fn opposite(role: Role) -> Option<Role> {
    match role {
        Role::Provider => Some(Role::Requirer),
        Role::Requirer => Some(Role::Provider),
        Role::Peer => None,
    }
}

/// Decides who is related to whom: charms with each other first, then what they need, then what they could have.
fn plan(charms: &[Charm]) -> Plan {
    let mut plan = Plan::default();
    let taken: BTreeSet<String> = charms.iter().map(|charm| charm.meta.name.clone()).collect();
    for requirer in charms {
        let wanted = requirer.meta.endpoints.iter().filter(|(_, endpoint)| endpoint.role == Role::Requirer);
        for (name, endpoint) in wanted {
            for provider in charms.iter().filter(|charm| charm.meta.name != requirer.meta.name) {
                let other =
                    provider.meta.endpoints.iter().find(|(_, other)| {
                        other.role == Role::Provider && other.interface == endpoint.interface
                    });
                let Some((other_name, other)) = other else { continue };
                let (left, right) = (&provider.meta.name, &requirer.meta.name);
                if plan.takes(right, name, endpoint) && plan.takes(left, other_name, other) {
                    plan.relate((left, other_name), (right, name), &endpoint.interface, true);
                }
            }
        }
    }
    let mut open: Vec<_> = charms
        .iter()
        .flat_map(|charm| {
            charm.meta.endpoints.iter().map(|(name, endpoint)| (charm.meta.name.as_str(), name, endpoint))
        })
        .filter(|(app, name, endpoint)| {
            endpoint.role != Role::Peer && !plan.used.contains_key(&((*app).to_owned(), (*name).to_owned()))
        })
        .collect();
    // A sort that keeps the order of equals: charms as given, endpoints by name.
    open.sort_by_key(|(_, _, endpoint)| (endpoint.optional, endpoint.role != Role::Requirer));
    for (app, name, endpoint) in open {
        let interface = endpoint.interface.clone();
        let Some((guest, other)) = plan.guest(endpoint, app, &taken) else {
            let (side, role, optional) = (format!("{app}:{name}"), endpoint.role, endpoint.optional);
            plan.lines.push(Line::Alone { side, interface, role, optional });
            continue;
        };
        if let Some(guest) = plan.guests.get_mut(&guest) {
            guest.needed |= !endpoint.optional;
        }
        plan.relate((app, name), (&guest, &other), &interface, !endpoint.optional);
    }
    plan
}

/// The text of the model file.
fn write(name: &str, charms: &[Charm]) -> Result<Written> {
    for (index, charm) in charms.iter().enumerate() {
        if charms[..index].iter().any(|other| other.meta.name == charm.meta.name) {
            bail!("two of the charms are called {:?}: give one of them", charm.meta.name);
        }
    }
    let plan = plan(charms);
    let mut text = format!(
        "# A model for juju-sim: applications and relations, much as in a bundle of Juju.\n\
         # Where a part is commented out, take the \"#\" at the beginnings of its lines away to have it.\n\
         name: {name}\n\napplications:\n"
    );
    for charm in charms {
        application(&mut text, charm);
    }
    for needed in [true, false] {
        let guests: Vec<_> = plan.guests.iter().filter(|(_, guest)| guest.needed == needed).collect();
        let (about, mark) = if needed {
            ("Stand-ins, built into the simulator, for what the charms need.", "")
        } else {
            ("Stand-ins for what the charms can do without; their relations are below.", "#")
        };
        if !guests.is_empty() {
            let _ = writeln!(text, "  # {about}");
        }
        for (app, guest) in &guests {
            let _ = writeln!(text, "{mark}  {app}:\n{mark}    charm: double:{}", guest.double);
        }
        if !guests.is_empty() {
            text.push('\n');
        }
    }
    relations(&mut text, &plan.lines);
    let notes = charms
        .iter()
        .filter(|charm| !charm.runs)
        .map(|charm| format!("{} has nothing to run yet: {NOTHING_RUNS}", charm.path));
    Ok(Written {
        applications: charms.iter().map(|charm| charm.meta.name.clone()).collect(),
        stand_ins: plan.guests.iter().filter(|(_, guest)| guest.needed).map(|(app, _)| app.clone()).collect(),
        notes: notes.collect(),
        text,
    })
}

const NOTHING_RUNS: &str = "pack it, and name the .charm file in its place; until then its hooks are skipped";

/// An application of a charm, with all that can be said about it.
fn application(text: &mut String, Charm { path, meta, runs }: &Charm) {
    let summary = meta.summary.lines().next().unwrap_or_default().trim();
    if !summary.is_empty() {
        let _ = writeln!(text, "  # {summary}");
    }
    let _ = writeln!(text, "  {}:", meta.name);
    let _ =
        writeln!(text, "    # A packed charm or a charm's folder; paths are seen from this file's folder.");
    if !runs {
        let _ = writeln!(text, "    # This folder has no program for hooks: {NOTHING_RUNS}.");
    }
    let _ = writeln!(text, "    charm: {}", scalar(path));
    let _ =
        writeln!(text, "    # Units to begin with; add-unit and remove-unit change it while the model runs.");
    let _ = writeln!(text, "    scale: 1");
    // Charms with containers run in Kubernetes, where most of them are deployed with --trust.
    let trust = !meta.containers.is_empty();
    let _ = writeln!(text, "    # Whether the charm may do everything in the cluster, as after juju trust.");
    let _ = writeln!(text, "    trust: {trust}");
    if !meta.config.is_empty() {
        let _ = writeln!(text, "    # Options; these are the charm's defaults.");
        let _ = writeln!(text, "#    options:");
        for (name, option) in &meta.config {
            let _ = writeln!(text, "#      {}: {}", scalar(name), default(option));
        }
    }
    if !meta.containers.is_empty() {
        let _ = writeln!(
            text,
            "    # Containers run the programs of this machine and of the tools folder (juju-sim doctor)."
        );
        for (name, container) in &meta.containers {
            let image = meta.resources.get(&container.resource);
            let upstream = image.and_then(|image| image.upstream_source.as_deref());
            let upstream = upstream.map(|image| format!(", which stands for {image}")).unwrap_or_default();
            let mounts = container.mounts.iter();
            let mounts = mounts.map(|mount| format!("; storage {} at {}", mount.storage, mount.location));
            let mounts = mounts.collect::<String>();
            let image = if container.resource.is_empty() { "no image" } else { &container.resource };
            let _ = writeln!(text, "    #   {name}: {image}{upstream}{mounts}");
        }
        let images: BTreeSet<&str> = meta.containers.values().map(|it| it.resource.as_str()).collect();
        let images: Vec<_> = images.into_iter().filter(|image| !image.is_empty()).collect();
        if !images.is_empty() {
            let _ = writeln!(
                text,
                "    # More in an image: files as PATH INSIDE: FILE HERE, folders to make, and variables."
            );
            let _ = writeln!(text, "#    images:");
            for image in images {
                let _ =
                    writeln!(text, "#      {}: {{files: {{}}, dirs: [], environment: {{}}}}", scalar(image));
            }
        }
    }
    let files = meta.resources.iter().filter(|(_, resource)| resource.kind == "file");
    let files: Vec<_> = files.collect();
    if !files.is_empty() {
        let _ = writeln!(text, "    # Files that the charm asks for with resource-get.");
        let _ = writeln!(text, "#    resources:");
        for (name, resource) in files {
            let file = if resource.filename.is_empty() { name } else { &resource.filename };
            let _ = writeln!(text, "#      {}: {}", scalar(name), scalar(&format!("./{file}")));
        }
    }
    text.push('\n');
}

/// Relations, those that are there from the beginning first.
fn relations(text: &mut String, lines: &[Line]) {
    let real = lines.iter().filter(|line| matches!(line, Line::Pair { real: true, .. })).count();
    let pairs = lines.iter().filter(|line| matches!(line, Line::Pair { .. })).count();
    let _ = writeln!(
        text,
        "# Pairs of APPLICATION:ENDPOINT; juju-sim integrate and remove-relation change them later."
    );
    let mark = if real > 0 { "" } else { "#" };
    let none = if pairs > 0 { "" } else { " []" };
    let mark = if pairs > 0 { mark } else { "" };
    let _ = writeln!(text, "{mark}relations:{none}");
    for wanted in [true, false] {
        for line in lines {
            match line {
                Line::Pair { left, right, interface, real } if *real == wanted => {
                    let mark = if *real { "" } else { "#" };
                    let _ = writeln!(text, "{mark}  - [{left}, {right}]  # {interface}");
                }
                Line::Alone { side, interface, role, optional } if *optional != wanted => {
                    let verb = if *role == Role::Provider { "requires" } else { "provides" };
                    let needed = if *optional { "" } else { "needed, and " };
                    let _ = writeln!(
                        text,
                        "  # {side} ({interface}): {needed}no stand-in is built in; add a charm that {verb} it."
                    );
                }
                _ => {}
            }
        }
    }
}

/// An option's default, or something of its type.
fn default(option: &ConfigOption) -> Value {
    option.default.clone().unwrap_or_else(|| match option.kind {
        OptionType::String => json!(""),
        OptionType::Int => json!(0),
        OptionType::Float => json!(0.0),
        OptionType::Boolean => json!(false),
        OptionType::Secret => json!("secret:ID"),
    })
}

/// A text as YAML, in quotes only where it could be taken for something else.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '.' || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text)
        && !(text.starts_with('.') && text[1..].starts_with(|c: char| c.is_ascii_alphanumeric()));
    if plain { text.to_owned() } else { json!(text).to_string() }
}

#[cfg(test)]
mod tests;
