//! The charm as charmcraft packs it, and whether it is the one that `cargo xtask pack` makes.
//!
//! Charmcraft comes from PyPI into a virtual environment of the cache folder, in exactly the versions that
//! `tools/charmcraft/requirements.txt` names. It builds a copy of the sources, on this machine itself (`--destructive-mode`), so the copy's
//! `charmcraft.yaml` names this machine's system as the platform; nothing else in it differs. What Juju gets has
//! to be the same: the same files with the same modes and the same bytes. Three files are looked at in another way:
//!
//! - `config.yaml` and `actions.yaml`: the same values, since the two programs write YAML in different styles;
//! - `manifest.yaml`: the same architecture and the same attributes. It also holds a time, charmcraft's version and the base.
//!
//! The program is built from charmcraft's own copy of the sources, by the commands of its `rust` plugin. Only crates of other people are
//! taken from the target folder, where cargo has them from packing: flags and target folder are those of `cargo xtask pack`. The path
//! of the copy is replaced in messages as that of this repository is, so that the program can be compared byte by byte.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use zip::ZipArchive;

use crate::process::{cache, capture, logged, repository, target_directory};
use crate::progress::Step;
use crate::python::{self, Interpreter, Version};
use crate::{pack, tools};

/// Options of `cargo xtask charmcraft`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Install charmcraft, and run nothing
    #[arg(long)]
    only_install: bool,
}

/// The oldest Python that charmcraft runs with.
const OLDEST: Version = (3, 11);
/// Where Debian keeps modules for its own Python, and those that charmcraft needs and PyPI does not have.
const MODULES: &str = "/usr/lib/python3/dist-packages";
const APT: [&str; 3] = ["apt", "apt_pkg.", "apt_inst."];
/// Packages that charmcraft would install itself, and those that it needs to run, each with a sign that it is there.
const PACKAGES: [(&str, &str); 8] = [
    ("python3-apt", "/usr/lib/python3/dist-packages/apt/__init__.py"),
    ("cmake", "cmake"),
    ("curl", "curl"),
    ("gcc", "gcc"),
    ("git", "git"),
    ("libc6-dev", "/usr/include/stdio.h"),
    ("pkg-config", "pkg-config"),
    ("python3-venv", "/var/lib/dpkg/info/python3-venv.list"),
];

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let platform = platform(&fs::read_to_string("/etc/os-release").unwrap_or_default())?;
    tools::packages(&PACKAGES)?;
    let charmcraft = Charmcraft::install()?;
    println!("{}", charmcraft.run(&["--version"])?.trim());
    if options.only_install {
        return Ok(());
    }

    let folder = target_directory()?.join("charmcraft");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    let ours = pack::pack(&repository(), Some(&folder.join("xtask.charm")), false)?;
    let source = folder.join("source");
    copy(&repository(), &source, &[target_directory()?, repository().join(".git")])?;
    let project = source.join("charmcraft.yaml");
    let mut description = pack::yaml(&project)?;
    description["platforms"] = json!({platform.as_str(): null});
    // JSON is YAML, too.
    fs::write(&project, description.to_string())?;

    let step = Step::begin("charmcraft pack");
    charmcraft.pack(&source, &folder)?;
    step.done();
    let theirs = packed(&source)?;
    let findings = charmcraft.analyse(&theirs)?;
    for finding in &findings {
        println!("  {finding}");
    }
    if findings.iter().any(Finding::is_error) {
        bail!("charmcraft finds errors in the charm");
    }

    let read = |path: &Path| -> Result<BTreeMap<String, Entry>> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        entries(bytes).with_context(|| format!("{} is no charm", path.display()))
    };
    let (ours, theirs) = (read(&ours.path)?, read(&theirs)?);
    let differences = differences(&ours, &theirs);
    for difference in &differences {
        println!("  {difference}");
    }
    if !differences.is_empty() {
        bail!("charmcraft packs another charm than `cargo xtask pack`; both are in {}", folder.display());
    }
    println!("charmcraft packs the same charm: {} files, the program byte by byte", ours.len());
    // It is as large as the sources several times over.
    fs::remove_dir_all(&source).with_context(|| format!("removing {}", source.display()))
}

