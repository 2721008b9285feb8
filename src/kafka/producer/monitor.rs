//! Monitors partitions that accept no records: reports the events that wait for them, asks whether their leaders can
//! be reached, and requests the replacement of a producer whose records only wait although they can. What that means
//! for Kafka as a whole is decided by `acceptance`.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::cluster_check::FreshClient;
use super::health::SupervisorEvent;
use super::replacement::ProducerState;
use crate::kafka::availability::acceptance::{LeaderAnswers, Observation};
use crate::kafka::availability::partitions::Silent;
use crate::kafka::client::settings::Cluster;
use crate::telemetry::log_code::LogCode;

/// Check interval.
const TICK: Duration = Duration::from_millis(100);
/// Interval between two checks of the leaders while a partition is closed.
const ASK_INTERVAL: Duration = Duration::from_secs(3);
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for which records may wait, although the leader can be reached, before the producer is replaced.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// Maximum interval between two replacements of stuck producers.
const MAX_STUCK_INTERVAL: Duration = Duration::from_secs(300);

pub(super) struct Monitor {
    producer: Weak<ProducerState>,
    events: Sender<SupervisorEvent>,
}

/// The result of a check.
#[derive(Default)]
struct Leaders {
    /// Partitions whose leader can be reached, and that have enough replicas in sync to accept a record.
    reachable: HashSet<(String, usize)>,
    answers: LeaderAnswers,
    counts: Vec<(String, usize)>,
}

/// The monitor's state between two checks.
struct State {
    asking: Option<Receiver<Leaders>>,
    asked_at: Option<Instant>,
    leaders: Option<Leaders>,
    /// Partitions that the previous check could reach. A leader that has just returned still has to be found by
    /// the producer.
    reachable_before: HashSet<(String, usize)>,
    replaced: Option<Instant>,
    min_interval: Duration,
}

impl Monitor {
    pub(super) const fn new(producer: Weak<ProducerState>, events: Sender<SupervisorEvent>) -> Self {
        Self { producer, events }
    }

    pub(super) fn run(&self) {
        let mut state = State::default();
        loop {
            std::thread::sleep(TICK);
            let Some(producer) = self.producer.upgrade() else { return };
            if producer.has_ended() {
                return;
            }
            self.check(&producer, &mut state);
        }
    }

    fn check(&self, producer: &ProducerState, state: &mut State) {
        let (in_flight, observer) = (&producer.in_flight, &producer.in_flight.observer);
        let acceptance = &in_flight.acceptance;
        let openings = in_flight.openings();
        let changes = in_flight.tick();
        in_flight.report_closed(&changes.waiting, openings);
        for (topic, partitions) in &changes.topics {
            observer.partitions_unavailable(topic, *partitions);
        }
        let (any, all, success) = in_flight.closed();
        if changes.opened {
            if !any {
                in_flight.set_undeliverable(false);
            }
            observer.partitions_available();
        }
        // Partitions without records reopen for a try, which says nothing about the leaders.
        if any || acceptance.is_unreachable() {
            state.check_leaders(producer);
            self.replace_stuck(producer, state);
        } else {
            state.set_leaders(None);
            // Its answer would say nothing about the next time.
            state.asking = None;
            state.min_interval = STUCK_AFTER;
        }
        let is_change = acceptance.record_observation(&Observation {
            is_denied: in_flight.is_denied(),
            is_total: all && in_flight.topics().len() > 1,
            last_success: success,
            leaders: state.leaders.as_ref().map(|leaders| &leaders.answers),
        });
        in_flight.set_undeliverable(any && acceptance.is_unreachable());
        if is_change {
            in_flight.deliverability_changed(acceptance.problem());
        }
    }

    fn replace_stuck(&self, producer: &ProducerState, state: &mut State) {
        if state.replaced.is_some_and(|replaced| replaced.elapsed() < state.min_interval) {
            return;
        }
        let Some(stuck) = state.stuck(producer.in_flight.silent()) else { return };
        tracing::warn!(
            code = LogCode::ProducerStuck.as_str(),
            topic = stuck.topic,
            partition = stuck.partition,
            "records wait although the partition's leader can be reached"
        );
        if state.replaced.replace(Instant::now()).is_some() {
            state.min_interval = (state.min_interval * 2).min(MAX_STUCK_INTERVAL);
        }
        let _ = self.events.send(SupervisorEvent::Stuck(producer.instance.load().health().number()));
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            asking: None,
            asked_at: None,
            leaders: None,
            reachable_before: HashSet::new(),
            replaced: None,
            min_interval: STUCK_AFTER,
        }
    }
}

