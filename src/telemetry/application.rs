//! The metrics of one application, each looked up once, because a callback touches a dozen of them. So what is counted
//! after the application's end is counted nowhere, and brings no series back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Registry};

use super::last_event::LastEvent;
use super::metrics::{ApplicationState, DURATION_EDGES, counters, histograms, opts, register};
use crate::keys::RefreshResult;
use crate::outbox::verdict::Verdict;
use crate::prepare::event_type::{Action, Entity, KNOWN};
use crate::prepare::{Drift, Reason};
use crate::refusal::Refusal;

/// Nothing is known of the key endpoint's clock.
const UNKNOWN_OFFSET: i64 = i64::MIN;

/// The families that have a label `application`.
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

/// One application's metrics.
pub struct ApplicationMetrics {
    answered_callbacks: IntCounter,
    refused: HashMap<Refusal, IntCounter>,
    /// From the first byte of a callback to its answer, in seconds.
    pub callback_duration: Histogram,
    received: HashMap<(Entity, Action), IntCounter>,
    answered: HashMap<Verdict, IntCounter>,
    published: [IntCounter; Entity::ALL.len()],
    dead_letters: HashMap<Reason, IntCounter>,
    /// Re-deliveries of events that were known.
    pub duplicates: IntCounter,
    last_event: Arc<LastEvent>,
    /// In seconds; [`UNKNOWN_OFFSET`] before the first fetch from an endpoint that says its time.
    clock_offset: Arc<AtomicI64>,
    decryptions: Vec<IntCounter>,
    jwks_refreshes: [(&'static str, IntCounter); RefreshResult::CODES.len()],
    drift: [[IntCounter; Entity::ALL.len()]; 3],
}

impl ApplicationFamilies {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let count = |name, help, labels: &[&str]| counters(registry, name, help, labels);
        let gauge = |name, help| register(registry, IntGaugeVec::new(opts(name, help), &["application"])?);
        Ok(Self {
            callbacks: count(
                "callbacks_total",
                "Callbacks by result: answered (HTTP 200), or the code of the refusal. Requests to no application have the \
                 application unknown.",
                &["application", "code"],
            )?,
            callback_duration: histograms(
                registry,
                "callback_duration_seconds",
                "Seconds from a callback's request line to its answer, refused callbacks included.",
                &DURATION_EDGES,
                &["application"],
            )?,
            events_received: count(
                "events_received_total",
                "Events of authentic callbacks, each eventId once per callback; re-deliveries count again.",
                &["application", "entity", "action"],
            )?,
            events_answered: count(
                "events_answered_total",
                "Verdicts in answers to IDaaS, each eventId once per callback; the sum is events_received_total.",
                &["application", "list", "code"],
            )?,
            events_published: count(
                "events_published_total",
                "Records that the broker has confirmed, from callbacks and from the journal, dead letters included.",
                &["application", "entity"],
            )?,
            dead_letters: count(
                "dead_letters_total",
                "Events that became dead letters, by reason; a re-delivery does not count again.",
                &["application", "reason"],
            )?,
            duplicates: count(
                "events_duplicate_total",
                "Re-delivered events that were on their way or had a final verdict, so that no second record was made.",
                &["application"],
            )?,
            decryptions: count(
                "decryptions_total",
                "Callbacks decrypted, by the position of the key in decryption_keys, from 0.",
                &["application", "key"],
            )?,
            jwks_refreshes: count(
                "jwks_refreshes_total",
                "Reads of the public key set from its endpoint or file, by result.",
                &["application", "result"],
            )?,
            last_event: gauge(
                "last_event_timestamp_seconds",
                "When the last authentic callback came, in seconds since 1970; before the first, when the wait for it began.",
            )?,
            jwks_age: gauge(
                "jwks_age_seconds",
                "Seconds since the public key set was last read from its source; no series while there is no set.",
            )?,
            jwks_keys: gauge("jwks_keys", "Usable public keys in the key set; 0 while there is no set.")?,
            clock_offset: gauge(
                "clock_offset_seconds",
                "How far this machine's clock is ahead of the key endpoint's; negative if it is behind.",
            )?,
            drift: [
                count("unknown_fields_total", "Fields of events whose name this version does not know.", &["entity"])?,
                count(
                    "malformed_fields_total",
                    "Known fields of events with an unexpected type or form.",
                    &["entity"],
                )?,
                count(
                    "conflicting_fields_total",
                    "Fields of events sent under their old and their new name with different values.",
                    &["entity"],
                )?,
            ],
        })
    }

    /// An application's metrics, all at zero where they are new; with as many keys as it has, and with what is to be
    /// kept of the metrics that it had before a reload.
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
            jwks_refreshes: RefreshResult::CODES
                .map(|result| (result, self.jwks_refreshes.with_label_values(&[name, result]))),
            drift: self
                .drift
                .each_ref()
                .map(|family| Entity::ALL.map(|entity| family.with_label_values(&[entity.name()]))),
        }
    }
}

