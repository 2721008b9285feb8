//! Converts milliseconds since 1970 to RFC 3339 in UTC with milliseconds, and back.
//!
//! Never reads a clock: time is a parameter.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The first millisecond that RFC 3339 can express: the start of the year 0.
const MIN_MILLISECONDS: i64 = -62_167_219_200_000;

/// The last millisecond that RFC 3339 can express: the end of the year 9999.
const MAX_MILLISECONDS: i64 = 253_402_300_799_999;

/// Formats milliseconds since 1970 in UTC. `None` before the year 0 and after the year 9999.
#[must_use]
pub fn rfc3339(milliseconds: i64) -> Option<String> {
    if !(MIN_MILLISECONDS..=MAX_MILLISECONDS).contains(&milliseconds) {
        return None;
    }
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()?;
    let (hour, minute, second, millisecond) = time.to_hms_milli();
    let mut text = String::with_capacity("2022-03-30T07:34:52.578Z".len());
    let parts = [
        (time.year().unsigned_abs(), 1000, '-'),
        (u32::from(u8::from(time.month())), 10, '-'),
        (u32::from(time.day()), 10, 'T'),
        (u32::from(hour), 10, ':'),
        (u32::from(minute), 10, ':'),
        (u32::from(second), 10, '.'),
        (u32::from(millisecond), 100, 'Z'),
    ];
    for (number, first, after) in parts {
        digits(&mut text, number, first);
        text.push(after);
    }
    Some(text)
}

/// Parses an RFC 3339 time to milliseconds since 1970. `None` if the text is anything else.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// Writes a number with as many digits as `first`, the weight of its first digit. A user has five times, and a
/// general formatter takes longer for them than for the rest of the record.
fn digits(text: &mut String, number: u32, first: u32) {
    let mut weight = first;
    while weight > 0 {
        text.push(char::from(b'0' + (number / weight % 10) as u8));
        weight /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_end_with_the_year_9999() {
        assert_eq!(rfc3339(1_648_625_692_578).unwrap(), "2022-03-30T07:34:52.578Z");
        assert_eq!(rfc3339(0).unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(MAX_MILLISECONDS).unwrap(), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(MAX_MILLISECONDS + 1), None);
    }

    #[test]
    fn a_time_reads_as_it_is_written() {
        for milliseconds in [0, -1, 1_648_625_692_578, MAX_MILLISECONDS] {
            assert_eq!(parse_rfc3339(&rfc3339(milliseconds).unwrap()), Some(milliseconds));
        }
        assert_eq!(parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn times_are_valid_from_the_year_0() {
        assert_eq!(rfc3339(-1).unwrap(), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(MIN_MILLISECONDS).unwrap(), "0000-01-01T00:00:00.000Z");
        assert_eq!((rfc3339(MIN_MILLISECONDS - 1), rfc3339(i64::MIN), rfc3339(i64::MAX)), (None, None, None));
    }
}
