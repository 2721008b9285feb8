//! Counts the outcomes of a run's events, and the latencies.

use std::collections::BTreeMap;
use std::time::Duration;

use super::answer::List;
use super::redelivery::{DeliveryEvent, FinalOutcome, Outcome};

/// Maximum number of unexpected outcomes and answer faults that are kept for display.
const KEPT: usize = 20;

/// The statistics of a run.
#[derive(Debug, Default)]
pub struct RunStats {
    /// The number of events by final outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// The number of events with a final outcome.
    pub settled: u64,
    /// The number of unexpected outcomes.
    pub unexpected: u64,
    /// The first unexpected outcomes.
    pub surprises: Vec<Outcome>,
    /// Descriptions of the first wrong answers.
    pub wrong: Vec<String>,
    /// The number of callbacks that were sent later than planned.
    pub late: u64,
    latencies: Vec<Duration>,
}

/// Latencies of callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quantiles {
    /// The median.
    pub p50: Duration,
    /// The 90th percentile.
    pub p90: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// The maximum.
    pub max: Duration,
}

impl RunStats {
    /// Counts a delivery event.
    pub fn count(&mut self, event: &DeliveryEvent) {
        match event {
            DeliveryEvent::Delivered(latency) => self.latencies.push(*latency),
            DeliveryEvent::Again { .. } => {}
            DeliveryEvent::Late(_) => self.late += 1,
            DeliveryEvent::Wrong(fault) => {
                if self.wrong.len() < KEPT {
                    self.wrong.push(fault.to_string());
                }
            }
            DeliveryEvent::Settled(outcomes) => outcomes.iter().for_each(|outcome| self.settle(outcome)),
        }
    }

    fn settle(&mut self, outcome: &Outcome) {
        *self.outcomes.entry(describe(&outcome.final_outcome)).or_default() += 1;
        self.settled += 1;
        if !outcome.good {
            self.unexpected += 1;
            if self.surprises.len() < KEPT {
                self.surprises.push(outcome.clone());
            }
        }
    }

    /// Returns the number of callbacks posted, including redeliveries.
    #[must_use]
    pub const fn deliveries(&self) -> usize {
        self.latencies.len()
    }

    /// Returns true if all of `count` events had the expected outcome, and all answers were valid.
    #[must_use]
    pub const fn is_as_expected(&self, count: u64) -> bool {
        self.settled == count && self.unexpected == 0 && self.wrong.is_empty()
    }

    /// Returns the quantiles of all latencies, including redeliveries, each counted from its own start.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        // Nearest rank: the smallest latency that at least this percentage of callbacks does not exceed.
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Quantiles { p50: at(50), p90: at(90), p99: at(99), max: at(100) }
    }
}

/// Describes a verdict: the list, and the code unless it is the same.
#[must_use]
pub fn verdict(list: List, code: &str) -> String {
    if code.eq_ignore_ascii_case(list.code()) { list.code().to_owned() } else { format!("{} {code}", list.code()) }
}

/// Describes an outcome: the list or the status, and the code.
#[must_use]
pub fn describe(final_outcome: &FinalOutcome) -> String {
    match final_outcome {
        FinalOutcome::Verdict(list, code) => verdict(*list, code),
        FinalOutcome::NoVerdict => "no verdict".to_owned(),
        FinalOutcome::Refusal(status, code) => format!("{status} {}", code.as_deref().unwrap_or("without a code")),
        FinalOutcome::NoAnswer(reason) => format!("no answer {}", reason.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_latencies_that_occurred() {
        let mut stats = RunStats::default();
        for milliseconds in 1..=200 {
            stats.count(&DeliveryEvent::Delivered(Duration::from_millis(milliseconds)));
        }
        let [p50, p90, p99, max] = [100, 180, 198, 200].map(Duration::from_millis);
        assert_eq!(stats.quantiles(), Quantiles { p50, p90, p99, max });
        assert_eq!(RunStats::default().quantiles(), Quantiles::default());
    }

    #[test]
    fn a_code_that_repeats_its_list_is_left_out() {
        assert_eq!(verdict(List::Success, "SUCCESS"), "success");
        assert_eq!(verdict(List::Failed, "malformed_data"), "failed malformed_data");
        assert_eq!(verdict(List::Success, "done"), "success done");
    }

    #[test]
    fn a_run_whose_events_are_not_all_settled_is_not_good() {
        assert!(!RunStats::default().is_as_expected(1));
        assert!(RunStats::default().is_as_expected(0));
    }
}
