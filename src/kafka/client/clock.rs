//! The current time, as records carry it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A record that waited for longer gets the current time as its timestamp. With the time of its acceptance, a topic's
/// retention would delete it soon after it is published, and a topic may reject timestamps that are too old.
const MAX_TIMESTAMP_AGE: Duration = Duration::from_secs(3600);

/// Milliseconds since 1970.
pub(in crate::kafka) fn now() -> i64 {
    ago(Duration::ZERO)
}

/// The time that long ago, in milliseconds since 1970.
pub(in crate::kafka) fn ago(time: Duration) -> i64 {
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(time);
    i64::try_from(then.as_millis()).unwrap_or(i64::MAX)
}

/// The timestamp with which a record is published that was accepted at that time.
pub(in crate::kafka) fn record_timestamp(accepted: i64) -> i64 {
    let now = now();
    let age = i64::try_from(MAX_TIMESTAMP_AGE.as_millis()).unwrap_or(i64::MAX);
    if now.saturating_sub(accepted) > age { now } else { accepted }
}
