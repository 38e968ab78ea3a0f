//! Builds a charm written in Rust and packs it: same input, same bytes.
//!
//! The archive has the layout that charmcraft gives it, so that Juju and Charmhub see an ordinary charm: `dispatch` is
//! the compiled program itself; `metadata.yaml` is taken over as it is; `config.yaml` and `actions.yaml` are parts of
//! `charmcraft.yaml`, there only when they say something; `manifest.yaml` names the base. Entries are sorted and carry
//! no time, and the program is compiled so that it holds no path of the machine it was built on.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::process::{capture, cargo, repository, sha256, show};
use crate::sbom;

/// Options of `cargo xtask pack`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder of the charm: Cargo.toml, metadata.yaml, charmcraft.yaml [default: this repository]
    #[arg(long, value_name = "DIR")]
    charm: Option<PathBuf>,
    /// The file to write [default: in this repository, named after charm and architecture]; a bill of materials in CycloneDX
    /// goes beside it, as FILE.cdx.json
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compile without optimisation: quick to build, large, slower
    #[arg(long)]
    debug: bool,
    /// Afterwards compile the charm's own package from scratch, pack again, and fail unless every byte is the same
    #[arg(long)]
    twice: bool,
}

/// The variable that holds the compiler's flags.
pub(crate) const FLAGS: &str = "CARGO_ENCODED_RUSTFLAGS";
/// What the program calls the folder with the sources, whatever it is on this machine.
pub(crate) const SOURCE: &str = "/source";

/// The compiler's flags with which the charm in a folder is packed, as [`FLAGS`] holds them.
pub(crate) fn flags(folder: &Path) -> Result<String> {
    Ok(Package::of(folder)?.flags())
}

/// A packed charm.
pub(crate) struct Packed {
    /// Name of the charm.
    name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Size of the file in bytes.
    pub(crate) size: usize,
    /// Size of its entries in bytes, unpacked.
    pub(crate) unpacked: usize,
    /// SHA-256 of the file, hexadecimal.
    pub(crate) digest: String,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = options.charm.clone().unwrap_or_else(repository);
    let packed = pack(&folder, options.out.as_deref(), options.debug)?;
    packed.print();
    let materials = packed.materials(&folder)?;
    let path = beside(&packed.path, ".cdx.json");
    fs::write(&path, &materials).with_context(|| format!("writing {}", path.display()))?;
    println!("{}: the crates in it", path.display());
    if options.twice {
        let package = Package::of(&folder)?;
        let mut clean = cargo();
        clean.args(["clean", "--quiet", "--package", &package.id]);
        if !options.debug {
            clean.arg("--release");
        }
        show(&mut clean)?;
        let again = beside(&packed.path, ".again");
        let second = pack(&folder, Some(&again), options.debug);
        // The second file has served its purpose, whatever came out.
        let _ = fs::remove_file(&again);
        let second = second?;
        if second.digest != packed.digest {
            bail!("packed twice, and the bytes differ: sha256 {} and {}", packed.digest, second.digest);
        }
        if second.materials(&folder)? != materials {
            bail!("packed twice, and the lists of crates differ");
        }
        println!("packed again from scratch: every byte the same");
    }
    Ok(())
}

impl Packed {
    /// Which crates are in it, as a document.
    fn materials(&self, folder: &Path) -> Result<String> {
        let package = Package::of(folder)?;
        sbom::text(&sbom::Charm {
            name: &self.name,
            package: &package.id,
            digest: &self.digest,
            lock: &package.workspace.join("Cargo.lock"),
        })
    }

    /// One line for people: file, sizes, digest.
    pub(crate) fn print(&self) {
        let (size, unpacked) = (megabytes(self.size), megabytes(self.unpacked));
        println!("{}: {size} MB ({unpacked} MB unpacked), sha256 {}", self.path.display(), self.digest);
    }
}