/// This machine's system, as charmcraft names a platform; an error says what is needed.
fn platform(release: &str) -> Result<String> {
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
    };
    let (name, version) = (value("ID"), value("VERSION_ID"));
    match (name.as_str(), version.as_str()) {
        ("debian", "12") | ("ubuntu", "24.04") => Ok(format!("{name}@{version}:{}", pack::architecture())),
        _ => bail!(
            "charmcraft packs on the machine itself here, for which it needs Debian 12 or Ubuntu 24.04, rustup, and root \
             or the packages {}; this is {}",
            PACKAGES.map(|(package, _)| package).join(", "),
            if name.is_empty() { "an unknown system".to_owned() } else { format!("{name} {version}") }
        ),
    }
}

/// An installed charmcraft.
struct Charmcraft {
    program: PathBuf,
    /// Modules that it needs beside its environment.
    modules: PathBuf,
    /// Where it may keep logs and whatever else it likes.
    home: PathBuf,
}

impl Charmcraft {
    fn install() -> Result<Self> {
        let folder = cache()?.join("charmcraft");
        // Debian's own: its modules fit no other.
        let base = Interpreter::of(Some(Path::new("/usr/bin/python3")), OLDEST)?;
        let list = repository().join("tools/charmcraft/requirements.txt");
        let python = python::environment(&base, &folder, &list, "charmcraft")?;
        let modules = folder.join("apt");
        fs::create_dir_all(&modules)?;
        for entry in fs::read_dir(MODULES).with_context(|| format!("reading {MODULES}"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let wanted = APT.iter().any(|apt| name == *apt || apt.ends_with('.') && name.starts_with(apt));
            let link = modules.join(&name);
            if wanted && !link.is_symlink() {
                symlink(entry.path(), link)?;
            }
        }
        let home = folder.join("home");
        // It is used only if nobody else may look into it.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home.join("runtime"))?;
        Ok(Self { program: python.with_file_name("charmcraft"), modules, home })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Parts call `craftctl`, which is beside it.
        let beside = self.program.parent().map(Path::to_path_buf);
        let path = env::var_os("PATH").unwrap_or_default();
        if let Ok(path) = env::join_paths(env::split_paths(&path).chain(beside)) {
            command.env("PATH", path);
        }
        command.env("PYTHONPATH", &self.modules).env("CRAFT_VERBOSITY_LEVEL", "brief");
        for name in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env(name, &self.home);
        }
        command.env("XDG_RUNTIME_DIR", self.home.join("runtime"));
        command
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        capture(self.command().args(words))
    }

    /// Packs the charm of a folder, into that folder.
    fn pack(&self, source: &Path, folder: &Path) -> Result<()> {
        // What cargo calls in the compiler's place. Flags of a wrapper are not part of what cargo compares, so that what was compiled
        // for `cargo xtask pack` of other people's crates is what is used here. The last one that matches counts.
        let wrapper = folder.join("rustc");
        let copy = source.join("parts/dispatch/build");
        let line = format!("exec \"$@\" '--remap-path-prefix={}={}'", copy.display(), pack::SOURCE);
        fs::write(&wrapper, format!("#!/bin/sh\n{line}\n"))?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        let mut command = self.command();
        command.args(["pack", "--destructive-mode"]).current_dir(source);
        command.env_remove("RUSTFLAGS").env(pack::FLAGS, pack::flags(&repository())?);
        command.env("CARGO_TARGET_DIR", target_directory()?).env("RUSTC_WRAPPER", &wrapper);
        logged(&mut command, &folder.join("pack.log"))
    }

