//! What is asked of the certificate authority, and what is kept of its answers.

use std::collections::BTreeSet;

use juju_relations::tls_certificates::{Assigned, RequestAttributes, SigningRequest};
use serde::{Serialize, Serializer};

use crate::deployment::Deployment;
use crate::deployment::tls::Tls;

/// Requests, and secrets to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Certificates {
    /// The requests; `None` while no authority is related.
    pub requests: Option<Requests>,
    /// The certificate to keep in a secret, where that is not what it holds.
    #[serde(serialize_with = "as_certificate")]
    pub store: Option<Assigned>,
    /// Labels of secrets to remove.
    pub forget: BTreeSet<String>,
    /// Who else has to be able to read the secret with the key: relations to workers.
    pub grants: BTreeSet<Grant>,
}

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Number of the relation to the authority.
    pub relation: u32,
    /// Label of the secret with the private key.
    pub key_label: String,
    /// Whether a key has to be made first.
    pub make_key: bool,
    /// Requests that stay as they are.
    pub keep: Vec<SigningRequest>,
    /// Who a new request is for; `None` if none is due.
    #[serde(serialize_with = "as_names")]
    pub ask: Option<RequestAttributes>,
    /// Requests that a new one must not be like.
    pub before: Vec<String>,
}

/// Lets an application read the secret with the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Grant {
    /// Bare id of the secret.
    pub secret: String,
    /// Number of the relation to the workers.
    pub relation: u32,
    /// Name of their application.
    pub app: String,
}

/// Decides them; in any state of the cluster.
pub(super) fn certificates(d: &Deployment) -> Certificates {
    let Tls { request, store, forget, .. } = &d.tls;
    let requests = request.clone().map(|request| Requests {
        relation: request.relation,
        key_label: request.key_label,
        make_key: !request.has_key,
        keep: request.keep,
        ask: request.ask,
        before: request.before,
    });
    Certificates { requests, store: store.clone(), forget: forget.clone(), grants: grants(d) }
}

/// The workers use the leader's key. An application that may read it already is not granted it again: Juju keeps one
/// grant for each, and refuses a second one over another relation.
fn grants(d: &Deployment) -> BTreeSet<Grant> {
    let certified = d.tls.in_use().filter(|_| d.identity.leader);
    let workers = certified.into_iter().flat_map(|certified| {
        let new = d.workers.iter().filter(|workers| !certified.readers.contains(&workers.app));
        new.map(|workers| Grant {
            secret: certified.key_secret.bare().to_owned(),
            relation: workers.relation,
            app: workers.app.clone(),
        })
    });
    workers.collect()
}

#[allow(clippy::ref_option)] // the form that serde asks for
fn as_certificate<S: Serializer>(store: &Option<Assigned>, serializer: S) -> Result<S::Ok, S::Error> {
    store.as_ref().map(|assigned| &assigned.certificate).serialize(serializer)
}

#[allow(clippy::ref_option)] // the form that serde asks for
fn as_names<S: Serializer>(ask: &Option<RequestAttributes>, serializer: S) -> Result<S::Ok, S::Error> {
    ask.as_ref().map(|wanted| &wanted.sans_dns).serialize(serializer)
}
