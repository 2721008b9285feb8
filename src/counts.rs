//! Counts, sizes and durations as people read them: `1 event`, `12,000 events`, `1.5 MiB`, `1.9 ms`.

use std::time::Duration;

/// Formats a count with its noun, in the plural unless it is one. The plural ends in `s`, or in `ies` if the noun ends
/// in a consonant and `y`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if count == 1 => format!("1 {noun}"),
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{} {stem}ies", grouped(count)),
        Some(_) | None => format!("{} {noun}s", grouped(count)),
    }
}

/// Formats a number with thousands separators.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Returns milliseconds, with microseconds as decimals.
#[must_use]
pub fn in_milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Formats a duration in milliseconds: `1.9 ms`.
#[must_use]
pub fn milliseconds(duration: Duration) -> String {
    let value = in_milliseconds(duration);
    if value < 100.0 { format!("{value:.1} ms") } else { format!("{value:.0} ms") }
}

/// The time from `at` to `now` (milliseconds), rounded down to minutes from ten minutes on, and to hours from ten hours
/// on.
#[must_use]
pub fn age(at: i64, now: i64) -> String {
    let seconds = u64::try_from(now.saturating_sub(at)).unwrap_or_default() / 1000;
    let whole = match seconds {
        0..600 => seconds,
        600..36_000 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    };
    humantime::format_duration(Duration::from_secs(whole)).to_string()
}

/// A size as people read it: `1.5 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", value / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", value / 1_048_576.0),
        _ => format!("{:.2} GiB", value / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_thousands_are_separated() {
        assert_eq!(counted(1, "event"), "1 event");
        assert_eq!(counted(0, "event"), "0 events");
        assert_eq!(counted(2, "entry"), "2 entries");
        assert_eq!([counted(2, "day"), counted(3, "key")], ["2 days", "3 keys"]);
        assert_eq!(counted(1_234_567, "event"), "1,234,567 events");
        assert_eq!([999, 1000, 100_000].map(grouped), ["999", "1,000", "100,000"]);
    }
}
