//! Where the charm's own traces go.

use serde::Serialize;

use crate::deployment::Deployment;
use crate::deployment::address::Scheme;
use crate::tempo::{self, Protocol};

/// The path of receivers of OTLP over HTTP.
const PATH: &str = "/v1/traces";

/// A receiver of OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traces {
    /// The whole URL.
    pub url: String,
    /// Certificate (PEM) of the authority that vouches for the receiver; `None` without TLS of our own.
    #[serde(skip)]
    pub ca: Option<String>,
}

/// The other Tempo if one takes traces of charms, else this one, through this unit's own nginx; `None` while there is neither.
///
/// nginx is called by this unit's own name and not as `localhost`: that name is in its certificate.
pub(super) fn destination(d: &Deployment, ready: bool) -> Option<Traces> {
    let other = d.telemetry.charm_tracing.as_ref().and_then(|receivers| receivers.get(&Protocol::OtlpHttp));
    let base = match other {
        Some(url) => url.to_string().trim_end_matches('/').to_owned(),
        None if ready => {
            let scheme = if d.tls.is_on() { Scheme::Https } else { Scheme::Http };
            format!("{scheme}://{}:{}", d.unit_host, tempo::receiver_port(Protocol::OtlpHttp))
        }
        None => return None,
    };
    Some(Traces { url: base + PATH, ca: d.tls.in_use().map(|certified| certified.ca.clone()) })
}