    /// What it has to say about a charm.
    fn analyse(&self, charm: &Path) -> Result<Vec<Finding>> {
        let mut command = self.command();
        // Its exit code is that of the worst finding.
        let output = command.args(["analyse", "--format", "json"]).arg(charm).output()?;
        findings(&output.stdout)
            .with_context(|| format!("charmcraft analyse: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// One thing that charmcraft says about a charm.
#[derive(Debug, PartialEq, Eq, serde::Deserialize)]
struct Finding {
    name: String,
    result: String,
    text: String,
}

impl Finding {
    fn is_error(&self) -> bool {
        matches!(self.result.as_str(), "error" | "fatal")
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text.lines().collect::<Vec<_>>().join(" ");
        write!(f, "{:<20} {:<14} {text}", self.name, self.result)
    }
}

/// The findings that say something about this charm.
fn findings(answer: &[u8]) -> Result<Vec<Finding>> {
    let all: Vec<Finding> = serde_json::from_slice(answer).context("reading what charmcraft found")?;
    if all.is_empty() {
        bail!("charmcraft looked at nothing");
    }
    Ok(all.into_iter().filter(|finding| finding.result != "nonapplicable").collect())
}

/// Copies a tree without some folders in it, and without what packing left behind.
fn copy(from: &Path, to: &Path, without: &[PathBuf]) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let kind = fs::symlink_metadata(&path)?.file_type();
        let packed =
            path.to_string_lossy().ends_with(".charm") || path.to_string_lossy().ends_with(".cdx.json");
        if packed || without.contains(&path) {
            continue;
        }
        let to = to.join(name);
        if kind.is_dir() {
            copy(&path, &to, without)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&path)?, &to)?;
        } else if kind.is_file() {
            // Not the time: what is new to cargo is compiled, even if it has compiled the same before.
            fs::copy(&path, &to).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}

/// The one charm in a folder.
fn packed(folder: &Path) -> Result<PathBuf> {
    let paths = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let charms: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "charm")).collect();
    match <[PathBuf; 1]>::try_from(charms) {
        Ok([charm]) => Ok(charm),
        Err(charms) => bail!("charmcraft made {} charms", charms.len()),
    }
}

/// One file of a charm.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    content: Vec<u8>,
    mode: Option<u32>,
}

/// All files of a charm by name.
fn entries(archive: Vec<u8>) -> Result<BTreeMap<String, Entry>> {
    let mut zip = ZipArchive::new(Cursor::new(archive))?;
    let mut entries = BTreeMap::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index)?;
        // Folders are there because of what is in them.
        if file.is_file() {
            let mut content = Vec::new();
            file.read_to_end(&mut content)?;
            let mode = file.unix_mode().map(|mode| mode & 0o7777);
            entries.insert(file.name()?.into_owned(), Entry { content, mode });
        }
    }
    Ok(entries)
}

/// Where two charms differ, one sentence each.
fn differences(ours: &BTreeMap<String, Entry>, theirs: &BTreeMap<String, Entry>) -> Vec<String> {
    let mut differences = Vec::new();
    for name in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let (ours, theirs) = match (ours.get(name), theirs.get(name)) {
            (Some(ours), Some(theirs)) => (ours, theirs),
            (Some(_), None) => {
                differences.push(format!("{name} is not in charmcraft's charm"));
                continue;
            }
            (None, _) => {
                differences.push(format!("{name} is in charmcraft's charm only"));
                continue;
            }
        };
        if ours.mode != theirs.mode {
            let text = |mode: Option<u32>| mode.map_or("none".to_owned(), |mode| format!("{mode:04o}"));
            differences.push(format!(
                "{name} has mode {} here and {} in charmcraft's charm",
                text(ours.mode),
                text(theirs.mode)
            ));
        }
        let same = match name.as_str() {
            "config.yaml" | "actions.yaml" => same_values(ours, theirs, Value::clone),
            "manifest.yaml" => same_values(ours, theirs, lasting),
            _ => ours.content == theirs.content,
        };
        if !same {
            differences.push(unlike(name, ours, theirs));
        }
    }
    differences
}

