//! What Kafka has not confirmed, and callbacks that cannot be read yet: sealed, on disk, until they are wanted no more.
//!
//! Nothing of it is on the disk in the clear, nothing is thrown away that nobody asked to be thrown away, and what is
//! reported as written outlives a crash of the process and of the machine.

mod alarm;
pub mod desk;
pub mod entry;
pub mod fault;
pub mod handle;
mod inbox;
pub mod quarantine;
pub mod reopening;
pub mod row;
pub mod store;
pub mod summary;
#[cfg(test)]
pub(crate) mod tests;
pub mod waiting;
mod work;
mod writer;

pub use desk::{DiscardHook, JournalAdmin};
pub use entry::Entry;
pub use fault::{JournalRejection, OpenFault};
pub use handle::{Answer, Journal, JournalEvents, Usage};
pub use quarantine::{QuarantineId, QuarantineRow, Quarantined};
pub use reopening::{QuarantineReplay, ReadableCallback};
pub use row::{EntryRow, Listed};
pub use store::KeyChange;
