//! What a hook's event means for either side.

use juju_ops::{Event, RelationId, Remote};

use super::{ProviderAppData, Receiver, Requested};

/// What an event means for a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderEvent {
    /// A requirer wants something. Also sent again when nothing has changed.
    Request {
        /// The relation.
        relation: RelationId,
        /// What it wants.
        requested: Requested,
    },
    /// A requirer has left; it is in no list any more.
    Broken {
        /// The relation.
        relation: RelationId,
    },
}

/// What an event means for a requirer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequirerEvent {
    /// The provider has published receivers. Also sent again when nothing has changed.
    EndpointChanged {
        /// The relation.
        relation: RelationId,
        /// All receivers of the provider.
        receivers: Vec<Receiver>,
    },
    /// There is no receiver (any more).
    EndpointRemoved {
        /// The relation.
        relation: RelationId,
        /// Why, if the provider's data cannot be understood.
        reason: Option<String>,
    },
}

/// The meaning of `event` for the provider behind `endpoint`, given what the event's requirer has written.
pub fn provider_event(event: &Event, endpoint: &str, requested: &Remote<Requested>) -> Option<ProviderEvent> {
    match event {
        Event::RelationCreated(of) | Event::RelationJoined(of) | Event::RelationChanged(of)
            if of.id.endpoint() == endpoint =>
        {
            match requested {
                Remote::Ready(requested) if requested.is_ready() => {
                    Some(ProviderEvent::Request { relation: of.id.clone(), requested: requested.clone() })
                }
                _ => None,
            }
        }
        Event::RelationBroken(of) if of.id.endpoint() == endpoint => {
            Some(ProviderEvent::Broken { relation: of.id.clone() })
        }
        _ => None,
    }
}

/// The meaning of `event` for the requirer behind `endpoint`, given what the event's provider has written.
pub fn requirer_event(
    event: &Event,
    endpoint: &str,
    published: &Remote<ProviderAppData>,
) -> Option<RequirerEvent> {
    match event {
        Event::RelationChanged(of) if of.id.endpoint() == endpoint => Some(match published {
            Remote::Ready(data) => {
                RequirerEvent::EndpointChanged { relation: of.id.clone(), receivers: data.receivers.clone() }
            }
            other => RequirerEvent::EndpointRemoved {
                relation: of.id.clone(),
                reason: other.reason().map(str::to_owned),
            },
        }),
        Event::RelationBroken(of) if of.id.endpoint() == endpoint => {
            Some(RequirerEvent::EndpointRemoved { relation: of.id.clone(), reason: None })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use juju_ops::RelationEvent;

    use super::*;
    use crate::tracing::{Protocol, RequirerAppData};

    fn of(endpoint: &str) -> RelationEvent {
        let id = RelationId::new(endpoint, 3);
        RelationEvent { id, remote_app: Some("app".into()), remote_unit: None, departing_unit: None }
    }

    #[test]
    fn a_provider_hears_of_ready_requests_and_of_every_end() {
        let wants = Remote::Ready(RequirerAppData::new([Protocol::Zipkin]).requested());
        let id = RelationId::new("tracing", 3);
        let request = ProviderEvent::Request { relation: id.clone(), requested: wants.clone().ok().unwrap() };
        for event in [Event::RelationCreated, Event::RelationJoined, Event::RelationChanged] {
            assert_eq!(provider_event(&event(of("tracing")), "tracing", &wants), Some(request.clone()));
            assert_eq!(provider_event(&event(of("other")), "tracing", &wants), None);
            for not_ready in [
                Remote::Absent,
                Remote::Invalid("bad".into()),
                Remote::Ready(Requested { unknown: vec!["x".into()], ..Requested::default() }),
            ] {
                assert_eq!(provider_event(&event(of("tracing")), "tracing", &not_ready), None);
            }
        }
        assert_eq!(
            provider_event(&Event::RelationBroken(of("tracing")), "tracing", &Remote::Absent),
            Some(ProviderEvent::Broken { relation: id })
        );
        assert_eq!(provider_event(&Event::RelationDeparted(of("tracing")), "tracing", &wants), None);
        assert_eq!(provider_event(&Event::UpdateStatus, "tracing", &wants), None);
    }

    #[test]
    fn a_requirer_hears_of_changes_and_of_the_end() {
        let published = Remote::Ready(ProviderAppData::new([(Protocol::Zipkin, "http://t:9411")]));
        let id = RelationId::new("tracing", 3);
        let removed = |reason: Option<&str>| {
            Some(RequirerEvent::EndpointRemoved {
                relation: RelationId::new("tracing", 3),
                reason: reason.map(str::to_owned),
            })
        };
        let changed = Event::RelationChanged(of("tracing"));
        assert_eq!(
            requirer_event(&changed, "tracing", &published),
            Some(RequirerEvent::EndpointChanged {
                relation: id,
                receivers: vec![Receiver::new(Protocol::Zipkin, "http://t:9411")],
            })
        );
        assert_eq!(requirer_event(&changed, "tracing", &Remote::Absent), removed(None));
        assert_eq!(requirer_event(&changed, "tracing", &Remote::Invalid("bad".into())), removed(Some("bad")));
        assert_eq!(
            requirer_event(&Event::RelationBroken(of("tracing")), "tracing", &published),
            removed(None)
        );
        assert_eq!(requirer_event(&Event::RelationBroken(of("other")), "tracing", &published), None);
        for event in [Event::RelationCreated, Event::RelationJoined, Event::RelationDeparted] {
            assert_eq!(requirer_event(&event(of("tracing")), "tracing", &published), None);
        }
    }
}
