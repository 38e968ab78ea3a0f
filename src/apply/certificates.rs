//! Keys, requests and certificates: from what is kept to what should be.
//!
//! All of it takes effect when the hook succeeds. Juju then stores one after another, secrets before databags; if it
//! refuses something on the way, there may be a key without its request, with which the next hook asks.

use std::time::Duration;

use juju_ops::{Event, Hook, RelationId, SecretContent, SecretId, SecretOwner, ToolError};
use juju_relations::Wire;
use juju_relations::tls_certificates::{
    Assigned, CertificateError, KeyScope, PRIVATE_KEY, PrivateKey, RequestAttributes, RequirerData,
    SigningRequest, certificate_label, request,
};

use crate::names::Endpoint;
use crate::plan::Plan;
use crate::plan::certificates::Requests;
use crate::snapshot::{FileDigest, Snapshot};

/// Asks and stores what differs.
pub(super) async fn apply(hook: &Hook, snapshot: &Snapshot, plan: &Plan) -> Result<(), ToolError> {
    let planned = &plan.certificates;
    let own = &snapshot.certificates.secrets;
    if let Some(requests) = &planned.requests {
        requests_and_key(hook, snapshot, requests).await?;
    }
    if let Some(assigned) = &planned.store {
        store(hook, snapshot, assigned).await?;
    }
    for label in &planned.forget {
        if let Some(secret) = own.get(label) {
            tracing::info!("removing secret {label}");
            hook.secrets().remove(&secret.id).await?;
        }
    }
    for grant in &planned.grants {
        if is_going(hook, &grant.app).await? {
            tracing::debug!("{} is going and needs no key any more", grant.app);
            continue;
        }
        tracing::info!("letting {} read the private key", grant.app);
        let relation = RelationId::new(Endpoint::TempoCluster.as_str(), grant.relation);
        hook.secrets().grant(&SecretId::new(grant.secret.as_str()), &relation).await?;
    }
    prune(hook, snapshot, plan).await
}

/// Whether workers are being removed, or this application with all its relations. When the hook ends, Juju refuses to let
/// them read anything more, and with that the hook, again and again; it would keep the removal from ever being done.
async fn is_going(hook: &Hook, app: &str) -> Result<bool, ToolError> {
    Ok(hook.planned_units().await? == 0 || hook.is_going(Endpoint::TempoCluster.as_str(), app).await?)
}

/// What [`apply`] would do, one line each.
pub(super) fn preview(snapshot: &Snapshot, plan: &Plan) -> Vec<String> {
    let planned = &plan.certificates;
    let mut lines = Vec::new();
    if let Some(requests) = &planned.requests {
        if requests.make_key {
            lines.push(format!("secret {}: make a private key", requests.key_label));
        }
        if requests.ask.is_some() {
            lines.push(format!("{}:{}: ask for a certificate", Endpoint::Certificates, requests.relation));
        }
    }
    if let Some(assigned) = &planned.store {
        lines.push(format!("secret {}: keep a certificate", label_for(snapshot, assigned)));
    }
    let forgotten = planned.forget.iter().filter(|label| snapshot.certificates.secrets.contains_key(*label));
    lines.extend(forgotten.map(|label| format!("secret {label}: remove")));
    lines.extend(
        planned.grants.iter().map(|grant| format!("secret {}: grant to {}", grant.secret, grant.app)),
    );
    lines
}

/// Makes a key if there is none, and writes the list of requests with the new one at its end.
async fn requests_and_key(hook: &Hook, snapshot: &Snapshot, planned: &Requests) -> Result<(), ToolError> {
    let mut list = planned.keep.clone();
    if let Some(wanted) = &planned.ask {
        let key =
            if planned.make_key { make_key(hook, snapshot, planned).await? } else { key(snapshot, planned) };
        let asked = key.and_then(|key| request(&key, wanted, &unique_id(&key, wanted, &planned.before)));
        match asked {
            Ok(csr) => {
                tracing::info!("asking for a certificate for {:?}", wanted.sans_dns);
                list.push(SigningRequest::new(csr, wanted.ca));
            }
            // Nobody else is at fault, and the next hook tries again.
            Err(error) => tracing::error!("cannot ask for a certificate: {error}"),
        }
    }
    let relation = hook.relation(RelationId::new(Endpoint::Certificates.as_str(), planned.relation));
    relation.set_unit(RequirerData::new(list).changes());
    Ok(())
}

fn key(snapshot: &Snapshot, planned: &Requests) -> Result<PrivateKey, CertificateError> {
    let secret = snapshot.certificates.secrets.get(&planned.key_label);
    let pem = secret.and_then(|secret| secret.content.as_ref()?.get(PRIVATE_KEY));
    PrivateKey::from_pem(pem.unwrap_or_default())
}

