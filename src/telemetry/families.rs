//! The metric families with a label `application`, and the series of each application.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use idaas_callback::Reason;
use idaas_callback::Refusal;
use idaas_callback::event_type::{Action, Entity, KNOWN};
use outbox::verdict::Verdict;
use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Registry};

use super::application::{ApplicationMetrics, UNKNOWN_OFFSET};
use super::last_event::LastEvent;
use super::metrics::{ApplicationState, DURATION_EDGES, counters, histograms, opts, register};

/// A metric's name and help text.
type Help = (&'static str, &'static str);

const CALLBACKS: Help = (
    "callbacks_total",
    "Callbacks by result: answered (HTTP 200), or the code of the refusal. Requests to unknown applications have the \
    application \"unknown\".",
);
const CALLBACK_DURATION: Help =
    ("callback_duration_seconds", "Seconds from a callback's request line to its answer, refused callbacks included.");
const EVENTS_RECEIVED: Help = (
    "events_received_total",
    "Events of authentic callbacks, each eventId once per callback; redeliveries count again.",
);
const EVENTS_ANSWERED: Help = (
    "events_answered_total",
    "Verdicts in answers to IDaaS, each eventId once per callback; the sum is events_received_total.",
);
const EVENTS_PUBLISHED: Help = (
    "events_published_total",
    "Records that the broker has confirmed, from callbacks and from the journal, dead letters included.",
);
const DEAD_LETTERS: Help =
    ("dead_letters_total", "Events whose dead letter the broker has confirmed, by reason; each counts once.");
const DUPLICATES: Help = (
    "events_duplicate_total",
    "Redelivered events that were in progress or had a final verdict, so that no second record was made.",
);
const DECRYPTIONS: Help =
    ("decryptions_total", "Callbacks decrypted, by the position of the key in decryption_keys, from 0.");
const JWKS_REFRESHES: Help =
    ("jwks_refreshes_total", "Reads of the public key set from its endpoint or file, by result.");
const LAST_EVENT: Help = (
    "last_event_timestamp_seconds",
    "Time of the last authentic callback, in seconds since 1970; until the first one, the time of the start.",
);
const JWKS_AGE: Help = (
    "jwks_age_seconds",
    "Seconds since the public key set was last read from its source; no series while there is no set.",
);
const JWKS_KEYS: Help = ("jwks_keys", "Usable public keys in the key set; 0 while there is no set.");
const CLOCK_OFFSET: Help =
    ("clock_offset_seconds", "How far this machine's clock is ahead of the key endpoint's; negative if it is behind.");
const UNKNOWN_FIELDS: Help = ("unknown_fields_total", "Fields of events whose name this version does not know.");
const MALFORMED_FIELDS: Help = ("malformed_fields_total", "Known fields of events with an unexpected type or form.");
const CONFLICTING_FIELDS: Help =
    ("conflicting_fields_total", "Fields of events sent under their old and their new name with different values.");

/// The families with a label `application`.
pub(super) struct ApplicationFamilies {
    callbacks: IntCounterVec,
    callback_duration: HistogramVec,
    events_received: IntCounterVec,
    events_answered: IntCounterVec,
    events_published: IntCounterVec,
    dead_letters: IntCounterVec,
    duplicates: IntCounterVec,
    decryptions: IntCounterVec,
    jwks_refreshes: IntCounterVec,
    last_event: IntGaugeVec,
    jwks_age: IntGaugeVec,
    jwks_keys: IntGaugeVec,
    clock_offset: IntGaugeVec,
    drift: [IntCounterVec; 3],
}

