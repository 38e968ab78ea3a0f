//! Identities: who may use Pebble.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Client, Error, Identity, IdentityAction};

const IDENTITIES: &str = "/v1/identities";

impl Client {
    pub(crate) async fn read_identities(&self) -> Result<BTreeMap<String, Identity>, Error> {
        let identities: Option<_> = self.get(IDENTITIES.into()).await?;
        Ok(identities.unwrap_or_default())
    }

    /// # Errors
    /// [`Error::Api`] with status 400 and the daemon's reason: one to be added is there already, one to be updated is
    /// not, or it has no type.
    pub(crate) async fn write_identities(
        &self,
        action: IdentityAction,
        identities: &BTreeMap<String, Identity>,
    ) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            action: IdentityAction,
            identities: BTreeMap<&'a str, Option<&'a Identity>>,
        }
        // Of what is to go, only the name may be said.
        let content = |identity| (action != IdentityAction::Remove).then_some(identity);
        let identities =
            identities.iter().map(|(name, identity)| (name.as_str(), content(identity))).collect();
        self.order(IDENTITIES, &Body { action, identities }).await
    }
}
