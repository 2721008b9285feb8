//! The metrics of one application, each looked up once, because a callback touches a dozen of them.

use std::collections::HashMap;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::metrics::{DURATION_EDGES, counters, histograms, opts, register};
use crate::outbox::verdict::Verdict;
use crate::prepare::event_type::{Action, Entity, KNOWN};
use crate::prepare::{Drift, Reason};
use crate::refusal::Refusal;

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
    drift: [IntCounterVec; 3],
}

/// One application's metrics.
pub struct ApplicationMetrics {
    name: String,
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
    /// When the last authentic event came, in seconds since 1970.
    pub last_event: IntGauge,
    /// How old the key set is, in seconds.
    pub jwks_age: IntGauge,
    /// How many keys it holds.
    pub jwks_keys: IntGauge,
    decryptions: IntCounterVec,
    jwks_refreshes: IntCounterVec,
    drift: [[IntCounter; Entity::ALL.len()]; 3],
}

impl ApplicationFamilies {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let count = |name, help, labels: &[&str]| counters(registry, name, help, labels);
        let gauge = |name, help| register(registry, IntGaugeVec::new(opts(name, help), &["application"])?);
        Ok(Self {
            callbacks: count("callbacks_total", "Callbacks, by what became of them.", &["application", "code"])?,
            callback_duration: histograms(
                registry,
                "callback_duration_seconds",
                "From a callback's first byte to its answer.",
                &DURATION_EDGES,
                &["application"],
            )?,
            events_received: count(
                "events_received_total",
                "Events of authentic callbacks, once per distinct eventId of a callback.",
                &["application", "entity", "action"],
            )?,
            events_answered: count(
                "events_answered_total",
                "Verdicts given to IDaaS, once per distinct eventId of a callback.",
                &["application", "list", "code"],
            )?,
            events_published: count(
                "events_published_total",
                "Records that the broker has confirmed.",
                &["application", "entity"],
            )?,
            dead_letters: count("dead_letters_total", "Events that fit no record.", &["application", "reason"])?,
            duplicates: count("events_duplicate_total", "Re-deliveries of known events.", &["application"])?,
            decryptions: count(
                "decryptions_total",
                "Callbacks opened, by the position of the key in decryption_keys.",
                &["application", "key"],
            )?,
            jwks_refreshes: count("jwks_refreshes_total", "Fetches of the key set.", &["application", "result"])?,
            last_event: gauge("last_event_timestamp_seconds", "When the last authentic event came.")?,
            jwks_age: gauge("jwks_age_seconds", "How old the key set is.")?,
            jwks_keys: gauge("jwks_keys", "How many keys the key set holds.")?,
            drift: [
                count("unknown_fields_total", "Fields of unknown name.", &["entity"])?,
                count("malformed_fields_total", "Known fields of an unexpected form.", &["entity"])?,
                count("conflicting_fields_total", "Fields whose two names say different things.", &["entity"])?,
            ],
        })
    }

    pub(super) fn of(&self, name: &str) -> ApplicationMetrics {
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
            name: name.to_owned(),
            answered_callbacks: self.callbacks.with_label_values(&[name, "answered"]),
            refused: Refusal::ALL.into_iter().map(by_refusal).collect(),
            callback_duration: self.callback_duration.with_label_values(&[name]),
            received: kinds.chain(others).map(by_kind).collect(),
            answered: Verdict::ALL.into_iter().map(by_verdict).collect(),
            published: Entity::ALL.map(|entity| self.events_published.with_label_values(&[name, entity.name()])),
            dead_letters: Reason::ALL.into_iter().map(by_reason).collect(),
            duplicates: self.duplicates.with_label_values(&[name]),
            last_event: self.last_event.with_label_values(&[name]),
            jwks_age: self.jwks_age.with_label_values(&[name]),
            jwks_keys: self.jwks_keys.with_label_values(&[name]),
            decryptions: self.decryptions.clone(),
            jwks_refreshes: self.jwks_refreshes.clone(),
            drift: self
                .drift
                .each_ref()
                .map(|family| Entity::ALL.map(|entity| family.with_label_values(&[entity.name()]))),
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
        self.decryptions.with_label_values(&[self.name.as_str(), &position.to_string()]).inc();
    }

    /// The key set was fetched, or could not be.
    pub fn jwks_refreshed(&self, result: &str) {
        self.jwks_refreshes.with_label_values(&[self.name.as_str(), result]).inc();
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
