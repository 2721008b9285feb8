//! Hand-written cases of the coordinator. The simulation covers many more.

use std::collections::{HashMap, HashSet};

use super::coordinator::{Command, Coordinator, Facts};
use super::record::{Body, Record};
use super::{Offset, ReplicaId, Writer};
use crate::{LaneKey, Millis};

/// A replica with an empty producer that has caught up with every ticket.
struct Calm(HashMap<LaneKey, u32>);

impl Facts for Calm {
    fn in_flight(&self) -> bool {
        false
    }

    fn recovering_in_flight(&self) -> bool {
        false
    }

    fn in_flight_in(&self, _: &HashSet<LaneKey>) -> bool {
        false
    }

    fn waiting(&self) -> HashMap<LaneKey, u32> {
        self.0.clone()
    }

    fn withheld(&self) -> HashMap<LaneKey, u32> {
        HashMap::new()
    }

    fn has_backlog(&self, _: &HashSet<LaneKey>) -> bool {
        false
    }

    fn log_is_current(&self) -> bool {
        true
    }

    fn caught_up(&self) -> u64 {
        u64::MAX
    }
}

fn waiting(lanes: &[u64]) -> Calm {
    Calm(lanes.iter().map(|lane| (LaneKey(*lane), 1)).collect())
}

const ME: Writer = Writer { replica: ReplicaId(1), process: 1 };
const OTHER: Writer = Writer { replica: ReplicaId(2), process: 2 };

/// A coordinator whose records are in the topic as soon as they are written.
struct Harness {
    coordinator: Coordinator,
    offset: Offset,
    /// The records that it has written.
    written: Vec<Body>,
}

impl Harness {
    fn new() -> Self {
        Self { coordinator: Coordinator::new(ME), offset: 0, written: Vec::new() }
    }

    fn append(&mut self, writer: Writer, body: Body) {
        self.offset += 1;
        self.coordinator.apply(&Record { writer, body }, self.offset);
    }

    /// Steps once. Returns the commands that do not write a record.
    fn step(&mut self, now: Millis, facts: &Calm) -> Vec<Command> {
        let mut others = Vec::new();
        for command in self.coordinator.step(now, facts) {
            match command {
                Command::Write(body) => {
                    self.append(ME, body.clone());
                    self.written.push(body);
                }
                Command::StartPublishing
                | Command::Recover
                | Command::StopPublishing
                | Command::Hold(_)
                | Command::CatchUp(_)
                | Command::Follow(_) => others.push(command),
            }
        }
        others
    }
}

#[test]
fn lanes_that_fill_while_a_peer_is_awaited_are_claimed() {
    let mut harness = Harness::new();
    harness.append(OTHER, Body::Heartbeat);
    harness.coordinator.available(true, 0);
    // The other replica never takes part, so each step has to wait for its limit.
    let mut opened = None;
    for now in (0..14_000).step_by(50) {
        let facts = if now < 6_000 { waiting(&[10]) } else { waiting(&[10, 11]) };
        if harness.step(now, &facts).contains(&Command::StartPublishing) {
            opened.get_or_insert(now);
        }
    }
    assert!(opened.is_some_and(|opened| opened > 7_000), "it did not wait: {opened:?}");
    let claims = harness.written.iter().filter_map(|body| match body {
        Body::Claim { lanes, .. } => Some(lanes.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>()),
        Body::Heartbeat | Body::Ready { .. } | Body::Extend { .. } | Body::Start | Body::Done { .. } | Body::Leave => {
            None
        }
    });
    assert_eq!(claims.collect::<Vec<_>>(), [vec![10], vec![10, 11]]);
    let last = harness.written.iter().rposition(|body| matches!(body, Body::Claim { .. })).unwrap();
    assert_eq!(harness.written[last + 1], Body::Start, "what is claimed begins at once");
}

#[test]
fn lanes_are_not_done_in_the_step_that_releases_them() {
    let mut harness = Harness::new();
    harness.append(OTHER, Body::Heartbeat);
    harness.coordinator.available(true, 0);
    let is_done = |body: &Body| matches!(body, Body::Done { .. });
    let opened = (0..14_000)
        .step_by(50)
        .find(|now| harness.step(*now, &waiting(&[10])).contains(&Command::StartPublishing))
        .unwrap();
    // The outbox was asked about events that were accepted before an earlier mark.
    assert!(!harness.written.iter().any(is_done));
    harness.step(opened + 50, &waiting(&[]));
    assert!(harness.written.iter().any(is_done));
}

