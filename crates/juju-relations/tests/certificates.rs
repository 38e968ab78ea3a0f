//! Keys, requests and certificates, and what a requirer makes of them.
#![cfg(feature = "tls-certificates")]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use juju_ops::UnitName;
use juju_relations::tls_certificates::{
    Assigned, Authority, CertificateError, Decision, ErrorDetail, Issued, KeyScope, ParsedCertificate,
    ParsedRequest, PrivateKey, ProviderAppData, RequestAttributes, RequestError, SigningRequest, Situation,
    StoredCertificate, certificate_label, decide, private_key_label, request, same_pem,
};
use proptest::prelude::*;

/// A key made for these tests, in both forms, and a request that another implementation signed with it.
const KEY: &str = include_str!("tls_certificates/key.pem");
const KEY_PKCS8: &str = include_str!("tls_certificates/key.pkcs8.pem");
const REQUEST: &str = include_str!("tls_certificates/request.pem");
const UNIQUE_ID: &str = "5f0c1a52-6d1c-4a0b-9a53-0d6c4a1b2c3d";

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
/// Long enough for whatever the authority signs.
const ALWAYS: (i64, i64) = (NOW - 9_000 * DAY, NOW + 9_000 * DAY);

static OWN_KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::from_pem(KEY).unwrap());
static OTHER_KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate().unwrap());
static ROOT: LazyLock<Authority> = LazyLock::new(|| Authority::new("root", ALWAYS.0, ALWAYS.1).unwrap());
static BELOW: LazyLock<Authority> =
    LazyLock::new(|| ROOT.clone().with_intermediate("in between", ALWAYS.0, ALWAYS.1).unwrap());

fn names(names: &[&str]) -> RequestAttributes {
    RequestAttributes::server("tempo", names.iter().copied())
}

/// The names in the request of the other implementation.
fn requested_names() -> RequestAttributes {
    names(&["tempo-0.tempo-endpoints.obs.svc.cluster.local", "tempo.obs.svc.cluster.local"])
}

mod texts {
    use super::*;

