//! Retries quarantined callbacks: publishes the events of a callback that can be read now, then removes it from
//! quarantine.

use std::sync::Arc;

use idaas_callback::Refusal;
use outbox::verdict::Verdict;
use tokio::time::Instant;

use super::{AppState, Application};
use crate::journal::quarantine::Quarantined;
use crate::journal::quarantine_replay::ReadableCallback;
use crate::journal::{JournalRejection, QuarantineId};
use crate::telemetry::log_code::LogCode;

/// Maximum number of event ids in a log line.
const MAX_LOGGED_IDS: usize = 20;

/// The result of an attempt to publish a quarantined callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineRedrive {
    /// This number of events is on the broker or in the journal. A failure to remove the callback from quarantine is
    /// only logged.
    Published(usize),
    /// Some events were not accepted. The callback stays in quarantine.
    NotAccepted,
    /// The callback still cannot be read.
    StillUnreadable(Refusal),
    /// The callback's application is not configured.
    NotConfigured,
    /// The callback is not in quarantine.
    Missing,
}

impl QuarantineRedrive {
    /// Returns true if the events are on the broker or in the journal.
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Published(_))
    }
}

impl AppState {
    /// Retries a quarantined callback now, and publishes its events if it can be read.
    ///
    /// # Errors
    /// [`JournalRejection`] if the journal cannot be read.
    pub async fn redrive(&self, id: QuarantineId) -> Result<QuarantineRedrive, JournalRejection> {
        let journal = self.dispatcher.journal().ok_or(JournalRejection::Failed)?;
        let callback = journal.quarantined_callback(id).await.unwrap_or(Err(JournalRejection::Failed))?;
        let Some(callback) = callback else { return Ok(QuarantineRedrive::Missing) };
        let Some(application) = self.addressee(&callback) else {
            return Ok(QuarantineRedrive::NotConfigured);
        };
        let application = (application.name.clone(), Arc::clone(&application.policy));
        Ok(match ReadableCallback::read(id, callback, application).await {
            Ok(callback) => {
                let published = self.publish_readable(callback).await;
                self.dispatcher.publish_quarantined();
                published
            }
            Err(refusal) => QuarantineRedrive::StillUnreadable(refusal),
        })
    }

    /// Returns the application that a quarantined callback is for, also if it has another name now.
    #[must_use]
    pub fn addressee(&self, callback: &Quarantined) -> Option<Arc<Application>> {
        let namesake = self.application(&callback.application);
        let Some(id) = &callback.callback.application_id else { return namesake };
        let is_addressed = |application: &Arc<Application>| application.policy.application_id == *id;
        namesake.filter(is_addressed).or_else(|| self.application_of(id, &callback.callback.instance_id))
    }

    /// Publishes the events of a callback that could be read. The events are handed over before the first wait. With
    /// other replicas, they wait for `Dispatcher::publish_quarantined`.
    pub async fn publish_readable(&self, callback: ReadableCallback) -> QuarantineRedrive {
        let ReadableCallback { id, application: name, prepared, .. } = callback;
        let Some(application) = self.application(&name) else { return QuarantineRedrive::NotConfigured };
        if let Some(position) = prepared.decryption_key {
            application.metrics.decrypted(position);
        }
        let events = prepared.events.len();
        let deadline = Instant::now() + self.limits.response_deadline;
        let verdicts = self.dispatcher.deliver_quarantined(prepared.events, &application.owner, deadline).await;
        let Ok(verdicts) = verdicts else { return QuarantineRedrive::NotAccepted };
        if verdicts.iter().any(|event| event.verdict == Verdict::Overloaded) {
            return QuarantineRedrive::NotAccepted;
        }
        let event_ids: Vec<_> = verdicts.iter().take(MAX_LOGGED_IDS).map(|event| event.event_id.as_str()).collect();
        tracing::info!(
            code = LogCode::QuarantineOpened.as_str(),
            %id,
            application = name,
            events,
            event_ids = event_ids.join(" "),
            "a callback in quarantine could be read"
        );
        let released = match self.dispatcher.journal() {
            Some(journal) => matches!(journal.release(id).await, Ok(Ok(()))),
            None => false,
        };
        if !released {
            // It is retried at the next start. The dedup cache then recognizes its events.
            tracing::warn!(
                code = LogCode::QuarantineNotReleased.as_str(), %id,
                "a callback that was published is still in quarantine"
            );
        }
        QuarantineRedrive::Published(events)
    }
}
