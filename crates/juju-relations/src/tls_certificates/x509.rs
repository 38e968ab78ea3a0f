//! Requests and certificates as texts, and what they say.

use std::{collections::BTreeSet, net::IpAddr};

use aws_lc_rs::signature::{self, UnparsedPublicKey};
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, SanType,
    string::{Ia5String, PrintableString},
};
use x509_parser::{
    certificate::X509Certificate,
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer as _,
    x509::X509Name,
};

use super::{PrivateKey, PublicKey};

const REQUEST: &str = "CERTIFICATE REQUEST";
const CERTIFICATE: &str = "CERTIFICATE";

/// `x500UniqueIdentifier`: tells two requests for the same names apart.
const UNIQUE_ID: [u64; 4] = [2, 5, 4, 45];
/// `emailAddress` of PKCS#9.
const EMAIL: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 1];
/// The longest common name, in characters.
const COMMON_NAME_LIMIT: usize = 64;

/// Why a key, a request or a certificate cannot be used or made. Never repeats secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The private key.
    #[error("private key: {0}")]
    Key(&'static str),
    /// A request that was read.
    #[error("signing request: {0}")]
    Request(&'static str),
    /// A certificate that was read.
    #[error("certificate: {0}")]
    Certificate(&'static str),
    /// What is to be in a request or certificate does not fit into it.
    #[error("{0}")]
    Attributes(String),
    /// The library that writes requests and certificates.
    #[error("cannot write it: {0}")]
    Write(String),
}

impl From<rcgen::Error> for CertificateError {
    fn from(error: rcgen::Error) -> Self {
        Self::Write(error.to_string())
    }
}

/// Who a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestAttributes {
    /// Common name, at most 64 characters.
    pub common_name: Option<String>,
    /// Organisation.
    pub organization: Option<String>,
    /// Part of the organisation.
    pub organizational_unit: Option<String>,
    /// Address for electronic mail.
    pub email_address: Option<String>,
    /// Country, two letters.
    pub country_name: Option<String>,
    /// State or province.
    pub state_or_province_name: Option<String>,
    /// Town.
    pub locality_name: Option<String>,
    /// Host names, in ASCII.
    pub sans_dns: BTreeSet<String>,
    /// Addresses.
    pub sans_ip: BTreeSet<IpAddr>,
    /// Whether the certificate is for an authority. It is said beside the request, not in it.
    pub ca: bool,
}

/// A request as it was read. [`Eq`] compares all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedRequest {
    /// Who asks; `ca` is always false here.
    pub attributes: RequestAttributes,
    /// What tells the request from others for the same names.
    pub unique_id: Option<String>,
    /// True if it asks for something that [`RequestAttributes`] cannot express.
    pub asks_for_more: bool,
    /// The key that it was signed with.
    pub public_key: PublicKey,
    der: Vec<u8>,
}

/// A certificate as it was read. [`Eq`] compares all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedCertificate {
    /// Since when it is valid, Unix seconds.
    pub not_before: i64,
    /// Until when, Unix seconds.
    pub not_after: i64,
    /// Whether its owner is an authority.
    pub is_ca: bool,
    /// The owner's key.
    pub public_key: PublicKey,
    /// The owner's common name, if it has one.
    pub common_name: Option<String>,
    /// Host names that it is for.
    pub sans_dns: BTreeSet<String>,
    /// Addresses that it is for.
    pub sans_ip: BTreeSet<IpAddr>,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    der: Vec<u8>,
}