    #[test]
    fn a_key_is_read_in_both_forms_and_written_in_the_older() {
        assert_eq!(OWN_KEY.to_pem(), KEY.trim());
        assert_eq!(PrivateKey::from_pem(KEY_PKCS8).unwrap(), *OWN_KEY);
        assert!(OTHER_KEY.to_pem().starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert_eq!(PrivateKey::from_pem(OTHER_KEY.to_pem()).unwrap(), *OTHER_KEY);
        assert_ne!(OTHER_KEY.public_key(), OWN_KEY.public_key());
    }

    #[test]
    fn a_text_that_is_no_usable_key_is_refused_and_no_key_is_ever_shown() {
        for text in ["", "key", REQUEST, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert!(matches!(PrivateKey::from_pem(text), Err(CertificateError::Key(_))), "{text:?}");
        }
        let shown = format!("{:?} {:?}", *OWN_KEY, *ROOT);
        assert!(KEY.lines().skip(1).all(|line| !shown.contains(line)), "{shown}");
        assert!(shown.len() < 200, "{shown}");
    }

    #[test]
    fn a_request_has_the_bytes_that_another_implementation_gives_it() {
        assert_eq!(request(&OWN_KEY, &requested_names(), UNIQUE_ID).unwrap(), REQUEST.trim());
    }

    #[test]
    fn a_request_is_understood() {
        let read = ParsedRequest::parse(REQUEST).unwrap();
        assert_eq!(read.attributes, requested_names());
        assert_eq!(read.unique_id.as_deref(), Some(UNIQUE_ID));
        assert_eq!(read.public_key, *OWN_KEY.public_key());
        assert_eq!(read.to_pem(), REQUEST.trim());
        assert!(read.asks_for(&RequestAttributes { ca: true, ..requested_names() }), "ca stands beside it");
        assert!(!read.asks_for(&names(&["tempo.obs.svc.cluster.local"])));
        let windows = REQUEST.replace('\n', "\r\n");
        assert_eq!(ParsedRequest::parse(&windows).unwrap(), read);
        assert!(same_pem(&windows, REQUEST.trim()));
    }

    #[test]
    fn every_attribute_survives() {
        let all = RequestAttributes {
            common_name: Some("tempo".into()),
            organization: Some("Ö & co".into()),
            organizational_unit: Some("unit".into()),
            email_address: Some("a@example.com".into()),
            country_name: Some("FR".into()),
            state_or_province_name: Some("Île-de-France".into()),
            locality_name: Some("Paris".into()),
            sans_dns: ["a.example".to_owned(), "*.b.example".to_owned()].into(),
            sans_ip: ["10.1.2.3".parse().unwrap(), "fd00::1".parse().unwrap()].into(),
            ca: false,
        };
        let read = ParsedRequest::parse(&request(&OWN_KEY, &all, "id").unwrap()).unwrap();
        assert_eq!(read.attributes, all);
        assert!(read.asks_for(&all) && !read.asks_for_more);
    }

    #[test]
    fn attributes_that_fit_into_no_request_are_refused() {
        let refused = |attributes: &RequestAttributes| {
            let error = request(&OWN_KEY, attributes, "id").unwrap_err();
            assert!(matches!(error, CertificateError::Attributes(_)), "{error}");
        };
        refused(&RequestAttributes::default());
        refused(&names(&["wörker.example"]));
        refused(&names(&[""]));
        refused(&RequestAttributes::server("x".repeat(65), [""; 0]));
        refused(&RequestAttributes { country_name: Some("F_".into()), ..names(&[]) });
        assert!(request(&OWN_KEY, &RequestAttributes::server("é".repeat(64), [""; 0]), "id").is_ok());
    }

    #[test]
    fn rubbish_is_no_request_and_no_certificate() {
        let cut = REQUEST.replacen("MII", "", 1);
        let certificate = ROOT.root();
        for text in ["", "{}", KEY, cut.as_str(), &REQUEST[..400], "-----BEGIN CERTIFICATE REQUEST-----"] {
            assert!(ParsedRequest::parse(text).is_err(), "{text}");
            assert!(ParsedCertificate::parse(text).is_err(), "{text}");
        }
        assert!(ParsedRequest::parse(certificate).is_err());
        // Nothing may follow.
        let mut longer = pem::parse(certificate).unwrap().into_contents();
        longer.push(0);
        assert!(ParsedCertificate::parse(&pem::encode(&pem::Pem::new("CERTIFICATE", longer))).is_err());
    }

    #[test]
    fn labels_are_those_of_other_implementations() {
        let unit = KeyScope::Unit(UnitName::new("tempo", 0));
        let id = "afd8c2bccf834997afce12c2706d2ede";
        let hash = "f8d0c39f6bcea211049d250f7b4f2bde59518196df34873af41ef2417f40f785";
        assert_eq!(private_key_label(&unit, "certificates"), format!("{id}-private-key-0-certificates"));
        assert_eq!(
            private_key_label(&KeyScope::App, "certificates"),
            format!("{id}-private-key-app-certificates")
        );
        assert_eq!(
            certificate_label(&unit, "certificates", REQUEST),
            format!("{id}-certificate-0-certificates-{hash}")
        );
        assert_eq!(
            certificate_label(&KeyScope::App, "certificates", &REQUEST.replace('\n', "\r\n")),
            format!("{id}-certificate-certificates-{hash}")
        );
    }
}

mod authority {
    use super::*;

    #[test]
    fn a_certificate_has_the_names_and_times_that_it_was_asked_for() {
        let issued = ROOT.sign(REQUEST, NOW, NOW + DAY).unwrap();
        let read = ParsedCertificate::parse(&issued.certificate).unwrap();
        assert_eq!((read.not_before, read.not_after), (NOW, NOW + DAY));
        assert_eq!(read.sans_dns, requested_names().sans_dns);
        assert_eq!(read.common_name.as_deref(), Some("tempo"));
        assert_eq!(read.public_key, *OWN_KEY.public_key());
        assert!(!read.is_ca && !read.is_self_issued());
        assert!(!read.is_expired(NOW + DAY - 1) && read.is_expired(NOW + DAY));
        assert_eq!(read.after_percent(90), NOW + DAY / 10 * 9);
        let root = ParsedCertificate::parse(&issued.ca).unwrap();
        assert!(root.is_ca && root.is_self_issued() && read.names_issuer(&root));
        assert_eq!(issued.chain.unwrap(), [issued.certificate, issued.ca]);
        assert_eq!(issued.certificate_signing_request, REQUEST.trim());
    }

