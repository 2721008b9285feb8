//! Milliseconds since 1970 to RFC 3339, UTC, three digits of a second.
//!
//! Never reads a clock: time comes in as a value.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The last millisecond that RFC 3339 can express: the end of the year 9999.
const LAST: i64 = 253_402_300_799_999;

/// Formats milliseconds since 1970 in UTC. `None` before 1970 and after the year 9999.
#[must_use]
pub fn rfc3339(milliseconds: i64) -> Option<String> {
    if !(0..=LAST).contains(&milliseconds) {
        return None;
    }
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()?.format(FORMAT).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_of_a_second_and_ends_with_the_year_9999() {
        assert_eq!(rfc3339(1_648_625_692_578).unwrap(), "2022-03-30T07:34:52.578Z");
        assert_eq!(rfc3339(0).unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(LAST).unwrap(), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(LAST + 1), None);
        assert_eq!(rfc3339(-1), None);
    }
}
