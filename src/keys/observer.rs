//! The results of refreshes, and their observer.

use super::fault::FetchFault;

/// The result of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshResult {
    /// The keys have changed.
    Changed,
    /// The keys are the same as before.
    Unchanged,
    /// There is no usable set. The previous keys stay in use.
    Failed(FetchFault),
}

/// Observes each refresh, for the metrics. Called from the background task; must not block.
pub trait KeyObserver: Send + Sync {
    /// Called when a refresh has ended. The store already contains its result.
    fn refreshed(&self, application: &str, result: &RefreshResult);

    /// Called when the endpoint has sent its time. This machine's clock is ahead of it by `seconds`, or behind it if
    /// negative. The endpoint's time has whole seconds, so an offset of one second is not significant.
    fn clock_offset(&self, _application: &str, _seconds: i64) {}
}
