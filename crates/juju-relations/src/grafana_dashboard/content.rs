//! Dashboards between text and the form in which they lie in a databag.
//!
//! Whoever wrote the databag may be anybody. So nothing is decoded before somebody asks for it, one dashboard is decoded
//! at a time, and memory is bounded in each step: that of the decoder, that of one text, and that of all texts together.
//! What comes out is text whose syntax has been looked at. It is no tree: a text of a few megabytes can be a tree of hundreds.

use std::collections::btree_map;
use std::fmt;
use std::io::{BufRead, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use liblzma::bufread::{XzDecoder, XzEncoder};
use liblzma::stream::{CONCATENATED, Check, Stream};

use crate::wire::shown;
use crate::{JsonText, Topology};

use super::{Dashboards, Template};

/// Bytes of memory that decompressing a dashboard may take: enough for the presets 0 to 7 of xz. Python's default is 6.
pub const MOST_MEMORY: u64 = 20 << 20;

/// Bytes of the longest dashboard that is read.
pub const LONGEST_TEXT: usize = 4 << 20;

/// Bytes of all dashboards of one relation together, as far as they are read.
pub const LONGEST_TEXTS: usize = 16 << 20;

/// The preset of xz that Python's `lzma` uses, too.
const PRESET: u32 = 6;

/// Why a dashboard cannot be read, and which.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ContentError {
    /// Its id.
    pub dashboard: String,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", shown(&self.dashboard), self.problem)
    }
}

/// What can be wrong with the content of a dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not in base64.
    #[error("not in base64")]
    Base64,
    /// What is in base64 is not compressed with xz, or not whole.
    #[error("not in xz, or damaged")]
    Xz,
    /// Decompressing it would take more memory than [`MOST_MEMORY`].
    #[error("takes too much memory to decompress")]
    Memory,
    /// It is longer than [`LONGEST_TEXT`], or with those before it longer than [`LONGEST_TEXTS`].
    #[error("too long")]
    Long,
    /// It is not the text of a JSON object.
    #[error("not a JSON object")]
    Json,
}

impl Template {
    /// The dashboard with this text. Grafana is to add pickers, and to narrow every query down to what is picked.
    ///
    /// # Errors
    /// If there is not enough memory to compress it.
    pub fn new(charm: impl Into<String>, text: &str, topology: Topology) -> Result<Self, Problem> {
        Ok(Self {
            charm: charm.into(),
            content: encode(text)?,
            juju_topology: Some(topology),
            inject_dropdowns: true,
            dashboard_alt_uid: None,
        })
    }

    /// The dashboard's text, if it is no longer than so many bytes and the text of a JSON object.
    ///
    /// # Errors
    /// If it is not, or longer than [`LONGEST_TEXT`].
    pub fn text(&self, longest: usize) -> Result<JsonText, Problem> {
        decode(&self.content, longest.min(LONGEST_TEXT))
    }
}

impl Dashboards {
    /// The texts of all dashboards by id, each decoded when it is asked for. One that cannot be read does not spoil the others.
    pub fn texts(&self) -> Texts<'_> {
        Texts { templates: self.templates.iter(), left: LONGEST_TEXTS }
    }
}

/// See [`Dashboards::texts`].
#[derive(Clone, Debug)]
pub struct Texts<'a> {
    templates: btree_map::Iter<'a, String, Template>,
    /// Bytes that the rest may have.
    left: usize,
}

impl<'a> Iterator for Texts<'a> {
    type Item = Result<(&'a str, JsonText), ContentError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (id, template) = self.templates.next()?;
        let text = template.text(self.left);
        self.left -= text.as_ref().map_or(0, |text| text.get().len()).min(self.left);
        Some(match text {
            Ok(text) => Ok((id, text)),
            Err(problem) => Err(ContentError { dashboard: id.clone(), problem }),
        })
    }
}

fn encode(text: &str) -> Result<String, Problem> {
    let stream = Stream::new_easy_encoder(PRESET, Check::Crc64).map_err(|_| Problem::Memory)?;
    let mut packed = Vec::new();
    XzEncoder::new_stream(text.as_bytes(), stream).read_to_end(&mut packed).map_err(|_| Problem::Memory)?;
    Ok(STANDARD.encode(packed))
}

fn decode(content: &str, longest: usize) -> Result<JsonText, Problem> {
    let packed = STANDARD.decode(content).map_err(|_| Problem::Base64)?;
    let text = unpack(packed.as_slice(), longest)?;
    let text = String::from_utf8(text).map_err(|_| Problem::Json)?;
    // Python's library is where these come from, and it takes white space around them for granted.
    if !text.trim_start().starts_with('{') {
        return Err(Problem::Json);
    }
    serde_json::from_str(&text).map_err(|_| Problem::Json)
}

