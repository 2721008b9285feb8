//! Goes through the quarantine, and finds what can be read now: after a key was added, or with a newer version.

use std::collections::VecDeque;
use std::sync::Arc;

use idaas_callback::policy::Policy;
use idaas_callback::{Prepared, Refusal, RequestContext, from_quarantine};
use tokio::sync::OwnedMutexGuard;

use super::fault::JournalRejection;
use super::handle::Journal;
use super::quarantine::{DeliveryOrder, QuarantineId, Quarantined};

/// How many lines are read at a time, so that writers do not wait long.
const PAGE_SIZE: usize = 5000;

/// A callback that can be read now.
pub struct ReadableCallback {
    /// Its name: for [`Journal::release`], once each of its events is confirmed or in the journal.
    pub id: QuarantineId,
    /// The configured name of its application.
    pub application: String,
    /// The time of acceptance, in milliseconds since 1970.
    pub received_at: i64,
    /// The size of its content, in bytes.
    pub bytes: usize,
    /// What it says.
    pub prepared: Prepared,
}

impl ReadableCallback {
    /// Reads a callback by these rules. Takes time by its size, so it happens on a thread of its own.
    ///
    /// # Errors
    /// [`Refusal::Undecryptable`] or [`Refusal::Unreadable`], while nothing has changed that would help.
    pub async fn read(id: QuarantineId, kept: Quarantined, policy: Arc<Policy>) -> Result<Self, Refusal> {
        let bytes = kept.content().len();
        let Quarantined { application, received_at, traceparent, callback, reason } = kept;
        let work = move || {
            let request = RequestContext { received_at, traceparent: traceparent.as_deref() };
            from_quarantine(callback, &policy, request)
        };
        // What the work does never panics; if it did, the callback would stay where it is.
        let prepared = tokio::task::spawn_blocking(work).await.unwrap_or(Err(reason))?;
        Ok(Self { id, application, received_at, bytes, prepared })
    }
}

/// One walk through the quarantine, in the order of acceptance. Only one callback is in memory at a time, and of the
/// others their time and name. One walk at a time: a second one waits in [`QuarantineReplay::begin`].
pub struct QuarantineReplay {
    journal: Arc<Journal>,
    turns: VecDeque<DeliveryOrder>,
    tried: u64,
    _lock: OwnedMutexGuard<()>,
}

impl QuarantineReplay {
    /// Begins with what is in quarantine now of the applications that `is_configured` accepts.
    ///
    /// # Errors
    /// [`JournalRejection`] where it cannot be read now.
    pub async fn begin(journal: Arc<Journal>, is_configured: impl Fn(&str) -> bool) -> Result<Self, JournalRejection> {
        let lock = Arc::clone(&journal.quarantine_replay).lock_owned().await;
        let mut turns = Vec::new();
        let mut from = Some(QuarantineId::FIRST);
        while let Some(name) = from {
            let rows = journal.quarantined(name, PAGE_SIZE).await.unwrap_or(Err(JournalRejection::Failed))?;
            from = rows.last().and_then(|row| row.id.next());
            let wanted = rows.into_iter().filter(|row| is_configured(&row.application));
            turns.extend(wanted.map(|row| DeliveryOrder { received_at: row.received_at, id: row.id }));
        }
        turns.sort_unstable();
        Ok(Self { journal, turns: turns.into(), tried: 0, _lock: lock })
    }

    /// How many were tried so far, readable or not.
    #[must_use]
    pub const fn tried(&self) -> u64 {
        self.tried
    }

    /// The next that can be read. `policy` is asked for the rules of an application by its configured name; what belongs
    /// to an application that is not configured stays. None at the end.
    pub async fn next(&mut self, policy: impl Fn(&str) -> Option<Arc<Policy>>) -> Option<ReadableCallback> {
        loop {
            let turn = self.turns.pop_front()?;
            self.tried += 1;
            let Ok(Ok(Some(kept))) = self.journal.quarantined_callback(turn.id).await else { continue };
            let Some(policy) = policy(&kept.application) else { continue };
            // What cannot be read yet stays where it is.
            if let Ok(reopened) = ReadableCallback::read(turn.id, kept, policy).await {
                return Some(reopened);
            }
        }
    }
}
