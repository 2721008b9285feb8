//! Lane heads that wait: for the broker, for the journal, for another replica, or for their partition.

use super::event::{EventHandle, Publication, Stage};
use super::machine::Outbox;
use super::{FailureCode, LaneKey, Millis};

impl<P: Publication, W> Outbox<P, W> {
    /// Finds a head of a lane its place: with the producer, or among those that wait.
    pub(super) fn activate(&mut self, slot: u32) {
        let connected = self.connected;
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        let held = self.held_lanes.contains(&event.lane);
        if event.publication.is_some() && connected && !held {
            return self.produce(slot);
        }
        event.stage = Stage::Ready;
        if held {
            self.held_heads.insert(event.handle(slot));
        } else if event.publication.is_some() {
            self.ready.insert(event.handle(slot));
        } else {
            self.parked.insert(event.replay_order(slot));
        }
    }

    /// Takes a head that waits out of where it waits.
    pub(super) fn deactivate(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize).filter(|event| event.stage == Stage::Ready) else {
            return;
        };
        event.stage = Stage::Queued;
        let (handle, turn) = (event.handle(slot), event.replay_order(slot));
        let _ = self.ready.remove(&handle) || self.parked.remove(&turn) || self.held_heads.remove(&handle);
    }

    /// Withholds these lanes, because another replica publishes their events first; those that were withheld before and
    /// are not among them go on. What the producer already has of them stays with it.
    pub fn hold_lanes(&mut self, lanes: impl IntoIterator<Item = LaneKey>) {
        self.held_lanes = lanes.into_iter().collect();
        let waiting = self.parked.iter().map(|(_, handle)| handle).chain(&self.ready).chain(&self.held_heads);
        let waiting: Vec<_> = waiting.copied().collect();
        for handle in waiting {
            self.deactivate(handle.slot);
            self.activate(handle.slot);
        }
        let held = self.events.iter().filter(|(_, event)| self.held_lanes.contains(&event.lane));
        let held: Vec<_> = held.filter_map(|(slot, _)| u32::try_from(slot).ok()).collect();
        for slot in held {
            self.answer_if_durable(slot);
            self.write(slot);
        }
        self.replay();
    }

    /// Lets go on what waits because its partition could not be written to.
    pub fn partitions_recovered(&mut self) {
        let over = |(_, handle): &&(Millis, EventHandle)| {
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
        let waiting: Vec<_> = self.backing_off.iter().filter(over).copied().collect();
        for (until, handle) in waiting {
            self.backing_off.remove(&(until, handle));
            self.activate(handle.slot);
        }
        self.replay();
    }
}
