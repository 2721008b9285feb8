//! Sends a callback until each of its events has a final outcome, as IDaaS does: again after 1, 5, 10, 10 and 10
//! seconds.
//!
//! Anything but a 200 in time, including a 4xx, is a failed delivery of all events. Events in the list `retried` are
//! sent again without the others. Each delivery has a new token, and the same event ids.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::answer::{AnswerFault, List};
use super::events::Event;
use super::fault::{Expected, Fault, Request};
use super::sender::{Delivery, NoAnswer, Reply, Sender};
use crate::signing::SigningFault;

/// The waits before each redelivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

impl Schedule {
    /// Returns IDaaS's schedule: about 36 seconds in total.
    #[must_use]
    pub fn idaas() -> Self {
        Self([1, 5, 10, 10, 10].map(Duration::from_secs).to_vec())
    }

    /// Returns a schedule without redeliveries.
    #[must_use]
    pub const fn once() -> Self {
        Self(Vec::new())
    }

    /// Returns a schedule with these waits, for tests that cannot wait for long.
    #[must_use]
    pub const fn after(delays: Vec<Duration>) -> Self {
        Self(delays)
    }
}

/// The events of one callback, and its fault.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The events.
    pub events: Vec<Event>,
    /// The deliberate fault.
    pub fault: Option<Fault>,
}

/// The final outcome of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinalOutcome {
    /// The event is in this list with this code.
    Verdict(List, String),
    /// The event is in no list of an answer.
    NoVerdict,
    /// The callback was refused with this status and code.
    Refusal(u16, Option<String>),
    /// The callback had no answer.
    NoAnswer(NoAnswer),
}

impl FinalOutcome {
    fn is(&self, expected: &Expected) -> bool {
        match (self, expected) {
            (Self::Verdict(list, code), Expected::Verdict(expected, expected_code)) => {
                list == expected && code == expected_code
            }
            (Self::Refusal(status, code), Expected::Refusal { status: expected, code: expected_code }) => {
                status == expected && code.as_deref() == Some(expected_code)
            }
            (Self::NoVerdict, Expected::NoVerdict) => true,
            (Self::Verdict(..) | Self::NoVerdict | Self::Refusal(..) | Self::NoAnswer(_), _) => false,
        }
    }
}

/// The result for one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its id.
    pub event_id: String,
    /// Its type.
    pub event_type: String,
    /// The bridge's last answer.
    pub final_outcome: FinalOutcome,
    /// The expected answer.
    pub expected: Expected,
    /// True if both agree, and no answer was faulty for this event.
    pub good: bool,
    /// The number of deliveries.
    pub deliveries: u32,
    /// The latency of the last delivery.
    pub latency: Duration,
}

/// What happens during a run, to be shown or counted.
#[derive(Debug, Clone)]
pub enum DeliveryEvent {
    /// A callback was posted, with or without an answer. Contains the latency.
    Delivered(Duration),
    /// Events will be sent again.
    Again {
        /// The number of events.
        events: usize,
        /// The bridge's answer to this delivery.
        because: FinalOutcome,
        /// The wait before the next delivery.
        after: Duration,
    },
    /// An answer was faulty.
    Wrong(AnswerFault),
    /// These events have a final outcome.
    Settled(Vec<Outcome>),
    /// A callback was sent later than planned.
    Late(Duration),
}

/// Sends `batch` until it is settled. `first` is its request, made before; `started` is the moment from which its
/// latency counts. An event is reported as [`DeliveryEvent::Settled`] when its outcome is final.
///
/// # Errors
/// [`SigningFault`] if a token for a redelivery cannot be signed.
pub async fn deliver(
    sender: &Sender,
    batch: &Batch,
    first: Request,
    started: Instant,
    schedule: &Schedule,
    event_sender: &UnboundedSender<DeliveryEvent>,
) -> Result<(), SigningFault> {
    let mut round = Round { sender, batch, schedule, event_sender };
    let mut outcomes = round.settle(first, started).await?;
    if batch.fault == Some(Fault::Redelivery) {
        let request = sender.request(&batch.events, batch.fault)?;
        let second = round.settle(request, Instant::now()).await?;
        // Both lists are in the order of their outcomes, so events are matched by id.
        for outcome in &mut outcomes {
            let again = second.iter().find(|again| again.event_id == outcome.event_id);
            let same = again.is_some_and(|again| again.good && again.final_outcome == outcome.final_outcome);
            outcome.good = outcome.good && same;
            if let Some(again) = again {
                (outcome.deliveries, outcome.latency) = (outcome.deliveries + again.deliveries, again.latency);
                outcome.final_outcome.clone_from(&again.final_outcome);
            }
        }
    }
    // The receiver may have been dropped; the events are delivered nevertheless.
    let _ = event_sender.send(DeliveryEvent::Settled(outcomes));
    Ok(())
}

