//! What has to hold of every decoder of what others send, whatever they send.
//!
//! Each function takes any bytes and panics if something does not hold. Two callers do so: a test with every file in
//! `corpus/<name>/`, and a fuzzer, which looks for bytes that no file has yet:
//!
//! ```text
//! cargo test -p fuzz
//! cargo xtask fuzz databags --seconds 600
//! ```
//!
//! What the fuzzer finds goes into the corpus, so that the test knows it from then on.
//!
//! Most inputs are texts, one after the other with the byte `0xff` between them, which no text has in it. So an input
//! can be read, and written with an editor that leaves that byte alone.

#![allow(clippy::missing_panics_doc, reason = "panics are how a property says that it does not hold")]

mod certificates;
mod charm;
mod databags;
mod jujuc;
mod pebble;
mod rules;
mod scene;
mod urls;

pub use certificates::certificates;
pub use charm::charm;
pub use databags::databags;
pub use jujuc::jujuc;
pub use pebble::pebble;
pub use rules::{logql, promql};
pub use urls::urls;

/// A property with its name, which is also that of its fuzz target and of its folder in `corpus/`.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, sorted by name.
pub const TARGETS: [Target; 8] = [
    ("certificates", certificates),
    ("charm", charm),
    ("databags", databags),
    ("jujuc", jujuc),
    ("logql", logql),
    ("pebble", pebble),
    ("promql", promql),
    ("urls", urls),
];

/// The texts of an input.
fn texts(data: &[u8]) -> Vec<String> {
    data.split(|byte| *byte == 0xff).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

/// A text that people are shown: one line that does not mislead, and not too long.
#[track_caller]
fn assert_showable(text: &str) {
    assert!(!text.is_empty() && text.chars().count() < 400, "{text:?}");
    assert_eq!(juju_ops::one_line(text, 400), text);
}
