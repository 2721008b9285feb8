//! The way of events through their lanes: to the producer, back on a failure, out when they are resolved.

use super::event::{Disk, Loaded, Parcel, Replay, Stage, Token};
use super::machine::{Command, Outbox};
use super::verdict::Verdict;
use super::{FailureCode, LaneKey, Millis, Report};

/// How long a lane waits after its first failure, in milliseconds; twice as long after each further one.
const FIRST_BACK_OFF: Millis = 250;

/// How often the back-off doubles: to 16 seconds.
const DOUBLINGS: u8 = 6;

/// How long an event waits for room in the producer, in milliseconds; twice as long each time, so that thousands that
/// wait do not keep a processor busy.
const ROOM: Millis = 50;

/// How often that doubles: to 1.6 seconds.
const ROOM_DOUBLINGS: u8 = 5;

/// How long an entry that cannot be read waits for the next attempt, in milliseconds.
const UNREADABLE: Millis = 60_000;

/// How long a replayed event may take before others no longer wait for it, in milliseconds.
const SLOW: Millis = 2_000;

/// How many such there may be, counted in what may be replayed at a time. The producer holds their records.
const SLOW_AT_A_TIME: usize = 8;

impl<P: Parcel, W> Outbox<P, W> {
    /// Takes the broker's report on the record of an event with that index.
    pub fn report(&mut self, token: Token, record: u8, report: Report, now: Millis) {
        self.clock = self.clock.max(now);
        let Some(event) = self.events.get_mut(token.slot as usize).filter(|event| event.seq == token.seq) else {
            return;
        };
        let Stage::InFlight { missing, worst, verdict } = &mut event.stage else { return };
        *worst = worse(*worst, report);
        *missing = missing.saturating_sub(1);
        match report {
            Report::Confirmed => event.confirmed |= bit(record),
            Report::Failed(FailureCode::ClusterReplaced) => (event.confirmed, event.learned) = (0, None),
            Report::Refused(_) | Report::Failed(_) | Report::NoRoom => {}
        }
        if *missing > 0 {
            return;
        }
        let (worst, verdict, learned) = (*worst, *verdict, event.learned);
        if worst == Report::Confirmed && event.replay != Replay::Not {
            self.replayed_total += 1;
        }
        match (worst, learned) {
            (Report::Confirmed, _) => self.resolve(token.slot, verdict, now),
            // Another replica has published it meanwhile.
            (Report::Refused(_) | Report::Failed(_) | Report::NoRoom, Some(learned)) => {
                self.resolve(token.slot, learned, now);
            }
            (Report::Refused(code), None) => self.shrink(token.slot, code, now),
            (Report::Failed(code), None) => self.fail(token.slot, code, now),
            (Report::NoRoom, None) => self.fail(token.slot, FailureCode::QueueFull, now),
        }
        self.replay();
    }

    /// Takes the news that the broker is there, or away.
    pub fn connected(&mut self, connected: bool) {
        let news = std::mem::replace(&mut self.connected, connected) != connected;
        if connected {
            for token in std::mem::take(&mut self.ready) {
                self.produce(token.slot);
            }
            self.replay();
        } else if news {
            // Nobody waits for the end of an outage, and what the producer has takes no room meanwhile.
            self.tell_kept();
            self.write_all();
        }
    }

    /// Lets replays begin: what stands in the topics is known, or cannot be known.
    pub fn release(&mut self) {
        self.released = true;
        self.replay();
    }

