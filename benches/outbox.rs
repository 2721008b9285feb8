//! What the outbox's machine costs an event on a healthy day (admission, one report, the answer), and a start with a
//! full journal: `cargo bench --bench outbox`.
//!
//! A thousand deliveries are under way at any time, and a million verdicts are remembered, as in a bridge that has been
//! up for a while.

#![allow(missing_docs, reason = "the macros of criterion document nothing")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use outbox::machine::{Command, Deadlines, Limits, Outbox};
use outbox::verdict::Verdict;
use outbox::{DeliveryReport, EventHandle, EventKey, LaneKey, NewEvent, Publication, Recovered, Seq};

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const UNDER_WAY: usize = 1_000;
const REMEMBERED: u64 = 1_000_000;
const LANES: u64 = 10_000;

/// As in the program.
const LIMITS: Limits = Limits { events: 20_000, bytes: 256 << 20, replay: 1024, replay_bytes: 32 << 20 };

/// As large as what the program moves: an event's records are elsewhere.
struct Record(#[allow(dead_code, reason = "only its size matters")] [u64; 32]);

impl Publication for Record {
    fn records(&self) -> u8 {
        1
    }

    fn detached(&self) -> Option<Self> {
        None
    }

    fn bytes(&self) -> usize {
        1024
    }

    fn verdict(&self) -> Verdict {
        Verdict::Confirmed
    }

    fn fallback(&self) -> Option<Self> {
        None
    }
}

/// A machine at work.
struct Work {
    outbox: Outbox<Record, u64>,
    produced: VecDeque<EventHandle>,
    now: u64,
    answered: u64,
}

impl Work {
    fn new() -> Self {
        let mut work = Self { outbox: Outbox::new(LIMITS), produced: VecDeque::new(), now: 0, answered: 0 };
        work.outbox.enable_replay();
        work.pass(&arrivals(0, REMEMBERED), 1);
        work
    }

    /// Takes events in, in deliveries of that size, and lets the oldest that are under way be confirmed.
    fn pass(&mut self, arrivals: &[(EventKey, LaneKey)], size: usize) {
        for delivery in arrivals.chunks(size) {
            self.now += 1;
            let deadlines = Deadlines { write: self.now + 7_500, answer: self.now + 8_500 };
            let arrivals = delivery.iter().map(|(key, lane)| NewEvent {
                key: *key,
                lane: *lane,
                event_time: 0,
                obstacle: None,
                publication: Arc::new(Record([0; 32])),
            });
            black_box(self.outbox.admit(arrivals, self.now, deadlines));
            self.execute();
            while self.produced.len() > UNDER_WAY {
                let Some(token) = self.produced.pop_front() else { return };
                self.outbox.report(token, 0, DeliveryReport::Confirmed, self.now);
                self.execute();
            }
            if self.now.is_multiple_of(10) {
                self.outbox.tick(self.now);
                self.execute();
            }
        }
    }

    fn execute(&mut self) {
        for command in self.outbox.commands() {
            match command {
                Command::Produce(token, record, _) => {
                    black_box(record);
                    self.produced.push_back(token);
                }
                Command::Answer(finished) => {
                    self.answered += finished.verdicts.len() as u64;
                    black_box(finished);
                }
                Command::Write(..) | Command::Delete(_) | Command::Cancel(_) | Command::Load(_) => {}
            }
        }
    }
}

fn arrivals(from: u64, count: u64) -> Vec<(EventKey, LaneKey)> {
    let arrival = |number: u64| {
        let lane = LaneKey::of("idaas.user.v1", &(number % LANES).to_string());
        (EventKey::of("app_1", &format!("evnt_{number}")), lane)
    };
    (from..from + count).map(arrival).collect()
}

fn outbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    group.throughput(Throughput::Elements(1));
    for size in [1, 100] {
        let (mut work, mut from) = (Work::new(), REMEMBERED);
        group.bench_function(format!("one event of a delivery of {size}"), |bencher| {
            bencher.iter_custom(|count| {
                let mut took = Duration::ZERO;
                let mut left = count;
                while left > 0 {
                    let part = left.min(100_000);
                    let arrivals = arrivals(from, part);
                    (from, left) = (from + part, left - part);
                    let began = Instant::now();
                    work.pass(&arrivals, size);
                    took += began.elapsed();
                }
                took
            });
        });
        assert!(work.answered > 0, "nothing was answered");
    }
    group.finish();
}

fn start(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    group.sample_size(10).throughput(Throughput::Elements(REMEMBERED));
    let entries: Vec<_> = (0..)
        .zip(arrivals(0, REMEMBERED))
        .map(|(seq, (key, lane))| Recovered { seq: Seq(seq), key, lane, event_time: 0, bytes: 1024 })
        .collect();
    group.bench_function("a start with a million entries", |bencher| {
        bencher.iter_with_large_drop(|| {
            let mut outbox = Outbox::<Record, u64>::new(LIMITS);
            outbox.recover(entries.iter().copied(), Seq(REMEMBERED));
            outbox
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(4));
    targets = outbox, start
}
criterion_main!(benches);
