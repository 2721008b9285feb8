//! Quarantine replay: finds the quarantined callbacks that can be read now, after a key was added or with a newer
//! version.

use std::collections::VecDeque;
use std::sync::Arc;

use idaas_callback::policy::Policy;
use idaas_callback::{Prepared, Refusal, RequestContext, from_quarantine};
use tokio::sync::OwnedMutexGuard;

use super::handle::Journal;
use super::quarantine::{DeliveryOrder, QuarantineId, QuarantineRow, Quarantined};
use crate::telemetry::journal::JournalRejection;

/// How many lines are read at a time, so that writers do not wait long.
const PAGE_SIZE: usize = 5000;

/// A quarantined callback that can be read now.
pub struct ReadableCallback {
    /// Id for [`Journal::release`], once each event is confirmed or in the journal.
    pub id: QuarantineId,
    /// Configured name of the application now.
    pub application: String,
    /// When the callback was received, in milliseconds since 1970.
    pub received_at: i64,
    /// Size of the content, in bytes.
    pub bytes: usize,
    /// The events of the callback, prepared for publication.
    pub prepared: Prepared,
}

impl ReadableCallback {
    /// Reads a callback of this application under its policy. Runs on a blocking thread, because a large callback takes
    /// long.
    ///
    /// # Errors
    /// As for [`from_quarantine`].
    pub async fn read(
        id: QuarantineId,
        quarantined: Quarantined,
        (application, policy): (String, Arc<Policy>),
    ) -> Result<Self, Refusal> {
        let bytes = quarantined.content().len();
        let Quarantined { application: _, received_at, traceparent, callback, reason } = quarantined;
        let work = move || {
            let request = RequestContext { received_at, traceparent: traceparent.as_deref() };
            from_quarantine(callback, &policy, request)
        };
        // The work does not panic. If it did, the callback would stay in quarantine.
        let prepared = tokio::task::spawn_blocking(work).await.unwrap_or(Err(reason))?;
        Ok(Self { id, application, received_at, bytes, prepared })
    }
}

/// Returns when the oldest callback in quarantine was received, in milliseconds since 1970. `None` if there is none, or
/// the quarantine cannot be read now. Blocks.
#[must_use]
pub fn oldest_in_quarantine(journal: &Journal) -> Option<i64> {
    let (mut oldest, mut from) = (None, Some(QuarantineId::FIRST));
    while let Some(id) = from {
        let rows = journal.quarantined(id, PAGE_SIZE).blocking_recv().ok()?.ok()?;
        oldest = rows.iter().map(|row| row.received_at).chain(oldest).min();
        from = next_page(&rows);
    }
    oldest
}

fn next_page(rows: &[QuarantineRow]) -> Option<QuarantineId> {
    rows.last()?.id.next()
}

/// One pass over the quarantine, in the order of receipt. Only one callback is in memory at a time; of the others, only
/// the time and the id. Passes do not overlap: [`QuarantineReplay::begin`] waits until the previous one has ended.
pub struct QuarantineReplay {
    journal: Arc<Journal>,
    queue: VecDeque<DeliveryOrder>,
    _lock: OwnedMutexGuard<()>,
}

impl QuarantineReplay {
    /// Starts a pass over the callbacks that are in quarantine now.
    ///
    /// # Errors
    /// Returns a [`JournalRejection`] if the quarantine cannot be read now.
    pub async fn begin(journal: Arc<Journal>) -> Result<Self, JournalRejection> {
        let lock = Arc::clone(&journal.quarantine_replay).lock_owned().await;
        let mut queue = Vec::new();
        let mut from = Some(QuarantineId::FIRST);
        while let Some(id) = from {
            let rows = journal.quarantined(id, PAGE_SIZE).await.unwrap_or(Err(JournalRejection::Failed))?;
            from = next_page(&rows);
            queue.extend(rows.into_iter().map(|row| DeliveryOrder { received_at: row.received_at, id: row.id }));
        }
        queue.sort_unstable();
        Ok(Self { journal, queue: queue.into(), _lock: lock })
    }

    /// Returns the next callback that can be read, or `None` at the end. `application` returns the name and the policy
    /// of a callback's application; callbacks of an application that is not configured stay in quarantine.
    ///
    /// # Errors
    /// Returns a [`JournalRejection`] if the quarantine cannot be read now.
    pub async fn next(
        &mut self,
        application: impl Fn(&Quarantined) -> Option<(String, Arc<Policy>)>,
    ) -> Result<Option<ReadableCallback>, JournalRejection> {
        while let Some(next) = self.queue.pop_front() {
            let callback = self.journal.quarantined_callback(next.id).await.unwrap_or(Err(JournalRejection::Failed));
            if callback.is_err() {
                // If the index can be read, only this callback cannot, and must not keep back the others.
                let row = self.journal.quarantined_row(next.id).await;
                row.unwrap_or(Err(JournalRejection::Failed))?;
            }
            // Without a callback, it has been published or discarded meanwhile, or cannot be opened.
            let Ok(Some(quarantined)) = callback else { continue };
            let Some(application) = application(&quarantined) else { continue };
            // A callback that cannot be read yet stays in quarantine.
            if let Ok(readable) = ReadableCallback::read(next.id, quarantined, application).await {
                return Ok(Some(readable));
            }
        }
        Ok(None)
    }
}
