//! Replaces producers, on its own thread.

use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::health::{ReplaceReason, SupervisorEvent};
use super::instance::ProducerInstance;
use super::replacement::ProducerState;
use crate::kafka::client::error::ProducerFault;
use crate::kafka::client::settings::Cluster;
use crate::telemetry::log_code::LogCode;

/// Maximum time for a new producer to connect. Short if the old producer has failed, because records can wait in the
/// new one instead.
const WARM_UP: Duration = Duration::from_secs(5);
const SHORT_WARM_UP: Duration = Duration::from_secs(1);
/// Time for which a new producer is observed for an authorization error.
const AUTHORIZATION: Duration = Duration::from_millis(500);
/// Number of times that the interval between two attempts doubles while the Kafka user may not publish.
const DOUBLINGS: u32 = 2;

pub(super) struct Supervisor {
    /// Upgraded only during work: otherwise the producer could be closed on this thread, and nothing would wait for
    /// it.
    pub(super) producer: Weak<ProducerState>,
    pub(super) events: Sender<SupervisorEvent>,
    pub(super) received: Receiver<SupervisorEvent>,
}

impl Supervisor {
    pub(super) fn run(self) {
        let mut made: Option<Instant> = None;
        while let Ok(event) = self.received.recv() {
            let Some(producer) = self.producer.upgrade() else { return };
            let why = match event {
                SupervisorEvent::Stop => return,
                SupervisorEvent::EpochExhausted(number) => producer.is_current(number).then_some(ReplaceReason::Epoch),
                SupervisorEvent::ClusterReplaced(number) => {
                    producer.is_current(number).then_some(ReplaceReason::Cluster)
                }
                SupervisorEvent::Stuck(number) => producer.is_current(number).then_some(ReplaceReason::Stuck),
                SupervisorEvent::ErrorReported(number) => producer.fatal(number),
            };
            let Some(why) = why else { continue };
            if why == ReplaceReason::Denied {
                set_denied(&producer);
            }
            let rest = made.map_or(Duration::ZERO, |made| producer.min_lifetime.saturating_sub(made.elapsed()));
            // No report of a producer of the old cluster counts, so waiting is useless.
            let rest = if why == ReplaceReason::Cluster { Duration::ZERO } else { rest };
            let Some(why) = self.pause(&producer, rest, why) else { return };
            if !self.replace(&producer, why) {
                return;
            }
            made = Some(Instant::now());
        }
    }

    /// Waits for `limit`. Returns `None` if the shutdown began in the meantime, otherwise the reason for the
    /// replacement, which can have become more urgent.
    fn pause(&self, producer: &ProducerState, limit: Duration, mut why: ReplaceReason) -> Option<ReplaceReason> {
        let end = Instant::now() + limit;
        loop {
            match self.received.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => return Some(why),
                Ok(SupervisorEvent::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
                Ok(SupervisorEvent::ErrorReported(number)) => why = producer.fatal(number).unwrap_or(why),
                Ok(SupervisorEvent::ClusterReplaced(number)) if producer.is_current(number) => {
                    return Some(ReplaceReason::Cluster);
                }
                Ok(
                    SupervisorEvent::EpochExhausted(_)
                    | SupervisorEvent::ClusterReplaced(_)
                    | SupervisorEvent::Stuck(_),
                ) => {}
            }
        }
    }

    /// Replaces the producer in use, and retries until it works. Returns false if the shutdown begins first.
    fn replace(&self, producer: &ProducerState, mut why: ReplaceReason) -> bool {
        let mut denied = 0;
        loop {
            let cluster = producer.cluster.load_full();
            match fresh(producer, &cluster, why) {
                Ok(Fresh::Working(instance)) => {
                    let number = instance.health().number();
                    if !producer.replace_unless_outdated(instance, &cluster, why) {
                        continue;
                    }
                    producer.in_flight.set_denied(false);
                    // Errors that it reported before it was in use were ignored, so it is checked again.
                    return self.events.send(SupervisorEvent::ErrorReported(number)).is_ok();
                }
                Ok(Fresh::Denied) => {
                    why = ReplaceReason::Denied;
                    denied += 1;
                }
                Ok(Fresh::Cold) => {
                    tracing::warn!(code = LogCode::ProducerNotReplaced.as_str(), "Kafka does not answer; retrying")
                }
                Err(fault) => tracing::error!(code = LogCode::ProducerNotReplaced.as_str(), %fault, "trying again"),
            }
            let wait = producer.min_lifetime * 2_u32.pow(u32::min(denied, DOUBLINGS + 1).saturating_sub(1));
            match self.pause(producer, wait, why) {
                Some(now) => why = now,
                None => return false,
            }
        }
    }
}

/// The result of starting a new producer.
enum Fresh {
    Working(ProducerInstance),
    /// It does not connect, and the old one still works.
    Cold,
    /// It is not allowed to publish either.
    Denied,
}

fn fresh(producer: &ProducerState, cluster: &Cluster, why: ReplaceReason) -> Result<Fresh, ProducerFault> {
    let instance = producer.new_instance(cluster)?;
    let (limit, needed) = match why {
        ReplaceReason::Fatal | ReplaceReason::Cluster | ReplaceReason::Denied => (SHORT_WARM_UP, false),
        ReplaceReason::Epoch | ReplaceReason::Stuck | ReplaceReason::Settings => (WARM_UP, true),
    };
    let warm = instance.warm_up(limit).is_some();
    if why == ReplaceReason::Denied {
        let end = Instant::now() + AUTHORIZATION;
        while warm && instance.fatal().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        if !warm || instance.fatal().is_some() {
            return Ok(Fresh::Denied);
        }
    }
    Ok(if warm || !needed { Fresh::Working(instance) } else { Fresh::Cold })
}

/// Handles a Kafka user that may not publish: records that are with the producer fail at once, and new records are not
/// given to it.
fn set_denied(producer: &ProducerState) {
    if !producer.in_flight.is_denied() {
        tracing::error!(
            code = LogCode::KafkaNotAuthorized.as_str(),
            "the Kafka user may not publish to any topic; grant it WRITE on the topics. Until then, events go to the \
            journal"
        );
    }
    producer.in_flight.set_denied(true);
    producer.instance.load().purge(true);
}
