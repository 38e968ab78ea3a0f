//! What the chore and the tests want to know of a page: links, places that links lead to, and fenced blocks.

use std::collections::BTreeMap;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A page, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Where its links and pictures lead, as written.
    pub(super) links: Vec<String>,
    /// The names of its headings, as links have them after `#`.
    pub(super) anchors: Vec<String>,
    /// Its fenced blocks, in order.
    pub(super) blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// All that is behind the fence, such as `sh run=tutorial`.
    pub(super) info: String,
    /// What is in it.
    pub(super) text: String,
    /// The line that it begins in, counted from one.
    pub(super) line: usize,
}

impl Page {
    pub(super) fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let (mut heading, mut block) = (None::<String>, None::<Block>);
        let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
        for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let name = anchor(&heading.take().unwrap_or_default());
                    let before = seen.entry(name.clone()).or_default();
                    // A second heading of the same name is told apart by a number.
                    page.anchors.push(if *before == 0 { name } else { format!("{name}-{before}") });
                    *before += 1;
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    let line = text[..range.start].matches('\n').count() + 1;
                    block = Some(Block { info: info.into_string(), line, ..Block::default() });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Text(words) | Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    } else if let Some(block) = &mut block {
                        block.text.push_str(&words);
                    }
                }
                _ => {}
            }
        }
        page
    }
}

/// A heading as links name it: small letters, `-` for blanks, and nothing else but letters, digits, `-` and `_`.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

impl Block {
    /// The language: the first word behind the fence.
    pub(super) fn language(&self) -> &str {
        self.info.split([' ', ',']).next().unwrap_or_default()
    }

    /// The words after the language.
    pub(super) fn marks(&self) -> impl Iterator<Item = &str> {
        self.info.split([' ', ',']).filter(|word| !word.is_empty()).skip(1)
    }

    /// The value of a mark `name=value`.
    pub(super) fn mark(&self, name: &str) -> Option<&str> {
        self.marks().find_map(|mark| mark.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether it has a mark without a value.
    pub(super) fn is_marked(&self, name: &str) -> bool {
        self.marks().any(|mark| mark == name)
    }

    /// Whether it shows commands to type.
    pub(super) fn is_shell(&self) -> bool {
        ["sh", "bash", "console", "shell"].contains(&self.language())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_apart() {
        let page = Page::read(
            "# What `juju` says\n\nSee [there](a.md#b) and ![this](c.svg).\n\n## Twice\n\n## Twice\n\n\
             ```sh run=one\nls\n```\n\n    [no](link)\n",
        );
        assert_eq!(page.links, ["a.md#b", "c.svg"]);
        assert_eq!(page.anchors, ["what-juju-says", "twice", "twice-1"]);
        let [block] = &page.blocks[..] else { panic!("{:?}", page.blocks) };
        assert_eq!((block.language(), block.mark("run"), block.text.as_str()), ("sh", Some("one"), "ls\n"));
        assert_eq!((block.line, block.is_shell(), block.is_marked("run")), (9, true, false));
    }

    #[test]
    fn anchors_are_those_of_the_hosts() {
        assert_eq!(anchor("Who is trusted, with what?"), "who-is-trusted-with-what");
        assert_eq!(anchor("`cpu_limit`: 500m"), "cpu_limit-500m");
    }
}
