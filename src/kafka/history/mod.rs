//! Reads our topics: records for commands, and the verdicts of events.

mod backfill;
pub mod correlate;
pub mod follow;
mod locate;
pub mod our_topics;
pub mod partition_reader;
mod published_record;
mod read_fault;
pub mod recent_records;
pub mod scan;
pub mod tail;

pub use read_fault::ReadFault;