    #[test]
    fn it_survives_being_kept_as_text() {
        for authority in [&*ROOT, &*BELOW] {
            let kept = Authority::from_pem(&authority.to_pem()).unwrap();
            assert_eq!(
                kept.sign(REQUEST, NOW, NOW + 1).unwrap(),
                authority.sign(REQUEST, NOW, NOW + 1).unwrap()
            );
            assert_eq!((kept.root(), kept.issuer()), (authority.root(), authority.issuer()));
        }
        assert!(Authority::from_pem(KEY).is_err());
        assert!(Authority::from_pem(&format!("{KEY}{}", ROOT.root())).is_err());
        assert!(Authority::from_pem("").is_err());
    }

    #[test]
    fn a_request_that_somebody_else_signed_is_refused() {
        let mut block = pem::parse(REQUEST).unwrap().into_contents();
        *block.last_mut().unwrap() ^= 1;
        let forged = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", block));
        assert!(matches!(ROOT.sign(&forged, NOW, NOW + 1), Err(CertificateError::Request(_))));
        assert!(ROOT.sign("", NOW, NOW + 1).is_err());
    }

    #[test]
    fn times_that_no_certificate_can_express_are_cut() {
        let read = |from, until| {
            ParsedCertificate::parse(&ROOT.sign(REQUEST, from, until).unwrap().certificate).unwrap()
        };
        let always = read(i64::MIN, i64::MAX);
        assert_eq!((always.not_before, always.not_after), (0, 253_402_300_799));
        assert!(always.after_percent(100) == always.not_after && always.after_percent(0) == 0);
    }

    /// Runs openssl; false if it says no. `None` where there is none.
    fn openssl(args: &[&str]) -> Option<bool> {
        let output = Command::new("openssl").args(args).output().ok()?;
        Some(output.status.success())
    }

    fn file<'a>(folder: &'a Path, name: &str, text: &str) -> std::borrow::Cow<'a, str> {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned().into()
    }

    #[test]
    fn openssl_agrees() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let csr = request(&OTHER_KEY, &names(&["a.example"]), "id").unwrap();
        let own = file(folder, "request.pem", &csr);
        let Some(signed) = openssl(&["req", "-in", &own, "-verify", "-noout"]) else {
            eprintln!("there is no openssl here to ask");
            return;
        };
        assert!(signed);
        let key = file(folder, "key.pem", OTHER_KEY.to_pem());
        assert!(openssl(&["rsa", "-in", &key, "-check", "-noout"]).unwrap());

        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let root = file(folder, "root.pem", ROOT.root());
        let between = file(folder, "between.pem", BELOW.issuer());
        let plain = ROOT.sign(&csr, now - DAY, now + DAY).unwrap();
        let below = BELOW.sign(&csr, now - DAY, now + DAY).unwrap();
        let past = ROOT.sign(&csr, now - DAY, now - 1).unwrap();
        let plain = file(folder, "plain.pem", &plain.certificate);
        let below = file(folder, "below.pem", &below.certificate);
        let past = file(folder, "past.pem", &past.certificate);
        // The tests' authorities are valid around another time than today's.
        let verify = |more: &[&str], certificate: &str| {
            let fixed: Vec<&str> = [
                "verify",
                "-x509_strict",
                "-purpose",
                "sslserver",
                "-verify_hostname",
                "a.example",
                "-CAfile",
            ]
            .into_iter()
            .chain([&*root])
            .chain(more.iter().copied())
            .chain([certificate])
            .collect();
            openssl(&fixed).unwrap()
        };
        assert!(verify(&[], &plain));
        assert!(verify(&["-untrusted", &between], &below));
        assert!(!verify(&[], &below), "the one in between is needed");
        assert!(!verify(&[], &past));
    }
}

/// A requirer with its provider, and time.
#[derive(Clone)]
struct Scene {
    wanted: RequestAttributes,
    key: Option<PrivateKey>,
    requested: Vec<SigningRequest>,
    provider: ProviderAppData,
    stored: Vec<StoredCertificate>,
    now: i64,
    asked: usize,
}

impl Scene {
    fn new() -> Self {
        Self {
            wanted: names(&["a.example"]),
            key: Some(OWN_KEY.clone()),
            requested: Vec::new(),
            provider: ProviderAppData::default(),
            stored: Vec::new(),
            now: NOW,
            asked: 0,
        }
    }

    /// One that has a certificate for ten days and has stored it.
    fn certified() -> (Self, String) {
        let mut scene = Self::new();
        let csr = scene.settle().expect("the first request");
        scene.issue(&csr, NOW, NOW + 10 * DAY);
        assert_eq!(scene.settle(), None);
        (scene, csr)
    }

