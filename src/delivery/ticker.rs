//! The task that passes the time to the outbox, so that deadlines and retries happen, and that logs waiting events.

use std::sync::Weak;
use std::time::Duration;

use super::executor::Executor;
use super::waiting_log::WaitingLog;
use crate::telemetry::liveness::Alive;

/// Interval at which deadlines are checked. Each check wakes up a thread, which costs more than the check itself.
const TICK: Duration = Duration::from_millis(25);

/// Runs until the outbox is dropped.
pub(super) async fn tick(executor: Weak<Executor>, alive: Alive) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut waiting_log = WaitingLog::default();
    loop {
        ticks.tick().await;
        let Some(executor) = executor.upgrade() else { return drop(alive) };
        executor.step(|outbox, now| outbox.tick(now));
        if waiting_log.is_due(executor.now()) {
            let (heads, replayed) = {
                let outbox = executor.outbox.lock();
                (outbox.waiting_heads_by_reason(), outbox.replayed_total())
            };
            let journaled = executor.journal.load().as_ref().map_or(0, |journal| journal.usage().events);
            waiting_log.observe(&heads, journaled, replayed, executor.now());
        }
    }
}
