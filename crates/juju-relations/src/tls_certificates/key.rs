//! Keys of requesters.

use std::fmt;

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use rcgen::{PKCS_RSA_SHA256, SignatureAlgorithm};
use x509_parser::{
    asn1_rs::{Any, FromDer as _, OctetString, Sequence},
    x509::SubjectPublicKeyInfo,
};

use super::x509::{CertificateError, pem_text};

/// Identifier of RSA keys.
const RSA: &str = "1.2.840.113549.1.1.1";

/// Words in front of a key in PEM.
const PKCS1: &str = "RSA PRIVATE KEY";
const PKCS8: &str = "PRIVATE KEY";

/// An RSA key of 2048 bits or more. `Debug` shows the public half only.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey {
    pem: String,
    pkcs8: Vec<u8>,
    public: PublicKey,
}

/// The public half of a key, of any kind: what a certificate must have in common with its owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    /// What kind of key it is, as an object identifier.
    algorithm: String,
    /// The key, as it stands in certificates.
    pub(super) bits: Vec<u8>,
}

impl PrivateKey {
    /// A new key of 2048 bits. It takes up to a second, and is the only thing here that is random.
    ///
    /// # Errors
    /// If the library refuses.
    pub fn generate() -> Result<Self, CertificateError> {
        let pair =
            KeyPair::generate(KeySize::Rsa2048).map_err(|_| CertificateError::Key("cannot be made"))?;
        Self::of(&pair)
    }

    /// Reads a key, in either form: PKCS#1 (`RSA PRIVATE KEY`) or PKCS#8 (`PRIVATE KEY`).
    ///
    /// # Errors
    /// If there is none in the text, or it is not an RSA key of 2048 bits or more.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let blocks = pem::parse_many(text).map_err(|_| CertificateError::Key("not PEM"))?;
        let pair = blocks.iter().find_map(|block| match block.tag() {
            PKCS1 => Some(KeyPair::from_der(block.contents())),
            PKCS8 => Some(KeyPair::from_pkcs8(block.contents())),
            _ => None,
        });
        let pair = pair.ok_or(CertificateError::Key("not there"))?;
        Self::of(&pair.map_err(|_| CertificateError::Key("not an RSA key of 2048 bits or more"))?)
    }

    /// The key as PKCS#1, without a newline at the end: as it is kept in secrets and files.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The pair that signs with SHA-256.
    pub(super) fn signer(&self) -> Result<rcgen::KeyPair, CertificateError> {
        Ok(rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&self.pkcs8.as_slice().into(), &PKCS_RSA_SHA256)?)
    }

    fn of(pair: &KeyPair) -> Result<Self, CertificateError> {
        let unreadable = CertificateError::Key("cannot be written");
        if pair.public_modulus_len() * 8 < 2048 {
            return Err(CertificateError::Key("not an RSA key of 2048 bits or more"));
        }
        let der = pair.as_der().map_err(|_| CertificateError::Key("cannot be written"))?;
        let pkcs8 = der.as_ref().to_vec();
        let pkcs1 = inner_key(&pkcs8).ok_or(unreadable)?;
        let public = PublicKey { algorithm: RSA.to_owned(), bits: pair.public_key().as_ref().to_vec() };
        Ok(Self { pem: pem_text(PKCS1, &pkcs1), pkcs8, public })
    }
}

/// The key inside PKCS#8: version, algorithm, key.
fn inner_key(pkcs8: &[u8]) -> Option<Vec<u8>> {
    let (_, outer) = Sequence::from_der(pkcs8).ok()?;
    let (rest, _version) = Any::from_der(&outer.content).ok()?;
    let (rest, _algorithm) = Any::from_der(rest).ok()?;
    let (_, key) = OctetString::from_der(rest).ok()?;
    Some(key.as_ref().to_vec())
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("public", &self.public.bits.len()).finish_non_exhaustive()
    }
}

impl PublicKey {
    pub(super) fn of(info: &SubjectPublicKeyInfo<'_>) -> Self {
        Self {
            algorithm: info.algorithm.algorithm.to_id_string(),
            bits: info.subject_public_key.data.to_vec(),
        }
    }

    pub(super) fn is_rsa(&self) -> bool {
        self.algorithm == RSA
    }
}

/// What a certificate for the key's owner is made of.
impl rcgen::PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}
