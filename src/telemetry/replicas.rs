//! The metrics of the coordination of replicas.

use prometheus::{IntCounter, IntGauge, Registry};

use super::metrics::{opts, register};

/// The number of known replicas, and the lanes withheld for them.
pub struct ReplicaMetrics {
    /// Exchanges of claims in which this replica took part.
    pub rounds: IntCounter,
    replicas: IntGauge,
    lanes_held: IntGauge,
}

impl ReplicaMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register(registry, IntGauge::with_opts(opts(name, help))?);
        let rounds = opts("replica_rounds_total", "Exchanges of claims that this replica took part in.");
        let replicas = gauge("replicas", "Replicas that are known, this one included.")?;
        replicas.set(1);
        Ok(Self {
            rounds: register(registry, IntCounter::with_opts(rounds)?)?,
            replicas,
            lanes_held: gauge(
                "lanes_held",
                "Lanes withheld until the replica with most of their events has published them.",
            )?,
        })
    }

    /// Shows how many replicas are known, and how many lanes are withheld.
    pub(crate) fn show(&self, replicas: usize, lanes_held: usize) {
        let whole = |value| i64::try_from(value).unwrap_or(i64::MAX);
        self.replicas.set(whole(replicas));
        self.lanes_held.set(whole(lanes_held));
    }
}
