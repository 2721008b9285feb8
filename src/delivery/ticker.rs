//! The task that passes the time to the outbox, so that deadlines and retries happen, and logs what waits.

use std::sync::Weak;
use std::time::Duration;

use super::episodes::Episodes;
use super::executor::Executor;
use crate::telemetry::liveness::Alive;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(10);

/// Runs until the outbox is dropped.
pub(super) async fn tick(shared: Weak<Executor>, alive: Alive) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut episodes = Episodes::default();
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return drop(alive) };
        shared.step(|outbox, now| outbox.tick(now));
        if episodes.is_due(shared.now()) {
            let (heads, replayed) = {
                let outbox = shared.outbox.lock();
                (outbox.waiting_heads_by_reason(), outbox.replayed_total())
            };
            let journaled = shared.journal.load().as_ref().map_or(0, |journal| journal.usage().events);
            episodes.observe(&heads, journaled, replayed, shared.now());
        }
    }
}
