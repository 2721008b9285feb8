//! Observes the fetches of key sets: counts results, and compares this machine's clock with the key endpoints'.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::keys::{KeyObserver, RefreshResult};
use crate::telemetry::log_code::LogCode;
use crate::telemetry::metrics::Metrics;

/// Smaller clock offsets are not logged, however small `server.clock_skew` is. The endpoint's time has whole seconds,
/// and the response takes time to arrive.
const MIN_OFFSET: Duration = Duration::from_secs(5);

/// Counts refreshes of key sets and monitors the clock offset.
pub(super) struct Observer {
    metrics: Arc<Metrics>,
    clock_skew: Duration,
    /// The applications by whose endpoint this machine's clock is off. Logged when the first comes and the last
    /// goes.
    skewed: Mutex<BTreeSet<String>>,
}

impl Observer {
    pub(super) fn new(metrics: Arc<Metrics>, clock_skew: Duration) -> Self {
        Self { metrics, clock_skew, skewed: Mutex::default() }
    }

    /// Returns the offset in seconds beyond which a warning is logged: half of the skew at which valid callbacks are
    /// rejected.
    fn limit(&self) -> u64 {
        (self.clock_skew / 2).max(MIN_OFFSET).as_secs()
    }
}

impl KeyObserver for Observer {
    fn refreshed(&self, application: &str, result: &RefreshResult) {
        // Missing if a reload has just removed the application.
        let Some(metrics) = self.metrics.find(application) else { return };
        match result {
            RefreshResult::Changed | RefreshResult::Unchanged => metrics.jwks_refreshed.inc(),
            RefreshResult::Failed(_) => metrics.jwks_refresh_failed.inc(),
        }
    }

    fn clock_offset(&self, application: &str, seconds: i64) {
        // Missing if a reload has just removed the application.
        let Some(metrics) = self.metrics.find(application) else { return };
        metrics.clock_offset(seconds);
        let mut skewed = self.skewed.lock();
        // A reload may have removed applications, including the last one that disagreed.
        skewed.retain(|name| self.metrics.find(name).is_some());
        if seconds.unsigned_abs() <= self.limit() {
            if skewed.remove(application) && skewed.is_empty() {
                tracing::info!(
                    code = LogCode::ClockRight.as_str(),
                    "this machine's clock agrees with that of the key endpoints again"
                );
            }
        } else if skewed.insert(application.to_owned()) && skewed.len() == 1 {
            let direction = if seconds > 0 { "ahead of" } else { "behind" };
            tracing::warn!(
                code = LogCode::ClockOff.as_str(),
                application,
                seconds,
                "this machine's clock is {} s {direction} the key endpoint's; beyond server.clock_skew ({} s) valid \
                callbacks are refused; correct it (chrony, systemd-timesyncd)",
                seconds.unsigned_abs(),
                self.clock_skew.as_secs()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_one_episode_for_all_applications() {
        let metrics = Metrics::new().unwrap();
        let _kept = ["a", "b"].map(|name| metrics.application(name, 1));
        let observer = Observer::new(metrics, Duration::from_secs(60));
        let skewed = |seconds: [i64; 2]| {
            observer.clock_offset("a", seconds[0]);
            observer.clock_offset("b", seconds[1]);
            observer.clock_offset("removed", 1000);
            observer.skewed.lock().iter().cloned().collect::<Vec<_>>()
        };
        assert!(skewed([30, -30]).is_empty());
        assert_eq!(skewed([31, -31]), ["a", "b"]);
        assert_eq!(skewed([500, 0]), ["a"]);
        assert!(skewed([-1, 1]).is_empty());
    }
}
