//! Says in the log when the journal or the quarantine begins to refuse, and when it accepts again: once each, however many
//! events it is.

use super::fault::JournalRejection;
use crate::telemetry::log_code::LogCode;

/// The quarantine is filling from this part of its limit on, in percent; and is not filling any more below the other.
const FILLING: u64 = 80;
const RELAXED: u64 = 70;

/// Whether the journal refuses entries at the moment, and why.
#[derive(Default)]
pub(super) struct RejectionLog(Option<JournalRejection>);

impl RejectionLog {
    /// Takes the news of one commit: why anything was refused, and whether anything was taken.
    pub(super) fn record(&mut self, refused: Option<JournalRejection>, taken: bool) {
        match refused {
            Some(refusal) if self.0 != Some(refusal) => {
                self.0 = Some(refusal);
                let reason = refusal.code();
                tracing::error!(code = LogCode::JournalRefuses.as_str(), reason, "{}", refusal.message());
            }
            None if taken && self.0.take().is_some() => {
                tracing::info!(code = LogCode::JournalTakes.as_str(), "the journal takes events again");
            }
            Some(_) | None => {}
        }
    }
}

/// Whether the quarantine refuses callbacks at the moment, and why; and whether it is nearly full.
#[derive(Default)]
pub(super) struct QuarantineRejectionLog {
    refuses: Option<JournalRejection>,
    filling: bool,
}

impl QuarantineRejectionLog {
    /// Takes the news of one callback: why it was refused, if it was.
    pub(super) fn record(&mut self, refused: Option<JournalRejection>) {
        match refused {
            Some(refusal) if self.refuses != Some(refusal) => {
                self.refuses = Some(refusal);
                let reason = refusal.code();
                tracing::error!(
                    code = LogCode::QuarantineRefuses.as_str(),
                    reason,
                    "callbacks that cannot be read are not kept, and are lost once IDaaS gives up: {}",
                    refusal.message()
                );
            }
            Some(_) => {}
            None => self.accepts(),
        }
    }

    /// Takes how much of its limit the quarantine uses, in bytes.
    pub(super) fn level(&mut self, bytes: u64, limit: u64) {
        let percent = bytes.saturating_mul(100) / limit.max(1);
        if percent >= FILLING && !self.filling {
            self.filling = true;
            tracing::warn!(
                code = LogCode::QuarantineFilling.as_str(),
                bytes,
                limit,
                "the quarantine is {percent} % full; when it is full, further callbacks that cannot be read are refused. Add \
                 the missing key to the application's decryption_keys and reload"
            );
        }
        if percent < RELAXED {
            self.filling = false;
            if self.refuses == Some(JournalRejection::QuarantineFull) {
                self.accepts();
            }
        }
    }

    fn accepts(&mut self) {
        if self.refuses.take().is_some() {
            tracing::info!(code = LogCode::QuarantineAccepts.as_str(), "the quarantine accepts callbacks again");
        }
    }
}
