//! One event in the journal, and its encoding. Encryption and storage are in other modules.
//!
//! The encoding is compressed. Its first byte is the version, so an entry written by a newer build is recognized as
//! such. Decoding never panics, whatever the input.

use std::sync::Arc;

use idaas_callback::event_type::Entity;
use idaas_callback::headers::HeaderName;
use idaas_callback::jose::seal::SealFault;
use idaas_callback::record::Record;
use idaas_callback::{DeadLetterSource, Reason, StoredOriginal};
use outbox::verdict::Verdict;
use outbox::{EventKey, LaneKey, Seq};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

impl From<DecodeFault> for SealFault {
    fn from(fault: DecodeFault) -> Self {
        match fault {
            DecodeFault::Newer(version) => Self::Newer(version),
            DecodeFault::Malformed => Self::Damaged,
        }
    }
}

/// Version of the encoding that this build writes.
const VERSION: u8 = 1;

/// Maximum uncompressed size of an entry, in bytes: more than any request body can hold.
const MAX_ENTRY_BYTES: usize = 256 << 20;

/// An event that Kafka has not confirmed, with everything needed to publish it later and to determine its verdict. Has
/// no `Debug`, because it holds personal data.
#[derive(Clone)]
pub struct Entry {
    /// Sequence number: the position in the order of acceptance.
    pub seq: Seq,
    /// Identity of the event.
    pub key: EventKey,
    /// Lane of the event. Events of a lane are published in order.
    pub lane: LaneKey,
    /// Id of the event.
    pub event_id: String,
    /// True if IDaaS provided the event id. A generated id cannot be used in a response.
    pub id_provided: bool,
    /// Configured name of the application.
    pub application: String,
    /// When the event was received, in milliseconds since 1970.
    pub received_at: i64,
    /// `eventTime`, in milliseconds since 1970.
    pub event_time: Option<i64>,
    /// The verdict after the records are confirmed: [`Verdict::Confirmed`] or [`Verdict::DeadLettered`].
    pub verdict: Verdict,
    /// The record to publish.
    pub record: Record,
    /// The record with the sealed password, if there is one.
    pub credential: Option<Record>,
    /// Source of a dead letter, in case the broker rejects the record.
    pub dead_letter_source: DeadLetterSource,
}

/// Reason why bytes cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeFault {
    /// A newer build wrote it, with this version.
    Newer(u8),
    /// The bytes are not a valid encoding.
    Malformed,
}

#[derive(Serialize, Deserialize)]
struct WireEntry<'a> {
    key: [u8; 16],
    lane: u64,
    event_id: &'a str,
    id_provided: bool,
    application: &'a str,
    received_at: i64,
    event_time: Option<i64>,
    /// Code of the dead letter's reason. `None` means confirmed.
    reason: Option<&'a str>,
    #[serde(borrow)]
    record: WireRecord<'a>,
    #[serde(borrow)]
    credential: Option<WireRecord<'a>>,
    #[serde(borrow)]
    source: WireDeadLetterSource<'a>,
}

#[derive(Serialize, Deserialize)]
struct WireRecord<'a> {
    entity: &'a str,
    topic: &'a str,
    key: Option<&'a str>,
    #[serde(borrow)]
    value: &'a Bytes,
    #[serde(borrow)]
    headers: Vec<(&'a str, &'a str)>,
    timestamp: i64,
}

#[derive(Serialize, Deserialize)]
struct WireDeadLetterSource<'a> {
    instance_id: &'a str,
    application_id: &'a str,
    ali_uid: Option<&'a str>,
    event_version: Option<&'a str>,
    event: &'a str,
    received_at: i64,
    generated_id: &'a str,
}

impl Entry {
    /// Appends the encoded entry to `output`. The [`Seq`] is not encoded: it is the key of the row.
    pub fn encode(&self, output: &mut Vec<u8>) {
        output.reserve(self.weight());
        let original = self.dead_letter_source.stored_original();
        let wire = WireEntry {
            key: self.key.0,
            lane: self.lane.0,
            event_id: &self.event_id,
            id_provided: self.id_provided,
            application: &self.application,
            received_at: self.received_at,
            event_time: self.event_time,
            reason: reason(self.verdict).map(Reason::code),
            record: WireRecord::of(&self.record),
            credential: self.credential.as_ref().map(WireRecord::of),
            source: WireDeadLetterSource::of(&original),
        };
        // The original event and the record have nearly the same content. Compression fits two entries into one page of
        // the store, which halves the number of writes.
        let mut clear = Vec::with_capacity(self.weight());
        append(VERSION, &wire, &mut clear);
        output.push(VERSION);
        output.extend_from_slice(&lz4_flex::block::compress_prepend_size(&clear));
    }

