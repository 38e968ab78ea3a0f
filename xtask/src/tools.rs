//! The real programs that the simulator runs: Pebble, nginx and the exporter of its metrics; and those that tests talk to.
//!
//! They are made once per machine, in `$XDG_CACHE_HOME/juju-sim/tools` (or the folder that `JUJU_SIM_TOOLS` names):
//! `bin/` and `share/` hold what is used, `stamp/` says from which recipe each was made, `log/` keeps the builds' output.
//! A tool whose stamp equals its recipe is used as it is. Files appear by renaming, so a reader never sees half of one;
//! a lock file keeps two runs from building at once.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;

use crate::process::{cache, capture, cargo, is_executable, is_root, logged, repository, sha256, which};
use crate::progress::Step;

/// Options of `cargo xtask tools`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build nothing: say what is there, and fail if something is missing
    #[arg(long)]
    check: bool,
    /// Only these, also those that take minutes and that are made on demand otherwise
    #[arg(value_parser = names())]
    names: Vec<String>,
}

/// The names of all tools.
fn names() -> PossibleValuesParser {
    TOOLS.iter().chain(&SLOW).map(|tool| tool.name).collect::<Vec<_>>().into()
}

/// How nginx is built: with the paths that the images of charms have. Its worker processes stay root, because root is the
/// only user that there is in a namespace made without privileges.
const NGINX_OPTIONS: [&str; 13] = [
    "--prefix=/etc/nginx",
    "--sbin-path=/usr/sbin/nginx",
    "--conf-path=/etc/nginx/nginx.conf",
    "--error-log-path=/var/log/nginx/error.log",
    "--http-log-path=/var/log/nginx/access.log",
    "--pid-path=/run/nginx.pid",
    "--user=root",
    "--group=root",
    "--with-http_ssl_module",
    "--with-http_v2_module",
    "--with-http_stub_status_module",
    "--with-http_realip_module",
    "--with-threads",
];

/// How programs in Go are built.
const GO_OPTIONS: [&str; 4] = ["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"];

const PEBBLE_PACKAGE: &str = "github.com/canonical/pebble/cmd/pebble";
const KUBE_APISERVER_PACKAGE: &str = "k8s.io/kubernetes/cmd/kube-apiserver";
const TRAEFIK_PACKAGE: &str = "github.com/traefik/traefik/v3/cmd/traefik";
const TEMPO_PACKAGE: &str = "github.com/grafana/tempo/cmd/tempo";
const VERSITYGW_PACKAGE: &str = "github.com/versity/versitygw/cmd/versitygw";

const EXPORTER_SCRIPT: &str =
    include_str!("../../tools/nginx-prometheus-exporter/nginx-prometheus-exporter.sh");

/// Name of the Debian package that holds the exporter, and of the program in it.
const EXPORTER_PACKAGE: &str = "prometheus-nginx-exporter";

/// Name of the Debian package that holds Prometheus and the program that checks its rules.
const PROMETHEUS_PACKAGE: &str = "prometheus";
const PROMETHEUS_PROGRAMS: [&str; 2] = ["prometheus", "promtool"];

/// One program and how it is made.
struct Tool {
    name: &'static str,
    /// What must be there for it to count as made, below the tools folder.
    files: &'static [&'static str],
    /// Text that changes when the tool has to be made again.
    recipe: fn() -> Result<String>,
    make: fn(&Workshop<'_>) -> Result<()>,
    /// What the project does without it.
    without: &'static str,
}

const TOOLS: [Tool; 5] = [
    Tool {
        name: "pebble",
        files: &["bin/pebble"],
        recipe: || go_recipe("pebble"),
        make: |workshop| make_go(workshop, PEBBLE_PACKAGE),
        without: "the simulator uses its in-process Pebble: no workload runs and no traffic is sent",
    },
    Tool {
        name: "nginx",
        files: &["bin/nginx", "share/nginx/mime.types"],
        recipe: nginx_recipe,
        make: make_nginx,
        without: "no traffic is sent",
    },
    Tool {
        name: "nginx-prometheus-exporter",
        files: &["bin/nginx-prometheus-exporter", "bin/prometheus-nginx-exporter"],
        recipe: exporter_recipe,
        make: make_exporter,
        without: "nginx's metrics are not exported",
    },
    Tool {
        name: "prometheus",
        files: &["bin/prometheus", "bin/promtool"],
        recipe: prometheus_recipe,
        make: make_prometheus,
        without: "no real Prometheus reads the alert rules and the scrape jobs",
    },
    Tool {
        name: "jujuc-peer",
        files: &["bin/jujuc-peer"],
        recipe: peer_recipe,
        make: |workshop| make_go(workshop, "."),
        without: "the protocol of the agent's socket is not compared with Go's",
    },
];

