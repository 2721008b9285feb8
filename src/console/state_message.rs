//! The state message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use idaas_callback::Refusal;
use serde::Serialize;

use super::headline::{Headline, HeadlineInput};
use super::materialize::MaterializeState;
use super::traffic::{MAX_SHOWN, Traffic};
use crate::app_state::{AppState, Application};
use crate::clock;
use crate::journal::{Journal, QuarantineId};
use crate::telemetry::event::EventView;
use crate::telemetry::history::HistorySize;
use crate::telemetry::kafka::KafkaState;
use crate::telemetry::pushes::Push;

/// Maximum number of quarantined callbacks whose reasons are read.
const MAX_READ: usize = 1000;

/// Maximum number of applications without public keys that are shown besides the busiest ones.
const MAX_WITHOUT_KEYS: usize = 10;

/// A snapshot of the service. Times are milliseconds since 1970; ages are milliseconds.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateMessage {
    now: i64,
    version: &'static str,
    revision: &'static str,
    started: i64,
    ids: bool,
    headline: Headline,
    kafka: KafkaState,
    journal: JournalState,
    quarantine: QuarantineState,
    applications: ApplicationsState,
    in_flight: InFlight,
    history: HistorySize,
    events: Vec<EventView>,
    pushes: Vec<Push>,
    materialize: Option<MaterializeState>,
}

#[derive(Clone, Serialize)]
struct InFlight {
    callbacks: i64,
    events: i64,
    #[serde(rename = "eventsLimit")]
    events_limit: i64,
}

#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct JournalState {
    events: u64,
    bytes: u64,
    limit_bytes: u64,
    oldest: Option<i64>,
    waiting: Vec<WaitingEvents>,
    replayed: u64,
    rejected: u64,
}

#[derive(Clone, Serialize)]
struct WaitingEvents {
    code: &'static str,
    events: usize,
}

#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct QuarantineState {
    callbacks: u64,
    bytes: u64,
    limit_bytes: u64,
    rejected: u64,
    reasons: Vec<QuarantineReason>,
}

