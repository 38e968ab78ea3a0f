//! The side that receives traces.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use juju_ops::{Hook, Relation, Remote, ToolError};

use super::{
    INTERFACE, Protocol, ProviderAppData, ProviderEvent, ReceiverUrl, Requested, TracingError, provider_event,
};
use crate::{EndpointError, EndpointMeta, EndpointRole, Wire};

/// The provider of one endpoint in one hook.
#[derive(Clone)]
pub struct TracingProvider {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl TracingProvider {
    /// The provider behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Provides)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// The relations of the endpoint; a breaking one is not among them.
    pub async fn relations(&self) -> Result<Vec<Relation>, TracingError> {
        Ok(self.hook.relations(&self.endpoint.name).await?)
    }

    /// Each relation with what its requirer wants.
    pub async fn requests(&self) -> Result<Vec<(Relation, Remote<Requested>)>, TracingError> {
        let read = |relation: Relation| async move {
            let requested = requested(&relation).await?;
            Ok::<_, TracingError>((relation, requested))
        };
        try_join_all(self.relations().await?.into_iter().map(read)).await
    }

    /// Whether the requirer has said what it wants, if only "nothing". Bad data are a no.
    pub async fn is_requirer_ready(&self, relation: &Relation) -> Result<bool, TracingError> {
        Ok(requested(relation).await?.ok().is_some_and(|requested| requested.is_ready()))
    }

    /// What one requirer wants.
    ///
    /// # Errors
    /// [`TracingError::NotReady`] if it has written nothing, [`TracingError::DataValidation`] if that cannot be
    /// understood.
    pub async fn requested_by(&self, relation: &Relation) -> Result<Requested, TracingError> {
        match requested(relation).await? {
            Remote::Ready(requested) => Ok(requested),
            Remote::Invalid(reason) => {
                Err(TracingError::DataValidation { relation: relation.id().clone(), reason })
            }
            Remote::Absent | Remote::Denied => {
                Err(TracingError::NotReady { relation: relation.id().clone() })
            }
        }
    }

    /// The union of what all requirers want. Those that are not ready are left out; what cannot be understood is
    /// logged.
    pub async fn requested_protocols(&self) -> Result<BTreeSet<Protocol>, TracingError> {
        let mut union = BTreeSet::new();
        for (relation, requested) in self.requests().await? {
            match requested {
                Remote::Ready(requested) => {
                    if let Some(problem) = requested.problem() {
                        ::tracing::warn!("{}: {problem}", relation.id());
                    }
                    union.extend(requested.known);
                }
                Remote::Invalid(reason) => ::tracing::warn!("{}: {reason}", relation.id()),
                Remote::Absent | Remote::Denied => {
                    ::tracing::debug!("{}: nothing requested yet", relation.id());
                }
            }
        }
        Ok(union)
    }

    /// Plans to publish exactly these receivers on every relation, also on those whose requirer is not ready. A
    /// relation that is ending, and so does not take data any more, is left out.
    ///
    /// # Errors
    /// [`TracingError::DataAccessPermission`] if this unit is not the leader; then nothing is written anywhere.
    pub async fn publish_receivers<U: Into<ReceiverUrl>>(
        &self,
        receivers: impl IntoIterator<Item = (Protocol, U)>,
    ) -> Result<(), TracingError> {
        if !self.hook.is_leader().await? {
            return Err(TracingError::DataAccessPermission { endpoint: self.endpoint.name.to_string() });
        }
        let data = ProviderAppData::new(receivers);
        for relation in self.relations().await? {
            if relation.local_app_data().await?.is_some() {
                relation.set_app(data.changes());
            } else {
                ::tracing::warn!("{}: takes no data any more", relation.id());
            }
        }
        Ok(())
    }

    /// What the hook's event means for this endpoint; `None` if nothing.
    pub async fn event(&self) -> Result<Option<ProviderEvent>, TracingError> {
        let relation = crate::wire::relation_of_event(&self.hook, &self.endpoint).await?;
        let requested = match &relation {
            Some(relation) => requested(relation).await?,
            None => Remote::Absent,
        };
        Ok(provider_event(self.hook.event(), &self.endpoint.name, &requested))
    }
}

async fn requested(relation: &Relation) -> Result<Remote<Requested>, ToolError> {
    Ok(Requested::read(relation.remote_app_data().await?.as_ref()))
}
