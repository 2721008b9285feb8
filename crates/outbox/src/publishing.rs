//! Moves events to the producer, handles failures, and resolves events.

use super::event::{Durability, EventHandle, Publication, ReplaySlot, Stage};
use super::machine::{Command, Outbox};
use super::verdict::Verdict;
use super::{DeliveryReport, FailureCode, Millis};

/// Back-off of a lane after its first failure, in milliseconds. Doubles with each further failure.
const FIRST_BACK_OFF: Millis = 250;

/// How many times that back-off doubles: up to 16 seconds.
const BACK_OFF_DOUBLINGS: u8 = 6;

/// Back-off while the producer's queue is full, in milliseconds. Doubles each time, so that thousands of waiting
/// events do not keep a processor busy.
const QUEUE_FULL_BACK_OFF: Millis = 50;

/// How many times that back-off doubles: up to 1.6 seconds.
const QUEUE_FULL_DOUBLINGS: u8 = 5;

/// Maximum back-off of an event whose partition does not accept records, in milliseconds. The recovery of the
/// partition normally ends it earlier, so it is long enough to avoid useless reads of the journal.
const CLOSED_BACK_OFF: Millis = 600_000;

impl<P: Publication, W> Outbox<P, W> {
    /// Handles the delivery report on the record of an event with that index.
    pub fn report(&mut self, handle: EventHandle, record: u8, report: DeliveryReport, now: Millis) {
        self.clock = self.clock.max(now);
        let Some(event) = self.events.get_mut(handle.slot as usize).filter(|event| event.seq == handle.seq) else {
            return;
        };
        let Stage::InFlight { records, missing, worst, verdict } = &mut event.stage else { return };
        *worst = decisive_report(*worst, report);
        *missing = missing.saturating_sub(1);
        match report {
            DeliveryReport::Confirmed if *verdict == Verdict::Confirmed => event.confirmed |= record_bit(record),
            DeliveryReport::Failed(FailureCode::ClusterReplaced) => {
                (event.confirmed, event.published_verdict) = (0, None)
            }
            DeliveryReport::Confirmed
            | DeliveryReport::Rejected(_)
            | DeliveryReport::Failed(_)
            | DeliveryReport::QueueFull
            | DeliveryReport::NotSent(_) => {}
        }
        if *missing > 0 {
            return;
        }
        let (records, worst, verdict) = (*records, *worst, *verdict);
        let all_published = missing_records(event.confirmed, records, verdict) == 0;
        let published_verdict = event.published_verdict.or(all_published.then_some(verdict));
        let is_resolved = verdict != Verdict::Confirmed || published_verdict.is_some();
        if worst == DeliveryReport::Confirmed && is_resolved && event.replay != ReplaySlot::None {
            self.replayed_total += 1;
        }
        match (worst, published_verdict) {
            // Another cluster has taken over in the meantime, and only the old one has a record that was confirmed
            // before.
            (DeliveryReport::Confirmed, None) if verdict == Verdict::Confirmed => {
                self.fail(handle.slot, FailureCode::ClusterReplaced, now);
            }
            (DeliveryReport::Confirmed, _) => self.resolve(handle.slot, verdict, now),
            // Another replica has published it in the meantime.
            (
                DeliveryReport::Rejected(_)
                | DeliveryReport::Failed(_)
                | DeliveryReport::QueueFull
                | DeliveryReport::NotSent(_),
                Some(published_verdict),
            ) => {
                self.resolve(handle.slot, published_verdict, now);
            }
            (DeliveryReport::Rejected(code), None) => self.fall_back(handle.slot, code, now),
            (DeliveryReport::Failed(code), None) => self.fail(handle.slot, code, now),
            (DeliveryReport::QueueFull, None) => self.fail(handle.slot, FailureCode::QueueFull, now),
            (DeliveryReport::NotSent(code), None) if matches!(report, DeliveryReport::NotSent(_)) => {
                self.fail_closed(handle.slot, code, now)
            }
            // The partition can have recovered while the other record was in flight, so the event must not wait for
            // the recovery.
            (DeliveryReport::NotSent(code), None) => self.fail(handle.slot, code, now),
        }
        self.replay();
    }