impl State {
    /// Returns a partition whose records wait although its leader could be reached, twice in a row.
    fn stuck(&self, silent: Vec<Silent>) -> Option<Silent> {
        let leaders = self.leaders.as_ref()?;
        let is_stuck = |silent: &Silent| {
            let partition = (silent.topic.clone(), silent.partition);
            let is_reachable = |reachable: &HashSet<_>| reachable.contains(&partition);
            silent.waited >= STUCK_AFTER && is_reachable(&leaders.reachable) && is_reachable(&self.reachable_before)
        };
        silent.into_iter().find(is_stuck)
    }

    fn set_leaders(&mut self, leaders: Option<Leaders>) {
        let before = std::mem::replace(&mut self.leaders, leaders);
        self.reachable_before = before.map(|leaders| leaders.reachable).unwrap_or_default();
    }

    /// Checks the leaders at intervals, on a background thread, because asking blocks.
    fn check_leaders(&mut self, producer: &ProducerState) {
        if let Some(asking) = &self.asking {
            match asking.try_recv() {
                Ok(leaders) => {
                    producer.in_flight.set_partition_counts(leaders.counts.clone());
                    self.set_leaders(Some(leaders));
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => return,
                // The cluster does not answer at all. `cluster_watch` handles that.
                Err(std::sync::mpsc::TryRecvError::Disconnected) => self.set_leaders(None),
            }
            self.asking = None;
            self.asked_at = Some(Instant::now());
        }
        if self.asked_at.is_some_and(|asked_at| asked_at.elapsed() < ASK_INTERVAL) {
            return;
        }
        self.asked_at = Some(Instant::now());
        let (sender, receiver) = channel();
        let cluster = producer.cluster.load_full();
        let topics: Vec<_> = producer.in_flight.topics();
        let run = move || {
            if let Some(leaders) = ask_leaders(&cluster, &topics) {
                let _ = sender.send(leaders);
            }
        };
        if std::thread::Builder::new().name("kafka leader check".to_owned()).spawn(run).is_ok() {
            self.asking = Some(receiver);
        }
    }
}

/// Asks each leader directly, over a new connection. `None` if the cluster does not answer.
fn ask_leaders(cluster: &Arc<Cluster>, topics: &[String]) -> Option<Leaders> {
    let client = FreshClient::new(cluster, &cluster.bootstrap_servers.join(","))?;
    let metadata = client.consumer().fetch_metadata(None, METADATA_TIMEOUT).ok()?;
    let address = |id: i32| {
        let broker = metadata.brokers().iter().find(|broker| broker.id() == id)?;
        Some(format!("{}:{}", broker.host(), broker.port()))
    };
    let mut answers: HashMap<i32, bool> = HashMap::new();
    let mut leaders = Leaders::default();
    for topic in metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name())) {
        leaders.counts.push((topic.name().to_owned(), topic.partitions().len()));
        for partition in topic.partitions().iter().filter(|partition| partition.leader() >= 0) {
            let reachable = *answers.entry(partition.leader()).or_insert_with(|| {
                let address = address(partition.leader());
                let client = address.as_ref().and_then(|address| FreshClient::new(cluster, address));
                let answers = client.is_some_and(|client| client.cluster_id().is_some());
                leaders.answers.silent.extend(address.filter(|_| !answers));
                answers
            });
            let in_sync = partition.isr().len() >= partition.replicas().len().min(2);
            if let Some(id) = usize::try_from(partition.id()).ok().filter(|_| reachable && in_sync) {
                leaders.reachable.insert((topic.name().to_owned(), id));
            }
        }
    }
    leaders.answers.tried = answers.len();
    leaders.answers.answered = answers.values().filter(|answered| **answered).count();
    Some(leaders)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: &str = "idaas.user.v1";

    fn reachable(partitions: &[usize]) -> Option<Leaders> {
        let reachable = partitions.iter().map(|partition| (TOPIC.to_owned(), *partition)).collect();
        Some(Leaders { reachable, ..Leaders::default() })
    }

    #[test]
    fn a_producer_is_stuck_if_two_checks_in_a_row_reach_the_leader() {
        let mut state = State::default();
        let silent = |waited| vec![Silent { topic: TOPIC.to_owned(), partition: 1, waited }];
        let is_stuck = |state: &State, waited| state.stuck(silent(waited)).is_some();
        assert!(!is_stuck(&state, 2 * STUCK_AFTER), "no check");
        state.set_leaders(reachable(&[0, 1]));
        assert!(!is_stuck(&state, 2 * STUCK_AFTER), "the leader may have returned just now");
        state.set_leaders(reachable(&[0, 1]));
        assert!(is_stuck(&state, STUCK_AFTER));
        assert!(!is_stuck(&state, STUCK_AFTER / 2), "the records have not waited for long");
        state.set_leaders(reachable(&[0]));
        assert!(!is_stuck(&state, 2 * STUCK_AFTER), "its leader is away");
        state.set_leaders(reachable(&[1]));
        state.set_leaders(None);
        state.set_leaders(reachable(&[1]));
        assert!(!is_stuck(&state, 2 * STUCK_AFTER), "a check in between had no answer");
    }
}
