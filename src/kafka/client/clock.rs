//! The current time, as records carry it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(in crate::kafka) fn now() -> i64 {
    ago(Duration::ZERO)
}

/// The time that long ago, in milliseconds since 1970.
pub(in crate::kafka) fn ago(time: Duration) -> i64 {
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(time);
    i64::try_from(then.as_millis()).unwrap_or(i64::MAX)
}
