//! The state that the records of the coordination topic add up to: the members, their claims, and the owners of lanes.
//!
//! A function of the records alone, so every replica that has read the same records has the same table. Time is
//! counted in heartbeats: a member that writes nothing while another writes [`MAX_SILENCE`] of them is removed.

mod state;
mod view;

use std::collections::{BTreeMap, HashMap};

pub use self::state::Round;
use self::state::{Claim, Member, Owner, best, precedes};
use super::record::{Body, Record};
use super::{Offset, ReplicaId, Writer};
use crate::LaneKey;

/// A member is removed if another has written this many heartbeats since its last record. They are two seconds apart.
pub const MAX_SILENCE: u8 = 5;

/// A claim is void if its writer has written this many heartbeats without starting to publish.
const MAX_UNSTARTED: u64 = 15;

/// A member owns lanes for at most this many of its heartbeats: a quarter of an hour.
const MAX_OWNING: u64 = 450;

/// The state of the coordination.
#[derive(Debug, Default)]
pub struct Table {
    members: BTreeMap<ReplicaId, Member>,
    owners: HashMap<LaneKey, Owner>,
    round: Option<Round>,
    offset: Offset,
    /// Counts changes that can release lanes.
    releases: u64,
    /// Counts changes of claims and owners.
    version: u64,
}

impl Table {
    /// Applies the next record of the topic.
    pub fn apply(&mut self, record: &Record, offset: Offset) {
        self.offset = offset;
        let Record { writer: Writer { replica, process }, body } = record;
        if self.members.get(replica).is_some_and(|member| member.process != *process) {
            self.restart(*replica, *process);
        }
        if *body == Body::Leave {
            return self.remove(*replica);
        }
        self.members.entry(*replica).or_insert_with(|| Member::new(*process)).silence.clear();
        match body {
            Body::Heartbeat => self.heartbeat(*replica),
            Body::Ready { live, recovering } => self.ready(*replica, *live, *recovering),
            Body::Claim { number, lanes, last } => self.claim(*replica, *number, lanes, *last),
            Body::Extend { lanes } => self.extend(*replica, lanes),
            Body::Start => self.start(*replica),
            Body::Done { up_to } => self.done(*replica, *up_to),
            Body::Leave => {}
        }
    }

    fn heartbeat(&mut self, replica: ReplicaId) {
        let mut silent = Vec::new();
        for (other, member) in self.members.iter_mut().filter(|(other, _)| **other != replica) {
            let heartbeats = member.silence.entry(replica).or_default();
            *heartbeats = heartbeats.saturating_add(1);
            if *heartbeats >= MAX_SILENCE {
                silent.push(*other);
            }
        }
        silent.into_iter().for_each(|other| self.remove(other));
        let Some(member) = self.members.get_mut(&replica) else { return };
        member.heartbeats += 1;
        let now = member.heartbeats;
        let unstarted =
            member.claim.as_ref().is_some_and(|claim| !claim.started && now - claim.heartbeats > MAX_UNSTARTED);
        if unstarted || member.owning_since.is_some_and(|since| now - since > MAX_OWNING) {
            self.void(replica);
        }
    }

    fn ready(&mut self, replica: ReplicaId, live: bool, recovering: bool) {
        if !live && self.members.get(&replica).is_some_and(|member| !member.has_restarted) {
            self.void(replica);
        }
        let id = self.offset;
        let round = self.round.take().filter(|round| !round.closed);
        let round = self.round.insert(round.unwrap_or_else(|| Round::new(id)));
        round.ready.insert(replica);
        round.claimed.remove(&replica);
        if live && !recovering {
            round.gathering.remove(&replica);
        } else {
            round.gathering.insert(replica);
        }
    }

    fn claim(&mut self, replica: ReplicaId, number: u64, lanes: &[(LaneKey, u32)], last: bool) {
        let Some(member) = self.members.get_mut(&replica) else { return };
        if member.parts.0 != number {
            member.parts = (number, HashMap::new());
        }
        member.parts.1.extend(lanes.iter().copied());
        if !last {
            return;
        }
        let lanes = std::mem::take(&mut member.parts.1);
        let claim = Claim { lanes, started: false, heartbeats: member.heartbeats };
        let replaced = member.take_claims();
        member.claim = Some(claim);
        self.version += 1;
        if let Some(round) = &mut self.round {
            round.claimed.insert(replica);
        }
        replaced.for_each(|lane| self.assign_owner(lane));
    }

    /// Adds lanes that have filled while a member withheld them.
    fn extend(&mut self, replica: ReplicaId, lanes: &[(LaneKey, u32)]) {
        let Some(member) = self.members.get_mut(&replica) else { return };
        member.later.extend(lanes.iter().copied());
        lanes.iter().for_each(|(lane, _)| self.assign_owner(*lane));
        self.version += 1;
    }

