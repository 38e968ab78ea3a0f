//! `multipart/form-data`, in which Pebble takes and gives file contents.

/// Why a body is not the multipart that its header announced.
pub(crate) type Malformed = &'static str;

/// One part of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// `name` of its `Content-Disposition`; empty when it has none.
    pub(crate) name: String,
    /// Its content.
    pub(crate) body: &'a [u8],
}

/// The boundary named by a `Content-Type: multipart/form-data; boundary=…`.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(parameters, "boundary").filter(|boundary| !boundary.is_empty())
}

/// Splits a body at its boundary.
///
/// What stands before the first delimiter and after the last one is ignored, as RFC 2046 says.
pub(crate) fn parse<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, Malformed> {
    // The delimiter includes the line break before it; the first one may stand at the very start.
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    let mut rest = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => rest,
        None => split_at_delimiter(body, &delimiter).ok_or("no boundary in the body")?.1,
    };
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        // Blanks may follow a boundary on its line.
        let (blanks, part) = split_at(rest, b"\r\n").ok_or("the body ends in a boundary line")?;
        if !blanks.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err("text after a boundary");
        }
        let (whole, tail) = split_at_delimiter(part, &delimiter).ok_or("the body ends inside a part")?;
        parts.push(split_headers(whole)?);
        rest = tail;
    }
}

fn split_headers(part: &[u8]) -> Result<Part<'_>, Malformed> {
    let (headers, body) = match part.strip_prefix(b"\r\n") {
        Some(body) => (&b""[..], body),
        None => split_at(part, b"\r\n\r\n").ok_or("a part without an end of its headers")?,
    };
    let headers = std::str::from_utf8(headers).map_err(|_| "a part header that is not UTF-8")?;
    let name = headers
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case("content-disposition"))
        .and_then(|(_, value)| parameter(value.split_once(';')?.1, "name"))
        .unwrap_or_default();
    Ok(Part { name, body })
}

/// The value of `key` among `a=b; c="d"`.
fn parameter(mut text: &str, key: &str) -> Option<String> {
    loop {
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = parameter_value(rest.trim_start())?;
        if name.trim().eq_ignore_ascii_case(key) {
            return Some(value);
        }
        text = rest.trim_start().strip_prefix(';')?;
    }
}

/// A token or quoted string at the start of `text`, and what follows it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ';' || c.is_whitespace()).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[index + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// What stands before and after the first `needle`.
fn split_at<'a>(haystack: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(offset) = haystack[from..].iter().position(|byte| *byte == first) {
        let at = from + offset;
        if let Some(after) = haystack[at..].strip_prefix(needle) {
            return Some((&haystack[..at], after));
        }
        from = at + 1;
    }
    None
}

/// What stands before and after the first delimiter. A longer word that begins like one is content.
fn split_at_delimiter<'a>(haystack: &'a [u8], delimiter: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut from = 0;
    loop {
        let (before, after) = split_at(&haystack[from..], delimiter)?;
        if matches!(after.first(), None | Some(b' ' | b'\t' | b'\r' | b'-')) {
            return Some((&haystack[..from + before.len()], after));
        }
        from += before.len() + delimiter.len();
    }
}

/// A file of a request: its path and content.
pub(crate) type Upload<'a> = (&'a str, &'a [u8]);

