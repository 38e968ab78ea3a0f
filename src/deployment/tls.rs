//! TLS as far as this unit has it.
//!
//! Every unit has its own key and certificate; the workers get the leader's. What to ask an authority for, and which of
//! its answers to use, is decided by [`decide`]. Here this is put together with what the unit keeps
//! in secrets, and one rule is added: TLS that was on stays on, with an expired certificate too. Clients then refuse
//! to connect, which is what an operator who wants TLS asked for; in plain text they would go on.

use std::collections::BTreeSet;

use juju_ops::{Remote, SecretId, one_line};
use juju_relations::Wire;
use juju_relations::tls_certificates::{
    Assigned, KeyScope, LABEL_ID, PRIVATE_KEY, ParsedCertificate, PrivateKey, ProviderAppData,
    RequestAttributes, RequirerData, SigningRequest, Situation, StoredCertificate, decide, private_key_label,
};

use crate::names::Endpoint;
use crate::secret::Secret;
use crate::snapshot::{RelationSnapshot, Snapshot};

use super::{Findings, key_and_reason};

/// How much is shown of an authority's words, in characters.
const DENIAL_LIMIT: usize = 160;
/// The longest common name that a certificate can have, in characters.
const COMMON_NAME_LIMIT: usize = 64;

/// What this unit has and lacks of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    in_use: Option<CertifiedKey>,
    awaited: bool,
    /// What is asked of the authority; `None` while none is related.
    pub request: Option<Request>,
    /// What to keep of its answers.
    pub store: Option<Assigned>,
    /// Labels of secrets that nobody needs any more.
    pub forget: BTreeSet<String>,
    /// What keeps TLS from being as it should be; the most important first.
    pub troubles: Vec<Trouble>,
}

/// A key and what an authority says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedKey {
    /// The private key, PEM without a newline at its end.
    pub key: Secret,
    /// The secret that holds it.
    pub key_secret: SecretId,
    /// The applications that may read that secret.
    pub readers: BTreeSet<String>,
    /// The certificate and those of its issuers, without one that everybody has to know already; PEM without newlines
    /// at the ends. Never empty.
    pub chain: Vec<String>,
    /// The certificate of the authority, PEM without a newline at its end.
    pub ca: String,
    /// The host names in the certificate.
    pub names: BTreeSet<String>,
    /// When the certificate ends: seconds since 1970, UTC.
    pub not_after: i64,
}

/// What is asked of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Number of the relation to it.
    pub relation: u32,
    /// Label of the secret with the key.
    pub key_label: String,
    /// Whether there is a key. One that cannot be read is none.
    pub has_key: bool,
    /// Requests that were made and stay.
    pub keep: Vec<SigningRequest>,
    /// Who a new request is for; `None` if none is due.
    pub ask: Option<RequestAttributes>,
    /// All requests that are known now: no new one may be like one of them.
    pub before: Vec<String>,
}

/// Why TLS is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The authority refused, with its own words.
    Denied(String),
    /// The certificate that is in use has expired.
    Expired,
    /// The authority has not answered yet.
    Pending,
}

impl CertifiedKey {
    /// What a server presents, as one text: the certificate, then its issuers.
    pub fn served(&self) -> String {
        self.chain.join("\n")
    }

    /// The same as a file.
    pub fn bundle(&self) -> String {
        format!("{}\n", self.served())
    }

    /// The key as a file.
    pub fn key_file(&self) -> Secret {
        Secret::new(format!("{}\n", self.key.expose()))
    }

    /// The certificate of the authority as a file.
    pub fn ca_file(&self) -> String {
        format!("{}\n", self.ca)
    }
}

impl Tls {
    /// Whether this unit speaks TLS.
    pub fn is_on(&self) -> bool {
        self.in_use.is_some()
    }

    /// Whether it has to wait for a certificate, because the cluster speaks TLS already.
    pub fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// The key and certificate that it does so with.
    pub fn in_use(&self) -> Option<&CertifiedKey> {
        self.in_use.as_ref()
    }
}

/// What the labels of this unit's secrets with certificates begin with, also those that older libraries gave.
fn certificate_prefix(snapshot: &Snapshot) -> String {
    format!("{LABEL_ID}-certificate-{}-", snapshot.identity.unit.number())
}

