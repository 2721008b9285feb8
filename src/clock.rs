//! The current time, counted from 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time since 1970. Zero if the clock shows an earlier time.
#[must_use]
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the current time in milliseconds since 1970.
#[must_use]
pub fn now() -> i64 {
    milliseconds(since_1970())
}

/// Returns a time since 1970 in milliseconds.
#[must_use]
pub fn milliseconds(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
