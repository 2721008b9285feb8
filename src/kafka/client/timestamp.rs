//! The timestamps of records.

use std::time::Duration;

use crate::clock;

/// Maximum age of a timestamp when the record is published. A record that waited for longer gets the current time.
/// With its original time, the topic's retention would delete it soon after it is published, and a topic can reject
/// timestamps that are too old.
const MAX_TIMESTAMP_AGE: Duration = Duration::from_secs(3600);

/// Returns the current time minus `time`, in milliseconds since 1970.
pub(in crate::kafka) fn ago(time: Duration) -> i64 {
    clock::milliseconds(clock::since_1970().saturating_sub(time))
}

/// Returns the timestamp for publishing a record that was received at `accepted`, in milliseconds since 1970.
pub(in crate::kafka) fn record_timestamp(accepted: i64) -> i64 {
    let now = clock::now();
    let age = i64::try_from(MAX_TIMESTAMP_AGE.as_millis()).unwrap_or(i64::MAX);
    if now.saturating_sub(accepted) > age { now } else { accepted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_record_that_waited_long_gets_the_current_time() {
        for minutes in [0, 1, 59] {
            let accepted = ago(Duration::from_secs(minutes * 60));
            assert_eq!(record_timestamp(accepted), accepted);
        }
        // A clock that was set back.
        let later = clock::now() + 60_000;
        assert_eq!(record_timestamp(later), later);
        let before = clock::now();
        assert!(record_timestamp(ago(Duration::from_secs(61 * 60))) >= before);
        assert!(record_timestamp(0) >= before);
    }
}
