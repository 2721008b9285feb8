//! The memory of final verdicts: what makes a re-delivery a success at once instead of a second record.
//!
//! 24 bytes an event, oldest out first. It never grows beyond [`CAPACITY`], and never forgets what is younger than
//! [`HORIZON`] or among the last [`FLOOR`], as long as that fits.

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::verdict::Verdict;
use super::{EventKey, Millis};

/// How long a verdict is remembered at least. IDaaS re-delivers for up to 96 seconds; people with a console longer.
const HORIZON: Millis = 15 * 60 * 1000;

/// How many verdicts are remembered at least, however old.
const FLOOR: usize = 1 << 20;

/// How many verdicts are remembered at most, however young: about 190 MiB.
const CAPACITY: usize = 1 << 22;

/// Final verdicts by event.
pub(crate) struct Memory {
    /// Positions counted from the first event ever remembered, so that forgetting the oldest moves nothing.
    index: HashTable<u64>,
    entries: VecDeque<Entry24>,
    forgotten: u64,
}

/// One remembered verdict, packed because there are millions.
struct Entry24 {
    key: [u8; 16],
    /// Seconds, so that 32 bits last for a century.
    at: u32,
    verdict: Verdict,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { index: HashTable::new(), entries: VecDeque::new(), forgotten: 0 }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// The final verdict on an event, if one is remembered.
    pub(crate) fn get(&self, key: EventKey) -> Option<Verdict> {
        let (entries, forgotten) = (&self.entries, self.forgotten);
        let position = self.index.find(key.hash(), |position| is(entries, forgotten, *position, key))?;
        Some(entries.get(usize::try_from(position - forgotten).ok()?)?.verdict)
    }

    /// Remembers a final verdict; the first one stays.
    pub(crate) fn insert(&mut self, key: EventKey, verdict: Verdict, now: Millis) {
        let (entries, forgotten) = (&self.entries, self.forgotten);
        let position = forgotten + entries.len() as u64;
        let entry = self.index.entry(
            key.hash(),
            |known| is(entries, forgotten, *known, key),
            |known| at(entries, forgotten, *known).map_or(0, |entry| EventKey(entry.key).hash()),
        );
        if let Entry::Vacant(vacant) = entry {
            vacant.insert(position);
            let at = u32::try_from(now / 1000).unwrap_or(u32::MAX);
            self.entries.push_back(Entry24 { key: key.0, at, verdict });
            self.forget(now);
        }
    }

    /// How many verdicts are remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn forget(&mut self, now: Millis) {
        while let Some(oldest) = self.entries.front() {
            let old = now.saturating_sub(u64::from(oldest.at) * 1000) > HORIZON;
            if !(self.entries.len() > CAPACITY || (old && self.entries.len() > FLOOR)) {
                return;
            }
            let (key, forgotten) = (EventKey(oldest.key), self.forgotten);
            if let Ok(found) = self.index.find_entry(key.hash(), |position| *position == forgotten) {
                found.remove();
            }
            self.entries.pop_front();
            self.forgotten += 1;
        }
    }
}

fn at(entries: &VecDeque<Entry24>, forgotten: u64, position: u64) -> Option<&Entry24> {
    entries.get(usize::try_from(position.checked_sub(forgotten)?).ok()?)
}

fn is(entries: &VecDeque<Entry24>, forgotten: u64, position: u64, key: EventKey) -> bool {
    at(entries, forgotten, position).is_some_and(|entry| entry.key == key.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::Reason;

    fn key(number: usize) -> EventKey {
        EventKey::of("app", &number.to_string())
    }

    #[test]
    fn the_first_verdict_of_an_event_stays() {
        let mut memory = Memory::new();
        memory.insert(key(1), Verdict::DeadLettered(Reason::MalformedData), 0);
        memory.insert(key(1), Verdict::Confirmed, 1);
        assert_eq!(memory.get(key(1)), Some(Verdict::DeadLettered(Reason::MalformedData)));
        assert_eq!(memory.get(key(2)), None);
    }

    #[test]
    fn a_million_verdicts_and_those_of_a_quarter_of_an_hour_are_remembered() {
        let mut memory = Memory::new();
        for number in 0..FLOOR + 100 {
            memory.insert(key(number), Verdict::Confirmed, 0);
        }
        assert_eq!(memory.len(), FLOOR + 100, "all are younger than the horizon");
        memory.insert(key(usize::MAX), Verdict::Confirmed, HORIZON + 1001);
        assert_eq!(memory.len(), FLOOR, "beyond the horizon the last million stays");
        assert_eq!(memory.get(key(100)), None);
        for number in [101, FLOOR / 2, FLOOR + 99, usize::MAX] {
            assert_eq!(memory.get(key(number)), Some(Verdict::Confirmed), "{number}");
        }
    }
}
