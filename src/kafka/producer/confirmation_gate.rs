//! Confirmations count only while it is certain that they come from the verified cluster.
//!
//! When Kafka is replaced by an empty cluster at the same address, the new cluster assigns producer ids from 0 again.
//! Another producer can then have our id, epoch and sequence numbers; the broker takes our batch for a repetition of
//! that producer's, writes nothing, and reports success. Detecting the new cluster afterwards would be too late,
//! because the false success has been passed on.
//!
//! So each new connection closes the gate: confirmations wait in it until a fresh client, whose connection is newer,
//! has asked the same broker for its cluster id. The same id opens the gate. Another id turns all of them into
//! failures, and the producer is replaced. While no connection is made, the gate costs one atomic load per record.
//!
//! Why no confirmation can slip through: librdkafka logs `Broker changed state … -> UP` on the broker's thread before
//! it sends the first request on that connection, and the log line goes to the same queue as delivery reports, before
//! them (log lines have the higher priority there). A single thread takes both from that queue (`polled`). A batch
//! that was sent on an old connection and is retried on a new one is reported by the new one, after its log line. Each
//! broker's connection is verified separately, so it does not matter whether one or all of them break, or a leader
//! moves: a report can only come from a broker whose connection has been announced. And the broker that the fresh
//! client reaches is the one that the producer has reached, or a later one; it is not an earlier one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Maximum wait of confirmations for a broker that disconnected before it could be asked.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The decision on a confirmation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GateDecision<T> {
    /// It counts.
    Open(T),
    /// It waits in the gate.
    Pending,
    /// It comes from another cluster, and does not count.
    Foreign(T),
}

