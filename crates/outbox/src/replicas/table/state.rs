//! What the table holds about members and rounds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::LaneKey;
use crate::replicas::{Position, ReplicaId};

#[derive(Debug)]
pub(super) struct Member {
    pub(super) process: u64,
    pub(super) heartbeats: u64,
    /// The heartbeats of others since its last record.
    pub(super) silence: BTreeMap<ReplicaId, u8>,
    pub(super) claim: Option<Claim>,
    /// The parts of a claim that is not complete.
    pub(super) parts: (u64, HashMap<LaneKey, u32>),
    /// Whether another process of it was a member before, and this one has not begun to publish: its lanes stay its own.
    pub(super) has_restarted: bool,
    /// Since which of its heartbeats it has owned lanes.
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
    pub(super) granted: Position,
}

/// An exchange of claims, in which every member takes part.
#[derive(Debug)]
pub struct Round {
    /// The position of its first record.
    pub id: Position,
    /// Who takes part.
    pub ready: BTreeSet<ReplicaId>,
    /// Who of them does not publish yet.
    pub gathering: BTreeSet<ReplicaId>,
    /// Whose claim is complete.
    pub claimed: BTreeSet<ReplicaId>,
    /// Whether the next one to become ready opens another round.
    pub closed: bool,
}

impl Member {
    pub(super) fn new(process: u64) -> Self {
        Self {
            process,
            heartbeats: 0,
            silence: BTreeMap::new(),
            claim: None,
            parts: (0, HashMap::new()),
            has_restarted: false,
            owning_since: None,
        }
    }
}

impl Round {
    pub(super) fn new(id: Position) -> Self {
        let (ready, gathering, claimed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { id, ready, gathering, claimed, closed: false }
    }
}

/// Whether the first claim to a lane goes before the second.
pub(super) fn precedes((events, replica): (u32, ReplicaId), (other_events, other): (u32, ReplicaId)) -> bool {
    events > other_events || (events == other_events && replica < other)
}