    fn decide(&self) -> Decision {
        decide(Situation {
            wanted: &self.wanted,
            key: self.key.as_ref(),
            requested: &self.requested,
            provider: &self.provider,
            stored: &self.stored,
            now: self.now,
        })
    }

    /// Does what is decided, until nothing is left to do. The request that was made, if there was one.
    fn settle(&mut self) -> Option<String> {
        let made = self.follow();
        assert_eq!(self.follow(), None, "a second run asks for nothing");
        let again = self.decide();
        assert_eq!((again.ask, again.store, again.forget), (false, None, vec![]));
        made
    }

    fn follow(&mut self) -> Option<String> {
        let decision = self.decide();
        self.stored.retain(|stored| !decision.forget.contains(&stored.label));
        if let Some(assigned) = &decision.store {
            let label = certificate_label(&KeyScope::App, "certificates", &assigned.csr);
            self.stored.retain(|stored| stored.label != label);
            self.stored.push(StoredCertificate::from_content(label, &assigned.content()).unwrap());
        }
        self.requested = decision.keep.into_iter().map(|csr| SigningRequest::new(csr, false)).collect();
        decision.ask.then(|| self.request())
    }

    /// Asks for what is wanted.
    fn request(&mut self) -> String {
        self.asked += 1;
        let csr = request(self.key.as_ref().unwrap(), &self.wanted, &self.asked.to_string()).unwrap();
        self.requested.push(SigningRequest::new(&csr, false));
        csr
    }

    fn issue(&mut self, csr: &str, not_before: i64, not_after: i64) -> Issued {
        let issued = ROOT.sign(csr, not_before, not_after).unwrap();
        self.provider.answer(issued.clone());
        issued
    }

    fn in_use(&self) -> Option<String> {
        self.decide().in_use.map(|assigned| assigned.csr)
    }

    fn requests(&self) -> Vec<&str> {
        self.requested.iter().map(|request| request.certificate_signing_request.as_str()).collect()
    }
}

mod decisions {
    use super::*;

    #[test]
    fn the_first_request_is_due_with_or_without_a_key() {
        let mut scene = Scene::new();
        let due = Decision { ask: true, pending: true, ..Decision::default() };
        assert_eq!(scene.decide(), due);
        scene.key = None;
        assert_eq!(scene.decide(), due);
    }

    #[test]
    fn an_open_request_is_waited_for() {
        let mut scene = Scene::new();
        let csr = scene.settle().unwrap();
        let waiting = Decision { keep: vec![csr], pending: true, ..Decision::default() };
        assert_eq!(scene.decide(), waiting);
        // Others' answers say nothing to us.
        let other = request(&OTHER_KEY, &names(&["a.example"]), "x").unwrap();
        scene.issue(&other, NOW, NOW + DAY);
        scene.provider.refuse(request(&OTHER_KEY, &names(&["b"]), "y").unwrap(), ErrorDetail::default());
        assert_eq!(scene.decide(), waiting);
    }

    #[test]
    fn an_answer_is_used_and_stored_once() {
        let mut scene = Scene::new();
        let csr = scene.settle().unwrap();
        let issued = scene.issue(&csr, NOW - 1, NOW + 10 * DAY);
        let decision = scene.decide();
        let expected = Assigned {
            certificate: issued.certificate.clone(),
            chain: vec![issued.certificate.clone()],
            ca: issued.ca,
            csr: csr.clone(),
            not_before: NOW - 1,
            not_after: NOW + 10 * DAY,
            renew_at: NOW + 9 * DAY - 1,
            is_wanted: true,
        };
        assert_eq!(decision.in_use.as_ref(), Some(&expected));
        assert_eq!(decision.store, Some(expected));
        assert_eq!((decision.ask, decision.pending, decision.keep), (false, false, vec![csr]));
        assert_eq!(decision.in_use.unwrap().served(), issued.certificate + "\n");
        assert_eq!(scene.settle(), None);
        assert_eq!(scene.stored.len(), 1);
    }

    #[test]
    fn changed_names_keep_the_old_certificate_until_the_new_one_is_there() {
        let (mut scene, old) = Scene::certified();
        scene.wanted = names(&["a.example", "b.example"]);
        let new = scene.settle().expect("a new request");
        assert_eq!(scene.requests(), [old.as_str(), new.as_str()]);
        let decision = scene.decide();
        assert!(decision.pending && !decision.in_use.as_ref().unwrap().is_wanted);
        assert_eq!(decision.in_use.unwrap().csr, old);

        // Names change again before there is an answer.
        scene.wanted = names(&["c.example"]);
        let newer = scene.settle().expect("a new request");
        assert_eq!(scene.requests(), [old.as_str(), newer.as_str()]);

        scene.issue(&newer, NOW + 5, NOW + 9 * DAY);
        scene.now += 5;
        assert_eq!(scene.settle(), None);
        assert_eq!(scene.requests(), [newer.as_str()]);
        assert_eq!(scene.in_use(), Some(newer));
        assert_eq!(scene.stored.len(), 1);
    }

