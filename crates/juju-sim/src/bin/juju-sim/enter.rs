//! Entering and making namespaces, and building a container's root.
//!
//! Linux lets only a single-threaded process change its mount, user or process namespaces, and code between `fork` and `exec` cannot
//! be written in safe Rust. So each step is a start of this program's own executable under a hidden verb: `internal-enter` changes
//! namespaces and then starts (or becomes) the command, `internal-exec` is the first process inside.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use juju_sim::package::copy;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl,
        signal::{SigSet, Signal},
        statvfs::{FsFlags, statvfs},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{pivot_root, sethostname},
};
use serde::{Deserialize, Serialize};

/// Where this program lies inside every container.
pub(crate) const INSIDE: &str = "/charm/bin/juju-sim";

/// What to change before the command runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Enter {
    /// Process whose network namespace and host name are joined: the pod.
    pub(crate) pod: Option<u32>,
    /// Process whose mounts and processes are joined as well: a running container.
    pub(crate) container: Option<u32>,
    /// Makes a new pod with this host name.
    pub(crate) new_pod: Option<String>,
    /// Makes a new container with this root.
    pub(crate) new_container: Option<Root>,
    /// File that gets the process id of the new container's first process.
    pub(crate) pid_file: Option<PathBuf>,
    /// The command's surroundings.
    pub(crate) exec: Exec,
}

/// What the command itself sees.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Exec {
    /// The whole environment; nothing is inherited.
    pub(crate) env: BTreeMap<String, String>,
    /// Working directory.
    pub(crate) cwd: Option<PathBuf>,
    /// Root still to be built and switched to, by the first process of a container.
    pub(crate) root: Option<Root>,
    /// File that must be there first: whoever sees the command run shall find its process id.
    pub(crate) after: Option<PathBuf>,
    /// Die with the process that waits for this one.
    pub(crate) tied: bool,
}

/// A container's file system: the host's programs read-only, everything else its own and gone with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Root {
    /// Empty folder to build it on.
    pub(crate) base: PathBuf,
    /// Host path to path inside, in this order.
    pub(crate) binds: Vec<Bind>,
    /// Folders to make.
    pub(crate) dirs: Vec<PathBuf>,
    /// Text files by absolute path.
    pub(crate) files: BTreeMap<PathBuf, String>,
}

/// One bind mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bind {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) writable: bool,
}

/// `internal-enter`: changes namespaces, runs the command, ends as it ended.
pub(crate) fn enter(spec: &str, command: &[String]) -> Result<ExitCode> {
    let mut spec: Enter = serde_json::from_str(spec).context("reading the specification")?;
    // All files are opened before the first switch: afterwards /proc may be another one.
    let mut joins = Vec::new();
    if let Some(pod) = spec.pod {
        joins.push((namespace(pod, "net")?, CloneFlags::CLONE_NEWNET));
        joins.push((namespace(pod, "uts")?, CloneFlags::CLONE_NEWUTS));
    }
    if let Some(container) = spec.container {
        joins.push((namespace(container, "pid")?, CloneFlags::CLONE_NEWPID));
        joins.push((namespace(container, "mnt")?, CloneFlags::CLONE_NEWNS));
    }
    for (file, kind) in joins {
        setns(file, kind).with_context(|| format!("joining {kind:?}"))?;
    }
    if let Some(name) = &spec.new_pod {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS)
            .context("making the pod's network namespace")?;
        sethostname(name).context("setting the host name")?;
    }
    if spec.new_container.is_none() && spec.container.is_none() {
        let spec = serde_json::to_string(&spec.exec)?;
        return exec(&spec, command);
    }
    // A process namespace holds for children only, so there is one: this process waits for it, and it dies with this process.
    let program = if spec.container.is_some() { Path::new(INSIDE) } else { Path::new("/proc/self/exe") };
    if let Some(root) = spec.new_container.take() {
        // The mounts are unshared by the child: a new root is a new root for every process of the mount namespace, this one too.
        unshare(CloneFlags::CLONE_NEWPID).context("making the container's process namespace")?;
        spec.exec.root = Some(root);
    }
    spec.exec.tied = true;
    spec.exec.after.clone_from(&spec.pid_file);
    if let Some(file) = &spec.pid_file {
        let _ = fs::remove_file(file);
    }
    let mut child = Command::new(program)
        .arg0("juju-sim")
        .args(["internal-exec", &serde_json::to_string(&spec.exec)?, "--"])
        .args(command)
        .spawn()
        .context("starting the first process inside")?;
    if let Some(file) = &spec.pid_file {
        let next = file.with_extension("next");
        fs::write(&next, child.id().to_string())
            .and_then(|()| fs::rename(&next, file))
            .context("writing the process id")?;
    }
    let status = child.wait()?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)))
}

