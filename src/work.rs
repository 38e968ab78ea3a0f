//! Which event leads to which work: the one table.

use juju_ops::Event;

use crate::names::ActionName;

/// What one run of the charm has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Bring everything to where it should be, whatever happened.
    Reconcile,
    /// Answer somebody who ran an action. Changes nothing else.
    Action(ActionName),
    /// Take away what Juju would leave behind, if the application goes with this unit.
    Leave,
    /// Nothing: the event does not concern the charm, or the agent allows no work in it.
    Nothing,
}

impl Work {
    /// The work for an event.
    pub fn of(event: &Event) -> Self {
        match event {
            // The agent refuses peer data in this hook, nothing is related yet, and `config-changed` follows.
            Event::Install
            // The pod goes down. What the unit has published Juju itself withdraws; what runs in the containers
            // serves until they stop.
            | Event::Stop
            // Most hook tools are refused in these.
            | Event::CollectMetrics
            | Event::MeterStatusChanged
            // Ignoring what is not known keeps rollbacks to this revision possible.
            | Event::Unknown(_) => Self::Nothing,

            Event::Remove => Self::Leave,

            Event::Action(action) => ActionName::from_name(&action.name).map_or(Self::Nothing, Self::Action),

            Event::Start
            | Event::ConfigChanged
            | Event::UpdateStatus
            | Event::UpgradeCharm
            | Event::LeaderElected
            | Event::LeaderSettingsChanged
            | Event::PreSeriesUpgrade
            | Event::PostSeriesUpgrade
            | Event::RelationCreated(_)
            | Event::RelationJoined(_)
            | Event::RelationChanged(_)
            | Event::RelationDeparted(_)
            | Event::RelationBroken(_)
            | Event::StorageAttached(_)
            | Event::StorageDetaching(_)
            | Event::PebbleReady(_)
            | Event::PebbleCustomNotice(_)
            | Event::PebbleCheckFailed(_)
            | Event::PebbleCheckRecovered(_)
            | Event::SecretChanged(_)
            | Event::SecretRotate(_)
            | Event::SecretExpired(_)
            | Event::SecretRemove(_) => Self::Reconcile,
        }
    }
}

#[cfg(test)]
mod tests {
    use juju_ops::ActionEvent;

    use super::*;

    #[test]
    fn every_declared_action_is_known() {
        for action in ActionName::ALL {
            let event = Event::Action(ActionEvent { name: action.as_str().to_owned(), id: "1".to_owned() });
            assert_eq!(Work::of(&event), Work::Action(*action));
        }
    }

    #[test]
    fn an_event_of_a_newer_juju_is_no_work() {
        assert_eq!(Work::of(&Event::Unknown("moon-phase-changed".to_owned())), Work::Nothing);
    }
}