    #[test]
    fn names_that_come_back_need_no_new_certificate() {
        let (mut scene, old) = Scene::certified();
        scene.wanted = names(&["b.example"]);
        scene.settle().expect("a new request");
        scene.wanted = names(&["a.example"]);
        assert_eq!(scene.settle(), None);
        assert_eq!(scene.requests(), [old.as_str()]);
    }

    #[test]
    fn an_old_certificate_is_renewed_while_it_is_in_use() {
        let (mut scene, old) = Scene::certified();
        scene.now = NOW + 9 * DAY - 1;
        assert_eq!(scene.settle(), None);
        scene.now += 1;
        let new = scene.settle().expect("a new request");
        assert_ne!(new, old);
        let decision = scene.decide();
        assert!(decision.pending && decision.in_use.unwrap().csr == old);
        assert_eq!(decision.keep, [old, new.clone()]);
        scene.issue(&new, scene.now, scene.now + 10 * DAY);
        assert_eq!(scene.settle(), None);
        assert_eq!((scene.requests(), scene.in_use()), (vec![new.as_str()], Some(new.clone())));
    }

    #[test]
    fn a_renewal_that_fails_leaves_the_old_certificate_to_its_end() {
        let (mut scene, old) = Scene::certified();
        scene.now = NOW + 9 * DAY;
        let new = scene.settle().unwrap();
        scene.provider.refuse(&new, ErrorDetail::new(ErrorDetail::SERVER_NOT_AVAILABLE, "later"));
        scene.now = NOW + 10 * DAY - 1;
        assert_eq!(scene.in_use(), Some(old));
        assert_eq!(scene.decide().denied.unwrap().name, "server_not_available");
        scene.now += 1;
        assert_eq!(scene.in_use(), None);
        assert_eq!(scene.settle(), None, "the refused request is not repeated");
        assert_eq!(scene.requests(), [new]);
    }

    #[test]
    fn a_revoked_certificate_is_replaced_at_once() {
        let (mut scene, old) = Scene::certified();
        scene.provider.revoke_all();
        let decision = scene.decide();
        assert_eq!((decision.in_use, decision.ask, decision.keep), (None, true, vec![]));
        let new = scene.settle().unwrap();
        assert_eq!((scene.requests(), scene.stored.len()), (vec![new.as_str()], 0));
        assert_ne!(new, old);
        // Some providers answer the same request again instead.
        let (mut scene, old) = Scene::certified();
        let mut again = scene.issue(&old, NOW + 1, NOW + 3 * DAY);
        scene.provider.revoke_all();
        again.revoked = Some(false);
        scene.provider.certificates.push(again);
        assert_eq!(scene.settle(), None);
        assert_eq!(scene.decide().in_use.unwrap().not_after, NOW + 3 * DAY);
    }

    #[test]
    fn a_certificate_that_the_provider_withdrew_is_used_to_its_end() {
        let (mut scene, csr) = Scene::certified();
        let before = scene.decide().in_use;
        scene.provider = ProviderAppData::default();
        assert_eq!(scene.settle(), None);
        assert_eq!(scene.decide().in_use, before);
        scene.now = NOW + 9 * DAY;
        let new = scene.settle().expect("renewal");
        assert_eq!(scene.requests(), [csr.as_str(), new.as_str()]);
        scene.now = NOW + 10 * DAY;
        assert_eq!(scene.settle(), None);
        assert_eq!((scene.requests(), scene.in_use()), (vec![new.as_str()], None));
        assert_eq!(scene.stored, []);
    }

    #[test]
    fn a_stored_certificate_without_its_request_is_nobodys() {
        let (mut scene, _) = Scene::certified();
        scene.requested.clear();
        assert_eq!(scene.in_use(), None);
        assert!(scene.settle().is_some());
        assert_eq!(scene.stored, []);
    }

