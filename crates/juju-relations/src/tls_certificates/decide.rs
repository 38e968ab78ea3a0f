//! What a requirer should ask for and use.

use std::{collections::BTreeSet, fmt::Write as _};

use juju_ops::SecretContent;

use super::{
    ErrorDetail, Issued, KeyScope, ParsedCertificate, ParsedRequest, PrivateKey, ProviderAppData,
    RequestAttributes, SigningRequest, canonical_pem, certificate_label_prefix, same_pem,
};

/// The part of a certificate's life after which it is renewed.
pub const RENEWAL_PERCENT: u8 = 90;

/// Keys of a stored certificate's secret. The first two are what other implementations write and read.
const CERTIFICATE: &str = "certificate";
const CSR: &str = "csr";
const CA: &str = "ca-certificate";
const CHAIN: &str = "chain";

/// All that a decision depends on. Time is an argument, and nothing is random.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// Who the certificate is to be for.
    pub wanted: &'a RequestAttributes,
    /// The key, unless there is none yet.
    pub key: Option<&'a PrivateKey>,
    /// What is asked for now, in the order of the own databag.
    pub requested: &'a [SigningRequest],
    /// What the provider has answered, to anybody.
    pub provider: &'a ProviderAppData,
    /// What was stored in earlier hooks.
    pub stored: &'a [StoredCertificate],
    /// Unix seconds.
    pub now: i64,
}

/// What to do. The new own databag is `keep`, followed by a new request if `ask` is true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The certificate to serve with, until the next decision.
    pub in_use: Option<Assigned>,
    /// The requests that stay, PEM, in their order and as they were written.
    pub keep: Vec<String>,
    /// A new request is due. It is also due where there is no key yet.
    pub ask: bool,
    /// What to store: `in_use`, if the secret of its request has something else or is not there.
    pub store: Option<Assigned>,
    /// Labels of secrets with certificates that nobody needs any more.
    pub forget: Vec<String>,
    /// Why the provider refused the request that is waited for.
    pub denied: Option<ErrorDetail>,
    /// A request, kept or due, has neither a certificate nor a refusal yet.
    pub pending: bool,
    /// What is wrong with the own or the provider's databag, in words fit for a log; nothing twice.
    pub problems: Vec<String>,
}

/// A certificate that can be served with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The certificate, PEM.
    pub certificate: String,
    /// What servers send: the certificate and those of its issuers, without the root.
    pub chain: Vec<String>,
    /// The certificate of the issuer as the provider gave it, PEM: what clients trust.
    pub ca: String,
    /// The request that it answers, as in the own databag.
    pub csr: String,
    /// Since when it is valid, Unix seconds.
    pub not_before: i64,
    /// Until when, Unix seconds.
    pub not_after: i64,
    /// Since when a new one should be asked for, Unix seconds.
    pub renew_at: i64,
    /// Whether it is for what is wanted now. A certificate that is not is used only until the next one comes.
    pub is_wanted: bool,
}

/// A certificate in a secret of the charm. `Debug` may show it: it holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    /// Label of the secret.
    pub label: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// The request that it answers, PEM.
    pub csr: String,
    /// The certificate of the issuer, PEM. Other implementations do not store it.
    pub ca: Option<String>,
    /// The certificate and those of its issuers, PEM. Other implementations do not store it.
    pub chain: Vec<String>,
}

/// Label of the secret that stores the certificate for a request: its end is the SHA-256 of the request's text.
pub fn certificate_label(scope: &KeyScope, endpoint: &str, csr: &str) -> String {
    let text = canonical_pem(csr).unwrap_or_else(|| csr.trim().to_owned());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let mut label = certificate_label_prefix(scope, endpoint);
    for byte in digest.as_ref() {
        // Writing to a text cannot fail.
        let _ = write!(label, "{byte:02x}");
    }
    label
}

