//! A callback from quarantine that can be read by now: its events go the way of all others, then it is released.

use std::sync::Arc;

use idaas_callback::Refusal;
use outbox::verdict::Verdict;
use tokio::time::Instant;

use super::AppState;
use crate::journal::quarantine_replay::ReadableCallback;
use crate::journal::{JournalRejection, QuarantineId};
use crate::telemetry::log_code::LogCode;
use crate::telemetry::spans::CallbackTrace;

/// How many event ids of a callback the log names.
const MAX_LOGGED_IDS: usize = 20;

/// What has become of an attempt to publish a callback from quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redriven {
    /// This many events are on the broker or in the journal, and the callback is not in quarantine any more.
    Published(usize),
    /// There was no room for some of its events. It stays in quarantine.
    NoRoom,
    /// It still cannot be read, for this reason.
    StillUnreadable(Refusal),
    /// Its application is not configured.
    NotConfigured,
    /// It is not in quarantine.
    Missing,
}

impl Redriven {
    /// Whether its events are safe.
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Published(_))
    }
}

impl AppState {
    /// Tries now whether a callback in quarantine can be read, and publishes it if so.
    ///
    /// # Errors
    /// [`JournalRejection`] where the journal cannot be read now.
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

    /// Publishes what could be read. Its events are handed over before the first wait.
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
            // It is tried again at the next start, and its events are known by then.
            tracing::warn!(code = LogCode::QuarantineNotReleased.as_str(), %id, "a callback that was published is still kept");
        }
        Redriven::Published(events)
    }
}
