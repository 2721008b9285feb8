//! Read access to the table.

use std::collections::{HashMap, HashSet};

use super::{Round, Table};
use crate::LaneKey;
use crate::replicas::{Offset, ReplicaId, Writer};

impl Table {
    /// Returns the members, apart from `replica`.
    pub fn others(&self, replica: ReplicaId) -> impl Iterator<Item = ReplicaId> {
        self.members.keys().copied().filter(move |other| *other != replica)
    }

    /// Returns true if this process of a replica is a member.
    #[must_use]
    pub fn has(&self, writer: Writer) -> bool {
        self.members.get(&writer.replica).is_some_and(|member| member.process == writer.process)
    }

    /// Returns the current round, or the last one.
    #[must_use]
    pub const fn round(&self) -> Option<&Round> {
        self.round.as_ref()
    }

    /// Returns true if a replica has claimed lanes without having started to publish.
    #[must_use]
    pub fn is_unstarted(&self, replica: ReplicaId) -> bool {
        let claim = self.members.get(&replica).and_then(|member| member.claim.as_ref());
        claim.is_some_and(|claim| !claim.started)
    }

    /// Returns the lanes that a replica claims, each with the number of its events.
    #[must_use]
    pub fn claimed(&self, replica: ReplicaId) -> Option<&HashMap<LaneKey, u32>> {
        self.members.get(&replica)?.claim.as_ref().map(|claim| &claim.lanes)
    }

    /// Returns true if a replica has announced that events wait in this lane.
    #[must_use]
    pub fn waits_for(&self, replica: ReplicaId, lane: LaneKey) -> bool {
        self.members.get(&replica).is_some_and(|member| member.waits_for(lane))
    }

    /// Returns the lanes that a replica owns, of those that it was given up to an offset.
    #[must_use]
    pub fn owned(&self, replica: ReplicaId, up_to: Offset) -> HashSet<LaneKey> {
        let owned = self.owners.iter().filter(|(_, owner)| owner.replica == replica && owner.granted <= up_to);
        owned.map(|(lane, _)| *lane).collect()
    }

    /// Returns the lanes that a replica must leave to others.
    #[must_use]
    pub fn withheld_from(&self, replica: ReplicaId) -> HashSet<LaneKey> {
        let waits = |lane: &LaneKey| self.members.get(&replica).is_some_and(|member| member.waits_for(*lane));
        let owned = self.owners.iter().filter(|(_, owner)| owner.replica != replica);
        let owned = owned.filter(|(lane, owner)| !owner.is_later || waits(lane)).map(|(lane, _)| *lane);
        let others = self.members.iter().filter(|(other, _)| **other != replica);
        let claims = others.filter_map(|(_, member)| member.claim.as_ref()).filter(|claim| !claim.started);
        let claimed = claims.flat_map(|claim| claim.lanes.keys()).filter(|lane| !self.owners.contains_key(lane));
        owned.chain(claimed.copied()).collect()
    }

    /// Returns the offset of the last record.
    #[must_use]
    pub const fn offset(&self) -> Offset {
        self.offset
    }

    /// Returns a number that changes whenever lanes can have been released.
    #[must_use]
    pub const fn releases(&self) -> u64 {
        self.releases
    }

    /// Returns a number that changes whenever claims or owners change.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Returns true if no lane is claimed or owned.
    #[cfg(test)]
    pub(in crate::replicas) fn is_settled(&self) -> bool {
        self.owners.is_empty() && self.members.values().all(|member| member.claim.is_none() && member.later.is_empty())
    }
}