    /// Returns the approximate size in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        let records = self.record.size() + self.credential.as_ref().map_or(0, Record::size);
        records + self.dead_letter_source.size() + 512
    }

    /// Decodes an entry.
    ///
    /// # Errors
    /// Returns a [`DecodeFault`] if the bytes cannot be decoded.
    pub fn decode(seq: Seq, bytes: &[u8]) -> Result<Self, DecodeFault> {
        let (written, packed) = bytes.split_first().ok_or(DecodeFault::Malformed)?;
        if *written > VERSION {
            return Err(DecodeFault::Newer(*written));
        }
        let (length, _) = lz4_flex::block::uncompressed_size(packed).map_err(|_| DecodeFault::Malformed)?;
        if length > MAX_ENTRY_BYTES {
            return Err(DecodeFault::Malformed);
        }
        let clear = lz4_flex::block::decompress_size_prepended(packed).map_err(|_| DecodeFault::Malformed)?;
        let wire: WireEntry<'_> = parse(VERSION, &clear)?;
        Ok(Self {
            seq,
            key: EventKey(wire.key),
            lane: LaneKey(wire.lane),
            event_id: wire.event_id.to_owned(),
            id_provided: wire.id_provided,
            application: wire.application.to_owned(),
            received_at: wire.received_at,
            event_time: wire.event_time,
            verdict: verdict(wire.reason)?,
            record: wire.record.restore()?,
            credential: wire.credential.map(WireRecord::restore).transpose()?,
            dead_letter_source: DeadLetterSource::from_stored(wire.source.restore()),
        })
    }
}

impl<'a> WireRecord<'a> {
    fn of(record: &'a Record) -> Self {
        Self {
            entity: record.entity.name(),
            topic: &record.topic,
            key: record.key.as_deref(),
            value: Bytes::new(&record.value),
            headers: record.headers.iter().collect(),
            timestamp: record.timestamp,
        }
    }

    fn restore(self) -> Result<Record, DecodeFault> {
        let header = |(name, value): (&str, &'a str)| Ok((HeaderName::of(name).ok_or(DecodeFault::Malformed)?, value));
        Ok(Record {
            entity: entity(self.entity)?,
            topic: Arc::from(self.topic),
            key: self.key.map(str::to_owned),
            value: self.value.to_vec(),
            headers: self.headers.into_iter().map(header).collect::<Result<_, _>>()?,
            timestamp: self.timestamp,
        })
    }
}

impl<'a> WireDeadLetterSource<'a> {
    fn of(original: &'a StoredOriginal) -> Self {
        Self {
            instance_id: &original.instance_id,
            application_id: &original.application_id,
            ali_uid: original.ali_uid.as_deref(),
            event_version: original.event_version.as_deref(),
            event: &original.event,
            received_at: original.received_at,
            generated_id: &original.generated_id,
        }
    }

    fn restore(self) -> StoredOriginal {
        StoredOriginal {
            instance_id: self.instance_id.to_owned(),
            application_id: self.application_id.to_owned(),
            ali_uid: self.ali_uid.map(str::to_owned),
            event_version: self.event_version.map(str::to_owned),
            event: self.event.to_owned(),
            received_at: self.received_at,
            generated_id: self.generated_id.to_owned(),
        }
    }
}

/// Appends a version byte and the encoded value.
pub(super) fn append(version: u8, value: &impl Serialize, output: &mut Vec<u8>) {
    output.push(version);
    let before = output.len();
    match postcard::to_extend(value, std::mem::take(output)) {
        Ok(written) => *output = written,
        // postcard rejects only sequences of unknown length. There are none here.
        Err(_) => output.truncate(before),
    }
}

/// Decodes a value that [`append`] encoded.
pub(super) fn parse<'a, T: Deserialize<'a>>(version: u8, bytes: &'a [u8]) -> Result<T, DecodeFault> {
    let (written, bytes) = bytes.split_first().ok_or(DecodeFault::Malformed)?;
    if *written > version {
        return Err(DecodeFault::Newer(*written));
    }
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) if *written == version => Ok(value),
        Ok(_) | Err(_) => Err(DecodeFault::Malformed),
    }
}

/// Returns the entity with this name.
pub(super) fn entity(name: &str) -> Result<Entity, DecodeFault> {
    Entity::ALL.into_iter().find(|entity| entity.name() == name).ok_or(DecodeFault::Malformed)
}

/// Returns the reason if the verdict is that of a dead letter.
pub(super) const fn reason(verdict: Verdict) -> Option<Reason> {
    match verdict {
        Verdict::DeadLettered(reason) => Some(reason),
        // Of these, only `Confirmed` occurs in an entry.
        Verdict::Confirmed | Verdict::NotSubscribed | Verdict::NotConfirmed | Verdict::Overloaded => None,
    }
}

fn verdict(code: Option<&str>) -> Result<Verdict, DecodeFault> {
    let Some(code) = code else { return Ok(Verdict::Confirmed) };
    let reason = Reason::ALL.into_iter().find(|reason| reason.code() == code).ok_or(DecodeFault::Malformed)?;
    Ok(Verdict::DeadLettered(reason))
}