/// `internal-exec`: builds the root if asked to, then becomes the command.
pub(crate) fn exec(spec: &str, command: &[String]) -> Result<ExitCode> {
    let spec: Exec = serde_json::from_str(spec).context("reading the specification")?;
    if spec.tied {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
    }
    if let Some(file) = &spec.after {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !file.exists() {
            if Instant::now() > deadline {
                bail!("{} was not written", file.display());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    if let Some(root) = &spec.root {
        root.build().context("building the container's root")?;
    }
    let [program, arguments @ ..] = command else { bail!("no command given") };
    let mut next = Command::new(find(program, spec.env.get("PATH").map_or("", String::as_str)));
    next.arg0(program).args(arguments).env_clear().envs(&spec.env);
    if let Some(cwd) = &spec.cwd {
        next.current_dir(cwd);
    }
    let error = next.exec();
    eprintln!("juju-sim: cannot run {program}: {error}");
    // As a shell does: 127 not found, 126 not runnable.
    Ok(ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }))
}

/// Looks a bare name up on the path that the command will have, not on ours.
fn find(program: &str, path: &str) -> PathBuf {
    if program.contains('/') {
        return program.into();
    }
    path.split(':')
        .map(|dir| Path::new(dir).join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| program.into())
}

/// `internal-pause`: keeps a pod's or a container's namespaces alive, and buries orphans where it is the first process.
///
/// Says `ready` once on standard output. With `--until-eof` it ends when standard input closes.
pub(crate) fn pause(until_eof: bool) -> Result<ExitCode> {
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block()?;
    println!("ready");
    std::io::stdout().flush()?;
    if until_eof {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive)
        {
        }
        children.wait()?;
    }
}

/// `internal-init`: the first process of a whole model. It starts the daemon, buries orphans and ends with the daemon's code.
pub(crate) fn init(arguments: &[String]) -> Result<ExitCode> {
    let daemon = Command::new("/proc/self/exe")
        .arg0("juju-sim")
        .args(arguments)
        .spawn()
        .context("starting the daemon")?;
    let daemon = i32::try_from(daemon.id())?;
    loop {
        match waitpid(None, None)? {
            WaitStatus::Exited(pid, code) if pid.as_raw() == daemon => {
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)));
            }
            WaitStatus::Signaled(pid, ..) if pid.as_raw() == daemon => return Ok(ExitCode::FAILURE),
            _ => {}
        }
    }
}

fn namespace(pid: u32, kind: &str) -> Result<File> {
    let path = format!("/proc/{pid}/ns/{kind}");
    File::open(&path).with_context(|| format!("opening {path}: is the pod still there?"))
}

const NONE: Option<&str> = None;