/// What is in use and what is to be asked for. `names` are the hosts that the certificate is to be for; `spoken` is
/// whether the cluster speaks TLS, whatever this unit does.
pub(super) fn tls(
    snapshot: &Snapshot,
    names: BTreeSet<String>,
    spoken: bool,
    findings: &mut Findings,
) -> Tls {
    let scope = KeyScope::Unit(snapshot.identity.unit.clone());
    let key_label = private_key_label(&scope, Endpoint::Certificates.as_str());
    let secrets = &snapshot.certificates.secrets;
    let prefix = certificate_prefix(snapshot);
    let relations = super::sorted(snapshot.relations(Endpoint::Certificates));
    let Some(relation) = relations.first() else {
        let ours = secrets.keys().filter(|label| **label == key_label || label.starts_with(&prefix));
        return Tls { forget: ours.cloned().collect(), ..Tls::default() };
    };

    let provider = provider(relation, findings);
    let requested = RequirerData::read(relation.local_unit_data.as_ref())
        .ok()
        .unwrap_or_default()
        .certificate_signing_requests;
    let key = secrets.get(&key_label).and_then(|secret| {
        let pem = secret.content.as_ref()?.get(PRIVATE_KEY)?;
        match PrivateKey::from_pem(pem) {
            Ok(key) => Some((key, secret)),
            Err(error) => {
                findings.app(Endpoint::Certificates, relation.id, "", &format!("{error}; it is replaced"));
                None
            }
        }
    });
    let stored: Vec<StoredCertificate> = secrets
        .iter()
        .filter(|(label, _)| label.starts_with(&prefix))
        .filter_map(|(label, secret)| StoredCertificate::from_content(label, secret.content.as_ref()?))
        .collect();
    let common_name: String = snapshot.identity.app().chars().take(COMMON_NAME_LIMIT).collect();
    let wanted = RequestAttributes::server(common_name, names);
    let decision = decide(Situation {
        wanted: &wanted,
        key: key.as_ref().map(|(key, _)| key),
        requested: &requested,
        provider: &provider,
        stored: &stored,
        now: snapshot.now,
    });
    for problem in &decision.problems {
        let (at, reason) = key_and_reason(problem);
        findings.app(Endpoint::Certificates, relation.id, at, reason);
    }

    let mut forget: BTreeSet<String> = decision.forget.into_iter().collect();
    let mut troubles = Vec::new();
    if let Some(denial) = &decision.denied {
        troubles.push(Trouble::Denied(one_line(
            &format!("{} ({}): {}", denial.name, denial.code, denial.message),
            DENIAL_LIMIT,
        )));
    }
    let kept = || {
        let (key, _) = key.as_ref()?;
        last_resort(key, &provider, &stored)
    };
    let used = match decision.in_use.map(|assigned| (assigned.chain, assigned.ca)) {
        Some(used) => Some(used),
        None => kept().map(|(not_after, last)| {
            // Else its request was lost, with the relation that it lay in.
            if not_after <= snapshot.now {
                troubles.push(Trouble::Expired);
            }
            forget.remove(&last.label);
            (last.chain.clone(), last.ca.clone().unwrap_or_default())
        }),
    };
    if decision.pending {
        troubles.push(Trouble::Pending);
    }
    let in_use = used.zip(key.as_ref()).and_then(|((chain, ca), (key, secret))| {
        let parsed = ParsedCertificate::parse(chain.first()?).ok()?;
        Some(CertifiedKey {
            key: Secret::new(key.to_pem()),
            key_secret: secret.id.clone(),
            readers: secret
                .info
                .access
                .iter()
                .filter_map(|access| access.application())
                .map(str::to_owned)
                .collect(),
            chain,
            ca,
            names: parsed.sans_dns,
            not_after: parsed.not_after,
        })
    });
    // What an authority takes back is not to be used, and not to be waited for either.
    let is_revoked = requested.iter().any(|request| {
        let mut issued = provider.issued(&request.certificate_signing_request);
        issued.any(|issued| issued.revoked == Some(true))
    });
    let awaited = spoken && in_use.is_none() && !is_revoked;
    let keep = requested
        .iter()
        .filter(|request| decision.keep.contains(&request.certificate_signing_request))
        .cloned()
        .collect();
    Tls {
        in_use,
        awaited,
        request: Some(Request {
            relation: relation.id,
            key_label,
            has_key: key.is_some(),
            keep,
            ask: decision.ask.then_some(wanted),
            before: requested.into_iter().map(|request| request.certificate_signing_request).collect(),
        }),
        store: decision.store,
        forget,
        troubles,
    }
}

/// What the authority has answered, as far as it can be read.
fn provider(relation: &RelationSnapshot, findings: &mut Findings) -> ProviderAppData {
    match ProviderAppData::read(relation.remote_app_data.as_ref()) {
        Remote::Ready(data) => data,
        Remote::Absent | Remote::Denied => ProviderAppData::default(),
        Remote::Invalid(reason) => {
            let (key, reason) = key_and_reason(&reason);
            findings.app(Endpoint::Certificates, relation.id, key, reason);
            ProviderAppData::default()
        }
    }
}

/// Of the certificates that were kept for this key and not taken back, the one that ends or ended last, and when.
fn last_resort<'a>(
    key: &PrivateKey,
    provider: &ProviderAppData,
    stored: &'a [StoredCertificate],
) -> Option<(i64, &'a StoredCertificate)> {
    let usable = stored.iter().filter(|stored| {
        let revoked = provider.issued(&stored.csr).any(|issued| issued.revoked == Some(true));
        stored.ca.is_some() && !stored.chain.is_empty() && !revoked
    });
    let of_key = usable.filter_map(|stored| {
        let parsed = ParsedCertificate::parse(&stored.certificate).ok()?;
        (parsed.public_key == *key.public_key()).then_some((parsed.not_after, stored))
    });
    of_key.max_by(|(one, a), (other, b)| (one, &a.label).cmp(&(other, &b.label)))
}