    /// Withholds these lanes, because another replica publishes their events first; those that were withheld before and
    /// are not among them go on. What the producer already has of them stays with it.
    pub fn hold_lanes(&mut self, lanes: impl IntoIterator<Item = LaneKey>) {
        self.held_lanes = lanes.into_iter().collect();
        let waiting = self.parked.iter().map(|(_, token)| token).chain(&self.ready).chain(&self.held_heads);
        let waiting: Vec<_> = waiting.copied().collect();
        for token in waiting {
            self.deactivate(token.slot);
            self.activate(token.slot);
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
        let over = |(_, token): &&(Millis, Token)| {
            let failure = self.at(*token).and_then(|event| event.failure);
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
        for (until, token) in waiting {
            self.backing_off.remove(&(until, token));
            self.activate(token.slot);
        }
        self.replay();
    }

    /// Another cluster answers at the same address: what the old one has confirmed is not there. Nothing is replayed
    /// before [`Outbox::release`], because the topics have to be read first.
    pub fn cluster_replaced(&mut self) {
        self.memory.clear();
        self.released = false;
        for (_, event) in &mut self.events {
            (event.confirmed, event.learned) = (0, None);
        }
    }

    /// Finds a head of a lane its place: with the producer, or among those that wait.
    pub(super) fn activate(&mut self, slot: u32) {
        let connected = self.connected;
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        let held = self.held_lanes.contains(&event.lane);
        if event.parcel.is_some() && connected && !held {
            return self.produce(slot);
        }
        event.stage = Stage::Ready;
        if held {
            self.held_heads.insert(event.token(slot));
        } else if event.parcel.is_some() {
            self.ready.insert(event.token(slot));
        } else {
            self.parked.insert(event.turn(slot));
        }
    }

    /// Takes a head that waits out of where it waits.
    pub(super) fn deactivate(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize).filter(|event| event.stage == Stage::Ready) else {
            return;
        };
        event.stage = Stage::Queued;
        let (token, turn) = (event.token(slot), event.turn(slot));
        let _ = self.ready.remove(&token) || self.parked.remove(&turn) || self.held_heads.remove(&token);
    }

    fn produce(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        let Some(parcel) = &event.parcel else { return };
        let (records, verdict) = (parcel.records().max(1), parcel.verdict());
        // A single record is never skipped: what the bits tell is about the first form, and this can be another.
        let confirmed = if records > 1 { event.confirmed } else { 0 };
        let missing = (0..records).filter(|record| confirmed & bit(*record) == 0).count();
        let missing = u8::try_from(missing).unwrap_or(u8::MAX);
        if missing == 0 {
            return self.resolve(slot, verdict, self.clock);
        }
        event.stage = Stage::InFlight { missing, worst: Report::Confirmed, verdict };
        self.commands.push(Command::Produce(event.token(slot), std::sync::Arc::clone(parcel), confirmed));
        self.put_down(slot);
    }

    /// Puts what is smaller in the place of what the broker refuses; reads it back where only the journal has it.
    fn shrink(&mut self, slot: u32, code: FailureCode, now: Millis) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        (event.confirmed, event.fell_back) = (0, true);
        let smaller = event.parcel.as_ref().map(|parcel| parcel.smaller());
        if !matches!(smaller, Some(None)) && matches!(event.disk, Disk::Writing | Disk::Durable) {
            event.refused = event.refused.saturating_add(1);
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

    /// Reads parked heads back, oldest first, as many as there is room for.
    pub(super) fn replay(&mut self) {
        // Many at a time: a journal reads a hundred entries as fast as a few.
        if self.replaying > self.limits.replay - self.limits.replay / 4 {
            return;
        }
        while self.connected && self.released && self.replaying < self.limits.replay {
            let Some((turn, token)) = self.parked.first().copied() else { return };
            let bytes = self.events.get(token.slot as usize).map_or(0, |event| event.bytes as usize);
            if self.replaying > 0 && self.replaying_bytes + bytes > self.limits.replay_bytes {
                return;
            }
            self.parked.remove(&(turn, token));
            let Some(event) = self.events.get_mut(token.slot as usize) else { continue };
            event.stage = Stage::Loading;
            event.replay = Replay::Counted;
            self.replaying += 1;
            self.replaying_bytes += bytes;
            self.commands.push(Command::Load(token));
        }
    }

    /// Takes what was read back.
    pub fn loaded(&mut self, token: Token, loaded: Loaded<P>, now: Millis) {
        self.clock = self.clock.max(now);
        let connected = self.connected;
        let Some(event) = self.events.get_mut(token.slot as usize).filter(|event| event.seq == token.seq) else {
            return;
        };
        if event.stage != Stage::Loading {
            return;
        }
        let held = self.held_lanes.contains(&event.lane);
        match loaded {
            Loaded::Found(mut parcel) if connected && !held => {
                for refused in 0..event.refused {
                    let Some(smaller) = parcel.smaller() else {
                        // The smallest was refused as well.
                        event.refused = refused;
                        let code = event.failure.unwrap_or(FailureCode::Other);
                        self.fail(token.slot, code, now);
                        return self.replay();
                    };
                    parcel = smaller;
                }
                self.replace(token.slot, parcel);
                self.replayed.push_back((now, token));
                self.produce(token.slot);
            }
            Loaded::Found(_) => {
                self.stop_replaying(token.slot);
                self.activate(token.slot);
            }
            Loaded::Unavailable => self.fail(token.slot, FailureCode::JournalUnreadable, now),
            Loaded::Damaged => {
                self.note_failure(token.slot, FailureCode::JournalUnreadable, now);
                self.stop_replaying(token.slot);
                self.back_off(token.slot, now + UNREADABLE);
            }
        }
        self.replay();
    }

    fn fail(&mut self, slot: u32, code: FailureCode, now: Millis) {
        self.stop_replaying(slot);
        self.note_failure(slot, code, now);
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        let wait = if code == FailureCode::QueueFull {
            event.crowded = event.crowded.saturating_add(1);
            ROOM << (event.crowded - 1).min(ROOM_DOUBLINGS)
        } else {
            event.crowded = 0;
            event.attempts = event.attempts.saturating_add(1);
            FIRST_BACK_OFF << (event.attempts - 1).min(DOUBLINGS)
        };
        self.back_off(slot, now + wait);
        if code != FailureCode::QueueFull {
            self.write(slot);
        }
        self.put_down(slot);
    }

    fn note_failure(&mut self, slot: u32, code: FailureCode, now: Millis) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        if event.failure.replace(code).is_none() {
            event.failing_since = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        }
    }

    fn back_off(&mut self, slot: u32, until: Millis) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        event.stage = Stage::BackingOff(until);
        self.backing_off.insert((until, event.token(slot)));
    }