/// Each is made only for the checks that need it, since it takes minutes.
const SLOW: [Tool; 4] = [
    Tool {
        name: "kube-apiserver",
        files: &["bin/kube-apiserver"],
        recipe: || go_recipe("kube-apiserver"),
        make: |workshop| make_go(workshop, KUBE_APISERVER_PACKAGE),
        without: "nothing is compared with a real Kubernetes API",
    },
    // The simulator uses it as soon as it is there.
    Tool {
        name: "traefik",
        files: &["bin/traefik"],
        recipe: || go_recipe("traefik"),
        make: |workshop| make_go(workshop, TRAEFIK_PACKAGE),
        without: "no span passes a real Traefik",
    },
    Tool {
        name: "tempo",
        files: &["bin/tempo"],
        recipe: || go_recipe("tempo"),
        make: |workshop| make_go(workshop, TEMPO_PACKAGE),
        without: "no trace is stored in a real Tempo and read back",
    },
    Tool {
        name: "versitygw",
        files: &["bin/versitygw"],
        recipe: || go_recipe("versitygw"),
        make: |workshop| make_go(workshop, VERSITYGW_PACKAGE),
        without: "a real Tempo has no bucket",
    },
];

/// Debian packages that the tools or the simulator need, each with a file or a program that shows it is there.
const FOR_NGINX: [(&str, &str); 6] = [
    ("gcc", "cc"),
    ("make", "make"),
    ("libc6-dev", "/usr/include/stdio.h"),
    ("libpcre2-dev", "/usr/include/pcre2.h"),
    ("zlib1g-dev", "/usr/include/zlib.h"),
    ("libssl-dev", "/usr/include/openssl/ssl.h"),
];
const FOR_PODS: [(&str, &str); 3] = [("iproute2", "ip"), ("util-linux", "unshare"), ("mount", "mount")];

/// Installs the Debian packages that are missing of a list, each with a file or a program that shows it is there; an error
/// names those that are missing afterwards.
pub(crate) fn packages(list: &[(&'static str, &str)]) -> Result<()> {
    let missing = lacking(list);
    if !missing.is_empty() {
        let folder = folder()?;
        let _lock = lock(&folder)?;
        install(&folder, &missing);
    }
    match lacking(list).as_slice() {
        [] => Ok(()),
        missing => bail!("packages of Debian are missing: {}", missing.join(", ")),
    }
}

/// What there is after an attempt to have everything.
pub(crate) struct Tools {
    /// The folder with `bin/` and `share/`; for the variable `JUJU_SIM_TOOLS`.
    pub(crate) folder: PathBuf,
    /// What is missing and why, one sentence each; empty when all is there.
    pub(crate) missing: Vec<String>,
}

impl Tools {
    /// Whether a program is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        is_executable(&self.folder.join("bin").join(name))
    }
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.names.is_empty() {
        return run_for(&options.names, options.check);
    }
    let tools = if options.check { check()? } else { ensure()? };
    println!("tools in {}", tools.folder.display());
    for tool in &TOOLS {
        print(&tools.folder, tool)?;
    }
    for tool in &SLOW {
        // Those that nobody asked for are not missing.
        if is_current(&tools.folder, tool)? {
            print(&tools.folder, tool)?;
        }
    }
    for sentence in &tools.missing {
        println!("{sentence}");
    }
    if options.check && !tools.missing.is_empty() {
        bail!("not everything is there; `cargo xtask tools` makes it");
    }
    Ok(())
}

/// Makes or looks for certain tools.
fn run_for(names: &[String], check: bool) -> Result<()> {
    let folder = folder()?;
    let chosen = TOOLS.iter().chain(&SLOW).filter(|tool| names.iter().any(|name| name == tool.name));
    let mut missing = Vec::new();
    println!("tools in {}", folder.display());
    for tool in chosen {
        if !check {
            make(tool)?;
        } else if !is_current(&folder, tool)? {
            missing.push(tool.name);
        }
        print(&folder, tool)?;
    }
    if !missing.is_empty() {
        let names = missing.join(" ");
        bail!("not everything is there; `cargo xtask tools {names}` makes it");
    }
    Ok(())
}

/// One line about a tool.
fn print(folder: &Path, tool: &Tool) -> Result<()> {
    let state = if is_current(folder, tool)? { version_of(folder, tool) } else { "missing".into() };
    println!("  {:<26} {state}", tool.name);
    Ok(())
}

/// Looks at what is there and makes nothing.
fn check() -> Result<Tools> {
    let folder = folder()?;
    let mut missing = Vec::new();
    for tool in &TOOLS {
        if !is_current(&folder, tool)? {
            missing.push(format!("{} is missing: {}.", tool.name, tool.without));
        }
    }
    missing
        .extend(lacking(&FOR_PODS).iter().map(|package| format!("The package {package} is not installed.")));
    Ok(Tools { folder, missing })
}

/// The program of a tool, made if it is not there; some take minutes.
pub(crate) fn one(name: &str) -> Result<PathBuf> {
    let tool = TOOLS.iter().chain(&SLOW).find(|tool| tool.name == name);
    make(tool.with_context(|| format!("there is no tool {name}"))?)
}

/// The first file of a tool, made if it is not there.
fn make(tool: &Tool) -> Result<PathBuf> {
    let folder = folder()?;
    let _lock = lock(&folder)?;
    if !is_current(&folder, tool)? {
        let step = Step::begin(format!("making {}, which may take some minutes", tool.name));
        let workshop = Workshop::open(&folder, tool)?;
        (tool.make)(&workshop).with_context(|| format!("{} cannot be made: {}", tool.name, tool.without))?;
        workshop.stamp()?;
        workshop.close();
        step.done();
    }
    Ok(folder.join(tool.files[0]))
}

/// Keeps others from making tools for as long as the answer lives.
fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let lock = File::create(folder.join("lock"))?;
    if let Err(TryLockError::WouldBlock) = lock.try_lock() {
        let step = Step::begin("another run is building the tools: waiting");
        lock.lock()?;
        step.done();
    }
    Ok(lock)
}