impl RequestAttributes {
    /// Of a server with these host names.
    pub fn server<N: Into<String>>(
        common_name: impl Into<String>,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        Self {
            common_name: Some(common_name.into()),
            sans_dns: names.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Subject in the order that requesters agree on, with the unique id second.
    fn subject(&self, unique_id: Option<&str>) -> Result<DistinguishedName, CertificateError> {
        let mut name = DistinguishedName::new();
        let text = |text: &String| DnValue::Utf8String(text.clone());
        let bad =
            |what: &str| CertificateError::Attributes(format!("{what}: characters that are not allowed"));
        if let Some(common_name) = &self.common_name {
            if common_name.is_empty() || common_name.chars().count() > COMMON_NAME_LIMIT {
                let problem = format!("common name: must have 1 to {COMMON_NAME_LIMIT} characters");
                return Err(CertificateError::Attributes(problem));
            }
            name.push(DnType::CommonName, text(common_name));
        }
        if let Some(id) = unique_id {
            name.push(DnType::from_oid(&UNIQUE_ID), DnValue::Utf8String(id.to_owned()));
        }
        if let Some(organization) = &self.organization {
            name.push(DnType::OrganizationName, text(organization));
        }
        if let Some(unit) = &self.organizational_unit {
            name.push(DnType::OrganizationalUnitName, text(unit));
        }
        if let Some(email) = &self.email_address {
            let email = Ia5String::try_from(email.as_str()).map_err(|_| bad("e-mail address"))?;
            name.push(DnType::from_oid(&EMAIL), DnValue::Ia5String(email));
        }
        if let Some(country) = &self.country_name {
            let country = PrintableString::try_from(country.as_str()).map_err(|_| bad("country"))?;
            name.push(DnType::CountryName, DnValue::PrintableString(country));
        }
        if let Some(state) = &self.state_or_province_name {
            name.push(DnType::StateOrProvinceName, text(state));
        }
        if let Some(locality) = &self.locality_name {
            name.push(DnType::LocalityName, text(locality));
        }
        Ok(name)
    }

    /// What the library needs to write a request or certificate for these names.
    pub(super) fn params(&self, unique_id: Option<&str>) -> Result<CertificateParams, CertificateError> {
        if self.common_name.is_none() && self.sans_dns.is_empty() && self.sans_ip.is_empty() {
            return Err(CertificateError::Attributes(
                "neither a common name nor another one is asked for".into(),
            ));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = self.subject(unique_id)?;
        for name in &self.sans_dns {
            let name = Ia5String::try_from(name.as_str()).ok().filter(|_| !name.is_empty());
            let bad = || CertificateError::Attributes("host name: empty, or not ASCII".into());
            params.subject_alt_names.push(SanType::DnsName(name.ok_or_else(bad)?));
        }
        params.subject_alt_names.extend(self.sans_ip.iter().copied().map(SanType::IpAddress));
        Ok(params)
    }
}

/// Makes a request, signed with SHA-256: PEM without a newline at its end.
///
/// `unique_id` should be a new UUID each time, since providers know a request by its text.
///
/// # Errors
/// If the attributes do not fit into a request.
pub fn request(
    key: &PrivateKey,
    attributes: &RequestAttributes,
    unique_id: &str,
) -> Result<String, CertificateError> {
    let signed = attributes.params(Some(unique_id))?.serialize_request(&key.signer()?)?;
    Ok(pem_text(REQUEST, signed.der()))
}

impl ParsedRequest {
    /// Reads a request. Its signature is not looked at.
    ///
    /// # Errors
    /// If the text is no request.
    pub fn parse(text: &str) -> Result<Self, CertificateError> {
        let der = first_block(text, &[REQUEST, "NEW CERTIFICATE REQUEST"])
            .ok_or(CertificateError::Request("not PEM"))?;
        let (rest, read) = X509CertificationRequest::from_der(&der)
            .map_err(|_| CertificateError::Request("not readable"))?;
        if !rest.is_empty() {
            return Err(CertificateError::Request("something follows it"));
        }
        let info = &read.certification_request_info;
        let mut found = Names::of(&info.subject);
        for attribute in info.iter_attributes() {
            // Others, such as a password, say nothing about the certificate.
            let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else {
                continue;
            };
            for extension in &requested.extensions {
                match extension.parsed_extension() {
                    ParsedExtension::SubjectAlternativeName(names) => found.add(&names.general_names),
                    _ => found.more |= extension.critical,
                }
            }
        }
        Ok(Self {
            attributes: found.attributes,
            unique_id: found.unique_id,
            asks_for_more: found.more,
            public_key: PublicKey::of(&info.subject_pki),
            der,
        })
    }

    /// Looks whether the request is signed with its own key, which must be an RSA one.
    ///
    /// # Errors
    /// If it is not.
    pub(super) fn verify(&self) -> Result<(), CertificateError> {
        let (_, read) = X509CertificationRequest::from_der(&self.der)
            .map_err(|_| CertificateError::Request("not readable"))?;
        let algorithm = match read.signature_algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.11" => &signature::RSA_PKCS1_2048_8192_SHA256,
            "1.2.840.113549.1.1.12" => &signature::RSA_PKCS1_2048_8192_SHA384,
            "1.2.840.113549.1.1.13" => &signature::RSA_PKCS1_2048_8192_SHA512,
            _ => return Err(CertificateError::Request("signed in a way that is not known")),
        };
        let bad = || CertificateError::Request("not signed with its own RSA key");
        if !self.public_key.is_rsa() {
            return Err(bad());
        }
        UnparsedPublicKey::new(algorithm, &self.public_key.bits)
            .verify(read.certification_request_info.raw, &read.signature_value.data)
            .map_err(|_| bad())
    }

    /// The request as bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The request as this crate writes it: lines of 64 characters, without a newline at the end.
    pub fn to_pem(&self) -> String {
        pem_text(REQUEST, &self.der)
    }

    /// True if a certificate for this request is what `wanted` describes, apart from `ca`.
    pub fn asks_for(&self, wanted: &RequestAttributes) -> bool {
        !self.asks_for_more
            && self.unique_id.is_some()
            && self.attributes == RequestAttributes { ca: false, ..wanted.clone() }
    }
}

impl ParsedCertificate {
    /// Reads the first certificate in a text. Nobody's signature is looked at.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn parse(text: &str) -> Result<Self, CertificateError> {
        let der = first_block(text, &[CERTIFICATE]).ok_or(CertificateError::Certificate("not PEM"))?;
        Self::from_der(&der)
    }

    /// Reads every certificate in a text; those that cannot be read are left out.
    pub(super) fn parse_all(text: &str) -> Vec<Self> {
        let blocks = pem::parse_many(text).unwrap_or_default();
        let certificates = blocks.into_iter().filter(|block| block.tag() == CERTIFICATE);
        certificates.filter_map(|block| Self::from_der(block.contents()).ok()).collect()
    }

    fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, read) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Certificate("not readable"))?;
        if !rest.is_empty() {
            return Err(CertificateError::Certificate("something follows it"));
        }
        let mut found = Names::of(read.subject());
        for extension in read.extensions() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
                found.add(&names.general_names);
            }
        }
        Ok(Self {
            not_before: read.validity().not_before.timestamp(),
            not_after: read.validity().not_after.timestamp(),
            is_ca: read.is_ca(),
            public_key: PublicKey::of(read.public_key()),
            common_name: found.attributes.common_name,
            sans_dns: found.attributes.sans_dns,
            sans_ip: found.attributes.sans_ip,
            subject: read.subject().as_raw().to_vec(),
            issuer: read.issuer().as_raw().to_vec(),
            der: der.to_vec(),
        })
    }

    /// The certificate as bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as this crate writes it: lines of 64 characters, without a newline at the end.
    pub fn to_pem(&self) -> String {
        pem_text(CERTIFICATE, &self.der)
    }

    /// True if it names itself as its issuer, as roots do.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// True if `issuer` is named as its issuer.
    pub fn names_issuer(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject
    }

    /// True at `now`, Unix seconds, if it is over.
    pub fn is_expired(&self, now: i64) -> bool {
        self.not_after <= now
    }

    /// When `percent` of its life is over, Unix seconds.
    pub fn after_percent(&self, percent: u8) -> i64 {
        let life = i128::from(self.not_after) - i128::from(self.not_before);
        let part = i128::from(self.not_before) + life * i128::from(percent) / 100;
        i64::try_from(part).unwrap_or(self.not_after)
    }
}