impl StoredCertificate {
    /// Reads the content of a secret; `None` if it is not that of a certificate.
    pub fn from_content(label: impl Into<String>, content: &SecretContent) -> Option<Self> {
        let chain = content.get(CHAIN).map(ParsedCertificate::parse_all).unwrap_or_default();
        Some(Self {
            label: label.into(),
            certificate: content.get(CERTIFICATE)?.to_owned(),
            csr: content.get(CSR)?.to_owned(),
            ca: content.get(CA).map(str::to_owned),
            chain: chain.iter().map(ParsedCertificate::to_pem).collect(),
        })
    }

    fn holds(&self, assigned: &Assigned) -> bool {
        same_pem(&self.certificate, &assigned.certificate)
            && self.ca.as_deref().is_some_and(|ca| same_pem(ca, &assigned.ca))
            && self.chain == assigned.chain
    }
}

impl Assigned {
    /// The content of the secret that stores it. The secret should expire at [`Assigned::renew_at`].
    pub fn content(&self) -> SecretContent {
        let chain = self.chain.join("\n");
        [
            (CERTIFICATE, self.certificate.as_str()),
            (CSR, self.csr.as_str()),
            (CA, self.ca.as_str()),
            (CHAIN, chain.as_str()),
        ]
        .into_iter()
        .collect()
    }

    /// What a server's certificate file holds: the chain in one text, with a newline at its end.
    pub fn served(&self) -> String {
        self.chain.iter().flat_map(|certificate| [certificate.as_str(), "\n"]).collect()
    }
}

/// What has become of one own request.
enum Fate {
    /// There is no answer, or one that cannot be used.
    Open,
    /// The provider has taken the certificate back.
    Revoked,
    /// Its certificate is over.
    Spent,
    /// There is a certificate.
    Certified(Box<Assigned>),
}

/// One own request that was signed with the key.
struct Own<'a> {
    text: &'a str,
    wanted: bool,
    fate: Fate,
}

impl Own<'_> {
    fn certified(&self) -> Option<&Assigned> {
        match &self.fate {
            Fate::Certified(assigned) => Some(assigned),
            Fate::Open | Fate::Revoked | Fate::Spent => None,
        }
    }
}

