//! The key stores of all applications, and what becomes of them when the configuration is reloaded.
//!
//! A ring is never changed: a reload makes another one, which shares the stores whose source is the same, so that
//! the one in use works on until the new one takes its place, and a reload that is given up leaves no trace.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::refresh::{Refresher, Settings, start};
use super::source::Source;
use super::store::KeyStore;

/// The key stores of all configured applications, by name. Their tasks end with the last ring that holds them.
pub struct KeyRing {
    refreshers: BTreeMap<String, Arc<Refresher>>,
}

impl KeyRing {
    /// Starts a background task for each application. Must be called within a tokio runtime.
    pub fn start(applications: impl IntoIterator<Item = (String, Source)>, settings: &Settings) -> Self {
        Self { refreshers: BTreeMap::new() }.reload(applications, settings)
    }

    /// The ring for a new configuration. An application whose name and source are as before keeps its store, its keys
    /// and its task, and is refreshed at once, since what a file holds can have changed under the same name; any other
    /// gets new ones. The system's certificates are read again. Await [`KeyRing::first_attempts`] before the ring is put to use, so that new applications have
    /// their keys.
    #[must_use]
    pub fn reload(&self, applications: impl IntoIterator<Item = (String, Source)>, settings: &Settings) -> Self {
        settings.clients.clear();
        let refresher = |name: &str, source: Source| match self.refreshers.get(name) {
            Some(kept) if *kept.source() == source => {
                kept.store().refresh_now();
                Arc::clone(kept)
            }
            Some(_) | None => Arc::new(start(name, source, settings)),
        };
        let refreshers = applications.into_iter().map(|(name, source)| {
            let refresher = refresher(&name, source);
            (name, refresher)
        });
        Self { refreshers: refreshers.collect() }
    }

    /// Returns when the first fetch of each application has ended, well or not: at most a fetch's time-out of 5 s. A file
    /// has been read anew as well, so that what it holds counts from the reload on; an endpoint is not waited for again
    /// where there are keys.
    pub async fn first_attempts(&self) {
        for refresher in self.refreshers.values() {
            let store = refresher.store();
            store.first_attempt().await;
            match refresher.source() {
                Source::File(_) => store.refreshed().await,
                Source::Url { .. } => {}
            }
        }
    }

    /// The store of an application.
    #[must_use]
    pub fn get(&self, application: &str) -> Option<&Arc<KeyStore>> {
        self.refreshers.get(application).map(|refresher| refresher.store())
    }

    /// The applications' names and stores, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<KeyStore>)> {
        self.refreshers.iter().map(|(name, refresher)| (name.as_str(), refresher.store()))
    }

    /// Whether keys are there for at least one application: one condition of readiness.
    #[must_use]
    pub fn any_keys(&self) -> bool {
        self.iter().any(|(_, store)| store.key_count() > 0)
    }
}