/// Builds and packs the charm in a folder.
pub(crate) fn pack(folder: &Path, out: Option<&Path>, debug: bool) -> Result<Packed> {
    let folder = folder.canonicalize().with_context(|| format!("no folder {}", folder.display()))?;
    let package = Package::of(&folder)?;
    let program = package.build(debug)?;
    let dispatch = fs::read(&program).with_context(|| format!("reading {}", program.display()))?;
    if !debug {
        package.check_paths(&dispatch)?;
    }
    let entries = entries(&folder, dispatch)?;
    let unpacked = entries.values().map(|entry| entry.content.len()).sum();
    let archive = archive(&entries)?;

    let charmcraft = yaml(&folder.join("charmcraft.yaml"))?;
    let name = match yaml(&folder.join("metadata.yaml"))?["name"].as_str().or(charmcraft["name"].as_str()) {
        Some(name) => name.to_owned(),
        None => bail!("neither metadata.yaml nor charmcraft.yaml gives the charm a name"),
    };
    let path = match out {
        Some(path) => std::path::absolute(path)?,
        None => repository().join(format!("{name}_{}.charm", architecture())),
    };
    let parent = path.parent().context("the file to write has a folder")?;
    fs::create_dir_all(parent)?;
    // Whoever reads the file sees the old one or the new one.
    let fresh = path.with_extension("charm.new");
    fs::write(&fresh, &archive).with_context(|| format!("writing {}", fresh.display()))?;
    fs::rename(&fresh, &path)?;
    Ok(Packed { name, path, size: archive.len(), unpacked, digest: sha256(&archive) })
}

/// The cargo package of a charm.
struct Package {
    /// As cargo names it, unambiguous.
    id: String,
    /// Name of its one program.
    program: String,
    workspace: PathBuf,
    target: PathBuf,
}

/// The path with something added to the file's name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.to_path_buf().into_os_string();
    path.push(suffix);
    path.into()
}

impl Package {
    fn of(folder: &Path) -> Result<Self> {
        let folder = folder.canonicalize()?;
        let manifest = folder.join("Cargo.toml");
        let mut command = cargo();
        // Where it is compiled into may be said by a configuration of its own.
        command.current_dir(&folder);
        command.args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"]).arg(&manifest);
        let metadata: Value = serde_json::from_str(&capture(&mut command)?)?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let package = list(&metadata["packages"])
            .into_iter()
            .find(|package| package["manifest_path"].as_str().map(Path::new) == Some(&manifest))
            .with_context(|| format!("{} is no package", manifest.display()))?;
        let programs: Vec<String> = list(&package["targets"])
            .iter()
            .filter(|target| list(&target["kind"]).contains(&json!("bin")))
            .filter_map(|target| target["name"].as_str().map(str::to_owned))
            .collect();
        let [program] = programs.as_slice() else {
            bail!("a charm is one program, and {} has {}", manifest.display(), programs.len());
        };
        let id = package["id"].as_str().context("cargo metadata gives no package id")?.to_owned();
        let directory = |key: &str| {
            let path = metadata[key].as_str().with_context(|| format!("cargo metadata gives no {key}"))?;
            anyhow::Ok(PathBuf::from(path))
        };
        let (workspace, target) = (directory("workspace_root")?, directory("target_directory")?);
        Ok(Self { id, program: program.clone(), workspace, target })
    }

    /// Compiles the program and says where it is.
    fn build(&self, debug: bool) -> Result<PathBuf> {
        let mut command = cargo();
        // A charm may be anywhere, in a workspace of its own; a new one has no versions yet to keep to.
        command.current_dir(&self.workspace);
        command.args(["build", "--package", &self.id, "--bin", &self.program]);
        if self.workspace.join("Cargo.lock").exists() {
            command.arg("--locked");
        }
        if !debug {
            // Without optimisation nobody ships it, and other flags than everyone's would compile all again.
            command.arg("--release").env_remove("RUSTFLAGS").env(FLAGS, self.flags());
            // The library for cryptography would gather randomness of its own for 20 ms before the first handshake of each
            // hook. The kernel's is good.
            command.env("AWS_LC_SYS_NO_JITTER_ENTROPY", "1");
        }
        show(&mut command)?;
        Ok(self.target.join(if debug { "debug" } else { "release" }).join(&self.program))
    }

    /// The caller's compiler flags, and those that take this machine's paths out of messages in the program.
    fn flags(&self) -> String {
        let given = env::var("CARGO_ENCODED_RUSTFLAGS").or_else(|_| {
            env::var("RUSTFLAGS").map(|flags| flags.split_whitespace().collect::<Vec<_>>().join("\u{1f}"))
        });
        let mut flags: Vec<String> = given.into_iter().filter(|flags| !flags.is_empty()).collect();
        // The last match wins in the compiler: the widest folder comes first.
        for (path, name) in self.paths() {
            flags.push(format!("--remap-path-prefix={}={name}", path.display()));
        }
        flags.join("\u{1f}")
    }

