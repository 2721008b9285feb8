//! An entry without its body: its line in the journal's index, and that line's form in bytes.

use std::sync::Arc;

use idaas_callback::Reason;
use idaas_callback::event_type::Entity;
use outbox::{EventKey, LaneKey, Seq};
use serde::{Deserialize, Serialize};

use super::entry::{DecodeFault, Entry, append, entity, parse, reason};

/// The form that this build writes.
const VERSION: u8 = 2;

/// Of the form that tells neither the event's time nor its size in memory.
const VERSION_WITHOUT_TIME: u8 = 1;

/// How much larger an entry is in memory than its compressed body, if its size is not recorded.
const ASSUMED_COMPRESSION: u64 = 8;

/// One line of the index. Holds no personal data, but ids; has no `Debug` all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Its place in the order of acceptance.
    pub seq: Seq,
    /// Its identity.
    pub key: EventKey,
    /// The lane whose order it keeps.
    pub lane: LaneKey,
    /// Its id.
    pub event_id: String,
    /// The configured name of its application.
    pub application: String,
    /// What its record is about.
    pub entity: Entity,
    /// Where its record goes.
    pub topic: Arc<str>,
    /// Why it is a dead letter, where it is one.
    pub reason: Option<Reason>,
    /// The time of acceptance, in milliseconds since 1970.
    pub accepted_at: i64,
    /// What its body takes, in bytes.
    pub bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct WireRow<'a> {
    key: [u8; 16],
    lane: u64,
    accepted_at: i64,
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
    /// Appends the form of an entry's line to `output`. `bytes` is what its body takes.
    pub(super) fn encode(entry: &Entry, bytes: u64, output: &mut Vec<u8>) {
        let wire = WireRow {
            key: entry.key.0,
            lane: entry.lane.0,
            accepted_at: entry.accepted_at,
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

    /// Reads a line's form.
    ///
    /// # Errors
    /// [`DecodeFault`].
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
            accepted_at: wire.accepted_at,
            bytes: wire.bytes,
        })
    }
}

/// What the outbox has to know of every entry at the start, and no more: there can be a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRef {
    /// Its place in the order of acceptance.
    pub seq: Seq,
    /// Its identity.
    pub key: EventKey,
    /// The lane whose order it keeps.
    pub lane: LaneKey,
    /// The time of acceptance, in milliseconds since 1970.
    pub accepted_at: i64,
    /// When the event happened, in milliseconds since 1970.
    pub event_time: Option<i64>,
    /// What its body takes, in bytes.
    pub bytes: u64,
    /// What the entry takes in memory, in bytes, about.
    pub memory: usize,
}

impl EntryRef {
    /// Reads of a line's form what is in it, and leaves its texts aside.
    pub(super) fn decode(seq: Seq, bytes: &[u8]) -> Result<Self, DecodeFault> {
        let WireRowWithTime { row, event_time, memory } = parse_row(bytes)?;
        let WireRow { key, lane, accepted_at, bytes, .. } = row;
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        Ok(Self { seq, key: EventKey(key), lane: LaneKey(lane), accepted_at, event_time, bytes, memory })
    }
}
