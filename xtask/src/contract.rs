//! The tests that let the other side's own libraries, which are in Python, read what we write and the reverse.
//!
//! The libraries live in a virtual environment in the target folder, in exactly the versions and files that
//! `tests/contract_python/requirements.txt` names. It is made again when that list or the interpreter changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{
    capture, cargo, is_executable, logged, repository, sha256, show, target_directory, which,
};
use crate::progress::Step;
use crate::tools;

/// Options of `cargo xtask contract`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Make the virtual environment, and run nothing
    #[arg(long)]
    only_install: bool,
    /// The Python interpreter to make it with; without, the first on PATH that is new enough
    #[arg(long)]
    python: Option<PathBuf>,
    /// Passed on to the tests, such as a test's name
    #[arg(last = true)]
    words: Vec<String>,
}

/// The oldest Python that the libraries run with.
const OLDEST: (u32, u32) = (3, 10);

/// Names under which interpreters are found.
const NAMES: [&str; 6] = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let python = install(options)?;
    if options.only_install {
        println!("{}", python.display());
        return Ok(());
    }
    // Some of the libraries run in charms, in whole models.
    let tools = tools::ensure()?;
    if !tools.missing.is_empty() {
        bail!("{}", tools.missing.join(" "));
    }
    let mut tests = cargo();
    tests
        .args(["test", "--locked", "--workspace", "--test", "contract_python", "--"])
        .args(&options.words)
        .env("CONTRACT_PYTHON", python)
        .env("JUJU_SIM_TOOLS", &tools.folder);
    show(&mut tests)
}

/// The interpreter of an environment that has the libraries.
fn install(options: &Options) -> Result<PathBuf> {
    let base = match &options.python {
        Some(path) => Interpreter::ask(path)?,
        None => Interpreter::find()?,
    };
    let list = repository().join("tests/contract_python/requirements.txt");
    let text = fs::read(&list).with_context(|| format!("reading {}", list.display()))?;
    let recipe = format!("{} {}\n{}\n", base.path.display(), base.version, sha256(&text));

    let folder = target_directory()?.join("contract-python");
    let python = folder.join("bin/python");
    let stamp = folder.join("stamp");
    if fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == recipe) && is_executable(&python) {
        return Ok(python);
    }
    let step = Step::begin(format!("installing the Python libraries into {}", folder.display()));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    let log = folder.join("install.log");
    logged(Command::new(&base.path).args(["-m", "venv"]).arg(&folder), &log).with_context(|| {
        format!("{} makes no virtual environments; on Debian, python3-venv lets it", base.path.display())
    })?;
    // Wheels only: to build one from source, pip would fetch tools that no hash vouches for.
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-deps"])
        .args(["--disable-pip-version-check", "--no-input", "--requirement"])
        .arg(&list);
    logged(&mut pip, &log)
        .context("pip could not install the libraries; it needs to reach PyPI, or a mirror of it")?;
    fs::write(&stamp, recipe)?;
    step.done();
    Ok(python)
}

/// A Python interpreter, and what it says about itself.
struct Interpreter {
    path: PathBuf,
    version: String,
}

impl Interpreter {
    /// The first on `PATH` that is new enough.
    fn find() -> Result<Self> {
        let mut refused = Vec::new();
        for path in NAMES.iter().filter_map(|name| which(name)) {
            match Self::ask(&path) {
                Ok(found) => return Ok(found),
                Err(error) => refused.push(format!("{error:#}")),
            }
        }
        let (major, minor) = OLDEST;
        if refused.is_empty() {
            bail!("no python3 on PATH; these tests need Python {major}.{minor} or newer");
        }
        bail!("these tests need Python {major}.{minor} or newer: {}", refused.join("; "))
    }

    /// An interpreter, if it is new enough.
    fn ask(path: &Path) -> Result<Self> {
        let version =
            capture(Command::new(path).args(["-c", "import platform; print(platform.python_version())"]))?;
        let version = version.trim().to_owned();
        if parts(&version).is_none_or(|found| found < OLDEST) {
            bail!("{} is Python {version}", path.display());
        }
        Ok(Self { path: path.to_path_buf(), version })
    }
}

/// The first two numbers of a version.
fn parts(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::write_program;

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
        let error = Interpreter::ask(&python).err().unwrap().to_string();
        assert!(error.ends_with("python3 is Python 3.8.10"), "{error}");
    }
}
