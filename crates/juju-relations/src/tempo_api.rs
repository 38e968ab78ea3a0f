//! `tempo_api`: where the API of a Tempo is.
//!
//! Only the provider's **application** databag is used, written by its leader.
//!
//! | databag | key | value |
//! |---|---|---|
//! | provider's application | `http` | `{"direct_url": URL, "ingress_url": URL}` as JSON, without `ingress_url` if there is no ingress |
//! | | `grpc` | the same for the gRPC API; its URLs begin with `http://` or `https://` too |
//!
//! ```
//! use juju_relations::tempo_api::HttpUrl;
//!
//! // As every URL here: in lower case, without the port of its scheme, and with a path.
//! assert_eq!(HttpUrl::parse("https://Tempo.example:443")?.to_string(), "https://tempo.example/");
//! assert_eq!(HttpUrl::parse("http://tempo.example:3200")?.to_string(), "http://tempo.example:3200/");
//! # Ok::<(), juju_relations::tempo_api::NotHttp>(())
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{EndpointRole, Exchange, Nothing, Party, Wire};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "tempo_api";

/// A URL with scheme `http` or `https`, in the one spelling that it has on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpUrl(Url);

/// A text that is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an http or https URL")]
pub struct NotHttp;

/// Where one API is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Api {
    /// From within the Kubernetes cluster.
    pub direct_url: HttpUrl,
    /// Through an ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_url: Option<HttpUrl>,
}

/// The provider's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAppData {
    /// The HTTP API.
    pub http: Api,
    /// The gRPC API.
    pub grpc: Api,
}

impl HttpUrl {
    /// Reads a URL. Its host is a name of letters, digits, `-`, `_` and dots, or an IP address: readers of URLs take more, such as
    /// quotes, which end a text where the URL is written.
    ///
    /// # Errors
    /// [`NotHttp`], which leaves out the text: it may be long, or secret.
    pub fn parse(text: &str) -> Result<Self, NotHttp> {
        let url = Url::parse(text).map_err(|_| NotHttp)?;
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.[]:".contains(&c);
        let has_host = url.host_str().is_some_and(|host| host.bytes().all(plain));
        if matches!(url.scheme(), "http" | "https") && has_host { Ok(Self(url)) } else { Err(NotHttp) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HttpUrl {
    type Err = NotHttp;

    fn from_str(text: &str) -> Result<Self, NotHttp> {
        Self::parse(text)
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = NotHttp;

    fn try_from(text: String) -> Result<Self, NotHttp> {
        Self::parse(&text)
    }
}

impl From<HttpUrl> for String {
    fn from(url: HttpUrl) -> Self {
        url.0.into()
    }
}

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &["http", "grpc"];
}

/// The side that has a Tempo.
#[derive(Clone, Copy, Debug)]
pub enum Provider {}

impl Party for Provider {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Provides;
    type Own = ProviderAppData;
    type Other = Nothing;
}

/// The side that queries it.
#[derive(Clone, Copy, Debug)]
pub enum Requirer {}

impl Party for Requirer {
    const INTERFACE: &'static str = INTERFACE;
    const ROLE: EndpointRole = EndpointRole::Requires;
    type Own = Nothing;
    type Other = ProviderAppData;
}

/// The side that has a Tempo, in one hook.
pub type TempoApiProvider = Exchange<Provider>;

/// The side that queries it, in one hook.
pub type TempoApiRequirer = Exchange<Requirer>;

#[cfg(test)]
mod tests {
    use juju_ops::{Databag, Remote};

    use super::*;

    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text).unwrap()
    }

    #[test]
    fn bytes_both_ways() {
        let api = |port: u16| Api {
            direct_url: url(&format!("http://tempo.obs.svc.cluster.local:{port}")),
            ingress_url: Some(url(&format!("https://obs.example.net:{port}"))),
        };
        let data = ProviderAppData { http: api(3200), grpc: api(9096) };
        let bag = Databag::from([
            (
                "http",
                r#"{"direct_url": "http://tempo.obs.svc.cluster.local:3200/", "ingress_url": "https://obs.example.net:3200/"}"#,
            ),
            (
                "grpc",
                r#"{"direct_url": "http://tempo.obs.svc.cluster.local:9096/", "ingress_url": "https://obs.example.net:9096/"}"#,
            ),
        ]);
        assert_eq!(*data.write(), *bag);
        assert_eq!(ProviderAppData::read(Some(&bag)), Remote::Ready(data));
        let direct = Api { direct_url: url("http://t:1"), ingress_url: None };
        let data = ProviderAppData { http: direct.clone(), grpc: direct };
        assert_eq!(data.write()["grpc"], r#"{"direct_url": "http://t:1/"}"#);
    }

    #[test]
    fn urls_have_one_spelling() {
        for (text, expect) in [
            ("HTTP://Example.COM", "http://example.com/"),
            ("http://a:80/", "http://a/"),
            ("http://a:443/", "http://a:443/"),
            ("https://a/b", "https://a/b"),
            ("http://[FD00::1]:3200", "http://[fd00::1]:3200/"),
            ("http://bücher.example", "http://xn--bcher-kva.example/"),
        ] {
            assert_eq!(url(text).as_str(), expect);
        }
        for text in [
            r#"https://name="x"y/"#,
            "http://a'b/",
            "",
            "a:1",
            "tempo.example",
            "ftp://a/",
            "http://",
            "http://a:99999/",
            "http://[::1",
        ] {
            assert_eq!(HttpUrl::parse(text), Err(NotHttp), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_foreign_keys_do_not_matter() {
        let good = r#"{"direct_url": "http://t:1"}"#;
        let read = |http: &str| {
            ProviderAppData::read(Some(&Databag::from([("http", http), ("grpc", good), ("other", "x")])))
        };
        assert!(read(good).is_ready());
        assert!(read(r#"{"direct_url": "http://t:1", "ingress_url": null}"#).is_ready());
        assert_eq!(read(r#"{"direct_url": "t:1"}"#).reason(), Some("http: not an http or https URL"));
        assert_eq!(read("{}").reason(), Some("http: missing field `direct_url`"));
        let half = ProviderAppData::read(Some(&Databag::from([("http", good)])));
        assert_eq!(half.reason(), Some("grpc: missing"));
    }
}
