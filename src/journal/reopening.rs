//! Goes through the quarantine, and finds what can be read now: after a key was added, or with a newer version.

use std::collections::VecDeque;
use std::sync::Arc;

use super::fault::JournalRefusal;
use super::handle::Journal;
use super::quarantine::{QuarantineId, QuarantineRow};
use crate::prepare::policy::Policy;
use crate::prepare::{Moment, Prepared, resume};

/// A callback that can be read now.
pub struct Reopened {
    /// Its name: for [`Journal::release`], once each of its events is confirmed or in the journal.
    pub id: QuarantineId,
    /// The configured name of its application.
    pub application: String,
    /// The time of acceptance, in milliseconds since 1970.
    pub received_at: i64,
    /// What it says.
    pub prepared: Prepared,
}

/// One walk through the quarantine, oldest first. Only one callback is in memory at a time.
pub struct Reopening {
    journal: Arc<Journal>,
    rows: VecDeque<QuarantineRow>,
    tried: u64,
}

impl Reopening {
    /// Begins with what is in quarantine now.
    ///
    /// # Errors
    /// [`JournalRefusal`] where it cannot be read now.
    pub async fn begin(journal: Arc<Journal>) -> Result<Self, JournalRefusal> {
        let rows = journal.quarantined().await.unwrap_or(Err(JournalRefusal::Failed))?;
        Ok(Self { journal, rows: rows.into(), tried: 0 })
    }

    /// How many were tried so far, readable or not.
    #[must_use]
    pub const fn tried(&self) -> u64 {
        self.tried
    }

    /// The next that can be read. `policy` is asked for the rules of an application by its configured name; what belongs
    /// to an application that is not configured stays. None at the end.
    pub async fn next(&mut self, policy: impl Fn(&str) -> Option<Arc<Policy>>) -> Option<Reopened> {
        loop {
            let row = self.rows.pop_front()?;
            self.tried += 1;
            let Some(policy) = policy(&row.application) else { continue };
            let Ok(Ok(Some(kept))) = self.journal.quarantined_callback(row.id).await else { continue };
            let moment = Moment { received_at: kept.received_at, traceparent: kept.traceparent.as_deref() };
            // What cannot be read yet stays where it is.
            if let Ok(prepared) = resume(kept.callback, &policy, moment) {
                let (application, received_at) = (kept.application, kept.received_at);
                return Some(Reopened { id: row.id, application, received_at, prepared });
            }
        }
    }
}