/// Writes a request of one JSON document and files; returns its `Content-Type` and body.
///
/// Paths must not hold line breaks; [`is_safe_name`] tells.
pub(crate) fn write(request: &[u8], files: &[Upload<'_>]) -> (String, Vec<u8>) {
    let boundary = unused_boundary(request, files);
    let size = files.iter().map(|(path, content)| path.len() + content.len() + 200).sum::<usize>();
    let mut body = Vec::with_capacity(size + request.len() + 300);
    let mut part = |header: &str, content: &[u8]| {
        body.extend_from_slice(b"--");
        body.extend_from_slice(boundary.as_bytes());
        body.extend_from_slice(b"\r\nContent-Disposition: form-data; ");
        body.extend_from_slice(header.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    };
    part("name=\"request\"\r\nContent-Type: application/json", request);
    for (path, content) in files {
        let name = path.replace('\\', "\\\\").replace('"', "\\\"");
        part(
            &format!("name=\"files\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream"),
            content,
        );
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// Whether a path can stand in a header.
pub(crate) fn is_safe_name(path: &str) -> bool {
    !path.contains(['\r', '\n', '\0'])
}

/// A boundary that none of the contents holds. Counting instead of drawing lots keeps requests
/// reproducible, and checking makes a clash impossible rather than unlikely.
fn unused_boundary(request: &[u8], files: &[Upload<'_>]) -> String {
    // Pebble wants at least 32 characters.
    let mut number = 0_u64;
    loop {
        let boundary = format!("juju-pebble-boundary-{number:020}");
        let used = |content: &[u8]| split_at(content, boundary.as_bytes()).is_some();
        if !used(request) && !files.iter().any(|(_, content)| used(content)) {
            return boundary;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Part, boundary, parse, write};

    fn part<'a>(name: &str, body: &'a [u8]) -> Part<'a> {
        Part { name: name.into(), body }
    }

    #[test]
    fn finds_the_boundary() {
        let cases = [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data;charset=x; Boundary=\"a b;c\"", Some("a b;c")),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"abc", None),
            ("multipart/form-data", None),
            ("application/json; boundary=abc", None),
        ];
        for (header, expected) in cases {
            assert_eq!(boundary(header).as_deref(), expected, "{header}");
        }
    }

    #[test]
    fn reads_what_the_daemon_writes() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"/a \\\"name\\\"\"\r\n\
            Content-Type: application/octet-stream\r\n\r\nline\r\n--bc is no boundary\r\n\r\n\
            --b\r\nContent-Disposition: form-data; name=\"response\"\r\nContent-Type: application/json\r\n\r\n{}\r\n--b--\r\n";
        assert_eq!(
            parse(body, "b").unwrap(),
            [part("files", b"line\r\n--bc is no boundary\r\n"), part("response", b"{}")]
        );
    }

    #[test]
    fn content_may_be_empty_binary_or_look_like_headers() {
        let body = b"--B--7\r\nContent-Disposition: form-data; name=\"files\"\r\n\r\n\r\n--B--7 \t\r\ncontent-disposition:form-data;name=x\r\n\r\n\x00\xff\r\n\r\n-\r\n--B--7\r\n\r\nno header\r\n--B--7--trailing";
        let parts = parse(body, "B--7").unwrap();
        assert_eq!(parts, [part("files", b""), part("x", b"\x00\xff\r\n\r\n-"), part("", b"no header")]);
    }

    #[test]
    fn a_preamble_is_ignored() {
        let body = b"ignored\r\n--b\r\n\r\nx\r\n--b--";
        assert_eq!(parse(body, "b").unwrap(), [part("", b"x")]);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"files\"\r\n\r\nabc\r\n--b--";
        assert_eq!(parse(body, "b").unwrap(), [part("files", b"abc")]);
        for end in 0..body.len() - 1 {
            assert!(parse(&body[..end], "b").is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_boundary_avoids_the_contents() {
        let taken = format!("juju-pebble-boundary-{:020}", 0);
        let (content_type, body) = write(b"{}", &[("/a", taken.as_bytes())]);
        let boundary = boundary(&content_type).unwrap();
        assert_ne!(boundary, taken);
        assert!(boundary.len() >= 32);
        assert_eq!(parse(&body, &boundary).unwrap()[1].body, taken.as_bytes());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(
            body in proptest::collection::vec(any::<u8>(), 0..400),
            boundary in "\\PC{0,8}",
        ) {
            let _ = parse(&body, &boundary);
        }

        /// Random bytes hardly ever hold a delimiter, so build bodies out of what the parser looks for.
        #[test]
        fn almost_multipart_is_parsed_without_panic(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just(b"--b".to_vec()), Just(b"\r\n".to_vec()), Just(b"--".to_vec()), Just(b"\r".to_vec()),
                    Just(b"Content-Disposition: form-data; name=".to_vec()), Just(b"\"".to_vec()),
                    Just(b"\\".to_vec()), Just(b"=;:".to_vec()), Just("é".as_bytes().to_vec()), Just(vec![0xff]),
                ],
                0..40,
            ),
        ) {
            let _ = parse(&pieces.concat(), "b");
        }

        #[test]
        fn any_header_is_read_without_panic(header in "\\PC*", parameters in "[a-z=;\" \\\\é]*") {
            let _ = boundary(&header);
            let _ = boundary(&format!("multipart/form-data;{parameters}"));
        }

        #[test]
        fn what_is_written_is_read(
            files in proptest::collection::vec(("[^\r\n\x00]*", proptest::collection::vec(any::<u8>(), 0..200)), 0..4),
            request in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            let uploads: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
            let (content_type, body) = write(&request, &uploads);
            let parts = parse(&body, &boundary(&content_type).unwrap()).unwrap();
            prop_assert_eq!(parts.len(), files.len() + 1);
            prop_assert_eq!(&parts[0], &part("request", &request));
            for (part, (_, content)) in parts[1..].iter().zip(&files) {
                prop_assert_eq!(part.name.as_str(), "files");
                prop_assert_eq!(part.body, content.as_slice());
            }
        }
    }
}
