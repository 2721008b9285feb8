//! The traffic of the last fifteen minutes in buckets of ten seconds, from the counters of the metrics.
//!
//! A finished bucket keeps only the busiest applications and the totals, so it does not grow with the number of
//! applications.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use idaas_callback::Refusal;
use idaas_callback::event_type::Entity;
use outbox::verdict::List;
use serde::Serialize;

use super::bucket::{Bucket, LISTS, Totals};
use crate::telemetry::application::Counts;

/// Number of buckets.
pub(super) const BUCKETS: usize = 90;

/// Length of a bucket, in milliseconds.
pub(super) const WIDTH: i64 = 10_000;

/// Maximum number of applications that are shown individually.
pub(super) const MAX_SHOWN: usize = 20;

/// An application's counters at the last read.
struct LastCounters {
    name: Arc<str>,
    counts: Counts,
    key_in_use: Option<usize>,
}

/// Confirmations since the start of the process: their number, and the sum of their durations in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Confirmations {
    pub(super) count: u64,
    pub(super) seconds: f64,
}

/// The traffic of the last fifteen minutes.
#[derive(Default)]
pub(super) struct Traffic {
    buckets: VecDeque<Bucket>,
    /// Number of the newest bucket, counted from 1970.
    number: i64,
    last: HashMap<String, LastCounters>,
    confirmations: Confirmations,
}

/// The message with the data of the charts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrafficMessage {
    width: i64,
    verdicts: HashMap<&'static str, Vec<u64>>,
    refused: Vec<u64>,
    refusals: Vec<RefusalCount>,
    /// Mean time until confirmation per bucket, in milliseconds. `None` if nothing was confirmed.
    latency: Vec<Option<f64>>,
    entities: Vec<EntityTraffic>,
    pub(super) applications: Vec<ApplicationTraffic>,
    others: ApplicationTraffic,
}

#[derive(Debug, Serialize)]
struct RefusalCount {
    code: &'static str,
    callbacks: u64,
}

#[derive(Debug, Serialize)]
struct EntityTraffic {
    name: &'static str,
    published: Vec<u64>,
    total: u64,
}

/// The events of one application, or of several together.
#[derive(Debug, Default, Serialize)]
pub(super) struct ApplicationTraffic {
    name: String,
    /// Published and skipped events, per bucket.
    delivered: Vec<u64>,
    /// Dead letters and events that IDaaS sends again, per bucket.
    undelivered: Vec<u64>,
    success: u64,
    skipped: u64,
    failed: u64,
    retried: u64,
    refused: u64,
    total: u64,
}

impl Traffic {
    /// Adds the counters of one application, read at `now` (milliseconds since 1970).
    pub(super) fn application(&mut self, name: &str, counts: Counts, now: i64) {
        self.advance(now);
        let last = self.last.entry(name.to_owned()).or_insert_with(|| LastCounters {
            name: name.into(),
            counts: Counts::default(),
            key_in_use: None,
        });
        let new = |value: u64, before: u64| value.saturating_sub(before);
        let mut totals = Totals::default();
        for (sum, (value, before)) in totals.lists.iter_mut().zip(counts.lists.iter().zip(last.counts.lists)) {
            *sum = new(*value, before);
        }
        let before = last.counts.refusals.iter().sum();
        totals.refused = new(counts.refusals.iter().sum(), before);
        let used = |(index, count): (usize, &u64)| {
            (*count > last.counts.decryptions.get(index).copied().unwrap_or_default()).then_some(index)
        };
        last.key_in_use = counts.decryptions.iter().enumerate().filter_map(used).next_back().or(last.key_in_use);
        let before = std::mem::replace(&mut last.counts, counts);
        let Some(bucket) = self.buckets.back_mut() else { return };
        for (sum, (value, before)) in
            bucket.published.iter_mut().zip(last.counts.published.iter().zip(before.published))
        {
            *sum += new(*value, before);
        }
        for (sum, (value, before)) in bucket.refusals.iter_mut().zip(last.counts.refusals.iter().zip(before.refusals)) {
            *sum += new(*value, before);
        }
        if totals.busy() > 0 {
            bucket.all.add(&totals);
            bucket.applications.entry(Arc::clone(&last.name)).or_default().add(&totals);
        }
    }

    /// Adds the confirmations since the start of the process.
    pub(super) fn confirmations(&mut self, all: Confirmations, now: i64) {
        self.advance(now);
        let before = std::mem::replace(&mut self.confirmations, all);
        if let Some(bucket) = self.buckets.back_mut() {
            bucket.confirmed += all.count.saturating_sub(before.count);
            bucket.seconds += (all.seconds - before.seconds).max(0.0);
        }
    }