    /// Folders of this machine that compilation sees, and what the program calls them instead.
    fn paths(&self) -> Vec<(PathBuf, &'static str)> {
        let mut paths = vec![(repository(), SOURCE), (self.target.clone(), "/build")];
        let home = env::var_os("HOME").map(PathBuf::from);
        let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home?.join(".cargo")));
        if let Some(cargo_home) = cargo_home {
            paths.insert(0, (cargo_home.clone(), "/cargo"));
            // The registry's folder has a name that cargo makes up; without it, paths are the same everywhere.
            let registries = fs::read_dir(cargo_home.join("registry/src")).into_iter().flatten().flatten();
            paths.extend(registries.map(|entry| (entry.path(), "/crates")));
        }
        paths
    }

    fn check_paths(&self, program: &[u8]) -> Result<()> {
        for (path, _) in self.paths() {
            let needle = path.to_string_lossy().into_owned().into_bytes();
            if let Some(at) = program.windows(needle.len()).position(|window| window == needle) {
                let end = program.len().min(at + 160);
                let around = String::from_utf8_lossy(&program[at..end]);
                let around =
                    around.split(|c: char| c.is_control() || c == '\u{fffd}').next().unwrap_or_default();
                bail!("the program holds a path of this machine: {around}");
            }
        }
        Ok(())
    }
}

/// One file in the archive.
struct Entry {
    content: Vec<u8>,
    mode: u32,
}

/// All files of a charm by name, from its folder and its compiled program.
fn entries(folder: &Path, dispatch: Vec<u8>) -> Result<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    let mut add =
        |name: &str, content: Vec<u8>, mode| entries.insert(name.to_owned(), Entry { content, mode });
    // What a charm does not bring itself is shared by all charms in this repository.
    let find = |name: &str| {
        [folder.to_path_buf(), repository()].map(|root| root.join(name)).into_iter().find(|p| p.exists())
    };
    let charmcraft = yaml(&folder.join("charmcraft.yaml"))?;

    add("dispatch", dispatch, 0o755);
    let metadata = folder.join("metadata.yaml");
    add(
        "metadata.yaml",
        fs::read(&metadata).with_context(|| format!("reading {}", metadata.display()))?,
        0o644,
    );
    add("manifest.yaml", text(&manifest(&charmcraft)?)?, 0o644);
    for (key, name) in [("config", "config.yaml"), ("actions", "actions.yaml")] {
        if says_something(&charmcraft[key]) {
            add(name, text(&charmcraft[key])?, 0o644);
        }
    }
    let license = find("LICENSE").context("there is no LICENSE")?;
    add("LICENSE", fs::read(license)?, 0o644);
    let hooks = find("hooks").context("there is no folder hooks")?;
    for hook in fs::read_dir(hooks)? {
        let hook = hook?;
        add(&format!("hooks/{}", hook.file_name().to_string_lossy()), fs::read(hook.path())?, 0o755);
    }
    Ok(entries)
}

/// `manifest.yaml` as charmcraft writes it, without the time and the version of charmcraft.
fn manifest(charmcraft: &Value) -> Result<Value> {
    let platforms = charmcraft["platforms"].as_object();
    // `base: ubuntu@26.04`, or the base is part of the platform's name: `ubuntu@26.04:amd64`.
    let base = charmcraft["base"].as_str().map(str::to_owned).or_else(|| {
        let named = platforms?.keys().find_map(|platform| platform.split_once(':'));
        named.map(|(base, _)| base.to_owned())
    });
    let base = base.context("charmcraft.yaml names no base")?;
    let (name, channel) = base.split_once('@').with_context(|| format!("not a base: {base}"))?;
    Ok(json!({
        "analysis": {"attributes": [
            {"name": "language", "result": "unknown"},
            {"name": "framework", "result": "unknown"},
        ]},
        "bases": [{"architectures": [architecture()], "channel": channel, "name": name}],
    }))
}

/// This machine's architecture as Debian and Juju name it.
pub(crate) fn architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64el",
        other => other,
    }
}

