//! Executes the commands of the state machine, and passes reports of the producer, results of the journal and the time
//! to it.
//!
//! Called on threads of librdkafka, the journal and the runtime. Must never wait for any of them, and never hold the
//! machine's lock while it executes a command.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use outbox::machine::{Command, Limits, Outbox};
use outbox::verdict::Verdict;
use outbox::{
    CompletedRequest, DeliveryReport, DiscardOutcome, EventHandle, EventKey, Loaded, Millis, RedriveOutcome, Seq,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::event_log;
use super::produce::trace_report;
use super::publication::{EventPublication, OwningApplication};
use crate::clock;
use crate::journal;
use crate::journal::admin::OutboxControl;
use crate::journal::{Entry, Journal, JournalEvents, JournalRejection};
use crate::kafka::availability::acceptance::Undeliverable;
use crate::kafka::producer::Producer;
use crate::kafka::producer::delivery::{DeliveryObserver, DeliveryTag, Position};
use crate::telemetry::kafka::ProducerStatistics;
use crate::telemetry::log_code::LogCode;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::Spans;

pub(super) type VerdictReply = oneshot::Sender<Vec<Verdict>>;
pub(super) type Machine = Outbox<EventPublication, VerdictReply>;

/// The state machine, and the producer and journal that it drives.
pub(super) struct Executor {
    pub(super) outbox: Mutex<Machine>,
    /// `None` before the start and after the shutdown.
    pub(super) producer: ArcSwapOption<Producer>,
    pub(super) journal: ArcSwapOption<Journal>,
    /// The configured applications.
    pub(super) owners: ArcSwap<HashMap<String, Arc<OwningApplication>>>,
    /// Entries that are being read back.
    loading: Mutex<HashMap<Seq, EventHandle>>,
    pub(super) metrics: Arc<Metrics>,
    /// Empty if tracing is off.
    pub(super) spans: OnceLock<Arc<Spans>>,
    /// Notified when another cluster answers at the same address.
    pub(super) cluster_replaced: Notify,
    started: Instant,
    pub(super) recovery: super::recovery::Recovery,
}

/// Operations that go to the journal together.
#[derive(Default)]
struct JournalOps {
    write: Vec<Entry>,
    cancel: Vec<Seq>,
    delete: Vec<Seq>,
    read: Vec<Seq>,
}

impl Executor {
    pub(super) fn new(limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            outbox: Mutex::new(Outbox::new(limits)),
            producer: ArcSwapOption::empty(),
            journal: ArcSwapOption::empty(),
            owners: ArcSwap::default(),
            loading: Mutex::default(),
            metrics,
            spans: OnceLock::new(),
            cluster_replaced: Notify::new(),
            started: Instant::now(),
            recovery: Default::default(),
        }
    }

    /// Returns the machine's time.
    pub(super) fn now(&self) -> Millis {
        self.machine_time(Instant::now())
    }

    fn machine_time(&self, at: Instant) -> Millis {
        Millis::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(Millis::MAX)
    }

    /// Passes one input to the machine, and executes the commands that follow.
    pub(super) fn step<T>(&self, input: impl FnOnce(&mut Machine, Millis) -> T) -> T {
        self.step_at(Instant::now(), input)
    }

    /// As [`Executor::step`], at a time that the caller already knows.
    fn step_at<T>(&self, at: Instant, input: impl FnOnce(&mut Machine, Millis) -> T) -> T {
        let now = self.machine_time(at);
        let (result, commands) = {
            let mut outbox = self.outbox.lock();
            (input(&mut outbox, now), outbox.commands())
        };
        self.execute(commands);
        result
    }

    /// Executes commands, until no more follow.
    fn execute(&self, mut commands: Vec<Command<EventPublication, VerdictReply>>) {
        while !commands.is_empty() {
            let mut journal_ops = JournalOps::default();
            let mut failed = Vec::new();
            let recoveries = self.recoveries();
            for command in commands {
                match command {
                    Command::Produce(handle, publication, confirmed) => {
                        self.produce(handle, &publication, confirmed, &mut failed);
                    }
                    Command::Write(handle, publication) => {
                        event_log::journaled(&self.metrics, &publication);
                        self.trace_write(handle.seq, &publication);
                        journal_ops.write.push(publication.to_entry(handle.seq));
                    }
                    Command::Delete(seq) => journal_ops.delete.push(seq),
                    Command::Cancel(seq) => journal_ops.cancel.push(seq),
                    Command::Load(handle) => {
                        self.loading.lock().insert(handle.seq, handle);
                        journal_ops.read.push(handle.seq);
                    }
                    // The sender may have disconnected.
                    Command::Answer(CompletedRequest { waiter, verdicts }) => drop(waiter.send(verdicts)),
                }
            }
            self.submit(journal_ops);
            if failed.is_empty() {
                return;
            }
            let now = self.now();
            let mut outbox = self.outbox.lock();
            failed.into_iter().for_each(|(handle, record, report)| outbox.report(handle, record, report, now));
            // A partition can recover before the machine has the report that an event waits for it.
            if self.recoveries() != recoveries {
                self.partitions_available(&mut outbox);
            }
            commands = outbox.commands();
        }
    }

    fn submit(&self, JournalOps { write, cancel, delete, read }: JournalOps) {
        if let Some(journal) = &*self.journal.load() {
            journal.write(write);
            journal.cancel(&cancel);
            journal.delete(delete);
            journal.read(read);
        }
    }

    fn loaded(&self, entries: impl Iterator<Item = (Seq, Loaded<EventPublication>)>) {
        let loaded: Vec<_> = {
            let mut loading = self.loading.lock();
            entries.filter_map(|(seq, publication)| Some((loading.remove(&seq)?, publication))).collect()
        };
        self.step(|outbox, now| {
            loaded.into_iter().for_each(|(handle, publication)| outbox.loaded(handle, publication, now));
        });
    }

    /// Returns the application with that name. If it is no longer configured, returns what its events need.
    fn owner(&self, name: &str) -> Arc<OwningApplication> {
        let owners = self.owners.load();
        owners.get(name).cloned().unwrap_or_else(|| {
            let metrics = self.metrics.application(name, 0);
            let fallback_policy = owners.values().find_map(|owner| owner.policy.clone());
            Arc::new(OwningApplication { name: name.to_owned(), policy: None, fallback_policy, metrics })
        })
    }
}

