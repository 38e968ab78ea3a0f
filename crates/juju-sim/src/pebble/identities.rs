//! Identities. Nobody is let in or kept out by them here.

use std::collections::BTreeMap;

use juju_pebble::{BasicIdentity, CertIdentity, Error, Identity, IdentityAction};

use super::{Inner, PebbleEvent, api};

/// What the daemon shows of what is secret.
const MASK: &str = "*****";

impl Inner {
    pub(super) fn identities(&self) -> BTreeMap<String, Identity> {
        let mut identities = self.container.identities.clone();
        for identity in identities.values_mut() {
            if let Some(basic) = &mut identity.basic {
                *basic = BasicIdentity { password: MASK.to_owned() };
            }
            if let Some(cert) = &mut identity.cert {
                *cert = CertIdentity { pem: MASK.to_owned() };
            }
        }
        identities
    }

    pub(super) fn change_identities(
        &mut self,
        action: IdentityAction,
        identities: &BTreeMap<String, Identity>,
    ) -> Result<(), Error> {
        let known = &self.container.identities;
        let names = |there: bool| {
            let names = identities.keys().filter(|name| known.contains_key(*name) == there);
            Some(names.cloned().collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
        };
        let wrong = match action {
            IdentityAction::Add => names(true).map(|names| format!("identities already exist: {names}")),
            IdentityAction::Update | IdentityAction::Remove => {
                names(false).map(|names| format!("identities do not exist: {names}"))
            }
            IdentityAction::Replace => None,
        };
        if let Some(reason) = wrong {
            return Err(api(400, reason));
        }
        let untyped = |identity: &Identity| {
            identity.local.is_none() && identity.basic.is_none() && identity.cert.is_none()
        };
        if action != IdentityAction::Remove
            && let Some((name, _)) = identities.iter().find(|(_, identity)| untyped(identity))
        {
            let kinds = "(\"local\", \"basic\", or \"cert\")";
            let reason = format!("identity \"{name}\" invalid: identity must have at least one type {kinds}");
            return Err(api(400, reason));
        }
        for (name, identity) in identities {
            match action {
                IdentityAction::Remove => drop(self.container.identities.remove(name)),
                _ => drop(self.container.identities.insert(name.clone(), identity.clone())),
            }
        }
        let names = identities.keys().cloned().collect();
        self.history.push(PebbleEvent::Identities { action, names });
        Ok(())
    }
}