    #[test]
    fn what_another_implementation_stored_is_completed() {
        let (mut scene, csr) = Scene::certified();
        let complete = scene.stored.clone();
        scene.stored[0].ca = None;
        scene.stored[0].chain.clear();
        assert_eq!(scene.decide().store.unwrap().csr, csr);
        assert_eq!(scene.settle(), None);
        assert_eq!(scene.stored, complete);
        // Without the provider there is no issuer to trust it by.
        scene.stored[0].ca = None;
        scene.provider = ProviderAppData::default();
        let decision = scene.decide();
        assert_eq!((decision.in_use, decision.keep), (None, vec![csr]));
        assert_eq!(decision.problems, ["stored certificate: its issuer is not known"]);
    }

    #[test]
    fn one_secret_is_kept_for_one_certificate() {
        let (mut scene, _) = Scene::certified();
        let older = StoredCertificate { label: "older".into(), ca: None, ..scene.stored[0].clone() };
        scene.stored.insert(0, older);
        let decision = scene.decide();
        assert_eq!((decision.forget, decision.store), (vec!["older".to_owned()], None));
    }

    #[test]
    fn with_another_key_everything_begins_anew() {
        let (mut scene, _) = Scene::certified();
        scene.key = Some(OTHER_KEY.clone());
        let decision = scene.decide();
        assert_eq!((decision.in_use, decision.keep, decision.ask), (None, vec![], true));
        assert_eq!((decision.forget.len(), decision.problems), (1, vec![]));
    }

    #[test]
    fn an_answer_that_does_not_fit_is_not_used_and_not_asked_for_again() {
        let unusable = |change: &dyn Fn(&mut Issued)| {
            let mut scene = Scene::new();
            let csr = scene.settle().unwrap();
            let mut issued = scene.issue(&csr, NOW, NOW + DAY);
            change(&mut issued);
            scene.provider.answer(issued);
            let decision = scene.decide();
            assert_eq!((decision.in_use, decision.ask, decision.pending), (None, false, true));
            assert_eq!(decision.keep, [csr]);
            decision.problems
        };
        let other = request(&OTHER_KEY, &names(&["a.example"]), "x").unwrap();
        let other = ROOT.sign(&other, NOW, NOW + DAY).unwrap();
        assert_eq!(
            unusable(&|issued| issued.certificate = other.certificate.clone()),
            ["certificate: for another key"]
        );
        assert_eq!(unusable(&|issued| issued.certificate = "x".into()), ["certificate: not PEM"]);
        assert_eq!(unusable(&|issued| issued.certificate = REQUEST.into()), ["certificate: not PEM"]);
        assert_eq!(unusable(&|issued| issued.ca = String::new()), ["issuer's certificate: not PEM"]);
        let mut scene = Scene::new();
        scene.wanted.ca = true;
        scene.request();
        scene.requested[0].ca = Some(true);
        let csr = scene.requests()[0].to_owned();
        scene.issue(&csr, NOW, NOW + DAY);
        assert_eq!(scene.decide().problems, ["certificate: not for an authority"]);
    }

    #[test]
    fn an_expired_answer_is_asked_for_anew() {
        let mut scene = Scene::new();
        let csr = scene.settle().unwrap();
        scene.issue(&csr, NOW - DAY, NOW);
        let decision = scene.decide();
        assert_eq!((decision.in_use, decision.ask, decision.keep), (None, true, vec![]));
        assert_eq!(decision.problems, ["certificate: expired"]);
    }

    #[test]
    fn of_several_the_newest_for_what_is_wanted_wins() {
        let mut scene = Scene::new();
        let first = scene.request();
        let second = scene.request();
        scene.wanted = names(&["b.example"]);
        let other = scene.request();
        scene.wanted = names(&["a.example"]);
        let third = scene.request();
        scene.issue(&first, NOW - 3, NOW + DAY);
        scene.issue(&second, NOW - 2, NOW + DAY);
        scene.issue(&other, NOW - 1, NOW + DAY);
        assert_eq!(scene.in_use(), Some(second.clone()));
        assert_eq!(scene.decide().keep, [second, third], "an open request that came later stays");
        scene.wanted = names(&["c.example"]);
        assert_eq!(scene.in_use(), Some(other), "else simply the newest");
    }