/// Decides what to ask for and what to serve with.
///
/// - A certificate stays in use until there is a better one, even where the names that are wanted have changed and
///   where the provider has withdrawn it. Only revocation, its end, another key and the removal of its request end it.
/// - While a certificate is in use, so is its request: the old request stays beside the new one.
/// - A new request is due if none for what is wanted is open or answered, and when a certificate has lived for
///   [`RENEWAL_PERCENT`] of its time. A refused request stays: asking the same again would be refused again.
/// - A certificate that has not begun yet, as those of an authority whose clock is ahead, waits for its time beside the
///   one before it, and nothing is asked in the meantime.
///
/// ```
/// use juju_relations::tls_certificates::{
///     Authority, PrivateKey, ProviderAppData, RequestAttributes, SigningRequest, Situation, decide, request,
/// };
///
/// let (key, wanted) = (PrivateKey::generate()?, RequestAttributes::server("tempo", ["tempo.example"]));
/// let csr = request(&key, &wanted, "0c2a3f5e-5a0e-4f6e-8f0a-3c8f1f6f2b11")?;
/// let requested = [SigningRequest::new(&csr, false)];
/// let mut provider = ProviderAppData::default();
/// provider.answer(Authority::new("root", 0, 200)?.sign(&csr, 0, 100)?);
///
/// let at = |now| decide(Situation {
///     wanted: &wanted, key: Some(&key), requested: &requested, provider: &provider, stored: &[], now,
/// });
/// assert!(at(50).in_use.is_some() && !at(50).ask);
/// assert!(at(95).in_use.is_some() && at(95).ask);
/// assert!(at(100).in_use.is_none() && at(100).ask);
/// # Ok::<(), juju_relations::tls_certificates::CertificateError>(())
/// ```
pub fn decide(situation: Situation<'_>) -> Decision {
    let Situation { provider, stored, .. } = situation;
    let mut problems = provider.problems.clone();
    let own = own_requests(situation, &mut problems);
    let best = (0..own.len())
        .filter_map(|index| Some((own[index].certified()?, index)))
        .max_by_key(|(assigned, index)| rank(assigned, *index, situation.now));
    let in_use = best.map(|(assigned, _)| assigned.clone());

    // Of several open requests the latest is as good as any; one from before the certificate is of no use.
    let settled = best.filter(|(assigned, _)| assigned.is_wanted).map(|(_, index)| index);
    let open = own
        .iter()
        .enumerate()
        .rfind(|(index, own)| own.wanted && matches!(own.fate, Fate::Open) && Some(*index) > settled);
    let due =
        in_use.as_ref().is_none_or(|assigned| !assigned.is_wanted || !is_fresh(assigned, situation.now));
    // What has been asked for is there, and its time will come. Another request would get another one like it.
    let coming = own.iter().rposition(|own| {
        own.certified().is_some_and(|assigned| assigned.is_wanted && is_fresh(assigned, situation.now))
    });
    let coming = coming.filter(|_| due);
    let ask = open.is_none() && coming.is_none() && due;
    let denied = open.and_then(|(_, own)| provider.refused(own.text)).cloned();

    let kept = |index: usize| {
        best.is_some_and(|(_, best)| best == index)
            || open.is_some_and(|(open, _)| open == index)
            || coming == Some(index)
    };
    let keep: Vec<String> = own
        .iter()
        .enumerate()
        .filter(|(index, _)| kept(*index))
        .map(|(_, own)| own.text.to_owned())
        .collect();

    // One secret is enough for the certificate in use; no other certificate will ever be used again.
    let place = in_use.as_ref().and_then(|assigned| {
        let of_it = stored.iter().filter(|stored| same_pem(&stored.csr, &assigned.csr));
        of_it.max_by_key(|stored| stored.holds(assigned))
    });
    let mut told = BTreeSet::new();
    problems.retain(|problem| told.insert(problem.clone()));
    let forget = stored.iter().filter(|stored| place.is_none_or(|place| place.label != stored.label));
    let store = in_use.clone().filter(|assigned| place.is_none_or(|place| !place.holds(assigned)));
    Decision {
        pending: ask || (open.is_some() && denied.is_none()),
        forget: forget.map(|stored| stored.label.clone()).collect(),
        in_use,
        keep,
        ask,
        store,
        denied,
        problems,
    }
}

/// What makes one certificate better than another: it has begun, is for what is wanted, need not be renewed yet, is
/// newer, ends later; the last two make the order of equals certain.
fn rank(assigned: &Assigned, index: usize, now: i64) -> (bool, bool, bool, i64, i64, usize) {
    let Assigned { is_wanted, not_before, not_after, .. } = *assigned;
    (not_before <= now, is_wanted, is_fresh(assigned, now), not_before, not_after, index)
}

/// Whether it is too early to renew it.
fn is_fresh(assigned: &Assigned, now: i64) -> bool {
    now < assigned.renew_at
}

/// The own requests of the key, each once, with what has become of them.
fn own_requests<'a>(situation: Situation<'a>, problems: &mut Vec<String>) -> Vec<Own<'a>> {
    let Some(key) = situation.key else { return Vec::new() };
    let mut found: Vec<Own<'a>> = Vec::new();
    for request in situation.requested {
        let text = request.certificate_signing_request.as_str();
        if found.iter().any(|own| same_pem(own.text, text)) {
            continue;
        }
        match ParsedRequest::parse(text) {
            Ok(parsed) if parsed.public_key == *key.public_key() => {
                let ca = request.is_ca();
                let wanted = ca == situation.wanted.ca && parsed.asks_for(situation.wanted);
                let fate = fate(situation, key, text, ca, wanted, problems);
                found.push(Own { text, wanted, fate });
            }
            // A key that was replaced is no mistake.
            Ok(_) => {}
            Err(error) => problems.push(format!("own request is dropped: {error}")),
        }
    }
    found
}

/// One certificate for a request, from the provider or from a secret.
struct Answer<'a> {
    certificate: &'a str,
    ca: Option<&'a str>,
    chain: &'a [String],
}