/// What differs between two files of one name: texts by their first line that does, others by size and place.
fn unlike(name: &str, ours: &Entry, theirs: &Entry) -> String {
    if let (Ok(ours), Ok(theirs)) = (str::from_utf8(&ours.content), str::from_utf8(&theirs.content)) {
        let (mut ours, mut theirs) = (ours.lines(), theirs.lines());
        for number in 1.. {
            match (ours.next(), theirs.next()) {
                (None, None) => break,
                (ours, theirs) if ours == theirs => {}
                (ours, theirs) => {
                    let (ours, theirs) = (ours.unwrap_or("nothing"), theirs.unwrap_or("nothing"));
                    return format!("{name}, line {number}: `{ours}` here, `{theirs}` in charmcraft's charm");
                }
            }
        }
    }
    let at = ours.content.iter().zip(&theirs.content).take_while(|(ours, theirs)| ours == theirs).count();
    let (ours, theirs) = (ours.content.len(), theirs.content.len());
    format!("{name} has {ours} bytes here and {theirs} in charmcraft's charm, and differs from byte {at} on")
}

/// Whether two YAML files say the same, as far as a function of it goes.
fn same_values(ours: &Entry, theirs: &Entry, part: fn(&Value) -> Value) -> bool {
    let read = |entry: &Entry| serde_yaml::from_slice::<Value>(&entry.content).ok().as_ref().map(part);
    let ours = read(ours);
    ours.is_some() && ours == read(theirs)
}

