//! `tls-certificates` version 1: certificates that somebody else signs.
//!
//! All values are JSON. The requirer writes its **unit** databags, or its application's; the provider answers all of
//! them in its **application** databag.
//!
//! | databag | key | value |
//! |---|---|---|
//! | requirer's unit or application | `certificate_signing_requests` | array of `{"certificate_signing_request": PEM, "ca": bool or null}` |
//! | provider's application | `certificates` | array of `{"ca", "certificate_signing_request", "certificate"`: PEM, `"chain"`: array of PEM or missing, `"revoked"`: bool or missing`}` |
//! | | `request_errors` | array of `{"csr": PEM, "error": {"code", "name", "message", …}}` |
//! | | `capabilities` | object; every member optional |
//!
//! PEM texts have no newline at their end. A request is the text that it is known by: the provider repeats it beside
//! its answer ([`same_pem`] compares such texts). `ca` is the certificate of the issuer, `chain` goes from the
//! certificate to its issuers.
//!
//! One entry that cannot be read spoils nothing but itself: it is left out and named in `problems`. A request error
//! may name its request `csr` or `certificate_signing_request`; `csr` is written.
//!
//! With the feature `tls-certificates` there are also keys (`PrivateKey`), the making and reading of requests
//! (`request`, `ParsedRequest`) and certificates (`ParsedCertificate`), what a requirer should do next (`decide`) and,
//! for tests, somebody who signs (`Authority`).
//!
//! ```
//! use juju_relations::{Databag, Wire, tls_certificates::ProviderAppData};
//!
//! let bag = Databag::from([("request_errors", r#"[7, {"certificate_signing_request": "-----BEGIN…", "error": {"code": 102}}]"#)]);
//! let answers = ProviderAppData::read(Some(&bag)).ok().expect("what can be read");
//! assert_eq!(answers.request_errors[0].csr, "-----BEGIN…");
//! assert_eq!(answers.problems.len(), 1);
//! ```

#[cfg(feature = "tls-certificates")]
mod authority;
#[cfg(feature = "tls-certificates")]
mod decide;
#[cfg(feature = "tls-certificates")]
mod key;
mod provider;
mod requirer;
#[cfg(feature = "tls-certificates")]
mod x509;

use juju_ops::{Databag, Remote};
use serde::{Deserialize, Serialize};

use crate::{Wire, lenient};

#[cfg(feature = "tls-certificates")]
pub use authority::Authority;
#[cfg(feature = "tls-certificates")]
pub use decide::{
    Assigned, Decision, RENEWAL_PERCENT, Situation, StoredCertificate, certificate_label, decide,
};
#[cfg(feature = "tls-certificates")]
pub use key::{PrivateKey, PublicKey};
pub use provider::{CertificatesProvider, ProviderEvent, Requester, provider_event};
pub use requirer::{
    CertificatesRequirer, KeyScope, LABEL_ID, PRIVATE_KEY, RequirerEvent, certificate_label_prefix,
    private_key_label, requirer_event,
};
#[cfg(feature = "tls-certificates")]
pub use x509::{
    CertificateError, ParsedCertificate, ParsedRequest, RequestAttributes, canonical_pem, request,
};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "tls-certificates";

/// A requirer's databag, its unit's or its application's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirerData {
    /// What is asked for, in the order in which it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_signing_requests: Vec<SigningRequest>,
    /// Entries that could not be read and are left out, in words fit for a log. Never written.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// One request for a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningRequest {
    /// The request, PEM without a newline at its end.
    pub certificate_signing_request: String,
    /// Whether the certificate is for an authority.
    #[serde(default)]
    pub ca: Option<bool>,
}

/// The provider's application databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAppData {
    /// What was signed, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Issued>,
    /// What was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_errors: Vec<RequestError>,
    /// What the provider can do, if it says so.
    pub capabilities: Option<Capabilities>,
    /// Entries that could not be read and are left out, in words fit for a log. Never written.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// One certificate that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Certificate of the issuer, PEM.
    pub ca: String,
    /// The request that is answered, as it was made.
    pub certificate_signing_request: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// The certificate and its issuers, in that order, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Vec<String>>,
    /// True if the certificate must not be used any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<bool>,
}

/// One request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "EitherName")]
pub struct RequestError {
    /// The request that is answered, as it was made.
    pub csr: String,
    /// Why.
    pub error: ErrorDetail,
}

/// Why a request was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    /// One of [`ErrorDetail::IP_NOT_ALLOWED`] and its like.
    pub code: i64,
    /// The code's name, such as `domain_not_allowed`.
    pub name: String,
    /// In words.
    pub message: String,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What that asked in its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// What a provider can do. What it does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Addresses as names of the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supports_ip_sans: Option<bool>,
    /// Names like `*.example.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supports_wildcard_dns: Option<bool>,
    /// Names below the allowed domains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supports_subdomain: Option<bool>,
    /// Certificates for authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supports_ca_certificates: Option<bool>,
    /// Domains that names may be in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_domains: Option<Vec<String>>,
    /// What kind of provider it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_type: Option<String>,
}

