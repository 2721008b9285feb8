//! Brings the working state of assigned partitions up to date, one after the other.
//!
//! First it reads the group's committed offsets, which the coordinator returns only if no transaction is open on them.
//! Then it reads the end of the state partition, including records of undecided transactions, waits until all of those
//! are decided, and reads the state up to that end. So it never misses the state of a transaction that committed its
//! offsets, even if the commit marker reaches the state partition later.

use std::time::{Duration, Instant};

use idaas_state::{Deletion, Time};

use super::committer::RestoredRows;
use super::session::{Active, Ended, Session};
use super::store::{Checkpoint, Row};
use crate::clock;
use crate::kafka::state::{Partition, RestoreStep};
use crate::telemetry::log_code::LogCode;

/// Duration of a restore step, after which the group is polled again.
const STEP: Duration = Duration::from_millis(500);

/// Maximum wait for a record.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);

/// Size of the rows that are handed over together, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Number of records between two checks of [`STEP`].
const RECORDS_PER_CLOCK: usize = 256;

/// Maximum age of a working state that is behind the committed offsets. Tombstones are kept for seven days; a state
/// that has missed one would keep the entity.
const MAX_AGE: Duration = Duration::from_secs(3 * 86_400);

/// Minimum interval between two log lines about what a restore waits for.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Pause before a request is repeated.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// A partition that waits to be restored.
pub(super) struct Waiting {
    partition: Partition,
    /// The group's offset; `None` if it committed none.
    committed: Option<i64>,
    since: Instant,
}

/// A partition that is being restored.
pub(super) struct Restoring {
    partition: Partition,
    committed: Option<i64>,
    since: Instant,
    /// The end of the topic when the restore began.
    end: i64,
    /// True once the leader was seen to have everything before `end`.
    is_end_verified: bool,
    checkpoint: Checkpoint,
    rows: Vec<(Vec<u8>, Row)>,
    bytes: usize,
}

/// A partition that was read to its end and is being written.
pub(super) struct Restored {
    committed: Option<i64>,
    since: Instant,
}

