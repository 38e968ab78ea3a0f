//! The side that needs certificates.

use juju_ops::{Event, Hook, Relation, RelationId, Remote, ToolError, UnitName};

use super::{INTERFACE, ProviderAppData, RequirerData};
use crate::{EndpointError, EndpointMeta, EndpointRole, Wire};

/// In front of every label of a secret that belongs to this interface.
pub const LABEL_ID: &str = "afd8c2bccf834997afce12c2706d2ede";

/// Key of a private key's PEM text in its secret.
pub const PRIVATE_KEY: &str = "private-key";

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyScope {
    /// Each unit has its own; requests lie in the unit's databag.
    Unit(UnitName),
    /// The application has one; requests lie in the application's databag and its leader makes them.
    App,
}

/// Label of the secret with the private key, under [`PRIVATE_KEY`].
///
/// ```
/// use juju_ops::UnitName;
/// use juju_relations::tls_certificates::{KeyScope, private_key_label};
///
/// assert_eq!(
///     private_key_label(&KeyScope::Unit(UnitName::new("tempo", 3)), "certificates"),
///     "afd8c2bccf834997afce12c2706d2ede-private-key-3-certificates",
/// );
/// ```
pub fn private_key_label(scope: &KeyScope, endpoint: &str) -> String {
    match scope {
        KeyScope::Unit(unit) => format!("{LABEL_ID}-private-key-{}-{endpoint}", unit.number()),
        KeyScope::App => format!("{LABEL_ID}-private-key-app-{endpoint}"),
    }
}

/// What the labels of all secrets with certificates of an endpoint begin with.
pub fn certificate_label_prefix(scope: &KeyScope, endpoint: &str) -> String {
    match scope {
        KeyScope::Unit(unit) => format!("{LABEL_ID}-certificate-{}-{endpoint}-", unit.number()),
        KeyScope::App => format!("{LABEL_ID}-certificate-{endpoint}-"),
    }
}

/// What an event means for a requirer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequirerEvent {
    /// There is somebody to ask.
    Created {
        /// The relation.
        relation: RelationId,
    },
    /// The provider has written something. Also sent again when nothing has changed.
    Answered {
        /// The relation.
        relation: RelationId,
        /// All that was published, to all requirers of the relation.
        data: Box<ProviderAppData>,
    },
    /// The relation is gone: forget the key and the certificates.
    Gone {
        /// The relation.
        relation: RelationId,
    },
}

/// The meaning of `event` for the requirer behind `endpoint`, given what the provider has written.
pub fn requirer_event(
    event: &Event,
    endpoint: &str,
    published: &Remote<ProviderAppData>,
) -> Option<RequirerEvent> {
    match (event, published) {
        (Event::RelationCreated(of), _) if of.id.endpoint() == endpoint => {
            Some(RequirerEvent::Created { relation: of.id.clone() })
        }
        (Event::RelationChanged(of), Remote::Ready(data)) if of.id.endpoint() == endpoint => {
            Some(RequirerEvent::Answered { relation: of.id.clone(), data: Box::new(data.clone()) })
        }
        (Event::RelationBroken(of), _) if of.id.endpoint() == endpoint => {
            Some(RequirerEvent::Gone { relation: of.id.clone() })
        }
        _ => None,
    }
}

/// The side that needs certificates, in one hook. Keys and stored certificates are secrets of the charm and are its
/// own affair; [`private_key_label`] and its like say how they are called.
#[derive(Clone)]
pub struct CertificatesRequirer {
    hook: Hook,
    endpoint: EndpointMeta,
    scope: KeyScope,
}

impl CertificatesRequirer {
    /// The requirer behind an endpoint of the charm's metadata, with a certificate for every unit. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn for_unit(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        Self::new(hook, endpoint.into(), KeyScope::Unit(hook.env().unit.clone()))
    }

    /// The same with one certificate for the application, which only its leader asks for and sees.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn for_app(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        Self::new(hook, endpoint.into(), KeyScope::App)
    }

    fn new(hook: &Hook, endpoint: EndpointMeta, scope: KeyScope) -> Result<Self, EndpointError> {
        endpoint.check(INTERFACE, EndpointRole::Requires)?;
        Ok(Self { hook: hook.clone(), endpoint, scope })
    }

    /// Whose certificates these are.
    pub fn scope(&self) -> &KeyScope {
        &self.scope
    }

    /// The relation; of several the first.
    pub async fn relation(&self) -> Result<Option<Relation>, ToolError> {
        Ok(self.hook.relations(&self.endpoint.name).await?.into_iter().next())
    }

    /// What is asked for now, with what this hook has planned. Nothing where this unit has no say.
    pub async fn requested(&self) -> Result<RequirerData, ToolError> {
        let Some(relation) = self.acting_on().await? else { return Ok(RequirerData::default()) };
        let bag = match self.scope {
            KeyScope::Unit(_) => Some(relation.local_unit_data().await?),
            KeyScope::App => relation.local_app_data().await?,
        };
        // What cannot be read is nobody's request, and is overwritten by the next one.
        Ok(RequirerData::read(bag.as_ref()).ok().unwrap_or_default())
    }

    /// Plans to ask for exactly this. Without a relation, and for an application on units that are not its leader,
    /// it does nothing.
    pub async fn request(&self, data: &RequirerData) -> Result<(), ToolError> {
        if let Some(relation) = self.acting_on().await? {
            match self.scope {
                KeyScope::Unit(_) => relation.set_unit(data.changes()),
                KeyScope::App => relation.set_app(data.changes()),
            }
        }
        Ok(())
    }

    /// What the provider has answered, to all requirers of the relation.
    pub async fn published(&self) -> Result<Remote<ProviderAppData>, ToolError> {
        match self.relation().await? {
            Some(relation) => Ok(ProviderAppData::read(relation.remote_app_data().await?.as_ref())),
            None => Ok(Remote::Absent),
        }
    }

    /// What the hook's event means for this endpoint; `None` if nothing.
    pub async fn event(&self) -> Result<Option<RequirerEvent>, ToolError> {
        let published = match crate::wire::relation_of_event(&self.hook, &self.endpoint).await? {
            Some(relation) => ProviderAppData::read(relation.remote_app_data().await?.as_ref()),
            None => Remote::Absent,
        };
        Ok(requirer_event(self.hook.event(), &self.endpoint.name, &published))
    }

    /// The relation, if this unit is the one to write its requests.
    async fn acting_on(&self) -> Result<Option<Relation>, ToolError> {
        if self.scope == KeyScope::App && !self.hook.is_leader().await? {
            return Ok(None);
        }
        self.relation().await
    }
}
