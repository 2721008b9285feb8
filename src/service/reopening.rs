//! Callbacks that waited in quarantine, tried again: after a start and after each reload, as both can bring a key.

use std::sync::Arc;

use tokio::time::Instant;

use crate::bridge::Bridge;
use crate::journal::{Journal, QuarantineId, QuarantineRow};
use crate::outbox::verdict::Verdict;
use crate::prepare::{Moment, resume};

/// Publishes what can be read by now. What cannot stays where it is.
pub(super) async fn reopen(bridge: Arc<Bridge>) {
    let Some(journal) = bridge.dispatcher.journal() else { return };
    let Ok(Ok(rows)) = journal.quarantined().await else { return };
    for row in rows {
        if !bridge.is_draining() && published(&bridge, &journal, &row).await {
            release(&journal, row.id).await;
        }
    }
}

/// Whether the callback's events are on the broker or in the journal now.
async fn published(bridge: &Bridge, journal: &Journal, row: &QuarantineRow) -> bool {
    let Some(application) = bridge.application(&row.application) else { return false };
    let Ok(Ok(Some(kept))) = journal.quarantined_callback(row.id).await else { return false };
    let moment = Moment { received_at: kept.received_at, traceparent: kept.traceparent.as_deref() };
    let Ok(prepared) = resume(kept.callback, &application.policy, moment) else { return false };
    if let Some(position) = prepared.decryption_key {
        application.metrics.decrypted(position);
    }
    let events = prepared.items.len();
    let deadline = Instant::now() + bridge.limits.response_deadline;
    let answered = bridge.dispatcher.deliver(prepared.items, &application.source, deadline).await;
    let safe = answered.is_ok_and(|events| events.iter().all(|event| event.verdict != Verdict::Overloaded));
    if safe {
        let application = &row.application;
        tracing::info!(code = "quarantine_opened", id = %row.id, application, events, "a kept callback could be read");
    }
    safe
}

async fn release(journal: &Journal, id: QuarantineId) {
    if !matches!(journal.release(id).await, Ok(Ok(()))) {
        // It is tried again at the next start, and its events are known by then.
        tracing::warn!(code = "quarantine_not_released", %id, "a callback that was published is still kept");
    }
}
