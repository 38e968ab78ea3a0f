//! The little of gRPC that unary calls need: message frames, statuses, and how HTTP errors map to them.

use std::fmt::Write;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Response, StatusCode};

use super::body::{BodyError, ResponseBody, gunzip};

/// The media type; requests may add `+proto`.
pub(crate) const MEDIA_TYPE: &str = "application/grpc";
/// Bytes before each message: a compression flag and a length.
pub(crate) const FRAME_HEADER: usize = 5;

/// Status codes by their gRPC numbers, as far as they are needed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Unknown = 2,
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
}

/// A call's outcome other than success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gRPC status {code} ({name}): {message}", name = code_name(*code))]
pub(crate) struct Status {
    pub(crate) code: u16,
    pub(crate) message: String,
}

impl Status {
    pub(crate) fn new(code: Code, message: impl std::fmt::Display) -> Self {
        Self { code: code as u16, message: message.to_string() }
    }

    /// The status of an answer: from its trailers, from its headers when there is no message, or derived from
    /// the HTTP status when something in between answered instead of a gRPC server. `None` is success.
    pub(crate) fn of(http: StatusCode, headers: &HeaderMap, trailers: Option<&HeaderMap>) -> Option<Self> {
        let holder = trailers.filter(|trailers| trailers.contains_key("grpc-status")).unwrap_or(headers);
        let Some(code) = holder.get("grpc-status") else {
            let code = match http.as_u16() {
                400 => 13,
                401 => 16,
                403 => 7,
                404 => 12,
                429 | 502 | 503 | 504 => 14,
                _ => 2,
            };
            return Some(Self { code, message: format!("no gRPC status, HTTP status {http}") });
        };
        let code = code.to_str().ok().and_then(|code| code.parse().ok()).unwrap_or(2);
        let message = holder.get("grpc-message").map(|message| percent_decode(message.as_bytes()));
        (code != 0).then(|| Self { code, message: message.unwrap_or_default() })
    }

    /// Whether an exporter should try again. A receiver that is full says so with "resource exhausted", which
    /// counts only when it says when to come back; that is not read here.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.code, 1 | 4 | 10 | 11 | 14 | 15)
    }

    /// The answer that carries only this status.
    pub(crate) fn into_response(self) -> Response<ResponseBody> {
        Response::builder()
            .header("content-type", MEDIA_TYPE)
            .header("grpc-status", self.code)
            .header("grpc-message", percent_encode(&self.message))
            .body(Full::new(Bytes::new()).boxed())
            .unwrap_or_default()
    }
}

/// A successful answer with one message.
pub(crate) fn success(message: &[u8]) -> Response<ResponseBody> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    let body = Full::new(frame(message, false)).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed();
    Response::builder().header("content-type", MEDIA_TYPE).body(body).unwrap_or_default()
}

/// A message as it stands in a request or response body. `compressed` says that it was compressed already.
pub(crate) fn frame(message: &[u8], compressed: bool) -> Bytes {
    let mut framed = Vec::with_capacity(FRAME_HEADER + message.len());
    framed.push(u8::from(compressed));
    // Our own messages stay far below 4 GiB; a longer one would be refused by every receiver.
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(message);
    framed.into()
}

/// The only message of a body, expanded to at most `limit` bytes.
///
/// `encoding` is the value of the `grpc-encoding` header.
pub(crate) fn unframe(body: &Bytes, encoding: Option<&str>, limit: usize) -> Result<Bytes, Status> {
    let broken = |reason: &str| Status::new(Code::Internal, reason);
    let Some((&[flag, a, b, c, d], _)) = body.split_first_chunk::<FRAME_HEADER>() else {
        return Err(broken("the body ends within a message header"));
    };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > limit {
        let reason = format!("received message larger than max ({length} vs. {limit})");
        return Err(Status::new(Code::ResourceExhausted, reason));
    }
    if body.len() - FRAME_HEADER != length {
        return Err(broken("the body is not exactly one message"));
    }
    let message = body.slice(FRAME_HEADER..);
    match (flag, encoding.unwrap_or("identity")) {
        (0, _) => Ok(message),
        (1, "gzip") => gunzip(&message, limit).map(Bytes::from).map_err(|error| match error {
            BodyError::TooLarge(_) => Status::new(Code::ResourceExhausted, error),
            other => Status::new(Code::Internal, other),
        }),
        (1, "identity") => Err(broken("the message is compressed but no encoding is named")),
        (1, other) => {
            let reason = format!("no decompressor for grpc-encoding {other:?}");
            Err(Status::new(Code::Unimplemented, reason))
        }
        _ => Err(broken("unknown compression flag")),
    }
}

fn code_name(code: u16) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or("not a code of gRPC")
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn percent_decode(bytes: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail
            .first_chunk::<2>()
            .filter(|_| first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spans::body::gzip;

    #[test]
    fn frames_read_back_plain_and_compressed() {
        let message = b"some message".as_slice();
        assert_eq!(unframe(&frame(message, false), None, 100).unwrap(), message);
        assert_eq!(unframe(&frame(&gzip(message), true), Some("gzip"), 100).unwrap(), message);
        let code = |body, encoding, limit| unframe(&body, encoding, limit).unwrap_err().code;
        assert_eq!(code(frame(message, false), None, 11), 8);
        assert_eq!(code(frame(&gzip(&[0; 5000]), true), Some("gzip"), 100), 8);
        assert_eq!(code(frame(message, true), Some("snappy"), 100), 12);
        assert_eq!(code(frame(message, true), None, 100), 13);
        assert_eq!(code(Bytes::from_static(&[0, 0, 0]), None, 100), 13);
        assert_eq!(code(Bytes::from_static(&[0, 0, 0, 0, 9, 1]), None, 100), 13);
    }

    #[test]
    fn a_status_comes_from_trailers_headers_or_the_http_status() {
        let status = |value: &'static str| {
            HeaderMap::from_iter([(
                hyper::header::HeaderName::from_static("grpc-status"),
                hyper::header::HeaderValue::from_static(value),
            )])
        };
        let none = HeaderMap::new();
        assert_eq!(Status::of(StatusCode::OK, &none, Some(&status("0"))), None);
        assert_eq!(Status::of(StatusCode::OK, &status("12"), None).unwrap().code, 12);
        let proxy = Status::of(StatusCode::BAD_GATEWAY, &none, None).unwrap();
        assert!(proxy.is_transient() && proxy.to_string().contains("502"), "{proxy}");
        assert!(!Status::of(StatusCode::NOT_FOUND, &none, None).unwrap().is_transient());
    }

    proptest! {
        #[test]
        fn messages_survive_percent_encoding(text in ".*") {
            let encoded = percent_encode(&text);
            prop_assert!(encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(percent_decode(encoded.as_bytes()), text);
        }

        #[test]
        fn hostile_bodies_are_refused_in_peace(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            percent_decode(&bytes);
            if let Ok(message) = unframe(&bytes.clone().into(), Some("gzip"), 64) {
                prop_assert!(message.len() <= 64);
            }
        }
    }
}
