//! Logs rejected callbacks. The first lines of a kind are written; further ones within the window are counted and
//! summarized.
//!
//! Lines are of the same kind if code, application and network (/24 or /48) are the same. The first two are never
//! text of the sender, and the number of networks that are distinguished is bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use idaas_callback::Refusal;
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::telemetry::metrics::Metrics;

/// The period over which lines of one kind are counted together.
const WINDOW: Duration = Duration::from_secs(10);
/// Maximum number of lines of one kind that are written per window. Further ones are counted.
const FULL_LINES: u64 = 10;
/// How many kinds are distinguished at a time; beyond that, networks are not.
const MAX_KINDS: usize = 1024;

/// Code, application and network. No network if the address is unknown or there are too many kinds.
type Kind = (Refusal, String, Option<IpNet>);

pub(super) struct RefusalLog {
    metrics: Arc<Metrics>,
    windows: Mutex<HashMap<Kind, Window>>,
}

/// The lines of one kind since the window began.
struct Window {
    began: Instant,
    lines: u64,
}

impl RefusalLog {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { metrics, windows: Mutex::default() })
    }

    /// Logs a rejected callback, or only counts it.
    pub(super) fn refused(&self, refusal: Refusal, application: &str, sender: Option<IpAddr>) {
        if self.is_full(refusal, application, sender) {
            self.metrics.service.suppressed_lines.inc();
            return;
        }
        let address = sender.map_or_else(|| "unknown".to_owned(), |sender| sender.to_string());
        tracing::warn!(target: "callback", code = refusal.code(), application, address, "callback refused");
    }

    /// Writes the summary of each window when it ends. Runs until it is cancelled.
    pub(super) async fn summarize(self: Arc<Self>) {
        loop {
            sleep(WINDOW / 10).await;
            for (kind, more) in self.take_ended() {
                summary(&kind, more);
            }
        }
    }

    /// Writes the summaries of all windows. Called at the shutdown.
    pub(super) fn end(&self) {
        for (kind, window) in self.windows.lock().drain() {
            summary(&kind, window.lines.saturating_sub(FULL_LINES));
        }
    }

    fn is_full(&self, refusal: Refusal, application: &str, sender: Option<IpAddr>) -> bool {
        let mut windows = self.windows.lock();
        let mut kind = (refusal, application.to_owned(), sender.and_then(network));
        if windows.len() >= MAX_KINDS && !windows.contains_key(&kind) {
            kind.2 = None;
        }
        let window = windows.entry(kind).or_insert_with(|| Window { began: Instant::now(), lines: 0 });
        window.lines += 1;
        window.lines > FULL_LINES
    }

    /// Removes the windows that have ended. Returns the number of lines of each that were not written.
    fn take_ended(&self) -> Vec<(Kind, u64)> {
        let mut windows = self.windows.lock();
        let over = windows.extract_if(|_, window| window.began.elapsed() >= WINDOW);
        over.map(|(kind, window)| (kind, window.lines.saturating_sub(FULL_LINES))).collect()
    }
}

fn summary((refusal, application, network): &Kind, more: u64) {
    if more > 0 {
        let network = network.map_or_else(|| "unknown".to_owned(), |network| network.to_string());
        let seconds = WINDOW.as_secs();
        tracing::warn!(
            target: "callback",
            code = refusal.code(),
            application,
            network,
            more,
            "and {more} more refused callbacks in {seconds} s"
        );
    }
}

/// Returns the network of an address, of the size that one sender can typically use.
fn network(address: IpAddr) -> Option<IpNet> {
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, length).ok().map(|network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Arc<RefusalLog> {
        RefusalLog::new(Metrics::new().unwrap())
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_lines_of_a_kind_are_written_and_the_rest_counted() {
        let log = log();
        let full = |code, application, text: &str| log.is_full(code, application, address(text));
        for line in 0..25_u8 {
            assert_eq!(full(Refusal::Expired, "a", &format!("192.0.2.{line}")), u64::from(line) >= FULL_LINES);
        }
        assert!(!full(Refusal::Expired, "a", "198.51.100.1"), "another network");
        assert!(!full(Refusal::Expired, "b", "192.0.2.1"), "another application");
        assert!(!full(Refusal::Malformed, "a", "192.0.2.1"), "another code");
        assert!(log.take_ended().is_empty());
        tokio::time::advance(WINDOW).await;
        let counted: u64 = log.take_ended().into_iter().map(|(_, more)| more).sum();
        assert_eq!(counted, 15);
        assert!(!full(Refusal::Expired, "a", "192.0.2.1"), "a new window");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_many_networks_takes_bounded_memory() {
        let log = log();
        for network in 0..10_000_u32 {
            log.refused(Refusal::Malformed, "a", Some(IpAddr::V4((network << 8).into())));
        }
        assert!(log.windows.lock().len() <= MAX_KINDS + 1);
        assert!(log.metrics.service.suppressed_lines.get() > 8000);
    }
}