    /// Notes whether Kafka is available. This only decides which reason operators see while nothing may be published.
    pub const fn set_kafka_available(&mut self, is_available: bool) {
        self.kafka_available = is_available;
    }

    /// Notes whether events may be published: Kafka is available, and the other replicas have been asked.
    pub fn set_may_publish(&mut self, may_publish: bool) {
        let changed = std::mem::replace(&mut self.may_publish, may_publish) != may_publish;
        if may_publish {
            for handle in self.heads.take_ready() {
                self.publish_head(handle.slot);
            }
            if changed || self.heads.has_closed() {
                // Partitions that were closed until now may be open again, and nothing else would try them: if one
                // opens before the first exchange of a start has ended, no other exchange follows.
                self.release_closed_lanes();
            }
            self.replay();
        } else if changed {
            // Requests do not wait for the end of an outage, and publications that are with the producer leave the
            // memory.
            self.answer_durable();
            self.write_all();
        }
    }

    /// Hands the head of a lane to the producer, unless all of its records are already in the topics.
    pub(super) fn publish_head(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        let Some(publication) = &event.publication else { return };
        let (records, verdict) = (publication.records().max(1), publication.verdict());
        let missing = missing_records(event.confirmed, records, verdict);
        if missing == 0 {
            return self.resolve(slot, verdict, self.clock);
        }
        let confirmed = if missing < records { event.confirmed } else { 0 };
        event.stage = Stage::InFlight { records, missing, worst: DeliveryReport::Confirmed, verdict };
        self.commands.push(Command::Produce(event.handle(slot), std::sync::Arc::clone(publication), confirmed));
        self.evict_payload(slot);
    }

