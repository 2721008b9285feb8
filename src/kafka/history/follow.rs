//! Follows our topics as they grow, on its own thread, so that this replica learns what others have published.
//!
//! The service must work without it: it reads nothing while Kafka is unavailable, and catches up afterwards. No
//! callback waits for it, directly or indirectly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::ReadFault;
use super::backfill::Backfill;
use super::correlate::{Correlator, Known};
use super::our_topics::{LiveScope, Scope};
use super::partition_reader::{FetchProfile, Offsets, PartitionReader};
use super::recent_records::{BatchObserver, Checkpoint, Window, unread};
use crate::kafka::client::settings::Cluster;
use crate::kafka::client::timestamp::ago;
use crate::telemetry::liveness::Liveness;
use crate::telemetry::log_code::LogCode;

/// Maximum wait for records before the thread checks whether to stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Maximum number of events per call of `observe`.
const BATCH: usize = 1000;
/// Interval between two searches for new partitions. Short if the last search failed or found a topic missing.
const RESCAN: Duration = Duration::from_secs(30);
const SHORT_RESCAN: Duration = Duration::from_secs(5);
/// Maximum duration of a search.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The running thread. Dropping it stops the thread, which takes a tenth of a second, or some seconds while brokers do
/// not answer.
pub struct Follower {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Called with new information about events.
type Observer = dyn Fn(&[Known]) + Send + Sync;

/// State that the thread shares with callers that wait for it to catch up.
struct Shared {
    cluster: Cluster,
    scope: LiveScope,
    stop: AtomicBool,
    is_fast: AtomicBool,
    /// The next offset of each followed partition. Earlier records have been passed on.
    followed: Mutex<Offsets>,
    correlator: Mutex<Correlator>,
    observe: Box<Observer>,
    /// A client for queries and for catching up, with its own connections: behind a fetch request that waits for
    /// records, every query would wait too.
    query_reader: Mutex<Option<PartitionReader>>,
}

impl Follower {
    /// Starts to follow from the offsets that a tail was read to. `observe` is called with what became known, in order
    /// per partition. An event can be passed more than once, and this replica's own events are passed too. Partitions
    /// that are not in the tail are read from ten minutes before they are found.
    ///
    /// # Errors
    /// [`ReadFault::Settings`] if librdkafka rejects a property, or no thread can be started.
    pub fn start(
        cluster: &Cluster,
        scope: LiveScope,
        resume: Checkpoint,
        observe: impl Fn(&[Known]) + Send + Sync + 'static,
        liveness: &Arc<Liveness>,
    ) -> Result<Self, ReadFault> {
        let reader = PartitionReader::of_events(cluster, FetchProfile::Relaxed)?;
        reader.read(&resume.offsets)?;
        let shared = Arc::new(Shared {
            cluster: cluster.clone(),
            scope,
            stop: AtomicBool::new(false),
            is_fast: AtomicBool::new(false),
            followed: Mutex::new(resume.offsets),
            correlator: Mutex::new(resume.correlator),
            observe: Box::new(observe),
            query_reader: Mutex::new(None),
        });
        let following = Following {
            shared: Arc::clone(&shared),
            reader,
            profile: FetchProfile::Relaxed,
            scanned: None,
            next_scan: Instant::now(),
        };
        let alive = liveness.watch("kafka follower");
        let run = move || {
            let _alive = alive;
            following.run();
        };
        let thread = std::thread::Builder::new().name("kafka follower".to_owned()).spawn(run);
        let thread = thread.map_err(|error| ReadFault::Settings(error.to_string()))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Changes the fetch profile.
    pub fn set_fetch_profile(&self, profile: FetchProfile) {
        self.shared.is_fast.store(profile == FetchProfile::Fast, Ordering::Relaxed);
    }

    /// Reads everything that is in the topics now and has not been passed on yet, and passes it on. Returns true if
    /// nothing was left out: every partition has a leader that answered, and all of it was read within `limit`.
    /// Blocks.
    #[must_use]
    pub fn catch_up(&self, limit: Duration) -> bool {
        let caught_up = self.shared.catch_up(Instant::now() + limit);
        caught_up.unwrap_or_else(|fault| {
            tracing::debug!(target: "kafka", %fault, "not caught up");
            false
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it has already been reported.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Runs a query with the query client. Uses a new client if the last query failed.
    fn with_asking<T>(&self, ask: impl FnOnce(&PartitionReader) -> Result<T, ReadFault>) -> Result<T, ReadFault> {
        let mut client = self.query_reader.lock();
        let reader = match client.take() {
            Some(reader) => reader,
            None => PartitionReader::of_events(&self.cluster, FetchProfile::Fast)?,
        };
        let result = ask(&reader);
        if result.is_ok() {
            *client = Some(reader);
        } else {
            reader.end();
        }
        result
    }

    fn catch_up(&self, end: Instant) -> Result<bool, ReadFault> {
        let scope = self.scope.load();
        self.with_asking(|reader| {
            let located = reader.locate(&scope.topic_names(), end)?;
            let mut ranges = reader.offset_ranges(&located.led, ago(Window::default().since), end);
            let is_answered = unread(&located, &ranges).is_empty() && located.denied.is_empty();
            let followed = self.followed.lock().clone();
            for (topic, begins) in &mut ranges.begins {
                for (partition, begin) in begins {
                    let next = followed.get(topic).and_then(|offsets| offsets.get(partition));
                    *begin = next.copied().unwrap_or(*begin);
                }
            }
            let mut backfill = Backfill::new(&ranges);
            let mut correlator = self.correlator.lock();
            let mut observer = BatchObserver::new(&mut correlator, &self.observe);
            let is_read = backfill.read(reader, &scope, end, |record| {
                if let Some(published_record) = record.published_record {
                    observer.take(published_record, record.timestamp);
                }
            });
            observer.flush();
            if !is_read? {
                // The client still reads the partitions that it has not finished.
                return Err(ReadFault::Unreachable(crate::kafka::client::connection_error::Unreachable {
                    errors: Vec::new(),
                }));
            }
            Ok(is_answered)
        })
    }
}

struct Following {
    shared: Arc<Shared>,
    reader: PartitionReader,
    profile: FetchProfile,
    /// The scope of the last scan for partitions.
    scanned: Option<Arc<Scope>>,
    next_scan: Instant,
}

impl Following {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut allowed = true;
        while !self.shared.stop.load(Ordering::Relaxed) {
            let scope = self.shared.scope.load();
            let result =
                self.change_pace().and_then(|()| self.scan(&scope)).and_then(|()| self.gather(&scope, &mut batch));
            match result {
                Ok(()) => {}
                Err(fault @ ReadFault::NotAllowed) => {
                    if std::mem::replace(&mut allowed, false) {
                        tracing::warn!(
                            code = LogCode::ReplicasNotFollowed.as_str(),
                            "the records of other replicas cannot be read: {fault}"
                        );
                    }
                    std::thread::sleep(POLL_TIMEOUT);
                }
                // Logged elsewhere, and temporary.
                Err(fault @ (ReadFault::Settings(_) | ReadFault::Unreachable(_))) => {
                    tracing::debug!(target: "kafka", %fault, "following continues");
                }
            }
        }
        if let Some(query_reader) = self.shared.query_reader.lock().take() {
            query_reader.end();
        }
        self.reader.end();
    }

    /// Replaces the consumer if the fetch profile has changed.
    fn change_pace(&mut self) -> Result<(), ReadFault> {
        let profile =
            if self.shared.is_fast.load(Ordering::Relaxed) { FetchProfile::Fast } else { FetchProfile::Relaxed };
        if profile == self.profile {
            return Ok(());
        }
        let reader = PartitionReader::of_events(&self.shared.cluster, profile)?;
        reader.read(&self.shared.followed.lock())?;
        std::mem::replace(&mut self.reader, reader).end();
        self.profile = profile;
        Ok(())
    }

    /// Waits for records, reads those that are available, and passes on the events that they reveal.
    fn gather(&mut self, scope: &Scope, batch: &mut Vec<Known>) -> Result<(), ReadFault> {
        let (mut limit, mut read, mut result) = (POLL_TIMEOUT, Offsets::new(), Ok(()));
        while batch.len() < BATCH {
            match self.reader.next(scope, limit) {
                Ok(Some(record)) => {
                    limit = Duration::ZERO;
                    let published_record = record.published_record;
                    batch.extend(published_record.and_then(|published_record| {
                        self.shared.correlator.lock().insert(published_record, record.timestamp)
                    }));
                    read.entry(record.topic).or_default().insert(record.partition, record.offset + 1);
                }
                Ok(None) => break,
                Err(fault) => {
                    result = Err(fault);
                    break;
                }
            }
        }
        if !batch.is_empty() {
            (self.shared.observe)(batch);
            batch.clear();
        }
        let mut followed = self.shared.followed.lock();
        for (topic, read) in read {
            followed.entry(topic).or_default().extend(read);
        }
        result
    }

    /// Searches for partitions that are not followed yet: at intervals, and when the scope has changed.
    fn scan(&mut self, scope: &Arc<Scope>) -> Result<(), ReadFault> {
        let now = Instant::now();
        let is_new = self.scanned.as_ref().is_none_or(|scanned| !Arc::ptr_eq(scanned, scope));
        if now < self.next_scan && !is_new {
            return Ok(());
        }
        self.next_scan = now + SHORT_RESCAN;
        self.scanned = Some(Arc::clone(scope));
        let (begins, is_all) =
            self.shared.with_asking(|query_reader| self.ask(query_reader, scope, now + CHECK_INTERVAL))?;
        self.reader.read(&begins)?;
        let mut followed = self.shared.followed.lock();
        for (topic, begins) in begins {
            followed.entry(topic).or_default().extend(begins);
        }
        if is_all {
            self.next_scan = now + RESCAN;
        }
        Ok(())
    }

    /// Returns the partitions that are not followed yet, with their first offsets, and true if the list is complete.
    fn ask(&self, query_reader: &PartitionReader, scope: &Scope, end: Instant) -> Result<(Offsets, bool), ReadFault> {
        let mut located = query_reader.locate(&scope.topic_names(), end)?;
        let followed = self.shared.followed.lock().clone();
        located.led.retain(|led| followed.get(&led.topic).is_none_or(|offsets| !offsets.contains_key(&led.partition)));
        let ranges = query_reader.offset_ranges(&located.led, ago(Window::default().since), end);
        let is_all = located.missing.is_empty() && unread(&located, &ranges).is_empty();
        Ok((ranges.begins, is_all))
    }
}
