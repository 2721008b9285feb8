//! The background task that refreshes one application's keys. Each application has one task, which runs one fetch at
//! a time, so fetches of one application never overlap.
//!
//! A failed fetch, or a set without a usable key, must never replace existing keys.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use idaas_callback::jose::jws::KeySet;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::cache::{Cache, Cached};
use super::fault::FetchFault;
use super::fetch::{Clients, Fetched, fetch};
use super::observer::{KeyObserver, RefreshResult};
use super::schedule::{Cause, End, Schedule, Timing};
use super::store::{KeyStore, Keys};
use crate::config::JwksSource;
use crate::telemetry::liveness::Liveness;
use crate::telemetry::log_code::LogCode;

/// Maximum wait for the disk in a refresh, so that an unresponsive disk does not stop the refreshes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of key ids in a log line. IDaaS has one key, and two during a rotation.
const LOGGED_IDS: usize = 16;

/// Settings that all applications share.
#[derive(Clone)]
pub struct Settings {
    /// The directory for the last good sets. `None` stores none.
    pub directory: Option<PathBuf>,
    /// The HTTP clients.
    pub clients: Clients,
    /// The times of refreshing.
    pub timing: Timing,
    /// Observes the refreshes.
    pub observer: Arc<dyn KeyObserver>,
    /// Watches the tasks.
    pub liveness: Arc<Liveness>,
}

/// A key store and the task that refreshes it. Dropping it stops the task.
pub struct Refresher {
    source: JwksSource,
    store: Arc<KeyStore>,
    task: JoinHandle<()>,
}

impl Refresher {
    /// Returns the keys. They stay available after the refresher is dropped.
    #[must_use]
    pub const fn store(&self) -> &Arc<KeyStore> {
        &self.store
    }

