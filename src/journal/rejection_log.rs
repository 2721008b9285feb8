//! Logs when the journal or the quarantine begins to reject, and when it accepts again: once each, however many
//! events it is.

use crate::telemetry::journal::JournalRejection;
use crate::telemetry::log_code::LogCode;

/// Percentages of the quarantine's limit: a warning is logged at the first, and can be logged again after a fall below
/// the second.
const FILLING: u64 = 80;
const NO_LONGER_FILLING: u64 = 70;

/// A full journal accepts entries again below this percentage of its limit.
const ACCEPTS_AGAIN: u64 = 90;

/// The reason why the journal currently rejects entries, if it does.
#[derive(Default)]
pub(super) struct RejectionLog(Option<JournalRejection>);

impl RejectionLog {
    /// Records the result of one commit: why anything was rejected, and whether anything was accepted.
    pub(super) fn record(&mut self, rejection: Option<JournalRejection>, accepted: bool) {
        match rejection {
            Some(rejection) if self.0 != Some(rejection) => {
                self.0 = Some(rejection);
                let reason = rejection.code();
                tracing::error!(code = LogCode::JournalRefuses.as_str(), reason, "{}", rejection.message());
            }
            None if accepted => self.accepts(),
            Some(_) | None => {}
        }
    }

    /// Records the contents after a deletion, so that the end of a rejection is logged even if no event arrives. For a
    /// cause other than the limit, only an empty journal proves that the file can be written again.
    pub(super) fn freed(&mut self, events: u64, bytes: u64, limit: u64) {
        let has_space = match self.0 {
            None => false,
            Some(JournalRejection::Full) => bytes.saturating_mul(100) / limit.max(1) < ACCEPTS_AGAIN,
            Some(
                JournalRejection::QuarantineFull
                | JournalRejection::Busy
                | JournalRejection::DiskFull
                | JournalRejection::Failed,
            ) => events == 0,
        };
        if has_space {
            self.accepts();
        }
    }

    fn accepts(&mut self) {
        if self.0.take().is_some() {
            tracing::info!(code = LogCode::JournalAccepts.as_str(), "the journal accepts events again");
        }
    }
}

/// The reason why the quarantine currently rejects callbacks, if it does, and whether it is nearly full.
#[derive(Default)]
pub(super) struct QuarantineRejectionLog {
    reason: Option<JournalRejection>,
    filling: bool,
}

impl QuarantineRejectionLog {
    /// Records the result for one callback: why it was rejected, if it was.
    pub(super) fn record(&mut self, rejection: Option<JournalRejection>) {
        match rejection {
            Some(rejection) if self.reason != Some(rejection) => {
                self.reason = Some(rejection);
                let reason = rejection.code();
                tracing::error!(
                    code = LogCode::QuarantineRefuses.as_str(),
                    reason,
                    "callbacks that cannot be read are not kept, and are lost when IDaaS gives up: {}",
                    rejection.message()
                );
            }
            Some(_) => {}
            None => self.accepts(),
        }
    }

    /// Records how much of its limit the quarantine uses, in bytes.
    pub(super) fn level(&mut self, bytes: u64, limit: u64) {
        let percent = bytes.saturating_mul(100) / limit.max(1);
        if percent >= FILLING && !self.filling {
            self.filling = true;
            tracing::warn!(
                code = LogCode::QuarantineFilling.as_str(),
                bytes,
                limit,
                "the quarantine is {percent} % full; when it is full, further callbacks that cannot be read are \
                refused. Add the missing key to the application's decryption_keys and reload"
            );
        }
        if percent < NO_LONGER_FILLING {
            self.filling = false;
            if self.reason == Some(JournalRejection::QuarantineFull) {
                self.accepts();
            }
        }
    }

    fn accepts(&mut self) {
        if self.reason.take().is_some() {
            tracing::info!(code = LogCode::QuarantineAccepts.as_str(), "the quarantine accepts callbacks again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejecting(why: JournalRejection) -> RejectionLog {
        let mut log = RejectionLog::default();
        log.record(Some(why), false);
        log
    }

    #[test]
    fn a_full_journal_accepts_again_once_there_is_space() {
        let mut log = rejecting(JournalRejection::Full);
        log.freed(95, 95, 100);
        assert!(log.0.is_some(), "nearly full");
        log.freed(50, 50, 100);
        assert!(log.0.is_none());
    }

    #[test]
    fn after_another_cause_only_an_empty_journal_accepts_again() {
        for why in [JournalRejection::DiskFull, JournalRejection::Failed, JournalRejection::Busy] {
            let mut log = rejecting(why);
            log.freed(1, 1, 100);
            assert!(log.0.is_some(), "{why:?}");
            log.freed(0, 0, 100);
            assert!(log.0.is_none(), "{why:?}");
        }
    }
}
