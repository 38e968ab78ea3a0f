//! Hosts and URLs that other charms told us, in a form that is safe to write into configuration files.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Serialize, Serializer};

/// A host name or an IP address: letters, digits, `-`, `_` and dots, so nothing that any file format reads as
/// anything else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name for the resolver, in lower case, without a dot at its end.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

/// Why a text is not a host or URL. The text itself is left out: it may be long, or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither a host name nor an IP address.
    #[error("is not a host name or IP address")]
    Host,
    /// Not a number from 1 to 65535 after the colon.
    #[error("has an invalid port")]
    Port,
    /// No `http://` or `https://` where there has to be one.
    #[error("is not an http or https URL")]
    Scheme,
    /// A user name, a query, a fragment, or a character that no plain path has.
    #[error("has a path, query or user that cannot be used")]
    Path,
}

impl Host {
    /// Reads a host; IPv6 addresses with or without brackets.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(AddressError::Host)?;
            return inner.parse::<Ipv6Addr>().map(|ip| Self::Ip(ip.into())).map_err(|_| AddressError::Host);
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // A last label of digits only would be read as an IPv4 address by some readers, as a name by others.
        let numeric_end =
            name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if name.len() > 253 || numeric_end || !name.split('.').all(label) {
            return Err(AddressError::Host);
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }

    /// The name without its first label, if it has several; an IP address stays what it is.
    #[must_use]
    pub fn parent(&self) -> Self {
        match self {
            Self::Name(name) => Self::Name(name.split_once('.').map_or(&**name, |(_, rest)| rest).to_owned()),
            Self::Ip(ip) => Self::Ip(*ip),
        }
    }

    /// Whether it is a name, which somebody has to resolve.
    pub fn is_name(&self) -> bool {
        matches!(self, Self::Name(_))
    }
}

impl fmt::Display for Host {
    /// As in a URL: IPv6 addresses have brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The scheme as it begins a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of URLs that name none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `host`, `host:port` or either behind `http://` or `https://`; a path is cut off.
///
/// Workers and S3 providers publish their address in any of these forms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    /// The scheme, if one was given.
    pub scheme: Option<Scheme>,
    /// The host.
    pub host: Host,
    /// The port, if one was given.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads one of the forms.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = split_scheme(text.trim())?;
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = split_port(authority)?;
        Ok(Self { scheme, host, port })
    }
}

/// An `http` or `https` URL without user, query and fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    /// The scheme.
    pub scheme: Scheme,
    /// The host.
    pub host: Host,
    /// The port, if one was given.
    pub port: Option<u16>,
    /// The path: empty, or beginning with `/`, and made of characters that are safe in any file.
    pub path: String,
}

