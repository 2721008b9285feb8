//! Correlates records with events: an event of two records is complete when both were found. Until then it is known
//! which record is published, so that only the other one is published again. Pure.

use std::collections::{HashMap, VecDeque};

use outbox::verdict::Verdict;
use outbox::{EventKey, Published};

use super::published_record::{Part, PublishedRecord};

/// New information about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The event.
    pub key: EventKey,
    /// The event's final verdict, or which of its two records is published.
    pub published: Published,
    /// The timestamp of its record, or of the later one if there are two, in milliseconds since 1970.
    pub timestamp: i64,
}

/// Events of which one of two records was found. If there are too many, the oldest are removed.
#[derive(Default)]
pub(super) struct Correlator {
    incomplete: HashMap<EventKey, PartiallySeen>,
    order: VecDeque<EventKey>,
}

struct PartiallySeen {
    part: Part,
    timestamp: i64,
}

/// Maximum number of incomplete events. The records of an event are published in direct succession.
const MAX_PARTIALLY_SEEN: usize = 1 << 17;

impl Correlator {
    /// Adds a record and its timestamp. Returns the new information about its event, if there is any.
    ///
    /// A dead letter completes an event alone, even if one of its records was found: it was produced because the other
    /// record was rejected.
    pub(super) fn insert(
        &mut self,
        PublishedRecord { key, part, .. }: PublishedRecord,
        timestamp: i64,
    ) -> Option<Known> {
        if let Part::Whole(verdict) = part {
            self.incomplete.remove(&key);
            return Some(Known { key, published: Published::Whole(verdict), timestamp });
        }
        match self.incomplete.get_mut(&key) {
            Some(half) if half.part == part => {
                half.timestamp = half.timestamp.max(timestamp);
                None
            }
            Some(half) => {
                let timestamp = half.timestamp.max(timestamp);
                self.incomplete.remove(&key);
                Some(Known { key, published: Published::Whole(Verdict::Confirmed), timestamp })
            }
            None => {
                self.incomplete.insert(key, PartiallySeen { part, timestamp });
                self.order.push_back(key);
                self.forget();
                part.index().map(|index| Known { key, published: Published::Record(index), timestamp })
            }
        }
    }

    fn forget(&mut self) {
        // Events that were completed in the meantime are still in the order.
        if self.order.len() > 2 * MAX_PARTIALLY_SEEN {
            self.order.retain(|key| self.incomplete.contains_key(key));
        }
        while self.incomplete.len() > MAX_PARTIALLY_SEEN {
            let Some(oldest) = self.order.pop_front() else { return };
            self.incomplete.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use idaas_callback::Reason;

    use super::*;

    fn key(id: usize) -> EventKey {
        EventKey::of("app", &id.to_string())
    }

    fn saw(correlator: &mut Correlator, id: usize, part: Part, timestamp: i64) -> Option<(Published, i64)> {
        correlator
            .insert(PublishedRecord { key: key(id), application: 0, part }, timestamp)
            .map(|known| (known.published, known.timestamp))
    }

    #[test]
    fn the_first_of_two_records_is_known_and_both_are_the_event() {
        for [first, second] in [[Part::Event, Part::Credential], [Part::Credential, Part::Event]] {
            let mut correlator = Correlator::default();
            let index = |part| if part == Part::Event { 0 } else { 1 };
            assert_eq!(saw(&mut correlator, 1, first, 20), Some((Published::Record(index(first)), 20)));
            assert_eq!(saw(&mut correlator, 1, first, 10), None);
            assert_eq!(saw(&mut correlator, 2, second, 30), Some((Published::Record(index(second)), 30)));
            assert_eq!(saw(&mut correlator, 1, second, 15), Some((Published::Whole(Verdict::Confirmed), 20)));
        }
    }

    #[test]
    fn a_dead_letter_stands_for_the_half_that_was_seen() {
        let mut correlator = Correlator::default();
        let letter = Verdict::DeadLettered(Reason::RefusedByBroker);
        saw(&mut correlator, 1, Part::Event, 1);
        assert_eq!(saw(&mut correlator, 1, Part::Whole(letter), 2), Some((Published::Whole(letter), 2)));
        assert!(correlator.incomplete.is_empty());
    }

    #[test]
    fn incomplete_events_are_bounded_and_the_oldest_go_first() {
        let mut correlator = Correlator::default();
        for id in 0..MAX_PARTIALLY_SEEN + 10 {
            saw(&mut correlator, id, Part::Event, 0);
        }
        assert_eq!(correlator.incomplete.len(), MAX_PARTIALLY_SEEN);
        assert!(!correlator.incomplete.contains_key(&key(9)) && correlator.incomplete.contains_key(&key(10)));
        for id in 10..3 * MAX_PARTIALLY_SEEN {
            saw(&mut correlator, id, Part::Event, 0);
            saw(&mut correlator, id, Part::Credential, 0);
        }
        assert!(correlator.order.len() <= 2 * MAX_PARTIALLY_SEEN + 1, "{}", correlator.order.len());
    }
}
