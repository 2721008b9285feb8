//! Determines where reading the tail of the topics starts, and reports the result in the log and the metrics.

use std::time::Duration;

use crate::app_state::AppState;
use crate::clock;
use crate::journal::quarantine_replay::oldest_in_quarantine;
use crate::kafka::history::recent_records::{Backlog, Window};
use crate::telemetry::log_code::LogCode;

/// How long before the oldest journal entry reading starts.
const MARGIN: Duration = Duration::from_secs(60);

/// Maximum age of a quarantined callback that lets reading start earlier, in milliseconds.
const MAX_QUARANTINE_AGE: i64 = 24 * 3600 * 1000;

/// Maximum number of topics named in a log line.
const MAX_NAMED_TOPICS: usize = 10;

/// Logs the result of reading the tail.
pub(super) fn log(tail: &Backlog) {
    let (events, records) = (tail.events, tail.records);
    if tail.is_complete() {
        tracing::info!(code = LogCode::DedupCacheRebuilt.as_str(), events, records, "read the latest records");
        return;
    }
    let topics: Vec<_> = tail.unread.iter().chain(&tail.denied).map(String::as_str).collect();
    let named = topics.get(..topics.len().min(MAX_NAMED_TOPICS)).unwrap_or_default().join(", ");
    tracing::warn!(
        code = LogCode::DedupCacheIncomplete.as_str(),
        events,
        records,
        topics = named,
        unread_topics = topics.len(),
        oldest_cut = tail.is_cut,
        "not all of the latest records could be read; a redelivery of one of the others becomes a second record"
    );
}

/// Sets each application's metric of its last event, from the newest record in the topics.
pub(super) fn show_last_events(tail: &Backlog, app_state: &AppState) {
    for application in app_state.applications().by_name.values() {
        if let Some(newest) = tail.newest.get(&application.policy.application_id) {
            application.metrics.record_received_at(newest / 1000);
        }
    }
}

/// Returns the time from which records are read, in milliseconds since 1970: ten minutes ago, or earlier if the journal
/// holds older events, or the quarantine holds some of the last day. This replica may have published them just before a
/// crash, or another replica later. Their records then have that time or a later one. Blocks.
pub(super) fn since(app_state: &AppState) -> u64 {
    let oldest = app_state.dispatcher.journal().and_then(|journal| {
        let quarantined = (journal.usage().quarantine > 0).then(|| oldest_in_quarantine(&journal)).flatten();
        // A callback can stay in quarantine for weeks, and reading so much at each start would take too long.
        let quarantined = quarantined.map(|oldest| oldest.max(clock::now() - MAX_QUARANTINE_AGE));
        [journal.usage().oldest_received_at, quarantined].into_iter().flatten().min()
    });
    let oldest = oldest.and_then(|oldest| u64::try_from(oldest).ok()).map(Duration::from_millis);
    let usual = clock::since_1970().saturating_sub(Window::default().since);
    let since = oldest.map_or(usual, |oldest| usual.min(oldest.saturating_sub(MARGIN)));
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the window that starts at `since` (milliseconds since 1970).
pub(super) fn window(since: u64) -> Window {
    Window { since: clock::since_1970().saturating_sub(Duration::from_millis(since)), ..Window::default() }
}