#[test]
fn following_ends_some_time_after_the_last_peer_left() {
    let mut harness = Harness::new();
    harness.coordinator.available(true, 0);
    harness.append(OTHER, Body::Heartbeat);
    let nothing = waiting(&[]);
    assert!(harness.step(0, &nothing).contains(&Command::Follow(true)));
    harness.append(OTHER, Body::Leave);
    let follows = |commands: Vec<Command>| commands.into_iter().find(|command| matches!(command, Command::Follow(_)));
    assert_eq!(follows(harness.step(100_000, &nothing)), None, "a restart takes less");
    assert_eq!(follows(harness.step(600_000, &nothing)), Some(Command::Follow(false)));
    harness.append(OTHER, Body::Heartbeat);
    assert_eq!(follows(harness.step(600_100, &nothing)), Some(Command::Follow(true)));
}

/// Lets a replica that knows another one begin to publish, and then lets a partition recover. Returns the time.
fn recovered(harness: &mut Harness) -> Millis {
    harness.append(OTHER, Body::Heartbeat);
    harness.coordinator.available(true, 0);
    let nothing = waiting(&[]);
    let opened =
        (0..14_000).step_by(50).find(|now| harness.step(*now, &nothing).contains(&Command::StartPublishing)).unwrap();
    harness.append(OTHER, Body::Heartbeat);
    harness.coordinator.partitions_available(opened);
    opened
}

/// Returns when the replica publishes what waited for the partition.
fn recovers(harness: &mut Harness, from: Millis) -> Option<Millis> {
    let nothing = waiting(&[]);
    (from..from + 30_000).step_by(50).find(|now| harness.step(*now, &nothing).contains(&Command::Recover))
}

#[test]
fn recovery_waits_for_silent_replicas_for_a_limited_time() {
    let mut harness = Harness::new();
    let opened = recovered(&mut harness);
    let recovers = recovers(&mut harness, opened).unwrap();
    assert!((opened + 4000..=opened + 17_100).contains(&recovers), "{opened}: {recovers}");
    assert!(harness.written.contains(&Body::Ready { live: true, recovering: true }));
}

#[test]
fn recovery_without_the_coordination_topic_ends() {
    let mut harness = Harness::new();
    let opened = recovered(&mut harness);
    let nothing = waiting(&[]);
    let written = |now| harness.coordinator.step(now, &nothing);
    let recovers = (opened..opened + 30_000).step_by(50).map(written).position(|all| all.contains(&Command::Recover));
    assert!(recovers.is_some_and(|steps| steps <= 17_100 / 50), "{recovers:?}");
}

#[test]
fn recovery_waits_for_nobody_after_the_last_replica_left() {
    let mut harness = Harness::new();
    let opened = recovered(&mut harness);
    harness.append(OTHER, Body::Leave);
    assert!(recovers(&mut harness, opened).is_some_and(|recovers| recovers <= opened + 5_100));
    harness.append(OTHER, Body::Heartbeat);
    harness.coordinator.partitions_available(opened + 6_000);
    harness.coordinator.uncoordinated();
    assert!(harness.step(opened + 6_000, &waiting(&[])).contains(&Command::Recover), "nobody can be asked");
}

#[test]
fn replica_of_an_earlier_version_answers_a_recovery() {
    let mut harness = Harness::new();
    let from = recovered(&mut harness);
    let (nothing, mut answered, mut recovers) = (waiting(&[]), 0, None);
    for now in (from..from + 30_000).step_by(50) {
        if harness.step(now, &nothing).contains(&Command::Recover) {
            recovers.get_or_insert(now);
        }
        let is_asked = harness.written.contains(&Body::Ready { live: true, recovering: true });
        if is_asked && answered == 0 {
            harness.append(OTHER, Body::Ready { live: true, recovering: false });
            answered = 1;
        } else if answered == 1 && matches!(harness.written.last(), Some(Body::Claim { .. })) {
            harness.append(OTHER, Body::Claim { number: 1, lanes: Vec::new(), last: true });
            harness.append(OTHER, Body::Start);
            answered = 2;
        }
    }
    assert_eq!(answered, 2);
    assert!(recovers.is_some_and(|recovers| recovers < from + 1_000), "{from}: {recovers:?}");
}
