//! Callbacks that waited in quarantine, tried again: after a start and after each reload, as both can bring a key.

use std::sync::Arc;

use tokio::time::Instant;

use crate::bridge::Bridge;
use crate::journal::reopening::{Reopened, Reopening};
use crate::journal::{Journal, QuarantineId};
use crate::outbox::verdict::Verdict;

/// Publishes what can be read by now. What cannot stays where it is.
pub(super) async fn reopen(bridge: Arc<Bridge>) {
    let Some(journal) = bridge.dispatcher.journal() else { return };
    let Ok(mut reopening) = Reopening::begin(Arc::clone(&journal)).await else { return };
    let policy = |name: &str| Some(Arc::clone(&bridge.application(name)?.policy));
    while let Some(reopened) = reopening.next(policy).await {
        if bridge.is_draining() {
            return;
        }
        let id = reopened.id;
        if published(&bridge, reopened).await {
            release(&journal, id).await;
        }
    }
}

/// Whether the callback's events are on the broker or in the journal now.
async fn published(bridge: &Bridge, reopened: Reopened) -> bool {
    let Reopened { id, application: name, prepared, .. } = reopened;
    let Some(application) = bridge.application(&name) else { return false };
    if let Some(position) = prepared.decryption_key {
        application.metrics.decrypted(position);
    }
    let events = prepared.items.len();
    let deadline = Instant::now() + bridge.limits.response_deadline;
    let answered = bridge.dispatcher.deliver(prepared.items, &application.source, deadline).await;
    let safe = answered.is_ok_and(|events| events.iter().all(|event| event.verdict != Verdict::Overloaded));
    if safe {
        tracing::info!(code = "quarantine_opened", %id, application = name, events, "a kept callback could be read");
    }
    safe
}

async fn release(journal: &Journal, id: QuarantineId) {
    if !matches!(journal.release(id).await, Ok(Ok(()))) {
        // It is tried again at the next start, and its events are known by then.
        tracing::warn!(code = "quarantine_not_released", %id, "a callback that was published is still kept");
    }
}
