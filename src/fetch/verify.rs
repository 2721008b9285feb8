//! Decides which entities are deleted. An entity counts as deleted only if the API answers twice that it does not
//! exist.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use idaas_callback::event_type::Entity;

/// Minimum time between the two answers that prove a deletion. An entity that is being changed can be absent for a
/// moment.
pub(super) const PROOF_INTERVAL: Duration = Duration::from_secs(5);
/// Up to this many missing entities of one kind are never a mass deletion.
const MAX_SMALL_DELETION: usize = 20;
/// More than one in this many known entities of one kind are a mass deletion.
const MASS_DELETION_SHARE: usize = 10;

/// An entity that did not exist in one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) entity: Entity,
    pub(super) id: String,
    /// When the answer arrived.
    pub(super) answered_at: Instant,
}

impl Suspect {
    /// Returns the wait before the entity is requested again.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        (self.answered_at + PROOF_INTERVAL).saturating_duration_since(now)
    }
}

/// Returns the known entities that were not seen, sorted by id.
pub(super) fn missing<'a>(known: impl Iterator<Item = &'a String>, seen: Option<&HashSet<String>>) -> Vec<String> {
    let mut missing: Vec<_> = known.filter(|id| !seen.is_some_and(|seen| seen.contains(*id))).cloned().collect();
    missing.sort_unstable();
    missing
}

/// Returns true if this many deletions among the known entities of one kind require the operator's consent.
pub(super) const fn is_mass_deletion(deletions: usize, known: usize) -> bool {
    deletions > MAX_SMALL_DELETION && deletions * MASS_DELETION_SHARE > known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mass_deletion_is_more_than_a_tenth_and_more_than_twenty() {
        assert!(is_mass_deletion(21, 209) && is_mass_deletion(21, 21));
        assert!(!is_mass_deletion(20, 20) && !is_mass_deletion(21, 210) && !is_mass_deletion(0, 0));
    }

    #[test]
    fn second_answer_comes_five_seconds_after_the_first() {
        let now = Instant::now();
        let suspect = Suspect { entity: Entity::User, id: "u".to_owned(), answered_at: now };
        assert_eq!(suspect.wait(now + Duration::from_secs(2)), Duration::from_secs(3));
        assert_eq!(suspect.wait(now + Duration::from_secs(9)), Duration::ZERO);
    }

    #[test]
    fn missing_entities_are_those_that_were_not_seen() {
        let known = ["c".to_owned(), "a".to_owned(), "b".to_owned()];
        let seen = HashSet::from(["b".to_owned()]);
        assert_eq!(missing(known.iter(), Some(&seen)), ["a", "c"]);
    }
}