    #[test]
    fn a_certificate_that_has_not_begun_waits_for_its_time() {
        let (mut scene, old) = Scene::certified();
        scene.now = NOW + 9 * DAY;
        let new = scene.settle().unwrap();
        scene.issue(&new, scene.now + 30, scene.now + 20 * DAY);
        assert_eq!(scene.settle(), None, "another request would get another one like it");
        assert_eq!(scene.requests(), [old.as_str(), new.as_str()]);
        assert_eq!(scene.in_use(), Some(old));
        scene.now += 30;
        assert_eq!(scene.settle(), None);
        assert_eq!((scene.requests(), scene.in_use()), (vec![new.as_str()], Some(new.clone())));

        // Also where it is for other names: until then, nobody could use it.
        scene.wanted = names(&["b.example"]);
        let other = scene.settle().unwrap();
        scene.issue(&other, scene.now + 30, scene.now + 20 * DAY);
        assert_eq!((scene.settle(), scene.in_use()), (None, Some(new)));
        scene.now += 30;
        assert_eq!((scene.settle(), scene.in_use()), (None, Some(other)));
    }

    #[test]
    fn a_renewed_certificate_that_begins_before_the_old_one_is_used_nevertheless() {
        let (mut scene, _) = Scene::certified();
        scene.now = NOW + 9 * DAY;
        let new = scene.settle().unwrap();
        scene.issue(&new, NOW - DAY, NOW + 90 * DAY);
        assert_eq!(scene.settle(), None);
        assert_eq!(scene.in_use(), Some(new));
    }

    #[test]
    fn a_refusal_is_told_and_not_answered_with_the_same_request() {
        let mut scene = Scene::new();
        let csr = scene.settle().unwrap();
        let error = ErrorDetail::new(ErrorDetail::DOMAIN_NOT_ALLOWED, "only example.com");
        scene.provider.refuse(&csr, error.clone());
        assert_eq!(scene.settle(), None);
        let refused = Decision { keep: vec![csr], denied: Some(error), ..Decision::default() };
        assert_eq!(scene.decide(), refused);
        // Other names are another question.
        scene.wanted = names(&["a.example.com"]);
        let new = scene.settle().unwrap();
        assert_eq!((scene.requests(), scene.decide().denied), (vec![new.as_str()], None));
    }

    #[test]
    fn rubbish_beside_a_good_answer_does_not_matter() {
        let (mut scene, csr) = Scene::certified();
        let good = scene.provider.certificates[0].clone();
        let before = scene.decide().in_use;
        let bad = |certificate: &str, csr: &str| Issued {
            certificate: certificate.to_owned(),
            certificate_signing_request: csr.to_owned(),
            chain: Some(vec!["x".into()]),
            ..good.clone()
        };
        scene.provider.certificates = vec![bad("x", &csr), bad("x", "y"), good.clone(), bad("", &csr)];
        scene.provider.problems = vec!["certificates: entry 1: null".into()];
        scene.requested.insert(0, SigningRequest::new("x", false));
        let repeated = scene.requested[1].clone();
        scene.requested.push(repeated);
        let decision = scene.decide();
        assert_eq!(decision.in_use, before);
        assert_eq!(decision.keep, [csr]);
        assert_eq!(
            decision.problems,
            [
                "certificates: entry 1: null",
                "own request is dropped: signing request: not PEM",
                "certificate: not PEM",
            ]
        );
        assert_eq!((decision.ask, decision.store, decision.forget), (false, None, vec![]));
    }

    #[test]
    fn the_chain_is_put_in_order_and_has_no_root() {
        let mut scene = Scene::new();
        let csr = scene.settle().unwrap();
        let good = BELOW.sign(&csr, NOW, NOW + DAY).unwrap();
        let served = [good.certificate.clone(), BELOW.issuer().to_owned()];
        let (leaf, between, root) = (good.certificate.as_str(), BELOW.issuer(), BELOW.root());
        let cases: [(&[&str], &str); 7] = [
            (&[leaf, between, root], between),
            (&[root, between, leaf], between),
            (&[between], between),
            (&[], between),
            (&[leaf, between, root], root),
            (&[leaf, between, between, "x"], root),
            (&[&format!("{leaf}\n{between}\n{root}\n")], root),
        ];
        for (chain, ca) in cases {
            let chain = Some(chain.iter().map(|&text| text.to_owned()).collect());
            scene.provider.answer(Issued { ca: ca.to_owned(), chain, ..good.clone() });
            let assigned = scene.decide().in_use.unwrap();
            assert_eq!(assigned.chain, served);
            assert_eq!(assigned.ca, ca);
            let content = assigned.content();
            let stored = StoredCertificate::from_content("label", &content).unwrap();
            assert_eq!((stored.chain, stored.ca.as_deref()), (served.to_vec(), Some(ca)));
        }
        // Certificates of others are not sent.
        let chain = Some(vec![leaf.to_owned(), OTHER_ROOT.issuer().to_owned()]);
        scene.provider.answer(Issued { ca: root.to_owned(), chain, ..good.clone() });
        assert_eq!(scene.decide().in_use.unwrap().chain, [leaf]);
    }

