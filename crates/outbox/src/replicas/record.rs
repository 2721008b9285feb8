//! The records of the coordination topic, as JSON. Unknown records are ignored.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Offset, ReplicaId, Writer};
use crate::LaneKey;

/// The version of the records. Others are ignored.
const VERSION: u8 = 1;

/// Maximum number of lanes in one record: about 400 KB.
pub const LANES_PER_RECORD: usize = 16_000;

/// A record of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The writer.
    pub writer: Writer,
    /// The content.
    pub body: Body,
}

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The replica is alive and reaches Kafka.
    Heartbeat,
    /// The replica takes part in the current round, or opens one.
    Ready {
        /// True if it publishes already. If false, everything that it has claimed or owned before is void.
        live: bool,
        /// True if it publishes already, but partitions have recovered, and it withholds the lanes that waited for them
        /// until the others have claimed.
        recovering: bool,
    },
    /// The lanes in which events wait, each with their number. A claim can have several parts.
    Claim {
        /// Distinguishes the parts of one claim from those of another.
        number: u64,
        /// The lanes of this part.
        lanes: Vec<(LaneKey, u32)>,
        /// True if this is the last part.
        last: bool,
    },
    /// Events wait in these further lanes, each with their number: they filled while the replica withheld them.
    Extend {
        /// The lanes.
        lanes: Vec<(LaneKey, u32)>,
    },
    /// The replica starts to publish: it becomes the owner of its lanes, except those of which another replica has
    /// more events.
    Start,
    /// The replica has published the events that waited in the lanes that it owns.
    Done {
        /// The offset up to which this applies. Excludes lanes that it came to own later.
        up_to: Offset,
    },
    /// The replica shuts down.
    Leave,
}

/// The record as written to the topic.
#[derive(Serialize, Deserialize)]
struct Wire {
    version: u8,
    replica: String,
    process: String,
    #[serde(flatten)]
    body: WireBody,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum WireBody {
    Heartbeat,
    Ready {
        live: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recovering: bool,
    },
    Claim {
        number: u64,
        lanes: Vec<(u64, u32)>,
        last: bool,
    },
    Extend {
        lanes: Vec<(u64, u32)>,
    },
    Start,
    Done {
        up_to: Offset,
    },
    Leave,
}

impl Record {
    /// Returns the record's value.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let body = match &self.body {
            Body::Heartbeat => WireBody::Heartbeat,
            Body::Ready { live, recovering } => WireBody::Ready { live: *live, recovering: *recovering },
            Body::Claim { number, lanes, last } => {
                WireBody::Claim { number: *number, lanes: to_wire(lanes), last: *last }
            }
            Body::Extend { lanes } => WireBody::Extend { lanes: to_wire(lanes) },
            Body::Start => WireBody::Start,
            Body::Done { up_to } => WireBody::Done { up_to: *up_to },
            Body::Leave => WireBody::Leave,
        };
        let hex = |number: u64| format!("{number:016x}");
        let Writer { replica, process } = self.writer;
        let wire = Wire { version: VERSION, replica: hex(replica.0), process: hex(process), body };
        // Numbers and short texts are always valid JSON.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Parses a record's value. `None` if it is not a record of this version.
    #[must_use]
    pub fn from_json(value: &[u8]) -> Option<Self> {
        let Wire { version, replica, process, body } = serde_json::from_slice(value).ok()?;
        if version != VERSION {
            return None;
        }
        let number = |hex: &str| u64::from_str_radix(hex, 16).ok();
        let writer = Writer { replica: ReplicaId(number(&replica)?), process: number(&process)? };
        let body = match body {
            WireBody::Heartbeat => Body::Heartbeat,
            WireBody::Ready { live, recovering } => Body::Ready { live, recovering },
            WireBody::Claim { number, lanes, last } => Body::Claim { number, lanes: from_wire(lanes), last },
            WireBody::Extend { lanes } => Body::Extend { lanes: from_wire(lanes) },
            WireBody::Start => Body::Start,
            WireBody::Done { up_to } => Body::Done { up_to },
            WireBody::Leave => Body::Leave,
        };
        Some(Self { writer, body })
    }
}

