//! The verdict on an event: what IDaaS is told about it.

use idaas_callback::Reason;

/// The lists of the answer to IDaaS. Only events in [`List::Retried`] are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum List {
    /// Accepted.
    Success,
    /// Skipped on the operator's configuration.
    Skipped,
    /// Failed permanently.
    Failed,
    /// IDaaS sends it again.
    Retried,
}

impl List {
    /// Every list, in the order of the answer.
    pub const ALL: [Self; 4] = [Self::Success, Self::Skipped, Self::Failed, Self::Retried];

    /// Returns the stable name, used as a metric label.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The verdict on one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The broker has confirmed its records.
    Confirmed,
    /// The operator skips its type.
    NotSubscribed,
    /// The broker has confirmed its dead letter.
    DeadLettered(Reason),
    /// The broker has not confirmed it in time.
    NotConfirmed,
    /// There is no room for it at the moment.
    Overloaded,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 10] = [
        Self::Confirmed,
        Self::NotSubscribed,
        Self::DeadLettered(Reason::MalformedEvent),
        Self::DeadLettered(Reason::MissingEventId),
        Self::DeadLettered(Reason::MalformedData),
        Self::DeadLettered(Reason::MissingEntityId),
        Self::DeadLettered(Reason::RecordTooLarge),
        Self::DeadLettered(Reason::RefusedByBroker),
        Self::NotConfirmed,
        Self::Overloaded,
    ];

    /// Returns the list in which the event is answered.
    #[must_use]
    pub const fn list(self) -> List {
        match self {
            Self::Confirmed => List::Success,
            Self::NotSubscribed => List::Skipped,
            Self::DeadLettered(_) => List::Failed,
            Self::NotConfirmed | Self::Overloaded => List::Retried,
        }
    }

    /// Returns the stable code: the answer's `eventCode` and the metric's label.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Confirmed => "SUCCESS",
            Self::NotSubscribed => "not_subscribed",
            Self::DeadLettered(reason) => reason.code(),
            Self::NotConfirmed => "not_confirmed",
            Self::Overloaded => "overloaded",
        }
    }

    /// Returns the answer's `eventMessage`: one constant sentence for the log in the IDaaS console.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Confirmed => "SUCCESS",
            Self::NotSubscribed => "The receiver is configured to skip this event type.",
            Self::DeadLettered(Reason::MalformedEvent) => {
                "The event is not an object with a type; kept as a dead letter."
            }
            Self::DeadLettered(Reason::MissingEventId) => "The event has no id; kept as a dead letter.",
            Self::DeadLettered(Reason::MalformedData) => "The event's data is not an object; kept as a dead letter.",
            Self::DeadLettered(Reason::MissingEntityId) => "The event names no entity; kept as a dead letter.",
            Self::DeadLettered(Reason::RecordTooLarge) => "The event is too large; its fingerprint is kept.",
            Self::DeadLettered(Reason::RefusedByBroker) => "The broker rejects the event; kept as a dead letter.",
            Self::NotConfirmed => "The broker has not confirmed the event yet; send it again.",
            Self::Overloaded => "There is no capacity for the event now; send it again.",
        }
    }

    /// Returns true if a redelivery always gets the same verdict.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Confirmed | Self::DeadLettered(_) => true,
            // Skipping depends on the current configuration. The others ask for another attempt.
            Self::NotSubscribed | Self::NotConfirmed | Self::Overloaded => false,
        }
    }
}
