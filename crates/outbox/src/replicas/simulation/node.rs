//! One simulated replica: a coordinator, and an outbox that is only a list of waiting events for each lane.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::partition::Partition;
use crate::replicas::coordinator::{Coordinator, Facts};
use crate::replicas::record::Body;
use crate::replicas::{ReplicaId, Writer};
use crate::{LaneKey, Millis};

/// An event: its time, which is also its identity.
pub(super) type Event = u64;

/// The state of a replica, some of which survives a kill.
pub(super) struct Node {
    pub(super) id: ReplicaId,
    /// `None` while it is down.
    pub(super) process: Option<Process>,
    /// The journal.
    pub(super) waiting: BTreeMap<LaneKey, BTreeSet<Event>>,
    /// True if it can reach Kafka.
    pub(super) reaches: bool,
    /// When it starts again. It does nothing before.
    pub(super) paused_until: Millis,
    pub(super) restart_at: Millis,
}

pub(super) struct Process {
    pub(super) coordinator: Coordinator,
    pub(super) read: usize,
    /// When it notices that Kafka is available or unavailable.
    pub(super) availability_change: Option<(Millis, bool)>,
    /// Since when it has known that Kafka is available without having started to publish.
    pub(super) available_since: Option<Millis>,
    pub(super) available: bool,
    pub(super) open: bool,
    pub(super) held: HashSet<LaneKey>,
    /// The lanes that wait until their partition accepts records and the other replicas are asked.
    pub(super) closed: HashSet<LaneKey>,
    pub(super) partition: Partition,
    pub(super) mark: Event,
    pub(super) flights: Vec<(Millis, LaneKey, Event)>,
    pub(super) writes: Vec<(Millis, Body)>,
    pub(super) catching_up: Vec<(Millis, u64, usize)>,
    pub(super) caught_up: u64,
    pub(super) follows: bool,
    /// The events that it knows to be published.
    pub(super) known: BTreeSet<Event>,
    pub(super) current: RefCell<Option<usize>>,
}

impl Process {
    pub(super) fn new(id: ReplicaId, process: u64) -> Self {
        Self {
            coordinator: Coordinator::new(Writer { replica: id, process }),
            read: 0,
            availability_change: None,
            available_since: None,
            available: false,
            open: false,
            held: HashSet::new(),
            closed: HashSet::new(),
            partition: Partition::default(),
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

/// The facts that a node reports to its coordinator.
pub(super) struct View<'a> {
    pub(super) waiting: &'a BTreeMap<LaneKey, BTreeSet<Event>>,
    pub(super) flights: &'a [(Millis, LaneKey, Event)],
    pub(super) held: &'a HashSet<LaneKey>,
    pub(super) closed: &'a HashSet<LaneKey>,
    pub(super) mark: Event,
    pub(super) caught_up: u64,
    pub(super) current: bool,
}

impl Facts for View<'_> {
    fn in_flight(&self) -> bool {
        !self.flights.is_empty()
    }

    fn recovering_in_flight(&self) -> bool {
        self.in_flight_in(self.closed)
    }

    fn in_flight_in(&self, lanes: &HashSet<LaneKey>) -> bool {
        self.flights.iter().any(|(_, lane, _)| lanes.contains(lane))
    }

    fn waiting(&self) -> HashMap<LaneKey, u32> {
        self.waiting.iter().map(|(lane, events)| (*lane, events.len() as u32)).filter(|(_, count)| *count > 0).collect()
    }

    fn withheld(&self) -> HashMap<LaneKey, u32> {
        let is_held = |lane: &LaneKey| self.held.contains(lane) || self.closed.contains(lane);
        self.waiting().into_iter().filter(|(lane, _)| is_held(lane)).collect()
    }

    fn has_backlog(&self, lanes: &HashSet<LaneKey>) -> bool {
        let old =
            |lane: &LaneKey| self.waiting.get(lane).is_some_and(|events| events.iter().any(|at| *at <= self.mark));
        let lanes: HashSet<_> = lanes.difference(self.closed).copied().collect();
        lanes.iter().any(old) || self.flights.iter().any(|(_, lane, event)| lanes.contains(lane) && *event <= self.mark)
    }

    fn log_is_current(&self) -> bool {
        self.current
    }

    fn caught_up(&self) -> u64 {
        self.caught_up
    }
}
