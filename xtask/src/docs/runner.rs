//! Runs the commands of the pages, and compares what they print with what the pages say.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::markdown::Block;
use super::{pages, reference};
use crate::process::{last_lines, repository, target_directory};
use crate::progress::{Step, seconds};
use crate::tools;

/// How long one script may take; the first run of all compiles the charms.
const PATIENCE: Duration = Duration::from_mins(20);

/// What ends the output of a block. No program prints it by chance.
const END: &str = "\u{1e}end of block ";

/// The blocks of one name on one page.
struct Script {
    name: String,
    page: PathBuf,
    /// Whether it is left out unless it is named.
    slow: bool,
    blocks: Vec<Piece>,
}

/// A block that is run, and what it has to print.
struct Piece {
    line: usize,
    commands: String,
    expected: Vec<String>,
}

/// Runs all scripts, or those of these names.
pub(super) fn run(names: &[String]) -> Result<()> {
    let mut scripts = Vec::new();
    for (path, page) in pages()? {
        scripts.extend(self::scripts(&path, &page.blocks));
    }
    let known: Vec<&str> = scripts.iter().map(|script| script.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no page has a script {unknown}; there are {}", known.join(", "));
    }
    scripts.retain(|script| if names.is_empty() { !script.slow } else { names.contains(&script.name) });

    let tools = tools::ensure()?;
    for sentence in &tools.missing {
        println!("{sentence}");
    }
    reference::build_simulator()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let begun = Instant::now();
    let mut failed = Vec::new();
    for script in &scripts {
        let step = Step::begin(format!("{} of {}", script.name, script.page.display()));
        match script.play(&tools.folder, &interrupted) {
            Ok(()) => step.done(),
            Err(error) => {
                drop(step);
                println!("{error:#}");
                failed.push(script.name.as_str());
            }
        }
        if interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
    }
    if !failed.is_empty() {
        bail!("what the pages say is not what happens: {}", failed.join(", "));
    }
    println!("{} scripts did what the pages say, in {}", scripts.len(), seconds(begun.elapsed()));
    Ok(())
}

/// The scripts of a page, in the order in which they begin.
fn scripts(page: &Path, blocks: &[Block]) -> Vec<Script> {
    let mut scripts: Vec<Script> = Vec::new();
    let mut last = None;
    for block in blocks {
        if let Some(name) = block.mark("run").filter(|_| block.is_shell()) {
            let piece = Piece { line: block.line, commands: block.text.clone(), expected: Vec::new() };
            let place = scripts.iter().position(|script| script.name == name).unwrap_or_else(|| {
                let (name, page) = (name.to_owned(), page.to_path_buf());
                scripts.push(Script { name, page, slow: false, blocks: Vec::new() });
                scripts.len() - 1
            });
            scripts[place].slow |= block.is_marked("slow");
            scripts[place].blocks.push(piece);
            last = Some(place);
        } else if block.is_marked("expect") {
            let piece = last.and_then(|place| scripts[place].blocks.last_mut());
            if let Some(piece) = piece {
                piece.expected.extend(block.text.lines().map(str::to_owned));
            }
        } else {
            last = None;
        }
    }
    scripts
}

impl Script {
    /// All blocks as one text for a shell.
    fn text(&self) -> String {
        let mut text = String::from("set -eu\n");
        for (number, piece) in self.blocks.iter().enumerate() {
            text.push_str(&piece.commands);
            // Writing to a String does not fail.
            let _ = write!(text, "\nprintf '\\n{END}%s\\n' {number}\n");
        }
        text
    }

    /// Runs it with a home of its own for models, and a folder of its own for files.
    fn play(&self, tools: &Path, interrupted: &AtomicBool) -> Result<()> {
        // Short, because those of sockets have to be.
        let home = env::temp_dir().join(format!("juju-docs-{}-{}", self.name, std::process::id()));
        fs::create_dir_all(home.join("work"))?;
        let simulator = target_directory()?.join("debug/juju-sim");
        let place = Place { home: home.clone(), simulator, tools: tools.to_path_buf() };
        let ended = self.run_in(&place, interrupted);
        let failed = ended.as_ref().is_err();
        if failed && !interrupted.load(Ordering::Relaxed) {
            place.explain();
        }
        place.clean();
        let (output, problem) = ended?;
        let mut wrong = compare(&self.blocks, &output);
        wrong.extend(problem);
        if wrong.is_empty() {
            return Ok(());
        }
        let wrong: Vec<String> =
            wrong.into_iter().map(|what| format!("{}:{what}", self.page.display())).collect();
        bail!("{}", wrong.join("\n"))
    }