/// Makes what is missing. What cannot be made here is no error: it is in the answer's `missing`, with the reason.
pub(crate) fn ensure() -> Result<Tools> {
    let folder = folder()?;
    let _lock = lock(&folder)?;

    let mut stale = Vec::new();
    for tool in &TOOLS {
        if !is_current(&folder, tool)? {
            stale.push(tool);
        }
    }
    let mut packages = lacking(&FOR_PODS);
    if stale.iter().any(|tool| tool.name == "nginx") {
        packages.extend(lacking(&FOR_NGINX));
    }
    if !packages.is_empty() {
        install(&folder, &packages);
    }

    let mut missing = Vec::new();
    for tool in stale {
        let workshop = Workshop::open(&folder, tool)?;
        let step = Step::begin(format!("making {}", tool.name));
        match (tool.make)(&workshop) {
            Ok(()) => {
                workshop.stamp()?;
                step.done();
            }
            Err(error) => {
                drop(step);
                missing.push(format!(
                    "{} cannot be made here, so {}. Reason: {error:#}",
                    tool.name, tool.without
                ));
            }
        }
        workshop.close();
    }
    Ok(Tools { folder, missing })
}

fn folder() -> Result<PathBuf> {
    match std::env::var_os("JUJU_SIM_TOOLS").filter(|value| !value.is_empty()) {
        Some(path) => Ok(std::path::absolute(path)?),
        None => Ok(cache()?.join("tools")),
    }
}

