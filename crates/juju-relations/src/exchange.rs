//! Interfaces in which each application tells the other one thing, in its application databag.

use std::marker::PhantomData;

use juju_ops::{Databag, Event, Hook, Relation, RelationId, Remote, ToolError};
use serde::{Deserialize, Serialize};

use crate::{EndpointError, EndpointMeta, EndpointRole, Wire};

/// One side of such an interface.
pub trait Party {
    /// Name of the interface in a charm's metadata.
    const INTERFACE: &'static str;
    /// Which side of it this is.
    const ROLE: EndpointRole;
    /// What this side writes.
    type Own: Wire;
    /// What the other side writes.
    type Other: Wire;
}

/// The databag of a side that writes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

impl Wire for Nothing {
    const KEYS: &'static [&'static str] = &[];
}

/// What an event means for one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// The other application has published something usable. Also sent again when nothing has changed.
    Published {
        /// The relation.
        relation: RelationId,
        /// What was published.
        data: Box<T>,
    },
    /// There is nothing usable (any more).
    Withdrawn {
        /// The relation.
        relation: RelationId,
        /// Why, if something was published that cannot be understood.
        reason: Option<String>,
    },
}

impl<T: Clone> Change<T> {
    /// The meaning of `event` for the side behind `endpoint`, given what the other application has written.
    pub fn of(event: &Event, endpoint: &str, published: &Remote<T>) -> Option<Self> {
        match event {
            Event::RelationChanged(of) if of.id.endpoint() == endpoint => Some(match published {
                Remote::Ready(data) => {
                    Change::Published { relation: of.id.clone(), data: Box::new(data.clone()) }
                }
                other => {
                    Change::Withdrawn { relation: of.id.clone(), reason: other.reason().map(str::to_owned) }
                }
            }),
            Event::RelationBroken(of) if of.id.endpoint() == endpoint => {
                Some(Change::Withdrawn { relation: of.id.clone(), reason: None })
            }
            _ => None,
        }
    }
}

/// One side of such an interface, in one hook.
pub struct Exchange<P> {
    hook: Hook,
    endpoint: EndpointMeta,
    party: PhantomData<fn() -> P>,
}

impl<P> Clone for Exchange<P> {
    fn clone(&self) -> Self {
        Self { hook: self.hook.clone(), endpoint: self.endpoint.clone(), party: PhantomData }
    }
}

impl<P: Party> Exchange<P> {
    /// The side behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(P::INTERFACE, P::ROLE)?;
        Ok(Self { hook: hook.clone(), endpoint, party: PhantomData })
    }

    /// Each relation with what the other application has written.
    pub async fn published(&self) -> Result<Vec<(Relation, Remote<P::Other>)>, ToolError> {
        crate::wire::remote_apps(&self.hook, &self.endpoint).await
    }

    /// Plans to tell every relation the same, on the leader; other units do nothing.
    pub async fn publish(&self, data: &P::Own) -> Result<(), ToolError> {
        crate::wire::tell_as_leader(&self.hook, &self.endpoint, data).await
    }

    /// Plans to tell one relation, on the leader; other units do nothing.
    pub async fn publish_to(&self, relation: &Relation, data: &P::Own) -> Result<(), ToolError> {
        if self.hook.is_leader().await? {
            relation.set_app(data.changes());
        }
        Ok(())
    }

    /// Plans to take back everything that one relation was told, on the leader; other units do nothing.
    pub async fn withdraw_from(&self, relation: &Relation) -> Result<(), ToolError> {
        if self.hook.is_leader().await? {
            relation.set_app(P::Own::KEYS.iter().map(|key| ((*key).to_owned(), None)));
        }
        Ok(())
    }

    /// What the hook's event means for this endpoint; `None` if nothing.
    pub async fn event(&self) -> Result<Option<Change<P::Other>>, ToolError>
    where
        P::Other: Clone,
    {
        let bag: Option<Databag> = match crate::wire::relation_of_event(&self.hook, &self.endpoint).await? {
            Some(relation) => relation.remote_app_data().await?,
            None => None,
        };
        Ok(Change::of(self.hook.event(), &self.endpoint.name, &P::Other::read(bag.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use juju_ops::RelationEvent;

    use super::*;

    #[test]
    fn events() {
        let id = RelationId::new("ingress", 7);
        let of = RelationEvent { id: id.clone(), remote_app: None, remote_unit: None, departing_unit: None };
        let changed = Event::RelationChanged(of.clone());
        assert_eq!(
            Change::of(&changed, "ingress", &Remote::Ready(7)),
            Some(Change::Published { relation: id.clone(), data: Box::new(7) })
        );
        assert_eq!(Change::of(&changed, "other", &Remote::Ready(7)), None);
        assert_eq!(
            Change::<u8>::of(&changed, "ingress", &Remote::Invalid("why".into())),
            Some(Change::Withdrawn { relation: id.clone(), reason: Some("why".into()) })
        );
        assert_eq!(
            Change::of(&Event::RelationBroken(of), "ingress", &Remote::Ready(7)),
            Some(Change::Withdrawn { relation: id, reason: None })
        );
        assert_eq!(Change::of(&Event::Start, "ingress", &Remote::Ready(7)), None);
    }

    #[test]
    fn nothing_has_no_keys() {
        assert_eq!(Nothing {}.changes(), []);
        assert_eq!(Nothing::read(Some(&Databag::from([("x", "y")]))), Remote::Ready(Nothing {}));
    }
}
