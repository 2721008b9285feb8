//! Merges events into state records and rows of the working state. Writes nothing.

use std::collections::{BTreeMap, VecDeque};

use idaas_state::{Deletion, Entity, Entry, Event, MEMORY, Outcome, Record, State, Time, apply};

use super::Materializer;
use super::store::{Encoded, Encoder, Row, Store, StoreError};
use crate::kafka::state::{InputRecord, Output, Partition};
use crate::telemetry::log_code::LogCode;

/// The most bytes of state records in one transaction. A single record can exceed it.
const MAX_OUTPUT_BYTES: usize = 4 << 20;

/// Additional time before a deletion is removed from disk. Record timestamps can go back by up to an hour.
const FORGET_MARGIN: i64 = 2 * 3_600_000;

/// The stored rows of the entities of one partition, by id. They are read in the order of the keys, because neighbours
/// are on the same page.
type Rows = BTreeMap<String, Option<Row>>;

/// An entity after the batch.
enum Changed {
    /// It exists. Its state is in the output with this index.
    Live(usize),
    /// It is deleted.
    Deleted(Deletion),
}

/// The content of one transaction.
#[derive(Default)]
pub(super) struct Batch {
    /// The records to publish.
    pub(super) outputs: Vec<Output>,
    /// The rows that change, by partition and id.
    changed: BTreeMap<Partition, BTreeMap<String, Changed>>,
    /// The offset of the next event, by partition.
    pub(super) next: BTreeMap<Partition, i64>,
    newest: BTreeMap<Partition, i64>,
    /// The change of the number of entities, by partition.
    created: BTreeMap<Partition, i64>,
    counts: BTreeMap<Entity, EntityCounts>,
}

/// The results of the events of one kind of entity.
#[derive(Default)]
struct EntityCounts {
    applied: u64,
    unchanged: u64,
    late: u64,
    tombstones: u64,
    unreadable: u64,
    too_large: u64,
}

impl Batch {
    /// Merges events from the front of `records` until the transaction is large enough. `before` is the batch in
    /// progress, which the store does not have yet.
    pub(super) fn build(
        owner: &Materializer,
        store: &Store,
        before: Option<&Self>,
        records: &mut VecDeque<InputRecord>,
        max_state_bytes: usize,
    ) -> Result<Self, StoreError> {
        let known = known(owner, store, before, records)?;
        let (mut batch, mut bytes) = (Self::default(), 0);
        while bytes < MAX_OUTPUT_BYTES {
            let Some(record) = records.pop_front() else { break };
            let Some(pair) = owner.pair(record.partition.pair) else { continue };
            batch.next.insert(record.partition, record.offset + 1);
            let newest = batch.newest.entry(record.partition).or_insert(i64::MIN);
            *newest = (*newest).max(record.timestamp);
            let event = match &record.event {
                Ok(event) => event,
                Err(error) => {
                    let (partition, offset) = (record.partition.number, record.offset);
                    tracing::warn!(
                        code = LogCode::StateUnreadable.as_str(),
                        topic = pair.events,
                        partition,
                        offset,
                        "{error}"
                    );
                    batch.counts.entry(pair.entity).or_default().unreadable += 1;
                    continue;
                }
            };
            let entry = batch.entry(record.partition, event).or_else(|| before?.entry(record.partition, event));
            let entry = entry.unwrap_or_else(|| {
                let row = known.get(&record.partition).and_then(|rows| rows.get(&event.id)?.as_ref());
                row.and_then(|row| stored(event, row))
            });
            let existed = matches!(entry, Some(Entry::Live(_)));
            let counts = batch.counts.entry(pair.entity).or_default();
            let Some((output, deletion)) = merge(&record, event, entry, max_state_bytes, counts) else { continue };
            bytes += output.record.value.as_ref().map_or(0, Vec::len) + output.record.key.len();
            *batch.created.entry(record.partition).or_default() += i64::from(deletion.is_none()) - i64::from(existed);
            let changed = deletion.map_or(Changed::Live(batch.outputs.len()), Changed::Deleted);
            batch.changed.entry(record.partition).or_default().insert(event.id.clone(), changed);
            batch.outputs.push(output);
        }
        Ok(batch)
    }

    /// Returns the entity of an event after this batch. Returns `None` if the batch does not change it.
    fn entry(&self, partition: Partition, event: &Event) -> Option<Option<Entry>> {
        match self.changed.get(&partition)?.get(&event.id)? {
            Changed::Deleted(deletion) => Some(Some(Entry::Deleted(*deletion))),
            Changed::Live(output) => Some(live(event, self.value(*output)?)),
        }
    }

    fn value(&self, output: usize) -> Option<&[u8]> {
        self.outputs.get(output)?.record.value.as_deref()
    }

