//! One membership in the consumer group, with its clients, until something fails.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::committer::Committer;
use super::restoring::{Restored, Restoring, Waiting};
use super::store::{Checkpoint, Store, StoreError};
use super::{Backoff, Materializer};
use crate::kafka::admin::administrator::Administrator;
use crate::kafka::state::{
    Failed, HUNG_CALL, Input, InputRecord, Membership, Partition, Polled, Restore, Writer, partition_counts,
};
use crate::telemetry::log_code::LogCode;

/// The most events in one transaction, and the most bytes of their values.
const MAX_BATCH: usize = 2500;
const MAX_BATCH_BYTES: usize = 4 << 20;

/// Space that a record needs beside its key and value, for its headers and its batch.
const RECORD_OVERHEAD: usize = 1024;

/// Maximum wait for the first event of a transaction, and for further events.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
const GATHER_TIMEOUT: Duration = Duration::from_millis(5);

/// Time for which events are gathered for one transaction.
const MAX_GATHERING: Duration = Duration::from_millis(50);

/// Interval at which restored partitions start to be read while others are still being restored.
const START_INTERVAL: Duration = Duration::from_secs(1);

/// Time after which a member without an assignment joins again with new clients.
const REJOIN_TIMEOUT: Duration = Duration::from_secs(120);

/// The reason why a session ended although no end was requested.
pub(super) enum Ended {
    /// A client cannot continue.
    Failed(String),
    /// Another instance has the same transactional id.
    Fenced(String),
    /// The working state cannot be kept.
    Store(StoreError),
}

impl From<Failed> for Ended {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed.to_string())
    }
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A partition that is maintained.
pub(super) struct Active {
    /// The group's offset; `None` if it committed none: the oldest one.
    pub(super) committed: Option<i64>,
    /// The offset of the next event to gather; `None` if it is the group's.
    pub(super) next: Option<i64>,
    /// The checkpoint of the working state.
    pub(super) checkpoint: Checkpoint,
}

/// The clients and their current work.
pub(super) struct Session<'m> {
    pub(super) owner: &'m Materializer,
    pub(super) store: Arc<Store>,
    pub(super) input: Input,
    pub(super) committer: Committer,
    /// Number of outstanding results of the committer.
    pub(super) outstanding: usize,
    /// The batch that is being committed. The store does not have it yet.
    pub(super) in_progress: Option<Arc<Batch>>,
    /// Number of transactions that were not committed.
    pub(super) aborted: u64,
    pub(super) restore: Restore,
    pub(super) max_state_bytes: usize,
    /// `None` while the instance is not a member with an assignment.
    pub(super) membership: Option<Arc<Membership>>,
    /// Partitions whose committed offsets are not known yet, and the times of their assignment.
    pub(super) assigned: Vec<(Partition, Instant)>,
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) restoring: Option<Restoring>,
    /// Partitions that were read to their ends and are being written.
    pub(super) restored: BTreeMap<Partition, Restored>,
    pub(super) active: BTreeMap<Partition, Active>,
    /// The time since which there are active partitions that are not read yet.
    pub(super) unread_since: Option<Instant>,
    /// Records that were read and are not merged yet.
    pub(super) gathered: VecDeque<InputRecord>,
    pub(super) backoff: Backoff,
    pub(super) progressed: bool,
    /// The time of the last log line about what a restore waits for.
    pub(super) wait_logged: Option<Instant>,
    without_assignment_since: Instant,
    pub(super) gauges_shown: Instant,
}

impl<'m> Session<'m> {
    /// Connects and joins the group.
    pub(super) fn start(owner: &'m Materializer, store: &Arc<Store>) -> Result<Self, Failed> {
        check_topics(owner)?;
        let id = format!("{}-{}", owner.state.group_id, store.instance());
        let max_state_bytes = max_record_bytes(owner).saturating_sub(RECORD_OVERHEAD);
        // First the producer: it ends the transaction that an earlier run left behind.
        let writer = Writer::start(&owner.cluster, &id, &owner.pairs, max_state_bytes, &owner.health.metrics.liveness)?;
        let (liveness, writer) = (&owner.health.metrics.liveness, Box::new(writer));
        let committer = Committer::start(liveness, &owner.pairs, store, writer, HUNG_CALL)?;
        let restore = Restore::new(&owner.cluster, &owner.pairs)?;
        let input = Input::join(&owner.cluster, &owner.state.group_id, &owner.pairs)?;
        let now = Instant::now();
        Ok(Self {
            owner,
            store: Arc::clone(store),
            input,
            committer,
            outstanding: 0,
            in_progress: None,
            aborted: 0,
            restore,
            max_state_bytes,
            membership: None,
            assigned: Vec::new(),
            waiting: VecDeque::new(),
            restoring: None,
            restored: BTreeMap::new(),
            active: BTreeMap::new(),
            unread_since: None,
            gathered: VecDeque::new(),
            backoff: Backoff::default(),
            progressed: false,
            wait_logged: None,
            without_assignment_since: now,
            gauges_shown: now,
        })
    }

    /// Processes events until the end is requested.
    pub(super) fn run(&mut self) -> Result<(), Ended> {
        while !self.owner.stop.is_requested() {
            self.owner.proceeds();
            self.gather()?;
            if self.membership.is_some() && self.input.has_lost_assignment() {
                self.lose("the group has given the partitions to others")?;
            }
            if self.membership.is_none() && self.without_assignment_since.elapsed() >= REJOIN_TIMEOUT {
                return Err(Ended::Failed("the group assigns nothing to this instance".to_owned()));
            }
            self.publish()?;
            self.restore_some()?;
            self.read_restored()?;
            self.show();
        }
        self.settle()
    }

