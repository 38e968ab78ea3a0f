//! How requests and answers are written down. No I/O here.

pub(crate) mod duration;
pub(crate) mod envelope;
pub(crate) mod multipart;

/// A path with its query, ready for a request line; values may hold anything.
pub(crate) fn target(path: &str, query: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    for (index, (key, value)) in query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(key);
        target.push('=');
        target.push_str(&percent_encoded(value));
    }
    target
}

/// Text as one path segment or query value: all but unreserved characters (RFC 3986) are escaped.
pub(crate) fn percent_encoded(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn values_cannot_leave_their_place() {
        let target = target("/v1/files", &[("action", "list"), ("path", "/a b&c=d#é?%2f")]);
        assert_eq!(target, "/v1/files?action=list&path=%2Fa%20b%26c%3Dd%23%C3%A9%3F%252f");
    }
}