impl Url {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = split_scheme(text.trim())?;
        let scheme = scheme.ok_or(AddressError::Scheme)?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains(['@', '?', '#']) {
            return Err(AddressError::Path);
        }
        let (host, port) = split_port(authority)?;
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%:@+,=&!*".contains(&b);
        if !path.bytes().all(safe) {
            return Err(AddressError::Path);
        }
        Ok(Self { scheme, host, port, path: path.to_owned() })
    }

    /// The port to connect to.
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(self.scheme.default_port())
    }

    /// What an HTTP request for it has as `Host`.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.path)
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn split_scheme(text: &str) -> Result<(Option<Scheme>, &str), AddressError> {
    match text.split_once("://") {
        None => Ok((None, text)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => Ok((Some(Scheme::Http), rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => Ok((Some(Scheme::Https), rest)),
        Some(_) => Err(AddressError::Scheme),
    }
}

/// Splits `host:port`. A bare IPv6 address, with its many colons, has no port.
fn split_port(authority: &str) -> Result<(Host, Option<u16>), AddressError> {
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok((Host::parse(authority)?, None));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        None => None,
        Some(port) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(port.parse::<u16>().ok().filter(|port| *port != 0).ok_or(AddressError::Port)?)
        }
        Some(_) => return Err(AddressError::Port),
    };
    Ok((Host::parse(host)?, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts() {
        let name = |text: &str| Ok(Host::Name(text.to_owned()));
        for (text, expect) in [
            ("localhost", name("localhost")),
            ("w-0.w-endpoints.obs.svc.cluster.local", name("w-0.w-endpoints.obs.svc.cluster.local")),
            ("a_b.example.", name("a_b.example")),
            ("10.1.2.3", Ok(Host::Ip([10, 1, 2, 3].into()))),
            ("::1", Ok(Host::Ip(Ipv6Addr::LOCALHOST.into()))),
            ("[::1]", Ok(Host::Ip(Ipv6Addr::LOCALHOST.into()))),
            ("", Err(AddressError::Host)),
            (".", Err(AddressError::Host)),
            ("-a", Err(AddressError::Host)),
            ("a..b", Err(AddressError::Host)),
            ("10.1.2", Err(AddressError::Host)),
            ("1.2.3.4.5", Err(AddressError::Host)),
            ("a b", Err(AddressError::Host)),
            ("a;b", Err(AddressError::Host)),
            ("$host", Err(AddressError::Host)),
            ("[::1", Err(AddressError::Host)),
            ("[10.1.2.3]", Err(AddressError::Host)),
            ("ü.example", Err(AddressError::Host)),
        ] {
            assert_eq!(Host::parse(text), expect, "{text:?}");
        }
        assert_eq!(Host::parse("::1").unwrap().to_string(), "[::1]");
        assert!(Host::parse(&"a".repeat(64)).is_err());
        assert!(Host::parse(&["a"; 130].join(".")).is_err());
    }

    #[test]
    fn parents_of_names_only() {
        for (host, parent) in [("a.b.c", "b.c"), ("a", "a"), ("10.1.2.3", "10.1.2.3"), ("::1", "[::1]")] {
            assert_eq!(Host::parse(host).unwrap().parent().to_string(), parent);
        }
    }

    #[test]
    fn authorities() {
        let ok = |scheme, host: &str, port| Ok(Authority { scheme, host: Host::parse(host).unwrap(), port });
        for (text, expect) in [
            ("example.com", ok(None, "example.com", None)),
            ("http://example.com", ok(Some(Scheme::Http), "example.com", None)),
            ("HTTPS://example.com:9000/bucket/", ok(Some(Scheme::Https), "example.com", Some(9000))),
            (" 10.20.0.5:9000\n", ok(None, "10.20.0.5", Some(9000))),
            ("[fd00::1]:80", ok(None, "fd00::1", Some(80))),
            ("fd00::1", ok(None, "fd00::1", None)),
            ("s3://bucket", Err(AddressError::Scheme)),
            ("example.com:", Err(AddressError::Port)),
            ("example.com:0", Err(AddressError::Port)),
            ("example.com:+80", Err(AddressError::Port)),
            ("example.com:65536", Err(AddressError::Port)),
            ("user@example.com", Err(AddressError::Host)),
            ("http://", Err(AddressError::Host)),
            ("/", Err(AddressError::Host)),
        ] {
            assert_eq!(Authority::parse(text), expect, "{text:?}");
        }
    }

    #[test]
    fn urls() {
        for text in ["http://a:9090/api/v1/write", "https://[fd00::1]/x", "http://10.0.0.1"] {
            assert_eq!(Url::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Url::parse("https://a/b").unwrap().effective_port(), 443);
        assert_eq!(Url::parse("http://a:9090/b").unwrap().authority(), "a:9090");
        for (text, error) in [
            ("a:9090/write", AddressError::Scheme),
            ("ftp://a", AddressError::Scheme),
            ("http://a/b?c=d", AddressError::Path),
            ("http://a?c=d", AddressError::Path),
            ("http://user:pass@a/", AddressError::Path),
            ("http://a/$request_uri", AddressError::Path),
            ("http://a/;}", AddressError::Path),
            ("http://a/\n", AddressError::Path),
        ] {
            // White space around the whole text is harmless and cut; within it, it is not.
            if text.ends_with('\n') {
                assert!(Url::parse(text).is_ok());
            } else {
                assert_eq!(Url::parse(text), Err(error), "{text:?}");
            }
        }
        assert_eq!(Url::parse("http://a/b\nc"), Err(AddressError::Path));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_safe(text in "\\PC{0,40}|[a-z0-9:./@\\[\\] -]{0,40}|https?://\\PC{0,40}") {
            let safe = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'`\\;{}$#<>".contains(&b));
            if let Ok(authority) = Authority::parse(&text) {
                prop_assert!(safe(&authority.host.to_string()));
            }
            if let Ok(url) = Url::parse(&text) {
                prop_assert!(safe(&url.to_string()));
                prop_assert_eq!(Url::parse(&url.to_string()), Ok(url));
            }
        }
    }
}
