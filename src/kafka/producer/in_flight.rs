//! The records that any producer holds, including replaced producers. Each gets one report, and each report updates
//! the availability of its partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use idaas_callback::record::Record;
use outbox::{DeliveryReport, EventHandle, FailureCode};
use parking_lot::Mutex;

use super::delivery::{DeliveryObserver, DeliveryTag, Position};
use super::record_error::FailureLog;
use crate::kafka::availability::acceptance::{Acceptance, Undeliverable};
use crate::kafka::availability::partitions::{Changes, PartitionIndex, Partitions, Silent};

/// A record that the producer has, as librdkafka returns it with its report.
pub(super) struct InFlightRecord {
    pub(super) tag: DeliveryTag,
    pub(super) index: PartitionIndex,
}

pub(super) struct InFlight {
    pub(super) observer: Arc<dyn DeliveryObserver>,
    pub(super) log: FailureLog,
    pub(super) acceptance: Arc<Acceptance>,
    outstanding: AtomicUsize,
    partitions: Mutex<Partitions>,
    /// False while no partition is closed. Saves the lock in the usual case.
    any_closed: AtomicBool,
    denied: AtomicBool,
    undeliverable: AtomicBool,
    started: Instant,
}

impl InFlight {
    pub(super) fn new(observer: Arc<dyn DeliveryObserver>) -> Self {
        Self {
            observer,
            log: FailureLog::default(),
            acceptance: Arc::default(),
            outstanding: AtomicUsize::new(0),
            partitions: Mutex::default(),
            any_closed: AtomicBool::new(false),
            denied: AtomicBool::new(false),
            undeliverable: AtomicBool::new(false),
            started: Instant::now(),
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the number of records without a report.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }

    /// Returns true if records of that key are considered to be accepted at the moment.
    pub(super) fn accepts(&self, topic: &str, key: Option<&str>) -> bool {
        let nothing = self.is_denied() || self.undeliverable.load(Ordering::Relaxed);
        !nothing && (!self.any_closed.load(Ordering::Relaxed) || self.partitions.lock().accepts(topic, key))
    }

    /// Counts a record that is about to be given to a producer.
    ///
    /// # Errors
    /// The report, if the record must not be given to a producer.
    pub(super) fn hand_over(&self, record: &Record, tag: DeliveryTag) -> Result<InFlightRecord, DeliveryReport> {
        if self.is_denied() {
            return Err(DeliveryReport::NotSent(FailureCode::NotAuthorized));
        }
        let target = (&*record.topic, record.key.as_deref());
        let now = tag.handed_over.saturating_duration_since(self.started);
        let index = self.partitions.lock().hand_over(target, tag.handle, record.value.len(), now);
        let index = index.ok_or(DeliveryReport::NotSent(FailureCode::PartitionUnavailable))?;
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Ok(InFlightRecord { tag, index })
    }

    /// Removes a record that was counted but that the producer did not accept, for example because it knows that the
    /// topic does not exist.
    pub(super) fn not_accepted(&self, index: PartitionIndex, handle: EventHandle, report: DeliveryReport) {
        let openings = self.openings();
        let waiting = self.failed(index, handle, report, self.now());
        self.report_closed(&waiting, openings);
        self.outstanding.fetch_sub(1, Ordering::Release);
    }

    /// Handles the report of a record.
    pub(super) fn finish(
        &self,
        in_flight_record: InFlightRecord,
        topic: &str,
        report: DeliveryReport,
        position: Option<Position>,
    ) {
        let (index, handle, at) = (in_flight_record.index, in_flight_record.tag.handle, Instant::now());
        let now = at.duration_since(self.started);
        let (mut opened, mut openings) = (false, 0);
        let waiting = match report {
            DeliveryReport::Confirmed => {
                self.acceptance.confirmed();
                opened = self.partitions.lock().confirmed(index, handle, now);
                if opened {
                    self.update_any_closed();
                    self.undeliverable.store(false, Ordering::Relaxed);
                }
                Vec::new()
            }
            DeliveryReport::Failed(_)
            | DeliveryReport::Rejected(_)
            | DeliveryReport::QueueFull
            | DeliveryReport::NotSent(_) => {
                openings = self.openings();
                self.failed(index, handle, report, now)
            }
        };
        self.report_closed(&waiting, openings);
        self.observer.report(in_flight_record.tag, topic, (report, position), at);
        self.outstanding.fetch_sub(1, Ordering::Release);
        if opened {
            self.observer.partitions_available();
        }
    }

    /// Removes a record that was not confirmed. Returns the events that wait for its partition, if that is closed now.
    fn failed(
        &self,
        index: PartitionIndex,
        handle: EventHandle,
        report: DeliveryReport,
        now: Duration,
    ) -> Vec<EventHandle> {
        let failure = partition_failure(report);
        let waiting = self.partitions.lock().failed(index, handle, failure, now);
        if failure.is_some() {
            self.update_any_closed();
        }
        waiting
    }

    fn update_any_closed(&self) {
        // The value is stored under the lock, so that an older one does not replace it.
        let partitions = self.partitions.lock();
        self.any_closed.store(partitions.closed().0, Ordering::Relaxed);
    }

    /// Returns how many times partitions have opened.
    pub(super) fn openings(&self) -> u64 {
        self.partitions.lock().openings()
    }

    /// Reports the events that wait for closed partitions. `openings` is the value of [`InFlight::openings`] from
    /// before the partitions were checked.
    pub(super) fn report_closed(&self, waiting: &[EventHandle], openings: u64) {
        if waiting.is_empty() {
            return;
        }
        self.observer.partition_closed(waiting);
        if self.openings() != openings {
            // They may have opened again, and that may have been passed on before.
            self.observer.may_have_recovered();
        }
    }

    /// Returns true if the Kafka user may not publish anything.
    pub(super) fn is_denied(&self) -> bool {
        self.denied.load(Ordering::Relaxed)
    }

    pub(super) fn set_denied(&self, denied: bool) {
        if self.denied.swap(denied, Ordering::Relaxed) && !denied {
            self.observer.partitions_available();
        }
    }

    /// Passes a change of [`Undeliverable`] to the observer.
    pub(super) fn deliverability_changed(&self, problem: Option<Undeliverable>) {
        self.observer.deliverability_changed(problem);
    }

    /// Sets whether all leaders are unreachable, in which case no record is accepted. While some can be reached,
    /// failures on other partitions say nothing about partitions that have not been tried.
    pub(super) fn set_undeliverable(&self, undeliverable: bool) {
        if self.undeliverable.swap(undeliverable, Ordering::Relaxed) && !undeliverable {
            self.observer.may_have_recovered();
        }
    }

    /// Handles the end of an outage of the whole cluster, with the partitions that have a leader.
    pub(super) fn outage_ended(&self, with_leader: &[(String, usize)]) {
        let is_opened = self.partitions.lock().outage_ended(with_leader, self.now());
        if is_opened {
            self.update_any_closed();
            self.observer.partitions_available();
        }
    }

    pub(super) fn set_partition_counts(&self, counts: Vec<(String, usize)>) {
        self.partitions.lock().set_counts(counts);
    }

    /// Returns the topics that records were sent to.
    pub(super) fn topics(&self) -> Vec<String> {
        self.partitions.lock().topics()
    }

    pub(super) fn tick(&self) -> Changes {
        let changes = self.partitions.lock().tick(self.now());
        self.update_any_closed();
        changes
    }

    /// Returns closed partitions whose records wait or time out, but are not rejected.
    pub(super) fn silent(&self) -> Vec<Silent> {
        self.partitions.lock().silent(self.now())
    }

    /// Returns two flags, any partition is closed and all are, and the time since the last confirmation.
    pub(super) fn closed(&self) -> (bool, bool, Option<Duration>) {
        let availability = self.partitions.lock();
        let (any, all) = availability.closed();
        (any, all, availability.last_success().map(|success| self.now().saturating_sub(success)))
    }
}

/// Returns the failure if the report says something about the record's partition.
fn partition_failure(report: DeliveryReport) -> Option<FailureCode> {
    match report {
        DeliveryReport::Failed(code) => code.ends_with_recovery().then_some(code),
        DeliveryReport::Confirmed
        | DeliveryReport::Rejected(_)
        | DeliveryReport::QueueFull
        | DeliveryReport::NotSent(_) => None,
    }
}
