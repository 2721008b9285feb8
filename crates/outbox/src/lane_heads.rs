//! Activates lane heads, and lets them wait.

use super::event::{EventHandle, Publication};
use super::machine::Outbox;
use super::{FailureCode, LaneKey};

impl<P: Publication, W> Outbox<P, W> {
    /// Hands the head of a lane to the producer, or lets it wait.
    pub(super) fn activate(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        if event.publication.is_some() && self.connected && !self.heads.is_withheld(event.lane) {
            return self.publish_head(slot);
        }
        self.heads.insert(event, slot);
    }

    /// Removes a waiting head from the set that it waits in.
    pub(super) fn deactivate(&mut self, slot: u32) {
        if let Some(event) = self.events.get_mut(slot as usize) {
            self.heads.remove(event, slot);
        }
    }

    /// Withholds these lanes, because another replica publishes their events first. Lanes that were withheld before
    /// and are not among them continue. Events that are with the producer stay there.
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

    /// Retries heads that wait because their partition did not accept records.
    pub fn partitions_recovered(&mut self) {
        let is_recovered = |handle: &EventHandle| {
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
        let waiting: Vec<_> = self.heads.backing_off().filter(is_recovered).collect();
        for handle in waiting {
            self.deactivate(handle.slot);
            self.activate(handle.slot);
        }
        self.replay();
    }
}
