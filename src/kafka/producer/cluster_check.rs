//! Verifies that brokers belong to the cluster that the producer has published to before, on its own thread.
//! `confirmation_gate` explains why.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use outbox::FailureCode;
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::health::SupervisorEvent;
use super::instance::InstanceState;
use crate::kafka::client::connection_error::ErrorCollector;
use crate::kafka::client::settings::Cluster;
use crate::telemetry::log_code::LogCode;

/// Maximum wait for a broker's cluster id. Ends early if it is certain that no broker answers.
const CLUSTER_ID_TIMEOUT: Duration = Duration::from_secs(5);
/// Poll interval during this wait.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Interval before brokers that did not answer are asked again.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Time after which waiting confirmations are logged as a warning.
const SLOW_CHECK: Duration = Duration::from_secs(5);

/// A message to the thread.
pub(super) enum Check {
    /// This producer has new connections, or waiting confirmations.
    Instance(Arc<InstanceState>),
    /// Another client has found this cluster id at the bootstrap addresses.
    ClusterId(String),
    End,
}

/// Verifies the brokers of all producers.
pub(super) struct Checker {
    pub(super) cluster: Arc<ArcSwap<Cluster>>,
    /// The producer in use.
    pub(super) current: Arc<dyn Fn() -> Option<Arc<InstanceState>> + Send + Sync>,
    pub(super) events: Sender<SupervisorEvent>,
    /// The id of the cluster that was last published to.
    pub(super) identity: Arc<Mutex<Option<String>>>,
}

impl Checker {
    pub(super) fn run(&self, checks: &Receiver<Check>) {
        let mut pending: Vec<(Arc<InstanceState>, Instant, bool)> = Vec::new();
        loop {
            let check = if pending.is_empty() {
                checks.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                checks.recv_timeout(RETRY_INTERVAL)
            };
            match check {
                Ok(Check::Instance(state)) => {
                    if !pending.iter().any(|(known, _, _)| Arc::ptr_eq(known, &state)) {
                        pending.push((state, Instant::now(), false));
                    }
                }
                Ok(Check::ClusterId(id)) => self.check_cluster_id(&id),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Check::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
            pending.retain_mut(|(state, since, warned)| {
                let waits = self.verify(state);
                if waits && !*warned && since.elapsed() >= SLOW_CHECK {
                    *warned = true;
                    tracing::warn!(
                        code = LogCode::ClusterNotVerified.as_str(),
                        "confirmations wait, because a broker cannot be asked for its cluster id over a new connection"
                    );
                }
                waits
            });
        }
    }

    /// Verifies each new connection of a producer. Returns true if some could not be verified.
    fn verify(&self, state: &Arc<InstanceState>) -> bool {
        let (mut unverified, has_pending) = state.gate.unverified();
        if unverified.is_empty() && has_pending {
            // No connection was announced, so the bootstrap addresses are verified instead.
            unverified.push((self.cluster.load().bootstrap_servers.join(","), 0));
        }
        for (address, connection) in unverified {
            let asked = FreshClient::new(&self.cluster.load(), &address);
            match asked.as_ref().and_then(FreshClient::cluster_id) {
                // A producer without a verified connection can have its producer id from the cluster before.
                Some(id) if self.is_known(&id) && state.gate.expects(&id) => {
                    self.store_cluster_id(&id);
                    state.release(state.gate.record_verified(&address, connection), None);
                }
                Some(id) => {
                    self.foreign(state, &id);
                    return false;
                }
                None => {
                    let failed = state.gate.record_unreachable(&address, connection, Instant::now());
                    state.release(failed, Some(FailureCode::TimedOut));
                }
            }
        }
        let (unverified, has_pending) = state.gate.unverified();
        !state.gate.is_foreign() && (has_pending || !unverified.is_empty())
    }

    /// Handles a producer that has reached another cluster: none of its further reports counts.
    fn foreign(&self, state: &Arc<InstanceState>, id: &str) {
        // Stored first, so that events that fail now do not find the old cluster's confirmations in the dedup cache.
        self.store_cluster_id(id);
        state.release(state.gate.record_foreign(), Some(FailureCode::ClusterReplaced));
        let _ = self.events.send(SupervisorEvent::ClusterReplaced(state.health.number()));
    }

    /// Returns false if another cluster answered before.
    fn is_known(&self, id: &str) -> bool {
        self.identity.lock().as_deref().is_none_or(|known| known == id)
    }

    /// Stores the cluster id, and reports it if it has changed.
    fn store_cluster_id(&self, id: &str) {
        let before = self.identity.lock().replace(id.to_owned());
        let Some(before) = before.filter(|before| before != id) else { return };
        tracing::error!(
            code = LogCode::ClusterReplaced.as_str(),
            before,
            now = id,
            "another Kafka cluster answers at the same address; events that wait are published to it, and records \
            that the old cluster confirmed are only there"
        );
        if let Some(state) = (self.current)() {
            state.in_flight.observer.cluster_replaced();
        }
    }

    fn check_cluster_id(&self, id: &str) {
        let Some(state) = (self.current)().filter(|_| !self.is_known(id)) else { return };
        // The other client's result may be older than what is known here.
        let servers = self.cluster.load().bootstrap_servers.join(",");
        let asked = FreshClient::new(&self.cluster.load(), &servers);
        let Some(id) = asked.as_ref().and_then(FreshClient::cluster_id) else { return };
        if !self.is_known(&id) {
            self.foreign(&state, &id);
        }
    }
}

/// A newly created client, whose answers cannot come from an older connection.
pub(super) struct FreshClient(BaseConsumer<ErrorCollector>);

impl FreshClient {
    /// Creates a client that asks these addresses first.
    pub(super) fn new(cluster: &Cluster, servers: &str) -> Option<Self> {
        let mut settings = cluster.observer();
        settings.set("bootstrap.servers", servers);
        BaseConsumer::from_config_and_context(&settings, ErrorCollector::default()).ok().map(Self)
    }

    /// Returns the id of the cluster that answers there. `None` if none does in time.
    pub(super) fn cluster_id(&self) -> Option<String> {
        let end = Instant::now() + CLUSTER_ID_TIMEOUT;
        while Instant::now() < end {
            if let Some(id) = self.0.client().fetch_cluster_id(CHECK_INTERVAL) {
                return Some(id);
            }
            // Serves the error callback only: nothing is assigned.
            while self.0.poll(Duration::ZERO).is_some() {}
            if self.0.context().is_decided() {
                return None;
            }
        }
        None
    }

    pub(super) const fn consumer(&self) -> &BaseConsumer<ErrorCollector> {
        &self.0
    }
}
