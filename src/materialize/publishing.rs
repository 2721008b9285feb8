//! Builds transactions from the gathered events, and handles their results.

use std::sync::Arc;

use super::batch::Batch;
use super::committer::Done;
use super::session::{Active, Ended, Session};
use super::store::Checkpoint;
use crate::kafka::state::{Failed, Partition, WriteError};
use crate::telemetry::log_code::LogCode;

impl Session<'_> {
    /// Merges the gathered events, and hands them over once the transaction before is committed.
    pub(super) fn publish(&mut self) -> Result<(), Ended> {
        if self.gathered.is_empty() {
            return self.take_results();
        }
        if self.membership.is_none() {
            return Ok(());
        }
        let before = self.in_progress.as_deref();
        let batch = Batch::build(self.owner, &self.store, before, &mut self.gathered, self.max_state_bytes)?;
        let aborted = self.aborted;
        self.settle()?;
        // If the transaction before was not committed, this batch is dropped, and its events are read again.
        let Some(membership) = self.membership.clone().filter(|_| self.aborted == aborted) else { return Ok(()) };
        let checkpoints = batch.next.keys().filter_map(|at| Some((*at, self.active.get(at)?.checkpoint))).collect();
        let batch = Arc::new(batch);
        let handed_over = self.committer.commit(Arc::clone(&batch), membership, checkpoints);
        self.in_progress = Some(batch);
        self.count_outstanding(handed_over)
    }

    /// Counts an outstanding result. The committer accepts no more jobs once the store has failed, or a call hangs.
    pub(super) fn count_outstanding(&mut self, handed_over: Result<(), Failed>) -> Result<(), Ended> {
        if let Err(failed) = handed_over {
            self.settle()?;
            return Err(failed.into());
        }
        self.outstanding += 1;
        Ok(())
    }

    /// Waits until no result is outstanding.
    pub(super) fn settle(&mut self) -> Result<(), Ended> {
        while self.outstanding > 0 {
            let done = self.committer.wait()?;
            self.take_result(done)?;
        }
        Ok(())
    }

    /// Handles the available results.
    pub(super) fn take_results(&mut self) -> Result<(), Ended> {
        while let Some(done) = self.committer.poll()? {
            self.take_result(done)?;
        }
        Ok(())
    }

    pub(super) fn take_result(&mut self, done: Done) -> Result<(), Ended> {
        self.outstanding = self.outstanding.saturating_sub(1);
        match done {
            Done::Restored { partition, checkpoint, is_last } => {
                self.restored(partition, checkpoint, is_last);
                Ok(())
            }
            Done::Committed(checkpoints) => {
                self.committed(checkpoints);
                Ok(())
            }
            Done::NotCommitted(problem) => self.not_committed(problem),
            Done::Failed(error) => Err(error.into()),
        }
    }

    fn committed(&mut self, checkpoints: Vec<(Partition, Checkpoint)>) {
        self.owner.health.metrics.committed.inc();
        self.backoff.reset();
        self.progressed = true;
        if let Some(batch) = self.in_progress.take() {
            batch.count(self.owner);
        }
        for (partition, checkpoint) in checkpoints {
            if let Some(active) = self.active.get_mut(&partition) {
                *active = Active { committed: Some(checkpoint.input), checkpoint, ..*active };
            }
        }
    }

    fn not_committed(&mut self, problem: WriteError) -> Result<(), Ended> {
        self.owner.health.metrics.aborted.inc();
        self.in_progress = None;
        self.aborted += 1;
        match problem {
            WriteError::Aborted(problem) => {
                tracing::warn!(
                    code = LogCode::StateTransactionAborted.as_str(),
                    "the transaction is repeated: {problem}"
                );
                self.read_active()?;
                let pause = self.backoff.next();
                self.owner.stop.wait(pause);
                Ok(())
            }
            WriteError::Fenced(problem) => self.lose(&format!("the partitions belong to another instance: {problem}")),
            WriteError::Broken { problem, fenced: false } => Err(Ended::Failed(problem)),
            WriteError::Broken { problem, fenced: true } => Err(Ended::Fenced(problem)),
        }
    }
}
