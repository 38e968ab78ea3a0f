//! The book: mdBook reads a copy of the pages, in which every link leads somewhere.
//!
//! Pages link to files of the repository outside `docs/`. So the copy has the repository's own layout, with all pages and
//! with whatever they link to.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::markdown::Page;
use super::{pages, plain};
use crate::process::{cache, cargo, is_executable, repository, show, target_directory, which};
use crate::progress::Step;

/// Name and version of the program that makes the book.
const MDBOOK: (&str, &str) = ("mdbook", "0.5.4");

/// Makes the book in the target folder.
pub(super) fn build() -> Result<()> {
    let program = program()?;
    let folder = target_directory()?.join("book");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let source = folder.join("src");
    fs::create_dir_all(&source)?;
    let root = repository();
    fs::copy(root.join("docs/book.toml"), folder.join("book.toml"))?;
    let pages = pages()?;
    for (path, page) in &pages {
        copy(&root, &source, path)?;
        for link in &page.links {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !link.contains("://") {
                copy(&root, &source, &plain(&path.parent().unwrap_or(Path::new("")).join(file)))?;
            }
        }
    }
    let summary = fs::read_to_string(root.join("docs/SUMMARY.md"))?;
    fs::write(source.join("SUMMARY.md"), from_root(&summary))?;
    fs::remove_file(source.join("docs/SUMMARY.md"))?;
    show(Command::new(program).arg("build").arg(&folder))?;
    let html = folder.join("html");
    let linked: BTreeSet<String> = Page::read(&summary).links.into_iter().collect();
    let mut dead = BTreeSet::new();
    for link in &linked {
        let chapter = html.join(plain(&Path::new("docs").join(link))).with_extension("html");
        let text = fs::read_to_string(&chapter).with_context(|| chapter.display().to_string())?;
        let folder = chapter.parent().unwrap_or(&html);
        dead.extend(targets(&text).filter(|target| !folder.join(target).exists()).map(str::to_owned));
    }
    if !dead.is_empty() {
        bail!("the book has links that lead nowhere: {dead:?}");
    }
    println!("{}: {} chapters", html.join("index.html").display(), linked.len());
    Ok(())
}

/// The files that a page of the book refers to.
fn targets(html: &str) -> impl Iterator<Item = &str> {
    let values = html.split([' ', '\n']).filter_map(|word| {
        let value = word.strip_prefix("href=\"").or_else(|| word.strip_prefix("src=\""))?;
        value.split(['"', '#', '?']).next()
    });
    values.filter(|value| !value.is_empty() && !value.contains(':'))
}

/// The summary as it is at the root of the copy: its links begin there.
fn from_root(summary: &str) -> String {
    let mut text = String::new();
    for (number, part) in summary.split("](").enumerate() {
        if number == 0 {
            text.push_str(part);
            continue;
        }
        let (link, rest) = part.split_once(')').unwrap_or((part, ""));
        let path = plain(&Path::new("docs").join(link));
        // Writing to a String does not fail.
        let _ = write!(text, "]({}){rest}", path.display());
    }
    text
}

/// Copies a file, or what is directly in a folder.
fn copy(root: &Path, to: &Path, path: &Path) -> Result<()> {
    let (from, to) = (root.join(path), to.join(path));
    if from.is_dir() {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            if entry.path().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
    } else if from.is_file() {
        fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
        fs::copy(&from, &to).with_context(|| from.display().to_string())?;
    }
    Ok(())
}

/// mdBook, installed on demand.
fn program() -> Result<PathBuf> {
    let folder = cache()?.join(format!("{}-{}", MDBOOK.0, MDBOOK.1));
    let cached = folder.join("bin").join(MDBOOK.0);
    if let Some(program) = which(MDBOOK.0).or_else(|| is_executable(&cached).then(|| cached.clone())) {
        return Ok(program);
    }
    let step = Step::begin(format!("installing {} {}", MDBOOK.0, MDBOOK.1));
    // Neither its server nor its watcher, and it runs for a second.
    let mut install = cargo();
    install.args(["install", MDBOOK.0, "--version", MDBOOK.1, "--locked", "--debug", "--quiet"]);
    install.args(["--no-default-features", "--features", "search", "--root"]).arg(&folder);
    show(&mut install)?;
    step.done();
    Ok(cached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_summary_begin_at_the_root() {
        let summary = "# A\n- [One](one.md)\n  - [Two](two/b.md) [Three](../c.md)\n";
        assert_eq!(from_root(summary), "# A\n- [One](docs/one.md)\n  - [Two](docs/two/b.md) [Three](c.md)\n");
    }

    #[test]
    fn files_that_a_page_refers_to_are_found() {
        let html =
            "<a href=\"a/b.html#c\">x</a> <img\nsrc=\"d.svg\"> <a href=\"https://e\">y</a><a href=\"#f\">";
        assert_eq!(targets(html).collect::<Vec<_>>(), ["a/b.html", "d.svg"]);
    }

    #[test]
    fn what_is_linked_is_copied_a_folder_with_what_is_in_it() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(from.path().join("a/b")).unwrap();
        fs::write(from.path().join("a/one"), "1").unwrap();
        fs::write(from.path().join("a/b/two"), "2").unwrap();
        for path in ["a", "a/b/two", "a/none"] {
            copy(from.path(), to.path(), Path::new(path)).unwrap();
        }
        assert!(to.path().join("a/one").exists() && to.path().join("a/b/two").exists());
        assert!(!to.path().join("a/none").exists());
    }
}
