//! One transaction: publish what the gathered events change, commit their offsets, and keep the working state in step.

use std::time::{Duration, Instant};

use super::batch::Batch;
use super::restoring::now;
use super::session::{Ended, Session};
use super::store::{Checkpoint, Update};
use crate::kafka::state::{Partition, WriteError};
use crate::telemetry::log_code::LogCode;

/// How often the working state is made durable. A crash costs reading what was published since.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);

impl Session<'_> {
    /// Processes the gathered events, if there are any.
    pub(super) fn publish(&mut self) -> Result<(), Ended> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let Some(membership) = &self.membership else { return Ok(()) };
        let batch = Batch::build(self.owner, self.store, &mut self.batch, self.max_state_bytes)?;
        let metrics = &self.owner.health.metrics;
        let problem = match self.writer.commit(&batch.outputs, &batch.next, membership) {
            Ok(ends) => {
                metrics.committed.inc();
                batch.count(self.owner);
                self.backoff.reset();
                self.progressed = true;
                return self.advance(&batch, |partition| ends.get(&partition).copied());
            }
            Err(problem) => problem,
        };
        metrics.aborted.inc();
        match problem {
            WriteError::Aborted(problem) => {
                tracing::warn!(
                    code = LogCode::StateTransactionAborted.as_str(),
                    "the transaction is repeated: {problem}"
                );
                // At once: what follows the aborted events must not be read before them.
                self.read_active()?;
                let pause = self.backoff.next();
                self.owner.stop.wait(pause);
                Ok(())
            }
            WriteError::Fenced(problem) => {
                self.lose(&format!("the partitions belong to another instance: {problem}"));
                Ok(())
            }
            WriteError::Broken { problem, fenced: false } => Err(Ended::Failed(problem)),
            WriteError::Broken { problem, fenced: true } => Err(Ended::Fenced(problem)),
        }
    }

    /// Brings the working state to what was committed.
    fn advance(&mut self, batch: &Batch, end: impl Fn(Partition) -> Option<i64>) -> Result<(), Ended> {
        let saved_at = now();
        let mut updates = Vec::with_capacity(batch.next.len());
        let mut partitions = Vec::with_capacity(batch.next.len());
        for (partition, next) in &batch.next {
            let (Some(pair), Some(active)) = (self.owner.pair(partition.pair), self.active.get(partition)) else {
                continue;
            };
            let position = end(*partition).unwrap_or(active.checkpoint.position);
            let rows = batch.changed.get(partition).into_iter().flatten();
            updates.push(Update {
                topic: &pair.states,
                number: partition.number,
                rows: rows.map(|(key, row)| (key.as_slice(), row)).collect(),
                checkpoint: Checkpoint { input: *next, position, saved_at, ..active.checkpoint },
                forget_before: batch.forget_before(*partition),
            });
            partitions.push((*partition, *next));
        }
        let durable = self.synced.elapsed() >= SYNC_INTERVAL;
        let checkpoints = self.store.apply(&updates, durable)?;
        if durable {
            self.synced = Instant::now();
        }
        for ((partition, next), checkpoint) in partitions.into_iter().zip(checkpoints) {
            if let Some(active) = self.active.get_mut(&partition) {
                active.next = Some(next);
                active.checkpoint = checkpoint;
            }
        }
        Ok(())
    }
}