    /// Returns true if any transaction was committed.
    pub(super) const fn has_progressed(&self) -> bool {
        self.progressed
    }

    pub(super) fn is_restored(&self) -> bool {
        self.assigned.is_empty() && self.waiting.is_empty() && self.restoring.is_none() && self.restored.is_empty()
    }

    /// Gathers events until there are enough for a transaction, or none arrive.
    fn gather(&mut self) -> Result<(), Ended> {
        let begin = Instant::now();
        let mut bytes: usize = self.gathered.iter().map(|record| record.size).sum();
        let mut limit = if self.is_restored() && self.gathered.is_empty() { POLL_TIMEOUT } else { Duration::ZERO };
        while self.gathered.len() < MAX_BATCH
            && bytes < MAX_BATCH_BYTES
            && begin.elapsed() < POLL_TIMEOUT + MAX_GATHERING
        {
            match self.input.poll(limit) {
                Polled::Record(record) => {
                    let Some(active) = self.active.get_mut(&record.partition) else { continue };
                    if active.committed.is_some_and(|committed| record.offset < committed) {
                        tracing::warn!(
                            code = LogCode::StateOffsetsReset.as_str(),
                            partition = record.partition.number,
                            offset = record.offset,
                            committed = active.committed,
                            "the offsets of an event topic start over: it was created again, or has lost records; its \
                            records are applied from this offset on"
                        );
                        (active.committed, active.next) = (Some(record.offset), None);
                    }
                    if active.next.or(active.committed).is_none_or(|next| record.offset >= next) {
                        active.next = Some(record.offset + 1);
                        bytes += record.size;
                        self.gathered.push_back(*record);
                    }
                }
                Polled::Assigned(partitions, membership) => {
                    self.forget_assignment()?;
                    let now = Instant::now();
                    tracing::info!(
                        code = LogCode::StateAssigned.as_str(),
                        partitions = partitions.len(),
                        "the group assigned partitions"
                    );
                    self.assigned = partitions.into_iter().map(|partition| (partition, now)).collect();
                    self.membership = Some(Arc::new(membership));
                    return Ok(());
                }
                Polled::Revoked => {
                    return self.lose("the group rebalances");
                }
                Polled::Nothing => return Ok(()),
                Polled::Failed(failed) => return Err(failed.into()),
            }
            limit = GATHER_TIMEOUT;
        }
        Ok(())
    }

    /// Stops working on all partitions until the group assigns some again.
    pub(super) fn lose(&mut self, why: &str) -> Result<(), Ended> {
        if self.membership.is_some() {
            tracing::info!(code = LogCode::StateRevoked.as_str(), "{why}");
        }
        self.forget_assignment()
    }

    fn forget_assignment(&mut self) -> Result<(), Ended> {
        self.membership = None;
        self.without_assignment_since = Instant::now();
        self.assigned.clear();
        self.waiting.clear();
        if self.restoring.take().is_some() {
            self.restore.stop();
        }
        self.active.clear();
        self.gathered.clear();
        self.unread_since = None;
        // The next restore must not find rows that are still being written.
        self.settle()?;
        // Results that arrived meanwhile can have activated partitions.
        self.restored.clear();
        self.active.clear();
        self.unread_since = None;
        Ok(())
    }

    /// Adds the partitions that were restored to those that are read, if there are any.
    fn read_restored(&mut self) -> Result<(), Ended> {
        let due = |since: Instant| self.is_restored() || since.elapsed() >= START_INTERVAL;
        if self.membership.is_none() || !self.unread_since.is_some_and(due) {
            return Ok(());
        }
        self.settle()?;
        if self.unread_since.is_some() { self.read_active() } else { Ok(()) }
    }

    /// Reads the active partitions, each from its committed offset. No transaction may be in progress.
    pub(super) fn read_active(&mut self) -> Result<(), Ended> {
        // The gathered events are read again.
        self.gathered.clear();
        self.active.values_mut().for_each(|active| active.next = None);
        let offsets = self.active.iter().map(|(partition, active)| (*partition, active.committed)).collect();
        self.input.read_from(&offsets)?;
        self.unread_since = None;
        Ok(())
    }
}

/// Returns the size of the largest record that the producer and all state topics accept. Without the right to read the
/// topics' settings, they count as large enough; `check` reports those that are not.
fn max_record_bytes(owner: &Materializer) -> usize {
    let names: Vec<_> = owner.pairs.iter().map(|pair| pair.states.as_str()).collect();
    let limits = Administrator::new(&owner.cluster).map(|administrator| administrator.max_message_bytes(&names));
    let of_topics = limits.into_iter().flatten().flatten().min();
    of_topics.unwrap_or(usize::MAX).min(owner.cluster.max_state_bytes())
}

/// Checks that each event topic exists and its state topic has as many partitions.
fn check_topics(owner: &Materializer) -> Result<(), Failed> {
    let names: Vec<_> = owner.pairs.iter().flat_map(|pair| [pair.events.as_str(), pair.states.as_str()]).collect();
    let counts = partition_counts(&owner.cluster, &names)?;
    for (pair, counts) in owner.pairs.iter().zip(counts.chunks(2)) {
        let (events, states) =
            (counts.first().copied().unwrap_or_default(), counts.get(1).copied().unwrap_or_default());
        if events == 0 || states == 0 {
            let missing = if events == 0 { &pair.events } else { &pair.states };
            return Err(Failed::missing_topic(missing));
        }
        if events != states {
            return Err(Failed::partitions_differ(&pair.events, events, &pair.states, states));
        }
    }
    Ok(())
}
