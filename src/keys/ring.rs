//! The key stores of all applications, across reloads of the configuration.
//!
//! A ring is immutable. A reload creates another one, which shares the stores whose source is unchanged. The old ring
//! works until the new one replaces it, so a failed reload has no effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::refresh::{Refresher, Settings, start};
use super::store::KeyStore;
use crate::config::JwksSource;

/// The key stores of all configured applications, by name. A task ends when the last ring that contains it is
/// dropped.
pub struct KeyRing {
    refreshers: BTreeMap<String, Arc<Refresher>>,
}

impl KeyRing {
    /// Starts a background task for each application. Must be called within a tokio runtime.
    pub fn start(applications: impl IntoIterator<Item = (String, JwksSource)>, settings: &Settings) -> Self {
        Self { refreshers: BTreeMap::new() }.reload(applications, settings)
    }

    /// Creates the ring for a new configuration. An application with the same name and source keeps its store, keys
    /// and task, and is refreshed at once, because the content of a file may have changed. Any other application gets
    /// new ones, which begin with the keys of an application with the same source, if there is one: it may only have
    /// another name now. The system's certificates are read again.
    ///
    /// Await [`KeyRing::first_attempts`] before you use the ring, so that new applications have keys.
    #[must_use]
    pub fn reload(&self, applications: impl IntoIterator<Item = (String, JwksSource)>, settings: &Settings) -> Self {
        settings.clients.clear();
        let refresher = |name: &str, source: JwksSource| match self.refreshers.get(name) {
            Some(existing) if *existing.source() == source => {
                existing.store().refresh_now();
                Arc::clone(existing)
            }
            Some(_) | None => {
                let mut same = self.refreshers.values().filter(|existing| *existing.source() == source);
                let keys = same.find_map(|existing| existing.store().current().as_ref().map(Arc::clone));
                Arc::new(start(name, source, keys, settings))
            }
        };
        let refreshers = applications.into_iter().map(|(name, source)| {
            let refresher = refresher(&name, source);
            (name, refresher)
        });
        Self { refreshers: refreshers.collect() }
    }

    /// Waits until the first fetch of each application has ended, successfully or not. This takes at most a fetch's
    /// timeout of 5 s once it has started. A file is read again in any case, so that its content applies from the
    /// reload on; an endpoint is not fetched again if there are keys.
    pub async fn first_attempts(&self) {
        for refresher in self.refreshers.values() {
            let store = refresher.store();
            store.first_attempt().await;
            match refresher.source() {
                JwksSource::File(_) => store.refreshed().await,
                JwksSource::Url { .. } => {}
            }
        }
    }

    /// Returns the applications that have no keys here and have some in `old`: their new source does not answer.
    #[must_use]
    pub fn without_keys_since(&self, old: &Self) -> Vec<&str> {
        let had_keys = |name: &str| old.get(name).is_some_and(|store| store.key_count() > 0);
        let without_keys = self.iter().filter(|(name, store)| store.key_count() == 0 && had_keys(name));
        without_keys.map(|(name, _)| name).collect()
    }

    /// Returns the store of an application.
    #[must_use]
    pub fn get(&self, application: &str) -> Option<&Arc<KeyStore>> {
        self.refreshers.get(application).map(|refresher| refresher.store())
    }

    /// Returns the names and stores of all applications, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<KeyStore>)> {
        self.refreshers.iter().map(|(name, refresher)| (name.as_str(), refresher.store()))
    }

    /// Returns true if at least one application has keys, which is a condition of readiness.
    #[must_use]
    pub fn any_keys(&self) -> bool {
        self.iter().any(|(_, store)| store.key_count() > 0)
    }
}