impl DeliveryObserver for Executor {
    fn report(
        &self,
        tag: DeliveryTag,
        topic: &str,
        (report, position): (DeliveryReport, Option<Position>),
        at: Instant,
    ) {
        let (handle, record) = (tag.handle, tag.record);
        trace_report(&tag, report, position);
        if let Some(position) = position {
            self.record_confirmation(tag, topic, position, at);
        }
        self.step_at(at, |outbox, now| outbox.report(handle, record, report, now));
    }

    fn statistics(&self, statistics: ProducerStatistics) {
        self.metrics.kafka.show(&statistics);
    }

    fn producer_recreated(&self) {
        self.metrics.kafka.producer_recreated.inc();
    }

    fn partitions_available(&self) {
        self.recovered();
    }

    fn may_have_recovered(&self) {
        self.recheck_partitions();
    }

    fn partition_closed(&self, waiting: &[EventHandle]) {
        self.step(|outbox, _| outbox.partition_closed(waiting));
    }

    fn partitions_unavailable(&self, topic: &str, partitions: usize) {
        self.metrics.kafka.set_partitions_unavailable(topic, partitions);
    }

    fn deliverability_changed(&self, problem: Option<Undeliverable>) {
        if let Some(Undeliverable::Unreachable(addresses)) = &problem {
            self.metrics.kafka.set_unreachable(addresses.clone());
        }
        // One line for each time that Kafka is unavailable, whoever notices it first.
        if !self.metrics.kafka.set_deliverable(problem.is_none()) {
            return;
        }
        match problem {
            Some(problem) => tracing::error!(
                code = LogCode::KafkaUnavailable.as_str(),
                "Kafka accepts no records: {problem}; events go to the journal"
            ),
            None => tracing::info!(code = LogCode::KafkaAvailable.as_str(), "Kafka answers"),
        }
    }

    fn cluster_replaced(&self) {
        self.metrics.kafka.cluster_replaced.inc();
        self.step(|outbox, _| outbox.cluster_replaced());
        self.cluster_replaced.notify_one();
    }
}

impl JournalEvents for Executor {
    fn written(&self, entries: Vec<Seq>) {
        self.trace_written(&entries, None);
        self.step(|outbox, _| outbox.written(entries));
    }

    fn rejected(&self, entries: Vec<Seq>, rejection: JournalRejection) {
        self.metrics.journal.refused(rejection, entries.len());
        self.trace_written(&entries, Some(rejection));
        self.step(|outbox, _| outbox.rejected(entries));
    }

    fn unread(&self, entries: Vec<Seq>, _: JournalRejection) {
        self.loaded(entries.into_iter().map(|seq| (seq, Loaded::Unavailable)));
    }

    fn read(&self, entries: Vec<(Seq, Option<Entry>)>) {
        let publication = |entry: Entry| {
            let owner = self.owner(&entry.application);
            let trace = self.spans.get().and_then(|spans| spans.resumed(&entry.record));
            EventPublication::from_entry(entry, owner, trace)
        };
        let loaded = |entry: Option<Entry>| entry.map_or(Loaded::Damaged, |entry| Loaded::Found(publication(entry)));
        self.loaded(entries.into_iter().map(|(seq, entry)| (seq, loaded(entry))));
    }
}

impl OutboxControl for Executor {
    fn discard(&self, _: Seq, key: EventKey) -> DiscardOutcome {
        self.step(|outbox, _| outbox.discard(key))
    }

    fn redrive(&self, key: EventKey) -> RedriveOutcome {
        self.step(|outbox, _| outbox.redrive(key))
    }

    fn waiting(&self, limit: usize) -> Vec<journal::waiting::WaitingEntry> {
        let (now, since_1970) = (self.now(), clock::since_1970());
        let since = |at: Millis| since_1970.saturating_sub(Duration::from_millis(now.saturating_sub(at)));
        let heads = self.outbox.lock().waiting_heads(limit);
        let waiting = heads.into_iter().map(|head| journal::waiting::WaitingEntry {
            seq: head.seq,
            reason: head.reason.code(),
            attempts: head.attempts.into(),
            since: head.failing_since.map(|at| clock::milliseconds(since(at))),
        });
        waiting.collect()
    }

    fn unreachable_brokers(&self) -> Vec<String> {
        self.metrics.kafka.unreachable_addresses()
    }
}
