//! Recovery after a failure: the file is closed, then read back from the disk and verified before it is used again.
//!
//! A failed sync can discard the data that it should have written, and a later sync that succeeds proves nothing. Data
//! in memory is therefore not trusted; only what is read back from the disk counts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::Store;
use super::database::{JournalFile, StoreError};
use super::open;
use super::preallocation::DiskSpace;
use super::tables::Changes;
use crate::diagnosis::Diagnosis;
use crate::journal::fault::OpenFault;
use crate::telemetry::journal::JournalRejection;
use crate::telemetry::log_code::LogCode;

/// First and longest delay before the next attempt to open the file. It doubles after each failure, because each
/// attempt verifies the file.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What has to be done before the file is used again.
#[derive(Default)]
pub(super) struct Recovery {
    /// Entries that were reported as rejected when their commit failed, but can still be on the disk.
    possibly_written: Vec<u64>,
    /// Earliest time of the next attempt.
    next_attempt: Option<Instant>,
    /// Delay after the next failure. Zero once a commit has succeeded.
    pause: Duration,
    full: bool,
}

impl Recovery {
    /// Notes that a commit has succeeded.
    pub(super) const fn commit_succeeded(&mut self) {
        self.pause = Duration::ZERO;
    }

    /// Schedules the next attempt: at once after the first failure. A file that fails again and again right after it
    /// was verified, for example because the disk is full, must not be verified all the time.
    fn postpone(&mut self) {
        self.next_attempt = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE);
    }
}

impl Store {
    /// Ensures that the file is open and verified. Opens it again if the next attempt is due.
    pub(super) fn ready(&mut self) -> Result<(), JournalRejection> {
        if self.file.is_some() {
            return Ok(());
        }
        let early = self.recovery.next_attempt.is_some_and(|at| Instant::now() < at);
        if !early && self.reopen() {
            return Ok(());
        }
        Err(if self.recovery.full { JournalRejection::DiskFull } else { JournalRejection::Failed })
    }

    /// Runs a read operation. If it fails, closes the file until it has been verified.
    pub(super) fn reading<T>(
        &mut self,
        read: impl FnOnce(&JournalFile) -> Result<T, StoreError>,
    ) -> Result<T, JournalRejection> {
        self.ready()?;
        let Some(file) = &self.file else { return Err(JournalRejection::Failed) };
        read(file).map_err(|error| self.require_verification(&error, std::iter::empty()))
    }

    /// Closes the file after a failure. `possibly_written` contains the entries of the failed commit: they are reported
    /// as rejected, but can be on the disk.
    pub(super) fn require_verification(
        &mut self,
        error: &StoreError,
        possibly_written: impl Iterator<Item = u64>,
    ) -> JournalRejection {
        tracing::error!(
            code = LogCode::JournalSuspect.as_str(), cause = %error,
            "the journal has failed; it is verified before it is used again"
        );
        let file = self.file.take();
        // Dropping a damaged database can panic. The failure was logged above.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(file)));
        self.recovery.possibly_written.extend(possibly_written);
        self.recovery.full = matches!(error, StoreError::DiskFull);
        self.recovery.postpone();
        if self.recovery.full { JournalRejection::DiskFull } else { JournalRejection::Failed }
    }

    /// Opens the file again, as it is on the disk. Returns true if it can be used.
    fn reopen(&mut self) -> bool {
        match self.verify_again() {
            Ok(()) => {
                let (events, commits) = (self.state.entries, self.state.commits);
                tracing::info!(
                    code = LogCode::JournalVerified.as_str(),
                    events,
                    commits,
                    "the journal was read back and is valid"
                );
                self.recovery = Recovery { pause: self.recovery.pause, ..Recovery::default() };
                true
            }
            Err(fault) => {
                let diagnosis = Diagnosis::from(&fault);
                tracing::error!(code = diagnosis.code, "{diagnosis}");
                self.recovery.full = matches!(fault, OpenFault::DiskFull(_));
                self.recovery.postpone();
                false
            }
        }
    }

    fn verify_again(&mut self) -> Result<(), OpenFault> {
        if let Ok(file) = std::fs::File::open(&self.path) {
            DiskSpace::drop_page_cache(&file);
        }
        let (file, state) = open::open(&self.path)?;
        if state.commits < self.state.commits {
            let lost = self.state.commits - state.commits;
            tracing::error!(
                code = LogCode::JournalLost.as_str(),
                commits = lost,
                "the disk has lost data that it had reported as synced"
            );
        }
        let possibly_written = Changes { deletes: self.recovery.possibly_written.clone(), ..Changes::default() };
        // They were rejected, so their owners keep them elsewhere, or submit them again.
        let state = if possibly_written.is_empty() {
            state
        } else {
            file.apply(state, &possibly_written).map_err(|b| b.at(&self.path))?.0
        };
        self.keys = file.key_counts().map_err(|error| error.at(&self.path))?;
        self.state = state;
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_apart_until_a_commit_succeeds() {
        let mut recovery = Recovery::default();
        recovery.postpone();
        assert!(recovery.next_attempt <= Some(Instant::now()), "the first is at once");
        for pause in [FIRST_PAUSE, FIRST_PAUSE * 2] {
            let before = Instant::now();
            recovery.postpone();
            assert!(recovery.next_attempt >= Some(before + pause));
        }
        recovery.commit_succeeded();
        recovery.postpone();
        assert!(recovery.next_attempt <= Some(Instant::now()));
    }
}