/// A change of a broker's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// A new connection to this address can be used.
    Up(&'a str),
    /// The connection to this address is lost.
    Down(&'a str),
}

impl<'a> Change<'a> {
    /// Parses librdkafka's log line: `[thrd:…]: sasl_ssl://host:port/1: Broker changed state … -> UP`. `None` for
    /// changes that make a connection neither usable nor unusable.
    pub(super) fn parse(message: &'a str) -> Option<Self> {
        let (broker, states) = message.rsplit_once(": Broker changed state ")?;
        let (from, to) = states.rsplit_once(" -> ")?;
        let name = broker.rsplit_once(' ').map_or(broker, |(_, name)| name);
        let address = name.rsplit_once('/').map_or(name, |(address, _)| address);
        let address = address.rsplit_once("://").map_or(address, |(_, address)| address);
        match (from, to) {
            (_, "UP") => Some(Self::Up(address)),
            ("UP", _) | (_, "DOWN") => Some(Self::Down(address)),
            _ => None,
        }
    }
}

/// The gate of one producer.
pub(super) struct ConfirmationGate<T> {
    shut: AtomicBool,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// Addresses whose newest connection is not verified.
    unverified: BTreeMap<String, UnverifiedBroker>,
    /// The number of connections that were made.
    connections: u64,
    expected: Option<String>,
    foreign: bool,
    pending: Vec<T>,
}

#[derive(Clone, Copy)]
struct UnverifiedBroker {
    connection: u64,
    down_since: Option<Instant>,
}

impl<T> ConfirmationGate<T> {
    /// Creates a gate that is closed until the first connection is verified.
    pub(super) const fn new() -> Self {
        let state =
            State { unverified: BTreeMap::new(), connections: 0, expected: None, foreign: false, pending: Vec::new() };
        Self { shut: AtomicBool::new(true), state: Mutex::new(state) }
    }

    /// Returns true if confirmations have to go through [`ConfirmationGate::pass`].
    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    /// Returns true if the producer has reached a different cluster than before.
    pub(super) fn is_foreign(&self) -> bool {
        self.is_shut() && self.state.lock().foreign
    }

    /// Records a change of a connection. Returns true if there is something to verify.
    pub(super) fn change(&self, change: Change<'_>, now: Instant) -> bool {
        let mut state = self.state.lock();
        match change {
            Change::Up(address) => {
                state.connections += 1;
                let broker = UnverifiedBroker { connection: state.connections, down_since: None };
                state.unverified.insert(address.to_owned(), broker);
                self.shut.store(true, Ordering::Release);
                true
            }
            Change::Down(address) => {
                if let Some(broker) = state.unverified.get_mut(address) {
                    broker.down_since.get_or_insert(now);
                }
                false
            }
        }
    }

    /// Lets a confirmation through, or holds it until its connection is verified.
    pub(super) fn pass(&self, confirmation: T) -> GateDecision<T> {
        let mut state = self.state.lock();
        if state.foreign {
            GateDecision::Foreign(confirmation)
        } else if self.is_shut() {
            state.pending.push(confirmation);
            GateDecision::Pending
        } else {
            GateDecision::Open(confirmation)
        }
    }

    /// Returns the addresses to be verified, each with the number of its connection, and whether confirmations wait.
    pub(super) fn unverified(&self) -> (Vec<(String, u64)>, bool) {
        let state = self.state.lock();
        let unverified = state.unverified.iter().map(|(address, broker)| (address.clone(), broker.connection));
        (unverified.collect(), !state.pending.is_empty())
    }

    /// Returns true if this cluster id is the one that was found first.
    pub(super) fn expects(&self, id: &str) -> bool {
        self.state.lock().expected.get_or_insert_with(|| id.to_owned()).as_str() == id
    }

    /// Records that an address has the expected cluster id, requested after that connection was made. Returns the
    /// confirmations that now count.
    pub(super) fn record_verified(&self, address: &str, connection: u64) -> Vec<T> {
        let mut state = self.state.lock();
        if state.unverified.get(address).is_some_and(|broker| broker.connection == connection) {
            state.unverified.remove(address);
        }
        self.open_if_clear(&mut state)
    }

    /// Records that an address could not be asked. Returns confirmations that must count as failed, because they may
    /// come from a broker that disappeared before it could be asked.
    pub(super) fn record_unreachable(&self, address: &str, connection: u64, now: Instant) -> Vec<T> {
        let mut state = self.state.lock();
        let Some(broker) = state.unverified.get(address).copied() else { return Vec::new() };
        let Some(down_since) = broker.down_since.filter(|_| broker.connection == connection) else {
            return Vec::new();
        };
        if !state.pending.is_empty() && now.saturating_duration_since(down_since) < MAX_WAIT {
            return Vec::new();
        }
        // Its next connection is announced again.
        state.unverified.remove(address);
        let failed = std::mem::take(&mut state.pending);
        self.open_if_clear(&mut state);
        failed
    }

    /// Records that another cluster was found: no further confirmation counts. Returns the waiting ones, which do not
    /// count.
    pub(super) fn record_foreign(&self) -> Vec<T> {
        let mut state = self.state.lock();
        state.foreign = true;
        state.unverified.clear();
        self.shut.store(true, Ordering::Release);
        std::mem::take(&mut state.pending)
    }

    /// Removes and returns the waiting confirmations.
    pub(super) fn take_pending(&self) -> Vec<T> {
        std::mem::take(&mut self.state.lock().pending)
    }

    fn open_if_clear(&self, state: &mut State<T>) -> Vec<T> {
        if state.foreign || !state.unverified.is_empty() || state.expected.is_none() {
            return Vec::new();
        }
        self.shut.store(false, Ordering::Release);
        std::mem::take(&mut state.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "kafka-1:9092";
    const B: &str = "kafka-2:9092";

    fn open() -> ConfirmationGate<u32> {
        let gate = ConfirmationGate::new();
        assert!(gate.change(Change::Up(A), Instant::now()));
        assert!(gate.expects("one"));
        assert!(gate.record_verified(A, 1).is_empty());
        assert!(!gate.is_shut());
        gate
    }

    #[test]
    fn log_lines_of_connections_are_understood() {
        let line = |name: &str, states: &str| format!("[thrd:{name}]: {name}: Broker changed state {states}");
        for (name, address) in [
            ("kafka-1:9092/1", A),
            ("kafka-1:9092/bootstrap", A),
            ("sasl_ssl://kafka-1:9092/3", A),
            ("[::1]:9092/1", "[::1]:9092"),
        ] {
            assert_eq!(Change::parse(&line(name, "APIVERSION_QUERY -> UP")), Some(Change::Up(address)));
            assert_eq!(Change::parse(&line(name, "UP -> DOWN")), Some(Change::Down(address)));
            assert_eq!(Change::parse(&line(name, "INIT -> TRY_CONNECT")), None);
        }
        assert_eq!(Change::parse("kafka-1:9092/1: Connected"), None);
    }

    #[test]
    fn the_first_confirmation_waits_until_the_cluster_is_known() {
        let gate = ConfirmationGate::new();
        gate.change(Change::Up(A), Instant::now());
        assert_eq!(gate.pass(1), GateDecision::Pending);
        assert!(gate.expects("one"));
        assert_eq!(gate.record_verified(A, 1), [1]);
        assert_eq!(gate.pass(2), GateDecision::Open(2));
    }

    #[test]
    fn a_new_connection_confirms_nothing_until_it_is_verified() {
        let gate = open();
        gate.change(Change::Up(A), Instant::now());
        gate.change(Change::Up(B), Instant::now());
        assert_eq!(gate.pass(1), GateDecision::Pending);
        assert!(gate.record_verified(A, 2).is_empty());
        assert_eq!(gate.record_verified(B, 3), [1]);
        assert!(!gate.is_shut());
    }

    #[test]
    fn an_answer_about_an_earlier_connection_verifies_nothing() {
        let gate = open();
        gate.change(Change::Up(A), Instant::now());
        gate.change(Change::Up(A), Instant::now());
        assert_eq!(gate.pass(1), GateDecision::Pending);
        assert!(gate.record_verified(A, 2).is_empty());
        assert_eq!(gate.record_verified(A, 3), [1]);
    }

    #[test]
    fn another_cluster_lets_no_confirmation_pass_ever_again() {
        let gate = open();
        gate.change(Change::Up(A), Instant::now());
        assert_eq!(gate.pass(1), GateDecision::Pending);
        assert!(!gate.expects("other"));
        assert_eq!(gate.record_foreign(), [1]);
        assert_eq!(gate.pass(2), GateDecision::Foreign(2));
        gate.change(Change::Up(A), Instant::now());
        assert!(gate.record_verified(A, 3).is_empty());
        assert_eq!(gate.pass(3), GateDecision::Foreign(3));
        assert!(gate.is_foreign());
    }

    #[test]
    fn a_broker_that_is_gone_again_fails_what_may_be_from_it() {
        let (gate, now) = (open(), Instant::now());
        gate.change(Change::Up(B), now);
        assert_eq!(gate.pass(1), GateDecision::Pending);
        assert!(gate.record_unreachable(B, 2, now).is_empty(), "it is connected");
        gate.change(Change::Down(B), now);
        assert!(gate.record_unreachable(B, 2, now).is_empty(), "it may come back");
        assert_eq!(gate.record_unreachable(B, 2, now + MAX_WAIT), [1]);
        assert!(!gate.is_shut());
    }

    #[test]
    fn a_lost_broker_delays_nothing_if_nothing_waits() {
        let (gate, now) = (open(), Instant::now());
        gate.change(Change::Up(B), now);
        gate.change(Change::Down(B), now);
        assert!(gate.record_unreachable(B, 2, now).is_empty());
        assert!(!gate.is_shut());
    }
}
