//! The dedup cache: final verdicts by event. A redelivery is answered from it at once, without a second record.
//!
//! The cache is bounded by bytes, [`MAX_BYTES`], enough for 5.8 million events. Within that bound, it evicts nothing
//! that is younger than [`RETENTION`] or among the last [`MIN_ENTRIES`] entries. So it holds the last 15 minutes at up
//! to 6,500 events per second, and the last five minutes at 20,000. Events that another replica published and events
//! that were read back from the topics count too; their age starts when they are inserted.

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use idaas_callback::Reason;

use super::verdict::Verdict;
use super::{EventKey, Millis};

/// How long a verdict stays in the cache, if memory allows it. IDaaS redelivers for up to 96 seconds: 36 seconds of
/// pauses, and up to 10 seconds for each of six attempts that get no answer. Administrators can redeliver later from
/// the console.
const RETENTION: Millis = 15 * 60 * 1000;

/// Minimum number of verdicts that stay, whatever their age.
const MIN_ENTRIES: usize = 1 << 20;

/// Maximum memory of the cache, in bytes.
const MAX_BYTES: usize = 192 << 20;

/// Maximum number of verdicts: as many as fit into [`MAX_BYTES`].
const MAX_ENTRIES: usize = max_entries(MAX_BYTES);

/// Computes how many verdicts fit into that many bytes: one entry per verdict, and the index, whose number of buckets
/// is a power of two. The index doubles unless verdicts take at most 7/16 of its buckets, because evicted verdicts
/// leave unusable buckets until the index is rebuilt.
const fn max_entries(bytes: usize) -> usize {
    const BUCKET: usize = size_of::<u32>() + 1;
    // One verdict beyond the maximum, and the end of the index.
    const SLACK: usize = 128;
    let mut buckets: usize = 16;
    let mut best = 0;
    while buckets * BUCKET + SLACK < bytes {
        let by_index = buckets / 16 * 7;
        let by_bytes = (bytes - buckets * BUCKET - SLACK) / size_of::<CachedVerdict>();
        let fits = if by_index < by_bytes { by_index } else { by_bytes };
        best = if fits > best { fits } else { best };
        buckets *= 2;
    }
    best
}

/// Final verdicts by event.
pub(crate) struct DedupCache {
    /// Positions counted from the first entry ever inserted, modulo 2^32, so that evicting the oldest entry moves
    /// nothing.
    index: HashTable<u32>,
    entries: VecDeque<CachedVerdict>,
    evicted: u32,
}

/// A cached verdict, packed because there are millions.
struct CachedVerdict {
    key: [u8; 16],
    /// The time in seconds, 28 bits, which last for eight years; then the verdict, 4 bits.
    packed: u32,
}

impl CachedVerdict {
    fn new(key: EventKey, code: u32, now: Millis) -> Self {
        let seconds = u32::try_from(now / 1000).unwrap_or(u32::MAX).min(u32::MAX >> 4);
        Self { key: key.0, packed: seconds << 4 | code }
    }

    const fn seconds(&self) -> u32 {
        self.packed >> 4
    }

    fn known(&self) -> Option<Known> {
        match self.packed & 0xf {
            0 => Some(Known::Verdict(Verdict::Confirmed)),
            code if code & SOME_RECORDS == SOME_RECORDS => {
                (code != NOT_FINAL).then_some(Known::Records(1 << (code - SOME_RECORDS)))
            }
            code => {
                let reason = Reason::ALL.get(code as usize - 1);
                reason.map(|reason| Known::Verdict(Verdict::DeadLettered(*reason)))
            }
        }
    }
}

/// What the cache knows of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Its final verdict.
    Verdict(Verdict),
    /// Which of its own records are published, one bit for each, while the verdict is unknown.
    Records(u8),
}

/// Encodes a final verdict in 4 bits. Other verdicts are never cached.
fn code(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Confirmed => 0,
        Verdict::DeadLettered(reason) => {
            let position = Reason::ALL.iter().position(|known| *known == reason);
            position.and_then(|position| u32::try_from(position + 1).ok()).unwrap_or(NOT_FINAL)
        }
        Verdict::NotSubscribed | Verdict::NotConfirmed | Verdict::Overloaded => NOT_FINAL,
    }
}

/// A code that does not belong to any final verdict.
const NOT_FINAL: u32 = 0xf;

/// No verdict, but the event's own record with index 0 is published (the lowest bit not set), or the one with index 1.
const SOME_RECORDS: u32 = 0xc;

impl DedupCache {
    pub(crate) fn new() -> Self {
        Self { index: HashTable::new(), entries: VecDeque::new(), evicted: 0 }
    }

    /// Removes all entries.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Returns what is known of an event.
    #[inline]
    pub(crate) fn get(&self, key: EventKey) -> Option<Known> {
        let (entries, evicted) = (&self.entries, self.evicted);
        let position = self.index.find(key.hash(), |position| has_key(entries, evicted, *position, key))?;
        entry_at(entries, evicted, *position)?.known()
    }

    /// Notes that one of the event's own records is published, unless more is known.
    #[inline]
    pub(crate) fn insert_record(&mut self, key: EventKey, record: u8, now: Millis) {
        if record <= 1 {
            self.insert_code(key, SOME_RECORDS | u32::from(record), now);
        }
    }

    /// Inserts a final verdict. The first verdict on an event stays.
    #[inline]
    pub(crate) fn insert(&mut self, key: EventKey, verdict: Verdict, now: Millis) {
        self.insert_code(key, code(verdict), now);
    }