/// The member that names the request has two spellings, and some providers write both.
#[derive(Deserialize)]
struct EitherName {
    csr: Option<String>,
    certificate_signing_request: Option<String>,
    error: ErrorDetail,
}

impl TryFrom<EitherName> for RequestError {
    type Error = &'static str;

    fn try_from(read: EitherName) -> Result<Self, Self::Error> {
        let csr = read.csr.or(read.certificate_signing_request).ok_or("csr: missing")?;
        Ok(Self { csr, error: read.error })
    }
}

impl SigningRequest {
    /// A request for a certificate, PEM; `ca` if it is for an authority.
    pub fn new(csr: impl Into<String>, ca: bool) -> Self {
        Self { certificate_signing_request: csr.into(), ca: Some(ca) }
    }

    /// Whether the certificate is for an authority; it is not unless the request says so.
    pub fn is_ca(&self) -> bool {
        self.ca.unwrap_or(false)
    }
}

impl RequirerData {
    /// A databag with these requests.
    pub fn new(requests: impl IntoIterator<Item = SigningRequest>) -> Self {
        Self { certificate_signing_requests: requests.into_iter().collect(), problems: Vec::new() }
    }

    /// True if this request is there.
    pub fn asks_for(&self, csr: &str) -> bool {
        self.certificate_signing_requests.iter().any(|own| same_pem(&own.certificate_signing_request, csr))
    }
}

impl Wire for RequirerData {
    const KEYS: &'static [&'static str] = &["certificate_signing_requests"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| !bag.is_unwritten()) else { return Remote::Absent };
        let mut problems = Vec::new();
        match lenient::array(bag, "certificate_signing_requests", &mut problems) {
            Ok(certificate_signing_requests) => {
                Remote::Ready(Self { certificate_signing_requests, problems })
            }
            Err(error) => Remote::Invalid(Self::explain(bag, &error)),
        }
    }
}

impl ErrorDetail {
    /// An address is asked for, and the provider signs none.
    pub const IP_NOT_ALLOWED: i64 = 101;
    /// A name is asked for that the provider does not sign.
    pub const DOMAIN_NOT_ALLOWED: i64 = 102;
    /// A name with `*` is asked for, and the provider signs none.
    pub const WILDCARD_NOT_ALLOWED: i64 = 103;
    /// The provider cannot sign now.
    pub const SERVER_NOT_AVAILABLE: i64 = 201;
    /// Anything else.
    pub const OTHER: i64 = 999;

    /// An error with this code, its name and a message.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        let name = match code {
            Self::IP_NOT_ALLOWED => "ip_not_allowed",
            Self::DOMAIN_NOT_ALLOWED => "domain_not_allowed",
            Self::WILDCARD_NOT_ALLOWED => "wildcard_not_allowed",
            Self::SERVER_NOT_AVAILABLE => "server_not_available",
            _ => "other",
        };
        Self { code, name: name.to_owned(), message: message.into(), ..Self::default() }
    }
}

impl ProviderAppData {
    /// Answers a request: an older answer to it goes, whether a certificate or an error.
    pub fn answer(&mut self, issued: Issued) {
        self.withdraw(&issued.certificate_signing_request);
        self.certificates.push(issued);
    }

    /// Refuses a request: an older answer to it goes, whether a certificate or an error.
    pub fn refuse(&mut self, csr: impl Into<String>, error: ErrorDetail) {
        let csr = csr.into();
        self.withdraw(&csr);
        self.request_errors.push(RequestError { csr, error });
    }

    /// Drops the answer to a request.
    pub fn withdraw(&mut self, csr: &str) {
        self.retain(|answered| !same_pem(answered, csr));
    }

    /// Keeps only answers to requests of which this is true.
    pub fn retain(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        self.certificates.retain(|issued| wanted(&issued.certificate_signing_request));
        self.request_errors.retain(|refused| wanted(&refused.csr));
    }

    /// Says of every certificate that it must not be used any more.
    pub fn revoke_all(&mut self) {
        for issued in &mut self.certificates {
            issued.revoked = Some(true);
        }
    }

    /// True if there is an answer to this request.
    pub fn answers(&self, csr: &str) -> bool {
        self.issued(csr).next().is_some() || self.refused(csr).is_some()
    }

    /// The certificates for a request; normally one at most.
    pub fn issued(&self, csr: &str) -> impl Iterator<Item = &Issued> {
        self.certificates.iter().filter(move |issued| same_pem(&issued.certificate_signing_request, csr))
    }

