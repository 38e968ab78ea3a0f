//! The documentation: its generated pages, the book, the commands in it, and the picture in the README.
//!
//! What is behind the fence of a block of commands says who runs it:
//!
//! | | |
//! |---|---|
//! | `sh run=NAME` | `cargo xtask docs --run`: the blocks of one name on a page are one script, in order |
//! | `sh run=NAME slow` | the same, but only as `cargo xtask docs --run NAME`: it compiles for minutes |
//! | `sh ci` | `.ci/run`, which has each of these lines |
//! | `sh cluster` | nobody here: it needs a real Juju |
//! | `sh skip=REASON` | nobody, for this reason |
//!
//! A block `text expect` says what the block before it has to print: each of its lines, in order, with `…` for anything.

mod book;
mod markdown;
mod picture;
mod reference;
mod runner;

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::repository;
use markdown::Page;

/// Options of `cargo xtask docs`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run the commands that the pages show, in models of their own, and compare what they print; nothing is written
    #[arg(long)]
    run: bool,
    /// With --run: only the scripts of these names, also those that are slow
    #[arg(requires = "run")]
    names: Vec<String>,
    /// Draw docs/demo.svg from the output of `cargo xtask demo`, which this runs; nothing else is written
    #[arg(long, conflicts_with = "run")]
    picture: bool,
    /// Only the generated pages: no book
    #[arg(long, conflicts_with_all = ["run", "picture"])]
    pages: bool,
}

/// Runs the chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.run {
        return runner::run(&options.names);
    }
    if options.picture {
        return picture::run();
    }
    reference::build_simulator()?;
    reference::write(&crate::process::target_directory()?.join("debug/juju-sim"))?;
    println!("{}: up to date", reference::FOLDER);
    if options.pages { Ok(()) } else { book::build() }
}

/// All pages of the repository: path below its root, and what is in them.
fn pages() -> Result<Vec<(PathBuf, Page)>> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // What is built is no page, nor what a tool keeps for itself.
            if path.is_dir() && name != "target" && (!name.starts_with('.') || name == ".github") {
                collect(&path, found)?;
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
        Ok(())
    }
    let root = repository();
    let mut paths = Vec::new();
    collect(&root, &mut paths)?;
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok((path.strip_prefix(&root)?.to_path_buf(), Page::read(&text)))
    };
    paths.into_iter().map(read).collect()
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_link_leads_somewhere() {
        let pages: BTreeMap<PathBuf, Page> = pages().unwrap().into_iter().collect();
        assert!(pages.len() > 20, "only {} pages", pages.len());
        let mut dead = Vec::new();
        for (path, page) in &pages {
            for link in page.links.iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
            {
                let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
                let target = if file.is_empty() {
                    path.clone()
                } else {
                    plain(&path.parent().unwrap_or(Path::new("")).join(file))
                };
                let known = pages.get(&target);
                let is_there = repository().join(&target).exists();
                let has_anchor = anchor.is_empty()
                    || known.is_some_and(|page| page.anchors.iter().any(|name| name == anchor));
                if !is_there || !has_anchor {
                    dead.push(format!("{}: {link}", path.display()));
                }
            }
        }
        assert_eq!(dead, [""; 0]);
    }

    #[test]
    fn every_page_of_the_documentation_is_in_the_book() {
        let pages = pages().unwrap();
        let summary = &pages.iter().find(|(path, _)| path == Path::new("docs/SUMMARY.md")).unwrap().1;
        for (path, _) in &pages {
            let Ok(below) = path.strip_prefix("docs") else { continue };
            let is_linked = summary.links.iter().any(|link| Path::new(link) == below);
            assert!(is_linked || below == Path::new("SUMMARY.md"), "{} is not in the book", path.display());
        }
    }

    #[test]
    fn every_block_of_commands_says_who_runs_it() {
        let ci = fs::read_to_string(repository().join(".ci/run")).unwrap();
        let mut counts = BTreeMap::<&str, usize>::new();
        for (path, page) in pages().unwrap() {
            // Pages of crates are also read elsewhere.
            if path.starts_with("crates") {
                continue;
            }
            for block in page.blocks.iter().filter(|block| block.is_shell()) {
                let place = format!("{}:{}: {:?}", path.display(), block.line, block.info);
                let marks: Vec<&str> = block.marks().filter(|mark| *mark != "slow").collect();
                assert!(!block.is_marked("slow") || block.mark("run").is_some(), "{place}");
                let [mark] = marks[..] else { panic!("{place}: one of run=, ci, cluster, skip= is needed") };
                let (kind, value) = mark.split_once('=').unwrap_or((mark, ""));
                let kind = ["run", "ci", "cluster", "skip"].into_iter().find(|known| *known == kind);
                let kind = kind.unwrap_or_else(|| panic!("{place}: nobody knows {mark:?}"));
                assert_eq!(!value.is_empty(), ["run", "skip"].contains(&kind), "{place}");
                *counts.entry(kind).or_default() += 1;
                for line in block.text.lines().filter(|_| kind == "ci") {
                    let command = line.split('#').next().unwrap_or_default().trim();
                    assert!(ci.contains(command), "{place}: .ci/run does not run {command:?}");
                }
            }
            let expectations = page.blocks.iter().enumerate().filter(|(_, block)| block.is_marked("expect"));
            for (number, block) in expectations {
                let before = number.checked_sub(1).and_then(|before| page.blocks[before].mark("run"));
                assert!(before.is_some(), "{}:{}: nothing to expect from", path.display(), block.line);
            }
        }
        assert!(counts["run"] > 10 && counts["cluster"] > 10, "{counts:?}");
    }
}