impl ApplicationFamilies {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let count = |(name, help), labels: &[&str]| counters(registry, name, help, labels);
        let gauge = |(name, help)| register(registry, IntGaugeVec::new(opts(name, help), &["application"])?);
        let (name, help) = CALLBACK_DURATION;
        Ok(Self {
            callbacks: count(CALLBACKS, &["application", "code"])?,
            callback_duration: histograms(registry, name, help, &DURATION_EDGES, &["application"])?,
            events_received: count(EVENTS_RECEIVED, &["application", "entity", "action"])?,
            events_answered: count(EVENTS_ANSWERED, &["application", "list", "code"])?,
            events_published: count(EVENTS_PUBLISHED, &["application", "entity"])?,
            dead_letters: count(DEAD_LETTERS, &["application", "reason"])?,
            duplicates: count(DUPLICATES, &["application"])?,
            decryptions: count(DECRYPTIONS, &["application", "key"])?,
            jwks_refreshes: count(JWKS_REFRESHES, &["application", "result"])?,
            last_event: gauge(LAST_EVENT)?,
            jwks_age: gauge(JWKS_AGE)?,
            jwks_keys: gauge(JWKS_KEYS)?,
            clock_offset: gauge(CLOCK_OFFSET)?,
            drift: [
                count(UNKNOWN_FIELDS, &["entity"])?,
                count(MALFORMED_FIELDS, &["entity"])?,
                count(CONFLICTING_FIELDS, &["entity"])?,
            ],
        })
    }

    /// Creates an application's metrics, which start at zero if they are new. `keys` is the number of decryption
    /// keys. The last event and the clock offset of `before`, the application's metrics before a reload, are kept.
    pub(super) fn of(&self, name: &str, keys: usize, before: Option<&ApplicationMetrics>) -> ApplicationMetrics {
        let by_reason = |reason: Reason| (reason, self.dead_letters.with_label_values(&[name, reason.code()]));
        let by_refusal = |refusal: Refusal| (refusal, self.callbacks.with_label_values(&[name, refusal.code()]));
        let by_verdict = |verdict: Verdict| {
            (verdict, self.events_answered.with_label_values(&[name, verdict.list().name(), verdict.code()]))
        };
        let kinds = KNOWN.iter().map(|(_, entity, action)| (*entity, *action));
        let others = [(Entity::Unclassified, Action::Unknown), (Entity::DeadLetter, Action::Refused)];
        let by_kind = |(entity, action): (Entity, Action)| {
            ((entity, action), self.events_received.with_label_values(&[name, entity.name(), action.name()]))
        };
        ApplicationMetrics {
            name: name.into(),
            answered_callbacks: self.callbacks.with_label_values(&[name, "answered"]),
            refused: Refusal::ALL.into_iter().map(by_refusal).collect(),
            callback_duration: self.callback_duration.with_label_values(&[name]),
            received: kinds.chain(others).map(by_kind).collect(),
            answered: Verdict::ALL.into_iter().map(by_verdict).collect(),
            published: Entity::ALL.map(|entity| self.events_published.with_label_values(&[name, entity.name()])),
            dead_letters: Reason::ALL.into_iter().map(by_reason).collect(),
            duplicates: self.duplicates.with_label_values(&[name]),
            last_event: before.map_or_else(|| Arc::new(LastEvent::none()), |before| Arc::clone(&before.last_event)),
            clock_offset: before
                .map_or_else(|| Arc::new(AtomicI64::new(UNKNOWN_OFFSET)), |before| Arc::clone(&before.clock_offset)),
            decryptions: (0..keys).map(|key| self.decryptions.with_label_values(&[name, &key.to_string()])).collect(),
            jwks_refreshed: self.jwks_refreshes.with_label_values(&[name, "ok"]),
            jwks_refresh_failed: self.jwks_refreshes.with_label_values(&[name, "failed"]),
            drift: self
                .drift
                .each_ref()
                .map(|family| Entity::ALL.map(|entity| family.with_label_values(&[entity.name()]))),
        }
    }
}

impl ApplicationFamilies {
    /// Returns the counter of requests to unknown applications, which have no other series.
    pub(super) fn unknown(&self) -> IntCounter {
        self.callbacks.with_label_values(&["unknown", Refusal::NotFound.code()])
    }

    /// Updates the gauges of these applications, and removes those of all others. A value that is unknown, such as
    /// the age of missing keys, has no series.
    pub(super) fn show<'a>(&self, states: impl Iterator<Item = ApplicationState<'a>>) {
        for family in [&self.last_event, &self.jwks_age, &self.jwks_keys, &self.clock_offset] {
            family.reset();
        }
        for ApplicationState { name, metrics, keys, keys_age } in states {
            self.jwks_keys.with_label_values(&[name]).set(i64::try_from(keys).unwrap_or(i64::MAX));
            if let Some(age) = keys_age {
                self.jwks_age.with_label_values(&[name]).set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
            }
            let clock_offset = metrics.clock_offset.load(Ordering::Relaxed);
            if clock_offset != UNKNOWN_OFFSET {
                self.clock_offset.with_label_values(&[name]).set(clock_offset);
            }
            self.last_event.with_label_values(&[name]).set(metrics.last_event.value());
        }
    }

    /// Removes the series of applications that were removed. Scans every series, so call it only if there are such
    /// applications.
    pub(super) fn forget(&self, gone: &HashSet<String>) {
        let is_gone = |labels: &HashMap<&str, &str>| labels.get("application").is_some_and(|name| gone.contains(*name));
        let counters = [
            &self.callbacks,
            &self.events_received,
            &self.events_answered,
            &self.events_published,
            &self.dead_letters,
            &self.duplicates,
            &self.decryptions,
            &self.jwks_refreshes,
        ];
        for family in counters {
            remove(family, is_gone);
        }
        remove(&self.callback_duration, is_gone);
    }

    /// Removes the series of decryption keys beyond the number that an application has.
    pub(super) fn forget_keys(&self, numbers: &HashMap<&str, usize>) {
        remove(&self.decryptions, |labels| {
            let number = labels.get("application").and_then(|name| numbers.get(name));
            let key = labels.get("key").and_then(|key| key.parse::<usize>().ok());
            number.zip(key).is_some_and(|(number, key)| key >= *number)
        });
    }
}

fn remove<B: MetricVecBuilder>(family: &MetricVec<B>, is_gone: impl Fn(&HashMap<&str, &str>) -> bool) {
    for metric in family.collect().iter().flat_map(|family| family.get_metric()) {
        let labels: HashMap<_, _> = metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
        if is_gone(&labels) {
            // Another thread may already have removed it.
            let _ = family.remove(&labels);
        }
    }
}