impl Session<'_> {
    /// Restores for the duration of one step.
    pub(super) fn restore_some(&mut self) -> Result<(), Ended> {
        let begin = Instant::now();
        while begin.elapsed() < STEP && self.membership.is_some() {
            self.take_results()?;
            if !self.assigned.is_empty() {
                if !self.ask_offsets() {
                    return Ok(());
                }
            } else if let Some(restoring) = self.restoring.take() {
                self.read_some(restoring, begin)?;
            } else if let Some(waiting) = self.waiting.pop_front() {
                if !self.begin(waiting)? {
                    return Ok(());
                }
            } else if self.restored.is_empty() {
                return Ok(());
            } else {
                let done = self.committer.wait()?;
                self.take_result(done)?;
            }
        }
        Ok(())
    }

    /// Returns true if an assigned partition of this pair is not restored yet.
    pub(super) fn is_restoring(&self, pair: usize) -> bool {
        let assigned = self.assigned.iter().map(|(partition, _)| partition);
        let waiting = self.waiting.iter().map(|waiting| &waiting.partition);
        let restoring = self.restoring.iter().map(|restoring| &restoring.partition);
        assigned.chain(waiting).chain(restoring).chain(self.restored.keys()).any(|partition| partition.pair == pair)
    }

    /// Requests the committed offsets of the assigned partitions. Returns false if they are not known yet.
    fn ask_offsets(&mut self) -> bool {
        let partitions: Vec<_> = self.assigned.iter().map(|(partition, _)| *partition).collect();
        match self.input.committed(&partitions) {
            Ok(offsets) => {
                let waiting = self.assigned.drain(..).map(|(partition, since)| {
                    let committed = offsets.get(&partition).copied().flatten();
                    Waiting { partition, committed, since }
                });
                self.waiting.extend(waiting);
                true
            }
            Err(failed) => {
                self.wait(&failed.to_string());
                false
            }
        }
    }

    /// Waits before a request is repeated.
    fn wait(&mut self, why: &str) {
        if self.wait_logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.wait_logged = Some(Instant::now());
            tracing::info!(code = LogCode::StateWaiting.as_str(), "a restore waits: {why}");
        }
        self.owner.stop.wait(RETRY_INTERVAL);
    }

    /// Begins to restore a partition. Returns false if it has to wait.
    fn begin(&mut self, waiting: Waiting) -> Result<bool, Ended> {
        let Waiting { partition, committed, since } = waiting;
        let Some(pair) = self.owner.pair(partition.pair) else { return Ok(true) };
        let end = self.restore.end(partition).and_then(|end| Ok((end, self.restore.is_decided(partition, end)?)));
        let end = match end {
            Ok((end, true)) => end,
            undecided => {
                let why =
                    undecided.err().map_or_else(|| "a transaction is open".to_owned(), |failed| failed.to_string());
                self.waiting.push_back(waiting);
                self.wait(&why);
                return Ok(false);
            }
        };
        let stored = self.store.checkpoint(&pair.states, partition.number)?;
        let usable = stored.filter(|stored| is_usable(stored, committed, end));
        if usable.is_none() && stored.is_some() {
            tracing::info!(
                code = LogCode::StateStoreDiscarded.as_str(),
                topic = pair.states,
                partition = partition.number,
                "the working state does not match the committed offsets and is restored from the topic"
            );
            self.store.discard(&pair.states, partition.number)?;
        }
        let checkpoint = usable.unwrap_or_default();
        let (rows, is_end_verified) = (Vec::new(), false);
        let mut restoring = Restoring { partition, committed, since, end, is_end_verified, checkpoint, rows, bytes: 0 };
        if checkpoint.position >= end {
            self.hand_over(&mut restoring, true)?;
            return Ok(true);
        }
        self.restore.begin(partition, checkpoint.position)?;
        self.restoring = Some(restoring);
        Ok(true)
    }

    /// Reads records of the partition until it ends or the step is over.
    fn read_some(&mut self, mut restoring: Restoring, begin: Instant) -> Result<(), Ended> {
        let mut records = 0_usize;
        // Reading the clock costs too much to do it for each record.
        while !records.is_multiple_of(RECORDS_PER_CLOCK) || begin.elapsed() < STEP {
            records += 1;
            match self.restore.next(POLL_TIMEOUT)? {
                RestoreStep::Record { key, value, time, timestamp, offset } => {
                    let recorded = Time::from_millis(timestamp);
                    restoring.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
                    let deletion = Deletion { at: time.unwrap_or(recorded), recorded };
                    restoring.rows.push((key, value.map_or(Row::Deleted(deletion), Row::Live)));
                    restoring.checkpoint.position = offset + 1;
                    if restoring.bytes >= MAX_BYTES {
                        self.hand_over(&mut restoring, false)?;
                    }
                }
                RestoreStep::Nothing => records = 0,
                RestoreStep::End if restoring.is_end_verified => {
                    self.restore.stop();
                    return self.hand_over(&mut restoring, true);
                }
                RestoreStep::End => {
                    self.verify_end(&mut restoring)?;
                    break;
                }
            }
        }
        self.restoring = Some(restoring);
        Ok(())
    }

    /// Verifies that the partition's leader has everything that was there when the restore began, and reads on. A new
    /// leader can announce an end before that, until its followers have asked for its records.
    fn verify_end(&mut self, restoring: &mut Restoring) -> Result<(), Ended> {
        match self.restore.end(restoring.partition) {
            Ok(end) if end >= restoring.end => restoring.is_end_verified = true,
            Ok(_) => self.wait("the leader of a state partition does not announce all of its records yet"),
            Err(failed) => self.wait(&failed.to_string()),
        }
        self.restore.begin(restoring.partition, restoring.checkpoint.position)?;
        Ok(())
    }

    /// Hands the rows over to be written. The partition is restored if these are the last ones.
    fn hand_over(&mut self, restoring: &mut Restoring, is_last: bool) -> Result<(), Ended> {
        let Restoring { partition, committed, since, .. } = *restoring;
        // Before the last ones, the state does not belong to any offset.
        restoring.checkpoint.input = if is_last { committed.unwrap_or_default() } else { -1 };
        if is_last {
            self.restored.insert(partition, Restored { committed, since });
        }
        let (rows, checkpoint) = (std::mem::take(&mut restoring.rows), restoring.checkpoint);
        restoring.bytes = 0;
        let rows = RestoredRows { partition, rows, checkpoint, is_last };
        let handed_over = self.committer.restore(rows);
        self.count_outstanding(handed_over)
    }

    /// Activates a partition whose last rows were written.
    pub(super) fn restored(&mut self, partition: Partition, checkpoint: Checkpoint, is_last: bool) {
        if !is_last {
            return;
        }
        let Some(Restored { committed, since }) = self.restored.remove(&partition) else { return };
        let took = since.elapsed();
        self.owner.health.metrics.restored(took);
        tracing::debug!(
            code = LogCode::StateRestored.as_str(),
            partition = partition.number,
            entities = checkpoint.live,
            seconds = took.as_secs_f64(),
            "the state of a partition is restored"
        );
        self.active.insert(partition, Active { committed, next: None, checkpoint });
        self.unread_since.get_or_insert_with(Instant::now);
    }
}

/// Returns true if a working state is a prefix of the state topic.
fn is_usable(stored: &Checkpoint, committed: Option<i64>, end: i64) -> bool {
    let committed = committed.unwrap_or_default();
    let age = clock::now().saturating_sub(stored.saved_at);
    let recent = u128::try_from(age).is_ok_and(|age| age < MAX_AGE.as_millis());
    stored.position <= end && (stored.input == committed || (stored.input < committed && recent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_prefix_of_the_topic_is_continued() {
        let stored = Checkpoint { input: 10, position: 20, saved_at: clock::now(), live: 1, deleted: 0 };
        assert!(is_usable(&stored, Some(10), 20));
        assert!(is_usable(&stored, Some(12), 25));
        // Events that were not committed are in it.
        assert!(!is_usable(&stored, Some(9), 25));
        assert!(!is_usable(&stored, None, 25));
        // The topic was created again.
        assert!(!is_usable(&stored, Some(10), 19));
        let old = Checkpoint { saved_at: clock::now() - 4 * 86_400_000, ..stored };
        assert!(is_usable(&old, Some(10), 20));
        assert!(!is_usable(&old, Some(11), 25));
        // A restore that was interrupted.
        assert!(is_usable(&Checkpoint { input: -1, ..stored }, None, 25));
    }
}
