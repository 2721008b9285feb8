//! The memory of verdicts over restarts and replicas: what our own topics say is learnt before anything is replayed.
//!
//! Never a reason not to take callbacks: where Kafka is away they go to the journal, and the topics are read when it is
//! back, before what the journal holds is published.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::bridge::Bridge;
use crate::config::Config;
use crate::kafka::follow::Follower;
use crate::kafka::scope::Scope;
use crate::kafka::settings::Cluster;
use crate::kafka::tail::{Known, Resume, TailFault, Window, read_tail};
use crate::outbox::Learned;

/// How long to wait before the topics are asked again.
const REST: Duration = Duration::from_secs(1);

/// How much earlier than the oldest event of the journal the reading begins.
const MARGIN: Duration = Duration::from_secs(60);

/// What there is to learn, and from where.
pub(super) struct Recollection {
    cluster: Cluster,
    scope: Scope,
    follow: bool,
    follower: Mutex<Option<Follower>>,
}

/// What came of one attempt.
enum Attempt {
    /// All that can be known is known; following goes on from there.
    Learnt(Resume),
    /// Nothing can be known, now or later.
    Hopeless,
    /// Kafka is away.
    Again,
}

impl Recollection {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            cluster: super::assemble::cluster(config),
            scope: Scope::of(config),
            follow: config.dedupe.follow_replicas,
            follower: Mutex::new(None),
        })
    }

    /// Takes changed topics and applications over.
    pub(super) fn rescope(&self, config: &Config) {
        if let Some(follower) = &*self.follower.lock() {
            follower.rescope(Scope::of(config));
        }
    }

    /// Learns what stands in the topics, lets the journal's events go, and follows the other replicas where that is
    /// asked for. Says whether it came to an end; if not, [`Recollection::persist`] goes on.
    pub(super) async fn learn(self: Arc<Self>, bridge: &Arc<Bridge>) -> bool {
        let (this, to) = (Arc::clone(&self), Arc::clone(bridge));
        let attempt = tokio::task::spawn_blocking(move || this.attempt(&to)).await.unwrap_or(Attempt::Hopeless);
        match attempt {
            Attempt::Again => return false,
            Attempt::Hopeless => {}
            Attempt::Learnt(resume) if self.follow => self.begin_to_follow(resume, bridge),
            Attempt::Learnt(_) => {}
        }
        bridge.dispatcher.release();
        true
    }

    /// Tries until Kafka is back, or the service ends.
    pub(super) async fn persist(self: Arc<Self>, bridge: Arc<Bridge>) {
        while !bridge.is_draining() {
            if bridge.dispatcher.is_connected() && Arc::clone(&self).learn(&bridge).await {
                return;
            }
            sleep(REST).await;
        }
    }

    /// Stops following. Blocks for a moment.
    pub(super) fn end(&self) {
        drop(self.follower.lock().take());
    }

    fn attempt(&self, bridge: &Bridge) -> Attempt {
        match read_tail(&self.cluster, &self.scope, window(bridge)) {
            Ok(tail) => {
                let events = tail.events.len();
                bridge.dispatcher.learn(tail.events.iter().map(learned));
                if tail.complete {
                    tracing::info!(
                        code = "memory_rebuilt",
                        events,
                        records = tail.records,
                        "read what was published last"
                    );
                } else {
                    tracing::warn!(
                        code = "memory_incomplete",
                        events,
                        records = tail.records,
                        "not all that was published last could be read; a re-delivery of the rest becomes a second record"
                    );
                }
                Attempt::Learnt(tail.resume)
            }
            Err(TailFault::Away(_)) => Attempt::Again,
            Err(fault @ (TailFault::Settings(_) | TailFault::NotAllowed)) => {
                tracing::error!(
                    code = "memory_not_rebuilt",
                    "what was published before the start is unknown, so a re-delivery of it becomes a second record: {fault}"
                );
                Attempt::Hopeless
            }
        }
    }

    fn begin_to_follow(&self, resume: Resume, bridge: &Arc<Bridge>) {
        // Weak, because following must not keep the service alive.
        let bridge = Arc::downgrade(bridge);
        let tell = move |events: &[Known]| {
            if let Some(bridge) = bridge.upgrade() {
                bridge.dispatcher.learn(events.iter().map(learned));
            }
        };
        match Follower::start(&self.cluster, self.scope.clone(), resume, tell) {
            Ok(follower) => *self.follower.lock() = Some(follower),
            Err(fault) => tracing::error!(code = "not_following", "other replicas cannot be followed: {fault}"),
        }
    }
}

/// Ten minutes; or from the time at which the journal's oldest event was accepted, because it is published with that
/// time, and may have been, just before a crash.
fn window(bridge: &Bridge) -> Window {
    let usual = Window::default();
    let oldest = bridge.dispatcher.journal().and_then(|journal| journal.usage().oldest_accepted_at);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = oldest.and_then(|oldest| now.checked_sub(Duration::from_millis(u64::try_from(oldest).ok()?)));
    Window { since: age.map_or(usual.since, |age| usual.since.max(age + MARGIN)), ..usual }
}

fn learned(event: &Known) -> (crate::outbox::EventKey, Learned) {
    (event.key, Learned::Whole(event.verdict))
}
