//! Decides whether Kafka accepts records. Owns both inputs of that decision; `KafkaMetrics` combines them for
//! operators.
//!
//! Two threads report here. The watch probes whether the cluster answers and names leaders:
//! `Acceptance::record_probe` returns whether Kafka counts as available. The producer's monitor observes the delivery
//! of records: `Acceptance::record_observation` returns whether they cannot be delivered although brokers answer.
//! Confirmed records are the only proof, so they are counted here, and both decisions respect them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::breaker::{Breaker, Probe};

/// While the last confirmation is younger than this, records can be delivered.
const SUCCESS_GRACE_PERIOD: Duration = Duration::from_secs(2);

/// The reason why nothing can be published, although brokers answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undeliverable {
    /// The Kafka user may not write.
    NotAuthorized,
    /// No leader can be reached at its advertised address. Contains these addresses.
    Unreachable(Vec<String>),
    /// All partitions that records were sent to fail.
    AllFailing,
}

/// For people.
impl fmt::Display for Undeliverable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAuthorized => f.write_str("the Kafka user may not write; grant it WRITE on the topics"),
            Self::Unreachable(addresses) => write!(
                f,
                "no partition's leader can be reached at the address that it advertises ({}); see \
                advertised.listeners of the brokers, and firewalls",
                addresses.join(", ")
            ),
            Self::AllFailing => f.write_str("every partition that records were sent to fails; see the brokers' logs"),
        }
    }
}

/// How the leaders of partitions have answered.
#[derive(Debug, Clone, Default)]
pub(in crate::kafka) struct LeaderAnswers {
    /// The number of leaders that were tried.
    pub(in crate::kafka) tried: usize,
    pub(in crate::kafka) answered: usize,
    /// The addresses of those that did not answer.
    pub(in crate::kafka) silent: Vec<String>,
}

/// What the producer's monitor sees.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Observation<'a> {
    /// True if the Kafka user may not publish anything.
    pub(in crate::kafka) is_denied: bool,
    /// True if all partitions of several topics are closed.
    pub(in crate::kafka) is_total: bool,
    /// How long ago the last record was confirmed.
    pub(in crate::kafka) last_success: Option<Duration>,
    /// `None` if no partition is closed, or the cluster does not answer.
    pub(in crate::kafka) leaders: Option<&'a LeaderAnswers>,
}

/// Whether Kafka accepts records.
#[derive(Debug, Default)]
pub struct Acceptance {
    /// The number of records that were confirmed.
    confirmed: AtomicU64,
    /// The number of the watch that is in use, and its breaker.
    watched: Mutex<(u64, Breaker)>,
    problem: Mutex<Option<Undeliverable>>,
}