fn fate(
    situation: Situation<'_>,
    key: &PrivateKey,
    csr: &str,
    ca: bool,
    wanted: bool,
    problems: &mut Vec<String>,
) -> Fate {
    let is_revoked = |issued: &&Issued| issued.revoked == Some(true);
    let mut spent = false;
    let mut best_of = |answers: &mut dyn Iterator<Item = Answer<'_>>| {
        let mut best: Option<Assigned> = None;
        for answer in answers {
            match assign(key, csr, ca, &answer, problems) {
                Ok(found) if found.not_after <= situation.now => {
                    problems.push("certificate: expired".to_owned());
                    spent = true;
                }
                Ok(found) => {
                    let found = Assigned { is_wanted: wanted, ..found };
                    let newer =
                        |best: &Assigned| rank(&found, 0, situation.now) > rank(best, 0, situation.now);
                    if best.as_ref().is_none_or(newer) {
                        best = Some(found);
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        best
    };
    let answers = || situation.provider.issued(csr);
    let mut best = best_of(&mut answers().filter(|issued| !is_revoked(issued)).map(|issued| Answer {
        certificate: &issued.certificate,
        ca: Some(&issued.ca),
        chain: issued.chain.as_deref().unwrap_or_default(),
    }));
    if best.is_none() && answers().any(|issued| is_revoked(&issued)) {
        return Fate::Revoked;
    }
    if best.is_none() {
        let stored = situation.stored.iter().filter(|stored| same_pem(&stored.csr, csr));
        best = best_of(&mut stored.map(|stored| Answer {
            certificate: &stored.certificate,
            ca: stored.ca.as_deref(),
            chain: &stored.chain,
        }));
    }
    match best {
        Some(assigned) => Fate::Certified(Box::new(assigned)),
        None if spent => Fate::Spent,
        None => Fate::Open,
    }
}

/// The certificate as it can be used; an error is why not.
fn assign(
    key: &PrivateKey,
    csr: &str,
    ca: bool,
    answer: &Answer<'_>,
    problems: &mut Vec<String>,
) -> Result<Assigned, String> {
    let parsed = ParsedCertificate::parse(answer.certificate).map_err(|error| error.to_string())?;
    let issuer = answer.ca.ok_or("stored certificate: its issuer is not known")?;
    let issuer = ParsedCertificate::parse(issuer).map_err(|error| format!("issuer's {error}"))?;
    if parsed.public_key != *key.public_key() {
        return Err("certificate: for another key".to_owned());
    }
    if parsed.is_ca != ca {
        let is = if ca { "not for an authority" } else { "for an authority" };
        return Err(format!("certificate: {is}"));
    }
    let mut issuers = vec![issuer.clone()];
    for text in [answer.certificate].into_iter().chain(answer.chain.iter().map(String::as_str)) {
        let read = ParsedCertificate::parse_all(text);
        if read.is_empty() {
            problems.push("chain: a certificate that is not readable".to_owned());
        }
        issuers.extend(read);
    }
    Ok(Assigned {
        certificate: parsed.to_pem(),
        chain: ordered(&parsed, issuers).iter().map(ParsedCertificate::to_pem).collect(),
        ca: issuer.to_pem(),
        csr: csr.to_owned(),
        not_before: parsed.not_before,
        not_after: parsed.not_after,
        renew_at: parsed.after_percent(RENEWAL_PERCENT),
        is_wanted: false,
    })
}

/// The certificate and its issuers, whatever the order of the pool, as far as the names lead and without a root.
fn ordered(leaf: &ParsedCertificate, mut pool: Vec<ParsedCertificate>) -> Vec<ParsedCertificate> {
    let mut chain = vec![leaf.clone()];
    pool.retain(|other| !other.is_self_issued() && other != leaf);
    while let Some(last) = chain.last()
        && let Some(next) = pool.iter().position(|issuer| last.names_issuer(issuer))
    {
        // What was taken is gone, so certificates that name each other make no circle.
        let next = pool.swap_remove(next);
        pool.retain(|other| *other != next);
        chain.push(next);
    }
    chain
}