/// The number of callbacks in quarantine for one reason.
#[derive(Debug, Clone, Serialize)]
pub(super) struct QuarantineReason {
    code: &'static str,
    callbacks: usize,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct ApplicationsState {
    total: usize,
    without_keys: usize,
    /// Age of the oldest key set, in milliseconds.
    oldest_keys: Option<u64>,
    rows: Vec<ApplicationState>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct ApplicationState {
    name: String,
    keys: usize,
    keys_age: Option<u64>,
    decryption_keys: usize,
    key_in_use: Option<usize>,
    last_callback: Option<i64>,
}

impl StateMessage {
    /// Creates a snapshot without ids.
    pub(super) fn of(
        app_state: &AppState,
        traffic: &Traffic,
        started: i64,
        reasons: Vec<QuarantineReason>,
        materialize: Option<MaterializeState>,
    ) -> Self {
        let metrics = &app_state.metrics;
        let kafka = metrics.kafka.state();
        let (journal, quarantine) = journal(app_state, reasons);
        let applications = applications(app_state, traffic);
        let input = HeadlineInput {
            draining: app_state.is_draining(),
            ready: app_state.is_ready(),
            kafka_available: kafka.available,
            kafka_since: kafka.since,
            partitions_unavailable: kafka.partitions_unavailable.iter().map(|topic| topic.partitions).sum(),
            journal_events: journal.events,
            journal_full: journal.limit_bytes > 0 && journal.bytes >= journal.limit_bytes / 100 * 99,
            quarantine_callbacks: quarantine.callbacks,
            applications: applications.total,
            without_keys: applications.without_keys,
            reload_failed: !metrics.service.is_reload_successful(),
        };
        Self {
            now: clock::now(),
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("IDAAS_BRIDGE_REVISION").unwrap_or("unknown"),
            started,
            ids: false,
            headline: Headline::of(&input),
            kafka,
            journal,
            quarantine,
            applications,
            in_flight: InFlight {
                callbacks: metrics.callbacks_in_flight.get(),
                events: i64::try_from(app_state.dispatcher.events_in_memory()).unwrap_or(i64::MAX),
                events_limit: metrics.events_in_flight_limit.get(),
            },
            history: metrics.history.size(),
            events: Vec::new(),
            pushes: metrics.history.pushes(),
            materialize,
        }
    }

    /// Returns a copy with these events.
    pub(super) fn with_ids(&self, events: Vec<EventView>) -> Self {
        Self { ids: true, events, ..self.clone() }
    }
}

fn journal(app_state: &AppState, reasons: Vec<QuarantineReason>) -> (JournalState, QuarantineState) {
    let dispatcher = &app_state.dispatcher;
    let Some(usage) = dispatcher.journal().map(|journal| journal.usage()) else { return Default::default() };
    let (heads, replayed) = dispatcher.waiting_by_reason();
    let waiting = heads.into_iter().filter(|(_, events)| *events > 0);
    let journal = JournalState {
        events: usage.events,
        bytes: usage.bytes,
        limit_bytes: usage.limit,
        oldest: usage.oldest_received_at,
        waiting: waiting.map(|(reason, events)| WaitingEvents { code: reason.code(), events }).collect(),
        replayed,
        rejected: app_state.metrics.journal.events_refused(),
    };
    let quarantine = QuarantineState {
        callbacks: usage.quarantine,
        bytes: usage.quarantine_bytes,
        limit_bytes: usage.quarantine_limit,
        rejected: usage.quarantine_rejected.iter().sum(),
        reasons: if usage.quarantine > 0 { reasons } else { Vec::new() },
    };
    (journal, quarantine)
}

/// Counts the callbacks in quarantine by reason, for the oldest [`MAX_READ`].
pub(super) async fn quarantine_reasons(journal: &Journal) -> Vec<QuarantineReason> {
    if journal.usage().quarantine == 0 {
        return Vec::new();
    }
    let Ok(Ok(rows)) = journal.quarantined(QuarantineId::FIRST, MAX_READ).await else { return Vec::new() };
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    rows.iter().map(|row| Refusal::code(row.reason)).for_each(|code| *counts.entry(code).or_default() += 1);
    counts.into_iter().map(|(code, callbacks)| QuarantineReason { code, callbacks }).collect()
}

/// Returns the busiest applications, then some without keys, then others up to the limit.
fn applications(app_state: &AppState, traffic: &Traffic) -> ApplicationsState {
    let applications = app_state.applications();
    let by_name: BTreeMap<&str, &Arc<Application>> =
        applications.by_name.iter().map(|(name, application)| (name.as_str(), application)).collect();
    let lacking: Vec<&str> =
        by_name.iter().filter(|(_, application)| application.keys.key_count() == 0).map(|(name, _)| *name).collect();
    let busiest = traffic.busiest();
    let named = busiest.iter().map(|name| &**name).chain(lacking.iter().copied().take(MAX_WITHOUT_KEYS));
    let limit = MAX_SHOWN.max(busiest.len() + lacking.len().min(MAX_WITHOUT_KEYS));
    let all = named.chain(by_name.keys().copied());
    let mut seen = BTreeSet::new();
    let rows = all
        .filter(|name| seen.insert(*name))
        .filter_map(|name| by_name.get(name))
        .take(limit)
        .map(|application| ApplicationState {
            name: application.name.clone(),
            keys: application.keys.key_count(),
            keys_age: application.keys.age().map(milliseconds),
            decryption_keys: application.policy.decryption_keys.len(),
            key_in_use: traffic.key_in_use(&application.name),
            last_callback: application.metrics.last_callback(),
        })
        .collect();
    ApplicationsState {
        total: by_name.len(),
        without_keys: lacking.len(),
        oldest_keys: by_name.values().filter_map(|application| application.keys.age()).max().map(milliseconds),
        rows,
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