    fn insert_code(&mut self, key: EventKey, code: u32, now: Millis) {
        let (entries, evicted) = (&self.entries, self.evicted);
        let position = evicted.wrapping_add(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        let entry = self.index.entry(
            key.hash(),
            |known| has_key(entries, evicted, *known, key),
            |known| entry_at(entries, evicted, *known).map_or(0, |entry| EventKey(entry.key).hash()),
        );
        let vacant = match entry {
            Entry::Vacant(vacant) => vacant,
            Entry::Occupied(occupied) => {
                let offset = occupied.get().wrapping_sub(evicted) as usize;
                let known =
                    self.entries.get_mut(offset).filter(|entry| !matches!(entry.known(), Some(Known::Verdict(_))));
                known.into_iter().for_each(|known| known.packed = known.packed & !0xf | code);
                return;
            }
        };
        vacant.insert(position);
        let length = self.entries.len();
        if length == self.entries.capacity() && length > MIN_ENTRIES {
            // Doubling the capacity would exceed the memory bound.
            self.entries.reserve_exact(length.min(MAX_ENTRIES + 1 - length.min(MAX_ENTRIES)));
        }
        self.entries.push_back(CachedVerdict::new(key, code, now));
        self.evict(now);
    }

    /// Returns the number of entries.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn evict(&mut self, now: Millis) {
        while let Some(oldest) = self.entries.front() {
            let old = now.saturating_sub(u64::from(oldest.seconds()) * 1000) > RETENTION;
            if !(self.entries.len() > MAX_ENTRIES || (old && self.entries.len() > MIN_ENTRIES)) {
                return;
            }
            let (key, evicted) = (EventKey(oldest.key), self.evicted);
            if let Ok(found) = self.index.find_entry(key.hash(), |position| *position == evicted) {
                found.remove();
            }
            self.entries.pop_front();
            self.evicted = self.evicted.wrapping_add(1);
        }
    }
}

fn entry_at(entries: &VecDeque<CachedVerdict>, evicted: u32, position: u32) -> Option<&CachedVerdict> {
    entries.get(position.wrapping_sub(evicted) as usize)
}

fn has_key(entries: &VecDeque<CachedVerdict>, evicted: u32, position: u32, key: EventKey) -> bool {
    entry_at(entries, evicted, position).is_some_and(|entry| entry.key == key.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> EventKey {
        EventKey::of("app", &number.to_string())
    }

    #[test]
    fn the_first_verdict_of_an_event_stays() {
        let mut cache = DedupCache::new();
        cache.insert(key(1), Verdict::DeadLettered(Reason::MalformedData), 0);
        cache.insert(key(1), Verdict::Confirmed, 1);
        assert_eq!(cache.get(key(1)), Some(Known::Verdict(Verdict::DeadLettered(Reason::MalformedData))));
        assert_eq!(cache.get(key(2)), None);
    }

    #[test]
    fn single_records_are_cached_until_the_verdict_is_known() {
        let mut cache = DedupCache::new();
        cache.insert_record(key(1), 1, 0);
        cache.insert_record(key(2), 0, 0);
        assert_eq!(cache.get(key(1)), Some(Known::Records(0b10)));
        assert_eq!(cache.get(key(2)), Some(Known::Records(0b01)));
        assert_eq!(cache.get(key(3)), None);
        cache.insert(key(1), Verdict::Confirmed, 1);
        cache.insert_record(key(1), 0, 2);
        assert_eq!(cache.get(key(1)), Some(Known::Verdict(Verdict::Confirmed)));
    }

    #[test]
    fn a_million_verdicts_of_fifteen_minutes_are_cached() {
        let mut cache = DedupCache::new();
        for number in 0..MIN_ENTRIES + 100 {
            cache.insert(key(number), Verdict::Confirmed, 0);
        }
        assert_eq!(cache.len(), MIN_ENTRIES + 100, "all are younger than the retention");
        cache.insert(key(usize::MAX), Verdict::Confirmed, RETENTION + 1001);
        assert_eq!(cache.len(), MIN_ENTRIES, "beyond the retention the last million stays");
        assert_eq!(cache.get(key(100)), None);
        for number in [101, MIN_ENTRIES / 2, MIN_ENTRIES + 99, usize::MAX] {
            assert_eq!(cache.get(key(number)), Some(Known::Verdict(Verdict::Confirmed)), "{number}");
        }
    }

    #[test]
    fn every_final_verdict_is_cached_as_it_is() {
        let verdicts = Reason::ALL.into_iter().map(Verdict::DeadLettered).chain([Verdict::Confirmed]);
        for (number, verdict) in verdicts.enumerate() {
            let mut cache = DedupCache::new();
            cache.insert(key(number), verdict, 1_000_000_000);
            assert_eq!(cache.get(key(number)), Some(Known::Verdict(verdict)));
        }
    }

    #[test]
    fn the_oldest_verdicts_are_evicted_at_the_memory_limit() {
        let per_second = 6_500;
        assert!(MAX_ENTRIES as u64 * 1000 / RETENTION >= per_second, "{MAX_ENTRIES}");
        let mut cache = DedupCache::new();
        // Positions wrap around.
        cache.evicted = u32::MAX - 10;
        for number in 0..MAX_ENTRIES + 1000 {
            cache.insert(key(number), Verdict::Confirmed, 0);
        }
        assert_eq!(cache.len(), MAX_ENTRIES);
        assert_eq!(cache.get(key(999)), None);
        for number in [1000, MAX_ENTRIES / 2, MAX_ENTRIES + 999] {
            assert_eq!(cache.get(key(number)), Some(Known::Verdict(Verdict::Confirmed)), "{number}");
        }
        let bytes = cache.entries.capacity() * size_of::<CachedVerdict>() + cache.index.allocation_size();
        assert!(bytes <= MAX_BYTES, "{bytes} bytes");
    }
}