impl ApplicationFamilies {
    /// The counter of requests to no application: the only series that they have.
    pub(super) fn unknown(&self) -> IntCounter {
        self.callbacks.with_label_values(&["unknown", Refusal::NotFound.code()])
    }

    /// Shows the state of these applications, and of no others.
    /// What has no value has no sample: the age of no keys.
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
            self.last_event.with_label_values(&[name]).set(metrics.last_event.shown());
        }
    }

    /// Removes the series of applications that are no more. Looks at every series, so only if there are such.
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
            // Somebody else may have removed it already.
            let _ = family.remove(&labels);
        }
    }
}

impl ApplicationMetrics {
    /// A callback was answered, or refused.
    pub fn callback(&self, refusal: Option<Refusal>) {
        match refusal {
            None => self.answered_callbacks.inc(),
            Some(refusal) => inc(self.refused.get(&refusal)),
        }
    }

    /// An event came.
    pub fn received(&self, entity: Entity, action: Action) {
        inc(self.received.get(&(entity, action)));
    }

    /// An event was answered.
    pub fn answered(&self, verdict: Verdict) {
        inc(self.answered.get(&verdict));
    }

    /// A record was confirmed.
    pub fn published(&self, entity: Entity) {
        entity.pick(&self.published).inc();
    }

    /// An event became a dead letter.
    pub fn dead_letter(&self, reason: Reason) {
        inc(self.dead_letters.get(&reason));
    }

    /// A callback was opened with the key at this position.
    pub fn decrypted(&self, position: usize) {
        inc(self.decryptions.get(position));
    }

    /// The key set was fetched, or could not be.
    pub fn jwks_refreshed(&self, result: &str) {
        inc(self.jwks_refreshes.iter().find(|(code, _)| *code == result).map(|(_, counter)| counter));
    }

    /// This machine's clock is so many seconds ahead of the key endpoint's.
    pub fn clock_offset(&self, seconds: i64) {
        self.clock_offset.store(seconds, Ordering::Relaxed);
    }

    /// An authentic callback came, at this time in seconds since 1970.
    pub fn authentic(&self, now: i64) {
        self.last_event.came(now);
    }

    /// A record of this application that is in the topics was accepted at this time, in seconds since 1970. For what is
    /// read from the topics at the start: without it, each restart would hide how long an application has been silent.
    pub fn accepted_before(&self, time: i64) {
        self.last_event.came_at_least(time);
    }

    /// An event differed from what is documented.
    pub fn drifted(&self, entity: Entity, drift: Drift) {
        let [unknown, malformed, conflicting] = &self.drift;
        for (family, count) in
            [(unknown, drift.unknown), (malformed, drift.malformed), (conflicting, drift.conflicting)]
        {
            if count > 0 {
                entity.pick(family).inc_by(u64::from(count));
            }
        }
    }
}

fn inc(counter: Option<&IntCounter>) {
    if let Some(counter) = counter {
        counter.inc();
    }
}