/// What a manifest says that is not about when, with what and on which system the charm was packed.
fn lasting(manifest: &Value) -> Value {
    let bases = manifest["bases"].as_array().into_iter().flatten();
    let architectures: Vec<&Value> = bases.map(|base| &base["architectures"]).collect();
    json!({"analysis": manifest["analysis"], "architectures": architectures})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charm(files: &[(&str, &str, u32)]) -> BTreeMap<String, Entry> {
        let entry = |content: &str, mode| Entry { content: content.as_bytes().to_vec(), mode: Some(mode) };
        files.iter().map(|(name, content, mode)| ((*name).to_owned(), entry(content, *mode))).collect()
    }

    const FILES: [(&str, &str, u32); 4] = [
        ("actions.yaml", "plan: {description: 'Shows.'}\n", 0o644),
        ("dispatch", "\u{7f}ELF program", 0o755),
        (
            "manifest.yaml",
            "analysis: {attributes: []}\nbases: [{architectures: [amd64], channel: '24.04', name: ubuntu}]\n",
            0o644,
        ),
        ("metadata.yaml", "# A comment.\nname: example\n", 0o644),
    ];

    /// What is said after one file of the other charm was replaced, or left out.
    fn after(name: &str, with: Option<(&str, u32)>) -> Vec<String> {
        let ours = charm(&FILES);
        let mut theirs = ours.clone();
        theirs.remove(name);
        if let Some((content, mode)) = with {
            theirs.extend(charm(&[(name, content, mode)]));
        }
        differences(&ours, &theirs)
    }

    #[test]
    fn equal_charms_have_no_differences() {
        assert_eq!(after("dispatch", Some((FILES[1].1, 0o755))), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_is_missing_and_one_too_many_are_named() {
        assert_eq!(after("metadata.yaml", None), ["metadata.yaml is not in charmcraft's charm"]);
        assert_eq!(after("extra", Some(("", 0o644))), ["extra is in charmcraft's charm only"]);
    }

    #[test]
    fn another_mode_is_named() {
        let differences = after("dispatch", Some((FILES[1].1, 0o644)));
        assert_eq!(differences, ["dispatch has mode 0755 here and 0644 in charmcraft's charm"]);
    }

    #[test]
    fn a_changed_text_is_shown_by_its_line() {
        let differences = after("metadata.yaml", Some(("# A comment.\nname: other\n", 0o644)));
        let line = "metadata.yaml, line 2: `name: example` here, `name: other` in charmcraft's charm";
        assert_eq!(differences, [line]);
    }

    #[test]
    fn a_changed_program_is_shown_by_size_and_place() {
        let bytes = |content: &[u8]| Entry { content: content.to_vec(), mode: Some(0o755) };
        let charm = |content| BTreeMap::from([("dispatch".to_owned(), bytes(content))]);
        let differences = differences(&charm(b"\xff\x00ab"), &charm(b"\xff\x00cde"));
        let text = "dispatch has 4 bytes here and 5 in charmcraft's charm, and differs from byte 2 on";
        assert_eq!(differences, [text]);
    }

    #[test]
    fn the_same_text_with_other_ends_of_lines_is_not_the_same_file() {
        let differences = after("metadata.yaml", Some(("# A comment.\r\nname: example\r\n", 0o644)));
        assert_eq!(differences.len(), 1);
    }

    #[test]
    fn options_and_actions_are_compared_by_value_and_not_by_style() {
        let other_style = "plan:\n  description: Shows.\n";
        assert_eq!(after("actions.yaml", Some((other_style, 0o644))), Vec::<String>::new());
        assert_eq!(after("actions.yaml", Some(("plan: {description: Other.}\n", 0o644))).len(), 1);
        assert_eq!(after("actions.yaml", Some(("no: [yaml", 0o644))).len(), 1);
    }

    #[test]
    fn a_manifest_may_name_another_system_and_a_time_but_no_other_architecture() {
        let other = |architecture| {
            format!(
                "analysis: {{attributes: []}}\nbases: [{{architectures: [{architecture}], channel: '12', name: debian}}]\n\
                 charmcraft-version: 4.5.0\n"
            )
        };
        assert_eq!(after("manifest.yaml", Some((&other("amd64"), 0o644))), Vec::<String>::new());
        assert_eq!(after("manifest.yaml", Some((&other("arm64"), 0o644))).len(), 1);
    }

    #[test]
    fn an_archive_is_read_with_its_modes_and_without_its_folders() {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.add_directory("hooks", options).unwrap();
        zip.start_file("hooks/install", options.unix_permissions(0o755)).unwrap();
        std::io::Write::write_all(&mut zip, b"#!/bin/sh\n").unwrap();
        let read = entries(zip.finish().unwrap().into_inner()).unwrap();
        assert_eq!(read, charm(&[("hooks/install", "#!/bin/sh\n", 0o755)]));
    }

    #[test]
    fn errors_among_the_findings_are_seen_and_what_does_not_apply_is_not_shown() {
        let answer = r#"[{"name": "metadata", "result": "error", "text": "no\nname", "url": ""},
            {"name": "naming", "result": "warning", "text": "", "url": ""},
            {"name": "pydeps", "result": "nonapplicable", "text": "no venv", "url": ""}]"#;
        let found = findings(answer.as_bytes()).unwrap();
        assert_eq!(found.iter().map(Finding::is_error).collect::<Vec<_>>(), [true, false]);
        assert!(found[0].to_string().ends_with("no name"));
        assert!(findings(b"[]").is_err() && findings(b"").is_err());
    }

    #[test]
    fn the_platform_is_the_one_that_this_machine_is_and_others_are_told_what_is_needed() {
        let debian = "PRETTY_NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(platform(debian).unwrap(), format!("debian@12:{}", pack::architecture()));
        let error = platform("ID=fedora\nVERSION_ID=43\n").unwrap_err().to_string();
        assert!(error.contains("Debian 12") && error.ends_with("this is fedora 43"), "{error}");
        assert!(platform("").is_err());
    }

    #[test]
    fn a_copy_has_everything_but_what_it_is_told_to_leave_out() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("src")).unwrap();
        fs::create_dir_all(from.join("target/debug")).unwrap();
        fs::write(from.join("src/main.rs"), "fn main() {}\n").unwrap();
        fs::write(from.join("old.charm"), "").unwrap();
        fs::write(from.join("old.charm.cdx.json"), "").unwrap();
        copy(&from, &to, &[from.join("target")]).unwrap();
        let names: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["src"]);
        assert_eq!(fs::read_to_string(to.join("src/main.rs")).unwrap(), "fn main() {}\n");
    }
}