    /// Replaces a rejected publication with its fallback. Reads it back first if only the journal has it.
    fn fall_back(&mut self, slot: u32, code: FailureCode, now: Millis) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        let smaller = event.publication.as_ref().map(|publication| publication.fallback());
        if !matches!(smaller, Some(None)) && matches!(event.durability, Durability::Pending | Durability::Synced) {
            event.fallback_level = event.fallback_level.saturating_add(1);
        }
        match smaller {
            Some(Some(smaller)) => {
                self.replace(slot, smaller);
                self.activate(slot);
            }
            Some(None) => self.fail(slot, code, now),
            None => {
                self.stop_replaying(slot);
                self.activate(slot);
            }
        }
    }

    pub(super) fn fail(&mut self, slot: u32, code: FailureCode, now: Millis) {
        self.stop_replaying(slot);
        self.note_failure(slot, code, now);
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        let wait = if code == FailureCode::QueueFull {
            event.queue_full_retries = event.queue_full_retries.saturating_add(1);
            QUEUE_FULL_BACK_OFF << (event.queue_full_retries - 1).min(QUEUE_FULL_DOUBLINGS)
        } else {
            event.queue_full_retries = 0;
            event.attempts = event.attempts.saturating_add(1);
            FIRST_BACK_OFF << (event.attempts - 1).min(BACK_OFF_DOUBLINGS)
        };
        self.back_off(slot, now + wait);
        if code != FailureCode::QueueFull {
            self.write(slot);
        }
        self.evict_payload(slot);
    }

    /// Makes an event wait until its partition accepts records again. The event is written to the journal.
    pub(super) fn fail_closed(&mut self, slot: u32, code: FailureCode, now: Millis) {
        self.stop_replaying(slot);
        self.note_failure(slot, code, now);
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        event.queue_full_retries = 0;
        let lane = event.lane;
        if self.coordinates_recoveries {
            // It has not been with the producer, so older events of its lane can pass it.
            self.close_lane(lane, code);
        } else {
            event.attempts = event.attempts.max(1);
        }
        self.back_off(slot, now + CLOSED_BACK_OFF);
        self.write(slot);
        self.evict_payload(slot);
    }

    /// Returns true if a head waits for its partition, or for longer than the longest back-off after a failed attempt.
    pub(super) fn waits_long(&self, event: &super::event::Event<P>) -> bool {
        matches!(event.stage, Stage::BackingOff(until) if until > self.clock + (FIRST_BACK_OFF << BACK_OFF_DOUBLINGS))
    }

    pub(super) fn note_failure(&mut self, slot: u32, code: FailureCode, now: Millis) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        if event.failure.replace(code).is_none() {
            event.failing_since = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        }
    }

    pub(super) fn back_off(&mut self, slot: u32, until: Millis) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        self.heads.back_off(event, slot, until);
    }

    /// Retries the events whose back-off is over.
    pub(super) fn retry(&mut self, now: Millis) {
        while let Some(handle) = self.heads.pop_due(now) {
            self.attempt(handle.slot);
        }
        self.replay();
    }

    /// Resolves an event with a verdict: removes it, and activates the next event of its lane.
    pub(super) fn resolve(&mut self, slot: u32, verdict: Verdict, now: Millis) {
        self.stop_replaying(slot);
        self.drop_publication(slot);
        self.deactivate(slot);
        let Some(event) = self.events.try_remove(slot as usize) else { return };
        if verdict.is_final() {
            self.dedup_cache.insert(event.key, verdict, now);
        }
        if let Ok(entry) = self.index.find_entry(event.key.hash(), |there| *there == slot) {
            entry.remove();
        }
        match event.durability {
            // A write that was reported as failed can still be on disk.
            Durability::Synced | Durability::Rejected => self.commands.push(Command::Delete(event.seq)),
            // It is deleted once it is written. While the disk is slow, entries of confirmed events must not fill the
            // memory.
            Durability::Pending => {
                self.writing.insert(event.seq, None);
                self.commands.push(Command::Cancel(event.seq));
            }
            Durability::None => {}
        }
        if let Some(next) = self.lanes.remove(&mut self.events, event.lane, (event.previous, event.next)) {
            self.activate(next);
        }
        self.resolve_waiters(event.waiters, verdict);
    }

    /// Sets the publication of an event.
    pub(super) fn replace(&mut self, slot: u32, publication: P) {
        self.drop_publication(slot);
        if let Some(event) = self.events.get_mut(slot as usize) {
            event.publication_bytes = publication.bytes();
            self.memory.add(event.publication_bytes);
            event.publication = Some(std::sync::Arc::new(publication));
        }
    }

    pub(super) fn drop_publication(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        if event.publication.take().is_some() {
            self.memory.remove(event.publication_bytes);
        }
    }
}

/// Returns the report that decides, of two reports on records of one event. A failure outweighs a rejection, because
/// an event that can succeed later must not be given up. A failure that can be retried soon outweighs one that waits
/// for a partition.
const fn decisive_report(one: DeliveryReport, other: DeliveryReport) -> DeliveryReport {
    const fn rank(report: DeliveryReport) -> u8 {
        match report {
            DeliveryReport::Confirmed => 0,
            DeliveryReport::Rejected(_) => 1,
            DeliveryReport::NotSent(_) => 2,
            DeliveryReport::Failed(_) => 3,
            DeliveryReport::QueueFull => 4,
        }
    }
    if rank(one) < rank(other) { other } else { one }
}

/// Returns how many records of a publication with this verdict are not in the topics yet. Only an event's own records
/// are tracked individually; a dead letter is always missing.
fn missing_records(published: u8, records: u8, verdict: Verdict) -> u8 {
    if verdict != Verdict::Confirmed {
        return records;
    }
    let missing = (0..records).filter(|record| published & record_bit(*record) == 0).count();
    u8::try_from(missing).unwrap_or(u8::MAX)
}

/// Returns the bit of a record in a mask of records.
#[must_use]
pub const fn record_bit(record: u8) -> u8 {
    if record < 8 { 1 << record } else { 0 }
}