    fn start(&mut self, replica: ReplicaId) {
        if let Some(round) = &mut self.round
            && round.gathering.remove(&replica)
        {
            round.closed = true;
        }
        let Some(member) = self.members.get_mut(&replica) else { return };
        let Some(claim) = member.claim.as_mut().filter(|claim| !claim.started) else { return };
        claim.started = true;
        let lanes: Vec<_> = claim.lanes.iter().map(|(lane, events)| (*lane, *events)).collect();
        if std::mem::take(&mut member.has_restarted) {
            self.drop_unclaimed(replica);
        }
        for (lane, events) in lanes {
            let other = self.best(lane, false);
            if !self.owners.contains_key(&lane) && other.is_none_or(|other| precedes((events, replica), other)) {
                self.grant(lane, replica, false);
            }
        }
        self.drop_empty(replica);
        self.version += 1;
    }

    fn done(&mut self, replica: ReplicaId, up_to: Offset) {
        let lanes = self.owned(replica, up_to);
        for lane in &lanes {
            self.owners.remove(lane);
            let Some(member) = self.members.get_mut(&replica) else { continue };
            member.later.remove(lane);
            if let Some(claim) = &mut member.claim {
                claim.lanes.remove(lane);
            }
        }
        if let Some(member) = self.members.get_mut(&replica) {
            member.owning_since = None;
        }
        lanes.into_iter().for_each(|lane| self.assign_owner(lane));
        if !self.owned(replica, Offset::MAX).is_empty()
            && let Some(member) = self.members.get_mut(&replica)
        {
            member.owning_since = Some(member.heartbeats);
        }
        self.drop_empty(replica);
        self.released();
    }

    /// Handles another process of a member. It keeps the lanes that it owns, because it may be the only one to have
    /// some of their events. It will write its own claim.
    fn restart(&mut self, replica: ReplicaId, process: u64) {
        let Some(member) = self.members.get_mut(&replica) else { return };
        (member.process, member.has_restarted) = (process, true);
        member.take_claims().for_each(|lane| self.assign_owner(lane));
        self.leave_round(replica);
        self.released();
    }

    /// Gives up owned lanes after a restart, if the member's journal has none of their events any more.
    fn drop_unclaimed(&mut self, replica: ReplicaId) {
        let claim = self.members.get(&replica).and_then(|member| member.claim.as_ref());
        let mut lanes = self.owned(replica, Offset::MAX);
        lanes.retain(|lane| claim.is_none_or(|claim| !claim.lanes.contains_key(lane)));
        self.owners.retain(|lane, _| !lanes.contains(lane));
        lanes.into_iter().for_each(|lane| self.assign_owner(lane));
        self.released();
    }

    /// Drops the claims and lanes of a member. Its lanes go to others that wait for them.
    fn void(&mut self, replica: ReplicaId) {
        let Some(member) = self.members.get_mut(&replica) else { return };
        let claims = member.take_claims();
        member.owning_since = None;
        let mut lanes = self.owned(replica, Offset::MAX);
        self.owners.retain(|lane, _| !lanes.contains(lane));
        lanes.extend(claims);
        lanes.into_iter().for_each(|lane| self.assign_owner(lane));
        self.released();
    }

    fn remove(&mut self, replica: ReplicaId) {
        self.void(replica);
        self.members.remove(&replica);
        for member in self.members.values_mut() {
            member.silence.remove(&replica);
        }
        self.leave_round(replica);
    }

    fn leave_round(&mut self, replica: ReplicaId) {
        if let Some(round) = &mut self.round {
            round.ready.remove(&replica);
            round.claimed.remove(&replica);
            round.gathering.remove(&replica);
            round.closed |= round.gathering.is_empty();
        }
    }

    fn released(&mut self) {
        self.version += 1;
        self.releases += 1;
    }

    /// Gives a lane without an owner to the best member that has started to publish and claims it, else to the best one
    /// for which it filled later. If a member that claims it has not started yet, the lane is given when that member
    /// starts.
    fn assign_owner(&mut self, lane: LaneKey) {
        if self.owners.contains_key(&lane) || self.best(lane, false).is_some() {
            return;
        }
        if let Some((_, replica)) = self.best(lane, true) {
            return self.grant(lane, replica, false);
        }
        let later = self.members.iter().filter_map(|(replica, member)| Some((*member.later.get(&lane)?, *replica)));
        if let Some((_, replica)) = best(later) {
            self.grant(lane, replica, true);
        }
    }

    fn grant(&mut self, lane: LaneKey, replica: ReplicaId, is_later: bool) {
        self.owners.insert(lane, Owner { replica, granted: self.offset, is_later });
        if let Some(member) = self.members.get_mut(&replica) {
            member.owning_since.get_or_insert(member.heartbeats);
        }
    }

    /// Returns the member with the best claim to a lane, among those that have started to publish or those that have
    /// not.
    fn best(&self, lane: LaneKey, started: bool) -> Option<(u32, ReplicaId)> {
        let claims = self.members.iter().filter_map(|(replica, member)| {
            let claim = member.claim.as_ref().filter(|claim| claim.started == started)?;
            Some((*claim.lanes.get(&lane)?, *replica))
        });
        best(claims)
    }

    fn drop_empty(&mut self, replica: ReplicaId) {
        if let Some(member) = self.members.get_mut(&replica) {
            member.claim.take_if(|claim| claim.started && claim.lanes.is_empty());
        }
    }
}