/// What a machine lacks of a list of packages.
fn lacking(packages: &[(&'static str, &str)]) -> Vec<&'static str> {
    let there =
        |sign: &str| if sign.starts_with('/') { Path::new(sign).exists() } else { which(sign).is_some() };
    packages.iter().filter(|(_, sign)| !there(sign)).map(|(package, _)| *package).collect()
}

/// Installs packages where that is ours to do; elsewhere, says which line would.
fn install(folder: &Path, packages: &[&str]) {
    let line = format!("apt-get update && apt-get install --no-install-recommends -y {}", packages.join(" "));
    if which("apt-get").is_none() {
        eprintln!("missing: {} (named as Debian's packages are)", packages.join(", "));
    } else if !is_root() {
        eprintln!("missing: {}. As root, run: {line}", packages.join(", "));
    } else {
        let step = Step::begin(format!("installing {}", packages.join(", ")));
        let log = folder.join("apt.log");
        let installed = apt_get(&log, &["update", "-qq"]).and_then(|()| {
            let words = ["install", "-qq", "-y", "--no-install-recommends"]
                .into_iter()
                .chain(packages.iter().copied());
            apt_get(&log, &words.collect::<Vec<_>>())
        });
        match installed {
            Ok(()) => step.done(),
            Err(error) => {
                drop(step);
                eprintln!("{error:#}\nTo install them by hand: {line}");
            }
        }
    }
}

fn apt_get(log: &Path, words: &[&str]) -> Result<()> {
    // Another package manager may hold the lock for a while on a machine that has just started.
    let mut command = Command::new("apt-get");
    command.args(["-o", "DPkg::Lock::Timeout=120"]).args(words).env("DEBIAN_FRONTEND", "noninteractive");
    logged(&mut command, log)
}

fn is_current(folder: &Path, tool: &Tool) -> Result<bool> {
    let stamp = fs::read_to_string(folder.join("stamp").join(tool.name)).unwrap_or_default();
    let files = tool.files.iter().all(|file| folder.join(file).is_file());
    Ok(files && stamp == sha256((tool.recipe)()?.as_bytes()))
}

/// What a program says of itself, for people.
fn version_of(folder: &Path, tool: &Tool) -> String {
    let program = folder.join(tool.files[0]);
    let words: &[&str] = match tool.name {
        "pebble" => &["version", "--client"],
        "nginx" => &["-v"],
        // It has no versions.
        "jujuc-peer" => &["help"],
        "prometheus" | "kube-apiserver" | "versitygw" => &["--version"],
        "traefik" => &["version"],
        _ => &["-version"],
    };
    let Ok(output) = Command::new(&program).args(words).output() else {
        return "does not start".into();
    };
    // nginx answers on standard error.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or_default().chars().take(70).collect()
}

/// Where one tool is made: a folder of its own, a log, and a way to put results in place.
struct Workshop<'a> {
    tool: &'a Tool,
    folder: &'a Path,
    build: PathBuf,
    log: PathBuf,
}

impl<'a> Workshop<'a> {
    fn open(folder: &'a Path, tool: &'a Tool) -> Result<Self> {
        let build = folder.join("build").join(tool.name);
        if build.exists() {
            fs::remove_dir_all(&build)?;
        }
        fs::create_dir_all(&build)?;
        fs::create_dir_all(folder.join("log"))?;
        let log = folder.join("log").join(format!("{}.log", tool.name));
        fs::write(&log, "")?;
        Ok(Self { tool, folder, build, log })
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        logged(command, &self.log)
    }

    /// Puts a file into the tools folder, at once or not at all.
    fn place(&self, content: &Path, name: &str, mode: u32) -> Result<()> {
        let target = self.folder.join(name);
        let parent = target.parent().context("a tool's file has a folder")?;
        fs::create_dir_all(parent)?;
        let fresh = parent.join(format!(".{}.new", self.tool.name));
        fs::copy(content, &fresh).with_context(|| format!("copying {}", content.display()))?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
        fs::rename(&fresh, &target).with_context(|| format!("putting {} in place", target.display()))
    }

    fn stamp(&self) -> Result<()> {
        let fresh = self.build.join("stamp");
        fs::write(&fresh, sha256((self.tool.recipe)()?.as_bytes()))?;
        self.place(&fresh, &format!("stamp/{}", self.tool.name), 0o644)
    }

    fn close(&self) {
        // What is left over is only space; the next build empties the folder first.
        let _ = fs::remove_dir_all(&self.build);
    }
}

/// What a program in Go is made from: the modules that `tools/` pins for it.
fn go_recipe(name: &str) -> Result<String> {
    let module = repository().join("tools").join(name);
    let text =
        |file| fs::read_to_string(module.join(file)).with_context(|| format!("reading tools/{name}/{file}"));
    Ok([text("go.mod")?, text("go.sum")?, GO_OPTIONS.join(" ")].join("\n"))
}

/// The other end of an agent's socket needs nothing but Go's own packages.
fn peer_recipe() -> Result<String> {
    let source = repository().join("tools/jujuc-peer/main.go");
    let source = fs::read_to_string(source).context("reading tools/jujuc-peer/main.go")?;
    Ok([source, GO_OPTIONS.join(" ")].join("\n"))
}

fn make_go(workshop: &Workshop<'_>, package: &str) -> Result<()> {
    let Some(go) = which("go") else { bail!("Go is not installed (go.dev/doc/install)") };
    let name = workshop.tool.name;
    let binary = workshop.build.join(name);
    let mut build = Command::new(go);
    build
        .args(GO_OPTIONS)
        .arg("-o")
        .arg(&binary)
        .arg(package)
        .current_dir(repository().join("tools").join(name))
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off");
    workshop.run(&mut build)?;
    workshop.place(&binary, &format!("bin/{name}"), 0o755)
}

fn nginx_recipe() -> Result<String> {
    let lock = repository().join("tools/nginx/Cargo.lock");
    let lock = fs::read_to_string(lock).context("reading tools/nginx/Cargo.lock")?;
    Ok([lock, NGINX_OPTIONS.join(" ")].join("\n"))
}

fn make_nginx(workshop: &Workshop<'_>) -> Result<()> {
    let lacking = lacking(&FOR_NGINX);
    if !lacking.is_empty() {
        bail!("{} not installed", lacking.join(", "));
    }
    let sources = nginx_sources(workshop)?;
    let tree = workshop.build.join("nginx");
    workshop.run(Command::new("cp").args(["-r", "--"]).arg(&sources).arg(&tree))?;
    workshop.run(Command::new("sh").arg("auto/configure").args(NGINX_OPTIONS).current_dir(&tree))?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    workshop.run(Command::new("make").arg(format!("-j{jobs}")).current_dir(&tree))?;
    let binary = tree.join("objs/nginx");
    if let Some(strip) = which("strip") {
        workshop.run(Command::new(strip).arg(&binary))?;
    }
    workshop.place(&tree.join("conf/mime.types"), "share/nginx/mime.types", 0o644)?;
    workshop.place(&binary, "bin/nginx", 0o755)
}

/// Has cargo fetch the crate that carries nginx's sources, and says where they are.
fn nginx_sources(workshop: &Workshop<'_>) -> Result<PathBuf> {
    let manifest = repository().join("tools/nginx/Cargo.toml");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let command = |words: &[&str]| {
        let mut command = cargo();
        command.args(words).arg("--locked").arg("--manifest-path").arg(&manifest);
        command
    };
    workshop.run(&mut command(&["fetch", "--target", &target]))?;
    let words = ["metadata", "--offline", "--format-version", "1", "--filter-platform", &target];
    let metadata: serde_json::Value = serde_json::from_str(&capture(&mut command(&words))?)?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "nginx-src")
        .map(|package| &package["manifest_path"]);
    let manifest =
        manifest.and_then(|path| path.as_str()).context("cargo metadata does not name nginx-src")?;
    Ok(Path::new(manifest).with_file_name("nginx"))
}

#[expect(clippy::unnecessary_wraps, reason = "one signature for all recipes")]
fn exporter_recipe() -> Result<String> {
    Ok(EXPORTER_SCRIPT.to_owned())
}

fn make_exporter(workshop: &Workshop<'_>) -> Result<()> {
    let binary = match which(EXPORTER_PACKAGE) {
        Some(installed) => installed,
        None => unpack(workshop, EXPORTER_PACKAGE)?.join(EXPORTER_PACKAGE),
    };
    workshop.place(&binary, "bin/prometheus-nginx-exporter", 0o755)?;
    let file = workshop.build.join("script");
    fs::write(&file, EXPORTER_SCRIPT)?;
    workshop.place(&file, "bin/nginx-prometheus-exporter", 0o755)
}

#[expect(clippy::unnecessary_wraps, reason = "one signature for all recipes")]
fn prometheus_recipe() -> Result<String> {
    Ok(format!("{PROMETHEUS_PACKAGE}: {}", PROMETHEUS_PROGRAMS.join(" ")))
}

fn make_prometheus(workshop: &Workshop<'_>) -> Result<()> {
    let installed: Vec<PathBuf> = PROMETHEUS_PROGRAMS.iter().copied().filter_map(which).collect();
    let programs = if installed.len() == PROMETHEUS_PROGRAMS.len() {
        installed
    } else {
        let folder = unpack(workshop, PROMETHEUS_PACKAGE)?;
        PROMETHEUS_PROGRAMS.iter().map(|name| folder.join(name)).collect()
    };
    for (name, program) in PROMETHEUS_PROGRAMS.iter().zip(programs) {
        workshop.place(&program, &format!("bin/{name}"), 0o755)?;
    }
    Ok(())
}

/// The folder with the programs of a Debian package. The package is not installed: it would start a service.
fn unpack(workshop: &Workshop<'_>, package: &str) -> Result<PathBuf> {
    if which("apt-get").is_none() || which("dpkg-deb").is_none() {
        bail!("{package} is not installed, and there is no apt-get to get it with");
    }
    let download = || {
        let mut command = Command::new("apt-get");
        workshop.run(command.args(["download", "-qq", package]).current_dir(&workshop.build))
    };
    if let Err(error) = download() {
        // A machine that has never asked has no lists to look the package up in.
        if !is_root() {
            return Err(error);
        }
        apt_get(&workshop.log, &["update", "-qq"])?;
        download()?;
    }
    let archive = fs::read_dir(&workshop.build)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded no package")?;
    let root = workshop.build.join("root");
    workshop.run(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&root))?;
    Ok(root.join("usr/bin"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::process::write_program;

    fn tool() -> Tool {
        Tool {
            name: "example",
            files: &["bin/example"],
            recipe: || Ok("one".into()),
            make: |workshop| {
                let file = workshop.build.join("made");
                fs::write(&file, "#!/bin/sh\n")?;
                workshop.place(&file, "bin/example", 0o755)
            },
            without: "nothing is lost",
        }
    }

    #[test]
    fn a_tool_is_made_once_and_again_when_its_recipe_changes() {
        let folder = tempfile::tempdir().unwrap();
        let tool = tool();
        assert!(!is_current(folder.path(), &tool).unwrap());
        let workshop = Workshop::open(folder.path(), &tool).unwrap();
        (tool.make)(&workshop).unwrap();
        assert!(!is_current(folder.path(), &tool).unwrap(), "without a stamp it may be half made");
        workshop.stamp().unwrap();
        workshop.close();
        assert!(is_current(folder.path(), &tool).unwrap());
        assert!(is_executable(&folder.path().join("bin/example")));
        assert!(!folder.path().join("build/example").exists());

        let changed = Tool { recipe: || Ok("two".into()), ..tool };
        assert!(!is_current(folder.path(), &changed).unwrap());
        fs::remove_file(folder.path().join("bin/example")).unwrap();
        assert!(!is_current(folder.path(), &changed).unwrap());
    }

    #[test]
    fn tools_have_names_of_their_own_and_all_recipes_can_be_read() {
        let mut seen = BTreeSet::new();
        for tool in TOOLS.iter().chain(&SLOW) {
            assert!(seen.insert(tool.name), "{}", tool.name);
            assert!(!(tool.recipe)().unwrap().is_empty(), "{}", tool.name);
        }
        assert!(one("no-such-tool").is_err());
    }

    #[test]
    fn packages_are_told_by_programs_and_by_files() {
        let asked = [
            ("a-shell", "sh"),
            ("a-folder", "/"),
            ("no-program", "no-such-program"),
            ("no-file", "/no/such"),
        ];
        assert_eq!(lacking(&asked), ["no-program", "no-file"]);
    }

    /// Starts the script beside a stand-in for the real program that prints its arguments, one a line.
    fn translated(arguments: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, text: &str| {
            let path = folder.path().join(name);
            write_program(&path, text);
            path
        };
        program("prometheus-nginx-exporter", "#!/bin/sh\nprintf '%s\\n' \"$@\"\n");
        let script = program("nginx-prometheus-exporter", EXPORTER_SCRIPT);
        let output = Command::new("sh").arg(script).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().skip(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_exporter_takes_the_newer_command_line() {
        let plain = [
            "--web.listen-address=:9113",
            "--nginx.scrape-uri=http://127.0.0.1:8080/status",
            "--no-nginx.ssl-verify",
        ];
        let expected = [
            "--web.listen-address=:9113",
            "--nginx.scrape-uri=http://127.0.0.1:8080/status",
            "-nginx.ssl-verify=false",
        ];
        assert_eq!(translated(&plain), expected);
    }

    #[test]
    fn the_exporter_serves_tls_when_the_web_configuration_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("web-config.yaml");
        let option = format!("--web.config.file={}", config.display());
        fs::write(&config, "{}\n").unwrap();
        assert_eq!(translated(&[&option]), Vec::<String>::new());
        let tls = ["-web.secured-metrics", "-web.ssl-server-cert=/c/a.crt", "-web.ssl-server-key=/c/a.key"];
        fs::write(&config, "tls_server_config:\n  cert_file: /c/a.crt\n  key_file: \"/c/a.key\"\n").unwrap();
        assert_eq!(translated(&[&option]), tls);
        fs::write(&config, "{tls_server_config: {cert_file: /c/a.crt, key_file: /c/a.key}}\n").unwrap();
        assert_eq!(translated(&[&option]), tls);
    }
}
