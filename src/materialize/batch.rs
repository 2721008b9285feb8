//! Events become state records, and rows of the working state. Nothing is written here.

use std::collections::{BTreeMap, HashMap, VecDeque};

use idaas_state::{Entity, Entry, Event, MEMORY, Outcome, Record, State, Time, apply};

use super::Materializer;
use super::store::{Row, Store, StoreError};
use crate::kafka::state::{InputRecord, Output, Partition};
use crate::telemetry::log_code::LogCode;

/// The most bytes of state records in one transaction. A single record can exceed it.
const MAX_OUTPUT_BYTES: usize = 8 << 20;

/// A deletion is removed from disk only when no record can be older any more: record timestamps go back by up to an hour.
const FORGET_MARGIN: i64 = 2 * 3_600_000;

/// The rows of one partition by entity id.
type Rows = HashMap<Vec<u8>, Option<Row>>;

/// What one transaction writes.
#[derive(Default)]
pub(super) struct Batch {
    /// The records to publish.
    pub(super) outputs: Vec<Output>,
    /// The rows that change, by partition.
    pub(super) changed: BTreeMap<Partition, HashMap<Vec<u8>, Row>>,
    /// The offset of the next event, by partition.
    pub(super) next: BTreeMap<Partition, i64>,
    newest: BTreeMap<Partition, i64>,
    tallies: BTreeMap<Entity, Tally>,
}

/// What became of the events of one entity.
#[derive(Default)]
struct Tally {
    applied: u64,
    unchanged: u64,
    late: u64,
    tombstones: u64,
    unreadable: u64,
    too_large: u64,
}

impl Batch {
    /// Merges events from the front of `records` until the transaction is large enough.
    pub(super) fn build(
        owner: &Materializer,
        store: &Store,
        records: &mut VecDeque<InputRecord>,
        max_state_bytes: usize,
    ) -> Result<Self, StoreError> {
        let mut known = known(owner, store, records)?;
        let (mut batch, mut bytes) = (Self::default(), 0);
        while bytes < MAX_OUTPUT_BYTES {
            let Some(record) = records.pop_front() else { break };
            let Some(pair) = owner.pair(record.partition.pair) else { continue };
            batch.next.insert(record.partition, record.offset + 1);
            let newest = batch.newest.entry(record.partition).or_insert(i64::MIN);
            *newest = (*newest).max(record.timestamp);
            let tally = batch.tallies.entry(pair.entity).or_default();
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
                    tally.unreadable += 1;
                    continue;
                }
            };
            let rows = known.entry(record.partition).or_default();
            let row = rows.entry(event.id.as_bytes().to_vec()).or_default();
            let Some((output, new)) = merge(&record, event, row.as_ref(), max_state_bytes, tally) else { continue };
            bytes += output.record.value.as_ref().map_or(0, Vec::len) + output.record.key.len();
            let changed = batch.changed.entry(record.partition).or_default();
            changed.insert(event.id.as_bytes().to_vec(), new.clone());
            *row = Some(new);
            batch.outputs.push(output);
        }
        Ok(batch)
    }

    /// Deletions of this partition that were recorded before this are forgotten.
    pub(super) fn forget_before(&self, partition: Partition) -> Time {
        let newest = self.newest.get(&partition).copied().unwrap_or(i64::MIN);
        Time::from_millis(newest.saturating_sub(MEMORY.as_millis()).saturating_sub(FORGET_MARGIN))
    }

    /// Counts what was committed.
    pub(super) fn count(&self, owner: &Materializer) {
        for (entity, tally) in &self.tallies {
            let metrics = owner.health.metrics.entity(*entity);
            metrics.applied.inc_by(tally.applied);
            metrics.unchanged.inc_by(tally.unchanged);
            metrics.late.inc_by(tally.late);
            metrics.tombstones.inc_by(tally.tombstones);
            metrics.unreadable.inc_by(tally.unreadable);
            metrics.too_large.inc_by(tally.too_large);
        }
    }
}

/// Reads what is known of the entities of all events.
fn known(
    owner: &Materializer,
    store: &Store,
    records: &VecDeque<InputRecord>,
) -> Result<BTreeMap<Partition, Rows>, StoreError> {
    let mut known: BTreeMap<Partition, Rows> = BTreeMap::new();
    for record in records {
        if let Ok(event) = &record.event {
            known.entry(record.partition).or_default().insert(event.id.as_bytes().to_vec(), None);
        }
    }
    for (partition, rows) in &mut known {
        let Some(pair) = owner.pair(partition.pair) else { continue };
        let keys: Vec<_> = rows.keys().cloned().collect();
        let slices: Vec<_> = keys.iter().map(Vec::as_slice).collect();
        let found = store.rows(&pair.states, partition.number, &slices)?;
        rows.extend(keys.into_iter().zip(found));
    }
    Ok(known)
}

/// Merges one event. Returns the record to publish and the new row; `None` if nothing changes.
fn merge(
    record: &InputRecord,
    event: &Event,
    row: Option<&Row>,
    max_state_bytes: usize,
    tally: &mut Tally,
) -> Option<(Output, Row)> {
    let change = apply(row.and_then(|row| entry(event, row)), event);
    tally.late += u64::from(change.late);
    let Some(published) = Record::of(event, &change.outcome) else {
        tally.unchanged += 1;
        return None;
    };
    let new = match (&published.value, change.outcome) {
        (None, Outcome::Deleted(deletion)) => {
            tally.tombstones += 1;
            Row::Deleted(deletion)
        }
        (Some(value), _) if value.len() + published.key.len() > max_state_bytes => {
            tracing::error!(
                code = LogCode::StateTooLarge.as_str(),
                entity = event.entity.name(),
                id = event.id,
                bytes = value.len(),
                "the event is left out: the state exceeds the largest record; raise message.max.bytes in \
                 [kafka.properties] and max.message.bytes of the state topic"
            );
            tally.too_large += 1;
            return None;
        }
        (Some(value), _) => Row::Live(value.clone()),
        (None, _) => return None,
    };
    tally.applied += 1;
    Some((Output { partition: record.partition, record: published, timestamp: record.timestamp }, new))
}

/// A row as the merge takes it. A state that cannot be read, because somebody else wrote it, counts as unknown.
fn entry(event: &Event, row: &Row) -> Option<Entry> {
    match row {
        Row::Deleted(deletion) => Some(Entry::Deleted(*deletion)),
        Row::Live(value) => match State::from_json(event.entity, value) {
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
        },
    }
}
