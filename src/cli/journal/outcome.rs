//! The outcome of an operator's request about one entry or callback, for people.

use super::show::{callback, entry, reason};
use crate::cli::output::{Call, fix_line};
use crate::counts::counted;
use crate::http::journal::EntryKind;
use crate::journal::QuarantineId;
use crate::terminal::{BAD, GOOD, styled};

/// What has become of a callback that is not in quarantine any more.
pub(in crate::cli) const NO_LONGER_QUARANTINED: &str = "if it was in the quarantine of this replica, it was published \
    or discarded; the log has `quarantine_opened` or `quarantine_discarded` with this id";

/// What an id means, and what was or would be removed.
pub(super) fn describe(kind: &EntryKind, id: &str, done: bool, now: i64, call: &Call<'_>) -> String {
    let (line, what) = match kind {
        EntryKind::Entry(waiting) => (entry(waiting, now), "event"),
        EntryKind::Callback(held) => (callback(held, now), "callback"),
        EntryKind::InFlight(waiting) => {
            let step = "run this again in two minutes; an event that is published by then is no longer in the journal";
            let entry = entry(waiting, now);
            return format!(
                "{entry}\nis with the producer right now; nothing was removed.\n{}",
                fix_line("next", step)
            );
        }
        EntryKind::Ambiguous { ids } => {
            let step = format!("name one of them: {}", ids.join(", "));
            return format!("{id} is the id of several events\n{}", fix_line("fix", step));
        }
        EntryKind::NotFound
        | EntryKind::Retried(_)
        | EntryKind::TriedByItself(_)
        | EntryKind::Published { .. }
        | EntryKind::NoRoom
        | EntryKind::StillUnreadable { .. }
        | EntryKind::NotConfigured => {
            if QuarantineId::parse(id).is_some() {
                return format!("{id} is not in quarantine\n{}", fix_line("next", NO_LONGER_QUARANTINED));
            }
            let step = format!("look for it on the topics as well: {} {id}", call.of("find"));
            return format!("{id} is neither in the journal nor in quarantine\n{}", fix_line("next", step));
        }
    };
    if done {
        let step = "the entity is as consumers know it; press Synchronize in the IDaaS console to send it as it is now";
        let removed = styled(BAD, format!("removed; this {what} is not published"));
        return format!("{line}\n{removed}\n{}", fix_line("next", step));
    }
    format!(
        "{line}\nWould remove this {what} permanently, unpublished. Nothing was changed.\n{}",
        fix_line("next", format!("remove it: {} discard {id} --yes", call.of("journal")))
    )
}

/// What has become of something that was to be tried again.
pub(super) fn redriven(outcome: &EntryKind, id: &str, now: i64, call: &Call<'_>) -> String {
    let (text, label, step) = match outcome {
        EntryKind::Published { events } => (
            styled(
                GOOD,
                format!("{id}: decrypted; {} on the broker or in the journal", counted(*events as u64, "event")),
            ),
            "next",
            format!("what waits: {}", call.of("journal")),
        ),
        EntryKind::Retried(waiting) => (
            format!("{}\nis tried again now.", entry(waiting, now)),
            "next",
            format!("find it: {} {id}", call.of("find")),
        ),
        EntryKind::TriedByItself(waiting) => match &waiting.waiting {
            Some(state) => (
                format!("{}\nwaits ({}), and is tried again automatically.", entry(waiting, now), reason(state)),
                "fix",
                state.next_step.clone(),
            ),
            None => (
                format!(
                    "{}\nis with the producer, or waits behind an earlier event of its entity, and is tried \
                    automatically.",
                    entry(waiting, now)
                ),
                "next",
                format!("why events wait: {}", call.of("journal")),
            ),
        },
        EntryKind::NoRoom => (
            format!("{id}: decrypted, but some of its events were not accepted in time. It stays in quarantine."),
            "fix",
            format!("run this again in a minute; show what fills the service: {}", call.of("journal")),
        ),
        EntryKind::StillUnreadable { reason } => (
            format!("{id}: {}. It stays in quarantine.", styled(BAD, reason)),
            "fix",
            format!(
                "add the missing key to the application's decryption_keys and reload (SIGHUP); each step: {} \
                --quarantine {id}",
                call.of("inspect")
            ),
        ),
        EntryKind::NotConfigured => (
            format!("{id}: its application is not configured. It stays in quarantine."),
            "fix",
            "configure the application again and reload (SIGHUP)".to_owned(),
        ),
        EntryKind::Entry(_)
        | EntryKind::InFlight(_)
        | EntryKind::Callback(_)
        | EntryKind::Ambiguous { .. }
        | EntryKind::NotFound => {
            return describe(outcome, id, false, now, call);
        }
    };
    format!("{text}\n{}", fix_line(label, step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::summary::EntrySummary;
    use crate::journal::waiting::WaitState;

    const CALL: Call<'_> = Call { config: None };

    fn waiting_entry() -> EntrySummary {
        EntrySummary {
            seq: 7,
            event_id: "evnt_7".to_owned(),
            application: "workforce".to_owned(),
            entity: "user".to_owned(),
            topic: "idaas.user.v1".to_owned(),
            reason: Some("malformed_data".to_owned()),
            received_at: 9_280_000,
            waiting: None,
        }
    }

    #[test]
    fn a_removal_without_consent_says_that_nothing_was_done() {
        let waiting = waiting_entry();
        assert!(
            describe(&EntryKind::Entry(waiting.clone()), "evnt_7", false, 10_000_000, &CALL)
                .contains("Nothing was changed")
        );
        assert!(describe(&EntryKind::Entry(waiting), "evnt_7", true, 10_000_000, &CALL).contains("is not published"));
        assert!(
            describe(&EntryKind::Ambiguous { ids: vec!["a/x".to_owned(), "b/x".to_owned()] }, "x", true, 0, &CALL)
                .contains("a/x, b/x")
        );
    }

    #[test]
    fn a_quarantine_id_that_is_gone_points_to_the_log() {
        for id in ["ab".repeat(16), "evnt_7".to_owned()] {
            let shown = describe(&EntryKind::NotFound, &id, false, 0, &CALL);
            assert_eq!(shown.contains("quarantine_opened"), id.starts_with("ab"), "{shown}");
            assert_eq!(shown.contains("neither in the journal"), !id.starts_with("ab"), "{shown}");
        }
    }

    #[test]
    fn a_redrive_of_a_waiting_entry_shows_its_reason_and_the_fix() {
        let mut entry = waiting_entry();
        let shown = redriven(&EntryKind::TriedByItself(entry.clone()), "evnt_7", 10_000_000, &CALL);
        assert!(shown.contains("waits behind an earlier event"), "{shown}");
        let head = crate::journal::waiting::WaitingEntry {
            seq: outbox::Seq(7),
            reason: "not_authorized",
            attempts: 4,
            since: None,
        };
        entry.waiting = Some(WaitState::of(&head, "idaas.user.v1", &[]));
        let shown = redriven(&EntryKind::TriedByItself(entry), "evnt_7", 10_000_000, &CALL);
        for part in ["not_authorized, 4 attempts failed", "fix:", "denies WRITE on idaas.user.v1"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}
