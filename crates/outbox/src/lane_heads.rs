//! When lane heads begin to wait, and when they go on.

use super::event::{EventHandle, Publication};
use super::machine::Outbox;
use super::{FailureCode, LaneKey};

impl<P: Publication, W> Outbox<P, W> {
    /// Hands the head of a lane to the producer, or lets it wait.
    pub(super) fn activate(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        if event.publication.is_some() && self.connected && !self.heads.is_withheld(event.lane) {
            return self.produce(slot);
        }
        self.heads.insert(event, slot);
    }

    /// Takes a head that waits out of where it waits.
    pub(super) fn deactivate(&mut self, slot: u32) {
        if let Some(event) = self.events.get_mut(slot as usize) {
            self.heads.remove(event, slot);
        }
    }

    /// Withholds these lanes, because another replica publishes their events first; those that were withheld before and
    /// are not among them go on. What the producer already has of them stays with it.
    pub fn hold_lanes(&mut self, lanes: impl IntoIterator<Item = LaneKey>) {
        self.heads.withhold_lanes(lanes);
        let waiting: Vec<_> = self.heads.without_back_off().collect();
        for handle in waiting {
            self.deactivate(handle.slot);
            self.activate(handle.slot);
        }
        let withheld = self.events.iter().filter(|(_, event)| self.heads.is_withheld(event.lane));
        let withheld: Vec<_> = withheld.filter_map(|(slot, _)| u32::try_from(slot).ok()).collect();
        for slot in withheld {
            self.answer_if_durable(slot);
            self.write(slot);
        }
        self.replay();
    }

    /// Lets go on what waits because its partition could not be written to.
    pub fn partitions_recovered(&mut self) {
        let over = |handle: &EventHandle| {
            let failure = self.at(*handle).and_then(|event| event.failure);
            matches!(
                failure,
                Some(
                    FailureCode::PartitionUnavailable
                        | FailureCode::TimedOut
                        | FailureCode::NotEnoughReplicas
                        | FailureCode::NotAuthorized
                        | FailureCode::UnknownTopic
                )
            )
        };
        let waiting: Vec<_> = self.heads.backing_off().filter(over).collect();
        for handle in waiting {
            self.deactivate(handle.slot);
            self.activate(handle.slot);
        }
        self.replay();
    }
}
