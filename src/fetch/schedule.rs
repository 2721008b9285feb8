//! Decides when the next request may be sent, how long to wait after a failure, and when the token is renewed. Reads
//! no clock.

use std::time::{Duration, Instant};

use crate::secret::Secret;

/// Wait after the first failure. Doubles with each further one, up to the maximum.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Maximum accepted value of `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// Lifetime of a token if the answer does not contain one.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);

/// Spaces requests evenly.
#[derive(Debug)]
pub(super) struct RateLimiter {
    interval: Duration,
    next: Option<Instant>,
}

impl RateLimiter {
    pub(super) fn new(requests_per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1) / requests_per_second.max(1), next: None }
    }

    /// Reserves the next request. Returns the wait before it is sent.
    pub(super) fn reserve(&mut self, now: Instant) -> Duration {
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = Some(at + self.interval);
        at - now
    }
}

/// Counts the failures of one request.
#[derive(Debug)]
pub(super) struct Backoff {
    attempts: u32,
    max_attempts: u32,
}

impl Backoff {
    pub(super) const fn new(max_attempts: u32) -> Self {
        Self { attempts: 0, max_attempts }
    }

    /// Returns the wait before the request is sent again. `None` after too many failures. `random`, from 0 to 1,
    /// spreads the requests of several clients over the second half of the wait.
    pub(super) fn next(&mut self, retry_after: Option<Duration>, random: f64) -> Option<Duration> {
        self.attempts += 1;
        if self.attempts >= self.max_attempts {
            return None;
        }
        let doubled = FIRST_BACKOFF.saturating_mul(1 << (self.attempts - 1).min(16)).min(MAX_BACKOFF);
        let wait = doubled.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        Some(retry_after.map_or(wait, |asked| asked.min(MAX_RETRY_AFTER).max(wait)))
    }
}

/// An access token and the time of its renewal.
pub(super) struct Token {
    value: Secret<String>,
    renew_at: Instant,
}

impl Token {
    /// Creates a token that was requested at `now` and expires after this many seconds. It is renewed after two
    /// thirds of them.
    pub(super) fn new(value: String, expires_in: Option<u64>, now: Instant) -> Self {
        let lifetime = expires_in.map_or(DEFAULT_LIFETIME, |seconds| Duration::from_secs(seconds.min(86_400)));
        Self { value: Secret::new(value), renew_at: now + lifetime * 2 / 3 }
    }

    /// Returns true if the token need not be renewed yet.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now < self.renew_at
    }

    /// Returns the token itself.
    pub(super) const fn value(&self) -> &Secret<String> {
        &self.value
    }
}

/// Returns the wait that `Retry-After` requests, as seconds or as a time (RFC 9110 §10.2.3).
pub(super) fn retry_after(header: Option<&str>, now: std::time::SystemTime) -> Option<Duration> {
    let header = header?.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(header).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

/// Returns when the data of an answer was read, in milliseconds since 1970: the time at which the request was sent. If
/// this clock contradicts the server's, whose time is in `Date`, it is the earliest such time on the server's clock:
/// events have times of that clock. What follows must be newer than what was read, and what was read must be newer than
/// what came before.
pub(super) fn read_at(sent: i64, date: Option<&str>, took: Duration) -> i64 {
    let at = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let at = at.and_then(|at| at.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
    let milliseconds = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let Some(at) = at.map(milliseconds) else { return sent };
    // `Date` has whole seconds, and is from the end of the request.
    let earliest = at.saturating_sub(milliseconds(took));
    if (earliest..=at.saturating_add(999)).contains(&sent) { sent } else { earliest }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn requests_are_spaced_by_the_rate() {
        let (mut pace, start) = (RateLimiter::new(5), Instant::now());
        let waits: Vec<_> = (0..3).map(|_| pace.reserve(start).as_millis()).collect();
        assert_eq!(waits, [0, 200, 400]);
        assert_eq!(pace.reserve(start + Duration::from_secs(60)), Duration::ZERO);
    }

    #[test]
    fn backoff_doubles_up_to_its_limit_and_ends() {
        let mut backoff = Backoff::new(8);
        let waits: Vec<_> = std::iter::from_fn(|| backoff.next(None, 1.0)).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000]);
        assert_eq!(Backoff::new(8).next(None, 0.0), Some(Duration::from_millis(250)));
    }

    #[test]
    fn retry_after_is_honored_within_limits() {
        let asked = |seconds| Backoff::new(8).next(Some(Duration::from_secs(seconds)), 1.0).unwrap().as_secs();
        assert_eq!((asked(7), asked(100_000)), (7, 300));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after(Some("120"), now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after(Some("Sun, 06 Nov 1994 08:49:47 GMT"), now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after(Some("soon"), now), None);
    }

    #[test]
    fn answer_has_the_time_of_the_servers_clock() {
        let (date, took) = (Some("Sun, 06 Nov 1994 08:49:47 GMT"), Duration::from_millis(300));
        let server = 784_111_787_000;
        for (sent, read) in [(-60_000, -300), (-301, -300), (-299, -299), (999, 999), (1000, -300), (60_000, -300)] {
            assert_eq!(read_at(server + sent, date, took), server + read, "{sent}");
        }
        assert_eq!((read_at(7, None, took), read_at(7, Some("soon"), took)), (7, 7));
    }

    #[test]
    fn token_is_renewed_after_two_thirds_of_its_lifetime() {
        let start = Instant::now();
        let token = Token::new("AT".to_owned(), Some(1200), start);
        assert!(token.is_fresh(start + Duration::from_secs(799)) && !token.is_fresh(start + Duration::from_secs(800)));
    }
}
