//! The plan of a schedule: all of it is derived from the seed, and each part can be removed to see whether it
//! mattered.

use super::payload::Number;
use super::rng::{About, RngExt, SimRng};
use crate::Millis;
use crate::machine::Limits;

/// One schedule.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) sim_rng: SimRng,
    pub(super) events: usize,
    pub(super) lanes: usize,
    pub(super) replicas: usize,
    /// True if replicas learn from one another through the topics.
    pub(super) following: bool,
    pub(super) limits: Limits,
    /// Maximum size of a journal, in bytes.
    pub(super) journal: usize,
    /// How long after its admission a request is answered, and how long before that its events are written.
    pub(super) answer: Millis,
    pub(super) allowance: Millis,
    /// Maximum delay of a tick.
    pub(super) tick: Millis,
    /// How many times in a thousand another thread executes the commands.
    pub(super) threads: u64,
    /// The usual latency of the broker.
    pub(super) latency: Millis,
    pub(super) callbacks: Vec<Callback>,
    pub(super) faults: Vec<Fault>,
}

/// One callback of a sender. The same event can be in several.
#[derive(Debug, Clone)]
pub(super) struct Callback {
    /// Its number, which stays when others are removed.
    pub(super) number: u64,
    pub(super) at: Millis,
    pub(super) events: Vec<Number>,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// The affected replica. Faults of the broker affect all.
    pub(super) replica: usize,
    pub(super) at: Millis,
    /// How long it lasts, or how long the replica is down.
    pub(super) length: Millis,
    /// A parameter of the kind.
    pub(super) detail: u64,
}

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The broker accepts no records and sends no reports.
    Outage,
    /// A breaker opens without cause.
    Flap,
    /// Records are persisted and reported as failed.
    LostReports,
    /// Records take up to ten seconds.
    SlowBroker,
    /// The producer's queue is full.
    NoRoom,
    /// A producer is replaced: its records fail, and some of them are published all the same.
    Purge,
    /// The process is killed after `detail` more commands.
    Crash,
    /// The process shuts down.
    Drain,
    /// Commits fail. Some are on the disk all the same.
    DiskFails,
    /// Commits take up to three seconds.
    DiskSlow,
    /// Nothing can be added to the journal.
    DiskFull,
    /// Nothing can be read from the journal.
    Unreadable,
    /// Senders disconnect.
    HangUps,
    /// Answers do not reach their senders.
    LostAnswers,
    /// The operator discards an event.
    Discard,
    /// The operator has an event published now, at the start and at the end.
    Redrive,
    /// The dedup cache loses its verdicts.
    Amnesia,
    /// Another, empty cluster answers at the same address.
    OtherCluster,
    /// The second record of an event is not accepted.
    SecondRecordFails,
    /// Another replica publishes some lanes first.
    HeldLanes,
    /// Partitions are known to accept nothing. Records that are with the producer stay there.
    ClosedPartitions,
}

const KINDS: [Kind; 21] = [
    Kind::Outage,
    Kind::Flap,
    Kind::LostReports,
    Kind::SlowBroker,
    Kind::NoRoom,
    Kind::Purge,
    Kind::Crash,
    Kind::Drain,
    Kind::DiskFails,
    Kind::DiskSlow,
    Kind::DiskFull,
    Kind::Unreadable,
    Kind::HangUps,
    Kind::LostAnswers,
    Kind::Discard,
    Kind::Redrive,
    Kind::Amnesia,
    Kind::OtherCluster,
    Kind::SecondRecordFails,
    Kind::HeldLanes,
    Kind::ClosedPartitions,
];