/// A new key, in a new secret or in place of one that could not be read.
async fn make_key(
    hook: &Hook,
    snapshot: &Snapshot,
    planned: &Requests,
) -> Result<Result<PrivateKey, CertificateError>, ToolError> {
    let key = match PrivateKey::generate() {
        Ok(key) => key,
        Err(error) => return Ok(Err(error)),
    };
    tracing::info!("keeping a new private key in secret {}", planned.key_label);
    let content: SecretContent = [(PRIVATE_KEY, key.to_pem())].into_iter().collect();
    match snapshot.certificates.secrets.get(&planned.key_label) {
        Some(secret) => hook.secrets().set(&secret.id, &content).await?,
        None => drop(hook.secrets().add(&content, &planned.key_label, SecretOwner::Unit).await?),
    }
    Ok(Ok(key))
}

/// A text like a random UUID that tells a request from those before it. It depends on nothing else, so that a hook that
/// is retried asks the same once more, and not for a second certificate.
fn unique_id(key: &PrivateKey, wanted: &RequestAttributes, before: &[String]) -> String {
    let wanted = format!("{wanted:?}");
    let parts = [key.to_pem(), &wanted].into_iter().chain(before.iter().map(String::as_str));
    let text: String = parts.flat_map(|part| [part, "\0"]).collect();
    let hex = FileDigest::of(text).to_string();
    // As RFC 9562 has it: the fourth version, and one of four variants.
    let variant = match &hex[16..17] {
        "0" | "1" | "2" | "3" => '8',
        "4" | "5" | "6" | "7" => '9',
        "8" | "9" | "a" | "b" => 'a',
        _ => 'b',
    };
    format!("{}-{}-4{}-{variant}{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

/// Keeps a certificate until Juju says that it is time for a new one.
async fn store(hook: &Hook, snapshot: &Snapshot, assigned: &Assigned) -> Result<(), ToolError> {
    let label = label_for(snapshot, assigned);
    let left = u64::try_from(assigned.renew_at.saturating_sub(snapshot.now)).unwrap_or_default();
    let left = Duration::from_secs(left);
    tracing::info!("keeping a certificate in secret {label}");
    let content = assigned.content();
    if let Some(secret) = snapshot.certificates.secrets.get(&label) {
        return hook.secrets().set_expiring(&secret.id, &content, left).await;
    }
    hook.secrets().add_expiring(&content, &label, SecretOwner::Unit, left).await.map(drop)
}

fn label_for(snapshot: &Snapshot, assigned: &Assigned) -> String {
    let scope = KeyScope::Unit(snapshot.identity.unit.clone());
    certificate_label(&scope, Endpoint::Certificates.as_str(), &assigned.csr)
}

/// Removes the revision that Juju offers: nobody reads it any more. The latest one it never offers; but an old event
/// may be late.
async fn prune(hook: &Hook, snapshot: &Snapshot, plan: &Plan) -> Result<(), ToolError> {
    let Event::SecretRemove(event) = hook.event() else { return Ok(()) };
    let Some(revision) = event.revision else { return Ok(()) };
    let mut own = snapshot.certificates.secrets.iter();
    match own.find(|(_, secret)| secret.id == SecretId::new(event.id.as_str())) {
        Some((label, secret))
            if secret.info.revision > revision && !plan.certificates.forget.contains(label) =>
        {
            hook.secrets().remove_revision(&secret.id, revision).await
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_requests_look_random_and_are_not() {
        let key = PrivateKey::generate().unwrap();
        let wanted = RequestAttributes::server("tempo", ["a.example"]);
        let first = unique_id(&key, &wanted, &[]);
        assert_eq!(first, unique_id(&key, &wanted, &[]));
        assert_eq!(first.len(), 36);
        assert_eq!((&first[14..15], first[19..20].contains(['8', '9', 'a', 'b'])), ("4", true));
        let other_names = RequestAttributes::server("tempo", ["b.example"]);
        let others = [
            unique_id(&PrivateKey::generate().unwrap(), &wanted, &[]),
            unique_id(&key, &other_names, &[]),
            unique_id(&key, &wanted, &["a".into()]),
            unique_id(&key, &wanted, &["a".into(), "b".into()]),
            unique_id(&key, &wanted, &["ab".into()]),
        ];
        assert!(!others.contains(&first));
        assert_ne!(others[3], others[4]);
        // The same request, down to its last byte.
        assert_eq!(request(&key, &wanted, &first).unwrap(), request(&key, &wanted, &first).unwrap());
    }
}
