//! Follows our topics as they grow, on a thread of its own: what another replica has confirmed becomes known here.
//!
//! It must never be needed: while Kafka is away nothing comes, and when it is back what was missed comes. Nothing that a
//! callback waits for waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::pairing::{Known, Pairing};
use super::reader::{Pace, Places, Reader, TailFault};
use super::scope::Scope;
use super::settings::Cluster;
use super::tail::{Resume, Window, ago};

/// How long the thread waits for records before it looks whether it is to end.
const GLANCE: Duration = Duration::from_millis(100);
/// How many events are told at once at most.
const BATCH: usize = 1000;
/// How often partitions that came later are looked for; sooner where the last look found a topic missing, or failed.
const RESCAN: Duration = Duration::from_secs(30);
const RESCAN_SOON: Duration = Duration::from_secs(5);
/// How long a look may take.
const LOOK: Duration = Duration::from_secs(1);

/// The running thread; ends when dropped, which takes a tenth of a second, or a second while Kafka is away.
pub struct Follower {
    stop: Arc<AtomicBool>,
    scope: Arc<ArcSwap<Scope>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Starts to follow, from where a tail was read to. `tell` is called on the thread with what became known, in order
    /// per partition; an event can come more than once, and this replica's own come as well. Partitions that the tail
    /// did not have are read from ten minutes before they are found.
    ///
    /// # Errors
    /// [`TailFault::Settings`] where librdkafka refuses a property, or the system a thread.
    pub fn start(
        cluster: &Cluster,
        scope: Scope,
        resume: Resume,
        tell: impl FnMut(&[Known]) + Send + 'static,
    ) -> Result<Self, TailFault> {
        let reader = Reader::new(cluster, Pace::Easy)?;
        reader.read(&resume.places)?;
        let scope = Arc::new(ArcSwap::from_pointee(scope));
        let stop = Arc::new(AtomicBool::new(false));
        let following = Following {
            cluster: cluster.clone(),
            reader,
            followed: resume.places,
            pairing: resume.pairing,
            scope: Arc::clone(&scope),
            stop: Arc::clone(&stop),
            next_scan: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("kafka follower".to_owned()).spawn(move || following.run(tell));
        let thread = thread.map_err(|error| TailFault::Settings(error.to_string()))?;
        Ok(Self { stop, scope, thread: Some(thread) })
    }

    /// Takes other topics and applications over, for the records that are read from now on.
    pub fn rescope(&self, scope: Scope) {
        self.scope.store(Arc::new(scope));
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been told by its own message.
            let _ = thread.join();
        }
    }
}

struct Following {
    cluster: Cluster,
    reader: Reader,
    followed: Places,
    pairing: Pairing,
    scope: Arc<ArcSwap<Scope>>,
    stop: Arc<AtomicBool>,
    next_scan: Instant,
}

impl Following {
    fn run(mut self, mut tell: impl FnMut(&[Known])) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut allowed = true;
        while !self.stop.load(Ordering::Relaxed) {
            let scope = self.scope.load_full();
            let result = self.scan(&scope).and_then(|()| self.gather(&scope, &mut batch));
            if !batch.is_empty() {
                tell(&batch);
                batch.clear();
            }
            match result {
                Ok(()) => {}
                Err(fault @ TailFault::NotAllowed) => {
                    if std::mem::replace(&mut allowed, false) {
                        tracing::warn!(
                            code = "replicas_not_followed",
                            "other replicas' events are not learnt: {fault}"
                        );
                    }
                    std::thread::sleep(GLANCE);
                }
                // Told elsewhere, and it passes.
                Err(fault @ (TailFault::Settings(_) | TailFault::Away(_))) => {
                    tracing::debug!(target: "kafka", %fault, "following goes on");
                }
            }
        }
        self.reader.end();
    }

    /// Waits for records, and takes what is there.
    fn gather(&mut self, scope: &Scope, batch: &mut Vec<Known>) -> Result<(), TailFault> {
        let mut limit = GLANCE;
        while batch.len() < BATCH {
            let Some(seen) = self.reader.next(scope, limit)? else { return Ok(()) };
            limit = Duration::ZERO;
            batch.extend(seen.sighting.and_then(|sighting| self.pairing.take(sighting, seen.timestamp)));
        }
        Ok(())
    }

    /// Looks for partitions that are not followed yet, where it is time to.
    fn scan(&mut self, scope: &Scope) -> Result<(), TailFault> {
        let now = Instant::now();
        if now < self.next_scan {
            return Ok(());
        }
        self.next_scan = now + RESCAN_SOON;
        // Over connections of their own: behind a request for records that waits for some, every question would wait.
        let asking = Reader::new(&self.cluster, Pace::Fast)?;
        let found = self.ask(&asking, scope, now + LOOK);
        asking.end();
        let (begins, all) = found?;
        self.reader.read(&begins)?;
        for (topic, begins) in begins {
            self.followed.entry(topic).or_default().extend(begins);
        }
        if all {
            self.next_scan = now + RESCAN;
        }
        Ok(())
    }

    /// The partitions that are not followed yet, with where to begin, and whether that is all there will be.
    fn ask(&self, asking: &Reader, scope: &Scope, end: Instant) -> Result<(Places, bool), TailFault> {
        let (partitions, all_led) = asking.partitions(scope.topics(), end)?;
        let is_there = |topic: &str| partitions.elements().iter().any(|element| element.topic() == topic);
        let none_missing = scope.topics().all(|topic| is_there(topic));
        let is_followed = |topic: &str, partition| self.followed.get(topic)?.get(&partition);
        let fresh = Reader::only(&partitions, |topic, partition| is_followed(topic, partition).is_none());
        let spans = asking.since(&fresh, ago(Window::default().since), end)?;
        Ok((spans.begins, all_led && none_missing && spans.all))
    }
}
