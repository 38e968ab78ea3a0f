//! The side that sends traces.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use juju_ops::{Hook, Relation, Remote};

use super::{
    INTERFACE, Protocol, ProviderAppData, ReceiverUrl, Requested, RequirerAppData, RequirerEvent,
    TracingError, requirer_event,
};
use crate::{EndpointError, EndpointMeta, EndpointRole, Wire};

/// The requirer of one endpoint in one hook.
///
/// If the metadata limits the endpoint to one relation, "the relation" is that one. Otherwise say which with
/// [`TracingRequirer::on`]; only requests can be made on all relations at once.
#[derive(Clone)]
pub struct TracingRequirer {
    hook: Hook,
    endpoint: EndpointMeta,
    only: Option<Relation>,
}

impl TracingRequirer {
    /// The requirer behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Requires)?;
        Ok(Self { hook: hook.clone(), endpoint, only: None })
    }

    /// The same requirer on one of its relations.
    #[must_use]
    pub fn on(&self, relation: &Relation) -> Self {
        Self { only: Some(relation.clone()), ..self.clone() }
    }

    /// The relations of the endpoint, or the one chosen with [`TracingRequirer::on`]. A breaking one is not listed.
    pub async fn relations(&self) -> Result<Vec<Relation>, TracingError> {
        match &self.only {
            Some(relation) => Ok(vec![relation.clone()]),
            None => Ok(self.hook.relations(&self.endpoint.name).await?),
        }
    }

    /// Plans to ask for exactly these protocols, on every relation. Call it on every hook and every unit: it writes
    /// only what differs, and on units that are not the leader it does nothing.
    ///
    /// # Errors
    /// [`TracingError::NothingRequested`] for an empty list, on every unit.
    pub async fn request(&self, protocols: impl IntoIterator<Item = Protocol>) -> Result<(), TracingError> {
        match self.request_protocols(protocols).await {
            Err(TracingError::DataAccessPermission { .. }) => Ok(()),
            done => done,
        }
    }

    /// As [`TracingRequirer::request`], for code that must know that the request was made.
    ///
    /// # Errors
    /// [`TracingError::NothingRequested`] for an empty list, [`TracingError::DataAccessPermission`] on a unit that is
    /// not the leader.
    pub async fn request_protocols(
        &self,
        protocols: impl IntoIterator<Item = Protocol>,
    ) -> Result<(), TracingError> {
        let data = RequirerAppData::new(protocols);
        if data.receivers.is_empty() {
            return Err(TracingError::NothingRequested { endpoint: self.name() });
        }
        if !self.hook.is_leader().await? {
            return Err(TracingError::DataAccessPermission { endpoint: self.name() });
        }
        for relation in self.relations().await? {
            relation.set_app(data.changes());
        }
        Ok(())
    }

    /// What the provider has published: absent, not usable and why, or its receivers.
    ///
    /// # Errors
    /// [`TracingError::AmbiguousRelationUsage`] if it is not clear which relation is meant.
    pub async fn published(&self) -> Result<Remote<ProviderAppData>, TracingError> {
        match self.relation().await? {
            Some(relation) => Ok(ProviderAppData::read(relation.remote_app_data().await?.as_ref())),
            None => Ok(Remote::Absent),
        }
    }

    /// Whether the provider has published receivers, if only an empty list.
    ///
    /// # Errors
    /// As [`TracingRequirer::published`].
    pub async fn is_ready(&self) -> Result<bool, TracingError> {
        Ok(self.published().await?.is_ready())
    }

    /// All that the provider has published; `None` while it is not ready.
    ///
    /// # Errors
    /// As [`TracingRequirer::published`].
    pub async fn all_endpoints(&self) -> Result<Option<ProviderAppData>, TracingError> {
        let published = self.published().await?;
        if let Some(reason) = published.reason() {
            ::tracing::warn!("{}: {reason}", self.endpoint.name);
        }
        Ok(published.ok())
    }

    /// Where to send traces in this protocol; `None` while the provider does not receive it (yet).
    ///
    /// # Errors
    /// As [`TracingRequirer::published`]; [`TracingError::ProtocolNotRequested`] if there is no such receiver and this
    /// application never asked for it. Units that are not the leader cannot see what was asked for: they get `None`.
    pub async fn endpoint(&self, protocol: Protocol) -> Result<Option<ReceiverUrl>, TracingError> {
        let published = self.all_endpoints().await?;
        if let Some(url) = published.as_ref().and_then(|data| data.url(protocol)) {
            return Ok(Some(url.clone()));
        }
        let mut asked = BTreeSet::new();
        for relation in self.relations().await? {
            let Some(own) = relation.local_app_data().await? else { return Ok(None) };
            asked.extend(Requested::read(Some(&own)).ok().unwrap_or_default().known);
        }
        // Without a relation there was nobody to ask.
        if self.relations().await?.is_empty() || asked.contains(&protocol) {
            return Ok(None);
        }
        Err(TracingError::ProtocolNotRequested { endpoint: self.name(), protocol })
    }

    /// What the hook's event means for this endpoint; `None` if nothing.
    pub async fn event(&self) -> Result<Option<RequirerEvent>, TracingError> {
        let relation = crate::wire::relation_of_event(&self.hook, &self.endpoint).await?;
        let published = match &relation {
            Some(relation) => ProviderAppData::read(relation.remote_app_data().await?.as_ref()),
            None => Remote::Absent,
        };
        Ok(requirer_event(self.hook.event(), &self.endpoint.name, &published))
    }

    fn name(&self) -> String {
        self.endpoint.name.to_string()
    }

    /// The one relation that is meant where none was named.
    async fn relation(&self) -> Result<Option<Relation>, TracingError> {
        if self.only.is_none() && !self.endpoint.is_single() {
            return Err(TracingError::AmbiguousRelationUsage { endpoint: self.name() });
        }
        Ok(self.relations().await?.into_iter().next())
    }
}

/// Where the charm itself can send its traces to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharmTracing {
    /// The receiver for OTLP over HTTP, without path.
    pub endpoint: ReceiverUrl,
    /// The certificate to trust; set exactly if the receiver speaks TLS.
    pub certificate: Option<PathBuf>,
}

/// Whether and where the charm can send its own traces over this relation.
///
/// `None` while there is no receiver for OTLP over HTTP, and when that speaks TLS but there is no file at
/// `certificate` to trust it by.
///
/// # Errors
/// As [`TracingRequirer::endpoint`], once the provider is ready.
pub async fn charm_tracing_config(
    requirer: &TracingRequirer,
    certificate: Option<&Path>,
) -> Result<Option<CharmTracing>, TracingError> {
    if !requirer.is_ready().await? {
        return Ok(None);
    }
    let Some(endpoint) = requirer.endpoint(Protocol::OtlpHttp).await? else { return Ok(None) };
    if !endpoint.is_https() {
        return Ok(Some(CharmTracing { endpoint, certificate: None }));
    }
    let Some(path) = certificate.filter(|path| path.exists()) else {
        ::tracing::error!("{endpoint} needs a certificate to trust, and there is none: not sending traces");
        return Ok(None);
    };
    Ok(Some(CharmTracing { endpoint, certificate: Some(path.to_owned()) }))
}