    /// Returns the source of the keys.
    #[must_use]
    pub const fn source(&self) -> &JwksSource {
        &self.source
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Loads the last good set from disk, if there is one, and starts the background task, which fetches at once. `keys`
/// are used until there are others.
///
/// Reads one small file. Must be called within a tokio runtime.
pub fn start(application: &str, source: JwksSource, keys: Option<Arc<Keys>>, settings: &Settings) -> Refresher {
    let fetching = (source.clone(), settings.clients.clone());
    let fetcher = move || -> Fetching {
        let (source, clients) = fetching.clone();
        Box::pin(async move { fetch(&source, &clients).await })
    };
    start_with(application, source, keys, settings, Box::new(fetcher))
}

type Fetching = Pin<Box<dyn Future<Output = Result<Fetched, FetchFault>> + Send>>;
type Fetcher = Box<dyn Fn() -> Fetching + Send + Sync>;

fn start_with(
    application: &str,
    source: JwksSource,
    inherited: Option<Arc<Keys>>,
    settings: &Settings,
    fetcher: Fetcher,
) -> Refresher {
    let cache = settings.directory.as_deref().and_then(|directory| Cache::new(directory, application, &source));
    let cached = cache.as_ref().and_then(|cache| read_cache(application, cache));
    let is_newest = |cached: &Cached| inherited.as_ref().is_none_or(|keys| keys.fetched_at <= cached.fetched_at);
    let cached = cached.filter(is_newest);
    let (keys, known) = match cached {
        Some(Cached { document, set, fetched_at }) => {
            let set = Arc::new(set);
            (Some(Keys { set: Arc::clone(&set), fetched_at }), Some((document, set)))
        }
        None => (inherited.map(|keys| Keys { set: Arc::clone(&keys.set), fetched_at: keys.fetched_at }), None),
    };
    let store = Arc::new(KeyStore::new(keys));
    let work = Work {
        application: application.to_owned(),
        store: Arc::clone(&store),
        observer: Arc::clone(&settings.observer),
        fetcher,
        cache,
        known,
        write: None,
    };
    let alive = settings.liveness.watch("key refresh");
    Refresher { source, store, task: tokio::spawn(alive.during(work.run(settings.timing))) }
}

fn read_cache(application: &str, cache: &Cache) -> Option<Cached> {
    match cache.read() {
        Ok(Some(cached)) => {
            tracing::info!(
                application, keys = %ids(&cached.set),
                "using the key set on disk until the endpoint answers"
            );
            Some(cached)
        }
        Ok(None) => None,
        Err(error) => {
            let kind = error.kind();
            tracing::warn!(
                application,
                code = LogCode::CacheUnreadable.as_str(),
                "the key set on disk is not used: {kind}"
            );
            None
        }
    }
}

/// The state that the task owns.
struct Work {
    application: String,
    store: Arc<KeyStore>,
    observer: Arc<dyn KeyObserver>,
    fetcher: Fetcher,
    cache: Option<Cache>,
    /// The last good document, and the set parsed from it.
    known: Option<(Vec<u8>, Arc<KeySet>)>,
    /// The last write to disk, if it has not ended.
    write: Option<JoinHandle<()>>,
}

impl Work {
    async fn run(mut self, timing: Timing) {
        let mut schedule = Schedule::new(timing, Instant::now());
        loop {
            self.wait_until_due(&schedule).await;
            // Taken before the fetch, because a request that arrives during the fetch may be for a key that the fetch
            // does not see.
            let cause = if self.store.take_requests().unknown_kid { Cause::UnknownKid } else { Cause::Time };
            schedule.began(Instant::now(), cause);
            let result = match (self.fetcher)().await {
                Ok(fetched) => self.accept(fetched).await,
                Err(fault) => self.refresh_failed(fault),
            };
            schedule.ended(Instant::now(), self.end(&result), fastrand::f64());
            self.observer.refreshed(&self.application, &result);
            self.store.attempt_ended();
        }
    }

    async fn wait_until_due(&self, schedule: &Schedule) {
        loop {
            let requests = self.store.requests();
            let due = schedule.due(requests.unknown_kid);
            if requests.operator_requested || due <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.store.requested() => {}
            }
        }
    }

    async fn accept(&mut self, fetched: Fetched) -> RefreshResult {
        let fetched_at = SystemTime::now();
        let Fetched { document, set, date } = fetched;
        if let Some(date) = date {
            self.observer.clock_offset(&self.application, seconds_ahead(fetched_at, date));
        }
        let unchanged = self.known.as_ref().filter(|(known, _)| same_keys(known, &document));
        let (set, result) = match unchanged {
            Some((_, known)) => (Arc::clone(known), RefreshResult::Unchanged),
            None => (Arc::new(set), RefreshResult::Changed),
        };
        self.store.replace(Keys { set: Arc::clone(&set), fetched_at });
        if result == RefreshResult::Changed {
            tracing::info!(application = self.application, keys = %ids(&set), "key set changed");
            for skipped in set.skipped().iter().take(LOGGED_IDS) {
                tracing::warn!(
                    application = self.application,
                    code = LogCode::KeySkipped.as_str(),
                    "a key is skipped: {skipped}"
                );
            }
        }
        self.write_cache(document.clone(), fetched_at).await;
        self.known = Some((document, set));
        result
    }

    fn refresh_failed(&self, fault: FetchFault) -> RefreshResult {
        let keys = self.store.key_count();
        let diagnosis = crate::diagnosis::Diagnosis::from(&fault);
        tracing::warn!(application = self.application, code = diagnosis.code, keys, "keys not refreshed: {diagnosis}");
        RefreshResult::Failed(fault)
    }

    fn end(&self, result: &RefreshResult) -> End {
        match result {
            RefreshResult::Changed | RefreshResult::Unchanged => End::Good,
            RefreshResult::Failed(_) if self.store.key_count() > 0 => End::FailedWithKeys,
            RefreshResult::Failed(_) => End::FailedWithoutKeys,
        }
    }

    /// Writes the set to disk and waits for at most [`WRITE_TIMEOUT`]. A failure is only logged.
    async fn write_cache(&mut self, document: Vec<u8>, fetched_at: SystemTime) {
        let Some(cache) = self.cache.clone() else { return };
        if self.write.as_ref().is_some_and(|write| !write.is_finished()) {
            tracing::warn!(
                application = self.application,
                code = LogCode::CacheBusy.as_str(),
                "key set not stored: the disk does not respond"
            );
            return;
        }
        let application = self.application.clone();
        let mut write = tokio::task::spawn_blocking(move || {
            if let Err(error) = cache.write(&document, fetched_at) {
                let kind = error.kind();
                tracing::warn!(
                    application,
                    code = LogCode::CacheNotWritten.as_str(),
                    "key set not stored on disk: {kind}"
                );
            }
        });
        let ended = timeout(WRITE_TIMEOUT, &mut write).await.is_ok();
        self.write = if ended { None } else { Some(write) };
    }
}

/// Returns how far `ours` is ahead of `theirs`, in seconds.
fn seconds_ahead(ours: SystemTime, theirs: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    ours.duration_since(theirs).map_or_else(|behind| -seconds(behind.duration()), seconds)
}

/// Returns true if two documents contain the same keys, in any order of keys and members.
fn same_keys(a: &[u8], b: &[u8]) -> bool {
    fn keys(document: &[u8]) -> Option<Vec<String>> {
        let mut document: serde_json::Value = serde_json::from_slice(document).ok()?;
        document.sort_all_objects();
        let mut keys: Vec<String> = document.get("keys")?.as_array()?.iter().map(ToString::to_string).collect();
        keys.sort();
        Some(keys)
    }
    a == b || keys(a).is_some_and(|keys_of_a| keys(b).is_some_and(|keys_of_b| keys_of_a == keys_of_b))
}

fn ids(set: &KeySet) -> String {
    let mut ids: Vec<&str> = set.key_ids().take(LOGGED_IDS).collect();
    if set.key_ids().len() > LOGGED_IDS {
        ids.push("…");
    }
    ids.join(" ")
}

#[cfg(test)]
#[path = "tests/refresh.rs"]
mod tests;
