//! One simulated replica: a coordinator, and an outbox that is just a list of waiting events for each lane.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::replicas::coordinator::{Coordinator, Facts};
use crate::replicas::record::Body;
use crate::replicas::{ReplicaId, Writer};
use crate::{LaneKey, Millis};

/// An event: its time, which is also its identity.
pub(super) type Event = u64;

/// What of a replica survives a kill, and what does not.
pub(super) struct Node {
    pub(super) id: ReplicaId,
    /// `None` while it is down.
    pub(super) process: Option<Process>,
    /// The journal.
    pub(super) waiting: BTreeMap<LaneKey, BTreeSet<Event>>,
    /// Whether Kafka can be reached.
    pub(super) reaches: bool,
    /// It does nothing before.
    pub(super) paused_until: Millis,
    pub(super) restart_at: Millis,
}

pub(super) struct Process {
    pub(super) coordinator: Coordinator,
    pub(super) read: usize,
    /// When it is told that Kafka is available, or not.
    pub(super) news: Option<(Millis, bool)>,
    /// Since when it has been told that Kafka is available without having begun to publish.
    pub(super) told: Option<Millis>,
    pub(super) available: bool,
    pub(super) open: bool,
    pub(super) held: HashSet<LaneKey>,
    pub(super) mark: Event,
    pub(super) flights: Vec<(Millis, LaneKey, Event)>,
    pub(super) writes: Vec<(Millis, Body)>,
    pub(super) catching_up: Vec<(Millis, u64, usize)>,
    pub(super) caught_up: u64,
    pub(super) follows: bool,
    /// What it knows to be published.
    pub(super) known: BTreeSet<Event>,
    pub(super) current: RefCell<Option<usize>>,
}

impl Process {
    pub(super) fn new(id: ReplicaId, process: u64) -> Self {
        Self {
            coordinator: Coordinator::new(Writer { replica: id, process }),
            read: 0,
            news: None,
            told: None,
            available: false,
            open: false,
            held: HashSet::new(),
            mark: 0,
            flights: Vec::new(),
            writes: Vec::new(),
            catching_up: Vec::new(),
            caught_up: 0,
            follows: false,
            known: BTreeSet::new(),
            current: RefCell::new(None),
        }
    }
}

/// What a node tells its coordinator.
pub(super) struct View<'a> {
    pub(super) waiting: &'a BTreeMap<LaneKey, BTreeSet<Event>>,
    pub(super) flights: &'a [(Millis, LaneKey, Event)],
    pub(super) mark: Event,
    pub(super) caught_up: u64,
    pub(super) current: bool,
}

impl Facts for View<'_> {
    fn in_flight(&self) -> bool {
        !self.flights.is_empty()
    }

    fn in_flight_in(&self, lanes: &HashSet<LaneKey>) -> bool {
        self.flights.iter().any(|(_, lane, _)| lanes.contains(lane))
    }

    fn waiting(&self) -> HashMap<LaneKey, u32> {
        self.waiting.iter().map(|(lane, events)| (*lane, events.len() as u32)).filter(|(_, count)| *count > 0).collect()
    }

    fn has_backlog(&self, lanes: &HashSet<LaneKey>) -> bool {
        let old = |lane: &LaneKey| self.waiting.get(lane).is_some_and(|events| events.iter().any(|at| *at < self.mark));
        lanes.iter().any(old) || self.flights.iter().any(|(_, lane, event)| lanes.contains(lane) && *event < self.mark)
    }

    fn log_is_current(&self) -> bool {
        self.current
    }

    fn caught_up(&self) -> u64 {
        self.caught_up
    }
}
