//! Starting a charm's process so that what it takes can be measured, and where it finds `/charm/containers`.
//!
//! Both need a process between the test and the charm. A child's peak memory counts from the size of whoever started it,
//! so that has to be small; and only a process with one thread may have mounts of its own. That process is the hook-tool
//! client under a verb that no charm uses.

use std::{
    env,
    fs::{self, File},
    io,
    os::unix::{fs::symlink, process::ExitStatusExt as _},
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeVal,
    },
    unistd::{chroot, getgid, getuid},
};
use serde::{Deserialize, Serialize};

use crate::outcome::Cpu;

/// The verb: `jujuc internal-launch <report> <root or -> <containers or -> <program>`.
pub(crate) const VERB: &str = "internal-launch";

/// What the launcher writes when the program has ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) wall: Duration,
    pub(crate) cpu: Cpu,
    /// Bytes.
    pub(crate) peak_memory: u64,
}

/// Runs the launcher if this process was started as one.
pub fn launcher() -> Option<ExitCode> {
    let mut words = env::args_os().skip(1);
    if words.next()? != VERB {
        return None;
    }
    let words: Vec<_> = words.collect();
    let [report, root, containers, program] = words.as_slice() else { return Some(ExitCode::from(2)) };
    let inside = (root != "-").then(|| (Path::new(root), Path::new(containers)));
    Some(match launch(Path::new(report), inside, Path::new(program)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR {error}");
            ExitCode::FAILURE
        }
    })
}

/// Starts the program with this process's environment, folder and streams, and waits for its end.
fn launch(report: &Path, inside: Option<(&Path, &Path)>, program: &Path) -> io::Result<()> {
    if let Some((root, containers)) = inside {
        let cwd = env::current_dir()?;
        enter(root, containers)?;
        env::set_current_dir(cwd)?;
    }
    let begin = Instant::now();
    let mut child = Command::new(program)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
    let status = child.wait()?;
    let wall = begin.elapsed();
    // There was only this one child, so what all children took is what it took.
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let done = Report {
        code: status.code(),
        signal: status.signal(),
        wall,
        cpu: Cpu { user: duration(usage.user_time()), system: duration(usage.system_time()) },
        peak_memory: u64::try_from(usage.max_rss()).unwrap_or(0) * 1024,
    };
    fs::write(report, serde_json::to_vec(&done)?)
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
}

/// Gives this process a root of its own, like the machine's but with the containers' sockets at `/charm/containers`. As an
/// ordinary user that takes a user namespace, in which the process is root.
fn enter(root: &Path, containers: &Path) -> io::Result<()> {
    let (user, group) = (getuid(), getgid());
    if unshare(CloneFlags::CLONE_NEWNS).is_err() {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
    }
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tmpfs"), root, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755"))?;
    for entry in fs::read_dir("/")?.flatten() {
        let (from, to) = (entry.path(), root.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
        } else if kind.is_dir() {
            if from == Path::new("/charm") {
                continue;
            }
            fs::create_dir(&to)?;
            bind(&from, &to)?;
        } else if kind.is_file() {
            File::create(&to)?;
            bind(&from, &to)?;
        }
    }
    let sockets = root.join("charm/containers");
    fs::create_dir_all(&sockets)?;
    bind(containers, &sockets)?;
    chroot(root)?;
    Ok(())
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    mount(Some(from), to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .map_err(|error| io::Error::other(format!("binding {}: {error}", from.display())))
}
