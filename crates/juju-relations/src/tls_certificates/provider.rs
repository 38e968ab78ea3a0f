//! The side that signs.

use juju_ops::{Event, Hook, Relation, RelationId, Remote, ToolError, UnitName};

use super::{INTERFACE, ProviderAppData, RequirerData, SigningRequest};
use crate::{EndpointError, EndpointMeta, EndpointRole, Wire};

/// Everybody who asks over one relation.
#[derive(Clone, Debug)]
pub struct Requester {
    /// The relation.
    pub relation: Relation,
    /// The application's own requests.
    pub app: Remote<RequirerData>,
    /// The units' requests.
    pub units: Vec<(UnitName, Remote<RequirerData>)>,
}

impl Requester {
    /// Every request that can be read.
    pub fn requests(&self) -> impl Iterator<Item = &SigningRequest> {
        let units = self.units.iter().map(|(_, data)| data);
        units
            .chain([&self.app])
            .filter_map(|data| data.as_ref().ok())
            .flat_map(|data| &data.certificate_signing_requests)
    }

    /// True if somebody asks for this.
    pub fn asks_for(&self, csr: &str) -> bool {
        self.requests().any(|request| super::same_pem(&request.certificate_signing_request, csr))
    }
}

/// What an event means for a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderEvent {
    /// Somebody may have asked for something, or not want it any more.
    Asked {
        /// The relation.
        relation: RelationId,
    },
    /// The relation is gone, and with it every request.
    Gone {
        /// The relation.
        relation: RelationId,
    },
}

/// The meaning of `event` for the provider behind `endpoint`.
pub fn provider_event(event: &Event, endpoint: &str) -> Option<ProviderEvent> {
    match event {
        Event::RelationCreated(of)
        | Event::RelationJoined(of)
        | Event::RelationChanged(of)
        | Event::RelationDeparted(of)
            if of.id.endpoint() == endpoint =>
        {
            Some(ProviderEvent::Asked { relation: of.id.clone() })
        }
        Event::RelationBroken(of) if of.id.endpoint() == endpoint => {
            Some(ProviderEvent::Gone { relation: of.id.clone() })
        }
        _ => None,
    }
}

/// The side that signs, in one hook.
#[derive(Clone)]
pub struct CertificatesProvider {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl CertificatesProvider {
    /// The provider behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Provides)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// Everybody who asks, one entry for each relation.
    pub async fn requesters(&self) -> Result<Vec<Requester>, ToolError> {
        let mut requesters = Vec::new();
        for relation in self.hook.relations(&self.endpoint.name).await? {
            let app = RequirerData::read(relation.remote_app_data().await?.as_ref());
            let mut units = Vec::new();
            for unit in relation.units().await? {
                let data = RequirerData::read(relation.remote_unit_data(&unit).await?.as_ref());
                units.push((unit, data));
            }
            requesters.push(Requester { relation, app, units });
        }
        Ok(requesters)
    }

    /// What this provider has answered over one relation, with what this hook has planned; nothing on units that are
    /// not the leader.
    pub async fn published(&self, relation: &Relation) -> Result<ProviderAppData, ToolError> {
        if !self.hook.is_leader().await? {
            return Ok(ProviderAppData::default());
        }
        Ok(ProviderAppData::read(relation.local_app_data().await?.as_ref()).ok().unwrap_or_default())
    }

    /// Plans to answer exactly this over one relation. On units that are not the leader it does nothing.
    pub async fn publish(&self, relation: &Relation, data: &ProviderAppData) -> Result<(), ToolError> {
        if self.hook.is_leader().await? {
            relation.set_app(data.changes());
        }
        Ok(())
    }

    /// What the hook's event means for this endpoint; `None` if nothing.
    pub fn event(&self) -> Option<ProviderEvent> {
        provider_event(self.hook.event(), &self.endpoint.name)
    }
}