fn says_something(value: &Value) -> bool {
    value.as_object().is_some_and(|map| !map.is_empty())
}

pub(crate) fn yaml(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("{} is not YAML", path.display()))
}

/// A value as YAML with sorted keys; strings that a YAML 1.1 reader would take for something else are quoted.
fn text(value: &Value) -> Result<Vec<u8>> {
    Ok(serde_yaml::to_string(value)?.into_bytes())
}

/// The zip file: sorted, without times, with fixed modes.
fn archive(entries: &BTreeMap<String, Entry>) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, entry) in entries {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(DateTime::DEFAULT)
            .unix_permissions(entry.mode);
        zip.start_file(name.as_str(), options)?;
        zip.write_all(&entry.content)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Bytes as millions of bytes with one decimal.
fn megabytes(bytes: usize) -> String {
    let tenths = bytes.saturating_add(50_000) / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder with the texts of a charm in it.
    fn charm(charmcraft: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("metadata.yaml"), "# Kept as it is.\nname: example\n").unwrap();
        fs::write(folder.path().join("charmcraft.yaml"), charmcraft).unwrap();
        folder
    }

    const FULL: &str = "base: ubuntu@26.04\nplatforms: {amd64: }\n\
        config: {options: {b: {type: string, default: 'yes'}, a: {type: int, default: 720}}}\n\
        actions: {show: {description: Shows.}}\n";

    #[test]
    fn an_archive_holds_what_a_charm_has() {
        let folder = charm(FULL);
        let entries = entries(folder.path(), b"program".to_vec()).unwrap();
        let names: Vec<&str> = entries.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "LICENSE",
                "actions.yaml",
                "config.yaml",
                "dispatch",
                "hooks/install",
                "hooks/start",
                "hooks/upgrade-charm",
                "manifest.yaml",
                "metadata.yaml"
            ]
        );
        let text = |name: &str| String::from_utf8(entries[name].content.clone()).unwrap();
        assert_eq!(text("metadata.yaml"), "# Kept as it is.\nname: example\n");
        let read = |name: &str| serde_yaml::from_str::<Value>(&text(name)).unwrap();
        assert_eq!(read("config.yaml")["options"]["a"]["default"], json!(720));
        assert_eq!(read("config.yaml")["options"]["b"]["default"], json!("yes"));
        assert!(!text("config.yaml").contains(": yes"), "a YAML 1.1 reader would see a boolean");
        assert_eq!(read("actions.yaml"), json!({"show": {"description": "Shows."}}));
        let base = json!({"architectures": [architecture()], "channel": "26.04", "name": "ubuntu"});
        assert_eq!(read("manifest.yaml")["bases"], json!([base]));
    }

    #[test]
    fn a_charm_without_actions_and_config_has_no_such_files() {
        let folder = charm("platforms: {'ubuntu@24.04:amd64': }\nactions: {}\n");
        let entries = entries(folder.path(), Vec::new()).unwrap();
        assert!(!entries.contains_key("actions.yaml") && !entries.contains_key("config.yaml"));
        let manifest: Value = serde_yaml::from_slice(&entries["manifest.yaml"].content).unwrap();
        assert_eq!(manifest["bases"][0]["channel"], "24.04");
    }

    #[test]
    fn packing_twice_gives_the_same_bytes_with_sorted_entries_and_fixed_modes() {
        let folder = charm(FULL);
        let pack = || archive(&entries(folder.path(), b"program".to_vec()).unwrap()).unwrap();
        let first = pack();
        assert_eq!(first, pack());
        let mut zip = zip::ZipArchive::new(Cursor::new(first)).unwrap();
        let names: Vec<String> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert!(names.is_sorted());
        let mut dispatch = zip.by_name("dispatch").unwrap();
        assert_eq!(dispatch.unix_mode().unwrap() & 0o777, 0o755);
        let mut content = String::new();
        dispatch.read_to_string(&mut content).unwrap();
        assert_eq!(content, "program");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(megabytes(9_949_346), "9.9");
        assert_eq!(megabytes(0), "0.0");
    }

    #[test]
    fn the_entry_points_of_hooks_can_be_started() {
        for hook in fs::read_dir(repository().join("hooks")).unwrap() {
            let mode = hook.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o111, 0o111);
        }
    }
}