    /// What it printed, and how it ended if not well.
    fn run_in(&self, place: &Place, interrupted: &AtomicBool) -> Result<(String, Option<String>)> {
        let log = place.home.join("stderr");
        let mut command = place.command("sh");
        // Pages are read in a clone, so that is where commands are typed.
        command.current_dir(repository()).args(["-c", &self.text()]).env("WORK", place.home.join("work"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut child = command.process_group(0).spawn().context("starting a shell")?;
        let group = child.id();
        let mut pipe = child.stdout.take().context("its output")?;
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read before an error is still worth having.
            let _ = pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if interrupted.load(Ordering::Relaxed) || Instant::now() > deadline {
                // The shell and all that it has started, but for the model, which is taken down in order.
                let _ = Command::new("kill").args(["-TERM", "--", &format!("-{group}")]).status();
                child.wait()?;
                break None;
            }
            thread::sleep(Duration::from_millis(50));
        };
        // A model in the background may have kept the pipe; it must not keep us.
        place.down();
        let output = reader.join().unwrap_or_default();
        let stderr = fs::read_to_string(&log).unwrap_or_default();
        let reached = output.matches(END).count();
        let problem = match status {
            Some(status) if status.success() => None,
            _ if interrupted.load(Ordering::Relaxed) => bail!("interrupted"),
            None => Some(format!("the script took longer than {}", seconds(PATIENCE))),
            Some(status) => {
                let line = self.blocks.get(reached).map_or(0, |piece| piece.line);
                let tail = output.rsplit(END).next().unwrap_or_default();
                Some(format!(
                    "{line}: ended with {status}\n{}\n{}",
                    last_lines(tail, 10),
                    last_lines(&stderr, 10)
                ))
            }
        };
        Ok((output, problem))
    }
}

/// Where a script runs.
struct Place {
    home: PathBuf,
    simulator: PathBuf,
    tools: PathBuf,
}

impl Place {
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("JUJU_SIM_HOME", &self.home)
            .env("JUJU_SIM_TOOLS", &self.tools)
            .env_remove("JUJU_SIM_MODEL");
        command
    }

    /// The models that run here.
    fn models(&self) -> BTreeMap<String, bool> {
        let output = self.command(&self.simulator).args(["models", "--format", "json"]).output();
        output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok()).unwrap_or_default()
    }

    fn down(&self) {
        for (model, _) in self.models().into_iter().filter(|(_, runs)| *runs) {
            // What does not end by itself is shown by the model's absence from the next list.
            let _ = self.command(&self.simulator).args(["down", "--model", &model]).output();
        }
    }

    /// What a person would look at first.
    fn explain(&self) {
        for (model, _) in self.models() {
            let status = self.command(&self.simulator).args(["status", "--model", &model]).output();
            if let Ok(status) = status {
                eprintln!("--- {model}\n{}", String::from_utf8_lossy(&status.stdout));
            }
        }
    }

    fn clean(&self) {
        self.down();
        // It holds logs; what cannot be removed only takes space.
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// What blocks should have printed and have not.
fn compare(blocks: &[Piece], output: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut rest = output;
    for (number, piece) in blocks.iter().enumerate() {
        let end = format!("{END}{number}\n");
        // A block that was not reached is told of by how the script ended.
        let Some((printed, after)) = rest.split_once(&end) else { break };
        rest = after;
        let mut lines = printed.lines();
        for expected in piece.expected.iter().filter(|line| !line.trim().is_empty()) {
            if !lines.any(|line| matches(expected, line)) {
                let printed = last_lines(printed, 40);
                wrong.push(format!("{}: {expected:?} was not printed, but\n{printed}", piece.line));
                break;
            }
        }
    }
    wrong
}

/// Whether a line is the expected one: blanks count as one, and `…` stands for anything.
fn matches(expected: &str, line: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, line) = (words(expected), words(line));
    let pieces: Vec<&str> = expected.split('…').map(str::trim).collect();
    let [first, middle @ .., last] = &pieces[..] else { return expected == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for piece in middle {
        let Some(place) = rest.find(piece) else { return false };
        rest = &rest[place + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::super::markdown::Page;
    use super::*;

    fn script(text: &str) -> Script {
        let mut scripts = scripts(Path::new("a.md"), &Page::read(text).blocks);
        assert_eq!(scripts.len(), 1);
        scripts.remove(0)
    }

    fn play(script: &Script) -> Result<()> {
        script.play(Path::new("/nowhere"), &AtomicBool::new(false))
    }

    #[test]
    fn lines_match_with_anything_in_between() {
        assert!(matches("tempo/0*  active  …  ready", "tempo/0*   active idle 1.2.3.4 ready"));
        assert!(matches("… ready", "it is ready") && matches("a", "a") && matches("a … b … c", "a 1 b 2 c"));
        assert!(!matches("a … b", "a 1 c") && !matches("a", "a b") && !matches("… b … b", "b"));
    }

    #[test]
    fn blocks_are_one_script_and_each_has_its_output() {
        let script = script(
            "```sh run=test-one slow\nword=hello\ncd \"$WORK\"\npwd > there\n```\nWords.\n```sh run=test-one\necho \"$word\"\n\
             echo you\nls\n```\n```text expect\nhell…\nthere\n```\n",
        );
        assert!(script.blocks.len() == 2 && script.slow);
        play(&script).unwrap();
    }

    #[test]
    fn what_is_not_printed_and_what_fails_is_told_with_its_line() {
        let silent = script("```sh run=test-two\necho a\n```\n```text expect\nb\n```\n");
        let error = play(&silent).unwrap_err().to_string();
        assert!(error.starts_with("a.md:1: \"b\" was not printed"), "{error}");
        let failing =
            script("```sh run=test-three\necho a\n```\n\n```sh run=test-three\necho why >&2\nfalse\n```\n");
        let error = play(&failing).unwrap_err().to_string();
        assert!(error.starts_with("a.md:5: ended with") && error.contains("why"), "{error}");
    }
}