    /// Why a request was refused, if it was.
    pub fn refused(&self, csr: &str) -> Option<&ErrorDetail> {
        self.request_errors.iter().rfind(|refused| same_pem(&refused.csr, csr)).map(|refused| &refused.error)
    }
}

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &["certificates", "request_errors", "capabilities"];

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag.filter(|bag| !bag.is_unwritten()) else { return Remote::Absent };
        let mut problems = Vec::new();
        let certificates = match lenient::array(bag, "certificates", &mut problems) {
            Ok(certificates) => certificates,
            Err(error) => return Remote::Invalid(Self::explain(bag, &error)),
        };
        // Nobody's certificate depends on the others.
        let errors = lenient::array(bag, "request_errors", &mut problems);
        let capabilities = lenient::document(bag, "capabilities");
        problems.extend(errors.as_ref().err().map(ToString::to_string));
        problems.extend(capabilities.as_ref().err().map(ToString::to_string));
        Remote::Ready(Self {
            certificates,
            request_errors: errors.unwrap_or_default(),
            capabilities: capabilities.unwrap_or_default(),
            problems,
        })
    }
}

/// True if two PEM texts say the same, wherever their lines end.
pub fn same_pem(one: &str, other: &str) -> bool {
    let signs = |text| str::chars(text).filter(|c| !c.is_whitespace());
    signs(one).eq(signs(other))
}

#[cfg(test)]
mod tests {
    use juju_ops::{Event, RelationEvent, RelationId};

    use super::*;

    const CSR: &str = "-----BEGIN CERTIFICATE REQUEST-----\nMIIC\n-----END CERTIFICATE REQUEST-----";
    const LEAF: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
    const CA: &str = "-----BEGIN CERTIFICATE-----\nMIIA\n-----END CERTIFICATE-----";

    const REQUESTS: &str = r#"[{"certificate_signing_request": "-----BEGIN CERTIFICATE REQUEST-----\nMIIC\n-----END CERTIFICATE REQUEST-----", "ca": false}]"#;
    const CERTIFICATES: &str = r#"[{"ca": "-----BEGIN CERTIFICATE-----\nMIIA\n-----END CERTIFICATE-----", "certificate_signing_request": "-----BEGIN CERTIFICATE REQUEST-----\nMIIC\n-----END CERTIFICATE REQUEST-----", "certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "chain": ["-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\nMIIA\n-----END CERTIFICATE-----"]}]"#;
    const ERRORS: &str = r#"[{"csr": "x", "error": {"code": 102, "name": "domain_not_allowed", "message": "only example.com"}}]"#;

    fn issued() -> Issued {
        Issued {
            ca: CA.into(),
            certificate_signing_request: CSR.into(),
            certificate: LEAF.into(),
            chain: Some(vec![LEAF.into(), CA.into()]),
            revoked: None,
        }
    }

    fn provider<const N: usize>(pairs: [(&str, &str); N]) -> ProviderAppData {
        ProviderAppData::read(Some(&Databag::from(pairs))).ok().expect("readable")
    }

    #[test]
    fn bytes_of_requests() {
        let bag = Databag::from([("certificate_signing_requests", REQUESTS)]);
        let data = RequirerData::new([SigningRequest::new(CSR, false)]);
        assert_eq!(data.write(), bag);
        assert_eq!(RequirerData::read(Some(&bag)), Remote::Ready(data));
        // Nothing is asked for: the key goes.
        assert_eq!(RequirerData::default().changes(), [("certificate_signing_requests".to_owned(), None)]);
        let unsaid =
            RequirerData::new([SigningRequest { certificate_signing_request: "x".into(), ca: None }]);
        assert_eq!(
            unsaid.write()["certificate_signing_requests"],
            r#"[{"certificate_signing_request": "x", "ca": null}]"#
        );
    }

