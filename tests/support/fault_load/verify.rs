//! Judges: what the sender was told, against what stands on Kafka. Uses nothing of the receiver's code.
//!
//! - *Due* is every event that was ever sent, but for one that was never accepted and was refused as `overloaded` to
//!   the last: the sender was told so. A due event that is not on Kafka is **lost**.
//! - *Accepted* is an event when an answer says `success`, `not_confirmed` or `failed` of it; at the latest when that
//!   answer was there in whole. No answer, a refusal and `overloaded` say nothing about acceptance.
//! - A **false success** is one whose record is not there, or was appended by the broker only after the answer had come
//!   (where the topic's timestamps are the broker's; broker and sender share a clock).
//! - **Order** is that of the first records of an entity's events. It is violated by an event that stands before
//!   another one which was accepted before the event was sent for the first time; or which stood before it in the same
//!   callback. What was sent while the other one was not yet answered, or after it had been refused, may overtake it.
//! - **Duplicates** are allowed, as long as they are equal but for the time of acceptance.

mod order;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::delivery::ANSWER_TIMEOUT;
use super::ledger::{End, EventAnswer, LedgerSnapshot};
use super::published::{Follower, Published, Stored};

pub(crate) use self::report::Report;

/// What the ledger says of one event.
#[derive(Debug, Clone)]
struct Facts {
    /// When it was sent for the first time.
    first_sent: Duration,
    /// When it was accepted at the latest.
    accepted: Option<Duration>,
    /// When success was said first, by the system's clock.
    success_at: Option<i64>,
    /// Its callback could not be opened, and was kept.
    quarantined: bool,
    /// The last that was said of it is that there is no room.
    refused: bool,
}

impl Facts {
    const fn is_due(&self) -> bool {
        self.accepted.is_some() || self.quarantined || !self.refused
    }
}

fn facts(snapshot: &LedgerSnapshot) -> Vec<Facts> {
    let never =
        Facts { first_sent: Duration::MAX, accepted: None, success_at: None, quarantined: false, refused: false };
    let mut facts = vec![never; snapshot.events.len()];
    for contact in &snapshot.contacts {
        for (index, event) in contact.events.iter().enumerate() {
            let fact = &mut facts[*event];
            fact.first_sent = fact.first_sent.min(contact.began);
            fact.refused = false;
            match &contact.end {
                End::Answered(said) => match &said[index] {
                    EventAnswer::Success => {
                        fact.accepted = earlier(fact.accepted, contact.ended);
                        fact.success_at = earlier(fact.success_at, contact.ended_at);
                    }
                    EventAnswer::NotConfirmed | EventAnswer::Failed(_) => {
                        fact.accepted = earlier(fact.accepted, contact.ended)
                    }
                    EventAnswer::Overloaded => fact.refused = true,
                    EventAnswer::Skipped | EventAnswer::Retried(_) | EventAnswer::Nonsense => {}
                },
                End::Refused(503, code) if code == "overloaded" => fact.refused = true,
                End::Refused(422, _) => fact.quarantined = true,
                End::Refused(..) | End::Cut(_) | End::TooLate => {}
            }
        }
    }
    facts
}

fn earlier<T: Ord + Copy>(known: Option<T>, new: T) -> Option<T> {
    Some(known.map_or(new, |known| known.min(new)))
}

/// Waits until everything due is on Kafka, or that long: then it is the verdict's affair.
pub(crate) fn settle(snapshot: &LedgerSnapshot, follower: &Follower, at_most: Duration) -> Duration {
    let began = Instant::now();
    let mut awaited: Vec<_> = facts(snapshot)
        .iter()
        .zip(&snapshot.events)
        .filter(|(facts, _)| facts.is_due())
        .map(|(_, sent)| sent.id.as_str())
        .collect();
    while began.elapsed() < at_most {
        {
            let published = follower.published();
            awaited.retain(|id| !published.copies.contains_key(*id));
        }
        if awaited.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    began.elapsed()
}

/// Judges a finished load by what was read from the beginning, and beside it by what was read while things broke.
pub(crate) fn verify(name: &str, snapshot: &Arc<LedgerSnapshot>, published: &Published, along: &Published) -> Report {
    let facts = facts(snapshot);
    let mut report = Report::new(name, Arc::clone(snapshot));
    for (event, (facts, sent)) in facts.iter().zip(&snapshot.events).enumerate() {
        let copies = published.copies.get(&sent.id).map_or(&[][..], Vec::as_slice);
        if facts.refused && facts.accepted.is_none() {
            report.refused += 1;
        }
        let Some(first) = copies.first() else {
            if facts.is_due() {
                report.lost.push(event);
            }
            if facts.success_at.is_some() {
                report.false_successes.push(event);
            }
            continue;
        };
        report.on_kafka += 1;
        report.timed += usize::from(facts.success_at.is_some() && copies.iter().all(|copy| copy.appended.is_some()));
        if facts.success_at.is_some_and(|said| appended_after(copies, said)) {
            report.false_successes.push(event);
        }
        if copies.iter().any(|copy| copy.key != sent.entity || copy.number != Some(sent.number)) {
            report.distorted.push(event);
        }
        report.duplicates += copies.len() - 1;
        if copies.iter().any(|copy| copy.digest != first.digest) {
            report.unlike.push(event);
        }
    }
    if report.timed == 0 {
        report.complaints.push("no success could be compared with a broker's time".to_owned());
    }
    report.disorder = order::violations(snapshot, &facts, published);
    report.forgotten = along.missing_in(published).len();
    answers(snapshot, &mut report);
    report
}

/// Whether no copy was there at that time. A copy of unknown time may have been.
fn appended_after(copies: &[Stored], said: i64) -> bool {
    copies.iter().all(|copy| copy.appended.is_some_and(|appended| appended > said))
}

fn answers(snapshot: &LedgerSnapshot, report: &mut Report) {
    for (position, contact) in snapshot.contacts.iter().enumerate() {
        let took = contact.ended.saturating_sub(contact.began);
        let mut unexpected = BTreeMap::new();
        match &contact.end {
            End::TooLate => report.late.push(position),
            End::Cut(_) => {}
            End::Refused(status, code) => {
                if !matches!((status, code.as_str()), (503, _) | (422, "undecryptable")) {
                    unexpected.insert(format!("{status} {code}"), contact.events[0]);
                }
            }
            End::Answered(said) => {
                for (event, said) in contact.events.iter().zip(said) {
                    match said {
                        EventAnswer::Success | EventAnswer::NotConfirmed | EventAnswer::Overloaded => {}
                        EventAnswer::Skipped
                        | EventAnswer::Failed(_)
                        | EventAnswer::Retried(_)
                        | EventAnswer::Nonsense => {
                            unexpected.insert(format!("{said:?}"), *event);
                        }
                    }
                }
            }
        }
        if !matches!(contact.end, End::TooLate | End::Cut(_)) {
            report.slowest = report.slowest.max(took);
            if took > ANSWER_TIMEOUT {
                report.late.push(position);
            }
        }
        report.unexpected.extend(unexpected.into_values());
    }
}

#[cfg(test)]
mod tests;