/// What a subject and its other names say.
#[derive(Default)]
struct Names {
    attributes: RequestAttributes,
    unique_id: Option<String>,
    /// There is something that has no place here.
    more: bool,
}

impl Names {
    fn of(subject: &X509Name<'_>) -> Self {
        let mut found = Self::default();
        for attribute in subject.iter_attributes() {
            let to = &mut found.attributes;
            let place = match attribute.attr_type().to_id_string().as_str() {
                "2.5.4.3" => &mut to.common_name,
                "2.5.4.45" => &mut found.unique_id,
                "2.5.4.10" => &mut to.organization,
                "2.5.4.11" => &mut to.organizational_unit,
                "1.2.840.113549.1.9.1" => &mut to.email_address,
                "2.5.4.6" => &mut to.country_name,
                "2.5.4.8" => &mut to.state_or_province_name,
                "2.5.4.7" => &mut to.locality_name,
                _ => {
                    found.more = true;
                    continue;
                }
            };
            match attribute.as_str() {
                Ok(text) if place.is_none() => *place = Some(text.to_owned()),
                _ => found.more = true,
            }
        }
        found
    }

    fn add(&mut self, names: &[GeneralName<'_>]) {
        for name in names {
            match name {
                GeneralName::DNSName(name) => {
                    self.attributes.sans_dns.insert((*name).to_owned());
                }
                GeneralName::IPAddress(bytes) => match address(bytes) {
                    Some(address) => drop(self.attributes.sans_ip.insert(address)),
                    None => self.more = true,
                },
                _ => self.more = true,
            }
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// A certificate or request as this crate writes it: lines of 64 characters, without a newline at the end.
///
/// `None` if there is none in the text, or it cannot be read.
pub fn canonical_pem(text: &str) -> Option<String> {
    let block = pem::parse(text).ok()?;
    Some(pem_text(block.tag(), block.contents()))
}

/// PEM as it lies in databags and secrets: no newline at the end.
pub(super) fn pem_text(tag: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let mut text = pem::encode_config(&Pem::new(tag, der), config);
    text.truncate(text.trim_end().len());
    text
}

fn first_block(text: &str, tags: &[&str]) -> Option<Vec<u8>> {
    let blocks = pem::parse_many(text).ok()?;
    blocks.into_iter().find(|block| tags.contains(&block.tag())).map(Pem::into_contents)
}
