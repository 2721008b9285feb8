//! The console: the state of the running service for operators, as messages for a web page on the admin listener.
//!
//! Nothing is computed without viewers, except the traffic, which is read from counters every few seconds. Messages are
//! made once for all viewers; a slow viewer misses some, and does not delay others.

mod bucket;
mod headline;
mod materialize;
pub mod page;
mod settings;
mod state_message;
mod traffic;
mod viewer;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use self::materialize::Materialize;
use self::state_message::{QuarantineReason, StateMessage};
use self::traffic::{Confirmations, Traffic};
use self::viewer::Messages;
pub use self::viewer::Viewer;
use crate::app_state::AppState;
use crate::clock;
use crate::config::Config;
use crate::telemetry::event::EventView;

/// Maximum number of viewers.
const MAX_VIEWERS: usize = 16;

/// Time between state messages, and between traffic messages.
const STATE_INTERVAL: Duration = Duration::from_secs(1);
const TRAFFIC_INTERVAL: Duration = Duration::from_secs(2);

/// Time between checks of Kafka's availability. A change is sent at once.
const CHANGE_INTERVAL: Duration = Duration::from_millis(200);

/// Interval of reading the counters while there are no viewers.
const IDLE_INTERVAL: Duration = Duration::from_secs(5);

/// Time between queries to the journal, for the reasons in quarantine, and to `materialize`.
const QUERY_INTERVAL: Duration = Duration::from_secs(5);

/// Number of events in each state message.
const LATEST_EVENTS: usize = 25;

/// Maximum number of events that a search returns.
const MAX_FOUND: usize = 200;

/// Maximum length of a search query, in bytes.
const MAX_QUERY_LENGTH: usize = 512;

/// The console of the running service.
pub struct Console {
    app_state: Arc<AppState>,
    started: i64,
    traffic: Mutex<Traffic>,
    materialize: Materialize,
    reasons: Mutex<Vec<QuarantineReason>>,
    /// Held during a query, so that only one runs at a time.
    querying: tokio::sync::Mutex<()>,
    viewers: AtomicUsize,
    /// Notified when a viewer arrives, and on close.
    arrived: Arc<Notify>,
    messages: watch::Sender<Messages>,
}

/// The result of a search.
#[derive(Debug, Serialize)]
pub struct SearchResult {
    /// The number of events that were searched.
    #[serde(rename = "held")]
    searched: usize,
    /// The matching events, newest first.
    events: Vec<EventView>,
}