struct Round<'a> {
    sender: &'a Sender,
    batch: &'a Batch,
    schedule: &'a Schedule,
    event_sender: &'a UnboundedSender<DeliveryEvent>,
}

impl Round<'_> {
    async fn settle(&mut self, first: Request, started: Instant) -> Result<Vec<Outcome>, SigningFault> {
        let mut outcomes = Vec::with_capacity(self.batch.events.len());
        let mut pending = self.batch.events.clone();
        let mut delivery = self.sender.post(first, started).await;
        for deliveries in 1_u32.. {
            let after = self.schedule.0.get(deliveries as usize - 1).copied();
            pending = self.judge(pending, &delivery, deliveries, after, &mut outcomes);
            let Some(after) = after.filter(|_| !pending.is_empty()) else { break };
            tokio::time::sleep(after).await;
            let request = self.sender.request(&pending, self.batch.fault)?;
            delivery = self.sender.post(request, Instant::now()).await;
        }
        Ok(outcomes)
    }

    /// Records final outcomes, and returns the pending events that are sent again.
    fn judge(
        &self,
        pending: Vec<Event>,
        delivery: &Delivery,
        deliveries: u32,
        after: Option<Duration>,
        outcomes: &mut Vec<Outcome>,
    ) -> Vec<Event> {
        self.notify(DeliveryEvent::Delivered(delivery.latency));
        let skip = &self.sender.tenant_keys().skip;
        let expected: Vec<_> = pending.iter().map(|event| Expected::of(event, self.batch.fault, skip)).collect();
        let answered = pending.iter().zip(&expected).filter(|(_, expected)| **expected != Expected::NoVerdict);
        let faults = delivery.faults(answered.map(|(event, _)| event.event_id.as_str()));
        let outcome_of = final_outcomes(delivery);
        let (mut again, mut because) = (Vec::new(), None);
        for (event, expected) in pending.into_iter().zip(expected) {
            let final_outcome = outcome_of(&event.event_id);
            let good = final_outcome.is(&expected) && !faults.iter().any(|fault| concerns(fault, &event.event_id));
            if after.is_some() && !good && comes_again(&final_outcome) {
                again.push(event);
                because = Some(final_outcome);
                continue;
            }
            let Event { event_id, event_type, .. } = event;
            let latency = delivery.latency;
            outcomes.push(Outcome { event_id, event_type, final_outcome, expected, good, deliveries, latency });
        }
        if let (Some(because), Some(after)) = (because, after) {
            self.notify(DeliveryEvent::Again { events: again.len(), because, after });
        }
        for fault in faults {
            self.notify(DeliveryEvent::Wrong(fault));
        }
        again
    }

    fn notify(&self, event: DeliveryEvent) {
        // The receiver may have been dropped; sending continues nevertheless.
        let _ = self.event_sender.send(event);
    }
}

/// Returns true if IDaaS would send the event again.
const fn comes_again(final_outcome: &FinalOutcome) -> bool {
    match final_outcome {
        FinalOutcome::Verdict(List::Retried, _) | FinalOutcome::Refusal(..) | FinalOutcome::NoAnswer(_) => true,
        FinalOutcome::Verdict(List::Success | List::Skipped | List::Failed, _) | FinalOutcome::NoVerdict => false,
    }
}

fn concerns(fault: &AnswerFault, event_id: &str) -> bool {
    match fault {
        AnswerFault::Unreadable => true,
        AnswerFault::Missing(id) | AnswerFault::Repeated(id) => id == event_id,
        AnswerFault::Foreign(_) => false,
    }
}

fn final_outcomes(delivery: &Delivery) -> impl Fn(&str) -> FinalOutcome + '_ {
    let verdicts: std::collections::HashMap<_, _> =
        delivery.verdicts().iter().map(|verdict| (verdict.event_id.as_str(), verdict)).collect();
    move |event_id| match &delivery.reply {
        Reply::Answered(_) => verdicts
            .get(event_id)
            .map_or(FinalOutcome::NoVerdict, |verdict| FinalOutcome::Verdict(verdict.list, verdict.code.clone())),
        Reply::Refused { status, code } => FinalOutcome::Refusal(*status, code.clone()),
        Reply::Nothing(reason) => FinalOutcome::NoAnswer(*reason),
    }
}

#[cfg(test)]
#[path = "tests/redelivery.rs"]
mod tests;
