//! Keys, requests and certificates.

use std::sync::LazyLock;

use juju_relations::tls_certificates::{
    Issued, ParsedCertificate, ParsedRequest, PrivateKey, ProviderAppData, RequestAttributes, SigningRequest,
    Situation, StoredCertificate, canonical_pem, decide,
};
use pem::Pem;

/// A key and a request that was made with it.
static KEY: LazyLock<PrivateKey> = LazyLock::new(|| {
    let text = include_str!("../../crates/juju-relations/tests/tls_certificates/key.pem");
    PrivateKey::from_pem(text).expect("it is a key")
});
static REQUEST: LazyLock<String> = LazyLock::new(|| {
    let wanted = RequestAttributes::server("tempo", ["tempo.obs.svc.cluster.local"]);
    juju_relations::tls_certificates::request(&KEY, &wanted, "one of its kind").expect("it is a request")
});

/// A moment in 2026.
const NOW: i64 = 1_790_000_000;

/// Whatever an authority or a requirer calls a key, a request or a certificate is refused in a short line or means the
/// same when it is written anew, and what is served is PEM and nothing else.
///
/// An input is PEM; or one of the letters `c`, `r`, `k` and `p`, and then a certificate, a request, or a key in one of two
/// forms as bytes, which a fuzzer does not have to guess the Base64 of.
pub fn certificates(data: &[u8]) {
    let wrapped = |tag: &str, der: &[u8]| pem::encode(&Pem::new(tag, der));
    let text = match data {
        [b'c', der @ ..] => wrapped("CERTIFICATE", der),
        [b'r', der @ ..] => wrapped("CERTIFICATE REQUEST", der),
        [b'k', der @ ..] => wrapped("RSA PRIVATE KEY", der),
        [b'p', der @ ..] => wrapped("PRIVATE KEY", der),
        _ => String::from_utf8_lossy(data).into_owned(),
    };
    if let Some(canonical) = canonical_pem(&text) {
        assert_pem(&canonical);
    }
    match ParsedCertificate::parse(&text) {
        Ok(read) => {
            assert_pem(&read.to_pem());
            assert_eq!(ParsedCertificate::parse(&read.to_pem()).as_ref(), Ok(&read));
            assert_eq!(read.is_self_issued(), read.names_issuer(&read));
            if read.not_before <= read.not_after {
                assert!([0, 50, 90, 100].map(|percent| read.after_percent(percent)).is_sorted(), "{read:?}");
            }
        }
        Err(error) => crate::assert_showable(&error.to_string()),
    }
    match ParsedRequest::parse(&text) {
        Ok(read) => {
            assert_pem(&read.to_pem());
            assert_eq!(ParsedRequest::parse(&read.to_pem()), Ok(read));
        }
        Err(error) => crate::assert_showable(&error.to_string()),
    }
    match PrivateKey::from_pem(&text) {
        Ok(key) => {
            assert_pem(key.to_pem());
            assert!(PrivateKey::from_pem(key.to_pem()).as_ref() == Ok(&key), "it is another key");
            let line = key.to_pem().lines().nth(3).expect("keys have many lines");
            assert!(!format!("{key:?}").contains(line), "a private key shows");
        }
        Err(error) => crate::assert_showable(&error.to_string()),
    }
    decided(&text);
}

/// What the charm would do if an authority answered this.
fn decided(text: &str) {
    let issued = Issued {
        ca: text.to_owned(),
        certificate_signing_request: REQUEST.clone(),
        certificate: text.to_owned(),
        chain: Some(vec![text.to_owned(), text.to_owned()]),
        revoked: None,
    };
    let stored = StoredCertificate {
        label: "a label".to_owned(),
        certificate: text.to_owned(),
        csr: REQUEST.clone(),
        ca: Some(text.to_owned()),
        chain: vec![text.to_owned()],
    };
    let wanted = RequestAttributes::server("tempo", ["tempo.obs.svc.cluster.local"]);
    let provider = ProviderAppData { certificates: vec![issued], ..ProviderAppData::default() };
    for (requests, stored) in [(vec![REQUEST.clone()], vec![stored]), (vec![text.to_owned()], Vec::new())] {
        let requested: Vec<_> =
            requests.into_iter().map(|request| SigningRequest::new(request, false)).collect();
        let situation = Situation {
            wanted: &wanted,
            key: Some(&KEY),
            requested: &requested,
            provider: &provider,
            stored: &stored,
            now: NOW,
        };
        let decision = decide(situation);
        decision.problems.iter().for_each(|problem| crate::assert_showable(problem));
        for assigned in decision.in_use.iter().chain(&decision.store) {
            assert!(!assigned.chain.is_empty());
            assigned.chain.iter().for_each(|certificate| assert_pem(certificate));
            assert_pem(&assigned.ca);
        }
    }
}

/// One block of PEM, and nothing before, after or between its lines.
#[track_caller]
fn assert_pem(text: &str) {
    let mut lines = text.lines();
    let is_edge = |line: Option<&str>, word: &str| {
        line.is_some_and(|line| line.starts_with(word) && line.ends_with("-----"))
    };
    assert!(is_edge(lines.next(), "-----BEGIN ") && is_edge(lines.next_back(), "-----END "), "{text:?}");
    let is_base64 = |c: u8| c.is_ascii_alphanumeric() || b"+/=".contains(&c);
    for line in lines {
        assert!(line.len() <= 64 && line.bytes().all(is_base64), "{text:?}");
    }
}
