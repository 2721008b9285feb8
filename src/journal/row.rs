//! An entry without its body: its line in the journal's index, and that line's form in bytes.

use std::sync::Arc;

use idaas_callback::Reason;
use idaas_callback::event_type::Entity;
use outbox::{EventKey, LaneKey, Seq};
use serde::{Deserialize, Serialize};

use super::entry::{DecodeFault, Entry, append, entity, parse, reason};

/// Version of the encoding that this build writes.
const VERSION: u8 = 2;

/// The older version, without the event's time and its size in memory.
const VERSION_WITHOUT_TIME: u8 = 1;

/// How much larger an entry is in memory than its compressed body, if its size is not recorded.
const ASSUMED_COMPRESSION: u64 = 8;

/// One index row. Contains ids, but no event content. Has no `Debug` all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Sequence number: the position in the order of acceptance.
    pub seq: Seq,
    /// Identity of the event.
    pub key: EventKey,
    /// Lane of the event. Events of a lane are published in order.
    pub lane: LaneKey,
    /// Id of the event.
    pub event_id: String,
    /// Configured name of the application.
    pub application: String,
    /// Entity of the record.
    pub entity: Entity,
    /// Topic of the record.
    pub topic: Arc<str>,
    /// Reason, if it is a dead letter.
    pub reason: Option<Reason>,
    /// When the event was received, in milliseconds since 1970.
    pub received_at: i64,
    /// Size of the sealed body, in bytes.
    pub bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct WireRow<'a> {
    key: [u8; 16],
    lane: u64,
    received_at: i64,
    bytes: u64,
    event_id: &'a str,
    application: &'a str,
    entity: &'a str,
    topic: &'a str,
    reason: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
struct WireRowWithTime<'a> {
    #[serde(borrow)]
    row: WireRow<'a>,
    event_time: Option<i64>,
    memory: u64,
}

fn parse_row(bytes: &[u8]) -> Result<WireRowWithTime<'_>, DecodeFault> {
    if bytes.first() == Some(&VERSION_WITHOUT_TIME) {
        let row: WireRow<'_> = parse(VERSION_WITHOUT_TIME, bytes)?;
        let memory = row.bytes.saturating_mul(ASSUMED_COMPRESSION);
        return Ok(WireRowWithTime { row, event_time: None, memory });
    }
    parse(VERSION, bytes)
}

impl EntryRow {
    /// Appends the encoded row of `entry` to `output`. `bytes` is the size of its sealed body.
    pub(super) fn encode(entry: &Entry, bytes: u64, output: &mut Vec<u8>) {
        let wire = WireRow {
            key: entry.key.0,
            lane: entry.lane.0,
            received_at: entry.received_at,
            bytes,
            event_id: &entry.event_id,
            application: &entry.application,
            entity: entry.record.entity.name(),
            topic: &entry.record.topic,
            reason: reason(entry.verdict).map(Reason::code),
        };
        let memory = entry.weight() as u64;
        append(VERSION, &WireRowWithTime { row: wire, event_time: entry.event_time, memory }, output);
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// Returns a [`DecodeFault`] if the bytes cannot be decoded.
    pub(super) fn decode(seq: Seq, bytes: &[u8]) -> Result<Self, DecodeFault> {
        let wire = parse_row(bytes)?.row;
        let reason = |code: &str| Reason::ALL.into_iter().find(|r| r.code() == code).ok_or(DecodeFault::Malformed);
        Ok(Self {
            seq,
            key: EventKey(wire.key),
            lane: LaneKey(wire.lane),
            event_id: wire.event_id.to_owned(),
            application: wire.application.to_owned(),
            entity: entity(wire.entity)?,
            topic: Arc::from(wire.topic),
            reason: wire.reason.map(reason).transpose()?,
            received_at: wire.received_at,
            bytes: wire.bytes,
        })
    }
}

/// What the outbox needs of every entry at the start. Small, because there can be a million entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRef {
    /// Sequence number: the position in the order of acceptance.
    pub seq: Seq,
    /// Identity of the event.
    pub key: EventKey,
    /// Lane of the event. Events of a lane are published in order.
    pub lane: LaneKey,
    /// When the event was received, in milliseconds since 1970.
    pub received_at: i64,
    /// When the event happened, in milliseconds since 1970.
    pub event_time: Option<i64>,
    /// Size of the sealed body, in bytes.
    pub bytes: u64,
    /// Approximate size of the entry in memory, in bytes.
    pub memory: usize,
}

impl EntryRef {
    /// Decodes a row, but copies none of its strings.
    pub(super) fn decode(seq: Seq, bytes: &[u8]) -> Result<Self, DecodeFault> {
        let WireRowWithTime { row, event_time, memory } = parse_row(bytes)?;
        let WireRow { key, lane, received_at, bytes, .. } = row;
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        Ok(Self { seq, key: EventKey(key), lane: LaneKey(lane), received_at, event_time, bytes, memory })
    }
}