impl Console {
    /// Starts to observe the service. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(app_state: Arc<AppState>, config: &Config) -> Arc<Self> {
        app_state.metrics.history.start();
        let console = Arc::new(Self {
            app_state,
            started: clock::now(),
            traffic: Mutex::default(),
            materialize: Materialize::default(),
            reasons: Mutex::default(),
            querying: tokio::sync::Mutex::default(),
            viewers: AtomicUsize::new(0),
            arrived: Arc::default(),
            messages: watch::Sender::new(Messages::default()),
        });
        console.configure(config);
        let alive = console.app_state.metrics.liveness.watch("console");
        tokio::spawn(alive.during(observe(Arc::downgrade(&console), Arc::clone(&console.arrived))));
        console
    }

    /// Shows this configuration from now on.
    pub fn configure(&self, config: &Config) {
        let sections = settings::sections(config);
        self.messages.send_modify(|messages| messages.settings.replace(&sections));
        self.materialize.configure(config);
    }

    /// Ends the streams of all viewers.
    pub fn close(&self) {
        self.messages.send_modify(|messages| messages.closed = true);
        self.arrived.notify_one();
    }

    /// Adds a viewer. Returns `None` if the maximum is reached or the console is closed.
    #[must_use]
    pub fn view(self: &Arc<Self>, sees_ids: bool) -> Option<Viewer> {
        if self.messages.borrow().closed {
            return None;
        }
        // Counted first, because dropping the viewer always decrements the count.
        let before = self.viewers.fetch_add(1, Ordering::Relaxed);
        let viewer = Viewer::new(self, sees_ids);
        (before < MAX_VIEWERS).then(|| {
            self.arrived.notify_one();
            viewer
        })
    }

    /// Returns the events in memory whose id, or whose entity's id, starts with `query`.
    #[must_use]
    pub fn find(&self, query: &str) -> SearchResult {
        let history = &self.app_state.metrics.history;
        let sound = query.len() <= MAX_QUERY_LENGTH;
        let events = if sound { history.find(query.trim(), MAX_FOUND) } else { Vec::new() };
        SearchResult { searched: history.size().held, events }
    }

    /// Reads the counters of the metrics.
    fn sample(&self) {
        let metrics = &self.app_state.metrics;
        let now = clock::now();
        let applications = self.app_state.applications();
        let mut traffic = self.traffic.lock();
        for application in applications.by_name.values() {
            traffic.application(&application.name, application.metrics.counts(), now);
        }
        traffic.retain(|name| applications.by_name.contains_key(name));
        let (count, seconds) = metrics.confirmations();
        traffic.confirmations(Confirmations { count, seconds }, now);
    }

    fn send_traffic(&self) {
        let message = self.traffic.lock().message(clock::now());
        self.messages.send_modify(|messages| messages.traffic.replace(&message));
    }

    fn send_state(&self) {
        let reasons = self.reasons.lock().clone();
        let state = {
            let traffic = self.traffic.lock();
            StateMessage::of(&self.app_state, &traffic, self.started, reasons, self.materialize.last_state())
        };
        let with_ids = state.with_ids(self.app_state.metrics.history.latest(LATEST_EVENTS));
        self.messages.send_modify(|messages| {
            messages.state.replace(&state);
            messages.state_with_ids.replace(&with_ids);
        });
    }

    fn is_watched(&self) -> bool {
        self.viewers.load(Ordering::Relaxed) > 0
    }

    /// Queries the journal and `materialize`. A separate task, because a disk or another process can hang and must not
    /// delay the messages.
    async fn query(self: Arc<Self>) {
        let Ok(_turn) = self.querying.try_lock() else { return };
        let reasons = match self.app_state.dispatcher.journal() {
            Some(journal) => state_message::quarantine_reasons(&journal).await,
            None => Vec::new(),
        };
        *self.reasons.lock() = reasons;
        self.materialize.refresh().await;
    }
}

/// Reads the counters, and makes the messages while there are viewers. Ends with the console.
async fn observe(console: Weak<Console>, arrived: Arc<Notify>) {
    let mut due = LastRun::default();
    loop {
        let pause = {
            let Some(console) = console.upgrade() else { return };
            if console.messages.borrow().closed {
                return;
            }
            due.work(&console);
            if console.is_watched() { CHANGE_INTERVAL } else { IDLE_INTERVAL }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = arrived.notified() => due = LastRun::default(),
        }
    }
}

/// The last time of each action. An action that was never done is due.
#[derive(Default)]
struct LastRun {
    state: Option<Instant>,
    traffic: Option<Instant>,
    query: Option<Instant>,
    kafka_since: Option<i64>,
}

impl LastRun {
    fn work(&mut self, console: &Arc<Console>) {
        if !console.is_watched() {
            console.sample();
            return;
        }
        if is_due(&mut self.query, QUERY_INTERVAL) {
            tokio::spawn(Arc::clone(console).query());
        }
        let kafka_since = console.app_state.metrics.kafka.available_since();
        let changed = std::mem::replace(&mut self.kafka_since, kafka_since) != kafka_since;
        let traffic = is_due(&mut self.traffic, TRAFFIC_INTERVAL);
        if traffic {
            console.sample();
            console.send_traffic();
        }
        if changed || is_due(&mut self.state, STATE_INTERVAL) {
            console.send_state();
        }
    }
}

fn is_due(last: &mut Option<Instant>, interval: Duration) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= interval);
    if due {
        *last = Some(Instant::now());
    }
    due
}
