//! The dashboards as they are published, as Rust constants: compressed now, so that no hook has to.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use liblzma::bufread::XzEncoder;
use liblzma::stream::{Check, PRESET_EXTREME, Stream};
use sha2::{Digest as _, Sha256};
use shake::Shake256;
use shake::digest::{ExtendableOutput as _, Update as _, XofReader as _};

use crate::dashboards::{self, CHARM, For};

/// Where the descriptions are.
pub(crate) const DESCRIPTIONS: &str = "src/assets/dashboards";

/// `FILES`, a list of what is published, and `DIGEST` of it all.
pub(crate) fn dashboards(charm: &str) -> Result<String, Box<dyn Error>> {
    if charm != CHARM {
        return Err(format!("dashboards are of {CHARM}, not of {charm}").into());
    }
    let mut digest = Sha256::new();
    let mut out = "static FILES: &[File] = &[\n".to_owned();
    for (stem, description) in dashboards::read(Path::new(DESCRIPTIONS))? {
        if description.uid.len() != 40 || !description.uid.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(
                format!("{stem}: the uid would be replaced, since it is not 40 hexadecimal digits").into()
            );
        }
        if description.version < 2 {
            return Err(format!("{stem}: version 1 is that of the charm before").into());
        }
        let id = format!("file:{stem}");
        let content = packed(&serde_json::to_string(&description.dashboard(For::Charm)?)?)?;
        for part in [&id, &content] {
            sha2::Digest::update(&mut digest, part);
            sha2::Digest::update(&mut digest, [0]);
        }
        let alternative = shake(&format!("{charm}-{id}"), 8);
        writeln!(out, "    File {{ id: {id:?}, alternative_uid: {alternative:?}, content: {content:?} }},")?;
    }
    writeln!(
        out,
        "];\n\n/// SHA-256 of all ids and contents.\nconst DIGEST: [u8; 32] = {:?};",
        <[u8; 32]>::from(digest.finalize())
    )?;
    Ok(out)
}

/// In xz in base64.
fn packed(text: &str) -> Result<String, Box<dyn Error>> {
    // Readers need no more memory for the extreme variant of their own default.
    let stream = Stream::new_easy_encoder(6 | PRESET_EXTREME, Check::Crc64)?;
    let mut packed = Vec::new();
    XzEncoder::new_stream(text.as_bytes(), stream).read_to_end(&mut packed)?;
    Ok(STANDARD.encode(packed))
}

/// So many bytes of SHAKE-256, in hexadecimal digits.
fn shake(text: &str, bytes: usize) -> String {
    let mut shake = Shake256::default();
    shake.update(text.as_bytes());
    let mut out = vec![0; bytes];
    shake.finalize_xof().read(&mut out);
    out.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
