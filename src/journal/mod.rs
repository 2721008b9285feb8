//! The journal: an encrypted on-disk store for unconfirmed events and quarantined callbacks.
//!
//! Nothing of it is on the disk in the clear, nothing is discarded without a request, and what is
//! reported as written outlives a crash of the process and of the machine.

pub mod admin;
pub mod entry;
pub mod fault;
pub mod handle;
mod inbox;
pub mod quarantine;
pub mod quarantine_replay;
mod rejection_log;
pub mod row;
pub mod store;
pub mod summary;
#[cfg(test)]
pub(crate) mod tests;
pub mod waiting;
mod work;
mod writer;

pub use admin::{JournalAdmin, OutboxControl};
pub use entry::Entry;
pub use fault::OpenFault;
pub use handle::{Journal, JournalEvents, Response};
pub use quarantine::{QuarantineId, QuarantineRow, Quarantined};
pub use quarantine_replay::{QuarantineReplay, ReadableCallback};
pub use row::{EntryRef, EntryRow};
pub use store::KeyChange;

pub use crate::telemetry::journal::{JournalRejection, Usage};
