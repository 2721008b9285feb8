//! One event of the journal and its form in bytes. Knows neither seal nor disk.
//!
//! The form is compressed. Its first byte is its version; what a newer build wrote is recognized as that, and nothing that is read
//! here can make the reader panic.

use std::borrow::Cow;
use std::sync::Arc;

use idaas_callback::event_type::Entity;
use idaas_callback::jose::seal::SealFault;
use idaas_callback::record::{Record, header_name};
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

/// The form that this build writes.
const VERSION: u8 = 1;

/// The largest entry that is taken for one, in bytes: more than any body can hold.
const MAX_ENTRY_BYTES: usize = 256 << 20;

/// An event that Kafka has not confirmed: all that is needed to publish it later, and to answer for it. Has no `Debug`:
/// it holds personal data.
#[derive(Clone)]
pub struct Entry {
    /// Its place in the order of acceptance.
    pub seq: Seq,
    /// Its identity.
    pub key: EventKey,
    /// The lane whose order it keeps.
    pub lane: LaneKey,
    /// Its id.
    pub event_id: String,
    /// Whether IDaaS sent the id. One that was made up can be answered nowhere.
    pub sent_id: bool,
    /// The configured name of its application.
    pub application: String,
    /// The time of acceptance, in milliseconds since 1970.
    pub accepted_at: i64,
    /// `eventTime`, in milliseconds since 1970.
    pub event_time: Option<i64>,
    /// What is answered once it is confirmed: [`Verdict::Confirmed`] or [`Verdict::DeadLettered`].
    pub verdict: Verdict,
    /// The record to be published.
    pub record: Record,
    /// The sealed password's record, where there is one.
    pub credential: Option<Record>,
    /// What a dead letter is made of, should the broker refuse the record.
    pub dead_letter_source: DeadLetterSource,
}

/// Why bytes are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeFault {
    /// A newer build wrote it.
    Newer(u8),
    /// It makes no sense.
    Malformed,
}

#[derive(Serialize, Deserialize)]
struct WireEntry<'a> {
    key: [u8; 16],
    lane: u64,
    event_id: &'a str,
    sent_id: bool,
    application: &'a str,
    accepted_at: i64,
    event_time: Option<i64>,
    /// The code of the dead letter's reason; none means confirmed.
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
    made_id: &'a str,
}

impl Entry {
    /// Appends the entry's form to `output`. Its [`Seq`] is no part of it, but the place where it is kept.
    pub fn encode(&self, output: &mut Vec<u8>) {
        output.reserve(self.weight());
        let original = self.dead_letter_source.stored_original();
        let wire = WireEntry {
            key: self.key.0,
            lane: self.lane.0,
            event_id: &self.event_id,
            sent_id: self.sent_id,
            application: &self.application,
            accepted_at: self.accepted_at,
            event_time: self.event_time,
            reason: reason(self.verdict).map(Reason::code),
            record: WireRecord::of(&self.record),
            credential: self.credential.as_ref().map(WireRecord::of),
            source: WireDeadLetterSource::of(&original),
        };
        // Event and record say nearly the same, and a page of the store that holds two of them is half as many writes.
        let mut clear = Vec::with_capacity(self.weight());
        append(VERSION, &wire, &mut clear);
        output.push(VERSION);
        output.extend_from_slice(&lz4_flex::block::compress_prepend_size(&clear));
    }

    /// About what it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let records = self.record.size() + self.credential.as_ref().map_or(0, Record::size);
        // The source is about as large as the record that was made of it.
        2 * records + 512
    }

    /// Reads an entry's form.
    ///
    /// # Errors
    /// [`DecodeFault`].
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
            sent_id: wire.sent_id,
            application: wire.application.to_owned(),
            accepted_at: wire.accepted_at,
            event_time: wire.event_time,
            verdict: verdict(wire.reason)?,
            record: wire.record.restored()?,
            credential: wire.credential.map(WireRecord::restored).transpose()?,
            dead_letter_source: DeadLetterSource::from_stored(wire.source.restored()),
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
            headers: record.headers.iter().map(|(name, value)| (*name, &**value)).collect(),
            timestamp: record.timestamp,
        }
    }

    fn restored(self) -> Result<Record, DecodeFault> {
        let header = |(name, value): (&str, &str)| {
            Ok((header_name(name).ok_or(DecodeFault::Malformed)?, Cow::Owned(value.to_owned())))
        };
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
            made_id: &original.generated_id,
        }
    }

    fn restored(self) -> StoredOriginal {
        StoredOriginal {
            instance_id: self.instance_id.to_owned(),
            application_id: self.application_id.to_owned(),
            ali_uid: self.ali_uid.map(str::to_owned),
            event_version: self.event_version.map(str::to_owned),
            event: self.event.to_owned(),
            received_at: self.received_at,
            generated_id: self.made_id.to_owned(),
        }
    }
}

/// Appends a version and what is written in it.
pub(super) fn append(version: u8, value: &impl Serialize, output: &mut Vec<u8>) {
    output.push(version);
    let before = output.len();
    match postcard::to_extend(value, std::mem::take(output)) {
        Ok(written) => *output = written,
        // A sequence of unknown length alone is refused, and none of ours is one.
        Err(_) => output.truncate(before),
    }
}

/// Reads what [`append`] wrote.
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

/// The entity of that name.
pub(super) fn entity(name: &str) -> Result<Entity, DecodeFault> {
    Entity::ALL.into_iter().find(|entity| entity.name() == name).ok_or(DecodeFault::Malformed)
}

/// Why the event is a dead letter, where it is one.
pub(super) const fn reason(verdict: Verdict) -> Option<Reason> {
    match verdict {
        Verdict::DeadLettered(reason) => Some(reason),
        // The others are said of what is confirmed, or not at all.
        Verdict::Confirmed | Verdict::NotSubscribed | Verdict::NotConfirmed | Verdict::Overloaded => None,
    }
}

fn verdict(code: Option<&str>) -> Result<Verdict, DecodeFault> {
    let Some(code) = code else { return Ok(Verdict::Confirmed) };
    let reason = Reason::ALL.into_iter().find(|reason| reason.code() == code).ok_or(DecodeFault::Malformed)?;
    Ok(Verdict::DeadLettered(reason))
}