    static OTHER_ROOT: LazyLock<Authority> =
        LazyLock::new(|| ROOT.clone().with_intermediate("somebody else", ALWAYS.0, ALWAYS.1).unwrap());
}

mod rubbish {
    use super::*;

    /// The certificate of the other implementation's request.
    static ANSWER: LazyLock<Issued> = LazyLock::new(|| BELOW.sign(REQUEST, NOW, NOW + DAY).unwrap());

    /// PEM with a few bytes changed, or cut.
    fn damaged(text: &'static str) -> impl Strategy<Value = String> {
        let block = pem::parse(text).unwrap();
        let length = block.contents().len();
        let changes = prop::collection::vec((0..length, any::<u8>()), 0..4);
        (changes, prop_oneof![3 => Just(length), 1 => 0..length]).prop_map(move |(changes, length)| {
            let mut der = block.contents().to_vec();
            for (at, byte) in changes {
                der[at] = byte;
            }
            der.truncate(length);
            pem::encode(&pem::Pem::new(block.tag(), der))
        })
    }

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            2 => damaged(&ANSWER.certificate),
            1 => damaged(BELOW.issuer()),
            1 => damaged(REQUEST),
            1 => Just(ANSWER.certificate.clone()),
            1 => Just(BELOW.issuer().to_owned()),
            1 => any::<String>(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn is_read_or_refused(request in damaged(REQUEST), certificate in damaged(&ANSWER.certificate)) {
            if let Ok(read) = ParsedRequest::parse(&request) {
                prop_assert_eq!(ParsedRequest::parse(&read.to_pem()), Ok(read));
            }
            if let Ok(read) = ParsedCertificate::parse(&certificate) {
                prop_assert_eq!(ParsedCertificate::parse(&read.to_pem()), Ok(read));
            }
        }

        #[test]
        fn leaves_a_requirer_with_a_sound_decision(
            answers in prop::collection::vec(
                (texts(), texts(), prop::collection::vec(texts(), 0..3), any::<Option<bool>>()),
                0..4,
            ),
            own in prop::collection::vec(damaged(REQUEST), 0..3),
            stored in prop::collection::vec((texts(), prop::option::of(texts())), 0..3),
            refused in any::<bool>(),
            now in NOW - DAY..NOW + 2 * DAY,
        ) {
            let mut scene = Scene { wanted: requested_names(), now, ..Scene::new() };
            scene.requested = own
                .iter()
                .map(String::as_str)
                .chain([REQUEST])
                .map(|csr| SigningRequest::new(csr, false))
                .collect();
            scene.provider.certificates = answers
                .into_iter()
                .map(|(certificate, ca, chain, revoked)| Issued {
                    ca,
                    certificate_signing_request: REQUEST.to_owned(),
                    certificate,
                    chain: Some(chain),
                    revoked,
                })
                .collect();
            if refused {
                scene.provider.request_errors.push(RequestError {
                    csr: REQUEST.to_owned(),
                    error: ErrorDetail::default(),
                });
            }
            scene.stored = stored
                .into_iter()
                .enumerate()
                .map(|(number, (certificate, ca))| StoredCertificate {
                    label: number.to_string(),
                    certificate,
                    csr: REQUEST.to_owned(),
                    ca,
                    chain: Vec::new(),
                })
                .collect();
            let decision = scene.decide();
            prop_assert!(decision.keep.iter().all(|csr| scene.requests().contains(&csr.as_str())));
            if let Some(assigned) = &decision.in_use {
                let leaf = ParsedCertificate::parse(&assigned.certificate).unwrap();
                prop_assert_eq!(&leaf.public_key, OWN_KEY.public_key());
                prop_assert!(!leaf.is_expired(now) && !leaf.is_ca);
                prop_assert_eq!(&assigned.chain[0], &assigned.certificate);
                prop_assert!(decision.keep.contains(&assigned.csr));
            } else {
                prop_assert!(decision.pending || decision.denied.is_some());
                prop_assert_eq!(decision.store.as_ref(), None);
            }
            prop_assert!(decision.store.is_none() || decision.store == decision.in_use);
            scene.settle();
        }
    }
}