fn unpack(packed: impl BufRead, longest: usize) -> Result<Vec<u8>, Problem> {
    let stream = Stream::new_auto_decoder(MOST_MEMORY, CONCATENATED).map_err(|_| Problem::Memory)?;
    let mut text = Vec::new();
    // One more than allowed, so that too long can be told from just right.
    let most = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
    match XzDecoder::new_stream(packed, stream).take(most).read_to_end(&mut text) {
        Ok(_) if text.len() > longest => Err(Problem::Long),
        Ok(_) => Ok(text),
        Err(error) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(liblzma::stream::Error::MemLimit | liblzma::stream::Error::Mem) => Problem::Memory,
            _ => Problem::Xz,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(content: impl Into<String>) -> Template {
        let json = Template::new("c", "{}", Topology::default()).unwrap();
        Template { content: content.into(), ..json }
    }

    fn packed(preset: u32, bytes: impl std::io::Read) -> String {
        let stream = Stream::new_easy_encoder(preset, Check::Crc64).unwrap();
        let mut packed = Vec::new();
        XzEncoder::new_stream(std::io::BufReader::new(bytes), stream).read_to_end(&mut packed).unwrap();
        STANDARD.encode(packed)
    }

    #[test]
    fn text_comes_back_as_it_was() {
        let text = r#"{"title": "Übersicht", "panels": [1, {"a": null}]}"#;
        let template = Template::new("tempo", text, Topology::default()).unwrap();
        // What every xz stream begins with.
        assert!(template.content.starts_with("/Td6WFo"), "{}", template.content);
        assert_eq!(template.text(LONGEST_TEXT).unwrap().get(), text);
    }

    #[test]
    fn what_python_has_written_can_be_read() {
        // base64.b64encode(lzma.compress(b'{"title": "T"}')), and the same in the format of before xz.
        for content in [
            "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQANeyJ0aXRsZSI6ICJUIn0AAAAnxiTCoqV+RwABJg4IG+AEH7bzfQEAAAAABFla",
            "XQAAgAD//////////wA9iIqG1FTp3Td40/INalyyFXTq//tyoAA=",
        ] {
            assert_eq!(template(content).text(100).unwrap().get(), r#"{"title": "T"}"#);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_id() {
        let whole = packed(6, r#"{"a": 1}"#.as_bytes());
        let bytes = STANDARD.decode(&whole).unwrap();
        let cut = STANDARD.encode(&bytes[..bytes.len() - 5]);
        let templates = [
            ("a", "ä".to_owned()),
            ("b", STANDARD.encode("no xz")),
            ("c", cut),
            ("d", packed(6, &b"[1]"[..])),
            ("e", packed(6, &b"{"[..])),
            ("f", packed(6, &b"{\"a\": \"\xff\"}"[..])),
            ("g", String::new()),
            ("h\n", packed(9, &b"{}"[..])),
            ("i", whole),
        ];
        let dashboards =
            Dashboards::new(templates.map(|(id, content)| (id.to_owned(), template(content))), "");
        let texts: Vec<_> = dashboards.texts().collect();
        let said: Vec<_> =
            texts.iter().filter_map(|text| text.as_ref().err()).map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "a: not in base64",
                "b: not in xz, or damaged",
                "c: not in xz, or damaged",
                "d: not a JSON object",
                "e: not a JSON object",
                "f: not a JSON object",
                "g: not in xz, or damaged",
                "h : takes too much memory to decompress",
            ]
        );
        assert_eq!(texts[8].as_ref().unwrap().0, "i");
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        // A gigabyte of spaces in a few kilobytes would be the same, and take longer to make.
        let bomb = packed(0, std::io::repeat(b' ').take(LONGEST_TEXT as u64 * 2));
        assert!(bomb.len() < 8_000, "{}", bomb.len());
        assert_eq!(template(bomb).text(usize::MAX), Err(Problem::Long));
        assert_eq!(template(packed(6, &b"{}"[..])).text(1), Err(Problem::Long));
        assert!(template(packed(6, &b"{}"[..])).text(2).is_ok());
    }

    #[test]
    fn many_dashboards_share_one_bound() {
        let filling = std::io::repeat(b'x').take(LONGEST_TEXT as u64 - 8);
        let long = packed(0, b"{\"a\":\"".chain(filling).chain(&b"\"}"[..]));
        let templates = (b'a'..=b'f').map(|id| (char::from(id).to_string(), template(long.clone())));
        let dashboards = Dashboards::new(templates, "");
        let read: Vec<bool> = dashboards.texts().map(|text| text.is_ok()).collect();
        assert_eq!(read, [true, true, true, true, false, false]);
    }
}