    /// Gives those another chance whose back-off is over.
    pub(super) fn retry(&mut self, now: Millis) {
        while let Some((_, token)) = self.backing_off.first().filter(|(at, _)| *at <= now).copied() {
            self.backing_off.pop_first();
            self.activate(token.slot);
        }
        self.replay();
    }

    /// Ends an event's way with a verdict.
    pub(super) fn resolve(&mut self, slot: u32, verdict: Verdict, now: Millis) {
        let Some(event) = self.events.get(slot as usize) else { return };
        if verdict.is_final() {
            self.memory.insert(event.key, verdict, now);
        }
        let waiters = self.remove(slot);
        for (delivery, position) in waiters {
            self.tell(delivery, position, verdict);
        }
    }

    /// Takes an event out; the next of its lane takes its place.
    pub(super) fn remove(&mut self, slot: u32) -> Vec<(super::DeliveryId, u32)> {
        self.stop_replaying(slot);
        self.drop_parcel(slot);
        self.deactivate(slot);
        let Some(event) = self.events.try_remove(slot as usize) else { return Vec::new() };
        let token = event.token(slot);
        match event.stage {
            Stage::BackingOff(until) => drop(self.backing_off.remove(&(until, token))),
            Stage::Queued | Stage::Ready | Stage::Loading | Stage::InFlight { .. } => {}
        }
        if let Ok(entry) = self.index.find_entry(event.key.hash(), |there| *there == slot) {
            entry.remove();
        }
        match event.disk {
            // A write that is said to have failed can be on the disk all the same.
            Disk::Durable | Disk::Refused => self.commands.push(Command::Forget(event.seq)),
            Disk::Writing => drop(self.writing.insert(event.seq, None)),
            Disk::Absent => {}
        }
        if let Some(next) = self.lanes.remove(&mut self.events, event.lane, (event.previous, event.next)) {
            self.activate(next);
        }
        event.waiters
    }

    /// Gives an event what is to be published for it.
    fn replace(&mut self, slot: u32, parcel: P) {
        self.drop_parcel(slot);
        if let Some(event) = self.events.get_mut(slot as usize) {
            self.held += 1;
            self.held_bytes += parcel.bytes();
            event.parcel = Some(std::sync::Arc::new(parcel));
        }
    }

    pub(super) fn drop_parcel(&mut self, slot: u32) {
        if let Some(parcel) = self.events.get_mut(slot as usize).and_then(|event| event.parcel.take()) {
            self.held -= 1;
            self.held_bytes -= parcel.bytes();
        }
    }

    fn stop_replaying(&mut self, slot: u32) {
        let Some(event) = self.events.get_mut(slot as usize) else { return };
        match std::mem::replace(&mut event.replay, Replay::Not) {
            Replay::Not => {}
            Replay::Counted => {
                self.replaying -= 1;
                self.replaying_bytes -= event.bytes as usize;
            }
            Replay::Slow => self.slow -= 1,
        }
    }

    /// No longer counts replays that the broker has not confirmed for long: thousands of records for one partition
    /// without a leader must not keep those of the others waiting.
    pub(super) fn pass_slow(&mut self, now: Millis) {
        while let Some((since, token)) = self.replayed.front().copied() {
            let event = self.events.get_mut(token.slot as usize).filter(|event| event.seq == token.seq);
            // One that was refused since, and is being read anew, is not the broker's fault.
            if let Some(event) = event.filter(|event| event.replay == Replay::Counted && event.in_flight()) {
                if since + SLOW > now || self.slow >= self.limits.replay * SLOW_AT_A_TIME {
                    return;
                }
                event.replay = Replay::Slow;
                self.replaying -= 1;
                self.replaying_bytes -= event.bytes as usize;
                self.slow += 1;
            }
            self.replayed.pop_front();
        }
    }
}

/// Of two reports on records of one event, the one that decides. A failure outweighs a refusal: what can succeed
/// later must not be given up.
const fn worse(one: Report, other: Report) -> Report {
    const fn rank(report: Report) -> u8 {
        match report {
            Report::Confirmed => 0,
            Report::Refused(_) => 1,
            Report::Failed(_) => 2,
            Report::NoRoom => 3,
        }
    }
    if rank(one) < rank(other) { other } else { one }
}

/// The bit of a record in a mask of records.
pub(super) const fn bit(record: u8) -> u8 {
    if record < 8 { 1 << record } else { 0 }
}