fn to_wire(lanes: &[(LaneKey, u32)]) -> Vec<(u64, u32)> {
    lanes.iter().map(|(lane, events)| (lane.0, *events)).collect()
}

fn from_wire(lanes: Vec<(u64, u32)>) -> Vec<(LaneKey, u32)> {
    lanes.into_iter().map(|(lane, events)| (LaneKey(lane), events)).collect()
}

/// Splits further lanes into records.
#[must_use]
pub fn extend(lanes: HashMap<LaneKey, u32>) -> Vec<Body> {
    let mut lanes: Vec<_> = lanes.into_iter().collect();
    lanes.sort_unstable();
    lanes.chunks(LANES_PER_RECORD).map(|lanes| Body::Extend { lanes: lanes.to_vec() }).collect()
}

/// Splits a claim into parts. A claim without lanes has one part.
#[must_use]
pub fn claim(number: u64, lanes: HashMap<LaneKey, u32>) -> Vec<Body> {
    let mut lanes: Vec<_> = lanes.into_iter().collect();
    lanes.sort_unstable();
    if lanes.is_empty() {
        return vec![Body::Claim { number, lanes, last: true }];
    }
    let parts = lanes.chunks(LANES_PER_RECORD);
    let count = parts.len();
    let part = |(at, lanes): (usize, &[_])| Body::Claim { number, lanes: lanes.to_vec(), last: at + 1 == count };
    parts.enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: Body) -> Record {
        Record { writer: Writer { replica: ReplicaId(7), process: u64::MAX }, body }
    }

    #[test]
    fn records_survive_the_way_through_the_topic() {
        let lanes = vec![(LaneKey(u64::MAX), 3), (LaneKey(0), u32::MAX)];
        for body in [
            Body::Heartbeat,
            Body::Ready { live: true, recovering: false },
            Body::Ready { live: true, recovering: true },
            Body::Claim { number: 9, lanes: lanes.clone(), last: false },
            Body::Extend { lanes },
            Body::Start,
            Body::Done { up_to: 41 },
            Body::Leave,
        ] {
            let record = record(body);
            assert_eq!(Record::from_json(&record.to_json()), Some(record));
        }
    }

    #[test]
    fn recovering_is_written_and_read_only_if_it_is_true() {
        let ready = |recovering| String::from_utf8(record(Body::Ready { live: true, recovering }).to_json()).unwrap();
        assert!(!ready(false).contains("recovering"), "earlier versions write it like this");
        assert!(ready(true).contains("\"live\":true"), "earlier versions read it like this");
    }

    #[test]
    fn unknown_records_are_ignored() {
        let good = String::from_utf8(record(Body::Start).to_json()).unwrap();
        assert!(Record::from_json(good.as_bytes()).is_some());
        for (from, to) in [("\"version\":1", "\"version\":2"), ("start", "stop"), ("\"ffff", "\"xfff"), ("{", "")] {
            assert_eq!(Record::from_json(good.replace(from, to).as_bytes()), None, "{to}");
        }
        assert_eq!(Record::from_json(b""), None);
    }

    #[test]
    fn a_large_claim_has_parts_below_half_a_megabyte() {
        let lanes = |count: u64| (0..count).map(|lane| (LaneKey(u64::MAX - lane), u32::MAX)).collect();
        assert_eq!(claim(1, lanes(0)).len(), 1);
        let parts = claim(1, lanes(40_000));
        assert_eq!(parts.len(), 3);
        let last = |part: &Body| matches!(part, Body::Claim { last: true, .. });
        assert_eq!(parts.iter().map(last).collect::<Vec<_>>(), [false, false, true]);
        assert!(parts.into_iter().all(|part| record(part).to_json().len() < 600_000));
    }
}
