//! Puts what records say together to what became of events: an event of two records is whole when both were seen. Until
//! then it is known which one is published, so that it is not published again. Pure.

use std::collections::{HashMap, VecDeque};

use outbox::verdict::Verdict;
use outbox::{EventKey, Learned};

use super::sighting::{Part, Sighting};

/// What became known of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Which event.
    pub key: EventKey,
    /// Its final verdict, or which one of its two records is published.
    pub learned: Learned,
    /// The timestamp of its record, of two the later one, in milliseconds since 1970.
    pub timestamp: i64,
}

/// Events of which one of two records was seen; the oldest go where they are too many.
#[derive(Default)]
pub(super) struct Pairing {
    halves: HashMap<EventKey, Half>,
    order: VecDeque<EventKey>,
}

struct Half {
    part: Part,
    timestamp: i64,
}

/// How many halves are kept at most. The records of an event are published one right after the other.
const MOST: usize = 1 << 17;

impl Pairing {
    /// Takes what a record says, and its timestamp. Returns what that adds to what is known of the event.
    ///
    /// A dead letter stands alone, also for an event half of which was seen: it was produced because the other half was
    /// not taken.
    pub(super) fn take(&mut self, Sighting { key, part, .. }: Sighting, timestamp: i64) -> Option<Known> {
        if let Part::Whole(verdict) = part {
            self.halves.remove(&key);
            return Some(Known { key, learned: Learned::Whole(verdict), timestamp });
        }
        match self.halves.get_mut(&key) {
            Some(half) if half.part == part => {
                half.timestamp = half.timestamp.max(timestamp);
                None
            }
            Some(half) => {
                let timestamp = half.timestamp.max(timestamp);
                self.halves.remove(&key);
                Some(Known { key, learned: Learned::Whole(Verdict::Confirmed), timestamp })
            }
            None => {
                self.halves.insert(key, Half { part, timestamp });
                self.order.push_back(key);
                self.forget();
                part.index().map(|index| Known { key, learned: Learned::Record(index), timestamp })
            }
        }
    }

    fn forget(&mut self) {
        // What was completed meanwhile has its place in the order still.
        if self.order.len() > 2 * MOST {
            self.order.retain(|key| self.halves.contains_key(key));
        }
        while self.halves.len() > MOST {
            let Some(oldest) = self.order.pop_front() else { return };
            self.halves.remove(&oldest);
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

    fn saw(pairing: &mut Pairing, id: usize, part: Part, timestamp: i64) -> Option<(Learned, i64)> {
        pairing
            .take(Sighting { key: key(id), application: 0, part }, timestamp)
            .map(|known| (known.learned, known.timestamp))
    }

    #[test]
    fn the_first_of_two_records_is_known_and_both_are_the_event() {
        for [first, second] in [[Part::Event, Part::Credential], [Part::Credential, Part::Event]] {
            let mut pairing = Pairing::default();
            let index = |part| if part == Part::Event { 0 } else { 1 };
            assert_eq!(saw(&mut pairing, 1, first, 20), Some((Learned::Record(index(first)), 20)));
            assert_eq!(saw(&mut pairing, 1, first, 10), None);
            assert_eq!(saw(&mut pairing, 2, second, 30), Some((Learned::Record(index(second)), 30)));
            assert_eq!(saw(&mut pairing, 1, second, 15), Some((Learned::Whole(Verdict::Confirmed), 20)));
        }
    }

    #[test]
    fn a_dead_letter_stands_for_the_half_that_was_seen() {
        let mut pairing = Pairing::default();
        let letter = Verdict::DeadLettered(Reason::RefusedByBroker);
        saw(&mut pairing, 1, Part::Event, 1);
        assert_eq!(saw(&mut pairing, 1, Part::Whole(letter), 2), Some((Learned::Whole(letter), 2)));
        assert!(pairing.halves.is_empty());
    }

    #[test]
    fn halves_that_nothing_completes_are_bounded_and_the_oldest_go_first() {
        let mut pairing = Pairing::default();
        for id in 0..MOST + 10 {
            saw(&mut pairing, id, Part::Event, 0);
        }
        assert_eq!(pairing.halves.len(), MOST);
        assert!(!pairing.halves.contains_key(&key(9)) && pairing.halves.contains_key(&key(10)));
        for id in 10..3 * MOST {
            saw(&mut pairing, id, Part::Event, 0);
            saw(&mut pairing, id, Part::Credential, 0);
        }
        assert!(pairing.order.len() <= 2 * MOST + 1, "{}", pairing.order.len());
    }
}
