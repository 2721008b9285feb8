//! The result of an operator's request about one entry or callback, as it goes over the wire.

use actix_web::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::app_state::QuarantineRedrive;
use crate::journal::admin::{EntryRedrive, Lookup};
use crate::journal::summary::{EntrySummary, QuarantinedSummary};

/// What an id refers to, and what was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum EntryKind {
    /// An entry; after a removal, it is gone.
    Entry(EntrySummary),
    /// An entry whose event is with the producer, so that nothing was removed.
    InFlight(EntrySummary),
    /// A callback in quarantine; after a removal, it is gone.
    Callback(QuarantinedSummary),
    /// Entries of several applications have this id.
    Ambiguous {
        /// One of these is meant.
        ids: Vec<String>,
    },
    /// Nothing has this id.
    NotFound,
    /// The entry is tried again now.
    Retried(EntrySummary),
    /// The entry is tried automatically; nothing needs to be done.
    TriedByItself(EntrySummary),
    /// The callback was opened, and its events are on the broker or in the journal.
    Published {
        /// How many events it had.
        events: usize,
    },
    /// The callback was opened, and there was no room for its events. It stays in quarantine.
    NoRoom,
    /// The callback still cannot be read, for this reason.
    StillUnreadable {
        /// The refusal's code.
        reason: String,
    },
    /// The application of the callback is not configured.
    NotConfigured,
}

impl From<Lookup> for EntryKind {
    fn from(found: Lookup) -> Self {
        match found {
            Lookup::Event(waiting) => Self::Entry(waiting),
            Lookup::InFlight(waiting) => Self::InFlight(waiting),
            Lookup::Callback(held) => Self::Callback(held),
            Lookup::Several(ids) => Self::Ambiguous { ids },
            Lookup::Nothing => Self::NotFound,
        }
    }
}

impl From<EntryRedrive> for EntryKind {
    fn from(redrive: EntryRedrive) -> Self {
        match redrive {
            EntryRedrive::Now(waiting) => Self::Retried(waiting),
            EntryRedrive::Automatic(waiting) => Self::TriedByItself(waiting),
            EntryRedrive::NoSingleMatch(found) => found.into(),
        }
    }
}

impl From<QuarantineRedrive> for EntryKind {
    fn from(redrive: QuarantineRedrive) -> Self {
        match redrive {
            QuarantineRedrive::Published(events) => Self::Published { events },
            QuarantineRedrive::NotAccepted => Self::NoRoom,
            QuarantineRedrive::StillUnreadable(refusal) => Self::StillUnreadable { reason: refusal.code().to_owned() },
            QuarantineRedrive::NotConfigured => Self::NotConfigured,
            QuarantineRedrive::Missing => Self::NotFound,
        }
    }
}

impl EntryKind {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Entry(_) | Self::Callback(_) | Self::Published { .. } => StatusCode::OK,
            Self::Retried(_) | Self::TriedByItself(_) => StatusCode::ACCEPTED,
            Self::Ambiguous { .. } | Self::InFlight(_) | Self::StillUnreadable { .. } | Self::NotConfigured => {
                StatusCode::CONFLICT
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
