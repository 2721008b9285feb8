//! A simulated key endpoint that replaces the fetch.

use std::sync::Arc;
use std::time::Duration;

use idaas_callback::jose::jws::KeySet;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::{FetchFault, Fetched, Fetcher};

/// An endpoint that gives a set answer after a set time, and records when it was requested.
pub(super) struct Endpoint {
    answer: Mutex<Result<Vec<u8>, FetchFault>>,
    pub(super) takes: Mutex<Duration>,
    pub(super) asked: Mutex<Vec<Instant>>,
    pub(super) busy: Mutex<(usize, usize)>,
}

impl Endpoint {
    pub(super) fn new(answer: Result<Vec<u8>, FetchFault>) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            takes: Mutex::new(Duration::ZERO),
            asked: Mutex::default(),
            busy: Mutex::default(),
        })
    }

    pub(super) fn answers(&self, answer: Result<Vec<u8>, FetchFault>) {
        *self.answer.lock() = answer;
    }

    pub(super) fn fetches(&self) -> usize {
        self.asked.lock().len()
    }

    /// Returns the times of the fetches, in seconds since the first.
    pub(super) fn times(&self) -> Vec<u64> {
        let asked = self.asked.lock();
        asked.iter().map(|time| (*time - asked[0]).as_secs()).collect()
    }

    pub(super) fn fetcher(self: &Arc<Self>) -> Fetcher {
        let endpoint = Arc::clone(self);
        Box::new(move || {
            let endpoint = Arc::clone(&endpoint);
            Box::pin(async move {
                endpoint.asked.lock().push(Instant::now());
                {
                    let (now, most) = &mut *endpoint.busy.lock();
                    *now += 1;
                    *most = (*most).max(*now);
                }
                let takes = *endpoint.takes.lock();
                tokio::time::sleep(takes).await;
                endpoint.busy.lock().0 -= 1;
                let document = endpoint.answer.lock().clone()?;
                Ok(Fetched { set: KeySet::parse(&document)?, document, date: None })
            })
        })
    }
}
