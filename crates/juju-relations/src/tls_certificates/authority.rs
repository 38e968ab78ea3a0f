//! Somebody who signs: for tests, and for charms that stand in for a real authority.

use std::{fmt, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, SerialNumber,
};

use super::{
    CertificateError, Issued, ParsedCertificate, ParsedRequest, PrivateKey, RequestAttributes, x509::pem_text,
};

/// The last second of the year 9999, the latest that certificates can express.
const LATEST: i64 = 253_402_300_799;

/// An authority with a root of its own and, if wanted, an authority in between that signs for it.
///
/// It signs whatever it is asked for. `Debug` shows no keys.
#[derive(Clone)]
pub struct Authority {
    root: Signer,
    intermediate: Option<Signer>,
}

#[derive(Clone)]
struct Signer {
    common_name: String,
    key: PrivateKey,
    certificate: String,
}

impl Authority {
    /// An authority that signs its own certificate, valid between two times in Unix seconds. It has a new key.
    ///
    /// # Errors
    /// If the name does not fit into a certificate.
    pub fn new(common_name: &str, not_before: i64, not_after: i64) -> Result<Self, CertificateError> {
        let key = PrivateKey::generate()?;
        let mut params = authority_params(common_name)?;
        validity(&mut params, not_before, not_after);
        params.serial_number = Some(serial(&[&key.public_key().bits, &not_before.to_be_bytes()]));
        let certificate = params.self_signed(&key.signer()?)?;
        let certificate = pem_text("CERTIFICATE", certificate.der());
        let root = Signer { common_name: common_name.to_owned(), key, certificate };
        Ok(Self { root, intermediate: None })
    }

    /// The same root, with an authority in between that signs from now on. It has a new key.
    ///
    /// # Errors
    /// If the name does not fit into a certificate.
    pub fn with_intermediate(
        self,
        common_name: &str,
        not_before: i64,
        not_after: i64,
    ) -> Result<Self, CertificateError> {
        let key = PrivateKey::generate()?;
        let params = authority_params(common_name)?;
        let certificate = self.root.sign(params, &key, not_before, not_after)?;
        let intermediate = Signer { common_name: common_name.to_owned(), key, certificate };
        Ok(Self { root: self.root, intermediate: Some(intermediate) })
    }

    /// The same root without the authority in between: it signs by itself.
    #[must_use]
    pub fn without_intermediate(self) -> Self {
        Self { root: self.root, intermediate: None }
    }

    /// The certificate at the top, PEM.
    pub fn root(&self) -> &str {
        &self.root.certificate
    }

    /// The certificate that signatures are made with, PEM: the one in between if there is one.
    pub fn issuer(&self) -> &str {
        &self.signer().certificate
    }

    /// Answers a request with a certificate for all its names, valid between two times in Unix seconds.
    ///
    /// The same request and times give the same certificate. The chain ends with the root.
    ///
    /// # Errors
    /// If the request is not readable, is not signed with its own key, or has another kind of key than RSA.
    pub fn sign(&self, csr: &str, not_before: i64, not_after: i64) -> Result<Issued, CertificateError> {
        let request = ParsedRequest::parse(csr)?;
        request.verify()?;
        let mut params = request.attributes.params(request.unique_id.as_deref())?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        validity(&mut params, not_before, not_after);
        let times = [not_before.to_be_bytes(), not_after.to_be_bytes()].concat();
        params.serial_number = Some(serial(&[request.der(), &times]));
        let certificate = self.signer().certify(&params, &request.public_key)?;
        let issuers = self.intermediate.iter().chain([&self.root]).map(|signer| signer.certificate.clone());
        Ok(Issued {
            ca: self.issuer().to_owned(),
            certificate_signing_request: csr.trim().to_owned(),
            chain: Some([certificate.clone()].into_iter().chain(issuers).collect()),
            certificate,
            revoked: None,
        })
    }

    /// The whole authority with its keys as PEM, to be kept as a secret.
    pub fn to_pem(&self) -> String {
        let texts = [&self.root].into_iter().chain(&self.intermediate);
        texts.flat_map(|signer| [signer.key.to_pem(), "\n", &signer.certificate, "\n"]).collect()
    }

    /// Reads what [`Authority::to_pem`] wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let blocks = pem::parse_many(text).map_err(|_| CertificateError::Key("not PEM"))?;
        let mut signers = blocks.chunks_exact(2).map(|pair| {
            let text = |block: &pem::Pem| pem_text(block.tag(), block.contents());
            let certificate = ParsedCertificate::parse(&text(&pair[1]))?;
            let key = PrivateKey::from_pem(&text(&pair[0]))?;
            if certificate.public_key != *key.public_key() {
                return Err(CertificateError::Certificate("not that of the key"));
            }
            let common_name =
                certificate.common_name.clone().ok_or(CertificateError::Certificate("has no common name"))?;
            Ok(Signer { common_name, key, certificate: certificate.to_pem() })
        });
        let root = signers.next().ok_or(CertificateError::Key("not there"))??;
        Ok(Self { root, intermediate: signers.next().transpose()? })
    }

    fn signer(&self) -> &Signer {
        self.intermediate.as_ref().unwrap_or(&self.root)
    }
}

impl Signer {
    /// A certificate for the authority in between.
    fn sign(
        &self,
        mut params: CertificateParams,
        key: &PrivateKey,
        not_before: i64,
        not_after: i64,
    ) -> Result<String, CertificateError> {
        params.use_authority_key_identifier_extension = true;
        validity(&mut params, not_before, not_after);
        params.serial_number = Some(serial(&[&key.public_key().bits, &not_before.to_be_bytes()]));
        self.certify(&params, key.public_key())
    }

    fn certify(
        &self,
        params: &CertificateParams,
        key: &super::PublicKey,
    ) -> Result<String, CertificateError> {
        let issuer = Issuer::new(authority_params(&self.common_name)?, self.key.signer()?);
        Ok(pem_text("CERTIFICATE", params.signed_by(key, &issuer)?.der()))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [&self.root].into_iter().chain(&self.intermediate).map(|signer| &signer.common_name);
        f.debug_tuple("Authority").field(&names.collect::<Vec<_>>()).finish()
    }
}

fn authority_params(common_name: &str) -> Result<CertificateParams, CertificateError> {
    let name = RequestAttributes::server(common_name, [""; 0]);
    let mut params = name.params(None)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn validity(params: &mut CertificateParams, not_before: i64, not_after: i64) {
    let at = |seconds: i64| {
        let seconds = u64::try_from(seconds.clamp(0, LATEST)).unwrap_or_default();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = at(not_before);
    params.not_after = at(not_after);
}

/// A serial number that depends on these and nothing else: positive, 16 bytes.
fn serial(parts: &[&[u8]]) -> SerialNumber {
    let mut bytes = digest(&SHA256, &parts.concat()).as_ref()[..16].to_vec();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from(bytes)
}