impl Plan {
    /// Creates the plan of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let sim_rng = SimRng(seed);
        let mut rng = sim_rng.on(About::Plan, []);
        let large = rng.permille(10);
        let events = rng.usize(1..=if large { 100 } else { 12 });
        let replicas = if rng.permille(300) { rng.usize(2..=3) } else { 1 };
        let horizon = *rng.choice(&[2_000, 10_000, 40_000]).unwrap_or(&2_000);
        let narrow = rng.permille(300);
        let limits = Limits {
            events: if narrow { rng.usize(1..=4) } else { 1000 },
            bytes: if rng.permille(150) { rng.usize(1000..=4000) } else { 1 << 20 },
            replay: if large { rng.usize(4..=16) } else { rng.usize(1..=4) },
            replay_bytes: if rng.permille(400) { rng.usize(200..=4_000) } else { 1 << 20 },
        };
        Self {
            sim_rng,
            events,
            lanes: rng.usize(1..=3),
            replicas,
            following: rng.bool(),
            limits,
            journal: if rng.permille(200) { rng.usize(500..=4000) } else { usize::MAX },
            answer: *rng.choice(&[8_500, 9_900, 2_000]).unwrap_or(&8_500),
            allowance: rng.u64(100..=1000),
            tick: rng.u64(1..=50),
            threads: *rng.choice(&[0, 20, 300]).unwrap_or(&0),
            latency: *rng.choice(&[2, 20, 200, 1500]).unwrap_or(&2),
            callbacks: callbacks(&mut rng, if large { 60 } else { 8 }, events, horizon),
            faults: faults(&mut rng, replicas, events, horizon),
        }
    }

    /// Returns how late an answer may be.
    pub(super) const fn lateness(&self) -> Millis {
        self.tick + super::replica::LATE
    }

    /// Returns when the last fault is over.
    pub(super) fn calm(&self) -> Millis {
        self.faults.iter().map(|fault| fault.at + fault.length).max().unwrap_or(0)
    }

    /// Returns the fault of that kind that is active at that time.
    pub(super) fn faulty(&self, kind: Kind, replica: usize, now: Millis) -> Option<&Fault> {
        let here = |fault: &&Fault| fault.kind == kind && (kind.is_everywhere() || fault.replica == replica);
        self.faults.iter().filter(here).find(|fault| (fault.at..fault.at + fault.length).contains(&now))
    }
}

impl Kind {
    const fn is_everywhere(self) -> bool {
        match self {
            Self::Outage | Self::LostReports | Self::SlowBroker | Self::HangUps | Self::LostAnswers => true,
            Self::OtherCluster | Self::SecondRecordFails | Self::ClosedPartitions => true,
            Self::Flap | Self::NoRoom | Self::Purge | Self::Crash | Self::Drain | Self::DiskFails => false,
            Self::DiskSlow | Self::DiskFull | Self::Unreadable | Self::Discard | Self::Amnesia => false,
            Self::HeldLanes | Self::Redrive => false,
        }
    }
}

fn callbacks(rng: &mut fastrand::Rng, most: u64, events: usize, horizon: Millis) -> Vec<Callback> {
    let count = rng.u64(1..=most);
    let callback = |number| {
        let size = if rng.permille(400) { 1 } else { rng.usize(1..=events) };
        // Mostly in the order of their numbers, so that later callbacks bring later events.
        let at = if rng.bool() { number * horizon / most } else { rng.u64(0..=horizon) };
        let mut all: Vec<Number> = (0..events).collect();
        rng.shuffle(&mut all);
        all.truncate(size);
        Callback { number, at, events: all }
    };
    (0..count).map(callback).collect()
}

fn faults(rng: &mut fastrand::Rng, replicas: usize, events: usize, horizon: Millis) -> Vec<Fault> {
    let count = *rng.choice(&[0, 1, 1, 2, 2, 3, 3, 4, 6, 8]).unwrap_or(&0);
    let fault = |_| {
        let kind = *rng.choice(&KINDS).unwrap_or(&Kind::Outage);
        let length = match rng.u8(0..10) {
            0..=3 => rng.u64(1..=500),
            4..=7 => rng.u64(500..=9_000),
            8 => rng.u64(9_000..=40_000),
            _ => rng.u64(40_000..=140_000),
        };
        let detail = if matches!(kind, Kind::Discard | Kind::Redrive) {
            rng.u64(0..events as u64)
        } else {
            // Half of the crashes happen at once.
            rng.u64(0..=8) * u64::from(rng.bool())
        };
        Fault { kind, replica: rng.usize(0..replicas), at: rng.u64(0..=horizon + horizon / 4), length, detail }
    };
    (0..count).map(fault).collect()
}
