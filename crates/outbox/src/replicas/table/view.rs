//! What can be asked of the table.

use std::collections::{HashMap, HashSet};

use super::{Round, Table};
use crate::LaneKey;
use crate::replicas::{Position, ReplicaId, Writer};

impl Table {
    /// The members, apart from `replica`.
    pub fn others(&self, replica: ReplicaId) -> impl Iterator<Item = ReplicaId> {
        self.members.keys().copied().filter(move |other| *other != replica)
    }

    /// Whether this process of a replica is a member.
    #[must_use]
    pub fn has(&self, writer: Writer) -> bool {
        self.members.get(&writer.replica).is_some_and(|member| member.process == writer.process)
    }

    /// The current round, or the last one.
    #[must_use]
    pub const fn round(&self) -> Option<&Round> {
        self.round.as_ref()
    }

    /// Whether a replica has claimed lanes without having begun to publish.
    #[must_use]
    pub fn is_unstarted(&self, replica: ReplicaId) -> bool {
        let claim = self.members.get(&replica).and_then(|member| member.claim.as_ref());
        claim.is_some_and(|claim| !claim.started)
    }

    /// The lanes that a replica claims, each with the number of its events.
    #[must_use]
    pub fn claimed(&self, replica: ReplicaId) -> Option<&HashMap<LaneKey, u32>> {
        self.members.get(&replica)?.claim.as_ref().map(|claim| &claim.lanes)
    }

    /// The lanes that a replica owns, of those that it was given up to a position.
    #[must_use]
    pub fn owned(&self, replica: ReplicaId, up_to: Position) -> HashSet<LaneKey> {
        let owned = self.owners.iter().filter(|(_, owner)| owner.replica == replica && owner.granted <= up_to);
        owned.map(|(lane, _)| *lane).collect()
    }

    /// The lanes that a replica must leave to others.
    #[must_use]
    pub fn held_by(&self, replica: ReplicaId) -> HashSet<LaneKey> {
        let owned = self.owners.iter().filter(|(_, owner)| owner.replica != replica).map(|(lane, _)| *lane);
        let others = self.members.iter().filter(|(other, _)| **other != replica);
        let claims = others.filter_map(|(_, member)| member.claim.as_ref()).filter(|claim| !claim.started);
        let claimed = claims.flat_map(|claim| claim.lanes.keys()).filter(|lane| !self.owners.contains_key(lane));
        owned.chain(claimed.copied()).collect()
    }

    /// The position of the last record.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Changes whenever lanes can have been released.
    #[must_use]
    pub const fn releases(&self) -> u64 {
        self.releases
    }

    /// Changes whenever claims or owners change.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Whether a replica's claim has this lane.
    #[cfg(test)]
    pub(in crate::replicas) fn claims(&self, replica: ReplicaId, lane: LaneKey) -> bool {
        let claim = self.members.get(&replica).and_then(|member| member.claim.as_ref());
        claim.is_some_and(|claim| claim.lanes.contains_key(&lane))
    }

    /// Whether nobody claims or owns anything.
    #[cfg(test)]
    pub(in crate::replicas) fn is_settled(&self) -> bool {
        self.owners.is_empty() && self.members.values().all(|member| member.claim.is_none())
    }
}