    /// Removes the counters of applications that are no longer configured.
    pub(super) fn retain(&mut self, is_configured: impl Fn(&str) -> bool) {
        self.last.retain(|name, _| is_configured(name));
    }

    /// Returns the index of the decryption key that opened the application's latest callback.
    pub(super) fn key_in_use(&self, name: &str) -> Option<usize> {
        self.last.get(name)?.key_in_use
    }

    fn advance(&mut self, now: i64) {
        let number = now / WIDTH;
        if self.buckets.is_empty() || number - self.number >= BUCKETS as i64 {
            self.buckets.clear();
            self.buckets.push_back(Bucket::default());
            self.number = number;
        }
        // If the clock was set back, the newest bucket stays the current one.
        while self.number < number {
            if let Some(over) = self.buckets.back_mut() {
                over.close();
            }
            if self.buckets.len() >= BUCKETS {
                self.buckets.pop_front();
            }
            self.buckets.push_back(Bucket::default());
            self.number += 1;
        }
    }

    /// Returns a value per bucket, newest last. Buckets before the first one have the value `absent`.
    fn column<T: Clone>(&self, absent: T, value: impl Fn(&Bucket) -> T) -> Vec<T> {
        let missing = BUCKETS.saturating_sub(self.buckets.len());
        std::iter::repeat_n(absent, missing).chain(self.buckets.iter().map(value)).collect()
    }

    /// Returns the busiest applications, busiest first.
    pub(super) fn busiest(&self) -> Vec<Arc<str>> {
        let mut sums: HashMap<&Arc<str>, u64> = HashMap::new();
        for (name, totals) in self.buckets.iter().flat_map(|bucket| &bucket.applications) {
            *sums.entry(name).or_default() += totals.busy();
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by(|(one, busy), (other, busier)| busier.cmp(busy).then_with(|| one.cmp(other)));
        sums.into_iter().take(MAX_SHOWN).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Creates the message. `now` is in milliseconds since 1970.
    pub(super) fn message(&mut self, now: i64) -> TrafficMessage {
        self.advance(now);
        let at = |values: &[u64], index: usize| values.get(index).copied().unwrap_or_default();
        let verdicts = List::ALL.into_iter().enumerate();
        let verdicts =
            verdicts.map(|(index, list)| (list.name(), self.column(0, |bucket| at(&bucket.all.lists, index))));
        let entities = Entity::ALL.into_iter().enumerate().map(|(index, entity)| {
            let published = self.column(0, |bucket| at(&bucket.published, index));
            EntityTraffic { name: entity.name(), total: published.iter().sum(), published }
        });
        let names = self.busiest();
        let applications: Vec<_> = names.iter().map(|name| self.of(name, |bucket| bucket.of(name))).collect();
        TrafficMessage {
            width: WIDTH,
            verdicts: verdicts.collect(),
            refused: self.column(0, |bucket| bucket.all.refused),
            refusals: self.refusals(),
            latency: self.column(None, Bucket::mean),
            entities: entities.collect(),
            others: self.of("", |bucket| bucket.without(&names)),
            applications,
        }
    }

    fn of(&self, name: &str, totals: impl Fn(&Bucket) -> Totals) -> ApplicationTraffic {
        let tallies = self.column(Totals::default(), totals);
        let mut sum = Totals::default();
        tallies.iter().for_each(|totals| sum.add(totals));
        let [success, skipped, failed, retried] = sum.lists;
        let of_lists = |add: fn([u64; LISTS]) -> u64| tallies.iter().map(|totals| add(totals.lists)).collect();
        ApplicationTraffic {
            name: name.to_owned(),
            delivered: of_lists(|[success, skipped, ..]| success + skipped),
            undelivered: of_lists(|[.., failed, retried]| failed + retried),
            success,
            skipped,
            failed,
            retried,
            refused: sum.refused,
            total: success + skipped + failed + retried,
        }
    }

    /// Returns the rejected callbacks by code, most frequent first.
    fn refusals(&self) -> Vec<RefusalCount> {
        let count = |(index, refusal): (usize, Refusal)| {
            let of = |bucket: &Bucket| bucket.refusals.get(index).copied().unwrap_or_default();
            RefusalCount { code: refusal.code(), callbacks: self.buckets.iter().map(of).sum() }
        };
        let mut counts: Vec<_> = Refusal::ALL.into_iter().enumerate().map(count).collect();
        counts.retain(|count| count.callbacks > 0);
        counts.sort_by_key(|count| std::cmp::Reverse(count.callbacks));
        counts
    }
}

#[cfg(test)]
#[path = "tests/traffic.rs"]
mod tests;