impl Root {
    /// Builds the root and makes it the root of this process.
    fn build(&self) -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNS).context("making the container's mount namespace")?;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
            .context("making mounts private")?;
        fs::create_dir_all(&self.base)?;
        mount(Some("tmpfs"), &self.base, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755"))
            .context("mounting a tmpfs")?;
        for dir in [
            "bin",
            "charm/bin",
            "dev",
            "etc",
            "home",
            "lib",
            "opt",
            "proc",
            "root",
            "run",
            "sbin",
            "srv",
            "sys",
            "tmp",
            "usr",
            "var",
        ] {
            // What is a link on the host (bin -> usr/bin) becomes the same link.
            match fs::read_link(Path::new("/").join(dir)) {
                Ok(to) if ["bin", "lib", "sbin"].contains(&dir) => symlink(to, self.base.join(dir))?,
                _ => fs::create_dir_all(self.base.join(dir))?,
            }
        }
        for dir in [
            "var/lib",
            "var/log",
            "var/cache",
            "var/run",
            "var/tmp",
            "run/lock",
            "usr/local/share/ca-certificates",
        ] {
            fs::create_dir_all(self.base.join(dir))?;
        }
        for dir in ["tmp", "var/tmp"] {
            fs::set_permissions(self.base.join(dir), fs::Permissions::from_mode(0o1777))?;
        }
        self.programs()?;
        self.devices()?;
        self.settings()?;
        for dir in &self.dirs {
            fs::create_dir_all(self.inside(dir)).with_context(|| format!("making {}", dir.display()))?;
        }
        for bind in &self.binds {
            self.bind(&bind.source, &bind.target, bind.writable)?;
        }
        for (path, text) in &self.files {
            let file = self.inside(path);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&file, text).with_context(|| format!("writing {}", path.display()))?;
        }
        let old = self.base.join(".old");
        fs::create_dir(&old)?;
        pivot_root(&self.base, &old).context("switching to the root")?;
        std::env::set_current_dir("/")?;
        mount(
            Some("proc"),
            "/proc",
            Some("proc"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
            NONE,
        )
        .context("mounting /proc")?;
        umount2("/.old", MntFlags::MNT_DETACH).context("leaving the host's root")?;
        fs::remove_dir("/.old")?;
        Ok(())
    }

    fn inside(&self, path: &Path) -> PathBuf {
        self.base.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The host's programs and libraries. `/usr/local/share` is taken apart, so that certificates can be added in it.
    fn programs(&self) -> Result<()> {
        for dir in ["/usr", "/usr/local", "/usr/local/share"] {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            for entry in entries.flatten() {
                let target = self.inside(&entry.path());
                if target.exists() {
                    continue;
                }
                self.mirror(&entry.path())?;
            }
        }
        self.mirror(Path::new("/opt"))?;
        for entry in fs::read_dir("/")?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let libraries = name.starts_with("lib") && !name.starts_with("lib.") && name != "lost+found";
            if libraries || name == "bin" || name == "sbin" {
                self.mirror(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Shows a path of the host at the same place: links as links, the rest bound read-only.
    fn mirror(&self, path: &Path) -> Result<()> {
        let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
        let target = self.inside(path);
        if meta.is_symlink() {
            if fs::symlink_metadata(&target).is_err() {
                symlink(fs::read_link(path)?, &target)?;
            }
            return Ok(());
        }
        self.bind(path, path, false)
    }

    fn bind(&self, source: &Path, target: &Path, writable: bool) -> Result<()> {
        let target = self.inside(target);
        if source.is_dir() {
            fs::create_dir_all(&target)?;
        } else {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            if !target.exists() {
                File::create(&target).with_context(|| format!("making {}", target.display()))?;
            }
        }
        // Recursive, because a mount from outside may not be shown without the mounts in it.
        mount(Some(source), &target, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
            .with_context(|| format!("binding {}", source.display()))?;
        if !writable {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | kept_flags(&target)?;
            mount(NONE, &target, NONE, flags, NONE)
                .with_context(|| format!("making {} read-only", source.display()))?;
        }
        Ok(())
    }

    fn devices(&self) -> Result<()> {
        for device in ["null", "zero", "full", "random", "urandom", "tty"] {
            let path = Path::new("/dev").join(device);
            if path.exists() {
                self.bind(&path, &path, true)?;
            }
        }
        for (link, to) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            symlink(to, self.base.join("dev").join(link))?;
        }
        fs::create_dir(self.base.join("dev/shm"))?;
        Ok(())
    }

    /// An `/etc` of its own: accounts, certificates and loader settings from the host, and nothing else of it.
    fn settings(&self) -> Result<()> {
        for name in [
            "passwd",
            "group",
            "ssl",
            "ca-certificates",
            "ca-certificates.conf",
            "ld.so.cache",
            "ld.so.conf",
            "ld.so.conf.d",
            "localtime",
            "protocols",
            "services",
            "os-release",
            "debian_version",
        ] {
            copy(&Path::new("/etc").join(name), &self.base.join("etc").join(name));
        }
        let alternatives = Path::new("/etc/alternatives");
        if alternatives.is_dir() {
            self.bind(alternatives, alternatives, false)?;
        }
        fs::write(self.base.join("etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n")?;
        Ok(())
    }
}

/// Flags that a mount from outside our user namespace keeps, whether we name them or not; not naming them is refused.
fn kept_flags(target: &Path) -> Result<MsFlags> {
    let has = statvfs(target)?.flags();
    let mut flags = MsFlags::empty();
    for (seen, flag) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if has.contains(seen) {
            flags |= flag;
        }
    }
    Ok(flags)
}
