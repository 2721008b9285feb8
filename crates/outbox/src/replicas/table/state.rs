//! The table's state of members and rounds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::LaneKey;
use crate::replicas::{Offset, ReplicaId};

#[derive(Debug)]
pub(super) struct Member {
    pub(super) process: u64,
    pub(super) heartbeats: u64,
    /// The heartbeats of other members since its last record.
    pub(super) silence: BTreeMap<ReplicaId, u8>,
    pub(super) claim: Option<Claim>,
    /// The lanes that have filled while it withheld them, each with the number of its events. They count after all
    /// claims.
    pub(super) later: HashMap<LaneKey, u32>,
    /// The parts of a claim that is not complete.
    pub(super) parts: (u64, HashMap<LaneKey, u32>),
    /// True if another process of the replica was a member before, and this one has not started to publish. Its lanes
    /// stay its own.
    pub(super) has_restarted: bool,
    /// The number of its heartbeats at which it came to own lanes.
    pub(super) owning_since: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Claim {
    pub(super) lanes: HashMap<LaneKey, u32>,
    pub(super) started: bool,
    pub(super) heartbeats: u64,
}

#[derive(Debug)]
pub(super) struct Owner {
    pub(super) replica: ReplicaId,
    pub(super) granted: Offset,
    /// True if it owns the lane because it filled later. Only replicas that claim the lane as well wait for it then:
    /// otherwise a lane with steady traffic would fill at one replica after the other, and be withheld forever.
    pub(super) is_later: bool,
}

/// An exchange of claims, in which every member takes part.
#[derive(Debug)]
pub struct Round {
    /// The offset of its first record.
    pub id: Offset,
    /// The members that take part.
    pub ready: BTreeSet<ReplicaId>,
    /// Those of them that do not publish yet, or not what waited for partitions.
    pub gathering: BTreeSet<ReplicaId>,
    /// The members whose claim is complete.
    pub claimed: BTreeSet<ReplicaId>,
    /// True if the next member that becomes ready opens another round.
    pub closed: bool,
}

impl Member {
    pub(super) fn new(process: u64) -> Self {
        Self {
            process,
            heartbeats: 0,
            silence: BTreeMap::new(),
            claim: None,
            later: HashMap::new(),
            parts: (0, HashMap::new()),
            has_restarted: false,
            owning_since: None,
        }
    }

    /// Returns true if it has announced that events wait in this lane.
    pub(super) fn waits_for(&self, lane: LaneKey) -> bool {
        self.later.contains_key(&lane) || self.claim.as_ref().is_some_and(|claim| claim.lanes.contains_key(&lane))
    }

    /// Removes all of its claims. Returns their lanes.
    pub(super) fn take_claims(&mut self) -> impl Iterator<Item = LaneKey> + use<> {
        self.parts.1 = HashMap::new();
        let claim = self.claim.take();
        claim.into_iter().flat_map(|claim| claim.lanes.into_keys()).chain(std::mem::take(&mut self.later).into_keys())
    }
}

impl Round {
    pub(super) fn new(id: Offset) -> Self {
        let (ready, gathering, claimed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { id, ready, gathering, claimed, closed: false }
    }
}

/// Returns true if the first claim to a lane takes precedence over the second.
pub(super) fn precedes((events, replica): (u32, ReplicaId), (other_events, other): (u32, ReplicaId)) -> bool {
    events > other_events || (events == other_events && replica < other)
}

/// Returns the claim that takes precedence.
pub(super) fn best(claims: impl Iterator<Item = (u32, ReplicaId)>) -> Option<(u32, ReplicaId)> {
    claims.reduce(|one, other| if precedes(other, one) { other } else { one })
}