impl Acceptance {
    /// Counts a record that was confirmed.
    pub(in crate::kafka) fn confirmed(&self) {
        self.confirmed.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a watch starts. Returns its number. The probes of earlier watches no longer count.
    pub(super) fn watch_started(&self) -> u64 {
        let mut watched = self.watched.lock();
        *watched = (watched.0 + 1, Breaker::default());
        watched.0
    }

    /// Handles a probe by the watch with that number. Returns whether Kafka counts as available, if that has changed.
    pub(super) fn record_probe(&self, watch: u64, probe: Probe) -> Option<bool> {
        let (number, breaker) = &mut *self.watched.lock();
        if *number == watch { breaker.record(probe, self.confirmed.load(Ordering::Relaxed)) } else { None }
    }

    /// Returns the interval before the next probe.
    pub(super) fn probe_interval(&self) -> Duration {
        self.watched.lock().1.interval()
    }

    /// Handles what the producer's monitor sees. Returns true if [`Acceptance::problem`] has changed.
    pub(in crate::kafka) fn record_observation(&self, observation: &Observation<'_>) -> bool {
        let mut problem = self.problem.lock();
        let now = undeliverable(observation, problem.as_ref());
        let is_change = *problem != now;
        *problem = now;
        is_change
    }

    /// Returns why records cannot be delivered although brokers answer. `None` if they can, or if it is unknown.
    pub(in crate::kafka) fn problem(&self) -> Option<Undeliverable> {
        self.problem.lock().clone()
    }

    /// Returns true if no partition's leader can be reached.
    pub(in crate::kafka) fn is_unreachable(&self) -> bool {
        matches!(*self.problem.lock(), Some(Undeliverable::Unreachable(_)))
    }
}

/// Returns why nothing is confirmed. If the cluster does not answer, leaders that could not be reached before still
/// count as such.
fn undeliverable(observation: &Observation<'_>, before: Option<&Undeliverable>) -> Option<Undeliverable> {
    if observation.is_denied {
        return Some(Undeliverable::NotAuthorized);
    }
    if observation.last_success.is_some_and(|success| success < SUCCESS_GRACE_PERIOD) {
        return None;
    }
    match (observation.leaders, before) {
        (Some(leaders), _) if leaders.tried > 0 && leaders.answered == 0 => {
            Some(Undeliverable::Unreachable(leaders.silent.clone()))
        }
        (Some(_), _) if observation.is_total => Some(Undeliverable::AllFailing),
        (None, Some(before @ Undeliverable::Unreachable(_))) => Some(before.clone()),
        (Some(_) | None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn leaders(answered: usize) -> LeaderAnswers {
        LeaderAnswers { tried: 1, answered, silent: vec!["kafka-1:9092".to_owned()] }
    }

    #[test]
    fn unreachable_leaders_stay_so_until_one_answers() {
        let unreachable = Some(Undeliverable::Unreachable(vec!["kafka-1:9092".to_owned()]));
        let acceptance = Acceptance::default();
        let observed = |leaders: Option<&LeaderAnswers>, is_total| {
            let is_change = acceptance.record_observation(&Observation { leaders, is_total, ..Observation::default() });
            (is_change, acceptance.problem())
        };
        assert_eq!(observed(None, true), (false, None));
        assert_eq!(observed(Some(&leaders(0)), true), (true, unreachable.clone()));
        assert_eq!(observed(None, false), (false, unreachable), "the cluster does not answer");
        assert!(acceptance.is_unreachable());
        assert_eq!(observed(Some(&leaders(1)), false), (true, None));
        assert_eq!(observed(Some(&leaders(1)), true), (true, Some(Undeliverable::AllFailing)));
    }

    #[test]
    fn recent_confirmation_outweighs_all_but_a_denial() {
        let (acceptance, leaders) = (Acceptance::default(), leaders(0));
        let mut observation = Observation { leaders: Some(&leaders), is_total: true, ..Observation::default() };
        observation.last_success = Some(SECOND);
        assert!(!acceptance.record_observation(&observation));
        observation.is_denied = true;
        assert!(acceptance.record_observation(&observation));
        assert_eq!(acceptance.problem(), Some(Undeliverable::NotAuthorized));
        (observation.is_denied, observation.last_success) = (false, Some(2 * SECOND));
        assert!(acceptance.record_observation(&observation) && acceptance.is_unreachable());
    }

    #[test]
    fn confirmed_records_prove_the_answers_of_the_cluster() {
        let acceptance = Acceptance::default();
        let watch = acceptance.watch_started();
        let mut seconds = 0..;
        let mut probed = |is_accepting| {
            let started = seconds.next().unwrap() * SECOND;
            acceptance.record_probe(watch, Probe { started, ended: started, is_accepting, all_down: !is_accepting })
        };
        let mut again = || [probed(false), probed(true)];
        assert_eq!(again(), [Some(false), Some(true)]);
        assert_eq!(again(), [Some(false), Some(true)], "the first closing proves nothing, and is immediate");
        assert_eq!(again(), [Some(false), None], "no record was confirmed, so answers must last");
        acceptance.confirmed();
        assert_eq!(again(), [None, Some(true)], "it is still open, and closes at once");
    }

    #[test]
    fn another_watch_is_told_the_state_again() {
        let acceptance = Acceptance::default();
        let probe = Probe { started: SECOND, ended: SECOND, is_accepting: true, all_down: false };
        let old = acceptance.watch_started();
        assert_eq!([acceptance.record_probe(old, probe), acceptance.record_probe(old, probe)], [Some(true), None]);
        let new = acceptance.watch_started();
        assert_eq!(
            acceptance.record_probe(old, Probe { is_accepting: false, all_down: true, ..probe }),
            None,
            "it is replaced"
        );
        assert_eq!(acceptance.record_probe(new, probe), Some(true));
    }
}
