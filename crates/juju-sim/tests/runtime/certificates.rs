//! The stand-in for who signs certificates.

use std::{collections::BTreeMap, sync::LazyLock};

use juju_relations::{
    Databag, Wire as _,
    tls_certificates::{
        Issued, ParsedCertificate, PrivateKey, ProviderAppData, RequestAttributes, RequirerData,
        SigningRequest, request,
    },
};
use serde_json::json;

use crate::{Running, up};

const MODEL: &str = "
applications:
  a: {charm: $CHARMS/asker, scale: 2}
  ca: {charm: double:self-signed-certificates, options: {validity: 45s}}
relations:
  - [a, ca]
";

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate().unwrap());

/// A request for a name.
fn csr(name: &str) -> String {
    request(&KEY, &RequestAttributes::server("a", [name]), "id").unwrap()
}

fn read(issued: &Issued) -> ParsedCertificate {
    ParsedCertificate::parse(&issued.certificate).unwrap()
}

impl Running {
    /// Lets a unit ask for exactly this.
    #[track_caller]
    fn ask(&self, unit: &str, csrs: &[&str]) {
        let data = RequirerData::new(csrs.iter().map(|csr| SigningRequest::new(*csr, false)));
        let requests = data.write()["certificate_signing_requests"].clone();
        let outcome = self.client.run(unit, "ask", [("requests".to_owned(), json!(requests))]).unwrap();
        assert_eq!(outcome.status, "completed", "{outcome:?}");
        self.settle();
    }

    /// What the units see of the answers.
    #[track_caller]
    fn answers(&self) -> ProviderAppData {
        let relation = self.unit("a/0").relation_info.remove(0);
        let bag: Databag = relation.application_data.into_iter().collect();
        ProviderAppData::read(Some(&bag)).ok().unwrap_or_default()
    }

    #[track_caller]
    fn certificate(&self, csr: &str) -> Issued {
        let answers = self.answers();
        let mut issued = answers.issued(csr);
        let one = issued.next().expect("a certificate");
        assert_eq!(issued.next(), None, "one is enough");
        one.clone()
    }

    #[track_caller]
    fn set(&self, option: &str, value: &str) {
        self.client.configure("ca", option, value).unwrap();
        self.settle();
    }

    #[track_caller]
    fn act(&self, action: &str, signed: usize) {
        let outcome = self.client.run("ca/0", action, BTreeMap::new()).unwrap();
        assert_eq!(outcome.status, "completed", "{outcome:?}");
        assert_eq!(outcome.results["certificates"], json!(signed.to_string()));
        self.settle();
    }
}

#[test]
fn requests_are_signed_by_one_authority_until_it_is_replaced() {
    let model = up(MODEL);
    let (one, two) = (csr("one.example"), csr("two.example"));
    model.ask("a/0", &[&one]);
    model.ask("a/1", &[&two]);
    let issued = model.certificate(&one);
    let certificate = read(&issued);
    assert_eq!(certificate.sans_dns, ["one.example".to_owned()].into());
    assert_eq!(certificate.public_key, *KEY.public_key());
    assert_eq!(certificate.not_after - certificate.not_before, 45);
    assert_eq!(issued.chain, Some(vec![issued.certificate.clone(), issued.ca.clone()]));
    assert_eq!(model.certificate(&two).ca, issued.ca);
    assert_eq!(model.unit("ca/0").workload.message, "2 signed");

    // New certificates get the new validity and issuer, and those that are there stay.
    model.set("validity", "2m");
    model.set("chain", "true");
    let three = csr("three.example");
    model.ask("a/0", &[&one, &three]);
    assert_eq!(model.certificate(&one), issued);
    let below = model.certificate(&three);
    let (leaf, between) = (read(&below), ParsedCertificate::parse(&below.ca).unwrap());
    assert_eq!(leaf.not_after - leaf.not_before, 120);
    assert!(leaf.names_issuer(&between) && !between.is_self_issued());
    assert_eq!(below.chain, Some(vec![below.certificate, below.ca, issued.ca.clone()]));

    // Nobody asks for it any more.
    model.ask("a/0", &[&three]);
    assert!(!model.answers().answers(&one));

    model.act("revoke-all", 2);
    assert_eq!(model.certificate(&two).revoked, Some(true));
    model.set("chain", "false");
    assert_eq!(model.certificate(&two).revoked, Some(true), "who wants another one asks again");
    model.act("rotate-ca", 2);
    let renewed = model.certificate(&two);
    assert!(renewed.revoked.is_none() && renewed.ca != issued.ca);
    assert_eq!(model.certificate(&three).ca, renewed.ca);

    model.set("validity", "soon");
    assert_eq!(model.unit("ca/0").workload.current, "blocked");
}

#[test]
fn requests_can_be_refused_and_left_open() {
    let model = up(MODEL);
    let (one, two) = (csr("one.example"), csr("two.example"));
    model.set("paused", "true");
    model.ask("a/0", &[&one]);
    assert!(!model.answers().answers(&one));
    model.set("deny", "only example.com");
    model.set("paused", "false");
    let refused = model.answers().refused(&one).cloned().expect("a refusal");
    assert_eq!((refused.code, refused.name.as_str()), (102, "domain_not_allowed"));
    assert_eq!(refused.message, "only example.com");
    model.set("deny", "");
    let issued = model.certificate(&one);
    assert_eq!(model.answers().refused(&one), None);
    model.set("deny", "nothing at all");
    model.ask("a/1", &[&two, "rubbish"]);
    assert_eq!(model.answers().refused(&two).unwrap().message, "nothing at all");
    assert_eq!(model.certificate(&one), issued);
    model.set("deny", "");
    assert_eq!(model.answers().refused("rubbish").unwrap().code, 999);
    assert_eq!(read(&model.certificate(&two)).sans_dns, ["two.example".to_owned()].into());
}
