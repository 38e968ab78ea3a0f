//! Bodies with limits, compressed or not.

use std::convert::Infallible;
use std::io::Read;

use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes};

/// A body of ours, of whatever make.
pub(crate) type ResponseBody = BoxBody<Bytes, Infallible>;

/// Why a body could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// More bytes than the limit, before or after they were expanded.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection ended or the peer gave up.
    #[error("the body could not be read: {0}")]
    Broken(String),
    /// The compressed form is damaged.
    #[error("the body is no valid gzip: {0}")]
    Gzip(String),
}

/// The whole body, of at most `limit` bytes, with its trailers.
pub(crate) async fn collect<B>(body: B, limit: usize) -> Result<(Bytes, Option<hyper::HeaderMap>), BodyError>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let collected = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            BodyError::TooLarge(limit)
        } else {
            BodyError::Broken(error.to_string())
        }
    })?;
    let trailers = collected.trailers().cloned();
    Ok((collected.to_bytes(), trailers))
}

/// Expands gzip, to at most `limit` bytes.
pub(crate) fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut expanded = Vec::new();
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    GzDecoder::new(bytes)
        .take(one_more)
        .read_to_end(&mut expanded)
        .map_err(|error| BodyError::Gzip(error.to_string()))?;
    if expanded.len() > limit { Err(BodyError::TooLarge(limit)) } else { Ok(expanded) }
}

/// Compresses with gzip, fast rather than small.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    // Reading from and writing to memory has no way to fail.
    let _ = GzEncoder::new(bytes, Compression::fast()).read_to_end(&mut compressed);
    compressed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_reads_back_and_expands_no_further_than_allowed() {
        let zeros = vec![0; 1_000_000];
        let small = gzip(&zeros);
        assert!(small.len() < 20_000);
        assert_eq!(gunzip(&small, zeros.len()).unwrap(), zeros);
        assert_eq!(gunzip(&small, zeros.len() - 1), Err(BodyError::TooLarge(zeros.len() - 1)));
        assert!(matches!(gunzip(b"not gzip at all", 100), Err(BodyError::Gzip(_))));
        assert!(matches!(gunzip(&small[..small.len() / 2], zeros.len()), Err(BodyError::Gzip(_))));
    }
}
