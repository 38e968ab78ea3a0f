//! Virtual environments with Python programs and libraries, in exactly the versions and files that a list names.
//!
//! An environment is made again when its list or the interpreter changes.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{capture, is_executable, logged, sha256, which};
use crate::progress::Step;

/// A version of Python: its first two numbers.
pub(crate) type Version = (u32, u32);

/// Names under which interpreters are found.
const NAMES: [&str; 6] = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];

/// The interpreter of an environment in a folder that has what the list says, with hashes, for pip.
pub(crate) fn environment(base: &Interpreter, folder: &Path, list: &Path, what: &str) -> Result<PathBuf> {
    let text = fs::read(list).with_context(|| format!("reading {}", list.display()))?;
    let recipe = format!("{} {}\n{}\n", base.path.display(), base.version, sha256(&text));

    let parent = folder.parent().context("an environment is in a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    let lock = File::create(folder.with_extension("lock"))?;
    if let Err(TryLockError::WouldBlock) = lock.try_lock() {
        let step = Step::begin(format!("another run is installing {what}: waiting"));
        lock.lock()?;
        step.done();
    }
    let python = folder.join("bin/python");
    let stamp = folder.join("stamp");
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == recipe) && is_executable(&python) {
        return Ok(python);
    }
    let step = Step::begin(format!("installing {what} into {}", folder.display()));
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(folder)?;
    let log = folder.join("install.log");
    logged(Command::new(&base.path).args(["-m", "venv"]).arg(folder), &log).with_context(|| {
        format!("{} makes no virtual environments; on Debian, python3-venv lets it", base.path.display())
    })?;
    // Wheels only: to build one from source, pip would fetch tools that no hash vouches for.
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-deps"])
        .args(["--disable-pip-version-check", "--no-input", "--requirement"])
        .arg(list);
    logged(&mut pip, &log).with_context(|| {
        format!("pip could not install {what}; it needs to reach PyPI, or a mirror of it")
    })?;
    fs::write(&stamp, recipe)?;
    step.done();
    Ok(python)
}

/// A Python interpreter, and what it says about itself.
pub(crate) struct Interpreter {
    path: PathBuf,
    version: String,
}

impl Interpreter {
    /// The given one, or the first on `PATH` that is new enough.
    pub(crate) fn of(given: Option<&Path>, oldest: Version) -> Result<Self> {
        match given {
            Some(path) => Self::ask(path, oldest),
            None => Self::find(oldest),
        }
    }

    fn find(oldest: Version) -> Result<Self> {
        let mut refused = Vec::new();
        for path in NAMES.iter().filter_map(|name| which(name)) {
            match Self::ask(&path, oldest) {
                Ok(found) => return Ok(found),
                Err(error) => refused.push(format!("{error:#}")),
            }
        }
        let (major, minor) = oldest;
        if refused.is_empty() {
            bail!("no python3 on PATH; Python {major}.{minor} or newer is needed");
        }
        bail!("Python {major}.{minor} or newer is needed: {}", refused.join("; "))
    }

    fn ask(path: &Path, oldest: Version) -> Result<Self> {
        let version =
            capture(Command::new(path).args(["-c", "import platform; print(platform.python_version())"]))?;
        let version = version.trim().to_owned();
        if parts(&version).is_none_or(|found| found < oldest) {
            bail!("{} is Python {version}", path.display());
        }
        Ok(Self { path: path.to_path_buf(), version })
    }
}

/// The first two numbers of a version.
fn parts(version: &str) -> Option<Version> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::write_program;

    const OLDEST: Version = (3, 10);

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parts("3.9.18"), Some((3, 9)));
        assert!(parts("3.9.18") < Some(OLDEST) && parts("3.13.0rc1") > Some(OLDEST));
        assert_eq!(parts("unknown"), None);
    }

    #[test]
    fn an_old_interpreter_is_refused_by_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python3");
        write_program(&python, "#!/bin/sh\necho 3.8.10\n");
        let error = Interpreter::of(Some(&python), OLDEST).err().unwrap().to_string();
        assert!(error.ends_with("python3 is Python 3.8.10"), "{error}");
    }
}