    #[test]
    fn bytes_of_answers() {
        let mut data = ProviderAppData::default();
        data.answer(issued());
        data.refuse("x", ErrorDetail::new(ErrorDetail::DOMAIN_NOT_ALLOWED, "only example.com"));
        data.capabilities = Some(Capabilities {
            supports_ip_sans: Some(false),
            allowed_domains: Some(vec!["example.com".into()]),
            ..Capabilities::default()
        });
        let bag = Databag::from([
            ("certificates", CERTIFICATES),
            ("request_errors", ERRORS),
            ("capabilities", r#"{"supports_ip_sans": false, "allowed_domains": ["example.com"]}"#),
        ]);
        assert_eq!(data.write(), bag);
        assert_eq!(ProviderAppData::read(Some(&bag)), Remote::Ready(data));
    }

    #[test]
    fn a_bad_entry_spoils_only_itself() {
        let list = format!(r#"[7, {}, {{"ca": 1}}, null]"#, &CERTIFICATES[1..CERTIFICATES.len() - 1]);
        let data = provider([
            ("certificates", list.as_str()),
            ("request_errors", "{}"),
            ("capabilities", r#"{"allowed_domains": "x"}"#),
        ]);
        assert_eq!(data.certificates, [issued()]);
        assert_eq!((&data.request_errors, &data.capabilities), (&vec![], &None));
        assert_eq!(data.problems.len(), 3, "{:?}", data.problems);
        for (problem, key) in data.problems.iter().zip(["certificates", "request_errors", "capabilities"]) {
            assert!(problem.starts_with(key), "{problem}");
        }
        let bag = Databag::from([(
            "certificate_signing_requests",
            r#"["x", {"certificate_signing_request": "y"}]"#,
        )]);
        let data = RequirerData::read(Some(&bag)).ok().unwrap();
        assert_eq!(data.certificate_signing_requests.len(), 1);
        assert!(!data.certificate_signing_requests[0].is_ca() && data.asks_for("y"));
        assert_eq!(data.problems.len(), 1);
    }

    #[test]
    fn a_list_that_is_none_is_told_from_nothing() {
        let read = |text: &str| ProviderAppData::read(Some(&Databag::from([("certificates", text)])));
        assert_eq!(read("[").reason(), Some("certificates: not valid JSON"));
        assert_eq!(read("{}").reason(), Some("certificates: expected a sequence, found map"));
        assert_eq!(read("null").ok(), Some(ProviderAppData::default()));
        assert_eq!(ProviderAppData::read(Some(&Databag::new())), Remote::Absent);
        let own = Databag::from([("certificate_signing_requests", "x")]);
        assert_eq!(
            RequirerData::read(Some(&own)).reason(),
            Some("certificate_signing_requests: not valid JSON")
        );
    }

    #[test]
    fn a_refused_request_has_two_names() {
        for member in [
            r#""csr": "x""#,
            r#""certificate_signing_request": "x""#,
            r#""csr": "x", "certificate_signing_request": "y""#,
        ] {
            let list = format!(r#"[{{{member}, "error": {{"code": 201}}}}]"#);
            let data = provider([("request_errors", list.as_str())]);
            assert_eq!(data.refused("x").map(|error| error.code), Some(201), "{member}");
            assert!(data.write()["request_errors"].starts_with(r#"[{"csr": "x", "error": {"code": 201"#));
        }
        let data = provider([("request_errors", r#"[{"error": {"code": 201}}]"#)]);
        assert_eq!(data.problems, ["request_errors: entry 1: csr: missing"]);
    }

    #[test]
    fn a_request_has_one_answer() {
        let mut data = ProviderAppData::default();
        let windows = CSR.replace('\n', "\r\n");
        data.refuse(CSR, ErrorDetail::new(ErrorDetail::SERVER_NOT_AVAILABLE, "later"));
        assert_eq!(data.refused(&windows).unwrap().name, "server_not_available");
        data.answer(issued());
        assert_eq!((data.request_errors.len(), data.issued(&windows).count()), (0, 1));
        data.answer(Issued { chain: None, ..issued() });
        assert_eq!((data.certificates.len(), data.answers(CSR), data.answers("x")), (1, true, false));
        data.revoke_all();
        assert_eq!(data.certificates[0].revoked, Some(true));
        data.refuse(windows, ErrorDetail::new(7, "why not"));
        assert_eq!((data.certificates.len(), data.request_errors[0].error.name.as_str()), (0, "other"));
        data.retain(|csr| csr == "x");
        assert_eq!(data, ProviderAppData::default());
    }

    #[test]
    fn events() {
        let id = RelationId::new("certificates", 7);
        let of = RelationEvent { id: id.clone(), remote_app: None, remote_unit: None, departing_unit: None };
        let data = Remote::Ready(ProviderAppData::default());
        let means = |event: &Event| requirer_event(event, "certificates", &data);
        assert_eq!(
            means(&Event::RelationCreated(of.clone())),
            Some(RequirerEvent::Created { relation: id.clone() })
        );
        let changed = Event::RelationChanged(of.clone());
        assert!(matches!(means(&changed), Some(RequirerEvent::Answered { .. })));
        assert_eq!(requirer_event(&changed, "certificates", &Remote::Absent), None);
        assert_eq!(requirer_event(&changed, "other", &data), None);
        let broken = Event::RelationBroken(of);
        assert_eq!(means(&broken), Some(RequirerEvent::Gone { relation: id.clone() }));
        assert_eq!(
            provider_event(&changed, "certificates"),
            Some(ProviderEvent::Asked { relation: id.clone() })
        );
        assert_eq!(provider_event(&broken, "certificates"), Some(ProviderEvent::Gone { relation: id }));
        assert_eq!(provider_event(&Event::Start, "certificates"), None);
    }
}
