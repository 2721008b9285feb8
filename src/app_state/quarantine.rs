//! Publishes a quarantined callback that can be read now, then removes it from quarantine.

use std::sync::Arc;

use idaas_callback::Refusal;
use outbox::verdict::Verdict;
use tokio::time::Instant;

use super::AppState;
use crate::journal::quarantine_replay::ReadableCallback;
use crate::journal::{JournalRejection, QuarantineId};
use crate::telemetry::log_code::LogCode;
use crate::telemetry::spans::CallbackTrace;

/// Maximum number of event ids of a callback that are logged.
const MAX_LOGGED_IDS: usize = 20;

/// Result of redriving a quarantined callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redriven {
    /// This many events are on the broker or in the journal. A failure to remove the callback from quarantine is only
    /// logged.
    Published(usize),
    /// There was no capacity for some of the events. The callback stays in quarantine.
    NoRoom,
    /// The callback still cannot be read, for this reason.
    StillUnreadable(Refusal),
    /// The application of the callback is not configured.
    NotConfigured,
    /// No callback with this id is in quarantine.
    Missing,
}

impl Redriven {
    /// Returns true if the events are on the broker or in the journal.
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Published(_))
    }
}

impl AppState {
    /// Tries to read a quarantined callback now, and publishes it if it is readable.
    ///
    /// # Errors
    /// Returns a [`JournalRejection`] if the journal cannot be read now.
    pub async fn redrive(&self, id: QuarantineId) -> Result<Redriven, JournalRejection> {
        let journal = self.dispatcher.journal().ok_or(JournalRejection::Failed)?;
        let callback = journal.quarantined_callback(id).await.unwrap_or(Err(JournalRejection::Failed))?;
        let Some(callback) = callback else { return Ok(Redriven::Missing) };
        let Some(application) = self.application(&callback.application) else { return Ok(Redriven::NotConfigured) };
        Ok(match ReadableCallback::read(id, callback, Arc::clone(&application.policy)).await {
            Ok(reopened) => self.publish_reopened(reopened).await,
            Err(refusal) => Redriven::StillUnreadable(refusal),
        })
    }

    /// Publishes a callback that could be read. Its events are handed to the dispatcher before the first wait.
    pub async fn publish_reopened(&self, reopened: ReadableCallback) -> Redriven {
        let ReadableCallback { id, application: name, prepared, .. } = reopened;
        let Some(application) = self.application(&name) else { return Redriven::NotConfigured };
        if let Some(position) = prepared.decryption_key {
            application.metrics.decrypted(position);
        }
        let events = prepared.events.len();
        let deadline = Instant::now() + self.limits.response_deadline;
        let trace = CallbackTrace::default();
        let verdicts = self.dispatcher.deliver(prepared.events, &application.source, deadline, &trace).await;
        let Ok(verdicts) = verdicts else { return Redriven::NoRoom };
        if verdicts.iter().any(|event| event.verdict == Verdict::Overloaded) {
            return Redriven::NoRoom;
        }
        let event_ids: Vec<_> = verdicts.iter().take(MAX_LOGGED_IDS).map(|event| event.event_id.as_str()).collect();
        tracing::info!(
            code = LogCode::QuarantineOpened.as_str(),
            %id,
            application = name,
            events,
            event_ids = event_ids.join(" "),
            "a kept callback could be read"
        );
        let released = match self.dispatcher.journal() {
            Some(journal) => matches!(journal.release(id).await, Ok(Ok(()))),
            None => false,
        };
        if !released {
            // It is tried again at the next start. By then, its events are known.
            tracing::warn!(code = LogCode::QuarantineNotReleased.as_str(), %id, "a callback that was published is still kept");
        }
        Redriven::Published(events)
    }
}