    /// Encodes the changed rows of a partition for the store.
    pub(super) fn encoded(&self, partition: Partition, encoder: &mut Encoder) -> Vec<(Vec<u8>, Encoded)> {
        let changed = self.changed.get(&partition).into_iter().flatten();
        let encoded = changed.filter_map(|(id, changed)| {
            let row = match changed {
                Changed::Live(output) => encoder.live(self.value(*output)?),
                Changed::Deleted(deletion) => encoder.row(&Row::Deleted(*deletion)),
            };
            Some((id.clone().into_bytes(), row))
        });
        encoded.collect()
    }

    /// Returns the change of the number of entities of a partition.
    pub(super) fn created(&self, partition: Partition) -> i64 {
        self.created.get(&partition).copied().unwrap_or_default()
    }

    /// Returns the time before which recorded deletions of a partition are forgotten.
    pub(super) fn forget_before(&self, partition: Partition) -> Time {
        let newest = self.newest.get(&partition).copied().unwrap_or(i64::MIN);
        Time::from_millis(newest.saturating_sub(MEMORY.as_millis()).saturating_sub(FORGET_MARGIN))
    }

    /// Adds the results to the metrics, once they are committed.
    pub(super) fn count(&self, owner: &Materializer) {
        for (entity, counts) in &self.counts {
            let metrics = owner.health.metrics.entity(*entity);
            metrics.applied.inc_by(counts.applied);
            metrics.unchanged.inc_by(counts.unchanged);
            metrics.late.inc_by(counts.late);
            metrics.tombstones.inc_by(counts.tombstones);
            metrics.unreadable.inc_by(counts.unreadable);
            metrics.too_large.inc_by(counts.too_large);
        }
    }
}

/// Reads the stored rows of the entities of all events, except those that the batch in progress changes.
fn known(
    owner: &Materializer,
    store: &Store,
    before: Option<&Batch>,
    records: &VecDeque<InputRecord>,
) -> Result<BTreeMap<Partition, Rows>, StoreError> {
    let mut known: BTreeMap<Partition, Rows> = BTreeMap::new();
    let is_changed = |partition, event: &Event| {
        before.is_some_and(|before| before.changed.get(&partition).is_some_and(|rows| rows.contains_key(&event.id)))
    };
    for record in records {
        if let Ok(event) = &record.event
            && !is_changed(record.partition, event)
        {
            known.entry(record.partition).or_default().insert(event.id.clone(), None);
        }
    }
    for (partition, rows) in &mut known {
        let Some(pair) = owner.pair(partition.pair) else { continue };
        let keys: Vec<_> = rows.keys().map(String::as_bytes).collect();
        let found = store.rows(&pair.states, partition.number, &keys)?;
        for (row, found) in rows.values_mut().zip(found) {
            *row = found;
        }
    }
    Ok(known)
}

/// Merges one event. Returns the record to publish, and the deletion if it is one. Returns `None` if nothing changes.
fn merge(
    record: &InputRecord,
    event: &Event,
    entry: Option<Entry>,
    max_state_bytes: usize,
    counts: &mut EntityCounts,
) -> Option<(Output, Option<Deletion>)> {
    let change = apply(entry, event);
    counts.late += u64::from(change.late);
    let Some(published) = Record::of(event, &change.outcome) else {
        counts.unchanged += 1;
        return None;
    };
    let deletion = match (&published.value, change.outcome) {
        (None, Outcome::Deleted(deletion)) => {
            counts.tombstones += 1;
            Some(deletion)
        }
        (Some(value), _) if value.len() + published.key.len() > max_state_bytes => {
            tracing::error!(
                code = LogCode::StateTooLarge.as_str(),
                entity = event.entity.name(),
                id = event.id,
                bytes = value.len(),
                "the event is skipped: the state exceeds the largest record; raise message.max.bytes in \
                [kafka.properties] and max.message.bytes of the state topic"
            );
            counts.too_large += 1;
            return None;
        }
        (Some(_), _) => None,
        (None, _) => return None,
    };
    counts.applied += 1;
    Some((Output { partition: record.partition, record: published, timestamp: record.timestamp }, deletion))
}

/// Converts a row for the merge.
fn stored(event: &Event, row: &Row) -> Option<Entry> {
    match row {
        Row::Deleted(deletion) => Some(Entry::Deleted(*deletion)),
        Row::Live(value) => live(event, value),
    }
}

/// Reads the state of an entity. A state that cannot be read, because another program wrote it, counts as unknown.
fn live(event: &Event, value: &[u8]) -> Option<Entry> {
    match State::from_json(event.entity, value) {
        Ok(state) => Some(Entry::Live(Box::new(state))),
        Err(error) => {
            tracing::error!(
                code = LogCode::StateForeign.as_str(),
                entity = event.entity.name(),
                id = event.id,
                "{error}"
            );
            None
        }
    }
}
